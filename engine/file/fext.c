// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Walking a file's extents.
 *
 * Invariants of an iterator:
 * 1. Pieces given out so far end at `pos`, and all items not given out start at or behind it: an item
 *    that starts before is corrupt (overlap).
 * 2. at_item: the path stands on the next item to give out. Otherwise it stands on one that was given
 *    out, or on any item before; the next one is the path's next. beyond: there is none.
 *
 * The block checks have seen each item alone. Here is checked what an item says about two things at
 * once: that a piece lies within the extent it is cut from, and that nothing reaches past 2^64.
 */
#include "engine/file/fext.h"
#include "engine/file/file_priv.h"

#include <string.h>

static int bad_extent(const struct fext_iter *it, uint64_t off, const char *what, uint64_t found,
		      uint64_t limit)
{
	return msg_corrupt(it->fs->msg,
			   "subvolume %llu inode %llu extent at %llu: %s %llu, limit %llu",
			   (unsigned long long)it->root->bt.id, (unsigned long long)it->ino,
			   (unsigned long long)off, what, (unsigned long long)found,
			   (unsigned long long)limit);
}

static int parse_inline(const struct fext_iter *it, const struct btrfs_file_extent_item *fi,
			uint32_t size, struct fext *ext)
{
	uint64_t mask = it->fs->sectorsize - 1;

	ext->type = FEXT_INLINE;
	ext->inline_len = size - (uint32_t)BTRFS_FILE_EXTENT_INLINE_DATA_START;
	ext->inline_data = btrfs_file_extent_inline_data(fi);
	ext->ram_bytes = le64_get(fi->ram_bytes);
	if (ext->ram_bytes > FEXT_MAX_COMPRESSED)
		return bad_extent(it, ext->off, "inline bytes", ext->ram_bytes, FEXT_MAX_COMPRESSED);
	/* It covers whole sectors: what follows starts at a sector's border. */
	ext->len = (ext->ram_bytes + mask) & ~mask;
	return 0;
}

static int parse_regular(const struct fext_iter *it, const struct btrfs_file_extent_item *fi,
			 struct fext *ext)
{
	uint64_t end, ram;

	ext->len = le64_get(fi->num_bytes);
	ext->disk_logical = le64_get(fi->disk_bytenr);
	if (!ext->disk_logical) {
		ext->type = FEXT_HOLE;
		ext->compression = BTRFS_COMPRESS_NONE;
		return 0;
	}
	ext->type = fi->type == BTRFS_FILE_EXTENT_PREALLOC ? FEXT_PREALLOC : FEXT_REG;
	ext->disk_len = le64_get(fi->disk_num_bytes);
	ext->ram_off = le64_get(fi->offset);
	/* Some kernels left a wrong ram_bytes in items without compression, where it has no use. */
	ram = ext->compression ? le64_get(fi->ram_bytes) : ext->disk_len;
	ext->ram_bytes = ram;
	if (ext->compression && ram > FEXT_MAX_COMPRESSED)
		return bad_extent(it, ext->off, "decompressed bytes", ram, FEXT_MAX_COMPRESSED);
	/* None at all is no stream, and no read. (The 0 wraps.) */
	if (ext->compression && ext->disk_len - 1 >= FEXT_MAX_COMPRESSED)
		return bad_extent(it, ext->off, "compressed bytes", ext->disk_len,
				  FEXT_MAX_COMPRESSED);
	if (__builtin_add_overflow(ext->ram_off, ext->len, &end) || end > ram)
		return bad_extent(it, ext->off, "piece's end in its extent", ext->ram_off + ext->len,
				  ram);
	if (__builtin_add_overflow(ext->disk_logical, ext->disk_len, &end))
		return bad_extent(it, ext->off, "logical address", ext->disk_logical,
				  UINT64_MAX - ext->disk_len);
	return 0;
}

/* The item that the path stands on. */
static int parse(const struct fext_iter *it, struct fext *ext)
{
	const struct btrfs_file_extent_item *fi = bt_item(&it->path);
	uint64_t end;
	int err;

	*ext = (struct fext){
		.off = bt_key(&it->path).offset,
		.compression = fi->compression,
		.generation = le64_get(fi->generation),
	};
	if (fi->type == BTRFS_FILE_EXTENT_INLINE)
		err = parse_inline(it, fi, bt_item_size(&it->path), ext);
	else
		err = parse_regular(it, fi, ext);
	if (!err && __builtin_add_overflow(ext->off, ext->len, &end))
		err = bad_extent(it, ext->off, "length", ext->len, UINT64_MAX - ext->off);
	return err;
}

