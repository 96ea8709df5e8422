// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Extended attributes: changing. Attributes of one hash share an item, which is written anew as a
 * whole. The property btrfs.compression sets the inode's flags along with it, as in Linux.
 */
#include "engine/file/change_priv.h"
#include "engine/file/file_priv.h"
#include "engine/util/fault.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#define NAME_MAX_LEN 255

static struct btrfs_key xattr_key(uint64_t ino, const struct ino_xattr *x)
{
	return (struct btrfs_key){ ino, BTRFS_XATTR_ITEM_KEY,
				   btrfs_name_hash(x->name, x->name_len) };
}

uint32_t xattr_max(const struct chg *c)
{
	return item_max(c) - (uint32_t)sizeof(struct btrfs_dir_item);
}

/* The item as it is, without this attribute if it is there, and with room for it anew. */
struct rewrite {
	uint8_t *buf;
	uint32_t len;
	bool found;
};

static void cut_old(struct rewrite *rw, const struct bt_path *path, const struct ino_xattr *x)
{
	const uint8_t *p = bt_item(path), *at;
	const struct btrfs_dir_item *di = dir_item_find(path, x->name, x->name_len);
	uint32_t size = bt_item_size(path), off, gone;

	if (!di && PLANTED("xattr_drops_neighbour"))
		return;
	if (!di) {
		memcpy(rw->buf, p, size);
		rw->len = size;
		return;
	}
	at = (const uint8_t *)di;
	off = (uint32_t)(at - p);
	gone = (uint32_t)sizeof(*di) + le16_get(di->name_len) + le16_get(di->data_len);
	memcpy(rw->buf, p, off);
	memcpy(rw->buf + off, at + gone, size - off - gone);
	rw->len = size - gone;
	rw->found = true;
}

static uint32_t head_make(const struct chg *c, const struct ino_xattr *x, uint8_t *buf)
{
	const struct btrfs_dir_item di = {
		.transid = le64_make(c->t->generation),
		.data_len = le16_make((uint16_t)x->size),
		.name_len = le16_make((uint16_t)x->name_len),
		.type = BTRFS_FT_XATTR,
	};

	memcpy(buf, &di, sizeof(di));
	memcpy(buf + sizeof(di), x->name, x->name_len);
	return (uint32_t)(sizeof(di) + x->name_len);
}

static int prepare(const struct chg *c, const struct btrfs_key *key, const struct ino_xattr *x,
		   int flags, struct rewrite *rw)
{
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	int ret = bt_search(&c->tree->root, key, &path);

	if (ret < 0)
		return ret;
	if (!ret)
		cut_old(rw, &path, x);
	if (rw->found ? flags & XATTR_CREATE : !x->value || flags & XATTR_REPLACE)
		return rw->found ? -EEXIST : -ENODATA;
	if (x->value &&
	    rw->len + sizeof(struct btrfs_dir_item) + x->name_len + x->size > item_max(c))
		return -ENOSPC;
	return 0;
}

static int publish(struct chg *c, const struct btrfs_key *key, const struct ino_xattr *x,
		   struct rewrite *rw)
{
	if (x->value) {
		rw->len += head_make(c, x, rw->buf + rw->len);
		return item_set(c, key, rw->buf, rw->len, x->value, (uint32_t)x->size);
	}
	return rw->len ? item_set(c, key, rw->buf, rw->len, NULL, 0) : item_delete(c, key);
}

int xattr_insert(struct chg *c, uint64_t ino, const struct ino_xattr *x)
{
	uint8_t head[sizeof(struct btrfs_dir_item) + NAME_MAX_LEN];
	const struct btrfs_key key = xattr_key(ino, x);
	uint32_t len = head_make(c, x, head);

	return item_set(c, &key, head, len, x->value, (uint32_t)x->size);
}

/* ---- the property ---- */

static bool is(const struct ino_xattr *x, const char *what, bool prefix)
{
	size_t len = strlen(what);

	return (prefix ? x->size >= len : x->size == len) && !memcmp(x->value, what, len);
}

/* Flags to set and to clear. 0; 1: the property means nothing to such an inode and is passed over;
 * -EINVAL. */
static int property(const struct ino_attr *attr, struct ino_xattr *x, uint32_t *set,
		    uint32_t *clear)
{
	static const char name[] = "btrfs.compression";

	*set = *clear = 0;
	if (x->name_len < 6 || memcmp(x->name, name, 6) != 0)
		return 0;
	if (x->name_len != strlen(name) || memcmp(x->name, name, x->name_len) != 0)
		return -EINVAL;
	if (!S_ISREG(attr->mode) && !S_ISDIR(attr->mode))
		return 1;
	*clear = BTRFS_INODE_COMPRESS | BTRFS_INODE_NOCOMPRESS;
	if (!x->value || !x->size) {
		x->value = NULL;
		return 0;
	}
	if (attr->flags & (BTRFS_INODE_NODATACOW | BTRFS_INODE_NODATASUM))
		return -EINVAL;
	if (is(x, "no", false) || is(x, "none", false))
		*set = BTRFS_INODE_NOCOMPRESS;
	else if (is(x, "zlib", true) || is(x, "lzo", true) || is(x, "zstd", true))
		*set = BTRFS_INODE_COMPRESS;
	return *set ? 0 : -EINVAL;
}

static int edit(struct chg *c, uint64_t ino, uint32_t set, uint32_t clear,
		const struct timespec *now)
{
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	struct btrfs_inode_item *item;
	int err = inode_edit(c, ino, &path, &item);

	if (err)
		return err;
	item->flags = le64_make((le64_get(item->flags) & ~(uint64_t)clear) | set);
	item->ctime = time_make(now);
	return 0;
}

int chg_setxattr(struct chg *c, uint64_t ino, const struct ino_xattr *want, int flags,
		 const struct timespec *now)
{
	struct ino_xattr x = *want;
	struct btrfs_key key = xattr_key(ino, &x);
	struct rewrite rw = { 0 };
	struct ino_attr attr;
	uint32_t set, clear;
	int ret;

	if (!x.name_len || x.name_len > NAME_MAX_LEN)
		return -ERANGE;
	if (x.value && x.name_len + x.size > xattr_max(c))
		return -ENOSPC;
	ret = ino_load(c->fs, c->root, ino, &attr);
	if (!ret)
		ret = property(&attr, &x, &set, &clear);
	if (ret)
		return ret < 0 ? ret : 0;
	rw.buf = eng_alloc(item_max(c));
	if (!rw.buf)
		return -ENOMEM;
	ret = prepare(c, &key, &x, flags, &rw);
	if (!ret)
		ret = chg_begin(c, 2, !x.value);
	if (!ret) {
		ret = publish(c, &key, &x, &rw);
		if (!ret)
			ret = edit(c, ino, set, clear, now);
		ret = chg_done(c, ret);
	}
	free(rw.buf);
	return ret;
}
