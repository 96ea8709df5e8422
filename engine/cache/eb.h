/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Extent buffers: the metadata cache. A buffer is a frame of one node in a single mapping whose size is
 * the cap (`metadata_cache=`); it holds by construction.
 *
 * A buffer is got (referenced) and put; while referenced it is not evicted and its bytes do not change.
 * What eb_get returns has passed btrfs_check_block against its parent's expectation, be it read or found.
 *
 * Waiting for a frame while holding buffers cannot deadlock as long as no more than `threads` threads
 * are in the cache and each holds at most two paths (2 x BTRFS_MAX_LEVEL buffers).
 */
#ifndef UBTRFS_ENGINE_CACHE_EB_H
#define UBTRFS_ENGINE_CACHE_EB_H

#include "engine/volume/vol.h"

struct eb_cache;
struct eb;

/*
 * The least cap in bytes for `threads` concurrent users of up to two paths each; the cap given to
 * eb_cache_create is refused below it.
 */
uint64_t eb_cache_min_bytes(uint32_t nodesize, unsigned threads);
/* Return: 0; -EINVAL (cap below the minimum; the message names it); -ENOMEM. */
MUST_CHECK int eb_cache_create(struct vol *v, uint64_t cap_bytes, unsigned threads,
			       struct eb_cache **out_cache);
/* All references must have been put. */
void eb_cache_destroy(struct eb_cache *c);
struct vol *eb_cache_vol(const struct eb_cache *c);
/* What blocks are checked against from here on, for the opener to add the seeds' fsids. Before sharing. */
struct btrfs_geometry *eb_cache_geometry(struct eb_cache *c);

/*
 * The block at expect->logical, read and checked if it is not in the cache. Blocks; takes no lock that the
 * caller could hold. A failed read is not kept: the next caller reads again.
 * Return: 0 and a reference; -EUCLEAN, -EIO, -ENXIO (each said in a message); -ENOMEM (no memory, or every
 * frame stayed referenced for ten seconds: a user beyond the `threads` promised; said in a message).
 */
MUST_CHECK int eb_get(struct eb_cache *c, const struct btrfs_block_expect *expect, struct eb **out_eb);
/* NULL is fine. */
void eb_put(struct eb *eb);
/* The caller holds a reference already. */
void eb_ref(struct eb *eb);

const void *eb_data(const struct eb *eb);
uint64_t eb_logical(const struct eb *eb);

static inline const struct btrfs_header *eb_header(const struct eb *eb)
{
	return eb_data(eb);
}

/*
 * Reads those of the `nr` blocks that are absent into the cache, in one batch, and returns when they are there:
 * nobody has to wait for what it started. Reads fewer (EB_PREFETCH_MAX, less in a small cache) rather than wait
 * for frames; errors are silent, eb_get will meet them again.
 */
#define EB_PREFETCH_MAX 32
void eb_prefetch(struct eb_cache *c, const struct btrfs_block_expect *expects, unsigned nr);

/* A look at the frames, exact only while nobody else is in the cache. */
struct eb_cache_stats {
	uint32_t frames;          /* all there will ever be */
	uint32_t touched;         /* ever used, i.e. resident */
	uint32_t cached;          /* hold a checked block */
	uint32_t referenced;
};
void eb_cache_stats(struct eb_cache *c, struct eb_cache_stats *out_stats);

#endif
