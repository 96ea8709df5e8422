/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Compressing extents as btrfs stores them, for tests of reading them. */
#ifndef UBTRFS_TESTS_UNIT_PACKERS_H
#define UBTRFS_TESTS_UNIT_PACKERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Compresses into out[0, room); returns the bytes, or 0 if it does not fit. `type`: BTRFS_COMPRESS_*. */
size_t pack(unsigned type, uint32_t sectorsize, bool is_inline, const void *in, size_t len, void *out,
	    size_t room);
/* Fills buf with something that compresses to about `percent` of its size. */
void pack_sample(unsigned *seed, unsigned percent, void *buf, size_t len);

#endif
