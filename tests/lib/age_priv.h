/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of ubtrfs-age share; see age.c. */
#ifndef UBTRFS_TESTS_LIB_AGE_PRIV_H
#define UBTRFS_TESTS_LIB_AGE_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum age_feature {
	AGE_SUBVOL = 1 << 0,
	AGE_NOCOW = 1 << 1, /* files without checksums: garbage in them cannot be noticed */
	AGE_HUGE = 1 << 2,
	AGE_XATTR = 1 << 3,
	AGE_SPECIAL = 1 << 4,
	AGE_STORM = 1 << 5, /* hundreds of links, names or xattrs in one go */
	AGE_FLAGS = 1 << 6,
	AGE_PROPS = 1 << 7,
	AGE_REFLINK = 1 << 8,
	AGE_DEFAULT_SUBVOL = 1 << 9, /* the only one that is off unless asked for */
};

enum age_kind {
	AGE_DIR, /* the root of a subvolume too */
	AGE_FILE,
	AGE_OTHER,
	AGE_KINDS,
};

/* A name. Two names of one inode are two nodes. */
struct age_node {
	enum age_kind kind;
	struct age_node *parent, *child, *next,
		**link; /* *link is this node, in the parent's list */
	char *name;
	unsigned slot; /* in the vector of its kind */
	unsigned children;
	bool subvol, readonly; /* a subvolume's root; readonly: a read-only snapshot */
	bool frozen;	       /* immutable or append-only: left alone from then on */
	bool nocow;
	bool huge; /* offsets of its own; other operations would fill the image */
};

struct age_vec {
	struct age_node **v;
	unsigned nr, room;
};

struct age {
	uint64_t rng;
	unsigned long op, ops;
	const char *op_name;
	unsigned features;
	uint64_t seed;
	int top; /* the mount point, open */
	struct age_node *root;
	struct age_vec kinds[AGE_KINDS];
	unsigned subvols;
	unsigned long serial; /* makes names unique */
	unsigned long storms;
	unsigned long tolerated[256]; /* by errno */
	unsigned char *buf;
};

#define AGE_BUF_SIZE (4u << 20)
#define AGE_PATH_MAX 4096
#define AGE_SUBVOLS_MAX 14

/* Random numbers: rnd(n) is in [0, n). */
uint64_t age_rnd(struct age *a, uint64_t n);
/* Fills the buffer with `len` bytes of a random kind, from incompressible to zeros. */
void age_fill(struct age *a, size_t len);
/* A length as files have them: mostly small, seldom megabytes, often odd. */
size_t age_size(struct age *a);

/*
 * Judges the result of a call: true for success; false for an error that such a run meets (no
 * space, or one of the two named), which is counted; any other error ends the program.
 */
bool age_ok(struct age *a, long ret, const char *path, int errno1, int errno2);

/* The tree of names. Paths are relative to the mount point. */
struct age_node *age_add(struct age *a, struct age_node *parent, enum age_kind kind,
			 const char *name);
void age_remove(struct age *a, struct age_node *n); /* with everything below it */
void age_move(struct age_node *n, struct age_node *parent, const char *name);
void age_clone_children(struct age *a, const struct age_node *from, struct age_node *to);
const char *age_path(const struct age_node *n, char *buf); /* buf: AGE_PATH_MAX */
const char *age_child_path(const struct age_node *dir, const char *name, char *buf);
bool age_inside(const struct age_node *n, const struct age_node *dir); /* or equal */
bool age_writable(const struct age_node *n);
/* Whether `n`, put into `dir` with all below it, keeps its paths short enough. */
bool age_fits(const struct age_node *n, const struct age_node *dir);
/* A random node of a kind that may be changed, or NULL. */
struct age_node *age_pick(struct age *a, enum age_kind kind);
/* A new name, often an unusual one; unique in the whole run. buf: 256 bytes. */
const char *age_name(struct age *a, char *buf);
/* Two names with the same hash in directories and among xattrs. bufs: 256 bytes. */
void age_colliding_names(struct age *a, const char *prefix, char *one, char *two);

/* An operation; it does nothing when it finds nothing to work on. */
struct age_op {
	const char *name;
	unsigned weight;
	unsigned needs; /* features */
	void (*run)(struct age *a);
};

extern const struct age_op age_data_ops[], age_meta_ops[], age_storm_ops[], age_subvol_ops[];

/* Creates a file with some content. Returns its node or NULL. */
struct age_node *age_create_file(struct age *a);
void age_set_default_subvol(struct age *a);

#endif
