// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Locks on inodes, made when they are wanted.
 *
 * Invariants:
 * 1. An inode has at most one struct ilock; it is in the table as long as it has users.
 * 2. A set's locks ascend, and are waited for only in that order: two sets cannot wait for each
 * other.
 *
 * Locks: a shard's mutex guards its lists and user counts, for memory work only.
 */
#include "engine/api/ilock_priv.h"

#include "engine/util/fault.h"

#include <assert.h>
#include <stdlib.h>

#define SHARDS 64
#define SHARD_BUCKETS 16

struct shard {
	pthread_mutex_t lock;
	struct ilock *buckets[SHARD_BUCKETS];
};

struct ilock_table {
	struct shard shards[SHARDS];
};

static uint64_t hash_of(struct eng_ino id)
{
	return (id.ino + id.subvol * 0xff51afd7ed558ccdull) * 0x9e3779b97f4a7c15ull;
}

static struct shard *shard_of(struct ilock_table *t, struct eng_ino id)
{
	return &t->shards[hash_of(id) >> 58];
}

static struct ilock **bucket_of(struct shard *s, struct eng_ino id)
{
	return &s->buckets[hash_of(id) >> 54 & (SHARD_BUCKETS - 1)];
}

static bool same(struct eng_ino a, struct eng_ino b)
{
	return a.ino == b.ino && a.subvol == b.subvol;
}

static bool before(struct eng_ino a, struct eng_ino b)
{
	return a.subvol != b.subvol ? a.subvol < b.subvol : a.ino < b.ino;
}

int ilock_table_create(struct ilock_table **out_table)
{
	struct ilock_table *t = eng_zalloc(sizeof(*t));

	*out_table = t;
	if (!t)
		return -ENOMEM;
	for (unsigned i = 0; i < SHARDS; i++)
		pthread_mutex_init(&t->shards[i].lock, NULL);
	return 0;
}

void ilock_table_destroy(struct ilock_table *t)
{
	if (!t)
		return;
	for (unsigned i = 0; i < SHARDS; i++) {
		for (unsigned k = 0; k < SHARD_BUCKETS; k++)
			assert(!t->shards[i].buckets[k]);
		pthread_mutex_destroy(&t->shards[i].lock);
	}
	free(t);
}

static struct ilock *ilock_new(struct eng_ino id)
{
	struct ilock *l = eng_zalloc(sizeof(*l));
	pthread_rwlockattr_t attr;

	if (!l)
		return NULL;
	l->id = id;
	l->users = 1;
	LIST_INIT(&l->files);
	/* Readers that follow each other without a gap must not keep a change out for ever. */
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&l->lock, &attr);
	pthread_rwlockattr_destroy(&attr);
	return l;
}

struct ilock *ilock_get(struct ilock_table *t, struct eng_ino id)
{
	struct shard *s = shard_of(t, id);
	struct ilock **bucket = bucket_of(s, id);
	struct ilock *l;

	pthread_mutex_lock(&s->lock);
	for (l = *bucket; l && !same(l->id, id); l = l->next)
		;
	if (l) {
		l->users++;
	} else {
		l = ilock_new(id);
		if (l) {
			l->next = *bucket;
			*bucket = l;
		}
	}
	pthread_mutex_unlock(&s->lock);
	return l;
}

void ilock_put(struct ilock_table *t, struct ilock *l)
{
	struct shard *s = shard_of(t, l->id);
	bool last;

	pthread_mutex_lock(&s->lock);
	last = --l->users == 0;
	if (last) {
		struct ilock **at = bucket_of(s, l->id);

		while (*at != l)
			at = &(*at)->next;
		*at = l->next;
	}
	pthread_mutex_unlock(&s->lock);
	if (!last)
		return;
	assert(LIST_EMPTY(&l->files));
	pthread_rwlock_destroy(&l->lock);
	free(l);
}

/* ---- sets ---- */

int ilock_set_take(struct ilock_set *set, struct ilock_table *t, const struct eng_ino *ids,
		   unsigned nr)
{
	struct eng_ino sorted[ILOCK_MAX];
	unsigned sorted_nr = 0;

	*set = (struct ilock_set){ .table = t };
	assert(nr <= ILOCK_MAX);
	for (unsigned i = 0; i < nr; i++) {
		unsigned k = sorted_nr++;

		for (; k && before(ids[i], sorted[k - 1]); k--)
			sorted[k] = sorted[k - 1];
		sorted[k] = ids[i];
	}
	for (unsigned i = 0; i < sorted_nr; i++) {
		int err = ilock_set_add(set, sorted[i]);

		if (err) {
			ilock_set_release(set);
			return err;
		}
	}
	return 0;
}

int ilock_set_add(struct ilock_set *set, struct eng_ino id)
{
	unsigned at = set->nr;
	struct ilock *l;

	while (at && before(id, set->locks[at - 1]->id))
		at--;
	if (at && same(set->locks[at - 1]->id, id))
		return 0;
	assert(set->nr < ILOCK_MAX);
	l = ilock_get(set->table, id);
	if (!l)
		return -ENOMEM;
	if (at == set->nr) {
		pthread_rwlock_wrlock(&l->lock);
	} else if (pthread_rwlock_trywrlock(&l->lock)) {
		ilock_put(set->table, l);
		return -EAGAIN;
	}
	for (unsigned i = set->nr++; i > at; i--)
		set->locks[i] = set->locks[i - 1];
	set->locks[at] = l;
	return 0;
}

struct ilock *ilock_set_find(const struct ilock_set *set, struct eng_ino id)
{
	for (unsigned i = 0; i < set->nr; i++)
		if (same(set->locks[i]->id, id))
			return set->locks[i];
	return NULL;
}

void ilock_set_drop(struct ilock_set *set, struct eng_ino id)
{
	struct ilock *l = ilock_set_find(set, id);
	unsigned to = 0;

	if (!l)
		return;
	for (unsigned i = 0; i < set->nr; i++)
		if (set->locks[i] != l)
			set->locks[to++] = set->locks[i];
	set->nr = to;
	pthread_rwlock_unlock(&l->lock);
	ilock_put(set->table, l);
}

void ilock_set_release(struct ilock_set *set)
{
	while (set->nr) {
		struct ilock *l = set->locks[--set->nr];

		pthread_rwlock_unlock(&l->lock);
		ilock_put(set->table, l);
	}
}
