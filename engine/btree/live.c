// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Descending trees that change: locks hand over hand, and the readers of such trees.
 *
 * Invariants:
 * 1. A child is looked up and locked while its parent is locked, the root's block while tree->root
 * still names it: so what is locked is part of the tree.
 * 2. Nothing is read under a lock. A descent that misses a block gives up all locks, reads the
 * block (what it was told of it may be out of date by then: that is no error), and starts over.
 * Only a block that is missing twice running is read with its parent locked, into a spare: then the
 * descent ends whatever others do to the cache. What it has found is referenced from the first miss
 * on: only what it misses is to be read again.
 * 3. A reader's path has a reference on its leaf and no lock. A leaf that was sealed for writing
 * never changes again; any other is handed out as a copy.
 * 4. path->live.bound is where the next leaf starts: the walk forward searches for it. The walk
 * backward searches for what comes before the first key. Neither holds anything on the old leaf.
 *
 * Locks: bt_live.h.
 */
#include "engine/btree/bt_priv.h"

#include <assert.h>

void bt_tree_init(struct bt_tree *tree, const struct bt_root *root)
{
	*tree = (struct bt_tree){ .root = *root };
	tree->root.tree = tree;
	pthread_mutex_init(&tree->lock, NULL);
}

void bt_tree_destroy(struct bt_tree *tree)
{
	pthread_mutex_destroy(&tree->lock);
}

struct bt_root bt_tree_root(struct bt_tree *tree)
{
	struct bt_root root;

	pthread_mutex_lock(&tree->lock);
	root = tree->root;
	pthread_mutex_unlock(&tree->lock);
	root.tree = NULL;
	return root;
}

void bt_reader_init(struct bt_reader *r)
{
	/* Not `miss`, which is large. */
	r->how = EB_CACHED;
	r->pin = false;
	r->last = 0;
	for (int level = 0; level < BT_MAX_LEVEL; level++)
		r->pins[level] = NULL;
}

void bt_reader_end(struct bt_reader *r)
{
	for (int level = 0; r->pin && level < BT_MAX_LEVEL; level++)
		eb_put(r->pins[level]);
}

static void pin(struct bt_reader *r, struct eb *eb, int level)
{
	eb_ref(eb);
	eb_put(r->pins[level]);
	r->pins[level] = eb;
}

void bt_reader_fetch(struct eb_cache *c, struct bt_reader *r)
{
	if (r->miss.expects[0].logical == r->last) {
		r->how = EB_READ;
		return;
	}
	r->last = r->miss.expects[0].logical;
	eb_prefetch(c, r->miss.expects, r->miss.nr);
}

static void lock(struct eb *eb, bool write)
{
	if (write)
		eb_lock_write(eb);
	else
		eb_lock_read(eb);
}

static void unlock(struct eb *eb, bool write)
{
	if (write)
		eb_unlock_write(eb);
	else
		eb_unlock_read(eb);
}

static int get(struct eb_cache *c, const struct btrfs_block_expect *expect, struct bt_reader *r,
	       struct eb_spares *s, struct eb **out_eb)
{
	int err = eb_get_live(c, expect, s->nr ? r->how : EB_CACHED, s, out_eb);

	if (err > 0) {
		r->miss.expects[0] = *expect;
		r->miss.nr = 1;
		r->pin = true;
	} else if (!err && r->pin) {
		pin(r, *out_eb, expect->level);
	}
	return err;
}

/*
 * Pointers that lead to a block that this thread has locked, up the path or beside it, would have
 * it wait for itself. A level never changes, so this can be asked before the lock is taken.
 */
static bool is_ours(const struct eb *eb, const struct btrfs_block_expect *expect)
{
	return eb_locked_by_me(eb) || (int)btrfs_header_level(eb_data(eb)) != expect->level;
}

