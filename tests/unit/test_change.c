// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Trees that change, over a transaction in memory: random edits against a sorted map, snapshots
 * with every reference accounted for, write-out in mid-transaction, a small cache.
 */
#include "engine/util/fault.h"
#include "tests/unit/changelab.h"
#include "tests/unit/plants.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Empties all trees: nothing but their roots is left. */
static bool empty_all(struct lab *l, uint64_t *s)
{
	struct fake_handle h;

	faketxn_begin(l->f, &h, l->mode);
	for (unsigned k = 0; k < l->trees_nr; k++)
		for (unsigned i = 0; i < l->models[k].nr; i++)
			check(edit_delete(l, &h, k, i, s));
	faketxn_end(&h);
	check(all_right(l));
	check(faketxn_used(l->f) == l->trees_nr);
	return true;
}

struct params {
	uint32_t nodesize;
	unsigned keys, edits, frames, snapshots;
	enum bt_search_mode mode;
};

static bool run_random(const struct params *p, uint64_t seed)
{
	uint64_t s = seed;
	struct fake_handle h;
	struct lab l;
	bool ok = true;

	lab_init(&l, p->nodesize, 6000, p->frames, 2, p->keys, p->mode);
	faketxn_begin(l.f, &h, p->mode);
	for (unsigned n = 0; ok && n < p->edits; n++) {
		bool shrink = n / (p->edits / 4 + 1) % 2;

		ok = edit(&l, &h, rnd(&s) % l.trees_nr, rnd(&s) % p->keys, shrink, &s);
		if (rnd(&s) % 256 == 0)
			faketxn_write_some(l.f, 1 + rnd(&s) % 20);
		if (ok && l.trees_nr <= p->snapshots && rnd(&s) % (p->edits / 6) == 0)
			ok = snapshot(&l, &h, rnd(&s) % l.trees_nr);
		if (ok && rnd(&s) % (p->edits / 8) == 0) {
			ok = all_right(&l);
			faketxn_end(&h);
			ok = ok && commit(&l);
			faketxn_begin(l.f, &h, p->mode);
		}
	}
	faketxn_end(&h);
	say_counters(&l);
	ok = ok && all_right(&l) && empty_all(&l, &s) && commit(&l) && all_right(&l);
	if (!ok)
		fprintf(stderr, "node %u, mode %d: UBTRFS_SEED=%llu\n", p->nodesize, p->mode,
			(unsigned long long)seed);
	else
		lab_end(&l);
	return ok;
}

static void test_random(void **state)
{
	static const struct params params[] = {
		{ 4096, 1500, 6000, 300, 0 }, { 4096, 1500, 6000, 300, 3 },
		{ 4096, 1500, 6000, 10, 3 },  { 16384, 3000, 5000, 100, 2 },
		{ 65536, 4000, 4000, 30, 2 },
	};

	for (unsigned i = 0; i < sizeof(params) / sizeof(*params); i++)
		for (int mode = BT_TWO_PASS; mode <= BT_LINUX; mode++) {
			struct params p = params[i];

			p.mode = mode;
			assert_true(run_random(&p, first_seed() + i));
		}
}

/* ---- heights ---- */

/* Commits now and then: what was freed is to be had again. */
static void commit_at(struct lab *l, struct fake_handle *h, unsigned n)
{
	/* As a writeback thread would: looking for clean frames among dirty ones is slow. */
	if (l->f->dirty->nr > 800)
		faketxn_write_some(l->f, 600);
	if (n % 2000)
		return;
	faketxn_end(h);
	assert_true(commit(l));
	faketxn_begin(l->f, h, l->mode);
}

/* Two items a leaf, 121 pointers a node: four levels. */
static void test_heights(void **state)
{
	enum { KEYS = 34000 };
	uint64_t s = first_seed();
	struct fake_handle h;
	struct lab l;
	static const uint8_t data[1900];

	for (int mode = BT_TWO_PASS; mode <= BT_LINUX; mode++) {
		struct bt_verify_stats st;
		unsigned step = 12347; /* coprime: all keys, in no order */

		lab_init(&l, 4096, 40000, 8000, 1, 1, mode);
		faketxn_begin(l.f, &h, mode);
		for (unsigned n = 0, i = 0; n < KEYS; n++, i = (i + step) % KEYS) {
			struct btrfs_key key = key_of(mode == BT_LINUX ? n : i);

			commit_at(&l, &h, n);
			assert_int_equal(bt_insert(&h.t, l.trees[0], &key, data,
						   1300 + (uint32_t)(rnd(&s) % 600)),
					 0);
		}
		assert_int_equal(bt_tree_root(l.trees[0]).level, 3);
		assert_int_equal(bt_verify(&l.trees[0]->root, &st), 0);
		assert_int_equal(st.items, KEYS);
		assert_true(faketxn_refs_right(l.f, l.trees, 1));
		for (unsigned n = 0, i = 0; n < KEYS; n++, i = (i + step) % KEYS) {
			struct btrfs_key key = key_of(i);

			commit_at(&l, &h, n);
			assert_int_equal(bt_delete(&h.t, l.trees[0], &key), 0);
			if (n % 10000 == 0)
				assert_int_equal(bt_verify(&l.trees[0]->root, NULL), 0);
		}
		faketxn_end(&h);
		assert_true(all_right(&l));
		assert_int_equal(bt_tree_root(l.trees[0]).level, 0);
		assert_int_equal(faketxn_used(l.f), 1);
		lab_end(&l);
	}
}

