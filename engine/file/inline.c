// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Data in the tree: a file whose only extent is inline, and symlinks' targets. What we write is not
 * compressed; what was is decompressed when it is written to.
 */
#include "engine/file/change_priv.h"
#include "engine/file/file_priv.h"
#include "engine/file/fread_priv.h"
#include "engine/util/fault.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define HEAD ((uint32_t)BTRFS_FILE_EXTENT_INLINE_DATA_START)
/* As Linux' max_inline= is by default. */
#define MAX_INLINE 2048u

static uint32_t min_u32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

uint32_t inline_limit(const struct chg *c)
{
	return min_u32(c->fs->sectorsize - 1, item_max(c) - HEAD);
}

uint32_t inline_max(const struct chg *c)
{
	return min_u32(MAX_INLINE, inline_limit(c));
}

int inline_look(const struct chg *c, uint64_t ino, enum inline_kind *out_kind)
{
	const struct btrfs_key first = { ino, BTRFS_EXTENT_DATA_KEY, 0 };
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	const struct btrfs_file_extent_item *fi;
	struct btrfs_key key;
	int ret = bt_search_ge(&c->tree->root, &first, &path);

	*out_kind = INLINE_NONE;
	if (ret)
		return ret < 0 ? ret : 0;
	key = bt_key(&path);
	if (key.objectid != ino || key.type != BTRFS_EXTENT_DATA_KEY)
		return 0;
	*out_kind = INLINE_OTHER;
	fi = bt_item(&path);
	if (key.offset || (fi->type != BTRFS_FILE_EXTENT_INLINE && le64_get(fi->disk_bytenr)))
		return 0;
	if (fi->type == BTRFS_FILE_EXTENT_INLINE)
		*out_kind = INLINE_IS;
	else
		*out_kind = INLINE_NONE;
	ret = bt_next(&path);
	if (ret)
		return ret < 0 ? ret : 0;
	key = bt_key(&path);
	if (key.objectid == ino && key.type == BTRFS_EXTENT_DATA_KEY)
		*out_kind = INLINE_OTHER;
	return 0;
}

int inline_read(const struct chg *c, const struct ino_attr *attr, uint8_t *buf, uint32_t len)
{
	uint32_t have = attr->size < len ? (uint32_t)attr->size : len;
	struct fread_src src;
	int64_t got = 0;

	memset(buf, 0, len);
	fread_src_init(&src, c->fs, c->root, attr->ino, attr);
	if (have)
		got = fread_range(&src, NULL, 0, buf, have, have);
	if (got < 0)
		return (int)got;
	return got == have ? 0 : -EIO;
}

int inline_store(struct chg *c, uint64_t ino, const void *buf, uint32_t size)
{
	const struct btrfs_key key = { ino, BTRFS_EXTENT_DATA_KEY, 0 };
	const struct btrfs_file_extent_item fi = {
		.generation = le64_make(c->t->generation),
		.ram_bytes = le64_make(size),
		.type = BTRFS_FILE_EXTENT_INLINE,
	};

	return item_set(c, &key, &fi, HEAD, buf, size);
}

/* Where an inline extent was written: the inode item says so. */
static int edit(struct chg *c, uint64_t ino, uint32_t size, const struct timespec *now,
		struct ino_attr *out_attr)
{
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	struct btrfs_inode_item *item;
	int err = inode_edit(c, ino, &path, &item);

	if (err)
		return err;
	item->size = item->nbytes = le64_make(size);
	item->mtime = item->ctime = time_make(now);
	ino_attr_get(item, ino, out_attr);
	return 0;
}

int inline_resize(struct chg *c, const struct ino_attr *attr, uint32_t size,
		  const struct timespec *now, struct ino_attr *out_attr)
{
	uint8_t *buf = eng_alloc(size);
	int err;

	if (!buf)
		return -ENOMEM;
	err = inline_read(c, attr, buf, size);
	if (!err)
		err = chg_begin(c, 2, size < attr->size);
	if (!err) {
		err = inline_store(c, attr->ino, buf, size);
		if (!err)
			err = edit(c, attr->ino, size, now, out_attr);
		err = chg_done(c, err);
	}
	free(buf);
	return err;
}

int chg_write_inline(struct chg *c, uint64_t ino, uint64_t off, const void *data, size_t len,
		     const struct timespec *now, struct ino_attr *out_attr)
{
	uint8_t buf[MAX_INLINE];
	enum inline_kind kind;
	struct ino_attr attr;
	uint32_t size;
	int err;

	memset(out_attr, 0, sizeof(*out_attr));
	err = ino_load(c->fs, c->root, ino, &attr);
	if (!err && !S_ISREG(attr.mode))
		err = S_ISDIR(attr.mode) ? -EISDIR : -EINVAL;
	if (err)
		return err;
	if (!len) {
		*out_attr = attr;
		return 0;
	}
	if (attr.size > inline_max(c) || len > inline_max(c) || off > inline_max(c) - len)
		return -EFBIG;
	err = inline_look(c, ino, &kind);
	if (!err && kind == INLINE_OTHER)
		err = -EFBIG;
	size = (uint32_t)(off + len > attr.size ? off + len : attr.size);
	if (!err)
		err = inline_read(c, &attr, buf, size);
	if (!err)
		err = chg_begin(c, 2, false);
	if (err)
		return err;
	memcpy(buf + off, data, len);
	err = inline_store(c, ino, buf, size);
	if (!err)
		err = edit(c, ino, size, now, out_attr);
	return chg_done(c, err);
}
