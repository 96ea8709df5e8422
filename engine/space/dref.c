// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Delayed references: the set of heads, adding to it, and looking up what it says together with the
 * extent tree. Running them is in dref_run.c.
 *
 * Life of a head, all under the set's lock:
 *
 *   none --first change--> waiting --runner takes its changes out--> running --run ended--> none
 *     ^                    |  ^                                        |  ^
 *     +--changes cancel----+  +--run ended, with changes that came--+ changes come
 *
 * Invariants: 1. What a head has waiting came after what was taken out of it. 2. A ref is in a head
 * at most once; its adds and drops are one number, and at 0 it is gone. 3. A fresh head whose refs
 * are all gone stays until it is run: its space is to be pinned. 4. dref_charge_of() of all work
 * that waits or runs is what the set has in the delayed refs' reserve.
 *
 * Locks: the set's; nothing but a space_info's comes after it.
 */
#include "engine/space/dref_priv.h"
#include "engine/space/extent_tree.h"
#include "engine/util/fault.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

static int cmp64(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

int dref_node_cmp(const struct dref_node *a, const struct dref_node *b)
{
	int c = cmp64(a->ref.parent, b->ref.parent);

	if (!c)
		c = cmp64(a->ref.root, b->ref.root);
	if (!c)
		c = cmp64(a->ref.ino, b->ref.ino);
	return c ? c : cmp64(a->ref.offset, b->ref.offset);
}

int dref_head_cmp(const struct dref_head *a, const struct dref_head *b)
{
	return cmp64(a->logical, b->logical);
}

RB_GENERATE(dref_refs, dref_node, node, dref_node_cmp);
RB_GENERATE(dref_heads, dref_head, node, dref_head_cmp);

int dref_set_create(struct space_fs *fs, struct dref_set **out_set)
{
	struct dref_set *set = eng_zalloc(sizeof(*set));

	*out_set = NULL;
	if (!set)
		return -ENOMEM;
	set->fs = fs;
	pthread_mutex_init(&set->lock, NULL);
	pthread_cond_init(&set->moved, NULL);
	RB_INIT(&set->heads);
	LIST_INIT(&set->lookers);
	*out_set = set;
	return 0;
}

void dref_work_clear(struct dref_work *work)
{
	struct dref_node *n, *tmp;

	RB_FOREACH_SAFE(n, dref_refs, &work->refs, tmp)
	{
		RB_REMOVE(dref_refs, &work->refs, n);
		free(n);
	}
	*work = (struct dref_work){ .refs = RB_INITIALIZER(&work->refs) };
}

void dref_set_destroy(struct dref_set *set)
{
	struct dref_head *head, *tmp;

	if (!set)
		return;
	assert(!set->has_runner && LIST_EMPTY(&set->lookers));
	RB_FOREACH_SAFE(head, dref_heads, &set->heads, tmp)
	{
		struct dref_charge charge = dref_charge_of(set, head, &head->work);

		rsv_refs_release(set->fs->rsv, charge.refs, charge.csums);
		RB_REMOVE(dref_heads, &set->heads, head);
		dref_work_clear(&head->work);
		free(head);
	}
	pthread_cond_destroy(&set->moved);
	pthread_mutex_destroy(&set->lock);
	free(set);
}

/* ---- heads ---- */

struct dref_head *dref_find_locked(struct dref_set *set, uint64_t logical)
{
	struct dref_head key = { .logical = logical };

	return RB_FIND(dref_heads, &set->heads, &key);
}

static bool idle(const struct dref_head *head)
{
	return !head->running && !head->work.nr && !head->work.flags && !head->work.fresh;
}

void dref_head_settle_locked(struct dref_set *set, struct dref_head *head)
{
	if (!idle(head))
		return;
	RB_REMOVE(dref_heads, &set->heads, head);
	set->nr--;
	free(head);
}

struct dref_charge dref_charge_of(const struct dref_set *set, const struct dref_head *head,
				  const struct dref_work *work)
{
	struct dref_charge charge = { .refs = work->nr + !!work->flags };
	uint64_t leaf_sums, sums;

	/* Data that may go takes its sums along. */
	if (head->level < 0 && (work->total < 0 || (work->fresh && !work->nr))) {
		leaf_sums = (btrfs_leaf_data_size(set->fs->nodesize) - sizeof(struct btrfs_item)) /
			    set->fs->csum_size;
		sums = head->len / set->fs->sectorsize;
		charge.csums = (sums + leaf_sums - 1) / leaf_sums;
	}
	return charge;
}

/* ---- adding ---- */

struct change {
	uint64_t logical, len;
	int level;
	const struct dref *ref; /* NULL: flags only */
	int64_t add;
	const struct btrfs_key *fresh_key;
	bool fresh;
	uint64_t flags;
	/* Memory that it may need, got with no lock held. */
	struct dref_head *head;
	struct dref_node *node;
};

static struct dref_node *find_ref(struct dref_work *work, const struct dref *ref)
{
	struct dref_node key = { .ref = *ref };

	return RB_FIND(dref_refs, &work->refs, &key);
}

static struct dref_head *insert_head_locked(struct dref_set *set, struct change *ch)
{
	struct dref_head *head = ch->head;

	ch->head = NULL;
	head->logical = ch->logical;
	head->len = ch->len;
	head->level = ch->level;
	RB_INIT(&head->work.refs);
	RB_INSERT(dref_heads, &set->heads, head);
	set->nr++;
	return head;
}

static void change_ref(struct dref_work *work, struct dref_node *node, struct change *ch)
{
	work->total += ch->add;
	if (!node) {
		node = ch->node;
		ch->node = NULL;
		node->ref = *ch->ref;
		RB_INSERT(dref_refs, &work->refs, node);
		work->nr++;
	}
	node->mod += ch->add;
	if (!node->mod) {
		RB_REMOVE(dref_refs, &work->refs, node);
		work->nr--;
		free(node);
	}
}

/* Contents of blocks that contradict each other can lead here. */
static int check_head(struct dref_set *set, const struct dref_head *head, const struct change *ch)
{
	if (head->len == ch->len && head->level == ch->level && !ch->fresh)
		return 0;
	return msg_corrupt(set->fs->msg,
			   "extent %" PRIu64 " of %" PRIu64
			   " bytes, level %d, changes as one of %" PRIu64 " bytes, level %d%s",
			   ch->logical, head->len, head->level, ch->len, ch->level,
			   ch->fresh ? ", newly allocated" : "");
}

/* What the reserve is to hold more, or, negative, less. */
struct charge_diff {
	int64_t refs, csums;
};

/* 0; 1: memory is wanted, nothing was done; -EUCLEAN. */
static int apply_locked(struct dref_set *set, struct change *ch, struct charge_diff *out_diff)
{
	struct dref_head *head = dref_find_locked(set, ch->logical);
	struct dref_node *node = head && ch->ref ? find_ref(&head->work, ch->ref) : NULL;
	struct dref_charge was = { 0 }, is;
	int err;

	err = head ? check_head(set, head, ch) : 0;
	if (err)
		return err;
	if ((!head && !ch->head) || (ch->ref && !node && !ch->node))
		return 1;
	if (!head)
		head = insert_head_locked(set, ch);
	else
		was = dref_charge_of(set, head, &head->work);
	if (ch->fresh) {
		head->work.fresh = true;
		if (ch->fresh_key)
			head->work.first_key = *ch->fresh_key;
	}
	head->work.flags |= ch->flags;
	if (ch->ref)
		change_ref(&head->work, node, ch);
	is = dref_charge_of(set, head, &head->work);
	out_diff->refs = (int64_t)(is.refs - was.refs);
	out_diff->csums = (int64_t)(is.csums - was.csums);
	dref_head_settle_locked(set, head);
	return 0;
}

static void settle_charge(struct space_trans *st, const struct charge_diff *diff)
{
	uint64_t more_refs = diff->refs > 0 ? (uint64_t)diff->refs : 0;
	uint64_t more_csums = diff->csums > 0 ? (uint64_t)diff->csums : 0;
	uint64_t less_refs = diff->refs < 0 ? (uint64_t)-diff->refs : 0;
	uint64_t less_csums = diff->csums < 0 ? (uint64_t)-diff->csums : 0;

	if (more_refs || more_csums)
		rsv_refs_add(st->fs->rsv, &st->rsv, more_refs, more_csums);
	if (less_refs || less_csums)
		rsv_refs_release(st->fs->rsv, less_refs, less_csums);
}

static int get_memory(struct change *ch)
{
	if (!ch->head)
		ch->head = eng_zalloc(sizeof(*ch->head));
	if (ch->ref && !ch->node)
		ch->node = eng_zalloc(sizeof(*ch->node));
	return ch->head && (ch->node || !ch->ref) ? 0 : -ENOMEM;
}

static int apply(struct space_trans *st, struct change *ch)
{
	struct dref_set *set = st->drefs;
	struct charge_diff diff = { 0 };
	int err;

	pthread_mutex_lock(&set->lock);
	while ((err = apply_locked(set, ch, &diff)) > 0) {
		pthread_mutex_unlock(&set->lock);
		err = get_memory(ch);
		pthread_mutex_lock(&set->lock);
		if (err)
			break;
	}
	/* Under the lock: whoever runs it must find its share in the reserve. */
	settle_charge(st, &diff);
	pthread_mutex_unlock(&set->lock);
	free(ch->head);
	free(ch->node);
	if (!err)
		counter_inc(st->fs->counters, dref_changes);
	return err;
}

int dref_tree(struct space_trans *st, uint64_t logical, int level, const struct dref *ref, int add,
	      const struct btrfs_key *fresh)
{
	struct dref key = { .parent = ref->parent, .root = ref->parent ? 0 : ref->root };
	struct change ch = {
		.logical = logical,
		.len = st->fs->nodesize,
		.level = level,
		.ref = &key,
		.add = add,
		.fresh_key = fresh,
		.fresh = fresh,
	};

	return apply(st, &ch);
}

int dref_data(struct space_trans *st, uint64_t logical, uint64_t len, const struct dref *ref,
	      int add, bool fresh)
{
	struct dref key = *ref;
	struct block_group *bg;
	int err;
	struct change ch = {
		.logical = logical,
		.len = len,
		.level = -1,
		.ref = &key,
		.add = add,
		.fresh = fresh,
	};

	/* A file's item says where and how long it is. */
	err = bg_extent_check(st->fs->bgs, logical, len, &bg);
	if (err)
		return err;
	bg_put(bg);
	/* A shared reference is its block's, whichever items in it make it. */
	if (key.parent)
		key = (struct dref){ .parent = ref->parent };
	return apply(st, &ch);
}

int dref_flags(struct space_trans *st, uint64_t logical, int level, uint64_t flags)
{
	struct change ch = {
		.logical = logical,
		.len = st->fs->nodesize,
		.level = level,
		.flags = flags,
	};

	return apply(st, &ch);
}

bool dref_cancel_fresh(struct space_trans *st, uint64_t logical)
{
	struct dref_set *set = st->drefs;
	struct dref_charge charge = { 0 };
	struct dref_head *head;
	bool alone;

	pthread_mutex_lock(&set->lock);
	head = dref_find_locked(set, logical);
	alone = head && !head->running && head->work.fresh && !head->work.flags &&
		head->work.nr == 1 && head->work.total == 1;
	if (alone) {
		charge = dref_charge_of(set, head, &head->work);
		dref_work_clear(&head->work);
		dref_head_settle_locked(set, head);
		rsv_refs_release(set->fs->rsv, charge.refs, charge.csums);
	}
	pthread_mutex_unlock(&set->lock);
	return alone;
}

/* ---- looking ---- */

int dref_info(struct space_trans *st, uint64_t logical, int level, uint64_t *out_refs,
	      uint64_t *out_flags)
{
	struct dref_looker looker = { .logical = logical };
	struct dref_set *set = st->drefs;
	struct extent_info info = { 0 };
	struct dref_head *head;
	int64_t delayed = 0;
	int err;

	*out_refs = *out_flags = 0;
	pthread_mutex_lock(&set->lock);
	LIST_INSERT_HEAD(&set->lookers, &looker, link);
	while ((head = dref_find_locked(set, logical)) && head->running)
		pthread_cond_wait(&set->moved, &set->lock);
	pthread_mutex_unlock(&set->lock);
	err = extent_lookup(st->fs, logical, level, &info);
	if (err == -ENOENT)
		err = 0;
	pthread_mutex_lock(&set->lock);
	head = dref_find_locked(set, logical);
	if (head) {
		delayed = head->work.total;
		info.flags |= head->work.flags;
	}
	LIST_REMOVE(&looker, link);
	pthread_cond_broadcast(&set->moved);
	pthread_mutex_unlock(&set->lock);
	if (err)
		return err;
	if (delayed < 0 && info.refs < (uint64_t)-delayed)
		return msg_corrupt(st->fs->msg,
				   "extent %" PRIu64 " has %" PRIu64 " references, and %" PRId64
				   " are to be dropped",
				   logical, info.refs, -delayed);
	*out_refs = info.refs + (uint64_t)delayed;
	*out_flags = info.flags & ~(BTRFS_EXTENT_FLAG_DATA | BTRFS_EXTENT_FLAG_TREE_BLOCK);
	return 0;
}

uint64_t dref_nr(struct dref_set *set)
{
	uint64_t nr;

	pthread_mutex_lock(&set->lock);
	nr = set->nr;
	pthread_mutex_unlock(&set->lock);
	return nr;
}

void dref_to_text(struct dref_set *set, FILE *out)
{
	struct dref_head *head;
	struct dref_node *n;

	pthread_mutex_lock(&set->lock);
	fprintf(out, "delayed references: %" PRIu64 " extents\n", set->nr);
	RB_FOREACH(head, dref_heads, &set->heads)
	{
		fprintf(out,
			"  %" PRIu64 "+%" PRIu64 " level %d total %+" PRId64 " flags 0x%" PRIx64
			"%s%s\n",
			head->logical, head->len, head->level, head->work.total, head->work.flags,
			head->work.fresh ? " fresh" : "", head->running ? " running" : "");
		RB_FOREACH(n, dref_refs, &head->work.refs)
		fprintf(out,
			"    %+" PRId64 " parent %" PRIu64 " root %" PRIu64 " inode %" PRIu64
			" offset %" PRIu64 "\n",
			n->mod, n->ref.parent, n->ref.root, n->ref.ino, n->ref.offset);
	}
	pthread_mutex_unlock(&set->lock);
}
