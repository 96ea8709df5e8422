// SPDX-License-Identifier: GPL-2.0-or-later
/* The free-space tree in an array, against an array of sectors. */
#include "engine/util/fault.h"
#include "tests/unit/plants.h"
#include "tests/unit/faketree.h"

#include <assert.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define SECTOR 4096u
#define BASE (1ULL << 30)

struct model {
	struct faketree tree;
	struct fst_ops ops;
	struct fst_group g;
	unsigned sectors, seed;
	uint8_t *is_free;
	unsigned at; /* while loading */
};

static void setup(struct model *m, unsigned sectors)
{
	memset(m, 0, sizeof(*m));
	m->ops = faketree_ops(&m->tree);
	m->g = (struct fst_group){ BASE, (uint64_t)sectors * SECTOR, SECTOR };
	m->sectors = sectors;
	m->seed = 1;
	m->is_free = malloc(sectors);
	assert_non_null(m->is_free);
	memset(m->is_free, 1, sectors);
	assert_int_equal(fst_group_add(&m->ops, &m->g), 0);
}

static void teardown(struct model *m)
{
	faketree_clear(&m->tree);
	free(m->is_free);
}

static int change(struct model *m, unsigned first, unsigned nr, bool to_free)
{
	uint64_t start = BASE + (uint64_t)first * SECTOR, len = (uint64_t)nr * SECTOR;

	memset(m->is_free + first, to_free, nr);
	return to_free ? fst_free(&m->ops, &m->g, start, len) : fst_use(&m->ops, &m->g, start, len);
}

static int flip(struct model *m, unsigned max)
{
	unsigned first = (unsigned)rand_r(&m->seed) % m->sectors, nr = 1;
	unsigned want = 1 + (unsigned)rand_r(&m->seed) % max;

	while (nr < want && first + nr < m->sectors && m->is_free[first + nr] == m->is_free[first])
		nr++;
	return change(m, first, nr, !m->is_free[first]);
}

static unsigned runs(const struct model *m)
{
	unsigned nr = 0;

	for (unsigned i = 0; i < m->sectors; i++)
		nr += m->is_free[i] && (!i || !m->is_free[i - 1]);
	return nr;
}

static struct btrfs_free_space_info info_of(const struct model *m)
{
	struct btrfs_free_space_info info;

	memcpy(&info, m->tree.items[0].data, sizeof(info));
	return info;
}

/* A loaded range: what lies before it is not free, it is, and what comes after is not. */
static int loaded(void *arg, uint64_t start, uint64_t len)
{
	struct model *m = arg;
	unsigned first = (unsigned)((start - BASE) / SECTOR),
		 end = first + (unsigned)(len / SECTOR);

	for (; m->at < first; m->at++)
		if (m->is_free[m->at])
			return -ERANGE;
	for (; m->at < end; m->at++)
		if (!m->is_free[m->at])
			return -ERANGE;
	return end < m->sectors && m->is_free[end] ? -ERANGE : 0;
}

static int disagree(struct model *m)
{
	struct btrfs_free_space_info info = info_of(m);
	int err;

	m->at = 0;
	err = fst_load(&m->ops, &m->g, loaded, m);
	if (err)
		return 1;
	while (m->at < m->sectors)
		if (m->is_free[m->at++])
			return 1;
	return le32_get(info.extent_count) != runs(m);
}

/* Numbers worked out by hand from the format's rule: 281 bytes a bitmap, 25 an extent. */
static void test_thresholds(void **state)
{
	struct fst_group g = { 0, 1ULL << 30, 4096 };
	uint32_t low, high;

	fst_thresholds(&g, &low, &high);
	assert_int_equal(high, 1438);
	assert_int_equal(low, 1338);
	g.len = 8 << 20;
	fst_thresholds(&g, &low, &high);
	assert_int_equal(high, 11);
	assert_int_equal(low, 0);
	g.len += 4096;
	fst_thresholds(&g, &low, &high);
	assert_int_equal(high, 22);
	g = (struct fst_group){ 0, 1ULL << 30, 65536 };
	fst_thresholds(&g, &low, &high);
	assert_int_equal(high, 89);
}

