// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The command line.
 *
 * One table says of each mount option what it needs and who reads it. Options that change how a
 * btrfs is written, or that only mount(8) and fstab know, are accepted and mean nothing: a line of
 * fstab made for the kernel's btrfs must work. What nobody knows is refused by name: a typing error
 * must not pass.
 */
#include "fuse/opts.h"

#include "engine/engine.h"
#include "ondisk/text.h"

#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THREADS_DEFAULT 10
#define THREADS_MAX 64

static int complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static int complain(const char *fmt, ...)
{
	va_list ap;

	fputs("ubtrfs: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return -EINVAL;
}

/* ---- values ---- */

static int parse_number(const char *text, bool suffix, uint64_t max, uint64_t *out)
{
	return text_parse_number(text, suffix, out) && *out <= max ? 0 : -EINVAL;
}

static int add_device(struct options *opts, const char *path)
{
	char **more = realloc(opts->devices, (opts->nr_devices + 1) * sizeof(*more));

	if (!more)
		return -ENOMEM;
	opts->devices = more;
	more[opts->nr_devices] = strdup(path);
	if (!more[opts->nr_devices])
		return -ENOMEM;
	opts->nr_devices++;
	return 0;
}

int options_append(char **list, const char *name, const char *value)
{
	size_t old = *list ? strlen(*list) : 0;
	char *more = realloc(*list, old + strlen(name) + (value ? 2 * strlen(value) : 0) + 3);
	char *p;

	if (!more)
		return -ENOMEM;
	*list = more;
	p = more + old;
	p += sprintf(p, ",%s", name);
	if (value) {
		*p++ = '=';
		for (; *value; value++) {
			if (*value == ',' || *value == '\\')
				*p++ = '\\';
			*p++ = *value;
		}
	}
	*p = '\0';
	return 0;
}

/* ---- one function an option that needs more than a flag ---- */

static int set_subvol(struct options *opts, const char *value)
{
	free(opts->subvol);
	opts->subvol = strdup(value);
	return opts->subvol ? 0 : -ENOMEM;
}

static int set_subvolid(struct options *opts, const char *value)
{
	opts->have_subvolid = true;
	return parse_number(value, false, UINT64_MAX, &opts->subvolid);
}

static int set_rescue(struct options *opts, const char *value)
{
	while (*value) {
		size_t len = strcspn(value, ":");
		unsigned bits;

		if (!eng_rescue_word(value, len, &bits))
			return -EINVAL;
		opts->rescue |= bits;
		value += len + (value[len] == ':');
	}
	return 0;
}

static int set_backup_root(struct options *opts, const char *value)
{
	opts->rescue |= ENG_RESCUE_USEBACKUPROOT;
	return 0;
}

static int set_offset(struct options *opts, const char *value)
{
	return parse_number(value, true, INT64_MAX, &opts->offset);
}

static int set_metadata_cache(struct options *opts, const char *value)
{
	return parse_number(value, true, SIZE_MAX / 2, &opts->metadata_cache);
}

static int set_readahead(struct options *opts, const char *value)
{
	return parse_number(value, true, SIZE_MAX / 2, &opts->readahead);
}

static int set_threads(struct options *opts, const char *value)
{
	uint64_t nr;

	if (parse_number(value, false, THREADS_MAX, &nr) || !nr)
		return -EINVAL;
	opts->threads = (unsigned)nr;
	return 0;
}

static int set_max_read(struct options *opts, const char *value)
{
	uint64_t nr;

	if (parse_number(value, false, UINT32_MAX, &nr) || nr < 4096)
		return -EINVAL;
	opts->max_read = (unsigned)nr;
	return 0;
}

static int set_io(struct options *opts, const char *value)
{
	opts->pread = !strcmp(value, "pread");
	return opts->pread || !strcmp(value, "uring") ? 0 : -EINVAL;
}

static int set_sandbox(struct options *opts, const char *value)
{
	opts->no_sandbox = !strcmp(value, "no");
	return opts->no_sandbox || !strcmp(value, "yes") ? 0 : -EINVAL;
}

static int set_uid(struct options *opts, const char *value)
{
	struct passwd *pw = getpwnam(value);
	uint64_t nr;

	if (parse_number(value, false, UINT32_MAX - 1, &nr)) {
		if (!pw)
			return -EINVAL;
		nr = pw->pw_uid;
	}
	opts->have_uid = true;
	opts->uid = (uid_t)nr;
	return 0;
}

static int set_gid(struct options *opts, const char *value)
{
	struct group *gr = getgrnam(value);
	uint64_t nr;

	if (parse_number(value, false, UINT32_MAX - 1, &nr)) {
		if (!gr)
			return -EINVAL;
		nr = gr->gr_gid;
	}
	opts->have_gid = true;
	opts->gid = (gid_t)nr;
	return 0;
}

static int set_umask(struct options *opts, const char *value)
{
	char *end;
	unsigned long mask = strtoul(value, &end, 8);

	if (end == value || *end || mask > 0777)
		return -EINVAL;
	opts->have_umask = true;
	opts->umask = (mode_t)mask;
	return 0;
}

static int refuse_remount(struct options *opts, const char *value)
{
	complain("cannot remount: unmount, then mount with the new options");
	return -ECANCELED;
}

/* ---- the table ---- */

enum takes {
	NO_VALUE,
	VALUE,
	MAYBE_VALUE,
};

struct opt_row {
	const char *name;
	enum takes takes;
	int (*set)(struct options *opts, const char *value); /* -EINVAL: not a value for it */
	size_t flag; /* without `set`: the bool to set; 0: means nothing here */
	bool to_kernel;
};

#define FLAG(field) .flag = offsetof(struct options, field)

static const struct opt_row rows[] = {
	/* btrfs(5), as far as reading goes */
	{ "ro", NO_VALUE },
	{ "rw", NO_VALUE, FLAG(rw_asked) },
	{ "subvol", VALUE, set_subvol },
	{ "subvolid", VALUE, set_subvolid },
	{ "degraded", NO_VALUE, FLAG(degraded) },
	{ "device", VALUE, add_device },
	{ "rescue", VALUE, set_rescue },
	{ "usebackuproot", NO_VALUE, set_backup_root },
	{ "recovery", NO_VALUE, set_backup_root },
	{ "noacl", NO_VALUE, FLAG(no_acl) },
	/* ours */
	{ "offset", VALUE, set_offset },
	{ "metadata_cache", VALUE, set_metadata_cache },
	{ "readahead", VALUE, set_readahead },
	{ "threads", VALUE, set_threads },
	{ "max_threads", VALUE, set_threads },
	{ "io", VALUE, set_io },
	{ "no_uring", NO_VALUE, FLAG(pread) },
	{ "sandbox", VALUE, set_sandbox },
	{ "uid", VALUE, set_uid },
	{ "gid", VALUE, set_gid },
	{ "umask", VALUE, set_umask },
	{ "noallow_other", NO_VALUE, FLAG(private) },
	/* FUSE's */
	{ "allow_other", NO_VALUE, FLAG(allow_other) },
	{ "allow_root", NO_VALUE, FLAG(allow_root) },
	{ "max_read", VALUE, set_max_read },
	{ "debug", NO_VALUE, FLAG(debug) },
	{ "default_permissions", NO_VALUE },
	{ "auto_unmount", NO_VALUE },
	{ "nonempty", NO_VALUE },
	{ "fsname", VALUE },
	{ "subtype", VALUE },
	{ "clone_fd", NO_VALUE },
	/* the mount's own */
	{ "dev", NO_VALUE, .to_kernel = true },
	{ "nodev", NO_VALUE, .to_kernel = true },
	{ "suid", NO_VALUE, .to_kernel = true },
	{ "nosuid", NO_VALUE, .to_kernel = true },
	{ "exec", NO_VALUE, .to_kernel = true },
	{ "noexec", NO_VALUE, .to_kernel = true },
	{ "context", VALUE, .to_kernel = true },
	{ "fscontext", VALUE, .to_kernel = true },
	{ "defcontext", VALUE, .to_kernel = true },
	{ "rootcontext", VALUE, .to_kernel = true },
	{ "remount", NO_VALUE, refuse_remount },
	/* about writing, or for mount(8) */
	{ "acl", NO_VALUE },
	{ "autodefrag", NO_VALUE },
	{ "noautodefrag", NO_VALUE },
	{ "barrier", NO_VALUE },
	{ "nobarrier", NO_VALUE },
	{ "clear_cache", NO_VALUE },
	{ "commit", VALUE },
	{ "compress", MAYBE_VALUE },
	{ "compress-force", MAYBE_VALUE },
	{ "datacow", NO_VALUE },
	{ "nodatacow", NO_VALUE },
	{ "datasum", NO_VALUE },
	{ "nodatasum", NO_VALUE },
	{ "discard", MAYBE_VALUE },
	{ "nodiscard", NO_VALUE },
	{ "enospc_debug", NO_VALUE },
	{ "noenospc_debug", NO_VALUE },
	{ "fatal_errors", VALUE },
	{ "flushoncommit", NO_VALUE },
	{ "noflushoncommit", NO_VALUE },
	{ "fragment", VALUE },
	{ "inode_cache", NO_VALUE },
	{ "noinode_cache", NO_VALUE },
	{ "max_inline", VALUE },
	{ "metadata_ratio", VALUE },
	{ "nologreplay", NO_VALUE },
	{ "norecovery", NO_VALUE },
	{ "rescan_uuid_tree", NO_VALUE },
	{ "skip_balance", NO_VALUE },
	{ "space_cache", MAYBE_VALUE },
	{ "nospace_cache", NO_VALUE },
	{ "ssd", NO_VALUE },
	{ "ssd_spread", NO_VALUE },
	{ "nossd", NO_VALUE },
	{ "nossd_spread", NO_VALUE },
	{ "subvolrootid", VALUE },
	{ "thread_pool", VALUE },
	{ "treelog", NO_VALUE },
	{ "notreelog", NO_VALUE },
	{ "user_subvol_rm_allowed", NO_VALUE },
	{ "ref_verify", NO_VALUE },
	{ "defaults", NO_VALUE },
	{ "auto", NO_VALUE },
	{ "noauto", NO_VALUE },
	{ "user", MAYBE_VALUE },
	{ "nouser", NO_VALUE },
	{ "users", NO_VALUE },
	{ "nousers", NO_VALUE },
	{ "owner", NO_VALUE },
	{ "group", NO_VALUE },
	{ "_netdev", NO_VALUE },
	{ "nofail", NO_VALUE },
	{ "comment", VALUE },
	{ "uhelper", VALUE },
	{ "helper", VALUE },
	{ "sync", NO_VALUE },
	{ "async", NO_VALUE },
	{ "dirsync", NO_VALUE },
	{ "atime", NO_VALUE },
	{ "noatime", NO_VALUE },
	{ "diratime", NO_VALUE },
	{ "nodiratime", NO_VALUE },
	{ "relatime", NO_VALUE },
	{ "norelatime", NO_VALUE },
	{ "strictatime", NO_VALUE },
	{ "nostrictatime", NO_VALUE },
	{ "lazytime", NO_VALUE },
	{ "nolazytime", NO_VALUE },
	{ "mand", NO_VALUE },
	{ "nomand", NO_VALUE },
	{ "iversion", NO_VALUE },
	{ "noiversion", NO_VALUE },
	{ "silent", NO_VALUE },
	{ "loud", NO_VALUE },
};

static int set_option(struct options *opts, const char *name, const char *value)
{
	const struct opt_row *row = NULL;
	int err = 0;

	if (!strncmp(name, "x-", 2) || !strncmp(name, "X-", 2))
		return 0;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]) && !row; i++)
		if (!strcmp(rows[i].name, name))
			row = &rows[i];
	if (!row)
		return complain("unknown mount option '%s'", name);
	if (row->takes == VALUE && (!value || !*value))
		return complain("mount option '%s' needs a value", name);
	if (row->takes == NO_VALUE && value)
		return complain("mount option '%s' takes no value", name);
	if (row->set)
		err = row->set(opts, value);
	else if (row->to_kernel)
		err = options_append(&opts->kernel_opts, name, value);
	else if (row->flag)
		*(bool *)((char *)opts + row->flag) = true;
	if (err == -EINVAL)
		return complain("mount option '%s': bad value '%s'", name, value);
	return err;
}

