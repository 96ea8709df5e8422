// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Trees that change, over a transaction in memory: random edits against a sorted map, snapshots
 * with every reference accounted for, write-out in mid-transaction, a small cache, threads,
 * failures.
 *
 * A failing run prints its seed; UBTRFS_SEED=n runs that one.
 */
#include "engine/util/fault.h"
#include "tests/unit/faketxn.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/*
 * A frame's lock is that of many blocks in turn, so an order among frames means nothing: the
 * detector of inversions is off. Races are what is looked for.
 */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
	return "detect_deadlocks=0";
}

#define TREE_ID 300 /* some subvolume: its leaves may be empty */

#define check(cond)                                                                                \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "%s:%d: %s\n", __func__, __LINE__, #cond);                 \
			return false;                                                              \
		}                                                                                  \
	} while (0)

/* What a tree is to hold: item i has this size and these bytes, or is not there (-1). */
struct model {
	unsigned nr;
	int32_t *size;
	uint8_t **data;
};

struct lab {
	struct faketxn *f;
	struct bt_tree *trees[4];
	struct model models[4];
	unsigned trees_nr;
	enum bt_search_mode mode;
	uint32_t max_item;
	bool spare_failures; /* an injected failure is fine, and changes nothing */
	unsigned failed;
};

static uint64_t rnd(uint64_t *s)
{
	uint64_t x = *s += 0x9E3779B97F4A7C15ull;

	x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9ull;
	x = (x ^ x >> 27) * 0x94D049BB133111EBull;
	return x ^ x >> 31;
}

static struct btrfs_key key_of(unsigned i)
{
	return (struct btrfs_key){ 256 + i / 16, BTRFS_STRING_ITEM_KEY, i * 3ull };
}

static void model_init(struct model *m, unsigned nr)
{
	m->nr = nr;
	m->size = calloc(nr, sizeof(*m->size));
	m->data = calloc(nr, sizeof(*m->data));
	if (!m->size || !m->data)
		abort();
	for (unsigned i = 0; i < nr; i++)
		m->size[i] = -1;
}

static void model_set(struct model *m, unsigned i, int32_t size, const void *data)
{
	uint8_t *p = size >= 0 ? malloc((size_t)size + 1) : NULL;

	if (size > 0)
		memcpy(p, data, (size_t)size);
	free(m->data[i]);
	m->data[i] = p;
	m->size[i] = size;
}

static void model_free(struct model *m)
{
	for (unsigned i = 0; i < m->nr; i++)
		free(m->data[i]);
	free(m->data);
	free(m->size);
}

/* ---- one edit each; true if tree and model agree on what came of it ---- */

static void fill(uint64_t *s, uint8_t *p, uint32_t size)
{
	for (uint32_t i = 0; i < size; i++)
		p[i] = (uint8_t)rnd(s);
}

/* Failures that were ordered; a search that failed has changed nothing. */
static bool tolerated(struct lab *l, int err)
{
	if (l->spare_failures && (err == -ENOSPC || err == -EIO)) {
		l->failed++;
		return true;
	}
	return false;
}

