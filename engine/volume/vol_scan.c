// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Looking for the other devices of a filesystem among the system's block devices.
 *
 * What can't be opened or is something else is passed over in silence: nobody asked for it. A
 * device that belongs to the filesystem and can't be had is said.
 */
#include "engine/volume/vol_priv.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Whether this is a superblock of the wanted filesystem; a seed may be named by either of its ids.
 */
static bool is_wanted(const struct btrfs_super_block *sb, const uint8_t fsid[16])
{
	struct btrfs_geometry geo;

	if (!memcmp(sb->fsid, fsid, 16))
		return true;
	btrfs_geometry_from_super(sb, &geo);
	return !memcmp(geo.fsid, fsid, 16);
}

static bool already_open(const struct vol *v, const struct btrfs_super_block *sb)
{
	const struct vol_dev *dev =
		vol_dev_find(v, le64_get(sb->dev_item.devid), sb->dev_item.uuid);

	return dev && dev->bdev;
}

int vol_scan_path(struct vol *v, const char *path, const uint8_t fsid[16], bool seed)
{
	struct btrfs_check_error err;
	struct super_found found;
	struct bdev *dev;
	bool wanted;
	int ret;

	/* A look first, which disturbs nobody. */
	ret = bdev_open(path, 0, BDEV_SHARED, BDEV_IO_PREAD, NULL, NULL, &dev);
	if (ret)
		return ret == -ENOMEM ? ret : 0;
	wanted = super_read_copy(dev, 0, v->opts.ignore_csum, &found.sb, &err) == 0 &&
		 is_wanted(&found.sb, fsid) && !already_open(v, &found.sb);
	bdev_close(dev);
	if (!wanted)
		return 0;

	ret = bdev_open(path, 0, v->share, v->mode, v->msg, v->counters, &dev);
	if (ret)
		return ret == -ENOMEM ? ret : 0;
	if (super_read(dev, &v->opts, MSG_WARN, v->msg, &found) || !is_wanted(&found.sb, fsid)) {
		bdev_close(dev);
		return 0;
	}
	ret = vol_dev_attach(v, dev, &found, seed);
	if (ret)
		bdev_close(dev);
	return ret;
}

int vol_scan(struct vol *v, const uint8_t fsid[16], bool seed)
{
	FILE *f = fopen("/proc/partitions", "re");
	char line[256], name[128], path[160];
	unsigned long long blocks;
	int ret = 0;

	if (!f) {
		msg_warn(v->msg, "/proc/partitions cannot be read: no devices are looked for");
		return 0;
	}
	while (!ret && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%*u %*u %llu %127s", &blocks, name) != 2 ||
		    blocks <= BTRFS_SUPER_INFO_OFFSET / 1024)
			continue;
		/* The kernel writes a ! where a name has a directory. */
		for (char *p = name; *p; p++)
			if (*p == '!')
				*p = '/';
		snprintf(path, sizeof(path), "/dev/%s", name);
		ret = vol_scan_path(v, path, fsid, seed);
	}
	fclose(f);
	return ret;
}
