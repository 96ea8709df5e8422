// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The damage sweep: each field of every structure of an image is set to 0, all ones, one more and
 * another instance's value, checksums made right, and the image is opened and walked whole.
 *
 * A case must end refused with one line, or reported (calls failed, or a message was given), or
 * with everything as on the good image, or differ only where silent.c says that nobody could know.
 * It must not crash, hang, leak or take more memory than the options allow.
 *
 * With --change it is opened for writing instead, and changed everywhere (changeall.h): whatever
 * calls answer, they end, and metadata is not called wrong without a word.
 *
 * Children do the cases, in order; results are in memory shared with the parent, which starts
 * another child behind a case that killed one.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "tests/damage/damage_priv.h"
#include "tests/lib/changeall.h"
#include "tests/lib/imgdisk.h"
#include "tests/lib/memwatch.h"
#include "tests/lib/wholewalk.h"

#define CASE_SECONDS 60		 /* of wall time: a hang */
#define CASE_CPU_MS 20000	 /* of processor time: as good as a hang */
#define CASE_MEMORY (24ll << 20) /* of heap beyond the start */
#define MAX_KILLED 20		 /* then it stops */

enum outcome {
	NOT_RUN,
	AS_IS,	  /* the value was there already */
	REFUSED,  /* not opened, with one line */
	REPORTED, /* calls failed, or a message was given */
	SAME,	  /* everything as on the good image */
	CHANGED,  /* calls have answered otherwise */
	SILENT,	  /* different without a word, and silent.c has it */
	FIRST_FAILURE,
	UNEXPLAINED = FIRST_FAILURE, /* different without a word */
	UNSAID,			     /* failed without a message */
	LEAKED,
	GREEDY,
	SLOW,
	KILLED,
	OUTCOME_NR,
};

static const char *const outcome_names[OUTCOME_NR] = {
	"not run",     "unchanged", "refused with a line", "reported",	    "read right",
	"otherwise",   "undoubted", "SILENTLY WRONG",	   "FAILED UNSAID", "LEAKED",
	"TOOK MEMORY", "SLOW",	    "CRASHED OR HUNG",
};

struct result {
	uint8_t outcome;
	bool told; /* counted in a failure that was printed */
	uint32_t us;
	int64_t peak;
};

static struct {
	bool all, plant, verbose, change;
	unsigned long seed, sample;
	const char *only;
	long one;
} arg = { .seed = 1, .sample = 6000, .one = -1 };

static struct testimg img;
static struct instances all;
static struct wholewalk good;
static struct changeall good_change;
static struct result *results;	   /* shared; by case */
static volatile unsigned *current; /* shared */

struct heard {
	unsigned errors, warnings;
	char first[300];
};

static void hear(void *p, enum eng_msg_level level, const char *text)
{
	struct heard *h = p;

	if (arg.verbose)
		printf("    %d: %s\n", level, text);
	if (level > ENG_MSG_WARN)
		return;
	if (!h->first[0])
		snprintf(h->first, sizeof(h->first), "%s", text);
	if (level == ENG_MSG_ERR)
		h->errors++;
	else
		h->warnings++;
}

static struct eng_open_opts options(struct heard *h)
{
	struct eng_open_opts opts = testimg_opts();

	opts.message = hear;
	opts.message_arg = h;
	return opts;
}

/* What is refused as a filesystem is still dumped: whatever happens, it must not crash. */
static void inspect(struct heard *h)
{
	struct eng_open_opts opts = options(h);
	struct wholewalk seen;
	struct eng_fs *fs;

	opts.partial = true;
	opts.rescue = ENG_RESCUE_IGNOREBADROOTS;
	if (testimg_open(&img, &opts, &fs))
		return;
	wholewalk(fs, &wholewalk_default, &seen);
	eng_close(fs);
}

/* Opens it for writing and changes it everywhere; the image stays as it is. */
static enum outcome change(struct changeall *seen, struct heard *h)
{
	struct eng_open_opts opts = options(h);
	struct imgdisk disk;
	struct eng_fs *fs;
	int err;

