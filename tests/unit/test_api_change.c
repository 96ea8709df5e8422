// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The engine's calls that change, on images made by mkfs.btrfs, on a simulated disk: what each
 * returns where it must not do what was asked, inodes that outlive their names, files that change
 * while they are open, and threads. lab_verify and `btrfs check` judge what comes out.
 */
#include "engine/lab.h"
#include "ondisk/format.h"
#include "tests/lib/ordercheck.h"
#include "tests/lib/simdisk.h"
#include "tests/unit/plants.h"

#include <errno.h>
#include <linux/fs.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

/* A frame's lock is that of many blocks in turn: the detector of inversions is off. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
	return "detect_deadlocks=0";
}

#define BYTES (128ull << 20)

static char dir[] = "/tmp/ubtrfs-api-XXXXXX";

static int setup(void **state)
{
	char cmd[300];

	if (!mkdtemp(dir))
		return -1;
	snprintf(cmd, sizeof(cmd), "truncate -s %llu %s/img && mkfs.btrfs -q -f -n 4k %s/img",
		 BYTES, dir, dir);
	return system(cmd);
}

static int teardown(void **state)
{
	char cmd[100];

	snprintf(cmd, sizeof(cmd), "rm -r %s", dir);
	return system(cmd);
}

struct rig {
	struct simdisk *disk;
	struct ordercheck *oc;
	struct eng_fs *fs;
	struct eng_ino top;
};

static void say(void *arg, enum eng_msg_level level, const char *text)
{
	if (level <= ENG_MSG_WARN)
		fprintf(stderr, "%s\n", text);
}

static int rig_open(struct rig *r, bool writable)
{
	struct lab_disk disk = blk_lab(ordercheck_blk(r->oc, 0));
	const struct eng_open_opts opts = {
		.writable = writable,
		.metadata_cache = 16 << 20,
		.threads = 10,
		.no_uring = true,
		.message = say,
	};
	int err = lab_open_disks(&disk, 1, &opts, &r->fs);

	return err ? err : eng_subvol_root(r->fs, 5, &r->top);
}

static void rig_create(struct rig *r)
{
	const uint64_t bytes = BYTES;
	char path[100];

	snprintf(path, sizeof(path), "%s/img", dir);
	r->disk = simdisk_create(1, &bytes);
	assert_int_equal(simdisk_load(r->disk, 0, path), 0);
	r->oc = ordercheck_create(1, simdisk_blk(r->disk, 0));
	assert_int_equal(rig_open(r, true), 0);
}

/* Everything holds together, in memory, on the disk, and by somebody else's eyes. */
static void rig_destroy(struct rig *r)
{
	char cmd[400], path[100];

	assert_int_equal(lab_verify(r->fs), 0);
	eng_close(r->fs);
	assert_int_equal(rig_open(r, false), 0);
	assert_int_equal(lab_verify(r->fs), 0);
	eng_close(r->fs);
	snprintf(path, sizeof(path), "%s/judged", dir);
	assert_int_equal(simdisk_export(r->disk, 0, path), 0);
	snprintf(cmd, sizeof(cmd), "btrfs check %s >%s.log 2>&1 || { cat %s.log >&2; false; }",
		 path, path, path);
	assert_int_equal(system(cmd), 0);
	assert_string_equal(ordercheck_text(r->oc), "");
	ordercheck_destroy(r->oc);
	simdisk_destroy(r->disk);
}

/* ---- short forms ---- */

static int make(struct rig *r, struct eng_ino in, const char *name, uint32_t mode,
		struct eng_ino *out_id)
{
	const struct eng_new what = { .mode = mode, .target = "to", .target_len = 2 };
	struct eng_attr attr = { 0 };
	int err = eng_create(r->fs, in, name, strlen(name), &what, &attr);

	if (out_id)
		*out_id = attr.id;
	return err;
}

static int look(struct rig *r, struct eng_ino in, const char *name, struct eng_attr *out_attr)
{
	return eng_lookup(r->fs, in, name, strlen(name), out_attr);
}

static int drop(struct rig *r, struct eng_ino in, const char *name)
{
	return eng_unlink(r->fs, in, name, strlen(name));
}

