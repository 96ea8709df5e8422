/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The writeback thread: writes dirty metadata out in mid-transaction, so that clean frames never run out for long.
 *
 * It starts when dirty frames pass a threshold, or when somebody waits for a frame, and stops below a lower one. What it
 * writes is sealed: a later change copies the block again, unless a policy keeps blocks that a handle has in use
 * (eb_hold) out of its reach.
 */
#ifndef UBTRFS_ENGINE_CACHE_WRITEBACK_H
#define UBTRFS_ENGINE_CACHE_WRITEBACK_H

#include "engine/cache/eb_live.h"

struct eb_writeback;

/* A copied block is not written until … */
enum eb_policy_hold {
	EB_HOLD_NONE,
	EB_HOLD_HANDLE_TRY,       /* the handle's end; tracking allocates and may fail (Linux 7.1) */
	EB_HOLD_HANDLE,           /* the handle's end; tracking cannot fail */
};
/* Presets: none, inhibit-handle, hold. */
enum eb_policy {
	EB_POLICY_HOLD,           /* the default */
	EB_POLICY_NONE,
	EB_POLICY_INHIBIT_HANDLE,
	EB_POLICY_NR,
};
const char *eb_policy_name(enum eb_policy policy);
enum eb_policy_hold eb_policy_hold(enum eb_policy policy);

struct eb_writeback_opts {
	struct eb_cache *cache;
	eb_write_fn write;        /* as for eb_dirty_write */
	void *arg;
	bool thread;              /* false: only eb_writeback_step writes, for tests by steps */
	unsigned start_pct, stop_pct; /* dirty frames of all; 0: 50 and 35 */
};
/* Registers itself with eb_cache_on_pressure. 0; -ENOMEM, -EAGAIN. */
MUST_CHECK int eb_writeback_create(const struct eb_writeback_opts *opts, struct eb_writeback **out_wb);
/* Ends the thread. */
void eb_writeback_destroy(struct eb_writeback *wb);
/*
 * From now on `d` (NULL: none) is what is written from. Returns when nothing of the one before is under way any more:
 * a commit that then writes the rest and flushes has written everything.
 * Return: 0, or the first error that a write of the one before met: the commit must not go on.
 */
int eb_writeback_target(struct eb_writeback *wb, struct eb_dirty *d);
/* Writes up to `max` blocks now, in this thread, as the thread would. Return: as eb_dirty_write. */
int eb_writeback_step(struct eb_writeback *wb, unsigned max, unsigned *out_written);

#endif
