/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inodes, names and attributes: changing. Each function is one operation, in transactions of its own (a truncate is many), with
 * nothing done if it fails, unless the transaction is aborted.
 *
 * The caller (api/) has checked arguments and permissions and holds the locks of all inodes that change: those named, and
 * those that the names lead to; so what was looked up stays true; see lockorder in engine/README.md. Root items of read-only subvolumes are refused there: -EROFS.
 *
 * All return 0 or: -ENOSPC, -EROFS, -EUCLEAN, -EIO, -ENOMEM, besides what they name.
 */
#ifndef UBTRFS_ENGINE_FILE_CHANGE_H
#define UBTRFS_ENGINE_FILE_CHANGE_H

#include "engine/file/ino.h"
#include "engine/txn/txn.h"

struct ino_xattr {
	const char *name;
	size_t name_len;
	const void *value;
	size_t size;
};

/* What a new inode is to be. */
struct ino_new {
	uint32_t mode, uid, gid;  /* as the caller of the system call has them; setgid directories are seen to here */
	dev_t rdev;
	const char *target;       /* symlink */
	size_t target_len;
	const struct ino_xattr *xattrs; /* set in the same transaction (ACLs, security labels) */
	unsigned xattrs_nr;
	struct timespec now;
};

/* Creates it with its name. Inherits btrfs.compression and the flags that Linux inherits. -EEXIST, -ENAMETOOLONG, -ENOENT (dir is gone). */
MUST_CHECK int file_create(struct fs *fs, const struct root *root, uint64_t dir, const char *name, size_t len,
			   const struct ino_new *what, struct ino_attr *out_attr);
/* Without a name: an orphan until linked (O_TMPFILE). */
MUST_CHECK int file_create_tmp(struct fs *fs, const struct root *root, uint64_t dir, const struct ino_new *what,
			       struct ino_attr *out_attr);
/*
 * -EEXIST; -EMLINK (65535 links, or no room for another name in this directory); -EOVERFLOW (too many names of one hash, as
 * in create and rename); -EPERM (a directory). -ENOENT: no link left and no orphan item; whether an orphan is a
 * tmpfile, which may be linked, or was unlinked, is for the caller to know.
 */
MUST_CHECK int file_link(struct fs *fs, const struct root *root, uint64_t ino, uint64_t dir, const char *name,
			 size_t len, const struct timespec *now, struct ino_attr *out_attr);
/*
 * Removes a name; directories must be empty (`rmdir` says which is meant: -ENOTDIR, -EISDIR, -ENOTEMPTY). An inode
 * without a link becomes an orphan; *out_left links are left: at 0 the caller calls file_evict when nobody has it open.
 * -ENOENT; -EPERM (a subvolume).
 */
MUST_CHECK int file_unlink(struct fs *fs, const struct root *root, uint64_t dir, const char *name, size_t len,
			   bool rmdir, const struct timespec *now, uint64_t *out_ino, uint32_t *out_left);
/*
 * flags: RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT of linux/fs.h. What was replaced comes back as in file_unlink
 * (*out_ino 0: nothing). That no directory moves below itself is the caller's to see to. -EEXIST, -ENOENT, -ENOTEMPTY, -EISDIR, -ENOTDIR;
 * -EPERM (a subvolume, for now); -EINVAL (flags). Two names of one inode: nothing happens.
 */
MUST_CHECK int file_rename(struct fs *fs, const struct root *root, uint64_t from_dir, const char *from, size_t from_len,
			   uint64_t to_dir, const char *to, size_t to_len, unsigned flags,
			   const struct timespec *now, uint64_t *out_ino, uint32_t *out_left);

enum ino_set {
	INO_SET_MODE = 1 << 0,    /* permission bits */
	INO_SET_UID = 1 << 1,
	INO_SET_GID = 1 << 2,
	INO_SET_ATIME = 1 << 3,
	INO_SET_MTIME = 1 << 4,
	INO_SET_CTIME = 1 << 5,
	INO_SET_OTIME = 1 << 6,
	INO_SET_FLAGS = 1 << 7,   /* BTRFS_INODE_* */
};
/*
 * Those of `attr` that `set` names. Size is file_truncate's. NODATACOW and NODATASUM of a file that has data stay
 * as they are, as in Linux. -ENOENT.
 */
MUST_CHECK int file_setattr(struct fs *fs, const struct root *root, uint64_t ino, unsigned set,
			    const struct ino_attr *attr, struct ino_attr *out_attr);
/*
 * Sets the size: extents beyond go, in as many transactions as it takes (the size falls with them, so that a crash
 * in between leaves a file that is longer, but whole); growing makes a hole. -EFBIG; -EOPNOTSUPP (growing would need zeros
 * written into the last sector of a data extent, or an inline file would have to become one). -EISDIR; -EINVAL (no file).
 */
MUST_CHECK int file_truncate(struct fs *fs, const struct root *root, uint64_t ino, uint64_t size,
			     const struct timespec *now, struct ino_attr *out_attr);
/*
 * Writes into inline data: the file stays, or becomes, one inline extent. -EFBIG: would not be inline any more (what inline holds:
 * the smaller of 2048 bytes, a sector less one, and what a leaf bears).
 */
MUST_CHECK int file_write_inline(struct fs *fs, const struct root *root, uint64_t ino, uint64_t off, const void *buf,
				 size_t len, const struct timespec *now, struct ino_attr *out_attr);
/*
 * Values may be empty; `flags` as of setxattr(2). btrfs.compression sets the inode's flags too, and empty removes it. -EEXIST,
 * -ENODATA, -ENOSPC (too large for a leaf, with others of its hash), -ERANGE (name), -EINVAL (a bad property).
 */
MUST_CHECK int file_setxattr(struct fs *fs, const struct root *root, uint64_t ino, const char *name, size_t len,
			     const void *value, size_t size, int flags, const struct timespec *now);
MUST_CHECK int file_removexattr(struct fs *fs, const struct root *root, uint64_t ino, const char *name, size_t len,
				const struct timespec *now);
/* An inode without a link that nobody has open: data, items and orphan item go. Continues what a crash broke off. -EINVAL: it has links. */
MUST_CHECK int file_evict(struct fs *fs, const struct root *root, uint64_t ino);
/* Evicts all orphans of a subvolume; of those that have links, what an unfinished enabling of verity left: once, before it is first changed. */
MUST_CHECK int file_orphans(struct fs *fs, const struct root *root);

#endif
