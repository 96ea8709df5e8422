// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Edits of items, on a path from bt_search_change: the leaf is write-locked and may be changed, and
 * so are the nodes above it as far as the edit announced can reach.
 */
#include "engine/btree/bt_priv.h"

#include <assert.h>
#include <string.h>

static void *leaf_mut(struct bt_trans *t, const struct bt_path *path)
{
	assert(bt_locked(path, 0));
	return eb_mut(path->nodes[0], t->generation);
}

static uint32_t nodesize_of(const struct bt_path *path)
{
	return bt_nodesize(bt_path_tree(path));
}

void *bt_item_mut(struct bt_trans *t, const struct bt_path *path)
{
	uint8_t *leaf = leaf_mut(t, path);

	assert((unsigned)path->slots[0] < bt_nr(path, 0));
	return leaf + sizeof(struct btrfs_header) +
	       btrfs_item_offset(leaf, (unsigned)path->slots[0]);
}

static void assert_order(const struct bt_path *path, const struct btrfs_key *keys, unsigned nr)
{
#ifndef NDEBUG
	const void *leaf = eb_data(path->nodes[0]);
	unsigned slot = (unsigned)path->slots[0];
	struct btrfs_key k;

	for (unsigned i = 1; i < nr; i++)
		assert(btrfs_key_cmp(&keys[i - 1], &keys[i]) < 0);
	if (slot) {
		k = btrfs_item_key(leaf, slot - 1);
		assert(btrfs_key_cmp(&k, &keys[0]) < 0);
	}
	if (slot < btrfs_header_nritems(leaf)) {
		k = btrfs_item_key(leaf, slot);
		assert(btrfs_key_cmp(&keys[nr - 1], &k) < 0);
	} else if (path->live.bounded) {
		assert(btrfs_key_cmp(&keys[nr - 1], &path->live.bound) < 0);
	}
#endif
}

int bt_insert_items(struct bt_trans *t, struct bt_path *path, const struct btrfs_key *keys,
		    const uint32_t *sizes, unsigned nr)
{
	struct bt_need need = { .first_key = keys[0] };
	uint32_t nodesize = nodesize_of(path), cap = btrfs_leaf_data_size(nodesize);
	uint64_t bytes = 0;
	int err;

	for (unsigned i = 0; i < nr; i++)
		bytes += sizes[i] + sizeof(struct btrfs_item);
	if (!nr || bytes > cap)
		return -EOVERFLOW;
	assert_order(path, keys, nr);
	need.bytes = (uint32_t)bytes;
	err = bt_leaf_room(t, path, &need);
	if (err)
		return err;
	leaf_insert(leaf_mut(t, path), nodesize, (unsigned)path->slots[0], keys, sizes, nr);
	if (!path->slots[0])
		bt_fix_low_keys(t, path, 0);
	return 0;
}

unsigned bt_insert_batch(struct eb_cache *c, const uint32_t *sizes, unsigned nr)
{
	uint64_t cap = btrfs_leaf_data_size(eb_cache_geometry(c)->nodesize), bytes = 0;
	unsigned n = 0;

	while (n < nr && (bytes += sizes[n] + sizeof(struct btrfs_item)) <= cap)
		n++;
	return n ? n : 1;
}

int bt_extend_item(struct bt_trans *t, struct bt_path *path, uint32_t bytes)
{
	uint32_t nodesize = nodesize_of(path), cap = btrfs_leaf_data_size(nodesize);
	struct bt_need need = {
		.bytes = bytes,
		.extend = true,
		.first_key = bt_key(path),
	};
	int err;

	if ((uint64_t)bytes + bt_item_size(path) + sizeof(struct btrfs_item) > cap)
		return -EOVERFLOW;
	err = bt_leaf_room(t, path, &need);
	if (!err)
		leaf_grow_item(leaf_mut(t, path), nodesize, (unsigned)path->slots[0], bytes);
	return err;
}

void bt_truncate_item(struct bt_trans *t, struct bt_path *path, uint32_t size, bool from_start)
{
	leaf_cut_item(leaf_mut(t, path), nodesize_of(path), (unsigned)path->slots[0], size,
		      from_start);
}

void bt_set_item_key(struct bt_trans *t, struct bt_path *path, const struct btrfs_key *key)
{
	struct btrfs_leaf *leaf = leaf_mut(t, path);
	unsigned slot = (unsigned)path->slots[0];
	struct btrfs_key k;

	assert(slot < bt_nr(path, 0));
	if (slot) {
		k = btrfs_item_key(leaf, slot - 1);
		assert(btrfs_key_cmp(&k, key) < 0);
	}
	if (slot + 1 < bt_nr(path, 0)) {
		k = btrfs_item_key(leaf, slot + 1);
		assert(btrfs_key_cmp(key, &k) < 0);
	}
	(void)k;
	leaf->items[slot].key = btrfs_disk_key_make(key);
	if (!slot)
		bt_fix_low_keys(t, path, 0);
}

int bt_delete_items(struct bt_trans *t, struct bt_path *path, unsigned nr)
{
	int err;

	if (!nr)
		return 0;
	leaf_delete(leaf_mut(t, path), nodesize_of(path), (unsigned)path->slots[0], nr);
	if (!bt_nr(path, 0)) {
		err = bt_drop_empty(t, path, 0);
		bt_path_release(path);
	} else {
		if (!path->slots[0])
			bt_fix_low_keys(t, path, 0);
		err = bt_merge(t, path, 0);
	}
	/* Merging is a kindness. What failed harmlessly is not the deletion. */
	if (err == -ENOSPC || err == -ENOMEM)
		err = 0;
	if (err)
		bt_path_release(path);
	return err;
}

int bt_insert(struct bt_trans *t, struct bt_tree *tree, const struct btrfs_key *key,
	      const void *data, uint32_t size)
{
	BT_PATH_CLEANUP struct bt_path path = BT_PATH_INIT;
	int err;

	err = bt_search_change(t, tree, key, BT_INSERT, size + (uint32_t)sizeof(struct btrfs_item),
			       &path);
	if (err <= 0)
		return err ? err : -EEXIST;
	err = bt_insert_items(t, &path, key, &size, 1);
	if (!err && size)
		memcpy(bt_item_mut(t, &path), data, size);
	return err;
}

int bt_delete(struct bt_trans *t, struct bt_tree *tree, const struct btrfs_key *key)
{
	BT_PATH_CLEANUP struct bt_path path = BT_PATH_INIT;
	int err = bt_search_change(t, tree, key, BT_DELETE, 0, &path);

	if (err)
		return err > 0 ? -ENOENT : err;
	return bt_delete_items(t, &path, 1);
}
