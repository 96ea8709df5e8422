/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the subcommands of ubtrfs-dump share. */
#ifndef UBTRFS_TOOLS_DUMP_H
#define UBTRFS_TOOLS_DUMP_H

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/engine.h"
#include "engine/inspect.h"
#include "ondisk/text.h"

/* Exit codes; ubtrfs-dump(8) tells them. */
enum {
	DUMP_OK = 0,
	DUMP_FAILED = 1, /* nothing, or not all that was asked for, could be done */
	DUMP_USAGE = 2,
	DUMP_DAMAGED = 3, /* done, but something on the way was damaged or lost */
};

/* Options that every subcommand knows, and the filesystem that they opened. */
struct dump {
	const char *devices[64]; /* by --device and as arguments */
	unsigned nr_devices;
	uint64_t offset;
	unsigned rescue;
	bool degraded;
	bool json;
	bool noscan;
	bool device_option_taken; /* --device means something else there: --add-device is ours */
	bool quiet;		  /* only errors, no warnings, from the engine */
	struct eng_fs *fs;
	bool damaged; /* something was damaged: ends as DUMP_DAMAGED */
};

/* Values of long options without a letter; subcommands' own start at OPT_OWN. */
enum {
	OPT_DEVICE = 256,
	OPT_OFFSET,
	OPT_DEGRADED,
	OPT_RESCUE,
	OPT_JSON,
	OPT_HELP,
	OPT_OWN,
};

#define DUMP_COMMON_OPTIONS                                                                        \
	{ "device", required_argument, NULL, OPT_DEVICE },                                         \
		{ "offset", required_argument, NULL, OPT_OFFSET },                                 \
		{ "degraded", no_argument, NULL, OPT_DEGRADED },                                   \
		{ "rescue", required_argument, NULL, OPT_RESCUE },                                 \
		{ "json", no_argument, NULL, OPT_JSON }, { "help", no_argument, NULL, OPT_HELP },  \
	{                                                                                          \
		NULL, 0, NULL, 0                                                                   \
	}

/* Each: argv[0] is the subcommand's name; returns an exit code. */
int cmd_super(int argc, char **argv);
int cmd_tree(int argc, char **argv);
int cmd_extents(int argc, char **argv);
int cmd_usage(int argc, char **argv);
int cmd_cat(int argc, char **argv);
int cmd_extract(int argc, char **argv);

/* One line on stderr, after "ubtrfs-dump: ". Clears the progress line first. */
void dump_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void dump_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/*
 * Takes an option that is not the subcommand's own. Return: -1 go on, or the exit code to end with
 * (help was asked for, or the option is unknown or wrong; said on stderr).
 */
int dump_common_option(struct dump *d, int opt, const char *help);
/* A number as strtoull takes it, with K, M, G, T; false and a message if it is none. */
bool dump_number(const char *what, const char *s, uint64_t *out);
bool dump_add_device(struct dump *d, const char *path);
/* Opens what the options say; false and a message. `partial`: blocks and trees only, as far as they
 * go. */
bool dump_open(struct dump *d, bool partial);
/* Closes the filesystem; `code`, or DUMP_DAMAGED if that was DUMP_OK and damage was met. */
int dump_close(struct dump *d, int code);

/* Standard output as a text sink. */
struct dump_out {
	struct text text;
	char buf[1 << 18];
};
struct text *dump_out_begin(void);
/* Flushes; DUMP_OK, or DUMP_FAILED and a message if writing failed. */
int dump_out_end(void);

/*
 * A line on the terminal that stderr is, redrawn a few times a second; none if stdout is a terminal
 * too, where it would get between the lines of output, unless there are none (dump_progress_alone).
 */
void dump_progress_alone(void);
void dump_progress(const char *what, uint64_t done, uint64_t total, const char *unit);
void dump_progress_end(void);

#endif
