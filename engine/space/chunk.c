// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Chunks coming: when one is wanted, its birth in memory, and room for its items.
 *
 *   wanted ──chunk_alloc_now──▶ born: on map and index, used ──chunk_create_pending──▶ on disk with
 * this commit
 *
 * Invariants: 1. A chunk that is born has its items' space in the chunk tree reserved, and its
 * place in the superblock's array if it is a SYSTEM one: creating it can fail for want of memory or
 * I/O only. 2. SYSTEM space always has room for the items of one SYSTEM chunk besides, so that it
 * can grow.
 *
 * Locks: the allocator's, over a birth; the pending list's, short. Everything here is memory work.
 */
#include "engine/space/chunk_priv.h"
#include "engine/space/space_priv.h"
#include "engine/util/fault.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define STRIPE_LEN 65536u

/* ---- the pending ones ---- */

int chunk_pending_create(struct chunk_pending **out_pending)
{
	struct chunk_pending *p = eng_zalloc(sizeof(*p));

	*out_pending = NULL;
	if (!p)
		return -ENOMEM;
	pthread_mutex_init(&p->lock, NULL);
	TAILQ_INIT(&p->list);
	*out_pending = p;
	return 0;
}

/* Out of index and map, if nothing was placed in it. */
static void unmake(struct space_fs *fs, struct chunk_new *new)
{
	bool gone = !bg_set_readonly(new->bg, true) && !bg_remove(fs->bgs, new->bg->start);

	if (!gone || vol_chunk_remove(fs->vol, new->plan.logical))
		return;
	dev_space_lock(fs->devs);
	dev_space_give(fs->devs, &new->plan, fs->msg);
	dev_space_unlock(fs->devs);
}

void chunk_pending_destroy(struct space_fs *fs, struct chunk_pending *p)
{
	struct chunk_new *new;

	if (!p)
		return;
	while ((new = TAILQ_FIRST(&p->list))) {
		TAILQ_REMOVE(&p->list, new, link);
		chunk_items_release(fs, new->rsv_bytes);
		rsv_refs_groups(fs->rsv, -1, 0);
		unmake(fs, new);
		bg_put(new->bg);
		free(new);
	}
	pthread_mutex_destroy(&p->lock);
	free(p);
}

bool chunk_is_pending(struct chunk_pending *p)
{
	return atomic_load(&p->nr);
}

/* ---- items' room ---- */

uint64_t chunk_items_bytes(const struct space_fs *fs, unsigned devices)
{
	return rsv_insert_bytes(fs->nodesize, 1) + rsv_change_bytes(fs->nodesize, devices);
}

void chunk_items_release(struct space_fs *fs, uint64_t bytes)
{
	if (bytes)
		rsv_release(fs->rsv, &fs->rsv->chunk, bytes);
}

static uint64_t system_left(struct space_fs *fs)
{
	struct space_info *si = fs->rsv->chunk.si;
	uint64_t used, total;

	pthread_mutex_lock(&si->lock);
	used = space_used_locked(si, true);
	total = si->total;
	pthread_mutex_unlock(&si->lock);
	return used < total ? total - used : 0;
}

static int birth(struct space_trans *st, uint64_t type, uint64_t rsv_bytes);

int chunk_items_reserve(struct space_trans *st, uint64_t bytes)
{
	struct space_fs *fs = st->fs;
	uint64_t system_bytes = chunk_items_bytes(fs, 1);
	int err;

	/* Not less than what a SYSTEM chunk's own items take may be left. */
	if (system_left(fs) < bytes + system_bytes) {
		err = rsv_add(fs->rsv, &fs->rsv->chunk, system_bytes, SPACE_NO_FLUSH, st->handle);
		if (err)
			return err;
		err = birth(st, BTRFS_BLOCK_GROUP_SYSTEM, system_bytes);
		if (err) {
			chunk_items_release(fs, system_bytes);
			/* What there is may do, as long as it does. */
			if (err != -ENOSPC || system_left(fs) < bytes)
				return err;
		}
	}
	return rsv_add(fs->rsv, &fs->rsv->chunk, bytes, SPACE_NO_FLUSH, st->handle);
}

/* ---- birth ---- */

