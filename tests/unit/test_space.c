// SPDX-License-Identifier: GPL-2.0-or-later
/* Space by type: counters, overcommit, tickets, reclaim rows. */
#include "engine/space/block_rsv.h"
#include "engine/space/space_info.h"
#include "engine/util/fault.h"
#include "tests/unit/plants.h"

#include <assert.h>
#include <sched.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define MIB (1ULL << 20)
#define GIB (1ULL << 30)
#define NODE 16384u

struct fixture {
	struct counters counters;
	struct space *sp;
	struct space_info *data, *meta, *sys;
	struct rsv_set rsv;
	/* what the rows do */
	char trace[256];
	uint64_t pinned;	 /* COMMIT unpins so much, once */
	struct space_info *grow; /* a chunk row adds `grow_by` to it, `grows` times */
	uint64_t grow_by;
	int grows;
	bool abort_in_commit;
	pthread_mutex_t gate; /* COMMIT passes through it */
	pthread_barrier_t start;
};

struct row_arg {
	struct fixture *f;
	enum space_row_id id;
};

static struct row_arg row_args[SPACE_ROW_NR];

static int run_row(void *arg, const struct space_row_ctx *ctx)
{
	struct row_arg *ra = arg;
	struct fixture *f = ra->f;
	size_t at = strlen(f->trace);
	uint64_t pinned;

	if (at + 1 < sizeof(f->trace))
		f->trace[at] = "abcdefghijk"[ra->id];
	assert(ctx->want);
	if (ra->id == SPACE_ROW_COMMIT) {
		pthread_mutex_lock(&f->gate);
		pthread_mutex_unlock(&f->gate);
		if (f->abort_in_commit)
			space_abort(f->sp);
		pinned = f->pinned;
		f->pinned = 0;
		if (pinned)
			space_unpin(ctx->si, pinned, false);
	}
	if (ra->id == SPACE_ROW_ALLOC_CHUNK || ra->id == SPACE_ROW_ALLOC_CHUNK_FORCE) {
		if (f->grow != ctx->si || !f->grows)
			return -ENOSPC;
		f->grows--;
		space_add_group(ctx->si, f->grow_by, 0, 0);
	}
	return 0;
}

static void setup(struct fixture *f, bool flusher)
{
	struct space_opts opts = {
		.nodesize = NODE, .sectorsize = 4096, .flusher = flusher, .counters = &f->counters
	};

	memset(f, 0, sizeof(*f));
	pthread_mutex_init(&f->gate, NULL);
	assert_int_equal(space_create(&opts, &f->sp), 0);
	for (unsigned i = 0; i < SPACE_ROW_NR; i++) {
		struct space_row row = { "row", .needs_txn = i == SPACE_ROW_COMMIT,
					 .in_handle = i < 2, run_row, &row_args[i] };

		row_args[i] = (struct row_arg){ f, i };
		space_row_register(f->sp, i, &row);
	}
	assert_int_equal(space_info_create(f->sp, BTRFS_BLOCK_GROUP_DATA, &f->data), 0);
	assert_int_equal(space_info_create(f->sp, BTRFS_BLOCK_GROUP_METADATA, &f->meta), 0);
	assert_int_equal(space_info_create(f->sp, BTRFS_BLOCK_GROUP_SYSTEM, &f->sys), 0);
	rsv_set_init(&f->rsv, f->sp, true);
	space_add_group(f->data, 64 * MIB, 0, 0);
	space_add_group(f->meta, 64 * MIB, 0, 0);
	space_add_group(f->sys, 8 * MIB, 0, 0);
}

static void verify(struct fixture *f)
{
	struct space_info *all[] = { f->data, f->meta, f->sys };

	for (unsigned i = 0; i < 3; i++) {
		const char *wrong = space_info_verify(all[i]);

		if (wrong)
			print_error("%s: %s\n", all[i]->name, wrong);
		assert_null(wrong);
	}
}

static void teardown(struct fixture *f)
{
	verify(f);
	rsv_set_fini(&f->rsv);
	assert_int_equal(f->meta->may_use, 0);
	verify(f);
	space_destroy(f->sp);
	pthread_mutex_destroy(&f->gate);
}

