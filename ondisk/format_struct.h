/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Structures of the format. Names and fields are those of linux/btrfs_tree.h, integers are our
 * little endian types, everything is packed: a pointer to any byte of a block may be cast to them.
 * Sizes and the offsets that other structures depend on are asserted at the end.
 */
#ifndef UBTRFS_ONDISK_FORMAT_STRUCT_H
#define UBTRFS_ONDISK_FORMAT_STRUCT_H

#include "ondisk/endian.h"
#include "ondisk/format_const.h"

#define BTRFS_PACKED __attribute__((packed))

struct btrfs_disk_key {
	le64 objectid;
	uint8_t type;
	le64 offset;
} BTRFS_PACKED;

struct btrfs_timespec {
	le64 sec; /* signed */
	le32 nsec;
} BTRFS_PACKED;

/* ---- tree blocks ---- */

struct btrfs_header {
	uint8_t csum[BTRFS_CSUM_SIZE]; /* of everything that follows in the block */
	uint8_t fsid[BTRFS_FSID_SIZE];
	le64 bytenr;
	le64 flags; /* BTRFS_HEADER_FLAG_*, back reference revision in the top byte */
	uint8_t chunk_tree_uuid[BTRFS_UUID_SIZE];
	le64 generation;
	le64 owner;
	le32 nritems;
	uint8_t level;
} BTRFS_PACKED;

struct btrfs_item {
	struct btrfs_disk_key key;
	le32 offset; /* of the data, counted from the end of the header */
	le32 size;
} BTRFS_PACKED;

struct btrfs_key_ptr {
	struct btrfs_disk_key key;
	le64 blockptr;
	le64 generation;
} BTRFS_PACKED;

struct btrfs_leaf {
	struct btrfs_header header;
	struct btrfs_item items[];
} BTRFS_PACKED;

struct btrfs_node {
	struct btrfs_header header;
	struct btrfs_key_ptr ptrs[];
} BTRFS_PACKED;

/* ---- devices, chunks, superblock ---- */

struct btrfs_dev_item {
	le64 devid;
	le64 total_bytes;
	le64 bytes_used;
	le32 io_align;
	le32 io_width;
	le32 sector_size;
	le64 type;
	le64 generation;
	le64 start_offset;
	le32 dev_group;
	uint8_t seek_speed;
	uint8_t bandwidth;
	uint8_t uuid[BTRFS_UUID_SIZE];
	uint8_t fsid[BTRFS_UUID_SIZE];
} BTRFS_PACKED;

struct btrfs_stripe {
	le64 devid;
	le64 offset;
	uint8_t dev_uuid[BTRFS_UUID_SIZE];
} BTRFS_PACKED;

struct btrfs_chunk {
	le64 length;
	le64 owner;
	le64 stripe_len;
	le64 type;
	le32 io_align;
	le32 io_width;
	le32 sector_size;
	le16 num_stripes; /* 0 only for a fully remapped chunk (remap-tree) */
	le16 sub_stripes;
	struct btrfs_stripe stripe; /* the first of num_stripes */
} BTRFS_PACKED;

struct btrfs_root_backup {
	le64 tree_root;
	le64 tree_root_gen;
	le64 chunk_root;
	le64 chunk_root_gen;
	le64 extent_root; /* with extent-tree-v2: the block group root */
	le64 extent_root_gen;
	le64 fs_root;
	le64 fs_root_gen;
	le64 dev_root;
	le64 dev_root_gen;
	le64 csum_root;
	le64 csum_root_gen;
	le64 total_bytes;
	le64 bytes_used;
	le64 num_devices;
	le64 unused_64[4];
	uint8_t tree_root_level;
	uint8_t chunk_root_level;
	uint8_t extent_root_level;
	uint8_t fs_root_level;
	uint8_t dev_root_level;
	uint8_t csum_root_level;
	uint8_t unused_8[10];
} BTRFS_PACKED;

