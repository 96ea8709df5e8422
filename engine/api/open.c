// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Opening a filesystem: devices, superblock, chunk map, global trees, default subvolume, in this order,
 * because each needs the one before.
 *
 * 1. A failed open has said exactly one MSG_ERR line, whose site is where it failed, and leaves nothing.
 * 2. Under `partial` everything past the superblock is best effort: what cannot be opened is warned of.
 * 3. A log tree is neither replayed nor cleared: a reader shows the last committed state, a writer is refused.
 */
#include "engine/api/api_priv.h"

#include "engine/util/fault.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_METADATA_CACHE (64ull << 20)
#define DEFAULT_READAHEAD (32ull << 20)
#define MAX_WORKERS 8

/* What a step that failed means: under `partial` it is said and passed over. */
static int or_partial(struct eng_fs *efs, int err, const char *what)
{
	if (!err || !efs->partial)
		return err;
	msg_warn(efs->fs.msg, "cannot open %s (%s): going on without", what, strerror(-err));
	return 0;
}

/* The chunks that the superblock carries, without which the chunk tree could not be read. */
static int load_sys_chunks(struct fs *fs)
{
	const struct btrfs_super_block *sb = &fs->super;
	const uint8_t *p = sb->sys_chunk_array;
	const uint8_t *end = p + le32_get(sb->sys_chunk_array_size);

	/* btrfs_check_super has checked the array's shape and its chunks. */
	while (p < end) {
		const struct btrfs_disk_key *key = (const void *)p;
		const struct btrfs_chunk *chunk = (const void *)(key + 1);
		int err = vol_chunk_add(fs->vol, le64_get(key->offset), chunk);

		if (err)
			return err;
		p += sizeof(*key) + btrfs_chunk_item_size(le16_get(chunk->num_stripes));
	}
	return 0;
}

static struct bt_root make_root(struct fs *fs, uint64_t id, uint64_t bytenr, uint64_t generation,
				uint8_t level)
{
	return (struct bt_root){
		.cache = fs->cache,
		.id = id,
		.bytenr = bytenr,
		.generation = generation,
		.level = level,
	};
}

static struct btrfs_block_expect root_expect(const struct bt_root *root)
{
	return (struct btrfs_block_expect){
		.logical = root->bytenr,
		.generation = root->generation,
		.owner = root->any_owner ? 0 : root->id,
		.level = root->level,
	};
}

/* Reads the top block, so that a root that cannot be used is known at once. */
static int probe_root(const struct bt_root *root)
{
	struct btrfs_block_expect expect = root_expect(root);
	struct eb *eb;
	int err = eb_get(root->cache, &expect, &eb);

	if (!err)
		eb_put(eb);
	return err;
}

