// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Streams: noticing sequential reading, reading ahead of it, and keeping decompressed extents.
 *
 * Words: a *buffer* holds bytes of one stream: a *chunk* is a stretch of the file read ahead, a *kept
 * extent* is a whole decompressed one of which only a part was wanted. A *run* is a reading forward, as
 * seen through several threads whose requests overtake each other by a little.
 *
 * Life of a chunk, under the lock:
 *   QUEUED --chunk_claim: a worker, or a reader that needs it at once--> READING --chunk_fill--> READY
 * Its job in the pool holds a reference until it was entered, whoever filled the chunk.
 *
 * Invariants:
 * 1. A buffer with references is not freed. One that is `dead` is on no list and goes with its last one.
 * 2. A buffer is on the lru ⇔ it is READY and not dead. Only what is on the lru without references is
 *    taken from its stream for another, and only after IDLE_SEC.
 * 3. readahead.used counts the bytes of all buffers and of the spares; it never passes the cap.
 * 4. Chunks of a stream do not overlap and ascend in its list.
 *
 * Locks: readahead.lock alone guards all streams' lists; never held over a read, a copy or a pool call.
 */
#include "engine/file/fread_priv.h"
#include "engine/util/fault.h"

#include <bsd/sys/queue.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CHUNK_BYTES (512u << 10)
#define WINDOW_MAX (4u << 20)
/* A run is a run after so many bytes one behind the other. */
#define RUN_BYTES (64u << 10)
/* How far a request may be ahead of the others, or behind them, and still be of the run. */
#define RUN_AHEAD (1u << 20)
#define RUN_BEHIND (2u << 20)
#define KEPT_EXTENTS 4
#define IDLE_SEC 1

enum buf_state {
	QUEUED,
	READING,
	READY,
};

struct stream_buf {
	struct pool_job job;
	struct fread_stream *s;
	TAILQ_ENTRY(stream_buf) of_stream, of_lru;
	enum buf_state state;
	bool is_chunk, dead;
	unsigned refs;
	uint64_t off;             /* chunk: in the file */
	uint32_t len;             /* bytes wanted of the file */
	uint32_t got;             /* bytes there */
	uint32_t given;           /* bytes that readers took */
	struct fext ext;          /* kept extent */
	time_t used_sec;
	uint32_t size;            /* of data */
	uint8_t *data;
};

TAILQ_HEAD(buf_list, stream_buf);

struct spare {
	struct spare *next;
};

struct readahead {
	pthread_mutex_t lock;
	pthread_cond_t ready;     /* some chunk became READY, or a job was entered */
	uint64_t cap, used;
	struct buf_list lru;
	struct spare *spares;     /* chunk-sized memory, to not have the kernel clear it each time */
};

struct fread_stream {
	struct fread_src src;
	struct readahead *ra;
	struct buf_list chunks, kept;
	unsigned kept_nr;
	unsigned jobs;            /* submitted or to be, and not yet entered or not yet filled */
	uint64_t run_end;         /* where the run's furthest request ended */
	uint64_t run_bytes;       /* of the run, one behind the other */
	uint64_t ahead_end;       /* where the next chunk starts */
	uint32_t window;          /* bytes to be ahead of run_end; 0: not reading ahead */
};

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

static void buf_unref_locked(struct stream_buf *b)
{
	if (!--b->refs && b->dead)
		buf_free_locked(b);
}

/* Takes it off all lists: nobody finds it any more. */
static void buf_kill_locked(struct stream_buf *b)
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

static void buf_ready_locked(struct stream_buf *b)
{
	b->state = READY;
	b->used_sec = now_sec();
	if (!b->dead)
		TAILQ_INSERT_TAIL(&b->s->ra->lru, b, of_lru);
}

/* Takes a reference on a buffer that is found again. */
static void buf_use_locked(struct stream_buf *b)
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

/* A buffer with one reference, on no list. NULL: no budget or no memory. */
static struct stream_buf *buf_new_locked(struct fread_stream *s, uint32_t size)
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

/* ---- chunks ---- */

static bool chunk_claim_locked(struct stream_buf *c)
{
	if (c->state != QUEUED || c->dead)
		return false;
	c->state = READING;
	return true;
}

