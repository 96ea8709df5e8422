// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The reference model against a filesystem: an answer, a script, all that is there. See model.h.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "ondisk/format_const.h"
#include "tests/lib/blk.h"
#include "tests/lib/model_priv.h"

static model_op *const table[OP_KINDS] = {
	[OP_CREATE] = model_op_new,	     [OP_MKDIR] = model_op_new,
	[OP_MKNOD] = model_op_new,	     [OP_SYMLINK] = model_op_new,
	[OP_LINK] = model_op_link,	     [OP_UNLINK] = model_op_unlink,
	[OP_RMDIR] = model_op_rmdir,	     [OP_RENAME] = model_op_rename,
	[OP_CHMOD] = model_op_chmod,	     [OP_CHOWN] = model_op_chown,
	[OP_UTIMES] = model_op_utimes,	     [OP_CHATTR] = model_op_chattr,
	[OP_SETXATTR] = model_op_setxattr,   [OP_RMXATTR] = model_op_rmxattr,
	[OP_SETPROP] = model_op_setprop,     [OP_RMPROP] = model_op_rmprop,
	[OP_WRITE] = model_op_write,	     [OP_TRUNCATE] = model_op_truncate,
	[OP_SYNC] = model_op_sync,	     [OP_STAT] = model_op_stat,
	[OP_READDIR] = model_op_readdir,     [OP_READ] = model_op_read,
	[OP_READLINK] = model_op_readlink,   [OP_GETXATTR] = model_op_getxattr,
	[OP_LISTXATTR] = model_op_listxattr, [OP_HOLD] = model_op_hold,
	[OP_DROP] = model_op_drop,
	[OP_REOPEN] = model_op_reopen,
};

static __attribute__((format(printf, 2, 3))) bool wrong(struct model *m, const char *form, ...)
{
	va_list args;

	va_start(args, form);
	vsnprintf(m->why, sizeof(m->why), form, args);
	va_end(args);
	return false;
}

static const char *errno_text(int err)
{
	return err ? strerrorname_np(-err) : "success";
}

static bool same_u64(struct model *m, const char *what, uint64_t got, uint64_t want)
{
	if (got == want)
		return true;
	return wrong(m, "%s: %llu (0%llo), expected %llu (0%llo)", what, (unsigned long long)got,
		     (unsigned long long)got, (unsigned long long)want, (unsigned long long)want);
}

static bool same_time(struct model *m, const char *what, const struct op_time *got,
		      const struct model_time *want)
{
	const bool before =
		got->sec < want->t.sec || (got->sec == want->t.sec && got->ns < want->t.ns);
	const bool equal = got->sec == want->t.sec && got->ns == want->t.ns;

	if (want->how == TIME_ANY || (want->how == TIME_SINCE && !before) ||
	    (want->how == TIME_EXACT && equal))
		return true;
	return wrong(m, "%s: %ld.%09ld, expected %s %ld.%09ld", what, got->sec, got->ns,
		     want->how == TIME_EXACT ? "exactly" : "not before", want->t.sec, want->t.ns);
}

/* Linux gives up compressing a file for good when it has not helped. */
static uint32_t seen_flags(uint32_t flags, const struct model_inode *i)
{
	if (S_ISREG(i->mode) && i->flags & BTRFS_INODE_COMPRESS && flags & BTRFS_INODE_NOCOMPRESS)
		return (flags & ~BTRFS_INODE_NOCOMPRESS) | BTRFS_INODE_COMPRESS;
	return flags;
}

