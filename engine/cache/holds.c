// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a handle holds: the blocks that it made, copied or went through, by address.
 *
 * A handle that comes back to a block finds it as it left it: that is what its reservation was
 * computed for. So the guarantee must not hang on an allocation: if the table cannot grow, the
 * handle holds all dirty blocks, which takes a count in the cache and nothing else.
 *
 * The table keeps the addresses also of blocks that were written all the same, or when nothing is
 * held, to know a copy of the handle's own copy (a bug, or policy none) from that of a block which
 * another handle made (legal, and within the reservation).
 *
 * Locks: none; of one thread. The buffers passed in are locked by it.
 */
#include "engine/cache/eb_priv.h"
#include "engine/cache/writeback.h"
#include "engine/util/fault.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *name;
	enum eb_policy_hold hold;
} policies[EB_POLICY_NR] = {
	[EB_POLICY_HOLD] = { "hold", EB_HOLD_HANDLE },
	[EB_POLICY_NONE] = { "none", EB_HOLD_NONE },
	[EB_POLICY_INHIBIT_HANDLE] = { "inhibit-handle", EB_HOLD_HANDLE_TRY },
};

const char *eb_policy_name(enum eb_policy policy)
{
	return policies[policy].name;
}

enum eb_policy_hold eb_policy_hold(enum eb_policy policy)
{
	return policies[policy].hold;
}

void eb_holds_init(struct eb_holds *h, struct eb_cache *c, enum eb_policy policy)
{
	memset(h, 0, sizeof(*h));
	h->cache = c;
	h->how = eb_policy_hold(policy);
	h->table = h->few;
	h->max = EB_HOLDS_INLINE;
}

/* Where the address is, or would be; the table is never full. */
static struct eb_holds_entry *slot(struct eb_holds_entry *table, unsigned max, uint64_t logical)
{
	uint64_t i = (logical >> 12) * 0x9E3779B97F4A7C15ull >> 32;

	while (table[i & (max - 1)].logical && table[i & (max - 1)].logical != logical)
		i++;
	return &table[i & (max - 1)];
}

static bool grow(struct eb_holds *h)
{
	struct eb_holds_entry *table;

	if (4 * h->nr < 3 * h->max)
		return true;
	table = eng_calloc(2ul * h->max, sizeof(*table));
	if (!table)
		return false;
	for (unsigned i = 0; i < h->max; i++)
		if (h->table[i].logical)
			*slot(table, 2 * h->max, h->table[i].logical) = h->table[i];
	if (h->table != h->few)
		free(h->table);
	h->table = table;
	h->max *= 2;
	return true;
}

static struct eb_holds_entry *find(struct eb_holds *h, uint64_t logical)
{
	struct eb_holds_entry *e = slot(h->table, h->max, logical);

	return e->logical ? e : NULL;
}

/* Of this address; NULL: no memory. */
static struct eb_holds_entry *get(struct eb_holds *h, uint64_t logical)
{
	struct eb_holds_entry *e = find(h, logical);

	if (e)
		return e;
	if (!grow(h)) {
		counter_inc(h->cache->counters, hold_untracked);
		if (h->how == EB_HOLD_HANDLE && !h->all) {
			h->all = true;
			atomic_fetch_add(&h->cache->hold_all, 1);
		}
		return NULL;
	}
	e = slot(h->table, h->max, logical);
	e->logical = logical;
	h->nr++;
	return e;
}

static void hold(struct eb_holds *h, struct eb_holds_entry *e, struct eb *eb)
{
	if (h->how == EB_HOLD_NONE || PLANTED("hold_nothing"))
		return;
	/* One that it holds already; or what was at this address is gone, and its hold with it. */
	if (e->held.eb) {
		if (e->held.eb == eb && atomic_load(&eb_side(eb)->held) >> 32 == e->held.seq)
			return;
		eb_unhold(e->held);
	}
	e->held = eb_hold(eb);
	counter_inc(h->cache->counters, hold_blocks);
}

void eb_holds_made(struct eb_holds *h, struct eb *eb)
{
	struct eb_holds_entry *e = get(h, eb->logical);

	if (!e)
		return;
	e->own = true;
	hold(h, e, eb);
}

static void count_copy(struct eb_holds *h, const struct eb *eb, const struct eb *from)
{
	const struct eb_holds_entry *e;

	h->cows++;
	if (btrfs_header_generation(from->data) != btrfs_header_generation(eb->data) ||
	    !(btrfs_header_flags(from->data) & BTRFS_HEADER_FLAG_WRITTEN))
		return;
	h->recows++;
	e = find(h, from->logical);
	if (e && e->own) {
		h->own_recows++;
		counter_inc(h->cache->counters, bt_own_recows);
	}
}

void eb_holds_touched(struct eb_holds *h, struct eb *eb, const struct eb *from)
{
	struct eb_holds_entry *e;

	if (from)
		count_copy(h, eb, from);
	e = get(h, eb->logical);
	if (!e)
		return;
	e->own = e->own || from;
	hold(h, e, eb);
}

void eb_holds_freed(struct eb_holds *h, uint64_t logical)
{
	struct eb_holds_entry *e = find(h, logical);

	if (!e)
		return;
	e->own = false;
	if (e->held.eb)
		eb_unhold(e->held);
	e->held = (struct eb_held){ 0 };
}

void eb_holds_end(struct eb_holds *h)
{
	for (unsigned i = 0; i < h->max && h->nr; i++)
		if (h->table[i].held.eb)
			eb_unhold(h->table[i].held);
	if (h->all)
		atomic_fetch_sub(&h->cache->hold_all, 1);
	if (h->table != h->few)
		free(h->table);
	h->table = h->few;
	h->max = EB_HOLDS_INLINE;
	h->all = false;
	if (h->nr)
		memset(h->few, 0, sizeof(h->few));
	h->nr = 0;
}
