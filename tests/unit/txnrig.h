/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the tests of transactions share: images made by mkfs.btrfs, each loaded into a simulated disk under the
 * order checker; changes are extended attributes of the top directory, written as items.
 */
#ifndef UBTRFS_TESTS_UNIT_TXNRIG_H
#define UBTRFS_TESTS_UNIT_TXNRIG_H

#include "engine/lab.h"
#include "engine/txn/txn.h"
#include "tests/lib/ordercheck.h"
#include "tests/lib/simdisk.h"

#include <setjmp.h>

#include <cmocka.h>

#define ok(call) assert_int_equal((call), 0)

struct kind {
	const char *name, *mkfs;
	uint64_t bytes;
};
#define RIG_KINDS 7
extern const struct kind rig_kinds[RIG_KINDS];

struct rig {
	const struct kind *kind;
	struct simdisk *disk;
	struct ordercheck *oc;
	struct eng_fs *efs;
	struct fs *fs;
	bool quiet;
	char said[400]; /* the first error */
};

/* No thread but the caller's; all threads, and a commit a second. */
extern const struct txn_opts rig_steps, rig_threads;

/* Of the group of tests: makes the images, and removes them. */
int rig_setup(void **state);
int rig_teardown(void **state);

/* The image of this name on a disk of its own. Asserts. */
struct rig *rig_create(const char *kind);
void rig_free(struct rig *r);
/* topts NULL: for reading. 0 or -errno. */
int rig_open(struct rig *r, const struct txn_opts *topts);
int rig_close(struct rig *r);
/* 0 if btrfs check finds nothing wrong. */
int rig_check_disk(struct simdisk *d);
/* The top-level subvolume. */
const struct root *rig_top(struct fs *fs);

/* Attribute `n`, each in a handle of its own: 0 or -errno. */
int attr_add(struct fs *fs, uint64_t n);
int attr_drop(struct fs *fs, uint64_t n);
/* 1 there, 0 not there, -1 wrong. */
int attr_has(struct eng_fs *efs, uint64_t n);

#endif
