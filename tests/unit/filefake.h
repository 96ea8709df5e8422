/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A subvolume over the transaction in memory, for what engine/file does when it changes; and a
 * checker that holds its items against each other, as far as one subvolume goes.
 */
#ifndef UBTRFS_TESTS_UNIT_FILEFAKE_H
#define UBTRFS_TESTS_UNIT_FILEFAKE_H

#include "engine/file/change_priv.h"
#include "tests/unit/faketxn.h"

#define FILEFAKE_EXTENTS 256

/* A reference that file extent items make. */
struct fake_data {
	uint64_t logical, len, ino, offset;
	int count, used;
};

struct filefake {
	struct faketxn *f;
	struct fs fs;
	struct root root;
	struct bt_tree tree;
	struct chg c; /* first in no handle */
	struct fake_handle h;
	uint64_t next_ino;
	unsigned data_nr;
	struct fake_data data[FILEFAKE_EXTENTS];
	unsigned begins, ends, touches, aborts;
	unsigned end_every; /* should_end says so each nth time; 0: never */
	unsigned asked;
	unsigned fail_begin; /* the nth from now on is -ENOSPC; 0: none */
};

/* features: BTRFS_FEATURE_INCOMPAT_* besides the usual. */
struct filefake *filefake_create(uint32_t nodesize, uint64_t features);
void filefake_destroy(struct filefake *ff);
/* An item as somebody else wrote it. */
void filefake_put(struct filefake *ff, const struct btrfs_key *key, const void *data,
		  uint32_t size);
/* A data extent for a file: the item, its reference; the inode item is not seen to. `type`:
 * BTRFS_FILE_EXTENT_*. */
void filefake_extent(struct filefake *ff, uint64_t ino, uint64_t off, uint64_t logical,
		     uint64_t disk_len, uint64_t ext_off, uint64_t len, uint8_t type);
/* Adds to size and nbytes of an inode item. */
void filefake_grow(struct filefake *ff, uint64_t ino, uint64_t size, uint64_t nbytes);
/*
 * Entries, indexes and back references one to one, sizes of directories, links, orphans, bytes of
 * files, extents in order, holes (if they are explicit), data references. Says what is wrong, and
 * returns false.
 */
bool filefake_check(struct filefake *ff);

/*
 * A name of `len` bytes that starts differently for each `n` and has the hash `want`: of the last
 * four bytes the hash is a one-to-one linear function, which is solved for them. False: it would
 * need a byte that no name has.
 */
bool forge_name(char *name, size_t len, unsigned n, uint32_t want);
/* `nr` names of that length, all with one hash. */
void forge_names(char (*names)[256], unsigned nr, size_t len);

#endif
