// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Names: changing. An entry is stored three times: in the directory under the hash of its name
 * (DIR_ITEM, shared by names of one hash) and under a number (DIR_INDEX), and at the inode with
 * that number (INODE_REF, a row a parent; what finds no room there is an INODE_EXTREF, if the
 * filesystem has them).
 *
 * A directory's numbers only grow: the next is one above the highest there is, found by a search
 * each time.
 */
#include "engine/file/change_priv.h"
#include "engine/file/file_priv.h"
#include "engine/util/fault.h"

#include <string.h>

#define HEAD ((uint32_t)sizeof(struct btrfs_item))
/* The numbers below were "." and "..", which are not stored. (format) */
#define FIRST_INDEX 2

int name_check(size_t len)
{
	if (!len)
		return -EINVAL;
	return len > BTRFS_NAME_LEN ? -ENAMETOOLONG : 0;
}

static struct btrfs_key item_key(const struct entry *e)
{
	return (struct btrfs_key){ e->dir, BTRFS_DIR_ITEM_KEY, btrfs_name_hash(e->name, e->len) };
}

static struct btrfs_key index_key(const struct entry *e)
{
	return (struct btrfs_key){ e->dir, BTRFS_DIR_INDEX_KEY, e->index };
}

static struct btrfs_key ref_key(const struct entry *e, bool ext)
{
	if (ext)
		return (struct btrfs_key){ e->ino, BTRFS_INODE_EXTREF_KEY,
					   btrfs_extref_hash(e->dir, e->name, e->len) };
	return (struct btrfs_key){ e->ino, BTRFS_INODE_REF_KEY, e->dir };
}

/* The row of the entry in the INODE_REF or INODE_EXTREF that the path stands on. */
static const void *ref_find(const struct bt_path *path, const struct entry *e, bool ext,
			    uint64_t *out_index)
{
	const char *p = bt_item(path), *end = p + bt_item_size(path);
	size_t head = ext ? sizeof(struct btrfs_inode_extref) : sizeof(struct btrfs_inode_ref);

	while (p < end) {
		const struct btrfs_inode_extref *x = (const void *)p;
		const struct btrfs_inode_ref *r = (const void *)p;
		size_t len = le16_get(ext ? x->name_len : r->name_len);

		if (len == e->len && !memcmp(p + head, e->name, len) &&
		    (!ext || le64_get(x->parent_objectid) == e->dir)) {
			*out_index = le64_get(ext ? x->index : r->index);
			return p;
		}
		p += head + len;
	}
	return NULL;
}

static uint32_t ref_size(const struct entry *e, bool ext)
{
	return (uint32_t)((ext ? sizeof(struct btrfs_inode_extref)
			       : sizeof(struct btrfs_inode_ref)) +
			  e->len);
}

/* ---- looking ---- */

/* 0: found, and index and ext set; 1: not there. */
static int ref_look(const struct chg *c, struct entry *e, bool ext)
{
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	struct btrfs_key key = ref_key(e, ext);
	int ret = bt_search(&c->tree->root, &key, &path);

	e->ext = ext;
	if (!ret)
		ret = !ref_find(&path, e, ext, &e->index);
	return ret;
}

int entry_load(const struct chg *c, struct entry *e)
{
	struct dir_target to;
	struct btrfs_key key;
	int ret = name_check(e->len);

	if (!ret)
		ret = dir_lookup(c->fs, c->root, e->dir, e->name, e->len, &to);
	if (ret)
		return ret;
	if (to.is_subvol)
		return -EPERM;
	e->ino = to.id;
	e->type = to.type;
	ret = ref_look(c, e, false);
	if (ret > 0)
		ret = ref_look(c, e, true);
	if (ret <= 0)
		return ret;
	key = ref_key(e, false);
	return chg_corrupt(c, &key, "no back reference for a directory entry");
}

/* 0 if `bytes` more fit into the item; 1 if not. */
static int room(const struct chg *c, const struct bt_path *path, uint32_t bytes)
{
	return bytes + bt_item_size(path) > item_max(c);
}

int entry_check_new(const struct chg *c, const struct entry *e)
{
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	struct btrfs_key key = item_key(e);
	int ret = name_check(e->len);

	if (!ret)
		ret = bt_search(&c->tree->root, &key, &path);
	if (ret)
		return ret < 0 ? ret : 0;
	if (dir_item_find(&path, e->name, e->len))
		return -EEXIST;
	return room(c, &path, (uint32_t)(sizeof(struct btrfs_dir_item) + e->len)) ? -EOVERFLOW : 0;
}

/* 0: there is room for it; 1: there is not; -EEXIST: it is there. */
static int ref_room(const struct chg *c, const struct entry *e, bool ext)
{
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	struct btrfs_key key = ref_key(e, ext);
	uint64_t index;
	int ret = bt_search(&c->tree->root, &key, &path);

	if (ret)
		return ret < 0 ? ret : 0;
	if (ref_find(&path, e, ext, &index))
		return chg_corrupt(c, &key, "a back reference without a directory entry");
	return room(c, &path, ref_size(e, ext));
}

