// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The metadata cache: states of frames, the cap, waiting, failures, read-ahead, threads.
 *
 * Checkers that are compared with a planted fault (-Dplant=true) run in a child process, as what
 * they find may be an assertion.
 */
#include "engine/util/fault.h"
#include "tests/unit/fakevol.h"
#include "tests/unit/plants.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#if defined(__SANITIZE_THREAD__)
#define TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TSAN 1
#endif
#endif
#ifndef TSAN
#define TSAN 0
#endif

#define NODESIZE 4096u
#define OWNER 300 /* some subvolume */

struct fixture {
	struct vol *v;
	struct eb_cache *c;
	struct btrfs_block_expect *e; /* of nr leaves */
	unsigned nr;
	uint32_t frames;
};

static struct btrfs_key leaf_key(unsigned i)
{
	return (struct btrfs_key){1000 + i, BTRFS_STRING_ITEM_KEY, i};
}

/* A volume of `nr` leaves with one item each, and a cache of the least size for `threads`. */
static void setup(struct fixture *f, unsigned nr, unsigned threads)
{
	struct eb_cache_stats st;

	*f = (struct fixture){.v = fakevol_create(NODESIZE), .nr = nr};
	f->e = calloc(nr, sizeof(*f->e));
	assert_non_null(f->e);
	for (unsigned i = 0; i < nr; i++) {
		struct btrfs_key key = leaf_key(i);
		uint64_t logical = fakevol_alloc(f->v);

		tree_add_item(f->v, fakevol_format(f->v, logical, 0, OWNER), &key);
		fakevol_seal(f->v, logical);
		f->e[i] = (struct btrfs_block_expect){.logical = logical,
						      .generation = FAKE_GENERATION - 1,
						      .owner = OWNER,
						      .have_first_key = true,
						      .first_key = key};
	}
	assert_int_equal(
		eb_cache_create(f->v, eb_cache_min_bytes(NODESIZE, threads), threads, &f->c), 0);
	eb_cache_stats(f->c, &st);
	f->frames = st.frames;
}

static void teardown(struct fixture *f)
{
	struct eb_cache_stats st;

	eb_cache_stats(f->c, &st);
	assert_int_equal(st.referenced, 0);
	assert_in_range(st.touched, 0, f->frames);
	eb_cache_destroy(f->c);
	fakevol_destroy(f->v);
	free(f->e);
}

static bool right_leaf(const struct eb *eb, unsigned i)
{
	struct btrfs_key key = leaf_key(i), found = btrfs_item_key(eb_data(eb), 0);
	uint8_t data[64];

	tree_item_fill(&key, data, tree_item_size(&key));
	return btrfs_header_bytenr(eb_data(eb)) == eb_logical(eb) && !btrfs_key_cmp(&key, &found) &&
	       !memcmp(btrfs_item_ptr(eb_data(eb), 0), data, tree_item_size(&key));
}

static void test_get_and_put(void **state)
{
	struct fixture f;
	struct eb *a, *b, *other;

	setup(&f, 2, 1);
	assert_ptr_equal(eb_cache_vol(f.c), f.v);
	assert_int_equal(eb_get(f.c, &f.e[0], &a), 0);
	assert_true(right_leaf(a, 0));
	assert_int_equal(eb_get(f.c, &f.e[0], &b), 0);
	assert_ptr_equal(a, b);
	assert_int_equal(eb_get(f.c, &f.e[1], &other), 0);
	assert_ptr_not_equal(a, other);
	assert_int_equal(f.v->reads, 2);
	assert_int_equal(counter_get(&f.v->counters, cache_hits), 1);
	assert_int_equal(counter_get(&f.v->counters, cache_reads), 2);
	eb_ref(a);
	eb_put(a);
	eb_put(a);
	eb_put(b);
	eb_put(other);
	eb_put(NULL);
	/* Still there without references. */
	assert_int_equal(eb_get(f.c, &f.e[0], &a), 0);
	eb_put(a);
	assert_int_equal(f.v->reads, 2);
	assert_int_equal(f.v->heard.errors + f.v->heard.warnings, 0);
	teardown(&f);
}

