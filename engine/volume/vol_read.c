// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Reading: plan, read, judge.
 *
 * Plan: each request is cut into segments, each contiguous on one device, of the copy that is read
 * first. Read: all segments of all requests go out in one batch. Judge: request by request, unit by
 * unit; what failed or does not verify is repaired in runs.
 *
 * Which copy first: never one that is missing, one on a device that missed writes only if there is
 * no other; else copies take turns by megabyte, so that each device reads ahead in a stretch of its
 * own.
 *
 * Locks: none; a volume does not change while it is read. Memory: a segment for each 64 KiB or each
 * stripe of what is asked for.
 */
#include "engine/volume/vol_priv.h"

#include "engine/util/fault.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define TURN_SHIFT 20
#define FEW_SEGS 8

struct seg {
	struct bdev_xfer x;
	struct vol_span span; /* chunk NULL: nothing maps it */
	uint32_t pos;	      /* in its request */
	unsigned first;	      /* the copy that is read, from 0 */
	int res;
};

struct plan {
	struct seg *segs;
	unsigned nr, max;
	struct seg few[FEW_SEGS];
};

int vol_span_read(const struct vol_span *span, unsigned copy, uint8_t *buf)
{
	const struct vol_stripe *s = vol_span_stripe(span, copy);

	if (!s->dev->bdev)
		return -ENXIO;
	return bdev_read(s->dev->bdev, s->physical + span->at.dev_off, buf, (uint32_t)span->len)
		       ? -EIO
		       : 0;
}

static unsigned first_copy(const struct vol *v, const struct vol_span *s)
{
	unsigned copies = s->chunk->profile->copies, first, best = 0;
	int best_score = -1;

	if (v->opts.prefer_copy > 0)
		first = (unsigned)v->opts.prefer_copy - 1 < copies
				? (unsigned)v->opts.prefer_copy - 1
				: copies - 1;
	else if (s->chunk->type & BTRFS_BLOCK_GROUP_DUP)
		first = 0; /* one device: taking turns would only make it seek */
	else
		first = (unsigned)((s->logical >> TURN_SHIFT) % copies);
	for (unsigned k = 0; k < copies; k++) {
		unsigned copy = (first + k) % copies;
		const struct vol_dev *dev = vol_span_stripe(s, copy)->dev;
		int score = !dev->bdev ? 0 : dev->stale ? 1 : 2;

		if (score > best_score) {
			best_score = score;
			best = copy;
		}
	}
	return best;
}

static int plan_grow(struct plan *p)
{
	unsigned max = p->max * 4;
	struct seg *segs = eng_alloc(max * sizeof(*segs));

	if (!segs)
		return -ENOMEM;
	memcpy(segs, p->segs, p->nr * sizeof(*segs));
	if (p->segs != p->few)
		free(p->segs);
	p->segs = segs;
	p->max = max;
	return 0;
}

/* Whether the own stripe of a parity chunk is passed over at first. */
static bool passes_over(const struct vol *v, const struct vol_dev *dev, const struct vol_io *io)
{
	/* Old data without a checksum looks as good as new; a test wants to see the rebuilt bytes.
	 */
	return (dev->stale && !io->verify) || v->opts.prefer_copy > 1;
}

static int plan_io(struct plan *p, const struct vol *v, struct vol_io *io)
{
	uint32_t pos = 0;

	while (pos < io->len) {
		const struct vol_stripe *stripe;
		struct seg *s;

		if (p->nr == p->max && plan_grow(p))
			return -ENOMEM;
		s = &p->segs[p->nr++];
		memset(s, 0, sizeof(*s));
		s->pos = pos;
		if (vol_span_at(v, io->logical + pos, io->len - pos, &s->span)) {
			s->res = -ENXIO;
			s->span.len = io->len - pos;
			return 0;
		}
		s->first = first_copy(v, &s->span);
		stripe = vol_span_stripe(&s->span, s->first);
		if (!stripe->dev->bdev)
			s->res = -ENXIO;
		else if (s->span.chunk->profile->parity && passes_over(v, stripe->dev, io))
			s->res = VOL_NOT_READ;
		s->x.dev = stripe->dev->bdev;
		s->x.off = stripe->physical + s->span.at.dev_off;
		s->x.buf = (uint8_t *)io->buf + pos;
		s->x.len = (uint32_t)s->span.len;
		pos += s->x.len;
	}
	return 0;
}

/* Reads what is planned; the answers are in the segments. */
static void read_plan(struct plan *p)
{
	struct bdev_batch b;

	bdev_batch_begin(&b);
	for (unsigned i = 0; i < p->nr; i++)
		if (!p->segs[i].res)
			bdev_batch_add(&b, &p->segs[i].x);
	(void)bdev_batch_wait(&b); /* each transfer is looked at */
	for (unsigned i = 0; i < p->nr; i++)
		if (!p->segs[i].res && p->segs[i].x.res)
			p->segs[i].res = -EIO;
}

/* A unit, or some, could not be had. The first such says what the request returns. */
static void note_bad(struct vol_io *io, uint64_t logical, int ret)
{
	if (!io->res)
		io->result.bad_logical = logical;
	if (!io->res || ret == -ENOMEM)
		io->res = ret;
}

