// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Walks over trees, block by block.
 *
 * One buffer a level. Breadth first is done as one descent a level: the nodes above are read again,
 * which costs little (a node has hundreds of children) and needs no list of a level's blocks. The
 * depth is bounded by the levels in the blocks, each checked to be its parent's less one.
 */
#include "tools/dump/walk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PREFETCH 64

bool walk_begin(struct walk *w, struct dump *d, void (*visit)(void *, const void *, uint64_t),
		void *arg)
{
	size_t size = ins_geometry(d->fs)->nodesize;

	memset(w, 0, sizeof(*w));
	w->d = d;
	w->visit = visit;
	w->arg = arg;
	for (unsigned i = 0; i < BTRFS_MAX_LEVEL; i++) {
		w->bufs[i] = aligned_alloc(4096, size < 4096 ? 4096 : size);
		if (!w->bufs[i]) {
			dump_error("out of memory");
			walk_end(w);
			return false;
		}
	}
	return true;
}

void walk_end(struct walk *w)
{
	for (unsigned i = 0; i < BTRFS_MAX_LEVEL; i++)
		free(w->bufs[i]);
	memset(w->bufs, 0, sizeof(w->bufs));
}

int walk_read(struct dump *d, uint64_t tree, const struct btrfs_block_expect *expect, void *buf)
{
	struct btrfs_check_error why = { .slot = -1 };
	char line[512], name[64];
	struct text t = TEXT_FIXED(line), n = TEXT_FIXED(name);
	int err = ins_block_read(d->fs, expect, buf, &why);

	if (!err)
		return 0;
	d->damaged = true;
	if (tree)
		text_printf(&n, " of tree %lld", (long long)tree);
	if (err == -EUCLEAN) {
		btrfs_check_error_to_text(&t, expect->logical, &why);
		dump_error("block %llu%s: %s", (unsigned long long)expect->logical, text_done(&n),
			   text_done(&t));
	} else {
		dump_error("block %llu%s: %s", (unsigned long long)expect->logical, text_done(&n),
			   err == -ENXIO ? "no chunk maps this address" : strerror(-err));
	}
	return err;
}

static struct btrfs_block_expect child_expect(const void *node, unsigned slot)
{
	return (struct btrfs_block_expect){
		.logical = btrfs_node_blockptr(node, slot),
		.generation = btrfs_node_generation(node, slot),
		.level = (int)btrfs_header_level(node) - 1,
		.have_first_key = true,
		.first_key = btrfs_node_key(node, slot),
	};
}

static void prefetch(struct walk *w, const void *node, unsigned slot, unsigned nr)
{
	struct btrfs_block_expect ahead[PREFETCH];
	unsigned n = 0;

	for (; n < PREFETCH && slot + n < nr; n++)
		ahead[n] = child_expect(node, slot + n);
	if (n > 1)
		ins_block_prefetch(w->d->fs, ahead, n);
}

static void visit(struct walk *w, const void *block, uint64_t logical)
{
	w->visit(w->arg, block, logical);
	w->visited++;
	dump_progress("reading", w->visited, 0, "blocks");
}

/*
 * Reads the blocks below the node in buffer `level` + 1, down to level `last`, and visits those
 * whose level is in the bit mask `shown`.
 */
static void descend(struct walk *w, unsigned level, unsigned last, unsigned shown)
{
	const uint8_t *node = w->bufs[level + 1];
	unsigned nr = btrfs_header_nritems(node);
	unsigned max = btrfs_node_max_ptrs(ins_geometry(w->d->fs)->nodesize);

	if (nr > max)
		nr = max;
	for (unsigned i = 0; i < nr; i++) {
		struct btrfs_block_expect expect = child_expect(node, i);

		if (level == last && i % PREFETCH == 0)
			prefetch(w, node, i, nr);
		if (walk_read(w->d, w->tree, &expect, w->bufs[level]))
			continue;
		if (shown & 1U << level)
			visit(w, w->bufs[level], expect.logical);
		if (level > last)
			descend(w, level - 1, last, shown);
	}
}

int walk_tree(struct walk *w, const struct ins_root *root, enum walk_order order)
{
	struct btrfs_block_expect expect = {
		.logical = root->bytenr,
		.generation = root->generation,
		.level = root->level == WALK_ANY_LEVEL ? -1 : root->level,
	};
	unsigned level;
	int err;

	w->tree = root->id;
	err = walk_read(w->d, w->tree, &expect, w->bufs[0]);
	if (err && !(w->show_damaged && err == -EUCLEAN))
		return err;
	level = btrfs_header_level(w->bufs[0]);
	if (order != WALK_LEAVES || level == 0)
		visit(w, w->bufs[0], root->bytenr);
	if (err || level == 0 || level >= BTRFS_MAX_LEVEL || order == WALK_ONE)
		return err;
	/* The root moves to its level's buffer. */
	memcpy(w->bufs[level], w->bufs[0], ins_geometry(w->d->fs)->nodesize);
	if (order == WALK_DFS)
		descend(w, level - 1, 0, ~0U);
	else if (order == WALK_LEAVES)
		descend(w, level - 1, 0, 1);
	else
		for (unsigned last = level; last-- > 0;)
			descend(w, level - 1, last, 1U << last);
	return 0;
}
