// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * See simdisk.h. Reading, writing, flushing and failing; what becomes of it in a crash is in
 * simdisk_crash.c.
 *
 * Invariant: `now` is `durable` with the pending writes applied in order.
 */
#include "tests/lib/simdisk_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t sim_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

uint64_t sim_below(uint64_t *state, uint64_t n)
{
	return (sim_random(state) >> 11) % n;
}

uint64_t sim_seed(uint64_t a, uint64_t b)
{
	uint64_t x = (a + 1) * 0x9e3779b97f4a7c15ull ^ (b + 1) * 0xc2b2ae3d27d4eb4full;

	x ^= x >> 31;
	return x ? x : 1;
}

void simdisk_pend_put(struct pend *w)
{
	if (atomic_fetch_sub(&w->refs, 1) == 1)
		free(w);
}

/* The errors that the disk has for an operation, or 0. */
static int fault(struct simdisk *d, const struct member *m, enum simdisk_op op, uint64_t off,
		 uint64_t len)
{
	if (++d->count[op] == d->fail_at[op])
		return -EIO;
	if (m->gone)
		return -ENODEV;
	if (op == SIMDISK_FLUSH)
		return 0;
	for (unsigned i = 0; i < d->nr_bad; i++) {
		const struct bad *b = &d->bad[i];

		if (b->disk == m->index && off < b->end && b->off < off + len &&
		    (op == SIMDISK_READ ? b->reads : b->writes))
			return -EIO;
	}
	return 0;
}

static int member_read(void *priv, uint64_t off, void *buf, uint32_t len)
{
	struct member *m = priv;
	int ret;

	pthread_mutex_lock(&m->d->lock);
	ret = fault(m->d, m, SIMDISK_READ, off, len);
	if (!ret)
		pages_read(&m->now, off, buf, len);
	pthread_mutex_unlock(&m->d->lock);
	return ret;
}

static void add_pending(struct simdisk *d, struct member *m, uint64_t off, const void *buf,
			uint64_t len)
{
	struct pend *w = blk_must(malloc(sizeof(*w) + (buf ? len : 0)));

	atomic_init(&w->refs, 1);
	w->disk = m->index;
	w->off = off;
	w->len = len;
	w->discard = !buf;
	if (buf)
		memcpy(w->data, buf, len);
	if (d->nr_pending == d->max_pending) {
		d->max_pending = d->max_pending ? 2 * d->max_pending : 64;
		d->pending = blk_must(realloc(d->pending, d->max_pending * sizeof(*d->pending)));
	}
	d->pending[d->nr_pending++] = (struct pend_ref){ .w = w };
	if (buf)
		pages_write(&m->now, off, buf, (uint32_t)len);
	else
		pages_zero(&m->now, off, len);
	d->time++;
	simdisk_track_locked(d);
}

static int member_write(void *priv, uint64_t off, const void *buf, uint32_t len)
{
	struct member *m = priv;
	int ret;

	pthread_mutex_lock(&m->d->lock);
	ret = fault(m->d, m, SIMDISK_WRITE, off, len);
	if (ret == -EIO)
		len = len / 2 / SECTOR * SECTOR;
	if (len && ret != -ENODEV)
		add_pending(m->d, m, off, buf, len);
	pthread_mutex_unlock(&m->d->lock);
	return ret;
}

static int member_discard(void *priv, uint64_t off, uint64_t len)
{
	struct member *m = priv;

	pthread_mutex_lock(&m->d->lock);
	if (!m->gone)
		add_pending(m->d, m, off, NULL, len);
	pthread_mutex_unlock(&m->d->lock);
	return m->gone ? -ENODEV : 0;
}

/* Takes what became durable out of the list. */
static void settle(struct simdisk *d, struct member *m)
{
	unsigned left = 0;
	bool doomed = false;

	for (unsigned i = 0; i < d->nr_pending; i++) {
		struct pend_ref *p = &d->pending[i];

		if (p->w->disk == m->index && !p->doomed) {
			/* Once one is doomed `now` is not what is durable. */
			if (doomed && p->w->discard)
				pages_zero(&m->durable, p->w->off, p->w->len);
			else if (doomed)
				pages_write(&m->durable, p->w->off, p->w->data, (uint32_t)p->w->len);
			simdisk_pend_put(p->w);
			continue;
		}
		if (p->w->disk == m->index)
			doomed = true;
		d->pending[left++] = *p;
	}
	d->nr_pending = left;
}