static bool same_attr(struct model *m, const struct res_attr *got, const struct model_inode *i)
{
	const bool plain = S_ISREG(i->mode) || S_ISDIR(i->mode);
	const bool device = S_ISCHR(i->mode) || S_ISBLK(i->mode);

	if (!same_u64(m, "mode", got->mode, i->mode) || !same_u64(m, "uid", got->uid, i->uid) ||
	    !same_u64(m, "gid", got->gid, i->gid) || !same_u64(m, "inode number", got->ino, i->ino))
		return false;
	if (plain && !same_u64(m, "flags", seen_flags(got->flags, i), i->flags & OP_SEEN_FLAGS))
		return false;
	if (device && (!same_u64(m, "major", got->major, i->major) ||
		       !same_u64(m, "minor", got->minor, i->minor)))
		return false;
	if (i->shared) /* others change it */
		return true;
	return same_u64(m, "size", got->size, i->size) &&
	       same_u64(m, "nlink", got->nlink, i->nlink) &&
	       same_time(m, "atime", &got->atime, &i->atime) &&
	       same_time(m, "mtime", &got->mtime, &i->mtime) &&
	       same_time(m, "ctime", &got->ctime, &i->ctime);
}

static void put_text(char *out, size_t room, const uint8_t *data, size_t len)
{
	size_t at = 0;

	for (size_t i = 0; i < len && at + 5 < room; i++)
		at += (size_t)snprintf(out + at, room - at,
				       data[i] > ' ' && data[i] < 127 ? "%c" : "\\%x", data[i]);
	out[at] = 0;
}

static bool same_data(struct model *m, const struct res *got, const struct want *want)
{
	char ours[100] = "", theirs[100] = "";
	size_t at = 0;

	while (at < got->len && at < want->len &&
	       got->data[at] == ((const uint8_t *)want->data)[at])
		at++;
	if (at == got->len && at == want->len)
		return true;
	/* Either may be nowhere when it is empty. */
	if (at < got->len)
		put_text(theirs, sizeof(theirs), got->data + at, got->len - at);
	if (at < want->len)
		put_text(ours, sizeof(ours), (const uint8_t *)want->data + at, want->len - at);
	return wrong(m, "data: %zu bytes, expected %zu, differs at %zu: \"%s\", expected \"%s\"",
		     got->len, want->len, at, theirs, ours);
}

bool model_step(struct model *m, const struct op *op, const struct res *got,
		const struct op_time *began)
{
	struct res text = { 0 };
	struct want want = { .text = &text };
	const int err = table[op->kind](m, op, got->err, began, &want);
	bool ok = true;

	if (err != got->err)
		ok = wrong(m, "%s, expected %s", errno_text(got->err), errno_text(err));
	if (ok && want.attr) {
		struct model_inode *i = (struct model_inode *)want.attr;

		if (!i->ino)
			i->ino = got->attr.ino;
		ok = got->has_attr ? same_attr(m, &got->attr, i) : wrong(m, "no attributes");
	}
	if (ok && !err && (want.data || want.len || got->len))
		ok = same_data(m, got, &want);
	res_free(&text);
	return ok;
}

bool model_apply(struct model *m, struct backend *b, const struct op *op, struct res *scratch)
{
	struct timespec now;
	struct op_time began;

	/* The clock that Linux stamps with is behind the exact one. */
	clock_gettime(m->limits.exact_clock ? CLOCK_REALTIME : CLOCK_REALTIME_COARSE, &now);
	began = (struct op_time){ now.tv_sec, now.tv_nsec };
	res_reset(scratch);
	b->apply(b, op, scratch);
	return model_step(m, op, scratch, &began);
}

size_t model_run(struct model *m, struct backend *b, const struct script *s)
{
	struct res res = { 0 };
	size_t i = 0;

	while (i < s->nr && model_apply(m, b, &s->v[i], &res))
		i++;
	res_free(&res);
	return i;
}

/* ---- a model as a filesystem ---- */

struct as_backend {
	struct backend b;
	struct model *m;
};

static struct op_time some_time(const struct model_time *t)
{
	return t->how == TIME_ANY ? (struct op_time){ INT64_MAX, 0 } : t->t;
}

