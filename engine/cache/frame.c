// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Frames: one mapping, one array of descriptors, and the CLOCK hand that finds room in them.
 *
 * The hand passes each frame at most twice: once to take its `used` mark away, once to take the
 * frame. Over dirty frames it goes by a bitmap, 64 at a time: there may be nothing else. A getter
 * that finds every frame referenced waits for eb_put. The wake-up is not lost: the waiter counts
 * itself before it looks at any refs, the putter drops its reference before it looks at the count
 * (both sequentially consistent), and then has to pass frame_lock, which the waiter holds from its
 * look until it sleeps.
 *
 * States, invariants and locks: eb_priv.h.
 */
#include "engine/cache/eb_priv.h"
#include "engine/util/fault.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

/* Read-ahead beyond the paths of the users. */
#define SPARE_FRAMES 16
#define MAX_FRAMES (1u << 30)

uint64_t frame_cost(uint32_t nodesize)
{
	/* The descriptor and up to two bucket heads are paid from the cap too. */
	return nodesize + sizeof(struct eb) + 2 * sizeof(struct eb *);
}

uint64_t eb_cache_min_bytes(uint32_t nodesize, unsigned threads)
{
	uint64_t frames = 2ull * BTRFS_MAX_LEVEL * (threads ? threads : 1) + SPARE_FRAMES;

	return frames * frame_cost(nodesize);
}

