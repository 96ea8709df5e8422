/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inside the simulated disk. */
#ifndef UBTRFS_TESTS_LIB_SIMDISK_PRIV_H
#define UBTRFS_TESTS_LIB_SIMDISK_PRIV_H

#include "tests/lib/pages.h"
#include "tests/lib/simdisk.h"

#include <pthread.h>

#define BAD_MAX 16
#define SECTOR 512u

/* A write that is not durable; shared by forks. */
struct pend {
	_Atomic unsigned refs;
	unsigned disk;
	uint64_t off;
	uint64_t len;
	bool discard; /* then there is no data */
	uint8_t data[];
};

struct pend_ref {
	struct pend *w;
	bool doomed; /* a flush failed on it: never known to be durable */
};

struct bad {
	unsigned disk;
	uint64_t off, end;
	bool reads, writes;
};

struct member {
	struct simdisk *d;
	unsigned index;
	struct blk blk;
	char name[16];
	bool gone;
	struct pages now;     /* with all pending writes: what reading gives */
	struct pages durable; /* without them */
};

struct simdisk {
	pthread_mutex_t lock;
	unsigned nr;
	struct member members[SIMDISK_MAX];
	uint64_t time;
	struct pend_ref *pending; /* in the order of their writing */
	unsigned nr_pending, max_pending;
	uint64_t count[SIMDISK_OPS], fail_at[SIMDISK_OPS];
	struct bad bad[BAD_MAX];
	unsigned nr_bad;
	char id[80];
	/* tracking: a reservoir sample */
	uint64_t track_from, track_to, track_seen, track_rng;
	unsigned track_max, nr_states;
	struct simdisk **states;
};

void simdisk_pend_put(struct pend *w);
/* A simdisk of the same shape without contents. */
struct simdisk *simdisk_shape(const struct simdisk *d);
struct simdisk *simdisk_fork_locked(struct simdisk *d);
/* After a write: perhaps keeps this moment. */
void simdisk_track_locked(struct simdisk *d);

#endif
