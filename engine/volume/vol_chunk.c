// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The chunk map: which chunk holds a logical address, and where on which devices that is.
 *
 * Invariant: chunks is ascending by logical and without overlap. Memory is in proportion to the
 * chunk items that were read. Changes only before vol_finish; lookups take no lock.
 */
#include "engine/volume/vol_priv.h"

#include "engine/util/fault.h"

#include <stdlib.h>
#include <string.h>

/* Index of the first chunk that ends after `logical`. */
static unsigned chunk_index(const struct vol *v, uint64_t logical)
{
	unsigned lo = 0, hi = v->nr_chunks;

	while (lo < hi) {
		unsigned mid = lo + (hi - lo) / 2;

		/* Not as a sum: the last chunk may end where 64 bits do. */
		if (v->chunks[mid]->logical + (v->chunks[mid]->len - 1) < logical)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

const struct vol_chunk *vol_chunk_at(const struct vol *v, uint64_t logical)
{
	unsigned i = chunk_index(v, logical);

	return i < v->nr_chunks && v->chunks[i]->logical <= logical ? v->chunks[i] : NULL;
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
		ret = vol_dev_want(v, le64_get(stripes[i].devid), stripes[i].dev_uuid,
				   &c->stripes[i].dev);
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

static int chunk_insert(struct vol *v, struct vol_chunk *c)
{
	unsigned i = chunk_index(v, c->logical);
	const struct vol_chunk *next = i < v->nr_chunks ? v->chunks[i] : NULL;

	if (next && next->logical <= c->logical + (c->len - 1)) {
		if (equal_chunks(next, c)) {
			free(c);
			return 0;
		}
		return msg_corrupt(v->msg, "chunk %llu (%llu bytes) %s chunk %llu (%llu bytes)",
				   (unsigned long long)c->logical, (unsigned long long)c->len,
				   next->logical == c->logical ? "is not the same as" : "overlaps",
				   (unsigned long long)next->logical,
				   (unsigned long long)next->len);
	}
	if (v->nr_chunks == v->max_chunks) {
		unsigned max = v->max_chunks ? 2 * v->max_chunks : 16;
		struct vol_chunk **chunks = eng_realloc(v->chunks, max * sizeof(*chunks));

		if (!chunks)
			return -ENOMEM;
		v->chunks = chunks;
		v->max_chunks = max;
	}
	memmove(&v->chunks[i + 1], &v->chunks[i], (v->nr_chunks - i) * sizeof(*v->chunks));
	v->chunks[i] = c;
	v->nr_chunks++;
	return 0;
}

int vol_chunk_add(struct vol *v, uint64_t logical, const struct btrfs_chunk *item)
{
	struct vol_chunk *c;
	int ret = chunk_make(v, logical, item, &c);

	if (ret)
		return ret;
	ret = chunk_insert(v, c);
	if (ret)
		free(c);
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
	memset(out_info, 0, sizeof(*out_info));
	if (index >= v->nr_chunks)
		return false;
	chunk_info(v->chunks[index], out_info);
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