/* Blocks from before a filesystem grew out of a seed carry the seed's fsid, as its device items do. */
static int note_seed(struct fs *fs, const struct btrfs_dev_item *item)
{
	struct btrfs_geometry *geo = eb_cache_geometry(fs->cache);
	uint8_t(*more)[16];

	if (!memcmp(item->fsid, geo->fsid, 16))
		return 0;
	for (unsigned i = 0; i < geo->seed_fsids_nr; i++)
		if (!memcmp(item->fsid, geo->seed_fsids[i], 16))
			return 0;
	more = eng_realloc(fs->seed_fsids, (geo->seed_fsids_nr + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	memcpy(more[geo->seed_fsids_nr++], item->fsid, 16);
	fs->seed_fsids = more;
	geo->seed_fsids = (const uint8_t(*)[16])more;
	return 0;
}

static int add_device(struct fs *fs, const struct btrfs_dev_item *item)
{
	int err = note_seed(fs, item);

	return err ? err : vol_device_add(fs->vol, item);
}

static int load_chunk_tree(struct fs *fs)
{
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	struct btrfs_key key = { 0 };
	int ret;

	fs->chunk_root = make_root(fs, BTRFS_CHUNK_TREE_OBJECTID, le64_get(fs->super.chunk_root),
				   le64_get(fs->super.chunk_root_generation),
				   fs->super.chunk_root_level);
	path.readahead = BT_READAHEAD_FORWARD;
	ret = bt_search_ge(&fs->chunk_root, &key, &path);
	while (ret == 0) {
		key = bt_key(&path);
		if (key.type == BTRFS_DEV_ITEM_KEY)
			ret = add_device(fs, bt_item(&path));
		else if (key.type == BTRFS_CHUNK_ITEM_KEY)
			ret = vol_chunk_add(fs->vol, key.offset, bt_item(&path));
		if (ret == 0)
			ret = bt_next(&path);
	}
	return ret < 0 ? ret : 0;
}

/* The root tree by the superblock, or by one of its backups, newest first. */
static int load_root_tree(struct fs *fs)
{
	const struct btrfs_super_block *sb = &fs->super;
	uint64_t newest = UINT64_MAX;
	int err;

	fs->tree_root = make_root(fs, BTRFS_ROOT_TREE_OBJECTID, le64_get(sb->root),
				  le64_get(sb->generation), sb->root_level);
	err = probe_root(&fs->tree_root);
	if (!err || !(fs->rescue & ENG_RESCUE_USEBACKUPROOT))
		return err;
	for (int tries = 0; tries < BTRFS_NUM_BACKUP_ROOTS; tries++) {
		const struct btrfs_root_backup *best = NULL;

		for (int i = 0; i < BTRFS_NUM_BACKUP_ROOTS; i++) {
			const struct btrfs_root_backup *b = &sb->super_roots[i];
			uint64_t gen = le64_get(b->tree_root_gen);

			if (le64_get(b->tree_root) && gen < newest &&
			    (!best || gen > le64_get(best->tree_root_gen)))
				best = b;
		}
		if (!best)
			break;
		newest = le64_get(best->tree_root_gen);
		fs->tree_root = make_root(fs, BTRFS_ROOT_TREE_OBJECTID, le64_get(best->tree_root), newest,
					  best->tree_root_level);
		err = best->tree_root_level < BT_MAX_LEVEL ? probe_root(&fs->tree_root) : -EUCLEAN;
		if (!err) {
			msg_warn(fs->msg, "using the backup root of generation %llu at %llu",
				 (unsigned long long)newest, (unsigned long long)fs->tree_root.bytenr);
			return 0;
		}
	}
	return err;
}

struct global_tree {
	uint64_t id;
	const char *name;
	size_t offset;            /* of its bt_root in struct fs */
	bool required;
	uint64_t compat_ro, incompat; /* features that make it required */
};

static const struct global_tree global_trees[] = {
	{ BTRFS_EXTENT_TREE_OBJECTID, "the extent tree", offsetof(struct fs, extent_root), true },
	{ BTRFS_DEV_TREE_OBJECTID, "the device tree", offsetof(struct fs, dev_root), true },
	{ BTRFS_CSUM_TREE_OBJECTID, "the checksum tree", offsetof(struct fs, csum_root), true },
	{ BTRFS_UUID_TREE_OBJECTID, "the uuid tree", offsetof(struct fs, uuid_root), false },
	{ BTRFS_QUOTA_TREE_OBJECTID, "the quota tree", offsetof(struct fs, quota_root), false },
	{ BTRFS_FREE_SPACE_TREE_OBJECTID, "the free space tree", offsetof(struct fs, fst_root), false,
	  .compat_ro = BTRFS_FEATURE_COMPAT_RO_FREE_SPACE_TREE },
	{ BTRFS_BLOCK_GROUP_TREE_OBJECTID, "the block group tree", offsetof(struct fs, bg_root), false,
	  .compat_ro = BTRFS_FEATURE_COMPAT_RO_BLOCK_GROUP_TREE },
	{ BTRFS_RAID_STRIPE_TREE_OBJECTID, "the raid stripe tree", offsetof(struct fs, stripe_root), false,
	  .incompat = BTRFS_FEATURE_INCOMPAT_RAID_STRIPE_TREE },
};

/* What reading cannot do without, and what a damaged filesystem may lack under rescue=ignorebadroots. */
static int load_global_tree(struct eng_fs *efs, const struct global_tree *g)
{
	struct fs *fs = &efs->fs;
	struct bt_root *slot = (struct bt_root *)((char *)fs + g->offset);
	bool required = g->required || (g->compat_ro & le64_get(fs->super.compat_ro_flags)) ||
			(g->incompat & le64_get(fs->super.incompat_flags));
	struct root root;
	int err = root_load(fs, g->id, &root);

	if (PLANTED("open_optional_trees"))
		required = g->required;
	if (!err) {
		*slot = root.bt;
		err = probe_root(slot);
	}
	if (!err || (err == -ENOENT && !required))
		return 0;
	*slot = (struct bt_root){ 0 };
	if (err == -ENOMEM)
		return err;
	if (!required || (fs->rescue & ENG_RESCUE_IGNOREBADROOTS)) {
		msg_warn(fs->msg, "%s cannot be read (%s): going on without", g->name, strerror(-err));
		if (g->id == BTRFS_CSUM_TREE_OBJECTID)
			fs->rescue |= ENG_RESCUE_IGNOREDATACSUMS;
		return 0;
	}
	return or_partial(efs, err, g->name);
}

static int load_global_trees(struct eng_fs *efs)
{
	struct fs *fs = &efs->fs;

	for (unsigned i = 0; i < sizeof(global_trees) / sizeof(global_trees[0]); i++) {
		int err = load_global_tree(efs, &global_trees[i]);

		if (err) {
			msg_err(fs->msg, "cannot read %s (%s); rescue=ignorebadroots goes on without",
				global_trees[i].name, strerror(-err));
			return err;
		}
	}
	if (!fs->bg_root.bytenr)
		fs->bg_root = fs->extent_root;
	return 0;
}

/* The DIR_ITEM "default" of the root tree's directory names the default subvolume. */
static int load_default_subvol(struct eng_fs *efs)
{
	const struct root tree_root = {
		.bt = efs->fs.tree_root,
		.root_dirid = le64_get(efs->fs.super.root_dir_objectid),
	};
	struct dir_target target;
	int err = dir_lookup(&efs->fs, &tree_root, tree_root.root_dirid, "default", 7, &target);

	efs->default_subvol = BTRFS_FS_TREE_OBJECTID;
	if (!err && target.is_subvol)
		efs->default_subvol = target.id;
	return err == -ENOENT ? 0 : err;
}

static int load_trees(struct eng_fs *efs)
{
	struct fs *fs = &efs->fs;
	const struct root *top;
	int err;

	err = or_partial(efs, load_root_tree(fs), "the root tree");
	if (err) {
		msg_err(fs->msg, "cannot read the root tree at %llu (%s); rescue=usebackuproot tries older ones",
			(unsigned long long)le64_get(fs->super.root), strerror(-err));
		return err;
	}
	err = load_global_trees(efs);
	if (err)
		return err;
	err = or_partial(efs, load_default_subvol(efs), "the default subvolume's entry");
	if (!err)
		err = or_partial(efs, root_get(fs, BTRFS_FS_TREE_OBJECTID, &top), "the top-level subvolume");
	if (err)
		msg_err(fs->msg, "cannot read the top-level subvolume (%s)", strerror(-err));
	return err;
}

static int load_chunks(struct eng_fs *efs)
{
	struct fs *fs = &efs->fs;
	int err = or_partial(efs, load_sys_chunks(fs), "the system chunks");

	if (err) {
		msg_err(fs->msg, "the superblock's system chunks cannot be used (%s)", strerror(-err));
		return err;
	}
	err = or_partial(efs, load_chunk_tree(fs), "the chunk tree");
	if (err) {
		msg_err(fs->msg, "cannot read the chunk tree at %llu (%s)",
			(unsigned long long)le64_get(fs->super.chunk_root), strerror(-err));
		return err;
	}
	return vol_finish(fs->vol);
}

static void note_state(struct eng_fs *efs)
{
	struct vol_device_info dev;

	for (unsigned i = 0; vol_device_get(efs->fs.vol, i, &dev); i++)
		efs->degraded |= dev.missing;
	if (le64_get(efs->fs.super.log_root))
		msg_info(efs->fs.msg, "a log tree was left by an unclean shutdown: showing the last committed "
			 "state, without what was only in the log");
}

static unsigned worker_count(const struct eng_open_opts *opts)
{
	long cpus;

	if (opts->workers >= 0)
		return (unsigned)opts->workers;
	cpus = sysconf(_SC_NPROCESSORS_ONLN);
	return cpus < 1 ? 1 : cpus > MAX_WORKERS ? MAX_WORKERS : (unsigned)cpus;
}

/* The threads and memory that later steps work with. */
static int create_parts(struct eng_fs *efs, const struct eng_open_opts *opts)
{
	struct fs *fs = &efs->fs;
	unsigned workers = worker_count(opts);
	unsigned threads = (opts->threads ? opts->threads : API_DEFAULT_THREADS) + workers;
	uint64_t cap = opts->metadata_cache ? opts->metadata_cache : DEFAULT_METADATA_CACHE;
	int err = eb_cache_create(fs->vol, cap, threads, &fs->cache);

	if (err)
		return err; /* said by the cache */
	err = root_table_create(&fs->roots);
	if (!err)
		err = pool_create(workers, "ubtrfs-io", &fs->pool);
	if (err)
		msg_err(fs->msg, "cannot start worker threads (%s)", strerror(-err));
	return err;
}

static enum bdev_share device_share(const struct eng_open_opts *opts)
{
	if (opts->writable)
		return BDEV_WRITABLE;
	return opts->share == ENG_SHARE_LOOK ? BDEV_SHARED : BDEV_EXCLUSIVE;
}

int api_check_opts(struct msg *msg, const struct eng_open_opts *opts)
{
	const char *what = opts->rescue			     ? "rescue options are" :
			   opts->partial		     ? "a partial opening is" :
			   opts->share == ENG_SHARE_LOOK     ? "a device that is in use can be" :
							       NULL;

	if (!opts->writable || !what)
		return 0;
	msg_err(msg, "cannot open for writing: %s for reading only", what);
	return -EINVAL;
}

/* As given by lab.h they may be anything; bdev_open has refused others. On failure they are closed. */
static int check_devices(struct bdev **devs, unsigned nr, const struct eng_open_opts *opts, struct msg *msg)
{
	bool readonly = false;

	for (unsigned i = 0; i < nr && opts->writable && !readonly; i++) {
		readonly = !bdev_writable(devs[i]);
		if (readonly)
			msg_err(msg, "cannot open for writing: %s is read-only", bdev_name(devs[i]));
	}
	for (unsigned i = 0; i < nr && readonly; i++)
		bdev_close(devs[i]);
	return readonly ? -EROFS : 0;
}

_Static_assert((int)FS_RESCUE_IGNOREDATACSUMS == (int)ENG_RESCUE_IGNOREDATACSUMS, "lower layers know the bit");

int api_open_devices(struct bdev **devs, unsigned nr, const struct eng_open_opts *opts, struct eng_fs *efs)
{
	struct fs *fs = &efs->fs;
	const struct vol_opts vopts = {
		.degraded = opts->degraded,
		.scan = opts->scan,
		.ignore_csum = opts->rescue & ENG_RESCUE_IGNOREMETACSUMS,
		.partial = opts->partial,
		.prefer_copy = opts->prefer_copy,
		.super_copy = -1,
	};
	int err = check_devices(devs, nr, opts, fs->msg);

	if (!err)
		err = vol_open(devs, nr, &vopts, device_share(opts),
			       opts->no_uring ? BDEV_IO_PREAD : BDEV_IO_AUTO, fs->msg, &fs->counters,
			       &fs->vol);
	if (err)
		return err;
	fs->super = *vol_super(fs->vol);
	fs->nodesize = le32_get(fs->super.nodesize);
	fs->sectorsize = le32_get(fs->super.sectorsize);
	fs->csum_type = le16_get(fs->super.csum_type);
	fs->csum_size = btrfs_csum_size(fs->csum_type);
	fs->rescue = opts->rescue;
	if (!opts->partial) {
		err = api_check_features(fs->msg, &fs->super, opts->rescue);
		if (err)
			return err;
	}
	err = create_parts(efs, opts);
	if (!err)
		err = readahead_create(opts->readahead ? opts->readahead : DEFAULT_READAHEAD,
				       &fs->readahead);
	if (!err)
		err = load_chunks(efs);
	if (err || efs->super_only)
		return err;
	err = load_trees(efs);
	if (!err)
		note_state(efs);
	if (!err && opts->writable)
		err = api_check_writable(efs, nr);
	if (!err && opts->writable)
		err = api_rw_open(efs);
	return err;
}

int api_open_given(struct eng_fs *efs, const struct eng_open_opts *opts)
{
	struct bdev **devs = eng_calloc(opts->nr_devices, sizeof(*devs));
	unsigned nr = 0;
	int err = devs ? api_check_opts(efs->fs.msg, opts) : -ENOMEM;

	for (; !err && nr < opts->nr_devices; nr++) {
		err = bdev_open(opts->devices[nr], opts->offset, device_share(opts),
				opts->no_uring ? BDEV_IO_PREAD : BDEV_IO_AUTO, efs->fs.msg,
				&efs->fs.counters, &devs[nr]);
		if (err)
			break;
	}
	if (err) {
		while (nr-- > 0)
			bdev_close(devs[nr]);
	} else {
		/* A front end may put itself into a sandbox later: what needs making is made now. */
		if (opts->threads && bdev_uses_uring(devs[0]))
			bdev_rings_reserve(opts->threads + MAX_WORKERS);
		err = api_open_devices(devs, nr, opts, efs);
	}
	free(devs);
	return err;
}

int eng_open(const struct eng_open_opts *opts, struct eng_fs **out_fs)
{
	struct eng_fs *efs;
	int err;

	*out_fs = NULL;
	if (!opts->nr_devices)
		return -EINVAL;
	err = api_create(opts, &efs);
	if (err)
		return err;
	return api_opened(efs, api_open_given(efs, opts), out_fs);
}
