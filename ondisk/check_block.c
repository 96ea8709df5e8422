// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Tree blocks: the header against what the parent says, then a node's pointers or a leaf's items.
 *
 * A leaf's item data lies against the end of the block and grows down without gaps, so each item's
 * end is the start of the one before it; with the item headers not reaching into the data, no two
 * items share a byte.
 */
#include <errno.h>
#include <string.h>

#include "ondisk/check_priv.h"

static bool fsid_known(const struct btrfs_geometry *geo, const uint8_t *fsid)
{
	if (memcmp(fsid, geo->fsid, BTRFS_FSID_SIZE) == 0)
		return true;
	for (unsigned i = 0; i < geo->seed_fsids_nr; i++)
		if (memcmp(fsid, geo->seed_fsids[i], BTRFS_FSID_SIZE) == 0)
			return true;
	return false;
}

static int check_fsid(const struct check *c, const uint8_t *fsid)
{
	char f[40], e[40];
	struct text tf = TEXT_FIXED(f), te = TEXT_FIXED(e);

	if (fsid_known(c->geo, fsid))
		return 0;
	text_uuid(&tf, fsid);
	text_uuid(&te, c->geo->fsid);
	return check_fail(c, "fsid is %s, expected %s", text_done(&tf), text_done(&te));
}

static int check_csum(const struct check *c, const struct btrfs_header *h)
{
	const struct btrfs_geometry *geo = c->geo;
	uint8_t sum[BTRFS_CSUM_SIZE];
	char f[80], e[80];
	struct text tf = TEXT_FIXED(f), te = TEXT_FIXED(e);

	if (geo->ignore_csum)
		return 0;
	btrfs_csum(geo->csum_type, (const uint8_t *)h + BTRFS_CSUM_SIZE,
		   geo->nodesize - BTRFS_CSUM_SIZE, sum);
	if (memcmp(sum, h->csum, geo->csum_size) == 0)
		return 0;
	text_hexbytes(&tf, h->csum, geo->csum_size);
	text_hexbytes(&te, sum, geo->csum_size);
	check_fail(c, "checksum is 0x%s, expected 0x%s", text_done(&tf), text_done(&te));
	c->err->csum = true;
	return -EUCLEAN;
}

/* What a block says of itself, before anything in it is believed. */
static int check_identity(const struct check *c, const struct btrfs_header *h,
			  const struct btrfs_block_expect *expect)
{
	uint64_t bytenr = le64_get(h->bytenr);
	int ret;

	if (bytenr != expect->logical)
		return check_fail(c, "bytenr is %" PRIu64 ", expected %" PRIu64, bytenr,
				  expect->logical);
	ret = check_fsid(c, h->fsid);
	if (ret == 0)
		ret = check_csum(c, h);
	if (ret)
		return ret;
	if (h->level >= BTRFS_MAX_LEVEL)
		return check_fail(c, "level is %u, expected 0 to %u", h->level,
				  BTRFS_MAX_LEVEL - 1);
	return 0;
}

/*
 * Blocks of a subvolume may be shared with another one, and keep the name of the one that wrote
 * them; log and relocation trees are known by more than their object id.
 */
static int check_owner(const struct check *c, uint64_t expected)
{
	if (expected == 0 || expected == BTRFS_TREE_LOG_OBJECTID ||
	    expected == BTRFS_TREE_RELOC_OBJECTID)
		return 0;
	if (btrfs_is_fstree(expected) ? btrfs_is_fstree(c->owner) : c->owner == expected)
		return 0;
	return check_fail(c, "owner is %" PRIu64 ", expected %s%" PRIu64, c->owner,
			  btrfs_is_fstree(expected) ? "a subvolume as " : "", expected);
}

