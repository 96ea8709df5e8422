// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Free space of one block group.
 *
 * Invariants:
 * 1. A window is EXTENTS or BITMAP (`is_bitmap`). No extent overlaps a BITMAP window; in an EXTENTS
 * window no bit is set. Extents are not empty and never adjoin.
 * 2. `starts` of a window is the number of extents that start in it; above MAX_STARTS it becomes a
 * bitmap.
 * 3. A BITMAP window with at most MAX_STARTS / 2 runs becomes extents again, memory permitting.
 * `runs` and `bits` are those of its bits; `longest` is at least its longest run, in sectors.
 * 4. `bytes` is the sum over all.
 * 5. All bits' memory exists from the beginning, so what finds no memory for an extent becomes
 * bits.
 *
 * Locks: the caller's.
 */
#include "engine/space/free_space_priv.h"
#include "engine/util/fault.h"

#include <stdlib.h>
#include <string.h>

int free_space_create(uint64_t start, uint64_t len, uint32_t sectorsize, struct free_space **out_fs)
{
	uint64_t nr = (len / sectorsize + FREE_SPACE_WINDOW - 1) / FREE_SPACE_WINDOW;
	struct free_space *fs;

	*out_fs = NULL;
	assert(len && len % sectorsize == 0 && start % sectorsize == 0);
	fs = eng_zalloc(sizeof(*fs) + nr * sizeof(fs->windows[0]));
	if (!fs)
		return -ENOMEM;
	fs->bits = eng_calloc(nr * WINDOW_WORDS, sizeof(uint64_t));
	if (!fs->bits) {
		free(fs);
		return -ENOMEM;
	}
	fs->start = start;
	fs->len = len;
	fs->sectorsize = sectorsize;
	fs->nr_windows = (unsigned)nr;
	RB_INIT(&fs->by_start);
	RB_INIT(&fs->by_len);
	*out_fs = fs;
	return 0;
}

void free_space_destroy(struct free_space *fs)
{
	struct extent *e;

	if (!fs)
		return;
	while ((e = RB_ROOT(&fs->by_start))) {
		RB_REMOVE(start_tree, &fs->by_start, e);
		free(e);
	}
	free(fs->bits);
	free(fs);
}

/* ---- extents ---- */

static void extent_link(struct free_space *fs, struct extent *e)
{
	RB_INSERT(start_tree, &fs->by_start, e);
	RB_INSERT(len_tree, &fs->by_len, e);
	fs->windows[window_of(fs, e->start)].starts++;
	fs->nr_extents++;
}

static void extent_unlink(struct free_space *fs, struct extent *e)
{
	RB_REMOVE(start_tree, &fs->by_start, e);
	RB_REMOVE(len_tree, &fs->by_len, e);
	fs->windows[window_of(fs, e->start)].starts--;
	fs->nr_extents--;
}

static void extent_resize(struct free_space *fs, struct extent *e, uint64_t start, uint64_t len)
{
	extent_unlink(fs, e);
	e->start = start;
	e->len = len;
	extent_link(fs, e);
}

static bool extent_new(struct free_space *fs, uint64_t start, uint64_t len)
{
	struct extent *e = eng_alloc(sizeof(*e));

	if (!e)
		return false;
	e->start = start;
	e->len = len;
	extent_link(fs, e);
	return true;
}

/* Sets or clears [pos, pos + len) within one window and keeps its runs; bits must all change. */
static void bits_change(struct free_space *fs, unsigned w, uint64_t pos, uint64_t len, bool value)
{
	uint64_t first = (pos - fs->start) / fs->sectorsize, nr = len / fs->sectorsize;
	uint64_t lo = (uint64_t)w * FREE_SPACE_WINDOW, hi = lo + FREE_SPACE_WINDOW;
	struct window *win = &fs->windows[w];
	bool before = first > lo && bit_get(fs, first - 1);
	bool after = first + nr < hi && bit_get(fs, first + nr);

	assert(bit_next(fs, first, first + nr, value) == first + nr);
	for (uint64_t bit = first; bit < first + nr;) {
		unsigned in = bit % 64;
		uint64_t n = 64 - in < first + nr - bit ? 64 - in : first + nr - bit;
		uint64_t mask = (n == 64 ? ~0ULL : (1ULL << n) - 1) << in;

		fs->bits[bit / 64] ^= mask;
		bit += n;
	}
	if (value) {
		uint64_t from = first, to;

		win->runs += 1 - (unsigned)before - (unsigned)after;
		win->bits += (unsigned)nr;
		while (from > lo && bit_get(fs, from - 1))
			from--;
		to = bit_next(fs, first + nr, hi, false);
		if (to - from > win->longest && !PLANTED("free_space_stale_longest"))
			win->longest = (unsigned)(to - from);
	} else {
		win->runs += (unsigned)before + (unsigned)after - 1;
		win->bits -= (unsigned)nr;
		if (win->longest > win->bits)
			win->longest = win->bits;
	}
}

