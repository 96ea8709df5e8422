// SPDX-License-Identifier: GPL-2.0-or-later
/* The transaction in memory: see faketxn.h. */
#include "tests/unit/faketxn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BASE (1ull << 30)

#define wrong(...) (fprintf(stderr, __VA_ARGS__), fputc('\n', stderr), abort())

static struct faketxn *fake(struct bt_trans *t)
{
	return ((struct fake_handle *)t)->f;
}

static struct fake_block *block(struct faketxn *f, uint64_t logical)
{
	uint64_t i = (logical - BASE) / f->v->geo.nodesize;

	if (logical < BASE || i >= f->blocks_nr)
		wrong("no block can be at %llu", (unsigned long long)logical);
	return &f->blocks[i];
}

static struct fake_ref *find(struct fake_block *b, bool full, uint64_t from)
{
	for (unsigned i = 0; i < b->nr; i++)
		if (b->refs[i].full == full && b->refs[i].from == from)
			return &b->refs[i];
	return NULL;
}

static void add_ref(struct fake_block *b, bool full, uint64_t from)
{
	if (!b->used || b->nr == FAKE_REFS || find(b, full, from))
		wrong("reference from %llu: block %s, %u of them", (unsigned long long)from,
		      b->used ? "used" : "free", b->nr);
	b->refs[b->nr++] = (struct fake_ref){ full, from };
}

static void drop_ref(struct fake_block *b, bool full, uint64_t from)
{
	struct fake_ref *r = find(b, full, from);

	if (!b->used || !r)
		wrong("no such reference: %s %llu", full ? "block" : "tree",
		      (unsigned long long)from);
	*r = b->refs[--b->nr];
}

static bool fails(unsigned *countdown)
{
	return *countdown && !--*countdown;
}

static int op_alloc(struct bt_trans *t, const struct bt_want *want, uint64_t *out_logical)
{
	struct faketxn *f = fake(t);
	unsigned n = 0;
	int err = 0;

	((struct fake_handle *)t)->allocs++;
	pthread_mutex_lock(&f->lock);
	f->allocs++;
	if (fails(&f->fail_alloc))
		err = -ENOSPC;
	while (!err && (f->blocks[f->hand].used || f->blocks[f->hand].pinned)) {
		f->hand = (f->hand + 1) % f->blocks_nr;
		if (++n > f->blocks_nr)
			wrong("out of fake addresses");
	}
	if (!err) {
		struct fake_block *b = &f->blocks[f->hand];

		*b = (struct fake_block){ .used = true };
		*out_logical = BASE + (uint64_t)f->hand * f->v->geo.nodesize;
		f->hand = (f->hand + 1) % f->blocks_nr;
		add_ref(b, want->parent, want->parent ? want->parent : want->owner);
	}
	pthread_mutex_unlock(&f->lock);
	return err;
}

static int op_free(struct bt_trans *t, struct bt_tree *tree, const struct bt_drop *drop)
{
	struct faketxn *f = fake(t);
	struct fake_block *b;

	eb_holds_freed(&((struct fake_handle *)t)->holds, drop->logical);
	pthread_mutex_lock(&f->lock);
	b = block(f, drop->logical);
	drop_ref(b, drop->parent, drop->parent ? drop->parent : tree->root.id);
	if (drop->last != !b->nr)
		wrong("block %llu: %u references left, last: %d", (unsigned long long)drop->logical,
		      b->nr, drop->last);
	if (!b->nr) {
		b->used = false;
		if (drop->written || drop->generation != f->generation)
			b->pinned = f->generation;
	}
	pthread_mutex_unlock(&f->lock);
	return 0;
}

static void op_dirty(struct bt_trans *t, struct bt_tree *tree, struct eb *eb)
{
	eb_mark_dirty(eb, fake(t)->dirty);
	eb_holds_made(&((struct fake_handle *)t)->holds, eb);
}

static void op_touched(struct bt_trans *t, struct bt_tree *tree, struct eb *eb,
		       const struct eb *from)
{
	eb_holds_touched(&((struct fake_handle *)t)->holds, eb, from);
}

static int op_refs(struct bt_trans *t, uint64_t logical, int level, uint64_t *out_refs,
		   uint64_t *out_flags)
{
	struct faketxn *f = fake(t);

	pthread_mutex_lock(&f->lock);
	*out_refs = block(f, logical)->nr;
	*out_flags = block(f, logical)->flags;
	pthread_mutex_unlock(&f->lock);
	return 0;
}

