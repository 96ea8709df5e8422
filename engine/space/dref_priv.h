/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of delayed references share. */
#ifndef UBTRFS_ENGINE_SPACE_DREF_PRIV_H
#define UBTRFS_ENGINE_SPACE_DREF_PRIV_H

#include "engine/space/dref.h"

#include <sys/queue.h>
#include <sys/tree.h>

struct dref_node {
	RB_ENTRY(dref_node) node;
	struct dref ref;
	int64_t mod; /* adds less drops; never 0 in a tree */
};

RB_HEAD(dref_refs, dref_node);

/* Changes of one extent that belong together: waiting at its head, or taken out to be run. */
struct dref_work {
	struct dref_refs refs;
	uint64_t nr;		    /* of refs */
	int64_t total;		    /* sum of their mods */
	uint64_t flags;		    /* to be set in the item */
	bool fresh;		    /* allocated, no item yet */
	struct btrfs_key first_key; /* of a fresh tree block */
};

struct dref_head {
	RB_ENTRY(dref_head) node;
	uint64_t logical, len;
	int level;    /* -1: data */
	bool running; /* a part of its changes was taken out and is being run */
	struct dref_work work;
};

RB_HEAD(dref_heads, dref_head);

/* On the stack of whoever looks an extent up: it must not be run meanwhile. */
struct dref_looker {
	LIST_ENTRY(dref_looker) link;
	uint64_t logical;
};

struct dref_set {
	struct space_fs *fs;
	pthread_mutex_t lock;
	pthread_cond_t moved; /* a head's run ended, a look-up ended, the runner left */
	/* under lock */
	struct dref_heads heads; /* by address */
	uint64_t nr;
	LIST_HEAD(, dref_looker) lookers;
	bool has_runner;
	uint64_t next; /* address at which the next run goes on */
};

RB_PROTOTYPE(dref_refs, dref_node, node, dref_node_cmp);
RB_PROTOTYPE(dref_heads, dref_head, node, dref_head_cmp);
int dref_node_cmp(const struct dref_node *a, const struct dref_node *b);
int dref_head_cmp(const struct dref_head *a, const struct dref_head *b);

/* Shares in the delayed refs' reserve. */
struct dref_charge {
	uint64_t refs, csums;
};

struct dref_charge dref_charge_of(const struct dref_set *set, const struct dref_head *head,
				  const struct dref_work *work);
struct dref_head *dref_find_locked(struct dref_set *set, uint64_t logical);
/* Frees the head if it has nothing waiting and nothing running. */
void dref_head_settle_locked(struct dref_set *set, struct dref_head *head);
void dref_work_clear(struct dref_work *work);

/* Deletes the sums of a range of data; the csum tree is changed, and no other. 0; -errno. */
MUST_CHECK int csum_delete(struct space_trans *st, uint64_t logical, uint64_t len);

#endif
