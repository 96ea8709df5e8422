// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Random scripts of one thread on the engine, over a simulated disk with the order checker around it: each answer is the
 * model's, to the errno; at the end, and after a new opening in the middle, all is there as the model has it, the
 * engine finds its trees whole, and so does btrfs check. A script that fails is shrunk and printed.
 *
 *   prop [-n SCRIPTS] [-o OPS] [-s SEED] [-m MIX] [-v SUBVOL] [-t TRIES] [-p] IMAGE
 *   prop -r FILE IMAGE        runs a script from a file, once
 *
 * IMAGE stays as it is; the scripts work in a directory that they make, in the subvolume named. Each script has options of the engine that follow from its seed.
 * -p: a fault is planted; one of the scripts must fail. Exit code 0: well; 1: not; 2: could not.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/lab.h"
#include "ondisk/format.h"
#include "tests/lib/backend_engine.h"
#include "tests/lib/judge.h"
#include "tests/lib/opgen.h"
#include "tests/lib/ordercheck.h"
#include "tests/lib/simdisk.h"

#define INLINE_MAX 2048
#define TOP "top"

struct prop {
	struct simdisk *base;
	struct model_limits limits;
	const char *subvol;       /* its path from the top level */
	uint64_t seed;            /* of this script */
	char said[300];           /* the first error that the engine reported */
	char why[1600];
	char image[64];           /* for btrfs check */
};

static __attribute__((format(printf, 2, 3))) bool wrong(struct prop *p, const char *form, ...)
{
	va_list args;

	va_start(args, form);
	vsnprintf(p->why, sizeof(p->why), form, args);
	va_end(args);
	return false;
}

static void hear(void *arg, enum eng_msg_level level, const char *text)
{
	struct prop *p = arg;

	if (level <= ENG_MSG_WARN && !p->said[0])
		snprintf(p->said, sizeof(p->said), "%s", text);
}

/* ---- the filesystem ---- */

/* Half of the scripts run as most people would; the others elsewhere. */
static void choose_options(struct prop *p, struct eng_open_opts *opts)
{
	static const uint32_t cache_blocks[] = { 0, 0, 200, 500 };
	uint64_t rng = sim_seed(p->seed, 3);
	struct lab_opts lab = { .assert_overruns = true };

	*opts = (struct eng_open_opts){
		.writable = true,
		.threads = 1,
		.no_uring = true,
		.commit_sec = 1 + (unsigned)sim_below(&rng, 30),
		.metadata_cache = (uint64_t)cache_blocks[sim_below(&rng, 4)] * p->limits.nodesize,
		.message = hear,
		.message_arg = p,
	};
	if (sim_below(&rng, 2)) {
		lab.policy = (enum lab_policy)sim_below(&rng, 3);
		lab.search_linux = sim_below(&rng, 2);
		lab.no_threads = sim_below(&rng, 2);
	}
	lab_set_opts(&lab);
}

static bool open_fs(struct prop *p, const struct blk *disk, struct eng_fs **out_fs,
		    struct backend **out_b)
{
	const struct eng_new what = { .mode = S_IFDIR | 0755 };
	struct lab_disk lab = blk_lab(disk);
	struct eng_open_opts opts;
	struct eng_ino top;
	uint64_t subvol;
	struct eng_attr a;
	int err;

	choose_options(p, &opts);
	err = lab_open_disks(&lab, 1, &opts, out_fs);
	if (err)
		return wrong(p, "does not open: %s, %s", strerrorname_np(-err), p->said);
	err = eng_subvol_by_path(*out_fs, p->subvol, &subvol);
	if (!err)
		err = eng_subvol_root(*out_fs, subvol, &top);
	if (!err)
		err = eng_create(*out_fs, top, TOP, strlen(TOP), &what, &a);
	if (err == -EEXIST)
		err = eng_lookup(*out_fs, top, TOP, strlen(TOP), &a);
	if (err) {
		eng_close(*out_fs);
		return wrong(p, "the script's directory: %s, %s", strerrorname_np(-err), p->said);
	}
	*out_b = backend_engine(*out_fs, a.id, NULL);
	return true;
}

/* Operations [from, to) of the script in one opening, then everything compared. */
static bool run_part(struct prop *p, struct model *m, const struct blk *disk, const struct script *s, size_t from,
		     size_t to)
{
	const struct script part = { .v = s->v + from, .nr = to - from };
	struct backend *b;
	struct eng_fs *fs;
	size_t done;
	bool good;
	int err;

	if (!open_fs(p, disk, &fs, &b))
		return false;
	done = model_run(m, b, &part);
	good = done == part.nr && model_verify(m, b);
	if (!good)
		wrong(p, "after %zu operations: %s; %s", from + done, m->why, p->said);
	b->destroy(b);
	model_drop_slots(m);
	err = good ? lab_verify(fs) : 0;
	if (err)
		good = wrong(p, "the trees are not whole: %s, %s", strerrorname_np(-err), p->said);
	eng_close(fs);
	if (good && p->said[0])
		good = wrong(p, "the engine said: %s", p->said);
	return good;
}

/* Nothing is changed any more: all is on the disk. */
static bool look_again(struct prop *p, struct model *m, struct simdisk *d, const struct script *s)
{
	char text[1200];
	struct backend *b;
	struct eng_fs *fs;
	bool good;

	if (!open_fs(p, simdisk_blk(d, 0), &fs, &b))
		return false;
	good = model_verify(m, b);
	b->destroy(b);
	eng_close(fs);
	if (!good)
		return wrong(p, "after a new opening: %s; %s", m->why, p->said);
	if (simdisk_export(d, 0, p->image))
		abort();
	return judge_check(p->image, text, sizeof(text)) || wrong(p, "btrfs check: %s", text);
}

