// SPDX-License-Identifier: GPL-2.0-or-later
/* Who uses an extent, for people who debug a filesystem. */
#include "engine/api/api_priv.h"

#include "engine/inspect.h"
#include "engine/space/extent_tree.h"

struct teller {
	int (*fn)(void *arg, const struct ins_backref *ref);
	void *arg;
};

static int tell(void *arg, const struct backref *ref)
{
	struct teller *t = arg;
	const struct ins_backref out = { ref->root, ref->ino, ref->offset, ref->parent,
					 ref->level };

	return t->fn(t->arg, &out);
}

int ins_backrefs(struct eng_fs *efs, uint64_t logical,
		 int (*fn)(void *arg, const struct ins_backref *ref), void *arg)
{
	struct fs *fs = &efs->fs;
	struct bt_tree root, chunk, extent;
	struct space_fs sfs = {
		.vol = fs->vol,
		.cache = fs->cache,
		.msg = fs->msg,
		.counters = &fs->counters,
		.root = &root,
		.extent = &extent,
		.chunk = &chunk,
		.nodesize = fs->nodesize,
		.sectorsize = fs->sectorsize,
		.skinny =
			le64_get(fs->super.incompat_flags) & BTRFS_FEATURE_INCOMPAT_SKINNY_METADATA,
	};
	struct teller t = { fn, arg };
	int ret;

	if (fs->txn)
		return -EOPNOTSUPP;
	if (!fs->tree_root.bytenr || !fs->extent_root.bytenr)
		return -ENXIO;
	bt_tree_init(&root, &fs->tree_root);
	bt_tree_init(&chunk, &fs->chunk_root);
	bt_tree_init(&extent, &fs->extent_root);
	/* They do not change: searches need no locks. */
	root.root.tree = chunk.root.tree = extent.root.tree = NULL;
	ret = backref_walk(&sfs, logical, tell, &t);
	bt_tree_destroy(&extent);
	bt_tree_destroy(&chunk);
	bt_tree_destroy(&root);
	return ret;
}
