/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of api/ share: the handle behind struct eng_fs. */
#ifndef UBTRFS_ENGINE_API_PRIV_H
#define UBTRFS_ENGINE_API_PRIV_H

#include "engine/engine.h"
#include "engine/file/fread.h"
#include "engine/file/ino.h"
#include "engine/txn/fs.h"

struct ins_ahead;

struct eng_fs {
	struct fs fs;
	struct eng_open_opts opts; /* its device list is not kept */
	uint64_t default_subvol;
	bool degraded;
	bool partial;
	bool opening;             /* errors are collected, to be said as one line if the open fails */
	char cause[512];          /* the first error: what is wrong */
	char outcome[512];        /* the last one: what could not be done for it */
	pthread_mutex_t lock;     /* guards statfs and ahead */
	bool have_statfs;
	struct eng_statfs statfs; /* nothing changes under a read-only filesystem: computed once */
	struct ins_ahead *ahead;  /* blocks that inspection has read ahead */
};

struct eng_file {
	struct eng_fs *efs;
	struct eng_attr attr;
	struct fread_stream *stream;
};

/* open.c: opens over devices that are open already; they are consumed also on failure. */
int api_open_devices(struct bdev **devs, unsigned nr, const struct eng_open_opts *opts, struct eng_fs *efs);
/* handle.c: an empty handle with its message sink, in the state `opening`. */
int api_create(const struct eng_open_opts *opts, struct eng_fs **out_fs);
/* handle.c: ends `opening`: gives the handle to the caller, or says why not and closes it. Returns err. */
int api_opened(struct eng_fs *efs, int err, struct eng_fs **out_fs);

/* features.c: 0, or -EOPNOTSUPP with a message that names what is not understood. */
int api_check_features(struct msg *msg, const struct btrfs_super_block *sb, unsigned rescue);

/* inspect.c */
void ins_ahead_destroy(struct ins_ahead *a);

/* attr.c: fills what an inode's items say. */
void api_attr_from_ino(const struct fs *fs, uint64_t subvol, const struct ino_attr *in,
		       struct eng_attr *out_attr);

#endif
