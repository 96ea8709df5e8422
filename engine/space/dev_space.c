// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Device space: which bytes of each writable device are in no chunk, and where the next chunk goes.
 *
 * Invariants: 1. A device's free ranges are what the chunk map leaves of it, without the first MiB
 * (Linux keeps it for boot loaders and the superblock). Other superblock copies are spared within
 * chunks, see bg_super_ranges.
 * 2. The space's `unallocated` is their sum. 3. Chunks are placed at the start of a free range, so
 * that taking one cuts none in two. 4. A logical address is used once in a mount, whatever is
 * removed: caches and transfers may still know the old one.
 *
 * Sizes and the choice of devices are Linux's, so that filesystems grow alike.
 *
 * Locks: `lock`, the allocator's: held over a whole chunk's birth or end, memory only.
 */
#include "engine/space/chunk_priv.h"
#include "engine/util/fault.h"
#include "engine/volume/raid.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define MIB (1ULL << 20)
#define GIB (1ULL << 30)
#define RESERVED_START MIB
#define STRIPE_LEN 65536ULL

struct dev_room {
	uint64_t devid;
	uint8_t uuid[BTRFS_UUID_SIZE];
	uint64_t total;
	uint64_t used; /* in chunks: what its device item is to say */
	bool writable;
	struct range_set free; /* empty unless writable */
};

struct dev_space {
	pthread_mutex_t lock;
	struct space *sp;
	uint64_t rw_total;
	uint64_t next_logical;
	unsigned nr;
	struct dev_room rooms[];
};

/* A device that may take part in a chunk. */
struct candidate {
	struct dev_room *room;
	uint64_t start, avail; /* the free range it would use */
};

static struct dev_room *find_room(struct dev_space *devs, uint64_t devid, const uint8_t *uuid)
{
	for (unsigned i = 0; i < devs->nr; i++)
		if (devs->rooms[i].devid == devid &&
		    !memcmp(devs->rooms[i].uuid, uuid, BTRFS_UUID_SIZE))
			return &devs->rooms[i];
	return NULL;
}

static uint64_t unallocated_locked(const struct dev_space *devs)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < devs->nr; i++)
		sum += devs->rooms[i].free.bytes;
	return sum;
}

uint64_t dev_space_unallocated(struct dev_space *devs)
{
	uint64_t sum;

	pthread_mutex_lock(&devs->lock);
	sum = unallocated_locked(devs);
	pthread_mutex_unlock(&devs->lock);
	return sum;
}

void dev_space_lock(struct dev_space *devs)
{
	pthread_mutex_lock(&devs->lock);
}

void dev_space_unlock(struct dev_space *devs)
{
	pthread_mutex_unlock(&devs->lock);
}

int dev_space_used(struct dev_space *devs, uint64_t devid, uint64_t *out_used)
{
	int err = -ENOENT;

	*out_used = 0;
	pthread_mutex_lock(&devs->lock);
	for (unsigned i = 0; i < devs->nr; i++) {
		if (devs->rooms[i].devid != devid || !devs->rooms[i].writable)
			continue;
		*out_used = devs->rooms[i].used;
		err = 0;
	}
	pthread_mutex_unlock(&devs->lock);
	return err;
}

/* ---- opening ---- */

static int add_room(struct dev_space *devs, const struct vol_device_info *info)
{
	struct dev_room *room = &devs->rooms[devs->nr++];

	range_set_init(&room->free);
	room->devid = info->devid;
	memcpy(room->uuid, info->uuid, sizeof(room->uuid));
	room->total = info->total_bytes;
	room->used = info->bytes_used;
	room->writable = info->writable;
	if (!room->writable)
		return 0;
	devs->rw_total += room->total;
	if (room->total <= RESERVED_START)
		return 0;
	return range_set_add(&room->free, RESERVED_START, room->total - RESERVED_START, NULL);
}

/* One device extent of a chunk in the map. */
static int occupy(struct dev_space *devs, struct vol *v, uint64_t logical,
		  const struct vol_stripe_info *stripe)
{
	struct dev_room *room = find_room(devs, stripe->devid, stripe->uuid);
	uint64_t start = stripe->physical, end = start + stripe->len;

	if (!room || !room->writable)
		return 0;
	/* Very old filesystems have chunks there. */
	if (start < RESERVED_START)
		start = RESERVED_START < end ? RESERVED_START : end;
	if (start == end)
		return 0;
	if (end < start || !range_set_has(&room->free, start, end - start))
		return msg_corrupt(vol_msg(v),
				   "chunk %" PRIu64 ": %" PRIu64 "+%" PRIu64 " of device %" PRIu64
				   " is another chunk's too, or beyond its end",
				   logical, stripe->physical, stripe->len, stripe->devid);
	return range_set_remove(&room->free, start, end - start);
}

