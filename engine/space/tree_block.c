// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The onion's second skin: what changing a tree asks for (struct bt_trans_ops), answered with
 * reserves, block groups and delayed references.
 *
 * A block of a log tree has no item in the extent tree and no references: only space.
 *
 * Locks: called with blocks of a tree locked; takes those of delayed references and below, and in
 * space_block_refs looks at the extent tree.
 */
#include "engine/space/chunk.h"
#include "engine/space/dref.h"

static bool is_log(uint64_t tree)
{
	return tree == BTRFS_TREE_LOG_OBJECTID;
}

static int new_chunk(void *arg, uint64_t type)
{
	return chunk_alloc_now(arg, type);
}

/* The space for it; what the reserve gave goes back if there is none. */
static int place(struct space_trans *st, const struct bt_want *want, uint64_t *out_logical)
{
	struct space_fs *fs = st->fs;
	struct rsv_root root = {
		.id = want->owner,
		.shareable =
			btrfs_is_fstree(want->owner) || want->owner == BTRFS_TREE_RELOC_OBJECTID,
		.log = is_log(want->owner),
		.adding_csums = st->adding_csums,
	};
	struct bg_request req = {
		.bytes = fs->nodesize,
		.min_bytes = fs->nodesize,
		.hint = want->hint,
		.promised = fs->nodesize,
		.alloc_chunk = new_chunk,
		.arg = st,
	};
	struct block_rsv *rsv;
	uint64_t bytes;
	int err;

	err = rsv_use_block(fs->rsv, &st->rsv, &root, &rsv);
	if (err)
		return err;
	/* SYSTEM for the chunk tree, and data beside metadata where they share groups. */
	req.type = rsv->si->flags & BTRFS_BLOCK_GROUP_TYPE_MASK;
	err = bg_alloc(fs->bgs, &req, out_logical, &bytes);
	if (err) {
		rsv_unuse_block(fs->rsv, &st->rsv, rsv);
		return err;
	}
	if (!eb_in_use(fs->cache, *out_logical))
		return 0;
	/* It stays as if placed: nobody else is to get it. */
	err = msg_corrupt(fs->msg, "tree block %llu is in use, and was free by the %s",
			  (unsigned long long)*out_logical,
			  fs->fst ? "free space tree" : "extent tree");
	st->bt.ops->abort(&st->bt, err);
	return err;
}

int space_block_alloc(struct bt_trans *t, const struct bt_want *want, uint64_t *out_logical)
{
	struct space_trans *st = space_trans(t);
	struct dref ref = { .parent = want->parent, .root = want->owner };
	int err = place(st, want, out_logical);

	if (err || is_log(want->owner))
		return err;
	err = dref_tree(st, *out_logical, want->level, &ref, 1, &want->first_key);
	if (err)
		bg_extent_unreserve(st->fs->bgs, *out_logical, st->fs->nodesize);
	return err;
}

int space_block_free(struct bt_trans *t, struct bt_tree *tree, const struct bt_drop *drop)
{
	struct space_trans *st = space_trans(t);
	struct dref ref = { .parent = drop->parent, .root = tree->root.id };
	struct bg_index *bgs = st->fs->bgs;
	uint32_t nodesize = st->fs->nodesize;
	bool ours = drop->last && drop->generation == t->generation && !drop->written;

	if (is_log(tree->root.id)) {
		if (!ours)
			return bg_extent_pin(bgs, drop->logical, nodesize, false);
		bg_extent_unreserve(bgs, drop->logical, nodesize);
		return 0;
	}
	if (ours && dref_cancel_fresh(st, drop->logical)) {
		bg_extent_unreserve(bgs, drop->logical, nodesize);
		return 0;
	}
	return dref_tree(st, drop->logical, drop->level, &ref, -1, NULL);
}

int space_block_refs(struct bt_trans *t, uint64_t logical, int level, uint64_t *out_refs,
		     uint64_t *out_flags)
{
	return dref_info(space_trans(t), logical, level, out_refs, out_flags);
}

int space_block_set_flags(struct bt_trans *t, const struct eb *eb, uint64_t flags)
{
	return dref_flags(space_trans(t), eb_logical(eb), (int)btrfs_header_level(eb_data(eb)),
			  flags);
}

/* A leaf's item, if it is of a file's data that is an extent. */
static int ref_data(struct space_trans *st, const void *leaf, unsigned slot, struct dref ref,
		    int add)
{
	const struct btrfs_file_extent_item *fi = btrfs_item_ptr(leaf, slot);
	struct btrfs_key key = btrfs_item_key(leaf, slot);

	if (key.type != BTRFS_EXTENT_DATA_KEY || fi->type == BTRFS_FILE_EXTENT_INLINE ||
	    !le64_get(fi->disk_bytenr))
		return 0;
	ref.ino = key.objectid;
	ref.offset = key.offset - le64_get(fi->offset);
	return dref_data(st, le64_get(fi->disk_bytenr), le64_get(fi->disk_num_bytes), &ref, add,
			 false);
}

int space_block_ref_children(struct bt_trans *t, struct bt_tree *tree, const struct eb *eb,
			     bool full, bool add)
{
	const void *b = eb_data(eb);
	struct dref ref = {
		.parent = full ? eb_logical(eb) : 0,
		.root = full ? 0 : btrfs_header_owner(b),
	};
	int level = (int)btrfs_header_level(b), sign = add ? 1 : -1, err = 0;

	if (!level && !tree->shareable)
		return 0;
	for (unsigned i = 0; !err && i < btrfs_header_nritems(b); i++)
		err = level ? dref_tree(space_trans(t), btrfs_node_blockptr(b, i), level - 1, &ref,
					sign, NULL)
			    : ref_data(space_trans(t), b, i, ref, sign);
	return err;
}
