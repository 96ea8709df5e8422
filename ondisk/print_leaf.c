// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Nodes and leaves: the header, then one line a pointer, or each item by the printer of its type.
 */
#include "ondisk/print_priv.h"

#include <string.h>

void btrfs_print_init(struct btrfs_print *p, struct text *out, const struct btrfs_geometry *geo)
{
	memset(p, 0, sizeof(*p));
	p->out = out;
	p->zone_quarter = -1;
	if (!geo)
		return;
	p->nodesize = geo->nodesize;
	p->sectorsize = geo->sectorsize;
	p->csum_size = geo->csum_size;
	p->simple_quota = geo->incompat & BTRFS_FEATURE_INCOMPAT_SIMPLE_QUOTA;
}

void print_problem(struct btrfs_print *p, const char *fmt, ...)
{
	char line[256];
	struct text t = TEXT_FIXED(line);
	va_list ap;

	if (!p->problem)
		return;
	va_start(ap, fmt);
	text_vprintf(&t, fmt, ap);
	va_end(ap);
	p->problem(p->arg, text_done(&t));
}

const void *print_whole(struct btrfs_print *p, const struct print_item *it, uint32_t need,
			void *pad)
{
	if (it->len >= need)
		return it->data;
	print_problem(p, "leaf %llu slot %u: item of %u bytes, its structure has %u",
		      (unsigned long long)it->leaf, it->slot, it->len, need);
	memset(pad, 0, need);
	memcpy(pad, it->data, it->len);
	return pad;
}

static void orphan(struct btrfs_print *p, const struct print_item *it)
{
	LIT(p->out, "\t\torphan item\n");
}

static void tree_block_ref(struct btrfs_print *p, const struct print_item *it)
{
	LIT(p->out, "\t\ttree block backref\n");
}

static void shared_block_ref(struct btrfs_print *p, const struct print_item *it)
{
	LIT(p->out, "\t\tshared block backref\n");
}

static void extent_ref_v0(struct btrfs_print *p, const struct print_item *it)
{
	LIT(p->out, "\t\textent ref v0 (deprecated)\n");
}

static void csum_item(struct btrfs_print *p, const struct print_item *it)
{
	LIT(p->out, "\t\tcsum item\n");
}

static void free_space_extent(struct btrfs_print *p, const struct print_item *it)
{
	LIT(p->out, "\t\tfree space extent\n");
}

static void free_space_bitmap(struct btrfs_print *p, const struct print_item *it)
{
	LIT(p->out, "\t\tfree space bitmap\n");
}

/* Types that are not here have only their key's line. */
static void (*const item_printers[256])(struct btrfs_print *p, const struct print_item *it) = {
	[BTRFS_INODE_ITEM_KEY] = print_inode_item,
	[BTRFS_INODE_REF_KEY] = print_inode_ref,
	[BTRFS_INODE_EXTREF_KEY] = print_inode_extref,
	[BTRFS_DIR_ITEM_KEY] = print_dir_item,
	[BTRFS_DIR_INDEX_KEY] = print_dir_item,
	[BTRFS_XATTR_ITEM_KEY] = print_dir_item,
	[BTRFS_DIR_LOG_ITEM_KEY] = print_dir_log,
	[BTRFS_DIR_LOG_INDEX_KEY] = print_dir_log,
	[BTRFS_ORPHAN_ITEM_KEY] = orphan,
	[BTRFS_ROOT_ITEM_KEY] = print_root_item,
	[BTRFS_ROOT_REF_KEY] = print_root_ref,
	[BTRFS_ROOT_BACKREF_KEY] = print_root_ref,
	[BTRFS_EXTENT_ITEM_KEY] = print_extent_item,
	[BTRFS_METADATA_ITEM_KEY] = print_extent_item,
	[BTRFS_TREE_BLOCK_REF_KEY] = tree_block_ref,
	[BTRFS_SHARED_BLOCK_REF_KEY] = shared_block_ref,
	[BTRFS_EXTENT_DATA_REF_KEY] = print_extent_data_ref,
	[BTRFS_SHARED_DATA_REF_KEY] = print_shared_data_ref,
	[BTRFS_EXTENT_OWNER_REF_KEY] = print_extent_owner_ref,
	[BTRFS_EXTENT_REF_V0_KEY] = extent_ref_v0,
	[120] = csum_item,
	[BTRFS_EXTENT_CSUM_KEY] = print_extent_csum,
	[BTRFS_EXTENT_DATA_KEY] = print_file_extent,
	[BTRFS_BLOCK_GROUP_ITEM_KEY] = print_block_group,
	[BTRFS_FREE_SPACE_INFO_KEY] = print_free_space_info,
	[BTRFS_FREE_SPACE_EXTENT_KEY] = free_space_extent,
	[BTRFS_FREE_SPACE_BITMAP_KEY] = free_space_bitmap,
	[BTRFS_CHUNK_ITEM_KEY] = print_chunk,
	[BTRFS_DEV_ITEM_KEY] = print_dev_item,
	[BTRFS_DEV_EXTENT_KEY] = print_dev_extent,
	[BTRFS_DEV_REPLACE_KEY] = print_dev_replace,
	[BTRFS_RAID_STRIPE_KEY] = print_raid_stripe,
	[BTRFS_QGROUP_STATUS_KEY] = print_qgroup_status,
	[BTRFS_QGROUP_INFO_KEY] = print_qgroup_info,
	[BTRFS_QGROUP_LIMIT_KEY] = print_qgroup_limit,
	[BTRFS_UUID_KEY_SUBVOL] = print_uuid_item,
	[BTRFS_UUID_KEY_RECEIVED_SUBVOL] = print_uuid_item,
	[BTRFS_STRING_ITEM_KEY] = print_string_item,
	[BTRFS_PERSISTENT_ITEM_KEY] = print_persistent,
	[BTRFS_TEMPORARY_ITEM_KEY] = print_temporary,
};

