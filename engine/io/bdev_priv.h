/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inside io/: what a device is, and the seams between its files. */
#ifndef UBTRFS_ENGINE_IO_BDEV_PRIV_H
#define UBTRFS_ENGINE_IO_BDEV_PRIV_H

#include "engine/io/bdev.h"

#include <stdatomic.h>
#include <sys/stat.h>

struct bdev {
	char *name;
	uint64_t base;	     /* `offset=`: byte 0 of the filesystem in the file */
	uint64_t bytes;	     /* from base to the end */
	int fd;		     /* buffered; -1 for a device made of functions */
	int fd_direct;	     /* O_DIRECT, or -1 */
	uint32_t direct_mem; /* alignments that O_DIRECT asks for: of the buffer, */
	uint32_t direct_off; /* and of offset and length */
	_Atomic bool direct; /* cleared for good when the kernel refuses what it should take */
	bool uring;
	bool writable;
	bool is_block;
	const struct bdev_ops *ops;
	void *priv;
	struct msg *msg;
	struct counters *counters; /* may be NULL */
};

/* bdev_share.c: refuses a file that somebody else may write, and says who. 0, -EBUSY, -errno. */
int bdev_share_file(int fd, const char *path, const struct stat *st, bool writer, struct msg *msg);
/* Says who has the block device that open(O_EXCL) found busy. */
void bdev_share_say_busy(const char *path, struct msg *msg);

/* bdev_xfer.c: a transfer's beginning (bounds, fault point; 0 or the error) and end (counters, message).
 */
int bdev_xfer_begin(const struct bdev_xfer *x);
void bdev_xfer_end(const struct bdev_xfer *x);
/* The descriptor for this; `pos` is from the start of the file, not of the filesystem. */
int bdev_fd_for(const struct bdev *dev, uint64_t pos, const void *buf, uint32_t len);
/*
 * Does bytes [start, start + len) of a transfer in the caller's thread, by a system call or the
 * device's function, without begin and end.
 */
int bdev_xfer_now(const struct bdev_xfer *x, uint32_t start, uint32_t len);

/* Longer transfers go to a ring in pieces of this. */
#define BDEV_PIECE (1u << 20)

/* bdev_uring.c. All of it is called by the one thread that runs the batch. */
/* 0 if a ring can be had in this process. -ENOSYS, -EPERM, -ENOMEM, ... */
int bdev_ring_probe(void);
/* Lends a ring from the pool, or NULL if there is none to be had (then pread serves). */
struct bdev_ring *bdev_ring_get(void);
void bdev_ring_put(struct bdev_ring *r);
/* Puts as much of b->waiting into the ring as fits and starts it. */
void bdev_ring_fill(struct bdev_batch *b);
/* Takes what the ring has finished (waiting for one if `block`), and refills it. */
void bdev_ring_collect(struct bdev_batch *b, bool block);

/* bdev_batch.c: a transfer is over; x->res is set. */
void bdev_batch_finish(struct bdev_batch *b, struct bdev_xfer *x);

#endif
