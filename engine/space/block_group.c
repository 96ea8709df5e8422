// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The index of block groups: coming, going, looking up, read-only, verifying.
 *
 * Invariants:
 * 1. Groups do not overlap. The index holds a reference on each, and so does the list of dirty
 * ones.
 * 2. len = used + reserved + pinned + super + unused. The unused bytes are in `free`, unless a
 * change is on its way between the group's lock and the space_info's.
 * 3. Sums over a space_info's groups are its counters; its readonly is the sum of super and, of
 * read-only groups, unused.
 *
 * Locks: see block_group.h.
 */
#include "engine/space/bg_priv.h"
#include "engine/space/space_priv.h"
#include "engine/util/fault.h"

#include <inttypes.h>
#include <stdlib.h>

static int bg_cmp(const struct block_group *a, const struct block_group *b)
{
	return a->start < b->start ? -1 : a->start > b->start;
}

RB_GENERATE_INTERNAL(bg_tree, block_group, node, bg_cmp, __attribute__((unused)) static)

int bg_index_create(struct space *sp, struct rsv_set *rsv, struct bg_index **out_idx)
{
	struct bg_index *idx = eng_zalloc(sizeof(*idx));

	*out_idx = NULL;
	if (!idx)
		return -ENOMEM;
	idx->sp = sp;
	idx->rsv = rsv;
	pthread_rwlock_init(&idx->lock, NULL);
	pthread_mutex_init(&idx->pin_lock, NULL);
	pthread_mutex_init(&idx->dirty_lock, NULL);
	pthread_mutex_init(&idx->cluster_lock, NULL);
	RB_INIT(&idx->groups);
	range_set_init(&idx->pinned[0]);
	range_set_init(&idx->pinned[1]);
	TAILQ_INIT(&idx->dirty);
	*out_idx = idx;
	return 0;
}

void bg_index_destroy(struct bg_index *idx)
{
	struct block_group *bg;

	if (!idx)
		return;
	while ((bg = TAILQ_FIRST(&idx->dirty))) {
		TAILQ_REMOVE(&idx->dirty, bg, dirty_link);
		bg_put(bg);
	}
	while ((bg = RB_ROOT(&idx->groups))) {
		RB_REMOVE(bg_tree, &idx->groups, bg);
		bg_put(bg);
	}
	range_set_clear(&idx->pinned[0]);
	range_set_clear(&idx->pinned[1]);
	pthread_mutex_destroy(&idx->cluster_lock);
	pthread_mutex_destroy(&idx->dirty_lock);
	pthread_mutex_destroy(&idx->pin_lock);
	pthread_rwlock_destroy(&idx->lock);
	free(idx);
}

void bg_put(struct block_group *bg)
{
	if (!bg || atomic_fetch_sub(&bg->refs, 1) > 1)
		return;
	free_space_destroy(bg->free);
	range_set_clear(&bg->supers);
	pthread_mutex_destroy(&bg->fst_lock);
	pthread_mutex_destroy(&bg->lock);
	free(bg);
}

/* The first group that ends above `logical`. */
static struct block_group *first_above_locked(struct bg_index *idx, uint64_t logical)
{
	struct block_group *bg = RB_ROOT(&idx->groups), *best = NULL;

	while (bg) {
		if (bg->start + bg->len > logical) {
			best = bg;
			bg = RB_LEFT(bg, node);
		} else {
			bg = RB_RIGHT(bg, node);
		}
	}
	return best;
}

struct block_group *bg_get(struct bg_index *idx, uint64_t logical)
{
	struct block_group *bg;

	pthread_rwlock_rdlock(&idx->lock);
	bg = first_above_locked(idx, logical);
	if (bg && bg->start > logical)
		bg = NULL;
	if (bg)
		atomic_fetch_add(&bg->refs, 1);
	pthread_rwlock_unlock(&idx->lock);
	return bg;
}

