// SPDX-License-Identifier: GPL-2.0-or-later
/* In the place of what is not there yet, so that programs link: opening for writing fails. To go
 * with it. */
#include "engine/file/change.h"

#define PENDING __attribute__((weak))

PENDING int txn_open(struct fs *fs, const struct txn_opts *opts)
{
	msg_err(fs->msg, "cannot open for writing: not in this version");
	return -EOPNOTSUPP;
}

PENDING int txn_close(struct fs *fs)
{
	return 0;
}

PENDING int txn_join(struct fs *fs, struct txn_handle **out_h)
{
	*out_h = NULL;
	return -EROFS;
}

PENDING int txn_end(struct txn_handle *h)
{
	return 0;
}

PENDING int txn_abort_at(struct txn_handle *h, int err, const char *file, int line)
{
	return err;
}

PENDING int txn_error(const struct fs *fs)
{
	return -EROFS;
}

PENDING int txn_sync(struct fs *fs)
{
	return -EROFS;
}

PENDING int txn_begin_flush(struct fs *fs, unsigned items, enum space_flush flush,
			    struct txn_handle **out_h)
{
	*out_h = NULL;
	return -EROFS;
}

PENDING bool txn_should_end(struct txn_handle *h)
{
	return true;
}

PENDING struct bt_tree *root_tree(const struct root *root)
{
	return root->bt.tree;
}

PENDING int root_next_ino(struct fs *fs, const struct root *root, uint64_t *out_ino)
{
	*out_ino = 0;
	return -EROFS;
}

PENDING void root_touch(struct txn_handle *h, const struct root *root)
{
}

/* crash's */
struct space_fs;
PENDING void txn_super(struct fs *fs, struct btrfs_super_block *out_sb);
PENDING void txn_super(struct fs *fs, struct btrfs_super_block *out_sb)
{
}
PENDING struct space_fs *txn_space(struct fs *fs);
PENDING struct space_fs *txn_space(struct fs *fs)
{
	return NULL;
}
PENDING int txn_writeback(struct fs *fs, unsigned max);
PENDING int txn_writeback(struct fs *fs, unsigned max)
{
	return 0;
}
