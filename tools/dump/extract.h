/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of `ubtrfs-dump extract` share. */
#ifndef UBTRFS_TOOLS_DUMP_EXTRACT_H
#define UBTRFS_TOOLS_DUMP_EXTRACT_H

#include "tools/dump/dump.h"
#include "tools/dump/json.h"

#include "ondisk/format.h"

/* A set of inodes, some with a value. */
struct ino_map {
	struct ino_slot {
		struct eng_ino id;
		char *value; /* owned; may be NULL */
		bool taken;
	} * slots;
	size_t nr, room;
};

struct extract {
	struct dump d;
	struct json json;
	struct text *t; /* standard output, for --json */
	int top;	/* the target directory */
	bool root;	/* we may set owners and make devices */
	char *path;	/* of what is being extracted, from the top, for messages and links */
	size_t path_len, path_room;
	struct ino_map links; /* files with several names: the first of them */
	struct ino_map dirs;  /* directories seen: each is extracted once */
	unsigned depth;
	void *buf; /* EXTRACT_BUF bytes */
	struct {
		uint64_t files, dirs, others, bytes, lost, lost_bytes;
	} count;
};

#define EXTRACT_BUF (1U << 20)

/* ---- extract.c ---- */

/* Notes that something of the file at x->path was lost, and tells it. */
void extract_lost(struct extract *x, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The same of its bytes [from, to). */
void extract_lost_bytes(struct extract *x, uint64_t from, uint64_t to, int err);
/* Appends a name to the path; its length before, for extract_path_cut; SIZE_MAX without memory. */
size_t extract_path_add(struct extract *x, const char *name, size_t len);
void extract_path_cut(struct extract *x, size_t len);

/* NULL without memory. `out_new`: it was not there before. */
struct ino_slot *ino_map_add(struct ino_map *m, struct eng_ino id, bool *out_new);
void ino_map_destroy(struct ino_map *m);

/* ---- extract_tree.c ---- */

/* A file of any kind as `name` (NUL-terminated) in the directory `dirfd`. */
void extract_entry(struct extract *x, int dirfd, const char *name, const struct eng_attr *attr);
/* What is in a directory, into dirfd. */
void extract_dir(struct extract *x, int dirfd, const struct eng_attr *attr);

/* ---- extract_file.c ---- */

/* The data of a regular file into fd; what cannot be read stays a hole and is noted. */
void extract_data(struct extract *x, int fd, const struct eng_attr *attr);

/* ---- extract_meta.c ---- */

/* Owner, extended attributes, mode and times of an open file or directory. */
void extract_meta(struct extract *x, int fd, const struct eng_attr *attr);
/* The same of what cannot be opened (symlinks, special files), by name. */
void extract_meta_at(struct extract *x, int dirfd, const char *name, const struct eng_attr *attr);

#endif
