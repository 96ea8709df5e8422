// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The life of an extent after it was placed, and what is pinned.
 *
 * Pinned ranges are those that the last durable superblock may still refer to: freed in the running
 * transaction, or in the one whose commit is under way. Two sets, which change places at the
 * commit:
 *
 *   running --bg_pinned_switch--> committing --bg_pinned_release--> free
 *
 * Invariants: 1. A range goes back to free space only by bg_pinned_release, or (reserved, never
 * written) by bg_extent_unreserve. 2. The sets' bytes are the sum of the groups' `pinned`, but for
 * a moment in release.
 * 3. An extent lies in one group, which cannot go as long as it is in it.
 *
 * Locks: pin_lock, then the group's, then the space_info's.
 */
#include "engine/space/bg_priv.h"
#include "engine/space/space_priv.h"
#include "engine/util/fault.h"

#include <inttypes.h>

/* The group of an extent that somebody has in it: it is there. */
static struct block_group *group_of(struct bg_index *idx, uint64_t start, uint64_t len)
{
	struct block_group *bg = bg_get(idx, start);

	assert(bg && len && start + len <= bg->start + bg->len);
	return bg;
}

void bg_mark_dirty(struct bg_index *idx, struct block_group *bg)
{
	pthread_mutex_lock(&idx->dirty_lock);
	if (!bg->dirty) {
		bg->dirty = true;
		atomic_fetch_add(&bg->refs, 1);
		TAILQ_INSERT_TAIL(&idx->dirty, bg, dirty_link);
		rsv_refs_groups(idx->rsv, 0, 1);
	}
	pthread_mutex_unlock(&idx->dirty_lock);
}

struct block_group *bg_next_dirty(struct bg_index *idx, uint64_t *out_used)
{
	struct block_group *bg;

	pthread_mutex_lock(&idx->dirty_lock);
	while ((bg = TAILQ_FIRST(&idx->dirty))) {
		TAILQ_REMOVE(&idx->dirty, bg, dirty_link);
		bg->dirty = false;
		pthread_mutex_lock(&bg->si->lock);
		*out_used = bg->used;
		pthread_mutex_unlock(&bg->si->lock);
		if (*out_used != bg->item_used)
			break;
		rsv_refs_groups(idx->rsv, 0, -1);
		bg_put(bg);
	}
	if (bg)
		bg->item_used = *out_used;
	pthread_mutex_unlock(&idx->dirty_lock);
	return bg;
}

void bg_extent_inserted(struct bg_index *idx, uint64_t start, uint64_t len)
{
	struct block_group *bg = group_of(idx, start, len);

	pthread_mutex_lock(&bg->si->lock);
	counter_sub(&bg->reserved, len);
	bg->used += len;
	space_insert_locked(bg->si, len);
	pthread_mutex_unlock(&bg->si->lock);
	bg_mark_dirty(idx, bg);
	bg_put(bg);
}

void bg_extent_unreserve(struct bg_index *idx, uint64_t start, uint64_t len)
{
	struct block_group *bg = group_of(idx, start, len);
	struct space_info *si = bg->si;

	pthread_mutex_lock(&bg->lock);
	free_space_add(bg->free, start, len);
	pthread_mutex_lock(&si->lock);
	counter_sub(&bg->reserved, len);
	space_free_reserved_locked(si, len, bg->ro);
	pthread_mutex_unlock(&si->lock);
	pthread_mutex_unlock(&bg->lock);
	bg_put(bg);
}

int bg_extent_check(struct bg_index *idx, uint64_t start, uint64_t len, struct block_group **out_bg)
{
	uint64_t sector = idx->sp->opts.sectorsize, end = start + len, s, l;
	struct block_group *bg = bg_get(idx, start);
	const char *wrong = NULL;

	*out_bg = NULL;
	if (!bg || !len || end < start || end > bg->start + bg->len)
		wrong = "not within one block group";
	else if ((start | len) % sector)
		wrong = "not of whole sectors";
	else if (range_set_next(&bg->supers, start, &s, &l) && s < end)
		wrong = "partly a superblock's";
	if (!wrong) {
		pthread_mutex_lock(&bg->lock);
		if (free_space_next(bg->free, start, &s, &l) && s < end)
			wrong = "partly free";
		pthread_mutex_unlock(&bg->lock);
	}
	if (!wrong && bg_is_pinned(idx, start, len))
		wrong = "partly freed already";
	if (!wrong || PLANTED("space_unchecked")) {
		*out_bg = bg;
		return 0;
	}
	bg_put(bg);
	return msg_corrupt(idx->sp->opts.msg,
			   "extent %" PRIu64 " of %" PRIu64
			   " bytes is %s, expected it to be in use",
			   start, len, wrong);
}

