/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Our own ioctls, on any open file or directory of a mount. Fixed sizes: FUSE carries no others.
 * This header includes nothing of ours: it is for other programs, too.
 */
#ifndef UBTRFS_FUSE_IOCTL_H
#define UBTRFS_FUSE_IOCTL_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define UBTRFS_IOC_TYPE 0xB7
#define UBTRFS_INFO_MAGIC 0x7366727462750000ull
#define UBTRFS_INFO_VERSION 1

/* Who serves this mount. Process ids as the server's own pid namespace has them. */
struct ubtrfs_ioc_info {
	__u64 magic;
	__u32 version;
	__u32 server_pid;
	__u32 supervisor_pid;
	__u32 sandboxed;    /* 1: the seccomp filter is on */
	__u64 subvol;	    /* id of the subvolume that is the mount's root */
	__u64 kept_nodeids; /* inodes that the server had to remember */
	__u64 reserved[10];
};

#define UBTRFS_IOC_INFO _IOR(UBTRFS_IOC_TYPE, 0, struct ubtrfs_ioc_info)

#endif
