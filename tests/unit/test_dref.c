// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Delayed references: merging, cancelling, looking, running; and random files and snapshots over
 * the whole of space/, where after each commit the extent tree is what a walk over all trees finds.
 *
 * A failing run prints its seed; UBTRFS_SEED=n runs that one.
 */
#include "engine/space/dref.h"
#include "engine/util/fault.h"
#include "tests/unit/plants.h"
#include "tests/unit/spacerig.h"

#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A frame's lock is that of many blocks in turn: races are what is looked for, not orders. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
	return "detect_deadlocks=0";
}

#define check(cond)                                                                                \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "%s:%d: %s\n", __func__, __LINE__, #cond);                 \
			return false;                                                              \
		}                                                                                  \
	} while (0)

#define FILES 12
#define PLACES 24
#define STEP 65536ull

static const struct rig_opts small = {
	.nodesize = 4096,
	.blocks = 6000,
	.frames = 1500,
	.threads = 1,
	.data_bytes = 8 << 20,
	.skinny = true,
};

/* ---- random ---- */

static struct btrfs_key place_of(uint64_t *s)
{
	return (struct btrfs_key){ 256 + rig_rnd(s) % FILES, BTRFS_EXTENT_DATA_KEY,
				   rig_rnd(s) % PLACES * STEP };
}

static void put_or_delete(struct rig *r, struct space_trans *st, unsigned tree,
			  const struct btrfs_key *key, uint64_t *s)
{
	char bytes[300] = { 0 };
	int err = bt_insert(&st->bt, r->trees[tree], key, bytes, 50 + (uint32_t)(rig_rnd(s) % 250));

	if (err == -EEXIST)
		err = bt_delete(&st->bt, r->trees[tree], key);
	if (err)
		rig_wrong("filler: %d %s", err, r->v->heard.last);
}

static void filler(struct rig *r, struct space_trans *st, unsigned tree, uint64_t *s)
{
	struct btrfs_key key = { 256 + rig_rnd(s) % FILES, BTRFS_STRING_ITEM_KEY,
				 rig_rnd(s) % 900 };

	put_or_delete(r, st, tree, &key, s);
}

/* Enough for a tree of three levels: below the second, references are shared. */
static void fill(struct rig *r, uint64_t *s)
{
	struct space_trans st;

	for (unsigned i = 0; i < 5000; i++) {
		rig_begin(r, &st, 2);
		filler(r, &st, 0, s);
		rig_end(r, &st);
	}
}

/* Some file extent of any tree is shared with another place. */
static void share(struct rig *r, struct space_trans *st, unsigned tree, uint64_t *s)
{
	struct btrfs_key from = place_of(s), to = place_of(s);
	BT_PATH_CLEANUP struct bt_path path = BT_PATH_INIT;
	struct btrfs_file_extent_item fi;
	uint64_t sectors;
	int err = bt_search_ge(&r->trees[rig_rnd(s) % r->trees_nr]->root, &from, &path);

	if (err || bt_key(&path).type != BTRFS_EXTENT_DATA_KEY)
		return;
	memcpy(&fi, bt_item(&path), sizeof(fi));
	bt_path_release(&path);
	if (!le64_get(fi.disk_bytenr))
		return;
	/* Held by a reference of its own while its place may be the one that is cleared. */
	if (from.objectid == to.objectid && from.offset == to.offset)
		return;
	err = bt_search(&r->trees[tree]->root, &to, &path);
	bt_path_release(&path);
	if (err == 0)
		return;
	sectors = le64_get(fi.disk_num_bytes) / RIG_SECTOR;
	rig_clone(r, st, tree, to.objectid, to.offset, &fi, rig_rnd(s) % sectors * RIG_SECTOR);
}

