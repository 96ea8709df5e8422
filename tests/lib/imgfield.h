/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The fields of every structure of an image, and the changes that a sweep or a fuzzer makes to
 * them. */
#ifndef UBTRFS_TESTS_LIB_IMGFIELD_H
#define UBTRFS_TESTS_LIB_IMGFIELD_H

#include "tests/lib/testimg.h"

/* One field of one structure of one block. */
struct instance {
	const char *desc;   /* "inode_item" */
	const char *parent; /* "location" of a key in a dir_item; NULL at the top */
	const char *field;  /* "objectid" */
	uint32_t block;	    /* of struct testimg */
	uint32_t off;	    /* in the block */
	uint32_t size;
	uint32_t in_struct; /* offset in the structure */
	uint8_t key_type;   /* of the item it is in; 0: in none */
	uint8_t owner;	    /* of the block, cut to a byte (subvolumes are FS_TREE) */
	uint32_t neighbour; /* the next instance of the same field that has another value; itself:
			       none */
};

struct instances {
	struct instance *v;
	unsigned nr;
};

/* Every field that a tree or the superblock reaches. Exits on failure. */
void instances_list(const struct testimg *img, struct instances *out);
/* "dir_item.location.objectid" into buf. */
bool instance_same_field(const struct instance *a, const struct instance *b);
void instance_name(const struct instance *in, char *buf, size_t size);

enum op {
	OP_ZERO,
	OP_ONES,
	OP_PLUS,
	OP_NEIGHBOUR,
	OP_NR,
};
extern const char *const op_names[OP_NR];

/* False: it is the value that is there already. */
bool op_apply(struct testimg *img, const struct instances *all, unsigned i, enum op op);

#endif
