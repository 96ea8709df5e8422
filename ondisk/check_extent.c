// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The extent tree: extents with their inline back references, and back references with keys of
 * their own.
 *
 * Inline references are ordered: types ascend, and within one type the sequence numbers descend.
 * The sequence number is the reference's offset, or the hash of its three fields for
 * EXTENT_DATA_REF.
 */
#include "ondisk/check_priv.h"

/* Files whose data may be referenced are in subvolumes, in relocation, or caches of free space. */
static int check_data_ref(const struct check *c, const struct btrfs_extent_data_ref *ref)
{
	uint64_t root = le64_get(ref->root), ino = le64_get(ref->objectid);

	if (!btrfs_is_fstree(root) && root != BTRFS_DATA_RELOC_TREE_OBJECTID &&
	    root != BTRFS_ROOT_TREE_OBJECTID)
		return check_fail(c, "data ref from root %" PRIu64 ", expected a tree of files",
				  root);
	if ((ino < BTRFS_FIRST_FREE_OBJECTID || ino > BTRFS_LAST_FREE_OBJECTID) &&
	    ino != BTRFS_FREE_INO_OBJECTID) /* of the inode caches that Linux made before 5.11 */
		return check_fail(c, "data ref from inode %" PRIu64 ", expected 256 to 2^64 - 256",
				  ino);
	if (le32_get(ref->count) == 0)
		return check_fail(c, "data ref with count 0");
	return check_align(c, "data ref offset", le64_get(ref->offset));
}

static int check_parent(const struct check *c, uint64_t parent)
{
	if (parent == 0)
		return check_fail(c, "shared ref with parent 0");
	return check_align(c, "shared ref parent", parent);
}

/* One inline reference, all inside its item. Adds to *refs, sets *seq. */
static int check_inline_ref(const struct check *c, const struct btrfs_extent_inline_ref *ref,
			    bool tree_block, uint64_t *refs, uint64_t *seq)
{
	const struct btrfs_extent_data_ref *dref = (const void *)&ref->offset;
	const struct btrfs_shared_data_ref *sref = (const void *)(ref + 1);
	uint64_t offset = le64_get(ref->offset);

	*seq = offset;
	if (ref->type != BTRFS_EXTENT_OWNER_REF_KEY &&
	    tree_block != (ref->type == BTRFS_TREE_BLOCK_REF_KEY ||
			   ref->type == BTRFS_SHARED_BLOCK_REF_KEY))
		return check_fail(c, "inline ref of type %u in the extent of %s", ref->type,
				  tree_block ? "a tree block" : "data");
	switch (ref->type) {
	case BTRFS_TREE_BLOCK_REF_KEY:
		*refs += 1;
		return 0;
	case BTRFS_SHARED_BLOCK_REF_KEY:
		*refs += 1;
		return check_parent(c, offset);
	case BTRFS_SHARED_DATA_REF_KEY:
		if (le32_get(sref->count) == 0)
			return check_fail(c, "shared data ref with count 0");
		*refs += le32_get(sref->count);
		return check_parent(c, offset);
	case BTRFS_EXTENT_DATA_REF_KEY:
		*refs += le32_get(dref->count);
		*seq = btrfs_extent_data_ref_hash(le64_get(dref->root), le64_get(dref->objectid),
						  le64_get(dref->offset));
		return check_data_ref(c, dref);
	default: /* EXTENT_OWNER_REF is no reference, it only names who pays */
		return 0;
	}
}

static int check_inline_refs(const struct check *c, const uint8_t *p, uint32_t off, uint32_t len,
			     bool tree_block, uint64_t total)
{
	uint64_t refs = 0, seq, last_seq = UINT64_MAX;
	unsigned last_type = 0;
	int ret;

	while (off < len) {
		const struct btrfs_extent_inline_ref *ref = (const void *)(p + off);
		uint32_t size = btrfs_extent_inline_ref_size(ref->type);

		if (size == 0)
			return check_fail(c, "inline ref type is %u, which is none", ref->type);
		if (size > len - off)
			return check_fail(
				c, "inline ref of %u bytes at %u passes the item's end at %u", size,
				off, len);
		ret = check_inline_ref(c, ref, tree_block, &refs, &seq);
		if (ret)
			return ret;
		if (ref->type < last_type)
			return check_fail(c, "inline ref type %u after type %u", ref->type,
					  last_type);
		if (ref->type == last_type && seq > last_seq)
			return check_fail(c,
					  "inline ref with sequence 0x%" PRIx64 " after 0x%" PRIx64
					  ", expected them to descend",
					  seq, last_seq);
		last_type = ref->type;
		last_seq = seq;
		off += size;
	}
	if (refs > total)
		return check_fail(c,
				  "extent has %" PRIu64 " refs, expected at least the %" PRIu64
				  " inline ones",
				  total, refs);
	return 0;
}

