// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ubtrfs-age: operations on names and on what inodes carry besides data.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>
#include "tests/lib/age_priv.h"

static struct age_node *pick_any(struct age *a)
{
	static const enum age_kind kinds[] = { AGE_FILE, AGE_FILE, AGE_DIR, AGE_OTHER };

	return age_pick(a, kinds[age_rnd(a, 4)]);
}

static bool movable(const struct age_node *n)
{
	return n && n->parent && n->parent->parent;
}

static void op_mkdir(struct age *a)
{
	struct age_node *dir = age_pick(a, AGE_DIR), *n;
	char name[256], buf[AGE_PATH_MAX];
	const char *path;

	if (!dir)
		return;
	path = age_child_path(dir, age_name(a, name), buf);
	if (!age_ok(a, mkdir(path, 0700 + age_rnd(a, 0100)), path, 0, 0))
		return;
	n = age_add(a, dir, AGE_DIR, name);
	n->nocow = dir->nocow;
}

static void op_unlink(struct age *a)
{
	struct age_node *n = age_pick(a, age_rnd(a, 4) ? AGE_FILE : AGE_OTHER);
	char buf[AGE_PATH_MAX];
	const char *path;

	if (!n)
		return;
	path = age_path(n, buf);
	if (age_ok(a, unlink(path), path, 0, 0))
		age_remove(a, n);
}

static void op_rmdir(struct age *a)
{
	struct age_node *n = age_pick(a, AGE_DIR);
	char buf[AGE_PATH_MAX];
	const char *path;

	if (!movable(n) || n->child || n->subvol)
		return;
	path = age_path(n, buf);
	/* A snapshot may hold the stub of a subvolume, which the tree of names does not know. */
	if (age_ok(a, rmdir(path), path, ENOTEMPTY, 0))
		age_remove(a, n);
}

static void op_rename(struct age *a)
{
	struct age_node *n = pick_any(a), *dir = age_pick(a, AGE_DIR);
	char name[256], from[AGE_PATH_MAX], to[AGE_PATH_MAX];
	const char *old, *new;

	if (!movable(n) || !dir || age_inside(dir, n) || !age_fits(n, dir))
		return;
	if (!age_rnd(a, 4))
		dir = n->parent;
	old = age_path(n, from);
	new = age_child_path(dir, age_name(a, name), to);
	if (age_ok(a, rename(old, new), old, EXDEV, 0))
		age_move(n, dir, name);
}

/* A file takes the place of another. */
static void op_replace(struct age *a)
{
	struct age_node *n = age_pick(a, AGE_FILE), *gone = age_pick(a, AGE_FILE), *dir;
	char from[AGE_PATH_MAX], to[AGE_PATH_MAX], name[256];
	const char *old, *new;

	if (!n || !gone || n == gone)
		return;
	old = age_path(n, from);
	new = age_path(gone, to);
	if (!age_ok(a, rename(old, new), old, EXDEV, 0))
		return;
	/* Names of one inode: the kernel leaves both as they are. */
	if (!access(old, F_OK))
		return;
	dir = gone->parent;
	strcpy(name, gone->name);
	age_remove(a, gone);
	age_move(n, dir, name);
}

static void op_exchange(struct age *a)
{
	struct age_node *one = pick_any(a), *two = pick_any(a), *dir;
	char from[AGE_PATH_MAX], to[AGE_PATH_MAX], name[256], name2[256];
	const char *path;

	if (!movable(one) || !movable(two) || age_inside(one, two) || age_inside(two, one) ||
	    !age_fits(one, two->parent) || !age_fits(two, one->parent))
		return;
	path = age_path(one, from);
	if (!age_ok(a, renameat2(AT_FDCWD, path, AT_FDCWD, age_path(two, to), RENAME_EXCHANGE),
		    path, EXDEV, 0))
		return;
	dir = two->parent;
	strcpy(name, one->name);
	strcpy(name2, two->name);
	age_move(two, one->parent, name);
	age_move(one, dir, name2);
}

static void op_link(struct age *a)
{
	struct age_node *n = age_pick(a, AGE_FILE), *dir = age_pick(a, AGE_DIR), *link;
	char name[256], from[AGE_PATH_MAX], to[AGE_PATH_MAX];
	const char *path;

	if (!n || !dir)
		return;
	path = age_path(n, from);
	if (!age_ok(a,
		    linkat(AT_FDCWD, path, AT_FDCWD, age_child_path(dir, age_name(a, name), to), 0),
		    path, EXDEV, EMLINK))
		return;
	link = age_add(a, dir, AGE_FILE, name);
	link->nocow = n->nocow;
}

