// SPDX-License-Identifier: GPL-2.0-or-later
/* See judge.h. */
#include "tests/lib/judge.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Keeps the last `size` - 1 bytes of what comes. */
static void drain(int fd, char *text, size_t size)
{
	char buf[4096];
	size_t len = 0;
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0 || (n < 0 && errno == EINTR)) {
		size_t add = n > 0 ? (size_t)n : 0;
		const char *from = buf;

		if (add >= size) {
			from += add - (size - 1);
			add = size - 1;
		}
		if (len + add >= size) {
			size_t cut = len + add - (size - 1);

			memmove(text, text + cut, len - cut);
			len -= cut;
		}
		memcpy(text + len, from, add);
		len += add;
	}
	text[len] = '\0';
}

bool judge_check(const char *image, char *text, size_t size)
{
	const char *const argv[] = { "btrfs", "check", "--check-data-csum", image, NULL };
	const char *const envp[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", NULL };
	posix_spawn_file_actions_t act;
	int fds[2], status;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) || posix_spawn_file_actions_init(&act) ||
	    posix_spawn_file_actions_adddup2(&act, fds[1], 1) ||
	    posix_spawn_file_actions_adddup2(&act, fds[1], 2) ||
	    posix_spawnp(&pid, argv[0], &act, NULL, (char *const *)argv, (char *const *)envp)) {
		perror("btrfs check");
		abort();
	}
	posix_spawn_file_actions_destroy(&act);
	close(fds[1]);
	drain(fds[0], text, size);
	close(fds[0]);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			abort();
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		abort();
	return status == 0;
}
