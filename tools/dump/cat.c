// SPDX-License-Identifier: GPL-2.0-or-later
/* ubtrfs-dump cat: a file's contents on standard output, up to the first byte that cannot be read.
 */
#include "tools/dump/path.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK (1U << 20)

static const char help[] = "usage: ubtrfs-dump cat [OPTIONS] DEV... PATH\n\n" PATH_HELP;

static int copy_out(struct dump *d, struct eng_file *f, const char *path)
{
	uint64_t size = eng_file_attr(f)->size;
	struct text *t = dump_out_begin();
	void *buf = malloc(CHUNK);
	int code = DUMP_OK;
	ssize_t n = 0;

	if (!buf) {
		dump_error("out of memory");
		return DUMP_FAILED;
	}
	for (uint64_t off = 0; off < size && !t->err; off += (uint64_t)n) {
		n = eng_file_read(f, off, buf, CHUNK);
		if (n <= 0) {
			text_flush(t);
			dump_error("%s: byte %llu: %s", path, (unsigned long long)off,
				   n ? strerror((int)-n) : "the file ends early");
			code = DUMP_DAMAGED;
			break;
		}
		text_mem(t, buf, (size_t)n);
		dump_progress("reading", off, size, "bytes");
	}
	free(buf);
	if (dump_out_end() != DUMP_OK)
		return DUMP_FAILED;
	return code;
}

int cmd_cat(int argc, char **argv)
{
	struct dump d = { 0 };
	struct path_opts p = { 0 };
	struct eng_file *f;
	struct eng_attr attr;
	int code, err;

	code = path_command_line(&d, &p, argc, argv, help, 1, "cat: give a device and a path");
	if (code >= 0)
		return code;
	if (!dump_open(&d, false))
		return DUMP_FAILED;
	code = DUMP_FAILED;
	if (path_find(&d, &p, argv[optind], &attr)) {
		err = eng_file_open(d.fs, attr.id, &f);
		if (err) {
			dump_error("%s: %s", argv[optind],
				   err == -EINVAL ? "not a regular file" : strerror(-err));
		} else {
			code = copy_out(&d, f, argv[optind]);
			eng_file_close(f);
		}
	}
	return dump_close(&d, code);
}
