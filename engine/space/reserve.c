// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Reserving: at once if there is room and nobody to be passed by, else with a ticket.
 *
 * A ticket lies on its owner's stack. It is on one of two lists from when it is queued until it is
 * finished, by whoever makes room (granted), by reclaim that gives up, by its owner (priority), or
 * by abort:
 *
 *   queued --space_grant_locked, space_steal_locked--> done, 0
 *   queued --fail_all_locked (reclaim.c), the owner---> done, -ENOSPC
 *   queued --space_abort------------------------------> done, -EROFS
 *
 * Invariants: 1. Nobody passes by a ticket of his own list or of the priority list; priority passes
 * by the others, and EMERGENCY too, which looks at placed bytes only. 2. A finished ticket is on no
 * list, and nobody but its owner touches it afterwards: the finisher signals under the lock.
 *
 * Locks: space_info.lock.
 */
#include "engine/space/space_priv.h"
#include "engine/util/fault.h"

#include <stdlib.h>

static void give_locked(struct space_info *si, uint64_t bytes)
{
	si->may_use += bytes;
	si->loose += bytes;
}

void space_ticket_finish_locked(struct space_info *si, struct space_ticket *t, int err)
{
	assert(!t->done);
	if (t->priority)
		TAILQ_REMOVE(&si->priority_tickets, t, link);
	else
		TAILQ_REMOVE(&si->tickets, t, link);
	counter_sub(&si->reclaim_size, t->bytes);
	t->done = true;
	t->err = err;
	if (err)
		counter_inc(si->sp->opts.counters, space_ticket_fails);
	else
		si->tickets_id++;
	pthread_cond_signal(&t->cond);
}

static bool grant_list_locked(struct space_info *si, struct space_ticket_list *list,
			      enum space_flush flush)
{
	struct space_ticket *t;

	while ((t = TAILQ_FIRST(list))) {
		if (!space_can_reserve_locked(si, t->bytes, flush))
			return false;
		give_locked(si, t->bytes);
		space_ticket_finish_locked(si, t, 0);
	}
	return true;
}

void space_grant_locked(struct space_info *si)
{
	if (grant_list_locked(si, &si->priority_tickets, SPACE_NO_FLUSH))
		(void)grant_list_locked(si, &si->tickets, SPACE_FLUSH_ALL);
}

bool space_steal_locked(struct space_info *si, struct space_ticket *t)
{
	struct block_rsv *global = si->sp->global;

	if (!t->steal || !global || global->si != si ||
	    global->reserved < global->size / 10 + t->bytes)
		return false;
	global->reserved -= t->bytes;
	global->full = global->reserved >= global->size;
	si->loose += t->bytes;
	counter_inc(si->sp->opts.counters, space_steals);
	space_ticket_finish_locked(si, t, 0);
	return true;
}

static bool is_priority(enum space_flush flush)
{
	return flush == SPACE_FLUSH_LIMIT || flush == SPACE_FLUSH_EVICT;
}

static bool take_now_locked(struct space_info *si, uint64_t bytes, enum space_flush flush)
{
	bool waiting = !TAILQ_EMPTY(&si->priority_tickets);

	if (!is_priority(flush) && flush != SPACE_FLUSH_EMERGENCY)
		waiting = waiting || !TAILQ_EMPTY(&si->tickets);
	if (!waiting && space_can_reserve_locked(si, bytes, flush)) {
		give_locked(si, bytes);
		return true;
	}
	if (flush == SPACE_FLUSH_EMERGENCY && space_used_locked(si, false) + bytes <= si->total) {
		give_locked(si, bytes);
		return true;
	}
	return false;
}

static int wait_for_ticket_locked(struct space_info *si, struct space_ticket *t,
				  enum space_flush flush, void *handle)
{
	counter_inc(si->sp->opts.counters, space_tickets);
	si->reclaim_size += t->bytes;
	if (t->priority) {
		TAILQ_INSERT_TAIL(&si->priority_tickets, t, link);
		space_priority_reclaim_locked(si, t, flush, handle);
		if (!t->done && !space_steal_locked(si, t)) {
			space_ticket_finish_locked(si, t, -ENOSPC);
			/* A large one may have stood before smaller ones. */
			space_grant_locked(si);
		}
	} else {
		TAILQ_INSERT_TAIL(&si->tickets, t, link);
		space_kick_locked(si);
		while (!t->done)
			pthread_cond_wait(&t->cond, &si->lock);
	}
	return t->err;
}

int space_reserve(struct space_info *si, uint64_t bytes, enum space_flush flush, void *handle)
{
	struct space_ticket t = { .bytes = bytes, .priority = is_priority(flush) };
	bool waits = flush != SPACE_NO_FLUSH && flush != SPACE_FLUSH_EMERGENCY;
	int err = 0;

	assert(!handle || !waits || flush == SPACE_FLUSH_LIMIT);
	assert(flush != SPACE_FLUSH_DATA || (si->flags & BTRFS_BLOCK_GROUP_DATA));
	if (!bytes)
		return 0;
	t.steal = flush == SPACE_FLUSH_ALL_STEAL || flush == SPACE_FLUSH_EVICT;
	pthread_cond_init(&t.cond, NULL);
	pthread_mutex_lock(&si->lock);
	if (atomic_load(&si->sp->aborted))
		err = -EROFS;
	else if (!take_now_locked(si, bytes, flush))
		err = waits ? wait_for_ticket_locked(si, &t, flush, handle) : -ENOSPC;
	pthread_mutex_unlock(&si->lock);
	pthread_cond_destroy(&t.cond);
	return err;
}

void space_abort(struct space *sp)
{
	struct space_info *si;
	struct space_ticket *t;

	atomic_store(&sp->aborted, true);
	LIST_FOREACH(si, &sp->infos, link)
	{
		pthread_mutex_lock(&si->lock);
		while ((t = TAILQ_FIRST(&si->priority_tickets)) || (t = TAILQ_FIRST(&si->tickets)))
			space_ticket_finish_locked(si, t, -EROFS);
		pthread_mutex_unlock(&si->lock);
	}
}
