// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The table of devices: those that are there, and those that a chunk or a device item names.
 *
 * Invariant: devs is ascending by (devid, uuid), without repeats; entries are never removed, so
 * that chunks may point to them. Changes only before vol_finish.
 */
#include "engine/volume/vol_priv.h"

#include "engine/util/fault.h"
#include "ondisk/text.h"

#include <stdlib.h>
#include <string.h>

/* Index of the first entry that is not before (devid, uuid). */
static unsigned lower_bound(const struct vol *v, uint64_t devid, const uint8_t uuid[16])
{
	unsigned lo = 0, hi = v->nr_devs;

	while (lo < hi) {
		unsigned mid = lo + (hi - lo) / 2;
		const struct vol_dev *d = v->devs[mid];

		if (d->devid < devid || (d->devid == devid && memcmp(d->uuid, uuid, 16) < 0))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct vol_dev *vol_dev_find(const struct vol *v, uint64_t devid, const uint8_t uuid[16])
{
	unsigned i = lower_bound(v, devid, uuid);

	if (i < v->nr_devs && v->devs[i]->devid == devid && !memcmp(v->devs[i]->uuid, uuid, 16))
		return v->devs[i];
	return NULL;
}

int vol_dev_want(struct vol *v, uint64_t devid, const uint8_t uuid[16], struct vol_dev **out_dev)
{
	unsigned i = lower_bound(v, devid, uuid);
	struct vol_dev *dev;

	*out_dev = vol_dev_find(v, devid, uuid);
	if (*out_dev)
		return 0;
	if (v->nr_devs == VOL_MAX_DEVICES)
		return msg_corrupt(v->msg, "chunk tree: more than %d devices", VOL_MAX_DEVICES);
	if (v->nr_devs == v->max_devs) {
		unsigned max = v->max_devs ? 2 * v->max_devs : 8;
		struct vol_dev **devs = eng_realloc(v->devs, max * sizeof(*devs));

		if (!devs)
			return -ENOMEM;
		v->devs = devs;
		v->max_devs = max;
	}
	dev = eng_zalloc(sizeof(*dev));
	if (!dev)
		return -ENOMEM;
	dev->devid = devid;
	memcpy(dev->uuid, uuid, 16);
	memcpy(dev->fsid, v->geo.fsid, 16);
	memmove(&v->devs[i + 1], &v->devs[i], (v->nr_devs - i) * sizeof(*v->devs));
	v->devs[i] = dev;
	v->nr_devs++;
	*out_dev = dev;
	return 0;
}

const char *vol_dev_text(const struct vol_dev *dev, char *buf, size_t size)
{
	struct text t = {.buf = buf, .size = size};

	text_str(&t, "devid ");
	text_u64(&t, dev->devid);
	text_str(&t, " (");
	if (dev->bdev) {
		text_str(&t, bdev_name(dev->bdev));
	} else {
		text_uuid(&t, dev->uuid);
		text_str(&t, ", missing");
	}
	text_char(&t, ')');
	return text_done(&t);
}

int vol_dev_check_length(struct vol *v, const struct bdev *dev, uint64_t devid,
			 uint64_t total_bytes)
{
	bool allowed = v->opts.degraded || v->opts.partial;

	if (total_bytes <= bdev_bytes(dev))
		return 0;
	msg_say(v->msg, allowed ? MSG_WARN : MSG_ERR,
		"%s: truncated: devid %llu has %llu bytes, this has %llu%s", bdev_name(dev),
		(unsigned long long)devid, (unsigned long long)total_bytes,
		(unsigned long long)bdev_bytes(dev),
		allowed ? "" : " (the option degraded reads what is left)");
	return allowed ? 0 : -EINVAL;
}

static void adopt_super(struct vol *v, struct vol_dev *dev, const struct super_found *found)
{
	if (v->super_dev && le64_get(found->sb.generation) <= le64_get(v->super.generation))
		return;
	v->super = found->sb;
	v->super_copy = found->copy;
	v->super_dev = dev;
	btrfs_geometry_from_super(&v->super, &v->geo);
	v->geo.ignore_csum = v->opts.ignore_csum;
}

/* A second device claims to be `dev`. True if it is to take the place of the first. */
static bool second_is_newer(struct vol *v, const struct vol_dev *dev, const struct bdev *second,
			    uint64_t generation)
{
	bool newer = generation > dev->generation;

	msg_warn(v->msg,
		 "%s and %s are both devid %llu, of generations %llu and %llu; %s is ignored",
		 bdev_name(dev->bdev), bdev_name(second), (unsigned long long)dev->devid,
		 (unsigned long long)dev->generation, (unsigned long long)generation,
		 newer ? bdev_name(dev->bdev) : bdev_name(second));
	return newer;
}

int vol_dev_attach(struct vol *v, struct bdev *bdev, const struct super_found *found, bool seed)
{
	const struct btrfs_dev_item *item = &found->sb.dev_item;
	uint64_t generation = le64_get(found->sb.generation);
	struct vol_dev *dev;
	int ret;

	ret = vol_dev_check_length(v, bdev, le64_get(item->devid), le64_get(item->total_bytes));
	if (!ret)
		ret = vol_dev_want(v, le64_get(item->devid), item->uuid, &dev);
	if (ret)
		return ret;
	if (dev->bdev) {
		if (!second_is_newer(v, dev, bdev, generation)) {
			bdev_close(bdev);
			return 0;
		}
		bdev_close(dev->bdev);
	}
	dev->bdev = bdev;
	dev->generation = generation;
	dev->seed = seed;
	dev->item = *item;
	memcpy(dev->fsid, item->fsid, 16);
	dev->total_bytes = le64_get(item->total_bytes);
	dev->bytes_used = le64_get(item->bytes_used);
	if (!seed)
		adopt_super(v, dev, found);
	return 0;
}

int vol_device_add(struct vol *v, const struct btrfs_dev_item *item)
{
	uint64_t devid = le64_get(item->devid);
	struct vol_dev *dev;
	int ret = vol_dev_want(v, devid, item->uuid, &dev);

	if (ret)
		return ret;
	for (unsigned i = 0; i < v->nr_devs; i++)
		if (v->devs[i]->listed && v->devs[i]->devid == devid)
			return msg_corrupt(v->msg, "chunk tree: two device items for devid %llu",
					   (unsigned long long)devid);
	dev->listed = true;
	dev->item = *item;
	dev->total_bytes = le64_get(item->total_bytes);
	dev->bytes_used = le64_get(item->bytes_used);
	memcpy(dev->fsid, item->fsid, 16);
	/* A filesystem that grew out of a seed keeps the seed's devices under their own fsid. */
	dev->seed = memcmp(item->fsid, v->geo.fsid, 16) != 0;
	if (!dev->bdev && dev->seed && v->opts.scan && v->seed_scans < VOL_MAX_SEED_SCANS) {
		v->seed_scans++;
		ret = vol_scan(v, item->fsid, true);
	}
	if (!ret && dev->bdev)
		ret = vol_dev_check_length(v, dev->bdev, devid, dev->total_bytes);
	return ret;
}

int vol_device_update(struct vol *v, const struct btrfs_dev_item *item)
{
	struct vol_dev *dev = vol_dev_find(v, le64_get(item->devid), item->uuid);

	if (!dev)
		return -ENOENT;
	pthread_mutex_lock(&v->change_lock);
	dev->item = *item;
	dev->total_bytes = le64_get(item->total_bytes);
	dev->bytes_used = le64_get(item->bytes_used);
	pthread_mutex_unlock(&v->change_lock);
	return 0;
}

bool vol_device_item(const struct vol *v, unsigned index, struct btrfs_dev_item *out_item)
{
	pthread_mutex_t *lock = (pthread_mutex_t *)(uintptr_t)&v->change_lock;

	if (index >= v->nr_devs)
		return false;
	pthread_mutex_lock(lock);
	*out_item = v->devs[index]->item;
	pthread_mutex_unlock(lock);
	return true;
}

bool vol_device_get(const struct vol *v, unsigned index, struct vol_device_info *out_info)
{
	const struct vol_dev *dev;

	memset(out_info, 0, sizeof(*out_info));
	if (index >= v->nr_devs)
		return false;
	dev = v->devs[index];
	/* The lock is no part of what a const volume promises. */
	pthread_mutex_lock((pthread_mutex_t *)(uintptr_t)&v->change_lock);
	out_info->total_bytes = dev->total_bytes;
	out_info->bytes_used = dev->bytes_used;
	pthread_mutex_unlock((pthread_mutex_t *)(uintptr_t)&v->change_lock);
	out_info->devid = dev->devid;
	memcpy(out_info->uuid, dev->uuid, 16);
	memcpy(out_info->fsid, dev->fsid, 16);
	out_info->name = dev->bdev ? bdev_name(dev->bdev) : NULL;
	out_info->missing = !dev->bdev;
	out_info->seed = dev->seed;
	out_info->writable = vol_dev_is_written(dev);
	out_info->stale = atomic_load(&dev->stale);
	out_info->write_errors = atomic_load(&dev->write_errors);
	out_info->flush_errors = atomic_load(&dev->flush_errors);
	return true;
}