int entry_check_ref(const struct chg *c, struct entry *e)
{
	uint64_t features = le64_get(c->fs->super.incompat_flags);
	int ret = ref_room(c, e, false);

	e->ext = ret > 0;
	if (ret <= 0)
		return ret;
	if (!(features & BTRFS_FEATURE_INCOMPAT_EXTENDED_IREF))
		return -EMLINK;
	ret = ref_room(c, e, true);
	return ret > 0 ? -EMLINK : ret;
}

int dir_next_index(const struct chg *c, uint64_t dir, uint64_t *out_index)
{
	const struct btrfs_key last = { dir, BTRFS_DIR_INDEX_KEY, UINT64_MAX };
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	struct btrfs_key key;
	int ret = bt_search_le(&c->tree->root, &last, &path);

	*out_index = FIRST_INDEX;
	if (ret)
		return ret < 0 ? ret : 0;
	key = bt_key(&path);
	if (key.objectid != dir || key.type != BTRFS_DIR_INDEX_KEY || key.offset < FIRST_INDEX)
		return 0;
	/* readdir's positions must fit an off_t, with one to spare. */
	if (key.offset >= INT64_MAX - 1)
		return -ENOSPC;
	*out_index = key.offset + 1;
	return 0;
}

int dir_has_entries(const struct chg *c, uint64_t dir)
{
	const struct btrfs_key first = { dir, BTRFS_DIR_ITEM_KEY, 0 };
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	struct btrfs_key key;
	int ret = bt_search_ge(&c->tree->root, &first, &path);

	if (ret)
		return ret < 0 ? ret : 0;
	key = bt_key(&path);
	return key.objectid == dir &&
	       (key.type == BTRFS_DIR_ITEM_KEY || key.type == BTRFS_DIR_INDEX_KEY);
}

/* ---- changing ---- */

int entry_add_dir(struct chg *c, const struct entry *e)
{
	uint8_t buf[sizeof(struct btrfs_dir_item) + BTRFS_NAME_LEN];
	const struct btrfs_key to = { e->ino, BTRFS_INODE_ITEM_KEY, 0 };
	const struct btrfs_dir_item di = {
		.location = btrfs_disk_key_make(&to),
		.transid = le64_make(c->t->generation),
		.name_len = le16_make((uint16_t)e->len),
		.type = e->type,
	};
	struct btrfs_key key = item_key(e);
	uint32_t size = (uint32_t)(sizeof(di) + e->len);
	int err;

	memcpy(buf, &di, sizeof(di));
	memcpy(buf + sizeof(di), e->name, e->len);
	err = item_append(c, &key, buf, size);
	if (err)
		return err;
	key = index_key(e);
	err = item_insert(c, &key, buf, size);
	return err == -EEXIST ? chg_corrupt(c, &key, "there is one already") : err;
}

int entry_remove_dir(struct chg *c, const struct entry *e)
{
	uint32_t size = (uint32_t)(sizeof(struct btrfs_dir_item) + e->len);
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	const struct btrfs_dir_item *di = NULL;
	struct btrfs_key key = item_key(e);
	int ret;

	ret = bt_search_change(c->t, c->tree, &key, BT_DELETE, size + HEAD, &path);
	if (ret < 0)
		return ret;
	if (!ret)
		di = dir_item_find(&path, e->name, e->len);
	if (!di)
		return chg_corrupt(c, &key, "the name is not there");
	ret = item_cut(c, &path, di, size);
	bt_path_release(&path);
	if (ret || PLANTED("dir_index_forget"))
		return ret;
	key = index_key(e);
	ret = bt_search_change(c->t, c->tree, &key, BT_DELETE, size + HEAD, &path);
	if (ret < 0)
		return ret;
	if (ret || !dir_item_find(&path, e->name, e->len))
		return chg_corrupt(c, &key, "not the index of the name");
	return bt_delete_items(c->t, &path, 1);
}

int entry_add_ref(struct chg *c, const struct entry *e)
{
	uint8_t buf[sizeof(struct btrfs_inode_extref) + BTRFS_NAME_LEN];
	const struct btrfs_key key = ref_key(e, e->ext);
	uint32_t size = ref_size(e, e->ext);

	if (e->ext)
		*(struct btrfs_inode_extref *)buf = (struct btrfs_inode_extref){
			.parent_objectid = le64_make(e->dir),
			.index = le64_make(e->index),
			.name_len = le16_make((uint16_t)e->len),
		};
	else
		*(struct btrfs_inode_ref *)buf = (struct btrfs_inode_ref){
			.index = le64_make(e->index),
			.name_len = le16_make((uint16_t)e->len),
		};
	memcpy(buf + size - e->len, e->name, e->len);
	return item_append(c, &key, buf, size);
}

int entry_remove_ref(struct chg *c, const struct entry *e)
{
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	const struct btrfs_key key = ref_key(e, e->ext);
	uint32_t size = ref_size(e, e->ext);
	const void *at = NULL;
	uint64_t index;
	int ret = bt_search_change(c->t, c->tree, &key, BT_DELETE, size + HEAD, &path);

	if (ret < 0)
		return ret;
	if (!ret)
		at = ref_find(&path, e, e->ext, &index);
	if (PLANTED("ref_keeps_name") && size < bt_item_size(&path))
		return 0;
	return at ? item_cut(c, &path, at, size) : chg_corrupt(c, &key, "the name is not there");
}
