// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Node ids. Nearly all are computed both ways; the kernel may hold millions of them and tells of
 * forgetting only at the end, so a table of all would grow without bound.
 *
 * The table has what does not fit: subvolume ids from 2^23 + 255, inode numbers from 2^40 or below
 * 256, and stubs. Its numbers are hashes, so that they are the same at the next mount unless two
 * collide, which on an honest image does not happen. Nothing is ever taken out: an NFS client may
 * come back with any of them.
 *
 * Invariant: an entry is found at its number's place or behind it without a gap (open addressing).
 * Lock: `lock` guards the table; the numbers that are computed need none.
 */
#include "fuse/nodeid.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>

#define FUSE_ROOT 1
#define FIRST_SUBVOL 256
#define TOP_SUBVOL 5
#define SLOT_SHIFT 40
#define SLOT_BITS 23
#define FIRST_INO 256
#define HIGH (1ull << 63)

struct entry {
	uint64_t number; /* 0: free */
	struct eng_ino id;
	uint64_t stub_key;
	struct eng_attr *stub;
};

struct nodeids {
	struct eng_ino root;
	pthread_rwlock_t lock;
	uint64_t secret; /* of places in the table: an image could choose numbers for one place */
	struct entry *table;
	size_t size, used; /* size: a power of two, or 0 */
};

int nodeids_create(struct eng_ino root, struct nodeids **out_ids)
{
	struct nodeids *ids = calloc(1, sizeof(*ids));

	*out_ids = ids;
	if (!ids)
		return -ENOMEM;
	ids->root = root;
	/* Without randomness it is an honest image's table all the same. */
	if (getrandom(&ids->secret, sizeof(ids->secret), GRND_NONBLOCK) < 0)
		ids->secret = 0;
	pthread_rwlock_init(&ids->lock, NULL);
	return 0;
}

void nodeids_destroy(struct nodeids *ids)
{
	if (!ids)
		return;
	for (size_t i = 0; i < ids->size; i++)
		free(ids->table[i].stub);
	free(ids->table);
	pthread_rwlock_destroy(&ids->lock);
	free(ids);
}

/* 0: does not fit. */
static uint64_t pack(struct eng_ino id, uint64_t stub_key)
{
	uint64_t slot;

	if (stub_key || id.ino < FIRST_INO || id.ino >> SLOT_SHIFT)
		return 0;
	if (id.subvol == TOP_SUBVOL)
		slot = 0;
	else if (id.subvol >= FIRST_SUBVOL)
		slot = id.subvol - FIRST_SUBVOL + 1;
	else
		return 0;
	return slot >> SLOT_BITS ? 0 : slot << SLOT_SHIFT | id.ino;
}

static struct eng_ino unpack(uint64_t number)
{
	uint64_t slot = number >> SLOT_SHIFT;

	return (struct eng_ino){
		.subvol = slot ? slot + FIRST_SUBVOL - 1 : TOP_SUBVOL,
		.ino = number & ((1ull << SLOT_SHIFT) - 1),
	};
}

/* The finalizer of splitmix64: every bit of the input reaches every bit of the result. */
static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

static uint64_t high_number(struct eng_ino id, uint64_t stub_key)
{
	return mix(mix(mix(id.subvol + 1) + id.ino) + stub_key) | HIGH;
}

static struct entry *place(const struct nodeids *ids, struct entry *table, size_t size,
			   uint64_t number)
{
	size_t i = mix(number ^ ids->secret) & (size - 1);

	while (table[i].number && table[i].number != number)
		i = (i + 1) & (size - 1);
	return &table[i];
}

/* The entry of this inode, or the free place with the number that it would get. NULL: no table yet.
 */
