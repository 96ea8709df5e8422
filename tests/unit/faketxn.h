/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A transaction in memory over the fake volume, in the place of engine/space and engine/txn: addresses of
 * blocks, and of each block in use every back reference, so that none may be dropped that is not there.
 * What it finds wrong, and failures of its own, abort the process with a line.
 */
#ifndef UBTRFS_TESTS_UNIT_FAKETXN_H
#define UBTRFS_TESTS_UNIT_FAKETXN_H

#include "engine/btree/bt_live.h"
#include "engine/cache/writeback.h"
#include "tests/unit/fakevol.h"

#define FAKE_REFS 24

struct fake_ref {
	bool full;   /* from the block at `from`; else from tree `from` */
	uint64_t from;
};

struct fake_block {
	bool used;
	uint64_t pinned; /* in this generation; 0: not */
	uint64_t flags;
	unsigned nr;
	struct fake_ref refs[FAKE_REFS];
};

struct faketxn {
	struct vol *v;
	struct eb_cache *c;
	struct eb_dirty lists[2];
	struct eb_dirty *dirty; /* of the running generation */
	struct eb_dirty *late;	/* of the one whose commit is under way, or NULL */
	enum eb_policy policy; /* none, unless set before the first handle */
	struct eb_writeback *wb; /* or NULL */
	_Atomic unsigned wb_failed; /* times that it told of a failure */
	void (*during_write)(struct faketxn *f); /* called while blocks are under I/O */
	pthread_mutex_t lock;
	uint64_t generation;
	unsigned blocks_nr;
	struct fake_block *blocks;
	unsigned hand;            /* where to look for a free address */
	/* Faults: the nth call from now on fails; 0: none. */
	unsigned fail_alloc, fail_refs, fail_write;
	unsigned allocs, ref_calls;
	int aborted;
};

struct faketxn *faketxn_create(uint32_t nodesize, unsigned blocks, unsigned frames, unsigned threads);
void faketxn_destroy(struct faketxn *f);
/* A handle: a bt_trans of the running transaction. */
struct fake_handle {
	struct bt_trans t;
	struct faketxn *f;
	struct eb_holds holds;
	uint64_t allocs;
};
void faketxn_begin(struct faketxn *f, struct fake_handle *h, enum bt_search_mode mode);
void faketxn_end(struct fake_handle *h);
/* Has a writeback write, instead of who finds no frame. */
void faketxn_writeback(struct faketxn *f, bool thread);
/* Writes up to `max` dirty blocks in mid-transaction. */
void faketxn_write_some(struct faketxn *f, unsigned max);
/* Writes all, frees what is pinned, next generation. No handles are open. 0 or the write's error. */
int faketxn_commit(struct faketxn *f);
/* The two halves of it: the next generation runs while the blocks of this one are written. */
void faketxn_switch(struct faketxn *f);
int faketxn_finish(struct faketxn *f);
/* Holds the references of all blocks against what these trees use, exactly; says what differs. */
bool faketxn_refs_right(struct faketxn *f, struct bt_tree **trees, unsigned nr);
/* Blocks in use. */
unsigned faketxn_used(struct faketxn *f);

#endif
