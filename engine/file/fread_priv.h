/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between the two halves of reading: ranges (fread.c) and streams (stream.c). */
#ifndef UBTRFS_ENGINE_FILE_FREAD_PRIV_H
#define UBTRFS_ENGINE_FILE_FREAD_PRIV_H

#include "engine/file/file_priv.h"
#include "engine/file/fread.h"

/* Whose bytes are read, and how. */
struct fread_src {
	struct fs *fs;
	const struct root *root;
	uint64_t ino;
	uint64_t size;
	bool verify;              /* data checksums are looked up and compared */
};

void fread_src_init(struct fread_src *src, struct fs *fs, const struct root *root, uint64_t ino,
		    const struct ino_attr *attr);

/*
 * Reads [off, off + len), which lies within the file, into buf, which has room for `room` >= len bytes: whole
 * sectors are read straight into it where they fit. `s`: where decompressed extents are kept; may be NULL.
 * Return: bytes (> 0), short only before an error; -errno as fread_at.
 */
MUST_CHECK int64_t fread_range(const struct fread_src *src, struct fread_stream *s, uint64_t off,
			       uint8_t *buf, size_t len, size_t room);

/*
 * A stream's decompressed extents. An extent is told by everything that its bytes depend on.
 * stream_ext_get: a reference on it if it is kept, else NULL. stream_ext_new: an unpublished one with room for
 * ram_bytes, or NULL (no memory or budget left: go on without). stream_ext_put publishes it if `keep`.
 */
struct stream_buf;
struct stream_buf *stream_ext_get(struct fread_stream *s, const struct fext *ext);
struct stream_buf *stream_ext_new(struct fread_stream *s, const struct fext *ext);
void stream_ext_put(struct stream_buf *b, bool keep);
uint8_t *stream_buf_data(const struct stream_buf *b);

#endif
