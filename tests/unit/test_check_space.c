// SPDX-License-Identifier: GPL-2.0-or-later
/* Extents, block groups, free space, devices and chunks: each rule, broken alone, is named. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/checkbuild.h"

#define MIB (1ULL << 20)

/* Appends an inline ref at *p and moves *p behind it. */
static struct btrfs_extent_inline_ref *put_ref(uint8_t **p, uint8_t type, uint64_t offset,
					       uint32_t count)
{
	struct btrfs_extent_inline_ref *ref = (void *)*p;
	struct btrfs_extent_data_ref *dref = (void *)&ref->offset;
	struct btrfs_shared_data_ref *sref = (void *)(ref + 1);

	ref->type = type;
	if (type == BTRFS_EXTENT_DATA_REF_KEY) {
		dref->root = le64_make(5);
		dref->objectid = le64_make(offset);
		dref->offset = le64_make(0);
		dref->count = le32_make(count);
	} else {
		ref->offset = le64_make(offset);
		if (type == BTRFS_SHARED_DATA_REF_KEY)
			sref->count = le32_make(count);
	}
	*p += btrfs_extent_inline_ref_size(type);
	return ref;
}

static struct btrfs_extent_item *add_extent_item(struct cb *b, uint64_t start, uint8_t type,
						 uint64_t offset, uint64_t flags, uint32_t len)
{
	struct btrfs_extent_item *ei = cb_add(b, start, type, offset, NULL, len);

	ei->refs = le64_make(10);
	ei->generation = le64_make(CB_GENERATION);
	ei->flags = le64_make(flags);
	return ei;
}

static void data_extents(void **state)
{
	struct cb b;
	struct btrfs_extent_item *ei;
	struct btrfs_extent_inline_ref *owner, *ref[2], *shared;
	struct btrfs_extent_data_ref *dref;
	struct btrfs_shared_data_ref *sref;
	uint64_t ino[2] = { 300, 301 };
	uint8_t *p;

	/* sequence numbers descend: the greater hash comes first */
	if (btrfs_extent_data_ref_hash(5, 300, 0) < btrfs_extent_data_ref_hash(5, 301, 0)) {
		ino[0] = 301;
		ino[1] = 300;
	}
	cb_init(&b, 4096, 0, BTRFS_EXTENT_TREE_OBJECTID);
	ei = add_extent_item(&b, 13 * MIB, BTRFS_EXTENT_ITEM_KEY, 8192, BTRFS_EXTENT_FLAG_DATA,
			     24 + 9 + 2 * 29 + 13);
	p = (uint8_t *)(ei + 1);
	owner = put_ref(&p, BTRFS_EXTENT_OWNER_REF_KEY, 5, 0);
	ref[0] = put_ref(&p, BTRFS_EXTENT_DATA_REF_KEY, ino[0], 3);
	ref[1] = put_ref(&p, BTRFS_EXTENT_DATA_REF_KEY, ino[1], 3);
	shared = put_ref(&p, BTRFS_SHARED_DATA_REF_KEY, 30408704, 4);
	cb_good(&b);
	CB_BROKEN(&b, ei->refs, 9, 0, "extent has 9 refs, expected at least the 10 inline ones");
	CB_BROKEN(&b, ei->generation, CB_GENERATION + 2, 0, "extent generation 22 is newer");
	CB_BROKEN(&b, ei->flags, 0, 0, "extent flags are 0x0");
	CB_BROKEN(&b, ei->flags, 3, 0, "extent flags are 0x3");
	CB_BROKEN(&b, ei->flags, 1 | BTRFS_BLOCK_FLAG_FULL_BACKREF, 0, "FULL_BACKREF");
	CB_BROKEN(&b, cb_item(&b, 0)->key.objectid, 13 * MIB + 1, 0,
		  "extent start 13631489 is not");
	CB_BROKEN(&b, cb_item(&b, 0)->key.offset, 8191, 0, "extent length 8191 is not");
	CB_BROKEN(&b, cb_item(&b, 0)->key.offset, 0, 0, "extent length is 0");
	CB_BROKEN(&b, cb_item(&b, 0)->key.offset, -4096ULL, 0, "passes 2^64");
	CB_BROKEN(&b, cb_item(&b, 0)->key.type, BTRFS_METADATA_ITEM_KEY, 0, "tree level is 8192");
	CB_BROKEN(&b, ref[1]->type, 1, 0, "inline ref type is 1, which is none");
	CB_BROKEN(&b, owner->type, BTRFS_TREE_BLOCK_REF_KEY, 0,
		  "inline ref of type 176 in the extent of data");
	CB_BROKEN(&b, shared->offset, 30408705, 0, "shared ref parent 30408705 is not");
	CB_BROKEN(&b, shared->offset, 0, 0, "shared ref with parent 0");
	sref = (void *)(shared + 1);
	CB_BROKEN(&b, sref->count, 0, 0, "shared data ref with count 0");
	dref = (void *)&ref[0]->offset;
	CB_BROKEN(&b, dref->count, 0, 0, "data ref with count 0");
	CB_BROKEN(&b, dref->offset, 1, 0, "data ref offset 1 is not");
	CB_BROKEN(&b, dref->root, 2, 0, "data ref from root 2");
	CB_BROKEN(&b, dref->objectid, 255, 0, "data ref from inode 255");
	cb_free(&b);
}