/* ---- counters ---- */

static void test_life_cycle(void **state)
{
	struct fixture f;

	setup(&f, false);
	assert_ptr_equal(space_info_find(f.sp, BTRFS_BLOCK_GROUP_METADATA | BTRFS_BLOCK_GROUP_DUP),
			 f.meta);
	assert_null(space_info_find(f.sp, BTRFS_BLOCK_GROUP_METADATA | BTRFS_BLOCK_GROUP_DATA));
	assert_int_equal(space_reserve(f.meta, 10 * NODE, SPACE_NO_FLUSH, NULL), 0);
	assert_int_equal(f.meta->may_use, 10 * NODE);
	space_alloc(f.meta, 4 * NODE, 4 * NODE);
	space_insert(f.meta, 2 * NODE);
	space_pin_reserved(f.meta, NODE);
	space_free_reserved(f.meta, NODE);
	space_drop(f.meta, NODE);
	assert_int_equal(f.meta->may_use, 6 * NODE);
	assert_int_equal(f.meta->reserved, 0);
	assert_int_equal(f.meta->used, NODE);
	assert_int_equal(f.meta->pinned, 2 * NODE);
	space_unpin(f.meta, NODE, true);
	space_unpin(f.meta, NODE, false);
	assert_int_equal(f.meta->readonly, NODE);
	space_sub_readonly(f.meta, NODE);
	space_release(f.meta, 6 * NODE);
	assert_int_equal(space_used_locked(f.meta, true), NODE);
	verify(&f);
	/* Compressed: more was promised than came to be. */
	assert_int_equal(space_reserve(f.data, MIB, SPACE_FLUSH_DATA, NULL), 0);
	space_alloc(f.data, MIB, MIB / 4);
	assert_int_equal(space_used_locked(f.data, true), MIB / 4);
	teardown(&f);
}

#ifndef NDEBUG
static void take_too_much(void *arg)
{
	struct fixture *f = arg;

	space_insert(f->meta, 1);
}

static void take_with_handle(void *arg)
{
	struct fixture *f = arg;

	(void)!space_reserve(f->meta, 1, SPACE_FLUSH_ALL, f);
}

static bool dies(void (*fn)(void *), void *arg)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		if (!freopen("/dev/null", "w", stderr))
			_exit(0);
		fn(arg);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status != 0;
}
#endif

static void test_asserts(void **state)
{
#ifndef NDEBUG
	struct fixture f;

	setup(&f, false);
	assert_true(dies(take_too_much, &f));
	assert_true(dies(take_with_handle, &f));
	teardown(&f);
#endif
}

/* ---- overcommit ---- */

static uint64_t overcommit(struct fixture *f, uint64_t profile, uint64_t unallocated,
			   uint64_t device, enum space_flush flush)
{
	uint64_t bytes;

	f->meta->profile = profile;
	space_set_unallocated(f->sp, unallocated, device);
	pthread_mutex_lock(&f->meta->lock);
	bytes = space_overcommit_locked(f->meta, flush);
	pthread_mutex_unlock(&f->meta->lock);
	return bytes;
}

/* Promises under each profile, up to the last block, against what is unallocated. 0: all well. */
static int overcommit_goes_too_far(void)
{
	static const struct {
		uint64_t profile;
		unsigned copies;
	} cases[] = {
		{ 0, 1 },
		{ BTRFS_BLOCK_GROUP_DUP, 2 },
		{ BTRFS_BLOCK_GROUP_RAID1C3, 3 },
	};
	struct fixture f;
	int wrong = 0;

	for (unsigned i = 0; i < 3; i++) {
		uint64_t unallocated = 3 * GIB + 12345, nr = 0, want;

		setup(&f, false);
		f.meta->profile = cases[i].profile;
		space_set_unallocated(f.sp, unallocated, 4 * GIB);
		while (!space_reserve(f.meta, NODE, SPACE_NO_FLUSH, NULL))
			nr++;
		/* What counts is what could still be backed, a tenth of the device left for data.
		 */
		want = 64 * MIB + (unallocated / cases[i].copies - 4 * GIB / 10) / 2;
		if (nr != want / NODE)
			wrong = 1;
		space_release(f.meta, nr * NODE);
		teardown(&f);
	}
	return wrong;
}

