// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The counters of space by type.
 *
 * Invariants:
 * 1. used + reserved + pinned + readonly + zone_unusable <= total: placed bytes exist.
 * 2. may_use = the sum of `reserved` of this space_info's block reserves + loose.
 * 3. Promises beyond total are metadata's only, and when given were covered by unallocated device
 * space over the copies of the profile.
 * 4. In an unlocked moment the first ticket could not be served: whoever makes room serves tickets.
 *
 * Locks: space_info.lock.
 */
#include "engine/space/space_priv.h"
#include "engine/util/fault.h"
#include "engine/volume/raid.h"

#include <inttypes.h>
#include <stdlib.h>

#define DATA_CHUNK_MAX (1ULL << 30)

int space_create(const struct space_opts *opts, struct space **out_sp)
{
	struct space *sp = eng_zalloc(sizeof(*sp));
	int err;

	*out_sp = NULL;
	if (!sp)
		return -ENOMEM;
	sp->opts = *opts;
	LIST_INIT(&sp->infos);
	pthread_mutex_init(&sp->lock, NULL);
	pthread_cond_init(&sp->wake, NULL);
	err = opts->flusher ? space_flusher_start(sp) : 0;
	if (err) {
		space_destroy(sp);
		return err;
	}
	*out_sp = sp;
	return 0;
}

void space_stop(struct space *sp)
{
	space_flusher_stop(sp);
}

void space_destroy(struct space *sp)
{
	struct space_info *si;

	if (!sp)
		return;
	space_flusher_stop(sp);
	while ((si = LIST_FIRST(&sp->infos))) {
		assert(TAILQ_EMPTY(&si->tickets) && TAILQ_EMPTY(&si->priority_tickets));
		assert(LIST_EMPTY(&si->rsvs));
		LIST_REMOVE(si, link);
		pthread_mutex_destroy(&si->lock);
		free(si);
	}
	pthread_cond_destroy(&sp->wake);
	pthread_mutex_destroy(&sp->lock);
	free(sp);
}

static const char *type_name(uint64_t type)
{
	switch (type) {
	case BTRFS_BLOCK_GROUP_DATA:
		return "DATA";
	case BTRFS_BLOCK_GROUP_METADATA:
		return "METADATA";
	case BTRFS_BLOCK_GROUP_SYSTEM:
		return "SYSTEM";
	default:
		return "DATA+METADATA";
	}
}

int space_info_create(struct space *sp, uint64_t type, struct space_info **out_si)
{
	struct space_info *si = eng_zalloc(sizeof(*si));

	*out_si = NULL;
	if (!si)
		return -ENOMEM;
	si->sp = sp;
	si->flags = type & BTRFS_BLOCK_GROUP_TYPE_MASK;
	si->name = type_name(si->flags);
	pthread_mutex_init(&si->lock, NULL);
	TAILQ_INIT(&si->tickets);
	TAILQ_INIT(&si->priority_tickets);
	LIST_INIT(&si->rsvs);
	/* The flusher goes through the list. */
	pthread_mutex_lock(&sp->lock);
	LIST_INSERT_HEAD(&sp->infos, si, link);
	pthread_mutex_unlock(&sp->lock);
	*out_si = si;
	return 0;
}

struct space_info *space_info_find(struct space *sp, uint64_t type)
{
	struct space_info *si;

	type &= BTRFS_BLOCK_GROUP_TYPE_MASK;
	LIST_FOREACH(si, &sp->infos, link)
	if (type && (si->flags & type) == type)
		return si;
	return NULL;
}

void space_set_unallocated(struct space *sp, uint64_t unallocated, uint64_t device_total)
{
	bool more = unallocated > atomic_exchange(&sp->unallocated, unallocated);
	struct space_info *si;

	atomic_store(&sp->device_total, device_total);
	if (!more)
		return;
	LIST_FOREACH(si, &sp->infos, link)
	{
		pthread_mutex_lock(&si->lock);
		si->full = false;
		space_grant_locked(si);
		pthread_mutex_unlock(&si->lock);
	}
}

/* ---- arithmetic ---- */

uint64_t space_used_locked(const struct space_info *si, bool promised)
{
	return si->used + si->reserved + si->pinned + si->readonly + si->zone_unusable +
	       (promised ? si->may_use : 0);
}

