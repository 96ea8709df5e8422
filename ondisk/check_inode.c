// SPDX-License-Identifier: GPL-2.0-or-later
/* Inodes and what has names: references, directory entries, extended attributes, verity. */
#include <string.h>
#include <sys/stat.h>

#include "ondisk/check_priv.h"

/* Longest extended attribute name, XATTR_NAME_MAX of linux/limits.h. */
#define XATTR_NAME_LEN 255

int check_prev_inode(const struct check *c)
{
	/* Log trees hold parts of inodes; the others start every inode with its INODE_ITEM. */
	if (!c->prev_item || !btrfs_is_fstree(c->owner) || c->prev_key.objectid == c->key.objectid)
		return 0;
	return check_fail(c,
			  "item before it is of inode %" PRIu64 ", expected one of inode %" PRIu64,
			  c->prev_key.objectid, c->key.objectid);
}

int check_inode_key(const struct check *c, const struct btrfs_key *key)
{
	uint64_t ino = key->objectid;

	if ((ino < BTRFS_FIRST_FREE_OBJECTID || ino > BTRFS_LAST_FREE_OBJECTID) &&
	    ino != BTRFS_ROOT_TREE_DIR_OBJECTID && ino != BTRFS_FREE_INO_OBJECTID)
		return check_fail(c, "inode number is %" PRIu64 ", expected 256 to 2^64 - 256",
				  ino);
	if (key->offset != 0)
		return check_fail(c, "offset of an inode's key is %" PRIu64 ", expected 0",
				  key->offset);
	return 0;
}

static bool valid_file_type(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
	case S_IFDIR:
	case S_IFLNK:
	case S_IFCHR:
	case S_IFBLK:
	case S_IFIFO:
	case S_IFSOCK:
		return true;
	default:
		return false;
	}
}

int check_inode_item(struct check *c, const void *item, uint32_t len)
{
	const struct btrfs_inode_item *ii = item;
	uint32_t mode, flags, ro_flags;
	int ret;

	ret = check_inode_key(c, &c->key);
	if (ret == 0)
		ret = check_size(c, len, sizeof(*ii));
	if (ret == 0)
		ret = check_generation(c, "inode generation", le64_get(ii->generation));
	if (ret == 0)
		ret = check_generation(c, "inode transid", le64_get(ii->transid));
	if (ret)
		return ret;
	/* Size and nbytes of directories are known to be wrong at times, and nothing relies on
	 * them. */
	mode = le32_get(ii->mode);
	if (mode & ~(uint32_t)(S_IFMT | 07777))
		return check_fail(c, "mode is 0%o, expected no bits beyond 0177777", mode);
	if (!valid_file_type(mode))
		return check_fail(c, "mode is 0%o, expected one of the seven file types", mode);
	if (S_ISDIR(mode) && le32_get(ii->nlink) > 1)
		return check_fail(c, "directory with %u links, expected at most 1",
				  le32_get(ii->nlink));
	flags = (uint32_t)le64_get(ii->flags);
	ro_flags = (uint32_t)(le64_get(ii->flags) >> BTRFS_INODE_RO_SHIFT);
	if (flags & ~BTRFS_INODE_FLAG_MASK)
		return check_fail(c, "inode flags are 0x%x, expected only bits of 0x%x", flags,
				  BTRFS_INODE_FLAG_MASK);
	if (c->geo->writable && (ro_flags & ~BTRFS_INODE_RO_FLAG_MASK))
		return check_fail(c, "inode read-only flags are 0x%x, expected only bits of 0x%x",
				  ro_flags, BTRFS_INODE_RO_FLAG_MASK);
	return 0;
}

/*
 * A row of names, each behind a head of `head` bytes that ends in the name's length, as both kinds of
 * references have it.
 */
static int check_names(const struct check *c, const char *what, const uint8_t *p, uint32_t len,
		       uint32_t head)
{
	uint32_t off = 0, name_len;
	int ret = check_prev_inode(c);

	if (ret == 0)
		ret = check_size_min(c, len, head + 1);
	while (ret == 0 && off < len) {
		if (len - off < head)
			return check_fail(c, "%s at %u of the item passes its end at %u", what, off, len);
		off += head;
		name_len = le16_get(*(const le16 *)(p + off - sizeof(le16)));
		if (name_len > len - off)
			return check_fail(c,
					  "name of %u bytes at %u of the item passes its end at %u",
					  name_len, off, len);
		ret = check_name(c, p + off, name_len);
		off += name_len;
	}
	return ret;
}

_Static_assert(offsetof(struct btrfs_inode_ref, name_len) + sizeof(le16) ==
		       sizeof(struct btrfs_inode_ref),
	       "the head ends in the length");
_Static_assert(offsetof(struct btrfs_inode_extref, name_len) + sizeof(le16) ==
		       sizeof(struct btrfs_inode_extref),
	       "the head ends in the length");

int check_inode_ref(struct check *c, const void *item, uint32_t len)
{
	return check_names(c, "inode ref", item, len, sizeof(struct btrfs_inode_ref));
}

int check_inode_extref(struct check *c, const void *item, uint32_t len)
{
	return check_names(c, "inode extref", item, len, sizeof(struct btrfs_inode_extref));
}

