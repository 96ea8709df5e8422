// SPDX-License-Identifier: GPL-2.0-or-later
/* Files' extents as gapless sequences, and SEEK_DATA and SEEK_HOLE, against a map of sectors. */
#include "tests/unit/flatfs.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>

#define TOP BTRFS_FIRST_FREE_OBJECTID
#define INO 300
#define S 4096ull
#define REG BTRFS_FILE_EXTENT_REG
#define PRE BTRFS_FILE_EXTENT_PREALLOC

static struct flatfs *make(uint64_t size, uint64_t flags)
{
	struct flatfs *f = flatfs_create(4096, 4096, BTRFS_CSUM_TYPE_CRC32);

	f->max_items = 4;
	flat_inode(f, TOP, S_IFDIR | 0755, 0, 0);
	flat_inode(f, TOP + 1, S_IFREG | 0755, S, 0);
	flat_extent(f, TOP + 1, 0, REG, 0, 16 * S, S, 0, S, S);
	flat_inode(f, INO, S_IFREG | 0644, size, flags);
	/* A neighbour, whose extents must not be taken for ours. */
	flat_inode(f, INO + 1, S_IFREG | 0755, S, 0);
	flat_extent(f, INO + 1, 0, REG, 0, 17 * S, S, 0, S, S);
	return f;
}

struct want {
	uint64_t off, len;
	enum fext_type type;
};

static void check_all(struct flatfs *f, const struct root *root, uint64_t from, uint64_t end,
		      const struct want *want, unsigned nr)
{
	struct fext_iter it;
	struct fext e;

	assert_int_equal(fext_begin(&it, &f->fs, root, INO, from, end), 0);
	for (unsigned i = 0; i < nr; i++) {
		assert_int_equal(fext_next(&it, &e), 0);
		assert_int_equal(e.off, want[i].off);
		assert_int_equal(e.len, want[i].len);
		assert_int_equal(e.type, want[i].type);
	}
	assert_int_equal(fext_next(&it, &e), 1);
	assert_int_equal(fext_next(&it, &e), 1);
	fext_end(&it);
}

static void test_sequence(void **state)
{
	struct flatfs *f = make(40 * S, BTRFS_INODE_PREALLOC);
	const struct want want[] = {
		{ 0, 2 * S, FEXT_HOLE },	   { 2 * S, 3 * S, FEXT_REG },
		{ 5 * S, 1 * S, FEXT_HOLE }, /* explicit */
		{ 6 * S, 4 * S, FEXT_PREALLOC },   { 10 * S, 10 * S, FEXT_HOLE },
		{ 20 * S, 5 * S, FEXT_REG },	   { 25 * S, 15 * S, FEXT_HOLE },
	};
	const struct root *root;

	(void)state;
	flat_extent(f, INO, 2 * S, REG, 0, 100 * S, 10 * S, 4 * S, 3 * S, 10 * S);
	flat_extent(f, INO, 5 * S, REG, 0, 0, 0, 0, S, S);
	flat_extent(f, INO, 6 * S, PRE, 0, 200 * S, 4 * S, 0, 4 * S, 4 * S);
	flat_extent(f, INO, 20 * S, REG, BTRFS_COMPRESS_ZSTD, 300 * S, S, S, 5 * S, 8 * S);
	flat_extent(f, INO, 50 * S, PRE, 0, 400 * S, 4 * S, 0, 4 * S, 4 * S); /* past the size */
	root = flat_open(f, 0, 0);
	check_all(f, root, 0, 40 * S, want, 7);
	check_all(f, root, 2 * S - 1, 40 * S, want, 7);
	check_all(f, root, 2 * S, 40 * S, want + 1, 6);
	check_all(f, root, 5 * S - 1, 40 * S, want + 1, 6);
	check_all(f, root, 9 * S, 40 * S, want + 3, 4);
	check_all(f, root, 15 * S, 40 * S, want + 4, 3);
	check_all(f, root, 39 * S, 40 * S, want + 6, 1);

	struct fext_iter it;
	struct fext e;
	assert_int_equal(fext_begin(&it, &f->fs, root, INO, 3 * S, 40 * S), 0);
	assert_int_equal(fext_next(&it, &e), 0);
	assert_int_equal(e.disk_logical, 100 * S);
	assert_int_equal(e.disk_len, 10 * S);
	assert_int_equal(e.ram_off, 4 * S);
	assert_int_equal(e.generation, 9);
	fext_end(&it);
	/* Asked beyond the size, the preallocation there is seen. */
	const struct want beyond[] = { { 25 * S, 25 * S, FEXT_HOLE }, { 50 * S, 4 * S, FEXT_PREALLOC },
				       { 54 * S, 6 * S, FEXT_HOLE } };
	check_all(f, root, 45 * S, 60 * S, beyond, 3);
	assert_int_equal(f->v.errors, 0);
	flatfs_destroy(f);
}

