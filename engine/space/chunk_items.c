// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The items of chunks: chunk, device items, device extents, block group, free space; and what the
 * superblock says of SYSTEM chunks and devices.
 *
 * Invariant: what is written of a device (`bytes_used`) is what is in chunks now, in memory.
 * Whoever changes that writes the device item afterwards, so the last one to do so in a transaction
 * is right.
 *
 * Locks: one tree at a time; nothing of space/ over them but a group's fst_lock.
 */
#include "engine/space/bg_priv.h"
#include "engine/space/chunk_priv.h"
#include "engine/util/fault.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int chunk_abort(struct space_trans *st, int err, const char *what, uint64_t logical)
{
	msg_err(st->fs->msg, "%s %llu: %s", what, (unsigned long long)logical, strerror(-err));
	st->bt.ops->abort(&st->bt, err);
	return err;
}

/* ---- devices ---- */

static int update_device(struct space_trans *st, const struct chunk_place *p)
{
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	struct btrfs_key key = { BTRFS_DEV_ITEMS_OBJECTID, BTRFS_DEV_ITEM_KEY, p->devid };
	struct btrfs_dev_item *item;
	uint64_t used;
	int ret = bt_search_change(&st->bt, st->fs->chunk, &key, BT_UPDATE, 0, &path);

	if (ret < 0)
		return ret;
	if (ret || bt_item_size(&path) < sizeof(*item))
		return msg_corrupt(st->fs->msg, "chunk tree: device %llu has no item any more",
				   (unsigned long long)p->devid);
	/* Under the item's lock: a later writer reads a later sum. */
	ret = dev_space_used(st->fs->devs, p->devid, &used);
	if (ret)
		return ret;
	item = bt_item_mut(&st->bt, &path);
	item->bytes_used = le64_make(used);
	return 0;
}

static bool named_before(const struct chunk_plan *plan, unsigned i)
{
	for (unsigned k = 0; k < i; k++)
		if (plan->places[k].devid == plan->places[i].devid)
			return true;
	return false;
}

int chunk_update_devices(struct space_trans *st, const struct chunk_plan *plan)
{
	int err = 0;

	for (unsigned i = 0; !err && i < plan->nr; i++)
		if (!named_before(plan, i))
			err = update_device(st, &plan->places[i]);
	return err;
}

/* ---- a new chunk's ---- */

static int insert_chunk(struct space_trans *st, const struct chunk_plan *plan)
{
	struct btrfs_key key = { BTRFS_FIRST_CHUNK_TREE_OBJECTID, BTRFS_CHUNK_ITEM_KEY,
				 plan->logical };
	uint8_t buf[CHUNK_ITEM_MAX];
	uint32_t size = chunk_item_make(st->fs, plan, buf);

	return bt_insert(&st->bt, st->fs->chunk, &key, buf, size);
}

static int insert_dev_extents(struct space_trans *st, const struct chunk_plan *plan)
{
	struct btrfs_dev_extent item = {
		.chunk_tree = le64_make(BTRFS_CHUNK_TREE_OBJECTID),
		.chunk_objectid = le64_make(BTRFS_FIRST_CHUNK_TREE_OBJECTID),
		.chunk_offset = le64_make(plan->logical),
		.length = le64_make(plan->stripe_bytes),
	};
	int err = 0;

	memcpy(item.chunk_tree_uuid, eb_cache_chunk_uuid(st->fs->cache),
	       sizeof(item.chunk_tree_uuid));
	for (unsigned i = 0; !err && i < plan->nr; i++) {
		struct btrfs_key key = { plan->places[i].devid, BTRFS_DEV_EXTENT_KEY,
					 plan->places[i].physical };

		if (i == plan->nr - 1 && PLANTED("chunk_forget_dev_extent"))
			break;
		err = bt_insert(&st->bt, st->fs->dev, &key, &item, sizeof(item));
	}
	return err;
}

static int insert_group(struct space_trans *st, struct block_group *bg)
{
	struct btrfs_key key = { bg->start, BTRFS_BLOCK_GROUP_ITEM_KEY, bg->len };
	struct bg_index *idx = st->fs->bgs;
	struct btrfs_block_group_item item = {
		.chunk_objectid = le64_make(BTRFS_FIRST_CHUNK_TREE_OBJECTID),
		.flags = le64_make(bg->flags),
	};
	uint64_t used;
	int err;

	/* What changes from here on marks the group again, or has marked it. */
	pthread_mutex_lock(&idx->dirty_lock);
	pthread_mutex_lock(&bg->si->lock);
	used = bg->used;
	pthread_mutex_unlock(&bg->si->lock);
	bg->item_used = used;
	pthread_mutex_unlock(&idx->dirty_lock);
	item.used = le64_make(used);
	err = bt_insert(&st->bt, st->fs->bg, &key, &item, sizeof(item));
	if (!err)
		atomic_store(&bg->has_item, true);
	return err;
}

