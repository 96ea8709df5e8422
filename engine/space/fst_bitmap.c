// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The free-space tree's bitmaps, conversion between the forms, and loading.
 *
 * Conversion goes over the group once, item by item, with an image of the group as bits in memory:
 * 32 KiB a GiB of 4 KiB sectors. That is also what makes it all or nothing for an allocation
 * failure: memory comes first.
 *
 * Invariants: those of fst.c. Locks: the caller's.
 */
#include "engine/space/fst_priv.h"
#include "engine/util/fault.h"

#include <stdlib.h>
#include <string.h>

/* One bitmap item. */
struct piece {
	uint64_t start, len;
	uint8_t bits[BTRFS_FREE_SPACE_BITMAP_SIZE];
};

static uint32_t piece_size(const struct fst_group *g, const struct piece *p)
{
	return (uint32_t)((p->len / g->sectorsize + 7) / 8);
}

static struct btrfs_key piece_key(const struct piece *p)
{
	return (struct btrfs_key){ p->start, BTRFS_FREE_SPACE_BITMAP_KEY, p->len };
}

/* Where the bitmap that covers pos lies. */
static void piece_place(const struct fst_group *g, uint64_t pos, struct piece *p)
{
	uint64_t in = (pos - g->start) / fst_bitmap_bytes(g) * fst_bitmap_bytes(g);

	p->start = g->start + in;
	p->len = g->len - in < fst_bitmap_bytes(g) ? g->len - in : fst_bitmap_bytes(g);
}

static int piece_read(const struct fst_ops *ops, const struct fst_group *g, uint64_t pos,
		      struct piece *p)
{
	struct btrfs_key key, found;
	uint32_t size;
	int err;

	piece_place(g, pos, p);
	key = piece_key(p);
	err = ops->find_le(ops->arg, &key, &found, p->bits, &size);
	if (err < 0)
		return err;
	return err || btrfs_key_cmp(&key, &found) || size != piece_size(g, p) ? -EUCLEAN : 0;
}

static bool bit_get(const uint8_t *bits, uint64_t bit)
{
	return bits[bit / 8] >> (bit % 8) & 1;
}

static void bit_flip(uint8_t *bits, uint64_t bit)
{
	bits[bit / 8] ^= (uint8_t)(1 << bit % 8);
}

static void bits_set(uint8_t *bits, uint64_t bit, uint64_t nr)
{
	for (; nr && bit % 8; nr--, bit++)
		bits[bit / 8] |= (uint8_t)(1 << bit % 8);
	memset(bits + bit / 8, 0xff, nr / 8);
	for (bit += nr / 8 * 8, nr %= 8; nr; nr--, bit++)
		bits[bit / 8] |= (uint8_t)(1 << bit % 8);
}

/* Whether the sector at pos is free; one outside the group is not. */
static int sector_is_free(const struct fst_ops *ops, const struct fst_group *g, uint64_t pos,
			  bool *out_free)
{
	struct piece p;
	int err;

	*out_free = false;
	if (pos < g->start || pos >= g->start + g->len)
		return 0;
	err = piece_read(ops, g, pos, &p);
	if (!err)
		*out_free = bit_get(p.bits, (pos - p.start) / g->sectorsize);
	return err;
}

int fst_bits_change(const struct fst_ops *ops, const struct fst_group *g, uint64_t start,
		    uint64_t len, bool to_free, int *out_delta)
{
	uint64_t pos = start, end = start + len;
	bool before, after;
	int err = sector_is_free(ops, g, start - g->sectorsize, &before);

	if (!err)
		err = sector_is_free(ops, g, end, &after);
	while (!err && pos < end) {
		struct btrfs_key key;
		struct piece p;

		err = piece_read(ops, g, pos, &p);
		if (err)
			break;
		for (; pos < end && pos < p.start + p.len; pos += g->sectorsize) {
			uint64_t bit = (pos - p.start) / g->sectorsize;

			if (bit_get(p.bits, bit) == to_free)
				return -EUCLEAN;
			bit_flip(p.bits, bit);
		}
		key = piece_key(&p);
		err = ops->update(ops->arg, &key, p.bits, piece_size(g, &p));
	}
	if (err)
		return err;
	*out_delta = to_free ? 1 - before - after : before + after - 1;
	return 0;
}

/* ---- the whole group ---- */

static uint64_t sectors_of(const struct fst_group *g)
{
	return g->len / g->sectorsize;
}

/* An item of the group into the image. */
static int add_item(const struct fst_group *g, bool bitmaps, const struct btrfs_key *key,
		    const uint8_t *buf, uint32_t size, uint8_t *image)
{
	uint64_t first = (key->objectid - g->start) / g->sectorsize;
	struct piece p;

	if (key->offset > g->len || key->objectid - g->start > g->len - key->offset ||
	    (key->objectid - g->start) % g->sectorsize)
		return -EUCLEAN;
	if (!bitmaps) {
		if (key->type != BTRFS_FREE_SPACE_EXTENT_KEY)
			return -EUCLEAN;
		bits_set(image, first, key->offset / g->sectorsize);
		return 0;
	}
	piece_place(g, key->objectid, &p);
	if (key->type != BTRFS_FREE_SPACE_BITMAP_KEY || key->objectid != p.start ||
	    key->offset != p.len || size != piece_size(g, &p))
		return -EUCLEAN;
	/* A whole number of bytes but for the last item: pieces begin at multiples of 2048 sectors.
	 */
	memcpy(image + first / 8, buf, size);
	return 0;
}

