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

/* Where a byte of a chunk lies. Stripes are numbered by their place in the chunk item. */
struct raid_place {
	unsigned first;   /* stripe of copy 1; copy n is n - 1 stripes on */
	unsigned column;  /* parity profiles: which data stripe of the row it is */
	uint64_t row;     /* full stripes before it */
	uint64_t dev_off; /* from the stripe's physical start */
	uint64_t left;    /* bytes that go on contiguously from here, on every copy */
};
/*
 * `off` and `chunk_len` are bytes of the chunk, off < chunk_len; stripe_len is a power of two. `data` is
 * raid_data_stripes() and not 0.
 */
struct raid_place raid_locate(const struct raid_profile *p, unsigned num_stripes, unsigned sub_stripes,
			      unsigned data, uint32_t stripe_len, uint64_t chunk_len, uint64_t off);
/* The stripe that holds data column `column` of a row; column `data` is P, `data` + 1 is Q. */
unsigned raid_row_stripe(unsigned num_stripes, uint64_t row, unsigned column);

/*
 * Parity is arithmetic in GF(2^8) with the polynomial 0x11d and the generator 2: P is the sum of the
 * data stripes D[i] of a row, Q the sum of 2^i D[i].
 */
/* dst += coef * src. Any length and alignment. */
void raid_gf_add(uint8_t *dst, const uint8_t *src, uint8_t coef, uint32_t len);
/* 2^i */
uint8_t raid_gf_exp(unsigned i);
/* 1 / v; v is not 0. */
uint8_t raid_gf_inv(uint8_t v);
uint8_t raid_gf_mul(uint8_t a, uint8_t b);

#endif
