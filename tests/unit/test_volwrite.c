// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Writing volumes of every profile: to every copy, and no better told than it is when devices fail;
 * and storing superblocks on all devices, or on none of another writer's.
 */
#include "engine/util/fault.h"
#include "tests/unit/volopen.h"

#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define DATA BTRFS_BLOCK_GROUP_DATA
#define LOGICAL (16ull << 20)
#define ROWS 3

static const struct shape {
	uint64_t profile;
	unsigned devs, copies, bears;
} shapes[] = {
	{ 0, 1, 1, 0 },
	{ BTRFS_BLOCK_GROUP_DUP, 1, 2, 0 },
	{ BTRFS_BLOCK_GROUP_RAID0, 3, 1, 0 },
	{ BTRFS_BLOCK_GROUP_RAID1, 2, 2, 1 },
	{ BTRFS_BLOCK_GROUP_RAID1C3, 3, 3, 2 },
	{ BTRFS_BLOCK_GROUP_RAID1C4, 4, 4, 3 },
	{ BTRFS_BLOCK_GROUP_RAID10, 4, 2, 1 },
};

static struct counters counters;
static struct msg *msg;
static char last_err[1024];
static const struct vol_opts plain = { .super_copy = -1 };
static const struct vol_opts degraded = { .degraded = true, .super_copy = -1 };

static void keep_msg(void *arg, enum msg_level level, const char *text)
{
	if (level == MSG_ERR)
		snprintf(last_err, sizeof(last_err), "%s", text);
}

static int setup(void **state)
{
	return msg_create(keep_msg, NULL, &msg);
}

static int teardown(void **state)
{
	msg_destroy(msg);
	bdev_rings_destroy();
	return 0;
}

static struct vb *make(const struct shape *s)
{
	struct vb *vb = vb_create(s->devs, 0xaa);

	for (unsigned i = 0; i < s->devs; i++)
		vb_write_super(vb, i, 0, NULL);
	vb_add_chunk(vb, DATA | s->profile, LOGICAL, ROWS);
	return vb;
}

static struct vol *must_open(struct vb *vb, const struct vol_opts *opts)
{
	struct vol *v;

	assert_int_equal(open_volume(vb, opts, msg, &counters, &v), 0);
	return v;
}

/* Random writes of any alignment, in lists; then every copy must be what the model is. */
static void write_everywhere(const struct shape *s)
{
	struct vb *vb = make(s);
	struct vol *v = must_open(vb, &plain);
	uint64_t len = vb->chunks[0].len;
	uint8_t *model = malloc(len), *now = malloc(len);
	struct vol_wio ios[40];
	uint32_t seed = 3;

	assert_int_equal(vol_read(v, LOGICAL, model, (uint32_t)len, 4096, NULL, NULL, NULL), 0);
	for (unsigned i = 0; i < 40; i++) {
		uint64_t part = len / 40, off = i * part;

		seed = seed * 1664525 + 1013904223;
		off += (seed >> 8) % (part / 2);
		ios[i] = (struct vol_wio){ LOGICAL + off, model + off,
					   1 + (seed >> 16) % (uint32_t)(part / 2 - 1) };
		for (uint32_t k = 0; k < ios[i].len; k++)
			model[off + k] ^= (uint8_t)(0x80 | k);
	}
	assert_int_equal(vol_write_many(v, ios, 40), 0);
	assert_int_equal(vol_write(v, LOGICAL + len - 100, model, 100), 0);
	memcpy(model + len - 100, model, 100);
	assert_int_equal(vol_flush(v), 0);
	for (unsigned copy = 1; copy <= s->copies; copy++) {
		assert_int_equal(vol_read_copy(v, LOGICAL, now, (uint32_t)len, (int)copy), 0);
		assert_memory_equal(now, model, len);
	}
	for (unsigned i = 0; i < s->devs; i++)
		assert_int_equal(vb->devs[i].flushes, 1);
	vol_close(v);
	vb_destroy(vb);
	free(model);
	free(now);
}

