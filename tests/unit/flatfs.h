/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A small filesystem in memory, for what stands on trees: struct fs over a volume that is one flat
 * stretch of bytes in two copies, in the place of engine/volume. Items are collected, then built into
 * trees whose blocks pass the real checks.
 *
 * Failures of the fixture itself (memory, room) abort.
 */
#ifndef UBTRFS_TESTS_UNIT_FLATFS_H
#define UBTRFS_TESTS_UNIT_FLATFS_H

#include "engine/file/fread.h"

#include <stdatomic.h>

#define FLAT_GENERATION 100
#define FLAT_COPIES 2

struct vol {
	struct btrfs_geometry geo;
	struct counters counters;
	struct msg *msg;
	char last[1024];          /* the last message heard */
	unsigned errors;          /* heard */
	uint64_t size;
	uint8_t *copy[FLAT_COPIES];
	_Atomic uint64_t dead;    /* the sector here is -EIO on all copies; 0: none */
	_Atomic uint64_t gone;    /* …is on a device that is missing; 0: none */
	_Atomic unsigned reads;   /* ios of data */
	_Atomic unsigned delay_us;
};

struct flat_item {
	struct btrfs_key key;
	void *data;
	uint32_t len;
};

struct flat_items {
	struct flat_item *item;
	unsigned nr, room;
};

struct flatfs {
	struct vol v;
	struct fs fs;
	struct flat_items root_items, csum_items, file_items;
	uint64_t meta_pos, data_pos;
	unsigned max_items;       /* a leaf, 0: as many as fit */
};

enum {
	FLAT_CSUM = 1,            /* data with checksums */
};

struct flatfs *flatfs_create(uint32_t nodesize, uint32_t sectorsize, unsigned csum_type);
void flatfs_destroy(struct flatfs *f);

/* Collects an item; the data is copied. */
void flat_add(struct flat_items *items, uint64_t objectid, uint8_t type, uint64_t offset, const void *data,
	      size_t len);
/* Appends to an item that may be there already: names of one hash, references of one parent. */
void flat_append(struct flat_items *items, uint64_t objectid, uint8_t type, uint64_t offset,
		 const void *data, size_t len);
void flat_inode(struct flatfs *f, uint64_t ino, uint32_t mode, uint64_t size, uint64_t flags);
/* A DIR_ITEM and a DIR_INDEX. */
void flat_entry(struct flatfs *f, uint64_t dir, uint64_t index, const char *name, size_t len,
		const struct btrfs_key *to, uint8_t type);
void flat_xattr(struct flatfs *f, uint64_t ino, const char *name, const void *value, size_t len);
void flat_inline(struct flatfs *f, uint64_t ino, unsigned compression, uint64_t ram_bytes, const void *data,
		 size_t len);
void flat_extent(struct flatfs *f, uint64_t ino, uint64_t off, uint8_t type, unsigned compression,
		 uint64_t disk, uint64_t disk_len, uint64_t ram_off, uint64_t len, uint64_t ram_bytes);
/* Puts data, padded to sectors, into both copies. Returns its address. `flags`: FLAT_CSUM. */
uint64_t flat_data(struct flatfs *f, const void *data, size_t len, unsigned flags);

/*
 * Builds a tree of the items (at least one) and returns its root; `items` is emptied.
 * flat_open builds the checksum tree, subvolume 5 of file_items, and the root tree, which has an item
 * for it beside root_items, and opens the cache, the roots, `workers` threads and `readahead` bytes.
 */
struct bt_root flat_build(struct flatfs *f, struct flat_items *items, uint64_t owner);
const struct root *flat_open(struct flatfs *f, unsigned workers, uint64_t readahead);

/* Two different names of `len` <= 16 with the same directory hash. */
void flat_colliding_names(char a[17], char b[17]);

#endif
