// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ubtrfs-dump tree: trees as `btrfs inspect-internal dump-tree` of btrfs-progs 6.14 shows them,
 * line for line, its first line included. What is told on stderr is our own.
 */
#include "tools/dump/tree.h"

#include <stdlib.h>

/* ---- output ---- */

static void problem(void *arg, const char *text)
{
	struct tree_opts *o = arg;

	text_flush(o->t);
	dump_warn("%s", text);
	o->d.damaged = true;
}

static void show_block(void *arg, const void *block, uint64_t logical)
{
	struct tree_opts *o = arg;

	if (o->d.json)
		json_block(&o->json, block, logical, o->print.nodesize);
	else
		btrfs_print_block(&o->print, block, logical);
}

static void json_tree_begin(struct json *j, const struct ins_root *root,
			    const struct btrfs_key *key)
{
	char name[32];
	struct text t = TEXT_FIXED(name);

	json_open(j, '{');
	if (root->id) { /* else a block by its address */
		btrfs_objectid_to_text(&t, root->id, 0);
		json_put_u64(j, "tree", root->id);
		json_put_string(j, "tree_name", text_done(&t));
		if (key) {
			json_name(j, "key");
			json_key(j, key);
		}
		json_put_u64(j, "generation", root->generation);
		json_put_u64(j, "level", root->level);
	}
	json_put_u64(j, "bytenr", root->bytenr);
	json_name(j, "blocks");
	json_open(j, '[');
}

static void json_tree_end(struct json *j)
{
	json_close(j, ']');
	json_close(j, '}');
	text_char(j->t, '\n');
}

/* A tree with its heading; `key` NULL for those that no root item names. */
static void show_tree(struct tree_opts *o, const char *name, const struct btrfs_key *key,
		      const struct ins_root *root)
{
	struct text *t = o->t;
	/* A tree that is asked for by name and has no root item is shown whole, whatever -r and -e
	 * say. */
	bool whole = !key && o->have_tree;
	bool roots = o->roots && !whole, extents = o->extents && !whole;

	if (o->d.json) {
		json_tree_begin(&o->json, root, key);
		if (!roots)
			walk_tree(&o->walk, root, extents ? WALK_LEAVES : o->order);
		json_tree_end(&o->json);
		return;
	}
	text_str(t, name);
	if (key) {
		text_str(t, " tree key ");
		btrfs_key_to_text(t, key);
		if (extents)
			text_char(t, '\n');
		else if (!roots)
			text_str(t, " \n");
	} else {
		text_str(t, roots ? " tree:" : " tree\n");
	}
	if (roots && !extents) {
		text_char(t, ' ');
		text_u64(t, root->bytenr);
		text_str(t, " level ");
		text_u64(t, root->level);
		text_char(t, '\n');
	} else {
		walk_tree(&o->walk, root, extents ? WALK_LEAVES : o->order);
	}
}

static const char *tree_heading(uint64_t id)
{
	switch (id) {
	case BTRFS_ROOT_TREE_OBJECTID:
		return "root";
	case BTRFS_EXTENT_TREE_OBJECTID:
		return "extent";
	case BTRFS_CHUNK_TREE_OBJECTID:
		return "chunk";
	case BTRFS_DEV_TREE_OBJECTID:
		return "device";
	case BTRFS_FS_TREE_OBJECTID:
		return "fs";
	case BTRFS_ROOT_TREE_DIR_OBJECTID:
		return "directory";
	case BTRFS_CSUM_TREE_OBJECTID:
		return "checksum";
	case BTRFS_QUOTA_TREE_OBJECTID:
		return "quota";
	case BTRFS_UUID_TREE_OBJECTID:
		return "uuid";
	case BTRFS_FREE_SPACE_TREE_OBJECTID:
		return "free space";
	case BTRFS_BLOCK_GROUP_TREE_OBJECTID:
		return "block group";
	case BTRFS_RAID_STRIPE_TREE_OBJECTID:
		return "raid stripe";
	case BTRFS_ORPHAN_OBJECTID:
		return "orphan";
	case BTRFS_TREE_LOG_OBJECTID:
		return "log";
	case BTRFS_TREE_LOG_FIXUP_OBJECTID:
		return "log fixup";
	case BTRFS_TREE_RELOC_OBJECTID:
		return "reloc";
	case BTRFS_DATA_RELOC_TREE_OBJECTID:
		return "data reloc";
	case BTRFS_EXTENT_CSUM_OBJECTID:
		return "extent checksum";
	case BTRFS_MULTIPLE_OBJECTIDS:
		return "multiple";
	default:
		return "file";
	}
}

