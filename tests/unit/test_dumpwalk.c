// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The dump's walks over trees that no filesystem has: nodes that share their children. The engine is
 * played by functions that make a block from its address.
 */
#include "tools/dump/walk.h"

#include <errno.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define NODESIZE 4096u
#define WIDTH 60u
#define TOP 4

static struct btrfs_geometry geometry = { .nodesize = NODESIZE, .sectorsize = NODESIZE };
static bool shared; /* a node has all children from its own number on; else its share of them */
static unsigned long long visits, errors;

static uint64_t address(unsigned level, unsigned nr)
{
	return ((uint64_t)level * 1000 + nr + 1) * NODESIZE;
}

static void make_block(uint64_t logical, uint8_t *buf)
{
	struct btrfs_header *h = (struct btrfs_header *)buf;
	struct btrfs_node *node = (struct btrfs_node *)buf;
	unsigned level = (unsigned)(logical / NODESIZE - 1) / 1000;
	unsigned from = (unsigned)(logical / NODESIZE - 1) % 1000, nr = 0;

	memset(buf, 0, NODESIZE);
	h->bytenr = le64_make(logical);
	h->level = (uint8_t)level;
	/* Whole: only the root has many children, all others one. */
	for (unsigned i = from; level && i < (shared || level == TOP ? WIDTH : from + 1); i++, nr++) {
		node->ptrs[nr].key.objectid = le64_make(i);
		node->ptrs[nr].blockptr = le64_make(address(level - 1, i));
		node->ptrs[nr].generation = le64_make(1);
	}
	h->nritems = le32_make(nr);
}

int ins_block_read(struct eng_fs *fs, const struct btrfs_block_expect *expect, void *buf,
		   struct btrfs_check_error *err)
{
	make_block(expect->logical, buf);
	return 0;
}

void ins_block_prefetch(struct eng_fs *fs, const struct btrfs_block_expect *expects, unsigned nr)
{
}

const struct btrfs_geometry *ins_geometry(struct eng_fs *fs)
{
	return &geometry;
}

void dump_error(const char *fmt, ...)
{
	errors++;
}

void dump_progress(const char *what, uint64_t done, uint64_t total, const char *unit)
{
}

static void visit(void *arg, const void *block, uint64_t logical)
{
	/* An endless walk would not be one to wait for. */
	if (++visits > 100000)
		fail_msg("more visits than blocks");
}

static void walk(enum walk_order order)
{
	const struct ins_root root = { .bytenr = address(TOP, 0), .level = TOP };
	struct dump d = { 0 };
	struct walk w;

	visits = errors = 0;
	assert_true(walk_begin(&w, &d, visit, NULL));
	assert_int_equal(walk_tree(&w, &root, order), 0);
	walk_end(&w);
}

static void test_whole(void **state)
{
	shared = false;
	walk(WALK_DFS);
	assert_int_equal(visits, 1 + TOP * WIDTH);
	walk(WALK_BFS);
	assert_int_equal(visits, 1 + TOP * WIDTH);
	walk(WALK_LEAVES);
	assert_int_equal(visits, WIDTH);
	assert_int_equal(errors, 0);
}

static void test_shared_children(void **state)
{
	shared = true;
	walk(WALK_DFS);
	assert_in_range(visits, WIDTH, 1 + TOP * WIDTH);
	assert_true(errors > 0);
	walk(WALK_BFS);
	assert_in_range(visits, WIDTH, 1 + TOP * WIDTH);
	walk(WALK_LEAVES);
	assert_in_range(visits, 1, WIDTH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_shared_children),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
