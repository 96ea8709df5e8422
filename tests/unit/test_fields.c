// SPDX-License-Identifier: GPL-2.0-or-later
/* The field tables are complete, and the walks hand over every byte once and read no other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "ondisk/fields.h"

static void tables_leave_no_gap(void **state)
{
	unsigned n = 0;

	for (; btrfs_descs[n]; n++) {
		const struct btrfs_struct_desc *d = btrfs_descs[n];
		uint32_t end = 0;

		assert_true(d->nr > 0);
		for (uint32_t i = 0; i < d->nr; i++) {
			const struct btrfs_field *f = &d->fields[i];

			if (f->offset != end)
				fail_msg("%s.%s is at %u, expected %u", d->name, f->name, f->offset,
					 end);
			end += (uint32_t)f->size * f->count;
			if (f->kind == BTRFS_FIELD_UINT)
				assert_true(f->size == 1 || f->size == 2 || f->size == 4 ||
					    f->size == 8);
			if (f->kind == BTRFS_FIELD_UUID)
				assert_int_equal(f->size, 16);
			if (f->sub)
				assert_int_equal(f->size, f->sub->size);
			assert_int_equal(f->sub != NULL, f->kind == BTRFS_FIELD_KEY ||
								 f->kind == BTRFS_FIELD_TIME ||
								 f->kind == BTRFS_FIELD_STRUCT);
		}
		if (end != d->size)
			fail_msg("%s has fields for %u bytes of %u", d->name, end, d->size);
	}
	assert_true(n > 45);
}

/* Collects what a walk hands over, as "name:len name:len". */
struct seen {
	const uint8_t *start;
	uint32_t end; /* of what was handed over last, when it must be contiguous */
	bool contiguous;
	unsigned calls;
	unsigned stop_after;
	char text[4096];
	size_t text_len;
};

/* Where bytes go that are read only for a sanitizer to look at. */
static volatile uint8_t sink;

static int see(void *arg, const struct btrfs_struct_desc *desc, const void *p, uint32_t len)
{
	struct seen *s = arg;

	assert_true(len > 0);
	assert_true(desc->size == 0 || len <= desc->size);
	if (s->contiguous)
		assert_int_equal((const uint8_t *)p - s->start, s->end);
	s->end = (uint32_t)((const uint8_t *)p - s->start) + len;
	for (uint32_t i = 0; i < len; i++)
		sink ^= ((const uint8_t *)p)[i];
	(void)sink;
	if (s->text_len < sizeof(s->text) - 80)
		s->text_len += (size_t)sprintf(s->text + s->text_len, "%s%s:%u",
					       s->text_len ? " " : "", desc->name, len);
	s->calls++;
	return s->calls == s->stop_after ? 42 : 0;
}

static const char *walk(uint8_t type, uint64_t objectid, uint64_t offset, const void *item,
			uint32_t len)
{
	static struct seen s;
	struct btrfs_key key = { objectid, type, offset };

	memset(&s, 0, sizeof(s));
	s.start = item;
	s.contiguous = true;
	assert_int_equal(btrfs_fields_walk_item(&key, item, len, see, &s), 0);
	assert_int_equal(s.end, len);
	return s.text;
}

static void rows_of_names(void **state)
{
	uint8_t item[200] = { 0 };
	struct btrfs_dir_item *di = (void *)item;
	struct btrfs_inode_ref *ref = (void *)item;

	di->name_len = le16_make(3);
	di = (void *)(item + 33);
	di->name_len = le16_make(4);
	di->data_len = le16_make(5);
	assert_string_equal(walk(BTRFS_XATTR_ITEM_KEY, 256, 1, item, 33 + 39),
			    "dir_item:30 name:3 dir_item:30 name:4 data:5");
	/* cut in the second name */
	assert_string_equal(walk(BTRFS_XATTR_ITEM_KEY, 256, 1, item, 33 + 32),
			    "dir_item:30 name:3 dir_item:30 name:2");
	memset(item, 0, sizeof(item));
	ref->name_len = le16_make(2);
	assert_string_equal(walk(BTRFS_INODE_REF_KEY, 256, 1, item, 12), "inode_ref:10 name:2");
}

