/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading file data: extents to sectors, checksums, decompression, read-ahead.
 *
 * A stream is one open file's reading position and read-ahead window; several threads may read through
 * one. Sequential reading is noticed and the window is read ahead by the pool's threads, which verify and
 * decompress. All streams together hold at most the budget given at open.
 */
#ifndef UBTRFS_ENGINE_FILE_FREAD_H
#define UBTRFS_ENGINE_FILE_FREAD_H

#include "engine/file/fext.h"

struct fread_stream;
struct readahead;

/*
 * The budget that all streams of a filesystem share, for fs->readahead: at most `cap` bytes of buffers.
 * Without one (NULL) nothing is read ahead. Destroyed after the last stream was closed.
 */
MUST_CHECK int readahead_create(uint64_t cap, struct readahead **out_ra);
void readahead_destroy(struct readahead *ra);
/* Bytes of buffers now: never above the cap. */
uint64_t readahead_used(struct readahead *ra);

/* Decompresses an extent's bytes. Return: bytes written (<= out_len), or -EUCLEAN on bad input, -ENOMEM. */
MUST_CHECK int64_t compress_decode(unsigned type, uint32_t sectorsize, bool is_inline, const void *in,
				   size_t in_len, void *out, size_t out_len);

/*
 * Reads [off, off + len) of a file of `size` bytes with no state. Past the size nothing is read.
 * Return: bytes read (short only at the end of the file); -EIO (bad data checksum on all copies, or device
 * error: nothing is delivered past the bad sector, bytes before it are if there are any); -EUCLEAN; -ENOMEM.
 */
MUST_CHECK int64_t fread_at(struct fs *fs, const struct root *root, uint64_t ino,
			    const struct ino_attr *attr, uint64_t off, void *buf, size_t len);

MUST_CHECK int fread_open(struct fs *fs, const struct root *root, uint64_t ino,
			  const struct ino_attr *attr, struct fread_stream **out_stream);
/* As fread_at. */
MUST_CHECK int64_t fread_read(struct fread_stream *s, uint64_t off, void *buf, size_t len);
/* Waits for what it has under way. */
void fread_close(struct fread_stream *s);

#endif
