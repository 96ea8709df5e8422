// SPDX-License-Identifier: GPL-2.0-or-later
/* All references of one extent, as the extent tree has them: inline ones, then those with items. */
#include "engine/space/extent_priv.h"
#include "engine/util/fault.h"

#include <inttypes.h>
#include <stdlib.h>

static int keep(struct ref_list *l, const struct ref_seen *seen)
{
	struct ref_seen *v;

	if (l->nr == l->room) {
		v = eng_realloc(l->v, (l->room ? 2 * l->room : 8) * sizeof(*v));
		if (!v)
			return -ENOMEM;
		l->v = v;
		l->room = l->room ? 2 * l->room : 8;
	}
	l->v[l->nr++] = *seen;
	return 0;
}

static int load_inline(struct space_fs *fs, struct ref_list *l, const struct bt_path *path)
{
	struct btrfs_key key = bt_key(path);
	uint32_t off = extent_inline_start(bt_item(path), key.type == BTRFS_METADATA_ITEM_KEY);
	struct ref_seen seen;
	int ret;

	while ((ret = extent_inline_next(bt_item(path), bt_item_size(path), &off, &seen)) > 0) {
		ret = keep(l, &seen);
		if (ret)
			return ret;
	}
	return ret ? msg_corrupt(fs->msg, "extent %" PRIu64 ": inline references make no sense",
				 key.objectid)
		   : 0;
}

static struct ref_seen keyed(const struct btrfs_key *key, const void *item)
{
	const struct btrfs_extent_data_ref *d = item;
	const struct btrfs_shared_data_ref *s = item;
	struct ref_seen seen = { .name = { .type = key->type, .offset = key->offset }, .count = 1 };

	switch (key->type) {
	case BTRFS_EXTENT_DATA_REF_KEY:
		seen.name.ref = (struct dref){ .root = le64_get(d->root),
					       .ino = le64_get(d->objectid),
					       .offset = le64_get(d->offset) };
		seen.count = le32_get(d->count);
		break;
	case BTRFS_SHARED_DATA_REF_KEY:
		seen.count = le32_get(s->count);
		seen.name.ref.parent = key->offset;
		break;
	case BTRFS_SHARED_BLOCK_REF_KEY:
		seen.name.ref.parent = key->offset;
		break;
	default:
		seen.name.ref.root = key->offset;
	}
	return seen;
}

void ref_list_free(struct ref_list *l)
{
	free(l->v);
	*l = (struct ref_list){ 0 };
}

int ref_list_load(struct space_fs *fs, uint64_t logical, struct ref_list *l)
{
	BT_PATH_CLEANUP struct bt_path path = BT_PATH_INIT;
	struct btrfs_key key;
	struct ref_seen seen;
	int err;

	*l = (struct ref_list){ 0 };
	err = extent_lookup(fs, logical, -1, &l->info);
	if (err)
		return err;
	key = (struct btrfs_key){ logical, BTRFS_EXTENT_ITEM_KEY, 0 };
	err = bt_search_ge(&fs->extent->root, &key, &path);
	for (; !err; err = bt_next(&path)) {
		key = bt_key(&path);
		if (key.objectid != logical || key.type > BTRFS_SHARED_DATA_REF_KEY)
			break;
		if (key.type == BTRFS_EXTENT_ITEM_KEY || key.type == BTRFS_METADATA_ITEM_KEY) {
			err = load_inline(fs, l, &path);
		} else if (ref_is_key(key.type)) {
			seen = keyed(&key, bt_item(&path));
			err = keep(l, &seen);
		}
		if (err)
			break;
	}
	if (err < 0)
		ref_list_free(l);
	return err < 0 ? err : 0;
}
