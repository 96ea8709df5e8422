// SPDX-License-Identifier: GPL-2.0-or-later
/* Block reserves: formulas, routing of excess, what a handle may take. */
#include "engine/space/block_rsv.h"
#include "engine/util/fault.h"
#include "tests/unit/plants.h"

#include <assert.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define MIB (1ULL << 20)
#define NODE 16384u
#define UNIT (16ULL * NODE)

struct fixture {
	struct counters counters;
	struct msg *msg;
	unsigned said;
	struct space *sp;
	struct space_info *meta, *sys;
	struct rsv_set set;
};

static void hear(void *arg, enum msg_level level, const char *text)
{
	((struct fixture *)arg)->said++;
}

static void setup(struct fixture *f, uint64_t bytes)
{
	struct space_opts opts = { .nodesize = NODE, .sectorsize = 4096, .counters = &f->counters };

	memset(f, 0, sizeof(*f));
	assert_int_equal(msg_create(hear, f, &f->msg), 0);
	opts.msg = f->msg;
	assert_int_equal(space_create(&opts, &f->sp), 0);
	assert_int_equal(space_info_create(f->sp, BTRFS_BLOCK_GROUP_METADATA, &f->meta), 0);
	assert_int_equal(space_info_create(f->sp, BTRFS_BLOCK_GROUP_SYSTEM, &f->sys), 0);
	rsv_set_init(&f->set, f->sp, true);
	space_add_group(f->meta, bytes, 0, 0);
	space_add_group(f->sys, 8 * MIB, 0, 0);
}

static void verify(struct fixture *f)
{
	const char *wrong = space_info_verify(f->meta);

	if (wrong)
		print_error("%s\n", wrong);
	assert_null(wrong);
	assert_null(space_info_verify(f->sys));
}

static void teardown(struct fixture *f)
{
	verify(f);
	rsv_set_fini(&f->set);
	assert_int_equal(f->meta->may_use, 0);
	assert_int_equal(f->meta->loose, 0);
	space_destroy(f->sp);
	msg_destroy(f->msg);
}

static void test_formulas(void **state)
{
	assert_int_equal(rsv_insert_bytes(NODE, 1), 262144);
	assert_int_equal(rsv_insert_bytes(NODE, 5), 1310720);
	assert_int_equal(rsv_change_bytes(NODE, 1), 131072);
	assert_int_equal(rsv_ref_bytes(NODE, true, 1), 524288);
	assert_int_equal(rsv_ref_bytes(NODE, false, 1), 262144);
	assert_int_equal(rsv_ref_csum_bytes(NODE, 1), 131072);
	/* 3 trees and the unlink's 7 items, and delayed refs for those. */
	assert_int_equal(rsv_global_size(NODE, true, 0, 3), 10 * UNIT + 14 * UNIT);
	assert_int_equal(rsv_global_size(NODE, true, 100 * MIB, 3), 100 * MIB);
	assert_int_equal(rsv_global_size(NODE, true, 4096 * MIB, 3), 512 * MIB);
}

/*
 * What is set aside for an item covers one search in trees of up to three levels. The named case is
 * four: a leaf split in three whose siblings, and those of both nodes above, are copied, under a
 * root that splits.
 */
static void test_budget(void **state)
{
	const uint64_t blocks = rsv_insert_bytes(NODE, 1) / NODE;

	for (unsigned height = 1; height <= 3; height++)
		assert_true(blocks >= rsv_search_budget(height));
	assert_int_equal(rsv_search_budget(1), 4);
	assert_int_equal(rsv_search_budget(2), 8);
	assert_int_equal(rsv_search_budget(3), 13);
	assert_int_equal(rsv_search_budget(4), 18);
	assert_true(blocks < rsv_search_budget(4));
}

/* Excess goes to the delayed refs, then the rest back; from the delayed refs to the global one. 0:
 * all well. */
