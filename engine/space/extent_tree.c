// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Items of the extent tree: an extent's own, and those of references that found no room in it.
 *
 * Invariants: 1. A reference is inline or has an item, never both: once an extent has a keyed one,
 * no inline one is added to it (that one might be the keyed one), only counts of those there
 * rise. 2. An item's `refs` is the sum of all counts. 3. An item goes when refs reaches 0, and then
 * it has no reference left.
 *
 * A filesystem may have got skinny metadata late: a tree block's item is looked for under either
 * key.
 *
 * Locks: the extent tree's own. One thread changes (the runner of delayed references), any may
 * look. Failure: what fails half-way leaves counts that disagree; the caller aborts.
 */
#include "engine/space/extent_priv.h"
#include "engine/util/fault.h"

#include <inttypes.h>
#include <string.h>

static struct btrfs_key item_key(const struct space_fs *fs, const struct extent *e, bool skinny)
{
	if (skinny)
		return (struct btrfs_key){ e->logical, BTRFS_METADATA_ITEM_KEY,
					   (uint64_t)e->level };
	return (struct btrfs_key){ e->logical, BTRFS_EXTENT_ITEM_KEY,
				   e->level < 0 ? e->len : fs->nodesize };
}

/* ---- the extent's own item ---- */

int extent_insert(struct space_trans *st, const struct extent *e, uint64_t flags,
		  const struct dref *ref, unsigned n)
{
	BT_PATH_CLEANUP struct bt_path path = BT_PATH_INIT;
	bool data = e->level < 0, skinny = !data && st->fs->skinny;
	struct ref_name name = ref_name_of(data, ref);
	struct btrfs_key key = item_key(st->fs, e, skinny);
	struct btrfs_extent_item ei = {
		.refs = le64_make(n),
		.generation = le64_make(st->bt.generation),
		.flags = le64_make(flags |
				   (data ? BTRFS_EXTENT_FLAG_DATA : BTRFS_EXTENT_FLAG_TREE_BLOCK)),
	};
	struct btrfs_tree_block_info info = {
		.key = btrfs_disk_key_make(&e->first_key),
		.level = (uint8_t)e->level,
	};
	uint32_t start = extent_inline_start(&ei, skinny);
	uint32_t size = start + btrfs_extent_inline_ref_size(name.type);
	uint8_t *item;
	int err;

	if (!data && n != 1)
		return msg_corrupt(st->fs->msg,
				   "tree block %" PRIu64 " is new and %u times in one tree",
				   e->logical, n);
	err = bt_search_change(&st->bt, st->fs->extent, &key, BT_INSERT,
			       size + (uint32_t)sizeof(struct btrfs_item), &path);
	if (!err)
		return msg_corrupt(st->fs->msg,
				   "extent %" PRIu64 " is newly allocated and has an item already",
				   e->logical);
	if (err > 0)
		err = bt_insert_items(&st->bt, &path, &key, &size, 1);
	if (err)
		return err;
	item = bt_item_mut(&st->bt, &path);
	memcpy(item, &ei, sizeof(ei));
	if (start > sizeof(ei))
		memcpy(item + sizeof(ei), &info, sizeof(info));
	extent_inline_put(item, start, &name, n);
	return 0;
}

struct found {
	struct bt_path path;
	bool skinny;
	uint32_t start; /* of inline references */
};

static int find_item(struct space_trans *st, const struct extent *e, enum bt_intent intent,
		     uint32_t bytes, struct found *f)
{
	const struct btrfs_extent_item *ei;
	struct btrfs_key key;
	int err;

	f->skinny = e->level >= 0 && st->fs->skinny;
	key = item_key(st->fs, e, f->skinny);
	err = bt_search_change(&st->bt, st->fs->extent, &key, intent, bytes, &f->path);
	if (err > 0 && f->skinny) {
		f->skinny = false;
		key = item_key(st->fs, e, false);
		err = bt_search_change(&st->bt, st->fs->extent, &key, intent, bytes, &f->path);
	}
	if (err > 0) {
		bt_path_release(&f->path);
		return msg_corrupt(st->fs->msg,
				   "extent %" PRIu64 " of %" PRIu64
				   " bytes is in use and has no item in the extent tree",
				   e->logical, e->len);
	}
	if (err)
		return err;
	ei = bt_item(&f->path);
	f->start = extent_inline_start(ei, f->skinny);
	if (!!(le64_get(ei->flags) & BTRFS_EXTENT_FLAG_DATA) == (e->level < 0))
		return 0;
	bt_path_release(&f->path);
	return msg_corrupt(st->fs->msg,
			   "extent %" PRIu64 " is used as %s, and its item is of the other kind",
			   e->logical, e->level < 0 ? "data" : "a tree block");
}

