// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Operations by engine.h. What Linux checks above a filesystem, and a front end of ours leaves to it, is done here:
 * the way along a path, chmod of a symlink, which flags chattr sets on what.
 */
#include "tests/lib/backend_engine.h"

#include <errno.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "ondisk/format_const.h"
#include "tests/lib/blk.h"

#define BUF (128u << 10)
#define PROP "btrfs.compression"

struct engine {
	struct backend b;
	struct eng_fs *fs;
	struct eng_ino top, shared, slots[OP_SLOTS]; /* ino 0: none */
	char *buf;
};

/* ---- paths ---- */

static int start(struct engine *e, const char *path, struct eng_ino *out_id, const char **out_rest)
{
	unsigned slot;
	char where;

	if (!op_start(path, &where, &slot, out_rest))
		return -EINVAL;
	*out_id = where == '@' ? e->slots[slot] : where == '$' ? e->shared : e->top;
	return out_id->ino ? 0 : OP_ERR_SLOT;
}

/* What a component is looked for in must be a directory. */
static int on_the_way(uint32_t mode)
{
	return S_ISDIR(mode) ? 0 : S_ISLNK(mode) ? -ELOOP : -ENOTDIR;
}

/* With `last`, up to the last component, which goes there; without, the inode itself. */
static int walk(struct engine *e, const char *path, struct eng_attr *out_attr, char *last)
{
	char name[OP_NAME_ROOM];
	struct eng_ino id;
	size_t len;
	int err = start(e, path, &id, &path);

	if (!err)
		err = eng_getattr(e->fs, id, out_attr);
	while (!err && (len = op_component(&path, name))) {
		err = on_the_way(out_attr->mode);
		if (!err && last && !*path) {
			memcpy(last, name, len + 1);
			return 0;
		}
		id = out_attr->id;
		if (!err)
			err = eng_lookup(e->fs, id, name, len, out_attr);
	}
	return err || !last ? err : -EINVAL;
}

/* ---- attributes ---- */

static void put_attr(const struct eng_attr *a, struct res *res)
{
	res->has_attr = true;
	res->attr = (struct res_attr){
		.ino = a->id.ino,
		.size = a->size,
		.mode = a->mode,
		.uid = a->uid,
		.gid = a->gid,
		.nlink = a->nlink,
		.major = major(a->rdev),
		.minor = minor(a->rdev),
		.flags = (uint32_t)a->flags & OP_SEEN_FLAGS,
		.atime = { a->atime.tv_sec, a->atime.tv_nsec },
		.mtime = { a->mtime.tv_sec, a->mtime.tv_nsec },
		.ctime = { a->ctime.tv_sec, a->ctime.tv_nsec },
	};
}

static int look_again(struct engine *e, struct eng_ino id, struct res *res)
{
	struct eng_attr a;
	int err = eng_getattr(e->fs, id, &a);

	if (!err)
		put_attr(&a, res);
	return err;
}

/* ---- operations on names ---- */

static int do_new(struct engine *e, const struct op *op, struct res *res)
{
	static const uint32_t types[] = {
		[OP_CREATE] = S_IFREG,
		[OP_MKDIR] = S_IFDIR,
		[OP_MKNOD] = 0,
		[OP_SYMLINK] = S_IFLNK | 0777,
	};
	char name[OP_NAME_ROOM], target[OP_NAME_ROOM];
	struct eng_new what = { .mode = types[op->kind] | (uint32_t)op->n[0] };
	struct eng_attr dir, a;
	int err = walk(e, op->path, &dir, name);

	if (err)
		return err;
	if (op->kind == OP_MKNOD)
		what.rdev = makedev((unsigned)op->n[1], (unsigned)op->n[2]);
	if (op->kind == OP_SYMLINK) {
		what.target_len = op_expand(op->name, strlen(op->name), target);
		what.target = target;
	}
	err = eng_create(e->fs, dir.id, name, strlen(name), &what, &a);
	if (!err)
		put_attr(&a, res);
	return err;
}

static int do_link(struct engine *e, const struct op *op, struct res *res)
{
	char name[OP_NAME_ROOM];
	struct eng_attr from, dir, a;
	int err = walk(e, op->path, &from, NULL);

	if (!err)
		err = walk(e, op->to, &dir, name);
	/* Linux looks for the new name first. */
	if (!err) {
		err = eng_lookup(e->fs, dir.id, name, strlen(name), &a);
		err = !err ? -EEXIST : err == -ENOENT ? 0 : err;
	}
	/* To the engine it could be a temporary file. */
	if (!err && !from.nlink && !S_ISDIR(from.mode))
		err = -ENOENT;
	if (!err)
		err = eng_link(e->fs, from.id, dir.id, name, strlen(name), &a);
	if (!err)
		put_attr(&a, res);
	return err;
}

