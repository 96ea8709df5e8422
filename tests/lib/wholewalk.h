/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sees all of an open filesystem through the public headers, and says in two numbers what it saw.
 * Ends on any image, in bounded time and memory: what is past a limit is left out and `cut` is set.
 */
#ifndef UBTRFS_TESTS_LIB_WHOLEWALK_H
#define UBTRFS_TESTS_LIB_WHOLEWALK_H

#include "engine/engine.h"

#define WHOLEWALK_ERRNOS 134

struct wholewalk_limits {
	unsigned depth;	     /* of directories in each other */
	uint64_t entries;    /* of directories, in all */
	uint64_t file_bytes; /* read of one file */
	uint64_t bytes;	     /* read of all files */
	uint64_t items;	     /* of trees, in all */
	uint64_t blocks;     /* of trees, in all */
	bool no_files;	     /* only what inspection sees: trees, blocks, chunks */
	bool no_raw;	     /* only what a user sees: files, subvolumes, space */
};

/* Enough for the images of tests, seconds on hostile ones. */
extern const struct wholewalk_limits wholewalk_default;

struct wholewalk {
	uint64_t files; /* digest of names, attributes, data, subvolumes, space */
	uint64_t raw;	/* digest of items, blocks, chunks */
	uint64_t entries, bytes, items, blocks;
	uint64_t errors; /* calls that failed and should not fail on a good filesystem */
	uint32_t by_errno[WHOLEWALK_ERRNOS];
	bool cut;
};

void wholewalk(struct eng_fs *fs, const struct wholewalk_limits *limits,
	       struct wholewalk *out_seen);
/* "3 EUCLEAN, 1 ENOENT" into buf. */
void wholewalk_errors_to_text(const struct wholewalk *seen, char *buf, size_t size);

#endif
