/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What search, iteration and the trees that change share. */
#ifndef UBTRFS_ENGINE_BTREE_BT_PRIV_H
#define UBTRFS_ENGINE_BTREE_BT_PRIV_H

#include "engine/btree/bt_live.h"

/* What the node at `level` (at least 1) says of its child at `slot`. */
void bt_child_expect(const struct bt_path *path, int level, int slot,
		     struct btrfs_block_expect *out_expect);
/*
 * Gets the child that slots[level] of nodes[level] points to, as nodes[level - 1], which must be
 * empty; its keys are held against the bounds from above. 0 or -errno, with the path as it was.
 */
MUST_CHECK int bt_load_child(struct bt_path *path, int level);
/* Reads ahead, if wanted, before the leaf at slots[1] is loaded in a walk forward. */
void bt_readahead(struct bt_path *path);
/* The walk came to another node of level 1. */
void bt_readahead_new_node(struct bt_path *path);

/* Slot of a node's pointer that leads to `key`. */
unsigned bt_node_slot(const void *node, const struct btrfs_key *key);
/* Where `key` is (*out_found) or would be inserted. */
unsigned bt_leaf_slot(const void *leaf, const struct btrfs_key *key, bool *out_found);
/* As bt_child_expect, of any node. */
void bt_node_expect(const struct bt_root *root, const void *node, unsigned slot,
		    struct btrfs_block_expect *out_expect);
void bt_root_expect(const struct bt_root *root, struct btrfs_block_expect *out_expect);

/* ---- live.c: descending with locks ---- */

/* What a descent did not find in the cache: [0] is what it needs, the rest what will be wanted after it. */
struct bt_miss {
	unsigned nr;
	struct btrfs_block_expect expects[EB_PREFETCH_MAX];
};

/*
 * Reading what is missing with no lock held; a block that is missing again is read under its parent's lock.
 * From the first miss on, the blocks come by are kept referenced, by level, until bt_reader_end: in a cache that is
 * full of dirty blocks each would else push out the one before.
 */
struct bt_reader {
	enum eb_how how;
	bool pin;
	uint64_t last;
	struct eb *pins[BT_MAX_LEVEL];
	struct bt_miss miss;
};

void bt_reader_init(struct bt_reader *r);
void bt_reader_end(struct bt_reader *r);
/* After a miss, everything released: reads, or says that the next descent has to. */
void bt_reader_fetch(struct eb_cache *c, struct bt_reader *r);
/* The tree's present root, referenced and locked. 0, 1 (miss), -errno. */
int bt_lock_root(struct bt_tree *tree, int write_top, struct bt_reader *r, struct eb_spares *s,
		 struct eb **out_eb, int *out_level, bool *out_written);
/* A child of a locked node, referenced and locked, held against the node. 0, 1 (miss), -errno. */
int bt_lock_child(const struct bt_root *root, const struct eb *node, unsigned slot, bool write,
		  struct bt_reader *r, struct eb_spares *s, struct eb **out_eb);
int bt_live_search(const struct bt_root *root, const struct btrfs_key *key, struct bt_path *path);
int bt_live_step(struct bt_path *path, int step);
void bt_live_release(struct bt_path *path);

static inline bool bt_locked(const struct bt_path *path, int level)
{
	return path->live.locked & 1 << level;
}

static inline struct bt_tree *bt_path_tree(const struct bt_path *path)
{
	return path->root->tree;
}

static inline unsigned bt_nr(const struct bt_path *path, int level)
{
	return btrfs_header_nritems(eb_data(path->nodes[level]));
}

static inline uint32_t bt_nodesize(const struct bt_tree *tree)
{
	return eb_cache_geometry(tree->root.cache)->nodesize;
}

#define bt_count(tree, name) \
	counter_inc(vol_counters(eb_cache_vol((tree)->root.cache)), name)

/* Unlocks a level of a path for change and puts its node. */
void bt_unlock_level(struct bt_path *path, int level);
/* Puts another block, write-locked, in the place of a level's, which is unlocked and put. */
void bt_replace_level(struct bt_path *path, int level, struct eb *eb);

