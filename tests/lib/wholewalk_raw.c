// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The walk over what inspection shows: the superblock, chunks and where they lie, the items of each
 * tree, the blocks of each tree as text, and each file's extents. Under `partial` any of it may be
 * missing.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "ondisk/print.h"
#include "tests/lib/wholewalk_priv.h"

static int add_place(void *arg, const struct ins_place *p)
{
	struct walk *w = arg;

	walk_add64(w, p->logical);
	walk_add64(w, p->len);
	walk_add64(w, p->devid);
	walk_add64(w, p->physical);
	return walk_take(w, &w->left.items, 1) ? 0 : 1;
}

static void walk_chunks(struct walk *w)
{
	struct ins_chunk c;

	for (unsigned i = 0; ins_chunk(w->fs, i, &c); i++) {
		uint64_t used, first = c.len < 1 << 20 ? c.len : 1 << 20;
		int err;

		walk_add64(w, c.logical);
		walk_add64(w, c.len);
		walk_add64(w, c.type);
		walk_add(w, c.profile, strlen(c.profile));
		if (!walk_take(w, &w->left.items, 1))
			return;
		walk_failed(w, ins_map(w->fs, c.logical, first, add_place, w));
		err = ins_block_group_used(w->fs, c.logical, &used);
		if (err == -ENXIO || err == -ENOENT)
			continue;
		if (!walk_failed(w, err))
			walk_add64(w, used);
	}
}

static int to_nowhere(void *arg, const char *buf, size_t len)
{
	walk_add(arg, buf, len);
	return 0;
}

/* A block and those below it. A block that names itself is stopped by the level, others by the
 * count. */
static void walk_block(struct walk *w, const struct btrfs_block_expect *expect)
{
	const struct btrfs_geometry *geo = ins_geometry(w->fs);
	struct btrfs_check_error err;
	struct btrfs_print print;
	char text[4096];
	struct text t = { .buf = text, .size = sizeof(text), .flush = to_nowhere, .arg = w };
	uint8_t *buf;
	int ret;

	if (!walk_take(w, &w->left.blocks, 1))
		return;
	w->out->blocks++;
	buf = calloc(1, geo->nodesize);
	if (!buf)
		return;
	ret = ins_block_read(w->fs, expect, buf, &err);
	walk_failed(w, ret);
	if (!ret || ret == -EUCLEAN) {
		/* A dump shows bad blocks too. */
		btrfs_print_init(&print, &t, geo);
		btrfs_print_block(&print, buf, expect->logical);
		text_flush(&t);
	}
	for (uint32_t i = 0; !ret && btrfs_header_level(buf) && i < btrfs_header_nritems(buf);
	     i++) {
		struct btrfs_block_expect child = {
			.logical = btrfs_node_blockptr(buf, i),
			.generation = le64_get(btrfs_node_ptr(buf, i)->generation),
			.level = (int)btrfs_header_level(buf) - 1,
			.have_first_key = true,
			.first_key = btrfs_node_key(buf, i),
		};

		if (i == 0)
			ins_block_prefetch(w->fs, &child, 1);
		walk_block(w, &child);
	}
	/* The last copy as it is, whatever that is. */
	ins_block_read_copy(w->fs, expect->logical, ins_copies(w->fs, expect->logical), buf,
			    geo->nodesize);
	free(buf);
}

static int add_item(void *arg, const struct btrfs_key *key, const void *item, uint32_t len)
{
	struct walk *w = arg;

	walk_add64(w, key->objectid);
	walk_add64(w, key->type);
	walk_add64(w, key->offset);
	walk_add(w, item, len);
	w->out->items++;
	return walk_take(w, &w->left.items, 1) ? 0 : 1;
}

static int add_extent(void *arg, const struct ins_extent *e)
{
	struct walk *w = arg;

	walk_add64(w, e->off);
	walk_add64(w, e->len);
	walk_add64(w, e->refs);
	walk_add64(w, e->shared);
	return walk_take(w, &w->left.items, 1) ? 0 : 1;
}

struct inode_list {
	struct walk *w;
	uint64_t inos[256];
	unsigned nr;
};

static int take_inode(void *arg, uint64_t transid, uint64_t objectid, uint8_t type, uint64_t offset,
		      const void *item, uint32_t len)
{
	struct inode_list *l = arg;

	walk_add64(l->w, transid);
	walk_add(l->w, item, len);
	if (type == BTRFS_INODE_ITEM_KEY)
		l->inos[l->nr++] = objectid;
	if (l->nr == sizeof(l->inos) / sizeof(l->inos[0]))
		return 1;
	return walk_take(l->w, &l->w->left.items, 1) ? 0 : 1;
}

static void walk_tree(struct walk *w, uint64_t id)
{
	const struct btrfs_key zero = { 0 };
	const struct eng_search range = { .tree_id = id,
					  .max_objectid = UINT64_MAX,
					  .max_offset = UINT64_MAX,
					  .max_transid = UINT64_MAX,
					  .max_type = UINT8_MAX };
	struct inode_list inodes = { .w = w };
	struct btrfs_block_expect expect;
	struct ins_root root;
	int ret = ins_root(w->fs, id, &root);

	if (ret == -ENOENT || walk_failed(w, ret))
		return;
	walk_add64(w, root.bytenr);
	walk_add64(w, root.generation);
	walk_failed(w, ins_items(w->fs, &root, &zero, add_item, w));
	expect = (struct btrfs_block_expect){
		.logical = root.bytenr,
		.generation = root.generation,
		.level = root.level,
	};
	walk_block(w, &expect);
	walk_failed(w, eng_tree_search(w->fs, &range, take_inode, &inodes));
	for (unsigned i = 0; btrfs_is_fstree(id) && i < inodes.nr; i++)
		walk_failed(w, ins_extents(w->fs, (struct eng_ino){ id, inodes.inos[i] },
					   add_extent, w));
}

struct tree_list {
	struct walk *w;
	uint64_t ids[WALK_SUBVOLS];
	unsigned nr;
};

static int take_tree(void *arg, const struct btrfs_key *key, const void *item, uint32_t len)
{
	struct tree_list *l = arg;

	if (key->type == BTRFS_ROOT_ITEM_KEY)
		l->ids[l->nr++] = key->objectid;
	return l->nr == WALK_SUBVOLS;
}

void walk_raw(struct walk *w)
{
	struct btrfs_super_block sb = *ins_super(w->fs);
	const struct btrfs_key zero = { 0 };
	struct tree_list l = { .w = w };
	char text[4096];
	struct text t = { .buf = text, .size = sizeof(text), .flush = to_nowhere, .arg = w };
	struct btrfs_print print;
	struct ins_root root;

	/* Which copy it is makes no difference. */
	memset(sb.csum, 0, sizeof(sb.csum));
	sb.bytenr = le64_make(0);
	btrfs_print_init(&print, &t, ins_geometry(w->fs));
	btrfs_print_super(&print, &sb, true);
	btrfs_print_backups(&print, &sb);
	text_flush(&t);
	walk_chunks(w);
	walk_tree(w, BTRFS_ROOT_TREE_OBJECTID);
	walk_tree(w, BTRFS_CHUNK_TREE_OBJECTID);
	if (walk_failed(w, ins_root(w->fs, BTRFS_ROOT_TREE_OBJECTID, &root)))
		return;
	walk_failed(w, ins_items(w->fs, &root, &zero, take_tree, &l));
	for (unsigned i = 0; i < l.nr; i++)
		walk_tree(w, l.ids[i]);
}