uint32_t chunk_item_make(const struct space_fs *fs, const struct chunk_plan *plan, void *buf)
{
	struct btrfs_chunk *item = buf;
	struct btrfs_stripe *stripe = &item->stripe;

	memset(buf, 0, btrfs_chunk_item_size(plan->nr));
	item->length = le64_make(plan->len);
	item->owner = le64_make(BTRFS_EXTENT_TREE_OBJECTID);
	item->stripe_len = le64_make(STRIPE_LEN);
	item->type = le64_make(plan->type);
	item->io_align = le32_make(STRIPE_LEN);
	item->io_width = le32_make(STRIPE_LEN);
	item->sector_size = le32_make(fs->sectorsize);
	item->num_stripes = le16_make((uint16_t)plan->nr);
	item->sub_stripes = le16_make((uint16_t)plan->sub_stripes);
	for (unsigned i = 0; i < plan->nr; i++, stripe++) {
		stripe->devid = le64_make(plan->places[i].devid);
		stripe->offset = le64_make(plan->places[i].physical);
		memcpy(stripe->dev_uuid, plan->places[i].uuid, sizeof(stripe->dev_uuid));
	}
	return btrfs_chunk_item_size(plan->nr);
}

bool chunk_plan_of(const struct space_fs *fs, uint64_t logical, struct chunk_plan *out_plan)
{
	struct vol_stripe_info stripe;
	struct vol_chunk_info chunk;

	memset(out_plan, 0, sizeof(*out_plan));
	if (!vol_chunk_find(fs->vol, logical, &chunk) || chunk.logical != logical ||
	    chunk.num_stripes > CHUNK_MAX_STRIPES)
		return false;
	out_plan->logical = logical;
	out_plan->len = chunk.len;
	out_plan->type = chunk.type;
	out_plan->sub_stripes = chunk.sub_stripes;
	for (; vol_chunk_stripe(fs->vol, logical, out_plan->nr, &stripe); out_plan->nr++) {
		struct chunk_place *p = &out_plan->places[out_plan->nr];

		p->devid = stripe.devid;
		memcpy(p->uuid, stripe.uuid, sizeof(p->uuid));
		p->physical = stripe.physical;
		out_plan->stripe_bytes = stripe.len;
	}
	return true;
}

/* On the map, then on the index: from then on anybody may place things in it. */
static int publish(struct space_fs *fs, struct chunk_new *new)
{
	uint8_t buf[CHUNK_ITEM_MAX];
	struct range_set supers;
	struct bg_desc desc = {
		.start = new->plan.logical,
		.len = new->plan.len,
		.flags = new->plan.type,
		.supers = &supers,
	};
	int err;

	chunk_item_make(fs, &new->plan, buf);
	err = vol_chunk_add(fs->vol, new->plan.logical, (struct btrfs_chunk *)buf);
	if (err)
		return err;
	range_set_init(&supers);
	err = bg_super_ranges(fs->vol, desc.start, desc.len, &supers);
	if (!err) {
		/* Before it counts as a group's, lest it count twice. */
		dev_space_take(fs->devs, &new->plan);
		err = bg_add(fs->bgs, &desc, NULL, NULL);
		if (err)
			dev_space_give(fs->devs, &new->plan, fs->msg);
	}
	range_set_clear(&supers);
	if (!err) {
		new->bg = bg_get(fs->bgs, desc.start);
		return 0;
	}
	/* Nobody knows it: if it has to stay on the map, its address is not used again. */
	if (vol_chunk_remove(fs->vol, new->plan.logical))
		msg_warn(fs->msg, "no memory to take back chunk %llu",
			 (unsigned long long)new->plan.logical);
	return err;
}

static bool fits_sys_array(const struct space_fs *fs, const struct chunk_plan *plan)
{
	struct vol_chunk_info chunk = { 0 };
	uint64_t bytes = 0;

	if (!(plan->type & BTRFS_BLOCK_GROUP_SYSTEM))
		return true;
	bytes = sizeof(struct btrfs_disk_key) + btrfs_chunk_item_size(plan->nr);
	while (vol_chunk_next(fs->vol, chunk.logical + chunk.len, &chunk))
		if (chunk.type & BTRFS_BLOCK_GROUP_SYSTEM)
			bytes += sizeof(struct btrfs_disk_key) +
				 btrfs_chunk_item_size(chunk.num_stripes);
	if (bytes <= BTRFS_SYSTEM_CHUNK_ARRAY_SIZE)
		return true;
	msg_warn(fs->msg, "the superblock has no room for another system chunk");
	return false;
}

/* Under the allocator's lock. `rsv_bytes` are in the chunk tree's reserve and become the new
 * chunk's. */
