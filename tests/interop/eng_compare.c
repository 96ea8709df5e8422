// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * eng-compare: compares a filesystem, read through engine/engine.h, with a directory that another reader
 * shows of it: the kernel's mount of the same image, or what mkfs --rootdir was given.
 *
 *   eng-compare [-DHS] [-s SEED] [-w WORKERS] [-p COPY] -d DIR DEVICE...
 *
 * Of each file: attributes, target, attributes' values, and every byte, read in order, in parallel and at
 * random places. -H compares hole maps, inode numbers and block counts too (kernel mounts only).
 * -D allows missing devices, -S looks for them; -p reads copy COPY first, where 2 is the rebuild from
 * parity on raid5/6.
 * Exit code 0: equal; 1: differs (each difference a line); 2: could not.
 */
#include "engine/engine.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#define BLOCK (1u << 20)
#define XATTR_MAX (1u << 16)

struct compare {
	struct eng_fs *fs;
	bool strict;              /* -H */
	unsigned seed;
	unsigned long files, bytes, differences;
	uint8_t *ours, *theirs;
};

static void differs(struct compare *c, const char *path, const char *what, long long ours, long long theirs)
{
	c->differences++;
	printf("%s: %s: engine %lld, expected %lld\n", path, what, ours, theirs);
}

static void check_u64(struct compare *c, const char *path, const char *what, uint64_t ours, uint64_t theirs)
{
	if (ours != theirs)
		differs(c, path, what, (long long)ours, (long long)theirs);
}

static void compare_attr(struct compare *c, const char *path, const struct eng_attr *a, const struct stat *st)
{
	check_u64(c, path, "mode", a->mode, st->st_mode);
	check_u64(c, path, "uid", a->uid, st->st_uid);
	check_u64(c, path, "gid", a->gid, st->st_gid);
	/* A stub has no times on disk: Linux shows the present. */
	if (!a->stub_key)
		check_u64(c, path, "mtime", (uint64_t)a->mtime.tv_sec, (uint64_t)st->st_mtim.tv_sec);
	if (!S_ISDIR(st->st_mode)) {
		check_u64(c, path, "size", a->size, (uint64_t)st->st_size);
		check_u64(c, path, "nlink", a->nlink, st->st_nlink);
	}
	if (!c->strict)
		return;
	check_u64(c, path, "inode", a->stub_key ? ENG_STUB_INO : a->id.ino, st->st_ino);
	check_u64(c, path, "blocks", (a->bytes + 511) / 512, (uint64_t)st->st_blocks);
	if (!a->stub_key) {
		/* mkfs --rootdir drops the nanoseconds. */
		check_u64(c, path, "mtime ns", (uint64_t)a->mtime.tv_nsec,
			  (uint64_t)st->st_mtim.tv_nsec);
		check_u64(c, path, "ctime", (uint64_t)a->ctime.tv_sec, (uint64_t)st->st_ctim.tv_sec);
	}
	if (S_ISBLK(st->st_mode) || S_ISCHR(st->st_mode))
		check_u64(c, path, "rdev", a->rdev, st->st_rdev);
}

static bool same(struct compare *c, const char *path, const char *how, uint64_t off, ssize_t want, ssize_t got,
		 const void *ours)
{
	if (got != want) {
		differs(c, path, how, got, want);
		return false;
	}
	if (memcmp(ours, c->theirs, (size_t)want)) {
		size_t at = 0;

		while (((const uint8_t *)ours)[at] == c->theirs[at])
			at++;
		differs(c, path, "bytes, first difference at", (long long)(off + at), 0);
		return false;
	}
	return true;
}

/* Several readers of one stream, each taking the next piece: requests overtake each other. */
struct parallel {
	struct eng_file *f;
	int fd;
	uint64_t size;
	_Atomic uint64_t next;
	_Atomic unsigned bad;
};

static void *parallel_reader(void *arg)
{
	struct parallel *p = arg;
	const size_t piece = 128 << 10;
	uint8_t *ours = aligned_alloc(4096, piece), *theirs = malloc(piece);

	for (;;) {
		uint64_t off = __atomic_fetch_add((uint64_t *)&p->next, piece, __ATOMIC_RELAXED);
		ssize_t want, got;

		if (off >= p->size)
			break;
		want = pread(p->fd, theirs, piece, (off_t)off);
		got = eng_file_read(p->f, off, ours, piece);
		if (want != got || memcmp(ours, theirs, (size_t)want))
			p->bad++;
	}
	free(ours);
	free(theirs);
	return NULL;
}

static void compare_parallel(struct compare *c, const char *path, struct eng_file *f, int fd, uint64_t size)
{
	struct parallel p = { .f = f, .fd = fd, .size = size < (64 << 20) ? size : (64 << 20) };
	pthread_t t[4];

	for (int i = 0; i < 4; i++)
		if (pthread_create(&t[i], NULL, parallel_reader, &p))
			abort();
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	check_u64(c, path, "pieces that differ in a parallel read", p.bad, 0);
}