/* A backslash takes the meaning of a comma or a backslash behind it. */
int options_add(struct options *opts, const char *list)
{
	char *word = malloc(strlen(list) + 1);
	int err = 0;

	if (!word)
		return -ENOMEM;
	while (!err && *list) {
		char *end = word, *value;

		for (; *list && *list != ','; list++) {
			if (*list == '\\' && (list[1] == ',' || list[1] == '\\'))
				list++;
			*end++ = *list;
		}
		*end = '\0';
		list += *list == ',';
		if (end == word)
			continue;
		value = strchr(word, '=');
		if (value)
			*value++ = '\0';
		err = set_option(opts, word, value);
	}
	free(word);
	return err;
}

/* ---- the command line ---- */

static const struct option long_opts[] = {
	{ "help", no_argument, NULL, 'h' },	     { "version", no_argument, NULL, 'V' },
	{ "foreground", no_argument, NULL, 'f' },    { "debug", no_argument, NULL, 'd' },
	{ "options", required_argument, NULL, 'o' }, { 0 },
};

static int take_places(struct options *opts, int nr, char **places)
{
	unsigned extra = opts->nr_devices;
	int err = 0;

	if (nr < 2)
		return complain(
			"give the device or image, and the directory to mount it on (see --help)");
	for (int i = 0; i < nr - 1 && !err; i++)
		err = add_device(opts, places[i]);
	if (err)
		return err;
	/* Those of device= came first: the one that was named first leads. */
	for (unsigned i = 0; i < extra; i++) {
		char *first = opts->devices[0];

		memmove(opts->devices, opts->devices + 1, (opts->nr_devices - 1) * sizeof(first));
		opts->devices[opts->nr_devices - 1] = first;
	}
	opts->dir = strdup(places[nr - 1]);
	return opts->dir ? 0 : -ENOMEM;
}