static int do_remove(struct engine *e, const struct op *op)
{
	char name[OP_NAME_ROOM];
	struct eng_attr dir;
	int err = walk(e, op->path, &dir, name);

	if (err)
		return err;
	return op->kind == OP_RMDIR ? eng_rmdir(e->fs, dir.id, name, strlen(name)) :
				      eng_unlink(e->fs, dir.id, name, strlen(name));
}

static int do_rename(struct engine *e, const struct op *op)
{
	char from[OP_NAME_ROOM], to[OP_NAME_ROOM];
	struct eng_attr from_dir, to_dir;
	int err = 0;

	if (op->flags & RENAME_EXCHANGE && op->flags & (RENAME_NOREPLACE | RENAME_WHITEOUT))
		return eng_rename(e->fs, e->top, "a", 1, e->top, "b", 1, op->flags);
	err = walk(e, op->path, &from_dir, from);
	if (!err)
		err = walk(e, op->to, &to_dir, to);
	return err ? err : eng_rename(e->fs, from_dir.id, from, strlen(from), to_dir.id, to, strlen(to),
				      op->flags);
}

/* ---- operations on inodes ---- */

static int set_attr(struct engine *e, const struct op *op, const struct eng_attr *now, struct res *res)
{
	struct eng_attr in = *now, out;
	uint32_t change = OP_CHATTR_FLAGS;
	unsigned set = 0;
	int err;

	switch (op->kind) {
	case OP_CHMOD:
		set = ENG_SET_MODE;
		in.mode = (now->mode & S_IFMT) | (uint32_t)op->n[0];
		if (S_ISLNK(now->mode))
			return -EOPNOTSUPP;
		break;
	case OP_CHOWN:
		set = ENG_SET_UID | ENG_SET_GID;
		in.uid = (uint32_t)op->n[0];
		in.gid = (uint32_t)op->n[1];
		break;
	case OP_UTIMES:
		set = ENG_SET_ATIME | ENG_SET_MTIME;
		in.atime = (struct timespec){ op->n[0], op->n[1] };
		in.mtime = (struct timespec){ op->n[2], op->n[3] };
		break;
	case OP_CHATTR:
		set = ENG_SET_FLAGS;
		if (!(S_ISREG(now->mode) || S_ISDIR(now->mode)) ||
		    now->flags & (BTRFS_INODE_COMPRESS | BTRFS_INODE_NOCOMPRESS))
			return -EINVAL;
		if (S_ISREG(now->mode))
			change &= ~BTRFS_INODE_DIRSYNC;
		/* Of a file both or none: it is the engine's to set the other one. */
		in.flags = (now->flags & ~(uint64_t)(change | BTRFS_INODE_NODATASUM)) |
			   (op->flags & change);
		break;
	default:
		set = ENG_SET_SIZE;
		in.size = (uint64_t)op->n[0];
	}
	err = eng_setattr(e->fs, now->id, set, &in, &out);
	if (!err)
		put_attr(&out, res);
	return err;
}

static int do_write(struct engine *e, const struct op *op, const struct eng_attr *now, struct res *res)
{
	ssize_t n;

	if ((uint64_t)op->n[1] > BUF)
		abort();
	op_pattern((uint32_t)op->n[2], e->buf, (size_t)op->n[1]);
	n = eng_write(e->fs, now->id, (uint64_t)op->n[0], e->buf, (size_t)op->n[1]);
	if (n < 0)
		return (int)n;
	return n == op->n[1] ? look_again(e, now->id, res) : -EIO;
}

static int do_setxattr(struct engine *e, const struct op *op, const struct eng_attr *now)
{
	const struct eng_ino id = now->id;
	char name[OP_NAME_ROOM];

	/* Linux ignores a property there. */
	if ((op->kind == OP_SETPROP || op->kind == OP_RMPROP) && !S_ISREG(now->mode) &&
	    !S_ISDIR(now->mode))
		return -EINVAL;
	switch (op->kind) {
	case OP_SETPROP:
		return eng_setxattr(e->fs, id, PROP, op->name, strlen(op->name), 0);
	case OP_RMPROP:
		return eng_removexattr(e->fs, id, PROP);
	case OP_RMXATTR:
		op_expand(op->name, strlen(op->name), name);
		return eng_removexattr(e->fs, id, name);
	default:
		op_expand(op->name, strlen(op->name), name);
		if (op->n[0] <= BUF)
			op_pattern((uint32_t)op->n[1], e->buf, (size_t)op->n[0]);
		return eng_setxattr(e->fs, id, name, e->buf, (size_t)op->n[0], (int)op->flags);
	}
}

/* ---- looking ---- */

static int put_entry(void *arg, const struct eng_dirent *ent)
{
	struct res *res = arg;
	char line[300];

	if (ent->name[0] == '.' && (ent->len == 1 || (ent->len == 2 && ent->name[1] == '.')))
		return 0;
	res_put(res, line,
		(size_t)snprintf(line, sizeof(line), "%u %.*s", ent->type, (int)ent->len, ent->name) + 1);
	return 0;
}