uint64_t space_overcommit_locked(const struct space_info *si, enum space_flush flush)
{
	struct space *sp = si->sp;
	uint64_t avail = atomic_load(&sp->unallocated), data_chunk;
	const struct raid_profile *profile = raid_profile(si->profile);

	if (!(si->flags & BTRFS_BLOCK_GROUP_METADATA) || (si->flags & BTRFS_BLOCK_GROUP_DATA))
		return 0;
	assert(profile);
	if (!PLANTED("space_overcommit_no_factor"))
		avail /= profile->copies;
	/* Somebody may write data: its next chunk comes out of the same space. */
	data_chunk = atomic_load(&sp->device_total) / 10;
	data_chunk = data_chunk < DATA_CHUNK_MAX ? data_chunk : DATA_CHUNK_MAX;
	if (avail <= data_chunk)
		return 0;
	avail -= data_chunk;
	/* Who can make the flusher work is given little on credit, so that it does. */
	return flush == SPACE_FLUSH_ALL || flush == SPACE_FLUSH_ALL_STEAL ? avail >> 6 : avail >> 1;
}

bool space_can_reserve_locked(const struct space_info *si, uint64_t bytes, enum space_flush flush)
{
	uint64_t used = space_used_locked(si, true);

	return used + bytes <= si->total ||
	       used + bytes < si->total + space_overcommit_locked(si, flush);
}

/* ---- life cycle ---- */

void space_add_group_locked(struct space_info *si, uint64_t len, uint64_t used, uint64_t readonly)
{
	si->total += len;
	si->used += used;
	si->readonly += readonly;
	si->full = false;
	space_grant_locked(si);
}

void space_add_group(struct space_info *si, uint64_t len, uint64_t used, uint64_t readonly)
{
	pthread_mutex_lock(&si->lock);
	space_add_group_locked(si, len, used, readonly);
	pthread_mutex_unlock(&si->lock);
}

void space_remove_group_locked(struct space_info *si, uint64_t len, uint64_t readonly)
{
	counter_sub(&si->total, len);
	counter_sub(&si->readonly, readonly);
}

void space_remove_group(struct space_info *si, uint64_t len, uint64_t readonly)
{
	pthread_mutex_lock(&si->lock);
	space_remove_group_locked(si, len, readonly);
	pthread_mutex_unlock(&si->lock);
}

void space_release(struct space_info *si, uint64_t bytes)
{
	pthread_mutex_lock(&si->lock);
	counter_sub(&si->may_use, bytes);
	counter_sub(&si->loose, bytes);
	if (!PLANTED("space_release_no_wake"))
		space_grant_locked(si);
	pthread_mutex_unlock(&si->lock);
}

void space_alloc_locked(struct space_info *si, uint64_t promised, uint64_t bytes)
{
	counter_sub(&si->may_use, promised);
	counter_sub(&si->loose, promised);
	si->reserved += bytes;
	assert(space_used_locked(si, false) <= si->total);
	if (promised > bytes)
		space_grant_locked(si);
}

void space_alloc(struct space_info *si, uint64_t promised, uint64_t bytes)
{
	pthread_mutex_lock(&si->lock);
	space_alloc_locked(si, promised, bytes);
	pthread_mutex_unlock(&si->lock);
}

void space_free_reserved_locked(struct space_info *si, uint64_t bytes, bool readonly)
{
	counter_sub(&si->reserved, bytes);
	if (readonly)
		si->readonly += bytes;
	else
		space_grant_locked(si);
}

void space_free_reserved(struct space_info *si, uint64_t bytes)
{
	pthread_mutex_lock(&si->lock);
	space_free_reserved_locked(si, bytes, false);
	pthread_mutex_unlock(&si->lock);
}

void space_insert_locked(struct space_info *si, uint64_t bytes)
{
	counter_sub(&si->reserved, bytes);
	si->used += bytes;
}

void space_insert(struct space_info *si, uint64_t bytes)
{
	pthread_mutex_lock(&si->lock);
	space_insert_locked(si, bytes);
	pthread_mutex_unlock(&si->lock);
}

void space_drop_locked(struct space_info *si, uint64_t bytes)
{
	counter_sub(&si->used, bytes);
	si->pinned += bytes;
}

void space_drop(struct space_info *si, uint64_t bytes)
{
	pthread_mutex_lock(&si->lock);
	space_drop_locked(si, bytes);
	pthread_mutex_unlock(&si->lock);
}

void space_pin_reserved_locked(struct space_info *si, uint64_t bytes)
{
	counter_sub(&si->reserved, bytes);
	si->pinned += bytes;
}

void space_pin_reserved(struct space_info *si, uint64_t bytes)
{
	pthread_mutex_lock(&si->lock);
	space_pin_reserved_locked(si, bytes);
	pthread_mutex_unlock(&si->lock);
}

/* What the last resort lacks comes before those who wait: running out of it aborts. */
static void refill_global_locked(struct space_info *si, uint64_t bytes)
{
	struct block_rsv *global = si->sp->global;
	uint64_t add;

	if (!global || global->si != si || global->reserved >= global->size)
		return;
	add = global->size - global->reserved;
	add = add < bytes ? add : bytes;
	global->reserved += add;
	si->may_use += add;
	global->full = global->reserved >= global->size;
}