/* The extent has references with items of their own: they follow its item at once. */
static bool has_keyed(const struct bt_path *path, uint64_t logical)
{
	const void *leaf = eb_data(path->nodes[0]);
	unsigned next = (unsigned)path->slots[0] + 1;
	struct btrfs_key key;

	if (next < btrfs_header_nritems(leaf))
		key = btrfs_item_key(leaf, next);
	else if (path->live.bounded)
		key = path->live.bound;
	else
		return false;
	return key.objectid == logical && ref_is_key(key.type);
}

static void add_refs(void *item, int64_t n)
{
	struct btrfs_extent_item *ei = item;

	ei->refs = le64_make(le64_get(ei->refs) + (uint64_t)n);
}

int extent_set_flags(struct space_trans *st, const struct extent *e, uint64_t flags)
{
	struct btrfs_extent_item *ei;
	struct found f = { 0 };
	int err = find_item(st, e, BT_UPDATE, 0, &f);

	if (err)
		return err;
	ei = bt_item_mut(&st->bt, &f.path);
	ei->flags = le64_make(le64_get(ei->flags) | flags);
	bt_path_release(&f.path);
	return 0;
}

/* ---- adding ---- */

static int bad_inline(struct space_trans *st, const struct extent *e)
{
	return msg_corrupt(st->fs->msg,
			   "extent %" PRIu64 ": its item's inline references make no sense",
			   e->logical);
}

static int twice(struct space_trans *st, const struct extent *e, const struct ref_name *name)
{
	return msg_corrupt(st->fs->msg,
			   "tree block %" PRIu64 " has the reference (%u %" PRIu64
			   ") already that it is given",
			   e->logical, name->type, name->offset);
}

/* Counts that an item has, and that cannot have come about by counting. */
static int too_many(struct space_trans *st, const struct extent *e, uint64_t has)
{
	return msg_corrupt(st->fs->msg,
			   "extent %" PRIu64 " has %" PRIu64
			   " references, more than there can be, and gets another",
			   e->logical, has);
}

/* The item is found: 0 done; 1: counted, the reference itself needs an item; -errno. */
static int add_to_item(struct space_trans *st, const struct extent *e, const struct ref_name *name,
		       unsigned n, struct found *f)
{
	uint32_t size = bt_item_size(&f->path), extra = btrfs_extent_inline_ref_size(name->type);
	uint64_t refs = le64_get(((const struct btrfs_extent_item *)bt_item(&f->path))->refs);
	uint32_t off;
	uint8_t *item;
	int ret = extent_inline_find(bt_item(&f->path), size, f->start, name, &off);

	if (ret < 0)
		return bad_inline(st, e);
	if (refs > UINT64_MAX - n)
		return too_many(st, e, refs);
	if (ret) {
		if (e->level >= 0)
			return twice(st, e, name);
		if (extent_inline_count(bt_item(&f->path), off) > UINT32_MAX - n)
			return too_many(st, e, extent_inline_count(bt_item(&f->path), off));
		item = bt_item_mut(&st->bt, &f->path);
		extent_inline_set_count(item, off, extent_inline_count(item, off) + n);
		add_refs(item, n);
		return 0;
	}
	if (size + extra >= extent_item_max(st->fs->nodesize) || has_keyed(&f->path, e->logical)) {
		add_refs(bt_item_mut(&st->bt, &f->path), n);
		return 1;
	}
	ret = bt_extend_item(&st->bt, &f->path, extra);
	if (ret)
		return ret;
	item = bt_item_mut(&st->bt, &f->path);
	memmove(item + off + extra, item + off, size - off);
	extent_inline_put(item, off, name, n);
	add_refs(item, n);
	return 0;
}

/* The count in a keyed reference's item. */
static le32 *keyed_count(void *item, uint8_t type)
{
	if (type == BTRFS_EXTENT_DATA_REF_KEY)
		return &((struct btrfs_extent_data_ref *)item)->count;
	return &((struct btrfs_shared_data_ref *)item)->count;
}

/*
 * The key of a reference's own item by looking at all that could be it: colliding hashes take the
 * offsets that follow, and some of those before it may be gone since. 0; 1: there is none; -errno.
 */
static int find_keyed(struct space_fs *fs, uint64_t logical, const struct ref_name *name,
		      struct btrfs_key *out_key)
{
	struct btrfs_key from = ref_item_key(logical, name);
	BT_PATH_CLEANUP struct bt_path path = BT_PATH_INIT;
	int err = bt_search_ge(&fs->extent->root, &from, &path);

