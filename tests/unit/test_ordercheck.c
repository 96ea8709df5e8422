// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The nets for writers, tried with a toy writer: what is right passes the order checker and every crash
 * state; what is wrong in one way is caught by the one or the other, soon.
 */
#include "engine/inspect.h"
#include "engine/lab.h"
#include "engine/volume/vol.h"
#include "tests/lib/diskwalk.h"
#include "tests/lib/ordercheck.h"
#include "tests/lib/recorder.h"
#include "tests/lib/toyfs.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const uint64_t size = TOY_BYTES;

struct rig {
	struct simdisk *d;
	struct ordercheck *oc;
	struct toy *t;
};

static struct rig rig_make(uint64_t seed)
{
	struct rig r = { simdisk_create(1, &size) };

	r.oc = ordercheck_create(1, simdisk_blk(r.d, 0));
	r.t = toy_create(ordercheck_blk(r.oc, 0), r.d, seed);
	assert_string_equal(ordercheck_text(r.oc), "");
	assert_int_equal(ordercheck_durable(r.oc), 1);
	return r;
}

static void rig_free(struct rig *r)
{
	toy_destroy(r->t);
	ordercheck_destroy(r->oc);
	simdisk_destroy(r->d);
}

static void test_good(void **state)
{
	for (uint64_t seed = 0; seed < 3; seed++) {
		struct rig r = rig_make(seed);
		struct ordercheck *late;

		for (unsigned i = 0; i < 40; i++) {
			assert_int_equal(toy_commit(r.t, TOY_GOOD), 0);
			assert_string_equal(ordercheck_text(r.oc), "");
			assert_int_equal(ordercheck_durable(r.oc), i + 2);
		}
		assert_int_equal(ordercheck_commits(r.oc), 41);
		/* One that comes later learns the same from the disk. */
		late = ordercheck_create(1, simdisk_blk(r.d, 0));
		assert_int_equal(ordercheck_durable(late), 41);
		assert_int_equal(ordercheck_violations(late), 0);
		ordercheck_destroy(late);
		rig_free(&r);
	}
}

/* What each fault is called by the order checker. */
static const char *const expected[TOY_NR] = {
	[TOY_NO_FLUSH] = "not flushed",
	[TOY_NO_LAST_FLUSH] = "destroys",
	[TOY_IN_PLACE] = "destroys",
	[TOY_EARLY_REUSE] = "destroys",
	[TOY_MISSED_BLOCK] = "refers to what isn't there",
	[TOY_MISSED_COPY] = "refers to what isn't there",
	[TOY_FORGOT_SUPER] = "destroys",
	[TOY_GENERATION] = "another superblock of generation",
};

static void test_faults_ordercheck(void **state)
{
	for (enum toy_fault fault = TOY_GOOD + 1; fault < TOY_NR; fault++) {
		struct rig r = rig_make(fault);
		unsigned commits = 0;

		for (unsigned i = 0; i < 3; i++)
			assert_int_equal(toy_commit(r.t, TOY_GOOD), 0);
		assert_int_equal(ordercheck_violations(r.oc), 0);
		/* At once, or in the commit after it. */
		while (!ordercheck_violations(r.oc) && commits < 4) {
			assert_int_equal(toy_commit(r.t, commits ? TOY_GOOD : fault), 0);
			commits++;
		}
		print_message("%-17s after %u commits: %s\n", toy_fault_names[fault], commits,
			      ordercheck_text(r.oc));
		assert_true(ordercheck_violations(r.oc) > 0);
		assert_in_range(commits, 1, 2);
		assert_non_null(strstr(ordercheck_text(r.oc), expected[fault]));
		rig_free(&r);
	}
}

/* Crash states of a workload until one is wrong: how many there were, or max. */
static unsigned sweep(enum toy_fault fault, uint64_t seed, unsigned max, char *why, size_t why_size)
{
	struct simdisk *d = simdisk_create(1, &size);
	struct toy *t = toy_create(simdisk_blk(d, 0), d, seed);
	unsigned nr = 0;

	why[0] = 0;
	simdisk_track(d, simdisk_now(d), UINT64_MAX, max / 4, seed);
	for (unsigned i = 0; i < 30; i++)
		assert_int_equal(toy_commit(t, i > 1 ? fault : TOY_GOOD), 0);
	for (unsigned i = 0; i < simdisk_tracked(d) && !why[0]; i++) {
		for (uint64_t s = 0; s < 4 && !why[0]; s++) {
			struct simdisk *c = simdisk_crash(simdisk_state(d, i), s, 0);
			const char *found = toy_judge(t, c);

			nr++;
			if (found)
				snprintf(why, why_size, "%s: %s", simdisk_id(c), found);
			simdisk_destroy(c);
		}
	}
	toy_destroy(t);
	simdisk_destroy(d);
	return nr;
}

