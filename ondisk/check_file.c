// SPDX-License-Identifier: GPL-2.0-or-later
/* File extents and data checksums. */
#include "ondisk/check_priv.h"

/*
 * A compressed extent holds at most this much data, before and after compression: every writer of
 * the format cuts at it, and readers allocate by it.
 */
#define MAX_COMPRESSED_EXTENT (128U << 10)

static int check_compressed(const struct check *c, const struct btrfs_file_extent_item *fi)
{
	uint64_t ram = le64_get(fi->ram_bytes);

	if (fi->compression == BTRFS_COMPRESS_NONE || ram <= MAX_COMPRESSED_EXTENT)
		return 0;
	return check_fail(c, "compressed extent with ram_bytes %" PRIu64 ", expected at most %u",
			  ram, MAX_COMPRESSED_EXTENT);
}

static int check_inline_extent(const struct check *c, const struct btrfs_file_extent_item *fi,
			       uint32_t len)
{
	uint32_t data_len = len - (uint32_t)BTRFS_FILE_EXTENT_INLINE_DATA_START;

	if (c->key.offset != 0)
		return check_fail(c, "inline extent at offset %" PRIu64 ", expected 0",
				  c->key.offset);
	if (fi->compression == BTRFS_COMPRESS_NONE && le64_get(fi->ram_bytes) != data_len)
		return check_fail(c, "inline extent with ram_bytes %" PRIu64 ", expected %u",
				  le64_get(fi->ram_bytes), data_len);
	return check_compressed(c, fi);
}

static uint64_t file_extent_end(const struct check *c, const struct btrfs_key *key,
				const struct btrfs_file_extent_item *fi)
{
	uint64_t mask = c->geo->sectorsize - 1;

	if (fi->type == BTRFS_FILE_EXTENT_INLINE)
		return (key->offset + le64_get(fi->ram_bytes) + mask) & ~mask;
	return key->offset + le64_get(fi->num_bytes);
}

static int check_file_extent_order(const struct check *c)
{
	uint64_t end;

	if (!c->prev_item || c->prev_key.objectid != c->key.objectid ||
	    c->prev_key.type != BTRFS_EXTENT_DATA_KEY)
		return 0;
	end = file_extent_end(c, &c->prev_key, c->prev_item);
	if (end > c->key.offset)
		return check_fail(c,
				  "extent before it ends at %" PRIu64 ", expected at most %" PRIu64,
				  end, c->key.offset);
	return 0;
}

/* The part that the file uses lies inside the extent. */
static int check_extent_part(const struct check *c, const struct btrfs_file_extent_item *fi)
{
	uint64_t off = le64_get(fi->offset), num = le64_get(fi->num_bytes);
	uint64_t disk_num = le64_get(fi->disk_num_bytes), size;

	if (le64_get(fi->disk_bytenr) == 0) /* a hole */
		return 0;
	/* Without compression ram_bytes is not relied upon, and some kernels left it too small. */
	size = fi->compression == BTRFS_COMPRESS_NONE ? disk_num : le64_get(fi->ram_bytes);
	if (off > size || num > size - off)
		return check_fail(c,
				  "offset %" PRIu64 " with num_bytes %" PRIu64
				  " passes the extent's %" PRIu64,
				  off, num, size);
	if (fi->compression != BTRFS_COMPRESS_NONE && disk_num > MAX_COMPRESSED_EXTENT)
		return check_fail(
			c, "compressed extent with disk_num_bytes %" PRIu64 ", expected at most %u",
			disk_num, MAX_COMPRESSED_EXTENT);
	return check_compressed(c, fi);
}

static int check_regular_extent(const struct check *c, const struct btrfs_file_extent_item *fi,
				uint32_t len)
{
	int ret = check_size(c, len, sizeof(*fi));

	if (ret == 0)
		ret = check_align(c, "ram_bytes", le64_get(fi->ram_bytes));
	if (ret == 0)
		ret = check_align(c, "disk_bytenr", le64_get(fi->disk_bytenr));
	if (ret == 0)
		ret = check_align(c, "disk_num_bytes", le64_get(fi->disk_num_bytes));
	if (ret == 0)
		ret = check_align(c, "offset", le64_get(fi->offset));
	if (ret == 0)
		ret = check_align(c, "num_bytes", le64_get(fi->num_bytes));
	if (ret == 0)
		ret = check_range(c, "file extent", c->key.offset, le64_get(fi->num_bytes));
	if (ret == 0)
		ret = check_range(c, "extent", le64_get(fi->disk_bytenr),
				  le64_get(fi->disk_num_bytes));
	if (ret == 0)
		ret = check_file_extent_order(c);
	if (ret == 0)
		ret = check_extent_part(c, fi);
	return ret;
}

int check_file_extent(struct check *c, const void *item, uint32_t len)
{
	const struct btrfs_file_extent_item *fi = item;
	int ret;

	ret = check_align(c, "file offset", c->key.offset);
	if (ret == 0)
		ret = check_prev_inode(c);
	if (ret == 0)
		ret = check_size_min(c, len, BTRFS_FILE_EXTENT_INLINE_DATA_START);
	if (ret)
		return ret;
	if (fi->type >= BTRFS_NR_FILE_EXTENT_TYPES)
		return check_fail(c, "extent type is %u, expected 0 to %u", fi->type,
				  BTRFS_NR_FILE_EXTENT_TYPES - 1);
	if (fi->compression >= BTRFS_NR_COMPRESS_TYPES)
		return check_fail(c, "compression is %u, expected 0 to %u", fi->compression,
				  BTRFS_NR_COMPRESS_TYPES - 1);
	if (fi->encryption)
		return check_fail(c, "encryption is %u, expected 0", fi->encryption);
	if (fi->type == BTRFS_FILE_EXTENT_INLINE)
		return check_inline_extent(c, fi, len);
	return check_regular_extent(c, fi, len);
}

static uint64_t csum_item_bytes(const struct check *c, uint32_t len)
{
	return (uint64_t)(len / c->geo->csum_size) * c->geo->sectorsize;
}

int check_csum_item(struct check *c, const void *item, uint32_t len)
{
	uint64_t prev_end;
	int ret;

	if (c->key.objectid != BTRFS_EXTENT_CSUM_OBJECTID)
		return check_fail(c, "objectid is %" PRIu64 ", expected EXTENT_CSUM",
				  c->key.objectid);
	ret = check_align(c, "start", c->key.offset);
	if (ret)
		return ret;
	if (len == 0 || len % c->geo->csum_size)
		return check_fail(c, "item size is %u, expected a row of %u byte checksums", len,
				  c->geo->csum_size);
	ret = check_range(c, "checksums", c->key.offset, csum_item_bytes(c, len));
	if (ret)
		return ret;
	if (!c->prev_item || c->prev_key.type != BTRFS_EXTENT_CSUM_KEY)
		return 0;
	prev_end = c->prev_key.offset + csum_item_bytes(c, c->prev_len);
	if (prev_end > c->key.offset)
		return check_fail(
			c, "checksums before it end at %" PRIu64 ", expected at most %" PRIu64,
			prev_end, c->key.offset);
	return 0;
}
