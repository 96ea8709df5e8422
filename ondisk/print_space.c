// SPDX-License-Identifier: GPL-2.0-or-later
/* Printers of what the extent, checksum, block group, free space and quota trees hold. */
#include "ondisk/print_priv.h"

#include <string.h>

static void extent_flags_to_text(struct text *t, uint64_t flags)
{
	if (flags & BTRFS_EXTENT_FLAG_DATA)
		LIT(t, "DATA");
	if (flags & BTRFS_EXTENT_FLAG_TREE_BLOCK)
		text_str(t, flags & BTRFS_EXTENT_FLAG_DATA ? "|TREE_BLOCK" : "TREE_BLOCK");
	if (flags & BTRFS_BLOCK_FLAG_FULL_BACKREF)
		LIT(t, "|FULL_BACKREF");
}

/* "(type order)": the number by which inline references of one type are sorted. */
static void print_ref_order(struct text *t, const char *lead, unsigned type, uint64_t order)
{
	text_str(t, lead);
	text_char(t, '(');
	text_u64(t, type);
	LIT(t, " 0x");
	text_hex(t, order, 0);
	LIT(t, ") ");
}

static void print_data_ref_fields(struct text *t, const struct btrfs_extent_data_ref *ref)
{
	LIT(t, "extent data backref root ");
	btrfs_objectid_to_text(t, le64_get(ref->root), 0);
	LIT_U64(t, " objectid ", le64_get(ref->objectid));
	LIT_U64(t, " offset ", le64_get(ref->offset));
	LIT_U64(t, " count ", le32_get(ref->count));
}

/* One inline reference of `ref`'s type, all of it inside the item. */
static void print_inline_ref(struct btrfs_print *p, const struct btrfs_extent_inline_ref *ref)
{
	const struct btrfs_extent_data_ref *data = (const void *)&ref->offset;
	const struct btrfs_shared_data_ref *shared = (const void *)(ref + 1);
	struct text *t = p->out;
	uint64_t off;

	if (ref->type == BTRFS_EXTENT_DATA_REF_KEY) {
		print_ref_order(t, "\t\t", ref->type,
				btrfs_extent_data_ref_hash(le64_get(data->root),
							   le64_get(data->objectid),
							   le64_get(data->offset)));
		print_data_ref_fields(t, data);
		text_char(t, '\n');
		return;
	}
	off = le64_get(ref->offset);
	/* The owner's line has a tab less and a letter too many there, so here too. */
	print_ref_order(t, ref->type == BTRFS_EXTENT_OWNER_REF_KEY ? "\t" : "\t\t", ref->type, off);
	switch (ref->type) {
	case BTRFS_TREE_BLOCK_REF_KEY:
		LIT(t, "tree block backref root ");
		btrfs_objectid_to_text(t, off, 0);
		break;
	case BTRFS_SHARED_BLOCK_REF_KEY:
		LIT_U64(t, "shared block backref parent ", off);
		break;
	case BTRFS_SHARED_DATA_REF_KEY:
		LIT_U64(t, "shared data backref parent ", off);
		LIT_U64(t, " count ", le32_get(shared->count));
		break;
	case BTRFS_EXTENT_OWNER_REF_KEY:
		LIT_U64(t, "textent owner root ", off);
		break;
	}
	text_char(t, '\n');
}

/* The key and level of a tree block; where its inline references start. */
static uint32_t print_tree_block_info(struct btrfs_print *p, const struct print_item *it)
{
	const struct btrfs_tree_block_info *info;
	uint32_t at = sizeof(struct btrfs_extent_item);
	struct btrfs_key key;

	if (it->key.type == BTRFS_METADATA_ITEM_KEY) {
		LIT(p->out, "\t\ttree block skinny level ");
		text_i64(p->out, (int32_t)it->key.offset);
		text_char(p->out, '\n');
		return at;
	}
	if (it->len - at < sizeof(*info)) {
		print_problem(p, "leaf %llu slot %u: no room for the tree block's key",
			      (unsigned long long)it->leaf, it->slot);
		return it->len;
	}
	info = (const void *)(it->data + at);
	key = btrfs_disk_key_get(&info->key);
	LIT(p->out, "\t\ttree block ");
	print_key(p->out, &key);
	LIT_U64(p->out, " level ", info->level);
	text_char(p->out, '\n');
	return at + (uint32_t)sizeof(*info);
}

