// SPDX-License-Identifier: GPL-2.0-or-later
/* Free space of a group and sets of ranges, against plain arrays of sectors. */
#include "engine/space/free_space.h"
#include "engine/space/range_set.h"
#include "engine/util/fault.h"
#include "tests/unit/plants.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define SECTOR 4096u
#define BASE (1ULL << 30)

static uint64_t seed;

static uint32_t rnd(uint32_t below)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)((seed >> 33) % below);
}

struct model {
	struct free_space *fs;
	unsigned sectors, free;
	bool *is_free;
};

static void model_init(struct model *m, unsigned sectors)
{
	m->sectors = sectors;
	m->free = 0;
	m->is_free = calloc(sectors, 1);
	assert_non_null(m->is_free);
	assert_int_equal(free_space_create(BASE, (uint64_t)sectors * SECTOR, SECTOR, &m->fs), 0);
}

static void model_end(struct model *m)
{
	free_space_destroy(m->fs);
	free(m->is_free);
}

static void model_set(struct model *m, unsigned first, unsigned nr, bool is_free)
{
	memset(m->is_free + first, is_free, nr);
	m->free += is_free ? nr : -nr;
	if (is_free)
		free_space_add(m->fs, BASE + (uint64_t)first * SECTOR, (uint64_t)nr * SECTOR);
	else
		free_space_remove(m->fs, BASE + (uint64_t)first * SECTOR, (uint64_t)nr * SECTOR);
}

/* A stretch of equal sectors from a random one on, at most `max` long, is flipped. */
static void flip(struct model *m, unsigned max)
{
	unsigned first = rnd(m->sectors), nr = 1, want = 1 + rnd(max);

	while (nr < want && first + nr < m->sectors && m->is_free[first + nr] == m->is_free[first])
		nr++;
	model_set(m, first, nr, !m->is_free[first]);
}

/* Every kept run is free in the model, merged they are the model's. 0: all well. */
static int wrong_runs(struct model *m)
{
	uint64_t pos = BASE, start, len;
	unsigned seen = 0;

	while (free_space_next(m->fs, pos, &start, &len)) {
		for (unsigned i = (unsigned)((start - BASE) / SECTOR), n = (unsigned)(len / SECTOR);
		     n; n--, i++) {
			if (!m->is_free[i])
				return 1;
			seen++;
		}
		pos = start + len;
	}
	return seen != m->free || free_space_bytes(m->fs) != (uint64_t)m->free * SECTOR;
}

/* A search finds something free exactly when some kept run has room in the range. */
static int wrong_find(struct model *m)
{
	unsigned from = rnd(m->sectors), to = from + 1 + rnd(m->sectors - from);
	uint64_t lo = BASE + (uint64_t)from * SECTOR, hi = BASE + (uint64_t)to * SECTOR;
	uint64_t want = (1 + (uint64_t)rnd(rnd(2) ? 8 : 300)) * SECTOR, pos = lo, start, len, got;
	bool there = false;

	while (!there && pos < hi && free_space_next(m->fs, pos, &start, &len)) {
		uint64_t end = start + len < hi ? start + len : hi;

		there = start < end && end - start >= want;
		pos = start + len;
	}
	if (free_space_find(m->fs, want, lo, hi, &got) != there)
		return 1;
	return there && (got < lo || got + want > hi || !free_space_has(m->fs, got, want));
}

static void random_life(unsigned sectors, unsigned max, unsigned steps, bool fail_allocs)
{
	struct model m;

	model_init(&m, sectors);
	model_set(&m, 0, sectors, true);
	for (unsigned i = 0; i < steps; i++) {
		if (fail_allocs)
			fault_arm(FAULT_ALLOC, rnd(4));
		flip(&m, max);
		fault_arm(FAULT_ALLOC, 0);
		assert_int_equal(wrong_find(&m), 0);
		if (i % 64 == 0 || i + 1 == steps) {
			const char *wrong = free_space_verify(m.fs);

			if (wrong)
				print_error("step %u: %s\n", i, wrong);
			assert_null(wrong);
			assert_int_equal(wrong_runs(&m), 0);
		}
	}
	model_end(&m);
}

static void test_random(void **state)
{
	seed = 1;
	random_life(FREE_SPACE_WINDOW * 3 + 100, 40, 6000, false);
	random_life(FREE_SPACE_WINDOW * 3 + 100, 20000, 6000, false);
	random_life(2000, 10, 6000, false);
	random_life(FREE_SPACE_WINDOW * 5, 3, 6000, false);
}

