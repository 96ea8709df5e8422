// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Root items, and the table of subvolumes that have been looked up.
 *
 * Invariants:
 * 1. A root in the table never moves or changes until the table is destroyed: readers keep pointers. What does
 * change when the filesystem is writable, tree and item, is in the live root beside it.
 * 2. An id is in the table at most once.
 * 3. Of a writable filesystem no subvolume is looked at but through its live root.
 *
 * Locks: root_table.lock guards the buckets; it is never held over a tree search, so two threads may
 * load the same root and one of them drops its copy.
 */
#include "engine/txn/txn_priv.h"
#include "engine/util/fault.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

struct table_root {
	struct root root;
	struct live_root live; /* if the filesystem is writable */
	struct table_root *next;
};

struct root_table {
	pthread_mutex_t lock;
	struct table_root **buckets;
	size_t bucket_nr; /* a power of two */
	size_t root_nr;
	uint64_t factor; /* odd and secret: an image chooses its ids, but not their buckets */
};

#define FIRST_BUCKETS 64

int root_table_create(struct root_table **out_table)
{
	struct root_table *t = eng_zalloc(sizeof(*t));

	*out_table = NULL;
	if (!t)
		return -ENOMEM;
	t->bucket_nr = FIRST_BUCKETS;
	/* Without randomness it is an honest image's table all the same. */
	if (getrandom(&t->factor, sizeof(t->factor), GRND_NONBLOCK) < 0)
		t->factor = 0x9e3779b97f4a7c15ull;
	t->factor |= 1;
	t->buckets = eng_calloc(t->bucket_nr, sizeof(t->buckets[0]));
	if (!t->buckets) {
		free(t);
		return -ENOMEM;
	}
	pthread_mutex_init(&t->lock, NULL);
	*out_table = t;
	return 0;
}

void root_table_destroy(struct root_table *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->bucket_nr; i++) {
		while (t->buckets[i]) {
			struct table_root *r = t->buckets[i];

			t->buckets[i] = r->next;
			live_fini(&r->live);
			free(r);
		}
	}
	pthread_mutex_destroy(&t->lock);
	free(t->buckets);
	free(t);
}

static struct table_root **bucket_of(const struct root_table *t, struct table_root **buckets, size_t nr,
				     uint64_t id)
{
	/* The upper bits of the product are the well mixed ones. */
	return &buckets[id * t->factor >> 32 & (nr - 1)];
}

static struct table_root *table_find_locked(struct root_table *t, uint64_t id)
{
	struct table_root *r = *bucket_of(t, t->buckets, t->bucket_nr, id);

	while (r && r->root.bt.id != id)
		r = r->next;
	return r;
}

/* Without memory for more buckets the chains just grow longer. */
static void table_grow_locked(struct root_table *t)
{
	size_t nr = t->bucket_nr * 2;
	struct table_root **buckets = eng_calloc(nr, sizeof(buckets[0]));

	if (!buckets)
		return;
	for (size_t i = 0; i < t->bucket_nr; i++) {
		while (t->buckets[i]) {
			struct table_root *r = t->buckets[i];
			struct table_root **to = bucket_of(t, buckets, nr, r->root.bt.id);

			t->buckets[i] = r->next;
			r->next = *to;
			*to = r;
		}
	}
	free(t->buckets);
	t->buckets = buckets;
	t->bucket_nr = nr;
}

/* Takes `fresh`, or frees it if another thread was faster; returns the one in the table. */
static const struct root *table_add(struct root_table *t, struct table_root *fresh)
{
	struct table_root *r;

	pthread_mutex_lock(&t->lock);
	r = table_find_locked(t, fresh->root.bt.id);
	if (r) {
		live_fini(&fresh->live);
		free(fresh);
	} else {
		struct table_root **bucket;

		if (t->root_nr >= t->bucket_nr)
			table_grow_locked(t);
		r = fresh;
		bucket = bucket_of(t, t->buckets, t->bucket_nr, r->root.bt.id);
		r->next = *bucket;
		*bucket = r;
		t->root_nr++;
	}
	pthread_mutex_unlock(&t->lock);
	return &r->root;
}

/*
 * The fields from generation_v2 on count only if the last kernel that wrote the item knew them; one that
 * did not changed `generation` alone.
 */
static void item_read(const void *item, uint32_t size, struct btrfs_root_item *out_item)
{
	memset(out_item, 0, sizeof(*out_item));
	memcpy(out_item, item, size < sizeof(*out_item) ? size : sizeof(*out_item));
	if (le64_get(out_item->generation) != le64_get(out_item->generation_v2))
		memset((char *)out_item + BTRFS_LEGACY_ROOT_ITEM_SIZE, 0,
		       sizeof(*out_item) - BTRFS_LEGACY_ROOT_ITEM_SIZE);
}

static void go_live(struct table_root *r)
{
	live_init(&r->live, &r->root.bt, &r->root.item, r->root.item_offset);
}

static void go_still(struct table_root *r)
{
	r->root.bt = bt_tree_root(&r->live.tree);
	live_fini(&r->live);
}

static void for_each(struct root_table *t, void (*fn)(struct table_root *r))
{
	for (size_t i = 0; i < t->bucket_nr; i++)
		for (struct table_root *r = t->buckets[i]; r; r = r->next)
			fn(r);
}

