/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk over an image of testimg.h that is written without changing the image: what is written is
 * kept beside it. For opening damaged images writable, thousands of times.
 */
#ifndef UBTRFS_TESTS_LIB_IMGDISK_H
#define UBTRFS_TESTS_LIB_IMGDISK_H

#include "tests/lib/pages.h"
#include "tests/lib/testimg.h"

struct imgdisk {
	const struct testimg *img;
	struct pages written;
};

void imgdisk_init(struct imgdisk *d, const struct testimg *img);
void imgdisk_free(struct imgdisk *d);
/* Opens it writable, without threads, whatever opts says. d stays until the filesystem is closed.
 */
int imgdisk_open(struct imgdisk *d, const struct eng_open_opts *opts, struct eng_fs **out_fs);

#endif
