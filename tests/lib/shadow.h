/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a directory and all below it is expected to be, in memory: read from a filesystem once,
 * changed beside it, and compared with what another opening of it finds. Times are left out, and so
 * are inode numbers but for telling hard links: two trees are equal if a user sees the same.
 *
 * Plain memory of the test's, not the engine's allocators; failures to allocate abort. One thread a
 * tree.
 */
#ifndef UBTRFS_TESTS_LIB_SHADOW_H
#define UBTRFS_TESTS_LIB_SHADOW_H

#include <stdio.h>
#include "engine/engine.h"

struct shadow_node;

struct shadow_xattr {
	char *name;
	void *value;
	size_t size;
};

struct shadow_entry {
	char *name;
	struct shadow_node *node;
};

struct shadow_node {
	struct eng_ino id;
	uint32_t mode, uid, gid, nlink;
	dev_t rdev;
	uint64_t size;
	/* Of a regular file: its contents; NULL: `digest` stands for them (more than inline data).
	 */
	uint8_t *data;
	uint64_t digest;
	char *target;
	struct shadow_xattr *xattrs; /* sorted by name */
	unsigned nr_xattrs;
	struct shadow_entry *entries; /* of a directory, sorted by name */
	unsigned nr_entries, max_entries;
	struct shadow_node *parent; /* of a directory below the top */
	bool foreign;		    /* another subvolume's top: not entered, not to be touched */
	unsigned names;		    /* within this tree */
	uint64_t seen;		    /* of the walks here */
};

struct shadow {
	struct shadow_node *top;
	unsigned nr_nodes;
	uint64_t walk;
};

/* Reads what is there. 0 or -errno. */
int shadow_load(struct eng_fs *fs, struct eng_ino dir, struct shadow **out_s);
void shadow_free(struct shadow *s);
struct shadow *shadow_copy(const struct shadow *s);
/* Equal trees give equal numbers. */
uint64_t shadow_hash(struct shadow *s);
/* Prints at most `max` differences, a line each; returns how many there were. */
unsigned shadow_diff(struct shadow *want, struct shadow *got, unsigned max, FILE *to);

/* ---- changing ---- */

struct shadow_node *shadow_new(struct shadow *s, uint32_t mode);
/* The entry of that name, or NULL. */
struct shadow_entry *shadow_find(const struct shadow_node *dir, const char *name);
/* One more name of the node; it was not there. */
void shadow_add(struct shadow_node *dir, const char *name, struct shadow_node *node);
/* Takes the name away; the node goes with its last name in this tree. */
void shadow_remove(struct shadow *s, struct shadow_node *dir, const char *name);
/* The same, but the node stays. */
struct shadow_node *shadow_take(struct shadow_node *dir, const char *name);
void shadow_set_xattr(struct shadow_node *n, const char *name, const void *value, size_t size);
bool shadow_del_xattr(struct shadow_node *n, const char *name);
/* Contents of a file; the bytes between are zeros. */
void shadow_write(struct shadow_node *n, uint64_t off, const void *buf, size_t len);
void shadow_truncate(struct shadow_node *n, uint64_t size);

#endif
