// SPDX-License-Identifier: GPL-2.0-or-later
/* What a block refers to. The block has passed btrfs_check_block. */
#include "tests/lib/diskwalk_priv.h"

#include <stdlib.h>

static bool root_ref(const struct btrfs_root_item *ri, struct ref *ref)
{
	ref->type = REF_ROOT;
	ref->logical = le64_get(ri->bytenr);
	ref->generation = le64_get(ri->generation);
	ref->level = ri->level;
	if (!le32_get(ri->refs))
		ref->drop = btrfs_disk_key_get(&ri->drop_progress);
	return ref->logical != 0;
}

static bool data_ref(const struct btrfs_file_extent_item *fi, struct ref *ref)
{
	if (fi->type == BTRFS_FILE_EXTENT_INLINE || !le64_get(fi->disk_bytenr))
		return false;
	ref->type = REF_DATA;
	ref->logical = le64_get(fi->disk_bytenr);
	ref->len = le64_get(fi->disk_num_bytes);
	ref->inplace = fi->type == BTRFS_FILE_EXTENT_PREALLOC;
	/* Of what isn't compressed only the part that the file shows. */
	if (!fi->compression) {
		ref->logical += le64_get(fi->offset);
		ref->len = le64_get(fi->num_bytes);
	}
	return true;
}

/* Fills *ref from an item; false if it refers to nothing. */
static bool item_ref(const void *leaf, unsigned slot, struct ref *ref)
{
	const void *item = btrfs_item_ptr(leaf, slot);

	*ref = (struct ref){ .key = btrfs_item_key(leaf, slot) };
	switch (ref->key.type) {
	case BTRFS_ROOT_ITEM_KEY:
		return root_ref(item, ref);
	case BTRFS_EXTENT_DATA_KEY:
		return data_ref(item, ref);
	case BTRFS_INODE_ITEM_KEY:
		ref->type = REF_INODE;
		ref->inplace = le64_get(((const struct btrfs_inode_item *)item)->flags) &
			       BTRFS_INODE_NODATACOW;
		return true;
	default:
		return false;
	}
}

struct wnode *walk_parse(const void *block)
{
	unsigned nr = btrfs_header_nritems(block);
	struct wnode *n = blk_must(calloc(1, sizeof(*n) + nr * sizeof(n->refs[0])));

	n->logical = btrfs_header_bytenr(block);
	n->generation = btrfs_header_generation(block);
	n->level = btrfs_header_level(block);
	for (unsigned i = 0; i < nr; i++) {
		if (!n->level) {
			n->nr += item_ref(block, i, &n->refs[n->nr]);
			continue;
		}
		n->refs[n->nr++] = (struct ref){
			.type = REF_CHILD,
			.logical = btrfs_node_blockptr(block, i),
			.generation = btrfs_node_generation(block, i),
			.key = btrfs_node_key(block, i),
		};
	}
	return n;
}