static void inline_ref_order(void **state)
{
	uint64_t lo = 300, hi = 301;
	struct btrfs_extent_item *ei;
	struct cb b;
	uint8_t *p;

	if (btrfs_extent_data_ref_hash(5, 300, 0) > btrfs_extent_data_ref_hash(5, 301, 0)) {
		lo = 301;
		hi = 300;
	}
	cb_init(&b, 4096, 0, BTRFS_EXTENT_TREE_OBJECTID);
	ei = add_extent_item(&b, 13 * MIB, BTRFS_EXTENT_ITEM_KEY, 8192, BTRFS_EXTENT_FLAG_DATA,
			     24 + 2 * 29);
	p = (uint8_t *)(ei + 1);
	put_ref(&p, BTRFS_EXTENT_DATA_REF_KEY, hi, 1);
	put_ref(&p, BTRFS_EXTENT_DATA_REF_KEY, lo, 1);
	cb_good(&b);
	p = (uint8_t *)(ei + 1);
	put_ref(&p, BTRFS_EXTENT_DATA_REF_KEY, lo, 1);
	put_ref(&p, BTRFS_EXTENT_DATA_REF_KEY, hi, 1);
	cb_bad(&b, 0, "expected them to descend");
	cb_free(&b);

	cb_init(&b, 4096, 0, BTRFS_EXTENT_TREE_OBJECTID);
	ei = add_extent_item(&b, 13 * MIB, BTRFS_EXTENT_ITEM_KEY, 8192, BTRFS_EXTENT_FLAG_DATA,
			     24 + 29 + 13);
	p = (uint8_t *)(ei + 1);
	put_ref(&p, BTRFS_SHARED_DATA_REF_KEY, 30408704, 1);
	put_ref(&p, BTRFS_EXTENT_DATA_REF_KEY, 300, 1);
	cb_bad(&b, 0, "inline ref type 178 after type 184");
	cb_free(&b);

	cb_init(&b, 4096, 0, BTRFS_EXTENT_TREE_OBJECTID);
	ei = add_extent_item(&b, 13 * MIB, BTRFS_EXTENT_ITEM_KEY, 8192, BTRFS_EXTENT_FLAG_DATA,
			     24 + 28);
	*(uint8_t *)(ei + 1) = BTRFS_EXTENT_DATA_REF_KEY;
	cb_bad(&b, 0, "inline ref of 29 bytes at 24 passes the item's end at 52");
	cb_free(&b);
	cb_init(&b, 4096, 0, BTRFS_EXTENT_TREE_OBJECTID);
	cb_add(&b, 13 * MIB, BTRFS_EXTENT_ITEM_KEY, 8192, NULL, 4);
	cb_bad(&b, 0, "item size is 4, expected at least 24");
	cb_free(&b);
}

