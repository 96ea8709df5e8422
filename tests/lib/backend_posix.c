// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Operations by system calls. A path is opened up to its last component with O_PATH, no symlink
 * followed, so that answers do not depend on how a name resolves; inodes are changed through
 * /proc/self/fd.
 */
#include "tests/lib/backend_posix.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "ondisk/format.h"
#include "tests/lib/blk.h"

#define BUF (128u << 10)

struct posix {
	struct backend b;
	int top, shared, slots[OP_SLOTS];
	char *buf;
};

static const struct {
	unsigned fs, btrfs;
} flag_pairs[] = {
	{ FS_NOCOW_FL, BTRFS_INODE_NODATACOW },	  { FS_NODUMP_FL, BTRFS_INODE_NODUMP },
	{ FS_NOATIME_FL, BTRFS_INODE_NOATIME },	  { FS_DIRSYNC_FL, BTRFS_INODE_DIRSYNC },
	{ FS_NOCOMP_FL, BTRFS_INODE_NOCOMPRESS }, { FS_COMPR_FL, BTRFS_INODE_COMPRESS },
};
#define FLAG_PAIRS (sizeof(flag_pairs) / sizeof(*flag_pairs))

static int sys(long ret)
{
	return ret < 0 ? -errno : 0;
}

static uint32_t type_of(int fd)
{
	struct stat st;

	return fstatat(fd, "", &st, AT_EMPTY_PATH) ? 0 : st.st_mode & S_IFMT;
}

/* ---- paths ---- */

/* A descriptor to start from, not owned, and the rest of the path. */
static int start(struct posix *p, const char *path, int *out_fd, const char **out_rest)
{
	unsigned slot;
	char where;

	if (!op_start(path, &where, &slot, out_rest))
		return -EINVAL;
	*out_fd = where == '@' ? p->slots[slot] : where == '$' ? p->shared : p->top;
	return *out_fd < 0 ? OP_ERR_SLOT : 0;
}

static int open_at(int fd, const char *path, int flags)
{
	struct open_how how = {
		.flags = (uint64_t)flags | O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_NO_SYMLINKS,
	};
	long got = syscall(SYS_openat2, fd, path, &how, sizeof(how));

	return got < 0 ? -errno : (int)got;
}

/* Components as one path, in `out` of PATH_MAX and some. With `last`, all but the last, which goes
 * there. */
static bool spell(const char *rest, char *out, char *last)
{
	char name[OP_NAME_ROOM];
	size_t at = 0, len;

	*out = 0;
	while ((len = op_component(&rest, name))) {
		if (last && !*rest) {
			memcpy(last, name, len + 1);
			return true;
		}
		if (at + len + 2 > OP_NAME_ROOM)
			return false;
		if (at)
			out[at++] = '/';
		memcpy(out + at, name, len + 1);
		at += len;
	}
	return !last;
}

/* The inode that a path names: a descriptor, the caller's. */
static int open_path(struct posix *p, const char *path)
{
	char text[OP_NAME_ROOM];
	const char *rest;
	int from, err = start(p, path, &from, &rest);

	if (err)
		return err;
	if (!*rest) {
		from = fcntl(from, F_DUPFD_CLOEXEC, 0);
		return from < 0 ? -errno : from;
	}
	return spell(rest, text, NULL) ? open_at(from, text, O_NOFOLLOW) : -EINVAL;
}

/* The directory of a path's last component: a descriptor, the caller's. */
static int open_parent(struct posix *p, const char *path, char *last)
{
	char text[OP_NAME_ROOM];
	const char *rest;
	int from, err = start(p, path, &from, &rest);

	if (err)
		return err;
	if (!spell(rest, text, last))
		return -EINVAL;
	if (*text)
		return open_at(from, text, O_DIRECTORY);
	if (type_of(from) != S_IFDIR)
		return -ENOTDIR;
	from = fcntl(from, F_DUPFD_CLOEXEC, 0);
	return from < 0 ? -errno : from;
}

static const char *proc_path(int fd, char *out)
{
	sprintf(out, "/proc/self/fd/%d", fd);
	return out;
}

/* ---- attributes ---- */

static void get_flags(int fd, struct res_attr *a)
{
	char proc[64];
	int flags = 0,
	    in = open(proc_path(fd, proc), O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOATIME);

	if (in < 0)
		return;
	if (!ioctl(in, FS_IOC_GETFLAGS, &flags))
		for (size_t i = 0; i < FLAG_PAIRS; i++)
			if ((unsigned)flags & flag_pairs[i].fs)
				a->flags |= flag_pairs[i].btrfs;
	close(in);
}