/* Whether -e, -d and -u leave this tree; alone or together, as they do in btrfs-progs. */
static bool wanted(const struct tree_opts *o, uint64_t id)
{
	switch (id) {
	case BTRFS_EXTENT_TREE_OBJECTID:
		if (!o->device && !o->uuid)
			return true;
		break;
	case BTRFS_DEV_TREE_OBJECTID:
		if (!o->uuid)
			return true;
		break;
	case BTRFS_UUID_TREE_OBJECTID:
		if (!o->extents && !o->device)
			return true;
		break;
	case BTRFS_ROOT_TREE_DIR_OBJECTID:
		return true;
	}
	return !(o->extents || o->device || o->uuid);
}

/* ---- what is shown ---- */

struct root_list {
	struct {
		struct btrfs_key key;
		struct ins_root root;
	} * roots;
	size_t nr, room;
	bool failed;
};

static void collect_roots(void *arg, const void *leaf, uint64_t logical)
{
	struct root_list *l = arg;

	for (unsigned i = 0; i < btrfs_header_nritems(leaf); i++) {
		const struct btrfs_root_item *ri = btrfs_item_ptr(leaf, i);
		struct btrfs_key key = btrfs_item_key(leaf, i);

		if (key.type != BTRFS_ROOT_ITEM_KEY ||
		    btrfs_item_size(leaf, i) < BTRFS_LEGACY_ROOT_ITEM_SIZE)
			continue;
		if (l->nr == l->room) {
			size_t room = l->room ? l->room * 2 : 64;
			void *more = realloc(l->roots, room * sizeof(*l->roots));

			if (!more) {
				l->failed = true;
				return;
			}
			l->roots = more;
			l->room = room;
		}
		l->roots[l->nr].key = key;
		l->roots[l->nr++].root = (struct ins_root){ .id = key.objectid,
							    .bytenr = le64_get(ri->bytenr),
							    .generation = le64_get(ri->generation),
							    .level = ri->level };
	}
}

