/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The supervisor: a small process that keeps its rights, starts the server, says what the server
 * has to say, and unmounts: on SIGTERM and SIGINT, and when the server has died, so that no dead
 * mount stays behind.
 */
#ifndef UBTRFS_FUSE_SUPERVISE_H
#define UBTRFS_FUSE_SUPERVISE_H

#include "fuse/opts.h"

/*
 * Runs until the mount is over. `ready_fd`: where a person waits, gets one byte (enum mount_exit)
 * and is closed once the mount is usable or has failed; -1: nobody does, stay in the foreground.
 * Return: an exit code.
 */
int supervise(const struct options *opts, int ready_fd);

#endif
