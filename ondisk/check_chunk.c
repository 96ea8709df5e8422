// SPDX-License-Identifier: GPL-2.0-or-later
/* Chunks, devices, and the extents of devices. */
#include "ondisk/check_priv.h"

/* Linux counts the stripes of a chunk in 32 bits. */
#define CHUNK_LENGTH_LIMIT ((uint64_t)UINT32_MAX * (uint64_t)BTRFS_STRIPE_LEN)

static int check_chunk_size(const struct check *c, const struct btrfs_chunk *chunk,
			    uint64_t logical)
{
	uint64_t length = le64_get(chunk->length);
	int ret = check_align(c, "chunk start", logical);

	if (ret == 0 && le32_get(chunk->sector_size) != c->geo->sectorsize)
		ret = check_fail(c, "chunk sector_size is %u, expected %u",
				 le32_get(chunk->sector_size), c->geo->sectorsize);
	if (ret == 0)
		ret = check_align(c, "chunk length", length);
	if (ret == 0 && (length == 0 || length >= CHUNK_LENGTH_LIMIT))
		ret = check_fail(
			c, "chunk length is %" PRIu64 ", expected less than %" PRIu64 " and not 0",
			length, CHUNK_LENGTH_LIMIT);
	if (ret == 0)
		ret = check_range(c, "chunk", logical, length);
	if (ret == 0 && le64_get(chunk->stripe_len) != BTRFS_STRIPE_LEN)
		ret = check_fail(c, "stripe_len is %" PRIu64 ", expected %llu",
				 le64_get(chunk->stripe_len), BTRFS_STRIPE_LEN);
	return ret;
}

static int check_chunk_type(const struct check *c, uint64_t type)
{
	const uint64_t remap_bits = BTRFS_BLOCK_GROUP_REMAPPED | BTRFS_BLOCK_GROUP_METADATA_REMAP;
	uint64_t types = BTRFS_BLOCK_GROUP_TYPE_MASK, known;
	const uint64_t profiles = BTRFS_BLOCK_GROUP_PROFILE_MASK;
	const uint64_t mixed = BTRFS_BLOCK_GROUP_METADATA | BTRFS_BLOCK_GROUP_DATA;

	if (check_incompat(c, BTRFS_FEATURE_INCOMPAT_REMAP_TREE)) {
		types |= BTRFS_BLOCK_GROUP_METADATA_REMAP;
	}
	known = profiles | types | (types & BTRFS_BLOCK_GROUP_METADATA_REMAP ? remap_bits : 0);
	if (type & ~known)
		return check_fail(c,
				  "chunk type is 0x%" PRIx64 ", expected only bits of 0x%" PRIx64,
				  type, known);
	if (check_many_bits(type, profiles))
		return check_fail(c, "chunk profile is 0x%" PRIx64 ", expected at most one",
				  type & profiles);
	if ((type & types) == 0)
		return check_fail(c, "chunk type is 0x%" PRIx64 ", expected one of 0x%" PRIx64,
				  type, types);
	if ((type & types) == mixed && check_incompat(c, BTRFS_FEATURE_INCOMPAT_MIXED_GROUPS))
		return 0;
	if (check_many_bits(type, types))
		return check_fail(c, "chunk type is 0x%" PRIx64 ", expected one type",
				  type & types);
	return 0;
}

/* The number of stripes by profile; what a reader divides by is never 0. */
static int check_chunk_stripes(const struct check *c, uint64_t type, unsigned stripes,
			       unsigned sub_stripes)
{
	const uint64_t profile = type & BTRFS_BLOCK_GROUP_PROFILE_MASK;
	unsigned min = 1, max = UINT16_MAX;

	if ((type & BTRFS_BLOCK_GROUP_REMAPPED) && stripes == 0)
		return 0;
	switch (profile) {
	case 0:
		max = 1;
		break;
	case BTRFS_BLOCK_GROUP_RAID0:
		break;
	case BTRFS_BLOCK_GROUP_DUP:
	case BTRFS_BLOCK_GROUP_RAID1:
		min = max = 2;
		break;
	case BTRFS_BLOCK_GROUP_RAID1C3:
		min = max = 3;
		break;
	case BTRFS_BLOCK_GROUP_RAID1C4:
		min = max = 4;
		break;
	case BTRFS_BLOCK_GROUP_RAID5:
		min = 2;
		break;
	case BTRFS_BLOCK_GROUP_RAID6:
		min = 3;
		break;
	case BTRFS_BLOCK_GROUP_RAID10:
		min = 2;
		if (sub_stripes != 2)
			return check_fail(c, "sub_stripes is %u for raid10, expected 2",
					  sub_stripes);
		if (stripes % 2)
			return check_fail(c,
					  "num_stripes is %u for raid10, expected an even number",
					  stripes);
		break;
	}
	if (stripes < min || stripes > max)
		return check_fail(c,
				  "num_stripes is %u for profile 0x%" PRIx64 ", expected %u to %u",
				  stripes, profile, min, max);
	return 0;
}

