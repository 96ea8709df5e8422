// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * See ordercheck.h.
 *
 * Words: `cur` is the superblock that is durable everywhere, `next` one that is being written. Each has a
 * map of the blocks of 4 KiB that it refers to on each disk, and a third says which are not flushed.
 *
 *   idle --first copy of a new generation written: its trees are walked--> on its way
 *   on its way --every copy durable, or its disk failed--> idle, with next as cur
 */
#include "tests/lib/ordercheck.h"

#include "tests/lib/diskwalk.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DISKS_MAX 8
#define BLOCK 4096u

enum copy_state {
	COPY_NONE,    /* the disk has no room for it */
	COPY_OLD,
	COPY_WRITTEN, /* `next` is in it, not flushed */
	COPY_DURABLE,
	COPY_FAILED,
};

struct layer {
	struct ordercheck *oc;
	unsigned index;
	struct blk lower;
	struct blk blk;
	uint8_t *cur, *next, *dirty; /* a bit a block */
	size_t map_bytes;
	enum copy_state copies[BTRFS_SUPER_MIRROR_MAX];
};

struct ordercheck {
	pthread_mutex_t lock;
	unsigned nr;
	struct layer layers[DISKS_MAX];
	struct diskwalk *walk;
	bool have_cur, have_next;
	struct btrfs_super_block cur, next;
	unsigned violations, commits;
	char text[600];
	/* of the walk under way: nothing is marked when only durability is asked for */
	bool mark_next, mark_cur;
	bool undurable; /* said once a walk */
};

