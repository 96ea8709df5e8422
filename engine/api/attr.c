// SPDX-License-Identifier: GPL-2.0-or-later
/* Attributes, extended attributes and symlink targets. */
#include "engine/api/api_priv.h"

#include <string.h>
#include <sys/stat.h>

void api_attr_from_ino(const struct fs *fs, uint64_t subvol, const struct ino_attr *in,
		       struct eng_attr *out_attr)
{
	uint64_t mask = fs->sectorsize - 1;

	*out_attr = (struct eng_attr){
		.id = { subvol, in->ino },
		.size = in->size,
		/* Inline bytes count as the sector they would take, as Linux reports them. */
		.bytes = in->nbytes > UINT64_MAX - mask ? in->nbytes : (in->nbytes + mask) & ~mask,
		.generation = in->generation,
		.flags = in->flags,
		.ro_flags = in->ro_flags,
		.mode = in->mode,
		.uid = in->uid,
		.gid = in->gid,
		.nlink = in->nlink,
		.rdev = (dev_t)in->rdev,
		.atime = in->atime,
		.mtime = in->mtime,
		.ctime = in->ctime,
		.otime = in->otime,
	};
}

int eng_getattr(struct eng_fs *efs, struct eng_ino id, struct eng_attr *out_attr)
{
	const struct root *root;
	struct ino_attr attr;
	int err = root_get(&efs->fs, id.subvol, &root);

	if (!err)
		err = ino_load(&efs->fs, root, id.ino, &attr);
	if (!err)
		api_attr_from_ino(&efs->fs, id.subvol, &attr, out_attr);
	return err;
}

ssize_t eng_readlink(struct eng_fs *efs, struct eng_ino id, char *buf, size_t size)
{
	const struct root *root;
	int err = root_get(&efs->fs, id.subvol, &root);

	return err ? err : symlink_read(&efs->fs, root, id.ino, buf, size);
}

ssize_t eng_getxattr(struct eng_fs *efs, struct eng_ino id, const char *name, void *buf, size_t size)
{
	const struct root *root;
	size_t len = strlen(name);
	int err = root_get(&efs->fs, id.subvol, &root);

	if (err)
		return err;
	if (!len || len > BTRFS_NAME_LEN)
		return len ? -ERANGE : -ENODATA;
	return xattr_get(&efs->fs, root, id.ino, name, len, buf, size);
}

struct name_list {
	char *buf;
	size_t size;
	size_t len;               /* of the whole list, whether it fits or not */
};

static int add_name(void *arg, const char *name, size_t len, const void *value, size_t value_len)
{
	struct name_list *list = arg;

	if (list->len + len + 1 <= list->size) {
		memcpy(list->buf + list->len, name, len);
		list->buf[list->len + len] = 0;
	}
	list->len += len + 1;
	return 0;
}

ssize_t eng_listxattr(struct eng_fs *efs, struct eng_ino id, char *buf, size_t size)
{
	struct name_list list = { buf, size, 0 };
	const struct root *root;
	int err = root_get(&efs->fs, id.subvol, &root);

	if (!err)
		err = xattr_iterate(&efs->fs, root, id.ino, add_name, &list);
	if (err)
		return err;
	return size && list.len > size ? -ERANGE : (ssize_t)list.len;
}