static void test_empty_and_inline(void **state)
{
	struct flatfs *f = make(100, 0);
	const struct want hole[] = { { 0, 10 * S, FEXT_HOLE } };
	const struct want want[] = { { 0, S, FEXT_INLINE }, { S, S, FEXT_REG }, { 2 * S, S, FEXT_HOLE } };
	const struct root *root;

	(void)state;
	root = flat_open(f, 0, 0);
	check_all(f, root, 0, 10 * S, hole, 1);
	check_all(f, root, 5 * S, 10 * S, hole, 1);
	check_all(f, root, 0, 0, NULL, 0);
	flatfs_destroy(f);

	f = make(3 * S, 0);
	flat_inline(f, INO, 0, 100, (char[100]){ "data" }, 100);
	flat_extent(f, INO, S, REG, 0, 100 * S, S, 0, S, S);
	root = flat_open(f, 0, 0);
	check_all(f, root, 0, 3 * S, want, 3);
	check_all(f, root, 50, 3 * S, want, 3);
	check_all(f, root, S, 3 * S, want + 1, 2);
	flatfs_destroy(f);
}

static void test_far(void **state)
{
	const uint64_t last = (1ull << 63) - S;
	struct flatfs *f = make(INT64_MAX, 0);
	const struct want want[] = { { 0, last, FEXT_HOLE }, { last, S, FEXT_REG } };
	struct ino_attr attr;
	const struct root *root;

	(void)state;
	flat_extent(f, INO, last, REG, 0, 100 * S, S, 0, S, S);
	root = flat_open(f, 0, 0);
	check_all(f, root, 0, 1ull << 63, want, 2);
	check_all(f, root, last - 1, 1ull << 63, want, 2);
	check_all(f, root, last, 1ull << 63, want + 1, 1);
	assert_int_equal(ino_load(&f->fs, root, INO, &attr), 0);
	assert_int_equal(fext_seek(&f->fs, root, &attr, 0, false), (int64_t)last);
	assert_int_equal(fext_seek(&f->fs, root, &attr, last + 5, false), (int64_t)last + 5);
	assert_int_equal(fext_seek(&f->fs, root, &attr, last, true), INT64_MAX);
	assert_int_equal(fext_seek(&f->fs, root, &attr, INT64_MAX, true), -ENXIO);
	assert_int_equal(f->v.errors, 0);
	flatfs_destroy(f);
}

/* Every piece is walked: what the checks of single items cannot see ends in -EUCLEAN. */
static int walk_errno(struct flatfs *f, const char *said)
{
	const struct root *root = flat_open(f, 0, 0);
	struct fext_iter it;
	struct fext e;
	int ret = fext_begin(&it, &f->fs, root, INO, 0, 100 * S);

	while (!ret)
		ret = fext_next(&it, &e);
	fext_end(&it);
	if (said && !strstr(f->v.last, said))
		fail_msg("said: %s", f->v.last);
	flatfs_destroy(f);
	return ret;
}

