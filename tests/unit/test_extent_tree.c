// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Items of the extent tree against a model: random references added to and dropped from made-up
 * extents, so many that they overflow into items of their own, of all four kinds, with colliding
 * hashes; and deleting of checksums against an array.
 *
 * A failing run prints its seed; UBTRFS_SEED=n runs that one.
 */
#include "engine/space/extent_tree.h"
#include "engine/util/fault.h"
#include "ondisk/csum.h"
#include "tests/unit/plants.h"
#include "tests/unit/spacerig.h"

#include <limits.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The detector of lock inversions takes a frame's lock for one lock, whatever block the frame holds. */
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

#define EXTENTS 30
#define REFS 60

/* Counts of made-up references; of a tree block at most 1. */
struct model {
	struct extent e;
	uint64_t flags;
	unsigned total;
	unsigned count[REFS];
};

static struct rig *rig_for(uint32_t nodesize, bool skinny)
{
	const struct rig_opts o = { .nodesize = nodesize,
				    .blocks = 4000,
				    .frames = 1500,
				    .threads = 1,
				    .data_bytes = 8 << 20,
				    .skinny = skinny };

	return rig_create(&o);
}

static bool is_data(const struct model *m)
{
	return m->e.level < 0;
}

/* Some by block, some by tree; those of data by file and offset, too. */
static struct dref ref_of(const struct model *m, unsigned i)
{
	if (i % 3 == 0)
		return (struct dref){ .parent = (1ull << 40) + i * 16384ull };
	if (is_data(m))
		return (struct dref){ .root = 256 + i % 5,
				      .ino = 257 + i / 7,
				      .offset = i * 4096ull };
	return (struct dref){ .root = 256 + i };
}

static uint8_t type_of(const struct model *m, unsigned i)
{
	if (i % 3 == 0)
		return is_data(m) ? BTRFS_SHARED_DATA_REF_KEY : BTRFS_SHARED_BLOCK_REF_KEY;
	return is_data(m) ? BTRFS_EXTENT_DATA_REF_KEY : BTRFS_TREE_BLOCK_REF_KEY;
}

static unsigned some_ref(const struct model *m, bool present, uint64_t *s)
{
	unsigned i = (unsigned)(rig_rnd(s) % REFS), n = 0;

	while (n++ < REFS && !!m->count[i] != present)
		i = (i + 1) % REFS;
	return i;
}

static bool add(struct space_trans *st, struct model *m, uint64_t *s)
{
	unsigned i = some_ref(m, is_data(m) && rig_rnd(s) % 2, s);
	unsigned n = is_data(m) ? 1 + (unsigned)(rig_rnd(s) % 3) : 1;
	struct dref ref = ref_of(m, i);

	if (!is_data(m) && m->count[i])
		return true;
	if (!m->total) {
		m->flags = 0;
		check(!extent_insert(st, &m->e, m->flags, &ref, n));
	} else {
		check(!extent_ref_add(st, &m->e, &ref, n));
	}
	m->count[i] += n;
	m->total += n;
	return true;
}

static bool drop(struct space_trans *st, struct model *m, uint64_t *s)
{
	unsigned i = some_ref(m, true, s), n;
	struct dref ref = ref_of(m, i);
	uint64_t left;

	if (!m->count[i])
		return true;
	n = 1 + (unsigned)(rig_rnd(s) % m->count[i]);
	check(!extent_ref_drop(st, &m->e, &ref, n, &left));
	m->count[i] -= n;
	m->total -= n;
	check(left == m->total);
	return true;
}

/* ---- what is there ---- */

static unsigned find_ref(const struct model *m, uint8_t type, uint64_t a, uint64_t b, uint64_t c)
{
	for (unsigned i = 0; i < REFS; i++) {
		struct dref r = ref_of(m, i);

		if (type_of(m, i) != type)
			continue;
		if (r.parent ? r.parent == a : r.root == a && r.ino == b && r.offset == c)
			return i;
	}
	return REFS;
}

