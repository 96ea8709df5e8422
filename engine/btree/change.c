// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Searching in order to change.
 *
 * Two passes. The first locks only the leaf for writing, those above hand over hand for reading,
 * and foresees from what it meets up to which level the edit reaches: a block that has to be copied
 * changes its parent, and so does a leaf that is to be split, emptied or merged, or whose first key
 * changes. Mostly that is the leaf alone, and all is done. Else the second pass locks for writing
 * from that level down, looks whether it is still enough (others were there in between: then once
 * more, from further up), and only then copies. Nothing is ever copied twice for one search.
 *
 * search=linux copies on the way down, and drops everything when it misses a block or a lock. What
 * it copied may be written out meanwhile, and is copied again.
 *
 * Spares are filled before each pass, holding no locks: 4 a level of the tree, which is what
 * copying a path, splitting all of it or copying a neighbour a level take together.
 *
 * Locks: bt_live.h. A path for change has the levels 0 … top write-locked, and nothing else.
 */
#include "engine/btree/bt_priv.h"

#include <assert.h>

/* What a descent says besides 0, 1 (miss) and errors. */
#define NEED_LOCKS 2
#define NEED_SPARES 3
#define INJECTED 4

/* Of one level, as the edit finds it. */
struct facts {
	bool cow;
	unsigned nr;
	unsigned slot;
};

struct change {
	enum bt_intent intent;
	uint32_t bytes;
	const struct btrfs_key *key;
	bool found;
	int top; /* levels up to it get write locks */
	struct facts facts[BT_MAX_LEVEL];
	uint32_t leaf_used;
	unsigned siblings_nr;
	struct btrfs_block_expect siblings[2]; /* of the leaf */
	struct bt_reader reader;
};

/* Nothing will be changed: there is not what there should be. */
static bool idle(const struct change *ch)
{
	return ch->intent == BT_INSERT ? ch->found : ch->intent != BT_DELETE && !ch->found;
}

static bool leaf_grows(const struct change *ch, uint32_t nodesize)
{
	return (ch->intent == BT_INSERT || ch->intent == BT_EXTEND) &&
	       ch->leaf_used + ch->bytes > btrfs_leaf_data_size(nodesize);
}

static bool leaf_shrinks(const struct change *ch, uint32_t nodesize)
{
	if (ch->intent != BT_DELETE)
		return false;
	return !ch->bytes || ch->leaf_used < ch->bytes + btrfs_leaf_data_size(nodesize) / 4;
}

static bool low_key_changes(const struct change *ch)
{
	/* BT_DELETE may step back by one. */
	return (ch->intent == BT_DELETE && ch->facts[0].slot <= !ch->found) ||
	       (ch->intent == BT_INSERT && !ch->facts[0].slot);
}

/* The highest level that the edit changes. */
static int reach(const struct change *ch, int root_level, uint32_t nodesize)
{
	unsigned max = btrfs_node_max_ptrs(nodesize);
	bool grow, shrink, low;
	int level = 0;

	if (idle(ch))
		return 0;
	grow = leaf_grows(ch, nodesize);
	shrink = leaf_shrinks(ch, nodesize);
	low = low_key_changes(ch);
	while (level < root_level && (ch->facts[level].cow || grow || shrink || low)) {
		level++;
		grow = grow && ch->facts[level].nr + 2 > max;
		shrink = shrink && ch->facts[level].nr <= max / 4 + 1;
		low = low && !ch->facts[level].slot;
	}
	return level;
}

static void note_siblings(struct change *ch, const struct bt_root *root, const void *node,
			  unsigned slot)
{
	ch->siblings_nr = 0;
	if (slot > 0)
		bt_node_expect(root, node, slot - 1, &ch->siblings[ch->siblings_nr++]);
	if (slot + 1 < btrfs_header_nritems(node))
		bt_node_expect(root, node, slot + 1, &ch->siblings[ch->siblings_nr++]);
}

/* search=linux: copies on the way down. 0, NEED_LOCKS, -errno. */
static int copy_as_you_go(struct bt_trans *t, struct bt_path *path, struct change *ch,
			  struct eb **io_eb, int level)
{
	int root_level = path->live.root_level;
	int err;