/* The form changes when, and only when, a threshold is passed. */
static void test_switching(void **state)
{
	struct model m;
	uint32_t low, high;
	unsigned nr = 1;

	setup(&m, 2048 * 20 + 77);
	fst_thresholds(&m.g, &low, &high);
	assert_int_equal(high, 236);
	assert_int_equal(low, 136);
	for (; nr <= high; nr++) {
		assert_int_equal(le32_get(info_of(&m).flags), 0);
		assert_int_equal(m.tree.nr, 1 + nr);
		assert_int_equal(change(&m, nr * 2, 1, false), 0);
	}
	assert_int_equal(le32_get(info_of(&m).flags), BTRFS_FREE_SPACE_USING_BITMAPS);
	assert_int_equal(m.tree.nr, 1 + 21);
	assert_int_equal(m.tree.items[21].size, 10);
	assert_int_equal(m.tree.items[21].key.offset, 77 * SECTOR);
	assert_int_equal(disagree(&m), 0);
	for (; nr > low; nr--) {
		assert_int_equal(le32_get(info_of(&m).flags), BTRFS_FREE_SPACE_USING_BITMAPS);
		assert_int_equal(change(&m, (nr - 1) * 2, 1, true), 0);
	}
	assert_int_equal(le32_get(info_of(&m).extent_count), low);
	assert_int_equal(le32_get(info_of(&m).flags), BTRFS_FREE_SPACE_USING_BITMAPS);
	assert_int_equal(change(&m, (nr - 1) * 2, 1, true), 0);
	assert_int_equal(le32_get(info_of(&m).flags), 0);
	assert_int_equal(m.tree.nr, low);
	assert_int_equal(disagree(&m), 0);
	teardown(&m);
}

static int random_life(unsigned sectors, unsigned max, unsigned steps)
{
	struct model m;
	int wrong = 0;

	setup(&m, sectors);
	for (unsigned i = 0; i < steps && !wrong; i++) {
		wrong = flip(&m, max) != 0;
		if (!wrong && (i % 50 == 0 || i + 1 == steps))
			wrong = disagree(&m);
	}
	teardown(&m);
	return wrong;
}

static int short_lives(void)
{
	return random_life(2048 * 3 + 5, 20, 1500) || random_life(2048 * 12, 4, 3000) ||
	       random_life(300, 30, 1500) || random_life(2048 * 9 + 2040, 5000, 1500);
}

static void test_random(void **state)
{
	assert_int_equal(short_lives(), 0);
}

/* Whatever the way, the same free space in the same form is the same items. */
static void test_canonical(void **state)
{
	struct model a, b;
	unsigned i;

	setup(&a, 2048 * 4);
	setup(&b, 2048 * 4);
	for (i = 0; i < 2000; i++)
		assert_int_equal(flip(&a, 40), 0);
	for (i = a.sectors; i-- > 0;)
		if (!a.is_free[i])
			assert_int_equal(change(&b, i, 1, false), 0);
	if (le32_get(info_of(&a).flags) != le32_get(info_of(&b).flags))
		assert_int_equal((le32_get(info_of(&b).flags) ? fst_to_extents
							      : fst_to_bitmaps)(&b.ops, &b.g),
				 0);
	assert_true(faketree_equal(&a.tree, &b.tree));
	/* There and back. */
	for (i = 0; i < 2; i++)
		assert_int_equal((le32_get(info_of(&b).flags) ? fst_to_extents
							      : fst_to_bitmaps)(&b.ops, &b.g),
				 0);
	assert_true(faketree_equal(&a.tree, &b.tree));
	teardown(&a);
	teardown(&b);
}

