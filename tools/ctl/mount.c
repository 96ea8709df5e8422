// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Finding a mount and its processes.
 *
 * The table of mounts says what is mounted where; the server itself says, by ioctl, which processes
 * it has. A user's mount lets nobody else in, not even root: root asks in the name of that user, in
 * a child.
 */
#include "tools/ctl/ctl.h"

#include "fuse/ioctl.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOUNTS "/proc/self/mounts"
#define OUR_TYPE "fuse.ubtrfs"
#define LINE_BYTES 65536

/* The value of "name=number" in a list of mount options. */
static bool option_number(const char *opts, const char *name, unsigned *out)
{
	size_t len = strlen(name);

	for (; opts; opts = strchr(opts, ',')) {
		opts += *opts == ',';
		if (!strncmp(opts, name, len) && opts[len] == '=')
			return sscanf(opts + len + 1, "%u", out) == 1;
	}
	return false;
}

/* The last one mounted at the path counts: it hides the others. Its owner is for root to know whom
 * to ask as. */
static bool find_entry(const char *path, uid_t *out_uid, gid_t *out_gid)
{
	FILE *f = setmntent(MOUNTS, "re");
	char *line = malloc(LINE_BYTES);
	struct mntent ent;
	bool found = false;
	unsigned nr;

	while (f && line && getmntent_r(f, &ent, line, LINE_BYTES)) {
		if (strcmp(ent.mnt_dir, path) != 0)
			continue;
		/* The type may name the daemon by its path, if mount(8) was given it so. */
		found = !strncmp(ent.mnt_type, "fuse.", 5) &&
			!strcmp(ent.mnt_type + strlen(ent.mnt_type) - 6, "ubtrfs");
		*out_uid = option_number(ent.mnt_opts, "user_id", &nr) ? nr : 0;
		*out_gid = option_number(ent.mnt_opts, "group_id", &nr) ? nr : 0;
	}
	if (f)
		endmntent(f);
	free(line);
	return found;
}

bool ctl_mounted(const char *path)
{
	uid_t uid;
	gid_t gid;

	return find_entry(path, &uid, &gid);
}

static int ask(const char *path, struct ubtrfs_ioc_info *out_info)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = 0;

	if (fd < 0)
		return -errno;
	if (ioctl(fd, UBTRFS_IOC_INFO, out_info))
		err = -errno;
	else if (out_info->magic != UBTRFS_INFO_MAGIC)
		err = -EINVAL;
	close(fd);
	return err;
}

static int ask_as(const char *path, uid_t uid, gid_t gid, struct ubtrfs_ioc_info *out_info)
{
	struct {
		int err;
		struct ubtrfs_ioc_info info;
	} answer = { .err = -EIO };
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	pid = fork();
	if (!pid) {
		if (setgroups(0, NULL) || setresgid(gid, gid, gid) || setresuid(uid, uid, uid))
			answer.err = -errno;
		else
			answer.err = ask(path, &answer.info);
		_exit(write(fds[1], &answer, sizeof(answer)) != sizeof(answer));
	}
	close(fds[1]);
	if (pid < 0 || read(fds[0], &answer, sizeof(answer)) != sizeof(answer))
		answer.err = -EIO;
	close(fds[0]);
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	*out_info = answer.info;
	return answer.err;
}

int ctl_mount_find(const char *dir, struct ctl_mount *out_mnt)
{
	struct ubtrfs_ioc_info info = { 0 };
	uid_t uid;
	gid_t gid;
	int err;

	*out_mnt = (struct ctl_mount){ 0 };
	out_mnt->path = realpath(dir, NULL);
	if (!out_mnt->path) {
		err = -errno;
		ctl_error("%s: %s", dir, strerror(-err));
		return err;
	}
	if (!find_entry(out_mnt->path, &uid, &gid)) {
		ctl_error("%s: nothing of ubtrfs is mounted here", dir);
		return -EINVAL;
	}
	err = ask(out_mnt->path, &info);
	if (err == -EACCES && !geteuid() && uid)
		err = ask_as(out_mnt->path, uid, gid, &info);
	out_mnt->dead = err == -ENOTCONN || err == -ECONNABORTED;
	if (err && !out_mnt->dead) {
		ctl_error("%s: cannot ask the daemon: %s", dir, strerror(-err));
		return err;
	}
	if (!err) {
		out_mnt->server_pid = info.server_pid;
		out_mnt->supervisor_pid = info.supervisor_pid;
	}
	return 0;
}

void ctl_mount_free(struct ctl_mount *mnt)
{
	free(mnt->path);
	mnt->path = NULL;
}
