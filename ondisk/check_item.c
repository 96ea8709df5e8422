// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Which check an item gets, and the checks of the small items: logs, quota groups, uuids,
 * statistics, balance and device replacement, the space cache's header.
 *
 * An item of an unknown type passes: a feature that may not be ignored has its bit in the
 * superblock.
 */
#include "ondisk/check_priv.h"

static int check_qgroup_status(struct check *c, const void *item, uint32_t len)
{
	const struct btrfs_qgroup_status_item *qs = item;
	int ret = check_size_min(c, len, BTRFS_QGROUP_STATUS_LEGACY_SIZE);

	if (ret == 0 && (le64_get(qs->flags) & BTRFS_QGROUP_STATUS_FLAG_SIMPLE_MODE))
		ret = check_size_min(c, len, sizeof(*qs));
	return ret;
}

static int check_uuid_item(struct check *c, uint32_t len)
{
	if (len == 0 || len % sizeof(le64))
		return check_fail(c, "item size is %u, expected a row of 8 byte subvolume ids",
				  len);
	return 0;
}

/* Counters may be added at the end of device statistics; old filesystems have fewer. */
static int check_persistent(struct check *c, uint32_t len)
{
	if (c->key.objectid != BTRFS_DEV_STATS_OBJECTID)
		return 0;
	if (len == 0 || len % sizeof(le64))
		return check_fail(c, "item size is %u, expected a row of 8 byte counters", len);
	return 0;
}

static int check_temporary(struct check *c, uint32_t len)
{
	if (c->key.objectid != BTRFS_BALANCE_OBJECTID)
		return 0;
	return check_size_min(c, len, sizeof(struct btrfs_balance_item));
}

/* Key type 0 has one known use, the header of a block group's space cache. */
static int check_untyped(struct check *c, uint32_t len)
{
	if (c->key.objectid != BTRFS_FREE_SPACE_OBJECTID)
		return 0;
	return check_size_min(c, len, sizeof(struct btrfs_free_space_header));
}

/* Items of files and of subvolumes. */
static int check_file_items(struct check *c, const void *item, uint32_t len)
{
	switch (c->key.type) {
	case BTRFS_INODE_ITEM_KEY:
		return check_inode_item(c, item, len);
	case BTRFS_INODE_REF_KEY:
		return check_inode_ref(c, item, len);
	case BTRFS_INODE_EXTREF_KEY:
		return check_inode_extref(c, item, len);
	case BTRFS_XATTR_ITEM_KEY:
	case BTRFS_DIR_ITEM_KEY:
	case BTRFS_DIR_INDEX_KEY:
		return check_dir_item(c, item, len);
	case BTRFS_VERITY_DESC_ITEM_KEY:
		return check_verity_desc(c, item, len);
	case BTRFS_ORPHAN_ITEM_KEY:
		return check_size(c, len, 0);
	case BTRFS_DIR_LOG_ITEM_KEY:
	case BTRFS_DIR_LOG_INDEX_KEY:
		return check_size_min(c, len, sizeof(struct btrfs_dir_log_item));
	case BTRFS_EXTENT_DATA_KEY:
		return check_file_extent(c, item, len);
	case BTRFS_EXTENT_CSUM_KEY:
		return check_csum_item(c, item, len);
	case BTRFS_ROOT_ITEM_KEY:
		return check_root_item(c, item, len);
	case BTRFS_ROOT_REF_KEY:
	case BTRFS_ROOT_BACKREF_KEY:
		return check_root_ref(c, item, len);
	default:
		return 0;
	}
}

/* Items of space: extents, block groups, devices, chunks, and what keeps track of them. */
static int check_space_items(struct check *c, const void *item, uint32_t len)
{
	switch (c->key.type) {
	case BTRFS_EXTENT_ITEM_KEY:
	case BTRFS_METADATA_ITEM_KEY:
		return check_extent_item(c, item, len);
	case BTRFS_TREE_BLOCK_REF_KEY:
	case BTRFS_SHARED_BLOCK_REF_KEY:
		return check_tree_block_ref(c, item, len);
	case BTRFS_EXTENT_DATA_REF_KEY:
		return check_extent_data_ref(c, item, len);
	case BTRFS_SHARED_DATA_REF_KEY:
		return check_shared_data_ref(c, item, len);
	case BTRFS_BLOCK_GROUP_ITEM_KEY:
		return check_block_group(c, item, len);
	case BTRFS_FREE_SPACE_INFO_KEY:
		return check_free_space_info(c, item, len);
	case BTRFS_FREE_SPACE_EXTENT_KEY:
		return check_free_space_extent(c, item, len);
	case BTRFS_FREE_SPACE_BITMAP_KEY:
		return check_free_space_bitmap(c, item, len);
	case BTRFS_DEV_EXTENT_KEY:
		return check_dev_extent(c, item, len);
	case BTRFS_DEV_ITEM_KEY:
		return check_dev_item(c, item, len);
	case BTRFS_CHUNK_ITEM_KEY:
		return check_chunk_item(c, item, len);
	case BTRFS_RAID_STRIPE_KEY:
		return check_raid_stripe(c, item, len);
	case BTRFS_IDENTITY_REMAP_KEY:
	case BTRFS_REMAP_KEY:
	case BTRFS_REMAP_BACKREF_KEY:
		return check_remap(c, item, len);
	default:
		return 0;
	}
}

static int check_other_items(struct check *c, const void *item, uint32_t len)
{
	switch (c->key.type) {
	case 0:
		return check_untyped(c, len);
	case BTRFS_QGROUP_STATUS_KEY:
		return check_qgroup_status(c, item, len);
	case BTRFS_QGROUP_INFO_KEY:
		return check_size_min(c, len, sizeof(struct btrfs_qgroup_info_item));
	case BTRFS_QGROUP_LIMIT_KEY:
		return check_size_min(c, len, sizeof(struct btrfs_qgroup_limit_item));
	case BTRFS_TEMPORARY_ITEM_KEY:
		return check_temporary(c, len);
	case BTRFS_PERSISTENT_ITEM_KEY:
		return check_persistent(c, len);
	case BTRFS_DEV_REPLACE_KEY:
		return check_size_min(c, len, sizeof(struct btrfs_dev_replace_item));
	case BTRFS_UUID_KEY_SUBVOL:
	case BTRFS_UUID_KEY_RECEIVED_SUBVOL:
		return check_uuid_item(c, len);
	default:
		return 0;
	}
}

int check_item(struct check *c, const void *item, uint32_t len)
{
	if (c->key.type == 0 || c->key.type >= BTRFS_QGROUP_STATUS_KEY)
		return check_other_items(c, item, len);
	if (c->key.type <= BTRFS_ROOT_REF_KEY)
		return check_file_items(c, item, len);
	return check_space_items(c, item, len);
}