static void compare_map(struct compare *c, const char *path, struct eng_ino id, int fd)
{
	int whence = SEEK_DATA;
	int64_t off = 0;

	for (int i = 0; i < 100000; i++) {
		int64_t ours = eng_seek(c->fs, id, (uint64_t)off, whence);
		int64_t theirs = lseek(fd, off, whence);

		if (theirs < 0)
			theirs = -errno;
		if (ours != theirs) {
			differs(c, path, whence == SEEK_DATA ? "SEEK_DATA" : "SEEK_HOLE", ours, theirs);
			return;
		}
		if (ours < 0)
			return;
		off = ours;
		whence = whence == SEEK_DATA ? SEEK_HOLE : SEEK_DATA;
	}
}

/* As pread(2), which refuses a range that passes 2^63 - 1; -errno. */
static ssize_t read_theirs(struct compare *c, int fd, uint64_t off, size_t len)
{
	ssize_t got;

	if (len > (uint64_t)INT64_MAX - off)
		len = (size_t)((uint64_t)INT64_MAX - off);
	got = pread(fd, c->theirs, len, (off_t)off);
	return got < 0 ? -errno : got;
}

/* From data to data: a sparse file of exabytes takes no longer than its data. */
static uint64_t next_data(int fd, uint64_t off, uint64_t size)
{
	off_t data;

	if (off + BLOCK >= size || size < (1ull << 30))
		return off;
	data = lseek(fd, (off_t)off, SEEK_DATA);
	return data < 0 ? size - BLOCK : (uint64_t)data > off ? (uint64_t)data : off;
}

static void compare_data(struct compare *c, const char *path, const struct eng_attr *a, int fd, uint64_t size)
{
	struct eng_file *f;
	int err = eng_file_open(c->fs, a->id, &f);
	bool equal = true;

	if (err) {
		differs(c, path, "open", err, 0);
		return;
	}
	for (uint64_t off = 0; equal && off < size; off += BLOCK) {
		ssize_t want;

		off = next_data(fd, off, size);
		want = read_theirs(c, fd, off, BLOCK);
		equal = same(c, path, "read", off, want, eng_file_read(f, off, c->ours, BLOCK), c->ours);
		c->bytes += BLOCK;
	}
	/* Odd places and lengths, buffers that are not aligned. */
	for (int i = 0; equal && size && i < 12; i++) {
		uint64_t off = (((uint64_t)rand_r(&c->seed) << 31) ^ (uint64_t)rand_r(&c->seed)) % size;
		size_t len = (size_t)rand_r(&c->seed) % (i & 1 ? 9000 : 300000) + 1;
		uint8_t *buf = c->ours + rand_r(&c->seed) % 3;
		ssize_t want;

		if (i % 3 == 0)
			off &= ~4095ull;
		if (len > BLOCK - 4)
			len = BLOCK - 4;
		want = read_theirs(c, fd, off, len);
		memset(buf + len, 0xa5, 1);
		equal = same(c, path, "random read", off, want, eng_file_read(f, off, buf, len), buf);
		if (buf[len] != 0xa5)
			differs(c, path, "written behind the buffer", (long long)off, (long long)len);
	}
	if (equal)
		compare_parallel(c, path, f, fd, size);
	eng_file_close(f);
}

static void compare_link(struct compare *c, const char *path, struct eng_ino id)
{
	char ours[4097], theirs[4097];
	ssize_t want = readlink(path, theirs, sizeof(theirs));
	ssize_t got = eng_readlink(c->fs, id, ours, sizeof(ours));

	if (want != got || memcmp(ours, theirs, (size_t)want))
		differs(c, path, "target", got, want);
}

static void compare_xattrs(struct compare *c, const char *path, struct eng_ino id)
{
	char *list = malloc(XATTR_MAX), *mine = malloc(XATTR_MAX);
	ssize_t want = llistxattr(path, list, XATTR_MAX);
	ssize_t got = eng_listxattr(c->fs, id, mine, XATTR_MAX);

	/* What a security module makes up is not on disk. */
	if (want >= 0 && want != got)
		differs(c, path, "length of attribute names", got, want);
	for (char *name = list; want > 0 && name < list + want; name += strlen(name) + 1) {
		ssize_t theirs_len = lgetxattr(path, name, c->theirs, XATTR_MAX);
		ssize_t ours_len = eng_getxattr(c->fs, id, name, c->ours, XATTR_MAX);

		if (ours_len != theirs_len || memcmp(c->ours, c->theirs, (size_t)theirs_len))
			differs(c, path, name, ours_len, theirs_len);
	}
	free(list);
	free(mine);
}

