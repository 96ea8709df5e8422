/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the checks share. Used only by ondisk/check*.c. */
#ifndef UBTRFS_ONDISK_CHECK_PRIV_H
#define UBTRFS_ONDISK_CHECK_PRIV_H

#include <inttypes.h>

#include "ondisk/check.h"

/*
 * The walk over one block. While items are checked: `key` is that of the slot at hand, `prev_key`,
 * `prev_item` and `prev_len` are those of the slot before it, which has passed its own check.
 */
struct check {
	const struct btrfs_geometry *geo;
	struct btrfs_check_error *err;
	uint64_t owner; /* of the block */
	int level;
	int slot;
	struct btrfs_key key;
	struct btrfs_key prev_key;
	const void *prev_item; /* NULL in slot 0 */
	uint32_t prev_len;
	uint64_t extent_end; /* end of the last EXTENT_ITEM or METADATA_ITEM of this leaf */
};

/* Fills *c->err and returns -EUCLEAN. */
int check_fail(const struct check *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static inline bool check_aligned(const struct check *c, uint64_t v)
{
	return (v & (c->geo->sectorsize - 1)) == 0;
}

/* More than one bit of `mask` in v? */
static inline bool check_many_bits(uint64_t v, uint64_t mask)
{
	return ((v & mask) & ((v & mask) - 1)) != 0;
}

static inline bool check_incompat(const struct check *c, uint64_t bit)
{
	return (c->geo->incompat & bit) != 0;
}

/* -EUCLEAN unless v is a multiple of the sector size; `what` names the value. */
int check_align(const struct check *c, const char *what, uint64_t v);
/* -EUCLEAN if start + len passes the end of the address space. */
int check_range(const struct check *c, const char *what, uint64_t start, uint64_t len);
/* -EUCLEAN unless len is exactly `want`. */
int check_size(const struct check *c, uint32_t len, uint32_t want);
/* -EUCLEAN if len is less than `want`: for structures that may grow at their end. */
int check_size_min(const struct check *c, uint32_t len, uint32_t want);
/* A generation that is at most one ahead of the superblock's (log trees run ahead). */
int check_generation(const struct check *c, const char *what, uint64_t gen);
/* A name of a directory entry or of a root ref: 1 to 255 bytes, no '/' and no NUL. */
int check_name(const struct check *c, const void *name, uint32_t len);

/*
 * Planted faults: true if the environment's UBTRFS_PLANT names this one. Compiled in only with
 * -Dplant=true, to show that tests and fuzzers catch what they are there for.
 */
#ifdef UBTRFS_PLANT
bool check_planted(const char *name);
#else
static inline bool check_planted(const char *name)
{
	return false;
}
#endif

/* One item of `len` bytes, all inside its leaf; the files are split by subject. */
int check_item(struct check *c, const void *item, uint32_t len);

int check_inode_item(struct check *c, const void *item, uint32_t len);
int check_inode_ref(struct check *c, const void *item, uint32_t len);
int check_inode_extref(struct check *c, const void *item, uint32_t len);
int check_dir_item(struct check *c, const void *item, uint32_t len);
int check_verity_desc(struct check *c, const void *item, uint32_t len);
/* An item that must follow another one of the same inode in a subvolume's leaf. */
int check_prev_inode(const struct check *c);
/* The target of a directory entry, or the key of an inode item. */
int check_inode_key(const struct check *c, const struct btrfs_key *key);

int check_file_extent(struct check *c, const void *item, uint32_t len);
int check_csum_item(struct check *c, const void *item, uint32_t len);

int check_root_item(struct check *c, const void *item, uint32_t len);
int check_root_ref(struct check *c, const void *item, uint32_t len);
int check_root_key(const struct check *c, const struct btrfs_key *key, bool is_root_item);

int check_extent_item(struct check *c, const void *item, uint32_t len);
int check_tree_block_ref(struct check *c, const void *item, uint32_t len);
int check_extent_data_ref(struct check *c, const void *item, uint32_t len);
int check_shared_data_ref(struct check *c, const void *item, uint32_t len);

int check_block_group(struct check *c, const void *item, uint32_t len);
int check_free_space_info(struct check *c, const void *item, uint32_t len);
int check_free_space_extent(struct check *c, const void *item, uint32_t len);
int check_free_space_bitmap(struct check *c, const void *item, uint32_t len);
int check_remap(struct check *c, const void *item, uint32_t len);
int check_raid_stripe(struct check *c, const void *item, uint32_t len);

int check_chunk_item(struct check *c, const void *item, uint32_t len);
int check_dev_item(struct check *c, const void *item, uint32_t len);
int check_dev_extent(struct check *c, const void *item, uint32_t len);

#endif
