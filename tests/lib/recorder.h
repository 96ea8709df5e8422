/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A layer that records all that is written to disks, with the data, into a file; and the replay of any
 * prefix of it onto other disks. It stands on any disk, an image file of a running daemon included.
 *
 * The file, all numbers little endian, nothing aligned:
 *   8 bytes "UBTRREC1", le32 number of disks, le64 bytes of each disk; then entries of
 *   le32 type (enum record_type), le32 disk, le32 result (0 or an errno, positive), le64 off, le64 len,
 *   and for a RECORD_WRITE len bytes of data.
 * An entry stands in the order in which the disk was done with it. A file that ends within an entry
 * (the recorded process was killed) ends before it. Failed entries are there and are not replayed.
 */
#ifndef UBTRFS_TESTS_LIB_RECORDER_H
#define UBTRFS_TESTS_LIB_RECORDER_H

#include "tests/lib/blk.h"

enum record_type {
	RECORD_WRITE = 1,
	RECORD_FLUSH = 2,
	RECORD_DISCARD = 3,
};

struct recorder;

/* Above `nr` disks, which outlive it. One lock: what is recorded goes one by one. 0, -errno. */
int recorder_create(const char *path, unsigned nr, const struct blk *lower, struct recorder **out_rec);
const struct blk *recorder_blk(struct recorder *r, unsigned i);
/* Entries so far. */
uint64_t recorder_count(struct recorder *r);
/* 0, or the error with which recording to the file failed, after which nothing more was recorded. */
int recorder_close(struct recorder *r);

/*
 * Does the first `max` entries of a record again, on `nr` disks of at least the recorded sizes. *out_done:
 * entries that there were, up to `max`. 0; -EINVAL (no record, or of another number of disks); -errno.
 */
int recorder_replay(const char *path, uint64_t max, unsigned nr, const struct blk *to, uint64_t *out_done);

#endif
