/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A file's extents as a gapless sequence over [0, size): explicit holes, missing items (no-holes) and the
 * space between are all FEXT_HOLE.
 */
#ifndef UBTRFS_ENGINE_FILE_FEXT_H
#define UBTRFS_ENGINE_FILE_FEXT_H

#include "engine/file/ino.h"

/* A compressed extent is never longer, on disk or decompressed. (format: BTRFS_MAX_COMPRESSED) */
#define FEXT_MAX_COMPRESSED (128u << 10)

enum fext_type {
	FEXT_HOLE,
	FEXT_INLINE,
	FEXT_REG,
	FEXT_PREALLOC,
};

struct fext {
	uint64_t off;             /* in the file */
	uint64_t len;
	enum fext_type type;
	uint8_t compression;      /* BTRFS_COMPRESS_* */
	uint64_t generation;
	uint64_t disk_logical;    /* of the whole extent; REG and PREALLOC */
	uint64_t disk_len;        /* of the whole extent on disk */
	uint64_t ram_bytes;       /* of the whole extent, decompressed */
	uint64_t ram_off;         /* where this piece starts in the decompressed extent */
	uint32_t inline_len;      /* INLINE: bytes in the item */
	const void *inline_data;  /* INLINE: valid only while the iterator stands here */
};

struct fext_iter {
	struct fs *fs;
	const struct root *root;
	uint64_t ino;
	uint64_t end;             /* sequence's end: i_size rounded up to sectors, or as asked */
	uint64_t pos;             /* where the next piece starts */
	struct bt_path path;
	bool at_item;             /* path stands on an EXTENT_DATA not yet given out */
	bool beyond;              /* no more items */
};

/* Begins at the piece that holds `off`. Ends with fext_end whatever was returned. */
MUST_CHECK int fext_begin(struct fext_iter *it, struct fs *fs, const struct root *root, uint64_t ino,
			  uint64_t off, uint64_t end);
/*
 * 0 and the next piece; 1 at the end; -errno. The first piece may start before `off`, and an extent may
 * reach past `end`. -EUCLEAN for extents that overlap or reach out of what they are cut from.
 */
MUST_CHECK int fext_next(struct fext_iter *it, struct fext *out_ext);
void fext_end(struct fext_iter *it);

/*
 * SEEK_DATA/SEEK_HOLE as lseek(2) has them: offset, or -ENXIO, -errno. Preallocated space is a hole; but as
 * in Linux a file of as many bytes as its size has no hole, unless its flags say that it was preallocated.
 */
MUST_CHECK int64_t fext_seek(struct fs *fs, const struct root *root, const struct ino_attr *attr,
			     uint64_t off, bool hole);

#endif
