// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The buffers of streams: the budget that all share, and the decompressed extents that each keeps.
 * Invariants and locks: stream_priv.h.
 */
#include "engine/file/stream_priv.h"
#include "engine/util/fault.h"

#include <stdlib.h>
#include <string.h>

#define KEPT_EXTENTS 4
/* A buffer that its stream did not touch for so long may go to another. */
#define IDLE_SEC 1

int readahead_create(uint64_t cap, struct readahead **out_ra)
{
	struct readahead *ra = eng_zalloc(sizeof(*ra));

	*out_ra = NULL;
	if (!ra)
		return -ENOMEM;
	pthread_mutex_init(&ra->lock, NULL);
	pthread_cond_init(&ra->ready, NULL);
	ra->cap = cap;
	TAILQ_INIT(&ra->lru);
	*out_ra = ra;
	return 0;
}

static bool spare_free_locked(struct readahead *ra)
{
	struct spare *spare = ra->spares;

	if (!spare)
		return false;
	ra->spares = spare->next;
	ra->used -= CHUNK_BYTES;
	free(spare);
	return true;
}

void readahead_destroy(struct readahead *ra)
{
	if (!ra)
		return;
	while (spare_free_locked(ra))
		;
	pthread_cond_destroy(&ra->ready);
	pthread_mutex_destroy(&ra->lock);
	free(ra);
}

uint64_t readahead_used(struct readahead *ra)
{
	uint64_t used;

	pthread_mutex_lock(&ra->lock);
	used = ra->used;
	pthread_mutex_unlock(&ra->lock);
	return used;
}

static time_t now_sec(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return ts.tv_sec;
}

/* ---- buffers ---- */

static void buf_free_locked(struct stream_buf *b)
{
	struct readahead *ra = b->s->ra;

	if (b->size == CHUNK_BYTES) {
		struct spare *spare = (struct spare *)b->data;

		spare->next = ra->spares;
		ra->spares = spare;
	} else {
		ra->used -= b->size;
		free(b->data);
	}
	free(b);
}

void buf_unref_locked(struct stream_buf *b)
{
	if (!--b->refs && b->dead)
		buf_free_locked(b);
}

void buf_kill_locked(struct stream_buf *b)
{
	struct fread_stream *s = b->s;

	if (b->dead)
		return;
	b->dead = true;
	if (b->state == READY)
		TAILQ_REMOVE(&s->ra->lru, b, of_lru);
	if (b->is_chunk) {
		TAILQ_REMOVE(&s->chunks, b, of_stream);
		if (b->state == READY && b->got > b->given)
			counter_add(&s->src.fs->counters, file_readahead_wasted, b->got - b->given);
	} else {
		TAILQ_REMOVE(&s->kept, b, of_stream);
		s->kept_nr--;
	}
	if (!b->refs)
		buf_free_locked(b);
}

void buf_ready_locked(struct stream_buf *b)
{
	b->state = READY;
	b->used_sec = now_sec();
	if (!b->dead)
		TAILQ_INSERT_TAIL(&b->s->ra->lru, b, of_lru);
}

void buf_use_locked(struct stream_buf *b)
{
	b->refs++;
	if (b->state == READY) {
		b->used_sec = now_sec();
		TAILQ_REMOVE(&b->s->ra->lru, b, of_lru);
		TAILQ_INSERT_TAIL(&b->s->ra->lru, b, of_lru);
	}
}

/* Makes room for `size` more bytes: from what other streams have left lying, then from the spares. */
static bool budget_locked(struct readahead *ra, uint32_t size)
{
	time_t now = 0;

	while (ra->used + size > ra->cap && !PLANTED("readahead_no_cap")) {
		struct stream_buf *oldest = TAILQ_FIRST(&ra->lru);

		if (spare_free_locked(ra))
			continue;
		if (!now)
			now = now_sec();
		if (!oldest || oldest->refs || now - oldest->used_sec <= IDLE_SEC)
			return false;
		buf_kill_locked(oldest);
	}
	ra->used += size;
	return true;
}

struct stream_buf *buf_new_locked(struct fread_stream *s, uint32_t size)
{
	struct readahead *ra = s->ra;
	struct stream_buf *b = eng_zalloc(sizeof(*b));

	if (!b)
		return NULL;
	b->s = s;
	b->size = size;
	b->refs = 1;
	if (size == CHUNK_BYTES && ra->spares) {
		b->data = (uint8_t *)ra->spares;
		ra->spares = ra->spares->next;
		return b;
	}
	if (budget_locked(ra, size)) {
		b->data = eng_memalign(BDEV_ALIGN, size);
		if (b->data)
			return b;
		ra->used -= size;
	}
	free(b);
	return NULL;
}

/* ---- kept extents ---- */

static bool same_extent(const struct fext *a, const struct fext *b)
{
	return a->disk_logical == b->disk_logical && a->disk_len == b->disk_len &&
	       a->ram_bytes == b->ram_bytes && a->compression == b->compression;
}

uint8_t *stream_buf_data(const struct stream_buf *b)
{
	return b->data;
}

static struct stream_buf *kept_find_locked(struct fread_stream *s, const struct fext *ext)
{
	struct stream_buf *b;

	TAILQ_FOREACH(b, &s->kept, of_stream)
		if (same_extent(&b->ext, ext))
			return b;
	return NULL;
}

struct stream_buf *stream_ext_get(struct fread_stream *s, const struct fext *ext)
{
	struct stream_buf *b;

	pthread_mutex_lock(&s->ra->lock);
	b = kept_find_locked(s, ext);
	if (b)
		buf_use_locked(b);
	pthread_mutex_unlock(&s->ra->lock);
	return b;
}

struct stream_buf *stream_ext_new(struct fread_stream *s, const struct fext *ext)
{
	struct stream_buf *b;

	pthread_mutex_lock(&s->ra->lock);
	if (s->kept_nr >= KEPT_EXTENTS)
		buf_kill_locked(TAILQ_FIRST(&s->kept));
	b = buf_new_locked(s, (uint32_t)ext->ram_bytes);
	pthread_mutex_unlock(&s->ra->lock);
	if (b) {
		b->ext = *ext;
		b->ext.inline_data = NULL;
		b->state = READING;
	}
	return b;
}

void stream_ext_put(struct stream_buf *b, bool keep)
{
	struct fread_stream *s = b->s;
	struct readahead *ra = s->ra;

	pthread_mutex_lock(&ra->lock);
	if (b->state == READING) {
		/* Another thread may have done the same meanwhile. */
		if (keep && !kept_find_locked(s, &b->ext)) {
			TAILQ_INSERT_TAIL(&s->kept, b, of_stream);
			s->kept_nr++;
			buf_ready_locked(b);
		} else {
			b->dead = true;
		}
	}
	buf_unref_locked(b);
	pthread_mutex_unlock(&ra->lock);
}
