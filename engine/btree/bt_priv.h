/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What search and iteration share. */
#ifndef UBTRFS_ENGINE_BTREE_BT_PRIV_H
#define UBTRFS_ENGINE_BTREE_BT_PRIV_H

#include "engine/btree/bt.h"

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

#endif
