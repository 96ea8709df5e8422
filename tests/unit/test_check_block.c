// SPDX-License-Identifier: GPL-2.0-or-later
/* Headers, nodes and the layout of leaves: good ones pass, and each rule, broken alone, is named.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/checkbuild.h"

/* A leaf of a subvolume with three items of a type that has no rules of its own. */
static void three_items(struct cb *b, uint32_t nodesize)
{
	cb_init(b, nodesize, 0, BTRFS_FS_TREE_OBJECTID);
	cb_add(b, 256, BTRFS_STRING_ITEM_KEY, 0, "first", 5);
	cb_add(b, 257, BTRFS_STRING_ITEM_KEY, 1, NULL, 0);
	cb_add(b, 257, BTRFS_STRING_ITEM_KEY, 2, "third item", 10);
}

static void header(void **state)
{
	struct cb b;
	struct btrfs_header *h;

	three_items(&b, 16384);
	h = cb_header(&b);
	b.expect.owner = BTRFS_FS_TREE_OBJECTID;
	b.expect.generation = CB_GENERATION;
	b.expect.level = 0;
	cb_good(&b);
	CB_BROKEN(&b, h->bytenr, CB_LOGICAL + 4096, -1, "bytenr is 30412800, expected 30408704");
	CB_BROKEN(&b, h->fsid, 1, -1,
		  "fsid is 01000000-0000-0000-0000-000000000000, expected 11111111-");
	CB_BROKEN(&b, h->level, 8, -1, "level is 8, expected 0 to 7");
	CB_BROKEN(&b, h->level, 1, -1, "level is 1, expected 0");
	CB_BROKEN(&b, h->generation, CB_GENERATION - 1, -1, "generation is 19, expected 20");
	CB_BROKEN(&b, h->owner, BTRFS_ROOT_TREE_OBJECTID, -1,
		  "owner is 1, expected a subvolume as 5");
	CB_BROKEN(&b, h->flags, 0, -1, "expected WRITTEN");
	CB_LEGAL(&b, h->owner, 257);
	assert_false(b.err.csum || b.err.transid);
	cb_free(&b);
}

static void what_is_not_expected_is_not_checked(void **state)
{
	struct cb b;
	struct btrfs_header *h;

	three_items(&b, 4096);
	h = cb_header(&b);
	CB_LEGAL(&b, h->generation, 3);
	CB_LEGAL(&b, h->owner, BTRFS_CSUM_TREE_OBJECTID);
	CB_LEGAL(&b, h->generation, CB_GENERATION + 1); /* log trees are ahead by one */
	CB_BROKEN(&b, h->generation, CB_GENERATION + 2, -1, "newer than the superblock's 20");
	cb_free(&b);
}

static void owners(void **state)
{
	struct cb b;

	three_items(&b, 4096);
	b.expect.owner = 300; /* snapshots share blocks */
	cb_good(&b);
	b.expect.owner = BTRFS_TREE_LOG_OBJECTID; /* these carry other names */
	cb_good(&b);
	b.expect.owner = BTRFS_TREE_RELOC_OBJECTID;
	cb_good(&b);
	b.expect.owner = BTRFS_CSUM_TREE_OBJECTID;
	cb_bad(&b, -1, "owner is 5, expected 7");
	b.expect.owner = BTRFS_DATA_RELOC_TREE_OBJECTID;
	cb_bad(&b, -1, "owner is 5, expected 18446744073709551607");
	cb_free(&b);
}

static void checksums(void **state)
{
	const unsigned types[] = { BTRFS_CSUM_TYPE_CRC32, BTRFS_CSUM_TYPE_XXHASH,
				   BTRFS_CSUM_TYPE_SHA256, BTRFS_CSUM_TYPE_BLAKE2 };
	struct cb b;

	three_items(&b, 8192);
	for (unsigned i = 0; i < 4; i++) {
		b.geo.csum_type = (uint16_t)types[i];
		b.geo.csum_size = (uint16_t)btrfs_csum_size(types[i]);
		cb_good(&b);
		b.block[8191] ^= 1;
		assert_int_not_equal(btrfs_check_block(b.block, &b.geo, &b.expect, &b.err), 0);
		assert_true(b.err.csum);
		assert_int_equal(b.err.slot, -1);
		assert_non_null(strstr(b.err.reason, "checksum is 0x"));
		b.geo.ignore_csum = true;
		assert_int_equal(btrfs_check_block(b.block, &b.geo, &b.expect, &b.err), 0);
		b.geo.ignore_csum = false;
		b.block[8191] ^= 1;
	}
	cb_free(&b);
}

