/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The free-space tree: for each block group an info item, and its free ranges as extent items or as
 * bitmap items, whichever takes less room, as Linux decides it. Pure over a table of tree operations.
 *
 * Format: FREE_SPACE_INFO at (start, len) counts free extents, in both forms; FREE_SPACE_EXTENT items
 * are empty, the key is the range; a FREE_SPACE_BITMAP of 256 bytes covers 2048 sectors (the last one what is
 * left), bit set: free.
 *
 * Locks: the caller lets one thread at a time work on a group.
 */
#ifndef UBTRFS_ENGINE_SPACE_FST_H
#define UBTRFS_ENGINE_SPACE_FST_H

#include "engine/util/err.h"
#include "ondisk/format.h"

/* Operations on one tree. Each returns 0 or -errno; `arg` carries tree and handle. */
struct fst_ops {
	void *arg;
	/* The last item with a key <= `key`, and its bytes into buf (room for 256). 1: none. */
	int (*find_le)(void *arg, const struct btrfs_key *key, struct btrfs_key *out_key, void *buf,
		       uint32_t *out_size);
	int (*insert)(void *arg, const struct btrfs_key *key, const void *data, uint32_t size);
	/* Same size as the item has. */
	int (*update)(void *arg, const struct btrfs_key *key, const void *data, uint32_t size);
	int (*remove)(void *arg, const struct btrfs_key *key);
};

struct fst_group {
	uint64_t start, len;
	uint32_t sectorsize;
};

/* Extents above `high` turn into bitmaps, fewer than `low` back. */
void fst_thresholds(const struct fst_group *g, uint32_t *out_low, uint32_t *out_high);

/* All return 0; -EUCLEAN (the items contradict themselves or the call); the operations' errors. */
/* A new group, all free. */
MUST_CHECK int fst_group_add(const struct fst_ops *ops, const struct fst_group *g);
MUST_CHECK int fst_group_remove(const struct fst_ops *ops, const struct fst_group *g);
/* The range, all used, is now free. */
MUST_CHECK int fst_free(const struct fst_ops *ops, const struct fst_group *g, uint64_t start, uint64_t len);
/* The range, all free, is now used. */
MUST_CHECK int fst_use(const struct fst_ops *ops, const struct fst_group *g, uint64_t start, uint64_t len);
MUST_CHECK int fst_to_bitmaps(const struct fst_ops *ops, const struct fst_group *g);
MUST_CHECK int fst_to_extents(const struct fst_ops *ops, const struct fst_group *g);
/* Calls fn for each free range, ascending, merged over bitmap items; checks the count of the info item. */
MUST_CHECK int fst_load(const struct fst_ops *ops, const struct fst_group *g,
			int (*fn)(void *arg, uint64_t start, uint64_t len), void *arg);

#endif
