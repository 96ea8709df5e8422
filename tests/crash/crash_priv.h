/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inside the crash sweep. */
#ifndef UBTRFS_TESTS_CRASH_PRIV_H
#define UBTRFS_TESTS_CRASH_PRIV_H

#include "tests/lib/world.h"

/* What is known after a step of the workload; [0] is after opening, the last after closing. */
struct moment {
	uint64_t end;	     /* simdisk_now */
	uint64_t generation; /* of the superblock on the disk */
	bool synced;	     /* durable: nothing before may be found any more */
	struct world_state st;
};

struct options {
	const char *image;
	uint64_t seed, only_round;
	unsigned states, per_round, steps, checks;
	bool torn, threads, plant, verbose;
	const char *export_to;
};

/* One workload, over in time, with a sample of its moments. */
struct round {
	const struct options *o;
	unsigned nr; /* of the round */
	uint64_t seed;
	struct simdisk *disk;
	struct moment *moments;
	unsigned nr_moments;
	uint64_t cache;
	uint64_t steps, refused, commits;
	unsigned violations; /* of the order of writes */
	bool broken;	     /* the workload itself went wrong; was told */
};

/* Runs the workload of this number. Prints what went wrong. */
void round_run(const struct options *o, unsigned nr, struct round *r);
void round_free(struct round *r);

struct judged {
	uint64_t states, written, checked, torn_out, wrong;
	uint64_t new_commits; /* found with a commit since the last sync */
};

/* Makes a crash state of one moment and holds it against what may be found. Prints what is wrong.
 */
void state_judge(const struct round *r, struct simdisk *at, uint64_t seed, bool check,
		 struct judged *j);

#endif
