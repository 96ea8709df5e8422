// SPDX-License-Identifier: GPL-2.0-or-later
/* The options of `ubtrfs-dump tree`: those of `btrfs inspect-internal dump-tree`, and ours. */
#include "tools/dump/tree.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char help[] = "usage: ubtrfs-dump tree [OPTIONS] DEV...\n\n"
			   "  -e, --extents        only the extent and device trees\n"
			   "  -d, --device         only the root, chunk and device trees\n"
			   "  -r, --roots          only where the roots are\n"
			   "  -R, --backups        that, and the backup roots\n"
			   "  -u, --uuid           only the UUID tree\n"
			   "  -b, --block BYTENR   only this block; may be given many times\n"
			   "      --follow         with -b: the blocks below it too\n"
			   "  -t, --tree TREE      only this tree, by number or name\n"
			   "      --bfs            level by level (the default)\n"
			   "      --dfs            each node before its children\n"
			   "      --hide-names     HIDDEN instead of names and xattr values\n"
			   "      --csum-headers   the checksum of each block\n"
			   "      --csum-items     the checksums in checksum items\n"
			   "      --noscan         no devices but the given ones\n";

enum {
	OPT_FOLLOW = OPT_OWN,
	OPT_BFS,
	OPT_DFS,
	OPT_HIDE_NAMES,
	OPT_CSUM_HEADERS,
	OPT_CSUM_ITEMS,
	OPT_NOSCAN,
};

/* ROOT, ROOT_TREE, BTRFS_ROOT_TREE_OBJECTID; any case; 0: no such tree. */
static uint64_t tree_by_name(const char *s, const char **out_rest)
{
	static const struct {
		const char *name;
		uint64_t id;
	} trees[] = {
		{ "ROOT", BTRFS_ROOT_TREE_OBJECTID },
		{ "EXTENT", BTRFS_EXTENT_TREE_OBJECTID },
		{ "CHUNK", BTRFS_CHUNK_TREE_OBJECTID },
		{ "DEVICE", BTRFS_DEV_TREE_OBJECTID },
		{ "DEV", BTRFS_DEV_TREE_OBJECTID },
		{ "FS", BTRFS_FS_TREE_OBJECTID },
		{ "CSUM", BTRFS_CSUM_TREE_OBJECTID },
		{ "CHECKSUM", BTRFS_CSUM_TREE_OBJECTID },
		{ "QUOTA", BTRFS_QUOTA_TREE_OBJECTID },
		{ "UUID", BTRFS_UUID_TREE_OBJECTID },
		{ "FREE_SPACE", BTRFS_FREE_SPACE_TREE_OBJECTID },
		{ "FREE-SPACE", BTRFS_FREE_SPACE_TREE_OBJECTID },
		{ "TREE_LOG_FIXUP", BTRFS_TREE_LOG_FIXUP_OBJECTID },
		{ "TREE-LOG-FIXUP", BTRFS_TREE_LOG_FIXUP_OBJECTID },
		{ "TREE_LOG", BTRFS_TREE_LOG_OBJECTID },
		{ "TREE-LOG", BTRFS_TREE_LOG_OBJECTID },
		{ "TREE_RELOC", BTRFS_TREE_RELOC_OBJECTID },
		{ "TREE-RELOC", BTRFS_TREE_RELOC_OBJECTID },
		{ "DATA_RELOC", BTRFS_DATA_RELOC_TREE_OBJECTID },
		{ "DATA-RELOC", BTRFS_DATA_RELOC_TREE_OBJECTID },
		{ "BLOCK_GROUP", BTRFS_BLOCK_GROUP_TREE_OBJECTID },
		{ "BLOCK-GROUP", BTRFS_BLOCK_GROUP_TREE_OBJECTID },
		{ "RAID_STRIPE", BTRFS_RAID_STRIPE_TREE_OBJECTID },
		{ "RAID-STRIPE", BTRFS_RAID_STRIPE_TREE_OBJECTID },
	};
	uint64_t id = 0;

	if (!strncasecmp(s, "BTRFS_", 6))
		s += 6;
	for (size_t i = 0; i < sizeof(trees) / sizeof(*trees) && !id; i++) {
		size_t len = strlen(trees[i].name);

		if (!strncasecmp(s, trees[i].name, len)) {
			id = trees[i].id;
			s += len;
		}
	}
	if (id && (!strncasecmp(s, "_TREE", 5) || !strncasecmp(s, "-TREE", 5)))
		s += 5;
	if (id && !strncasecmp(s, "_OBJECTID", 9))
		s += 9;
	*out_rest = s;
	return id;
}

