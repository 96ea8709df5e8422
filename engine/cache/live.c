// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Buffers of trees that change: their locks, spares, new buffers, copies, forgetting.
 *
 * Spares given back stay PRIVATE, in a pool that frame_get empties first: a search takes a dozen of
 * them and mostly uses none, and must not push as many clean blocks out each time.
 *
 * A write lock knows its holder, for assertions: by the address of a variable of the thread.
 *
 * States, invariants and locks: eb_priv.h.
 */
#include "engine/cache/eb_priv.h"
#include "engine/util/fault.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static uint64_t live_cost(uint32_t nodesize)
{
	/* And its bit. */
	return frame_cost(nodesize) + sizeof(struct eb_side) + 1;
}

/*
 * What cannot be taken from a thread: the spares of a search, and its path with a neighbour on
 * either side. The rest is clean or can be written (eb_live.h). Nothing is counted for blocks that
 * handles hold: the more there is beyond this, the less often a hold has to be ended.
 */
static uint64_t min_frames(unsigned threads, unsigned height)
{
	uint64_t a_thread = (4ull * height + 2) + (height + 2ull);

	/* And for reading ahead, and what is on its way to the disk. */
	return a_thread * (threads ? threads : 1) + 16;
}

uint64_t eb_cache_min_bytes_live(uint32_t nodesize, unsigned threads, unsigned height)
{
	/* One that rounding may lose. */
	return (min_frames(threads, height) + 1) * live_cost(nodesize);
}

int eb_cache_enable_writes(struct eb_cache *c, unsigned threads, unsigned height)
{
	uint64_t cap = c->frames * frame_cost(c->nodesize);
	uint64_t frames = cap / live_cost(c->nodesize);
	pthread_rwlockattr_t attr;

	assert(!c->sides && !c->pool);
	if (frames < min_frames(threads, height)) {
		msg_err(c->msg,
			"metadata cache of %llu bytes is too small to write: %u threads and %u "
			"levels of nodes of %u bytes need at least %llu",
			(unsigned long long)cap, threads, height, c->nodesize,
			(unsigned long long)eb_cache_min_bytes_live(c->nodesize, threads, height));
		return -EINVAL;
	}
	c->sides = eng_calloc(frames, sizeof(*c->sides));
	c->busy = eng_calloc(frames / 64 + 1, sizeof(*c->busy));
	if (!c->sides || !c->busy) {
		free(c->sides);
		free(c->busy);
		c->sides = NULL;
		c->busy = NULL;
		return -ENOMEM;
	}
	frames_shrink(c, (uint32_t)frames);
	pthread_rwlockattr_init(&attr);
	/* Readers come all the time at the top of a tree: a writer would never get in. */
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	for (uint32_t i = 0; i < c->frames; i++) {
		pthread_rwlock_init(&c->sides[i].lock, &attr);
		c->sides[i].eb = &c->ebs[i];
	}
	pthread_rwlockattr_destroy(&attr);
	/* With room for the checks that add to it. */
	c->geo.generation = UINT64_MAX - 16;
	return 0;
}

void eb_cache_set_chunk_uuid(struct eb_cache *c, const uint8_t uuid[BTRFS_UUID_SIZE])
{
	memcpy(c->chunk_tree_uuid, uuid, BTRFS_UUID_SIZE);
}

const uint8_t *eb_cache_chunk_uuid(const struct eb_cache *c)
{
	return c->chunk_tree_uuid;
}

void eb_cache_on_pressure(struct eb_cache *c, void (*fn)(void *arg), void *arg)
{
	c->pressure = fn;
	c->pressure_arg = arg;
}

/* ---- spares ---- */

static void spare_push(struct eb_spares *s, struct eb *eb)
{
	eb->hash_next = s->head;
	s->head = eb;
	s->nr++;
}

static struct eb *spare_pop(struct eb_spares *s)
{
	struct eb *eb = s->head;

	assert(eb);
	s->head = eb->hash_next;
	s->nr--;
	return eb;
}

int eb_spares_fill(struct eb_cache *c, struct eb_spares *s, unsigned nr)
{
	assert(nr <= EB_SPARES_MAX);
	while (s->nr < nr) {
		struct eb *eb = frame_get(c, false);

		if (!eb) {
			counter_inc(c->counters, cache_spare_waits);
			eb = frame_get(c, true);
		}
		if (!eb)
			return -ENOMEM;
		spare_push(s, eb);
	}
	return 0;
}

