// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/unit/checkbuild.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

struct btrfs_header *cb_header(struct cb *b)
{
	return (struct btrfs_header *)b->block;
}

struct btrfs_item *cb_item(struct cb *b, unsigned slot)
{
	return &((struct btrfs_leaf *)b->block)->items[slot];
}

void cb_init(struct cb *b, uint32_t nodesize, unsigned level, uint64_t owner)
{
	struct btrfs_header *h;

	memset(b, 0, sizeof(*b));
	b->geo.nodesize = nodesize;
	b->geo.sectorsize = 4096;
	b->geo.csum_type = BTRFS_CSUM_TYPE_CRC32;
	b->geo.csum_size = 4;
	b->geo.incompat = BTRFS_FEATURE_INCOMPAT_SKINNY_METADATA | BTRFS_FEATURE_INCOMPAT_NO_HOLES;
	b->geo.generation = CB_GENERATION;
	b->geo.total_bytes = 1ULL << 40;
	memset(b->geo.fsid, 0x11, sizeof(b->geo.fsid));
	b->expect.logical = CB_LOGICAL;
	b->expect.level = -1;

	b->block = calloc(1, nodesize);
	assert_non_null(b->block);
	b->data_end = btrfs_leaf_data_size(nodesize);
	h = cb_header(b);
	memcpy(h->fsid, b->geo.fsid, sizeof(h->fsid));
	h->bytenr = le64_make(CB_LOGICAL);
	h->flags = le64_make(BTRFS_HEADER_FLAG_WRITTEN | (uint64_t)BTRFS_MIXED_BACKREF_REV
								 << BTRFS_BACKREF_REV_SHIFT);
	h->generation = le64_make(CB_GENERATION);
	h->owner = le64_make(owner);
	h->level = (uint8_t)level;
}

void cb_free(struct cb *b)
{
	free(b->block);
	b->block = NULL;
}

void *cb_add(struct cb *b, uint64_t objectid, uint8_t type, uint64_t offset, const void *data,
	     uint32_t len)
{
	const struct btrfs_key key = { objectid, type, offset };
	struct btrfs_item *item = cb_item(b, b->nr);
	uint8_t *p;

	assert_true((b->nr + 1) * sizeof(*item) + len <= b->data_end);
	b->data_end -= len;
	item->key = btrfs_disk_key_make(&key);
	item->offset = le32_make(b->data_end);
	item->size = le32_make(len);
	p = b->block + sizeof(struct btrfs_header) + b->data_end;
	if (data)
		memcpy(p, data, len);
	cb_header(b)->nritems = le32_make(++b->nr);
	return p;
}

struct btrfs_key_ptr *cb_add_ptr(struct cb *b, uint64_t objectid, uint8_t type, uint64_t offset,
				 uint64_t blockptr, uint64_t generation)
{
	const struct btrfs_key key = { objectid, type, offset };
	struct btrfs_key_ptr *ptr = &((struct btrfs_node *)b->block)->ptrs[b->nr];

	ptr->key = btrfs_disk_key_make(&key);
	ptr->blockptr = le64_make(blockptr);
	ptr->generation = le64_make(generation);
	cb_header(b)->nritems = le32_make(++b->nr);
	return ptr;
}

int cb_check(struct cb *b)
{
	memset(&b->err, 0, sizeof(b->err));
	btrfs_csum(b->geo.csum_type, b->block + BTRFS_CSUM_SIZE, b->geo.nodesize - BTRFS_CSUM_SIZE,
		   cb_header(b)->csum);
	return btrfs_check_block(b->block, &b->geo, &b->expect, &b->err);
}

void cb_good(struct cb *b)
{
	if (cb_check(b) != 0)
		fail_msg("slot %d: refused: %s", b->err.slot, b->err.reason);
}

void cb_bad(struct cb *b, int slot, const char *reason)
{
	int ret = cb_check(b);

	if (ret == 0)
		fail_msg("passed, expected: %s", reason);
	assert_int_equal(ret, -EUCLEAN);
	if (!strstr(b->err.reason, reason))
		fail_msg("refused for: %s\nexpected: %s", b->err.reason, reason);
	if (b->err.slot != slot)
		fail_msg("refused for slot %d, expected %d: %s", b->err.slot, slot, b->err.reason);
	if (slot >= 0) {
		const struct btrfs_key key = btrfs_block_key(b->block, (unsigned)slot);

		assert_int_equal(btrfs_key_cmp(&b->err.key, &key), 0);
	}
}

static void poke(void *p, unsigned size, uint64_t value)
{
	for (unsigned i = 0; i < size; i++)
		((uint8_t *)p)[i] = i < 8 ? (uint8_t)(value >> 8 * i) : 0;
}

void cb_broken(struct cb *b, void *p, unsigned size, uint64_t value, int slot, const char *reason)
{
	uint8_t old[64];

	assert_true(size <= sizeof(old));
	memcpy(old, p, size);
	poke(p, size, value);
	cb_bad(b, slot, reason);
	memcpy(p, old, size);
	cb_good(b);
}

void cb_legal(struct cb *b, void *p, unsigned size, uint64_t value)
{
	uint8_t old[64];

	assert_true(size <= sizeof(old));
	memcpy(old, p, size);
	poke(p, size, value);
	cb_good(b);
	memcpy(p, old, size);
	cb_good(b);
}
