/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the sources of changing inodes share.
 *
 * A change is in two halves. *Prepare* looks everything up and refuses what cannot be, without a handle: the inodes'
 * locks, which the caller holds, keep it true. *Publish* is between chg_begin and chg_done: it changes items, and when
 * it fails after the first one has changed, chg_done aborts the transaction.
 */
#ifndef UBTRFS_ENGINE_FILE_CHANGE_PRIV_H
#define UBTRFS_ENGINE_FILE_CHANGE_PRIV_H

#include "engine/file/change.h"

struct chg;

/* What a change needs of transactions; tests have one in memory. */
struct chg_ops {
	/* Sets c->t. `freeing`: space is to be found even on a full filesystem. As txn_begin_flush. */
	int (*begin)(struct chg *c, unsigned items, bool freeing);
	/* Clears c->t. As txn_end. */
	int (*end)(struct chg *c);
	bool (*should_end)(struct chg *c);
	void (*abort)(struct chg *c, int err, const char *file, int line);
	/* As root_next_ino and root_touch. */
	int (*next_ino)(struct chg *c, uint64_t *out_ino);
	void (*touch)(struct chg *c);
	/* A file extent item that used the data extent [logical, logical + len) is gone. `offset`: as in struct dref. */
	int (*drop_data)(struct chg *c, uint64_t logical, uint64_t len, uint64_t ino, uint64_t offset);
};

/* One thread's change of one subvolume. */
struct chg {
	struct fs *fs;
	const struct root *root;
	struct bt_tree *tree;     /* its live tree */
	const struct chg_ops *ops;
	struct txn_handle *h;     /* the real operations' */
	struct bt_trans *t;       /* NULL: no handle */
	bool changed;             /* since chg_begin: what fails now cannot be undone */
};

/* Reserves for `items` searches for change, at most 16 blocks each. */
static inline int chg_begin(struct chg *c, unsigned items, bool freeing)
{
	c->changed = false;
	return c->ops->begin(c, items, freeing);
}

/* Ends the handle after a publish that returned err. Return: err, else what txn_end says. */
#define chg_done(c, err) chg_done_at((c), (err), __FILE__, __LINE__)
int chg_done_at(struct chg *c, int err, const char *file, int line);
/* An item that was there in prepare is not, or is not what it must be: -EUCLEAN, said. */
int chg_corrupt(const struct chg *c, const struct btrfs_key *key, const char *what);

/* ---- items (items.c); all in a handle, and return 0 or -errno with nothing changed unless the transaction was aborted ---- */

/* A new item. -EEXIST. */
MUST_CHECK int item_insert(struct chg *c, const struct btrfs_key *key, const void *data, uint32_t size);
/* Makes the item, or adds to its end. -EOVERFLOW: it would outgrow a leaf. */
MUST_CHECK int item_append(struct chg *c, const struct btrfs_key *key, const void *data, uint32_t size);
/* The item holds these bytes, whatever it was, or whether it was, before. */
MUST_CHECK int item_set(struct chg *c, const struct btrfs_key *key, const void *head, uint32_t head_len,
			const void *data, uint32_t len);
/* Path from bt_search_change(BT_DELETE): takes `len` bytes at `at` out of its item; the item goes with its last byte. */
MUST_CHECK int item_cut(struct chg *c, struct bt_path *path, const void *at, uint32_t len);
/* -ENOENT. */
MUST_CHECK int item_delete(struct chg *c, const struct btrfs_key *key);
/* Bytes that the data of an item may have at most. */
uint32_t item_max(const struct chg *c);

/* ---- inode items (inode.c) ---- */

struct btrfs_timespec time_make(const struct timespec *ts);
uint8_t mode_to_ft(uint32_t mode);
/*
 * Goes to the item for change: its transid is the transaction's, its sequence one more. The caller writes what else it likes
 * and releases the path. -ENOENT.
 */
MUST_CHECK int inode_edit(struct chg *c, uint64_t ino, struct bt_path *path, struct btrfs_inode_item **out_item);
/* A directory's entries changed: its size in bytes of names (each counted twice), mtime and ctime. */
MUST_CHECK int inode_edit_dir(struct chg *c, uint64_t dir, int64_t names, const struct timespec *now);
/* Links gained or lost (ctime), *out_left afterwards. out_left and out_attr may be NULL. */
MUST_CHECK int inode_edit_links(struct chg *c, uint64_t ino, int add, const struct timespec *now, uint32_t *out_left,
				struct ino_attr *out_attr);