static int op_set_flags(struct bt_trans *t, const struct eb *eb, uint64_t flags)
{
	struct faketxn *f = fake(t);

	pthread_mutex_lock(&f->lock);
	block(f, eb_logical(eb))->flags |= flags;
	pthread_mutex_unlock(&f->lock);
	return 0;
}

static int op_ref_children(struct bt_trans *t, struct bt_tree *tree, const struct eb *eb, bool full,
			   bool add)
{
	struct faketxn *f = fake(t);
	const void *b = eb_data(eb);
	uint64_t from = full ? eb_logical(eb) : btrfs_header_owner(b);
	bool fail;

	pthread_mutex_lock(&f->lock);
	f->ref_calls++;
	fail = fails(&f->fail_refs);
	for (unsigned i = 0; !fail && btrfs_header_level(b) && i < btrfs_header_nritems(b); i++)
		(add ? add_ref : drop_ref)(block(f, btrfs_node_blockptr(b, i)), full, from);
	pthread_mutex_unlock(&f->lock);
	return fail ? -EIO : 0;
}

static void op_root_changed(struct bt_trans *t, struct bt_tree *tree)
{
}

static void op_abort(struct bt_trans *t, int err)
{
	fake(t)->aborted = err;
}

static const struct bt_trans_ops ops = {
	.alloc = op_alloc,
	.free = op_free,
	.dirty = op_dirty,
	.refs = op_refs,
	.set_flags = op_set_flags,
	.ref_children = op_ref_children,
	.root_changed = op_root_changed,
	.touched = op_touched,
	.abort = op_abort,
};

void faketxn_begin(struct faketxn *f, struct fake_handle *h, enum bt_search_mode mode)
{
	h->f = f;
	h->allocs = 0;
	eb_holds_init(&h->holds, f->c, f->policy);
	bt_trans_init(&h->t, f->c, f->generation, &ops, mode);
}

void faketxn_end(struct fake_handle *h)
{
	bt_trans_end(&h->t);
	eb_holds_end(&h->holds);
}

static int write_blocks(void *arg, struct eb_write *ios, unsigned nr)
{
	struct faketxn *f = arg;
	int err = 0;

	if (f->during_write)
		f->during_write(f);
	for (unsigned i = 0; i < nr; i++) {
		uint64_t index = (ios[i].logical - BASE) / f->v->geo.nodesize;
		bool fail;

		pthread_mutex_lock(&f->lock);
		fail = fails(&f->fail_write);
		pthread_mutex_unlock(&f->lock);
		ios[i].res = fail ? -EIO : 0;
		if (fail)
			err = -EIO;
		for (int c = 0; !fail && c < FAKE_COPIES; c++)
			memcpy(f->v->blocks[index][c], ios[i].buf, ios[i].len);
	}
	return err;
}

void faketxn_write_some(struct faketxn *f, unsigned max)
{
	int err = f->wb ? eb_writeback_step(f->wb, max, NULL)
			: eb_dirty_write(f->c, f->dirty, EB_WRITE_SOME, max, write_blocks, f, NULL);

	if (err)
		wrong("write-out: %d", err);
}

static void pressure(void *arg)
{
	faketxn_write_some(arg, 32);
}

void faketxn_switch(struct faketxn *f)
{
	if (f->late)
		wrong("two commits at once");
	f->late = f->dirty;
	f->dirty = &f->lists[f->late == f->lists];
	f->generation++;
	if (f->wb && eb_writeback_target(f->wb, f->dirty))
		wrong("a write in mid-transaction failed");
}

static void note_failed(void *arg, int err)
{
	((struct faketxn *)arg)->wb_failed++;
}

void faketxn_writeback(struct faketxn *f, bool thread)
{
	struct eb_writeback_opts opts = {
		.cache = f->c,
		.write = write_blocks,
		.failed = note_failed,
		.arg = f,
		.thread = thread,
	};

	if (eb_writeback_create(&opts, &f->wb) || eb_writeback_target(f->wb, f->dirty))
		abort();
}

int faketxn_finish(struct faketxn *f)
{
	int err = eb_dirty_write(f->c, f->late, EB_WRITE_ALL, 0, write_blocks, f, NULL);

	if (err)
		return err;
	f->late = NULL;
	for (unsigned i = 0; i < f->blocks_nr; i++)
		if (f->blocks[i].pinned < f->generation)
			f->blocks[i].pinned = 0;
	return 0;
}

int faketxn_commit(struct faketxn *f)
{
	if (!f->late)
		faketxn_switch(f);
	return faketxn_finish(f);
}

