// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Block reserves: filling, moving, letting go.
 *
 * Where excess goes when `release` lowers a size below what is reserved:
 *
 *   any but global, delayed refs, DELOPS --> delayed refs, up to its size --+
 *   delayed refs, DELOPS -----------------> global, up to its size ---------+--> the space_info
 *   global ------------------------------------------------------------------+
 *
 * Invariants: those of block_rsv.h. Locks: the space_info's. Moving between reserves of different
 * space_infos does not happen: then excess goes to the source's space_info.
 */
#include "engine/space/space_priv.h"
#include "engine/util/fault.h"

#include <inttypes.h>
#include <string.h>

static void update_full_locked(struct block_rsv *rsv)
{
	rsv->full = rsv->reserved >= rsv->size;
}

unsigned rsv_search_budget(unsigned height)
{
	const unsigned inside = 1 + 2 + 2; /* copy, siblings, split */

	assert(height >= 1 && height <= RSV_MAX_LEVEL);
	/* A lone leaf: copy, split in three, a root. A root above others: copy, split in two, a
	 * root. */
	return height == 1 ? 1 + 2 + 1 : (height - 1) * inside + 1 + 1 + 1;
}

uint64_t rsv_global_size(uint32_t nodesize, bool fst, uint64_t trees_used, unsigned nr_trees)
{
	uint64_t floor = rsv_insert_bytes(nodesize, nr_trees + RSV_UNLINK_ITEMS) +
			 rsv_ref_bytes(nodesize, fst, RSV_UNLINK_ITEMS);
	uint64_t size = trees_used > floor ? trees_used : floor;

	return size < RSV_GLOBAL_MAX ? size : RSV_GLOBAL_MAX;
}

void rsv_init(struct rsv_set *set, struct block_rsv *rsv, enum rsv_type type, struct space_info *si)
{
	*rsv = (struct block_rsv){ .type = type, .si = si, .full = true };
	rsv->failfast = type == RSV_TEMP;
	pthread_mutex_lock(&si->lock);
	LIST_INSERT_HEAD(&si->rsvs, rsv, link);
	pthread_mutex_unlock(&si->lock);
}

void rsv_fini(struct rsv_set *set, struct block_rsv *rsv)
{
	struct space_info *si = rsv->si;

	rsv_release(set, rsv, UINT64_MAX);
	pthread_mutex_lock(&si->lock);
	assert(!rsv->reserved);
	LIST_REMOVE(rsv, link);
	pthread_mutex_unlock(&si->lock);
}

void rsv_set_init(struct rsv_set *set, struct space *sp, bool fst)
{
	struct space_info *meta = space_info_find(sp, BTRFS_BLOCK_GROUP_METADATA);
	struct space_info *sys = space_info_find(sp, BTRFS_BLOCK_GROUP_SYSTEM);

	assert(meta && sys);
	memset(set, 0, sizeof(*set));
	set->sp = sp;
	set->nodesize = sp->opts.nodesize;
	set->fst = fst;
	set->counters = sp->opts.counters;
	set->msg = sp->opts.msg;
#ifndef NDEBUG
	set->assert_overruns = true;
#endif
	rsv_init(set, &set->global, RSV_GLOBAL, meta);
	rsv_init(set, &set->trans, RSV_TRANS, meta);
	rsv_init(set, &set->delayed_refs, RSV_DELREFS, meta);
	rsv_init(set, &set->delayed_items, RSV_DELOPS, meta);
	rsv_init(set, &set->delalloc, RSV_DELALLOC, meta);
	rsv_init(set, &set->treelog, RSV_TREELOG, meta);
	rsv_init(set, &set->empty, RSV_EMPTY, meta);
	rsv_init(set, &set->chunk, RSV_CHUNK, sys);
	sp->global = &set->global;
}

void rsv_set_fini(struct rsv_set *set)
{
	struct block_rsv *all[] = { &set->trans,       &set->delayed_items, &set->delalloc,
				    &set->treelog,     &set->empty,	    &set->chunk,
				    &set->delayed_refs };

	for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		rsv_fini(set, all[i]);
	set->sp->global = NULL;
	rsv_fini(set, &set->global);
}

static const char *verify_idle_locked(const struct rsv_set *set, const struct space_info *si)
{
	const struct block_rsv *rsv;

	if (si->loose)
		return "bytes are promised to nobody";
	if (si->reserved)
		return "extents were placed, and neither written down nor given back";
	if (si->pinned)
		return "what was freed is not free";
	LIST_FOREACH(rsv, &si->rsvs, link)
	if (rsv != &set->global && (rsv->size || rsv->reserved))
		return rsv->type == RSV_DELREFS ? "the delayed references' reserve is not empty"
						: "a reserve is not empty";
	return NULL;
}

const char *rsv_set_verify_idle(struct rsv_set *set)
{
	const char *wrong = NULL;
	struct space_info *si;

	LIST_FOREACH(si, &set->sp->infos, link)
	{
		wrong = wrong ? wrong : space_info_verify(si);
		pthread_mutex_lock(&si->lock);
		wrong = wrong ? wrong : verify_idle_locked(set, si);
		pthread_mutex_unlock(&si->lock);
	}
	return wrong;
}

/* Loose may_use becomes this reserve's. */
static void put_in_locked(struct rsv_set *set, struct block_rsv *rsv, uint64_t bytes, bool grow)
{
	counter_sub(&rsv->si->loose, bytes);
	rsv->reserved += bytes;
	rsv->blocks_set_aside += bytes / set->nodesize;
	if (grow)
		rsv->size += bytes;
	update_full_locked(rsv);
}

