// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Getting and putting metadata blocks.
 *
 * A block that one thread reads is waited for by the others, on its shard's condition. They share
 * its error too, unless their expectation is another than the reader's, or the reader only read
 * ahead: then they try for themselves.
 *
 * States, invariants and locks: eb_priv.h.
 */
#include "engine/cache/eb_priv.h"

#include <assert.h>

void eb_set_state(struct eb *eb, enum eb_state to)
{
	static const uint8_t from[] = {
		[EB_PRIVATE] = 1 << EB_NEW | 1 << EB_VALID | 1 << EB_DEAD,
		[EB_READING] = 1 << EB_PRIVATE,
		[EB_VALID] = 1 << EB_READING | 1 << EB_PRIVATE,
		[EB_DEAD] = 1 << EB_PRIVATE | 1 << EB_READING | 1 << EB_VALID,
	};

	assert(from[to] & 1 << atomic_load_explicit(&eb->state, memory_order_relaxed));
	(void)from;
	atomic_store_explicit(&eb->state, to, memory_order_release);
}

/* Blocks start at multiples of 4 KiB at least; the upper bits of the product are the well mixed
 * ones. */
static uint64_t hash(uint64_t logical)
{
	return (logical >> 12) * 0x9E3779B97F4A7C15ull;
}

struct shard *eb_shard(struct eb_cache *c, uint64_t logical)
{
	return &c->shards[hash(logical) >> (64 - SHARDS_LOG)];
}

static struct eb **bucket(struct eb_cache *c, struct shard *sh, uint64_t logical)
{
	return &sh->buckets[hash(logical) << SHARDS_LOG >> (64 - c->buckets_log)];
}

struct eb *eb_find_locked(struct eb_cache *c, struct shard *sh, uint64_t logical)
{
	struct eb *eb = *bucket(c, sh, logical);

	while (eb && eb->logical != logical)
		eb = eb->hash_next;
	return eb;
}

void eb_remove_locked(struct eb_cache *c, struct shard *sh, struct eb *eb)
{
	struct eb **p = bucket(c, sh, eb->logical);

	while (*p != eb)
		p = &(*p)->hash_next;
	*p = eb->hash_next;
}

void eb_insert_locked(struct eb_cache *c, struct shard *sh, struct eb *eb,
		      const struct btrfs_block_expect *expect, bool quiet)
{
	struct eb **head = bucket(c, sh, expect->logical);

	eb->logical = expect->logical;
	eb->expect = *expect;
	eb->quiet = quiet;
	eb->err = 0;
	atomic_store_explicit(&eb->used, 1, memory_order_relaxed);
	eb->hash_next = *head;
	*head = eb;
	eb_set_state(eb, EB_READING);
}

void eb_insert_new_locked(struct eb_cache *c, struct shard *sh, struct eb *eb)
{
	struct eb **head = bucket(c, sh, eb->logical);

	eb->err = 0;
	atomic_store_explicit(&eb->used, 1, memory_order_relaxed);
	eb->hash_next = *head;
	*head = eb;
	eb_set_state(eb, EB_VALID);
}

void eb_finish(struct eb *eb, int err)
{
	struct eb_cache *c = eb->cache;
	struct shard *sh = eb_shard(c, eb->logical);

	pthread_mutex_lock(&sh->lock);
	eb->err = err;
	if (err) {
		eb_remove_locked(c, sh, eb);
		eb_set_state(eb, EB_DEAD);
	} else {
		eb_set_state(eb, EB_VALID);
	}
	pthread_cond_broadcast(&sh->read_done);
	pthread_mutex_unlock(&sh->lock);
}

static bool same_expect(const struct btrfs_block_expect *a, const struct btrfs_block_expect *b)
{
	return a->generation == b->generation && a->owner == b->owner && a->level == b->level &&
	       a->have_first_key == b->have_first_key &&
	       (!a->have_first_key || !btrfs_key_cmp(&a->first_key, &b->first_key));
}

/*
 * A block that is in its bucket: waits until it is read. Drops the shard lock.
 * Return: 0; 1 (its reader failed, which says nothing about this caller: try again); -errno.
 */
static int join_unlock(struct eb_cache *c, struct shard *sh, struct eb *eb,
		       const struct btrfs_block_expect *expect)
{
	bool dead;
	int err;

	atomic_fetch_add(&eb->refs, 1);
	/* Written only when it changes: hot blocks are shared by all threads. */
	if (!atomic_load_explicit(&eb->used, memory_order_relaxed))
		atomic_store_explicit(&eb->used, 1, memory_order_relaxed);
	while (atomic_load_explicit(&eb->state, memory_order_relaxed) == EB_READING)
		pthread_cond_wait(&sh->read_done, &sh->lock);
	dead = atomic_load_explicit(&eb->state, memory_order_relaxed) == EB_DEAD;
	pthread_mutex_unlock(&sh->lock);

	if (dead)
		err = eb->quiet || !same_expect(&eb->expect, expect) ? 1 : eb->err;
	else
		err = eb_match(eb, expect);
	if (err)
		eb_put(eb);
	return err;
}

static int read_new(struct eb *eb)
{
	int err = eb_read(eb);

	eb_finish(eb, err);
	if (err)
		eb_put(eb);
	return err;
}

static int get(struct eb_cache *c, const struct btrfs_block_expect *expect, struct eb **spare,
	       struct eb **out_eb)
{
	struct shard *sh = eb_shard(c, expect->logical);
	struct eb *eb;
	int err;

	for (;;) {
		pthread_mutex_lock(&sh->lock);
		eb = eb_find_locked(c, sh, expect->logical);
		if (eb) {
			err = join_unlock(c, sh, eb, expect);
			if (err > 0)
				continue;
			if (!err)
				counter_inc(c->counters, cache_hits);
			break;
		}
		if (*spare) {
			eb = *spare;
			*spare = NULL;
			eb_insert_locked(c, sh, eb, expect, false);
			pthread_mutex_unlock(&sh->lock);
			err = read_new(eb);
			break;
		}
		pthread_mutex_unlock(&sh->lock);
		*spare = frame_get(c, true);
		if (!*spare)
			return -ENOMEM;
	}
	if (!err)
		*out_eb = eb;
	return err;
}

int eb_get(struct eb_cache *c, const struct btrfs_block_expect *expect, struct eb **out_eb)
{
	struct eb *spare = NULL;
	int err;

	*out_eb = NULL;
	err = get(c, expect, &spare, out_eb);
	if (spare)
		frame_drop(spare);
	return err;
}

void eb_put(struct eb *eb)
{
	struct eb_cache *c;
	unsigned was;

	if (!eb)
		return;
	c = eb->cache; /* the frame may be another's once the reference is gone */
	was = atomic_fetch_sub(&eb->refs, 1);
	assert(was);
	if (was == 1 && atomic_load(&c->frame_waiters)) {
		pthread_mutex_lock(&c->frame_lock);
		pthread_cond_broadcast(&c->frame_free);
		pthread_mutex_unlock(&c->frame_lock);
	}
}

void eb_ref(struct eb *eb)
{
	unsigned was = atomic_fetch_add(&eb->refs, 1);

	assert(was);
	(void)was;
}

const void *eb_data(const struct eb *eb)
{
	return eb->data;
}

uint64_t eb_logical(const struct eb *eb)
{
	return eb->logical;
}

struct vol *eb_cache_vol(const struct eb_cache *c)
{
	return c->vol;
}

struct btrfs_geometry *eb_cache_geometry(struct eb_cache *c)
{
	return &c->geo;
}
