/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Operations on a filesystem, as data: made by a generator, printed one a line, read again, left
 * out one by one until nothing more can be left out.
 *
 * A path is components between '/'. It starts in the directory of its own that a script has, or
 * with "$" in the directory that it shares with others, or with "@N" in what slot N holds; "."
 * alone is the first of these. Symlinks are never followed: one in the middle is -ELOOP.
 *
 * A name is written as it is, but for two kinds that may follow any beginning that ends in '.':
 *   long7.255    of 255 bytes altogether, filled up
 *   hash7.3      one of 256 names (3 of 0–255) with one hash; hash7.3.200 filled up to 200 bytes
 * Data is a seed and a length (op_pattern).
 */
#ifndef UBTRFS_TESTS_LIB_OPS_H
#define UBTRFS_TESTS_LIB_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum op_kind {
	OP_CREATE,   /* path, mode */
	OP_MKDIR,    /* path, mode */
	OP_MKNOD,    /* path, mode with type, major, minor */
	OP_SYMLINK,  /* path, name: the target */
	OP_LINK,     /* path, to */
	OP_UNLINK,   /* path */
	OP_RMDIR,    /* path */
	OP_RENAME,   /* path, to, flags: RENAME_* */
	OP_CHMOD,    /* path, mode */
	OP_CHOWN,    /* path, uid, gid */
	OP_UTIMES,   /* path, atime, ns, mtime, ns */
	OP_CHATTR,   /* path, flags: BTRFS_INODE_* of OP_CHATTR_FLAGS */
	OP_SETXATTR, /* path, name, length, seed, flags: XATTR_* */
	OP_RMXATTR,  /* path, name */
	OP_SETPROP,  /* path, name: the value of btrfs.compression */
	OP_RMPROP,   /* path */
	OP_WRITE,    /* path, offset, length, seed */
	OP_TRUNCATE, /* path, size */
	OP_SYNC,
	OP_STAT, /* path; the rest only look too */
	OP_READDIR,
	OP_READ,
	OP_READLINK,
	OP_GETXATTR, /* path, name */
	OP_LISTXATTR,
	OP_HOLD, /* slot, path: keeps what is there open */
	OP_DROP, /* slot */
	OP_REOPEN, /* nothing is held any more; what runs a script may open the filesystem anew */
	OP_KINDS,
};

#define OP_NUMBERS 4
#define OP_SLOTS 4
#define OP_NAME_ROOM 4352 /* of an expanded name or target */
#define OP_READ_MAX 8192  /* bytes of a file that are read */
/* BTRFS_INODE_ NODATACOW, NODUMP, NOATIME, DIRSYNC: what OP_CHATTR sets and clears */
#define OP_CHATTR_FLAGS 0x702u
/* With NOCOMPRESS and COMPRESS: what is compared. */
#define OP_SEEN_FLAGS (OP_CHATTR_FLAGS | 0x808u)

struct op {
	enum op_kind kind;
	char *path, *to, *name; /* owned; unexpanded */
	int64_t n[OP_NUMBERS];
	unsigned flags;
};

struct script {
	struct op *v;
	size_t nr, room;
};

void script_add(struct script *s, const struct op *op); /* takes its strings */
void script_copy(struct script *to, const struct script *from);
void script_free(struct script *s);
void op_free(struct op *op);
struct op op_copy(const struct op *op);

void op_print(FILE *out, const struct op *op);
void script_print(FILE *out, const struct script *s);
/* One line, without its end. False: not understood. Comments (#) and empty lines give kind
 * OP_KINDS. */
bool op_parse(const char *line, struct op *out_op);
/* 0, or the number of the first line that was not understood. */
unsigned script_parse(FILE *in, struct script *out_script);
const char *op_kind_name(enum op_kind kind);

/* The name that `len` bytes stand for, ended by 0, in OP_NAME_ROOM bytes. Returns its length. */
size_t op_expand(const char *token, size_t len, char *out);
/* The next component of a path, expanded, and *path after it; 0 at the end. */
size_t op_component(const char **path, char *out);
/*
 * Where a path starts: '.', '$', or '@' with *out_slot; *out_rest is what follows, "" or
 * components. False: not understood.
 */
bool op_start(const char *path, char *out_where, unsigned *out_slot, const char **out_rest);
void op_pattern(uint32_t seed, void *buf, size_t len);

/* ---- results ---- */

struct res_attr {
	uint64_t ino, size;
	uint32_t mode, uid, gid, nlink;
	uint32_t major, minor; /* devices only */
	uint32_t flags;	       /* OP_SEEN_FLAGS; files and directories only */
	struct op_time {
		long sec, ns;
	} atime, mtime, ctime;
};

/*
 * What an operation answered. Attributes: of what was created, linked, changed or looked at. Data:
 * content, value, target; of directories "type name" of each entry in order, but "." and "..";
 * names of attributes sorted; each ended by 0.
 */
struct res {
	int err; /* 0 or -errno */
	bool has_attr;
	struct res_attr attr;
	uint8_t *data;
	size_t len, room;
};

void res_reset(struct res *r);
void res_free(struct res *r);
void res_put(struct res *r, const void *data, size_t len);
/* Sorts the 0-ended strings of the data. */
void res_sort(struct res *r);

/* A filesystem that operations are done on. Of one thread each; several may stand on one
 * filesystem. */
struct backend {
	void (*apply)(struct backend *b, const struct op *op, struct res *out_res);
	void (*destroy)(struct backend *b);
};

/* Of what "is no slot", "is held already": answers of the harness itself, the same from all. */
#define OP_ERR_SLOT (-9)  /* -EBADF */
#define OP_ERR_HELD (-16) /* -EBUSY */

/* ---- shrinking ---- */

/*
 * Leaves out what can be left out of a script that fails: chunks of half its length, then smaller
 * ones, at most `tries` runs. `fails` runs a script from the beginning on a new filesystem.
 */
void script_shrink(struct script *s, bool (*fails)(void *arg, const struct script *s), void *arg,
		   unsigned tries);

#endif
