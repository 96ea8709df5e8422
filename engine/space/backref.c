// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Who uses an extent.
 *
 * A keyed reference names a tree: the block that points to the extent is the one in which that
 * tree, searched for the extent's first key (for data: for the file's items), has it. A shared one
 * names the block. Either way the users are the trees that reach that block: its references are
 * followed in turn, up to blocks that are roots. A tree holds a block at one place only, so no
 * place is come by twice.
 *
 * A keyed reference of tree R speaks for blocks whose header has R as owner and whose children are
 * not named by block (FULL_BACKREF): of a file's items, those in other leaves belong to other
 * references.
 *
 * Locks: none; trees are read as they were last committed, nobody changes them meanwhile.
 */
#include "engine/space/extent_priv.h"
#include "engine/util/fault.h"

#include <inttypes.h>
#include <stdlib.h>

/* Ids of trees, each once. */
struct ids {
	uint64_t *v;
	unsigned nr, room;
};

struct walk {
	struct space_fs *fs;
	uint64_t logical;
	int (*fn)(void *arg, const struct backref *ref);
	void *arg;
};

static int ids_add(struct ids *ids, uint64_t id)
{
	uint64_t *v;

	for (unsigned i = 0; i < ids->nr; i++)
		if (ids->v[i] == id)
			return 0;
	if (ids->nr == ids->room) {
		v = eng_realloc(ids->v, (ids->room ? 2 * ids->room : 8) * sizeof(*v));
		if (!v)
			return -ENOMEM;
		ids->v = v;
		ids->room = ids->room ? 2 * ids->room : 8;
	}
	ids->v[ids->nr++] = id;
	return 0;
}

/* ---- trees and their blocks ---- */

static struct bt_tree *global_tree(struct space_fs *fs, uint64_t id)
{
	return id == BTRFS_ROOT_TREE_OBJECTID	 ? fs->root
	       : id == BTRFS_CHUNK_TREE_OBJECTID ? fs->chunk
						 : NULL;
}

static int load_root(struct space_fs *fs, uint64_t id, struct bt_root *out_root)
{
	struct btrfs_key key = { id, BTRFS_ROOT_ITEM_KEY, 0 };
	BT_PATH_CLEANUP struct bt_path path = BT_PATH_INIT;
	const struct btrfs_root_item *item;
	int err;

	if (global_tree(fs, id)) {
		*out_root = bt_tree_root(global_tree(fs, id));
		return 0;
	}
	err = bt_search_ge(&fs->root->root, &key, &path);
	if (!err)
		key = bt_key(&path);
	if (err > 0 || (!err && (key.objectid != id || key.type != BTRFS_ROOT_ITEM_KEY)))
		return msg_corrupt(fs->msg,
				   "tree %" PRIu64 " is named by a reference and has no root item",
				   id);
	if (err)
		return err;
	item = bt_item(&path);
	*out_root = (struct bt_root){
		.cache = fs->cache,
		.id = id,
		.bytenr = le64_get(item->bytenr),
		.generation = le64_get(item->generation),
		.level = item->level,
		.any_owner = true,
	};
	return 0;
}

/* A block of which only the address is known, and maybe the level (-1: not). */
static int get_block(struct space_fs *fs, uint64_t logical, int level, struct eb **out_eb)
{
	const struct btrfs_block_expect expect = { .logical = logical, .level = level };

	return eb_get(fs->cache, &expect, out_eb);
}

static unsigned slot_of(const void *node, const struct btrfs_key *key)
{
	unsigned lo = 0, hi = btrfs_header_nritems(node);

	while (hi - lo > 1) {
		unsigned mid = lo + (hi - lo) / 2;
		struct btrfs_key at = btrfs_node_key(node, mid);

		if (btrfs_key_cmp(&at, key) <= 0)
			lo = mid;
		else
			hi = mid;
	}
	return lo;
}

/*
 * The block at level + 1 in which the tree has `child`, whose first key is `key`. 0; 0 with
 * *out_parent 0: it is the tree's root; 1: it is not in there; -errno.
 */
static int find_parent(struct space_fs *fs, const struct bt_root *root, uint64_t child, int level,
		       const struct btrfs_key *key, uint64_t *out_parent)
{
	uint64_t at = root->bytenr, generation = root->generation, next;
	struct eb *eb;
	int err;

	*out_parent = 0;
	if (at == child)
		return root->level != level;
	for (int l = root->level; l > level; l--) {
		struct btrfs_block_expect expect = { .logical = at,
						     .generation = generation,
						     .level = l };
		unsigned slot;

		err = eb_get(fs->cache, &expect, &eb);
		if (err)
			return err;
		slot = slot_of(eb_data(eb), key);
		next = btrfs_node_blockptr(eb_data(eb), slot);
		generation = btrfs_node_generation(eb_data(eb), slot);
		eb_put(eb);
		if (l == level + 1) {
			*out_parent = at;
			return next != child;
		}
		at = next;
	}
	return 1;
}