static bool step(struct rig *r, uint64_t *s)
{
	unsigned tree = (unsigned)(rig_rnd(s) % r->trees_nr), what = (unsigned)(rig_rnd(s) % 100);
	struct btrfs_key at = place_of(s);
	struct space_trans st;

	rig_begin(r, &st, 6);
	if (what < 25) {
		rig_drop(r, &st, tree, at.objectid, at.offset);
		rig_write(r, &st, tree, at.objectid, at.offset, (1 + rig_rnd(s) % 16) * RIG_SECTOR,
			  rig_rnd(s) % 4);
	} else if (what < 50) {
		share(r, &st, tree, s);
	} else if (what < 70) {
		rig_drop(r, &st, tree, at.objectid, at.offset);
	} else if (what < 96) {
		filler(r, &st, tree, s);
	} else if (what < 98) {
		check(!dref_run(&st, 1 + (unsigned)(rig_rnd(s) % 20), false));
	} else {
		rig_write_some(r, 1 + (unsigned)(rig_rnd(s) % 40));
	}
	rig_end(r, &st);
	check(!r->aborted);
	return true;
}

static uint64_t met[3];

struct params {
	struct rig_opts o;
	unsigned rounds, steps;
	unsigned snapshots;
};

static bool run_random(const struct params *p, uint64_t seed)
{
	struct rig *r = rig_create(&p->o);
	struct space_trans st;
	uint64_t s = seed;
	bool ok = true;

	fill(r, &s);
	for (unsigned round = 0; ok && round < p->rounds; round++) {
		/* After a snapshot little, so that most is still shared. */
		unsigned steps = round % 4 == 1 ? p->steps : 1 + (unsigned)(rig_rnd(&s) % 12);

		for (unsigned i = 0; ok && i < steps; i++)
			ok = step(r, &s);
		if (ok && round % 4 == 2 && r->trees_nr <= p->snapshots) {
			rig_begin(r, &st, 10);
			/* What a snapshot shares must not depend on what is delayed; here it does,
			 * as hard as can be. */
			rig_snapshot(r, &st, (unsigned)(rig_rnd(&s) % r->trees_nr));
			rig_end(r, &st);
		}
		if (ok && rig_commit(r)) {
			fprintf(stderr, "commit: %s\n", r->v->heard.last);
			ok = false;
		}
		ok = ok && rig_verify(r) && rig_verify_backrefs(r);
	}
	met[0] += r->met_keyed;
	met[1] += r->met_shared_blocks;
	met[2] += r->met_shared_data;
	if (!ok)
		fprintf(stderr, "UBTRFS_SEED=%llu\n", (unsigned long long)seed);
	rig_destroy(r);
	return ok;
}

static uint64_t seed_or(uint64_t seed)
{
	const char *env = getenv("UBTRFS_SEED");

	return env ? strtoull(env, NULL, 10) : seed;
}

static void test_random(void **state)
{
	struct params p = { .o = small, .rounds = 24, .steps = 250, .snapshots = 5 };

	for (unsigned seed = 1; seed <= 4; seed++) {
		p.o.skinny = seed % 2;
		p.o.mode = seed > 2 ? BT_LINUX : BT_TWO_PASS;
		assert_true(run_random(&p, seed_or(seed)));
	}
	/* All kinds of references were met. */
	assert_true(met[0] && met[1] && met[2]);
	p.o.nodesize = 16384;
	p.o.blocks = 3000;
	assert_true(run_random(&p, seed_or(9)));
}

/* A cache that must write in mid-transaction to go on. */
static void test_small_cache(void **state)
{
	struct params p = { .o = small, .rounds = 8, .steps = 400, .snapshots = 3 };

	p.o.frames = 40;
	assert_true(run_random(&p, seed_or(11)));
}

/* ---- by hand ---- */

static const struct dref a = { .root = RIG_FIRST_TREE, .ino = 256 };
static const struct dref b = { .root = RIG_FIRST_TREE, .ino = 257, .offset = 4096 };