static void tree_block_extents(void **state)
{
	struct cb b;
	struct btrfs_extent_item *ei;
	struct btrfs_tree_block_info *info;
	uint8_t *p;

	cb_init(&b, 16384, 0, BTRFS_EXTENT_TREE_OBJECTID);
	ei = add_extent_item(&b, 30408704, BTRFS_METADATA_ITEM_KEY, 0, BTRFS_EXTENT_FLAG_TREE_BLOCK,
			     33);
	p = (uint8_t *)(ei + 1);
	put_ref(&p, BTRFS_TREE_BLOCK_REF_KEY, 5, 0);
	ei = add_extent_item(&b, 30425088, BTRFS_EXTENT_ITEM_KEY, 16384,
			     BTRFS_EXTENT_FLAG_TREE_BLOCK | BTRFS_BLOCK_FLAG_FULL_BACKREF, 51);
	info = (void *)(ei + 1);
	p = (uint8_t *)(info + 1);
	put_ref(&p, BTRFS_SHARED_BLOCK_REF_KEY, 30408704, 0);
	cb_good(&b);
	CB_BROKEN(&b, info->level, 8, 1, "tree block level is 8");
	CB_BROKEN(&b, cb_item(&b, 1)->key.offset, 4096, 1, "tree block with length 4096");
	CB_BROKEN(&b, cb_item(&b, 0)->key.offset, 8, 0, "tree level is 8");
	CB_BROKEN(&b, cb_item(&b, 1)->key.objectid, 30420992, 1,
		  "extent before it ends at 30425088, expected at most 30420992");
	b.geo.incompat = 0;
	cb_bad(&b, 0, "without the skinny-metadata feature");
	cb_free(&b);

	cb_init(&b, 16384, 0, BTRFS_EXTENT_TREE_OBJECTID);
	add_extent_item(&b, 30408704, BTRFS_EXTENT_ITEM_KEY, 16384, BTRFS_EXTENT_FLAG_TREE_BLOCK,
			41);
	cb_bad(&b, 0, "item size is 41, expected at least 42");
	cb_free(&b);
	cb_init(&b, 16384, 0, BTRFS_EXTENT_TREE_OBJECTID);
	add_extent_item(&b, 30408704, BTRFS_METADATA_ITEM_KEY, 0, BTRFS_EXTENT_FLAG_DATA, 24);
	cb_bad(&b, 0, "data extent under a METADATA_ITEM key");
	cb_free(&b);
}