/* ---- windows change their form ---- */

/* Needs no memory. An extent that runs on into other windows is cut, which may turn those into
 * bitmaps too. */
static void make_bitmaps(struct free_space *fs, unsigned first, unsigned last)
{
	struct extent *e;

	/* Without memory for the pieces, everything that an extent touches becomes bits. */
	for (;;) {
		unsigned lo = first, hi = last;

		e = extent_at(fs, window_start(fs, first));
		for (; e && e->start < window_end(fs, hi);
		     e = RB_NEXT(start_tree, &fs->by_start, e)) {
			unsigned to = window_of(fs, e->start + e->len - 1);

			if (window_of(fs, e->start) < lo)
				lo = window_of(fs, e->start);
			if (to > hi)
				hi = to;
		}
		if (lo == first && hi == last)
			break;
		first = lo;
		last = hi;
	}
	for (unsigned w = first; w <= last; w++) {
		if (!fs->windows[w].is_bitmap)
			fs->nr_bitmaps++;
		fs->windows[w].is_bitmap = true;
	}
	while ((e = extent_at(fs, window_start(fs, first))) && e->start < window_end(fs, last)) {
		uint64_t pos = e->start, end = e->start + e->len;

		extent_unlink(fs, e);
		free(e);
		while (pos < end) {
			unsigned w = window_of(fs, pos);
			uint64_t stop = window_end(fs, w) < end ? window_end(fs, w) : end;

			bits_change(fs, w, pos, stop - pos, true);
			pos = stop;
		}
	}
}

/* Cuts the extent that crosses `pos`, so that one ends there. False: no memory. */
static bool cut_at(struct free_space *fs, uint64_t pos)
{
	struct extent *e = extent_at(fs, pos);
	uint64_t end;

	if (!e || e->start >= pos)
		return true;
	end = e->start + e->len;
	if (!extent_new(fs, pos, end - pos))
		return false;
	extent_resize(fs, e, e->start, pos - e->start);
	return true;
}

static void make_bitmap(struct free_space *fs, unsigned w)
{
	/*
	 * Cut at the edges, so that the neighbours can stay as they are; for want of memory they go
	 * along. The cut-off rest starts in the next window, which may be one start too many there.
	 */
	do {
		if (cut_at(fs, window_start(fs, w)) && w + 1 < fs->nr_windows)
			(void)cut_at(fs, window_end(fs, w));
		make_bitmaps(fs, w, w);
		w++;
	} while (w < fs->nr_windows && !fs->windows[w].is_bitmap &&
		 fs->windows[w].starts > MAX_STARTS);
}

static void add_in_extents(struct free_space *fs, uint64_t start, uint64_t len);

static void make_extents(struct free_space *fs, unsigned w)
{
	uint64_t lo = (uint64_t)w * FREE_SPACE_WINDOW;
	uint64_t hi = lo + (window_end(fs, w) - window_start(fs, w)) / fs->sectorsize;
	struct {
		uint64_t start, len;
	} runs[MAX_STARTS / 2 + 1];
	struct window *win = &fs->windows[w];
	unsigned nr = 0;

	for (uint64_t bit = bit_next(fs, lo, hi, true); bit < hi;
	     bit = bit_next(fs, bit, hi, true)) {
		uint64_t end = bit_next(fs, bit, hi, false);

		runs[nr].start = fs->start + bit * fs->sectorsize;
		runs[nr++].len = (end - bit) * fs->sectorsize;
		bit = end;
	}
	assert(nr == win->runs);
	memset(&fs->bits[lo / 64], 0, WINDOW_WORDS * sizeof(uint64_t));
	win->runs = win->bits = win->longest = 0;
	win->is_bitmap = false;
	fs->nr_bitmaps--;
	for (unsigned i = 0; i < nr; i++) {
		/* The memory ran out on the way: the window is a bitmap again, for the rest too. */
		if (win->is_bitmap)
			bits_change(fs, w, runs[i].start, runs[i].len, true);
		else
			add_in_extents(fs, runs[i].start, runs[i].len);
	}
}

/* A bitmap that holds little, or one long run as a freed group does, is not worth its scanning. */
static void maybe_make_extents(struct free_space *fs, unsigned w)
{
	if (fs->windows[w].is_bitmap && fs->windows[w].runs <= MAX_STARTS / 2)
		make_extents(fs, w);
}

