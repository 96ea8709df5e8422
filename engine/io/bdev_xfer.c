// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Transfers in the caller's thread, and the beginning and end that every transfer has.
 *
 * Invariant: each transfer passes its fault point once, in bdev_xfer_begin, and is counted once, in
 * bdev_xfer_end, whichever way it takes in between. Locks: none.
 */
#include "engine/io/bdev_priv.h"

#include "engine/util/fault.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static enum fault_kind fault_of(enum bdev_op op)
{
	return op == BDEV_READ ? FAULT_READ : op == BDEV_WRITE ? FAULT_WRITE : FAULT_FLUSH;
}

static bool past_end(const struct bdev *dev, uint64_t off, uint64_t len)
{
	return off > dev->bytes || len > dev->bytes - off;
}

int bdev_xfer_begin(const struct bdev_xfer *x)
{
	if (fault_hit(fault_of(x->op)))
		return -EIO;
	if (past_end(x->dev, x->off, x->len))
		return -EIO;
	if (x->op != BDEV_READ && !x->dev->writable)
		return -EROFS;
	return 0;
}

static void count(struct counters *c, const struct bdev_xfer *x)
{
	if (x->op == BDEV_READ)
		counter_inc(c, io_read_ops);
	else if (x->op == BDEV_WRITE)
		counter_inc(c, io_write_ops);
	else
		counter_inc(c, io_flushes);
	if (x->res)
		counter_inc(c, io_errors);
	else if (x->op == BDEV_READ)
		counter_add(c, io_read_bytes, x->len);
	else
		counter_add(c, io_write_bytes, x->len);
}

void bdev_xfer_end(const struct bdev_xfer *x)
{
	struct bdev *dev = x->dev;

	if (dev->counters)
		count(dev->counters, x);
	if (x->res && x->op == BDEV_FLUSH)
		msg_warn(dev->msg, "%s: cannot flush: %s", dev->name, strerror(-x->res));
	else if (x->res)
		msg_warn(dev->msg, "%s: cannot %s %u bytes at %llu: %s%s", dev->name,
			 x->op == BDEV_READ ? "read" : "write", x->len, (unsigned long long)x->off,
			 strerror(-x->res),
			 past_end(dev, x->off, x->len) ? " (past the end)" : "");
}

int bdev_fd_for(const struct bdev *dev, uint64_t pos, const void *buf, uint32_t len)
{
	if (!atomic_load_explicit(&dev->direct, memory_order_relaxed) ||
	    ((pos | len) & (dev->direct_off - 1)) || ((uintptr_t)buf & (dev->direct_mem - 1)))
		return dev->fd;
	return dev->fd_direct;
}

static int ops_now(const struct bdev *dev, enum bdev_op op, uint64_t off, void *buf, uint32_t len)
{
	switch (op) {
	case BDEV_READ:
		return dev->ops->read(dev->priv, off, buf, len);
	case BDEV_WRITE:
		return dev->ops->write(dev->priv, off, buf, len);
	case BDEV_FLUSH:
		break;
	}
	return dev->ops->flush ? dev->ops->flush(dev->priv) : 0;
}

static int flush_now(const struct bdev *dev)
{
	/* Not tried again after another error: that is told once, the next call says all is well. */
	while (fdatasync(dev->fd) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

int bdev_xfer_now(const struct bdev_xfer *x, uint32_t start, uint32_t len)
{
	struct bdev *dev = x->dev;
	uint64_t pos = dev->base + x->off + start;
	/* A flush has no buffer. */
	uint8_t *buf = x->buf ? (uint8_t *)x->buf + start : NULL;

	if (dev->ops)
		return ops_now(dev, x->op, x->off + start, buf, len);
	if (x->op == BDEV_FLUSH)
		return flush_now(dev);
	while (len) {
		int fd = bdev_fd_for(dev, pos, buf, len);
		ssize_t n = x->op == BDEV_READ ? pread(fd, buf, len, (off_t)pos)
					       : pwrite(fd, buf, len, (off_t)pos);

		if (n < 0 && errno == EINVAL && fd == dev->fd_direct) {
			atomic_store(&dev->direct, false);
			continue;
		}
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO; /* the file has shrunk since it was opened */
		pos += (uint64_t)n;
		buf += n;
		len -= (uint32_t)n;
	}
	return 0;
}

static int single(struct bdev_xfer *x)
{
	x->res = bdev_xfer_begin(x);
	if (!x->res)
		x->res = bdev_xfer_now(x, 0, x->len);
	bdev_xfer_end(x);
	return x->res;
}

int bdev_read(struct bdev *dev, uint64_t off, void *buf, uint32_t len)
{
	return single(&(struct bdev_xfer){ .dev = dev, .off = off, .buf = buf, .len = len });
}

int bdev_write(struct bdev *dev, uint64_t off, const void *buf, uint32_t len)
{
	return single(&(struct bdev_xfer){
		.dev = dev,
		.off = off,
		.buf = (void *)(uintptr_t)buf,
		.len = len,
		.op = BDEV_WRITE,
	});
}

int bdev_flush(struct bdev *dev)
{
	return single(&(struct bdev_xfer){ .dev = dev, .op = BDEV_FLUSH });
}

static int discard_now(const struct bdev *dev, uint64_t off, uint64_t len)
{
	uint64_t range[2] = { dev->base + off, len };

	if (dev->ops)
		return dev->ops->discard ? dev->ops->discard(dev->priv, off, len) : -EOPNOTSUPP;
	if (dev->is_block)
		return ioctl(dev->fd, BLKDISCARD, range) < 0 ? -errno : 0;
	return fallocate(dev->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)range[0],
			 (off_t)len) < 0
		       ? -errno
		       : 0;
}

int bdev_discard(struct bdev *dev, uint64_t off, uint64_t len)
{
	int ret;

	if (!len)
		return 0;
	if (past_end(dev, off, len))
		ret = -EIO;
	else
		ret = dev->writable ? discard_now(dev, off, len) : -EROFS;
	if (ret == -EOPNOTSUPP || ret == -ENOTTY)
		return -EOPNOTSUPP;
	if (ret)
		msg_warn(dev->msg, "%s: cannot discard %llu bytes at %llu: %s%s", dev->name,
			 (unsigned long long)len, (unsigned long long)off, strerror(-ret),
			 past_end(dev, off, len) ? " (past the end)" : "");
	if (dev->counters && ret)
		counter_inc(dev->counters, io_errors);
	else if (dev->counters)
		counter_add(dev->counters, io_discard_bytes, len);
	return ret;
}