void space_unpin_locked(struct space_info *si, uint64_t bytes, bool readonly)
{
	counter_sub(&si->pinned, bytes);
	if (readonly) {
		si->readonly += bytes;
	} else {
		refill_global_locked(si, bytes);
		space_grant_locked(si);
	}
}

void space_unpin(struct space_info *si, uint64_t bytes, bool readonly)
{
	pthread_mutex_lock(&si->lock);
	space_unpin_locked(si, bytes, readonly);
	pthread_mutex_unlock(&si->lock);
}

void space_add_readonly_locked(struct space_info *si, uint64_t bytes)
{
	si->readonly += bytes;
	assert(space_used_locked(si, false) <= si->total);
}

void space_add_readonly(struct space_info *si, uint64_t bytes)
{
	pthread_mutex_lock(&si->lock);
	space_add_readonly_locked(si, bytes);
	pthread_mutex_unlock(&si->lock);
}

void space_sub_readonly_locked(struct space_info *si, uint64_t bytes)
{
	counter_sub(&si->readonly, bytes);
	space_grant_locked(si);
}

void space_sub_readonly(struct space_info *si, uint64_t bytes)
{
	pthread_mutex_lock(&si->lock);
	space_sub_readonly_locked(si, bytes);
	pthread_mutex_unlock(&si->lock);
}

/* ---- looking ---- */

static const char *verify_tickets(const struct space_info *si)
{
	const struct space_ticket *t;
	uint64_t sum = 0;

	TAILQ_FOREACH(t, &si->priority_tickets, link)
	{
		if (t->done || !t->priority)
			return "a finished ticket, or a normal one, among the priority tickets";
		sum += t->bytes;
	}
	TAILQ_FOREACH(t, &si->tickets, link)
	{
		if (t->done || t->priority)
			return "a finished ticket, or a priority one, among the tickets";
		sum += t->bytes;
	}
	if (sum != si->reclaim_size)
		return "reclaim_size is not the sum of the tickets";
	t = TAILQ_FIRST(&si->priority_tickets);
	if (t)
		return space_can_reserve_locked(si, t->bytes, SPACE_NO_FLUSH)
			       ? "a priority ticket waits for room that is there"
			       : NULL;
	t = TAILQ_FIRST(&si->tickets);
	return t && space_can_reserve_locked(si, t->bytes, SPACE_FLUSH_ALL)
		       ? "a ticket waits for room that is there"
		       : NULL;
}

static const char *verify_locked(const struct space_info *si)
{
	const struct block_rsv *rsv;
	uint64_t sum = si->loose;

	if (space_used_locked(si, false) > si->total)
		return "placed bytes exceed the total";
	LIST_FOREACH(rsv, &si->rsvs, link)
	{
		if (rsv->full != (rsv->reserved >= rsv->size))
			return "a reserve is full and says it is not, or the reverse";
		sum += rsv->reserved;
	}
	if (sum != si->may_use)
		return "may_use is not the sum of the reserves and the loose bytes";
	return verify_tickets(si);
}

const char *space_info_verify(struct space_info *si)
{
	const char *wrong;

	pthread_mutex_lock(&si->lock);
	wrong = verify_locked(si);
	pthread_mutex_unlock(&si->lock);
	return wrong;
}

static void info_to_text(struct space_info *si, FILE *out)
{
	const struct block_rsv *rsv;

	pthread_mutex_lock(&si->lock);
	fprintf(out,
		"%s: total %" PRIu64 " used %" PRIu64 " pinned %" PRIu64 " reserved %" PRIu64
		" may_use %" PRIu64 " readonly %" PRIu64 " zone_unusable %" PRIu64 " loose %" PRIu64
		" waited for %" PRIu64 " overcommit %" PRIu64 "%s\n",
		si->name, si->total, si->used, si->pinned, si->reserved, si->may_use, si->readonly,
		si->zone_unusable, si->loose, si->reclaim_size,
		space_overcommit_locked(si, SPACE_FLUSH_ALL), si->full ? " full" : "");
	LIST_FOREACH(rsv, &si->rsvs, link)
	rsv_to_text_locked(rsv, out);
	pthread_mutex_unlock(&si->lock);
}

void space_to_text(struct space *sp, FILE *out)
{
	struct space_info *si;

	LIST_FOREACH(si, &sp->infos, link)
	info_to_text(si, out);
	for (unsigned i = 0; i < SPACE_ROW_NR; i++) {
		uint64_t runs = atomic_load(&sp->stats[i].runs);

		if (runs)
			fprintf(out,
				"row %s: runs %" PRIu64 " errors %" PRIu64 " freed %" PRIu64 "\n",
				sp->rows[i].name, runs, atomic_load(&sp->stats[i].errors),
				atomic_load(&sp->stats[i].freed));
	}
}
