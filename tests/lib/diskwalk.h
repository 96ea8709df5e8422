/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A small reader of its own for tests: everything that a superblock refers to, as the disks have it. It
 * shares the format and its checks (ondisk/) and the arithmetic of profiles (raid.h) with the engine, and
 * nothing else. Blocks that were parsed are remembered by address and generation, so that the walk of the
 * next commit reads only what is new.
 *
 * Not for raid5/6 parity (places of data only) and seeds. One thread. Failures to allocate abort.
 */
#ifndef UBTRFS_TESTS_LIB_DISKWALK_H
#define UBTRFS_TESTS_LIB_DISKWALK_H

#include "ondisk/check.h"
#include "tests/lib/blk.h"

struct diskwalk;

/* The disks outlive it; which devid each is says the superblock on it. */
struct diskwalk *diskwalk_create(unsigned nr, const struct blk *disks);
void diskwalk_destroy(struct diskwalk *w);

/* The newest valid superblock of all copies on all disks. 0, -ENOENT. */
int diskwalk_super(struct diskwalk *w, struct btrfs_super_block *out_sb);

/* A superblock is about to be written to this disk, which may have none yet. */
void diskwalk_note_super(struct diskwalk *w, unsigned disk, const struct btrfs_super_block *sb);

enum diskwalk_kind {
	DISKWALK_BLOCK,
	DISKWALK_LOG,     /* a block of a log tree */
	DISKWALK_DATA,
	DISKWALK_INPLACE, /* data that may be overwritten: nodatacow, or preallocated */
};

/* A place that is referred to: of every copy. */
typedef void (*diskwalk_fn)(void *arg, enum diskwalk_kind kind, unsigned disk, uint64_t physical,
			    uint64_t len);

enum {
	/* All copies of a block that is read must be good, rather than one. */
	DISKWALK_ALL_COPIES = 1,
};

/*
 * Walks the chunk, root, log and all other trees, each block once. Return: 0, or -EUCLEAN at the first
 * block that no copy has right, which diskwalk_error tells; fn may be NULL.
 */
int diskwalk_run(struct diskwalk *w, const struct btrfs_super_block *sb, unsigned flags, diskwalk_fn fn,
		 void *arg);
const char *diskwalk_error(const struct diskwalk *w);
/* Blocks that the last walk came by, and those that it had to read. */
uint64_t diskwalk_blocks(const struct diskwalk *w);
uint64_t diskwalk_blocks_read(const struct diskwalk *w);

#endif