/* Takes one found reference off a copy of the model. `p` begins with the type, as inline. */
static bool take(struct model *left, const uint8_t *p)
{
	const struct btrfs_extent_data_ref *d = (const void *)(p + 1);
	uint64_t a, b = 0, c = 0;
	uint32_t n = 1;
	unsigned i;

	memcpy(&a, p + 1, sizeof(a));
	if (*p == BTRFS_SHARED_DATA_REF_KEY)
		memcpy(&n, p + 9, sizeof(n));
	if (*p == BTRFS_EXTENT_DATA_REF_KEY) {
		a = le64_get(d->root);
		b = le64_get(d->objectid);
		c = le64_get(d->offset);
		n = le32_get(d->count);
	}
	i = find_ref(left, *p, a, b, c);
	check(i < REFS && left->count[i] == n);
	left->count[i] = 0;
	left->total -= n;
	return true;
}

/* The item of a reference, brought into the form of an inline one. */
static bool take_item(struct model *left, const struct btrfs_key *key, const void *item,
		      uint32_t size)
{
	uint8_t p[64] = { key->type };

	if (key->type == BTRFS_EXTENT_DATA_REF_KEY) {
		memcpy(p + 1, item, size);
	} else {
		memcpy(p + 1, &key->offset, 8);
		memcpy(p + 9, item, size);
	}
	return take(left, p);
}

static bool holds(struct rig *r, const struct model *m, uint64_t *io_keyed)
{
	struct btrfs_key key = { m->e.logical, BTRFS_EXTENT_ITEM_KEY, 0 };
	BT_PATH_CLEANUP struct bt_path path = BT_PATH_INIT;
	struct model left = *m;
	struct extent_info info;
	int err = extent_lookup(&r->fs, m->e.logical, m->e.level, &info);

	check(err == (m->total ? 0 : -ENOENT));
	if (err)
		return true;
	check(info.refs == m->total && info.level == m->e.level && info.len == m->e.len);
	check((info.flags & BTRFS_BLOCK_FLAG_FULL_BACKREF) == m->flags);
	for (err = bt_search_ge(&r->extent.root, &key, &path); !err; err = bt_next(&path)) {
		const uint8_t *item = bt_item(&path);
		uint32_t off = sizeof(struct btrfs_extent_item), size = bt_item_size(&path);

		key = bt_key(&path);
		if (key.objectid != m->e.logical)
			break;
		if (key.type > BTRFS_METADATA_ITEM_KEY) {
			check(take_item(&left, &key, item, size));
			++*io_keyed;
			continue;
		}
		if (!is_data(m) && key.type == BTRFS_EXTENT_ITEM_KEY)
			off += (uint32_t)sizeof(struct btrfs_tree_block_info);
		for (; off < size; off += btrfs_extent_inline_ref_size(item[off]))
			check(take(&left, item + off));
	}
	check(!left.total);
	return true;
}

static void model_init(struct rig *r, struct model *m, unsigned i)
{
	*m = (struct model){ .e = { .logical = RIG_DATA + (1 << 20) + i * 65536ull,
				    .len = i % 2 ? 8192 : r->fs.nodesize,
				    .level = i % 2 ? -1 : (int)(i / 2 % 8) } };
}

static bool run_refs(uint32_t nodesize, bool skinny, unsigned steps, uint64_t seed)
{
	struct rig *r = rig_for(nodesize, skinny);
	struct model models[EXTENTS], *m;
	struct space_trans st;
	uint64_t s = seed, keyed = 0;
	bool ok = true;

	for (unsigned i = 0; i < EXTENTS; i++)
		model_init(r, &models[i], i);
	for (unsigned i = 0; ok && i < steps; i++) {
		bool grow = i / (steps / 6 + 1) % 2 == 0;

		m = &models[rig_rnd(&s) % EXTENTS];
		rig_begin(r, &st, 2);
		ok = rig_rnd(&s) % 8 < (grow ? 6 : 1) ? add(&st, m, &s) : drop(&st, m, &s);
		if (ok && m->total && !is_data(m) && rig_rnd(&s) % 16 == 0) {
			m->flags = BTRFS_BLOCK_FLAG_FULL_BACKREF;
			ok = !extent_set_flags(&st, &m->e, m->flags);
		}
		rig_end(r, &st);
		if (i % 200 == 0)
			rig_write_some(r, 1000);
		ok = ok && holds(r, m, &keyed);
	}
	/* Nothing can be written that the checks of untrusted bytes would not let pass. */
	rig_write_some(r, UINT_MAX);
	for (unsigned i = 0; ok && i < EXTENTS; i++)
		ok = holds(r, &models[i], &keyed);
	if (ok && !keyed && nodesize == 4096) {
		fprintf(stderr, "no references in items of their own\n");
		ok = false;
	}
	if (!ok)
		fprintf(stderr, "UBTRFS_SEED=%llu: %s\n", (unsigned long long)seed,
			r->v->heard.last);
	rig_destroy(r);
	return ok;
}

