// SPDX-License-Identifier: GPL-2.0-or-later
/* Random edits against a model: see changelab.h. */
#include "tests/unit/changelab.h"

#include <stdlib.h>
#include <string.h>

/*
 * A frame's lock is that of many blocks in turn, and siblings are locked both ways under their
 * parent's: the detector of inversions would find nothing but these. Races are what is looked for.
 */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
	return "detect_deadlocks=0";
}

uint64_t rnd(uint64_t *s)
{
	uint64_t x = *s += 0x9E3779B97F4A7C15ull;

	x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9ull;
	x = (x ^ x >> 27) * 0x94D049BB133111EBull;
	return x ^ x >> 31;
}

struct btrfs_key key_of(unsigned i)
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

void model_set(struct model *m, unsigned i, int32_t size, const void *data)
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

void fill(uint64_t *s, uint8_t *p, uint32_t size)
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

bool edit_insert(struct lab *l, struct fake_handle *h, unsigned k, unsigned i, uint64_t *s)
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

bool edit_delete(struct lab *l, struct fake_handle *h, unsigned k, unsigned i, uint64_t *s)
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

bool edit_resize(struct lab *l, struct fake_handle *h, unsigned k, unsigned i, uint64_t *s)
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

bool edit_update(struct lab *l, struct fake_handle *h, unsigned k, unsigned i, uint64_t *s)
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
bool same_as_model(struct lab *l, unsigned k, unsigned from, unsigned to)
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

bool all_right(struct lab *l)
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

void lab_init(struct lab *l, uint32_t nodesize, unsigned blocks, unsigned frames, unsigned threads,
	      unsigned keys, enum bt_search_mode mode)
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

void lab_end(struct lab *l)
{
	for (unsigned k = 0; k < l->trees_nr; k++) {
		bt_tree_destroy(l->trees[k]);
		free(l->trees[k]);
		model_free(&l->models[k]);
	}
	faketxn_destroy(l->f);
}

/* As in a commit: both trees are forced to copy until the transaction ends. */
bool snapshot(struct lab *l, struct fake_handle *h, unsigned of)
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

bool commit(struct lab *l)
{
	if (faketxn_commit(l->f))
		return false;
	for (unsigned k = 0; k < l->trees_nr; k++)
		l->trees[k]->force_cow = false;
	return true;
}

/* Deletes grow likelier than inserts in one half of the run. */
bool edit(struct lab *l, struct fake_handle *h, unsigned k, unsigned i, bool shrink, uint64_t *s)
{
	unsigned dice = rnd(s) % 10;

	if (dice < 2)
		return edit_update(l, h, k, i, s);
	if (dice < 4)
		return edit_resize(l, h, k, i, s);
	return (dice < 6) == shrink ? edit_insert(l, h, k, i, s) : edit_delete(l, h, k, i, s);
}

uint64_t first_seed(void)
{
	const char *e = getenv("UBTRFS_SEED");

	return e ? strtoull(e, NULL, 0) : 1;
}

void say_counters(struct lab *l)
{
	struct counters *c = &l->f->v->counters;

	if (getenv("UBTRFS_TEST_VERBOSE"))
		fprintf(stderr,
			"node %u mode %d trees %u level %u used %u: searches %llu cows %llu recows "
			"%llu splits %llu merges %llu restarts read %llu level %llu spares %llu "
			"written %llu spare waits %llu evictions %llu\n",
			l->f->v->geo.nodesize, l->mode, l->trees_nr,
			bt_tree_root(l->trees[0]).level, faketxn_used(l->f),
			(unsigned long long)counter_get(c, bt_searches),
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
