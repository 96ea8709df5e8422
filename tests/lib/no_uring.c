// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ubtrfs-no-uring [-ENOSYS] COMMAND...: runs a command that may not use io_uring, as in most
 * containers. The calls fail with EPERM (or ENOSYS), for all its descendants too.
 */
#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	static const int calls[] = { SCMP_SYS(io_uring_setup), SCMP_SYS(io_uring_enter),
				     SCMP_SYS(io_uring_register) };
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	int error = EPERM, ret = filter ? 0 : -ENOMEM;

	if (argc > 1 && !strcmp(argv[1], "-ENOSYS")) {
		error = ENOSYS;
		argv++;
		argc--;
	}
	if (argc < 2) {
		fprintf(stderr, "usage: ubtrfs-no-uring [-ENOSYS] COMMAND...\n");
		return 2;
	}
	/* Root needs no such promise, and without it setuid helpers go on working below. */
	if (!ret && !geteuid())
		ret = seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 0);
	for (size_t i = 0; !ret && i < sizeof(calls) / sizeof(*calls); i++)
		ret = seccomp_rule_add(filter, SCMP_ACT_ERRNO(error), calls[i], 0);
	if (!ret)
		ret = seccomp_load(filter);
	if (ret) {
		fprintf(stderr, "ubtrfs-no-uring: %s\n", strerror(-ret));
		return 2;
	}
	execvp(argv[1], argv + 1);
	perror(argv[1]);
	return 127;
}
