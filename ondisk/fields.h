/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The format as tables: for each structure its fields, and walks that find every structure in an item,
 * a block or a superblock. Whoever must reach all fields without knowing each (a printer of JSON, a
 * sweep that damages them one by one) goes by these.
 *
 * The walks read nothing outside what they are given, whatever the bytes are: a structure that is cut
 * off is handed over with the bytes there are, and after it the walk of that item ends. Every byte of
 * an item is handed over exactly once.
 */
#ifndef UBTRFS_ONDISK_FIELDS_H
#define UBTRFS_ONDISK_FIELDS_H

#include "ondisk/format.h"

enum btrfs_field_kind {
	BTRFS_FIELD_UINT,   /* little endian, of 1, 2, 4 or 8 bytes */
	BTRFS_FIELD_KEY,    /* struct btrfs_disk_key */
	BTRFS_FIELD_TIME,   /* struct btrfs_timespec */
	BTRFS_FIELD_UUID,   /* 16 bytes */
	BTRFS_FIELD_BYTES,  /* checksums, padding, bitmaps, data */
	BTRFS_FIELD_TEXT,   /* bytes that are meant to be read by people, not always terminated */
	BTRFS_FIELD_STRUCT, /* another structure */
};

struct btrfs_struct_desc;

struct btrfs_field {
	const char *name; /* as in format_struct.h */
	uint16_t offset;
	uint16_t size;	/* of one element; 0: all the bytes to the end of the structure */
	uint16_t count; /* elements, 1 unless the field is an array */
	uint8_t kind;	/* enum btrfs_field_kind */
	const struct btrfs_struct_desc *sub; /* of KEY, TIME and STRUCT fields, else NULL */
};

struct btrfs_struct_desc {
	const char *name; /* "inode_item"; of variable parts "name", "data" ... */
	uint32_t size;	  /* 0: variable, a single field of all the bytes */
	uint32_t nr;	  /* of fields, which ascend and leave no gap */
	const struct btrfs_field *fields;
};

extern const struct btrfs_struct_desc btrfs_desc_super_block;
extern const struct btrfs_struct_desc btrfs_desc_header;
extern const struct btrfs_struct_desc btrfs_desc_item;
extern const struct btrfs_struct_desc btrfs_desc_key_ptr;
extern const struct btrfs_struct_desc btrfs_desc_disk_key;

/* All of them, ended by NULL. */
extern const struct btrfs_struct_desc *const btrfs_descs[];

/*
 * A structure at p. `len` is what there is of it: less than desc->size in old or damaged items, and
 * fields past it must not be read. Anything but 0 ends the walk and is returned by it.
 */
typedef int btrfs_fields_cb(void *arg, const struct btrfs_struct_desc *desc, const void *p,
			    uint32_t len);

/* The structures of one item, in the order they lie in it. */
int btrfs_fields_walk_item(const struct btrfs_key *key, const void *item, uint32_t len,
			   btrfs_fields_cb *cb, void *arg);

/*
 * A node or leaf: the header, then the key pointers, or the item headers each followed by what is in
 * the item. Items outside the block and pointers past its end are left out.
 */
int btrfs_fields_walk_block(const void *block, uint32_t nodesize, btrfs_fields_cb *cb, void *arg);

/* The superblock, then the keys, chunks and stripes in its sys_chunk_array (handed over twice, then). */
int btrfs_fields_walk_super(const struct btrfs_super_block *sb, btrfs_fields_cb *cb, void *arg);

/*
 * One scalar (UINT, UUID, BYTES, TEXT) of a structure, at `offset` from its start; of an array one
 * element. `parent` is the field that the structure of `f` is in, NULL at the top.
 */
typedef int btrfs_scalar_cb(void *arg, const struct btrfs_field *parent,
			    const struct btrfs_field *f, uint32_t offset, uint32_t size);

/* Every scalar of a structure of which `len` bytes are there, those in nested ones too. */
int btrfs_fields_flatten(const struct btrfs_struct_desc *desc, uint32_t len, btrfs_scalar_cb *cb,
			 void *arg);

#endif
