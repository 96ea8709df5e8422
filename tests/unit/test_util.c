// SPDX-License-Identifier: GPL-2.0-or-later
/* Messages, fault points, the worker pool. */
#include "engine/util/counter.h"
#include "engine/util/err.h"
#include "engine/util/fault.h"
#include "engine/util/pool.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

struct heard {
	unsigned nr;
	enum msg_level level;
	char last[2048];
};

static void hear(void *arg, enum msg_level level, const char *text)
{
	struct heard *h = arg;

	h->nr++;
	h->level = level;
	snprintf(h->last, sizeof(h->last), "%s", text);
}

static void test_msg_say(void **state)
{
	struct heard h = {0};
	struct msg *m;

	assert_int_equal(msg_create(hear, &h, &m), 0);
	msg_warn(m, "seven is %d", 7);
	assert_string_equal(h.last, "seven is 7");
	assert_int_equal(h.level, MSG_WARN);
	assert_int_equal(msg_corrupt(m, "block %d", 5), -EUCLEAN);
	assert_int_equal(h.level, MSG_ERR);
	assert_non_null(strstr(h.last, "corrupt metadata: block 5 ("));
	assert_non_null(strstr(h.last, "test_util.c:"));
	msg_destroy(m);
	assert_int_equal(h.nr, 2);

	/* Nobody listening. */
	assert_int_equal(msg_create(NULL, NULL, &m), 0);
	msg_err(m, "lost");
	assert_int_equal(msg_corrupt(m, "lost"), -EUCLEAN);
	msg_destroy(m);
	msg_err(NULL, "lost too");
	msg_destroy(NULL);
}

static void test_msg_long_text_is_cut(void **state)
{
	struct heard h = {0};
	struct msg *m;
	char big[3000];

	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = 0;
	assert_int_equal(msg_create(hear, &h, &m), 0);
	msg_err(m, "%s", big);
	assert_in_range(strlen(h.last), 500, 2000);
	msg_corrupt(m, "a %s", big);
	assert_in_range(strlen(h.last), 500, 2000);
	msg_destroy(m);
}

static void test_msg_flood(void **state)
{
	struct heard h = {0};
	struct msg *m;
	unsigned burst;

	assert_int_equal(msg_create(hear, &h, &m), 0);
	for (int i = 0; i < 100; i++)
		msg_err(m, "flood %d", i);
	burst = h.nr;
	assert_in_range(burst, 1, 50);
	/* Another format is not held back by the first one's flood. */
	msg_err(m, "other");
	assert_string_equal(h.last, "other");
	/* After the window the next message, of whatever format, brings the number. */
	usleep(1100000);
	msg_err(m, "late");
	assert_int_equal(h.nr, burst + 3);
	for (int i = 0; i < 100; i++)
		msg_err(m, "flood %d", i);
	/* (that loop has another format string object or the same; either way it was cut) */
	assert_in_range(h.nr, burst + 4, 2 * burst + 3);
	msg_destroy(m);
	assert_non_null(strstr(h.last, "more messages like \"flood %d\""));
}

static void test_msg_more_formats_than_slots(void **state)
{
	struct heard h = {0};
	static char fmts[200][16];
	struct msg *m;

	assert_int_equal(msg_create(hear, &h, &m), 0);
	for (int i = 0; i < 200; i++) {
		snprintf(fmts[i], sizeof(fmts[i]), "format %d", i);
		msg_info(m, fmts[i], 0);
	}
	assert_int_equal(h.nr, 200);
	msg_destroy(m);
	assert_int_equal(h.nr, 200);
}

static void test_fault(void **state)
{
	struct msg *m;
	void *p;

	fault_arm(FAULT_ALLOC, 3);
	for (int i = 1; i <= 6; i++) {
		p = eng_alloc(10);
		assert_int_equal(p == NULL, i == 3);
		free(p);
	}
	assert_int_equal(fault_count(FAULT_ALLOC), 6);
	fault_arm(FAULT_ALLOC, 1);
	assert_int_equal(msg_create(hear, NULL, &m), -ENOMEM);
	assert_null(m);
	assert_false(fault_hit(FAULT_READ));
	fault_arm(FAULT_ALLOC, 0);
	p = eng_memalign(4096, 100);
	assert_non_null(p);
	assert_int_equal((uintptr_t)p % 4096, 0);
	free(p);
	p = eng_strdup("text");
	assert_string_equal(p, "text");
	p = eng_realloc(p, 100);
	assert_string_equal(p, "text");
	free(p);
	p = eng_calloc(3, 5);
	assert_non_null(p);
	assert_memory_equal(p, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 15);
	free(p);
}

static void *hit_many(void *arg)
{
	unsigned *hits = arg;

	for (int i = 0; i < 10000; i++)
		*hits += fault_hit(FAULT_READ);
	return NULL;
}

