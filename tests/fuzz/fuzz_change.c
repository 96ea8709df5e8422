// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Open this image for writing and change it everywhere. The image is a good one that the input
 * damages, as for fuzz_image.c; what is written goes beside it. The first byte says how it is
 * damaged, and in which order it is changed.
 *
 * Beside what the sanitizers and the engine's own assertions see: an open that fails must have said
 * one line, and where metadata is called wrong, something was said.
 *
 * Planted fault that it is shown to find: cache_no_check (blocks are used unchecked).
 */
#include "tests/fuzz/fuzz_input.h"
#include "tests/lib/changeall.h"
#include "tests/lib/imgdisk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

struct heard {
	unsigned errors, warnings;
};

static void hear(void *arg, enum eng_msg_level level, const char *text)
{
	struct heard *h = arg;

	h->errors += level == ENG_MSG_ERR;
	h->warnings += level == ENG_MSG_WARN;
	if (level <= ENG_MSG_WARN && getenv("UBTRFS_FUZZ_SAY"))
		fprintf(stderr, "said: %s\n", text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct eng_open_opts opts = testimg_opts();
	struct input in = { data, size };
	unsigned how = input_take(&in, 1);
	struct heard h = { 0 };
	struct changeall seen;
	struct imgdisk disk;
	struct eng_fs *fs;
	int err;

	input_damage(&in, how, &img, &fields);
	imgdisk_init(&disk, &img);
	opts.message = hear;
	opts.message_arg = &h;
	err = imgdisk_open(&disk, &opts, &fs);
	if (err && h.errors != 1) {
		fprintf(stderr, "open: %s, and %u lines\n", strerrorname_np(-err), h.errors);
		abort();
	}
	if (!err) {
		changeall(fs, how >> 2, &seen);
		eng_close(fs);
		if (seen.by_errno[EUCLEAN] && !h.errors && !h.warnings) {
			fprintf(stderr, "EUCLEAN, and nothing was said\n");
			abort();
		}
	}
	imgdisk_free(&disk);
	testimg_undo(&img);
	return 0;
}