/* ---- cow.c ---- */

bool bt_should_cow(const struct bt_trans *t, struct bt_tree *tree, const struct eb *eb);
/*
 * Copies a write-locked block; *io_eb becomes the copy, locked and referenced, and the parent's pointer or the
 * tree's root (parent NULL) leads to it. A failure leaves *io_eb as it was.
 */
MUST_CHECK int bt_cow(struct bt_trans *t, struct bt_tree *tree, struct eb **io_eb, struct eb *parent,
		      unsigned pslot);
/* bt_cow if it should; tells `touched` either way. */
MUST_CHECK int bt_make_mutable(struct bt_trans *t, struct bt_tree *tree, struct eb **io_eb,
			       struct eb *parent, unsigned pslot);
/* A new, mutable, dirty block of the tree, write-locked. The tree is not a relocation tree. */
MUST_CHECK int bt_alloc(struct bt_trans *t, struct bt_tree *tree, int level,
			const struct btrfs_key *first_key, uint64_t hint, struct eb **out_eb);
/* Frees a mutable block that nothing leads to any more; it is unlocked and put. */
MUST_CHECK int bt_free(struct bt_trans *t, struct bt_tree *tree, struct eb *eb);
void bt_set_root(struct bt_trans *t, struct bt_tree *tree, const struct eb *eb);

/* ---- node.c: levels above the leaves; paths for change ---- */

/* The first key of nodes[level] changed: the nodes above hear of it. */
void bt_fix_low_keys(struct bt_trans *t, struct bt_path *path, int level);
/* Makes room for two more pointers in nodes[1], growing the tree if need be. */
MUST_CHECK int bt_node_room(struct bt_trans *t, struct bt_path *path);
void bt_node_insert(void *node, unsigned slot, const struct btrfs_key *key, const struct eb *child);
void bt_node_set_key(void *node, unsigned slot, const struct btrfs_key *key);
/*
 * The neighbour of nodes[level], write-locked, not copied; dir -1 or 1. NULL: none, or not in the cache.
 * The parent is write-locked.
 */
struct eb *bt_sibling(struct bt_path *path, int level, int dir);
/*
 * nodes[level], empty, leaves the tree, with the nodes above it that have nothing else; the path loses
 * them. The last leaf of a tree stays and is its root.
 */
MUST_CHECK int bt_drop_empty(struct bt_trans *t, struct bt_path *path, int level);
/* Merges nodes[level] with a neighbour if they are small. For leaves: if both fit in one. */
MUST_CHECK int bt_merge(struct bt_trans *t, struct bt_path *path, int level);

/* ---- leaf.c: bytes of a leaf ---- */

uint32_t leaf_used(const void *leaf, uint32_t nodesize); /* items with their headers */
uint32_t leaf_free(const void *leaf, uint32_t nodesize);
/* Room for items at `slot`, keys and sizes set, data not. It must be there. */
void leaf_insert(void *leaf, uint32_t nodesize, unsigned slot, const struct btrfs_key *keys,
		 const uint32_t *sizes, unsigned nr);
void leaf_delete(void *leaf, uint32_t nodesize, unsigned slot, unsigned nr);
void leaf_grow_item(void *leaf, uint32_t nodesize, unsigned slot, uint32_t bytes);
void leaf_cut_item(void *leaf, uint32_t nodesize, unsigned slot, uint32_t size, bool from_start);
/* Moves `nr` items from `slot` of `from` to the start or the end of `to`, which has room. */
void leaf_move(void *to, bool to_end, void *from, unsigned slot, unsigned nr, uint32_t nodesize);

/* ---- room.c ---- */

/* What is to come into a leaf. */
struct bt_need {
	uint32_t bytes;
	bool extend;		    /* the item at the path's slot grows, else a new one comes there */
	struct btrfs_key first_key; /* of what comes */
};
/* Makes room at the path's slot, by moving items to neighbours or splitting; the path follows the slot. */
MUST_CHECK int bt_leaf_room(struct bt_trans *t, struct bt_path *path, const struct bt_need *need);

#endif
