// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Live roots: trees that change, what their root items are to say, and which items are out of date.
 *
 * Invariants: 1. a tree that changed since its item was stored is on the manager's list, once.
 * 2. The list is emptied in the commit only, when nobody else has a handle. 3. `used` is the sum of
 * the tree's blocks, as far as the item that was loaded was right.
 *
 * Locks: roots_lock for the list, a root's `lock` for its item: both leaves.
 */
#include "engine/txn/txn_priv.h"

#include <time.h>

void live_init(struct live_root *live, struct bt_root *bt, const struct btrfs_root_item *item,
	       uint64_t item_offset)
{
	bt_tree_init(&live->tree, bt);
	live->tree.shareable = btrfs_is_fstree(bt->id);
	live->used_now = true;
	pthread_mutex_init(&live->lock, NULL);
	pthread_mutex_init(&live->ino_lock, NULL);
	if (item) {
		live->has_item = true;
		live->item = *item;
		live->item_offset = item_offset;
		atomic_store(&live->used, le64_get(item->bytes_used));
		atomic_store(&live->tree.last_snapshot, le64_get(item->last_snapshot));
	}
	bt->tree = &live->tree;
}

void live_fini(struct live_root *live)
{
	if (!live->used_now)
		return;
	pthread_mutex_destroy(&live->ino_lock);
	pthread_mutex_destroy(&live->lock);
	bt_tree_destroy(&live->tree);
	live->used_now = false;
}

struct live_root *live_find(struct fs *fs, uint64_t id)
{
	for (int i = 0; i < LIVE_NR; i++) {
		struct live_root *live = &fs->txn->live[i];

		if (live->used_now && live->tree.root.id == id)
			return live;
	}
	return NULL;
}

void live_mark(struct txn_mgr *mgr, struct live_root *live)
{
	if (!live->has_item || atomic_load(&live->dirty))
		return;
	pthread_mutex_lock(&mgr->roots_lock);
	if (!atomic_exchange(&live->dirty, true))
		TAILQ_INSERT_TAIL(&mgr->dirty_roots, live, dirty_link);
	pthread_mutex_unlock(&mgr->roots_lock);
}

struct live_root *live_next_dirty(struct txn_mgr *mgr)
{
	struct live_root *live;

	pthread_mutex_lock(&mgr->roots_lock);
	live = TAILQ_FIRST(&mgr->dirty_roots);
	if (live) {
		TAILQ_REMOVE(&mgr->dirty_roots, live, dirty_link);
		atomic_store(&live->dirty, false);
	}
	pthread_mutex_unlock(&mgr->roots_lock);
	return live;
}

uint64_t live_used(struct live_root *live)
{
	uint64_t used = atomic_load(&live->used);

	/* An item that said too little. */
	return used > INT64_MAX ? 0 : used;
}

struct bt_tree *root_tree(const struct root *root)
{
	return root->bt.tree;
}

void root_item(const struct root *root, struct btrfs_root_item *out_item)
{
	struct live_root *live;

	if (!root->bt.tree) {
		*out_item = root->item;
		return;
	}
	live = live_of(root->bt.tree);
	pthread_mutex_lock(&live->lock);
	*out_item = live->item;
	pthread_mutex_unlock(&live->lock);
}

void root_touch(struct txn_handle *h, const struct root *root)
{
	struct live_root *live = live_of(root->bt.tree);
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	pthread_mutex_lock(&live->lock);
	live->item.ctransid = le64_make(h->st.bt.generation);
	live->item.ctime.sec = le64_make((uint64_t)now.tv_sec);
	live->item.ctime.nsec = le32_make((uint32_t)now.tv_nsec);
	pthread_mutex_unlock(&live->lock);
	live_mark(h->txn->mgr, live);
	atomic_store(&h->txn->changed, true);
}

/* One above the highest inode number that the tree has. */
static int first_free_ino(const struct root *root, uint64_t *out_ino)
{
	const struct btrfs_key key = { BTRFS_LAST_FREE_OBJECTID, UINT8_MAX, UINT64_MAX };
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	int ret = bt_search_le(&root->bt, &key, &path);

	if (ret < 0)
		return ret;
	*out_ino = BTRFS_FIRST_FREE_OBJECTID;
	if (!ret && bt_key(&path).objectid >= BTRFS_FIRST_FREE_OBJECTID)
		*out_ino = bt_key(&path).objectid + 1;
	return 0;
}

int root_next_ino(struct fs *fs, const struct root *root, uint64_t *out_ino)
{
	struct live_root *live = live_of(root->bt.tree);
	int err = 0;

	*out_ino = 0;
	pthread_mutex_lock(&live->ino_lock);
	if (!live->next_ino)
		err = first_free_ino(root, &live->next_ino);
	if (!err && live->next_ino > BTRFS_LAST_FREE_OBJECTID)
		err = -ENOSPC;
	if (!err)
		*out_ino = live->next_ino++;
	pthread_mutex_unlock(&live->ino_lock);
	return err;
}
