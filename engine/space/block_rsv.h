/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Block reserves: promised metadata space (may_use of a space_info) with a purpose.
 *
 * A reserve has a `size`, what it should hold, and `reserved`, what it does. Excess over the size flows on
 * when bytes are released: to the delayed refs' reserve if that is not full (from that one, and from
 * a handle's share of it: to the global reserve), and what is still left back to the space_info.
 *
 * Invariants: 1. `full` ⇔ reserved >= size. 2. The sum of `reserved` over a space_info's reserves and
 * its `loose` bytes is its may_use. 3. A handle's blocks taken never exceed the blocks set aside for it;
 * where they do (an overrun) that is a bug of whoever computed the number of items: asserted if the set says so,
 * else served from the global reserve, counted, and logged once.
 *
 * Locks: the space_info's lock covers its reserves. No other.
 */
#ifndef UBTRFS_ENGINE_SPACE_BLOCK_RSV_H
#define UBTRFS_ENGINE_SPACE_BLOCK_RSV_H

#include "engine/space/space_info.h"

enum rsv_type {
	RSV_GLOBAL,           /* last resort, and what root, dev and quota trees live on */
	RSV_DELALLOC,         /* dirty file data: its items to come */
	RSV_TRANS,            /* open handles */
	RSV_CHUNK,            /* the chunk tree, in SYSTEM space */
	RSV_DELOPS,           /* delayed items; a handle's share for delayed refs */
	RSV_DELREFS,          /* running delayed refs, with the trees they change */
	RSV_TREELOG,
	RSV_EMPTY,            /* always dry: every block is asked for */
	RSV_TEMP,             /* somebody's own, for a while */
	RSV_TYPE_NR,
};

struct block_rsv {
	enum rsv_type type;
	bool failfast;        /* dry is ENOSPC: no other reserve is asked */
	struct space_info *si;
	/* under si->lock */
	uint64_t size, reserved;
	bool full;
	uint64_t blocks_set_aside; /* node-size blocks that ever went in */
	uint64_t blocks_taken;     /* … and that COWs took out */
	uint64_t overruns;         /* blocks that were wanted when it was dry */
	LIST_ENTRY(block_rsv) link;
};

#define RSV_MAX_LEVEL 8
#define RSV_UNLINK_ITEMS 7      /* items that the global reserve must always be able to serve */
#define RSV_GLOBAL_MAX (512ULL << 20)

/* ---- formulas (bytes), as the kernel's; `nr` items ---- */

static inline uint64_t rsv_insert_bytes(uint32_t nodesize, uint64_t nr)
{
	return (uint64_t)nodesize * RSV_MAX_LEVEL * 2 * nr;
}

/* Changing or deleting without splitting. */
static inline uint64_t rsv_change_bytes(uint32_t nodesize, uint64_t nr)
{
	return (uint64_t)nodesize * RSV_MAX_LEVEL * nr;
}

/* Twice with a free-space tree, which changes with every extent. */
static inline uint64_t rsv_ref_bytes(uint32_t nodesize, bool fst, uint64_t nr)
{
	return rsv_insert_bytes(nodesize, nr) << fst;
}

static inline uint64_t rsv_ref_csum_bytes(uint32_t nodesize, uint64_t nr)
{
	return rsv_change_bytes(nodesize, nr);
}

/*
 * Blocks that one search for insertion in a tree of `height` levels may allocate: over all levels 1 for the
 * copy, both siblings, and two new blocks (a leaf can be split in three); the root has no siblings, splits
 * in two (a lone leaf in three), and gets a new root above.
 */
unsigned rsv_search_budget(unsigned height);
/* Bytes that the global reserve should have: trees' used bytes, floors for items and unlink, at most 512 MiB. */
uint64_t rsv_global_size(uint32_t nodesize, bool fst, uint64_t trees_used, unsigned nr_trees);

/* ---- the reserves of one filesystem ---- */

struct rsv_set {
	struct space *sp;
	uint32_t nodesize;
	bool fst;             /* has a free-space tree */
	bool one_pool;        /* handles share one TRANS reserve, as Linux does; else each has its own */
	bool assert_overruns;
	struct counters *counters;
	struct msg *msg;
	struct block_rsv global, trans, delayed_refs, delayed_items, delalloc, treelog, chunk, empty;
	/* under the metadata space_info's lock */
	uint64_t trees_used;  /* as the last rsv_global_update had it */
	unsigned nr_trees;
	bool overrun_said;
};

/* After the space_infos exist: METADATA (or mixed) and SYSTEM. `one_pool` etc. may be set before the first handle. */
void rsv_set_init(struct rsv_set *set, struct space *sp, bool fst);
/*
 * With no handle and no transaction only the global reserve has something. NULL, or what is wrong: space that
 * somebody forgot to give back.
 */
const char *rsv_set_verify_idle(struct rsv_set *set);
/* Releases everything; no handle is open, no ref delayed. */
void rsv_set_fini(struct rsv_set *set);

void rsv_init(struct rsv_set *set, struct block_rsv *rsv, enum rsv_type type, struct space_info *si);
/* Releases all and takes it off its space_info. */
void rsv_fini(struct rsv_set *set, struct block_rsv *rsv);
/* Reserves `bytes` more into it; size grows with it. Return: as space_reserve. */
MUST_CHECK int rsv_add(struct rsv_set *set, struct block_rsv *rsv, uint64_t bytes, enum space_flush flush,
		       void *handle);
