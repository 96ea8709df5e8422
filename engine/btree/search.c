// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Descending a tree.
 *
 * Invariants of a path that is in use:
 * 1. nodes[0 .. root->level] are referenced; the levels of the blocks are their indices. The cache
 * has checked each against what the block above says of it: level, generation, first key, owner.
 * 2. For every level above 0, slots[] is the slot that leads to the block below.
 * 3. All keys of a block are below the upper bound that its ancestors give (the nearest next key),
 * and by invariant 1 not below the lower one. So all keys of one leaf are below those of the next.
 *
 * Locks: none; the blocks of a read-only filesystem do not change, and references keep them there.
 * Trees that change are descended in live.c.
 */
#include "engine/btree/bt_priv.h"
#include "engine/util/fault.h"

#include <assert.h>

_Static_assert(BT_MAX_LEVEL == BTRFS_MAX_LEVEL, "a path holds the deepest tree");

/*
 * True if the key on disk is <= `key`. Written without branches inside, as in a binary search each
 * branch is mispredicted half of the time.
 */
static inline bool disk_key_le(const struct btrfs_disk_key *dk, const struct btrfs_key *key)
{
	uint64_t oid = le64_get(dk->objectid), off = le64_get(dk->offset);
	bool low = (dk->type < key->type) | ((dk->type == key->type) & (off <= key->offset));

	return (oid < key->objectid) | ((oid == key->objectid) & low);
}

/* Last of `nr` > 0 records, `stride` bytes apart and each starting with a key, that is <= key; else
 * 0. */
static inline unsigned last_le(const void *first, unsigned stride, unsigned nr,
			       const struct btrfs_key *key)
{
	const uint8_t *base = first;

	while (nr > 1) {
		unsigned half = nr / 2;
		const uint8_t *mid = base + half * stride;

		base = disk_key_le((const void *)mid, key) ? mid : base;
		nr -= half;
	}
	return (unsigned)((base - (const uint8_t *)first) / stride);
}

unsigned bt_node_slot(const void *node, const struct btrfs_key *key)
{
	return last_le(btrfs_node_ptr(node, 0), sizeof(struct btrfs_key_ptr),
		       btrfs_header_nritems(node), key);
}

unsigned bt_leaf_slot(const void *leaf, const struct btrfs_key *key, bool *out_found)
{
	unsigned nr = btrfs_header_nritems(leaf), slot;
	struct btrfs_key at;
	int cmp;

	*out_found = false;
	if (!nr)
		return 0;
	slot = last_le(btrfs_item_hdr(leaf, 0), sizeof(struct btrfs_item), nr, key);
	at = btrfs_item_key(leaf, slot);
	cmp = btrfs_key_cmp(&at, key);
	*out_found = !cmp;
	if (PLANTED("bt_last_slot") && slot + 1 == nr)
		return slot;
	return cmp < 0 ? slot + 1 : slot;
}

/* Of a subvolume's id the checks make "any subvolume": blocks are shared among them, always. */
static uint64_t expected_owner(const struct bt_root *root)
{
	return root->any_owner && !btrfs_is_fstree(root->id) ? 0 : root->id;
}

void bt_node_expect(const struct bt_root *root, const void *node, unsigned slot,
		    struct btrfs_block_expect *out_expect)
{
	*out_expect = (struct btrfs_block_expect){
		.logical = btrfs_node_blockptr(node, slot),
		.generation = btrfs_node_generation(node, slot),
		.owner = expected_owner(root),
		.level = (int)btrfs_header_level(node) - 1,
		.have_first_key = true,
		.first_key = btrfs_node_key(node, slot),
	};
}

void bt_root_expect(const struct bt_root *root, struct btrfs_block_expect *out_expect)
{
	*out_expect = (struct btrfs_block_expect){
		.logical = root->bytenr,
		.generation = root->generation,
		.owner = expected_owner(root),
		.level = root->level,
	};
}

void bt_child_expect(const struct bt_path *path, int level, int slot,
		     struct btrfs_block_expect *out_expect)
{
	bt_node_expect(path->root, eb_data(path->nodes[level]), slot, out_expect);
}

static struct msg *path_msg(const struct bt_path *path)
{
	return vol_msg(eb_cache_vol(path->root->cache));
}