static void op_symlink(struct age *a)
{
	static const unsigned lengths[] = { 1, 20, 255, 1000, 2047, 2048, 3800, 4095 };
	struct age_node *dir = age_pick(a, AGE_DIR);
	char name[256], buf[AGE_PATH_MAX], target[4096];
	const unsigned len = lengths[age_rnd(a, sizeof(lengths) / sizeof(*lengths))];
	const char *path;

	if (!dir)
		return;
	for (unsigned i = 0; i < len; i++)
		target[i] = "../target/\xc3\xa4"[i % 12];
	target[len] = 0;
	path = age_child_path(dir, age_name(a, name), buf);
	if (age_ok(a, symlink(target, path), path, ENAMETOOLONG, 0))
		age_add(a, dir, AGE_OTHER, name);
}

static void op_mknod(struct age *a)
{
	static const mode_t types[] = { S_IFIFO, S_IFCHR, S_IFBLK, S_IFSOCK };
	const mode_t type = types[age_rnd(a, 4)];
	struct age_node *dir = age_pick(a, AGE_DIR);
	char name[256], buf[AGE_PATH_MAX];
	const char *path;
	dev_t dev = 0;

	if (!dir)
		return;
	if (type == S_IFCHR || type == S_IFBLK)
		dev = age_rnd(a, 2) ? makedev(age_rnd(a, 4096), age_rnd(a, 1 << 20))
				    : makedev(1, 3);
	path = age_child_path(dir, age_name(a, name), buf);
	if (age_ok(a, mknod(path, type | age_rnd(a, 01000), dev), path, 0, 0))
		age_add(a, dir, AGE_OTHER, name);
}

static void op_setattr(struct age *a)
{
	static const int64_t times[] = {
		0,	   -1, 1, INT32_MIN, INT32_MAX, 1ll << 32, 253402300799ll, -62135596800ll,
		1700000000
	};
	struct age_node *n = pick_any(a);
	char buf[AGE_PATH_MAX];
	const char *path;
	struct timespec t[2];

	if (!n)
		return;
	path = age_path(n, buf);
	if (age_rnd(a, 2))
		age_ok(a,
		       lchown(path, age_rnd(a, 2) ? age_rnd(a, 3000) : age_rnd(a, UINT32_MAX),
			      age_rnd(a, 2) ? age_rnd(a, 3000) : age_rnd(a, UINT32_MAX)),
		       path, 0, 0);
	if (n->kind != AGE_OTHER && age_rnd(a, 2))
		age_ok(a, chmod(path, age_rnd(a, 010000)), path, 0, 0);
	for (int i = 0; i < 2; i++) {
		t[i].tv_sec = times[age_rnd(a, sizeof(times) / sizeof(*times))];
		t[i].tv_nsec = age_rnd(a, 1000000000);
	}
	age_ok(a, utimensat(AT_FDCWD, path, t, AT_SYMLINK_NOFOLLOW), path, 0, 0);
}

static void op_setxattr(struct age *a)
{
	static const unsigned sizes[] = {
		0, 1, 30, 300, 2000, 3800, 3970, 8000, 16000, 16210, 40000
	};
	static const char *const spaces[] = { "user", "trusted", "security" };
	struct age_node *n = pick_any(a);
	const unsigned len = sizes[age_rnd(a, sizeof(sizes) / sizeof(*sizes))];
	char name[256], buf[AGE_PATH_MAX];
	const char *path;

	if (!n)
		return;
	path = age_path(n, buf);
	/* Few names, so that values are replaced too. */
	snprintf(name, sizeof(name), "%s.%s%u",
		 spaces[n->kind == AGE_OTHER ? 1 + age_rnd(a, 2) : age_rnd(a, 3)],
		 age_rnd(a, 8) ? "a"
			       : "a \xc3\xa4 long name of an attribute, with blanks and more, ",
		 (unsigned)age_rnd(a, 10));
	age_fill(a, len);
	/* A value ends where a leaf does. */
	age_ok(a, lsetxattr(path, name, a->buf, len, 0), path, E2BIG, EOVERFLOW);
}

static void op_removexattr(struct age *a)
{
	struct age_node *n = pick_any(a);
	char list[65536], buf[AGE_PATH_MAX];
	const char *path;
	ssize_t len;

	if (!n)
		return;
	path = age_path(n, buf);
	len = llistxattr(path, list, sizeof(list));
	if (age_ok(a, len, path, 0, 0) && len > 0)
		age_ok(a, lremovexattr(path, list), path, 0, 0);
}

struct acl {
	uint32_t version;
	struct {
		uint16_t tag, perm;
		uint32_t id;
	} e[16];
};

