// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What statfs(2) and BTRFS_IOC_FS_INFO say.
 *
 * Linux gives raw device bytes divided by the copies of the data profile, so that a raid1 filesystem shows
 * what a user can store. Unallocated device space counts as data that could be allocated.
 */
#include "engine/api/api_priv.h"

#include "engine/inspect.h"
#include "engine/space/chunk.h"
#include "engine/txn/txn.h"
#include "engine/util/fault.h"
#include "engine/volume/raid.h"

#include <stdlib.h>
#include <string.h>

/* Linux leaves the first MiB of a device alone, and allocates in pieces of a stripe. */
#define DEVICE_RESERVED (1ull << 20)
#define STRIPE_LEN (64ull << 10)
/* Less metadata than this beyond the global reserve is as good as none. */
#define METADATA_MARGIN (4ull << 20)

static int by_size_descending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? 1 : x > y ? -1 : 0;
}

/* Unallocated bytes of each device, largest first. */
static int collect_unallocated(struct eng_fs *efs, uint64_t **out_avail, unsigned *out_nr)
{
	struct vol_device_info dev;
	unsigned nr = 0, devices = 0;
	uint64_t *avail;

	while (vol_device_get(efs->fs.vol, devices, &dev))
		devices++;
	*out_avail = avail = eng_calloc(devices ? devices : 1, sizeof(*avail));
	if (!avail)
		return -ENOMEM;
	for (unsigned i = 0; i < devices && vol_device_get(efs->fs.vol, i, &dev); i++) {
		uint64_t bytes = dev.total_bytes > dev.bytes_used ? dev.total_bytes - dev.bytes_used : 0;

		bytes -= bytes % STRIPE_LEN;
		if (!dev.seed && bytes > DEVICE_RESERVED)
			avail[nr++] = bytes - DEVICE_RESERVED;
	}
	qsort(avail, nr, sizeof(*avail), by_size_descending);
	*out_nr = nr;
	return 0;
}

/* Raw bytes that chunks of profile `p` could take from what is unallocated. */
static int allocatable(struct eng_fs *efs, const struct raid_profile *p, uint64_t *out_bytes)
{
	uint64_t *avail;
	unsigned nr, width;
	int err = collect_unallocated(efs, &avail, &nr);

	*out_bytes = 0;
	if (err)
		return err;
	width = p->flag == BTRFS_BLOCK_GROUP_RAID10 ? 4 : p->striped ? nr : p->min_devices;
	/* The smallest device bounds a stripe over the `width` smallest ones; then it is full. */
	for (; nr >= p->min_devices && nr > 0; nr--) {
		uint64_t piece = avail[nr - 1];

		if (width > nr)
			width = nr;
		*out_bytes += piece * width;
		for (unsigned i = nr - width; i < nr; i++)
			avail[i] -= piece;
	}
	free(avail);
	return 0;
}

struct usage {
	uint64_t used_raw;
	uint64_t data_free_raw;
	const struct raid_profile *data; /* the data profile with the most copies */
};

static int sum_block_groups(struct eng_fs *efs, struct usage *u)
{
	struct vol_chunk_info chunk;

	u->data = raid_profile(0);
	for (unsigned i = 0; vol_chunk_get(efs->fs.vol, i, &chunk); i++) {
		const struct raid_profile *p = raid_profile(chunk.type);
		uint64_t used;
		int err = ins_block_group_used(efs, chunk.logical, &used);

		if (err && err != -ENOENT && err != -ENXIO)
			return err;
		if (err || used > chunk.len)
			used = 0;
		if (!p)
			continue;
		u->used_raw += used * p->copies;
		if (!(chunk.type & BTRFS_BLOCK_GROUP_DATA))
			continue;
		u->data_free_raw += (chunk.len - used) * p->copies;
		if (p->copies > u->data->copies || !u->data->flag)
			u->data = p;
	}
	return 0;
}

static int compute_statfs(struct eng_fs *efs, struct eng_statfs *st)
{
	struct usage u = { 0 };
	uint64_t total = le64_get(efs->fs.super.total_bytes);
	uint64_t unallocated;
	int err = sum_block_groups(efs, &u);

	if (!err)
		err = allocatable(efs, u.data, &unallocated);
	if (err)
		return err;
	st->block_size = efs->fs.sectorsize;
	st->name_max = BTRFS_NAME_LEN;
	st->total_bytes = total / u.data->copies;
	st->free_bytes = total > u.used_raw ? (total - u.used_raw) / u.data->copies : 0;
	st->avail_bytes = (u.data_free_raw + unallocated) / u.data->copies;
	return 0;
}

/* ---- of a filesystem that changes: out of the counters ---- */

struct live_usage {
	uint64_t used_raw;
	uint64_t data_free;       /* bytes of files that would fit into the chunks that there are */
	uint64_t meta_free;
	const struct raid_profile *data;
	bool mixed;
};

