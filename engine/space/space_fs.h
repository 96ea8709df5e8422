/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a filesystem's space lives: what the parts of space/ work on together, and the handle that they
 * extend. Filled by the opener (txn/), constant afterwards but for what the members lock themselves.
 *
 * The onion: btree/ sees struct bt_trans; space/ wraps it into struct space_trans, with the reserve, the delayed
 * references and the chunks to come; txn/ wraps that with the transaction and its waiters.
 *
 * Locks, outermost first: fs tree blocks → extent tree blocks → block-group, free-space, dev tree blocks → chunk tree
 * blocks → delayed references → what block_group.h says. The extent tree is looked at (space_tree_ops.refs) while
 * blocks of a shareable tree are locked, never the other way round.
 */
#ifndef UBTRFS_ENGINE_SPACE_SPACE_FS_H
#define UBTRFS_ENGINE_SPACE_SPACE_FS_H

#include "engine/btree/bt_live.h"
#include "engine/space/block_group.h"

struct dev_space;
struct dref_set;
struct chunk_pending;

struct space_fs {
	struct space *sp;
	struct rsv_set *rsv;
	struct bg_index *bgs;
	struct dev_space *devs;   /* chunk.h */
	struct vol *vol;
	struct eb_cache *cache;
	struct msg *msg;
	struct counters *counters;
	/* Live trees. */
	struct bt_tree *root, *extent, *chunk, *dev;
	struct bt_tree *csum;     /* sums of freed data are deleted from it */
	struct bt_tree *bg;       /* where block-group items are: the block-group tree, else `extent` */
	struct bt_tree *fst;      /* NULL: no free-space tree */
	uint32_t nodesize, sectorsize;
	uint32_t csum_size;
	bool skinny;              /* METADATA_ITEM instead of EXTENT_ITEM for tree blocks */
	bool mixed;               /* data and metadata share block groups */
	_Atomic uint64_t bytes_used; /* as the superblock's: of all extents that have items */
};

/* A handle as space/ sees it. `bt` comes first: the onion's ops cast. */
struct space_trans {
	struct bt_trans bt;
	struct space_fs *fs;
	struct rsv_handle rsv;
	struct dref_set *drefs;   /* the transaction's */
	struct chunk_pending *chunks; /* the transaction's */
	void *handle;             /* what space_reserve is given: the struct txn_handle */
	bool adding_csums;
	bool running_refs;        /* inside dref_run or the commit's fixpoint: no nested run */
};

static inline struct space_trans *space_trans(struct bt_trans *t)
{
	return (struct space_trans *)t;
}

/*
 * space/'s part of struct bt_trans_ops (tree_block.c): txn/ puts them into its table.
 *
 * alloc: rsv_use_block → bg_alloc (with the handle's last resort, chunk_alloc_now) → a delayed reference.
 * free: drops the reference; a block of this transaction that was never written and that nobody else knows goes
 * back at once. refs, set_flags, ref_children: the extent tree together with what is delayed.
 */
int space_block_alloc(struct bt_trans *t, const struct bt_want *want, uint64_t *out_logical);
int space_block_free(struct bt_trans *t, struct bt_tree *tree, const struct bt_drop *drop);
int space_block_refs(struct bt_trans *t, uint64_t logical, int level, uint64_t *out_refs,
		     uint64_t *out_flags);
int space_block_set_flags(struct bt_trans *t, const struct eb *eb, uint64_t flags);
int space_block_ref_children(struct bt_trans *t, struct bt_tree *tree, const struct eb *eb, bool full,
			     bool add);

#endif
