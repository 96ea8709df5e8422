// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ubtrfsctl umount: unmounts, and waits until the devices are free.
 *
 * umount(8) and fusermount3 return while the daemon still has the devices open; whoever then
 * checks, copies or detaches them is too early. So the daemon's processes are held by descriptors
 * before anything is unmounted, and waited for.
 */
#include "tools/ctl/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_MS 2000

struct umount_opts {
	bool lazy;
	int timeout_ms; /* -1: none */
	const char *dir;
};

/* A process of the daemon, by a descriptor; -1: none, or not of our pid namespace. */
static int hold(unsigned pid)
{
	char path[64], comm[32] = "";
	int fd, pidfd = pid ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;

	if (pidfd < 0)
		return -1;
	snprintf(path, sizeof(path), "/proc/%u/comm", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		(void)!read(fd, comm, sizeof(comm) - 1);
		close(fd);
	}
	if (!strncmp(comm, "ubtrfs", 6) || !strncmp(comm, "mount.", 6))
		return pidfd;
	close(pidfd);
	return -1;
}

/* fusermount3 decides what a user may unmount. What it says goes to `said`, not to the person. */
static int run_fusermount(const char *path, bool lazy, char *said, size_t size)
{
	int fd = memfd_create("ubtrfsctl", MFD_CLOEXEC), status = -1;
	pid_t pid = fork();
	ssize_t n;

	if (!pid) {
		if (fd >= 0)
			dup2(fd, 2);
		execlp("fusermount3", "fusermount3", lazy ? "-uz" : "-u", "--", path, NULL);
		fprintf(stderr, "cannot run fusermount3: %s\n", strerror(errno));
		_exit(127);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	n = fd >= 0 ? pread(fd, said, size - 1, 0) : 0;
	said[n > 0 ? n : 0] = '\0';
	said[strcspn(said, "\n")] = '\0';
	if (fd >= 0)
		close(fd);
	return pid > 0 && WIFEXITED(status) && !WEXITSTATUS(status) ? 0 : -EPERM;
}

static int unmount(const struct ctl_mount *mnt, bool lazy, const char *dir)
{
	int err = umount2(mnt->path, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) ? -errno : 0;
	char said[512] = "";

	if (err == -EPERM) {
		err = run_fusermount(mnt->path, lazy, said, sizeof(said));
		if (err && strstr(said, strerror(EBUSY)))
			err = -EBUSY;
	}
	if (err == -EBUSY)
		ctl_error(
			"%s: busy: files are open in it, or somebody's working directory is (umount -l detaches it)",
			dir);
	else if (err)
		ctl_error("%s: cannot unmount: %s", dir, said[0] ? said : strerror(-err));
	return err;
}

/* Waits for both ends of the daemon. The filesystem may be mounted or open elsewhere: then that
 * takes long. */
static int wait_end(const struct umount_opts *opts, int *fds)
{
	int left = opts->timeout_ms;
	bool said = false;

	for (int i = 0; i < 2; i++) {
		struct pollfd p = { .fd = fds[i], .events = POLLIN };

		while (fds[i] >= 0) {
			int step = left >= 0 && left < PATIENCE_MS ? left : PATIENCE_MS;
			int ret = poll(&p, 1, step);

			if (ret > 0)
				break;
			if (ret < 0 && errno != EINTR)
				return -errno;
			if (left >= 0 && (left -= step) == 0) {
				ctl_error("%s: unmounted, but the daemon has not ended in time",
					  opts->dir);
				return -ETIMEDOUT;
			}
			if (!said)
				ctl_error(
					"%s: unmounted here; waiting for other mounts or users of it to go",
					opts->dir);
			said = true;
		}
	}
	return 0;
}

static int umount_dir(const struct umount_opts *opts)
{
	struct ctl_mount mnt;
	int fds[2] = { -1, -1 }, err = ctl_mount_find(opts->dir, &mnt);

	if (!err && !mnt.dead) {
		fds[0] = hold(mnt.server_pid);
		fds[1] = hold(mnt.supervisor_pid);
		if (fds[0] < 0)
			ctl_error(
				"%s: the daemon is in another pid namespace: not waiting for its end",
				opts->dir);
	}
	if (!err)
		err = unmount(&mnt, opts->lazy, opts->dir);
	if (!err && !opts->lazy)
		err = wait_end(opts, fds);
	for (int i = 0; i < 2; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	ctl_mount_free(&mnt);
	return err ? CTL_FAILED : CTL_DONE;
}

static int run(int argc, char **argv)
{
	static const struct option long_opts[] = {
		{ "lazy", no_argument, NULL, 'l' },
		{ "timeout", required_argument, NULL, 't' },
		{ 0 },
	};
	struct umount_opts opts = { .timeout_ms = -1 };
	char *end;
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "lt:", long_opts, NULL)) != -1) {
		switch (c) {
		case 'l':
			opts.lazy = true;
			break;
		case 't': {
			long sec = strtol(optarg, &end, 10);

			if (*end || end == optarg || sec < 0 || sec > 1000000) {
				ctl_error("umount: not a number of seconds: '%s'", optarg);
				return CTL_WRONG_USE;
			}
			opts.timeout_ms = (int)sec * 1000;
			break;
		}
		default:
			ctl_error("umount: unknown option '%s' (see --help)", argv[optind - 1]);
			return CTL_WRONG_USE;
		}
	}
	if (argc - optind != 1) {
		ctl_error("umount: give one directory (see --help)");
		return CTL_WRONG_USE;
	}
	opts.dir = argv[optind];
	return umount_dir(&opts);
}

const struct ctl_command ctl_umount = {
	.name = "umount",
	.args = "[-l] [-t SECONDS] DIR",
	.summary = "unmount, and wait until the devices are free",
	.help = "Unmount what ubtrfs has mounted on DIR, and return when its daemon has ended, so that\n"
		"the devices are free.\n"
		"\n"
		"  -l, --lazy             detach it although it is in use, and do not wait\n"
		"  -t, --timeout SECONDS  wait no longer than this for the daemon\n",
	.run = run,
};
