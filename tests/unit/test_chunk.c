// SPDX-License-Identifier: GPL-2.0-or-later
/* Chunks that come and go, over real trees: births, items, failures, removal, the superblock's
 * array. */
#include "engine/util/fault.h"
#include "tests/unit/chunkfs.h"
#include "tests/unit/plants.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define MIB (1ULL << 20)
#define GIB (1ULL << 30)

#define DATA BTRFS_BLOCK_GROUP_DATA
#define META BTRFS_BLOCK_GROUP_METADATA
#define SYS BTRFS_BLOCK_GROUP_SYSTEM

static void right(struct chunkfs *f)
{
	const char *wrong = chunkfs_check(f);

	if (wrong)
		print_error("%s\n", wrong);
	assert_null(wrong);
}

static const struct chunkfs_opts kinds[] = {
	{ .disk_bytes = 2 * GIB },
	{ .disk_bytes = 2 * GIB, .dup = true },
	{ .disk_bytes = 2 * GIB, .dup = true, .bg_tree = true },
	{ .disk_bytes = 2 * GIB, .no_fst = true },
	{ .disk_bytes = 2 * GIB, .mixed = true },
	{ .disk_bytes = 2 * GIB, .mixed = true, .dup = true, .no_fst = true, .bg_tree = true },
};

/* The last chunk of the map. */
static struct vol_chunk_info last_chunk(struct chunkfs *f)
{
	struct vol_chunk_info c = { 0 }, last = { 0 };

	while (vol_chunk_next(f->fs.vol, c.logical + c.len, &c))
		last = c;
	return last;
}

static void test_made(void **state)
{
	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct chunkfs *f = chunkfs_create(&kinds[i]);

		right(f);
		chunkfs_destroy(f);
	}
}

/* Chunks are born, used before they have items, and created; twice. */
static void test_birth(void **state)
{
	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct chunkfs *f = chunkfs_create(&kinds[i]);
		uint64_t start, first_new, before = dev_space_unallocated(f->fs.devs);
		struct vol_chunk_info c;

		for (unsigned k = 0; k < 2; k++) {
			chunkfs_begin(f);
			c = last_chunk(f);
			first_new = c.logical + c.len;
			assert_int_equal(chunk_alloc_now(&f->st, META), 0);
			assert_int_equal(chunk_alloc_now(&f->st, DATA), 0);
			c = last_chunk(f);
			assert_true(chunk_is_pending(f->st.chunks));
			/* A tenth of the disk, in 16 MiB steps. */
			assert_int_equal(c.len, 208 * MIB);
			assert_int_equal(chunkfs_data(f, 150 * MIB, &start), 0);
			if (!k)
				assert_in_range(start, first_new, c.logical + c.len - 1);
			/* Before the group has items, or after. */
			if (k)
				assert_int_equal(chunkfs_run_refs(f), 0);
			assert_int_equal(chunk_create_pending(&f->st), 0);
			assert_false(chunk_is_pending(f->st.chunks));
			assert_int_equal(chunkfs_commit(f), 0);
			right(f);
		}
		assert_true(dev_space_unallocated(f->fs.devs) < before);
		chunkfs_destroy(f);
	}
}

/* What Linux would choose, by the size of the disk. */
static void test_sizes(void **state)
{
	static const struct {
		uint64_t disk, type, len;
	} rows[] = {
		{ 1 * GIB, DATA, 112 * MIB },  { 1 * GIB, META, 112 * MIB },
		{ 1 * GIB, SYS, 32 * MIB },    { 10 * GIB, DATA, GIB },
		{ 20 * GIB, DATA, GIB },       { 5 * GIB, DATA, 512 * MIB },
		{ 20 * GIB, META, 256 * MIB }, { 100 * GIB, META, GIB },
		{ 100 * GIB, DATA, GIB },      { 100 * GIB, SYS, 32 * MIB },
		{ 200 * MIB, DATA, 32 * MIB }, { 256 * MIB, META, 32 * MIB },
	};

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct chunkfs_opts opts = { .disk_bytes = rows[i].disk };
		struct chunkfs *f = chunkfs_create(&opts);
		struct vol_chunk_info last = last_chunk(f), c;

		chunkfs_begin(f);
		assert_int_equal(chunk_alloc_now(&f->st, rows[i].type), 0);
		c = last_chunk(f);
		assert_int_equal(c.logical, last.logical + last.len);
		assert_int_equal(c.len, rows[i].len);
		assert_int_equal(chunkfs_commit(f), 0);
		right(f);
		chunkfs_destroy(f);
	}
}

