// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Time of a search and of a step in a tree that is in the cache, of changing one, and of a frame
 * when most are dirty; `meson test --benchmark`. Argument: number of items.
 */
#include "tests/unit/faketxn.h"
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

/* ---- changing ---- */

static unsigned change_items(struct faketxn *f, struct bt_tree *tree, const struct btrfs_key *keys,
			     unsigned nr, bool insert)
{
	static const uint8_t data[100];
	unsigned bad = 0, seed = 7;

	for (unsigned i = 0; i < nr;) {
		struct fake_handle h;

		faketxn_begin(f, &h, BT_TWO_PASS);
		for (unsigned j = 0; j < 8 && i < nr; j++, i++) {
			BT_PATH_CLEANUP struct bt_path path = BT_PATH_INIT;
			const struct btrfs_key *key = &keys[rand_r(&seed) % nr];

			if (insert) {
				bad += bt_insert(&h.t, tree, &keys[i], data, sizeof(data)) != 0;
				continue;
			}
			bad += bt_search_change(&h.t, tree, key, BT_UPDATE, 0, &path) != 0;
			((uint8_t *)bt_item_mut(&h.t, &path))[0]++;
		}
		faketxn_end(&h);
	}
	return bad;
}

static void shuffle(struct btrfs_key *keys, unsigned nr)
{
	unsigned seed = 3;

	for (unsigned i = nr; i > 1; i--) {
		unsigned j = (unsigned)rand_r(&seed) % i;
		struct btrfs_key k = keys[i - 1];

		keys[i - 1] = keys[j];
		keys[j] = k;
	}
}

static unsigned run_changes(unsigned nr)
{
	struct faketxn *f = faketxn_create(16384, nr / 30 + 1000, nr / 30 + 1000, 1);
	struct btrfs_key *keys = tree_random_keys(nr, 1);
	struct bt_root like = { .cache = f->c, .id = 300 }, root;
	struct fake_handle h;
	struct bt_tree tree;
	double start;
	unsigned bad;

	f->policy = EB_POLICY_HOLD;
	faketxn_begin(f, &h, BT_TWO_PASS);
	if (bt_create(&h.t, &like, &root))
		abort();
	faketxn_end(&h);
	bt_tree_init(&tree, &root);
	shuffle(keys, nr);
	start = now();
	bad = change_items(f, &tree, keys, nr, true);
	printf("%.0f ns an insert, %u levels\n", (now() - start) * 1e9 / nr,
	       bt_tree_root(&tree).level + 1u);
	start = now();
	bad += change_items(f, &tree, keys, nr, false);
	printf("%.0f ns an update\n", (now() - start) * 1e9 / nr);
	bt_tree_destroy(&tree);
	faketxn_destroy(f);
	free(keys);
	return bad;
}

/* ---- frames ---- */

/* A cache of dirty blocks but for `clean` of them: what a frame costs. */
static void run_frames(unsigned frames, unsigned clean)
{
	struct vol *v = fakevol_create(4096);
	struct eb_spares s = { 0 };
	struct eb_cache_stats st;
	struct eb_dirty dirty;
	uint64_t logical = 1ull << 30;
	struct eb_cache *c;
	unsigned n;
	double start = 0;

	eb_dirty_init(&dirty);
	if (eb_cache_create(v, frames * 4500ull, 1, &c) || eb_cache_enable_writes(c, 1, 4))
		abort();
	eb_cache_stats(c, &st);
	for (n = 0; n < st.frames + 20000; n++, logical += 4096) {
		struct eb *eb;

		if (n == st.frames)
			start = now();
		if (eb_spares_fill(c, &s, 1))
			abort();
		eb = eb_new(c, &s, logical, FAKE_GENERATION, 300, 0);
		if (n < st.frames && n % (st.frames / clean))
			eb_mark_dirty(eb, &dirty);
		eb_unlock_write(eb);
		eb_put(eb);
	}
	printf("%u frames, %u not dirty: %.0f ns a frame\n", st.frames, st.frames - dirty.nr,
	       (now() - start) * 1e9 / 20000);
	eb_dirty_abandon(&dirty);
	eb_dirty_destroy(&dirty);
	eb_cache_destroy(c);
	fakevol_destroy(v);
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
	bad += run_changes(nr);
	for (unsigned clean = 4; clean <= 4096; clean *= 32)
		run_frames(32768, clean);
	eb_cache_destroy(root.cache);
	fakevol_destroy(v);
	free(keys);
	return bad || n != nr;
}
