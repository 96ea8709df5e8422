// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Printers on items that no image of the interop suite holds, on times around the zone's changes,
 * and on damaged blocks: whatever the bytes, nothing outside the block is read (the block ends
 * where its allocation ends, so that a sanitizer sees it).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ondisk/print.h"

#define NODESIZE 4096

static char out[1 << 20];
static unsigned problems;

static void count_problem(void *arg, const char *text)
{
	assert_true(strlen(text) > 10);
	problems++;
}

static void printer(struct btrfs_print *p, struct text *t)
{
	struct btrfs_geometry geo = {.nodesize = NODESIZE, .sectorsize = 4096, .csum_size = 4};

	*t = (struct text)TEXT_FIXED(out);
	btrfs_print_init(p, t, &geo);
	p->problem = count_problem;
	p->csum_items = true;
	problems = 0;
}

/* A leaf of one item. */
static uint8_t *leaf_of(struct btrfs_key key, const void *data, uint32_t len)
{
	uint8_t *b = calloc(1, NODESIZE);
	struct btrfs_leaf *leaf = (void *)b;

	assert_non_null(b);
	leaf->header.nritems = le32_make(1);
	leaf->items[0].key = btrfs_disk_key_make(&key);
	leaf->items[0].offset = le32_make(NODESIZE - (uint32_t)sizeof(struct btrfs_header) - len);
	leaf->items[0].size = le32_make(len);
	memcpy(b + NODESIZE - len, data, len);
	return b;
}

/* What follows the item's key line. */
static const char *item_text(struct btrfs_key key, const void *data, uint32_t len)
{
	uint8_t *leaf = leaf_of(key, data, len);
	struct btrfs_print p;
	struct text t;
	const char *s;

	printer(&p, &t);
	btrfs_print_block(&p, leaf, 0);
	free(leaf);
	s = strstr(text_done(&t), "\titem 0 ");
	assert_non_null(s);
	return strchr(s, '\n') + 1;
}

static void test_rare_items(void **state)
{
	struct btrfs_raid_stride strides[2] = {{le64_make(1), le64_make(1048576)},
					       {le64_make(2), le64_make(UINT64_MAX)}};
	struct btrfs_dev_replace_item r = {.src_devid = le64_make(3),
					   .cont_reading_from_srcdev_mode = le64_make(7),
					   .replace_state = le64_make(4),
					   .time_started = le64_make(1700000000)};
	struct btrfs_qgroup_status_item q = {.version = le64_make(1), .flags = le64_make(0x16)};
	uint64_t stats[7] = {1, 2, 3, 4, 5, 6, 7};

	assert_string_equal(item_text((struct btrfs_key){4096, BTRFS_RAID_STRIPE_KEY, 8192},
				      strides, sizeof(strides)),
			    "\t\t\tstripe 0 devid 1 physical 1048576\n"
			    "\t\t\tstripe 1 devid 2 physical 18446744073709551615\n");
	assert_string_equal(
		item_text((struct btrfs_key){0, BTRFS_DEV_REPLACE_KEY, 0}, &r, sizeof(r)),
		"\t\tsrc devid 3 cursor left 0 cursor right 0 mode unknown(7)\n"
		"\t\tstate SUSPENDED write errors 0 uncorrectable read errors 0\n"
		"\t\tstart time 1700000000 (2023-11-14 22:13:20)\n"
		"\t\tstop time 1700000000 (2023-11-14 22:13:20)\n");
	assert_string_equal(
		item_text((struct btrfs_key){0, BTRFS_QGROUP_STATUS_KEY, 0}, &q, 32),
		"\t\tversion 1 generation 0 flags OFF|SCANNING|INCONSISTENT|UNKNOWN(0x10) "
		"scan 0\n");
	assert_string_equal(
		item_text((struct btrfs_key){-13ULL, BTRFS_TEMPORARY_ITEM_KEY, 1}, "", 0),
		"\t\ttemporary item objectid CSUM_CHANGE offset 1\n"
		"\t\ttarget csum type xxhash64 (1)\n");
	assert_string_equal(
		item_text((struct btrfs_key){0, BTRFS_PERSISTENT_ITEM_KEY, 1}, stats,
			  sizeof(stats)),
		"\t\tpersistent item objectid DEV_STATS offset 1\n\t\tdevice stats\n"
		"\t\twrite_errs 1 read_errs 2 flush_errs 3 corruption_errs 4 generation 5\n"
		"\t\tunknown stats item bytes 16\t\tunknown item 5 offset 40 value 6\n"
		"\t\tunknown item 6 offset 48 value 7\n");
	assert_string_equal(item_text((struct btrfs_key){1, 200, 2}, "", 0),
			    "\t\tfree space bitmap\n");
	assert_string_equal(item_text((struct btrfs_key){1, BTRFS_STRING_ITEM_KEY, 2}, "word", 4),
			    "\t\titem data word\n");
	assert_int_equal(problems, 0);
}

static void test_short_item(void **state)
{
	const char *s = item_text((struct btrfs_key){256, BTRFS_INODE_ITEM_KEY, 0}, "\5\0\0", 3);

	assert_int_equal(problems, 1);
	assert_int_equal(strncmp(s, "\t\tgeneration 5 transid 0 ", 25), 0);
}

