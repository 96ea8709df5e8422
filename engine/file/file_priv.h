/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the sources of file/ share. */
#ifndef UBTRFS_ENGINE_FILE_FILE_PRIV_H
#define UBTRFS_ENGINE_FILE_FILE_PRIV_H

#include "engine/file/ino.h"

#include <sys/types.h>

/*
 * The entry `name` in the DIR_ITEM or XATTR_ITEM that the path stands on: names of one hash share an item.
 * NULL: not there. Its name follows the struct, then its data.
 */
const struct btrfs_dir_item *dir_item_find(const struct bt_path *path, const char *name, size_t len);

/* What an inode item says. */
void ino_attr_get(const struct btrfs_inode_item *item, uint64_t ino, struct ino_attr *out_attr);
/* A device number as inode items have it. */
uint64_t ino_rdev_make(dev_t rdev);

/* Data sectors [logical, end) and their checksums, one after the other. */
struct dcsum_run {
	struct fs *fs;
	uint64_t logical;
	uint64_t end;
	const uint8_t *sums;
};

/*
 * Gets the checksums of [logical, logical + len), whole sectors, into sums[len / sectorsize * csum_size].
 * Sectors without one get zeros, which Linux compares with just so; *out_missing is how many bytes have none.
 * Return: 0; -EUCLEAN, -EIO, -ENOMEM.
 */
MUST_CHECK int dcsum_load(struct fs *fs, uint64_t logical, uint64_t len, uint8_t *sums,
			  uint64_t *out_missing);
/* A vol_verify_fn; arg: struct dcsum_run. */
bool dcsum_verify(void *arg, uint64_t logical, const void *buf, uint32_t unit);

#endif