static void test_corrupt(void **state)
{
	struct flatfs *f;

	(void)state;
	/* The overlapping ones lie in leaves of their own, or the leaf's check would see them. */
	f = make(100 * S, 0);
	f->max_items = 1;
	flat_extent(f, INO, 0, REG, 0, 100 * S, 10 * S, 0, 10 * S, 10 * S);
	flat_extent(f, INO, 9 * S, REG, 0, 200 * S, S, 0, S, S);
	assert_int_equal(walk_errno(f, "extent at 36864 overlaps"), -EUCLEAN);

	f = make(100 * S, 0);
	f->max_items = 1;
	flat_inline(f, INO, 0, 100, (char[100]){ "data" }, 100);
	flat_extent(f, INO, S, REG, 0, 200 * S, S, 0, S, S);
	assert_int_equal(walk_errno(f, NULL), 1);

	f = make(100 * S, 0);
	f->max_items = 1;
	flat_inline(f, INO, BTRFS_COMPRESS_ZLIB, S + 1, "xx", 2);
	flat_extent(f, INO, S, REG, 0, 200 * S, S, 0, S, S);
	assert_int_equal(walk_errno(f, "overlaps"), -EUCLEAN);

	f = make(100 * S, 0);
	flat_extent(f, INO, 0, REG, 0, 100 * S, 2 * S, S, 2 * S, 2 * S);
	assert_int_equal(walk_errno(f, NULL), -EUCLEAN);

	f = make(100 * S, 0);
	flat_extent(f, INO, 0, REG, BTRFS_COMPRESS_LZO, 100 * S, S, 0, S, 1ull << 40);
	assert_int_equal(walk_errno(f, NULL), -EUCLEAN);
	f = make(100 * S, 0);
	flat_extent(f, INO, 0, REG, BTRFS_COMPRESS_LZO, 100 * S, 0, 0, S, S);
	assert_int_equal(walk_errno(f, "compressed bytes 0"), -EUCLEAN);
	/* Extents of no length lead nowhere, and do not stop a walk. */
	f = make(100 * S, 0);
	flat_extent(f, INO, 0, REG, 0, 100 * S, S, 0, 0, S);
	flat_extent(f, INO, S, REG, 0, 100 * S, S, 0, S, S);
	assert_int_equal(walk_errno(f, NULL), 1);
}

/* Random layouts: what SEEK says for every offset near a border, from a map of sectors. */
static void random_layout(unsigned seed)
{
	enum { NR = 60 };
	uint64_t size = (NR - (unsigned)rand_r(&seed) % 20) * S - (unsigned)rand_r(&seed) % S;
	struct flatfs *f = make(size, BTRFS_INODE_PREALLOC);
	bool data[NR] = { 0 };
	const struct root *root;
	struct ino_attr attr;

	for (unsigned at = 0; at < NR;) {
		unsigned len = 1 + (unsigned)rand_r(&seed) % 5, kind = (unsigned)rand_r(&seed) % 4;

		if (len > NR - at)
			len = NR - at;
		if (kind == 1)
			flat_extent(f, INO, at * S, REG, 0, 0, 0, 0, len * S, len * S);
		else if (kind == 2)
			flat_extent(f, INO, at * S, PRE, 0, (100 + at) * S, len * S, 0, len * S, len * S);
		else if (kind == 3)
			flat_extent(f, INO, at * S, REG, 0, (100 + at) * S, len * S, 0, len * S, len * S);
		for (unsigned i = 0; i < len; i++)
			data[at + i] = kind == 3;
		at += len;
	}
	root = flat_open(f, 0, 0);
	assert_int_equal(ino_load(&f->fs, root, INO, &attr), 0);
	for (uint64_t off = 0; off < size + S; off += off % S ? S - off % S : 1 + S / 3) {
		for (int hole = 0; hole < 2; hole++) {
			int64_t want = off < size && hole ? (int64_t)size : -ENXIO;

			for (uint64_t at = off; at < size; at = (at / S + 1) * S) {
				if (data[at / S] != hole) {
					want = (int64_t)at;
					break;
				}
			}
			assert_int_equal(fext_seek(&f->fs, root, &attr, off, hole), want);
		}
	}
	assert_int_equal(f->v.errors, 0);
	flatfs_destroy(f);
}

static void test_seek(void **state)
{
	struct flatfs *f;
	struct ino_attr attr;
	const struct root *root;

	(void)state;
	for (unsigned seed = 1; seed <= 12; seed++)
		random_layout(seed);
	/* As Linux: as many bytes as the size and not preallocated means no holes (flat_inode halves). */
	f = make(4 * S, 0);
	flat_extent(f, INO, 0, PRE, 0, 100 * S, 4 * S, 0, 4 * S, 4 * S);
	root = flat_open(f, 0, 0);
	assert_int_equal(ino_load(&f->fs, root, INO, &attr), 0);
	assert_int_equal(fext_seek(&f->fs, root, &attr, 0, true), 0);
	attr.nbytes = attr.size;
	assert_int_equal(fext_seek(&f->fs, root, &attr, 0, true), 4 * S);
	assert_int_equal(fext_seek(&f->fs, root, &attr, 0, false), -ENXIO);
	attr.flags = BTRFS_INODE_PREALLOC;
	assert_int_equal(fext_seek(&f->fs, root, &attr, 0, true), 0);
	flatfs_destroy(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sequence), cmocka_unit_test(test_empty_and_inline),
		cmocka_unit_test(test_far),	 cmocka_unit_test(test_corrupt),
		cmocka_unit_test(test_seek),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
