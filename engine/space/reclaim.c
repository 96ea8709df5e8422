// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Reclaim: rows of ways to get space back, run in order until those who wait are served.
 *
 * The metadata loop starts over after every ticket served; a cycle through all rows without one is
 * useless, and after USELESS_MAX of them tickets fail from the first on (each may uncover a smaller
 * one that fits). The dear rows, writing out all data and forcing a chunk, are left out of the
 * first cycle. The data loop first allocates chunks while there are any to be had.
 *
 * Invariants: 1. `flushing` is set ⇔ one thread runs a loop for this space_info; it ends only with
 * no ticket on `tickets`. 2. Rows run without any lock of space/. 3. A thread that holds a handle
 * runs only rows that say they may, and never waits for a loop: what the loop waits for may be that
 * handle's end.
 *
 * Locks: space_info.lock, dropped around rows; space.lock for waking the flusher.
 */
#include "engine/space/space_priv.h"
#include "engine/util/fault.h"

#include <signal.h>
#include <time.h>

#define USELESS_MAX 2
/* How often, and how long at a time, a loan is waited for before a commit. */
#define LOAN_WAITS 4
#define LOAN_NS 300000

static const enum space_row_id limit_rows[] = {
	SPACE_ROW_DELAYED_ITEMS_NR,
	SPACE_ROW_DELAYED_ITEMS,
	SPACE_ROW_ALLOC_CHUNK,
};

static const enum space_row_id evict_rows[] = {
	SPACE_ROW_DELAYED_ITEMS_NR, SPACE_ROW_DELAYED_ITEMS, SPACE_ROW_DELAYED_REFS_NR,
	SPACE_ROW_DELAYED_REFS,	    SPACE_ROW_DELALLOC,	     SPACE_ROW_DELALLOC_WAIT,
	SPACE_ROW_DELALLOC_FULL,    SPACE_ROW_ALLOC_CHUNK,   SPACE_ROW_COMMIT,
};

static const enum space_row_id data_rows[] = {
	SPACE_ROW_DELALLOC_FULL,
	SPACE_ROW_DELAYED_IPUTS,
	SPACE_ROW_COMMIT,
	SPACE_ROW_ALLOC_CHUNK_FORCE,
};

#define ROWS(a) (sizeof(a) / sizeof((a)[0]))

void space_row_register(struct space *sp, enum space_row_id id, const struct space_row *row)
{
	sp->rows[id] = *row;
}

/* Free bytes, or those missing as a negative number. */
static int64_t room(struct space_info *si)
{
	int64_t free_bytes;

	pthread_mutex_lock(&si->lock);
	free_bytes = (int64_t)si->total - (int64_t)space_used_locked(si, true);
	pthread_mutex_unlock(&si->lock);
	return free_bytes;
}

void space_row_run(struct space_info *si, enum space_row_id id, uint64_t want, void *handle)
{
	struct space *sp = si->sp;
	const struct space_row *row = &sp->rows[id];
	struct space_row_ctx ctx = { si, want, handle };
	int64_t before, after;
	int err;

	if (!row->fn || (handle && !row->in_handle) ||
	    (row->needs_txn && atomic_load(&sp->aborted)))
		return;
	before = room(si);
	err = row->fn(row->arg, &ctx);
	after = room(si);
	counter_inc(sp->opts.counters, space_rows);
	atomic_fetch_add(&sp->stats[id].runs, 1);
	if (after > before)
		atomic_fetch_add(&sp->stats[id].freed, (uint64_t)(after - before));
	if (!err)
		return;
	atomic_fetch_add(&sp->stats[id].errors, 1);
	if (err == -ENOSPC && (id == SPACE_ROW_ALLOC_CHUNK || id == SPACE_ROW_ALLOC_CHUNK_FORCE)) {
		pthread_mutex_lock(&si->lock);
		si->full = true;
		pthread_mutex_unlock(&si->lock);
	}
}

uint64_t space_want_locked(const struct space_info *si)
{
	uint64_t want = si->reclaim_size, used = space_used_locked(si, true);
	uint64_t bound = si->total + space_overcommit_locked(si, SPACE_FLUSH_ALL);

	return used > bound ? want + used - bound : want;
}

/* True if a ticket was served meanwhile. */
static bool fail_all_locked(struct space_info *si)
{
	uint64_t id = si->tickets_id;
	struct space_ticket *t;

	while (si->tickets_id == id && (t = TAILQ_FIRST(&si->tickets))) {
		if (space_steal_locked(si, t))
			break;
		space_ticket_finish_locked(si, t, -ENOSPC);
		space_grant_locked(si);
	}
	return si->tickets_id != id;
}

static void run_row_unlocked(struct space_info *si, enum space_row_id id, void *handle)
{
	uint64_t want = space_want_locked(si);

	pthread_mutex_unlock(&si->lock);
	space_row_run(si, id, want, handle);
	pthread_mutex_lock(&si->lock);
}

/*
 * Who frees space and may take from the global reserve for it need not wait for a commit; and what others
 * have on loan comes back sooner than one. True if a ticket was served.
 */