	for (; !err; err = bt_next(&path)) {
		*out_key = bt_key(&path);
		if (out_key->objectid != logical || out_key->type != name->type)
			return 1;
		if (name->type != BTRFS_EXTENT_DATA_REF_KEY)
			return out_key->offset != name->offset;
		if (ref_same(&name->ref, bt_item(&path)))
			return 0;
	}
	return err;
}

static int insert_keyed(struct space_trans *st, const struct ref_name *name, struct btrfs_key key,
			unsigned n)
{
	struct btrfs_extent_data_ref d = {
		.root = le64_make(name->ref.root),
		.objectid = le64_make(name->ref.ino),
		.offset = le64_make(name->ref.offset),
		.count = le32_make(n),
	};
	struct btrfs_shared_data_ref s = { .count = le32_make(n) };
	int err;

	switch (name->type) {
	case BTRFS_EXTENT_DATA_REF_KEY:
		do {
			err = bt_insert(&st->bt, st->fs->extent, &key, &d, sizeof(d));
			key.offset++;
		} while (err == -EEXIST);
		return err;
	case BTRFS_SHARED_DATA_REF_KEY:
		return bt_insert(&st->bt, st->fs->extent, &key, &s, sizeof(s));
	default:
		return bt_insert(&st->bt, st->fs->extent, &key, NULL, 0);
	}
}

static int add_keyed(struct space_trans *st, const struct extent *e, const struct ref_name *name,
		     unsigned n)
{
	BT_PATH_CLEANUP struct bt_path path = BT_PATH_INIT;
	struct btrfs_key key = { 0 };
	le32 *count;
	int err = find_keyed(st->fs, e->logical, name, &key);

	if (err > 0)
		return insert_keyed(st, name, ref_item_key(e->logical, name), n);
	if (err)
		return err;
	if (e->level >= 0)
		return twice(st, e, name);
	err = bt_search_change(&st->bt, st->fs->extent, &key, BT_UPDATE, 0, &path);
	if (err)
		return err < 0 ? err : -EUCLEAN;
	count = keyed_count(bt_item_mut(&st->bt, &path), name->type);
	if (le32_get(*count) > UINT32_MAX - n)
		return too_many(st, e, le32_get(*count));
	*count = le32_make(le32_get(*count) + n);
	return 0;
}

int extent_ref_add(struct space_trans *st, const struct extent *e, const struct dref *ref,
		   unsigned n)
{
	struct ref_name name = ref_name_of(e->level < 0, ref);
	struct found f = { 0 };
	int err;

	if (e->level >= 0 && n != 1)
		return twice(st, e, &name);
	err = find_item(st, e, BT_EXTEND, btrfs_extent_inline_ref_size(name.type), &f);
	if (!err)
		err = add_to_item(st, e, &name, n, &f);
	bt_path_release(&f.path);
	return err > 0 ? add_keyed(st, e, &name, n) : err;
}

/* ---- dropping ---- */

static int missing(struct space_trans *st, const struct extent *e, const struct ref_name *name,
		   uint64_t n)
{
	return msg_corrupt(st->fs->msg,
			   "extent %" PRIu64 " loses the reference (%u %" PRIu64 ") %" PRIu64
			   " times and does not have it just so often",
			   e->logical, name->type, name->offset, n);
}

/* `last`: the extent's own item is gone, so that none may be left. */
static int drop_keyed(struct space_trans *st, const struct extent *e, const struct ref_name *name,
		      unsigned n, bool last)
{
	BT_PATH_CLEANUP struct bt_path path = BT_PATH_INIT;
	const uint32_t bytes = sizeof(struct btrfs_item) + sizeof(struct btrfs_extent_data_ref);
	uint32_t has = 1;
	struct btrfs_key key;
	int err = find_keyed(st->fs, e->logical, name, &key);

	if (err > 0)
		return missing(st, e, name, n);
	if (!err)
		err = bt_search_change(&st->bt, st->fs->extent, &key, BT_DELETE, bytes, &path);
	if (err)
		return err < 0 ? err : -EUCLEAN;
	if (e->level < 0)
		has = le32_get(*keyed_count(bt_item_mut(&st->bt, &path), name->type));
	if (has < n || (last && has > n))
		return missing(st, e, name, n);
	if (has == n)
		return bt_delete_items(&st->bt, &path, 1);
	*keyed_count(bt_item_mut(&st->bt, &path), name->type) = le32_make(has - n);
	return 0;
}