static void test_create(void **state)
{
	struct vol *v = fakevol_create(NODESIZE);
	uint64_t min = eb_cache_min_bytes(NODESIZE, 10);
	struct eb_cache_stats st;
	struct eb_cache *c;
	int nth;

	assert_true(min >= 2 * 10 * BT_MAX_LEVEL * (uint64_t)NODESIZE);
	assert_int_equal(eb_cache_create(v, min - 1, 10, &c), -EINVAL);
	assert_null(c);
	assert_int_equal(v->heard.errors, 1);
	for (nth = 1;; nth++) {
		int err;

		fault_arm(FAULT_ALLOC, nth);
		err = eb_cache_create(v, min, 10, &c);
		fault_arm(FAULT_ALLOC, 0);
		if (!err)
			break;
		assert_int_equal(err, -ENOMEM);
		assert_null(c);
	}
	assert_int_equal(nth, 5);
	eb_cache_stats(c, &st);
	assert_true((uint64_t)st.frames * NODESIZE <= min);
	assert_true(st.frames >= 2 * 10 * BT_MAX_LEVEL);
	assert_int_equal(eb_cache_geometry(c)->nodesize, NODESIZE);
	eb_cache_destroy(c);
	eb_cache_destroy(NULL);
	fakevol_destroy(v);
}

static void expect_said(struct fixture *f, const char *what)
{
	assert_true(f->v->heard.errors > 0);
	if (!strstr(f->v->heard.last, what))
		fail_msg("\"%s\" is not in \"%s\"", what, f->v->heard.last);
	f->v->heard.errors = 0;
	f->v->heard.last[0] = 0;
}

/* Each wrong expectation, of a block that is read for it and of one that is found. 0: all refused.
 */
static int refused_expectations(struct fixture *f, bool cached)
{
	struct btrfs_block_expect wrong[5];
	static const char *const what[] = {"level", "generation", "owner", "first key",
					   "first key"};
	struct eb *eb, *held = NULL;
	int left = 0;

	for (int i = 0; i < 5; i++)
		wrong[i] = f->e[0];
	wrong[0].level = 1;
	wrong[1].generation++;
	wrong[2].owner = BTRFS_EXTENT_TREE_OBJECTID;
	wrong[3].first_key.offset++;
	wrong[4].first_key.type++;
	if (cached)
		assert_int_equal(eb_get(f->c, &f->e[0], &held), 0);
	for (int i = 0; i < 5; i++) {
		int err = eb_get(f->c, &wrong[i], &eb);

		if (!err)
			eb_put(eb);
		left += err != -EUCLEAN || eb || !strstr(f->v->heard.last, what[i]);
		left += i == 1 && !strstr(f->v->heard.last, "a write was lost");
		f->v->heard.last[0] = 0;
	}
	eb_put(held);
	return left;
}

static void test_expectations(void **state)
{
	struct btrfs_block_expect any;
	struct fixture f;
	struct eb *eb;

	setup(&f, 1, 1);
	assert_int_equal(refused_expectations(&f, false), 0);
	assert_int_equal(refused_expectations(&f, true), 0);
	/* Any, and another subvolume's, will do. */
	any = (struct btrfs_block_expect){.logical = f.e[0].logical, .level = -1};
	assert_int_equal(eb_get(f.c, &any, &eb), 0);
	eb_put(eb);
	any.owner = OWNER + 1;
	assert_int_equal(eb_get(f.c, &any, &eb), 0);
	eb_put(eb);
	any.owner = BTRFS_TREE_LOG_OBJECTID;
	assert_int_equal(eb_get(f.c, &any, &eb), 0);
	eb_put(eb);
	teardown(&f);
}

static void test_bad_blocks(void **state)
{
	struct btrfs_block_expect e;
	struct fixture f;
	struct eb *eb;
	uint8_t *copy[2];

	setup(&f, 3, 1);
	for (int i = 0; i < 2; i++)
		copy[i] = fakevol_block(f.v, f.e[0].logical, i);
	/* One bad copy is a warning, two are an error, and the error is not kept. */
	copy[0][2000] ^= 1;
	assert_int_equal(eb_get(f.c, &f.e[0], &eb), 0);
	assert_true(right_leaf(eb, 0));
	eb_put(eb);
	assert_int_equal(f.v->heard.warnings, 1);
	assert_int_equal(f.v->heard.errors, 0);

	copy[0] = fakevol_block(f.v, f.e[1].logical, 0);
	copy[1] = fakevol_block(f.v, f.e[1].logical, 1);
	copy[0][2000] ^= 1;
	copy[1][2001] ^= 1;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(eb_get(f.c, &f.e[1], &eb), -EUCLEAN);
		assert_null(eb);
		expect_said(&f, "checksum");
	}
	copy[1][2001] ^= 1;
	assert_int_equal(eb_get(f.c, &f.e[1], &eb), 0);
	eb_put(eb);

	f.v->dead = f.e[2].logical;
	assert_int_equal(eb_get(f.c, &f.e[2], &eb), -EIO);
	expect_said(&f, "cannot read");
	f.v->dead = 0;
	assert_int_equal(eb_get(f.c, &f.e[2], &eb), 0);
	eb_put(eb);

	e = f.e[2];
	e.logical = 4096;
	assert_int_equal(eb_get(f.c, &e, &eb), -ENXIO);
	expect_said(&f, "cannot read");
	e.logical = f.e[2].logical + 512;
	assert_int_equal(eb_get(f.c, &e, &eb), -EUCLEAN);
	expect_said(&f, "not at a sector");
	teardown(&f);
}

