/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The server: the process that opens the filesystem, mounts it, and answers the kernel. */
#ifndef UBTRFS_FUSE_SERVER_H
#define UBTRFS_FUSE_SERVER_H

#include "fuse/nodeid.h"
#include "fuse/opts.h"
#include "fuse/streams.h"

#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 14)
#include <fuse_lowlevel.h>

struct server {
	const struct options *opts;
	int report_fd;
	struct eng_fs *fs;
	struct fuse_session *se;
	struct nodeids *ids;
	struct streams *streams;
	struct eng_ino root;
	uint32_t block_size;
	uid_t owner; /* who mounted */
	uint32_t supervisor_pid;
	bool inited;		  /* INIT was answered */
	bool no_open, no_opendir; /* the kernel can do without these requests */
	bool acl;		  /* the kernel honours ACLs; else they are not shown */
	bool sandboxed;
};

/* How long the kernel may keep what it was told: nobody else changes a mounted image. */
#define CACHE_SEC (365.0 * 86400)

/*
 * The life of the server: open, mount, report, serve, close. `opts` has an absolute dir.
 * Return: an exit code (enum mount_exit).
 */
int server_run(const struct options *opts, int report_fd);

/* The operations; userdata is a struct server. */
extern const struct fuse_lowlevel_ops server_ops;

#endif
