// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * lab_verify: reads the last committed state whole and holds its trees against each other; and, of
 * a filesystem that may change, the counters in memory against themselves.
 *
 *   commit → superblock → extent tree and block groups into memory → all trees, each block once →
 * every reference counted → block groups, free space, chunks, devices
 *
 * It is not the code that writes, and shares of it only reading. If a commit comes in between, what
 * was read may be gone: then it is done again. What back references say beyond their number is not
 * looked at.
 */
#include "engine/api/verify_priv.h"

#include "engine/api/api_priv.h"
#include "engine/lab.h"
#include "engine/util/fault.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VERIFY_TRIES 20

int vf_wrong(struct verify *v, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (!v->what[0])
		vsnprintf(v->what, sizeof(v->what), fmt, ap);
	va_end(ap);
	return -EUCLEAN;
}

int vf_items(struct verify *v, const struct bt_root *root,
	     int (*fn)(struct verify *v, const struct bt_path *path))
{
	const struct btrfs_key first = { 0 };
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	int ret;

	if (!root->bytenr)
		return 0;
	path.readahead = BT_READAHEAD_FORWARD;
	ret = bt_search_ge(root, &first, &path);
	while (!ret) {
		ret = fn(v, &path);
		if (ret)
			return ret;
		ret = bt_next(&path);
	}
	return ret < 0 ? ret : 0;
}

int vf_room(void **array, size_t nr, size_t *max, size_t size)
{
	size_t more = *max ? 2 * *max : 256;
	void *p;

	if (nr < *max)
		return 0;
	p = eng_realloc(*array, more * size);
	if (!p)
		return -ENOMEM;
	*array = p;
	*max = more;
	return 0;
}

static int note_group(struct verify *v, const struct btrfs_key *key, const void *item)
{
	const struct btrfs_block_group_item *bgi = item;
	int err = vf_room((void **)&v->groups, v->nr_groups, &v->max_groups, sizeof(*v->groups));

	if (err)
		return err;
	v->groups[v->nr_groups++] = (struct vf_group){
		.start = key->objectid,
		.len = key->offset,
		.used = le64_get(bgi->used),
		.flags = le64_get(bgi->flags),
	};
	return 0;
}

static uint64_t ref_count(unsigned type, const void *body)
{
	switch (type) {
	case BTRFS_EXTENT_DATA_REF_KEY:
		return le32_get(((const struct btrfs_extent_data_ref *)body)->count);
	case BTRFS_SHARED_DATA_REF_KEY:
		return le32_get(((const struct btrfs_shared_data_ref *)body)->count);
	default:
		return type == BTRFS_TREE_BLOCK_REF_KEY || type == BTRFS_SHARED_BLOCK_REF_KEY;
	}
}

/* References by those that are in the item itself. */
static uint64_t inline_count(const struct bt_path *path)
{
	const struct btrfs_extent_item *ei = bt_item(path);
	const uint8_t *p = (const uint8_t *)(ei + 1),
		      *end = (const uint8_t *)ei + bt_item_size(path);
	uint64_t sum = 0;

	if (bt_key(path).type == BTRFS_EXTENT_ITEM_KEY &&
	    le64_get(ei->flags) & BTRFS_EXTENT_FLAG_TREE_BLOCK)
		p += sizeof(struct btrfs_tree_block_info);
	while (p < end) {
		const struct btrfs_extent_inline_ref *ref = (const void *)p;
		uint32_t size = btrfs_extent_inline_ref_size(ref->type);

		if (!size)
			break;
		/* A key by names takes the place of the offset. */
		sum += ref_count(ref->type, ref->type == BTRFS_EXTENT_DATA_REF_KEY
						    ? (const void *)&ref->offset
						    : (const void *)(ref + 1));
		p += size;
	}
	return sum;
}

/* A back reference with an item of its own: it follows the extent's. */
static int note_ref(struct verify *v, const struct btrfs_key *key, const void *item)
{
	struct vf_extent *last = v->nr_extents ? &v->extents[v->nr_extents - 1] : NULL;
	uint64_t nr = ref_count(key->type, item);

	if (!nr)
		return 0;
	if (!last || last->start != key->objectid)
		return vf_wrong(v, "a back reference for %llu, where there is no extent",
				(unsigned long long)key->objectid);
	last->named += nr;
	return 0;
}

static int note_extent(struct verify *v, const struct bt_path *path)
{
	struct btrfs_key key = bt_key(path);
	const struct btrfs_extent_item *ei;
	int err;

	if (key.type == BTRFS_BLOCK_GROUP_ITEM_KEY)
		return note_group(v, &key, bt_item(path));
	if (key.type != BTRFS_EXTENT_ITEM_KEY && key.type != BTRFS_METADATA_ITEM_KEY)
		return note_ref(v, &key, bt_item(path));
	err = vf_room((void **)&v->extents, v->nr_extents, &v->max_extents, sizeof(*v->extents));
	if (err)
		return err;
	ei = bt_item(path);
	v->extents[v->nr_extents++] = (struct vf_extent){
		.start = key.objectid,
		.len = key.type == BTRFS_METADATA_ITEM_KEY ? v->fs->nodesize : key.offset,
		.refs = le64_get(ei->refs),
		.flags = le64_get(ei->flags),
		.named = inline_count(path),
	};
	return 0;
}

