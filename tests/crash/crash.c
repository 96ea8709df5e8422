// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The crash sweep: what is left of a filesystem when the power goes at any write of a workload.
 * Each state opens, verifies, and holds what it may hold at that moment; some are judged by btrfs
 * check too.
 *
 * usage: crash [options] IMAGE
 *   --states N    crash states to judge in all (2000)
 *   --check N     how many of them btrfs check judges (0)
 *   --steps N     of a round's workload (250)
 *   --seed N      of everything
 *   --round N     only this round; with it a failure is made again
 *   --torn        superblocks may be torn: judged by ourselves only
 *   --threads     with the engine's threads: not deterministic
 *   --export F    writes the last wrong state to a file
 *   --plant       a planted fault is active: succeeds if it is caught within 100 states
 */
#include "tests/crash/crash_priv.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_TOLD 20
#define PLANT_STATES 100

static struct options opt = {
	.seed = 1, .states = 2000, .per_round = 50, .steps = 250, .only_round = UINT64_MAX
};

/* Two crash states are made of each moment that was kept. */
static bool judge_round(unsigned nr, struct judged *j)
{
	struct round r;
	unsigned kept;

	round_run(&opt, nr, &r);
	j->wrong += r.broken || r.violations;
	kept = r.nr_moments ? simdisk_tracked(r.disk) : 0;
	for (unsigned i = 0; i < 2 * kept && j->states < opt.states && j->wrong < MAX_TOLD; i++) {
		/* Spread the judging by others evenly. */
		bool check = opt.checks && (j->states + 1) * opt.checks / opt.states >
						   j->states * opt.checks / opt.states;

		state_judge(&r, simdisk_state(r.disk, i / 2), sim_seed(r.seed, i) % 100000, check,
			    j);
	}
	if (opt.verbose)
		printf("round %u: %llu steps (%llu refused), %llu commits, %llu writes, %u moments kept\n",
		       nr, (unsigned long long)r.steps, (unsigned long long)r.refused,
		       (unsigned long long)r.commits, (unsigned long long)simdisk_now(r.disk),
		       kept);
	round_free(&r);
	fflush(stdout);
	return kept;
}

static int sweep(void)
{
	struct judged j = { 0 };
	unsigned nr = 0, empty = 0;

	if (opt.only_round != UINT64_MAX) {
		judge_round((unsigned)opt.only_round, &j);
		nr++;
	} else {
		for (; j.states < opt.states && j.wrong < MAX_TOLD && empty < 3; nr++)
			empty = judge_round(nr, &j) ? 0 : empty + 1;
	}
	printf("%s: seed %llu: %llu crash states of %u rounds, %llu with a commit since the last sync, %llu judged by "
	       "btrfs check twice, %llu without a whole superblock; %llu wrong\n",
	       opt.image, (unsigned long long)opt.seed, (unsigned long long)j.states, nr,
	       (unsigned long long)j.new_commits, (unsigned long long)j.checked,
	       (unsigned long long)j.torn_out, (unsigned long long)j.wrong);
	return j.wrong != 0 || empty;
}

/* In a child: a fault may well end in an assertion. */
static int planted(void)
{
	pid_t pid;
	int status;

	opt.states = PLANT_STATES;
	opt.per_round = PLANT_STATES / 20; /* many workloads */
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		abort();
	if (!pid) {
		int ret = sweep();

		fflush(NULL);
		_exit(ret);
	}
	if (waitpid(pid, &status, 0) != pid)
		abort();
	printf("%s\n", status ? "caught" : "not caught");
	return !status;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "states", 1, NULL, 'n' },  { "check", 1, NULL, 'c' },	 { "steps", 1, NULL, 'l' },
		{ "seed", 1, NULL, 's' },    { "round", 1, NULL, 'r' },	 { "torn", 0, NULL, 't' },
		{ "threads", 0, NULL, 'T' }, { "export", 1, NULL, 'e' }, { "plant", 0, NULL, 'p' },
		{ "verbose", 0, NULL, 'v' }, { NULL, 0, NULL, 0 },
	};
	int o;

	while ((o = getopt_long(argc, argv, "v", longs, NULL)) != -1) {
		if (o == 'n')
			opt.states = (unsigned)strtoul(optarg, NULL, 0);
		else if (o == 'c')
			opt.checks = (unsigned)strtoul(optarg, NULL, 0);
		else if (o == 'l')
			opt.steps = (unsigned)strtoul(optarg, NULL, 0);
		else if (o == 's')
			opt.seed = strtoull(optarg, NULL, 0);
		else if (o == 'r')
			opt.only_round = strtoull(optarg, NULL, 0);
		else if (o == 't')
			opt.torn = true;
		else if (o == 'T')
			opt.threads = true;
		else if (o == 'e')
			opt.export_to = optarg;
		else if (o == 'p')
			opt.plant = true;
		else if (o == 'v')
			opt.verbose = true;
		else
			return 2;
	}
	if (optind != argc - 1) {
		fprintf(stderr, "usage: crash [options] IMAGE; see the source\n");
		return 2;
	}
	opt.image = argv[optind];
	if (access(opt.image, R_OK)) {
		perror(opt.image);
		return 2;
	}
	return opt.plant ? planted() : sweep();
}
