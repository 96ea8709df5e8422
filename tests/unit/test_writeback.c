// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Writing metadata out: two generations at once, a cache that is made writable while it is in use.
 */
#include "engine/util/fault.h"
#include "tests/unit/faketxn.h"
#include "tests/unit/plants.h"

#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/*
 * A frame's lock is that of many blocks in turn, and siblings are locked both ways under their
 * parent's: the detector of inversions is off. Races are what is looked for.
 */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
	return "detect_deadlocks=0";
}

#define TREE_ID 300 /* some subvolume */
#define KEYS 600u

#define check(cond)                                                                                \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "%s:%d: %s\n", __func__, __LINE__, #cond);                 \
			return false;                                                              \
		}                                                                                  \
	} while (0)

static struct btrfs_key key_of(unsigned i)
{
	return (struct btrfs_key){ 256, BTRFS_STRING_ITEM_KEY, i };
}

static void new_tree(struct faketxn *f, struct bt_tree *tree)
{
	struct bt_root like = { .cache = f->c, .id = TREE_ID }, root;
	struct fake_handle h;

	faketxn_begin(f, &h, BT_TWO_PASS);
	if (bt_create(&h.t, &like, &root))
		abort();
	faketxn_end(&h);
	bt_tree_init(tree, &root);
}

/* Sets every `step`th item from `from` on to (i, value), each in a handle of its own. */
static bool set_items(struct faketxn *f, struct bt_tree *tree, unsigned from, unsigned step,
		      uint32_t value)
{
	for (unsigned i = from; i < KEYS; i += step) {
		BT_PATH_CLEANUP struct bt_path path = BT_PATH_INIT;
		uint32_t data[100] = { i, value };
		struct btrfs_key key = key_of(i);
		struct fake_handle h;
		int err;

		faketxn_begin(f, &h, BT_TWO_PASS);
		err = bt_search_change(&h.t, tree, &key, BT_UPDATE, 0, &path);
		if (!err)
			memcpy(bt_item_mut(&h.t, &path), data, sizeof(data));
		bt_path_release(&path);
		if (err > 0)
			err = bt_insert(&h.t, tree, &key, data, sizeof(data));
		faketxn_end(&h);
		check(!err);
	}
	return true;
}

/* What stands on the disk from this root on, read without anything that a cache has. */
static bool on_disk(struct faketxn *f, struct bt_root root, uint32_t value)
{
	BT_PATH_CLEANUP struct bt_path path = BT_PATH_INIT;
	struct btrfs_key key = key_of(0);
	int err;

	f->v->geo.generation = root.generation;
	if (eb_cache_create(f->v, 4 << 20, 1, &root.cache))
		abort();
	err = bt_verify(&root, NULL);
	if (!err)
		err = bt_search(&root, &key, &path);
	for (unsigned i = 0; !err && i < KEYS; i++) {
		uint32_t data[2];

		memcpy(data, bt_item(&path), sizeof(data));
		if (data[0] != i || data[1] != value)
			err = -EIO;
		else
			err = bt_next(&path) < 0 ? -EIO : 0;
	}
	bt_path_release(&path);
	eb_cache_destroy(root.cache);
	check(!err);
	return true;
}

/* ---- a commit under way while the next generation copies its blocks ---- */

static struct bt_tree *moving;
static unsigned moves;

static void change_more(struct faketxn *f)
{
	f->during_write = NULL;
	if (!set_items(f, moving, 1, 3, 1000 + moves++))
		abort();
	f->during_write = change_more;
}