static bool unit_in_seg_is_good(const struct vol_judge *j, const struct vol_io *io,
				const struct seg *s, uint32_t pos)
{
	return !s->res && vol_unit_is_good(j, io->logical + pos, (uint8_t *)io->buf + pos);
}

/*
 * The unit at `pos` lies in the segment whole. Judges it and, if it is bad, repairs it with its bad
 * neighbours. Returns the bytes that are dealt with.
 */
static uint32_t judge_in_seg(const struct vol_judge *j, struct vol_io *io, const struct seg *s,
			     uint32_t pos)
{
	uint32_t left = s->pos + (uint32_t)s->span.len - pos;
	struct vol_repair_result result;
	struct vol_span span;
	unsigned nr = 1;

	if (unit_in_seg_is_good(j, io, s, pos))
		return j->unit;
	if (!s->span.chunk) {
		vol_count(j->v, vol_unreadable, 1);
		note_bad(io, io->logical + pos, -ENXIO);
		return j->unit;
	}
	while (nr < VOL_RUN_MAX && (nr + 1) * (uint64_t)j->unit <= left &&
	       !unit_in_seg_is_good(j, io, s, pos + nr * j->unit))
		nr++;
	span = vol_span_part(&s->span, pos - s->pos, (uint64_t)nr * j->unit);
	vol_repair_run(j, &span, (uint8_t *)io->buf + pos, nr, s->first, s->res, &result);
	io->result.repaired += result.good;
	if (result.ret)
		note_bad(io, io->logical + pos + (uint64_t)result.first_bad * j->unit, result.ret);
	return nr * j->unit;
}

/* The unit at `pos` begins in `s` and ends in a later segment. */
static void judge_spread(const struct vol_judge *j, struct vol_io *io, const struct seg *s,
			 const struct seg *end, uint32_t pos)
{
	bool was_read = true;
	int ret;

	for (; s < end && s->pos < pos + j->unit; s++)
		was_read = was_read && !s->res;
	if (was_read && vol_unit_is_good(j, io->logical + pos, (uint8_t *)io->buf + pos))
		return;
	ret = vol_repair_spread(j, io->logical + pos, (uint8_t *)io->buf + pos, was_read);
	if (ret)
		note_bad(io, io->logical + pos, ret);
	else
		io->result.repaired++;
}

/* Judges a request whose segments are [s, end). */
static void judge_io(struct vol *v, struct vol_io *io, const struct seg *s, const struct seg *end)
{
	struct vol_judge j = {v, io->unit, io->verify, io->arg, io->hint};
	uint32_t pos = 0;

	while (pos < io->len) {
		while (s->pos + s->span.len <= pos)
			s++;
		assert(s < end);
		if (pos + (uint64_t)io->unit <= s->pos + s->span.len) {
			pos += judge_in_seg(&j, io, s, pos);
		} else {
			judge_spread(&j, io, s, end, pos);
			pos += io->unit;
		}
	}
}

int vol_read_many(struct vol *v, struct vol_io *ios, unsigned nr)
{
	struct plan p = {.segs = p.few, .max = FEW_SEGS};
	unsigned from = 0;
	int ret = 0;

	for (unsigned i = 0; i < nr && !ret; i++) {
		assert(ios[i].unit && ios[i].len % ios[i].unit == 0);
		ret = plan_io(&p, v, &ios[i]);
	}
	if (!ret)
		read_plan(&p);
	for (unsigned i = 0; i < nr; i++) {
		struct vol_io *io = &ios[i];
		unsigned to = from;

		io->res = ret;
		io->result = (struct vol_read_result){0};
		if (ret)
			continue;
		/* Its segments are those whose positions add up to its length. */
		for (uint32_t len = 0; len < io->len; to++)
			len += (uint32_t)p.segs[to].span.len;
		judge_io(v, io, p.segs + from, p.segs + to);
		from = to;
	}
	if (p.segs != p.few)
		free(p.segs);
	for (unsigned i = 0; i < nr && !ret; i++)
		ret = ios[i].res;
	return ret;
}

int vol_read(struct vol *v, uint64_t logical, void *buf, uint32_t len, uint32_t unit,
	     vol_verify_fn verify, void *arg, struct vol_read_result *res)
{
	struct vol_io io = {
		.logical = logical,
		.buf = buf,
		.len = len,
		.unit = unit,
		.verify = verify,
		.arg = arg,
	};
	int ret = vol_read_many(v, &io, 1);

	if (res)
		*res = io.result;
	return ret;
}

int vol_read_copy(struct vol *v, uint64_t logical, void *buf, uint32_t len, int copy)
{
	struct vol_span s;
	int ret = 0;

	for (uint32_t pos = 0; pos < len && !ret; pos += (uint32_t)s.len) {
		ret = vol_span_at(v, logical + pos, len - pos, &s);
		if (ret)
			return ret;
		if (copy < 1 || (unsigned)copy > s.chunk->profile->copies)
			return -EINVAL;
		ret = vol_span_read(&s, (unsigned)copy - 1, (uint8_t *)buf + pos);
	}
	return ret;
}