static int rename_to(struct rig *r, struct eng_ino from, const char *a, struct eng_ino to,
		     const char *b, unsigned flags)
{
	return eng_rename(r->fs, from, a, strlen(a), to, b, strlen(b), flags);
}

static int set_flags(struct rig *r, struct eng_ino id, uint64_t flags)
{
	struct eng_attr attr = { .flags = flags };

	return eng_setattr(r->fs, id, ENG_SET_FLAGS, &attr, &attr);
}

static int resize(struct rig *r, struct eng_ino id, uint64_t size)
{
	struct eng_attr attr = { .size = size };

	return eng_setattr(r->fs, id, ENG_SET_SIZE, &attr, &attr);
}

static int chmod_to(struct rig *r, struct eng_ino id, uint32_t mode)
{
	struct eng_attr attr = { .mode = mode };

	return eng_setattr(r->fs, id, ENG_SET_MODE, &attr, &attr);
}

/* ---- errnos ---- */

static void test_names(void **state)
{
	static const struct {
		const char *name;
		size_t len;
		int err;
	} bad[] = {
		{ "", 0, -EINVAL },    { ".", 1, -EINVAL },    { "..", 2, -EINVAL },
		{ "a/b", 3, -EINVAL }, { "a\0b", 3, -EINVAL },
	};
	const struct eng_new file = { .mode = S_IFREG | 0600 };
	struct eng_attr attr;
	char longest[256];
	struct eng_ino id;
	struct rig r;

	rig_create(&r);
	memset(longest, 'x', sizeof(longest));
	assert_int_equal(make(&r, r.top, "f", S_IFREG | 0600, &id), 0);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const char *n = bad[i].name;

		assert_int_equal(eng_create(r.fs, r.top, n, bad[i].len, &file, &attr), bad[i].err);
		assert_int_equal(eng_link(r.fs, id, r.top, n, bad[i].len, &attr), bad[i].err);
		assert_int_equal(eng_unlink(r.fs, r.top, n, bad[i].len), bad[i].err);
		assert_int_equal(eng_rmdir(r.fs, r.top, n, bad[i].len), bad[i].err);
		assert_int_equal(eng_rename(r.fs, r.top, "f", 1, r.top, n, bad[i].len, 0),
				 bad[i].err);
		assert_int_equal(eng_rename(r.fs, r.top, n, bad[i].len, r.top, "g", 1, 0),
				 bad[i].err);
	}
	assert_int_equal(eng_create(r.fs, r.top, longest, 256, &file, &attr), -ENAMETOOLONG);
	assert_int_equal(eng_unlink(r.fs, r.top, longest, 256), -ENAMETOOLONG);
	assert_int_equal(eng_create(r.fs, r.top, longest, 255, &file, &attr), 0);
	assert_int_equal(eng_lookup(r.fs, r.top, longest, 255, &attr), 0);
	rig_destroy(&r);
}

static void test_create(void **state)
{
	const struct eng_new link = { .mode = S_IFLNK | 0777, .target = "", .target_len = 0 };
	struct eng_ino id, sub;
	struct eng_attr attr;
	char buf[8];
	struct rig r;

	rig_create(&r);
	assert_int_equal(make(&r, r.top, "f", S_IFREG | 0640, &id), 0);
	assert_int_equal(make(&r, r.top, "f", S_IFREG | 0640, NULL), -EEXIST);
	assert_int_equal(make(&r, r.top, "x", 0640, NULL), -EINVAL);
	assert_int_equal(make(&r, id, "x", S_IFREG | 0640, NULL), -ENOTDIR);
	assert_int_equal(make(&r, (struct eng_ino){ 5, 9999 }, "x", S_IFREG, NULL), -ENOENT);
	assert_int_equal(make(&r, (struct eng_ino){ 9999, 256 }, "x", S_IFREG, NULL), -ENOENT);
	assert_int_equal(make(&r, (struct eng_ino){ 5, ENG_STUB_INO }, "x", S_IFREG, NULL), -EPERM);
	assert_int_equal(eng_create(r.fs, r.top, "l", 1, &link, &attr), -EINVAL);
	assert_int_equal(make(&r, r.top, "l", S_IFLNK | 0777, &sub), 0);
	assert_int_equal(eng_readlink(r.fs, sub, buf, sizeof(buf)), 2);
	assert_int_equal(make(&r, r.top, "d", S_IFDIR | 0755, &sub), 0);
	assert_int_equal(make(&r, sub, "f", S_IFIFO | 0644, NULL), 0);
	assert_int_equal(look(&r, sub, "f", &attr), 0);
	assert_true(S_ISFIFO(attr.mode));
	assert_int_equal(look(&r, r.top, "f", &attr), 0);
	assert_int_equal(attr.mode, S_IFREG | 0640);
	assert_int_equal(attr.nlink, 1);
	rig_destroy(&r);
}

