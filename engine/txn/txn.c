// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Transactions: states, who may join, the abort.
 *
 *   RUNNING ──claim──▶ COMMIT_START ──wait_for_handles──▶ COMMIT_DOING ──unblock──▶ UNBLOCKED
 *
 *   UNBLOCKED ──complete──▶ SUPER_COMMITTED ──complete──▶ COMPLETED
 *
 *   any from RUNNING to UNBLOCKED ──txn_mgr_abort──▶ ABORTED
 *
 * Invariants:
 * 1. At most one transaction is `running` (RUNNING to COMMIT_DOING) and at most one `committing`
 * (UNBLOCKED to COMPLETED): a commit waits for the one before to be COMPLETED before it is DOING.
 * 2. While a handle of the running transaction is open, no other becomes `committing`.
 * 3. `error` is set once; from then on no handle begins, and no transaction that was running then
 * gets a superblock. The one being written out goes on, unless it is the one that failed.
 * 4. An aborted transaction keeps its dirty blocks until the close: what is read afterwards is the
 * state that was left in memory, while the last committed one is what the disk has.
 *
 * Locks: the manager's, a leaf, taken with any tree locked.
 */
#include "engine/txn/txn_priv.h"
#include "engine/util/fault.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void txn_set_state_locked(struct txn *t, enum txn_state to)
{
	static const uint8_t from[] = {
		[TXN_RUNNING] = 0,
		[TXN_COMMIT_START] = 1 << TXN_RUNNING,
		[TXN_COMMIT_DOING] = 1 << TXN_COMMIT_START,
		[TXN_UNBLOCKED] = 1 << TXN_COMMIT_DOING,
		[TXN_SUPER_COMMITTED] = 1 << TXN_UNBLOCKED,
		[TXN_COMPLETED] = 1 << TXN_SUPER_COMMITTED,
		[TXN_ABORTED] = 1 << TXN_RUNNING | 1 << TXN_COMMIT_START | 1 << TXN_COMMIT_DOING |
				1 << TXN_UNBLOCKED,
	};

	assert(from[to] & 1 << atomic_load(&t->state));
	(void)from;
	atomic_store(&t->state, to);
	pthread_cond_broadcast(&t->mgr->changed);
}

uint64_t txn_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void destroy(struct txn *t)
{
	struct space_fs *fs = &t->mgr->space;

	/* Nothing is on the list but of an aborted one. */
	eb_dirty_abandon(&t->dirty);
	eb_dirty_destroy(&t->dirty);
	if (t->drefs)
		dref_set_destroy(t->drefs);
	if (t->chunks)
		chunk_pending_destroy(fs, t->chunks);
	free(t);
}

static int create(struct txn_mgr *mgr, struct txn **out_t)
{
	struct txn *t = eng_zalloc(sizeof(*t));
	int err;

	*out_t = NULL;
	if (!t)
		return -ENOMEM;
	t->mgr = mgr;
	eb_dirty_init(&t->dirty);
	err = dref_set_create(&mgr->space, &t->drefs);
	if (!err)
		err = chunk_pending_create(&t->chunks);
	if (err) {
		destroy(t);
		return err;
	}
	*out_t = t;
	return 0;
}

static void install_locked(struct txn_mgr *mgr, struct txn *t)
{
	assert(!mgr->running);
	t->generation = mgr->generation + 1;
	t->started_ns = txn_now_ns();
	t->refs = 1;
	mgr->running = t;
	/* No list was written from: returns at once. */
	(void)eb_writeback_target(mgr->wb, &t->dirty);
	pthread_cond_signal(&mgr->wake);
}

static bool admits(const struct txn *t, enum txn_how how)
{
	int state = atomic_load(&t->state);

	return state == TXN_RUNNING || (state == TXN_COMMIT_START && how == TXN_JOIN);
}

int txn_enter(struct txn_mgr *mgr, enum txn_how how, struct txn **out_t)
{
	struct txn *t, *fresh = NULL;
	int err = 0;

	*out_t = NULL;
	pthread_mutex_lock(&mgr->lock);
	for (;;) {
		t = mgr->running;
		if (atomic_load(&mgr->error))
			err = -EROFS;
		else if (how == TXN_ATTACH && (!t || !admits(t, how)))
			err = -ENOENT;
		if (err || (t && admits(t, how)))
			break;
		if (t) {
			pthread_cond_wait(&mgr->changed, &mgr->lock);
		} else if (fresh) {
			install_locked(mgr, fresh);
			fresh = NULL;
		} else {
			pthread_mutex_unlock(&mgr->lock);
			err = create(mgr, &fresh);
			pthread_mutex_lock(&mgr->lock);
		}
	}
	if (!err) {
		t->refs++;
		t->writers++;
		*out_t = t;
	}
	pthread_mutex_unlock(&mgr->lock);
	if (fresh)
		destroy(fresh);
	return err;
}