static void extents(void **state)
{
	uint8_t item[200] = { 0 };
	struct btrfs_extent_item *ei = (void *)item;
	struct btrfs_file_extent_item *fi = (void *)item;

	ei->flags = le64_make(BTRFS_EXTENT_FLAG_DATA);
	item[24] = BTRFS_EXTENT_OWNER_REF_KEY;
	item[33] = BTRFS_EXTENT_DATA_REF_KEY;
	item[62] = BTRFS_SHARED_DATA_REF_KEY;
	assert_string_equal(walk(BTRFS_EXTENT_ITEM_KEY, 0, 4096, item, 75),
			    "extent_item:24 extent_inline_ref:9 extent_inline_data_ref:29 "
			    "extent_inline_shared_data_ref:13");
	assert_string_equal(walk(BTRFS_EXTENT_ITEM_KEY, 0, 4096, item, 77),
			    "extent_item:24 extent_inline_ref:9 extent_inline_data_ref:29 "
			    "extent_inline_shared_data_ref:13 data:2");
	memset(item, 0, sizeof(item));
	ei->flags = le64_make(BTRFS_EXTENT_FLAG_TREE_BLOCK);
	item[42] = BTRFS_TREE_BLOCK_REF_KEY;
	assert_string_equal(walk(BTRFS_EXTENT_ITEM_KEY, 0, 16384, item, 51),
			    "extent_item:24 tree_block_info:18 extent_inline_ref:9");
	item[24] = BTRFS_SHARED_BLOCK_REF_KEY;
	assert_string_equal(walk(BTRFS_METADATA_ITEM_KEY, 0, 0, item, 33),
			    "extent_item:24 extent_inline_ref:9");
	assert_string_equal(walk(BTRFS_EXTENT_ITEM_KEY, 0, 0, item, 4), "extent_item_v0:4");

	memset(item, 0, sizeof(item));
	assert_string_equal(walk(BTRFS_EXTENT_DATA_KEY, 257, 0, item, 40),
			    "file_extent_inline:21 data:19");
	fi->type = BTRFS_FILE_EXTENT_REG;
	assert_string_equal(walk(BTRFS_EXTENT_DATA_KEY, 257, 0, item, 53), "file_extent_item:53");
}

static void other_items(void **state)
{
	uint8_t item[512] = { 0 };
	struct btrfs_chunk *chunk = (void *)item;

	chunk->num_stripes = le16_make(2);
	assert_string_equal(walk(BTRFS_CHUNK_ITEM_KEY, 256, 0, item, 112),
			    "chunk:48 stripe:32 stripe:32");
	assert_string_equal(walk(BTRFS_ROOT_ITEM_KEY, 5, 0, item, 439), "root_item:439");
	assert_string_equal(walk(BTRFS_ROOT_ITEM_KEY, 5, 0, item, 239), "root_item:239");
	assert_string_equal(walk(BTRFS_BLOCK_GROUP_ITEM_KEY, 5, 0, item, 24),
			    "block_group_item:24");
	assert_string_equal(walk(BTRFS_BLOCK_GROUP_ITEM_KEY, 5, 0, item, 36),
			    "block_group_item_v2:36");
	assert_string_equal(walk(BTRFS_UUID_KEY_SUBVOL, 5, 0, item, 16),
			    "uuid_subvolume:8 uuid_subvolume:8");
	assert_string_equal(walk(BTRFS_RAID_STRIPE_KEY, 5, 0, item, 32),
			    "raid_stride:16 raid_stride:16");
	assert_string_equal(walk(BTRFS_PERSISTENT_ITEM_KEY, 0, 1, item, 48),
			    "dev_stats_item:40 data:8");
	assert_string_equal(walk(BTRFS_PERSISTENT_ITEM_KEY, 7, 1, item, 48), "data:48");
	assert_string_equal(walk(BTRFS_TEMPORARY_ITEM_KEY, BTRFS_BALANCE_OBJECTID, 0, item, 448),
			    "balance_item:448");
	assert_string_equal(walk(0, BTRFS_FREE_SPACE_OBJECTID, 0, item, 41),
			    "free_space_header:41");
	assert_string_equal(walk(BTRFS_VERITY_DESC_ITEM_KEY, 257, 0, item, 25),
			    "verity_descriptor_item:25");
	assert_string_equal(walk(BTRFS_VERITY_DESC_ITEM_KEY, 257, 1, item, 256), "data:256");
	assert_string_equal(walk(BTRFS_EXTENT_CSUM_KEY, 5, 0, item, 40), "csums:40");
	assert_string_equal(walk(254, 5, 0, item, 40), "data:40");
	assert_string_equal(walk(BTRFS_ORPHAN_ITEM_KEY, 5, 0, item, 0), "");
}

/* Any bytes under any key type: handed over once each, none read beyond (the sanitizer sees to it).
 */
static void any_bytes(void **state)
{
	static const uint64_t objectids[] = { 0, BTRFS_FREE_SPACE_OBJECTID,
					      BTRFS_BALANCE_OBJECTID };

	srand(7);
	for (unsigned type = 0; type < 256; type++)
		for (unsigned round = 0; round < 60; round++) {
			uint32_t len = (uint32_t)rand() % (round % 2 ? 500 : 60);
			uint8_t *item = malloc(len ? len : 1);

			for (uint32_t i = 0; i < len; i++)
				item[i] = (uint8_t)(rand() % 3 ? 0 : rand());
			walk((uint8_t)type, objectids[round % 3], round % 2, item, len);
			free(item);
		}
}