/* Appending in order leaves full leaves behind. */
static void test_appending(void **state)
{
	struct bt_verify_stats st;
	struct fake_handle h;
	struct lab l;

	lab_init(&l, 16384, 2000, 1000, 1, 1, BT_TWO_PASS);
	faketxn_begin(l.f, &h, BT_TWO_PASS);
	for (unsigned i = 0; i < 20000; i++) {
		struct btrfs_key key = key_of(i);

		assert_int_equal(bt_insert(&h.t, l.trees[0], &key, "0123456789", 10), 0);
		if (i == 100)
			assert_int_equal(bt_insert(&h.t, l.trees[0], &key, "", 0), -EEXIST);
	}
	faketxn_end(&h);
	assert_int_equal(bt_verify(&l.trees[0]->root, &st), 0);
	assert_int_equal(st.items, 20000);
	assert_in_range(st.blocks, 20000 * 35 / 16283, 20000 * 35 / 16283 + 4);
	lab_end(&l);
}

/* ---- what is held is not written, and what is written is copied ---- */

static void test_hold(void **state)
{
	BT_PATH_CLEANUP struct bt_path path = BT_PATH_INIT;
	struct btrfs_key key = key_of(1);
	struct fake_handle h;
	struct counters *c;
	struct eb_held held;
	struct eb *leaf;
	struct lab l;

	lab_init(&l, 4096, 100, 100, 1, 1, BT_TWO_PASS);
	c = &l.f->v->counters;
	faketxn_begin(l.f, &h, BT_TWO_PASS);
	assert_int_equal(bt_insert(&h.t, l.trees[0], &key, "one", 3), 0);
	assert_int_equal(bt_search_change(&h.t, l.trees[0], &key, BT_UPDATE, 0, &path), 0);
	leaf = path.nodes[0];
	eb_ref(leaf);
	held = eb_hold(leaf);
	assert_true(eb_is_dirty(leaf));
	/* Locked. */
	faketxn_write_some(l.f, 10);
	assert_int_equal(counter_get(c, cache_written), 0);
	bt_path_release(&path);
	/* Held. */
	faketxn_write_some(l.f, 10);
	assert_int_equal(counter_get(c, cache_written), 0);
	eb_unhold(held);
	faketxn_write_some(l.f, 10);
	assert_int_equal(counter_get(c, cache_written), 1);
	assert_false(eb_is_dirty(leaf));
	eb_unhold(held); /* too late: no-op */
	/* Sealed: the next change goes to a copy. */
	assert_int_equal(bt_search_change(&h.t, l.trees[0], &key, BT_UPDATE, 0, &path), 0);
	assert_ptr_not_equal(path.nodes[0], leaf);
	assert_int_equal(counter_get(c, bt_recows), 1);
	bt_path_release(&path);
	eb_put(leaf);
	faketxn_end(&h);
	assert_true(faketxn_refs_right(l.f, l.trees, 1));
	lab_end(&l);
}

/* A cap that cannot hold a path and spares for each thread is refused, and says what it takes. */
static void test_cap(void **state)
{
	struct vol *v = fakevol_create(16384);
	uint64_t min = eb_cache_min_bytes_live(16384, 4, 3);
	struct eb_cache *c;

	assert_int_equal(eb_cache_create(v, min - 20000, 4, &c), 0);
	assert_int_equal(eb_cache_enable_writes(c, 4, 3), -EINVAL);
	assert_non_null(strstr(v->heard.last, "too small to write"));
	eb_cache_destroy(c);
	assert_int_equal(eb_cache_create(v, min, 4, &c), 0);
	assert_int_equal(eb_cache_enable_writes(c, 4, 3), 0);
	eb_cache_destroy(c);
	fakevol_destroy(v);
}

#ifdef UBTRFS_PLANT
static int checker(void)
{
	struct params p = { 4096, 1500, 3000, 300, 2, BT_TWO_PASS };

	return !run_random(&p, 1);
}

static void test_plants(void **state)
{
	static const struct plant plants[] = {
		{ "bt_cow_forgets_parent", checker },
		{ "bt_merge_loses_last", checker },
		{ "bt_split_wrong_key", checker },
	};

	check_plants(plants, sizeof(plants) / sizeof(*plants));
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),	  cmocka_unit_test(test_heights),
		cmocka_unit_test(test_appending), cmocka_unit_test(test_hold),
		cmocka_unit_test(test_cap),
#ifdef UBTRFS_PLANT
		cmocka_unit_test(test_plants),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
