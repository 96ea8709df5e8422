// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Subvolumes by id and by path, and paths of inodes.
 *
 * Paths are made from the end, by parents. A hostile image can make parents a ring: every step prepends at
 * least one byte and a separator to a bounded buffer, so that a ring ends in -ERANGE.
 */
#include "engine/api/api_priv.h"
#include "engine/txn/txn.h"

#include <string.h>

int eng_subvol_root(struct eng_fs *efs, uint64_t subvol, struct eng_ino *out_id)
{
	const struct root *root;
	int err = root_get(&efs->fs, subvol, &root);

	if (!err)
		*out_id = (struct eng_ino){ subvol, root->root_dirid };
	return err;
}

uint64_t eng_default_subvol(struct eng_fs *efs)
{
	return efs->default_subvol;
}

int eng_subvol_by_path(struct eng_fs *efs, const char *path, uint64_t *out_subvol)
{
	struct eng_ino top, root;
	struct eng_attr attr;
	int err = eng_subvol_root(efs, BTRFS_FS_TREE_OBJECTID, &top);

	*out_subvol = 0;
	if (!err)
		err = eng_path_lookup(efs, top, path, &attr);
	if (err)
		return err;
	if (attr.stub_key || eng_subvol_root(efs, attr.id.subvol, &root) || root.ino != attr.id.ino)
		return -EINVAL;
	*out_subvol = attr.id.subvol;
	return 0;
}

/* A string that grows to the front. */
struct back_path {
	char *buf;
	size_t size;
	size_t start;
};

static int prepend(struct back_path *p, const char *name)
{
	size_t len = strlen(name);

	/* An empty name cannot come from a checked item, but would let a ring go on for ever. */
	if (!len || p->start < len + 1)
		return -ERANGE;
	p->buf[--p->start] = '/';
	p->start -= len;
	memcpy(p->buf + p->start, name, len);
	return 0;
}

static void to_front(struct back_path *p)
{
	memmove(p->buf, p->buf + p->start, p->size - p->start);
}

/* Prepends the path of `ino` from its subvolume's root, with a slash after each name. */
static int prepend_ino(struct eng_fs *efs, const struct root *root, uint64_t ino, struct back_path *p)
{
	char name[256];
	int err = 0;

	while (!err && ino != root->root_dirid) {
		err = ino_parent(&efs->fs, root, ino, &ino, name);
		if (!err)
			err = prepend(p, name);
	}
	return err;
}

int eng_ino_path(struct eng_fs *efs, struct eng_ino id, char *buf, size_t size)
{
	struct back_path p = { buf, size, size };
	const struct root *root;
	int err = root_get(&efs->fs, id.subvol, &root);

	if (!size)
		return -ERANGE;
	buf[--p.start] = 0;
	if (!err)
		err = prepend_ino(efs, root, id.ino, &p);
	if (!err)
		to_front(&p);
	return err;
}

int eng_subvol_path(struct eng_fs *efs, uint64_t subvol, char *buf, size_t size)
{
	struct back_path p = { buf, size, size };
	char name[256];
	int err = 0;

	if (!size)
		return -ERANGE;
	buf[--p.start] = 0;
	while (!err && subvol != BTRFS_FS_TREE_OBJECTID) {
		const struct root *root;
		uint64_t parent, dir;

		err = root_backref(&efs->fs, subvol, &parent, &dir, name);
		if (!err)
			err = prepend(&p, name);
		if (!err)
			err = root_get(&efs->fs, parent, &root);
		if (!err)
			err = prepend_ino(efs, root, dir, &p);
		subvol = parent;
	}
	if (err)
		return err;
	to_front(&p);
	if (buf[0])
		buf[strlen(buf) - 1] = 0;
	return 0;
}

int eng_subvol_info(struct eng_fs *efs, uint64_t id, struct eng_subvol_info *out_info)
{
	struct btrfs_root_item copy, *item = &copy;
	const struct root *root;
	int err = root_get(&efs->fs, id, &root);

	memset(out_info, 0, sizeof(*out_info));
	if (err)
		return err;
	root_item(root, item);
	out_info->id = id;
	out_info->generation = le64_get(item->generation);
	out_info->flags = le64_get(item->flags);
	memcpy(out_info->uuid, item->uuid, 16);
	memcpy(out_info->parent_uuid, item->parent_uuid, 16);
	memcpy(out_info->received_uuid, item->received_uuid, 16);
	out_info->ctransid = le64_get(item->ctransid);
	out_info->otransid = le64_get(item->otransid);
	out_info->stransid = le64_get(item->stransid);
	out_info->rtransid = le64_get(item->rtransid);
	out_info->ctime = ino_time(&item->ctime);
	out_info->otime = ino_time(&item->otime);
	out_info->stime = ino_time(&item->stime);
	out_info->rtime = ino_time(&item->rtime);
	if (id == BTRFS_FS_TREE_OBJECTID)
		return 0;
	err = root_backref(&efs->fs, id, &out_info->parent_id, &out_info->dirid, out_info->name);
	return err == -ENOENT ? 0 : err;
}