static int create(struct space_trans *st, struct chunk_new *new)
{
	int err = insert_group(st, new->bg);

	if (!err)
		err = insert_chunk(st, &new->plan);
	if (!err)
		err = chunk_update_devices(st, &new->plan);
	if (!err)
		err = insert_dev_extents(st, &new->plan);
	if (!err)
		err = fst_live_add(st, new->bg);
	/* None of them can be there, by what the filesystem said when it was opened. */
	if (err == -EEXIST)
		err = msg_corrupt(st->fs->msg,
				  "chunk %llu is new, and an item of it is there already",
				  (unsigned long long)new->plan.logical);
	return err ? chunk_abort(st, err, "writing the items of chunk", new->plan.logical) : 0;
}

static struct chunk_new *take_first(struct chunk_pending *p)
{
	struct chunk_new *new;

	pthread_mutex_lock(&p->lock);
	new = TAILQ_FIRST(&p->list);
	if (new)
		TAILQ_REMOVE(&p->list, new, link);
	pthread_mutex_unlock(&p->lock);
	return new;
}

int chunk_create_pending(struct space_trans *st)
{
	struct chunk_pending *p = st->chunks;
	struct space_fs *fs = st->fs;
	struct chunk_new *new;
	int err = 0;

	/* Creating one may make another. */
	while (!err && (new = take_first(p))) {
		err = create(st, new);
		chunk_items_release(fs, new->rsv_bytes);
		rsv_refs_groups(fs->rsv, -1, 0);
		bg_put(new->bg);
		free(new);
		atomic_fetch_sub(&p->nr, 1);
	}
	return err;
}

/* ---- the superblock ---- */

/* Copies the entries of chunks that are still there; returns the bytes. */
static uint32_t keep_entries(const struct space_fs *fs, const struct btrfs_super_block *sb,
			     uint8_t *out)
{
	const uint8_t *p = sb->sys_chunk_array, *end = p + le32_get(sb->sys_chunk_array_size);
	uint32_t bytes = 0;

	while (p < end) {
		const struct btrfs_disk_key *key = (const void *)p;
		const struct btrfs_chunk *chunk = (const void *)(key + 1);
		uint32_t size = (uint32_t)sizeof(*key) +
				btrfs_chunk_item_size(le16_get(chunk->num_stripes));
		struct vol_chunk_info info;

		if (vol_chunk_find(fs->vol, le64_get(key->offset), &info) &&
		    info.logical == le64_get(key->offset)) {
			memcpy(out + bytes, p, size);
			bytes += size;
		}
		p += size;
	}
	return bytes;
}

static bool has_entry(const uint8_t *p, uint32_t bytes, uint64_t logical)
{
	const uint8_t *end = p + bytes;

	while (p < end) {
		const struct btrfs_disk_key *key = (const void *)p;
		const struct btrfs_chunk *chunk = (const void *)(key + 1);

		if (le64_get(key->offset) == logical)
			return true;
		p += sizeof(*key) + btrfs_chunk_item_size(le16_get(chunk->num_stripes));
	}
	return false;
}

static int add_entry(const struct space_fs *fs, uint64_t logical, uint8_t *out, uint32_t *bytes)
{
	struct btrfs_disk_key key = {
		.objectid = le64_make(BTRFS_FIRST_CHUNK_TREE_OBJECTID),
		.type = BTRFS_CHUNK_ITEM_KEY,
		.offset = le64_make(logical),
	};
	uint8_t buf[CHUNK_ITEM_MAX];
	struct chunk_plan plan;
	uint32_t size;

	if (!chunk_plan_of(fs, logical, &plan))
		return -EFBIG;
	size = chunk_item_make(fs, &plan, buf);
	if (*bytes + sizeof(key) + size > BTRFS_SYSTEM_CHUNK_ARRAY_SIZE)
		return -EFBIG;
	memcpy(out + *bytes, &key, sizeof(key));
	memcpy(out + *bytes + sizeof(key), buf, size);
	*bytes += (uint32_t)sizeof(key) + size;
	return 0;
}

int chunk_sys_array(struct space_fs *fs, struct btrfs_super_block *sb)
{
	uint8_t array[BTRFS_SYSTEM_CHUNK_ARRAY_SIZE] = { 0 };
	uint32_t bytes = keep_entries(fs, sb, array);
	struct vol_chunk_info chunk = { 0 };

	while (vol_chunk_next(fs->vol, chunk.logical + chunk.len, &chunk)) {
		int err;

		if (!(chunk.type & BTRFS_BLOCK_GROUP_SYSTEM) ||
		    has_entry(array, bytes, chunk.logical) || PLANTED("chunk_forget_sys_array"))
			continue;
		err = add_entry(fs, chunk.logical, array, &bytes);
		if (err)
			return err;
	}
	memcpy(sb->sys_chunk_array, array, sizeof(array));
	sb->sys_chunk_array_size = le32_make(bytes);
	return 0;
}

int chunk_publish_devices(struct space_fs *fs)
{
	struct btrfs_dev_item item;
	uint64_t used;
	int err = 0;

	for (unsigned i = 0; !err && vol_device_item(fs->vol, i, &item); i++) {
		if (dev_space_used(fs->devs, le64_get(item.devid), &used) ||
		    le64_get(item.bytes_used) == used)
			continue;
		item.bytes_used = le64_make(used);
		err = vol_device_update(fs->vol, &item);
	}
	return err;
}