/* Until the disk is full: the last one is what is left. */
static void test_full(void **state)
{
	for (unsigned dup = 0; dup < 2; dup++) {
		struct chunkfs_opts opts = { .disk_bytes = GIB + 123 * 4096, .dup = dup };
		struct chunkfs *f = chunkfs_create(&opts);
		unsigned nr = 0;
		int err;

		do {
			chunkfs_begin(f);
			err = chunk_alloc_now(&f->st, nr % 3 ? DATA : META);
			assert_int_equal(chunkfs_commit(f), 0);
			right(f);
			nr++;
		} while (!err);
		assert_int_equal(err, -ENOSPC);
		assert_in_range(nr, 6, 14);
		assert_true(dev_space_unallocated(f->fs.devs) < 2 * 65536);
		assert_true((nr - 1) % 3 ? f->data->full : f->meta->full);
		chunkfs_destroy(f);
	}
}

static void test_wanted(void **state)
{
	struct chunkfs_opts opts = { .disk_bytes = 2 * GIB };
	struct chunkfs *f = chunkfs_create(&opts);
	unsigned before = chunkfs_chunks(f, DATA);
	uint64_t start;

	chunkfs_begin(f);
	assert_int_equal(chunkfs_data(f, 20 * MIB, &start), 0);
	assert_int_equal(chunk_alloc_if_needed(&f->st, f->data, false), 0);
	assert_int_equal(chunkfs_chunks(f, DATA), before);
	assert_int_equal(chunkfs_data(f, 4 * MIB, &start), 0);
	assert_int_equal(chunk_alloc_if_needed(&f->st, f->data, false), 0);
	assert_int_equal(chunkfs_chunks(f, DATA), before + 1);
	assert_int_equal(chunk_alloc_if_needed(&f->st, f->data, false), 0);
	assert_int_equal(chunkfs_chunks(f, DATA), before + 1);
	assert_int_equal(chunk_alloc_if_needed(&f->st, f->data, true), 0);
	assert_int_equal(chunkfs_chunks(f, DATA), before + 2);
	/* Metadata with what the global reserve would take. */
	before = chunkfs_chunks(f, META);
	assert_int_equal(chunk_alloc_if_needed(&f->st, f->meta, false), 0);
	assert_int_equal(chunkfs_chunks(f, META), before);
	rsv_global_update(&f->rsv, 500 * MIB, 5);
	assert_int_equal(chunk_alloc_if_needed(&f->st, f->meta, false), 0);
	assert_int_equal(chunkfs_chunks(f, META), before + 1);
	assert_int_equal(chunkfs_commit(f), 0);
	right(f);
	chunkfs_destroy(f);
}

/* SYSTEM space that runs short gets a chunk of its own first; its array has an end. */
static void test_system(void **state)
{
	struct chunkfs_opts opts = { .disk_bytes = 20 * GIB };
	struct chunkfs *f = chunkfs_create(&opts);
	int err = 0;

	chunkfs_begin(f);
	/* All but a little is promised to somebody. */
	assert_int_equal(space_reserve(f->sys, 7 * MIB + 512 * 1024, SPACE_NO_FLUSH, NULL), 0);
	assert_int_equal(chunkfs_chunks(f, SYS), 1);
	assert_int_equal(chunk_alloc_now(&f->st, DATA), 0);
	assert_int_equal(chunkfs_chunks(f, SYS), 2);
	assert_int_equal(chunkfs_commit(f), 0);
	space_release(f->sys, 7 * MIB + 512 * 1024);
	right(f);
	for (unsigned i = 0; i < 40 && !err; i++) {
		chunkfs_begin(f);
		err = chunk_alloc_now(&f->st, SYS);
		assert_int_equal(chunkfs_commit(f), 0);
	}
	assert_int_equal(err, -ENOSPC);
	assert_int_equal(chunkfs_chunks(f, SYS), BTRFS_SYSTEM_CHUNK_ARRAY_SIZE / (17 + 80));
	right(f);
	chunkfs_destroy(f);
}

/* ---- failures ---- */

