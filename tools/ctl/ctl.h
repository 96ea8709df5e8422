/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ubtrfsctl's subcommands. */
#ifndef UBTRFS_TOOLS_CTL_CTL_H
#define UBTRFS_TOOLS_CTL_CTL_H

#include <stdbool.h>

enum ctl_exit {
	CTL_DONE = 0,
	CTL_FAILED = 1,
	CTL_WRONG_USE = 2,
};

struct ctl_command {
	const char *name;
	const char *args; /* as in the usage line */
	const char *summary;
	const char *help; /* what --help says below the usage line */
	/* argv[0] is the command's name. Return: enum ctl_exit. */
	int (*run)(int argc, char **argv);
};

extern const struct ctl_command ctl_umount;
extern const struct ctl_command ctl_rescue;

/* One line on stderr, "ubtrfsctl: …". */
void ctl_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* What is mounted at a directory. */
struct ctl_mount {
	char *path;			     /* absolute, resolved */
	bool dead;			     /* nobody serves it */
	unsigned server_pid, supervisor_pid; /* 0: not known */
};

/*
 * Finds the ubtrfs mount whose top is `dir`, and who serves it. What is wrong was said.
 * Return: 0 or -errno. ctl_mount_free in any case.
 */
int ctl_mount_find(const char *dir, struct ctl_mount *out_mnt);
void ctl_mount_free(struct ctl_mount *mnt);
/* True if something of ubtrfs is mounted at the path. */
bool ctl_mounted(const char *path);

#endif
