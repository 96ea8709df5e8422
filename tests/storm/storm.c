// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The ENOSPC storm: 8 threads fill a filesystem with names, inline files and attributes until not
 * even an empty file can be created, delete half, and again, ten times; at last they delete all.
 *
 * No call fails but for want of room, and deleting never does; after each round the filesystem
 * commits and its trees, block groups and counters fit each other; no reserve is overrun. The
 * driver asks btrfs check.
 *
 * usage: storm [--rounds N] [--threads N] [--seed N] [--keep] IMAGE
 */
#include "engine/lab.h"
#include "tests/lib/simdisk.h"

#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define THREADS_MAX 32
/* So many refusals in a row, and this size of things does not fit any more. */
#define REFUSALS 20

static struct {
	unsigned rounds, threads;
	uint64_t seed;
	bool keep;
} arg = { .rounds = 10, .threads = 8, .seed = 1 };

static struct eng_fs *fs;
static _Atomic unsigned failures;
static pthread_barrier_t barrier;

struct worker {
	pthread_t thread;
	unsigned nr;
	uint64_t rng;
	struct eng_ino dir;
	uint64_t *live; /* numbers of files that are there */
	size_t nr_live, max_live;
	uint64_t next;
	uint64_t made, refused, deleted;
};

static void failed(const struct worker *w, const char *what, uint64_t file, long err)
{
	if (atomic_fetch_add(&failures, 1) < 20)
		printf("thread %u: %s %llu: %s\n", w->nr, what, (unsigned long long)file,
		       strerrorname_np((int)-err));
}

/* The number decides the length as well. */
static size_t name_of(uint64_t file, char *name)
{
	int len = snprintf(name, 256, "f%llu.", (unsigned long long)file);

	if (file % 7 == 0) {
		memset(name + len, 'n', 200);
		len += 200;
		name[len] = '\0';
	}
	return (size_t)len;
}

/* How large the things are that it is tried to make. */
enum size {
	LARGE, /* inline data and attributes */
	SMALL, /* a little of it */
	EMPTY,
	SIZES,
};

static long furnish(struct worker *w, struct eng_ino id, enum size size)
{
	size_t len = size == LARGE ? 300 + sim_below(&w->rng, 1500) : 1 + sim_below(&w->rng, 60);
	char buf[2048];
	long ret;

	memset(buf, (int)(w->rng & 0xff), sizeof(buf));
	if (size == EMPTY)
		return 0;
	ret = eng_write(fs, id, 0, buf, len);
	if (ret >= 0 && sim_below(&w->rng, 3) == 0)
		ret = eng_setxattr(fs, id, "user.storm", buf, len / 2, 0);
	return ret < 0 ? ret : 0;
}

/* False: no room. */
static bool make_one(struct worker *w, enum size size)
{
	const struct eng_new what = { .mode = S_IFREG | 0644 };
	uint64_t file = w->next++;
	struct eng_attr a;
	char name[256];
	size_t len = name_of(file, name);
	long ret = eng_create(fs, w->dir, name, len, &what, &a);

	if (ret == -ENOSPC) {
		w->refused++;
		return false;
	}
	if (ret) {
		failed(w, "creating", file, ret);
		return false;
	}
	if (w->nr_live == w->max_live) {
		w->max_live = w->max_live ? 2 * w->max_live : 1024;
		w->live = blk_must(realloc(w->live, w->max_live * sizeof(*w->live)));
	}
	w->live[w->nr_live++] = file;
	w->made++;
	ret = furnish(w, a.id, size);
	if (ret && ret != -ENOSPC)
		failed(w, "writing", file, ret);
	w->refused += ret == -ENOSPC;
	return !ret;
}

static void fill(struct worker *w)
{
	for (enum size size = LARGE; size < SIZES; size++)
		for (unsigned no = 0; no < REFUSALS && !atomic_load(&failures);)
			no = make_one(w, size) ? 0 : no + 1;
}

