// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What api/ does with items that pass the checks one by one but make no sense together, over a flat
 * filesystem in memory. A reference that is left behind is met by the cache's own assertion at the end.
 */
#include "engine/api/api_priv.h"
#include "engine/inspect.h"
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

static struct flatfs *make(void)
{
	struct flatfs *f = flatfs_create(4096, 4096, BTRFS_CSUM_TYPE_CRC32);

	flat_inode(f, TOP, S_IFDIR | 0755, 0, 0);
	return f;
}

/* The handle that the public functions want, over the flat filesystem's parts. */
static struct eng_fs *handle(struct flatfs *f)
{
	struct eng_fs *efs = calloc(1, sizeof(*efs));

	if (!efs)
		abort();
	efs->fs.msg = f->fs.msg;
	efs->fs.vol = f->fs.vol;
	efs->fs.cache = f->fs.cache;
	efs->fs.roots = f->fs.roots;
	efs->fs.nodesize = f->fs.nodesize;
	efs->fs.sectorsize = f->fs.sectorsize;
	efs->fs.csum_type = f->fs.csum_type;
	efs->fs.csum_size = f->fs.csum_size;
	efs->fs.tree_root = f->fs.tree_root;
	efs->fs.csum_root = f->fs.csum_root;
	return efs;
}

/* ---- extents ---- */

struct seen {
	unsigned nr;
	struct ins_extent last;
};

static int see(void *arg, const struct ins_extent *e)
{
	struct seen *seen = arg;

	seen->nr++;
	seen->last = *e;
	return 0;
}

static int extents(struct eng_fs *efs, struct seen *seen)
{
	*seen = (struct seen){ 0 };
	return ins_extents(efs, (struct eng_ino){ BTRFS_FS_TREE_OBJECTID, INO }, see, seen);
}

/*
 * A file's extent where the extent tree has a tree block: what follows the item's head are no references,
 * and read as such they pass the item's end.
 */
static void test_extent_of_tree_block(void **state)
{
	static const uint8_t types[] = { BTRFS_EXTENT_DATA_REF_KEY, BTRFS_SHARED_DATA_REF_KEY };

	(void)state;
	for (size_t i = 0; i < sizeof(types); i++) {
		struct {
			struct btrfs_extent_item item;
			struct btrfs_tree_block_info info;
		} __attribute__((packed)) block = {
			.item = { .refs = le64_make(7), .generation = le64_make(9),
				  .flags = le64_make(BTRFS_EXTENT_FLAG_TREE_BLOCK) },
			.info = { .key = { .objectid = le64_make(types[i]) } },
		};
		struct flat_items items = { 0 };
		struct flatfs *f = make();
		struct eng_fs *efs;
		struct seen seen;

		flat_inode(f, INO, S_IFREG | 0644, S, 0);
		flat_extent(f, INO, 0, REG, 0, 16 * S, S, 0, S, S);
		flat_open(f, 0, 0);
		flat_add(&items, 16 * S, BTRFS_EXTENT_ITEM_KEY, S, &block, sizeof(block));
		efs = handle(f);
		efs->fs.extent_root = flat_build(f, &items, BTRFS_EXTENT_TREE_OBJECTID);
		assert_int_equal(extents(efs, &seen), 0);
		assert_int_equal(seen.nr, 1);
		assert_int_equal(seen.last.refs, 0);
		assert_false(seen.last.shared);
		free(efs);
		flatfs_destroy(f);
	}
}

/* The very first extent is one that no reader takes: its leaf must be let go all the same. */
static void test_bad_first_extent(void **state)
{
	struct eb_cache_stats stats;
	struct flatfs *f = make();
	struct eng_fs *efs;
	struct seen seen;

	(void)state;
	flat_inode(f, INO, S_IFREG | 0644, S, 0);
	flat_extent(f, INO, 0, REG, BTRFS_COMPRESS_ZLIB, 16 * S, 0, 0, S, S);
	flat_open(f, 0, 0);
	efs = handle(f);
	assert_int_equal(extents(efs, &seen), -EUCLEAN);
	eb_cache_stats(f->fs.cache, &stats);
	assert_int_equal(stats.referenced, 0);
	free(efs);
	flatfs_destroy(f);
}

/* ---- directories ---- */

struct list {
	unsigned nr;
	uint64_t next;
	char names[64];
};

static int list_one(void *arg, const struct eng_dirent *ent)
{
	struct list *list = arg;

	if (list->nr < sizeof(list->names) && ent->len == 1)
		list->names[list->nr] = ent->name[0];
	list->nr++;
	list->next = ent->next;
	return 1;
}

/* Reads as readdir(3) does over FUSE: one entry, then on from the position it gave. Ends after 20. */
static int list_all(struct eng_fs *efs, struct list *list)
{
	const struct eng_ino dir = { BTRFS_FS_TREE_OBJECTID, TOP };
	int ret = 1;

	*list = (struct list){ 0 };
	while (ret == 1 && list->nr < 20)
		ret = eng_readdir(efs, dir, list->next, list_one, list);
	return ret;
}

/* An entry has a position after it, which fits what seekdir(3) takes: else a listing never ends. */
static void test_readdir_last_index(void **state)
{
	static const uint64_t last[] = { 1000, INT64_MAX - 1, INT64_MAX, (uint64_t)INT64_MAX + 1,
					 UINT64_MAX };

	(void)state;
	for (size_t i = 0; i < sizeof(last) / sizeof(last[0]); i++) {
		const struct btrfs_key to = { INO, BTRFS_INODE_ITEM_KEY, 0 };
		struct flatfs *f = make();
		bool good = last[i] < INT64_MAX;
		struct eng_fs *efs;
		struct list list;

		flat_entry(f, TOP, 2, "a", 1, &to, BTRFS_FT_REG_FILE);
		flat_entry(f, TOP, last[i], "b", 1, &to, BTRFS_FT_REG_FILE);
		flat_inode(f, INO, S_IFREG | 0644, 0, 0);
		flat_open(f, 0, 0);
		efs = handle(f);
		assert_int_equal(list_all(efs, &list), good ? 0 : -EUCLEAN);
		assert_int_equal(list.nr, good ? 4 : 3);
		assert_int_equal(list.names[2], 'a');
		free(efs);
		flatfs_destroy(f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_extent_of_tree_block),
		cmocka_unit_test(test_bad_first_extent),
		cmocka_unit_test(test_readdir_last_index),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
