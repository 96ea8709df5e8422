/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A btrfs filesystem, opened: what a front end needs, and nothing of how it is done.
 *
 * All functions may be called from any thread at any time between eng_open and eng_close, and may block on
 * I/O. Return values are 0 or a negative errno unless said otherwise. Besides the errnos named at each:
 * -EUCLEAN metadata on disk is wrong; -EIO a device failed, or file data matches its checksum on no copy;
 * -ENOMEM. What happened and where goes to the message function.
 */
#ifndef UBTRFS_ENGINE_ENGINE_H
#define UBTRFS_ENGINE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

struct eng_fs;
struct eng_file;

/* rescue= of btrfs(5). */
enum eng_rescue {
	ENG_RESCUE_USEBACKUPROOT = 1 << 0,  /* try the backup roots when a root cannot be read */
	ENG_RESCUE_IGNOREBADROOTS = 1 << 1, /* go on without extent, csum, dev, uuid… trees that cannot be read */
	ENG_RESCUE_IGNOREDATACSUMS = 1 << 2,
	ENG_RESCUE_IGNOREMETACSUMS = 1 << 3,
	ENG_RESCUE_IGNORESUPERFLAGS = 1 << 4,
	ENG_RESCUE_ALL = (1 << 5) - 1,
};

/* What one word of rescue= stands for, as btrfs(5) names them; nologreplay: nothing. False: there is no such word. */
bool eng_rescue_word(const char *word, size_t len, unsigned *out_bits);

enum eng_msg_level {
	ENG_MSG_ERR,
	ENG_MSG_WARN,
	ENG_MSG_INFO,
	ENG_MSG_DEBUG,
};

enum eng_share {
	ENG_SHARE_EXCLUSIVE,      /* refuse a device that a mount or another writer has */
	ENG_SHARE_LOOK,           /* look at a device in use: its contents may change underneath */
};

struct eng_open_opts {
	const char *const *devices;
	unsigned nr_devices;
	uint64_t offset;          /* bytes where the filesystem starts in each given device or file */
	enum eng_share share;
	bool scan;                /* look for missing devices of the filesystem among the block devices */
	bool degraded;
	unsigned rescue;          /* enum eng_rescue bits */
	bool writable;            /* may be changed; refused, named, where this engine cannot write */
	unsigned commit_sec;      /* most seconds between commits; 0: 30 */
	bool partial;             /* inspection: only what can be opened; file functions may be absent */
	uint64_t metadata_cache;  /* bytes, hard cap; 0: 64 MiB */
	uint64_t readahead;       /* bytes for all open files together; 0: 32 MiB */
	unsigned threads;         /* most callers at once, and their io_urings are made at once; 0: 16, as needed */
	int workers;              /* threads of our own; -1: one a CPU, at most 8; 0: none */
	bool no_uring;            /* use pread even where io_uring is allowed */
	int prefer_copy;          /* 0: any; n: read copy n first */
	/* Called from any thread, one call at a time; NULL: messages are dropped. A failed eng_open has said one ENG_MSG_ERR line. */
	void (*message)(void *arg, enum eng_msg_level level, const char *text);
	void *message_arg;
};

/*
 * Opens and checks everything: devices, superblocks, chunk tree, global trees, default subvolume.
 * Unknown incompat features are refused by name; a log tree is left alone (the last committed state is
 * shown, and a message says so).
 * Return: 0; -EINVAL (not btrfs; wrong options); -EBUSY (device in use); -ENXIO (devices missing);
 * -EOPNOTSUPP (unknown incompat feature); -errno of open(2). With `writable` also: -EROFS (this version does not write
 * it: the message says what it is, and what to do); -EINVAL (a rescue option, `partial`, ENG_SHARE_LOOK, or a metadata
 * cache that is too small).
 */
int eng_open(const struct eng_open_opts *opts, struct eng_fs **out_fs);
/*
 * Clears the superblock's pointer to a log tree: what was only in the log is lost, and the filesystem can be opened for
 * writing. *out_root and *out_level: where it was (0: there was none; the superblocks are written all the same). Of
 * `opts` the devices, `scan`, `degraded` and the messages count.
 * Return: as eng_open; -ESTALE, -EIO of writing.
 */
int eng_zero_log(const struct eng_open_opts *opts, uint64_t *out_root, unsigned *out_level);
/* All files closed, no call under way. NULL is fine. What was changed is committed. */
void eng_close(struct eng_fs *fs);

/* An inode is named by its subvolume's id and its number there. */
struct eng_ino {
	uint64_t subvol;
	uint64_t ino;
};

/*
 * A subvolume entry that this subvolume does not own (a snapshot of a directory that held a subvolume) is
 * an empty directory without an inode of its own. It appears as {subvol of the directory, ENG_STUB_INO,}
 * told apart by eng_attr.stub_key.
 */
#define ENG_STUB_INO 2