struct block_group *bg_next(struct bg_index *idx, uint64_t start)
{
	struct block_group *bg;

	pthread_rwlock_rdlock(&idx->lock);
	bg = first_above_locked(idx, start);
	if (bg && bg->start < start)
		bg = RB_NEXT(bg_tree, &idx->groups, bg);
	if (bg)
		atomic_fetch_add(&bg->refs, 1);
	pthread_rwlock_unlock(&idx->lock);
	return bg;
}

/* ---- coming and going ---- */

struct loading {
	struct block_group *bg;
	const struct range_set *supers;
	uint64_t pos;
};

/* A free range as the tree has it, less the superblock copies. The loader's word is checked, not
 * trusted. */
static int load_range(void *arg, uint64_t start, uint64_t len)
{
	struct loading *l = arg;
	struct block_group *bg = l->bg;
	uint64_t end = start + len, s, e, sector = bg->si->sp->opts.sectorsize;

	if (!len || start < l->pos || end < start || end > bg->start + bg->len ||
	    (start | len) % sector)
		return -EUCLEAN;
	l->pos = end;
	while (start < end) {
		if (!l->supers || !range_set_next(l->supers, start, &s, &e) || s >= end)
			s = e = end;
		if (s > start)
			free_space_add(bg->free, start, s - start);
		start = e;
	}
	return 0;
}

static int take_supers(struct block_group *bg, const struct range_set *set)
{
	uint64_t start = bg->start, end = bg->start + bg->len, s, e;
	int err = 0;

	while (!err && set && range_set_next(set, start, &s, &e) && s < end) {
		start = e;
		err = range_set_add(&bg->supers, s, (e < end ? e : end) - s, NULL);
	}
	bg->super = bg->supers.bytes;
	return err;
}

static int bg_create(struct bg_index *idx, const struct bg_desc *desc, bg_load_fn load, void *arg,
		     struct block_group **out_bg)
{
	struct space_info *si = space_info_find(idx->sp, desc->flags);
	struct block_group *bg;
	struct loading l;
	int err;

	*out_bg = NULL;
	if (!si)
		return -EINVAL;
	bg = eng_zalloc(sizeof(*bg));
	if (!bg)
		return -ENOMEM;
	err = free_space_create(desc->start, desc->len, idx->sp->opts.sectorsize, &bg->free);
	if (err) {
		free(bg);
		return err;
	}
	pthread_mutex_init(&bg->lock, NULL);
	pthread_mutex_init(&bg->fst_lock, NULL);
	atomic_init(&bg->refs, 1);
	bg->has_item = bg->in_fst = load;
	bg->start = desc->start;
	bg->len = desc->len;
	bg->flags = desc->flags;
	bg->si = si;
	bg->used = bg->item_used = desc->used;
	bg->ro = desc->readonly;
	range_set_init(&bg->supers);
	err = take_supers(bg, desc->supers);
	l = (struct loading){ bg, desc->supers, desc->start };
	if (!err)
		err = load ? load(arg, desc, load_range, &l)
			   : load_range(&l, desc->start, desc->len);
	if (!err && free_space_bytes(bg->free) + bg->super + desc->used != desc->len &&
	    !PLANTED("space_unchecked"))
		err = msg_corrupt(idx->sp->opts.msg,
				  "block group %" PRIu64 ": %" PRIu64 " bytes are free and %" PRIu64
				  " used, expected %" PRIu64 " together",
				  desc->start, free_space_bytes(bg->free) + bg->super, desc->used,
				  desc->len);
	if (err) {
		bg_put(bg);
		return err;
	}
	*out_bg = bg;
	return 0;
}