struct btrfs_super_block {
	uint8_t csum[BTRFS_CSUM_SIZE];
	uint8_t fsid[BTRFS_FSID_SIZE];
	le64 bytenr;
	le64 flags;
	/* up to here as in struct btrfs_header */
	le64 magic;
	le64 generation;
	le64 root;
	le64 chunk_root;
	le64 log_root;
	le64 __unused_log_root_transid;
	le64 total_bytes;
	le64 bytes_used;
	le64 root_dir_objectid;
	le64 num_devices;
	le32 sectorsize;
	le32 nodesize;
	le32 __unused_leafsize;
	le32 stripesize;
	le32 sys_chunk_array_size;
	le64 chunk_root_generation;
	le64 compat_flags;
	le64 compat_ro_flags;
	le64 incompat_flags;
	le16 csum_type;
	uint8_t root_level;
	uint8_t chunk_root_level;
	uint8_t log_root_level;
	struct btrfs_dev_item dev_item;
	char label[BTRFS_LABEL_SIZE];
	le64 cache_generation;
	le64 uuid_tree_generation;
	uint8_t metadata_uuid[BTRFS_FSID_SIZE]; /* with METADATA_UUID: what block headers carry */
	le64 nr_global_roots;			/* extent-tree-v2 */
	le64 remap_root;			/* since 7.0: remap-tree */
	le64 remap_root_generation;
	uint8_t remap_root_level;
	uint8_t reserved[199];
	uint8_t sys_chunk_array[BTRFS_SYSTEM_CHUNK_ARRAY_SIZE];
	struct btrfs_root_backup super_roots[BTRFS_NUM_BACKUP_ROOTS];
	uint8_t padding[565];
} BTRFS_PACKED;

struct btrfs_dev_extent {
	le64 chunk_tree;
	le64 chunk_objectid;
	le64 chunk_offset;
	le64 length;
	uint8_t chunk_tree_uuid[BTRFS_UUID_SIZE];
} BTRFS_PACKED;

struct btrfs_dev_stats_item {
	le64 values[BTRFS_DEV_STATS_NR]; /* write, read, flush, corruption, generation errors */
} BTRFS_PACKED;

struct btrfs_dev_replace_item {
	le64 src_devid;
	le64 cursor_left;
	le64 cursor_right;
	le64 cont_reading_from_srcdev_mode;
	le64 replace_state;
	le64 time_started;
	le64 time_stopped;
	le64 num_write_errors;
	le64 num_uncorrectable_read_errors;
} BTRFS_PACKED;

struct btrfs_disk_balance_args {
	le64 profiles;
	union {
		le64 usage;
		struct {
			le32 usage_min;
			le32 usage_max;
		};
	};
	le64 devid;
	le64 pstart;
	le64 pend;
	le64 vstart;
	le64 vend;
	le64 target;
	le64 flags;
	union {
		le64 limit;
		struct {
			le32 limit_min;
			le32 limit_max;
		};
	};
	le32 stripes_min;
	le32 stripes_max;
	le64 unused[6];
} BTRFS_PACKED;

struct btrfs_balance_item {
	le64 flags;
	struct btrfs_disk_balance_args data;
	struct btrfs_disk_balance_args meta;
	struct btrfs_disk_balance_args sys;
	le64 unused[4];
} BTRFS_PACKED;

/* ---- files and subvolumes ---- */

struct btrfs_inode_item {
	le64 generation;
	le64 transid;
	le64 size;
	le64 nbytes;
	le64 block_group;
	le32 nlink;
	le32 uid;
	le32 gid;
	le32 mode;
	le64 rdev;
	le64 flags; /* BTRFS_INODE_* below, BTRFS_INODE_RO_* in the upper half */
	le64 sequence;
	le64 reserved[4];
	struct btrfs_timespec atime;
	struct btrfs_timespec ctime;
	struct btrfs_timespec mtime;
	struct btrfs_timespec otime;
} BTRFS_PACKED;

/* An INODE_REF item is a row of these, each followed by its name. */
struct btrfs_inode_ref {
	le64 index;
	le16 name_len;
} BTRFS_PACKED;

struct btrfs_inode_extref {
	le64 parent_objectid;
	le64 index;
	le16 name_len;
	uint8_t name[];
} BTRFS_PACKED;

/* DIR_ITEM and XATTR_ITEM are rows of these (hash collisions), each followed by name, then data. */
struct btrfs_dir_item {
	struct btrfs_disk_key location;
	le64 transid;
	le16 data_len;
	le16 name_len;
	uint8_t type; /* BTRFS_FT_*, possibly | BTRFS_FT_ENCRYPTED */
} BTRFS_PACKED;

struct btrfs_dir_log_item {
	le64 end;
} BTRFS_PACKED;

struct btrfs_file_extent_item {
	le64 generation;
	le64 ram_bytes;
	uint8_t compression;
	uint8_t encryption;
	le16 other_encoding;
	uint8_t type;
	/* An inline extent's data starts here. */
	le64 disk_bytenr; /* 0: a hole */
	le64 disk_num_bytes;
	le64 offset;
	le64 num_bytes;
} BTRFS_PACKED;

struct btrfs_csum_item {
	uint8_t csum;
} BTRFS_PACKED;

