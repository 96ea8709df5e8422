/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of api/ share: the handle behind struct eng_fs. */
#ifndef UBTRFS_ENGINE_API_PRIV_H
#define UBTRFS_ENGINE_API_PRIV_H

#include "engine/api/ilock_priv.h"
#include "engine/cache/writeback.h"
#include "engine/engine.h"
#include "engine/file/fread.h"
#include "engine/file/ino.h"
#include "engine/txn/fs.h"

#define API_DEFAULT_THREADS 16

struct ins_ahead;
struct api_subvol;

#define API_SUBVOL_BUCKETS 64

/* What a filesystem that may change has besides. */
struct api_rw {
	struct ilock_table *locks;
	struct iref_table *refs;
	pthread_mutex_t rename_lock; /* directories change their parents only under it */
	pthread_mutex_t subvol_lock; /* for adding */
	struct api_subvol *_Atomic subvols[API_SUBVOL_BUCKETS]; /* rw.c: those that somebody has changed */
};

struct eng_fs {
	struct fs fs;
	struct api_rw *rw;        /* NULL: opened read-only */
	struct eng_open_opts opts; /* its device list is not kept */
	uint64_t default_subvol;
	bool degraded;
	bool partial;
	bool super_only;          /* neither trees nor transactions are wanted */
	bool opening;             /* errors are collected, to be said as one line if the open fails */
	char cause[512];          /* the first error: what is wrong */
	char outcome[512];        /* the last one: what could not be done for it */
	pthread_mutex_t lock;     /* guards statfs and ahead */
	bool have_statfs;
	struct eng_statfs statfs; /* nothing changes under a read-only filesystem: computed once */
	struct ins_ahead *ahead;  /* blocks that inspection has read ahead */
};

/*
 * An open file. Of a filesystem that may change: `lock` is its inode's; the stream is dropped under the write lock
 * before the contents change, and made again by the next reader.
 */
struct eng_file {
	struct eng_fs *efs;
	struct eng_attr attr;     /* as it was opened */
	struct fread_stream *stream;
	struct ilock *lock;       /* NULL: nothing changes */
	pthread_mutex_t stream_lock;
	LIST_ENTRY(eng_file) of_inode;
};

/* open.c: opens over devices that are open already; they are consumed also on failure. */
int api_open_devices(struct bdev **devs, unsigned nr, const struct eng_open_opts *opts, struct eng_fs *efs);
/* open.c: -EINVAL, said, for options that contradict each other. Before the devices are opened. */
int api_check_opts(struct msg *msg, const struct eng_open_opts *opts);
/* open.c: opens the devices that opts names, and the filesystem on them. */
int api_open_given(struct eng_fs *efs, const struct eng_open_opts *opts);
/* handle.c: an empty handle with its message sink, in the state `opening`. */
int api_create(const struct eng_open_opts *opts, struct eng_fs **out_fs);
/* handle.c: ends `opening`: gives the handle to the caller, or says why not and closes it. Returns err. */
int api_opened(struct eng_fs *efs, int err, struct eng_fs **out_fs);

/* features.c: 0, or -EOPNOTSUPP with a message that names what is not understood. */
int api_check_features(struct msg *msg, const struct btrfs_super_block *sb, unsigned rescue);

/* writable.c: 0; -EROFS, said: what it is that this engine does not write. The global trees are open. */
int api_check_writable(struct eng_fs *efs, unsigned devices_given);

/* What this library's user wants of txn/, beyond eng_open_opts (lab.h). */
struct api_lab {
	bool search_linux, one_pool, no_threads, assert_overruns;
	enum eb_policy policy;
	unsigned restart_every, restart_times;
	bool restart_writes;
};
extern struct api_lab api_lab;

/* rw.c: locks, references and transactions for an opened filesystem; and their end, `commit` or not. */
int api_rw_open(struct eng_fs *efs);
void api_rw_close(struct eng_fs *efs, bool commit);
static inline struct ilock_table *api_locks(const struct eng_fs *efs)
{
	return efs->rw->locks;
}

static inline struct iref_table *api_refs(const struct eng_fs *efs)
{
	return efs->rw->refs;
}

/*
 * What comes before any change: may this subvolume be changed? The first time, its orphans are removed. `id` is the
 * inode that is meant. 0 and the root; -EROFS; -EPERM (a stub); -ENOENT; -errno.
 */
int api_may_change(struct eng_fs *efs, struct eng_ino id, const struct root **out_root);
/* -EINVAL, -ENAMETOOLONG: not a name that an entry may have. */
int api_check_name(const char *name, size_t len);
/* A directory in which names may come, or (`removing`) go. 0; -ENOTDIR; -ENOENT (it was removed); -EPERM (immutable, append-only). */
int api_check_dir(struct eng_fs *efs, const struct root *root, uint64_t dir, bool removing, struct ino_attr *out_attr);
struct timespec api_now(void);
/* The inode has lost its last name: it goes now, or with its last reference. Its lock is held. */
void api_left(struct eng_fs *efs, const struct root *root, uint64_t ino);
/* data.c: the inode's contents are about to change. Its write lock is held. */
void api_drop_streams(struct ilock *l);

/* One name, found or not. */
struct api_name {
	struct eng_ino dir;
	const char *name;
	size_t len;
	bool found;
	struct dir_target target;
};
/*
 * change.c: locks the directories of `nr` names and the inodes that they lead to (not subvolumes), so that both stay
 * so. 0; -ENOMEM; -errno of looking up but -ENOENT.
 */
int api_lock_names(struct eng_fs *efs, const struct root *root, struct api_name *names, unsigned nr,
		   struct ilock_set *out_set);

/* inspect.c */
void ins_ahead_destroy(struct ins_ahead *a);

/* attr.c: fills what an inode's items say. */
void api_attr_from_ino(const struct fs *fs, uint64_t subvol, const struct ino_attr *in,
		       struct eng_attr *out_attr);

#endif
