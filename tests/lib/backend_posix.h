/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Operations of ops.h by system calls, below a directory: the kernel's btrfs, as root, mounted
 * noatime. */
#ifndef UBTRFS_TESTS_LIB_BACKEND_POSIX_H
#define UBTRFS_TESTS_LIB_BACKEND_POSIX_H

#include "tests/lib/ops.h"

/* `shared` is what "$" stands for; NULL: nothing. NULL: errno says why. umask(0) is the caller's to
 * see to. */
struct backend *backend_posix(const char *dir, const char *shared);

#endif
