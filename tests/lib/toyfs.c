// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * See toyfs.h. Trees: a chunk tree of one leaf that never changes, a root tree of one leaf, a file
 * tree of one node and a leaf a file. Metadata in two copies, data in one. Allocation is first fit,
 * so that what is free is used again at once.
 */
#include "tests/lib/toyfs.h"

#include "engine/volume/vol.h"
#include "tests/lib/diskwalk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define NODE 4096u
#define MIB (1ull << 20)
#define META_BLOCKS 256 /* a block a bit of state */
#define DATA_BLOCKS 256

const char *const toy_fault_names[TOY_NR] = {
	"none",		"no flush", "no last flush", "in place", "early reuse",
	"missed block", "missed copy", "forgot super", "generation twice",
};

static const struct area {
	uint64_t logical, len, type, physical[2];
} areas[] = {
	{ 1 * MIB, 1 * MIB, BTRFS_BLOCK_GROUP_SYSTEM, { 1 * MIB } },
	{ 4 * MIB, 1 * MIB, BTRFS_BLOCK_GROUP_METADATA | BTRFS_BLOCK_GROUP_DUP, { 4 * MIB, 6 * MIB } },
	{ 32 * MIB, 1 * MIB, BTRFS_BLOCK_GROUP_DATA, { 9 * MIB } },
};
#define META (&areas[1])
#define DATA (&areas[2])

enum block_state {
	FREE,
	USED,
	PINNED, /* free after the commit */
};

/* What a generation should look like. */
struct moment {
	uint64_t begun, done; /* in the simulated disk's time; done 0: not yet */
	uint64_t data[TOY_FILES], data_generation[TOY_FILES];
};

struct toy {
	struct blk disk;
	struct simdisk *sim;
	struct vol *vol;
	uint64_t rng;
	struct btrfs_super_block sb;
	uint8_t meta[META_BLOCKS], data[DATA_BLOCKS];
	uint64_t root, node;
	uint64_t leaf[TOY_FILES], leaf_generation[TOY_FILES];
	uint64_t file_data[TOY_FILES], data_generation[TOY_FILES];
	struct moment moments[TOY_COMMITS + 2];
	int err;
	enum toy_fault fault;
	char why[500];
};

uint64_t toy_generation(const struct toy *t)
{
	return le64_get(t->sb.generation);
}

/* ---- building ---- */

static void *block_begin(uint8_t *block, uint64_t logical, unsigned level, uint64_t owner,
			 const struct toy *t)
{
	struct btrfs_header *h = (struct btrfs_header *)block;

	memset(block, 0, NODE);
	memcpy(h->fsid, t->sb.fsid, 16);
	h->bytenr = le64_make(logical);
	h->flags = le64_make(BTRFS_HEADER_FLAG_WRITTEN |
			     (uint64_t)BTRFS_MIXED_BACKREF_REV << BTRFS_BACKREF_REV_SHIFT);
	h->generation = t->sb.generation;
	h->owner = le64_make(owner);
	h->level = (uint8_t)level;
	return h;
}

static void leaf_add(uint8_t *leaf, struct btrfs_key key, const void *data, uint32_t len)
{
	struct btrfs_leaf *l = (struct btrfs_leaf *)leaf;
	unsigned nr = btrfs_header_nritems(leaf);
	uint32_t end = nr ? btrfs_item_offset(leaf, nr - 1) : btrfs_leaf_data_size(NODE);

	l->items[nr].key = btrfs_disk_key_make(&key);
	l->items[nr].offset = le32_make(end - len);
	l->items[nr].size = le32_make(len);
	l->header.nritems = le32_make(nr + 1);
	memcpy(leaf + sizeof(struct btrfs_header) + end - len, data, len);
}

static void seal(uint8_t *block)
{
	btrfs_csum(BTRFS_CSUM_TYPE_CRC32, block + BTRFS_CSUM_SIZE, NODE - BTRFS_CSUM_SIZE, block);
}

static void make_chunk(const struct area *a, uint8_t buf[sizeof(struct btrfs_chunk) + 32])
{
	struct btrfs_chunk *c = (struct btrfs_chunk *)buf;
	struct btrfs_stripe *s = &c->stripe;
	unsigned nr = a->type & BTRFS_BLOCK_GROUP_DUP ? 2 : 1;

	memset(buf, 0, sizeof(*c) + sizeof(*s));
	c->length = le64_make(a->len);
	c->owner = le64_make(BTRFS_EXTENT_TREE_OBJECTID);
	c->stripe_len = le64_make(BTRFS_STRIPE_LEN);
	c->type = le64_make(a->type);
	c->io_align = c->io_width = le32_make(65536);
	c->sector_size = le32_make(4096);
	c->num_stripes = le16_make((uint16_t)nr);
	c->sub_stripes = le16_make(1);
	for (unsigned i = 0; i < nr; i++) {
		s[i].devid = le64_make(1);
		s[i].offset = le64_make(a->physical[i]);
		memset(s[i].dev_uuid, 0xd1, 16);
	}
}

