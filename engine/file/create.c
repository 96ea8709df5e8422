// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * New inodes: what they inherit, and their first items.
 *
 * From its directory an inode has what Linux gives it: the group where the directory is setgid, the
 * flags NOCOMPRESS or COMPRESS and NODATACOW (with NODATASUM for a file), and the property
 * btrfs.compression.
 */
#include "engine/file/change_priv.h"
#include "engine/file/file_priv.h"
#include "engine/util/fault.h"

#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#define PROPERTY "btrfs.compression"

static uint32_t inherit_flags(const struct ino_attr *parent, uint32_t mode)
{
	uint32_t flags = 0;

	if (parent->flags & BTRFS_INODE_NOCOMPRESS)
		flags |= BTRFS_INODE_NOCOMPRESS;
	else if (parent->flags & BTRFS_INODE_COMPRESS)
		flags |= BTRFS_INODE_COMPRESS;
	if (parent->flags & BTRFS_INODE_NODATACOW)
		flags |= BTRFS_INODE_NODATACOW | (S_ISREG(mode) ? BTRFS_INODE_NODATASUM : 0);
	return flags;
}

/* The method that the directory's property names, without a level. */
static int inherit_compression(const struct chg *c, const struct ino_attr *parent, uint32_t mode,
			       uint32_t flags, const char **out_name)
{
	static const char *const names[] = { "zlib", "lzo", "zstd" };
	char value[16];
	int64_t len;

	*out_name = NULL;
	if (PLANTED("inherit_no_property") && S_ISREG(mode))
		return 0;
	/* Whoever set the property has set the flag too, and what does not copy on write is not
	 * compressed. */
	if (!(parent->flags & BTRFS_INODE_COMPRESS) || (!S_ISREG(mode) && !S_ISDIR(mode)) ||
	    (flags & (BTRFS_INODE_NODATACOW | BTRFS_INODE_NODATASUM)))
		return 0;
	len = xattr_get(c->fs, c->root, parent->ino, PROPERTY, strlen(PROPERTY), value,
			sizeof(value));
	if (len < 0)
		return len == -ENODATA || len == -ERANGE ? 0 : (int)len;
	for (unsigned i = 0; i < 3; i++)
		if ((size_t)len >= strlen(names[i]) && !memcmp(value, names[i], strlen(names[i])))
			*out_name = names[i];
	return 0;
}

static int check_xattrs(const struct chg *c, const struct ino_new *what)
{
	for (unsigned i = 0; i < what->xattrs_nr; i++) {
		const struct ino_xattr *x = &what->xattrs[i];

		if (!x->name_len || x->name_len > 255)
			return -ERANGE;
		if (x->name_len + x->size > xattr_max(c))
			return -ENOSPC;
	}
	return 0;
}

int newborn_prepare(struct chg *c, struct newborn *nb, const struct ino_attr *parent,
		    const struct ino_new *what)
{
	uint32_t mode = what->mode & (S_IFMT | 07777), gid = what->gid, flags;
	struct btrfs_timespec now = time_make(&what->now);
	int err;

	*nb = (struct newborn){ .what = what };
	if (mode_to_ft(mode) == BTRFS_FT_UNKNOWN)
		return -EINVAL;
	if (S_ISLNK(mode) && !what->target_len)
		return -EINVAL;
	if (S_ISLNK(mode) &&
	    (what->target_len >= PATH_MAX || what->target_len >= c->fs->sectorsize ||
	     what->target_len > item_max(c) - BTRFS_FILE_EXTENT_INLINE_DATA_START))
		return -ENAMETOOLONG;
	err = check_xattrs(c, what);
	if (err)
		return err;
	if (parent->mode & S_ISGID) {
		gid = parent->gid;
		mode |= S_ISDIR(mode) ? S_ISGID : 0;
	}
	flags = inherit_flags(parent, mode);
	err = inherit_compression(c, parent, mode, flags, &nb->compression);
	if (err)
		return err;
	nb->item = (struct btrfs_inode_item){
		.size = le64_make(S_ISLNK(mode) ? what->target_len : 0),
		.nbytes = le64_make(S_ISLNK(mode) ? what->target_len : 0),
		.nlink = le32_make(1),
		.uid = le32_make(what->uid),
		.gid = le32_make(gid),
		.mode = le32_make(mode),
		.rdev = le64_make(S_ISCHR(mode) || S_ISBLK(mode) ? ino_rdev_make(what->rdev) : 0),
		.flags = le64_make(flags),
		.atime = now,
		.ctime = now,
		.mtime = now,
		.otime = now,
	};
	return c->ops->next_ino(c, &nb->ino);
}

