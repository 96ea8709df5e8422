/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The representation of free space, for free_space.c (changes) and free_space_look.c (searches). */
#ifndef UBTRFS_ENGINE_SPACE_FREE_SPACE_PRIV_H
#define UBTRFS_ENGINE_SPACE_FREE_SPACE_PRIV_H

#include "engine/space/free_space.h"

#include <assert.h>
#include <sys/tree.h>

#define WINDOW_WORDS (FREE_SPACE_WINDOW / 64)
/* As many bytes of extents as a bitmap has. */
#define MAX_STARTS ((unsigned)(FREE_SPACE_WINDOW / 8 / sizeof(struct extent)))
struct extent {
	RB_ENTRY(extent) by_start;
	RB_ENTRY(extent) by_len;
	uint64_t start, len;
};

struct window {
	bool is_bitmap;
	unsigned starts;
	unsigned runs, bits, longest;
};

struct free_space {
	uint64_t start, len;
	uint32_t sectorsize;
	uint64_t bytes;
	unsigned nr_windows, nr_bitmaps, nr_extents;
	RB_HEAD(start_tree, extent) by_start;
	RB_HEAD(len_tree, extent) by_len;
	uint64_t *bits; /* WINDOW_WORDS a window */
	struct window windows[];
};

static inline int start_cmp(const struct extent *a, const struct extent *b)
{
	return a->start < b->start ? -1 : a->start > b->start;
}

static inline int len_cmp(const struct extent *a, const struct extent *b)
{
	if (a->len != b->len)
		return a->len < b->len ? -1 : 1;
	return start_cmp(a, b);
}

RB_GENERATE_INTERNAL(start_tree, extent, by_start, start_cmp, __attribute__((unused)) static)
RB_GENERATE_INTERNAL(len_tree, extent, by_len, len_cmp, __attribute__((unused)) static)

static inline uint64_t window_bytes(const struct free_space *fs)
{
	return (uint64_t)FREE_SPACE_WINDOW * fs->sectorsize;
}

static inline unsigned window_of(const struct free_space *fs, uint64_t pos)
{
	return (unsigned)((pos - fs->start) / window_bytes(fs));
}

static inline uint64_t window_start(const struct free_space *fs, unsigned w)
{
	return fs->start + w * window_bytes(fs);
}

static inline uint64_t window_end(const struct free_space *fs, unsigned w)
{
	uint64_t end = window_start(fs, w) + window_bytes(fs);

	return end < fs->start + fs->len ? end : fs->start + fs->len;
}

/* The first extent that ends above pos. */
static inline struct extent *extent_at(const struct free_space *fs, uint64_t pos)
{
	struct extent *e = RB_ROOT(&fs->by_start), *best = NULL;

	while (e) {
		if (e->start + e->len > pos) {
			best = e;
			e = RB_LEFT(e, by_start);
		} else {
			e = RB_RIGHT(e, by_start);
		}
	}
	return best;
}

/* ---- bits: numbered from the group's start; a run never crosses a window's edge ---- */

static inline bool bit_get(const struct free_space *fs, uint64_t bit)
{
	return fs->bits[bit / 64] >> (bit % 64) & 1;
}

/* The first bit in [bit, end) that is `value`, or end. */
static inline uint64_t bit_next(const struct free_space *fs, uint64_t bit, uint64_t end, bool value)
{
	while (bit < end) {
		uint64_t word = value ? fs->bits[bit / 64] : ~fs->bits[bit / 64];

		word >>= bit % 64;
		if (word) {
			bit += (unsigned)__builtin_ctzll(word);
			return bit < end ? bit : end;
		}
		bit += 64 - bit % 64;
	}
	return end;
}

#endif
