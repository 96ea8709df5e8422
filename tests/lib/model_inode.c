// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The reference model: operations on what an inode carries, and those that only look. See model.h.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "ondisk/csum.h"
#include "ondisk/format.h"
#include "tests/lib/blk.h"
#include "tests/lib/model_priv.h"

#define XATTR_NAME_LEN_MAX 255
#define XATTR_VALUE_MAX 65536
#define PROP "btrfs.compression"
#define COMPRESSION (BTRFS_INODE_COMPRESS | BTRFS_INODE_NOCOMPRESS)

int model_op_chmod(struct model *m, const struct op *op, int hint, const struct op_time *began,
		   struct want *want)
{
	struct model_inode *i;
	int err = model_lookup(m, op->path, &i);

	if (err)
		return err;
	if (S_ISLNK(i->mode))
		return -EOPNOTSUPP;
	i->mode = (i->mode & S_IFMT) | ((uint32_t)op->n[0] & 07777);
	model_since(&i->ctime, began);
	want->attr = i;
	return 0;
}

int model_op_chown(struct model *m, const struct op *op, int hint, const struct op_time *began,
		   struct want *want)
{
	struct model_inode *i;
	int err = model_lookup(m, op->path, &i);

	if (err)
		return err;
	i->uid = (uint32_t)op->n[0];
	i->gid = (uint32_t)op->n[1];
	model_since(&i->ctime, began);
	want->attr = i;
	return 0;
}

int model_op_utimes(struct model *m, const struct op *op, int hint, const struct op_time *began,
		    struct want *want)
{
	struct model_inode *i;
	int err = model_lookup(m, op->path, &i);

	if (err)
		return err;
	i->atime = (struct model_time){ TIME_EXACT, { op->n[0], op->n[1] } };
	i->mtime = (struct model_time){ TIME_EXACT, { op->n[2], op->n[3] } };
	model_since(&i->ctime, began);
	want->attr = i;
	return 0;
}

/* As chattr: the flags that it knows, by Linux's rules; what is compressed is left alone (see
 * ops.h). */
int model_op_chattr(struct model *m, const struct op *op, int hint, const struct op_time *began,
		    struct want *want)
{
	struct model_inode *i;
	uint32_t change = OP_CHATTR_FLAGS;
	int err = model_lookup(m, op->path, &i);

	if (err)
		return err;
	if (!(S_ISREG(i->mode) || S_ISDIR(i->mode)) || i->flags & COMPRESSION)
		return -EINVAL;
	if (S_ISREG(i->mode))
		change &= i->size ? ~(BTRFS_INODE_NODATACOW | BTRFS_INODE_DIRSYNC)
				  : ~BTRFS_INODE_DIRSYNC;
	i->flags = (i->flags & ~change) | (op->flags & change);
	model_since(&i->ctime, began);
	want->attr = i;
	return 0;
}

/* ---- extended attributes ---- */

/* 0, or why a name cannot be used on this inode. */
static int xattr_name(const struct model_inode *i, const char *token, char *name)
{
	if (op_expand(token, strlen(token), name) > XATTR_NAME_LEN_MAX)
		return -ERANGE;
	if (!strncmp(name, "user.", 5) && !S_ISREG(i->mode) && !S_ISDIR(i->mode))
		return -EPERM;
	return 0;
}

#define LEAF_BYTES(m) ((m)->limits.nodesize - (uint32_t)sizeof(struct btrfs_header))
#define ITEM ((uint32_t)sizeof(struct btrfs_item))
#define HEAD ((uint32_t)sizeof(struct btrfs_dir_item))

/* Most bytes of a name and its value. */
static uint32_t xattr_max(const struct model *m)
{
	return LEAF_BYTES(m) - ITEM - HEAD;
}

/* Attributes whose names have one hash share an item, which a leaf must hold. */
static int xattr_fits(const struct model *m, const struct model_inode *i,
		      const struct model_xattr *x, const char *name, uint32_t len, int hint)
{
	const uint32_t name_len = (uint32_t)strlen(name);
	const uint32_t hash = (uint32_t)btrfs_name_hash(name, name_len);
	uint32_t before = 0;

	for (uint32_t k = 0; k < i->xattrs_nr; k++)
		if (i->xattrs[k].hash == hash)
			before += HEAD + (uint32_t)strlen(i->xattrs[k].name) + i->xattrs[k].len;
	before += before ? HEAD + name_len + len : 0;
	if (before + 2 * ITEM <= LEAF_BYTES(m))
		return 0;
	/* Linux asks for room for another item's head. */
	if (!x)
		return before + ITEM <= LEAF_BYTES(m) && !hint ? 0 : -ENOSPC;
	/* Linux replaces only what it could also have added, or where the leaf happens to have
	 * room. */
	return len > x->len && hint == -ENOSPC ? -ENOSPC : 0;
}

int model_op_setxattr(struct model *m, const struct op *op, int hint, const struct op_time *began,
		      struct want *want)
{
	char name[OP_NAME_ROOM];
	struct model_inode *i;
	struct model_xattr *x;
	const uint32_t len = (uint32_t)op->n[0];
	uint8_t *value;
	int err = model_lookup(m, op->path, &i);

