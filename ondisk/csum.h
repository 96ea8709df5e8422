/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The four checksums of the format and the hashes that appear in keys.
 *
 * A checksum occupies BTRFS_CSUM_SIZE (32) bytes in headers and its own size in the csum tree; the
 * bytes past its size are zero. CRC-32C and xxhash64 are stored little endian.
 */
#ifndef UBTRFS_ONDISK_CSUM_H
#define UBTRFS_ONDISK_CSUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BTRFS_CSUM_SIZE 32

/* Size in bytes of a checksum of this type (4, 8, 32, 32), or 0 if the type is unknown. */
unsigned btrfs_csum_size(unsigned type);
/* "crc32c", "xxhash64", "sha256", "blake2", or NULL. */
const char *btrfs_csum_name(unsigned type);
/* Computes the checksum of data[0, len); the rest of out is zeroed. `type` must be a known one. */
void btrfs_csum(unsigned type, const void *data, size_t len, uint8_t out[BTRFS_CSUM_SIZE]);

/* CRC-32C with the given start value and no final inversion (the kernel's crc32c()). */
uint32_t btrfs_crc32c(uint32_t seed, const void *data, size_t len);
/* Key offset of a DIR_ITEM or XATTR_ITEM. */
uint64_t btrfs_name_hash(const char *name, size_t len);
/* Key offset of an INODE_EXTREF. */
uint64_t btrfs_extref_hash(uint64_t parent, const char *name, size_t len);
/* Key offset of a keyed EXTENT_DATA_REF. */
uint64_t btrfs_extent_data_ref_hash(uint64_t root, uint64_t objectid, uint64_t offset);

#endif
