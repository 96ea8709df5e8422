// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * See diskwalk.h. The order: superblock's chunks, chunk tree (whose items extend the map), root tree
 * with a list of the roots it names, those, and the log's trees in the same way.
 */
#include "tests/lib/diskwalk_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A tree while it is walked. */
struct tree {
	uint64_t owner; /* 0: any */
	enum diskwalk_kind kind;
	uint64_t ino; /* the last inode item that was come by, */
	bool inplace; /* and whether its data may be overwritten */
	struct btrfs_key drop;
	struct ref *roots; /* that its leaves name */
	unsigned nr_roots, max_roots;
	bool chunks; /* the chunk tree: leaves are read for the map */
};

int walk_fail(struct diskwalk *w, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(w->error, sizeof(w->error), fmt, ap);
	va_end(ap);
	return -EUCLEAN;
}

struct diskwalk *diskwalk_create(unsigned nr, const struct blk *disks)
{
	struct diskwalk *w = blk_must(calloc(1, sizeof(*w)));

	if (nr > DISKS_MAX)
		abort();
	w->nr = nr;
	memcpy(w->disks, disks, nr * sizeof(*disks));
	w->buf = blk_must(malloc(BTRFS_MAX_METADATA_BLOCKSIZE));
	w->buf2 = blk_must(malloc(BTRFS_MAX_METADATA_BLOCKSIZE));
	return w;
}

static void forget(struct diskwalk *w, bool all)
{
	for (unsigned i = 0; i < HASH_NR; i++) {
		struct wnode **link = &w->hash[i], *n;

		while ((n = *link)) {
			if (!all && n->stamp == w->stamp) {
				link = &n->next;
				continue;
			}
			*link = n->next;
			free(n);
		}
	}
}

void diskwalk_destroy(struct diskwalk *w)
{
	if (!w)
		return;
	forget(w, true);
	free(w->chunks);
	free(w->buf);
	free(w->buf2);
	free(w);
}

int diskwalk_super(struct diskwalk *w, struct btrfs_super_block *out_sb)
{
	struct btrfs_check_error err;
	struct btrfs_super_block sb;
	int ret = -ENOENT;

	for (unsigned i = 0; i < w->nr; i++) {
		for (int copy = BTRFS_SUPER_MIRROR_MAX; copy-- > 0;) {
			uint64_t off = btrfs_sb_offset(copy);

			if (off + sizeof(sb) > w->disks[i].bytes ||
			    blk_read(&w->disks[i], off, &sb, sizeof(sb)) ||
			    btrfs_check_super(&sb, off, false, &err))
				continue;
			w->devids[i] = le64_get(sb.dev_item.devid);
			if (!ret && le64_get(sb.generation) < le64_get(out_sb->generation))
				continue;
			*out_sb = sb;
			ret = 0;
		}
	}
	return ret;
}

void diskwalk_note_super(struct diskwalk *w, unsigned disk, const struct btrfs_super_block *sb)
{
	w->devids[disk] = le64_get(sb->dev_item.devid);
}

/* ---- blocks ---- */

static struct wnode *find(struct diskwalk *w, uint64_t logical, uint64_t generation)
{
	struct wnode *n = w->hash[logical / 4096 % HASH_NR];

	while (n && (n->logical != logical || n->generation != generation))
		n = n->next;
	return n;
}

