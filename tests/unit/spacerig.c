// SPDX-License-Identifier: GPL-2.0-or-later
/* The rig of trees and space: see spacerig.h. */
#include "tests/unit/spacerig.h"
#include "engine/space/chunk.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static struct rig *rig_of(struct bt_trans *t)
{
	struct space_fs *fs = space_trans(t)->fs;

	return (struct rig *)((char *)fs - offsetof(struct rig, fs));
}

/* ---- in the place of chunks and the free-space tree; whoever runs references calls these ---- */

int free_space_tree_use(struct space_trans *st, uint64_t start, uint64_t len)
{
	uint64_t added;

	if (range_set_add(&rig_of(&st->bt)->in_use, start, len, &added))
		abort();
	return added == len ? 0 : -EUCLEAN;
}

int free_space_tree_free(struct space_trans *st, uint64_t start, uint64_t len)
{
	struct range_set *set = &rig_of(&st->bt)->in_use;

	if (!range_set_has(set, start, len))
		return -EUCLEAN;
	return range_set_remove(set, start, len);
}

int chunk_alloc_now(struct space_trans *st, uint64_t type)
{
	return -ENOSPC;
}

/* ---- the onion ---- */

static void op_dirty(struct bt_trans *t, struct bt_tree *tree, struct eb *eb)
{
	eb_mark_dirty(eb, &rig_of(t)->dirty);
}

static void op_root_changed(struct bt_trans *t, struct bt_tree *tree)
{
}

static void op_abort(struct bt_trans *t, int err)
{
	rig_of(t)->aborted = err;
}

static const struct bt_trans_ops ops = {
	.alloc = space_block_alloc,
	.free = space_block_free,
	.dirty = op_dirty,
	.refs = space_block_refs,
	.set_flags = space_block_set_flags,
	.ref_children = space_block_ref_children,
	.root_changed = op_root_changed,
	.abort = op_abort,
};

static int begin(struct rig *r, struct space_trans *st, unsigned items)
{
	memset(st, 0, sizeof(*st));
	st->fs = &r->fs;
	st->drefs = r->drefs;
	bt_trans_init(&st->bt, r->c, r->generation, &ops, r->mode);
	return rsv_handle_begin(&r->rsv, &st->rsv, items, SPACE_NO_FLUSH);
}

void rig_begin(struct rig *r, struct space_trans *st, unsigned items)
{
	int err = begin(r, st, items);

	for (unsigned tries = 0; err && tries < 100; tries++) {
		/* As the rows of reclaim do: what is delayed has large promises. */
		if (begin(r, st, 0) || dref_run(st, UINT_MAX, true))
			rig_wrong("running references to get space: %s", r->v->heard.last);
		rig_end(r, st);
		err = begin(r, st, items);
	}
	if (err)
		rig_wrong("no space for a handle");
}

void rig_end(struct rig *r, struct space_trans *st)
{
	bt_trans_end(&st->bt);
	rsv_handle_end(&r->rsv, &st->rsv);
}

/* ---- writing ---- */

static int write_blocks(void *arg, struct eb_write *ios, unsigned nr)
{
	struct rig *r = arg;

	for (unsigned i = 0; i < nr; i++) {
		ios[i].res = 0;
		for (int c = 0; c < FAKE_COPIES; c++)
			memcpy(fakevol_block(r->v, ios[i].logical, c), ios[i].buf, ios[i].len);
	}
	return 0;
}

void rig_write_some(struct rig *r, unsigned max)
{
	if (eb_dirty_write(r->c, &r->dirty, EB_WRITE_SOME, max, write_blocks, r, NULL))
		rig_wrong("write-out: %s", r->v->heard.last);
}

static void pressure(void *arg)
{
	rig_write_some(arg, 32);
}

/* ---- committing ---- */

static int store_root(struct space_trans *st, struct bt_tree *tree, bool *io_changed)
{
	struct bt_root root = bt_tree_root(tree);
	struct btrfs_key key = { root.id, BTRFS_ROOT_ITEM_KEY, 0 };
	struct btrfs_root_item item = {
		.generation = le64_make(root.generation),
		.generation_v2 = le64_make(root.generation),
		.bytenr = le64_make(root.bytenr),
		.last_snapshot = le64_make(tree->last_snapshot),
		.root_dirid = le64_make(256),
		.refs = le32_make(1),
		.level = root.level,
	};
	BT_PATH_CLEANUP struct bt_path path = BT_PATH_INIT;
	int err = bt_search(&st->fs->root->root, &key, &path);

	if (err < 0)
		return err;
	if (!err && !memcmp(bt_item(&path), &item, sizeof(item)))
		return 0;
	*io_changed = true;
	bt_path_release(&path);
	if (err)
		return bt_insert(&st->bt, st->fs->root, &key, &item, sizeof(item));
	err = bt_search_change(&st->bt, st->fs->root, &key, BT_UPDATE, 0, &path);
	if (!err)
		memcpy(bt_item_mut(&st->bt, &path), &item, sizeof(item));
	return err;
}

