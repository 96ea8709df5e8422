/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Batches: transfers on their way through
 *
 *   add -> queued -> submit -> waiting -> the ring -> done -> reap or wait
 *                        \-> done at once in this thread -> done
 *
 * The second way is for devices that have no ring (pread mode, devices made of functions), and for
 * everything when the pool has no ring to lend. What goes to a ring is started first, so that it
 * runs while this thread does the rest.
 *
 * Invariants: 1. in_flight counts the transfers that are in `waiting` or in the ring. 2. ring is
 * set exactly while in_flight > 0, between calls. Locks: none, a batch belongs to one thread.
 */
#include "engine/io/bdev_priv.h"

#include <assert.h>
#include <stddef.h>

void bdev_batch_begin(struct bdev_batch *b)
{
	*b = (struct bdev_batch){0};
	b->queued_end = &b->queued;
	b->waiting_end = &b->waiting;
}

void bdev_batch_add(struct bdev_batch *b, struct bdev_xfer *x)
{
	x->res = 0;
	x->issued = 0;
	x->pieces = 0;
	x->next = NULL;
	*b->queued_end = x;
	b->queued_end = &x->next;
}

void bdev_batch_finish(struct bdev_batch *b, struct bdev_xfer *x)
{
	bdev_xfer_end(x);
	x->next = b->done;
	b->done = x;
}

static void xfer_now(struct bdev_batch *b, struct bdev_xfer *x)
{
	x->res = bdev_xfer_now(x, 0, x->len);
	bdev_batch_finish(b, x);
}

static struct bdev_xfer *take_queued(struct bdev_batch *b)
{
	struct bdev_xfer *list = b->queued;

	b->queued = NULL;
	b->queued_end = &b->queued;
	return list;
}

/* Gives the ring back when nothing uses it. */
static void release_ring(struct bdev_batch *b)
{
	if (b->ring && !b->in_flight) {
		bdev_ring_put(b->ring);
		b->ring = NULL;
	}
}

void bdev_batch_submit(struct bdev_batch *b)
{
	struct bdev_xfer *x, *next, *sync = NULL, **sync_end = &sync;

	for (x = take_queued(b); x; x = next) {
		next = x->next;
		x->next = NULL;
		x->res = bdev_xfer_begin(x);
		if (x->res || (!x->len && x->op != BDEV_FLUSH)) {
			bdev_batch_finish(b, x);
		} else if (x->dev->uring && (b->ring || (b->ring = bdev_ring_get()))) {
			*b->waiting_end = x;
			b->waiting_end = &x->next;
			b->in_flight++;
		} else {
			*sync_end = x;
			sync_end = &x->next;
		}
	}
	if (b->waiting)
		bdev_ring_fill(b);
	for (x = sync; x; x = next) {
		next = x->next;
		xfer_now(b, x);
	}
	release_ring(b);
}

/* One transfer that is waited for at once gains nothing from a ring. True if it was done this way.
 */
static bool do_single(struct bdev_batch *b)
{
	struct bdev_xfer *x = b->queued;

	if (!x || x->next || b->in_flight || x->len > BDEV_PIECE)
		return false;
	take_queued(b);
	x->res = bdev_xfer_begin(x);
	if (x->res)
		bdev_batch_finish(b, x);
	else
		xfer_now(b, x);
	return true;
}

struct bdev_xfer *bdev_batch_reap(struct bdev_batch *b)
{
	struct bdev_xfer *x;

	if (b->queued && !do_single(b))
		bdev_batch_submit(b);
	/* Keep a full ring busy while the caller is. */
	if (b->done && b->waiting)
		bdev_ring_collect(b, false);
	while (!b->done && b->in_flight)
		bdev_ring_collect(b, true);
	release_ring(b);
	x = b->done;
	if (x) {
		b->done = x->next;
		x->next = NULL;
	}
	return x;
}

int bdev_batch_wait(struct bdev_batch *b)
{
	struct bdev_xfer *x, *next;
	int ret = 0;

	if (b->queued && !do_single(b))
		bdev_batch_submit(b);
	while (b->in_flight)
		bdev_ring_collect(b, true);
	release_ring(b);
	assert(!b->ring && !b->waiting && !b->queued);
	/* The list is newest first: the error that stays is the first one. */
	for (x = b->done; x; x = next) {
		next = x->next;
		x->next = NULL;
		if (x->res)
			ret = x->res;
	}
	b->done = NULL;
	return ret;
}
