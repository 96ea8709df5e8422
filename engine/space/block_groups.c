// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Block groups and their items: loading all of them, and writing what changed.
 *
 * Invariants: 1. After block_groups_load chunk map and groups are the same set: each chunk has a
 * group of its length and type, and the reverse. 2. A group's free space and its `used` add up to
 * its length (bg_add sees to that), so that neither the free-space tree nor the block-group item is
 * believed alone.
 *
 * Locks: none while loading (one thread); storing: the dirty list's, the tree's blocks.
 */
#include "engine/space/bg_priv.h"
#include "engine/space/chunk_priv.h"
#include "engine/util/fault.h"

#include <inttypes.h>
#include <string.h>

#define TYPE_BITS (BTRFS_BLOCK_GROUP_TYPE_MASK | BTRFS_BLOCK_GROUP_PROFILE_MASK)
#define REDUNDANT_BITS (BTRFS_BLOCK_GROUP_PROFILE_MASK & ~(uint64_t)BTRFS_BLOCK_GROUP_RAID0)

struct loading {
	struct space_fs *fs;
	struct fst_live live;
	int (*add)(void *add_arg, uint64_t start, uint64_t len);
	void *add_arg;
	unsigned nr;
};

/* ---- where free space is found ---- */

static int free_from_tree(void *arg, const struct bg_desc *desc,
			  int (*add)(void *add_arg, uint64_t start, uint64_t len), void *add_arg)
{
	struct loading *l = arg;
	const struct fst_group g = { desc->start, desc->len, l->fs->sectorsize };
	struct fst_ops ops = fst_live_ops(&l->live);
	int err = fst_load(&ops, &g, add, add_arg);

	if (err == -EUCLEAN)
		err = msg_corrupt(l->fs->msg,
				  "free space tree: what it has of block group %" PRIu64
				  " is wrong",
				  desc->start);
	return err;
}

static uint64_t extent_bytes(const struct space_fs *fs, const struct btrfs_key *key)
{
	if (key->type == BTRFS_METADATA_ITEM_KEY)
		return fs->nodesize;
	return key->type == BTRFS_EXTENT_ITEM_KEY ? key->offset : 0;
}

/* Without a free-space tree: the gaps between extents. */
static int free_from_extents(void *arg, const struct bg_desc *desc,
			     int (*add)(void *add_arg, uint64_t start, uint64_t len), void *add_arg)
{
	struct loading *l = arg;
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	struct btrfs_key key = { .objectid = desc->start };
	uint64_t pos = desc->start, end = desc->start + desc->len;
	int ret;

	path.readahead = BT_READAHEAD_FORWARD;
	for (ret = bt_search_ge(&l->fs->extent->root, &key, &path); !ret; ret = bt_next(&path)) {
		uint64_t len;

		key = bt_key(&path);
		if (key.objectid >= end)
			break;
		len = extent_bytes(l->fs, &key);
		if (!len)
			continue;
		if (key.objectid < pos || len > end - key.objectid)
			return msg_corrupt(l->fs->msg,
					   "extent tree: extent %" PRIu64 "+%" PRIu64
					   " overlaps another, or the end of block group %" PRIu64,
					   key.objectid, len, desc->start);
		ret = key.objectid > pos ? add(add_arg, pos, key.objectid - pos) : 0;
		if (ret)
			return ret;
		pos = key.objectid + len;
	}
	if (ret < 0)
		return ret;
	return pos < end ? add(add_arg, pos, end - pos) : 0;
}

/* ---- one group ---- */

/* Nothing is placed where it could not be written. */
static bool on_readonly_device(const struct space_fs *fs, uint64_t logical)
{
	struct vol_stripe_info stripe;
	bool any = false;

	for (unsigned i = 0; vol_chunk_stripe(fs->vol, logical, i, &stripe); i++)
		any |= !stripe.writable;
	return any;
}

static int check_chunk(const struct space_fs *fs, const struct bg_desc *desc)
{
	struct vol_chunk_info chunk;

	if (!vol_chunk_find(fs->vol, desc->start, &chunk) || chunk.logical != desc->start)
		return msg_corrupt(fs->msg, "block group %" PRIu64 " has no chunk", desc->start);
	if (chunk.len != desc->len || (chunk.type & TYPE_BITS) != (desc->flags & TYPE_BITS))
		return msg_corrupt(fs->msg,
				   "block group %" PRIu64 ": length %" PRIu64 ", flags 0x%" PRIx64
				   ", its chunk has %" PRIu64 ", 0x%" PRIx64,
				   desc->start, desc->len, desc->flags, chunk.len, chunk.type);
	return 0;
}

static int load_group(struct loading *l, const struct btrfs_key *key,
		      const struct btrfs_block_group_item *item)
{
	struct space_fs *fs = l->fs;
	struct range_set supers;
	struct bg_desc desc = {
		.start = key->objectid,
		.len = key->offset,
		.flags = le64_get(item->flags),
		.used = le64_get(item->used),
		.supers = &supers,
	};
	int err = check_chunk(fs, &desc);

	if (err)
		return err;
	range_set_init(&supers);
	desc.readonly = on_readonly_device(fs, desc.start);
	err = bg_super_ranges(fs->vol, desc.start, desc.len, &supers);
	if (!err)
		err = bg_add(fs->bgs, &desc, fs->fst ? free_from_tree : free_from_extents, l);
	range_set_clear(&supers);
	/* Said already by the loader, or: it is one of two that overlap, or its free space lies
	 * outside. */
	if (err == -EUCLEAN || err == -EEXIST || err == -EINVAL)
		err = msg_corrupt(fs->msg,
				  "block group %" PRIu64 " (flags 0x%" PRIx64 ", used %" PRIu64
				  ") cannot be taken over (%s)",
				  desc.start, desc.flags, desc.used, strerror(-err));
	if (!err)
		atomic_fetch_add(&fs->bytes_used, desc.used);
	return err;
}