	*seen = (struct changeall){ 0 };
	imgdisk_init(&disk, &img);
	err = imgdisk_open(&disk, &opts, &fs);
	if (!err) {
		changeall(fs, arg.seed, seen);
		eng_close(fs);
	} else if (arg.verbose) {
		printf("    open: %s\n", strerrorname_np(-err));
	}
	imgdisk_free(&disk);
	if (err)
		return h->errors == 1 ? REFUSED : UNSAID;
	if ((seen->by_errno[EUCLEAN] || seen->by_errno[EIO]) && !h->errors && !h->warnings)
		return UNSAID;
	if (h->errors || h->warnings)
		return REPORTED;
	return memcmp(seen, &good_change, sizeof(*seen)) ? CHANGED : SAME;
}

static enum outcome look(struct wholewalk *seen, struct heard *h)
{
	struct eng_open_opts opts = options(h);
	struct changeall changed;
	struct eng_fs *fs;
	int err;

	*seen = (struct wholewalk){ 0 };
	if (arg.change)
		return change(&changed, h);
	err = testimg_open(&img, &opts, &fs);
	if (err) {
		bool said = h->errors == 1;

		if (arg.verbose)
			printf("    open: %s\n", strerrorname_np(-err));
		inspect(h);
		return said ? REFUSED : UNSAID;
	}
	wholewalk(fs, &wholewalk_default, seen);
	eng_close(fs);
	/* These two are for the engine to explain; others tell enough by themselves. */
	if ((seen->by_errno[EUCLEAN] || seen->by_errno[EIO]) && !h->errors && !h->warnings)
		return UNSAID;
	if (seen->errors || h->errors || h->warnings)
		return REPORTED;
	return seen->files == good.files ? SAME : UNEXPLAINED;
}

/* A thread's buffers may have grown for good, once; a leak comes again. */
static bool leaks(int64_t before, struct heard *h)
{
	int64_t after = memwatch_live();
	struct wholewalk seen;

	if (after == before)
		return false;
	look(&seen, h);
	return memwatch_live() != after;
}

static void run_case(unsigned c)
{
	struct result *r = &results[c];
	struct heard h = { 0 };
	struct wholewalk seen;
	struct timespec t0, t1;
	enum outcome o;
	int64_t live;

	if (!op_apply(&img, &all, c / OP_NR, c % OP_NR)) {
		r->outcome = AS_IS;
		return;
	}
	alarm(CASE_SECONDS);
	live = memwatch_live();
	memwatch_peak();
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t0);
	o = look(&seen, &h);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t1);
	r->us = (uint32_t)((t1.tv_sec - t0.tv_sec) * 1000000 + (t1.tv_nsec - t0.tv_nsec) / 1000);
	r->peak = memwatch_peak() - live;
	if (o == UNEXPLAINED && silent_reason(&all.v[c / OP_NR]))
		o = SILENT;
	if (leaks(live, &h))
		o = LEAKED;
	else if (r->peak > CASE_MEMORY)
		o = GREEDY;
	else if (r->us / 1000 > CASE_CPU_MS)
		o = SLOW;
	r->outcome = (uint8_t)o;
	alarm(0);
	testimg_undo(&img);
	if (arg.verbose) {
		char errors[300];

		wholewalk_errors_to_text(&seen, errors, sizeof(errors));
		printf("    %s; %u us, peak %lld, %llu errors (%s)\n", outcome_names[o], r->us,
		       (long long)r->peak, (unsigned long long)seen.errors, errors);
	}
}

static void print_case(unsigned c, const char *what)
{
	const struct instance *in = &all.v[c / OP_NR];
	char name[128];

	instance_name(in, name, sizeof(name));
	printf("case %u: %s = %s in block %llu at %u, owner %u, item type %u: %s\n", c, name,
	       op_names[c % OP_NR], (unsigned long long)img.blocks[in->block].logical, in->off,
	       in->owner, in->key_type, what);
}

static void child(const unsigned *cases, unsigned nr, unsigned from)
{
	for (unsigned i = from; i < nr; i++) {
		*current = i;
		run_case(cases[i]);
	}
	fflush(NULL);
	_exit(0);
}