static void test_link(void **state)
{
	struct eng_ino id, sub;
	struct eng_attr attr;
	struct rig r;

	rig_create(&r);
	assert_int_equal(make(&r, r.top, "f", S_IFREG | 0640, &id), 0);
	assert_int_equal(make(&r, r.top, "d", S_IFDIR | 0755, &sub), 0);
	assert_int_equal(eng_link(r.fs, id, r.top, "f", 1, &attr), -EEXIST);
	assert_int_equal(eng_link(r.fs, sub, r.top, "e", 1, &attr), -EPERM);
	assert_int_equal(eng_link(r.fs, id, id, "e", 1, &attr), -ENOTDIR);
	assert_int_equal(eng_link(r.fs, (struct eng_ino){ 7, 256 }, r.top, "e", 1, &attr), -EXDEV);
	assert_int_equal(eng_link(r.fs, (struct eng_ino){ 5, 9999 }, r.top, "e", 1, &attr),
			 -ENOENT);
	assert_int_equal(eng_link(r.fs, id, sub, "e", 1, &attr), 0);
	assert_int_equal(attr.nlink, 2);
	assert_int_equal(set_flags(&r, id, BTRFS_INODE_APPEND), 0);
	assert_int_equal(eng_link(r.fs, id, sub, "g", 1, &attr), -EPERM);
	rig_destroy(&r);
}

static void test_remove(void **state)
{
	struct eng_ino id, sub;
	struct eng_attr attr;
	struct rig r;

	rig_create(&r);
	assert_int_equal(make(&r, r.top, "f", S_IFREG | 0640, &id), 0);
	assert_int_equal(make(&r, r.top, "d", S_IFDIR | 0755, &sub), 0);
	assert_int_equal(make(&r, sub, "in", S_IFREG | 0640, NULL), 0);
	assert_int_equal(drop(&r, r.top, "none"), -ENOENT);
	assert_int_equal(drop(&r, r.top, "d"), -EISDIR);
	assert_int_equal(eng_rmdir(r.fs, r.top, "f", 1), -ENOTDIR);
	assert_int_equal(eng_rmdir(r.fs, r.top, "d", 1), -ENOTEMPTY);
	assert_int_equal(drop(&r, sub, "in"), 0);
	assert_int_equal(eng_rmdir(r.fs, r.top, "d", 1), 0);
	assert_int_equal(make(&r, sub, "x", S_IFREG | 0640, NULL), -ENOENT);
	assert_int_equal(drop(&r, r.top, "f"), 0);
	assert_int_equal(eng_getattr(r.fs, id, &attr), -ENOENT);
	assert_int_equal(eng_getattr(r.fs, sub, &attr), -ENOENT);
	assert_int_equal(chmod_to(&r, id, 0600), -ENOENT);
	rig_destroy(&r);
}

