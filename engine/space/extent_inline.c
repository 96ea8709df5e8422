// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Inline back references as bytes of an extent's item.
 *
 * Order (linux/btrfs_tree.h, and what Linux's search relies on): types ascend; within a type
 * offsets descend, those of EXTENT_DATA_REF being the hash of its three fields.
 */
#include "engine/space/extent_priv.h"
#include "engine/util/fault.h"
#include "ondisk/csum.h"

#include <string.h>

struct ref_name ref_name_of(bool data, const struct dref *ref)
{
	struct ref_name n = { .ref = *ref };

	if (ref->parent) {
		n.type = data ? BTRFS_SHARED_DATA_REF_KEY : BTRFS_SHARED_BLOCK_REF_KEY;
		n.offset = ref->parent;
	} else if (data) {
		n.type = BTRFS_EXTENT_DATA_REF_KEY;
		n.offset = btrfs_extent_data_ref_hash(ref->root, ref->ino, ref->offset);
	} else {
		n.type = BTRFS_TREE_BLOCK_REF_KEY;
		n.offset = ref->root;
	}
	return n;
}

struct btrfs_key ref_item_key(uint64_t logical, const struct ref_name *name)
{
	return (struct btrfs_key){ logical, name->type, name->offset };
}

bool ref_same(const struct dref *a, const struct btrfs_extent_data_ref *b)
{
	return a->root == le64_get(b->root) && a->ino == le64_get(b->objectid) &&
	       a->offset == le64_get(b->offset);
}

uint32_t extent_item_max(uint32_t nodesize)
{
	return (btrfs_leaf_data_size(nodesize) >> 4) - (uint32_t)sizeof(struct btrfs_item);
}

uint32_t extent_inline_start(const struct btrfs_extent_item *ei, bool skinny)
{
	uint32_t start = sizeof(*ei);

	if (!skinny && (le64_get(ei->flags) & BTRFS_EXTENT_FLAG_TREE_BLOCK))
		start += (uint32_t)sizeof(struct btrfs_tree_block_info);
	return start;
}

static const struct btrfs_extent_inline_ref *at(const void *item, uint32_t off)
{
	return (const void *)((const uint8_t *)item + off);
}

static const struct btrfs_extent_data_ref *data_ref(const struct btrfs_extent_inline_ref *r)
{
	return (const void *)&r->offset;
}

static uint64_t offset_of(const struct btrfs_extent_inline_ref *r)
{
	const struct btrfs_extent_data_ref *d = data_ref(r);

	if (r->type != BTRFS_EXTENT_DATA_REF_KEY)
		return le64_get(r->offset);
	return btrfs_extent_data_ref_hash(le64_get(d->root), le64_get(d->objectid),
					  le64_get(d->offset));
}

/* Bytes of the reference at `off`; 0: there is none that fits. */
static uint32_t size_at(const void *item, uint32_t size, uint32_t off)
{
	uint32_t len = btrfs_extent_inline_ref_size(at(item, off)->type);

	return len <= size - off ? len : 0;
}

int extent_inline_find(const void *item, uint32_t size, uint32_t start, const struct ref_name *name,
		       uint32_t *out_off)
{
	uint32_t off, len;

	*out_off = size;
	for (off = start; off < size; off += len) {
		const struct btrfs_extent_inline_ref *r = at(item, off);
		uint64_t here;

		len = size_at(item, size, off);
		if (!len)
			return -EUCLEAN;
		*out_off = off;
		if (r->type > name->type)
			return 0;
		if (r->type < name->type)
			continue;
		here = offset_of(r);
		if (here < name->offset && !PLANTED("extent_inline_order"))
			return 0;
		if (here == name->offset &&
		    (r->type != BTRFS_EXTENT_DATA_REF_KEY || ref_same(&name->ref, data_ref(r))))
			return 1;
	}
	*out_off = size;
	return 0;
}

static const le32 *count_at(const void *item, uint32_t off)
{
	const struct btrfs_extent_inline_ref *r = at(item, off);

	if (r->type == BTRFS_EXTENT_DATA_REF_KEY)
		return &data_ref(r)->count;
	if (r->type == BTRFS_SHARED_DATA_REF_KEY)
		return &((const struct btrfs_shared_data_ref *)(r + 1))->count;
	return NULL;
}

uint32_t extent_inline_count(const void *item, uint32_t off)
{
	const le32 *count = count_at(item, off);

	return count ? le32_get(*count) : 1;
}

void extent_inline_set_count(void *item, uint32_t off, uint32_t count)
{
	le32 *p = (le32 *)count_at(item, off);

	if (p)
		*p = le32_make(count);
}

void extent_inline_put(void *item, uint32_t off, const struct ref_name *name, uint32_t count)
{
	struct btrfs_extent_inline_ref *r = (void *)((uint8_t *)item + off);
	struct btrfs_extent_data_ref d = {
		.root = le64_make(name->ref.root),
		.objectid = le64_make(name->ref.ino),
		.offset = le64_make(name->ref.offset),
	};

	r->type = name->type;
	if (name->type == BTRFS_EXTENT_DATA_REF_KEY)
		memcpy(&r->offset, &d, sizeof(d));
	else
		r->offset = le64_make(name->offset);
	extent_inline_set_count(item, off, count);
}

int extent_inline_next(const void *item, uint32_t size, uint32_t *io_off, struct ref_seen *out_seen)
{
	const struct btrfs_extent_inline_ref *r;
	uint32_t off = *io_off, len;

	do {
		if (off >= size)
			return 0;
		r = at(item, off);
		len = size_at(item, size, off);
		if (!len)
			return -EUCLEAN;
		off += len;
	} while (r->type == BTRFS_EXTENT_OWNER_REF_KEY);
	*io_off = off;
	*out_seen = (struct ref_seen){
		.name = { .type = r->type, .offset = offset_of(r) },
		.count = extent_inline_count(item, off - len),
	};
	switch (r->type) {
	case BTRFS_EXTENT_DATA_REF_KEY:
		out_seen->name.ref = (struct dref){ .root = le64_get(data_ref(r)->root),
						    .ino = le64_get(data_ref(r)->objectid),
						    .offset = le64_get(data_ref(r)->offset) };
		break;
	case BTRFS_TREE_BLOCK_REF_KEY:
		out_seen->name.ref.root = out_seen->name.offset;
		break;
	default:
		out_seen->name.ref.parent = out_seen->name.offset;
	}
	return 1;
}