static bool edit_insert(struct lab *l, struct fake_handle *h, unsigned k, unsigned i, uint64_t *s)
{
	BT_PATH_CLEANUP struct bt_path path = BT_PATH_INIT;
	struct model *m = &l->models[k];
	struct btrfs_key keys[8];
	uint32_t sizes[8] = { 0 }, bytes = 0;
	unsigned want = rnd(s) % 4 ? 1 : 1 + rnd(s) % 8, nr = 0;
	int err;

	while (nr < want && i + nr < m->nr && (!nr || m->size[i + nr] < 0)) {
		keys[nr] = key_of(i + nr);
		sizes[nr] = (uint32_t)(rnd(s) % (rnd(s) % 3 ? 100 : l->max_item));
		nr++;
	}
	nr = nr > bt_insert_batch(l->f->c, sizes, nr) ? bt_insert_batch(l->f->c, sizes, nr) : nr;
	for (unsigned j = 0; j < nr; j++)
		bytes += sizes[j] + (uint32_t)sizeof(struct btrfs_item);
	err = bt_search_change(&h->t, l->trees[k], &keys[0], BT_INSERT, bytes, &path);
	if (err < 0)
		return tolerated(l, err);
	check(err == (m->size[i] < 0));
	if (!err)
		return true;
	err = bt_insert_items(&h->t, &path, keys, sizes, nr);
	if (err)
		return tolerated(l, err);
	for (unsigned j = 0; j < nr; j++, path.slots[0]++) {
		uint8_t *p = bt_item_mut(&h->t, &path);

		check(bt_item_size(&path) == sizes[j]);
		fill(s, p, sizes[j]);
		model_set(m, i + j, (int32_t)sizes[j], p);
	}
	return true;
}

static bool edit_delete(struct lab *l, struct fake_handle *h, unsigned k, unsigned i, uint64_t *s)
{
	BT_PATH_CLEANUP struct bt_path path = BT_PATH_INIT;
	struct model *m = &l->models[k];
	struct btrfs_key key = key_of(i);
	unsigned want = rnd(s) % 3 ? 1 : 1 + rnd(s) % 12, nr = 0, last = i, gone[12];
	uint32_t bytes = 0;
	int err;

	if (want == 1 && m->size[i] >= 0 && rnd(s) % 2)
		bytes = (uint32_t)m->size[i] + (uint32_t)sizeof(struct btrfs_item);
	err = bt_search_change(&h->t, l->trees[k], &key, BT_DELETE, bytes, &path);
	if (err < 0)
		return tolerated(l, err);
	check(err == (m->size[i] < 0));
	if (err)
		return true;
	/* Those of the model that follow, as many as the leaf has. */
	while (nr < want &&
	       (unsigned)path.slots[0] + nr < btrfs_header_nritems(eb_data(path.nodes[0]))) {
		while (last < m->nr && m->size[last] < 0)
			last++;
		/* Another thread's keys may follow. */
		if (last == m->nr)
			break;
		gone[nr++] = last++;
	}
	err = bt_delete_items(&h->t, &path, nr);
	if (err)
		return tolerated(l, err);
	while (nr--)
		model_set(m, gone[nr], -1, NULL);
	return true;
}

static bool edit_resize(struct lab *l, struct fake_handle *h, unsigned k, unsigned i, uint64_t *s)
{
	BT_PATH_CLEANUP struct bt_path path = BT_PATH_INIT;
	struct model *m = &l->models[k];
	struct btrfs_key key = key_of(i);
	uint32_t was = m->size[i] > 0 ? (uint32_t)m->size[i] : 0, size = was;
	bool grow = rnd(s) % 2 && was < l->max_item, front = rnd(s) % 2;
	int err;

	if (grow)
		size += (uint32_t)(rnd(s) % (l->max_item - was));
	else
		size = (uint32_t)(rnd(s) % (was + 1));
	err = bt_search_change(&h->t, l->trees[k], &key, grow ? BT_EXTEND : BT_UPDATE, size - was,
			       &path);
	if (err < 0)
		return tolerated(l, err);
	check(err == (m->size[i] < 0));
	if (err)
		return true;
	if (grow) {
		uint8_t *p;

		err = bt_extend_item(&h->t, &path, size - was);
		if (err)
			return tolerated(l, err);
		p = bt_item_mut(&h->t, &path);
		check(bt_item_size(&path) == size && !memcmp(p, m->data[i], was));
		fill(s, p + was, size - was);
		model_set(m, i, (int32_t)size, p);
	} else {
		bt_truncate_item(&h->t, &path, size, front);
		check(bt_item_size(&path) == size);
		check(!memcmp(bt_item(&path), m->data[i] + (front ? was - size : 0), size));
		model_set(m, i, (int32_t)size, bt_item(&path));
	}
	return true;
}