static void lost_writes_are_told(void **state)
{
	struct cb b;

	three_items(&b, 4096);
	b.expect.generation = 19;
	cb_bad(&b, -1, "generation is 20, expected 19");
	assert_true(b.err.transid);
	assert_false(b.err.csum);
	cb_free(&b);
}

static void seeds(void **state)
{
	static const uint8_t fsids[2][16] = { { 1, 2, 3 }, { 4, 5, 6 } };
	struct cb b;

	three_items(&b, 4096);
	memcpy(cb_header(&b)->fsid, fsids[1], 16);
	cb_bad(&b, -1, "fsid is 04050600-");
	b.geo.seed_fsids = fsids;
	b.geo.seed_fsids_nr = 2;
	cb_good(&b);
	cb_free(&b);
}

static void first_key(void **state)
{
	struct cb b;

	three_items(&b, 4096);
	b.expect.have_first_key = true;
	b.expect.first_key = (struct btrfs_key){ 256, BTRFS_STRING_ITEM_KEY, 0 };
	cb_good(&b);
	b.expect.first_key.offset = 1;
	cb_bad(&b, 0, "not the first key that the parent has: (256 253 1)");
	cb_free(&b);

	cb_init(&b, 4096, 0, BTRFS_CSUM_TREE_OBJECTID);
	cb_good(&b);
	b.expect.have_first_key = true;
	cb_bad(&b, -1, "nritems is 0, expected a first key");
	cb_free(&b);
}

static void leaf_layout(void **state)
{
	struct cb b;

	for (uint32_t nodesize = 4096; nodesize <= 65536; nodesize *= 2) {
		three_items(&b, nodesize);
		cb_good(&b);
		CB_BROKEN(&b, cb_item(&b, 0)->size, 6, 0, "item data ends at");
		CB_BROKEN(&b, cb_item(&b, 1)->size, 1, 1, "item data ends at");
		CB_BROKEN(&b, cb_item(&b, 1)->offset, 0, 1, "item data ends at 0");
		CB_BROKEN(&b, cb_item(&b, 2)->size, UINT32_MAX, 2, "item data ends at");
		CB_BROKEN(&b, cb_item(&b, 2)->offset, UINT32_MAX, 2, "item data ends at");
		CB_BROKEN(&b, cb_item(&b, 1)->key.objectid, 255, 1,
			  "key order: previous is (256 253 0)");
		CB_BROKEN(&b, cb_item(&b, 2)->key.offset, 1, 2, "key order");
		CB_BROKEN(&b, cb_item(&b, 0)->key, 0, 0, "key order: previous is (0 0 0)");
		CB_BROKEN(&b, cb_header(&b)->nritems, nodesize / 25 + 1, -1, "expected at most");
		CB_BROKEN(&b, cb_header(&b)->nritems, UINT32_MAX, -1, "expected at most");
		CB_BROKEN(&b, cb_header(&b)->nritems, 4, 3, "key order");
		cb_free(&b);
	}
}

/* The last item's data may touch the headers, and no more. */
static void full_leaf(void **state)
{
	struct cb b;
	uint32_t room = btrfs_leaf_data_size(4096) - 25;

	cb_init(&b, 4096, 0, BTRFS_FS_TREE_OBJECTID);
	cb_add(&b, 256, BTRFS_STRING_ITEM_KEY, 0, NULL, room);
	cb_good(&b);
	cb_item(&b, 0)->offset = le32_make(24);
	cb_item(&b, 0)->size = le32_make(room + 1);
	cb_bad(&b, 0, "past the item headers at 25");
	cb_free(&b);
}

