/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The insides of the metadata cache.
 *
 * States of a frame; the function that moves it stands on the arrow:
 *
 *                        ┌───────────────────eb_new────────────────────┐
 *                        │                                             ▼
 *   NEW ──frame_get──▶ PRIVATE ──eb_insert_locked──▶ READING ──eb_finish──▶ VALID
 *                       │  ▲  ▲                          │                  │  │
 *             frame_drop│  │  └──────────frame_get───────┼──────────────────┘  │eb_forget,
 *                       ▼  │frame_get                    │                     │eb_new
 *                      DEAD◀──────────eb_finish──────────┘                     │
 *                        ▲─────────────────────────────────────────────────────┘
 *
 * NEW: never used. PRIVATE: of one thread, in no bucket. READING: in its bucket, bytes not there
 * yet. VALID: in its bucket, checked, or ours and new. DEAD: in no bucket, of no use, reusable once
 * nobody refers to it. A PRIVATE frame in the pool is a spare given back, with one reference.
 *
 * A cache that writes has a struct eb_side for each frame. A VALID frame there moves, under its lock
 * (side_set):
 *
 *   CLEAN ──eb_mark_dirty──▶ DIRTY ──seal──▶ WRITING ──written──▶ CLEAN
 *     ▲                      │   ▲              │
 *     └──eb_forget, abandon──┘   └──not written─┘
 *
 * DIRTY ⇔ on a list, which has a reference. WRITING: the writer has that reference. Both are VALID,
 * or DEAD if forgotten while WRITING.
 *
 * Invariants:
 * 1. READING or VALID ⇔ in the bucket of its logical, once.
 * 2. `refs` rises from 0 only under the shard lock of a VALID frame, or in frame_get. So what is
 * seen at 0 under that lock is nobody's; a DEAD frame at 0 stays there.
 * 3. DEAD is left only in frame_get, under `frame_lock`, and so is VALID, but for DEAD: whoever holds
 * that lock and sees VALID may believe `logical`.
 * 4. `data` is written only while PRIVATE or READING, by the one thread that inserted the frame; and
 * in a cache that writes under the buffer's write lock, until it is sealed.
 *
 * Locks: buffer → dirty list → frame_lock → shard. Neither is held over I/O or messages.
 */
#ifndef UBTRFS_ENGINE_CACHE_EB_PRIV_H
#define UBTRFS_ENGINE_CACHE_EB_PRIV_H

#include "engine/cache/eb_live.h"

#include <pthread.h>
#include <stdatomic.h>

#define SHARDS_LOG 6
#define SHARDS (1u << SHARDS_LOG)
/* No frame for so long: somebody broke the promise on threads; say so instead of hanging. */
#define FRAME_WAIT_MS 10000
#define FRAME_SLICE_MS 50

enum eb_state {
	EB_NEW,
	EB_PRIVATE,
	EB_READING,
	EB_VALID,
	EB_DEAD,
};

struct eb {
	struct eb_cache *cache;
	uint8_t *data;
	struct eb *hash_next; /* shard lock */
	uint64_t logical;
	_Atomic unsigned refs;
	_Atomic uint8_t state;
	_Atomic uint8_t used;		  /* CLOCK: got since the hand last came by */
	bool quiet;			  /* being read ahead: its failure was not reported */
	int err;			  /* why it is DEAD */
	struct btrfs_block_expect expect; /* what the reader of this frame checked against */
};

enum eb_side_state {
	EB_CLEAN,
	EB_DIRTY,
	EB_WRITING,
};

/* What a frame has besides in a cache that writes. */
struct eb_side {
	pthread_rwlock_t lock;
	_Atomic uintptr_t writer; /* who holds the write lock */
	struct eb *eb;
	struct eb_dirty *list;	    /* its lock; NULL ⇔ not DIRTY */
	TAILQ_ENTRY(eb_side) links; /* its lock */
	_Atomic uint64_t held; /* low half: how often; high half: seq, counts the ends of holds */
	_Atomic uint8_t state; /* changed under the write lock, or by the writer when WRITING */
};

struct shard {
	pthread_mutex_t lock;
	pthread_cond_t read_done;
	struct eb **buckets;
} __attribute__((aligned(64)));

