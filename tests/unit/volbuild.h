/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A volume built in memory, from the format's description alone: superblocks, and chunks of any
 * profile filled with bytes that follow from their logical address. Shares no code with
 * engine/volume, parity included. Failures of the builder itself abort.
 */
#ifndef UBTRFS_TESTS_UNIT_VOLBUILD_H
#define UBTRFS_TESTS_UNIT_VOLBUILD_H

#include "engine/volume/vol.h"

#define VB_STRIPE 65536u
#define VB_MAX_DEVS 8
#define VB_DEV_BYTES ((2u << 20) + 65536)
#define VB_GENERATION 50

enum vb_state {
	VB_FINE,
	VB_MISSING, /* is not given to vol_open */
	VB_GARBAGE, /* overwritten, but for its superblock */
	VB_LYING,   /* one bit wrong in every 512 bytes */
	VB_FAILING, /* every read past the superblock is an error */
	VB_PATCHY,  /* reads of the sectors in bad[] are errors */
};

struct vb_dev {
	uint8_t *mem;
	uint64_t bytes;
	uint64_t devid;
	uint8_t uuid[16];
	uint64_t generation;
	enum vb_state state;
	bool fail_writes, fail_flushes;
	unsigned writes, flushes;
	uint8_t *bad; /* VB_PATCHY: a flag for each 4096 bytes; freed with the volume */
};

struct vb_chunk {
	uint64_t type;
	uint64_t logical;
	uint64_t len;
	unsigned nr;
	unsigned sub_stripes;
	unsigned dev[VB_MAX_DEVS];
	uint64_t physical[VB_MAX_DEVS];
};

struct vb {
	uint8_t fsid[16];
	unsigned nr_devs;
	struct vb_dev devs[VB_MAX_DEVS];
	unsigned nr_chunks;
	struct vb_chunk chunks[8];
};

struct vb *vb_create(unsigned nr_devs, uint8_t fsid_byte);
void vb_destroy(struct vb *vb);
/* A chunk of `rows` rows over all devices (DUP: twice the first), filled; returns its index. */
unsigned vb_add_chunk(struct vb *vb, uint64_t type, uint64_t logical, unsigned rows);
/* Writes a superblock; `sb` NULL: a plain one. Its place and checksum are made right. */
void vb_write_super(struct vb *vb, unsigned dev, int copy, const struct btrfs_super_block *sb);
void vb_make_super(const struct vb *vb, unsigned dev, struct btrfs_super_block *sb);
void vb_make_dev_item(const struct vb *vb, unsigned dev, struct btrfs_dev_item *item);
/* The chunk's item; `buf` has room for all stripes. */
const struct btrfs_chunk *vb_chunk_item(const struct vb *vb, unsigned chunk, uint8_t buf[512]);
/* Turns a device bad for good, as `state` says. */
void vb_spoil(struct vb *vb, unsigned dev, enum vb_state state);
/* Opens a device as its state says. */
struct bdev *vb_bdev(struct vb *vb, unsigned dev, struct msg *msg, struct counters *counters);

/* The byte that belongs at a logical address. */
uint8_t vb_byte(uint64_t logical);
/* A vol_verify_fn: true if the unit has the bytes it should have. */
bool vb_verify(void *arg, uint64_t logical, const void *buf, uint32_t unit);

#endif
