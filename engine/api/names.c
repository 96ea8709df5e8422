// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Directories: lookup, reading, parents, paths; over the borders of subvolumes.
 *
 * An entry that points to a subvolume is entered only if that subvolume says that it is at this very entry.
 * Otherwise the directory was copied by a snapshot and the entry is a stub: an empty directory.
 */
#include "engine/api/api_priv.h"

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

/* Positions of the two entries that are not stored; real indexes start at 2. */
enum {
	POS_DOT = 0,
	POS_DOTDOT = 1,
	POS_FIRST = 2,
};

/*
 * A subvolume may have several stubs of another one, each where that stood when a snapshot was made. FNV-1a
 * over where this one is: the same at every mount.
 */
static uint64_t stub_key(uint64_t dir, const char *name, size_t len)
{
	uint64_t h = 0xcbf29ce484222325ull ^ dir;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (uint8_t)name[i]) * 0x100000001b3ull;
	return h | 1;
}

/* Where an entry leads. *out_stub_key is 0, or of the stub that it is. */
static int resolve_target(struct eng_fs *efs, struct eng_ino dir, const char *name, size_t len,
			  const struct dir_target *target, struct eng_ino *out_id,
			  uint64_t *out_stub_key)
{
	const uint64_t subvol = dir.subvol;
	const struct root *root;
	int ret;

	*out_stub_key = 0;
	*out_id = (struct eng_ino){ subvol, target->id };
	if (!target->is_subvol)
		return 0;
	ret = root_is_at(&efs->fs, subvol, target->id, dir.ino, name, len);
	if (ret > 0)
		ret = root_get(&efs->fs, target->id, &root) ?: 1;
	if (ret > 0) {
		*out_id = (struct eng_ino){ target->id, root->root_dirid };
		return 0;
	}
	if (ret && ret != -ENOENT)
		return ret;
	if (ret == -ENOENT)
		msg_warn(efs->fs.msg, "subvolume %llu: subvolume %llu is referred to and not there: "
			 "shown as an empty directory",
			 (unsigned long long)subvol, (unsigned long long)target->id);
	*out_id = (struct eng_ino){ subvol, ENG_STUB_INO };
	*out_stub_key = stub_key(dir.ino, name, len);
	return 0;
}

/* An entry says what it leads to, and so does the inode: if they differ, one of them was overwritten. */
static int check_type(struct eng_fs *efs, struct eng_ino dir, uint8_t entry_type, const struct eng_attr *attr)
{
	uint8_t type = BTRFS_FT_UNKNOWN;

	switch (attr->mode & S_IFMT) {
	case S_IFREG:
		type = BTRFS_FT_REG_FILE;
		break;
	case S_IFDIR:
		type = BTRFS_FT_DIR;
		break;
	case S_IFCHR:
		type = BTRFS_FT_CHRDEV;
		break;
	case S_IFBLK:
		type = BTRFS_FT_BLKDEV;
		break;
	case S_IFIFO:
		type = BTRFS_FT_FIFO;
		break;
	case S_IFSOCK:
		type = BTRFS_FT_SOCK;
		break;
	case S_IFLNK:
		type = BTRFS_FT_SYMLINK;
		break;
	}
	if (type == entry_type)
		return 0;
	return msg_corrupt(efs->fs.msg,
			   "subvolume %llu directory %llu: an entry of type %u leads to inode %llu of mode 0%o",
			   (unsigned long long)dir.subvol, (unsigned long long)dir.ino, entry_type,
			   (unsigned long long)attr->id.ino, attr->mode);
}

/* A stub has no inode item: it looks like its directory, empty and read-only. */
static int stub_attr(struct eng_fs *efs, struct eng_ino dir, uint64_t key, struct eng_attr *out_attr)
{
	int err = eng_getattr(efs, dir, out_attr);

	if (err)
		return err;
	out_attr->id.ino = ENG_STUB_INO;
	out_attr->stub_key = key;
	out_attr->mode = S_IFDIR | 0755;
	out_attr->nlink = 1;
	out_attr->size = 0;
	out_attr->bytes = 0;
	out_attr->flags = 0;
	out_attr->ro_flags = 0;
	out_attr->otime = out_attr->mtime;
	return 0;
}

/*
 * An entry that is not there, looked for again under the directory's lock: while one is renamed onto another there is
 * a moment without either.
 */
static int lookup_again(struct eng_fs *efs, const struct root *root, uint64_t dir, const char *name, size_t len,
			struct dir_target *out_target)
{
	struct ilock *l = ilock_get(api_locks(efs), (struct eng_ino){ root->bt.id, dir });
	int err;

	if (!l)
		return -ENOMEM;
	pthread_rwlock_rdlock(&l->lock);
	err = dir_lookup(&efs->fs, root, dir, name, len, out_target);
	pthread_rwlock_unlock(&l->lock);
	ilock_put(api_locks(efs), l);
	return err;
}

int eng_lookup(struct eng_fs *efs, struct eng_ino dir, const char *name, size_t len,
	       struct eng_attr *out_attr)
{
	const struct root *root;
	struct dir_target target;
	struct eng_ino id;
	uint64_t key;
	int err;