struct eng_attr {
	struct eng_ino id;
	uint64_t size;
	uint64_t bytes;           /* of disk space */
	uint64_t generation;
	uint64_t flags;           /* BTRFS_INODE_* */
	uint32_t ro_flags;
	uint32_t mode;
	uint32_t uid;
	uint32_t gid;
	uint32_t nlink;           /* 1 for directories, as Linux reports it */
	dev_t rdev;
	struct timespec atime, mtime, ctime, otime;
	uint64_t stub_key;        /* tells a stub from the subvolume's others; 0: not a stub */
};

/* The mount's top: subvolume id's root directory. -ENOENT. */
int eng_subvol_root(struct eng_fs *fs, uint64_t subvol, struct eng_ino *out_id);
/* The id of the default subvolume (5 if none was set). */
uint64_t eng_default_subvol(struct eng_fs *fs);
/* A path from the top level (id 5) to a subvolume, as in subvol=. -ENOENT, -ENOTDIR; -EINVAL: not a subvolume. */
int eng_subvol_by_path(struct eng_fs *fs, const char *path, uint64_t *out_subvol);
/* The path of a subvolume from the top level, without a leading slash. -ENOENT, -ERANGE. */
int eng_subvol_path(struct eng_fs *fs, uint64_t subvol, char *buf, size_t size);
/* Walks a path without following symlinks; "" and "/" are `from` itself. -ENOENT, -ENOTDIR. */
int eng_path_lookup(struct eng_fs *fs, struct eng_ino from, const char *path, struct eng_attr *out_attr);

/* -ENOENT, -ENOTDIR, -ENAMETOOLONG. "." and ".." are understood. */
int eng_lookup(struct eng_fs *fs, struct eng_ino dir, const char *name, size_t len,
	       struct eng_attr *out_attr);
/* -ENOENT. Not for stubs (the caller keeps what eng_lookup gave). */
int eng_getattr(struct eng_fs *fs, struct eng_ino id, struct eng_attr *out_attr);
/* The directory that holds a directory, over subvolume borders; the top level is its own parent. -ENOENT. */
int eng_parent(struct eng_fs *fs, struct eng_ino dir, struct eng_ino *out_parent);

struct eng_dirent {
	const char *name;         /* not NUL-terminated */
	size_t len;
	struct eng_ino id;
	uint64_t stub_key;        /* as in eng_attr */
	uint8_t type;             /* DT_* of dirent.h */
	uint64_t next;            /* position after this entry; fits int64_t */
};
/*
 * Calls fn for each entry at or after position `pos` (0: the start; "." and ".." come first). fn returns 0 to
 * go on; anything else ends the walk and is returned.
 */
int eng_readdir(struct eng_fs *fs, struct eng_ino dir, uint64_t pos,
		int (*fn)(void *arg, const struct eng_dirent *ent), void *arg);

/* Length of the target (not NUL-terminated), -EINVAL not a symlink, -ERANGE. */
ssize_t eng_readlink(struct eng_fs *fs, struct eng_ino id, char *buf, size_t size);
/* Length of the value, -ENODATA, -ERANGE; size 0 asks for the length. Names with their prefix ("user.x"). */
ssize_t eng_getxattr(struct eng_fs *fs, struct eng_ino id, const char *name, void *buf, size_t size);
/* Length of the NUL-separated list, -ERANGE; size 0 asks for the length. */
ssize_t eng_listxattr(struct eng_fs *fs, struct eng_ino id, char *buf, size_t size);

/* -EISDIR, -EINVAL for what is not a regular file. */
int eng_file_open(struct eng_fs *fs, struct eng_ino id, struct eng_file **out_file);
void eng_file_close(struct eng_file *f);
/*
 * Bytes read, short only at the end of the file or before a bad sector; -EIO. Any number of threads. Of a file that is
 * changed meanwhile each call gives what one moment had, and no later one anything older; without a name it can
 * be read until it is closed.
 */
ssize_t eng_file_read(struct eng_file *f, uint64_t off, void *buf, size_t len);
/* As they were when it was opened. */
const struct eng_attr *eng_file_attr(const struct eng_file *f);
/* whence SEEK_DATA or SEEK_HOLE. The offset, or -ENXIO. */
int64_t eng_seek(struct eng_fs *fs, struct eng_ino id, uint64_t off, int whence);

struct eng_statfs {
	uint64_t total_bytes;     /* of all devices */
	uint64_t free_bytes;      /* of data, as statfs(2) counts on btrfs */
	uint64_t avail_bytes;
	uint32_t block_size;      /* sectors */
	uint32_t name_max;
};
int eng_statfs(struct eng_fs *fs, struct eng_statfs *out_st);

struct eng_fs_info {
	uint8_t fsid[16];
	uint8_t metadata_uuid[16];
	char label[257];
	uint64_t generation;
	uint64_t num_devices;
	uint64_t max_devid;
	uint32_t nodesize, sectorsize;
	uint16_t csum_type, csum_size;
	uint64_t compat, compat_ro, incompat;
	bool log_tree;            /* a log tree was left behind, unreplayed */
	bool degraded;            /* devices are missing */
	bool writable;            /* opened for writing, and no transaction was aborted since */
};
void eng_fs_info(struct eng_fs *fs, struct eng_fs_info *out_info);

