/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Judges that are programs of others: btrfs check. One thread at a time. */
#ifndef UBTRFS_TESTS_LIB_JUDGE_H
#define UBTRFS_TESTS_LIB_JUDGE_H

#include <stdbool.h>
#include <stddef.h>

/* True if the image is clean; else what was said last is in `text`. A program that cannot be run is
 * no judge: aborts. */
bool judge_check(const char *image, char *text, size_t size);

#endif
