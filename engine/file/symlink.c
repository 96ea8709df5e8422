// SPDX-License-Identifier: GPL-2.0-or-later
/* Symbolic links: the target is the link's one inline extent. */
#include "engine/file/fext.h"

#include <limits.h>
#include <string.h>
#include <sys/stat.h>

static int bad_target(struct fs *fs, const struct root *root, const struct ino_attr *attr,
		      const struct fext *ext)
{
	return msg_corrupt(fs->msg,
			   "subvolume %llu symlink %llu: size %llu, extent type %d compression %u of %u "
			   "bytes at %llu, expected an inline one of that size at 0",
			   (unsigned long long)root->bt.id, (unsigned long long)attr->ino,
			   (unsigned long long)attr->size, ext->type, ext->compression,
			   ext->inline_len, (unsigned long long)ext->off);
}

int64_t symlink_read(struct fs *fs, const struct root *root, uint64_t ino, char *buf, size_t size)
{
	struct ino_attr attr;
	struct fext_iter it;
	struct fext ext;
	int64_t ret = ino_load(fs, root, ino, &attr);

	if (ret)
		return ret;
	if (!S_ISLNK(attr.mode))
		return -EINVAL;
	if (!attr.size || attr.size >= PATH_MAX)
		return msg_corrupt(fs->msg, "subvolume %llu symlink %llu: size %llu, expected 1 to %d",
				   (unsigned long long)root->bt.id, (unsigned long long)ino,
				   (unsigned long long)attr.size, PATH_MAX - 1);
	ret = fext_begin(&it, fs, root, ino, 0, attr.size);
	if (!ret)
		ret = fext_next(&it, &ext);
	/* The sequence is gapless: a link without any extent is one hole. */
	if (!ret && (ext.type != FEXT_INLINE || ext.compression || ext.inline_len < attr.size))
		ret = bad_target(fs, root, &attr, &ext);
	if (!ret) {
		/* Old mkfs --rootdir counted the terminating NUL; Linux shows what is before it. */
		ret = (int64_t)strnlen(ext.inline_data, attr.size);
		if ((size_t)ret > size)
			ret = -ERANGE;
		else
			memcpy(buf, ext.inline_data, (size_t)ret);
	}
	fext_end(&it);
	return ret;
}