/* What chattr's flags forbid, and that they can be taken away again. */
static void test_frozen(void **state)
{
	static const uint64_t kinds[] = { BTRFS_INODE_IMMUTABLE, BTRFS_INODE_APPEND };
	struct eng_ino id, sub;
	struct rig r;

	rig_create(&r);
	assert_int_equal(make(&r, r.top, "f", S_IFREG | 0640, &id), 0);
	assert_int_equal(make(&r, r.top, "d", S_IFDIR | 0755, &sub), 0);
	assert_int_equal(make(&r, sub, "in", S_IFREG | 0640, NULL), 0);
	for (int i = 0; i < 2; i++) {
		bool append = i == 1;

		assert_int_equal(set_flags(&r, id, kinds[i]), 0);
		assert_int_equal(set_flags(&r, sub, kinds[i]), 0);
		assert_int_equal(drop(&r, r.top, "f"), -EPERM);
		assert_int_equal(rename_to(&r, r.top, "f", r.top, "g", 0), -EPERM);
		assert_int_equal(chmod_to(&r, id, 0600), -EPERM);
		assert_int_equal(resize(&r, id, 0), -EPERM);
		assert_int_equal(eng_setxattr(r.fs, id, "user.x", "y", 1, 0), -EPERM);
		assert_int_equal(eng_removexattr(r.fs, id, "user.x"), -EPERM);
		assert_int_equal(eng_write(r.fs, id, 0, "abc", 3), append ? 3 : -EPERM);
		assert_int_equal(eng_write(r.fs, id, 0, "abc", 3), -EPERM);
		assert_int_equal(drop(&r, sub, "in"), -EPERM);
		assert_int_equal(rename_to(&r, sub, "in", r.top, "in", 0), -EPERM);
		assert_int_equal(eng_rmdir(r.fs, r.top, "d", 1), -EPERM);
		assert_int_equal(make(&r, sub, "new", S_IFREG | 0600, NULL), append ? 0 : -EPERM);
		assert_int_equal(set_flags(&r, id, 0), 0);
		assert_int_equal(set_flags(&r, sub, 0), 0);
	}
	assert_int_equal(drop(&r, sub, "new"), 0);
	rig_destroy(&r);
}

static void test_rename(void **state)
{
	struct eng_ino a, b, c, f;
	struct eng_attr attr;
	struct rig r;

	rig_create(&r);
	assert_int_equal(make(&r, r.top, "a", S_IFDIR | 0755, &a), 0);
	assert_int_equal(make(&r, a, "b", S_IFDIR | 0755, &b), 0);
	assert_int_equal(make(&r, b, "c", S_IFDIR | 0755, &c), 0);
	assert_int_equal(make(&r, r.top, "f", S_IFREG | 0644, &f), 0);
	assert_int_equal(rename_to(&r, r.top, "none", r.top, "g", 0), -ENOENT);
	assert_int_equal(rename_to(&r, r.top, "a", c, "a", 0), -EINVAL);
	assert_int_equal(rename_to(&r, r.top, "a", a, "a", 0), -EINVAL);
	assert_int_equal(rename_to(&r, b, "c", r.top, "a", RENAME_EXCHANGE), -EINVAL);
	assert_int_equal(rename_to(&r, b, "c", r.top, "a", 0), -ENOTEMPTY);
	assert_int_equal(rename_to(&r, r.top, "f", r.top, "a", 0), -EISDIR);
	assert_int_equal(rename_to(&r, r.top, "a", r.top, "f", 0), -ENOTDIR);
	assert_int_equal(rename_to(&r, r.top, "f", r.top, "a", RENAME_NOREPLACE), -EEXIST);
	assert_int_equal(rename_to(&r, r.top, "f", r.top, "none", RENAME_EXCHANGE), -ENOENT);
	assert_int_equal(rename_to(&r, r.top, "f", r.top, "g", RENAME_EXCHANGE | RENAME_NOREPLACE),
			 -EINVAL);
	assert_int_equal(rename_to(&r, r.top, "f", r.top, "g", 1u << 20), -EINVAL);
	assert_int_equal(rename_to(&r, r.top, "f", (struct eng_ino){ 7, 256 }, "g", 0), -EXDEV);
	assert_int_equal(rename_to(&r, r.top, "f", f, "g", 0), -ENOTDIR);
	/* What may be. */
	assert_int_equal(rename_to(&r, b, "c", r.top, "c", 0), 0);
	assert_int_equal(rename_to(&r, r.top, "a", c, "a", 0), 0);
	assert_int_equal(rename_to(&r, r.top, "f", a, "b", RENAME_EXCHANGE), 0);
	assert_int_equal(look(&r, a, "b", &attr), 0);
	assert_int_equal(attr.id.ino, f.ino);
	assert_int_equal(rename_to(&r, a, "b", a, "f", RENAME_WHITEOUT), 0);
	assert_int_equal(look(&r, a, "b", &attr), 0);
	assert_true(S_ISCHR(attr.mode));
	assert_int_equal(eng_link(r.fs, f, r.top, "again", 5, &attr), 0);
	assert_int_equal(rename_to(&r, r.top, "again", a, "f", 0), 0);
	assert_int_equal(look(&r, r.top, "again", &attr), 0);
	rig_destroy(&r);
}