struct btrfs_root_item {
	struct btrfs_inode_item inode;
	le64 generation;
	le64 root_dirid;
	le64 bytenr;
	le64 byte_limit;
	le64 bytes_used;
	le64 last_snapshot;
	le64 flags;
	le32 refs;
	struct btrfs_disk_key drop_progress;
	uint8_t drop_level;
	uint8_t level;
	/*
	 * The old item ends here, see BTRFS_LEGACY_ROOT_ITEM_SIZE. What follows counts only while
	 * generation_v2 equals generation: an old kernel writes the one and not the other.
	 */
	le64 generation_v2;
	uint8_t uuid[BTRFS_UUID_SIZE];
	uint8_t parent_uuid[BTRFS_UUID_SIZE];
	uint8_t received_uuid[BTRFS_UUID_SIZE];
	le64 ctransid;
	le64 otransid;
	le64 stransid;
	le64 rtransid;
	struct btrfs_timespec ctime;
	struct btrfs_timespec otime;
	struct btrfs_timespec stime;
	struct btrfs_timespec rtime;
	le64 reserved[8];
} BTRFS_PACKED;

#define BTRFS_LEGACY_ROOT_ITEM_SIZE offsetof(struct btrfs_root_item, generation_v2)

/* ROOT_REF and ROOT_BACKREF; the name follows. */
struct btrfs_root_ref {
	le64 dirid;
	le64 sequence;
	le16 name_len;
} BTRFS_PACKED;

struct btrfs_verity_descriptor_item {
	le64 size;
	le64 reserved[2];
	uint8_t encryption;
} BTRFS_PACKED;

/* ---- extents and space ---- */

struct btrfs_extent_item {
	le64 refs;
	le64 generation;
	le64 flags;
} BTRFS_PACKED;

struct btrfs_extent_item_v0 {
	le32 refs;
} BTRFS_PACKED;

/* Follows a tree block's EXTENT_ITEM (not a METADATA_ITEM). */
struct btrfs_tree_block_info {
	struct btrfs_disk_key key;
	uint8_t level;
} BTRFS_PACKED;

struct btrfs_extent_data_ref {
	le64 root;
	le64 objectid;
	le64 offset; /* of the file minus offset into the extent: may wrap below 0 */
	le32 count;
} BTRFS_PACKED;

struct btrfs_shared_data_ref {
	le32 count;
} BTRFS_PACKED;

struct btrfs_extent_owner_ref { /* since 6.7 */
	le64 root_id;
} BTRFS_PACKED;

/*
 * Inline back reference: EXTENT_DATA_REF puts a struct btrfs_extent_data_ref in the place of
 * `offset`, SHARED_DATA_REF a struct btrfs_shared_data_ref behind it.
 */
struct btrfs_extent_inline_ref {
	uint8_t type;
	le64 offset;
} BTRFS_PACKED;

struct btrfs_block_group_item {
	le64 used;
	le64 chunk_objectid;
	le64 flags;
} BTRFS_PACKED;

struct btrfs_block_group_item_v2 { /* since 7.0: all block group items of a remap-tree filesystem */
	le64 used;
	le64 chunk_objectid;
	le64 flags;
	le64 remap_bytes;
	le32 identity_remap_count;
} BTRFS_PACKED;

struct btrfs_free_space_info {
	le32 extent_count;
	le32 flags;
} BTRFS_PACKED;

/* Space cache v1: the item [FREE_SPACE, 0, block group], and the entries in its file. */
struct btrfs_free_space_header {
	struct btrfs_disk_key location;
	le64 generation;
	le64 num_entries;
	le64 num_bitmaps;
} BTRFS_PACKED;

struct btrfs_free_space_entry {
	le64 offset;
	le64 bytes;
	uint8_t type;
} BTRFS_PACKED;

struct btrfs_raid_stride { /* since 6.7; the leading `encoding` of 6.7 to 6.11 is gone */
	le64 devid;
	le64 physical;
} BTRFS_PACKED;

struct btrfs_stripe_extent {
	struct btrfs_raid_stride strides[1]; /* as many as the item has room for */
} BTRFS_PACKED;

struct btrfs_remap_item { /* since 7.0 */
	le64 address;
} BTRFS_PACKED;

/* ---- quota groups ---- */

struct btrfs_qgroup_status_item {
	le64 version;
	le64 generation;
	le64 flags;
	le64 rescan;
	le64 enable_gen; /* since 6.7: there only with FLAG_SIMPLE_MODE */
} BTRFS_PACKED;

#define BTRFS_QGROUP_STATUS_LEGACY_SIZE offsetof(struct btrfs_qgroup_status_item, enable_gen)

struct btrfs_qgroup_info_item {
	le64 generation;
	le64 rfer;
	le64 rfer_cmpr;
	le64 excl;
	le64 excl_cmpr;
} BTRFS_PACKED;

struct btrfs_qgroup_limit_item {
	le64 flags;
	le64 max_rfer;
	le64 max_excl;
	le64 rsv_rfer;
	le64 rsv_excl;
} BTRFS_PACKED;

#endif
