// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What tests/bench/bench-engine times: the same changes of names and inodes by the kernel's system
 * calls and by our engine in this process, on an empty filesystem.
 *
 * benchmeta kernel DIR THREADS COUNT       DIR is in a mount
 * benchmeta engine IMAGE THREADS COUNT     an image or device, opened here
 *
 * Each thread has a directory of its own and its share of COUNT entries. Phases, one after the
 * other: mkdir, create, stat, rename, unlink, commit. But for stat each ends with a sync that
 * counts; before stat the kernel forgets its dentries and inodes (not the trees), so that both look
 * into trees. commit creates one file and syncs, again and again, from all threads.
 *
 * Prints a line a phase: NAME SECONDS AMOUNT.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "engine/engine.h"

#define MAX_THREADS 64
#define COMMITS 400

struct worker {
	pthread_t thread;
	unsigned nr;
	int fd;		    /* kernel: its directory */
	struct eng_ino dir; /* engine: the same */
};

/* Names are `kind` and a number; all return 0 or -errno. */
struct side {
	int (*make)(struct worker *w, const char *name, mode_t mode);
	int (*stat)(struct worker *w, const char *name);
	int (*rename)(struct worker *w, const char *from, const char *to);
	int (*unlink)(struct worker *w, const char *name);
	int (*sync)(struct worker *w);
};

static const struct side *side;
static struct eng_fs *fs;
static int top_fd;
static unsigned nr_threads, count;

/* ---- the kernel ---- */

static int k_ret(int ret)
{
	return ret ? -errno : 0;
}

static int k_make(struct worker *w, const char *name, mode_t mode)
{
	if (S_ISDIR(mode))
		return k_ret(mkdirat(w->fd, name, 0755));
	return k_ret(mknodat(w->fd, name, mode, 0));
}

static int k_stat(struct worker *w, const char *name)
{
	struct stat st;

	return k_ret(fstatat(w->fd, name, &st, AT_SYMLINK_NOFOLLOW));
}

static int k_rename(struct worker *w, const char *from, const char *to)
{
	return k_ret(renameat(w->fd, from, w->fd, to));
}

static int k_unlink(struct worker *w, const char *name)
{
	return k_ret(unlinkat(w->fd, name, 0));
}

static int k_sync(struct worker *w)
{
	return k_ret(syncfs(w->fd));
}

static const struct side kernel_side = { k_make, k_stat, k_rename, k_unlink, k_sync };

/* ---- our engine ---- */

static int e_make(struct worker *w, const char *name, mode_t mode)
{
	const struct eng_new what = { .mode = mode };
	struct eng_attr a;

	return eng_create(fs, w->dir, name, strlen(name), &what, &a);
}

static int e_stat(struct worker *w, const char *name)
{
	struct eng_attr a;

	return eng_lookup(fs, w->dir, name, strlen(name), &a);
}

static int e_rename(struct worker *w, const char *from, const char *to)
{
	return eng_rename(fs, w->dir, from, strlen(from), w->dir, to, strlen(to), 0);
}

static int e_unlink(struct worker *w, const char *name)
{
	return eng_unlink(fs, w->dir, name, strlen(name));
}

static int e_sync(struct worker *w)
{
	return eng_sync(fs);
}

static const struct side engine_side = { e_make, e_stat, e_rename, e_unlink, e_sync };

/* ---- phases; one call is one entry ---- */

static int do_mkdir(struct worker *w, unsigned i)
{
	char name[32];

	snprintf(name, sizeof(name), "dir-%07u", i);
	return side->make(w, name, S_IFDIR | 0755);
}

static int do_create(struct worker *w, unsigned i)
{
	char name[32];

	snprintf(name, sizeof(name), "file-%07u", i);
	return side->make(w, name, S_IFREG | 0644);
}

static int do_stat(struct worker *w, unsigned i)
{
	char name[32];

	snprintf(name, sizeof(name), "file-%07u", i);
	return side->stat(w, name);
}

static int do_rename(struct worker *w, unsigned i)
{
	char from[32], to[32];

	snprintf(from, sizeof(from), "file-%07u", i);
	snprintf(to, sizeof(to), "moved-%07u", i);
	return side->rename(w, from, to);
}

