// SPDX-License-Identifier: GPL-2.0-or-later
/* ubtrfs-dump super: superblock copies, as `btrfs inspect-internal dump-super` shows them. */
#include "tools/dump/dump.h"
#include "tools/dump/json.h"

#include "ondisk/print.h"

#include <errno.h>
#include <string.h>

static const char help[] =
	"usage: ubtrfs-dump super [OPTIONS] DEV...\n\n"
	"  -f, --full           the system chunk array and the backup roots too\n"
	"  -a, --all            all copies\n"
	"  -s, --super N        copy N (0, 1, 2)\n"
	"  -i N                 the same\n"
	"      --bytenr BYTES   a superblock elsewhere\n"
	"  -F, --force          even if it has no btrfs magic\n";

struct super_opts {
	struct dump d;
	struct btrfs_print print;
	struct json json;
	bool full, all, force;
	uint64_t bytenr;
};

static void problem(void *arg, const char *text)
{
	struct super_opts *o = arg;

	dump_warn("%s", text);
	o->d.damaged = true;
}

/* One copy; DUMP_OK also where the device ends before it. */
static int show(struct super_opts *o, struct text *t, const char *path, uint64_t bytenr)
{
	struct btrfs_super_block sb;
	int err = ins_super_read_at(path, bytenr, &sb);
	bool good;

	if (err == -EINVAL && o->all)
		return DUMP_OK;
	if (err) {
		text_flush(t);
		dump_error("%s: cannot read a superblock at byte %llu: %s", path,
			   (unsigned long long)bytenr,
			   err == -EINVAL ? "the device ends before" : strerror(-err));
		return DUMP_FAILED;
	}
	good = le64_get(sb.magic) == BTRFS_MAGIC;
	if (o->d.json) {
		if (good || o->force)
			json_super(&o->json, path, bytenr, &sb, o->full);
	} else {
		text_str(t, "superblock: bytenr=");
		text_u64(t, bytenr);
		text_str(t, ", device=");
		text_str(t, path);
		text_str(t, "\n---------------------------------------------------------\n");
		if (good || o->force) {
			btrfs_print_super(&o->print, &sb, o->full);
			text_char(t, '\n');
		}
	}
	if (!good && !o->force) {
		text_flush(t);
		dump_error(
			"%s: no btrfs magic in the superblock at byte %llu (--force shows it anyway)",
			path, (unsigned long long)bytenr);
		return DUMP_FAILED;
	}
	return DUMP_OK;
}

static int show_device(struct super_opts *o, struct text *t, const char *path)
{
	int code = DUMP_OK;

	for (int copy = 0; copy < (o->all ? BTRFS_SUPER_MIRROR_MAX : 1); copy++) {
		uint64_t at = o->all ? o->d.offset + btrfs_sb_offset(copy) : o->bytenr;

		if (show(o, t, path, at) != DUMP_OK)
			code = DUMP_FAILED;
	}
	return code;
}

static int parse(struct super_opts *o, int argc, char **argv)
{
	static const struct option options[] = {
		{ "full", no_argument, NULL, 'f' },
		{ "all", no_argument, NULL, 'a' },
		{ "super", required_argument, NULL, 's' },
		{ "force", no_argument, NULL, 'F' },
		{ "bytenr", required_argument, NULL, OPT_OWN },
		DUMP_COMMON_OPTIONS,
	};
	bool by_bytenr = false;
	uint64_t v = 0;
	int opt, code;

	while ((opt = getopt_long(argc, argv, "fas:i:F", options, NULL)) != -1) {
		switch (opt) {
		case 'f':
			o->full = true;
			break;
		case 'a':
			o->all = true;
			break;
		case 'F':
			o->force = true;
			break;
		case 's':
		case 'i':
			if (!dump_number("--super", optarg, &v))
				return DUMP_USAGE;
			if (v >= BTRFS_SUPER_MIRROR_MAX && opt == 'i') {
				dump_error("there are superblock copies 0, 1 and 2");
				return DUMP_USAGE;
			}
			/* -s with a large number has always meant a position. */
			by_bytenr = v >= BTRFS_SUPER_MIRROR_MAX;
			o->bytenr = by_bytenr ? v : btrfs_sb_offset((int)v);
			o->all = false;
			break;
		case OPT_OWN:
			if (!dump_number("--bytenr", optarg, &o->bytenr))
				return DUMP_USAGE;
			by_bytenr = true;
			o->all = false;
			break;
		default:
			code = dump_common_option(&o->d, opt, help);
			if (code >= 0)
				return code;
		}
	}
	if (!by_bytenr)
		o->bytenr += o->d.offset;
	if (optind < argc)
		return -1;
	dump_error("super: no device given");
	return DUMP_USAGE;
}

int cmd_super(int argc, char **argv)
{
	struct super_opts o = { .bytenr = BTRFS_SUPER_INFO_OFFSET };
	struct text *t = dump_out_begin();
	int code = parse(&o, argc, argv), end;

	if (code >= 0)
		return code;
	code = DUMP_OK;
	btrfs_print_init(&o.print, t, NULL);
	o.print.problem = problem;
	o.print.arg = &o;
	if (o.d.json) {
		json_begin(&o.json, t);
		json_name(&o.json, "superblocks");
		json_open(&o.json, '[');
	}
	for (; optind < argc && code == DUMP_OK; optind++)
		code = show_device(&o, t, argv[optind]);
	if (o.d.json) {
		json_close(&o.json, ']');
		json_end(&o.json);
	}
	end = dump_out_end();
	if (end != DUMP_OK)
		return end;
	return code == DUMP_OK && o.d.damaged ? DUMP_DAMAGED : code;
}