static int check_extent_key(const struct check *c)
{
	const struct btrfs_key *key = &c->key;
	int ret = check_align(c, "extent start", key->objectid);

	if (ret)
		return ret;
	if (key->type == BTRFS_METADATA_ITEM_KEY) {
		if (!check_incompat(c, BTRFS_FEATURE_INCOMPAT_SKINNY_METADATA))
			return check_fail(c, "METADATA_ITEM without the skinny-metadata feature");
		if (key->offset >= BTRFS_MAX_LEVEL)
			return check_fail(c, "tree level is %" PRIu64 ", expected 0 to %u",
					  key->offset, BTRFS_MAX_LEVEL - 1);
		return check_range(c, "extent", key->objectid, c->geo->nodesize);
	}
	if (key->offset == 0)
		return check_fail(c, "extent length is 0");
	return check_range(c, "extent", key->objectid, key->offset);
}

static int check_extent_flags(const struct check *c, uint64_t flags)
{
	const uint64_t kinds = BTRFS_EXTENT_FLAG_DATA | BTRFS_EXTENT_FLAG_TREE_BLOCK;

	if ((flags & kinds) == 0 || check_many_bits(flags, kinds))
		return check_fail(c, "extent flags are 0x%" PRIx64 ", expected DATA or TREE_BLOCK",
				  flags);
	if (flags & BTRFS_EXTENT_FLAG_TREE_BLOCK) {
		if (c->key.type == BTRFS_EXTENT_ITEM_KEY && c->key.offset != c->geo->nodesize)
			return check_fail(c, "tree block with length %" PRIu64 ", expected %u",
					  c->key.offset, c->geo->nodesize);
		return 0;
	}
	if (c->key.type != BTRFS_EXTENT_ITEM_KEY)
		return check_fail(c, "data extent under a METADATA_ITEM key");
	if (flags & BTRFS_BLOCK_FLAG_FULL_BACKREF)
		return check_fail(c, "data extent with the FULL_BACKREF flag");
	return check_align(c, "extent length", c->key.offset);
}

int check_extent_item(struct check *c, const void *item, uint32_t len)
{
	const struct btrfs_extent_item *ei = item;
	const struct btrfs_tree_block_info *info = (const void *)(ei + 1);
	uint32_t off = sizeof(*ei);
	bool tree_block;
	int ret;

	ret = check_extent_key(c);
	if (ret == 0)
		ret = check_size_min(c, len, sizeof(*ei));
	if (ret == 0)
		ret = check_generation(c, "extent generation", le64_get(ei->generation));
	if (ret == 0)
		ret = check_extent_flags(c, le64_get(ei->flags));
	if (ret)
		return ret;
	tree_block = le64_get(ei->flags) & BTRFS_EXTENT_FLAG_TREE_BLOCK;
	if (tree_block && c->key.type == BTRFS_EXTENT_ITEM_KEY) {
		off += (uint32_t)sizeof(*info);
		ret = check_size_min(c, len, off);
		if (ret)
			return ret;
		if (info->level >= BTRFS_MAX_LEVEL)
			return check_fail(c, "tree block level is %u, expected 0 to %u",
					  info->level, BTRFS_MAX_LEVEL - 1);
	}
	ret = check_inline_refs(c, item, off, len, tree_block, le64_get(ei->refs));
	if (ret)
		return ret;
	if (c->extent_end > c->key.objectid)
		return check_fail(c,
				  "extent before it ends at %" PRIu64 ", expected at most %" PRIu64,
				  c->extent_end, c->key.objectid);
	c->extent_end = c->key.objectid +
			(c->key.type == BTRFS_METADATA_ITEM_KEY ? c->geo->nodesize : c->key.offset);
	return 0;
}

int check_tree_block_ref(struct check *c, const void *item, uint32_t len)
{
	int ret = check_size(c, len, 0);

	if (ret == 0)
		ret = check_align(c, "extent start", c->key.objectid);
	if (ret == 0 && c->key.type == BTRFS_SHARED_BLOCK_REF_KEY)
		ret = check_parent(c, c->key.offset);
	return ret;
}

int check_shared_data_ref(struct check *c, const void *item, uint32_t len)
{
	const struct btrfs_shared_data_ref *ref = item;
	int ret = check_size(c, len, sizeof(*ref));

	if (ret == 0)
		ret = check_align(c, "extent start", c->key.objectid);
	if (ret == 0)
		ret = check_parent(c, c->key.offset);
	if (ret == 0 && le32_get(ref->count) == 0)
		ret = check_fail(c, "shared data ref with count 0");
	return ret;
}

/* The hash in the key may be off by a few: colliding references take the next free offsets. */
int check_extent_data_ref(struct check *c, const void *item, uint32_t len)
{
	const struct btrfs_extent_data_ref *ref = item;
	int ret;

	if (len == 0 || len % sizeof(*ref))
		return check_fail(c, "item size is %u, expected a row of %zu byte data refs", len,
				  sizeof(*ref));
	ret = check_align(c, "extent start", c->key.objectid);
	for (uint32_t i = 0; ret == 0 && i < len / sizeof(*ref); i++)
		ret = check_data_ref(c, &ref[i]);
	return ret;
}
