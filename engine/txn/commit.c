// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The commit. In memory, with all handles ended:
 *
 *   hooks → delayed references → items of new chunks → { root items, block groups' items, delayed
 *   references, new chunks again } until nothing is out of date → the superblock, taken down → the
 *   next transaction may start
 *
 * and then, beside the next one: every dirty block to the devices → flush → superblocks, the commit
 * point → flush → what the commit freed may be used again.
 *
 * Invariants:
 * 1. What the superblock names was taken down before the next transaction could change it.
 * 2. The loop ends since each block is copied once: then no reference and no root changes any more.
 * 3. A failure aborts; the handle ends all the same.
 * 4. With nothing changed nothing is written, and the generation is used again.
 *
 * Locks: none held over the steps; the one who set COMMIT_START is the only committer.
 */
#include "engine/txn/txn_priv.h"
#include "engine/util/fault.h"

#include <limits.h>
#include <string.h>

/* Far beyond what settling takes: something is wrong with the accounting of space. */
#define ROUNDS_MAX 1000u

/* ---- items ---- */

/* The item may be an old, short one. */
static int open_item(struct txn_handle *h, const struct btrfs_key *key, struct bt_path *path)
{
	struct bt_tree *tree = &h->txn->mgr->live[LIVE_ROOT].tree;
	struct bt_trans *bt = &h->st.bt;
	const uint32_t size = sizeof(struct btrfs_root_item);
	int ret = bt_search_change(bt, tree, key, BT_UPDATE, 0, path);

	if (!ret && bt_item_size(path) < size) {
		uint32_t more = size - bt_item_size(path);

		bt_path_release(path);
		ret = bt_search_change(bt, tree, key, BT_EXTEND, more, path);
		if (!ret)
			ret = bt_extend_item(bt, path, more);
	}
	if (ret <= 0)
		return ret;
	return msg_corrupt(h->ffs->msg, "the root item of tree %llu is gone",
			   (unsigned long long)key->objectid);
}

static int store_root(struct txn_handle *h, struct live_root *live)
{
	const struct bt_root root = bt_tree_root(&live->tree);
	const struct btrfs_key key = { root.id, BTRFS_ROOT_ITEM_KEY, live->item_offset };
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	int err = open_item(h, &key, &path);

	if (err)
		return txn_abort(h, err);
	pthread_mutex_lock(&live->lock);
	live->item.bytenr = le64_make(root.bytenr);
	live->item.level = root.level;
	live->item.generation = live->item.generation_v2 = le64_make(root.generation);
	live->item.bytes_used = le64_make(live_used(live));
	memcpy(bt_item_mut(&h->st.bt, &path), &live->item, sizeof(live->item));
	pthread_mutex_unlock(&live->lock);
	/* Its snapshot is part of this commit: what is copied from now on need not be copied twice.
	 */
	atomic_store(&live->tree.force_cow, false);
	return 0;
}

static int store_roots(struct txn_handle *h, bool *out_any)
{
	struct live_root *live;

	*out_any = false;
	while ((live = live_next_dirty(h->txn->mgr))) {
		int err = store_root(h, live);

		if (err)
			return err;
		*out_any = true;
	}
	return 0;
}

static int run_all(struct txn_handle *h)
{
	int err = dref_run(&h->st, UINT_MAX, true);

	if (!err)
		err = chunk_create_pending(&h->st);
	return err;
}

static bool is_settled(struct txn_handle *h)
{
	return TAILQ_EMPTY(&h->txn->mgr->dirty_roots) && !dref_nr(h->txn->drefs) &&
	       !chunk_is_pending(h->txn->chunks);
}

static int settle(struct txn_handle *h)
{
	bool roots, groups;
	int err;

	for (unsigned round = 0; round < ROUNDS_MAX; round++) {
		err = store_roots(h, &roots);
		if (!err)
			err = block_groups_store(&h->st, &groups);
		if (!err)
			err = run_all(h);
		if (err)
			return err;
		counter_inc(&h->ffs->counters, txn_rounds);
		if (!roots && !groups && is_settled(h))
			return 0;
	}
	return msg_corrupt(h->ffs->msg, "a commit does not settle: %llu references left",
			   (unsigned long long)dref_nr(h->txn->drefs));
}

static int run_hooks(struct txn_handle *h, enum txn_stage stage)
{
	struct txn_hook_fn *hooks = h->txn->mgr->hooks[stage];
	int err = 0;

	for (int i = 0; !err && i < TXN_HOOKS_MAX && hooks[i].fn; i++)
		err = hooks[i].fn(hooks[i].arg, h);
	return err;
}

/* All that is done in memory, with nobody else in the transaction. */
static int do_items(struct txn_handle *h)
{
	struct space_fs *space = &h->txn->mgr->space;
	int err;

	h->st.running_refs = true;
	err = run_hooks(h, TXN_STAGE_ITEMS);
	if (!err)
		err = run_all(h);
	if (!err && PLANTED("txn_early_unpin")) {
		bg_pinned_switch(space->bgs);
		bg_pinned_release(space->bgs);
	}
	if (!err && atomic_load(&h->txn->changed))
		err = settle(h);
	return err;
}