/* Reads a claimed chunk. Errors are the reader's to meet when he comes there: he reads it himself. */
static void chunk_fill(struct stream_buf *c)
{
	struct fread_stream *s = c->s;
	int64_t got = fread_range(&s->src, NULL, c->off, c->data, c->len, c->size);

	counter_add(&s->src.fs->counters, file_readahead_bytes, got > 0 ? (uint64_t)got : 0);
	pthread_mutex_lock(&s->ra->lock);
	c->got = got > 0 ? (uint32_t)got : 0;
	buf_ready_locked(c);
	pthread_cond_broadcast(&s->ra->ready);
	pthread_mutex_unlock(&s->ra->lock);
}

static void chunk_job(struct pool_job *job)
{
	struct stream_buf *c = (struct stream_buf *)((char *)job - offsetof(struct stream_buf, job));
	struct fread_stream *s = c->s;
	struct readahead *ra = s->ra;
	bool mine;

	pthread_mutex_lock(&ra->lock);
	mine = chunk_claim_locked(c);
	pthread_mutex_unlock(&ra->lock);
	if (mine)
		chunk_fill(c);
	pthread_mutex_lock(&ra->lock);
	buf_unref_locked(c);
	s->jobs--;
	pthread_cond_broadcast(&ra->ready);
	pthread_mutex_unlock(&ra->lock);
}

/* The chunk that holds `off`, or NULL; then *out_next is where the next one starts, or UINT64_MAX. */
static struct stream_buf *chunk_find_locked(struct fread_stream *s, uint64_t off, uint64_t *out_next)
{
	struct stream_buf *c;

	*out_next = UINT64_MAX;
	TAILQ_FOREACH(c, &s->chunks, of_stream) {
		if (off < c->off) {
			*out_next = c->off;
			return NULL;
		}
		if (off < c->off + c->len)
			return c;
	}
	return NULL;
}

/* Drops what the run left behind, or all of it. */
static void chunks_drop_locked(struct fread_stream *s, uint64_t behind)
{
	struct stream_buf *c, *next;

	for (c = TAILQ_FIRST(&s->chunks); c; c = next) {
		next = TAILQ_NEXT(c, of_stream);
		if (c->off + c->len <= behind)
			buf_kill_locked(c);
	}
}

/* ---- the run ---- */

static void run_note_locked(struct fread_stream *s, uint64_t off, uint64_t end)
{
	if (off > s->run_end + RUN_AHEAD || end + RUN_BEHIND < s->run_end) {
		s->run_end = end;
		s->run_bytes = 0;
		s->window = 0;
		chunks_drop_locked(s, UINT64_MAX);
	} else if (end > s->run_end) {
		if (off <= s->run_end)
			s->run_bytes += end - s->run_end;
		s->run_end = end;
	}
}

static uint32_t window_max(const struct fread_stream *s)
{
	uint64_t share = s->ra->cap / 4;

	return share < WINDOW_MAX ? (uint32_t)share : WINDOW_MAX;
}

static void window_grow_locked(struct fread_stream *s)
{
	uint32_t max = window_max(s);

	s->window = s->window < max / 2 ? s->window * 2 : max;
}

/* Adds chunks up to the window's end: a list by job.next, to be submitted without the lock. */
static struct pool_job *plan_ahead_locked(struct fread_stream *s)
{
	struct pool_job *first = NULL, **last = &first;
	uint64_t want;

	if (s->run_bytes < RUN_BYTES || !s->src.fs->pool || !pool_threads(s->src.fs->pool))
		return NULL;
	if (!s->window) {
		s->window = CHUNK_BYTES;
		s->ahead_end = 0;
	}
	if (s->run_end > RUN_BEHIND)
		chunks_drop_locked(s, s->run_end - RUN_BEHIND);
	if (s->ahead_end < s->run_end)
		s->ahead_end = s->run_end & ~(uint64_t)(s->src.fs->sectorsize - 1);
	want = s->run_end + s->window;
	if (want > s->src.size)
		want = s->src.size;
	while (s->ahead_end < want) {
		/* Ends are multiples, as compressed extents mostly start at some. */
		uint64_t end = (s->ahead_end / CHUNK_BYTES + 1) * CHUNK_BYTES;
		struct stream_buf *c = buf_new_locked(s, CHUNK_BYTES);

		if (!c)
			break;
		if (end > s->src.size)
			end = s->src.size;
		c->is_chunk = true;
		c->off = s->ahead_end;
		c->len = (uint32_t)(end - c->off);
		c->job.fn = chunk_job;
		/* buf_new's reference is the job's. */
		TAILQ_INSERT_TAIL(&s->chunks, c, of_stream);
		s->jobs++;
		s->ahead_end = end;
		*last = &c->job;
		last = &c->job.next;
	}
	return first;
}