static int wrong_routing(void)
{
	struct fixture f;
	struct block_rsv temp;
	int wrong = 0;

	setup(&f, 64 * MIB);
	rsv_init(&f.set, &temp, RSV_TEMP, f.meta);
	rsv_global_update(&f.set, 0, 3);
	assert_int_equal(space_reserve(f.meta, MIB, SPACE_NO_FLUSH, NULL), 0);
	rsv_refs_add(&f.set, NULL, 1, 0); /* wants 2 units, has none */
	assert_int_equal(rsv_add(&f.set, &temp, 5 * UNIT, SPACE_NO_FLUSH, NULL), 0);
	wrong |= rsv_release(&f.set, &temp, 3 * UNIT) != UNIT;
	wrong |= f.set.delayed_refs.reserved != 2 * UNIT || !f.set.delayed_refs.full;
	wrong |= temp.reserved != 2 * UNIT || temp.size != 2 * UNIT;
	/* The global one lacks a block; the delayed refs are done. */
	f.set.global.reserved -= NODE;
	f.set.global.full = false;
	f.meta->may_use -= NODE;
	rsv_refs_release(&f.set, 1, 0);
	wrong |= f.set.global.reserved != f.set.global.size || f.set.delayed_refs.reserved;
	wrong |= space_info_verify(f.meta) != NULL;
	rsv_fini(&f.set, &temp);
	space_release(f.meta, MIB);
	if (!wrong)
		teardown(&f);
	return wrong;
}

static void test_routing(void **state)
{
	assert_int_equal(wrong_routing(), 0);
}

static const struct rsv_root subvol = { .id = BTRFS_FS_TREE_OBJECTID, .shareable = true };
static const struct rsv_root extents = { .id = BTRFS_EXTENT_TREE_OBJECTID };
static const struct rsv_root roots = { .id = BTRFS_ROOT_TREE_OBJECTID };
static const struct rsv_root log_root = { .id = BTRFS_TREE_LOG_OBJECTID, .log = true };

static void test_which(void **state)
{
	struct rsv_root csum = { .id = BTRFS_CSUM_TREE_OBJECTID };
	struct rsv_handle h = { 0 };
	struct fixture f;

	setup(&f, 64 * MIB);
	assert_int_equal(rsv_handle_begin(&f.set, &h, 1, SPACE_NO_FLUSH), 0);
	assert_ptr_equal(rsv_for_root(&f.set, &h, &subvol), &h.own);
	assert_ptr_equal(rsv_for_root(&f.set, &h, &extents), &f.set.delayed_refs);
	assert_ptr_equal(rsv_for_root(&f.set, &h, &csum), &f.set.delayed_refs);
	csum.adding_csums = true;
	assert_ptr_equal(rsv_for_root(&f.set, &h, &csum), &h.own);
	assert_ptr_equal(rsv_for_root(&f.set, &h, &roots), &f.set.global);
	assert_ptr_equal(rsv_for_root(&f.set, &h, &log_root), &f.set.empty);
	assert_ptr_equal(
		rsv_for_root(&f.set, &h, &(struct rsv_root){ .id = BTRFS_CHUNK_TREE_OBJECTID }),
		&f.set.chunk);
	rsv_handle_end(&f.set, &h);
	teardown(&f);
}