static bool edit_update(struct lab *l, struct fake_handle *h, unsigned k, unsigned i, uint64_t *s)
{
	BT_PATH_CLEANUP struct bt_path path = BT_PATH_INIT;
	struct model *m = &l->models[k];
	struct btrfs_key key = key_of(i);
	int err = bt_search_change(&h->t, l->trees[k], &key, BT_UPDATE, 0, &path);

	if (err < 0)
		return tolerated(l, err);
	check(err == (m->size[i] < 0));
	if (!err) {
		fill(s, bt_item_mut(&h->t, &path), (uint32_t)m->size[i]);
		model_set(m, i, m->size[i], bt_item(&path));
	}
	return true;
}

/* ---- whole trees ---- */

/* The tree holds items [from, to) of the model, and walks both ways over them. */
static bool same_as_model(struct lab *l, unsigned k, unsigned from, unsigned to)
{
	BT_PATH_CLEANUP struct bt_path path = BT_PATH_INIT;
	struct model *m = &l->models[k];
	struct btrfs_key key = key_of(from), at;
	int err = bt_search_ge(&l->trees[k]->root, &key, &path);

	for (unsigned i = from; i < to; i++) {
		if (m->size[i] < 0)
			continue;
		key = key_of(i);
		check(!err);
		at = bt_key(&path);
		check(!btrfs_key_cmp(&at, &key));
		check(bt_item_size(&path) == (uint32_t)m->size[i]);
		check(!memcmp(bt_item(&path), m->data[i], (size_t)m->size[i]));
		err = bt_next(&path);
	}
	check(err >= 0);
	if (to == m->nr && !from)
		check(err == 1);
	key = key_of(to);
	err = bt_search_le(&l->trees[k]->root, &key, &path);
	if (!err) {
		at = bt_key(&path);
		if (!btrfs_key_cmp(&at, &key))
			err = bt_prev(&path);
	}
	for (unsigned i = to; i-- > from;) {
		if (m->size[i] < 0)
			continue;
		key = key_of(i);
		check(!err);
		at = bt_key(&path);
		check(!btrfs_key_cmp(&at, &key));
		err = bt_prev(&path);
	}
	check(err >= 0);
	return true;
}

static bool all_right(struct lab *l)
{
	for (unsigned k = 0; k < l->trees_nr; k++) {
		struct bt_verify_stats st;
		uint64_t items = 0;

		check(!bt_verify(&l->trees[k]->root, &st));
		for (unsigned i = 0; i < l->models[k].nr; i++)
			items += l->models[k].size[i] >= 0;
		check(st.items == items);
		check(same_as_model(l, k, 0, l->models[k].nr));
	}
	check(faketxn_refs_right(l->f, l->trees, l->trees_nr));
	return true;
}

static void lab_init(struct lab *l, uint32_t nodesize, unsigned blocks, unsigned frames,
		     unsigned threads, unsigned keys, enum bt_search_mode mode)
{
	struct bt_root like = { .id = TREE_ID }, root;
	struct fake_handle h;

	*l = (struct lab){ .f = faketxn_create(nodesize, blocks, frames, threads),
			   .trees_nr = 1,
			   .mode = mode,
			   .max_item = (nodesize - 101) / 2 };
	like.cache = l->f->c;
	l->trees[0] = calloc(1, sizeof(struct bt_tree));
	faketxn_begin(l->f, &h, mode);
	if (bt_create(&h.t, &like, &root))
		abort();
	faketxn_end(&h);
	bt_tree_init(l->trees[0], &root);
	l->trees[0]->shareable = true;
	model_init(&l->models[0], keys);
}

static void lab_end(struct lab *l)
{
	for (unsigned k = 0; k < l->trees_nr; k++) {
		bt_tree_destroy(l->trees[k]);
		free(l->trees[k]);
		model_free(&l->models[k]);
	}
	faketxn_destroy(l->f);
}

