// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The fields whose wrong value is shown as it is. An entry says why a reader could not know better;
 * a field that a reader could doubt belongs into a check, not here.
 */
#include <stddef.h>
#include <string.h>
#include "ondisk/format.h"
#include "tests/damage/damage_priv.h"

/* Said once, somewhere between the user who set it and the disk. */
#define FACT "stands nowhere else, and any value is a good one"
/* The other place is one that only a check of the whole filesystem compares (btrfs check does). */
#define TWICE "is redundant, but no reader compares it; Linux shows it as well"
/* Figures of space, for statfs and ioctls; nothing is found by them. */
#define SPACE "only counts or shows space; no data is found by it"

static const struct {
	uint8_t key_type; /* of the item; 0: any */
	const char *name; /* as instance_name; a trailing '*' stands for anything */
	const char *reason;
} silent[] = {
	{ 0, "super_block.label", FACT },
	{ 0, "super_block.total_bytes", SPACE },
	{ 0, "super_block.compat_flags", "unknown bits mean: readable and writable all the same" },
	{ 0, "super_block.compat_ro_flags", "unknown bits mean: readable all the same" },
	{ 0, "super_block.incompat_flags", "a known bit that nothing in this image contradicts" },

	{ 0, "inode_item.generation", FACT },
	{ 0, "inode_item.uid", FACT },
	{ 0, "inode_item.gid", FACT },
	{ 0, "inode_item.rdev", FACT },
	{ 0, "inode_item.mode", FACT " (the type of file is checked, permissions are not)" },
	{ 0, "inode_item.flags", FACT " (unknown ones are refused)" },
	{ 0, "inode_item.atime.*", FACT },
	{ 0, "inode_item.ctime.*", FACT },
	{ 0, "inode_item.mtime.*", FACT },
	{ 0, "inode_item.otime.*", FACT },
	{ 0, "inode_item.size",
	  "extents do not say where in the last sector a file ends, and may "
	  "lie beyond the end; in a directory it " TWICE },
	{ 0, "inode_item.nbytes", TWICE " (the sum of the extents)" },
	{ 0, "inode_item.nlink", TWICE " (the number of names)" },

	{ 0, "root_item.generation", TWICE " (0 stands for any)" },
	{ 0, "root_item.generation_v2", "tells whether the fields behind it are valid" },
	{ 0, "root_item.flags", FACT },
	{ 0, "root_item.uuid", TWICE " (the uuid tree)" },
	{ 0, "root_item.parent_uuid", FACT },
	{ 0, "root_item.received_uuid", FACT },
	{ 0, "root_item.ctransid", FACT },
	{ 0, "root_item.otransid", FACT },
	{ 0, "root_item.stransid", FACT },
	{ 0, "root_item.rtransid", FACT },
	{ 0, "root_item.ctime.*", FACT },
	{ 0, "root_item.otime.*", FACT },
	{ 0, "root_item.stime.*", FACT },
	{ 0, "root_item.rtime.*", FACT },
	{ 0, "root_item.bytenr",
	  "the root of a snapshot of the same subvolume: those share blocks" },

	{ 0, "dir_item.location.objectid", TWICE " (names lead back by INODE_REF)" },
	{ 0, "dir_item.location.type",
	  "a directory becomes another subvolume's, which a snapshot "
	  "left as a stub" },
	{ BTRFS_DIR_INDEX_KEY, "dir_item.type", TWICE " (a hint; the inode knows)" },
	{ BTRFS_DIR_INDEX_KEY, "name.name", TWICE " (to another name that is there)" },
	{ BTRFS_DIR_INDEX_KEY, "item.key.offset", "an order of listing; any number is a good one" },
	{ BTRFS_DIR_INDEX_KEY, "item.key.type", TWICE " (what DIR_INDEX lists, DIR_ITEM finds)" },
	{ BTRFS_XATTR_ITEM_KEY, "item.key.type",
	  "the item was all that said the attribute is there" },
	{ BTRFS_XATTR_ITEM_KEY, "name.name", "another name of the same hash" },
	{ BTRFS_XATTR_ITEM_KEY, "data.data", FACT },
	{ BTRFS_INODE_REF_KEY, "name.name", TWICE " (the way back; names are found by DIR_ITEM)" },
	{ BTRFS_INODE_REF_KEY, "item.key.offset", TWICE " (as its name)" },

	{ BTRFS_EXTENT_DATA_KEY, "data.data", "inline data has its block's checksum only" },
	{ 0, "file_extent_inline.ram_bytes",
	  "how much of the last sector is a file's, its size says" },
	{ 0, "file_extent_item.type", "data or space for data: only writing tells" },
	{ 0, "file_extent_item.disk_bytenr", "0 is a hole" },
	{ 0, "file_extent_item.num_bytes", "what is not covered is a hole" },
	{ BTRFS_EXTENT_DATA_KEY, "item.key.offset",
	  "a piece elsewhere in the file; the rest is a hole" },
	{ BTRFS_EXTENT_DATA_KEY, "item.key.type", "what is not covered is a hole" },
	{ 0, "header.nritems", "items at the end are no longer there; nothing counts them" },

	{ 0, "block_group_item.used", SPACE },
	{ BTRFS_BLOCK_GROUP_ITEM_KEY, "item.key.*", SPACE },
	{ 0, "dev_item.bytes_used", SPACE },
	{ 0, "dev_item.fsid", "the device's own superblock says it as well, and that is believed" },
	{ 0, "chunk.type", "data or metadata: readers find by the address" },
	{ 0, "chunk.length", SPACE " (nothing is in what was cut off or added)" },
	{ BTRFS_CHUNK_ITEM_KEY, "item.key.type", "the superblock has this chunk too" },
};

const char *silent_reason(const struct instance *in)
{
	char name[128];

	instance_name(in, name, sizeof(name));
	for (size_t i = 0; i < sizeof(silent) / sizeof(silent[0]); i++) {
		size_t len = strlen(silent[i].name);

		if (silent[i].key_type && silent[i].key_type != in->key_type)
			continue;
		if (silent[i].name[len - 1] == '*' ? !strncmp(name, silent[i].name, len - 1)
						   : !strcmp(name, silent[i].name))
			return silent[i].reason;
	}
	return NULL;
}
