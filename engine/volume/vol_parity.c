// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Rebuilding one data column of a raid5/6 row.
 *
 * With D[t] the wanted column and everything else read, let
 *   sp = P + sum of D[i], i != t         sq = Q + sum of 2^i D[i], i != t
 * If nothing else is wrong, D[t] = sp, and D[t] = sq / 2^t. If column x is wrong as well, whatever
 * was read for it (nothing at all counts as zeros), then D[t] = (sq + 2^x sp) / (2^t + 2^x) Which
 * of them holds is not known when a device lies rather than fails: each is a guess, and the
 * caller's verify decides. Guess 0 uses P, 1 uses Q, 2 and up P and Q with x the columns but t.
 *
 * Memory: two sums and PARITY_BATCH buffers, however many devices a chunk names.
 */
#include "engine/volume/vol_priv.h"

#include "engine/util/fault.h"

#include <stdlib.h>
#include <string.h>

#define PARITY_BATCH 8

static unsigned target(const struct parity_row *row)
{
	return row->span->at.column;
}

static const struct vol_stripe *row_stripe(const struct parity_row *row, unsigned column)
{
	const struct vol_chunk *c = row->span->chunk;

	return &c->stripes[raid_row_stripe(c->num_stripes, row->span->at.row, column)];
}

/* A column was read, or not (buf is NULL): into the sums with it. */
static void take_column(struct parity_row *row, unsigned column, const uint8_t *buf)
{
	const struct vol_chunk *c = row->span->chunk;

	if (column == c->data_stripes) {
		row->have_p = buf != NULL;
		if (buf)
			raid_gf_add(row->sp, buf, 1, row->len);
	} else if (column == c->data_stripes + 1) {
		row->have_q = buf != NULL;
		if (buf)
			raid_gf_add(row->sq, buf, 1, row->len);
	} else if (!buf) {
		row->lost_columns++;
		row->lost_column = column;
	} else {
		raid_gf_add(row->sp, buf, 1, row->len);
		if (c->profile->parity > 1)
			raid_gf_add(row->sq, buf, raid_gf_exp(column), row->len);
	}
}

/* Reads columns [from, to) but the target, a batch at a time. */
static void read_columns(struct parity_row *row, unsigned from, unsigned to)
{
	struct bdev_xfer x[PARITY_BATCH];
	unsigned columns[PARITY_BATCH];
	unsigned column = from;

	while (column < to) {
		struct bdev_batch b;
		unsigned nr = 0;

		bdev_batch_begin(&b);
		for (; column < to && nr < PARITY_BATCH; column++) {
			const struct vol_stripe *s = row_stripe(row, column);

			if (column == target(row))
				continue;
			if (!s->dev->bdev) {
				take_column(row, column, NULL);
				continue;
			}
			x[nr] = (struct bdev_xfer){
				.dev = s->dev->bdev,
				.off = s->physical + row->span->at.dev_off,
				.buf = row->bufs + (size_t)nr * row->len,
				.len = row->len,
			};
			columns[nr] = column;
			bdev_batch_add(&b, &x[nr++]);
		}
		(void)bdev_batch_wait(&b); /* each transfer is looked at */
		for (unsigned i = 0; i < nr; i++) {
			if (x[i].res)
				row->err = -EIO;
			take_column(row, columns[i], x[i].res ? NULL : x[i].buf);
		}
	}
}

int parity_row_begin(struct parity_row *row, const struct vol_span *span)
{
	const struct vol_chunk *c = span->chunk;
	unsigned bufs = c->num_stripes < PARITY_BATCH ? c->num_stripes : PARITY_BATCH;
	uint8_t *mem;

	memset(row, 0, sizeof(*row));
	row->span = span;
	row->len = (uint32_t)span->len;
	mem = eng_memalign(BDEV_ALIGN, (size_t)row->len * (bufs + 2));
	if (!mem)
		return -ENOMEM;
	row->bufs = mem;
	row->sp = mem + (size_t)bufs * row->len;
	row->sq = row->sp + row->len;
	memset(row->sp, 0, 2 * (size_t)row->len);
	/* Q, the last column, waits until it is needed. */
	read_columns(row, 0, c->data_stripes + 1);
	return 0;
}

void parity_row_end(struct parity_row *row)
{
	free(row->bufs);
}

unsigned parity_guesses(const struct vol_chunk *c)
{
	return c->profile->parity > 1 ? 2 + (c->data_stripes - 1) : 1;
}

/* The multiples of sp and sq that guess `n` adds up; false if it needs what is not there. */
static bool guess(struct parity_row *row, unsigned n, uint8_t *out_p, uint8_t *out_q)
{
	unsigned t = target(row), x;
	uint8_t sum;

	*out_p = 0;
	*out_q = 0;
	if (n == 0) {
		*out_p = 1;
		return row->have_p && !row->lost_columns;
	}
	if (n == 1) {
		*out_q = raid_gf_inv(raid_gf_exp(t));
		return row->have_q && !row->lost_columns;
	}
	x = n - 2 < t ? n - 2 : n - 1;
	if (!row->have_p || !row->have_q || row->lost_columns > 1 ||
	    (row->lost_columns && row->lost_column != x))
		return false;
	sum = raid_gf_exp(t) ^ raid_gf_exp(x);
	if (!sum)
		return false; /* more columns than the field has elements */
	*out_q = raid_gf_inv(sum);
	*out_p = raid_gf_mul(*out_q, raid_gf_exp(x));
	return true;
}

bool parity_row_solve(struct parity_row *row, unsigned n, uint32_t off, uint8_t *buf, uint32_t len)
{
	unsigned q = row->span->chunk->data_stripes + 1;
	uint8_t p_coef, q_coef;

	if (n && !row->q_read) {
		row->q_read = true;
		read_columns(row, q, q + 1);
	}
	if (!guess(row, n, &p_coef, &q_coef))
		return false;
	memset(buf, 0, len);
	raid_gf_add(buf, row->sp + off, p_coef, len);
	raid_gf_add(buf, row->sq + off, q_coef, len);
	return true;
}