	if (!err)
		err = xattr_name(i, op->name, name);
	if (!err && len > XATTR_VALUE_MAX)
		err = -E2BIG;
	if (err)
		return err;
	x = model_find_xattr(i, name);
	if (len + strlen(name) > xattr_max(m))
		return -ENOSPC;
	if (!x && op->flags & XATTR_REPLACE)
		return -ENODATA;
	if (x && op->flags & XATTR_CREATE)
		return -EEXIST;
	err = xattr_fits(m, i, x, name, len, hint);
	if (err)
		return err;
	value = blk_must(malloc(len + 1));
	op_pattern((uint32_t)op->n[1], value, len);
	model_set_xattr(i, name, value, len);
	free(value);
	model_since(&i->ctime, began);
	return 0;
}

int model_op_rmxattr(struct model *m, const struct op *op, int hint, const struct op_time *began,
		     struct want *want)
{
	char name[OP_NAME_ROOM];
	struct model_inode *i;
	struct model_xattr *x;
	int err = model_lookup(m, op->path, &i);

	if (!err)
		err = xattr_name(i, op->name, name);
	if (err)
		return err;
	x = model_find_xattr(i, name);
	if (!x)
		return -ENODATA;
	model_remove_xattr(i, x);
	model_since(&i->ctime, began);
	return 0;
}

int model_op_setprop(struct model *m, const struct op *op, int hint, const struct op_time *began,
		     struct want *want)
{
	struct model_inode *i;
	const bool none = !strcmp(op->name, "none") || !strcmp(op->name, "no");
	const bool some =
		!strcmp(op->name, "zlib") || !strcmp(op->name, "lzo") || !strcmp(op->name, "zstd");
	int err = model_lookup(m, op->path, &i);

	if (err)
		return err;
	if (!(S_ISREG(i->mode) || S_ISDIR(i->mode)) || i->flags & BTRFS_INODE_NODATACOW)
		return -EINVAL;
	if (!none && !some)
		return -EINVAL;
	model_set_xattr(i, PROP, op->name, (uint32_t)strlen(op->name));
	i->flags &= ~COMPRESSION;
	i->flags |= some ? BTRFS_INODE_COMPRESS : BTRFS_INODE_NOCOMPRESS;
	model_since(&i->ctime, began);
	return 0;
}

int model_op_rmprop(struct model *m, const struct op *op, int hint, const struct op_time *began,
		    struct want *want)
{
	struct model_inode *i;
	struct model_xattr *x;
	int err = model_lookup(m, op->path, &i);

	if (err)
		return err;
	if (!S_ISREG(i->mode) && !S_ISDIR(i->mode))
		return -EINVAL;
	x = model_find_xattr(i, PROP);
	if (!x)
		return -ENODATA;
	model_remove_xattr(i, x);
	i->flags &= ~COMPRESSION;
	model_since(&i->ctime, began);
	return 0;
}

/* ---- data ---- */

static int want_file(struct model *m, const char *path, struct model_inode **out_inode)
{
	int err = model_lookup(m, path, out_inode);

	if (err)
		return err;
	if (S_ISDIR((*out_inode)->mode))
		return -EISDIR;
	return S_ISREG((*out_inode)->mode) ? 0 : -EINVAL;
}

/* What an engine that writes inline data only may say of data that is elsewhere, or would have to
 * go there. */
static bool refused(int hint)
{
	return hint == -EFBIG || hint == -EOPNOTSUPP;
}

int model_op_write(struct model *m, const struct op *op, int hint, const struct op_time *began,
		   struct want *want)
{
	const uint64_t end = (uint64_t)op->n[0] + (uint64_t)op->n[1];
	struct model_inode *i;
	int err = want_file(m, op->path, &i);

	if (err)
		return err;
	if (m->limits.inline_max && (end > m->limits.inline_max || i->size > m->limits.inline_max))
		return -EFBIG;
	if (m->limits.inline_max && i->unsure && refused(hint))
		return hint;
	if (end > i->data_len) {
		i->data = blk_must(realloc(i->data, end));
		memset(i->data + i->data_len, 0, end - i->data_len);
		i->data_len = (uint32_t)end;
	}
	op_pattern((uint32_t)op->n[2], i->data + op->n[0], (size_t)op->n[1]);
	if (end > i->size)
		i->size = end;
	/* An engine makes it one inline extent; Linux may do otherwise. */
	i->unsure = !m->limits.inline_max && (i->unsure || i->flags & BTRFS_INODE_NODATACOW);
	model_since(&i->mtime, began);
	model_since(&i->ctime, began);
	want->attr = i;
	return 0;
}

int model_op_truncate(struct model *m, const struct op *op, int hint, const struct op_time *began,
		      struct want *want)
{
	const uint64_t size = (uint64_t)op->n[0];
	struct model_inode *i;
	int err = want_file(m, op->path, &i);

