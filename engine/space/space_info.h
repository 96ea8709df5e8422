/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Space by type: how much there is, who has it, and who waits for it.
 *
 * A byte of a space_info is in exactly one counter, and moves so:
 *
 *   free --space_reserve--> may_use --space_alloc--> reserved --space_insert--> used
 *     ^        |                                        |                        |
 *     |        +--space_release                         +--space_pin_reserved    +--space_drop
 *     |                                                 v                        v
 *     +--------------------- space_unpin -------------- pinned <-----------------+
 *
 * (space_free_reserved: reserved goes straight back to free.) `may_use` is promised, not placed: for
 * metadata it may exceed what is there (overcommit), as long as unallocated device space could back it.
 *
 * Locks: space_info.lock covers all counters, tickets and the block reserves (block_rsv.h) of that
 * space_info. It comes after a block group's lock, and nothing is taken under it but the message sink.
 */
#ifndef UBTRFS_ENGINE_SPACE_SPACE_INFO_H
#define UBTRFS_ENGINE_SPACE_SPACE_INFO_H

#include "engine/util/counter.h"
#include "engine/util/err.h"
#include "ondisk/format.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/queue.h>

struct block_rsv;
struct space;
struct space_info;
struct space_ticket;

/* How far a reservation may go to get its bytes. */
enum space_flush {
	SPACE_NO_FLUSH,       /* never waits, and does not jump over those who wait */
	SPACE_FLUSH_LIMIT,    /* priority ticket; reclaims itself, few rows; allowed inside a handle */
	SPACE_FLUSH_EVICT,    /* priority ticket; reclaims itself, most rows; may take from the global reserve */
	SPACE_FLUSH_DATA,     /* data: waits its turn */
	SPACE_FLUSH_ALL,      /* metadata: waits its turn while the flusher runs all rows */
	SPACE_FLUSH_ALL_STEAL,/* the same, and takes from the global reserve before failing */
	SPACE_FLUSH_EMERGENCY,/* never waits; looks at what is placed only, not at promises */
};

/* Rows of reclaim, in the order they are tried. space/ owns the order, upper layers the functions. */
enum space_row_id {
	SPACE_ROW_DELAYED_ITEMS_NR,
	SPACE_ROW_DELAYED_ITEMS,
	SPACE_ROW_DELAYED_REFS_NR,
	SPACE_ROW_DELAYED_REFS,
	SPACE_ROW_DELALLOC,
	SPACE_ROW_DELALLOC_WAIT,
	SPACE_ROW_DELALLOC_FULL,
	SPACE_ROW_ALLOC_CHUNK,
	SPACE_ROW_ALLOC_CHUNK_FORCE,
	SPACE_ROW_DELAYED_IPUTS,
	SPACE_ROW_COMMIT,
	SPACE_ROW_NR,
};

struct space_row_ctx {
	struct space_info *si;
	uint64_t want;        /* bytes that would make everybody happy; a hint for "some" rows */
	void *handle;         /* the transaction handle that the caller of space_reserve holds, or NULL */
};

/*
 * One way to get space back. `fn` runs without any lock of space/, in the flusher or in a waiter. It may
 * attach to a running transaction, or do nothing when there is none; only COMMIT may start one, and
 * none may reserve with a flush mode that waits. Return: 0 (whether or not anything was freed: that is read
 * from the counters), or -errno, counted only; -ENOSPC from a chunk row marks the space_info full.
 */
struct space_row {
	const char *name;
	bool needs_txn;       /* works on a transaction: not run once space_abort was called */
	bool in_handle;       /* may run in a thread that holds a handle (then given in ctx) */
	int (*fn)(void *arg, const struct space_row_ctx *ctx);
	void *arg;
};

struct space_opts {
	uint32_t nodesize;
	uint32_t sectorsize;
	bool flusher;         /* a thread reclaims; false: the first waiter does, for tests by steps */
	struct msg *msg;      /* may be NULL; must outlive the space */
	struct counters *counters; /* must outlive the space */
};

struct space_info {
	struct space *sp;
	uint64_t flags;           /* BTRFS_BLOCK_GROUP_DATA, METADATA, SYSTEM bits: constant */
	const char *name;         /* "DATA", "METADATA", …: constant */
	pthread_mutex_t lock;
	/* all below: under lock. Bytes. */
	uint64_t total;
	uint64_t used;
	uint64_t pinned;
	uint64_t reserved;
	uint64_t may_use;
	uint64_t readonly;
	uint64_t zone_unusable;
	uint64_t loose;           /* the part of may_use that is in no block reserve */
	uint64_t profile;         /* BTRFS_BLOCK_GROUP_* profile bits that the next chunk will have */
	bool full;                /* the last try to allocate a chunk found no room */
	bool force_alloc;         /* reserves outgrew the type: the next chance to allocate a chunk is to be used */
	/* tickets */
	TAILQ_HEAD(space_ticket_list, space_ticket) tickets, priority_tickets;
	uint64_t reclaim_size;    /* bytes that the tickets of both lists want */
	uint64_t tickets_id;      /* counts tickets served: progress */
	bool flushing;            /* somebody runs the rows for `tickets` */
	bool flush_wanted;        /* the flusher has been asked to */
	LIST_HEAD(space_rsv_list, block_rsv) rsvs; /* every reserve over this space_info */
	LIST_ENTRY(space_info) link;
};

