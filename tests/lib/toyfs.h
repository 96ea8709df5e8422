/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A toy that writes a real, if tiny, filesystem: eight files of one sector, each with a leaf of its own,
 * changed a few at a time by copying, with commits in the right order, or with one planted fault. What
 * the nets for writers (crash states, the order checker) are tried with.
 */
#ifndef UBTRFS_TESTS_LIB_TOYFS_H
#define UBTRFS_TESTS_LIB_TOYFS_H

#include "tests/lib/simdisk.h"

/* Of the disk: two superblock copies. */
#define TOY_BYTES (80ull << 20)
#define TOY_FILES 8
#define TOY_COMMITS 64

enum toy_fault {
	TOY_GOOD,
	TOY_NO_FLUSH,	   /* the flush before the superblocks is left out */
	TOY_NO_LAST_FLUSH, /* the one after them is */
	TOY_IN_PLACE,	   /* a leaf is overwritten */
	TOY_EARLY_REUSE,   /* what the commit frees is used again in it */
	TOY_MISSED_BLOCK,  /* a node is not written */
	TOY_MISSED_COPY,   /* nor is the second copy of a leaf */
	TOY_FORGOT_SUPER,  /* nor is the second superblock */
	TOY_GENERATION,	   /* a second superblock of one generation */
	TOY_NR,
};
extern const char *const toy_fault_names[TOY_NR];

struct vol;
struct toy;

/* Makes the filesystem on `disk` (all flushed), whose layers may be above a simulated disk `sim`. */
struct toy *toy_create(const struct blk *disk, struct simdisk *sim, uint64_t seed);
void toy_destroy(struct toy *t);
/* Writes go through this volume of the engine's from now on, superblocks too. */
void toy_use_volume(struct toy *t, struct vol *v);
/* Changes some files and commits. 0, or the first error of the disk, after which the toy is dead. */
int toy_commit(struct toy *t, enum toy_fault fault);
uint64_t toy_generation(const struct toy *t);

/*
 * Whether a crash state is one that may be: the last commit that was done when it was taken, or the one
 * under way, with the right contents. NULL, or what is wrong with it.
 */
const char *toy_judge(struct toy *t, struct simdisk *crash);

/* The chunks and the device item, for feeding an engine's volume. */
void toy_feed(struct toy *t, int (*chunk)(void *arg, uint64_t logical, const void *item),
	      int (*device)(void *arg, const void *item), void *arg);

#endif
