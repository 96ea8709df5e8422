// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The walks over the structures of items, blocks and superblocks.
 *
 * A walk is a cursor over the bytes that are left. Each step hands over one structure; a structure
 * that is cut off is handed over as it is, and the cursor is then at the end. Whatever bytes remain
 * when an item's structures are done are handed over as "data".
 */
#include "ondisk/fields_priv.h"

struct walk {
	const uint8_t *p;
	uint32_t left;
	btrfs_fields_cb *cb;
	void *arg;
	int ret; /* once not 0, nothing more is handed over */
};

/* Hands over up to `size` bytes as `desc`; NULL at the end or when the structure was cut off. */
static const void *take(struct walk *w, const struct btrfs_struct_desc *desc, uint32_t size)
{
	const uint8_t *p = w->p;
	uint32_t len = size < w->left ? size : w->left;

	if (len == 0 || w->ret)
		return NULL;
	w->p += len;
	w->left -= len;
	w->ret = w->cb(w->arg, desc, p, len);
	return w->ret == 0 && len == size ? p : NULL;
}

static const void *take_struct(struct walk *w, const struct btrfs_struct_desc *desc)
{
	return take(w, desc, desc->size);
}

static void take_rest(struct walk *w, const struct btrfs_struct_desc *desc)
{
	take(w, desc, w->left);
}

static void take_row(struct walk *w, const struct btrfs_struct_desc *desc)
{
	while (take_struct(w, desc))
		;
}

static void walk_inode_refs(struct walk *w)
{
	const struct btrfs_inode_ref *ref;

	while ((ref = take_struct(w, &btrfs_desc_inode_ref)))
		take(w, &btrfs_desc_name, le16_get(ref->name_len));
}

static void walk_inode_extrefs(struct walk *w)
{
	const struct btrfs_inode_extref *ref;

	while ((ref = take_struct(w, &btrfs_desc_inode_extref)))
		take(w, &btrfs_desc_name, le16_get(ref->name_len));
}

static void walk_dir_items(struct walk *w)
{
	const struct btrfs_dir_item *di;

	while ((di = take_struct(w, &btrfs_desc_dir_item))) {
		take(w, &btrfs_desc_name, le16_get(di->name_len));
		take(w, &btrfs_desc_data, le16_get(di->data_len));
	}
}

static void walk_root_ref(struct walk *w)
{
	const struct btrfs_root_ref *ref = take_struct(w, &btrfs_desc_root_ref);

	if (ref)
		take(w, &btrfs_desc_name, le16_get(ref->name_len));
}

static void walk_file_extent(struct walk *w)
{
	const struct btrfs_file_extent_item *fi = (const void *)w->p;

	if (w->left >= BTRFS_FILE_EXTENT_INLINE_DATA_START && fi->type == BTRFS_FILE_EXTENT_INLINE)
		take_struct(w, &btrfs_desc_file_extent_inline);
	else
		take_struct(w, &btrfs_desc_file_extent_item);
}

static void walk_inline_refs(struct walk *w)
{
	const struct btrfs_struct_desc *desc;

	do {
		switch (w->left ? w->p[0] : 0) {
		case BTRFS_TREE_BLOCK_REF_KEY:
		case BTRFS_SHARED_BLOCK_REF_KEY:
		case BTRFS_EXTENT_OWNER_REF_KEY:
			desc = &btrfs_desc_extent_inline_ref;
			break;
		case BTRFS_EXTENT_DATA_REF_KEY:
			desc = &btrfs_desc_extent_inline_data_ref;
			break;
		case BTRFS_SHARED_DATA_REF_KEY:
			desc = &btrfs_desc_extent_inline_shared_data_ref;
			break;
		default:
			return;
		}
	} while (take_struct(w, desc));
}

static void walk_extent_item(struct walk *w, const struct btrfs_key *key)
{
	const struct btrfs_extent_item *ei;

	if (w->left == sizeof(struct btrfs_extent_item_v0)) {
		take_struct(w, &btrfs_desc_extent_item_v0);
		return;
	}
	ei = take_struct(w, &btrfs_desc_extent_item);
	if (!ei)
		return;
	if (key->type == BTRFS_EXTENT_ITEM_KEY &&
	    (le64_get(ei->flags) & BTRFS_EXTENT_FLAG_TREE_BLOCK) &&
	    !take_struct(w, &btrfs_desc_tree_block_info))
		return;
	walk_inline_refs(w);
}