/* As in a commit: both trees are forced to copy until the transaction ends. */
static bool snapshot(struct lab *l, struct fake_handle *h, unsigned of)
{
	struct bt_tree *from = l->trees[of], *tree = calloc(1, sizeof(*tree));
	unsigned k = l->trees_nr;
	struct bt_root root;

	check(tree);
	from->last_snapshot = h->t.generation;
	from->force_cow = true;
	if (bt_copy_root(&h->t, from, TREE_ID + k, &root))
		abort();
	bt_tree_init(tree, &root);
	tree->shareable = true;
	tree->last_snapshot = h->t.generation;
	tree->force_cow = true;
	model_init(&l->models[k], l->models[of].nr);
	for (unsigned i = 0; i < l->models[of].nr; i++)
		if (l->models[of].size[i] >= 0)
			model_set(&l->models[k], i, l->models[of].size[i], l->models[of].data[i]);
	l->trees[l->trees_nr++] = tree;
	return true;
}

static bool commit(struct lab *l)
{
	if (faketxn_commit(l->f))
		return false;
	for (unsigned k = 0; k < l->trees_nr; k++)
		l->trees[k]->force_cow = false;
	return true;
}

/* Deletes grow likelier than inserts in one half of the run. */
static bool edit(struct lab *l, struct fake_handle *h, unsigned k, unsigned i, bool shrink,
		 uint64_t *s)
{
	unsigned dice = rnd(s) % 10;

	if (dice < 2)
		return edit_update(l, h, k, i, s);
	if (dice < 4)
		return edit_resize(l, h, k, i, s);
	return (dice < 6) == shrink ? edit_insert(l, h, k, i, s) : edit_delete(l, h, k, i, s);
}

/* Empties all trees: nothing but their roots is left. */
static bool empty_all(struct lab *l, uint64_t *s)
{
	struct fake_handle h;

	faketxn_begin(l->f, &h, l->mode);
	for (unsigned k = 0; k < l->trees_nr; k++)
		for (unsigned i = 0; i < l->models[k].nr; i++)
			check(edit_delete(l, &h, k, i, s));
	faketxn_end(&h);
	check(all_right(l));
	check(faketxn_used(l->f) == l->trees_nr);
	return true;
}

struct params {
	uint32_t nodesize;
	unsigned keys, edits, frames, snapshots;
	enum bt_search_mode mode;
};

static void say_counters(struct lab *l, const struct params *p)
{
	struct counters *c = &l->f->v->counters;

	if (getenv("UBTRFS_TEST_VERBOSE"))
		fprintf(stderr,
			"node %u mode %d trees %u level %u used %u: searches %llu cows %llu recows "
			"%llu splits %llu merges %llu restarts read %llu level %llu spares %llu "
			"written %llu spare waits %llu evictions %llu\n",
			p->nodesize, p->mode, l->trees_nr, bt_tree_root(l->trees[0]).level,
			faketxn_used(l->f), (unsigned long long)counter_get(c, bt_searches),
			(unsigned long long)counter_get(c, bt_cows),
			(unsigned long long)counter_get(c, bt_recows),
			(unsigned long long)counter_get(c, bt_splits),
			(unsigned long long)counter_get(c, bt_merges),
			(unsigned long long)counter_get(c, bt_restarts_read),
			(unsigned long long)counter_get(c, bt_restarts_level),
			(unsigned long long)counter_get(c, bt_restarts_spares),
			(unsigned long long)counter_get(c, cache_written),
			(unsigned long long)counter_get(c, cache_spare_waits),
			(unsigned long long)counter_get(c, cache_evictions));
}

