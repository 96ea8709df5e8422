/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opening a built volume, for the tests of volume/. */
#ifndef UBTRFS_TESTS_UNIT_VOLOPEN_H
#define UBTRFS_TESTS_UNIT_VOLOPEN_H

#include "tests/unit/volbuild.h"

#include <stdlib.h>

/* vol_open with the devices that are not missing. */
static inline int open_devices(struct vb *vb, const struct vol_opts *opts, struct msg *msg,
			       struct counters *counters, struct vol **out_vol)
{
	struct bdev *devs[VB_MAX_DEVS];
	unsigned nr = 0;

	*out_vol = NULL;
	for (unsigned i = 0; i < vb->nr_devs; i++) {
		if (vb->devs[i].state == VB_MISSING)
			continue;
		devs[nr] = vb_bdev(vb, i, msg, counters);
		if (!devs[nr++]) {
			while (--nr)
				bdev_close(devs[nr - 1]);
			return -ENOMEM;
		}
	}
	return vol_open(devs, nr, opts, BDEV_EXCLUSIVE, BDEV_IO_AUTO, msg, counters, out_vol);
}

/* The chunk tree: what an opener does between vol_open and reading. */
static inline int feed(struct vb *vb, struct vol *v)
{
	struct btrfs_dev_item item;
	uint8_t buf[512];
	int ret = 0;

	for (unsigned i = 0; i < vb->nr_chunks && !ret; i++)
		ret = vol_chunk_add(v, vb->chunks[i].logical, vb_chunk_item(vb, i, buf));
	for (unsigned i = 0; i < vb->nr_devs && !ret; i++) {
		vb_make_dev_item(vb, i, &item);
		ret = vol_device_add(v, &item);
	}
	return ret ? ret : vol_finish(v);
}

/* Both; NULL in *out_vol on failure. */
static inline int open_volume(struct vb *vb, const struct vol_opts *opts, struct msg *msg,
			      struct counters *counters, struct vol **out_vol)
{
	int ret = open_devices(vb, opts, msg, counters, out_vol);

	if (!ret)
		ret = feed(vb, *out_vol);
	if (ret) {
		vol_close(*out_vol);
		*out_vol = NULL;
	}
	return ret;
}

#endif
