/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Trees that change: searching with locks, copy-on-write, editing leaves, splitting and merging.
 *
 * A live tree is a struct bt_tree; its embedded bt_root is what bt_search and its kin take, which read a live
 * tree under locks and hold none when they return: a leaf that may still change is handed out as a private
 * copy. So a reader may hold any number of paths, and bt_next starts a new descent for each leaf.
 *
 * A change is: bt_search_change, one of the edits, bt_path_release. In between the path holds write locks
 * on the leaf and on all nodes that the edit can reach; no other search in the same tree until then.
 *
 * Locks: one tree at a time (the chunk tree may be entered by `alloc`). Parent before child; siblings only
 * under their parent's write lock. Nothing is read from disk, and no memory waited for, under a lock, but for
 * a block that was evicted again between being read and being locked several times running.
 *
 * Failure: an edit fails with the tree's contents as they were, unless it called `abort`.
 */
#ifndef UBTRFS_ENGINE_BTREE_BT_LIVE_H
#define UBTRFS_ENGINE_BTREE_BT_LIVE_H

#include "engine/btree/bt.h"
#include "engine/cache/eb_live.h"

struct bt_tree {
	struct bt_root root;      /* `lock`: bytenr, generation, level; root.tree is this tree */
	pthread_mutex_t lock;     /* short; taken last. The root moves only under its block's write lock, too */
	bool shareable;           /* snapshots may share blocks (BTRFS_ROOT_SHAREABLE) */
	bool reloc;               /* a relocation tree: its blocks have full back references */
	_Atomic bool force_cow;   /* a snapshot of it was made in the running transaction */
	_Atomic uint64_t last_snapshot; /* generation of the last snapshot: younger blocks are not shared */
};

/* `root` is copied. */
void bt_tree_init(struct bt_tree *tree, const struct bt_root *root);
void bt_tree_destroy(struct bt_tree *tree);
/* A consistent look at where the tree starts, as for a root item. Its `tree` is NULL: no live searches. */
struct bt_root bt_tree_root(struct bt_tree *tree);

struct bt_trans;

/* A block that is to be allocated, with its first reference. */
struct bt_want {
	uint64_t owner;           /* the tree that it will belong to; of the reference unless `parent` */
	int level;
	struct btrfs_key first_key;
	uint64_t hint;            /* address of a neighbour, 0: none */
	uint64_t parent;          /* full back reference from this block; 0: keyed by `owner` */
};

/* A block that loses this tree's reference. */
struct bt_drop {
	uint64_t logical;
	uint64_t generation;
	uint64_t parent;          /* as in bt_want */
	int level;
	bool last;                /* nobody else refers to it: if !written and of this generation, reusable at once */
	bool written;             /* may be on disk: pin until the commit is durable */
};

/*
 * The core of the onion: what changing a tree asks of whoever owns space and transactions. All are called with
 * tree locks held: they do not enter this tree and do not wait for somebody who may.
 */
struct bt_trans_ops {
	/* -ENOSPC, -ENOMEM, -EROFS…: the edit fails and the tree is as it was. */
	int (*alloc)(struct bt_trans *t, const struct bt_want *want,
		     uint64_t *out_logical);
	/* The other way round; also of a block just allocated and not used. A failure aborts. */
	int (*free)(struct bt_trans *t, struct bt_tree *tree, const struct bt_drop *drop);
	/* The buffer is write-locked: eb_mark_dirty on the transaction's list, typically. `tree` is NULL in bt_create. */
	void (*dirty)(struct bt_trans *t, struct bt_tree *tree, struct eb *eb);
	/* References and BTRFS_BLOCK_FLAG_* of a block that may be shared. */
	int (*refs)(struct bt_trans *t, uint64_t logical, int level, uint64_t *out_refs,
		    uint64_t *out_flags);
	/* Sets these flags of a block. A failure aborts. */
	int (*set_flags)(struct bt_trans *t, const struct eb *eb, uint64_t flags);
	/*
	 * Adds or drops one reference of each thing that this block points to (child blocks; extents of file
	 * data): from the block (`full`) or from the tree that its header names. A failure aborts.
	 */
	int (*ref_children)(struct bt_trans *t, struct bt_tree *tree, const struct eb *eb, bool full,
			    bool add);
	/* The root moved: the root item will have to be written. */
	void (*root_changed)(struct bt_trans *t, struct bt_tree *tree);
	/*
	 * Optional: an edit goes through this block, copied now from `from` (NULL: it was mutable already, or is new).
	 * For holding (eb_holds) until the handle's end, for relocation, and for counting. The block is locked; with
	 * search=linux, whose way down copies what it finds sealed, perhaps only for reading.
	 */
	void (*touched)(struct bt_trans *t, struct bt_tree *tree, struct eb *eb, const struct eb *from);
	/* A change that was begun could not be ended: no further commit. */
	void (*abort)(struct bt_trans *t, int err);
};

enum bt_search_mode {
	BT_TWO_PASS, /* look, then lock and copy once */
	BT_LINUX,    /* copy on the way down; drop all and start over when something is missing */
};

/*
 * For the laboratory: searches with search=linux that start over without need, having copied their path. Shared by
 * handles; set up before the first.
 */
struct bt_lab {
	unsigned every;           /* every nth search … */
	unsigned times;           /* … starts over so many times */
	void (*between)(void *arg); /* optional: each time, with nothing locked; to write out, typically */
	void *arg;
	_Atomic uint64_t searches;
};

