/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The on-disk format as of 2026: numbers (format_const.h), structures (format_struct.h), and here the
 * host key and the accessors every reader needs.
 *
 * The accessors do no checking: a block must have passed btrfs_check_block(), or be one that the
 * caller builds. They take the block as `const void *` and a slot below its nritems.
 */
#ifndef UBTRFS_ONDISK_FORMAT_H
#define UBTRFS_ONDISK_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ondisk/endian.h"
#include "ondisk/format_const.h"
#include "ondisk/format_struct.h"

struct btrfs_key {
	uint64_t objectid;
	uint8_t type;
	uint64_t offset;
};

/* ---- keys ---- */

static inline struct btrfs_key btrfs_disk_key_get(const struct btrfs_disk_key *dk)
{
	return (struct btrfs_key){ le64_get(dk->objectid), dk->type, le64_get(dk->offset) };
}

static inline struct btrfs_disk_key btrfs_disk_key_make(const struct btrfs_key *key)
{
	return (struct btrfs_disk_key){ le64_make(key->objectid), key->type, le64_make(key->offset) };
}

/* Below, at or above 0 as a sorts before, with or after b: objectid, then type, then offset. */
static inline int btrfs_key_cmp(const struct btrfs_key *a, const struct btrfs_key *b)
{
	if (a->objectid != b->objectid)
		return a->objectid < b->objectid ? -1 : 1;
	if (a->type != b->type)
		return a->type < b->type ? -1 : 1;
	if (a->offset != b->offset)
		return a->offset < b->offset ? -1 : 1;
	return 0;
}

/* ---- superblock copies ---- */

/* Byte of a device where copy i (0 to 2) of the superblock lies: 64 KiB, 64 MiB, 256 GiB. */
static inline uint64_t btrfs_sb_offset(int i)
{
	return i == 0 ? BTRFS_SUPER_INFO_OFFSET : 16384ULL << (BTRFS_SUPER_MIRROR_SHIFT * i);
}

/* ---- block headers ---- */

static inline const struct btrfs_header *btrfs_header_of(const void *block)
{
	return (const struct btrfs_header *)block;
}

static inline uint64_t btrfs_header_bytenr(const void *block)
{
	return le64_get(btrfs_header_of(block)->bytenr);
}

static inline uint64_t btrfs_header_generation(const void *block)
{
	return le64_get(btrfs_header_of(block)->generation);
}

static inline uint64_t btrfs_header_owner(const void *block)
{
	return le64_get(btrfs_header_of(block)->owner);
}

static inline uint32_t btrfs_header_nritems(const void *block)
{
	return le32_get(btrfs_header_of(block)->nritems);
}

static inline unsigned btrfs_header_level(const void *block)
{
	return btrfs_header_of(block)->level;
}

/* BTRFS_HEADER_FLAG_*, without the back reference revision. */
static inline uint64_t btrfs_header_flags(const void *block)
{
	return le64_get(btrfs_header_of(block)->flags) & ((1ULL << BTRFS_BACKREF_REV_SHIFT) - 1);
}

static inline unsigned btrfs_header_backref_rev(const void *block)
{
	return (unsigned)(le64_get(btrfs_header_of(block)->flags) >> BTRFS_BACKREF_REV_SHIFT);
}

/* ---- leaves ---- */

/* Bytes of a leaf for item headers and data. */
static inline uint32_t btrfs_leaf_data_size(uint32_t nodesize)
{
	return nodesize - (uint32_t)sizeof(struct btrfs_header);
}

static inline const struct btrfs_item *btrfs_item_hdr(const void *leaf, unsigned slot)
{
	return &((const struct btrfs_leaf *)leaf)->items[slot];
}

static inline struct btrfs_key btrfs_item_key(const void *leaf, unsigned slot)
{
	return btrfs_disk_key_get(&btrfs_item_hdr(leaf, slot)->key);
}

/* From the end of the header, as on disk. */
static inline uint32_t btrfs_item_offset(const void *leaf, unsigned slot)
{
	return le32_get(btrfs_item_hdr(leaf, slot)->offset);
}

static inline uint32_t btrfs_item_size(const void *leaf, unsigned slot)
{
	return le32_get(btrfs_item_hdr(leaf, slot)->size);
}

static inline const void *btrfs_item_ptr(const void *leaf, unsigned slot)
{
	return (const uint8_t *)leaf + sizeof(struct btrfs_header) + btrfs_item_offset(leaf, slot);
}

/* ---- nodes ---- */