/* No reference is left, or only the keyed one that goes after it. */
static int delete_item(struct space_trans *st, const struct extent *e, struct found *f,
		       uint32_t inline_left, bool is_inline)
{
	if (inline_left)
		return msg_corrupt(
			st->fs->msg,
			"extent %" PRIu64
			" has no reference left by its count, and %u bytes of them inline",
			e->logical, inline_left);
	if (is_inline && has_keyed(&f->path, e->logical))
		return msg_corrupt(st->fs->msg,
				   "extent %" PRIu64 " has no reference left by its count, and one "
				   "with an item of its own",
				   e->logical);
	return bt_delete_items(&st->bt, &f->path, 1);
}

/* The item is found: 0 done; 1: counted, the reference has an item of its own; -errno. */
static int drop_from_item(struct space_trans *st, const struct extent *e,
			  const struct ref_name *name, unsigned n, struct found *f,
			  uint64_t *out_left)
{
	uint8_t *item = bt_item_mut(&st->bt, &f->path);
	uint32_t size = bt_item_size(&f->path), len = 0, off, has;
	uint64_t refs = le64_get(((struct btrfs_extent_item *)item)->refs);
	int ret = extent_inline_find(item, size, f->start, name, &off), err;

	if (ret < 0)
		return bad_inline(st, e);
	has = ret ? extent_inline_count(item, off) : n;
	if (has < n || refs < n)
		return missing(st, e, name, n);
	*out_left = refs - n;
	if (ret && has == n)
		len = btrfs_extent_inline_ref_size(name->type);
	if (!*out_left) {
		err = delete_item(st, e, f, size - len - f->start, ret);
		return err ? err : !ret;
	}
	add_refs(item, -(int64_t)n);
	if (ret && len) {
		memmove(item + off, item + off + len, size - off - len);
		bt_truncate_item(&st->bt, &f->path, size - len, false);
	} else if (ret) {
		extent_inline_set_count(item, off, has - n);
	}
	return !ret;
}

int extent_ref_drop(struct space_trans *st, const struct extent *e, const struct dref *ref,
		    unsigned n, uint64_t *out_left)
{
	struct ref_name name = ref_name_of(e->level < 0, ref);
	struct found f = { 0 };
	int err;

	*out_left = 0;
	err = find_item(st, e, BT_DELETE,
			(uint32_t)sizeof(struct btrfs_item) + extent_item_max(st->fs->nodesize),
			&f);
	if (!err)
		err = drop_from_item(st, e, &name, n, &f, out_left);
	bt_path_release(&f.path);
	return err > 0 ? drop_keyed(st, e, &name, n, !*out_left) : err;
}

/* ---- looking ---- */

/* The first of the two kinds of items that an extent can have. 0; 1: none; -errno. */
static int search_item(struct space_fs *fs, uint64_t logical, int level, struct bt_path *path)
{
	struct btrfs_key key = { logical, BTRFS_METADATA_ITEM_KEY, (uint64_t)level };
	int err = 1;

	if (level >= 0 && fs->skinny)
		err = bt_search(&fs->extent->root, &key, path);
	if (err <= 0)
		return err;
	key = (struct btrfs_key){ logical, BTRFS_EXTENT_ITEM_KEY, 0 };
	err = bt_search_ge(&fs->extent->root, &key, path);
	if (err)
		return err;
	key = bt_key(path);
	return key.objectid != logical ||
	       (key.type != BTRFS_EXTENT_ITEM_KEY && key.type != BTRFS_METADATA_ITEM_KEY);
}

int extent_lookup(struct space_fs *fs, uint64_t logical, int level, struct extent_info *out_info)
{
	BT_PATH_CLEANUP struct bt_path path = BT_PATH_INIT;
	const struct btrfs_tree_block_info *info;
	const struct btrfs_extent_item *ei;
	struct btrfs_key key;
	int err = search_item(fs, logical, level, &path);

	*out_info = (struct extent_info){ 0 };
	if (err)
		return err < 0 ? err : -ENOENT;
	key = bt_key(&path);
	ei = bt_item(&path);
	info = (const void *)(ei + 1);
	*out_info = (struct extent_info){
		.refs = le64_get(ei->refs),
		.flags = le64_get(ei->flags),
		.generation = le64_get(ei->generation),
		.len = key.type == BTRFS_EXTENT_ITEM_KEY ? key.offset : fs->nodesize,
		.level = -1,
	};
	/* Data's item has no such info, and may end where it would be. */
	if (!(out_info->flags & BTRFS_EXTENT_FLAG_DATA))
		out_info->level =
			key.type == BTRFS_METADATA_ITEM_KEY ? (int)key.offset : info->level;
	if (level < 0 || out_info->level == level)
		return 0;
	return msg_corrupt(fs->msg, "extent %" PRIu64 " is of level %d, expected %d", logical,
			   out_info->level, level);
}