	if (len == 1 && name[0] == '.')
		return eng_getattr(efs, dir, out_attr);
	if (len == 2 && name[0] == '.' && name[1] == '.') {
		err = eng_parent(efs, dir, &id);
		return err ? err : eng_getattr(efs, id, out_attr);
	}
	if (len > BTRFS_NAME_LEN)
		return -ENAMETOOLONG;
	err = root_get(&efs->fs, dir.subvol, &root);
	if (!err)
		err = dir_lookup(&efs->fs, root, dir.ino, name, len, &target);
	if (err == -ENOENT && efs->rw)
		err = lookup_again(efs, root, dir.ino, name, len, &target);
	if (!err)
		err = resolve_target(efs, dir, name, len, &target, &id, &key);
	if (err)
		return err;
	err = key ? stub_attr(efs, dir, key, out_attr) : eng_getattr(efs, id, out_attr);
	return err ? err : check_type(efs, dir, target.type, out_attr);
}

/* The same for a directory that is being moved. */
static int parent_again(struct eng_fs *efs, const struct root *root, uint64_t ino, uint64_t *out_parent, char name[256])
{
	struct ilock *l = ilock_get(api_locks(efs), (struct eng_ino){ root->bt.id, ino });
	int err;

	if (!l)
		return -ENOMEM;
	pthread_rwlock_rdlock(&l->lock);
	err = ino_parent(&efs->fs, root, ino, out_parent, name);
	pthread_rwlock_unlock(&l->lock);
	ilock_put(api_locks(efs), l);
	return err;
}

int eng_parent(struct eng_fs *efs, struct eng_ino dir, struct eng_ino *out_parent)
{
	const struct root *root;
	char name[256];
	uint64_t parent, parent_dir;
	int err = root_get(&efs->fs, dir.subvol, &root);

	if (err)
		return err;
	if (dir.ino != root->root_dirid) {
		err = ino_parent(&efs->fs, root, dir.ino, &parent_dir, name);
		if (err == -ENOENT && efs->rw)
			err = parent_again(efs, root, dir.ino, &parent_dir, name);
		*out_parent = (struct eng_ino){ dir.subvol, parent_dir };
		return err;
	}
	*out_parent = dir;
	if (dir.subvol == BTRFS_FS_TREE_OBJECTID)
		return 0;
	err = root_backref(&efs->fs, dir.subvol, &parent, &parent_dir, name);
	if (!err)
		*out_parent = (struct eng_ino){ parent, parent_dir };
	return err;
}

struct readdir_state {
	struct eng_fs *efs;
	struct eng_ino dir;
	int (*fn)(void *arg, const struct eng_dirent *ent);
	void *arg;
};

static int readdir_entry(void *arg, uint64_t index, const char *name, size_t len,
			 const struct dir_target *target)
{
	/* By BTRFS_FT_*; a directory entry of type "xattr" does not pass the checks. */
	static const uint8_t dt[] = { DT_UNKNOWN, DT_REG, DT_DIR, DT_CHR, DT_BLK, DT_FIFO, DT_SOCK, DT_LNK };
	struct readdir_state *st = arg;
	struct eng_dirent ent = {
		.name = name,
		.len = len,
		.type = target->type < sizeof(dt) ? dt[target->type] : DT_UNKNOWN,
		.next = index + 1,
	};
	int err;

	/* The position behind it must be one that seekdir(3) can take, or the listing would start over. */
	if (index >= INT64_MAX)
		return msg_corrupt(st->efs->fs.msg,
				   "subvolume %llu directory %llu: an entry has index %llu, expected less than 2^63-1",
				   (unsigned long long)st->dir.subvol, (unsigned long long)st->dir.ino,
				   (unsigned long long)index);
	err = resolve_target(st->efs, st->dir, name, len, target, &ent.id, &ent.stub_key);
	return err ? err : st->fn(st->arg, &ent);
}

static int readdir_dots(struct readdir_state *st, uint64_t pos)
{
	struct eng_dirent ent = { .name = "..", .type = DT_DIR };

	for (; pos < POS_FIRST; pos++) {
		int ret = 0;

		ent.len = pos == POS_DOT ? 1 : 2;
		ent.next = pos + 1;
		ent.id = st->dir;
		/* A directory whose parent is gone (a deleted subvolume's) is its own. */
		if (pos == POS_DOTDOT && eng_parent(st->efs, st->dir, &ent.id))
			ent.id = st->dir;
		ret = st->fn(st->arg, &ent);
		if (ret)
			return ret;
	}
	return 0;
}

int eng_readdir(struct eng_fs *efs, struct eng_ino dir, uint64_t pos,
		int (*fn)(void *arg, const struct eng_dirent *ent), void *arg)
{
	struct readdir_state st = { efs, dir, fn, arg };
	const struct root *root;
	int ret = readdir_dots(&st, pos);

	if (ret || dir.ino == ENG_STUB_INO)
		return ret;
	ret = root_get(&efs->fs, dir.subvol, &root);
	if (ret)
		return ret;
	return dir_iterate(&efs->fs, root, dir.ino, pos < POS_FIRST ? POS_FIRST : pos, readdir_entry, &st);
}

int eng_path_lookup(struct eng_fs *efs, struct eng_ino from, const char *path, struct eng_attr *out_attr)
{
	int err = eng_getattr(efs, from, out_attr);

	while (!err) {
		size_t len;

		path += strspn(path, "/");
		len = strcspn(path, "/");
		if (!len)
			return 0;
		if (!S_ISDIR(out_attr->mode))
			return -ENOTDIR;
		if (out_attr->stub_key)
			return -ENOENT;
		err = eng_lookup(efs, out_attr->id, path, len, out_attr);
		path += len;
	}
	return err;
}
