// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Search and iteration over trees in memory, held against the sorted array they were built from;
 * then damaged trees, failing reads, a cache far smaller than the tree, and threads.
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

struct fixture {
	struct vol *v;
	struct eb_cache *c;
	struct bt_root root;
	struct btrfs_key *keys;
	unsigned nr;
};

static void setup(struct fixture *f, uint32_t nodesize, unsigned nr, const struct tree_opts *opts,
		  unsigned threads)
{
	*f = (struct fixture){.v = fakevol_create(nodesize), .nr = nr};
	f->keys = tree_random_keys(nr, nr + nodesize);
	tree_build(f->v, f->keys, nr, opts, &f->root);
	assert_int_equal(
		eb_cache_create(f->v, eb_cache_min_bytes(nodesize, threads), threads, &f->c), 0);
	f->root.cache = f->c;
}

static void teardown(struct fixture *f)
{
	struct eb_cache_stats st;

	eb_cache_stats(f->c, &st);
	assert_int_equal(st.referenced, 0);
	eb_cache_destroy(f->c);
	fakevol_destroy(f->v);
	free(f->keys);
}

/* The path stands on keys[i], with its data. */
static bool stands_on(const struct fixture *f, const struct bt_path *path, unsigned i)
{
	struct btrfs_key key = bt_key(path);
	uint32_t size = tree_item_size(&f->keys[i]);
	uint8_t data[64];

	tree_item_fill(&f->keys[i], data, size);
	return !btrfs_key_cmp(&key, &f->keys[i]) && bt_item_size(path) == size &&
	       !memcmp(bt_item(path), data, size);
}

static bool released(const struct bt_path *path)
{
	for (int i = 0; i < BT_MAX_LEVEL; i++)
		if (path->nodes[i])
			return false;
	return true;
}

/* The searches for `key`, which lies between keys[i - 1] (below) and keys[i] (at or above). */
static unsigned wrong_search(struct fixture *f, const struct btrfs_key *key, unsigned i,
			     struct bt_path *path)
{
	bool equal = i < f->nr && !btrfs_key_cmp(key, &f->keys[i]);
	unsigned wrong = 0;

	wrong += bt_search(&f->root, key, path) != (equal ? 0 : 1);
	if (equal)
		wrong += !stands_on(f, path, i);
	wrong += bt_next_valid(path) != (i < f->nr ? 0 : 1);
	wrong += i < f->nr ? !stands_on(f, path, i) : !released(path);

	wrong += bt_search_ge(&f->root, key, path) != (i < f->nr ? 0 : 1);
	wrong += i < f->nr ? !stands_on(f, path, i) : !released(path);

	if (!equal)
		i--; /* -1: none */
	wrong += bt_search_le(&f->root, key, path) != (i != -1u ? 0 : 1);
	wrong += i != -1u ? !stands_on(f, path, i) : !released(path);
	return wrong;
}

static struct btrfs_key key_step(struct btrfs_key key, int step)
{
	if (step > 0 && !++key.offset && !++key.type)
		key.objectid++;
	if (step < 0 && !key.offset-- && !key.type--)
		key.objectid--;
	return key;
}

static unsigned wrong_searches(struct fixture *f)
{
	static const struct btrfs_key first = {0}, last = {UINT64_MAX, UINT8_MAX, UINT64_MAX};
	struct bt_path path = BT_PATH_INIT;
	unsigned wrong = 0;

	for (unsigned i = 0; i < f->nr; i++) {
		struct btrfs_key below = key_step(f->keys[i], -1);
		struct btrfs_key above = key_step(f->keys[i], 1);

		wrong += wrong_search(f, &f->keys[i], i, &path);
		if (!i || btrfs_key_cmp(&below, &f->keys[i - 1]))
			wrong += wrong_search(f, &below, i, &path);
		if (i + 1 == f->nr || btrfs_key_cmp(&above, &f->keys[i + 1]))
			wrong += wrong_search(f, &above, i + 1, &path);
	}
	wrong += wrong_search(f, &first, 0, &path);
	wrong += wrong_search(f, &last, f->nr, &path);
	bt_path_release(&path);
	return wrong;
}