int bg_add(struct bg_index *idx, const struct bg_desc *desc, bg_load_fn load, void *arg)
{
	uint64_t end = desc->start + desc->len, readonly;
	struct block_group *bg, *above;
	int err = bg_create(idx, desc, load, arg, &bg);

	if (err)
		return err;
	pthread_rwlock_wrlock(&idx->lock);
	above = first_above_locked(idx, bg->start);
	if (above && above->start < end) {
		err = -EEXIST;
	} else {
		RB_INSERT(bg_tree, &idx->groups, bg);
		readonly = bg->super + (bg->ro ? free_space_bytes(bg->free) : 0);
		space_add_group(bg->si, bg->len, bg->used, readonly);
	}
	pthread_rwlock_unlock(&idx->lock);
	if (err)
		bg_put(bg);
	return err;
}

static int remove_locked(struct bg_index *idx, struct block_group *bg)
{
	struct space_info *si = bg->si;
	int err = -EBUSY;

	pthread_mutex_lock(&si->lock);
	if (bg->ro && !bg->used && !bg->reserved && !bg->pinned) {
		bg->removed = true;
		space_remove_group_locked(si, bg->len, bg->len);
		RB_REMOVE(bg_tree, &idx->groups, bg);
		err = 0;
	}
	pthread_mutex_unlock(&si->lock);
	return err;
}

int bg_remove(struct bg_index *idx, uint64_t start)
{
	struct block_group *bg;
	int err = -ENOENT;

	pthread_rwlock_wrlock(&idx->lock);
	bg = first_above_locked(idx, start);
	if (bg && bg->start == start)
		err = remove_locked(idx, bg);
	pthread_rwlock_unlock(&idx->lock);
	if (err)
		return err;
	pthread_mutex_lock(&idx->dirty_lock);
	if (bg->dirty) {
		TAILQ_REMOVE(&idx->dirty, bg, dirty_link);
		bg->dirty = false;
		bg_put(bg);
		rsv_refs_groups(idx->rsv, 0, -1);
	}
	pthread_mutex_unlock(&idx->dirty_lock);
	bg_put(bg);
	return 0;
}

/* ---- read-only ---- */

static uint64_t unused_locked(const struct block_group *bg)
{
	return bg->len - bg->used - bg->reserved - bg->pinned - bg->super;
}

int bg_set_readonly(struct block_group *bg, bool force)
{
	struct space_info *si = bg->si;
	int err = 0;

	pthread_mutex_lock(&si->lock);
	if (!bg->ro) {
		/* What is promised must fit elsewhere: as if the unused bytes were asked for. */
		if (!force && !space_can_reserve_locked(si, unused_locked(bg), SPACE_NO_FLUSH))
			err = -ENOSPC;
		else
			space_add_readonly_locked(si, unused_locked(bg));
	}
	if (!err)
		bg->ro++;
	pthread_mutex_unlock(&si->lock);
	return err;
}

void bg_set_writable(struct block_group *bg)
{
	struct space_info *si = bg->si;

	pthread_mutex_lock(&si->lock);
	assert(bg->ro);
	if (!--bg->ro)
		space_sub_readonly_locked(si, unused_locked(bg));
	pthread_mutex_unlock(&si->lock);
}

/* ---- superblock copies ---- */

struct supers {
	struct range_set *out;
};

static int super_in_place(void *arg, const struct vol_place *place)
{
	struct supers *s = arg;

	for (int i = 0; i < BTRFS_SUPER_MIRROR_MAX; i++) {
		uint64_t from = btrfs_sb_offset(i), to = from + 65536;
		uint64_t end = place->physical + place->len;
		int err;

		from = from > place->physical ? from : place->physical;
		to = to < end ? to : end;
		if (from >= to)
			continue;
		err = range_set_add(s->out, place->logical + (from - place->physical), to - from,
				    NULL);
		if (err)
			return err;
	}
	return 0;
}

int bg_super_ranges(const struct vol *vol, uint64_t logical, uint64_t len,
		    struct range_set *out_supers)
{
	struct supers s = { out_supers };
	uint64_t first = BTRFS_SUPER_INFO_OFFSET;
	int err;

