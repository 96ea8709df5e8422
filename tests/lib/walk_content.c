// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ubtrfs-walk: what is inside an entry: hole map, content, inode flags, xattrs.
 *
 * The hash is over every 4 KiB block that is not all zeros, each after its offset: it says the same
 * of a hole, of zeros and of a preallocated range, so that content and hole map are told apart.
 * Only data ranges are read in full (a file may have 8 EiB of hole); both ends of each hole are
 * read and must be zeros.
 */
#include <errno.h>
#include <fcntl.h>
#include <gcrypt.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>
#include <unistd.h>
#include "tests/lib/walk_priv.h"

#define BLOCK 4096u
#define HOLE_PROBE (64u << 10)

static bool all_zero(const unsigned char *p, size_t len)
{
	return !len || (!p[0] && !memcmp(p, p + 1, len - 1));
}

static ssize_t read_full(int fd, unsigned char *buf, size_t len, off_t off)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(fd, buf + done, len - done, off + done);

		if (n < 0)
			return -errno;
		if (!n)
			break;
		done += n;
	}
	return done;
}

/* Hashes [start, end), taking whole blocks so that the result does not depend on the hole map. */
static int hash_range(struct walk *w, gcry_md_hd_t md, int fd, off_t start, off_t end, off_t size)
{
	off_t off = start & ~(off_t)(BLOCK - 1);

	while (off < end) {
		size_t want = size - off < WALK_BUF_SIZE ? size - off : WALK_BUF_SIZE;
		ssize_t n;

		if (end - off < (off_t)want)
			want = end - off;
		n = read_full(fd, w->buf, want, off);
		if (n < 0)
			return -n;
		if ((size_t)n < want)
			return ENODATA;
		for (size_t at = 0; at < want; at += BLOCK) {
			const size_t len = want - at < BLOCK ? want - at : BLOCK;
			const uint64_t pos = off + at;

			if (all_zero(w->buf + at, len))
				continue;
			gcry_md_write(md, &pos, sizeof(pos));
			gcry_md_write(md, w->buf + at, len);
		}
		off += want;
	}
	return 0;
}

static int probe_zeros(struct walk *w, int fd, off_t start, off_t end, bool *out_zero)
{
	const size_t len = end - start < HOLE_PROBE ? end - start : HOLE_PROBE;
	ssize_t n;

	n = read_full(fd, w->buf, len, start);
	if (n < 0)
		return -n;
	*out_zero = (size_t)n == len && all_zero(w->buf, len);
	n = read_full(fd, w->buf, len, end - len);
	if (n < 0)
		return -n;
	*out_zero = *out_zero && (size_t)n == len && all_zero(w->buf, len);
	return 0;
}

static void check_hole(struct walk *w, const char *path, int fd, off_t start, off_t end)
{
	bool zero = false;
	int err;

	if (!(w->fields & WALK_HASH) || start >= end)
		return;
	err = probe_zeros(w, fd, start, end, &zero);
	if (err)
		walk_problem(w, path, "read-hole", err);
	else if (!zero)
		walk_problem(w, path, "hole-not-zeros", 0);
}

/* Goes through the data ranges; hashes them if `md` is given. Return: 0 or an errno. */
static int walk_ranges(struct walk *w, const char *path, int fd, gcry_md_hd_t md, off_t size)
{
	off_t at = 0;
	int err = 0;

	if (w->fields & WALK_HOLES)
		fprintf(w->out, " data=");
	while (!err && at < size) {
		off_t data = lseek(fd, at, SEEK_DATA), hole;

		if (data < 0 && errno != ENXIO)
			return errno;
		if (data < 0 || data > size)
			data = size;
		check_hole(w, path, fd, at, data);
		if (data >= size)
			break;
		hole = lseek(fd, data, SEEK_HOLE);
		if (hole < 0)
			return errno;
		if (hole > size)
			hole = size;
		if (hole <= data || data < at) {
			walk_problem(w, path, "seek-not-forward", 0);
			return 0;
		}
		if (w->fields & WALK_HOLES)
			fprintf(w->out, "%lld+%lld,", (long long)data, (long long)(hole - data));
		if (md)
			err = hash_range(w, md, fd, data, hole, size);
		at = hole;
	}
	return err;
}

static void put_data(struct walk *w, const char *path, int fd, const struct stat *st)
{
	gcry_md_hd_t md = NULL;
	unsigned char byte;
	int err;

	if (w->fields & WALK_HASH && gcry_md_open(&md, GCRY_MD_SHA256, 0)) {
		walk_problem(w, path, "gcrypt", 0);
		return;
	}
	err = walk_ranges(w, path, fd, md, st->st_size);
	if (err)
		walk_problem(w, path, "read", err);
	if (md) {
		const unsigned char *digest = gcry_md_read(md, GCRY_MD_SHA256);

		fprintf(w->out, " sha256=");
		for (int i = 0; i < 32; i++)
			fprintf(w->out, "%02x", digest[i]);
		gcry_md_close(md);
		if (st->st_size != INT64_MAX && pread(fd, &byte, 1, st->st_size) != 0)
			walk_problem(w, path, "read-past-end", 0);
	}
}

void walk_content(struct walk *w, const char *path, int fd, const struct stat *st)
{
	int flags = 0;

	if (w->fields & WALK_FLAGS) {
		if (ioctl(fd, FS_IOC_GETFLAGS, &flags))
			walk_problem(w, path, "getflags", errno);
		else
			fprintf(w->out, " flags=%x", flags);
	}
	if (S_ISREG(st->st_mode) && w->fields & (WALK_HOLES | WALK_HASH))
		put_data(w, path, fd, st);
}

static int str_cmp(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void put_xattr(struct walk *w, const char *path, const char *name, const char *xattr)
{
	ssize_t n = lgetxattr(name, xattr, w->buf, WALK_BUF_SIZE);

	fprintf(w->out, " xattr:");
	walk_put_escaped(w->out, xattr, strlen(xattr));
	putc('=', w->out);
	if (n < 0)
		walk_problem(w, path, "getxattr", errno);
	else
		walk_put_bytes(w, w->buf, n);
}

void walk_xattrs(struct walk *w, const char *path, const char *name)
{
	static char list[1 << 17]; /* the kernel's limit is 64 KiB */
	ssize_t len = llistxattr(name, list, sizeof(list));
	char **sorted;
	size_t nr = 0;

	if (len < 0) {
		if (errno != ENOTSUP)
			walk_problem(w, path, "listxattr", errno);
		return;
	}
	if (!len)
		return;
	sorted = calloc(len, sizeof(*sorted));
	if (!sorted) {
		walk_problem(w, path, "listxattr", ENOMEM);
		return;
	}
	for (char *s = list; s < list + len; s += strlen(s) + 1)
		sorted[nr++] = s;
	qsort(sorted, nr, sizeof(*sorted), str_cmp);
	for (size_t i = 0; i < nr; i++)
		put_xattr(w, path, name, sorted[i]);
	free(sorted);
}
