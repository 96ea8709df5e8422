// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The fault sweep of changing: a script of up to 60 steps on a simulated disk while the nth
 * allocation, read, write or flush fails, from opening to closing; for every n, or (--sample) every
 * tenth from a start that the seed gives. A write that fails is half done, and what was pending
 * when a flush failed may be lost.
 *
 * Each call ends as if nothing had failed, or with the failure's errno and nothing done; or the
 * filesystem is read-only (EROFS) from there on. Closing always ends. Nothing leaks. A fresh
 * opening works, verifies, and holds the last state, or, if the filesystem turned read-only, one
 * since the last commit. Of some btrfs check is asked.
 */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "tests/lib/judge.h"
#include "tests/lib/memwatch.h"
#include "tests/lib/world.h"

#define STEPS 60
#define STEP 10	    /* every tenth, with --sample */
#define MAX_TOLD 10 /* failures that are printed */
#define CASE_SECONDS 60
#define CACHE (8u << 20)

static struct {
	bool sample, plant;
	uint64_t seed, only;
	const char *only_kind;
	unsigned check_every;
} arg = { .seed = 1, .check_every = 25 };

static struct simdisk *base;

static const struct kind {
	const char *name;
	bool alloc;
	enum simdisk_op op;
	int err;
} kinds[] = {
	{ "allocation", true, 0, ENOMEM },
	{ "read", false, SIMDISK_READ, EIO },
	{ "write", false, SIMDISK_WRITE, EIO },
	{ "flush", false, SIMDISK_FLUSH, EIO },
};

/* One case: what fails, and what became of it. */
struct trial {
	const struct kind *kind;
	uint64_t nth;	 /* 0: none */
	uint64_t before; /* passages before the last arming */
	struct simdisk *disk;
	struct world w;
	struct world_state at[2 * STEPS + 8];
	unsigned nr, low; /* states, and the one that was synced last */
	bool read_only, fired, refused;
	bool unsure; /* a commit failed: the next call tells whether it was aborted */
	char wrong[1500];
};

__attribute__((format(printf, 2, 3))) static void wrong(struct trial *t, const char *fmt, ...)
{
	va_list ap;

	if (t->wrong[0])
		return;
	va_start(ap, fmt);
	vsnprintf(t->wrong, sizeof(t->wrong), fmt, ap);
	va_end(ap);
}

/* ---- arming; between disarm and rearm nothing counts ---- */

static uint64_t passages(const struct trial *t)
{
	return t->kind->alloc ? lab_fault_count(LAB_FAULT_ALLOC)
			      : simdisk_count(t->disk, t->kind->op);
}

static uint64_t armed_at;

static void arm(struct trial *t)
{
	uint64_t left = t->nth > t->before ? t->nth - t->before : 0;

	if (t->kind->alloc)
		lab_fault_arm(LAB_FAULT_ALLOC, left);
	else
		simdisk_fail(t->disk, t->kind->op, left);
	armed_at = passages(t);
}

static void disarm(struct trial *t)
{
	t->before += passages(t) - armed_at;
	t->fired = t->nth && t->before >= t->nth;
	if (t->kind->alloc)
		lab_fault_arm(LAB_FAULT_ALLOC, 0);
	else
		simdisk_fail(t->disk, t->kind->op, 0);
}

static bool has_fired(const struct trial *t)
{
	return t->nth && t->before + passages(t) - armed_at >= t->nth;
}

/* ---- the script ---- */

static void note(struct trial *t, bool synced)
{
	t->at[t->nr] = world_state(&t->w);
	if (synced)
		t->low = t->nr;
	t->nr++;
}

/* What a call answered, where it should have answered well. */
static void judge_answer(struct trial *t, const char *what, int got, bool commit)
{
	/* A commit says why there are no more commits. */
	bool says_why = commit && got == -t->kind->err;

	if (t->read_only) {
		if (got != -EROFS && !says_why)
			wrong(t, "%s: %s after EROFS", what,
			      got ? strerrorname_np(-got) : "success");
		return;
	}
	if (!got) {
		t->unsure = false;
		return;
	}
	if (!has_fired(t))
		wrong(t, "%s: %s before anything failed", what, strerrorname_np(-got));
	else if (got == -EROFS || (t->unsure && says_why))
		t->read_only = true;
	else if (got != -t->kind->err)
		wrong(t, "%s: %s", what, strerrorname_np(-got));
	t->unsure = commit;
	t->refused = true;
}

