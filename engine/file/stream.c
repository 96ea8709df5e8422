// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Streams: noticing sequential reading, and reading ahead of it.
 *
 * Life of a chunk, under the lock:
 *   QUEUED --chunk_claim: a worker, or a reader that needs it at once--> READING --chunk_fill--> READY
 * Its job in the pool holds a reference until it ends, whoever filled the chunk. A reader that meets a
 * chunk without the bytes it wants (they are bad) reads for itself, and gets the error first hand.
 *
 * Words, invariants and locks: stream_priv.h.
 */
#include "engine/file/stream_priv.h"
#include "engine/util/fault.h"

#include <stdlib.h>
#include <string.h>

#define WINDOW_MAX (4u << 20)
/* A run is a run after so many bytes one behind the other. */
#define RUN_BYTES (64u << 10)
/* How far a request may be ahead of the others, or behind them, and still be of the run. */
#define RUN_AHEAD (1u << 20)
#define RUN_BEHIND (2u << 20)

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

/* Drops a run's chunks that end at or before `behind`. */
static void run_drop_locked(struct fread_stream *s, const struct stream_run *run, uint64_t behind)
{
	struct stream_buf *c, *next;

	for (c = TAILQ_FIRST(&s->chunks); c; c = next) {
		next = TAILQ_NEXT(c, of_stream);
		if (c->run == run && c->off + c->len <= behind)
			buf_kill_locked(c);
	}
}

/* ---- runs ---- */

/* Which of two runs is given up first: reads at random places must not end a reading in order. */
static bool run_less(const struct stream_run *a, const struct stream_run *b)
{
	if (!a->window != !b->window)
		return !a->window;
	return a->used < b->used;
}

/* The run that a request belongs to: one that it continues, or the one least worth, begun anew. */
static struct stream_run *run_find_locked(struct fread_stream *s, uint64_t off, uint64_t end)
{
	struct stream_run *least = &s->runs[0], *near = NULL;

	for (int i = 0; i < STREAM_RUNS; i++) {
		struct stream_run *run = &s->runs[i];

		if (run_less(run, least))
			least = run;
		if (!run->used || off > run->end + RUN_AHEAD || end + RUN_BEHIND < run->end)
			continue;
		/* Where two runs are near each other, the one that it follows at once. */
		if (!near || off == run->end)
			near = run;
	}
	if (near)
		return near;
	run_drop_locked(s, least, UINT64_MAX);
	/* A file is often read from its start; anywhere else the second request tells. */
	*least = (struct stream_run){ .end = off ? end : 0 };
	return least;
}

static struct stream_run *run_note_locked(struct fread_stream *s, uint64_t off, uint64_t end)
{
	struct stream_run *run = run_find_locked(s, off, end);

	run->used = ++s->requests;
	if (end > run->end) {
		if (off <= run->end)
			run->bytes += end - run->end;
		run->end = end;
	}
	return run;
}

static uint32_t window_max(const struct fread_stream *s)
{
	uint64_t share = s->ra->cap / 4;

	return share < WINDOW_MAX ? (uint32_t)share : WINDOW_MAX;
}

static void window_grow_locked(struct fread_stream *s, struct stream_run *run)
{
	uint32_t max = window_max(s);

	run->window = run->window < max / 2 ? run->window * 2 : max;
}

/*
 * Adds the chunk that starts at run->ahead_end, or moves that behind one of another run that is there.
 * NULL: neither, or no budget.
 */
static struct stream_buf *chunk_add_locked(struct fread_stream *s, struct stream_run *run)
{
	/* Ends are multiples, as compressed extents mostly start at some. */
	uint64_t end = (run->ahead_end / CHUNK_BYTES + 1) * CHUNK_BYTES, next;
	struct stream_buf *there = chunk_find_locked(s, run->ahead_end, &next), *c, *after;

	if (there) {
		run->ahead_end = there->off + there->len;
		return NULL;
	}
	c = buf_new_locked(s, CHUNK_BYTES);
	if (!c)
		return NULL;
	if (end > s->src.size)
		end = s->src.size;
	if (end > next)
		end = next;
	c->is_chunk = true;
	c->run = run;
	c->off = run->ahead_end;
	c->len = (uint32_t)(end - c->off);
	c->job.fn = chunk_job;
	run->ahead_end = end;
	/* buf_new's reference is the job's. */
	s->jobs++;
	TAILQ_FOREACH(after, &s->chunks, of_stream)
		if (after->off > c->off)
			break;
	if (after)
		TAILQ_INSERT_BEFORE(after, c, of_stream);
	else
		TAILQ_INSERT_TAIL(&s->chunks, c, of_stream);
	return c;
}

/* Adds chunks up to the window's end: a list by job.next, to be submitted without the lock. */
static struct pool_job *plan_ahead_locked(struct fread_stream *s, struct stream_run *run)
{
	struct pool_job *first = NULL, **last = &first;
	uint64_t want;

	if (run->bytes < RUN_BYTES || !s->src.fs->pool || !pool_threads(s->src.fs->pool))
		return NULL;
	if (!run->window)
		run->window = CHUNK_BYTES;
	if (run->end > RUN_BEHIND)
		run_drop_locked(s, run, run->end - RUN_BEHIND);
	if (run->ahead_end < run->end)
		run->ahead_end = run->end & ~(uint64_t)(s->src.fs->sectorsize - 1);
	want = run->end + run->window;
	if (want > s->src.size)
		want = s->src.size;
	while (run->ahead_end < want) {
		uint64_t before = run->ahead_end;
		struct stream_buf *c = chunk_add_locked(s, run);

		if (run->ahead_end == before)
			break;
		if (!c)
			continue;
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
			window_grow_locked(s, c->run);
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
	jobs = plan_ahead_locked(s, run_note_locked(s, off, off + len));
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
		while (!TAILQ_EMPTY(&s->chunks))
			buf_kill_locked(TAILQ_FIRST(&s->chunks));
		while (!TAILQ_EMPTY(&s->kept))
			buf_kill_locked(TAILQ_FIRST(&s->kept));
		while (s->jobs)
			pthread_cond_wait(&ra->ready, &ra->lock);
		pthread_mutex_unlock(&ra->lock);
	}
	free(s);
}