/* ctime only. */
MUST_CHECK int inode_edit_ctime(struct chg *c, uint64_t ino, const struct timespec *now);
/* A directory with links: -ENOENT, -ENOTDIR. */
MUST_CHECK int inode_load_dir(const struct chg *c, uint64_t dir, struct ino_attr *out_attr);

/* ---- names (names.c) ---- */

/* An entry of a directory: DIR_ITEM, DIR_INDEX, and the back reference at the inode. */
struct entry {
	uint64_t dir;
	const char *name;
	size_t len;
	uint64_t ino;
	uint8_t type;             /* BTRFS_FT_* */
	uint64_t index;
	bool ext;                 /* the back reference is an INODE_EXTREF */
};

/* -EINVAL (empty), -ENAMETOOLONG. */
MUST_CHECK int name_check(size_t len);
/* Finds `dir` and `name`, and fills in the rest. -ENOENT; -EPERM (a subvolume). */
MUST_CHECK int entry_load(const struct chg *c, struct entry *e);
/* For a name that is not there yet: whether its DIR_ITEM has room. -EEXIST, -EOVERFLOW. */
MUST_CHECK int entry_check_new(const struct chg *c, const struct entry *e);
/* Where the back reference of an inode that has others goes: sets `ext`. -EMLINK. */
MUST_CHECK int entry_check_ref(const struct chg *c, struct entry *e);
/* The index that the directory's next entry gets. */
MUST_CHECK int dir_next_index(const struct chg *c, uint64_t dir, uint64_t *out_index);
/* True (1) if a directory has an entry; 0; -errno. */
int dir_has_entries(const struct chg *c, uint64_t dir);
/* DIR_ITEM and DIR_INDEX: 2 searches each; the back reference: 1. */
MUST_CHECK int entry_add_dir(struct chg *c, const struct entry *e);
MUST_CHECK int entry_remove_dir(struct chg *c, const struct entry *e);
MUST_CHECK int entry_add_ref(struct chg *c, const struct entry *e);
MUST_CHECK int entry_remove_ref(struct chg *c, const struct entry *e);

/* ---- orphans, attributes, file data ---- */

struct btrfs_key orphan_key(uint64_t ino);
/* An orphan item that is there already is fine. */
MUST_CHECK int orphan_add(struct chg *c, uint64_t ino);
/* -ENOENT. */
MUST_CHECK int orphan_remove(struct chg *c, uint64_t ino);

/* What an attribute may have in name and value together. */
uint32_t xattr_max(const struct chg *c);
/* Of an inode that is being made: the attribute is not there. */
MUST_CHECK int xattr_insert(struct chg *c, uint64_t ino, const struct ino_xattr *x);

/* Bytes up to which a file is kept inline; and those that an inline extent may have at all. */
uint32_t inline_max(const struct chg *c);
uint32_t inline_limit(const struct chg *c);
enum inline_kind {
	INLINE_NONE,              /* no extents, or one hole from the start on */
	INLINE_IS,                /* one inline extent and nothing else */
	INLINE_OTHER,
};
MUST_CHECK int inline_look(const struct chg *c, uint64_t ino, enum inline_kind *out_kind);
/* Of a file that is not INLINE_OTHER: the bytes of [0, len), zeros past its size. */
MUST_CHECK int inline_read(const struct chg *c, const struct ino_attr *attr, uint8_t *buf, uint32_t len);
/* The file's first and only extent is this from now on: 1 search. The inode item is not seen to. */
MUST_CHECK int inline_store(struct chg *c, uint64_t ino, const void *buf, uint32_t size);
/* All in one: the file becomes `size` bytes of what it has, or zeros, inline. */
MUST_CHECK int inline_resize(struct chg *c, const struct ino_attr *attr, uint32_t size, const struct timespec *now,
			     struct ino_attr *out_attr);