static void add_group(struct live_usage *u, struct block_group *bg)
{
	const struct raid_profile *p = raid_profile(bg->flags);
	uint64_t used, unusable;

	pthread_mutex_lock(&bg->si->lock);
	used = bg->used;
	unusable = bg->ro ? bg->len - bg->used : 0;
	pthread_mutex_unlock(&bg->si->lock);
	u->used_raw += used * p->copies;
	if (bg->flags & BTRFS_BLOCK_GROUP_DATA) {
		u->mixed |= !!(bg->flags & BTRFS_BLOCK_GROUP_METADATA);
		u->data_free += bg->len - used - unusable;
		if (p->copies > u->data->copies || !u->data->flag)
			u->data = p;
	} else if (bg->flags & BTRFS_BLOCK_GROUP_METADATA) {
		u->meta_free += bg->len - used - unusable;
	}
}

static void sum_live_groups(struct space_fs *space, struct live_usage *u)
{
	struct block_group *bg, *next;

	u->data = raid_profile(0);
	for (bg = bg_next(space->bgs, 0); bg; bg = next) {
		add_group(u, bg);
		next = bg_next(space->bgs, bg->start + bg->len);
		bg_put(bg);
	}
}

static uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

/*
 * As Linux: the global reserve is not free; and when metadata cannot grow and what is left of it is little more than
 * that reserve, nothing is available, however much room there is for data. Where both share their block groups the
 * reserve is not for data either.
 */
static void live_statfs(struct eng_fs *efs, struct eng_statfs *st)
{
	struct space_fs *space = txn_space(&efs->fs);
	struct space_info *meta = space_info_find(space->sp, BTRFS_BLOCK_GROUP_METADATA);
	uint64_t total = le64_get(efs->fs.super.total_bytes), reserve;
	struct live_usage u = { 0 };
	bool full;

	sum_live_groups(space, &u);
	pthread_mutex_lock(&meta->lock);
	reserve = space->rsv->global.size;
	full = meta->full;
	pthread_mutex_unlock(&meta->lock);
	st->block_size = efs->fs.sectorsize;
	st->name_max = BTRFS_NAME_LEN;
	st->total_bytes = total / u.data->copies;
	st->free_bytes = less(less(total, u.used_raw) / u.data->copies, reserve);
	st->avail_bytes = u.data_free + dev_space_unallocated(space->devs) / u.data->copies;
	if (u.mixed)
		st->avail_bytes = less(st->avail_bytes, reserve);
	else if (full && less(u.meta_free, METADATA_MARGIN) < reserve)
		st->avail_bytes = 0;
}

int eng_statfs(struct eng_fs *efs, struct eng_statfs *out_st)
{
	int err = 0;

	if (efs->rw) {
		live_statfs(efs, out_st);
		return 0;
	}
	pthread_mutex_lock(&efs->lock);
	if (!efs->have_statfs) {
		err = compute_statfs(efs, &efs->statfs);
		efs->have_statfs = !err;
	}
	*out_st = efs->statfs;
	pthread_mutex_unlock(&efs->lock);
	return err;
}

void eng_fs_info(struct eng_fs *efs, struct eng_fs_info *out_info)
{
	struct btrfs_super_block now = efs->fs.super;
	const struct btrfs_super_block *sb = &now;
	struct eng_dev_info dev;

	if (efs->rw)
		txn_super(&efs->fs, &now);
	memset(out_info, 0, sizeof(*out_info));
	memcpy(out_info->fsid, sb->fsid, 16);
	memcpy(out_info->metadata_uuid, vol_geometry(efs->fs.vol)->fsid, 16);
	memcpy(out_info->label, sb->label, BTRFS_LABEL_SIZE);
	out_info->generation = le64_get(sb->generation);
	out_info->num_devices = le64_get(sb->num_devices);
	for (unsigned i = 0; eng_dev_info(efs, i, &dev); i++)
		if (dev.devid > out_info->max_devid)
			out_info->max_devid = dev.devid;
	out_info->nodesize = efs->fs.nodesize;
	out_info->sectorsize = efs->fs.sectorsize;
	out_info->csum_type = (uint16_t)efs->fs.csum_type;
	out_info->csum_size = (uint16_t)efs->fs.csum_size;
	out_info->compat = le64_get(sb->compat_flags);
	out_info->compat_ro = le64_get(sb->compat_ro_flags);
	out_info->incompat = le64_get(sb->incompat_flags);
	out_info->log_tree = le64_get(sb->log_root) != 0;
	out_info->degraded = efs->degraded;
	out_info->writable = efs->rw && !txn_error(&efs->fs);
}

bool eng_dev_info(struct eng_fs *efs, unsigned index, struct eng_dev_info *out_info)
{
	struct vol_device_info dev;

	if (!vol_device_get(efs->fs.vol, index, &dev))
		return false;
	out_info->devid = dev.devid;
	memcpy(out_info->uuid, dev.uuid, 16);
	memcpy(out_info->fsid, dev.fsid, 16);
	out_info->total_bytes = dev.total_bytes;
	out_info->bytes_used = dev.bytes_used;
	out_info->path = dev.missing ? NULL : dev.name;
	return true;
}
