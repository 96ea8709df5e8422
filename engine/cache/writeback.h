/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The writeback thread: writes dirty metadata out in mid-transaction, so that clean frames never run out for long.
 * And what handles keep from it.
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

/* ---- the thread ---- */

struct eb_writeback_opts {
	struct eb_cache *cache;
	eb_write_fn write;        /* as for eb_dirty_write */
	/*
	 * A write failed, for the first time since the target was set: by whoever wrote, holding nothing. Optional. Not
	 * to call eb_writeback_target.
	 */
	void (*failed)(void *arg, int err);
	void *arg;
	bool thread;              /* false: eb_writeback_step writes, and who finds no frame; for tests by steps */
	unsigned start_pct, stop_pct; /* dirty frames of the target, of all frames; 0: 50 and 35 */
};
/* Registers itself with eb_cache_on_pressure. Before sharing the cache. 0; -ENOMEM, -EAGAIN. */
MUST_CHECK int eb_writeback_create(const struct eb_writeback_opts *opts, struct eb_writeback **out_wb);
/* Ends the thread. Nobody else is in the cache. NULL is fine. */
void eb_writeback_destroy(struct eb_writeback *wb);
/*
 * From now on `d` (NULL: none) is what is written from. Returns when nothing of the one before is under way any more:
 * a commit that then writes the rest and flushes has written everything. Locks: none of buffers.
 * Return: 0, or the first error that a write of the one before met: the commit must not go on.
 */
int eb_writeback_target(struct eb_writeback *wb, struct eb_dirty *d);
/* Writes up to `max` blocks now, in this thread, as the thread would. Return: as eb_dirty_write. */
int eb_writeback_step(struct eb_writeback *wb, unsigned max, unsigned *out_written);

/* ---- what a handle holds ---- */

#define EB_HOLDS_INLINE 32

/* A block that a handle copied, made or went through. */
struct eb_holds_entry {
	uint64_t logical;         /* 0: none */
	struct eb_held held;      /* .eb NULL: not held */
	bool own;                 /* copied or made by this handle */
};
/*
 * A table of them by address; of one handle, hence of one thread at a time. When it cannot grow, all dirty blocks are held
 * for this handle until its end, or with EB_HOLD_HANDLE_TRY the block is not.
 */
struct eb_holds {
	struct eb_cache *cache;
	enum eb_policy_hold how;
	bool all;
	unsigned nr, max;
	struct eb_holds_entry *table; /* `few`, or allocated */
	uint64_t cows, recows, own_recows; /* blocks copied; of these, made in this transaction; by this handle */
	struct eb_holds_entry few[EB_HOLDS_INLINE];
};
void eb_holds_init(struct eb_holds *h, struct eb_cache *c, enum eb_policy policy);
/* For bt_trans_ops.dirty, after eb_mark_dirty: the block is new, made by this handle. Holds it as the policy has it. */
void eb_holds_made(struct eb_holds *h, struct eb *eb);
/*
 * For bt_trans_ops.touched: `eb`, locked and dirty, is in this handle's use, copied from `from` or (NULL) not copied.
 * Counts copies, and holds it as the policy has it.
 */
void eb_holds_touched(struct eb_holds *h, struct eb *eb, const struct eb *from);
/* The block was freed in this handle: its address may become another block's. */
void eb_holds_freed(struct eb_holds *h, uint64_t logical);
/* Nothing is held any more; the counts stay. Before the handle is counted out of the transaction. */
void eb_holds_end(struct eb_holds *h);

#endif
