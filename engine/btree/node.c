// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Nodes of a path for change: pointers in and out, splitting, merging, growing and shrinking the
 * tree.
 *
 * Every step leaves a whole tree behind, so that a failed allocation in the middle of several loses
 * nothing: nodes are split from the top down, each into a parent that has room already.
 *
 * Which levels are write-locked was foreseen by the search (change.c): bt_node_room and
 * bt_drop_empty rely on it; bt_merge looks, and leaves small what it cannot reach.
 *
 * Siblings are used only if they are in the cache: nothing is read under locks.
 */
#include "engine/btree/bt_priv.h"
#include "engine/util/fault.h"

#include <assert.h>
#include <string.h>

static struct btrfs_key_ptr *ptr(void *node, unsigned slot)
{
	return &((struct btrfs_node *)node)->ptrs[slot];
}

static void set_nr(void *node, unsigned nr)
{
	((struct btrfs_header *)node)->nritems = le32_make(nr);
}

void bt_node_set_key(void *node, unsigned slot, const struct btrfs_key *key)
{
	ptr(node, slot)->key = btrfs_disk_key_make(key);
}

void bt_node_insert(void *node, unsigned slot, const struct btrfs_key *key, const struct eb *child)
{
	unsigned nr = btrfs_header_nritems(node);

	assert(slot <= nr);
	memmove(ptr(node, slot + 1), ptr(node, slot), (nr - slot) * sizeof(struct btrfs_key_ptr));
	*ptr(node, slot) = (struct btrfs_key_ptr){
		.key = btrfs_disk_key_make(key),
		.blockptr = le64_make(eb_logical(child)),
		.generation = le64_make(btrfs_header_generation(eb_data(child))),
	};
	set_nr(node, nr + 1);
}

static void node_delete(void *node, unsigned slot)
{
	unsigned nr = btrfs_header_nritems(node);

	assert(slot < nr);
	memmove(ptr(node, slot), ptr(node, slot + 1),
		(nr - slot - 1) * sizeof(struct btrfs_key_ptr));
	set_nr(node, nr - 1);
}

/* Moves all pointers from `slot` of one node to the end of another. */
static void node_append(void *to, void *from, unsigned slot)
{
	unsigned nr = btrfs_header_nritems(from) - slot, at = btrfs_header_nritems(to);

	memcpy(ptr(to, at), ptr(from, slot), nr * sizeof(struct btrfs_key_ptr));
	set_nr(to, at + nr);
	set_nr(from, slot);
}

static unsigned max_ptrs(struct bt_tree *tree)
{
	return btrfs_node_max_ptrs(bt_nodesize(tree));
}

void bt_fix_low_keys(struct bt_trans *t, struct bt_path *path, int level)
{
	struct btrfs_key key = btrfs_block_key(eb_data(path->nodes[level]), 0);

	while (++level <= path->live.root_level) {
		unsigned slot = (unsigned)path->slots[level];

		assert(bt_locked(path, level));
		bt_node_set_key(eb_mut(path->nodes[level], t->generation), slot, &key);
		if (slot)
			break;
	}
}

/* ---- growing ---- */

/* A new root above the present one, which the path has locked. */
static int grow_root(struct bt_trans *t, struct bt_path *path)
{
	struct bt_tree *tree = bt_path_tree(path);
	int level = path->live.root_level;
	struct eb *old = path->nodes[level], *eb;
	struct btrfs_key key = btrfs_block_key(eb_data(old), 0);
	int err;

	if (level + 1 >= BT_MAX_LEVEL)
		return -EOVERFLOW;
	err = bt_alloc(t, tree, level + 1, &key, eb_logical(old), &eb);
	if (err)
		return err;
	bt_node_insert(eb_mut(eb, t->generation), 0, &key, old);
	path->live.root_level = (uint8_t)(level + 1);
	path->live.locked |= (uint8_t)(1 << (level + 1));
	path->nodes[level + 1] = eb;
	path->slots[level + 1] = 0;
	bt_set_root(t, tree, eb);
	return 0;
}

