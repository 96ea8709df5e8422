// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Making an opened filesystem writable, and ending that.
 *
 * Order: how high the trees are says what the cache needs → the cache → live trees → spaces and
 * reserves → block groups → writeback → reclaim rows → threads. Each needs those before; destroy
 * takes what there is in the opposite order.
 *
 * Locks: one thread, until txn_open has returned and from txn_close on.
 */
#include "engine/txn/txn_priv.h"
#include "engine/util/fault.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_COMMIT_SEC 30
#define DEFAULT_THREADS 16
/* Of our own: commit, writeback and flusher. */
#define OWN_THREADS 3

/* ---- the cache ---- */

/* Levels of the highest tree, with one for growing. */
static int tree_height(struct fs *fs, unsigned *out_height)
{
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	const struct btrfs_key first = { 0 };
	unsigned level = fs->tree_root.level;
	int ret;

	if (fs->chunk_root.level > level)
		level = fs->chunk_root.level;
	path.readahead = BT_READAHEAD_FORWARD;
	for (ret = bt_search_ge(&fs->tree_root, &first, &path); !ret; ret = bt_next(&path)) {
		const struct btrfs_root_item *item = bt_item(&path);

		if (bt_key(&path).type == BTRFS_ROOT_ITEM_KEY && item->level > level)
			level = item->level;
	}
	*out_height = level + 2 < BT_MAX_LEVEL ? level + 2 : BT_MAX_LEVEL;
	return ret < 0 ? ret : 0;
}

/* What headers of new blocks are to carry is in those that are there. */
static int take_chunk_uuid(struct fs *fs)
{
	const struct btrfs_block_expect expect = {
		.logical = fs->tree_root.bytenr,
		.generation = fs->tree_root.generation,
		.owner = fs->tree_root.id,
		.level = fs->tree_root.level,
	};
	struct eb *eb;
	int err = eb_get(fs->cache, &expect, &eb);

	if (err)
		return err;
	eb_cache_set_chunk_uuid(fs->cache, eb_header(eb)->chunk_tree_uuid);
	eb_put(eb);
	return 0;
}

static int open_cache(struct txn_mgr *mgr)
{
	struct fs *fs = mgr->fs;
	unsigned height;
	int err = tree_height(fs, &height);

	if (!err)
		err = eb_cache_enable_writes(fs->cache, mgr->opts.threads + OWN_THREADS, height);
	return err ? err : take_chunk_uuid(fs);
}

/* ---- trees ---- */

static const struct {
	uint64_t id;
	size_t offset; /* of its bt_root in struct fs */
	bool in_super;
} trees[LIVE_NR] = {
	[LIVE_ROOT] = { BTRFS_ROOT_TREE_OBJECTID, offsetof(struct fs, tree_root), true },
	[LIVE_CHUNK] = { BTRFS_CHUNK_TREE_OBJECTID, offsetof(struct fs, chunk_root), true },
	[LIVE_EXTENT] = { BTRFS_EXTENT_TREE_OBJECTID, offsetof(struct fs, extent_root) },
	[LIVE_DEV] = { BTRFS_DEV_TREE_OBJECTID, offsetof(struct fs, dev_root) },
	[LIVE_CSUM] = { BTRFS_CSUM_TREE_OBJECTID, offsetof(struct fs, csum_root) },
	[LIVE_UUID] = { BTRFS_UUID_TREE_OBJECTID, offsetof(struct fs, uuid_root) },
	[LIVE_FST] = { BTRFS_FREE_SPACE_TREE_OBJECTID, offsetof(struct fs, fst_root) },
	[LIVE_BG] = { BTRFS_BLOCK_GROUP_TREE_OBJECTID, offsetof(struct fs, bg_root) },
};

static struct bt_root *fs_slot(struct fs *fs, int i)
{
	return (struct bt_root *)((char *)fs + trees[i].offset);
}

