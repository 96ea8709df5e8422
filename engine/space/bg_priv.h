/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The index of block groups, for block_group.c, bg_alloc.c and bg_extent.c. */
#ifndef UBTRFS_ENGINE_SPACE_BG_PRIV_H
#define UBTRFS_ENGINE_SPACE_BG_PRIV_H

#include "engine/space/block_group.h"

#include <assert.h>

/* Where the next metadata goes: a stretch of free space of one group. A hint only: nothing in it is
 * taken. */
struct bg_cluster {
	uint64_t start, end;
};

enum bg_kind {
	BG_KIND_DATA,
	BG_KIND_METADATA,
	BG_KIND_SYSTEM,
	BG_KIND_NR,
};

struct bg_index {
	struct space *sp;
	struct rsv_set *rsv;
	pthread_rwlock_t lock;
	RB_HEAD(bg_tree, block_group) groups; /* under lock */
	pthread_mutex_t pin_lock;
	struct range_set pinned[2]; /* under pin_lock */
	unsigned running; /* the one that pins go to; the other's commit is under way. pin_lock */
	pthread_mutex_t dirty_lock; /* before a space_info's */
	TAILQ_HEAD(, block_group) dirty;
	_Atomic uint64_t hint[BG_KIND_NR]; /* the end of the last data placed */
	pthread_mutex_t cluster_lock;
	struct bg_cluster clusters[BG_KIND_NR];
};

static inline enum bg_kind bg_kind(uint64_t type)
{
	if (type & BTRFS_BLOCK_GROUP_METADATA)
		return BG_KIND_METADATA;
	return type & BTRFS_BLOCK_GROUP_SYSTEM ? BG_KIND_SYSTEM : BG_KIND_DATA;
}

/* The item is out of date. */
void bg_mark_dirty(struct bg_index *idx, struct block_group *bg);

#endif
