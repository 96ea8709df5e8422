/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of lab_verify share. */
#ifndef UBTRFS_ENGINE_API_VERIFY_PRIV_H
#define UBTRFS_ENGINE_API_VERIFY_PRIV_H

#include "engine/txn/txn.h"

/* An extent item, and how often it was met. */
struct vf_extent {
	uint64_t start, len, refs, flags;
	uint64_t met;
	uint64_t named; /* by back references */
};

struct vf_group {
	uint64_t start, len, used, flags;
	uint64_t sum; /* of the extents in it */
};

/* What device extents add up to. */
struct vf_device {
	uint64_t id, bytes;
};

#define VF_DEVICES 64

/* The committed state, as read. */
struct verify {
	struct fs *fs;
	struct btrfs_super_block sb;
	struct bt_root tree_root, chunk_root, extent_root, dev_root, bg_root, fst_root;
	struct vf_extent *extents; /* ascending */
	size_t nr_extents, max_extents;
	struct vf_group *groups; /* ascending */
	size_t nr_groups, max_groups;
	struct vf_device devs[VF_DEVICES];
	unsigned nr_devs;
	size_t nr_chunks, nr_stripes, nr_dev_extents;
	bool dying;	/* a subvolume is being deleted: references are not counted */
	char what[300]; /* wrong; "" if nothing */
};

/* Notes what is wrong, the first time. Returns -EUCLEAN. */
int vf_wrong(struct verify *v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Calls fn for each item of the tree, until it returns not 0. */
int vf_items(struct verify *v, const struct bt_root *root,
	     int (*fn)(struct verify *v, const struct bt_path *path));
/* Room for one more of `nr` elements. 0; -ENOMEM. */
int vf_room(void **array, size_t nr, size_t *max, size_t size);

/* verify_trees.c: every tree's blocks and file extents against the extent tree. */
int vf_trees(struct verify *v);
/* verify_space.c: block groups, free space, chunks, devices. */
int vf_space(struct verify *v);

#endif
