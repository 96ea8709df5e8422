/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The write side of the metadata cache: buffers of trees that change.
 *
 * Words: a buffer is *mutable* from eb_new until it is sealed for writing (WRITTEN in its header), and
 * never again: who wants to change a sealed block copies it. *Dirty*: on a transaction's list, which holds a
 * reference, so a dirty buffer is not evicted. *Spare*: a private frame, taken while no tree lock is held.
 *
 * Bytes of a mutable buffer are read under its lock and written under its write lock; bytes of a sealed
 * one need a reference only.
 *
 * Locks: buffers' locks (order: btree/) → dirty list → frame_lock → shard.
 */
#ifndef UBTRFS_ENGINE_CACHE_EB_LIVE_H
#define UBTRFS_ENGINE_CACHE_EB_LIVE_H

#include "engine/cache/eb.h"

#include <pthread.h>
#include <sys/queue.h>

/* ---- making a cache writable ---- */

/* Spare frames that one thread may hold at once: 4 a level of the deepest tree, and 2 for reading. */
#define EB_SPARES_MAX (4 * BTRFS_MAX_LEVEL + 2)

/*
 * The least cap in bytes for `threads` users, the transaction's own among them, that change trees of up to
 * `height` levels (let one be to spare: trees grow).
 *
 * With it everybody goes on; more makes holds last. Who waits for a frame has no buffer lock but, where an allocation
 * enters the chunk tree, of another tree; what no write-out can free is spares and paths, for which there is room. All else is clean, or dirty; then it is written, held or not: a handle's worst case of held blocks is beyond any
 * small cap, so that as the very last thing, when for a while nothing else could be written while somebody waits,
 * holds are ended (wb_holds_ended), those of leaves first. That costs a handle a copy, never the block.
 */
uint64_t eb_cache_min_bytes_live(uint32_t nodesize, unsigned threads, unsigned height);
/*
 * Once, by who opens: after the trees were read, as their heights say what it takes, and before other threads are in
 * the cache; the caller has put all its buffers. The memory for the write side is taken out of the cap: there are
 * fewer frames afterwards, and what the rest held is dropped. Blocks of generations above the superblock's are accepted from here on (their
 * parents still say which one is right).
 * Return: 0; -EINVAL (no room for so many threads; said in a message); -ENOMEM.
 */
MUST_CHECK int eb_cache_enable_writes(struct eb_cache *c, unsigned threads, unsigned height);
/* What new blocks carry: as in the headers that are there. Before the first eb_new. */
void eb_cache_set_chunk_uuid(struct eb_cache *c, const uint8_t uuid[BTRFS_UUID_SIZE]);
const uint8_t *eb_cache_chunk_uuid(const struct eb_cache *c);
/*
 * `fn` is called when a thread finds no clean frame, holding no buffer lock and before it waits; it is to see to it
 * that dirty buffers get written (wake a thread, or write some itself). Set before sharing.
 */
void eb_cache_on_pressure(struct eb_cache *c, void (*fn)(void *arg), void *arg);

/* ---- spares ---- */

struct eb_spares {
	struct eb *head;
	unsigned nr;
};

/*
 * Tops up to `nr` spares: the one place where anybody who changes trees waits for metadata memory. Holds
 * no buffer lock. Return: 0; -ENOMEM (none came free in ten seconds; what was got is kept).
 */
MUST_CHECK int eb_spares_fill(struct eb_cache *c, struct eb_spares *s, unsigned nr);
/* Gives all back. */
void eb_spares_release(struct eb_cache *c, struct eb_spares *s);

/* ---- getting ---- */

enum eb_how {
	EB_CACHED, /* only if it is there: 1 if not */
	EB_READ,   /* read it into a spare if it is not there; one must be left */
};

/*
 * As eb_get, but the block found is not held against `expect`, since its bytes may be changing: lock it, then
 * eb_check. Waits for the read of another thread, never for a frame.
 * Return: 0 and a reference; 1 (EB_CACHED: not there); -EUCLEAN, -EIO, -ENXIO (EB_READ; said).
 */
MUST_CHECK int eb_get_live(struct eb_cache *c, const struct btrfs_block_expect *expect, enum eb_how how,
			   struct eb_spares *s, struct eb **out_eb);
/*
 * True if the block at this address is certainly part of a tree: the caller has it locked, or it is to be written yet. What
 * says that its address is free is wrong.
 */
bool eb_in_use(struct eb_cache *c, uint64_t logical);
/*
 * False once the block was forgotten. Under its lock; of a block that the caller knows to be in use by what it
 * points from, it says that this is the buffer of it.
 */
