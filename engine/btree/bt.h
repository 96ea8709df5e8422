/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Trees: search and iteration.
 *
 * A path holds a reference on each node from the root down to a leaf; it is got by bt_search and ended
 * by bt_path_release (a zeroed path is released). Items are read in place and live as long as the path
 * stays on their leaf.
 *
 * Whatever the blocks on disk say, a walk ends: levels strictly fall on the way down, and the keys of a block
 * must lie below the next key of its parent, so that keys strictly rise from leaf to leaf (else -EUCLEAN).
 */
#ifndef UBTRFS_ENGINE_BTREE_BT_H
#define UBTRFS_ENGINE_BTREE_BT_H

#include "engine/cache/eb.h"

#define BT_MAX_LEVEL 8

struct bt_tree;

/* Where a tree starts. Copied freely; says nothing of who owns it. */
struct bt_root {
	struct eb_cache *cache;
	uint64_t id;              /* the owner in block headers; for messages */
	uint64_t bytenr;
	uint64_t generation;
	uint8_t level;
	bool any_owner;           /* log and relocation trees; a subvolume's blocks may be any subvolume's anyway */
	struct bt_tree *tree;     /* not NULL: it changes, bt_live.h; searches then start at the tree's present root */
};

enum bt_readahead {
	BT_READAHEAD_NONE,
	BT_READAHEAD_FORWARD,     /* the following leaves are wanted too: directory and tree walks */
};

/* btree/'s own. */
struct bt_path_live {
	uint8_t locked;           /* levels whose node is write-locked, a bit each: a path for change */
	uint8_t root_level;       /* while something is locked */
	bool copy;                /* nodes[0] is a private copy */
	bool bounded;             /* all keys of the leaf are below `bound`, where the next one starts */
	struct btrfs_key bound;
};

struct bt_path {
	struct eb *nodes[BT_MAX_LEVEL]; /* [0] is the leaf */
	int slots[BT_MAX_LEVEL];
	const struct bt_root *root;
	enum bt_readahead readahead; /* set by the caller before the search, kept by release */
	uint64_t ra_end;          /* read-ahead's own: how far it is in nodes[1], and by how much at a time */
	struct bt_path_live live; /* of a path in a tree that changes */
};

#define BT_PATH_INIT { .nodes = { 0 } }
#define BT_PATH_CLEANUP __attribute__((cleanup(bt_path_release)))

/*
 * Descends to `key`. `root` must live as long as the path. The path is released first if it was in use.
 * Return: 0 found; 1 not found: the path stands where the key would be inserted, which may be one past the
 * leaf's last slot (bt_next_valid moves on); -EUCLEAN, -EIO, -ENXIO, -ENOMEM with the path released.
 */
MUST_CHECK int bt_search(const struct bt_root *root, const struct btrfs_key *key, struct bt_path *path);
/* The first item with a key >= `key`: 0, 1 (none; path released), -errno. */
MUST_CHECK int bt_search_ge(const struct bt_root *root, const struct btrfs_key *key, struct bt_path *path);
/* The last item with a key <= `key`: 0, 1 (none; path released), -errno. */
MUST_CHECK int bt_search_le(const struct bt_root *root, const struct btrfs_key *key, struct bt_path *path);
/*
 * After a search that returned 0 or 1: stays if there is an item, else moves to the next leaf's first.
 * 0, 1 (none; path released), -errno (path released).
 */
MUST_CHECK int bt_next_valid(struct bt_path *path);
/* To the next/previous item, over leaves: 0, 1 (none; path released), -errno (path released). */
MUST_CHECK int bt_next(struct bt_path *path);
MUST_CHECK int bt_prev(struct bt_path *path);
void bt_path_release(struct bt_path *path);

/* The item the path stands on; only while the last call returned 0. */
struct btrfs_key bt_key(const struct bt_path *path);
const void *bt_item(const struct bt_path *path);
uint32_t bt_item_size(const struct bt_path *path);

#endif