/* Reads a block into w->buf from the first good copy, or all of them. */
static int read_block(struct diskwalk *w, const struct btrfs_block_expect *expect)
{
	unsigned copies = walk_copies(w, expect->logical), good = 0;
	struct btrfs_check_error err = { 0 };
	char why[300] = "not mapped";

	for (unsigned i = 0; i < copies; i++) {
		uint8_t *to = good ? w->buf2 : w->buf;

		if (walk_read_copy(w, expect->logical, i, to, w->geo.nodesize)) {
			snprintf(why, sizeof(why), "copy %u: unreadable", i + 1);
		} else if (btrfs_check_block(to, &w->geo, expect, &err)) {
			snprintf(why, sizeof(why), "copy %u: slot %d: %s", i + 1, err.slot, err.reason);
		} else if (good && memcmp(w->buf, w->buf2, w->geo.nodesize) != 0) {
			snprintf(why, sizeof(why), "copy %u: differs", i + 1);
		} else {
			good++;
			if (!(w->flags & DISKWALK_ALL_COPIES))
				return 0;
			continue;
		}
		if (w->flags & DISKWALK_ALL_COPIES)
			break;
	}
	if (copies && good == copies)
		return 0;
	return walk_fail(w, "block %llu of tree %lld, generation %llu: %s",
			 (unsigned long long)expect->logical, (long long)expect->owner,
			 (unsigned long long)expect->generation, why);
}

static int get_block(struct diskwalk *w, const struct tree *t, const struct btrfs_block_expect *expect,
		     struct wnode **out_node)
{
	struct wnode *n = t->chunks ? NULL : find(w, expect->logical, expect->generation);
	struct wnode **bucket = &w->hash[expect->logical / 4096 % HASH_NR];
	int ret;

	w->blocks++;
	*out_node = n;
	if (n)
		return 0;
	ret = read_block(w, expect);
	if (ret)
		return ret;
	w->blocks_read++;
	n = walk_parse(w->buf);
	n->next = *bucket;
	*bucket = n;
	*out_node = n;
	for (unsigned i = 0; t->chunks && !n->level && i < btrfs_header_nritems(w->buf) && !ret; i++) {
		struct btrfs_key key = btrfs_item_key(w->buf, i);

		if (key.type == BTRFS_CHUNK_ITEM_KEY)
			ret = walk_add_chunk(w, key.offset, btrfs_item_ptr(w->buf, i));
	}
	return ret;
}

struct telling {
	struct diskwalk *w;
	enum diskwalk_kind kind;
};

static void tell_piece(void *arg, unsigned copy, uint64_t logical, int disk, uint64_t physical,
		       uint64_t len)
{
	struct telling *t = arg;

	if (disk >= 0)
		t->w->fn(t->w->arg, t->kind, (unsigned)disk, physical, len);
}

static int tell(struct diskwalk *w, enum diskwalk_kind kind, uint64_t logical, uint64_t len)
{
	struct telling t = { w, kind };

	if (!w->fn || walk_map(w, logical, len, tell_piece, &t))
		return 0;
	return walk_fail(w, "extent %llu (%llu bytes) is not mapped", (unsigned long long)logical,
			 (unsigned long long)len);
}

/* ---- trees ---- */

static void note_root(struct tree *t, const struct ref *ref)
{
	if (t->nr_roots == t->max_roots) {
		t->max_roots = t->max_roots ? 2 * t->max_roots : 16;
		t->roots = blk_must(realloc(t->roots, t->max_roots * sizeof(*t->roots)));
	}
	t->roots[t->nr_roots++] = *ref;
}

static int walk_leaf(struct diskwalk *w, struct tree *t, const struct wnode *n)
{
	int ret = 0;

	for (unsigned i = 0; i < n->nr && !ret; i++) {
		const struct ref *ref = &n->refs[i];
		bool inplace = ref->inplace;

		if (t->drop.objectid && btrfs_key_cmp(&ref->key, &t->drop) < 0)
			continue;
		switch (ref->type) {
		case REF_ROOT:
			note_root(t, ref);
			break;
		case REF_INODE:
			t->ino = ref->key.objectid;
			t->inplace = ref->inplace;
			break;
		case REF_DATA:
			inplace = inplace || (t->ino == ref->key.objectid && t->inplace);
			ret = tell(w, inplace ? DISKWALK_INPLACE : DISKWALK_DATA, ref->logical,
				   ref->len);
			break;
		case REF_CHILD:
			break;
		}
	}
	return ret;
}