/*
 * Reads all items of the group, from the end, into an image of it; with `take`, removes them. The
 * last byte of the image may have bits beyond the group; they are cleared.
 */
static int image_read(const struct fst_ops *ops, const struct fst_group *g, bool bitmaps, bool take,
		      uint8_t *image)
{
	struct btrfs_key key = { g->start + g->len - 1, UINT8_MAX, UINT64_MAX }, found;
	uint8_t buf[BTRFS_FREE_SPACE_BITMAP_SIZE];
	uint32_t size;
	int err;

	for (;;) {
		err = ops->find_le(ops->arg, &key, &found, buf, &size);
		if (err)
			return err < 0 ? err : -EUCLEAN;
		if (found.type == BTRFS_FREE_SPACE_INFO_KEY && found.objectid == g->start)
			break;
		if (found.objectid < g->start)
			return -EUCLEAN;
		err = add_item(g, bitmaps, &found, buf, size, image);
		if (!err && take)
			err = ops->remove(ops->arg, &found);
		if (err)
			return err;
		/* The key before this one. */
		key = found;
		key.offset--;
		if (found.offset == 0)
			return -EUCLEAN;
	}
	if (sectors_of(g) % 8)
		image[sectors_of(g) / 8] &= (uint8_t)((1 << sectors_of(g) % 8) - 1);
	return 0;
}

/* The next run of set bits at or after *bit: [*bit, *end). False: none. */
static bool image_next(const uint8_t *image, uint64_t nr, uint64_t *bit, uint64_t *end)
{
	while (*bit < nr && !bit_get(image, *bit))
		*bit += !image[*bit / 8] ? 8 - *bit % 8 : 1;
	if (*bit >= nr)
		return false;
	for (*end = *bit; *end < nr && bit_get(image, *end);)
		*end += image[*end / 8] == 0xff ? 8 - *end % 8 : 1;
	*end = *end < nr ? *end : nr;
	return true;
}

static uint32_t image_runs(const uint8_t *image, uint64_t nr)
{
	uint64_t bit = 0, end;
	uint32_t runs = 0;

	for (; image_next(image, nr, &bit, &end); bit = end)
		runs++;
	return runs;
}

static int write_bitmaps(const struct fst_ops *ops, const struct fst_group *g, const uint8_t *image)
{
	struct piece p;
	int err = 0;

	for (uint64_t pos = g->start; !err && pos < g->start + g->len; pos = p.start + p.len) {
		struct btrfs_key key;

		piece_place(g, pos, &p);
		key = piece_key(&p);
		err = ops->insert(ops->arg, &key, image + (pos - g->start) / g->sectorsize / 8,
				  piece_size(g, &p));
	}
	return err;
}

static int write_extents(const struct fst_ops *ops, const struct fst_group *g, const uint8_t *image)
{
	uint64_t bit = 0, end;
	int err = 0;

	for (; !err && image_next(image, sectors_of(g), &bit, &end); bit = end)
		err = fst_extent_insert(ops, g->start + bit * g->sectorsize,
					(end - bit) * g->sectorsize);
	return err;
}

static int convert(const struct fst_ops *ops, const struct fst_group *g, bool to_bitmaps)
{
	struct btrfs_free_space_info info;
	uint8_t *image;
	int err = fst_info_get(ops, g, &info);
	uint32_t flags = le32_get(info.flags);

	if (err)
		return err;
	if (!!(flags & BTRFS_FREE_SPACE_USING_BITMAPS) == to_bitmaps)
		return -EUCLEAN;
	image = eng_calloc(sectors_of(g) / 8 + 1, 1);
	if (!image)
		return -ENOMEM;
	err = image_read(ops, g, !to_bitmaps, true, image);
	if (!err && image_runs(image, sectors_of(g)) != le32_get(info.extent_count))
		err = -EUCLEAN;
	if (!err)
		err = fst_info_set(ops, g, le32_get(info.extent_count),
				   flags ^ (uint32_t)BTRFS_FREE_SPACE_USING_BITMAPS);
	if (!err)
		err = to_bitmaps ? write_bitmaps(ops, g, image) : write_extents(ops, g, image);
	free(image);
	return err;
}

int fst_to_bitmaps(const struct fst_ops *ops, const struct fst_group *g)
{
	return convert(ops, g, true);
}

int fst_to_extents(const struct fst_ops *ops, const struct fst_group *g)
{
	return convert(ops, g, false);
}

int fst_load(const struct fst_ops *ops, const struct fst_group *g,
	     int (*fn)(void *arg, uint64_t start, uint64_t len), void *arg)
{
	struct btrfs_free_space_info info;
	uint64_t bit = 0, end;
	uint8_t *image;
	int err = fst_info_get(ops, g, &info);

	if (err)
		return err;
	image = eng_calloc(sectors_of(g) / 8 + 1, 1);
	if (!image)
		return -ENOMEM;
	err = image_read(ops, g, le32_get(info.flags) & BTRFS_FREE_SPACE_USING_BITMAPS, false,
			 image);
	if (!err && image_runs(image, sectors_of(g)) != le32_get(info.extent_count))
		err = -EUCLEAN;
	for (; !err && image_next(image, sectors_of(g), &bit, &end); bit = end)
		err = fn(arg, g->start + bit * g->sectorsize, (end - bit) * g->sectorsize);
	free(image);
	return err;
}