static int do_read(struct engine *e, const struct eng_attr *now, struct res *res)
{
	struct eng_file *f;
	ssize_t n;
	int err = eng_file_open(e->fs, now->id, &f);

	if (err)
		return err;
	n = eng_file_read(f, 0, e->buf, OP_READ_MAX);
	eng_file_close(f);
	if (n > 0)
		res_put(res, e->buf, (size_t)n);
	return n < 0 ? (int)n : 0;
}

static int do_look(struct engine *e, const struct op *op, const struct eng_attr *now, struct res *res)
{
	char name[OP_NAME_ROOM];
	ssize_t n;

	switch (op->kind) {
	case OP_STAT:
		put_attr(now, res);
		return 0;
	case OP_READDIR:
		return S_ISDIR(now->mode) ? eng_readdir(e->fs, now->id, 0, put_entry, res) :
					    on_the_way(now->mode);
	case OP_READ:
		return do_read(e, now, res);
	case OP_READLINK:
		n = eng_readlink(e->fs, now->id, e->buf, BUF);
		break;
	case OP_GETXATTR:
		/* Linux takes no longer name in. */
		if (op_expand(op->name, strlen(op->name), name) > 255)
			return -ERANGE;
		n = eng_getxattr(e->fs, now->id, name, e->buf, BUF);
		break;
	default:
		n = eng_listxattr(e->fs, now->id, e->buf, BUF);
	}
	if (n < 0)
		return (int)n;
	res_put(res, e->buf, (size_t)n);
	if (op->kind == OP_LISTXATTR)
		res_sort(res);
	return 0;
}

static int do_hold(struct engine *e, const struct op *op, struct res *res)
{
	struct eng_ino *slot = &e->slots[op->n[0]];
	struct eng_attr a;
	int err;

	if (op->kind == OP_DROP) {
		if (!slot->ino)
			return OP_ERR_SLOT;
		eng_unref(e->fs, *slot, 1);
		*slot = (struct eng_ino){ 0 };
		return 0;
	}
	if (slot->ino)
		return OP_ERR_HELD;
	if (!strcmp(op->path, "$"))
		return -EINVAL;
	err = walk(e, op->path, &a, NULL);
	if (!err && S_ISLNK(a.mode))
		err = -EINVAL;
	if (!err)
		err = eng_ref(e->fs, a.id);
	if (err)
		return err;
	*slot = a.id;
	put_attr(&a, res);
	return 0;
}

static int on_inode(struct engine *e, const struct op *op, struct res *res)
{
	struct eng_attr now;
	int err = walk(e, op->path, &now, NULL);

	if (err)
		return err;
	switch (op->kind) {
	case OP_CHMOD:
	case OP_CHOWN:
	case OP_UTIMES:
	case OP_CHATTR:
	case OP_TRUNCATE:
		return set_attr(e, op, &now, res);
	case OP_WRITE:
		return do_write(e, op, &now, res);
	case OP_SETXATTR:
	case OP_RMXATTR:
	case OP_SETPROP:
	case OP_RMPROP:
		return do_setxattr(e, op, &now);
	default:
		return do_look(e, op, &now, res);
	}
}

static int drop_slots(struct engine *e)
{
	for (unsigned i = 0; i < OP_SLOTS; i++)
		if (e->slots[i].ino)
			eng_unref(e->fs, e->slots[i], 1);
	memset(e->slots, 0, sizeof(e->slots));
	return 0;
}

static int apply(struct engine *e, const struct op *op, struct res *res)
{
	switch (op->kind) {
	case OP_CREATE:
	case OP_MKDIR:
	case OP_MKNOD:
	case OP_SYMLINK:
		return do_new(e, op, res);
	case OP_UNLINK:
	case OP_RMDIR:
		return do_remove(e, op);
	case OP_LINK:
		return do_link(e, op, res);
	case OP_RENAME:
		return do_rename(e, op);
	case OP_SYNC:
		return eng_sync(e->fs);
	case OP_HOLD:
	case OP_DROP:
		return do_hold(e, op, res);
	case OP_REOPEN:
		return drop_slots(e);
	default:
		return on_inode(e, op, res);
	}
}

static void engine_apply(struct backend *b, const struct op *op, struct res *out_res)
{
	out_res->err = apply((struct engine *)b, op, out_res);
}

static void engine_destroy(struct backend *b)
{
	struct engine *e = (struct engine *)b;

	drop_slots(e);
	free(e->buf);
	free(e);
}

struct backend *backend_engine(struct eng_fs *fs, struct eng_ino top, const struct eng_ino *shared)
{
	struct engine *e = blk_must(calloc(1, sizeof(*e)));

	*e = (struct engine){
		.b = { engine_apply, engine_destroy },
		.fs = fs,
		.top = top,
		.shared = shared ? *shared : (struct eng_ino){ 0 },
		.buf = blk_must(malloc(BUF)),
	};
	return &e->b;
}