/* Space for a data extent; where it is. */
static uint64_t reserve(struct rig *r, uint64_t len)
{
	struct bg_request req = { .type = BTRFS_BLOCK_GROUP_DATA, .bytes = len, .min_bytes = len };
	uint64_t start, got;

	assert_int_equal(space_reserve(r->data, len, SPACE_NO_FLUSH, NULL), 0);
	assert_int_equal(bg_alloc(r->bgs, &req, &start, &got), 0);
	return start;
}

static void expect_refs(struct space_trans *st, uint64_t logical, uint64_t want)
{
	uint64_t refs, flags;

	assert_int_equal(dref_info(st, logical, -1, &refs, &flags), 0);
	assert_int_equal(refs, want);
}

static void test_merge(void **state)
{
	struct rig *r = rig_create(&small);
	struct space_trans st;
	uint64_t x, nr, size;

	rig_begin(r, &st, 10);
	nr = dref_nr(r->drefs);
	size = r->rsv.delayed_refs.size;
	x = reserve(r, 8192);
	assert_int_equal(dref_data(&st, x, 8192, &a, 1, true), 0);
	assert_int_equal(dref_nr(r->drefs), nr + 1);
	assert_int_equal(r->rsv.delayed_refs.size - size, rsv_ref_bytes(4096, false, 1));
	expect_refs(&st, x, 1);
	assert_int_equal(dref_data(&st, x, 8192, &b, 2, false), 0);
	assert_int_equal(dref_data(&st, x, 8192, &b, -1, false), 0);
	expect_refs(&st, x, 2);
	assert_int_equal(r->rsv.delayed_refs.size - size, rsv_ref_bytes(4096, false, 2));
	/* Not the only thing known of it. */
	assert_false(dref_cancel_fresh(&st, x));
	assert_int_equal(dref_run(&st, UINT_MAX, true), 0);
	assert_int_equal(r->data->used, 8192);
	expect_refs(&st, x, 2);
	/* With an item, an add and a drop are nothing at all. */
	nr = dref_nr(r->drefs);
	assert_int_equal(dref_data(&st, x, 8192, &a, 1, false), 0);
	expect_refs(&st, x, 3);
	assert_int_equal(dref_data(&st, x, 8192, &a, -1, false), 0);
	assert_int_equal(dref_nr(r->drefs), nr);
	/* Contradictions are said, and change nothing. */
	assert_int_equal(dref_data(&st, x, 8192, &a, -1, false), 0);
	assert_int_equal(dref_data(&st, x, 4096, &b, -1, false), -EUCLEAN);
	assert_int_equal(dref_data(&st, x, 8192, &b, 1, true), -EUCLEAN);
	assert_int_equal(dref_data(&st, x, 8192, &b, -1, false), 0);
	expect_refs(&st, x, 0);
	/* A drop that ends the extent has a share for its sums. */
	rig_settle_groups(r);
	assert_int_equal(r->rsv.delayed_refs.size,
			 rsv_ref_bytes(4096, false, 2) + rsv_ref_csum_bytes(4096, 1));
	assert_int_equal(dref_run(&st, UINT_MAX, true), 0);
	assert_int_equal(r->data->used, 0);
	assert_int_equal(r->data->pinned, 8192);
	rig_end(r, &st);
	assert_int_equal(rig_commit(r), 0);
	assert_true(rig_verify(r));
	rig_destroy(r);
}

