// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The free-space tree of a filesystem that is being changed: fst.h's operations over the live tree,
 * and extents going in and out.
 *
 * Invariant: a group gets its part of the tree before the first of its extents does, whether that
 * is run before or after the other items of a new chunk are written: free_space_tree_use and _free
 * add it.
 *
 * Locks: the group's fst_lock, then the tree's blocks. Changing the tree allocates blocks, whose
 * references are delayed: it does not come back here.
 */
#include "engine/space/chunk_priv.h"
#include "engine/util/fault.h"

#include <string.h>

#define FST_ITEM_MAX 256

static int op_find_le(void *arg, const struct btrfs_key *key, struct btrfs_key *out_key, void *buf,
		      uint32_t *out_size)
{
	struct fst_live *live = arg;
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	int ret = bt_search_le(&live->tree->root, key, &path);

	if (ret)
		return ret;
	*out_key = bt_key(&path);
	*out_size = bt_item_size(&path);
	/* Items of this tree are no larger; btrfs_check_block has seen to it. */
	if (*out_size > FST_ITEM_MAX)
		return -EUCLEAN;
	memcpy(buf, bt_item(&path), *out_size);
	return 0;
}

static int op_insert(void *arg, const struct btrfs_key *key, const void *data, uint32_t size)
{
	struct fst_live *live = arg;
	int ret = bt_insert(&live->st->bt, live->tree, key, data, size);

	return ret == -EEXIST ? -EUCLEAN : ret;
}

static int op_update(void *arg, const struct btrfs_key *key, const void *data, uint32_t size)
{
	struct fst_live *live = arg;
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	int ret = bt_search_change(&live->st->bt, live->tree, key, BT_UPDATE, 0, &path);

	if (ret)
		return ret > 0 ? -EUCLEAN : ret;
	if (bt_item_size(&path) != size)
		return -EUCLEAN;
	memcpy(bt_item_mut(&live->st->bt, &path), data, size);
	return 0;
}

static int op_remove(void *arg, const struct btrfs_key *key)
{
	struct fst_live *live = arg;
	int ret = bt_delete(&live->st->bt, live->tree, key);

	return ret == -ENOENT ? -EUCLEAN : ret;
}

struct fst_ops fst_live_ops(struct fst_live *live)
{
	return (struct fst_ops){
		.arg = live,
		.find_le = op_find_le,
		.insert = op_insert,
		.update = op_update,
		.remove = op_remove,
	};
}

struct fst_group fst_live_group(const struct space_fs *fs, const struct block_group *bg)
{
	return (struct fst_group){ bg->start, bg->len, fs->sectorsize };
}

static int add_locked(struct space_trans *st, const struct fst_ops *ops, struct block_group *bg)
{
	const struct fst_group g = fst_live_group(st->fs, bg);
	int err = bg->in_fst ? 0 : fst_group_add(ops, &g);

	if (!err)
		bg->in_fst = true;
	return err;
}

int fst_live_add(struct space_trans *st, struct block_group *bg)
{
	struct fst_live live = { st, st->fs->fst };
	struct fst_ops ops = fst_live_ops(&live);
	int err;

	if (!live.tree)
		return 0;
	pthread_mutex_lock(&bg->fst_lock);
	err = add_locked(st, &ops, bg);
	pthread_mutex_unlock(&bg->fst_lock);
	return err;
}

int fst_live_remove(struct space_trans *st, struct block_group *bg)
{
	struct fst_live live = { st, st->fs->fst };
	const struct fst_group g = fst_live_group(st->fs, bg);
	struct fst_ops ops = fst_live_ops(&live);
	int err = 0;

	if (!live.tree)
		return 0;
	pthread_mutex_lock(&bg->fst_lock);
	if (bg->in_fst && !PLANTED("chunk_forget_fst"))
		err = fst_group_remove(&ops, &g);
	bg->in_fst = false;
	pthread_mutex_unlock(&bg->fst_lock);
	return err;
}

static int change(struct space_trans *st, uint64_t start, uint64_t len, bool to_free)
{
	struct fst_live live = { st, st->fs->fst };
	struct fst_ops ops = fst_live_ops(&live);
	struct block_group *bg;
	struct fst_group g;
	int err;

	if (!live.tree)
		return 0;
	/* What is freed is what an item of the extent tree says. */
	err = bg_extent_check(st->fs->bgs, start, len, &bg);
	if (err)
		return err;
	g = fst_live_group(st->fs, bg);
	pthread_mutex_lock(&bg->fst_lock);
	err = add_locked(st, &ops, bg);
	if (!err)
		err = to_free ? fst_free(&ops, &g, start, len) : fst_use(&ops, &g, start, len);
	pthread_mutex_unlock(&bg->fst_lock);
	if (err == -EUCLEAN)
		err = msg_corrupt(
			st->fs->msg,
			"free space tree: %s %llu+%llu in block group %llu contradicts it",
			to_free ? "freeing" : "using", (unsigned long long)start,
			(unsigned long long)len, (unsigned long long)bg->start);
	bg_put(bg);
	return err;
}

int free_space_tree_use(struct space_trans *st, uint64_t start, uint64_t len)
{
	return change(st, start, len, false);
}

int free_space_tree_free(struct space_trans *st, uint64_t start, uint64_t len)
{
	return change(st, start, len, true);
}