static int open_tree(struct txn_mgr *mgr, int i)
{
	struct bt_root *slot = fs_slot(mgr->fs, i);
	struct root root;
	int err;

	/* Without a block-group tree its slot is the extent tree's. */
	if (!slot->bytenr || slot->id != trees[i].id)
		return 0;
	if (trees[i].in_super) {
		live_init(&mgr->live[i], slot, NULL, 0);
		return 0;
	}
	err = root_load(mgr->fs, trees[i].id, &root);
	if (!err)
		live_init(&mgr->live[i], slot, &root.item, root.item_offset);
	return err;
}

/* The superblock says where the root tree starts, and nothing says how large it is. */
static int count_root_tree(struct txn_mgr *mgr)
{
	struct bt_verify_stats stats;
	int err = bt_verify(&mgr->fs->tree_root, &stats);

	if (!err)
		atomic_store(&mgr->live[LIVE_ROOT].used, stats.blocks * mgr->fs->nodesize);
	return err;
}

static int open_trees(struct txn_mgr *mgr)
{
	struct fs *fs = mgr->fs;
	struct bt_root still = fs->tree_root;
	int err = 0;

	/* The root tree last: the others' items are looked up in it. */
	for (int i = LIVE_NR - 1; !err && i >= 0; i--)
		err = open_tree(mgr, i);
	if (err)
		return err;
	fs->tree_root = still;
	err = count_root_tree(mgr);
	fs->tree_root.tree = &mgr->live[LIVE_ROOT].tree;
	if (!mgr->live[LIVE_BG].used_now)
		fs->bg_root.tree = fs->extent_root.tree;
	return err;
}

static struct bt_tree *live_tree(struct txn_mgr *mgr, enum live_id id)
{
	return mgr->live[id].used_now ? &mgr->live[id].tree : NULL;
}

/* ---- space ---- */

static int open_infos(struct txn_mgr *mgr)
{
	const uint64_t data = BTRFS_BLOCK_GROUP_DATA, meta = BTRFS_BLOCK_GROUP_METADATA;
	struct space *sp = mgr->space.sp;
	struct space_info *si;
	int err;

	if (mgr->space.mixed) {
		err = space_info_create(sp, data | meta, &si);
	} else {
		err = space_info_create(sp, data, &si);
		if (!err)
			err = space_info_create(sp, meta, &si);
	}
	return err ? err : space_info_create(sp, BTRFS_BLOCK_GROUP_SYSTEM, &si);
}

static void fill_space(struct txn_mgr *mgr)
{
	struct space_fs *space = &mgr->space;
	struct fs *fs = mgr->fs;
	uint64_t incompat = le64_get(fs->super.incompat_flags);
	uint64_t compat_ro = le64_get(fs->super.compat_ro_flags);

	space->rsv = &mgr->rsv;
	space->vol = fs->vol;
	space->cache = fs->cache;
	space->msg = fs->msg;
	space->counters = &fs->counters;
	space->root = live_tree(mgr, LIVE_ROOT);
	space->extent = live_tree(mgr, LIVE_EXTENT);
	space->chunk = live_tree(mgr, LIVE_CHUNK);
	space->dev = live_tree(mgr, LIVE_DEV);
	space->csum = live_tree(mgr, LIVE_CSUM);
	space->bg = live_tree(mgr, LIVE_BG);
	if (!space->bg)
		space->bg = space->extent;
	if (compat_ro & BTRFS_FEATURE_COMPAT_RO_FREE_SPACE_TREE)
		space->fst = live_tree(mgr, LIVE_FST);
	space->nodesize = fs->nodesize;
	space->sectorsize = fs->sectorsize;
	space->csum_size = fs->csum_size;
	space->skinny = incompat & BTRFS_FEATURE_INCOMPAT_SKINNY_METADATA;
	space->mixed = incompat & BTRFS_FEATURE_INCOMPAT_MIXED_GROUPS;
}

