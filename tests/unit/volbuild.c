// SPDX-License-Identifier: GPL-2.0-or-later
/* See volbuild.h. */
#include "tests/unit/volbuild.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_PHYSICAL (1u << 20)

static void *must(void *p)
{
	if (!p)
		abort();
	return p;
}

/* Eight bytes at a time: the tests compare a lot. */
static uint64_t word(uint64_t nr)
{
	uint64_t x = nr * 0x9e3779b97f4a7c15ull;

	return x ^ x >> 29;
}

uint8_t vb_byte(uint64_t logical)
{
	return (uint8_t)(word(logical >> 3) >> 8 * (logical & 7));
}

bool vb_verify(void *arg, uint64_t logical, const void *buf, uint32_t unit)
{
	const uint8_t *p = buf;
	uint32_t i = 0;

	for (; !(logical & 7) && i + 8 <= unit; i += 8) {
		uint64_t expected = htole64(word((logical + i) >> 3));

		if (memcmp(p + i, &expected, 8) != 0)
			return false;
	}
	for (; i < unit; i++)
		if (p[i] != vb_byte(logical + i))
			return false;
	return true;
}

struct vb *vb_create(unsigned nr_devs, uint8_t fsid_byte)
{
	struct vb *vb = must(calloc(1, sizeof(*vb)));

	memset(vb->fsid, fsid_byte, 16);
	vb->nr_devs = nr_devs;
	for (unsigned i = 0; i < nr_devs; i++) {
		struct vb_dev *d = &vb->devs[i];

		d->bytes = VB_DEV_BYTES;
		d->mem = must(calloc(1, d->bytes));
		d->devid = 3 * i + 1;
		/* Not in the order of the numbers. */
		memset(d->uuid, (int)(200 - 7 * i), 16);
		d->uuid[0] = fsid_byte;
		d->generation = VB_GENERATION;
	}
	return vb;
}

void vb_destroy(struct vb *vb)
{
	for (unsigned i = 0; i < vb->nr_devs; i++) {
		free(vb->devs[i].mem);
		free(vb->devs[i].bad);
	}
	free(vb);
}

/* ---- filling a chunk ---- */

static uint8_t *at(struct vb *vb, const struct vb_chunk *c, unsigned stripe, uint64_t block)
{
	return vb->devs[c->dev[stripe]].mem + c->physical[stripe] + block * VB_STRIPE;
}

static void fill(uint8_t *p, uint64_t logical, uint64_t len)
{
	for (uint64_t i = 0; i < len; i += 8) {
		uint64_t w = htole64(word((logical + i) >> 3));

		memcpy(p + i, &w, 8);
	}
}

/* Multiplication by 2 in the field of RAID6: x^8 = x^4 + x^3 + x^2 + 1. */
static uint8_t times2(uint8_t v)
{
	uint8_t r = (uint8_t)(v << 1);

	if (v & 128)
		r ^= 1 + 4 + 8 + 16;
	return r;
}

static void fill_parity_row(struct vb *vb, const struct vb_chunk *c, unsigned parity, uint64_t row)
{
	unsigned data = c->nr - parity, turn = (unsigned)(row % c->nr);
	uint8_t *p = at(vb, c, (turn + data) % c->nr, row), *q = NULL;

	if (parity == 2)
		q = at(vb, c, (turn + data + 1) % c->nr, row);
	for (unsigned k = 0; k < data; k++)
		fill(at(vb, c, (turn + k) % c->nr, row), c->logical + (row * data + k) * VB_STRIPE,
		     VB_STRIPE);
	for (unsigned i = 0; i < VB_STRIPE; i++) {
		uint8_t sum = 0, horner = 0;

		for (unsigned k = data; k-- > 0;) {
			uint8_t d = vb_byte(c->logical + (row * data + k) * VB_STRIPE + i);

			sum ^= d;
			horner = times2(horner) ^ d;
		}
		p[i] = sum;
		if (q)
			q[i] = horner;
	}
}

