// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Random work by many threads, held against models, on one image by turns through the kernel's
 * mount of it and through our engine. It is told what to do by lines on stdin and answers each with a
 * line, "ok ..." or "FAILED ..."; the models live as long as it does, so that what one side did is
 * judged through the other.
 *
 * - limits NODESIZE: of the filesystem; before the first set
 * - set NAME PATH THREADS: models of the empty directories PATH/t0, PATH/t1..., and PATH/s, which all
 *   share; made when they are first worked in
 * - snapshot NAME NEW PATH: as it is now the set is also at PATH, in a snapshot
 * - drop NAME
 * - posix MOUNT OPS SEED NAME...: OPS random operations, by all threads of these sets at once
 * - engine IMAGE OPS SEED NAME...
 * - options [cache=BYTES] [commit=SECONDS] [policy=N] [linux=0|1]: of our engine's next openings
 * - verify-posix MOUNT NAME...: is everything there as the models have it?
 * - verify-engine IMAGE NAME...
 * - script-posix DIR OPS SEED MIX: one thread, no set; a script that fails is shrunk and printed
 */
#include <errno.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "engine/lab.h"
#include "tests/lib/backend_engine.h"
#include "tests/lib/backend_posix.h"
#include "tests/lib/blk.h"
#include "tests/lib/opgen.h"
#include "tests/lib/simdisk.h"

#define SETS 32
#define THREADS 16
#define WORDS 24
#define INLINE_MAX 2048
#define RECENT 6

struct set {
	char *name, *path;
	unsigned threads;
	struct model *models[THREADS];
};

struct worker {
	struct set *set;
	unsigned nr;
	struct backend *backend;
	struct opgen gen;
	uint64_t ops;
	bool verify;
	char *failed; /* what was wrong */
	pthread_t thread;
};

static struct set sets[SETS];
static struct model_limits limits = { .nodesize = 16384 };
static struct eng_open_opts open_opts = { .writable = true, .workers = -1, .commit_sec = 1 };
static atomic_bool stop;

static __attribute__((format(printf, 1, 2))) bool failed(const char *form, ...)
{
	va_list args;

	va_start(args, form);
	printf("FAILED ");
	vprintf(form, args);
	printf("\n");
	va_end(args);
	return false;
}

static bool ok(void)
{
	printf("ok\n");
	return true;
}

static struct set *find_set(const char *name)
{
	for (unsigned i = 0; i < SETS; i++)
		if (sets[i].name && !strcmp(sets[i].name, name))
			return &sets[i];
	return NULL;
}

static struct set *new_set(const char *name, const char *path, unsigned threads)
{
	for (unsigned i = 0; i < SETS; i++) {
		if (sets[i].name)
			continue;
		sets[i] = (struct set){
			blk_must(strdup(name)), blk_must(strdup(path)), threads, { NULL }
		};
		return &sets[i];
	}
	abort();
}

/* ---- where the work is done ---- */

/* Opens a backend for a thread of a set; the directories are made if they are missing. */
static struct backend *open_posix(const char *mount, const struct set *s, unsigned nr)
{
	char dir[4096], shared[4096];

	snprintf(shared, sizeof(shared), "%s/%s", mount, s->path);
	mkdir(shared, 0755);
	snprintf(dir, sizeof(dir), "%s/%s/t%u", mount, s->path, nr);
	mkdir(dir, 0755);
	snprintf(shared, sizeof(shared), "%s/%s/s", mount, s->path);
	mkdir(shared, 0755);
	return backend_posix(dir, shared);
}

/* A directory, made if it is missing. */
static int engine_dir(struct eng_fs *fs, struct eng_ino dir, const char *name, struct eng_ino *out_id)
{
	const struct eng_new what = { .mode = S_IFDIR | 0755 };
	struct eng_attr a;
	int err = eng_create(fs, dir, name, strlen(name), &what, &a);

	if (err == -EEXIST)
		err = eng_lookup(fs, dir, name, strlen(name), &a);
	*out_id = a.id;
	return err;
}

/* The set's directory; its last component is made if it is missing. */
static int engine_set_dir(struct eng_fs *fs, const char *path, struct eng_ino *out_id)
{
	const char *slash = strrchr(path, '/');
	char parent[4096];
	struct eng_ino top;
	struct eng_attr a;
	int err = eng_subvol_root(fs, 5, &top);

	snprintf(parent, sizeof(parent), "%.*s", slash ? (int)(slash - path) : 0, path);
	if (!err)
		err = eng_path_lookup(fs, top, parent, &a);
	return err ? err : engine_dir(fs, a.id, slash ? slash + 1 : path, out_id);
}