/* Bytes that a chunk takes on each of its devices. */
static uint64_t stripe_bytes(uint64_t length, uint64_t type, unsigned stripes)
{
	unsigned data = 1;

	if (type & BTRFS_BLOCK_GROUP_RAID0)
		data = stripes;
	else if (type & BTRFS_BLOCK_GROUP_RAID10)
		data = stripes / 2;
	else if (type & BTRFS_BLOCK_GROUP_RAID5)
		data = stripes - 1;
	else if (type & BTRFS_BLOCK_GROUP_RAID6)
		data = stripes - 2;
	return length / data;
}

static int check_chunk(const struct check *c, const struct btrfs_chunk *chunk, uint32_t len,
		       uint64_t logical)
{
	uint64_t type, bytes;
	unsigned stripes;
	int ret;

	ret = check_size_min(c, len, offsetof(struct btrfs_chunk, stripe));
	if (ret)
		return ret;
	type = le64_get(chunk->type);
	stripes = le16_get(chunk->num_stripes);
	ret = check_chunk_size(c, chunk, logical);
	if (ret == 0)
		ret = check_chunk_type(c, type);
	if (ret == 0)
		ret = check_chunk_stripes(c, type, stripes, le16_get(chunk->sub_stripes));
	if (ret == 0)
		ret = check_size(c, len, btrfs_chunk_item_size(stripes));
	if (ret || stripes == 0)
		return ret;
	bytes = stripe_bytes(le64_get(chunk->length), type, stripes);
	for (unsigned i = 0; ret == 0 && i < stripes; i++) {
		uint64_t physical = le64_get(btrfs_chunk_stripe(chunk, i)->offset);

		ret = check_align(c, "stripe offset", physical);
		if (ret == 0)
			ret = check_range(c, "stripe", physical, bytes);
	}
	return ret;
}

int check_chunk_item(struct check *c, const void *item, uint32_t len)
{
	if (c->key.objectid != BTRFS_FIRST_CHUNK_TREE_OBJECTID)
		return check_fail(c, "objectid is %" PRIu64 ", expected %llu", c->key.objectid,
				  BTRFS_FIRST_CHUNK_TREE_OBJECTID);
	return check_chunk(c, item, len, c->key.offset);
}

int btrfs_check_chunk(const struct btrfs_chunk *chunk, uint32_t len, uint64_t logical,
		      const struct btrfs_geometry *geo, struct btrfs_check_error *err)
{
	struct check c = {.geo = geo, .err = err, .level = -1, .slot = -1};

	c.key.objectid = BTRFS_FIRST_CHUNK_TREE_OBJECTID;
	c.key.type = BTRFS_CHUNK_ITEM_KEY;
	c.key.offset = logical;
	return check_chunk(&c, chunk, len, logical);
}

/* A device that is being removed has a size of 0. */
int check_dev_item(struct check *c, const void *item, uint32_t len)
{
	const struct btrfs_dev_item *di = item;
	int ret;

	if (c->key.objectid != BTRFS_DEV_ITEMS_OBJECTID)
		return check_fail(c, "objectid is %" PRIu64 ", expected DEV_ITEMS",
				  c->key.objectid);
	ret = check_size(c, len, sizeof(*di));
	if (ret)
		return ret;
	if (le64_get(di->devid) != c->key.offset)
		return check_fail(c, "devid is %" PRIu64 ", expected the key's %" PRIu64,
				  le64_get(di->devid), c->key.offset);
	if (le64_get(di->bytes_used) > le64_get(di->total_bytes))
		return check_fail(c, "bytes_used is %" PRIu64 ", expected at most %" PRIu64,
				  le64_get(di->bytes_used), le64_get(di->total_bytes));
	return 0;
}

int check_dev_extent(struct check *c, const void *item, uint32_t len)
{
	const struct btrfs_dev_extent *de = item;
	int ret = check_size(c, len, sizeof(*de));

	if (ret)
		return ret;
	if (le64_get(de->chunk_tree) != BTRFS_CHUNK_TREE_OBJECTID)
		return check_fail(c, "chunk_tree is %" PRIu64 ", expected %llu",
				  le64_get(de->chunk_tree), BTRFS_CHUNK_TREE_OBJECTID);
	if (le64_get(de->chunk_objectid) != BTRFS_FIRST_CHUNK_TREE_OBJECTID)
		return check_fail(c, "chunk_objectid is %" PRIu64 ", expected %llu",
				  le64_get(de->chunk_objectid), BTRFS_FIRST_CHUNK_TREE_OBJECTID);
	ret = check_align(c, "device offset", c->key.offset);
	if (ret == 0)
		ret = check_align(c, "chunk_offset", le64_get(de->chunk_offset));
	if (ret == 0)
		ret = check_align(c, "length", le64_get(de->length));
	if (ret == 0 && le64_get(de->length) == 0)
		ret = check_fail(c, "length is 0");
	if (ret == 0)
		ret = check_range(c, "device extent", c->key.offset, le64_get(de->length));
	if (ret || !c->prev_item || c->prev_key.objectid != c->key.objectid ||
	    c->prev_key.type != BTRFS_DEV_EXTENT_KEY)
		return ret;
	de = c->prev_item;
	if (c->prev_key.offset + le64_get(de->length) > c->key.offset)
		return check_fail(
			c, "device extent before it ends at %" PRIu64 ", expected at most %" PRIu64,
			c->prev_key.offset + le64_get(de->length), c->key.offset);
	return 0;
}
