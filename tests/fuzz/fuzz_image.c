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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tests/fuzz/fuzz_input.h"
#include "tests/lib/wholewalk.h"

enum {
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
	(void)argc;
	(void)argv;
	input_image(FUZZ_IMAGE, &img, &fields);
	return 0;
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
	unsigned how = input_take(&in, 1), errors = 0;
	struct wholewalk seen;
	struct eng_fs *fs;
	int err;

	input_damage(&in, how, &img, &fields);
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