static void test_overcommit(void **state)
{
	struct fixture f;

	assert_int_equal(overcommit_goes_too_far(), 0);
	setup(&f, false);
	assert_int_equal(overcommit(&f, 0, 0, 100 * GIB, SPACE_NO_FLUSH), 0);
	assert_int_equal(overcommit(&f, 0, GIB, 100 * GIB, SPACE_NO_FLUSH), 0);
	assert_int_equal(overcommit(&f, 0, 9 * GIB, 100 * GIB, SPACE_NO_FLUSH), 4 * GIB);
	assert_int_equal(overcommit(&f, 0, 9 * GIB, 100 * GIB, SPACE_FLUSH_LIMIT), 4 * GIB);
	assert_int_equal(overcommit(&f, 0, 9 * GIB, 100 * GIB, SPACE_FLUSH_ALL), GIB / 8);
	assert_int_equal(overcommit(&f, 0, 9 * GIB, 100 * GIB, SPACE_FLUSH_ALL_STEAL), GIB / 8);
	assert_int_equal(overcommit(&f, BTRFS_BLOCK_GROUP_DUP, 9 * GIB, 100 * GIB, SPACE_NO_FLUSH),
			 7 * GIB / 4);
	/* Data is never promised beyond what is there. */
	assert_int_equal(space_reserve(f.data, 64 * MIB, SPACE_NO_FLUSH, NULL), 0);
	assert_int_equal(space_reserve(f.data, 1, SPACE_NO_FLUSH, NULL), -ENOSPC);
	space_release(f.data, 64 * MIB);
	teardown(&f);
}

/* ---- rows ---- */

static void test_rows(void **state)
{
	struct fixture f;

	setup(&f, false);
	assert_int_equal(space_reserve(f.meta, 64 * MIB, SPACE_FLUSH_ALL, NULL), 0);
	assert_string_equal(f.trace, "");
	/* In vain: the first cycle spares the dear rows, the third is the last. */
	assert_int_equal(space_reserve(f.meta, NODE, SPACE_FLUSH_ALL, NULL), -ENOSPC);
	assert_string_equal(f.trace, "abcdefhjkabcdefghijkabcdefghijk");
	assert_true(f.meta->full);
	memset(f.trace, 0, sizeof(f.trace));
	/* A chunk helps, and no further row is run. */
	f.grow = f.meta;
	f.grow_by = MIB;
	f.grows = 1;
	assert_int_equal(space_reserve(f.meta, NODE, SPACE_FLUSH_ALL, NULL), 0);
	assert_string_equal(f.trace, "abcdefh");
	assert_false(f.meta->full);
	space_release(f.meta, NODE);
	space_release(f.meta, 64 * MIB);
	/* A commit that unpins. */
	memset(f.trace, 0, sizeof(f.trace));
	assert_int_equal(space_reserve(f.meta, 65 * MIB, SPACE_FLUSH_ALL, NULL), 0);
	space_alloc(f.meta, 65 * MIB, 65 * MIB);
	space_pin_reserved(f.meta, MIB);
	f.pinned = MIB;
	assert_int_equal(space_reserve(f.meta, MIB, SPACE_FLUSH_ALL, NULL), 0);
	assert_string_equal(f.trace, "abcdefhjk");
	/* Limited ones run little themselves, and inside a handle only what may run there. */
	memset(f.trace, 0, sizeof(f.trace));
	assert_int_equal(space_reserve(f.meta, MIB, SPACE_FLUSH_LIMIT, NULL), -ENOSPC);
	assert_string_equal(f.trace, "abh");
	memset(f.trace, 0, sizeof(f.trace));
	assert_int_equal(space_reserve(f.meta, MIB, SPACE_FLUSH_LIMIT, &f), -ENOSPC);
	assert_string_equal(f.trace, "ab");
	memset(f.trace, 0, sizeof(f.trace));
	assert_int_equal(space_reserve(f.meta, MIB, SPACE_FLUSH_EVICT, NULL), -ENOSPC);
	assert_string_equal(f.trace, "abcdefghk");
	/* Emergency looks past promises, not past what is placed. */
	assert_int_equal(space_reserve(f.meta, MIB, SPACE_NO_FLUSH, NULL), -ENOSPC);
	assert_int_equal(space_reserve(f.meta, MIB, SPACE_FLUSH_EMERGENCY, &f), 0);
	space_release(f.meta, MIB);
	assert_int_equal(space_reserve(f.meta, MIB + NODE, SPACE_FLUSH_EMERGENCY, &f), -ENOSPC);
	space_release(f.meta, MIB);
	space_free_reserved(f.meta, 64 * MIB);
	teardown(&f);
}