struct eb_cache {
	struct vol *vol;
	struct msg *msg;
	struct counters *counters;
	struct btrfs_geometry geo;
	uint32_t nodesize;
	uint32_t frames;
	uint8_t *mem; /* one mapping of mem_bytes */
	size_t mem_bytes;
	struct eb *ebs;
	struct eb **buckets;
	unsigned buckets_log; /* of one shard */

	pthread_mutex_t frame_lock;
	pthread_cond_t frame_free; /* some refs fell to 0 while frame_waiters > 0 */
	uint32_t touched;	   /* frame_lock: frames below are not NEW */
	uint32_t hand;		   /* frame_lock */
	_Atomic unsigned frame_waiters;
	_Atomic unsigned prefetching; /* frames held by eb_prefetch calls */
	struct eb *pool;	      /* frame_lock: spares given back, by hash_next */

	struct eb_side *sides; /* a frame; NULL: nothing is written */
	_Atomic uint64_t *busy;	  /* a bit a frame: DIRTY or WRITING, CLOCK need not look */
	_Atomic unsigned hold_all; /* handles that hold all dirty blocks, as they can't say which */
	uint32_t dirty_high;	  /* a list longer than this wakes the writeback thread */
	_Atomic bool dirty_told;
	void (*on_dirty)(void *arg); /* holds a buffer lock; signals only */
	void *on_dirty_arg;
	uint8_t chunk_tree_uuid[BTRFS_UUID_SIZE];
	void (*pressure)(void *arg);
	void *pressure_arg;

	struct shard shards[SHARDS];
};

/* The one place where a state changes; asserts the edge. */
void eb_set_state(struct eb *eb, enum eb_state to);

/*
 * A PRIVATE frame with one reference. `wait`: until there is one, else NULL at once.
 * NULL after waiting: none in FRAME_WAIT_MS (said in a message). Locks: frame_lock, shard.
 */
struct eb *frame_get(struct eb_cache *c, bool wait);
/* Gives a PRIVATE frame back. */
void frame_drop(struct eb *eb);
/* Gives up all frames but `frames`; nobody else is in the cache, and none of them is referenced. */
void frames_shrink(struct eb_cache *c, uint32_t frames);
/* What a frame costs of the cap, without a side. */
uint64_t frame_cost(uint32_t nodesize);

static inline struct eb_side *eb_side(const struct eb *eb)
{
	return &eb->cache->sides[eb - eb->cache->ebs];
}

/* Ends all holds of a buffer; how many there were. */
unsigned side_end_holds(struct eb_side *side);

/* The one place where a side's state changes; asserts the edge. */
void side_set(struct eb_side *side, enum eb_side_state to);
/* A DIRTY buffer leaves its list, whose reference becomes the caller's. The list's lock is held. */
void side_unlist_locked(struct eb_side *side, enum eb_side_state to);

struct shard *eb_shard(struct eb_cache *c, uint64_t logical);
struct eb *eb_find_locked(struct eb_cache *c, struct shard *sh, uint64_t logical);
void eb_remove_locked(struct eb_cache *c, struct shard *sh, struct eb *eb);
/* PRIVATE → READING, in its bucket. */
void eb_insert_locked(struct eb_cache *c, struct shard *sh, struct eb *eb,
		      const struct btrfs_block_expect *expect, bool quiet);
/* PRIVATE → VALID, in its bucket; `logical` is set. */
void eb_insert_new_locked(struct eb_cache *c, struct shard *sh, struct eb *eb);
/* VALID → DEAD, out of its bucket. */
void eb_kill_locked(struct eb_cache *c, struct shard *sh, struct eb *eb);
/* READING → VALID (err 0) or DEAD, and wakes who waits for it. Takes the shard lock. */
void eb_finish(struct eb *eb, int err);

/* Reads and checks a READING frame; says what is wrong. 0 or -errno. */
int eb_read(struct eb *eb);
/* Holds a VALID block against what this caller's parent says of it: 0, or -EUCLEAN, said. */
int eb_match(const struct eb *eb, const struct btrfs_block_expect *expect);

#endif
