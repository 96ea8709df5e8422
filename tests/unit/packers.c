// SPDX-License-Identifier: GPL-2.0-or-later
/* Compressors with the framing of btrfs: see packers.h. */
#include "tests/unit/packers.h"
#include "ondisk/format.h"

#include <lzo/lzo1x.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

static size_t pack_lzo(uint32_t sectorsize, bool is_inline, const uint8_t *in, size_t len, uint8_t *out,
		       size_t room)
{
	uint8_t *work = malloc(LZO1X_1_MEM_COMPRESS), *seg = malloc(2 * sectorsize + 100);
	size_t pos = 4, result = 0;

	for (size_t off = 0; off < len; off += sectorsize) {
		size_t n = len - off < sectorsize ? len - off : sectorsize, left;
		lzo_uint got = 2 * sectorsize + 100;

		lzo1x_1_compress(in + off, n, seg, &got, work);
		left = sectorsize - pos % sectorsize;
		if (left < 4) {
			if (pos + left > room)
				goto out;
			memset(out + pos, 0, left);
			pos += left;
		}
		if (pos + 4 + got > room)
			goto out;
		*(le32 *)(out + pos) = le32_make((uint32_t)got);
		memcpy(out + pos + 4, seg, got);
		pos += 4 + got;
		if (is_inline && off + n < len)
			goto out;
	}
	*(le32 *)out = le32_make((uint32_t)pos);
	result = pos;
out:
	free(work);
	free(seg);
	return result;
}

size_t pack(unsigned type, uint32_t sectorsize, bool is_inline, const void *in, size_t len, void *out,
	    size_t room)
{
	uLongf zlib_len = room;
	size_t got;

	switch (type) {
	case BTRFS_COMPRESS_ZLIB:
		return compress2(out, &zlib_len, in, len, 3) == Z_OK ? zlib_len : 0;
	case BTRFS_COMPRESS_LZO:
		return pack_lzo(sectorsize, is_inline, in, len, out, room);
	default:
		got = ZSTD_compress(out, room, in, len, 3);
		return ZSTD_isError(got) ? 0 : got;
	}
}

void pack_sample(unsigned *seed, unsigned percent, void *buf, size_t len)
{
	uint8_t *p = buf;

	for (size_t i = 0; i < len;) {
		size_t run = 1 + (size_t)rand_r(seed) % 64;
		bool noise = (unsigned)rand_r(seed) % 100 < percent;
		uint8_t fill = (uint8_t)rand_r(seed);

		for (; run-- && i < len; i++)
			p[i] = noise ? (uint8_t)rand_r(seed) : fill;
	}
}
