// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Opens a filesystem for writing and says what came of it.
 *
 * usage: rw-open [-d] [-l] [-r] [-s] [-c BYTES] [-t NAME] DEVICE...
 *
 * -d degraded, -l as one that only looks, -r with a rescue option, -c metadata cache, -t creates
 * NAME in the top directory. Prints "writable", or the errno's name and every error line.
 */
#include "engine/engine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void on_message(void *arg, enum eng_msg_level level, const char *text)
{
	if (level == ENG_MSG_ERR)
		printf("%s\n", text);
}

static int touch(struct eng_fs *fs, const char *name)
{
	const struct eng_new file = { .mode = S_IFREG | 0644 };
	struct eng_attr attr;
	struct eng_ino top;
	int err = eng_subvol_root(fs, eng_default_subvol(fs), &top);

	return err ? err : eng_create(fs, top, name, strlen(name), &file, &attr);
}

int main(int argc, char **argv)
{
	struct eng_open_opts opts = { .writable = true, .message = on_message, .workers = 1 };
	const char *name = NULL;
	struct eng_fs_info info;
	struct eng_fs *fs;
	bool statfs = false;
	int c, err;

	while ((c = getopt(argc, argv, "dlrsc:t:")) != -1) {
		opts.degraded |= c == 'd';
		statfs |= c == 's';
		if (c == 'l')
			opts.share = ENG_SHARE_LOOK;
		if (c == 'r')
			opts.rescue = ENG_RESCUE_IGNOREBADROOTS;
		if (c == 'c')
			opts.metadata_cache = strtoull(optarg, NULL, 0);
		if (c == 't')
			name = optarg;
		if (c == '?')
			return 2;
	}
	opts.devices = (const char *const *)argv + optind;
	opts.nr_devices = (unsigned)(argc - optind);
	err = eng_open(&opts, &fs);
	if (err) {
		printf("%s\n", strerrorname_np(-err));
		return 1;
	}
	eng_fs_info(fs, &info);
	if (statfs) {
		struct eng_statfs st;

		err = eng_statfs(fs, &st);
		printf("%llu %llu %llu\n", (unsigned long long)st.total_bytes,
		       (unsigned long long)st.free_bytes, (unsigned long long)st.avail_bytes);
	}
	if (name && !err)
		err = touch(fs, name);
	if (!err)
		err = eng_sync(fs);
	eng_close(fs);
	puts(err ? strerrorname_np(-err) : info.writable ? "writable" : "not writable");
	return err || !info.writable;
}