static void test_handle(void **state)
{
	struct block_rsv *paid;
	struct rsv_handle h;
	struct fixture f;

	for (unsigned pool = 0; pool < 2; pool++) {
		setup(&f, 64 * MIB);
		f.set.one_pool = pool;
		assert_int_equal(rsv_handle_begin(&f.set, &h, 2, SPACE_FLUSH_ALL), 0);
		assert_int_equal(f.meta->may_use, 2 * UNIT + 4 * UNIT);
		assert_int_equal((pool ? &f.set.trans : &h.own)->reserved, 2 * UNIT);
		assert_int_equal(h.blocks_set_aside, 32);
		verify(&f);
		assert_int_equal(rsv_use_block(&f.set, &h, &subvol, &paid), 0);
		assert_ptr_equal(paid, h.rsv);
		assert_int_equal(f.meta->loose, NODE);
		space_alloc(f.meta, NODE, NODE);
		rsv_refs_add(&f.set, &h, 1, 0);
		assert_int_equal(h.delayed.reserved, 2 * UNIT);
		assert_int_equal(f.set.delayed_refs.reserved, 2 * UNIT);
		/* Given back: as if never taken. */
		assert_int_equal(rsv_use_block(&f.set, &h, &subvol, &paid), 0);
		rsv_unuse_block(&f.set, &h, paid);
		assert_int_equal(h.blocks_taken, 1);
		assert_int_equal(paid->reserved, 2 * UNIT - NODE);
		/* A delayed item takes one item's worth; two there were, one block is gone. */
		assert_int_equal(rsv_handle_migrate(&f.set, &h, &f.set.delayed_items, UNIT), 0);
		assert_int_equal(rsv_handle_migrate(&f.set, &h, &f.set.delayed_items, UNIT),
				 -ENOSPC);
		assert_int_equal(f.set.delayed_items.size, UNIT);
		assert_int_equal(rsv_handle_extend(&f.set, &h, 1, SPACE_NO_FLUSH), 0);
		verify(&f);
		rsv_handle_end(&f.set, &h);
		assert_int_equal(f.meta->may_use, UNIT + 2 * UNIT);
		rsv_refs_release(&f.set, 1, 0);
		space_free_reserved(f.meta, NODE);
		teardown(&f);
	}
}

/* Begin gets along with less where its mode allows it. */
static void test_begin_short(void **state)
{
	struct rsv_handle h;
	struct fixture f;

	setup(&f, 8 * UNIT);
	rsv_refs_add(&f.set, NULL, 3, 0);
	/* 1 item, 2 units of refs, 6 that the delayed refs lack: too much. Without those it fits.
	 */
	assert_int_equal(rsv_handle_begin(&f.set, &h, 1, SPACE_FLUSH_ALL), 0);
	assert_int_equal(f.set.delayed_refs.reserved, 0);
	assert_int_equal(f.meta->may_use, 3 * UNIT);
	rsv_handle_end(&f.set, &h);
	assert_int_equal(f.set.delayed_refs.reserved,
			 UNIT); /* from the handle; its refs' share went to global or back */
	rsv_refs_release(&f.set, 3, 0);
	assert_int_equal(space_reserve(f.meta, 6 * UNIT, SPACE_NO_FLUSH, NULL), 0);
	assert_int_equal(rsv_handle_begin(&f.set, &h, 1, SPACE_FLUSH_ALL), -ENOSPC);
	assert_int_equal(f.meta->may_use, 6 * UNIT);
	assert_int_equal(rsv_handle_begin(&f.set, &h, 1, SPACE_FLUSH_ALL_STEAL), 0);
	assert_int_equal(h.delayed.reserved, 0);
	assert_int_equal(f.meta->may_use, 7 * UNIT);
	rsv_handle_end(&f.set, &h);
	space_release(f.meta, 6 * UNIT);
	/* What the delayed refs lack comes along when there is room. */
	rsv_refs_add(&f.set, NULL, 1, 0);
	assert_int_equal(rsv_handle_begin(&f.set, &h, 1, SPACE_FLUSH_ALL), 0);
	assert_true(f.set.delayed_refs.full);
	rsv_handle_end(&f.set, &h);
	rsv_refs_release(&f.set, 1, 0);
	teardown(&f);
}

static void take_17(struct fixture *f, struct rsv_handle *h)
{
	struct block_rsv *paid;

	for (unsigned i = 0; i < 17; i++) {
		assert_int_equal(rsv_use_block(&f->set, h, &subvol, &paid), 0);
		space_alloc(f->meta, NODE, NODE);
	}
}

/* The 17th block of one item: counted, said once, and paid by the last resort; the pool lets others
 * pay. */