static uint64_t seed_or(uint64_t seed)
{
	const char *env = getenv("UBTRFS_SEED");

	return env ? strtoull(env, NULL, 10) : seed;
}

static void test_refs(void **state)
{
	assert_true(run_refs(4096, true, 6000, seed_or(1)));
	assert_true(run_refs(4096, false, 6000, seed_or(2)));
	assert_true(run_refs(16384, true, 6000, seed_or(3)));
}

/* ---- what must not be ---- */

static void test_refused(void **state)
{
	struct rig *r = rig_for(4096, true);
	struct extent block = { RIG_DATA, 4096, .level = 2 },
		      data = { RIG_DATA + 65536, 8192, .level = -1 };
	const struct dref one = { .root = 300 }, two = { .root = 301 };
	struct dref file = { .root = 300, .ino = 256 };
	struct space_trans st;
	uint64_t left;

	rig_begin(r, &st, 20);
	assert_int_equal(extent_ref_add(&st, &block, &one, 1), -EUCLEAN);
	assert_non_null(strstr(r->v->heard.last, "no item in the extent tree"));
	assert_int_equal(extent_insert(&st, &block, 0, &one, 1), 0);
	assert_int_equal(extent_insert(&st, &block, 0, &one, 1), -EUCLEAN);
	assert_int_equal(extent_insert(&st, &block, 0, &one, 2), -EUCLEAN);
	assert_int_equal(extent_ref_add(&st, &block, &one, 1), -EUCLEAN);
	assert_int_equal(extent_ref_add(&st, &block, &two, 2), -EUCLEAN);
	assert_int_equal(extent_ref_drop(&st, &block, &two, 1, &left), -EUCLEAN);
	assert_int_equal(extent_insert(&st, &data, 0, &file, 2), 0);
	assert_int_equal(extent_ref_drop(&st, &data, &file, 3, &left), -EUCLEAN);
	data.len = 4096;
	assert_int_equal(extent_ref_drop(&st, &data, &file, 1, &left), -EUCLEAN);
	data.len = 8192;
	assert_int_equal(extent_ref_drop(&st, &data, &file, 2, &left), 0);
	assert_int_equal(left, 0);
	rig_end(r, &st);
	rig_destroy(r);
}

/* A filesystem that got skinny metadata late has tree blocks under both keys. */
static void test_both_keys(void **state)
{
	struct rig *r = rig_for(4096, false);
	struct extent e = { RIG_DATA, 4096, .level = 1, .first_key = { 7, 8, 9 } };
	const struct dref one = { .root = 300 }, two = { .root = 301 };
	struct extent_info info;
	struct space_trans st;
	uint64_t left;

	rig_begin(r, &st, 20);
	assert_int_equal(extent_insert(&st, &e, 0, &one, 1), 0);
	r->fs.skinny = true;
	assert_int_equal(extent_lookup(&r->fs, e.logical, 1, &info), 0);
	assert_int_equal(extent_lookup(&r->fs, e.logical, -1, &info), 0);
	assert_int_equal(info.level, 1);
	assert_int_equal(extent_ref_add(&st, &e, &two, 1), 0);
	assert_int_equal(extent_ref_drop(&st, &e, &one, 1, &left), 0);
	assert_int_equal(extent_ref_drop(&st, &e, &two, 1, &left), 0);
	assert_int_equal(extent_lookup(&r->fs, e.logical, 1, &info), -ENOENT);
	r->fs.skinny = false;
	rig_end(r, &st);
	rig_destroy(r);
}

struct hashed {
	uint64_t hash;
	struct dref ref;
};

