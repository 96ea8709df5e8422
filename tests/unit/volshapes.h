/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests of reading volumes share: a shape of each profile, opening, and a buffer. */
#ifndef UBTRFS_TESTS_UNIT_VOLSHAPES_H
#define UBTRFS_TESTS_UNIT_VOLSHAPES_H

#include "tests/unit/volopen.h"

#define DATA BTRFS_BLOCK_GROUP_DATA
#define LOGICAL (16ull << 20)

struct shape {
	uint64_t profile;
	unsigned devs;
	unsigned bears; /* bad devices */
};
#define NR_SHAPES 15
extern const struct shape shapes[NR_SHAPES];
extern const enum vb_state bad_states[4];

extern struct counters counters;
extern const struct vol_opts degraded;
extern uint8_t *buf; /* room for any chunk */

uint32_t rnd(uint32_t below);
/* A volume with one chunk of this shape, at LOGICAL. */
struct vb *make(const struct shape *s);
/* Asserts. */
struct vol *must_open(struct vb *vb, const struct vol_opts *opts);
bool right(uint64_t logical, const uint8_t *p, uint64_t len);

/* Of the group of tests: `buf`, and what threads left. */
int shapes_setup(void **state);
int shapes_teardown(void **state);

#endif