static void submit(struct fread_stream *s, struct pool_job *job)
{
	while (job) {
		struct pool_job *next = job->next;

		job->next = NULL;
		pool_submit(s->src.fs->pool, job);
		job = next;
	}
}

/* ---- reading ---- */

int fread_open(struct fs *fs, const struct root *root, uint64_t ino, const struct ino_attr *attr,
	       struct fread_stream **out_stream)
{
	struct fread_stream *s = eng_zalloc(sizeof(*s));

	*out_stream = NULL;
	if (!s)
		return -ENOMEM;
	fread_src_init(&s->src, fs, root, ino, attr);
	s->ra = fs->readahead;
	TAILQ_INIT(&s->chunks);
	TAILQ_INIT(&s->kept);
	*out_stream = s;
	return 0;
}

/*
 * Copies from the chunk, once it is ready; the caller's reference is put. Returns the bytes, 0 if the chunk
 * has none from `off` on. Lock held on entry and exit.
 */
static size_t chunk_take(struct fread_stream *s, struct stream_buf *c, uint64_t off, uint8_t *buf,
			 size_t len)
{
	struct readahead *ra = s->ra;
	size_t have = 0;

	if (chunk_claim_locked(c)) {
		pthread_mutex_unlock(&ra->lock);
		chunk_fill(c);
		pthread_mutex_lock(&ra->lock);
	}
	while (c->state != READY)
		pthread_cond_wait(&ra->ready, &ra->lock);
	if (off < c->off + c->got)
		have = (size_t)(c->off + c->got - off);
	if (have > len)
		have = len;
	if (have) {
		pthread_mutex_unlock(&ra->lock);
		memcpy(buf, c->data + (off - c->off), have);
		pthread_mutex_lock(&ra->lock);
	}
	c->given += (uint32_t)have;
	if (c->given >= c->len) {
		if (!c->dead)
			window_grow_locked(s);
		buf_kill_locked(c);
	}
	buf_unref_locked(c);
	return have;
}

static int64_t read_with_ahead(struct fread_stream *s, uint64_t off, uint8_t *buf, size_t len, size_t room)
{
	struct readahead *ra = s->ra;
	struct pool_job *jobs;
	size_t done = 0;
	int64_t err = 0;

	pthread_mutex_lock(&ra->lock);
	run_note_locked(s, off, off + len);
	jobs = plan_ahead_locked(s);
	if (jobs) {
		pthread_mutex_unlock(&ra->lock);
		submit(s, jobs);
		pthread_mutex_lock(&ra->lock);
	}
	while (done < len && !err) {
		uint64_t pos = off + done, next;
		struct stream_buf *c = chunk_find_locked(s, pos, &next);
		size_t want = len - done, got = 0;

		if (c) {
			if (want > c->off + c->len - pos)
				want = (size_t)(c->off + c->len - pos);
			buf_use_locked(c);
			got = chunk_take(s, c, pos, buf + done, want);
		} else if (next - pos < want) {
			want = (size_t)(next - pos);
		}
		if (!got) {
			/* Up to the file's end the buffer's whole room may be used. */
			size_t span = done + want == len ? room - done : want;

			pthread_mutex_unlock(&ra->lock);
			err = fread_range(&s->src, s, pos, buf + done, want, span);
			pthread_mutex_lock(&ra->lock);
			got = err > 0 ? (size_t)err : 0;
			/* Less than asked: what comes next is bad. */
			err = got < want ? (got ? -EIO : err) : 0;
		}
		done += got;
	}
	pthread_mutex_unlock(&ra->lock);
	return done ? (int64_t)done : err;
}

int64_t fread_read(struct fread_stream *s, uint64_t off, void *buf, size_t len)
{
	uint64_t left;

	if (off >= s->src.size || !len)
		return 0;
	left = s->src.size - off;
	if (s->ra)
		return read_with_ahead(s, off, buf, len < left ? len : (size_t)left, len);
	return fread_range(&s->src, NULL, off, buf, len < left ? len : (size_t)left, len);
}

void fread_close(struct fread_stream *s)
{
	struct readahead *ra;

	if (!s)
		return;
	ra = s->ra;
	if (ra) {
		pthread_mutex_lock(&ra->lock);
		chunks_drop_locked(s, UINT64_MAX);
		while (!TAILQ_EMPTY(&s->kept))
			buf_kill_locked(TAILQ_FIRST(&s->kept));
		while (s->jobs)
			pthread_cond_wait(&ra->ready, &ra->lock);
		pthread_mutex_unlock(&ra->lock);
	}
	free(s);
}