unsigned newborn_items(const struct newborn *nb)
{
	/* The back reference goes with the inode's item, or else an orphan item of its own. */
	return 2 + S_ISLNK(le32_get(nb->item.mode)) + !!nb->compression + nb->what->xattrs_nr;
}

/* The two items are neighbours: no inode has a higher number. */
static int insert_inode(struct chg *c, const struct newborn *nb, const struct entry *e)
{
	struct btrfs_key keys[2] = { { nb->ino, BTRFS_INODE_ITEM_KEY, 0 },
				     { nb->ino, BTRFS_INODE_REF_KEY, 0 } };
	uint32_t sizes[2] = { sizeof(nb->item), sizeof(struct btrfs_inode_ref) };
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	struct btrfs_inode_ref *ref;
	uint32_t bytes;
	int ret;

	if (e) {
		keys[1].offset = e->dir;
		sizes[1] += (uint32_t)e->len;
	}
	bytes = sizes[0] + (e ? sizes[1] : 0) + 2 * (uint32_t)sizeof(struct btrfs_item);
	ret = bt_search_change(c->t, c->tree, &keys[0], BT_INSERT, bytes, &path);
	if (ret < 0)
		return ret;
	if (!ret)
		return chg_corrupt(c, &keys[0], "there is an inode of the next free number");
	ret = bt_insert_items(c->t, &path, keys, sizes, e ? 2 : 1);
	if (ret)
		return ret;
	c->changed = true;
	memcpy(bt_item_mut(c->t, &path), &nb->item, sizeof(nb->item));
	if (e) {
		path.slots[0]++;
		ref = bt_item_mut(c->t, &path);
		ref->index = le64_make(e->index);
		ref->name_len = le16_make((uint16_t)e->len);
		memcpy(ref + 1, e->name, e->len);
	}
	return 0;
}

static int insert_target(struct chg *c, const struct newborn *nb)
{
	if (!S_ISLNK(le32_get(nb->item.mode)))
		return 0;
	return inline_store(c, nb->ino, nb->what->target, (uint32_t)nb->what->target_len);
}

int newborn_insert(struct chg *c, struct newborn *nb, struct entry *e)
{
	int err;

	nb->item.generation = nb->item.transid = le64_make(c->t->generation);
	if (e) {
		e->ino = nb->ino;
		e->type = mode_to_ft(le32_get(nb->item.mode));
	} else {
		nb->item.nlink = le32_make(0);
	}
	err = insert_inode(c, nb, e);
	if (!err)
		err = insert_target(c, nb);
	if (!err && nb->compression) {
		const struct ino_xattr x = { PROPERTY, strlen(PROPERTY), nb->compression,
					     strlen(nb->compression) };

		err = xattr_insert(c, nb->ino, &x);
	}
	for (unsigned i = 0; !err && i < nb->what->xattrs_nr; i++)
		err = xattr_insert(c, nb->ino, &nb->what->xattrs[i]);
	if (!err && !e)
		err = orphan_add(c, nb->ino);
	return err;
}

int chg_create(struct chg *c, uint64_t dir, const char *name, size_t len,
	       const struct ino_new *what, struct ino_attr *out_attr)
{
	struct entry e = { .dir = dir, .name = name, .len = len };
	struct ino_attr parent;
	struct newborn nb;
	int err;

	memset(out_attr, 0, sizeof(*out_attr));
	err = inode_load_dir(c, dir, &parent);
	if (!err && name)
		err = entry_check_new(c, &e);
	if (!err && name)
		err = dir_next_index(c, dir, &e.index);
	if (!err)
		err = newborn_prepare(c, &nb, &parent, what);
	if (!err)
		err = chg_begin(c, newborn_items(&nb) + (name ? 3 : 0), false);
	if (err)
		return err;
	err = newborn_insert(c, &nb, name ? &e : NULL);
	if (!err && name)
		err = entry_add_dir(c, &e);
	if (!err && name)
		err = inode_edit_dir(c, dir, (int64_t)len, &what->now);
	if (!err)
		ino_attr_get(&nb.item, nb.ino, out_attr);
	return chg_done(c, err);
}