static int open_space(struct txn_mgr *mgr)
{
	struct fs *fs = mgr->fs;
	const struct space_opts opts = {
		.nodesize = fs->nodesize,
		.sectorsize = fs->sectorsize,
		.flusher = !mgr->opts.no_threads,
		.msg = fs->msg,
		.counters = &fs->counters,
	};
	struct space_fs *space = &mgr->space;
	int err;

	fill_space(mgr);
	err = space_create(&opts, &space->sp);
	if (!err)
		err = open_infos(mgr);
	if (err)
		return err;
	rsv_set_init(&mgr->rsv, space->sp, space->fst);
	mgr->rsv_ready = true;
	mgr->rsv.one_pool = mgr->opts.one_pool;
	mgr->rsv.assert_overruns |= mgr->opts.assert_overruns;
	err = bg_index_create(space->sp, &mgr->rsv, &space->bgs);
	if (!err)
		err = dev_space_create(fs->vol, space->sp, &space->devs);
	if (!err)
		err = block_groups_load(space);
	if (!err)
		txn_size_global(mgr);
	return err;
}

void txn_size_global(struct txn_mgr *mgr)
{
	static const enum live_id ids[] = { LIVE_ROOT, LIVE_EXTENT, LIVE_CSUM, LIVE_FST, LIVE_BG };
	uint64_t used = 0;
	unsigned nr = 0;

	for (unsigned i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		if (!mgr->live[ids[i]].used_now)
			continue;
		used += live_used(&mgr->live[ids[i]]);
		nr++;
	}
	rsv_global_update(&mgr->rsv, used, nr);
}

/* ---- writeback ---- */

/* A block could not be written: what stands on it cannot be committed. */
static void write_failed(void *arg, int err)
{
	struct txn_mgr *mgr = arg;
	struct txn *t;

	pthread_mutex_lock(&mgr->lock);
	t = mgr->running;
	if (t)
		t->refs++;
	pthread_mutex_unlock(&mgr->lock);
	if (!t)
		return;
	txn_mgr_abort(mgr, t, err, "writing in mid-transaction", 0);
	txn_put(t);
}

/* An error is kept for the commit. */
static void write_all(void *arg)
{
	(void)eb_writeback_step(((struct txn_mgr *)arg)->wb, UINT32_MAX, NULL);
}

static int open_writeback(struct txn_mgr *mgr)
{
	const struct eb_writeback_opts opts = {
		.cache = mgr->fs->cache,
		.write = txn_write_blocks,
		.failed = write_failed,
		.arg = mgr,
		.thread = !mgr->opts.no_threads,
	};

	mgr->lab.every = mgr->opts.restart_every;
	mgr->lab.times = mgr->opts.restart_times;
	mgr->lab.between = mgr->opts.restart_writes ? write_all : NULL;
	mgr->lab.arg = mgr;
	return eb_writeback_create(&opts, &mgr->wb);
}

int txn_writeback(struct fs *fs, unsigned max)
{
	return eb_writeback_step(fs->txn->wb, max, NULL);
}

/* ---- all ---- */

static struct txn_mgr *create(struct fs *fs, const struct txn_opts *opts)
{
	struct txn_mgr *mgr = eng_zalloc(sizeof(*mgr));

	if (!mgr)
		return NULL;
	mgr->fs = fs;
	mgr->opts = *opts;
	if (!mgr->opts.commit_sec)
		mgr->opts.commit_sec = DEFAULT_COMMIT_SEC;
	if (!mgr->opts.threads)
		mgr->opts.threads = DEFAULT_THREADS;
	pthread_mutex_init(&mgr->lock, NULL);
	pthread_cond_init(&mgr->changed, NULL);
	pthread_cond_init(&mgr->wake, NULL);
	pthread_mutex_init(&mgr->roots_lock, NULL);
	TAILQ_INIT(&mgr->dirty_roots);
	return mgr;
}

