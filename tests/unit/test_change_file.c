// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Changing inodes, over a transaction in memory, case by case: back references past one item and
 * names of one hash, inheritance, large directories, truncating in many transactions and breaking
 * off, growing, failures in the middle.
 */
#include "engine/util/fault.h"
#include "ondisk/csum.h"
#include "tests/unit/filefake.h"
#include "tests/unit/plants.h"

#include <linux/fs.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <cmocka.h>

#define EXTREF BTRFS_FEATURE_INCOMPAT_EXTENDED_IREF
#define NO_HOLES BTRFS_FEATURE_INCOMPAT_NO_HOLES
#define TOP 256

#define check(cond)                                                                                \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "%s:%d: %s\n", __func__, __LINE__, #cond);                 \
			return false;                                                              \
		}                                                                                  \
	} while (0)

/* ---- links and directories ---- */

static const struct timespec now = { 1700000000, 1 };

static uint64_t make(struct filefake *ff, uint64_t dir, const char *name, uint32_t mode)
{
	const struct ino_new what = { .mode = mode, .now = now };
	struct ino_attr attr;

	assert_int_equal(chg_create(&ff->c, dir, name, strlen(name), &what, &attr), 0);
	return attr.ino;
}

/* Links until it is refused; how many there are then. */
static unsigned link_all(struct filefake *ff, uint64_t ino, unsigned max)
{
	struct ino_attr attr;
	char name[256];

	memset(name, 'y', 255);
	name[255] = '\0';
	for (unsigned i = 1;; i++) {
		int err;

		snprintf(name, 16, "%u", i);
		name[strlen(name)] = '-';
		err = i == max ? -EMLINK : chg_link(&ff->c, ino, TOP, name, 255, &now, &attr);
		assert_true(!err || err == -EMLINK);
		if (err)
			return i;
		assert_int_equal(attr.nlink, i + 1);
	}
}

static void test_links(void **state)
{
	struct filefake *ff = filefake_create(4096, EXTREF | NO_HOLES);
	uint64_t ino = make(ff, TOP, "f", S_IFREG | 0600), left_ino;
	char name[256], family[4][256];
	struct ino_attr attr;
	uint32_t left;

	assert_int_equal(link_all(ff, ino, 100), 100);
	/* Back references of one hash: names of equal length that have one hash have it with any
	 * parent. */
	forge_names(family, 4, 200);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(chg_link(&ff->c, ino, TOP, family[i], 200, &now, &attr), 0);
	assert_true(filefake_check(ff));
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(
			chg_unlink(&ff->c, TOP, family[i ^ 2], 200, false, &now, &left_ino, &left),
			0);
	assert_true(filefake_check(ff));
	memset(name, 'y', 255);
	for (unsigned i = 1; i < 100; i++) {
		snprintf(name, 16, "%u", i);
		name[strlen(name)] = '-';
		assert_int_equal(chg_unlink(&ff->c, TOP, name, 255, false, &now, &left_ino, &left),
				 0);
		assert_int_equal(left, 100 - i);
	}
	assert_true(filefake_check(ff));
	filefake_destroy(ff);
	/* Without the feature one item is all. */
	ff = filefake_create(4096, NO_HOLES);
	ino = make(ff, TOP, "f", S_IFREG | 0600);
	assert_in_range(link_all(ff, ino, 100), 10, 15);
	assert_true(filefake_check(ff));
	filefake_destroy(ff);
}

static void test_link_max(void **state)
{
	struct filefake *ff = filefake_create(4096, EXTREF);
	uint64_t ino = make(ff, TOP, "f", S_IFREG | 0600);
	struct btrfs_inode_item *item;
	struct bt_path path = BT_PATH_INIT;
	struct ino_attr attr;

	assert_int_equal(chg_begin(&ff->c, 1, false), 0);
	assert_int_equal(inode_edit(&ff->c, ino, &path, &item), 0);
	item->nlink = le32_make(65535);
	bt_path_release(&path);
	assert_int_equal(chg_done(&ff->c, 0), 0);
	assert_int_equal(chg_link(&ff->c, ino, TOP, "g", 1, &now, &attr), -EMLINK);
	filefake_destroy(ff);
}

static void test_tmpfile(void **state)
{
	const struct ino_new what = { .mode = S_IFREG | 0600, .now = now };
	struct filefake *ff = filefake_create(4096, EXTREF);
	struct ino_attr attr, linked;

	assert_int_equal(chg_create(&ff->c, TOP, NULL, 0, &what, &attr), 0);
	assert_int_equal(attr.nlink, 0);
	assert_true(filefake_check(ff));
	assert_int_equal(chg_link(&ff->c, attr.ino, TOP, "t", 1, &now, &linked), 0);
	assert_int_equal(linked.nlink, 1);
	assert_true(filefake_check(ff));
	assert_int_equal(chg_orphans(&ff->c), 0);
	assert_int_equal(ino_load(&ff->fs, &ff->root, attr.ino, &attr), 0);
	filefake_destroy(ff);
}

