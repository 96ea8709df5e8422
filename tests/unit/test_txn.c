// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Transactions on images made by mkfs.btrfs, on a simulated disk under the order checker: what was
 * committed is found, what was not is not, `btrfs check` has nothing to say; threads; failures at
 * every step.
 *
 * Changes are extended attributes of the top directory, written as items.
 */
#include "engine/lab.h"
#include "engine/txn/txn.h"
#include "engine/util/fault.h"
#include "ondisk/csum.h"
#include "tests/lib/ordercheck.h"
#include "tests/lib/simdisk.h"
#include "tests/unit/plants.h"

#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define VALUE_MAX 1500

/* The detector of lock inversions takes a frame's lock for one lock, whatever block the frame holds. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
	return "detect_deadlocks=0";
}

static char dir[] = "/tmp/ubtrfs-txn-XXXXXX";

/* ---- images ---- */

struct kind {
	const char *name, *mkfs;
	uint64_t bytes;
};

static const struct kind kinds[] = {
	{ "dup", "-m dup -d single -n 16k", 128 << 20 },
	{ "node4", "-m single -d single -n 4k", 128 << 20 },
	{ "bgt", "-m dup -O block-group-tree,free-space-tree -n 4k", 128 << 20 },
	{ "mixed", "-M -n 4k -s 4k", 64 << 20 },
	{ "v1", "-m single -O ^free-space-tree", 128 << 20 },
	{ "tiny", "-M -n 4k -s 4k", 16 << 20 },
	{ "fat", "-m dup -O ^skinny-metadata -n 4k", 128 << 20 },
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static void image_path(char buf[200], const char *name)
{
	snprintf(buf, 200, "%s/%s.img", dir, name);
}

static void run(const char *fmt, ...)
{
	char cmd[600];
	va_list ap;
	int ret;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	ret = system(cmd);
	if (ret) {
		fprintf(stderr, "%s: %d\n", cmd, ret);
		abort();
	}
}

static int setup(void **state)
{
	if (!mkdtemp(dir))
		return -1;
	for (unsigned i = 0; i < KINDS; i++) {
		char path[200];

		image_path(path, kinds[i].name);
		run("truncate -s %" PRIu64 " %s && mkfs.btrfs -q -f %s %s", kinds[i].bytes, path,
		    kinds[i].mkfs, path);
	}
	return 0;
}

static int teardown(void **state)
{
	run("rm -r %s", dir);
	return 0;
}

/* ---- a filesystem on a simulated disk ---- */

struct rig {
	const struct kind *kind;
	struct simdisk *disk;
	struct ordercheck *oc;
	struct eng_fs *efs;
	struct fs *fs;
	bool quiet;
	char said[400]; /* the first error */
};

static void say(void *arg, enum eng_msg_level level, const char *text)
{
	struct rig *r = arg;

	if (level == ENG_MSG_ERR && !r->said[0])
		snprintf(r->said, sizeof(r->said), "%s", text);
	if (level <= ENG_MSG_WARN && !r->quiet)
		fprintf(stderr, "%s\n", text);
}

static int rig_open(struct rig *r, const struct txn_opts *topts)
{
	struct lab_disk disk = blk_lab(ordercheck_blk(r->oc, 0));
	const struct eng_open_opts opts = {
		.share = ENG_SHARE_LOOK,
		.metadata_cache = 8 << 20,
		.readahead = 1 << 20,
		.threads = 10,
		.workers = 0,
		.no_uring = true,
		.message = say,
		.message_arg = r,
	};
	int err = lab_open_disks(&disk, 1, &opts, &r->efs);

	if (err)
		return err;
	/* The handle begins with it. */
	r->fs = (struct fs *)r->efs;
	if (topts)
		err = txn_open(r->fs, topts);
	if (err) {
		eng_close(r->efs);
		r->efs = NULL;
	}
	return err;
}

static const struct txn_opts steps = { .threads = 2, .no_threads = true, .assert_overruns = true };
static const struct txn_opts threads = { .threads = 9, .commit_sec = 1, .assert_overruns = true };

static int rig_close(struct rig *r)
{
	int err = r->fs ? txn_close(r->fs) : 0;

	eng_close(r->efs);
	r->efs = NULL;
	r->fs = NULL;
	return err;
}

static struct rig *rig_create(const char *name)
{
	struct rig *r = calloc(1, sizeof(*r));
	char path[200];

	r->kind = kinds;
	while (strcmp(r->kind->name, name))
		r->kind++;
	image_path(path, name);
	r->disk = simdisk_create(1, &r->kind->bytes);
	assert_int_equal(simdisk_load(r->disk, 0, path), 0);
	r->oc = ordercheck_create(1, simdisk_blk(r->disk, 0));
	return r;
}

static void rig_free(struct rig *r)
{
	ordercheck_destroy(r->oc);
	simdisk_destroy(r->disk);
	free(r);
}

static int check_disk(struct simdisk *d)
{
	char cmd[900], path[200];

	snprintf(path, sizeof(path), "%s/judged-%d.img", dir, (int)getpid());
	if (simdisk_export(d, 0, path))
		abort();
	snprintf(cmd, sizeof(cmd),
		 "btrfs check --check-data-csum %s >%s.log 2>&1 || { cat %s.log >&2; false; }",
		 path, path, path);
	return system(cmd);
}

/* ---- attributes ---- */

static uint32_t make_item(uint8_t *buf, struct btrfs_key *key, uint64_t n, uint32_t size)
{
	struct btrfs_dir_item *item = (void *)buf;
	char name[40];
	int len = snprintf(name, sizeof(name), "user.%" PRIu64, n);

	memset(buf, 0, sizeof(*item));
	item->data_len = le16_make((uint16_t)size);
	item->name_len = le16_make((uint16_t)len);
	item->type = BTRFS_FT_XATTR;
	memcpy(item + 1, name, (size_t)len);
	for (uint32_t i = 0; i < size; i++)
		buf[sizeof(*item) + (uint32_t)len + i] = (uint8_t)(n * 7 + i);
	*key = (struct btrfs_key){ BTRFS_FIRST_FREE_OBJECTID, BTRFS_XATTR_ITEM_KEY,
				   btrfs_name_hash(name, (size_t)len) };
	return (uint32_t)(sizeof(*item) + (uint32_t)len + size);
}

static const struct root *top(struct fs *fs)
{
	const struct root *root;

	return root_get(fs, BTRFS_FS_TREE_OBJECTID, &root) ? NULL : root;
}

static uint32_t size_of(uint64_t n)
{
	return (uint32_t)(n * 131 % VALUE_MAX);
}

static int add(struct fs *fs, uint64_t n)
{
	uint8_t buf[VALUE_MAX + 100];
	struct txn_handle *h;
	struct btrfs_key key;
	uint32_t size = make_item(buf, &key, n, size_of(n));
	int err = txn_begin(fs, 1, &h), end;

	if (err)
		return err;
	err = bt_insert(&h->st.bt, root_tree(top(fs)), &key, buf, size);
	if (!err)
		root_touch(h, top(fs));
	end = txn_end(h);
	return err ? err : end;
}

static int drop(struct fs *fs, uint64_t n)
{
	uint8_t buf[VALUE_MAX + 100];
	struct txn_handle *h;
	struct btrfs_key key;
	int err, end;

	make_item(buf, &key, n, size_of(n));
	err = txn_begin_flush(fs, 1, SPACE_FLUSH_ALL_STEAL, &h);
	if (err)
		return err;
	err = bt_delete(&h->st.bt, root_tree(top(fs)), &key);
	end = txn_end(h);
	return err ? err : end;
}

/* 1 there, 0 not there, -1 wrong. */
static int has(struct eng_fs *efs, uint64_t n)
{
	struct eng_ino ino = { BTRFS_FS_TREE_OBJECTID, BTRFS_FIRST_FREE_OBJECTID };
	uint8_t buf[VALUE_MAX + 100], value[VALUE_MAX + 1];
	struct btrfs_key key;
	char name[40];
	ssize_t len;

	make_item(buf, &key, n, size_of(n));
	snprintf(name, sizeof(name), "user.%" PRIu64, n);
	len = eng_getxattr(efs, ino, name, value, sizeof(value));
	if (len == -ENODATA)
		return 0;
	if (len != size_of(n) ||
	    memcmp(value, buf + sizeof(struct btrfs_dir_item) + strlen(name), (size_t)len))
		return -1;
	return 1;
}

/* ---- tests ---- */

#define ok(call) assert_int_equal((call), 0)

static void one_kind(const char *name, bool with_threads)
{
	struct rig *r = rig_create(name);
	unsigned nr = 600;

	ok(rig_open(r, with_threads ? &threads : &steps));
	for (unsigned i = 0; i < nr; i++) {
		ok(add(r->fs, i));
		if (i % 97 == 0)
			ok(txn_sync(r->fs));
	}
	for (unsigned i = 0; i < nr; i += 3)
		ok(drop(r->fs, i));
	ok(rig_close(r));
	assert_string_equal(ordercheck_text(r->oc), "");
	assert_string_equal(r->said, "");
	assert_true(ordercheck_commits(r->oc) >= 7);
	ok(check_disk(r->disk));
	ok(rig_open(r, NULL));
	for (unsigned i = 0; i < nr; i++)
		assert_int_equal(has(r->efs, i), i % 3 != 0);
	ok(rig_close(r));
	rig_free(r);
}

static void test_kinds(void **state)
{
	for (unsigned i = 0; i < KINDS; i++) {
		one_kind(kinds[i].name, false);
		one_kind(kinds[i].name, true);
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
		j->err = add(j->r->fs, i * 8 + j->me);
		if (!j->err && i % 3 == 2)
			j->err = drop(j->r->fs, (i - 1) * 8 + j->me);
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
	ok(check_disk(r->disk));
	ok(rig_open(r, NULL));
	for (unsigned i = 0; i < nr; i++)
		for (unsigned me = 0; me < 8; me++)
			assert_int_equal(has(r->efs, i * 8 + me), i % 3 != 1 || i + 1 >= nr);
	ok(rig_close(r));
	rig_free(r);
}

static void test_threads(void **state)
{
	struct txn_opts opts = threads;

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

	ok(rig_open(r, &steps));
	for (unsigned i = 0; i < 100; i++)
		ok(add(r->fs, i));
	ok(txn_sync(r->fs));
	txn_super(r->fs, &sb);
	generation = le64_get(sb.generation);
	assert_int_equal(generation + 1, txn_generation(r->fs));
	/* Nothing to commit: nothing is. */
	ok(txn_sync(r->fs));
	txn_super(r->fs, &sb);
	assert_int_equal(le64_get(sb.generation), generation);
	for (unsigned i = 100; i < 300; i++)
		ok(add(r->fs, i));
	ok(txn_writeback(r->fs, 50));
	txn_crash(r->fs);
	ok(rig_close(r));
	assert_string_equal(ordercheck_text(r->oc), "");
	ok(check_disk(r->disk));
	ok(rig_open(r, &steps));
	for (unsigned i = 0; i < 300; i++)
		assert_int_equal(has(r->efs, i), i < 100);
	/* And goes on from there. */
	ok(add(r->fs, 1000));
	ok(rig_close(r));
	ok(check_disk(r->disk));
	rig_free(r);
}

/* Written out in between, and changed again. */
static void test_writeback(void **state)
{
	static const enum eb_policy policies[] = { EB_POLICY_HOLD, EB_POLICY_NONE,
						   EB_POLICY_INHIBIT_HANDLE };

	for (unsigned p = 0; p < 3; p++) {
		struct txn_opts opts = steps;
		struct rig *r = rig_create("bgt");

		opts.policy = policies[p];
		ok(rig_open(r, &opts));
		for (unsigned i = 0; i < 400; i++) {
			ok(add(r->fs, i));
			if (i % 5 == 0)
				ok(txn_writeback(r->fs, 7));
			if (i % 90 == 0)
				ok(txn_sync(r->fs));
		}
		assert_true(counter_get(&r->fs->counters, bt_recows) > 0);
		ok(rig_close(r));
		assert_string_equal(ordercheck_text(r->oc), "");
		ok(check_disk(r->disk));
		rig_free(r);
	}
}

/* ---- aborts ---- */

static void test_abort(void **state)
{
	struct rig *r = rig_create("dup");
	struct txn_handle *h, *other;

	r->quiet = true;
	ok(rig_open(r, &threads));
	ok(add(r->fs, 1));
	ok(txn_sync(r->fs));
	ok(add(r->fs, 2));
	ok(txn_begin(r->fs, 1, &h));
	ok(txn_begin(r->fs, 1, &other));
	assert_int_equal(txn_abort(h, -EDOM), -EDOM);
	assert_int_equal(txn_error(r->fs), -EDOM);
	assert_int_equal(txn_end(h), -EROFS);
	assert_int_equal(txn_commit(other), -EDOM);
	assert_int_equal(add(r->fs, 3), -EROFS);
	assert_int_equal(txn_sync(r->fs), -EDOM);
	assert_non_null(strstr(r->said, "test_txn.c"));
	assert_int_equal(rig_close(r), -EDOM);
	ok(check_disk(r->disk));
	ok(rig_open(r, NULL));
	assert_int_equal(has(r->efs, 1), 1);
	assert_int_equal(has(r->efs, 2), 0);
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
	ok(rig_open(r, &steps));
	ok(add(r->fs, 1));
	ok(blk_read(disk, btrfs_sb_offset(0), sb, BTRFS_SUPER_INFO_SIZE));
	s->generation = le64_make(le64_get(s->generation) + 1);
	btrfs_csum(le16_get(s->csum_type), sb + BTRFS_CSUM_SIZE,
		   BTRFS_SUPER_INFO_SIZE - BTRFS_CSUM_SIZE, sb);
	ok(blk_write(disk, btrfs_sb_offset(0), sb, BTRFS_SUPER_INFO_SIZE));
	assert_int_equal(txn_sync(r->fs), -ESTALE);
	assert_int_equal(add(r->fs, 2), -EROFS);
	assert_int_equal(rig_close(r), -ESTALE);
	free(sb);
	rig_free(r);
}

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
		got.err = add(r->fs, i);
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

	while (nr < 60 && has(efs, nr) == 1)
		nr++;
	for (unsigned i = nr; i < 60; i++)
		if (has(efs, i))
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
	err = rig_open(r, &steps);
	if (!err) {
		got = script(r);
		err = rig_close(r);
	}
	hit = (f->disk ? simdisk_count(r->disk, f->op) - before : fault_count(f->kind)) >= nth;
	arm(r, f, 0);
	if (!got.err && !err)
		got.durable = got.done;
	assert_string_equal(ordercheck_text(r->oc), "");
	ok(rig_open(r, &steps));
	if (!plausible(r->efs, &got))
		fail_msg("fault %d at %" PRIu64 ": %u durable, %u done", f->kind, nth, got.durable,
			 got.done);
	ok(rig_close(r));
	if (judge)
		ok(check_disk(r->disk));
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
	struct rig r = { .kind = kinds, .disk = d, .quiet = true };
	const char *wrong = NULL;

	r.oc = ordercheck_create(1, simdisk_blk(d, 0));
	if (rig_open(&r, NULL))
		wrong = "it cannot be opened";
	else if (bt_verify(&r.fs->tree_root, NULL) || bt_verify(&r.fs->extent_root, NULL) ||
		 bt_verify(&top(r.fs)->bt, NULL))
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
	if (rig_open(r, &steps))
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
	if (!wrong && check_disk(r->disk))
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
	int err = rig_open(r, &steps);
	unsigned nr = 0;

	while (!err && nr < 3000) {
		err = add(r->fs, nr);
		if (!err)
			nr++;
		if (!err && nr % 300 == 0)
			err = txn_sync(r->fs);
	}
	if (err == -ENOSPC)
		err = 0;
	for (unsigned i = 0; !err && i < 3 * nr; i++) {
		uint64_t n = i * 1237ull % nr;

		err = drop(r->fs, n);
		if (!err)
			err = add(r->fs, n);
		if (!err && i % 500 == 0)
			err = txn_sync(r->fs);
	}
	if (r->fs && rig_close(r) && !err)
		err = -EIO;
	if (!err)
		err = ordercheck_violations(r->oc) != 0;
	if (!err)
		err = check_disk(r->disk) != 0;
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
		cmocka_unit_test(test_kinds),	      cmocka_unit_test(test_threads),
		cmocka_unit_test(test_crash_forgets), cmocka_unit_test(test_writeback),
		cmocka_unit_test(test_abort),	      cmocka_unit_test(test_other_writer),
		cmocka_unit_test(test_faults),	      cmocka_unit_test(test_crash_states),
		cmocka_unit_test(test_nearly_full),   cmocka_unit_test(test_plants),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
