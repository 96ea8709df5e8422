// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Making room in a leaf: moving items to a neighbour, or splitting.
 *
 * What comes (new items, or bytes at the end of one) comes in one place, the path's slot, which the
 * path follows. A leaf may be left without items for as long as it takes to insert the new ones:
 * the parent has their first key already, or bt_fix_low_keys will set it.
 *
 * A leaf is cut where both halves come out most nearly equal, but for a leaf that is appended to,
 * which is left full. If what comes fits neither half it gets a leaf of its own.
 */
#include "engine/btree/bt_priv.h"
#include "engine/util/fault.h"

#include <assert.h>

static uint32_t item_bytes(const void *leaf, unsigned slot)
{
	return btrfs_item_size(leaf, slot) + (uint32_t)sizeof(struct btrfs_item);
}

/* ---- neighbours ---- */

/*
 * How many items to move from an end of the leaf, so that `bytes` fit and both leaves come out
 * about equally full; 0: it can't be done. `last` is how many may go.
 */
static unsigned count_to_move(const void *leaf, const void *to, bool from_end, unsigned last,
			      uint32_t bytes, uint32_t nodesize)
{
	uint32_t here = leaf_free(leaf, nodesize), there = leaf_free(to, nodesize), moved = 0;
	unsigned nr = btrfs_header_nritems(leaf), n = 0;

	while (n < last) {
		uint32_t next = item_bytes(leaf, from_end ? nr - 1 - n : n);

		if (moved + next > there)
			break;
		if (here + moved >= bytes && here + moved - bytes >= there - moved - next)
			break;
		moved += next;
		n++;
	}
	return here + moved >= bytes ? n : 0;
}

static void drop(struct eb *eb)
{
	eb_unlock_write(eb);
	eb_put(eb);
}

/* What comes after the last item goes to the front of the right neighbour: this leaf stays as it
 * is. */
static void go_right(struct bt_path *path, struct eb *right)
{
	bt_replace_level(path, 0, right);
	path->slots[0] = 0;
	path->slots[1]++;
}

static int push_right(struct bt_trans *t, struct bt_path *path, const struct bt_need *need)
{
	struct bt_tree *tree = bt_path_tree(path);
	uint32_t nodesize = bt_nodesize(tree);
	struct eb *right = bt_sibling(path, 0, 1), *parent = path->nodes[1];
	unsigned nr = bt_nr(path, 0), slot = (unsigned)path->slots[0], n;
	unsigned pslot = (unsigned)path->slots[1] + 1;
	bool append = !need->extend && slot == nr;
	struct btrfs_key key;
	int err;

	if (!right)
		return 0;
	n = append ? leaf_free(eb_data(right), nodesize) >= need->bytes
		   : count_to_move(eb_data(path->nodes[0]), eb_data(right), true,
				   nr - slot - need->extend, need->bytes, nodesize);
	err = n ? bt_make_mutable(t, tree, &right, parent, pslot) : 0;
	if (err || !n) {
		drop(right);
		return err;
	}
	if (append) {
		go_right(path, right);
		return 0;
	}
	leaf_move(eb_mut(right, t->generation), false, eb_mut(path->nodes[0], t->generation),
		  nr - n, n, nodesize);
	key = btrfs_item_key(eb_data(right), 0);
	bt_node_set_key(eb_mut(parent, t->generation), pslot, &key);
	drop(right);
	return 0;
}

static int push_left(struct bt_trans *t, struct bt_path *path, const struct bt_need *need)
{
	struct bt_tree *tree = bt_path_tree(path);
	uint32_t nodesize = bt_nodesize(tree);
	struct eb *left = bt_sibling(path, 0, -1), *parent = path->nodes[1];
	unsigned slot = (unsigned)path->slots[0], n;
	int err;

	if (!left)
		return 0;
	n = count_to_move(eb_data(path->nodes[0]), eb_data(left), false, slot, need->bytes,
			  nodesize);
	err = n ? bt_make_mutable(t, tree, &left, parent, (unsigned)path->slots[1] - 1) : 0;
	if (!err && n) {
		leaf_move(eb_mut(left, t->generation), true, eb_mut(path->nodes[0], t->generation),
			  0, n, nodesize);
		path->slots[0] -= (int)n;
		if (bt_nr(path, 0))
			bt_fix_low_keys(t, path, 0);
		else
			bt_node_set_key(eb_mut(parent, t->generation), (unsigned)path->slots[1],
					&need->first_key);
	}
	drop(left);
	return err;
}

/* ---- splitting ---- */

struct cut {
	unsigned at;  /* items from here on go to the right */
	bool right;   /* what comes goes there too */
	bool between; /* what comes gets a leaf in between, which for `extend` is one item */
};

static uint32_t apart(uint32_t a, uint32_t b)
{
	return a > b ? a - b : b - a;
}