void eb_spares_release(struct eb_cache *c, struct eb_spares *s)
{
	if (!s->nr)
		return;
	pthread_mutex_lock(&c->frame_lock);
	while (s->nr) {
		struct eb *eb = spare_pop(s);

		eb->hash_next = c->pool;
		c->pool = eb;
	}
	if (atomic_load(&c->frame_waiters))
		pthread_cond_broadcast(&c->frame_free);
	pthread_mutex_unlock(&c->frame_lock);
}

/* ---- getting ---- */

/* A block in its bucket: waits until it is read. Drops the shard lock. False: its reader failed. */
static bool join_unlock(struct shard *sh, struct eb *eb)
{
	bool valid;

	atomic_fetch_add(&eb->refs, 1);
	if (!atomic_load_explicit(&eb->used, memory_order_relaxed))
		atomic_store_explicit(&eb->used, 1, memory_order_relaxed);
	while (atomic_load_explicit(&eb->state, memory_order_relaxed) == EB_READING)
		pthread_cond_wait(&sh->read_done, &sh->lock);
	/* DEAD also if it was forgotten while we waited; a caller that is not stale looks again. */
	valid = atomic_load_explicit(&eb->state, memory_order_relaxed) == EB_VALID;
	pthread_mutex_unlock(&sh->lock);
	if (!valid)
		eb_put(eb);
	return valid;
}

int eb_get_live(struct eb_cache *c, const struct btrfs_block_expect *expect, enum eb_how how,
		struct eb_spares *s, struct eb **out_eb)
{
	struct shard *sh = eb_shard(c, expect->logical);
	struct eb *eb;
	int err;

	*out_eb = NULL;
	for (;;) {
		pthread_mutex_lock(&sh->lock);
		eb = eb_find_locked(c, sh, expect->logical);
		if (!eb)
			break;
		if (join_unlock(sh, eb)) {
			counter_inc(c->counters, cache_hits);
			*out_eb = eb;
			return 0;
		}
	}
	if (how == EB_CACHED) {
		pthread_mutex_unlock(&sh->lock);
		return 1;
	}
	eb = spare_pop(s);
	eb_insert_locked(c, sh, eb, expect, true);
	pthread_mutex_unlock(&sh->lock);
	err = eb_read(eb);
	eb_finish(eb, err);
	if (err)
		eb_put(eb);
	else
		*out_eb = eb;
	return err;
}

bool eb_alive(const struct eb *eb)
{
	return atomic_load(&eb->state) == EB_VALID;
}

bool eb_in_use(struct eb_cache *c, uint64_t logical)
{
	struct shard *sh = eb_shard(c, logical);
	bool in_use = false;
	struct eb *eb;

	pthread_mutex_lock(&sh->lock);
	eb = eb_find_locked(c, sh, logical);
	if (eb && eb_alive(eb))
		in_use = eb_locked_by_me(eb) || atomic_load(&eb_side(eb)->state) != EB_CLEAN;
	pthread_mutex_unlock(&sh->lock);
	return in_use;
}

int eb_check(const struct eb *eb, const struct btrfs_block_expect *expect)
{
	return eb_match(eb, expect);
}

void eb_kill_locked(struct eb_cache *c, struct shard *sh, struct eb *eb)
{
	eb_remove_locked(c, sh, eb);
	eb_set_state(eb, EB_DEAD);
}

/* Whatever is in the cache at this address is of a block that was freed, or of a reader that is
 * late. */
static void insert_new(struct eb_cache *c, struct eb *eb)
{
	struct shard *sh = eb_shard(c, eb->logical);
	struct eb *old;

	pthread_mutex_lock(&sh->lock);
	while ((old = eb_find_locked(c, sh, eb->logical))) {
		if (atomic_load(&old->state) == EB_READING) {
			atomic_fetch_add(&old->refs, 1);
			pthread_cond_wait(&sh->read_done, &sh->lock);
			pthread_mutex_unlock(&sh->lock);
			eb_put(old);
			pthread_mutex_lock(&sh->lock);
			continue;
		}
		/* What is to be written yet has its address pinned, whichever transaction's. */
		assert(atomic_load(&eb_side(old)->state) == EB_CLEAN);
		eb_kill_locked(c, sh, old);
	}
	eb_insert_new_locked(c, sh, eb);
	pthread_mutex_unlock(&sh->lock);
}

