// SPDX-License-Identifier: GPL-2.0-or-later
/* Key range search over any tree, as TREE_SEARCH has it. */
#include "engine/api/api_priv.h"

int eng_tree_search(struct eng_fs *efs, const struct eng_search *range,
		    int (*fn)(void *arg, uint64_t transid, uint64_t objectid, uint8_t type,
			      uint64_t offset, const void *item, uint32_t len),
		    void *arg)
{
	const struct btrfs_key min = { range->min_objectid, range->min_type, range->min_offset };
	const struct btrfs_key max = { range->max_objectid, range->max_type, range->max_offset };
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	struct root root;
	int ret;

	if (range->tree_id == BTRFS_ROOT_TREE_OBJECTID)
		root.bt = efs->fs.tree_root;
	else if (range->tree_id == BTRFS_CHUNK_TREE_OBJECTID)
		root.bt = efs->fs.chunk_root;
	else if ((ret = root_load(&efs->fs, range->tree_id, &root)))
		return ret;
	path.readahead = BT_READAHEAD_FORWARD;
	ret = bt_search_ge(&root.bt, &min, &path);
	while (ret == 0) {
		struct btrfs_key key = bt_key(&path);
		uint64_t transid = le64_get(eb_header(path.nodes[0])->generation);

		/* The range is one of whole keys, as the kernel has it, not of each part by itself. */
		if (btrfs_key_cmp(&key, &max) > 0)
			return 0;
		if (transid >= range->min_transid && transid <= range->max_transid) {
			ret = fn(arg, transid, key.objectid, key.type, key.offset, bt_item(&path),
				 bt_item_size(&path));
			if (ret)
				return ret;
		}
		ret = bt_next(&path);
	}
	return ret < 0 ? ret : 0;
}
