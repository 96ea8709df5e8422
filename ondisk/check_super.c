// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Superblocks. Nothing that a reader computes with (sizes, shifts, levels, the system chunk array)
 * is left unchecked; whether the features are ones we know is the opener's business.
 */
#include <errno.h>
#include <string.h>

#include "ondisk/check_priv.h"

#define SUPER_FLAGS_KNOWN                                                                          \
	(BTRFS_HEADER_FLAG_WRITTEN | BTRFS_HEADER_FLAG_RELOC | BTRFS_SUPER_FLAG_ERROR |            \
	 BTRFS_SUPER_FLAG_SEEDING | BTRFS_SUPER_FLAG_METADUMP | BTRFS_SUPER_FLAG_METADUMP_V2)

#define SUPER_FLAGS_UNFINISHED                                                                     \
	(BTRFS_SUPER_FLAG_CHANGING_FSID | BTRFS_SUPER_FLAG_CHANGING_FSID_V2 |                      \
	 BTRFS_SUPER_FLAG_CHANGING_BG_TREE | BTRFS_SUPER_FLAG_CHANGING_DATA_CSUM |                 \
	 BTRFS_SUPER_FLAG_CHANGING_META_CSUM)

static bool power_of_2(uint64_t v)
{
	return v && (v & (v - 1)) == 0;
}

static int check_super_csum(const struct check *c, const struct btrfs_super_block *sb)
{
	uint8_t sum[BTRFS_CSUM_SIZE];
	unsigned type = le16_get(sb->csum_type);
	char f[80], e[80];
	struct text tf = TEXT_FIXED(f), te = TEXT_FIXED(e);

	btrfs_csum(type, (const uint8_t *)sb + BTRFS_CSUM_SIZE,
		   BTRFS_SUPER_INFO_SIZE - BTRFS_CSUM_SIZE, sum);
	if (memcmp(sum, sb->csum, btrfs_csum_size(type)) == 0)
		return 0;
	text_hexbytes(&tf, sb->csum, btrfs_csum_size(type));
	text_hexbytes(&te, sum, btrfs_csum_size(type));
	check_fail(c, "checksum is 0x%s, expected 0x%s", text_done(&tf), text_done(&te));
	c->err->csum = true;
	return -EUCLEAN;
}

static int check_super_sizes(const struct check *c, const struct btrfs_super_block *sb)
{
	uint32_t sectorsize = le32_get(sb->sectorsize), nodesize = le32_get(sb->nodesize);

	if (!power_of_2(sectorsize) || sectorsize < BTRFS_MIN_BLOCKSIZE ||
	    sectorsize > BTRFS_MAX_METADATA_BLOCKSIZE)
		return check_fail(c, "sectorsize is %u, expected a power of 2 from 4096 to 65536",
				  sectorsize);
	if (!power_of_2(nodesize) || nodesize < sectorsize ||
	    nodesize > BTRFS_MAX_METADATA_BLOCKSIZE)
		return check_fail(c, "nodesize is %u, expected a power of 2 from %u to 65536",
				  nodesize, sectorsize);
	if (le32_get(sb->__unused_leafsize) != nodesize)
		return check_fail(c, "leafsize is %u, expected the nodesize %u",
				  le32_get(sb->__unused_leafsize), nodesize);
	if (!power_of_2(le32_get(sb->stripesize)))
		return check_fail(c, "stripesize is %u, expected a power of 2",
				  le32_get(sb->stripesize));
	if (le64_get(sb->bytes_used) < 6 * (uint64_t)nodesize)
		return check_fail(c, "bytes_used is %" PRIu64 ", expected at least 6 nodes",
				  le64_get(sb->bytes_used));
	if (le64_get(sb->num_devices) == 0)
		return check_fail(c, "num_devices is 0");
	return 0;
}

static int check_super_root(const struct check *c, const char *what, uint64_t bytenr,
			    unsigned level, bool needed)
{
	int ret;

	if (level >= BTRFS_MAX_LEVEL)
		return check_fail(c, "%s level is %u, expected 0 to %u", what, level,
				  BTRFS_MAX_LEVEL - 1);
	if (needed && bytenr == 0)
		return check_fail(c, "%s is 0", what);
	ret = check_align(c, what, bytenr);
	return ret ? ret : check_range(c, what, bytenr, c->geo->nodesize);
}

static int check_super_roots(const struct check *c, const struct btrfs_super_block *sb)
{
	int ret;

	ret = check_super_root(c, "root", le64_get(sb->root), sb->root_level, true);
	if (ret == 0)
		ret = check_super_root(c, "chunk_root", le64_get(sb->chunk_root),
				       sb->chunk_root_level, true);
	if (ret == 0)
		ret = check_super_root(c, "log_root", le64_get(sb->log_root), sb->log_root_level,
				       false);
	if (ret == 0 && check_incompat(c, BTRFS_FEATURE_INCOMPAT_REMAP_TREE))
		ret = check_super_root(c, "remap_root", le64_get(sb->remap_root),
				       sb->remap_root_level, true);
	return ret;
}

static int check_super_flags(const struct check *c, uint64_t flags)
{
	if (flags & SUPER_FLAGS_UNFINISHED)
		return check_fail(c,
				  "flags are 0x%" PRIx64
				  ": a change by btrfstune was not finished; let it finish first",
				  flags);
	if (flags & ~SUPER_FLAGS_KNOWN)
		return check_fail(c, "flags are 0x%" PRIx64 ", expected only bits of 0x%" PRIx64,
				  flags, (uint64_t)SUPER_FLAGS_KNOWN);
	return 0;
}

