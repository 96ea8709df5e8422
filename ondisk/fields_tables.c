// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The tables. Fields ascend and cover their structure without a gap; a test holds them to it, so a
 * field that is forgotten here fails there.
 */
#include "ondisk/fields_priv.h"

#define FIELD(s, m, elem, n, k, d)                                                                 \
	{                                                                                          \
#m, offsetof(struct btrfs_##s, m), elem, n, k, d                                   \
	}
#define SIZEOF(s, m) sizeof(((struct btrfs_##s *)0)->m)
#define UINT(s, m) FIELD(s, m, SIZEOF(s, m), 1, BTRFS_FIELD_UINT, NULL)
#define UINT_ARRAY(s, m)                                                                           \
	FIELD(s, m, sizeof(le64), SIZEOF(s, m) / sizeof(le64), BTRFS_FIELD_UINT, NULL)
#define UUID(s, m) FIELD(s, m, SIZEOF(s, m), 1, BTRFS_FIELD_UUID, NULL)
#define BYTES(s, m) FIELD(s, m, SIZEOF(s, m), 1, BTRFS_FIELD_BYTES, NULL)
#define TEXT(s, m) FIELD(s, m, SIZEOF(s, m), 1, BTRFS_FIELD_TEXT, NULL)
#define KEY(s, m) FIELD(s, m, SIZEOF(s, m), 1, BTRFS_FIELD_KEY, &btrfs_desc_disk_key)
#define TIME(s, m) FIELD(s, m, SIZEOF(s, m), 1, BTRFS_FIELD_TIME, &btrfs_desc_timespec)
#define STRUCT(s, m, d) FIELD(s, m, SIZEOF(s, m), 1, BTRFS_FIELD_STRUCT, &btrfs_desc_##d)
#define STRUCT_ARRAY(s, m, d)                                                                      \
	FIELD(s, m, sizeof(struct btrfs_##d), SIZEOF(s, m) / sizeof(struct btrfs_##d),             \
	      BTRFS_FIELD_STRUCT, &btrfs_desc_##d)

#define DESC_OF(s, size, table)                                                                    \
	const struct btrfs_struct_desc btrfs_desc_##s = { #s, size,                                \
							  sizeof(table) / sizeof((table)[0]),      \
							  table }
#define DESC(s) DESC_OF(s, sizeof(struct btrfs_##s), s##_fields)

static const struct btrfs_field disk_key_fields[] = { UINT(disk_key, objectid),
						      UINT(disk_key, type),
						      UINT(disk_key, offset) };
DESC(disk_key);

static const struct btrfs_field timespec_fields[] = { UINT(timespec, sec), UINT(timespec, nsec) };
DESC(timespec);

static const struct btrfs_field header_fields[] = { BYTES(header, csum),
						    UUID(header, fsid),
						    UINT(header, bytenr),
						    UINT(header, flags),
						    UUID(header, chunk_tree_uuid),
						    UINT(header, generation),
						    UINT(header, owner),
						    UINT(header, nritems),
						    UINT(header, level) };
DESC(header);

static const struct btrfs_field item_fields[] = { KEY(item, key), UINT(item, offset),
						  UINT(item, size) };
DESC(item);

static const struct btrfs_field key_ptr_fields[] = { KEY(key_ptr, key), UINT(key_ptr, blockptr),
						     UINT(key_ptr, generation) };
DESC(key_ptr);

static const struct btrfs_field dev_item_fields[] = {
	UINT(dev_item, devid),	   UINT(dev_item, total_bytes), UINT(dev_item, bytes_used),
	UINT(dev_item, io_align),  UINT(dev_item, io_width),	UINT(dev_item, sector_size),
	UINT(dev_item, type),	   UINT(dev_item, generation),	UINT(dev_item, start_offset),
	UINT(dev_item, dev_group), UINT(dev_item, seek_speed),	UINT(dev_item, bandwidth),
	UUID(dev_item, uuid),	   UUID(dev_item, fsid)
};
DESC(dev_item);

static const struct btrfs_field stripe_fields[] = { UINT(stripe, devid), UINT(stripe, offset),
						    UUID(stripe, dev_uuid) };
DESC(stripe);

static const struct btrfs_field chunk_fields[] = {
	UINT(chunk, length),	  UINT(chunk, owner),	    UINT(chunk, stripe_len),
	UINT(chunk, type),	  UINT(chunk, io_align),    UINT(chunk, io_width),
	UINT(chunk, sector_size), UINT(chunk, num_stripes), UINT(chunk, sub_stripes)
};
DESC_OF(chunk, offsetof(struct btrfs_chunk, stripe), chunk_fields);

static const struct btrfs_field root_backup_fields[] = {
	UINT(root_backup, tree_root),	      UINT(root_backup, tree_root_gen),
	UINT(root_backup, chunk_root),	      UINT(root_backup, chunk_root_gen),
	UINT(root_backup, extent_root),	      UINT(root_backup, extent_root_gen),
	UINT(root_backup, fs_root),	      UINT(root_backup, fs_root_gen),
	UINT(root_backup, dev_root),	      UINT(root_backup, dev_root_gen),
	UINT(root_backup, csum_root),	      UINT(root_backup, csum_root_gen),
	UINT(root_backup, total_bytes),	      UINT(root_backup, bytes_used),
	UINT(root_backup, num_devices),	      UINT_ARRAY(root_backup, unused_64),
	UINT(root_backup, tree_root_level),   UINT(root_backup, chunk_root_level),
	UINT(root_backup, extent_root_level), UINT(root_backup, fs_root_level),
	UINT(root_backup, dev_root_level),    UINT(root_backup, csum_root_level),
	BYTES(root_backup, unused_8)
};
DESC(root_backup);

static const struct btrfs_field super_block_fields[] = {
	BYTES(super_block, csum),
	UUID(super_block, fsid),
	UINT(super_block, bytenr),
	UINT(super_block, flags),
	UINT(super_block, magic),
	UINT(super_block, generation),
	UINT(super_block, root),
	UINT(super_block, chunk_root),
	UINT(super_block, log_root),
	UINT(super_block, __unused_log_root_transid),
	UINT(super_block, total_bytes),
	UINT(super_block, bytes_used),
	UINT(super_block, root_dir_objectid),
	UINT(super_block, num_devices),
	UINT(super_block, sectorsize),
	UINT(super_block, nodesize),
	UINT(super_block, __unused_leafsize),
	UINT(super_block, stripesize),
	UINT(super_block, sys_chunk_array_size),
	UINT(super_block, chunk_root_generation),
	UINT(super_block, compat_flags),
	UINT(super_block, compat_ro_flags),
	UINT(super_block, incompat_flags),
	UINT(super_block, csum_type),
	UINT(super_block, root_level),
	UINT(super_block, chunk_root_level),
	UINT(super_block, log_root_level),
	STRUCT(super_block, dev_item, dev_item),
	TEXT(super_block, label),
	UINT(super_block, cache_generation),
	UINT(super_block, uuid_tree_generation),
	UUID(super_block, metadata_uuid),
	UINT(super_block, nr_global_roots),
	UINT(super_block, remap_root),
	UINT(super_block, remap_root_generation),
	UINT(super_block, remap_root_level),
	BYTES(super_block, reserved),
	BYTES(super_block, sys_chunk_array),
	STRUCT_ARRAY(super_block, super_roots, root_backup),
	BYTES(super_block, padding)
};
DESC(super_block);

static const struct btrfs_field dev_extent_fields[] = {
	UINT(dev_extent, chunk_tree), UINT(dev_extent, chunk_objectid),
	UINT(dev_extent, chunk_offset), UINT(dev_extent, length), UUID(dev_extent, chunk_tree_uuid)
};
DESC(dev_extent);

static const struct btrfs_field dev_stats_item_fields[] = { UINT_ARRAY(dev_stats_item, values) };
DESC(dev_stats_item);

static const struct btrfs_field dev_replace_item_fields[] = {
	UINT(dev_replace_item, src_devid),
	UINT(dev_replace_item, cursor_left),
	UINT(dev_replace_item, cursor_right),
	UINT(dev_replace_item, cont_reading_from_srcdev_mode),
	UINT(dev_replace_item, replace_state),
	UINT(dev_replace_item, time_started),
	UINT(dev_replace_item, time_stopped),
	UINT(dev_replace_item, num_write_errors),
	UINT(dev_replace_item, num_uncorrectable_read_errors)
};
DESC(dev_replace_item);

static const struct btrfs_field disk_balance_args_fields[] = {
	UINT(disk_balance_args, profiles),    UINT(disk_balance_args, usage),
	UINT(disk_balance_args, devid),	      UINT(disk_balance_args, pstart),
	UINT(disk_balance_args, pend),	      UINT(disk_balance_args, vstart),
	UINT(disk_balance_args, vend),	      UINT(disk_balance_args, target),
	UINT(disk_balance_args, flags),	      UINT(disk_balance_args, limit),
	UINT(disk_balance_args, stripes_min), UINT(disk_balance_args, stripes_max),
	UINT_ARRAY(disk_balance_args, unused)
};
DESC(disk_balance_args);

static const struct btrfs_field balance_item_fields[] = {
	UINT(balance_item, flags), STRUCT(balance_item, data, disk_balance_args),
	STRUCT(balance_item, meta, disk_balance_args), STRUCT(balance_item, sys, disk_balance_args),
	UINT_ARRAY(balance_item, unused)
};
DESC(balance_item);

static const struct btrfs_field inode_item_fields[] = { UINT(inode_item, generation),
							UINT(inode_item, transid),
							UINT(inode_item, size),
							UINT(inode_item, nbytes),
							UINT(inode_item, block_group),
							UINT(inode_item, nlink),
							UINT(inode_item, uid),
							UINT(inode_item, gid),
							UINT(inode_item, mode),
							UINT(inode_item, rdev),
							UINT(inode_item, flags),
							UINT(inode_item, sequence),
							UINT_ARRAY(inode_item, reserved),
							TIME(inode_item, atime),
							TIME(inode_item, ctime),
							TIME(inode_item, mtime),
							TIME(inode_item, otime) };
DESC(inode_item);

static const struct btrfs_field inode_ref_fields[] = { UINT(inode_ref, index),
						       UINT(inode_ref, name_len) };
DESC(inode_ref);

static const struct btrfs_field inode_extref_fields[] = { UINT(inode_extref, parent_objectid),
							  UINT(inode_extref, index),
							  UINT(inode_extref, name_len) };
DESC(inode_extref);

static const struct btrfs_field dir_item_fields[] = {
	KEY(dir_item, location), UINT(dir_item, transid), UINT(dir_item, data_len),
	UINT(dir_item, name_len), UINT(dir_item, type)
};
DESC(dir_item);

static const struct btrfs_field dir_log_item_fields[] = { UINT(dir_log_item, end) };
DESC(dir_log_item);

static const struct btrfs_field file_extent_item_fields[] = {
	UINT(file_extent_item, generation),	UINT(file_extent_item, ram_bytes),
	UINT(file_extent_item, compression),	UINT(file_extent_item, encryption),
	UINT(file_extent_item, other_encoding), UINT(file_extent_item, type),
	UINT(file_extent_item, disk_bytenr),	UINT(file_extent_item, disk_num_bytes),
	UINT(file_extent_item, offset),		UINT(file_extent_item, num_bytes)
};
DESC(file_extent_item);

/* The part of it that an inline extent has, before its data. */
static const struct btrfs_field file_extent_inline_fields[] = {
	UINT(file_extent_item, generation),	UINT(file_extent_item, ram_bytes),
	UINT(file_extent_item, compression),	UINT(file_extent_item, encryption),
	UINT(file_extent_item, other_encoding), UINT(file_extent_item, type)
};
DESC_OF(file_extent_inline, BTRFS_FILE_EXTENT_INLINE_DATA_START, file_extent_inline_fields);

static const struct btrfs_field root_item_fields[] = { STRUCT(root_item, inode, inode_item),
						       UINT(root_item, generation),
						       UINT(root_item, root_dirid),
						       UINT(root_item, bytenr),
						       UINT(root_item, byte_limit),
						       UINT(root_item, bytes_used),
						       UINT(root_item, last_snapshot),
						       UINT(root_item, flags),
						       UINT(root_item, refs),
						       KEY(root_item, drop_progress),
						       UINT(root_item, drop_level),
						       UINT(root_item, level),
						       UINT(root_item, generation_v2),
						       UUID(root_item, uuid),
						       UUID(root_item, parent_uuid),
						       UUID(root_item, received_uuid),
						       UINT(root_item, ctransid),
						       UINT(root_item, otransid),
						       UINT(root_item, stransid),
						       UINT(root_item, rtransid),
						       TIME(root_item, ctime),
						       TIME(root_item, otime),
						       TIME(root_item, stime),
						       TIME(root_item, rtime),
						       UINT_ARRAY(root_item, reserved) };
DESC(root_item);

static const struct btrfs_field root_ref_fields[] = { UINT(root_ref, dirid),
						      UINT(root_ref, sequence),
						      UINT(root_ref, name_len) };
DESC(root_ref);

static const struct btrfs_field verity_descriptor_item_fields[] = {
	UINT(verity_descriptor_item, size), UINT_ARRAY(verity_descriptor_item, reserved),
	UINT(verity_descriptor_item, encryption)
};
DESC(verity_descriptor_item);

static const struct btrfs_field extent_item_fields[] = { UINT(extent_item, refs),
							 UINT(extent_item, generation),
							 UINT(extent_item, flags) };
DESC(extent_item);

static const struct btrfs_field extent_item_v0_fields[] = { UINT(extent_item_v0, refs) };
DESC(extent_item_v0);

static const struct btrfs_field tree_block_info_fields[] = { KEY(tree_block_info, key),
							     UINT(tree_block_info, level) };
DESC(tree_block_info);

static const struct btrfs_field extent_data_ref_fields[] = { UINT(extent_data_ref, root),
							     UINT(extent_data_ref, objectid),
							     UINT(extent_data_ref, offset),
							     UINT(extent_data_ref, count) };
DESC(extent_data_ref);

static const struct btrfs_field shared_data_ref_fields[] = { UINT(shared_data_ref, count) };
DESC(shared_data_ref);

static const struct btrfs_field extent_owner_ref_fields[] = { UINT(extent_owner_ref, root_id) };
DESC(extent_owner_ref);

static const struct btrfs_field extent_inline_ref_fields[] = { UINT(extent_inline_ref, type),
							       UINT(extent_inline_ref, offset) };
DESC(extent_inline_ref);

/* The two inline references that are longer, as the structures they amount to. */
#define DATA_REF(m)                                                                                \
	{                                                                                          \
#m, 1 + offsetof(struct btrfs_extent_data_ref, m), SIZEOF(extent_data_ref, m), 1,  \
			BTRFS_FIELD_UINT, NULL                                                     \
	}
static const struct btrfs_field extent_inline_data_ref_fields[] = {
	UINT(extent_inline_ref, type), DATA_REF(root), DATA_REF(objectid), DATA_REF(offset),
	DATA_REF(count)
};
DESC_OF(extent_inline_data_ref, 1 + sizeof(struct btrfs_extent_data_ref),
	extent_inline_data_ref_fields);

static const struct btrfs_field extent_inline_shared_data_ref_fields[] = {
	UINT(extent_inline_ref, type),
	UINT(extent_inline_ref, offset),
	{ "count", sizeof(struct btrfs_extent_inline_ref), sizeof(le32), 1, BTRFS_FIELD_UINT, NULL }
};
DESC_OF(extent_inline_shared_data_ref,
	sizeof(struct btrfs_extent_inline_ref) + sizeof(struct btrfs_shared_data_ref),
	extent_inline_shared_data_ref_fields);

static const struct btrfs_field block_group_item_fields[] = {
	UINT(block_group_item, used), UINT(block_group_item, chunk_objectid),
	UINT(block_group_item, flags)
};
DESC(block_group_item);

static const struct btrfs_field block_group_item_v2_fields[] = {
	UINT(block_group_item_v2, used), UINT(block_group_item_v2, chunk_objectid),
	UINT(block_group_item_v2, flags), UINT(block_group_item_v2, remap_bytes),
	UINT(block_group_item_v2, identity_remap_count)
};
DESC(block_group_item_v2);

static const struct btrfs_field free_space_info_fields[] = { UINT(free_space_info, extent_count),
							     UINT(free_space_info, flags) };
DESC(free_space_info);

static const struct btrfs_field free_space_header_fields[] = {
	KEY(free_space_header, location), UINT(free_space_header, generation),
	UINT(free_space_header, num_entries), UINT(free_space_header, num_bitmaps)
};
DESC(free_space_header);

static const struct btrfs_field raid_stride_fields[] = { UINT(raid_stride, devid),
							 UINT(raid_stride, physical) };
DESC(raid_stride);

static const struct btrfs_field remap_item_fields[] = { UINT(remap_item, address) };
DESC(remap_item);

static const struct btrfs_field qgroup_status_item_fields[] = {
	UINT(qgroup_status_item, version), UINT(qgroup_status_item, generation),
	UINT(qgroup_status_item, flags), UINT(qgroup_status_item, rescan),
	UINT(qgroup_status_item, enable_gen)
};
DESC(qgroup_status_item);

static const struct btrfs_field qgroup_info_item_fields[] = { UINT(qgroup_info_item, generation),
							      UINT(qgroup_info_item, rfer),
							      UINT(qgroup_info_item, rfer_cmpr),
							      UINT(qgroup_info_item, excl),
							      UINT(qgroup_info_item, excl_cmpr) };
DESC(qgroup_info_item);

static const struct btrfs_field qgroup_limit_item_fields[] = { UINT(qgroup_limit_item, flags),
							       UINT(qgroup_limit_item, max_rfer),
							       UINT(qgroup_limit_item, max_excl),
							       UINT(qgroup_limit_item, rsv_rfer),
							       UINT(qgroup_limit_item, rsv_excl) };
DESC(qgroup_limit_item);

/* A UUID item is a row of these. */
static const struct btrfs_field uuid_subvolume_fields[] = { { "subvolid", 0, sizeof(le64), 1,
							      BTRFS_FIELD_UINT, NULL } };
DESC_OF(uuid_subvolume, sizeof(le64), uuid_subvolume_fields);

/* What has no structure of its own. */
static const struct btrfs_field name_fields[] = { { "name", 0, 0, 1, BTRFS_FIELD_TEXT, NULL } };
DESC_OF(name, 0, name_fields);

static const struct btrfs_field data_fields[] = { { "data", 0, 0, 1, BTRFS_FIELD_BYTES, NULL } };
DESC_OF(data, 0, data_fields);

static const struct btrfs_field csums_fields[] = { { "csums", 0, 0, 1, BTRFS_FIELD_BYTES, NULL } };
DESC_OF(csums, 0, csums_fields);

static const struct btrfs_field bitmap_fields[] = { { "bitmap", 0, 0, 1, BTRFS_FIELD_BYTES,
						      NULL } };
DESC_OF(bitmap, 0, bitmap_fields);

const struct btrfs_struct_desc *const btrfs_descs[] = { &btrfs_desc_disk_key,
							&btrfs_desc_timespec,
							&btrfs_desc_header,
							&btrfs_desc_item,
							&btrfs_desc_key_ptr,
							&btrfs_desc_dev_item,
							&btrfs_desc_stripe,
							&btrfs_desc_chunk,
							&btrfs_desc_root_backup,
							&btrfs_desc_super_block,
							&btrfs_desc_dev_extent,
							&btrfs_desc_dev_stats_item,
							&btrfs_desc_dev_replace_item,
							&btrfs_desc_disk_balance_args,
							&btrfs_desc_balance_item,
							&btrfs_desc_inode_item,
							&btrfs_desc_inode_ref,
							&btrfs_desc_inode_extref,
							&btrfs_desc_dir_item,
							&btrfs_desc_dir_log_item,
							&btrfs_desc_file_extent_item,
							&btrfs_desc_file_extent_inline,
							&btrfs_desc_root_item,
							&btrfs_desc_root_ref,
							&btrfs_desc_verity_descriptor_item,
							&btrfs_desc_extent_item,
							&btrfs_desc_extent_item_v0,
							&btrfs_desc_tree_block_info,
							&btrfs_desc_extent_data_ref,
							&btrfs_desc_shared_data_ref,
							&btrfs_desc_extent_owner_ref,
							&btrfs_desc_extent_inline_ref,
							&btrfs_desc_extent_inline_data_ref,
							&btrfs_desc_extent_inline_shared_data_ref,
							&btrfs_desc_block_group_item,
							&btrfs_desc_block_group_item_v2,
							&btrfs_desc_free_space_info,
							&btrfs_desc_free_space_header,
							&btrfs_desc_raid_stride,
							&btrfs_desc_remap_item,
							&btrfs_desc_qgroup_status_item,
							&btrfs_desc_qgroup_info_item,
							&btrfs_desc_qgroup_limit_item,
							&btrfs_desc_uuid_subvolume,
							&btrfs_desc_name,
							&btrfs_desc_data,
							&btrfs_desc_csums,
							&btrfs_desc_bitmap,
							NULL };