bool eb_alive(const struct eb *eb);
/* A block found against its parent's expectation, both locked. 0; -EUCLEAN (said in a message). */
MUST_CHECK int eb_check(const struct eb *eb, const struct btrfs_block_expect *expect);
/*
 * The buffer of a newly allocated block: mutable, write-locked, one reference, a header and no items.
 * Takes a spare, which must be there; cannot fail. What the cache had at that address is dropped.
 */
struct eb *eb_new(struct eb_cache *c, struct eb_spares *s, uint64_t logical, uint64_t generation,
		  uint64_t owner, int level);
/*
 * A private copy of a block that is locked for reading, in a spare; end with eb_copy_put. The cache does not
 * know it. Of a leaf, what its items use: the bytes between are anything.
 */
struct eb *eb_copy(const struct eb *eb, struct eb_spares *s);
void eb_copy_put(struct eb *copy);
/*
 * The block is no longer anybody's: it leaves its dirty list and the cache; references stay good. The
 * caller holds its write lock.
 */
void eb_forget(struct eb *eb);
/*
 * The block left its tree in transaction `generation`. One of an earlier transaction that is not on disk yet stays
 * that one's: it is on its list or under I/O, will be written (again, if that fails), and only then leaves the
 * cache. Any other is forgotten. The caller holds its write lock.
 */
void eb_retire(struct eb *eb, uint64_t generation);

/* ---- locks ---- */

void eb_lock_read(struct eb *eb);
void eb_lock_write(struct eb *eb);
bool eb_trylock_write(struct eb *eb);
/* True if this thread has it locked for writing. */
bool eb_locked_by_me(const struct eb *eb);
void eb_unlock_read(struct eb *eb);
void eb_unlock_write(struct eb *eb);

/* ---- changing ---- */

/* True while the block may be changed in place by transaction `generation`. Under its lock. */
bool eb_mutable(const struct eb *eb, uint64_t generation);
/* The bytes to change. Asserts: write lock held by this thread, of this generation, not sealed. */
void *eb_mut(struct eb *eb, uint64_t generation);

/* Dirty buffers of one transaction, by age. */
struct eb_dirty {
	pthread_mutex_t lock;
	TAILQ_HEAD(eb_dirty_head, eb_side) head;
	uint32_t nr;
};

void eb_dirty_init(struct eb_dirty *d);
/* The list must be empty. */
void eb_dirty_destroy(struct eb_dirty *d);
/* Puts a buffer, write-locked by the caller, on the list; no-op if it is on it. It must not be on another. */
void eb_mark_dirty(struct eb *eb, struct eb_dirty *d);
bool eb_is_dirty(const struct eb *eb);
/* Drops all that is on the list, unwritten: an aborted transaction. Nobody uses its blocks any more. */
void eb_dirty_abandon(struct eb_dirty *d);

/*
 * While held, mid-transaction write-out passes the buffer by, so that it stays mutable. Counted. A hold is no
 * reference: it is over when the block is sealed all the same (a commit, or no frame could be had otherwise) or
 * forgotten, and the frame may be another block's by then; `seq` tells. Handles use eb_holds (writeback.h).
 */
struct eb_held {
	struct eb *eb;
	uint32_t seq;
};
/* A dirty buffer, under its lock. */
struct eb_held eb_hold(struct eb *eb);
/* Any time while the cache is there. No-op if the hold is over. */
void eb_unhold(struct eb_held held);

/* ---- writing ---- */

/* One block to write: `len` bytes, complete with checksum, unchanging until the call returns. */
struct eb_write {
	uint64_t logical;
	const void *buf;
	uint32_t len;
	int res; /* out: 0 or -errno */
};
/* Writes all of them, fills every res, returns the first that is not 0. */
typedef int (*eb_write_fn)(void *arg, struct eb_write *ios, unsigned nr);

enum eb_write_mode {
	EB_WRITE_ALL,  /* commit: everything, until the list is empty */
	EB_WRITE_SOME, /* mid-transaction: up to `max`, passing by what is held or locked */
	/* As SOME, when nothing else helps: held leaves too, then whatever is held. Ends their holds. */
	EB_WRITE_HELD_LEAVES,
	EB_WRITE_HELD,
};

/*
 * Writes dirty buffers. Each is sealed under its write lock: WRITTEN is set, it is checked as if read from
 * disk, checksummed, and taken off the list; the write itself holds no lock. What could not be written is
 * on the list again. The caller holds no buffer lock.
 * Return: 0; -EUCLEAN (a block of ours would not pass the reader's checks; said); fn's first error.
 */
MUST_CHECK int eb_dirty_write(struct eb_cache *c, struct eb_dirty *d, enum eb_write_mode mode,
			      unsigned max, eb_write_fn fn, void *arg, unsigned *out_written);

#endif