/*
 * Ten times more blocks than frames, in and out; a block that is in use all the time is read once,
 * and one that is referenced throughout keeps its bytes. 0: so it is.
 */
static int churn(struct fixture *f)
{
	struct eb *held, *eb;
	int bad = 0;

	assert_int_equal(eb_get(f->c, &f->e[0], &held), 0);
	for (unsigned i = 2; i < f->nr; i++) {
		assert_int_equal(eb_get(f->c, &f->e[i], &eb), 0);
		bad += !right_leaf(eb, i);
		eb_put(eb);
		assert_int_equal(eb_get(f->c, &f->e[1], &eb), 0);
		bad += !right_leaf(eb, 1);
		eb_put(eb);
		bad += !right_leaf(held, 0);
	}
	eb_put(held);
	return bad;
}

static void test_eviction(void **state)
{
	struct eb_cache_stats st;
	struct fixture f;

	setup(&f, 400, 1);
	assert_true(f.nr > 8 * f.frames);
	assert_int_equal(churn(&f), 0);
	assert_int_equal(f.v->reads, f.nr);
	assert_int_equal(counter_get(&f.v->counters, cache_evictions), f.nr - f.frames);
	eb_cache_stats(f.c, &st);
	assert_int_equal(st.touched, f.frames);
	assert_int_equal(st.cached, f.frames);
	teardown(&f);
}

static long resident(void)
{
	long size, pages = 0;
	FILE *file = fopen("/proc/self/statm", "r");

	assert_non_null(file);
	assert_int_equal(fscanf(file, "%ld %ld", &size, &pages), 2);
	fclose(file);
	return pages * sysconf(_SC_PAGESIZE);
}

/* A big node size and much traffic: what the process holds grows by the cap at most. */
static void test_resident(void **state)
{
	enum { BIG = 65536, BLOCKS = 600 };
	struct vol *v = fakevol_create(BIG);
	uint64_t cap = eb_cache_min_bytes(BIG, 4), first;
	struct eb_cache *c;
	long before, after;

	first = fakevol_alloc(v);
	for (unsigned i = 1; i < BLOCKS; i++)
		fakevol_alloc(v);
	for (unsigned i = 0; i < BLOCKS; i++) {
		struct btrfs_key key = leaf_key(i);
		uint64_t logical = first + (uint64_t)i * BIG;

		tree_add_item(v, fakevol_format(v, logical, 0, OWNER), &key);
		fakevol_seal(v, logical);
	}
	assert_true(cap * 4 < (uint64_t)BLOCKS * BIG);
	before = resident();
	assert_int_equal(eb_cache_create(v, cap, 4, &c), 0);
	for (unsigned i = 0; i < BLOCKS; i++) {
		struct btrfs_block_expect e = {.logical = first + (uint64_t)i * BIG, .level = 0};
		struct eb *eb;

		assert_int_equal(eb_get(c, &e, &eb), 0);
		eb_put(eb);
	}
	after = resident();
	/* TSan shadows each byte with several of its own. */
	assert_in_range(after - before, cap / 2, TSAN ? 8 * cap : cap + (1 << 20));
	eb_cache_destroy(c);
	fakevol_destroy(v);
}

struct getter {
	struct fixture *f;
	struct btrfs_block_expect e;
	pthread_barrier_t *start;
	int err;
	pthread_t thread;
};

static void *get_one(void *arg)
{
	struct getter *g = arg;
	struct eb *eb;

	if (g->start)
		pthread_barrier_wait(g->start);
	g->err = eb_get(g->f->c, &g->e, &eb);
	eb_put(eb);
	return NULL;
}

