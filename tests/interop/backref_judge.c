// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * backref-judge: who uses each extent, by its references, against a walk over all trees of an image
 * that the kernel wrote.
 *
 *   backref-judge [-x] DEVICE...
 *
 * With -x one use is left out of what the walk found, which must be noticed. Exit code 0: equal; 1:
 * differs (each difference a line); 2: could not.
 */
#include "engine/inspect.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct use {
	uint64_t logical;
	struct ins_backref ref;
};

struct uses {
	struct use *v;
	size_t nr, room;
};

struct judge {
	struct eng_fs *fs;
	uint32_t nodesize;
	struct uses walked, referred;
	uint64_t *extents;
	size_t nr_extents, room_extents;
	uint64_t logical; /* of which references are taken */
	struct ins_root *trees;
	size_t nr_trees, room_trees;
	size_t shared;
};

static void *grown(void *p, size_t *io_room, size_t nr, size_t size)
{
	if (nr < *io_room)
		return p;
	*io_room = *io_room ? 2 * *io_room : 256;
	p = realloc(p, *io_room * size);
	if (!p)
		abort();
	return p;
}

static void add_use(struct uses *u, uint64_t logical, const struct ins_backref *ref)
{
	u->v = grown(u->v, &u->room, u->nr, sizeof(*u->v));
	u->v[u->nr++] = (struct use){ logical, *ref };
}

