/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Simulated disks with a volatile cache: one or more that lose power together.
 *
 * A write is pending until a flush of its disk succeeds after it. A *crash state* is a disk as it may be
 * found after the power went: what was durable, and of the pending writes some, whole or torn at 512
 * bytes, in any order. It follows from the history so far and a seed, and is known by them: "crash at
 * write N, seed S" of a deterministic workload can be made again.
 *
 * Disks are forked cheaply at any moment; tracking keeps a bounded, even sample of all moments of a
 * workload, to make crash states of afterwards.
 *
 * Locks: one for a simdisk; its disks may be used from any thread. A fork is a simdisk of its own.
 * Failures to allocate abort.
 */
#ifndef UBTRFS_TESTS_LIB_SIMDISK_H
#define UBTRFS_TESTS_LIB_SIMDISK_H

#include "tests/lib/blk.h"

#define SIMDISK_MAX 8

struct simdisk;

struct simdisk *simdisk_create(unsigned nr, const uint64_t *bytes);
void simdisk_destroy(struct simdisk *d);
unsigned simdisk_nr(const struct simdisk *d);
/* Disk `i`, to be stacked or opened; lives as long as d. */
const struct blk *simdisk_blk(struct simdisk *d, unsigned i);

/* The disk's contents from an image file, all durable; the file is no longer than the disk. 0, -errno. */
int simdisk_load(struct simdisk *d, unsigned i, const char *path);
/* What reading disk `i` gives, as a sparse image file for others to judge. 0, -errno. */
int simdisk_export(struct simdisk *d, unsigned i, const char *path);

/* Writes and discards so far, of all disks; a fork counts on. */
uint64_t simdisk_now(struct simdisk *d);
/* As it is now, pending writes included, faults and tracking excluded. */
struct simdisk *simdisk_fork(struct simdisk *d);

enum {
	/* Linux mounts no filesystem whose first superblock is torn: only for judges of our own. */
	SIMDISK_TORN_SUPERS = 1,
};
/* One crash state of this moment; nothing is pending in it. */
struct simdisk *simdisk_crash(struct simdisk *d, uint64_t seed, unsigned flags);
/* "crash at write N, seed S", or "write N" of what is no crash state. */
const char *simdisk_id(const struct simdisk *d);

/*
 * From now on, keeps forks: of the moments [from, to) (as simdisk_now counts, after the write) an even
 * sample of at most `max`, chosen by `seed`; those of superblock writes ten times as often. What was
 * tracked before is dropped; max 0 ends it.
 */
void simdisk_track(struct simdisk *d, uint64_t from, uint64_t to, unsigned max, uint64_t seed);
unsigned simdisk_tracked(const struct simdisk *d);
/* In no order; owned by d. Not while the workload runs. */
struct simdisk *simdisk_state(struct simdisk *d, unsigned index);

/* ---- faults ---- */

enum simdisk_op {
	SIMDISK_READ,
	SIMDISK_WRITE,
	SIMDISK_FLUSH,
	SIMDISK_OPS,
};
/*
 * The nth (1-based, over all disks) such operation from now on fails, once, with -EIO; 0 disarms. Half of a
 * write that fails has been written. What was pending when a flush failed may be lost for ever, whatever
 * later flushes say.
 */
void simdisk_fail(struct simdisk *d, enum simdisk_op op, uint64_t nth);
/* Operations of this kind so far. */
uint64_t simdisk_count(struct simdisk *d, enum simdisk_op op);
/* Sectors that can't be read, or written, or both; at most 16 ranges. */
void simdisk_bad(struct simdisk *d, unsigned i, uint64_t off, uint64_t len, bool reads, bool writes);
/* From now on everything on disk `i` is -ENODEV. */
void simdisk_vanish(struct simdisk *d, unsigned i);

/* ---- chance, for tests ---- */

/* xorshift: the next of a sequence, which starts with any state but 0. */
uint64_t sim_random(uint64_t *state);
/* Below n. */
uint64_t sim_below(uint64_t *state, uint64_t n);
uint64_t sim_seed(uint64_t a, uint64_t b);

#endif
