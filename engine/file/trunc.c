// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Taking away an inode's items, from the last to the first, a leaf's at a time.
 *
 * A step looks first (the tree's readers get a copy of the leaf), then deletes what it saw with one
 * search. Only we change this inode's items, but others may have split or merged the leaf in
 * between: then the step starts over.
 *
 * Each transaction leaves a file that is whole: size and nbytes follow the extents that are left.
 */
#include "engine/file/change_priv.h"
#include "engine/file/file_priv.h"
#include "engine/util/fault.h"

#define BATCH 32

/* What the items of one step are. */
struct batch {
	unsigned nr;
	uint32_t bytes; /* with their headers */
	struct btrfs_key first, last;
	bool cut; /* none goes, but `first` is to be shortened */
	bool end; /* nothing is left to do beyond them */
	unsigned pieces_nr;
	struct piece {
		uint64_t logical, len, offset;
	} pieces[BATCH];
	uint64_t nbytes;
};

static uint64_t extent_end(const struct chg *c, const struct btrfs_key *key,
			   const struct btrfs_file_extent_item *fi)
{
	uint64_t mask = c->fs->sectorsize - 1;

	if (fi->type == BTRFS_FILE_EXTENT_INLINE)
		return (le64_get(fi->ram_bytes) + mask) & ~mask;
	return key->offset + le64_get(fi->num_bytes);
}

static void take_extent(struct batch *b, const struct btrfs_key *key,
			const struct btrfs_file_extent_item *fi)
{
	if (fi->type == BTRFS_FILE_EXTENT_INLINE) {
		b->nbytes += le64_get(fi->ram_bytes);
		return;
	}
	if (!le64_get(fi->disk_bytenr))
		return;
	b->nbytes += le64_get(fi->num_bytes);
	b->pieces[b->pieces_nr++] = (struct piece){
		.logical = le64_get(fi->disk_bytenr),
		.len = le64_get(fi->disk_num_bytes),
		/* An extent's middle may be used before the file's byte of that number: it wraps.
		   (format) */
		.offset = key->offset - le64_get(fi->offset),
	};
}

/* True if the item goes and the one before may, too. */
static bool take(const struct chg *c, const struct trunc *t, const void *leaf, unsigned slot,
		 struct batch *b)
{
	struct btrfs_key key = btrfs_item_key(leaf, slot);
	const struct btrfs_file_extent_item *fi = btrfs_item_ptr(leaf, slot);

	b->end = key.objectid != t->ino || key.type < t->min_type;
	if (b->end)
		return false;
	if (key.type == BTRFS_EXTENT_DATA_KEY) {
		if (key.offset < t->size) {
			bool across = fi->type != BTRFS_FILE_EXTENT_INLINE &&
				      extent_end(c, &key, fi) > t->size;

			b->cut = across && !b->nr;
			b->end = !across || b->cut;
			if (b->cut)
				b->first = key;
			return false;
		}
		take_extent(b, &key, fi);
	}
	b->first = key;
	if (!b->nr++)
		b->last = key;
	b->bytes += btrfs_item_size(leaf, slot) + (uint32_t)sizeof(struct btrfs_item);
	/* Nothing comes before the inode item, whatever the leaf starts with. */
	b->end = key.type == BTRFS_INODE_ITEM_KEY;
	return !b->end;
}

static int look(const struct chg *c, const struct trunc *t, struct batch *b)
{
	const struct btrfs_key last = { t->ino, t->max_type, UINT64_MAX };
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	int ret;

	*b = (struct batch){ 0 };
	ret = bt_search_le(&c->tree->root, &last, &path);
	if (ret) {
		b->end = true;
		return ret < 0 ? ret : 0;
	}
	for (int slot = path.slots[0]; slot >= 0 && b->nr < BATCH; slot--)
		if (!take(c, t, eb_data(path.nodes[0]), (unsigned)slot, b))
			break;
	return 0;
}

/* The extent that `size` lies in ends with its sector; the extent on disk stays whole. */
static int cut(struct chg *c, struct trunc *t, const struct batch *b)
{
	uint64_t mask = c->fs->sectorsize - 1, keep = (t->size - b->first.offset + mask) & ~mask;
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	struct btrfs_file_extent_item *fi;
	uint64_t was;
	int ret = bt_search_change(c->t, c->tree, &b->first, BT_UPDATE, 0, &path);

	if (ret)
		return ret < 0 ? ret
			       : chg_corrupt(c, &b->first, "not there, expected to be shortened");
	fi = bt_item_mut(c->t, &path);
	was = le64_get(fi->num_bytes);
	if (was <= keep)
		return 0;
	fi->num_bytes = le64_make(keep);
	if (le64_get(fi->disk_bytenr))
		t->nbytes += PLANTED("truncate_forgets_nbytes") ? 0 : was - keep;
	c->changed = true;
	return 0;
}

/* True if the items that were seen stand here, in one leaf. */
static bool together(const struct bt_path *path, const struct batch *b)
{
	const void *leaf = eb_data(path->nodes[0]);
	unsigned end = (unsigned)path->slots[0] + b->nr;
	struct btrfs_key last;

	if (end > btrfs_header_nritems(leaf))
		return false;
	last = btrfs_item_key(leaf, end - 1);
	return !btrfs_key_cmp(&last, &b->last);
}

/* 1: gone; 0: look again; -errno. */
static int delete_batch(struct chg *c, const struct batch *b)
{
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	int ret = bt_search_change(c->t, c->tree, &b->first, BT_DELETE, b->bytes, &path);

	if (ret)
		return ret < 0 ? ret
			       : chg_corrupt(c, &b->first, "not there, expected to be deleted");
	if (!together(&path, b))
		return 0;
	c->changed = true;
	ret = bt_delete_items(c->t, &path, b->nr);
	return ret ? ret : 1;
}

int trunc_step(struct chg *c, struct trunc *t)
{
	struct batch b;
	int ret;

	do {
		ret = look(c, t, &b);
		if (ret)
			return ret;
		if (!b.nr)
			return b.cut ? cut(c, t, &b) : 0;
		ret = delete_batch(c, &b);
	} while (!ret);
	for (unsigned i = 0; ret > 0 && i < b.pieces_nr && !PLANTED("truncate_keeps_ref"); i++) {
		int err = c->ops->drop_data(c, b.pieces[i].logical, b.pieces[i].len, t->ino,
					    b.pieces[i].offset);

		if (err)
			ret = err;
	}
	t->nbytes += b.nbytes;
	t->last = b.first.type == BTRFS_EXTENT_DATA_KEY ? b.first.offset : 0;
	return ret > 0 ? !b.end : ret;
}

int trunc_round(struct chg *c, struct trunc *t)
{
	int ret = 1;

	for (unsigned i = 0; ret > 0 && i < TRUNC_STEPS; i++) {
		if (i && c->ops->should_end(c))
			break;
		ret = trunc_step(c, t);
	}
	return ret;
}

int trunc_edit(struct chg *c, const struct trunc *t, bool more, const struct timespec *now,
	       struct ino_attr *out_attr)
{
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	uint64_t size, nbytes, end = more ? t->last : t->size;
	struct btrfs_inode_item *item;
	int err = inode_edit(c, t->ino, &path, &item);

	if (err)
		return err;
	size = le64_get(item->size);
	nbytes = le64_get(item->nbytes);
	item->size = le64_make(size < end ? size : end);
	item->nbytes = le64_make(nbytes < t->nbytes ? 0 : nbytes - t->nbytes);
	if (now)
		item->mtime = item->ctime = time_make(now);
	if (out_attr)
		ino_attr_get(item, t->ino, out_attr);
	return 0;
}

int trunc_data(struct chg *c, uint64_t ino, uint64_t size, const struct timespec *now,
	       struct ino_attr *out_attr)
{
	struct trunc t = {
		.ino = ino,
		.min_type = BTRFS_EXTENT_DATA_KEY,
		.max_type = BTRFS_EXTENT_DATA_KEY,
		.size = size,
	};
	int more, err;

	do {
		err = chg_begin(c, TRUNC_STEPS + 1, true);
		if (err)
			return err;
		t.nbytes = 0;
		t.last = UINT64_MAX;
		more = trunc_round(c, &t);
		err = more < 0 ? more : trunc_edit(c, &t, more, now, out_attr);
		err = chg_done(c, err);
	} while (!err && more);
	return err;
}