static void make_super(struct toy *t)
{
	struct btrfs_super_block *sb = &t->sb;
	struct btrfs_disk_key *key = (struct btrfs_disk_key *)sb->sys_chunk_array;
	uint8_t chunk[sizeof(struct btrfs_chunk) + 32];

	memset(sb->fsid, 0x70, 16);
	sb->flags = le64_make(BTRFS_HEADER_FLAG_WRITTEN);
	sb->magic = le64_make(BTRFS_MAGIC);
	sb->generation = le64_make(1);
	sb->chunk_root = le64_make(areas[0].logical);
	sb->chunk_root_generation = le64_make(1);
	sb->total_bytes = le64_make(TOY_BYTES);
	sb->bytes_used = le64_make(32 * NODE);
	sb->root_dir_objectid = le64_make(6);
	sb->num_devices = le64_make(1);
	sb->sectorsize = sb->nodesize = sb->__unused_leafsize = sb->stripesize = le32_make(NODE);
	sb->incompat_flags = le64_make(BTRFS_FEATURE_INCOMPAT_MIXED_BACKREF |
				       BTRFS_FEATURE_INCOMPAT_SKINNY_METADATA |
				       BTRFS_FEATURE_INCOMPAT_NO_HOLES);
	sb->dev_item = (struct btrfs_dev_item){
		.devid = le64_make(1),
		.total_bytes = le64_make(TOY_BYTES),
		.bytes_used = le64_make(4 * MIB),
		.io_align = le32_make(4096),
		.io_width = le32_make(4096),
		.sector_size = le32_make(4096),
	};
	memset(sb->dev_item.uuid, 0xd1, 16);
	memcpy(sb->dev_item.fsid, sb->fsid, 16);
	*key = (struct btrfs_disk_key){ le64_make(256), BTRFS_CHUNK_ITEM_KEY,
					le64_make(areas[0].logical) };
	make_chunk(&areas[0], chunk);
	memcpy(key + 1, chunk, btrfs_chunk_item_size(1));
	sb->sys_chunk_array_size = le32_make(sizeof(*key) + btrfs_chunk_item_size(1));
}

/* ---- writing ---- */

static void put(struct toy *t, const struct area *a, uint64_t logical, const void *buf)
{
	int ret = 0;

	if (t->err)
		return;
	if (t->vol)
		ret = vol_write(t->vol, logical, buf, NODE);
	for (unsigned i = 0; i < 2 && !t->vol && !ret; i++)
		if (a->physical[i])
			ret = blk_write(&t->disk, a->physical[i] + logical - a->logical, buf, NODE);
	t->err = ret;
}

static uint64_t alloc(const struct area *a, uint8_t *states)
{
	for (unsigned i = 0; i < META_BLOCKS; i++)
		if (states[i] == FREE) {
			states[i] = USED;
			return a->logical + (uint64_t)i * NODE;
		}
	abort();
}

static void release(struct toy *t, const struct area *a, uint8_t *states, uint64_t logical)
{
	if (logical)
		states[(logical - a->logical) / NODE] = t->fault == TOY_EARLY_REUSE ? FREE : PINNED;
}

static void unpin(uint8_t *states)
{
	for (unsigned i = 0; i < META_BLOCKS; i++)
		if (states[i] == PINNED)
			states[i] = FREE;
}

static void stamp(uint8_t *buf, uint64_t logical, uint64_t generation)
{
	uint64_t words[2] = { logical, generation };

	for (unsigned i = 0; i < NODE; i += sizeof(words))
		memcpy(buf + i, words, sizeof(words));
}

