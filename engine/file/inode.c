// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Inode items: changing. Each change sets transid and counts sequence on, as Linux's i_version
 * does.
 */
#include "engine/file/change_priv.h"
#include "engine/file/file_priv.h"

#include <string.h>
#include <sys/stat.h>

struct btrfs_timespec time_make(const struct timespec *ts)
{
	return (struct btrfs_timespec){
		.sec = le64_make((uint64_t)ts->tv_sec),
		.nsec = le32_make((uint32_t)ts->tv_nsec),
	};
}

uint8_t mode_to_ft(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return BTRFS_FT_REG_FILE;
	case S_IFDIR:
		return BTRFS_FT_DIR;
	case S_IFCHR:
		return BTRFS_FT_CHRDEV;
	case S_IFBLK:
		return BTRFS_FT_BLKDEV;
	case S_IFIFO:
		return BTRFS_FT_FIFO;
	case S_IFSOCK:
		return BTRFS_FT_SOCK;
	case S_IFLNK:
		return BTRFS_FT_SYMLINK;
	default:
		return BTRFS_FT_UNKNOWN;
	}
}

int inode_edit(struct chg *c, uint64_t ino, struct bt_path *path,
	       struct btrfs_inode_item **out_item)
{
	const struct btrfs_key key = { ino, BTRFS_INODE_ITEM_KEY, 0 };
	struct btrfs_inode_item *item;
	int ret;

	*out_item = NULL;
	ret = bt_search_change(c->t, c->tree, &key, BT_UPDATE, 0, path);
	/* Half-way it is one that names lead to. */
	if (ret > 0 && c->changed)
		return chg_corrupt(c, &key, "not there, expected to be changed");
	if (ret)
		return ret < 0 ? ret : -ENOENT;
	item = bt_item_mut(c->t, path);
	item->transid = le64_make(c->t->generation);
	item->sequence = le64_make(le64_get(item->sequence) + 1);
	c->changed = true;
	*out_item = item;
	return 0;
}

int inode_edit_dir(struct chg *c, uint64_t dir, int64_t names, const struct timespec *now)
{
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	struct btrfs_inode_item *item;
	int err = inode_edit(c, dir, &path, &item);
	int64_t size;

	if (err)
		return err;
	size = (int64_t)le64_get(item->size) + 2 * names;
	/* Sizes of directories are known to be wrong at times. */
	item->size = le64_make(size < 0 ? 0 : (uint64_t)size);
	item->mtime = item->ctime = time_make(now);
	return 0;
}

int inode_edit_links(struct chg *c, uint64_t ino, int add, const struct timespec *now,
		     uint32_t *out_left, struct ino_attr *out_attr)
{
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	struct btrfs_inode_item *item;
	int err = inode_edit(c, ino, &path, &item);
	uint32_t nlink;

	if (err)
		return err;
	nlink = le32_get(item->nlink);
	nlink = add < 0 && nlink < (uint32_t)-add ? 0 : nlink + (uint32_t)add;
	item->nlink = le32_make(nlink);
	item->ctime = time_make(now);
	if (out_left)
		*out_left = nlink;
	if (out_attr)
		ino_attr_get(item, ino, out_attr);
	return 0;
}

int inode_edit_ctime(struct chg *c, uint64_t ino, const struct timespec *now)
{
	return inode_edit_links(c, ino, 0, now, NULL, NULL);
}

int inode_load_dir(const struct chg *c, uint64_t dir, struct ino_attr *out_attr)
{
	int err = ino_load(c->fs, c->root, dir, out_attr);

	if (err)
		return err;
	if (!S_ISDIR(out_attr->mode))
		return -ENOTDIR;
	return out_attr->nlink ? 0 : -ENOENT;
}
