// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * load-judge: block groups and device space of an image as the write engine loads them, once by the free-space tree
 * and once by the extent tree alone, which must agree to the byte.
 *
 * usage: load-judge IMAGE...   (exit 1: they disagree, or do not load; 2: cannot look)
 * prints:  TYPE PROFILE TOTAL USED  for each type, then "unallocated BYTES", "groups N", "fst yes|no"
 */
#include "engine/space/chunk.h"
#include "engine/txn/fs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_IMAGES 8

struct judge {
	struct fs fs;
	struct bt_tree chunk, extent, bg, fst;
	bool has_bg, has_fst;
};

static void hear(void *arg, enum msg_level level, const char *text)
{
	if (level <= MSG_WARN)
		fprintf(stderr, "%s\n", text);
}

static int add_sys_chunks(struct fs *fs)
{
	const struct btrfs_super_block *sb = vol_super(fs->vol);
	const uint8_t *p = sb->sys_chunk_array, *end = p + le32_get(sb->sys_chunk_array_size);
	int err = 0;

	while (!err && p < end) {
		const struct btrfs_disk_key *key = (const void *)p;
		const struct btrfs_chunk *chunk = (const void *)(key + 1);

		err = vol_chunk_add(fs->vol, le64_get(key->offset), chunk);
		p += sizeof(*key) + btrfs_chunk_item_size(le16_get(chunk->num_stripes));
	}
	return err;
}

static int add_chunk_tree(struct judge *j)
{
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	struct btrfs_key key = { 0 };
	int ret;

	for (ret = bt_search_ge(&j->chunk.root, &key, &path); !ret; ret = bt_next(&path)) {
		key = bt_key(&path);
		if (key.type == BTRFS_DEV_ITEM_KEY)
			ret = vol_device_add(j->fs.vol, bt_item(&path));
		else if (key.type == BTRFS_CHUNK_ITEM_KEY)
			ret = vol_chunk_add(j->fs.vol, key.offset, bt_item(&path));
		if (ret)
			return ret;
	}
	return ret < 0 ? ret : vol_finish(j->fs.vol);
}

static int open_tree(struct judge *j, uint64_t id, struct bt_tree *tree)
{
	struct root root;
	int err = root_load(&j->fs, id, &root);

	if (!err)
		bt_tree_init(tree, &root.bt);
	return err;
}

static int open_image(struct judge *j, char **paths, unsigned nr)
{
	const struct vol_opts opts = { .super_copy = -1 };
	struct bdev *devs[MAX_IMAGES];
	const struct btrfs_super_block *sb;
	struct fs *fs = &j->fs;
	struct bt_root root = { 0 };
	int err = msg_create(hear, NULL, &fs->msg);

	/* Writable, since what is not is no place for chunks; nothing is written. */
	for (unsigned i = 0; i < nr && !err; i++)
		err = bdev_open(paths[i], 0, BDEV_WRITABLE, BDEV_IO_PREAD, fs->msg, NULL, &devs[i]);
	if (!err)
		err = vol_open(devs, nr, &opts, BDEV_WRITABLE, BDEV_IO_PREAD, fs->msg,
			       &fs->counters, &fs->vol);
	if (!err)
		err = add_sys_chunks(fs);
	if (!err)
		err = eb_cache_create(fs->vol, 32 << 20, 1, &fs->cache);
	/* Live trees are of caches that write. */
	if (!err)
		err = eb_cache_enable_writes(fs->cache, 1, BT_MAX_LEVEL);
	if (err)
		return err;
	sb = vol_super(fs->vol);
	root = (struct bt_root){ fs->cache, BTRFS_CHUNK_TREE_OBJECTID, le64_get(sb->chunk_root),
				 le64_get(sb->chunk_root_generation), sb->chunk_root_level };
	bt_tree_init(&j->chunk, &root);
	err = add_chunk_tree(j);
	fs->tree_root = (struct bt_root){ fs->cache, BTRFS_ROOT_TREE_OBJECTID, le64_get(sb->root),
					  le64_get(sb->generation), sb->root_level };
	if (!err)
		err = open_tree(j, BTRFS_EXTENT_TREE_OBJECTID, &j->extent);
	if (!err) {
		j->has_bg = !open_tree(j, BTRFS_BLOCK_GROUP_TREE_OBJECTID, &j->bg);
		j->has_fst = !open_tree(j, BTRFS_FREE_SPACE_TREE_OBJECTID, &j->fst);
	}
	return err;
}

static int make_infos(struct space *sp, bool mixed)
{
	uint64_t meta = BTRFS_BLOCK_GROUP_METADATA | (mixed ? BTRFS_BLOCK_GROUP_DATA : 0);
	struct space_info *si;
	int err = space_info_create(sp, BTRFS_BLOCK_GROUP_SYSTEM, &si);

	err = err ? err : space_info_create(sp, meta, &si);
	return err || mixed ? err : space_info_create(sp, BTRFS_BLOCK_GROUP_DATA, &si);
}