static void test_random_without_memory(void **state)
{
	seed = 2;
	random_life(FREE_SPACE_WINDOW * 3 + 100, 40, 6000, true);
	random_life(FREE_SPACE_WINDOW * 4, 20000, 6000, true);
}

/* The worst that can be: every other sector. Memory stays in its bound; freed again, it is one
 * extent. */
static void test_memory(void **state)
{
	struct model m;
	unsigned sectors = FREE_SPACE_WINDOW * 8;

	model_init(&m, sectors);
	for (unsigned i = 0; i < sectors; i += 2)
		model_set(&m, i, 1, true);
	assert_int_equal(free_space_bitmaps(m.fs), 8);
	assert_int_equal(free_space_extents(m.fs), 0);
	assert_true(free_space_memory(m.fs) <= free_space_memory_max(m.fs));
	/* 32 KiB of bitmaps a GiB, and as much of extents. */
	assert_true(free_space_memory_max(m.fs) < 256 * (1 + 2 * 1024));
	assert_null(free_space_verify(m.fs));
	for (unsigned i = 1; i < sectors; i += 2)
		model_set(&m, i, 1, true);
	assert_int_equal(free_space_bitmaps(m.fs), 0);
	assert_int_equal(free_space_extents(m.fs), 1);
	assert_int_equal(free_space_longest(m.fs), (uint64_t)sectors * SECTOR);
	model_end(&m);
}

static void test_create_fails(void **state)
{
	struct free_space *fs;

	for (unsigned n = 1; n <= 2; n++) {
		fault_arm(FAULT_ALLOC, n);
		assert_int_equal(free_space_create(0, 1 << 20, SECTOR, &fs), -ENOMEM);
		assert_null(fs);
	}
	fault_arm(FAULT_ALLOC, 0);
}

#define RANGES 500

static void ranges_agree(const struct range_set *set, const bool *in)
{
	uint64_t bytes = 0, nr = 0, start, end, pos = 0;

	for (unsigned i = 0; i < RANGES; i++) {
		bytes += in[i];
		nr += in[i] && (!i || !in[i - 1]);
		assert_int_equal(range_set_has(set, i, 1), in[i]);
	}
	assert_int_equal(set->bytes, bytes);
	assert_int_equal(set->nr, nr);
	while (range_set_next(set, pos, &start, &end)) {
		for (uint64_t i = pos; i < start; i++)
			assert_false(in[i]);
		assert_true(range_set_has(set, start, end - start));
		assert_false(range_set_has(set, start, end - start + 1));
		pos = end;
	}
	for (uint64_t i = pos; i < RANGES; i++)
		assert_false(in[i]);
}

static void test_ranges(void **state)
{
	struct range_set set;
	bool in[RANGES] = { 0 };
	uint64_t added, was;

	seed = 3;
	range_set_init(&set);
	for (unsigned i = 0; i < 3000; i++) {
		unsigned start = rnd(RANGES),
			 len = 1 + rnd(RANGES - start < 30 ? RANGES - start : 30);
		bool add = rnd(2), fail = rnd(4) == 0;
		int err;

		was = set.bytes;
		if (fail)
			fault_arm(FAULT_ALLOC, 1);
		err = add ? range_set_add(&set, start, len, &added)
			  : range_set_remove(&set, start, len);
		fault_arm(FAULT_ALLOC, 0);
		if (err) {
			assert_int_equal(err, -ENOMEM);
			assert_true(fail);
		} else {
			memset(in + start, add, len);
			assert_true(!add || set.bytes - was == added);
		}
		ranges_agree(&set, in);
	}
	range_set_clear(&set);
	assert_int_equal(set.bytes, 0);
}

#ifdef UBTRFS_PLANT
static int life_with_edges(void)
{
	struct model m;
	int wrong = 0;

	seed = 4;
	model_init(&m, FREE_SPACE_WINDOW * 2 + 10);
	model_set(&m, 0, m.sectors, true);
	for (unsigned i = 0; i < 3000 && !wrong; i++) {
		flip(&m, 30);
		wrong = wrong_find(&m) ||
			(i % 16 == 0 && (free_space_verify(m.fs) || wrong_runs(&m)));
	}
	model_end(&m);
	return wrong;
}

static void test_plants(void **state)
{
	assert_false(caught("none", life_with_edges));
	assert_true(caught("free_space_stale_longest", life_with_edges));
	assert_true(caught("free_space_no_merge", life_with_edges));
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random), cmocka_unit_test(test_random_without_memory),
		cmocka_unit_test(test_memory), cmocka_unit_test(test_create_fails),
		cmocka_unit_test(test_ranges),
#ifdef UBTRFS_PLANT
		cmocka_unit_test(test_plants),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
