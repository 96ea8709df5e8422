/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The descriptors that the walks hand out. Used only by ondisk/fields*.c. */
#ifndef UBTRFS_ONDISK_FIELDS_PRIV_H
#define UBTRFS_ONDISK_FIELDS_PRIV_H

#include "ondisk/fields.h"

extern const struct btrfs_struct_desc btrfs_desc_timespec;
extern const struct btrfs_struct_desc btrfs_desc_dev_item;
extern const struct btrfs_struct_desc btrfs_desc_stripe;
extern const struct btrfs_struct_desc btrfs_desc_chunk;
extern const struct btrfs_struct_desc btrfs_desc_root_backup;
extern const struct btrfs_struct_desc btrfs_desc_dev_extent;
extern const struct btrfs_struct_desc btrfs_desc_dev_stats_item;
extern const struct btrfs_struct_desc btrfs_desc_dev_replace_item;
extern const struct btrfs_struct_desc btrfs_desc_disk_balance_args;
extern const struct btrfs_struct_desc btrfs_desc_balance_item;
extern const struct btrfs_struct_desc btrfs_desc_inode_item;
extern const struct btrfs_struct_desc btrfs_desc_inode_ref;
extern const struct btrfs_struct_desc btrfs_desc_inode_extref;
extern const struct btrfs_struct_desc btrfs_desc_dir_item;
extern const struct btrfs_struct_desc btrfs_desc_dir_log_item;
extern const struct btrfs_struct_desc btrfs_desc_file_extent_item;
extern const struct btrfs_struct_desc btrfs_desc_file_extent_inline;
extern const struct btrfs_struct_desc btrfs_desc_root_item;
extern const struct btrfs_struct_desc btrfs_desc_root_ref;
extern const struct btrfs_struct_desc btrfs_desc_verity_descriptor_item;
extern const struct btrfs_struct_desc btrfs_desc_extent_item;
extern const struct btrfs_struct_desc btrfs_desc_extent_item_v0;
extern const struct btrfs_struct_desc btrfs_desc_tree_block_info;
extern const struct btrfs_struct_desc btrfs_desc_extent_data_ref;
extern const struct btrfs_struct_desc btrfs_desc_shared_data_ref;
extern const struct btrfs_struct_desc btrfs_desc_extent_owner_ref;
extern const struct btrfs_struct_desc btrfs_desc_extent_inline_ref;
extern const struct btrfs_struct_desc btrfs_desc_extent_inline_data_ref;
extern const struct btrfs_struct_desc btrfs_desc_extent_inline_shared_data_ref;
extern const struct btrfs_struct_desc btrfs_desc_block_group_item;
extern const struct btrfs_struct_desc btrfs_desc_block_group_item_v2;
extern const struct btrfs_struct_desc btrfs_desc_free_space_info;
extern const struct btrfs_struct_desc btrfs_desc_free_space_header;
extern const struct btrfs_struct_desc btrfs_desc_raid_stride;
extern const struct btrfs_struct_desc btrfs_desc_remap_item;
extern const struct btrfs_struct_desc btrfs_desc_qgroup_status_item;
extern const struct btrfs_struct_desc btrfs_desc_qgroup_info_item;
extern const struct btrfs_struct_desc btrfs_desc_qgroup_limit_item;
extern const struct btrfs_struct_desc btrfs_desc_uuid_subvolume;
extern const struct btrfs_struct_desc btrfs_desc_name;
extern const struct btrfs_struct_desc btrfs_desc_data;
extern const struct btrfs_struct_desc btrfs_desc_csums;
extern const struct btrfs_struct_desc btrfs_desc_bitmap;

#endif