static bool run_random(const struct params *p, uint64_t seed)
{
	uint64_t s = seed;
	struct fake_handle h;
	struct lab l;
	bool ok = true;

	lab_init(&l, p->nodesize, 6000, p->frames, 2, p->keys, p->mode);
	faketxn_begin(l.f, &h, p->mode);
	for (unsigned n = 0; ok && n < p->edits; n++) {
		bool shrink = n / (p->edits / 4 + 1) % 2;

		ok = edit(&l, &h, rnd(&s) % l.trees_nr, rnd(&s) % p->keys, shrink, &s);
		if (rnd(&s) % 256 == 0)
			faketxn_write_some(l.f, 1 + rnd(&s) % 20);
		if (ok && l.trees_nr <= p->snapshots && rnd(&s) % (p->edits / 6) == 0)
			ok = snapshot(&l, &h, rnd(&s) % l.trees_nr);
		if (ok && rnd(&s) % (p->edits / 8) == 0) {
			ok = all_right(&l);
			faketxn_end(&h);
			ok = ok && commit(&l);
			faketxn_begin(l.f, &h, p->mode);
		}
	}
	faketxn_end(&h);
	say_counters(&l, p);
	ok = ok && all_right(&l) && empty_all(&l, &s) && commit(&l) && all_right(&l);
	if (!ok)
		fprintf(stderr, "node %u, mode %d: UBTRFS_SEED=%llu\n", p->nodesize, p->mode,
			(unsigned long long)seed);
	else
		lab_end(&l);
	return ok;
}

static uint64_t first_seed(void)
{
	const char *e = getenv("UBTRFS_SEED");

	return e ? strtoull(e, NULL, 0) : 1;
}

static void test_random(void **state)
{
	static const struct params params[] = {
		{ 4096, 1500, 6000, 300, 0 }, { 4096, 1500, 6000, 300, 3 },
		{ 4096, 1500, 6000, 10, 3 },  { 16384, 3000, 5000, 100, 2 },
		{ 65536, 4000, 4000, 30, 2 },
	};

	for (unsigned i = 0; i < sizeof(params) / sizeof(*params); i++)
		for (int mode = BT_TWO_PASS; mode <= BT_LINUX; mode++) {
			struct params p = params[i];

			p.mode = mode;
			assert_true(run_random(&p, first_seed() + i));
		}
}

/* ---- heights ---- */

/* Commits now and then: what was freed is to be had again. */
static void commit_at(struct lab *l, struct fake_handle *h, unsigned n)
{
	/* As a writeback thread would: looking for clean frames among dirty ones is slow. */
	if (l->f->dirty->nr > 800)
		faketxn_write_some(l->f, 600);
	if (n % 2000)
		return;
	bt_trans_end(&h->t);
	assert_true(commit(l));
	faketxn_begin(l->f, h, l->mode);
}

/* Two items a leaf, 121 pointers a node: four levels. */
static void test_heights(void **state)
{
	enum { KEYS = 34000 };
	uint64_t s = first_seed();
	struct fake_handle h;
	struct lab l;
	static const uint8_t data[1900];

	for (int mode = BT_TWO_PASS; mode <= BT_LINUX; mode++) {
		struct bt_verify_stats st;
		unsigned step = 12347; /* coprime: all keys, in no order */

		lab_init(&l, 4096, 40000, 8000, 1, 1, mode);
		faketxn_begin(l.f, &h, mode);
		for (unsigned n = 0, i = 0; n < KEYS; n++, i = (i + step) % KEYS) {
			struct btrfs_key key = key_of(mode == BT_LINUX ? n : i);

			commit_at(&l, &h, n);
			assert_int_equal(bt_insert(&h.t, l.trees[0], &key, data,
						   1300 + (uint32_t)(rnd(&s) % 600)),
					 0);
		}
		assert_int_equal(bt_tree_root(l.trees[0]).level, 3);
		assert_int_equal(bt_verify(&l.trees[0]->root, &st), 0);
		assert_int_equal(st.items, KEYS);
		assert_true(faketxn_refs_right(l.f, l.trees, 1));
		for (unsigned n = 0, i = 0; n < KEYS; n++, i = (i + step) % KEYS) {
			struct btrfs_key key = key_of(i);

			commit_at(&l, &h, n);
			assert_int_equal(bt_delete(&h.t, l.trees[0], &key), 0);
			if (n % 10000 == 0)
				assert_int_equal(bt_verify(&l.trees[0]->root, NULL), 0);
		}
		faketxn_end(&h);
		assert_true(all_right(&l));
		assert_int_equal(bt_tree_root(l.trees[0]).level, 0);
		assert_int_equal(faketxn_used(l.f), 1);
		lab_end(&l);
	}
}