static void test_overrun(void **state)
{
	struct rsv_handle h, innocent;
	struct fixture f;

	for (unsigned pool = 0; pool < 2; pool++) {
		setup(&f, 64 * MIB);
		f.set.assert_overruns = false;
		f.set.one_pool = pool;
		rsv_global_update(&f.set, 0, 3);
		assert_int_equal(rsv_handle_begin(&f.set, &innocent, 1, SPACE_NO_FLUSH), 0);
		assert_int_equal(rsv_handle_begin(&f.set, &h, 1, SPACE_NO_FLUSH), 0);
		take_17(&f, &h);
		take_17(&f, &h);
		assert_int_equal(h.overruns, 18);
		assert_int_equal(counter_get(&f.counters, rsv_overruns), 18);
		assert_int_equal(f.said, 1);
		if (pool) {
			assert_int_equal(f.set.trans.reserved, 0); /* the innocent's are gone too */
		} else {
			assert_int_equal(innocent.own.reserved, UNIT);
			assert_int_equal(counter_get(&f.counters, rsv_global), 18);
			assert_int_equal(f.set.global.reserved, f.set.global.size - 18 * NODE);
		}
		rsv_handle_end(&f.set, &h);
		rsv_handle_end(&f.set, &innocent);
		space_free_reserved(f.meta, 34 * NODE);
		teardown(&f);
	}
}

