/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A volume of metadata blocks in memory, with two copies of each, in the place of engine/volume;
 * and a builder of trees in it, which writes blocks as they stand on disk.
 *
 * Failures of the fake itself (memory) abort.
 */
#ifndef UBTRFS_TESTS_UNIT_FAKEVOL_H
#define UBTRFS_TESTS_UNIT_FAKEVOL_H

#include "engine/btree/bt.h"

#include <stdatomic.h>

#define FAKE_GENERATION 100
#define FAKE_COPIES 2

struct fake_heard {
	_Atomic unsigned errors;
	_Atomic unsigned warnings;
	char last[1024];
};

struct vol {
	struct btrfs_geometry geo;
	struct counters counters;
	struct msg *msg;
	struct fake_heard heard;
	unsigned nr;
	uint8_t *(*blocks)[FAKE_COPIES];
	_Atomic unsigned reads;	   /* blocks read */
	_Atomic unsigned batches;  /* calls of vol_read_many */
	_Atomic unsigned delay_us; /* of each read or batch */
	_Atomic uint64_t dead;	   /* reads of this block are -EIO */
};

struct vol *fakevol_create(uint32_t nodesize);
void fakevol_destroy(struct vol *v);
/* Address of a new zeroed block. */
uint64_t fakevol_alloc(struct vol *v);
/* Bytes of a copy (0 or 1). */
void *fakevol_block(struct vol *v, uint64_t logical, int copy);
/* Makes the checksum right and the second copy equal to the first. */
void fakevol_seal(struct vol *v, uint64_t logical);
/* A block header of this fake; nothing is sealed. Returns the first copy. */
void *fakevol_format(struct vol *v, uint64_t logical, int level, uint64_t owner);

struct tree_opts {
	uint64_t owner;	    /* 0: BTRFS_FS_TREE_OBJECTID */
	unsigned max_items; /* a leaf, 0: as many as fit */
	unsigned max_ptrs;  /* a node, 0: as many as fit */
	unsigned min_level; /* nodes of one pointer on top until the root is that high */
};

/* Item data: `size` bytes that follow from the key. */
void tree_item_fill(const struct btrfs_key *key, void *buf, uint32_t size);
uint32_t tree_item_size(const struct btrfs_key *key);
/* Builds a tree of these keys, which rise. Leaves and nodes are filled unevenly, by `rand`. */
void tree_build(struct vol *v, const struct btrfs_key *keys, unsigned nr,
		const struct tree_opts *opts, struct bt_root *out_root);
/* Appends an item or a pointer to a block that is being built; false if it does not fit. */
bool tree_add_item(struct vol *v, void *leaf, const struct btrfs_key *key);
bool tree_add_ptr(struct vol *v, void *node, uint64_t child);

/* `nr` distinct rising keys, with many equal object ids, freed by the caller. */
struct btrfs_key *tree_random_keys(unsigned nr, unsigned seed);

#endif
