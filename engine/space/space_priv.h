/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of space accounting share. */
#ifndef UBTRFS_ENGINE_SPACE_SPACE_PRIV_H
#define UBTRFS_ENGINE_SPACE_SPACE_PRIV_H

#include "engine/space/block_rsv.h"

#include <assert.h>

struct space_row_stat {
	_Atomic uint64_t runs, errors, freed;
};

struct space {
	struct space_opts opts;
	LIST_HEAD(, space_info) infos; /* complete before there are threads */
	struct space_row rows[SPACE_ROW_NR];
	struct space_row_stat stats[SPACE_ROW_NR];
	struct block_rsv *global; /* NULL until rsv_set_init */
	_Atomic uint64_t unallocated, device_total;
	_Atomic bool aborted;
	/* the flusher */
	pthread_mutex_t lock; /* alone, or under a space_info's lock */
	pthread_cond_t wake;
	bool work, ending; /* under lock */
	bool has_thread;
	pthread_t thread;
};

/* Lives on the waiter's stack; all under the space_info's lock. */
struct space_ticket {
	TAILQ_ENTRY(space_ticket) link;
	uint64_t bytes;
	bool steal;    /* may be served out of the global reserve */
	bool priority; /* which list */
	bool done;
	int err;
	pthread_cond_t cond;
};

static inline void counter_sub(uint64_t *counter, uint64_t bytes)
{
	assert(*counter >= bytes);
	*counter -= bytes;
}

/* Serves tickets in order, priority ones first, as far as there is room. To be called wherever room
 * grows. */
void space_grant_locked(struct space_info *si);
void space_ticket_finish_locked(struct space_info *si, struct space_ticket *t, int err);
/* Takes a ticket's bytes from the global reserve if a tenth of that is left. */
bool space_steal_locked(struct space_info *si, struct space_ticket *t);
/* Runs one row; without locks. */
void space_row_run(struct space_info *si, enum space_row_id id, uint64_t want, void *handle);
/* Bytes that rows should try to free: what tickets want, and what promises exceed. */
uint64_t space_want_locked(const struct space_info *si);
/* Asks for reclaim on behalf of `tickets`: in the flusher, else in this thread. Called and returns
 * locked. */
void space_kick_locked(struct space_info *si);
/* The rows that a priority ticket's owner runs himself. Called and returns locked. */
void space_priority_reclaim_locked(struct space_info *si, struct space_ticket *t,
				   enum space_flush flush, void *handle);
/* The moves of space_info.h, for who keeps counters of his own in step under the same lock. */
void space_add_group_locked(struct space_info *si, uint64_t len, uint64_t used, uint64_t readonly);
void space_remove_group_locked(struct space_info *si, uint64_t len, uint64_t readonly);
void space_alloc_locked(struct space_info *si, uint64_t promised, uint64_t bytes);
void space_free_reserved_locked(struct space_info *si, uint64_t bytes, bool readonly);
void space_insert_locked(struct space_info *si, uint64_t bytes);
void space_drop_locked(struct space_info *si, uint64_t bytes);
void space_pin_reserved_locked(struct space_info *si, uint64_t bytes);
void space_unpin_locked(struct space_info *si, uint64_t bytes, bool readonly);
void space_add_readonly_locked(struct space_info *si, uint64_t bytes);
void space_sub_readonly_locked(struct space_info *si, uint64_t bytes);

int space_flusher_start(struct space *sp);
void space_flusher_stop(struct space *sp);

#endif