static void get_together(struct fixture *f, struct getter *g, unsigned nr)
{
	pthread_barrier_t start;

	pthread_barrier_init(&start, NULL, nr);
	for (unsigned i = 0; i < nr; i++) {
		g[i].f = f;
		g[i].start = &start;
		assert_int_equal(pthread_create(&g[i].thread, NULL, get_one, &g[i]), 0);
	}
	for (unsigned i = 0; i < nr; i++)
		pthread_join(g[i].thread, NULL);
	pthread_barrier_destroy(&start);
}

/* Many want one block: it is read once, and a failure is everybody's. */
static void test_shared_read(void **state)
{
	struct getter g[4];
	struct fixture f;
	uint8_t *copy;

	setup(&f, 2, 4);
	f.v->delay_us = 100000;
	for (int i = 0; i < 4; i++)
		g[i].e = f.e[0];
	get_together(&f, g, 4);
	for (int i = 0; i < 4; i++)
		assert_int_equal(g[i].err, 0);
	assert_int_equal(f.v->reads, 1);

	for (int i = 0; i < 2; i++) {
		copy = fakevol_block(f.v, f.e[1].logical, i);
		copy[2000] ^= 1;
	}
	for (int i = 0; i < 4; i++)
		g[i].e = f.e[1];
	get_together(&f, g, 4);
	for (int i = 0; i < 4; i++)
		assert_int_equal(g[i].err, -EUCLEAN);
	assert_int_equal(f.v->reads, 2);
	assert_int_equal(f.v->heard.errors, 1);
	teardown(&f);
}

/* A reader with a wrong expectation fails alone: who waited for it with the right one gets the
 * block. */
static void test_shared_read_other_expectation(void **state)
{
	struct getter g[4];
	struct fixture f;

	setup(&f, 1, 4);
	f.v->delay_us = 50000;
	for (int i = 0; i < 4; i++) {
		g[i].e = f.e[0];
		if (i % 2)
			g[i].e.generation--;
	}
	get_together(&f, g, 4);
	for (int i = 0; i < 4; i++)
		assert_int_equal(g[i].err, i % 2 ? -EUCLEAN : 0);
	teardown(&f);
}

/* All frames in use: the next one waits until one is put, and no longer. */
static void test_wait_for_frame(void **state)
{
	struct getter g;
	struct fixture f;
	struct eb **held;

	setup(&f, 100, 1);
	assert_true(f.nr > f.frames);
	held = calloc(f.frames, sizeof(*held));
	assert_non_null(held);
	for (unsigned i = 0; i < f.frames; i++)
		assert_int_equal(eb_get(f.c, &f.e[i], &held[i]), 0);
	/* Read-ahead doesn't wait. */
	eb_prefetch(f.c, &f.e[f.frames], 10);
	assert_int_equal(f.v->reads, f.frames);

	g = (struct getter){.f = &f, .e = f.e[99]};
	assert_int_equal(pthread_create(&g.thread, NULL, get_one, &g), 0);
	while (!counter_get(&f.v->counters, cache_waits))
		usleep(1000);
	usleep(20000);
	assert_int_equal(f.v->reads, f.frames);
	eb_put(held[7]);
	pthread_join(g.thread, NULL);
	assert_int_equal(g.err, 0);
	assert_int_equal(counter_get(&f.v->counters, cache_waits), 1);
	for (unsigned i = 0; i < f.frames; i++)
		if (i != 7)
			eb_put(held[i]);
	free(held);
	teardown(&f);
}

static void test_prefetch(void **state)
{
	struct fixture f;
	struct eb *eb;
	uint8_t *copy;

	setup(&f, 60, 2);
	eb_prefetch(f.c, f.e, 0);
	assert_int_equal(f.v->batches, 0);
	assert_int_equal(eb_get(f.c, &f.e[1], &eb), 0);
	eb_put(eb);
	for (int i = 0; i < 2; i++) {
		copy = fakevol_block(f.v, f.e[2].logical, i);
		copy[2000] ^= 1;
	}
	f.v->dead = f.e[3].logical;
	eb_prefetch(f.c, f.e, 6);
	assert_int_equal(f.v->batches, 1);
	assert_int_equal(f.v->reads, 6);
	assert_int_equal(f.v->heard.errors, 0);
	for (int i = 0; i < 6; i++) {
		static const int expected[] = {0, 0, -EUCLEAN, -EIO, 0, 0};

		assert_int_equal(eb_get(f.c, &f.e[i], &eb), expected[i]);
		if (eb)
			assert_true(right_leaf(eb, i));
		eb_put(eb);
	}
	assert_int_equal(f.v->reads, 8);
	assert_int_equal(f.v->heard.errors, 2);
	/* More than it takes at once. */
	eb_prefetch(f.c, &f.e[10], 50);
	assert_in_range(f.v->reads, 9, 8 + EB_PREFETCH_MAX);
	teardown(&f);
}