static void test_sweep_good(void **state)
{
	char why[600];

	for (uint64_t seed = 0; seed < 4; seed++) {
		assert_int_equal(sweep(TOY_GOOD, seed, 200, why, sizeof(why)), 200);
		assert_string_equal(why, "");
	}
}

/* Those faults that a loss of power shows. */
static void test_sweep_faults(void **state)
{
	static const enum toy_fault faults[] = {
		TOY_NO_FLUSH, TOY_NO_LAST_FLUSH, TOY_IN_PLACE, TOY_EARLY_REUSE, TOY_MISSED_BLOCK,
	};
	char why[600];

	for (unsigned i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		for (uint64_t seed = 0; seed < 3; seed++) {
			unsigned nr = sweep(faults[i], seed, 100, why, sizeof(why));

			if (!seed)
				print_message("%-17s in state %u, %s\n", toy_fault_names[faults[i]], nr,
					      why);
			assert_string_not_equal(why, "");
		}
	}
}

/* Known by its id, the state is there again. */
static void test_again(void **state)
{
	char first[600], again[600];

	sweep(TOY_NO_FLUSH, 7, 100, first, sizeof(first));
	sweep(TOY_NO_FLUSH, 7, 100, again, sizeof(again));
	assert_string_equal(first, again);
	assert_non_null(strstr(first, "crash at write"));
}

/* ---- the engine's volume under the same nets ---- */

static int add_chunk(void *arg, uint64_t logical, const void *item)
{
	return vol_chunk_add(arg, logical, item);
}

static int add_device(void *arg, const void *item)
{
	return vol_device_add(arg, item);
}

static struct vol *open_vol(struct rig *r)
{
	const struct vol_opts opts = { .super_copy = -1 };
	struct bdev *dev = blk_open(ordercheck_blk(r->oc, 0), NULL, NULL);
	struct vol *v;

	assert_non_null(dev);
	assert_int_equal(vol_open(&dev, 1, &opts, BDEV_WRITABLE, BDEV_IO_AUTO, NULL, NULL, &v), 0);
	toy_feed(r->t, add_chunk, add_device, v);
	assert_int_equal(vol_finish(v), 0);
	toy_use_volume(r->t, v);
	return v;
}

static void test_volume(void **state)
{
	struct rig r = rig_make(5);
	struct vol *v = open_vol(&r);

	simdisk_track(r.d, simdisk_now(r.d), UINT64_MAX, 50, 5);
	for (unsigned i = 0; i < 30; i++)
		assert_int_equal(toy_commit(r.t, TOY_GOOD), 0);
	assert_string_equal(ordercheck_text(r.oc), "");
	assert_int_equal(ordercheck_commits(r.oc), 31);
	for (unsigned i = 0; i < simdisk_tracked(r.d); i++) {
		for (uint64_t s = 0; s < 4; s++) {
			struct simdisk *c = simdisk_crash(simdisk_state(r.d, i), s, 0);
			const char *why = toy_judge(r.t, c);

			if (why)
				fail_msg("%s: %s", simdisk_id(c), why);
			simdisk_destroy(c);
		}
	}
	vol_close(v);
	rig_free(&r);
}

/* Every write and flush of a commit fails once: the error is told, and the old or new state is there. */
static void test_volume_faults(void **state)
{
	for (unsigned op = SIMDISK_WRITE; op <= SIMDISK_FLUSH; op++) {
		bool failed = true;

		for (unsigned n = 1; failed; n++) {
			struct rig r = rig_make(5);
			struct vol *v = open_vol(&r);
			uint64_t gen;

			assert_int_equal(toy_commit(r.t, TOY_GOOD), 0);
			gen = toy_generation(r.t);
			simdisk_fail(r.d, op, n);
			failed = toy_commit(r.t, TOY_GOOD) != 0;
			/* A further superblock copy may fail: the first counts. */
			if (op == SIMDISK_WRITE && !failed)
				assert_true(n > 5);
			assert_true(failed || toy_generation(r.t) == gen + 1);
			assert_string_equal(ordercheck_text(r.oc), "");
			for (uint64_t s = 0; s < 6; s++) {
				struct simdisk *c = simdisk_crash(r.d, s, 0);
				const char *why = toy_judge(r.t, c);

				if (why)
					fail_msg("op %u, n %u, %s: %s", op, n, simdisk_id(c), why);
				simdisk_destroy(c);
			}
			vol_close(v);
			rig_free(&r);
		}
	}
}

