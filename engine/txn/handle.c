// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Handles: reserving, joining, the operations that changing trees asks for, and holding.
 *
 * Invariant: a handle is counted in its transaction's `writers` from txn_enter to txn_leave, and
 * holds blocks (eb_holds) only in between.
 *
 * Locks: the operations are called with tree locks held.
 */
#include "engine/txn/txn_priv.h"
#include "engine/util/fault.h"

#include <assert.h>
#include <stdlib.h>

/* Heads that an ending handle runs when references press, and how many are too many in any case. */
#define RUN_HEADS 64u
#define MANY_HEADS 4096u
/* Commits that a handle which frees space asks for before it gives up. */
#define STEAL_TRIES 10

static struct txn_handle *handle_of(struct bt_trans *t)
{
	return (struct txn_handle *)t;
}

/* ---- operations ---- */

static int op_alloc(struct bt_trans *t, const struct bt_want *want, uint64_t *out_logical)
{
	if (txn_is_aborted(handle_of(t)->txn))
		return -EROFS;
	return space_block_alloc(t, want, out_logical);
}

static void note_change(struct txn_handle *h, struct bt_tree *tree)
{
	atomic_store_explicit(&h->txn->changed, true, memory_order_relaxed);
	live_mark(h->txn->mgr, live_of(tree));
}

static int op_free(struct bt_trans *t, struct bt_tree *tree, const struct bt_drop *drop)
{
	struct txn_handle *h = handle_of(t);

	atomic_fetch_sub(&live_of(tree)->used, h->ffs->nodesize);
	note_change(h, tree);
	eb_holds_freed(&h->holds, drop->logical);
	return space_block_free(t, tree, drop);
}

static void op_dirty(struct bt_trans *t, struct bt_tree *tree, struct eb *eb)
{
	struct txn_handle *h = handle_of(t);

	/* Not in a tree that is just being made: its item comes with it. */
	if (tree) {
		atomic_fetch_add(&live_of(tree)->used, h->ffs->nodesize);
		note_change(h, tree);
	}
	eb_mark_dirty(eb, &h->txn->dirty);
	eb_holds_made(&h->holds, eb);
}

static void op_root_changed(struct bt_trans *t, struct bt_tree *tree)
{
	note_change(handle_of(t), tree);
}

static void op_touched(struct bt_trans *t, struct bt_tree *tree, struct eb *eb,
		       const struct eb *from)
{
	eb_holds_touched(&handle_of(t)->holds, eb, from);
}

static void op_abort(struct bt_trans *t, int err)
{
	txn_abort_at(handle_of(t), err, "a change of a tree", 0);
}

static const struct bt_trans_ops ops = {
	.alloc = op_alloc,
	.free = op_free,
	.dirty = op_dirty,
	.refs = space_block_refs,
	.set_flags = space_block_set_flags,
	.ref_children = space_block_ref_children,
	.root_changed = op_root_changed,
	.touched = op_touched,
	.abort = op_abort,
};

int txn_write_blocks(void *arg, struct eb_write *ios, unsigned nr)
{
	struct txn_mgr *mgr = arg;
	struct vol_wio w[64];
	int err = 0;

	for (unsigned i = 0; i < nr;) {
		unsigned n = 0;
		int ret;

		for (; n < 64 && i + n < nr; n++)
			w[n] = (struct vol_wio){ .logical = ios[i + n].logical,
						 .buf = ios[i + n].buf,
						 .len = ios[i + n].len };
		/* As if one had not been on the list. */
		if (PLANTED("txn_skip_dirty") && n > 1)
			w[n - 1].len = 0;
		ret = vol_write_many(mgr->fs->vol, w, n - !w[n - 1].len);
		if (!err)
			err = ret;
		for (unsigned j = 0; j < n; j++)
			ios[i + j].res = w[j].res;
		i += n;
	}
	return err;
}

/* ---- beginning ---- */

/*
 * What frees space must get on: the global reserve that it may take from is filled again by a
 * commit, and so often it is asked for one. Others who delete may have been faster.
 */