static int birth(struct space_trans *st, uint64_t type, uint64_t rsv_bytes)
{
	struct space_fs *fs = st->fs;
	struct space_info *si = space_info_find(fs->sp, type);
	struct chunk_new *new = eng_zalloc(sizeof(*new));
	uint64_t profile;
	int err;

	if (!new)
		return -ENOMEM;
	assert(si);
	pthread_mutex_lock(&si->lock);
	profile = si->profile;
	pthread_mutex_unlock(&si->lock);
	err = dev_space_plan(fs->devs, si->flags | profile, &new->plan);
	if (!err && !fits_sys_array(fs, &new->plan))
		err = -ENOSPC;
	if (!err)
		err = publish(fs, new);
	if (err) {
		free(new);
		return err == -EINVAL ? -ENOSPC : err;
	}
	new->rsv_bytes = rsv_bytes;
	rsv_refs_groups(fs->rsv, 1, 0);
	pthread_mutex_lock(&st->chunks->lock);
	TAILQ_INSERT_TAIL(&st->chunks->list, new, link);
	atomic_fetch_add(&st->chunks->nr, 1);
	pthread_mutex_unlock(&st->chunks->lock);
	msg_debug(fs->msg, "new %s chunk at %llu, %llu bytes", si->name,
		  (unsigned long long)new->plan.logical, (unsigned long long)new->plan.len);
	return 0;
}

static unsigned devices_of(struct space_fs *fs, const struct space_info *si)
{
	struct vol_device_info dev;
	unsigned nr = 0;

	if (!(si->profile &
	      (BTRFS_BLOCK_GROUP_RAID0 | BTRFS_BLOCK_GROUP_RAID1_MASK | BTRFS_BLOCK_GROUP_RAID10)))
		return 1;
	while (vol_device_get(fs->vol, nr, &dev))
		nr++;
	return nr;
}

/* Under the allocator's lock. */
static int alloc_locked(struct space_trans *st, struct space_info *si)
{
	struct space_fs *fs = st->fs;
	uint64_t bytes = chunk_items_bytes(fs, devices_of(fs, si));
	int err = chunk_items_reserve(st, bytes);

	if (err)
		return err;
	err = birth(st, si->flags, bytes);
	if (err)
		chunk_items_release(fs, bytes);
	pthread_mutex_lock(&si->lock);
	/* Until device space comes back, or a group; see space_set_unallocated. */
	si->full = err == -ENOSPC;
	si->force_alloc = false;
	pthread_mutex_unlock(&si->lock);
	return err;
}

static uint64_t total_of(struct space_info *si)
{
	uint64_t total;

	pthread_mutex_lock(&si->lock);
	total = si->total;
	pthread_mutex_unlock(&si->lock);
	return total;
}

int chunk_alloc_now(struct space_trans *st, uint64_t type)
{
	struct space_info *si = space_info_find(st->fs->sp, type);
	uint64_t before;
	int err = 0;

	if (!si)
		return -ENOSPC;
	before = total_of(si);
	dev_space_lock(st->fs->devs);
	/* Of several that ran out together one is enough. */
	if (total_of(si) <= before)
		err = alloc_locked(st, si);
	dev_space_unlock(st->fs->devs);
	return err;
}

/* ---- when ---- */

/* Linux's thresholds: four fifths full, in metadata with what the global reserve would take. */
static bool wanted(struct space_fs *fs, struct space_info *si, bool force, bool *out_full)
{
	uint64_t used;
	bool want;

	pthread_mutex_lock(&si->lock);
	used = space_used_locked(si, false) + CHUNK_MARGIN;
	if (si->flags & BTRFS_BLOCK_GROUP_METADATA)
		used += fs->rsv->global.size;
	want = force || si->force_alloc || used >= si->total / 10 * 8;
	*out_full = si->full;
	pthread_mutex_unlock(&si->lock);
	return want;
}

int chunk_alloc_if_needed(struct space_trans *st, struct space_info *si, bool force)
{
	struct space_fs *fs = st->fs;
	uint64_t before = total_of(si);
	bool full;
	int err = 0;

	if (!wanted(fs, si, force, &full))
		return 0;
	if (full)
		return -ENOSPC;
	dev_space_lock(fs->devs);
	/* Whoever waited for another one's chunk has what he wanted, unless there is still too
	 * little. */
	if (wanted(fs, si, force && total_of(si) <= before, &full))
		err = alloc_locked(st, si);
	dev_space_unlock(fs->devs);
	return err;
}