static void change_file(struct toy *t, unsigned i)
{
	const uint64_t ino = 256 + i, gen = toy_generation(t);
	uint64_t old = t->leaf[i];
	uint8_t block[NODE];
	struct btrfs_inode_item ii = {
		.generation = le64_make(1),
		.transid = le64_make(gen),
		.size = le64_make(NODE),
		.nbytes = le64_make(NODE),
		.nlink = le32_make(1),
		.mode = le32_make(S_IFREG | 0644),
	};
	struct btrfs_file_extent_item fi = {
		.generation = le64_make(gen),
		.ram_bytes = le64_make(NODE),
		.type = BTRFS_FILE_EXTENT_REG,
		.disk_num_bytes = le64_make(NODE),
		.num_bytes = le64_make(NODE),
	};

	release(t, DATA, t->data, t->file_data[i]);
	t->file_data[i] = alloc(DATA, t->data);
	t->data_generation[i] = gen;
	stamp(block, t->file_data[i], gen);
	put(t, DATA, t->file_data[i], block);

	if (t->fault != TOY_IN_PLACE || !old) {
		release(t, META, t->meta, old);
		t->leaf[i] = alloc(META, t->meta);
	}
	t->leaf_generation[i] = gen;
	fi.disk_bytenr = le64_make(t->file_data[i]);
	block_begin(block, t->leaf[i], 0, BTRFS_FS_TREE_OBJECTID, t);
	leaf_add(block, (struct btrfs_key){ ino, BTRFS_INODE_ITEM_KEY, 0 }, &ii, sizeof(ii));
	leaf_add(block, (struct btrfs_key){ ino, BTRFS_EXTENT_DATA_KEY, 0 }, &fi, sizeof(fi));
	seal(block);
	if (t->fault == TOY_MISSED_COPY)
		t->err = t->err ? t->err
				: blk_write(&t->disk, META->physical[0] + t->leaf[i] - META->logical,
					    block, NODE);
	else
		put(t, META, t->leaf[i], block);
}

static void change_top(struct toy *t)
{
	uint8_t block[NODE];
	struct btrfs_node *n = (struct btrfs_node *)block;
	struct btrfs_root_item ri = { 0 };

	release(t, META, t->meta, t->node);
	t->node = alloc(META, t->meta);
	block_begin(block, t->node, 1, BTRFS_FS_TREE_OBJECTID, t);
	for (unsigned i = 0; i < TOY_FILES; i++) {
		const struct btrfs_key key = { 256 + i, BTRFS_INODE_ITEM_KEY, 0 };

		n->ptrs[i] = (struct btrfs_key_ptr){ btrfs_disk_key_make(&key),
						     le64_make(t->leaf[i]),
						     le64_make(t->leaf_generation[i]) };
	}
	n->header.nritems = le32_make(TOY_FILES);
	seal(block);
	if (t->fault != TOY_MISSED_BLOCK)
		put(t, META, t->node, block);

	ri.inode.mode = le32_make(S_IFDIR | 0755);
	ri.inode.nlink = le32_make(1);
	ri.generation = ri.generation_v2 = t->sb.generation;
	ri.root_dirid = le64_make(256);
	ri.bytenr = le64_make(t->node);
	ri.refs = le32_make(1);
	ri.level = 1;
	release(t, META, t->meta, t->root);
	t->root = alloc(META, t->meta);
	block_begin(block, t->root, 0, BTRFS_ROOT_TREE_OBJECTID, t);
	leaf_add(block, (struct btrfs_key){ BTRFS_FS_TREE_OBJECTID, BTRFS_ROOT_ITEM_KEY, 0 }, &ri,
		 sizeof(ri));
	seal(block);
	put(t, META, t->root, block);
	t->sb.root = le64_make(t->root);
}

static void flush(struct toy *t)
{
	if (!t->err)
		t->err = blk_flush(&t->disk);
}

static void store_supers(struct toy *t)
{
	for (int copy = 0; copy < 2 && !t->err; copy++) {
		if (copy && t->fault == TOY_FORGOT_SUPER)
			break;
		t->sb.bytenr = le64_make(btrfs_sb_offset(copy));
		seal((uint8_t *)&t->sb);
		t->err = blk_write(&t->disk, btrfs_sb_offset(copy), &t->sb, sizeof(t->sb));
	}
}

static uint64_t now(const struct toy *t)
{
	return t->sim ? simdisk_now(t->sim) : 0;
}

static void commit(struct toy *t)
{
	struct moment *m = &t->moments[toy_generation(t)];

	memcpy(m->data, t->file_data, sizeof(m->data));
	memcpy(m->data_generation, t->data_generation, sizeof(m->data_generation));
	change_top(t);
	if (t->vol) {
		t->err = t->err ? t->err : vol_super_store(t->vol, &t->sb);
	} else {
		if (t->fault != TOY_NO_FLUSH)
			flush(t);
		store_supers(t);
		if (t->fault != TOY_NO_LAST_FLUSH)
			flush(t);
	}
	if (t->err)
		return;
	m->done = now(t);
	unpin(t->meta);
	unpin(t->data);
}

