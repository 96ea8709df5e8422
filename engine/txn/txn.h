/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Transactions: handles that join, and the commit that makes their changes durable together.
 *
 * Words: a *transaction* is all changes between two commits; a *handle* is one thread's part in the running one, with
 * what it reserved. Inside a handle a thread waits for nobody who may wait for a commit.
 *
 * States, and who moves them (txn_set_state asserts the edge):
 *
 *   RUNNING ──txn_commit──▶ COMMIT_START ──the last handle but the committer's ended──▶ COMMIT_DOING
 *      starts and joins        joins                                                       nobody
 *   COMMIT_DOING ──roots switched──▶ UNBLOCKED ──supers durable──▶ SUPER_COMMITTED ──unpinned──▶ COMPLETED
 *                                    the next one may start
 *   any before SUPER_COMMITTED ──txn_abort──▶ ABORTED: the filesystem is read-only from here on; the last committed
 *   state is what the disk has.
 */
#ifndef UBTRFS_ENGINE_TXN_TXN_H
#define UBTRFS_ENGINE_TXN_TXN_H

#include "engine/cache/writeback.h"
#include "engine/space/space_fs.h"
#include "engine/txn/fs.h"

struct txn;

/* Of one thread. `st` comes first. */
struct txn_handle {
	struct space_trans st;
	struct txn *txn;
	struct fs *ffs;
	/* Blocks that this handle made, copied or went through: kept from write-out until its end. Counts copies. */
	struct eb_holds holds;
};

/*
 * Reserves for `items` items (block_rsv.h), then joins the running transaction or starts one.
 * Locks: none but subvolume's and inodes'. Context: may block, may commit.
 * Return: 0; -ENOSPC; -EROFS (the filesystem was opened read-only, or a transaction was aborted); -ENOMEM.
 */
MUST_CHECK int txn_begin(struct fs *fs, unsigned items, struct txn_handle **out_h);
/* With another way of reserving: SPACE_FLUSH_ALL_STEAL for unlink, truncate and the like, which free space. */
MUST_CHECK int txn_begin_flush(struct fs *fs, unsigned items, enum space_flush flush, struct txn_handle **out_h);
/* Joins or starts without reserving. */
MUST_CHECK int txn_join(struct fs *fs, struct txn_handle **out_h);
/* Joins a running one, starts none: -ENOENT. */
MUST_CHECK int txn_attach(struct fs *fs, struct txn_handle **out_h);
/*
 * Ends the handle; runs some delayed references if they press. Return: 0; -EROFS or the abort's errno: what the handle did will
 * not be committed.
 */
int txn_end(struct txn_handle *h);
/* True if the handle should be ended and another begun: somebody commits, or references or reserves press. */
bool txn_should_end(struct txn_handle *h);
/*
 * Ends the handle and commits. Durability: on 0 all that was done before is. If another thread commits already, waits for
 * it. Return: 0; the abort's errno.
 */
MUST_CHECK int txn_commit(struct txn_handle *h);
/* Makes durable all that ended before, committing if need be. 0; the abort's errno. */
MUST_CHECK int txn_sync(struct fs *fs);
/*
 * A change that was begun cannot be ended: no further commit, the filesystem turns read-only. Said once, with the place. The handle
 * still has to be ended. Returns err.
 */
#define txn_abort(h, err) txn_abort_at((h), (err), __FILE__, __LINE__)
int txn_abort_at(struct txn_handle *h, int err, const char *file, int line);
/* 0, or why the filesystem became read-only. */
int txn_error(const struct fs *fs);
/* The running transaction's generation; the handle's own is h->st.bt.generation. */
uint64_t txn_generation(struct fs *fs);
/* The superblock of the last commit; fs->super is that of the opening. */
void txn_super(struct fs *fs, struct btrfs_super_block *out_sb);
/* For statfs, verifying and the like; NULL: opened read-only. */
struct space_fs *txn_space(struct fs *fs);

/* ---- hooks: what upper layers want done in a commit ---- */

enum txn_stage {
	TXN_STAGE_ITEMS,          /* handles are all in; inode items, pending snapshots: changes fs trees */
	TXN_STAGE_NR,
};
/* 0 or -errno, which aborts. Before the first transaction. */
void txn_hook(struct fs *fs, enum txn_stage stage, int (*fn)(void *arg, struct txn_handle *h), void *arg);

/* ---- opening ---- */

struct txn_opts {
	unsigned commit_sec;      /* 0: 30 */
	unsigned threads;         /* that call at once; sizes the cache */
	bool one_pool;            /* Linux's shared reserve of handles */
	enum bt_search_mode search;
	enum eb_policy policy;
	bool assert_overruns;     /* as in debug builds: a handle that takes more than it reserved stops the program */
	bool no_threads;          /* tests by steps: no commit, writeback or flusher thread */
	unsigned restart_every, restart_times; /* struct bt_lab; 0: none */
	bool restart_writes;
};
/*
 * Makes an opened filesystem writable: spaces, reserves, block groups, live trees, threads. The opener has refused what cannot be
 * written. Return: 0; -EUCLEAN, -EIO, -ENOMEM; -EINVAL (metadata cache too small; said).
 */
MUST_CHECK int txn_open(struct fs *fs, const struct txn_opts *opts);
/*
 * Commits what is left (unless aborted), ends threads, frees all. All handles have ended; the cache is of no use
 * any more but to be destroyed if the transaction was aborted. Return: the commit's, or the abort's errno. fs->txn is NULL
 * afterwards.
 */
int txn_close(struct fs *fs);
/* The same without committing: as a crash would leave it. */
void txn_crash(struct fs *fs);
/* Writes up to `max` dirty blocks now, as the writeback thread would. 0; -errno. */
int txn_writeback(struct fs *fs, unsigned max);
/* Removes empty block groups, as the commit thread does after commits. 0; -errno. */
int txn_clean(struct fs *fs);

/* ---- roots ---- */

/* A copy of the root item as it is now (bytenr, level and generation as of the last commit). Any root that root_get gave. */
void root_item(const struct root *root, struct btrfs_root_item *out_item);

/* The live tree of a subvolume that root_get gave. */
struct bt_tree *root_tree(const struct root *root);
/* The next free inode number of a subvolume. 0; -ENOSPC (all used); -errno. */
MUST_CHECK int root_next_ino(struct fs *fs, const struct root *root, uint64_t *out_ino);
/* Something in the subvolume changed now: ctransid and ctime of its root item. */
void root_touch(struct txn_handle *h, const struct root *root);

#endif
