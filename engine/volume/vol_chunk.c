// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The chunk map: which chunk holds a logical address, and where on which devices that is.
 *
 * Invariants: 1. A map is ascending by logical and without overlap. 2. Whoever looks at a map
 * sees one that was whole at some moment: look-ups take no lock, since every read and write begins
 * with one. 3. Maps and chunks live until vol_close: what is replaced or removed is kept, for whoever
 * may still be looking or transferring. Chunks come at the end, into room that is left, so what is
 * kept grows with the removals (an array each) and the doublings only.
 *
 * Before vol_finish there is one thread, and the map is changed in place. Memory is in proportion to
 * the chunk items that were read.
 *
 * Locks: change_lock, for changes against each other.
 */
#include "engine/volume/vol_priv.h"

#include "engine/util/fault.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

void vol_chunks_init(struct vol *v)
{
	pthread_mutex_init(&v->change_lock, NULL);
	atomic_init(&v->map, NULL);
}

void vol_chunks_fini(struct vol *v)
{
	struct chunk_map *m = atomic_load(&v->map), *older;
	struct vol_chunk *c;

	for (unsigned i = 0; m && i < atomic_load(&m->nr); i++)
		free(m->chunks[i]);
	for (; m; m = older) {
		older = m->older;
		free(m);
	}
	while ((c = v->graveyard)) {
		v->graveyard = c->gone;
		free(c);
	}
	pthread_mutex_destroy(&v->change_lock);
}

struct vol_chunk *const *vol_chunks(const struct vol *v, unsigned *out_nr)
{
	struct chunk_map *m = atomic_load_explicit(&v->map, memory_order_acquire);

	/* The chunks below the count were written before it. */
	*out_nr = m ? atomic_load_explicit(&m->nr, memory_order_acquire) : 0;
	return m ? m->chunks : NULL;
}

