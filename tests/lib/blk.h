/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk as the tests' layers see it: functions and a size. Layers are stacked (a recorder on an order
 * checker on a simulated disk), and the top one is opened as a device of the engine. They call each
 * other's functions directly, so that no fault point, counter or message of the engine is passed more
 * than once.
 */
#ifndef UBTRFS_TESTS_LIB_BLK_H
#define UBTRFS_TESTS_LIB_BLK_H

#include "engine/io/bdev.h"

struct blk {
	const struct bdev_ops *ops; /* all but close are set */
	void *priv;
	uint64_t bytes;
	const char *name;
};

static inline int blk_read(const struct blk *b, uint64_t off, void *buf, uint32_t len)
{
	return b->ops->read(b->priv, off, buf, len);
}

static inline int blk_write(const struct blk *b, uint64_t off, const void *buf, uint32_t len)
{
	return b->ops->write(b->priv, off, buf, len);
}

static inline int blk_flush(const struct blk *b)
{
	return b->ops->flush(b->priv);
}

static inline int blk_discard(const struct blk *b, uint64_t off, uint64_t len)
{
	return b->ops->discard(b->priv, off, len);
}

struct lab_disk;
/* As a disk for lab_open_disks. */
struct lab_disk blk_lab(const struct blk *b);
/* As a device of the engine; the disk outlives it. */
struct bdev *blk_open(const struct blk *b, struct msg *msg, struct counters *counters);

/* A file or block device, opened for writing, without locks. Aborts on failure. blk_file_close ends it. */
struct blk blk_file_open(const char *path);
void blk_file_close(struct blk *b);

/* Memory, or the end of the test program. */
void *blk_must(void *p);

#endif
