// SPDX-License-Identifier: GPL-2.0-or-later
/* Setting what inode items say, but for sizes and links. */
#include "engine/file/change_priv.h"
#include "engine/file/file_priv.h"

#include <string.h>
#include <sys/stat.h>

/*
 * A file with data keeps how its data is written and summed: what is there has sums or has not. The
 * upper half, verity's, is nobody's to set here.
 */
static uint64_t new_flags(const struct btrfs_inode_item *item, uint64_t want)
{
	const uint64_t data = BTRFS_INODE_NODATACOW | BTRFS_INODE_NODATASUM;
	uint64_t old = le64_get(item->flags), keep = ~(uint64_t)UINT32_MAX;

	if (S_ISREG(le32_get(item->mode)) && (le64_get(item->size) || le64_get(item->nbytes)))
		keep |= data;
	return (old & keep) | (want & BTRFS_INODE_FLAG_MASK & ~keep);
}

static void apply(struct btrfs_inode_item *item, unsigned set, const struct ino_attr *attr)
{
	if (set & INO_SET_MODE)
		item->mode = le32_make((le32_get(item->mode) & S_IFMT) | (attr->mode & 07777));
	if (set & INO_SET_UID)
		item->uid = le32_make(attr->uid);
	if (set & INO_SET_GID)
		item->gid = le32_make(attr->gid);
	if (set & INO_SET_ATIME)
		item->atime = time_make(&attr->atime);
	if (set & INO_SET_MTIME)
		item->mtime = time_make(&attr->mtime);
	if (set & INO_SET_CTIME)
		item->ctime = time_make(&attr->ctime);
	if (set & INO_SET_OTIME)
		item->otime = time_make(&attr->otime);
	if (set & INO_SET_FLAGS)
		item->flags = le64_make(new_flags(item, attr->flags));
}

int chg_setattr(struct chg *c, uint64_t ino, unsigned set, const struct ino_attr *attr,
		struct ino_attr *out_attr)
{
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	struct btrfs_inode_item *item;
	int err;

	memset(out_attr, 0, sizeof(*out_attr));
	err = chg_begin(c, 1, false);
	if (err)
		return err;
	err = inode_edit(c, ino, &path, &item);
	if (!err) {
		apply(item, set, attr);
		ino_attr_get(item, ino, out_attr);
		bt_path_release(&path);
	}
	return chg_done(c, err);
}
