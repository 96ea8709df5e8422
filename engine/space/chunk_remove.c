// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Chunks going: block groups in which nothing is left.
 *
 * A group may go when it is empty with nothing reserved, pinned or pending: pinned bytes are freed
 * only when the superblocks of the commit that freed them are durable, so that of an empty group
 * without pins nothing that the last durable superblock refers to is left. Its device space is
 * therefore given back at once: whatever is written there before the next commit overwrites nothing
 * that is needed.
 *
 *   read-only ─▶ still empty? ─▶ off the index (prepared, nothing on disk changed)
 *      ─▶ items go (a failure aborts) ─▶ off the map, device space back, device items
 *
 * Locks: one thread removes at a time (txn/'s).
 */
#include "engine/space/chunk_priv.h"
#include "engine/space/space_priv.h"

#include <stdlib.h>
#include <string.h>

/* ---- which ---- */

/* Others of its type that can be written to, of the profile that new ones get. */
static bool has_other(struct space_fs *fs, const struct block_group *bg)
{
	struct block_group *other, *next;
	bool found = false;

	for (other = bg_next(fs->bgs, 0); other; other = next) {
		pthread_mutex_lock(&other->si->lock);
		found = found ||
			(other != bg && other->si == bg->si && !other->ro &&
			 (other->flags & BTRFS_BLOCK_GROUP_PROFILE_MASK) == bg->si->profile);
		pthread_mutex_unlock(&other->si->lock);
		next = found ? NULL : bg_next(fs->bgs, other->start + other->len);
		bg_put(other);
	}
	return found;
}

static bool is_empty(struct block_group *bg)
{
	bool empty;

	pthread_mutex_lock(&bg->si->lock);
	empty = !bg->used && !bg->reserved && !bg->pinned && bg->has_item;
	pthread_mutex_unlock(&bg->si->lock);
	return empty;
}

/* What is promised, and for metadata the global reserve's full size, must fit the others as they
 * are. */
static bool others_suffice(struct space_fs *fs, struct block_group *bg)
{
	struct space_info *si = bg->si;
	uint64_t need, missing = 0;
	bool ok;

	pthread_mutex_lock(&si->lock);
	if (fs->rsv->global.si == si && fs->rsv->global.size > fs->rsv->global.reserved)
		missing = fs->rsv->global.size - fs->rsv->global.reserved;
	need = space_used_locked(si, true) - (bg->ro ? bg->len : bg->super) + missing;
	if (si->flags & BTRFS_BLOCK_GROUP_SYSTEM)
		need += 4 * chunk_items_bytes(fs, 1);
	/* Lest it be allocated again at once. */
	need += CHUNK_MARGIN;
	ok = need < (si->total - bg->len) / 10 * 8;
	pthread_mutex_unlock(&si->lock);
	return ok;
}

/* True with the group read-only, and nothing will come into it any more. */
static bool claim(struct space_fs *fs, struct block_group *bg)
{
	if (!is_empty(bg) || !has_other(fs, bg) || !others_suffice(fs, bg))
		return false;
	if (bg_set_readonly(bg, false))
		return false;
	if (is_empty(bg))
		return true;
	bg_set_writable(bg);
	return false;
}

/*
 * The old space cache has a file for the group, in the root tree: with the group gone nobody would
 * delete it. Kernels that still keep such a cache remove the group with it. 0; 1: there is one;
 * -errno.
 */
static int has_cache_file(struct space_fs *fs, const struct block_group *bg)
{
	struct btrfs_key key = { BTRFS_FREE_SPACE_OBJECTID, 0, bg->start };
	BT_PATH_CLEANUP struct bt_path path = BT_PATH_INIT;
	int ret = fs->root ? bt_search(&fs->root->root, &key, &path) : 1;

	return ret < 0 ? ret : !ret;
}

/* ---- items ---- */

static int remove_dev_extents(struct space_trans *st, const struct chunk_plan *plan)
{
	int err = 0;

	for (unsigned i = 0; !err && i < plan->nr; i++) {
		struct btrfs_key key = { plan->places[i].devid, BTRFS_DEV_EXTENT_KEY,
					 plan->places[i].physical };

		err = bt_delete(&st->bt, st->fs->dev, &key);
	}
	return err;
}

static int remove_items(struct space_trans *st, struct block_group *bg,
			const struct chunk_plan *plan)
{
	struct btrfs_key chunk = { BTRFS_FIRST_CHUNK_TREE_OBJECTID, BTRFS_CHUNK_ITEM_KEY,
				   bg->start };
	struct btrfs_key group = { bg->start, BTRFS_BLOCK_GROUP_ITEM_KEY, bg->len };
	int err = fst_live_remove(st, bg);

	if (!err)
		err = bt_delete(&st->bt, st->fs->bg, &group);
	if (!err)
		err = bt_delete(&st->bt, st->fs->chunk, &chunk);
	if (!err)
		err = remove_dev_extents(st, plan);
	/* All of them are there, by what the filesystem said when it was opened. */
	if (err == -ENOENT)
		err = msg_corrupt(st->fs->msg, "chunk %llu: an item of it is missing",
				  (unsigned long long)bg->start);
	return err;
}

static int remove_claimed(struct space_trans *st, struct block_group *bg,
			  const struct chunk_plan *plan)
{
	struct space_fs *fs = st->fs;
	int err = bg_remove(fs->bgs, bg->start);

	/* Claimed: empty and read-only it stays. */
	if (!err)
		err = remove_items(st, bg, plan);
	if (!err)
		err = vol_chunk_remove(fs->vol, bg->start);
	if (err)
		return chunk_abort(st, err, "removing chunk", bg->start);
	dev_space_lock(fs->devs);
	dev_space_give(fs->devs, plan, fs->msg);
	dev_space_unlock(fs->devs);
	err = chunk_update_devices(st, plan);
	if (err)
		return chunk_abort(st, err, "updating the devices of chunk", bg->start);
	msg_debug(fs->msg, "removed the empty %s chunk at %llu, %llu bytes", bg->si->name,
		  (unsigned long long)bg->start, (unsigned long long)bg->len);
	return 0;
}

/* *out_removed: it went. */
static int try_remove(struct space_trans *st, struct block_group *bg, bool *out_removed)
{
	struct space_fs *fs = st->fs;
	struct chunk_plan plan;
	uint64_t bytes;
	int err;

	*out_removed = false;
	if (!chunk_plan_of(fs, bg->start, &plan))
		return 0;
	err = has_cache_file(fs, bg);
	if (err)
		return err < 0 ? err : 0;
	bytes = chunk_items_bytes(fs, plan.nr);
	dev_space_lock(fs->devs);
	err = chunk_items_reserve(st, bytes);
	dev_space_unlock(fs->devs);
	if (err)
		return err == -ENOSPC ? 0 : err;
	if (claim(fs, bg)) {
		err = remove_claimed(st, bg, &plan);
		*out_removed = !err;
	}
	chunk_items_release(fs, bytes);
	return err;
}

int chunk_remove_empty(struct space_trans *st, unsigned max, unsigned *out_nr)
{
	struct block_group *bg, *next;
	bool removed;
	int err = 0;

	*out_nr = 0;
	for (bg = bg_next(st->fs->bgs, 0); bg; bg = next) {
		removed = false;
		if (*out_nr < max && is_empty(bg))
			err = try_remove(st, bg, &removed);
		*out_nr += removed;
		next = err ? NULL : bg_next(st->fs->bgs, bg->start + bg->len);
		bg_put(bg);
	}
	return err;
}
