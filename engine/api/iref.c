// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * References that front ends hold on inodes, compactly: a kernel may remember a million of them.
 *
 * An open-addressing table a shard, searched from the hash on; an entry that goes is filled by
 * those behind it, so that there are no tombstones and a search ends at the first free place.
 *
 * Locks: a shard's mutex, for memory work only.
 */
#include "engine/api/ilock_priv.h"

#include "engine/util/fault.h"

#include <assert.h>
#include <stdlib.h>

#define SHARDS 16
#define FIRST_PLACES 16

struct iref {
	uint64_t subvol; /* 0: free place */
	uint64_t ino;
	uint64_t nr : 63;
	uint64_t orphan : 1; /* has no name: goes with the last reference */
};

_Static_assert(sizeof(struct iref) == 24, "an entry is to be small");

struct shard {
	pthread_mutex_t lock;
	struct iref *places;
	size_t place_nr; /* a power of two, or 0 */
	size_t used;
};

struct iref_table {
	struct shard shards[SHARDS];
};

static uint64_t hash_of(uint64_t subvol, uint64_t ino)
{
	uint64_t h = (ino ^ subvol << 40 ^ subvol >> 24) * 0x9e3779b97f4a7c15ull;

	return h ^ h >> 29;
}

static struct shard *shard_of(struct iref_table *t, struct eng_ino id)
{
	return &t->shards[hash_of(id.subvol, id.ino) >> 60];
}

/* Where the inode is, or the free place where it would be. */
static size_t place_of(const struct shard *s, struct eng_ino id)
{
	size_t i = hash_of(id.subvol, id.ino) & (s->place_nr - 1);

	while (s->places[i].subvol &&
	       (s->places[i].ino != id.ino || s->places[i].subvol != id.subvol))
		i = (i + 1) & (s->place_nr - 1);
	return i;
}

static struct iref *find(const struct shard *s, struct eng_ino id)
{
	struct iref *r = s->place_nr ? &s->places[place_of(s, id)] : NULL;

	return r && r->subvol ? r : NULL;
}

static int grow(struct shard *s)
{
	struct shard more = { .place_nr = s->place_nr ? s->place_nr * 2 : FIRST_PLACES };

	more.places = eng_calloc(more.place_nr, sizeof(*more.places));
	if (!more.places)
		return -ENOMEM;
	for (size_t i = 0; i < s->place_nr; i++) {
		const struct iref *r = &s->places[i];

		if (r->subvol)
			more.places[place_of(&more, (struct eng_ino){ r->subvol, r->ino })] = *r;
	}
	free(s->places);
	s->places = more.places;
	s->place_nr = more.place_nr;
	return 0;
}

/* Frees place `i`, and moves up what a search would no longer find across the gap. */
static void remove_at(struct shard *s, size_t i)
{
	size_t mask = s->place_nr - 1;

	s->used--;
	if (PLANTED("iref_no_fill")) {
		s->places[i] = (struct iref){ 0 };
		return;
	}
	for (size_t k = (i + 1) & mask; s->places[k].subvol; k = (k + 1) & mask) {
		size_t home = hash_of(s->places[k].subvol, s->places[k].ino) & mask;

		if (((k - home) & mask) < ((k - i) & mask))
			continue;
		s->places[i] = s->places[k];
		i = k;
	}
	s->places[i] = (struct iref){ 0 };
}

int iref_table_create(struct iref_table **out_table)
{
	struct iref_table *t = eng_zalloc(sizeof(*t));

	*out_table = t;
	if (!t)
		return -ENOMEM;
	for (unsigned i = 0; i < SHARDS; i++)
		pthread_mutex_init(&t->shards[i].lock, NULL);
	return 0;
}

void iref_table_destroy(struct iref_table *t)
{
	if (!t)
		return;
	for (unsigned i = 0; i < SHARDS; i++) {
		pthread_mutex_destroy(&t->shards[i].lock);
		free(t->shards[i].places);
	}
	free(t);
}

static bool add_locked(struct shard *s, struct eng_ino id, bool first, int *out_err)
{
	struct iref *r = find(s, id);

	if (r) {
		r->nr++;
		return true;
	}
	if (!first)
		return false;
	if ((s->used + 1) * 4 > s->place_nr * 3) {
		*out_err = grow(s);
		if (*out_err)
			return false;
	}
	s->places[place_of(s, id)] = (struct iref){ .subvol = id.subvol, .ino = id.ino, .nr = 1 };
	s->used++;
	return true;
}

bool iref_add(struct iref_table *t, struct eng_ino id, bool first, int *out_err)
{
	struct shard *s = shard_of(t, id);
	bool added;

	*out_err = 0;
	pthread_mutex_lock(&s->lock);
	added = add_locked(s, id, first, out_err);
	pthread_mutex_unlock(&s->lock);
	return added;
}

bool iref_sub(struct iref_table *t, struct eng_ino id, uint64_t nr)
{
	struct shard *s = shard_of(t, id);
	bool orphan = false;
	struct iref *r;

	pthread_mutex_lock(&s->lock);
	r = find(s, id);
	assert(r && r->nr >= nr);
	if (r && r->nr > nr) {
		r->nr -= nr;
	} else if (r) {
		orphan = r->orphan;
		remove_at(s, (size_t)(r - s->places));
	}
	pthread_mutex_unlock(&s->lock);
	return orphan;
}

bool iref_set_orphan(struct iref_table *t, struct eng_ino id, bool orphan)
{
	struct shard *s = shard_of(t, id);
	struct iref *r;
	bool found;

	pthread_mutex_lock(&s->lock);
	r = find(s, id);
	found = r != NULL;
	if (r)
		r->orphan = orphan;
	pthread_mutex_unlock(&s->lock);
	return found;
}

bool iref_take_orphan(struct iref_table *t, struct eng_ino *out_id)
{
	bool found = false;

	for (unsigned i = 0; i < SHARDS && !found; i++) {
		struct shard *s = &t->shards[i];

		pthread_mutex_lock(&s->lock);
		for (size_t k = 0; k < s->place_nr && !found; k++) {
			found = s->places[k].subvol && s->places[k].orphan;
			if (!found)
				continue;
			*out_id = (struct eng_ino){ s->places[k].subvol, s->places[k].ino };
			remove_at(s, k);
		}
		pthread_mutex_unlock(&s->lock);
	}
	return found;
}

uint64_t iref_nr(struct iref_table *t)
{
	uint64_t nr = 0;

	for (unsigned i = 0; i < SHARDS; i++) {
		pthread_mutex_lock(&t->shards[i].lock);
		nr += t->shards[i].used;
		pthread_mutex_unlock(&t->shards[i].lock);
	}
	return nr;
}
