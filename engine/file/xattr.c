// SPDX-License-Identifier: GPL-2.0-or-later
/* Extended attributes: items like directory entries, found by the hash of the name. */
#include "engine/file/file_priv.h"
#include "engine/file/ino.h"

#include <string.h>

static const char *value_of(const struct btrfs_dir_item *di)
{
	return (const char *)(di + 1) + le16_get(di->name_len);
}

int64_t xattr_get(struct fs *fs, const struct root *root, uint64_t ino, const char *name, size_t len,
		  void *buf, size_t size)
{
	const struct btrfs_key key = { ino, BTRFS_XATTR_ITEM_KEY, btrfs_name_hash(name, len) };
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	const struct btrfs_dir_item *di;
	size_t value_len;
	int ret = bt_search(&root->bt, &key, &path);

	(void)fs;
	if (ret)
		return ret < 0 ? ret : -ENODATA;
	di = dir_item_find(&path, name, len);
	if (!di)
		return -ENODATA;
	value_len = le16_get(di->data_len);
	if (!size)
		return (int64_t)value_len;
	if (value_len > size)
		return -ERANGE;
	memcpy(buf, value_of(di), value_len);
	return (int64_t)value_len;
}

int xattr_iterate(struct fs *fs, const struct root *root, uint64_t ino,
		  int (*fn)(void *arg, const char *name, size_t name_len, const void *value,
			    size_t value_len),
		  void *arg)
{
	const struct btrfs_key first = { ino, BTRFS_XATTR_ITEM_KEY, 0 };
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	int ret;

	(void)fs;
	for (ret = bt_search_ge(&root->bt, &first, &path); ret == 0; ret = bt_next(&path)) {
		struct btrfs_key key = bt_key(&path);
		const char *p, *end;

		if (key.objectid != ino || key.type != BTRFS_XATTR_ITEM_KEY)
			return 0;
		p = bt_item(&path);
		end = p + bt_item_size(&path);
		while (p < end) {
			const struct btrfs_dir_item *di = (const void *)p;
			size_t name_len = le16_get(di->name_len), len = le16_get(di->data_len);
			int stop = fn(arg, p + sizeof(*di), name_len, value_of(di), len);

			if (stop)
				return stop;
			p += sizeof(*di) + name_len + len;
		}
	}
	return ret < 0 ? ret : 0;
}