/* ---- adding and removing ---- */

/* The range lies in EXTENTS windows. */
static void add_in_extents(struct free_space *fs, uint64_t start, uint64_t len)
{
	struct extent *next = extent_at(fs, start);
	struct extent *prev =
		next ? RB_PREV(start_tree, &fs->by_start, next) : RB_MAX(start_tree, &fs->by_start);
	uint64_t end = start + len;
	unsigned w = window_of(fs, start);

	assert(!next || next->start >= end);
	if (prev && prev->start + prev->len == start) {
		if (next && next->start == end) {
			end += next->len;
			extent_unlink(fs, next);
			free(next);
		}
		extent_resize(fs, prev, prev->start, end - prev->start);
	} else if (next && next->start == end && !PLANTED("free_space_no_merge")) {
		extent_resize(fs, next, start, len + next->len);
	} else if (!extent_new(fs, start, len)) {
		make_bitmaps(fs, w, window_of(fs, end - 1));
		for (uint64_t pos = start, stop; pos < end; pos = stop) {
			w = window_of(fs, pos);
			stop = window_end(fs, w) < end ? window_end(fs, w) : end;
			bits_change(fs, w, pos, stop - pos, true);
		}
		return;
	}
	if (fs->windows[w].starts > MAX_STARTS)
		make_bitmap(fs, w);
}

void free_space_add(struct free_space *fs, uint64_t start, uint64_t len)
{
	uint64_t end = start + len;

	assert(len && start >= fs->start && end <= fs->start + fs->len);
	assert(start % fs->sectorsize == 0 && len % fs->sectorsize == 0);
	fs->bytes += len;
	while (start < end) {
		unsigned w = window_of(fs, start);
		uint64_t stop = window_end(fs, w);

		if (fs->windows[w].is_bitmap) {
			stop = stop < end ? stop : end;
			bits_change(fs, w, start, stop - start, true);
			maybe_make_extents(fs, w);
		} else {
			while (stop < end && !fs->windows[window_of(fs, stop)].is_bitmap)
				stop = window_end(fs, window_of(fs, stop));
			stop = stop < end ? stop : end;
			add_in_extents(fs, start, stop - start);
		}
		start = stop;
	}
}

static void remove_from_extents(struct free_space *fs, uint64_t start, uint64_t len)
{
	struct extent *e = extent_at(fs, start);
	uint64_t end = start + len, e_end;
	unsigned w;

	assert(e && e->start <= start && e->start + e->len >= end);
	e_end = e->start + e->len;
	if (e->start == start && e_end == end) {
		extent_unlink(fs, e);
		free(e);
	} else if (e->start == start) {
		extent_resize(fs, e, end, e_end - end);
	} else if (e_end == end) {
		extent_resize(fs, e, e->start, start - e->start);
	} else if (extent_new(fs, end, e_end - end)) {
		extent_resize(fs, e, e->start, start - e->start);
		w = window_of(fs, end);
		if (fs->windows[w].starts > MAX_STARTS)
			make_bitmap(fs, w);
		return;
	} else {
		make_bitmaps(fs, window_of(fs, e->start), window_of(fs, e_end - 1));
		for (uint64_t pos = start, stop; pos < end; pos = stop) {
			w = window_of(fs, pos);
			stop = window_end(fs, w) < end ? window_end(fs, w) : end;
			bits_change(fs, w, pos, stop - pos, false);
		}
		return;
	}
	/* An extent's start may have moved into a window that is full of starts. */
	w = window_of(fs, end < fs->start + fs->len ? end : end - 1);
	if (!fs->windows[w].is_bitmap && fs->windows[w].starts > MAX_STARTS)
		make_bitmap(fs, w);
}

void free_space_remove(struct free_space *fs, uint64_t start, uint64_t len)
{
	uint64_t end = start + len;

	assert(len && start >= fs->start && end <= fs->start + fs->len);
	assert(start % fs->sectorsize == 0 && len % fs->sectorsize == 0);
	fs->bytes -= len;
	while (start < end) {
		unsigned w = window_of(fs, start);
		uint64_t stop = window_end(fs, w);

		if (fs->windows[w].is_bitmap) {
			stop = stop < end ? stop : end;
			bits_change(fs, w, start, stop - start, false);
			maybe_make_extents(fs, w);
		} else {
			while (stop < end && !fs->windows[window_of(fs, stop)].is_bitmap)
				stop = window_end(fs, window_of(fs, stop));
			stop = stop < end ? stop : end;
			remove_from_extents(fs, start, stop - start);
		}
		start = stop;
	}
}
