// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Arbitrary bytes through btrfs_check_super(), btrfs_check_block(), the walks over fields and the
 * printers. None may read outside its block (blocks are allocated to the byte, the sanitizer
 * looks), and what passed the checks must be what a reader relies on (this file looks, on its own).
 *
 * Random bytes alone would never get past a header, so the input is a small program: its first byte
 * says what to build (a superblock with bytes overwritten, a block of raw bytes, a leaf of items
 * laid out properly, a node), and checksum and identity are made right at the end.
 *
 * Planted faults that it is shown to find: check-dir-name (reads past an item), check-key-order.
 */
#include <stdlib.h>
#include <string.h>

#include "ondisk/check.h"
#include "ondisk/fields.h"
#include "ondisk/print.h"

#define LOGICAL 30408704ULL
#define GENERATION 20ULL

/* The input, consumed from the front; past its end come zeros. */
struct input {
	const uint8_t *p;
	size_t left;
};

static uint64_t take_int(struct input *in, unsigned bytes)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < bytes && in->left; i++, in->p++, in->left--)
		v |= (uint64_t)*in->p << 8 * i;
	return v;
}

static size_t take_bytes(struct input *in, void *to, size_t len)
{
	size_t n = len < in->left ? len : in->left;

	memcpy(to, in->p, n);
	in->p += n;
	in->left -= n;
	return n;
}

static int drop_text(void *arg, const char *buf, size_t len)
{
	return 0;
}

/* Where bytes go that are read only for a sanitizer to look at. */
static volatile uint8_t sink;

static int touch(void *arg, const struct btrfs_struct_desc *desc, const void *p, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		sink ^= ((const uint8_t *)p)[i];
	return 0;
}

/* ---- what a reader relies on after the checks, looked at without their help ---- */

static void relied_upon_dir_item(const void *leaf, unsigned slot)
{
	const uint8_t *p = btrfs_item_ptr(leaf, slot);
	uint32_t len = btrfs_item_size(leaf, slot), off = 0;

	while (off < len) {
		const struct btrfs_dir_item *di = (const void *)(p + off);

		if (len - off < sizeof(*di))
			abort();
		off += (uint32_t)sizeof(*di) + le16_get(di->name_len) + le16_get(di->data_len);
	}
	if (off != len)
		abort();
}

static void relied_upon(const uint8_t *block, const struct btrfs_geometry *geo)
{
	uint32_t nr = btrfs_header_nritems(block), end = geo->nodesize;

	for (uint32_t i = 0; i < nr; i++) {
		struct btrfs_key key = btrfs_block_key(block, i);
		const uint8_t *item;

		if (i > 0) {
			struct btrfs_key prev = btrfs_block_key(block, i - 1);

			if (btrfs_key_cmp(&prev, &key) >= 0)
				abort();
		}
		if (btrfs_header_level(block))
			continue;
		item = btrfs_item_ptr(block, i);
		if (item < block || btrfs_item_size(block, i) > end ||
		    item + btrfs_item_size(block, i) > block + end)
			abort();
		end = (uint32_t)(item - block);
		if (key.type == BTRFS_DIR_ITEM_KEY || key.type == BTRFS_XATTR_ITEM_KEY)
			relied_upon_dir_item(block, i);
	}
}

/* ---- building ---- */

static void geometry(struct btrfs_geometry *geo, struct input *in)
{
	unsigned how = (unsigned)take_int(in, 1);

	memset(geo, 0, sizeof(*geo));
	geo->sectorsize = how & 1 ? 16384 : 4096;
	geo->nodesize = how & 2 ? 65536 : geo->sectorsize;
	geo->csum_type = BTRFS_CSUM_TYPE_CRC32;
	geo->csum_size = how & 4 ? 32 : 4; /* of items; the block's own is not looked at */
	geo->ignore_csum = true;
	geo->incompat = how & 8 ? ~0ULL : BTRFS_FEATURE_INCOMPAT_SKINNY_METADATA;
	geo->super_flags = how & 16 ? BTRFS_SUPER_FLAG_METADUMP_V2 : 0;
	geo->writable = how & 32;
	geo->generation = GENERATION;
	geo->total_bytes = 1ULL << 40;
}