static void compare_tree(struct compare *c, const char *path, const struct eng_attr *dir);

static void compare_one(struct compare *c, const char *path, const struct eng_attr *a)
{
	struct stat st;
	int fd;

	if (lstat(path, &st)) {
		differs(c, path, "not there", 0, errno);
		return;
	}
	c->files++;
	compare_attr(c, path, a, &st);
	if (!a->stub_key)
		compare_xattrs(c, path, a->id);
	if (S_ISLNK(st.st_mode))
		compare_link(c, path, a->id);
	if (S_ISDIR(st.st_mode) && !a->stub_key)
		compare_tree(c, path, a);
	if (!S_ISREG(st.st_mode))
		return;
	fd = open(path, O_RDONLY);
	if (fd < 0) {
		differs(c, path, "open", 0, errno);
		return;
	}
	compare_data(c, path, a, fd, (uint64_t)st.st_size);
	if (c->strict)
		compare_map(c, path, a->id, fd);
	close(fd);
}

struct names {
	char **name;
	size_t nr, room;
};

static int add_name(void *arg, const struct eng_dirent *ent)
{
	struct names *n = arg;

	if (ent->len <= 2 && !memcmp(ent->name, "..", ent->len))
		return 0;
	if (n->nr == n->room) {
		n->room = n->room ? n->room * 2 : 64;
		n->name = realloc(n->name, n->room * sizeof(n->name[0]));
	}
	n->name[n->nr++] = strndup(ent->name, ent->len);
	return 0;
}

static size_t count_dir(const char *path)
{
	DIR *d = opendir(path);
	size_t nr = 0;

	while (d && readdir(d))
		nr++;
	if (d)
		closedir(d);
	return nr < 2 ? 0 : nr - 2;
}

static void compare_tree(struct compare *c, const char *path, const struct eng_attr *dir)
{
	struct names n = { 0 };
	int err = eng_readdir(c->fs, dir->id, 0, add_name, &n);

	if (err)
		differs(c, path, "readdir", err, 0);
	check_u64(c, path, "entries", n.nr, count_dir(path));
	for (size_t i = 0; i < n.nr; i++) {
		struct eng_attr a;
		char *sub;

		if (asprintf(&sub, "%s/%s", path, n.name[i]) < 0)
			abort();
		err = eng_lookup(c->fs, dir->id, n.name[i], strlen(n.name[i]), &a);
		if (err)
			differs(c, sub, "lookup", err, 0);
		else
			compare_one(c, sub, &a);
		free(sub);
		free(n.name[i]);
	}
	free(n.name);
}

static void on_message(void *arg, enum eng_msg_level level, const char *text)
{
	(void)arg;
	if (level <= ENG_MSG_WARN)
		fprintf(stderr, "eng-compare: %s\n", text);
}

int main(int argc, char **argv)
{
	struct eng_open_opts opts = { .share = ENG_SHARE_LOOK, .workers = -1, .message = on_message };
	struct compare c = { .seed = 1 };
	const char *dir = NULL;
	struct eng_ino top;
	struct eng_attr attr;
	int opt, err;

	while ((opt = getopt(argc, argv, "DHSs:d:w:p:")) >= 0) {
		switch (opt) {
		case 'D':
			opts.degraded = true;
			break;
		case 'S':
			opts.scan = true;
			break;
		case 'p':
			opts.prefer_copy = atoi(optarg);
			break;
		case 'H':
			c.strict = true;
			break;
		case 's':
			c.seed = (unsigned)atoi(optarg);
			break;
		case 'd':
			dir = optarg;
			break;
		case 'w':
			opts.workers = atoi(optarg);
			break;
		default:
			return 2;
		}
	}
	opts.devices = (const char *const *)argv + optind;
	opts.nr_devices = (unsigned)(argc - optind);
	if (!dir || !opts.nr_devices) {
		fprintf(stderr, "usage: eng-compare [-DHS] [-s SEED] [-w WORKERS] [-p COPY] -d DIR DEVICE...\n");
		return 2;
	}
	c.ours = aligned_alloc(4096, BLOCK);
	c.theirs = malloc(BLOCK);
	err = eng_open(&opts, &c.fs);
	if (!err)
		err = eng_subvol_root(c.fs, eng_default_subvol(c.fs), &top);
	if (!err)
		err = eng_getattr(c.fs, top, &attr);
	if (err) {
		fprintf(stderr, "eng-compare: cannot open: %s\n", strerror(-err));
		return 2;
	}
	compare_tree(&c, dir, &attr);
	eng_close(c.fs);
	free(c.ours);
	free(c.theirs);
	printf("%lu files, %lu MiB, %lu differences\n", c.files, c.bytes >> 20, c.differences);
	return c.differences ? 1 : 0;
}
