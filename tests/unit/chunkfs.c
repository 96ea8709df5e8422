// SPDX-License-Identifier: GPL-2.0-or-later
/* See chunkfs.h. */
#include "tests/unit/chunkfs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB (1ULL << 20)

static void must(int err)
{
	if (!err)
		return;
	fprintf(stderr, "chunkfs: %s\n", strerror(-err));
	abort();
}

static struct chunkfs *rig(struct bt_trans *t)
{
	return space_trans(t)->handle;
}

/* ---- references ---- */

static void add_ref(struct chunkfs *f, uint64_t start, uint64_t len, bool add, bool data)
{
	if (f->refs_nr == f->refs_max) {
		f->refs_max = f->refs_max ? 2 * f->refs_max : 64;
		f->refs = blk_must(realloc(f->refs, f->refs_max * sizeof(*f->refs)));
	}
	f->refs[f->refs_nr++] = (struct chunkfs_ref){ start, len, add, data };
}

static bool cancel_ref(struct chunkfs *f, uint64_t start)
{
	for (unsigned i = 0; i < f->refs_nr; i++) {
		if (f->refs[i].start != start || !f->refs[i].add)
			continue;
		memmove(&f->refs[i], &f->refs[i + 1], (--f->refs_nr - i) * sizeof(f->refs[0]));
		return true;
	}
	return false;
}

struct block_item {
	struct btrfs_extent_item e;
	uint8_t type;
	le64 root;
} BTRFS_PACKED;

struct data_item {
	struct btrfs_extent_item e;
	uint8_t type;
	struct btrfs_extent_data_ref ref;
} BTRFS_PACKED;

static int insert_extent(struct chunkfs *f, const struct chunkfs_ref *r)
{
	struct btrfs_key key = { r->start, BTRFS_METADATA_ITEM_KEY, 0 };
	struct block_item block = {
		.e = { le64_make(1), le64_make(f->generation),
		       le64_make(BTRFS_EXTENT_FLAG_TREE_BLOCK) },
		.type = BTRFS_TREE_BLOCK_REF_KEY,
		.root = le64_make(BTRFS_EXTENT_TREE_OBJECTID),
	};
	struct data_item data = {
		.e = { le64_make(1), le64_make(f->generation), le64_make(BTRFS_EXTENT_FLAG_DATA) },
		.type = BTRFS_EXTENT_DATA_REF_KEY,
		.ref = { le64_make(5), le64_make(257), le64_make(0), le32_make(1) },
	};

	if (!r->data)
		return bt_insert(&f->st.bt, f->fs.extent, &key, &block, sizeof(block));
	key.type = BTRFS_EXTENT_ITEM_KEY;
	key.offset = r->len;
	return bt_insert(&f->st.bt, f->fs.extent, &key, &data, sizeof(data));
}

static int run_ref(struct chunkfs *f, const struct chunkfs_ref *r)
{
	struct btrfs_key key = { r->start,
				 r->data ? BTRFS_EXTENT_ITEM_KEY : BTRFS_METADATA_ITEM_KEY,
				 r->data ? r->len : 0 };
	int err;

	if (r->add) {
		err = insert_extent(f, r);
		if (!err)
			err = free_space_tree_use(&f->st, r->start, r->len);
		if (!err)
			bg_extent_inserted(f->fs.bgs, r->start, r->len);
	} else {
		err = bt_delete(&f->st.bt, f->fs.extent, &key);
		if (!err)
			err = free_space_tree_free(&f->st, r->start, r->len);
		if (!err)
			err = bg_extent_pin(f->fs.bgs, r->start, r->len, true);
	}
	return err;
}

int chunkfs_run_refs(struct chunkfs *f)
{
	int err = 0;

	while (!err && f->refs_nr) {
		struct chunkfs_ref r = f->refs[0];

		memmove(&f->refs[0], &f->refs[1], --f->refs_nr * sizeof(f->refs[0]));
		err = run_ref(f, &r);
	}
	return err;
}

/* ---- the handle's table ---- */

static int alloc_chunk(void *arg, uint64_t type)
{
	return chunk_alloc_now(arg, type);
}

