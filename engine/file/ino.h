/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inodes, names and attributes: reading. All functions may block on I/O and take no locks. */
#ifndef UBTRFS_ENGINE_FILE_INO_H
#define UBTRFS_ENGINE_FILE_INO_H

#include "engine/txn/fs.h"

#include <time.h>

struct ino_attr {
	uint64_t ino;
	uint64_t size;
	uint64_t nbytes;          /* bytes of disk space by the inode item */
	uint64_t generation;
	uint64_t transid;
	uint64_t rdev;            /* as dev_t of this machine */
	uint64_t flags;           /* BTRFS_INODE_* */
	uint32_t ro_flags;        /* BTRFS_INODE_RO_* */
	uint32_t mode;
	uint32_t uid;
	uint32_t gid;
	uint32_t nlink;
	struct timespec atime, mtime, ctime, otime;
};

/* A time as stored; nanoseconds that are none become the last of the second. */
struct timespec ino_time(const struct btrfs_timespec *t);

/* Return: 0; -ENOENT; -EUCLEAN; -EIO; -ENOMEM: so all below, besides what they name. */
MUST_CHECK int ino_load(struct fs *fs, const struct root *root, uint64_t ino, struct ino_attr *out_attr);

/* What a directory entry points to: an inode of the same subvolume, or another subvolume's root. */
struct dir_target {
	bool is_subvol;
	uint64_t id;              /* inode number, or subvolume id */
	uint8_t type;             /* BTRFS_FT_* */
};

/* By name, collisions of the hash included. -ENOENT if there is no such entry. */
MUST_CHECK int dir_lookup(struct fs *fs, const struct root *root, uint64_t dir, const char *name,
			  size_t len, struct dir_target *out_target);
/*
 * Calls fn for each entry whose index is >= from, in index order ("." and ".." are not stored). `index` is
 * that entry's; names are not NUL-terminated. fn non-zero ends the walk and is returned.
 */
int dir_iterate(struct fs *fs, const struct root *root, uint64_t dir, uint64_t from,
		int (*fn)(void *arg, uint64_t index, const char *name, size_t len,
			  const struct dir_target *target),
		void *arg);
/* One parent of an inode: INODE_REF or INODE_EXTREF, the first found. For directories the only one. */
MUST_CHECK int ino_parent(struct fs *fs, const struct root *root, uint64_t ino, uint64_t *out_parent,
			  char name[256]);
/* All names of an inode. fn as in dir_iterate. */
int ino_refs(struct fs *fs, const struct root *root, uint64_t ino,
	     int (*fn)(void *arg, uint64_t parent, const char *name, size_t len), void *arg);

/* Value length, or -ENODATA; -ERANGE if it does not fit in size (size 0: only the length is asked). */
MUST_CHECK int64_t xattr_get(struct fs *fs, const struct root *root, uint64_t ino, const char *name,
			     size_t len, void *buf, size_t size);
/* Calls fn for every attribute's name and value. */
int xattr_iterate(struct fs *fs, const struct root *root, uint64_t ino,
		  int (*fn)(void *arg, const char *name, size_t name_len, const void *value,
			    size_t value_len),
		  void *arg);
/* A symlink's target: its length; -EINVAL if it is not one; -ERANGE if size is too small. */
MUST_CHECK int64_t symlink_read(struct fs *fs, const struct root *root, uint64_t ino, char *buf,
				size_t size);

#endif
