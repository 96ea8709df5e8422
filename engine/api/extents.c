// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A file's extents with who else uses them.
 *
 * An extent is shared if its item names another file, or if any block on the way down to the file's own
 * extent item is used by more than one tree: a snapshot shares blocks long before it shares references.
 */
#include "engine/api/api_priv.h"

#include "engine/inspect.h"

/* References by an EXTENT_DATA_REF that is not this file's, or by a shared block. */
static bool foreign_ref(uint8_t type, const void *body, uint64_t root, uint64_t ino)
{
	const struct btrfs_extent_data_ref *ref = body;

	if (type == BTRFS_SHARED_DATA_REF_KEY)
		return true;
	return type == BTRFS_EXTENT_DATA_REF_KEY &&
	       (le64_get(ref->root) != root || le64_get(ref->objectid) != ino);
}

static bool inline_foreign(const struct btrfs_extent_item *item, uint32_t len, uint64_t root, uint64_t ino)
{
	const uint8_t *p = (const uint8_t *)(item + 1);
	const uint8_t *end = (const uint8_t *)item + len;

	while (p < end) {
		const struct btrfs_extent_inline_ref *ref = (const void *)p;
		uint32_t size = btrfs_extent_inline_ref_size(ref->type);
		/* Its own key's fields take the place of the offset. */
		const void *body = ref->type == BTRFS_EXTENT_DATA_REF_KEY ? (const void *)&ref->offset :
									     (const void *)(ref + 1);

		if (!size)
			return false;
		if (foreign_ref(ref->type, body, root, ino))
			return true;
		p += size;
	}
	return false;
}

/* References of a data extent, and whether one of them is foreign. -ENOENT: no item, or not one of data. */
static int data_refs(struct fs *fs, uint64_t logical, uint64_t len, uint64_t root, uint64_t ino,
		     uint64_t *out_refs, bool *out_foreign)
{
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	const struct btrfs_key want = { logical, BTRFS_EXTENT_ITEM_KEY, len };
	const struct btrfs_extent_item *item;
	int ret = bt_search(&fs->extent_root, &want, &path);

	if (ret)
		return ret < 0 ? ret : -ENOENT;
	item = bt_item(&path);
	/* A tree block's item has other things behind its head. */
	if (!(le64_get(item->flags) & BTRFS_EXTENT_FLAG_DATA))
		return -ENOENT;
	*out_refs = le64_get(item->refs);
	*out_foreign = inline_foreign(item, bt_item_size(&path), root, ino);
	for (ret = bt_next(&path); ret == 0 && !*out_foreign; ret = bt_next(&path)) {
		struct btrfs_key key = bt_key(&path);

		if (key.objectid != logical || key.type > BTRFS_SHARED_DATA_REF_KEY)
			break;
		*out_foreign = foreign_ref(key.type, bt_item(&path), root, ino);
	}
	return ret < 0 ? ret : 0;
}

/* References of a metadata block; 0 if it has no item. */
static int block_refs(struct fs *fs, uint64_t logical, uint64_t *out_refs)
{
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	/* METADATA_ITEM and EXTENT_ITEM sort side by side; either is the last at or below this key. */
	const struct btrfs_key want = { logical, BTRFS_METADATA_ITEM_KEY, UINT64_MAX };
	int ret = bt_search_le(&fs->extent_root, &want, &path);
	struct btrfs_key key;

	*out_refs = 0;
	if (ret)
		return ret < 0 ? ret : 0;
	key = bt_key(&path);
	if (key.objectid == logical &&
	    (key.type == BTRFS_METADATA_ITEM_KEY || key.type == BTRFS_EXTENT_ITEM_KEY))
		*out_refs = le64_get(((const struct btrfs_extent_item *)bt_item(&path))->refs);
	return 0;
}

/* True (1) if a block between the root and the item's leaf has several users. */
static int path_shared(struct fs *fs, const struct root *root, uint64_t ino, uint64_t off, uint64_t *leaf,
		       int *leaf_shared)
{
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	const struct btrfs_key key = { ino, BTRFS_EXTENT_DATA_KEY, off };
	uint64_t blocks[BT_MAX_LEVEL];
	unsigned nr = 0;
	int ret = bt_search_le(&root->bt, &key, &path);
	int shared = 0;

	if (ret)
		return ret < 0 ? ret : 0;
	while (nr < BT_MAX_LEVEL && path.nodes[nr]) {
		blocks[nr] = eb_logical(path.nodes[nr]);
		nr++;
	}
	/* The caller's walk and the searches below are the two paths that a thread may hold. */
	bt_path_release(&path);
	if (blocks[0] == *leaf)
		return *leaf_shared;
	for (unsigned i = 0; i < nr && !shared; i++) {
		uint64_t refs;

		ret = block_refs(fs, blocks[i], &refs);
		if (ret)
			return ret;
		shared = refs > 1;
	}
	*leaf = blocks[0];
	*leaf_shared = shared;
	return shared;
}

static int fill_sharing(struct fs *fs, const struct root *root, uint64_t ino, struct ins_extent *e,
			uint64_t *leaf, int *leaf_shared)
{
	bool foreign = false;
	int ret;

	if ((e->type != INS_REG && e->type != INS_PREALLOC) || !fs->extent_root.bytenr)
		return 0;
	ret = data_refs(fs, e->disk_logical, e->disk_len, root->bt.id, ino, &e->refs, &foreign);
	if (ret)
		return ret == -ENOENT ? 0 : ret;
	ret = foreign ? 1 : path_shared(fs, root, ino, e->off, leaf, leaf_shared);
	e->shared = ret > 0;
	return ret < 0 ? ret : 0;
}

int ins_extents(struct eng_fs *efs, struct eng_ino id, int (*fn)(void *arg, const struct ins_extent *e),
		void *arg)
{
	struct fs *fs = &efs->fs;
	const struct root *root;
	struct fext_iter it;
	struct ino_attr attr;
	struct fext x;
	uint64_t leaf = 0;
	int leaf_shared = 0;
	int ret = root_get(fs, id.subvol, &root);

	if (!ret)
		ret = ino_load(fs, root, id.ino, &attr);
	if (ret)
		return ret;
	ret = fext_begin(&it, fs, root, id.ino, 0, UINT64_MAX);
	while (!ret && (ret = fext_next(&it, &x)) == 0) {
		struct ins_extent e = {
			.off = x.off,
			.len = x.len,
			.type = x.type == FEXT_HOLE ? INS_HOLE :
				x.type == FEXT_INLINE ? INS_INLINE :
				x.type == FEXT_REG ? INS_REG : INS_PREALLOC,
			.compression = x.compression,
			.generation = x.generation,
			.disk_logical = x.disk_logical,
			.disk_len = x.disk_len,
			.ram_bytes = x.ram_bytes,
			.ram_off = x.ram_off,
		};

		/* Prealloc past the end counts; the endless hole after the last item does not. */
		if (e.type == INS_HOLE && e.len > attr.size - (e.off < attr.size ? e.off : attr.size))
			e.len = attr.size - (e.off < attr.size ? e.off : attr.size);
		if (!e.len)
			continue;
		ret = fill_sharing(fs, root, id.ino, &e, &leaf, &leaf_shared);
		if (!ret)
			ret = fn(arg, &e);
		if (ret)
			break;
	}
	fext_end(&it);
	return ret == 1 ? 0 : ret;
}