static void print_type(struct space *sp, uint64_t type)
{
	struct space_info *si = space_info_find(sp, type);

	if (si && si->flags == type)
		printf("%s %s %llu %llu\n", si->name,
		       si->profile & BTRFS_BLOCK_GROUP_DUP ? "DUP" : si->profile ? "other" : "single",
		       (unsigned long long)si->total, (unsigned long long)si->used);
}

static void print_all(const struct space_fs *sfs)
{
	struct block_group *bg, *next;
	unsigned nr = 0;

	for (bg = bg_next(sfs->bgs, 0); bg; bg = next) {
		nr++;
		next = bg_next(sfs->bgs, bg->start + bg->len);
		bg_put(bg);
	}
	print_type(sfs->sp, BTRFS_BLOCK_GROUP_SYSTEM);
	print_type(sfs->sp, BTRFS_BLOCK_GROUP_METADATA);
	print_type(sfs->sp, BTRFS_BLOCK_GROUP_DATA);
	print_type(sfs->sp, BTRFS_BLOCK_GROUP_DATA | BTRFS_BLOCK_GROUP_METADATA);
	printf("unallocated %llu\ngroups %u\n", (unsigned long long)dev_space_unallocated(sfs->devs), nr);
}

/* Loads all; *out_text: the groups, but for the form in which free space is kept. */
static int load(struct judge *j, bool fst, bool print, char **out_text)
{
	const struct btrfs_super_block *sb = vol_super(j->fs.vol);
	uint64_t incompat = le64_get(sb->incompat_flags);
	bool mixed = incompat & BTRFS_FEATURE_INCOMPAT_MIXED_GROUPS;
	struct space_opts opts = { le32_get(sb->nodesize), le32_get(sb->sectorsize),
				   .counters = &j->fs.counters };
	struct rsv_set rsv = { 0 };
	struct space_fs sfs = {
		.rsv = &rsv,
		.vol = j->fs.vol,
		.msg = j->fs.msg,
		.extent = &j->extent,
		.bg = j->has_bg ? &j->bg : &j->extent,
		.fst = fst ? &j->fst : NULL,
		.nodesize = le32_get(sb->nodesize),
		.sectorsize = le32_get(sb->sectorsize),
		.skinny = incompat & BTRFS_FEATURE_INCOMPAT_SKINNY_METADATA,
		.mixed = mixed,
	};
	const char *wrong = NULL;
	char *p, *end;
	size_t size;
	FILE *out;
	int err = space_create(&opts, &sfs.sp);

	err = err ? err : make_infos(sfs.sp, mixed);
	if (err)
		return err;
	rsv_set_init(&rsv, sfs.sp, fst);
	err = bg_index_create(sfs.sp, &rsv, &sfs.bgs);
	err = err ? err : dev_space_create(sfs.vol, sfs.sp, &sfs.devs);
	err = err ? err : block_groups_load(&sfs);
	wrong = err ? NULL : bg_verify(sfs.bgs);
	if (!err && (wrong || sfs.bytes_used != le64_get(sb->bytes_used))) {
		fprintf(stderr, "%s\n", wrong ? wrong : "bytes used are not the superblock's");
		err = -EUCLEAN;
	}
	if (!err) {
		out = open_memstream(out_text, &size);
		bg_to_text(sfs.bgs, out);
		fclose(out);
		while ((p = strstr(*out_text, " in ")) && (end = strchr(p, '\n')))
			memmove(p, end, strlen(end) + 1);
		if (print)
			print_all(&sfs);
	}
	dev_space_destroy(sfs.devs);
	bg_index_destroy(sfs.bgs);
	rsv_set_fini(&rsv);
	space_destroy(sfs.sp);
	return err;
}

int main(int argc, char **argv)
{
	char *with = NULL, *without = NULL;
	struct judge j = { 0 };
	int err;

	if (argc < 2 || argc > MAX_IMAGES + 1)
		return 2;
	if (open_image(&j, argv + 1, (unsigned)argc - 1))
		return 2;
	err = load(&j, false, true, &without);
	if (!err && j.has_fst)
		err = load(&j, true, false, &with);
	printf("fst %s\n", j.has_fst ? "yes" : "no");
	if (!err && with && strcmp(with, without)) {
		fprintf(stderr, "by the free-space tree:\n%sby the extent tree:\n%s", with, without);
		err = 1;
	}
	free(with);
	free(without);
	bt_tree_destroy(&j.chunk);
	bt_tree_destroy(&j.extent);
	if (j.has_bg)
		bt_tree_destroy(&j.bg);
	if (j.has_fst)
		bt_tree_destroy(&j.fst);
	eb_cache_destroy(j.fs.cache);
	vol_close(j.fs.vol);
	msg_destroy(j.fs.msg);
	return err ? 1 : 0;
}
