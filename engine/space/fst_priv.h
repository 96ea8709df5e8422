/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the two files of the free-space tree share. */
#ifndef UBTRFS_ENGINE_SPACE_FST_PRIV_H
#define UBTRFS_ENGINE_SPACE_FST_PRIV_H

#include "engine/space/fst.h"

/* Bytes that a full bitmap item covers. */
static inline uint64_t fst_bitmap_bytes(const struct fst_group *g)
{
	return (uint64_t)BTRFS_FREE_SPACE_BITMAP_SIZE * 8 * g->sectorsize;
}

int fst_info_get(const struct fst_ops *ops, const struct fst_group *g,
		 struct btrfs_free_space_info *out_info);
int fst_info_set(const struct fst_ops *ops, const struct fst_group *g, uint32_t count,
		 uint32_t flags);
int fst_extent_insert(const struct fst_ops *ops, uint64_t start, uint64_t len);
/* Sets or clears bits, all of which are to change; *out_delta: ranges more or fewer. */
int fst_bits_change(const struct fst_ops *ops, const struct fst_group *g, uint64_t start,
		    uint64_t len, bool to_free, int *out_delta);

#endif