static void keyed_refs(void **state)
{
	struct cb b;
	struct btrfs_extent_data_ref *dref;
	struct btrfs_shared_data_ref *sref;

	cb_init(&b, 4096, 0, BTRFS_EXTENT_TREE_OBJECTID);
	cb_add(&b, 13 * MIB, BTRFS_TREE_BLOCK_REF_KEY, 5, NULL, 0);
	dref = cb_add(&b, 13 * MIB, BTRFS_EXTENT_DATA_REF_KEY, 123, NULL, 56);
	for (int i = 0; i < 2; i++) {
		dref[i].root = le64_make(5);
		dref[i].objectid = le64_make(257);
		dref[i].count = le32_make(1);
	}
	cb_add(&b, 13 * MIB, BTRFS_SHARED_BLOCK_REF_KEY, 30408704, NULL, 0);
	sref = cb_add(&b, 13 * MIB, BTRFS_SHARED_DATA_REF_KEY, 30408704, NULL, 4);
	sref->count = le32_make(1);
	cb_good(&b);
	CB_BROKEN(&b, dref[1].count, 0, 1, "data ref with count 0");
	CB_BROKEN(&b, dref[1].offset, 7, 1, "data ref offset 7 is not");
	CB_BROKEN(&b, sref->count, 0, 3, "shared data ref with count 0");
	CB_BROKEN(&b, cb_item(&b, 2)->key.offset, 1, 2, "shared ref parent 1 is not");
	CB_BROKEN(&b, cb_item(&b, 3)->key.offset, 0, 3, "shared ref with parent 0");
	CB_BROKEN(&b, cb_item(&b, 0)->key.objectid, 13 * MIB - 1, 0,
		  "extent start 13631487 is not");
	cb_free(&b);

	cb_init(&b, 4096, 0, BTRFS_EXTENT_TREE_OBJECTID);
	cb_add(&b, 13 * MIB, BTRFS_EXTENT_DATA_REF_KEY, 123, NULL, 27);
	cb_bad(&b, 0, "item size is 27, expected a row of 28 byte data refs");
	cb_free(&b);
	cb_init(&b, 4096, 0, BTRFS_EXTENT_TREE_OBJECTID);
	cb_add(&b, 13 * MIB, BTRFS_TREE_BLOCK_REF_KEY, 5, NULL, 1);
	cb_bad(&b, 0, "item size is 1, expected 0");
	cb_free(&b);
}

static void block_groups(void **state)
{
	struct cb b;
	struct btrfs_block_group_item *bg;

	cb_init(&b, 4096, 0, BTRFS_BLOCK_GROUP_TREE_OBJECTID);
	bg = cb_add(&b, 13 * MIB, BTRFS_BLOCK_GROUP_ITEM_KEY, 8 * MIB, NULL, sizeof(*bg));
	bg->used = le64_make(8 * MIB);
	bg->chunk_objectid = le64_make(256);
	bg->flags = le64_make(BTRFS_BLOCK_GROUP_DATA | BTRFS_BLOCK_GROUP_RAID1);
	cb_good(&b);
	CB_BROKEN(&b, bg->used, 8 * MIB + 1, 0, "used is 8388609");
	CB_BROKEN(&b, bg->chunk_objectid, 257, 0, "chunk_objectid is 257");
	CB_BROKEN(&b, bg->flags, BTRFS_BLOCK_GROUP_RAID1, 0, "block group type is 0x0");
	CB_BROKEN(&b, bg->flags, 1 | BTRFS_BLOCK_GROUP_DUP | BTRFS_BLOCK_GROUP_RAID1, 0,
		  "block group profile is 0x30");
	CB_BROKEN(&b, bg->flags, BTRFS_BLOCK_GROUP_DATA | BTRFS_BLOCK_GROUP_SYSTEM, 0,
		  "block group type is 0x3");
	CB_LEGAL(&b, bg->flags, BTRFS_BLOCK_GROUP_DATA | BTRFS_BLOCK_GROUP_METADATA);
	CB_BROKEN(&b, bg->flags, 1 | BTRFS_BLOCK_GROUP_REMAPPED, 0, "without the remap-tree");
	CB_BROKEN(&b, bg->flags, BTRFS_BLOCK_GROUP_METADATA_REMAP, 0, "block group type is 0x1000");
	CB_BROKEN(&b, cb_item(&b, 0)->key.offset, 0, 0, "block group length is 0");
	CB_BROKEN(&b, cb_item(&b, 0)->key.offset, -1ULL, 0, "passes 2^64");
	b.geo.incompat |= BTRFS_FEATURE_INCOMPAT_REMAP_TREE;
	cb_bad(&b, 0, "item size is 24, expected 36");
	b.geo.incompat = BTRFS_FEATURE_INCOMPAT_EXTENT_TREE_V2;
	CB_LEGAL(&b, bg->chunk_objectid, 3);
	cb_free(&b);
}

