/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A short script that changes a filesystem in every way that a front end can: what is there already
 * is linked, renamed, cut, given attributes and removed, new things are made, and it is committed
 * in between. Ends on any image, in bounded time.
 */
#ifndef UBTRFS_TESTS_LIB_CHANGEALL_H
#define UBTRFS_TESTS_LIB_CHANGEALL_H

#include "engine/engine.h"

#define CHANGEALL_ERRNOS 134

struct changeall {
	uint64_t calls;
	uint32_t by_errno[CHANGEALL_ERRNOS]; /* [0]: calls that went well */
};

/* All changes come in an order that `seed` decides. */
void changeall(struct eng_fs *fs, uint64_t seed, struct changeall *out_seen);

#endif
