// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Copy-on-write: when a block is copied, and what that does to references.
 *
 * A reference to a block is keyed by the tree that owns the referring block, or, where a referring
 * block is shared by trees (FULL_BACKREF), by that block's address. So when a tree copies a block
 * that others keep, the children get references for the copy; and when it is the owner who leaves,
 * the references that were in its name are first turned into ones in the name of the block left
 * behind.
 *
 * Order within a copy: ask, allocate (both may fail, nothing has happened) → references, pointer or
 * root, freeing (a failure aborts the transaction).
 *
 * Locks: the block and its parent are write-locked by the caller.
 */
#include "engine/btree/bt_priv.h"
#include "engine/util/fault.h"

#include <assert.h>
#include <string.h>

void bt_trans_init(struct bt_trans *t, struct eb_cache *cache, uint64_t generation,
		   const struct bt_trans_ops *ops, enum bt_search_mode mode)
{
	*t = (struct bt_trans){
		.generation = generation, .ops = ops, .mode = mode, .cache = cache
	};
}

void bt_trans_end(struct bt_trans *t)
{
	eb_spares_release(t->cache, &t->spares);
}

static int fail(struct bt_trans *t, int err)
{
	if (err)
		t->ops->abort(t, err);
	return err;
}

bool bt_should_cow(const struct bt_trans *t, struct bt_tree *tree, const struct eb *eb)
{
	uint64_t flags = btrfs_header_flags(eb_data(eb));

	if (!eb_mutable(eb, t->generation))
		return true;
	/* Relocation made it for a tree that it will be swapped into. */
	if ((flags & BTRFS_HEADER_FLAG_RELOC) && !tree->reloc)
		return true;
	return atomic_load(&tree->force_cow);
}

struct sharing {
	uint64_t refs, flags;
};

static bool may_be_shared(struct bt_tree *tree, const struct eb *eb, bool root)
{
	const void *b = eb_data(eb);

	/* A snapshot copies the root, so that roots never are. */
	return tree->shareable && !root &&
	       (btrfs_header_generation(b) <= atomic_load(&tree->last_snapshot) ||
		(btrfs_header_flags(b) & BTRFS_HEADER_FLAG_RELOC));
}

static int ask_sharing(struct bt_trans *t, struct bt_tree *tree, const struct eb *eb, bool root,
		       struct sharing *out)
{
	const void *b = eb_data(eb);
	int err;

	*out = (struct sharing){ .refs = 1 };
	if (!may_be_shared(tree, eb, root)) {
		if (tree->reloc || btrfs_header_backref_rev(b) < BTRFS_MIXED_BACKREF_REV)
			out->flags = BTRFS_BLOCK_FLAG_FULL_BACKREF;
		return 0;
	}
	err = t->ops->refs(t, eb_logical(eb), (int)btrfs_header_level(b), &out->refs, &out->flags);
	if (err || out->refs)
		return err;
	return msg_corrupt(vol_msg(eb_cache_vol(tree->root.cache)),
			   "tree %llu: block %llu is in use and has no references",
			   (unsigned long long)tree->root.id, (unsigned long long)eb_logical(eb));
}

/* The block stays with others. */
static int leave_shared(struct bt_trans *t, struct bt_tree *tree, const struct eb *eb,
			const struct eb *copy, const struct sharing *sh)
{
	bool owner = btrfs_header_owner(eb_data(eb)) == tree->root.id || tree->reloc;
	int err;

	if (!owner || (sh->flags & BTRFS_BLOCK_FLAG_FULL_BACKREF))
		return t->ops->ref_children(t, tree, copy, tree->reloc, true);
	/* The references in our name become the copy's; the block gets its own. */
	err = t->ops->ref_children(t, tree, eb, true, true);
	if (!err && tree->reloc)
		err = t->ops->ref_children(t, tree, eb, false, false);
	if (!err && tree->reloc)
		err = t->ops->ref_children(t, tree, copy, true, true);
	if (!err)
		err = t->ops->set_flags(t, eb, BTRFS_BLOCK_FLAG_FULL_BACKREF);
	return err;
}

