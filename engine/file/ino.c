// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Inode items, and the names that lead to an inode.
 *
 * A name is stored in an INODE_REF item, one a parent, which holds all names the parent has for it; what
 * no longer fits there goes to INODE_EXTREF items, found by a hash of parent and name.
 */
#include "engine/file/file_priv.h"

#include <string.h>
#include <sys/sysmacros.h>

struct timespec ino_time(const struct btrfs_timespec *t)
{
	uint32_t nsec = le32_get(t->nsec);

	/* Nothing on disk guards the nanoseconds, and callers hand them to the kernel. */
	return (struct timespec){
		.tv_sec = (time_t)le64_get(t->sec),
		.tv_nsec = nsec < 1000000000 ? nsec : 999999999,
	};
}

/* Linux stores its own dev_t: 12 bits of major above 20 bits of minor. */
static uint64_t rdev_get(uint64_t raw)
{
	return makedev((unsigned)(raw >> 20) & 0xfff, (unsigned)raw & 0xfffff);
}

uint64_t ino_rdev_make(dev_t rdev)
{
	return (uint64_t)(major(rdev) & 0xfff) << 20 | (minor(rdev) & 0xfffff);
}

void ino_attr_get(const struct btrfs_inode_item *item, uint64_t ino, struct ino_attr *out_attr)
{
	uint64_t flags = le64_get(item->flags);

	*out_attr = (struct ino_attr){
		.ino = ino,
		.size = le64_get(item->size),
		.nbytes = le64_get(item->nbytes),
		.generation = le64_get(item->generation),
		.transid = le64_get(item->transid),
		.rdev = rdev_get(le64_get(item->rdev)),
		.flags = (uint32_t)flags,
		.ro_flags = (uint32_t)(flags >> BTRFS_INODE_RO_SHIFT),
		.mode = le32_get(item->mode),
		.uid = le32_get(item->uid),
		.gid = le32_get(item->gid),
		.nlink = le32_get(item->nlink),
		.atime = ino_time(&item->atime),
		.mtime = ino_time(&item->mtime),
		.ctime = ino_time(&item->ctime),
		.otime = ino_time(&item->otime),
	};
}

int ino_load(struct fs *fs, const struct root *root, uint64_t ino, struct ino_attr *out_attr)
{
	const struct btrfs_key key = { ino, BTRFS_INODE_ITEM_KEY, 0 };
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	int ret;

	memset(out_attr, 0, sizeof(*out_attr));
	ret = bt_search(&root->bt, &key, &path);
	if (ret)
		return ret < 0 ? ret : -ENOENT;
	ino_attr_get(bt_item(&path), ino, out_attr);
	if (out_attr->size > INT64_MAX)
		return msg_corrupt(fs->msg, "subvolume %llu inode %llu: size %llu, expected at most 2^63-1",
				   (unsigned long long)root->bt.id, (unsigned long long)ino,
				   (unsigned long long)out_attr->size);
	return 0;
}

typedef int (*ref_fn)(void *arg, uint64_t parent, const char *name, size_t len);

static int ref_item_each(const struct bt_path *path, uint64_t parent, ref_fn fn, void *arg)
{
	const char *p = bt_item(path), *end = p + bt_item_size(path);
	int ret = 0;

	while (!ret && p < end) {
		const struct btrfs_inode_ref *ref = (const void *)p;
		size_t len = le16_get(ref->name_len);

		ret = fn(arg, parent, p + sizeof(*ref), len);
		p += sizeof(*ref) + len;
	}
	return ret;
}

static int extref_item_each(const struct bt_path *path, ref_fn fn, void *arg)
{
	const char *p = bt_item(path), *end = p + bt_item_size(path);
	int ret = 0;

	while (!ret && p < end) {
		const struct btrfs_inode_extref *ref = (const void *)p;
		size_t len = le16_get(ref->name_len);

		ret = fn(arg, le64_get(ref->parent_objectid), p + sizeof(*ref), len);
		p += sizeof(*ref) + len;
	}
	return ret;
}

int ino_refs(struct fs *fs, const struct root *root, uint64_t ino, ref_fn fn, void *arg)
{
	const struct btrfs_key first = { ino, BTRFS_INODE_REF_KEY, 0 };
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	int ret;

	(void)fs;
	for (ret = bt_search_ge(&root->bt, &first, &path); ret == 0; ret = bt_next(&path)) {
		struct btrfs_key key = bt_key(&path);
		int stop;

		if (key.objectid != ino || key.type > BTRFS_INODE_EXTREF_KEY)
			return 0;
		if (key.type == BTRFS_INODE_REF_KEY)
			stop = ref_item_each(&path, key.offset, fn, arg);
		else
			stop = extref_item_each(&path, fn, arg);
		if (stop)
			return stop;
	}
	return ret < 0 ? ret : 0;
}

struct first_ref {
	uint64_t parent;
	char *name;
};

static int take_first(void *arg, uint64_t parent, const char *name, size_t len)
{
	struct first_ref *first = arg;

	first->parent = parent;
	memcpy(first->name, name, len);
	first->name[len] = '\0';
	return 1;
}

int ino_parent(struct fs *fs, const struct root *root, uint64_t ino, uint64_t *out_parent, char name[256])
{
	struct first_ref first = { 0, name };
	int ret;

	*out_parent = 0;
	name[0] = '\0';
	ret = ino_refs(fs, root, ino, take_first, &first);
	if (ret <= 0)
		return ret < 0 ? ret : -ENOENT;
	*out_parent = first.parent;
	return 0;
}
