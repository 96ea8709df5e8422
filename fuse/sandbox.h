/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Giving up what a mounted server does not need: an image is untrusted input, and whoever takes the
 * server over through one shall find a process that can read its devices and answer the kernel, and
 * nothing else.
 */
#ifndef UBTRFS_FUSE_SANDBOX_H
#define UBTRFS_FUSE_SANDBOX_H

/*
 * The first step, before the threads are made that serve: no new privileges, no capabilities, no
 * paths (landlock), for the calling thread and those it makes from now on, and for all where the
 * kernel can. Everything that needs a path must be there already. Return: 0; what landlock said:
 * -EOPNOTSUPP: not in this kernel; -errno. The rest is done in any case.
 */
int sandbox_drop_rights(void);
/*
 * The last step, for all threads: few system calls (seccomp), the others fail with EPERM. No
 * socket, process, thread, file or io_uring can be made any more. Return: 0 or -errno.
 */
int sandbox_filter_calls(void);

#endif