static int settle(struct rig *r, struct space_trans *st)
{
	bool changed;
	int err;

	do {
		changed = false;
		err = dref_run(st, UINT_MAX, true);
		for (unsigned i = 0; !err && i < r->trees_nr; i++)
			err = store_root(st, r->trees[i], &changed);
		if (!err)
			err = store_root(st, &r->extent, &changed);
		if (!err)
			err = store_root(st, &r->csum, &changed);
	} while (!err && (changed || dref_nr(r->drefs)));
	return err;
}

void rig_settle_groups(struct rig *r)
{
	struct block_group *bg;
	uint64_t used;

	while ((bg = bg_next_dirty(r->bgs, &used))) {
		rsv_refs_groups(&r->rsv, 0, -1);
		bg_put(bg);
	}
}

int rig_commit(struct rig *r)
{
	struct space_trans st;
	int err;

	rig_begin(r, &st, 0);
	err = settle(r, &st);
	rig_end(r, &st);
	if (!err)
		err = r->aborted;
	if (!err)
		err = eb_dirty_write(r->c, &r->dirty, EB_WRITE_ALL, 0, write_blocks, r, NULL);
	if (err)
		return err;
	dref_set_destroy(r->drefs);
	if (dref_set_create(&r->fs, &r->drefs))
		abort();
	rig_settle_groups(r);
	bg_pinned_switch(r->bgs);
	bg_pinned_release(r->bgs);
	for (unsigned i = 0; i < r->trees_nr; i++)
		r->trees[i]->force_cow = false;
	r->generation++;
	return 0;
}

/* ---- making ---- */

static void add_group(struct rig *r, uint64_t start, uint64_t len, uint64_t type)
{
	struct bg_desc desc = { .start = start, .len = len, .flags = type };

	if (bg_add(r->bgs, &desc, NULL, NULL))
		abort();
}

static void make_space(struct rig *r, const struct rig_opts *o)
{
	struct space_opts opts = { .nodesize = o->nodesize,
				   .sectorsize = RIG_SECTOR,
				   .counters = &r->v->counters };

	if (space_create(&opts, &r->sp) ||
	    space_info_create(r->sp, BTRFS_BLOCK_GROUP_DATA, &r->data) ||
	    space_info_create(r->sp, BTRFS_BLOCK_GROUP_METADATA, &r->meta) ||
	    space_info_create(r->sp, BTRFS_BLOCK_GROUP_SYSTEM, &r->sys))
		abort();
	rsv_set_init(&r->rsv, r->sp, false);
	if (bg_index_create(r->sp, &r->rsv, &r->bgs))
		abort();
	add_group(r, RIG_META, (uint64_t)o->blocks * o->nodesize, BTRFS_BLOCK_GROUP_METADATA);
	add_group(r, RIG_DATA, o->data_bytes, BTRFS_BLOCK_GROUP_DATA);
	rsv_global_update(&r->rsv, 64ull * o->nodesize, 3);
}

static void make_tree(struct space_trans *st, struct bt_tree *tree, uint64_t id)
{
	struct bt_root like = { .cache = st->fs->cache, .id = id }, root;

	if (bt_create(&st->bt, &like, &root))
		rig_wrong("no block for a new tree");
	bt_tree_init(tree, &root);
	tree->shareable = btrfs_is_fstree(id);
}

static struct bt_tree *new_tree(void)
{
	struct bt_tree *tree = calloc(1, sizeof(*tree));

	if (!tree)
		abort();
	return tree;
}

static void make_trees(struct rig *r)
{
	struct space_trans st;

	rig_begin(r, &st, 16);
	make_tree(&st, &r->root, BTRFS_ROOT_TREE_OBJECTID);
	make_tree(&st, &r->extent, BTRFS_EXTENT_TREE_OBJECTID);
	make_tree(&st, &r->csum, BTRFS_CSUM_TREE_OBJECTID);
	r->trees[r->trees_nr] = new_tree();
	make_tree(&st, r->trees[r->trees_nr++], RIG_FIRST_TREE);
	rig_end(r, &st);
	if (rig_commit(r))
		rig_wrong("the first commit: %s", r->v->heard.last);
}

struct rig *rig_create(const struct rig_opts *o)
{
	struct rig *r = calloc(1, sizeof(*r));
	uint64_t cap = eb_cache_min_bytes_live(o->nodesize, o->threads, 5) +
		       o->frames * (o->nodesize + 512ull);

