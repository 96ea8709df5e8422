// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Makes a million files through the engine under a small metadata cache, and says how large the
 * process was.
 *
 * usage: million [--cache MIB] [--threads N] [--dirs N] [--files N] [--limit MIB] IMAGE
 */
#include "engine/lab.h"

#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

static struct {
	unsigned cache, threads, dirs, files, limit;
} arg = { .cache = 8, .threads = 4, .dirs = 100, .files = 10000, .limit = 64 };

static struct eng_fs *fs;
static struct eng_ino top;
static _Atomic unsigned next_dir, failures;

static void failed(const char *what, const char *name, int err)
{
	printf("%s %s: %s\n", what, name, strerrorname_np(-err));
	atomic_fetch_add(&failures, 1);
}

static void *work(void *p)
{
	const struct eng_new dir = { .mode = S_IFDIR | 0755 }, file = { .mode = S_IFREG | 0644 };
	struct eng_attr d, f;
	char name[32];
	unsigned nr;

	while ((nr = atomic_fetch_add(&next_dir, 1)) < arg.dirs) {
		int err;

		snprintf(name, sizeof(name), "dir-%05u", nr);
		err = eng_create(fs, top, name, strlen(name), &dir, &d);
		for (unsigned i = 0; !err && i < arg.files; i++) {
			snprintf(name, sizeof(name), "file-%07u", nr * arg.files + i);
			err = eng_create(fs, d.id, name, strlen(name), &file, &f);
		}
		if (err) {
			failed("creating", name, err);
			break;
		}
	}
	return NULL;
}

static void message(void *p, enum eng_msg_level level, const char *text)
{
	if (level > ENG_MSG_WARN)
		return;
	printf("the engine: %s\n", text);
	if (level == ENG_MSG_ERR)
		atomic_fetch_add(&failures, 1);
}

static void count(void *p, const char *name, const char *text, uint64_t value)
{
	if (value)
		printf("  %s %llu\n", name, (unsigned long long)value);
	if (!strcmp(name, "rsv_overruns") && value)
		failed("counting", name, -EOVERFLOW);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static void run(void)
{
	pthread_t *threads = calloc(arg.threads, sizeof(*threads));

	for (unsigned i = 0; threads && i < arg.threads; i++)
		if (pthread_create(&threads[i], NULL, work, NULL))
			abort();
	for (unsigned i = 0; threads && i < arg.threads; i++)
		pthread_join(threads[i], NULL);
	free(threads);
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "cache", 1, NULL, 'c' }, { "threads", 1, NULL, 't' }, { "dirs", 1, NULL, 'd' },
		{ "files", 1, NULL, 'f' }, { "limit", 1, NULL, 'l' },	{ NULL, 0, NULL, 0 }
	};
	struct eng_open_opts opts = { .nr_devices = 1, .writable = true, .message = message };
	double started = now(), made;
	struct rusage used;
	int o, err;

	while ((o = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		unsigned v = o == '?' ? 0 : (unsigned)strtoul(optarg, NULL, 0);
		unsigned *to = o == 'c'	  ? &arg.cache
			       : o == 't' ? &arg.threads
			       : o == 'd' ? &arg.dirs
			       : o == 'f' ? &arg.files
			       : o == 'l' ? &arg.limit
					  : NULL;

		if (!to)
			return 2;
		*to = v;
	}
	if (optind != argc - 1)
		return 2;
	opts.devices = (const char *const *)&argv[optind];
	opts.metadata_cache = (uint64_t)arg.cache << 20;
	opts.threads = arg.threads;
	err = eng_open(&opts, &fs);
	if (!err)
		err = eng_subvol_root(fs, eng_default_subvol(fs), &top);
	if (err) {
		failed("opening", argv[optind], err);
		return 1;
	}
	run();
	made = now();
	lab_counters(fs, count, NULL);
	eng_close(fs);
	getrusage(RUSAGE_SELF, &used);
	printf("%u files in %.1f s and %.1f s to close; at most %ld KiB resident\n",
	       arg.dirs * arg.files, made - started, now() - made, used.ru_maxrss);
	if (used.ru_maxrss >= (long)arg.limit << 10) {
		printf("more than %u MiB\n", arg.limit);
		return 1;
	}
	return atomic_load(&failures) != 0;
}
