// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The fault sweep: an image is opened and walked whole while the nth allocation, or the nth read of
 * a device, fails; or so many from the nth on that no other copy helps; or all from there. For
 * every n, or
 * (--sample) every tenth from a start that the seed gives.
 *
 * Each must end in the right error (ENOMEM, EIO) where it fails, or in all that the good image
 * shows; a second walk of the same open filesystem, without a fault, must show all of it: nothing
 * broken may be remembered. Nothing may leak.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "engine/lab.h"
#include "tests/lib/memwatch.h"
#include "tests/lib/testimg.h"
#include "tests/lib/wholewalk.h"

#define STEP 10	    /* every tenth, with --sample */
#define MAX_TOLD 20 /* failures that are printed */
#define CASE_SECONDS 60

static struct {
	bool sample, plant;
	unsigned long seed;
} arg = { .seed = 1 };

static const char *path;
static struct testimg img;

/* How the filesystem is opened: in memory and alone, or as a daemon does it. */
struct mode {
	const char *name;
	bool file;
	int workers;
};
static const struct mode modes[] = { { "memory, no workers", false, 0 },
				     { "file, 2 workers", true, 2 } };

struct kind {
	const char *name;
	enum lab_fault fault;
	int err;
};
static const struct kind kinds[] = { { "allocation", LAB_FAULT_ALLOC, ENOMEM },
				     { "read", LAB_FAULT_READ, EIO } };

/* How many fail. */
static const struct run {
	const char *name;
	uint64_t nr;
} runs[] = { { "one", 1 }, { "three", 3 }, { "all", UINT64_MAX } };

struct heard {
	unsigned errors;
	char first[300];
};

static void hear(void *p, enum eng_msg_level level, const char *text)
{
	struct heard *h = p;

	if (level > ENG_MSG_WARN)
		return;
	if (level == ENG_MSG_ERR)
		h->errors++;
	if (!h->first[0])
		snprintf(h->first, sizeof(h->first), "%s", text);
}

static int open_by(const struct mode *mode, struct heard *h, struct eng_fs **out_fs)
{
	struct eng_open_opts opts = testimg_opts();

	opts.message = hear;
	opts.message_arg = h;
	opts.workers = mode->workers;
	if (!mode->file)
		return testimg_open(&img, &opts, out_fs);
	opts.no_uring = false;
	opts.devices = &path;
	opts.nr_devices = 1;
	return eng_open(&opts, out_fs);
}

struct outcome {
	struct wholewalk seen, again;
	struct heard heard;
	int open_err;
	bool again_failed;
};

/* One case; n 0: no fault. */
static void look(const struct mode *mode, const struct kind *kind, uint64_t n, uint64_t nr,
		 struct outcome *o)
{
	struct eng_fs *fs;

	memset(o, 0, sizeof(*o));
	alarm(CASE_SECONDS);
	lab_fault_arm_run(kind->fault, n, nr);
	o->open_err = open_by(mode, &o->heard, &fs);
	if (!o->open_err) {
		wholewalk(fs, &wholewalk_default, &o->seen);
		lab_fault_arm(kind->fault, 0);
		wholewalk(fs, &wholewalk_default, &o->again);
		eng_close(fs);
	}
	lab_fault_arm(kind->fault, 0);
	alarm(0);
}

static bool equal(const struct wholewalk *a, const struct wholewalk *b)
{
	return a->files == b->files && a->raw == b->raw && !a->errors && !b->errors;
}

/* NULL: as it should be. */
static const char *judge(const struct kind *kind, const struct outcome *o,
			 const struct wholewalk *good)
{
	if (o->open_err) {
		if (o->open_err != -kind->err)
			return "opening failed with another error";
		/* Without memory for the sink there is nobody to say it. */
		if (o->heard.errors > 1 || (!o->heard.errors && kind->err != ENOMEM))
			return "opening failed without saying one line";
		return NULL;
	}
	if (o->seen.errors != o->seen.by_errno[kind->err])
		return "calls failed with another error";
	if (!o->seen.errors && !equal(&o->seen, good))
		return "something else was seen, without an error";
	if (!equal(&o->again, good))
		return "the failure was remembered";
	return NULL;
}

