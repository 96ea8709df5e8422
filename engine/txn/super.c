// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The superblock of a commit, and its backup roots.
 *
 * Fields that are Linux's business are kept: the generation of the old space cache, so that caches
 * of before do not match, and that of the uuid tree, unless it followed the superblock's at the
 * opening (then the tree is up to date, and stays so).
 *
 * Locks: none; COMMIT_DOING, when nobody changes a tree.
 */
#include "engine/txn/txn_priv.h"

#include <string.h>

static struct bt_root root_of(struct txn_mgr *mgr, enum live_id id)
{
	return bt_tree_root(&mgr->live[id].tree);
}

void super_open(struct txn_mgr *mgr)
{
	const struct btrfs_super_block *sb = &mgr->fs->super;
	uint64_t generation = le64_get(sb->generation);

	mgr->super = *sb;
	mgr->generation = generation;
	mgr->uuid_gen_follows =
		mgr->live[LIVE_UUID].used_now && le64_get(sb->uuid_tree_generation) == generation;
	for (unsigned i = 0; i < BTRFS_NUM_BACKUP_ROOTS; i++)
		if (le64_get(sb->super_roots[i].tree_root_gen) == generation)
			mgr->backup_next = (i + 1) % BTRFS_NUM_BACKUP_ROOTS;
}

static void note_root(const struct bt_root *root, le64 *bytenr, le64 *generation, uint8_t *level)
{
	*bytenr = le64_make(root->bytenr);
	*generation = le64_make(root->generation);
	*level = root->level;
}

static void fill_backup(struct txn_mgr *mgr, const struct btrfs_super_block *sb,
			struct btrfs_root_backup *b)
{
	const struct bt_root tree = root_of(mgr, LIVE_ROOT), chunk = root_of(mgr, LIVE_CHUNK);
	const struct bt_root extent = root_of(mgr, LIVE_EXTENT), dev = root_of(mgr, LIVE_DEV);
	const struct bt_root csum = root_of(mgr, LIVE_CSUM);
	const struct root *top;

	memset(b, 0, sizeof(*b));
	note_root(&tree, &b->tree_root, &b->tree_root_gen, &b->tree_root_level);
	note_root(&chunk, &b->chunk_root, &b->chunk_root_gen, &b->chunk_root_level);
	note_root(&extent, &b->extent_root, &b->extent_root_gen, &b->extent_root_level);
	note_root(&dev, &b->dev_root, &b->dev_root_gen, &b->dev_root_level);
	note_root(&csum, &b->csum_root, &b->csum_root_gen, &b->csum_root_level);
	/* In the table since the opening: no search. */
	if (!root_get(mgr->fs, BTRFS_FS_TREE_OBJECTID, &top)) {
		const struct bt_root fs_root = bt_tree_root(root_tree(top));

		note_root(&fs_root, &b->fs_root, &b->fs_root_gen, &b->fs_root_level);
	}
	b->total_bytes = sb->total_bytes;
	b->bytes_used = sb->bytes_used;
	b->num_devices = sb->num_devices;
}

int super_build(struct txn_mgr *mgr, uint64_t generation, struct btrfs_super_block *sb)
{
	const struct bt_root tree = root_of(mgr, LIVE_ROOT), chunk = root_of(mgr, LIVE_CHUNK);
	int err;

	*sb = mgr->super;
	sb->generation = le64_make(generation);
	sb->flags = le64_make(le64_get(sb->flags) | BTRFS_HEADER_FLAG_WRITTEN);
	sb->root = le64_make(tree.bytenr);
	sb->root_level = tree.level;
	sb->chunk_root = le64_make(chunk.bytenr);
	sb->chunk_root_generation = le64_make(chunk.generation);
	sb->chunk_root_level = chunk.level;
	sb->bytes_used = le64_make(atomic_load(&mgr->space.bytes_used));
	/* A cache that seems to be of this commit would be believed. */
	if (le64_get(sb->cache_generation) == generation)
		sb->cache_generation = le64_make(UINT64_MAX);
	err = chunk_sys_array(&mgr->space, sb);
	if (!err)
		err = chunk_publish_devices(&mgr->space);
	if (err)
		return err;
	if (mgr->uuid_gen_follows)
		sb->uuid_tree_generation = sb->generation;
	fill_backup(mgr, sb, &sb->super_roots[mgr->backup_next]);
	mgr->backup_next = (mgr->backup_next + 1) % BTRFS_NUM_BACKUP_ROOTS;
	return 0;
}