static void test_fresh(void **state)
{
	struct rig *r = rig_create(&small);
	uint64_t x, y, nr, refs, flags;
	struct space_trans st;

	rig_begin(r, &st, 10);
	nr = dref_nr(r->drefs);
	/* Taken back: nothing is left, the space is the caller's. */
	x = reserve(r, 4096);
	assert_int_equal(dref_data(&st, x, 4096, &a, 1, true), 0);
	assert_true(dref_cancel_fresh(&st, x));
	assert_false(dref_cancel_fresh(&st, x));
	assert_int_equal(dref_nr(r->drefs), nr);
	bg_extent_unreserve(r->bgs, x, 4096);
	assert_int_equal(r->data->reserved, 0);
	/* Dropped after it may have been written: never gets an item, and its space is pinned. */
	y = reserve(r, 4096);
	assert_int_equal(dref_data(&st, y, 4096, &a, 1, true), 0);
	assert_int_equal(dref_data(&st, y, 4096, &a, -1, false), 0);
	assert_int_equal(dref_nr(r->drefs), nr + 1);
	expect_refs(&st, y, 0);
	assert_int_equal(dref_run(&st, UINT_MAX, true), 0);
	assert_int_equal(r->data->pinned, 4096);
	assert_int_equal(r->data->reserved, 0);
	assert_true(bg_is_pinned(r->bgs, y, 4096));
	/* Flags go into an item that is about to be made. */
	x = reserve(r, 4096);
	assert_int_equal(dref_tree(&st, x, 0, &(struct dref){ .root = 300 }, 1,
				   &(struct btrfs_key){ 1, 2, 3 }),
			 0);
	assert_int_equal(dref_flags(&st, x, 0, BTRFS_BLOCK_FLAG_FULL_BACKREF), 0);
	assert_false(dref_cancel_fresh(&st, x));
	assert_int_equal(dref_info(&st, x, 0, &refs, &flags), 0);
	assert_int_equal(flags, BTRFS_BLOCK_FLAG_FULL_BACKREF);
	assert_int_equal(dref_run(&st, UINT_MAX, true), 0);
	assert_int_equal(dref_info(&st, x, 0, &refs, &flags), 0);
	assert_int_equal(refs, 1);
	assert_int_equal(flags, BTRFS_BLOCK_FLAG_FULL_BACKREF);
	/* A level that is not the item's. */
	assert_int_equal(dref_info(&st, x, 1, &refs, &flags), -EUCLEAN);
	rig_end(r, &st);
	rig_destroy(r);
}

/* The last reference changes hands: the count must not pass through 0 on the way. */
static bool run_swaps(void)
{
	struct rig *r = rig_create(&small);
	struct dref from = { .root = 300, .ino = 256 }, to = from;
	struct space_trans st;
	uint64_t x, refs, flags;
	bool ok;

	rig_begin(r, &st, 20);
	x = reserve(r, 4096);
	ok = !dref_data(&st, x, 4096, &from, 1, true) && !dref_run(&st, UINT_MAX, true);
	for (unsigned i = 1; ok && i < 20; i++) {
		to.ino = 256 + i;
		ok = !dref_data(&st, x, 4096, &from, -1, false) &&
		     !dref_data(&st, x, 4096, &to, 1, false) && !dref_run(&st, UINT_MAX, true);
		ok = ok && !dref_info(&st, x, -1, &refs, &flags) && refs == 1 && !r->aborted;
		from = to;
	}
	ok = ok && r->data->used == 4096 && !r->data->pinned;
	rig_end(r, &st);
	rig_destroy(r);
	return ok;
}

static void test_swaps(void **state)
{
	assert_true(run_swaps());
}

/* What cannot be: a reference dropped that is not there aborts, and the set is given back whole. */
static void test_abort(void **state)
{
	struct rig *r = rig_create(&small);
	struct space_trans st;
	uint64_t x, y;

	rig_begin(r, &st, 10);
	x = reserve(r, 4096);
	y = reserve(r, 4096);
	assert_int_equal(dref_data(&st, x, 4096, &a, 1, true), 0);
	assert_int_equal(dref_data(&st, y, 4096, &a, 1, true), 0);
	assert_int_equal(dref_run(&st, UINT_MAX, true), 0);
	assert_int_equal(dref_data(&st, x, 4096, &b, -1, false), 0);
	assert_int_equal(dref_data(&st, y, 4096, &b, -1, false), 0);
	assert_int_equal(dref_run(&st, UINT_MAX, true), -EUCLEAN);
	assert_int_equal(r->aborted, -EUCLEAN);
	assert_true(dref_nr(r->drefs) > 0);
	rig_end(r, &st);
	dref_set_destroy(r->drefs);
	rig_settle_groups(r);
	assert_int_equal(r->rsv.delayed_refs.size, 0);
	assert_int_equal(dref_set_create(&r->fs, &r->drefs), 0);
	rig_destroy(r);
}

