// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The workload of a crash sweep: scripts in all subvolumes of an image, with commits and blocks
 * written out in between, over a simdisk below the order checker. A round's number decides
 * everything about it.
 */
#include "tests/crash/crash_priv.h"
#include "tests/lib/ordercheck.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void note(struct round *r, const struct world *w, bool synced)
{
	struct moment *m;

	r->moments = blk_must(realloc(r->moments, (r->nr_moments + 1) * sizeof(*r->moments)));
	m = &r->moments[r->nr_moments];
	m->end = simdisk_now(r->disk);
	m->generation = world_generation(simdisk_blk(r->disk, 0));
	m->synced = synced;
	m->st = w->nr ? world_state(w) : m[-1].st;
	if (r->nr_moments && m->generation != m[-1].generation)
		r->commits++;
	r->nr_moments++;
}

static void went_wrong(struct round *r, const struct world *w, const char *what, int err)
{
	printf("round %u: %s: %s (%s); the engine said: %s\n", r->nr, what,
	       w->last ? w->last->text : "", err ? strerrorname_np(-err) : "0",
	       w->said[0] ? w->said : "nothing");
	r->broken = true;
}

static void set_lab(const struct round *r)
{
	const struct lab_opts lab = {
		.no_threads = !r->o->threads,
		.assert_overruns = true,
		.policy = r->nr % 3,
		.search_linux = r->nr % 4 == 3,
		.one_pool = r->nr % 8 == 5,
	};

	lab_set_opts(&lab);
}

static void work(struct round *r, struct world *w)
{
	unsigned sync_every = 5 + (unsigned)sim_below(&w->rng, 40);
	unsigned write_every = 3 + (unsigned)sim_below(&w->rng, 30);
	int err;

	for (unsigned i = 0; i < r->o->steps && !r->broken; i++) {
		bool synced = false;

		err = world_step(w);
		if (!wander_right(w->last))
			went_wrong(r, w, "a wrong answer", err);
		if (!sim_below(&w->rng, write_every)) {
			err = lab_writeback(w->fs, 1 + (unsigned)sim_below(&w->rng, 40));
			if (err)
				went_wrong(r, w, "writing blocks out", err);
		}
		/* Before the commit: what it makes durable is this moment. */
		note(r, w, false);
		if (!sim_below(&w->rng, sync_every)) {
			err = eng_sync(w->fs);
			synced = !err;
			if (err)
				went_wrong(r, w, "committing", err);
			note(r, w, synced);
		}
	}
}

/* With the engine's threads: commits at any moment. */
struct committer {
	struct eng_fs *fs;
	_Atomic bool stop;
	uint64_t rng;
};

static void *commit_at_times(void *arg)
{
	struct committer *c = arg;

	while (!atomic_load(&c->stop)) {
		usleep(500 + (unsigned)sim_below(&c->rng, 5000));
		if (eng_sync(c->fs))
			break;
	}
	return NULL;
}

static void work_beside(struct round *r, struct world *w)
{
	struct committer c = { .fs = w->fs, .rng = r->seed };
	pthread_t thread;

	if (pthread_create(&thread, NULL, commit_at_times, &c))
		abort();
	work(r, w);
	atomic_store(&c.stop, true);
	pthread_join(thread, NULL);
}

void round_run(const struct options *o, unsigned nr, struct round *r)
{
	struct world w = { 0 };
	struct ordercheck *oc;
	int err;

	*r = (struct round){ .o = o, .nr = nr, .seed = sim_seed(o->seed, nr) };
	r->disk = world_disk(o->image);
	r->cache = nr % 2 ? 32 << 20 : 8 << 20;
	oc = ordercheck_create(1, simdisk_blk(r->disk, 0));
	set_lab(r);
	simdisk_track(r->disk, 0, UINT64_MAX, o->per_round, r->seed);
	err = world_open(&w, ordercheck_blk(oc, 0), true, r->cache);
	if (!err)
		err = world_load(&w, r->seed);
	if (err) {
		went_wrong(r, &w, "opening", err);
	} else {
		note(r, &w, true);
		if (o->threads)
			work_beside(r, &w);
		else
			work(r, &w);
		r->moments[r->nr_moments - 1].end = simdisk_now(r->disk);
	}
	if (w.errors && !r->broken)
		went_wrong(r, &w, "an error was said", 0);
	for (unsigned i = 0; i < w.nr; i++) {
		r->steps += w.wanders[i]->steps;
		r->refused += w.wanders[i]->refused;
	}
	world_close(&w);
	if (r->nr_moments)
		note(r, &w, !r->broken);
	r->violations = ordercheck_violations(oc);
	if (r->violations)
		printf("round %u: order of writes: %s\n", nr, ordercheck_text(oc));
	ordercheck_destroy(oc);
	/* The states are judged without threads. */
	lab_set_opts(&(struct lab_opts){ .no_threads = true, .assert_overruns = true });
}

void round_free(struct round *r)
{
	simdisk_destroy(r->disk);
	free(r->moments);
}
