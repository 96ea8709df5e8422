// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Blocks, trees and chunks for people who debug a filesystem.
 *
 * Blocks are read past the cache: a damaged one is to be seen as it is. Those that a walk has announced
 * (ins_block_prefetch) are read in one batch and kept until asked for.
 */
#include "engine/api/api_priv.h"

#include "engine/inspect.h"
#include "engine/util/fault.h"
#include "engine/volume/raid.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- superblocks ---- */

int ins_super_read_at(const char *path, uint64_t bytenr, struct btrfs_super_block *out_sb)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got;
	int err = 0;

	if (fd < 0)
		return -errno;
	got = pread(fd, out_sb, sizeof(*out_sb), (off_t)bytenr);
	if (got < 0)
		err = -errno;
	else if (got != (ssize_t)sizeof(*out_sb))
		err = -EINVAL;
	close(fd);
	return err;
}

int ins_super_read(const char *path, uint64_t offset, int copy, struct btrfs_super_block *out_sb)
{
	return ins_super_read_at(path, offset + btrfs_sb_offset(copy), out_sb);
}

const struct btrfs_super_block *ins_super(struct eng_fs *efs)
{
	return &efs->fs.super;
}

const struct btrfs_geometry *ins_geometry(struct eng_fs *efs)
{
	return eb_cache_geometry(efs->fs.cache);
}

/* ---- trees ---- */

static void root_from_bt(uint64_t id, const struct bt_root *bt, struct ins_root *out_root)
{
	*out_root = (struct ins_root){ id, bt->bytenr, bt->generation, bt->level };
}

int ins_root(struct eng_fs *efs, uint64_t id, struct ins_root *out_root)
{
	const struct btrfs_super_block *sb = &efs->fs.super;
	struct root root;
	int err;

	memset(out_root, 0, sizeof(*out_root));
	switch (id) {
	case BTRFS_ROOT_TREE_OBJECTID:
		root_from_bt(id, &efs->fs.tree_root, out_root);
		return out_root->bytenr ? 0 : -ENOENT;
	case BTRFS_CHUNK_TREE_OBJECTID:
		root_from_bt(id, &efs->fs.chunk_root, out_root);
		return out_root->bytenr ? 0 : -ENOENT;
	case BTRFS_TREE_LOG_OBJECTID:
		/* The log tree belongs to the transaction after the superblock's. */
		*out_root = (struct ins_root){ id, le64_get(sb->log_root), 0, sb->log_root_level };
		return out_root->bytenr ? 0 : -ENOENT;
	default:
		err = root_load(&efs->fs, id, &root);
		if (!err)
			root_from_bt(id, &root.bt, out_root);
		return err;
	}
}

int ins_items(struct eng_fs *efs, const struct ins_root *root, const struct btrfs_key *from,
	      int (*fn)(void *arg, const struct btrfs_key *key, const void *item, uint32_t len), void *arg)
{
	const struct bt_root bt = {
		.cache = efs->fs.cache,
		.id = root->id,
		.bytenr = root->bytenr,
		.generation = root->generation,
		.level = root->level,
		.any_owner = true,
	};
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	int ret;

	path.readahead = BT_READAHEAD_FORWARD;
	ret = bt_search_ge(&bt, from, &path);
	while (ret == 0) {
		struct btrfs_key key = bt_key(&path);

		ret = fn(arg, &key, bt_item(&path), bt_item_size(&path));
		if (ret)
			return ret;
		ret = bt_next(&path);
	}
	return ret < 0 ? ret : 0;
}

/* ---- blocks ---- */

#define AHEAD_BLOCKS 256

/* One announced batch; its blocks are taken out as they are asked for. */
struct ins_ahead {
	unsigned nr;
	uint32_t nodesize;
	uint64_t logical[AHEAD_BLOCKS];
	int res[AHEAD_BLOCKS];
	char *blocks;
};

void ins_ahead_destroy(struct ins_ahead *a)
{
	if (!a)
		return;
	free(a->blocks);
	free(a);
}

struct check_arg {
	const struct btrfs_geometry *geo;
	const struct btrfs_block_expect *expect;
	struct btrfs_check_error *err;
	bool failed;
};

/* Keeps the first copy's error: it is the one that a person asks about. */
static bool check_copy(void *arg, uint64_t logical, const void *buf, uint32_t unit)
{
	struct check_arg *c = arg;
	struct btrfs_check_error err;

	if (!btrfs_check_block(buf, c->geo, c->expect, &err))
		return true;
	if (!c->failed && c->err)
		*c->err = err;
	c->failed = true;
	return false;
}

static struct ins_ahead *ahead_create(uint32_t nodesize)
{
	struct ins_ahead *a = eng_zalloc(sizeof(*a));

	if (!a)
		return NULL;
	a->nodesize = nodesize;
	a->blocks = eng_memalign(BDEV_ALIGN, (size_t)nodesize * AHEAD_BLOCKS);
	if (!a->blocks) {
		free(a);
		return NULL;
	}
	return a;
}