static void violation(struct ordercheck *oc, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
static void violation(struct ordercheck *oc, const char *fmt, ...)
{
	va_list ap;

	if (oc->violations++)
		return;
	va_start(ap, fmt);
	vsnprintf(oc->text, sizeof(oc->text), fmt, ap);
	va_end(ap);
}

static bool bit(const uint8_t *map, uint64_t nr)
{
	return map[nr / 8] >> nr % 8 & 1;
}

static void set_bits(uint8_t *map, uint64_t off, uint64_t len)
{
	for (uint64_t nr = off / BLOCK; len && nr <= (off + len - 1) / BLOCK; nr++)
		map[nr / 8] |= (uint8_t)(1u << nr % 8);
}

static uint64_t generation(const struct btrfs_super_block *sb)
{
	return le64_get(sb->generation);
}

/* ---- superblocks ---- */

static void on_place(void *arg, enum diskwalk_kind kind, unsigned disk, uint64_t physical, uint64_t len)
{
	struct ordercheck *oc = arg;
	struct layer *l = &oc->layers[disk];

	if (kind == DISKWALK_INPLACE || physical + len > l->lower.bytes)
		return;
	if (kind != DISKWALK_LOG && oc->mark_cur)
		set_bits(l->cur, physical, len);
	if (kind != DISKWALK_LOG && oc->mark_next)
		set_bits(l->next, physical, len);
	for (uint64_t nr = physical / BLOCK; nr <= (physical + len - 1) / BLOCK; nr++) {
		if (!bit(l->dirty, nr) || oc->undurable)
			continue;
		oc->undurable = true;
		violation(oc, "a superblock is written while what it refers to is not flushed: %s at %llu",
			  l->lower.name, (unsigned long long)nr * BLOCK);
	}
}

/* Walks all that a superblock refers to, which marks it. */
static void walk(struct ordercheck *oc, const struct btrfs_super_block *sb, bool cur, bool next)
{
	oc->mark_cur = cur;
	oc->mark_next = next;
	oc->undurable = false;
	if (diskwalk_run(oc->walk, sb, DISKWALK_ALL_COPIES, on_place, oc))
		violation(oc, "superblock of generation %llu refers to what isn't there: %s",
			  (unsigned long long)generation(sb), diskwalk_error(oc->walk));
}

/* Superblocks that differ by copy, device and log only are the same commit. */
static bool same_commit(const struct btrfs_super_block *a, const struct btrfs_super_block *b)
{
	return generation(a) == generation(b) && le64_get(a->root) == le64_get(b->root) &&
	       le64_get(a->chunk_root) == le64_get(b->chunk_root) &&
	       !memcmp(a->fsid, b->fsid, sizeof(a->fsid));
}

/* The copies of `next` that hold it back, in words; false if there are none. */
static bool not_durable(const struct ordercheck *oc, char *text, size_t size)
{
	bool any = false;

	for (unsigned i = 0; i < oc->nr; i++)
		for (unsigned c = 0; c < BTRFS_SUPER_MIRROR_MAX; c++)
			if (oc->layers[i].copies[c] == COPY_OLD ||
			    oc->layers[i].copies[c] == COPY_WRITTEN) {
				snprintf(text, size, "copy %u on %s was %s", c, oc->layers[i].lower.name,
					 oc->layers[i].copies[c] == COPY_OLD ? "never written"
									    : "not flushed");
				return true;
			} else if (oc->layers[i].copies[c] == COPY_DURABLE) {
				any = true;
			}
	/* Disks that fail are excused, but not all of them. */
	snprintf(text, size, "every copy failed");
	return !any;
}

/* Whether the filesystem has room for a copy on this disk, which may be larger. */
static bool has_copy(const struct layer *l, int copy)
{
	uint64_t end = btrfs_sb_offset(copy) + BTRFS_SUPER_INFO_SIZE, bytes = l->lower.bytes;
	struct btrfs_super_block sb;

	if (l->lower.bytes >= btrfs_sb_offset(0) + sizeof(sb) &&
	    !blk_read(&l->lower, btrfs_sb_offset(0), &sb, sizeof(sb)) &&
	    le64_get(sb.magic) == BTRFS_MAGIC && le64_get(sb.dev_item.total_bytes) < bytes)
		bytes = le64_get(sb.dev_item.total_bytes);
	return end <= bytes;
}

static void begin_next(struct ordercheck *oc, const struct btrfs_super_block *sb)
{
	char text[100];

	if (oc->have_next && not_durable(oc, text, sizeof(text)))
		violation(oc, "superblock of generation %llu is written, and of generation %llu %s",
			  (unsigned long long)generation(sb),
			  (unsigned long long)generation(&oc->next), text);
	if (oc->have_cur && generation(sb) <= generation(&oc->cur) &&
	    !memcmp(sb->fsid, oc->cur.fsid, sizeof(sb->fsid)))
		violation(oc, "another superblock of generation %llu is written, the durable one has %llu",
			  (unsigned long long)generation(sb), (unsigned long long)generation(&oc->cur));
	oc->have_next = true;
	oc->next = *sb;
	for (unsigned i = 0; i < oc->nr; i++) {
		struct layer *l = &oc->layers[i];

		memset(l->next, 0, l->map_bytes);
		for (int c = 0; c < BTRFS_SUPER_MIRROR_MAX; c++)
			l->copies[c] = has_copy(l, c) ? COPY_OLD : COPY_NONE;
	}
	walk(oc, sb, false, true);
}

/* If every copy is durable, `next` is what counts. */
static void settle(struct ordercheck *oc)
{
	char text[100];

	if (!oc->have_next || not_durable(oc, text, sizeof(text)))
		return;
	oc->cur = oc->next;
	oc->have_cur = true;
	oc->have_next = false;
	oc->commits++;
	for (unsigned i = 0; i < oc->nr; i++) {
		struct layer *l = &oc->layers[i];
		uint8_t *map = l->cur;

		l->cur = l->next;
		l->next = map;
		memset(l->next, 0, l->map_bytes);
	}
}

/* The copy that a write is of, or -1. */
static int super_copy(uint64_t off, uint32_t len)
{
	for (int c = 0; c < BTRFS_SUPER_MIRROR_MAX; c++)
		if (off == btrfs_sb_offset(c) && len == BTRFS_SUPER_INFO_SIZE)
			return c;
	return -1;
}

static bool overlaps_super(uint64_t off, uint64_t len)
{
	for (int c = 0; c < BTRFS_SUPER_MIRROR_MAX; c++)
		if (off < btrfs_sb_offset(c) + BTRFS_SUPER_INFO_SIZE && btrfs_sb_offset(c) < off + len)
			return true;
	return false;
}

/* Before the bytes go down: afterwards the walk would see them in place of the old ones. */
static void check_super(struct ordercheck *oc, const struct layer *l, int copy, const void *buf)
{
	const struct btrfs_super_block *sb = buf;
	struct btrfs_check_error err = { 0 };

	if (btrfs_check_super(sb, btrfs_sb_offset(copy), false, &err)) {
		violation(oc, "superblock copy %d on %s is bad: %s", copy, l->lower.name, err.reason);
		return;
	}
	diskwalk_note_super(oc->walk, l->index, sb);
	if (oc->have_next && same_commit(sb, &oc->next))
		return;
	if (oc->have_cur && same_commit(sb, &oc->cur))
		walk(oc, sb, false, false);
	else
		begin_next(oc, sb);
}

static void note_super(struct ordercheck *oc, struct layer *l, int copy, const void *buf, int ret)
{
	if (oc->have_next && same_commit(buf, &oc->next))
		l->copies[copy] = ret ? COPY_FAILED : COPY_WRITTEN;
	settle(oc);
}

/* ---- the layer ---- */

static void check_overwrite(struct ordercheck *oc, const struct layer *l, const char *what, uint64_t off,
			    uint64_t len)
{
	if (overlaps_super(off, len))
		violation(oc, "%s: %s of %llu bytes at %llu takes a superblock's place", l->lower.name,
			  what, (unsigned long long)len, (unsigned long long)off);
	for (uint64_t nr = off / BLOCK; len && nr <= (off + len - 1) / BLOCK; nr++) {
		if (!bit(l->cur, nr) && !bit(l->next, nr))
			continue;
		violation(oc, "%s: %s of %llu bytes at %llu destroys what superblock generation %llu refers to",
			  l->lower.name, what, (unsigned long long)len, (unsigned long long)off,
			  (unsigned long long)generation(bit(l->cur, nr) ? &oc->cur : &oc->next));
		return;
	}
}

static int layer_read(void *priv, uint64_t off, void *buf, uint32_t len)
{
	struct layer *l = priv;

	return blk_read(&l->lower, off, buf, len);
}

static int layer_write(void *priv, uint64_t off, const void *buf, uint32_t len)
{
	struct layer *l = priv;
	struct ordercheck *oc = l->oc;
	int copy = super_copy(off, len), ret;

	pthread_mutex_lock(&oc->lock);
	if (copy >= 0)
		check_super(oc, l, copy, buf);
	else
		check_overwrite(oc, l, "write", off, len);
	ret = blk_write(&l->lower, off, buf, len);
	if (copy >= 0)
		note_super(oc, l, copy, buf, ret);
	else
		set_bits(l->dirty, off, len);
	pthread_mutex_unlock(&oc->lock);
	return ret;
}

static int layer_flush(void *priv)
{
	struct layer *l = priv;
	struct ordercheck *oc = l->oc;
	int ret;

	pthread_mutex_lock(&oc->lock);
	ret = blk_flush(&l->lower);
	if (!ret)
		memset(l->dirty, 0, l->map_bytes);
	for (unsigned c = 0; c < BTRFS_SUPER_MIRROR_MAX; c++)
		if (l->copies[c] == COPY_WRITTEN)
			l->copies[c] = ret ? COPY_FAILED : COPY_DURABLE;
	settle(oc);
	pthread_mutex_unlock(&oc->lock);
	return ret;
}

static int layer_discard(void *priv, uint64_t off, uint64_t len)
{
	struct layer *l = priv;
	int ret;

	pthread_mutex_lock(&l->oc->lock);
	check_overwrite(l->oc, l, "discard", off, len);
	ret = blk_discard(&l->lower, off, len);
	set_bits(l->dirty, off, len);
	pthread_mutex_unlock(&l->oc->lock);
	return ret;
}

struct ordercheck *ordercheck_create(unsigned nr, const struct blk *lower)
{
	static const struct bdev_ops ops = {
		.read = layer_read,
		.write = layer_write,
		.flush = layer_flush,
		.discard = layer_discard,
	};
	struct ordercheck *oc = blk_must(calloc(1, sizeof(*oc)));

	if (nr > DISKS_MAX)
		abort();
	pthread_mutex_init(&oc->lock, NULL);
	oc->nr = nr;
	oc->walk = diskwalk_create(nr, lower);
	for (unsigned i = 0; i < nr; i++) {
		struct layer *l = &oc->layers[i];

		*l = (struct layer){ .oc = oc, .index = i, .lower = lower[i], .blk = lower[i] };
		l->blk.ops = &ops;
		l->blk.priv = l;
		l->map_bytes = (size_t)(lower[i].bytes / BLOCK / 8 + 1);
		l->cur = blk_must(calloc(1, l->map_bytes));
		l->next = blk_must(calloc(1, l->map_bytes));
		l->dirty = blk_must(calloc(1, l->map_bytes));
	}
	oc->have_cur = diskwalk_super(oc->walk, &oc->cur) == 0;
	if (oc->have_cur)
		walk(oc, &oc->cur, true, false);
	return oc;
}

void ordercheck_destroy(struct ordercheck *oc)
{
	if (!oc)
		return;
	for (unsigned i = 0; i < oc->nr; i++) {
		free(oc->layers[i].cur);
		free(oc->layers[i].next);
		free(oc->layers[i].dirty);
	}
	diskwalk_destroy(oc->walk);
	pthread_mutex_destroy(&oc->lock);
	free(oc);
}

const struct blk *ordercheck_blk(struct ordercheck *oc, unsigned i)
{
	return &oc->layers[i].blk;
}

unsigned ordercheck_violations(struct ordercheck *oc)
{
	unsigned nr;

	pthread_mutex_lock(&oc->lock);
	nr = oc->violations;
	pthread_mutex_unlock(&oc->lock);
	return nr;
}

const char *ordercheck_text(struct ordercheck *oc)
{
	return oc->text;
}

uint64_t ordercheck_durable(struct ordercheck *oc)
{
	uint64_t gen;

	pthread_mutex_lock(&oc->lock);
	gen = oc->have_cur ? generation(&oc->cur) : 0;
	pthread_mutex_unlock(&oc->lock);
	return gen;
}

unsigned ordercheck_commits(struct ordercheck *oc)
{
	unsigned nr;

	pthread_mutex_lock(&oc->lock);
	nr = oc->commits;
	pthread_mutex_unlock(&oc->lock);
	return nr;
}
