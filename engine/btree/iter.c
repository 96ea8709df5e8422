// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * From item to item, over leaves, and reading ahead of a walk forward.
 *
 * The path climbs to the first level that has another slot in the direction wanted, and descends
 * along the near edge. On the way it holds nothing below that level, so a walk needs no more frames
 * than a search. It visits each leaf once, as keys rise from leaf to leaf (bt_priv.h,
 * bt_load_child).
 *
 * Invariants of a path: search.c.
 */
#include "engine/btree/bt_priv.h"
#include "engine/util/fault.h"

#include <assert.h>

#define RA_FIRST 4u

/* ra_end: the slot of nodes[1] that read-ahead has come to, and above it how many it took last. */
static unsigned ra_slot(const struct bt_path *path)
{
	return (uint32_t)path->ra_end;
}

static unsigned ra_window(const struct bt_path *path)
{
	return path->ra_end >> 32;
}

static void ra_set(struct bt_path *path, unsigned slot, unsigned window)
{
	path->ra_end = (uint64_t)window << 32 | slot;
}

void bt_readahead_new_node(struct bt_path *path)
{
	ra_set(path, 0, ra_window(path));
}

void bt_readahead(struct bt_path *path)
{
	struct btrfs_block_expect expects[EB_PREFETCH_MAX];
	unsigned slot = path->slots[1], window = ra_window(path), nr, n = 0;

	if (path->readahead != BT_READAHEAD_FORWARD || slot < ra_slot(path))
		return;
	/* Small at first: most directories end within a leaf or two. */
	window = window ? window * 2 : RA_FIRST;
	if (window > EB_PREFETCH_MAX)
		window = EB_PREFETCH_MAX;
	nr = btrfs_header_nritems(eb_data(path->nodes[1]));
	while (n < window && slot + n < nr) {
		bt_child_expect(path, 1, slot + n, &expects[n]);
		n++;
	}
	ra_set(path, slot + n, window);
	eb_prefetch(path->root->cache, expects, n);
}

static unsigned nritems(const struct bt_path *path, int level)
{
	return btrfs_header_nritems(eb_data(path->nodes[level]));
}

static void drop(struct bt_path *path, int level)
{
	eb_put(path->nodes[level]);
	path->nodes[level] = NULL;
}

/* To the first item of the next leaf (step 1) or the last one of the leaf before (step -1). */
static int step_leaf(struct bt_path *path, int step)
{
	int level, top, err;

	if (path->root->tree)
		return bt_live_step(path, step);
	top = path->root->level;
	for (level = 1; level <= top; level++) {
		drop(path, level - 1);
		if (step > 0 ? (unsigned)path->slots[level] + 1 < nritems(path, level)
			     : path->slots[level] > 0)
			break;
	}
	if (level > top) {
		bt_path_release(path);
		return 1;
	}
	path->slots[level] += step;
	if (level > 1)
		bt_readahead_new_node(path);
	for (; level > 0; level--) {
		if (level == 1 && step > 0)
			bt_readahead(path);
		err = bt_load_child(path, level);
		if (err) {
			bt_path_release(path);
			return err;
		}
		/* A block below a node has a first key, so it is not empty. */
		assert(nritems(path, level - 1));
		path->slots[level - 1] = step > 0 ? 0 : (int)nritems(path, level - 1) - 1;
		if (PLANTED("bt_next_skips") && step > 0)
			path->slots[level - 1] = 1;
	}
	return 0;
}

int bt_next_valid(struct bt_path *path)
{
	assert(path->nodes[0]);
	if ((unsigned)path->slots[0] < nritems(path, 0))
		return 0;
	return step_leaf(path, 1);
}

int bt_next(struct bt_path *path)
{
	assert(path->nodes[0]);
	if ((unsigned)path->slots[0] < nritems(path, 0))
		path->slots[0]++;
	return bt_next_valid(path);
}

int bt_prev(struct bt_path *path)
{
	assert(path->nodes[0]);
	if (path->slots[0] > 0) {
		path->slots[0]--;
		return 0;
	}
	return step_leaf(path, -1);
}