static void test_everywhere(void **state)
{
	for (unsigned i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
		write_everywhere(&shapes[i]);
}

/* The first `nr` devices fail their writes: what the profile bears is done, no more. */
static void fail_devices(const struct shape *s, unsigned nr)
{
	struct vb *vb = make(s);
	struct vol *v = must_open(vb, &plain);
	uint8_t buf[4096] = { 1 };
	struct vol_wio io = { LOGICAL, buf, 4096 };
	struct vol_device_info info;
	/* On raid10 the first row's copies lie on the first two. */
	unsigned failed = s->profile == BTRFS_BLOCK_GROUP_DUP ? 2 : nr < s->copies ? nr : s->copies;
	bool bears = nr <= s->bears;

	for (unsigned i = 0; i < nr; i++)
		vb->devs[i].fail_writes = true;
	assert_int_equal(vol_write_many(v, &io, 1), bears ? 0 : -EIO);
	assert_int_equal(io.res, bears ? 0 : -EIO);
	assert_int_equal(io.failed, failed);
	assert_true(vol_device_get(v, 0, &info));
	assert_true(info.stale);
	assert_int_equal(info.write_errors, s->profile == BTRFS_BLOCK_GROUP_DUP ? 2 : 1);
	assert_non_null(strstr(last_err, "write failed"));
	/* The caller knows of the failure, or the profile bears it. */
	assert_int_equal(vol_flush(v), 0);
	vol_close(v);
	vb_destroy(vb);
}

static void test_failing(void **state)
{
	for (unsigned i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
		for (unsigned nr = 1; nr <= shapes[i].bears + 1; nr++)
			fail_devices(&shapes[i], nr);
}

/* A write that one device missed and a flush that the other failed: together no copy is sure. */
static void test_missed_together(void **state)
{
	struct vb *vb = make(&shapes[3]);
	struct vol *v = must_open(vb, &plain);
	struct btrfs_super_block sb = *vol_super(v);
	uint8_t buf[4096] = { 1 };

	vb->devs[0].fail_writes = true;
	assert_int_equal(vol_write(v, LOGICAL, buf, 4096), 0);
	vb->devs[0].fail_writes = false;
	assert_int_equal(vol_flush(v), 0);
	vb->devs[1].fail_flushes = true;
	assert_int_equal(vol_flush(v), -EIO);
	vb->devs[1].fail_flushes = false;
	/* It stays so. */
	assert_int_equal(vol_flush(v), -EIO);
	sb.generation = le64_make(VB_GENERATION + 1);
	assert_int_equal(vol_super_store(v, &sb), -EIO);
	assert_non_null(strstr(last_err, "does not bear"));
	vol_close(v);
	vb_destroy(vb);

	/* One after the other, with a superblock in between, is borne; the good copy is read. */
	vb = make(&shapes[3]);
	v = must_open(vb, &plain);
	vb->devs[0].fail_writes = true;
	assert_int_equal(vol_write(v, LOGICAL, buf, 4096), 0);
	vb->devs[0].fail_writes = false;
	assert_int_equal(vol_super_store(v, &sb), 0);
	vb->devs[1].fail_flushes = true;
	assert_int_equal(vol_flush(v), 0);
	vol_close(v);
	vb_destroy(vb);
}

/* What the next transaction missed while a superblock was being stored is not forgotten with that.
 */
static void test_missed_beside(void **state)
{
	for (unsigned beside = 0; beside < 2; beside++) {
		struct vb *vb = make(&shapes[3]);
		struct vol *v = must_open(vb, &plain);
		struct btrfs_super_block sb = *vol_super(v);
		uint8_t buf[4096] = { 1 };

		sb.generation = le64_make(VB_GENERATION + 1);
		if (beside)
			vol_switch(v);
		vb->devs[0].fail_writes = true;
		assert_int_equal(vol_write(v, LOGICAL, buf, 4096), 0);
		vb->devs[0].fail_writes = false;
		if (!beside)
			vol_switch(v);
		assert_int_equal(vol_super_store(v, &sb), 0);
		vb->devs[1].fail_flushes = true;
		assert_int_equal(vol_flush(v), beside ? -EIO : 0);
		vb->devs[1].fail_flushes = false;
		vol_close(v);
		vb_destroy(vb);
	}
}

/* Reading prefers the device that did not miss the write. */
static void test_stale_read(void **state)
{
	struct vb *vb = make(&shapes[3]);
	struct vol *v = must_open(vb, &plain);
	uint8_t buf[4096], now[4096];

	memset(buf, 7, sizeof(buf));
	for (unsigned i = 0; i < 2; i++) {
		uint64_t logical = LOGICAL; /* taken in turns: the first device's turn */

		vb->devs[0].fail_writes = true;
		assert_int_equal(vol_write(v, logical, buf, 4096), 0);
		assert_int_equal(vol_read(v, logical, now, 4096, 4096, NULL, NULL, NULL), 0);
		assert_memory_equal(now, buf, 4096);
	}
	vol_close(v);
	vb_destroy(vb);
}

static void test_refused(void **state)
{
	const struct shape raid5 = { BTRFS_BLOCK_GROUP_RAID5, 3, 1, 1 };
	struct vb *vb = make(&raid5);
	struct vol *v = must_open(vb, &plain);
	uint8_t buf[8192] = { 0 };
	struct vol_wio ios[2];

	assert_int_equal(vol_write(v, LOGICAL, buf, 4096), -EOPNOTSUPP);
	assert_int_equal(vol_write(v, 4096, buf, 4096), -ENXIO);
	assert_int_equal(vb->devs[0].writes + vb->devs[1].writes + vb->devs[2].writes, 0);
	vol_close(v);
	vb_destroy(vb);

	/* A range that leaves the chunk is not written at all, the other request is. */
	vb = make(&shapes[0]);
	v = must_open(vb, &plain);
	ios[0] = (struct vol_wio){ LOGICAL + vb->chunks[0].len - 4096, buf, 8192 };
	ios[1] = (struct vol_wio){ LOGICAL, buf, 8192 };
	assert_int_equal(vol_write_many(v, ios, 2), -ENXIO);
	assert_int_equal(ios[0].res, -ENXIO);
	assert_int_equal(ios[1].res, 0);
	assert_int_equal(vb->devs[0].writes, 1);
	vol_close(v);
	vb_destroy(vb);
}

static void test_missing(void **state)
{
	struct vb *vb = make(&shapes[3]);
	uint8_t buf[4096] = { 0 };
	struct vol_wio io = { LOGICAL, buf, 4096 };
	struct vol *v;

	vb->devs[1].state = VB_MISSING;
	v = must_open(vb, &degraded);
	assert_int_equal(vol_write_many(v, &io, 1), 0);
	assert_int_equal(io.failed, 1);
	assert_int_equal(vol_flush(v), 0);
	vb->devs[0].fail_writes = true;
	assert_int_equal(vol_write_many(v, &io, 1), -EIO);
	vol_close(v);
	vb_destroy(vb);
}

/* ---- superblocks ---- */

static void test_store(void **state)
{
	struct vb *vb = make(&shapes[4]);
	struct vol *v = must_open(vb, &plain);
	struct btrfs_super_block sb = *vol_super(v), found;
	struct btrfs_check_error err;
	struct btrfs_dev_item item;

	sb.generation = le64_make(VB_GENERATION + 1);
	strcpy(sb.label, "stored");
	vb_make_dev_item(vb, 1, &item);
	item.bytes_used = le64_make(77 * 4096);
	assert_int_equal(vol_device_update(v, &item), 0);
	item.devid = le64_make(99);
	assert_int_equal(vol_device_update(v, &item), -ENOENT);
	assert_int_equal(vol_super_store(v, &sb), 0);
	assert_int_equal(le64_get(vol_super(v)->generation), VB_GENERATION + 1);
	for (unsigned i = 0; i < 3; i++) {
		memcpy(&found, vb->devs[i].mem + 65536, sizeof(found));
		assert_int_equal(btrfs_check_super(&found, 65536, false, &err), 0);
		assert_int_equal(le64_get(found.generation), VB_GENERATION + 1);
		assert_int_equal(le64_get(found.dev_item.devid), vb->devs[i].devid);
		assert_int_equal(le64_get(found.dev_item.bytes_used), i == 1 ? 77 * 4096 : 1 << 20);
		assert_string_equal(found.label, "stored");
		assert_int_equal(vb->devs[i].flushes, 2);
	}
	/* The next one finds what this one wrote. */
	sb.generation = le64_make(VB_GENERATION + 2);
	assert_int_equal(vol_super_store(v, &sb), 0);
	/* A device that did not take it is left behind, and says so when it is opened. */
	vb->devs[2].fail_writes = true;
	sb.generation = le64_make(VB_GENERATION + 3);
	assert_int_equal(vol_super_store(v, &sb), 0);
	vb->devs[2].fail_writes = false;
	sb.generation = le64_make(VB_GENERATION + 4);
	assert_int_equal(vol_super_store(v, &sb), 0);
	/* All of them: that is no commit. */
	for (unsigned i = 0; i < 3; i++)
		vb->devs[i].fail_writes = true;
	sb.generation = le64_make(VB_GENERATION + 5);
	assert_int_equal(vol_super_store(v, &sb), -EIO);
	vol_close(v);
	vb_destroy(vb);
}

/* Nothing may be written where somebody else was. */
static void expect_stale(const struct shape *s, void (*meddle)(struct vb *vb), const char *why)
{
	struct vb *vb = make(s);
	struct vol *v = must_open(vb, &plain);
	struct btrfs_super_block sb = *vol_super(v);

	sb.generation = le64_make(VB_GENERATION + 1);
	meddle(vb);
	assert_int_equal(vol_super_store(v, &sb), -ESTALE);
	assert_non_null(strstr(last_err, why));
	for (unsigned i = 0; i < s->devs; i++)
		assert_int_equal(vb->devs[i].writes, 0);
	vol_close(v);
	vb_destroy(vb);
}

static void newer(struct vb *vb)
{
	vb->devs[vb->nr_devs - 1].generation++;
	vb_write_super(vb, vb->nr_devs - 1, 0, NULL);
}

static void older(struct vb *vb)
{
	vb->devs[0].generation--;
	vb_write_super(vb, 0, 0, NULL);
}

static void reformatted(struct vb *vb)
{
	memset(vb->fsid, 0xbb, 16);
	vb_write_super(vb, 0, 0, NULL);
}

static void wiped(struct vb *vb)
{
	memset(vb->devs[0].mem + 65536, 0, 4096);
}

static void test_another_writer(void **state)
{
	expect_stale(&shapes[0], newer, "generation 51, ours was of 50");
	expect_stale(&shapes[3], newer, "generation 51, ours was of 50");
	expect_stale(&shapes[0], older, "generation 49");
	expect_stale(&shapes[0], reformatted, "another filesystem");
	expect_stale(&shapes[0], wiped, "gone");
}

/* A superblock that would not be believed is not written; failing memory changes nothing. */
static void test_bad_super(void **state)
{
	struct vb *vb = make(&shapes[3]);
	struct vol *v = must_open(vb, &plain);
	struct btrfs_super_block sb = *vol_super(v);
	uint64_t n = 1;
	int ret;

	sb.generation = le64_make(VB_GENERATION + 1);
	sb.root_level = 9;
	assert_int_equal(vol_super_store(v, &sb), -EUCLEAN);
	assert_non_null(strstr(last_err, "root level"));
	sb.root_level = 0;
	for (ret = -ENOMEM; ret == -ENOMEM && n < 5; n++) {
		assert_int_equal(vb->devs[0].writes + vb->devs[0].flushes, 0);
		fault_arm(FAULT_ALLOC, n);
		ret = vol_super_store(v, &sb);
		fault_arm(FAULT_ALLOC, 0);
	}
	assert_int_equal(ret, 0);
	assert_true(n > 2);
	vol_close(v);
	vb_destroy(vb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_everywhere),	cmocka_unit_test(test_failing),
		cmocka_unit_test(test_missed_together), cmocka_unit_test(test_missed_beside),
		cmocka_unit_test(test_stale_read),	cmocka_unit_test(test_refused),
		cmocka_unit_test(test_missing),		cmocka_unit_test(test_store),
		cmocka_unit_test(test_another_writer),	cmocka_unit_test(test_bad_super),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
