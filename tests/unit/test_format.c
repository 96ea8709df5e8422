// SPDX-License-Identifier: GPL-2.0-or-later
/* Our constants and structures against those of the system's linux/btrfs_tree.h; keys and
 * accessors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "ondisk/format.h"
#include "tests/unit/format_pairs.h"

/* The header of Linux 6.1 gives this many; a parser that finds nothing must not pass. */
#define PAIRS_AT_LEAST 550

static void agrees_with_linux(void **state)
{
	unsigned n, wrong = 0;

	for (n = 0; pairs_ours[n].name; n++) {
		assert_non_null(pairs_linux[n].name);
		assert_string_equal(pairs_ours[n].name, pairs_linux[n].name);
		if (pairs_ours[n].value == pairs_linux[n].value)
			continue;
		print_error("%s: ours %llu, linux %llu\n", pairs_ours[n].name, pairs_ours[n].value,
			    pairs_linux[n].value);
		wrong++;
	}
	assert_null(pairs_linux[n].name);
	print_message("%u constants, sizes and offsets compared\n", n);
	assert_int_equal(wrong, 0);
	assert_true(n >= PAIRS_AT_LEAST);
}

static void super_copies(void **state)
{
	assert_true(btrfs_sb_offset(0) == 65536);
	assert_true(btrfs_sb_offset(1) == 64ULL << 20);
	assert_true(btrfs_sb_offset(2) == 256ULL << 30);
}

static void keys_compare(void **state)
{
	const struct btrfs_key keys[] = { { 0, 0, 1 },
					  { 0, 1, 0 },
					  { 1, 0, 0 },
					  { 1, 12, 300 },
					  { 1, 13, 0 },
					  { 256, 1, 0 },
					  { BTRFS_ORPHAN_OBJECTID, 48, 5 },
					  { UINT64_MAX, 255, 0 } };
	const int n = sizeof(keys) / sizeof(keys[0]);

	for (int i = 0; i < n; i++)
		for (int j = 0; j < n; j++) {
			int cmp = btrfs_key_cmp(&keys[i], &keys[j]);

			assert_int_equal((cmp > 0) - (cmp < 0), (i > j) - (i < j));
		}
}

static void keys_on_disk(void **state)
{
	const struct btrfs_key key = { 0x0102030405060708ULL, 0x84, 0xfffffffffffffff7ULL };
	const uint8_t bytes[17] = { 8,	  7,	6,    5,    4,	  3,	2,    1,   0x84,
				    0xf7, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	struct btrfs_disk_key dk = btrfs_disk_key_make(&key);
	struct btrfs_key back = btrfs_disk_key_get(&dk);

	assert_memory_equal(&dk, bytes, sizeof(bytes));
	assert_int_equal(btrfs_key_cmp(&key, &back), 0);
}

static void fs_trees(void **state)
{
	assert_true(btrfs_is_fstree(BTRFS_FS_TREE_OBJECTID));
	assert_true(btrfs_is_fstree(256));
	assert_true(btrfs_is_fstree((1ULL << 48) - 1));
	assert_false(btrfs_is_fstree(255));
	assert_false(btrfs_is_fstree(BTRFS_ROOT_TREE_OBJECTID));
	assert_false(btrfs_is_fstree(1ULL << 48));
	assert_false(btrfs_is_fstree(BTRFS_DATA_RELOC_TREE_OBJECTID));
	assert_false(btrfs_is_fstree(BTRFS_TREE_LOG_OBJECTID));
}

static void leaf_and_node_accessors(void **state)
{
	uint8_t block[4096] = { 0 };
	struct btrfs_leaf *leaf = (void *)block;
	struct btrfs_node *node = (void *)block;
	const struct btrfs_key key = { 257, BTRFS_DIR_ITEM_KEY, 99 };

	leaf->header.nritems = le32_make(2);
	leaf->header.owner = le64_make(5);
	leaf->header.flags =
		le64_make(BTRFS_HEADER_FLAG_WRITTEN | (uint64_t)BTRFS_MIXED_BACKREF_REV
							      << BTRFS_BACKREF_REV_SHIFT);
	leaf->items[1].key = btrfs_disk_key_make(&key);
	leaf->items[1].offset = le32_make(3000);
	leaf->items[1].size = le32_make(30);
	assert_int_equal(btrfs_header_nritems(block), 2);
	assert_int_equal(btrfs_header_owner(block), 5);
	assert_int_equal(btrfs_header_flags(block), BTRFS_HEADER_FLAG_WRITTEN);
	assert_int_equal(btrfs_header_backref_rev(block), BTRFS_MIXED_BACKREF_REV);
	assert_ptr_equal(btrfs_item_ptr(block, 1), block + 101 + 3000);
	assert_int_equal(btrfs_item_size(block, 1), 30);
	assert_int_equal(btrfs_block_key(block, 1).offset, 99);

	memset(block, 0, sizeof(block));
	node->header.level = 1;
	node->ptrs[3].key = btrfs_disk_key_make(&key);
	node->ptrs[3].blockptr = le64_make(30408704);
	node->ptrs[3].generation = le64_make(7);
	assert_int_equal(btrfs_node_blockptr(block, 3), 30408704);
	assert_int_equal(btrfs_node_generation(block, 3), 7);
	assert_int_equal(btrfs_block_key(block, 3).objectid, 257);
	assert_int_equal(btrfs_node_max_ptrs(16384), 493);
	assert_int_equal(btrfs_leaf_data_size(16384), 16283);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_linux), cmocka_unit_test(super_copies),
		cmocka_unit_test(keys_compare),	     cmocka_unit_test(keys_on_disk),
		cmocka_unit_test(fs_trees),	     cmocka_unit_test(leaf_and_node_accessors),
	};

	return cmocka_run_group_tests_name("format", tests, NULL, NULL);
}