static void test_attributes(void **state)
{
	struct eng_attr attr = { .mode = S_IFDIR | 0751,
				 .uid = 7,
				 .gid = 8,
				 .atime = { 5, 6 },
				 .mtime = { 7, 1000000000 } };
	struct eng_ino id, sub, link;
	char name[300] = "user.";
	struct rig r;

	rig_create(&r);
	assert_int_equal(make(&r, r.top, "f", S_IFREG | 0640, &id), 0);
	assert_int_equal(make(&r, r.top, "d", S_IFDIR | 0755, &sub), 0);
	assert_int_equal(make(&r, r.top, "l", S_IFLNK | 0777, &link), 0);
	assert_int_equal(eng_setattr(r.fs, id, ENG_SET_MTIME, &attr, &attr), -EINVAL);
	assert_int_equal(eng_setattr(r.fs, id, 1u << 20, &attr, &attr), -EINVAL);
	assert_int_equal(eng_setattr(r.fs, id,
				     ENG_SET_MODE | ENG_SET_UID | ENG_SET_GID | ENG_SET_ATIME,
				     &attr, &attr),
			 0);
	assert_int_equal(attr.mode, S_IFREG | 0751);
	assert_int_equal(attr.uid, 7);
	assert_int_equal(attr.atime.tv_sec, 5);
	assert_int_equal(resize(&r, id, UINT64_MAX), -EFBIG);
	assert_int_equal(resize(&r, sub, 0), -EISDIR);
	assert_int_equal(resize(&r, link, 0), -EINVAL);
	assert_int_equal(set_flags(&r, id, BTRFS_INODE_COMPRESS | BTRFS_INODE_NOCOMPRESS), -EINVAL);
	assert_int_equal(eng_write(r.fs, sub, 0, "x", 1), -EISDIR);
	assert_int_equal(eng_write(r.fs, link, 0, "x", 1), -EINVAL);
	assert_int_equal(eng_write(r.fs, id, UINT64_MAX, "x", 1), -EFBIG);
	assert_int_equal(eng_write(r.fs, id, 1 << 20, "x", 1), -EFBIG);
	assert_int_equal(eng_write(r.fs, id, 0, "x", 0), 0);
	memset(name + 5, 'n', 251);
	assert_int_equal(eng_setxattr(r.fs, id, name, "v", 1, 0), -ERANGE);
	assert_int_equal(eng_setxattr(r.fs, id, "user.", "v", 1, 0), -EINVAL);
	assert_int_equal(eng_setxattr(r.fs, id, "none", "v", 1, 0), -EOPNOTSUPP);
	assert_int_equal(eng_setxattr(r.fs, id, "system.other", "v", 1, 0), -EOPNOTSUPP);
	assert_int_equal(eng_setxattr(r.fs, link, "user.x", "v", 1, 0), -EPERM);
	assert_int_equal(eng_setxattr(r.fs, id, "system.posix_acl_default", "v", 1, 0), -EACCES);
	assert_int_equal(eng_setxattr(r.fs, id, "user.x", "v", 1, XATTR_REPLACE), -ENODATA);
	assert_int_equal(eng_setxattr(r.fs, id, "user.x", "v", 1, 77), -EINVAL);
	assert_int_equal(eng_setxattr(r.fs, id, "user.x", name, 65537, 0), -E2BIG);
	assert_int_equal(eng_setxattr(r.fs, id, "user.x", NULL, 0, 0), 0);
	assert_int_equal(eng_getxattr(r.fs, id, "user.x", name, sizeof(name)), 0);
	assert_int_equal(eng_setxattr(r.fs, id, "user.x", "v", 1, XATTR_CREATE), -EEXIST);
	assert_int_equal(eng_removexattr(r.fs, id, "user.x"), 0);
	assert_int_equal(eng_removexattr(r.fs, id, "user.x"), -ENODATA);
	assert_int_equal(eng_setxattr(r.fs, id, "btrfs.compression", "best", 4, 0), -EINVAL);
	assert_int_equal(eng_setxattr(r.fs, id, "btrfs.compression", "zstd", 4, 0), 0);
	rig_destroy(&r);
}