/* True: something is wrong, p->why. */
static bool fails(void *arg, const struct script *s)
{
	struct prop *p = arg;
	struct simdisk *d = simdisk_fork(p->base);
	struct ordercheck *oc = ordercheck_create(1, simdisk_blk(d, 0));
	struct model *m = model_create(&p->limits);
	const struct blk *disk = ordercheck_blk(oc, 0);
	bool good = true;

	p->said[0] = '\0';
	for (size_t from = 0, to; good && from < s->nr; from = to) {
		for (to = from + 1; to < s->nr && s->v[to].kind != OP_REOPEN; to++)
			;
		good = run_part(p, m, disk, s, from, to);
	}
	if (good && ordercheck_violations(oc))
		good = wrong(p, "order of writes: %s", ordercheck_text(oc));
	ordercheck_destroy(oc);
	good = good && look_again(p, m, d, s);
	model_destroy(m);
	simdisk_destroy(d);
	return !good;
}

/* ---- scripts ---- */

static void make_script(const struct prop *p, const char *mix, size_t ops, struct script *out_s)
{
	struct model *m = model_create(&p->limits);
	struct backend *b = backend_model(m);
	struct opgen g = {
		.m = m,
		.mix = opgen_mix(mix),
		.rng = sim_seed(p->seed, 1),
		.names_max = 40 + 40 * (uint32_t)(p->seed % 5),
		.names_each = 8,
		.beyond_inline = true,
		.dir_props = true,
	};
	struct res res = { 0 };

	*out_s = (struct script){ 0 };
	while (out_s->nr < ops) {
		struct op op = opgen_next(&g);

		if (out_s->nr == ops / 2) {
			op_free(&op);
			op.kind = OP_REOPEN;
		}
		res_reset(&res);
		b->apply(b, &op, &res);
		script_add(out_s, &op);
	}
	res_free(&res);
	b->destroy(b);
	model_destroy(m);
}

static struct simdisk *load(const char *path, uint32_t *out_nodesize)
{
	struct btrfs_super_block super;
	struct simdisk *d;
	struct stat st;
	uint64_t bytes;

	if (stat(path, &st)) {
		perror(path);
		exit(2);
	}
	bytes = (uint64_t)st.st_size;
	d = simdisk_create(1, &bytes);
	if (simdisk_load(d, 0, path) ||
	    blk_read(simdisk_blk(d, 0), BTRFS_SUPER_INFO_OFFSET, &super, sizeof(super))) {
		fprintf(stderr, "%s cannot be read\n", path);
		exit(2);
	}
	*out_nodesize = le32_get(super.nodesize);
	return d;
}

/* 0 or the exit code. */
static int replay(struct prop *p, const char *path)
{
	FILE *in = fopen(path, "re");
	struct script s;
	unsigned line;
	bool bad;

	if (!in) {
		perror(path);
		return 2;
	}
	line = script_parse(in, &s);
	fclose(in);
	if (line) {
		fprintf(stderr, "%s:%u: not understood\n", path, line);
		return 2;
	}
	bad = fails(p, &s);
	printf("%zu operations: %s\n", s.nr, bad ? p->why : "well");
	script_free(&s);
	return bad;
}

static void tell(struct prop *p, struct script *s, unsigned tries)
{
	printf("seed %llu: %s\n", (unsigned long long)p->seed, p->why);
	script_shrink(s, fails, p, tries);
	/* With fewer operations it may be another part of them that fails. */
	printf("shrunk to %zu operations, %s\n", s->nr, fails(p, s) ? p->why : "which do not always fail");
	script_print(stdout, s);
}

int main(int argc, char **argv)
{
	static const char *const mixes[] = { "default", "names", "attributes", "renames", "slots" };
	struct prop p = { .seed = 1, .subvol = "" };
	unsigned scripts = 10, tries = 400, failed = 0;
	const char *mix = NULL, *file = NULL;
	size_t ops = 300;
	bool plant = false;
	int c, ret;

	while ((c = getopt(argc, argv, "n:o:s:m:t:r:v:p")) != -1) {
		switch (c) {
		case 'n':
			scripts = (unsigned)atoi(optarg);
			break;
		case 'o':
			ops = (size_t)atol(optarg);
			break;
		case 's':
			p.seed = strtoull(optarg, NULL, 0);
			break;
		case 'm':
			mix = optarg;
			break;
		case 't':
			tries = (unsigned)atoi(optarg);
			break;
		case 'r':
			file = optarg;
			break;
		case 'v':
			p.subvol = optarg;
			break;
		case 'p':
			plant = true;
			break;
		default:
			return 2;
		}
	}
	if (optind + 1 != argc || (mix && !opgen_mix(mix)))
		return 2;
	p.base = load(argv[optind], &p.limits.nodesize);
	p.limits.inline_max = INLINE_MAX;
	p.limits.exact_clock = true;
	snprintf(p.image, sizeof(p.image), "prop-%d.img", (int)getpid());
	ret = file ? replay(&p, file) : 0;
	for (unsigned i = 0; i < scripts && !file && !failed; i++, p.seed++) {
		struct script s;

		make_script(&p, mix ? mix : mixes[i % 5], ops, &s);
		if (fails(&p, &s)) {
			failed++;
			tell(&p, &s, tries);
		}
		script_free(&s);
	}
	unlink(p.image);
	simdisk_destroy(p.base);
	if (file)
		return ret;
	printf("%u scripts of %zu operations, %s\n", scripts, ops, failed ? "one failed" : "all well");
	return plant ? !failed : failed != 0;
}