	if (!bt_should_cow(t, bt_path_tree(path), *io_eb)) {
		/* Written meanwhile, it would be copied the next time round. */
		if (t->ops->touched)
			t->ops->touched(t, bt_path_tree(path), *io_eb, NULL);
		return 0;
	}
	if (!bt_locked(path, level) || (level < root_level && !bt_locked(path, level + 1))) {
		ch->top = level < root_level ? level + 1 : level;
		return NEED_LOCKS;
	}
	err = bt_cow(t, bt_path_tree(path), io_eb,
		     level < root_level ? path->nodes[level + 1] : NULL,
		     level < root_level ? (unsigned)path->slots[level + 1] : 0);
	path->nodes[level] = *io_eb;
	return err;
}

/* At a node: what to know of it, and its child, locked. */
static int enter_child(struct bt_trans *t, struct bt_path *path, struct change *ch,
		       const struct eb *eb, int level, struct eb **out_child)
{
	const void *node = eb_data(eb);
	unsigned slot = bt_node_slot(node, ch->key);

	path->slots[level] = (int)slot;
	ch->facts[level].slot = slot;
	if (slot + 1 < btrfs_header_nritems(node)) {
		path->live.bounded = true;
		path->live.bound = btrfs_node_key(node, slot + 1);
	}
	if (level == 1)
		note_siblings(ch, path->root, node, slot);
	return bt_lock_child(path->root, eb, slot, level - 1 <= ch->top, &ch->reader, &t->spares,
			     out_child);
}

/*
 * Down to the leaf. 0: the path has write locks from ch->top down. Else the path may hold some,
 * which the caller releases: 1 (miss), NEED_LOCKS, NEED_SPARES, -errno.
 */
static int descend(struct bt_trans *t, struct bt_path *path, struct change *ch)
{
	struct bt_tree *tree = bt_path_tree(path);
	struct eb *eb, *child = NULL;
	bool write;
	int level, err;

	path->live.bounded = false;
	ch->siblings_nr = 0;
	err = bt_lock_root(tree, ch->top, &ch->reader, &t->spares, &eb, &level, &write);
	if (err)
		return err;
	path->live.root_level = (uint8_t)level;
	err = t->spares.nr < 4u * ((unsigned)level + 1) ? NEED_SPARES : 0;
	for (;; level--) {
		if (write) {
			path->nodes[level] = eb;
			path->live.locked |= (uint8_t)(1 << level);
		}
		if (!err && t->mode == BT_LINUX)
			err = copy_as_you_go(t, path, ch, &eb, level);
		if (!err) {
			ch->facts[level].cow = bt_should_cow(t, tree, eb);
			ch->facts[level].nr = btrfs_header_nritems(eb_data(eb));
			if (level)
				err = enter_child(t, path, ch, eb, level, &child);
		}
		if (!level && !err)
			break;
		if (!write) {
			eb_unlock_read(eb);
			eb_put(eb);
		}
		if (err)
			return err;
		eb = child;
		write = level - 1 <= ch->top;
	}
	assert(write);
	path->slots[0] = (int)bt_leaf_slot(eb_data(eb), ch->key, &ch->found);
	ch->facts[0].slot = (unsigned)path->slots[0];
	ch->leaf_used = leaf_used(eb_data(eb), bt_nodesize(tree));
	return 0;
}

/* All that the edit reaches is locked: makes it changeable, from the top down. */
static int copy_path(struct bt_trans *t, struct bt_path *path, const struct change *ch)
{
	int err = 0;

	for (int level = ch->top; level >= 0 && !err && !idle(ch); level--) {
		bool root = level == path->live.root_level;

		err = bt_make_mutable(t, bt_path_tree(path), &path->nodes[level],
				      root ? NULL : path->nodes[level + 1],
				      root ? 0 : (unsigned)path->slots[level + 1]);
	}
	return err;
}

