/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inside space/: chunks that come and go, for chunk.c, chunk_items.c, chunk_remove.c, dev_space.c, block_groups.c. */
#ifndef UBTRFS_ENGINE_SPACE_CHUNK_PRIV_H
#define UBTRFS_ENGINE_SPACE_CHUNK_PRIV_H

#include "engine/space/chunk.h"
#include "engine/space/fst.h"

/* What a superblock's array can hold of one chunk; more than any profile that is allocated gets. */
#define CHUNK_MAX_STRIPES 58

/* A type that has less than this beyond four fifths in use gets a chunk, as in Linux. */
#define CHUNK_MARGIN (2ULL << 20)

/* Where a new chunk will lie. */
struct chunk_place {
	uint64_t devid;
	uint8_t uuid[BTRFS_UUID_SIZE];
	uint64_t physical;
};

struct chunk_plan {
	uint64_t logical;
	uint64_t len;             /* of the chunk */
	uint64_t type;            /* type and profile bits */
	uint64_t stripe_bytes;    /* of each device extent */
	unsigned nr, sub_stripes;
	struct chunk_place places[CHUNK_MAX_STRIPES];
};

/* ---- dev_space.c; under the allocator's lock unless said ---- */

void dev_space_lock(struct dev_space *devs);
void dev_space_unlock(struct dev_space *devs);
/* Where the next chunk of this type (with profile bits) goes. Changes nothing. Return: 0; -ENOSPC; -EINVAL (a
 * profile that is not written). */
MUST_CHECK int dev_space_plan(struct dev_space *devs, uint64_t type, struct chunk_plan *out_plan);
/* Takes what was planned; nothing changed since. Cannot fail. */
void dev_space_take(struct dev_space *devs, const struct chunk_plan *plan);
/* Gives it back. Without memory for that it stays taken until the next mount; said. */
void dev_space_give(struct dev_space *devs, const struct chunk_plan *plan, struct msg *msg);
/* Bytes of a device in chunks, by now. 0; -ENOENT. Takes the lock. */
MUST_CHECK int dev_space_used(struct dev_space *devs, uint64_t devid, uint64_t *out_used);

/* ---- chunk.c ---- */

struct chunk_new {
	TAILQ_ENTRY(chunk_new) link;
	struct chunk_plan plan;
	struct block_group *bg;   /* a reference */
	uint64_t rsv_bytes;       /* in the chunk tree's reserve, for its items */
};

struct chunk_pending {
	pthread_mutex_t lock;
	TAILQ_HEAD(, chunk_new) list; /* under lock */
	_Atomic unsigned nr;      /* on the list, or being created */
};

/* Bytes that the items of a chunk may take from the chunk tree's reserve. */
uint64_t chunk_items_bytes(const struct space_fs *fs, unsigned devices);
/* Sees to SYSTEM space for them and reserves them. Under the allocator's lock. 0; -ENOSPC; -ENOMEM. */
MUST_CHECK int chunk_items_reserve(struct space_trans *st, uint64_t bytes);
void chunk_items_release(struct space_fs *fs, uint64_t bytes);
/* What the map has of a chunk, as a plan. False: it is not there, or of too many stripes. */
bool chunk_plan_of(const struct space_fs *fs, uint64_t logical, struct chunk_plan *out_plan);
/* Builds the chunk's item in buf (room for CHUNK_ITEM_MAX); returns its size. */
#define CHUNK_ITEM_MAX (sizeof(struct btrfs_chunk) + CHUNK_MAX_STRIPES * sizeof(struct btrfs_stripe))
uint32_t chunk_item_make(const struct space_fs *fs, const struct chunk_plan *plan, void *buf);

/* ---- chunk_items.c ---- */

/* Says it and aborts the transaction. Returns err. */
int chunk_abort(struct space_trans *st, int err, const char *what, uint64_t logical);
/* Sets bytes_used of the devices of these places, each once. 0; -errno. */
MUST_CHECK int chunk_update_devices(struct space_trans *st, const struct chunk_plan *plan);

/* ---- fst_live.c ---- */

/* `st` may be NULL for loading. */
struct fst_live {
	struct space_trans *st;
	struct bt_tree *tree;
};
struct fst_ops fst_live_ops(struct fst_live *live);
struct fst_group fst_live_group(const struct space_fs *fs, const struct block_group *bg);
/* Adds the group's part if it is not there, and takes it away. Take the group's fst_lock. No-ops without a tree. */
MUST_CHECK int fst_live_add(struct space_trans *st, struct block_group *bg);
MUST_CHECK int fst_live_remove(struct space_trans *st, struct block_group *bg);

#endif
