/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Delayed references: changes to extents' reference counts that the extent tree is to learn, merged and run in
 * batches sorted by address.
 *
 * Words: a *head* is one extent with all its changes that have not been run; a *ref* is one back reference with the
 * sum of its adds and drops; *fresh* an extent that was allocated in this transaction and has no item yet: the run
 * inserts it (reserved → used), or, when nothing is left of it, it never gets one.
 *
 * Invariants: 1. extent tree + heads = the truth; whoever wants the truth (dref_info) looks at both, with the head
 * locked against being run meanwhile. 2. adds are run before drops, so that a count never falls to 0 in between.
 * 3. each change has its share in the delayed refs' reserve until it ran or was merged away (rsv_refs_*).
 *
 * When an extent's last reference is dropped: its item goes, the sums of its data go, its space goes to the free-space
 * tree and is pinned (used → pinned).
 *
 * Locks: the set's lock, for memory work only, over heads and refs. One runner at a time; of the head that it runs
 * it has taken the refs out, so that nobody who adds ever waits for a run. A look-up waits for the run of its own
 * extent, and holds off one that has not begun: a runner holds no tree lock while it waits, and enters only trees
 * that are not shareable, whose blocks are never looked up.
 */
#ifndef UBTRFS_ENGINE_SPACE_DREF_H
#define UBTRFS_ENGINE_SPACE_DREF_H

#include "engine/space/space_fs.h"

/* A back reference. parent != 0: shared, from that block; else keyed by tree `root`, for data with inode and offset. */
struct dref {
	uint64_t parent;
	uint64_t root;
	uint64_t ino;             /* data */
	uint64_t offset;          /* data: file offset less the offset within the extent */
};

MUST_CHECK int dref_set_create(struct space_fs *fs, struct dref_set **out_set);
/* Of a finished transaction nothing is left; of an aborted one the rest is dropped, its reserve given back. */
void dref_set_destroy(struct dref_set *set);

/*
 * A tree block gains (`add` 1) or loses (-1) a reference. `fresh`: it was just allocated, this is its first one,
 * and here is its first key (items without skinny metadata have it); NULL: it was there.
 * Locks: any tree's. Context: memory only. Return: 0; -ENOMEM, -EUCLEAN (contradicts what is delayed; said), with
 * nothing changed.
 */
MUST_CHECK int dref_tree(struct space_trans *st, uint64_t logical, int level, const struct dref *ref, int add,
			 const struct btrfs_key *fresh);
/* The same for a data extent of `len` bytes, `add` references at once. */
MUST_CHECK int dref_data(struct space_trans *st, uint64_t logical, uint64_t len, const struct dref *ref, int add,
			 bool fresh);
/* The block's item gets these BTRFS_BLOCK_FLAG_*. */
MUST_CHECK int dref_flags(struct space_trans *st, uint64_t logical, int level, uint64_t flags);
/*
 * True if all that is known of this extent is one fresh add, which is taken back with its share of the reserve: the
 * caller then owns the space. For a block freed in the transaction that made it.
 */
bool dref_cancel_fresh(struct space_trans *st, uint64_t logical);

/*
 * References and flags of a tree block or data extent, delayed ones included; refs 0: not there.
 * Context: reads the extent tree. Return: 0; -EUCLEAN, -EIO, -ENOMEM.
 */
MUST_CHECK int dref_info(struct space_trans *st, uint64_t logical, int level, uint64_t *out_refs,
			 uint64_t *out_flags);

/*
 * Runs up to `max` heads (0: those that are there now; UINT_MAX: until none is left, the commit's), in order of
 * address. `wait`: for another runner; else returns at once when there is one. A failure has aborted the transaction.
 * Context: changes trees. Return: 0; -errno.
 */
MUST_CHECK int dref_run(struct space_trans *st, unsigned max, bool wait);
/* Heads that have not been run. */
uint64_t dref_nr(struct dref_set *set);
void dref_to_text(struct dref_set *set, FILE *out);

#endif
