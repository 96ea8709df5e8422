// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Searches in the free space of one block group.
 *
 * Extents are looked at in address order, so that what is written together lies together; after
 * SCAN_MAX of them the shortest that fits will do. A bitmap whose longest run is known to be too
 * short is passed over.
 *
 * Invariants: those of free_space.c; searching changes only a window's `longest`, towards the
 * truth. Locks: the caller's.
 */
#include "engine/space/free_space_priv.h"

#include <inttypes.h>

/* So many extents are looked at in address order before the best fit is taken. */
#define SCAN_MAX 64

/* The shortest extent of at least so many bytes. */
static struct extent *extent_best_fit(const struct free_space *fs, uint64_t len)
{
	struct extent *e = RB_ROOT(&fs->by_len), *best = NULL;

	while (e) {
		if (e->len >= len) {
			best = e;
			e = RB_LEFT(e, by_len);
		} else {
			e = RB_RIGHT(e, by_len);
		}
	}
	return best;
}

bool free_space_next(const struct free_space *fs, uint64_t pos, uint64_t *out_start,
		     uint64_t *out_len)
{
	uint64_t end = fs->start + fs->len;

	if (pos < fs->start)
		pos = fs->start;
	while (pos < end) {
		unsigned w = window_of(fs, pos);
		uint64_t hi = window_end(fs, w);

		if (fs->windows[w].is_bitmap) {
			uint64_t last = (hi - fs->start) / fs->sectorsize;
			uint64_t bit = bit_next(fs, (pos - fs->start) / fs->sectorsize, last, true);

			if (bit < last) {
				*out_start = fs->start + bit * fs->sectorsize;
				*out_len = (bit_next(fs, bit, last, false) - bit) * fs->sectorsize;
				return true;
			}
		} else {
			const struct extent *e = extent_at(fs, pos);

			if (e && e->start < hi) {
				*out_start = e->start > pos ? e->start : pos;
				*out_len = e->start + e->len - *out_start;
				return true;
			}
		}
		pos = hi;
	}
	return false;
}

bool free_space_has(const struct free_space *fs, uint64_t start, uint64_t len)
{
	uint64_t end = start + len, s, l;

	while (start < end) {
		if (!free_space_next(fs, start, &s, &l) || s != start)
			return false;
		start += l;
	}
	return true;
}

/* The first run of the window's bits of at least `len` bytes within [from, to). */
static bool find_in_window(struct free_space *fs, unsigned w, uint64_t len, uint64_t from,
			   uint64_t to, uint64_t *out_start)
{
	uint64_t lo = (uint64_t)w * FREE_SPACE_WINDOW;
	uint64_t hi = lo + (window_end(fs, w) - window_start(fs, w)) / fs->sectorsize;
	uint64_t first = lo, stop = hi, want = len / fs->sectorsize, longest = 0;
	struct window *win = &fs->windows[w];

	if (win->longest < want)
		return false;
	if (from > window_start(fs, w))
		first = (from - fs->start) / fs->sectorsize;
	if (to < window_end(fs, w))
		stop = (to - fs->start) / fs->sectorsize;
	for (uint64_t bit = bit_next(fs, first, stop, true); bit < stop;) {
		uint64_t end = bit_next(fs, bit, stop, false);

		if (end - bit >= want) {
			*out_start = fs->start + bit * fs->sectorsize;
			return true;
		}
		longest = end - bit > longest ? end - bit : longest;
		bit = bit_next(fs, end, stop, true);
	}
	/* All of it was seen: now the bound is exact. */
	if (first == lo && stop == hi)
		win->longest = (unsigned)longest;
	return false;
}

/* In address order. Gives up after SCAN_MAX extents with `*gave_up`. */
static bool find_upwards(struct free_space *fs, uint64_t len, uint64_t from, uint64_t to,
			 uint64_t *out_start, bool *gave_up)
{
	unsigned looked = 0;
	uint64_t pos = from;

	while (pos < to) {
		unsigned w = window_of(fs, pos);
		uint64_t hi = window_end(fs, w);
		struct extent *e;

		if (fs->windows[w].is_bitmap) {
			if (find_in_window(fs, w, len, pos, to, out_start))
				return true;
			pos = hi;
			continue;
		}
		for (e = extent_at(fs, pos); e && e->start < hi;
		     e = RB_NEXT(start_tree, &fs->by_start, e)) {
			uint64_t s = e->start > from ? e->start : from;
			uint64_t stop = e->start + e->len < to ? e->start + e->len : to;

			if (s < stop && stop - s >= len) {
				*out_start = s;
				return true;
			}
			if (++looked > SCAN_MAX) {
				*gave_up = true;
				return false;
			}
		}
		pos = hi;
	}
	return false;
}