/* Everything that changes, where nothing may. */
static void test_readonly(void **state)
{
	const struct eng_new file = { .mode = S_IFREG | 0600 };
	struct eng_attr attr = { 0 };
	struct eng_fs_info info;
	struct eng_ino id;
	struct rig r;

	rig_create(&r);
	assert_int_equal(make(&r, r.top, "f", S_IFREG | 0640, &id), 0);
	eng_fs_info(r.fs, &info);
	assert_true(info.writable);
	eng_close(r.fs);
	assert_int_equal(rig_open(&r, false), 0);
	eng_fs_info(r.fs, &info);
	assert_false(info.writable);
	assert_int_equal(eng_create(r.fs, r.top, "g", 1, &file, &attr), -EROFS);
	assert_int_equal(eng_link(r.fs, id, r.top, "g", 1, &attr), -EROFS);
	assert_int_equal(eng_unlink(r.fs, r.top, "f", 1), -EROFS);
	assert_int_equal(eng_rmdir(r.fs, r.top, "f", 1), -EROFS);
	assert_int_equal(rename_to(&r, r.top, "f", r.top, "g", 0), -EROFS);
	assert_int_equal(eng_setattr(r.fs, id, ENG_SET_UID, &attr, &attr), -EROFS);
	assert_int_equal(eng_write(r.fs, id, 0, "x", 1), -EROFS);
	assert_int_equal(eng_setxattr(r.fs, id, "user.x", "v", 1, 0), -EROFS);
	assert_int_equal(eng_removexattr(r.fs, id, "user.x"), -EROFS);
	assert_int_equal(eng_sync(r.fs), 0);
	assert_int_equal(eng_ref(r.fs, id), 0);
	assert_int_equal(eng_ref(r.fs, (struct eng_ino){ 5, 9999 }), -ENOENT);
	eng_unref(r.fs, id, 1);
	rig_destroy(&r);
}

/* ---- references ---- */

static void test_refs(void **state)
{
	struct eng_ino id, kept, held;
	struct eng_attr attr;
	struct rig r;

	rig_create(&r);
	assert_int_equal(make(&r, r.top, "f", S_IFREG | 0640, &id), 0);
	assert_int_equal(eng_ref(r.fs, id), 0);
	assert_int_equal(eng_ref(r.fs, id), 0);
	assert_int_equal(drop(&r, r.top, "f"), 0);
	assert_int_equal(eng_getattr(r.fs, id, &attr), 0);
	assert_int_equal(attr.nlink, 0);
	assert_int_equal(chmod_to(&r, id, 0600), 0);
	assert_int_equal(eng_link(r.fs, id, r.top, "back", 4, &attr), -ENOENT);
	eng_unref(r.fs, id, 1);
	assert_int_equal(eng_ref(r.fs, id), 0);
	eng_unref(r.fs, id, 2);
	assert_int_equal(eng_getattr(r.fs, id, &attr), -ENOENT);
	assert_int_equal(eng_ref(r.fs, id), -ENOENT);
	/* A directory, too; and a name that goes while another is there. */
	assert_int_equal(make(&r, r.top, "d", S_IFDIR | 0755, &id), 0);
	assert_int_equal(eng_ref(r.fs, id), 0);
	assert_int_equal(eng_rmdir(r.fs, r.top, "d", 1), 0);
	assert_int_equal(make(&r, id, "x", S_IFREG | 0600, NULL), -ENOENT);
	eng_unref(r.fs, id, 1);
	assert_int_equal(eng_getattr(r.fs, id, &attr), -ENOENT);
	/* Replaced while it is referenced; and left behind at the close. */
	assert_int_equal(make(&r, r.top, "a", S_IFREG | 0600, NULL), 0);
	assert_int_equal(make(&r, r.top, "b", S_IFREG | 0600, &kept), 0);
	assert_int_equal(make(&r, r.top, "c", S_IFREG | 0600, &held), 0);
	assert_int_equal(eng_ref(r.fs, kept), 0);
	assert_int_equal(eng_ref(r.fs, held), 0);
	assert_int_equal(rename_to(&r, r.top, "a", r.top, "b", 0), 0);
	assert_int_equal(eng_getattr(r.fs, kept, &attr), 0);
	eng_unref(r.fs, kept, 1);
	assert_int_equal(eng_getattr(r.fs, kept, &attr), -ENOENT);
	assert_int_equal(drop(&r, r.top, "c"), 0);
	eng_close(r.fs);
	assert_int_equal(rig_open(&r, true), 0);
	assert_int_equal(eng_getattr(r.fs, held, &attr), -ENOENT);
	rig_destroy(&r);
}

