// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Walks over trees, block by block.
 *
 * One buffer a level. Breadth first is done as one descent a level: the nodes above are read again,
 * which costs little (a node has hundreds of children) and needs no list of a level's blocks. The
 * depth is bounded by the levels in the blocks, each checked to be its parent's less one; the breadth
 * by keys: those of a node stay below where its parent's next child starts, or it is not descended
 * into. Otherwise a few blocks that share children would make a walk without end.
 */
#include "tools/dump/walk.h"
#include "tools/dump/reader.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
	w->reader = reader_create(d->fs);
	if (!w->reader) {
		dump_error("out of memory");
		walk_end(w);
		return false;
	}
	return true;
}

void walk_end(struct walk *w)
{
	reader_destroy(w->reader);
	w->reader = NULL;
	for (unsigned i = 0; i < BTRFS_MAX_LEVEL; i++)
		free(w->bufs[i]);
	memset(w->bufs, 0, sizeof(w->bufs));
}

/* Tells why a block could not be read. */
static void told(struct walk *w, uint64_t logical, int err, const struct btrfs_check_error *why)
{
	char line[512], name[64];
	struct text t = TEXT_FIXED(line), n = TEXT_FIXED(name);

	w->d->damaged = true;
	if (w->tree)
		text_printf(&n, " of tree %lld", (long long)w->tree);
	if (err == -EUCLEAN)
		btrfs_check_error_to_text(&t, logical, why);
	else
		text_str(&t, err == -ENXIO ? "no chunk maps this address" : strerror(-err));
	dump_error("block %llu%s: %s", (unsigned long long)logical, text_done(&n), text_done(&t));
}

static int read_one(struct walk *w, const struct btrfs_block_expect *expect, void *buf)
{
	struct btrfs_check_error why = { .level = -1, .slot = -1 };
	int err = ins_block_read(w->d->fs, expect, buf, &why);

	if (err)
		told(w, expect->logical, err, &why);
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

static void visit(struct walk *w, const void *block, uint64_t logical)
{
	w->visit(w->arg, block, logical);
	w->visited++;
	dump_progress("reading", w->visited, 0, "blocks");
}

static unsigned pointers(struct walk *w, const void *node)
{
	unsigned nr = btrfs_header_nritems(node);
	unsigned max = btrfs_node_max_ptrs(ins_geometry(w->d->fs)->nodesize);

	return nr < max ? nr : max;
}

/* Starts reading the children of a node from `slot` on; the slot after them. */
static unsigned start_batch(struct walk *w, unsigned which, const void *node, unsigned slot,
			    unsigned nr)
{
	struct batch *b = reader_batch(w->reader, which);

	for (b->nr = 0; b->nr < BATCH_BLOCKS && slot < nr; b->nr++)
		b->expect[b->nr] = child_expect(node, slot++);
	reader_start(w->reader, which);
	return slot;
}

/* Visits all children of a node, with the next ones being read meanwhile. */
static void visit_children(struct walk *w, const void *node)
{
	size_t nodesize = ins_geometry(w->d->fs)->nodesize;
	unsigned nr = pointers(w, node), which = 0;
	unsigned next = start_batch(w, which, node, 0, nr);

	for (unsigned done = 0; done < nr;) {
		struct batch *b = reader_batch(w->reader, which);

		reader_wait(w->reader);
		which = !which;
		if (next < nr)
			next = start_batch(w, which, node, next, nr);
		for (unsigned i = 0; i < b->nr; i++) {
			if (b->res[i])
				told(w, b->expect[i].logical, b->res[i], &b->why[i]);
			else
				visit(w, b->blocks + i * nodesize, b->expect[i].logical);
		}
		done += b->nr;
	}
}

/* Whether the node's keys are below `bound` (NULL: none); says so if not. */
static bool bounded(struct walk *w, const void *node, const struct btrfs_key *bound)
{
	struct btrfs_check_error why = { .level = (int)btrfs_header_level(node) };
	unsigned nr = pointers(w, node);

	if (!bound || !nr)
		return true;
	why.slot = (int)nr - 1;
	why.key = btrfs_node_key(node, nr - 1);
	if (btrfs_key_cmp(&why.key, bound) < 0)
		return true;
	snprintf(why.reason, sizeof(why.reason),
		 "expected a key below (%llu %u %llu), where the parent's next block starts",
		 (unsigned long long)bound->objectid, bound->type, (unsigned long long)bound->offset);
	told(w, le64_get(btrfs_header_of(node)->bytenr), -EUCLEAN, &why);
	return false;
}

/*
 * Reads the blocks below the node in buffer `level` + 1, whose keys are below `bound`, down to level
 * `last`, and visits those of level `last`, or all of them.
 */
static void descend(struct walk *w, unsigned level, unsigned last, bool all,
		    const struct btrfs_key *bound)
{
	const uint8_t *node = w->bufs[level + 1];
	unsigned nr = pointers(w, node);

	if (level == last) {
		visit_children(w, node);
		return;
	}
	for (unsigned i = 0; i < nr; i++) {
		struct btrfs_block_expect expect = child_expect(node, i);
		const struct btrfs_key *below = bound;
		struct btrfs_key next;

		if (i + 1 < nr) {
			next = btrfs_node_key(node, i + 1);
			below = &next;
		}
		if (read_one(w, &expect, w->bufs[level]))
			continue;
		if (all)
			visit(w, w->bufs[level], expect.logical);
		if (bounded(w, w->bufs[level], below))
			descend(w, level - 1, last, all, below);
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
	err = read_one(w, &expect, w->bufs[0]);
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
		descend(w, level - 1, 0, true, NULL);
	else if (order == WALK_LEAVES)
		descend(w, level - 1, 0, false, NULL);
	else
		for (unsigned last = level; last-- > 0;)
			descend(w, level - 1, last, false, NULL);
	return 0;
}