static void test_no_memory(void **state)
{
	struct rig *r = rig_create(&small);
	struct space_trans st;
	uint64_t x, nr;

	rig_begin(r, &st, 10);
	nr = dref_nr(r->drefs);
	x = reserve(r, 4096);
	for (uint64_t nth = 1; nth <= 2; nth++) {
		fault_arm(FAULT_ALLOC, nth);
		assert_int_equal(dref_data(&st, x, 4096, &a, 1, true), -ENOMEM);
		fault_arm(FAULT_ALLOC, 0);
		assert_int_equal(dref_nr(r->drefs), nr);
	}
	bg_extent_unreserve(r->bgs, x, 4096);
	rig_end(r, &st);
	rig_destroy(r);
}

/* ---- threads: some add and look, one runs ---- */

#define EXTENTS 64
#define WORKERS 3

struct crew {
	struct rig *r;
	uint64_t first;
	_Atomic unsigned left;
	_Atomic bool wrong;
};

struct worker {
	struct crew *crew;
	unsigned nr;
};

/* Each has references of its own to all the extents, so that it knows the least that must be there.
 */
static void *work(void *arg)
{
	struct worker *w = arg;
	struct crew *c = w->crew;
	bool mine[EXTENTS] = { 0 };
	uint64_t s = w->nr, refs, flags;

	for (unsigned i = 0; i < 3000 && !c->wrong; i++) {
		unsigned k = (unsigned)(rig_rnd(&s) % EXTENTS);
		struct dref ref = { .root = 300, .ino = 300 + w->nr, .offset = k * 4096ull };
		struct space_trans st;

		rig_begin(c->r, &st, 1);
		if (dref_data(&st, c->first + k * 4096ull, 4096, &ref, mine[k] ? -1 : 1, false))
			c->wrong = true;
		mine[k] = !mine[k];
		k = (unsigned)(rig_rnd(&s) % EXTENTS);
		if (dref_info(&st, c->first + k * 4096ull, -1, &refs, &flags) ||
		    refs < 1u + mine[k] || refs > WORKERS + 1u)
			c->wrong = true;
		rig_end(c->r, &st);
	}
	c->left--;
	return NULL;
}

static void test_threads(void **state)
{
	struct rig_opts o = small;
	struct worker w[WORKERS];
	pthread_t threads[WORKERS];
	struct space_trans st;
	struct crew c;

	o.threads = WORKERS + 2;
	c = (struct crew){ .r = rig_create(&o), .left = WORKERS };
	rig_begin(c.r, &st, 30);
	c.first = reserve(c.r, EXTENTS * 4096ull);
	for (unsigned k = 0; k < EXTENTS; k++)
		assert_int_equal(dref_data(&st, c.first + k * 4096ull, 4096, &a, 1, true), 0);
	assert_int_equal(dref_run(&st, UINT_MAX, true), 0);
	for (unsigned i = 0; i < WORKERS; i++) {
		w[i] = (struct worker){ &c, i };
		assert_int_equal(pthread_create(&threads[i], NULL, work, &w[i]), 0);
	}
	while (c.left && !c.wrong)
		assert_int_equal(dref_run(&st, 0, true), 0);
	for (unsigned i = 0; i < WORKERS; i++)
		pthread_join(threads[i], NULL);
	assert_false(c.wrong);
	assert_int_equal(dref_run(&st, UINT_MAX, true), 0);
	rig_settle_groups(c.r);
	assert_int_equal(c.r->rsv.delayed_refs.size, 0);
	rig_end(c.r, &st);
	rig_destroy(c.r);
}