struct eb *eb_new(struct eb_cache *c, struct eb_spares *s, uint64_t logical, uint64_t generation,
		  uint64_t owner, int level)
{
	struct eb *eb = spare_pop(s);
	struct btrfs_header *h = (struct btrfs_header *)eb->data;

	assert(!(logical & (c->geo.sectorsize - 1)));
	eb_lock_write(eb);
	assert(atomic_load(&eb_side(eb)->state) == EB_CLEAN && !(uint32_t)eb_side(eb)->held);
	memset(eb->data, 0, c->nodesize);
	memcpy(h->fsid, c->geo.fsid, sizeof(h->fsid));
	memcpy(h->chunk_tree_uuid, c->chunk_tree_uuid, sizeof(h->chunk_tree_uuid));
	h->bytenr = le64_make(logical);
	h->flags = le64_make((uint64_t)BTRFS_MIXED_BACKREF_REV << BTRFS_BACKREF_REV_SHIFT);
	h->generation = le64_make(generation);
	h->owner = le64_make(owner);
	h->level = (uint8_t)level;
	eb->logical = logical;
	insert_new(c, eb);
	return eb;
}

struct eb *eb_copy(const struct eb *eb, struct eb_spares *s)
{
	struct eb *copy = spare_pop(s);
	uint32_t nr = btrfs_header_nritems(eb->data), all = eb->cache->nodesize;
	uint32_t front = all, back = all;

	/* Every read of a leaf that may change copies it: not what lies between headers and data. */
	if (!btrfs_header_level(eb->data)) {
		front = (uint32_t)(sizeof(struct btrfs_header) + nr * sizeof(struct btrfs_item));
		if (nr)
			back = (uint32_t)sizeof(struct btrfs_header) +
			       btrfs_item_offset(eb->data, nr - 1);
	}
	assert(front <= back && back <= all);
	memcpy(copy->data, eb->data, front);
	memcpy(copy->data + back, eb->data + back, all - back);
	copy->logical = eb->logical;
	return copy;
}

void eb_copy_put(struct eb *copy)
{
	struct eb_spares s = { 0 };

	spare_push(&s, copy);
	eb_spares_release(copy->cache, &s);
}

void eb_forget(struct eb *eb)
{
	struct eb_cache *c = eb->cache;
	struct shard *sh = eb_shard(c, eb->logical);
	struct eb_side *side = eb_side(eb);
	bool listed = false;

	assert(eb_locked_by_me(eb));
	side_end_holds(side);
	if (side->list) {
		struct eb_dirty *d = side->list;

		pthread_mutex_lock(&d->lock);
		side_unlist_locked(side, EB_CLEAN);
		pthread_mutex_unlock(&d->lock);
		listed = true;
	}
	pthread_mutex_lock(&sh->lock);
	if (atomic_load(&eb->state) == EB_VALID)
		eb_kill_locked(c, sh, eb);
	pthread_mutex_unlock(&sh->lock);
	if (listed)
		eb_put(eb);
}

void eb_retire(struct eb *eb, uint64_t generation)
{
	if (atomic_load(&eb_side(eb)->state) == EB_CLEAN ||
	    btrfs_header_generation(eb->data) >= generation || PLANTED("bt_cow_forgets_dirty")) {
		eb_forget(eb);
		return;
	}
	/* Its address is pinned until `generation` is durable: no eb_new meets it unwritten. */
	atomic_store_explicit(&eb->used, 0, memory_order_relaxed);
}

/* ---- locks ---- */

static uintptr_t me(void)
{
	static _Thread_local char mark;

	return (uintptr_t)&mark;
}

bool eb_locked_by_me(const struct eb *eb)
{
	return atomic_load_explicit(&eb_side(eb)->writer, memory_order_relaxed) == me();
}

void eb_lock_read(struct eb *eb)
{
	int err = pthread_rwlock_rdlock(&eb_side(eb)->lock);

	assert(!err);
	(void)err;
}

void eb_lock_write(struct eb *eb)
{
	int err = pthread_rwlock_wrlock(&eb_side(eb)->lock);

	assert(!err);
	(void)err;
	atomic_store_explicit(&eb_side(eb)->writer, me(), memory_order_relaxed);
}

bool eb_trylock_write(struct eb *eb)
{
	if (pthread_rwlock_trywrlock(&eb_side(eb)->lock))
		return false;
	atomic_store_explicit(&eb_side(eb)->writer, me(), memory_order_relaxed);
	return true;
}

void eb_unlock_read(struct eb *eb)
{
	pthread_rwlock_unlock(&eb_side(eb)->lock);
}

void eb_unlock_write(struct eb *eb)
{
	assert(eb_locked_by_me(eb));
	atomic_store_explicit(&eb_side(eb)->writer, 0, memory_order_relaxed);
	pthread_rwlock_unlock(&eb_side(eb)->lock);
}
