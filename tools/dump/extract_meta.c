// SPDX-License-Identifier: GPL-2.0-or-later
/* Owners, modes, times and extended attributes of what was extracted. */
#include "tools/dump/extract.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

/* Attributes that only root can set are passed over without a word. */
static bool xattr_wanted(const struct extract *x, const char *name)
{
	return x->root || (strncmp(name, "security.", 9) && strncmp(name, "trusted.", 8));
}

/* `path` leads to the file without following a last link; fd instead, if it is one. */
static void copy_xattrs(struct extract *x, int fd, const char *path, struct eng_ino id)
{
	ssize_t len = eng_listxattr(x->d.fs, id, NULL, 0), n;
	unsigned unset = 0;
	int err = 0;
	char *list;

	if (len == 0)
		return;
	list = len > 0 ? malloc((size_t)len + 1) : NULL;
	if (list)
		len = eng_listxattr(x->d.fs, id, list, (size_t)len);
	if (len < 0 || !list) {
		extract_lost(x, "its extended attributes cannot be read: %s",
			     strerror(len < 0 ? (int)-len : ENOMEM));
		free(list);
		return;
	}
	list[len] = '\0';
	for (char *name = list; name < list + len; name += strlen(name) + 1) {
		if (!xattr_wanted(x, name))
			continue;
		n = eng_getxattr(x->d.fs, id, name, x->buf, EXTRACT_BUF);
		if (n < 0)
			extract_lost(x, "extended attribute %s cannot be read: %s", name,
				     strerror((int)-n));
		else if (fd >= 0 ? fsetxattr(fd, name, x->buf, (size_t)n, 0)
				 : lsetxattr(path, name, x->buf, (size_t)n, 0)) {
			/* Only btrfs takes its own; and often all fail, for what the target is: one
			 * line. */
			if (!strncmp(name, "btrfs.", 6))
				continue;
			err = errno;
			unset++;
		}
	}
	if (unset)
		extract_lost(x, "%u extended attributes cannot be set: %s", unset, strerror(err));
	free(list);
}

/* Set-id bits are only for the owner that they were meant for. */
static mode_t safe_mode(const struct extract *x, uint32_t mode)
{
	return mode & (x->root ? 07777 : 01777);
}

void extract_meta(struct extract *x, int fd, const struct eng_attr *attr)
{
	const struct timespec times[2] = { attr->atime, attr->mtime };

	if (attr->stub_key)
		return;
	if (x->root && fchown(fd, attr->uid, attr->gid))
		extract_lost(x, "its owner cannot be set: %s", strerror(errno));
	copy_xattrs(x, fd, NULL, attr->id);
	if (fchmod(fd, safe_mode(x, attr->mode)))
		extract_lost(x, "its mode cannot be set: %s", strerror(errno));
	if (futimens(fd, times))
		extract_lost(x, "its times cannot be set: %s", strerror(errno));
}

void extract_meta_at(struct extract *x, int dirfd, const char *name, const struct eng_attr *attr)
{
	const struct timespec times[2] = { attr->atime, attr->mtime };
	char path[BTRFS_NAME_LEN + 64];

	if (x->root && fchownat(dirfd, name, attr->uid, attr->gid, AT_SYMLINK_NOFOLLOW))
		extract_lost(x, "its owner cannot be set: %s", strerror(errno));
	snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dirfd, name);
	copy_xattrs(x, -1, path, attr->id);
	/* The node is ours and just made, but chmod follows links, so only what is none. */
	if (!S_ISLNK(attr->mode) && fchmodat(dirfd, name, safe_mode(x, attr->mode), 0))
		extract_lost(x, "its mode cannot be set: %s", strerror(errno));
	if (utimensat(dirfd, name, times, AT_SYMLINK_NOFOLLOW))
		extract_lost(x, "its times cannot be set: %s", strerror(errno));
}
