// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a transaction handle reserves and takes, and the delayed refs' reserve.
 *
 * Invariants:
 * 1. A handle's `bytes` are in the size of the reserve that `rsv` pointed to when it began (its
 * own, or the pool); taking and migrating lower what is reserved there, not the size; the end
 * lowers the size.
 * 2. blocks_taken <= blocks_set_aside, else the difference was counted as overruns. Blocks paid by
 * other reserves (a tree of its own, a reserve that the user put into `rsv`) are not the handle's.
 *
 * Locks: the space_info's; a handle's figures are its thread's.
 */
#include "engine/space/space_priv.h"

#include <string.h>

/* ---- beginning and ending ---- */

/*
 * One reservation for all, so that there is one round of reclaim. On return *refs and *extra say
 * what of the optional parts was got.
 */
static int reserve_all(struct rsv_set *set, uint64_t bytes, uint64_t *refs, uint64_t *extra,
		       enum space_flush flush)
{
	struct space_info *si = set->trans.si;
	int err = space_reserve(si, bytes + *refs + *extra, flush, NULL);

	if (err == -ENOSPC && *extra) {
		*extra = 0;
		err = space_reserve(si, bytes + *refs, flush, NULL);
	}
	/* Who frees space must go on: refs can live on the global reserve for once. */
	if (err == -ENOSPC && flush == SPACE_FLUSH_ALL_STEAL) {
		*refs = 0;
		err = space_reserve(si, bytes, flush, NULL);
	}
	return err;
}

static void share_locked(struct rsv_set *set, struct block_rsv *rsv, uint64_t bytes, bool grow)
{
	counter_sub(&rsv->si->loose, bytes);
	rsv->reserved += bytes;
	rsv->blocks_set_aside += bytes / set->nodesize;
	if (grow)
		rsv->size += bytes;
	rsv->full = rsv->reserved >= rsv->size;
}

static void handle_init(struct rsv_set *set, struct rsv_handle *h)
{
	memset(h, 0, sizeof(*h));
	rsv_init(set, &h->own, RSV_TRANS, set->trans.si);
	rsv_init(set, &h->delayed, RSV_DELOPS, set->trans.si);
	h->rsv = set->one_pool ? &set->trans : &h->own;
}

int rsv_handle_begin(struct rsv_set *set, struct rsv_handle *h, unsigned items,
		     enum space_flush flush)
{
	uint64_t bytes = rsv_insert_bytes(set->nodesize, items);
	uint64_t refs = rsv_ref_bytes(set->nodesize, set->fst, items), extra = 0;
	struct space_info *si = set->trans.si;
	int err;

	memset(h, 0, sizeof(*h));
	if (items && flush == SPACE_FLUSH_ALL) {
		pthread_mutex_lock(&si->lock);
		if (!set->delayed_refs.full)
			extra = set->delayed_refs.size - set->delayed_refs.reserved;
		pthread_mutex_unlock(&si->lock);
	}
	err = items ? reserve_all(set, bytes, &refs, &extra, flush) : 0;
	if (err)
		return err;
	handle_init(set, h);
	h->bytes = bytes;
	h->blocks_set_aside = bytes / set->nodesize;
	pthread_mutex_lock(&si->lock);
	share_locked(set, h->rsv, bytes, true);
	share_locked(set, &h->delayed, refs, true);
	share_locked(set, &set->delayed_refs, extra, false);
	pthread_mutex_unlock(&si->lock);
	/* Somebody else may have filled it meanwhile. */
	if (extra)
		rsv_release(set, &set->delayed_refs, 0);
	return 0;
}

static struct block_rsv *home(struct rsv_set *set, struct rsv_handle *h)
{
	return set->one_pool ? &set->trans : &h->own;
}

int rsv_handle_extend(struct rsv_set *set, struct rsv_handle *h, unsigned items,
		      enum space_flush flush)
{
	uint64_t bytes = rsv_insert_bytes(set->nodesize, items);
	uint64_t refs = rsv_ref_bytes(set->nodesize, set->fst, items);
	struct space_info *si = set->trans.si;
	int err;

	assert(flush == SPACE_NO_FLUSH || flush == SPACE_FLUSH_LIMIT);
	err = space_reserve(si, bytes + refs, flush, h);
	if (err)
		return err;
	h->bytes += bytes;
	h->blocks_set_aside += bytes / set->nodesize;
	pthread_mutex_lock(&si->lock);
	share_locked(set, home(set, h), bytes, true);
	share_locked(set, &h->delayed, refs, true);
	pthread_mutex_unlock(&si->lock);
	return 0;
}

void rsv_handle_end(struct rsv_set *set, struct rsv_handle *h)
{
	if (set->one_pool)
		rsv_release(set, &set->trans, h->bytes);
	rsv_fini(set, &h->own);
	rsv_fini(set, &h->delayed);
	h->rsv = NULL;
	h->bytes = 0;
}