/* From keys[from] so many steps forward (or back, if negative), as far as there are any. */
static unsigned wrong_walk(struct fixture *f, unsigned from, int steps, enum bt_readahead ra)
{
	struct bt_path path = {.readahead = ra};
	unsigned i = from;
	int step = steps < 0 ? -1 : 1;

	if (bt_search(&f->root, &f->keys[from], &path))
		return 1;
	for (; steps; steps -= step) {
		int err = step > 0 ? bt_next(&path) : bt_prev(&path);

		i += step;
		if (i >= f->nr)
			return err != 1 || !released(&path);
		if (err || !stands_on(f, &path, i)) {
			bt_path_release(&path);
			return 1;
		}
	}
	bt_path_release(&path);
	return 0;
}

static unsigned wrong_walks(struct fixture *f)
{
	unsigned wrong = 0;
	struct bt_path path = BT_PATH_INIT;
	unsigned i = f->nr / 2;

	wrong += wrong_walk(f, 0, INT32_MAX, BT_READAHEAD_NONE);
	wrong += wrong_walk(f, 0, INT32_MAX, BT_READAHEAD_FORWARD);
	wrong += wrong_walk(f, f->nr - 1, -INT32_MAX, BT_READAHEAD_NONE);
	for (int n = 0; n < 50; n++) {
		wrong += wrong_walk(f, rand() % f->nr, 30, rand() % 2);
		wrong += wrong_walk(f, rand() % f->nr, -30, rand() % 2);
	}
	/* To and fro. */
	wrong += bt_search(&f->root, &f->keys[i], &path) != 0;
	for (int n = 0; n < 2000 && !wrong && path.nodes[0]; n++) {
		bool forward = rand() % 40 < 20 + (n / 200 % 2 ? 3 : -3);

		if (forward ? i + 1 == f->nr : !i)
			continue;
		i += forward ? 1 : -1;
		wrong += (forward ? bt_next(&path) : bt_prev(&path)) != 0;
		wrong += !stands_on(f, &path, i);
	}
	bt_path_release(&path);
	return wrong;
}

static void test_against_array(void **state)
{
	static const uint32_t nodesizes[] = {4096, 16384, 65536};
	static const unsigned nrs[] = {1, 2, 100, 6000};
	struct tree_opts opts = {0};
	struct fixture f;

	for (unsigned n = 0; n < 3; n++) {
		for (unsigned i = 0; i < 4; i++) {
			setup(&f, nodesizes[n], nrs[i], &opts, 1);
			assert_int_equal(wrong_searches(&f), 0);
			assert_int_equal(wrong_walks(&f), 0);
			assert_int_equal(f.v->heard.errors, 0);
			teardown(&f);
		}
	}
}

static void test_empty_tree(void **state)
{
	struct tree_opts opts = {.owner = 300};
	struct fixture f;

	setup(&f, 4096, 0, &opts, 1);
	assert_int_equal(wrong_searches(&f), 0);
	teardown(&f);
}

/* All heights up to the greatest, with few pointers a node. */
static void test_heights(void **state)
{
	struct fixture f;

	for (unsigned level = 0; level < BT_MAX_LEVEL; level++) {
		struct tree_opts opts = {.max_items = 3, .max_ptrs = 3, .min_level = level};
		unsigned nr = 2;

		for (unsigned i = 1; i < level; i++)
			nr *= 2;
		setup(&f, 4096, nr, &opts, 1);
		assert_int_equal(f.root.level, level);
		assert_int_equal(wrong_searches(&f), 0);
		assert_int_equal(wrong_walks(&f), 0);
		teardown(&f);
	}
}

static void test_root_level(void **state)
{
	static const struct btrfs_key key = {0};
	struct bt_path path = BT_PATH_INIT;
	struct tree_opts opts = {0};
	struct fixture f;

	setup(&f, 4096, 10, &opts, 1);
	f.root.level = BT_MAX_LEVEL;
	assert_int_equal(bt_search(&f.root, &key, &path), -EUCLEAN);
	assert_non_null(strstr(f.v->heard.last, "root level"));
	f.root.level = 1;
	assert_int_equal(bt_search(&f.root, &key, &path), -EUCLEAN);
	f.root.level = 0;
	f.root.generation--;
	assert_int_equal(bt_search(&f.root, &key, &path), -EUCLEAN);
	assert_non_null(strstr(f.v->heard.last, "a write was lost"));
	f.root.generation++;
	f.root.id = BTRFS_CSUM_TREE_OBJECTID;
	assert_int_equal(bt_search(&f.root, &key, &path), -EUCLEAN);
	assert_non_null(strstr(f.v->heard.last, "owner"));
	f.root.any_owner = true;
	assert_int_equal(bt_search_ge(&f.root, &key, &path), 0);
	bt_path_release(&path);
	teardown(&f);
}

