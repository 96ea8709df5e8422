// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The reference model: operations on names, each in the order in which Linux finds what is wrong.
 * See model.h.
 */
#include <errno.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "ondisk/format.h"
#include "tests/lib/blk.h"
#include "tests/lib/model_priv.h"

#define LINKS_MAX 65535
#define TARGET_MAX 4095 /* of Linux, whatever a leaf holds */
#define PROP "btrfs.compression"

static void touch_dir(struct model_inode *dir, const struct op_time *began)
{
	model_since(&dir->mtime, began);
	model_since(&dir->ctime, began);
}

/* Largest item of a leaf of this node size. */
static uint32_t item_max(const struct model *m)
{
	return m->limits.nodesize - (uint32_t)sizeof(struct btrfs_header) -
	       (uint32_t)sizeof(struct btrfs_item);
}

/* What Linux hands down from a directory: btrfs' flags and the property. */
static void inherit(struct model_inode *i, const struct model_inode *dir)
{
	const struct model_xattr *prop = model_find_xattr(dir, PROP);

	i->gid = dir->mode & S_ISGID ? dir->gid : 0;
	if (dir->mode & S_ISGID && S_ISDIR(i->mode))
		i->mode |= S_ISGID;
	if (dir->flags & BTRFS_INODE_NOCOMPRESS)
		i->flags |= BTRFS_INODE_NOCOMPRESS;
	else if (dir->flags & BTRFS_INODE_COMPRESS)
		i->flags |= BTRFS_INODE_COMPRESS;
	i->flags |= dir->flags & BTRFS_INODE_NODATACOW;
	if (!prop || !(S_ISREG(i->mode) || S_ISDIR(i->mode)) || i->flags & BTRFS_INODE_NODATACOW ||
	    !(dir->flags & BTRFS_INODE_COMPRESS))
		return;
	model_set_xattr(i, PROP, prop->value, prop->len);
	i->flags |= BTRFS_INODE_COMPRESS;
}

static struct model_inode *new_inode(struct model *m, struct model_inode *dir, uint32_t mode,
				     const struct op_time *began)
{
	struct model_inode *i = model_new_inode(m, mode);

	inherit(i, dir);
	model_since(&i->atime, began);
	model_since(&i->mtime, began);
	model_since(&i->ctime, began);
	return i;
}

/* The place for a new name: all that is checked before the kind matters. */
static int new_place(struct model *m, const char *path, struct model_inode **out_dir, char *name,
		     uint32_t *out_len)
{
	struct model_inode *there;
	int err = model_parent(m, path, out_dir, name, out_len);

	if (err)
		return err;
	err = model_child(*out_dir, name, *out_len, &there);
	if (!err)
		return -EEXIST;
	return err == -ENOENT && !model_dead(*out_dir) ? 0 : err;
}

static int set_target(struct model *m, struct model_inode *i, const char *token)
{
	char target[OP_NAME_ROOM];
	const size_t len = op_expand(token, strlen(token), target);

	if (len > item_max(m) - offsetof(struct btrfs_file_extent_item, disk_bytenr) ||
	    len > TARGET_MAX)
		return -ENAMETOOLONG;
	i->data = blk_must(strdup(target));
	i->data_len = (uint32_t)len;
	i->size = len;
	return 0;
}

int model_op_new(struct model *m, const struct op *op, int hint, const struct op_time *began,
		 struct want *want)
{
	static const uint32_t types[] = {
		[OP_CREATE] = S_IFREG,
		[OP_MKDIR] = S_IFDIR,
		[OP_MKNOD] = 0,
		[OP_SYMLINK] = S_IFLNK | 0777,
	};
	char name[OP_NAME_ROOM];
	struct model_inode *dir, *i;
	uint32_t len;
	int err = new_place(m, op->path, &dir, name, &len);

	if (err)
		return err;
	i = new_inode(m, dir, types[op->kind] | (uint32_t)op->n[0], began);
	if (S_ISCHR(i->mode) || S_ISBLK(i->mode)) {
		i->major = (uint32_t)op->n[1];
		i->minor = (uint32_t)op->n[2];
	}
	err = op->kind == OP_SYMLINK ? set_target(m, i, op->name) : 0;
	if (err) {
		model_free_inode(m, i);
		return err;
	}
	model_add_name(m, dir, op->path, name, len, i);
	touch_dir(dir, began);
	want->attr = i;
	return 0;
}

int model_op_link(struct model *m, const struct op *op, int hint, const struct op_time *began,
		  struct want *want)
{
	char name[OP_NAME_ROOM];
	struct model_inode *dir, *i;
	uint32_t len;
	int err = model_lookup(m, op->path, &i);

	if (!err)
		err = new_place(m, op->to, &dir, name, &len);
	if (err)
		return err;
	if (S_ISDIR(i->mode))
		return -EPERM;
	if (!i->nlink)
		return -ENOENT;
	if (i->nlink >= LINKS_MAX)
		return -EMLINK;
	i->nlink++;
	model_add_name(m, dir, op->to, name, len, i);
	model_since(&i->ctime, began);
	touch_dir(dir, began);
	want->attr = i;
	return 0;
}