/* After a path has moved: is it still within the file's extents? */
static int arrive(struct fext_iter *it, int ret)
{
	struct btrfs_key key;

	it->at_item = false;
	if (ret < 0)
		return ret;
	if (ret == 0)
		key = bt_key(&it->path);
	if (ret > 0 || key.objectid != it->ino || key.type > BTRFS_EXTENT_DATA_KEY) {
		it->beyond = true;
		return 0;
	}
	it->at_item = key.type == BTRFS_EXTENT_DATA_KEY;
	return 0;
}

static int advance(struct fext_iter *it)
{
	int err = 0;

	/* Usually one step. After fext_begin the path may stand on items that sort before the extents. */
	while (!err && !it->at_item && !it->beyond)
		err = arrive(it, bt_next(&it->path));
	return err;
}

int fext_begin(struct fext_iter *it, struct fs *fs, const struct root *root, uint64_t ino, uint64_t off,
	       uint64_t end)
{
	const struct btrfs_key key = { ino, BTRFS_EXTENT_DATA_KEY, off };
	struct btrfs_key found;
	struct fext ext;
	int ret;

	*it = (struct fext_iter){ .fs = fs, .root = root, .ino = ino, .end = end };
	ret = bt_search_le(&root->bt, &key, &it->path);
	if (ret > 0)
		return arrive(it, bt_search_ge(&root->bt, &key, &it->path));
	if (ret < 0)
		return ret;
	found = bt_key(&it->path);
	if (found.objectid != ino || found.type != BTRFS_EXTENT_DATA_KEY)
		return 0;
	ret = parse(it, &ext);
	if (ret)
		return ret;
	it->at_item = ext.off + ext.len > off;
	it->pos = it->at_item ? ext.off : ext.off + ext.len;
	return 0;
}

static void hole(struct fext_iter *it, uint64_t end, struct fext *out_ext)
{
	*out_ext = (struct fext){ .off = it->pos, .len = end - it->pos, .type = FEXT_HOLE };
	it->pos = end;
}

int fext_next(struct fext_iter *it, struct fext *out_ext)
{
	*out_ext = (struct fext){ 0 };
	while (it->pos < it->end) {
		struct fext ext;
		int err = advance(it);

		if (err)
			return err;
		if (it->beyond) {
			hole(it, it->end, out_ext);
			return 0;
		}
		err = parse(it, &ext);
		if (err)
			return err;
		if (ext.off < it->pos)
			return msg_corrupt(it->fs->msg,
					   "subvolume %llu inode %llu: extent at %llu overlaps the one "
					   "before, which ends at %llu",
					   (unsigned long long)it->root->bt.id,
					   (unsigned long long)it->ino, (unsigned long long)ext.off,
					   (unsigned long long)it->pos);
		if (ext.off > it->pos) {
			hole(it, ext.off < it->end ? ext.off : it->end, out_ext);
			return 0;
		}
		it->at_item = false;
		it->pos += ext.len;
		if (ext.len) {
			*out_ext = ext;
			return 0;
		}
	}
	return 1;
}

void fext_end(struct fext_iter *it)
{
	bt_path_release(&it->path);
}

int64_t fext_seek(struct fs *fs, const struct root *root, const struct ino_attr *attr, uint64_t off,
		  bool want_hole)
{
	uint64_t size = attr->size;
	struct fext_iter it;
	struct fext ext;
	int64_t found = -ENXIO;
	int ret;

	if (off >= size)
		return -ENXIO;
	if (want_hole && attr->nbytes == size && !(attr->flags & BTRFS_INODE_PREALLOC))
		return (int64_t)size;
	ret = fext_begin(&it, fs, root, attr->ino, off, size);
	it.path.readahead = BT_READAHEAD_FORWARD;
	while (!ret && (ret = fext_next(&it, &ext)) == 0) {
		bool is_hole = ext.type == FEXT_HOLE || ext.type == FEXT_PREALLOC;

		if (ext.off + ext.len > off && is_hole == want_hole) {
			found = (int64_t)(ext.off > off ? ext.off : off);
			break;
		}
	}
	fext_end(&it);
	if (ret < 0)
		return ret;
	if (found >= 0 && (uint64_t)found < size)
		return found;
	/* Every file ends in a hole. */
	return want_hole ? (int64_t)size : -ENXIO;
}