static bool set_tree(struct tree_opts *o, const char *s)
{
	const char *rest = "";

	if (isdigit((unsigned char)s[0])) {
		if (!dump_number("--tree", s, &o->tree))
			return false;
	} else {
		o->tree = tree_by_name(s, &rest);
	}
	if (!o->tree || *rest) {
		dump_error("no tree is called '%s'", s);
		return false;
	}
	o->have_tree = true;
	return true;
}

static bool add_block(struct tree_opts *o, const char *s)
{
	uint64_t *more, at;

	if (!dump_number("--block", s, &at))
		return false;
	for (size_t i = 0; i < o->nr_blocks; i++) {
		if (o->blocks[i] == at) {
			dump_warn("block %llu was given twice", (unsigned long long)at);
			return true;
		}
	}
	more = realloc(o->blocks, (o->nr_blocks + 1) * sizeof(*more));
	if (!more) {
		dump_error("out of memory");
		return false;
	}
	o->blocks = more;
	o->blocks[o->nr_blocks++] = at;
	return true;
}

static int take_option(struct tree_opts *o, int opt)
{
	switch (opt) {
	case 'e':
		o->extents = true;
		return -1;
	case 'd':
		o->device = true;
		return -1;
	case 'R':
		o->backups = true;
		o->roots = true;
		return -1;
	case 'r':
		o->roots = true;
		return -1;
	case 'u':
		o->uuid = true;
		return -1;
	case 'b':
		return add_block(o, optarg) ? -1 : DUMP_USAGE;
	case 't':
		return set_tree(o, optarg) ? -1 : DUMP_USAGE;
	case OPT_FOLLOW:
		o->follow = true;
		return -1;
	case OPT_BFS:
		o->order = WALK_BFS;
		return -1;
	case OPT_DFS:
		o->order = WALK_DFS;
		return -1;
	case OPT_HIDE_NAMES:
		o->hide_names = true;
		return -1;
	case OPT_CSUM_HEADERS:
		o->csum_headers = true;
		return -1;
	case OPT_CSUM_ITEMS:
		o->csum_items = true;
		return -1;
	case OPT_NOSCAN:
		o->d.noscan = true;
		return -1;
	default:
		return dump_common_option(&o->d, opt, help);
	}
}

int tree_parse(struct tree_opts *o, int argc, char **argv)
{
	static const struct option options[] = {
		{ "extents", no_argument, NULL, 'e' },
		{ "device", no_argument, NULL, 'd' },
		{ "roots", no_argument, NULL, 'r' },
		{ "backups", no_argument, NULL, 'R' },
		{ "uuid", no_argument, NULL, 'u' },
		{ "block", required_argument, NULL, 'b' },
		{ "tree", required_argument, NULL, 't' },
		{ "follow", no_argument, NULL, OPT_FOLLOW },
		{ "bfs", no_argument, NULL, OPT_BFS },
		{ "dfs", no_argument, NULL, OPT_DFS },
		{ "hide-names", no_argument, NULL, OPT_HIDE_NAMES },
		{ "csum-headers", no_argument, NULL, OPT_CSUM_HEADERS },
		{ "csum-items", no_argument, NULL, OPT_CSUM_ITEMS },
		{ "noscan", no_argument, NULL, OPT_NOSCAN },
		{ "add-device", required_argument, NULL, OPT_DEVICE },
		{ "offset", required_argument, NULL, OPT_OFFSET },
		{ "degraded", no_argument, NULL, OPT_DEGRADED },
		{ "rescue", required_argument, NULL, OPT_RESCUE },
		{ "json", no_argument, NULL, OPT_JSON },
		{ "help", no_argument, NULL, OPT_HELP },
		{ NULL, 0, NULL, 0 },
	};
	int opt, code;

	while ((opt = getopt_long(argc, argv, "erRdub:t:", options, NULL)) != -1) {
		code = take_option(o, opt);
		if (code >= 0)
			return code;
	}
	for (; optind < argc; optind++)
		if (!dump_add_device(&o->d, argv[optind]))
			return DUMP_USAGE;
	if (o->d.nr_devices)
		return -1;
	dump_error("tree: no device given");
	return DUMP_USAGE;
}
