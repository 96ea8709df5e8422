// SPDX-License-Identifier: GPL-2.0-or-later
/* Superblocks: a good one passes at each of its places, and each rule, broken alone, is named. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/checkbuild.h"

#define MIB (1ULL << 20)

static struct btrfs_chunk *first_chunk(struct btrfs_super_block *sb)
{
	return (void *)(sb->sys_chunk_array + sizeof(struct btrfs_disk_key));
}

static struct btrfs_super_block *make_super(void)
{
	const struct btrfs_key key = { 256, BTRFS_CHUNK_ITEM_KEY, 16 * MIB };
	struct btrfs_super_block *sb = calloc(1, sizeof(*sb));
	struct btrfs_disk_key dk = btrfs_disk_key_make(&key);
	struct btrfs_chunk *chunk = first_chunk(sb);

	memset(sb->fsid, 0x11, sizeof(sb->fsid));
	memset(sb->dev_item.fsid, 0x11, sizeof(sb->dev_item.fsid));
	sb->bytenr = le64_make(65536);
	sb->flags = le64_make(BTRFS_HEADER_FLAG_WRITTEN);
	sb->magic = le64_make(BTRFS_MAGIC);
	sb->generation = le64_make(CB_GENERATION);
	sb->root = le64_make(30408704);
	sb->chunk_root = le64_make(16 * MIB);
	sb->total_bytes = le64_make(1ULL << 30);
	sb->bytes_used = le64_make(6 * 16384);
	sb->num_devices = le64_make(1);
	sb->sectorsize = le32_make(4096);
	sb->nodesize = sb->__unused_leafsize = le32_make(16384);
	sb->stripesize = le32_make(4096);
	sb->incompat_flags =
		le64_make(BTRFS_FEATURE_INCOMPAT_MIXED_BACKREF | BTRFS_FEATURE_INCOMPAT_NO_HOLES);
	sb->compat_ro_flags = le64_make(BTRFS_FEATURE_COMPAT_RO_FREE_SPACE_TREE |
					BTRFS_FEATURE_COMPAT_RO_FREE_SPACE_TREE_VALID);
	sb->sys_chunk_array_size = le32_make(97);
	memcpy(sb->sys_chunk_array, &dk, sizeof(dk));
	chunk->length = le64_make(8 * MIB);
	chunk->stripe_len = le64_make(65536);
	chunk->type = le64_make(BTRFS_BLOCK_GROUP_SYSTEM);
	chunk->sector_size = le32_make(4096);
	chunk->num_stripes = le16_make(1);
	chunk->stripe.offset = le64_make(MIB);
	return sb;
}

static int check(struct btrfs_super_block *sb, uint64_t physical, struct btrfs_check_error *err)
{
	if (btrfs_csum_size(le16_get(sb->csum_type)))
		btrfs_csum(le16_get(sb->csum_type), (uint8_t *)sb + BTRFS_CSUM_SIZE,
			   sizeof(*sb) - BTRFS_CSUM_SIZE, sb->csum);
	memset(err, 0, sizeof(*err));
	return btrfs_check_super(sb, physical, false, err);
}

static void good(struct btrfs_super_block *sb)
{
	struct btrfs_check_error err;

	if (check(sb, 65536, &err))
		fail_msg("refused: %s", err.reason);
}

static void set(void *p, unsigned size, uint64_t value)
{
	for (unsigned i = 0; i < size; i++)
		((uint8_t *)p)[i] = i < 8 ? (uint8_t)(value >> 8 * i) : 0;
}

static void broken(struct btrfs_super_block *sb, void *p, unsigned size, uint64_t value,
		   const char *reason)
{
	struct btrfs_super_block old = *sb;
	struct btrfs_check_error err;

	set(p, size, value);
	if (check(sb, 65536, &err) != -EUCLEAN)
		fail_msg("passed, expected: %s", reason);
	if (!strstr(err.reason, reason))
		fail_msg("refused for: %s\nexpected: %s", err.reason, reason);
	assert_int_equal(err.slot, -1);
	*sb = old;
	good(sb);
}

#define BROKEN(sb, member, value, reason)                                                          \
	broken(sb, &(sb)->member, sizeof((sb)->member), value, reason)

static void identity(void **state)
{
	struct btrfs_super_block *sb = make_super();
	struct btrfs_check_error err;

	good(sb);
	BROKEN(sb, bytenr, 64 * MIB, "bytenr is 67108864, expected 65536");
	sb->bytenr = le64_make(64 * MIB);
	assert_int_equal(check(sb, 64 * MIB, &err), 0);
	sb->bytenr = le64_make(65536);
	BROKEN(sb, dev_item.fsid, 1, "fsid of the device item");
	BROKEN(sb, csum_type, 4, "checksum type is 4");
	sb->magic = le64_make(0);
	assert_int_equal(check(sb, 65536, &err), -EINVAL);
	assert_non_null(strstr(err.reason, "no btrfs superblock: magic is 0x0000000000000000"));
	sb->magic = le64_make(BTRFS_MAGIC);
	for (unsigned type = 0; type < 4; type++) {
		sb->csum_type = le16_make((uint16_t)type);
		good(sb);
		((uint8_t *)sb)[4095] ^= 1;
		assert_int_equal(btrfs_check_super(sb, 65536, false, &err), -EUCLEAN);
		assert_true(err.csum);
		assert_int_equal(btrfs_check_super(sb, 65536, true, &err), 0);
		((uint8_t *)sb)[4095] ^= 1;
	}
	free(sb);
}

static void metadata_uuid(void **state)
{
	struct btrfs_super_block *sb = make_super();
	struct btrfs_geometry geo;

	btrfs_geometry_from_super(sb, &geo);
	assert_memory_equal(geo.fsid, sb->fsid, 16);
	sb->incompat_flags =
		le64_make(le64_get(sb->incompat_flags) | BTRFS_FEATURE_INCOMPAT_METADATA_UUID);
	memset(sb->metadata_uuid, 0x22, 16);
	memset(sb->dev_item.fsid, 0x22, 16);
	good(sb);
	btrfs_geometry_from_super(sb, &geo);
	assert_memory_equal(geo.fsid, sb->metadata_uuid, 16);
	assert_int_equal(geo.nodesize, 16384);
	assert_int_equal(geo.sectorsize, 4096);
	assert_int_equal(geo.csum_size, 4);
	assert_int_equal(geo.generation, CB_GENERATION);
	assert_int_equal(geo.seed_fsids_nr, 0);
	BROKEN(sb, dev_item.fsid, 1, "fsid of the device item");
	free(sb);
}

static void sizes(void **state)
{
	struct btrfs_super_block *sb = make_super();

	BROKEN(sb, sectorsize, 0, "sectorsize is 0");
	BROKEN(sb, sectorsize, 2048, "sectorsize is 2048");
	BROKEN(sb, sectorsize, 12288, "sectorsize is 12288");
	BROKEN(sb, sectorsize, 131072, "sectorsize is 131072");
	BROKEN(sb, sectorsize, 32768, "nodesize is 16384, expected a power of 2 from 32768");
	BROKEN(sb, nodesize, 0, "nodesize is 0");
	BROKEN(sb, nodesize, 131072, "nodesize is 131072");
	BROKEN(sb, nodesize, 20480, "nodesize is 20480");
	BROKEN(sb, nodesize, 32768, "leafsize is 16384, expected the nodesize 32768");
	BROKEN(sb, stripesize, 0, "stripesize is 0");
	BROKEN(sb, stripesize, 4097, "stripesize is 4097");
	BROKEN(sb, bytes_used, 6 * 16384 - 1, "bytes_used is 98303");
	BROKEN(sb, num_devices, 0, "num_devices is 0");
	free(sb);
}

static void roots(void **state)
{
	struct btrfs_super_block *sb = make_super();

	BROKEN(sb, root, 30408705, "root 30408705 is not a multiple");
	BROKEN(sb, root, 0, "root is 0");
	BROKEN(sb, root, -4096ULL, "passes 2^64");
	BROKEN(sb, chunk_root, 16 * MIB + 1, "chunk_root 16777217 is not");
	BROKEN(sb, chunk_root, 0, "chunk_root is 0");
	BROKEN(sb, log_root, 1, "log_root 1 is not");
	BROKEN(sb, root_level, 8, "root level is 8");
	BROKEN(sb, chunk_root_level, 8, "chunk_root level is 8");
	BROKEN(sb, log_root_level, 255, "log_root level is 255");
	free(sb);
}

static void flags_and_features(void **state)
{
	struct btrfs_super_block *sb = make_super();
	const uint64_t incompat = le64_get(sb->incompat_flags);
	const uint64_t compat_ro = le64_get(sb->compat_ro_flags);
	const uint64_t bgt = compat_ro | BTRFS_FEATURE_COMPAT_RO_BLOCK_GROUP_TREE;

	BROKEN(sb, flags, BTRFS_SUPER_FLAG_CHANGING_FSID_V2 | 1, "was not finished");
	BROKEN(sb, flags, BTRFS_SUPER_FLAG_CHANGING_META_CSUM | 1, "was not finished");
	BROKEN(sb, flags, 1ULL << 37, "expected only bits of");
	sb->flags = le64_make(BTRFS_SUPER_FLAG_SEEDING | BTRFS_SUPER_FLAG_ERROR | 1);
	good(sb);
	sb->incompat_flags = le64_make(incompat | 1ULL << 50); /* for the opener to refuse */
	good(sb);
	sb->incompat_flags = le64_make(incompat);
	BROKEN(sb, compat_ro_flags, BTRFS_FEATURE_COMPAT_RO_BLOCK_GROUP_TREE,
	       "block-group-tree without");
	BROKEN(sb, incompat_flags, incompat | BTRFS_FEATURE_INCOMPAT_MIXED_GROUPS,
	       "mixed block groups with nodesize 16384");
	BROKEN(sb, incompat_flags, incompat | BTRFS_FEATURE_INCOMPAT_REMAP_TREE, "remap_root is 0");
	sb->remap_root = le64_make(16384);
	BROKEN(sb, incompat_flags, incompat | BTRFS_FEATURE_INCOMPAT_REMAP_TREE,
	       "remap-tree without block-group-tree");
	sb->compat_ro_flags = le64_make(bgt);
	good(sb);
	BROKEN(sb, incompat_flags, 1, "block-group-tree without free-space-tree or no-holes");
	sb->incompat_flags = le64_make(incompat | BTRFS_FEATURE_INCOMPAT_REMAP_TREE);
	good(sb);
	BROKEN(sb, remap_root_level, 8, "remap_root level is 8");
	BROKEN(sb, incompat_flags,
	       incompat | BTRFS_FEATURE_INCOMPAT_REMAP_TREE | BTRFS_FEATURE_INCOMPAT_ZONED,
	       "remap-tree with mixed block groups or zones");
	free(sb);
}