/* ---- threads that change trees which share blocks, while one runs and blocks are written out ----
 */

static void *change(void *arg)
{
	struct worker *w = arg;
	struct rig *r = w->crew->r;
	uint64_t s = 77 + w->nr, ino = 1000 + w->nr;

	for (unsigned i = 0; i < 250 && !r->aborted; i++) {
		struct btrfs_key key = { 256 + w->nr + WORKERS * (rig_rnd(&s) % 3),
					 BTRFS_STRING_ITEM_KEY, rig_rnd(&s) % 60 };
		/* The last one stays as it is, and keeps what the others leave behind. */
		unsigned tree = (unsigned)(rig_rnd(&s) % (r->trees_nr - 1));
		uint64_t off = rig_rnd(&s) % PLACES * STEP;
		struct space_trans st;

		rig_begin(r, &st, 6);
		switch (rig_rnd(&s) % 3) {
		case 0:
			rig_drop(r, &st, tree, ino, off);
			break;
		case 1:
			rig_drop(r, &st, tree, ino, off);
			rig_write(r, &st, tree, ino, off, RIG_SECTOR, false);
			break;
		default:
			put_or_delete(r, &st, tree, &key, &s);
		}
		rig_end(r, &st);
	}
	w->crew->left--;
	return NULL;
}

static void test_crowd(void **state)
{
	struct rig_opts o = small;
	struct worker w[WORKERS];
	pthread_t threads[WORKERS];
	struct space_trans st;
	struct crew c;
	uint64_t s = 5;

	o.threads = WORKERS + 2;
	o.frames = 300;
	c = (struct crew){ .r = rig_create(&o), .left = WORKERS };
	fill(c.r, &s);
	for (unsigned i = 0; i < 3; i++) {
		rig_begin(c.r, &st, 10);
		rig_snapshot(c.r, &st, i / 2);
		rig_end(c.r, &st);
		assert_int_equal(rig_commit(c.r), 0);
	}
	for (unsigned i = 0; i < WORKERS; i++) {
		w[i] = (struct worker){ &c, i };
		assert_int_equal(pthread_create(&threads[i], NULL, change, &w[i]), 0);
	}
	while (c.left && !c.r->aborted) {
		rig_begin(c.r, &st, 0);
		assert_int_equal(dref_run(&st, 30, true), 0);
		rig_end(c.r, &st);
		rig_write_some(c.r, 20);
	}
	for (unsigned i = 0; i < WORKERS; i++)
		pthread_join(threads[i], NULL);
	assert_false(c.r->aborted);
	assert_int_equal(rig_commit(c.r), 0);
	assert_true(rig_verify(c.r));
	assert_true(rig_verify_backrefs(c.r));
	assert_true(c.r->met_shared_blocks);
	rig_destroy(c.r);
}

#ifdef UBTRFS_PLANT
static int check_swaps(void)
{
	return !run_swaps();
}

static int check_random(void)
{
	struct params p = { .o = small, .rounds = 8, .steps = 250, .snapshots = 4 };

	return !run_random(&p, 1);
}

static void test_plants(void **state)
{
	assert_false(caught("none", check_swaps));
	assert_false(caught("none", check_random));
	assert_true(caught("dref_drop_before_add", check_swaps));
	assert_true(caught("extent_inline_order", check_random));
	assert_true(caught("backref_skips_shared", check_random));
	assert_true(caught("csum_del_too_much", check_random));
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_merge),	    cmocka_unit_test(test_fresh),
		cmocka_unit_test(test_swaps),	    cmocka_unit_test(test_abort),
		cmocka_unit_test(test_no_memory),   cmocka_unit_test(test_threads),
		cmocka_unit_test(test_crowd),	    cmocka_unit_test(test_random),
		cmocka_unit_test(test_small_cache),
#ifdef UBTRFS_PLANT
		cmocka_unit_test(test_plants),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