static void test_data_rows(void **state)
{
	struct fixture f;

	setup(&f, false);
	f.grow = f.data;
	f.grow_by = 16 * MIB;
	f.grows = 2;
	/* Chunks first, as many as it takes. */
	assert_int_equal(space_reserve(f.data, 96 * MIB, SPACE_FLUSH_DATA, NULL), 0);
	assert_string_equal(f.trace, "ii");
	memset(f.trace, 0, sizeof(f.trace));
	assert_int_equal(space_reserve(f.data, 4096, SPACE_FLUSH_DATA, NULL), -ENOSPC);
	assert_string_equal(f.trace, "igjki");
	space_release(f.data, 96 * MIB);
	teardown(&f);
}

static void test_abort(void **state)
{
	struct fixture f;

	setup(&f, false);
	f.abort_in_commit = true;
	assert_int_equal(space_reserve(f.meta, 65 * MIB, SPACE_FLUSH_ALL, NULL), -EROFS);
	assert_int_equal(space_reserve(f.meta, NODE, SPACE_NO_FLUSH, NULL), -EROFS);
	teardown(&f);
}

static void test_steal(void **state)
{
	struct fixture f;
	uint64_t left;

	setup(&f, false);
	rsv_global_update(&f.rsv, 20 * MIB, 3);
	assert_int_equal(f.rsv.global.reserved, 20 * MIB);
	assert_int_equal(space_reserve(f.meta, 44 * MIB, SPACE_NO_FLUSH, NULL), 0);
	assert_int_equal(space_reserve(f.meta, MIB, SPACE_FLUSH_ALL, NULL), -ENOSPC);
	assert_int_equal(space_reserve(f.meta, MIB, SPACE_FLUSH_ALL_STEAL, NULL), 0);
	assert_int_equal(space_reserve(f.meta, MIB, SPACE_FLUSH_EVICT, NULL), 0);
	assert_int_equal(f.rsv.global.reserved, 18 * MIB);
	assert_int_equal(counter_get(&f.counters, space_steals), 2);
	verify(&f);
	/* A tenth stays. */
	assert_int_equal(space_reserve(f.meta, 16 * MIB + 1, SPACE_FLUSH_EVICT, NULL), -ENOSPC);
	assert_int_equal(space_reserve(f.meta, 16 * MIB, SPACE_FLUSH_EVICT, NULL), 0);
	left = f.rsv.global.reserved;
	assert_int_equal(left, 2 * MIB);
	/* What is unpinned fills it up first. */
	space_alloc(f.meta, MIB, MIB);
	space_pin_reserved(f.meta, MIB);
	space_unpin(f.meta, MIB, false);
	assert_int_equal(f.rsv.global.reserved, 3 * MIB);
	space_release(f.meta, 61 * MIB);
	teardown(&f);
}

/* ---- waiting ---- */

struct waiter {
	struct fixture *f;
	uint64_t bytes;
	enum space_flush flush;
	int err;
	_Atomic bool done;
	pthread_t thread;
};

static void *wait_for_space(void *arg)
{
	struct waiter *w = arg;

	w->err = space_reserve(w->f->meta, w->bytes, w->flush, NULL);
	atomic_store(&w->done, true);
	return NULL;
}

static void start_waiter(struct waiter *w, struct fixture *f, uint64_t bytes,
			 enum space_flush flush)
{
	uint64_t before = counter_get(&f->counters, space_tickets);