static void test_fault_once_among_threads(void **state)
{
	pthread_t t[4];
	unsigned hits[4] = {0};

	fault_arm(FAULT_READ, 20000);
	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, hit_many, &hits[i]);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(hits[0] + hits[1] + hits[2] + hits[3], 1);
	assert_int_equal(fault_count(FAULT_READ), 40000);
	fault_arm(FAULT_READ, 0);
}

static void test_plant(void **state)
{
#ifdef UBTRFS_PLANT
	setenv("UBTRFS_PLANT", "one,two_x,three", 1);
	assert_true(PLANTED("one"));
	assert_true(PLANTED("two_x"));
	assert_true(PLANTED("three"));
	assert_false(PLANTED("two"));
	assert_false(PLANTED("thre"));
	assert_false(PLANTED("one,two_x"));
	unsetenv("UBTRFS_PLANT");
#endif
	assert_false(PLANTED("one"));
}

struct sum_job {
	struct pool_job job;
	struct pool *again; /* resubmit there */
	unsigned left;
	_Atomic unsigned *sum;
};

static void sum_fn(struct pool_job *job)
{
	struct sum_job *s = (struct sum_job *)job;

	atomic_fetch_add(s->sum, 1);
	if (s->left) {
		s->left--;
		pool_submit(s->again, job);
	}
}

static void run_pool(unsigned threads)
{
	enum { N = 200 };
	_Atomic unsigned sum = 0;
	struct sum_job jobs[N] = {0};
	struct pool_group g[2];
	struct pool *p;

	assert_int_equal(pool_create(threads, "test", &p), 0);
	assert_int_equal(pool_threads(p), threads);
	pool_group_init(&g[0], p);
	pool_group_init(&g[1], p);
	for (int i = 0; i < N; i++) {
		jobs[i] = (struct sum_job){.job = {.fn = sum_fn, .group = &g[i % 2]},
					   .again = p,
					   .left = i % 3,
					   .sum = &sum};
		pool_submit(p, &jobs[i].job);
	}
	pool_group_wait(&g[0]);
	pool_group_wait(&g[1]);
	assert_int_equal(g[0].pending, 0);
	/* 67 jobs of one run, 67 of two, 66 of three */
	assert_int_equal(sum, 67 + 2 * 67 + 3 * 66);

	/* Without a group: destroy runs what is queued. */
	sum = 0;
	for (int i = 0; i < N; i++) {
		jobs[i] = (struct sum_job){.job = {.fn = sum_fn}, .sum = &sum};
		pool_submit(p, &jobs[i].job);
	}
	pool_destroy(p);
	assert_int_equal(sum, N);
}

static void test_pool(void **state)
{
	struct pool *p;

	run_pool(0);
	run_pool(1);
	run_pool(4);
	fault_arm(FAULT_ALLOC, 1);
	assert_int_equal(pool_create(2, "test", &p), -ENOMEM);
	assert_null(p);
	fault_arm(FAULT_ALLOC, 0);
	pool_destroy(NULL);
}

struct block_job {
	struct pool_job job;
	pthread_mutex_t *gate;
};

static void block_fn(struct pool_job *job)
{
	struct block_job *b = (struct block_job *)job;

	pthread_mutex_lock(b->gate);
	pthread_mutex_unlock(b->gate);
}

/* All workers stuck: whoever waits for a group still gets its own jobs done. */
static void test_pool_waiter_helps(void **state)
{
	pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
	struct block_job stuck[2];
	_Atomic unsigned sum = 0;
	struct sum_job jobs[10];
	struct pool_group g;
	struct pool *p;

	assert_int_equal(pool_create(2, "test", &p), 0);
	pool_group_init(&g, p);
	pthread_mutex_lock(&gate);
	for (int i = 0; i < 2; i++) {
		stuck[i] = (struct block_job){.job = {.fn = block_fn}, .gate = &gate};
		pool_submit(p, &stuck[i].job);
	}
	for (int i = 0; i < 10; i++) {
		jobs[i] = (struct sum_job){.job = {.fn = sum_fn, .group = &g}, .sum = &sum};
		pool_submit(p, &jobs[i].job);
	}
	pool_group_wait(&g);
	assert_int_equal(sum, 10);
	pthread_mutex_unlock(&gate);
	pool_destroy(p);
}

static void test_counter(void **state)
{
	struct counters c = {0};

	counter_inc(&c, cache_hits);
	counter_add(&c, cache_hits, 4);
	assert_int_equal(counter_get(&c, cache_hits), 5);
	assert_int_equal(counter_get(&c, cache_reads), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_msg_say),
		cmocka_unit_test(test_msg_long_text_is_cut),
		cmocka_unit_test(test_msg_flood),
		cmocka_unit_test(test_msg_more_formats_than_slots),
		cmocka_unit_test(test_fault),
		cmocka_unit_test(test_fault_once_among_threads),
		cmocka_unit_test(test_plant),
		cmocka_unit_test(test_pool),
		cmocka_unit_test(test_pool_waiter_helps),
		cmocka_unit_test(test_counter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
