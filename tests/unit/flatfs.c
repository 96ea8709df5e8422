// SPDX-License-Identifier: GPL-2.0-or-later
/* The flat filesystem: see flatfs.h. */
#include "tests/unit/flatfs.h"
#include "engine/util/fault.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define META_START (1ull << 20)
#define DATA_START (24ull << 20)
#define VOL_BYTES (80ull << 20)

static void hear(void *arg, enum msg_level level, const char *text)
{
	struct vol *v = arg;

	if (level == MSG_ERR)
		v->errors++;
	snprintf(v->last, sizeof(v->last), "%s", text);
	if (getenv("UBTRFS_TEST_VERBOSE"))
		fprintf(stderr, "%s\n", text);
}

static void *must(void *p)
{
	if (!p)
		abort();
	return p;
}

struct flatfs *flatfs_create(uint32_t nodesize, uint32_t sectorsize, unsigned csum_type)
{
	struct flatfs *f = must(calloc(1, sizeof(*f)));
	struct fs *fs = &f->fs;

	f->v.geo = (struct btrfs_geometry){
		.nodesize = nodesize,
		.sectorsize = sectorsize,
		.csum_type = (uint16_t)csum_type,
		.csum_size = (uint16_t)btrfs_csum_size(csum_type),
		.incompat = BTRFS_FEATURE_INCOMPAT_MIXED_BACKREF,
		.generation = FLAT_GENERATION,
		.total_bytes = VOL_BYTES,
		.fsid = "flat filesystem",
	};
	f->v.size = VOL_BYTES;
	for (int i = 0; i < FLAT_COPIES; i++)
		f->v.copy[i] = must(calloc(1, VOL_BYTES));
	if (msg_create(hear, &f->v, &f->v.msg))
		abort();
	f->meta_pos = META_START;
	f->data_pos = DATA_START;
	fs->msg = f->v.msg;
	fs->vol = &f->v;
	fs->nodesize = nodesize;
	fs->sectorsize = sectorsize;
	fs->csum_type = csum_type;
	fs->csum_size = btrfs_csum_size(csum_type);
	return f;
}

static void items_clear(struct flat_items *items)
{
	for (unsigned i = 0; i < items->nr; i++)
		free(items->item[i].data);
	free(items->item);
	*items = (struct flat_items){ 0 };
}

void flatfs_destroy(struct flatfs *f)
{
	if (f->fs.pool)
		pool_destroy(f->fs.pool);
	readahead_destroy(f->fs.readahead);
	root_table_destroy(f->fs.roots);
	if (f->fs.cache)
		eb_cache_destroy(f->fs.cache);
	items_clear(&f->root_items);
	items_clear(&f->csum_items);
	items_clear(&f->file_items);
	for (int i = 0; i < FLAT_COPIES; i++)
		free(f->v.copy[i]);
	msg_destroy(f->v.msg);
	free(f);
}

/* ---- items ---- */

void flat_add(struct flat_items *items, uint64_t objectid, uint8_t type, uint64_t offset, const void *data,
	      size_t len)
{
	struct flat_item *item;

	if (items->nr == items->room) {
		items->room = items->room ? items->room * 2 : 64;
		items->item = must(realloc(items->item, items->room * sizeof(*item)));
	}
	item = &items->item[items->nr++];
	item->key = (struct btrfs_key){ objectid, type, offset };
	item->data = must(malloc(len ? len : 1));
	item->len = (uint32_t)len;
	memcpy(item->data, data, len);
}

void flat_append(struct flat_items *items, uint64_t objectid, uint8_t type, uint64_t offset,
		 const void *data, size_t len)
{
	const struct btrfs_key key = { objectid, type, offset };

	for (unsigned i = items->nr; i-- > 0;) {
		struct flat_item *item = &items->item[i];

		if (btrfs_key_cmp(&item->key, &key))
			continue;
		item->data = must(realloc(item->data, item->len + len));
		memcpy((uint8_t *)item->data + item->len, data, len);
		item->len += (uint32_t)len;
		return;
	}
	flat_add(items, objectid, type, offset, data, len);
}

