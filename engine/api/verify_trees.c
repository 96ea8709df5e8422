// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Part of lab_verify: every tree is gone through, each block once, and every pointer to a block and
 * every file extent is counted at the extent that it means.
 *
 * An extent's references are as many as there are: of a tree block, the blocks and root items that
 * point to it; of data, the file extents in distinct leaves. This holds for shared blocks with full
 * back references and without: a block that several trees have counts once for all of them.
 */
#include "engine/api/verify_priv.h"

static struct vf_extent *find_extent(struct verify *v, uint64_t start)
{
	size_t from = 0, to = v->nr_extents;

	while (from < to) {
		size_t mid = from + (to - from) / 2;

		if (v->extents[mid].start == start)
			return &v->extents[mid];
		if (v->extents[mid].start < start)
			from = mid + 1;
		else
			to = mid;
	}
	return NULL;
}

static int look_at_data(struct verify *v, const struct btrfs_key *key,
			const struct btrfs_file_extent_item *fi, uint64_t owner)
{
	uint64_t start, len;
	struct vf_extent *e;

	if (fi->type == BTRFS_FILE_EXTENT_INLINE || !le64_get(fi->disk_bytenr))
		return 0;
	start = le64_get(fi->disk_bytenr);
	len = le64_get(fi->disk_num_bytes);
	e = find_extent(v, start);
	if (!e || e->len != len || !(e->flags & BTRFS_EXTENT_FLAG_DATA))
		return vf_wrong(
			v,
			"tree %llu: inode %llu at %llu has the data at %llu, %llu bytes, which is %s",
			(unsigned long long)owner, (unsigned long long)key->objectid,
			(unsigned long long)key->offset, (unsigned long long)start,
			(unsigned long long)len, e ? "another extent" : "no extent");
	e->met++;
	return 0;
}

static int look_at_leaf(struct verify *v, const void *leaf)
{
	unsigned nr = btrfs_header_nritems(leaf);
	int err = 0;

	for (unsigned i = 0; i < nr && !err; i++) {
		struct btrfs_key key = btrfs_item_key(leaf, i);

		if (key.type == BTRFS_EXTENT_DATA_KEY)
			err = look_at_data(v, &key, btrfs_item_ptr(leaf, i),
					   btrfs_header_owner(leaf));
	}
	return err;
}

static int look_at_block(struct verify *v, const struct btrfs_block_expect *expect, uint64_t tree)
{
	struct vf_extent *e = find_extent(v, expect->logical);
	struct eb *eb;
	int err;

	if (!e || !(e->flags & BTRFS_EXTENT_FLAG_TREE_BLOCK) || e->len != v->fs->nodesize)
		return vf_wrong(v, "tree %llu: block %llu is %s", (unsigned long long)tree,
				(unsigned long long)expect->logical,
				e ? "another extent" : "no extent");
	if (e->met++)
		return 0;
	err = eb_get(v->fs->cache, expect, &eb);
	if (err)
		return err;
	if (!expect->level)
		err = look_at_leaf(v, eb_data(eb));
	for (unsigned i = 0; expect->level && !err && i < btrfs_header_nritems(eb_data(eb)); i++) {
		const struct btrfs_block_expect child = {
			.logical = btrfs_node_blockptr(eb_data(eb), i),
			.generation = btrfs_node_generation(eb_data(eb), i),
			.level = expect->level - 1,
			.have_first_key = true,
			.first_key = btrfs_node_key(eb_data(eb), i),
		};

		err = look_at_block(v, &child, tree);
	}
	eb_put(eb);
	return err;
}

static int look_at_tree(struct verify *v, const struct bt_root *root)
{
	const struct btrfs_block_expect expect = {
		.logical = root->bytenr,
		.generation = root->generation,
		.level = root->level,
	};
	int err = bt_verify(root, NULL);

	return err ? err : look_at_block(v, &expect, root->id);
}

static int look_at_root(struct verify *v, const struct bt_path *path)
{
	struct btrfs_key key = bt_key(path);
	const struct btrfs_root_item *ri = bt_item(path);
	struct bt_root root;

	if (key.type != BTRFS_ROOT_ITEM_KEY)
		return 0;
	root = (struct bt_root){
		.cache = v->fs->cache,
		.id = key.objectid,
		.bytenr = le64_get(ri->bytenr),
		.generation = le64_get(ri->generation),
		.level = ri->level,
		.any_owner = key.objectid == BTRFS_TREE_RELOC_OBJECTID,
	};
	if (!le32_get(ri->refs) || le64_get(ri->drop_progress.objectid)) {
		v->dying = true;
		return 0;
	}
	return look_at_tree(v, &root);
}

int vf_trees(struct verify *v)
{
	int err = look_at_tree(v, &v->tree_root);

	if (!err)
		err = look_at_tree(v, &v->chunk_root);
	if (!err)
		err = vf_items(v, &v->tree_root, look_at_root);
	for (size_t i = 0; !err && !v->dying && i < v->nr_extents; i++) {
		const struct vf_extent *e = &v->extents[i];

		if (e->met != e->refs)
			err = vf_wrong(
				v,
				"the extent at %llu, %llu bytes, has %llu references, and says %llu",
				(unsigned long long)e->start, (unsigned long long)e->len,
				(unsigned long long)e->met, (unsigned long long)e->refs);
		else if (e->named != e->refs)
			err = vf_wrong(v,
				       "the extent at %llu says %llu references, and has back "
				       "references for %llu",
				       (unsigned long long)e->start, (unsigned long long)e->refs,
				       (unsigned long long)e->named);
	}
	return err;
}