static void test_inherit(void **state)
{
	const struct ino_xattr zstd = { "btrfs.compression", 17, "zstd:5", 6 },
			       bad = { "btrfs.compression", 17, "gzip", 4 };
	struct ino_new what = { .mode = S_IFREG | 0600, .gid = 7, .now = now };
	struct filefake *ff = filefake_create(4096, EXTREF);
	struct ino_attr set = { .mode = S_ISGID | 0755, .gid = 9, .flags = BTRFS_INODE_NODATACOW },
			attr;
	uint64_t dir = make(ff, TOP, "d", S_IFDIR | 0755), deep;
	char value[16];

	assert_int_equal(chg_setxattr(&ff->c, dir, &bad, 0, &now), -EINVAL);
	assert_int_equal(chg_setxattr(&ff->c, dir, &zstd, 0, &now), 0);
	assert_int_equal(chg_setattr(&ff->c, dir, INO_SET_MODE | INO_SET_GID, &set, &attr), 0);
	assert_int_equal(attr.flags, BTRFS_INODE_COMPRESS);
	deep = make(ff, dir, "e", S_IFDIR | 0700);
	assert_int_equal(chg_create(&ff->c, deep, "f", 1, &what, &attr), 0);
	assert_int_equal(attr.flags, BTRFS_INODE_COMPRESS);
	assert_int_equal(attr.gid, 9);
	assert_int_equal(
		xattr_get(&ff->fs, &ff->root, attr.ino, "btrfs.compression", 17, value, 16), 4);
	assert_memory_equal(value, "zstd", 4);
	assert_int_equal(ino_load(&ff->fs, &ff->root, deep, &attr), 0);
	assert_int_equal(attr.mode, S_IFDIR | S_ISGID | 0700);
	/* What does not copy on write has no compression, and files no sums. */
	assert_int_equal(chg_setattr(&ff->c, deep, INO_SET_FLAGS, &set, &attr), 0);
	assert_int_equal(chg_create(&ff->c, deep, "g", 1, &what, &attr), 0);
	assert_int_equal(attr.flags, BTRFS_INODE_NODATACOW | BTRFS_INODE_NODATASUM);
	assert_true(xattr_get(&ff->fs, &ff->root, attr.ino, "btrfs.compression", 17, value, 16) ==
		    -ENODATA);
	assert_int_equal(chg_setxattr(&ff->c, attr.ino, &zstd, 0, &now), -EINVAL);
	assert_true(filefake_check(ff));
	filefake_destroy(ff);
}

static void test_big_dir(void **state)
{
	struct filefake *ff = filefake_create(4096, EXTREF | NO_HOLES);
	uint64_t dir = make(ff, TOP, "d", S_IFDIR | 0700), ino;
	char name[32];
	uint32_t left;

	for (unsigned i = 0; i < 3000; i++) {
		snprintf(name, sizeof(name), "entry number %u", i);
		make(ff, dir, name, S_IFREG | 0600);
	}
	assert_true(filefake_check(ff));
	assert_int_equal(chg_unlink(&ff->c, TOP, "d", 1, true, &now, &ino, &left), -ENOTEMPTY);
	for (unsigned i = 0; i < 3000; i++) {
		snprintf(name, sizeof(name), "entry number %u", i * 7 % 3000);
		assert_int_equal(
			chg_unlink(&ff->c, dir, name, strlen(name), false, &now, &ino, &left), 0);
		if (i % 2)
			assert_int_equal(chg_evict(&ff->c, ino), 0);
	}
	assert_int_equal(chg_unlink(&ff->c, TOP, "d", 1, true, &now, &ino, &left), 0);
	assert_int_equal(ino, dir);
	assert_true(filefake_check(ff));
	assert_int_equal(chg_orphans(&ff->c), 0);
	assert_int_equal(ino_load(&ff->fs, &ff->root, dir, &(struct ino_attr){ 0 }), -ENOENT);
	assert_true(filefake_check(ff));
	filefake_destroy(ff);
}

