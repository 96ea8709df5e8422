// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Verifying a whole tree, in memory and on disk alike: what bt_live.h promises of it. Stands apart
 * from the code that changes trees and shares none of it.
 */
#include "engine/btree/bt_priv.h"

struct verify {
	const struct bt_root *root;
	uint32_t nodesize;
	struct bt_verify_stats stats;
	bool have_last;
	struct btrfs_key last; /* of the items so far */
};

static int bad(const struct verify *v, const struct eb *eb, const char *what, unsigned slot)
{
	return msg_corrupt(vol_msg(eb_cache_vol(v->root->cache)),
			   "tree %llu: verify: block %llu level %u slot %u of %u: %s",
			   (unsigned long long)v->root->id, (unsigned long long)eb_logical(eb),
			   btrfs_header_level(eb_data(eb)), slot, btrfs_header_nritems(eb_data(eb)),
			   what);
}

static int verify_leaf(struct verify *v, const struct eb *eb, const struct btrfs_key *bound)
{
	const void *leaf = eb_data(eb);
	uint32_t end = btrfs_leaf_data_size(v->nodesize);
	unsigned nr = btrfs_header_nritems(leaf);

	for (unsigned i = 0; i < nr; i++) {
		struct btrfs_key key = btrfs_item_key(leaf, i);

		if (v->have_last && btrfs_key_cmp(&v->last, &key) >= 0)
			return bad(v, eb, "keys do not rise", i);
		if (bound && btrfs_key_cmp(&key, bound) >= 0)
			return bad(v, eb, "key is not below where the next block starts", i);
		if ((uint64_t)btrfs_item_offset(leaf, i) + btrfs_item_size(leaf, i) != end)
			return bad(v, eb, "item data do not lie end to end", i);
		end = btrfs_item_offset(leaf, i);
		if (end < nr * sizeof(struct btrfs_item))
			return bad(v, eb, "item data run into the headers", i);
		v->last = key;
		v->have_last = true;
		v->stats.items++;
		v->stats.item_bytes += btrfs_item_size(leaf, i);
	}
	return 0;
}

static int verify_block(struct verify *v, const struct btrfs_block_expect *expect,
			const struct btrfs_key *bound);

static int verify_node(struct verify *v, const struct eb *eb, const struct btrfs_key *bound)
{
	const void *node = eb_data(eb);
	unsigned nr = btrfs_header_nritems(node);
	int err = 0;

	if (nr > btrfs_node_max_ptrs(v->nodesize))
		return bad(v, eb, "more pointers than fit", nr);
	for (unsigned i = 0; i < nr && !err; i++) {
		struct btrfs_key next = i + 1 < nr ? btrfs_node_key(node, i + 1)
					: bound	   ? *bound
						   : (struct btrfs_key){ 0 };
		struct btrfs_key key = btrfs_node_key(node, i);
		struct btrfs_block_expect expect;

		if ((i + 1 < nr || bound) && btrfs_key_cmp(&key, &next) >= 0)
			return bad(v, eb, "keys do not rise, or not below the next block", i);
		if (btrfs_node_generation(node, i) > btrfs_header_generation(node))
			return bad(v, eb, "pointer to a block younger than the node", i);
		bt_node_expect(v->root, node, i, &expect);
		err = verify_block(v, &expect, i + 1 < nr || bound ? &next : NULL);
	}
	return err;
}

/* Level, generation, owner and first key are held against `expect` by eb_get. */
static int verify_block(struct verify *v, const struct btrfs_block_expect *expect,
			const struct btrfs_key *bound)
{
	struct eb *eb;
	int err = eb_get(v->root->cache, expect, &eb);

	if (err)
		return err;
	v->stats.blocks++;
	if (btrfs_header_bytenr(eb_data(eb)) != expect->logical)
		err = bad(v, eb, "names another address", 0);
	else if (!btrfs_header_nritems(eb_data(eb)) && (expect->have_first_key || expect->level))
		err = bad(v, eb, "is empty", 0);
	else
		err = expect->level ? verify_node(v, eb, bound) : verify_leaf(v, eb, bound);
	eb_put(eb);
	return err;
}

int bt_verify(const struct bt_root *root, struct bt_verify_stats *out_stats)
{
	struct bt_root now = root->tree ? bt_tree_root(root->tree) : *root;
	struct verify v = {
		.root = &now,
		.nodesize = eb_cache_geometry(now.cache)->nodesize,
	};
	struct btrfs_block_expect expect;
	int err;

	bt_root_expect(&now, &expect);
	err = verify_block(&v, &expect, NULL);
	if (out_stats)
		*out_stats = v.stats;
	return err;
}