/* The inode has lost a name. */
static void lost(struct model *m, struct model_inode *i, const struct op_time *began)
{
	i->nlink--;
	model_since(&i->ctime, began);
	model_release(m, i);
}

static int remove_entry(struct model *m, const struct op *op, const struct op_time *began,
			bool rmdir)
{
	char name[OP_NAME_ROOM];
	struct model_inode *dir, *i;
	uint32_t len;
	int err = model_parent(m, op->path, &dir, name, &len);

	if (!err)
		err = model_child(dir, name, len, &i);
	if (err)
		return err;
	if (rmdir && !S_ISDIR(i->mode))
		return -ENOTDIR;
	if (!rmdir && S_ISDIR(i->mode))
		return -EISDIR;
	if (rmdir && i->names_nr)
		return -ENOTEMPTY;
	model_remove_name(m, dir, model_find(dir, name, len));
	touch_dir(dir, began);
	lost(m, i, began);
	return 0;
}

int model_op_unlink(struct model *m, const struct op *op, int hint, const struct op_time *began,
		    struct want *want)
{
	return remove_entry(m, op, began, false);
}

int model_op_rmdir(struct model *m, const struct op *op, int hint, const struct op_time *began,
		   struct want *want)
{
	return remove_entry(m, op, began, true);
}

/* ---- rename ---- */

struct side {
	struct model_inode *dir, *inode;
	char name[OP_NAME_ROOM];
	uint32_t len;
};

static bool below(const struct model_inode *i, const struct model_inode *dir)
{
	while (i && i != dir)
		i = i->parent;
	return i;
}

/* All that Linux checks before it does anything. 1: nothing is to be done. */
static int rename_check(struct model *m, const struct op *op, int hint, struct side *from,
			struct side *to)
{
	int err;

	if (op->flags & RENAME_EXCHANGE && op->flags & (RENAME_NOREPLACE | RENAME_WHITEOUT))
		return -EINVAL;
	err = model_parent(m, op->path, &from->dir, from->name, &from->len);
	if (!err)
		err = model_parent(m, op->to, &to->dir, to->name, &to->len);
	/* Which of two things is wrong is seen first does not matter. */
	if (!err && hint == -ENAMETOOLONG && (from->len > 255 || to->len > 255))
		return hint;
	if (!err)
		err = model_child(from->dir, from->name, from->len, &from->inode);
	if (err)
		return err;
	err = model_child(to->dir, to->name, to->len, &to->inode);
	if (err && (err != -ENOENT || op->flags & RENAME_EXCHANGE || model_dead(to->dir)))
		return err;
	if (to->inode && op->flags & RENAME_NOREPLACE)
		return -EEXIST;
	if (S_ISDIR(from->inode->mode) && below(to->dir, from->inode))
		return -EINVAL;
	if (to->inode && S_ISDIR(to->inode->mode) && below(from->dir, to->inode)) {
		if (op->flags & RENAME_EXCHANGE)
			return -EINVAL;
		/* Linux sees that before a filesystem is asked; by itself one may say this too. */
		return hint == -EISDIR && !S_ISDIR(from->inode->mode) ? hint : -ENOTEMPTY;
	}
	if (from->inode == to->inode)
		return 1;
	if (!to->inode || op->flags & RENAME_EXCHANGE)
		return 0;
	if (S_ISDIR(from->inode->mode) && !S_ISDIR(to->inode->mode))
		return -ENOTDIR;
	if (!S_ISDIR(from->inode->mode) && S_ISDIR(to->inode->mode))
		return -EISDIR;
	return S_ISDIR(to->inode->mode) && to->inode->names_nr ? -ENOTEMPTY : 0;
}

static void remove_side(struct model *m, struct side *s)
{
	model_remove_name(m, s->dir, model_find(s->dir, s->name, s->len));
}

int model_op_rename(struct model *m, const struct op *op, int hint, const struct op_time *began,
		    struct want *want)
{
	struct side from = { 0 }, to = { 0 };
	int err = rename_check(m, op, hint, &from, &to);

	if (err)
		return err < 0 ? err : 0;
	remove_side(m, &from);
	if (to.inode)
		remove_side(m, &to);
	model_add_name(m, to.dir, op->to, to.name, to.len, from.inode);
	model_since(&from.inode->ctime, began);
	touch_dir(from.dir, began);
	touch_dir(to.dir, began);
	if (op->flags & RENAME_EXCHANGE) {
		model_add_name(m, from.dir, op->path, from.name, from.len, to.inode);
		model_since(&to.inode->ctime, began);
	} else if (to.inode) {
		lost(m, to.inode, began);
	}
	if (op->flags & RENAME_WHITEOUT)
		model_add_name(m, from.dir, op->path, from.name, from.len,
			       new_inode(m, from.dir, S_IFCHR, began));
	return 0;
}
