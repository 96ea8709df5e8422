// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The commit thread: commits what has been running for commit_sec, and after commits removes block
 * groups that became empty.
 *
 * Locks: the manager's, never over work.
 */
#include "engine/txn/txn_priv.h"
#include "engine/util/fault.h"

#include <signal.h>
#include <string.h>

/* So that many commits a second do not each have a look for empty groups behind them. */
#define CLEAN_EVERY_NS 1000000000ull
/* A commit that could not even begin: without memory, say. */
#define RETRY_NS 1000000000ull
/* One at a time: each is a chunk's worth of items in a handle. */
#define CLEAN_BATCH 1u
#define ITEMS_A_CHUNK 2u

int txn_clean(struct fs *fs)
{
	unsigned nr = 1;
	int err = 0;

	while (!err && nr) {
		struct txn_handle *h;
		int end;

		nr = 0;
		err = txn_begin_flush(fs, CLEAN_BATCH * ITEMS_A_CHUNK, SPACE_FLUSH_ALL_STEAL, &h);
		if (err)
			break;
		err = chunk_remove_empty(&h->st, CLEAN_BATCH, &nr);
		end = txn_end(h);
		if (!err)
			err = end;
	}
	return err;
}

void thread_want_clean_locked(struct txn_mgr *mgr)
{
	mgr->clean_wanted = true;
	pthread_cond_signal(&mgr->wake);
}

/* 0: there is nothing to commit. */
static uint64_t commit_due(const struct txn_mgr *mgr)
{
	uint64_t due;

	if (!mgr->running || atomic_load(&mgr->running->state) != TXN_RUNNING ||
	    atomic_load(&mgr->error))
		return 0;
	due = mgr->running->started_ns + mgr->opts.commit_sec * 1000000000ull;
	return due > mgr->commit_again_ns ? due : mgr->commit_again_ns;
}

static uint64_t clean_due(const struct txn_mgr *mgr)
{
	return mgr->clean_wanted && !atomic_load(&mgr->error) ? mgr->cleaned_ns + CLEAN_EVERY_NS
							      : 0;
}

static void wait_locked(struct txn_mgr *mgr, uint64_t due)
{
	struct timespec until = { .tv_sec = (time_t)(due / 1000000000u),
				  .tv_nsec = (long)(due % 1000000000u) };

	if (due)
		pthread_cond_clockwait(&mgr->wake, &mgr->lock, CLOCK_MONOTONIC, &until);
	else
		pthread_cond_wait(&mgr->wake, &mgr->lock);
}

static void *run(void *arg)
{
	struct txn_mgr *mgr = arg;
	int err;

	pthread_mutex_lock(&mgr->lock);
	while (!mgr->ending) {
		uint64_t commit_at = commit_due(mgr), clean_at = clean_due(mgr);
		uint64_t now = txn_now_ns();
		bool clean = clean_at && now >= clean_at;

		if (!clean && (!commit_at || now < commit_at)) {
			/* The earlier of those that there are. */
			wait_locked(mgr, commit_at && (!clean_at || commit_at < clean_at)
						 ? commit_at
						 : clean_at);
			continue;
		}
		if (clean) {
			mgr->clean_wanted = false;
			mgr->cleaned_ns = now;
		}
		pthread_mutex_unlock(&mgr->lock);
		err = clean ? txn_clean(mgr->fs) : txn_sync(mgr->fs);
		/* Of what aborts has been told where it happened. */
		if (err && !atomic_load(&mgr->error))
			msg_warn(mgr->fs->msg, "%s failed (%s): tried again later",
				 clean ? "removing empty block groups" : "a commit",
				 strerror(-err));
		pthread_mutex_lock(&mgr->lock);
		if (err && !clean)
			mgr->commit_again_ns = txn_now_ns() + RETRY_NS;
	}
	pthread_mutex_unlock(&mgr->lock);
	return NULL;
}

int thread_start(struct txn_mgr *mgr)
{
	sigset_t all, old;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = fault_hit(FAULT_ALLOC) ? EAGAIN : pthread_create(&mgr->thread, NULL, run, mgr);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err)
		return -err;
	pthread_setname_np(mgr->thread, "txn-commit");
	mgr->has_thread = true;
	return 0;
}

void thread_stop(struct txn_mgr *mgr)
{
	if (!mgr->has_thread)
		return;
	pthread_mutex_lock(&mgr->lock);
	mgr->ending = true;
	pthread_cond_signal(&mgr->wake);
	pthread_mutex_unlock(&mgr->lock);
	pthread_join(mgr->thread, NULL);
	mgr->has_thread = false;
}
