// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Writing dirty metadata out in mid-transaction.
 *
 * Words: a *pass* is one look through the target's list; it is *fruitless* if everything there was
 * held or locked. *Pressed*: somebody waits for a frame.
 *
 * Invariants:
 * 1. No pass begins while `switching`, and the target changes only while none is under way: so
 * after eb_writeback_target nothing of the former one is being written by us.
 * 2. Holds are ended only when pressed, after FRUITLESS_MAX fruitless passes running: others'
 * handles end meanwhile, and unheld blocks are always written first. Leaves before nodes, since a
 * handle hardly comes back to a leaf.
 * 3. While somebody waits for a frame, the thread never sleeps longer than PAUSE_MS.
 *
 * After a failed write the thread goes on only when pressed: other blocks may do.
 *
 * Locks: `lock` comes after buffers' locks and before a dirty list's.
 */
#include "engine/cache/writeback.h"
#include "engine/cache/eb_priv.h"
#include "engine/util/fault.h"

#include <assert.h>
#include <stdlib.h>
#include <time.h>

#define PASS_BLOCKS 64u
#define PAUSE_MS 2
#define LONG_PAUSE_MS 20
#define FRUITLESS_MAX 10
/* Held ones at once: each may cost a copy. */
#define HELD_BLOCKS 12u
/* What a thread without frames writes when there is no thread to do so. */
#define OWN_BLOCKS 32u

struct eb_writeback {
	struct eb_writeback_opts opts;
	uint32_t start, stop; /* blocks of the target */
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;  /* of the thread */
	pthread_cond_t quiet; /* no pass is under way, or no switch */
	struct eb_dirty *target;
	unsigned passes; /* under way */
	unsigned switching;
	int err; /* the first of this target */
	bool end;
	bool pressed;
	bool high; /* the threshold was passed, and not yet the lower one */
};

static struct eb_dirty *pass_begin_locked(struct eb_writeback *wb)
{
	while (wb->switching)
		pthread_cond_wait(&wb->quiet, &wb->lock);
	if (wb->target)
		wb->passes++;
	return wb->target;
}

static void pass_end_locked(struct eb_writeback *wb, int err)
{
	bool tell = err && !wb->err;

	if (tell)
		wb->err = err;
	if (err)
		counter_inc(wb->opts.cache->counters, wb_errors);
	/* The pass lasts until the owner has heard of it. */
	if (tell && wb->opts.failed) {
		pthread_mutex_unlock(&wb->lock);
		wb->opts.failed(wb->opts.arg, err);
		pthread_mutex_lock(&wb->lock);
	}
	if (!--wb->passes)
		pthread_cond_broadcast(&wb->quiet);
}

static int pass(struct eb_writeback *wb, struct eb_dirty *d, unsigned max, bool end_holds,
		unsigned *out_written)
{
	struct eb_cache *c = wb->opts.cache;
	unsigned written = 0;
	int err = 0;

	for (enum eb_write_mode mode = EB_WRITE_SOME;
	     !err && !written && mode <= (end_holds ? EB_WRITE_HELD : EB_WRITE_SOME); mode++) {
		counter_inc(c->counters, wb_passes);
		if (mode != EB_WRITE_SOME && max > HELD_BLOCKS)
			max = HELD_BLOCKS;
		err = eb_dirty_write(c, d, mode, max, wb->opts.write, wb->opts.arg, &written);
	}
	counter_add(c->counters, wb_written, written);
	*out_written = written;
	return err;
}

static int step(struct eb_writeback *wb, unsigned max, bool end_holds, unsigned *out_written)
{
	struct eb_dirty *d;
	int err = 0;

	*out_written = 0;
	pthread_mutex_lock(&wb->lock);
	d = pass_begin_locked(wb);
	if (d) {
		pthread_mutex_unlock(&wb->lock);
		err = pass(wb, d, max, end_holds, out_written);
		pthread_mutex_lock(&wb->lock);
		pass_end_locked(wb, err);
	}
	pthread_mutex_unlock(&wb->lock);
	return err;
}

int eb_writeback_step(struct eb_writeback *wb, unsigned max, unsigned *out_written)
{
	unsigned written;
	int err = step(wb, max, false, &written);

	if (out_written)
		*out_written = written;
	return err;
}

int eb_writeback_target(struct eb_writeback *wb, struct eb_dirty *d)
{
	int err;

	pthread_mutex_lock(&wb->lock);
	wb->switching++;
	while (wb->passes && !PLANTED("writeback_no_quiesce"))
		pthread_cond_wait(&wb->quiet, &wb->lock);
	wb->target = d;
	err = wb->err;
	wb->err = 0;
	wb->high = false;
	wb->switching--;
	pthread_cond_broadcast(&wb->quiet);
	pthread_cond_signal(&wb->wake);
	pthread_mutex_unlock(&wb->lock);
	return err;
}

/* ---- the thread ---- */

static void on_pressure(void *arg)
{
	struct eb_writeback *wb = arg;

	pthread_mutex_lock(&wb->lock);
	wb->pressed = true;
	pthread_cond_signal(&wb->wake);
	pthread_mutex_unlock(&wb->lock);
}