static int occupy_all(struct dev_space *devs, struct vol *v)
{
	struct vol_chunk_info chunk = { 0 };
	struct vol_stripe_info stripe;
	int err = 0;

	while (!err && vol_chunk_next(v, chunk.logical + chunk.len, &chunk)) {
		for (unsigned i = 0; !err && vol_chunk_stripe(v, chunk.logical, i, &stripe); i++)
			err = occupy(devs, v, chunk.logical, &stripe);
		devs->next_logical = chunk.logical + chunk.len;
	}
	return err;
}

int dev_space_create(struct vol *v, struct space *sp, struct dev_space **out_devs)
{
	struct vol_device_info info;
	struct dev_space *devs;
	unsigned nr = 0;
	int err = 0;

	*out_devs = NULL;
	while (vol_device_get(v, nr, &info))
		nr++;
	devs = eng_zalloc(sizeof(*devs) + nr * sizeof(devs->rooms[0]));
	if (!devs)
		return -ENOMEM;
	pthread_mutex_init(&devs->lock, NULL);
	devs->sp = sp;
	for (unsigned i = 0; !err && vol_device_get(v, i, &info); i++)
		err = add_room(devs, &info);
	if (!err)
		err = occupy_all(devs, v);
	if (err) {
		dev_space_destroy(devs);
		return err;
	}
	space_set_unallocated(sp, unallocated_locked(devs), devs->rw_total);
	*out_devs = devs;
	return 0;
}

void dev_space_destroy(struct dev_space *devs)
{
	if (!devs)
		return;
	for (unsigned i = 0; i < devs->nr; i++)
		range_set_clear(&devs->rooms[i].free);
	pthread_mutex_destroy(&devs->lock);
	free(devs);
}

/* ---- planning ---- */

/* How a profile is laid out: as Linux's table of them. */
struct layout {
	unsigned per_device; /* stripes on each device */
	unsigned min, max;   /* devices; max 0: all there are */
	unsigned increment;
	unsigned copies, sub_stripes;
};

