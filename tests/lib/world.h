/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A filesystem on simulated disks with a script (wander.h) in each of its subvolumes, for sweeps:
 * what it held is known at every moment, as numbers that a later opening is compared by.
 *
 * One thread, but for the engine's own.
 */
#ifndef UBTRFS_TESTS_LIB_WORLD_H
#define UBTRFS_TESTS_LIB_WORLD_H

#include "engine/lab.h"
#include "tests/lib/wander.h"
#include "tests/lib/simdisk.h"

#define WORLD_DIRS 3

/* The contents at a moment: of each subvolume that has a script. */
struct world_state {
	uint64_t hash[WORLD_DIRS];
};

struct world {
	struct eng_fs *fs;
	struct wander *wanders[WORLD_DIRS];
	unsigned nr;
	uint64_t rng;
	struct wander *last; /* whose step was the last */
	char said[400];	     /* the first warning or error that the engine said */
	unsigned errors;     /* said */
};

/* The options of an opening in a sweep: `cache` bytes, one caller, no workers. What is said goes to
 * w. */
struct eng_open_opts world_opts(struct world *w, bool writable, uint64_t cache);
/* A simulated disk that holds the image. Aborts. */
struct simdisk *world_disk(const char *image);
/* Opens what is on `disk`; read-only disks refuse to be written. 0 or -errno. */
int world_open(struct world *w, const struct blk *disk, bool writable, uint64_t cache);
/* Takes in the scripts' subvolumes. 0 or -errno. */
int world_load(struct world *w, uint64_t seed);
/* Ends the engine (unless it was ended) and forgets the scripts. */
void world_close(struct world *w);
/* One step of one of the scripts; what the engine answered. */
int world_step(struct world *w);
struct world_state world_state(const struct world *w);
bool world_same(const struct world_state *a, const struct world_state *b);
/* What an open filesystem holds now. 0 or -errno. */
int world_look(struct eng_fs *fs, struct shadow *out_s[WORLD_DIRS], struct world_state *out_st);
void world_free(struct shadow *s[WORLD_DIRS]);
/* Prints how `got` differs from what the scripts expect. */
void world_tell(const struct world *w, struct shadow *got[WORLD_DIRS]);

/* The generation of the first superblock on the disk. */
uint64_t world_generation(const struct blk *disk);

#endif
