/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Devices: opening and closing.
 *
 * A file or block device has two descriptors, one O_DIRECT and one buffered: a transfer goes
 * through the first if its position, length and buffer are aligned as the kernel wants, else
 * through the second. Only the buffered one carries the lock or the exclusive claim. Where O_DIRECT
 * can't be had, or turns out not to work after all, everything is buffered.
 *
 * Locks: none. A device does not change after it is opened, but for `direct`, which only falls.
 */
#include "engine/io/bdev_priv.h"

#include "engine/util/fault.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static bool is_pow2(uint32_t v)
{
	return v && !(v & (v - 1));
}

/* Asks for the alignments of O_DIRECT. False if the file says that it has none. */
static bool direct_alignment(int fd, bool is_block, uint32_t *out_mem, uint32_t *out_off)
{
	*out_mem = BDEV_ALIGN;
	*out_off = BDEV_ALIGN;
#ifdef STATX_DIOALIGN
	struct statx sx;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &sx) == 0 &&
	    (sx.stx_mask & STATX_DIOALIGN)) {
		if (!is_pow2(sx.stx_dio_mem_align) || !is_pow2(sx.stx_dio_offset_align))
			return false;
		*out_mem = sx.stx_dio_mem_align;
		*out_off = sx.stx_dio_offset_align;
		return true;
	}
#endif
	int sector = 0;

	if (is_block && ioctl(fd, BLKSSZGET, &sector) == 0 && sector > 0 &&
	    is_pow2((uint32_t)sector)) {
		*out_mem = (uint32_t)sector;
		*out_off = (uint32_t)sector;
	}
	return true;
}