/* Of one handle, hence of one thread at a time. */
struct bt_trans {
	uint64_t generation;
	const struct bt_trans_ops *ops;
	enum bt_search_mode mode;
	struct eb_spares spares;  /* filled by searches; bt_trans_end gives them back */
	struct eb_cache *cache;   /* whose spares these are */
	struct bt_lab *lab;       /* NULL, unless set after bt_trans_init */
};

void bt_trans_init(struct bt_trans *t, struct eb_cache *cache, uint64_t generation,
		   const struct bt_trans_ops *ops, enum bt_search_mode mode);
void bt_trans_end(struct bt_trans *t);

/* ---- searching for change ---- */

/* What is to be done to the leaf. */
enum bt_intent {
	BT_UPDATE, /* bytes of the item found */
	BT_INSERT, /* `bytes`: data of the new items and a struct btrfs_item for each */
	BT_EXTEND, /* `bytes`: by which the item found grows */
	/*
	 * Items from the one found on, within the leaf; or, if it is not found, from the one before on; truncation; a
	 * new key. `bytes`: how many go at most, with a struct btrfs_item for each; 0: not known.
	 */
	BT_DELETE,
};

/*
 * Finds `key`, with all that the intended edit can reach copied and write-locked. If `key` is there for BT_INSERT,
 * or not there for BT_UPDATE and BT_EXTEND, the path may be looked at, not edited.
 * Return: 0 found; 1 not found (path stands where it would be inserted); -EUCLEAN, -EIO, -ENXIO, -ENOMEM, -ENOSPC
 * and what else `alloc` says: path released.
 */
MUST_CHECK int bt_search_change(struct bt_trans *t, struct bt_tree *tree, const struct btrfs_key *key,
				enum bt_intent intent, uint32_t bytes, struct bt_path *path);

/* ---- edits; the path comes from bt_search_change with the intent named ---- */

/* BT_UPDATE, and after every other edit: the item's bytes. */
void *bt_item_mut(struct bt_trans *t, const struct bt_path *path);
/*
 * BT_INSERT, after 1: `nr` items with rising keys, the first being the one searched for and all below the key
 * that follows. Path stands on the first; their bytes are not set. Together they must fit an empty leaf.
 * Return: 0; -EOVERFLOW (do not fit a leaf); -ENOSPC and the like.
 */
MUST_CHECK int bt_insert_items(struct bt_trans *t, struct bt_path *path, const struct btrfs_key *keys,
			       const uint32_t *sizes, unsigned nr);
/* BT_EXTEND, after 0: the item grows by `bytes` at its end, unset. -EOVERFLOW (beyond a leaf), -ENOSPC. */
MUST_CHECK int bt_extend_item(struct bt_trans *t, struct bt_path *path, uint32_t bytes);
/* BT_UPDATE or BT_DELETE: the item is cut to `size` bytes, its last ones or (from_start) its first going. */
void bt_truncate_item(struct bt_trans *t, struct bt_path *path, uint32_t size, bool from_start);
/*
 * BT_DELETE: removes `nr` items from path's slot on, and merges what became small. Path then stands on the
 * item that followed if that is in the same leaf still (slot may be one past its last), or is released.
 * Return: 0; -errno after an abort.
 */
MUST_CHECK int bt_delete_items(struct bt_trans *t, struct bt_path *path, unsigned nr);
/* BT_DELETE: another key for the item, keeping the order. */
void bt_set_item_key(struct bt_trans *t, struct bt_path *path, const struct btrfs_key *key);
/* How many of these items bt_insert_items would take at once, from the first on; at least 1. */
unsigned bt_insert_batch(struct eb_cache *c, const uint32_t *sizes, unsigned nr);

/* ---- all in one; the path is not seen ---- */

/* 0; -EEXIST; as above. */
MUST_CHECK int bt_insert(struct bt_trans *t, struct bt_tree *tree, const struct btrfs_key *key,
			 const void *data, uint32_t size);
/* 0; -ENOENT; as above. */
MUST_CHECK int bt_delete(struct bt_trans *t, struct bt_tree *tree, const struct btrfs_key *key);

/* ---- roots ---- */

/* A new tree of one empty leaf: `like` has cache, id, any_owner; the rest is filled into *out_root. */
MUST_CHECK int bt_create(struct bt_trans *t, const struct bt_root *like, struct bt_root *out_root);
/*
 * A second root with the tree's contents, for a snapshot `new_id`: its children are shared from here on. The caller
 * has set last_snapshot and force_cow of both, and nobody else is in the tree.
 */
MUST_CHECK int bt_copy_root(struct bt_trans *t, struct bt_tree *tree, uint64_t new_id,
			    struct bt_root *out_root);

/* ---- verifying ---- */

struct bt_verify_stats {
	uint64_t blocks, items, item_bytes;
};

/*
 * Reads the whole tree and holds every block against its parent: level, generation (never above its
 * parent's), owner, first key, upper bound, order of keys, fill (no empty block but an empty root leaf;
 * items contiguous from the end). Nobody changes the tree meanwhile. *out_stats may be NULL.
 * Return: 0; -EUCLEAN (said in a message); -errno.
 */
MUST_CHECK int bt_verify(const struct bt_root *root, struct bt_verify_stats *out_stats);

#endif
