/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A tree as a sorted array of items, for what only needs find, insert, update and remove. */
#ifndef UBTRFS_TESTS_UNIT_FAKETREE_H
#define UBTRFS_TESTS_UNIT_FAKETREE_H

#include "engine/space/fst.h"

#define FAKETREE_DATA 256

struct fakeitem {
	struct btrfs_key key;
	uint32_t size;
	uint8_t data[FAKETREE_DATA];
};

struct faketree {
	struct fakeitem *items;
	unsigned nr, room;
	unsigned changes; /* inserts, updates and removals */
	unsigned fail_at; /* the change that fails with -EIO; 0: none */
};

void faketree_clear(struct faketree *t);
/* Operations that work on it, as the free-space tree's code asks for them. */
struct fst_ops faketree_ops(struct faketree *t);
/* True if both hold the same items. */
bool faketree_equal(const struct faketree *a, const struct faketree *b);

#endif