static int put_attr(int fd, struct res *res)
{
	struct res_attr *a = &res->attr;
	struct stat st;

	if (fstatat(fd, "", &st, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW))
		return -errno;
	res->has_attr = true;
	a->ino = st.st_ino;
	a->size = (uint64_t)st.st_size;
	a->mode = st.st_mode;
	a->uid = st.st_uid;
	a->gid = st.st_gid;
	a->nlink = (uint32_t)st.st_nlink;
	a->major = major(st.st_rdev);
	a->minor = minor(st.st_rdev);
	a->atime = (struct op_time){ st.st_atim.tv_sec, st.st_atim.tv_nsec };
	a->mtime = (struct op_time){ st.st_mtim.tv_sec, st.st_mtim.tv_nsec };
	a->ctime = (struct op_time){ st.st_ctim.tv_sec, st.st_ctim.tv_nsec };
	if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))
		get_flags(fd, a);
	return 0;
}

/* ---- operations on names ---- */

static int do_new(int dir, const char *name, const struct op *op, struct res *res)
{
	char target[OP_NAME_ROOM];
	int fd, err;

	switch (op->kind) {
	case OP_CREATE:
		err = sys(mknodat(dir, name, S_IFREG | (mode_t)op->n[0], 0));
		break;
	case OP_MKDIR:
		err = sys(mkdirat(dir, name, (mode_t)op->n[0]));
		break;
	case OP_MKNOD:
		err = sys(mknodat(dir, name, (mode_t)op->n[0],
				  makedev((unsigned)op->n[1], (unsigned)op->n[2])));
		break;
	default:
		op_expand(op->name, strlen(op->name), target);
		err = sys(symlinkat(target, dir, name));
	}
	if (err)
		return err;
	fd = open_at(dir, name, O_NOFOLLOW);
	if (fd < 0)
		return fd;
	err = put_attr(fd, res);
	close(fd);
	return err;
}

static int do_names(struct posix *p, const struct op *op, struct res *res)
{
	char name[OP_NAME_ROOM];
	int dir = open_parent(p, op->path, name), err;

	if (dir < 0)
		return dir;
	if (op->kind == OP_UNLINK)
		err = sys(unlinkat(dir, name, 0));
	else if (op->kind == OP_RMDIR)
		err = sys(unlinkat(dir, name, AT_REMOVEDIR));
	else
		err = do_new(dir, name, op, res);
	close(dir);
	return err;
}

static int do_link(struct posix *p, const struct op *op, struct res *res)
{
	char name[OP_NAME_ROOM];
	int fd = open_path(p, op->path), dir, err;

	if (fd < 0)
		return fd;
	dir = open_parent(p, op->to, name);
	err = dir < 0 ? dir : sys(linkat(fd, "", dir, name, AT_EMPTY_PATH));
	if (!err)
		err = put_attr(fd, res);
	if (dir >= 0)
		close(dir);
	close(fd);
	return err;
}

static int do_rename(struct posix *p, const struct op *op)
{
	char from[OP_NAME_ROOM], to[OP_NAME_ROOM];
	int from_dir, to_dir, err;

	if (op->flags & RENAME_EXCHANGE && op->flags & (RENAME_NOREPLACE | RENAME_WHITEOUT))
		return sys(renameat2(p->top, "a", p->top, "b", op->flags));
	from_dir = open_parent(p, op->path, from);
	if (from_dir < 0)
		return from_dir;
	to_dir = open_parent(p, op->to, to);
	err = to_dir < 0 ? to_dir : sys(renameat2(from_dir, from, to_dir, to, op->flags));
	if (to_dir >= 0)
		close(to_dir);
	close(from_dir);
	return err;
}

/* ---- operations on inodes ---- */

