// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Images in memory. The list of blocks is made by the engine, from the image while it is whole.
 *
 * Invariant: outside of `dirty`, `data` equals `good`.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "engine/inspect.h"
#include "engine/lab.h"
#include "ondisk/csum.h"
#include "tests/lib/testimg.h"

struct eng_open_opts testimg_opts(void)
{
	return (struct eng_open_opts){
		.share = ENG_SHARE_LOOK,
		.metadata_cache = 1 << 20,
		.readahead = 1 << 20,
		.threads = 1,
		.workers = 0,
		.no_uring = true,
	};
}

int testimg_open(const struct testimg *img, const struct eng_open_opts *opts,
		 struct eng_fs **out_fs)
{
	const struct lab_image dev = { "image", img->data, img->bytes };

	return lab_open_images(&dev, 1, opts, out_fs);
}

static bool add_block(struct testimg *img, const struct testimg_block *b)
{
	struct testimg_block *grown;

	if (!(img->block_nr & (img->block_nr + 1))) {
		grown = realloc(img->blocks, (img->block_nr + 1) * 2 * sizeof(*grown));
		if (!grown)
			return false;
		img->blocks = grown;
	}
	img->blocks[img->block_nr++] = *b;
	return true;
}

static bool known(const struct testimg *img, uint64_t logical)
{
	for (unsigned i = 1; i < img->block_nr; i++)
		if (img->blocks[i].logical == logical)
			return true;
	return false;
}

static int add_place(void *arg, const struct ins_place *place)
{
	struct testimg_block *b = arg;

	if (b->copies < TESTIMG_COPIES)
		b->physical[b->copies++] = place->physical;
	return 0;
}

/* A block and all below it; snapshots share blocks, each is wanted once. */
static bool add_tree(struct testimg *img, struct eng_fs *fs, uint64_t logical)
{
	const struct btrfs_block_expect expect = { .logical = logical, .level = -1 };
	struct testimg_block b = { .logical = logical, .len = img->nodesize };
	struct btrfs_check_error err;
	bool ok;
	uint8_t *buf;

	if (known(img, logical))
		return true;
	buf = malloc(img->nodesize);
	ok = buf && !ins_block_read(fs, &expect, buf, &err) &&
	     !ins_map(fs, logical, img->nodesize, add_place, &b) && add_block(img, &b);
	for (uint32_t i = 0; ok && btrfs_header_level(buf) && i < btrfs_header_nritems(buf); i++)
		ok = add_tree(img, fs, btrfs_node_blockptr(buf, i));
	free(buf);
	return ok;
}

struct roots {
	struct testimg *img;
	struct eng_fs *fs;
};

static int add_root(void *arg, uint64_t transid, uint64_t objectid, uint8_t type, uint64_t offset,
		    const void *item, uint32_t len)
{
	const struct btrfs_root_item *ri = item;
	struct roots *r = arg;

	if (type != BTRFS_ROOT_ITEM_KEY)
		return 0;
	return add_tree(r->img, r->fs, le64_get(ri->bytenr)) ? 0 : -EIO;
}

static bool list_blocks(struct testimg *img, struct eng_fs *fs)
{
	const struct eng_search all = { .tree_id = BTRFS_ROOT_TREE_OBJECTID,
					.max_objectid = UINT64_MAX,
					.max_offset = UINT64_MAX,
					.max_transid = UINT64_MAX,
					.max_type = UINT8_MAX };
	struct testimg_block super = { .super = true, .len = BTRFS_SUPER_INFO_SIZE };
	struct roots r = { img, fs };
	struct ins_root root;

	for (int i = 0; i < BTRFS_SUPER_MIRROR_MAX; i++) {
		uint64_t at = btrfs_sb_offset(i);
		const struct btrfs_super_block *sb = (const void *)(img->good + at);

		if (at + sizeof(*sb) <= img->bytes && le64_get(sb->magic) == BTRFS_MAGIC)
			super.physical[super.copies++] = at;
	}
	super.logical = super.physical[0];
	return add_block(img, &super) && !ins_root(fs, BTRFS_CHUNK_TREE_OBJECTID, &root) &&
	       add_tree(img, fs, root.bytenr) && !ins_root(fs, BTRFS_ROOT_TREE_OBJECTID, &root) &&
	       add_tree(img, fs, root.bytenr) && !eng_tree_search(fs, &all, add_root, &r);
}

static void complain(void *arg, enum eng_msg_level level, const char *text)
{
	if (level <= ENG_MSG_WARN)
		fprintf(stderr, "%s\n", text);
}

bool testimg_load(struct testimg *img, const char *path)
{
	struct eng_open_opts opts = testimg_opts();
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct eng_fs *fs = NULL;
	struct stat st;
	bool ok;

	*img = (struct testimg){ .data = MAP_FAILED, .good = MAP_FAILED };
	if (fd < 0 || fstat(fd, &st)) {
		perror(path);
		return false;
	}
	img->bytes = (uint64_t)st.st_size;
	img->data = mmap(NULL, img->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	img->good = mmap(NULL, img->bytes, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	opts.message = complain;
	ok = img->data != MAP_FAILED && img->good != MAP_FAILED && !testimg_open(img, &opts, &fs);
	if (ok) {
		struct eng_fs_info info;

		eng_fs_info(fs, &info);
		img->nodesize = info.nodesize;
		img->csum_type = info.csum_type;
		ok = list_blocks(img, fs);
	}
	eng_close(fs);
	if (!ok) {
		fprintf(stderr, "%s: cannot be taken in\n", path);
		testimg_free(img);
	}
	return ok;
}

void testimg_free(struct testimg *img)
{
	if (img->data != MAP_FAILED)
		munmap(img->data, img->bytes);
	if (img->good != MAP_FAILED)
		munmap((void *)img->good, img->bytes);
	free(img->blocks);
	*img = (struct testimg){ .data = MAP_FAILED, .good = MAP_FAILED };
}

static bool mark_dirty(struct testimg *img, uint64_t physical, uint32_t len)
{
	for (unsigned i = 0; i < img->dirty_nr; i++)
		if (img->dirty[i].physical == physical && img->dirty[i].len >= len)
			return true;
	if (img->dirty_nr == TESTIMG_DIRTY)
		return false;
	img->dirty[img->dirty_nr].physical = physical;
	img->dirty[img->dirty_nr++].len = len;
	return true;
}

bool testimg_patch(struct testimg *img, unsigned b, uint32_t off, uint32_t len,
		   void (*change)(void *arg, uint8_t *p, uint32_t len), void *arg)
{
	const struct testimg_block *block = &img->blocks[b];

	if (off > block->len || len > block->len - off)
		return false;
	for (unsigned i = 0; i < block->copies; i++) {
		uint8_t *p = img->data + block->physical[i];

		if (!mark_dirty(img, block->physical[i], block->len))
			return false;
		change(arg, p + off, len);
		if (off >= BTRFS_CSUM_SIZE)
			btrfs_csum(img->csum_type, p + BTRFS_CSUM_SIZE,
				   block->len - BTRFS_CSUM_SIZE, p);
	}
	return true;
}

bool testimg_patch_raw(struct testimg *img, uint64_t physical, const void *bytes, uint32_t len)
{
	if (physical > img->bytes || len > img->bytes - physical || !mark_dirty(img, physical, len))
		return false;
	memcpy(img->data + physical, bytes, len);
	return true;
}

void testimg_undo(struct testimg *img)
{
	while (img->dirty_nr) {
		uint64_t physical = img->dirty[--img->dirty_nr].physical;

		memcpy(img->data + physical, img->good + physical, img->dirty[img->dirty_nr].len);
	}
}
