// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Names that come and go: create, link, unlink, rmdir.
 *
 * Each checks what it was given, locks the inodes concerned, looks at what the directory's flags
 * forbid, and calls one function of file/. Who may do it is for the front end to know.
 */
#include "engine/api/api_priv.h"

#include "engine/file/change.h"

#include <assert.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

/* ---- names and their inodes ---- */

/* Under the directories' locks. */
static int look_up(struct eng_fs *efs, const struct root *root, struct api_name *names, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++) {
		struct api_name *n = &names[i];
		int err = dir_lookup(&efs->fs, root, n->dir.ino, n->name, n->len, &n->target);

		if (err && err != -ENOENT)
			return err;
		n->found = !err;
	}
	return 0;
}

static bool has_inode(const struct api_name *n)
{
	return n->found && !n->target.is_subvol;
}

int api_lock_names(struct eng_fs *efs, const struct root *root, struct api_name *names, unsigned nr,
		   struct ilock_set *out_set)
{
	struct eng_ino ids[ILOCK_MAX];
	unsigned id_nr = 0;

	assert(nr * 2 <= ILOCK_MAX);
	*out_set = (struct ilock_set){ 0 };
	for (unsigned i = 0; i < nr; i++)
		ids[id_nr++] = names[i].dir;
	for (;;) {
		int err = ilock_set_take(out_set, api_locks(efs), ids, id_nr);

		if (err)
			return err;
		err = look_up(efs, root, names, nr);
		for (unsigned i = 0; i < nr && !err; i++)
			if (has_inode(&names[i]))
				err = ilock_set_add(
					out_set,
					(struct eng_ino){ root->bt.id, names[i].target.id });
		if (!err)
			return 0;
		ilock_set_release(out_set);
		if (err != -EAGAIN)
			return err;
		/* The other way: with what they led to just now, in order. They may lead elsewhere
		 * by then. */
		id_nr = nr;
		for (unsigned i = 0; i < nr; i++)
			if (has_inode(&names[i]))
				ids[id_nr++] = (struct eng_ino){ root->bt.id, names[i].target.id };
	}
}

/* ---- create ---- */

static int check_new(const struct eng_new *what)
{
	switch (what->mode & S_IFMT) {
	case S_IFREG:
	case S_IFDIR:
	case S_IFIFO:
	case S_IFSOCK:
	case S_IFCHR:
	case S_IFBLK:
		return 0;
	case S_IFLNK:
		if (!what->target_len || memchr(what->target, '\0', what->target_len))
			return -EINVAL;
		return what->target_len < PATH_MAX ? 0 : -ENAMETOOLONG;
	default:
		return -EINVAL;
	}
}

static int create(struct eng_fs *efs, const struct root *root, struct eng_ino dir, const char *name,
		  size_t len, const struct eng_new *what, struct ino_attr *out_attr)
{
	const struct ino_new in = {
		.mode = what->mode,
		.uid = what->uid,
		.gid = what->gid,
		.rdev = what->rdev,
		.target = what->target,
		.target_len = what->target_len,
		.now = api_now(),
	};
	struct ino_attr attr;
	struct ilock_set set;
	int err = ilock_set_take(&set, api_locks(efs), &dir, 1);

	if (err)
		return err;
	err = api_check_dir(efs, root, dir.ino, false, &attr);
	if (!err)
		err = file_create(&efs->fs, root, dir.ino, name, len, &in, out_attr);
	ilock_set_release(&set);
	return err;
}

int eng_create(struct eng_fs *efs, struct eng_ino dir, const char *name, size_t len,
	       const struct eng_new *what, struct eng_attr *out_attr)
{
	const struct root *root;
	struct ino_attr attr;
	int err = api_check_name(name, len);

	if (!err)
		err = check_new(what);
	if (!err)
		err = api_may_change(efs, dir, &root);
	if (!err)
		err = create(efs, root, dir, name, len, what, &attr);
	if (!err)
		api_attr_from_ino(&efs->fs, dir.subvol, &attr, out_attr);
	return err;
}