struct tally {
	uint64_t cases, refused, failed_calls, recovered, wrong;
};

static void run_case(const struct mode *mode, const struct kind *kind, uint64_t n,
		     const struct run *run, const struct wholewalk *good, struct tally *t)
{
	int64_t before = memwatch_live(), after;
	struct outcome o, twice;
	const char *wrong;
	char errors[300];

	look(mode, kind, n, run->nr, &o);
	wrong = judge(kind, &o, good);
	after = memwatch_live();
	if (after != before) {
		/* A thread's buffers may have grown for good, once; a leak comes again. */
		look(mode, kind, n, run->nr, &twice);
		if (!wrong && memwatch_live() != after)
			wrong = "memory leaked";
	}
	t->cases++;
	t->refused += o.open_err != 0;
	t->failed_calls += o.seen.errors != 0;
	t->recovered += !o.open_err && !o.seen.errors;
	if (!wrong)
		return;
	if (++t->wrong > MAX_TOLD)
		return;
	wholewalk_errors_to_text(&o.seen, errors, sizeof(errors));
	printf("%s; %s %llu fails (%s): %s (open: %s; walk: %s; said: %s)\n", mode->name,
	       kind->name, (unsigned long long)n, run->name, wrong,
	       o.open_err ? strerrorname_np(-o.open_err) : "well", errors, o.heard.first);
}

/* Passages of this kind in opening and walking once. */
static uint64_t count(const struct mode *mode, const struct kind *kind, struct wholewalk *good)
{
	struct heard h = { 0 };
	struct eng_fs *fs;
	uint64_t n = 0;

	lab_fault_arm(kind->fault, 0);
	if (!open_by(mode, &h, &fs)) {
		wholewalk(fs, &wholewalk_default, good);
		n = lab_fault_count(kind->fault);
		eng_close(fs);
	}
	if (!n || good->errors || good->cut || h.first[0]) {
		printf("the good image: %s\n", h.first);
		exit(2);
	}
	return n;
}

static uint64_t sweep(const struct mode *mode, const struct kind *kind)
{
	uint64_t step = arg.sample ? STEP : 1, first = 1 + (arg.sample ? arg.seed % STEP : 0);
	struct wholewalk good;
	struct tally t = { 0 };
	uint64_t total;

	count(mode, kind, &good);
	total = count(mode, kind, &good);
	for (size_t r = 0; r < sizeof(runs) / sizeof(runs[0]); r++)
		for (uint64_t n = first; n <= total; n += step)
			run_case(mode, kind, n, &runs[r], &good, &t);
	printf("%s: %llu cases over %llu %ss: %llu not opened, %llu with failed calls, "
	       "%llu went on as if nothing had been, %llu wrong\n",
	       mode->name, (unsigned long long)t.cases, (unsigned long long)total, kind->name,
	       (unsigned long long)t.refused, (unsigned long long)t.failed_calls,
	       (unsigned long long)t.recovered, (unsigned long long)t.wrong);
	return t.wrong;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = { { "sample", 0, NULL, 'n' },
					       { "plant", 0, NULL, 'p' },
					       { "seed", 1, NULL, 's' },
					       { NULL, 0, NULL, 0 } };
	uint64_t wrong = 0;
	int o;

	while ((o = getopt_long(argc, argv, "nps:", longs, NULL)) != -1) {
		if (o == 'n')
			arg.sample = true;
		else if (o == 'p')
			arg.plant = true;
		else if (o == 's')
			arg.seed = strtoul(optarg, NULL, 0);
		else
			return 2;
	}
	if (optind != argc - 1) {
		fprintf(stderr, "usage: fault [--sample] [--plant] [--seed N] IMAGE\n");
		return 2;
	}
	path = argv[optind];
	if (!testimg_load(&img, path))
		return 2;
	if (!memwatch_start())
		printf("without AddressSanitizer: leaks are not seen\n");
	for (size_t m = 0; m < sizeof(modes) / sizeof(modes[0]); m++)
		for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++)
			wrong += sweep(&modes[m], &kinds[k]);
	testimg_free(&img);
	if (arg.plant) {
		/* The sweep must fail; and the sanitizer need not say at exit what leaked. */
		fflush(NULL);
		_exit(!wrong);
	}
	return wrong != 0;
}
