// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Orphans: inodes without a link, which an orphan item in their subvolume names until they are
 * gone.
 *
 * Evicting may take many transactions: from the last item, which is of the data, to the inode's
 * own, and with that the orphan item. Whatever breaks off in between is continued by the next
 * open's chg_orphans.
 */
#include "engine/file/change_priv.h"

struct btrfs_key orphan_key(uint64_t ino)
{
	return (struct btrfs_key){ BTRFS_ORPHAN_OBJECTID, BTRFS_ORPHAN_ITEM_KEY, ino };
}

int orphan_add(struct chg *c, uint64_t ino)
{
	const struct btrfs_key key = orphan_key(ino);
	int err = item_insert(c, &key, NULL, 0);

	return err == -EEXIST ? 0 : err;
}

int orphan_remove(struct chg *c, uint64_t ino)
{
	const struct btrfs_key key = orphan_key(ino);

	return item_delete(c, &key);
}

/* Deletes the items of these types, then the orphan item. */
static int drop_items(struct chg *c, uint64_t ino, uint8_t min_type, uint8_t max_type)
{
	struct trunc t = { .ino = ino, .min_type = min_type, .max_type = max_type };
	int more, err;

	do {
		err = chg_begin(c, TRUNC_STEPS + 2, true);
		if (err)
			return err;
		t.nbytes = 0;
		more = err = trunc_round(c, &t);
		if (!more) {
			err = orphan_remove(c, ino);
		} else if (more > 0) {
			err = t.nbytes ? trunc_edit(c, &t, true, NULL, NULL) : 0;
		}
		/* Of a damaged inode either may be missing, and does not matter any more. */
		err = chg_done(c, err == -ENOENT ? 0 : err);
	} while (!err && more);
	return err;
}

int chg_evict(struct chg *c, uint64_t ino)
{
	struct ino_attr attr;
	int err = ino_load(c->fs, c->root, ino, &attr);

	/* The inode's items went, and then came the crash. */
	if (err == -ENOENT)
		return drop_items(c, ino, 0, UINT8_MAX);
	if (!err && attr.nlink)
		err = -EINVAL;
	return err ? err : drop_items(c, ino, 0, UINT8_MAX);
}

static int next_orphan(struct chg *c, uint64_t from, uint64_t *out_ino)
{
	const struct btrfs_key first = orphan_key(from);
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	struct btrfs_key key;
	int ret = bt_search_ge(&c->tree->root, &first, &path);

	if (ret)
		return ret;
	key = bt_key(&path);
	*out_ino = key.offset;
	return key.objectid != BTRFS_ORPHAN_OBJECTID || key.type != BTRFS_ORPHAN_ITEM_KEY;
}

/* An item can name any number: only an inode's is one to take items away by. */
static int check_orphan(const struct chg *c, uint64_t ino)
{
	const struct btrfs_key key = orphan_key(ino);

	/* The latter is of the inode caches that Linux made before 5.11. */
	if ((ino >= BTRFS_FIRST_FREE_OBJECTID && ino <= BTRFS_LAST_FREE_OBJECTID) ||
	    ino == BTRFS_FREE_INO_OBJECTID)
		return 0;
	return chg_corrupt(c, &key, "not an inode's number");
}

int chg_orphans(struct chg *c)
{
	uint64_t ino = 0;
	int ret;

	for (;;) {
		struct ino_attr attr;

		ret = next_orphan(c, ino, &ino);
		if (ret)
			return ret < 0 ? ret : 0;
		ret = check_orphan(c, ino);
		if (ret)
			return ret;
		ret = ino_load(c->fs, c->root, ino, &attr);
		/* With links it is a verity file that was not finished, or left by a truncate of
		 * Linux before 4.18. */
		if (!ret && attr.nlink)
			ret = drop_items(c, ino, BTRFS_VERITY_DESC_ITEM_KEY,
					 BTRFS_VERITY_MERKLE_ITEM_KEY);
		else if (!ret || ret == -ENOENT)
			ret = chg_evict(c, ino);
		if (ret)
			return ret;
		if (++ino == 0)
			return 0;
	}
}