static void free_space(void **state)
{
	struct cb b;
	struct btrfs_free_space_info *info;

	cb_init(&b, 4096, 0, BTRFS_FREE_SPACE_TREE_OBJECTID);
	info = cb_add(&b, 13 * MIB, BTRFS_FREE_SPACE_INFO_KEY, 8 * MIB, NULL, 8);
	info->extent_count = le32_make(2048);
	cb_add(&b, 13 * MIB, BTRFS_FREE_SPACE_EXTENT_KEY, 4096, NULL, 0);
	cb_add(&b, 14 * MIB, BTRFS_FREE_SPACE_BITMAP_KEY, 36864, NULL, 2);
	cb_good(&b);
	CB_BROKEN(&b, info->flags, 2, 0, "free space flags are 0x2");
	CB_LEGAL(&b, info->flags, BTRFS_FREE_SPACE_USING_BITMAPS);
	CB_BROKEN(&b, info->extent_count, 2049, 0, "extent_count is 2049, expected at most 2048");
	CB_BROKEN(&b, cb_item(&b, 0)->key.offset, 1, 0, "length 1 is not a multiple");
	CB_BROKEN(&b, cb_item(&b, 1)->key.offset, 0, 1, "length is 0");
	CB_BROKEN(&b, cb_item(&b, 1)->key.offset, -4096ULL, 1, "passes 2^64");
	CB_BROKEN(&b, cb_item(&b, 1)->key.objectid, 13 * MIB + 7, 1, "free space 13631495 is not");
	CB_BROKEN(&b, cb_item(&b, 2)->key.offset, 69632, 2, "item size is 2, expected 3");
	CB_BROKEN(&b, cb_item(&b, 2)->key.offset, 16 * MIB, 2, "bitmap of 4096 bits");
	cb_free(&b);
}

static void remaps(void **state)
{
	struct cb b;
	struct btrfs_remap_item *remap;

	cb_init(&b, 4096, 0, BTRFS_REMAP_TREE_OBJECTID);
	b.geo.incompat |= BTRFS_FEATURE_INCOMPAT_REMAP_TREE;
	cb_add(&b, 13 * MIB, BTRFS_IDENTITY_REMAP_KEY, 4096, NULL, 0);
	remap = cb_add(&b, 14 * MIB, BTRFS_REMAP_KEY, 4096, NULL, 8);
	remap->address = le64_make(20 * MIB);
	cb_good(&b);
	CB_BROKEN(&b, remap->address, 20 * MIB + 1, 1, "remap address 20971521 is not");
	CB_BROKEN(&b, cb_item(&b, 1)->key.type, BTRFS_IDENTITY_REMAP_KEY, 1,
		  "item size is 8, expected 0");
	CB_BROKEN(&b, cb_item(&b, 0)->key.offset, 0, 0, "length is 0");
	b.geo.incompat = 0;
	cb_bad(&b, 0, "without the remap-tree feature");
	cb_free(&b);
}

static void raid_stripes(void **state)
{
	struct cb b;

	cb_init(&b, 4096, 0, BTRFS_RAID_STRIPE_TREE_OBJECTID);
	cb_add(&b, 13 * MIB, BTRFS_RAID_STRIPE_KEY, 65536, NULL, 32);
	cb_bad(&b, 0, "without the raid-stripe-tree feature");
	b.geo.incompat |= BTRFS_FEATURE_INCOMPAT_RAID_STRIPE_TREE;
	cb_good(&b);
	CB_BROKEN(&b, cb_item(&b, 0)->key.objectid, 13 * MIB + 1, 0, "start 13631489 is not");
	cb_free(&b);
	cb_init(&b, 4096, 0, BTRFS_RAID_STRIPE_TREE_OBJECTID);
	b.geo.incompat |= BTRFS_FEATURE_INCOMPAT_RAID_STRIPE_TREE;
	cb_add(&b, 13 * MIB, BTRFS_RAID_STRIPE_KEY, 65536, NULL, 24);
	cb_bad(&b, 0, "item size is 24, expected a row of 16 byte strides");
	cb_free(&b);
}

