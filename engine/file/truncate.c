// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Sizes of files.
 *
 * Shrinking takes extents away (trunc.c); the extent that the new size lies in stays to its
 * sector's end, and what is past the size there is zeroed by whoever lets the file grow again. That
 * needs data to be written, so growing is refused where it would be needed. Growing makes a hole:
 * of nothing, or without the feature no-holes of items.
 */
#include "engine/file/change_priv.h"
#include "engine/file/file_priv.h"

#include <string.h>
#include <sys/stat.h>

static uint64_t sector_up(const struct chg *c, uint64_t off)
{
	uint64_t mask = c->fs->sectorsize - 1;

	return (off + mask) & ~mask;
}

/*
 * What is at `off`, a sector's start, or the sector of which it lies in: 1 if an extent, which ends
 * at *out_end; 0 if nothing, until *out_end or for ever (UINT64_MAX). *out_data: bytes that are
 * stored.
 */
static int extent_at(const struct chg *c, uint64_t ino, uint64_t off, uint64_t *out_end,
		     bool *out_data)
{
	const struct btrfs_key key = { ino, BTRFS_EXTENT_DATA_KEY, off };
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	const struct btrfs_file_extent_item *fi;
	struct btrfs_key found;
	int ret = bt_search_le(&c->tree->root, &key, &path);

	*out_end = UINT64_MAX;
	*out_data = false;
	if (ret < 0)
		return ret;
	found = ret ? (struct btrfs_key){ 0 } : bt_key(&path);
	if (!ret && found.objectid == ino && found.type == BTRFS_EXTENT_DATA_KEY) {
		fi = bt_item(&path);
		if (fi->type == BTRFS_FILE_EXTENT_INLINE)
			*out_end = sector_up(c, le64_get(fi->ram_bytes));
		else
			*out_end = found.offset + le64_get(fi->num_bytes);
		*out_data = fi->type == BTRFS_FILE_EXTENT_INLINE ||
			    (fi->type == BTRFS_FILE_EXTENT_REG && le64_get(fi->disk_bytenr));
		if (*out_end > off)
			return 1;
	}
	*out_end = UINT64_MAX;
	*out_data = false;
	ret = bt_search_ge(&c->tree->root, &key, &path);
	if (ret)
		return ret < 0 ? ret : 0;
	found = bt_key(&path);
	if (found.objectid == ino && found.type == BTRFS_EXTENT_DATA_KEY)
		*out_end = found.offset;
	return 0;
}

/* One transaction: the size, with a hole item for [from, to) unless that is empty. */
static int grow_to(struct chg *c, uint64_t ino, uint64_t from, uint64_t to, uint64_t size,
		   const struct timespec *now, struct ino_attr *out_attr)
{
	const struct btrfs_key key = { ino, BTRFS_EXTENT_DATA_KEY, from };
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	struct btrfs_file_extent_item fi = {
		.ram_bytes = le64_make(to - from),
		.type = BTRFS_FILE_EXTENT_REG,
		.num_bytes = le64_make(to - from),
	};
	struct btrfs_inode_item *item;
	int err = chg_begin(c, 2, false);

	if (err)
		return err;
	fi.generation = le64_make(c->t->generation);
	if (from < to)
		err = item_insert(c, &key, &fi, sizeof(fi));
	if (!err)
		err = inode_edit(c, ino, &path, &item);
	if (!err) {
		item->size = le64_make(size);
		item->mtime = item->ctime = time_make(now);
		ino_attr_get(item, ino, out_attr);
		bt_path_release(&path);
	}
	return chg_done(c, err);
}

/* With explicit holes: every gap gets one. There are several only where space was allocated past
 * the end. */
static int grow_holes(struct chg *c, const struct ino_attr *attr, uint64_t size,
		      const struct timespec *now, struct ino_attr *out_attr)
{
	uint64_t pos = sector_up(c, attr->size), end = sector_up(c, size), next;
	bool data;
	int ret;

	while (pos < end) {
		ret = extent_at(c, attr->ino, pos, &next, &data);
		if (ret < 0)
			return ret;
		next = next < end ? next : end;
		if (!ret)
			ret = grow_to(c, attr->ino, pos, next, next < size ? next : size, now,
				      out_attr);
		else
			ret = 0;
		if (ret)
			return ret;
		pos = next;
	}
	if (out_attr->size == size)
		return 0;
	return grow_to(c, attr->ino, 0, 0, size, now, out_attr);
}

static int grow(struct chg *c, const struct ino_attr *attr, enum inline_kind kind, uint64_t size,
		const struct timespec *now, struct ino_attr *out_attr)
{
	uint64_t features = le64_get(c->fs->super.incompat_flags), end;
	bool data = false;
	int ret = 0;

	if (kind == INLINE_IS) {
		if (size > inline_max(c))
			return -EOPNOTSUPP;
		return inline_resize(c, attr, (uint32_t)size, now, out_attr);
	}
	if (attr->size % c->fs->sectorsize)
		ret = extent_at(c, attr->ino, attr->size, &end, &data);
	if (ret < 0)
		return ret;
	if (data)
		return -EOPNOTSUPP;
	if (!(features & BTRFS_FEATURE_INCOMPAT_NO_HOLES))
		return grow_holes(c, attr, size, now, out_attr);
	return grow_to(c, attr->ino, 0, 0, size, now, out_attr);
}

int chg_truncate(struct chg *c, uint64_t ino, uint64_t size, const struct timespec *now,
		 struct ino_attr *out_attr)
{
	enum inline_kind kind;
	struct ino_attr attr;
	int err;

	memset(out_attr, 0, sizeof(*out_attr));
	err = ino_load(c->fs, c->root, ino, &attr);
	if (!err && !S_ISREG(attr.mode))
		err = S_ISDIR(attr.mode) ? -EISDIR : -EINVAL;
	if (!err && size > INT64_MAX)
		err = -EFBIG;
	if (!err)
		err = inline_look(c, ino, &kind);
	if (err)
		return err;
	if (size > attr.size)
		return grow(c, &attr, kind, size, now, out_attr);
	/* A compressed one that does not fit as it is stays, with bytes past the size. */
	if (kind == INLINE_IS && size && size < attr.size && size <= inline_limit(c))
		return inline_resize(c, &attr, (uint32_t)size, now, out_attr);
	return trunc_data(c, ino, size, now, out_attr);
}