static void delete_some(struct worker *w, size_t keep)
{
	char name[256];

	while (w->nr_live > keep && !atomic_load(&failures)) {
		size_t i = sim_below(&w->rng, w->nr_live);
		uint64_t file = w->live[i];
		size_t len = name_of(file, name);
		int ret = eng_unlink(fs, w->dir, name, len);

		if (ret) {
			failed(w, "deleting", file, ret);
			return;
		}
		w->live[i] = w->live[--w->nr_live];
		w->deleted++;
	}
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static void tell(const char *what, unsigned round, double since)
{
	struct eng_statfs st;

	if (eng_statfs(fs, &st))
		return;
	printf("round %u: %s in %.1f s; free %llu MiB, available %llu MiB\n", round, what,
	       now() - since, (unsigned long long)st.free_bytes >> 20,
	       (unsigned long long)st.avail_bytes >> 20);
	fflush(stdout);
}

/* Nothing is under way. */
static void look(struct worker *w, const char *what, unsigned round, double *since)
{
	int ret;

	if (w->nr)
		return;
	ret = eng_sync(fs);
	if (ret)
		failed(w, "committing in round", round, ret);
	ret = ret ? 0 : lab_verify(fs);
	if (ret)
		failed(w, "verifying in round", round, ret);
	tell(what, round, *since);
	*since = now();
}

static void *work(void *p)
{
	struct worker *w = p;
	double since = now();

	for (unsigned round = 0; round < arg.rounds; round++) {
		bool last = round + 1 == arg.rounds;

		fill(w);
		pthread_barrier_wait(&barrier);
		look(w, "full", round, &since);
		pthread_barrier_wait(&barrier);
		delete_some(w, last && !arg.keep ? 0 : w->nr_live / 2);
		pthread_barrier_wait(&barrier);
		look(w, last && !arg.keep ? "all deleted" : "half deleted", round, &since);
		pthread_barrier_wait(&barrier);
	}
	return NULL;
}

static void count(void *p, const char *name, const char *text, uint64_t value)
{
	if (!strncmp(name, "rsv_", 4) || !strncmp(name, "space_", 6) || !strncmp(name, "bg_", 3))
		printf("  %s %llu\n", name, (unsigned long long)value);
	if (!strcmp(name, "rsv_overruns") && value) {
		printf("a reserve was overrun\n");
		atomic_fetch_add(&failures, 1);
	}
}

static void message(void *p, enum eng_msg_level level, const char *text)
{
	if (level > ENG_MSG_WARN)
		return;
	printf("the engine: %s\n", text);
	if (level == ENG_MSG_ERR)
		atomic_fetch_add(&failures, 1);
}

static void run(struct worker *workers)
{
	pthread_barrier_init(&barrier, NULL, arg.threads);
	for (unsigned i = 0; i < arg.threads; i++)
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
			abort();
	for (unsigned i = 0; i < arg.threads; i++) {
		struct worker *w = &workers[i];

		pthread_join(w->thread, NULL);
		if (!i)
			printf("of the first thread: %llu made, %llu refused, %llu deleted\n",
			       (unsigned long long)w->made, (unsigned long long)w->refused,
			       (unsigned long long)w->deleted);
		free(w->live);
	}
	pthread_barrier_destroy(&barrier);
}

int main(int argc, char **argv)
{
	static const struct option longs[] = { { "rounds", 1, NULL, 'r' },
					       { "threads", 1, NULL, 't' },
					       { "seed", 1, NULL, 's' },
					       { "keep", 0, NULL, 'k' },
					       { NULL, 0, NULL, 0 } };
	static struct worker workers[THREADS_MAX];
	struct eng_open_opts opts = { .nr_devices = 1, .writable = true, .message = message };
	const struct eng_new dir = { .mode = S_IFDIR | 0755 };
	struct eng_ino top;
	struct eng_attr a;
	char name[32];
	int o, err;

	while ((o = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (o == 'r')
			arg.rounds = (unsigned)strtoul(optarg, NULL, 0);
		else if (o == 't')
			arg.threads = (unsigned)strtoul(optarg, NULL, 0) % (THREADS_MAX + 1);
		else if (o == 's')
			arg.seed = strtoull(optarg, NULL, 0);
		else if (o == 'k')
			arg.keep = true;
		else
			return 2;
	}
	if (optind != argc - 1)
		return 2;
	opts.devices = (const char *const *)&argv[optind];
	opts.threads = arg.threads;
	err = eng_open(&opts, &fs);
	if (!err)
		err = eng_subvol_root(fs, eng_default_subvol(fs), &top);
	for (unsigned i = 0; !err && i < arg.threads; i++) {
		snprintf(name, sizeof(name), "t%u", i);
		workers[i].nr = i;
		workers[i].rng = sim_seed(arg.seed, i);
		err = eng_create(fs, top, name, strlen(name), &dir, &a);
		workers[i].dir = a.id;
	}
	if (err) {
		printf("opening: %s\n", strerrorname_np(-err));
		eng_close(fs);
		return 1;
	}
	run(workers);
	lab_counters(fs, count, NULL);
	eng_close(fs);
	return atomic_load(&failures) != 0;
}
