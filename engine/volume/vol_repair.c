// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Units that the first reading did not give: every other way to get them is tried, in this order,
 * until the verify is content.
 *
 *   mirrors: the other copies; the first one again, unit by unit, if it failed to be read as a
 * whole parity:  each guess at what is wrong (vol_parity.c); the unit's own stripe again, as above
 *
 * A run of units is read at once, and unit by unit where that fails, so that one bad sector does
 * not take its neighbours with it. Locks: none.
 */
#include "engine/volume/vol_priv.h"

#include <assert.h>

struct run {
	const struct vol_judge *j;
	const struct vol_span *span;
	uint8_t *buf;
	uint64_t open;	 /* a bit for each unit that is still wanted */
	uint64_t lied;	 /* units that some way gave, but wrong */
	uint64_t failed; /* units that a device failed to give */
	unsigned nr;
	bool nomem;
};

static uint64_t bits(unsigned from, unsigned nr)
{
	return (nr == 64 ? ~0ull : (1ull << nr) - 1) << from;
}

/* The next stretch of wanted units at or after `from`; 0 if there is none. */
static unsigned next_stretch(uint64_t open, unsigned from, unsigned *out_start)
{
	unsigned n = 0;

	if (from >= 64 || !(open >> from))
		return 0;
	*out_start = from + (unsigned)__builtin_ctzll(open >> from);
	while (*out_start + n < 64 && open >> (*out_start + n) & 1)
		n++;
	return n;
}

/* Units [start, start + nr) have been read into the buffer: which are good? */
static void judge(struct run *r, unsigned start, unsigned nr)
{
	uint32_t unit = r->j->unit;

	for (unsigned i = start; i < start + nr; i++) {
		if (vol_unit_is_good(r->j, r->span->logical + (uint64_t)i * unit,
				     r->buf + (size_t)i * unit)) {
			r->open &= ~bits(i, 1);
		} else {
			r->lied |= bits(i, 1);
			vol_count(r->j->v, vol_bad_copies, 1);
		}
	}
}

static int read_units(struct run *r, unsigned copy, unsigned start, unsigned nr)
{
	uint32_t unit = r->j->unit;
	struct vol_span part = vol_span_part(r->span, (uint64_t)start * unit, (uint64_t)nr * unit);
	int ret = vol_span_read(&part, copy, r->buf + (size_t)start * unit);

	if (!ret)
		judge(r, start, nr);
	return ret;
}

/* Tries one copy for all wanted units. `whole`: in stretches first. */
static void try_copy(struct run *r, unsigned copy, bool whole)
{
	unsigned start, nr;

	for (unsigned from = 0; (nr = next_stretch(r->open, from, &start)); from = start + nr) {
		int ret = whole ? read_units(r, copy, start, nr) : -EIO;

		if (ret == -ENXIO)
			return;
		for (unsigned i = start; ret && i < start + nr; i++) {
			if (nr > 1 || !whole)
				if (!read_units(r, copy, i, 1))
					continue;
			r->failed |= bits(i, 1);
			vol_count(r->j->v, vol_bad_copies, 1);
		}
	}
}

/* Tries every guess for the wanted units of [start, start + nr). True if a source could not be
 * read. */
static bool try_row(struct run *r, unsigned start, unsigned nr)
{
	uint32_t unit = r->j->unit;
	struct vol_span part = vol_span_part(r->span, (uint64_t)start * unit, (uint64_t)nr * unit);
	struct parity_row row;
	uint64_t mine = bits(start, nr);
	bool failed;

	if (parity_row_begin(&row, &part)) {
		r->nomem = true;
		return false;
	}
	for (unsigned n = 0; n < parity_guesses(r->span->chunk) && r->open & mine; n++) {
		for (unsigned i = start; i < start + nr; i++) {
			if (!(r->open & bits(i, 1)))
				continue;
			if (!parity_row_solve(&row, n, (i - start) * unit,
					      r->buf + (size_t)i * unit, unit))
				break;
			judge(r, i, 1);
			if (!(r->open & bits(i, 1)))
				vol_count(r->j->v, vol_rebuilds, 1);
		}
	}
	failed = row.err != 0;
	if (failed)
		r->failed |= mine & r->open;
	parity_row_end(&row);
	return failed;
}

static void try_parity(struct run *r)
{
	unsigned start, nr;

	for (unsigned from = 0; (nr = next_stretch(r->open, from, &start)); from = start + nr) {
		if (!try_row(r, start, nr) || nr == 1)
			continue;
		/* What failed may be needed for some of the units only. */
		for (unsigned i = start; i < start + nr; i++)
			if (r->open & bits(i, 1))
				(void)try_row(r, i, 1);
	}
}

static void finish_run(struct run *r, struct vol_repair_result *out)
{
	unsigned lost = (unsigned)__builtin_popcountll(r->open);

	out->good = r->nr - lost;
	out->first_bad = 0;
	out->ret = 0;
	if (!lost)
		return;
	if (!r->j->hint)
		vol_count(r->j->v, vol_unreadable, lost);
	out->first_bad = (unsigned)__builtin_ctzll(r->open);
	if (r->nomem)
		out->ret = -ENOMEM;
	else if (r->lied >> out->first_bad & 1)
		out->ret = -EUCLEAN;
	else if (r->failed >> out->first_bad & 1)
		out->ret = -EIO;
	else
		out->ret = -ENXIO;
}

