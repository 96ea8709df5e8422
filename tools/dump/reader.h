/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads batches of blocks in a thread of its own, while what came before is being shown. */
#ifndef UBTRFS_TOOLS_DUMP_READER_H
#define UBTRFS_TOOLS_DUMP_READER_H

#include "engine/inspect.h"

#define BATCH_BLOCKS 64

struct batch {
	unsigned nr;
	struct btrfs_block_expect expect[BATCH_BLOCKS];
	int res[BATCH_BLOCKS]; /* as ins_block_read returns it, with why[] */
	struct btrfs_check_error why[BATCH_BLOCKS];
	uint8_t *blocks; /* BATCH_BLOCKS of nodesize each */
};

struct reader;

/* NULL without memory. Without threads the reading is done in reader_start. */
struct reader *reader_create(struct eng_fs *fs);
void reader_destroy(struct reader *r);
/* One of two batches, 0 or 1, to be filled with what is wanted. */
struct batch *reader_batch(struct reader *r, unsigned which);
/* Starts reading a batch; the one before must have been waited for. */
void reader_start(struct reader *r, unsigned which);
void reader_wait(struct reader *r);

#endif