static struct backend *open_engine(struct eng_fs *fs, const struct set *s, unsigned nr)
{
	struct eng_ino id, dir, shared;
	char name[16];
	int err = engine_set_dir(fs, s->path, &id);

	sprintf(name, "t%u", nr);
	if (!err)
		err = engine_dir(fs, id, name, &dir);
	if (!err)
		err = engine_dir(fs, id, "s", &shared);
	errno = -err;
	return err ? NULL : backend_engine(fs, dir, &shared);
}

static void hear(void *arg, enum eng_msg_level level, const char *text)
{
	if (level <= ENG_MSG_WARN)
		fprintf(stderr, "engine: %s\n", text);
}

/* ---- working ---- */

static void keep(struct op *recent, uint64_t at, const struct op *op)
{
	op_free(&recent[at % RECENT]);
	recent[at % RECENT] = *op;
}

static char *describe(struct worker *w, struct op *recent, uint64_t at)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	fprintf(out, "set %s thread %u operation %llu: %s; after:\n", w->set->name, w->nr,
		(unsigned long long)at, w->gen.m->why);
	for (uint64_t i = at + 1 < RECENT ? 0 : at + 1 - RECENT; i <= at && w->ops; i++)
		op_print(out, &recent[i % RECENT]);
	fclose(out);
	return text;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct model *m = w->set->models[w->nr];
	struct op recent[RECENT] = { 0 };
	struct res res = { 0 };

	for (uint64_t i = 0; i < w->ops && !stop && !w->failed; i++) {
		struct op op = opgen_next(&w->gen);

		keep(recent, i, &op);
		if (!model_apply(m, w->backend, &op, &res))
			w->failed = describe(w, recent, i);
	}
	if (!w->failed && !stop && w->verify && !model_verify(m, w->backend)) {
		w->ops = 0;
		w->failed = describe(w, recent, 0);
	}
	if (w->failed)
		stop = true;
	for (unsigned i = 0; i < RECENT; i++)
		op_free(&recent[i]);
	res_free(&res);
	return NULL;
}

/* The directory that all share holds what each thread knows of, and nothing else. */
static bool check_shared(const struct set *s, struct backend *b)
{
	struct op op = { .kind = OP_READDIR, .path = (char *)"$" };
	struct res got = { 0 }, want = { 0 };
	uint64_t size = 0;
	char line[300];
	bool same;

	b->apply(b, &op, &got);
	res_sort(&got);
	for (unsigned t = 0; t < s->threads; t++) {
		const struct model_inode *dir = s->models[t]->shared;

		size += dir->size;
		for (uint32_t k = 0; k < dir->names_nr; k++)
			res_put(&want, line,
				(size_t)snprintf(line, sizeof(line), "%u %s",
						 dir->names[k].inode->mode >> 12,
						 dir->names[k].name) +
					1);
	}
	res_sort(&want);
	same = !got.err && got.len == want.len &&
	       (!got.len || !memcmp(got.data, want.data, got.len));
	if (!same)
		failed("set %s: the shared directory: error %d, %zu bytes of names, expected %zu",
		       s->name, got.err, got.len, want.len);
	op.kind = OP_STAT;
	res_reset(&got);
	b->apply(b, &op, &got);
	if (same && got.attr.size != size)
		same = failed("set %s: the shared directory: size %llu, expected %llu", s->name,
			      (unsigned long long)got.attr.size, (unsigned long long)size);
	res_free(&got);
	res_free(&want);
	return same;
}

static const char *const mix_names[] = { "default", "default", "names",	     "default",
					 "renames", "default", "attributes", "slots" };

static void prepare(struct worker *w, struct set *s, unsigned nr, uint64_t ops, uint64_t seed,
		    uint32_t inline_max)
{
	struct model *m = s->models[nr];

	m->limits.inline_max = inline_max;
	m->limits.exact_clock = inline_max;
	*w = (struct worker){
		.set = s,
		.nr = nr,
		.ops = ops,
		.verify = true,
		.gen = {
			.m = m,
			.mix = opgen_mix(mix_names[(seed + nr) % 8]),
			.rng = sim_seed(seed, nr + 100ull * (unsigned)(s - sets)),
			.names_max = 150 + 150 * (nr % 4),
			.names_each = 8 + 8 * (nr % 3),
			.thread = nr,
			.threads = s->threads,
			.beyond_inline = inline_max,
		},
	};
}