/* Features that Linux accepts only together, or not together. */
static int check_super_features(const struct check *c)
{
	const uint64_t fst_valid = BTRFS_FEATURE_COMPAT_RO_FREE_SPACE_TREE_VALID;
	const uint64_t bgt = BTRFS_FEATURE_COMPAT_RO_BLOCK_GROUP_TREE;
	uint64_t compat_ro = c->geo->compat_ro;
	bool no_holes = check_incompat(c, BTRFS_FEATURE_INCOMPAT_NO_HOLES);

	if ((compat_ro & bgt) && (!(compat_ro & fst_valid) || !no_holes))
		return check_fail(c, "block-group-tree without free-space-tree or no-holes");
	if (check_incompat(c, BTRFS_FEATURE_INCOMPAT_MIXED_GROUPS) &&
	    c->geo->nodesize != c->geo->sectorsize)
		return check_fail(
			c, "mixed block groups with nodesize %u, expected the sector size %u",
			c->geo->nodesize, c->geo->sectorsize);
	if (!check_incompat(c, BTRFS_FEATURE_INCOMPAT_REMAP_TREE))
		return 0;
	if (!(compat_ro & fst_valid) || !no_holes || !(compat_ro & bgt))
		return check_fail(
			c, "remap-tree without block-group-tree, free-space-tree or no-holes");
	if (c->geo->incompat & (BTRFS_FEATURE_INCOMPAT_MIXED_GROUPS | BTRFS_FEATURE_INCOMPAT_ZONED))
		return check_fail(c, "remap-tree with mixed block groups or zones");
	return 0;
}

/* The chunks that must be known to read the chunk tree: rows of a key and a chunk item. */
static int check_sys_array(struct check *c, const struct btrfs_super_block *sb)
{
	const uint32_t head = offsetof(struct btrfs_chunk, stripe);
	uint32_t size = le32_get(sb->sys_chunk_array_size), off = 0, len;
	int ret;

	if (size > BTRFS_SYSTEM_CHUNK_ARRAY_SIZE ||
	    size < sizeof(struct btrfs_disk_key) + sizeof(struct btrfs_chunk))
		return check_fail(c, "sys_chunk_array_size is %u, expected %zu to %u", size,
				  sizeof(struct btrfs_disk_key) + sizeof(struct btrfs_chunk),
				  BTRFS_SYSTEM_CHUNK_ARRAY_SIZE);
	while (off < size) {
		const struct btrfs_disk_key *dk = (const void *)(sb->sys_chunk_array + off);
		const struct btrfs_chunk *chunk = (const void *)(dk + 1);
		struct btrfs_key key;

		if (size - off < sizeof(*dk) + head)
			return check_fail(c, "sys_chunk_array: entry at %u passes the end at %u",
					  off, size);
		key = btrfs_disk_key_get(dk);
		if (key.type != BTRFS_CHUNK_ITEM_KEY)
			return check_fail(c, "sys_chunk_array: key type at %u is %u, expected %u",
					  off, key.type, BTRFS_CHUNK_ITEM_KEY);
		len = btrfs_chunk_item_size(le16_get(chunk->num_stripes));
		off += (uint32_t)sizeof(*dk);
		if (len > size - off)
			return check_fail(c, "sys_chunk_array: chunk at %u passes the end at %u",
					  off, size);
		if (!(le64_get(chunk->type) & BTRFS_BLOCK_GROUP_SYSTEM))
			return check_fail(c,
					  "sys_chunk_array: chunk type at %u is 0x%" PRIx64
					  ", expected SYSTEM",
					  off, le64_get(chunk->type));
		ret = btrfs_check_chunk(chunk, len, key.offset, c->geo, c->err);
		if (ret)
			return ret;
		off += len;
	}
	return 0;
}

int btrfs_check_super(const struct btrfs_super_block *sb, uint64_t physical, bool ignore_csum,
		      struct btrfs_check_error *err)
{
	struct btrfs_geometry geo;
	struct check c = {.geo = &geo, .err = err, .level = -1, .slot = -1};
	int ret;

	btrfs_geometry_from_super(sb, &geo);
	if (le64_get(sb->magic) != BTRFS_MAGIC) {
		check_fail(&c, "no btrfs superblock: magic is 0x%016" PRIx64 ", expected 0x%016llx",
			   le64_get(sb->magic), BTRFS_MAGIC);
		return -EINVAL;
	}
	if (geo.csum_size == 0)
		return check_fail(&c, "checksum type is %u, expected 0 to 3", geo.csum_type);
	ret = ignore_csum ? 0 : check_super_csum(&c, sb);
	if (ret)
		return ret;
	if (le64_get(sb->bytenr) != physical)
		return check_fail(&c, "bytenr is %" PRIu64 ", expected %" PRIu64,
				  le64_get(sb->bytenr), physical);
	ret = check_super_flags(&c, le64_get(sb->flags));
	if (ret == 0)
		ret = check_super_sizes(&c, sb);
	if (ret == 0)
		ret = check_super_roots(&c, sb);
	if (ret == 0 && memcmp(sb->dev_item.fsid, geo.fsid, BTRFS_FSID_SIZE) != 0)
		ret = check_fail(&c, "fsid of the device item is not that of the filesystem");
	if (ret == 0)
		ret = check_super_features(&c);
	if (ret == 0)
		ret = check_sys_array(&c, sb);
	return ret;
}
