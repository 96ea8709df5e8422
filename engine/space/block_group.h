/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Block groups in memory: their counters, their free space, what is pinned in them, and the allocator that
 * picks a place.
 *
 * A byte of a group is used (an extent item says so), reserved (placed, item to come), pinned (freed, but
 * the last commit still refers to it), super (a superblock copy lies there), or free. Sums over a
 * type's groups are that type's space_info counters.
 *
 * Locks: the index's rwlock for which groups there are; a group's `lock` for its free space; its
 * counters are under its space_info's lock. Order: index → pinned → group → space_info. A group
 * once got stays in memory until put, removed or not.
 */
#ifndef UBTRFS_ENGINE_SPACE_BLOCK_GROUP_H
#define UBTRFS_ENGINE_SPACE_BLOCK_GROUP_H

#include "engine/space/block_rsv.h"
#include "engine/space/free_space.h"
#include "engine/space/range_set.h"
#include "engine/volume/vol.h"

struct bg_index;

struct block_group {
	RB_ENTRY(block_group) node;
	uint64_t start, len;
	uint64_t flags;           /* BTRFS_BLOCK_GROUP_*: constant */
	struct space_info *si;
	struct range_set supers;  /* where superblock copies lie: constant */
	_Atomic unsigned refs;
	pthread_mutex_t lock;
	struct free_space *free;  /* under lock */
	/* under si->lock */
	uint64_t used, reserved, pinned, super;
	unsigned ro;              /* how many want it read-only */
	bool removed;
	/* under the index's dirty lock */
	bool dirty;               /* its item on disk may be out of date; holds a reference */
	_Atomic bool has_item;    /* the item is in its tree: not before chunk_create_pending */
	uint64_t item_used;       /* what the item on disk says */
	TAILQ_ENTRY(block_group) dirty_link;
	pthread_mutex_t fst_lock; /* for changes of its part of the free-space tree; before that tree's blocks */
	bool in_fst;              /* it has a part there. fst_lock */
};

/* Return: 0, -ENOMEM. */
MUST_CHECK int bg_index_create(struct space *sp, struct rsv_set *rsv, struct bg_index **out_idx);
void bg_index_destroy(struct bg_index *idx);

/* What is known of a group when it is added. */
struct bg_desc {
	uint64_t start, len, flags, used;
	bool readonly;
	const struct range_set *supers; /* logical ranges of superblock copies; may be NULL */
};
/*
 * Calls `add(arg, start, len)` for every free range as the tree has it (superblock copies not cut out).
 * Return: 0, -errno.
 */
typedef int (*bg_load_fn)(void *arg, const struct bg_desc *desc,
			  int (*add)(void *add_arg, uint64_t start, uint64_t len), void *add_arg);
/*
 * Adds a group. `load` NULL: all free but supers (a new chunk without items; used is 0). The loader's free bytes must be
 * len - used. Return: 0; -EEXIST (overlaps another); -EINVAL (no space_info of that type); -EUCLEAN (free
 * space and used disagree, or lies outside); -ENOMEM; the loader's.
 */
MUST_CHECK int bg_add(struct bg_index *idx, const struct bg_desc *desc, bg_load_fn load, void *arg);
/* Takes an empty, read-only group out. Return: 0, -EBUSY (something in it, or writable), -ENOENT. */
MUST_CHECK int bg_remove(struct bg_index *idx, uint64_t start);
/* The group that holds `logical`, with a reference, or NULL. */
struct block_group *bg_get(struct bg_index *idx, uint64_t logical);
/* The first group that starts at or above, with a reference, or NULL. */
struct block_group *bg_next(struct bg_index *idx, uint64_t start);
void bg_put(struct block_group *bg);

/* ---- the life of an extent: all of it in one group ---- */

struct bg_request {
	uint64_t type;            /* type bits */
	uint64_t bytes;           /* wanted: contiguous, multiple of sectorsize */
	uint64_t min_bytes;       /* the least that will do; bytes: all or nothing */
	uint64_t hint;            /* logical address near which; 0: none */
	uint64_t promised;        /* bytes of may_use that it uses up; 0: as many as are found */
	int (*alloc_chunk)(void *arg, uint64_t type); /* last resort; 0: try again; may be NULL */
	void *arg;
};
/*
 * Finds room and moves it from may_use to reserved. Groups are tried from the hint's on; metadata goes
 * on where the last was placed, in a cluster of free space. Locks: none of space/. Context: blocks only
 * in alloc_chunk. Return: 0 with *out_start and *out_bytes; -ENOSPC, may_use untouched.
 */
MUST_CHECK int bg_alloc(struct bg_index *idx, const struct bg_request *req, uint64_t *out_start,
			uint64_t *out_bytes);
/*
 * What an item says is an extent in use: it lies in one group, in whole sectors, and is neither free nor pinned. *out_bg
 * is its group, to be put. Return: 0; -EUCLEAN, said.
 */
MUST_CHECK int bg_extent_check(struct bg_index *idx, uint64_t start, uint64_t len, struct block_group **out_bg);
/* Its extent item was inserted: reserved → used. */
void bg_extent_inserted(struct bg_index *idx, uint64_t start, uint64_t len);
/* Never written nor inserted: reserved → free, at once. */
void bg_extent_unreserve(struct bg_index *idx, uint64_t start, uint64_t len);
/*
 * Its extent item was removed (`inserted`: used → pinned), or it was written but never inserted
 * (reserved → pinned). Return: 0; -ENOMEM, nothing changed; -EUCLEAN, said: it cannot be in use.
 */
MUST_CHECK int bg_extent_pin(struct bg_index *idx, uint64_t start, uint64_t len, bool inserted);
/*
 * Commit, in two steps: what is pinned so far is set aside as the committing transaction's (the next one's pins
 * go to a new set); when the supers are durable everywhere, it becomes free.
 */
void bg_pinned_switch(struct bg_index *idx);
void bg_pinned_release(struct bg_index *idx);
/* True if any byte of the range is pinned, for discard and tests. */
bool bg_is_pinned(struct bg_index *idx, uint64_t start, uint64_t len);

/* Nothing is placed in it any more. Return: 0; -ENOSPC (the others could not take what is promised, unless `force`). */
MUST_CHECK int bg_set_readonly(struct block_group *bg, bool force);
void bg_set_writable(struct block_group *bg);
/*
 * The next group whose item is out of date, with a reference; its mark is cleared and *out_used is what the
 * item is to say from now on. Marked again by the next change. NULL: none. The mark's share of the delayed
 * refs' reserve (rsv_refs_groups: an update) is the caller's to give back, when the item is written.
 */
struct block_group *bg_next_dirty(struct bg_index *idx, uint64_t *out_used);

/*
 * Adds to `out_supers` the logical ranges of [logical, logical + len) where superblock copies lie on devices:
 * 64 KiB each, as the kernel spares them, and the first 64 KiB of the address space. Return: 0; -ENXIO, -ENOMEM.
 */
MUST_CHECK int bg_super_ranges(const struct vol *vol, uint64_t logical, uint64_t len,
			       struct range_set *out_supers);

/* Sums of groups against space_infos, free space against counters. Only while nobody allocates. NULL, or what is wrong. */
const char *bg_verify(struct bg_index *idx);
void bg_to_text(struct bg_index *idx, FILE *out);

#endif