static bool any_doomed(const struct simdisk *d, unsigned disk)
{
	for (unsigned i = 0; i < d->nr_pending; i++)
		if (d->pending[i].doomed && d->pending[i].w->disk == disk)
			return true;
	return false;
}

static int member_flush(void *priv)
{
	struct member *m = priv;
	struct simdisk *d = m->d;
	int ret;

	pthread_mutex_lock(&d->lock);
	ret = fault(d, m, SIMDISK_FLUSH, 0, 0);
	for (unsigned i = 0; ret && i < d->nr_pending; i++)
		if (d->pending[i].w->disk == m->index)
			d->pending[i].doomed = true;
	if (!ret && !any_doomed(d, m->index)) {
		pages_free(&m->durable);
		pages_copy(&m->now, &m->durable);
	}
	if (!ret)
		settle(d, m);
	pthread_mutex_unlock(&d->lock);
	return ret;
}

static const struct bdev_ops member_ops = {
	.read = member_read,
	.write = member_write,
	.flush = member_flush,
	.discard = member_discard,
};

struct simdisk *simdisk_create(unsigned nr, const uint64_t *bytes)
{
	struct simdisk *d = blk_must(calloc(1, sizeof(*d)));

	pthread_mutex_init(&d->lock, NULL);
	d->nr = nr;
	for (unsigned i = 0; i < nr; i++) {
		struct member *m = &d->members[i];

		m->d = d;
		m->index = i;
		snprintf(m->name, sizeof(m->name), "sim%u", i);
		m->blk = (struct blk){ &member_ops, m, bytes[i], m->name };
		pages_init(&m->now, bytes[i]);
		pages_init(&m->durable, bytes[i]);
	}
	return d;
}

void simdisk_destroy(struct simdisk *d)
{
	if (!d)
		return;
	simdisk_track(d, 0, 0, 0, 0);
	for (unsigned i = 0; i < d->nr_pending; i++)
		simdisk_pend_put(d->pending[i].w);
	for (unsigned i = 0; i < d->nr; i++) {
		pages_free(&d->members[i].now);
		pages_free(&d->members[i].durable);
	}
	free(d->pending);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

unsigned simdisk_nr(const struct simdisk *d)
{
	return d->nr;
}

const struct blk *simdisk_blk(struct simdisk *d, unsigned i)
{
	return &d->members[i].blk;
}

uint64_t simdisk_now(struct simdisk *d)
{
	uint64_t now;

	pthread_mutex_lock(&d->lock);
	now = d->time;
	pthread_mutex_unlock(&d->lock);
	return now;
}

void simdisk_fail(struct simdisk *d, enum simdisk_op op, uint64_t nth)
{
	pthread_mutex_lock(&d->lock);
	d->fail_at[op] = nth ? d->count[op] + nth : 0;
	pthread_mutex_unlock(&d->lock);
}

uint64_t simdisk_count(struct simdisk *d, enum simdisk_op op)
{
	uint64_t count;

	pthread_mutex_lock(&d->lock);
	count = d->count[op];
	pthread_mutex_unlock(&d->lock);
	return count;
}

void simdisk_bad(struct simdisk *d, unsigned i, uint64_t off, uint64_t len, bool reads, bool writes)
{
	pthread_mutex_lock(&d->lock);
	if (d->nr_bad == BAD_MAX)
		abort();
	d->bad[d->nr_bad++] = (struct bad){ i, off, off + len, reads, writes };
	pthread_mutex_unlock(&d->lock);
}

void simdisk_vanish(struct simdisk *d, unsigned i)
{
	pthread_mutex_lock(&d->lock);
	d->members[i].gone = true;
	pthread_mutex_unlock(&d->lock);
}
