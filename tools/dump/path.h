/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files by path: what extents, cat and extract begin with. */
#ifndef UBTRFS_TOOLS_DUMP_PATH_H
#define UBTRFS_TOOLS_DUMP_PATH_H

#include "tools/dump/dump.h"

struct path_opts {
	const char *subvol; /* id or path; NULL: the top level */
};

enum {
	OPT_SUBVOL = OPT_OWN,
	OPT_PATH_OWN,
};

#define PATH_OPTIONS                                                                               \
	{                                                                                          \
		"subvol", required_argument, NULL, OPT_SUBVOL                                      \
	}
#define PATH_HELP "  --subvol ID|PATH     the path starts in this subvolume, not in the top level\n"

/* Devices, then `nr_after` other arguments, left at optind. False and a message (`what`) if too
 * few. */
bool path_take_args(struct dump *d, int argc, char **argv, int nr_after, const char *what);
/* The whole command line of a command with no options of its own. -1: go on; else the exit code. */
int path_command_line(struct dump *d, struct path_opts *p, int argc, char **argv, const char *help,
		      int nr_after, const char *what);
/* As dump_common_option, with --subvol. */
int path_option(struct path_opts *p, struct dump *d, int opt, const char *help);
/* False and a message if there is no such file. Symbolic links are not followed. */
bool path_find(struct dump *d, const struct path_opts *p, const char *path,
	       struct eng_attr *out_attr);

#endif
