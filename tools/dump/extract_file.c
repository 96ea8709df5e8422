// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Extracting file data: only what the file has (holes stay holes), with what cannot be read left
 * out.
 */
#include "tools/dump/extract.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* Sectors tried one by one before the steps double: bad sectors come in small groups. */
#define STEPS_OF_ONE 64

struct copy {
	struct extract *x;
	struct eng_file *f;
	int fd;
	uint64_t size;
	uint32_t sector;
	bool write_failed;
};

static bool write_at(struct copy *c, const char *buf, size_t len, uint64_t off)
{
	while (len) {
		ssize_t n = pwrite(c->fd, buf, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			extract_lost(c->x, "cannot be written from byte %llu on: %s",
				     (unsigned long long)off, strerror(n ? errno : ENOSPC));
			c->write_failed = true;
			return false;
		}
		buf += n;
		len -= (size_t)n;
		off += (uint64_t)n;
	}
	return true;
}

static bool readable_at(struct copy *c, uint64_t off)
{
	char byte;

	return eng_file_read(c->f, off, &byte, 1) == 1;
}

/* The end, in [from, to], of what cannot be read at `from`. */
static uint64_t bad_until(struct copy *c, uint64_t from, uint64_t to)
{
	uint64_t bad = from - from % c->sector, good, step = c->sector;

	for (unsigned tries = 0;; tries++) {
		if (to - bad <= step)
			return to;
		good = bad + step;
		if (readable_at(c, good))
			break;
		bad = good;
		if (tries >= STEPS_OF_ONE)
			step *= 2;
	}
	while (good - bad > c->sector) {
		uint64_t mid = bad + (good - bad) / 2;

		mid -= mid % c->sector;
		if (readable_at(c, mid))
			good = mid;
		else
			bad = mid;
	}
	return good;
}

/* Bytes [off, end), all of them data as far as is known. */
static void copy_range(struct copy *c, uint64_t off, uint64_t end)
{
	while (off < end && !c->write_failed) {
		size_t want = end - off < EXTRACT_BUF ? (size_t)(end - off) : EXTRACT_BUF;
		ssize_t n = eng_file_read(c->f, off, c->x->buf, want);

		if (n > 0) {
			if (!write_at(c, c->x->buf, (size_t)n, off))
				return;
			off += (uint64_t)n;
			c->x->count.bytes += (uint64_t)n;
		} else {
			uint64_t until = bad_until(c, off, end);

			extract_lost_bytes(c->x, off, until, n ? (int)-n : EIO);
			off = until;
		}
	}
}

static void copy_data(struct copy *c, struct eng_ino id)
{
	uint64_t off = 0;

	while (off < c->size && !c->write_failed) {
		int64_t data = eng_seek(c->x->d.fs, id, off, SEEK_DATA), hole;

		if (data == -ENXIO)
			return;
		/* Extent items that cannot be read: reading tells where. */
		if (data < 0) {
			copy_range(c, off, c->size);
			return;
		}
		if ((uint64_t)data >= c->size)
			return;
		hole = eng_seek(c->x->d.fs, id, (uint64_t)data, SEEK_HOLE);
		if (hole <= data || (uint64_t)hole > c->size)
			hole = (int64_t)c->size;
		copy_range(c, (uint64_t)data, (uint64_t)hole);
		off = (uint64_t)hole;
	}
}

void extract_data(struct extract *x, int fd, const struct eng_attr *attr)
{
	struct copy c = {
		.x = x, .fd = fd, .size = attr->size, .sector = ins_geometry(x->d.fs)->sectorsize
	};
	int err = eng_file_open(x->d.fs, attr->id, &c.f);

	if (err) {
		extract_lost(x, "cannot be opened: %s", strerror(-err));
		return;
	}
	if (ftruncate(fd, (off_t)attr->size))
		extract_lost(x, "its size of %llu: %s", (unsigned long long)attr->size,
			     strerror(errno));
	else
		copy_data(&c, attr->id);
	eng_file_close(c.f);
}