/* The parent has room. The path goes on to the half that it leads through. */
static int split_node(struct bt_trans *t, struct bt_path *path, int level)
{
	struct bt_tree *tree = bt_path_tree(path);
	struct eb *left = path->nodes[level], *right;
	unsigned nr = bt_nr(path, level), slot = (unsigned)path->slots[level];
	/* Who fills a tree in order gets full nodes. */
	unsigned mid = slot + 1 == nr ? nr - nr / 8 - 1 : (nr + 1) / 2;
	struct btrfs_key key = btrfs_node_key(eb_data(left), mid);
	int err;

	assert(bt_nr(path, level + 1) < max_ptrs(tree));
	err = bt_alloc(t, tree, level, &key, eb_logical(left), &right);
	if (err)
		return err;
	bt_count(tree, bt_splits);
	node_append(eb_mut(right, t->generation), eb_mut(left, t->generation), mid);
	bt_node_insert(eb_mut(path->nodes[level + 1], t->generation),
		       (unsigned)path->slots[level + 1] + 1, &key, right);
	if (slot < mid) {
		eb_unlock_write(right);
		eb_put(right);
		return 0;
	}
	bt_replace_level(path, level, right);
	path->slots[level] -= (int)mid;
	path->slots[level + 1]++;
	return 0;
}

int bt_node_room(struct bt_trans *t, struct bt_path *path)
{
	unsigned max = max_ptrs(bt_path_tree(path));
	int level = 1, err = 0;

	while (level <= path->live.root_level && bt_nr(path, level) + 2 > max)
		level++;
	if (level > path->live.root_level)
		err = grow_root(t, path);
	while (!err && --level > 0)
		err = split_node(t, path, level);
	return err;
}

/* ---- shrinking ---- */

struct eb *bt_sibling(struct bt_path *path, int level, int dir)
{
	const struct bt_root *root = path->root;
	struct eb *parent = path->nodes[level + 1];
	int slot = path->slots[level + 1] + dir;
	struct bt_reader r = { .how = EB_CACHED };
	struct eb_spares none = { 0 };
	struct eb *eb;

	assert(bt_locked(path, level + 1));
	if (slot < 0 || (unsigned)slot >= bt_nr(path, level + 1))
		return NULL;
	if (bt_lock_child(root, parent, (unsigned)slot, true, &r, &none, &eb))
		return NULL;
	return eb;
}

/* Takes the path's own node of a level out of it, and out of its parent. */
static struct eb *take_level(struct bt_path *path, int level)
{
	struct eb *eb = path->nodes[level];

	path->nodes[level] = NULL;
	path->live.locked &= (uint8_t) ~(1 << level);
	return eb;
}

/*
 * A root with one child goes; the child, which the path may have, becomes the root. If it is not in
 * the cache the tree stays as high as it is.
 */
static int shrink_root(struct bt_trans *t, struct bt_path *path)
{
	struct bt_tree *tree = bt_path_tree(path);
	int top, err = 0;

	while (!err && (top = path->live.root_level) > 0 && bt_locked(path, top) &&
	       bt_nr(path, top) == 1) {
		struct bt_reader r = { .how = EB_CACHED };
		struct eb_spares none = { 0 };
		struct eb *root = path->nodes[top], *child;

		if (!bt_locked(path, top - 1)) {
			assert(!path->nodes[top - 1]);
			if (bt_lock_child(path->root, root, 0, true, &r, &none, &child))
				return 0;
			path->nodes[top - 1] = child;
			path->slots[top - 1] = 0;
			path->live.locked |= (uint8_t)(1 << (top - 1));
		}
		err = bt_make_mutable(t, tree, &path->nodes[top - 1], root, 0);
		if (err)
			break;
		path->live.root_level = (uint8_t)(top - 1);
		bt_set_root(t, tree, path->nodes[top - 1]);
		bt_count(tree, bt_merges);
		err = bt_free(t, tree, take_level(path, top));
	}
	return err;
}

/* After nodes[level] lost a pointer. */
static int after_delete(struct bt_trans *t, struct bt_path *path, int level)
{
	if (level == path->live.root_level)
		return shrink_root(t, path);
	return bt_merge(t, path, level);
}

/* The tree has become empty: the leaf at its bottom is all there is. */
static int only_leaf(struct bt_trans *t, struct bt_path *path)
{
	int top = path->live.root_level, err = 0;

	path->live.root_level = 0;
	bt_set_root(t, bt_path_tree(path), path->nodes[0]);
	for (int level = top; level > 0 && !err; level--)
		err = bt_free(t, bt_path_tree(path), take_level(path, level));
	return err;
}

