// SPDX-License-Identifier: GPL-2.0-or-later
/* What chunkfs has on its trees against what it has in memory; see chunkfs.h. */
#include "tests/unit/chunkfs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char wrong[4096];

#define WRONG(...) (snprintf(wrong, sizeof(wrong), __VA_ARGS__), wrong)

/* The item's bytes into buf; false if it is not there or of another size. */
static bool item(struct bt_tree *tree, uint64_t objectid, uint8_t type, uint64_t offset, void *buf,
		 uint32_t size)
{
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	struct btrfs_key key = { objectid, type, offset };

	if (bt_search(&tree->root, &key, &path) || bt_item_size(&path) != size)
		return false;
	memcpy(buf, bt_item(&path), size);
	return true;
}

static unsigned count(struct bt_tree *tree, uint8_t type)
{
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	struct btrfs_key key = { 0 };
	unsigned nr = 0;
	int ret;

	for (ret = bt_search_ge(&tree->root, &key, &path); !ret; ret = bt_next(&path))
		nr += bt_key(&path).type == type;
	return nr;
}

static const char *check_chunk(struct chunkfs *f, const struct vol_chunk_info *c,
			       uint64_t *dev_used)
{
	unsigned long long at = c->logical;
	struct btrfs_block_group_item group;
	struct vol_stripe_info s;
	struct btrfs_dev_extent extent;
	struct btrfs_chunk *chunk;
	const struct btrfs_stripe *stripe;
	struct block_group *bg;
	uint8_t buf[512];
	unsigned i;

	if (!item(f->fs.chunk, 256, BTRFS_CHUNK_ITEM_KEY, c->logical, buf,
		  btrfs_chunk_item_size(c->num_stripes)))
		return WRONG("chunk %llu: no item", at);
	chunk = (struct btrfs_chunk *)buf;
	if (le64_get(chunk->length) != c->len || le64_get(chunk->type) != c->type)
		return WRONG("chunk %llu: its item has another length or type", at);
	for (i = 0; vol_chunk_stripe(f->fs.vol, c->logical, i, &s); i++) {
		stripe = btrfs_chunk_stripe(chunk, i);
		if (le64_get(stripe->devid) != s.devid || le64_get(stripe->offset) != s.physical)
			return WRONG("chunk %llu: its item has another stripe %u", at, i);
		if (!item(f->fs.dev, s.devid, BTRFS_DEV_EXTENT_KEY, s.physical, &extent,
			  sizeof(extent)) ||
		    le64_get(extent.chunk_offset) != c->logical || le64_get(extent.length) != s.len)
			return WRONG("chunk %llu: no device extent, or a wrong one, for stripe %u",
				     at, i);
		*dev_used += s.len;
	}
	bg = bg_get(f->fs.bgs, c->logical);
	if (!bg || bg->start != c->logical)
		return WRONG("chunk %llu: no group", at);
	i = item(f->fs.bg, c->logical, BTRFS_BLOCK_GROUP_ITEM_KEY, c->len, &group, sizeof(group)) &&
	    le64_get(group.used) == bg->used && le64_get(group.flags) == c->type;
	bg_put(bg);
	return i ? NULL
		 : WRONG("chunk %llu: no block group item, or it says other than memory", at);
}

static const char *check_sys_array(struct chunkfs *f)
{
	struct btrfs_super_block sb = *vol_super(f->fs.vol);
	const uint8_t *p = sb.sys_chunk_array, *end;
	struct btrfs_check_error err;
	struct vol_chunk_info c;
	unsigned nr = 0;

	if (chunk_sys_array(&f->fs, &sb))
		return WRONG("the array of system chunks cannot be made");
	btrfs_csum(0, (uint8_t *)&sb + BTRFS_CSUM_SIZE, sizeof(sb) - BTRFS_CSUM_SIZE, sb.csum);
	if (btrfs_check_super(&sb, btrfs_sb_offset(0), false, &err))
		return WRONG("superblock with the array: %s", err.reason);
	for (end = p + le32_get(sb.sys_chunk_array_size); p < end; nr++) {
		const struct btrfs_disk_key *key = (const void *)p;
		const struct btrfs_chunk *chunk = (const void *)(key + 1);

		if (!vol_chunk_find(f->fs.vol, le64_get(key->offset), &c) ||
		    c.logical != le64_get(key->offset) || c.len != le64_get(chunk->length))
			return WRONG("the array of system chunks has one that is not there");
		p += sizeof(*key) + btrfs_chunk_item_size(le16_get(chunk->num_stripes));
	}
	return nr == chunkfs_chunks(f, BTRFS_BLOCK_GROUP_SYSTEM)
		       ? NULL
		       : WRONG("the array has %u system chunks of %u", nr,
			       chunkfs_chunks(f, BTRFS_BLOCK_GROUP_SYSTEM));
}