static void close_trees(struct txn_mgr *mgr)
{
	struct fs *fs = mgr->fs;

	for (int i = 0; i < LIVE_NR; i++) {
		struct live_root *live = &mgr->live[i];

		if (!live->used_now)
			continue;
		*fs_slot(fs, i) = bt_tree_root(&live->tree);
		live_fini(live);
	}
	if (fs->bg_root.id == fs->extent_root.id)
		fs->bg_root = fs->extent_root;
}

/* No thread of ours is left, and no handle. */
static void destroy(struct txn_mgr *mgr)
{
	struct space_fs *space = &mgr->space;
	struct fs *fs = mgr->fs;

	/* What an abort left; of `committing` and `running` the manager has a reference. */
	eb_writeback_destroy(mgr->wb);
	if (mgr->running)
		txn_put(mgr->running);
	if (mgr->committing)
		txn_put(mgr->committing);
	bg_index_destroy(space->bgs);
	dev_space_destroy(space->devs);
	if (mgr->rsv_ready)
		rsv_set_fini(&mgr->rsv);
	space_destroy(space->sp);
	close_trees(mgr);
	fs->txn = NULL;
	pthread_mutex_destroy(&mgr->roots_lock);
	pthread_cond_destroy(&mgr->wake);
	pthread_cond_destroy(&mgr->changed);
	pthread_mutex_destroy(&mgr->lock);
	free(mgr);
}

int txn_open(struct fs *fs, const struct txn_opts *opts)
{
	struct txn_mgr *mgr = create(fs, opts);
	int err;

	if (!mgr)
		return -ENOMEM;
	err = open_cache(mgr);
	if (!err)
		err = open_trees(mgr);
	if (!err)
		super_open(mgr);
	if (!err)
		err = open_space(mgr);
	if (!err)
		err = open_writeback(mgr);
	if (!err) {
		rows_register(mgr);
		fs->txn = mgr;
		root_table_go_live(fs->roots);
		err = mgr->opts.no_threads ? 0 : thread_start(mgr);
		if (err)
			root_table_go_still(fs->roots);
	}
	if (err)
		destroy(mgr);
	return err;
}

/* Threads that could begin a transaction, or look a root up. */
static void stop_threads(struct txn_mgr *mgr)
{
	thread_stop(mgr);
	space_stop(mgr->space.sp);
}

static void end(struct txn_mgr *mgr)
{
	root_table_go_still(mgr->fs->roots);
	destroy(mgr);
}

/* All is committed and nobody is there: what is promised to somebody now was forgotten. */
static void check_idle(struct txn_mgr *mgr)
{
	const char *wrong = rsv_set_verify_idle(&mgr->rsv);

#ifndef NDEBUG
	wrong = wrong ? wrong : bg_verify(mgr->space.bgs);
#endif
	if (!wrong)
		return;
	counter_inc(&mgr->fs->counters, txn_leaks);
	msg_warn(mgr->fs->msg, "accounting of space at the close: %s", wrong);
	assert(!wrong);
}

int txn_close(struct fs *fs)
{
	struct txn_mgr *mgr = fs->txn;
	int err;

	if (!mgr)
		return 0;
	stop_threads(mgr);
	err = txn_sync(fs);
	if (!err)
		check_idle(mgr);
	end(mgr);
	return err;
}

void txn_crash(struct fs *fs)
{
	struct txn_mgr *mgr = fs->txn;

	if (!mgr)
		return;
	stop_threads(mgr);
	/* As an abort, but nothing is wrong. */
	pthread_mutex_lock(&mgr->lock);
	if (!atomic_load(&mgr->error))
		atomic_store(&mgr->error, -EROFS);
	if (mgr->running && !txn_is_aborted(mgr->running))
		txn_set_state_locked(mgr->running, TXN_ABORTED);
	pthread_mutex_unlock(&mgr->lock);
	space_abort(mgr->space.sp);
	end(mgr);
}