/* A birth that fails leaves nothing behind. */
static void test_birth_fails(void **state)
{
	struct chunkfs *f = chunkfs_create(&kinds[1]);
	uint64_t before = dev_space_unallocated(f->fs.devs);
	unsigned chunks = chunkfs_chunks(f, 0), failed = 0;
	int err = -ENOMEM;

	chunkfs_begin(f);
	for (unsigned n = 1; err; n++) {
		fault_arm(FAULT_ALLOC, n);
		err = chunk_alloc_now(&f->st, DATA);
		fault_arm(FAULT_ALLOC, 0);
		if (!err)
			break;
		assert_int_equal(err, -ENOMEM);
		failed++;
		assert_int_equal(chunkfs_chunks(f, 0), chunks);
		assert_int_equal(dev_space_unallocated(f->fs.devs), before);
		assert_false(chunk_is_pending(f->st.chunks));
		assert_null(bg_verify(f->fs.bgs));
		assert_int_equal(f->rsv.chunk.reserved, 0);
	}
	assert_true(failed >= 4);
	assert_int_equal(chunkfs_commit(f), 0);
	right(f);
	chunkfs_destroy(f);
}

/* Items that cannot be written abort; what is pending then is taken back. */
static void test_creation_fails(void **state)
{
	unsigned aborted = 0, n = 0;
	bool done = false;

	while (!done) {
		struct chunkfs *f = chunkfs_create(&kinds[1]);
		int err;

		chunkfs_begin(f);
		assert_int_equal(chunk_alloc_now(&f->st, META), 0);
		assert_int_equal(chunk_alloc_now(&f->st, DATA), 0);
		f->allocs = 0;
		f->fail_alloc = ++n;
		err = chunk_create_pending(&f->st);
		done = f->allocs < n;
		assert_int_equal(f->aborted, err);
		assert_int_equal(err, done ? 0 : -ENOSPC);
		if (err) {
			aborted++;
			chunkfs_end(f);
		} else {
			assert_int_equal(chunkfs_commit(f), 0);
			right(f);
		}
		chunkfs_destroy(f);
	}
	/* Chunk, device, extent and free-space tree. */
	assert_true(aborted >= 4);
}

static void test_abort(void **state)
{
	struct chunkfs *f = chunkfs_create(&kinds[2]);
	uint64_t before = dev_space_unallocated(f->fs.devs);
	unsigned chunks = chunkfs_chunks(f, 0);

	chunkfs_begin(f);
	assert_int_equal(chunk_alloc_now(&f->st, META), 0);
	assert_int_equal(chunk_alloc_now(&f->st, DATA), 0);
	chunkfs_end(f);
	chunk_pending_destroy(&f->fs, f->st.chunks);
	f->st.chunks = NULL;
	assert_int_equal(dev_space_unallocated(f->fs.devs), before);
	assert_int_equal(chunkfs_chunks(f, 0), chunks);
	assert_int_equal(f->rsv.chunk.reserved, 0);
	assert_null(chunkfs_check(f));
	chunkfs_destroy(f);
}

/* ---- removal ---- */

static unsigned remove_empty(struct chunkfs *f, unsigned max)
{
	unsigned nr;

	chunkfs_begin(f);
	assert_int_equal(chunk_remove_empty(&f->st, max, &nr), 0);
	assert_int_equal(chunkfs_commit(f), 0);
	right(f);
	return nr;
}

static void test_removal(void **state)
{
	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct chunkfs *f = chunkfs_create(&kinds[i]);
		uint64_t before = dev_space_unallocated(f->fs.devs), a;
		unsigned chunks = chunkfs_chunks(f, 0);
		struct vol_chunk_info c;

		/* The last of a type stays, with nothing in it. */
		assert_int_equal(remove_empty(f, 10), 0);
		chunkfs_begin(f);
		for (unsigned k = 0; k < 3; k++)
			assert_int_equal(chunk_alloc_now(&f->st, DATA), 0);
		c = last_chunk(f);
		assert_int_equal(chunkfs_data(f, 60 * MIB, &a), 0);
		assert_int_equal(chunkfs_commit(f), 0);
		right(f);
		assert_int_equal(remove_empty(f, 1), 1);
		/* Of the others one has the extent, one is left so that there is room. */
		while (remove_empty(f, 10))
			;
		assert_in_range(chunkfs_chunks(f, 0), chunks, chunks + 2);
		/* A freed extent's group stays until the commit after, too. */
		chunkfs_begin(f);
		chunkfs_free_data(f, a, 60 * MIB);
		assert_int_equal(chunkfs_commit(f), 0);
		while (remove_empty(f, 10))
			;
		assert_in_range(chunkfs_chunks(f, 0), chunks - 1, chunks + 1);
		assert_true(dev_space_unallocated(f->fs.devs) + 210 * MIB >= before);
		/* Their place is used again, their addresses are not. */
		chunkfs_begin(f);
		assert_int_equal(chunk_alloc_now(&f->st, DATA), 0);
		assert_true(last_chunk(f).logical >= c.logical + c.len);
		assert_int_equal(chunkfs_commit(f), 0);
		right(f);
		chunkfs_destroy(f);
	}
}

