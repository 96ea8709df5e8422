/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The free bytes of one block group, in memory: extents where they are few, bitmaps where they are many.
 *
 * The group is cut into windows of FREE_SPACE_WINDOW sectors. A window keeps its free space either as
 * extents (which may run on into other such windows) or as a bitmap. It turns into a bitmap when its extents
 * would take more memory than that, or when no memory for an extent is to be had: the bitmaps' memory is
 * set aside at creation, so that **adding and removing cannot fail**; it is touched only when used.
 * Memory is bounded so: per window a bitmap and as many bytes of extents.
 *
 * Locks: the caller's (the block group's lock).
 */
#ifndef UBTRFS_ENGINE_SPACE_FREE_SPACE_H
#define UBTRFS_ENGINE_SPACE_FREE_SPACE_H

#include "engine/util/err.h"

#include <stdio.h>

#define FREE_SPACE_WINDOW 8192u /* sectors: 1 KiB of bitmap for 32 MiB of 4 KiB sectors */

struct free_space;

/* [start, start + len), multiples of sectorsize; empty at first. Return: 0, -ENOMEM. */
MUST_CHECK int free_space_create(uint64_t start, uint64_t len, uint32_t sectorsize,
				 struct free_space **out_fs);
void free_space_destroy(struct free_space *fs);
/* Adds free bytes, none of which is in yet (asserted). Cannot fail. */
void free_space_add(struct free_space *fs, uint64_t start, uint64_t len);
/* Takes bytes out, all of which are in (asserted). Cannot fail. */
void free_space_remove(struct free_space *fs, uint64_t start, uint64_t len);
/* True if all of it is free. */
bool free_space_has(const struct free_space *fs, uint64_t start, uint64_t len);
/*
 * Looks for `len` contiguous free bytes in [from, to): from upwards for a while, else the best fit.
 * A run across the edge of a bitmap is not seen as one. Nothing is taken. True: *out_start.
 */
bool free_space_find(struct free_space *fs, uint64_t len, uint64_t from, uint64_t to, uint64_t *out_start);
/* The next free run at or above `pos`, as it is kept (not merged over a bitmap's edges). False: none. */
bool free_space_next(const struct free_space *fs, uint64_t pos, uint64_t *out_start, uint64_t *out_len);
uint64_t free_space_bytes(const struct free_space *fs);
/* No run is longer; it may be less. */
uint64_t free_space_longest(struct free_space *fs);
/* Bytes of memory in use now, and the most it can ever be. */
uint64_t free_space_memory(const struct free_space *fs);
uint64_t free_space_memory_max(const struct free_space *fs);
unsigned free_space_bitmaps(const struct free_space *fs);
unsigned free_space_extents(const struct free_space *fs);
/* NULL, or what is wrong. */
const char *free_space_verify(const struct free_space *fs);
void free_space_to_text(const struct free_space *fs, FILE *out);

#endif
