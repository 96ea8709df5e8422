// SPDX-License-Identifier: GPL-2.0-or-later
/* Node ids: unique, reversible, the same each time; and what does not fit into the packed form. */
#include "fuse/nodeid.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#define HIGH (1ull << 63)

static const struct eng_ino top = { 5, 256 };

static struct nodeids *make(struct eng_ino root)
{
	struct nodeids *ids;

	assert_int_equal(nodeids_create(root, &ids), 0);
	return ids;
}

/* Adds an inode, and sees that it is found again. Returns its number. */
static uint64_t add(struct nodeids *ids, uint64_t subvol, uint64_t ino, uint64_t stub_key)
{
	struct eng_attr attr = { .id = { subvol, ino },
				 .stub_key = stub_key,
				 .mode = S_IFDIR | 0711 };
	const struct eng_attr *stub;
	uint64_t number, nodeid;
	struct eng_ino id;

	assert_int_equal(nodeid_add(ids, &attr, &number, &nodeid), 0);
	assert_int_equal(nodeid_resolve(ids, nodeid, &id, &stub), 0);
	assert_int_equal(id.subvol, subvol);
	assert_int_equal(id.ino, ino);
	if (stub_key) {
		assert_non_null(stub);
		assert_int_equal(stub->stub_key, stub_key);
		assert_int_equal(stub->mode, attr.mode);
	} else {
		assert_null(stub);
	}
	assert_int_equal(nodeid_number(ids, attr.id, stub_key), number);
	return number;
}

static void test_packed(void **state)
{
	struct nodeids *ids = make(top);

	assert_int_equal(add(ids, 5, 256, 0), 256);
	assert_int_equal(add(ids, 5, (1ull << 40) - 1, 0), (1ull << 40) - 1);
	assert_int_equal(add(ids, 256, 256, 0), 1ull << 40 | 256);
	assert_int_equal(add(ids, 257, 300, 0), 2ull << 40 | 300);
	assert_int_equal(add(ids, (1 << 23) + 254, 256, 0), ((1ull << 23) - 1) << 40 | 256);
	assert_int_equal(nodeids_kept(ids), 0);
	nodeids_destroy(ids);
}

static void test_high(void **state)
{
	static const struct {
		uint64_t subvol, ino, stub_key;
	} odd[] = {
		{ 5, 1ull << 40, 0 },
		{ 5, UINT64_MAX - 1, 0 },
		{ (1 << 23) + 255, 256, 0 },
		{ UINT64_MAX - 256, 256, 0 },
		{ 6, 256, 0 }, /* no subvolume's id */
		{ 5, 1, 0 },   /* would be FUSE's root */
		{ 5, 0, 0 },
		{ 256, 2, 257 },
		{ 256, 2, 258 },
		{ 257, 2, 257 },
	};
	enum { nr = sizeof(odd) / sizeof(odd[0]) };
	struct nodeids *ids = make(top), *again = make(top);
	uint64_t numbers[nr];

	for (size_t i = 0; i < nr; i++) {
		/* The number is known before the entry is. */
		uint64_t before = nodeid_number(ids, (struct eng_ino){ odd[i].subvol, odd[i].ino },
						odd[i].stub_key);

		numbers[i] = add(ids, odd[i].subvol, odd[i].ino, odd[i].stub_key);
		assert_int_equal(before, numbers[i]);
		assert_true(numbers[i] & HIGH);
		for (size_t k = 0; k < i; k++)
			assert_int_not_equal(numbers[k], numbers[i]);
	}
	assert_int_equal(nodeids_kept(ids), nr);
	/* In another mount, met in another order. */
	for (unsigned i = nr; i-- > 0;)
		assert_int_equal(add(again, odd[i].subvol, odd[i].ino, odd[i].stub_key), numbers[i]);
	nodeids_destroy(again);
	nodeids_destroy(ids);
}

static void test_root(void **state)
{
	const struct eng_attr root = { .id = { 300, 256 } };
	struct nodeids *ids = make(root.id);
	const struct eng_attr *stub;
	uint64_t number, nodeid;
	struct eng_ino id;

	assert_int_equal(nodeid_add(ids, &root, &number, &nodeid), 0);
	assert_int_equal(nodeid, 1);
	assert_int_equal(number, 45ull << 40 | 256);
	assert_int_equal(nodeid_resolve(ids, 1, &id, &stub), 0);
	assert_int_equal(id.subvol, 300);
	assert_int_equal(id.ino, 256);
	nodeids_destroy(ids);
}

static void test_never_given(void **state)
{
	static const uint64_t wrong[] = { 0, 2, 255, 1ull << 40, HIGH, HIGH | 5, UINT64_MAX };
	struct nodeids *ids = make(top);
	const struct eng_attr *stub;
	struct eng_ino id;

	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
			assert_int_equal(nodeid_resolve(ids, wrong[i], &id, &stub), -ESTALE);
		add(ids, 5, 1ull << 41, 0);
	}
	nodeids_destroy(ids);
}

/* The table grows; entries stay where they can be found, and one that is met again is not added
 * again. */
static void test_many(void **state)
{
	struct nodeids *ids = make(top);

	for (int round = 0; round < 2; round++) {
		for (uint64_t i = 0; i < 20000; i++)
			add(ids, 5, (1ull << 40) + i * 4096, 0);
		assert_int_equal(nodeids_kept(ids), 20000);
	}
	nodeids_destroy(ids);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_packed), cmocka_unit_test(test_high),
		cmocka_unit_test(test_root),   cmocka_unit_test(test_never_given),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
