/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The order checker: a layer around the disks of one filesystem that holds its writer to the rule of
 * the commit, whatever the writer is.
 *
 * 1. Nothing that the last durable superblock refers to is overwritten or discarded before the next one is
 *    durable everywhere: in every copy on every disk that did not answer with an error. Nor what a
 *    superblock on its way there refers to.
 * 2. When a superblock is written, all that it refers to is durable, and good in every copy.
 * 3. No superblock of the next generation before the last is durable everywhere; no generation twice. A
 *    superblock that differs from the durable one by its log only need not go to every copy.
 *
 * Exceptions, by name: superblocks themselves; data of nodatacow inodes and preallocated data (rules 1 and
 * 2); parity, which nothing refers to; blocks of log trees (rule 1), which live within a transaction.
 *
 * What is referred to is learned from the disks (diskwalk.h). One lock, held over the disks' work:
 * what the checker sees is the order in which things happened.
 */
#ifndef UBTRFS_TESTS_LIB_ORDERCHECK_H
#define UBTRFS_TESTS_LIB_ORDERCHECK_H

#include "tests/lib/blk.h"

struct ordercheck;

/* Above `nr` disks, which outlive it, and which may hold a filesystem (nothing pending) or nothing yet. */
struct ordercheck *ordercheck_create(unsigned nr, const struct blk *lower);
void ordercheck_destroy(struct ordercheck *oc);
const struct blk *ordercheck_blk(struct ordercheck *oc, unsigned i);

/* Rules broken so far, and the first time in words ("" if none). */
unsigned ordercheck_violations(struct ordercheck *oc);
const char *ordercheck_text(struct ordercheck *oc);
/* Generation of the superblock that is durable everywhere, 0 if none; superblocks that became so. */
uint64_t ordercheck_durable(struct ordercheck *oc);
unsigned ordercheck_commits(struct ordercheck *oc);

#endif
