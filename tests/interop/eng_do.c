// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Does what a script says to a filesystem.
 *
 * usage: eng-do DEVICE < SCRIPT
 *
 * A line is an operation and its arguments, separated by tabs, with %xx for bytes; paths start at
 * the default subvolume's top, numbers are C's. For each line the errno's name is printed, or 0.
 */
#include "engine/lab.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define ARGS 4

struct arg {
	char *p;
	size_t len;
};

static struct eng_fs *fs;
static struct eng_ino top;

static void on_message(void *arg, enum eng_msg_level level, const char *text)
{
	if (level <= ENG_MSG_WARN)
		fprintf(stderr, "%s\n", text);
}

static size_t unquote(char *s)
{
	char *to = s, *start = s, hex[3] = { 0 };

	for (; *s; s++) {
		if (*s == '%' && s[1] && s[2]) {
			memcpy(hex, s + 1, 2);
			*to++ = (char)strtoul(hex, NULL, 16);
			s += 2;
		} else {
			*to++ = *s;
		}
	}
	*to = '\0';
	return (size_t)(to - start);
}

static uint64_t number(const struct arg *a)
{
	return strtoull(a->p, NULL, 0);
}

static int find(const struct arg *path, struct eng_ino *out_id)
{
	struct eng_attr attr;
	int err = eng_path_lookup(fs, top, path->p, &attr);

	*out_id = attr.id;
	return err;
}

/* The directory of a path, and its last name. */
static int split(const struct arg *path, struct eng_ino *out_dir, const char **out_name)
{
	char *slash = strrchr(path->p, '/');
	struct arg dir = { slash ? path->p : (char *)"", 0 };
	int err;

	*out_name = slash ? slash + 1 : path->p;
	if (slash)
		*slash = '\0';
	err = find(&dir, out_dir);
	if (slash)
		*slash = '/';
	return err;
}

static int do_create(const struct arg *a)
{
	struct eng_new what = { .mode = (uint32_t)number(&a[1]) };
	struct eng_attr attr;
	const char *name;
	struct eng_ino dir;
	int err = split(&a[0], &dir, &name);

	if (S_ISLNK(what.mode)) {
		what.target = a[2].p;
		what.target_len = a[2].len;
	} else if (a[2].len) {
		what.rdev = (dev_t)number(&a[2]);
	}
	return err ? err : eng_create(fs, dir, name, strlen(name), &what, &attr);
}

static int do_link(const struct arg *a)
{
	struct eng_attr attr;
	struct eng_ino id, dir;
	const char *name;
	int err = find(&a[0], &id);

	if (!err)
		err = split(&a[1], &dir, &name);
	return err ? err : eng_link(fs, id, dir, name, strlen(name), &attr);
}

static int do_unlink(const struct arg *a)
{
	struct eng_ino dir;
	const char *name;
	int err = split(&a[0], &dir, &name);

	return err ? err : eng_unlink(fs, dir, name, strlen(name));
}

static int do_rmdir(const struct arg *a)
{
	struct eng_ino dir;
	const char *name;
	int err = split(&a[0], &dir, &name);

	return err ? err : eng_rmdir(fs, dir, name, strlen(name));
}

static int do_rename(const struct arg *a)
{
	struct eng_ino from, to;
	const char *old, *name;
	int err = split(&a[0], &from, &old);

	if (!err)
		err = split(&a[1], &to, &name);
	return err ? err
		   : eng_rename(fs, from, old, strlen(old), to, name, strlen(name),
				(unsigned)number(&a[2]));
}

static int setattr(const struct arg *path, unsigned set, const struct eng_attr *attr)
{
	struct eng_attr out;
	struct eng_ino id;
	int err = find(path, &id);

	return err ? err : eng_setattr(fs, id, set, attr, &out);
}

static int do_chmod(const struct arg *a)
{
	const struct eng_attr attr = { .mode = (uint32_t)number(&a[1]) };

	return setattr(&a[0], ENG_SET_MODE, &attr);
}

static int do_truncate(const struct arg *a)
{
	const struct eng_attr attr = { .size = number(&a[1]) };

	return setattr(&a[0], ENG_SET_SIZE, &attr);
}

static int do_write(const struct arg *a)
{
	struct eng_ino id;
	int err = find(&a[0], &id);
	ssize_t n = err ? err : eng_write(fs, id, number(&a[1]), a[2].p, a[2].len);

	return n < 0 ? (int)n : 0;
}

static int do_setxattr(const struct arg *a)
{
	struct eng_ino id;
	int err = find(&a[0], &id);

	return err ? err : eng_setxattr(fs, id, a[1].p, a[2].p, a[2].len, (int)number(&a[3]));
}

static int do_removexattr(const struct arg *a)
{
	struct eng_ino id;
	int err = find(&a[0], &id);

	return err ? err : eng_removexattr(fs, id, a[1].p);
}

static int do_sync(const struct arg *a)
{
	return eng_sync(fs);
}

static const struct {
	const char *name;
	int (*fn)(const struct arg *a);
} ops[] = {
	{ "create", do_create },     { "link", do_link },
	{ "unlink", do_unlink },     { "rmdir", do_rmdir },
	{ "rename", do_rename },     { "chmod", do_chmod },
	{ "truncate", do_truncate }, { "write", do_write },
	{ "setxattr", do_setxattr }, { "removexattr", do_removexattr },
	{ "sync", do_sync },
};

static int do_line(char *line)
{
	struct arg a[ARGS];
	char *op = strsep(&line, "\t");

	for (unsigned i = 0; i < ARGS; i++) {
		char *p = strsep(&line, "\t");

		a[i].p = p ? p : (char *)"";
		a[i].len = p ? unquote(p) : 0;
	}
	for (unsigned i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		if (!strcmp(op, ops[i].name))
			return ops[i].fn(a);
	fprintf(stderr, "no operation %s\n", op);
	exit(2);
}

/* Operations reserved too little, if this is not 0. */
static void overruns(void *arg, const char *name, const char *text, uint64_t value)
{
	if (!strcmp(name, "rsv_overruns") && value) {
		fprintf(stderr, "%llu %s\n", (unsigned long long)value, text);
		*(bool *)arg = true;
	}
}

int main(int argc, char **argv)
{
	bool overran = false;
	struct eng_open_opts opts = {
		.writable = true, .message = on_message, .workers = 1, .nr_devices = 1
	};
	char *line = NULL;
	size_t room = 0;
	ssize_t len;
	int err;

	if (argc != 2)
		return 2;
	opts.devices = (const char *const *)argv + 1;
	err = eng_open(&opts, &fs);
	if (!err)
		err = eng_subvol_root(fs, eng_default_subvol(fs), &top);
	if (err) {
		fprintf(stderr, "%s\n", strerrorname_np(-err));
		return 1;
	}
	while ((len = getline(&line, &room, stdin)) > 0) {
		line[len - 1] = '\0';
		err = do_line(line);
		puts(err ? strerrorname_np(-err) : "0");
	}
	free(line);
	err = eng_sync(fs);
	if (!err)
		err = lab_verify(fs);
	lab_counters(fs, overruns, &overran);
	eng_close(fs);
	if (err)
		fprintf(stderr, "at the end: %s\n", strerrorname_np(-err));
	return err || overran;
}
