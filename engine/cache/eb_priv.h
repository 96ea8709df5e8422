/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The insides of the metadata cache.
 *
 * States of a frame; the function that moves it stands on the arrow:
 *
 *   NEW ──frame_get──▶ PRIVATE ──eb_insert_locked──▶ READING ──eb_finish──▶ VALID
 *                       │  ▲  ▲                          │                     │
 *             frame_drop│  │  └──────────frame_get───────┼─────────────────────┘
 *                       ▼  │frame_get                    │
 *                      DEAD◀──────────eb_finish──────────┘
 *
 * NEW: never used. PRIVATE: of one thread, in no bucket. READING: in its bucket, bytes not there
 * yet. VALID: in its bucket, checked. DEAD: in no bucket, of no use, reusable once nobody refers to
 * it.
 *
 * Invariants:
 * 1. READING or VALID ⇔ in the bucket of its logical, once.
 * 2. `refs` rises from 0 only under the shard lock of a VALID frame, or in frame_get. So what is
 * seen at 0 under that lock is nobody's; a DEAD frame at 0 stays there.
 * 3. VALID and DEAD are left only in frame_get, under `frame_lock`: whoever holds that lock and
 * sees VALID may believe `logical`.
 * 4. `data` is written only while PRIVATE or READING, by the one thread that inserted the frame.
 *
 * Locks: frame_lock → shard. Neither is held over I/O or messages.
 */
#ifndef UBTRFS_ENGINE_CACHE_EB_PRIV_H
#define UBTRFS_ENGINE_CACHE_EB_PRIV_H

#include "engine/cache/eb.h"

#include <pthread.h>
#include <stdatomic.h>

#define SHARDS_LOG 6
#define SHARDS (1u << SHARDS_LOG)
/* No frame for so long: somebody broke the promise on threads; say so instead of hanging. */
#define FRAME_WAIT_MS 10000

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
	uint8_t *mem; /* frames * nodesize, one mapping */
	struct eb *ebs;
	struct eb **buckets;
	unsigned buckets_log; /* of one shard */

	pthread_mutex_t frame_lock;
	pthread_cond_t frame_free; /* some refs fell to 0 while frame_waiters > 0 */
	uint32_t touched;	   /* frame_lock: frames below are not NEW */
	uint32_t hand;		   /* frame_lock */
	_Atomic unsigned frame_waiters;
	_Atomic unsigned prefetching; /* frames held by eb_prefetch calls */

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

struct shard *eb_shard(struct eb_cache *c, uint64_t logical);
struct eb *eb_find_locked(struct eb_cache *c, struct shard *sh, uint64_t logical);
void eb_remove_locked(struct eb_cache *c, struct shard *sh, struct eb *eb);
/* PRIVATE → READING, in its bucket. */
void eb_insert_locked(struct eb_cache *c, struct shard *sh, struct eb *eb,
		      const struct btrfs_block_expect *expect, bool quiet);
/* READING → VALID (err 0) or DEAD, and wakes who waits for it. Takes the shard lock. */
void eb_finish(struct eb *eb, int err);

/* Reads and checks a READING frame; says what is wrong. 0 or -errno. */
int eb_read(struct eb *eb);
/* Holds a VALID block against what this caller's parent says of it: 0, or -EUCLEAN, said. */
int eb_match(const struct eb *eb, const struct btrfs_block_expect *expect);

#endif