	if (logical < first) {
		uint64_t end = logical + len < first ? logical + len : first;

		err = range_set_add(out_supers, logical, end - logical, NULL);
		if (err)
			return err;
	}
	return vol_map(vol, logical, len, super_in_place, &s);
}

/* ---- looking ---- */

static const char *verify_group(struct bg_index *idx, struct block_group *bg)
{
	uint64_t pos = bg->start, s, len, bytes;
	const char *wrong;

	pthread_mutex_lock(&bg->lock);
	wrong = free_space_verify(bg->free);
	bytes = free_space_bytes(bg->free);
	while (!wrong && free_space_next(bg->free, pos, &s, &len)) {
		for (unsigned i = 0; i < 2; i++) {
			uint64_t from, to;

			if (range_set_next(&idx->pinned[i], s, &from, &to) && from < s + len)
				wrong = "free bytes are pinned";
		}
		pos = s + len;
	}
	pthread_mutex_unlock(&bg->lock);
	pthread_mutex_lock(&bg->si->lock);
	if (!wrong && bytes != unused_locked(bg))
		wrong = "a group's free space is not what its counters leave";
	pthread_mutex_unlock(&bg->si->lock);
	return wrong;
}

static const char *verify_sums(struct bg_index *idx, struct space_info *si)
{
	uint64_t total = 0, used = 0, reserved = 0, pinned = 0, readonly = 0;
	const char *wrong = NULL;
	struct block_group *bg;

	pthread_mutex_lock(&si->lock);
	RB_FOREACH(bg, bg_tree, &idx->groups)
	{
		if (bg->si != si)
			continue;
		total += bg->len;
		used += bg->used;
		reserved += bg->reserved;
		pinned += bg->pinned;
		readonly += bg->super + (bg->ro ? unused_locked(bg) : 0);
	}
	if (total != si->total || used != si->used || reserved != si->reserved ||
	    pinned != si->pinned || readonly != si->readonly)
		wrong = "the groups' sums are not the space_info's";
	pthread_mutex_unlock(&si->lock);
	return wrong;
}

const char *bg_verify(struct bg_index *idx)
{
	struct space_info *si;
	struct block_group *bg;
	const char *wrong = NULL;
	uint64_t pinned = 0;

	pthread_rwlock_rdlock(&idx->lock);
	pthread_mutex_lock(&idx->pin_lock);
	RB_FOREACH(bg, bg_tree, &idx->groups)
	{
		wrong = wrong ? wrong : verify_group(idx, bg);
		pinned += bg->pinned;
	}
	LIST_FOREACH(si, &idx->sp->infos, link)
	wrong = wrong ? wrong : verify_sums(idx, si);
	if (!wrong && pinned != idx->pinned[0].bytes + idx->pinned[1].bytes)
		wrong = "the pinned ranges are not what the groups have pinned";
	pthread_mutex_unlock(&idx->pin_lock);
	pthread_rwlock_unlock(&idx->lock);
	return wrong;
}

void bg_to_text(struct bg_index *idx, FILE *out)
{
	struct block_group *bg;

	pthread_rwlock_rdlock(&idx->lock);
	RB_FOREACH(bg, bg_tree, &idx->groups)
	{
		pthread_mutex_lock(&bg->lock);
		pthread_mutex_lock(&bg->si->lock);
		fprintf(out,
			"%" PRIu64 "+%" PRIu64 " %s: used %" PRIu64 " reserved %" PRIu64
			" pinned %" PRIu64 " super %" PRIu64 "%s, ",
			bg->start, bg->len, bg->si->name, bg->used, bg->reserved, bg->pinned,
			bg->super, bg->ro ? " readonly" : "");
		pthread_mutex_unlock(&bg->si->lock);
		free_space_to_text(bg->free, out);
		pthread_mutex_unlock(&bg->lock);
	}
	pthread_rwlock_unlock(&idx->lock);
}