static void device_items(void **state)
{
	struct cb b;
	struct btrfs_dev_item *di;
	struct btrfs_dev_extent *de[2];

	cb_init(&b, 4096, 0, BTRFS_CHUNK_TREE_OBJECTID);
	di = cb_add(&b, 1, BTRFS_DEV_ITEM_KEY, 3, NULL, sizeof(*di));
	di->devid = le64_make(3);
	di->total_bytes = le64_make(100 * MIB);
	cb_good(&b);
	CB_BROKEN(&b, di->devid, 2, 0, "devid is 2, expected the key's 3");
	CB_BROKEN(&b, di->bytes_used, 100 * MIB + 1, 0, "bytes_used is 104857601");
	CB_BROKEN(&b, cb_item(&b, 0)->key.objectid, 2, 0, "objectid is 2");
	cb_free(&b);

	cb_init(&b, 4096, 0, BTRFS_DEV_TREE_OBJECTID);
	for (int i = 0; i < 2; i++) {
		de[i] = cb_add(&b, 1, BTRFS_DEV_EXTENT_KEY, (1 + 8 * (uint64_t)i) * MIB, NULL, 48);
		de[i]->chunk_tree = le64_make(3);
		de[i]->chunk_objectid = le64_make(256);
		de[i]->chunk_offset = le64_make((13 + 8 * (uint64_t)i) * MIB);
		de[i]->length = le64_make(8 * MIB);
	}
	cb_good(&b);
	CB_BROKEN(&b, de[0]->length, 8 * MIB + 4096, 1,
		  "device extent before it ends at 9441280, expected at most 9437184");
	CB_BROKEN(&b, de[1]->length, 0, 1, "length is 0");
	CB_BROKEN(&b, de[1]->length, 1, 1, "length 1 is not");
	CB_BROKEN(&b, de[1]->length, -4096ULL, 1, "passes 2^64");
	CB_BROKEN(&b, de[0]->chunk_tree, 4, 0, "chunk_tree is 4");
	CB_BROKEN(&b, de[0]->chunk_objectid, 4, 0, "chunk_objectid is 4");
	CB_BROKEN(&b, de[0]->chunk_offset, 4, 0, "chunk_offset 4 is not");
	CB_BROKEN(&b, cb_item(&b, 0)->key.offset, 4, 0, "device offset 4 is not");
	CB_LEGAL(&b, cb_item(&b, 1)->key.objectid, 2);
	cb_free(&b);
}

static struct btrfs_chunk *add_chunk(struct cb *b, uint64_t type, unsigned stripes)
{
	struct btrfs_chunk *chunk = cb_add(b, 256, BTRFS_CHUNK_ITEM_KEY, 16 * MIB, NULL,
					   btrfs_chunk_item_size(stripes));

	chunk->length = le64_make(48 * MIB);
	chunk->stripe_len = le64_make(65536);
	chunk->type = le64_make(type);
	chunk->sector_size = le32_make(4096);
	chunk->num_stripes = le16_make((uint16_t)stripes);
	chunk->sub_stripes = le16_make(type & BTRFS_BLOCK_GROUP_RAID10 ? 2 : 1);
	return chunk;
}