struct faketxn *faketxn_create(uint32_t nodesize, unsigned blocks, unsigned frames,
			       unsigned threads)
{
	struct faketxn *f = calloc(1, sizeof(*f));
	uint64_t cap = eb_cache_min_bytes_live(nodesize, threads, 4) + frames * (nodesize + 512ull);

	if (!f)
		abort();
	f->v = fakevol_create(nodesize);
	f->v->geo.generation = FAKE_GENERATION;
	f->generation = FAKE_GENERATION + 1;
	f->blocks_nr = blocks;
	f->blocks = calloc(blocks, sizeof(*f->blocks));
	for (unsigned i = 0; i < blocks; i++)
		fakevol_alloc(f->v);
	pthread_mutex_init(&f->lock, NULL);
	eb_dirty_init(&f->lists[0]);
	eb_dirty_init(&f->lists[1]);
	f->dirty = f->lists;
	f->policy = EB_POLICY_NONE;
	if (!f->blocks || eb_cache_create(f->v, cap, threads, &f->c) ||
	    eb_cache_enable_writes(f->c, threads, 4))
		abort();
	eb_cache_on_pressure(f->c, pressure, f);
	return f;
}

void faketxn_destroy(struct faketxn *f)
{
	eb_writeback_destroy(f->wb);
	for (int i = 0; i < 2; i++) {
		eb_dirty_abandon(&f->lists[i]);
		eb_dirty_destroy(&f->lists[i]);
	}
	eb_cache_destroy(f->c);
	fakevol_destroy(f->v);
	pthread_mutex_destroy(&f->lock);
	free(f->blocks);
	free(f);
}

unsigned faketxn_used(struct faketxn *f)
{
	unsigned n = 0;

	for (unsigned i = 0; i < f->blocks_nr; i++)
		n += f->blocks[i].used;
	return n;
}

/* Collects the references that a tree makes; a block that was come by already is passed by. */
static bool collect(struct faketxn *f, struct fake_block *seen, const struct bt_root *root,
		    const struct btrfs_block_expect *e, const struct fake_ref *ref)
{
	struct fake_block *s = &seen[(e->logical - BASE) / f->v->geo.nodesize];
	struct fake_block *b = block(f, e->logical);
	bool been = s->used, ok = true;
	struct fake_ref down;
	struct eb *eb;

	s->used = true;
	if (!find(s, ref->full, ref->from))
		add_ref(s, ref->full, ref->from);
	if (been)
		return true;
	if (eb_get(f->c, e, &eb))
		return false;
	down.full = b->flags & BTRFS_BLOCK_FLAG_FULL_BACKREF;
	down.from = down.full ? e->logical : btrfs_header_owner(eb_data(eb));
	for (unsigned i = 0; ok && e->level && i < btrfs_header_nritems(eb_data(eb)); i++) {
		struct btrfs_block_expect child = {
			.logical = btrfs_node_blockptr(eb_data(eb), i),
			.generation = btrfs_node_generation(eb_data(eb), i),
			.level = e->level - 1,
		};

		ok = collect(f, seen, root, &child, &down);
	}
	eb_put(eb);
	return ok;
}

static bool same_refs(struct fake_block *a, struct fake_block *b)
{
	if (a->used != b->used || a->nr != b->nr)
		return false;
	for (unsigned i = 0; i < a->nr; i++)
		if (!find(b, a->refs[i].full, a->refs[i].from))
			return false;
	return true;
}

bool faketxn_refs_right(struct faketxn *f, struct bt_tree **trees, unsigned nr)
{
	struct fake_block *seen = calloc(f->blocks_nr, sizeof(*seen));
	bool ok = seen;

	for (unsigned i = 0; ok && i < nr; i++) {
		struct bt_root root = bt_tree_root(trees[i]);
		struct btrfs_block_expect e = {
			.logical = root.bytenr,
			.generation = root.generation,
			.level = root.level,
		};
		struct fake_ref ref = { .from = root.id };

		ok = collect(f, seen, &root, &e, &ref);
	}
	for (unsigned i = 0; ok && i < f->blocks_nr; i++) {
		ok = same_refs(&f->blocks[i], &seen[i]);
		if (!ok)
			fprintf(stderr, "block %llu: used %d with %u references, expected %d %u\n",
				(unsigned long long)(BASE + (uint64_t)i * f->v->geo.nodesize),
				f->blocks[i].used, f->blocks[i].nr, seen[i].used, seen[i].nr);
	}
	free(seen);
	return ok;
}