int rsv_handle_migrate(struct rsv_set *set, struct rsv_handle *h, struct block_rsv *dst,
		       uint64_t bytes)
{
	uint64_t blocks = bytes / set->nodesize;
	int err;

	/* In the pool lies what others set aside, too: only one's own may go. */
	if (h->blocks_set_aside < h->blocks_taken + blocks)
		return -ENOSPC;
	err = rsv_migrate(home(set, h), dst, bytes, true);
	if (!err)
		h->blocks_set_aside -= blocks;
	return err;
}

/* ---- taking blocks ---- */

struct block_rsv *rsv_for_root(struct rsv_set *set, struct rsv_handle *h,
			       const struct rsv_root *root)
{
	if (root->log)
		return &set->empty;
	if (h && (root->shareable || root->id == BTRFS_UUID_TREE_OBJECTID ||
		  (root->id == BTRFS_CSUM_TREE_OBJECTID && root->adding_csums)))
		return h->rsv;
	switch (root->id) {
	case BTRFS_CSUM_TREE_OBJECTID:
	case BTRFS_EXTENT_TREE_OBJECTID:
	case BTRFS_FREE_SPACE_TREE_OBJECTID:
	case BTRFS_BLOCK_GROUP_TREE_OBJECTID:
	case BTRFS_RAID_STRIPE_TREE_OBJECTID:
		return &set->delayed_refs;
	case BTRFS_ROOT_TREE_OBJECTID:
	case BTRFS_DEV_TREE_OBJECTID:
	case BTRFS_QUOTA_TREE_OBJECTID:
		return &set->global;
	case BTRFS_CHUNK_TREE_OBJECTID:
		return &set->chunk;
	default:
		return &set->empty;
	}
}

/* One block out of a reserve, into loose may_use. */
static bool take(struct rsv_set *set, struct block_rsv *rsv)
{
	bool got;

	pthread_mutex_lock(&rsv->si->lock);
	got = rsv->reserved >= set->nodesize;
	if (got) {
		rsv->reserved -= set->nodesize;
		rsv->full = rsv->reserved >= rsv->size;
		rsv->si->loose += set->nodesize;
		rsv->blocks_taken++;
	} else if (rsv->size) {
		rsv->overruns++;
	}
	pthread_mutex_unlock(&rsv->si->lock);
	return got;
}

static bool is_handles_own(const struct rsv_set *set, const struct rsv_handle *h,
			   const struct block_rsv *rsv)
{
	return h && (rsv == &h->own || rsv == &set->trans);
}

static void count_overrun(struct rsv_set *set, struct rsv_handle *h)
{
	struct space_info *si = set->trans.si;
	bool say;

	h->overruns++;
	counter_inc(set->counters, rsv_overruns);
	assert(!set->assert_overruns);
	pthread_mutex_lock(&si->lock);
	say = !set->overrun_said;
	set->overrun_said = true;
	pthread_mutex_unlock(&si->lock);
	if (say)
		msg_warn(
			set->msg,
			"a handle took %llu metadata blocks, with %llu set aside for it; more of this is "
			"only counted",
			(unsigned long long)h->blocks_taken,
			(unsigned long long)h->blocks_set_aside);
}

static int take_fresh(struct rsv_set *set, struct block_rsv *rsv, enum space_flush flush,
		      struct rsv_handle *h)
{
	int err = space_reserve(rsv->si, set->nodesize, flush, h);

	if (err)
		return err;
	if (flush == SPACE_NO_FLUSH)
		counter_inc(set->counters, rsv_fresh);
	else
		counter_inc(set->counters, rsv_emergency);
	return 0;
}

static bool take_global(struct rsv_set *set, const struct block_rsv *rsv)
{
	if (rsv == &set->global || rsv->si != set->global.si || !take(set, &set->global))
		return false;
	counter_inc(set->counters, rsv_global);
	return true;
}

/* The reserve that should pay is dry. */
static int take_in_need(struct rsv_set *set, struct rsv_handle *h, const struct rsv_root *root,
			struct block_rsv *rsv, bool overrun, struct block_rsv **out_rsv)
{
	int err;

	*out_rsv = rsv;
	/* A handle that took too much must not do so at the cost of those who reserve: the last
	 * resort pays. */
	if (overrun && !set->one_pool && take_global(set, rsv)) {
		*out_rsv = &set->global;
		return 0;
	}
	err = take_fresh(set, rsv, SPACE_NO_FLUSH, h);
	/* A log that finds no space becomes a full commit; it must not eat what that needs. */
	if (!err || err == -EROFS || root->log)
		return err;
	if (take_global(set, rsv)) {
		*out_rsv = &set->global;
		return 0;
	}
	return take_fresh(set, rsv, SPACE_FLUSH_EMERGENCY, h);
}

int rsv_use_block(struct rsv_set *set, struct rsv_handle *h, const struct rsv_root *root,
		  struct block_rsv **out_rsv)
{
	struct block_rsv *rsv = rsv_for_root(set, h, root);
	bool own = is_handles_own(set, h, rsv), overrun = false;
	int err;

