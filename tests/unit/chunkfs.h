/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A filesystem of global trees only, made from nothing on a simulated disk, with the real volume, cache, trees and
 * space accounting; in the place of transactions and delayed references a list that is run at commit. For tests of
 * chunks. Failures of the rig itself abort.
 */
#ifndef UBTRFS_TESTS_UNIT_CHUNKFS_H
#define UBTRFS_TESTS_UNIT_CHUNKFS_H

#include "engine/space/chunk.h"
#include "tests/lib/simdisk.h"

struct chunkfs_opts {
	uint64_t disk_bytes;
	bool dup;       /* metadata and system twice */
	bool mixed;
	bool no_fst;
	bool bg_tree;
};

/* Something for the extent tree to learn. */
struct chunkfs_ref {
	uint64_t start, len;
	bool add, data;
};

struct chunkfs {
	struct chunkfs_opts opts;
	struct counters counters;
	struct simdisk *disk;
	struct space_fs fs;
	struct rsv_set rsv;
	struct space_info *data, *meta, *sys;
	struct bt_tree trees[5];
	unsigned trees_nr;
	struct eb_dirty dirty;
	uint64_t generation;
	struct chunkfs_ref *refs;
	unsigned refs_nr, refs_max;
	/* The one handle. */
	struct space_trans st;
	int aborted;
	unsigned allocs;          /* of blocks; the one with the number fail_alloc fails */
	unsigned fail_alloc;
	bool short_of_memory;     /* free device space may have been forgotten */
};

struct chunkfs *chunkfs_create(const struct chunkfs_opts *opts);
/* Of an aborted one what is dirty is dropped. */
void chunkfs_destroy(struct chunkfs *f);
void chunkfs_begin(struct chunkfs *f);
void chunkfs_end(struct chunkfs *f);
/* Ends the handle; pending chunks, references, block groups, until none is left; writes; unpins. 0 or -errno. */
int chunkfs_commit(struct chunkfs *f);
/* Runs the references that wait. */
int chunkfs_run_refs(struct chunkfs *f);
/* A data extent. 0 or bg_alloc's. */
int chunkfs_data(struct chunkfs *f, uint64_t bytes, uint64_t *out_start);
void chunkfs_free_data(struct chunkfs *f, uint64_t start, uint64_t bytes);
/* After a commit: all items of all chunks against map, groups and each other. NULL, or what is wrong. */
const char *chunkfs_check(struct chunkfs *f);
unsigned chunkfs_chunks(struct chunkfs *f, uint64_t type);

#endif
