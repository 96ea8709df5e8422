// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The generator of operations. Names come from a small set, so that they collide; paths from
 * walking down the model at random, so that they mostly exist. A storm is a row of operations that
 * fills one item or directory.
 */
#include "tests/lib/opgen.h"

#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "ondisk/format_const.h"
#include "tests/lib/blk.h"
#include "tests/lib/simdisk.h"

#define DEPTH_MAX 9 /* with names of 255 bytes a path stays below Linux's 4096 */

static const struct opgen_mix mixes[] = {
	{ "default", { [OP_CREATE] = 20,   [OP_MKDIR] = 8,    [OP_MKNOD] = 3,	 [OP_SYMLINK] = 5,
		       [OP_LINK] = 8,	   [OP_UNLINK] = 12,  [OP_RMDIR] = 5,	 [OP_RENAME] = 16,
		       [OP_CHMOD] = 3,	   [OP_CHOWN] = 3,    [OP_UTIMES] = 3,	 [OP_CHATTR] = 2,
		       [OP_SETXATTR] = 12, [OP_RMXATTR] = 5,  [OP_SETPROP] = 1,	 [OP_RMPROP] = 1,
		       [OP_WRITE] = 12,	   [OP_TRUNCATE] = 5, [OP_SYNC] = 1,	 [OP_STAT] = 5,
		       [OP_READDIR] = 4,   [OP_READ] = 4,     [OP_READLINK] = 2, [OP_GETXATTR] = 3,
		       [OP_LISTXATTR] = 2, [OP_HOLD] = 2,     [OP_DROP] = 2 } },
	{ "names",
	  { [OP_CREATE] = 30,
	    [OP_MKDIR] = 12,
	    [OP_LINK] = 16,
	    [OP_UNLINK] = 20,
	    [OP_RMDIR] = 8,
	    [OP_RENAME] = 10,
	    [OP_READDIR] = 2,
	    [OP_SYNC] = 1 } },
	{ "renames",
	  { [OP_CREATE] = 10,
	    [OP_MKDIR] = 10,
	    [OP_LINK] = 5,
	    [OP_UNLINK] = 4,
	    [OP_RMDIR] = 4,
	    [OP_RENAME] = 60,
	    [OP_READDIR] = 5,
	    [OP_HOLD] = 1,
	    [OP_DROP] = 1 } },
	{ "attributes",
	  { [OP_CREATE] = 6,
	    [OP_MKDIR] = 4,
	    [OP_UNLINK] = 3,
	    [OP_RMDIR] = 2,
	    [OP_CHMOD] = 4,
	    [OP_CHOWN] = 4,
	    [OP_UTIMES] = 4,
	    [OP_CHATTR] = 4,
	    [OP_SETXATTR] = 40,
	    [OP_RMXATTR] = 16,
	    [OP_SETPROP] = 3,
	    [OP_RMPROP] = 2,
	    [OP_WRITE] = 20,
	    [OP_TRUNCATE] = 10,
	    [OP_READ] = 5,
	    [OP_GETXATTR] = 8,
	    [OP_LISTXATTR] = 4,
	    [OP_STAT] = 4 } },
	{ "slots",
	  { [OP_CREATE] = 15,
	    [OP_MKDIR] = 8,
	    [OP_LINK] = 8,
	    [OP_UNLINK] = 20,
	    [OP_RMDIR] = 12,
	    [OP_RENAME] = 12,
	    [OP_WRITE] = 8,
	    [OP_SETXATTR] = 6,
	    [OP_STAT] = 5,
	    [OP_READDIR] = 3,
	    [OP_HOLD] = 14,
	    [OP_DROP] = 8 } },
};

const struct opgen_mix *opgen_mix(const char *name)
{
	for (size_t i = 0; i < sizeof(mixes) / sizeof(*mixes); i++)
		if (!strcmp(mixes[i].name, name))
			return &mixes[i];
	return NULL;
}

