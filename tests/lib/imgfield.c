// SPDX-License-Identifier: GPL-2.0-or-later
/* The fields of an image, by the tables of ondisk/fields.h, and the changes that are made to them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ondisk/fields.h"
#include "tests/lib/imgfield.h"

const char *const op_names[OP_NR] = { "0", "ones", "+1", "neighbour" };

struct listing {
	const struct testimg *img;
	struct instances *out;
	uint32_t block;
	const uint8_t *base;
	const struct btrfs_struct_desc *desc;
	uint32_t at; /* of the structure in the block */
	uint8_t key_type, owner;
};

static int add_scalar(void *arg, const struct btrfs_field *parent, const struct btrfs_field *f,
		      uint32_t offset, uint32_t size)
{
	struct listing *l = arg;
	struct instances *out = l->out;

	if (!size)
		return 0;
	if (!(out->nr & (out->nr - 1))) {
		out->v = realloc(out->v, (out->nr ? out->nr * 2 : 1) * sizeof(*out->v));
		if (!out->v)
			abort();
	}
	out->v[out->nr] = (struct instance){
		.desc = l->desc->name,
		.parent = parent ? parent->name : NULL,
		.field = f->name,
		.block = l->block,
		.off = l->at + offset,
		.size = size,
		.in_struct = offset,
		.key_type = l->key_type,
		.owner = l->owner,
		.neighbour = out->nr,
	};
	out->nr++;
	return 0;
}

static int add_struct(void *arg, const struct btrfs_struct_desc *desc, const void *p, uint32_t len)
{
	struct listing *l = arg;

	l->desc = desc;
	l->at = (uint32_t)((const uint8_t *)p - l->base);
	/* What follows an item's header, up to the next one, is in the item. */
	if (desc == &btrfs_desc_item)
		l->key_type = ((const struct btrfs_item *)p)->key.type;
	return btrfs_fields_flatten(desc, len, add_scalar, l);
}

bool instance_same_field(const struct instance *a, const struct instance *b)
{
	return a->desc == b->desc && a->in_struct == b->in_struct && a->size == b->size &&
	       a->field == b->field && a->key_type == b->key_type;
}

static const uint8_t *value(const struct testimg *img, const struct instance *in)
{
	return img->good + img->blocks[in->block].physical[0] + in->off;
}

static void find_neighbour(const struct testimg *img, const struct instances *all, unsigned i)
{
	struct instance *in = &all->v[i];

	for (unsigned n = 1; n < all->nr; n++) {
		unsigned other = (i + n) % all->nr;

		if (instance_same_field(in, &all->v[other]) &&
		    memcmp(value(img, in), value(img, &all->v[other]), in->size)) {
			in->neighbour = other;
			return;
		}
	}
}

void instances_list(const struct testimg *img, struct instances *out)
{
	struct listing l = { .img = img, .out = out };

	*out = (struct instances){ 0 };
	for (l.block = 0; l.block < img->block_nr; l.block++) {
		const struct testimg_block *b = &img->blocks[l.block];

		l.base = img->good + b->physical[0];
		l.key_type = 0;
		l.owner = 0;
		if (b->super) {
			btrfs_fields_walk_super((const void *)l.base, add_struct, &l);
		} else {
			uint64_t owner = btrfs_header_owner(l.base);

			l.owner = btrfs_is_fstree(owner) ? BTRFS_FS_TREE_OBJECTID : (uint8_t)owner;
			btrfs_fields_walk_block(l.base, img->nodesize, add_struct, &l);
		}
	}
	for (unsigned i = 0; i < out->nr; i++)
		find_neighbour(img, out, i);
}

void instance_name(const struct instance *in, char *buf, size_t size)
{
	snprintf(buf, size, "%s.%s%s%s", in->desc, in->parent ? in->parent : "",
		 in->parent ? "." : "", in->field);
}

struct change {
	enum op op;
	const uint8_t *from;
	bool changed;
};

static void change(void *arg, uint8_t *p, uint32_t len)
{
	struct change *c = arg;
	uint8_t was[BTRFS_SUPER_INFO_SIZE];

	if (len > sizeof(was))
		len = sizeof(was);
	memcpy(was, p, len);
	switch (c->op) {
	case OP_ZERO:
		memset(p, 0, len);
		break;
	case OP_ONES:
		memset(p, 0xff, len);
		break;
	case OP_PLUS:
		for (uint32_t i = 0; i < len && ++p[i] == 0; i++)
			;
		break;
	case OP_NEIGHBOUR:
	case OP_NR:
		memcpy(p, c->from, len);
		break;
	}
	if (memcmp(was, p, len))
		c->changed = true;
}

bool op_apply(struct testimg *img, const struct instances *all, unsigned i, enum op op)
{
	const struct instance *in = &all->v[i];
	struct change c = { .op = op };

	if (op == OP_NEIGHBOUR && in->neighbour == i)
		return false;
	c.from = value(img, &all->v[in->neighbour]);
	if (!testimg_patch(img, in->block, in->off, in->size, change, &c)) {
		fprintf(stderr, "damage: a field outside of its block\n");
		abort();
	}
	if (!c.changed)
		testimg_undo(img);
	return c.changed;
}