	if (!r)
		abort();
	r->v = fakevol_create(o->nodesize);
	r->v->geo.generation = FAKE_GENERATION;
	if (o->skinny)
		r->v->geo.incompat |= BTRFS_FEATURE_INCOMPAT_SKINNY_METADATA;
	for (unsigned i = 0; i < o->blocks; i++)
		fakevol_alloc(r->v);
	r->generation = FAKE_GENERATION + 1;
	r->data_bytes = o->data_bytes;
	r->mode = o->mode;
	r->summed = calloc(1, o->data_bytes / RIG_SECTOR);
	range_set_init(&r->in_use);
	eb_dirty_init(&r->dirty);
	if (!r->summed || eb_cache_create(r->v, cap, o->threads, &r->c) ||
	    eb_cache_enable_writes(r->c, o->threads, 5))
		abort();
	eb_cache_on_pressure(r->c, pressure, r);
	make_space(r, o);
	r->fs = (struct space_fs){
		.sp = r->sp,
		.rsv = &r->rsv,
		.bgs = r->bgs,
		.vol = r->v,
		.cache = r->c,
		.msg = r->v->msg,
		.counters = &r->v->counters,
		.root = &r->root,
		.extent = &r->extent,
		.csum = &r->csum,
		.bg = &r->extent,
		.nodesize = o->nodesize,
		.sectorsize = RIG_SECTOR,
		.csum_size = 4,
		.skinny = o->skinny,
	};
	if (dref_set_create(&r->fs, &r->drefs))
		abort();
	make_trees(r);
	return r;
}

void rig_destroy(struct rig *r)
{
	eb_dirty_abandon(&r->dirty);
	eb_dirty_destroy(&r->dirty);
	dref_set_destroy(r->drefs);
	for (unsigned i = 0; i < r->trees_nr; i++) {
		bt_tree_destroy(r->trees[i]);
		free(r->trees[i]);
	}
	bt_tree_destroy(&r->root);
	bt_tree_destroy(&r->extent);
	bt_tree_destroy(&r->csum);
	eb_cache_destroy(r->c);
	bg_index_destroy(r->bgs);
	rsv_set_fini(&r->rsv);
	space_destroy(r->sp);
	range_set_clear(&r->in_use);
	fakevol_destroy(r->v);
	free(r->summed);
	free(r);
}

void rig_snapshot(struct rig *r, struct space_trans *st, unsigned of)
{
	struct bt_tree *from = r->trees[of], *tree = new_tree();
	struct bt_root root;

	from->last_snapshot = st->bt.generation;
	from->force_cow = true;
	if (r->trees_nr == RIG_TREES ||
	    bt_copy_root(&st->bt, from, RIG_FIRST_TREE + r->trees_nr, &root))
		rig_wrong("no snapshot: %s", r->v->heard.last);
	bt_tree_init(tree, &root);
	tree->shareable = true;
	tree->last_snapshot = st->bt.generation;
	tree->force_cow = true;
	r->trees[r->trees_nr++] = tree;
}

/* ---- files ---- */

static void add_inode(struct rig *r, struct space_trans *st, unsigned tree, uint64_t ino)
{
	struct btrfs_key key = { ino, BTRFS_INODE_ITEM_KEY, 0 };
	struct btrfs_inode_item item = {
		.generation = le64_make(r->generation),
		.transid = le64_make(r->generation),
		.mode = le32_make(S_IFREG | 0644),
		.nlink = le32_make(1),
	};
	int err = bt_insert(&st->bt, r->trees[tree], &key, &item, sizeof(item));

	if (err && err != -EEXIST)
		rig_wrong("inode: %d %s", err, r->v->heard.last);
}

/* Longer items, of many extents' sums, so that deleting has to cut: the item that ends here grows.
 */
static bool grow_sums(struct rig *r, struct space_trans *st, uint64_t logical, const void *sums,
		      uint32_t size)
{
	struct btrfs_key key = { BTRFS_EXTENT_CSUM_OBJECTID, BTRFS_EXTENT_CSUM_KEY, logical };
	BT_PATH_CLEANUP struct bt_path path = BT_PATH_INIT;
	uint32_t was;

	if (bt_search_le(&r->csum.root, &key, &path))
		return false;
	key = bt_key(&path);
	was = bt_item_size(&path);
	bt_path_release(&path);
	if (key.offset + was / 4 * RIG_SECTOR != logical || was > 1000)
		return false;
	if (bt_search_change(&st->bt, &r->csum, &key, BT_EXTEND, size, &path) ||
	    bt_extend_item(&st->bt, &path, size))
		rig_wrong("sums: %s", r->v->heard.last);
	memcpy((uint8_t *)bt_item_mut(&st->bt, &path) + was, sums, size);
	return true;
}