/* Against libc, around changes of the offset and at the ends of what we do ourselves. */
static void times_in(const char *zone)
{
	static const int64_t around[] = {0,	     86399,	   86400,	 951782400,
					 1078012800, 1143331200,   1711846800,	 1730595600,
					 4102444800, 253370764799, 253370764801, -1,
					 -2208988800};

	setenv("TZ", zone, 1);
	tzset();
	for (size_t i = 0; i < sizeof(around) / sizeof(*around); i++) {
		for (int64_t d = -7200; d <= 7200; d += 899) {
			struct btrfs_inode_item ii = {
				.atime = {le64_make((uint64_t)(around[i] + d)), le32_make(7)}};
			time_t when = around[i] + d;
			char want[128], date[64];
			struct tm tm;

			localtime_r(&when, &tm);
			strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", &tm);
			snprintf(want, sizeof(want), "\t\tatime %llu.7 (%s)\n",
				 (unsigned long long)when, date);
			assert_non_null(
				strstr(item_text((struct btrfs_key){256, BTRFS_INODE_ITEM_KEY, 0},
						 &ii, sizeof(ii)),
				       want));
		}
	}
}

static void test_times(void **state)
{
	times_in("UTC");
	times_in("America/St_Johns");
	times_in("Australia/Lord_Howe");
	times_in("UTC");
}

static void test_keys(void **state)
{
	static const struct {
		struct btrfs_key key;
		const char *text;
	} keys[] = {
		{{256, BTRFS_INODE_ITEM_KEY, 0}, "(256 INODE_ITEM 0)"},
		{{256, BTRFS_CHUNK_ITEM_KEY, 5}, "(FIRST_CHUNK_TREE CHUNK_ITEM 5)"},
		{{1, BTRFS_DEV_ITEM_KEY, 2}, "(DEV_ITEMS DEV_ITEM 2)"},
		{{1, BTRFS_DEV_EXTENT_KEY, 2}, "(1 DEV_EXTENT 2)"},
		{{-8ULL, BTRFS_ROOT_ITEM_KEY, 5}, "(TREE_RELOC ROOT_ITEM FS_TREE)"},
		{{300, BTRFS_ROOT_ITEM_KEY, 5}, "(300 ROOT_ITEM 5)"},
		{{1ULL << 48 | 7, BTRFS_QGROUP_RELATION_KEY, 9}, "(1/7 QGROUP_RELATION 0/9)"},
		{{255, BTRFS_UUID_KEY_SUBVOL, 16},
		 "(0x00000000000000ff UUID_KEY_SUBVOL 0x0000000000000010)"},
		{{-11ULL, 0, 77}, "(FREE_SPACE UNTYPED 77)"},
		{{UINT64_MAX, 99, UINT64_MAX}, "(-1 UNKNOWN.99 -1)"},
	};

	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		char buf[128];
		struct text t = TEXT_FIXED(buf);

		btrfs_key_to_text(&t, &keys[i].key);
		assert_string_equal(text_done(&t), keys[i].text);
	}
}

static uint32_t rnd_state = 1;

static uint32_t rnd(void)
{
	rnd_state = rnd_state * 1664525 + 1013904223;
	return rnd_state >> 8;
}

/* Leaves with sane item tables and wild items of every type, then wild tables too. */
static void test_damage(void **state)
{
	static const uint32_t lens[] = {0, 1, 3, 8, 17, 24, 33, 53, 80, 161, 440, 1000};

	for (unsigned round = 0; round < 20000; round++) {
		struct btrfs_key key = {rnd() % 4 ? rnd() : -(uint64_t)(rnd() % 16), (uint8_t)rnd(),
					rnd()};
		uint32_t len = lens[rnd() % (sizeof(lens) / sizeof(*lens))];
		uint8_t data[1000], *leaf;
		struct btrfs_print p;
		struct text t;

		for (uint32_t i = 0; i < len; i++)
			data[i] = rnd() % 3 ? 0 : (uint8_t)rnd();
		leaf = leaf_of(key, data, len);
		if (round % 4 == 0)
			for (unsigned i = 0; i < 8; i++)
				leaf[sizeof(struct btrfs_header) - 5 + rnd() % 40] = (uint8_t)rnd();
		printer(&p, &t);
		btrfs_print_block(&p, leaf, 12345);
		assert_int_equal(t.err, 0);
		free(leaf);
	}
}

static void test_damaged_super(void **state)
{
	struct btrfs_super_block *sb = malloc(sizeof(*sb));

	assert_non_null(sb);
	for (unsigned round = 0; round < 2000; round++) {
		struct btrfs_print p;
		struct text t;

		for (size_t i = 0; i < sizeof(*sb); i++)
			((uint8_t *)sb)[i] = rnd() % 5 ? 0 : (uint8_t)rnd();
		sb->sys_chunk_array_size = le32_make(rnd() % 2100);
		sb->sys_chunk_array[8] = BTRFS_CHUNK_ITEM_KEY;
		printer(&p, &t);
		btrfs_print_super(&p, sb, true);
		btrfs_print_backups(&p, sb);
	}
	free(sb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rare_items), cmocka_unit_test(test_short_item),
		cmocka_unit_test(test_times),	   cmocka_unit_test(test_keys),
		cmocka_unit_test(test_damage),	   cmocka_unit_test(test_damaged_super),
	};

	setenv("TZ", "UTC", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
