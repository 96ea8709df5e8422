// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Running delayed references: what waits at heads goes into the extent tree, in order of address,
 * and space follows (reserved → used for what is new, used → pinned for what has no reference
 * left).
 *
 * Of one extent: insert if it is fresh, adds, flags, drops; so that a count falls to 0 only at the
 * end. What is taken out of a head is this thread's alone; the head, marked as running, collects
 * what comes meanwhile, also what this run's own copying of tree blocks brings.
 *
 * Failure: it aborts the transaction where it happens; the rest stays in the set for
 * dref_set_destroy.
 *
 * Locks: none is held while trees are changed or look-ups waited for.
 */
#include "engine/space/chunk.h"
#include "engine/space/dref_priv.h"
#include "engine/space/extent_tree.h"
#include "engine/util/fault.h"

#include <inttypes.h>
#include <stdlib.h>

struct run {
	struct space_trans *st;
	const struct dref_head *head; /* only what never changes of it */
	struct extent e;
	struct dref_work work;
};

/* Its item was inserted. */
static int born(struct run *r)
{
	struct space_fs *fs = r->st->fs;

	bg_extent_inserted(fs->bgs, r->e.logical, r->e.len);
	atomic_fetch_add(&fs->bytes_used, r->e.len);
	return free_space_tree_use(r->st, r->e.logical, r->e.len);
}

/* Its item was removed. */
static int died(struct run *r)
{
	struct space_fs *fs = r->st->fs;
	int err = 0;

	if (r->e.level < 0)
		err = csum_delete(r->st, r->e.logical, r->e.len);
	if (!err)
		err = free_space_tree_free(r->st, r->e.logical, r->e.len);
	if (!err)
		err = bg_extent_pin(fs->bgs, r->e.logical, r->e.len, true);
	if (!err)
		atomic_fetch_sub(&fs->bytes_used, r->e.len);
	return err;
}

/* It never got an item, and will not get one. */
static int stillborn(struct run *r)
{
	int err = 0;

	if (r->e.level < 0)
		err = csum_delete(r->st, r->e.logical, r->e.len);
	return err ? err : bg_extent_pin(r->st->fs->bgs, r->e.logical, r->e.len, false);
}

static int add_one(struct run *r, const struct dref_node *n)
{
	int err;

	if (!r->work.fresh)
		return extent_ref_add(r->st, &r->e, &n->ref, (unsigned)n->mod);
	err = extent_insert(r->st, &r->e, r->work.flags, &n->ref, (unsigned)n->mod);
	r->work.fresh = false;
	r->work.flags = 0;
	return err ? err : born(r);
}

static int run_adds(struct run *r)
{
	struct dref_node *n;
	int err = 0;

	RB_FOREACH(n, dref_refs, &r->work.refs)
	if (n->mod > 0 && !err)
		err = add_one(r, n);
	return err;
}

static int run_drops(struct run *r)
{
	struct dref_node *n;
	uint64_t left = 1;
	int err = 0;

	RB_FOREACH(n, dref_refs, &r->work.refs)
	if (n->mod < 0 && !err) {
		err = left ? extent_ref_drop(r->st, &r->e, &n->ref, (unsigned)-n->mod, &left)
			   : msg_corrupt(r->st->fs->msg,
					 "extent %" PRIu64 " loses more references than it has",
					 r->e.logical);
	}
	return err || left ? err : died(r);
}

static int run_work(struct run *r)
{
	int err = 0;

	if (r->work.fresh && !r->work.nr)
		return stillborn(r);
	if (PLANTED("dref_drop_before_add"))
		err = run_drops(r);
	if (!err)
		err = run_adds(r);
	if (!err && r->work.fresh)
		err = msg_corrupt(r->st->fs->msg,
				  "extent %" PRIu64 " was allocated and only loses references",
				  r->e.logical);
	if (!err && r->work.flags)
		err = extent_set_flags(r->st, &r->e, r->work.flags);
	if (!err && !PLANTED("dref_drop_before_add"))
		err = run_drops(r);
	return err;
}

/* ---- picking heads ---- */

static bool looked_at_locked(const struct dref_set *set, uint64_t logical)
{
	const struct dref_looker *l;

	LIST_FOREACH(l, &set->lookers, link)
	if (l->logical == logical)
		return true;
	return false;
}

/* The next head in order, from where the last run stopped, when nobody looks at it. */
static struct dref_head *next_locked(struct dref_set *set)
{
	struct dref_head key, *head;

	for (;;) {
		key.logical = set->next;
		head = RB_NFIND(dref_heads, &set->heads, &key);
		if (!head)
			head = RB_MIN(dref_heads, &set->heads);
		if (!head || !looked_at_locked(set, head->logical))
			return head;
		pthread_cond_wait(&set->moved, &set->lock);
	}
}

/* Called and returns locked. */
static int run_head_locked(struct space_trans *st, struct dref_head *head)
{
	struct dref_set *set = st->drefs;
	struct dref_charge charge = dref_charge_of(set, head, &head->work);
	struct run r = {
		.st = st,
		.head = head,
		.e = { .logical = head->logical,
		       .len = head->len,
		       .level = head->level,
		       .first_key = head->work.first_key },
		.work = head->work,
	};
	int err;

	head->work = (struct dref_work){ .refs = RB_INITIALIZER(&head->work.refs) };
	head->running = true;
	set->next = head->logical + 1;
	pthread_mutex_unlock(&set->lock);
	err = run_work(&r);
	if (err)
		st->bt.ops->abort(&st->bt, err);
	dref_work_clear(&r.work);
	if (!PLANTED("dref_keeps_reserve"))
		rsv_refs_release(st->fs->rsv, charge.refs, charge.csums);
	counter_inc(st->fs->counters, dref_runs);
	pthread_mutex_lock(&set->lock);
	head->running = false;
	dref_head_settle_locked(set, head);
	pthread_cond_broadcast(&set->moved);
	return err;
}

int dref_run(struct space_trans *st, unsigned max, bool wait)
{
	struct dref_set *set = st->drefs;
	bool was_running = st->running_refs;
	struct dref_head *head;
	uint64_t todo;
	int err = 0;

	pthread_mutex_lock(&set->lock);
	while (set->has_runner && wait)
		pthread_cond_wait(&set->moved, &set->lock);
	if (set->has_runner) {
		pthread_mutex_unlock(&set->lock);
		return 0;
	}
	set->has_runner = true;
	st->running_refs = true;
	todo = max == UINT32_MAX ? UINT64_MAX : max ? max : set->nr;
	while (!err && todo-- && (head = next_locked(set)))
		err = run_head_locked(st, head);
	set->has_runner = false;
	st->running_refs = was_running;
	pthread_cond_broadcast(&set->moved);
	pthread_mutex_unlock(&set->lock);
	return err;
}
