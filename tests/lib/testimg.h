/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A filesystem image in memory that a test may damage and mend: its blocks with all their copies,
 * patches that go to every copy with the checksum made right again, and undo.
 */
#ifndef UBTRFS_TESTS_LIB_TESTIMG_H
#define UBTRFS_TESTS_LIB_TESTIMG_H

#include "engine/engine.h"

#define TESTIMG_COPIES 8
#define TESTIMG_DIRTY 256

struct testimg_block {
	uint64_t logical; /* of a superblock: where its first copy is */
	uint32_t len;
	bool super;
	unsigned copies;
	uint64_t physical[TESTIMG_COPIES];
};

struct testimg {
	uint8_t *data;	     /* a private mapping */
	const uint8_t *good; /* the file as it is */
	uint64_t bytes;
	uint32_t nodesize;
	uint16_t csum_type;
	unsigned block_nr;
	struct testimg_block
		*blocks; /* [0] is the superblock, then every block that a tree reaches */
	unsigned dirty_nr;
	struct {
		uint64_t physical;
		uint32_t len;
	} dirty[TESTIMG_DIRTY];
};

/* Loads an image of one device that has no faults. Prints why not, and returns false. */
bool testimg_load(struct testimg *img, const char *path);
void testimg_free(struct testimg *img);

/* The options of a test: small caches, one thread, nobody else. */
struct eng_open_opts testimg_opts(void);
int testimg_open(const struct testimg *img, const struct eng_open_opts *opts,
		 struct eng_fs **out_fs);

/*
 * Lets `change` alter the `len` bytes at `off` of block `b`, in each copy, and makes the checksums
 * right; not if the bytes are in the checksum. False: out of the block, or too many changes.
 */
bool testimg_patch(struct testimg *img, unsigned b, uint32_t off, uint32_t len,
		   void (*change)(void *arg, uint8_t *p, uint32_t len), void *arg);
/* The same for any bytes, without checksums. */
bool testimg_patch_raw(struct testimg *img, uint64_t physical, const void *bytes, uint32_t len);
/* Takes all patches back. */
void testimg_undo(struct testimg *img);

#endif