void txn_ref(struct txn *t)
{
	pthread_mutex_lock(&t->mgr->lock);
	t->refs++;
	pthread_mutex_unlock(&t->mgr->lock);
}

void txn_put(struct txn *t)
{
	struct txn_mgr *mgr = t->mgr;
	bool last;

	pthread_mutex_lock(&mgr->lock);
	assert(t->refs);
	last = !--t->refs;
	pthread_mutex_unlock(&mgr->lock);
	if (last)
		destroy(t);
}

void txn_leave(struct txn *t)
{
	pthread_mutex_lock(&t->mgr->lock);
	assert(t->writers);
	/* The committer waits to be the only one. */
	if (--t->writers <= 1)
		pthread_cond_broadcast(&t->mgr->changed);
	pthread_mutex_unlock(&t->mgr->lock);
	txn_put(t);
}

int txn_wait_done(struct txn *t)
{
	struct txn_mgr *mgr = t->mgr;
	int state;

	pthread_mutex_lock(&mgr->lock);
	while ((state = atomic_load(&t->state)) != TXN_COMPLETED && state != TXN_ABORTED)
		pthread_cond_wait(&mgr->changed, &mgr->lock);
	pthread_mutex_unlock(&mgr->lock);
	return state == TXN_ABORTED ? atomic_load(&mgr->error) : 0;
}

bool txn_is_aborted(const struct txn *t)
{
	return atomic_load(&t->state) == TXN_ABORTED;
}

void txn_mgr_abort(struct txn_mgr *mgr, struct txn *t, int err, const char *file, int line)
{
	bool first;

	assert(err < 0);
	pthread_mutex_lock(&mgr->lock);
	first = !atomic_load(&mgr->error);
	if (first)
		atomic_store(&mgr->error, err);
	if (!txn_is_aborted(t))
		txn_set_state_locked(t, TXN_ABORTED);
	/* What came after it stands on it. */
	if (mgr->running && !txn_is_aborted(mgr->running))
		txn_set_state_locked(mgr->running, TXN_ABORTED);
	pthread_mutex_unlock(&mgr->lock);
	if (!first)
		return;
	counter_inc(&mgr->fs->counters, txn_aborts);
	msg_err(mgr->fs->msg,
		"transaction %llu aborted (%s, %s:%d): read-only from here on, the disk has the last "
		"commit",
		(unsigned long long)t->generation, strerror(-err), file, line);
	space_abort(mgr->space.sp);
}

int txn_abort_at(struct txn_handle *h, int err, const char *file, int line)
{
	txn_mgr_abort(h->txn->mgr, h->txn, err, file, line);
	return err;
}

int txn_error(const struct fs *fs)
{
	return fs->txn ? atomic_load(&fs->txn->error) : -EROFS;
}

uint64_t txn_generation(struct fs *fs)
{
	struct txn_mgr *mgr = fs->txn;
	uint64_t generation;

	pthread_mutex_lock(&mgr->lock);
	generation = mgr->running ? mgr->running->generation : mgr->generation + 1;
	pthread_mutex_unlock(&mgr->lock);
	return generation;
}

void txn_super(struct fs *fs, struct btrfs_super_block *out_sb)
{
	struct txn_mgr *mgr = fs->txn;

	if (!mgr) {
		*out_sb = fs->super;
		return;
	}
	pthread_mutex_lock(&mgr->lock);
	*out_sb = mgr->super;
	pthread_mutex_unlock(&mgr->lock);
}

struct space_fs *txn_space(struct fs *fs)
{
	return fs->txn ? &fs->txn->space : NULL;
}

void txn_hook(struct fs *fs, enum txn_stage stage, int (*fn)(void *arg, struct txn_handle *h),
	      void *arg)
{
	for (int i = 0; i < TXN_HOOKS_MAX; i++) {
		struct txn_hook_fn *hook = &fs->txn->hooks[stage][i];

		if (hook->fn)
			continue;
		*hook = (struct txn_hook_fn){ fn, arg };
		return;
	}
	assert(!"more hooks than there is room for");
}
