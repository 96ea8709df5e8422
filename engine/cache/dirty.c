// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Dirty buffers: the list of a transaction, and writing them out.
 *
 * A block is sealed under its write lock: WRITTEN set, checked as a reader would, checksummed. From
 * then on its bytes never change, so that the write needs no lock and no copy, and a tree that
 * wants to change the block takes another one. A failed write leaves it sealed, and dirty again.
 *
 * The list is in order of age. What mid-transaction write-out passes by goes to its end.
 *
 * States, invariants and locks: eb_priv.h.
 */
#include "engine/cache/eb_priv.h"
#include "engine/util/fault.h"
#include "ondisk/csum.h"

#include <assert.h>
#include <stdlib.h>

#define BATCH 64u

void side_set(struct eb_side *side, enum eb_side_state to)
{
	static const uint8_t from[] = {
		[EB_CLEAN] = 1 << EB_DIRTY | 1 << EB_WRITING,
		[EB_DIRTY] = 1 << EB_CLEAN | 1 << EB_WRITING,
		[EB_WRITING] = 1 << EB_DIRTY,
	};

	assert(from[to] & 1 << atomic_load(&side->state));
	(void)from;
	atomic_store(&side->state, to);
}

void side_unlist_locked(struct eb_side *side, enum eb_side_state to)
{
	struct eb_dirty *d = side->list;

	TAILQ_REMOVE(&d->head, side, links);
	d->nr--;
	side->list = NULL;
	side_set(side, to);
}

static void list_locked(struct eb_side *side, struct eb_dirty *d)
{
	TAILQ_INSERT_TAIL(&d->head, side, links);
	d->nr++;
	side->list = d;
	side_set(side, EB_DIRTY);
}

void eb_dirty_init(struct eb_dirty *d)
{
	pthread_mutex_init(&d->lock, NULL);
	TAILQ_INIT(&d->head);
	d->nr = 0;
}

void eb_dirty_destroy(struct eb_dirty *d)
{
	assert(!d->nr);
	pthread_mutex_destroy(&d->lock);
}

void eb_mark_dirty(struct eb *eb, struct eb_dirty *d)
{
	struct eb_side *side = eb_side(eb);

	assert(eb_locked_by_me(eb));
	/* Both change only under the write lock that the caller has. */
	if (atomic_load(&side->state) == EB_DIRTY) {
		assert(side->list == d);
		return;
	}
	eb_ref(eb);
	pthread_mutex_lock(&d->lock);
	list_locked(side, d);
	pthread_mutex_unlock(&d->lock);
}

bool eb_is_dirty(const struct eb *eb)
{
	return atomic_load(&eb_side(eb)->state) == EB_DIRTY;
}

/* The first of the list, referenced; it becomes the last, so that a second look finds another. */
static struct eb *first(struct eb_dirty *d)
{
	struct eb_side *side;

	pthread_mutex_lock(&d->lock);
	side = TAILQ_FIRST(&d->head);
	if (side) {
		TAILQ_REMOVE(&d->head, side, links);
		TAILQ_INSERT_TAIL(&d->head, side, links);
		eb_ref(side->eb);
	}
	pthread_mutex_unlock(&d->lock);
	return side ? side->eb : NULL;
}

void eb_dirty_abandon(struct eb_dirty *d)
{
	struct eb *eb;

	while ((eb = first(d))) {
		eb_lock_write(eb);
		if (eb_side(eb)->list == d)
			eb_forget(eb);
		eb_unlock_write(eb);
		eb_put(eb);
	}
}

bool eb_mutable(const struct eb *eb, uint64_t generation)
{
	return btrfs_header_generation(eb->data) == generation &&
	       !(btrfs_header_flags(eb->data) & BTRFS_HEADER_FLAG_WRITTEN);
}

void *eb_mut(struct eb *eb, uint64_t generation)
{
	assert(eb_locked_by_me(eb));
	assert(eb_mutable(eb, generation));
	return eb->data;
}

void eb_hold(struct eb *eb)
{
	atomic_fetch_add(&eb_side(eb)->held, 1);
}

void eb_unhold(struct eb *eb)
{
	unsigned was = atomic_fetch_sub(&eb_side(eb)->held, 1);

	assert(was);
	(void)was;
}

/* ---- writing ---- */

static int say_bad(struct eb *eb, const struct btrfs_check_error *err)
{
	char buf[400];
	struct text t = TEXT_FIXED(buf);

	btrfs_check_error_to_text(&t, eb->logical, err);
	return msg_corrupt(eb->cache->msg, "tree %llu: about to be written: %s",
			   (unsigned long long)btrfs_header_owner(eb->data), text_done(&t));
}