static int op_alloc(struct bt_trans *t, const struct bt_want *want, uint64_t *out_logical)
{
	struct chunkfs *f = rig(t);
	struct space_trans *st = space_trans(t);
	struct rsv_root root = { .id = want->owner };
	struct bg_request req = {
		.type = want->owner == BTRFS_CHUNK_TREE_OBJECTID ? BTRFS_BLOCK_GROUP_SYSTEM
								 : BTRFS_BLOCK_GROUP_METADATA,
		.bytes = f->fs.nodesize,
		.min_bytes = f->fs.nodesize,
		.promised = f->fs.nodesize,
		.alloc_chunk = alloc_chunk,
		.arg = st,
	};
	struct block_rsv *paid;
	uint64_t bytes;
	int err;

	if (++f->allocs == f->fail_alloc)
		return -ENOSPC;
	err = rsv_use_block(&f->rsv, &st->rsv, &root, &paid);
	if (err)
		return err;
	err = bg_alloc(f->fs.bgs, &req, out_logical, &bytes);
	if (err)
		rsv_unuse_block(&f->rsv, &st->rsv, paid);
	else
		add_ref(f, *out_logical, f->fs.nodesize, true, false);
	return err;
}

static int op_free(struct bt_trans *t, struct bt_tree *tree, const struct bt_drop *drop)
{
	struct chunkfs *f = rig(t);

	if (drop->generation != f->generation || !cancel_ref(f, drop->logical)) {
		add_ref(f, drop->logical, f->fs.nodesize, false, false);
		return 0;
	}
	if (drop->written)
		return bg_extent_pin(f->fs.bgs, drop->logical, f->fs.nodesize, false);
	bg_extent_unreserve(f->fs.bgs, drop->logical, f->fs.nodesize);
	return 0;
}

static void op_dirty(struct bt_trans *t, struct bt_tree *tree, struct eb *eb)
{
	eb_mark_dirty(eb, &rig(t)->dirty);
}

static int op_refs(struct bt_trans *t, uint64_t logical, int level, uint64_t *out_refs,
		   uint64_t *out_flags)
{
	*out_refs = 1;
	*out_flags = 0;
	return 0;
}

static int op_set_flags(struct bt_trans *t, const struct eb *eb, uint64_t flags)
{
	return -EINVAL;
}

static int op_ref_children(struct bt_trans *t, struct bt_tree *tree, const struct eb *eb, bool full,
			   bool add)
{
	return -EINVAL;
}

static void op_root_changed(struct bt_trans *t, struct bt_tree *tree)
{
}

static void op_abort(struct bt_trans *t, int err)
{
	rig(t)->aborted = err;
}

static const struct bt_trans_ops ops = {
	.alloc = op_alloc,
	.free = op_free,
	.dirty = op_dirty,
	.refs = op_refs,
	.set_flags = op_set_flags,
	.ref_children = op_ref_children,
	.root_changed = op_root_changed,
	.abort = op_abort,
};

void chunkfs_begin(struct chunkfs *f)
{
	struct chunk_pending *pending = f->st.chunks;

	memset(&f->st, 0, sizeof(f->st));
	bt_trans_init(&f->st.bt, f->fs.cache, f->generation, &ops, BT_TWO_PASS);
	f->st.fs = &f->fs;
	f->st.chunks = pending;
	f->st.handle = f;
	must(rsv_handle_begin(&f->rsv, &f->st.rsv, 0, SPACE_NO_FLUSH));
}

void chunkfs_end(struct chunkfs *f)
{
	rsv_handle_end(&f->rsv, &f->st.rsv);
	bt_trans_end(&f->st.bt);
}

/* ---- the first state ---- */

struct first_chunk {
	uint64_t logical, len, type, physical;
};

static unsigned first_chunks(const struct chunkfs *f, struct first_chunk out[3])
{
	uint64_t dup = f->opts.dup ? BTRFS_BLOCK_GROUP_DUP : 0, meta = BTRFS_BLOCK_GROUP_METADATA;
	uint64_t unit = f->opts.dup ? 2 : 1;

	if (f->opts.mixed)
		meta |= BTRFS_BLOCK_GROUP_DATA;
	out[0] = (struct first_chunk){ 16 * MIB, 8 * MIB, BTRFS_BLOCK_GROUP_SYSTEM | dup, MIB };
	out[1] = (struct first_chunk){ 24 * MIB, 32 * MIB, meta | dup, MIB + unit * 8 * MIB };
	out[2] = (struct first_chunk){ 56 * MIB, 32 * MIB, BTRFS_BLOCK_GROUP_DATA,
				       MIB + unit * 40 * MIB };
	return f->opts.mixed ? 2 : 3;
}

