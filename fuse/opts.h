/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command line of ubtrfs: mount options as in btrfs(5) and mount(8), and our own. */
#ifndef UBTRFS_FUSE_OPTS_H
#define UBTRFS_FUSE_OPTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* What ubtrfs exits with; the numbers are mount(8)'s. */
enum mount_exit {
	EXIT_DONE = 0,
	EXIT_WRONG_USE = 1, /* options, or no right to */
	EXIT_SYSTEM = 2,    /* no memory, no processes */
	EXIT_BUG = 4,	    /* the server died while mounting */
	EXIT_USER = 8,	    /* interrupted */
	EXIT_NO_MOUNT = 32, /* the mount failed */
};

struct options {
	char **devices; /* the first is what messages call the filesystem */
	unsigned nr_devices;
	char *dir;		/* as given, then absolute */
	bool foreground, debug; /* -f, -d */
	bool help, version;
	bool rw_asked;
	bool degraded;
	unsigned rescue; /* enum eng_rescue bits */
	char *subvol;	 /* path from the top level; NULL: not given */
	bool have_subvolid;
	uint64_t subvolid;
	uint64_t offset;	 /* bytes */
	uint64_t metadata_cache; /* bytes; 0: the engine's default */
	uint64_t readahead;	 /* bytes; 0: the engine's default */
	unsigned threads;	 /* that answer the kernel */
	bool pread;		 /* no io_uring */
	bool no_sandbox;
	bool no_acl;
	bool have_uid, have_gid, have_umask;
	uid_t uid;
	gid_t gid;
	mode_t umask;
	bool allow_other, allow_root, private; /* private: no allow_other by default for root */
	unsigned max_read;		       /* bytes; 0: as large as can be */
	char *kernel_opts; /* ",name[=value]…", each escaped for libfuse; NULL: none */
};

/*
 * Reads the command line into *out_opts, which is cleared first. On a mistake one line was said on
 * stderr. Return: 0, or -EINVAL (-ENOMEM).
 */
int options_parse(int argc, char **argv, struct options *out_opts);
/* One comma-separated list, as after -o. For options_parse and tests. */
int options_add(struct options *opts, const char *list);
void options_free(struct options *opts);
void options_help(void);

/* Appends ",name=value" with the value's commas and backslashes escaped. `list` may point to NULL.
 * -ENOMEM. */
int options_append(char **list, const char *name, const char *value);

#endif