static inline uint32_t btrfs_node_max_ptrs(uint32_t nodesize)
{
	return btrfs_leaf_data_size(nodesize) / (uint32_t)sizeof(struct btrfs_key_ptr);
}

static inline const struct btrfs_key_ptr *btrfs_node_ptr(const void *node, unsigned slot)
{
	return &((const struct btrfs_node *)node)->ptrs[slot];
}

static inline struct btrfs_key btrfs_node_key(const void *node, unsigned slot)
{
	return btrfs_disk_key_get(&btrfs_node_ptr(node, slot)->key);
}

static inline uint64_t btrfs_node_blockptr(const void *node, unsigned slot)
{
	return le64_get(btrfs_node_ptr(node, slot)->blockptr);
}

static inline uint64_t btrfs_node_generation(const void *node, unsigned slot)
{
	return le64_get(btrfs_node_ptr(node, slot)->generation);
}

/* Key of a slot of either kind of block. */
static inline struct btrfs_key btrfs_block_key(const void *block, unsigned slot)
{
	return btrfs_header_level(block) ? btrfs_node_key(block, slot) : btrfs_item_key(block, slot);
}

/* ---- items ---- */

/* Bytes of a chunk item with so many stripes (in the type of the count: 0 is legal, see the struct). */
static inline uint32_t btrfs_chunk_item_size(unsigned num_stripes)
{
	return (uint32_t)(offsetof(struct btrfs_chunk, stripe) +
			  num_stripes * sizeof(struct btrfs_stripe));
}

static inline const struct btrfs_stripe *btrfs_chunk_stripe(const struct btrfs_chunk *chunk,
							    unsigned i)
{
	return (const struct btrfs_stripe *)((const uint8_t *)chunk + btrfs_chunk_item_size(i));
}

/* Where the data of an inline file extent starts in its item. */
#define BTRFS_FILE_EXTENT_INLINE_DATA_START offsetof(struct btrfs_file_extent_item, disk_bytenr)

static inline const void *btrfs_file_extent_inline_data(const struct btrfs_file_extent_item *fi)
{
	return (const uint8_t *)fi + BTRFS_FILE_EXTENT_INLINE_DATA_START;
}

/* Bytes of an inline back reference of this type, 0 if there is no such type. */
static inline uint32_t btrfs_extent_inline_ref_size(unsigned type)
{
	switch (type) {
	case BTRFS_TREE_BLOCK_REF_KEY:
	case BTRFS_SHARED_BLOCK_REF_KEY:
	case BTRFS_EXTENT_OWNER_REF_KEY:
		return sizeof(struct btrfs_extent_inline_ref);
	case BTRFS_SHARED_DATA_REF_KEY:
		return sizeof(struct btrfs_extent_inline_ref) + sizeof(struct btrfs_shared_data_ref);
	case BTRFS_EXTENT_DATA_REF_KEY:
		return offsetof(struct btrfs_extent_inline_ref, offset) +
		       sizeof(struct btrfs_extent_data_ref);
	default:
		return 0;
	}
}

static inline unsigned btrfs_qgroup_level(uint64_t qgroupid)
{
	return (unsigned)(qgroupid >> BTRFS_QGROUP_LEVEL_SHIFT);
}

static inline uint64_t btrfs_qgroup_subvolid(uint64_t qgroupid)
{
	return qgroupid & ((1ULL << BTRFS_QGROUP_LEVEL_SHIFT) - 1);
}

/* Trees that hold files: the top one and subvolumes (log and relocation copies excluded). */
static inline bool btrfs_is_fstree(uint64_t objectid)
{
	/* The upper bits of a subvolume id are a qgroup's level: an id with them set is no subvolume. */
	return objectid == BTRFS_FS_TREE_OBJECTID ||
	       ((int64_t)objectid >= (int64_t)BTRFS_FIRST_FREE_OBJECTID &&
		btrfs_qgroup_level(objectid) == 0);
}

/* ---- the layout, asserted ---- */