static bool layout_of(uint64_t type, struct layout *out)
{
	const struct raid_profile *p = raid_profile(type);

	if (!p || p->parity)
		return false;
	*out = (struct layout){ 1, 1, 1, 1, p->copies, 1 };
	if (p->flag == BTRFS_BLOCK_GROUP_DUP) {
		out->per_device = 2;
	} else if (p->flag == BTRFS_BLOCK_GROUP_RAID0) {
		out->max = 0;
	} else if (p->flag == BTRFS_BLOCK_GROUP_RAID10) {
		*out = (struct layout){ 1, 2, 0, 2, 2, 2 };
	} else if (p->flag & BTRFS_BLOCK_GROUP_RAID1_MASK) {
		out->min = out->max = out->increment = p->copies;
	}
	return true;
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* The largest chunk of this type, before it is known what there is. */
static uint64_t largest(const struct dev_space *devs, uint64_t type)
{
	uint64_t max;

	if (type & BTRFS_BLOCK_GROUP_DATA)
		max = 10 * GIB;
	else if (type & BTRFS_BLOCK_GROUP_METADATA)
		max = devs->rw_total > 50 * GIB ? GIB : 256 * MIB;
	else
		max = 32 * MIB;
	return max;
}

/* The first free range that has `want` bytes, or else the largest. */
static struct candidate best_range(struct dev_room *room, uint64_t want)
{
	struct candidate best = { room, 0, 0 };
	uint64_t start = 0, end;

	while (best.avail < want && range_set_next(&room->free, start, &start, &end)) {
		if (end - start > best.avail) {
			best.start = start;
			best.avail = min_u64(end - start, want);
		}
		start = end;
	}
	return best;
}

static bool better(const struct candidate *a, const struct candidate *b)
{
	if (a->avail != b->avail)
		return a->avail > b->avail;
	return a->room->free.bytes > b->room->free.bytes;
}

/* The devices with the most room, best first. */
static unsigned gather(struct dev_space *devs, uint64_t want, uint64_t least,
		       struct candidate cands[CHUNK_MAX_STRIPES])
{
	unsigned nr = 0;

	for (unsigned i = 0; i < devs->nr; i++) {
		struct candidate c = best_range(&devs->rooms[i], want);
		unsigned at;

		if (c.avail < least)
			continue;
		for (at = nr; at > 0 && better(&c, &cands[at - 1]); at--)
			if (at < CHUNK_MAX_STRIPES)
				cands[at] = cands[at - 1];
		if (at < CHUNK_MAX_STRIPES)
			cands[at] = c;
		if (nr < CHUNK_MAX_STRIPES)
			nr++;
	}
	return nr;
}

int dev_space_plan(struct dev_space *devs, uint64_t type, struct chunk_plan *out_plan)
{
	uint64_t max_chunk = largest(devs, type), max_stripe = min_u64(max_chunk, GIB), bytes;
	struct candidate cands[CHUNK_MAX_STRIPES];
	struct layout l;
	unsigned nr, data;

	memset(out_plan, 0, sizeof(*out_plan));
	if (!layout_of(type, &l))
		return -EINVAL;
	max_chunk = min_u64(max_chunk, devs->rw_total / 10);
	nr = gather(devs, max_stripe * l.per_device, STRIPE_LEN * l.per_device, cands);
	nr -= nr % l.increment;
	if (nr < l.min)
		return -ENOSPC;
	if (l.max && nr > l.max)
		nr = l.max;
	data = nr * l.per_device / l.copies;
	bytes = cands[nr - 1].avail / l.per_device;
	if (bytes * data > max_chunk) {
		uint64_t share = max_chunk / data;

		bytes = min_u64((share + 16 * MIB - 1) / (16 * MIB) * (16 * MIB), bytes);
	}
	bytes = min_u64(bytes, max_stripe) / STRIPE_LEN * STRIPE_LEN;
	if (!bytes || bytes * data > UINT64_MAX - devs->next_logical)
		return -ENOSPC;
	out_plan->logical = devs->next_logical;
	out_plan->len = bytes * data;
	out_plan->type = type;
	out_plan->stripe_bytes = bytes;
	out_plan->sub_stripes = l.sub_stripes;
	for (unsigned i = 0; i < nr * l.per_device; i++) {
		const struct candidate *c = &cands[i / l.per_device];
		struct chunk_place *p = &out_plan->places[out_plan->nr++];

		p->devid = c->room->devid;
		memcpy(p->uuid, c->room->uuid, sizeof(p->uuid));
		p->physical = c->start + i % l.per_device * bytes;
	}
	return 0;
}

/* ---- taking and giving ---- */

void dev_space_take(struct dev_space *devs, const struct chunk_plan *plan)
{
	for (unsigned i = 0; i < plan->nr; i++) {
		const struct chunk_place *p = &plan->places[i];
		struct dev_room *room = find_room(devs, p->devid, p->uuid);
		int err;

		assert(room && range_set_has(&room->free, p->physical, plan->stripe_bytes));
		err = range_set_remove(&room->free, p->physical, plan->stripe_bytes);
		assert(!err); /* from a range's start: needs no memory */
		(void)err;
		room->used += plan->stripe_bytes;
	}
	devs->next_logical = plan->logical + plan->len;
	space_set_unallocated(devs->sp, unallocated_locked(devs), devs->rw_total);
}

void dev_space_give(struct dev_space *devs, const struct chunk_plan *plan, struct msg *msg)
{
	for (unsigned i = 0; i < plan->nr; i++) {
		const struct chunk_place *p = &plan->places[i];
		struct dev_room *room = find_room(devs, p->devid, p->uuid);
		uint64_t start = p->physical, end = start + plan->stripe_bytes;

		if (!room)
			continue;
		room->used -= min_u64(room->used, plan->stripe_bytes);
		if (start < RESERVED_START)
			start = RESERVED_START < end ? RESERVED_START : end;
		if (room->writable && start < end &&
		    range_set_add(&room->free, start, end - start, NULL))
			msg_warn(msg,
				 "no memory to note what a removed chunk left: %" PRIu64
				 " bytes of device %" PRIu64 " are not used before the next mount",
				 end - start, p->devid);
	}
	space_set_unallocated(devs->sp, unallocated_locked(devs), devs->rw_total);
}
