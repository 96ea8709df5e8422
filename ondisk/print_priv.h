/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the printers of this folder share. */
#ifndef UBTRFS_ONDISK_PRINT_PRIV_H
#define UBTRFS_ONDISK_PRINT_PRIV_H

#include "ondisk/print.h"

/* The id of btrfstune's note while it changes checksums; no kernel knows it. */
#define BTRFS_CSUM_CHANGE_OBJECTID (-13ULL)

/* A constant without strlen. */
#define LIT(t, s) text_mem((t), (s), sizeof(s) - 1)
/* A constant, then a number. */
#define LIT_U64(t, s, v)                                                                           \
	do {                                                                                       \
		LIT(t, s);                                                                         \
		text_u64((t), (v));                                                                \
	} while (0)

/* An item of a leaf (or of the system chunk array), inside its block. */
struct print_item {
	struct btrfs_key key;
	const uint8_t *data;
	uint32_t len;
	unsigned slot;
	uint64_t leaf; /* for messages */
};

/* The item's first `need` bytes; if there are fewer, a copy in `pad` with zeros behind. */
const void *print_whole(struct btrfs_print *p, const struct print_item *it, uint32_t need,
			void *pad);
void print_problem(struct btrfs_print *p, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* "key (256 INODE_ITEM 0)" */
void print_key(struct text *t, const struct btrfs_key *key);
/* `lead`, seconds and nanoseconds, the local time in brackets, newline. */
void print_time(struct btrfs_print *p, const char *lead, const struct btrfs_timespec *ts);
/* The same for a time that has only seconds. */
void print_time_sec(struct btrfs_print *p, const char *lead, uint64_t sec);

/* print_fs.c: what file trees hold */
void print_inode_item(struct btrfs_print *p, const struct print_item *it);
void print_inode_ref(struct btrfs_print *p, const struct print_item *it);
void print_inode_extref(struct btrfs_print *p, const struct print_item *it);
void print_dir_item(struct btrfs_print *p, const struct print_item *it);
void print_dir_log(struct btrfs_print *p, const struct print_item *it);
void print_file_extent(struct btrfs_print *p, const struct print_item *it);
void print_root_item(struct btrfs_print *p, const struct print_item *it);
void print_root_ref(struct btrfs_print *p, const struct print_item *it);

/* print_space.c: extents, checksums, block groups, quota */
void print_extent_item(struct btrfs_print *p, const struct print_item *it);
void print_extent_data_ref(struct btrfs_print *p, const struct print_item *it);
void print_shared_data_ref(struct btrfs_print *p, const struct print_item *it);
void print_extent_owner_ref(struct btrfs_print *p, const struct print_item *it);
void print_extent_csum(struct btrfs_print *p, const struct print_item *it);
void print_block_group(struct btrfs_print *p, const struct print_item *it);
void print_free_space_info(struct btrfs_print *p, const struct print_item *it);
void print_free_space_header(struct btrfs_print *p, const struct print_item *it);
void print_qgroup_status(struct btrfs_print *p, const struct print_item *it);
void print_qgroup_info(struct btrfs_print *p, const struct print_item *it);
void print_qgroup_limit(struct btrfs_print *p, const struct print_item *it);

/* print_dev.c: devices, chunks, items with a name of their own */
void print_chunk(struct btrfs_print *p, const struct print_item *it);
void print_dev_item(struct btrfs_print *p, const struct print_item *it);
void print_dev_extent(struct btrfs_print *p, const struct print_item *it);
void print_dev_replace(struct btrfs_print *p, const struct print_item *it);
void print_raid_stripe(struct btrfs_print *p, const struct print_item *it);
void print_persistent(struct btrfs_print *p, const struct print_item *it);
void print_temporary(struct btrfs_print *p, const struct print_item *it);
void print_uuid_item(struct btrfs_print *p, const struct print_item *it);
void print_string_item(struct btrfs_print *p, const struct print_item *it);

#endif