static int leads_nowhere(struct space_fs *fs, uint64_t logical, const struct ref_name *name)
{
	return msg_corrupt(fs->msg,
			   "extent %" PRIu64 ": reference (%u %" PRIu64
			   ") leads to where the extent is not used",
			   logical, name->type, name->offset);
}

/* The block that points to a tree block by this reference; 0: it is the root of *out_root. */
static int resolve_block(struct space_fs *fs, uint64_t logical, int level,
			 const struct ref_name *name, uint64_t *out_parent, uint64_t *out_root)
{
	uint64_t id = name->ref.root;
	struct btrfs_key key = { 0 };
	struct bt_root root;
	struct eb *eb;
	int err;

	*out_root = id;
	*out_parent = name->ref.parent;
	if (*out_parent) {
		/* A relocation tree's root refers to itself. */
		if (*out_parent == logical) {
			*out_parent = 0;
			*out_root = BTRFS_TREE_RELOC_OBJECTID;
		}
		return 0;
	}
	if (id == BTRFS_TREE_RELOC_OBJECTID)
		return 0;
	err = load_root(fs, id, &root);
	if (!err)
		err = get_block(fs, logical, level, &eb);
	if (err)
		return err;
	if (btrfs_header_nritems(eb_data(eb)))
		key = btrfs_block_key(eb_data(eb), 0);
	eb_put(eb);
	err = find_parent(fs, &root, logical, level, &key, out_parent);
	return err > 0 ? leads_nowhere(fs, logical, name) : err;
}

static int points_to(struct space_fs *fs, uint64_t parent, uint64_t child, int level,
		     bool *out_does)
{
	struct eb *eb;
	int err = get_block(fs, parent, level + 1, &eb);

	*out_does = false;
	if (err)
		return err;
	for (unsigned i = 0; i < btrfs_header_nritems(eb_data(eb)); i++)
		*out_does |= btrfs_node_blockptr(eb_data(eb), i) == child;
	eb_put(eb);
	return 0;
}

/* Adds the trees that reach a tree block. Levels rise, so that it ends. */
static int users(struct space_fs *fs, uint64_t logical, int level, struct ids *out_ids)
{
	struct ref_list l;
	int err = ref_list_load(fs, logical, &l);

	if (err == -ENOENT || (!err && l.info.level != level)) {
		ref_list_free(&l);
		return msg_corrupt(
			fs->msg,
			"block %" PRIu64
			" refers to others and has no item of level %d in the extent tree",
			logical, level);
	}
	for (unsigned i = 0; !err && i < l.nr; i++) {
		uint64_t parent, id;

		if (PLANTED("backref_skips_shared") && l.v[i].name.ref.parent)
			continue;
		err = resolve_block(fs, logical, level, &l.v[i].name, &parent, &id);
		if (!err)
			err = !parent ? ids_add(out_ids, id)
			      : level + 1 >= BTRFS_MAX_LEVEL
				      ? leads_nowhere(fs, logical, &l.v[i].name)
				      : users(fs, parent, level + 1, out_ids);
	}
	ref_list_free(&l);
	return err;
}

/* ---- what the walk finds ---- */

/* One place, for each tree that reaches the block `parent`, which is of the level above. */
static int tell(struct walk *w, const struct ids *ids, struct backref ref)
{
	int ret = 0;

	for (unsigned i = 0; !ret && i < ids->nr; i++) {
		ref.root = ids->v[i];
		ret = w->fn(w->arg, &ref);
	}
	return ret;
}

static int walk_block(struct walk *w, int level, const struct ref_name *name)
{
	struct backref ref = { .level = level };
	struct ids ids = { 0 };
	bool does = true;
	uint64_t id;
	int err;

	err = resolve_block(w->fs, w->logical, level, name, &ref.parent, &id);
	if (!err && !ref.parent)
		err = ids_add(&ids, id);
	if (!err && ref.parent)
		err = points_to(w->fs, ref.parent, w->logical, level, &does);
	if (!err && !does)
		err = leads_nowhere(w->fs, w->logical, name);
	if (!err && ref.parent)
		err = users(w->fs, ref.parent, level + 1, &ids);
	if (!err)
		err = tell(w, &ids, ref);
	free(ids.v);
	return err;
}

static bool uses(const void *leaf, unsigned slot, uint64_t logical)
{
	const struct btrfs_file_extent_item *fi = btrfs_item_ptr(leaf, slot);

	return btrfs_item_key(leaf, slot).type == BTRFS_EXTENT_DATA_KEY &&
	       fi->type != BTRFS_FILE_EXTENT_INLINE && le64_get(fi->disk_bytenr) == logical;
}