static uint64_t take_objectid(struct input *in, unsigned slot)
{
	static const uint64_t special[] = {
		BTRFS_EXTENT_CSUM_OBJECTID, BTRFS_FREE_SPACE_OBJECTID, BTRFS_BALANCE_OBJECTID,
		BTRFS_ORPHAN_OBJECTID,	    BTRFS_TREE_RELOC_OBJECTID, BTRFS_FREE_INO_OBJECTID,
	};
	unsigned how = (unsigned)take_int(in, 1);

	if (how < 128)
		return 256 + how / 16; /* rises slowly: several items of one inode */
	if (how < 192)
		return (uint64_t)(slot + 1) << 20;
	return special[how % (sizeof(special) / sizeof(special[0]))];
}

static uint8_t take_type(struct input *in)
{
	static const uint8_t types[] = {
		0,   1,	  12,  13,  24,	 36,  37,  48,	60,  72,  84,  96,  108, 128, 132,
		144, 156, 168, 169, 176, 178, 182, 184, 192, 198, 199, 200, 204, 216, 228,
		230, 234, 235, 236, 240, 242, 244, 246, 248, 249, 250, 251, 252, 253,
	};

	return types[take_int(in, 1) % sizeof(types)];
}

static void build_leaf(uint8_t *block, const struct btrfs_geometry *geo, struct input *in)
{
	struct btrfs_leaf *leaf = (void *)block;
	uint32_t end = btrfs_leaf_data_size(geo->nodesize), nr = 0;

	while (in->left > 4) {
		struct btrfs_key key;
		unsigned how;
		uint32_t len;
		uint8_t *data;

		key.objectid = take_objectid(in, nr);
		key.type = take_type(in);
		how = (unsigned)take_int(in, 1);
		len = (uint32_t)take_int(in, how & 1 ? 2 : 1);
		key.offset = take_int(in, how & 2 ? 8 : how & 4 ? 1 : 0);
		if (how & 8)
			key.offset *= geo->sectorsize;
		if (len > end || end - len < (nr + 1) * sizeof(struct btrfs_item))
			break;
		end -= len;
		data = block + sizeof(struct btrfs_header) + end;
		memset(data, 0, len);
		take_bytes(in, data, len);
		/* a name's hash is nothing that mutations find */
		if ((how & 16) && len > sizeof(struct btrfs_dir_item)) {
			const struct btrfs_dir_item *di = (const void *)data;
			size_t room = len - sizeof(*di), name = le16_get(di->name_len);

			key.offset =
				btrfs_name_hash((const char *)(di + 1), name < room ? name : room);
		}
		leaf->items[nr].key = btrfs_disk_key_make(&key);
		leaf->items[nr].offset = le32_make(end);
		leaf->items[nr].size = le32_make(len);
		nr++;
	}
	leaf->header.nritems = le32_make(nr);
}

static void build_node(uint8_t *block, const struct btrfs_geometry *geo, struct input *in)
{
	struct btrfs_node *node = (void *)block;
	uint32_t nr = 0;

	node->header.level = (uint8_t)take_int(in, 1);
	while (in->left && nr < btrfs_node_max_ptrs(geo->nodesize)) {
		struct btrfs_key_ptr *ptr = &node->ptrs[nr++];
		struct btrfs_key key = { take_int(in, 2), (uint8_t)take_int(in, 1),
					 take_int(in, 1) };

		ptr->key = btrfs_disk_key_make(&key);
		ptr->blockptr = le64_make(take_int(in, 2) * 4096);
		ptr->generation = le64_make(take_int(in, 1));
	}
	node->header.nritems = le32_make(nr);
}

static void seal(uint8_t *block, const struct btrfs_geometry *geo,
		 struct btrfs_block_expect *expect)
{
	struct btrfs_header *h = (void *)block;