/* The neighbours' items stay as they are. */
static void test_neighbours(void **state)
{
	struct fst_group below = { BASE - (8 << 20), 8 << 20, SECTOR };
	struct fst_group above = { BASE + 300 * SECTOR, 8 << 20, SECTOR };
	struct faketree before = { 0 };
	struct fst_ops copy = faketree_ops(&before);
	struct model m;

	setup(&m, 300);
	assert_int_equal(fst_group_add(&m.ops, &below), 0);
	assert_int_equal(fst_group_add(&m.ops, &above), 0);
	assert_int_equal(fst_group_add(&copy, &below), 0);
	assert_int_equal(fst_group_add(&copy, &above), 0);
	/* The last sector, where the group above begins, with and without free space before it. */
	for (unsigned nr = 1; nr < 3; nr++) {
		assert_int_equal(change(&m, 300 - nr, nr, false), 0);
		assert_int_equal(change(&m, 299, 1, true), 0);
		if (nr == 2)
			assert_int_equal(change(&m, 298, 1, true), 0);
	}
	for (unsigned i = 0; i < 500; i++)
		assert_int_equal(flip(&m, 10), 0);
	assert_int_equal(fst_group_remove(&m.ops, &m.g), 0);
	assert_true(faketree_equal(&m.tree, &before));
	assert_int_equal(fst_group_remove(&m.ops, &m.g), -EUCLEAN);
	faketree_clear(&before);
	teardown(&m);
}

/* What contradicts itself is refused. */
static void test_contradictions(void **state)
{
	struct btrfs_free_space_info info = { le32_make(9), le32_make(0) };
	struct model m;

	for (unsigned bitmaps = 0; bitmaps < 2; bitmaps++) {
		setup(&m, 4096);
		assert_int_equal(change(&m, 100, 10, false), 0);
		if (bitmaps)
			assert_int_equal(fst_to_bitmaps(&m.ops, &m.g), 0);
		assert_int_equal(fst_use(&m.ops, &m.g, BASE + 105 * SECTOR, SECTOR), -EUCLEAN);
		assert_int_equal(fst_use(&m.ops, &m.g, BASE + 95 * SECTOR, 10 * SECTOR), -EUCLEAN);
		assert_int_equal(fst_free(&m.ops, &m.g, BASE + 108 * SECTOR, 4 * SECTOR), -EUCLEAN);
		assert_int_equal(fst_free(&m.ops, &m.g, BASE - SECTOR, SECTOR), -EUCLEAN);
		assert_int_equal(fst_free(&m.ops, &m.g, BASE + 4090 * SECTOR, 10 * SECTOR),
				 -EUCLEAN);
		assert_int_equal((bitmaps ? fst_to_bitmaps : fst_to_extents)(&m.ops, &m.g),
				 -EUCLEAN);
		assert_int_equal(disagree(&m), 0);
		info.flags = le32_make(bitmaps);
		memcpy(m.tree.items[0].data, &info, sizeof(info));
		assert_int_equal(fst_load(&m.ops, &m.g, loaded, &m), -EUCLEAN);
		info.flags = le32_make(!bitmaps);
		memcpy(m.tree.items[0].data, &info, sizeof(info));
		assert_int_equal(fst_load(&m.ops, &m.g, loaded, &m), -EUCLEAN);
		teardown(&m);
	}
}

/* Every change that fails comes out as its error. */
static void test_errors(void **state)
{
	struct model m;
	unsigned nr;

	for (unsigned n = 1;; n++) {
		int err = 0;

		setup(&m, 2048);
		m.tree.changes = 0;
		m.tree.fail_at = n;
		for (nr = 1; !err && nr < 15; nr++)
			err = change(&m, nr * 2, 1, false);
		teardown(&m);
		if (!err)
			break;
		assert_int_equal(err, -EIO);
		assert_true(n < 1000);
	}
	setup(&m, 2048);
	fault_arm(FAULT_ALLOC, 1);
	assert_int_equal(fst_to_bitmaps(&m.ops, &m.g), -ENOMEM);
	fault_arm(FAULT_ALLOC, 1);
	assert_int_equal(fst_load(&m.ops, &m.g, loaded, &m), -ENOMEM);
	fault_arm(FAULT_ALLOC, 0);
	assert_int_equal(disagree(&m), 0);
	teardown(&m);
}

#ifdef UBTRFS_PLANT
static void test_plants(void **state)
{
	static const struct plant plants[] = {
		{ "fst_no_merge", short_lives },
	};

	check_plants(plants, sizeof(plants) / sizeof(*plants));
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_thresholds), cmocka_unit_test(test_switching),
		cmocka_unit_test(test_random),	   cmocka_unit_test(test_canonical),
		cmocka_unit_test(test_neighbours), cmocka_unit_test(test_contradictions),
		cmocka_unit_test(test_errors),
#ifdef UBTRFS_PLANT
		cmocka_unit_test(test_plants),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
