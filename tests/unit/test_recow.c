// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Copying again what was copied already, and what a search may allocate at most.
 *
 * The sequences by name. A: my handle copied a block, it was written, I copy it again: a bug, or
 * policy none. B: another handle copied it, it was written, then I copy it: legal, and within my
 * reservation.
 */
#include "engine/space/block_rsv.h"
#include "engine/util/fault.h"
#include "tests/unit/changelab.h"
#include "tests/unit/plants.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ITEMS 400u

struct fixture {
	struct lab l;
	struct bt_lab restarts;
	struct counters *c;
};

static void write_out(void *arg)
{
	faketxn_write_some(arg, UINT32_MAX);
}

static bool insert(struct fixture *f, struct fake_handle *h, unsigned i)
{
	struct btrfs_key key = key_of(i);
	uint8_t data[300] = { 0 };

	check(!bt_insert(&h->t, f->l.trees[0], &key, data, sizeof(data)));
	return true;
}

static bool update(struct fixture *f, struct fake_handle *h, unsigned i)
{
	BT_PATH_CLEANUP struct bt_path path = BT_PATH_INIT;
	struct btrfs_key key = key_of(i);

	check(!bt_search_change(&h->t, f->l.trees[0], &key, BT_UPDATE, 0, &path));
	((uint8_t *)bt_item_mut(&h->t, &path))[0]++;
	return true;
}

static void begin(struct fixture *f, struct fake_handle *h)
{
	faketxn_begin(f->l.f, h, f->l.mode);
	h->t.lab = f->restarts.every ? &f->restarts : NULL;
}

/* A committed tree of three levels; searches that start over `times` times. */
static bool setup(struct fixture *f, enum eb_policy policy, unsigned times)
{
	struct fake_handle h;

	memset(f, 0, sizeof(*f));
	lab_init(&f->l, 4096, 3000, 400, 1, 1, BT_LINUX);
	f->c = &f->l.f->v->counters;
	f->l.f->policy = policy;
	faketxn_writeback(f->l.f, false);
	begin(f, &h);
	for (unsigned i = 0; i < 2 * ITEMS; i += 2)
		check(insert(f, &h, i));
	faketxn_end(&h);
	check(commit(&f->l));
	f->restarts.every = times ? 1 : 0;
	f->restarts.times = times;
	f->restarts.between = write_out;
	f->restarts.arg = f->l.f;
	return true;
}

static bool sequence_a(enum eb_policy policy, uint64_t *out_own, uint64_t *out_cows)
{
	struct fake_handle h;
	struct fixture f;

	check(setup(&f, policy, 5));
	begin(&f, &h);
	check(update(&f, &h, 100));
	*out_cows = h.holds.cows;
	check(insert(&f, &h, 101));
	faketxn_end(&h);
	*out_own = h.holds.own_recows;
	check(counter_get(f.c, bt_restarts_lab) == 10);
	check(h.holds.own_recows == counter_get(f.c, bt_own_recows));
	/* What is held was there to be written, and was passed by. */
	if (policy != EB_POLICY_NONE)
		check(counter_get(f.c, wb_held) > 0);
	check(faketxn_refs_right(f.l.f, f.l.trees, 1));
	check(commit(&f.l));
	check(!bt_verify(&f.l.trees[0]->root, NULL));
	lab_end(&f.l);
	return true;
}

static void test_sequence_a_own_copy(void **state)
{
	uint64_t own, cows, least;

	assert_true(sequence_a(EB_POLICY_HOLD, &own, &least));
	assert_int_equal(own, 0);
	assert_true(sequence_a(EB_POLICY_INHIBIT_HANDLE, &own, &cows));
	assert_int_equal(own, 0);
	assert_int_equal(cows, least);
	/* Each time round the whole path again. */
	assert_true(sequence_a(EB_POLICY_NONE, &own, &cows));
	assert_int_equal(cows, 6 * least);
	assert_true(own >= 5 * least);
}

static bool sequence_b(enum eb_policy policy)
{
	struct fake_handle one, two;
	struct fixture f;

	check(setup(&f, policy, 0));
	begin(&f, &one);
	check(update(&f, &one, 100));
	faketxn_end(&one);
	check(one.holds.cows && !one.holds.recows);
	write_out(f.l.f);
	begin(&f, &two);
	check(update(&f, &two, 100));
	faketxn_end(&two);
	/* The whole path, and nothing of its own. */
	check(two.holds.cows == one.holds.cows);
	check(two.holds.recows == two.holds.cows);
	check(!two.holds.own_recows);
	check(two.allocs <= rsv_search_budget(bt_tree_root(f.l.trees[0]).level + 1u));
	check(!counter_get(f.c, bt_own_recows));
	lab_end(&f.l);
	return true;
}

static void test_sequence_b_anothers_copy(void **state)
{
	for (int policy = 0; policy < EB_POLICY_NR; policy++)
		assert_true(sequence_b(policy));
}