void flat_inode(struct flatfs *f, uint64_t ino, uint32_t mode, uint64_t size, uint64_t flags)
{
	const struct btrfs_inode_item item = {
		.generation = le64_make(7),
		.transid = le64_make(9),
		.size = le64_make(size),
		.nbytes = le64_make(size / 2),
		.nlink = le32_make(1),
		.uid = le32_make(1000),
		.gid = le32_make(1001),
		.mode = le32_make(mode),
		.rdev = le64_make(8 << 20 | 300),
		.flags = le64_make(flags),
		.atime = { le64_make(11), le32_make(12) },
		.ctime = { le64_make((uint64_t)-21), le32_make(22) },
		.mtime = { le64_make(31), le32_make(4000000000) },
		.otime = { le64_make(41), le32_make(42) },
	};

	flat_add(&f->file_items, ino, BTRFS_INODE_ITEM_KEY, 0, &item, sizeof(item));
}

static size_t dir_item_make(uint8_t *buf, const struct btrfs_key *to, uint8_t type, const char *name,
			    size_t len, const void *value, size_t value_len)
{
	const struct btrfs_dir_item di = {
		.location = btrfs_disk_key_make(to),
		.transid = le64_make(9),
		.data_len = le16_make((uint16_t)value_len),
		.name_len = le16_make((uint16_t)len),
		.type = type,
	};

	memcpy(buf, &di, sizeof(di));
	memcpy(buf + sizeof(di), name, len);
	if (value_len)
		memcpy(buf + sizeof(di) + len, value, value_len);
	return sizeof(di) + len + value_len;
}

void flat_entry(struct flatfs *f, uint64_t dir, uint64_t index, const char *name, size_t len,
		const struct btrfs_key *to, uint8_t type)
{
	uint8_t buf[512];
	size_t size = dir_item_make(buf, to, type, name, len, NULL, 0);

	/* Only names that are known to collide are looked for: a search each would be quadratic. */
	if (len == 16)
		flat_append(&f->file_items, dir, BTRFS_DIR_ITEM_KEY, btrfs_name_hash(name, len), buf,
			    size);
	else
		flat_add(&f->file_items, dir, BTRFS_DIR_ITEM_KEY, btrfs_name_hash(name, len), buf, size);
	flat_add(&f->file_items, dir, BTRFS_DIR_INDEX_KEY, index, buf, size);
}

void flat_xattr(struct flatfs *f, uint64_t ino, const char *name, const void *value, size_t len)
{
	const struct btrfs_key none = { 0 };
	uint8_t buf[4096];
	size_t size = dir_item_make(buf, &none, BTRFS_FT_XATTR, name, strlen(name), value, len);

	flat_append(&f->file_items, ino, BTRFS_XATTR_ITEM_KEY, btrfs_name_hash(name, strlen(name)), buf,
		    size);
}

void flat_inline(struct flatfs *f, uint64_t ino, unsigned compression, uint64_t ram_bytes, const void *data,
		 size_t len)
{
	struct btrfs_file_extent_item fi = {
		.generation = le64_make(9),
		.ram_bytes = le64_make(ram_bytes),
		.compression = (uint8_t)compression,
		.type = BTRFS_FILE_EXTENT_INLINE,
	};
	uint8_t buf[8192];

	assert(len + BTRFS_FILE_EXTENT_INLINE_DATA_START <= sizeof(buf));
	memcpy(buf, &fi, BTRFS_FILE_EXTENT_INLINE_DATA_START);
	memcpy(buf + BTRFS_FILE_EXTENT_INLINE_DATA_START, data, len);
	flat_add(&f->file_items, ino, BTRFS_EXTENT_DATA_KEY, 0, buf,
		 BTRFS_FILE_EXTENT_INLINE_DATA_START + len);
}