/* An access control list as the xattr has it: version 2, entries ordered by tag and id. */
static void op_acl(struct age *a)
{
	enum { USER_OBJ = 1, USER = 2, GROUP_OBJ = 4, GROUP = 8, MASK = 16, OTHER = 32 };
	const bool is_default = age_rnd(a, 2);
	struct age_node *n = age_pick(a, is_default || age_rnd(a, 3) == 0 ? AGE_DIR : AGE_FILE);
	const unsigned users = age_rnd(a, 6), groups = age_rnd(a, 6);
	struct acl acl = { .version = 2 };
	char buf[AGE_PATH_MAX];
	const char *path;
	size_t nr = 0;

	if (!n)
		return;
	path = age_path(n, buf);
#define ENTRY(t, who)                                                                              \
	(acl.e[nr].tag = (t), acl.e[nr].perm = age_rnd(a, 8), acl.e[nr].id = (who), nr++)
	ENTRY(USER_OBJ, UINT32_MAX);
	for (unsigned i = 0; i < users; i++)
		ENTRY(USER, 1000 * i + age_rnd(a, 1000));
	ENTRY(GROUP_OBJ, UINT32_MAX);
	for (unsigned i = 0; i < groups; i++)
		ENTRY(GROUP, 70000 * i + age_rnd(a, 70000));
	if (users || groups)
		ENTRY(MASK, UINT32_MAX);
	ENTRY(OTHER, UINT32_MAX);
#undef ENTRY
	age_ok(a,
	       setxattr(path, is_default ? "system.posix_acl_default" : "system.posix_acl_access",
			&acl, 4 + nr * sizeof(acl.e[0]), 0),
	       path, EOPNOTSUPP, 0);
}

static int set_flags(struct age *a, const char *path, int add)
{
	int flags = 0, fd = open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC), ret;

	if (!age_ok(a, fd, path, 0, 0))
		return -1;
	age_ok(a, ioctl(fd, FS_IOC_GETFLAGS, &flags), path, 0, 0);
	flags |= add;
	/* NOCOW and compression do not go together. */
	ret = ioctl(fd, FS_IOC_SETFLAGS, &flags);
	ret = age_ok(a, ret, path, EINVAL, EOPNOTSUPP) ? 0 : -1;
	close(fd);
	return ret;
}

static void op_flags(struct age *a)
{
	static const int flags[] = { FS_NODUMP_FL, FS_NOATIME_FL, FS_SYNC_FL,	  FS_COMPR_FL,
				     FS_NOCOMP_FL, FS_APPEND_FL,  FS_IMMUTABLE_FL };
	const int flag = flags[age_rnd(a, sizeof(flags) / sizeof(*flags))];
	const bool freezes = flag == FS_APPEND_FL || flag == FS_IMMUTABLE_FL;
	struct age_node *n = freezes ? age_create_file(a) : age_pick(a, age_rnd(a, 2));
	char buf[AGE_PATH_MAX];

	if (n && !set_flags(a, age_path(n, buf), flag))
		n->frozen = freezes;
}

static void op_nocow(struct age *a)
{
	struct age_node *n = age_rnd(a, 3) ? age_create_file(a) : age_pick(a, AGE_DIR);
	char buf[AGE_PATH_MAX];
	const char *path;

	if (!movable(n))
		return;
	path = age_path(n, buf);
	/* Only an empty file can change; it grows later. */
	if (n->kind == AGE_FILE && !age_ok(a, truncate(path, 0), path, 0, 0))
		return;
	if (!set_flags(a, path, FS_NOCOW_FL))
		n->nocow = true;
}

static void op_property(struct age *a)
{
	static const char *const values[] = { "zlib", "lzo", "zstd", "none", "zstd:9" };
	const char *value = values[age_rnd(a, 5)];
	struct age_node *n = age_pick(a, age_rnd(a, 3) ? AGE_FILE : AGE_DIR);
	char buf[AGE_PATH_MAX];
	const char *path;

	if (!n || n->nocow)
		return;
	path = age_path(n, buf);
	age_ok(a, setxattr(path, "btrfs.compression", value, strlen(value), 0), path, EINVAL, 0);
}

const struct age_op age_meta_ops[] = {
	{ "mkdir", 45, 0, op_mkdir },
	{ "unlink", 45, 0, op_unlink },
	{ "rmdir", 15, 0, op_rmdir },
	{ "rename", 45, 0, op_rename },
	{ "replace", 15, 0, op_replace },
	{ "exchange", 10, 0, op_exchange },
	{ "link", 30, 0, op_link },
	{ "symlink", 20, 0, op_symlink },
	{ "mknod", 15, AGE_SPECIAL, op_mknod },
	{ "setattr", 35, 0, op_setattr },
	{ "setxattr", 40, AGE_XATTR, op_setxattr },
	{ "removexattr", 8, AGE_XATTR, op_removexattr },
	{ "acl", 20, AGE_XATTR, op_acl },
	{ "flags", 12, AGE_FLAGS, op_flags },
	{ "nocow", 12, AGE_NOCOW, op_nocow },
	{ "property", 20, AGE_PROPS, op_property },
	{ 0 },
};
