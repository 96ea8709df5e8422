/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Printers of every structure of the format, as text. The text is, line for line, that of
 * `btrfs inspect-internal dump-tree` and `dump-super` of btrfs-progs 6.14, so that people and
 * scripts that know the one can read the other.
 *
 * Printers read nothing outside the block (or item) that they are given, whatever its bytes are:
 * what a dump shows may be damaged. An item shorter than its structure is shown with zeros for what
 * is missing, and `problem` is told.
 */
#ifndef UBTRFS_ONDISK_PRINT_H
#define UBTRFS_ONDISK_PRINT_H

#include "ondisk/check.h"
#include "ondisk/format.h"
#include "ondisk/text.h"

/* One a thread; made by btrfs_print_init. */
struct btrfs_print {
	struct text *out;
	uint32_t nodesize;
	uint32_t sectorsize;
	uint16_t csum_size;
	bool simple_quota; /* the SIMPLE_QUOTA feature is on */
	bool hide_names;   /* names and xattr values become HIDDEN */
	bool csum_headers; /* the checksum of each block */
	bool csum_items;   /* the checksums in EXTENT_CSUM items */
	/* Told what is wrong with a block, without a newline; NULL: nobody is. */
	void (*problem)(void *arg, const char *text);
	void *arg;
	/* The UTC offset of the quarter hour printed last. */
	int64_t zone_quarter;
	int32_t zone_offset;
};

void btrfs_print_init(struct btrfs_print *p, struct text *out, const struct btrfs_geometry *geo);

/* A node or leaf of p->nodesize bytes; `logical` is where it was looked for. */
void btrfs_print_block(struct btrfs_print *p, const void *block, uint64_t logical);
/* `full` adds the system chunk array and the backup roots. Uses only `out` and `problem` of p. */
void btrfs_print_super(struct btrfs_print *p, const struct btrfs_super_block *sb, bool full);
/* The old roots, as `dump-tree -R` has them. */
void btrfs_print_backups(struct btrfs_print *p, const struct btrfs_super_block *sb);

/* "(256 INODE_ITEM 0)" */
void btrfs_key_to_text(struct text *t, const struct btrfs_key *key);
/* An object id as it is called in keys of this type (0: as a tree): "FS_TREE", "257". */
void btrfs_objectid_to_text(struct text *t, uint64_t objectid, uint8_t type);
/* "INODE_ITEM"; NULL for a type without a name. */
const char *btrfs_key_type_name(uint8_t type);
/* "DATA|RAID1", "METADATA|single" */
void btrfs_bg_flags_to_text(struct text *t, uint64_t flags);
/* "none", "NODATASUM|NODATACOW" */
void btrfs_inode_flags_to_text(struct text *t, uint64_t flags);
/* "none", "zlib", "lzo", "zstd"; NULL for others. */
const char *btrfs_compression_name(unsigned type);
/* Bytes as one word of printable ASCII: blanks and backslashes escaped, the rest in octal. */
void btrfs_name_to_text(struct text *t, const void *name, size_t len);
/* A flag's name by bit (0–63), or NULL. */
const char *btrfs_incompat_name(unsigned bit);
const char *btrfs_compat_ro_name(unsigned bit);
const char *btrfs_super_flag_name(unsigned bit);

#endif