static uint32_t below(struct opgen *g, uint32_t n)
{
	return (uint32_t)sim_below(&g->rng, n);
}

static bool one_in(struct opgen *g, uint32_t n)
{
	return !below(g, n);
}

/* ---- names ---- */

static void put_name(struct opgen *g, char *out, bool shared)
{
	const uint32_t kind = below(g, 100), part = shared ? g->threads : 1;
	const uint32_t hash = below(g, 4) * part + (shared ? g->thread : 0);
	uint32_t at; /* compilers differ in which argument is worked out first */

	if (kind < 14 && hash < 256) {
		sprintf(out, "hash%u.%u", below(g, 3), hash);
		return;
	}
	if (kind < 17 && hash < 256) {
		at = below(g, 2);
		sprintf(out, "hash%u.%u.%u", at, hash, 200 + below(g, 56));
		return;
	}
	if (shared)
		out += sprintf(out, "x%u.", g->thread);
	if (kind < 27) {
		at = below(g, 4);
		sprintf(out, "long%u.%u", at, one_in(g, 2) ? 255 : 100 + below(g, 155));
	} else if (kind < 28) {
		sprintf(out, "long0.%u", 256 + below(g, 40));
	} else if (kind < 80) {
		sprintf(out, "n%u", below(g, g->names_each));
	} else {
		sprintf(out, "u%u", g->serial++);
	}
}

/* Walks down, at most to a depth; returns the directory and its path. */
static const struct model_inode *walk_dir(struct opgen *g, char *path, unsigned depth,
					  bool *out_shared)
{
	const struct model_inode *dir = g->m->root;

	*out_shared = g->threads && one_in(g, 8);
	strcpy(path, *out_shared ? "$" : ".");
	if (*out_shared)
		dir = g->m->shared;
	for (; depth && dir->names_nr && !one_in(g, 4); depth--) {
		const struct model_name *n = NULL;

		for (unsigned tries = 0; tries < 6 && !n; tries++) {
			n = &dir->names[below(g, dir->names_nr)];
			if (!S_ISDIR(n->inode->mode))
				n = NULL;
		}
		if (!n)
			break;
		if (!strcmp(path, "."))
			strcpy(path, n->token);
		else
			sprintf(path + strlen(path), "/%s", n->token);
		dir = n->inode;
		*out_shared = false;
	}
	return dir;
}

static void join(char *path, const char *name)
{
	if (!strcmp(path, "."))
		strcpy(path, name);
	else
		sprintf(path + strlen(path), "/%s", name);
}

/* A directory: mostly by its path, sometimes by a slot, seldom what is none. */
static void put_dir(struct opgen *g, char *path, bool *out_shared)
{
	const struct model_inode *dir = walk_dir(g, path, DEPTH_MAX - 2, out_shared);

	if (one_in(g, 25)) {
		sprintf(path, "@%u", below(g, OP_SLOTS));
		*out_shared = false;
	} else if (one_in(g, 40) && dir->names_nr) {
		join(path, dir->names[below(g, dir->names_nr)].token);
		*out_shared = false;
	}
}

/* For a name that is to be made: mostly not there yet. */
static void put_new(struct opgen *g, char *path)
{
	char name[64];
	bool shared;

	put_dir(g, path, &shared);
	put_name(g, name, shared);
	join(path, name);
}

static bool matches(const struct model_inode *i, uint32_t type)
{
	return !type || (i->mode & S_IFMT) == type;
}

/* For a name that is to be there, of this type (0: any). */
static void put_old(struct opgen *g, char *path, uint32_t type)
{
	for (unsigned tries = 0; tries < 8 && !one_in(g, 12); tries++) {
		bool shared;
		const struct model_inode *dir = walk_dir(g, path, DEPTH_MAX - 2, &shared);

		for (unsigned k = 0; k < 8 && dir->names_nr; k++) {
			const struct model_name *n = &dir->names[below(g, dir->names_nr)];

			if (!matches(n->inode, type) && !one_in(g, 30))
				continue;
			join(path, n->token);
			return;
		}
	}
	put_new(g, path);
}

