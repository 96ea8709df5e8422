// SPDX-License-Identifier: GPL-2.0-or-later
/* Block groups, the free space tree, the remap tree, the raid stripe tree. */
#include "ondisk/check_priv.h"

static int check_bg_type(const struct check *c, uint64_t flags)
{
	const uint64_t profile = flags & BTRFS_BLOCK_GROUP_PROFILE_MASK;
	uint64_t type = flags & (BTRFS_BLOCK_GROUP_TYPE_MASK | BTRFS_BLOCK_GROUP_METADATA_REMAP);

	switch (type) {
	case BTRFS_BLOCK_GROUP_DATA:
	case BTRFS_BLOCK_GROUP_METADATA:
	case BTRFS_BLOCK_GROUP_SYSTEM:
	case BTRFS_BLOCK_GROUP_DATA | BTRFS_BLOCK_GROUP_METADATA:
		break;
	case BTRFS_BLOCK_GROUP_METADATA_REMAP:
		if (check_incompat(c, BTRFS_FEATURE_INCOMPAT_REMAP_TREE))
			break;
		__attribute__((fallthrough));
	default:
		return check_fail(c, "block group type is 0x%" PRIx64 ", expected one type", type);
	}
	if (check_many_bits(profile, profile))
		return check_fail(c, "block group profile is 0x%" PRIx64 ", expected at most one",
				  profile);
	if ((flags & BTRFS_BLOCK_GROUP_REMAPPED) &&
	    !check_incompat(c, BTRFS_FEATURE_INCOMPAT_REMAP_TREE))
		return check_fail(c, "block group is REMAPPED without the remap-tree feature");
	return 0;
}

int check_block_group(struct check *c, const void *item, uint32_t len)
{
	const struct btrfs_block_group_item *bg = item;
	bool remap = check_incompat(c, BTRFS_FEATURE_INCOMPAT_REMAP_TREE);
	int ret;

	ret = check_size(c, len, remap ? sizeof(struct btrfs_block_group_item_v2) : sizeof(*bg));
	if (ret)
		return ret;
	if (c->key.offset == 0)
		return check_fail(c, "block group length is 0");
	ret = check_range(c, "block group", c->key.objectid, c->key.offset);
	if (ret)
		return ret;
	/* In extent-tree-v2 the field is the number of a global root. */
	if (!check_incompat(c, BTRFS_FEATURE_INCOMPAT_EXTENT_TREE_V2) &&
	    le64_get(bg->chunk_objectid) != BTRFS_FIRST_CHUNK_TREE_OBJECTID)
		return check_fail(c, "chunk_objectid is %" PRIu64 ", expected %llu",
				  le64_get(bg->chunk_objectid), BTRFS_FIRST_CHUNK_TREE_OBJECTID);
	if (le64_get(bg->used) > c->key.offset)
		return check_fail(c, "used is %" PRIu64 ", expected at most %" PRIu64,
				  le64_get(bg->used), c->key.offset);
	return check_bg_type(c, le64_get(bg->flags));
}

/* Keys of free space and remap items are (start, type, length). */
static int check_extent_like_key(const struct check *c, const char *what)
{
	int ret = check_align(c, what, c->key.objectid);

	if (ret == 0)
		ret = check_align(c, "length", c->key.offset);
	if (ret)
		return ret;
	if (c->key.offset == 0)
		return check_fail(c, "length is 0");
	return check_range(c, what, c->key.objectid, c->key.offset);
}

int check_free_space_info(struct check *c, const void *item, uint32_t len)
{
	const struct btrfs_free_space_info *info = item;
	int ret = check_size(c, len, sizeof(*info));

	if (ret == 0)
		ret = check_extent_like_key(c, "block group");
	if (ret)
		return ret;
	if (le32_get(info->flags) & ~BTRFS_FREE_SPACE_USING_BITMAPS)
		return check_fail(c, "free space flags are 0x%x, expected only USING_BITMAPS",
				  le32_get(info->flags));
	if (le32_get(info->extent_count) > c->key.offset / c->geo->sectorsize)
		return check_fail(c, "extent_count is %u, expected at most %" PRIu64,
				  le32_get(info->extent_count), c->key.offset / c->geo->sectorsize);
	return 0;
}

int check_free_space_extent(struct check *c, const void *item, uint32_t len)
{
	int ret = check_size(c, len, 0);

	return ret ? ret : check_extent_like_key(c, "free space");
}

int check_free_space_bitmap(struct check *c, const void *item, uint32_t len)
{
	uint64_t bits = c->key.offset / c->geo->sectorsize;
	int ret = check_extent_like_key(c, "free space bitmap");

	if (ret)
		return ret;
	if (bits > BTRFS_FREE_SPACE_BITMAP_SIZE * 8)
		return check_fail(c, "bitmap of %" PRIu64 " bits, expected at most %u", bits,
				  BTRFS_FREE_SPACE_BITMAP_SIZE * 8);
	return check_size(c, len, (uint32_t)(bits + 7) / 8);
}

int check_remap(struct check *c, const void *item, uint32_t len)
{
	const struct btrfs_remap_item *remap = item;
	bool identity = c->key.type == BTRFS_IDENTITY_REMAP_KEY;
	int ret;

	if (!check_incompat(c, BTRFS_FEATURE_INCOMPAT_REMAP_TREE))
		return check_fail(c, "remap item without the remap-tree feature");
	ret = check_size(c, len, identity ? 0 : sizeof(*remap));
	if (ret == 0)
		ret = check_extent_like_key(c, "remapped range");
	if (ret || identity)
		return ret;
	ret = check_align(c, "remap address", le64_get(remap->address));
	return ret ? ret : check_range(c, "remap target", le64_get(remap->address), c->key.offset);
}

int check_raid_stripe(struct check *c, const void *item, uint32_t len)
{
	const uint32_t stride = sizeof(struct btrfs_raid_stride);
	int ret;

	if (!check_incompat(c, BTRFS_FEATURE_INCOMPAT_RAID_STRIPE_TREE))
		return check_fail(c, "raid stripe item without the raid-stripe-tree feature");
	if (len == 0 || len % stride)
		return check_fail(c, "item size is %u, expected a row of %u byte strides", len,
				  stride);
	ret = check_align(c, "start", c->key.objectid);
	return ret ? ret : check_range(c, "stripe extent", c->key.objectid, c->key.offset);
}