/* What goes: all items of an inode with types in [min_type, max_type]; of data, extents at or past `size`. */
struct trunc {
	uint64_t ino;
	uint8_t min_type, max_type;
	uint64_t size;
	/* Found by the steps. */
	uint64_t last;            /* where in the file the last extent that went began */
	uint64_t nbytes;          /* that went, as inode items count them */
};
#define TRUNC_STEPS 2             /* that one handle reserves for */
/*
 * Takes away the last items, of one leaf, or shortens the extent that `size` lies in. In a handle: 1 search, but
 * for those that come after another thread moved items. 1: maybe there is more; 0: there is not; -errno.
 */
MUST_CHECK int trunc_step(struct chg *c, struct trunc *t);
/* TRUNC_STEPS of them, or fewer if the handle should end. */
MUST_CHECK int trunc_round(struct chg *c, struct trunc *t);
/* After a round: what the inode item says of size (`more`: as far as it fell) and bytes. As trunc_data. */
MUST_CHECK int trunc_edit(struct chg *c, const struct trunc *t, bool more, const struct timespec *now,
			  struct ino_attr *out_attr);
/*
 * The file ends at `size`, in as many transactions as it takes; the size falls with the extents, so that a crash in between
 * leaves a file that is whole and longer. now NULL: times stay. out_attr may be NULL.
 */
MUST_CHECK int trunc_data(struct chg *c, uint64_t ino, uint64_t size, const struct timespec *now,
			  struct ino_attr *out_attr);

/* ---- the operations: change.h's functions of the same names ---- */

MUST_CHECK int chg_create(struct chg *c, uint64_t dir, const char *name, size_t len, const struct ino_new *what,
			  struct ino_attr *out_attr);
/* A new inode, prepared: everything but its number. */
struct newborn {
	struct btrfs_inode_item item;
	const struct ino_new *what;
	uint64_t ino;
	const char *compression;  /* btrfs.compression to be inherited; NULL: none */
};
/* `parent` is its directory. -ENAMETOOLONG (symlink), -EINVAL, -ENOSPC (an attribute that is too large). */
MUST_CHECK int newborn_prepare(struct chg *c, struct newborn *nb, const struct ino_attr *parent,
			       const struct ino_new *what);
/* Searches that newborn_insert makes. */
unsigned newborn_items(const struct newborn *nb);
/* Inserts it with its back reference from `e`, whose ino and type are set; NULL: without, as an orphan. */
MUST_CHECK int newborn_insert(struct chg *c, struct newborn *nb, struct entry *e);

MUST_CHECK int chg_link(struct chg *c, uint64_t ino, uint64_t dir, const char *name, size_t len,
			const struct timespec *now, struct ino_attr *out_attr);
MUST_CHECK int chg_unlink(struct chg *c, uint64_t dir, const char *name, size_t len, bool rmdir,
			  const struct timespec *now, uint64_t *out_ino, uint32_t *out_left);
/* An entry is about to go with its inode's link: -EISDIR, -ENOTDIR, -ENOTEMPTY. */
MUST_CHECK int victim_check(const struct chg *c, const struct entry *e, bool want_dir);
/* … and goes: 5 searches. */
MUST_CHECK int victim_remove(struct chg *c, const struct entry *e, const struct timespec *now, uint32_t *out_left);

struct rename {
	struct entry from, to;
	unsigned flags;
	struct timespec now;
};
MUST_CHECK int chg_rename(struct chg *c, const struct rename *r, uint64_t *out_ino, uint32_t *out_left);
MUST_CHECK int chg_setattr(struct chg *c, uint64_t ino, unsigned set, const struct ino_attr *attr,
			   struct ino_attr *out_attr);
MUST_CHECK int chg_truncate(struct chg *c, uint64_t ino, uint64_t size, const struct timespec *now,
			    struct ino_attr *out_attr);
MUST_CHECK int chg_write_inline(struct chg *c, uint64_t ino, uint64_t off, const void *buf, size_t len,
				const struct timespec *now, struct ino_attr *out_attr);
/* value NULL: removes it. */
MUST_CHECK int chg_setxattr(struct chg *c, uint64_t ino, const struct ino_xattr *x, int flags,
			    const struct timespec *now);
MUST_CHECK int chg_evict(struct chg *c, uint64_t ino);
MUST_CHECK int chg_orphans(struct chg *c);

#endif
