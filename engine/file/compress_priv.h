/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A thread's workspace: decompressors and scratch memory that are costly to set up for each extent.
 * It is made at a thread's first need, grows as needed and goes with the thread.
 */
#ifndef UBTRFS_ENGINE_FILE_COMPRESS_PRIV_H
#define UBTRFS_ENGINE_FILE_COMPRESS_PRIV_H

#include "engine/util/err.h"

#include <stddef.h>

struct workspace;

enum workspace_use {
	WORKSPACE_IO,  /* bytes read that are not wanted as they are */
	WORKSPACE_OUT, /* an extent decompressed, of which a part is wanted */
	WORKSPACE_LZO, /* one LZO segment */
	WORKSPACE_BUFS,
};

/* This thread's. NULL: no memory. */
struct workspace *workspace_get(void);
/* At least `size` bytes, BDEV_ALIGN-aligned, valid until the thread asks again for this use. NULL: no memory. */
uint8_t *workspace_buf(struct workspace *ws, enum workspace_use use, size_t size);

/*
 * Each fills `out` until it is full or the stream ends.
 * Return: bytes written; -EUCLEAN (not such a stream, or it ends early); -ENOMEM.
 */
MUST_CHECK int64_t zlib_decode(struct workspace *ws, const void *in, size_t in_len, void *out,
			       size_t out_len);
MUST_CHECK int64_t zstd_decode(struct workspace *ws, const void *in, size_t in_len, void *out,
			       size_t out_len);
MUST_CHECK int64_t lzo_decode(struct workspace *ws, uint32_t sectorsize, bool is_inline, const void *in,
			      size_t in_len, void *out, size_t out_len);

#endif
