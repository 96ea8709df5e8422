/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inside the reader of disks. */
#ifndef UBTRFS_TESTS_LIB_DISKWALK_PRIV_H
#define UBTRFS_TESTS_LIB_DISKWALK_PRIV_H

#include "tests/lib/diskwalk.h"

#define DISKS_MAX 8
#define STRIPES_MAX 16
#define HASH_NR 4096

/* What a block refers to; of a leaf, what follows from its items, in their order. */
enum ref_type {
	REF_CHILD,
	REF_ROOT,
	REF_INODE,
	REF_DATA,
};

struct ref {
	enum ref_type type;
	uint64_t logical; /* child, root, data */
	uint64_t len;	  /* data */
	uint64_t generation;
	struct btrfs_key key; /* child: its first; root, inode, data: the item's */
	bool inplace;	      /* inode: nodatacow; data: preallocated */
	uint8_t level;	      /* root */
	struct btrfs_key drop; /* root: dropped up to here; objectid 0: whole */
};

struct wnode {
	struct wnode *next; /* in its bucket */
	uint64_t logical, generation;
	uint64_t stamp; /* of the walk that came by last */
	unsigned level, nr;
	struct ref refs[];
};

struct wchunk {
	uint64_t logical, len, type;
	uint32_t stripe_len;
	unsigned nr, sub;
	struct {
		int disk; /* -1: none of ours */
		uint64_t physical;
	} stripes[STRIPES_MAX];
};

struct diskwalk {
	unsigned nr;
	struct blk disks[DISKS_MAX];
	uint64_t devids[DISKS_MAX];
	struct btrfs_geometry geo;
	struct wchunk *chunks;
	unsigned nr_chunks, max_chunks;
	struct wnode *hash[HASH_NR];
	uint64_t stamp, blocks, blocks_read;
	uint8_t *buf, *buf2;
	char error[400];
	/* of the walk under way */
	unsigned flags;
	diskwalk_fn fn;
	void *arg;
};

int walk_fail(struct diskwalk *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* diskwalk_map.c */
int walk_add_chunk(struct diskwalk *w, uint64_t logical, const struct btrfs_chunk *item);
int walk_add_sys_chunks(struct diskwalk *w, const struct btrfs_super_block *sb);
/* Calls fn for each piece of each copy (from 0); false if something isn't mapped. */
bool walk_map(const struct diskwalk *w, uint64_t logical, uint64_t len,
	      void (*fn)(void *arg, unsigned copy, uint64_t logical, int disk, uint64_t physical,
			 uint64_t len),
	      void *arg);
/* Number of copies; 0 if it is not mapped. */
unsigned walk_copies(const struct diskwalk *w, uint64_t logical);
int walk_read_copy(struct diskwalk *w, uint64_t logical, unsigned copy, uint8_t *buf, uint32_t len);

/* diskwalk_parse.c: what a checked block refers to. */
struct wnode *walk_parse(const void *block);

#endif