/* Forward, reading ahead: each block is read once, and most in batches. */
static void test_readahead(void **state)
{
	struct tree_opts opts = {.max_items = 4};
	struct fixture f;
	unsigned reads, batches;

	setup(&f, 4096, 2000, &opts, 8);
	assert_int_equal(wrong_walk(&f, 0, INT32_MAX, BT_READAHEAD_FORWARD), 0);
	reads = f.v->reads;
	batches = f.v->batches;
	assert_int_equal(reads, f.v->nr);
	assert_in_range(batches, f.v->nr / EB_PREFETCH_MAX, f.v->nr / 10);
	/* One leaf further only: a few blocks ahead, not a window of them. */
	eb_cache_destroy(f.c);
	assert_int_equal(eb_cache_create(f.v, eb_cache_min_bytes(4096, 8), 8, &f.c), 0);
	f.root.cache = f.c;
	f.v->reads = 0;
	assert_int_equal(wrong_walk(&f, 0, 4, BT_READAHEAD_FORWARD), 0);
	assert_in_range(f.v->reads, f.root.level + 2, f.root.level + 8);
	teardown(&f);
}

static uint64_t child_of(struct fixture *f, uint64_t node, unsigned slot)
{
	return btrfs_node_blockptr(fakevol_block(f->v, node, 0), slot);
}

/* Searches for every key: 0, or the first error; damage must be said. */
static int search_all(struct fixture *f)
{
	struct bt_path path = BT_PATH_INIT;
	int err = 0;

	f->v->heard.errors = 0;
	for (unsigned i = 0; i < f->nr && err >= 0; i++) {
		err = bt_search(&f->root, &f->keys[i], &path);
		if (err < 0 && !released(&path))
			err = 1000;
	}
	bt_path_release(&path);
	if (err < 0 && !f->v->heard.errors)
		err = 1001;
	return err;
}

/* Back and forth over the whole tree: the first error. */
static int walk_all(struct fixture *f)
{
	static const struct btrfs_key first = {0}, last = {UINT64_MAX, UINT8_MAX, UINT64_MAX};
	struct bt_path path = BT_PATH_INIT;
	int err, back;

	err = bt_search_ge(&f->root, &first, &path);
	while (!err)
		err = bt_next(&path);
	back = bt_search_le(&f->root, &last, &path);
	while (!back)
		back = bt_prev(&path);
	if (!released(&path) || (err < 0) != (back < 0))
		err = 1000;
	bt_path_release(&path);
	return err;
}

static void fresh_cache(struct fixture *f)
{
	eb_cache_destroy(f->c);
	assert_int_equal(eb_cache_create(f->v, eb_cache_min_bytes(f->v->geo.nodesize, 1), 1, &f->c),
			 0);
	f->root.cache = f->c;
}

enum damage {
	DAMAGE_NONE,
	DAMAGE_CSUM,
	DAMAGE_LEVEL,
	DAMAGE_GENERATION,
	DAMAGE_OWNER,
	DAMAGE_FIRST_KEY,
	DAMAGE_EMPTY,
	DAMAGE_BYTENR,
	DAMAGE_SELF,	/* the parent points to itself */
	DAMAGE_ROOT,	/* ... to the root */
	DAMAGE_SIBLING, /* ... to the child before */
	DAMAGE_UNMAPPED,
	DAMAGE_BOUND, /* the child's last key is the next child's first */
	DAMAGE_NR,
};

