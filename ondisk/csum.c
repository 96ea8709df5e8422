// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Checksums and key hashes.
 *
 * CRC-32C comes in two uses that differ at both ends: block and data checksums start from all ones
 * and are inverted, the hashes in keys start elsewhere and are not. ISA-L's function is the bare
 * register either way.
 *
 * No locks of our own; libgcrypt is set up once, by whoever comes first.
 */
#include "ondisk/csum.h"

#include <assert.h>
#include <gcrypt.h>
#include <isa-l/crc.h>
#include <pthread.h>
#include <string.h>
#include <xxhash.h>

#include "ondisk/endian.h"
#include "ondisk/format_const.h"

static const struct {
	const char *name;
	unsigned size;
} csum_types[] = {
	[BTRFS_CSUM_TYPE_CRC32] = {"crc32c", 4},
	[BTRFS_CSUM_TYPE_XXHASH] = {"xxhash64", 8},
	[BTRFS_CSUM_TYPE_SHA256] = {"sha256", 32},
	[BTRFS_CSUM_TYPE_BLAKE2] = {"blake2", 32},
};

#define CSUM_TYPES (sizeof(csum_types) / sizeof(csum_types[0]))

unsigned btrfs_csum_size(unsigned type)
{
	return type < CSUM_TYPES ? csum_types[type].size : 0;
}

const char *btrfs_csum_name(unsigned type)
{
	return type < CSUM_TYPES ? csum_types[type].name : NULL;
}

static void gcrypt_init(void)
{
	/* A program around us may have done it already, and then decided about secure memory. */
	if (gcry_control(GCRYCTL_INITIALIZATION_FINISHED_P))
		return;
	gcry_check_version(NULL);
	gcry_control(GCRYCTL_DISABLE_SECMEM, 0);
	gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
}

static void gcrypt_hash(int algo, const void *data, size_t len, uint8_t *out)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, gcrypt_init);
	gcry_md_hash_buffer(algo, out, data, len);
}

uint32_t btrfs_crc32c(uint32_t seed, const void *data, size_t len)
{
	const unsigned char *p = data;

	/* The library counts in int. */
	while (len > 0) {
		size_t part = len < (1U << 30) ? len : (1U << 30);

		seed = crc32_iscsi((unsigned char *)p, (int)part, seed);
		p += part;
		len -= part;
	}
	return seed;
}

void btrfs_csum(unsigned type, const void *data, size_t len, uint8_t out[BTRFS_CSUM_SIZE])
{
	le32 crc;
	le64 xxh;

	memset(out, 0, BTRFS_CSUM_SIZE);
	switch (type) {
	case BTRFS_CSUM_TYPE_CRC32:
		crc = le32_make(~btrfs_crc32c(~0U, data, len));
		memcpy(out, &crc, sizeof(crc));
		break;
	case BTRFS_CSUM_TYPE_XXHASH:
		xxh = le64_make(XXH64(data, len, 0));
		memcpy(out, &xxh, sizeof(xxh));
		break;
	case BTRFS_CSUM_TYPE_SHA256:
		gcrypt_hash(GCRY_MD_SHA256, data, len, out);
		break;
	case BTRFS_CSUM_TYPE_BLAKE2:
		gcrypt_hash(GCRY_MD_BLAKE2B_256, data, len, out);
		break;
	default:
		assert(!"unknown checksum type");
	}
}

uint64_t btrfs_name_hash(const char *name, size_t len)
{
	return btrfs_crc32c(~1U, name, len);
}

uint64_t btrfs_extref_hash(uint64_t parent, const char *name, size_t len)
{
	return btrfs_crc32c((uint32_t)parent, name, len);
}

uint64_t btrfs_extent_data_ref_hash(uint64_t root, uint64_t objectid, uint64_t offset)
{
	le64 r = le64_make(root), o = le64_make(objectid), f = le64_make(offset);
	uint32_t high = btrfs_crc32c(~0U, &r, sizeof(r));
	uint32_t low = btrfs_crc32c(btrfs_crc32c(~0U, &o, sizeof(o)), &f, sizeof(f));

	/* Shifted by 31, not 32: an old slip that the format keeps. */
	return ((uint64_t)high << 31) ^ low;
}