static struct bt_root still_root(struct verify *v, uint64_t id, uint64_t bytenr,
				 uint64_t generation, unsigned level)
{
	return (struct bt_root){
		.cache = v->fs->cache,
		.id = id,
		.bytenr = bytenr,
		.generation = generation,
		.level = (uint8_t)level,
	};
}

static int note_root(struct verify *v, const struct bt_path *path)
{
	struct btrfs_key key = bt_key(path);
	const struct btrfs_root_item *ri = bt_item(path);
	struct bt_root *to;

	if (key.type != BTRFS_ROOT_ITEM_KEY)
		return 0;
	switch (key.objectid) {
	case BTRFS_EXTENT_TREE_OBJECTID:
		to = &v->extent_root;
		break;
	case BTRFS_DEV_TREE_OBJECTID:
		to = &v->dev_root;
		break;
	case BTRFS_BLOCK_GROUP_TREE_OBJECTID:
		to = &v->bg_root;
		break;
	case BTRFS_FREE_SPACE_TREE_OBJECTID:
		to = &v->fst_root;
		break;
	default:
		return 0;
	}
	*to = still_root(v, key.objectid, le64_get(ri->bytenr), le64_get(ri->generation),
			 ri->level);
	return 0;
}

static int read_all(struct verify *v)
{
	const struct btrfs_super_block *sb = &v->sb;
	int err;

	v->tree_root = still_root(v, BTRFS_ROOT_TREE_OBJECTID, le64_get(sb->root),
				  le64_get(sb->generation), sb->root_level);
	v->chunk_root = still_root(v, BTRFS_CHUNK_TREE_OBJECTID, le64_get(sb->chunk_root),
				   le64_get(sb->chunk_root_generation), sb->chunk_root_level);
	err = vf_items(v, &v->tree_root, note_root);
	if (!err && !v->extent_root.bytenr)
		err = vf_wrong(v, "there is no extent tree");
	if (!err)
		err = vf_items(v, &v->extent_root, note_extent);
	if (!err)
		err = vf_items(v, &v->bg_root, note_extent);
	if (!err)
		err = vf_trees(v);
	if (!err)
		err = vf_space(v);
	return err;
}

static void super_of(struct fs *fs, struct btrfs_super_block *out_sb)
{
	if (fs->txn)
		txn_super(fs, out_sb);
	else
		*out_sb = fs->super;
}

/* Once; -EAGAIN: somebody has committed meanwhile. */
static int look(struct fs *fs)
{
	struct verify v = { .fs = fs };
	struct btrfs_super_block after;
	int err = 0;

	/* Empty block groups go now, and not while everything is looked at. */
	if (fs->txn)
		err = txn_sync(fs) ?: txn_clean(fs) ?: txn_sync(fs);
	if (err)
		return err;
	super_of(fs, &v.sb);
	err = read_all(&v);
	super_of(fs, &after);
	if (le64_get(after.generation) != le64_get(v.sb.generation))
		err = -EAGAIN;
	else if (v.what[0])
		err = msg_corrupt(fs->msg, "verify: generation %llu: %s",
				  (unsigned long long)le64_get(v.sb.generation), v.what);
	free(v.extents);
	free(v.groups);
	return err;
}

/* What is promised and placed, in memory. */
static int look_at_counters(struct fs *fs)
{
	static const uint64_t types[] = { BTRFS_BLOCK_GROUP_DATA, BTRFS_BLOCK_GROUP_METADATA,
					  BTRFS_BLOCK_GROUP_SYSTEM };
	struct space_fs *sfs = txn_space(fs);
	const char *what = bg_verify(sfs->bgs);

	for (size_t i = 0; !what && i < sizeof(types) / sizeof(types[0]); i++) {
		struct space_info *si = space_info_find(sfs->sp, types[i]);

		if (si)
			what = space_info_verify(si);
	}
	return what ? msg_corrupt(fs->msg, "verify: in memory: %s", what) : 0;
}

int lab_verify(struct eng_fs *efs)
{
	struct fs *fs = &efs->fs;
	int err = -EAGAIN;

	for (unsigned i = 0; err == -EAGAIN && i < VERIFY_TRIES; i++)
		err = look(fs);
	if (!err && fs->txn)
		err = look_at_counters(fs);
	return err;
}

int lab_writeback(struct eng_fs *efs, unsigned max)
{
	return efs->fs.txn ? txn_writeback(&efs->fs, max) : 0;
}
