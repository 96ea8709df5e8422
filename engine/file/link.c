// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Links: another name for an inode, and taking names away. An inode whose last name goes becomes an
 * orphan in the same transaction, so that a crash leaves no inode that nobody would find.
 */
#include "engine/file/change_priv.h"

#include <string.h>
#include <sys/stat.h>

int chg_link(struct chg *c, uint64_t ino, uint64_t dir, const char *name, size_t len,
	     const struct timespec *now, struct ino_attr *out_attr)
{
	struct entry e = { .dir = dir, .name = name, .len = len, .ino = ino };
	struct ino_attr attr, parent;
	int err;

	memset(out_attr, 0, sizeof(*out_attr));
	err = inode_load_dir(c, dir, &parent);
	if (!err)
		err = ino_load(c->fs, c->root, ino, &attr);
	if (!err && S_ISDIR(attr.mode))
		err = -EPERM;
	if (!err && attr.nlink >= BTRFS_LINK_MAX)
		err = -EMLINK;
	if (!err)
		err = entry_check_new(c, &e);
	if (!err)
		err = entry_check_ref(c, &e);
	if (!err)
		err = dir_next_index(c, dir, &e.index);
	if (!err)
		err = chg_begin(c, attr.nlink ? 5 : 6, false);
	if (err)
		return err;
	e.type = mode_to_ft(attr.mode);
	/* Without an orphan item it is on its way out. */
	if (!attr.nlink)
		err = orphan_remove(c, ino);
	if (!err)
		err = entry_add_ref(c, &e);
	if (!err)
		err = entry_add_dir(c, &e);
	if (!err)
		err = inode_edit_links(c, ino, 1, now, NULL, out_attr);
	if (!err)
		err = inode_edit_dir(c, dir, (int64_t)len, now);
	return chg_done(c, err);
}

int victim_check(const struct chg *c, const struct entry *e, bool want_dir)
{
	struct ino_attr attr;
	int ret = ino_load(c->fs, c->root, e->ino, &attr);

	if (ret)
		return ret;
	if (!S_ISDIR(attr.mode))
		return want_dir ? -ENOTDIR : 0;
	if (!want_dir)
		return -EISDIR;
	if (attr.size)
		return -ENOTEMPTY;
	/* The size alone is not to be relied on. */
	ret = dir_has_entries(c, e->ino);
	return ret > 0 ? -ENOTEMPTY : ret;
}

int victim_remove(struct chg *c, const struct entry *e, const struct timespec *now,
		  uint32_t *out_left)
{
	int err = entry_remove_dir(c, e);

	if (!err)
		err = entry_remove_ref(c, e);
	if (!err)
		err = inode_edit_links(c, e->ino, -1, now, out_left, NULL);
	if (!err && !*out_left)
		err = orphan_add(c, e->ino);
	return err;
}

int chg_unlink(struct chg *c, uint64_t dir, const char *name, size_t len, bool rmdir,
	       const struct timespec *now, uint64_t *out_ino, uint32_t *out_left)
{
	struct entry e = { .dir = dir, .name = name, .len = len };
	uint32_t left = 0;
	int err;

	*out_ino = 0;
	*out_left = 0;
	err = entry_load(c, &e);
	if (!err)
		err = victim_check(c, &e, rmdir);
	/* Both of the directory's items, its inode; the back reference, the inode, the orphan item.
	 */
	if (!err)
		err = chg_begin(c, 6, true);
	if (err)
		return err;
	err = victim_remove(c, &e, now, &left);
	if (!err)
		err = inode_edit_dir(c, dir, -(int64_t)len, now);
	err = chg_done(c, err);
	if (!err) {
		*out_ino = e.ino;
		*out_left = left;
	}
	return err;
}