	*out_rsv = NULL;
	if (own && ++h->blocks_taken > h->blocks_set_aside) {
		overrun = true;
		count_overrun(set, h);
	}
	if (take(set, rsv)) {
		*out_rsv = rsv;
		return 0;
	}
	if (rsv == &set->global) {
		rsv_global_update(set, set->trees_used, set->nr_trees);
		if (take(set, rsv)) {
			*out_rsv = rsv;
			return 0;
		}
	}
	err = rsv->failfast ? -ENOSPC : take_in_need(set, h, root, rsv, overrun, out_rsv);
	if (err) {
		*out_rsv = NULL;
		if (own)
			h->blocks_taken--;
	}
	return err;
}

void rsv_unuse_block(struct rsv_set *set, struct rsv_handle *h, struct block_rsv *rsv)
{
	struct space_info *si = rsv->si;

	if (is_handles_own(set, h, rsv))
		h->blocks_taken--;
	pthread_mutex_lock(&si->lock);
	counter_sub(&si->loose, set->nodesize);
	rsv->reserved += set->nodesize;
	rsv->full = rsv->reserved >= rsv->size;
	pthread_mutex_unlock(&si->lock);
	rsv_release(set, rsv, 0);
}

/* ---- delayed refs ---- */

static void grow_locked(struct block_rsv *rsv, uint64_t bytes)
{
	rsv->size += bytes;
	rsv->full = rsv->reserved >= rsv->size;
}

void rsv_refs_add(struct rsv_set *set, struct rsv_handle *h, uint64_t refs, uint64_t csums)
{
	uint64_t bytes = rsv_ref_bytes(set->nodesize, set->fst, refs) +
			 rsv_ref_csum_bytes(set->nodesize, csums);
	struct block_rsv *dst = &set->delayed_refs, *src = h ? &h->delayed : NULL;
	uint64_t take_bytes;

	pthread_mutex_lock(&dst->si->lock);
	if (src) {
		take_bytes = src->reserved < bytes ? src->reserved : bytes;
		src->reserved -= take_bytes;
		src->full = src->reserved >= src->size;
		dst->reserved += take_bytes;
		dst->blocks_set_aside += take_bytes / set->nodesize;
	}
	grow_locked(dst, bytes);
	pthread_mutex_unlock(&dst->si->lock);
}

void rsv_refs_release(struct rsv_set *set, uint64_t refs, uint64_t csums)
{
	rsv_release(set, &set->delayed_refs,
		    rsv_ref_bytes(set->nodesize, set->fst, refs) +
			    rsv_ref_csum_bytes(set->nodesize, csums));
}

void rsv_refs_groups(struct rsv_set *set, int inserts, int updates)
{
	struct block_rsv *rsv = &set->delayed_refs;
	uint64_t less = 0, more = 0;

	if (inserts < 0)
		less += rsv_insert_bytes(set->nodesize, (uint64_t)-inserts);
	else
		more += rsv_insert_bytes(set->nodesize, (uint64_t)inserts);
	if (updates < 0)
		less += rsv_change_bytes(set->nodesize, (uint64_t)-updates);
	else
		more += rsv_change_bytes(set->nodesize, (uint64_t)updates);
	pthread_mutex_lock(&rsv->si->lock);
	grow_locked(rsv, more);
	pthread_mutex_unlock(&rsv->si->lock);
	if (less)
		rsv_release(set, rsv, less);
}

int rsv_refs_refill(struct rsv_set *set, enum space_flush flush, void *handle)
{
	struct block_rsv *rsv = &set->delayed_refs;
	uint64_t unit = rsv_ref_bytes(set->nodesize, set->fst, 1), missing = 0;
	int err;

	pthread_mutex_lock(&rsv->si->lock);
	if (!rsv->full)
		missing = rsv->size - rsv->reserved;
	pthread_mutex_unlock(&rsv->si->lock);
	if (!missing)
		return 0;
	missing = missing < unit ? missing : unit;
	err = space_reserve(rsv->si, missing, flush, handle);
	if (err)
		return err;
	pthread_mutex_lock(&rsv->si->lock);
	share_locked(set, rsv, missing, false);
	pthread_mutex_unlock(&rsv->si->lock);
	/* Others may have filled it meanwhile. */
	rsv_release(set, rsv, 0);
	return 0;
}

bool rsv_refs_pressing(struct rsv_set *set)
{
	const struct block_rsv *global = &set->global, *refs = &set->delayed_refs;
	bool pressing;

	pthread_mutex_lock(&global->si->lock);
	pressing = refs->size >= global->reserved + refs->reserved ||
		   global->reserved < global->size / 2;
	/* No refs at all is no pressure, whatever the global reserve has. */
	pressing = pressing && refs->size;
	pthread_mutex_unlock(&global->si->lock);
	return pressing;
}