static void empty_leaves(void **state)
{
	static const uint64_t never[] = {
		BTRFS_ROOT_TREE_OBJECTID, BTRFS_EXTENT_TREE_OBJECTID, BTRFS_CHUNK_TREE_OBJECTID,
		BTRFS_DEV_TREE_OBJECTID,  BTRFS_FS_TREE_OBJECTID,     BTRFS_DATA_RELOC_TREE_OBJECTID
	};
	struct cb b;

	cb_init(&b, 4096, 0, BTRFS_CSUM_TREE_OBJECTID);
	cb_good(&b);
	for (unsigned i = 0; i < sizeof(never) / sizeof(never[0]); i++)
		CB_BROKEN(&b, cb_header(&b)->owner, never[i], -1, "which is never empty");
	CB_BROKEN(&b, cb_header(&b)->owner, 0, -1, "owner is 0");
	cb_header(&b)->owner = le64_make(BTRFS_EXTENT_TREE_OBJECTID);
	b.geo.incompat |= BTRFS_FEATURE_INCOMPAT_EXTENT_TREE_V2;
	cb_good(&b);
	cb_header(&b)->owner = le64_make(BTRFS_FS_TREE_OBJECTID);
	cb_bad(&b, -1, "which is never empty");
	cb_header(&b)->flags = le64_make(BTRFS_HEADER_FLAG_WRITTEN | BTRFS_HEADER_FLAG_RELOC);
	cb_good(&b);
	cb_free(&b);
}

static void nodes(void **state)
{
	struct cb b;
	struct btrfs_key_ptr *ptr[3];

	cb_init(&b, 4096, 2, BTRFS_FS_TREE_OBJECTID);
	cb_bad(&b, -1, "nritems is 0, expected 1 to 121");
	ptr[0] = cb_add_ptr(&b, 256, 1, 0, 30425088, 5);
	ptr[1] = cb_add_ptr(&b, 256, 12, 7, 30441472, CB_GENERATION);
	ptr[2] = cb_add_ptr(&b, 300, 1, 0, 30457856, 1);
	b.expect.level = 2;
	cb_good(&b);
	for (int i = 0; i < 3; i++) {
		CB_BROKEN(&b, ptr[i]->blockptr, 0, i, "block pointer is 0");
		CB_BROKEN(&b, ptr[i]->blockptr, 30425089, i, "not a multiple of the sector size");
		CB_BROKEN(&b, ptr[i]->generation, CB_GENERATION + 1, i,
			  "generation of the pointer is 21");
		CB_BROKEN(&b, ptr[i]->generation, 0, i, "generation of the pointer is 0");
	}
	cb_free(&b);
}

static void node_key_order(void **state)
{
	struct cb b;
	struct btrfs_key_ptr *ptr;

	cb_init(&b, 4096, 1, BTRFS_FS_TREE_OBJECTID);
	cb_add_ptr(&b, 256, 12, 0, 30425088, 5);
	ptr = cb_add_ptr(&b, 256, 12, 7, 30441472, 5);
	cb_good(&b);
	CB_BROKEN(&b, ptr->key.offset, 0, 1, "key order: previous is (256 12 0)");
	CB_BROKEN(&b, ptr->key.type, 11, 1, "key order");
	CB_BROKEN(&b, ptr->key.objectid, 255, 1, "key order");
	CB_BROKEN(&b, cb_header(&b)->nritems, 122, -1, "nritems is 122, expected 1 to 121");
	cb_free(&b);
}

static void errors_as_text(void **state)
{
	struct btrfs_check_error err = { .level = 0, .slot = 3, .reason = "why" };
	char buf[200];
	struct text t = TEXT_FIXED(buf);

	err.key = (struct btrfs_key){ 256, BTRFS_INODE_ITEM_KEY, 0 };
	btrfs_check_error_to_text(&t, 30408704, &err);
	assert_string_equal(text_done(&t), "leaf 30408704 slot 3 key (256 INODE_ITEM 0): why");
	err.level = 2;
	t = (struct text)TEXT_FIXED(buf);
	btrfs_check_error_to_text(&t, 1, &err);
	assert_string_equal(text_done(&t), "node 1 slot 3 key (256 INODE_ITEM 0): why");
	err.slot = -1;
	t = (struct text)TEXT_FIXED(buf);
	btrfs_check_error_to_text(&t, 1, &err);
	assert_string_equal(text_done(&t), "block 1: why");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(header),
		cmocka_unit_test(what_is_not_expected_is_not_checked),
		cmocka_unit_test(owners),
		cmocka_unit_test(checksums),
		cmocka_unit_test(lost_writes_are_told),
		cmocka_unit_test(seeds),
		cmocka_unit_test(first_key),
		cmocka_unit_test(leaf_layout),
		cmocka_unit_test(full_leaf),
		cmocka_unit_test(empty_leaves),
		cmocka_unit_test(nodes),
		cmocka_unit_test(node_key_order),
		cmocka_unit_test(errors_as_text),
	};

	return cmocka_run_group_tests_name("check_block", tests, NULL, NULL);
}
