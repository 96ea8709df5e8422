/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A filesystem as the layers above trees see it: its global trees and the table of subvolume roots.
 *
 * Filled once by the opener (api/), read-only afterwards, but for the root table, which has its own lock. txn_open (txn.h)
 * makes it writable: then the global trees' `tree` is set, and what changes is the live tree, not the bt_root here.
 */
#ifndef UBTRFS_ENGINE_TXN_FS_H
#define UBTRFS_ENGINE_TXN_FS_H

#include "engine/btree/bt.h"
#include "engine/util/pool.h"

#include <pthread.h>

struct root_table;
struct readahead;

/* Those of enum eng_rescue that layers below api/ look at. */
enum fs_rescue {
	FS_RESCUE_IGNOREDATACSUMS = 1 << 2,
};

struct fs {
	struct msg *msg;
	struct counters counters;
	struct vol *vol;
	struct eb_cache *cache;
	struct pool *pool;        /* decompression, checksums and read-ahead */
	struct btrfs_super_block super;
	uint32_t nodesize;
	uint32_t sectorsize;
	unsigned csum_type;
	unsigned csum_size;
	unsigned rescue;          /* enum eng_rescue bits */
	struct readahead *readahead; /* file/'s; NULL: none */
	/* Global trees; bytenr 0: not there (absent, or unreadable under a rescue option). */
	struct bt_root tree_root;
	struct bt_root chunk_root;
	struct bt_root extent_root;
	struct bt_root dev_root;
	struct bt_root csum_root;
	struct bt_root uuid_root;
	struct bt_root quota_root;
	struct bt_root fst_root;
	struct bt_root bg_root;   /* block-group-tree, else a copy of extent_root */
	struct bt_root stripe_root;
	struct txn_mgr *txn;      /* txn.h; NULL: opened read-only */
	struct root_table *roots;
	uint8_t (*seed_fsids)[16]; /* of the seeds that this filesystem grew out of; the geometry's */
};

/*
 * What a subvolume's ROOT_ITEM said when it was looked up. Immutable; of a writable filesystem bt.tree is the live
 * tree, and the item as it is now is got by root_item (txn.h).
 */
struct root {
	struct bt_root bt;
	uint64_t root_dirid;      /* inode of its top directory: 256 */
	uint64_t flags;           /* BTRFS_ROOT_SUBVOL_* */
	uint64_t item_offset;     /* of the item's key: the transaction of a snapshot's birth, else 0 */
	struct btrfs_root_item item; /* old 239-byte items are zero-extended */
};

MUST_CHECK int root_table_create(struct root_table **out_table);
void root_table_destroy(struct root_table *t);

/*
 * Looks up the tree with object id `id` (a subvolume or a global tree) in the root tree. No cache; of a writable
 * filesystem *out_root leads to the live tree, if there is one.
 * Return: 0; -ENOENT; -EUCLEAN, -EIO, -ENOMEM.
 */
MUST_CHECK int root_load(struct fs *fs, uint64_t id, struct root *out_root);
/*
 * The subvolume `id` (BTRFS_FS_TREE_OBJECTID or >= 256), cached for the filesystem's life; the pointer
 * stays valid until close. Return: 0; -ENOENT (no such subvolume, or deleted); -EUCLEAN, -EIO, -ENOMEM.
 */
MUST_CHECK int root_get(struct fs *fs, uint64_t id, const struct root **out_root);
/*
 * The ROOT_BACKREF of subvolume `id`: its parent subvolume, the directory there and its name.
 * `name` has room for 256 bytes and is NUL-terminated. Return: 0; -ENOENT (top level, or unlinked); -errno.
 */
MUST_CHECK int root_backref(struct fs *fs, uint64_t id, uint64_t *out_parent, uint64_t *out_dirid,
			    char name[256]);
/*
 * True (1) if the entry `name` in directory `dir` of subvolume `parent` is where subvolume `child` is; 0 if not; -errno.
 * An entry that is not, left by a snapshot of its directory, is an empty stub: also when the subvolume was moved into
 * that same snapshot later, under another name.
 */
int root_is_at(struct fs *fs, uint64_t parent, uint64_t child, uint64_t dir, const char *name, size_t len);

#endif