static void run_cases(const unsigned *cases, unsigned nr)
{
	unsigned from = 0, killed = 0;

	while (from < nr && killed < MAX_KILLED) {
		int status;
		pid_t pid;

		fflush(NULL);
		pid = fork();
		if (pid == 0)
			child(cases, nr, from);
		if (pid < 0 || waitpid(pid, &status, 0) != pid) {
			perror("damage");
			exit(2);
		}
		if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
			return;
		results[cases[*current]].outcome = KILLED;
		killed++;
		print_case(cases[*current],
			   WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "sanitizer");
		from = *current + 1;
	}
}

static unsigned long next_random(unsigned long *x)
{
	*x = *x * 6364136223846793005ul + 1442695040888963407ul;
	return *x >> 33;
}

/* First one instance of each field for each change, then any others, by the seed. */
static unsigned choose(unsigned *cases)
{
	unsigned total = all.nr * OP_NR, nr = 0;
	unsigned long x = arg.seed;

	for (unsigned c = 0; c < total; c++) {
		char name[128];

		instance_name(&all.v[c / OP_NR], name, sizeof(name));
		if (arg.only ? strstr(name, arg.only) != NULL : true)
			cases[nr++] = c;
	}
	if (arg.all || nr <= arg.sample)
		return nr;
	/* A shuffle; then the first of each kind move to the front. */
	for (unsigned i = nr - 1; i > 0; i--) {
		unsigned j = (unsigned)(next_random(&x) % (i + 1)), t = cases[i];

		cases[i] = cases[j];
		cases[j] = t;
	}
	for (unsigned i = 0, front = 0; i < nr; i++) {
		const struct instance *in = &all.v[cases[i] / OP_NR];
		bool met = false;

		for (unsigned k = 0; k < front && !met; k++) {
			const struct instance *o = &all.v[cases[k] / OP_NR];

			met = cases[k] % OP_NR == cases[i] % OP_NR && o->desc == in->desc &&
			      o->field == in->field && o->parent == in->parent &&
			      o->key_type == in->key_type;
		}
		if (!met) {
			unsigned t = cases[front];

			cases[front++] = cases[i];
			cases[i] = t;
		}
	}
	return (unsigned)arg.sample;
}

/* Failures of one outcome, a line for each field. */
static unsigned print_failures(const unsigned *cases, unsigned nr, enum outcome o)
{
	unsigned failures = 0;

	for (unsigned i = 0; i < nr; i++) {
		const struct instance *in = &all.v[cases[i] / OP_NR];
		unsigned same = 1;

		if (results[cases[i]].outcome != o || results[cases[i]].told)
			continue;
		for (unsigned k = i + 1; k < nr; k++) {
			struct result *r = &results[cases[k]];

			if (r->outcome != o || !instance_same_field(in, &all.v[cases[k] / OP_NR]))
				continue;
			r->told = true;
			same++;
		}
		failures += same;
		printf("%u of ", same);
		print_case(cases[i], outcome_names[o]);
	}
	return failures;
}

static unsigned summary(const unsigned *cases, unsigned nr)
{
	unsigned count[OUTCOME_NR] = { 0 }, slowest = 0, failures = 0;
	int64_t peak = 0;

	for (unsigned i = 0; i < nr; i++) {
		const struct result *r = &results[cases[i]];

		count[r->outcome]++;
		if (r->us > results[slowest].us)
			slowest = cases[i];
		if (r->peak > peak)
			peak = r->peak;
	}
	for (int o = FIRST_FAILURE; o < OUTCOME_NR; o++)
		failures += print_failures(cases, nr, (enum outcome)o);
	printf("%u fields of %u blocks; %u of %u cases:", all.nr, img.block_nr, nr, all.nr * OP_NR);
	for (int o = 0; o < OUTCOME_NR; o++)
		if (count[o])
			printf(" %u %s,", count[o], outcome_names[o]);
	printf(" most heap %lld KiB, longest %u ms\n", (long long)peak >> 10,
	       results[slowest].us / 1000);
	return failures;
}