void flat_extent(struct flatfs *f, uint64_t ino, uint64_t off, uint8_t type, unsigned compression,
		 uint64_t disk, uint64_t disk_len, uint64_t ram_off, uint64_t len, uint64_t ram_bytes)
{
	const struct btrfs_file_extent_item fi = {
		.generation = le64_make(9),
		.ram_bytes = le64_make(ram_bytes),
		.compression = (uint8_t)compression,
		.type = type,
		.disk_bytenr = le64_make(disk),
		.disk_num_bytes = le64_make(disk_len),
		.offset = le64_make(ram_off),
		.num_bytes = le64_make(len),
	};

	flat_add(&f->file_items, ino, BTRFS_EXTENT_DATA_KEY, off, &fi, sizeof(fi));
}

uint64_t flat_data(struct flatfs *f, const void *data, size_t len, unsigned flags)
{
	uint32_t sector = f->fs.sectorsize;
	uint64_t logical = f->data_pos, nr = (len + sector - 1) / sector;

	assert(logical + nr * sector <= VOL_BYTES);
	f->data_pos += nr * sector;
	for (int i = 0; i < FLAT_COPIES; i++)
		memcpy(f->v.copy[i] + logical, data, len);
	/* Items of a few sums each, so that a run of sectors needs several. */
	for (uint64_t i = 0; (flags & FLAT_CSUM) && i < nr;) {
		uint8_t sums[7 * BTRFS_CSUM_SIZE], sum[BTRFS_CSUM_SIZE];
		uint64_t first = i, n = 0;

		for (; n < 7 && i < nr; n++, i++) {
			btrfs_csum(f->fs.csum_type, f->v.copy[0] + logical + i * sector, sector, sum);
			memcpy(sums + n * f->fs.csum_size, sum, f->fs.csum_size);
		}
		flat_add(&f->csum_items, BTRFS_EXTENT_CSUM_OBJECTID, BTRFS_EXTENT_CSUM_KEY,
			 logical + first * sector, sums, n * f->fs.csum_size);
	}
	return logical;
}

/* ---- trees ---- */

static int by_key(const void *a, const void *b)
{
	return btrfs_key_cmp(&((const struct flat_item *)a)->key, &((const struct flat_item *)b)->key);
}

static struct btrfs_header *block_new(struct flatfs *f, int level, uint64_t owner)
{
	struct btrfs_header *h = (struct btrfs_header *)(f->v.copy[0] + f->meta_pos);

	assert(f->meta_pos + f->fs.nodesize <= DATA_START);
	memcpy(h->fsid, f->v.geo.fsid, sizeof(h->fsid));
	h->bytenr = le64_make(f->meta_pos);
	h->flags = le64_make(BTRFS_HEADER_FLAG_WRITTEN |
			     (uint64_t)BTRFS_MIXED_BACKREF_REV << BTRFS_BACKREF_REV_SHIFT);
	h->generation = le64_make(FLAT_GENERATION - 1);
	h->owner = le64_make(owner);
	h->level = (uint8_t)level;
	f->meta_pos += f->fs.nodesize;
	return h;
}

static void block_seal(struct flatfs *f, struct btrfs_header *h)
{
	uint64_t logical = le64_get(h->bytenr);

	btrfs_csum(f->fs.csum_type, (uint8_t *)h + BTRFS_CSUM_SIZE, f->fs.nodesize - BTRFS_CSUM_SIZE,
		   h->csum);
	for (int i = 1; i < FLAT_COPIES; i++)
		memcpy(f->v.copy[i] + logical, h, f->fs.nodesize);
}

static bool leaf_add(struct flatfs *f, struct btrfs_header *h, const struct flat_item *item)
{
	struct btrfs_item *slot = ((struct btrfs_leaf *)h)->items;
	uint32_t nr = le32_get(h->nritems);
	uint32_t end = nr ? le32_get(slot[nr - 1].offset) : btrfs_leaf_data_size(f->fs.nodesize);

	if ((nr + 1) * sizeof(*slot) + item->len > end || (f->max_items && nr >= f->max_items))
		return false;
	slot[nr].key = btrfs_disk_key_make(&item->key);
	slot[nr].offset = le32_make(end - item->len);
	slot[nr].size = le32_make(item->len);
	memcpy((uint8_t *)h + sizeof(*h) + end - item->len, item->data, item->len);
	h->nritems = le32_make(nr + 1);
	return true;
}

