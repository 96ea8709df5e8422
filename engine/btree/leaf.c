// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The bytes of a leaf: item headers grow up from the front, item data down from the end, without
 * gaps, in the order of the items. So the data of consecutive items is one run.
 *
 * Pure memory work on blocks that the caller may change.
 */
#include "engine/btree/bt_priv.h"

#include <assert.h>
#include <string.h>

static struct btrfs_item *hdr(void *leaf, unsigned slot)
{
	return &((struct btrfs_leaf *)leaf)->items[slot];
}

static uint8_t *data(void *leaf)
{
	return (uint8_t *)leaf + sizeof(struct btrfs_header);
}

static void set_nr(void *leaf, unsigned nr)
{
	((struct btrfs_header *)leaf)->nritems = le32_make(nr);
}

/* Where the data of the items before `slot` starts. */
static uint32_t start_before(const void *leaf, uint32_t nodesize, unsigned slot)
{
	return slot ? btrfs_item_offset(leaf, slot - 1) : btrfs_leaf_data_size(nodesize);
}

uint32_t leaf_used(const void *leaf, uint32_t nodesize)
{
	unsigned nr = btrfs_header_nritems(leaf);

	return btrfs_leaf_data_size(nodesize) - start_before(leaf, nodesize, nr) +
	       nr * (uint32_t)sizeof(struct btrfs_item);
}

uint32_t leaf_free(const void *leaf, uint32_t nodesize)
{
	return btrfs_leaf_data_size(nodesize) - leaf_used(leaf, nodesize);
}

/* The data of all items from `slot` on goes down by `down` bytes (up if negative). */
static void shift_data(void *leaf, uint32_t nodesize, unsigned slot, int64_t down)
{
	unsigned nr = btrfs_header_nritems(leaf);
	uint32_t from = start_before(leaf, nodesize, nr), to = start_before(leaf, nodesize, slot);

	memmove(data(leaf) + from - down, data(leaf) + from, to - from);
	for (unsigned i = slot; i < nr; i++)
		hdr(leaf, i)->offset = le32_make((uint32_t)(btrfs_item_offset(leaf, i) - down));
}

void leaf_insert(void *leaf, uint32_t nodesize, unsigned slot, const struct btrfs_key *keys,
		 const uint32_t *sizes, unsigned nr)
{
	unsigned was = btrfs_header_nritems(leaf);
	uint32_t end = start_before(leaf, nodesize, slot), bytes = 0;

	for (unsigned i = 0; i < nr; i++)
		bytes += sizes[i];
	assert(slot <= was);
	assert(leaf_free(leaf, nodesize) >= bytes + nr * sizeof(struct btrfs_item));
	shift_data(leaf, nodesize, slot, bytes);
	memmove(hdr(leaf, slot + nr), hdr(leaf, slot), (was - slot) * sizeof(struct btrfs_item));
	for (unsigned i = 0; i < nr; i++) {
		end -= sizes[i];
		*hdr(leaf, slot + i) = (struct btrfs_item){
			.key = btrfs_disk_key_make(&keys[i]),
			.offset = le32_make(end),
			.size = le32_make(sizes[i]),
		};
	}
	set_nr(leaf, was + nr);
}

void leaf_delete(void *leaf, uint32_t nodesize, unsigned slot, unsigned nr)
{
	unsigned was = btrfs_header_nritems(leaf);
	uint32_t bytes;

	assert(nr && slot + nr <= was);
	bytes = start_before(leaf, nodesize, slot) - btrfs_item_offset(leaf, slot + nr - 1);
	shift_data(leaf, nodesize, slot + nr, -(int64_t)bytes);
	memmove(hdr(leaf, slot), hdr(leaf, slot + nr),
		(was - slot - nr) * sizeof(struct btrfs_item));
	set_nr(leaf, was - nr);
}

void leaf_grow_item(void *leaf, uint32_t nodesize, unsigned slot, uint32_t bytes)
{
	assert(slot < btrfs_header_nritems(leaf) && leaf_free(leaf, nodesize) >= bytes);
	/* Its own bytes go down too: what is new comes after them. */
	shift_data(leaf, nodesize, slot, bytes);
	hdr(leaf, slot)->size = le32_make(btrfs_item_size(leaf, slot) + bytes);
}

void leaf_cut_item(void *leaf, uint32_t nodesize, unsigned slot, uint32_t size, bool from_start)
{
	uint32_t was = btrfs_item_size(leaf, slot), less = was - size;
	uint8_t *item = data(leaf) + btrfs_item_offset(leaf, slot);

	assert(slot < btrfs_header_nritems(leaf) && size <= was);
	if (!less)
		return;
	if (!from_start)
		memmove(item + less, item, size);
	/* What is kept now ends where the item ended. */
	shift_data(leaf, nodesize, slot + 1, -(int64_t)less);
	hdr(leaf, slot)->offset = le32_make(btrfs_item_offset(leaf, slot) + less);
	hdr(leaf, slot)->size = le32_make(size);
}

void leaf_move(void *to, bool to_end, void *from, unsigned slot, unsigned nr, uint32_t nodesize)
{
	unsigned was = btrfs_header_nritems(to), at = to_end ? was : 0;
	uint32_t end, first, bytes, to_first;

	if (!nr)
		return;
	assert(slot + nr <= btrfs_header_nritems(from));
	end = start_before(from, nodesize, slot);
	first = btrfs_item_offset(from, slot + nr - 1);
	bytes = end - first;
	assert(leaf_free(to, nodesize) >= bytes + nr * sizeof(struct btrfs_item));
	shift_data(to, nodesize, at, bytes);
	memmove(hdr(to, at + nr), hdr(to, at), (was - at) * sizeof(struct btrfs_item));
	memcpy(hdr(to, at), hdr(from, slot), nr * sizeof(struct btrfs_item));
	to_first = start_before(to, nodesize, at) - bytes;
	memcpy(data(to) + to_first, data(from) + first, bytes);
	for (unsigned i = at; i < at + nr; i++)
		hdr(to, i)->offset = le32_make(btrfs_item_offset(to, i) - first + to_first);
	set_nr(to, was + nr);
	leaf_delete(from, nodesize, slot, nr);
}
