// SPDX-License-Identifier: GPL-2.0-or-later
/* Volumes of every profile to read from: see volshapes.h. */
#include "tests/unit/volshapes.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

const struct shape shapes[NR_SHAPES] = {
	{ 0, 1, 0 },
	{ BTRFS_BLOCK_GROUP_RAID0, 1, 0 },
	{ BTRFS_BLOCK_GROUP_RAID0, 3, 0 },
	{ BTRFS_BLOCK_GROUP_RAID1, 2, 1 },
	{ BTRFS_BLOCK_GROUP_RAID1C3, 3, 2 },
	{ BTRFS_BLOCK_GROUP_RAID1C4, 4, 3 },
	{ BTRFS_BLOCK_GROUP_RAID10, 2, 1 },
	{ BTRFS_BLOCK_GROUP_RAID10, 4, 1 },
	{ BTRFS_BLOCK_GROUP_RAID10, 6, 1 },
	{ BTRFS_BLOCK_GROUP_RAID5, 2, 1 },
	{ BTRFS_BLOCK_GROUP_RAID5, 3, 1 },
	{ BTRFS_BLOCK_GROUP_RAID5, 5, 1 },
	{ BTRFS_BLOCK_GROUP_RAID6, 3, 2 },
	{ BTRFS_BLOCK_GROUP_RAID6, 4, 2 },
	{ BTRFS_BLOCK_GROUP_RAID6, 6, 2 },
};

const enum vb_state bad_states[4] = { VB_MISSING, VB_GARBAGE, VB_LYING, VB_FAILING };

struct counters counters;
const struct vol_opts degraded = { .degraded = true, .super_copy = -1 };
uint8_t *buf;

static uint32_t rnd_state = 1;
uint32_t rnd(uint32_t below)
{
	rnd_state = rnd_state * 1664525 + 1013904223;
	return (rnd_state >> 8) % below;
}

struct vb *make(const struct shape *s)
{
	struct vb *vb = vb_create(s->devs, 0xaa);

	for (unsigned i = 0; i < s->devs; i++)
		vb_write_super(vb, i, 0, NULL);
	vb_add_chunk(vb, DATA | s->profile, LOGICAL, s->devs < 6 ? s->devs + 2 : 7);
	return vb;
}

struct vol *must_open(struct vb *vb, const struct vol_opts *opts)
{
	struct vol *v;

	assert_int_equal(open_volume(vb, opts, NULL, &counters, &v), 0);
	return v;
}

bool right(uint64_t logical, const uint8_t *p, uint64_t len)
{
	return vb_verify(NULL, logical, p, (uint32_t)len);
}

int shapes_setup(void **state)
{
	buf = NULL;
	return posix_memalign((void **)&buf, BDEV_ALIGN, 4u << 20);
}

int shapes_teardown(void **state)
{
	free(buf);
	bdev_rings_destroy();
	return 0;
}
