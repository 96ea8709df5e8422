// SPDX-License-Identifier: GPL-2.0-or-later
/* Files by path: what extents, cat and extract begin with. */
#include "tools/dump/path.h"

#include <errno.h>
#include <getopt.h>
#include <string.h>

bool path_take_args(struct dump *d, int argc, char **argv, int nr_after, const char *what)
{
	int last_dev = argc - nr_after;

	for (; optind < last_dev; optind++)
		if (!dump_add_device(d, argv[optind]))
			return false;
	if (d->nr_devices && argc - optind == nr_after)
		return true;
	dump_error("%s; see --help", what);
	return false;
}

int path_option(struct path_opts *p, struct dump *d, int opt, const char *help)
{
	if (opt != OPT_SUBVOL)
		return dump_common_option(d, opt, help);
	p->subvol = optarg;
	return -1;
}

int path_command_line(struct dump *d, struct path_opts *p, int argc, char **argv, const char *help,
		      int nr_after, const char *what)
{
	static const struct option options[] = { PATH_OPTIONS, DUMP_COMMON_OPTIONS };
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		int code = path_option(p, d, opt, help);

		if (code >= 0)
			return code;
	}
	return path_take_args(d, argc, argv, nr_after, what) ? -1 : DUMP_USAGE;
}

bool path_find(struct dump *d, const struct path_opts *p, const char *path,
	       struct eng_attr *out_attr)
{
	uint64_t id = BTRFS_FS_TREE_OBJECTID;
	struct eng_ino top;
	int err = 0;

	if (p->subvol) {
		if (p->subvol[0] >= '0' && p->subvol[0] <= '9') {
			if (!dump_number("--subvol", p->subvol, &id))
				return false;
		} else {
			err = eng_subvol_by_path(d->fs, p->subvol, &id);
		}
	}
	if (!err)
		err = eng_subvol_root(d->fs, id, &top);
	if (err) {
		dump_error("subvolume %s: %s", p->subvol ? p->subvol : "5", strerror(-err));
		return false;
	}
	err = eng_path_lookup(d->fs, top, path, out_attr);
	if (err)
		dump_error("%s: %s", path, strerror(-err));
	return err == 0;
}
