// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Items of a subvolume's tree: the edits that changing inodes is made of, one search each.
 *
 * Every function that changed something says so in chg.changed, which is how chg_done knows whether
 * a failure can be shrugged off.
 */
#include "engine/file/change_priv.h"

#include <string.h>

#define HEAD ((uint32_t)sizeof(struct btrfs_item))

uint32_t item_max(const struct chg *c)
{
	return btrfs_leaf_data_size(c->fs->nodesize) - HEAD;
}

int chg_corrupt(const struct chg *c, const struct btrfs_key *key, const char *what)
{
	return msg_corrupt(c->fs->msg, "subvolume %llu: item (%llu %u %llu): %s",
			   (unsigned long long)c->root->bt.id, (unsigned long long)key->objectid,
			   key->type, (unsigned long long)key->offset, what);
}

int chg_done_at(struct chg *c, int err, const char *file, int line)
{
	int end;

	if (err && c->changed)
		c->ops->abort(c, err, file, line);
	else if (!err)
		c->ops->touch(c);
	end = c->ops->end(c);
	return err ? err : end;
}

int item_insert(struct chg *c, const struct btrfs_key *key, const void *data, uint32_t size)
{
	int err = bt_insert(c->t, c->tree, key, data, size);

	c->changed |= !err;
	return err;
}

/* The path of a growing item; it may not be there. */
static int grow(struct chg *c, const struct btrfs_key *key, uint32_t by, struct bt_path *path)
{
	int ret = bt_search_change(c->t, c->tree, key, BT_EXTEND, by, path);

	if (ret > 0)
		return chg_corrupt(c, key, "not there, expected to grow");
	if (!ret)
		ret = bt_extend_item(c->t, path, by);
	c->changed |= !ret;
	return ret;
}

int item_append(struct chg *c, const struct btrfs_key *key, const void *data, uint32_t size)
{
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	uint32_t old = 0;
	int ret = bt_search_change(c->t, c->tree, key, BT_INSERT, size + HEAD, &path);

	if (ret > 0) {
		ret = bt_insert_items(c->t, &path, key, &size, 1);
		c->changed |= !ret;
	} else if (!ret) {
		/* Nobody else changes this item: its size stays. */
		old = bt_item_size(&path);
		ret = grow(c, key, size, &path);
	}
	if (!ret)
		memcpy((uint8_t *)bt_item_mut(c->t, &path) + old, data, size);
	return ret;
}

int item_set(struct chg *c, const struct btrfs_key *key, const void *head, uint32_t head_len,
	     const void *data, uint32_t len)
{
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	uint32_t old, size = head_len + len;
	uint8_t *p;
	int ret = bt_search_change(c->t, c->tree, key, BT_INSERT, size + HEAD, &path);

	if (ret > 0) {
		ret = bt_insert_items(c->t, &path, key, &size, 1);
	} else if (!ret) {
		old = bt_item_size(&path);
		if (size > old)
			ret = grow(c, key, size - old, &path);
		else
			ret = bt_search_change(c->t, c->tree, key, BT_UPDATE, 0, &path);
		if (ret > 0)
			ret = chg_corrupt(c, key, "not there, expected to be replaced");
		if (!ret && size < old)
			bt_truncate_item(c->t, &path, size, false);
	}
	if (ret)
		return ret;
	c->changed = true;
	p = bt_item_mut(c->t, &path);
	memcpy(p, head, head_len);
	if (len)
		memcpy(p + head_len, data, len);
	return 0;
}

int item_cut(struct chg *c, struct bt_path *path, const void *at, uint32_t len)
{
	uint32_t size = bt_item_size(path),
		 off = (uint32_t)((const uint8_t *)at - (const uint8_t *)bt_item(path));
	uint8_t *p;

	c->changed = true;
	if (len == size)
		return bt_delete_items(c->t, path, 1);
	p = bt_item_mut(c->t, path);
	memmove(p + off, p + off + len, size - off - len);
	bt_truncate_item(c->t, path, size - len, false);
	return 0;
}

int item_delete(struct chg *c, const struct btrfs_key *key)
{
	int err = bt_delete(c->t, c->tree, key);

	c->changed |= !err;
	return err;
}
