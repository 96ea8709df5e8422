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
 * Transfers use O_DIRECT where the file and the buffer's alignment allow, else the page cache.
 *
 * Durability: a write that has ended is on the device, perhaps in its volatile cache or the page cache; a
 * flush that has ended without error makes durable all that ended before it was submitted. Nothing orders
 * the transfers of a batch, flushes included: whoever needs an order waits in between. After a failed
 * flush any write since the flush before may be lost, and a later flush that succeeds does not say that
 * it isn't.
 */
#ifndef UBTRFS_ENGINE_IO_BDEV_H
#define UBTRFS_ENGINE_IO_BDEV_H

#include "engine/util/counter.h"
#include "engine/util/err.h"

#include <stddef.h>

/* Buffers with this alignment (and lengths and offsets that are multiples) are transferred without a copy. */
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
 * that can write (sysfs `ro` is 0) is refused, one that can't is one more reader. A writer bears nobody
 * else: it locks an image LOCK_EX and refuses one that any loop device is on.
 */
enum bdev_share {
	BDEV_EXCLUSIVE, /* nobody else may write it while it is open */
	BDEV_SHARED,    /* for looking at a device in use: no locks taken, contents may change */
	BDEV_WRITABLE,  /* for writing (O_RDWR), by us alone; the other two are read-only */
};

struct bdev;

enum bdev_op {
	BDEV_READ,
	BDEV_WRITE,
	BDEV_FLUSH, /* off, len and buf are 0 */
};

/* One transfer. The caller keeps it and the buffer alive until it is reaped or waited for. */
struct bdev_xfer {
	struct bdev *dev;
	uint64_t off;
	void *buf;            /* of a write: only read */
	uint32_t len;
	enum bdev_op op;
	/*
	 * Out: 0 or -errno. All of it or an error: past the end is -EIO; -EROFS: a write or flush of a
	 * device that was opened for reading. A failed write may have changed any part of its range.
	 */
	int res;
	uint32_t issued;      /* the batch's, as `next` and `pieces`: bytes handed to the ring so far */
	void *user;           /* the caller's */
	struct bdev_xfer *next;
	unsigned pieces;      /* parts of it in the ring */
};

/*
 * The disk as a test sees it: read or write all of [off, off + len) or fail. All but `read` may be NULL:
 * without `write` the device is read-only, without `flush` every write is durable, without `discard` it
 * is -EOPNOTSUPP.
 */
struct bdev_ops {
	int (*read)(void *priv, uint64_t off, void *buf, uint32_t len);
	void (*close)(void *priv);
	int (*write)(void *priv, uint64_t off, const void *buf, uint32_t len);
	int (*flush)(void *priv);
	int (*discard)(void *priv, uint64_t off, uint64_t len);
};

/*
 * Opens a file or block device, to be written only if `share` is BDEV_WRITABLE. `msg` and `counters` must outlive the device.
 * Return: 0; -EBUSY (in use: by another ubtrfs, a mount, a loop device; said in a message);
 * -EROFS (a block device that is read-only, to be written);
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

bool bdev_writable(const struct bdev *dev);

/* One synchronous read. Return: 0, -EIO and other errnos of read(2). */
MUST_CHECK int bdev_read(struct bdev *dev, uint64_t off, void *buf, uint32_t len);
/* One synchronous write. Return: 0; -EROFS; -EIO and other errnos of write(2). */
MUST_CHECK int bdev_write(struct bdev *dev, uint64_t off, const void *buf, uint32_t len);
/* One synchronous flush. Return: 0; -EROFS; errnos of fdatasync(2). Durability: see the top. */
MUST_CHECK int bdev_flush(struct bdev *dev);
/*
 * Tells the device that the range's contents are no longer needed: they may read as anything until they
 * are written again (an image file gets a hole). Not ordered against writes under way in the range.
 * Return: 0; -EOPNOTSUPP (the device can't; not said); -EROFS; -EIO (past the end) and other errnos of
 * ioctl(2) and fallocate(2), said in a message.
 */
MUST_CHECK int bdev_discard(struct bdev *dev, uint64_t off, uint64_t len);

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
/* `dev`, `off`, `buf`, `len` and `op` are set by the caller; off and buf of any alignment, len of any size. */
void bdev_batch_add(struct bdev_batch *b, struct bdev_xfer *x);
/* Starts everything added so far; errors appear in the transfers. */
void bdev_batch_submit(struct bdev_batch *b);
/* Submits, then waits for one; NULL when none is left. */
struct bdev_xfer *bdev_batch_reap(struct bdev_batch *b);
/* Submits and waits for all. Return: 0, or the first transfer error. Ends the batch's use of its ring. */
int bdev_batch_wait(struct bdev_batch *b);

/*
 * Makes rings, as far as that is allowed, until there are `nr` for batches to borrow at a time: for a process
 * that will forbid itself io_uring_setup. Batches that find none left pread.
 */
void bdev_rings_reserve(unsigned nr);
/*
 * Ends the ring pool (all rings idle); later batches fill it again. For clean ends under leak checkers.
 * A child of fork() starts with an empty pool by itself.
 */
void bdev_rings_destroy(void);

#endif