	w->f = f;
	w->bytes = bytes;
	w->flush = flush;
	atomic_store(&w->done, false);
	assert_int_equal(pthread_create(&w->thread, NULL, wait_for_space, w), 0);
	while (counter_get(&f->counters, space_tickets) == before)
		usleep(500);
	/* The counter is raised just before, under the lock. */
	pthread_mutex_lock(&f->meta->lock);
	pthread_mutex_unlock(&f->meta->lock);
}

/* Who waits is woken by whoever gives back: the commit is held at the gate and can't be what wakes.
 */
static int release_forgets(void)
{
	struct fixture f;
	struct waiter w = { 0 };
	int wrong;

	setup(&f, true);
	assert_int_equal(space_reserve(f.meta, 64 * MIB, SPACE_NO_FLUSH, NULL), 0);
	pthread_mutex_lock(&f.gate);
	start_waiter(&w, &f, MIB, SPACE_FLUSH_ALL);
	space_release(f.meta, 2 * MIB);
	wrong = space_info_verify(f.meta) != NULL;
	pthread_mutex_unlock(&f.gate);
	pthread_join(w.thread, NULL);
	if (wrong)
		return 1;
	assert_int_equal(w.err, 0);
	space_release(f.meta, 63 * MIB);
	teardown(&f);
	return 0;
}

static void test_release_wakes(void **state)
{
	assert_int_equal(release_forgets(), 0);
}

static void test_fifo(void **state)
{
	struct fixture f;
	struct waiter big = { 0 }, small = { 0 };

	setup(&f, true);
	assert_int_equal(space_reserve(f.meta, 64 * MIB, SPACE_NO_FLUSH, NULL), 0);
	pthread_mutex_lock(&f.gate);
	start_waiter(&big, &f, 4 * MIB, SPACE_FLUSH_ALL);
	start_waiter(&small, &f, MIB, SPACE_FLUSH_ALL);
	/* Room for the small one, but it is not its turn; nor may anybody else jump in, but for
	 * priority. */
	space_release(f.meta, 2 * MIB);
	usleep(2000);
	assert_false(atomic_load(&small.done));
	assert_int_equal(space_reserve(f.meta, NODE, SPACE_NO_FLUSH, NULL), -ENOSPC);
	assert_int_equal(space_reserve(f.meta, NODE, SPACE_FLUSH_LIMIT, &f), 0);
	space_release(f.meta, NODE);
	verify(&f);
	space_release(f.meta, 2 * MIB);
	pthread_join(big.thread, NULL);
	assert_int_equal(big.err, 0);
	space_release(f.meta, MIB);
	pthread_join(small.thread, NULL);
	assert_int_equal(small.err, 0);
	/* A big one that cannot be served fails, and the small one behind it gets through. */
	start_waiter(&big, &f, 60 * MIB, SPACE_FLUSH_ALL);
	start_waiter(&small, &f, MIB, SPACE_FLUSH_ALL);
	pthread_mutex_lock(&f.meta->lock);
	f.meta->may_use -= MIB / 2; /* half of it comes without a word */
	f.meta->loose -= MIB / 2;
	pthread_mutex_unlock(&f.meta->lock);
	space_release(f.meta, MIB / 2);
	pthread_mutex_unlock(&f.gate);
	pthread_join(big.thread, NULL);
	pthread_join(small.thread, NULL);
	assert_int_equal(big.err, -ENOSPC);
	assert_int_equal(small.err, 0);
	space_release(f.meta, 64 * MIB);
	teardown(&f);
}

/* ---- threads ---- */

#define THREADS 6
#define STORM_BLOCKS 600

struct storm {
	struct fixture *f;
	unsigned seed, got, failed;
	pthread_t thread;
};