static void chunks(void **state)
{
	struct cb b;
	struct btrfs_chunk *c;

	cb_init(&b, 4096, 0, BTRFS_CHUNK_TREE_OBJECTID);
	c = add_chunk(&b, BTRFS_BLOCK_GROUP_METADATA | BTRFS_BLOCK_GROUP_DUP, 2);
	cb_good(&b);
	CB_BROKEN(&b, c->num_stripes, 3, 0, "num_stripes is 3 for profile 0x20, expected 2 to 2");
	CB_BROKEN(&b, c->num_stripes, 0, 0, "num_stripes is 0");
	CB_BROKEN(&b, c->sector_size, 512, 0, "chunk sector_size is 512");
	CB_BROKEN(&b, c->length, 0, 0, "chunk length is 0");
	CB_BROKEN(&b, c->length, 4097, 0, "chunk length 4097 is not");
	CB_BROKEN(&b, c->length, 1ULL << 48, 0, "chunk length is 281474976710656");
	CB_BROKEN(&b, cb_item(&b, 0)->key.offset, -4096ULL, 0, "passes 2^64");
	CB_BROKEN(&b, cb_item(&b, 0)->key.offset, 1, 0, "chunk start 1 is not");
	CB_BROKEN(&b, cb_item(&b, 0)->key.objectid, 255, 0, "objectid is 255, expected 256");
	CB_BROKEN(&b, c->stripe_len, 4096, 0, "stripe_len is 4096");
	CB_BROKEN(&b, c->stripe_len, 0, 0, "stripe_len is 0");
	CB_BROKEN(&b, c->type, 1ULL << 40, 0, "chunk type is 0x10000000000");
	CB_BROKEN(&b, c->type, 1 | BTRFS_BLOCK_GROUP_REMAPPED, 0, "chunk type is 0x801");
	CB_BROKEN(&b, c->type, BTRFS_BLOCK_GROUP_DUP, 0, "chunk type is 0x20, expected one of");
	CB_BROKEN(&b, c->type, 1 | BTRFS_BLOCK_GROUP_DUP | BTRFS_BLOCK_GROUP_RAID1, 0,
		  "chunk profile is 0x30");
	CB_BROKEN(&b, c->type, 3 | BTRFS_BLOCK_GROUP_DUP, 0,
		  "chunk type is 0x3, expected one type");
	CB_BROKEN(&b, c->type, 5 | BTRFS_BLOCK_GROUP_DUP, 0,
		  "chunk type is 0x5, expected one type");
	CB_BROKEN(&b, c->stripe.offset, 7, 0, "stripe offset 7 is not");
	CB_BROKEN(&b, c->stripe.offset, -4096ULL, 0, "passes 2^64");
	b.geo.incompat |= BTRFS_FEATURE_INCOMPAT_MIXED_GROUPS;
	CB_LEGAL(&b, c->type, 5 | BTRFS_BLOCK_GROUP_DUP);
	CB_BROKEN(&b, c->type, 7 | BTRFS_BLOCK_GROUP_DUP, 0, "chunk type is 0x7");
	cb_free(&b);

	cb_init(&b, 4096, 0, BTRFS_CHUNK_TREE_OBJECTID);
	cb_add(&b, 256, BTRFS_CHUNK_ITEM_KEY, 0, NULL, 47);
	cb_bad(&b, 0, "item size is 47, expected at least 48");
	cb_free(&b);
}