/* What an entry points to: an inode, a subvolume's root, or nothing (extended attributes). */
static int check_dir_location(const struct check *c, const struct btrfs_disk_key *dk)
{
	struct btrfs_key key = btrfs_disk_key_get(dk);

	if (key.type == BTRFS_ROOT_ITEM_KEY)
		return check_root_key(c, &key, false);
	if (key.type != BTRFS_INODE_ITEM_KEY && key.type != 0)
		return check_fail(c, "location has key type %u, expected INODE_ITEM or ROOT_ITEM",
				  key.type);
	if (c->key.type != BTRFS_XATTR_ITEM_KEY)
		return check_inode_key(c, &key);
	if (key.objectid || key.type || key.offset)
		return check_fail(c,
				  "location of an attribute is (%" PRIu64 " %u %" PRIu64
				  "), expected zeros",
				  key.objectid, key.type, key.offset);
	return 0;
}

/* The hash in the key; images made by btrfs-image -s have other names under the old hashes. */
static int check_dir_hash(const struct check *c, const void *name, uint32_t name_len)
{
	uint64_t hash;

	if (c->key.type == BTRFS_DIR_INDEX_KEY ||
	    (c->geo->super_flags & (BTRFS_SUPER_FLAG_METADUMP | BTRFS_SUPER_FLAG_METADUMP_V2)))
		return 0;
	hash = btrfs_name_hash(name, name_len);
	if (hash == c->key.offset)
		return 0;
	return check_fail(c, "hash of the name is %" PRIu64 ", expected the key's %" PRIu64, hash,
			  c->key.offset);
}

static int check_dir_type(const struct check *c, uint8_t type, uint32_t data_len)
{
	bool is_xattr = c->key.type == BTRFS_XATTR_ITEM_KEY;

	type &= (uint8_t)~BTRFS_FT_ENCRYPTED;
	if (type >= BTRFS_FT_MAX)
		return check_fail(c, "entry type is %u, expected 0 to %u", type, BTRFS_FT_MAX - 1);
	if (is_xattr != (type == BTRFS_FT_XATTR))
		return check_fail(c, "entry type is %u, expected %s XATTR", type,
				  is_xattr ? "" : "anything but");
	if (!is_xattr && data_len)
		return check_fail(c, "entry with %u bytes of data, expected none", data_len);
	return 0;
}

static int check_xattr_name(const struct check *c, const void *name, uint32_t len)
{
	if (len == 0 || len > XATTR_NAME_LEN)
		return check_fail(c, "attribute name length is %u, expected 1 to %u", len,
				  XATTR_NAME_LEN);
	if (memchr(name, 0, len))
		return check_fail(c, "attribute name with a zero byte");
	return 0;
}

/* One entry at `off`; its size is added to *off. */
static int check_dir_entry(const struct check *c, const uint8_t *p, uint32_t *off, uint32_t len)
{
	const struct btrfs_dir_item *di = (const void *)(p + *off);
	uint32_t left = len - *off, name_len, data_len, max;
	const uint8_t *name = p + *off + sizeof(*di);
	int ret;

	if (left < sizeof(*di))
		return check_fail(c, "entry at %u of the item passes its end at %u", *off, len);
	name_len = le16_get(di->name_len);
	data_len = le16_get(di->data_len);
	ret = check_dir_location(c, &di->location);
	if (ret == 0)
		ret = check_dir_type(c, di->type, data_len);
	if (ret)
		return ret;
	max = btrfs_leaf_data_size(c->geo->nodesize) -
	      (uint32_t)(sizeof(struct btrfs_item) + sizeof(*di));
	if (name_len + data_len > max)
		return check_fail(c, "name and data of %u bytes, expected at most %u",
				  name_len + data_len, max);
	left -= (uint32_t)sizeof(*di);
	if (name_len + data_len > left && !check_planted("check-dir-name"))
		return check_fail(c, "name and data of %u bytes pass the item's end by %u",
				  name_len + data_len, name_len + data_len - left);
	ret = c->key.type == BTRFS_XATTR_ITEM_KEY ? check_xattr_name(c, name, name_len)
						  : check_name(c, name, name_len);
	if (ret == 0)
		ret = check_dir_hash(c, name, name_len);
	*off += (uint32_t)sizeof(*di) + name_len + data_len;
	return ret;
}

int check_dir_item(struct check *c, const void *item, uint32_t len)
{
	uint32_t off = 0;
	int ret = check_prev_inode(c);

	if (ret == 0)
		ret = check_size_min(c, len, sizeof(struct btrfs_dir_item) + 1);
	while (ret == 0 && off < len) {
		ret = check_dir_entry(c, item, &off, len);
		if (ret == 0 && c->key.type == BTRFS_DIR_INDEX_KEY && off < len)
			return check_fail(c, "item size is %u, expected %u for its one entry", len,
					  off);
	}
	return ret;
}

int check_verity_desc(struct check *c, const void *item, uint32_t len)
{
	/* Past offset 0 the descriptor itself is cut into items as it comes. */
	if (c->key.offset != 0)
		return 0;
	return check_size(c, len, sizeof(struct btrfs_verity_descriptor_item));
}
