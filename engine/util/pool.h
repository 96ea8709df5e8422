/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A fixed pool of worker threads with one FIFO queue. A job must not wait for another job of the
 * same pool; whoever waits for a group may run its queued jobs itself (pool_group_wait does).
 */
#ifndef UBTRFS_ENGINE_UTIL_POOL_H
#define UBTRFS_ENGINE_UTIL_POOL_H

#include "engine/util/err.h"

struct pool;

struct pool_job {
	void (*fn)(struct pool_job *job);
	struct pool_group *group;  /* NULL: nobody waits */
	struct pool_job *next, *prev; /* queue links, the pool's */
	int state;                 /* the pool's */
};

/* Jobs somebody waits for; zero-initialised by pool_group_init. */
struct pool_group {
	struct pool *pool;
	unsigned pending;          /* under the pool's lock */
};

/* `threads` 0: jobs run in the submitter. Return: 0, -ENOMEM, -EAGAIN (no threads to be had). */
MUST_CHECK int pool_create(unsigned threads, const char *name, struct pool **out_pool);
/* Runs what is queued, then ends the threads. */
void pool_destroy(struct pool *p);
unsigned pool_threads(const struct pool *p);
void pool_group_init(struct pool_group *g, struct pool *p);
/* Ownership: `job` is the caller's and must live until its fn has been entered for the last time. */
void pool_submit(struct pool *p, struct pool_job *job);
/* Returns when all jobs of the group are done; runs queued ones of this group meanwhile. */
void pool_group_wait(struct pool_group *g);

#endif