/* Ownership: the caller's until space_destroy. Return: 0, -ENOMEM, -EAGAIN (no thread). */
MUST_CHECK int space_create(const struct space_opts *opts, struct space **out_sp);
/* Ends the flusher: before that is gone which the rows work on. Nobody waits. */
void space_stop(struct space *sp);
/* Ends the flusher and frees the space_infos. Nobody waits, all reserves are released. NULL is fine. */
void space_destroy(struct space *sp);
/* Before any reservation. A row that is not registered is passed over. */
void space_row_register(struct space *sp, enum space_row_id id, const struct space_row *row);
/*
 * Adds the space_info of a type (one or, mixed, two BTRFS_BLOCK_GROUP_* type bits), valid until
 * space_destroy. While the filesystem is being opened, one thread. Return: 0, -ENOMEM.
 */
MUST_CHECK int space_info_create(struct space *sp, uint64_t type, struct space_info **out_si);
/* The space_info whose type has all these type bits (profile bits are ignored), or NULL. */
struct space_info *space_info_find(struct space *sp, uint64_t type);
/*
 * Raw device bytes in no chunk, and in all writable devices together. Set by the chunk allocator whenever they
 * change. Overcommit divides by the copies of the profile: right for one device and for even ones.
 */
void space_set_unallocated(struct space *sp, uint64_t unallocated, uint64_t device_total);
/* The filesystem went read-only: who waits fails with -EROFS, and so does who asks from now on. */
void space_abort(struct space *sp);

/* ---- life cycle: each asserts that no counter goes below 0, and wakes who can now be served ---- */

/* A block group comes (what it holds already) or, empty, goes. */
void space_add_group(struct space_info *si, uint64_t len, uint64_t used, uint64_t readonly);
void space_remove_group(struct space_info *si, uint64_t len, uint64_t readonly);
/*
 * Reserves `bytes` (may_use). `handle`: the transaction handle the caller holds, NULL for none: with one only
 * NO_FLUSH, LIMIT and EMERGENCY are allowed (asserted), because a commit may be what frees the space.
 * Locks: none but the inode's and subvolume's (waits for all rows). Context: may block, may commit.
 * Return: 0; -ENOSPC; -EROFS after space_abort.
 */
MUST_CHECK int space_reserve(struct space_info *si, uint64_t bytes, enum space_flush flush, void *handle);
/* Gives back bytes got by space_reserve and not moved on. */
void space_release(struct space_info *si, uint64_t bytes);
/* An extent was placed: `promised` bytes of may_use become `bytes` reserved (compression: fewer). */
void space_alloc(struct space_info *si, uint64_t promised, uint64_t bytes);
void space_free_reserved(struct space_info *si, uint64_t bytes);
void space_insert(struct space_info *si, uint64_t bytes);
void space_drop(struct space_info *si, uint64_t bytes);
void space_pin_reserved(struct space_info *si, uint64_t bytes);
/* At commit: refills the global reserve first, then serves tickets; `readonly`: the group was made read-only. */
void space_unpin(struct space_info *si, uint64_t bytes, bool readonly);
/* Free bytes of a group become unusable (a group turned read-only), and back. */
void space_add_readonly(struct space_info *si, uint64_t bytes);
void space_sub_readonly(struct space_info *si, uint64_t bytes);

/* ---- looking ---- */

/* Placed and unusable bytes; with `promised`, may_use too. Under lock. */
uint64_t space_used_locked(const struct space_info *si, bool promised);
/*
 * Bytes beyond `total` that promises of this mode may reach. Metadata only (mixed: 0): unallocated over the
 * profile's copies, less one data chunk, then a 64th for ALL and ALL_STEAL, half for others. Under lock.
 */
uint64_t space_overcommit_locked(const struct space_info *si, enum space_flush flush);
/* True if so many bytes more would fit. Under lock. */
bool space_can_reserve_locked(const struct space_info *si, uint64_t bytes, enum space_flush flush);
/*
 * Checks what spans functions: sums of placed bytes within total, may_use = reserves + loose, reclaim_size =
 * the tickets' sum, no servable ticket left waiting, in unlocked moments. Takes the lock. Return: NULL,
 * or what is wrong (static text).
 */
const char *space_info_verify(struct space_info *si);
/* One line a space_info with all counters, one a reserve, one a row that ran. Takes the locks. */
void space_to_text(struct space *sp, FILE *out);

#endif