static void damage(struct fixture *f, enum damage d, uint64_t parent, unsigned slot, uint64_t child)
{
	struct btrfs_node *p = fakevol_block(f->v, parent, 0);
	struct btrfs_leaf *c = fakevol_block(f->v, child, 0);

	switch (d) {
	case DAMAGE_LEVEL:
		c->header.level++;
		break;
	case DAMAGE_GENERATION:
		c->header.generation = le64_make(FAKE_GENERATION - 2);
		break;
	case DAMAGE_OWNER:
		c->header.owner = le64_make(BTRFS_CSUM_TREE_OBJECTID);
		break;
	case DAMAGE_FIRST_KEY:
		p->ptrs[slot].key.offset = le64_make(le64_get(p->ptrs[slot].key.offset) - 1);
		break;
	case DAMAGE_EMPTY:
		c->header.nritems = le32_make(0);
		break;
	case DAMAGE_BYTENR:
		c->header.bytenr = le64_make(child + 4096);
		break;
	case DAMAGE_SELF:
		p->ptrs[slot].blockptr = le64_make(parent);
		break;
	case DAMAGE_ROOT:
		p->ptrs[slot].blockptr = le64_make(f->root.bytenr);
		break;
	case DAMAGE_SIBLING:
		p->ptrs[slot].blockptr = p->ptrs[slot - 1].blockptr;
		break;
	case DAMAGE_UNMAPPED:
		p->ptrs[slot].blockptr = le64_make(1ull << 45);
		break;
	case DAMAGE_BOUND:
		c->items[le32_get(c->header.nritems) - 1].key = p->ptrs[slot + 1].key;
		break;
	default:
		break;
	}
	fakevol_seal(f->v, parent);
	fakevol_seal(f->v, child);
	for (int i = 0; i < FAKE_COPIES && d == DAMAGE_CSUM; i++)
		((uint8_t *)fakevol_block(f->v, child, i))[f->v->geo.nodesize - 1] ^= 1;
}

static void test_damage(void **state)
{
	struct tree_opts opts = {.max_items = 5, .max_ptrs = 5};
	struct fixture f;

	for (int d = DAMAGE_NONE; d < DAMAGE_NR; d++) {
		uint64_t parent, child;
		unsigned slot = 1;
		int expected = d == DAMAGE_UNMAPPED ? -ENXIO : -EUCLEAN;

		setup(&f, 4096, 400, &opts, 1);
		assert_true(f.root.level >= 3);
		parent = child_of(&f, f.root.bytenr, 1);
		for (int level = f.root.level - 1; level > 1; level--)
			parent = child_of(&f, parent, 1);
		child = child_of(&f, parent, slot);
		assert_int_equal(walk_all(&f), 1);
		damage(&f, d, parent, slot, child);
		fresh_cache(&f);
		if (d == DAMAGE_NONE)
			assert_int_equal(search_all(&f), 0);
		else if (d == DAMAGE_UNMAPPED && walk_all(&f) == -EUCLEAN)
			; /* the check of the parent may know already */
		else
			assert_int_equal(search_all(&f), expected);
		if (d != DAMAGE_NONE)
			assert_in_range(-walk_all(&f), 1, 999);
		teardown(&f);
	}
}

/*
 * Few blocks, each child shared by many parents: each block is good by itself and fits its parent's
 * pointer, and a walk that believed them would visit 40^5 leaves. 0: the walk ended with an error.
 */
static int endless_walk(void)
{
	enum { WIDTH = 40, HEIGHT = 6 };
	static const struct btrfs_key first = {0};
	struct bt_path path = BT_PATH_INIT;
	uint64_t below[WIDTH], these[WIDTH];
	struct vol *v = fakevol_create(4096);
	struct bt_root root = {.id = 5, .generation = FAKE_GENERATION - 1, .level = HEIGHT - 1};
	int err;

	for (int level = 0; level < HEIGHT; level++) {
		for (int i = 0; i < WIDTH; i++) {
			void *block;

			these[i] = fakevol_alloc(v);
			block = fakevol_format(v, these[i], level, 5);
			for (int k = i; k < WIDTH; k++) {
				struct btrfs_key key = {256 + k, BTRFS_STRING_ITEM_KEY, 0};

				if (level ? !tree_add_ptr(v, block, below[k])
					  : !tree_add_item(v, block, &key))
					break;
			}
			fakevol_seal(v, these[i]);
		}
		memcpy(below, these, sizeof(below));
	}
	root.bytenr = below[0];
	assert_int_equal(eb_cache_create(v, 4 << 20, 1, &root.cache), 0);
	err = bt_search_ge(&root, &first, &path);
	for (int n = 0; !err && n < 100000; n++)
		err = bt_next(&path);
	bt_path_release(&path);
	eb_cache_destroy(root.cache);
	fakevol_destroy(v);
	return err == -EUCLEAN ? 0 : 1;
}

static void test_endless_walk(void **state)
{
	assert_int_equal(endless_walk(), 0);
}