/* Appending in order leaves full leaves behind. */
static void test_appending(void **state)
{
	struct bt_verify_stats st;
	struct fake_handle h;
	struct lab l;

	lab_init(&l, 16384, 2000, 1000, 1, 1, BT_TWO_PASS);
	faketxn_begin(l.f, &h, BT_TWO_PASS);
	for (unsigned i = 0; i < 20000; i++) {
		struct btrfs_key key = key_of(i);

		assert_int_equal(bt_insert(&h.t, l.trees[0], &key, "0123456789", 10), 0);
		if (i == 100)
			assert_int_equal(bt_insert(&h.t, l.trees[0], &key, "", 0), -EEXIST);
	}
	faketxn_end(&h);
	assert_int_equal(bt_verify(&l.trees[0]->root, &st), 0);
	assert_int_equal(st.items, 20000);
	assert_in_range(st.blocks, 20000 * 35 / 16283, 20000 * 35 / 16283 + 4);
	lab_end(&l);
}

/* ---- threads ---- */

#define THREADS 8
#define RANGE 250

struct worker {
	struct lab *l;
	pthread_rwlock_t *gate; /* written by who commits */
	unsigned nr;
	unsigned edits;
	bool ok;
	uint64_t seed;
};

static bool one_edit(struct worker *w, struct fake_handle *h, unsigned n, uint64_t *s)
{
	struct lab *l = w->l;
	struct btrfs_key key;
	unsigned i = w->nr * RANGE + rnd(s) % RANGE, dice = rnd(s) % 8;
	bool shrink = n / (w->edits / 4 + 1) % 2;
	struct model *m = &l->models[0];

	if (dice < 2)
		return edit_resize(l, h, 0, i, s);
	if (dice < 3)
		return same_as_model(l, 0, w->nr * RANGE, (w->nr + 1) * RANGE);
	key = key_of(i);
	if ((dice < 5) == shrink) {
		uint8_t data[400];
		uint32_t size = (uint32_t)(rnd(s) % sizeof(data));
		int err;

		fill(s, data, size);
		err = bt_insert(&h->t, l->trees[0], &key, data, size);
		check(err == (m->size[i] < 0 ? 0 : -EEXIST));
		if (!err)
			model_set(m, i, (int32_t)size, data);
	} else {
		int err = bt_delete(&h->t, l->trees[0], &key);

		check(err == (m->size[i] < 0 ? -ENOENT : 0));
		model_set(m, i, -1, NULL);
	}
	return true;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	uint64_t s = w->seed + w->nr;
	struct fake_handle h;

	for (unsigned n = 0; w->ok && n < w->edits; n++) {
		pthread_rwlock_rdlock(w->gate);
		faketxn_begin(w->l->f, &h, w->l->mode);
		for (unsigned j = 0; j < 8 && w->ok && n < w->edits; j++, n++)
			w->ok = one_edit(w, &h, n, &s);
		faketxn_end(&h);
		pthread_rwlock_unlock(w->gate);
		if (rnd(&s) % 16 == 0)
			faketxn_write_some(w->l->f, 8);
		if (rnd(&s) % 32 == 0) {
			pthread_rwlock_wrlock(w->gate);
			w->ok = w->ok && commit(w->l);
			pthread_rwlock_unlock(w->gate);
		}
	}
	return NULL;
}