/* Without it a hostile tree of a few blocks can be walked for ever, by sharing children. */
static int check_upper_bound(const struct bt_path *path, int level, const struct eb *eb)
{
	const void *block = eb_data(eb), *node = NULL;
	unsigned nr = btrfs_header_nritems(block);
	struct btrfs_key last, bound;

	for (; level <= path->root->level; level++) {
		node = eb_data(path->nodes[level]);
		if ((unsigned)path->slots[level] + 1 < btrfs_header_nritems(node))
			break;
	}
	if (level > path->root->level || !nr)
		return 0;
	last = btrfs_block_key(block, nr - 1);
	bound = btrfs_node_key(node, path->slots[level] + 1);
	if (btrfs_key_cmp(&last, &bound) < 0 || PLANTED("bt_no_bound"))
		return 0;
	return msg_corrupt(path_msg(path),
			   "tree %llu: block %llu slot %u: key (%llu %u %llu), expected below "
			   "(%llu %u %llu), where the parent's next block starts",
			   (unsigned long long)path->root->id, (unsigned long long)eb_logical(eb),
			   nr - 1, (unsigned long long)last.objectid, last.type,
			   (unsigned long long)last.offset, (unsigned long long)bound.objectid,
			   bound.type, (unsigned long long)bound.offset);
}

int bt_load_child(struct bt_path *path, int level)
{
	struct btrfs_block_expect expect;
	struct eb *eb;
	int err;

	assert(!path->nodes[level - 1]);
	bt_child_expect(path, level, path->slots[level], &expect);
	err = eb_get(path->root->cache, &expect, &eb);
	if (err)
		return err;
	err = check_upper_bound(path, level, eb);
	if (err) {
		eb_put(eb);
		return err;
	}
	path->nodes[level - 1] = eb;
	return 0;
}

static int load_root(struct bt_path *path)
{
	const struct bt_root *root = path->root;
	struct btrfs_block_expect expect;
	struct eb *eb;
	int err;

	bt_root_expect(root, &expect);
	if (root->level >= BT_MAX_LEVEL)
		return msg_corrupt(path_msg(path), "tree %llu: root level %u, expected at most %d",
				   (unsigned long long)root->id, root->level, BT_MAX_LEVEL - 1);
	err = eb_get(root->cache, &expect, &eb);
	if (err)
		return err;
	path->nodes[root->level] = eb;
	return 0;
}

int bt_search(const struct bt_root *root, const struct btrfs_key *key, struct bt_path *path)
{
	bool found;
	int err;

	bt_path_release(path);
	path->root = root;
	counter_inc(vol_counters(eb_cache_vol(root->cache)), bt_searches);
	if (root->tree)
		return bt_live_search(root, key, path);
	err = load_root(path);
	for (int level = root->level; !err && level > 0; level--) {
		path->slots[level] = bt_node_slot(eb_data(path->nodes[level]), key);
		err = bt_load_child(path, level);
	}
	if (err) {
		bt_path_release(path);
		return err;
	}
	path->slots[0] = bt_leaf_slot(eb_data(path->nodes[0]), key, &found);
	return found ? 0 : 1;
}

int bt_search_ge(const struct bt_root *root, const struct btrfs_key *key, struct bt_path *path)
{
	int err = bt_search(root, key, path);

	return err > 0 ? bt_next_valid(path) : err;
}

int bt_search_le(const struct bt_root *root, const struct btrfs_key *key, struct bt_path *path)
{
	int err = bt_search(root, key, path);

	return err > 0 ? bt_prev(path) : err;
}

void bt_path_release(struct bt_path *path)
{
	if (path->live.locked | path->live.copy)
		bt_live_release(path);
	for (int level = 0; level < BT_MAX_LEVEL; level++) {
		eb_put(path->nodes[level]);
		path->nodes[level] = NULL;
		path->slots[level] = 0;
	}
	path->ra_end = 0;
}

struct btrfs_key bt_key(const struct bt_path *path)
{
	return btrfs_item_key(eb_data(path->nodes[0]), path->slots[0]);
}

const void *bt_item(const struct bt_path *path)
{
	return btrfs_item_ptr(eb_data(path->nodes[0]), path->slots[0]);
}

uint32_t bt_item_size(const struct bt_path *path)
{
	return btrfs_item_size(eb_data(path->nodes[0]), path->slots[0]);
}