static bool steal_first_locked(struct space_info *si)
{
	const struct timespec a_while = { .tv_nsec = LOAN_NS };
	uint64_t id = si->tickets_id;

	for (unsigned i = 0; i <= LOAN_WAITS && si->tickets_id == id; i++) {
		struct space_ticket *t = TAILQ_FIRST(&si->tickets);

		if (!t || !t->steal)
			break;
		while ((t = TAILQ_FIRST(&si->tickets)) && space_steal_locked(si, t))
			;
		if (si->tickets_id != id || i == LOAN_WAITS)
			break;
		pthread_mutex_unlock(&si->lock);
		nanosleep(&a_while, NULL);
		pthread_mutex_lock(&si->lock);
	}
	return si->tickets_id != id;
}

static void metadata_loop_locked(struct space_info *si)
{
	unsigned row = 0, useless = 0;
	uint64_t id = si->tickets_id;

	while (!TAILQ_EMPTY(&si->tickets)) {
		bool dear = row == SPACE_ROW_DELALLOC_FULL || row == SPACE_ROW_ALLOC_CHUNK_FORCE;

		if (row == SPACE_ROW_COMMIT && steal_first_locked(si))
			row = 0; /* served: `id` has moved */
		else if (!dear || useless)
			run_row_unlocked(si, row, NULL);
		if (si->tickets_id != id) {
			id = si->tickets_id;
			row = 0;
			useless -= useless > 0;
			continue;
		}
		if (++row < SPACE_ROW_NR)
			continue;
		row = 0;
		if (++useless <= USELESS_MAX)
			continue;
		if (!fail_all_locked(si))
			break;
		useless--;
		id = si->tickets_id;
	}
}

static void data_loop_locked(struct space_info *si)
{
	unsigned row = 0;
	uint64_t id = si->tickets_id;

	/* Chunks first: a new one costs less than writing and committing what others have. */
	while (!TAILQ_EMPTY(&si->tickets) && !si->full) {
		uint64_t total = si->total;

		run_row_unlocked(si, SPACE_ROW_ALLOC_CHUNK_FORCE, NULL);
		if (si->total == total)
			break;
	}
	while (!TAILQ_EMPTY(&si->tickets)) {
		uint64_t total = si->total;

		run_row_unlocked(si, data_rows[row], NULL);
		if (si->tickets_id != id || si->total > total) {
			id = si->tickets_id;
			row = 0;
		} else if (++row == ROWS(data_rows)) {
			row = 0;
			if (!fail_all_locked(si))
				break;
			id = si->tickets_id;
		}
	}
}

static void reclaim_locked(struct space_info *si)
{
	si->flushing = true;
	/* A ticket that comes between the loop's last look and here sees `flushing` under the same
	 * lock. */
	if (si->flags == BTRFS_BLOCK_GROUP_DATA)
		data_loop_locked(si);
	else
		metadata_loop_locked(si);
	assert(TAILQ_EMPTY(&si->tickets));
	si->flushing = false;
}

void space_kick_locked(struct space_info *si)
{
	struct space *sp = si->sp;

	if (si->flushing)
		return;
	if (!sp->has_thread) {
		reclaim_locked(si);
		return;
	}
	si->flush_wanted = true;
	pthread_mutex_lock(&sp->lock);
	sp->work = true;
	pthread_cond_signal(&sp->wake);
	pthread_mutex_unlock(&sp->lock);
}

void space_priority_reclaim_locked(struct space_info *si, struct space_ticket *t,
				   enum space_flush flush, void *handle)
{
	const enum space_row_id *rows = limit_rows;
	unsigned nr = ROWS(limit_rows);

	if (flush == SPACE_FLUSH_EVICT) {
		rows = evict_rows;
		nr = ROWS(evict_rows);
	}
	for (unsigned i = 0; i < nr && !t->done; i++)
		run_row_unlocked(si, rows[i], handle);
}

/* ---- the flusher ---- */

static void flush_all_wanted(struct space *sp)
{
	struct space_info *si;

	LIST_FOREACH(si, &sp->infos, link)
	{
		pthread_mutex_lock(&si->lock);
		if (si->flush_wanted) {
			si->flush_wanted = false;
			reclaim_locked(si);
		}
		pthread_mutex_unlock(&si->lock);
	}
}

static void *flusher(void *arg)
{
	struct space *sp = arg;

	pthread_mutex_lock(&sp->lock);
	while (!sp->ending) {
		if (!sp->work) {
			pthread_cond_wait(&sp->wake, &sp->lock);
			continue;
		}
		sp->work = false;
		pthread_mutex_unlock(&sp->lock);
		flush_all_wanted(sp);
		pthread_mutex_lock(&sp->lock);
	}
	pthread_mutex_unlock(&sp->lock);
	return NULL;
}

int space_flusher_start(struct space *sp)
{
	sigset_t all, old;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&sp->thread, NULL, flusher, sp);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err)
		return -err;
	pthread_setname_np(sp->thread, "space-flusher");
	sp->has_thread = true;
	return 0;
}

void space_flusher_stop(struct space *sp)
{
	if (!sp->has_thread)
		return;
	pthread_mutex_lock(&sp->lock);
	sp->ending = true;
	pthread_cond_signal(&sp->wake);
	pthread_mutex_unlock(&sp->lock);
	pthread_join(sp->thread, NULL);
	sp->has_thread = false;
}