/* Between two descents; nothing is locked. 0 or -errno. */
static int prepare_next(struct bt_trans *t, struct bt_tree *tree, struct change *ch, int why)
{
	uint32_t nodesize = bt_nodesize(tree);

	switch (why) {
	case 1:
		bt_count(tree, bt_restarts_read);
		bt_reader_fetch(t->cache, &ch->reader);
		break;
	case NEED_SPARES:
		bt_count(tree, bt_restarts_spares);
		break;
	case INJECTED:
		bt_count(tree, bt_restarts_lab);
		if (t->lab->between)
			t->lab->between(t->lab->arg);
		break;
	case NEED_LOCKS:
		if (leaf_grows(ch, nodesize) || leaf_shrinks(ch, nodesize))
			eb_prefetch(t->cache, ch->siblings, ch->siblings_nr);
		break;
	default:
		return why;
	}
	return 0;
}

/* Enough to go on with, one to read into, and one for a neighbour. */
static int fill_spares(struct bt_trans *t, struct bt_tree *tree)
{
	return eb_spares_fill(t->cache, &t->spares, 4u * (bt_tree_root(tree).level + 1u) + 2);
}

/* Reading under locks takes spares too. search=linux has copied the path by now. */
static bool enough_spares(const struct bt_trans *t, const struct bt_path *path)
{
	return t->spares.nr >= (t->mode == BT_LINUX ? 3u : 4u) * (path->live.root_level + 1u);
}

static int linux_top(enum bt_intent intent)
{
	switch (intent) {
	case BT_DELETE:
		return 2;
	case BT_INSERT:
	case BT_EXTEND:
		return 1;
	default:
		return 0;
	}
}

/* How often this search is to start over without need. */
static unsigned injections(struct bt_trans *t)
{
	if (!t->lab || t->mode != BT_LINUX)
		return 0;
	return (atomic_fetch_add(&t->lab->searches, 1) + 1) % t->lab->every ? 0 : t->lab->times;
}

/* Down to the leaf, with all locks that the edit takes: *out_top is where they start. 0 or -errno.
 */
static int lock_path(struct bt_trans *t, struct bt_tree *tree, struct change *ch,
		     struct bt_path *path, int *out_top)
{
	bool first = t->mode == BT_TWO_PASS;
	unsigned inject = injections(t);
	int err;

	for (;;) {
		err = fill_spares(t, tree);
		if (err)
			return err;
		err = descend(t, path, ch);
		if (!err && !enough_spares(t, path))
			err = NEED_SPARES;
		if (!err) {
			*out_top = reach(ch, path->live.root_level, bt_nodesize(tree));
			if (*out_top <= ch->top && !inject)
				return 0;
			if (*out_top <= ch->top) {
				inject--;
				err = INJECTED;
			} else {
				ch->top = *out_top;
				err = NEED_LOCKS;
			}
		}
		bt_path_release(path);
		if (err == NEED_LOCKS && !first)
			bt_count(tree, bt_restarts_level);
		first = first && err != NEED_LOCKS;
		err = prepare_next(t, tree, ch, err);
		if (err)
			return err;
	}
}

int bt_search_change(struct bt_trans *t, struct bt_tree *tree, const struct btrfs_key *key,
		     enum bt_intent intent, uint32_t bytes, struct bt_path *path)
{
	struct change ch;
	int err, top;

	ch.intent = intent;
	ch.bytes = bytes;
	ch.key = key;
	ch.found = false;
	ch.leaf_used = 0;
	ch.siblings_nr = 0;
	ch.top = t->mode == BT_LINUX ? linux_top(intent) : 0;
	bt_reader_init(&ch.reader);
	bt_path_release(path);
	path->root = &tree->root;
	bt_count(tree, bt_searches);
	err = lock_path(t, tree, &ch, path, &top);
	bt_reader_end(&ch.reader);
	if (err)
		return err;
	for (int level = ch.top; level > top; level--)
		if (bt_locked(path, level))
			bt_unlock_level(path, level);
	ch.top = top;
	err = copy_path(t, path, &ch);
	if (err) {
		bt_path_release(path);
		return err;
	}
	return ch.found ? 0 : 1;
}
