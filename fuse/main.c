// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ubtrfs: mounts a btrfs read-only through FUSE.
 *
 * Three processes: this one waits until the mount is usable and leaves with the exit code; the
 * supervisor (supervise.c) stays, small and with its rights; the server (server.c) does the work
 * and has none.
 */
#include "fuse/opts.h"
#include "fuse/supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The directory becomes absolute, and is one: before any device is touched. */
static int check_dir(struct options *opts)
{
	char *dir = realpath(opts->dir, NULL);
	struct stat st;
	int err = 0;

	if (!dir || stat(dir, &st))
		err = errno;
	else if (!S_ISDIR(st.st_mode))
		err = ENOTDIR;
	if (err) {
		fprintf(stderr, "ubtrfs: %s: %s\n", opts->dir, strerror(err));
		free(dir);
		return EXIT_NO_MOUNT;
	}
	free(opts->dir);
	opts->dir = dir;
	return EXIT_DONE;
}

/* Descriptors 0 to 2 must be taken, or an image may become stderr. */
static void take_stdio(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= 2);
	if (fd > 2)
		close(fd);
}

static int wait_ready(int fd)
{
	unsigned char code;
	ssize_t n;

	do
		n = read(fd, &code, 1);
	while (n < 0 && errno == EINTR);
	if (n == 1)
		return code;
	fputs("ubtrfs: the supervisor died while mounting\n", stderr);
	return EXIT_BUG;
}

static int daemonise(const struct options *opts)
{
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) || (pid = fork()) < 0) {
		fprintf(stderr, "ubtrfs: %s\n", strerror(errno));
		return EXIT_SYSTEM;
	}
	if (!pid) {
		close(fds[0]);
		setsid();
		exit(supervise(opts, fds[1]));
	}
	close(fds[1]);
	return wait_ready(fds[0]);
}

int main(int argc, char **argv)
{
	struct options opts;
	int code = EXIT_DONE;

	take_stdio();
	if (options_parse(argc, argv, &opts))
		code = EXIT_WRONG_USE;
	else if (opts.help)
		options_help();
	else if (opts.version)
		puts("ubtrfs " UBTRFS_VERSION);
	else
		code = check_dir(&opts);
	if (code == EXIT_DONE && !opts.help && !opts.version)
		code = opts.foreground ? supervise(&opts, -1) : daemonise(&opts);
	options_free(&opts);
	return code;
}
