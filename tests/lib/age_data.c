// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ubtrfs-age: operations on the data of files.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "tests/lib/age_priv.h"

#define SECTOR 4096
/* Linux 6.18 rounds a size above this up past the largest offset and finds no data then. */
#define HUGE_MAX (INT64_MAX & ~(int64_t)(SECTOR - 1))
#define FILE_MAX (6 << 20) /* where ordinary files stop growing */

static int open_node(struct age *a, const struct age_node *n, int flags)
{
	char buf[AGE_PATH_MAX];
	const char *path = age_path(n, buf);
	const int fd = open(path, flags | O_NOFOLLOW | O_CLOEXEC);

	return age_ok(a, fd, path, 0, 0) ? fd : -1;
}

/* Opens a random file; *out_size is its size. Returns -1 when there is none. */
static int open_some(struct age *a, struct age_node **out_n, off_t *out_size)
{
	struct stat st;
	int fd;

	*out_n = age_pick(a, AGE_FILE);
	if (!*out_n)
		return -1;
	fd = open_node(a, *out_n, O_RDWR);
	if (fd >= 0) {
		age_ok(a, fstat(fd, &st), (*out_n)->name, 0, 0);
		*out_size = st.st_size;
	}
	return fd;
}

static void put(struct age *a, const struct age_node *n, int fd, off_t off, size_t len)
{
	age_fill(a, len);
	for (size_t done = 0; done < len;) {
		const ssize_t ret = pwrite(fd, a->buf + done, len - done, off + done);

		if (!age_ok(a, ret, n->name, EFBIG, 0))
			return;
		done += ret;
	}
}

struct age_node *age_create_file(struct age *a)
{
	struct age_node *dir = age_pick(a, AGE_DIR), *n;
	char name[256], buf[AGE_PATH_MAX];
	const char *path;
	int fd;

	if (!dir)
		return NULL;
	path = age_child_path(dir, age_name(a, name), buf);
	fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600 + age_rnd(a, 0200));
	if (!age_ok(a, fd, path, 0, 0))
		return NULL;
	n = age_add(a, dir, AGE_FILE, name);
	n->nocow = dir->nocow;
	if (age_rnd(a, 10))
		put(a, n, fd, 0, age_size(a));
	close(fd);
	return n;
}

static void op_create(struct age *a)
{
	age_create_file(a);
}

static void op_write(struct age *a)
{
	struct age_node *n;
	off_t size, off;
	int fd = open_some(a, &n, &size);

	if (fd < 0)
		return;
	off = age_rnd(a, size + (age_rnd(a, 4) ? 1 : 200000));
	if (off > FILE_MAX)
		off %= FILE_MAX;
	if (!age_rnd(a, 3))
		off &= ~(off_t)(SECTOR - 1);
	put(a, n, fd, off, age_size(a));
	close(fd);
}

static void op_append(struct age *a)
{
	struct age_node *n;
	off_t size;
	int fd = open_some(a, &n, &size);

	if (fd < 0)
		return;
	if (size < FILE_MAX)
		put(a, n, fd, size, age_size(a));
	close(fd);
}

/* Many small pieces: short extents and shared ones, in several checksum items. */
static void op_scatter(struct age *a)
{
	struct age_node *n;
	off_t size;
	int fd = open_some(a, &n, &size);

	if (fd < 0)
		return;
	for (int i = 0; i < 12; i++) {
		put(a, n, fd, age_rnd(a, size + 100000) % FILE_MAX, 1 + age_rnd(a, 5000));
		if (i % 4 == 3)
			age_ok(a, fdatasync(fd), n->name, 0, 0);
	}
	close(fd);
}

static void op_truncate(struct age *a)
{
	struct age_node *n;
	off_t size;
	int fd = open_some(a, &n, &size);

	if (fd < 0)
		return;
	switch (age_rnd(a, 4)) {
	case 0:
		size = 0;
		break;
	case 1:
		size += age_size(a);
		break;
	default:
		size = age_rnd(a, size + 1);
	}
	age_ok(a, ftruncate(fd, size), n->name, 0, 0);
	close(fd);
}