void print_extent_item(struct btrfs_print *p, const struct print_item *it)
{
	const struct btrfs_extent_item *ei = (const void *)it->data;
	uint32_t at = sizeof(*ei), len;
	struct text *t = p->out;
	uint64_t flags;

	if (it->len < sizeof(*ei)) /* of before 2.6.31, or damaged: nothing is said of either */
		return;
	flags = le64_get(ei->flags);
	LIT_U64(t, "\t\trefs ", le64_get(ei->refs));
	LIT_U64(t, " gen ", le64_get(ei->generation));
	LIT(t, " flags ");
	extent_flags_to_text(t, flags);
	text_char(t, '\n');
	if (it->key.type == BTRFS_METADATA_ITEM_KEY || flags & BTRFS_EXTENT_FLAG_TREE_BLOCK)
		at = print_tree_block_info(p, it);
	for (; at < it->len; at += len) {
		len = btrfs_extent_inline_ref_size(it->data[at]);
		if (!len || len > it->len - at) {
			print_problem(p, "leaf %llu slot %u: bad inline reference of type %u",
				      (unsigned long long)it->leaf, it->slot, it->data[at]);
			return;
		}
		print_inline_ref(p, (const void *)(it->data + at));
	}
}

void print_extent_data_ref(struct btrfs_print *p, const struct print_item *it)
{
	struct btrfs_extent_data_ref pad;

	LIT(p->out, "\t\t");
	print_data_ref_fields(p->out, print_whole(p, it, sizeof(pad), &pad));
	text_char(p->out, '\n');
}

void print_shared_data_ref(struct btrfs_print *p, const struct print_item *it)
{
	struct btrfs_shared_data_ref pad;
	const struct btrfs_shared_data_ref *ref = print_whole(p, it, sizeof(pad), &pad);

	LIT_U64(p->out, "\t\tshared data backref count ", le32_get(ref->count));
	text_char(p->out, '\n');
}

void print_extent_owner_ref(struct btrfs_print *p, const struct print_item *it)
{
	struct btrfs_extent_owner_ref pad;
	const struct btrfs_extent_owner_ref *ref = print_whole(p, it, sizeof(pad), &pad);

	LIT_U64(p->out, "\t\textent owner root ", le64_get(ref->root_id));
	text_char(p->out, '\n');
}

/* "[logical] 0xchecksum", as many a line as make 16 bytes, at least one. */
static void print_csums(struct btrfs_print *p, const struct print_item *it, uint32_t nr)
{
	unsigned a_line = BTRFS_CSUM_SIZE / p->csum_size / 2;
	struct text *t = p->out;

	if (!a_line)
		a_line = 1;
	for (uint32_t i = 0; i < nr; i++) {
		if (i == 0)
			LIT(t, "\t\t");
		else if (i % a_line == 0)
			LIT(t, "\n\t\t");
		else
			text_char(t, ' ');
		text_char(t, '[');
		text_u64(t, it->key.offset + (uint64_t)i * p->sectorsize);
		LIT(t, "] 0x");
		text_hexbytes(t, it->data + i * p->csum_size, p->csum_size);
	}
	text_char(t, '\n');
}

void print_extent_csum(struct btrfs_print *p, const struct print_item *it)
{
	struct text *t = p->out;
	uint32_t nr;

	LIT_U64(t, "\t\trange start ", it->key.offset);
	if (!p->csum_size) { /* nothing is known of the filesystem */
		text_char(t, '\n');
		return;
	}
	nr = it->len / p->csum_size;
	LIT_U64(t, " end ", it->key.offset + (uint32_t)(nr * p->sectorsize));
	LIT_U64(t, " length ", (uint32_t)(nr * p->sectorsize));
	text_char(t, '\n');
	if (p->csum_items)
		print_csums(p, it, nr);
}

void print_block_group(struct btrfs_print *p, const struct print_item *it)
{
	struct btrfs_block_group_item pad;
	const struct btrfs_block_group_item *bg = print_whole(p, it, sizeof(pad), &pad);

	LIT_U64(p->out, "\t\tblock group used ", le64_get(bg->used));
	LIT_U64(p->out, " chunk_objectid ", le64_get(bg->chunk_objectid));
	LIT(p->out, " flags ");
	btrfs_bg_flags_to_text(p->out, le64_get(bg->flags));
	text_char(p->out, '\n');
}

void print_free_space_info(struct btrfs_print *p, const struct print_item *it)
{
	struct btrfs_free_space_info pad;
	const struct btrfs_free_space_info *info = print_whole(p, it, sizeof(pad), &pad);

	LIT_U64(p->out, "\t\tfree space info extent count ", le32_get(info->extent_count));
	LIT_U64(p->out, " flags ", le32_get(info->flags));
	text_char(p->out, '\n');
}