int bt_drop_empty(struct bt_trans *t, struct bt_path *path, int level)
{
	struct bt_tree *tree = bt_path_tree(path);
	int top = level, err = 0;

	while (top < path->live.root_level && bt_nr(path, top + 1) == 1)
		top++;
	if (top == path->live.root_level) {
		assert(level == 0);
		return top ? only_leaf(t, path) : 0;
	}
	assert(bt_locked(path, top + 1));
	node_delete(eb_mut(path->nodes[top + 1], t->generation), (unsigned)path->slots[top + 1]);
	if (!path->slots[top + 1])
		bt_fix_low_keys(t, path, top + 1);
	for (; level <= top; level++) {
		int e = bt_free(t, tree, take_level(path, level));

		bt_count(tree, bt_merges);
		err = err ? err : e;
	}
	return err ? err : after_delete(t, path, top + 1);
}

static void move_all(struct bt_tree *tree, uint64_t generation, struct eb *to, struct eb *from)
{
	void *dst = eb_mut(to, generation), *src = eb_mut(from, generation);
	unsigned nr = btrfs_header_nritems(src);

	if (btrfs_header_level(dst)) {
		node_append(dst, src, 0);
		return;
	}
	if (PLANTED("bt_merge_loses_last") && nr > 1)
		nr--;
	leaf_move(dst, true, src, 0, nr, bt_nodesize(tree));
}

/* With some slack, so that the next insert does not split again. */
static bool fit_in_one(struct bt_tree *tree, const struct eb *a, const struct eb *b)
{
	uint32_t nodesize = bt_nodesize(tree), cap = btrfs_leaf_data_size(nodesize);
	unsigned max = max_ptrs(tree);

	if (btrfs_header_level(eb_data(a)))
		return btrfs_header_nritems(eb_data(a)) + btrfs_header_nritems(eb_data(b)) <=
		       max - max / 8;
	return leaf_used(eb_data(a), nodesize) + leaf_used(eb_data(b), nodesize) <= cap - cap / 16;
}

/* nodes[level] goes into its left neighbour, which takes its place in the path. */
static int merge_left(struct bt_trans *t, struct bt_path *path, int level, struct eb *left)
{
	struct bt_tree *tree = bt_path_tree(path);
	struct eb *parent = path->nodes[level + 1], *gone;
	unsigned pslot = (unsigned)path->slots[level + 1];
	int err = bt_make_mutable(t, tree, &left, parent, pslot - 1);

	if (err) {
		eb_unlock_write(left);
		eb_put(left);
		return err;
	}
	gone = path->nodes[level];
	path->slots[level] += (int)btrfs_header_nritems(eb_data(left));
	move_all(tree, t->generation, left, gone);
	path->nodes[level] = left;
	path->slots[level + 1]--;
	node_delete(eb_mut(parent, t->generation), pslot);
	return bt_free(t, tree, gone);
}

/* The right neighbour goes into nodes[level]. */
static int merge_right(struct bt_trans *t, struct bt_path *path, int level, struct eb *right)
{
	struct bt_tree *tree = bt_path_tree(path);
	struct eb *parent = path->nodes[level + 1];
	unsigned pslot = (unsigned)path->slots[level + 1] + 1;
	/* What it leads to may be shared: copying sorts out the references. */
	int err = bt_make_mutable(t, tree, &right, parent, pslot);

	if (err) {
		eb_unlock_write(right);
		eb_put(right);
		return err;
	}
	move_all(tree, t->generation, path->nodes[level], right);
	node_delete(eb_mut(parent, t->generation), pslot);
	return bt_free(t, tree, right);
}

static bool is_small(const struct bt_path *path, int level)
{
	struct bt_tree *tree = bt_path_tree(path);
	uint32_t nodesize = bt_nodesize(tree);

	if (level)
		return bt_nr(path, level) <= max_ptrs(tree) / 4;
	return leaf_used(eb_data(path->nodes[0]), nodesize) < btrfs_leaf_data_size(nodesize) / 4;
}

int bt_merge(struct bt_trans *t, struct bt_path *path, int level)
{
	struct bt_tree *tree = bt_path_tree(path);
	int err = 0;

	if (level >= path->live.root_level || !bt_locked(path, level + 1) || !is_small(path, level))
		return 0;
	for (int dir = -1; dir <= 1; dir += 2) {
		struct eb *eb = bt_sibling(path, level, dir);

		if (!eb)
			continue;
		if (!fit_in_one(tree, eb, path->nodes[level])) {
			eb_unlock_write(eb);
			eb_put(eb);
			continue;
		}
		err = dir < 0 ? merge_left(t, path, level, eb) : merge_right(t, path, level, eb);
		if (err)
			return err;
		bt_count(tree, bt_merges);
		return after_delete(t, path, level + 1);
	}
	return 0;
}