static int alloc_frames(struct eb_cache *c)
{
	size_t buckets;

	c->buckets_log = 1;
	while ((uint64_t)SHARDS << (c->buckets_log + 1) <= c->frames)
		c->buckets_log++;
	buckets = (size_t)SHARDS << c->buckets_log;
	c->ebs = eng_calloc(c->frames, sizeof(*c->ebs));
	c->buckets = eng_calloc(buckets, sizeof(*c->buckets));
	if (!c->ebs || !c->buckets || fault_hit(FAULT_ALLOC))
		return -ENOMEM;
	c->mem_bytes = (size_t)c->frames * c->nodesize;
	c->mem = mmap(NULL, c->mem_bytes, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (c->mem == MAP_FAILED) {
		c->mem = NULL;
		return -ENOMEM;
	}
	return 0;
}

int eb_cache_create(struct vol *v, uint64_t cap_bytes, unsigned threads,
		    struct eb_cache **out_cache)
{
	const struct btrfs_geometry *geo = vol_geometry(v);
	uint64_t min = eb_cache_min_bytes(geo->nodesize, threads);
	uint64_t frames = cap_bytes / frame_cost(geo->nodesize);
	pthread_mutexattr_t spin;
	struct eb_cache *c;

	*out_cache = NULL;
	if (cap_bytes < min) {
		msg_err(vol_msg(v),
			"metadata cache of %llu bytes is too small: %u threads and nodes of %u "
			"bytes "
			"need at least %llu",
			(unsigned long long)cap_bytes, threads, geo->nodesize,
			(unsigned long long)min);
		return -EINVAL;
	}
	c = eng_memalign(_Alignof(struct eb_cache), sizeof(*c));
	if (!c)
		return -ENOMEM;
	memset(c, 0, sizeof(*c));
	c->vol = v;
	c->msg = vol_msg(v);
	c->counters = vol_counters(v);
	c->geo = *geo;
	c->nodesize = geo->nodesize;
	c->frames = frames < MAX_FRAMES ? (uint32_t)frames : MAX_FRAMES;
	pthread_mutex_init(&c->frame_lock, NULL);
	pthread_cond_init(&c->frame_free, NULL);
	/* A shard's lock is held for nanoseconds, and the root's is everybody's: spin first. */
	pthread_mutexattr_init(&spin);
	pthread_mutexattr_settype(&spin, PTHREAD_MUTEX_ADAPTIVE_NP);
	for (unsigned i = 0; i < SHARDS; i++) {
		pthread_mutex_init(&c->shards[i].lock, &spin);
		pthread_cond_init(&c->shards[i].read_done, NULL);
	}
	pthread_mutexattr_destroy(&spin);
	if (alloc_frames(c)) {
		eb_cache_destroy(c);
		return -ENOMEM;
	}
	for (unsigned i = 0; i < SHARDS; i++)
		c->shards[i].buckets = c->buckets + ((size_t)i << c->buckets_log);
	*out_cache = c;
	return 0;
}

void eb_cache_destroy(struct eb_cache *c)
{
	if (!c)
		return;
	while (c->pool) {
		struct eb *eb = c->pool;

		c->pool = eb->hash_next;
		frame_drop(eb);
	}
	for (uint32_t i = 0; i < c->touched; i++)
		assert(!c->ebs[i].refs);
	for (uint32_t i = 0; c->sides && i < c->frames; i++)
		pthread_rwlock_destroy(&c->sides[i].lock);
	free(c->sides);
	free(c->busy);
	for (unsigned i = 0; i < SHARDS; i++) {
		pthread_cond_destroy(&c->shards[i].read_done);
		pthread_mutex_destroy(&c->shards[i].lock);
	}
	pthread_cond_destroy(&c->frame_free);
	pthread_mutex_destroy(&c->frame_lock);
	if (c->mem)
		munmap(c->mem, c->mem_bytes);
	free(c->buckets);
	free(c->ebs);
	free(c);
}

void eb_cache_stats(struct eb_cache *c, struct eb_cache_stats *out_stats)
{
	*out_stats = (struct eb_cache_stats){ .frames = c->frames };
	pthread_mutex_lock(&c->frame_lock);
	out_stats->touched = c->touched;
	for (uint32_t i = 0; i < c->touched; i++) {
		out_stats->cached += c->ebs[i].state == EB_VALID;
		out_stats->referenced += c->ebs[i].refs > 0;
	}
	for (struct eb *eb = c->pool; eb; eb = eb->hash_next)
		out_stats->referenced--;
	pthread_mutex_unlock(&c->frame_lock);
}

void frames_shrink(struct eb_cache *c, uint32_t frames)
{
	size_t keep = (size_t)frames * c->nodesize;

	for (uint32_t i = frames; i < c->touched; i++) {
		struct eb *eb = &c->ebs[i];

		assert(!atomic_load(&eb->refs));
		if (atomic_load(&eb->state) == EB_VALID)
			eb_kill_locked(c, eb_shard(c, eb->logical), eb);
	}
	c->frames = frames;
	c->touched = c->touched < frames ? c->touched : frames;
	c->hand = 0;
	/* Whole pages; nodes are. */
	if (!munmap(c->mem + keep, c->mem_bytes - keep))
		c->mem_bytes = keep;
}

/* VALID → PRIVATE, unless somebody has got it meanwhile. */
static bool evict_locked(struct eb_cache *c, struct eb *eb)
{
	struct shard *sh = eb_shard(c, eb->logical);
	bool taken = false;

	pthread_mutex_lock(&sh->lock);
	/* DEAD by now if somebody forgot it. */
	if (atomic_load(&eb->state) == EB_VALID &&
	    (!atomic_load(&eb->refs) || PLANTED("cache_evict_referenced"))) {
		eb_remove_locked(c, sh, eb);
		eb_set_state(eb, EB_PRIVATE);
		atomic_store(&eb->refs, 1);
		taken = true;
	}
	pthread_mutex_unlock(&sh->lock);
	if (taken)
		counter_inc(c->counters, cache_evictions);
	return taken;
}

/* Looks at one frame: true if it is ours now. */
static bool try_take_locked(struct eb_cache *c, struct eb *eb)
{
	if (atomic_load(&eb->refs) && !PLANTED("cache_evict_referenced"))
		return false;
	switch (atomic_load(&eb->state)) {
	case EB_DEAD:
		eb_set_state(eb, EB_PRIVATE);
		atomic_store(&eb->refs, 1);
		return true;
	case EB_VALID:
		if (atomic_exchange(&eb->used, 0))
			return false;
		return evict_locked(c, eb);
	default:
		return false; /* its reader's */
	}
}

/* The first frame from `i` on that is neither dirty nor being written, or what is past the last. */
static uint32_t skip_busy(struct eb_cache *c, uint32_t i)
{
	while (i < c->frames) {
		uint64_t word = atomic_load_explicit(&c->busy[i / 64], memory_order_relaxed);
		uint64_t idle = ~word >> i % 64;

		if (idle)
			return i + (uint32_t)__builtin_ctzll(idle);
		i = (i / 64 + 1) * 64;
	}
	return i;
}

static struct eb *take_locked(struct eb_cache *c)
{
	if (c->pool) {
		struct eb *eb = c->pool;

		c->pool = eb->hash_next;
		return eb;
	}
	if (c->touched < c->frames) {
		struct eb *eb = &c->ebs[c->touched];

		eb->cache = c;
		eb->data = c->mem + (size_t)c->touched++ * c->nodesize;
		eb_set_state(eb, EB_PRIVATE);
		atomic_store(&eb->refs, 1);
		return eb;
	}
	/* Each of them twice: once to take its mark away. */
	for (unsigned rounds = 0; rounds <= 2;) {
		if (c->busy)
			c->hand = skip_busy(c, c->hand);
		if (c->hand >= c->frames) {
			c->hand = 0;
			rounds++;
		} else if (try_take_locked(c, &c->ebs[c->hand++])) {
			return &c->ebs[c->hand - 1];
		}
	}
	return NULL;
}

static struct timespec later(unsigned ms)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_sec += ms / 1000;
	ts.tv_nsec += ms % 1000 * 1000000l;
	if (ts.tv_nsec >= 1000000000l) {
		ts.tv_sec++;
		ts.tv_nsec -= 1000000000l;
	}
	return ts;
}