/* Builds the level above `blocks`; returns how many blocks it has, in their place. */
static unsigned build_nodes(struct flatfs *f, uint64_t *blocks, unsigned nr, int level, uint64_t owner)
{
	unsigned above = 0, max = f->max_items ? f->max_items + 1 : btrfs_node_max_ptrs(f->fs.nodesize);

	for (unsigned i = 0; i < nr; above++) {
		struct btrfs_header *h = block_new(f, level, owner);
		unsigned n = 0;

		for (; n < max && i < nr; n++, i++) {
			struct btrfs_key_ptr *ptr = &((struct btrfs_node *)h)->ptrs[n];
			const void *child = f->v.copy[0] + blocks[i];
			struct btrfs_key key = btrfs_block_key(child, 0);

			ptr->key = btrfs_disk_key_make(&key);
			ptr->blockptr = le64_make(blocks[i]);
			ptr->generation = btrfs_header_of(child)->generation;
		}
		h->nritems = le32_make(n);
		block_seal(f, h);
		blocks[above] = le64_get(h->bytenr);
	}
	return above;
}

struct bt_root flat_build(struct flatfs *f, struct flat_items *items, uint64_t owner)
{
	uint64_t *blocks = must(calloc(items->nr + 1, sizeof(*blocks)));
	struct btrfs_header *h = NULL;
	unsigned nr = 0;
	int level = 0;

	if (items->nr)
		qsort(items->item, items->nr, sizeof(*items->item), by_key);
	else
		h = block_new(f, 0, owner);
	for (unsigned i = 0; i < items->nr; i++) {
		if (h && leaf_add(f, h, &items->item[i]))
			continue;
		if (h) {
			block_seal(f, h);
			blocks[nr++] = le64_get(h->bytenr);
		}
		h = block_new(f, 0, owner);
		if (!leaf_add(f, h, &items->item[i]))
			abort();
	}
	block_seal(f, h);
	blocks[nr++] = le64_get(h->bytenr);
	items_clear(items);
	while (nr > 1)
		nr = build_nodes(f, blocks, nr, ++level, owner);
	struct bt_root root = {
		.cache = f->fs.cache,
		.id = owner,
		.bytenr = blocks[0],
		.generation = FLAT_GENERATION - 1,
		.level = (uint8_t)level,
		.any_owner = btrfs_is_fstree(owner),
	};
	free(blocks);
	return root;
}

const struct root *flat_open(struct flatfs *f, unsigned workers, uint64_t readahead)
{
	struct fs *fs = &f->fs;
	struct btrfs_root_item item = { 0 };
	const struct root *root;
	struct bt_root bt;

	if (eb_cache_create(&f->v, 64 << 20, 16, &fs->cache) || root_table_create(&fs->roots) ||
	    pool_create(workers, "test", &fs->pool) || readahead_create(readahead, &fs->readahead))
		abort();
	fs->csum_root = flat_build(f, &f->csum_items, BTRFS_CSUM_TREE_OBJECTID);
	bt = flat_build(f, &f->file_items, BTRFS_FS_TREE_OBJECTID);
	item.bytenr = le64_make(bt.bytenr);
	item.level = bt.level;
	item.generation = item.generation_v2 = le64_make(bt.generation);
	item.root_dirid = le64_make(BTRFS_FIRST_FREE_OBJECTID);
	item.refs = le32_make(1);
	flat_add(&f->root_items, BTRFS_FS_TREE_OBJECTID, BTRFS_ROOT_ITEM_KEY, 0, &item, sizeof(item));
	fs->tree_root = flat_build(f, &f->root_items, BTRFS_ROOT_TREE_OBJECTID);
	if (root_get(fs, BTRFS_FS_TREE_OBJECTID, &root)) {
		fprintf(stderr, "flatfs: %s\n", f->v.last);
		abort();
	}
	return root;
}