static struct entry *find_locked(struct nodeids *ids, struct eng_ino id, uint64_t stub_key,
				 uint64_t *out_number)
{
	uint64_t number = high_number(id, stub_key);

	for (;; number = (number + 1) | HIGH) {
		struct entry *e = ids->size ? place(ids, ids->table, ids->size, number) : NULL;

		*out_number = number;
		if (!e || !e->number ||
		    (e->id.subvol == id.subvol && e->id.ino == id.ino && e->stub_key == stub_key))
			return e;
	}
}

static int grow_locked(struct nodeids *ids)
{
	size_t size = ids->size ? 2 * ids->size : 64;
	struct entry *table;

	if (3 * ids->size > 4 * ids->used)
		return 0;
	table = calloc(size, sizeof(*table));
	if (!table)
		return -ENOMEM;
	for (size_t i = 0; i < ids->size; i++)
		if (ids->table[i].number)
			*place(ids, table, size, ids->table[i].number) = ids->table[i];
	free(ids->table);
	ids->table = table;
	ids->size = size;
	return 0;
}

static int add_locked(struct nodeids *ids, const struct eng_attr *attr, uint64_t *out_number)
{
	struct entry *e = find_locked(ids, attr->id, attr->stub_key, out_number);
	struct eng_attr *stub = NULL;

	if (e && e->number)
		return 0;
	if (grow_locked(ids))
		return -ENOMEM;
	if (attr->stub_key) {
		stub = malloc(sizeof(*stub));
		if (!stub)
			return -ENOMEM;
		*stub = *attr;
	}
	e = find_locked(ids, attr->id, attr->stub_key, out_number);
	*e = (struct entry){ *out_number, attr->id, attr->stub_key, stub };
	ids->used++;
	return 0;
}

uint64_t nodeid_number(struct nodeids *ids, struct eng_ino id, uint64_t stub_key)
{
	uint64_t number = pack(id, stub_key);

	if (number)
		return number;
	pthread_rwlock_rdlock(&ids->lock);
	find_locked(ids, id, stub_key, &number);
	pthread_rwlock_unlock(&ids->lock);
	return number;
}

int nodeid_add(struct nodeids *ids, const struct eng_attr *attr, uint64_t *out_number,
	       uint64_t *out_nodeid)
{
	const struct entry *e;
	int err = 0;

	*out_number = pack(attr->id, attr->stub_key);
	if (!*out_number) {
		pthread_rwlock_rdlock(&ids->lock);
		e = find_locked(ids, attr->id, attr->stub_key, out_number);
		if (!e || !e->number)
			*out_number = 0;
		pthread_rwlock_unlock(&ids->lock);
	}
	if (!*out_number) {
		pthread_rwlock_wrlock(&ids->lock);
		err = add_locked(ids, attr, out_number);
		pthread_rwlock_unlock(&ids->lock);
	}
	*out_nodeid = *out_number;
	if (!attr->stub_key && attr->id.subvol == ids->root.subvol && attr->id.ino == ids->root.ino)
		*out_nodeid = FUSE_ROOT;
	return err;
}

int nodeid_resolve(struct nodeids *ids, uint64_t nodeid, struct eng_ino *out_id,
		   const struct eng_attr **out_stub)
{
	const struct entry *e = NULL;
	int err = 0;

	*out_stub = NULL;
	if (nodeid == FUSE_ROOT) {
		*out_id = ids->root;
		return 0;
	}
	*out_id = unpack(nodeid);
	if (!(nodeid & HIGH))
		return out_id->ino >= FIRST_INO ? 0 : -ESTALE;
	pthread_rwlock_rdlock(&ids->lock);
	if (ids->size)
		e = place(ids, ids->table, ids->size, nodeid);
	if (e && e->number) {
		*out_id = e->id;
		*out_stub = e->stub;
	} else {
		err = -ESTALE;
	}
	pthread_rwlock_unlock(&ids->lock);
	return err;
}

uint64_t nodeids_kept(struct nodeids *ids)
{
	uint64_t used;

	pthread_rwlock_rdlock(&ids->lock);
	used = ids->used;
	pthread_rwlock_unlock(&ids->lock);
	return used;
}
