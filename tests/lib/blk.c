// SPDX-License-Identifier: GPL-2.0-or-later
/* See blk.h. */
#include "tests/lib/blk.h"

#include "engine/lab.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void *blk_must(void *p)
{
	if (!p) {
		fprintf(stderr, "out of memory\n");
		abort();
	}
	return p;
}

struct bdev *blk_open(const struct blk *b, struct msg *msg, struct counters *counters)
{
	struct bdev *dev;

	if (bdev_open_ops(b->name, b->bytes, b->ops, b->priv, msg, counters, &dev))
		return NULL;
	return dev;
}

struct lab_disk blk_lab(const struct blk *b)
{
	return (struct lab_disk){
		.name = b->name,
		.bytes = b->bytes,
		.priv = b->priv,
		.read = b->ops->read,
		.write = b->ops->write,
		.flush = b->ops->flush,
		.discard = b->ops->discard,
	};
}

struct file {
	int fd;
	char name[4096];
};

static int file_read(void *priv, uint64_t off, void *buf, uint32_t len)
{
	const struct file *f = priv;

	return pread(f->fd, buf, len, (off_t)off) == (ssize_t)len ? 0 : -EIO;
}

static int file_write(void *priv, uint64_t off, const void *buf, uint32_t len)
{
	const struct file *f = priv;

	return pwrite(f->fd, buf, len, (off_t)off) == (ssize_t)len ? 0 : -EIO;
}

static int file_flush(void *priv)
{
	return fdatasync(((const struct file *)priv)->fd) ? -errno : 0;
}

static int file_discard(void *priv, uint64_t off, uint64_t len)
{
	return fallocate(((const struct file *)priv)->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			 (off_t)off, (off_t)len)
		       ? -errno
		       : 0;
}

struct blk blk_file_open(const char *path)
{
	static const struct bdev_ops ops = {
		.read = file_read,
		.write = file_write,
		.flush = file_flush,
		.discard = file_discard,
	};
	struct file *f = blk_must(calloc(1, sizeof(*f)));
	off_t end;

	snprintf(f->name, sizeof(f->name), "%s", path);
	f->fd = open(path, O_RDWR | O_CLOEXEC);
	end = f->fd < 0 ? -1 : lseek(f->fd, 0, SEEK_END);
	if (end < 0) {
		perror(path);
		abort();
	}
	return (struct blk){ &ops, f, (uint64_t)end, f->name };
}

void blk_file_close(struct blk *b)
{
	struct file *f = b->priv;

	close(f->fd);
	free(f);
	*b = (struct blk){ 0 };
}
