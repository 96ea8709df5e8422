// SPDX-License-Identifier: GPL-2.0-or-later
/* ubtrfsctl: what is done with a filesystem besides mounting it. One table of subcommands, a file each. */
#include "tools/ctl/ctl.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct ctl_command *const commands[] = {
	&ctl_umount,
	&ctl_rescue,
};

#define COMMAND_NR (sizeof(commands) / sizeof(commands[0]))

void ctl_error(const char *fmt, ...)
{
	va_list ap;

	fputs("ubtrfsctl: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

static void usage(void)
{
	puts("Usage: ubtrfsctl COMMAND [options] DIR|DEVICE\n"
	     "Work with a btrfs that ubtrfs has mounted on DIR, or with one that is not mounted.\n"
	     "\nCommands:");
	for (size_t i = 0; i < COMMAND_NR; i++)
		printf("  %-10s %s\n", commands[i]->name, commands[i]->summary);
	puts("\n`ubtrfsctl COMMAND --help` tells more of each; --version shows the version.");
}

static bool is(const char *arg, const char *brief, const char *full)
{
	return !strcmp(arg, brief) || !strcmp(arg, full);
}

static bool wants_help(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (is(argv[i], "-h", "--help"))
			return true;
	return false;
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		ctl_error("give a command (see --help)");
		return CTL_WRONG_USE;
	}
	if (is(argv[1], "-h", "--help") || !strcmp(argv[1], "help")) {
		usage();
		return CTL_DONE;
	}
	if (is(argv[1], "-V", "--version")) {
		puts("ubtrfsctl " UBTRFS_VERSION);
		return CTL_DONE;
	}
	for (size_t i = 0; i < COMMAND_NR; i++) {
		const struct ctl_command *cmd = commands[i];

		if (strcmp(cmd->name, argv[1]) != 0)
			continue;
		if (!wants_help(argc - 1, argv + 1))
			return cmd->run(argc - 1, argv + 1);
		printf("Usage: ubtrfsctl %s %s\n%s", cmd->name, cmd->args, cmd->help);
		return CTL_DONE;
	}
	ctl_error("unknown command '%s' (see --help)", argv[1]);
	return CTL_WRONG_USE;
}
