// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The free-space tree, one block group at a time.
 *
 * Invariants of a group's items, which every function here finds and leaves:
 * 1. One info item (start, FREE_SPACE_INFO, len). Its extent_count is the number of maximal free
 * ranges, in both forms; its flag says which form.
 * 2. Extents: an empty item for each range, no two adjoining.
 * 3. Bitmaps: items for [start, +2048 sectors), and so on, all of them, the last one shorter.
 * 4. After a change of the count: extents never above the high threshold, bitmaps never below the
 * low one.
 *
 * What is found otherwise is -EUCLEAN: the tree says something else than the extent tree, whoever
 * is wrong.
 *
 * Locks: the caller's.
 */
#include "engine/space/fst_priv.h"
#include "engine/util/fault.h"

#include <string.h>

void fst_thresholds(const struct fst_group *g, uint32_t *out_low, uint32_t *out_high)
{
	uint64_t bitmaps = (g->len + fst_bitmap_bytes(g) - 1) / fst_bitmap_bytes(g);
	/* What bitmaps take in leaves, in the unit of an extent: an item header without data. */
	uint64_t high = bitmaps * (sizeof(struct btrfs_item) + BTRFS_FREE_SPACE_BITMAP_SIZE) /
			sizeof(struct btrfs_item);

	*out_high = (uint32_t)high;
	*out_low = high > 100 ? (uint32_t)high - 100 : 0;
}

static struct btrfs_key info_key(const struct fst_group *g)
{
	return (struct btrfs_key){ g->start, BTRFS_FREE_SPACE_INFO_KEY, g->len };
}

int fst_info_get(const struct fst_ops *ops, const struct fst_group *g,
		 struct btrfs_free_space_info *out_info)
{
	struct btrfs_key key = info_key(g), found;
	uint8_t buf[BTRFS_FREE_SPACE_BITMAP_SIZE];
	uint32_t size;
	int err = ops->find_le(ops->arg, &key, &found, buf, &size);

	if (err < 0)
		return err;
	if (err || btrfs_key_cmp(&key, &found) || size != sizeof(*out_info))
		return -EUCLEAN;
	memcpy(out_info, buf, sizeof(*out_info));
	return 0;
}

int fst_info_set(const struct fst_ops *ops, const struct fst_group *g, uint32_t count,
		 uint32_t flags)
{
	struct btrfs_free_space_info info = { le32_make(count), le32_make(flags) };
	struct btrfs_key key = info_key(g);

	return ops->update(ops->arg, &key, &info, sizeof(info));
}

int fst_group_add(const struct fst_ops *ops, const struct fst_group *g)
{
	struct btrfs_free_space_info info = { le32_make(1), le32_make(0) };
	struct btrfs_key key = info_key(g);
	int err = ops->insert(ops->arg, &key, &info, sizeof(info));

	return err ? err : fst_extent_insert(ops, g->start, g->len);
}

int fst_group_remove(const struct fst_ops *ops, const struct fst_group *g)
{
	struct btrfs_key key = { g->start + g->len - 1, UINT8_MAX, UINT64_MAX }, found;
	uint8_t buf[BTRFS_FREE_SPACE_BITMAP_SIZE];
	uint32_t size;
	int err;

	/* From the end, until the info item is gone, which sorts first. */
	do {
		err = ops->find_le(ops->arg, &key, &found, buf, &size);
		if (err)
			return err < 0 ? err : -EUCLEAN;
		if (found.objectid < g->start)
			return -EUCLEAN;
		err = ops->remove(ops->arg, &found);
		if (err)
			return err;
	} while (found.type != BTRFS_FREE_SPACE_INFO_KEY);
	return found.objectid == g->start && found.offset == g->len ? 0 : -EUCLEAN;
}

/* ---- extents ---- */

int fst_extent_insert(const struct fst_ops *ops, uint64_t start, uint64_t len)
{
	struct btrfs_key key = { start, BTRFS_FREE_SPACE_EXTENT_KEY, len };

	return ops->insert(ops->arg, &key, NULL, 0);
}

static int extent_remove(const struct fst_ops *ops, uint64_t start, uint64_t len)
{
	struct btrfs_key key = { start, BTRFS_FREE_SPACE_EXTENT_KEY, len };

	return ops->remove(ops->arg, &key);
}