	memcpy(h->fsid, geo->fsid, sizeof(h->fsid));
	h->bytenr = le64_make(LOGICAL);
	h->flags = le64_make(BTRFS_HEADER_FLAG_WRITTEN);
	h->generation = le64_make(GENERATION);
	memset(expect, 0, sizeof(*expect));
	expect->logical = LOGICAL;
	expect->level = -1;
}

static void print_it(const void *block, const struct btrfs_geometry *geo)
{
	char buf[4096];
	struct text out = { .buf = buf, .size = sizeof(buf), .flush = drop_text };
	struct btrfs_print print;

	btrfs_print_init(&print, &out, geo);
	print.csum_items = true;
	btrfs_print_block(&print, block, LOGICAL);
}

static void fuzz_block(unsigned mode, struct input *in)
{
	struct btrfs_block_expect expect;
	struct btrfs_check_error err;
	struct btrfs_geometry geo;
	uint8_t *block;

	geometry(&geo, in);
	block = calloc(1, geo.nodesize);
	((struct btrfs_header *)block)->owner = le64_make(take_int(in, 1));
	if (mode == 0)
		take_bytes(in, block, geo.nodesize);
	else if (mode == 1)
		build_node(block, &geo, in);
	else
		build_leaf(block, &geo, in);
	seal(block, &geo, &expect);
	if (btrfs_check_block(block, &geo, &expect, &err) == 0)
		relied_upon(block, &geo);
	btrfs_fields_walk_block(block, geo.nodesize, touch, NULL);
	print_it(block, &geo);
	free(block);
}

static void fuzz_super(struct input *in)
{
	const struct btrfs_key key = { 256, BTRFS_CHUNK_ITEM_KEY, 1 << 24 };
	struct btrfs_super_block *sb = calloc(1, sizeof(*sb));
	struct btrfs_disk_key *dk = (void *)sb->sys_chunk_array;
	struct btrfs_chunk *chunk = (void *)(dk + 1);
	char buf[4096];
	struct text out = { .buf = buf, .size = sizeof(buf), .flush = drop_text };
	struct btrfs_print print = { .out = &out };
	struct btrfs_check_error err;
	struct btrfs_geometry geo;

	sb->bytenr = le64_make(65536);
	sb->root = sb->chunk_root = le64_make(1 << 24);
	sb->bytes_used = le64_make(1 << 24);
	sb->num_devices = le64_make(1);
	sb->sectorsize = sb->stripesize = le32_make(4096);
	sb->nodesize = sb->__unused_leafsize = le32_make(16384);
	sb->sys_chunk_array_size = le32_make(97);
	*dk = btrfs_disk_key_make(&key);
	chunk->length = le64_make(1 << 23);
	chunk->stripe_len = le64_make(65536);
	chunk->type = le64_make(BTRFS_BLOCK_GROUP_SYSTEM);
	chunk->sector_size = le32_make(4096);
	chunk->num_stripes = le16_make(1);
	while (in->left > 3) { /* overwrite some of it */
		size_t off = take_int(in, 2) % sizeof(*sb), len = take_int(in, 1);

		take_bytes(in, (uint8_t *)sb + off,
			   len < sizeof(*sb) - off ? len : sizeof(*sb) - off);
	}
	sb->magic = le64_make(BTRFS_MAGIC);
	if (btrfs_csum_size(le16_get(sb->csum_type)))
		btrfs_csum(le16_get(sb->csum_type), (uint8_t *)sb + BTRFS_CSUM_SIZE,
			   sizeof(*sb) - BTRFS_CSUM_SIZE, sb->csum);
	if (btrfs_check_super(sb, 65536, false, &err) == 0) {
		btrfs_geometry_from_super(sb, &geo);
		if (geo.nodesize < geo.sectorsize || geo.nodesize > 65536 || geo.csum_size == 0 ||
		    sb->root_level >= BTRFS_MAX_LEVEL)
			abort();
	}
	btrfs_fields_walk_super(sb, touch, NULL);
	btrfs_print_super(&print, sb, true);
	free(sb);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	unsigned mode = (unsigned)take_int(&in, 1) % 8;

	if (mode == 7)
		fuzz_super(&in);
	else
		fuzz_block(mode, &in);
	return 0;
}