static int fill(struct rsv_set *set, struct block_rsv *rsv, uint64_t bytes, bool grow,
		enum space_flush flush, void *handle)
{
	int err = space_reserve(rsv->si, bytes, flush, handle);

	if (err)
		return err;
	pthread_mutex_lock(&rsv->si->lock);
	put_in_locked(set, rsv, bytes, grow);
	pthread_mutex_unlock(&rsv->si->lock);
	return 0;
}

int rsv_add(struct rsv_set *set, struct block_rsv *rsv, uint64_t bytes, enum space_flush flush,
	    void *handle)
{
	return fill(set, rsv, bytes, true, flush, handle);
}

int rsv_refill(struct rsv_set *set, struct block_rsv *rsv, uint64_t bytes, enum space_flush flush,
	       void *handle)
{
	uint64_t missing;

	pthread_mutex_lock(&rsv->si->lock);
	missing = rsv->reserved < bytes ? bytes - rsv->reserved : 0;
	pthread_mutex_unlock(&rsv->si->lock);
	return missing ? fill(set, rsv, missing, false, flush, handle) : 0;
}

bool rsv_check(struct block_rsv *rsv, unsigned pct)
{
	bool enough;

	pthread_mutex_lock(&rsv->si->lock);
	enough = rsv->reserved >= rsv->size / 100 * pct + rsv->size % 100 * pct / 100;
	pthread_mutex_unlock(&rsv->si->lock);
	return enough;
}

int rsv_migrate(struct block_rsv *src, struct block_rsv *dst, uint64_t bytes, bool grow)
{
	int err = -ENOSPC;

	assert(src->si == dst->si);
	pthread_mutex_lock(&src->si->lock);
	if (src->reserved >= bytes) {
		src->reserved -= bytes;
		dst->reserved += bytes;
		if (grow)
			dst->size += bytes;
		update_full_locked(src);
		update_full_locked(dst);
		err = 0;
	}
	pthread_mutex_unlock(&src->si->lock);
	return err;
}

static struct block_rsv *excess_target(struct rsv_set *set, const struct block_rsv *rsv)
{
	struct block_rsv *target = NULL;

	if (rsv->type == RSV_DELREFS || rsv->type == RSV_DELOPS)
		target = &set->global;
	else if (rsv != &set->global)
		target = &set->delayed_refs;
	return target && target->si == rsv->si && !PLANTED("rsv_excess_to_nobody") ? target : NULL;
}

uint64_t rsv_release(struct rsv_set *set, struct block_rsv *rsv, uint64_t bytes)
{
	struct block_rsv *target = excess_target(set, rsv);
	struct space_info *si = rsv->si;
	uint64_t excess = 0, add;

	pthread_mutex_lock(&si->lock);
	if (bytes == UINT64_MAX)
		bytes = rsv->size;
	counter_sub(&rsv->size, bytes);
	if (rsv->reserved > rsv->size) {
		excess = rsv->reserved - rsv->size;
		rsv->reserved = rsv->size;
	}
	update_full_locked(rsv);
	if (target && excess && target->reserved < target->size) {
		add = target->size - target->reserved;
		add = add < excess ? add : excess;
		target->reserved += add;
		target->blocks_set_aside += add / set->nodesize;
		update_full_locked(target);
		excess -= add;
	}
	if (excess) {
		counter_sub(&si->may_use, excess);
		space_grant_locked(si);
	}
	pthread_mutex_unlock(&si->lock);
	return excess;
}

void rsv_global_update(struct rsv_set *set, uint64_t trees_used, unsigned nr_trees)
{
	struct block_rsv *rsv = &set->global;
	struct space_info *si = rsv->si;

	pthread_mutex_lock(&si->lock);
	set->trees_used = trees_used;
	set->nr_trees = nr_trees;
	rsv->size = rsv_global_size(set->nodesize, set->fst, trees_used, nr_trees);
	/* Without asking: it must be there even when promises have taken all. */
	if (rsv->reserved < rsv->size) {
		si->may_use += rsv->size - rsv->reserved;
		rsv->reserved = rsv->size;
	} else if (rsv->reserved > rsv->size) {
		counter_sub(&si->may_use, rsv->reserved - rsv->size);
		rsv->reserved = rsv->size;
		space_grant_locked(si);
	}
	update_full_locked(rsv);
	if (rsv->size >= si->total)
		si->force_alloc = true;
	pthread_mutex_unlock(&si->lock);
}

const char *rsv_type_name(enum rsv_type type)
{
	static const char *const names[RSV_TYPE_NR] = {
		[RSV_GLOBAL] = "global",   [RSV_DELALLOC] = "delalloc", [RSV_TRANS] = "trans",
		[RSV_CHUNK] = "chunk",	   [RSV_DELOPS] = "delops",	[RSV_DELREFS] = "delrefs",
		[RSV_TREELOG] = "treelog", [RSV_EMPTY] = "empty",	[RSV_TEMP] = "temp",
	};

	return names[type];
}

void rsv_to_text_locked(const struct block_rsv *rsv, FILE *out)
{
	fprintf(out,
		"  %s: size %" PRIu64 " reserved %" PRIu64 " blocks set aside %" PRIu64
		" taken %" PRIu64 " overruns %" PRIu64 "\n",
		rsv_type_name(rsv->type), rsv->size, rsv->reserved, rsv->blocks_set_aside,
		rsv->blocks_taken, rsv->overruns);
}
