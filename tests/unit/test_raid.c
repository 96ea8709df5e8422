// SPDX-License-Identifier: GPL-2.0-or-later
/* The arithmetic of profiles: the field that RAID 6 computes in, and how many stripes hold data. */
#include "engine/volume/raid.h"
#include "tests/unit/volshapes.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint8_t slow_mul(uint8_t a, uint8_t b)
{
	unsigned r = 0, x = a;

	for (; b; b >>= 1, x <<= 1) {
		if (x & 0x100)
			x ^= 0x11d;
		if (b & 1)
			r ^= x;
	}
	return (uint8_t)r;
}

static void test_field(void **state)
{
	uint8_t src[300], dst[300], want[300];

	for (unsigned a = 0; a < 256; a++)
		for (unsigned b = 0; b < 256; b++)
			assert_int_equal(raid_gf_mul((uint8_t)a, (uint8_t)b),
					 slow_mul((uint8_t)a, (uint8_t)b));
	for (unsigned a = 1; a < 256; a++)
		assert_int_equal(slow_mul((uint8_t)a, raid_gf_inv((uint8_t)a)), 1);
	assert_int_equal(raid_gf_exp(0), 1);
	for (unsigned i = 0; i < 600; i++)
		assert_int_equal(raid_gf_exp(i + 1), slow_mul(raid_gf_exp(i), 2));
	for (uint32_t len = 0; len < 300; len++) {
		uint8_t coef = (uint8_t)rnd(256);

		for (unsigned i = 0; i < 300; i++) {
			src[i] = (uint8_t)rnd(256);
			dst[i] = want[i] = (uint8_t)rnd(256);
			if (i < len)
				want[i] ^= slow_mul(coef, src[i]);
		}
		raid_gf_add(dst, src, coef, len);
		assert_memory_equal(dst, want, 300);
	}
}

static void test_profiles(void **state)
{
	assert_string_equal(raid_profile(DATA)->name, "single");
	assert_string_equal(raid_profile(DATA | BTRFS_BLOCK_GROUP_RAID1C3)->name, "RAID1C3");
	assert_null(raid_profile(BTRFS_BLOCK_GROUP_RAID1 | BTRFS_BLOCK_GROUP_DUP));
	for (unsigned i = 0; i < NR_SHAPES; i++)
		assert_int_equal(raid_profile(shapes[i].profile)->tolerated, shapes[i].bears);
	assert_int_equal(raid_data_stripes(raid_profile(BTRFS_BLOCK_GROUP_RAID10), 6, 2), 3);
	assert_int_equal(raid_data_stripes(raid_profile(BTRFS_BLOCK_GROUP_RAID6), 6, 1), 4);
	assert_int_equal(raid_data_stripes(raid_profile(BTRFS_BLOCK_GROUP_RAID1C4), 4, 1), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_field),
		cmocka_unit_test(test_profiles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