static void blocks(void **state)
{
	uint8_t *block = calloc(1, 4096);
	struct btrfs_leaf *leaf = (void *)block;
	struct btrfs_node *node = (void *)block;
	const struct btrfs_key key = { 5, BTRFS_BLOCK_GROUP_ITEM_KEY, 0 };
	struct seen s = { .start = block };

	leaf->header.nritems = le32_make(3);
	for (unsigned i = 0; i < 3; i++) {
		leaf->items[i].key = btrfs_disk_key_make(&key);
		leaf->items[i].offset = le32_make(3995 - 24 * (i + 1));
		leaf->items[i].size = le32_make(24);
	}
	leaf->items[1].offset = le32_make(3990); /* outside: left out */
	assert_int_equal(btrfs_fields_walk_block(block, 4096, see, &s), 0);
	assert_string_equal(s.text, "header:101 item:25 block_group_item:24 item:25 item:25 "
				    "block_group_item:24");
	leaf->header.nritems = le32_make(UINT32_MAX);
	memset(&s, 0, sizeof(s));
	s.start = block;
	assert_int_equal(btrfs_fields_walk_block(block, 4096, see, &s), 0);
	/* 159 item headers and one cut off: the walk ends with the block, whatever nritems says */
	assert_int_equal(s.end, 4096);

	memset(block, 0, 4096);
	node->header.level = 2;
	node->header.nritems = le32_make(2);
	memset(&s, 0, sizeof(s));
	s.start = block;
	s.contiguous = true;
	assert_int_equal(btrfs_fields_walk_block(block, 4096, see, &s), 0);
	assert_string_equal(s.text, "header:101 key_ptr:33 key_ptr:33");
	memset(&s, 0, sizeof(s));
	s.start = block;
	s.stop_after = 2;
	assert_int_equal(btrfs_fields_walk_block(block, 4096, see, &s), 42);
	assert_int_equal(s.calls, 2);
	free(block);
}

static void superblock(void **state)
{
	static struct btrfs_super_block sb;
	struct btrfs_chunk *chunk = (void *)(sb.sys_chunk_array + 17);
	struct seen s = { .start = (void *)&sb };

	chunk->num_stripes = le16_make(1);
	sb.sys_chunk_array_size = le32_make(97);
	assert_int_equal(btrfs_fields_walk_super(&sb, see, &s), 0);
	assert_string_equal(s.text, "super_block:4096 disk_key:17 chunk:48 stripe:32");
	sb.sys_chunk_array_size = le32_make(UINT32_MAX);
	chunk->num_stripes = le16_make(65535);
	memset(&s, 0, sizeof(s));
	s.start = (void *)&sb;
	assert_int_equal(btrfs_fields_walk_super(&sb, see, &s), 0);
	assert_int_equal(s.end, offsetof(struct btrfs_super_block, super_roots));
}

struct cover {
	uint8_t hit[5000];
	uint32_t end;
	unsigned calls;
};

static int cover(void *arg, const struct btrfs_field *parent, const struct btrfs_field *f,
		 uint32_t offset, uint32_t size)
{
	struct cover *c = arg;

	assert_null(f->sub);
	assert_int_equal(offset, c->end);
	c->end += size;
	for (uint32_t i = 0; i < size; i++)
		c->hit[offset + i]++;
	c->calls++;
	if (parent && strcmp(f->name, "nsec") == 0)
		assert_int_equal(parent->kind, BTRFS_FIELD_TIME);
	return 0;
}

static void flatten_reaches_every_byte(void **state)
{
	static struct cover c;

	for (unsigned n = 0; btrfs_descs[n]; n++) {
		uint32_t len = btrfs_descs[n]->size ? btrfs_descs[n]->size : 77;

		memset(&c, 0, sizeof(c));
		assert_int_equal(btrfs_fields_flatten(btrfs_descs[n], len, cover, &c), 0);
		for (uint32_t i = 0; i < len; i++)
			assert_int_equal(c.hit[i], 1);
		assert_int_equal(c.hit[len], 0);
	}
	/* cut off in the middle of a field: that field is left out */
	memset(&c, 0, sizeof(c));
	assert_int_equal(btrfs_fields_flatten(&btrfs_desc_disk_key, 12, cover, &c), 0);
	assert_int_equal(c.end, 9);
	memset(&c, 0, sizeof(c));
	btrfs_fields_flatten(&btrfs_desc_super_block, 4096, cover, &c);
	assert_true(c.calls > 150);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tables_leave_no_gap),
		cmocka_unit_test(rows_of_names),
		cmocka_unit_test(extents),
		cmocka_unit_test(other_items),
		cmocka_unit_test(any_bytes),
		cmocka_unit_test(blocks),
		cmocka_unit_test(superblock),
		cmocka_unit_test(flatten_reaches_every_byte),
	};

	return cmocka_run_group_tests_name("fields", tests, NULL, NULL);
}