static void step(struct trial *t)
{
	int got = world_step(&t->w);
	const struct wander *s = t->w.last;

	/* A step that must be refused may be refused for that first. */
	if (s->want && got == s->want)
		return;
	if (got && wander_right(s) && !t->read_only)
		return;
	judge_answer(t, s->text, got, false);
}

static void work(struct trial *t)
{
	for (unsigned i = 0; i < STEPS && !t->wrong[0]; i++) {
		step(t);
		note(t, false);
		if (i % 8 == 7) {
			int got = lab_writeback(t->w.fs, 12);

			if (got && !has_fired(t))
				wrong(t, "writing out: %s", strerrorname_np(-got));
		}
		if (i % 15 == 14) {
			int got = eng_sync(t->w.fs);

			judge_answer(t, "eng_sync", got, true);
			if (!got)
				note(t, true);
		}
	}
}

/* The filesystem as it is, and without further failures. */
static void afterwards(struct trial *t)
{
	struct shadow *got[WORLD_DIRS];
	struct world_state st;
	int err = eng_sync(t->w.fs);

	judge_answer(t, "eng_sync at the end", err, true);
	if (err && t->unsure && !t->read_only) {
		err = eng_sync(t->w.fs);
		judge_answer(t, "eng_sync again", err, true);
	}
	if (!err)
		note(t, true);
	err = world_look(t->w.fs, got, &st);
	if (t->read_only) {
		world_free(got);
		return;
	}
	if (err)
		wrong(t, "reading it afterwards: %s", strerrorname_np(-err));
	else if (!world_same(&st, &t->at[t->nr - 1]))
		wrong(t, "something else is read than was done");
	if (t->wrong[0] && !err)
		world_tell(&t->w, got);
	world_free(got);
	err = lab_verify(t->w.fs);
	if (err)
		wrong(t, "verifying afterwards: %s", strerrorname_np(-err));
}

/* ---- a fresh opening ---- */

static void reopen(struct trial *t, bool writable)
{
	const char *how = writable ? "writable" : "read-only";
	struct shadow *got[WORLD_DIRS];
	struct world w = { 0 };
	struct world_state st;
	int err = world_open(&w, simdisk_blk(t->disk, 0), writable, CACHE);

	if (err) {
		wrong(t, "opening it again %s: %s: %s", how, strerrorname_np(-err), w.said);
		return;
	}
	err = lab_verify(w.fs);
	if (err)
		wrong(t, "verifying it again %s: %s: %s", how, strerrorname_np(-err), w.said);
	err = world_look(w.fs, got, &st);
	if (err) {
		wrong(t, "reading it again %s: %s: %s", how, strerrorname_np(-err), w.said);
	} else {
		unsigned i = t->read_only ? t->low : t->nr - 1;

		while (i < t->nr && !world_same(&st, &t->at[i]))
			i++;
		if (i == t->nr)
			wrong(t, "opened again %s, it holds something else (read-only before: %s)",
			      how, t->read_only ? "yes" : "no");
	}
	world_free(got);
	world_close(&w);
}

static void outside(struct trial *t)
{
	char path[] = "/tmp/ubtrfs-fault.XXXXXX", text[1000];
	int fd = mkstemp(path);

	if (fd < 0 || close(fd) || simdisk_export(t->disk, 0, path)) {
		perror(path);
		abort();
	}
	if (!judge_check(path, text, sizeof(text)))
		wrong(t, "btrfs check: %s", text);
	unlink(path);
}

/* ---- cases ---- */

static void run(struct trial *t, const struct kind *kind, uint64_t nth, bool check)
{
	int err;

	memset(t, 0, sizeof(*t));
	t->kind = kind;
	t->nth = nth;
	t->disk = simdisk_fork(base);
	alarm(CASE_SECONDS);
	arm(t);
	err = world_open(&t->w, simdisk_blk(t->disk, 0), true, CACHE);
	disarm(t);
	if (err && (!t->fired || err != -kind->err)) {
		wrong(t, "opening: %s: %s", strerrorname_np(-err), t->w.said);
	} else if (err) {
		t->refused = true;
		/* What is there now is what was there. */
		err = world_open(&t->w, simdisk_blk(t->disk, 0), true, CACHE);
		if (err)
			wrong(t, "opening for the second time: %s: %s", strerrorname_np(-err),
			      t->w.said);
	}
	if (!err && !t->wrong[0])
		err = world_load(&t->w, arg.seed);
	if (err)
		wrong(t, "loading: %s", strerrorname_np(-err));
	if (!t->wrong[0]) {
		note(t, true);
		arm(t);
		work(t);
		disarm(t);
		afterwards(t);
		arm(t);
	}
	world_close(&t->w);
	disarm(t);
	if (!t->wrong[0]) {
		reopen(t, false);
		if (check && !t->wrong[0])
			outside(t);
		reopen(t, true);
	}
	simdisk_destroy(t->disk);
	alarm(0);
}