/* What the parent says of the block's header. */
static int check_header_expected(const struct check *c, const void *block,
				 const struct btrfs_block_expect *expect)
{
	uint64_t gen = btrfs_header_generation(block);

	if (expect->level >= 0 && c->level != expect->level)
		return check_fail(c, "level is %d, expected %d", c->level, expect->level);
	if (expect->generation && gen != expect->generation) {
		check_fail(c, "generation is %" PRIu64 ", expected %" PRIu64, gen,
			   expect->generation);
		c->err->transid = true;
		return -EUCLEAN;
	}
	return check_owner(c, expect->owner);
}

static int check_header(const struct check *c, const void *block)
{
	int ret = check_generation(c, "generation", btrfs_header_generation(block));

	if (ret) {
		c->err->transid = true;
		return ret;
	}
	if (!(btrfs_header_flags(block) & BTRFS_HEADER_FLAG_WRITTEN))
		return check_fail(c, "header flags are 0x%" PRIx64 ", expected WRITTEN among them",
				  btrfs_header_flags(block));
	return 0;
}

static int check_node(struct check *c, const void *node)
{
	uint32_t nritems = btrfs_header_nritems(node);
	uint32_t max = btrfs_node_max_ptrs(c->geo->nodesize);
	uint64_t gen = btrfs_header_generation(node);
	int ret;

	if (nritems == 0 || nritems > max)
		return check_fail(c, "nritems is %u, expected 1 to %u", nritems, max);
	for (uint32_t i = 0; i < nritems; i++) {
		uint64_t ptr = btrfs_node_blockptr(node, i);
		uint64_t ptr_gen = btrfs_node_generation(node, i);

		c->slot = (int)i;
		c->key = btrfs_node_key(node, i);
		if (i > 0 && btrfs_key_cmp(&c->prev_key, &c->key) >= 0)
			return check_fail(c,
					  "key order: previous is (%" PRIu64 " %u %" PRIu64
					  "), expected it below this one",
					  c->prev_key.objectid, c->prev_key.type,
					  c->prev_key.offset);
		if (ptr == 0)
			return check_fail(c, "block pointer is 0");
		ret = check_align(c, "block pointer", ptr);
		if (ret == 0)
			ret = check_range(c, "child block", ptr, c->geo->nodesize);
		if (ret)
			return ret;
		/* Changing a block changes the path above it in the same transaction. */
		if (ptr_gen == 0 || ptr_gen > gen)
			return check_fail(c,
					  "generation of the pointer is %" PRIu64
					  ", expected 1 to the node's %" PRIu64,
					  ptr_gen, gen);
		c->prev_key = c->key;
	}
	return 0;
}

static int check_empty_leaf(const struct check *c, const void *leaf)
{
	/* A relocation tree's blocks carry the subvolume's name, so emptiness means nothing there.
	 */
	if (btrfs_header_flags(leaf) & BTRFS_HEADER_FLAG_RELOC)
		return 0;
	switch (c->owner) {
	case 0:
		return check_fail(c, "owner is 0, expected a tree");
	case BTRFS_EXTENT_TREE_OBJECTID:
		if (check_incompat(c, BTRFS_FEATURE_INCOMPAT_EXTENT_TREE_V2))
			return 0;
		break;
	case BTRFS_ROOT_TREE_OBJECTID:
	case BTRFS_CHUNK_TREE_OBJECTID:
	case BTRFS_DEV_TREE_OBJECTID:
	case BTRFS_FS_TREE_OBJECTID:
	case BTRFS_DATA_RELOC_TREE_OBJECTID:
		break;
	default:
		return 0;
	}
	return check_fail(c, "empty leaf in tree %" PRId64 ", which is never empty",
			  (int64_t)c->owner);
}