/* A crash leaves an orphan: it goes before the subvolume's next change. */
static void test_orphan(void **state)
{
	struct eng_ino id, other;
	struct eng_attr attr;
	struct rig r;

	rig_create(&r);
	assert_int_equal(make(&r, r.top, "f", S_IFREG | 0640, &id), 0);
	assert_int_equal(eng_ref(r.fs, id), 0);
	assert_int_equal(drop(&r, r.top, "f"), 0);
	/* With a number above, so that the orphan's is not given out anew. */
	assert_int_equal(make(&r, r.top, "above", S_IFREG | 0640, NULL), 0);
	assert_int_equal(eng_sync(r.fs), 0);
	assert_int_equal(make(&r, r.top, "lost", S_IFREG | 0640, &other), 0);
	lab_crash(r.fs);
	assert_int_equal(rig_open(&r, true), 0);
	assert_int_equal(eng_getattr(r.fs, id, &attr), 0);
	assert_int_equal(eng_ref(r.fs, id), -ENOENT);
	assert_int_equal(look(&r, r.top, "lost", &attr), -ENOENT);
	assert_int_equal(make(&r, r.top, "new", S_IFREG | 0640, NULL), 0);
	assert_int_equal(eng_getattr(r.fs, id, &attr), -ENOENT);
	rig_destroy(&r);
}

/* ---- open files ---- */

static void test_open_file(void **state)
{
	char buf[100], old[50];
	struct eng_file *f;
	struct eng_attr attr;
	struct eng_ino id;
	struct rig r;

	rig_create(&r);
	memset(old, 'o', sizeof(old));
	assert_int_equal(make(&r, r.top, "f", S_IFREG | 0640, &id), 0);
	assert_int_equal(eng_write(r.fs, id, 0, old, sizeof(old)), sizeof(old));
	assert_int_equal(eng_file_open(r.fs, id, &f), 0);
	assert_int_equal(eng_file_read(f, 0, buf, sizeof(buf)), 50);
	assert_memory_equal(buf, old, 50);
	assert_int_equal(eng_write(r.fs, id, 0, "new", 3), 3);
	assert_int_equal(eng_file_read(f, 0, buf, sizeof(buf)), 50);
	assert_memory_equal(buf, "newooo", 6);
	assert_int_equal(resize(&r, id, 2), 0);
	assert_int_equal(eng_file_read(f, 0, buf, sizeof(buf)), 2);
	assert_int_equal(resize(&r, id, 60), 0);
	assert_int_equal(eng_file_read(f, 0, buf, sizeof(buf)), 60);
	assert_memory_equal(buf, "ne\0\0", 4);
	assert_int_equal(drop(&r, r.top, "f"), 0);
	assert_int_equal(eng_file_read(f, 0, buf, sizeof(buf)), 60);
	assert_int_equal(eng_seek(r.fs, id, 0, SEEK_HOLE) >= 0, 1);
	eng_file_close(f);
	assert_int_equal(eng_getattr(r.fs, id, &attr), -ENOENT);
	assert_int_equal(eng_file_open(r.fs, id, &f), -ENOENT);
	assert_int_equal(eng_file_open(r.fs, r.top, &f), -EISDIR);
	rig_destroy(&r);
}

/* ---- threads ---- */