/* Makes the bytes what is to stand on disk. Again after a failed write; they don't change then. */
static int seal(struct eb *eb)
{
	struct eb_cache *c = eb->cache;
	struct btrfs_header *h = (struct btrfs_header *)eb->data;
	struct btrfs_geometry geo = c->geo;
	struct btrfs_block_expect expect = {
		.logical = eb->logical,
		.generation = btrfs_header_generation(h),
		.owner = btrfs_header_owner(h),
		.level = (int)btrfs_header_level(h),
	};
	struct btrfs_check_error err;

	assert(eb_locked_by_me(eb));
	if (!(btrfs_header_flags(h) & BTRFS_HEADER_FLAG_WRITTEN)) {
		h->flags = le64_make(le64_get(h->flags) | BTRFS_HEADER_FLAG_WRITTEN);
		btrfs_csum(geo.csum_type, eb->data + BTRFS_CSUM_SIZE,
			   geo.nodesize - BTRFS_CSUM_SIZE, h->csum);
	}
	geo.generation = expect.generation;
	if (btrfs_check_block(eb->data, &geo, &expect, &err))
		return say_bad(eb, &err);
	return 0;
}

/*
 * Seals one block of the list. Return: 0, 1 (passed by), -EUCLEAN. With 0 the list's reference is
 * the caller's.
 */
static int take(struct eb *eb, struct eb_dirty *d, enum eb_write_mode mode)
{
	struct eb_side *side = eb_side(eb);
	int err = 1;

	if (mode == EB_WRITE_ALL)
		eb_lock_write(eb);
	else if (atomic_load(&side->held) || !eb_trylock_write(eb))
		return 1;
	if (side->list == d && (mode == EB_WRITE_ALL || !atomic_load(&side->held)))
		err = seal(eb);
	if (!err) {
		pthread_mutex_lock(&d->lock);
		side_unlist_locked(side, EB_WRITING);
		pthread_mutex_unlock(&d->lock);
	}
	eb_unlock_write(eb);
	return err;
}

static int cmp_logical(const void *a, const void *b)
{
	const struct eb *x = *(struct eb *const *)a, *y = *(struct eb *const *)b;

	return x->logical < y->logical ? -1 : x->logical > y->logical;
}

/* Writes what was taken; the references go, or to the list again. */
static int write_batch(struct eb_cache *c, struct eb_dirty *d, struct eb **ebs, unsigned nr,
		       eb_write_fn fn, void *arg)
{
	struct eb_write ios[BATCH];
	int err;

	qsort(ebs, nr, sizeof(*ebs), cmp_logical);
	for (unsigned i = 0; i < nr; i++)
		ios[i] = (struct eb_write){ .logical = ebs[i]->logical,
					    .buf = ebs[i]->data,
					    .len = c->nodesize,
					    .res = -EIO };
	err = fn(arg, ios, nr);
	for (unsigned i = 0; i < nr; i++) {
		struct eb_side *side = eb_side(ebs[i]);

		/* Its lock keeps eb_forget from looking in between. */
		eb_lock_write(ebs[i]);
		if (ios[i].res && atomic_load(&ebs[i]->state) == EB_VALID) {
			pthread_mutex_lock(&d->lock);
			list_locked(side, d);
			pthread_mutex_unlock(&d->lock);
			eb_unlock_write(ebs[i]);
			continue;
		}
		side_set(side, EB_CLEAN);
		eb_unlock_write(ebs[i]);
		counter_inc(c->counters, cache_written);
		eb_put(ebs[i]);
	}
	return err;
}

/* Up to `max` blocks of the list, looking at `*looks` of them at most. */
static int take_batch(struct eb_dirty *d, enum eb_write_mode mode, unsigned max, unsigned *looks,
		      struct eb **ebs, unsigned *out_nr)
{
	int err = 0;

	*out_nr = 0;
	while (*out_nr < max && *looks && err >= 0) {
		struct eb *eb = first(d);

		if (!eb)
			break;
		--*looks;
		err = take(eb, d, mode);
		eb_put(eb);
		if (!err)
			ebs[(*out_nr)++] = eb;
	}
	return err < 0 ? err : 0;
}

int eb_dirty_write(struct eb_cache *c, struct eb_dirty *d, enum eb_write_mode mode, unsigned max,
		   eb_write_fn fn, void *arg, unsigned *out_written)
{
	struct eb *ebs[BATCH];
	unsigned nr, looks, written = 0;
	int err, werr;

	pthread_mutex_lock(&d->lock);
	looks = d->nr;
	pthread_mutex_unlock(&d->lock);
	if (mode == EB_WRITE_ALL)
		max = looks = UINT32_MAX;
	do {
		unsigned room = max - written < BATCH ? max - written : BATCH;

		err = take_batch(d, mode, room, &looks, ebs, &nr);
		werr = nr ? write_batch(c, d, ebs, nr, fn, arg) : 0;
		written += nr;
		if (!err)
			err = werr;
	} while (!err && nr && written < max);
	if (out_written)
		*out_written = written;
	return err;
}
