// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The worker pool.
 *
 * Invariants:
 * 1. A job is on the queue ⇔ its state is JOB_QUEUED; links and state change under `lock` only.
 * 2. Once a job's fn has been entered the pool does not touch the job again, so that it may free or
 *    resubmit itself.
 * 3. A group's `pending` counts its jobs from submit to the return of fn. The last decrement and the
 *    wake-up happen under `lock`, and the waiter looks under `lock`: the group may be gone right after.
 *
 * Locks: `lock` alone, never held over fn.
 */
#include "engine/util/pool.h"
#include "engine/util/fault.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	JOB_IDLE,
	JOB_QUEUED,
};

struct pool {
	pthread_mutex_t lock;
	pthread_cond_t work; /* queue no longer empty, or ending */
	pthread_cond_t done; /* some group's pending reached 0 */
	struct pool_job *first, *last;
	bool ending;
	unsigned threads;
	char name[12];
	pthread_t thread[];
};

static void queue_add_locked(struct pool *p, struct pool_job *job)
{
	job->state = JOB_QUEUED;
	job->next = NULL;
	job->prev = p->last;
	if (p->last)
		p->last->next = job;
	else
		p->first = job;
	p->last = job;
}

static void queue_remove_locked(struct pool *p, struct pool_job *job)
{
	if (job->prev)
		job->prev->next = job->next;
	else
		p->first = job->next;
	if (job->next)
		job->next->prev = job->prev;
	else
		p->last = job->prev;
	job->next = job->prev = NULL;
	job->state = JOB_IDLE;
}

/* Takes the job off the queue and runs it, with the lock dropped meanwhile. */
static void run_locked(struct pool *p, struct pool_job *job)
{
	struct pool_group *group = job->group;

	queue_remove_locked(p, job);
	pthread_mutex_unlock(&p->lock);
	job->fn(job);
	pthread_mutex_lock(&p->lock);
	if (group && --group->pending == 0)
		pthread_cond_broadcast(&p->done);
}

static void *worker(void *arg)
{
	struct pool *p = arg;

	pthread_mutex_lock(&p->lock);
	for (;;) {
		while (!p->first && !p->ending)
			pthread_cond_wait(&p->work, &p->lock);
		if (!p->first)
			break;
		run_locked(p, p->first);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

static int start_threads(struct pool *p, unsigned threads)
{
	sigset_t all, old;
	char name[16];
	int err = 0;

	/* Signals are for the threads of whoever uses the engine. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (p->threads < threads) {
		err = pthread_create(&p->thread[p->threads], NULL, worker, p);
		if (err)
			break;
		snprintf(name, sizeof(name), "%s-%u", p->name, p->threads % 1000);
		pthread_setname_np(p->thread[p->threads], name);
		p->threads++;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -err;
}

int pool_create(unsigned threads, const char *name, struct pool **out_pool)
{
	struct pool *p;
	int err;

	*out_pool = NULL;
	p = eng_zalloc(sizeof(*p) + threads * sizeof(p->thread[0]));
	if (!p)
		return -ENOMEM;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->work, NULL);
	pthread_cond_init(&p->done, NULL);
	snprintf(p->name, sizeof(p->name), "%s", name);
	err = start_threads(p, threads);
	if (err) {
		pool_destroy(p);
		return err;
	}
	*out_pool = p;
	return 0;
}

void pool_destroy(struct pool *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->ending = true;
	pthread_cond_broadcast(&p->work);
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->threads; i++)
		pthread_join(p->thread[i], NULL);
	assert(!p->first);
	pthread_cond_destroy(&p->done);
	pthread_cond_destroy(&p->work);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

unsigned pool_threads(const struct pool *p)
{
	return p->threads;
}

void pool_group_init(struct pool_group *g, struct pool *p)
{
	*g = (struct pool_group){ .pool = p };
}

void pool_submit(struct pool *p, struct pool_job *job)
{
	assert(job->state == JOB_IDLE);
	assert(!job->group || job->group->pool == p);
	if (!p->threads) {
		job->fn(job);
		return;
	}
	pthread_mutex_lock(&p->lock);
	queue_add_locked(p, job);
	if (job->group)
		job->group->pending++;
	pthread_cond_signal(&p->work);
	pthread_mutex_unlock(&p->lock);
}

static struct pool_job *find_queued_locked(struct pool *p, const struct pool_group *g)
{
	struct pool_job *job = p->first;

	while (job && job->group != g)
		job = job->next;
	return job;
}

void pool_group_wait(struct pool_group *g)
{
	struct pool *p = g->pool;

	pthread_mutex_lock(&p->lock);
	while (g->pending) {
		struct pool_job *job = find_queued_locked(p, g);

		if (job)
			run_locked(p, job);
		else
			pthread_cond_wait(&p->done, &p->lock);
	}
	pthread_mutex_unlock(&p->lock);
}