/* Reserves what is missing for it to hold `bytes`. Its size does not change. Return: as space_reserve. */
MUST_CHECK int rsv_refill(struct rsv_set *set, struct block_rsv *rsv, uint64_t bytes, enum space_flush flush,
			  void *handle);
/* True if it holds at least pct percent of its size. */
bool rsv_check(struct block_rsv *rsv, unsigned pct);
/* Moves bytes between reserves of one space_info; `grow`: the target's size too. 0; -ENOSPC (too few there). */
MUST_CHECK int rsv_migrate(struct block_rsv *src, struct block_rsv *dst, uint64_t bytes, bool grow);
/*
 * Takes `bytes` off the size (UINT64_MAX: all of it) and lets the excess flow on. Return: the bytes that
 * went back to the space_info.
 */
uint64_t rsv_release(struct rsv_set *set, struct block_rsv *rsv, uint64_t bytes);
/* Sizes the global reserve anew (rsv_global_size) and fills it from nothing, or lets go what is too much. */
void rsv_global_update(struct rsv_set *set, uint64_t trees_used, unsigned nr_trees);

/* ---- a transaction handle's part; embedded in txn/'s handle ---- */

struct rsv_handle {
	struct block_rsv own;     /* TRANS; unused with one_pool */
	struct block_rsv delayed; /* DELOPS: for the delayed refs this handle makes */
	uint64_t bytes;           /* of metadata still reserved for it */
	uint64_t blocks_set_aside, blocks_taken, overruns; /* the handle's thread's */
	struct block_rsv *rsv;    /* where its blocks come from: own, or the pool, or what the user set */
};

/*
 * Reserves for `items` items, before joining a transaction: insert bytes into the handle, and delayed
 * ref bytes beside. FLUSH_ALL also asks for what the delayed refs' reserve lacks, but goes on
 * without; FLUSH_ALL_STEAL goes on without the delayed refs' part. items 0: nothing (a join).
 * Context: may block, may commit. Return: 0; as space_reserve, nothing reserved then.
 */
MUST_CHECK int rsv_handle_begin(struct rsv_set *set, struct rsv_handle *h, unsigned items,
				enum space_flush flush);
/* Inside a handle, for more items: NO_FLUSH or LIMIT. Return: as space_reserve. */
MUST_CHECK int rsv_handle_extend(struct rsv_set *set, struct rsv_handle *h, unsigned items,
				 enum space_flush flush);
/* Gives back what was not used. The handle is zeroed but for its figures. */
void rsv_handle_end(struct rsv_set *set, struct rsv_handle *h);
/* So much of the handle goes to `dst`, whose size grows (delayed items). 0; -ENOSPC when the handle has not that much. */
MUST_CHECK int rsv_handle_migrate(struct rsv_set *set, struct rsv_handle *h, struct block_rsv *dst, uint64_t bytes);

/* What asks for a block. */
struct rsv_root {
	uint64_t id;              /* tree's object id */
	bool shareable;           /* subvolumes: snapshots can share their blocks */
	bool log;
	bool adding_csums;        /* csum tree: written in a handle that reserved for it */
};
/* The reserve that pays for a block of this tree in this handle (h NULL: none). */
struct block_rsv *rsv_for_root(struct rsv_set *set, struct rsv_handle *h, const struct rsv_root *root);
/*
 * Takes one block of node size for `root`: its reserve; if dry and not failfast, a fresh
 * reservation without waiting; the global reserve, unless for a log; an emergency one.
 * The bytes are then loose may_use, to be spent by space_alloc or given back by rsv_unuse_block.
 * Context: does not block. Return: 0 with *out_rsv, which paid; -ENOSPC; -EROFS.
 */
MUST_CHECK int rsv_use_block(struct rsv_set *set, struct rsv_handle *h, const struct rsv_root *root,
			     struct block_rsv **out_rsv);
/* The block was not allocated after all. */
void rsv_unuse_block(struct rsv_set *set, struct rsv_handle *h, struct block_rsv *rsv);

/* ---- delayed refs ---- */

/* New delayed refs and checksum deletions: the reserve's size grows, what the handle had for them moves in. */
void rsv_refs_add(struct rsv_set *set, struct rsv_handle *h, uint64_t refs, uint64_t csums);
/* They ran, or were merged away. */
void rsv_refs_release(struct rsv_set *set, uint64_t refs, uint64_t csums);
/* Block group items to be inserted or changed at commit. Negative: no longer. */
void rsv_refs_groups(struct rsv_set *set, int inserts, int updates);
/* Brings one unit into the delayed refs' reserve if it lacks one. Return: as space_reserve. */
MUST_CHECK int rsv_refs_refill(struct rsv_set *set, enum space_flush flush, void *handle);
/* True if delayed refs should be run, or the handle ended, before more is added. */
bool rsv_refs_pressing(struct rsv_set *set);

const char *rsv_type_name(enum rsv_type type);
/* One line. Under the space_info's lock. */
void rsv_to_text_locked(const struct block_rsv *rsv, FILE *out);

#endif
