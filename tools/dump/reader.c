// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Two batches: the thread reads and checks one while its owner shows the other.
 *
 * Locks: `lock` guards want and stop. A batch belongs to the thread from reader_start until
 * reader_wait returns, else to the owner.
 */
#include "tools/dump/reader.h"

#include <pthread.h>
#include <stdlib.h>

struct reader {
	struct eng_fs *fs;
	uint32_t nodesize;
	struct batch batch[2];
	bool threaded;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct batch *want; /* being read; NULL: nothing is */
	bool stop;
};

static void read_batch(struct reader *r, struct batch *b)
{
	if (b->nr > 1)
		ins_block_prefetch(r->fs, b->expect, b->nr);
	for (unsigned i = 0; i < b->nr; i++) {
		b->why[i] = (struct btrfs_check_error){ .level = -1, .slot = -1 };
		b->res[i] = ins_block_read(r->fs, &b->expect[i],
					   b->blocks + (size_t)i * r->nodesize, &b->why[i]);
	}
}

static void *reader_main(void *arg)
{
	struct reader *r = arg;

	pthread_mutex_lock(&r->lock);
	while (!r->stop) {
		if (r->want) {
			pthread_mutex_unlock(&r->lock);
			read_batch(r, r->want);
			pthread_mutex_lock(&r->lock);
			r->want = NULL;
			pthread_cond_broadcast(&r->changed);
		} else {
			pthread_cond_wait(&r->changed, &r->lock);
		}
	}
	pthread_mutex_unlock(&r->lock);
	return NULL;
}

struct reader *reader_create(struct eng_fs *fs)
{
	struct reader *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->fs = fs;
	r->nodesize = ins_geometry(fs)->nodesize;
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->changed, NULL);
	for (unsigned i = 0; i < 2; i++) {
		r->batch[i].blocks = aligned_alloc(4096, (size_t)r->nodesize * BATCH_BLOCKS);
		if (!r->batch[i].blocks) {
			reader_destroy(r);
			return NULL;
		}
	}
	r->threaded = pthread_create(&r->thread, NULL, reader_main, r) == 0;
	return r;
}

void reader_destroy(struct reader *r)
{
	if (!r)
		return;
	if (r->threaded) {
		pthread_mutex_lock(&r->lock);
		r->stop = true;
		pthread_cond_broadcast(&r->changed);
		pthread_mutex_unlock(&r->lock);
		pthread_join(r->thread, NULL);
	}
	pthread_cond_destroy(&r->changed);
	pthread_mutex_destroy(&r->lock);
	free(r->batch[0].blocks);
	free(r->batch[1].blocks);
	free(r);
}

struct batch *reader_batch(struct reader *r, unsigned which)
{
	return &r->batch[which];
}

void reader_start(struct reader *r, unsigned which)
{
	if (!r->threaded) {
		read_batch(r, &r->batch[which]);
		return;
	}
	pthread_mutex_lock(&r->lock);
	r->want = &r->batch[which];
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->lock);
}

void reader_wait(struct reader *r)
{
	if (!r->threaded)
		return;
	pthread_mutex_lock(&r->lock);
	while (r->want)
		pthread_cond_wait(&r->changed, &r->lock);
	pthread_mutex_unlock(&r->lock);
}
