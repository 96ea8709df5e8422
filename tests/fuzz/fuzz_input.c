// SPDX-License-Identifier: GPL-2.0-or-later
/* See fuzz_input.h. */
#include "tests/fuzz/fuzz_input.h"

#include <stdlib.h>
#include <string.h>

#define MAX_BYTES 16

unsigned input_take(struct input *in, unsigned bytes)
{
	unsigned v = 0;

	for (unsigned i = 0; i < bytes && in->left; i++, in->left--)
		v |= (unsigned)*in->p++ << (8 * i);
	return v;
}

static void overwrite(void *arg, uint8_t *p, uint32_t len)
{
	memcpy(p, arg, len);
}

static void change_field(struct input *in, struct testimg *img, const struct instances *fields)
{
	unsigned i = input_take(in, 2) % fields->nr, op = input_take(in, 1);
	const struct instance *f = &fields->v[i];
	uint8_t bytes[MAX_BYTES];
	uint32_t len = f->size < MAX_BYTES ? f->size : MAX_BYTES;

	if (op < OP_NR) {
		op_apply(img, fields, i, (enum op)op);
		return;
	}
	for (uint32_t n = 0; n < len; n++)
		bytes[n] = (uint8_t)input_take(in, 1);
	testimg_patch(img, f->block, f->off, len, overwrite, bytes);
}

static void change_bytes(struct input *in, struct testimg *img, bool raw)
{
	unsigned b = input_take(in, 2) % img->block_nr, off = input_take(in, 2),
		 len = input_take(in, 1) % MAX_BYTES + 1;
	const struct testimg_block *block = &img->blocks[b];
	uint8_t bytes[MAX_BYTES];

	off %= block->len - MAX_BYTES;
	for (unsigned n = 0; n < len; n++)
		bytes[n] = (uint8_t)input_take(in, 1);
	if (raw)
		testimg_patch_raw(img, block->physical[off % block->copies] + off, bytes, len);
	else
		testimg_patch(img, b, off, len, overwrite, bytes);
}

void input_damage(struct input *in, unsigned how, struct testimg *img,
		  const struct instances *fields)
{
	while (in->left && img->dirty_nr < TESTIMG_DIRTY - TESTIMG_COPIES) {
		if ((how & HOW_MASK) < HOW_BLOCKS)
			change_field(in, img, fields);
		else
			change_bytes(in, img, (how & HOW_MASK) == HOW_RAW);
	}
}

void input_image(const char *path, struct testimg *img, struct instances *fields)
{
	const char *other = getenv("UBTRFS_FUZZ_IMAGE");

	if (!testimg_load(img, other ? other : path))
		exit(2);
	instances_list(img, fields);
}
