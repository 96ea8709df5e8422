// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The profiles and their arithmetic. No state, no I/O.
 */
#include "engine/volume/raid.h"

#include "engine/util/fault.h"
#include "ondisk/format.h"

#include <assert.h>
#include <stddef.h>

#include <isa-l.h>

/* Copies, parity, least devices and tolerated failures as the kernel defines the profiles. */
static const struct raid_profile profiles[] = {
	{"single", 0, 1, 0, 1, 0, false},
	{"DUP", BTRFS_BLOCK_GROUP_DUP, 2, 0, 1, 0, false},
	{"RAID0", BTRFS_BLOCK_GROUP_RAID0, 1, 0, 1, 0, true},
	{"RAID1", BTRFS_BLOCK_GROUP_RAID1, 2, 0, 2, 1, false},
	{"RAID1C3", BTRFS_BLOCK_GROUP_RAID1C3, 3, 0, 3, 2, false},
	{"RAID1C4", BTRFS_BLOCK_GROUP_RAID1C4, 4, 0, 4, 3, false},
	{"RAID10", BTRFS_BLOCK_GROUP_RAID10, 2, 0, 2, 1, true},
	{"RAID5", BTRFS_BLOCK_GROUP_RAID5, 1, 1, 2, 1, true},
	{"RAID6", BTRFS_BLOCK_GROUP_RAID6, 1, 2, 3, 2, true},
};

const struct raid_profile *raid_profile(uint64_t type)
{
	for (size_t i = 0; i < sizeof(profiles) / sizeof(profiles[0]); i++)
		if (profiles[i].flag == (type & BTRFS_BLOCK_GROUP_PROFILE_MASK))
			return &profiles[i];
	return NULL;
}

unsigned raid_data_stripes(const struct raid_profile *p, unsigned num_stripes, unsigned sub_stripes)
{
	if (!p->striped)
		return num_stripes ? 1 : 0;
	if (p->parity)
		return num_stripes > p->parity ? num_stripes - p->parity : 0;
	if (p->copies > 1)
		return sub_stripes ? num_stripes / sub_stripes : 0;
	return num_stripes;
}

unsigned raid_row_stripe(unsigned num_stripes, uint64_t row, unsigned column)
{
	/* Each row begins one stripe further on than the one before, so that parity wanders. */
	if (PLANTED("raid_no_rotation"))
		row = 0;
	return (unsigned)((row + column) % num_stripes);
}

struct raid_place raid_locate(const struct raid_profile *p, unsigned num_stripes,
			      unsigned sub_stripes, unsigned data, uint32_t stripe_len,
			      uint64_t chunk_len, uint64_t off)
{
	struct raid_place at = {0};
	uint64_t nr = off / stripe_len;
	uint32_t within = (uint32_t)(off % stripe_len);

	assert(data && off < chunk_len);
	at.left = chunk_len - off;
	if (!p->striped) {
		at.dev_off = off;
		return at;
	}
	if (at.left > stripe_len - within)
		at.left = stripe_len - within;
	at.row = nr / data;
	at.column = (unsigned)(nr % data);
	at.dev_off = at.row * stripe_len + within;
	if (p->parity)
		at.first = raid_row_stripe(num_stripes, at.row, at.column);
	else if (p->copies > 1)
		at.first = at.column * sub_stripes;
	else
		at.first = at.column;
	return at;
}

uint8_t raid_gf_mul(uint8_t a, uint8_t b)
{
	return gf_mul(a, b);
}

uint8_t raid_gf_inv(uint8_t v)
{
	assert(v);
	return gf_inv(v);
}

uint8_t raid_gf_exp(unsigned i)
{
	unsigned v = 1;

	/* 2 generates all 255 non-zero elements. */
	for (i %= 255; i; i--)
		v = v << 1 ^ (v & 0x80 ? 0x11d : 0);
	return (uint8_t)v;
}

void raid_gf_add(uint8_t *dst, const uint8_t *src, uint8_t coef, uint32_t len)
{
	uint32_t i = 0;

	if (coef == 0)
		return;
	if (coef == 1) {
		for (; i < len; i++)
			dst[i] ^= src[i];
		return;
	}
	if (len >= 64) {
		uint8_t table[32];

		/* ISA-L wants 64 bytes at least, and is fastest in multiples of 32. */
		i = len & ~31u;
		gf_vect_mul_init(coef, table);
		gf_vect_mad((int)i, 1, 0, table, (uint8_t *)(uintptr_t)src, dst);
	}
	for (; i < len; i++)
		dst[i] ^= gf_mul(coef, src[i]);
}