unsigned vb_add_chunk(struct vb *vb, uint64_t type, uint64_t logical, unsigned rows)
{
	struct vb_chunk *c = &vb->chunks[vb->nr_chunks];
	uint64_t profile = type & BTRFS_BLOCK_GROUP_PROFILE_MASK;
	unsigned nr = vb->nr_devs, data = 1;

	if (profile == 0)
		nr = 1;
	if (profile == BTRFS_BLOCK_GROUP_DUP)
		nr = 2;
	c->type = type;
	c->logical = logical;
	c->nr = nr;
	c->sub_stripes = profile == BTRFS_BLOCK_GROUP_RAID10 ? 2 : 1;
	for (unsigned i = 0; i < nr; i++) {
		c->dev[i] = profile == BTRFS_BLOCK_GROUP_DUP ? 0 : i;
		/* Somewhere else on each device, and past the chunks before this one. */
		c->physical[i] = FIRST_PHYSICAL + 4096 * i + 512 * 1024 * vb->nr_chunks;
		if (profile == BTRFS_BLOCK_GROUP_DUP)
			c->physical[i] += i * rows * VB_STRIPE;
	}
	if (profile == BTRFS_BLOCK_GROUP_RAID0)
		data = nr;
	else if (profile == BTRFS_BLOCK_GROUP_RAID10)
		data = nr / 2;
	else if (profile == BTRFS_BLOCK_GROUP_RAID5)
		data = nr - 1;
	else if (profile == BTRFS_BLOCK_GROUP_RAID6)
		data = nr - 2;
	c->len = (uint64_t)rows * data * VB_STRIPE;

	for (uint64_t row = 0; row < rows; row++) {
		if (profile & (BTRFS_BLOCK_GROUP_RAID5 | BTRFS_BLOCK_GROUP_RAID6)) {
			fill_parity_row(vb, c, nr - data, row);
			continue;
		}
		for (unsigned k = 0; k < nr; k++) {
			unsigned col = profile == BTRFS_BLOCK_GROUP_RAID0    ? k
				       : profile == BTRFS_BLOCK_GROUP_RAID10 ? k / 2
									     : 0;

			fill(at(vb, c, k, row), logical + (row * data + col) * VB_STRIPE,
			     VB_STRIPE);
		}
	}
	return vb->nr_chunks++;
}

/* ---- metadata ---- */

const struct btrfs_chunk *vb_chunk_item(const struct vb *vb, unsigned chunk, uint8_t buf[512])
{
	const struct vb_chunk *c = &vb->chunks[chunk];
	struct btrfs_chunk *item = (struct btrfs_chunk *)buf;
	/* Not &item->stripe: the compiler would take the others to lie outside. */
	struct btrfs_stripe *s =
		(struct btrfs_stripe *)(buf + offsetof(struct btrfs_chunk, stripe));

	memset(buf, 0, 512);
	item->length = le64_make(c->len);
	item->owner = le64_make(BTRFS_EXTENT_TREE_OBJECTID);
	item->stripe_len = le64_make(VB_STRIPE);
	item->type = le64_make(c->type);
	item->io_align = le32_make(VB_STRIPE);
	item->io_width = le32_make(VB_STRIPE);
	item->sector_size = le32_make(4096);
	item->num_stripes = le16_make((uint16_t)c->nr);
	item->sub_stripes = le16_make((uint16_t)c->sub_stripes);
	for (unsigned i = 0; i < c->nr; i++) {
		s[i].devid = le64_make(vb->devs[c->dev[i]].devid);
		s[i].offset = le64_make(c->physical[i]);
		memcpy(s[i].dev_uuid, vb->devs[c->dev[i]].uuid, 16);
	}
	return item;
}

void vb_make_dev_item(const struct vb *vb, unsigned dev, struct btrfs_dev_item *item)
{
	const struct vb_dev *d = &vb->devs[dev];

	memset(item, 0, sizeof(*item));
	item->devid = le64_make(d->devid);
	item->total_bytes = le64_make(d->bytes);
	item->bytes_used = le64_make(1 << 20);
	item->io_align = le32_make(4096);
	item->io_width = le32_make(4096);
	item->sector_size = le32_make(4096);
	memcpy(item->uuid, d->uuid, 16);
	memcpy(item->fsid, vb->fsid, 16);
}

