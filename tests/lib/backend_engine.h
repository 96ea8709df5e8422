/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Operations of ops.h on a filesystem that is open in our engine. */
#ifndef UBTRFS_TESTS_LIB_BACKEND_ENGINE_H
#define UBTRFS_TESTS_LIB_BACKEND_ENGINE_H

#include "engine/engine.h"
#include "tests/lib/ops.h"

/* Below the directory `top`; `shared` is what "$" stands for, or NULL. The filesystem outlives it. */
struct backend *backend_engine(struct eng_fs *fs, struct eng_ino top, const struct eng_ino *shared);

#endif
