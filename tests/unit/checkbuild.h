/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Blocks for the tests of the checks: built item by item, sealed with a good checksum, then broken one
 * value at a time. The block is allocated to the byte, so that a sanitizer sees any read beyond it.
 */
#ifndef UBTRFS_TESTS_UNIT_CHECKBUILD_H
#define UBTRFS_TESTS_UNIT_CHECKBUILD_H

#include "ondisk/check.h"

#define CB_LOGICAL 30408704ULL
#define CB_GENERATION 20ULL

struct cb {
	uint8_t *block;
	uint32_t data_end; /* where the next item's data ends, from the end of the header */
	unsigned nr;
	struct btrfs_geometry geo;
	struct btrfs_block_expect expect;
	struct btrfs_check_error err; /* of the last cb_check() */
};

/* An empty block of `nodesize`; sectors of 4096, skinny metadata, no holes, crc32c. */
void cb_init(struct cb *b, uint32_t nodesize, unsigned level, uint64_t owner);
void cb_free(struct cb *b);
struct btrfs_header *cb_header(struct cb *b);
struct btrfs_item *cb_item(struct cb *b, unsigned slot);

/* Appends an item; `data` NULL: zeros. Returns where its data is in the block. */
void *cb_add(struct cb *b, uint64_t objectid, uint8_t type, uint64_t offset, const void *data,
	     uint32_t len);
/* Appends a key pointer to a node. */
struct btrfs_key_ptr *cb_add_ptr(struct cb *b, uint64_t objectid, uint8_t type, uint64_t offset,
				 uint64_t blockptr, uint64_t generation);

/* Seals and checks; the return value of btrfs_check_block(). */
int cb_check(struct cb *b);
/* Asserts that the block passes. */
void cb_good(struct cb *b);
/* Asserts that it fails in `slot` (-1: none) for a reason that contains `reason`. */
void cb_bad(struct cb *b, int slot, const char *reason);

/* With `size` bytes at p set to the little endian `value`, cb_bad(); then as before. */
void cb_broken(struct cb *b, void *p, unsigned size, uint64_t value, int slot, const char *reason);
/* With the value, cb_good(); then as before. */
void cb_legal(struct cb *b, void *p, unsigned size, uint64_t value);

/* cb_broken() for a member of a packed structure. */
#define CB_BROKEN(b, member, value, slot, reason)                                                  \
	cb_broken(b, &(member), sizeof(member), value, slot, reason)
#define CB_LEGAL(b, member, value) cb_legal(b, &(member), sizeof(member), value)

#endif
