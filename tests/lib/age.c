// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ubtrfs-age: ages a mounted btrfs with a seeded random mix of operations, so that an image holds
 * what years of use leave behind. The same seed makes the same operations as long as the same ones
 * succeed. It uses the kernel's calls only and keeps the names it made in memory (age_tree.c); data
 * is never remembered, since two readers of the image are compared with each other.
 *
 * An error that no such run should meet ends the program with the seed and the operation.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
#include "tests/lib/age_priv.h"

static const struct {
	const char *name;
	unsigned bit;
} feature_names[] = {
	{ "subvol", AGE_SUBVOL },   { "nocow", AGE_NOCOW },
	{ "huge", AGE_HUGE },	    { "xattr", AGE_XATTR },
	{ "special", AGE_SPECIAL }, { "storm", AGE_STORM },
	{ "flags", AGE_FLAGS },	    { "props", AGE_PROPS },
	{ "reflink", AGE_REFLINK }, { "default-subvol", AGE_DEFAULT_SUBVOL },
};

/* splitmix64: small, and every seed is a good one. */
static uint64_t next_random(struct age *a)
{
	uint64_t z = a->rng += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

uint64_t age_rnd(struct age *a, uint64_t n)
{
	return n ? next_random(a) % n : 0;
}

static void fill_random(struct age *a, unsigned char *p, size_t len)
{
	for (size_t i = 0; i < len; i += 8) {
		const uint64_t r = next_random(a);

		memcpy(p + i, &r, len - i < 8 ? len - i : 8);
	}
}

static void fill_text(struct age *a, unsigned char *p, size_t len)
{
	static const char *const words[] = { "leaf ",  "node ",	 "extent ", "tree ",
					     "root\n", "chunk ", "stripe ", "mirror ",
					     "of ",    "the ",	 "a " };
	size_t at = 0;

	while (at < len) {
		const char *w = words[age_rnd(a, sizeof(words) / sizeof(*words))];

		for (; *w && at < len; w++)
			p[at++] = *w;
	}
}

void age_fill(struct age *a, size_t len)
{
	switch (age_rnd(a, 6)) {
	case 0:
	case 1:
		fill_random(a, a->buf, len);
		break;
	case 2:
		memset(a->buf, 0, len);
		break;
	case 3:
		memset(a->buf, 'a' + age_rnd(a, 26), len);
		break;
	case 4:
		fill_text(a, a->buf, len);
		break;
	default: /* compressible in parts */
		for (size_t at = 0; at < len; at += 16384) {
			const size_t n = len - at < 16384 ? len - at : 16384;

			if (age_rnd(a, 2))
				fill_random(a, a->buf + at, n);
			else
				fill_text(a, a->buf + at, n);
		}
	}
}

size_t age_size(struct age *a)
{
	static const uint32_t limits[] = { 100,	  2048,	  4096,	  4097,	  16384,  16384,  65536,
					   65536, 131072, 131073, 262144, 524288, 2097152 };
	const uint32_t limit = limits[age_rnd(a, sizeof(limits) / sizeof(*limits))];

	/* The limits themselves are where formats change their mind. */
	return age_rnd(a, 6) ? 1 + age_rnd(a, limit) : limit;
}

bool age_ok(struct age *a, long ret, const char *path, int errno1, int errno2)
{
	if (ret >= 0)
		return true;
	if (errno != ENOSPC && errno != EDQUOT && errno != errno1 && errno != errno2) {
		fprintf(stderr, "ubtrfs-age: seed %llu, operation %lu (%s), %s: %s\n",
			(unsigned long long)a->seed, a->op, a->op_name, path, strerror(errno));
		exit(1);
	}
	a->tolerated[errno & 255]++;
	return false;
}

static unsigned weigh(const struct age *a, const struct age_op *ops)
{
	unsigned sum = 0;

	for (; ops->name; ops++)
		if ((ops->needs & a->features) == ops->needs)
			sum += ops->weight;
	return sum;
}

static void run_one(struct age *a)
{
	const struct age_op *const tables[] = { age_data_ops, age_meta_ops, age_storm_ops,
						age_subvol_ops };
	unsigned sum = 0, at;

	for (size_t i = 0; i < 4; i++)
		sum += weigh(a, tables[i]);
	at = age_rnd(a, sum);
	for (size_t i = 0; i < 4; i++) {
		for (const struct age_op *op = tables[i]; op->name; op++) {
			if ((op->needs & a->features) != op->needs)
				continue;
			if (at < op->weight) {
				a->op_name = op->name;
				op->run(a);
				return;
			}
			at -= op->weight;
		}
	}
}

/* Runs the operations in as many parts as there are algorithms, remounted with each in turn. */
static void run_all(struct age *a, char *compress)
{
	const unsigned long ops = a->ops;
	unsigned parts = 1, part = 0;
	char options[64], *s;

	for (s = compress; s && *s; s++)
		parts += *s == ',';
	s = compress ? strtok(compress, ",") : NULL;
	for (; part < parts; part++, s = s ? strtok(NULL, ",") : NULL) {
		snprintf(options, sizeof(options), "compress=%s", s ? s : "");
		if (s && mount(NULL, ".", NULL, MS_REMOUNT, options)) {
			fprintf(stderr, "ubtrfs-age: remount with %s: %s\n", options,
				strerror(errno));
			exit(2);
		}
		for (; a->op < ops * (part + 1) / parts; a->op++)
			run_one(a);
	}
}

static unsigned feature_bit(const char *name)
{
	for (size_t i = 0; i < sizeof(feature_names) / sizeof(*feature_names); i++)
		if (!strcmp(name, feature_names[i].name))
			return feature_names[i].bit;
	fprintf(stderr, "ubtrfs-age: unknown feature %s\n", name);
	exit(2);
}

static void usage(FILE *to)
{
	fprintf(to,
		"usage: ubtrfs-age DIR [--ops N] [--seed S] [--feature F]... [--without F]...\n"
		"                  [--compress A,B...]\n"
		"Ages a mounted btrfs with N (2000) random operations below DIR, its mount point,\n"
		"remounted with each of the compressions in turn if they are given.\n"
		"Features, all on but the last:");
	for (size_t i = 0; i < sizeof(feature_names) / sizeof(*feature_names); i++)
		fprintf(to, " %s", feature_names[i].name);
	fprintf(to, "\n");
}

static const char *parse_options(struct age *a, int argc, char **argv, char **out_compress)
{
	static const struct option options[] = {
		{ "ops", required_argument, NULL, 'n' },
		{ "seed", required_argument, NULL, 's' },
		{ "feature", required_argument, NULL, 'f' },
		{ "without", required_argument, NULL, 'w' },
		{ "compress", required_argument, NULL, 'c' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'n':
			a->ops = strtoul(optarg, NULL, 0);
			break;
		case 's':
			a->seed = strtoull(optarg, NULL, 0);
			break;
		case 'f':
			a->features |= feature_bit(optarg);
			break;
		case 'w':
			a->features &= ~feature_bit(optarg);
			break;
		case 'c':
			*out_compress = optarg;
			break;
		case 'h':
			usage(stdout);
			exit(0);
		default:
			usage(stderr);
			exit(2);
		}
	}
	if (optind + 1 != argc) {
		usage(stderr);
		exit(2);
	}
	return argv[optind];
}

static void report(const struct age *a)
{
	printf("seed %llu: %lu operations, %u directories, %u files, %u others, %u subvolumes",
	       (unsigned long long)a->seed, a->ops, a->kinds[AGE_DIR].nr, a->kinds[AGE_FILE].nr,
	       a->kinds[AGE_OTHER].nr, a->subvols);
	for (int e = 0; e < 256; e++)
		if (a->tolerated[e])
			printf(", %s %lu", strerrorname_np(e), a->tolerated[e]);
	printf("\n");
}

int main(int argc, char **argv)
{
	struct age a = {
		.ops = 2000, .seed = 1, .features = AGE_DEFAULT_SUBVOL - 1, .op_name = "start"
	};
	char *compress = NULL;
	const char *dir = parse_options(&a, argc, argv, &compress);
	char serial[32];

	umask(0);
	a.top = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (a.top < 0 || fchdir(a.top)) {
		perror(dir);
		return 2;
	}
	a.buf = malloc(AGE_BUF_SIZE);
	if (!a.buf)
		return 2;
	a.rng = a.seed;
	a.serial = a.seed % 100000 * 1000000;
	a.root = age_add(&a, NULL, AGE_DIR, "");
	/* A second run on the same filesystem, of another seed, has names of its own. */
	snprintf(serial, sizeof(serial), "age-%llu", (unsigned long long)a.seed);
	if (mkdir(serial, 0755)) {
		fprintf(stderr, "ubtrfs-age: %s/%s: %s\n", dir, serial, strerror(errno));
		return 2;
	}
	age_add(&a, a.root, AGE_DIR, serial);
	run_all(&a, compress);
	if (a.features & AGE_DEFAULT_SUBVOL)
		age_set_default_subvol(&a);
	if (syncfs(a.top)) {
		perror("ubtrfs-age: syncfs");
		return 1;
	}
	report(&a);
	age_remove(&a, a.root);
	for (int kind = 0; kind < AGE_KINDS; kind++)
		free(a.kinds[kind].v);
	free(a.buf);
	close(a.top);
	return 0;
}