	if (err)
		return err;
	if (m->limits.inline_max && size > i->size && refused(hint) &&
	    (i->unsure || size > m->limits.inline_max))
		return hint;
	if (size < i->data_len)
		i->data_len = (uint32_t)size;
	if (size != i->size) {
		model_since(&i->mtime, began);
		model_since(&i->ctime, began);
	} else {
		i->mtime.how = i->ctime.how = TIME_ANY;
	}
	i->size = size;
	if (size > 2048)
		i->unsure = true;
	else if (!size)
		i->unsure = false;
	want->attr = i;
	return 0;
}

int model_op_sync(struct model *m, const struct op *op, int hint, const struct op_time *began,
		  struct want *want)
{
	return 0;
}

/* ---- looking ---- */

int model_op_stat(struct model *m, const struct op *op, int hint, const struct op_time *began,
		  struct want *want)
{
	struct model_inode *i;
	int err = model_lookup(m, op->path, &i);

	if (!err)
		want->attr = i;
	return err;
}

int model_op_readdir(struct model *m, const struct op *op, int hint, const struct op_time *began,
		     struct want *want)
{
	struct model_inode *i;
	char line[OP_NAME_ROOM];
	int err = model_lookup(m, op->path, &i);

	if (err)
		return err;
	if (!S_ISDIR(i->mode))
		return S_ISLNK(i->mode) ? -ELOOP : -ENOTDIR;
	if (model_dead(i))
		return hint == -ENOENT ? hint : 0;
	for (uint32_t k = 0; k < i->names_nr; k++) {
		const struct model_name *n = &i->names[k];

		res_put(want->text, line,
			(size_t)snprintf(line, sizeof(line), "%u %s", n->inode->mode >> 12,
					 n->name) +
				1);
	}
	want->data = want->text->data;
	want->len = want->text->len;
	return 0;
}

int model_op_read(struct model *m, const struct op *op, int hint, const struct op_time *began,
		  struct want *want)
{
	struct model_inode *i;
	uint8_t zeros[512] = { 0 };
	size_t len;
	int err = want_file(m, op->path, &i);

	if (err)
		return err;
	len = i->size < OP_READ_MAX ? (size_t)i->size : OP_READ_MAX;
	res_put(want->text, i->data, i->data_len < len ? i->data_len : len);
	while (want->text->len < len)
		res_put(want->text, zeros,
			len - want->text->len < sizeof(zeros) ? len - want->text->len
							      : sizeof(zeros));
	want->data = want->text->data;
	want->len = len;
	return 0;
}

int model_op_readlink(struct model *m, const struct op *op, int hint, const struct op_time *began,
		      struct want *want)
{
	struct model_inode *i;
	int err = model_lookup(m, op->path, &i);

	if (err)
		return err;
	if (!S_ISLNK(i->mode))
		return -EINVAL;
	want->data = i->data;
	want->len = i->data_len;
	return 0;
}

int model_op_getxattr(struct model *m, const struct op *op, int hint, const struct op_time *began,
		      struct want *want)
{
	char name[OP_NAME_ROOM];
	struct model_inode *i;
	struct model_xattr *x;
	int err = model_lookup(m, op->path, &i);

	if (err)
		return err;
	err = xattr_name(i, op->name, name);
	if (err == -ERANGE)
		return err;
	x = err ? NULL : model_find_xattr(i, name);
	if (!x)
		return -ENODATA;
	want->data = x->value;
	want->len = x->len;
	return 0;
}

int model_op_listxattr(struct model *m, const struct op *op, int hint, const struct op_time *began,
		       struct want *want)
{
	struct model_inode *i;
	int err = model_lookup(m, op->path, &i);

	if (err)
		return err;
	for (uint32_t k = 0; k < i->xattrs_nr; k++)
		res_put(want->text, i->xattrs[k].name, strlen(i->xattrs[k].name) + 1);
	res_sort(want->text);
	want->data = want->text->data;
	want->len = want->text->len;
	return 0;
}

/* ---- slots: files and directories, kept after their last name went ---- */

int model_op_hold(struct model *m, const struct op *op, int hint, const struct op_time *began,
		  struct want *want)
{
	struct model_inode *i;
	int err;

	if (m->slots[op->n[0]])
		return OP_ERR_HELD;
	err = model_lookup(m, op->path, &i);
	if (err)
		return err;
	if (i->shared || S_ISLNK(i->mode))
		return -EINVAL;
	i->holds++;
	m->slots[op->n[0]] = i;
	want->attr = i;
	return 0;
}

int model_op_drop(struct model *m, const struct op *op, int hint, const struct op_time *began,
		  struct want *want)
{
	struct model_inode *i = m->slots[op->n[0]];

	if (!i)
		return OP_ERR_SLOT;
	m->slots[op->n[0]] = NULL;
	i->holds--;
	model_release(m, i);
	return 0;
}

void model_drop_slots(struct model *m)
{
	for (unsigned k = 0; k < OP_SLOTS; k++) {
		struct model_inode *i = m->slots[k];

		m->slots[k] = NULL;
		if (i) {
			i->holds--;
			model_release(m, i);
		}
	}
}

int model_op_reopen(struct model *m, const struct op *op, int hint, const struct op_time *began,
		    struct want *want)
{
	model_drop_slots(m);
	return 0;
}
