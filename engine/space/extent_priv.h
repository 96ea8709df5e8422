/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Back references as bytes: inline in an extent's item, and as items of their own. Pure memory
 * work. */
#ifndef UBTRFS_ENGINE_SPACE_EXTENT_PRIV_H
#define UBTRFS_ENGINE_SPACE_EXTENT_PRIV_H

#include "engine/space/extent_tree.h"

/* What a reference is called on disk. */
struct ref_name {
	uint8_t type;	 /* BTRFS_*_REF_KEY */
	uint64_t offset; /* tree, parent or hash: offset of its own item's key, and order among
			    inline ones */
	struct dref ref;
};

/* One that was read. */
struct ref_seen {
	struct ref_name name;
	uint32_t count; /* of a tree block: 1 */
};

static inline bool ref_is_key(uint8_t type)
{
	return type >= BTRFS_TREE_BLOCK_REF_KEY && type <= BTRFS_SHARED_DATA_REF_KEY;
}

struct ref_name ref_name_of(bool data, const struct dref *ref);
/* The key of its own item; of colliding hashes, the first one's. */
struct btrfs_key ref_item_key(uint64_t logical, const struct ref_name *name);
bool ref_same(const struct dref *a, const struct btrfs_extent_data_ref *b);

/* Largest size to which an inline reference may make an item grow, as Linux has it: less than this.
 */
uint32_t extent_item_max(uint32_t nodesize);
/* Where an item's inline references start. `skinny`: a METADATA_ITEM. */
uint32_t extent_inline_start(const struct btrfs_extent_item *ei, bool skinny);
/*
 * Finds a reference among an item's inline ones; *out_off where it is, or would be inserted.
 * Return: 1 found, 0 not; -EUCLEAN (bytes are no references; nothing is said).
 */
int extent_inline_find(const void *item, uint32_t size, uint32_t start, const struct ref_name *name,
		       uint32_t *out_off);
/* How often the inline reference at `off` counts, and setting that (data only). */
uint32_t extent_inline_count(const void *item, uint32_t off);
void extent_inline_set_count(void *item, uint32_t off, uint32_t count);
/* Writes one, over the btrfs_extent_inline_ref_size(name->type) bytes at `off`. */
void extent_inline_put(void *item, uint32_t off, const struct ref_name *name, uint32_t count);
/* Reads the one at *io_off and moves on. 1; 0: was the last one's end; -EUCLEAN. Owner references
 * are passed by. */
int extent_inline_next(const void *item, uint32_t size, uint32_t *io_off,
		       struct ref_seen *out_seen);

/* ---- backref_load.c ---- */

/* An extent's references, with its item. */
struct ref_list {
	struct extent_info info;
	struct ref_seen *v;
	unsigned nr, room;
};

/* Return: 0, to be ended with ref_list_free; -ENOENT; -EUCLEAN (said), -EIO, -ENOMEM. */
int ref_list_load(struct space_fs *fs, uint64_t logical, struct ref_list *l);
void ref_list_free(struct ref_list *l);

#endif