static int leads_back(const struct bt_root *root, const struct eb *eb,
		      const struct btrfs_block_expect *expect)
{
	int err = eb_check(eb, expect);

	return err ? err
		   : msg_corrupt(vol_msg(eb_cache_vol(root->cache)),
				 "tree %llu: block %llu of level %d is met again below or beside "
				 "itself",
				 (unsigned long long)root->id, (unsigned long long)eb_logical(eb),
				 expect->level);
}

int bt_lock_root(struct bt_tree *tree, int write_top, struct bt_reader *r, struct eb_spares *s,
		 struct eb **out_eb, int *out_level, bool *out_written)
{
	struct btrfs_block_expect expect;
	struct bt_root root;
	struct eb *eb;
	bool write, same, ours;
	int err;

	for (;;) {
		root = bt_tree_root(tree);
		bt_root_expect(&root, &expect);
		write = root.level <= write_top;
		err = get(root.cache, &expect, r, s, &eb);
		if (err)
			return err;
		ours = eb_locked_by_me(eb);
		if (!ours)
			lock(eb, write);
		pthread_mutex_lock(&tree->lock);
		same = tree->root.bytenr == root.bytenr && eb_alive(eb);
		pthread_mutex_unlock(&tree->lock);
		if (same)
			break;
		if (!ours)
			unlock(eb, write);
		eb_put(eb);
		bt_count(tree, bt_restarts_root);
	}
	err = ours ? leads_back(&root, eb, &expect) : eb_check(eb, &expect);
	if (err) {
		if (!ours)
			unlock(eb, write);
		eb_put(eb);
		return err;
	}
	*out_eb = eb;
	*out_level = root.level;
	*out_written = write;
	return 0;
}

int bt_lock_child(const struct bt_root *root, const struct eb *node, unsigned slot, bool write,
		  struct bt_reader *r, struct eb_spares *s, struct eb **out_eb)
{
	struct btrfs_block_expect expect;
	struct eb *eb;
	int err;

	bt_node_expect(root, eb_data(node), slot, &expect);
	err = get(root->cache, &expect, r, s, &eb);
	if (err)
		return err;
	if (is_ours(eb, &expect)) {
		err = leads_back(root, eb, &expect);
		eb_put(eb);
		return err;
	}
	lock(eb, write);
	err = eb_check(eb, &expect);
	if (err) {
		unlock(eb, write);
		eb_put(eb);
		return err;
	}
	*out_eb = eb;
	return 0;
}

/* ---- readers ---- */

/* A walk forward wants what follows the missing leaf too. */
static void want_following(const struct bt_path *path, const struct eb *node, unsigned slot,
			   struct bt_miss *m)
{
	unsigned nr = btrfs_header_nritems(eb_data(node));

	if (path->readahead != BT_READAHEAD_FORWARD || btrfs_header_level(eb_data(node)) != 1)
		return;
	while (++slot < nr && m->nr < EB_PREFETCH_MAX)
		bt_node_expect(path->root, eb_data(node), slot, &m->expects[m->nr++]);
}

/* Down to the leaf, which is read-locked: 0, 1 (miss), -errno. */
static int descend(struct bt_path *path, const struct btrfs_key *key, struct bt_reader *r,
		   struct eb_spares *s, struct eb **out_leaf)
{
	struct eb *eb, *child;
	bool written;
	int level, err;

	path->live.bounded = false;
	err = bt_lock_root(bt_path_tree(path), -1, r, s, &eb, &level, &written);
	for (; !err && level > 0; level--) {
		const void *node = eb_data(eb);
		unsigned slot = bt_node_slot(node, key);

		if (slot + 1 < btrfs_header_nritems(node)) {
			path->live.bounded = true;
			path->live.bound = btrfs_node_key(node, slot + 1);
		}
		err = bt_lock_child(path->root, eb, slot, false, r, s, &child);
		if (err > 0)
			want_following(path, eb, slot, &r->miss);
		eb_unlock_read(eb);
		eb_put(eb);
		eb = child;
	}
	if (!err)
		*out_leaf = eb;
	return err;
}

