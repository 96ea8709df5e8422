/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Walks over the blocks of a tree, in the orders of `dump-tree`, that damage does not stop. */
#ifndef UBTRFS_TOOLS_DUMP_WALK_H
#define UBTRFS_TOOLS_DUMP_WALK_H

#include "tools/dump/dump.h"

enum walk_order {
	WALK_BFS,    /* the root, then level by level */
	WALK_DFS,    /* each node before its children */
	WALK_LEAVES, /* only the leaves */
	WALK_ONE,    /* only the block itself */
};

struct walk {
	struct dump *d;
	void (*visit)(void *arg, const void *block, uint64_t logical);
	void *arg;
	uint64_t tree; /* for messages */
	uint64_t visited;
	uint8_t *bufs[BTRFS_MAX_LEVEL];
	struct reader
		*reader; /* of the lowest level that is asked for, where nearly all blocks are */
	/* A block that fails its checks is shown all the same (WALK_ONE, by its address). */
	bool show_damaged;
};

bool walk_begin(struct walk *w, struct dump *d, void (*visit)(void *, const void *, uint64_t),
		void *arg);
void walk_end(struct walk *w);
/*
 * Visits the tree below (and with) the block at root->bytenr; generation 0 is not checked, nor a
 * level of WALK_ANY_LEVEL. What cannot be read is told on stderr, marks `damaged` and is passed
 * over. Return: 0, or -errno if the root itself could not be read.
 */
#define WALK_ANY_LEVEL 0xff
int walk_tree(struct walk *w, const struct ins_root *root, enum walk_order order);

#endif
