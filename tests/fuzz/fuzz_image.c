// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Open this image and walk it all. The image is a good one, small, that the input damages: a list
 * of changes to fields or to bytes of its blocks, whose checksums are made right again, so that
 * what is behind the checksums is reached; or of changes without that. The first byte says which,
 * and how the image is opened.
 *
 * Beside what the sanitizers see: an open that fails must have said one line.
 *
 * Planted fault that it is shown to find: cache_no_check (blocks are used unchecked).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tests/lib/imgfield.h"
#include "tests/lib/wholewalk.h"

#define MAX_BYTES 16

enum {
	HOW_FIELDS = 0, /* by number, to a value of the sweep or any */
	HOW_BLOCKS = 2, /* bytes of blocks */
	HOW_RAW = 3,	/* bytes of one copy, checksums as they are */
	HOW_MASK = 3,
	OPEN_PARTIAL = 4,
	OPEN_BADROOTS = 8,
	OPEN_NOCSUM = 16,
	OPEN_BACKUP = 32,
};

static struct testimg img;
static struct instances fields;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const char *path = getenv("UBTRFS_FUZZ_IMAGE");

	if (!testimg_load(&img, path ? path : FUZZ_IMAGE))
		exit(2);
	instances_list(&img, &fields);
	return 0;
}

/* The input, consumed from the front; past its end come zeros. */
struct input {
	const uint8_t *p;
	size_t left;
};

static unsigned take(struct input *in, unsigned bytes)
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

static void change_field(struct input *in)
{
	unsigned i = take(in, 2) % fields.nr, op = take(in, 1);
	const struct instance *f = &fields.v[i];
	uint8_t bytes[MAX_BYTES];
	uint32_t len = f->size < MAX_BYTES ? f->size : MAX_BYTES;

	if (op < OP_NR) {
		op_apply(&img, &fields, i, (enum op)op);
		return;
	}
	for (uint32_t n = 0; n < len; n++)
		bytes[n] = (uint8_t)take(in, 1);
	testimg_patch(&img, f->block, f->off, len, overwrite, bytes);
}

static void change_bytes(struct input *in, bool raw)
{
	unsigned b = take(in, 2) % img.block_nr, off = take(in, 2),
		 len = take(in, 1) % MAX_BYTES + 1;
	const struct testimg_block *block = &img.blocks[b];
	uint8_t bytes[MAX_BYTES];

	off %= block->len - MAX_BYTES;
	for (unsigned n = 0; n < len; n++)
		bytes[n] = (uint8_t)take(in, 1);
	if (raw)
		testimg_patch_raw(&img, block->physical[off % block->copies] + off, bytes, len);
	else
		testimg_patch(&img, b, off, len, overwrite, bytes);
}

static void hear(void *arg, enum eng_msg_level level, const char *text)
{
	unsigned *errors = arg;

	if (level == ENG_MSG_ERR)
		(*errors)++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct wholewalk_limits limits = { .depth = 8,
							.entries = 300,
							.file_bytes = 256 << 10,
							.bytes = 4 << 20,
							.items = 10000,
							.blocks = 300 };
	struct eng_open_opts opts = testimg_opts();
	struct input in = { data, size };
	unsigned how = take(&in, 1), errors = 0;
	struct wholewalk seen;
	struct eng_fs *fs;
	int err;

	while (in.left && img.dirty_nr < TESTIMG_DIRTY - TESTIMG_COPIES) {
		if ((how & HOW_MASK) < HOW_BLOCKS)
			change_field(&in);
		else
			change_bytes(&in, (how & HOW_MASK) == HOW_RAW);
	}
	opts.partial = how & OPEN_PARTIAL;
	opts.rescue |= how & OPEN_BADROOTS ? ENG_RESCUE_IGNOREBADROOTS : 0;
	opts.rescue |=
		how & OPEN_NOCSUM ? ENG_RESCUE_IGNOREMETACSUMS | ENG_RESCUE_IGNOREDATACSUMS : 0;
	opts.rescue |= how & OPEN_BACKUP ? ENG_RESCUE_USEBACKUPROOT : 0;
	opts.message = hear;
	opts.message_arg = &errors;
	err = testimg_open(&img, &opts, &fs);
	if (err && errors != 1) {
		fprintf(stderr, "open: %s, and %u lines\n", strerrorname_np(-err), errors);
		abort();
	}
	if (!err) {
		wholewalk(fs, &limits, &seen);
		eng_close(fs);
	}
	testimg_undo(&img);
	return 0;
}
