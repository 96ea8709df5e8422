// SPDX-License-Identifier: GPL-2.0-or-later
/* ubtrfsctl rescue: what btrfs-progs has under this name, as far as it is here, in its words. */
#include "tools/ctl/ctl.h"

#include "engine/engine.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

static void on_message(void *arg, enum eng_msg_level level, const char *text)
{
	if (level == ENG_MSG_ERR)
		ctl_error("%s", text);
	else if (level == ENG_MSG_WARN)
		ctl_error("warning: %s", text);
}

static int zero_log(const char *const *devices, unsigned nr)
{
	const struct eng_open_opts opts = {
		.devices = devices,
		.nr_devices = nr,
		.scan = true,
		.message = on_message,
	};
	uint64_t root;
	unsigned level;
	int err = eng_zero_log(&opts, &root, &level);

	if (err)
		return CTL_FAILED;
	printf("Clearing log on %s, previous log_root %llu, level %u\n", devices[0],
	       (unsigned long long)root, level);
	return CTL_DONE;
}

static int run(int argc, char **argv)
{
	static const struct option none[] = { { 0 } };

	opterr = 0;
	if (getopt_long(argc, argv, "", none, NULL) != -1) {
		ctl_error("rescue: unknown option '%s' (see --help)", argv[optind - 1]);
		return CTL_WRONG_USE;
	}
	if (optind == argc || strcmp(argv[optind], "zero-log") != 0) {
		ctl_error("rescue: give one of: zero-log (see --help)");
		return CTL_WRONG_USE;
	}
	if (++optind == argc) {
		ctl_error("rescue zero-log: give a device or an image");
		return CTL_WRONG_USE;
	}
	return zero_log((const char *const *)argv + optind, (unsigned)(argc - optind));
}

const struct ctl_command ctl_rescue = {
	.name = "rescue",
	.args = "zero-log DEVICE...",
	.summary = "clear a log tree that an unclean shutdown left",
	.help = "Clear the log tree of a filesystem that is not mounted. What was only in the log is lost;\n"
		"mounting once with the kernel's btrfs replays it instead.\n",
	.run = run,
};
