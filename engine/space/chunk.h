/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Chunks and block groups coming and going: device space, allocation, the items of both, removal of empty ones.
 *
 * A chunk is born in memory at once (device space taken, map and block group added, usable from then on) and its items
 * (chunk, device extents, device item, block group, free-space info; for SYSTEM the superblock's array) are written by
 * chunk_create_pending at a handle's end or in the commit, in the same transaction. So it can be allocated while any
 * tree is locked. Device space is known in memory from the chunk map; no tree is read for it.
 *
 * Locks: the allocator's lock (one allocation at a time, no I/O under it) → index of block groups → the volume's map.
 */
#ifndef UBTRFS_ENGINE_SPACE_CHUNK_H
#define UBTRFS_ENGINE_SPACE_CHUNK_H

#include "engine/space/space_fs.h"

/*
 * Free ranges of each writable device, by what the chunk map leaves; the first MiB is never used.
 * Return: 0; -EUCLEAN (chunks that overlap on a device; said); -ENOMEM.
 */
MUST_CHECK int dev_space_create(struct vol *v, struct space *sp, struct dev_space **out_devs);
void dev_space_destroy(struct dev_space *devs);
/* Raw bytes in no chunk. */
uint64_t dev_space_unallocated(struct dev_space *devs);

MUST_CHECK int chunk_pending_create(struct chunk_pending **out_pending);
/* After an abort what was pending is taken out of map and index again. */
void chunk_pending_destroy(struct space_fs *fs, struct chunk_pending *p);

/*
 * A new chunk of this type, profile as the space_info says, size as Linux chooses it (a tenth of the writable
 * devices, at most 1 GiB for data, 256 MiB or from 50 GiB on 1 GiB for metadata, 32 MiB for system; less where there
 * is no more). First sees to room in SYSTEM space for its items.
 * Context: memory only; any tree may be locked. Return: 0; -ENOSPC; -ENOMEM.
 */
MUST_CHECK int chunk_alloc_now(struct space_trans *st, uint64_t type);
/* Allocates one if the type is fuller than it should be (or `force`): the ALLOC_CHUNK rows. 0 also when not needed. */
MUST_CHECK int chunk_alloc_if_needed(struct space_trans *st, struct space_info *si, bool force);
/* Writes the items of pending chunks. A failure has aborted. Context: changes trees. */
MUST_CHECK int chunk_create_pending(struct space_trans *st);
bool chunk_is_pending(struct chunk_pending *p);

/* ---- the superblock, in the commit: when nothing is pending any more and nobody else has a handle ---- */

/*
 * Brings its array of SYSTEM chunks up to date: those it has and that are still there stay as they are, new ones are
 * added. Return: 0; -EFBIG (cannot be: seen to when a chunk is born).
 */
MUST_CHECK int chunk_sys_array(struct space_fs *fs, struct btrfs_super_block *sb);
/* What the volume's devices hold goes into the items that superblocks carry (vol_device_update). 0; -errno. */
MUST_CHECK int chunk_publish_devices(struct space_fs *fs);

/* ---- opening ---- */

/*
 * Adds all block groups: items from `bg`, free space from the free-space tree, or, without one, from the extent tree.
 * Sets the space_infos' profiles and bytes_used; `fst` becomes NULL if the superblock says that it is not valid. Groups on
 * devices that are not written, and plain ones of a type that has redundant ones, are read-only.
 * Return: 0; -EUCLEAN (said); -EIO, -ENOMEM.
 */
MUST_CHECK int block_groups_load(struct space_fs *fs);

/* ---- items, in the commit's fixpoint ---- */

/* Writes items of groups that are out of date. *out_any: some were. A failure has aborted. */
MUST_CHECK int block_groups_store(struct space_trans *st, bool *out_any);
/* Extents to the free-space tree, under the group's own lock; no-ops without one. As fst.h. */
MUST_CHECK int free_space_tree_use(struct space_trans *st, uint64_t start, uint64_t len);
MUST_CHECK int free_space_tree_free(struct space_trans *st, uint64_t start, uint64_t len);

/* ---- removal ---- */

/*
 * Removes block groups that are empty, with nothing pinned or reserved, but for the last of a type: items, chunk, map.
 * Called by one thread, txn/'s own, after a commit, in a handle of its own that has reserved for two items for each
 * of `max`. *out_nr how many. 0; -errno after an abort, or -ENOMEM.
 */
MUST_CHECK int chunk_remove_empty(struct space_trans *st, unsigned max, unsigned *out_nr);

#endif
