/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The extent tree: an item for each extent with its count of references, and a back reference for each, inline in the
 * item as long as there is room, else as an item of its own.
 *
 * Only delayed references (dref.c) change it; what it says alone is out of date while some are waiting.
 * Format: inline references sorted by type, then by descending hash; linux/btrfs_tree.h.
 */
#ifndef UBTRFS_ENGINE_SPACE_EXTENT_TREE_H
#define UBTRFS_ENGINE_SPACE_EXTENT_TREE_H

#include "engine/space/dref.h"

struct extent {
	uint64_t logical, len;
	int level;                /* tree block; -1: data */
	struct btrfs_key first_key; /* of a tree block that is inserted without skinny metadata */
};

struct extent_info {
	uint64_t refs, flags, generation;
	uint64_t len;
	int level;                /* -1: data */
};

/* A new item with its first reference, counted `n`. 0; -EEXIST is -EUCLEAN, said; as bt_insert. */
MUST_CHECK int extent_insert(struct space_trans *st, const struct extent *e, uint64_t flags, const struct dref *ref,
			     unsigned n);
MUST_CHECK int extent_ref_add(struct space_trans *st, const struct extent *e, const struct dref *ref, unsigned n);
/* *out_left: the item's count afterwards; at 0 the item is gone. -EUCLEAN: there is no such reference; said. */
MUST_CHECK int extent_ref_drop(struct space_trans *st, const struct extent *e, const struct dref *ref, unsigned n,
			       uint64_t *out_left);
MUST_CHECK int extent_set_flags(struct space_trans *st, const struct extent *e, uint64_t flags);
/* What the item says. 0; -ENOENT; -EUCLEAN, -EIO, -ENOMEM. `level` -1: data or unknown. */
MUST_CHECK int extent_lookup(struct space_fs *fs, uint64_t logical, int level, struct extent_info *out_info);

/* Who uses an extent, by the extent tree alone (on a committed tree: the truth). */
struct backref {
	uint64_t root;            /* the tree; through shared blocks each tree that has them */
	uint64_t ino, offset;     /* data: file and offset of its file extent item's key */
	int level;                /* tree block: its own */
	uint64_t parent;          /* the block or leaf that refers to it; 0: it is a root */
};
/*
 * Calls fn for every (tree, place) that uses the extent, shared parents followed upwards to the trees.
 * fn non-zero ends it and is returned. Return: 0; -ENOENT; -EUCLEAN (references that lead nowhere; said); -errno.
 */
int backref_walk(struct space_fs *fs, uint64_t logical, int (*fn)(void *arg, const struct backref *ref), void *arg);

#endif