void ins_block_prefetch(struct eng_fs *efs, const struct btrfs_block_expect *expects, unsigned nr)
{
	struct vol_io *ios = eng_calloc(nr ? nr : 1, sizeof(*ios));
	struct ins_ahead *a;

	pthread_mutex_lock(&efs->lock);
	if (!efs->ahead)
		efs->ahead = ahead_create(efs->fs.nodesize);
	a = efs->ahead;
	if (a && ios) {
		a->nr = nr < AHEAD_BLOCKS ? nr : AHEAD_BLOCKS;
		for (unsigned i = 0; i < a->nr; i++) {
			ios[i].logical = a->logical[i] = expects[i].logical;
			ios[i].buf = a->blocks + (size_t)i * a->nodesize;
			ios[i].len = ios[i].unit = a->nodesize;
		}
		if (vol_read_many(efs->fs.vol, ios, a->nr))
			msg_debug(efs->fs.msg, "some blocks could not be read ahead");
		for (unsigned i = 0; i < a->nr; i++)
			a->res[i] = ios[i].res;
	}
	pthread_mutex_unlock(&efs->lock);
	free(ios);
}

/* True if the block was announced and its first copy is good. */
static bool take_ahead(struct eng_fs *efs, const struct btrfs_block_expect *expect, void *buf)
{
	struct btrfs_check_error err;
	bool found = false;
	struct ins_ahead *a;

	pthread_mutex_lock(&efs->lock);
	a = efs->ahead;
	for (unsigned i = 0; a && i < a->nr && !found; i++) {
		if (a->logical[i] != expect->logical || a->res[i])
			continue;
		memcpy(buf, a->blocks + (size_t)i * a->nodesize, a->nodesize);
		found = true;
	}
	pthread_mutex_unlock(&efs->lock);
	return found && !btrfs_check_block(buf, ins_geometry(efs), expect, &err);
}

int ins_block_read(struct eng_fs *efs, const struct btrfs_block_expect *expect, void *buf,
		   struct btrfs_check_error *err)
{
	struct check_arg c = { ins_geometry(efs), expect, err, false };
	int ret;

	if (take_ahead(efs, expect, buf))
		return 0;
	ret = vol_read(efs->fs.vol, expect->logical, buf, efs->fs.nodesize, efs->fs.nodesize, check_copy, &c,
		       NULL);
	if (ret == -EUCLEAN && vol_read_copy(efs->fs.vol, expect->logical, buf, efs->fs.nodesize, 1))
		return -EIO;
	return ret;
}

int ins_block_read_copy(struct eng_fs *efs, uint64_t logical, int copy, void *buf, uint32_t len)
{
	return vol_read_copy(efs->fs.vol, logical, buf, len, copy);
}

int ins_copies(struct eng_fs *efs, uint64_t logical)
{
	return vol_copies(efs->fs.vol, logical);
}

/* ---- space ---- */

bool ins_chunk(struct eng_fs *efs, unsigned index, struct ins_chunk *out_chunk)
{
	struct vol_chunk_info info;
	const struct raid_profile *p;

	if (!vol_chunk_get(efs->fs.vol, index, &info))
		return false;
	p = raid_profile(info.type);
	*out_chunk = (struct ins_chunk){
		.logical = info.logical,
		.len = info.len,
		.type = info.type,
		.num_stripes = info.num_stripes,
		.sub_stripes = info.sub_stripes,
		.profile = p ? p->name : "unknown",
		.copies = p ? p->copies : 1,
		.data_stripes = p ? raid_data_stripes(p, info.num_stripes, info.sub_stripes) : 1,
	};
	return true;
}

int ins_block_group_used(struct eng_fs *efs, uint64_t logical, uint64_t *out_used)
{
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	struct vol_chunk_info chunk;
	struct btrfs_key key;
	const struct btrfs_block_group_item *item;
	int ret;

	*out_used = 0;
	if (!efs->fs.bg_root.bytenr)
		return -ENXIO;
	if (!vol_chunk_find(efs->fs.vol, logical, &chunk))
		return -ENOENT;
	key = (struct btrfs_key){ chunk.logical, BTRFS_BLOCK_GROUP_ITEM_KEY, chunk.len };
	ret = bt_search(&efs->fs.bg_root, &key, &path);
	if (ret)
		return ret < 0 ? ret : -ENOENT;
	item = bt_item(&path);
	*out_used = le64_get(item->used);
	return 0;
}

struct map_arg {
	int (*fn)(void *arg, const struct ins_place *place);
	void *arg;
};

static int map_piece(void *arg, const struct vol_place *p)
{
	struct map_arg *m = arg;
	const struct ins_place place = { p->logical, p->len, p->copy, p->devid, p->physical, p->missing };

	return m->fn(m->arg, &place);
}

int ins_map(struct eng_fs *efs, uint64_t logical, uint64_t len,
	    int (*fn)(void *arg, const struct ins_place *place), void *arg)
{
	struct map_arg m = { fn, arg };

	return vol_map(efs->fs.vol, logical, len, map_piece, &m);
}