static uint32_t chunk_item(const struct chunkfs *f, const struct first_chunk *c, uint8_t *buf)
{
	unsigned nr = c->type & BTRFS_BLOCK_GROUP_DUP ? 2 : 1;
	struct btrfs_chunk *item = (struct btrfs_chunk *)buf;
	struct btrfs_stripe *s = &item->stripe;

	memset(buf, 0, btrfs_chunk_item_size(nr));
	item->length = le64_make(c->len);
	item->owner = le64_make(BTRFS_EXTENT_TREE_OBJECTID);
	item->stripe_len = le64_make(65536);
	item->type = le64_make(c->type);
	item->io_align = item->io_width = item->sector_size = le32_make(4096);
	item->num_stripes = le16_make((uint16_t)nr);
	item->sub_stripes = le16_make(1);
	for (unsigned i = 0; i < nr; i++, s++) {
		s->devid = le64_make(1);
		s->offset = le64_make(c->physical + i * c->len);
		memset(s->dev_uuid, 0xd1, sizeof(s->dev_uuid));
	}
	return btrfs_chunk_item_size(nr);
}

static struct btrfs_dev_item dev_item(const struct chunkfs *f)
{
	struct btrfs_dev_item item = {
		.devid = le64_make(1),
		.total_bytes = le64_make(f->opts.disk_bytes),
		.io_align = le32_make(4096),
		.io_width = le32_make(4096),
		.sector_size = le32_make(4096),
	};
	struct first_chunk chunks[3];
	uint64_t used = 0;

	for (unsigned i = 0; i < first_chunks(f, chunks); i++)
		used += chunks[i].len * (chunks[i].type & BTRFS_BLOCK_GROUP_DUP ? 2 : 1);
	item.bytes_used = le64_make(used);
	memset(item.uuid, 0xd1, sizeof(item.uuid));
	memset(item.fsid, 0xf5, sizeof(item.fsid));
	return item;
}

static void write_super(struct chunkfs *f)
{
	struct btrfs_super_block sb = {
		.flags = le64_make(BTRFS_HEADER_FLAG_WRITTEN),
		.magic = le64_make(BTRFS_MAGIC),
		.generation = le64_make(10),
		.root = le64_make(24 * MIB),
		.chunk_root = le64_make(16 * MIB),
		.total_bytes = le64_make(f->opts.disk_bytes),
		.bytes_used = le64_make(MIB),
		.root_dir_objectid = le64_make(6),
		.num_devices = le64_make(1),
		.sectorsize = le32_make(4096),
		.nodesize = le32_make(f->fs.nodesize),
		.__unused_leafsize = le32_make(f->fs.nodesize),
		.stripesize = le32_make(4096),
		.bytenr = le64_make(btrfs_sb_offset(0)),
		.compat_ro_flags = le64_make(BTRFS_FEATURE_COMPAT_RO_FREE_SPACE_TREE |
					     BTRFS_FEATURE_COMPAT_RO_FREE_SPACE_TREE_VALID),
		.incompat_flags =
			le64_make(BTRFS_FEATURE_INCOMPAT_SKINNY_METADATA |
				  (f->opts.mixed ? BTRFS_FEATURE_INCOMPAT_MIXED_GROUPS : 0)),
		.dev_item = dev_item(f),
	};
	struct btrfs_disk_key *key = (struct btrfs_disk_key *)sb.sys_chunk_array;
	struct first_chunk chunks[3];
	uint32_t size;

	memset(sb.fsid, 0xf5, sizeof(sb.fsid));
	first_chunks(f, chunks);
	*key = (struct btrfs_disk_key){ le64_make(256), BTRFS_CHUNK_ITEM_KEY,
					le64_make(chunks[0].logical) };
	size = chunk_item(f, &chunks[0], (uint8_t *)(key + 1));
	sb.sys_chunk_array_size = le32_make((uint32_t)sizeof(*key) + size);
	btrfs_csum(0, (uint8_t *)&sb + BTRFS_CSUM_SIZE, sizeof(sb) - BTRFS_CSUM_SIZE, sb.csum);
	must(blk_write(simdisk_blk(f->disk, 0), btrfs_sb_offset(0), &sb, sizeof(sb)));
}

static void open_volume(struct chunkfs *f)
{
	const struct vol_opts opts = { .super_copy = -1 };
	struct bdev *dev = blk_open(simdisk_blk(f->disk, 0), NULL, &f->counters);
	struct btrfs_dev_item item = dev_item(f);
	struct first_chunk chunks[3];
	uint8_t buf[256];

	must(vol_open(&dev, 1, &opts, BDEV_WRITABLE, BDEV_IO_PREAD, NULL, &f->counters,
		      &f->fs.vol));
	for (unsigned i = 0; i < first_chunks(f, chunks); i++) {
		chunk_item(f, &chunks[i], buf);
		must(vol_chunk_add(f->fs.vol, chunks[i].logical, (struct btrfs_chunk *)buf));
	}
	must(vol_device_add(f->fs.vol, &item));
	must(vol_finish(f->fs.vol));
}