struct hammer {
	struct fixture *f;
	unsigned seed;
	unsigned wrong;
	pthread_t thread;
};

/* Holds up to two paths, as a user may, and now and then reads ahead. */
static void *hammer(void *arg)
{
	struct hammer *h = arg;
	struct fixture *f = h->f;
	struct eb *held[2 * BT_MAX_LEVEL] = {0};
	unsigned which[2 * BT_MAX_LEVEL] = {0};

	for (int i = 0; i < 3000; i++) {
		unsigned slot = rand_r(&h->seed) % (2 * BT_MAX_LEVEL);
		unsigned n = rand_r(&h->seed) % f->nr;

		if (held[slot] && !right_leaf(held[slot], which[slot]))
			h->wrong++;
		eb_put(held[slot]);
		held[slot] = NULL;
		if (i % 50 == 0)
			eb_prefetch(f->c, &f->e[n], f->nr - n < 8 ? f->nr - n : 8);
		if (eb_get(f->c, &f->e[n], &held[slot]))
			h->wrong++;
		else if (!right_leaf(held[slot], n))
			h->wrong++;
		which[slot] = n;
	}
	for (int i = 0; i < 2 * BT_MAX_LEVEL; i++)
		eb_put(held[i]);
	return NULL;
}

static void test_threads(void **state)
{
	struct hammer h[6];
	struct eb_cache_stats st;
	struct fixture f;

	setup(&f, 600, 6);
	for (unsigned i = 0; i < 6; i++) {
		h[i] = (struct hammer){.f = &f, .seed = i};
		assert_int_equal(pthread_create(&h[i].thread, NULL, hammer, &h[i]), 0);
	}
	for (unsigned i = 0; i < 6; i++) {
		pthread_join(h[i].thread, NULL);
		assert_int_equal(h[i].wrong, 0);
	}
	eb_cache_stats(f.c, &st);
	assert_int_equal(st.touched, f.frames);
	assert_true(counter_get(&f.v->counters, cache_evictions) > f.frames);
	teardown(&f);
}

/* The nth read fails, for every n: the error comes out, nothing leaks, and the next try succeeds.
 */
static void test_read_failures(void **state)
{
	struct fixture f;
	struct eb *eb;

	setup(&f, 20, 1);
	for (unsigned nth = 1; nth <= 20; nth++) {
		unsigned failed = 0;

		eb_cache_destroy(f.c);
		assert_int_equal(eb_cache_create(f.v, eb_cache_min_bytes(NODESIZE, 1), 1, &f.c), 0);
		fault_arm(FAULT_READ, nth);
		for (unsigned i = 0; i < 20; i++) {
			int err = eb_get(f.c, &f.e[i], &eb);

			if (err) {
				assert_int_equal(err, -EIO);
				failed++;
				err = eb_get(f.c, &f.e[i], &eb);
			}
			assert_int_equal(err, 0);
			assert_true(right_leaf(eb, i));
			eb_put(eb);
		}
		assert_int_equal(failed, 1);
	}
	fault_arm(FAULT_READ, 0);
	teardown(&f);
}

#ifdef UBTRFS_PLANT
static int checker_evict(void)
{
	struct fixture f;

	setup(&f, 400, 1);
	return churn(&f);
}

static int checker_match(void)
{
	struct fixture f;

	setup(&f, 1, 1);
	return refused_expectations(&f, true);
}

static void test_plants(void **state)
{
	assert_false(caught("none", checker_evict));
	assert_true(caught("cache_evict_referenced", checker_evict));
	assert_false(caught("none", checker_match));
	assert_true(caught("cache_no_match", checker_match));
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_get_and_put),
		cmocka_unit_test(test_create),
		cmocka_unit_test(test_expectations),
		cmocka_unit_test(test_bad_blocks),
		cmocka_unit_test(test_eviction),
		cmocka_unit_test(test_resident),
		cmocka_unit_test(test_shared_read),
		cmocka_unit_test(test_shared_read_other_expectation),
		cmocka_unit_test(test_wait_for_frame),
		cmocka_unit_test(test_prefetch),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_read_failures),
#ifdef UBTRFS_PLANT
		cmocka_unit_test(test_plants),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
