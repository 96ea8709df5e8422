// SPDX-License-Identifier: GPL-2.0-or-later
/* What --help prints; the manual says more. */
#include "fuse/opts.h"

#include <stdio.h>

void options_help(void)
{
	fputs("Usage: ubtrfs [-f] [-d] [-o option[,option...]] DEV... DIR\n"
	      "Mount the btrfs in the devices or image files DEV... on DIR, read-only.\n"
	      "Unmount with: ubtrfsctl umount DIR\n"
	      "\n"
	      "  -f, --foreground       stay in the foreground, messages on stderr\n"
	      "  -d, --debug            as -f, and tell of every request\n"
	      "  -o, --options LIST     mount options, separated by commas\n"
	      "  -h, --help             show this text\n"
	      "  -V, --version          show the version\n"
	      "\n"
	      "Options of btrfs(5):\n"
	      "  subvol=PATH            mount this subvolume\n"
	      "  subvolid=ID            the same, by number\n"
	      "  device=PATH            another device of the filesystem (may be repeated)\n"
	      "  degraded               mount although devices are missing\n"
	      "  rescue=WORD[:WORD...]  usebackuproot, ignorebadroots, ignoredatacsums,\n"
	      "                         ignoremetacsums, ignoresuperflags, all\n"
	      "  noacl                  do not honour access control lists\n"
	      "Options of ubtrfs:\n"
	      "  offset=BYTES           where in DEV the filesystem starts (K, M, G, T)\n"
	      "  metadata_cache=BYTES   memory for metadata, at most (default 64M)\n"
	      "  readahead=BYTES        memory for data read ahead, at most (default 32M)\n"
	      "  uid=USER, gid=GROUP    show everything as owned by these\n"
	      "  umask=OCTAL            show permissions as rw, and x for directories and\n"
	      "                         programs, less these\n"
	      "  threads=N              answer so many requests at a time (default 10)\n"
	      "  io=uring|pread         how devices are read (default: uring if allowed)\n"
	      "  sandbox=no             for debugging: keep all rights after mounting\n"
	      "Options of FUSE:\n"
	      "  allow_other            let other users in (root's mounts do; see noallow_other)\n"
	      "  allow_root             let root in\n"
	      "  max_read=BYTES         largest read request\n"
	      "Other options of btrfs and mount are accepted and change nothing.\n",
	      stdout);
}