static bool run_two_generations(unsigned fail_nth)
{
	struct faketxn *f = faketxn_create(4096, 2000, 200, 1);
	struct bt_tree tree;
	struct bt_root root;
	int err;

	new_tree(f, &tree);
	moving = &tree;
	moves = 0;
	for (uint32_t value = 1; value < 4; value++) {
		check(set_items(f, &tree, 0, 1, value));
		root = bt_tree_root(&tree);
		faketxn_switch(f);
		/* Some are copied before their turn to be written, some while they are under I/O.
		 */
		check(set_items(f, &tree, 0, 2, 100));
		f->during_write = change_more;
		f->fail_write = fail_nth;
		err = faketxn_finish(f);
		if (err) {
			check(fail_nth && err == -EIO);
			err = faketxn_finish(f);
		}
		f->during_write = NULL;
		f->fail_write = 0;
		check(!err);
		check(on_disk(f, root, value));
		check(faketxn_refs_right(f, (struct bt_tree *[]){ &tree }, 1));
	}
	check(moves > 3);
	bt_tree_destroy(&tree);
	faketxn_destroy(f);
	return true;
}

static void test_two_generations(void **state)
{
	for (unsigned nth = 0; nth < 20; nth += 3)
		assert_true(run_two_generations(nth));
}

/* ---- a cache that was read through becomes writable ---- */

static void test_enable_late(void **state)
{
	struct vol *v = fakevol_create(4096);
	unsigned nr = 30000;
	struct btrfs_key *keys = tree_random_keys(nr, 1);
	struct tree_opts opts = { .max_items = 10 };
	uint64_t cap = eb_cache_min_bytes_live(4096, 1, 4) + (1 << 20);
	struct eb_cache_stats st, after;
	struct bt_root root;

	tree_build(v, keys, nr, &opts, &root);
	assert_int_equal(eb_cache_create(v, cap, 1, &root.cache), 0);
	assert_int_equal(bt_verify(&root, NULL), 0);
	eb_cache_stats(root.cache, &st);
	/* Full, so that the frames that go have blocks in them. */
	assert_int_equal(st.touched, st.frames);
	assert_int_equal(eb_cache_enable_writes(root.cache, 1, 4), 0);
	eb_cache_stats(root.cache, &after);
	assert_true(after.frames < st.frames);
	assert_int_equal(after.touched, after.frames);
	/* Frames, their descriptors, bucket heads, sides. */
	assert_true(after.frames * (4096 + 100ull) <= cap);
	for (int i = 0; i < 2; i++)
		assert_int_equal(bt_verify(&root, NULL), 0);
	eb_cache_destroy(root.cache);
	fakevol_destroy(v);
	free(keys);
}

/* ---- the thread ---- */

static _Atomic int writing;

static void slow(struct faketxn *f)
{
	writing++;
	usleep(1000);
	writing--;
}

/* Dirty frames pass the threshold: the thread writes. A new target: nothing of the old is under
 * way. */
static bool run_target(void)
{
	struct faketxn *f = faketxn_create(4096, 3000, 0, 1);
	struct bt_tree tree;
	bool quiet = true;

	faketxn_writeback(f, true);
	new_tree(f, &tree);
	f->during_write = slow;
	for (uint32_t value = 0; value < 20 && quiet; value++) {
		check(set_items(f, &tree, 0, 1, value));
		check(!eb_writeback_target(f->wb, NULL));
		quiet = !writing;
		check(!eb_writeback_target(f->wb, f->dirty));
	}
	check(counter_get(&f->v->counters, wb_written) > 20);
	/* The thread may look at it. */
	check(!eb_writeback_target(f->wb, NULL));
	f->during_write = NULL;
	check(quiet);
	check(!faketxn_commit(f));
	check(on_disk(f, bt_tree_root(&tree), 19));
	bt_tree_destroy(&tree);
	faketxn_destroy(f);
	return true;
}

static void test_target(void **state)
{
	assert_true(run_target());
}

