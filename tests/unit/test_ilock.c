// SPDX-License-Identifier: GPL-2.0-or-later
/* Locks on inodes and references to them: against an array, with threads, with allocations that
 * fail. */
#include "engine/api/ilock_priv.h"

#include "engine/util/fault.h"
#include "tests/unit/plants.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct eng_ino id_of(uint64_t n)
{
	return (struct eng_ino){ 5 + n % 3, 256 + n / 3 };
}

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void test_set_order(void **state)
{
	const struct eng_ino ids[] = { { 5, 300 }, { 5, 257 }, { 6, 256 }, { 5, 300 } };
	struct ilock_table *t;
	struct ilock_set set;

	assert_int_equal(ilock_table_create(&t), 0);
	assert_int_equal(ilock_set_take(&set, t, ids, 4), 0);
	assert_int_equal(set.nr, 3);
	for (unsigned i = 1; i < set.nr; i++)
		assert_true(set.locks[i]->id.subvol > set.locks[i - 1]->id.subvol ||
			    set.locks[i]->id.ino > set.locks[i - 1]->id.ino);
	assert_int_equal(ilock_set_add(&set, ids[1]), 0);
	assert_int_equal(set.nr, 3);
	assert_non_null(ilock_set_find(&set, ids[2]));
	assert_null(ilock_set_find(&set, (struct eng_ino){ 5, 256 }));
	ilock_set_release(&set);
	ilock_table_destroy(t);
}

/* What lies before what is held is only tried. */
static void test_set_add(void **state)
{
	const struct eng_ino low = { 5, 257 }, high = { 5, 400 }, more = { 5, 500 };
	struct ilock_set a, b;
	struct ilock_table *t;

	assert_int_equal(ilock_table_create(&t), 0);
	assert_int_equal(ilock_set_take(&a, t, &low, 1), 0);
	assert_int_equal(ilock_set_take(&b, t, &high, 1), 0);
	assert_int_equal(ilock_set_add(&b, low), -EAGAIN);
	assert_int_equal(ilock_set_add(&b, more), 0);
	assert_int_equal(b.nr, 2);
	ilock_set_release(&a);
	assert_int_equal(ilock_set_add(&b, low), 0);
	assert_int_equal(b.locks[0]->id.ino, 257);
	assert_int_equal(b.locks[2]->id.ino, 500);
	ilock_set_release(&b);
	ilock_table_destroy(t);
}

static void test_no_memory(void **state)
{
	const struct eng_ino ids[] = { { 5, 257 }, { 5, 258 }, { 5, 259 } };
	struct ilock_table *t;
	struct iref_table *refs;
	struct ilock_set set;
	int err;

	assert_int_equal(ilock_table_create(&t), 0);
	assert_int_equal(iref_table_create(&refs), 0);
	for (uint64_t nth = 1; nth <= 3; nth++) {
		fault_arm(FAULT_ALLOC, nth);
		assert_int_equal(ilock_set_take(&set, t, ids, 3), -ENOMEM);
		assert_int_equal(set.nr, 0);
	}
	fault_arm(FAULT_ALLOC, 1);
	assert_false(iref_add(refs, ids[0], true, &err));
	assert_int_equal(err, -ENOMEM);
	fault_arm(FAULT_ALLOC, 0);
	assert_false(iref_add(refs, ids[0], false, &err));
	assert_int_equal(err, 0);
	ilock_table_destroy(t);
	iref_table_destroy(refs);
}

#define THREADS 8
#define SLOTS 12

struct race {
	struct ilock_table *t;
	unsigned held[SLOTS]; /* plain: the locks guard them */
	uint64_t seed;
};

static void *racer(void *arg)
{
	struct race *r = arg;
	uint64_t rnd =
		__atomic_fetch_add(&r->seed, 1, __ATOMIC_RELAXED) * 0x9e3779b97f4a7c15ull | 1;

	for (int n = 0; n < 4000; n++) {
		struct eng_ino ids[ILOCK_MAX];
		struct ilock_set set;
		unsigned nr = 1 + (unsigned)(next_random(&rnd) % 3);

		for (unsigned i = 0; i < nr; i++)
			ids[i] = (struct eng_ino){ 5, 1 + next_random(&rnd) % SLOTS };
		if (ilock_set_take(&set, r->t, ids, nr))
			abort();
		(void)!ilock_set_add(&set, (struct eng_ino){ 5, 1 + next_random(&rnd) % SLOTS });
		for (unsigned i = 0; i < set.nr; i++)
			if (r->held[set.locks[i]->id.ino - 1]++)
				abort();
		for (unsigned i = 0; i < set.nr; i++)
			r->held[set.locks[i]->id.ino - 1]--;
		ilock_set_release(&set);
	}
	return NULL;
}

static void test_threads(void **state)
{
	struct race r = { .seed = 1 };
	pthread_t threads[THREADS];

	assert_int_equal(ilock_table_create(&r.t), 0);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, racer, &r), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	ilock_table_destroy(r.t);
}

/* ---- references ---- */

#define INODES 3000

static void test_refs(void **state)
{
	static uint64_t nr[INODES];
	static bool orphan[INODES];
	uint64_t rnd = 88172645463325252ull, there = 0;
	struct iref_table *t;
	struct eng_ino id;

	memset(nr, 0, sizeof(nr));
	memset(orphan, 0, sizeof(orphan));
	assert_int_equal(iref_table_create(&t), 0);
	for (int n = 0; n < 200000; n++) {
		uint64_t k = next_random(&rnd) % INODES;
		int err;

		id = id_of(k);
		switch (next_random(&rnd) % 4) {
		case 0:
			assert_int_equal(iref_add(t, id, false, &err), nr[k] != 0);
			nr[k] += nr[k] != 0;
			break;
		case 1:
			assert_true(iref_add(t, id, true, &err));
			there += !nr[k];
			nr[k]++;
			break;
		case 2: {
			uint64_t less = nr[k] ? 1 + next_random(&rnd) % nr[k] : 0;

			if (!less)
				break;
			assert_int_equal(iref_sub(t, id, less), nr[k] == less && orphan[k]);
			nr[k] -= less;
			there -= !nr[k];
			orphan[k] = orphan[k] && nr[k];
			break;
		}
		case 3:
			assert_int_equal(iref_set_orphan(t, id, n & 1), nr[k] != 0);
			orphan[k] = nr[k] ? n & 1 : false;
			break;
		}
		assert_int_equal(iref_nr(t), there);
	}
	while (iref_take_orphan(t, &id)) {
		uint64_t k = (id.ino - 256) * 3 + id.subvol - 5;

		assert_true(orphan[k]);
		orphan[k] = false;
	}
	for (int k = 0; k < INODES; k++)
		assert_false(orphan[k]);
	iref_table_destroy(t);
}

#ifdef UBTRFS_PLANT
static int check_refs(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_refs) };

	if (!freopen("/dev/null", "w", stdout))
		return 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif

static void test_plants(void **state)
{
#ifdef UBTRFS_PLANT
	static const struct plant plants[] = { { "iref_no_fill", check_refs } };

	check_plants(plants, 1);
#else
	skip();
#endif
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set_order), cmocka_unit_test(test_set_add),
		cmocka_unit_test(test_no_memory), cmocka_unit_test(test_threads),
		cmocka_unit_test(test_refs),	  cmocka_unit_test(test_plants),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
