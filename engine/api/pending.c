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

PENDING int file_evict(struct fs *fs, const struct root *root, uint64_t ino)
{
	return -EROFS;
}

PENDING int file_orphans(struct fs *fs, const struct root *root)
{
	return -EROFS;
}