static void op_fallocate(struct age *a)
{
	static const int modes[] = {
		0,
		FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_ZERO_RANGE,
		FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
	};
	const int mode = modes[age_rnd(a, sizeof(modes) / sizeof(*modes))];
	struct age_node *n;
	off_t size, off;
	size_t len = age_size(a);
	int fd = open_some(a, &n, &size);

	if (fd < 0)
		return;
	off = age_rnd(a, size + 100000) % FILE_MAX;
	if (age_rnd(a, 2)) {
		off &= ~(off_t)(SECTOR - 1);
		len = (len + SECTOR - 1) & ~(size_t)(SECTOR - 1);
	}
	age_ok(a, fallocate(fd, mode, off, len), n->name, EOPNOTSUPP, 0);
	/* Written in its middle, a preallocated extent becomes three items. */
	if (!(mode & FALLOC_FL_PUNCH_HOLE) && age_rnd(a, 2))
		put(a, n, fd, off + len / 3, 1 + len / 3);
	close(fd);
}

static void op_clone_range(struct age *a)
{
	struct file_clone_range range = { 0 };
	struct age_node *src, *dst;
	off_t src_size, dst_size;
	int from, to;

	from = open_some(a, &src, &src_size);
	if (from < 0)
		return;
	/* One time in four within the file. */
	to = age_rnd(a, 4) ? open_some(a, &dst, &dst_size) : -1;
	if (to < 0) {
		dst = src;
		dst_size = src_size;
		to = from;
	}
	range.src_fd = from;
	range.src_offset = age_rnd(a, src_size / SECTOR + 1) * SECTOR;
	range.src_length = (1 + age_rnd(a, 40)) * SECTOR;
	if ((off_t)(range.src_offset + range.src_length) > src_size)
		range.src_length = 0; /* to the end */
	range.dest_offset = age_rnd(a, dst_size / SECTOR + 10) % (FILE_MAX / SECTOR) * SECTOR;
	/* Overlap, a ragged end inside, or files with and without checksums: no. */
	age_ok(a, ioctl(to, FICLONERANGE, &range), dst->name, EINVAL, EOPNOTSUPP);
	if (to != from)
		close(to);
	close(from);
}

static void op_clone_file(struct age *a)
{
	struct age_node *src, *dst;
	off_t size;
	int from, to;

	from = open_some(a, &src, &size);
	if (from < 0)
		return;
	dst = age_create_file(a);
	to = dst ? open_node(a, dst, O_RDWR) : -1;
	if (to >= 0) {
		age_ok(a, ioctl(to, FICLONE, from), dst->name, EINVAL, EOPNOTSUPP);
		if (age_rnd(a, 2))
			put(a, dst, to, age_rnd(a, size + 1), age_size(a));
		close(to);
	}
	close(from);
}

/* Offsets that need more than 32 bits, or nearly all 63. */
static void op_huge(struct age *a)
{
	static const off_t offsets[] = { 0xffffff00ll, 5ll << 30, 1ll << 44, HUGE_MAX - 20000,
					 HUGE_MAX - 7000 };
	struct age_node *n;
	int fd;

	/* A snapshot carries them on; a handful is enough. */
	if (a->serial % 4)
		return;
	n = age_create_file(a);
	fd = n ? open_node(a, n, O_RDWR) : -1;
	if (fd < 0)
		return;
	n->huge = true;
	for (int i = 0; i < 2; i++) {
		const off_t off = offsets[age_rnd(a, sizeof(offsets) / sizeof(*offsets))];

		put(a, n, fd, off, 1 + age_rnd(a, 7000));
	}
	if (age_rnd(a, 2))
		age_ok(a, ftruncate(fd, HUGE_MAX - age_rnd(a, 9000)), n->name, EFBIG, 0);
	close(fd);
}

static void op_fsync(struct age *a)
{
	struct age_node *n;
	off_t size;
	int fd = open_some(a, &n, &size);

	if (fd < 0)
		return;
	age_ok(a, age_rnd(a, 2) ? fsync(fd) : fdatasync(fd), n->name, 0, 0);
	close(fd);
}

static void op_sync(struct age *a)
{
	age_ok(a, syncfs(a->top), "syncfs", 0, 0);
}

const struct age_op age_data_ops[] = {
	{ "create", 160, 0, op_create },
	{ "write", 110, 0, op_write },
	{ "append", 40, 0, op_append },
	{ "scatter", 25, 0, op_scatter },
	{ "truncate", 50, 0, op_truncate },
	{ "fallocate", 60, 0, op_fallocate },
	{ "clone-range", 60, AGE_REFLINK, op_clone_range },
	{ "clone-file", 25, AGE_REFLINK, op_clone_file },
	{ "huge", 8, AGE_HUGE, op_huge },
	{ "fsync", 20, 0, op_fsync },
	{ "sync", 12, 0, op_sync },
	{ 0 },
};
