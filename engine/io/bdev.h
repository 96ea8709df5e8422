/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Block devices: regular files, block devices, and whatever a test puts in their place.
 *
 * Transfers go in batches, in the caller's thread: add, submit, wait for all or reap one by one. A batch
 * may span devices. It runs on an io_uring borrowed from a small pool; where io_uring is forbidden (most
 * containers) or fails to set up, the same contract is served by pread. One thread a batch; no
 * completion thread, no callbacks: overlap comes from batches and threads.
 *
 * Offsets are bytes from the start of the filesystem's device, i.e. `offset=` is already added here.
 * Reads use O_DIRECT where the file and the buffer's alignment allow, else the page cache.
 */
#ifndef UBTRFS_ENGINE_IO_BDEV_H
#define UBTRFS_ENGINE_IO_BDEV_H

#include "engine/util/counter.h"
#include "engine/util/err.h"

#include <stddef.h>

/* Buffers with this alignment (and lengths and offsets that are multiples) are read without a copy. */
#define BDEV_ALIGN 4096

enum bdev_io_mode {
	BDEV_IO_AUTO,  /* io_uring if it can be had, else pread */
	BDEV_IO_URING, /* only io_uring: -ENOSYS or -EPERM if it is forbidden */
	BDEV_IO_PREAD,
};

/*
 * BDEV_EXCLUSIVE keeps writers out. A block device is opened O_EXCL, which the kernel's mounts, dm, md
 * and swap honour as well; so no two of us share one. An image file is locked with flock, which only
 * we honour: this read-only opener takes it shared, so two read-only mounts of an image may coexist
 * and a writer (LOCK_EX) may not join them. The kernel reaches image files through loop devices: one
 * that can write (sysfs `ro` is 0) is refused, one that can't is one more reader.
 */
enum bdev_share {
	BDEV_EXCLUSIVE, /* nobody else may write it while it is open */
	BDEV_SHARED,    /* for looking at a device in use: no locks taken, contents may change */
};

struct bdev;

/* One read. The caller keeps it and the buffer alive until it is reaped or waited for. */
struct bdev_xfer {
	struct bdev *dev;
	uint64_t off;
	void *buf;
	uint32_t len;
	int res;              /* out: 0 or -errno; a short read (past the end) is -EIO */
	void *user;           /* the caller's */
	struct bdev_xfer *next; /* the batch's, as what follows */
	uint32_t issued;      /* bytes handed to the ring so far */
	unsigned pieces;      /* parts of it in the ring */
};

/* The disk as a test sees it: read all of [off, off + len) or fail. */
struct bdev_ops {
	int (*read)(void *priv, uint64_t off, void *buf, uint32_t len);
	void (*close)(void *priv);
};

/*
 * Opens a file or block device read-only. `msg` and `counters` must outlive the device.
 * Return: 0; -EBUSY (in use: by another ubtrfs, a mount, a loop device; said in a message);
 * -EINVAL (neither file nor block device, or offset past its end); -ENOMEM; -ENOSYS, -EPERM (mode
 * BDEV_IO_URING only); -errno of open(2). Every failure but -ENOMEM is also said in a message.
 */
MUST_CHECK int bdev_open(const char *path, uint64_t offset, enum bdev_share share,
			 enum bdev_io_mode mode, struct msg *msg, struct counters *counters,
			 struct bdev **out_dev);
/* A device made of functions; `bytes` is its size, `name` what messages call it. */
MUST_CHECK int bdev_open_ops(const char *name, uint64_t bytes, const struct bdev_ops *ops, void *priv,
			     struct msg *msg, struct counters *counters, struct bdev **out_dev);
/* Over memory that the caller keeps alive. */
MUST_CHECK int bdev_open_memory(const char *name, const void *data, uint64_t bytes, struct msg *msg,
				struct counters *counters, struct bdev **out_dev);
void bdev_close(struct bdev *dev);
const char *bdev_name(const struct bdev *dev);
uint64_t bdev_bytes(const struct bdev *dev);
/* True if reads go through io_uring (for --version -v style reports and tests). */
bool bdev_uses_uring(const struct bdev *dev);

/* One synchronous read. Return: 0, -EIO and other errnos of read(2). */
MUST_CHECK int bdev_read(struct bdev *dev, uint64_t off, void *buf, uint32_t len);

struct bdev_batch {
	struct bdev_xfer *queued;     /* added, not submitted */
	struct bdev_xfer **queued_end;
	struct bdev_xfer *waiting;    /* submitted, not wholly in the ring yet */
	struct bdev_xfer **waiting_end;
	struct bdev_xfer *done;       /* finished, not reaped */
	unsigned in_flight;           /* transfers submitted and not finished, `waiting` included */
	struct bdev_ring *ring;       /* borrowed while anything is in flight */
};

/* A batch may be used again after bdev_batch_wait, or once bdev_batch_reap has returned NULL. */
void bdev_batch_begin(struct bdev_batch *b);
/* `dev`, `off`, `buf` and `len` are set by the caller; off and buf of any alignment, len of any size. */
void bdev_batch_add(struct bdev_batch *b, struct bdev_xfer *x);
/* Starts everything added so far; errors appear in the transfers. */
void bdev_batch_submit(struct bdev_batch *b);
/* Submits, then waits for one; NULL when none is left. */
struct bdev_xfer *bdev_batch_reap(struct bdev_batch *b);
/* Submits and waits for all. Return: 0, or the first transfer error. Ends the batch's use of its ring. */
int bdev_batch_wait(struct bdev_batch *b);

/*
 * Ends the ring pool (all rings idle); later batches fill it again. For clean ends under leak checkers.
 * A child of fork() starts with an empty pool by itself.
 */
void bdev_rings_destroy(void);

#endif