static int do_chattr(int fd, const struct op *op)
{
	const uint32_t type = type_of(fd);
	struct res_attr a = { 0 };
	char proc[64];
	int flags = 0, in, err;

	if (type != S_IFREG && type != S_IFDIR)
		return -EINVAL;
	get_flags(fd, &a);
	if (a.flags & (BTRFS_INODE_COMPRESS | BTRFS_INODE_NOCOMPRESS))
		return -EINVAL;
	for (size_t i = 0; i < FLAG_PAIRS; i++)
		if (op->flags & OP_CHATTR_FLAGS & flag_pairs[i].btrfs)
			flags |= (int)flag_pairs[i].fs;
	in = open(proc_path(fd, proc), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (in < 0)
		return -errno;
	err = sys(ioctl(in, FS_IOC_SETFLAGS, &flags));
	close(in);
	return err;
}

static int do_write(struct posix *p, int fd, const struct op *op)
{
	const uint32_t type = type_of(fd);
	char proc[64];
	ssize_t n;
	int out;

	if (type != S_IFREG)
		return type == S_IFDIR ? -EISDIR : -EINVAL;
	if (op->kind == OP_TRUNCATE)
		return sys(truncate(proc_path(fd, proc), op->n[0]));
	out = open(proc_path(fd, proc), O_WRONLY | O_CLOEXEC);
	if (out < 0)
		return -errno;
	if ((uint64_t)op->n[1] > BUF)
		abort();
	op_pattern((uint32_t)op->n[2], p->buf, (size_t)op->n[1]);
	n = pwrite(out, p->buf, (size_t)op->n[1], op->n[0]);
	if (n < 0)
		n = -errno;
	close(out);
	return n < 0 ? (int)n : n == op->n[1] ? 0 : -EIO;
}

static int do_xattr(struct posix *p, int fd, const struct op *op)
{
	const char *name =
		op->kind == OP_SETPROP || op->kind == OP_RMPROP ? "btrfs.compression" : NULL;
	const uint32_t type = type_of(fd);
	char expanded[OP_NAME_ROOM], proc[64];

	if (name && type != S_IFREG && type != S_IFDIR)
		return -EINVAL;
	if (!name) {
		op_expand(op->name, strlen(op->name), expanded);
		name = expanded;
	}
	proc_path(fd, proc);
	if (op->kind == OP_RMXATTR || op->kind == OP_RMPROP)
		return sys(removexattr(proc, name));
	if (op->kind == OP_SETPROP)
		return sys(setxattr(proc, name, op->name, strlen(op->name), 0));
	if (op->n[0] <= BUF)
		op_pattern((uint32_t)op->n[1], p->buf, (size_t)op->n[0]);
	return sys(setxattr(proc, name, p->buf, (size_t)op->n[0], (int)op->flags));
}

static int do_change(struct posix *p, int fd, const struct op *op)
{
	const struct timespec times[2] = { { op->n[0], op->n[1] }, { op->n[2], op->n[3] } };
	char proc[64];

	switch (op->kind) {
	case OP_CHMOD:
		return type_of(fd) == S_IFLNK ? -EOPNOTSUPP
					      : sys(chmod(proc_path(fd, proc), (mode_t)op->n[0]));
	case OP_CHOWN:
		return sys(fchownat(fd, "", (uid_t)op->n[0], (gid_t)op->n[1], AT_EMPTY_PATH));
	case OP_UTIMES:
		return sys(utimensat(fd, "", times, AT_EMPTY_PATH));
	case OP_CHATTR:
		return do_chattr(fd, op);
	case OP_WRITE:
	case OP_TRUNCATE:
		return do_write(p, fd, op);
	case OP_STAT:
		return 0;
	default:
		return do_xattr(p, fd, op);
	}
}

/* ---- looking ---- */

static int do_readdir(int fd, struct res *res)
{
	char proc[64], line[300];
	struct dirent *d;
	DIR *dir;
	int in, err;

	if (type_of(fd) != S_IFDIR)
		return type_of(fd) == S_IFLNK ? -ELOOP : -ENOTDIR;
	in = open(proc_path(fd, proc), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (in < 0)
		return -errno;
	dir = blk_must(fdopendir(in));
	while (errno = 0, (d = readdir(dir))) {
		if (!strcmp(d->d_name, ".") || !strcmp(d->d_name, ".."))
			continue;
		res_put(res, line,
			(size_t)snprintf(line, sizeof(line), "%u %s", d->d_type, d->d_name) + 1);
	}
	err = -errno;
	closedir(dir);
	return err;
}

static int do_read(struct posix *p, int fd, struct res *res)
{
	const uint32_t type = type_of(fd);
	char proc[64];
	ssize_t n;
	int in;

	if (type != S_IFREG)
		return type == S_IFDIR ? -EISDIR : -EINVAL;
	in = open(proc_path(fd, proc), O_RDONLY | O_CLOEXEC);
	if (in < 0)
		return -errno;
	n = pread(in, p->buf, OP_READ_MAX, 0);
	if (n < 0)
		n = -errno;
	else
		res_put(res, p->buf, (size_t)n);
	close(in);
	return n < 0 ? (int)n : 0;
}

static int do_look(struct posix *p, int fd, const struct op *op, struct res *res)
{
	char name[OP_NAME_ROOM], proc[64];
	ssize_t n;

	switch (op->kind) {
	case OP_READDIR:
		return do_readdir(fd, res);
	case OP_READ:
		return do_read(p, fd, res);
	case OP_READLINK:
		/* An empty path gives -ENOENT for what is no symlink. */
		if (type_of(fd) != S_IFLNK)
			return -EINVAL;
		n = readlinkat(fd, "", p->buf, BUF);
		break;
	case OP_GETXATTR:
		op_expand(op->name, strlen(op->name), name);
		n = getxattr(proc_path(fd, proc), name, p->buf, BUF);
		break;
	default:
		n = listxattr(proc_path(fd, proc), p->buf, BUF);
	}
	if (n < 0)
		return -errno;
	res_put(res, p->buf, (size_t)n);
	if (op->kind == OP_LISTXATTR)
		res_sort(res);
	return 0;
}

static int do_hold(struct posix *p, const struct op *op, struct res *res)
{
	int *slot = &p->slots[op->n[0]], err;

	if (op->kind == OP_DROP) {
		if (*slot < 0)
			return OP_ERR_SLOT;
		close(*slot);
		*slot = -1;
		return 0;
	}
	if (*slot >= 0)
		return OP_ERR_HELD;
	if (!strcmp(op->path, "$"))
		return -EINVAL;
	err = open_path(p, op->path);
	if (err < 0)
		return err;
	if (type_of(err) == S_IFLNK) {
		close(err);
		return -EINVAL;
	}
	*slot = err;
	return put_attr(*slot, res);
}

static int drop_slots(struct posix *p)
{
	for (unsigned i = 0; i < OP_SLOTS; i++) {
		if (p->slots[i] >= 0)
			close(p->slots[i]);
		p->slots[i] = -1;
	}
	return 0;
}

static int apply(struct posix *p, const struct op *op, struct res *res)
{
	int fd, err;

	switch (op->kind) {
	case OP_CREATE:
	case OP_MKDIR:
	case OP_MKNOD:
	case OP_SYMLINK:
	case OP_UNLINK:
	case OP_RMDIR:
		return do_names(p, op, res);
	case OP_LINK:
		return do_link(p, op, res);
	case OP_RENAME:
		return do_rename(p, op);
	case OP_SYNC:
		fd = openat(p->top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		err = fd < 0 ? -errno : sys(syncfs(fd));
		close(fd);
		return err;
	case OP_HOLD:
	case OP_DROP:
		return do_hold(p, op, res);
	case OP_REOPEN:
		return drop_slots(p);
	default:
		break;
	}
	fd = open_path(p, op->path);
	if (fd < 0)
		return fd;
	if (op->kind > OP_STAT) {
		err = do_look(p, fd, op, res);
	} else {
		err = do_change(p, fd, op);
		if (!err && op->kind != OP_SETXATTR && op->kind != OP_RMXATTR)
			err = put_attr(fd, res);
	}
	close(fd);
	return err;
}

static void posix_apply(struct backend *b, const struct op *op, struct res *out_res)
{
	out_res->err = apply((struct posix *)b, op, out_res);
}

static void posix_destroy(struct backend *b)
{
	struct posix *p = (struct posix *)b;

	drop_slots(p);
	close(p->top);
	if (p->shared >= 0)
		close(p->shared);
	free(p->buf);
	free(p);
}

struct backend *backend_posix(const char *dir, const char *shared)
{
	struct posix *p = blk_must(calloc(1, sizeof(*p)));
	int err;

	p->b = (struct backend){ posix_apply, posix_destroy };
	p->buf = blk_must(malloc(BUF));
	for (unsigned i = 0; i < OP_SLOTS; i++)
		p->slots[i] = -1;
	p->top = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	p->shared = shared ? open(shared, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	if (p->top >= 0 && (!shared || p->shared >= 0))
		return &p->b;
	err = errno;
	posix_destroy(&p->b);
	errno = err;
	return NULL;
}
