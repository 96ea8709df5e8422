// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Transactions: what was committed is found, what was not is not, `btrfs check` has nothing to say; threads, aborts,
 * another writer. Failures and crashes at every step: test_txn_fail.c.
 */
#include "tests/unit/txnrig.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void one_kind(const char *name, bool with_threads)
{
	struct rig *r = rig_create(name);
	unsigned nr = 600;

	ok(rig_open(r, with_threads ? &rig_threads : &rig_steps));
	for (unsigned i = 0; i < nr; i++) {
		ok(attr_add(r->fs, i));
		if (i % 97 == 0)
			ok(txn_sync(r->fs));
	}
	for (unsigned i = 0; i < nr; i += 3)
		ok(attr_drop(r->fs, i));
	ok(rig_close(r));
	assert_string_equal(ordercheck_text(r->oc), "");
	assert_string_equal(r->said, "");
	assert_true(ordercheck_commits(r->oc) >= 7);
	ok(rig_check_disk(r->disk));
	ok(rig_open(r, NULL));
	for (unsigned i = 0; i < nr; i++)
		assert_int_equal(attr_has(r->efs, i), i % 3 != 0);
	ok(rig_close(r));
	rig_free(r);
}

static void test_kinds(void **state)
{
	for (unsigned i = 0; i < RIG_KINDS; i++) {
		one_kind(rig_kinds[i].name, false);
		one_kind(rig_kinds[i].name, true);
	}
}

/* ---- many at once ---- */

struct job {
	struct rig *r;
	unsigned me, nr;
	int err;
	pthread_t thread;
};

static void *work(void *arg)
{
	struct job *j = arg;

	for (unsigned i = 0; i < j->nr && !j->err; i++) {
		j->err = attr_add(j->r->fs, i * 8 + j->me);
		if (!j->err && i % 3 == 2)
			j->err = attr_drop(j->r->fs, (i - 1) * 8 + j->me);
		if (!j->err && i % 23 == j->me)
			j->err = txn_sync(j->r->fs);
	}
	return NULL;
}

static void many(const char *name, const struct txn_opts *opts, unsigned nr)
{
	struct rig *r = rig_create(name);
	struct job jobs[8] = { 0 };

	ok(rig_open(r, opts));
	for (unsigned i = 0; i < 8; i++) {
		jobs[i] = (struct job){ .r = r, .me = i, .nr = nr };
		ok(pthread_create(&jobs[i].thread, NULL, work, &jobs[i]));
	}
	for (unsigned i = 0; i < 8; i++)
		pthread_join(jobs[i].thread, NULL);
	for (unsigned i = 0; i < 8; i++)
		ok(jobs[i].err);
	assert_int_equal(counter_get(&r->fs->counters, rsv_overruns), 0);
	ok(rig_close(r));
	assert_string_equal(ordercheck_text(r->oc), "");
	assert_string_equal(r->said, "");
	ok(rig_check_disk(r->disk));
	ok(rig_open(r, NULL));
	for (unsigned i = 0; i < nr; i++)
		for (unsigned me = 0; me < 8; me++)
			assert_int_equal(attr_has(r->efs, i * 8 + me), i % 3 != 1 || i + 1 >= nr);
	ok(rig_close(r));
	rig_free(r);
}

static void test_threads(void **state)
{
	struct txn_opts opts = rig_threads;

	many("dup", &opts, 150);
	opts.search = BT_LINUX;
	opts.policy = EB_POLICY_INHIBIT_HANDLE;
	opts.one_pool = true;
	many("node4", &opts, 150);
	opts.policy = EB_POLICY_NONE;
	many("bgt", &opts, 100);
}

/* ---- what is durable, and what is not ---- */

static void test_crash_forgets(void **state)
{
	struct rig *r = rig_create("node4");
	struct btrfs_super_block sb;
	uint64_t generation;

	ok(rig_open(r, &rig_steps));
	for (unsigned i = 0; i < 100; i++)
		ok(attr_add(r->fs, i));
	ok(txn_sync(r->fs));
	txn_super(r->fs, &sb);
	generation = le64_get(sb.generation);
	assert_int_equal(generation + 1, txn_generation(r->fs));
	/* Nothing to commit: nothing is. */
	ok(txn_sync(r->fs));
	txn_super(r->fs, &sb);
	assert_int_equal(le64_get(sb.generation), generation);
	for (unsigned i = 100; i < 300; i++)
		ok(attr_add(r->fs, i));
	ok(txn_writeback(r->fs, 50));
	txn_crash(r->fs);
	ok(rig_close(r));
	assert_string_equal(ordercheck_text(r->oc), "");
	ok(rig_check_disk(r->disk));
	ok(rig_open(r, &rig_steps));
	for (unsigned i = 0; i < 300; i++)
		assert_int_equal(attr_has(r->efs, i), i < 100);
	/* And goes on from there. */
	ok(attr_add(r->fs, 1000));
	ok(rig_close(r));
	ok(rig_check_disk(r->disk));
	rig_free(r);
}