/* ---- names of one hash ---- */

struct hashed {
	uint32_t hash, nr;
};

static int by_hash(const void *a, const void *b)
{
	const struct hashed *x = a, *y = b;

	return x->hash < y->hash ? -1 : x->hash > y->hash;
}

void flat_colliding_names(char a[17], char b[17])
{
	/* By the birthday paradox a third of a million names of 32 bits have some pair. */
	const uint32_t nr = 400000;
	struct hashed *h = must(calloc(nr, sizeof(*h)));
	char name[17];

	for (uint32_t i = 0; i < nr; i++) {
		snprintf(name, sizeof(name), "user.%011u", i * 2654435761u);
		h[i] = (struct hashed){ (uint32_t)btrfs_name_hash(name, 16), i };
	}
	qsort(h, nr, sizeof(*h), by_hash);
	for (uint32_t i = 1; i < nr; i++) {
		if (h[i].hash != h[i - 1].hash)
			continue;
		snprintf(a, 17, "user.%011u", h[i - 1].nr * 2654435761u);
		snprintf(b, 17, "user.%011u", h[i].nr * 2654435761u);
		free(h);
		return;
	}
	abort();
}

/* ---- vol.h ---- */

const struct btrfs_geometry *vol_geometry(const struct vol *v)
{
	return &v->geo;
}

struct msg *vol_msg(const struct vol *v)
{
	return v->msg;
}

struct counters *vol_counters(const struct vol *v)
{
	return (struct counters *)&v->counters;
}

int vol_copies(const struct vol *v, uint64_t logical)
{
	return logical < v->size ? FLAT_COPIES : -ENXIO;
}

static int read_unit(struct vol *v, uint64_t logical, uint8_t *buf, uint32_t unit, vol_verify_fn verify,
		     void *arg, struct vol_read_result *res)
{
	uint64_t dead = v->dead, gone = v->gone;

	if (dead && dead >= logical && dead < logical + unit)
		return -EIO;
	if (gone && gone >= logical && gone < logical + unit)
		return -ENXIO;
	for (int i = 0; i < FLAT_COPIES; i++) {
		memcpy(buf, v->copy[i] + logical, unit);
		if (!verify || verify(arg, logical, buf, unit)) {
			res->repaired += i > 0;
			return 0;
		}
	}
	return -EUCLEAN;
}

int vol_read(struct vol *v, uint64_t logical, void *buf, uint32_t len, uint32_t unit, vol_verify_fn verify,
	     void *arg, struct vol_read_result *res)
{
	struct vol_read_result own;
	int ret = 0;

	if (!res)
		res = &own;
	*res = (struct vol_read_result){ 0 };
	assert(len && !(len % unit));
	if (v->delay_us && unit != v->geo.nodesize)
		usleep(v->delay_us);
	if (logical >= DATA_START)
		v->reads++;
	if (logical >= v->size || len > v->size - logical)
		return -ENXIO;
	if (fault_hit(FAULT_READ)) {
		res->bad_logical = logical;
		return -EIO;
	}
	for (uint32_t off = 0; off < len; off += unit) {
		int err = read_unit(v, logical + off, (uint8_t *)buf + off, unit, verify, arg, res);

		if (err && !ret) {
			ret = err;
			res->bad_logical = logical + off;
		}
	}
	return ret;
}

int vol_read_many(struct vol *v, struct vol_io *ios, unsigned nr)
{
	int ret = 0;

	for (unsigned i = 0; i < nr; i++) {
		struct vol_io *io = &ios[i];

		io->res = vol_read(v, io->logical, io->buf, io->len, io->unit, io->verify, io->arg,
				   &io->result);
		if (io->res && !ret)
			ret = io->res;
	}
	return ret;
}