/* The last free extent of the group that starts at or below pos. 0; 1: none; -errno. */
static int extent_find(const struct fst_ops *ops, const struct fst_group *g, uint64_t pos,
		       uint64_t *out_start, uint64_t *out_len)
{
	struct btrfs_key key = { pos, UINT8_MAX, UINT64_MAX }, found;
	uint8_t buf[BTRFS_FREE_SPACE_BITMAP_SIZE];
	uint32_t size;
	int err = ops->find_le(ops->arg, &key, &found, buf, &size);

	if (err)
		return err < 0 ? err : -EUCLEAN;
	if (found.objectid == g->start && found.type == BTRFS_FREE_SPACE_INFO_KEY)
		return 1;
	if (found.objectid < g->start || found.type != BTRFS_FREE_SPACE_EXTENT_KEY)
		return -EUCLEAN;
	*out_start = found.objectid;
	*out_len = found.offset;
	return 0;
}

static int extents_free(const struct fst_ops *ops, const struct fst_group *g, uint64_t start,
			uint64_t len, int *out_delta)
{
	uint64_t end = start + len, from = start, to = end, s, l;
	/* At the group's end the items of the next one begin. */
	int err = extent_find(ops, g, end < g->start + g->len ? end : end - 1, &s, &l);

	*out_delta = 1;
	if (err < 0)
		return err;
	if (!err && s == end) {
		err = extent_remove(ops, s, l);
		if (err)
			return err;
		to = s + l;
		(*out_delta)--;
		err = extent_find(ops, g, end - 1, &s, &l);
		if (err < 0)
			return err;
	}
	if (!err) {
		if (s + l > start)
			return -EUCLEAN;
		if (s + l == start && !PLANTED("fst_no_merge")) {
			err = extent_remove(ops, s, l);
			if (err)
				return err;
			from = s;
			(*out_delta)--;
		}
	}
	return fst_extent_insert(ops, from, to - from);
}

static int extents_use(const struct fst_ops *ops, const struct fst_group *g, uint64_t start,
		       uint64_t len, int *out_delta)
{
	uint64_t end = start + len, s, l;
	int err = extent_find(ops, g, start, &s, &l);

	*out_delta = -1;
	if (err)
		return err < 0 ? err : -EUCLEAN;
	if (s + l < end)
		return -EUCLEAN;
	err = extent_remove(ops, s, l);
	if (!err && s < start) {
		err = fst_extent_insert(ops, s, start - s);
		(*out_delta)++;
	}
	if (!err && s + l > end) {
		err = fst_extent_insert(ops, end, s + l - end);
		(*out_delta)++;
	}
	return err;
}

/* ---- either form ---- */

/* Counts, and changes the form when that has become the dearer one. */
static int count(const struct fst_ops *ops, const struct fst_group *g,
		 const struct btrfs_free_space_info *info, int delta)
{
	uint32_t flags = le32_get(info->flags), low, high;
	int64_t nr = (int64_t)le32_get(info->extent_count) + delta;
	int err;

	if (nr < 0 || nr > UINT32_MAX)
		return -EUCLEAN;
	err = delta ? fst_info_set(ops, g, (uint32_t)nr, flags) : 0;
	if (err)
		return err;
	fst_thresholds(g, &low, &high);
	if (!(flags & BTRFS_FREE_SPACE_USING_BITMAPS) && nr > high)
		return fst_to_bitmaps(ops, g);
	if ((flags & BTRFS_FREE_SPACE_USING_BITMAPS) && nr < low)
		return fst_to_extents(ops, g);
	return 0;
}

static int change(const struct fst_ops *ops, const struct fst_group *g, uint64_t start,
		  uint64_t len, bool to_free)
{
	struct btrfs_free_space_info info;
	int err = fst_info_get(ops, g, &info), delta = 0;

	if (err)
		return err;
	if (!len || start < g->start || len > g->len || start - g->start > g->len - len)
		return -EUCLEAN;
	if (le32_get(info.flags) & BTRFS_FREE_SPACE_USING_BITMAPS)
		err = fst_bits_change(ops, g, start, len, to_free, &delta);
	else if (to_free)
		err = extents_free(ops, g, start, len, &delta);
	else
		err = extents_use(ops, g, start, len, &delta);
	return err ? err : count(ops, g, &info, delta);
}

int fst_free(const struct fst_ops *ops, const struct fst_group *g, uint64_t start, uint64_t len)
{
	return change(ops, g, start, len, true);
}

int fst_use(const struct fst_ops *ops, const struct fst_group *g, uint64_t start, uint64_t len)
{
	return change(ops, g, start, len, false);
}
