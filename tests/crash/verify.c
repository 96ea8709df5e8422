// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * That lab_verify finds what it is there for: numbers that each leaf and the superblock may have,
 * and that only contradict others, are altered one by one in an image, checksums made to fit.
 *
 * usage: verify-finds IMAGE
 */
#include "engine/lab.h"
#include "ondisk/format.h"
#include "tests/lib/testimg.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static struct testimg img;

static void add_4096(void *arg, uint8_t *p, uint32_t len)
{
	le64 v;

	memcpy(&v, p, sizeof(v));
	v = le64_make(le64_get(v) + 4096);
	memcpy(p, &v, sizeof(v));
}

static void add_1(void *arg, uint8_t *p, uint32_t len)
{
	p[0]++;
}

static int verify(void)
{
	struct eng_open_opts opts = testimg_opts();
	struct eng_fs *fs;
	int err = testimg_open(&img, &opts, &fs);

	if (err)
		return err;
	err = lab_verify(fs);
	eng_close(fs);
	return err;
}

static unsigned missed;

static void judge(const char *what, bool patched)
{
	int err = patched ? verify() : -ENOENT;

	if (err != -EUCLEAN) {
		printf("%s: %s\n", what, err ? strerrorname_np(-err) : "not found");
		missed++;
	}
	testimg_undo(&img);
}

/* The last item of this type; false: none. mkfs.btrfs leaves free space of groups that are gone,
 * first ones. */
static bool find(uint64_t owner, uint8_t type, unsigned *out_block, unsigned *out_slot)
{
	bool found = false;

	for (unsigned b = 1; b < img.block_nr; b++) {
		const void *leaf = img.good + img.blocks[b].physical[0];

		if (btrfs_header_level(leaf) || (owner && btrfs_header_owner(leaf) != owner))
			continue;
		for (unsigned i = 0; i < btrfs_header_nritems(leaf); i++) {
			if (btrfs_item_key(leaf, i).type != type)
				continue;
			*out_block = b;
			*out_slot = i;
			found = true;
		}
	}
	return found;
}

static void alter_item(const char *what, uint64_t owner, uint8_t type, size_t field,
		       void (*change)(void *arg, uint8_t *p, uint32_t len))
{
	unsigned block, slot;
	const void *leaf;

	if (!find(owner, type, &block, &slot)) {
		judge(what, false);
		return;
	}
	leaf = img.good + img.blocks[block].physical[0];
	judge(what, testimg_patch(&img, block,
				  (uint32_t)(sizeof(struct btrfs_header) +
					     btrfs_item_offset(leaf, slot) + field),
				  8, change, NULL));
}

int main(int argc, char **argv)
{
	int err;

	if (argc != 2 || !testimg_load(&img, argv[1]))
		return 2;
	err = verify();
	if (err) {
		printf("the good image: %s\n", strerrorname_np(-err));
		return 1;
	}
	judge("bytes used, of the superblock",
	      testimg_patch(&img, 0, offsetof(struct btrfs_super_block, bytes_used), 8, add_4096,
			    NULL));
	alter_item("bytes used, of a block group", 0, BTRFS_BLOCK_GROUP_ITEM_KEY,
		   offsetof(struct btrfs_block_group_item, used), add_4096);
	alter_item("references of a block", BTRFS_EXTENT_TREE_OBJECTID, BTRFS_METADATA_ITEM_KEY,
		   offsetof(struct btrfs_extent_item, refs), add_1);
	alter_item("references of data", BTRFS_EXTENT_TREE_OBJECTID, BTRFS_EXTENT_ITEM_KEY,
		   offsetof(struct btrfs_extent_item, refs), add_1);
	alter_item("bytes used, of a device", 0, BTRFS_DEV_ITEM_KEY,
		   offsetof(struct btrfs_dev_item, bytes_used), add_4096);
	alter_item("number of free extents", BTRFS_FREE_SPACE_TREE_OBJECTID,
		   BTRFS_FREE_SPACE_INFO_KEY, offsetof(struct btrfs_free_space_info, extent_count),
		   add_1);
	alter_item("chunk of a device extent", BTRFS_DEV_TREE_OBJECTID, BTRFS_DEV_EXTENT_KEY,
		   offsetof(struct btrfs_dev_extent, chunk_offset), add_4096);
	printf("%u missed\n", missed);
	testimg_free(&img);
	return missed != 0;
}