static int walk_block(struct diskwalk *w, struct tree *t, const struct btrfs_block_expect *expect)
{
	struct wnode *n;
	int ret = get_block(w, t, expect, &n);

	if (ret || n->stamp == w->stamp)
		return ret;
	n->stamp = w->stamp;
	ret = tell(w, t->kind, n->logical, w->geo.nodesize);
	if (!n->level)
		return ret ? ret : walk_leaf(w, t, n);
	for (unsigned i = 0; i < n->nr && !ret; i++) {
		/* What a half-dropped subvolume no longer has. */
		if (t->drop.objectid && i + 1 < n->nr &&
		    btrfs_key_cmp(&n->refs[i + 1].key, &t->drop) <= 0)
			continue;
		ret = walk_block(w, t, &(struct btrfs_block_expect){
					       .logical = n->refs[i].logical,
					       .generation = n->refs[i].generation,
					       .owner = t->owner,
					       .level = (int)n->level - 1,
					       .have_first_key = true,
					       .first_key = n->refs[i].key,
				       });
	}
	return ret;
}

static int walk_root(struct diskwalk *w, struct tree *t, uint64_t logical, uint64_t generation,
		     unsigned level)
{
	return walk_block(w, t, &(struct btrfs_block_expect){
					.logical = logical,
					.generation = generation,
					.owner = t->owner,
					.level = (int)level,
				});
}

/* A tree of roots (the root tree, or the log's) and the trees that it names. */
static int walk_roots(struct diskwalk *w, struct tree *t, uint64_t logical, uint64_t generation,
		      unsigned level)
{
	int ret = walk_root(w, t, logical, generation, level);

	for (unsigned i = 0; i < t->nr_roots && !ret; i++) {
		const struct ref *root = &t->roots[i];
		uint64_t id = root->key.objectid;
		struct tree sub = {
			.owner = t->kind == DISKWALK_LOG || id == BTRFS_TREE_RELOC_OBJECTID ? 0 : id,
			.kind = t->kind,
			.drop = root->drop,
		};

		ret = walk_root(w, &sub, root->logical, root->generation, root->level);
		free(sub.roots);
	}
	free(t->roots);
	return ret;
}

int diskwalk_run(struct diskwalk *w, const struct btrfs_super_block *sb, unsigned flags, diskwalk_fn fn,
		 void *arg)
{
	struct tree chunk = { .owner = BTRFS_CHUNK_TREE_OBJECTID, .kind = DISKWALK_BLOCK, .chunks = true };
	struct tree root = { .owner = BTRFS_ROOT_TREE_OBJECTID, .kind = DISKWALK_BLOCK };
	struct tree log = { .kind = DISKWALK_LOG };
	struct btrfs_super_block present;
	int ret;

	w->flags = flags;
	w->fn = fn;
	w->arg = arg;
	w->stamp++;
	w->blocks = w->blocks_read = 0;
	w->error[0] = 0;
	w->nr_chunks = 0;
	btrfs_geometry_from_super(sb, &w->geo);
	(void)diskwalk_super(w, &present); /* for the devids */
	ret = walk_add_sys_chunks(w, sb);
	if (!ret)
		ret = walk_root(w, &chunk, le64_get(sb->chunk_root),
				le64_get(sb->chunk_root_generation), sb->chunk_root_level);
	if (!ret)
		ret = walk_roots(w, &root, le64_get(sb->root), le64_get(sb->generation), sb->root_level);
	/* A log is of the transaction that was running. */
	if (le64_get(sb->log_root))
		w->geo.generation++;
	if (!ret && le64_get(sb->log_root))
		ret = walk_roots(w, &log, le64_get(sb->log_root), 0, sb->log_root_level);
	if (!ret)
		forget(w, false);
	return ret;
}

const char *diskwalk_error(const struct diskwalk *w)
{
	return w->error;
}

uint64_t diskwalk_blocks(const struct diskwalk *w)
{
	return w->blocks;
}

uint64_t diskwalk_blocks_read(const struct diskwalk *w)
{
	return w->blocks_read;
}
