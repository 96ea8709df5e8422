// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Directories. Each entry is stored twice: in a DIR_ITEM under the hash of its name, for lookup, and in a
 * DIR_INDEX under a number that only grows, for listing in a stable order.
 */
#include "engine/file/file_priv.h"
#include "engine/file/ino.h"

#include <string.h>

const struct btrfs_dir_item *dir_item_find(const struct bt_path *path, const char *name, size_t len)
{
	const char *p = bt_item(path), *end = p + bt_item_size(path);

	while (p < end) {
		const struct btrfs_dir_item *di = (const void *)p;
		size_t name_len = le16_get(di->name_len);

		if (name_len == len && !memcmp(p + sizeof(*di), name, len))
			return di;
		p += sizeof(*di) + name_len + le16_get(di->data_len);
	}
	return NULL;
}

static int target_get(struct fs *fs, const struct root *root, uint64_t dir,
		      const struct btrfs_dir_item *di, struct dir_target *out_target)
{
	struct btrfs_key to = btrfs_disk_key_get(&di->location);

	if (to.type != BTRFS_INODE_ITEM_KEY && to.type != BTRFS_ROOT_ITEM_KEY)
		return msg_corrupt(fs->msg,
				   "subvolume %llu directory %llu: an entry points to key (%llu %u %llu), "
				   "expected an inode or a subvolume",
				   (unsigned long long)root->bt.id, (unsigned long long)dir,
				   (unsigned long long)to.objectid, to.type,
				   (unsigned long long)to.offset);
	*out_target = (struct dir_target){
		.is_subvol = to.type == BTRFS_ROOT_ITEM_KEY,
		.id = to.objectid,
		.type = di->type & ~BTRFS_FT_ENCRYPTED,
	};
	return 0;
}

int dir_lookup(struct fs *fs, const struct root *root, uint64_t dir, const char *name, size_t len,
	       struct dir_target *out_target)
{
	const struct btrfs_key key = { dir, BTRFS_DIR_ITEM_KEY, btrfs_name_hash(name, len) };
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	const struct btrfs_dir_item *di;
	int ret;

	*out_target = (struct dir_target){ 0 };
	ret = bt_search(&root->bt, &key, &path);
	if (ret)
		return ret < 0 ? ret : -ENOENT;
	di = dir_item_find(&path, name, len);
	return di ? target_get(fs, root, dir, di, out_target) : -ENOENT;
}

int dir_iterate(struct fs *fs, const struct root *root, uint64_t dir, uint64_t from,
		int (*fn)(void *arg, uint64_t index, const char *name, size_t len,
			  const struct dir_target *target),
		void *arg)
{
	const struct btrfs_key first = { dir, BTRFS_DIR_INDEX_KEY, from };
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	int ret;

	path.readahead = BT_READAHEAD_FORWARD;
	for (ret = bt_search_ge(&root->bt, &first, &path); ret == 0; ret = bt_next(&path)) {
		struct btrfs_key key = bt_key(&path);
		const struct btrfs_dir_item *di = bt_item(&path);
		struct dir_target target;
		int stop;

		if (key.objectid != dir || key.type != BTRFS_DIR_INDEX_KEY)
			return 0;
		stop = target_get(fs, root, dir, di, &target);
		if (!stop)
			stop = fn(arg, key.offset, (const char *)(di + 1), le16_get(di->name_len),
				  &target);
		if (stop)
			return stop;
	}
	return ret < 0 ? ret : 0;
}