/* Two handles at once in one leaf: when the first ends the second still holds it. */
static void test_held_by_two(void **state)
{
	struct fake_handle one, two;
	struct fixture f;

	assert_true(setup(&f, EB_POLICY_HOLD, 0));
	begin(&f, &one);
	begin(&f, &two);
	assert_true(update(&f, &one, 100));
	assert_true(update(&f, &two, 100));
	bt_trans_end(&one.t);
	eb_holds_end(&one.holds);
	write_out(f.l.f);
	assert_true(update(&f, &two, 100));
	assert_int_equal(two.holds.cows, 0);
	faketxn_end(&two);
	write_out(f.l.f);
	begin(&f, &one);
	assert_true(update(&f, &one, 100));
	assert_int_equal(one.holds.own_recows, 0);
	assert_true(one.holds.recows > 0);
	faketxn_end(&one);
	lab_end(&f.l);
}

/* Many more than the table has room for at first; and no memory for more. */
static void test_table(void **state)
{
	for (int policy = 0; policy < EB_POLICY_NR; policy++)
		for (int dry = 0; dry < 2; dry++) {
			struct fake_handle h;
			struct fixture f;

			assert_true(setup(&f, policy, 0));
			begin(&f, &h);
			if (dry)
				fault_arm_run(FAULT_ALLOC, 1, UINT64_MAX);
			for (int round = 0; round < 2; round++) {
				for (unsigned i = 0; i < 2 * ITEMS; i += 2)
					assert_true(update(&f, &h, i));
				write_out(f.l.f);
			}
			fault_arm(FAULT_ALLOC, 0);
			if (policy == EB_POLICY_HOLD)
				assert_int_equal(h.holds.recows, 0);
			if (policy == EB_POLICY_NONE || (policy == EB_POLICY_INHIBIT_HANDLE && dry))
				assert_true(h.holds.recows > 0);
			assert_int_equal(!!counter_get(f.c, hold_untracked), dry);
			faketxn_end(&h);
			write_out(f.l.f);
			assert_false(f.l.f->dirty->nr);
			lab_end(&f.l);
		}
}

/* ---- the reservation: what a search may allocate ---- */

#define HEIGHTS 4

static void note(const struct lab *l, struct fake_handle *h, unsigned height, uint64_t *most)
{
	if (h->allocs > most[height])
		most[height] = h->allocs;
	h->allocs = 0;
}

/*
 * Grows a tree to four levels and empties it again, every block of it copied at every search: the
 * most that one search and its edit allocated, by the height it found.
 */
static bool grow_and_shrink(bool in_order, uint64_t most[HEIGHTS + 1])
{
	enum { KEYS = 16000 };
	uint64_t s = first_seed();
	static const uint8_t data[3900];
	struct fake_handle h;
	struct lab l;

	lab_init(&l, 4096, 40000, 20000, 1, 1, BT_TWO_PASS);
	l.trees[0]->force_cow = true;
	faketxn_begin(l.f, &h, BT_TWO_PASS);
	for (unsigned n = 0, i = 0; n < KEYS; n++, i = (i + 12347) % KEYS) {
		unsigned height = bt_tree_root(l.trees[0]).level + 1u;
		struct btrfs_key key = key_of(in_order ? n : i);

		check(height <= HEIGHTS);
		/* One that fills a leaf between others splits it in three. */
		check(!bt_insert(&h.t, l.trees[0], &key, data,
				 n % 7 ? 1900 + (uint32_t)(rnd(&s) % 1000) : 3900));
		note(&l, &h, height, most);
	}
	check(bt_tree_root(l.trees[0]).level + 1 == HEIGHTS);
	for (unsigned n = 0, i = 0; n < KEYS; n++, i = (i + 12347) % KEYS) {
		unsigned height = bt_tree_root(l.trees[0]).level + 1u;
		struct btrfs_key key = key_of(i);

		check(!bt_delete(&h.t, l.trees[0], &key));
		note(&l, &h, height, most);
	}
	faketxn_end(&h);
	lab_end(&l);
	return true;
}

static void test_reservation(void **state)
{
	uint64_t item = rsv_insert_bytes(4096, 1) / 4096, most[HEIGHTS + 1] = { 0 };

	assert_true(grow_and_shrink(false, most));
	assert_true(grow_and_shrink(true, most));
	for (unsigned height = 1; height <= HEIGHTS; height++) {
		if (getenv("UBTRFS_TEST_VERBOSE"))
			fprintf(stderr, "height %u: %llu blocks of %u\n", height,
				(unsigned long long)most[height], rsv_search_budget(height));
		assert_true(most[height] > height);
		assert_true(most[height] <= rsv_search_budget(height));
		if (height < 4)
			assert_true(rsv_search_budget(height) <= item);
	}
	/* The case by name: an item's 16 blocks are no bound for a tree of four levels. */
	assert_int_equal(item, 16);
	assert_int_equal(rsv_search_budget(4), 18);
}

#ifdef UBTRFS_PLANT
static int checker(void)
{
	uint64_t own, cows;

	return !sequence_a(EB_POLICY_HOLD, &own, &cows) || own;
}

static void test_plants(void **state)
{
	static const struct plant plants[] = { { "hold_nothing", checker } };

	check_plants(plants, 1);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sequence_a_own_copy),
		cmocka_unit_test(test_sequence_b_anothers_copy),
		cmocka_unit_test(test_held_by_two),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_reservation),
#ifdef UBTRFS_PLANT
		cmocka_unit_test(test_plants),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