static void sys_chunk_array(void **state)
{
	struct btrfs_super_block *sb = make_super();
	struct btrfs_disk_key *dk = (void *)sb->sys_chunk_array;
	struct btrfs_chunk *chunk = first_chunk(sb);
	uint8_t entry[97];

	BROKEN(sb, sys_chunk_array_size, 0, "sys_chunk_array_size is 0, expected 97 to 2048");
	BROKEN(sb, sys_chunk_array_size, 96, "sys_chunk_array_size is 96");
	BROKEN(sb, sys_chunk_array_size, 2049, "sys_chunk_array_size is 2049");
	BROKEN(sb, sys_chunk_array_size, 98, "entry at 97 passes the end at 98");
	broken(sb, &dk->type, 1, BTRFS_DEV_ITEM_KEY, "key type at 0 is 216");
	broken(sb, &dk->offset, 8, 1, "chunk start 1 is not");
	broken(sb, &chunk->num_stripes, 2, 2, "chunk at 17 passes the end at 97");
	broken(sb, &chunk->num_stripes, 2, 65535, "chunk at 17 passes the end at 97");
	broken(sb, &chunk->type, 8, BTRFS_BLOCK_GROUP_DATA, "expected SYSTEM");
	broken(sb, &chunk->stripe_len, 8, 0, "stripe_len is 0");
	broken(sb, &chunk->sector_size, 4, 512, "chunk sector_size is 512");
	memcpy(entry, sb->sys_chunk_array, sizeof(entry));
	for (unsigned i = 0; i < 2048 / 97; i++)
		memcpy(sb->sys_chunk_array + 97 * i, entry, sizeof(entry));
	sb->sys_chunk_array_size = le32_make(2048 / 97 * 97);
	good(sb);
	free(sb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(identity),
		cmocka_unit_test(metadata_uuid),
		cmocka_unit_test(sizes),
		cmocka_unit_test(roots),
		cmocka_unit_test(flags_and_features),
		cmocka_unit_test(sys_chunk_array),
	};

	return cmocka_run_group_tests_name("check_super", tests, NULL, NULL);
}