void root_table_go_live(struct root_table *t)
{
	for_each(t, go_live);
}

void root_table_go_still(struct root_table *t)
{
	for_each(t, go_still);
}

static int load_item(struct fs *fs, uint64_t id, struct root *out_root)
{
	/* A snapshot's item has the transaction of its birth as offset; the newest item is the one that counts. */
	const struct btrfs_key key = { id, BTRFS_ROOT_ITEM_KEY, UINT64_MAX };
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	struct btrfs_root_item *item = &out_root->item;
	struct btrfs_key found;
	int ret;

	memset(out_root, 0, sizeof(*out_root));
	ret = bt_search_le(&fs->tree_root, &key, &path);
	if (ret)
		return ret < 0 ? ret : -ENOENT;
	found = bt_key(&path);
	if (found.objectid != id || found.type != BTRFS_ROOT_ITEM_KEY)
		return -ENOENT;
	item_read(bt_item(&path), bt_item_size(&path), item);
	out_root->item_offset = found.offset;
	out_root->bt = (struct bt_root){
		.cache = fs->cache,
		.id = id,
		.bytenr = le64_get(item->bytenr),
		.generation = le64_get(item->generation),
		.level = item->level,
		.any_owner = btrfs_is_fstree(id),
	};
	out_root->root_dirid = le64_get(item->root_dirid);
	out_root->flags = le64_get(item->flags);
	if (!out_root->bt.bytenr || item->level >= BT_MAX_LEVEL)
		return msg_corrupt(fs->msg,
				   "root item of tree %llu: root block %llu level %u, expected a block "
				   "below level %d",
				   (unsigned long long)id, (unsigned long long)out_root->bt.bytenr,
				   item->level, BT_MAX_LEVEL);
	return 0;
}

int root_load(struct fs *fs, uint64_t id, struct root *out_root)
{
	struct live_root *live;
	const struct root *root;
	int err;

	if (fs->txn && btrfs_is_fstree(id)) {
		err = root_get(fs, id, &root);
		if (!err) {
			*out_root = *root;
			root_item(root, &out_root->item);
			return 0;
		}
		/* One that is being deleted is not changed by anybody yet. */
		if (err != -ENOENT)
			return err;
	}
	err = load_item(fs, id, out_root);
	live = !err && fs->txn ? live_find(fs, id) : NULL;
	if (live)
		out_root->bt.tree = &live->tree;
	return err;
}

/* What only a subvolume's root item must have. */
static int check_subvol(struct fs *fs, const struct root *root)
{
	/* A deleted subvolume stays until the cleaner has dropped its blocks; nothing may enter it. */
	if (!le32_get(root->item.refs))
		return -ENOENT;
	if (root->root_dirid != BTRFS_FIRST_FREE_OBJECTID)
		return msg_corrupt(fs->msg,
				   "root item of subvolume %llu: top directory %llu, expected %llu",
				   (unsigned long long)root->bt.id,
				   (unsigned long long)root->root_dirid, BTRFS_FIRST_FREE_OBJECTID);
	return 0;
}

int root_get(struct fs *fs, uint64_t id, const struct root **out_root)
{
	struct table_root *r;
	int err;

	*out_root = NULL;
	if (!btrfs_is_fstree(id))
		return -ENOENT;
	pthread_mutex_lock(&fs->roots->lock);
	r = table_find_locked(fs->roots, id);
	pthread_mutex_unlock(&fs->roots->lock);
	if (r) {
		*out_root = &r->root;
		return 0;
	}
	r = eng_zalloc(sizeof(*r));
	if (!r)
		return -ENOMEM;
	err = load_item(fs, id, &r->root);
	if (!err)
		err = check_subvol(fs, &r->root);
	if (err) {
		free(r);
		return err;
	}
	if (fs->txn)
		go_live(r);
	*out_root = table_add(fs->roots, r);
	return 0;
}

int root_backref(struct fs *fs, uint64_t id, uint64_t *out_parent, uint64_t *out_dirid, char name[256])
{
	const struct btrfs_key key = { id, BTRFS_ROOT_BACKREF_KEY, 0 };
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	const struct btrfs_root_ref *ref;
	struct btrfs_key found;
	size_t len;
	int ret;

	*out_parent = *out_dirid = 0;
	name[0] = '\0';
	ret = bt_search_ge(&fs->tree_root, &key, &path);
	if (ret)
		return ret < 0 ? ret : -ENOENT;
	found = bt_key(&path);
	if (found.objectid != id || found.type != BTRFS_ROOT_BACKREF_KEY)
		return -ENOENT;
	ref = bt_item(&path);
	len = le16_get(ref->name_len);
	*out_parent = found.offset;
	*out_dirid = le64_get(ref->dirid);
	memcpy(name, ref + 1, len);
	name[len] = '\0';
	return 0;
}

int root_is_at(struct fs *fs, uint64_t parent, uint64_t child, uint64_t dir, const char *name, size_t len)
{
	const struct btrfs_key key = { parent, BTRFS_ROOT_REF_KEY, child };
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	const struct btrfs_root_ref *ref;
	int ret = bt_search(&fs->tree_root, &key, &path);

	if (ret)
		return ret < 0 ? ret : 0;
	ref = bt_item(&path);
	return le64_get(ref->dirid) == dir && le16_get(ref->name_len) == len && !memcmp(ref + 1, name, len);
}
