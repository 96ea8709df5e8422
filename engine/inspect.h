/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Blocks, trees and maps of a filesystem, read-only, for people who debug one: nothing here needs the
 * filesystem to be whole. Opened with eng_open (usually with `partial` and ENG_SHARE_LOOK).
 */
#ifndef UBTRFS_ENGINE_INSPECT_H
#define UBTRFS_ENGINE_INSPECT_H

#include "engine/engine.h"
#include "ondisk/check.h"
#include "ondisk/format.h"

/* The bytes of superblock copy n (0–2) of a device or file, unchecked, without opening a filesystem. -EINVAL: the device ends before it. */
int ins_super_read(const char *path, uint64_t offset, int copy, struct btrfs_super_block *out_sb);
/* The same from any byte position. */
int ins_super_read_at(const char *path, uint64_t bytenr, struct btrfs_super_block *out_sb);

const struct btrfs_super_block *ins_super(struct eng_fs *fs);
const struct btrfs_geometry *ins_geometry(struct eng_fs *fs);

/* A tree's root: global trees and subvolumes by object id; chunk tree and tree root from the superblock. -ENOENT. */
struct ins_root {
	uint64_t id;
	uint64_t bytenr;
	uint64_t generation;
	uint8_t level;
};
int ins_root(struct eng_fs *fs, uint64_t id, struct ins_root *out_root);

/*
 * Reads the metadata block at `logical` into buf (nodesize bytes). Every copy is tried until one passes the
 * checks; *err says why the first failed. Return: 0 good; -EUCLEAN (buf holds the first copy's bytes as they
 * are); -EIO, -ENXIO (unmapped).
 */
int ins_block_read(struct eng_fs *fs, const struct btrfs_block_expect *expect, void *buf,
		   struct btrfs_check_error *err);
/* Reads ahead blocks that will be asked for; best effort. */
void ins_block_prefetch(struct eng_fs *fs, const struct btrfs_block_expect *expects, unsigned nr);
/* One copy (1-based) as it is, unchecked. */
int ins_block_read_copy(struct eng_fs *fs, uint64_t logical, int copy, void *buf, uint32_t len);
int ins_copies(struct eng_fs *fs, uint64_t logical);

/* Items of a tree in key order from `key` on; fn non-zero ends the walk and is returned. */
int ins_items(struct eng_fs *fs, const struct ins_root *root, const struct btrfs_key *from,
	      int (*fn)(void *arg, const struct btrfs_key *key, const void *item, uint32_t len), void *arg);

struct ins_chunk {
	uint64_t logical, len, type;
	unsigned num_stripes, sub_stripes;
	const char *profile;      /* "single", "DUP", "RAID1", … */
	unsigned copies;          /* space taken is len * copies, or by stripes for striped profiles */
	unsigned data_stripes;
};
bool ins_chunk(struct eng_fs *fs, unsigned index, struct ins_chunk *out_chunk);
/* Bytes used in the block group at `logical` by its item. -ENOENT, -ENXIO (no tree that could tell). */
int ins_block_group_used(struct eng_fs *fs, uint64_t logical, uint64_t *out_used);

struct ins_place {
	uint64_t logical, len;
	int copy;
	uint64_t devid, physical;
	bool missing;
};
int ins_map(struct eng_fs *fs, uint64_t logical, uint64_t len,
	    int (*fn)(void *arg, const struct ins_place *place), void *arg);

/* One piece of a file. */
struct ins_extent {
	uint64_t off, len;
	enum { INS_HOLE, INS_INLINE, INS_REG, INS_PREALLOC } type;
	uint8_t compression;
	uint64_t generation;
	uint64_t disk_logical, disk_len, ram_bytes, ram_off;
	uint64_t refs;            /* of the extent item: > 1 shared; 0: not known */
	bool shared;              /* refs > 1, or a block above the item is shared by a snapshot */
};
int ins_extents(struct eng_fs *fs, struct eng_ino id, int (*fn)(void *arg, const struct ins_extent *e),
		void *arg);

/* One use of an extent: a tree that has it, and where. */
struct ins_backref {
	uint64_t root;
	uint64_t ino, offset;     /* data: file, and offset of its file extent item's key */
	uint64_t parent;          /* the block that points to it; 0: it is the tree's root */
	int level;                /* -1: data */
};
/*
 * Calls fn for every use of the extent that starts at `logical`, as the references in the extent tree have it. fn
 * non-zero ends it and is returned. Return: 0; -ENOENT (no such extent); -ENXIO (no extent tree); -EOPNOTSUPP (the
 * filesystem is open for writing); -EUCLEAN (a reference leads nowhere; said); -EIO, -ENOMEM.
 */
int ins_backrefs(struct eng_fs *fs, uint64_t logical, int (*fn)(void *arg, const struct ins_backref *ref),
		 void *arg);

#endif