/* Bounds of the item in c->slot; on success the item is inside the leaf and below `data_end`. */
static int check_item_bounds(const struct check *c, const void *leaf, uint32_t data_end)
{
	const struct btrfs_item *hdr = btrfs_item_hdr(leaf, (unsigned)c->slot);
	uint32_t off = le32_get(hdr->offset), size = le32_get(hdr->size);
	uint32_t hdr_end = ((uint32_t)c->slot + 1) * (uint32_t)sizeof(struct btrfs_item);

	/* In slot 0 the previous key is (0 0 0), which no item has. */
	if (btrfs_key_cmp(&c->prev_key, &c->key) >= 0 && !check_planted("check-key-order"))
		return check_fail(c,
				  "key order: previous is (%" PRIu64 " %u %" PRIu64
				  "), expected it below this one",
				  c->prev_key.objectid, c->prev_key.type, c->prev_key.offset);
	if ((uint64_t)off + size != data_end)
		return check_fail(c, "item data ends at %" PRIu64 ", expected %u",
				  (uint64_t)off + size, data_end);
	if (off < hdr_end)
		return check_fail(c,
				  "item data starts at %u, expected it past the item headers at %u",
				  off, hdr_end);
	return 0;
}

static int check_leaf(struct check *c, const void *leaf)
{
	uint32_t nritems = btrfs_header_nritems(leaf);
	uint32_t data_end = btrfs_leaf_data_size(c->geo->nodesize);
	uint32_t max = data_end / (uint32_t)sizeof(struct btrfs_item);
	int ret;

	if (nritems == 0)
		return check_empty_leaf(c, leaf);
	if (nritems > max)
		return check_fail(c, "nritems is %u, expected at most %u", nritems, max);
	for (uint32_t i = 0; i < nritems; i++) {
		const void *item;
		uint32_t len;

		c->slot = (int)i;
		c->key = btrfs_item_key(leaf, i);
		ret = check_item_bounds(c, leaf, data_end);
		if (ret)
			return ret;
		item = btrfs_item_ptr(leaf, i);
		len = btrfs_item_size(leaf, i);
		ret = check_item(c, item, len);
		if (ret)
			return ret;
		data_end = btrfs_item_offset(leaf, i);
		c->prev_key = c->key;
		c->prev_item = item;
		c->prev_len = len;
	}
	return 0;
}

static int check_first_key(struct check *c, const void *block,
			   const struct btrfs_block_expect *expect)
{
	const struct btrfs_key *want = &expect->first_key;

	if (!expect->have_first_key)
		return 0;
	if (btrfs_header_nritems(block) == 0)
		return check_fail(c,
				  "nritems is 0, expected a first key (%" PRIu64 " %u %" PRIu64 ")",
				  want->objectid, want->type, want->offset);
	c->slot = 0;
	c->key = btrfs_block_key(block, 0);
	if (btrfs_key_cmp(&c->key, want) == 0)
		return 0;
	return check_fail(c, "not the first key that the parent has: (%" PRIu64 " %u %" PRIu64 ")",
			  want->objectid, want->type, want->offset);
}

static void check_begin(struct check *c, const void *block)
{
	c->level = (int)btrfs_header_level(block);
	c->owner = btrfs_header_owner(block);
}

int btrfs_check_block(const void *block, const struct btrfs_geometry *geo,
		      const struct btrfs_block_expect *expect, struct btrfs_check_error *err)
{
	struct check c = {.geo = geo, .err = err, .level = -1, .slot = -1};
	int ret;

	ret = check_identity(&c, btrfs_header_of(block), expect);
	if (ret)
		return ret;
	check_begin(&c, block);
	ret = check_header_expected(&c, block, expect);
	if (ret == 0)
		ret = check_header(&c, block);
	if (ret == 0)
		ret = c.level > 0 ? check_node(&c, block) : check_leaf(&c, block);
	return ret ? ret : check_first_key(&c, block, expect);
}

int btrfs_check_expected(const void *block, const struct btrfs_geometry *geo,
			 const struct btrfs_block_expect *expect, struct btrfs_check_error *err)
{
	struct check c = {.geo = geo, .err = err, .level = -1, .slot = -1};
	int ret;

	check_begin(&c, block);
	ret = check_header_expected(&c, block, expect);
	return ret ? ret : check_first_key(&c, block, expect);
}
