// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Writing: each request is cut into spans, each span goes to all its copies, and what the copies
 * answered is judged by the profile.
 *
 * Words: a device *missed* something if a write to it failed that was reported as done because
 * other copies bear it, or if a flush of it failed: since the last superblock, not all that the
 * filesystem relies on is there. It is *stale* from then on: other copies are read first. While one
 * transaction's superblock is to come and the next one writes already, a miss counts for both:
 * vol_switch says where the next one begins.
 *
 * Invariants: 1. Nothing is allocated: writing is what frees memory. Transfers go in rounds of as
 * many as a ring takes. 2. The copies of a span are in one round, next to each other.
 *
 * Locks: none; any number of threads. A device's marks and counts are atomic.
 */
#include "engine/volume/vol_priv.h"

#include <assert.h>
#include <string.h>

#define ROUND 64

struct wseg {
	struct bdev_xfer x;
	struct vol_dev *dev;
	struct vol_wio *io;
	const struct raid_profile *profile;
};

struct round {
	struct vol *v;
	unsigned nr;
	struct wseg segs[ROUND];
};

void vol_dev_failed(struct vol *v, struct vol_dev *dev, const char *what)
{
	char name[VOL_DEV_TEXT];

	if (atomic_exchange(&dev->stale, true))
		return;
	msg_err(v->msg, "%s: a %s failed: from now on it is read only when nothing else can serve",
		vol_dev_text(dev, name, sizeof(name)), what);
}

/* What the copies of one span answered. `s` is the first of them. */
static void judge_span(struct vol *v, struct wseg *s)
{
	unsigned copies = s->profile->copies, failed = 0;
	bool done;

	for (unsigned i = 0; i < copies; i++) {
		if (!s[i].x.res)
			continue;
		failed++;
		if (!s[i].dev->bdev)
			continue;
		atomic_fetch_add(&s[i].dev->write_errors, 1);
		vol_dev_failed(v, s[i].dev, "write");
	}
	if (!failed)
		return;
	vol_count(v, vol_unwritten_copies, failed);
	done = failed < copies && failed <= s->profile->tolerated;
	s->io->failed += failed;
	if (!done)
		s->io->res = -EIO;
	for (unsigned i = 0; i < copies && done; i++)
		if (s[i].x.res)
			atomic_store(&s[i].dev->missed, true);
}

static void round_end(struct round *r)
{
	struct bdev_batch b;

	bdev_batch_begin(&b);
	for (unsigned i = 0; i < r->nr; i++)
		if (r->segs[i].dev->bdev)
			bdev_batch_add(&b, &r->segs[i].x);
	(void)bdev_batch_wait(&b); /* each transfer is looked at */
	for (unsigned i = 0; i < r->nr; i += r->segs[i].profile->copies)
		judge_span(r->v, &r->segs[i]);
	r->nr = 0;
}

/* Why a span can't be written, or 0. */
static int refused(const struct vol_span *span)
{
	if (span->chunk->profile->parity)
		return -EOPNOTSUPP;
	for (unsigned copy = 0; copy < span->chunk->profile->copies; copy++) {
		const struct vol_dev *dev = vol_span_stripe(span, copy)->dev;

		if (dev->seed || (dev->bdev && !bdev_writable(dev->bdev)))
			return -EROFS;
	}
	return 0;
}

static void add_span(struct round *r, struct vol_wio *io, const struct vol_span *span, uint32_t pos)
{
	unsigned copies = span->chunk->profile->copies;

	assert(copies <= ROUND);
	if (r->nr + copies > ROUND)
		round_end(r);
	for (unsigned copy = 0; copy < copies; copy++) {
		const struct vol_stripe *stripe = vol_span_stripe(span, copy);
		struct wseg *s = &r->segs[r->nr++];

		*s = (struct wseg){
			.dev = stripe->dev,
			.io = io,
			.profile = span->chunk->profile,
			.x = {
				.dev = stripe->dev->bdev,
				.off = stripe->physical + span->at.dev_off,
				.buf = (uint8_t *)(uintptr_t)io->buf + pos,
				.len = (uint32_t)span->len,
				.op = BDEV_WRITE,
				.res = stripe->dev->bdev ? 0 : -ENXIO,
			},
		};
	}
}

