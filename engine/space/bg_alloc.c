// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The allocator: picks a place for an extent.
 *
 * Data goes on where its owner's hint, or else the last data, ended. Metadata goes into a cluster,
 * a stretch that was free when it was chosen, so that blocks written together lie together; a
 * cluster reserves nothing, it only says where to look first. When no group has room: the chunk row
 * once, then half as much, down to the least that will do.
 *
 * Invariants: 1. Free space, the group's counters and the space_info's change under the group's
 * lock, the last two under the space_info's too: a group that is read-only, or gone, is seen to be
 * so. 2. On failure nothing was moved.
 *
 * Locks: one group's at a time. cluster_lock alone.
 */
#include "engine/space/bg_priv.h"
#include "engine/space/space_priv.h"

#define CLUSTER_MAX (2ULL << 20)
#define CLUSTER_MIN (64ULL << 10)

struct search {
	struct bg_index *idx;
	const struct bg_request *req;
	struct space_info *si;
	uint64_t bytes; /* to be taken */
	uint64_t run;	/* free bytes that must be there */
	uint64_t found;
};

/* Takes s->bytes at the start of a free run of at least s->run bytes in [from, to) of the group. */
static bool try_group(struct search *s, struct block_group *bg, uint64_t from, uint64_t to)
{
	uint64_t promised = s->req->promised ? s->req->promised : s->bytes;
	struct space_info *si = s->si;
	bool got;

	if (bg->si != si)
		return false;
	pthread_mutex_lock(&bg->lock);
	got = free_space_find(bg->free, s->run, from, to, &s->found);
	if (got) {
		pthread_mutex_lock(&si->lock);
		got = !bg->ro && !bg->removed;
		if (got) {
			bg->reserved += s->bytes;
			space_alloc_locked(si, promised, s->bytes);
		}
		pthread_mutex_unlock(&si->lock);
	}
	if (got)
		free_space_remove(bg->free, s->found, s->bytes);
	pthread_mutex_unlock(&bg->lock);
	return got;
}

/* All groups from the hint on, then those below it, and what the hint's own has below. */
static bool try_groups(struct search *s, uint64_t hint)
{
	struct block_group *bg = bg_get(s->idx, hint);
	uint64_t next = hint, end;
	bool got = false;

	if (bg) {
		next = bg->start + bg->len;
		got = try_group(s, bg, hint, UINT64_MAX);
		bg_put(bg);
	}
	for (unsigned lap = 0; !got && lap < 2; lap++) {
		while (!got && (bg = bg_next(s->idx, next))) {
			end = bg->start + bg->len;
			if (lap && bg->start > hint) {
				bg_put(bg);
				break;
			}
			got = try_group(s, bg, bg->start, UINT64_MAX);
			bg_put(bg);
			next = end;
		}
		next = 0;
	}
	return got;
}

static bool try_cluster(struct search *s, struct bg_cluster *cluster)
{
	struct bg_index *idx = s->idx;
	struct block_group *bg;
	struct bg_cluster c;
	bool got;

	pthread_mutex_lock(&idx->cluster_lock);
	c = *cluster;
	pthread_mutex_unlock(&idx->cluster_lock);
	if (c.end - c.start < s->bytes)
		return false;
	bg = bg_get(idx, c.start);
	if (!bg)
		return false;
	s->run = s->bytes;
	got = try_group(s, bg, c.start, c.end);
	bg_put(bg);
	pthread_mutex_lock(&idx->cluster_lock);
	/* Somebody may have chosen another meanwhile. */
	if (cluster->end == c.end)
		cluster->start = got && s->found + s->bytes > cluster->start ? s->found + s->bytes
									     : cluster->start;
	if (!got && cluster->end == c.end)
		cluster->end = cluster->start;
	pthread_mutex_unlock(&idx->cluster_lock);
	return got;
}

static bool place_metadata(struct search *s)
{
	struct bg_cluster *cluster = &s->idx->clusters[bg_kind(s->si->flags)];
	uint64_t hint;

	if (try_cluster(s, cluster))
		return true;
	pthread_mutex_lock(&s->idx->cluster_lock);
	hint = s->req->hint ? s->req->hint : cluster->start;
	pthread_mutex_unlock(&s->idx->cluster_lock);
	for (s->run = CLUSTER_MAX; s->run >= CLUSTER_MIN && s->run > s->bytes; s->run /= 2) {
		if (!try_groups(s, hint))
			continue;
		pthread_mutex_lock(&s->idx->cluster_lock);
		cluster->start = s->found + s->bytes;
		cluster->end = s->found + s->run;
		pthread_mutex_unlock(&s->idx->cluster_lock);
		return true;
	}
	s->run = s->bytes;
	return try_groups(s, hint);
}

static bool place_data(struct search *s)
{
	_Atomic uint64_t *last = &s->idx->hint[bg_kind(s->si->flags)];

	s->run = s->bytes;
	if (!try_groups(s, s->req->hint ? s->req->hint : atomic_load(last)))
		return false;
	atomic_store(last, s->found + s->bytes);
	return true;
}

int bg_alloc(struct bg_index *idx, const struct bg_request *req, uint64_t *out_start,
	     uint64_t *out_bytes)
{
	struct search s = { .idx = idx, .req = req, .bytes = req->bytes };
	uint64_t sector = idx->sp->opts.sectorsize;
	bool asked = false;

	*out_start = *out_bytes = 0;
	s.si = space_info_find(idx->sp, req->type);
	assert(s.si && req->min_bytes && req->min_bytes <= req->bytes);
	assert(req->bytes % sector == 0 && req->min_bytes % sector == 0);
	for (;;) {
		bool data = (req->type & BTRFS_BLOCK_GROUP_TYPE_MASK) == BTRFS_BLOCK_GROUP_DATA;

		if (data ? place_data(&s) : place_metadata(&s))
			break;
		if (!asked && req->alloc_chunk) {
			asked = true;
			counter_inc(idx->sp->opts.counters, bg_alloc_chunks);
			if (!req->alloc_chunk(req->arg, req->type))
				continue;
		}
		if (s.bytes == req->min_bytes)
			return -ENOSPC;
		s.bytes = s.bytes / 2 / sector * sector;
		s.bytes = s.bytes > req->min_bytes ? s.bytes : req->min_bytes;
	}
	*out_start = s.found;
	*out_bytes = s.bytes;
	return 0;
}