static void open_space(struct chunkfs *f)
{
	struct space_opts opts = { f->fs.nodesize, 4096, .counters = &f->counters };
	uint64_t meta = BTRFS_BLOCK_GROUP_METADATA | (f->opts.mixed ? BTRFS_BLOCK_GROUP_DATA : 0);

	must(space_create(&opts, &f->fs.sp));
	must(space_info_create(f->fs.sp, BTRFS_BLOCK_GROUP_SYSTEM, &f->sys));
	must(space_info_create(f->fs.sp, meta, &f->meta));
	f->data = f->meta;
	if (!f->opts.mixed)
		must(space_info_create(f->fs.sp, BTRFS_BLOCK_GROUP_DATA, &f->data));
	if (f->opts.dup)
		f->sys->profile = f->meta->profile = BTRFS_BLOCK_GROUP_DUP;
	rsv_set_init(&f->rsv, f->fs.sp, !f->opts.no_fst);
	f->rsv.counters = &f->counters;
	must(bg_index_create(f->fs.sp, &f->rsv, &f->fs.bgs));
	f->fs.rsv = &f->rsv;
	must(dev_space_create(f->fs.vol, f->fs.sp, &f->fs.devs));
}

/* As a loader: whose groups have their items. */
static int all_free(void *arg, const struct bg_desc *desc,
		    int (*add)(void *add_arg, uint64_t start, uint64_t len), void *add_arg)
{
	return add(add_arg, desc->start, desc->len);
}

static struct bt_tree *make_tree(struct chunkfs *f, uint64_t id)
{
	struct bt_root like = { .cache = f->fs.cache, .id = id }, root;
	struct bt_tree *tree = &f->trees[f->trees_nr++];

	must(bt_create(&f->st.bt, &like, &root));
	bt_tree_init(tree, &root);
	return tree;
}

static void insert(struct chunkfs *f, struct bt_tree *tree, uint64_t objectid, uint8_t type,
		   uint64_t offset, const void *data, uint32_t size)
{
	struct btrfs_key key = { objectid, type, offset };

	must(bt_insert(&f->st.bt, tree, &key, data, size));
}

static void make_items(struct chunkfs *f)
{
	struct btrfs_dev_item item = dev_item(f);
	struct first_chunk chunks[3];

	insert(f, f->fs.chunk, BTRFS_DEV_ITEMS_OBJECTID, BTRFS_DEV_ITEM_KEY, 1, &item,
	       sizeof(item));
	for (unsigned i = 0; i < first_chunks(f, chunks); i++) {
		const struct first_chunk *c = &chunks[i];
		struct btrfs_block_group_item group = { le64_make(0), le64_make(256),
							le64_make(c->type) };
		struct btrfs_dev_extent extent = { le64_make(3), le64_make(256),
						   le64_make(c->logical), le64_make(c->len) };
		struct btrfs_free_space_info info = { le32_make(1), le32_make(0) };
		uint8_t buf[256];
		uint32_t size = chunk_item(f, c, buf);

		insert(f, f->fs.chunk, 256, BTRFS_CHUNK_ITEM_KEY, c->logical, buf, size);
		insert(f, f->fs.bg, c->logical, BTRFS_BLOCK_GROUP_ITEM_KEY, c->len, &group,
		       sizeof(group));
		for (unsigned k = 0; k < (c->type & BTRFS_BLOCK_GROUP_DUP ? 2 : 1); k++)
			insert(f, f->fs.dev, 1, BTRFS_DEV_EXTENT_KEY, c->physical + k * c->len,
			       &extent, sizeof(extent));
		if (!f->fs.fst)
			continue;
		insert(f, f->fs.fst, c->logical, BTRFS_FREE_SPACE_INFO_KEY, c->len, &info,
		       sizeof(info));
		insert(f, f->fs.fst, c->logical, BTRFS_FREE_SPACE_EXTENT_KEY, c->len, NULL, 0);
	}
}

struct chunkfs *chunkfs_create(const struct chunkfs_opts *opts)
{
	struct chunkfs *f = blk_must(calloc(1, sizeof(*f)));
	struct first_chunk chunks[3];