/* Room left between the item table and the data, by the first and the last item alone. */
static int64_t leaf_free_space(const struct btrfs_print *p, const void *leaf, uint32_t nr,
			       uint32_t nr_max)
{
	int64_t size = btrfs_leaf_data_size(p->nodesize);
	int64_t used = (int64_t)nr * (int64_t)sizeof(struct btrfs_item);

	if (nr && nr <= nr_max) {
		used += (int64_t)btrfs_item_offset(leaf, 0) + btrfs_item_size(leaf, 0);
		used -= btrfs_item_offset(leaf, nr - 1);
	}
	return size - used;
}

static void print_header_flags(struct btrfs_print *p, const void *block)
{
	struct text *t = p->out;
	uint64_t flags = btrfs_header_flags(block);

	text_str(t, btrfs_header_level(block) ? "node " : "leaf ");
	text_u64(t, btrfs_header_bytenr(block));
	LIT(t, " flags 0x");
	text_hex(t, flags, 0);
	text_char(t, '(');
	if (flags & BTRFS_HEADER_FLAG_WRITTEN)
		LIT(t, "WRITTEN");
	if (flags & BTRFS_HEADER_FLAG_RELOC)
		text_str(t, flags & BTRFS_HEADER_FLAG_WRITTEN ? "|RELOC" : "RELOC");
	LIT_U64(t, ") backref revision ", btrfs_header_backref_rev(block));
	if (p->csum_headers) {
		LIT(t, " csum 0x");
		text_hexbytes(t, btrfs_header_of(block)->csum, p->csum_size);
	}
	LIT(t, "\nfs uuid ");
	text_uuid(t, btrfs_header_of(block)->fsid);
	LIT(t, "\nchunk uuid ");
	text_uuid(t, btrfs_header_of(block)->chunk_tree_uuid);
	text_char(t, '\n');
}

static void print_node(struct btrfs_print *p, const void *node, uint64_t logical)
{
	struct text *t = p->out;
	uint32_t nr = btrfs_header_nritems(node), max = btrfs_node_max_ptrs(p->nodesize);

	if (nr > max)
		print_problem(p, "node %llu has %u items, at most %u fit",
			      (unsigned long long)logical, nr, max);
	LIT_U64(t, "node ", logical);
	LIT_U64(t, " level ", btrfs_header_level(node));
	LIT_U64(t, " items ", nr);
	LIT_U64(t, " free space ", (uint32_t)(max - nr));
	LIT_U64(t, " generation ", btrfs_header_generation(node));
	LIT(t, " owner ");
	btrfs_objectid_to_text(t, btrfs_header_owner(node), 0);
	text_char(t, '\n');
	print_header_flags(p, node);
	for (uint32_t i = 0; i < nr && i < max; i++) {
		struct btrfs_key key = btrfs_node_key(node, i);

		text_char(t, '\t');
		print_key(t, &key);
		LIT_U64(t, " block ", btrfs_node_blockptr(node, i));
		LIT_U64(t, " gen ", btrfs_node_generation(node, i));
		text_char(t, '\n');
	}
}

static void print_leaf_item(struct btrfs_print *p, const struct print_item *it, uint32_t off)
{
	struct text *t = p->out;

	LIT_U64(t, "\titem ", it->slot);
	text_char(t, ' ');
	print_key(t, &it->key);
	LIT_U64(t, " itemoff ", off);
	LIT_U64(t, " itemsize ", it->len);
	text_char(t, '\n');
	if (it->key.type == 0 && it->key.objectid == BTRFS_FREE_SPACE_OBJECTID)
		print_free_space_header(p, it);
	else if (item_printers[it->key.type])
		item_printers[it->key.type](p, it);
}

static void print_leaf(struct btrfs_print *p, const void *leaf)
{
	struct text *t = p->out;
	uint32_t nr = btrfs_header_nritems(leaf), limit = btrfs_leaf_data_size(p->nodesize);
	uint32_t max = limit / (uint32_t)sizeof(struct btrfs_item);

	LIT_U64(t, "leaf ", btrfs_header_bytenr(leaf));
	LIT_U64(t, " items ", nr);
	LIT(t, " free space ");
	text_i64(t, (int32_t)leaf_free_space(p, leaf, nr, max));
	LIT_U64(t, " generation ", btrfs_header_generation(leaf));
	LIT(t, " owner ");
	btrfs_objectid_to_text(t, btrfs_header_owner(leaf), 0);
	text_char(t, '\n');
	print_header_flags(p, leaf);
	for (uint32_t i = 0; i < nr; i++) {
		struct print_item it = { .slot = i, .leaf = btrfs_header_bytenr(leaf) };
		uint32_t off;

		if (i >= max) {
			print_problem(p, "leaf %llu has %u items, at most %u fit",
				      (unsigned long long)it.leaf, nr, max);
			return;
		}
		off = btrfs_item_offset(leaf, i);
		it.len = btrfs_item_size(leaf, i);
		if (off > limit || it.len > limit - off) {
			print_problem(
				p,
				"leaf %llu slot %u: offset %u and size %u leave the leaf's %u "
				"bytes; the slots from here on are left out",
				(unsigned long long)it.leaf, i, off, it.len, limit);
			return;
		}
		it.key = btrfs_item_key(leaf, i);
		it.data = btrfs_item_ptr(leaf, i);
		print_leaf_item(p, &it, off);
	}
}

void btrfs_print_block(struct btrfs_print *p, const void *block, uint64_t logical)
{
	if (btrfs_header_level(block))
		print_node(p, block, logical);
	else
		print_leaf(p, block);
}
