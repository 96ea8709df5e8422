/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Open files by inode: reads come without a handle, because opening sends no message. A bounded
 * number is kept open, so that sequential reading is noticed.
 */
#ifndef UBTRFS_FUSE_STREAMS_H
#define UBTRFS_FUSE_STREAMS_H

#include "engine/engine.h"

struct streams;

/* -ENOMEM. */
int streams_create(struct eng_fs *fs, struct streams **out_streams);
/* No read under way. Before eng_close. */
void streams_destroy(struct streams *st);
/* As eng_file_read, of a file that is opened if it is not; also errnos of eng_file_open. Blocks. */
ssize_t streams_read(struct streams *st, struct eng_ino id, uint64_t off, void *buf, size_t len);

#endif
