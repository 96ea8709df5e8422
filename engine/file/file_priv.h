/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the sources of file/ share. */
#ifndef UBTRFS_ENGINE_FILE_FILE_PRIV_H
#define UBTRFS_ENGINE_FILE_FILE_PRIV_H

#include "engine/txn/fs.h"

/*
 * The entry `name` in the DIR_ITEM or XATTR_ITEM that the path stands on: names of one hash share an item.
 * NULL: not there. Its name follows the struct, then its data.
 */
const struct btrfs_dir_item *dir_item_find(const struct bt_path *path, const char *name, size_t len);

#endif