static struct cut choose_cut(const void *leaf, uint32_t nodesize, unsigned slot,
			     const struct bt_need *need)
{
	uint32_t cap = btrfs_leaf_data_size(nodesize), total = leaf_used(leaf, nodesize);
	uint32_t left = 0, best = UINT32_MAX;
	unsigned nr = btrfs_header_nritems(leaf);
	struct cut cut = { .at = slot, .between = true };

	if (!need->extend && slot == nr)
		return (struct cut){ .at = nr, .right = true };
	for (unsigned m = 0; m <= nr; left += m < nr ? item_bytes(leaf, m) : 0, m++) {
		for (int right = 0; right <= 1; right++) {
			uint32_t a = left + (right ? 0 : need->bytes);
			uint32_t b = total - left + (right ? need->bytes : 0);
			bool there = right ? m <= slot : need->extend ? m > slot : m >= slot;

			if (!there || !a || !b || a > cap || b > cap)
				continue;
			/* Extending leaves nobody without items. */
			if (need->extend && (m == 0 || m == nr))
				continue;
			if (apart(a, b) < best) {
				best = apart(a, b);
				cut = (struct cut){ .at = m, .right = right };
			}
		}
	}
	return cut;
}

/* Links a new leaf right of the path's, `by` slots further. */
static void link_leaf(struct bt_trans *t, struct bt_path *path, unsigned by, struct eb *leaf,
		      const struct btrfs_key *key)
{
	struct btrfs_key first = *key;

	if (PLANTED("bt_split_wrong_key"))
		first.offset++;
	bt_node_insert(eb_mut(path->nodes[1], t->generation), (unsigned)path->slots[1] + by, &first,
		       leaf);
}

static int split_between(struct bt_trans *t, struct bt_path *path, const struct bt_need *need)
{
	struct bt_tree *tree = bt_path_tree(path);
	uint32_t nodesize = bt_nodesize(tree);
	struct eb *left = path->nodes[0], *mid, *right;
	unsigned slot = (unsigned)path->slots[0], nr = bt_nr(path, 0), own = need->extend;
	struct btrfs_key key = btrfs_item_key(eb_data(left), slot + own);
	int err;

	assert(slot && slot + own < nr);
	err = bt_alloc(t, tree, 0, &need->first_key, eb_logical(left), &mid);
	if (err)
		return err;
	err = bt_alloc(t, tree, 0, &key, eb_logical(left), &right);
	if (err) {
		int e = bt_free(t, tree, mid);

		return e ? e : err;
	}
	bt_count(tree, bt_splits);
	bt_count(tree, bt_splits);
	leaf_move(eb_mut(right, t->generation), true, eb_mut(left, t->generation), slot + own,
		  nr - slot - own, nodesize);
	leaf_move(eb_mut(mid, t->generation), true, eb_mut(left, t->generation), slot, own,
		  nodesize);
	link_leaf(t, path, 1, mid, &need->first_key);
	link_leaf(t, path, 2, right, &key);
	drop(right);
	bt_replace_level(path, 0, mid);
	path->slots[0] = 0;
	path->slots[1]++;
	return 0;
}

static int split_leaf(struct bt_trans *t, struct bt_path *path, const struct bt_need *need)
{
	struct bt_tree *tree = bt_path_tree(path);
	uint32_t nodesize = bt_nodesize(tree);
	struct eb *left = path->nodes[0], *right;
	unsigned nr = bt_nr(path, 0);
	struct cut cut = choose_cut(eb_data(left), nodesize, (unsigned)path->slots[0], need);
	struct btrfs_key key;
	int err;

	if (cut.between)
		return split_between(t, path, need);
	/* New items at the cut come first in the right half. */
	key = cut.right && !need->extend && cut.at == (unsigned)path->slots[0]
		      ? need->first_key
		      : btrfs_item_key(eb_data(left), cut.at);
	err = bt_alloc(t, tree, 0, &key, eb_logical(left), &right);
	if (err)
		return err;
	bt_count(tree, bt_splits);
	leaf_move(eb_mut(right, t->generation), true, eb_mut(left, t->generation), cut.at,
		  nr - cut.at, nodesize);
	link_leaf(t, path, 1, right, &key);
	if (!cut.right) {
		drop(right);
		return 0;
	}
	bt_replace_level(path, 0, right);
	path->slots[0] -= (int)cut.at;
	path->slots[1]++;
	return 0;
}

static bool has_room(const struct bt_path *path, const struct bt_need *need)
{
	return leaf_free(eb_data(path->nodes[0]), bt_nodesize(bt_path_tree(path))) >= need->bytes;
}

int bt_leaf_room(struct bt_trans *t, struct bt_path *path, const struct bt_need *need)
{
	int err = 0;

	if (has_room(path, need))
		return 0;
	if (path->live.root_level) {
		err = push_right(t, path, need);
		if (!err && !has_room(path, need))
			err = push_left(t, path, need);
		if (err || has_room(path, need))
			return err;
	}
	err = bt_node_room(t, path);
	return err ? err : split_leaf(t, path, need);
}
