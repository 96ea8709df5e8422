// SPDX-License-Identifier: GPL-2.0-or-later
/* ubtrfs-dump: what is in a btrfs filesystem, without mounting it. */
#include "tools/dump/dump.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifndef UBTRFS_VERSION
#define UBTRFS_VERSION "unknown"
#endif

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *what;
} commands[] = {
	{ "super", cmd_super, "superblocks" },
	{ "tree", cmd_tree, "trees, or single blocks" },
	{ "extents", cmd_extents, "where a file's data lies" },
	{ "usage", cmd_usage, "space by block group and device" },
	{ "cat", cmd_cat, "a file's contents" },
	{ "extract", cmd_extract, "files and folders, copied out, going on past damage" },
};

/* ---- messages and progress ---- */

static bool progress_shown, progress_alone;

static void clear_progress(void)
{
	if (progress_shown)
		fputs("\r\033[K", stderr);
	progress_shown = false;
}

static void say(const char *kind, const char *fmt, va_list ap)
{
	clear_progress();
	fprintf(stderr, "ubtrfs-dump: %s", kind);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
}

void dump_error(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say("", fmt, ap);
	va_end(ap);
}

void dump_warn(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say("warning: ", fmt, ap);
	va_end(ap);
}

void dump_progress_alone(void)
{
	progress_alone = true;
}

void dump_progress(const char *what, uint64_t done, uint64_t total, const char *unit)
{
	static int wanted = -1;
	static struct timespec last;
	struct timespec now;

	if (wanted < 0)
		wanted = isatty(STDERR_FILENO) && (progress_alone || !isatty(STDOUT_FILENO));
	if (!wanted)
		return;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	if ((now.tv_sec - last.tv_sec) * 1000 + (now.tv_nsec - last.tv_nsec) / 1000000 < 200)
		return;
	last = now;
	if (total)
		fprintf(stderr, "\r%s: %llu of %llu %s\033[K", what, (unsigned long long)done,
			(unsigned long long)total, unit);
	else
		fprintf(stderr, "\r%s: %llu %s\033[K", what, (unsigned long long)done, unit);
	progress_shown = true;
}

void dump_progress_end(void)
{
	clear_progress();
}

/* ---- standard output ---- */

static struct dump_out out;

static int write_all(void *arg, const char *buf, size_t len)
{
	while (len) {
		ssize_t n = write(STDOUT_FILENO, buf, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		buf += n;
		len -= (size_t)n;
	}
	return 0;
}

struct text *dump_out_begin(void)
{
	out.text = (struct text){ .buf = out.buf, .size = sizeof(out.buf), .flush = write_all };
	return &out.text;
}

int dump_out_end(void)
{
	int err = text_flush(&out.text);

	if (!err)
		return DUMP_OK;
	dump_error("cannot write to standard output: %s", strerror(-err));
	return DUMP_FAILED;
}

/* ---- */

static void print_usage(FILE *to)
{
	fputs("usage: ubtrfs-dump COMMAND [OPTIONS] ...\n\n", to);
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		fprintf(to, "  %-8s %s\n", commands[i].name, commands[i].what);
	fputs("\nubtrfs-dump COMMAND --help tells a command's options; ubtrfs-dump(8) tells all.\n"
	      "Devices are only read. One that is mounted may change while it is looked at.\n",
	      to);
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		print_usage(stderr);
		return DUMP_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		print_usage(stdout);
		return DUMP_OK;
	}
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
		puts("ubtrfs-dump " UBTRFS_VERSION);
		return DUMP_OK;
	}
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	dump_error("no command '%s'; see ubtrfs-dump --help", argv[1]);
	return DUMP_USAGE;
}