static bool run_threads(enum bt_search_mode mode, unsigned frames, unsigned edits)
{
	pthread_rwlock_t gate = PTHREAD_RWLOCK_INITIALIZER;
	struct worker w[THREADS];
	pthread_t ids[THREADS];
	struct params p = { .nodesize = 4096, .mode = mode };
	struct lab l;
	bool ok = true;

	lab_init(&l, 4096, 6000, frames, THREADS, THREADS * RANGE, mode);
	for (unsigned i = 0; i < THREADS; i++) {
		w[i] = (struct worker){ &l, &gate, i, edits, true, first_seed() };
		if (pthread_create(&ids[i], NULL, work, &w[i]))
			abort();
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(ids[i], NULL);
		ok = ok && w[i].ok;
	}
	say_counters(&l, &p);
	ok = ok && all_right(&l);
	if (ok)
		lab_end(&l);
	return ok;
}

static void test_threads(void **state)
{
	for (int mode = BT_TWO_PASS; mode <= BT_LINUX; mode++) {
		assert_true(run_threads(mode, 500, 400));
		assert_true(run_threads(mode, 0, 200));
	}
}

/* ---- failures ---- */

/*
 * A script of edits in which the nth allocation fails, or the nth update of references, or the nth
 * read. Until an abort, a failed edit has changed nothing and the rest goes on.
 */
enum what_fails {
	FAIL_ALLOC,
	FAIL_REFS,
	FAIL_READ_BLOCK,
	FAIL_WRITE_BLOCK,
	FAIL_NR,
};

static bool run_failing(enum what_fails what, unsigned nth, enum bt_search_mode mode, bool *out_hit)
{
	uint64_t s = 99;
	struct fake_handle h;
	struct lab l;
	bool ok = true;
	int err;

	*out_hit = false;
	lab_init(&l, 4096, 1200, what == FAIL_READ_BLOCK ? 0 : 200, 1, 500, mode);
	faketxn_begin(l.f, &h, mode);
	l.max_item = 900;
	for (unsigned n = 0; ok && n < 350; n++)
		ok = edit_insert(&l, &h, 0, rnd(&s) % 500, &s);
	check(ok && snapshot(&l, &h, 0));
	faketxn_end(&h);
	check(commit(&l));
	faketxn_begin(l.f, &h, mode);
	l.spare_failures = true;
	if (what == FAIL_ALLOC)
		l.f->fail_alloc = nth;
	else if (what == FAIL_REFS)
		l.f->fail_refs = nth;
	else if (what == FAIL_READ_BLOCK)
		fault_arm(FAULT_READ, nth);
	for (unsigned n = 0; ok && n < 100 && !l.f->aborted; n++)
		ok = edit(&l, &h, rnd(&s) % 2, rnd(&s) % 500, n > 50, &s);
	fault_arm(FAULT_READ, 0);
	l.f->fail_alloc = l.f->fail_refs = 0;
	l.spare_failures = false;
	faketxn_end(&h);
	if (what == FAIL_WRITE_BLOCK)
		l.f->fail_write = nth;
	/* Merging may meet a failure that the edit survives. */
	*out_hit = l.failed || l.f->aborted;
	if (!l.f->aborted) {
		ok = ok && all_right(&l);
		err = ok ? faketxn_commit(l.f) : 0;
		if (err) {
			check(what == FAIL_WRITE_BLOCK && err == -EIO);
			*out_hit = true;
			check(commit(&l));
		}
		ok = ok && all_right(&l);
	}
	if (!ok)
		fprintf(stderr, "failure %d at %u, mode %d\n", what, nth, mode);
	if (ok)
		lab_end(&l);
	return ok;
}

static void test_failures(void **state)
{
	for (int what = 0; what < FAIL_NR; what++)
		for (int mode = BT_TWO_PASS; mode <= BT_LINUX; mode++) {
			unsigned hits = 0;
			bool hit;

			for (unsigned nth = 1; nth < 60; nth += nth < 12 ? 1 : 5) {
				assert_true(run_failing(what, nth, mode, &hit));
				hits += hit;
			}
			/* A read that fails once is tried again. */
			assert_true(hits > 0 || what == FAIL_READ_BLOCK);
		}
}