/* After the scan gave up: extents by length, then the bitmaps that are left. */
static bool find_by_len(struct free_space *fs, uint64_t len, uint64_t from, uint64_t to,
			uint64_t *out_start)
{
	struct extent *e = extent_best_fit(fs, len);

	for (; e; e = RB_NEXT(len_tree, &fs->by_len, e)) {
		uint64_t s = e->start > from ? e->start : from;
		uint64_t stop = e->start + e->len < to ? e->start + e->len : to;

		if (s < stop && stop - s >= len) {
			*out_start = s;
			return true;
		}
	}
	for (unsigned w = window_of(fs, from); w <= window_of(fs, to - 1); w++) {
		if (fs->windows[w].is_bitmap && find_in_window(fs, w, len, from, to, out_start))
			return true;
	}
	return false;
}

bool free_space_find(struct free_space *fs, uint64_t len, uint64_t from, uint64_t to,
		     uint64_t *out_start)
{
	bool gave_up = false;

	*out_start = 0;
	from = from < fs->start ? fs->start : from;
	to = to > fs->start + fs->len ? fs->start + fs->len : to;
	if (!len || from >= to || len > fs->bytes || to - from < len)
		return false;
	if (find_upwards(fs, len, from, to, out_start, &gave_up))
		return true;
	return gave_up && find_by_len(fs, len, from, to, out_start);
}

uint64_t free_space_bytes(const struct free_space *fs)
{
	return fs->bytes;
}

uint64_t free_space_longest(struct free_space *fs)
{
	const struct extent *e = RB_MAX(len_tree, &fs->by_len);
	uint64_t longest = e ? e->len : 0;

	for (unsigned w = 0; w < fs->nr_windows; w++) {
		uint64_t len = (uint64_t)fs->windows[w].longest * fs->sectorsize;

		longest = len > longest ? len : longest;
	}
	return longest;
}

uint64_t free_space_memory(const struct free_space *fs)
{
	return sizeof(*fs) + fs->nr_windows * sizeof(fs->windows[0]) +
	       (uint64_t)fs->nr_bitmaps * WINDOW_WORDS * 8 + fs->nr_extents * sizeof(struct extent);
}

uint64_t free_space_memory_max(const struct free_space *fs)
{
	return sizeof(*fs) + fs->nr_windows * (sizeof(fs->windows[0]) + 2 * WINDOW_WORDS * 8ULL);
}

unsigned free_space_bitmaps(const struct free_space *fs)
{
	return fs->nr_bitmaps;
}

unsigned free_space_extents(const struct free_space *fs)
{
	return fs->nr_extents;
}

static const char *verify_window(const struct free_space *fs, unsigned w, uint64_t *bytes)
{
	uint64_t lo = (uint64_t)w * FREE_SPACE_WINDOW, hi = lo + FREE_SPACE_WINDOW, end;
	const struct window *win = &fs->windows[w];
	unsigned runs = 0, bits = 0;

	for (uint64_t bit = bit_next(fs, lo, hi, true); bit < hi;
	     bit = bit_next(fs, end, hi, true)) {
		end = bit_next(fs, bit, hi, false);
		if (end - bit > win->longest)
			return "a run is longer than its window's longest";
		runs++;
		bits += (unsigned)(end - bit);
	}
	if (!win->is_bitmap && bits)
		return "bits in a window of extents";
	if (runs != win->runs || bits != win->bits)
		return "runs or bits of a window are miscounted";
	if (win->starts > MAX_STARTS)
		return "too many extents in a window";
	*bytes += (uint64_t)bits * fs->sectorsize;
	return NULL;
}

const char *free_space_verify(const struct free_space *fs)
{
	unsigned extents = 0, bitmaps = 0, starts = 0;
	const struct extent *prev = NULL;
	struct extent *e;
	uint64_t bytes = 0;

	for (unsigned w = 0; w < fs->nr_windows; w++) {
		const char *wrong = verify_window(fs, w, &bytes);

		if (wrong)
			return wrong;
		bitmaps += fs->windows[w].is_bitmap;
		starts += fs->windows[w].starts;
	}
	RB_FOREACH(e, start_tree, (struct start_tree *)&fs->by_start)
	{
		if (!e->len || (prev && prev->start + prev->len >= e->start))
			return "extents overlap or adjoin";
		for (unsigned w = window_of(fs, e->start);
		     w <= window_of(fs, e->start + e->len - 1); w++)
			if (fs->windows[w].is_bitmap)
				return "an extent in a bitmap window";
		bytes += e->len;
		extents++;
		prev = e;
	}
	if (extents != fs->nr_extents || starts != extents || bitmaps != fs->nr_bitmaps)
		return "extents or bitmaps are miscounted";
	if (bytes != fs->bytes)
		return "the sum of free bytes is wrong";
	return free_space_memory(fs) > free_space_memory_max(fs) ? "memory beyond the bound" : NULL;
}

void free_space_to_text(const struct free_space *fs, FILE *out)
{
	fprintf(out, "free %" PRIu64 " in %u extents and %u of %u bitmaps\n", fs->bytes,
		fs->nr_extents, fs->nr_bitmaps, fs->nr_windows);
}