/* Written out in between, and changed again. */
static void test_writeback(void **state)
{
	static const enum eb_policy policies[] = { EB_POLICY_HOLD, EB_POLICY_NONE,
						   EB_POLICY_INHIBIT_HANDLE };

	for (unsigned p = 0; p < 3; p++) {
		struct txn_opts opts = rig_steps;
		struct rig *r = rig_create("bgt");

		opts.policy = policies[p];
		ok(rig_open(r, &opts));
		for (unsigned i = 0; i < 400; i++) {
			ok(attr_add(r->fs, i));
			if (i % 5 == 0)
				ok(txn_writeback(r->fs, 7));
			if (i % 90 == 0)
				ok(txn_sync(r->fs));
		}
		assert_true(counter_get(&r->fs->counters, bt_recows) > 0);
		ok(rig_close(r));
		assert_string_equal(ordercheck_text(r->oc), "");
		ok(rig_check_disk(r->disk));
		rig_free(r);
	}
}

/* ---- aborts ---- */

static void test_abort(void **state)
{
	struct rig *r = rig_create("dup");
	struct txn_handle *h, *other;

	r->quiet = true;
	ok(rig_open(r, &rig_threads));
	ok(attr_add(r->fs, 1));
	ok(txn_sync(r->fs));
	ok(attr_add(r->fs, 2));
	ok(txn_begin(r->fs, 1, &h));
	ok(txn_begin(r->fs, 1, &other));
	assert_int_equal(txn_abort(h, -EDOM), -EDOM);
	assert_int_equal(txn_error(r->fs), -EDOM);
	assert_int_equal(txn_end(h), -EROFS);
	assert_int_equal(txn_commit(other), -EDOM);
	assert_int_equal(attr_add(r->fs, 3), -EROFS);
	assert_int_equal(txn_sync(r->fs), -EDOM);
	assert_non_null(strstr(r->said, "test_txn.c"));
	assert_int_equal(rig_close(r), -EDOM);
	ok(rig_check_disk(r->disk));
	ok(rig_open(r, NULL));
	assert_int_equal(attr_has(r->efs, 1), 1);
	assert_int_equal(attr_has(r->efs, 2), 0);
	ok(rig_close(r));
	rig_free(r);
}

/* Somebody else wrote the superblock: ours must not. */
static void test_other_writer(void **state)
{
	struct rig *r = rig_create("dup");
	const struct blk *disk = simdisk_blk(r->disk, 0);
	uint8_t *sb = malloc(BTRFS_SUPER_INFO_SIZE);
	struct btrfs_super_block *s = (void *)sb;

	r->quiet = true;
	ok(rig_open(r, &rig_steps));
	ok(attr_add(r->fs, 1));
	ok(blk_read(disk, btrfs_sb_offset(0), sb, BTRFS_SUPER_INFO_SIZE));
	s->generation = le64_make(le64_get(s->generation) + 1);
	btrfs_csum(le16_get(s->csum_type), sb + BTRFS_CSUM_SIZE,
		   BTRFS_SUPER_INFO_SIZE - BTRFS_CSUM_SIZE, sb);
	ok(blk_write(disk, btrfs_sb_offset(0), sb, BTRFS_SUPER_INFO_SIZE));
	assert_int_equal(txn_sync(r->fs), -ESTALE);
	assert_int_equal(attr_add(r->fs, 2), -EROFS);
	assert_int_equal(rig_close(r), -ESTALE);
	free(sb);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds),	      cmocka_unit_test(test_threads),
		cmocka_unit_test(test_crash_forgets), cmocka_unit_test(test_writeback),
		cmocka_unit_test(test_abort),	      cmocka_unit_test(test_other_writer),
	};

	return cmocka_run_group_tests(tests, rig_setup, rig_teardown);
}
