/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A filesystem of trees over the fake volume, with the real space/ below them: reserves, block groups, delayed
 * references and an extent tree that describes all of it; and a commit as small as it can be. In the place of txn/
 * and of chunks, which never come or go here.
 *
 * What it finds wrong in itself aborts the process with a line.
 */
#ifndef UBTRFS_TESTS_UNIT_SPACERIG_H
#define UBTRFS_TESTS_UNIT_SPACERIG_H

#include "engine/space/extent_tree.h"
#include "tests/unit/fakevol.h"

#define RIG_META (1ull << 30)   /* where the volume's blocks are */
#define RIG_DATA (1ull << 34)
#define RIG_SECTOR 4096u
#define RIG_FIRST_TREE 300
#define RIG_TREES 6

struct rig {
	struct vol *v;
	struct eb_cache *c;
	struct eb_dirty dirty;
	struct space *sp;
	struct rsv_set rsv;
	struct bg_index *bgs;
	struct space_fs fs;
	struct dref_set *drefs;
	struct space_info *data, *meta, *sys;
	uint64_t generation;
	uint64_t data_bytes;
	struct bt_tree root, extent, csum;
	struct bt_tree *trees[RIG_TREES]; /* subvolumes, ids from RIG_FIRST_TREE on */
	unsigned trees_nr;
	enum bt_search_mode mode;
	struct range_set in_use;  /* as the free-space tree would have it */
	uint8_t *summed;          /* of each sector of data, whether it was given a sum */
	/* What verifying came by in all: a test may want to know that it met it. */
	uint64_t met_keyed, met_shared_blocks, met_shared_data;
	_Atomic int aborted;
};

struct rig_opts {
	uint32_t nodesize;
	unsigned blocks;
	unsigned frames;
	unsigned threads;
	uint64_t data_bytes;
	bool skinny;
	enum bt_search_mode mode;
};

/* With one subvolume, committed. */
struct rig *rig_create(const struct rig_opts *o);
void rig_destroy(struct rig *r);
void rig_begin(struct rig *r, struct space_trans *st, unsigned items);
void rig_end(struct rig *r, struct space_trans *st);
/* Up to `max` dirty blocks are written in mid-transaction. */
void rig_write_some(struct rig *r, unsigned max);
/* Everything is run and written; next generation. No handles are open. Return: 0 or -errno. */
int rig_commit(struct rig *r);
/* Block groups would have their items now: what the reserve had for these is given back. */
void rig_settle_groups(struct rig *r);
/* A snapshot of subvolume `of`. */
void rig_snapshot(struct rig *r, struct space_trans *st, unsigned of);

/* ---- files ---- */

/* A new extent of data for (ino, off) of a subvolume, which has nothing there. 0; -ENOSPC. */
int rig_write(struct rig *r, struct space_trans *st, unsigned tree, uint64_t ino, uint64_t off, uint64_t len,
	      bool sums);
/* The same extent as `fi` has, from `skip` on, at another place that has nothing. */
void rig_clone(struct rig *r, struct space_trans *st, unsigned tree, uint64_t ino, uint64_t off,
	       const struct btrfs_file_extent_item *fi, uint64_t skip);
/* Drops the file extent at this key, or does nothing. */
void rig_drop(struct rig *r, struct space_trans *st, unsigned tree, uint64_t ino, uint64_t off);

/* ---- spacecheck.c: after a commit ---- */

/* The extent tree against a walk over all trees, space against the extent tree; says what differs. */
bool rig_verify(struct rig *r);
/* backref_walk of every extent against that walk. */
bool rig_verify_backrefs(struct rig *r);

static inline uint64_t rig_rnd(uint64_t *s)
{
	uint64_t x = *s += 0x9E3779B97F4A7C15ull;

	x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9ull;
	x = (x ^ x >> 27) * 0x94D049BB133111EBull;
	return x ^ x >> 31;
}

#define rig_wrong(...) (fprintf(stderr, __VA_ARGS__), fputc('\n', stderr), abort())

#endif