/* Under the group's space_info's lock: what goes was counted. */
static int check_used_locked(struct bg_index *idx, const struct block_group *bg, uint64_t start,
			     uint64_t len)
{
	if (bg->used >= len || PLANTED("space_unchecked"))
		return 0;
	return msg_corrupt(idx->sp->opts.msg,
			   "block group %" PRIu64 ": extent %" PRIu64 " of %" PRIu64
			   " bytes is freed, and only %" PRIu64 " are in use",
			   bg->start, start, len, bg->used);
}

int bg_extent_pin(struct bg_index *idx, uint64_t start, uint64_t len, bool inserted)
{
	struct block_group *bg;
	struct space_info *si;
	int err = bg_extent_check(idx, start, len, &bg);

	if (err)
		return err;
	si = bg->si;
	/* Over both, so that no release comes between the set and the counter. */
	pthread_mutex_lock(&idx->pin_lock);
	pthread_mutex_lock(&si->lock);
	err = inserted ? check_used_locked(idx, bg, start, len) : 0;
	pthread_mutex_unlock(&si->lock);
	if (!err)
		err = range_set_add(&idx->pinned[idx->running], start, len, NULL);
	if (!err) {
		pthread_mutex_lock(&si->lock);
		bg->pinned += len;
		if (inserted) {
			counter_sub(&bg->used, len);
			space_drop_locked(si, len);
		} else {
			counter_sub(&bg->reserved, len);
			space_pin_reserved_locked(si, len);
		}
		pthread_mutex_unlock(&si->lock);
	}
	pthread_mutex_unlock(&idx->pin_lock);
	if (!err && inserted)
		bg_mark_dirty(idx, bg);
	bg_put(bg);
	return err;
}

void bg_pinned_switch(struct bg_index *idx)
{
	pthread_mutex_lock(&idx->pin_lock);
	idx->running ^= 1;
	/* The commit before this one has released its own. */
	assert(!idx->pinned[idx->running].nr);
	pthread_mutex_unlock(&idx->pin_lock);
}

static void release_in_group(struct block_group *bg, uint64_t start, uint64_t len)
{
	struct space_info *si = bg->si;

	pthread_mutex_lock(&bg->lock);
	free_space_add(bg->free, start, len);
	pthread_mutex_lock(&si->lock);
	counter_sub(&bg->pinned, len);
	space_unpin_locked(si, len, bg->ro);
	pthread_mutex_unlock(&si->lock);
	pthread_mutex_unlock(&bg->lock);
}

void bg_pinned_release(struct bg_index *idx)
{
	struct range_set set;
	uint64_t start = 0, end;
	unsigned which;

	pthread_mutex_lock(&idx->pin_lock);
	which = PLANTED("bg_unpin_running") ? idx->running : !idx->running;
	set = idx->pinned[which];
	range_set_init(&idx->pinned[which]);
	pthread_mutex_unlock(&idx->pin_lock);
	while (range_set_next(&set, start, &start, &end)) {
		struct block_group *bg = bg_get(idx, start);
		uint64_t stop;

		/* A pinned group is not removed; a range may run over the edge of two. */
		assert(bg);
		stop = bg->start + bg->len < end ? bg->start + bg->len : end;
		release_in_group(bg, start, stop - start);
		bg_put(bg);
		start = stop;
	}
	range_set_clear(&set);
}

bool bg_is_pinned(struct bg_index *idx, uint64_t start, uint64_t len)
{
	bool pinned = false;

	pthread_mutex_lock(&idx->pin_lock);
	for (unsigned i = 0; i < 2; i++) {
		uint64_t s, e;

		pinned |= range_set_next(&idx->pinned[i], start, &s, &e) && s < start + len;
	}
	pthread_mutex_unlock(&idx->pin_lock);
	return pinned;
}