static int cmp64(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

static int use_cmp(const void *pa, const void *pb)
{
	const struct use *a = pa, *b = pb;
	int c = cmp64(a->logical, b->logical);

	c = c ? c : cmp64(a->ref.root, b->ref.root);
	c = c ? c : cmp64(a->ref.ino, b->ref.ino);
	c = c ? c : cmp64(a->ref.offset, b->ref.offset);
	c = c ? c : cmp64(a->ref.parent, b->ref.parent);
	return c ? c : a->ref.level - b->ref.level;
}

/* ---- the walk ---- */

static void walk_leaf(struct judge *j, const void *leaf, uint64_t tree)
{
	for (unsigned i = 0; i < btrfs_header_nritems(leaf); i++) {
		struct btrfs_key key = btrfs_item_key(leaf, i);
		const struct btrfs_file_extent_item *fi = btrfs_item_ptr(leaf, i);
		struct ins_backref ref = { tree, key.objectid, key.offset,
					   btrfs_header_bytenr(leaf), -1 };

		if (key.type == BTRFS_EXTENT_DATA_KEY && fi->type != BTRFS_FILE_EXTENT_INLINE &&
		    le64_get(fi->disk_bytenr))
			add_use(&j->walked, le64_get(fi->disk_bytenr), &ref);
	}
}

static int walk(struct judge *j, uint64_t tree, const struct btrfs_block_expect *e, uint64_t parent)
{
	struct ins_backref ref = { .root = tree, .parent = parent, .level = e->level };
	struct btrfs_check_error why;
	void *block = malloc(j->nodesize);
	int err = block ? ins_block_read(j->fs, e, block, &why) : -ENOMEM;

	if (err)
		printf("tree %" PRIu64 " block %" PRIu64 ": %d\n", tree, e->logical, err);
	add_use(&j->walked, e->logical, &ref);
	if (!err && !e->level)
		walk_leaf(j, block, tree);
	for (unsigned i = 0; !err && e->level && i < btrfs_header_nritems(block); i++) {
		struct btrfs_block_expect child = { .logical = btrfs_node_blockptr(block, i),
						    .generation = btrfs_node_generation(block, i),
						    .level = e->level - 1 };

		err = walk(j, tree, &child, e->logical);
	}
	free(block);
	return err;
}

static void add_tree(struct judge *j, uint64_t id, uint64_t bytenr, uint64_t generation,
		     uint8_t level)
{
	j->trees = grown(j->trees, &j->room_trees, j->nr_trees, sizeof(*j->trees));
	j->trees[j->nr_trees++] = (struct ins_root){ id, bytenr, generation, level };
}

static int take_root(void *arg, const struct btrfs_key *key, const void *item, uint32_t len)
{
	const struct btrfs_root_item *ri = item;
	struct judge *j = arg;

	if (key->type == BTRFS_ROOT_ITEM_KEY)
		add_tree(j, key->objectid, le64_get(ri->bytenr), le64_get(ri->generation),
			 ri->level);
	return 0;
}

static int walk_all(struct judge *j)
{
	static const uint64_t first[] = { BTRFS_ROOT_TREE_OBJECTID, BTRFS_CHUNK_TREE_OBJECTID };
	struct btrfs_key from = { 0 };
	struct ins_root root;
	int err = 0;

	for (unsigned i = 0; !err && i < 2; i++) {
		err = ins_root(j->fs, first[i], &root);
		if (!err)
			add_tree(j, root.id, root.bytenr, root.generation, root.level);
		if (!err && !i)
			err = ins_items(j->fs, &root, &from, take_root, j);
	}
	for (size_t i = 0; !err && i < j->nr_trees; i++) {
		const struct ins_root *t = &j->trees[i];
		struct btrfs_block_expect e = { .logical = t->bytenr,
						.generation = t->generation,
						.level = t->level };

		err = walk(j, t->id, &e, 0);
	}
	return err;
}

/* ---- the references ---- */

static int take_extent(void *arg, const struct btrfs_key *key, const void *item, uint32_t len)
{
	struct judge *j = arg;

	j->shared +=
		key->type == BTRFS_SHARED_BLOCK_REF_KEY || key->type == BTRFS_SHARED_DATA_REF_KEY;
	if (key->type != BTRFS_EXTENT_ITEM_KEY && key->type != BTRFS_METADATA_ITEM_KEY)
		return 0;
	for (uint32_t off = sizeof(struct btrfs_extent_item); off < len;) {
		uint8_t type = ((const uint8_t *)item)[off];

		/* An old item of a tree block has something else first: not worth the look. */
		j->shared +=
			type == BTRFS_SHARED_BLOCK_REF_KEY || type == BTRFS_SHARED_DATA_REF_KEY;
		if (!btrfs_extent_inline_ref_size(type))
			break;
		off += btrfs_extent_inline_ref_size(type);
	}
	j->extents = grown(j->extents, &j->room_extents, j->nr_extents, sizeof(*j->extents));
	j->extents[j->nr_extents++] = key->objectid;
	return 0;
}

static int take_ref(void *arg, const struct ins_backref *ref)
{
	struct judge *j = arg;

	add_use(&j->referred, j->logical, ref);
	return 0;
}

static int refer_all(struct judge *j)
{
	struct btrfs_key from = { 0 };
	struct ins_root root;
	int err = ins_root(j->fs, BTRFS_EXTENT_TREE_OBJECTID, &root);

	if (!err)
		err = ins_items(j->fs, &root, &from, take_extent, j);
	for (size_t i = 0; !err && i < j->nr_extents; i++) {
		j->logical = j->extents[i];
		err = ins_backrefs(j->fs, j->logical, take_ref, j);
		if (err)
			printf("extent %" PRIu64 ": %d\n", j->logical, err);
	}
	return err;
}

static void say(const char *who, const struct use *u)
{
	printf("only by %s: extent %" PRIu64 " in tree %" PRIu64 " inode %" PRIu64
	       " offset %" PRIu64 " from block %" PRIu64 " level %d\n",
	       who, u->logical, u->ref.root, u->ref.ino, u->ref.offset, u->ref.parent,
	       u->ref.level);
}

static size_t compare(struct judge *j)
{
	size_t a = 0, b = 0, differences = 0;

	qsort(j->walked.v, j->walked.nr, sizeof(*j->walked.v), use_cmp);
	qsort(j->referred.v, j->referred.nr, sizeof(*j->referred.v), use_cmp);
	while (a < j->walked.nr || b < j->referred.nr) {
		int c = a == j->walked.nr     ? 1
			: b == j->referred.nr ? -1
					      : use_cmp(&j->walked.v[a], &j->referred.v[b]);

		if (c && differences++ < 10)
			say(c < 0 ? "the walk" : "reference",
			    c < 0 ? &j->walked.v[a] : &j->referred.v[b]);
		a += c <= 0;
		b += c >= 0;
	}
	return differences;
}

static void hear(void *arg, enum eng_msg_level level, const char *text)
{
	fprintf(stderr, "%s\n", text);
}

int main(int argc, char **argv)
{
	struct eng_open_opts opts = { .share = ENG_SHARE_LOOK, .message = hear };
	struct judge j = { 0 };
	size_t differences = 0;
	bool spoil = argc > 1 && !strcmp(argv[1], "-x");
	int err;

	argv += spoil;
	argc -= spoil;
	if (argc < 2)
		return 2;
	opts.devices = (const char *const *)&argv[1];
	opts.nr_devices = (unsigned)argc - 1;
	err = eng_open(&opts, &j.fs);
	if (err)
		return 2;
	j.nodesize = ins_geometry(j.fs)->nodesize;
	err = walk_all(&j);
	if (!err)
		err = refer_all(&j);
	if (!err) {
		if (spoil)
			j.walked.nr--;
		differences = compare(&j);
		printf("%zu trees, %zu extents, %zu shared references, %zu uses, %zu differences\n",
		       j.nr_trees, j.nr_extents, j.shared, j.walked.nr, differences);
	}
	eng_close(j.fs);
	free(j.walked.v);
	free(j.referred.v);
	free(j.extents);
	free(j.trees);
	return err ? 2 : differences ? 1 : 0;
}