/* What bg_to_text says; the form that free space is kept in is nobody's business. */
static char *groups_text(struct bg_index *bgs)
{
	char *text = NULL, *p, *end;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	bg_to_text(bgs, out);
	fclose(out);
	while ((p = strstr(text, " in ")) && (end = strchr(p, '\n')))
		memmove(p, end, strlen(end) + 1);
	return text;
}

/* Loads all groups anew. */
static const char *reload(struct chunkfs *f, bool fst, char **out_text)
{
	struct space_opts opts = { f->fs.nodesize, 4096, .counters = &f->counters };
	struct space_fs fs = f->fs;
	struct space_info *si;
	struct rsv_set rsv = { 0 };
	int err = space_create(&opts, &fs.sp);

	*out_text = NULL;
	err = err ? err : space_info_create(fs.sp, BTRFS_BLOCK_GROUP_SYSTEM, &si);
	err = err ? err : space_info_create(fs.sp, f->meta->flags, &si);
	if (!err && !f->opts.mixed)
		err = space_info_create(fs.sp, BTRFS_BLOCK_GROUP_DATA, &si);
	if (err)
		abort();
	rsv_set_init(&rsv, fs.sp, fst);
	fs.rsv = &rsv;
	if (bg_index_create(fs.sp, &rsv, &fs.bgs))
		abort();
	if (!fst)
		fs.fst = NULL;
	err = block_groups_load(&fs);
	if (!err)
		*out_text = groups_text(fs.bgs);
	bg_index_destroy(fs.bgs);
	rsv_set_fini(&rsv);
	space_destroy(fs.sp);
	return err ? WRONG("cannot be loaded %s the free-space tree: %s", fst ? "with" : "without",
			   strerror(-err))
		   : NULL;
}

static const char *check_loading(struct chunkfs *f)
{
	char *with = NULL, *without = NULL, *live = groups_text(f->fs.bgs);
	const char *err = reload(f, false, &without);

	if (!err && strcmp(live, without))
		err = WRONG("loaded from extents it is another:\n%s%s", live, without);
	if (!err && f->fs.fst)
		err = reload(f, true, &with);
	if (!err && with && strcmp(live, with))
		err = WRONG("loaded from the free-space tree it is another:\n%s%s", live, with);
	free(live);
	free(with);
	free(without);
	return err;
}

const char *chunkfs_check(struct chunkfs *f)
{
	struct vol_chunk_info c = { 0 };
	unsigned chunks = 0, stripes = 0;
	struct btrfs_dev_item dev;
	struct dev_space *devs;
	uint64_t used = 0;
	const char *err = bg_verify(f->fs.bgs);

	while (!err && vol_chunk_next(f->fs.vol, c.logical + c.len, &c)) {
		err = check_chunk(f, &c, &used);
		chunks++;
		stripes += c.num_stripes;
	}
	for (unsigned i = 0; !err && i < f->trees_nr; i++)
		if (bt_verify(&f->trees[i].root, NULL))
			err = WRONG("tree %llu is damaged",
				    (unsigned long long)f->trees[i].root.id);
	if (!err && (count(f->fs.chunk, BTRFS_CHUNK_ITEM_KEY) != chunks ||
		     count(f->fs.dev, BTRFS_DEV_EXTENT_KEY) != stripes ||
		     count(f->fs.bg, BTRFS_BLOCK_GROUP_ITEM_KEY) != chunks ||
		     (f->fs.fst && count(f->fs.fst, BTRFS_FREE_SPACE_INFO_KEY) != chunks)))
		err = WRONG("there are items of chunks that are not there");
	if (!err && (!item(f->fs.chunk, 1, BTRFS_DEV_ITEM_KEY, 1, &dev, sizeof(dev)) ||
		     le64_get(dev.bytes_used) != used))
		err = WRONG("the device item has %llu bytes used, expected %llu",
			    (unsigned long long)le64_get(dev.bytes_used), (unsigned long long)used);
	if (!err && (!vol_device_item(f->fs.vol, 0, &dev) || le64_get(dev.bytes_used) != used))
		err = WRONG("superblocks would have another device item");
	if (!err)
		err = check_sys_array(f);
	if (!err)
		err = check_loading(f);
	if (!err && dev_space_create(f->fs.vol, f->fs.sp, &devs))
		err = WRONG("chunks overlap on the device");
	else if (!err) {
		uint64_t left = dev_space_unallocated(devs);
		uint64_t known = dev_space_unallocated(f->fs.devs);

		if (f->short_of_memory ? known > left : known != left)
			err = WRONG("unallocated bytes are not what the map leaves");
		dev_space_destroy(devs);
	}
	return err;
}