static void walk_chunk(struct walk *w)
{
	const struct btrfs_chunk *chunk = take_struct(w, &btrfs_desc_chunk);

	for (unsigned i = 0; chunk && i < le16_get(chunk->num_stripes); i++)
		if (!take_struct(w, &btrfs_desc_stripe))
			return;
}

static void walk_verity_desc(struct walk *w, const struct btrfs_key *key)
{
	if (key->offset == 0)
		take_struct(w, &btrfs_desc_verity_descriptor_item);
}

static void walk_block_group(struct walk *w)
{
	if (w->left > sizeof(struct btrfs_block_group_item))
		take_struct(w, &btrfs_desc_block_group_item_v2);
	else
		take_struct(w, &btrfs_desc_block_group_item);
}

/* Types 0, 248 and 249 hold different things, told apart by the objectid. */
static const struct btrfs_struct_desc *desc_by_objectid(const struct btrfs_key *key)
{
	if (key->type == 0 && key->objectid == BTRFS_FREE_SPACE_OBJECTID)
		return &btrfs_desc_free_space_header;
	if (key->type == BTRFS_TEMPORARY_ITEM_KEY && key->objectid == BTRFS_BALANCE_OBJECTID)
		return &btrfs_desc_balance_item;
	if (key->type == BTRFS_PERSISTENT_ITEM_KEY && key->objectid == BTRFS_DEV_STATS_OBJECTID)
		return &btrfs_desc_dev_stats_item;
	return NULL;
}

/* Items that are one structure, or one kind of bytes. */
static const struct btrfs_struct_desc *simple_desc(const struct btrfs_key *key)
{
	switch (key->type) {
	case BTRFS_INODE_ITEM_KEY:
		return &btrfs_desc_inode_item;
	case BTRFS_DIR_LOG_ITEM_KEY:
	case BTRFS_DIR_LOG_INDEX_KEY:
		return &btrfs_desc_dir_log_item;
	case BTRFS_EXTENT_CSUM_KEY:
		return &btrfs_desc_csums;
	case BTRFS_ROOT_ITEM_KEY:
		return &btrfs_desc_root_item;
	case BTRFS_SHARED_DATA_REF_KEY:
		return &btrfs_desc_shared_data_ref;
	case BTRFS_EXTENT_OWNER_REF_KEY:
		return &btrfs_desc_extent_owner_ref;
	case BTRFS_FREE_SPACE_INFO_KEY:
		return &btrfs_desc_free_space_info;
	case BTRFS_FREE_SPACE_BITMAP_KEY:
		return &btrfs_desc_bitmap;
	case BTRFS_DEV_EXTENT_KEY:
		return &btrfs_desc_dev_extent;
	case BTRFS_DEV_ITEM_KEY:
		return &btrfs_desc_dev_item;
	case BTRFS_REMAP_KEY:
	case BTRFS_REMAP_BACKREF_KEY:
		return &btrfs_desc_remap_item;
	case BTRFS_QGROUP_STATUS_KEY:
		return &btrfs_desc_qgroup_status_item;
	case BTRFS_QGROUP_INFO_KEY:
		return &btrfs_desc_qgroup_info_item;
	case BTRFS_QGROUP_LIMIT_KEY:
		return &btrfs_desc_qgroup_limit_item;
	case BTRFS_DEV_REPLACE_KEY:
		return &btrfs_desc_dev_replace_item;
	default:
		return desc_by_objectid(key);
	}
}

static void walk_simple(struct walk *w, const struct btrfs_key *key)
{
	const struct btrfs_struct_desc *desc = simple_desc(key);

	if (desc)
		take(w, desc, desc->size ? desc->size : w->left);
}