struct tally {
	uint64_t cases, refused, read_only, checked, wrong;
};

static void run_case(const struct kind *kind, uint64_t nth, struct tally *t)
{
	static struct trial trial, again;
	int64_t before = memwatch_live(), after;
	bool check = arg.check_every && t->cases % arg.check_every == 0;

	run(&trial, kind, nth, check);
	after = memwatch_live();
	if (after != before) {
		/* A buffer may have grown for good, once; a leak comes again. */
		run(&again, kind, nth, false);
		if (memwatch_live() != after)
			wrong(&trial, "memory leaked: %lld bytes",
			      (long long)(memwatch_live() - after));
	}
	t->cases++;
	t->refused += trial.refused;
	t->read_only += trial.read_only;
	t->checked += check;
	if (!trial.wrong[0])
		return;
	if (++t->wrong <= MAX_TOLD)
		printf("%s %llu fails, seed %llu: %s; the engine said: %s\n", kind->name,
		       (unsigned long long)nth, (unsigned long long)arg.seed, trial.wrong,
		       trial.w.said);
	fflush(stdout);
}

/* Passages of this kind when nothing fails. */
static uint64_t count(const struct kind *kind)
{
	static struct trial t;

	run(&t, kind, 0, true);
	if (t.wrong[0] || t.refused) {
		printf("without a fault: %s; the engine said: %s\n", t.wrong, t.w.said);
		exit(2);
	}
	return t.before;
}

static uint64_t sweep(const struct kind *kind)
{
	uint64_t total = count(kind), step_by = arg.sample && total > 4 * STEP ? STEP : 1;
	struct tally t = { 0 };

	for (uint64_t n = 1 + (step_by > 1 ? arg.seed % STEP : 0); n <= total && t.wrong < MAX_TOLD;
	     n += step_by)
		run_case(kind, n, &t);
	printf("%llu cases over %llu of %s: %llu with a refusal, %llu turned read-only, %llu judged by btrfs "
	       "check, %llu wrong\n",
	       (unsigned long long)t.cases, (unsigned long long)total, kind->name,
	       (unsigned long long)t.refused, (unsigned long long)t.read_only,
	       (unsigned long long)t.checked, (unsigned long long)t.wrong);
	fflush(stdout);
	return t.wrong;
}

static uint64_t sweep_all(void)
{
	uint64_t bad = 0;

	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		struct tally t = { 0 };

		if (arg.only_kind && strcmp(arg.only_kind, kinds[k].name))
			continue;
		if (arg.only) {
			run_case(&kinds[k], arg.only, &t);
			bad += t.wrong;
		} else {
			bad += sweep(&kinds[k]);
		}
	}
	return bad;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "sample", 0, NULL, 'n' }, { "plant", 0, NULL, 'p' },
		{ "seed", 1, NULL, 's' },   { "kind", 1, NULL, 'k' },
		{ "nth", 1, NULL, 'N' },    { "check-every", 1, NULL, 'c' },
		{ NULL, 0, NULL, 0 }
	};
	uint64_t bad;
	int o;

	while ((o = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (o == 'n')
			arg.sample = true;
		else if (o == 'p')
			arg.plant = true;
		else if (o == 's')
			arg.seed = strtoull(optarg, NULL, 0);
		else if (o == 'k')
			arg.only_kind = optarg;
		else if (o == 'N')
			arg.only = strtoull(optarg, NULL, 0);
		else if (o == 'c')
			arg.check_every = (unsigned)strtoul(optarg, NULL, 0);
		else
			return 2;
	}
	if (optind != argc - 1) {
		fprintf(stderr,
			"usage: fault-change [--sample] [--plant] [--seed N] [--kind NAME] [--nth N] "
			"[--check-every N] IMAGE\n");
		return 2;
	}
	base = world_disk(argv[optind]);
	if (!memwatch_start())
		printf("without AddressSanitizer: leaks are not seen\n");
	lab_set_opts(&(struct lab_opts){ .no_threads = true, .assert_overruns = true });
	bad = sweep_all();
	simdisk_destroy(base);
	if (arg.plant) {
		/* The sweep must fail; and the sanitizer need not say at exit what leaked. */
		fflush(NULL);
		_exit(!bad);
	}
	return bad != 0;
}