static void test_overrun_asserts(void **state)
{
#ifndef NDEBUG
	struct rsv_handle h;
	struct fixture f;
	int status;
	pid_t pid;

	setup(&f, 64 * MIB);
	assert_int_equal(rsv_handle_begin(&f.set, &h, 1, SPACE_NO_FLUSH), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		if (!freopen("/dev/null", "w", stderr))
			_exit(0);
		take_17(&f, &h);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_not_equal(status, 0);
	rsv_handle_end(&f.set, &h);
	teardown(&f);
#endif
}

/* The order of last resorts, and that a log stops early. */
static void test_dry(void **state)
{
	struct block_rsv *paid;
	struct fixture f;
	uint64_t held;

	setup(&f, 64 * MIB);
	rsv_global_update(&f.set, 0, 3);
	held = 64 * MIB - f.set.global.size;
	/* Room: anew. */
	assert_int_equal(rsv_use_block(&f.set, NULL, &extents, &paid), 0);
	assert_ptr_equal(paid, &f.set.delayed_refs);
	assert_int_equal(counter_get(&f.counters, rsv_fresh), 1);
	rsv_unuse_block(&f.set, NULL, paid);
	assert_int_equal(space_reserve(f.meta, held, SPACE_NO_FLUSH, NULL), 0);
	/* A log gets nothing that others need. */
	assert_int_equal(rsv_use_block(&f.set, NULL, &log_root, &paid), -ENOSPC);
	assert_null(paid);
	/* No room: the global reserve, down to nothing, then past promises. */
	for (uint64_t left = f.set.global.size; left; left -= NODE) {
		assert_int_equal(rsv_use_block(&f.set, NULL, &extents, &paid), 0);
		assert_ptr_equal(paid, &f.set.global);
		space_alloc(f.meta, NODE, NODE);
	}
	assert_int_equal(counter_get(&f.counters, rsv_emergency), 0);
	assert_int_equal(rsv_use_block(&f.set, NULL, &extents, &paid), 0);
	assert_ptr_equal(paid, &f.set.delayed_refs);
	assert_int_equal(counter_get(&f.counters, rsv_emergency), 1);
	space_alloc(f.meta, NODE, NODE);
	/* The global reserve's own trees fill it up once more, from nothing. */
	assert_int_equal(f.set.global.reserved, 0);
	assert_int_equal(rsv_use_block(&f.set, NULL, &roots, &paid), 0);
	assert_ptr_equal(paid, &f.set.global);
	rsv_unuse_block(&f.set, NULL, paid);
	assert_int_equal(f.set.global.reserved, f.set.global.size);
	space_free_reserved(f.meta, f.set.global.size + NODE);
	space_release(f.meta, held);
	teardown(&f);
}

static void test_refs(void **state)
{
	struct fixture f;

	setup(&f, 64 * MIB);
	rsv_global_update(&f.set, 0, 3);
	assert_false(rsv_refs_pressing(&f.set));
	rsv_refs_add(&f.set, NULL, 2, 3);
	assert_int_equal(f.set.delayed_refs.size, 4 * UNIT + 3 * UNIT / 2);
	assert_int_equal(rsv_refs_refill(&f.set, SPACE_NO_FLUSH, NULL), 0);
	assert_int_equal(f.set.delayed_refs.reserved, 2 * UNIT);
	rsv_refs_groups(&f.set, 1, 2);
	assert_int_equal(f.set.delayed_refs.size, 4 * UNIT + 3 * UNIT / 2 + 2 * UNIT);
	rsv_refs_groups(&f.set, -1, -2);
	rsv_refs_add(&f.set, NULL, 20, 0);
	assert_true(rsv_refs_pressing(&f.set));
	rsv_refs_release(&f.set, 22, 3);
	assert_int_equal(f.set.delayed_refs.reserved, 0);
	assert_true(rsv_check(&f.set.global, 100));
	teardown(&f);
}

/* Handles, refs and blocks by chance: every sum stays right, and at the end nothing is left. */
static void test_random(void **state)
{
	struct rsv_handle h[4];
	struct fixture f;
	unsigned seed = 1;
	uint64_t refs = 0, reserved = 0;
	bool open[4];

	for (unsigned pool = 0; pool < 2; pool++) {
		setup(&f, 24 * MIB);
		f.set.one_pool = pool;
		f.set.assert_overruns = false;
		memset(open, 0, sizeof(open));
		rsv_global_update(&f.set, 0, 3);
		for (unsigned i = 0; i < 4000; i++) {
			unsigned n = (unsigned)rand_r(&seed) % 4,
				 what = (unsigned)rand_r(&seed) % 16;
			struct block_rsv *paid;

			if (!open[n]) {
				open[n] = !rsv_handle_begin(&f.set, &h[n], what % 3,
							    what & 4 ? SPACE_FLUSH_ALL
								     : SPACE_NO_FLUSH);
			} else if (what == 0) {
				rsv_handle_end(&f.set, &h[n]);
				open[n] = false;
			} else if (what < 4) {
				rsv_refs_add(&f.set, &h[n], what, what & 1);
				rsv_refs_release(&f.set, 0, what & 1);
				refs += what;
			} else if (what < 6 && refs) {
				rsv_refs_release(&f.set, 1, 0);
				refs--;
			} else if (!rsv_use_block(&f.set, &h[n], what & 1 ? &subvol : &extents,
						  &paid)) {
				if (what < 8 || reserved > 4 * MIB) {
					rsv_unuse_block(&f.set, &h[n], paid);
				} else {
					space_alloc(f.meta, NODE, NODE);
					reserved += NODE;
				}
			}
			if (what == 9) {
				space_free_reserved(f.meta, reserved);
				reserved = 0;
			}
			verify(&f);
		}
		for (unsigned n = 0; n < 4; n++)
			if (open[n])
				rsv_handle_end(&f.set, &h[n]);
		rsv_refs_release(&f.set, refs, 0);
		space_free_reserved(f.meta, reserved);
		refs = reserved = 0;
		teardown(&f);
	}
}

#ifdef UBTRFS_PLANT
static void test_plants(void **state)
{
	assert_false(caught("none", wrong_routing));
	assert_true(caught("rsv_excess_to_nobody", wrong_routing));
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_formulas), cmocka_unit_test(test_budget),
		cmocka_unit_test(test_routing),	 cmocka_unit_test(test_which),
		cmocka_unit_test(test_handle),	 cmocka_unit_test(test_begin_short),
		cmocka_unit_test(test_overrun),	 cmocka_unit_test(test_overrun_asserts),
		cmocka_unit_test(test_dry),	 cmocka_unit_test(test_refs),
		cmocka_unit_test(test_random),
#ifdef UBTRFS_PLANT
		cmocka_unit_test(test_plants),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