/* Removed and allocated in one transaction. */
static void test_reuse(void **state)
{
	struct chunkfs *f = chunkfs_create(&kinds[1]);
	struct vol_stripe_info before, after;
	uint64_t start;
	unsigned nr;

	chunkfs_begin(f);
	assert_int_equal(chunkfs_data(f, MIB, &start), 0);
	assert_int_equal(chunk_alloc_now(&f->st, DATA), 0);
	assert_true(vol_chunk_stripe(f->fs.vol, last_chunk(f).logical, 0, &before));
	assert_int_equal(chunkfs_commit(f), 0);
	chunkfs_begin(f);
	assert_int_equal(chunk_remove_empty(&f->st, 1, &nr), 0);
	assert_int_equal(nr, 1);
	assert_int_equal(chunk_alloc_now(&f->st, DATA), 0);
	assert_int_equal(chunkfs_commit(f), 0);
	right(f);
	assert_true(vol_chunk_stripe(f->fs.vol, last_chunk(f).logical, 0, &after));
	assert_int_equal(after.physical, before.physical);
	chunkfs_destroy(f);
}

/* Not while it is pinned, reserved, new, or needed. */
static void test_not_removed(void **state)
{
	struct chunkfs *f = chunkfs_create(&kinds[0]);
	uint64_t a, b;
	unsigned nr;

	chunkfs_begin(f);
	assert_int_equal(chunk_alloc_now(&f->st, DATA), 0);
	assert_int_equal(chunk_remove_empty(&f->st, 10, &nr), 0);
	/* The old one may go, the new one has no items yet. */
	assert_true(
		vol_chunk_find(f->fs.vol, last_chunk(f).logical, &(struct vol_chunk_info){ 0 }));
	assert_int_equal(nr, 1);
	assert_int_equal(chunk_alloc_now(&f->st, DATA), 0);
	assert_int_equal(chunkfs_commit(f), 0);
	right(f);
	/* Promised: the two together are just enough. */
	assert_int_equal(space_reserve(f->data, 300 * MIB, SPACE_NO_FLUSH, NULL), 0);
	assert_int_equal(remove_empty(f, 10), 0);
	space_release(f->data, 300 * MIB);
	/* Reserved, then used and pinned. */
	chunkfs_begin(f);
	assert_int_equal(chunkfs_data(f, 150 * MIB, &a), 0);
	assert_int_equal(chunkfs_data(f, 150 * MIB, &b), 0);
	assert_int_equal(chunk_remove_empty(&f->st, 10, &nr), 0);
	assert_int_equal(nr, 0);
	assert_int_equal(chunkfs_commit(f), 0);
	chunkfs_begin(f);
	chunkfs_free_data(f, a, 150 * MIB);
	chunkfs_free_data(f, b, 150 * MIB);
	assert_int_equal(chunkfs_run_refs(f), 0);
	assert_int_equal(chunk_remove_empty(&f->st, 10, &nr), 0);
	assert_int_equal(nr, 0);
	assert_int_equal(chunkfs_commit(f), 0);
	assert_int_equal(remove_empty(f, 10), 1);
	chunkfs_destroy(f);
}

/* With the group its file of the old space cache would be nobody's. */
static void test_cache_file(void **state)
{
	struct chunkfs *f = chunkfs_create(&kinds[0]);
	struct bt_root like = { .cache = f->fs.cache, .id = BTRFS_ROOT_TREE_OBJECTID }, root;
	struct btrfs_free_space_header item = { 0 };
	struct btrfs_key key = { BTRFS_FREE_SPACE_OBJECTID, 0, 0 };
	struct bt_tree tree;
	unsigned nr;

	chunkfs_begin(f);
	assert_int_equal(bt_create(&f->st.bt, &like, &root), 0);
	bt_tree_init(&tree, &root);
	assert_int_equal(chunk_alloc_now(&f->st, DATA), 0);
	for (struct block_group *bg = bg_next(f->fs.bgs, 0), *next; bg; bg = next) {
		key.offset = bg->start;
		assert_int_equal(bt_insert(&f->st.bt, &tree, &key, &item, sizeof(item)), 0);
		next = bg_next(f->fs.bgs, bg->start + bg->len);
		bg_put(bg);
	}
	assert_int_equal(chunkfs_commit(f), 0);
	f->fs.root = &tree;
	chunkfs_begin(f);
	assert_int_equal(chunk_remove_empty(&f->st, 10, &nr), 0);
	assert_int_equal(nr, 0);
	/* Without such files one of the two goes. */
	f->fs.root = NULL;
	assert_int_equal(chunk_remove_empty(&f->st, 10, &nr), 0);
	assert_int_equal(nr, 1);
	assert_int_equal(chunkfs_commit(f), 0);
	bt_tree_destroy(&tree);
	chunkfs_destroy(f);
}

