// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Reading blocks into frames, and holding them against what is expected of them.
 *
 * The check is handed down to the volume, which tries the other copies until one passes. What the
 * first copy failed of is kept for the message. No locks are held here.
 */
#include "engine/cache/eb_priv.h"
#include "engine/util/fault.h"

#include <string.h>

struct judge {
	struct eb *eb;
	bool failed; /* some copy did; `first` says of what */
	struct btrfs_check_error first;
};

static bool judge_copy(void *arg, uint64_t logical, const void *buf, uint32_t unit)
{
	struct judge *j = arg;
	struct btrfs_check_error err;
	struct eb_cache *c = j->eb->cache;

	if (!btrfs_check_block(buf, &c->geo, &j->eb->expect, &err) || PLANTED("cache_no_check"))
		return true;
	if (!j->failed)
		j->first = err;
	j->failed = true;
	return false;
}

static int say_corrupt(const struct eb *eb, const struct btrfs_block_expect *e,
		       const struct btrfs_check_error *why)
{
	char buf[400];
	struct text t = TEXT_FIXED(buf);

	btrfs_check_error_to_text(&t, e->logical, why);
	return msg_corrupt(eb->cache->msg, "tree %llu: %s%s", (unsigned long long)e->owner,
			   text_done(&t),
			   why->transid ? ": written by another since it was mounted, or a write was lost" :
					  "");
}

static int say_failed(struct eb *eb, const struct judge *j, int err)
{
	const struct btrfs_block_expect *e = &eb->expect;

	if (err == -EUCLEAN && j->failed)
		return say_corrupt(eb, e, &j->first);
	msg_err(eb->cache->msg, "cannot read metadata block %llu (tree %llu, level %d): %s",
		(unsigned long long)e->logical, (unsigned long long)e->owner, e->level, strerror(-err));
	return err;
}

static void say_repaired(struct eb *eb, const struct judge *j)
{
	char buf[400];
	struct text t = TEXT_FIXED(buf);

	if (!j->failed)
		return;
	btrfs_check_error_to_text(&t, eb->expect.logical, &j->first);
	msg_warn(eb->cache->msg, "tree %llu: a bad copy was passed over: %s",
		 (unsigned long long)eb->expect.owner, text_done(&t));
}

static bool aligned(const struct eb_cache *c, uint64_t logical)
{
	/* So that a hash of its upper bits finds it, and direct I/O takes it. */
	return !(logical & (c->geo.sectorsize - 1));
}

int eb_read(struct eb *eb)
{
	struct eb_cache *c = eb->cache;
	uint64_t logical = eb->expect.logical;
	struct judge j = { .eb = eb };
	int err;

	if (!aligned(c, logical))
		return msg_corrupt(c->msg, "tree %llu: pointer to %llu, which is not at a sector",
				   (unsigned long long)eb->expect.owner,
				   (unsigned long long)logical);
	counter_inc(c->counters, cache_reads);
	err = vol_read(c->vol, logical, eb->data, c->nodesize, c->nodesize, judge_copy, &j, NULL);
	if (err)
		return say_failed(eb, &j, err);
	say_repaired(eb, &j);
	return 0;
}

int eb_match(const struct eb *eb, const struct btrfs_block_expect *expect)
{
	struct btrfs_check_error why;

	if (PLANTED("cache_no_match"))
		return 0;
	if (!btrfs_check_expected(eb->data, &eb->cache->geo, expect, &why))
		return 0;
	return say_corrupt(eb, expect, &why);
}

/* A frame for read-ahead of this block; NULL: it is there already, or no frame is to be had. */
static struct eb *prefetch_one(struct eb_cache *c, const struct btrfs_block_expect *expect)
{
	struct shard *sh = eb_shard(c, expect->logical);
	struct eb *eb, *there;

	if (!aligned(c, expect->logical))
		return NULL;
	pthread_mutex_lock(&sh->lock);
	there = eb_find_locked(c, sh, expect->logical);
	pthread_mutex_unlock(&sh->lock);
	if (there)
		return NULL;
	eb = frame_get(c, false);
	if (!eb)
		return NULL;
	pthread_mutex_lock(&sh->lock);
	there = eb_find_locked(c, sh, expect->logical);
	if (!there)
		eb_insert_locked(c, sh, eb, expect, true);
	pthread_mutex_unlock(&sh->lock);
	if (there) {
		frame_drop(eb);
		return NULL;
	}
	return eb;
}

/* Read-ahead never takes more than a quarter of the frames, all calls together. */
static unsigned prefetch_reserve(struct eb_cache *c, unsigned nr)
{
	unsigned limit = c->frames / 4;
	unsigned was = atomic_load(&c->prefetching), take;

	do {
		take = was >= limit ? 0 : limit - was;
		if (take > nr)
			take = nr;
	} while (take && !atomic_compare_exchange_weak(&c->prefetching, &was, was + take));
	return take;
}

void eb_prefetch(struct eb_cache *c, const struct btrfs_block_expect *expects, unsigned nr)
{
	struct vol_io ios[EB_PREFETCH_MAX];
	struct judge judges[EB_PREFETCH_MAX];
	unsigned reserved, n = 0;

	reserved = prefetch_reserve(c, nr < EB_PREFETCH_MAX ? nr : EB_PREFETCH_MAX);
	for (unsigned i = 0; i < nr && n < reserved; i++) {
		struct eb *eb = prefetch_one(c, &expects[i]);

		if (!eb)
			continue;
		judges[n] = (struct judge){ .eb = eb };
		ios[n] = (struct vol_io){ .logical = expects[i].logical,
					  .buf = eb->data,
					  .len = c->nodesize,
					  .unit = c->nodesize,
					  .verify = judge_copy,
					  .arg = &judges[n],
					  /* A pointer read in a tree that changes may be out of date. */
					  .hint = true,
					  .res = -EIO };
		n++;
	}
	if (n) {
		int err = vol_read_many(c->vol, ios, n);

		(void)err; /* each has its own in .res, -EIO if it was not come to */
		counter_add(c->counters, cache_reads, n);
	}
	for (unsigned i = 0; i < n; i++) {
		if (!ios[i].res)
			say_repaired(judges[i].eb, &judges[i]);
		eb_finish(judges[i].eb, ios[i].res);
		eb_put(judges[i].eb);
	}
	atomic_fetch_sub(&c->prefetching, reserved);
}