/* Says which copy was bad, once a run. */
static void say_bad(const struct run *r, unsigned first, int first_res)
{
	const struct vol_stripe *s = vol_span_stripe(r->span, first);
	char name[VOL_DEV_TEXT];

	msg_warn(r->j->v->msg, "logical %llu: %u unit%s of %u bytes on %s at %llu %s%s",
		 (unsigned long long)r->span->logical, r->nr, r->nr == 1 ? "" : "s", r->j->unit,
		 vol_dev_text(s->dev, name, sizeof(name)),
		 (unsigned long long)(s->physical + r->span->at.dev_off),
		 first_res ? "cannot be read" : "failed the check",
		 r->open ? "" : "; the others gave what was needed");
}

void vol_repair_run(const struct vol_judge *j, const struct vol_span *span, uint8_t *buf,
		    unsigned nr, unsigned first, int first_res, struct vol_repair_result *out)
{
	const struct raid_profile *p = span->chunk->profile;
	struct run r = {.j = j, .span = span, .buf = buf, .open = bits(0, nr), .nr = nr};
	bool passed_over = first_res == VOL_NOT_READ, bad;

	assert(nr && nr <= VOL_RUN_MAX && (uint64_t)nr * j->unit <= span->len);
	if (first_res == 0)
		r.lied = r.open;
	else if (first_res != -ENXIO && !passed_over)
		r.failed = r.open;
	bad = r.lied || r.failed;

	for (unsigned k = 1; k < p->copies && r.open; k++)
		try_copy(&r, (first + k) % p->copies, true);
	if (p->parity && r.open)
		try_parity(&r);
	if (r.open && (passed_over || first_res == -EIO))
		try_copy(&r, first, passed_over);

	if (!j->hint || !r.open) {
		if (bad)
			vol_count(j->v, vol_bad_copies, nr);
		if (first_res != -ENXIO && !passed_over)
			say_bad(&r, first, first_res);
	}
	finish_run(&r, out);
}

/*
 * A unit over the border of two stripes lies in two spans; in more only where chunks are tiny, and
 * never in more than a node has sectors.
 */
#define SPREAD_SPANS (BTRFS_MAX_METADATA_BLOCKSIZE / BTRFS_MIN_BLOCKSIZE)
/* Ways that are tried together, however many stripes a chunk names. */
#define SPREAD_TRIES 1024

struct spread_span {
	struct vol_span span;
	uint32_t pos;	       /* in the unit */
	unsigned ways;	       /* its copies; or its own stripe, and then the guesses */
	bool have_row;
	struct parity_row row; /* read once, for all guesses */
};

/* Cuts the unit into spans. 0, or -ENXIO. */
static int spread_begin(const struct vol_judge *j, uint64_t logical, struct spread_span *spans,
			unsigned *out_nr)
{
	uint32_t pos = 0;
	unsigned nr;

	for (nr = 0; pos < j->unit; nr++) {
		struct spread_span *s = &spans[nr];
		const struct raid_profile *p;

		if (nr == SPREAD_SPANS || vol_span_at(j->v, logical + pos, j->unit - pos, &s->span))
			return -ENXIO;
		p = s->span.chunk->profile;
		s->ways = p->parity ? 1 + parity_guesses(s->span.chunk) : p->copies;
		s->pos = pos;
		s->have_row = false;
		pos += (uint32_t)s->span.len;
	}
	*out_nr = nr;
	return 0;
}

static int read_way(struct spread_span *s, unsigned way, uint8_t *buf)
{
	int ret;

	if (!s->span.chunk->profile->parity || !way)
		return vol_span_read(&s->span, way, buf);
	if (!s->have_row) {
		ret = parity_row_begin(&s->row, &s->span);
		if (ret)
			return ret;
		s->have_row = true;
	}
	if (parity_row_solve(&s->row, way - 1, 0, buf, (uint32_t)s->span.len))
		return 0;
	return s->row.err ? s->row.err : -ENXIO;
}

/*
 * Reads the unit in the way of this number, which says in mixed radix how each span is read. 0, the
 * first error, or 1 if there are no more ways. *out_rebuilt: parity was of use.
 */
static int spread_read(struct spread_span *spans, unsigned nr, unsigned number, uint8_t *buf,
		       bool *out_rebuilt)
{
	int ret = 0;

	*out_rebuilt = false;
	for (unsigned i = 0; i < nr; i++) {
		unsigned way = number % spans[i].ways;

		number /= spans[i].ways;
		*out_rebuilt |= way && spans[i].span.chunk->profile->parity;
		if (!ret)
			ret = read_way(&spans[i], way, buf + spans[i].pos);
	}
	return number ? 1 : ret;
}

int vol_repair_spread(const struct vol_judge *j, uint64_t logical, uint8_t *buf, bool was_read)
{
	struct spread_span spans[SPREAD_SPANS];
	bool lied = was_read, failed = false, good = false, rebuilt;
	unsigned nr;
	int ret = spread_begin(j, logical, spans, &nr);

	if (ret)
		return ret;
	for (unsigned n = 0; n < SPREAD_TRIES && !good; n++) {
		ret = spread_read(spans, nr, n, buf, &rebuilt);
		if (ret == 1 || ret == -ENOMEM)
			break;
		good = !ret && vol_unit_is_good(j, logical, buf);
		lied |= !ret;
		failed |= ret == -EIO;
	}
	for (unsigned i = 0; i < nr; i++)
		if (spans[i].have_row)
			parity_row_end(&spans[i].row);
	if (good) {
		if (rebuilt)
			vol_count(j->v, vol_rebuilds, 1);
		return 0;
	}
	vol_count(j->v, vol_unreadable, 1);
	if (ret == -ENOMEM)
		return ret;
	return lied ? -EUCLEAN : failed ? -EIO : -ENXIO;
}