/* An orphan item can name any number. */
static void test_orphan_number(void **state)
{
	static const uint64_t bad[] = { 0, 255, BTRFS_ORPHAN_OBJECTID, UINT64_MAX };

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct filefake *ff = filefake_create(4096, EXTREF);

		assert_int_equal(chg_begin(&ff->c, 1, false), 0);
		assert_int_equal(orphan_add(&ff->c, bad[i]), 0);
		assert_int_equal(chg_done(&ff->c, 0), 0);
		assert_int_equal(chg_orphans(&ff->c), -EUCLEAN);
		assert_int_equal(ff->aborts, 0);
		filefake_destroy(ff);
	}
}

/* ---- sizes, with data extents ---- */

#define KB 1024ull

/* 100 extents of 8 KiB: each fourth one a hole (stored, or not), one preallocated, some pieces of a
 * large extent. */
static uint64_t make_file(struct filefake *ff, bool holes)
{
	uint64_t ino = make(ff, TOP, "data", S_IFREG | 0600), bytes = 0;

	for (unsigned i = 0; i < 100; i++) {
		uint64_t off = i * 8 * KB;

		if (i % 4 == 3 && holes)
			filefake_extent(ff, ino, off, 0, 0, 0, 8 * KB, BTRFS_FILE_EXTENT_REG);
		if (i % 4 == 3)
			continue;
		bytes += 8 * KB;
		if (i % 4 == 2)
			filefake_extent(ff, ino, off, (1ull + i / 20) << 30, 256 * KB,
					i % 20 * 8 * KB, 8 * KB, BTRFS_FILE_EXTENT_REG);
		else
			filefake_extent(ff, ino, off, (100ull + i) << 20, 8 * KB, 0, 8 * KB,
					i % 8 == 1 ? BTRFS_FILE_EXTENT_PREALLOC
						   : BTRFS_FILE_EXTENT_REG);
	}
	filefake_grow(ff, ino, 800 * KB, bytes);
	return ino;
}

static bool truncate_check(uint64_t features)
{
	struct filefake *ff = filefake_create(4096, features);
	uint64_t ino = make_file(ff, !(features & NO_HOLES)), size = 800 * KB;
	struct ino_attr attr;
	uint32_t left;

	ff->end_every = 2;
	check(filefake_check(ff));
	/* To the middles of a shared piece, a hole, a preallocated extent; to borders; and
	 * everything. */
	for (unsigned i = 0; size; i++) {
		size = i == 0		 ? 790 * KB + 5
		       : size > 100 * KB ? size - 13 * KB - 77
		       : size > 40 * KB	 ? 32 * KB
					 : 0;
		check(!chg_truncate(&ff->c, ino, size, &now, &attr));
		check(attr.size == size && attr.mtime.tv_sec == now.tv_sec);
		check(filefake_check(ff));
		check(!faketxn_commit(ff->f));
	}
	check(attr.nbytes == 0);
	check(!chg_unlink(&ff->c, TOP, "data", 4, false, &now, &ino, &left));
	check(!chg_evict(&ff->c, ino));
	ino = make_file(ff, !(features & NO_HOLES));
	check(!chg_unlink(&ff->c, TOP, "data", 4, false, &now, &ino, &left));
	check(filefake_check(ff));
	check(!chg_evict(&ff->c, ino));
	check(filefake_check(ff) && !ff->aborts);
	for (unsigned i = 0; i < ff->data_nr; i++)
		check(!ff->data[i].count);
	filefake_destroy(ff);
	return true;
}

static void test_truncate(void **state)
{
	assert_true(truncate_check(NO_HOLES));
	assert_true(truncate_check(0));
}

/* Each handle leaves a whole file: the third one does not come about, as if there were a crash. */
static void test_truncate_breaks_off(void **state)
{
	struct filefake *ff = filefake_create(4096, NO_HOLES);
	uint64_t ino = make_file(ff, false);
	struct ino_attr attr;
	int err;

	ff->end_every = 1;
	ff->fail_begin = 3;
	err = chg_truncate(&ff->c, ino, 0, &now, &attr);
	assert_int_equal(err, -ENOSPC);
	assert_true(filefake_check(ff));
	assert_int_equal(ino_load(&ff->fs, &ff->root, ino, &attr), 0);
	assert_in_range(attr.size, 1, 799 * KB);
	assert_int_equal(attr.size % (8 * KB), 0);
	assert_int_equal(chg_truncate(&ff->c, ino, 0, &now, &attr), 0);
	assert_true(filefake_check(ff));
	filefake_destroy(ff);
}

