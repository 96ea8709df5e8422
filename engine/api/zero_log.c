// SPDX-License-Identifier: GPL-2.0-or-later
/* Forgetting a log tree: the one thing that is written without a transaction. */
#include "engine/api/api_priv.h"

#include <string.h>

static int clear_log(struct fs *fs)
{
	struct btrfs_super_block sb = fs->super;

	sb.log_root = le64_make(0);
	sb.log_root_level = 0;
	return vol_super_store(fs->vol, &sb);
}

int eng_zero_log(const struct eng_open_opts *opts, uint64_t *out_root, unsigned *out_level)
{
	struct eng_open_opts wopts = *opts;
	struct eng_fs *efs;
	int err;

	*out_root = 0;
	*out_level = 0;
	if (!opts->nr_devices)
		return -EINVAL;
	wopts.writable = true;
	wopts.share = ENG_SHARE_EXCLUSIVE;
	wopts.workers = 0;
	err = api_create(&wopts, &efs);
	if (err)
		return err;
	efs->super_only = true;
	err = api_open_given(efs, &wopts);
	if (!err) {
		*out_root = le64_get(efs->fs.super.log_root);
		*out_level = efs->fs.super.log_root_level;
		err = clear_log(&efs->fs);
		if (err)
			msg_err(efs->fs.msg, "cannot clear the log (%s)", strerror(-err));
	}
	err = api_opened(efs, err, &efs);
	if (!err)
		eng_close(efs);
	return err;
}
