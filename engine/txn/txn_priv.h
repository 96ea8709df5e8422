/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of txn/ share. */
#ifndef UBTRFS_ENGINE_TXN_TXN_PRIV_H
#define UBTRFS_ENGINE_TXN_TXN_PRIV_H

#include "engine/cache/writeback.h"
#include "engine/space/chunk.h"
#include "engine/space/dref.h"
#include "engine/txn/txn.h"

#include <sys/queue.h>

enum txn_state {
	TXN_RUNNING,
	TXN_COMMIT_START,
	TXN_COMMIT_DOING,
	TXN_UNBLOCKED,
	TXN_SUPER_COMMITTED,
	TXN_COMPLETED,
	TXN_ABORTED,
};

struct txn {
	struct txn_mgr *mgr;
	uint64_t generation; /* constant once handles can join */
	uint64_t started_ns;
	struct eb_dirty dirty;
	struct dref_set *drefs;
	struct chunk_pending *chunks;
	_Atomic bool changed; /* there is something to commit */
	_Atomic int state;    /* changed under mgr->lock */
	/* under mgr->lock */
	unsigned refs;
	unsigned writers; /* handles that have not ended */
};

/* A tree that changes, with its root item. The trees of struct bt_trans_ops' calls are these. */
struct live_root {
	struct bt_tree tree;   /* first */
	bool used_now;	       /* global trees: the filesystem has it */
	bool has_item;	       /* false: the superblock says where it starts */
	uint64_t item_offset;  /* of the root item's key */
	_Atomic uint64_t used; /* bytes of its blocks */
	_Atomic bool dirty;    /* on mgr->dirty_roots */
	TAILQ_ENTRY(live_root) dirty_link;
	pthread_mutex_t lock; /* item */
	struct btrfs_root_item item;
	pthread_mutex_t ino_lock; /* next_ino; held over the search for the first */
	uint64_t next_ino;	  /* 0: not known yet */
};

enum live_id {
	LIVE_ROOT,
	LIVE_CHUNK,
	LIVE_EXTENT,
	LIVE_DEV,
	LIVE_CSUM,
	LIVE_UUID,
	LIVE_FST,
	LIVE_BG,
	LIVE_NR,
};

struct txn_hook_fn {
	int (*fn)(void *arg, struct txn_handle *h);
	void *arg;
};

#define TXN_HOOKS_MAX 4

struct txn_mgr {
	struct fs *fs;
	struct txn_opts opts;
	struct space_fs space;
	struct rsv_set rsv;
	bool rsv_ready;
	struct live_root live[LIVE_NR];
	struct eb_writeback *wb;
	struct bt_lab lab;
	bool uuid_gen_follows; /* the uuid tree is up to date: so says the superblock, and is to go
				  on saying */
	unsigned backup_next;  /* slot of the next backup root; the committer's */
	struct txn_hook_fn hooks[TXN_STAGE_NR][TXN_HOOKS_MAX];

	pthread_mutex_t lock;	/* a leaf: nothing is taken under it but the writeback thread's */
	pthread_cond_t changed; /* a state, a handle's end */
	struct txn *running;	/* handles join it; an aborted one stays to the close */
	struct txn *committing; /* from UNBLOCKED to COMPLETED */
	uint64_t generation;	/* of the last transaction that was switched from, else of the
				   superblock */
	struct btrfs_super_block super; /* the last one that is durable */
	_Atomic int error;		/* why there are no more commits */

	pthread_mutex_t roots_lock; /* a leaf */
	TAILQ_HEAD(, live_root) dirty_roots;

	/* thread.c, under lock */
	pthread_t thread;
	pthread_cond_t wake;
	bool has_thread, ending, clean_wanted;
	uint64_t cleaned_ns;
	uint64_t commit_again_ns; /* after one that failed without an abort */
};

static inline struct live_root *live_of(struct bt_tree *tree)
{
	return (struct live_root *)tree;
}

/* ---- txn.c ---- */

/* The one place where a state changes; asserts the edge, and wakes. */
void txn_set_state_locked(struct txn *t, enum txn_state to);
enum txn_how {
	TXN_START,
	TXN_JOIN,
	TXN_ATTACH,
};
/* A reference and a writer more of the running transaction. 0; -ENOENT (attach); -EROFS; -ENOMEM.
 */
MUST_CHECK int txn_enter(struct txn_mgr *mgr, enum txn_how how, struct txn **out_t);
void txn_leave(struct txn *t);
void txn_ref(struct txn *t);
void txn_put(struct txn *t);
/* Until it is COMPLETED or ABORTED: 0 or the abort's errno. */
int txn_wait_done(struct txn *t);
bool txn_is_aborted(const struct txn *t);
void txn_mgr_abort(struct txn_mgr *mgr, struct txn *t, int err, const char *file, int line);
uint64_t txn_now_ns(void);

/* ---- handle.c ---- */

/* Gives back all that the handle has but its place in the transaction. Twice is fine. */
void handle_retire(struct txn_handle *h);
int txn_write_blocks(void *arg, struct eb_write *ios, unsigned nr);

/* ---- live.c ---- */

void live_init(struct live_root *live, struct bt_root *bt, const struct btrfs_root_item *item,
	       uint64_t item_offset);
void live_fini(struct live_root *live);
/* The global tree's, or NULL. */
struct live_root *live_find(struct fs *fs, uint64_t id);
void live_mark(struct txn_mgr *mgr, struct live_root *live);
/* The next that is out of date, its mark taken away, or NULL. */
struct live_root *live_next_dirty(struct txn_mgr *mgr);
uint64_t live_used(struct live_root *live);

/* ---- root.c: the table of subvolumes ---- */

/* Those that were looked up before the filesystem became writable, and back. */
void root_table_go_live(struct root_table *t);
void root_table_go_still(struct root_table *t);

/* ---- super.c ---- */

/* The superblock that goes with the live trees and devices as they are now. 0; -errno. */
MUST_CHECK int super_build(struct txn_mgr *mgr, uint64_t generation, struct btrfs_super_block *sb);
void super_open(struct txn_mgr *mgr);

/* ---- rows.c, thread.c ---- */

void rows_register(struct txn_mgr *mgr);
MUST_CHECK int thread_start(struct txn_mgr *mgr);
void thread_stop(struct txn_mgr *mgr);
/* Empty block groups may have come about. */
void thread_want_clean_locked(struct txn_mgr *mgr);

/* ---- open.c ---- */

/* After a commit: what the global reserve should hold. */
void txn_size_global(struct txn_mgr *mgr);

#endif