static void stripes_by_profile(void **state)
{
	static const struct {
		uint64_t profile;
		unsigned good[3], bad[3]; /* numbers of stripes; 99 ends */
	} cases[] = {
		{ 0, { 1, 99 }, { 0, 2, 99 } },
		{ BTRFS_BLOCK_GROUP_RAID0, { 1, 2, 7 }, { 0, 99 } },
		{ BTRFS_BLOCK_GROUP_RAID1, { 2, 99 }, { 0, 1, 3 } },
		{ BTRFS_BLOCK_GROUP_DUP, { 2, 99 }, { 0, 1, 3 } },
		{ BTRFS_BLOCK_GROUP_RAID10, { 2, 4, 6 }, { 0, 1, 3 } },
		{ BTRFS_BLOCK_GROUP_RAID5, { 2, 3, 9 }, { 0, 1, 99 } },
		{ BTRFS_BLOCK_GROUP_RAID6, { 3, 4, 9 }, { 0, 1, 2 } },
		{ BTRFS_BLOCK_GROUP_RAID1C3, { 3, 99 }, { 0, 2, 4 } },
		{ BTRFS_BLOCK_GROUP_RAID1C4, { 4, 99 }, { 0, 3, 5 } },
	};
	struct cb b;
	struct btrfs_chunk *c;

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (unsigned j = 0; j < 3; j++) {
			uint64_t type = BTRFS_BLOCK_GROUP_DATA | cases[i].profile;

			if (j < 3 && cases[i].good[j] && cases[i].good[j] != 99) {
				cb_init(&b, 4096, 0, BTRFS_CHUNK_TREE_OBJECTID);
				c = add_chunk(&b, type, cases[i].good[j]);
				cb_good(&b);
				if (cases[i].profile == BTRFS_BLOCK_GROUP_RAID10)
					CB_BROKEN(&b, c->sub_stripes, 1, 0, "sub_stripes is 1");
				cb_free(&b);
			}
			if (j > 0 && cases[i].bad[j] == 0)
				continue;
			if (cases[i].bad[j] != 99) {
				cb_init(&b, 4096, 0, BTRFS_CHUNK_TREE_OBJECTID);
				add_chunk(&b, type, cases[i].bad[j]);
				cb_bad(&b, 0, "num_stripes is ");
				cb_free(&b);
			}
		}
}

static void remapped_chunks(void **state)
{
	struct cb b;
	struct btrfs_chunk *c;

	cb_init(&b, 4096, 0, BTRFS_CHUNK_TREE_OBJECTID);
	b.geo.incompat |= BTRFS_FEATURE_INCOMPAT_REMAP_TREE;
	c = add_chunk(&b, BTRFS_BLOCK_GROUP_DATA | BTRFS_BLOCK_GROUP_REMAPPED, 0);
	cb_good(&b);
	CB_BROKEN(&b, c->type, BTRFS_BLOCK_GROUP_DATA, 0, "num_stripes is 0");
	CB_BROKEN(&b, c->type, BTRFS_BLOCK_GROUP_METADATA_REMAP | 1, 0, "expected one type");
	cb_free(&b);
}

/* Alone, as from the sys_chunk_array. */
static void lone_chunk(void **state)
{
	struct btrfs_check_error err;
	struct btrfs_chunk *c;
	struct cb b;

	cb_init(&b, 4096, 0, BTRFS_CHUNK_TREE_OBJECTID);
	c = add_chunk(&b, BTRFS_BLOCK_GROUP_SYSTEM, 1);
	assert_int_equal(btrfs_check_chunk(c, 80, 16 * MIB, &b.geo, &err), 0);
	assert_int_equal(btrfs_check_chunk(c, 79, 16 * MIB, &b.geo, &err), -EUCLEAN);
	assert_int_equal(btrfs_check_chunk(c, 47, 16 * MIB, &b.geo, &err), -EUCLEAN);
	assert_int_equal(btrfs_check_chunk(c, 80, 1, &b.geo, &err), -EUCLEAN);
	assert_int_equal(err.slot, -1);
	assert_int_equal(err.key.type, BTRFS_CHUNK_ITEM_KEY);
	cb_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(data_extents),
		cmocka_unit_test(inline_ref_order),
		cmocka_unit_test(tree_block_extents),
		cmocka_unit_test(keyed_refs),
		cmocka_unit_test(block_groups),
		cmocka_unit_test(free_space),
		cmocka_unit_test(remaps),
		cmocka_unit_test(raid_stripes),
		cmocka_unit_test(device_items),
		cmocka_unit_test(chunks),
		cmocka_unit_test(stripes_by_profile),
		cmocka_unit_test(remapped_chunks),
		cmocka_unit_test(lone_chunk),
	};

	return cmocka_run_group_tests_name("check_space", tests, NULL, NULL);
}