static int walk_shared_data(struct walk *w, const struct ref_seen *seen)
{
	uint64_t parent = seen->name.ref.parent;
	struct ids ids = { 0 };
	unsigned nr = 0;
	struct eb *eb;
	int err = get_block(w->fs, parent, 0, &eb);

	if (err)
		return err;
	err = users(w->fs, parent, 0, &ids);
	for (unsigned i = 0; !err && i < btrfs_header_nritems(eb_data(eb)); i++) {
		struct btrfs_key key = btrfs_item_key(eb_data(eb), i);
		struct backref ref = {
			.ino = key.objectid, .offset = key.offset, .level = -1, .parent = parent
		};

		if (!uses(eb_data(eb), i, w->logical))
			continue;
		nr++;
		err = tell(w, &ids, ref);
	}
	eb_put(eb);
	free(ids.v);
	return !err && nr != seen->count ? leads_nowhere(w->fs, w->logical, &seen->name) : err;
}

/* A leaf that a keyed reference may speak of, and its users, kept from one item to the next. */
struct leaf_users {
	uint64_t leaf;
	bool ours;
	struct ids ids;
};

static int enter_leaf(struct walk *w, const struct ref_name *name, const struct eb *eb,
		      struct leaf_users *lu)
{
	struct extent_info info;
	int err;

	if (lu->leaf == eb_logical(eb))
		return 0;
	lu->leaf = eb_logical(eb);
	lu->ids.nr = 0;
	lu->ours = false;
	if (btrfs_header_owner(eb_data(eb)) != name->ref.root)
		return 0;
	err = extent_lookup(w->fs, lu->leaf, 0, &info);
	if (err)
		return err == -ENOENT ? leads_nowhere(w->fs, w->logical, name) : err;
	lu->ours = !(info.flags & BTRFS_BLOCK_FLAG_FULL_BACKREF);
	return lu->ours ? users(w->fs, lu->leaf, 0, &lu->ids) : 0;
}

static int walk_item(struct walk *w, const struct ref_name *name, const struct bt_path *path,
		     struct leaf_users *lu, unsigned *nr)
{
	const struct btrfs_file_extent_item *fi = bt_item(path);
	struct btrfs_key key = bt_key(path);
	struct backref ref = { .ino = key.objectid, .offset = key.offset, .level = -1 };
	int err;

	if (!uses(eb_data(path->nodes[0]), (unsigned)path->slots[0], w->logical) ||
	    key.offset - le64_get(fi->offset) != name->ref.offset)
		return 0;
	err = enter_leaf(w, name, path->nodes[0], lu);
	if (err || !lu->ours)
		return err;
	++*nr;
	ref.parent = lu->leaf;
	return tell(w, &lu->ids, ref);
}

static int walk_keyed_data(struct walk *w, const struct ref_seen *seen)
{
	const struct dref *d = &seen->name.ref;
	/* An extent may be used from its middle on only: then the start lies before the file's. */
	struct btrfs_key key = { d->ino, BTRFS_EXTENT_DATA_KEY,
				 (int64_t)d->offset < 0 ? 0 : d->offset };
	BT_PATH_CLEANUP struct bt_path path = BT_PATH_INIT;
	struct leaf_users lu = { 0 };
	struct bt_root root;
	unsigned nr = 0;
	int err = load_root(w->fs, d->root, &root);

	if (!err)
		err = bt_search_ge(&root, &key, &path);
	while (!err && nr < seen->count) {
		key = bt_key(&path);
		if (key.objectid != d->ino || key.type != BTRFS_EXTENT_DATA_KEY)
			break;
		err = walk_item(w, &seen->name, &path, &lu, &nr);
		if (!err)
			err = bt_next(&path);
		else
			goto out;
	}
	if (err >= 0)
		err = nr != seen->count ? leads_nowhere(w->fs, w->logical, &seen->name) : 0;
out:
	free(lu.ids.v);
	return err;
}

int backref_walk(struct space_fs *fs, uint64_t logical,
		 int (*fn)(void *arg, const struct backref *ref), void *arg)
{
	struct walk w = { fs, logical, fn, arg };
	struct ref_list l;
	int ret = ref_list_load(fs, logical, &l);

	for (unsigned i = 0; !ret && i < l.nr; i++) {
		if (PLANTED("backref_skips_shared") && l.v[i].name.ref.parent)
			continue;
		switch (l.v[i].name.type) {
		case BTRFS_EXTENT_DATA_REF_KEY:
			ret = walk_keyed_data(&w, &l.v[i]);
			break;
		case BTRFS_SHARED_DATA_REF_KEY:
			ret = walk_shared_data(&w, &l.v[i]);
			break;
		default:
			ret = walk_block(&w, l.info.level, &l.v[i].name);
		}
	}
	ref_list_free(&l);
	return ret;
}