	f->opts = *opts;
	f->generation = 11;
	f->disk = simdisk_create(1, &opts->disk_bytes);
	/* As mkfs.btrfs wants it. */
	f->fs.nodesize = opts->mixed ? 4096 : 16384;
	f->fs.sectorsize = 4096;
	f->fs.skinny = true;
	f->fs.mixed = opts->mixed;
	f->fs.counters = &f->counters;
	write_super(f);
	open_volume(f);
	open_space(f);
	for (unsigned i = 0; i < first_chunks(f, chunks); i++) {
		struct bg_desc desc = { chunks[i].logical, chunks[i].len, chunks[i].type };
		struct range_set supers;

		range_set_init(&supers);
		must(bg_super_ranges(f->fs.vol, desc.start, desc.len, &supers));
		desc.supers = &supers;
		must(bg_add(f->fs.bgs, &desc, all_free, NULL));
		range_set_clear(&supers);
	}
	must(eb_cache_create(f->fs.vol, 16 * MIB, 1, &f->fs.cache));
	must(eb_cache_enable_writes(f->fs.cache, 1, 4));
	eb_dirty_init(&f->dirty);
	must(chunk_pending_create(&f->st.chunks));
	chunkfs_begin(f);
	f->fs.chunk = make_tree(f, BTRFS_CHUNK_TREE_OBJECTID);
	f->fs.dev = make_tree(f, BTRFS_DEV_TREE_OBJECTID);
	f->fs.extent = make_tree(f, BTRFS_EXTENT_TREE_OBJECTID);
	f->fs.bg = opts->bg_tree ? make_tree(f, BTRFS_BLOCK_GROUP_TREE_OBJECTID) : f->fs.extent;
	f->fs.fst = opts->no_fst ? NULL : make_tree(f, BTRFS_FREE_SPACE_TREE_OBJECTID);
	make_items(f);
	must(chunkfs_commit(f));
	return f;
}

void chunkfs_destroy(struct chunkfs *f)
{
	eb_dirty_abandon(&f->dirty);
	eb_dirty_destroy(&f->dirty);
	chunk_pending_destroy(&f->fs, f->st.chunks);
	for (unsigned i = 0; i < f->trees_nr; i++)
		bt_tree_destroy(&f->trees[i]);
	eb_cache_destroy(f->fs.cache);
	dev_space_destroy(f->fs.devs);
	bg_index_destroy(f->fs.bgs);
	rsv_set_fini(&f->rsv);
	space_destroy(f->fs.sp);
	vol_close(f->fs.vol);
	simdisk_destroy(f->disk);
	free(f->refs);
	free(f);
}

/* ---- commit ---- */

static int write_blocks(void *arg, struct eb_write *ios, unsigned nr)
{
	struct chunkfs *f = arg;
	int err = 0;

	for (unsigned i = 0; i < nr; i++) {
		ios[i].res = vol_write(f->fs.vol, ios[i].logical, ios[i].buf, ios[i].len);
		err = err ? err : ios[i].res;
	}
	return err;
}

int chunkfs_commit(struct chunkfs *f)
{
	bool any = true;
	int err = 0;

	while (!err && (any || f->refs_nr || chunk_is_pending(f->st.chunks))) {
		err = chunkfs_run_refs(f);
		if (!err)
			err = block_groups_store(&f->st, &any);
	}
	chunkfs_end(f);
	if (!err && !f->aborted)
		err = chunk_publish_devices(&f->fs);
	if (!err && !f->aborted)
		err = eb_dirty_write(f->fs.cache, &f->dirty, EB_WRITE_ALL, 0, write_blocks, f,
				     NULL);
	if (err || f->aborted)
		return err ? err : f->aborted;
	bg_pinned_switch(f->fs.bgs);
	bg_pinned_release(f->fs.bgs);
	f->generation++;
	return 0;
}

int chunkfs_data(struct chunkfs *f, uint64_t bytes, uint64_t *out_start)
{
	struct bg_request req = { .type = BTRFS_BLOCK_GROUP_DATA,
				  .bytes = bytes,
				  .min_bytes = bytes };
	uint64_t got;
	int err = space_reserve(f->data, bytes, SPACE_NO_FLUSH, NULL);

	if (err)
		return err;
	err = bg_alloc(f->fs.bgs, &req, out_start, &got);
	if (err)
		space_release(f->data, bytes);
	else
		add_ref(f, *out_start, bytes, true, true);
	return err;
}

void chunkfs_free_data(struct chunkfs *f, uint64_t start, uint64_t bytes)
{
	add_ref(f, start, bytes, false, true);
}

unsigned chunkfs_chunks(struct chunkfs *f, uint64_t type)
{
	struct vol_chunk_info c = { 0 };
	unsigned nr = 0;

	while (vol_chunk_next(f->fs.vol, c.logical + c.len, &c))
		nr += (c.type & type) == type;
	return nr;
}
