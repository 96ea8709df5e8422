/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Extent buffers: the metadata cache. A buffer is a frame of one node in a single mapping whose size is
 * the cap (`metadata_cache=`); it holds by construction.
 *
 * A buffer is got (referenced) and put; while referenced it is not evicted and its bytes do not change.
 * What eb_get returns has passed btrfs_check_block against its parent's expectation.
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
/* Checks of blocks from here on: rescue options and, once known, the chunk tree's uuid. Before sharing. */
struct btrfs_geometry *eb_cache_geometry(struct eb_cache *c);

/*
 * The block at expect->logical, read and checked if it is not in the cache. Blocks; takes no lock that the
 * caller could hold. Return: 0 and a reference; -EUCLEAN (said in a message); -EIO; -ENXIO; -ENOMEM.
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

/* Starts nothing that must be waited for: reads up to `nr` absent blocks in one batch into the cache; errors are silent. */
void eb_prefetch(struct eb_cache *c, const struct btrfs_block_expect *expects, unsigned nr);

#endif