struct eng_dev_info {
	uint64_t devid;
	uint8_t uuid[16], fsid[16];
	uint64_t total_bytes, bytes_used;
	const char *path;         /* NULL: missing. Lives as long as fs */
};
/* By index, ascending devid; false past the end. */
bool eng_dev_info(struct eng_fs *fs, unsigned index, struct eng_dev_info *out_info);

struct eng_subvol_info {
	uint64_t id, parent_id, dirid;
	char name[256];
	uint64_t generation, flags;
	uint8_t uuid[16], parent_uuid[16], received_uuid[16];
	uint64_t ctransid, otransid, stransid, rtransid;
	struct timespec ctime, otime, stime, rtime;
};
/* -ENOENT. */
int eng_subvol_info(struct eng_fs *fs, uint64_t id, struct eng_subvol_info *out_info);

/* The path of an inode within its subvolume (INO_LOOKUP), with a trailing slash as the kernel gives it. -ENOENT, -ERANGE. */
int eng_ino_path(struct eng_fs *fs, struct eng_ino id, char *buf, size_t size);

/* ---- changing; all -EROFS if not opened writable, after an abort, and in a read-only subvolume; -ENOSPC ---- */

struct eng_new {
	uint32_t mode;            /* type and permissions; S_IFREG, S_IFDIR, S_IFLNK, S_IFIFO… */
	uint32_t uid, gid;
	dev_t rdev;
	const char *target;       /* symlink; not NUL-terminated */
	size_t target_len;
};
/* -EEXIST, -ENOENT (the directory was removed), -ENOTDIR, -ENAMETOOLONG, -EINVAL (name or type). */
int eng_create(struct eng_fs *fs, struct eng_ino dir, const char *name, size_t len, const struct eng_new *what,
	       struct eng_attr *out_attr);
/* -EEXIST, -EMLINK, -EXDEV, -EPERM (a directory), -ENOENT. */
int eng_link(struct eng_fs *fs, struct eng_ino id, struct eng_ino dir, const char *name, size_t len,
	     struct eng_attr *out_attr);
/* -ENOENT, -EISDIR. */
int eng_unlink(struct eng_fs *fs, struct eng_ino dir, const char *name, size_t len);
/* -ENOENT, -ENOTDIR, -ENOTEMPTY; -EPERM (a subvolume). */
int eng_rmdir(struct eng_fs *fs, struct eng_ino dir, const char *name, size_t len);
/* flags: RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT. -EEXIST, -ENOENT, -EXDEV, -EINVAL (below itself), … */
int eng_rename(struct eng_fs *fs, struct eng_ino from_dir, const char *from, size_t from_len,
	       struct eng_ino to_dir, const char *to, size_t to_len, unsigned flags);

enum eng_set {
	ENG_SET_MODE = 1 << 0,
	ENG_SET_UID = 1 << 1,
	ENG_SET_GID = 1 << 2,
	ENG_SET_SIZE = 1 << 3,
	ENG_SET_ATIME = 1 << 4,
	ENG_SET_MTIME = 1 << 5,
	ENG_SET_CTIME = 1 << 6,   /* without it: now */
	ENG_SET_OTIME = 1 << 7,
	ENG_SET_FLAGS = 1 << 8,   /* BTRFS_INODE_* that chattr knows */
};
/* Those of `attr` that `set` names. -ENOENT, -EFBIG, -EISDIR; -EINVAL. */
int eng_setattr(struct eng_fs *fs, struct eng_ino id, unsigned set, const struct eng_attr *attr,
		struct eng_attr *out_attr);
/* Bytes written. For now only what stays inline: -EFBIG beyond. */
ssize_t eng_write(struct eng_fs *fs, struct eng_ino id, uint64_t off, const void *buf, size_t len);
/* flags: XATTR_CREATE, XATTR_REPLACE. -EEXIST, -ENODATA, -ERANGE, -E2BIG, -ENOSPC, -EOPNOTSUPP. */
int eng_setxattr(struct eng_fs *fs, struct eng_ino id, const char *name, const void *value, size_t size, int flags);
int eng_removexattr(struct eng_fs *fs, struct eng_ino id, const char *name);

/* An inode that is referenced outlives its last name. -ENOENT. */
int eng_ref(struct eng_fs *fs, struct eng_ino id);
/* Gives `nr` references back; with the last one an inode without names is removed. */
void eng_unref(struct eng_fs *fs, struct eng_ino id, uint64_t nr);

/* Durability: on 0 everything that had returned before will be found. The abort's errno. */
int eng_sync(struct eng_fs *fs);

/* Key range search over any tree (TREE_SEARCH): fn for each item in [min, max] whose block's generation is in range. */
struct eng_search {
	uint64_t tree_id;
	uint64_t min_objectid, min_offset, max_objectid, max_offset;
	uint64_t min_transid, max_transid;
	uint8_t min_type, max_type;
};
/* fn non-zero ends the search and is returned. -ENOENT: no such tree. */
int eng_tree_search(struct eng_fs *fs, const struct eng_search *range,
		    int (*fn)(void *arg, uint64_t transid, uint64_t objectid, uint8_t type,
			      uint64_t offset, const void *item, uint32_t len),
		    void *arg);

#endif
