// SPDX-License-Identifier: GPL-2.0-or-later
/* Options that all subcommands know, and opening by them. */
#include "tools/dump/dump.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char common_help[] =
	"  --offset BYTES       where the filesystem starts in each device or file\n"
	"  --degraded           go on although devices are missing\n"
	"  --rescue WHAT[:...]  usebackuproot, ignorebadroots, ignoredatacsums, ignoremetacsums,\n"
	"                       ignoresuperflags, all\n"
	"  --json               JSON instead of text; ubtrfs-dump(8) has the schema\n"
	"  --help\n";

bool dump_number(const char *what, const char *s, uint64_t *out)
{
	if (text_parse_number(s, true, out))
		return true;
	dump_error("%s: '%s' is not a number", what, s);
	return false;
}

static bool add_rescue(struct dump *d, const char *list)
{
	while (*list) {
		size_t len = strcspn(list, ":,");
		unsigned bits;

		if (!eng_rescue_word(list, len, &bits)) {
			dump_error("--rescue: no such thing as '%.*s'", (int)len, list);
			return false;
		}
		d->rescue |= bits;
		list += len;
		list += *list != '\0';
	}
	return true;
}

int dump_common_option(struct dump *d, int opt, const char *help)
{
	switch (opt) {
	case OPT_DEVICE:
		return dump_add_device(d, optarg) ? -1 : DUMP_USAGE;
	case OPT_OFFSET:
		return dump_number("--offset", optarg, &d->offset) ? -1 : DUMP_USAGE;
	case OPT_DEGRADED:
		d->degraded = true;
		return -1;
	case OPT_RESCUE:
		return add_rescue(d, optarg) ? -1 : DUMP_USAGE;
	case OPT_JSON:
		d->json = true;
		return -1;
	case OPT_HELP:
		fputs(help, stdout);
		printf("  --%-18s another device of the filesystem; may be given many times\n",
		       d->device_option_taken ? "add-device DEV" : "device DEV");
		fputs(common_help, stdout);
		return DUMP_OK;
	default: /* getopt has said what is wrong */
		return DUMP_USAGE;
	}
}

bool dump_add_device(struct dump *d, const char *path)
{
	if (d->nr_devices == sizeof(d->devices) / sizeof(*d->devices)) {
		dump_error("more than %u devices", d->nr_devices);
		return false;
	}
	d->devices[d->nr_devices++] = path;
	return true;
}

static void message(void *arg, enum eng_msg_level level, const char *text)
{
	const struct dump *d = arg;

	if (level == ENG_MSG_ERR)
		dump_error("%s", text);
	else if (level == ENG_MSG_WARN && !d->quiet)
		dump_warn("%s", text);
}

bool dump_open(struct dump *d, bool partial)
{
	struct eng_open_opts opts = {
		.devices = d->devices,
		.nr_devices = d->nr_devices,
		.offset = d->offset,
		.share = ENG_SHARE_LOOK,
		.scan = !d->noscan,
		/* A look at blocks needs no devices but those that hold them. */
		.degraded = d->degraded || partial,
		.rescue = d->rescue,
		.partial = partial,
		.workers = -1,
		.message = message,
		.message_arg = d,
	};
	int err = eng_open(&opts, &d->fs);

	/* eng_open has said why. */
	return err == 0;
}

int dump_close(struct dump *d, int code)
{
	dump_progress_end();
	eng_close(d->fs);
	d->fs = NULL;
	return code == DUMP_OK && d->damaged ? DUMP_DAMAGED : code;
}