/* ---- all of them ---- */

/*
 * In an extent tree the items lie between those of extents: each search goes to where the next
 * group can begin.
 */
static int load_items(struct loading *l)
{
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	struct btrfs_key key = { 0 };
	int ret = bt_search_ge(&l->fs->bg->root, &key, &path);

	while (!ret) {
		key = bt_key(&path);
		if (key.type != BTRFS_BLOCK_GROUP_ITEM_KEY) {
			ret = bt_next(&path);
			continue;
		}
		ret = PLANTED("bg_load_skips") && l->nr == 1 ? 0
							     : load_group(l, &key, bt_item(&path));
		l->nr++;
		if (ret)
			break;
		key = (struct btrfs_key){ .objectid = key.objectid + key.offset };
		ret = bt_search_ge(&l->fs->bg->root, &key, &path);
	}
	return ret < 0 ? ret : 0;
}

static int check_all_chunks(struct space_fs *fs)
{
	struct vol_chunk_info chunk = { 0 };
	struct block_group *bg;

	while (vol_chunk_next(fs->vol, chunk.logical + chunk.len, &chunk)) {
		bg = bg_get(fs->bgs, chunk.logical);
		if (!bg || bg->start != chunk.logical) {
			bg_put(bg);
			return msg_corrupt(
				fs->msg, "chunk %" PRIu64 " (%" PRIu64 " bytes) has no block group",
				chunk.logical, chunk.len);
		}
		bg_put(bg);
	}
	return 0;
}

/*
 * The profile of a type's next chunks: that of its groups, a redundant one if there are several
 * kinds (a conversion that was broken off). As in Linux nothing more is placed in the plain ones
 * then.
 */
static void choose_profiles(struct space_fs *fs)
{
	struct block_group *bg, *next;
	bool plain;

	for (bg = bg_next(fs->bgs, 0); bg; bg = next) {
		uint64_t profile = bg->flags & BTRFS_BLOCK_GROUP_PROFILE_MASK;

		pthread_mutex_lock(&bg->si->lock);
		if (!(bg->si->profile & REDUNDANT_BITS) || (profile & REDUNDANT_BITS))
			bg->si->profile = profile;
		pthread_mutex_unlock(&bg->si->lock);
		next = bg_next(fs->bgs, bg->start + bg->len);
		bg_put(bg);
	}
	for (bg = bg_next(fs->bgs, 0); bg; bg = next) {
		plain = !(bg->flags & REDUNDANT_BITS) && (bg->si->profile & REDUNDANT_BITS);
		if (plain && bg_set_readonly(bg, true))
			plain = false; /* cannot be: forced */
		next = bg_next(fs->bgs, bg->start + bg->len);
		bg_put(bg);
	}
}

int block_groups_load(struct space_fs *fs)
{
	const struct btrfs_super_block *sb = vol_super(fs->vol);
	struct loading l = { .fs = fs };
	int err;

	/* One that nobody has kept is as good as none; Linux builds it anew. */
	if (fs->fst &&
	    !(le64_get(sb->compat_ro_flags) & BTRFS_FEATURE_COMPAT_RO_FREE_SPACE_TREE_VALID)) {
		msg_warn(fs->msg, "the free space tree is not valid: going on without");
		fs->fst = NULL;
	}
	l.live.tree = fs->fst;
	atomic_store(&fs->bytes_used, 0);
	err = load_items(&l);
	if (!err)
		err = check_all_chunks(fs);
	if (err)
		return err;
	if (atomic_load(&fs->bytes_used) != le64_get(sb->bytes_used))
		msg_warn(fs->msg,
			 "the superblock says that %" PRIu64
			 " bytes are used, block groups say %" PRIu64,
			 le64_get(sb->bytes_used), atomic_load(&fs->bytes_used));
	choose_profiles(fs);
	return 0;
}

/* ---- storing ---- */

static int store_item(struct space_trans *st, struct block_group *bg, uint64_t used)
{
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	struct btrfs_key key = { bg->start, BTRFS_BLOCK_GROUP_ITEM_KEY, bg->len };
	struct btrfs_block_group_item *item;
	int ret = bt_search_change(&st->bt, st->fs->bg, &key, BT_UPDATE, 0, &path);

	if (ret < 0)
		return ret;
	if (ret || bt_item_size(&path) < sizeof(*item))
		return msg_corrupt(st->fs->msg, "block group %" PRIu64 " has no item any more",
				   bg->start);
	item = bt_item_mut(&st->bt, &path);
	item->used = le64_make(used);
	return 0;
}

int block_groups_store(struct space_trans *st, bool *out_any)
{
	struct space_fs *fs = st->fs;
	struct block_group *bg;
	uint64_t used;
	int err = 0;

	*out_any = false;
	/* A new chunk's group may be out of date before it has an item. */
	if (chunk_is_pending(st->chunks)) {
		err = chunk_create_pending(st);
		if (err)
			return err;
		*out_any = true;
	}
	while (!err && (bg = bg_next_dirty(fs->bgs, &used))) {
		*out_any = true;
		/* Storing allocates, and so may make a chunk. */
		if (!bg->has_item)
			err = chunk_create_pending(st);
		if (!err && !PLANTED("bg_store_forgets"))
			err = store_item(st, bg, used);
		if (err)
			chunk_abort(st, err, "writing the item of block group", bg->start);
		rsv_refs_groups(fs->rsv, 0, -1);
		bg_put(bg);
	}
	return err;
}
