// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * One crash state: opened, verified, and compared with what may be found at that moment.
 *
 * What may be found: the last state that was synced before the crash; or one that a commit since
 * then had, up to the one under way. A commit is seen by the generation of the superblock on the
 * disk, so without threads only the moments around those count; with threads any moment since the
 * last sync, as a commit may fall between two steps.
 */
#include "tests/crash/crash_priv.h"
#include "tests/lib/diskwalk.h"
#include "tests/lib/judge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct judging {
	const struct round *r;
	struct simdisk *crash;
	unsigned low, now; /* the last synced moment, and the one under way */
	char what[1200];   /* wrong; "" if nothing */
};

__attribute__((format(printf, 2, 3))) static void wrong(struct judging *j, const char *fmt, ...)
{
	va_list ap;

	if (j->what[0])
		return;
	va_start(ap, fmt);
	vsnprintf(j->what, sizeof(j->what), fmt, ap);
	va_end(ap);
}

/* Which moments a crash after write `time` lies between. */
static void bounds(struct judging *j, uint64_t time)
{
	const struct round *r = j->r;

	j->low = 0;
	/* The write was one of the first step that ended at or after it. */
	for (j->now = 0; j->now < r->nr_moments - 1; j->now++)
		if (r->moments[j->now].end >= time)
			break;
	for (unsigned i = 0; i <= j->now; i++)
		if (r->moments[i].synced && r->moments[i].end < time)
			j->low = i;
}

static bool allowed(const struct judging *j, const struct world_state *st)
{
	const struct moment *m = j->r->moments;

	for (unsigned i = j->low; i <= j->now; i++) {
		bool commit = i == j->low || i == j->now ||
			      m[i].generation != m[i - 1].generation ||
			      m[i].generation != m[i + 1].generation;

		if ((commit || j->r->o->threads) && world_same(st, &m[i].st))
			return true;
	}
	return false;
}

static void compare(struct judging *j, struct eng_fs *fs, const char *how)
{
	struct shadow *got[WORLD_DIRS];
	struct world_state st;
	int err = world_look(fs, got, &st);

	if (err) {
		wrong(j, "%s: reading it failed: %s", how, strerrorname_np(-err));
	} else if (!allowed(j, &st)) {
		const struct moment *m = j->r->moments;
		unsigned other = 0;

		while (other < j->r->nr_moments && !world_same(&st, &m[other].st))
			other++;
		if (other < j->r->nr_moments)
			wrong(j,
			      "%s: it is as after step %u, and should be as after %u (synced) to %u",
			      how, other, j->low, j->now);
		else
			wrong(j, "%s: it is as after no step (synced %u, under way %u)", how,
			      j->low, j->now);
	}
	world_free(got);
}

/* Goes on working with what was found. */
static void go_on(struct judging *j, struct world *w, uint64_t seed)
{
	int err = world_load(w, seed);

	for (unsigned i = 0; !err && i < 20 && !j->what[0]; i++) {
		world_step(w);
		if (!wander_right(w->last))
			wrong(j, "going on: %s: %s", w->last->text, strerrorname_np(-w->last->got));
	}
	if (!err)
		err = eng_sync(w->fs);
	if (!err)
		err = lab_verify(w->fs);
	if (err)
		wrong(j, "going on: %s", strerrorname_np(-err));
}

/* Found with the commit that was under way, or one since the last sync. */
static bool has_new_commit(const struct judging *j, struct eng_fs *fs)
{
	struct eng_fs_info info;

	eng_fs_info(fs, &info);
	return info.generation > j->r->moments[j->low].generation;
}

static void look(struct judging *j, bool writable, uint64_t seed, struct judged *all)
{
	const char *how = writable ? "writable" : "read-only";
	struct world w = { 0 };
	int err;

	err = world_open(&w, simdisk_blk(j->crash, 0), writable, j->r->cache);
	if (err) {
		wrong(j, "%s: opening failed: %s", how, strerrorname_np(-err));
	} else {
		err = lab_verify(w.fs);
		if (err)
			wrong(j, "%s: verifying it failed: %s", how, strerrorname_np(-err));
		compare(j, w.fs, how);
		if (!writable && !j->what[0])
			all->new_commits += has_new_commit(j, w.fs);
		if (writable && seed % 4 == 0 && !j->what[0])
			go_on(j, &w, seed);
	}
	if (w.errors)
		wrong(j, "%s: said: %s", how, w.said);
	else if (j->what[0] && w.said[0])
		printf("  the engine said: %s\n", w.said);
	world_close(&w);
}

static void outside(struct judging *j, const char *when)
{
	char path[] = "/tmp/ubtrfs-crash.XXXXXX", text[1000];
	int fd = mkstemp(path);

	if (fd < 0 || close(fd) || simdisk_export(j->crash, 0, path)) {
		perror(path);
		abort();
	}
	if (!judge_check(path, text, sizeof(text)))
		wrong(j, "btrfs check (%s): %s", when, text);
	unlink(path);
}

/* Torn superblocks: is there a whole one left that anybody could start from? */
static bool any_super(struct simdisk *d)
{
	struct diskwalk *w = diskwalk_create(1, simdisk_blk(d, 0));
	struct btrfs_super_block sb;
	int err = diskwalk_super(w, &sb);

	diskwalk_destroy(w);
	return !err;
}

/* As it was found: what was looked at since has been written to. */
static void export(const struct round *r, struct simdisk *at, uint64_t seed)
{
	struct simdisk *again;

	if (!r->o->export_to)
		return;
	again = simdisk_crash(at, seed, r->o->torn ? SIMDISK_TORN_SUPERS : 0);
	if (simdisk_export(again, 0, r->o->export_to))
		perror(r->o->export_to);
	simdisk_destroy(again);
}

void state_judge(const struct round *r, struct simdisk *at, uint64_t seed, bool check,
		 struct judged *all)
{
	struct judging j = { .r = r };

	j.crash = simdisk_crash(at, seed, r->o->torn ? SIMDISK_TORN_SUPERS : 0);
	bounds(&j, simdisk_now(j.crash));
	all->states++;
	if (r->o->torn && !any_super(j.crash)) {
		all->torn_out++;
		simdisk_destroy(j.crash);
		return;
	}
	if (check)
		outside(&j, "as found");
	look(&j, false, seed, all);
	if (!j.what[0]) {
		look(&j, true, seed, all);
		all->written++;
	}
	if (check && !j.what[0])
		outside(&j, "after our opening");
	all->checked += check;
	if (j.what[0]) {
		all->wrong++;
		printf("round %u, %s: %s\n", r->nr, simdisk_id(j.crash), j.what);
		export(r, at, seed);
	}
	simdisk_destroy(j.crash);
}