/* `blocks`: what fails is an allocation of a block, not of memory. *out_aborted. True: nothing
 * failed any more. */
static bool removal_fails(unsigned n, bool blocks, bool *out_aborted)
{
	struct chunkfs *f = chunkfs_create(&kinds[1]);
	unsigned nr;
	bool done;
	int err;

	f->short_of_memory = !blocks;
	chunkfs_begin(f);
	assert_int_equal(chunk_alloc_now(&f->st, DATA), 0);
	assert_int_equal(chunkfs_commit(f), 0);
	chunkfs_begin(f);
	f->allocs = 0;
	f->fail_alloc = blocks ? n : 0;
	fault_arm(FAULT_ALLOC, blocks ? 0 : n);
	err = chunk_remove_empty(&f->st, 10, &nr);
	done = (blocks ? f->allocs : fault_count(FAULT_ALLOC)) < n;
	fault_arm(FAULT_ALLOC, 0);
	assert_int_equal(f->aborted, err);
	*out_aborted = err;
	if (err) {
		chunkfs_end(f);
	} else {
		assert_int_equal(chunkfs_commit(f), 0);
		right(f);
	}
	chunkfs_destroy(f);
	return done;
}

static void test_removal_fails(void **state)
{
	for (unsigned blocks = 0; blocks < 2; blocks++) {
		unsigned aborts = 0;
		bool aborted, done = false;

		for (unsigned n = 1; !done; n++) {
			done = removal_fails(n, blocks, &aborted);
			aborts += aborted;
		}
		assert_true(aborts >= (blocks ? 4 : 1));
	}
}

/* ---- planted faults ---- */

#ifdef UBTRFS_PLANT
static const char *plant_run(void)
{
	struct chunkfs_opts opts = { .disk_bytes = 2 * GIB, .dup = true };
	struct chunkfs *f = chunkfs_create(&opts);
	const char *wrong = chunkfs_check(f);
	unsigned nr;
	uint64_t a;

	chunkfs_begin(f);
	if (!wrong && (chunk_alloc_now(&f->st, SYS) || chunk_alloc_now(&f->st, META) ||
		       chunk_alloc_now(&f->st, DATA) || chunkfs_data(f, 60 * MIB, &a)))
		wrong = "no room";
	if (chunkfs_commit(f) && !wrong)
		wrong = "the commit fails";
	wrong = wrong ? wrong : chunkfs_check(f);
	chunkfs_begin(f);
	if (!wrong && chunk_remove_empty(&f->st, 10, &nr))
		wrong = "the removal fails";
	if (chunkfs_commit(f) && !wrong)
		wrong = "the second commit fails";
	wrong = wrong ? wrong : chunkfs_check(f);
	chunkfs_destroy(f);
	return wrong;
}

static int checker(void)
{
	return plant_run() != NULL;
}

static void test_plants(void **state)
{
	static const char *const plants[] = {
		"bg_load_skips",    "bg_store_forgets",	      "chunk_forget_dev_extent",
		"chunk_forget_fst", "chunk_forget_sys_array",
	};

	assert_false(caught("none", checker));
	for (unsigned i = 0; i < sizeof(plants) / sizeof(plants[0]); i++)
		if (!caught(plants[i], checker))
			fail_msg("%s was not caught", plants[i]);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_made),	    cmocka_unit_test(test_birth),
		cmocka_unit_test(test_sizes),	    cmocka_unit_test(test_full),
		cmocka_unit_test(test_wanted),	    cmocka_unit_test(test_system),
		cmocka_unit_test(test_birth_fails), cmocka_unit_test(test_creation_fails),
		cmocka_unit_test(test_abort),	    cmocka_unit_test(test_removal),
		cmocka_unit_test(test_reuse),	    cmocka_unit_test(test_cache_file),
		cmocka_unit_test(test_not_removed), cmocka_unit_test(test_removal_fails),
#ifdef UBTRFS_PLANT
		cmocka_unit_test(test_plants),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