static void walk_item(struct walk *w, const struct btrfs_key *key)
{
	switch (key->type) {
	case BTRFS_INODE_REF_KEY:
		walk_inode_refs(w);
		break;
	case BTRFS_INODE_EXTREF_KEY:
		walk_inode_extrefs(w);
		break;
	case BTRFS_XATTR_ITEM_KEY:
	case BTRFS_DIR_ITEM_KEY:
	case BTRFS_DIR_INDEX_KEY:
		walk_dir_items(w);
		break;
	case BTRFS_VERITY_DESC_ITEM_KEY:
		walk_verity_desc(w, key);
		break;
	case BTRFS_EXTENT_DATA_KEY:
		walk_file_extent(w);
		break;
	case BTRFS_ROOT_REF_KEY:
	case BTRFS_ROOT_BACKREF_KEY:
		walk_root_ref(w);
		break;
	case BTRFS_EXTENT_ITEM_KEY:
	case BTRFS_METADATA_ITEM_KEY:
		walk_extent_item(w, key);
		break;
	case BTRFS_EXTENT_DATA_REF_KEY:
		take_row(w, &btrfs_desc_extent_data_ref);
		break;
	case BTRFS_BLOCK_GROUP_ITEM_KEY:
		walk_block_group(w);
		break;
	case BTRFS_CHUNK_ITEM_KEY:
		walk_chunk(w);
		break;
	case BTRFS_RAID_STRIPE_KEY:
		take_row(w, &btrfs_desc_raid_stride);
		break;
	case BTRFS_UUID_KEY_SUBVOL:
	case BTRFS_UUID_KEY_RECEIVED_SUBVOL:
		take_row(w, &btrfs_desc_uuid_subvolume);
		break;
	default:
		walk_simple(w, key);
	}
	take_rest(w, &btrfs_desc_data);
}

int btrfs_fields_walk_item(const struct btrfs_key *key, const void *item, uint32_t len,
			   btrfs_fields_cb *cb, void *arg)
{
	struct walk w = { item, len, cb, arg, 0 };

	walk_item(&w, key);
	return w.ret;
}

int btrfs_fields_walk_block(const void *block, uint32_t nodesize, btrfs_fields_cb *cb, void *arg)
{
	struct walk w = { block, nodesize, cb, arg, 0 };
	uint32_t nritems, data_size = btrfs_leaf_data_size(nodesize);

	if (!take_struct(&w, &btrfs_desc_header))
		return w.ret;
	nritems = btrfs_header_nritems(block);
	for (uint32_t i = 0; i < nritems; i++) {
		const struct btrfs_item *item;
		struct btrfs_key key;
		uint32_t off, size;

		if (btrfs_header_level(block)) {
			if (!take_struct(&w, &btrfs_desc_key_ptr))
				break;
			continue;
		}
		item = take_struct(&w, &btrfs_desc_item);
		if (!item)
			break;
		off = le32_get(item->offset);
		size = le32_get(item->size);
		if (off > data_size || size > data_size - off)
			continue;
		key = btrfs_disk_key_get(&item->key);
		w.ret = btrfs_fields_walk_item(
			&key, (const uint8_t *)block + sizeof(struct btrfs_header) + off, size, cb,
			arg);
	}
	return w.ret;
}

int btrfs_fields_walk_super(const struct btrfs_super_block *sb, btrfs_fields_cb *cb, void *arg)
{
	struct walk w = { (const uint8_t *)sb, sizeof(*sb), cb, arg, 0 };
	uint32_t size = le32_get(sb->sys_chunk_array_size);

	take_struct(&w, &btrfs_desc_super_block);
	w.p = sb->sys_chunk_array;
	w.left = size < sizeof(sb->sys_chunk_array) ? size : sizeof(sb->sys_chunk_array);
	while (take_struct(&w, &btrfs_desc_disk_key))
		walk_chunk(&w);
	return w.ret;
}

static int flatten(const struct btrfs_struct_desc *desc, const struct btrfs_field *parent,
		   uint32_t base, uint32_t len, btrfs_scalar_cb *cb, void *arg)
{
	int ret = 0;

	for (uint32_t i = 0; i < desc->nr; i++) {
		const struct btrfs_field *f = &desc->fields[i];
		uint32_t size = f->size ? f->size : len - base - f->offset;

		for (uint32_t n = 0; ret == 0 && n < f->count; n++) {
			uint32_t off = base + f->offset + n * size;

			if (off + size > len)
				return 0;
			ret = f->sub ? flatten(f->sub, f, off, len, cb, arg)
				     : cb(arg, parent, f, off, size);
		}
		if (ret)
			break;
	}
	return ret;
}

int btrfs_fields_flatten(const struct btrfs_struct_desc *desc, uint32_t len, btrfs_scalar_cb *cb,
			 void *arg)
{
	return flatten(desc, NULL, 0, len, cb, arg);
}