/* All threads of the sets named; `fs`: the opened filesystem, or NULL for the mount `where`. */
static bool run(const char *where, struct eng_fs *fs, uint64_t ops, uint64_t seed, char **names,
		unsigned nr)
{
	struct worker w[SETS * THREADS];
	unsigned workers = 0, all = 0;
	struct timespec from, to;
	bool good = true;

	for (unsigned i = 0; i < nr; i++)
		all += find_set(names[i]) ? find_set(names[i])->threads : 0;
	for (unsigned i = 0; i < nr; i++) {
		struct set *s = find_set(names[i]);

		for (unsigned t = 0; s && t < s->threads; t++) {
			prepare(&w[workers], s, t, ops / all, seed, fs ? INLINE_MAX : 0);
			w[workers].backend = fs ? open_engine(fs, s, t) : open_posix(where, s, t);
			if (!w[workers++].backend)
				return failed("%s/%s/t%u: %s", where, s->path, t, strerror(errno));
		}
		if (!s)
			return failed("no set %s", names[i]);
	}
	stop = false;
	clock_gettime(CLOCK_MONOTONIC, &from);
	for (unsigned i = 0; i < workers; i++)
		if (pthread_create(&w[i].thread, NULL, work, &w[i]))
			abort();
	for (unsigned i = 0; i < workers; i++)
		pthread_join(w[i].thread, NULL);
	clock_gettime(CLOCK_MONOTONIC, &to);
	for (unsigned i = 0; i < workers; i++) {
		if (w[i].failed && good)
			good = failed("%s", w[i].failed);
		if (good && w[i].nr == 0)
			good = check_shared(w[i].set, w[i].backend);
	}
	for (unsigned i = 0; i < workers; i++) {
		w[i].backend->destroy(w[i].backend);
		model_drop_slots(w[i].set->models[w[i].nr]);
		free(w[i].failed);
	}
	if (good)
		printf("ok %u threads, %.1f s\n", workers,
		       (double)(to.tv_sec - from.tv_sec) +
			       (double)(to.tv_nsec - from.tv_nsec) / 1e9);
	return good;
}

static bool run_engine(const char *image, uint64_t ops, uint64_t seed, char **names, unsigned nr)
{
	struct eng_open_opts opts = open_opts;
	struct eng_fs *fs;
	bool good;
	int err;

	opts.devices = &image;
	opts.nr_devices = 1;
	opts.message = hear;
	opts.threads = 2;
	for (unsigned i = 0; i < nr; i++)
		opts.threads += find_set(names[i]) ? find_set(names[i])->threads : 0;
	err = eng_open(&opts, &fs);
	if (err)
		return failed("%s: does not open: %s", image, strerrorname_np(-err));
	good = run(NULL, fs, ops, seed, names, nr);
	eng_close(fs);
	return good;
}

static bool do_options(char **words, unsigned nr)
{
	struct lab_opts lab = { 0 };

	for (unsigned i = 1; i < nr; i++) {
		const char *eq = strchr(words[i], '=');
		const unsigned long long value = eq ? strtoull(eq + 1, NULL, 0) : 0;

		if (!strncmp(words[i], "cache=", 6))
			open_opts.metadata_cache = value;
		else if (!strncmp(words[i], "commit=", 7))
			open_opts.commit_sec = (unsigned)value;
		else if (!strncmp(words[i], "policy=", 7))
			lab.policy = (enum lab_policy)value;
		else if (!strncmp(words[i], "linux=", 6))
			lab.search_linux = value;
		else
			return failed("no option %s", words[i]);
	}
	lab_set_opts(&lab);
	return ok();
}

/* ---- one thread ---- */

struct single {
	const char *dir;
	unsigned number;
	char why[600];
};

static bool script_fails(void *arg, const struct script *s)
{
	struct single *k = arg;
	struct model *m = model_create(&limits);
	struct backend *b;
	char dir[4096];
	size_t done;
	bool good;

	snprintf(dir, sizeof(dir), "%s/run%u", k->dir, k->number++);
	mkdir(dir, 0755);
	b = backend_posix(dir, NULL);
	if (!b)
		abort();
	done = model_run(m, b, s);
	good = done == s->nr && model_verify(m, b);
	snprintf(k->why, sizeof(k->why), "after %zu operations: %s", done, m->why);
	b->destroy(b);
	model_destroy(m);
	return !good;
}