static int by_hash(const void *pa, const void *pb)
{
	const struct hashed *a = pa, *b = pb;

	return a->hash < b->hash ? -1 : a->hash > b->hash;
}

/* Two references of files with one hash: among so many there are some. */
static void colliding(struct dref *a, struct dref *b)
{
	const unsigned nr = 400000;
	struct hashed *h = calloc(nr, sizeof(*h));
	uint64_t s = 1;
	unsigned i;

	assert_non_null(h);
	for (i = 0; i < nr; i++) {
		h[i].ref = (struct dref){ .root = 300,
					  .ino = 256 + rig_rnd(&s) % (1ull << 40),
					  .offset = rig_rnd(&s) % (1ull << 40) * 4096 };
		h[i].hash = btrfs_extent_data_ref_hash(300, h[i].ref.ino, h[i].ref.offset);
	}
	qsort(h, nr, sizeof(*h), by_hash);
	for (i = 1; i < nr && h[i - 1].hash != h[i].hash; i++)
		;
	assert_true(i < nr);
	*a = h[i - 1].ref;
	*b = h[i].ref;
	free(h);
}

static unsigned keyed_at(struct rig *r, uint64_t logical, uint64_t hash)
{
	struct btrfs_key key = { logical, BTRFS_EXTENT_DATA_REF_KEY, hash };
	BT_PATH_CLEANUP struct bt_path path = BT_PATH_INIT;
	const struct btrfs_extent_data_ref *d;

	if (bt_search(&r->extent.root, &key, &path))
		return 0;
	d = bt_item(&path);
	return le32_get(d->count);
}

/* Colliding hashes take the next offset; one is found there also when the other has gone. */
static void test_collision(void **state)
{
	struct rig *r = rig_for(4096, true);
	struct extent e = { RIG_DATA, 8192, .level = -1 };
	struct dref a, b, filler = { .root = 300 };
	struct space_trans st;
	uint64_t hash, left;

	colliding(&a, &b);
	hash = btrfs_extent_data_ref_hash(300, a.ino, a.offset);
	rig_begin(r, &st, 20);
	for (unsigned i = 0; i < 20; i++) {
		filler.ino = 256 + i;
		if (i)
			assert_int_equal(extent_ref_add(&st, &e, &filler, 1), 0);
		else
			assert_int_equal(extent_insert(&st, &e, 0, &filler, 1), 0);
	}
	assert_int_equal(extent_ref_add(&st, &e, &a, 1), 0);
	assert_int_equal(extent_ref_add(&st, &e, &b, 2), 0);
	assert_int_equal(keyed_at(r, e.logical, hash), 1);
	assert_int_equal(keyed_at(r, e.logical, hash + 1), 2);
	assert_int_equal(extent_ref_add(&st, &e, &b, 1), 0);
	assert_int_equal(keyed_at(r, e.logical, hash + 1), 3);
	assert_int_equal(extent_ref_drop(&st, &e, &a, 1, &left), 0);
	assert_int_equal(keyed_at(r, e.logical, hash), 0);
	assert_int_equal(extent_ref_add(&st, &e, &b, 1), 0);
	assert_int_equal(keyed_at(r, e.logical, hash), 0);
	assert_int_equal(keyed_at(r, e.logical, hash + 1), 4);
	assert_int_equal(extent_ref_add(&st, &e, &a, 1), 0);
	assert_int_equal(keyed_at(r, e.logical, hash), 1);
	assert_int_equal(extent_ref_drop(&st, &e, &b, 4, &left), 0);
	assert_int_equal(left, 21);
	assert_int_equal(keyed_at(r, e.logical, hash + 1), 0);
	assert_int_equal(extent_ref_drop(&st, &e, &b, 1, &left), -EUCLEAN);
	rig_end(r, &st);
	rig_destroy(r);
}

#ifdef UBTRFS_PLANT
static int check_refs(void)
{
	return !run_refs(4096, true, 3000, 1);
}

static void test_plants(void **state)
{
	assert_false(caught("none", check_refs));
	assert_true(caught("extent_inline_order", check_refs));
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refs),	  cmocka_unit_test(test_refused),
		cmocka_unit_test(test_both_keys), cmocka_unit_test(test_collision),
#ifdef UBTRFS_PLANT
		cmocka_unit_test(test_plants),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