static void on_pressure_write(void *arg)
{
	unsigned written;

	/* An error is kept for the next target. */
	(void)step(arg, OWN_BLOCKS, true, &written);
}

static void on_dirty(void *arg)
{
	struct eb_writeback *wb = arg;

	pthread_mutex_lock(&wb->lock);
	wb->high = true;
	pthread_cond_signal(&wb->wake);
	pthread_mutex_unlock(&wb->lock);
}

/* The whole time, whoever wakes us: it is for others' handles to end in. */
static void pause_locked(struct eb_writeback *wb, unsigned ms)
{
	struct timespec until;
	int err = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += ms * 1000000l;
	if (until.tv_nsec >= 1000000000l) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000l;
	}
	while (!wb->end && !err)
		err = pthread_cond_clockwait(&wb->wake, &wb->lock, CLOCK_MONOTONIC, &until);
}

static bool is_pressed_locked(struct eb_writeback *wb)
{
	return wb->pressed || atomic_load(&wb->opts.cache->frame_waiters);
}

static bool wanted_locked(struct eb_writeback *wb)
{
	if (!wb->target || wb->switching)
		return false;
	return is_pressed_locked(wb) || (wb->high && !wb->err);
}

static void below_locked(struct eb_writeback *wb)
{
	struct eb_dirty *d = wb->target;
	uint32_t nr;

	/* First: who makes a block dirty after the look tells again. */
	atomic_store(&wb->opts.cache->dirty_told, false);
	if (!d)
		return;
	pthread_mutex_lock(&d->lock);
	nr = d->nr;
	pthread_mutex_unlock(&d->lock);
	if (nr <= wb->stop)
		wb->high = false;
}

static void *run(void *arg)
{
	struct eb_writeback *wb = arg;
	unsigned fruitless = 0; /* passes when pressed, since one found what is not held */

	pthread_mutex_lock(&wb->lock);
	while (!wb->end) {
		struct eb_dirty *d;
		unsigned written;
		bool pressed, end_holds;
		int err;

		if (!wanted_locked(wb)) {
			/* Waiters without a target, too, will have one: its setting wakes us. */
			pthread_cond_wait(&wb->wake, &wb->lock);
			continue;
		}
		pressed = is_pressed_locked(wb);
		end_holds = pressed && fruitless >= FRUITLESS_MAX;
		wb->pressed = false;
		d = pass_begin_locked(wb);
		if (!d)
			continue;
		pthread_mutex_unlock(&wb->lock);
		err = pass(wb, d, PASS_BLOCKS, end_holds, &written);
		pthread_mutex_lock(&wb->lock);
		pass_end_locked(wb, err);
		/* Once it has come to that, the next time comes soon. */
		if (written)
			fruitless = end_holds ? FRUITLESS_MAX - 1 : 0;
		else
			fruitless += pressed;
		if (!written || err)
			pause_locked(wb, pressed ? PAUSE_MS : LONG_PAUSE_MS);
		below_locked(wb);
	}
	pthread_mutex_unlock(&wb->lock);
	return NULL;
}

int eb_writeback_create(const struct eb_writeback_opts *opts, struct eb_writeback **out_wb)
{
	struct eb_cache *c = opts->cache;
	struct eb_writeback *wb = eng_zalloc(sizeof(*wb));
	unsigned start = opts->start_pct ? opts->start_pct : 50;
	unsigned stop = opts->stop_pct ? opts->stop_pct : start * 7 / 10;

	*out_wb = NULL;
	assert(c->sides && stop <= start);
	if (!wb)
		return -ENOMEM;
	wb->opts = *opts;
	wb->start = (uint32_t)((uint64_t)c->frames * start / 100);
	wb->stop = (uint32_t)((uint64_t)c->frames * stop / 100);
	pthread_mutex_init(&wb->lock, NULL);
	pthread_cond_init(&wb->wake, NULL);
	pthread_cond_init(&wb->quiet, NULL);
	if (opts->thread &&
	    (fault_hit(FAULT_ALLOC) || pthread_create(&wb->thread, NULL, run, wb))) {
		wb->opts.thread = false;
		eb_writeback_destroy(wb);
		return -EAGAIN;
	}
	if (opts->thread) {
		c->dirty_high = wb->start;
		c->on_dirty_arg = wb;
		c->on_dirty = on_dirty;
	}
	eb_cache_on_pressure(c, opts->thread ? on_pressure : on_pressure_write, wb);
	*out_wb = wb;
	return 0;
}

void eb_writeback_destroy(struct eb_writeback *wb)
{
	if (!wb)
		return;
	if (wb->opts.thread) {
		pthread_mutex_lock(&wb->lock);
		wb->end = true;
		pthread_cond_signal(&wb->wake);
		pthread_mutex_unlock(&wb->lock);
		pthread_join(wb->thread, NULL);
	}
	wb->opts.cache->on_dirty = NULL;
	eb_cache_on_pressure(wb->opts.cache, NULL, NULL);
	pthread_cond_destroy(&wb->quiet);
	pthread_cond_destroy(&wb->wake);
	pthread_mutex_destroy(&wb->lock);
	free(wb);
}
