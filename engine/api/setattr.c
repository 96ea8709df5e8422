// SPDX-License-Identifier: GPL-2.0-or-later
/* Attributes, contents and extended attributes of an inode: changing. */
#include "engine/api/api_priv.h"

#include "engine/file/change.h"

#include <linux/limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

/* What chattr(1) and its ioctls may change; the rest is the engine's own. */
#define SETTABLE_FLAGS                                                                             \
	(BTRFS_INODE_NODATASUM | BTRFS_INODE_NODATACOW | BTRFS_INODE_NOCOMPRESS |                  \
	 BTRFS_INODE_SYNC | BTRFS_INODE_IMMUTABLE | BTRFS_INODE_APPEND | BTRFS_INODE_NODUMP |      \
	 BTRFS_INODE_NOATIME | BTRFS_INODE_DIRSYNC | BTRFS_INODE_COMPRESS)
#define FROZEN_FLAGS (BTRFS_INODE_IMMUTABLE | BTRFS_INODE_APPEND)

/* An inode that is being changed: locked, and as it is. */
struct target {
	const struct root *root;
	struct ilock_set set;
	struct ino_attr attr;
};

static int target_lock(struct eng_fs *efs, struct eng_ino id, struct target *t)
{
	int err = api_may_change(efs, id, &t->root);

	if (!err)
		err = ilock_set_take(&t->set, api_locks(efs), &id, 1);
	if (err)
		return err;
	err = ino_load(&efs->fs, t->root, id.ino, &t->attr);
	if (err)
		ilock_set_release(&t->set);
	return err;
}

/* ---- attributes ---- */

static const struct {
	unsigned set, ino_set;
} set_bits[] = {
	{ ENG_SET_MODE, INO_SET_MODE },	  { ENG_SET_UID, INO_SET_UID },
	{ ENG_SET_GID, INO_SET_GID },	  { ENG_SET_ATIME, INO_SET_ATIME },
	{ ENG_SET_MTIME, INO_SET_MTIME }, { ENG_SET_CTIME, INO_SET_CTIME },
	{ ENG_SET_OTIME, INO_SET_OTIME }, { ENG_SET_FLAGS, INO_SET_FLAGS },
};

#define ENG_SET_KNOWN ((1u << 9) - 1)

static bool bad_time(const struct timespec *t)
{
	return t->tv_nsec < 0 || t->tv_nsec >= 1000000000;
}

static int check_set(unsigned set, const struct eng_attr *attr)
{
	if (set & ~ENG_SET_KNOWN)
		return -EINVAL;
	if ((set & ENG_SET_ATIME && bad_time(&attr->atime)) ||
	    (set & ENG_SET_MTIME && bad_time(&attr->mtime)) ||
	    (set & ENG_SET_CTIME && bad_time(&attr->ctime)) ||
	    (set & ENG_SET_OTIME && bad_time(&attr->otime)))
		return -EINVAL;
	if (set & ENG_SET_FLAGS && attr->flags & BTRFS_INODE_COMPRESS &&
	    attr->flags & BTRFS_INODE_NOCOMPRESS)
		return -EINVAL;
	return set & ENG_SET_SIZE && attr->size > INT64_MAX ? -EFBIG : 0;
}

/* An immutable or append-only inode keeps what it has, but for these very flags. */
static int check_frozen(const struct ino_attr *old, unsigned set)
{
	if (old->flags & FROZEN_FLAGS && set & ~(unsigned)(ENG_SET_FLAGS | ENG_SET_CTIME))
		return -EPERM;
	return 0;
}

static uint64_t new_flags(const struct ino_attr *old, uint64_t wanted)
{
	/* A file that is not copied has no sums; of a directory it is a wish for its files. */
	if (S_ISREG(old->mode) && wanted & BTRFS_INODE_NODATACOW)
		wanted |= BTRFS_INODE_NODATASUM;
	return (old->flags & ~(uint64_t)SETTABLE_FLAGS) | (wanted & SETTABLE_FLAGS);
}

static int set_size(struct eng_fs *efs, struct target *t, uint64_t size, const struct timespec *now)
{
	if (S_ISDIR(t->attr.mode))
		return -EISDIR;
	if (!S_ISREG(t->attr.mode))
		return -EINVAL;
	api_drop_streams(t->set.locks[0]);
	return file_truncate(&efs->fs, t->root, t->attr.ino, size, now, &t->attr);
}

static int set_rest(struct eng_fs *efs, struct target *t, unsigned set, const struct eng_attr *attr,
		    const struct timespec *now)
{
	struct ino_attr in = {
		.mode = attr->mode & 07777,
		.uid = attr->uid,
		.gid = attr->gid,
		.flags = new_flags(&t->attr, attr->flags),
		.atime = attr->atime,
		.mtime = attr->mtime,
		.ctime = set & ENG_SET_CTIME ? attr->ctime : *now,
		.otime = attr->otime,
	};
	unsigned ino_set = INO_SET_CTIME;

	for (unsigned i = 0; i < sizeof(set_bits) / sizeof(set_bits[0]); i++)
		if (set & set_bits[i].set)
			ino_set |= set_bits[i].ino_set;
	return file_setattr(&efs->fs, t->root, t->attr.ino, ino_set, &in, &t->attr);
}