static int reserve(struct fs *fs, struct rsv_handle *rsv, unsigned items, enum space_flush flush)
{
	int err = rsv_handle_begin(&fs->txn->rsv, rsv, items, flush);

	for (int i = 0; err == -ENOSPC && flush == SPACE_FLUSH_ALL_STEAL && i < STEAL_TRIES; i++) {
		err = txn_sync(fs);
		if (!err)
			err = rsv_handle_begin(&fs->txn->rsv, rsv, items, flush);
	}
	return err;
}

static int begin(struct fs *fs, unsigned items, enum space_flush flush, enum txn_how how,
		 struct txn_handle **out_h)
{
	struct txn_mgr *mgr = fs->txn;
	struct txn_handle *h;
	int err;

	*out_h = NULL;
	if (!mgr || atomic_load(&mgr->error))
		return -EROFS;
	h = eng_zalloc(sizeof(*h));
	if (!h)
		return -ENOMEM;
	h->ffs = fs;
	err = reserve(fs, &h->st.rsv, items, flush);
	if (err) {
		free(h);
		return err;
	}
	err = txn_enter(mgr, how, &h->txn);
	if (err) {
		rsv_handle_end(&mgr->rsv, &h->st.rsv);
		if (!PLANTED("txn_begin_leak"))
			free(h);
		return err;
	}
	bt_trans_init(&h->st.bt, fs->cache, h->txn->generation, &ops, mgr->opts.search);
	h->st.bt.lab = mgr->lab.every ? &mgr->lab : NULL;
	eb_holds_init(&h->holds, fs->cache, mgr->opts.policy);
	h->st.fs = &mgr->space;
	h->st.drefs = h->txn->drefs;
	h->st.chunks = h->txn->chunks;
	h->st.handle = &h->st.rsv;
	counter_inc(&fs->counters, txn_handles);
	/* Before it is needed with trees locked. If there is no room, those who need it will hear.
	 */
	if (items && chunk_alloc_if_needed(&h->st, mgr->rsv.trans.si, false))
		counter_inc(&fs->counters, txn_chunk_fails);
	*out_h = h;
	return 0;
}

int txn_begin_flush(struct fs *fs, unsigned items, enum space_flush flush,
		    struct txn_handle **out_h)
{
	return begin(fs, items, flush, TXN_START, out_h);
}

int txn_begin(struct fs *fs, unsigned items, struct txn_handle **out_h)
{
	return begin(fs, items, SPACE_FLUSH_ALL, TXN_START, out_h);
}

int txn_join(struct fs *fs, struct txn_handle **out_h)
{
	return begin(fs, 0, SPACE_NO_FLUSH, TXN_JOIN, out_h);
}

int txn_attach(struct fs *fs, struct txn_handle **out_h)
{
	return begin(fs, 0, SPACE_NO_FLUSH, TXN_ATTACH, out_h);
}

/* ---- ending ---- */

static bool refs_press(struct txn_handle *h)
{
	uint64_t nr = dref_nr(h->txn->drefs);

	return nr && (nr > MANY_HEADS || rsv_refs_pressing(&h->txn->mgr->rsv));
}

bool txn_should_end(struct txn_handle *h)
{
	return atomic_load(&h->txn->state) != TXN_RUNNING || refs_press(h);
}

void handle_retire(struct txn_handle *h)
{
	eb_holds_end(&h->holds);
	bt_trans_end(&h->st.bt);
	if (h->st.rsv.rsv)
		rsv_handle_end(&h->txn->mgr->rsv, &h->st.rsv);
}

/* Failures have aborted. */
static void settle(struct txn_handle *h)
{
	int err = 0;

	if (chunk_is_pending(h->txn->chunks))
		err = chunk_create_pending(&h->st);
	if (!err && refs_press(h))
		err = dref_run(&h->st, RUN_HEADS, false);
	if (!err && PLANTED("txn_early_unpin")) {
		err = dref_run(&h->st, 0, false);
		bg_pinned_switch(h->st.fs->bgs);
		bg_pinned_release(h->st.fs->bgs);
	}
	if (err && !txn_is_aborted(h->txn))
		txn_abort(h, err);
}

int txn_end(struct txn_handle *h)
{
	struct txn *t = h->txn;
	int err;

	if (atomic_load(&t->state) == TXN_RUNNING)
		settle(h);
	handle_retire(h);
	err = txn_is_aborted(t) ? -EROFS : 0;
	free(h);
	txn_leave(t);
	return err;
}