static void add_io(struct round *r, struct vol_wio *io)
{
	struct vol_span span;

	io->res = 0;
	io->failed = 0;
	/* Whether all of it can be written, before any of it is. */
	for (uint32_t pos = 0; pos < io->len && !io->res; pos += (uint32_t)span.len) {
		io->res = vol_span_at(r->v, io->logical + pos, io->len - pos, &span);
		if (!io->res)
			io->res = refused(&span);
	}
	if (io->res)
		return;
	for (uint32_t pos = 0; pos < io->len; pos += (uint32_t)span.len) {
		(void)vol_span_at(r->v, io->logical + pos, io->len - pos, &span);
		add_span(r, io, &span, pos);
	}
}

int vol_write_many(struct vol *v, struct vol_wio *ios, unsigned nr)
{
	struct round r;

	r.v = v;
	r.nr = 0;
	for (unsigned i = 0; i < nr; i++)
		add_io(&r, &ios[i]);
	round_end(&r);
	for (unsigned i = 0; i < nr; i++)
		if (ios[i].res)
			return ios[i].res;
	return 0;
}

int vol_write(struct vol *v, uint64_t logical, const void *buf, uint32_t len)
{
	struct vol_wio io = { .logical = logical, .buf = buf, .len = len };

	return vol_write_many(v, &io, 1);
}

/* ---- flushing ---- */

/* Of the devices from *index on, up to a round of them. */
static void flush_round(struct vol *v, unsigned *index)
{
	struct bdev_xfer x[ROUND];
	struct bdev_batch b;
	unsigned nr = 0;

	bdev_batch_begin(&b);
	for (; *index < v->nr_devs && nr < ROUND; (*index)++) {
		struct vol_dev *dev = v->devs[*index];

		if (!vol_dev_is_written(dev))
			continue;
		x[nr] = (struct bdev_xfer){ .dev = dev->bdev, .op = BDEV_FLUSH, .user = dev };
		bdev_batch_add(&b, &x[nr++]);
	}
	(void)bdev_batch_wait(&b);
	for (unsigned i = 0; i < nr; i++) {
		struct vol_dev *dev = x[i].user;

		if (!x[i].res)
			continue;
		atomic_fetch_add(&dev->flush_errors, 1);
		atomic_store(&dev->missed, true);
		vol_dev_failed(v, dev, "flush");
	}
}

static bool is_lost(const struct vol_dev *dev)
{
	return !dev->bdev || atomic_load(&dev->missed) || atomic_load(&dev->missed_before);
}

void vol_switch(struct vol *v)
{
	for (unsigned i = 0; i < v->nr_devs; i++) {
		struct vol_dev *dev = v->devs[i];

		/* In this order there is no moment in which it is neither. */
		if (!atomic_load(&dev->missed))
			continue;
		atomic_store(&dev->missed_before, true);
		atomic_store(&dev->missed, false);
	}
	v->switched = true;
}

int vol_bears_missed(const struct vol *v)
{
	char name[VOL_DEV_TEXT];
	unsigned nr;
	struct vol_chunk *const *chunks = vol_chunks(v, &nr);

	for (unsigned i = 0; i < nr; i++) {
		const struct vol_chunk *c = chunks[i];

		if (vol_chunk_bears(c, is_lost))
			continue;
		for (unsigned k = 0; k < c->num_stripes; k++)
			if (is_lost(c->stripes[k].dev))
				msg_err(v->msg,
					"%s: what was written is not safe: chunk %llu (%s) does not "
					"bear the loss",
					vol_dev_text(c->stripes[k].dev, name, sizeof(name)),
					(unsigned long long)c->logical, c->profile->name);
		return -EIO;
	}
	return 0;
}

int vol_flush(struct vol *v)
{
	unsigned index = 0;

	while (index < v->nr_devs)
		flush_round(v, &index);
	return vol_bears_missed(v);
}