/* The first failure is told of at once, and remembered for who changes the target. */
static void test_write_fails(void **state)
{
	struct faketxn *f = faketxn_create(4096, 3000, 200, 1);
	unsigned written;
	struct bt_tree tree;

	faketxn_writeback(f, false);
	new_tree(f, &tree);
	assert_true(set_items(f, &tree, 0, 1, 1));
	f->fail_write = 3;
	assert_int_equal(eb_writeback_step(f->wb, 10, &written), -EIO);
	assert_int_equal(f->wb_failed, 1);
	f->fail_write = 1;
	assert_int_equal(eb_writeback_step(f->wb, 10, &written), -EIO);
	assert_int_equal(f->wb_failed, 1);
	assert_int_equal(counter_get(&f->v->counters, wb_errors), 2);
	assert_int_equal(eb_writeback_target(f->wb, NULL), -EIO);
	assert_int_equal(eb_writeback_step(f->wb, 10, &written), 0);
	assert_int_equal(written, 0);
	assert_int_equal(eb_writeback_target(f->wb, f->dirty), 0);
	/* What failed is dirty still. */
	assert_int_equal(eb_writeback_step(f->wb, UINT32_MAX, &written), 0);
	assert_true(on_disk(f, bt_tree_root(&tree), 1));
	bt_tree_destroy(&tree);
	faketxn_destroy(f);
}

/* ---- the smallest cap: everybody goes on ---- */

#define THREADS 8
#define PER_THREAD 400u

struct worker {
	struct faketxn *f;
	struct bt_tree *tree;
	pthread_rwlock_t *gate; /* written by who commits */
	unsigned nr, handle_edits, rounds;
	enum bt_search_mode mode;
	bool ok;
	uint64_t own_recows;
	pthread_t thread;
};

static int edit_once(struct worker *w, struct fake_handle *h, unsigned i, uint32_t value)
{
	BT_PATH_CLEANUP struct bt_path path = BT_PATH_INIT;
	/* Two of them fill a leaf. */
	uint32_t size = w->f->v->geo.nodesize * 3 / 8;
	uint32_t data[16384 / 4] = { i, value };
	struct btrfs_key key = { 256 + w->nr, BTRFS_STRING_ITEM_KEY, i };
	int err = bt_search_change(&h->t, w->tree, &key, BT_UPDATE, 0, &path);

	if (!err)
		memcpy(bt_item_mut(&h->t, &path), data, size);
	bt_path_release(&path);
	return err > 0 ? bt_insert(&h->t, w->tree, &key, data, size) : err;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	unsigned n = 0;

	for (unsigned round = 0; w->ok && round < w->rounds; round++) {
		struct fake_handle h;

		pthread_rwlock_rdlock(w->gate);
		faketxn_begin(w->f, &h, w->mode);
		for (unsigned j = 0; w->ok && j < w->handle_edits; j++, n += 37)
			w->ok = !edit_once(w, &h, n % PER_THREAD, round);
		faketxn_end(&h);
		w->own_recows += h.holds.own_recows;
		pthread_rwlock_unlock(w->gate);
		if (w->nr || round % 4)
			continue;
		pthread_rwlock_wrlock(w->gate);
		w->ok = w->ok && !faketxn_commit(w->f);
		pthread_rwlock_unlock(w->gate);
	}
	return NULL;
}

struct capped {
	uint32_t nodesize;
	enum eb_policy policy;
	bool thread; /* that writes */
	unsigned handle_edits, rounds;
	enum bt_search_mode mode;
	unsigned threads; /* that the cap is for, and that are there; 0: THREADS */
};