#define THREADS 8
#define ROUNDS 60

struct worker {
	struct rig *r;
	struct eng_ino dirs[3];
	unsigned nr;
	int bad;
};

/* Renames over each other, links, removals, reads: in the same three directories, with the same few
 * names. */
static int one_round(struct worker *w, unsigned i)
{
	struct eng_ino a = w->dirs[(i + w->nr) % 3], b = w->dirs[(i * 7 + w->nr) % 3];
	struct rig *r = w->r;
	char name[20], other[20], buf[64];
	struct eng_attr attr;
	struct eng_file *f;
	int err;

	snprintf(name, sizeof(name), "n%u", (i * 5 + w->nr) % 6);
	snprintf(other, sizeof(other), "n%u", (i * 3 + w->nr * 2) % 6);
	err = make(r, a, name, i % 4 ? S_IFREG | 0644 : S_IFDIR | 0755, NULL);
	if (err && err != -EEXIST)
		return err;
	err = rename_to(r, a, name, b, other, i % 5 ? 0 : RENAME_EXCHANGE);
	if (err && err != -ENOENT && err != -EISDIR && err != -ENOTDIR && err != -ENOTEMPTY &&
	    err != -EINVAL)
		return err;
	if (!look(r, b, other, &attr) && S_ISREG(attr.mode) && !eng_file_open(r->fs, attr.id, &f)) {
		(void)!eng_write(r->fs, attr.id, 0, name, strlen(name));
		if (eng_file_read(f, 0, buf, sizeof(buf)) < 0)
			return -EIO;
		eng_file_close(f);
	}
	if (i % 3 == 0) {
		err = drop(r, b, other);
		if (err == -EISDIR)
			err = eng_rmdir(r->fs, b, other, strlen(other));
		if (err && err != -ENOENT && err != -EISDIR && err != -ENOTDIR && err != -ENOTEMPTY)
			return err;
	}
	return w->nr == 0 && i % 20 == 0 ? eng_sync(r->fs) : 0;
}

static void *work(void *arg)
{
	struct worker *w = arg;

	for (unsigned i = 0; i < ROUNDS && !w->bad; i++)
		w->bad = one_round(w, i);
	return NULL;
}

static void test_threads(void **state)
{
	struct worker workers[THREADS];
	pthread_t threads[THREADS];
	struct eng_ino dirs[3];
	struct rig r;

	rig_create(&r);
	for (int i = 0; i < 3; i++) {
		char name[2] = { (char)('a' + i), 0 };

		assert_int_equal(make(&r, i ? dirs[i - 1] : r.top, name, S_IFDIR | 0755, &dirs[i]),
				 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		workers[i] =
			(struct worker){ .r = &r, .dirs = { dirs[0], dirs[1], dirs[2] }, .nr = i };
		assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(workers[i].bad, 0);
	}
	rig_destroy(&r);
}

/* ---- planted faults ---- */

#ifdef UBTRFS_PLANT
static int run_one(void (*test)(void **state))
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test) };

	if (!freopen("/dev/null", "w", stdout))
		return 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

static int check_rename(void)
{
	return run_one(test_rename);
}

static int check_refs(void)
{
	return run_one(test_refs);
}

static int check_open_file(void)
{
	return run_one(test_open_file);
}
#endif

static void test_plants(void **state)
{
#ifdef UBTRFS_PLANT
	static const struct plant plants[] = {
		{ "api_no_loop_check", check_rename },
		{ "api_evict_referenced", check_refs },
		{ "api_stale_stream", check_open_file },
	};

	check_plants(plants, sizeof(plants) / sizeof(plants[0]));
#else
	skip();
#endif
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),	   cmocka_unit_test(test_create),
		cmocka_unit_test(test_link),	   cmocka_unit_test(test_remove),
		cmocka_unit_test(test_frozen),	   cmocka_unit_test(test_rename),
		cmocka_unit_test(test_attributes), cmocka_unit_test(test_readonly),
		cmocka_unit_test(test_refs),	   cmocka_unit_test(test_orphan),
		cmocka_unit_test(test_open_file),  cmocka_unit_test(test_threads),
		cmocka_unit_test(test_plants),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