static void parse(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "long", 0, NULL, 'l' },    { "seed", 1, NULL, 's' },	 { "sample", 1, NULL, 'n' },
		{ "only", 1, NULL, 'o' },    { "case", 1, NULL, 'c' },	 { "plant", 0, NULL, 'p' },
		{ "verbose", 0, NULL, 'v' }, { "change", 0, NULL, 'w' }, { NULL, 0, NULL, 0 }
	};
	int o;

	while ((o = getopt_long(argc, argv, "ls:n:o:c:pvw", longs, NULL)) != -1) {
		switch (o) {
		case 'l':
			arg.all = true;
			break;
		case 's':
			arg.seed = strtoul(optarg, NULL, 0);
			break;
		case 'n':
			arg.sample = strtoul(optarg, NULL, 0);
			break;
		case 'o':
			arg.only = optarg;
			break;
		case 'c':
			arg.one = strtol(optarg, NULL, 0);
			break;
		case 'p':
			arg.plant = true;
			break;
		case 'v':
			arg.verbose = true;
			break;
		case 'w':
			arg.change = true;
			break;
		default:
			exit(2);
		}
	}
	if (optind != argc - 1) {
		fprintf(stderr, "usage: damage [--long | --sample N] [--seed N] [--only FIELD] "
				"[--case N] [--change] [--plant] [--verbose] IMAGE\n");
		exit(2);
	}
}

static void *shared(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED) {
		perror("damage");
		exit(2);
	}
	return p;
}

static bool change_good(void)
{
	struct changeall again;
	struct heard h = { 0 };
	uint32_t bad;

	change(&good_change, &h);
	bad = good_change.by_errno[EUCLEAN] + good_change.by_errno[EIO];
	printf("the good image: %llu calls, %u of them well, %u wrongly failed %s\n",
	       (unsigned long long)good_change.calls, good_change.by_errno[0], bad, h.first);
	return good_change.calls && !bad && !h.errors && change(&again, &h) == SAME;
}

/* Twice: what libraries allocate once is then there, and equal images are seen to give equal
 * digests. */
static bool look_at_good(void)
{
	struct wholewalk again;
	struct heard h = { 0 };

	if (arg.change)
		return change_good();
	if (look(&good, &h) != SAME || good.cut || look(&again, &h) != SAME ||
	    again.raw != good.raw) {
		char errors[300];

		wholewalk_errors_to_text(&good, errors, sizeof(errors));
		printf("the good image: %s%s%s\n", h.first, errors, good.cut ? " (cut)" : "");
		return false;
	}
	printf("the good image: %llu entries, %llu bytes of files, %llu items, %llu blocks\n",
	       (unsigned long long)good.entries, (unsigned long long)good.bytes,
	       (unsigned long long)good.items, (unsigned long long)good.blocks);
	return true;
}

static unsigned run(void)
{
	unsigned *cases = malloc((size_t)all.nr * OP_NR * sizeof(*cases));
	unsigned nr, failures;

	if (!cases)
		abort();
	if (arg.one >= 0 && arg.one < (long)(all.nr * OP_NR)) {
		cases[0] = (unsigned)arg.one;
		nr = 1;
		run_case(cases[0]);
	} else {
		nr = choose(cases);
		run_cases(cases, nr);
	}
	failures = summary(cases, nr);
	free(cases);
	return failures;
}

int main(int argc, char **argv)
{
	unsigned failures;

	parse(argc, argv);
	if (!testimg_load(&img, argv[optind]))
		return 2;
	if (!memwatch_start())
		printf("without AddressSanitizer: neither leaks nor peaks of memory are seen\n");
	if (!look_at_good())
		return 1;
	instances_list(&img, &all);
	results = shared((size_t)all.nr * OP_NR * sizeof(*results));
	current = shared(sizeof(*current));
	failures = run();
	munmap(results, (size_t)all.nr * OP_NR * sizeof(*results));
	free(all.v);
	testimg_free(&img);
	/* With a planted fault the sweep must fail. */
	return arg.plant ? !failures : failures != 0;
}