static int update_refs(struct bt_trans *t, struct bt_tree *tree, const struct eb *eb,
		       const struct eb *copy, const struct sharing *sh)
{
	int err;

	if (sh->refs > 1)
		return leave_shared(t, tree, eb, copy, sh);
	if (!(sh->flags & BTRFS_BLOCK_FLAG_FULL_BACKREF))
		return 0;
	err = t->ops->ref_children(t, tree, copy, tree->reloc, true);
	return err ? err : t->ops->ref_children(t, tree, eb, true, false);
}

static struct eb *new_block(struct bt_trans *t, struct bt_tree *tree, uint64_t logical,
			    uint64_t owner, int level)
{
	struct eb *eb = eb_new(t->cache, &t->spares, logical, t->generation, owner, level);

	t->ops->dirty(t, tree, eb);
	return eb;
}

static struct btrfs_key first_key(const struct eb *eb)
{
	const void *b = eb_data(eb);

	return btrfs_header_nritems(b) ? btrfs_block_key(b, 0) : (struct btrfs_key){ 0 };
}

static void copy_items(struct bt_trans *t, struct eb *to, const struct eb *from, bool reloc)
{
	uint32_t nodesize = eb_cache_geometry(t->cache)->nodesize;
	struct btrfs_header *h = eb_mut(to, t->generation);
	const struct btrfs_header *src = eb_data(from);

	h->nritems = src->nritems;
	if (reloc) {
		h->flags = le64_make(le64_get(h->flags) | BTRFS_HEADER_FLAG_RELOC);
		h->owner = src->owner;
	}
	memcpy(h + 1, src + 1, nodesize - sizeof(*h));
}

void bt_set_root(struct bt_trans *t, struct bt_tree *tree, const struct eb *eb)
{
	pthread_mutex_lock(&tree->lock);
	tree->root.bytenr = eb_logical(eb);
	tree->root.generation = t->generation;
	tree->root.level = (uint8_t)btrfs_header_level(eb_data(eb));
	pthread_mutex_unlock(&tree->lock);
	t->ops->root_changed(t, tree);
}

static int drop_ref(struct bt_trans *t, struct bt_tree *tree, const struct eb *eb, uint64_t parent,
		    bool last)
{
	const void *b = eb_data(eb);
	struct bt_drop drop = {
		.logical = eb_logical(eb),
		.generation = btrfs_header_generation(b),
		.parent = parent,
		.level = (int)btrfs_header_level(b),
		.last = last,
		.written = btrfs_header_flags(b) & BTRFS_HEADER_FLAG_WRITTEN,
	};

	return fail(t, t->ops->free(t, tree, &drop));
}

static void lead_parent(struct bt_trans *t, struct eb *parent, unsigned pslot, const struct eb *eb)
{
	struct btrfs_node *node = eb_mut(parent, t->generation);

	if (PLANTED("bt_cow_forgets_parent"))
		return;
	node->ptrs[pslot].blockptr = le64_make(eb_logical(eb));
	node->ptrs[pslot].generation = le64_make(t->generation);
}

int bt_cow(struct bt_trans *t, struct bt_tree *tree, struct eb **io_eb, struct eb *parent,
	   unsigned pslot)
{
	struct eb *eb = *io_eb, *copy;
	int level = (int)btrfs_header_level(eb_data(eb));
	struct bt_want want = {
		.owner = tree->root.id,
		.level = level,
		.first_key = first_key(eb),
		.hint = parent ? eb_logical(parent) : eb_logical(eb),
		.parent = tree->reloc && parent ? eb_logical(parent) : 0,
	};
	struct sharing sh;
	uint64_t logical;
	int err;

	err = ask_sharing(t, tree, eb, !parent, &sh);
	if (!err)
		err = t->ops->alloc(t, &want, &logical);
	if (err)
		return err;
	bt_count(tree, bt_cows);
	if (btrfs_header_generation(eb_data(eb)) == t->generation &&
	    (btrfs_header_flags(eb_data(eb)) & BTRFS_HEADER_FLAG_WRITTEN))
		bt_count(tree, bt_recows);
	copy = new_block(t, tree, logical, tree->root.id, level);
	copy_items(t, copy, eb, tree->reloc);
	err = fail(t, update_refs(t, tree, eb, copy, &sh));
	if (err) {
		eb_forget(copy);
		eb_unlock_write(copy);
		eb_put(copy);
		return err;
	}
	if (parent)
		lead_parent(t, parent, pslot, copy);
	else
		bt_set_root(t, tree, copy);
	/* While the address is still the block's. */
	if (t->ops->touched)
		t->ops->touched(t, tree, copy, eb);
	/* First: with its reference the address may go, and be another block's at once. */
	if (sh.refs == 1)
		eb_retire(eb, t->generation);
	err = drop_ref(t, tree, eb,
		       !tree->reloc ? 0
		       : parent	    ? eb_logical(parent)
				    : eb_logical(eb),
		       sh.refs == 1);
	eb_unlock_write(eb);
	eb_put(eb);
	*io_eb = copy;
	return err;
}