/* All may be dirty: it takes somebody who writes. */
static struct eb *press_locked(struct eb_cache *c)
{
	if (c->pressure) {
		pthread_mutex_unlock(&c->frame_lock);
		c->pressure(c->pressure_arg);
		pthread_mutex_lock(&c->frame_lock);
	}
	return take_locked(c);
}

static struct eb *wait_locked(struct eb_cache *c)
{
	struct timespec until;
	struct eb *eb = NULL;

	counter_inc(c->counters, cache_waits);
	atomic_fetch_add(&c->frame_waiters, 1);
	for (unsigned ms = 0; !eb && ms < FRAME_WAIT_MS; ms += FRAME_SLICE_MS) {
		int err = 0;

		until = later(FRAME_SLICE_MS);
		while (!(eb = take_locked(c)) && !err)
			err = pthread_cond_clockwait(&c->frame_free, &c->frame_lock,
						     CLOCK_MONOTONIC, &until);
		/* What was held or locked then may be writable now. */
		if (!eb)
			eb = press_locked(c);
	}
	atomic_fetch_sub(&c->frame_waiters, 1);
	return eb;
}

struct eb *frame_get(struct eb_cache *c, bool wait)
{
	struct eb *eb;

	pthread_mutex_lock(&c->frame_lock);
	eb = take_locked(c);
	if (!eb && wait && c->pressure)
		eb = press_locked(c);
	if (!eb && wait)
		eb = wait_locked(c);
	pthread_mutex_unlock(&c->frame_lock);
	if (!eb && wait)
		msg_err(c->msg, "metadata cache: all %u frames in use for %u seconds", c->frames,
			FRAME_WAIT_MS / 1000);
	return eb;
}

void frame_drop(struct eb *eb)
{
	eb_set_state(eb, EB_DEAD);
	eb_put(eb);
}
