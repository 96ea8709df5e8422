// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Transactions that something breaks off: allocations, reads, writes and flushes that fail at every step, power cuts,
 * a filesystem so full that what was freed is soon used again; and the faults that these are shown to catch.
 */
#include "engine/util/fault.h"
#include "tests/unit/plants.h"
#include "tests/unit/txnrig.h"

#include <inttypes.h>
#include <string.h>

/* ---- failures at every step ---- */

/* Returns how far it came: operations that are durable for sure, and what was begun. */
struct reached {
	unsigned durable, done;
	int err;
};

static struct reached script(struct rig *r)
{
	struct reached got = { 0 };

	for (unsigned i = 0; i < 40; i++) {
		got.err = attr_add(r->fs, i);
		if (got.err)
			return got;
		got.done = i + 1;
		if (i % 11 == 10) {
			got.err = txn_sync(r->fs);
			if (got.err)
				return got;
			got.durable = got.done;
		}
		if (i == 25)
			got.err = txn_writeback(r->fs, 20);
		if (got.err)
			return got;
	}
	return got;
}

/* The names are there up to some moment between what is durable and what was done. */
static bool plausible(struct eng_fs *efs, const struct reached *got)
{
	unsigned nr = 0;

	while (nr < 60 && attr_has(efs, nr) == 1)
		nr++;
	for (unsigned i = nr; i < 60; i++)
		if (attr_has(efs, i))
			return false;
	return nr >= got->durable && nr <= got->done + 1;
}

/*
 * Writes and flushes fail in the disk, where the order checker learns of it; reads, which it does
 * as well, in the engine.
 */
struct failing {
	enum fault_kind kind;
	bool disk;
	enum simdisk_op op;
	unsigned step;
};

static void arm(struct rig *r, const struct failing *f, uint64_t nth)
{
	if (f->disk)
		simdisk_fail(r->disk, f->op, nth);
	else
		fault_arm(f->kind, nth);
}

/* False: the nth never came. */
static bool fail_at(const struct failing *f, uint64_t nth, bool judge)
{
	struct rig *r = rig_create("node4");
	struct reached got = { 0 };
	uint64_t before;
	bool hit;
	int err;

	r->quiet = true;
	before = f->disk ? simdisk_count(r->disk, f->op) : 0;
	arm(r, f, nth);
	err = rig_open(r, &rig_steps);
	if (!err) {
		got = script(r);
		err = rig_close(r);
	}
	hit = (f->disk ? simdisk_count(r->disk, f->op) - before : fault_count(f->kind)) >= nth;
	arm(r, f, 0);
	if (!got.err && !err)
		got.durable = got.done;
	assert_string_equal(ordercheck_text(r->oc), "");
	ok(rig_open(r, &rig_steps));
	if (!plausible(r->efs, &got))
		fail_msg("fault %d at %" PRIu64 ": %u durable, %u done", f->kind, nth, got.durable,
			 got.done);
	ok(rig_close(r));
	if (judge)
		ok(rig_check_disk(r->disk));
	rig_free(r);
	return hit;
}

static void test_faults(void **state)
{
	static const struct failing faults[] = {
		{ .kind = FAULT_ALLOC, .step = 7 },
		{ .kind = FAULT_READ, .step = 3 },
		{ .kind = FAULT_WRITE, .disk = true, .op = SIMDISK_WRITE, .step = 5 },
		{ .kind = FAULT_FLUSH, .disk = true, .op = SIMDISK_FLUSH, .step = 1 },
	};

	for (unsigned i = 0; i < 4; i++) {
		uint64_t nth = 1, nr = 0;

		while (fail_at(&faults[i], nth, nr++ % 8 == 0))
			nth += faults[i].step + nr / 16;
		assert_true(nr > 3);
	}
}

/* ---- crash states, and planted faults ---- */

static const char *judge_crash(struct simdisk *d, const struct reached *got)
{
	struct rig r = { .kind = rig_kinds, .disk = d, .quiet = true };
	const char *wrong = NULL;

	r.oc = ordercheck_create(1, simdisk_blk(d, 0));
	if (rig_open(&r, NULL))
		wrong = "it cannot be opened";
	else if (bt_verify(&r.fs->tree_root, NULL) || bt_verify(&r.fs->extent_root, NULL) ||
		 bt_verify(&rig_top(r.fs)->bt, NULL))
		wrong = "a tree is damaged";
	else if (!plausible(r.efs, got))
		wrong = "it is no state of the script's";
	eng_close(r.efs);
	ordercheck_destroy(r.oc);
	return wrong;
}

static const char *crash_sweep(unsigned states)
{
	struct rig *r = rig_create("dup");
	const char *wrong = NULL;
	struct reached got;

	r->quiet = true;
	if (rig_open(r, &rig_steps))
		return "cannot be opened";
	simdisk_track(r->disk, 0, UINT64_MAX, states, 5);
	got = script(r);
	if (got.err || rig_close(r))
		wrong = "the script fails";
	if (!wrong && ordercheck_violations(r->oc))
		wrong = "the order of writes is wrong";
	got.durable = 0;
	for (unsigned i = 0; !wrong && i < simdisk_tracked(r->disk); i++) {
		struct simdisk *d = simdisk_crash(simdisk_state(r->disk, i), i, 0);

		wrong = judge_crash(d, &got);
		simdisk_destroy(d);
	}
	if (!wrong && rig_check_disk(r->disk))
		wrong = "btrfs check finds something";
	rig_free(r);
	return wrong;
}

static void test_crash_states(void **state)
{
	const char *wrong = crash_sweep(60);

	if (wrong)
		fail_msg("%s", wrong);
}

static inline int checker(void)
{
	return crash_sweep(60) != NULL;
}

/* So full, and changing so much at once, that what is freed is wanted soon. */
static int reuse_checker(void)
{
	struct rig *r = rig_create("tiny");
	int err = rig_open(r, &rig_steps);
	unsigned nr = 0;

	while (!err && nr < 3000) {
		err = attr_add(r->fs, nr);
		if (!err)
			nr++;
		if (!err && nr % 300 == 0)
			err = txn_sync(r->fs);
	}
	if (err == -ENOSPC)
		err = 0;
	for (unsigned i = 0; !err && i < 3 * nr; i++) {
		uint64_t n = i * 1237ull % nr;

		err = attr_drop(r->fs, n);
		if (!err)
			err = attr_add(r->fs, n);
		if (!err && i % 500 == 0)
			err = txn_sync(r->fs);
	}
	if (r->fs && rig_close(r) && !err)
		err = -EIO;
	if (!err)
		err = ordercheck_violations(r->oc) != 0;
	if (!err)
		err = rig_check_disk(r->disk) != 0;
	rig_free(r);
	return err;
}

static void test_nearly_full(void **state)
{
	assert_int_equal(reuse_checker(), 0);
}

static void test_plants(void **state)
{
#ifdef UBTRFS_PLANT
	static const char *const plants[] = { "txn_skip_dirty", "vol_super_no_flush",
					      "dref_keeps_reserve" };

	assert_false(caught("none", checker));
	for (unsigned i = 0; i < sizeof(plants) / sizeof(plants[0]); i++)
		if (!caught(plants[i], checker))
			fail_msg("%s was not caught", plants[i]);
	assert_true(caught("txn_early_unpin", reuse_checker));
#else
	(void)checker;
	skip();
#endif
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_faults),	    cmocka_unit_test(test_crash_states),
		cmocka_unit_test(test_nearly_full), cmocka_unit_test(test_plants),
	};

	return cmocka_run_group_tests(tests, rig_setup, rig_teardown);
}
