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

static void set_busy(struct eb_side *side, bool busy)
{
	struct eb_cache *c = side->eb->cache;
	size_t i = (size_t)(side - c->sides);
	uint64_t bit = 1ull << i % 64;

	if (busy)
		atomic_fetch_or(&c->busy[i / 64], bit);
	else
		atomic_fetch_and(&c->busy[i / 64], ~bit);
}

void side_set(struct eb_side *side, enum eb_side_state to)
{
	static const uint8_t from[] = {
		[EB_CLEAN] = 1 << EB_DIRTY | 1 << EB_WRITING,
		[EB_DIRTY] = 1 << EB_CLEAN | 1 << EB_WRITING,
		[EB_WRITING] = 1 << EB_DIRTY,
	};

	uint8_t was = atomic_load(&side->state);

	assert(from[to] & 1 << was);
	(void)from;
	atomic_store(&side->state, to);
	if ((was == EB_CLEAN) != (to == EB_CLEAN))
		set_busy(side, to != EB_CLEAN);
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
	struct eb_cache *c = eb->cache;
	bool many;

	assert(eb_locked_by_me(eb));
	/* Both change only under the write lock that the caller has. */
	if (atomic_load(&side->state) == EB_DIRTY) {
		assert(side->list == d);
		return;
	}
	eb_ref(eb);
	pthread_mutex_lock(&d->lock);
	list_locked(side, d);
	many = c->on_dirty && d->nr > c->dirty_high;
	pthread_mutex_unlock(&d->lock);
	if (many && !atomic_load_explicit(&c->dirty_told, memory_order_relaxed) &&
	    !atomic_exchange(&c->dirty_told, true))
		c->on_dirty(c->on_dirty_arg);
}

bool eb_is_dirty(const struct eb *eb)
{
	return atomic_load(&eb_side(eb)->state) == EB_DIRTY;
}

static uint32_t list_len(struct eb_dirty *d)
{
	uint32_t nr;

	pthread_mutex_lock(&d->lock);
	nr = d->nr;
	pthread_mutex_unlock(&d->lock);
	return nr;
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

/* ---- holds ---- */

struct eb_held eb_hold(struct eb *eb)
{
	uint64_t was = atomic_fetch_add(&eb_side(eb)->held, 1);

	assert(atomic_load(&eb_side(eb)->state) == EB_DIRTY);
	return (struct eb_held){ .eb = eb, .seq = (uint32_t)(was >> 32) };
}

void eb_unhold(struct eb_held held)
{
	_Atomic uint64_t *word = &eb_side(held.eb)->held;
	uint64_t was = atomic_load(word);

	while (was >> 32 == held.seq) {
		assert((uint32_t)was);
		if (atomic_compare_exchange_weak(word, &was, was - 1))
			break;
	}
}

static bool is_held(const struct eb_side *side)
{
	return (uint32_t)atomic_load(&side->held) || atomic_load(&side->eb->cache->hold_all);
}

unsigned side_end_holds(struct eb_side *side)
{
	uint64_t was = atomic_load(&side->held);

	while (!atomic_compare_exchange_weak(&side->held, &was, ((was >> 32) + 1) << 32))
		;
	return (uint32_t)was;
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

/* May this block be written? Its level never changes. */
static bool passed_by(const struct eb_side *side, enum eb_write_mode mode)
{
	bool holds = mode == EB_WRITE_SOME ||
		     (mode == EB_WRITE_HELD_LEAVES && btrfs_header_level(side->eb->data));

	return holds && is_held(side);
}

/*
 * Seals one block of the list. Return: 0, 1 (passed by), -EUCLEAN. With 0 the list's reference is
 * the caller's.
 */
static int take(struct eb *eb, struct eb_dirty *d, enum eb_write_mode mode)
{
	struct counters *counters = eb->cache->counters;
	struct eb_side *side = eb_side(eb);
	int err = 1;

	if (mode == EB_WRITE_ALL) {
		eb_lock_write(eb);
	} else if (passed_by(side, mode)) {
		counter_inc(counters, wb_held);
		return 1;
	} else if (!eb_trylock_write(eb)) {
		counter_inc(counters, wb_locked);
		return 1;
	}
	/* Holds come under the lock: none is overlooked now. */
	if (side->list == d && !passed_by(side, mode))
		err = seal(eb);
	if (!err) {
		if (side_end_holds(side) && mode >= EB_WRITE_HELD_LEAVES)
			counter_inc(counters, wb_holds_ended);
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

/* What could not be written; false if it was forgotten meanwhile. */
static bool list_again(struct eb *eb, struct eb_dirty *d)
{
	bool wanted;

	/* eb_forget must not look in between. */
	eb_lock_write(eb);
	wanted = atomic_load(&eb->state) == EB_VALID;
	if (wanted) {
		pthread_mutex_lock(&d->lock);
		list_locked(eb_side(eb), d);
		pthread_mutex_unlock(&d->lock);
	}
	eb_unlock_write(eb);
	return wanted;
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
		if (ios[i].res && list_again(ebs[i], d))
			continue;
		/* Without its lock: who has it may be waiting for a frame. */
		side_set(eb_side(ebs[i]), EB_CLEAN);
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

/*
 * A commit's next batch. Who has a block locked may be waiting for a frame: so it waits for a lock
 * only once it has nothing else to write.
 */
static int take_of_all(struct eb_dirty *d, struct eb **ebs, unsigned *out_nr)
{
	unsigned looks = list_len(d), one = 1;
	int err = take_batch(d, EB_WRITE_HELD, BATCH, &looks, ebs, out_nr);

	/* 0 with none: it was forgotten while we waited. */
	while (!err && !*out_nr && list_len(d)) {
		err = take_batch(d, EB_WRITE_ALL, 1, &one, ebs, out_nr);
		one = 1;
	}
	return err;
}

int eb_dirty_write(struct eb_cache *c, struct eb_dirty *d, enum eb_write_mode mode, unsigned max,
		   eb_write_fn fn, void *arg, unsigned *out_written)
{
	unsigned nr, looks = list_len(d), written = 0;
	struct eb *ebs[BATCH];
	int err, werr;

	if (mode == EB_WRITE_ALL)
		max = UINT32_MAX;
	do {
		unsigned room = max - written < BATCH ? max - written : BATCH;

		err = mode == EB_WRITE_ALL ? take_of_all(d, ebs, &nr)
					   : take_batch(d, mode, room, &looks, ebs, &nr);
		werr = nr ? write_batch(c, d, ebs, nr, fn, arg) : 0;
		written += nr;
		if (!err)
			err = werr;
	} while (!err && nr && written < max);
	if (out_written)
		*out_written = written;
	return err;
}