/* ---- link ---- */

static int check_linked(struct eng_fs *efs, const struct root *root, uint64_t ino)
{
	struct ino_attr attr;
	int err = ino_load(&efs->fs, root, ino, &attr);

	if (err)
		return err;
	if (S_ISDIR(attr.mode) || attr.flags & (BTRFS_INODE_IMMUTABLE | BTRFS_INODE_APPEND))
		return -EPERM;
	/* What has lost its last name gets none again. */
	return attr.nlink ? 0 : -ENOENT;
}

static int link_locked(struct eng_fs *efs, const struct root *root, struct eng_ino id,
		       struct eng_ino dir, const char *name, size_t len, struct ino_attr *out_attr)
{
	const struct timespec now = api_now();
	struct ino_attr attr;
	int err = api_check_dir(efs, root, dir.ino, false, &attr);

	if (!err)
		err = check_linked(efs, root, id.ino);
	if (!err)
		err = file_link(&efs->fs, root, id.ino, dir.ino, name, len, &now, out_attr);
	return err;
}

int eng_link(struct eng_fs *efs, struct eng_ino id, struct eng_ino dir, const char *name,
	     size_t len, struct eng_attr *out_attr)
{
	const struct eng_ino both[] = { id, dir };
	const struct root *root;
	struct ilock_set set;
	struct ino_attr attr;
	int err = api_check_name(name, len);

	if (!err && id.subvol != dir.subvol)
		err = efs->rw ? -EXDEV : -EROFS;
	if (!err && id.ino == ENG_STUB_INO)
		err = -EPERM;
	if (!err)
		err = api_may_change(efs, dir, &root);
	if (!err)
		err = ilock_set_take(&set, api_locks(efs), both, 2);
	if (err)
		return err;
	err = link_locked(efs, root, id, dir, name, len, &attr);
	ilock_set_release(&set);
	if (!err)
		api_attr_from_ino(&efs->fs, dir.subvol, &attr, out_attr);
	return err;
}

/* ---- unlink, rmdir ---- */

/* What the directory's flags and the inode's own forbid. */
static int check_removal(struct eng_fs *efs, const struct root *root, const struct api_name *n,
			 bool rmdir)
{
	struct ino_attr attr;
	int err;

	if (!n->found)
		return -ENOENT;
	err = api_check_dir(efs, root, n->dir.ino, true, &attr);
	if (err)
		return err;
	if (n->target.is_subvol)
		return rmdir ? -EPERM : -EISDIR;
	err = ino_load(&efs->fs, root, n->target.id, &attr);
	if (err)
		return err;
	return attr.flags & (BTRFS_INODE_IMMUTABLE | BTRFS_INODE_APPEND) ? -EPERM : 0;
}

static int remove_name(struct eng_fs *efs, struct eng_ino dir, const char *name, size_t len,
		       bool rmdir)
{
	struct api_name n = { .dir = dir, .name = name, .len = len };
	const struct timespec now = api_now();
	const struct root *root;
	struct ilock_set set;
	uint64_t ino = 0;
	uint32_t left = 0;
	int err = api_check_name(name, len);

	if (!err)
		err = api_may_change(efs, dir, &root);
	if (!err)
		err = api_lock_names(efs, root, &n, 1, &set);
	if (err)
		return err;
	err = check_removal(efs, root, &n, rmdir);
	if (!err)
		err = file_unlink(&efs->fs, root, dir.ino, name, len, rmdir, &now, &ino, &left);
	/* Its data may take long: nobody needs to wait for it at the directory. */
	if (!err && !left) {
		ilock_set_drop(&set, dir);
		api_left(efs, root, ino);
	}
	ilock_set_release(&set);
	return err;
}

int eng_unlink(struct eng_fs *efs, struct eng_ino dir, const char *name, size_t len)
{
	return remove_name(efs, dir, name, len, false);
}

int eng_rmdir(struct eng_fs *efs, struct eng_ino dir, const char *name, size_t len)
{
	return remove_name(efs, dir, name, len, true);
}
