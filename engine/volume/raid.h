/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The profiles: one row each, and what follows from a row. Pure. */
#ifndef UBTRFS_ENGINE_VOLUME_RAID_H
#define UBTRFS_ENGINE_VOLUME_RAID_H

#include <stdbool.h>
#include <stdint.h>

struct raid_profile {
	const char *name;         /* "single", "DUP", "RAID1", … as btrfs-progs prints them */
	uint64_t flag;            /* BTRFS_BLOCK_GROUP_*; 0: single */
	unsigned copies;          /* complete copies */
	unsigned parity;          /* parity stripes in a full stripe */
	unsigned min_devices;
	unsigned tolerated;       /* device failures that lose nothing */
	bool striped;             /* consecutive stripe_len pieces go to different devices */
};

/* The row for a chunk type (bits besides the profile are ignored); NULL for an impossible combination. */
const struct raid_profile *raid_profile(uint64_t type);
/* Stripes that hold distinct data, for a chunk of num_stripes. */
unsigned raid_data_stripes(const struct raid_profile *p, unsigned num_stripes, unsigned sub_stripes);

#endif