/* Index of the first chunk that ends after `logical`. */
static unsigned chunk_index(struct vol_chunk *const *chunks, unsigned nr, uint64_t logical)
{
	unsigned lo = 0, hi = nr;

	while (lo < hi) {
		unsigned mid = lo + (hi - lo) / 2;

		/* Not as a sum: the last chunk may end where 64 bits do. */
		if (chunks[mid]->logical + (chunks[mid]->len - 1) < logical)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

const struct vol_chunk *vol_chunk_at(const struct vol *v, uint64_t logical)
{
	unsigned nr, i;
	struct vol_chunk *const *chunks = vol_chunks(v, &nr);

	i = chunk_index(chunks, nr, logical);
	return i < nr && chunks[i]->logical <= logical ? chunks[i] : NULL;
}

static bool equal_chunks(const struct vol_chunk *a, const struct vol_chunk *b)
{
	if (a->logical != b->logical || a->len != b->len || a->type != b->type ||
	    a->stripe_len != b->stripe_len || a->num_stripes != b->num_stripes ||
	    a->sub_stripes != b->sub_stripes)
		return false;
	for (unsigned i = 0; i < a->num_stripes; i++)
		if (a->stripes[i].dev != b->stripes[i].dev ||
		    a->stripes[i].physical != b->stripes[i].physical)
			return false;
	return true;
}

/* What the arithmetic below needs; the rest is btrfs_check_chunk's. */
static bool usable(const struct vol_chunk *c, uint64_t stripe_len)
{
	if (!c->len || c->len - 1 > UINT64_MAX - c->logical || !c->profile)
		return false;
	if (c->num_stripes && c->num_stripes < c->profile->copies)
		return false;
	if (!c->profile->striped || !c->num_stripes)
		return true;
	return stripe_len >= 512 && stripe_len <= 1u << 30 && !(stripe_len & (stripe_len - 1)) &&
	       c->num_stripes > c->profile->parity &&
	       (c->profile->copies == 1 ||
		(c->sub_stripes >= c->profile->copies && c->num_stripes >= c->sub_stripes));
}

/* The set of devices changes no more after vol_finish. */
static int stripe_dev(struct vol *v, const struct btrfs_stripe *stripe, struct vol_dev **out_dev)
{
	uint64_t devid = le64_get(stripe->devid);

	if (!v->shared)
		return vol_dev_want(v, devid, stripe->dev_uuid, out_dev);
	*out_dev = vol_dev_find(v, devid, stripe->dev_uuid);
	return *out_dev ? 0
			: msg_corrupt(v->msg, "a new chunk names device %llu, which is not here",
				      (unsigned long long)devid);
}

static int chunk_make(struct vol *v, uint64_t logical, const struct btrfs_chunk *item,
		      struct vol_chunk **out_chunk)
{
	unsigned nr = le16_get(item->num_stripes);
	const struct btrfs_stripe *stripes = &item->stripe;
	struct vol_chunk *c = eng_zalloc(sizeof(*c) + nr * sizeof(c->stripes[0]));
	int ret;

	*out_chunk = NULL;
	if (!c)
		return -ENOMEM;
	c->logical = logical;
	c->len = le64_get(item->length);
	c->type = le64_get(item->type);
	c->profile = raid_profile(c->type);
	c->num_stripes = nr;
	c->sub_stripes = le16_get(item->sub_stripes);
	c->stripe_len = (uint32_t)le64_get(item->stripe_len);
	if (!usable(c, le64_get(item->stripe_len))) {
		ret = msg_corrupt(
			v->msg,
			"chunk %llu: length %llu, type 0x%llx, %u stripes of %llu, %u sub "
			"stripes make no sense",
			(unsigned long long)logical, (unsigned long long)c->len,
			(unsigned long long)c->type, nr,
			(unsigned long long)le64_get(item->stripe_len), c->sub_stripes);
		goto fail;
	}
	c->data_stripes = raid_data_stripes(c->profile, nr, c->sub_stripes);
	for (unsigned i = 0; i < nr; i++) {
		ret = stripe_dev(v, &stripes[i], &c->stripes[i].dev);
		if (ret)
			goto fail;
		c->stripes[i].physical = le64_get(stripes[i].offset);
	}
	*out_chunk = c;
	return 0;
fail:
	free(c);
	return ret;
}

static struct chunk_map *map_create(unsigned max, struct chunk_map *older)
{
	struct chunk_map *m = eng_zalloc(sizeof(*m) + max * sizeof(m->chunks[0]));

	if (m) {
		m->max = max;
		m->older = older;
	}
	return m;
}

static void map_publish(struct vol *v, struct chunk_map *m)
{
	struct chunk_map *older = m->older;

	if (v->shared && older && PLANTED("vol_map_spoils_older")) {
		memset(older->chunks, 0, older->max * sizeof(older->chunks[0]));
		sched_yield();
	}
	atomic_store_explicit(&v->map, m, memory_order_release);
	if (v->shared || !older)
		return;
	m->older = older->older;
	free(older);
}

/* With `c` at index `i`. */
static int map_insert_locked(struct vol *v, unsigned i, struct vol_chunk *c)
{
	struct chunk_map *m = atomic_load(&v->map), *new = m;
	unsigned nr = m ? atomic_load(&m->nr) : 0;

	if (!m || nr == m->max || (i < nr && v->shared)) {
		new = map_create(nr < 8 ? 16 : 2 * nr, m);
		if (!new)
			return -ENOMEM;
		if (nr)
			memcpy(new->chunks, m->chunks, nr * sizeof(m->chunks[0]));
	}
	memmove(&new->chunks[i + 1], &new->chunks[i], (nr - i) * sizeof(new->chunks[0]));
	new->chunks[i] = c;
	atomic_store_explicit(&new->nr, nr + 1, memory_order_release);
	if (new != m)
		map_publish(v, new);
	return 0;
}

/* *out_repeat: it was there already, the same. */
static int chunk_insert_locked(struct vol *v, struct vol_chunk *c, bool *out_repeat)
{
	unsigned nr, i;
	struct vol_chunk *const *chunks = vol_chunks(v, &nr);
	const struct vol_chunk *next;

	i = chunk_index(chunks, nr, c->logical);
	next = i < nr ? chunks[i] : NULL;
	*out_repeat = false;
	if (!next || next->logical > c->logical + (c->len - 1))
		return map_insert_locked(v, i, c);
	*out_repeat = equal_chunks(next, c);
	if (*out_repeat)
		return 0;
	return msg_corrupt(v->msg, "chunk %llu (%llu bytes) %s chunk %llu (%llu bytes)",
			   (unsigned long long)c->logical, (unsigned long long)c->len,
			   next->logical == c->logical ? "is not the same as" : "overlaps",
			   (unsigned long long)next->logical, (unsigned long long)next->len);
}

int vol_chunk_add(struct vol *v, uint64_t logical, const struct btrfs_chunk *item)
{
	struct vol_chunk *c;
	bool repeat;
	int ret = chunk_make(v, logical, item, &c);

	if (ret)
		return ret;
	pthread_mutex_lock(&v->change_lock);
	ret = chunk_insert_locked(v, c, &repeat);
	pthread_mutex_unlock(&v->change_lock);
	if (ret || repeat)
		free(c);
	return ret;
}

static int chunk_remove_locked(struct vol *v, uint64_t logical)
{
	struct chunk_map *m = atomic_load(&v->map), *new;
	unsigned nr, i;
	struct vol_chunk *const *chunks = vol_chunks(v, &nr);

	i = chunk_index(chunks, nr, logical);
	if (i == nr || chunks[i]->logical != logical)
		return -ENOENT;
	/* Also of the last: a count that falls would let the next one overwrite what is looked at. */
	new = map_create(m->max, m);
	if (!new)
		return -ENOMEM;
	memcpy(new->chunks, chunks, i * sizeof(new->chunks[0]));
	memcpy(&new->chunks[i], &chunks[i + 1], (nr - i - 1) * sizeof(new->chunks[0]));
	atomic_store(&new->nr, nr - 1);
	chunks[i]->gone = v->graveyard;
	v->graveyard = chunks[i];
	map_publish(v, new);
	return 0;
}

int vol_chunk_remove(struct vol *v, uint64_t logical)
{
	int ret;

	pthread_mutex_lock(&v->change_lock);
	ret = chunk_remove_locked(v, logical);
	pthread_mutex_unlock(&v->change_lock);
	return ret;
}

int vol_span_at(const struct vol *v, uint64_t logical, uint64_t max, struct vol_span *out_span)
{
	const struct vol_chunk *c = vol_chunk_at(v, logical);

	memset(out_span, 0, sizeof(*out_span));
	if (!c || !c->data_stripes)
		return -ENXIO;
	out_span->chunk = c;
	out_span->logical = logical;
	out_span->at = raid_locate(c->profile, c->num_stripes, c->sub_stripes, c->data_stripes,
				   c->stripe_len, c->len, logical - c->logical);
	out_span->len = out_span->at.left < max ? out_span->at.left : max;
	return 0;
}

int vol_copies(const struct vol *v, uint64_t logical)
{
	const struct vol_chunk *c = vol_chunk_at(v, logical);

	return c && c->data_stripes ? (int)c->profile->copies : -ENXIO;
}

/* The pieces of one copy. *out_any: some chunk of the range has this copy. */
static int map_copy(const struct vol *v, uint64_t logical, uint64_t len, unsigned copy,
		    int (*fn)(void *arg, const struct vol_place *place), void *arg, bool *out_any)
{
	struct vol_span span;
	int ret;

	*out_any = false;
	for (; len; logical += span.len, len -= span.len) {
		const struct vol_stripe *stripe;

		ret = vol_span_at(v, logical, len, &span);
		if (ret)
			return ret;
		if (copy >= span.chunk->profile->copies)
			continue;
		stripe = vol_span_stripe(&span, copy);
		*out_any = true;
		ret = fn(arg, &(struct vol_place){
				      .logical = logical,
				      .len = span.len,
				      .copy = (int)copy + 1,
				      .devid = stripe->dev->devid,
				      .physical = stripe->physical + span.at.dev_off,
				      .missing = !stripe->dev->bdev,
			      });
		if (ret)
			return ret;
	}
	return 0;
}

int vol_map(const struct vol *v, uint64_t logical, uint64_t len,
	    int (*fn)(void *arg, const struct vol_place *place), void *arg)
{
	bool any = len > 0;
	int ret = 0;

	for (unsigned copy = 0; any && !ret; copy++)
		ret = map_copy(v, logical, len, copy, fn, arg, &any);
	return ret;
}

static void chunk_info(const struct vol_chunk *c, struct vol_chunk_info *out_info)
{
	out_info->logical = c->logical;
	out_info->len = c->len;
	out_info->type = c->type;
	out_info->num_stripes = c->num_stripes;
	out_info->sub_stripes = c->sub_stripes;
	out_info->stripe_len = c->stripe_len;
}

bool vol_chunk_get(const struct vol *v, unsigned index, struct vol_chunk_info *out_info)
{
	unsigned nr;
	struct vol_chunk *const *chunks = vol_chunks(v, &nr);

	memset(out_info, 0, sizeof(*out_info));
	if (index >= nr)
		return false;
	chunk_info(chunks[index], out_info);
	return true;
}

bool vol_chunk_find(const struct vol *v, uint64_t logical, struct vol_chunk_info *out_info)
{
	const struct vol_chunk *c = vol_chunk_at(v, logical);

	memset(out_info, 0, sizeof(*out_info));
	if (!c)
		return false;
	chunk_info(c, out_info);
	return true;
}

bool vol_chunk_next(const struct vol *v, uint64_t logical, struct vol_chunk_info *out_info)
{
	unsigned nr, i;
	struct vol_chunk *const *chunks = vol_chunks(v, &nr);

	memset(out_info, 0, sizeof(*out_info));
	i = chunk_index(chunks, nr, logical);
	if (i == nr)
		return false;
	chunk_info(chunks[i], out_info);
	return true;
}

bool vol_chunk_stripe(const struct vol *v, uint64_t logical, unsigned index,
		      struct vol_stripe_info *out_info)
{
	const struct vol_chunk *c = vol_chunk_at(v, logical);
	const struct vol_stripe *s;

	memset(out_info, 0, sizeof(*out_info));
	if (!c || index >= c->num_stripes)
		return false;
	s = &c->stripes[index];
	out_info->devid = s->dev->devid;
	memcpy(out_info->uuid, s->dev->uuid, sizeof(out_info->uuid));
	out_info->physical = s->physical;
	out_info->len = c->len / (c->data_stripes ? c->data_stripes : 1);
	out_info->writable = vol_dev_is_written(s->dev);
	return true;
}