void vb_make_super(const struct vb *vb, unsigned dev, struct btrfs_super_block *sb)
{
	struct btrfs_disk_key *key = (struct btrfs_disk_key *)sb->sys_chunk_array;
	struct btrfs_chunk *c = (struct btrfs_chunk *)(key + 1);

	memset(sb, 0, sizeof(*sb));
	memcpy(sb->fsid, vb->fsid, 16);
	sb->flags = le64_make(BTRFS_HEADER_FLAG_WRITTEN);
	sb->magic = le64_make(BTRFS_MAGIC);
	sb->generation = le64_make(vb->devs[dev].generation);
	sb->root = le64_make(1 << 20);
	sb->chunk_root = le64_make(2 << 20);
	sb->total_bytes = le64_make((uint64_t)vb->nr_devs * VB_DEV_BYTES);
	sb->bytes_used = le64_make(1 << 20);
	sb->root_dir_objectid = le64_make(6);
	sb->num_devices = le64_make(vb->nr_devs);
	sb->sectorsize = le32_make(4096);
	sb->nodesize = le32_make(16384);
	sb->__unused_leafsize = le32_make(16384);
	sb->stripesize = le32_make(4096);
	vb_make_dev_item(vb, dev, &sb->dev_item);
	/* Of no use here, but a superblock has to have one. */
	*key = (struct btrfs_disk_key){ le64_make(256), BTRFS_CHUNK_ITEM_KEY, le64_make(1 << 20) };
	c->length = le64_make(4 << 20);
	c->owner = le64_make(BTRFS_EXTENT_TREE_OBJECTID);
	c->stripe_len = le64_make(VB_STRIPE);
	c->type = le64_make(BTRFS_BLOCK_GROUP_SYSTEM);
	c->sector_size = le32_make(4096);
	c->num_stripes = le16_make(1);
	c->sub_stripes = le16_make(1);
	c->stripe.devid = le64_make(vb->devs[dev].devid);
	c->stripe.offset = le64_make(1 << 20);
	sb->sys_chunk_array_size = le32_make(sizeof(*key) + sizeof(*c));
}

void vb_write_super(struct vb *vb, unsigned dev, int copy, const struct btrfs_super_block *sb)
{
	struct btrfs_super_block own;

	if (sb)
		own = *sb;
	else
		vb_make_super(vb, dev, &own);
	own.bytenr = le64_make(btrfs_sb_offset(copy));
	btrfs_csum(le16_get(own.csum_type), (uint8_t *)&own + BTRFS_CSUM_SIZE,
		   sizeof(own) - BTRFS_CSUM_SIZE, own.csum);
	if (btrfs_sb_offset(copy) + sizeof(own) > vb->devs[dev].bytes)
		abort();
	memcpy(vb->devs[dev].mem + btrfs_sb_offset(copy), &own, sizeof(own));
}

/* ---- damage ---- */

void vb_spoil(struct vb *vb, unsigned dev, enum vb_state state)
{
	struct vb_dev *d = &vb->devs[dev];

	d->state = state;
	if (state == VB_PATCHY && !d->bad)
		d->bad = must(calloc(1, d->bytes / 4096));
	if (state == VB_GARBAGE)
		for (uint64_t i = FIRST_PHYSICAL; i + 8 <= d->bytes; i += 8) {
			uint64_t w = word(~i - dev);

			memcpy(d->mem + i, &w, 8);
		}
	if (state == VB_LYING)
		for (uint64_t i = FIRST_PHYSICAL + 77; i < d->bytes; i += 512)
			d->mem[i] ^= 0x10;
}

static int dev_read(void *priv, uint64_t off, void *buf, uint32_t len)
{
	struct vb_dev *d = priv;

	if (d->state == VB_FAILING && off + len > FIRST_PHYSICAL)
		return -EIO;
	for (uint64_t i = off / 4096; d->state == VB_PATCHY && i <= (off + len - 1) / 4096; i++)
		if (d->bad[i])
			return -EIO;
	memcpy(buf, d->mem + off, len);
	return 0;
}

static int dev_write(void *priv, uint64_t off, const void *buf, uint32_t len)
{
	struct vb_dev *d = priv;

	d->writes++;
	if (d->fail_writes)
		return -EIO;
	memcpy(d->mem + off, buf, len);
	return 0;
}

static int dev_flush(void *priv)
{
	struct vb_dev *d = priv;

	d->flushes++;
	return d->fail_flushes ? -EIO : 0;
}

struct bdev *vb_bdev(struct vb *vb, unsigned dev, struct msg *msg, struct counters *counters)
{
	static const struct bdev_ops ops = { .read = dev_read, .write = dev_write, .flush = dev_flush };
	struct bdev *b;
	char name[32];

	snprintf(name, sizeof(name), "memory%u", dev);
	if (bdev_open_ops(name, vb->devs[dev].bytes, &ops, &vb->devs[dev], msg, counters, &b))
		return NULL;
	return b;
}