static int do_unlink(struct worker *w, unsigned i)
{
	char name[32];

	snprintf(name, sizeof(name), "moved-%07u", i);
	return side->unlink(w, name);
}

static int do_commit(struct worker *w, unsigned i)
{
	char name[32];
	int ret;

	snprintf(name, sizeof(name), "commit-%07u", i);
	ret = side->make(w, name, S_IFREG | 0644);
	return ret ? ret : side->sync(w);
}

static const struct phase {
	const char *name;
	int (*fn)(struct worker *w, unsigned i);
	unsigned entries; /* of all threads; 0: COUNT */
	bool changes;
} phases[] = {
	{ "mkdir", do_mkdir, 0, true },	  { "create", do_create, 0, true },
	{ "stat", do_stat, 0, false },	  { "rename", do_rename, 0, true },
	{ "unlink", do_unlink, 0, true }, { "commit", do_commit, COMMITS, false },
};

static const struct phase *phase;

static void *work(void *p)
{
	struct worker *w = p;
	unsigned each = (phase->entries ? phase->entries : count) / nr_threads;

	for (unsigned i = 0; i < each; i++) {
		int ret = phase->fn(w, i);

		if (ret)
			errx(1, "%s %u: %s", phase->name, i, strerror(-ret));
	}
	return NULL;
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static void forget(void)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "2\n", 2) != 2)
		err(1, "drop_caches");
	close(fd);
}

static void run_phase(struct worker *workers)
{
	unsigned total = (phase->entries ? phase->entries : count) / nr_threads * nr_threads;
	double start;
	int ret = 0;

	if (side == &kernel_side && phase->fn == do_stat)
		forget();
	start = now();
	for (unsigned i = 0; i < nr_threads; i++)
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
			err(1, "thread");
	for (unsigned i = 0; i < nr_threads; i++)
		pthread_join(workers[i].thread, NULL);
	if (phase->changes)
		ret = side->sync(&workers[0]);
	if (ret)
		errx(1, "sync: %s", strerror(-ret));
	printf("%s %.6f %u\n", phase->name, now() - start, total);
}

static void message(void *arg, enum eng_msg_level level, const char *text)
{
	if (level <= ENG_MSG_WARN)
		warnx("%s", text);
}

static void open_side(const char *which, const char *where)
{
	struct eng_open_opts opts = { .devices = &where,
				      .nr_devices = 1,
				      .writable = true,
				      .threads = nr_threads,
				      .workers = -1,
				      .metadata_cache = 256 << 20,
				      .message = message };

	if (!strcmp(which, "kernel")) {
		side = &kernel_side;
		top_fd = open(where, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (top_fd < 0)
			err(1, "%s", where);
	} else {
		side = &engine_side;
		if (eng_open(&opts, &fs))
			errx(1, "%s: cannot be opened", where);
	}
}

static void make_dir(struct worker *w)
{
	const struct eng_new what = { .mode = S_IFDIR | 0755 };
	struct eng_ino top;
	struct eng_attr a;
	char name[32];

	snprintf(name, sizeof(name), "thread-%u", w->nr);
	if (side == &kernel_side) {
		if (mkdirat(top_fd, name, 0755))
			err(1, "%s", name);
		w->fd = openat(top_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (w->fd < 0)
			err(1, "%s", name);
		return;
	}
	if (eng_subvol_root(fs, eng_default_subvol(fs), &top) ||
	    eng_create(fs, top, name, strlen(name), &what, &a))
		errx(1, "%s: cannot be made", name);
	w->dir = a.id;
}

int main(int argc, char **argv)
{
	static struct worker workers[MAX_THREADS];

	if (argc != 5 || (nr_threads = (unsigned)atoi(argv[3])) < 1 || nr_threads > MAX_THREADS)
		errx(2, "usage: benchmeta kernel|engine WHERE THREADS COUNT");
	count = (unsigned)atoi(argv[4]);
	open_side(argv[1], argv[2]);
	for (unsigned i = 0; i < nr_threads; i++) {
		workers[i].nr = i;
		make_dir(&workers[i]);
	}
	for (size_t i = 0; i < sizeof(phases) / sizeof(phases[0]); i++) {
		phase = &phases[i];
		run_phase(workers);
	}
	eng_close(fs);
	return 0;
}