void print_free_space_header(struct btrfs_print *p, const struct print_item *it)
{
	struct btrfs_free_space_header pad;
	const struct btrfs_free_space_header *h = print_whole(p, it, sizeof(pad), &pad);
	struct btrfs_key location = btrfs_disk_key_get(&h->location);

	LIT(p->out, "\t\tlocation ");
	print_key(p->out, &location);
	LIT_U64(p->out, "\n\t\tcache generation ", le64_get(h->generation));
	LIT_U64(p->out, " entries ", le64_get(h->num_entries));
	LIT_U64(p->out, " bitmaps ", le64_get(h->num_bitmaps));
	text_char(p->out, '\n');
}

void print_qgroup_status(struct btrfs_print *p, const struct print_item *it)
{
	struct btrfs_qgroup_status_item pad;
	const struct btrfs_qgroup_status_item *st;
	struct text *t = p->out;
	uint64_t flags, unknown;

	if (it->len == BTRFS_QGROUP_STATUS_LEGACY_SIZE) {
		memcpy(&pad, it->data, it->len);
		pad.enable_gen = le64_make(0);
		st = &pad;
	} else {
		st = print_whole(p, it, sizeof(pad), &pad);
	}
	flags = le64_get(st->flags);
	unknown = flags &
		  ~(BTRFS_QGROUP_STATUS_FLAG_ON | BTRFS_QGROUP_STATUS_FLAG_RESCAN |
		    BTRFS_QGROUP_STATUS_FLAG_INCONSISTENT | BTRFS_QGROUP_STATUS_FLAG_SIMPLE_MODE);
	LIT_U64(t, "\t\tversion ", le64_get(st->version));
	LIT_U64(t, " generation ", le64_get(st->generation));
	text_str(t, flags & BTRFS_QGROUP_STATUS_FLAG_ON ? " flags ON" : " flags OFF");
	if (flags & BTRFS_QGROUP_STATUS_FLAG_SIMPLE_MODE)
		LIT(t, "|SIMPLE_MODE");
	if (flags & BTRFS_QGROUP_STATUS_FLAG_RESCAN)
		LIT(t, "|SCANNING");
	if (flags & BTRFS_QGROUP_STATUS_FLAG_INCONSISTENT)
		LIT(t, "|INCONSISTENT");
	if (unknown) {
		LIT(t, "|UNKNOWN(0x");
		text_hex(t, unknown, 0);
		text_char(t, ')');
	}
	LIT_U64(t, " scan ", le64_get(st->rescan));
	if (p->simple_quota)
		LIT_U64(t, " enable_gen ", le64_get(st->enable_gen));
	text_char(t, '\n');
}

void print_qgroup_info(struct btrfs_print *p, const struct print_item *it)
{
	struct btrfs_qgroup_info_item pad;
	const struct btrfs_qgroup_info_item *qi = print_whole(p, it, sizeof(pad), &pad);
	struct text *t = p->out;

	LIT_U64(t, "\t\tgeneration ", le64_get(qi->generation));
	LIT_U64(t, "\n\t\treferenced ", le64_get(qi->rfer));
	LIT_U64(t, " referenced_compressed ", le64_get(qi->rfer_cmpr));
	LIT_U64(t, "\n\t\texclusive ", le64_get(qi->excl));
	LIT_U64(t, " exclusive_compressed ", le64_get(qi->excl_cmpr));
	text_char(t, '\n');
}

void print_qgroup_limit(struct btrfs_print *p, const struct print_item *it)
{
	struct btrfs_qgroup_limit_item pad;
	const struct btrfs_qgroup_limit_item *ql = print_whole(p, it, sizeof(pad), &pad);
	struct text *t = p->out;

	LIT(t, "\t\tflags ");
	text_hex(t, le64_get(ql->flags), 0);
	LIT(t, "\n\t\tmax_referenced ");
	text_i64(t, (int64_t)le64_get(ql->max_rfer));
	LIT(t, " max_exclusive ");
	text_i64(t, (int64_t)le64_get(ql->max_excl));
	LIT(t, "\n\t\trsv_referenced ");
	text_i64(t, (int64_t)le64_get(ql->rsv_rfer));
	LIT(t, " rsv_exclusive ");
	text_i64(t, (int64_t)le64_get(ql->rsv_excl));
	text_char(t, '\n');
}
