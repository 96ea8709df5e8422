/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of ubtrfs-walk share; see walk.c. */
#ifndef UBTRFS_TESTS_LIB_WALK_PRIV_H
#define UBTRFS_TESTS_LIB_WALK_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

/* What is listed of an entry; --skip takes bits away, --atime, --flags and --hash add some. */
enum walk_field {
	WALK_MODE = 1 << 0,
	WALK_OWNER = 1 << 1,
	WALK_SIZE = 1 << 2,
	WALK_DIRSIZE = 1 << 3,
	WALK_NLINK = 1 << 4,
	WALK_RDEV = 1 << 5,
	WALK_MTIME = 1 << 6,
	WALK_CTIME = 1 << 7,
	WALK_ATIME = 1 << 8,
	WALK_LINKS = 1 << 9,
	WALK_XATTR = 1 << 10,
	WALK_HOLES = 1 << 11,
	WALK_FLAGS = 1 << 12,
	WALK_HASH = 1 << 13,
	WALK_DIRTIME = 1 << 14,
};

struct walk {
	unsigned fields;
	FILE *out;
	uint64_t entries;
	uint64_t problems; /* things that no sound filesystem shows, said on stderr */
	unsigned char *buf;
	struct inode_table *inodes;
	bool unique; /* an inode number met twice without a hard link is a problem */
};

#define WALK_BUF_SIZE (1u << 20)

/* Writes bytes as printable ASCII without blanks; everything else becomes \xHH. */
void walk_put_escaped(FILE *out, const char *s, size_t len);
/* Prints " key=sha256" or, when short, the bytes themselves in hex. */
void walk_put_bytes(struct walk *w, const unsigned char *data, size_t len);
/* Says what went wrong with an entry, in the listing (so that a comparison sees it) and on stderr.
 */
void walk_problem(struct walk *w, const char *path, const char *what, int err);

/* Prints the xattrs of `name` in the current directory, sorted by name. */
void walk_xattrs(struct walk *w, const char *path, const char *name);
/* Prints hole map, hash and inode flags of a regular file or directory open as `fd`. */
void walk_content(struct walk *w, const char *path, int fd, const struct stat *st);

#endif