int eng_setattr(struct eng_fs *efs, struct eng_ino id, unsigned set, const struct eng_attr *attr,
		struct eng_attr *out_attr)
{
	const struct timespec now = api_now();
	struct target t;
	int err = check_set(set, attr);

	if (!err)
		err = target_lock(efs, id, &t);
	if (err)
		return err;
	err = check_frozen(&t.attr, set);
	if (!err && set & ENG_SET_SIZE)
		err = set_size(efs, &t, attr->size, &now);
	if (!err && set & ~(unsigned)ENG_SET_SIZE)
		err = set_rest(efs, &t, set, attr, &now);
	if (!err)
		api_attr_from_ino(&efs->fs, id.subvol, &t.attr, out_attr);
	ilock_set_release(&t.set);
	return err;
}

/* ---- contents ---- */

static int check_write(const struct ino_attr *attr, uint64_t off, size_t len)
{
	if (S_ISDIR(attr->mode))
		return -EISDIR;
	if (!S_ISREG(attr->mode))
		return -EINVAL;
	if (attr->flags & BTRFS_INODE_IMMUTABLE ||
	    (attr->flags & BTRFS_INODE_APPEND && off < attr->size))
		return -EPERM;
	return off > INT64_MAX || len > INT64_MAX - off ? -EFBIG : 0;
}

ssize_t eng_write(struct eng_fs *efs, struct eng_ino id, uint64_t off, const void *buf, size_t len)
{
	const struct timespec now = api_now();
	struct target t;
	int err = target_lock(efs, id, &t);

	if (err)
		return err;
	err = check_write(&t.attr, off, len);
	if (!err && len) {
		api_drop_streams(t.set.locks[0]);
		err = file_write_inline(&efs->fs, t.root, id.ino, off, buf, len, &now, &t.attr);
	}
	ilock_set_release(&t.set);
	return err ? err : (ssize_t)len;
}

/* ---- extended attributes ---- */

static bool starts(const char *name, const char *prefix)
{
	return !strncmp(name, prefix, strlen(prefix));
}

/* The namespaces that Linux's btrfs stores. */
static int check_xattr_name(const char *name)
{
	static const char *const prefixes[] = { "user.", "trusted.", "security.", "btrfs." };

	if (strlen(name) > BTRFS_NAME_LEN)
		return -ERANGE;
	if (!strcmp(name, "system.posix_acl_access") || !strcmp(name, "system.posix_acl_default"))
		return 0;
	for (unsigned i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		if (starts(name, prefixes[i]))
			return name[strlen(prefixes[i])] ? 0 : -EINVAL;
	return -EOPNOTSUPP;
}

static int check_xattr_target(const char *name, const struct ino_attr *attr)
{
	if (attr->flags & FROZEN_FLAGS)
		return -EPERM;
	if (starts(name, "user.") && !S_ISREG(attr->mode) && !S_ISDIR(attr->mode))
		return -EPERM;
	if (starts(name, "system.posix_acl_") && S_ISLNK(attr->mode))
		return -EOPNOTSUPP;
	if (!strcmp(name, "system.posix_acl_default") && !S_ISDIR(attr->mode))
		return -EACCES;
	return 0;
}

int eng_setxattr(struct eng_fs *efs, struct eng_ino id, const char *name, const void *value,
		 size_t size, int flags)
{
	const struct timespec now = api_now();
	struct target t;
	int err = check_xattr_name(name);

	if (!err && flags & ~(XATTR_CREATE | XATTR_REPLACE))
		err = -EINVAL;
	if (!err && size > XATTR_SIZE_MAX)
		err = -E2BIG;
	if (!err)
		err = target_lock(efs, id, &t);
	if (err)
		return err;
	err = check_xattr_target(name, &t.attr);
	if (!err)
		err = file_setxattr(&efs->fs, t.root, id.ino, name, strlen(name),
				    value ? value : "", size, flags, &now);
	ilock_set_release(&t.set);
	return err;
}

int eng_removexattr(struct eng_fs *efs, struct eng_ino id, const char *name)
{
	const struct timespec now = api_now();
	struct target t;
	int err = check_xattr_name(name);

	if (!err)
		err = target_lock(efs, id, &t);
	if (err)
		return err;
	err = check_xattr_target(name, &t.attr);
	if (!err)
		err = file_removexattr(&efs->fs, t.root, id.ino, name, strlen(name), &now);
	ilock_set_release(&t.set);
	return err;
}