/* Every tree that a root item in `from` names. */
static void show_listed(struct tree_opts *o, const struct ins_root *from)
{
	struct root_list list = { 0 };
	struct walk w;

	if (!walk_begin(&w, &o->d, collect_roots, &list))
		return;
	walk_tree(&w, from, WALK_LEAVES);
	walk_end(&w);
	if (list.failed)
		dump_error("out of memory: not all trees are shown");
	for (size_t i = 0; i < list.nr; i++) {
		uint64_t id = list.roots[i].key.objectid;

		if (o->have_tree && id != o->tree)
			continue;
		if (!wanted(o, id) || !list.roots[i].root.bytenr)
			continue;
		show_tree(o, tree_heading(id), &list.roots[i].key, &list.roots[i].root);
	}
	free(list.roots);
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void show_blocks(struct tree_opts *o)
{
	uint32_t sectorsize = ins_geometry(o->d.fs)->sectorsize;

	o->walk.show_damaged = true;
	qsort(o->blocks, o->nr_blocks, sizeof(*o->blocks), by_value);
	for (size_t i = 0; i < o->nr_blocks; i++) {
		const struct ins_root at = { .bytenr = o->blocks[i], .level = WALK_ANY_LEVEL };

		if (at.bytenr % sectorsize) {
			dump_error("block %llu: not a multiple of the sector size, %u",
				   (unsigned long long)at.bytenr, sectorsize);
			continue;
		}
		if (o->d.json)
			json_tree_begin(&o->json, &at, NULL);
		walk_tree(&o->walk, &at, o->follow ? o->order : WALK_ONE);
		if (o->d.json)
			json_tree_end(&o->json);
	}
}

/* The trees that the superblock itself names. Return: true if that was all that was asked for. */
static bool show_super_trees(struct tree_opts *o)
{
	static const struct {
		uint64_t id;
		const char *name;
	} trees[] = {
		{ BTRFS_ROOT_TREE_OBJECTID, "root" },
		{ BTRFS_CHUNK_TREE_OBJECTID, "chunk" },
		{ BTRFS_TREE_LOG_OBJECTID, "log root" },
	};
	struct ins_root root;

	for (unsigned i = 0; i < sizeof(trees) / sizeof(*trees); i++) {
		bool there = ins_root(o->d.fs, trees[i].id, &root) == 0;

		if (o->have_tree ? o->tree != trees[i].id : o->extents || o->uuid)
			continue;
		if (there)
			show_tree(o, trees[i].name, NULL, &root);
		else if (o->have_tree)
			dump_error("there is no log tree");
		if (o->have_tree)
			return true;
	}
	if (!o->have_tree || o->tree != BTRFS_BLOCK_GROUP_TREE_OBJECTID)
		return false;
	if (!ins_root(o->d.fs, o->tree, &root))
		show_tree(o, "block group", NULL, &root);
	else
		dump_error("there is no block group tree");
	return true;
}

static void show_end(struct tree_opts *o)
{
	const struct btrfs_super_block *sb = ins_super(o->d.fs);
	struct text *t = o->t;

	if (o->d.json)
		return;
	if (o->backups)
		btrfs_print_backups(&o->print, sb);
	text_str(t, "total bytes ");
	text_u64(t, le64_get(sb->total_bytes));
	text_str(t, "\nbytes used ");
	text_u64(t, le64_get(sb->bytes_used));
	text_str(t, "\nuuid ");
	text_uuid(t, sb->fsid);
	text_char(t, '\n');
}

static void show(struct tree_opts *o)
{
	struct ins_root root;

	if (o->nr_blocks) {
		show_blocks(o);
		return;
	}
	if (show_super_trees(o))
		return;
	if (!ins_root(o->d.fs, BTRFS_ROOT_TREE_OBJECTID, &root))
		show_listed(o, &root);
	if (!ins_root(o->d.fs, BTRFS_TREE_LOG_OBJECTID, &root))
		show_listed(o, &root);
	if (!(o->extents || o->device || o->uuid))
		show_end(o);
}

int cmd_tree(int argc, char **argv)
{
	struct tree_opts o = { .order = WALK_BFS, .d.device_option_taken = true };
	int code = tree_parse(&o, argc, argv), end;

	if (code >= 0)
		goto out;
	code = DUMP_FAILED;
	o.t = dump_out_begin();
	if (!dump_open(&o.d, true))
		goto out;
	btrfs_print_init(&o.print, o.t, ins_geometry(o.d.fs));
	o.print.hide_names = o.hide_names;
	o.print.csum_headers = o.csum_headers;
	o.print.csum_items = o.csum_items;
	o.print.problem = problem;
	o.print.arg = &o;
	if (walk_begin(&o.walk, &o.d, show_block, &o)) {
		code = DUMP_OK;
		if (o.d.json) {
			json_begin(&o.json, o.t);
			o.json.hide_names = o.hide_names;
			json_name(&o.json, "trees");
			json_open(&o.json, '[');
		} else {
			text_str(o.t, "btrfs-progs v6.14\n");
		}
		show(&o);
		if (o.d.json) {
			json_close(&o.json, ']');
			json_end(&o.json);
		}
		walk_end(&o.walk);
	}
	end = dump_out_end();
	code = dump_close(&o.d, code == DUMP_OK ? end : code);
out:
	free(o.blocks);
	return code;
}
