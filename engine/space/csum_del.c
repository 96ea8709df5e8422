// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Deleting the checksums of freed data: items of the csum tree that lie in the range go, those that
 * reach into it are cut, and one that holds it in its middle becomes two.
 *
 * Others may add sums of other ranges meanwhile, to items that we see, too: what an item holds is
 * looked at only under its lock.
 *
 * Locks: the csum tree's.
 */
#include "engine/space/dref_priv.h"
#include "engine/util/fault.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct range_of {
	struct space_trans *st;
	struct bt_tree *tree;
	uint64_t start, end;
};

static struct btrfs_key sum_key(uint64_t logical)
{
	return (struct btrfs_key){ BTRFS_EXTENT_CSUM_OBJECTID, BTRFS_EXTENT_CSUM_KEY, logical };
}

static bool is_sum(const struct btrfs_key *key)
{
	return key->objectid == BTRFS_EXTENT_CSUM_OBJECTID && key->type == BTRFS_EXTENT_CSUM_KEY;
}

static uint64_t item_end(const struct range_of *r, const void *leaf, unsigned slot)
{
	struct space_fs *fs = r->st->fs;

	return btrfs_item_key(leaf, slot).offset +
	       (uint64_t)(btrfs_item_size(leaf, slot) / fs->csum_size) * fs->sectorsize;
}

static uint32_t bytes_of(const struct range_of *r, uint64_t len)
{
	return (uint32_t)(len / r->st->fs->sectorsize * r->st->fs->csum_size);
}

/*
 * The item that starts before the range and ends behind it: what is behind becomes an item of its
 * own. Both changes under one lock, so that nobody sees sums twice or not at all. 0, or -errno;
 * nothing happens if the item is not there any more as it was.
 */
static int split_item(struct range_of *r)
{
	struct btrfs_key key = sum_key(r->end), before;
	BT_PATH_CLEANUP struct bt_path path = BT_PATH_INIT;
	uint32_t room = btrfs_leaf_data_size(r->st->fs->nodesize), keep, size;
	uint64_t end;
	uint8_t *tail;
	int err;

	tail = eng_alloc(room);
	if (!tail)
		return -ENOMEM;
	err = bt_search_change(&r->st->bt, r->tree, &key, BT_INSERT,
			       (uint32_t)sizeof(struct btrfs_item), &path);
	if (err <= 0 || !path.slots[0])
		goto out;
	path.slots[0]--;
	before = bt_key(&path);
	end = item_end(r, eb_data(path.nodes[0]), (unsigned)path.slots[0]);
	err = 0;
	if (!is_sum(&before) || before.offset >= r->start || end <= r->end)
		goto out;
	size = bytes_of(r, end - r->end);
	keep = bytes_of(r, r->start - before.offset);
	memcpy(tail, (const uint8_t *)bt_item(&path) + bt_item_size(&path) - size, size);
	bt_truncate_item(&r->st->bt, &path, keep, false);
	path.slots[0]++;
	err = bt_insert_items(&r->st->bt, &path, &key, &size, 1);
	if (!err)
		memcpy(bt_item_mut(&r->st->bt, &path), tail, size);
out:
	free(tail);
	return err < 0 ? err : 0;
}

/* The item under the path reaches into the range from before. 0; 1: it has to be split; -errno. */
static int cut_before(struct range_of *r, struct bt_path *path)
{
	uint64_t first = bt_key(path).offset;

	if (item_end(r, eb_data(path->nodes[0]), (unsigned)path->slots[0]) > r->end)
		return 1;
	bt_truncate_item(&r->st->bt, path, bytes_of(r, r->start - first), false);
	return 0;
}

/* What starts before the range's end must not reach past what comes after it. */
static int check_order(const struct range_of *r, const struct bt_path *path, unsigned slot)
{
	const void *leaf = eb_data(path->nodes[0]);
	struct btrfs_key next, behind = sum_key(r->end);

	if (slot + 1 < btrfs_header_nritems(leaf))
		next = btrfs_item_key(leaf, slot + 1);
	else if (path->live.bounded)
		next = path->live.bound;
	else
		return 0;
	if (btrfs_key_cmp(&behind, &next) < 0)
		return 0;
	return msg_corrupt(r->st->fs->msg,
			   "checksum tree: the item at %" PRIu64 " overlaps the next at %" PRIu64,
			   btrfs_item_key(leaf, slot).offset, next.offset);
}

/* Items from the path's on that start in the range: those that end in it go, the last may lose its
 * first sums. */
static int cut_inside(struct range_of *r, struct bt_path *path)
{
	const void *leaf = eb_data(path->nodes[0]);
	unsigned slot = (unsigned)path->slots[0], nr = 0;
	struct btrfs_key key, behind = sum_key(r->end);
	uint64_t end;
	int err;

	while (slot + nr < btrfs_header_nritems(leaf)) {
		key = btrfs_item_key(leaf, slot + nr);
		if (!is_sum(&key) || key.offset >= r->end)
			break;
		end = item_end(r, leaf, slot + nr);
		if (end > r->end && !PLANTED("csum_del_too_much")) {
			err = check_order(r, path, slot + nr);
			if (err)
				return err;
			path->slots[0] += (int)nr;
			bt_truncate_item(&r->st->bt, path, bytes_of(r, end - r->end), true);
			bt_set_item_key(&r->st->bt, path, &behind);
			path->slots[0] -= (int)nr;
			break;
		}
		nr++;
	}
	return nr ? bt_delete_items(&r->st->bt, path, nr) : 0;
}

/* The next item from `slot` on, maybe the next leaf's first, starts in the range; *out_at its
 * address. */
static bool more(const struct range_of *r, const struct bt_path *path, unsigned slot,
		 uint64_t *out_at)
{
	const void *leaf = eb_data(path->nodes[0]);
	struct btrfs_key key;

	if (slot < btrfs_header_nritems(leaf))
		key = btrfs_item_key(leaf, slot);
	else if (path->live.bounded)
		key = path->live.bound;
	else
		return false;
	*out_at = key.offset;
	return is_sum(&key) && key.offset < r->end;
}

/* What is in one leaf, from *io_at on. 0 done; 1: go on at *io_at; -errno. */
static int delete_some(struct range_of *r, uint64_t *io_at)
{
	BT_PATH_CLEANUP struct bt_path path = BT_PATH_INIT;
	struct btrfs_key key = sum_key(*io_at), before;
	const void *leaf;
	unsigned slot;
	int err;

	err = bt_search_change(&r->st->bt, r->tree, &key, BT_DELETE, 0, &path);
	if (err < 0)
		return err;
	leaf = eb_data(path.nodes[0]);
	slot = (unsigned)path.slots[0];
	if (!err) {
		err = cut_inside(r, &path);
		return err ? err : 1;
	}
	if (slot) {
		before = btrfs_item_key(leaf, slot - 1);
		if (is_sum(&before) && before.offset < r->start &&
		    item_end(r, leaf, slot - 1) > r->start) {
			path.slots[0]--;
			err = cut_before(r, &path);
			bt_path_release(&path);
			if (err > 0)
				err = split_item(r);
			return err ? err : 1;
		}
	}
	return more(r, &path, slot, io_at);
}

int csum_delete(struct space_trans *st, uint64_t logical, uint64_t len)
{
	struct range_of r = { st, st->fs->csum, logical, logical + len };
	uint64_t at = logical;
	int ret;

	if (!r.tree)
		return 0;
	do
		ret = delete_some(&r, &at);
	while (ret > 0);
	return ret;
}