#define BTRFS_ASSERT_SIZE(name, size) _Static_assert(sizeof(struct name) == (size), #name)
#define BTRFS_ASSERT_OFFSET(name, member, off)                                                     \
	_Static_assert(offsetof(struct name, member) == (off), #name "." #member)

BTRFS_ASSERT_SIZE(btrfs_disk_key, 17);
BTRFS_ASSERT_SIZE(btrfs_timespec, 12);
BTRFS_ASSERT_SIZE(btrfs_header, 101);
BTRFS_ASSERT_OFFSET(btrfs_header, bytenr, 48);
BTRFS_ASSERT_OFFSET(btrfs_header, generation, 80);
BTRFS_ASSERT_OFFSET(btrfs_header, level, 100);
BTRFS_ASSERT_SIZE(btrfs_item, 25);
BTRFS_ASSERT_SIZE(btrfs_key_ptr, 33);
BTRFS_ASSERT_SIZE(btrfs_leaf, 101);
BTRFS_ASSERT_SIZE(btrfs_node, 101);
BTRFS_ASSERT_SIZE(btrfs_dev_item, 98);
BTRFS_ASSERT_SIZE(btrfs_stripe, 32);
BTRFS_ASSERT_SIZE(btrfs_chunk, 80);
BTRFS_ASSERT_OFFSET(btrfs_chunk, stripe, 48);
BTRFS_ASSERT_SIZE(btrfs_root_backup, 168);
BTRFS_ASSERT_SIZE(btrfs_super_block, BTRFS_SUPER_INFO_SIZE);
BTRFS_ASSERT_OFFSET(btrfs_super_block, magic, 0x40);
BTRFS_ASSERT_OFFSET(btrfs_super_block, sectorsize, 0x90);
BTRFS_ASSERT_OFFSET(btrfs_super_block, csum_type, 0xc4);
BTRFS_ASSERT_OFFSET(btrfs_super_block, dev_item, 0xc9);
BTRFS_ASSERT_OFFSET(btrfs_super_block, label, 0x12b);
BTRFS_ASSERT_OFFSET(btrfs_super_block, metadata_uuid, 0x23b);
BTRFS_ASSERT_OFFSET(btrfs_super_block, remap_root, 0x253);
BTRFS_ASSERT_OFFSET(btrfs_super_block, sys_chunk_array, 0x32b);
BTRFS_ASSERT_OFFSET(btrfs_super_block, super_roots, 0xb2b);
BTRFS_ASSERT_SIZE(btrfs_dev_extent, 48);
BTRFS_ASSERT_SIZE(btrfs_dev_stats_item, 40);
BTRFS_ASSERT_SIZE(btrfs_dev_replace_item, 72);
BTRFS_ASSERT_SIZE(btrfs_disk_balance_args, 136);
BTRFS_ASSERT_SIZE(btrfs_balance_item, 448);
BTRFS_ASSERT_SIZE(btrfs_inode_item, 160);
BTRFS_ASSERT_OFFSET(btrfs_inode_item, atime, 112);
BTRFS_ASSERT_SIZE(btrfs_inode_ref, 10);
BTRFS_ASSERT_SIZE(btrfs_inode_extref, 18);
BTRFS_ASSERT_SIZE(btrfs_dir_item, 30);
BTRFS_ASSERT_SIZE(btrfs_dir_log_item, 8);
BTRFS_ASSERT_SIZE(btrfs_file_extent_item, 53);
BTRFS_ASSERT_OFFSET(btrfs_file_extent_item, disk_bytenr, 21);
BTRFS_ASSERT_SIZE(btrfs_root_item, 439);
BTRFS_ASSERT_OFFSET(btrfs_root_item, generation_v2, 239);
BTRFS_ASSERT_SIZE(btrfs_root_ref, 18);
BTRFS_ASSERT_SIZE(btrfs_verity_descriptor_item, 25);
BTRFS_ASSERT_SIZE(btrfs_extent_item, 24);
BTRFS_ASSERT_SIZE(btrfs_tree_block_info, 18);
BTRFS_ASSERT_SIZE(btrfs_extent_data_ref, 28);
BTRFS_ASSERT_SIZE(btrfs_shared_data_ref, 4);
BTRFS_ASSERT_SIZE(btrfs_extent_owner_ref, 8);
BTRFS_ASSERT_SIZE(btrfs_extent_inline_ref, 9);
BTRFS_ASSERT_SIZE(btrfs_block_group_item, 24);
BTRFS_ASSERT_SIZE(btrfs_block_group_item_v2, 36);
BTRFS_ASSERT_SIZE(btrfs_free_space_info, 8);
BTRFS_ASSERT_SIZE(btrfs_free_space_header, 41);
BTRFS_ASSERT_SIZE(btrfs_free_space_entry, 17);
BTRFS_ASSERT_SIZE(btrfs_raid_stride, 16);
BTRFS_ASSERT_SIZE(btrfs_remap_item, 8);
BTRFS_ASSERT_SIZE(btrfs_qgroup_status_item, 40);
BTRFS_ASSERT_SIZE(btrfs_qgroup_info_item, 40);
BTRFS_ASSERT_SIZE(btrfs_qgroup_limit_item, 40);

#endif