int bt_make_mutable(struct bt_trans *t, struct bt_tree *tree, struct eb **io_eb, struct eb *parent,
		    unsigned pslot)
{
	if (bt_should_cow(t, tree, *io_eb))
		return bt_cow(t, tree, io_eb, parent, pslot);
	if (t->ops->touched)
		t->ops->touched(t, tree, *io_eb, NULL);
	return 0;
}

int bt_alloc(struct bt_trans *t, struct bt_tree *tree, int level, const struct btrfs_key *key,
	     uint64_t hint, struct eb **out_eb)
{
	struct bt_want want = {
		.owner = tree->root.id, .level = level, .first_key = *key, .hint = hint
	};
	uint64_t logical;
	int err;

	assert(!tree->reloc);
	err = t->ops->alloc(t, &want, &logical);
	if (err)
		return err;
	*out_eb = new_block(t, tree, logical, tree->root.id, level);
	if (t->ops->touched)
		t->ops->touched(t, tree, *out_eb, NULL);
	return 0;
}

int bt_free(struct bt_trans *t, struct bt_tree *tree, struct eb *eb)
{
	int err;

	assert(!tree->reloc && eb_mutable(eb, t->generation));
	/* First: its address may be another block's at once. */
	eb_forget(eb);
	err = drop_ref(t, tree, eb, 0, true);
	eb_unlock_write(eb);
	eb_put(eb);
	return err;
}

/* ---- roots ---- */

/* The block of a tree that is not there yet. */
static int root_block(struct bt_trans *t, const struct bt_want *want, struct eb **out_eb)
{
	uint64_t logical;
	int err = eb_spares_fill(t->cache, &t->spares, 1);

	if (!err)
		err = t->ops->alloc(t, want, &logical);
	if (!err)
		*out_eb = eb_new(t->cache, &t->spares, logical, t->generation, want->owner,
				 want->level);
	return err;
}

int bt_create(struct bt_trans *t, const struct bt_root *like, struct bt_root *out_root)
{
	struct bt_want want = { .owner = like->id };
	struct eb *eb;
	int err;

	*out_root = *like;
	out_root->tree = NULL;
	err = root_block(t, &want, &eb);
	if (err)
		return err;
	t->ops->dirty(t, NULL, eb);
	out_root->bytenr = eb_logical(eb);
	out_root->generation = t->generation;
	out_root->level = 0;
	eb_unlock_write(eb);
	eb_put(eb);
	return 0;
}

int bt_copy_root(struct bt_trans *t, struct bt_tree *tree, uint64_t new_id,
		 struct bt_root *out_root)
{
	struct bt_want want = { .owner = new_id };
	struct bt_reader r = { .how = EB_READ };
	struct eb *eb, *copy;
	bool written;
	int level, err;

	*out_root = (struct bt_root){ 0 };
	err = eb_spares_fill(t->cache, &t->spares, 2);
	if (!err)
		err = bt_lock_root(tree, -1, &r, &t->spares, &eb, &level, &written);
	if (err)
		return err;
	want.level = level;
	want.first_key = first_key(eb);
	want.hint = eb_logical(eb);
	err = root_block(t, &want, &copy);
	if (!err) {
		t->ops->dirty(t, tree, copy);
		copy_items(t, copy, eb, new_id == BTRFS_TREE_RELOC_OBJECTID);
		err = fail(t, t->ops->ref_children(t, tree, copy,
						   new_id == BTRFS_TREE_RELOC_OBJECTID, true));
		*out_root = tree->root;
		out_root->tree = NULL;
		out_root->id = new_id;
		out_root->bytenr = eb_logical(copy);
		out_root->generation = t->generation;
		out_root->level = (uint8_t)level;
		eb_unlock_write(copy);
		eb_put(copy);
	}
	eb_unlock_read(eb);
	eb_put(eb);
	return err;
}
