// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Time of a search and of a step in a tree that is in the cache; `meson test --benchmark`.
 * Argument: number of items.
 */
#include "tests/unit/fakevol.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define SEARCHES 1000000u

struct job {
	const struct bt_root *root;
	const struct btrfs_key *keys;
	unsigned nr, seed, bad;
	pthread_t thread;
};

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec * 1e-9;
}

static void *search(void *arg)
{
	struct job *j = arg;
	struct bt_path path = BT_PATH_INIT;

	for (unsigned i = 0; i < SEARCHES; i++)
		j->bad += bt_search(j->root, &j->keys[rand_r(&j->seed) % j->nr], &path) != 0;
	bt_path_release(&path);
	return NULL;
}

static unsigned run_searches(const struct bt_root *root, const struct btrfs_key *keys, unsigned nr,
			     unsigned threads)
{
	struct job jobs[8];
	double start = now(), each;
	unsigned bad = 0;

	for (unsigned i = 0; i < threads; i++) {
		jobs[i] = (struct job){ .root = root, .keys = keys, .nr = nr, .seed = i };
		if (pthread_create(&jobs[i].thread, NULL, search, &jobs[i]))
			abort();
	}
	for (unsigned i = 0; i < threads; i++) {
		pthread_join(jobs[i].thread, NULL);
		bad += jobs[i].bad;
	}
	each = (now() - start) * 1e9 / SEARCHES;
	printf("%u thread(s): %.0f ns a search, %.0f ns a level\n", threads, each,
	       each / (root->level + 1));
	return bad;
}

int main(int argc, char **argv)
{
	unsigned nr = argc > 1 ? (unsigned)atoi(argv[1]) : 300000, n = 0, bad = 0;
	struct btrfs_key *keys = tree_random_keys(nr, 1);
	struct vol *v = fakevol_create(16384);
	struct tree_opts opts = { .max_ptrs = 64 };
	struct bt_path path = BT_PATH_INIT;
	struct bt_root root;
	double start;
	int err;

	tree_build(v, keys, nr, &opts, &root);
	if (eb_cache_create(v, (v->nr + 1000) * 17000ull, 8, &root.cache))
		abort();
	err = bt_search(&root, &keys[0], &path);
	while (!err)
		err = bt_next(&path);
	printf("%u items, %u levels, %u blocks of 16384\n", nr, root.level + 1u, v->nr);
	for (unsigned threads = 1; threads <= 4; threads *= 2)
		bad += run_searches(&root, keys, nr, threads);
	start = now();
	for (err = bt_search(&root, &keys[0], &path); !err; err = bt_next(&path))
		n++;
	printf("%.1f ns a step over %u items\n", (now() - start) * 1e9 / n, n);
	bt_path_release(&path);
	eb_cache_destroy(root.cache);
	fakevol_destroy(v);
	free(keys);
	return bad || n != nr;
}