struct toy *toy_create(const struct blk *disk, struct simdisk *sim, uint64_t seed)
{
	struct toy *t = blk_must(calloc(1, sizeof(*t)));
	uint8_t block[NODE], chunk[sizeof(struct btrfs_chunk) + 32];

	t->disk = *disk;
	t->sim = sim;
	t->rng = sim_seed(seed, 1);
	make_super(t);
	block_begin(block, areas[0].logical, 0, BTRFS_CHUNK_TREE_OBJECTID, t);
	leaf_add(block, (struct btrfs_key){ BTRFS_DEV_ITEMS_OBJECTID, BTRFS_DEV_ITEM_KEY, 1 },
		 &t->sb.dev_item, sizeof(t->sb.dev_item));
	for (unsigned i = 0; i < 3; i++) {
		make_chunk(&areas[i], chunk);
		leaf_add(block,
			 (struct btrfs_key){ BTRFS_FIRST_CHUNK_TREE_OBJECTID, BTRFS_CHUNK_ITEM_KEY,
					     areas[i].logical },
			 chunk, btrfs_chunk_item_size(areas[i].physical[1] ? 2 : 1));
	}
	seal(block);
	put(t, &areas[0], areas[0].logical, block);
	for (unsigned i = 0; i < TOY_FILES; i++)
		change_file(t, i);
	commit(t);
	if (t->err)
		abort();
	return t;
}

void toy_destroy(struct toy *t)
{
	free(t);
}

void toy_use_volume(struct toy *t, struct vol *v)
{
	t->vol = v;
}

int toy_commit(struct toy *t, enum toy_fault fault)
{
	uint64_t gen = toy_generation(t) + (fault == TOY_GENERATION ? 0 : 1);
	unsigned nr = 1 + (unsigned)sim_below(&t->rng, 3);

	if (gen > TOY_COMMITS)
		abort();
	t->fault = fault;
	t->sb.generation = le64_make(gen);
	t->moments[gen].begun = now(t);
	while (nr--)
		change_file(t, (unsigned)sim_below(&t->rng, TOY_FILES));
	commit(t);
	return t->err;
}

/* ---- judging ---- */

static const char *judge_generation(struct toy *t, uint64_t gen, uint64_t time)
{
	const struct moment *m = &t->moments[gen <= TOY_COMMITS ? gen : 0];

	/* Time counts writes: a flush that was done shows in the next one only. */
	if (gen > toy_generation(t) || (gen > 1 && m->begun >= time))
		snprintf(t->why, sizeof(t->why), "generation %llu is from the future",
			 (unsigned long long)gen);
	else if (gen < toy_generation(t) && m[1].done && m[1].done < time)
		snprintf(t->why, sizeof(t->why), "generation %llu, and the next was durable",
			 (unsigned long long)gen);
	else
		return NULL;
	return t->why;
}

const char *toy_judge(struct toy *t, struct simdisk *crash)
{
	struct diskwalk *w = diskwalk_create(1, simdisk_blk(crash, 0));
	struct btrfs_super_block sb;
	uint8_t data[NODE], want[NODE];
	const char *why = NULL;
	uint64_t gen;

	if (diskwalk_super(w, &sb)) {
		why = "no superblock";
	} else {
		gen = le64_get(sb.generation);
		why = judge_generation(t, gen, simdisk_now(crash));
		if (!why && diskwalk_run(w, &sb, 0, NULL, NULL)) {
			snprintf(t->why, sizeof(t->why), "%s", diskwalk_error(w));
			why = t->why;
		}
		for (unsigned i = 0; i < TOY_FILES && !why; i++) {
			const struct moment *m = &t->moments[gen];

			stamp(want, m->data[i], m->data_generation[i]);
			if (blk_read(simdisk_blk(crash, 0), DATA->physical[0] + m->data[i] - DATA->logical,
				     data, NODE) ||
			    memcmp(data, want, NODE) != 0) {
				snprintf(t->why, sizeof(t->why), "file %u has other data", i);
				why = t->why;
			}
		}
	}
	diskwalk_destroy(w);
	return why;
}

void toy_feed(struct toy *t, int (*chunk)(void *arg, uint64_t logical, const void *item),
	      int (*device)(void *arg, const void *item), void *arg)
{
	uint8_t buf[sizeof(struct btrfs_chunk) + 32];

	for (unsigned i = 0; i < 3; i++) {
		make_chunk(&areas[i], buf);
		if (chunk(arg, areas[i].logical, buf))
			abort();
	}
	if (device(arg, &t->sb.dev_item))
		abort();
}
