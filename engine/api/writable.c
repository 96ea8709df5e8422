// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What this engine reads and does not write.
 *
 * Each refusal is one line: what it is, and what can be done about it. They come in the order in
 * which a person would see to them: first what the superblock says, then devices and chunks, then
 * trees.
 */
#include "engine/api/api_priv.h"

#include "engine/volume/raid.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define KNOWN_COMPAT_RO                                                                            \
	(BTRFS_FEATURE_COMPAT_RO_FREE_SPACE_TREE | BTRFS_FEATURE_COMPAT_RO_FREE_SPACE_TREE_VALID | \
	 BTRFS_FEATURE_COMPAT_RO_BLOCK_GROUP_TREE)

#define refuse(efs, ...) refuse_with((efs), -EROFS, __VA_ARGS__)

__attribute__((format(printf, 3, 4))) static int refuse_with(struct eng_fs *efs, int err,
							     const char *fmt, ...)
{
	char why[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	msg_err(efs->fs.msg, "cannot open for writing: %s", why);
	return err;
}

/* ---- the superblock ---- */

static int check_log(struct eng_fs *efs)
{
	if (!le64_get(efs->fs.super.log_root))
		return 0;
	return refuse(
		efs,
		"an unclean shutdown left a log tree, which is not replayed here: mount once with the "
		"kernel's btrfs, or drop what is only in the log with `ubtrfsctl rescue zero-log`");
}

static int check_compat_ro(struct eng_fs *efs)
{
	uint64_t bits = le64_get(efs->fs.super.compat_ro_flags);
	bool fst = bits & BTRFS_FEATURE_COMPAT_RO_FREE_SPACE_TREE;
	bool valid = bits & BTRFS_FEATURE_COMPAT_RO_FREE_SPACE_TREE_VALID;

	if (bits & BTRFS_FEATURE_COMPAT_RO_VERITY)
		return refuse(efs,
			      "the feature verity is not written by this version: read-only works");
	if (bits & ~(uint64_t)KNOWN_COMPAT_RO)
		return refuse(
			efs,
			"unknown features (compat_ro 0x%llx): a newer version is needed, read-only works",
			(unsigned long long)(bits & ~(uint64_t)KNOWN_COMPAT_RO));
	if (fst && !valid)
		return refuse(
			efs,
			"the free space tree is marked as not valid: mount once with the kernel's btrfs, "
			"which makes it anew");
	return 0;
}

static int check_super(struct eng_fs *efs)
{
	const struct btrfs_super_block *sb = &efs->fs.super;
	uint64_t incompat = le64_get(sb->incompat_flags);
	uint64_t generation = le64_get(sb->generation);

	if (le64_get(sb->flags) & BTRFS_SUPER_FLAG_ERROR)
		return refuse(
			efs,
			"the superblock says that an error was met earlier: run `btrfs check`");
	if (le64_get(sb->flags) & BTRFS_SUPER_FLAG_SEEDING)
		return refuse(
			efs,
			"it is a seed, which stays as it is (`btrfstune -S 0` makes it an ordinary one)");
	if (!(incompat & BTRFS_FEATURE_INCOMPAT_MIXED_BACKREF))
		return refuse(
			efs,
			"its back references are of the form from before Linux 2.6.31: read-only works");
	if (incompat & BTRFS_FEATURE_INCOMPAT_SIMPLE_QUOTA)
		return refuse(
			efs,
			"simple quotas are not kept by this version: disable them with `btrfs quota "
			"disable`, or open it read-only");
	if (le64_get(sb->chunk_root_generation) > generation || generation > INT64_MAX)
		return refuse(
			efs,
			"generations make no sense (superblock %llu, chunk tree %llu): run `btrfs check`",
			(unsigned long long)generation,
			(unsigned long long)le64_get(sb->chunk_root_generation));
	return check_compat_ro(efs);
}

/* ---- devices and chunks ---- */

static int check_devices(struct eng_fs *efs, unsigned given)
{
	struct vol_device_info dev;
	unsigned nr = 0;

	for (unsigned i = 0; vol_device_get(efs->fs.vol, i, &dev); i++) {
		nr++;
		if (dev.missing)
			return refuse(
				efs,
				"device %llu is missing: a degraded filesystem is only read by this version",
				(unsigned long long)dev.devid);
		if (dev.seed)
			return refuse(
				efs,
				"it grew out of a seed that is still there: more than one device is only "
				"read by this version");
	}
	if (nr > 1 || given > 1 || le64_get(efs->fs.super.num_devices) != 1)
		return refuse(efs,
			      "it has %llu devices: more than one is only read by this version",
			      (unsigned long long)le64_get(efs->fs.super.num_devices));
	return 0;
}

static int check_profiles(struct eng_fs *efs)
{
	struct vol_chunk_info chunk;

	for (unsigned i = 0; vol_chunk_get(efs->fs.vol, i, &chunk); i++) {
		const struct raid_profile *p = raid_profile(chunk.type);

		if (p && (!p->flag || p->flag == BTRFS_BLOCK_GROUP_DUP))
			continue;
		return refuse(
			efs,
			"its chunk %llu has the profile %s: only single and DUP are written by this "
			"version",
			(unsigned long long)chunk.logical, p ? p->name : "unknown");
	}
	return 0;
}

/* ---- trees ---- */

static int check_roots(struct eng_fs *efs)
{
	const struct fs *fs = &efs->fs;
	uint64_t compat_ro = le64_get(fs->super.compat_ro_flags);
	const char *missing = NULL;

	if (!fs->extent_root.bytenr)
		missing = "extent tree";
	else if (!fs->dev_root.bytenr)
		missing = "device tree";
	else if (!fs->csum_root.bytenr)
		missing = "checksum tree";
	else if (!fs->fst_root.bytenr && compat_ro & BTRFS_FEATURE_COMPAT_RO_FREE_SPACE_TREE)
		missing = "free space tree";
	else if (fs->bg_root.id != BTRFS_BLOCK_GROUP_TREE_OBJECTID &&
		 compat_ro & BTRFS_FEATURE_COMPAT_RO_BLOCK_GROUP_TREE)
		missing = "block group tree";
	return missing ? refuse(efs, "its %s is not there: run `btrfs check`", missing) : 0;
}

static int check_quotas(struct eng_fs *efs)
{
	const struct btrfs_key key = { 0, BTRFS_QGROUP_STATUS_KEY, 0 };
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	const struct btrfs_qgroup_status_item *status;
	int ret;

	if (!efs->fs.quota_root.bytenr)
		return 0;
	ret = bt_search(&efs->fs.quota_root, &key, &path);
	if (ret)
		return ret < 0 ? ret : 0;
	status = bt_item(&path);
	if (!(le64_get(status->flags) & BTRFS_QGROUP_STATUS_FLAG_ON))
		return 0;
	return refuse(
		efs,
		"quotas are on, which this version does not keep: disable them with `btrfs quota disable`, "
		"or open it read-only");
}

/* A balance that only waits is no matter: its item stays for the kernel. One that broke off within
 * a chunk is. */
static int check_relocation(struct eng_fs *efs)
{
	const struct btrfs_key first = { BTRFS_TREE_RELOC_OBJECTID, BTRFS_ROOT_ITEM_KEY, 0 };
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	struct btrfs_key key;
	int ret = bt_search_ge(&efs->fs.tree_root, &first, &path);

	if (ret)
		return ret < 0 ? ret : 0;
	key = bt_key(&path);
	if (key.objectid != BTRFS_TREE_RELOC_OBJECTID || key.type != BTRFS_ROOT_ITEM_KEY)
		return 0;
	return refuse(
		efs,
		"a balance broke off in the middle of a chunk: mount once with the kernel's btrfs, which "
		"finishes it");
}

static int check_replace(struct eng_fs *efs)
{
	const struct btrfs_key key = { 0, BTRFS_DEV_REPLACE_KEY, 0 };
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	const struct btrfs_dev_replace_item *item;
	int ret = bt_search(&efs->fs.dev_root, &key, &path);
	uint64_t state;

	if (ret)
		return ret < 0 ? ret : 0;
	item = bt_item(&path);
	state = le64_get(item->replace_state);
	if (state != BTRFS_IOCTL_DEV_REPLACE_STATE_STARTED &&
	    state != BTRFS_IOCTL_DEV_REPLACE_STATE_SUSPENDED)
		return 0;
	return refuse(efs,
		      "a device is being replaced: finish or cancel that with the kernel's btrfs");
}

int api_check_writable(struct eng_fs *efs, unsigned devices_given)
{
	int err = check_log(efs);

	if (!err)
		err = check_super(efs);
	if (!err)
		err = check_devices(efs, devices_given);
	if (!err)
		err = check_profiles(efs);
	if (!err)
		err = check_roots(efs);
	if (!err)
		err = check_quotas(efs);
	if (!err)
		err = check_relocation(efs);
	if (!err)
		err = check_replace(efs);
	if (err && err != -EROFS)
		msg_err(efs->fs.msg, "cannot open for writing (%s)", strerror(-err));
	return err;
}