static void test_grow(void **state)
{
	struct filefake *ff = filefake_create(4096, 0);
	uint64_t ino = make(ff, TOP, "f", S_IFREG | 0600);
	struct ino_attr attr;

	/* Preallocated past the end: gaps before and behind it. */
	filefake_extent(ff, ino, 64 * KB, 1 << 30, 16 * KB, 0, 16 * KB, BTRFS_FILE_EXTENT_PREALLOC);
	filefake_grow(ff, ino, 0, 16 * KB);
	assert_int_equal(chg_truncate(&ff->c, ino, 1000 * KB + 3, &now, &attr), 0);
	assert_int_equal(attr.size, 1000 * KB + 3);
	assert_true(filefake_check(ff));
	assert_int_equal(chg_truncate(&ff->c, ino, 70 * KB + 1, &now, &attr), 0);
	assert_int_equal(attr.nbytes, 8 * KB);
	assert_int_equal(chg_truncate(&ff->c, ino, 71 * KB + 1, &now, &attr), 0);
	assert_int_equal(chg_truncate(&ff->c, ino, 1ull << 63, &now, &attr), -EFBIG);
	assert_int_equal(chg_truncate(&ff->c, ino, (1ull << 63) - 1, &now, &attr), 0);
	assert_int_equal(chg_truncate(&ff->c, TOP, 0, &now, &attr), -EISDIR);
	assert_true(filefake_check(ff));
	/* In the middle of stored data zeros would have to be written. */
	ino = make(ff, TOP, "g", S_IFREG | 0600);
	filefake_extent(ff, ino, 0, 2 << 20, 8 * KB, 0, 8 * KB, BTRFS_FILE_EXTENT_REG);
	filefake_grow(ff, ino, 8 * KB, 8 * KB);
	assert_int_equal(chg_truncate(&ff->c, ino, 5000, &now, &attr), 0);
	assert_int_equal(chg_truncate(&ff->c, ino, 5001, &now, &attr), -EOPNOTSUPP);
	assert_int_equal(chg_write_inline(&ff->c, ino, 0, "x", 1, &now, &attr), -EFBIG);
	assert_int_equal(chg_truncate(&ff->c, ino, 4096, &now, &attr), 0);
	assert_int_equal(chg_truncate(&ff->c, ino, 5001, &now, &attr), 0);
	assert_true(filefake_check(ff));
	filefake_destroy(ff);
}

/* ---- failures ---- */

static int rename_over(struct filefake *ff)
{
	const struct rename r = {
		.from = { .dir = TOP, .name = "a", .len = 1 },
		.to = { .dir = TOP, .name = "b", .len = 1 },
		.flags = RENAME_WHITEOUT,
		.now = now,
	};
	uint64_t ino;
	uint32_t left;

	return chg_rename(&ff->c, &r, &ino, &left);
}

/* Each allocation of a block fails in turn: either nothing happened, or the transaction was
 * aborted. */
static void test_failures(void **state)
{
	unsigned clean = 0, aborted = 0;

	for (unsigned nth = 1;; nth++) {
		struct filefake *ff = filefake_create(4096, EXTREF);
		unsigned touches;
		int err;

		for (unsigned i = 0; i < 60; i++) {
			char name[32];

			snprintf(name, sizeof(name), "filler %u", i);
			make(ff, TOP, name, S_IFREG | 0600);
		}
		make(ff, TOP, "a", S_IFREG | 0600);
		make(ff, TOP, "b", S_IFREG | 0600);
		assert_int_equal(faketxn_commit(ff->f), 0);
		touches = ff->touches;
		ff->f->fail_alloc = nth;
		err = rename_over(ff);
		ff->f->fail_alloc = 0;
		assert_int_equal(ff->touches, touches + !err);
		assert_true(err == 0 || err == -ENOSPC);
		clean += err && !ff->aborts;
		aborted += ff->aborts;
		if (!ff->aborts)
			assert_true(filefake_check(ff));
		filefake_destroy(ff);
		if (!err)
			break;
	}
	assert_true(clean > 0 && aborted > 0);
}

#ifdef UBTRFS_PLANT
static int checker(void)
{
	return !truncate_check(NO_HOLES);
}

static void test_plants(void **state)
{
	assert_false(caught("none", checker));
	assert_true(caught("truncate_keeps_ref", checker));
	assert_true(caught("truncate_forgets_nbytes", checker));
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_orphan_number),
		cmocka_unit_test(test_links),
		cmocka_unit_test(test_link_max),
		cmocka_unit_test(test_tmpfile),
		cmocka_unit_test(test_inherit),
		cmocka_unit_test(test_big_dir),
		cmocka_unit_test(test_truncate),
		cmocka_unit_test(test_truncate_breaks_off),
		cmocka_unit_test(test_grow),
		cmocka_unit_test(test_failures),
#ifdef UBTRFS_PLANT
		cmocka_unit_test(test_plants),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
