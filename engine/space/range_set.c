// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Sets of ranges.
 *
 * Invariants: 1. Ranges are not empty, and between two of them lies at least one byte. 2. nr and
 * bytes are the tree's. Locks: the caller's.
 */
#include "engine/space/range_set.h"
#include "engine/util/fault.h"

#include <assert.h>
#include <stdlib.h>

static int range_cmp(const struct range *a, const struct range *b)
{
	return a->start < b->start ? -1 : a->start > b->start;
}

RB_GENERATE_INTERNAL(range_tree, range, node, range_cmp, __attribute__((unused)) static)

void range_set_init(struct range_set *set)
{
	*set = (struct range_set){ .tree = RB_INITIALIZER(&set->tree) };
}

void range_set_clear(struct range_set *set)
{
	struct range *r;

	while ((r = RB_ROOT(&set->tree))) {
		RB_REMOVE(range_tree, &set->tree, r);
		free(r);
	}
	range_set_init(set);
}

/* The first range with end >= pos: it may touch a range that starts at pos. */
static struct range *first_touching(const struct range_set *set, uint64_t pos)
{
	struct range *r = RB_ROOT(&set->tree), *best = NULL;

	while (r) {
		if (r->end >= pos) {
			best = r;
			r = RB_LEFT(r, node);
		} else {
			r = RB_RIGHT(r, node);
		}
	}
	return best;
}

static struct range *insert_new(struct range_set *set, uint64_t start, uint64_t end)
{
	struct range *r = eng_alloc(sizeof(*r));

	if (!r)
		return NULL;
	r->start = start;
	r->end = end;
	RB_INSERT(range_tree, &set->tree, r);
	set->nr++;
	set->bytes += end - start;
	return r;
}

static void drop(struct range_set *set, struct range *r)
{
	RB_REMOVE(range_tree, &set->tree, r);
	set->nr--;
	set->bytes -= r->end - r->start;
	free(r);
}

int range_set_add(struct range_set *set, uint64_t start, uint64_t len, uint64_t *out_new)
{
	struct range *r = first_touching(set, start), *next;
	uint64_t end = start + len, before = set->bytes;

	if (out_new)
		*out_new = 0;
	assert(len && end > start);
	if (!r || r->start > end) {
		if (!insert_new(set, start, end))
			return -ENOMEM;
	} else {
		/* `r` grows over everything that the new range touches. */
		uint64_t from = r->start < start ? r->start : start,
			 to = r->end > end ? r->end : end;

		while ((next = RB_NEXT(range_tree, &set->tree, r)) && next->start <= to) {
			if (next->end > to)
				to = next->end;
			drop(set, next);
		}
		set->bytes += (to - from) - (r->end - r->start);
		r->start = from;
		r->end = to;
	}
	if (out_new)
		*out_new = set->bytes - before;
	return 0;
}

int range_set_remove(struct range_set *set, uint64_t start, uint64_t len)
{
	uint64_t end = start + len;
	struct range *r, *next;

	for (r = first_touching(set, start); r && r->start < end; r = next) {
		next = RB_NEXT(range_tree, &set->tree, r);
		if (r->end <= start)
			continue;
		if (r->start < start && r->end > end) {
			if (!insert_new(set, end, r->end))
				return -ENOMEM;
			set->bytes -= r->end - start;
			r->end = start;
		} else if (r->start < start) {
			set->bytes -= r->end - start;
			r->end = start;
		} else if (r->end > end) {
			set->bytes -= end - r->start;
			r->start = end;
		} else {
			drop(set, r);
		}
	}
	return 0;
}

bool range_set_has(const struct range_set *set, uint64_t start, uint64_t len)
{
	const struct range *r = first_touching(set, start + 1);

	return r && r->start <= start && r->end >= start + len;
}

bool range_set_next(const struct range_set *set, uint64_t pos, uint64_t *out_start,
		    uint64_t *out_end)
{
	const struct range *r = first_touching(set, pos + 1);

	if (!r)
		return false;
	*out_start = r->start > pos ? r->start : pos;
	*out_end = r->end;
	return true;
}
