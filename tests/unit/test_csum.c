// SPDX-License-Identifier: GPL-2.0-or-later
/* Checksums and key hashes against published vectors and against what mkfs.btrfs and Linux wrote. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <pthread.h>
#include <cmocka.h>

#include "ondisk/csum.h"
#include "ondisk/format.h"

static const char *csum_hex(unsigned type, const void *data, size_t len)
{
	static char hex[2 * BTRFS_CSUM_SIZE + 1];
	uint8_t sum[BTRFS_CSUM_SIZE];

	memset(sum, 0xaa, sizeof(sum));
	btrfs_csum(type, data, len, sum);
	for (unsigned i = 0; i < BTRFS_CSUM_SIZE; i++)
		snprintf(hex + 2 * i, 3, "%02x", sum[i]);
	for (unsigned i = btrfs_csum_size(type); i < BTRFS_CSUM_SIZE; i++)
		assert_int_equal(sum[i], 0);
	hex[2 * btrfs_csum_size(type)] = 0;
	return hex;
}

static void names_and_sizes(void **state)
{
	assert_string_equal(btrfs_csum_name(BTRFS_CSUM_TYPE_CRC32), "crc32c");
	assert_string_equal(btrfs_csum_name(BTRFS_CSUM_TYPE_XXHASH), "xxhash64");
	assert_string_equal(btrfs_csum_name(BTRFS_CSUM_TYPE_SHA256), "sha256");
	assert_string_equal(btrfs_csum_name(BTRFS_CSUM_TYPE_BLAKE2), "blake2");
	assert_null(btrfs_csum_name(4));
	assert_int_equal(btrfs_csum_size(0), 4);
	assert_int_equal(btrfs_csum_size(1), 8);
	assert_int_equal(btrfs_csum_size(2), 32);
	assert_int_equal(btrfs_csum_size(3), 32);
	assert_int_equal(btrfs_csum_size(4), 0);
	assert_int_equal(btrfs_csum_size(65535), 0);
}

/* RFC 3720 B.4 and the usual check value for CRC-32C; xxHash, FIPS 180-4 and BLAKE2 test values. */
static void published_vectors(void **state)
{
	uint8_t buf[32];

	assert_string_equal(csum_hex(0, "123456789", 9), "839206e3");
	memset(buf, 0, sizeof(buf));
	assert_string_equal(csum_hex(0, buf, 32), "aa36918a");
	memset(buf, 0xff, sizeof(buf));
	assert_string_equal(csum_hex(0, buf, 32), "43aba862");
	for (int i = 0; i < 32; i++)
		buf[i] = (uint8_t)i;
	assert_string_equal(csum_hex(0, buf, 32), "4e79dd46");

	assert_string_equal(csum_hex(1, "", 0), "99e9d85137db46ef");
	assert_string_equal(csum_hex(1, "abc", 3), "990977adf52cbc44");
	assert_string_equal(csum_hex(2, "abc", 3), "ba7816bf8f01cfea414140de5dae2223"
						   "b00361a396177a9cb410ff61f20015ad");
	assert_string_equal(csum_hex(3, "", 0), "0e5751c026e543b2e8ab2eb06099daa1"
						"d1e5df47778f7787faab45cdf12fe3a8");
	assert_string_equal(csum_hex(3, "abc", 3), "bddd813c634239723171ef3fee98579b"
						   "94964e3bb1cb3e427262c8c068d52319");
}

/* A file of 4096 bytes (7 i + 3) mod 256, put on four images with mkfs.btrfs --csum X --rootdir. */
static void sums_written_by_mkfs(void **state)
{
	uint8_t data[4096];

	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 + 3);
	assert_string_equal(csum_hex(0, data, sizeof(data)), "43b696ed");
	assert_string_equal(csum_hex(1, data, sizeof(data)), "cc972743cd986379");
	assert_string_equal(csum_hex(2, data, sizeof(data)), "7486da8f1e13943fae21a0b043f1e996"
							     "40d7d8ebafb25266478b5cddae1272b5");
	assert_string_equal(csum_hex(3, data, sizeof(data)), "3b7dcca5dcb409b9ee1d33ac58a03966"
							     "d5e86581278891945e3d2fd80e3aad58");
}

static void crc_in_parts_equals_whole(void **state)
{
	uint8_t data[300];

	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * i + 1);
	uint32_t whole = btrfs_crc32c(0x12345678, data, sizeof(data));

	for (unsigned cut = 0; cut <= sizeof(data); cut++) {
		uint32_t part = btrfs_crc32c(0x12345678, data, cut);

		assert_int_equal(btrfs_crc32c(part, data + cut, sizeof(data) - cut), whole);
	}
	assert_int_equal(btrfs_crc32c(77, data, 0), 77);
}

/* Key offsets that btrfs-progs shows for items written by Linux. */
static void hashes_in_keys(void **state)
{
	char name[256];

	assert_int_equal(btrfs_name_hash("default", 7), 2378154706U);
	snprintf(name, sizeof(name), "hardlink-with-a-longer-name-%0200d", 188);
	assert_int_equal(btrfs_extref_hash(256, name, strlen(name)), 24291677);
	snprintf(name, sizeof(name), "hardlink-with-a-longer-name-%0200d", 125);
	assert_int_equal(btrfs_extref_hash(256, name, strlen(name)), 67835608);
	assert_true(btrfs_extent_data_ref_hash(5, 320, 0) == 1007496931369892584ULL);
	assert_true(btrfs_extent_data_ref_hash(5, 314, 0) == 1007496931468551167ULL);
	assert_true(btrfs_extent_data_ref_hash(5, 297, 0) == 1007496931555208115ULL);
}

static void *hash_in_thread(void *arg)
{
	for (int i = 0; i < 200; i++) {
		uint8_t sum[BTRFS_CSUM_SIZE];

		btrfs_csum(BTRFS_CSUM_TYPE_SHA256 + i % 2, "abc", 3, sum);
		if (sum[0] != (i % 2 ? 0xbd : 0xba))
			return (void *)1;
	}
	return NULL;
}

static void any_thread_may_come_first(void **state)
{
	pthread_t thr[4];

	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&thr[i], NULL, hash_in_thread, NULL), 0);
	for (int i = 0; i < 4; i++) {
		void *bad;

		pthread_join(thr[i], &bad);
		assert_null(bad);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_thread_may_come_first),
		cmocka_unit_test(names_and_sizes),
		cmocka_unit_test(published_vectors),
		cmocka_unit_test(sums_written_by_mkfs),
		cmocka_unit_test(crc_in_parts_equals_whole),
		cmocka_unit_test(hashes_in_keys),
	};

	return cmocka_run_group_tests_name("csum", tests, NULL, NULL);
}