/* ---- what is held is not written, and what is written is copied ---- */

static void test_hold(void **state)
{
	BT_PATH_CLEANUP struct bt_path path = BT_PATH_INIT;
	struct btrfs_key key = key_of(1);
	struct fake_handle h;
	struct counters *c;
	struct eb_held held;
	struct eb *leaf;
	struct lab l;

	lab_init(&l, 4096, 100, 100, 1, 1, BT_TWO_PASS);
	c = &l.f->v->counters;
	faketxn_begin(l.f, &h, BT_TWO_PASS);
	assert_int_equal(bt_insert(&h.t, l.trees[0], &key, "one", 3), 0);
	assert_int_equal(bt_search_change(&h.t, l.trees[0], &key, BT_UPDATE, 0, &path), 0);
	leaf = path.nodes[0];
	eb_ref(leaf);
	held = eb_hold(leaf);
	assert_true(eb_is_dirty(leaf));
	/* Locked. */
	faketxn_write_some(l.f, 10);
	assert_int_equal(counter_get(c, cache_written), 0);
	bt_path_release(&path);
	/* Held. */
	faketxn_write_some(l.f, 10);
	assert_int_equal(counter_get(c, cache_written), 0);
	eb_unhold(held);
	faketxn_write_some(l.f, 10);
	assert_int_equal(counter_get(c, cache_written), 1);
	assert_false(eb_is_dirty(leaf));
	eb_unhold(held); /* too late: no-op */
	/* Sealed: the next change goes to a copy. */
	assert_int_equal(bt_search_change(&h.t, l.trees[0], &key, BT_UPDATE, 0, &path), 0);
	assert_ptr_not_equal(path.nodes[0], leaf);
	assert_int_equal(counter_get(c, bt_recows), 1);
	bt_path_release(&path);
	eb_put(leaf);
	faketxn_end(&h);
	assert_true(faketxn_refs_right(l.f, l.trees, 1));
	lab_end(&l);
}

/* A cap that cannot hold a path and spares for each thread is refused, and says what it takes. */
static void test_cap(void **state)
{
	struct vol *v = fakevol_create(16384);
	uint64_t min = eb_cache_min_bytes_live(16384, 4, 3);
	struct eb_cache *c;

	assert_int_equal(eb_cache_create(v, min - 20000, 4, &c), 0);
	assert_int_equal(eb_cache_enable_writes(c, 4, 3), -EINVAL);
	assert_non_null(strstr(v->heard.last, "too small to write"));
	eb_cache_destroy(c);
	assert_int_equal(eb_cache_create(v, min, 4, &c), 0);
	assert_int_equal(eb_cache_enable_writes(c, 4, 3), 0);
	eb_cache_destroy(c);
	fakevol_destroy(v);
}

#ifdef UBTRFS_PLANT
static bool checker(void)
{
	struct params p = { 4096, 1500, 3000, 300, 2, BT_TWO_PASS };

	return run_random(&p, 1);
}

/* In a child, as what it finds may be an assertion. */
static bool caught(const char *plant)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		if (!freopen("/dev/null", "w", stderr))
			_exit(0);
		setenv("UBTRFS_PLANT", plant, 1);
		_exit(checker() ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status != 0;
}

static void test_plants(void **state)
{
	assert_false(caught("none"));
	assert_true(caught("bt_cow_forgets_parent"));
	assert_true(caught("bt_merge_loses_last"));
	assert_true(caught("bt_split_wrong_key"));
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),	  cmocka_unit_test(test_heights),
		cmocka_unit_test(test_appending), cmocka_unit_test(test_threads),
		cmocka_unit_test(test_failures),  cmocka_unit_test(test_hold),
		cmocka_unit_test(test_cap),
#ifdef UBTRFS_PLANT
		cmocka_unit_test(test_plants),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