static void answer(struct backend *b, const struct op *op, struct res *out_res)
{
	struct model *m = ((struct as_backend *)b)->m;
	struct res text = { 0 };
	struct want want = { .text = &text };
	struct timespec now;
	const struct model_inode *i;

	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	out_res->err =
		table[op->kind](m, op, 0, &(struct op_time){ now.tv_sec, now.tv_nsec }, &want);
	i = want.attr;
	if (i && !out_res->err) {
		out_res->has_attr = true;
		out_res->attr = (struct res_attr){
			.ino = (uintptr_t)i,
			.size = i->size,
			.mode = i->mode,
			.uid = i->uid,
			.gid = i->gid,
			.nlink = i->nlink,
			.major = i->major,
			.minor = i->minor,
			.flags = i->flags & OP_SEEN_FLAGS,
			.atime = some_time(&i->atime),
			.mtime = some_time(&i->mtime),
			.ctime = some_time(&i->ctime),
		};
	}
	if (!out_res->err)
		res_put(out_res, want.data, want.len);
	res_free(&text);
}

static void answer_destroy(struct backend *b)
{
	free(b);
}

struct backend *backend_model(struct model *m)
{
	struct as_backend *a = blk_must(calloc(1, sizeof(*a)));

	*a = (struct as_backend){ { answer, answer_destroy }, m };
	return &a->b;
}

/* ---- all that is there ---- */

struct verify {
	struct model *m;
	struct backend *b;
	struct res res;
	char path[OP_NAME_ROOM];
	char name[OP_NAME_ROOM];
};

static bool look(struct verify *v, enum op_kind kind, const char *name)
{
	struct op op = { .kind = kind, .path = v->path, .name = (char *)name };
	char before[sizeof(v->m->why)];

	if (model_apply(v->m, v->b, &op, &v->res))
		return true;
	memcpy(before, v->m->why, sizeof(before));
	return wrong(v->m, "%s %.200s %.60s: %.200s", op_kind_name(kind), v->path, name ? name : "",
		     before);
}

static bool look_at(struct verify *v, struct model_inode *i)
{
	if (!look(v, OP_STAT, NULL) || (!i->shared && !look(v, OP_LISTXATTR, NULL)))
		return false;
	for (uint32_t k = 0; k < i->xattrs_nr; k++)
		if (!look(v, OP_GETXATTR, i->xattrs[k].name))
			return false;
	if (S_ISREG(i->mode))
		return look(v, OP_READ, NULL);
	if (S_ISLNK(i->mode))
		return look(v, OP_READLINK, NULL);
	return !S_ISDIR(i->mode) || i->shared || look(v, OP_READDIR, NULL);
}

/*
 * v->path is the directory's; names are as they are, no token: none of the generator's expands to
 * one. Deep paths would be longer than Linux takes, so they start in a slot.
 */
static bool look_below(struct verify *v, struct model_inode *dir)
{
	const size_t len = strlen(v->path);

	for (uint32_t k = 0; k < dir->names_nr; k++) {
		const struct model_name *n = &dir->names[k];

		if (len + n->len + 2 > 3800)
			return wrong(v->m, "a path too long for the model: %.200s", v->path);
		sprintf(v->path + len, "/%s", n->name);
		if (len == 1 && v->path[0] == '.')
			strcpy(v->path, n->name);
		if (!look_at(v, n->inode) || (S_ISDIR(n->inode->mode) && !look_below(v, n->inode)))
			return false;
		v->path[len] = 0;
		if (len == 1)
			strcpy(v->path, dir->shared ? "$" : ".");
	}
	return true;
}

bool model_verify(struct model *m, struct backend *b)
{
	struct verify v = { .m = m, .b = b };
	bool ok = true;

	for (unsigned k = 0; k < 2 && ok; k++) {
		struct model_inode *top = k ? m->shared : m->root;

		strcpy(v.path, k ? "$" : ".");
		/* A script without others has no "$". */
		ok = (k && !top->names_nr) || (look_at(&v, top) && look_below(&v, top));
	}
	for (unsigned k = 0; k < OP_SLOTS && ok; k++) {
		sprintf(v.path, "@%u", k);
		ok = !m->slots[k] || look_at(&v, m->slots[k]);
	}
	res_free(&v.res);
	return ok;
}