static void *storm(void *arg)
{
	static const enum space_flush modes[] = { SPACE_FLUSH_ALL, SPACE_NO_FLUSH,
						  SPACE_FLUSH_LIMIT, SPACE_FLUSH_ALL_STEAL,
						  SPACE_FLUSH_EVICT };
	struct storm *s = arg;
	struct fixture *f = s->f;

	uint64_t held = 0;

	for (unsigned i = 0; i < 1500; i++) {
		uint64_t bytes = (uint64_t)(1 + rand_r(&s->seed) % STORM_BLOCKS) * NODE;

		if (space_reserve(f->meta, bytes, modes[rand_r(&s->seed) % 5], NULL)) {
			s->failed++;
			space_release(f->meta, held);
			held = 0;
			continue;
		}
		s->got++;
		sched_yield();
		/* Placed bytes of all threads together always fit. */
		if (rand_r(&s->seed) % 4 == 0) {
			space_alloc(f->meta, bytes, bytes);
			space_insert(f->meta, bytes);
			space_drop(f->meta, bytes);
			space_unpin(f->meta, bytes, false);
			continue;
		}
		space_release(f->meta, held);
		held = bytes;
		if (i % 100 == 0 && space_info_verify(f->meta))
			abort();
	}
	space_release(f->meta, held);
	return NULL;
}

static int idle_row(void *arg, const struct space_row_ctx *ctx)
{
	return 0;
}

static void test_storm(void **state)
{
	struct fixture f;
	struct storm s[THREADS];
	unsigned got = 0;

	for (unsigned flusher = 0; flusher < 2; flusher++) {
		setup(&f, flusher);
		for (unsigned i = 0; i < SPACE_ROW_NR; i++)
			space_row_register(
				f.sp, i,
				&(struct space_row){ "idle", false, true, idle_row, NULL });
		rsv_global_update(&f.rsv, 4 * MIB, 3);
		for (unsigned i = 0; i < THREADS; i++) {
			s[i] = (struct storm){ .f = &f, .seed = i };
			assert_int_equal(pthread_create(&s[i].thread, NULL, storm, &s[i]), 0);
		}
		for (unsigned i = 0; i < THREADS; i++) {
			pthread_join(s[i].thread, NULL);
			got += s[i].got;
		}
		assert_true(got > 1000);
		assert_true(counter_get(&f.counters, space_tickets) > 0);
		verify(&f);
		assert_int_equal(f.meta->loose, 0);
		teardown(&f);
	}
}

static void test_text(void **state)
{
	struct fixture f;
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	setup(&f, false);
	assert_int_equal(space_reserve(f.meta, 65 * MIB, SPACE_FLUSH_ALL, NULL), -ENOSPC);
	space_to_text(f.sp, out);
	fclose(out);
	assert_non_null(strstr(text, "METADATA: total 67108864 used 0 pinned 0"));
	assert_non_null(strstr(text, "  delrefs: size 0 reserved 0"));
	assert_non_null(strstr(text, "row row: runs 3 errors 3 freed 0"));
	free(text);
	teardown(&f);
}

static void test_create_fails(void **state)
{
	struct counters counters;
	struct space_opts opts = { .nodesize = NODE, .sectorsize = 4096, .counters = &counters };
	struct space_info *si;
	struct space *sp;

	fault_arm(FAULT_ALLOC, 1);
	assert_int_equal(space_create(&opts, &sp), -ENOMEM);
	assert_null(sp);
	fault_arm(FAULT_ALLOC, 2);
	assert_int_equal(space_create(&opts, &sp), 0);
	assert_int_equal(space_info_create(sp, BTRFS_BLOCK_GROUP_DATA, &si), -ENOMEM);
	fault_arm(FAULT_ALLOC, 0);
	space_destroy(sp);
	space_destroy(NULL);
}

#ifdef UBTRFS_PLANT
static void test_plants(void **state)
{
	static const struct plant plants[] = {
		{ "space_release_no_wake", release_forgets },
		{ "space_overcommit_no_factor", overcommit_goes_too_far },
	};

	check_plants(plants, sizeof(plants) / sizeof(*plants));
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_life_cycle), cmocka_unit_test(test_asserts),
		cmocka_unit_test(test_overcommit), cmocka_unit_test(test_rows),
		cmocka_unit_test(test_data_rows),  cmocka_unit_test(test_abort),
		cmocka_unit_test(test_steal),	   cmocka_unit_test(test_release_wakes),
		cmocka_unit_test(test_fifo),	   cmocka_unit_test(test_storm),
		cmocka_unit_test(test_text),	   cmocka_unit_test(test_create_fails),
#ifdef UBTRFS_PLANT
		cmocka_unit_test(test_plants),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