static void add_sums(struct rig *r, struct space_trans *st, uint64_t logical, uint64_t len)
{
	struct btrfs_key key = { BTRFS_EXTENT_CSUM_OBJECTID, BTRFS_EXTENT_CSUM_KEY, logical };
	uint32_t size = (uint32_t)(len / RIG_SECTOR * 4);
	le32 sums[256];

	for (unsigned i = 0; i < size / 4; i++)
		sums[i] = le32_make((uint32_t)(logical / RIG_SECTOR + i));
	if (size > sizeof(sums))
		abort();
	if (!grow_sums(r, st, logical, sums, size) &&
	    bt_insert(&st->bt, &r->csum, &key, sums, size))
		rig_wrong("sums: %s", r->v->heard.last);
}

static int place(struct rig *r, uint64_t len, uint64_t *out_logical)
{
	struct bg_request req = { .type = BTRFS_BLOCK_GROUP_DATA, .bytes = len, .min_bytes = len };
	uint64_t got;
	int err = space_reserve(r->data, len, SPACE_NO_FLUSH, NULL);

	if (err)
		return err;
	err = bg_alloc(r->bgs, &req, out_logical, &got);
	if (err)
		space_release(r->data, len);
	return err;
}

static void add_item(struct rig *r, struct space_trans *st, unsigned tree, uint64_t ino,
		     uint64_t off, const struct btrfs_file_extent_item *fi, bool fresh)
{
	struct btrfs_key key = { ino, BTRFS_EXTENT_DATA_KEY, off };
	struct dref ref = { .root = RIG_FIRST_TREE + tree,
			    .ino = ino,
			    .offset = off - le64_get(fi->offset) };
	int err;

	add_inode(r, st, tree, ino);
	err = bt_insert(&st->bt, r->trees[tree], &key, fi, sizeof(*fi));
	if (!err)
		err = dref_data(st, le64_get(fi->disk_bytenr), le64_get(fi->disk_num_bytes), &ref,
				1, fresh);
	if (err)
		rig_wrong("file extent: %d %s", err, r->v->heard.last);
}

int rig_write(struct rig *r, struct space_trans *st, unsigned tree, uint64_t ino, uint64_t off,
	      uint64_t len, bool sums)
{
	struct btrfs_file_extent_item fi = {
		.generation = le64_make(r->generation),
		.ram_bytes = le64_make(len),
		.type = sums ? BTRFS_FILE_EXTENT_REG : BTRFS_FILE_EXTENT_PREALLOC,
		.disk_num_bytes = le64_make(len),
		.num_bytes = le64_make(len),
	};
	uint64_t logical;
	int err = place(r, len, &logical);

	if (err)
		return err;
	fi.disk_bytenr = le64_make(logical);
	add_item(r, st, tree, ino, off, &fi, true);
	if (sums)
		add_sums(r, st, logical, len);
	for (uint64_t i = 0; i < len / RIG_SECTOR; i++)
		r->summed[(logical - RIG_DATA) / RIG_SECTOR + i] = sums;
	return 0;
}

void rig_clone(struct rig *r, struct space_trans *st, unsigned tree, uint64_t ino, uint64_t off,
	       const struct btrfs_file_extent_item *fi, uint64_t skip)
{
	struct btrfs_file_extent_item new = *fi;
	uint64_t ram = le64_get(fi->disk_num_bytes);

	new.generation = le64_make(r->generation);
	new.offset = le64_make(skip);
	new.num_bytes = le64_make(ram - skip);
	add_item(r, st, tree, ino, off, &new, false);
}

void rig_drop(struct rig *r, struct space_trans *st, unsigned tree, uint64_t ino, uint64_t off)
{
	struct btrfs_key key = { ino, BTRFS_EXTENT_DATA_KEY, off };
	BT_PATH_CLEANUP struct bt_path path = BT_PATH_INIT;
	const struct btrfs_file_extent_item *fi;
	struct dref ref = { .root = RIG_FIRST_TREE + tree, .ino = ino };
	uint64_t logical, len;
	int err = bt_search_change(&st->bt, r->trees[tree], &key, BT_DELETE, 0, &path);

	if (err > 0)
		return;
	if (!err) {
		fi = bt_item(&path);
		logical = le64_get(fi->disk_bytenr);
		len = le64_get(fi->disk_num_bytes);
		ref.offset = off - le64_get(fi->offset);
		err = bt_delete_items(&st->bt, &path, 1);
		if (!err)
			err = dref_data(st, logical, len, &ref, -1, false);
	}
	if (err)
		rig_wrong("drop: %d %s", err, r->v->heard.last);
}