/* An inode to be changed: by its path, or by a slot. */
static void put_inode(struct opgen *g, char *path, uint32_t type)
{
	bool shared;

	if (one_in(g, 12))
		sprintf(path, "@%u", below(g, OP_SLOTS));
	else if ((!type || type == S_IFDIR) && one_in(g, 6) &&
		 (walk_dir(g, path, DEPTH_MAX - 2, &shared), !shared))
		return;
	else
		put_old(g, path, type);
}

static void put_xattr_name(struct opgen *g, char *out)
{
	static const char *const spaces[] = { "user", "user", "trusted", "security" };
	const char *space = spaces[below(g, 4)];
	const uint32_t kind = below(g, 20), at = below(g, 2);

	if (kind < 11)
		sprintf(out, "%s.a%u", space, below(g, 6));
	else if (kind < 17)
		sprintf(out, "%s.hash%u.%u", space, at, below(g, 4));
	else if (kind < 19)
		sprintf(out, "%s.long%u.255", space, below(g, 2));
	else
		sprintf(out, "%s.long0.%u", space, one_in(g, 3) ? 256 : 120);
}

/* ---- operations ---- */

static char *text(const char *s)
{
	return blk_must(strdup(s));
}

static void make_new(struct opgen *g, struct op *op, char *path)
{
	static const uint32_t types[] = { S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK };
	static const uint32_t targets[] = { 3948, 3949, 3950, 4095 };
	const uint32_t at = below(g, 9);
	char target[64];

	put_new(g, path);
	op->path = text(path);
	op->n[0] = below(g, 512);
	if (op->kind == OP_MKNOD) {
		op->n[0] |= types[below(g, 4)];
		op->n[1] = below(g, one_in(g, 3) ? 4096 : 256);
		op->n[2] = below(g, one_in(g, 3) ? 1 << 20 : 256);
	} else if (op->kind == OP_SYMLINK) {
		if (one_in(g, 4))
			sprintf(target, "long%u.%u", at,
				one_in(g, 3) ? targets[below(g, 4)] : 100 + below(g, 2000));
		else
			sprintf(target, "to/%u", below(g, 1000));
		op->n[0] = 0;
		op->name = text(target);
	}
}

static unsigned depth_of(const char *path)
{
	unsigned n = 1;

	for (; *path; path++)
		n += *path == '/';
	return n;
}

static const struct model_inode *inode_at(struct opgen *g, const char *path)
{
	const struct model_inode *i = g->m->root;
	char name[OP_NAME_ROOM];
	const char *rest = path;
	unsigned slot;
	char where;
	size_t len;

	if (!op_start(path, &where, &slot, &rest))
		return NULL;
	i = where == '@' ? g->m->slots[slot] : where == '$' ? g->m->shared : i;
	while (i && (len = op_component(&rest, name))) {
		const struct model_name *n = model_find(i, name, (uint32_t)len);

		i = n ? n->inode : NULL;
	}
	return i;
}

/* A moved directory must not make paths that are too long; what is below a slot has no known depth.
 */
static bool too_deep(struct opgen *g, const char *from, const char *to)
{
	const struct model_inode *i = inode_at(g, from), *j = inode_at(g, to);

	return (i && S_ISDIR(i->mode) &&
		(to[0] == '@' || depth_of(to) + model_height(i) > DEPTH_MAX)) ||
	       (j && S_ISDIR(j->mode) &&
		(from[0] == '@' || depth_of(from) + model_height(j) > DEPTH_MAX));
}

