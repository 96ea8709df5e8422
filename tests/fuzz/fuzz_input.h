/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An input as damage to an image, for the targets that open images. */
#ifndef UBTRFS_TESTS_FUZZ_INPUT_H
#define UBTRFS_TESTS_FUZZ_INPUT_H

#include "tests/lib/imgfield.h"

enum {
	HOW_FIELDS = 0, /* by number, to a value of the sweep or any */
	HOW_BLOCKS = 2, /* bytes of blocks */
	HOW_RAW = 3,	/* bytes of one copy, checksums as they are */
	HOW_MASK = 3,	/* the other bits of the first byte are the target's */
};

/* The input, consumed from the front; past its end come zeros. */
struct input {
	const uint8_t *p;
	size_t left;
};

unsigned input_take(struct input *in, unsigned bytes);
/* Changes the image by what is left of the input. */
void input_damage(struct input *in, unsigned how, struct testimg *img,
		  const struct instances *fields);
/* The image of the environment's UBTRFS_FUZZ_IMAGE, or `path`. Exits on failure. */
void input_image(const char *path, struct testimg *img, struct instances *fields);

#endif
