/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A reference model of a filesystem in memory: what each operation of ops.h must answer, to the
 * errno, and what a filesystem must hold afterwards. The answers are Linux's on btrfs; where it may
 * answer in two ways (how full a leaf is decides), the model follows what was answered if it is one
 * of them.
 *
 * A model is the directory of its own that a script has and, behind "$", its part of a directory
 * that several share: the names in there that others made are not looked at. One thread at a time.
 * Failures to allocate abort.
 */
#ifndef UBTRFS_TESTS_LIB_MODEL_H
#define UBTRFS_TESTS_LIB_MODEL_H

#include "tests/lib/ops.h"

struct model_inode;

struct model_name {
	char *name, *token; /* the token is how an operation wrote it */
	uint32_t len, hash;
	struct model_inode *inode;
};

struct model_xattr {
	char *name;
	uint8_t *value;
	uint32_t len, hash;
};

/* Of a time: what is known of it. */
struct model_time {
	enum {
		TIME_ANY,
		TIME_SINCE, /* not before t */
		TIME_EXACT,
	} how;
	struct op_time t;
};

struct model_inode {
	struct model_inode *next, **link; /* of all that are there */
	struct model_inode *parent;	  /* of directories */
	uint32_t mode, uid, gid, nlink, major, minor, flags;
	uint64_t size;
	uint8_t *data; /* file: of data_len bytes, what follows is zeros; symlink: target */
	uint32_t data_len;
	struct model_name *names; /* in the order of readdir */
	uint32_t names_nr, names_room;
	struct model_xattr *xattrs;
	uint32_t xattrs_nr, xattrs_room;
	struct model_time atime, mtime, ctime;
	uint32_t holds;
	bool shared;		  /* the directory behind "$" */
	bool unsure;		  /* its data may be in extents that an engine does not write */
	uint64_t ino;		  /* in the filesystem, once seen */
	struct model_inode *copy; /* while a model is copied */
};

struct model_limits {
	uint32_t nodesize;
	uint32_t inline_max; /* bytes of a file that an engine writes; 0: any number */
	bool exact_clock;    /* times are the moment's, not those of a clock that Linux looks at now and then */
};

struct model {
	struct model_limits limits;
	struct model_inode *all, *root, *shared, *slots[OP_SLOTS];
	uint32_t inodes, names;
	char why[512]; /* what differed */
};

struct model *model_create(const struct model_limits *limits);
void model_destroy(struct model *m);
/* A model of a snapshot: nothing is held. */
struct model *model_copy(const struct model *m);

/*
 * Does the operation, which `got` is the answer to and which began at `began`. False: the answer
 * was wrong, m->why says how, and the model is of no more use.
 */
bool model_step(struct model *m, const struct op *op, const struct res *got,
		const struct op_time *began);

/* Nothing is held any more: a filesystem is closed. */
void model_drop_slots(struct model *m);
/* Compares all that is there: each name, attribute, content and order. False: m->why. */
bool model_verify(struct model *m, struct backend *b);
/* Runs a script. The number of operations that were right; m->why if not all were. */
size_t model_run(struct model *m, struct backend *b, const struct script *s);
/* An operation on both, as model_run does it. */
bool model_apply(struct model *m, struct backend *b, const struct op *op, struct res *scratch);

/*
 * A filesystem that is itself a model, with nothing known of what others made behind "$". What a
 * test of the tests stands on; `m` stays the caller's.
 */
struct backend *backend_model(struct model *m);

/* For the generator: finds a name. NULL if it isn't there. */
struct model_name *model_find(const struct model_inode *dir, const char *name, uint32_t len);
/* Levels of directories below it. */
unsigned model_height(const struct model_inode *dir);

#endif