static void make_rename(struct opgen *g, struct op *op, char *path)
{
	static const unsigned flags[] = { 0,
					  0,
					  0,
					  0,
					  RENAME_NOREPLACE,
					  RENAME_EXCHANGE,
					  RENAME_EXCHANGE,
					  RENAME_WHITEOUT,
					  RENAME_NOREPLACE | RENAME_WHITEOUT,
					  RENAME_EXCHANGE | RENAME_WHITEOUT };

	op->flags = flags[below(g, sizeof(flags) / sizeof(*flags))];
	for (unsigned tries = 0;; tries++) {
		put_old(g, path, one_in(g, 3) ? S_IFDIR : 0);
		op->path = text(path);
		if (op->flags & RENAME_EXCHANGE || one_in(g, 3))
			put_old(g, path, 0);
		else
			put_new(g, path);
		op->to = text(path);
		if (!too_deep(g, op->path, op->to))
			return;
		op_free(op);
		op->kind = OP_RENAME;
		if (tries == 8) {
			op->path = text("n0");
			op->to = text("n1");
			return;
		}
	}
}

static void make_times(struct opgen *g, struct op *op)
{
	static const int64_t secs[] = { 0,	    1,		 -1,
					1700000000, 0x7fffffff,	 0x80000000,
					0xffffffff, 0x100000000, -0x80000000ll,
					5000000000 };

	for (unsigned i = 0; i < 4; i += 2) {
		op->n[i] = secs[below(g, sizeof(secs) / sizeof(*secs))];
		op->n[i + 1] = below(g, 1000000000);
	}
}

static void make_xattr(struct opgen *g, struct op *op)
{
	static const unsigned flags[] = { 0, 0, 0, XATTR_CREATE, XATTR_REPLACE };
	const uint32_t most = g->m->limits.nodesize < 16384 ? 4000 : 16300;
	char name[64];

	put_xattr_name(g, name);
	op->name = text(name);
	if (op->kind != OP_SETXATTR)
		return;
	op->flags = flags[below(g, 5)];
	op->n[1] = below(g, 100000);
	op->n[0] = one_in(g, 12) ? below(g, most) : one_in(g, 3) ? below(g, 400) : below(g, 40);
}

static void make_data(struct opgen *g, struct op *op)
{
	static const uint32_t sizes[] = { 0, 1, 2047, 2048, 100, 1500 };

	if (op->kind == OP_TRUNCATE) {
		op->n[0] = one_in(g, 2) ? sizes[below(g, 6)] : below(g, 2049);
		if (g->beyond_inline && one_in(g, 6))
			op->n[0] = 2049 + below(g, 100000);
		return;
	}
	op->n[0] = one_in(g, 2) ? 0 : below(g, 2000);
	op->n[1] = 1 + below(g, one_in(g, 3) ? 2048 - (uint32_t)op->n[0] : 48);
	op->n[2] = below(g, 100000);
	if (g->beyond_inline && one_in(g, 15))
		op->n[1] += 2048;
}

static void make_change(struct opgen *g, struct op *op)
{
	static const uint32_t modes[] = { 0644, 0755, 0, 01777, 0600 };
	static const uint32_t flags[] = { 0, BTRFS_INODE_NODUMP, BTRFS_INODE_NOATIME,
					  BTRFS_INODE_NODATACOW,
					  BTRFS_INODE_DIRSYNC | BTRFS_INODE_NODUMP };
	static const char *const props[] = { "zlib", "lzo", "zstd", "none", "bad" };

	switch (op->kind) {
	case OP_CHMOD:
		op->n[0] = modes[below(g, 5)];
		/* Linux would take the bit from files again. */
		if (one_in(g, 6) && inode_at(g, op->path) && S_ISDIR(inode_at(g, op->path)->mode))
			op->n[0] |= S_ISGID;
		break;
	case OP_CHOWN:
		op->n[0] = one_in(g, 6) ? 0xfffffffell : below(g, 3) * 1000;
		op->n[1] = one_in(g, 6) ? 0xfffffffell : below(g, 3) * 100;
		break;
	case OP_UTIMES:
		make_times(g, op);
		break;
	case OP_CHATTR:
		op->flags = flags[below(g, 5)];
		break;
	case OP_SETPROP:
		if (!g->dir_props && inode_at(g, op->path) &&
		    S_ISDIR(inode_at(g, op->path)->mode)) {
			op->kind = OP_STAT;
			break;
		}
		op->name = text(props[below(g, 5)]);
		break;
	case OP_SETXATTR:
	case OP_RMXATTR:
	case OP_GETXATTR:
		make_xattr(g, op);
		break;
	case OP_WRITE:
	case OP_TRUNCATE:
		make_data(g, op);
		break;
	default:
		break;
	}
}