int options_parse(int argc, char **argv, struct options *out_opts)
{
	struct options *opts = out_opts;
	int c, err = 0;

	*opts = (struct options){ .threads = THREADS_DEFAULT };
	optind = 1;
	opterr = 0;
	/* -n, -s and -v are mount(8)'s. */
	while (!err && (c = getopt_long(argc, argv, ":o:fdhVnsv", long_opts, NULL)) != -1) {
		switch (c) {
		case 'o':
			err = options_add(opts, optarg);
			break;
		case 'd':
			opts->debug = true;
			break;
		case 'f':
			opts->foreground = true;
			break;
		case 'h':
			opts->help = true;
			return 0;
		case 'V':
			opts->version = true;
			return 0;
		case ':':
			return complain("%s needs a value (see --help)", argv[optind - 1]);
		case '?':
			if (optopt)
				return complain("unknown option -%c (see --help)", optopt);
			return complain("unknown option %s (see --help)", argv[optind - 1]);
		}
	}
	if (opts->debug)
		opts->foreground = true;
	if (!err)
		err = take_places(opts, argc - optind, argv + optind);
	if (err == -ENOMEM)
		complain("no memory");
	return err == -ECANCELED ? -EINVAL : err;
}

void options_free(struct options *opts)
{
	for (unsigned i = 0; i < opts->nr_devices; i++)
		free(opts->devices[i]);
	free(opts->devices);
	free(opts->dir);
	free(opts->subvol);
	free(opts->kernel_opts);
	*opts = (struct options){ 0 };
}