static void open_direct(struct bdev *dev, const struct stat *st)
{
	int flags = (dev->writable ? O_RDWR : O_RDONLY) | O_DIRECT | O_CLOEXEC;
	char path[64];
	struct stat now;

	if (!direct_alignment(dev->fd, S_ISBLK(st->st_mode), &dev->direct_mem, &dev->direct_off))
		return;
	/* Through /proc, so that it is the same file whatever happened to its name. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", dev->fd);
	dev->fd_direct = open(path, flags);
	if (dev->fd_direct < 0) {
		dev->fd_direct = open(dev->name, flags);
		if (dev->fd_direct >= 0 && (fstat(dev->fd_direct, &now) < 0 ||
					    now.st_dev != st->st_dev || now.st_ino != st->st_ino)) {
			close(dev->fd_direct);
			dev->fd_direct = -1;
		}
	}
	atomic_store(&dev->direct, dev->fd_direct >= 0);
}

static int file_bytes(struct bdev *dev, const struct stat *st, uint64_t *out_bytes)
{
	*out_bytes = 0;
	if (S_ISREG(st->st_mode)) {
		*out_bytes = (uint64_t)st->st_size;
		return 0;
	}
	if (ioctl(dev->fd, BLKGETSIZE64, out_bytes) < 0)
		return -errno;
	return 0;
}

/* Opens the buffered descriptor and claims the file. */
static int open_claimed(struct bdev *dev, enum bdev_share share, struct stat *st)
{
	int flags = (dev->writable ? O_RDWR : O_RDONLY) | O_CLOEXEC;
	int ret, readonly = 0;

	if (stat(dev->name, st) < 0) {
		ret = -errno;
		msg_err(dev->msg, "%s: %s", dev->name, strerror(-ret));
		return ret;
	}
	if (!S_ISREG(st->st_mode) && !S_ISBLK(st->st_mode)) {
		msg_err(dev->msg, "%s: neither a block device nor a regular file", dev->name);
		return -EINVAL;
	}
	/* O_EXCL without O_CREAT means something for block devices only. */
	if (share != BDEV_SHARED && S_ISBLK(st->st_mode))
		flags |= O_EXCL;
	dev->fd = open(dev->name, flags | O_NONBLOCK);
	if (dev->fd < 0) {
		ret = -errno;
		if (ret == -EBUSY)
			bdev_share_say_busy(dev->name, dev->msg);
		else
			msg_err(dev->msg, "%s: cannot open: %s", dev->name, strerror(-ret));
		return ret;
	}
	/* The name may have come to mean another file since stat. */
	mode_t type = st->st_mode & S_IFMT;

	if (fstat(dev->fd, st) < 0)
		return -errno;
	if ((st->st_mode & S_IFMT) != type) {
		msg_err(dev->msg, "%s: changed while it was being opened", dev->name);
		return -EINVAL;
	}
	dev->is_block = S_ISBLK(st->st_mode);
	/* Opening it for writing may succeed all the same. */
	if (dev->writable && dev->is_block && !ioctl(dev->fd, BLKROGET, &readonly) && readonly) {
		msg_err(dev->msg, "%s: is a read-only device", dev->name);
		return -EROFS;
	}
	if (share != BDEV_SHARED && S_ISREG(st->st_mode))
		return bdev_share_file(dev->fd, dev->name, st, dev->writable, dev->msg);
	return 0;
}

static int dev_alloc(const char *name, struct msg *msg, struct counters *counters,
		     struct bdev **out_dev)
{
	struct bdev *dev = eng_zalloc(sizeof(*dev));

	*out_dev = NULL;
	if (!dev)
		return -ENOMEM;
	dev->fd = -1;
	dev->fd_direct = -1;
	dev->msg = msg;
	dev->counters = counters;
	dev->name = eng_strdup(name);
	if (!dev->name) {
		free(dev);
		return -ENOMEM;
	}
	*out_dev = dev;
	return 0;
}

int bdev_open(const char *path, uint64_t offset, enum bdev_share share, enum bdev_io_mode mode,
	      struct msg *msg, struct counters *counters, struct bdev **out_dev)
{
	struct bdev *dev;
	struct stat st;
	uint64_t total;
	int ret;

	*out_dev = NULL;
	ret = dev_alloc(path, msg, counters, &dev);
	if (ret)
		return ret;
	dev->writable = share == BDEV_WRITABLE;
	ret = open_claimed(dev, share, &st);
	if (ret)
		goto fail;
	ret = file_bytes(dev, &st, &total);
	if (ret) {
		msg_err(msg, "%s: cannot learn its size: %s", path, strerror(-ret));
		goto fail;
	}
	if (offset > total || total > INT64_MAX) {
		msg_err(msg, "%s: offset %llu is past its end, %llu bytes", path,
			(unsigned long long)offset, (unsigned long long)total);
		ret = -EINVAL;
		goto fail;
	}
	dev->base = offset;
	dev->bytes = total - offset;
	open_direct(dev, &st);
	if (mode != BDEV_IO_PREAD) {
		ret = bdev_ring_probe();
		if (ret && mode == BDEV_IO_URING) {
			msg_err(msg, "%s: io_uring cannot be used: %s", path, strerror(-ret));
			goto fail;
		}
		dev->uring = !ret;
	}
	*out_dev = dev;
	return 0;
fail:
	bdev_close(dev);
	return ret;
}

int bdev_open_ops(const char *name, uint64_t bytes, const struct bdev_ops *ops, void *priv,
		  struct msg *msg, struct counters *counters, struct bdev **out_dev)
{
	int ret = dev_alloc(name, msg, counters, out_dev);

	if (ret)
		return ret;
	(*out_dev)->bytes = bytes;
	(*out_dev)->ops = ops;
	(*out_dev)->writable = ops->write != NULL;
	(*out_dev)->priv = priv;
	return 0;
}

static int memory_read(void *priv, uint64_t off, void *buf, uint32_t len)
{
	memcpy(buf, (const uint8_t *)priv + off, len);
	return 0;
}

int bdev_open_memory(const char *name, const void *data, uint64_t bytes, struct msg *msg,
		     struct counters *counters, struct bdev **out_dev)
{
	static const struct bdev_ops memory_ops = {.read = memory_read};

	return bdev_open_ops(name, bytes, &memory_ops, (void *)(uintptr_t)data, msg, counters,
			     out_dev);
}

void bdev_close(struct bdev *dev)
{
	if (!dev)
		return;
	if (dev->ops && dev->ops->close)
		dev->ops->close(dev->priv);
	if (dev->fd_direct >= 0)
		close(dev->fd_direct);
	if (dev->fd >= 0)
		close(dev->fd);
	free(dev->name);
	free(dev);
}

const char *bdev_name(const struct bdev *dev)
{
	return dev->name;
}

uint64_t bdev_bytes(const struct bdev *dev)
{
	return dev->bytes;
}

bool bdev_uses_uring(const struct bdev *dev)
{
	return dev->uring;
}

bool bdev_writable(const struct bdev *dev)
{
	return dev->writable;
}
