// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Images that only somebody who means it makes: several fields agree on a lie, or pointers lead
 * back. Each is opened for writing and changed everywhere (changeall.h); that must end, and
 * somebody must be told.
 *
 * usage: hostile IMAGE
 */
#include "tests/lib/changeall.h"
#include "tests/lib/imgdisk.h"

#include "ondisk/check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CASE_SECONDS 30
#define ORDERS 6 /* of the changes, for each image */

static struct testimg img;

static const void *block(unsigned b)
{
	return img.data + img.blocks[b].physical[0];
}

static void put(void *arg, uint8_t *p, uint32_t len)
{
	memcpy(p, arg, len);
}

static void set64(unsigned b, const void *field, uint64_t value)
{
	le64 v = le64_make(value);
	uint32_t off = (uint32_t)((const uint8_t *)field - (const uint8_t *)block(b));

	if (!testimg_patch(&img, b, off, sizeof(v), put, &v))
		abort();
}

struct heard {
	unsigned nr;
	char first[300];
};

static void hear(void *arg, enum eng_msg_level level, const char *text)
{
	struct heard *h = arg;

	if (level > ENG_MSG_WARN)
		return;
	if (!h->nr++)
		snprintf(h->first, sizeof(h->first), "%s", text);
}

/* What is said of the image as it is now, in any order of changes; the image is mended. */
static struct heard run(void)
{
	struct heard all = { 0 };

	for (unsigned order = 0; order < ORDERS; order++) {
		struct eng_open_opts opts = testimg_opts();
		struct changeall seen;
		struct heard h = { 0 };
		struct imgdisk disk;
		struct eng_fs *fs;

		alarm(CASE_SECONDS);
		opts.message = hear;
		opts.message_arg = &h;
		imgdisk_init(&disk, &img);
		if (!imgdisk_open(&disk, &opts, &fs)) {
			changeall(fs, order, &seen);
			eng_close(fs);
		}
		imgdisk_free(&disk);
		if (h.nr && !all.nr)
			all = h;
	}
	testimg_undo(&img);
	return all;
}

static unsigned variants, told, unsaid;

static void judge(const char *what, uint64_t at)
{
	struct heard h;

	printf("%s, at %llu: ", what, (unsigned long long)at);
	fflush(stdout);
	h = run();
	printf("%s\n", h.nr ? h.first : "nothing was said");
	variants++;
	told += !!h.nr;
	unsaid += !h.nr;
}

static bool is_node(unsigned b)
{
	return !img.blocks[b].super && btrfs_header_level(block(b));
}

/* A pointer leads to the node that it is in. */
static void loops(void)
{
	for (unsigned b = 0; b < img.block_nr; b++) {
		const struct btrfs_node *node = block(b);

		for (unsigned i = 0; is_node(b) && i < btrfs_header_nritems(node); i++) {
			set64(b, &node->ptrs[i].blockptr, img.blocks[b].logical);
			judge("a node is its own child", img.blocks[b].logical);
		}
	}
}

/* Two pointers lead to one block. */
static void twins(void)
{
	for (unsigned b = 0; b < img.block_nr; b++) {
		const struct btrfs_node *node = block(b);

		for (unsigned i = 0; is_node(b) && i + 1 < btrfs_header_nritems(node); i++) {
			set64(b, &node->ptrs[i + 1].blockptr, le64_get(node->ptrs[i].blockptr));
			set64(b, &node->ptrs[i + 1].generation, le64_get(node->ptrs[i].generation));
			judge("a node has a child twice", img.blocks[b].logical);
		}
	}
}

/* The block group that has `logical`, in whichever tree: its item's `used` becomes less. */
static bool use_less(uint64_t logical, uint64_t by)
{
	for (unsigned b = 0; b < img.block_nr; b++) {
		const void *leaf = block(b);

		if (img.blocks[b].super || btrfs_header_level(leaf))
			continue;
		for (unsigned i = 0; i < btrfs_header_nritems(leaf); i++) {
			struct btrfs_key key = btrfs_item_key(leaf, i);
			const struct btrfs_block_group_item *bg = btrfs_item_ptr(leaf, i);

			if (key.type != BTRFS_BLOCK_GROUP_ITEM_KEY || logical < key.objectid ||
			    logical - key.objectid >= key.offset)
				continue;
			set64(b, &bg->used, le64_get(bg->used) - by);
			return true;
		}
	}
	return false;
}

static bool is_block(uint64_t logical)
{
	for (unsigned b = 0; b < img.block_nr; b++)
		if (!img.blocks[b].super && img.blocks[b].logical == logical)
			return true;
	return false;
}

/* The free-space tree and the block group agree that a tree's block is free. */
static void given_away(void)
{
	for (unsigned b = 0; b < img.block_nr; b++) {
		const struct btrfs_leaf *leaf = block(b);

		if (img.blocks[b].super || btrfs_header_level(leaf))
			continue;
		for (unsigned i = 0; i < btrfs_header_nritems(leaf); i++) {
			struct btrfs_key key = btrfs_item_key(leaf, i);
			uint64_t more = 0;

			while (key.type == BTRFS_FREE_SPACE_EXTENT_KEY &&
			       is_block(key.objectid - more - img.nodesize))
				more += img.nodesize;
			if (!more || !use_less(key.objectid, more))
				continue;
			set64(b, &leaf->items[i].key.objectid, key.objectid - more);
			set64(b, &leaf->items[i].key.offset, key.offset + more);
			judge("blocks in use are free", key.objectid - more);
		}
	}
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: hostile IMAGE\n");
		return 2;
	}
	if (!testimg_load(&img, argv[1]))
		return 2;
	loops();
	twins();
	given_away();
	printf("%u images, of %u something was said\n", variants, told);
	testimg_free(&img);
	return !variants || unsaid;
}