static uint32_t wanted_type(struct opgen *g, enum op_kind kind)
{
	switch (kind) {
	case OP_WRITE:
	case OP_TRUNCATE:
	case OP_READ:
	case OP_SETPROP:
		return S_IFREG;
	case OP_READDIR:
	case OP_RMDIR:
		return S_IFDIR;
	case OP_READLINK:
		return S_IFLNK;
	case OP_UNLINK:
		return one_in(g, 8) ? 0 : S_IFREG;
	default:
		return 0;
	}
}

static enum op_kind choose(struct opgen *g)
{
	const bool full = g->m->names > g->names_max;
	uint32_t sum = 0, weights[OP_KINDS], at;

	for (unsigned k = 0; k < OP_KINDS; k++) {
		weights[k] = g->mix->weights[k];
		if (full && k <= OP_LINK)
			weights[k] /= 4;
		if (full && (k == OP_UNLINK || k == OP_RMDIR))
			weights[k] *= 3;
		sum += weights[k];
	}
	at = below(g, sum);
	for (unsigned k = 0;; k++) {
		if (at < weights[k])
			return k;
		at -= weights[k];
	}
}

/* Many names of one file, or many attributes of one inode, one after the other. */
static struct op storm(struct opgen *g)
{
	struct op op = { .kind = g->storm_kind };
	char name[64];

	g->storm_left--;
	op.path = text(g->storm_path);
	if (op.kind == OP_LINK) {
		sprintf(name, "long%u.%u", 1000 + g->storm_left, 180 + below(g, 76));
		op.to = text(name);
	} else {
		sprintf(name, "trusted.s%u", g->storm_left);
		op.name = text(name);
		op.n[0] = below(g, 300);
	}
	return op;
}

struct op opgen_next(struct opgen *g)
{
	struct op op = { .kind = choose(g) };
	char path[OP_NAME_ROOM];
	bool shared;

	if (g->storm_left)
		return storm(g);
	if (one_in(g, 1500)) {
		g->storm_left = 20 + below(g, 80);
		g->storm_kind = one_in(g, 2) ? OP_LINK : OP_SETXATTR;
		put_old(g, g->storm_path, S_IFREG);
	}
	switch (op.kind) {
	case OP_CREATE:
	case OP_MKDIR:
	case OP_MKNOD:
	case OP_SYMLINK:
		make_new(g, &op, path);
		return op;
	case OP_RENAME:
		make_rename(g, &op, path);
		return op;
	case OP_SYNC:
		return op;
	case OP_DROP:
		op.n[0] = below(g, OP_SLOTS);
		return op;
	case OP_HOLD:
		op.n[0] = below(g, OP_SLOTS);
		put_old(g, path, one_in(g, 3) ? S_IFDIR : S_IFREG);
		break;
	case OP_LINK:
		put_inode(g, path, one_in(g, 10) ? 0 : S_IFREG);
		op.path = text(path);
		put_new(g, path);
		op.to = text(path);
		return op;
	case OP_UNLINK:
	case OP_RMDIR:
		put_old(g, path, wanted_type(g, op.kind));
		break;
	default:
		if (op.kind == OP_READDIR && !one_in(g, 4))
			do
				walk_dir(g, path, DEPTH_MAX, &shared);
			while (shared);
		else
			put_inode(g, path, wanted_type(g, op.kind));
	}
	op.path = text(path);
	make_change(g, &op);
	return op;
}
