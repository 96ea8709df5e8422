/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Node ids: one number for an inode of any subvolume, unique over the mount and the same in each
 * mount. A node id is the st_ino, too, except for the mount's root, which FUSE calls 1.
 *
 *   0 slot:23 ino:40   slot 0: subvolume 5; slot n: subvolume n + 255
 *   1 hash:63          what does not fit, and stubs: in a table
 */
#ifndef UBTRFS_FUSE_NODEID_H
#define UBTRFS_FUSE_NODEID_H

#include "engine/engine.h"

struct nodeids;

/* -ENOMEM. */
int nodeids_create(struct eng_ino root, struct nodeids **out_ids);
void nodeids_destroy(struct nodeids *ids);

/* The number that is shown as st_ino; of an inode that FUSE need not know yet. */
uint64_t nodeid_number(struct nodeids *ids, struct eng_ino id, uint64_t stub_key);
/*
 * The number to show, kept resolvable until nodeids_destroy, and the node id by which FUSE may ask
 * for it. -ENOMEM.
 */
int nodeid_add(struct nodeids *ids, const struct eng_attr *attr, uint64_t *out_number,
	       uint64_t *out_nodeid);
/*
 * What a node id means. *out_stub is NULL, or the attributes of a stub (they live as long as ids).
 * -ESTALE: never given out.
 */
int nodeid_resolve(struct nodeids *ids, uint64_t nodeid, struct eng_ino *out_id,
		   const struct eng_attr **out_stub);
/* Entries in the table: what the mount remembers. */
uint64_t nodeids_kept(struct nodeids *ids);

#endif
