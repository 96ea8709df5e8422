/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of `ubtrfs-dump tree` share. */
#ifndef UBTRFS_TOOLS_DUMP_TREE_H
#define UBTRFS_TOOLS_DUMP_TREE_H

#include "tools/dump/dump.h"
#include "tools/dump/json.h"
#include "tools/dump/walk.h"

#include "ondisk/print.h"

struct tree_opts {
	struct dump d;
	bool extents, device, roots, backups, uuid, follow;
	bool hide_names, csum_headers, csum_items;
	enum walk_order order;
	bool have_tree;
	uint64_t tree;
	uint64_t *blocks;
	size_t nr_blocks;
	struct text *t;
	struct btrfs_print print;
	struct json json;
	struct walk walk;
};

/* -1 to go on, or the exit code to end with. */
int tree_parse(struct tree_opts *o, int argc, char **argv);

#endif