/* Everything was done, nothing is lost; own copies copied again, and holds that were ended. */
static bool run_capped(const struct capped *p, uint64_t *out_own, uint64_t *out_ended)
{
	unsigned threads = p->threads ? p->threads : THREADS;
	struct faketxn *f = faketxn_create(p->nodesize, 12000, 0, threads);
	pthread_rwlock_t gate = PTHREAD_RWLOCK_INITIALIZER;
	struct worker w[THREADS];
	struct bt_verify_stats st;
	struct bt_tree tree;
	bool ok = true;

	f->policy = p->policy;
	faketxn_writeback(f, p->thread);
	new_tree(f, &tree);
	*out_own = 0;
	for (unsigned i = 0; i < threads; i++) {
		w[i] = (struct worker){ .f = f,
					.tree = &tree,
					.gate = &gate,
					.nr = i,
					.handle_edits = p->handle_edits,
					.rounds = p->rounds,
					.mode = p->mode,
					.ok = true };
		if (pthread_create(&w[i].thread, NULL, work, &w[i]))
			abort();
	}
	for (unsigned i = 0; i < threads; i++) {
		pthread_join(w[i].thread, NULL);
		ok = ok && w[i].ok;
		*out_own += w[i].own_recows;
	}
	*out_ended = counter_get(&f->v->counters, wb_holds_ended);
	check(ok);
	check(!bt_verify(&tree.root, &st));
	check(st.items == threads * (p->handle_edits * p->rounds < PER_THREAD
					     ? p->handle_edits * p->rounds
					     : PER_THREAD));
	check(faketxn_refs_right(f, (struct bt_tree *[]){ &tree }, 1));
	if (getenv("UBTRFS_TEST_VERBOSE"))
		fprintf(stderr,
			"node %u, %s, %u edits a handle: written %llu waits %llu cows %llu "
			"recows %llu own %llu, held %llu, passed by: held %llu locked %llu, ended "
			"%llu\n",
			p->nodesize, eb_policy_name(p->policy), p->handle_edits,
			(unsigned long long)counter_get(&f->v->counters, wb_written),
			(unsigned long long)counter_get(&f->v->counters, cache_spare_waits),
			(unsigned long long)counter_get(&f->v->counters, bt_cows),
			(unsigned long long)counter_get(&f->v->counters, bt_recows),
			(unsigned long long)*out_own,
			(unsigned long long)counter_get(&f->v->counters, hold_blocks),
			(unsigned long long)counter_get(&f->v->counters, wb_held),
			(unsigned long long)counter_get(&f->v->counters, wb_locked),
			(unsigned long long)*out_ended);
	bt_tree_destroy(&tree);
	faketxn_destroy(f);
	return true;
}

static void test_smallest_cap(void **state)
{
	static const uint32_t nodesizes[] = { 4096, 16384 };
	uint64_t own, ended;

	for (unsigned i = 0; i < 2; i++)
		for (int policy = 0; policy < EB_POLICY_NR; policy++) {
			struct capped p = { nodesizes[i], policy, true, 6, 60, BT_TWO_PASS };

			assert_true(run_capped(&p, &own, &ended));
			/* Under this cap a hold may have had to end. */
			if (policy == EB_POLICY_HOLD && !ended)
				assert_int_equal(own, 0);
			p.mode = BT_LINUX;
			p.rounds = 25;
			assert_true(run_capped(&p, &own, &ended));
		}
}

/* Handles that hold more than there is: all dirty frames are held, and still all of them end. */
static void test_all_held(void **state)
{
	static const uint32_t nodesizes[] = { 4096, 16384 };
	uint64_t own, ended;

	for (unsigned i = 0; i < 2; i++)
		for (int thread = 0; thread < 2; thread++) {
			struct capped p = { .nodesize = nodesizes[i],
					    .thread = thread,
					    .handle_edits = 350,
					    .rounds = 2 };

			assert_true(run_capped(&p, &own, &ended));
			/* Alone, it must have happened. */
			p.threads = 1;
			assert_true(run_capped(&p, &own, &ended));
			assert_true(ended > 0);
		}
}

#ifdef UBTRFS_PLANT
static int two_generations(void)
{
	return !run_two_generations(0);
}

static int target(void)
{
	return !run_target();
}

static void test_plants(void **state)
{
	static const struct plant plants[] = {
		{ "bt_cow_forgets_dirty", two_generations },
		{ "writeback_no_quiesce", target },
	};

	check_plants(plants, sizeof(plants) / sizeof(*plants));
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_two_generations), cmocka_unit_test(test_enable_late),
		cmocka_unit_test(test_target),		cmocka_unit_test(test_write_fails),
		cmocka_unit_test(test_smallest_cap),	cmocka_unit_test(test_all_held),
#ifdef UBTRFS_PLANT
		cmocka_unit_test(test_plants),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