/* The engine with a fault planted, if it is built that way. */
static void test_volume_planted(void **state)
{
#ifdef UBTRFS_PLANT
	static const char *const plants[] = { "vol_super_no_flush", "vol_super_forget_copy" };

	for (unsigned i = 0; i < 2; i++) {
		struct rig r = rig_make(5);
		struct vol *v = open_vol(&r);

		setenv("UBTRFS_PLANT", plants[i], 1);
		for (unsigned k = 0; k < 3; k++)
			assert_int_equal(toy_commit(r.t, TOY_GOOD), 0);
		unsetenv("UBTRFS_PLANT");
		assert_non_null(strstr(ordercheck_text(r.oc), i ? "destroys" : "not flushed"));
		vol_close(v);
		rig_free(&r);
	}
#else
	print_message("skipped: built without -Dplant=true\n");
	skip();
#endif
}

static int count_item(void *arg, const struct btrfs_key *key, const void *item, uint32_t len)
{
	++*(unsigned *)arg;
	return 0;
}

/* The engine's reader over simulated disks: of a state, in the middle of others' writing. */
static void test_engine_reads(void **state)
{
	const struct eng_open_opts opts = { .partial = true, .workers = 0 };
	struct simdisk *d = simdisk_create(1, &size), *c;
	struct toy *t = toy_create(simdisk_blk(d, 0), d, 3);
	struct btrfs_key first = { 0 };
	struct ins_root root;
	struct lab_disk disk;
	struct eng_fs *fs;
	unsigned items = 0;

	assert_int_equal(toy_commit(t, TOY_GOOD), 0);
	c = simdisk_crash(d, 1, 0);
	disk = blk_lab(simdisk_blk(c, 0));
	assert_int_equal(lab_open_disks(&disk, 1, &opts, &fs), 0);
	assert_int_equal(le64_get(ins_super(fs)->generation), 2);
	assert_int_equal(ins_root(fs, BTRFS_FS_TREE_OBJECTID, &root), 0);
	assert_int_equal(ins_items(fs, &root, &first, count_item, &items), 0);
	assert_int_equal(items, 2 * TOY_FILES);
	eng_close(fs);
	simdisk_bad(c, 0, 0, TOY_BYTES, true, true);
	assert_int_equal(lab_open_disks(&disk, 1, &opts, &fs), -EIO);
	assert_null(fs);
	simdisk_destroy(c);
	toy_destroy(t);
	simdisk_destroy(d);
}

/* A stack of layers: recorder on order checker on simulation; the record gives the same filesystem. */
static void test_stack(void **state)
{
	char path[] = "/var/tmp/ubtrfs-test-stack-XXXXXX";
	struct simdisk *d = simdisk_create(1, &size), *back = simdisk_create(1, &size);
	struct ordercheck *oc = ordercheck_create(1, simdisk_blk(d, 0));
	struct btrfs_super_block sb;
	struct recorder *rec;
	struct diskwalk *w;
	uint64_t done;
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(recorder_create(path, 1, ordercheck_blk(oc, 0), &rec), 0);
	struct toy *t = toy_create(recorder_blk(rec, 0), d, 3);

	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(toy_commit(t, TOY_GOOD), 0);
	assert_string_equal(ordercheck_text(oc), "");
	assert_int_equal(recorder_close(rec), 0);
	assert_int_equal(recorder_replay(path, UINT64_MAX, 1, simdisk_blk(back, 0), &done), 0);
	assert_true(done > 50);
	w = diskwalk_create(1, simdisk_blk(back, 0));
	assert_int_equal(diskwalk_super(w, &sb), 0);
	assert_int_equal(le64_get(sb.generation), 11);
	assert_int_equal(diskwalk_run(w, &sb, DISKWALK_ALL_COPIES, NULL, NULL), 0);
	/* Chunk leaf, root leaf, node, leaves; the second time only the chunk tree is read. */
	assert_int_equal(diskwalk_blocks(w), 3 + TOY_FILES);
	assert_int_equal(diskwalk_run(w, &sb, DISKWALK_ALL_COPIES, NULL, NULL), 0);
	assert_int_equal(diskwalk_blocks_read(w), 1);
	diskwalk_destroy(w);
	unlink(path);
	toy_destroy(t);
	ordercheck_destroy(oc);
	simdisk_destroy(d);
	simdisk_destroy(back);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_faults_ordercheck),
		cmocka_unit_test(test_sweep_good),
		cmocka_unit_test(test_sweep_faults),
		cmocka_unit_test(test_again),
		cmocka_unit_test(test_volume),
		cmocka_unit_test(test_volume_faults),
		cmocka_unit_test(test_volume_planted),
		cmocka_unit_test(test_engine_reads),
		cmocka_unit_test(test_stack),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