/* The nth read fails, for every n: the error comes out, the path is released, and a retry succeeds.
 */
static void test_read_failures(void **state)
{
	struct tree_opts opts = {.max_items = 5, .max_ptrs = 5};
	struct fixture f;
	unsigned nth, blocks;

	setup(&f, 4096, 300, &opts, 1);
	blocks = f.v->nr;
	for (nth = 1; nth <= blocks; nth += 3) {
		struct bt_path path = {.readahead =
					       nth % 2 ? BT_READAHEAD_FORWARD : BT_READAHEAD_NONE};
		static const struct btrfs_key first = {0};
		int err;

		fresh_cache(&f);
		fault_arm(FAULT_READ, nth);
		err = bt_search_ge(&f.root, &first, &path);
		while (!err)
			err = bt_next(&path);
		/* Of what was read ahead a failure is silent, and the second try is not the nth. */
		assert_true(err == -EIO || (err == 1 && nth % 2));
		assert_true(fault_count(FAULT_READ) >= nth);
		assert_true(released(&path));
		fault_arm(FAULT_READ, 0);
		assert_int_equal(search_all(&f), 0);
	}
	teardown(&f);
}

struct walker {
	struct fixture *f;
	unsigned seed, wrong;
	pthread_t thread;
};

static void *walk_randomly(void *arg)
{
	struct walker *w = arg;
	struct fixture *f = w->f;
	struct bt_path a = BT_PATH_INIT, b = {.readahead = BT_READAHEAD_FORWARD};

	for (int n = 0; n < 150; n++) {
		unsigned i = rand_r(&w->seed) % f->nr, j = rand_r(&w->seed) % f->nr;

		w->wrong += bt_search(&f->root, &f->keys[i], &a) || !stands_on(f, &a, i);
		w->wrong += bt_search(&f->root, &f->keys[j], &b) || !stands_on(f, &b, j);
		for (int k = 0; k < 40 && !w->wrong; k++) {
			if (++j < f->nr && b.nodes[0])
				w->wrong += bt_next(&b) || !stands_on(f, &b, j);
			if (i && a.nodes[0])
				w->wrong += bt_prev(&a) || !stands_on(f, &a, --i);
		}
	}
	bt_path_release(&a);
	bt_path_release(&b);
	return NULL;
}

/* A tree tens of times the cache, and as many threads with two paths each as the cache was told of.
 */
static void test_threads(void **state)
{
	struct tree_opts opts = {.max_items = 4, .max_ptrs = 6};
	struct eb_cache_stats st;
	struct walker w[5];
	struct fixture f;

	setup(&f, 4096, 5000, &opts, 5);
	for (unsigned i = 0; i < 5; i++) {
		w[i] = (struct walker){.f = &f, .seed = i};
		assert_int_equal(pthread_create(&w[i].thread, NULL, walk_randomly, &w[i]), 0);
	}
	for (unsigned i = 0; i < 5; i++) {
		pthread_join(w[i].thread, NULL);
		assert_int_equal(w[i].wrong, 0);
	}
	eb_cache_stats(f.c, &st);
	assert_true(f.v->nr > 10 * st.frames);
	assert_int_equal(st.touched, st.frames);
	assert_true(counter_get(&f.v->counters, cache_evictions) > f.v->nr);
	teardown(&f);
}

#ifdef UBTRFS_PLANT
static int checker_search(void)
{
	struct tree_opts opts = {0};
	struct fixture f;

	setup(&f, 4096, 500, &opts, 1);
	return wrong_searches(&f) + wrong_walks(&f);
}

static void test_plants(void **state)
{
	assert_false(caught("none", endless_walk));
	assert_true(caught("bt_no_bound", endless_walk));
	assert_false(caught("none", checker_search));
	assert_true(caught("bt_last_slot", checker_search));
	assert_true(caught("bt_next_skips", checker_search));
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_against_array), cmocka_unit_test(test_empty_tree),
		cmocka_unit_test(test_heights),	      cmocka_unit_test(test_root_level),
		cmocka_unit_test(test_readahead),     cmocka_unit_test(test_damage),
		cmocka_unit_test(test_endless_walk),  cmocka_unit_test(test_read_failures),
		cmocka_unit_test(test_threads),
#ifdef UBTRFS_PLANT
		cmocka_unit_test(test_plants),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