/* ---- steps ---- */

/* True if this thread is to commit it. */
static bool claim(struct txn *t)
{
	bool mine;

	pthread_mutex_lock(&t->mgr->lock);
	mine = atomic_load(&t->state) == TXN_RUNNING;
	if (mine)
		txn_set_state_locked(t, TXN_COMMIT_START);
	pthread_mutex_unlock(&t->mgr->lock);
	return mine;
}

/* The other handles' end, and that of the commit before. */
static int wait_for_handles(struct txn *t)
{
	struct txn_mgr *mgr = t->mgr;
	int err = 0;

	pthread_mutex_lock(&mgr->lock);
	while (!txn_is_aborted(t) && (t->writers > 1 || mgr->committing))
		pthread_cond_wait(&mgr->changed, &mgr->lock);
	if (txn_is_aborted(t))
		err = -EROFS;
	else
		txn_set_state_locked(t, TXN_COMMIT_DOING);
	pthread_mutex_unlock(&mgr->lock);
	return err;
}

/* The next transaction may start. */
static void unblock(struct txn *t)
{
	struct txn_mgr *mgr = t->mgr;

	pthread_mutex_lock(&mgr->lock);
	if (!txn_is_aborted(t)) {
		if (atomic_load(&t->changed))
			mgr->generation = t->generation;
		mgr->running = NULL;
		mgr->committing = t;
		txn_set_state_locked(t, TXN_UNBLOCKED);
	}
	pthread_mutex_unlock(&mgr->lock);
}

static void complete(struct txn *t, const struct btrfs_super_block *sb)
{
	struct txn_mgr *mgr = t->mgr;

	pthread_mutex_lock(&mgr->lock);
	if (sb)
		mgr->super = *sb;
	txn_set_state_locked(t, TXN_SUPER_COMMITTED);
	pthread_mutex_unlock(&mgr->lock);
	if (sb) {
		bg_pinned_release(mgr->space.bgs);
		txn_size_global(mgr);
	}
	pthread_mutex_lock(&mgr->lock);
	mgr->committing = NULL;
	txn_set_state_locked(t, TXN_COMPLETED);
	if (sb)
		thread_want_clean_locked(mgr);
	pthread_mutex_unlock(&mgr->lock);
	txn_put(t); /* the manager's */
}

static int write_out(struct txn *t, const struct btrfs_super_block *sb)
{
	struct txn_mgr *mgr = t->mgr;
	int err = eb_dirty_write(mgr->fs->cache, &t->dirty, EB_WRITE_ALL, 0, txn_write_blocks, mgr,
				 NULL);

	return err ? err : vol_super_store(mgr->fs->vol, sb);
}

/* From COMMIT_DOING on. */
static int do_commit(struct txn_handle *h)
{
	struct btrfs_super_block sb;
	struct txn *t = h->txn;
	struct txn_mgr *mgr = t->mgr;
	int err = do_items(h), wb_err;

	wb_err = eb_writeback_target(mgr->wb, NULL);
	if (!err)
		err = wb_err;
	/* Also if whoever met the failure did not pass it on: nothing that was aborted is committed. */
	if (!err && txn_is_aborted(t))
		err = -EROFS;
	if (err)
		return txn_abort(h, err);
	if (!atomic_load(&t->changed)) {
		handle_retire(h);
		unblock(t);
		complete(t, NULL);
		return 0;
	}
	err = super_build(mgr, t->generation, &sb);
	if (err)
		return txn_abort(h, err);
	bg_pinned_switch(mgr->space.bgs);
	vol_switch(mgr->fs->vol);
	handle_retire(h);
	unblock(t);
	err = write_out(t, &sb);
	if (err)
		return txn_abort(h, err);
	complete(t, &sb);
	counter_inc(&h->ffs->counters, txn_commits);
	return 0;
}

int txn_commit(struct txn_handle *h)
{
	struct txn *t = h->txn;
	bool mine;
	int err = 0;

	txn_ref(t);
	/* What can be done while others go on. */
	if (atomic_load(&t->state) == TXN_RUNNING)
		err = dref_run(&h->st, 0, false);
	if (err && !txn_is_aborted(t))
		txn_abort(h, err);
	mine = !err && claim(t);
	if (mine && !wait_for_handles(t))
		(void)do_commit(h);
	(void)txn_end(h);
	/* Of this or of the thread that commits. */
	err = txn_wait_done(t);
	txn_put(t);
	return err;
}

int txn_sync(struct fs *fs)
{
	struct txn_mgr *mgr = fs->txn;
	struct txn_handle *h;
	struct txn *t;
	int err;

	if (!mgr)
		return 0;
	/* Also what another thread is committing already. */
	pthread_mutex_lock(&mgr->lock);
	t = mgr->running ? mgr->running : mgr->committing;
	if (t)
		t->refs++;
	pthread_mutex_unlock(&mgr->lock);
	if (!t)
		return atomic_load(&mgr->error);
	err = txn_attach(fs, &h);
	if (!err)
		err = txn_commit(h);
	else if (err == -ENOENT || err == -EROFS)
		err = txn_wait_done(t);
	txn_put(t);
	return err;
}
