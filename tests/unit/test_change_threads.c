// SPDX-License-Identifier: GPL-2.0-or-later
/* Trees that many threads change at once, each its own range of keys, with commits and write-out
 * between. */
#include "tests/unit/changelab.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdlib.h>

#include <cmocka.h>

#define THREADS 8
#define RANGE 250

struct worker {
	struct lab *l;
	pthread_rwlock_t *gate; /* written by who commits */
	unsigned nr;
	unsigned edits;
	bool ok;
	uint64_t seed;
};

static bool one_edit(struct worker *w, struct fake_handle *h, unsigned n, uint64_t *s)
{
	struct lab *l = w->l;
	struct btrfs_key key;
	unsigned i = w->nr * RANGE + rnd(s) % RANGE, dice = rnd(s) % 8;
	bool shrink = n / (w->edits / 4 + 1) % 2;
	struct model *m = &l->models[0];

	if (dice < 2)
		return edit_resize(l, h, 0, i, s);
	if (dice < 3)
		return same_as_model(l, 0, w->nr * RANGE, (w->nr + 1) * RANGE);
	key = key_of(i);
	if ((dice < 5) == shrink) {
		uint8_t data[400];
		uint32_t size = (uint32_t)(rnd(s) % sizeof(data));
		int err;

		fill(s, data, size);
		err = bt_insert(&h->t, l->trees[0], &key, data, size);
		check(err == (m->size[i] < 0 ? 0 : -EEXIST));
		if (!err)
			model_set(m, i, (int32_t)size, data);
	} else {
		int err = bt_delete(&h->t, l->trees[0], &key);

		check(err == (m->size[i] < 0 ? -ENOENT : 0));
		model_set(m, i, -1, NULL);
	}
	return true;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	uint64_t s = w->seed + w->nr;
	struct fake_handle h;

	for (unsigned n = 0; w->ok && n < w->edits; n++) {
		pthread_rwlock_rdlock(w->gate);
		faketxn_begin(w->l->f, &h, w->l->mode);
		for (unsigned j = 0; j < 8 && w->ok && n < w->edits; j++, n++)
			w->ok = one_edit(w, &h, n, &s);
		faketxn_end(&h);
		if (rnd(&s) % 16 == 0)
			faketxn_write_some(w->l->f, 8);
		pthread_rwlock_unlock(w->gate);
		if (rnd(&s) % 32 == 0) {
			pthread_rwlock_wrlock(w->gate);
			w->ok = w->ok && commit(w->l);
			pthread_rwlock_unlock(w->gate);
		}
	}
	return NULL;
}

static bool run_threads(enum bt_search_mode mode, unsigned frames, unsigned edits)
{
	pthread_rwlock_t gate = PTHREAD_RWLOCK_INITIALIZER;
	struct worker w[THREADS];
	pthread_t ids[THREADS];
	struct lab l;
	bool ok = true;

	lab_init(&l, 4096, 6000, frames, THREADS, THREADS * RANGE, mode);
	for (unsigned i = 0; i < THREADS; i++) {
		w[i] = (struct worker){ &l, &gate, i, edits, true, first_seed() };
		if (pthread_create(&ids[i], NULL, work, &w[i]))
			abort();
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(ids[i], NULL);
		ok = ok && w[i].ok;
	}
	say_counters(&l);
	ok = ok && all_right(&l);
	if (ok)
		lab_end(&l);
	return ok;
}

static void test_threads(void **state)
{
	for (int mode = BT_TWO_PASS; mode <= BT_LINUX; mode++) {
		assert_true(run_threads(mode, 500, 400));
		assert_true(run_threads(mode, 0, 200));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