static bool script_posix(const char *dir, uint64_t ops, uint64_t seed, const char *mix)
{
	struct single k = { .dir = dir };
	struct model *m = model_create(&limits);
	struct backend *b = backend_model(m);
	struct opgen g = {
		.m = m,
		.mix = opgen_mix(mix),
		.rng = sim_seed(seed, 7),
		.names_max = 200,
		.names_each = 10,
		.dir_props = true,
	};
	struct script s = { 0 };
	struct res res = { 0 };
	bool bad;

	while (g.mix && s.nr < ops) {
		struct op op = opgen_next(&g);

		res_reset(&res);
		b->apply(b, &op, &res);
		script_add(&s, &op);
	}
	bad = !g.mix || script_fails(&k, &s);
	if (bad && g.mix) {
		fprintf(stderr, "seed %llu, %s: %s\n", (unsigned long long)seed, mix, k.why);
		script_shrink(&s, script_fails, &k, 300);
		script_fails(&k, &s);
		fprintf(stderr, "%s\n", k.why);
		script_print(stderr, &s);
	}
	script_free(&s);
	res_free(&res);
	b->destroy(b);
	model_destroy(m);
	return bad ? failed("seed %llu, %s: %s", (unsigned long long)seed, mix, k.why) : ok();
}

/* ---- what it is told ---- */

static bool do_set(char **w, unsigned nr)
{
	struct set *s;
	unsigned threads = nr == 4 ? (unsigned)atoi(w[3]) : 0;

	if (!threads || threads > THREADS)
		return failed("set NAME PATH THREADS");
	s = new_set(w[1], w[2], threads);
	for (unsigned i = 0; i < threads; i++)
		s->models[i] = model_create(&limits);
	return ok();
}

static bool do_snapshot(char **w, unsigned nr)
{
	struct set *from = nr == 4 ? find_set(w[1]) : NULL, *s;

	if (!from)
		return failed("snapshot NAME NEW PATH");
	s = new_set(w[2], w[3], from->threads);
	for (unsigned i = 0; i < s->threads; i++)
		s->models[i] = model_copy(from->models[i]);
	return ok();
}

static void drop_set(struct set *s)
{
	for (unsigned i = 0; i < s->threads; i++)
		model_destroy(s->models[i]);
	free(s->name);
	free(s->path);
	*s = (struct set){ 0 };
}

static bool command(char **w, unsigned nr)
{
	if (!strcmp(w[0], "limits") && nr == 2) {
		limits.nodesize = (uint32_t)atoi(w[1]);
		return ok();
	}
	if (!strcmp(w[0], "set"))
		return do_set(w, nr);
	if (!strcmp(w[0], "snapshot"))
		return do_snapshot(w, nr);
	if (!strcmp(w[0], "drop") && nr == 2 && find_set(w[1])) {
		drop_set(find_set(w[1]));
		return ok();
	}
	if (!strcmp(w[0], "posix") && nr > 4)
		return run(w[1], NULL, strtoull(w[2], NULL, 0), strtoull(w[3], NULL, 0), w + 4,
			   nr - 4);
	if (!strcmp(w[0], "verify-posix") && nr > 2)
		return run(w[1], NULL, 0, 0, w + 2, nr - 2);
	if (!strcmp(w[0], "engine") && nr > 4)
		return run_engine(w[1], strtoull(w[2], NULL, 0), strtoull(w[3], NULL, 0), w + 4, nr - 4);
	if (!strcmp(w[0], "verify-engine") && nr > 2)
		return run_engine(w[1], 0, 0, w + 2, nr - 2);
	if (!strcmp(w[0], "options"))
		return do_options(w, nr);
	if (!strcmp(w[0], "script-posix") && nr == 5)
		return script_posix(w[1], strtoull(w[2], NULL, 0), strtoull(w[3], NULL, 0), w[4]);
	return failed("not understood: %s", w[0]);
}

int main(void)
{
	char line[4096], *words[WORDS];
	bool good = true;

	umask(0);
	setvbuf(stdout, NULL, _IOLBF, 0);
	while (good && fgets(line, sizeof(line), stdin)) {
		unsigned nr = 0;
		char *save = NULL;

		for (char *s = strtok_r(line, " \n", &save); s && nr < WORDS;
		     s = strtok_r(NULL, " \n", &save))
			words[nr++] = s;
		if (nr)
			good = command(words, nr);
	}
	for (unsigned i = 0; i < SETS; i++)
		if (sets[i].name)
			drop_set(&sets[i]);
	return !good;
}
