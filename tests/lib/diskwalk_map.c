// SPDX-License-Identifier: GPL-2.0-or-later
/* The chunk map of the reader. */
#include "tests/lib/diskwalk_priv.h"

#include "engine/volume/raid.h"

#include <stdlib.h>
#include <string.h>

static int disk_of(const struct diskwalk *w, uint64_t devid)
{
	for (unsigned i = 0; i < w->nr; i++)
		if (w->devids[i] == devid)
			return (int)i;
	return -1;
}

static const struct wchunk *chunk_at(const struct diskwalk *w, uint64_t logical)
{
	/* The last that was added counts: an address may be used again by a later chunk. */
	for (unsigned i = w->nr_chunks; i-- > 0;)
		if (w->chunks[i].logical <= logical && logical - w->chunks[i].logical < w->chunks[i].len)
			return &w->chunks[i];
	return NULL;
}

int walk_add_chunk(struct diskwalk *w, uint64_t logical, const struct btrfs_chunk *item)
{
	struct wchunk *c;
	unsigned nr = le16_get(item->num_stripes);

	if (nr > STRIPES_MAX)
		return walk_fail(w, "chunk %llu: %u stripes are more than this reader knows",
				 (unsigned long long)logical, nr);
	if (w->nr_chunks == w->max_chunks) {
		w->max_chunks = w->max_chunks ? 2 * w->max_chunks : 16;
		w->chunks = blk_must(realloc(w->chunks, w->max_chunks * sizeof(*w->chunks)));
	}
	c = &w->chunks[w->nr_chunks++];
	*c = (struct wchunk){
		.logical = logical,
		.len = le64_get(item->length),
		.type = le64_get(item->type),
		.stripe_len = (uint32_t)le64_get(item->stripe_len),
		.nr = nr,
		.sub = le16_get(item->sub_stripes),
	};
	for (unsigned i = 0; i < nr; i++) {
		const struct btrfs_stripe *s = btrfs_chunk_stripe(item, i);

		c->stripes[i].disk = disk_of(w, le64_get(s->devid));
		c->stripes[i].physical = le64_get(s->offset);
	}
	return 0;
}

int walk_add_sys_chunks(struct diskwalk *w, const struct btrfs_super_block *sb)
{
	const uint8_t *p = sb->sys_chunk_array, *end = p + le32_get(sb->sys_chunk_array_size);
	int ret = 0;

	while (!ret && p < end) {
		const struct btrfs_disk_key *key = (const void *)p;
		const struct btrfs_chunk *c = (const void *)(key + 1);

		ret = walk_add_chunk(w, le64_get(key->offset), c);
		p += sizeof(*key) + btrfs_chunk_item_size(le16_get(c->num_stripes));
	}
	return ret;
}

static struct raid_place locate(const struct wchunk *c, const struct raid_profile *p, uint64_t logical)
{
	return raid_locate(p, c->nr, c->sub, raid_data_stripes(p, c->nr, c->sub), c->stripe_len, c->len,
			   logical - c->logical);
}

bool walk_map(const struct diskwalk *w, uint64_t logical, uint64_t len,
	      void (*fn)(void *arg, unsigned copy, uint64_t logical, int disk, uint64_t physical,
			 uint64_t len),
	      void *arg)
{
	while (len) {
		const struct wchunk *c = chunk_at(w, logical);
		const struct raid_profile *p = c ? raid_profile(c->type) : NULL;
		struct raid_place at;
		uint64_t n;

		if (!p || !raid_data_stripes(p, c->nr, c->sub))
			return false;
		at = locate(c, p, logical);
		n = at.left < len ? at.left : len;
		for (unsigned copy = 0; copy < p->copies; copy++)
			fn(arg, copy, logical, c->stripes[at.first + copy].disk,
			   c->stripes[at.first + copy].physical + at.dev_off, n);
		logical += n;
		len -= n;
	}
	return true;
}

unsigned walk_copies(const struct diskwalk *w, uint64_t logical)
{
	const struct wchunk *c = chunk_at(w, logical);
	const struct raid_profile *p = c ? raid_profile(c->type) : NULL;

	return p ? p->copies : 0;
}

struct reading {
	struct diskwalk *w;
	unsigned copy;
	uint64_t start;
	uint8_t *buf;
	int ret;
};

static void read_piece(void *arg, unsigned copy, uint64_t logical, int disk, uint64_t physical,
		       uint64_t len)
{
	struct reading *r = arg;

	if (copy != r->copy || r->ret)
		return;
	if (disk < 0 || physical + len > r->w->disks[disk].bytes)
		r->ret = -EIO;
	else
		r->ret = blk_read(&r->w->disks[disk], physical, r->buf + (logical - r->start),
				  (uint32_t)len);
}

int walk_read_copy(struct diskwalk *w, uint64_t logical, unsigned copy, uint8_t *buf, uint32_t len)
{
	struct reading r = { w, copy, logical, buf, 0 };

	return walk_map(w, logical, len, read_piece, &r) ? r.ret : -ENXIO;
}