/* Gives the path its leaf: by reference, or a copy in a spare. False: there is no spare. */
static bool hand_out(struct bt_path *path, struct eb *leaf, struct eb_spares *s)
{
	if (btrfs_header_flags(eb_data(leaf)) & BTRFS_HEADER_FLAG_WRITTEN) {
		eb_unlock_read(leaf);
		path->nodes[0] = leaf;
		return true;
	}
	if (s->nr) {
		path->nodes[0] = eb_copy(leaf, s);
		path->live.copy = true;
	}
	eb_unlock_read(leaf);
	eb_put(leaf);
	return path->live.copy;
}

int bt_live_search(const struct bt_root *root, const struct btrfs_key *key, struct bt_path *path)
{
	struct eb_cache *c = root->cache;
	struct eb_spares s = { 0 };
	struct bt_reader r;
	struct eb *leaf;
	bool found;
	int err;

	bt_reader_init(&r);
	do {
		err = descend(path, key, &r, &s, &leaf);
		if (!err && hand_out(path, leaf, &s))
			break;
		if (err > 0) {
			bt_count(root->tree, bt_restarts_read);
			bt_reader_fetch(c, &r);
		}
		/* One to read into, one for the copy. */
		if (err >= 0 && (!err || r.how == EB_READ))
			err = eb_spares_fill(c, &s, 2);
	} while (err >= 0);
	bt_reader_end(&r);
	eb_spares_release(c, &s);
	if (err)
		return err;
	path->slots[0] = (int)bt_leaf_slot(eb_data(path->nodes[0]), key, &found);
	return found ? 0 : 1;
}

/* The key that sorts before; false: there is none. */
static bool key_before(struct btrfs_key *key)
{
	if (key->offset) {
		key->offset--;
		return true;
	}
	key->offset = UINT64_MAX;
	if (key->type) {
		key->type--;
		return true;
	}
	key->type = UINT8_MAX;
	return key->objectid--;
}

static int step_back(struct bt_path *path)
{
	const struct bt_root *root = path->root;
	const void *leaf = eb_data(path->nodes[0]);
	struct btrfs_key key;
	int err;

	if (!btrfs_header_nritems(leaf)) {
		bt_path_release(path);
		return 1;
	}
	key = btrfs_item_key(leaf, 0);
	if (!key_before(&key)) {
		bt_path_release(path);
		return 1;
	}
	err = bt_search(root, &key, path);
	if (err <= 0)
		return err;
	/* Not below the first key of the leaf, or the leaf is the tree's first. */
	if (path->slots[0]-- > 0)
		return 0;
	bt_path_release(path);
	return 1;
}

int bt_live_step(struct bt_path *path, int step)
{
	const struct bt_root *root = path->root;

	assert(!path->live.locked);
	if (step < 0)
		return step_back(path);
	for (;;) {
		struct btrfs_key key = path->live.bound;
		int err;

		if (!path->live.bounded) {
			bt_path_release(path);
			return 1;
		}
		err = bt_search(root, &key, path);
		if (err <= 0 ||
		    (unsigned)path->slots[0] < btrfs_header_nritems(eb_data(path->nodes[0])))
			return err < 0 ? err : 0;
	}
}

void bt_unlock_level(struct bt_path *path, int level)
{
	assert(bt_locked(path, level));
	eb_unlock_write(path->nodes[level]);
	path->live.locked &= (uint8_t) ~(1 << level);
	eb_put(path->nodes[level]);
	path->nodes[level] = NULL;
}

void bt_replace_level(struct bt_path *path, int level, struct eb *eb)
{
	eb_unlock_write(path->nodes[level]);
	eb_put(path->nodes[level]);
	path->nodes[level] = eb;
}

void bt_live_release(struct bt_path *path)
{
	if (path->live.copy) {
		eb_copy_put(path->nodes[0]);
		path->nodes[0] = NULL;
		path->live.copy = false;
	}
	for (int level = BT_MAX_LEVEL - 1; level >= 0; level--)
		if (bt_locked(path, level))
			bt_unlock_level(path, level);
}
