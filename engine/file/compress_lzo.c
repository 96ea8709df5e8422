// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * LZO1X in the framing of btrfs.
 *
 *   le32 total                  bytes of all that follows, and of itself
 *   { le32 len; uint8_t[len] }  one segment for each sector of data, compressed by itself
 *
 * A segment's length never crosses a sector's border of the stream: if fewer than four bytes are left
 * before it, they are skipped. An inline extent has exactly one segment.
 */
#include "engine/file/compress_priv.h"
#include "ondisk/endian.h"

#include <lzo/lzo1x.h>
#include <string.h>

#define LEN_BYTES 4u

static uint32_t len_get(const uint8_t *p)
{
	return le32_get(*(const le32 *)p);
}

/* The most that LZO can make of `bytes` incompressible ones. */
static size_t worst_size(uint32_t bytes)
{
	return (size_t)bytes + bytes / 16 + 64 + 3;
}

/*
 * One segment into out[0, room). A segment longer than the room is decoded aside, and what fits is taken.
 * Return: bytes, -EUCLEAN, -ENOMEM.
 */
static int64_t segment_decode(struct workspace *ws, uint32_t sectorsize, const uint8_t *in, size_t in_len,
			      uint8_t *out, size_t room)
{
	size_t worst = worst_size(sectorsize);
	lzo_uint got = room;
	uint8_t *aside;

	if (room >= sectorsize) {
		if (got > worst)
			got = worst;
		if (lzo1x_decompress_safe(in, in_len, out, &got, NULL) == LZO_E_OK)
			return (int64_t)got;
		if (room >= worst)
			return -EUCLEAN;
	}
	aside = workspace_buf(ws, WORKSPACE_LZO, worst);
	if (!aside)
		return -ENOMEM;
	got = worst;
	if (lzo1x_decompress_safe(in, in_len, aside, &got, NULL) != LZO_E_OK)
		return -EUCLEAN;
	if (got > room)
		got = room;
	memcpy(out, aside, got);
	return (int64_t)got;
}

int64_t lzo_decode(struct workspace *ws, uint32_t sectorsize, bool is_inline, const void *in, size_t in_len,
		   void *out, size_t out_len)
{
	const uint8_t *src = in;
	size_t pos = LEN_BYTES, done = 0, total;

	if (in_len < LEN_BYTES)
		return -EUCLEAN;
	total = len_get(src);
	if (total < LEN_BYTES || total > in_len || (is_inline && total != in_len))
		return -EUCLEAN;
	while (pos < total && done < out_len) {
		size_t left = sectorsize - pos % sectorsize, len;
		int64_t got;

		if (left < LEN_BYTES) {
			pos += left;
			continue;
		}
		if (total - pos < LEN_BYTES)
			return -EUCLEAN;
		len = len_get(src + pos);
		pos += LEN_BYTES;
		if (len > total - pos || len > worst_size(sectorsize) ||
		    (is_inline && len != total - pos))
			return -EUCLEAN;
		got = segment_decode(ws, sectorsize, src + pos, len, (uint8_t *)out + done,
				     out_len - done);
		if (got < 0)
			return got;
		done += (size_t)got;
		pos += len;
	}
	return (int64_t)done;
}
