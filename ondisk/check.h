/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one place where bytes from disk are believed or not. Everything above may rely on what passed:
 * after btrfs_check_block() returns 0, every item lies inside its leaf without overlap, keys rise,
 * and every item's own structure (lengths, counts, types, alignments) is as the format says, so that
 * readers index into items without checks of their own.
 *
 * At least as strict as the kernel's tree-checker. Pure: no allocation, no locks, no I/O.
 */
#ifndef UBTRFS_ONDISK_CHECK_H
#define UBTRFS_ONDISK_CHECK_H

#include "ondisk/format.h"
#include "ondisk/text.h"

/* What of the superblock the checks depend on. */
struct btrfs_geometry {
	uint32_t nodesize;
	uint32_t sectorsize;
	uint16_t csum_type;
	uint16_t csum_size;
	uint64_t incompat;
	uint64_t compat_ro;
	uint64_t super_flags;     /* BTRFS_SUPER_FLAG_*: names in a METADUMP image do not match their hashes */
	uint64_t generation;      /* of the superblock: no block may be newer (log trees: + 1) */
	uint64_t total_bytes;
	uint8_t fsid[16];         /* as it stands in block headers: metadata_uuid if that feature is on */
	bool ignore_csum;         /* rescue=ignoremetacsums */
	bool writable;            /* refuse inodes with flags that allow reading only */
	/*
	 * The fsids of seed devices, 16 bytes each: blocks written before the filesystem sprouted carry
	 * them. Owned by whoever sets them; NULL and 0 after btrfs_geometry_from_super().
	 */
	const uint8_t (*seed_fsids)[16];
	unsigned seed_fsids_nr;
};

/* What the parent (or root item) says of a block; a field with its `any_`/zero value is not checked. */
struct btrfs_block_expect {
	uint64_t logical;
	uint64_t generation;      /* 0: any */
	uint64_t owner;           /* 0: any */
	int level;                /* -1: any */
	bool have_first_key;
	struct btrfs_key first_key;
};

/* Where and why a check failed. */
struct btrfs_check_error {
	int level;                /* of the block, -1: not about a block */
	int slot;                 /* -1: not about one slot */
	struct btrfs_key key;     /* of that slot */
	bool transid;             /* the failure is a generation mismatch (a lost write, or another writer) */
	bool csum;                /* the failure is a bad checksum */
	char reason[240];         /* lower case, names what was found and what was expected */
};

/* Fills the geometry from a superblock that passed btrfs_check_super(). */
void btrfs_geometry_from_super(const struct btrfs_super_block *sb, struct btrfs_geometry *out_geo);

/*
 * A superblock found at byte `physical` of a device: magic, checksum, bytenr, sizes, alignments, root
 * pointers, known flags, feature dependencies, sys_chunk_array shape.
 * Unknown incompat bits are not an error here (the opener refuses them by name).
 * Return: 0, -EUCLEAN with *err filled, -EINVAL (no btrfs magic; *err filled).
 */
int btrfs_check_super(const struct btrfs_super_block *sb, uint64_t physical, bool ignore_csum,
		      struct btrfs_check_error *err);

/*
 * A metadata block as read from disk: checksum, fsid, bytenr, generation, level, owner, first key, then
 * the node's pointers or the leaf's items, each item by its type's own check.
 * Return: 0, or -EUCLEAN with *err filled.
 */
int btrfs_check_block(const void *block, const struct btrfs_geometry *geo,
		      const struct btrfs_block_expect *expect, struct btrfs_check_error *err);

/*
 * What another parent says of a block that has passed btrfs_check_block(): level, generation, owner and
 * first key again, nothing of its contents. Return: 0, or -EUCLEAN with *err filled.
 */
int btrfs_check_expected(const void *block, const struct btrfs_geometry *geo,
			 const struct btrfs_block_expect *expect, struct btrfs_check_error *err);

/* One chunk item of `len` bytes (in a leaf or in the sys_chunk_array). 0 or -EUCLEAN. */
int btrfs_check_chunk(const struct btrfs_chunk *chunk, uint32_t len, uint64_t logical,
		      const struct btrfs_geometry *geo, struct btrfs_check_error *err);

/*
 * "leaf 30408704 slot 3 key (256 INODE_ITEM 0): reason"; "block 30408704: reason"
 * when the failure is not about a slot.
 */
void btrfs_check_error_to_text(struct text *t, uint64_t logical, const struct btrfs_check_error *err);

#endif
