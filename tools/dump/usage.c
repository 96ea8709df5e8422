// SPDX-License-Identifier: GPL-2.0-or-later
/* ubtrfs-dump usage: space by type and profile, by block group, and by device. */
#include "tools/dump/dump.h"
#include "tools/dump/json.h"

#include "ondisk/print.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char help[] = "usage: ubtrfs-dump usage [OPTIONS] DEV...\n\n"
			   "  -b, --raw            bytes, not KiB, MiB, ...\n"
			   "  -g, --groups         every block group too\n";

struct group {
	struct ins_chunk chunk;
	uint64_t raw; /* bytes of all its stripes */
	uint64_t used;
	bool known; /* used is known */
};

struct usage {
	struct dump d;
	struct text *t;
	struct json json;
	bool raw_bytes, groups;
	struct group *all;
	size_t nr;
};

static void put_size(struct usage *u, uint64_t v)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	unsigned i = 0;
	double x = (double)v;

	if (u->raw_bytes) {
		text_u64(u->t, v);
		return;
	}
	while (x >= 1024 && i < 6) {
		x /= 1024;
		i++;
	}
	text_printf(u->t, i ? "%.2f%s" : "%.0f%s", x, units[i]);
}

/* `name`, then the size, from a column on. */
static void put_line(struct usage *u, const char *name, uint64_t v)
{
	text_printf(u->t, "  %-24s", name);
	put_size(u, v);
	text_char(u->t, '\n');
}

static bool load_groups(struct usage *u)
{
	struct ins_chunk c;
	size_t room = 0;

	for (unsigned i = 0; ins_chunk(u->d.fs, i, &c); i++) {
		struct group *g;

		if (u->nr == room) {
			room = room ? room * 2 : 64;
			g = realloc(u->all, room * sizeof(*g));
			if (!g) {
				dump_error("out of memory");
				return false;
			}
			u->all = g;
		}
		g = &u->all[u->nr++];
		*g = (struct group){ .chunk = c };
		g->raw = c.len / (c.data_stripes ? c.data_stripes : 1) * c.num_stripes;
		g->known = ins_block_group_used(u->d.fs, c.logical, &g->used) == 0;
		if (!g->known)
			u->d.damaged = true;
	}
	return true;
}

struct total {
	uint64_t type, len, raw, used;
	unsigned groups, unknown;
};

/* Sums by type and profile, in the order in which they first come. */
static unsigned sum_types(const struct usage *u, struct total *totals, unsigned room)
{
	unsigned nr = 0, i;

	for (size_t g = 0; g < u->nr; g++) {
		for (i = 0; i < nr && totals[i].type != u->all[g].chunk.type; i++)
			;
		if (i == nr) {
			if (nr == room)
				continue;
			totals[nr++] = (struct total){ .type = u->all[g].chunk.type };
		}
		totals[i].len += u->all[g].chunk.len;
		totals[i].raw += u->all[g].raw;
		totals[i].used += u->all[g].used;
		totals[i].groups++;
		totals[i].unknown += !u->all[g].known;
	}
	return nr;
}

static const char *type_text(uint64_t type, char *buf, size_t size)
{
	struct text t = { .buf = buf, .size = size };

	btrfs_bg_flags_to_text(&t, type);
	return text_done(&t);
}

static void show_devices(struct usage *u)
{
	struct eng_dev_info dev;
	uint64_t size = 0, allocated = 0;

	for (unsigned i = 0; eng_dev_info(u->d.fs, i, &dev); i++) {
		if (i == 0)
			text_str(u->t, "Devices:\n");
		text_printf(u->t, "  devid %llu ", (unsigned long long)dev.devid);
		text_str(u->t, dev.path ? dev.path : "missing");
		text_str(u->t, ": size ");
		put_size(u, dev.total_bytes);
		text_str(u->t, ", allocated ");
		put_size(u, dev.bytes_used);
		text_str(u->t, ", unallocated ");
		put_size(u,
			 dev.total_bytes > dev.bytes_used ? dev.total_bytes - dev.bytes_used : 0);
		text_char(u->t, '\n');
		size += dev.total_bytes;
		allocated += dev.bytes_used;
	}
	text_str(u->t, "Overall:\n");
	put_line(u, "device size", size);
	put_line(u, "allocated", allocated);
	put_line(u, "unallocated", size > allocated ? size - allocated : 0);
	put_line(u, "bytes used (superblock)", le64_get(ins_super(u->d.fs)->bytes_used));
}

static void put_used(struct usage *u, uint64_t used, uint64_t len)
{
	text_str(u->t, ", used ");
	put_size(u, used);
	text_printf(u->t, " (%.2f%%)", len ? 100.0 * (double)used / (double)len : 0.0);
}

static void show_text(struct usage *u)
{
	struct total totals[64];
	unsigned nr = sum_types(u, totals, 64);
	char name[64];

	show_devices(u);
	text_str(u->t, "Block groups:\n");
	for (unsigned i = 0; i < nr; i++) {
		text_printf(u->t, "  %-24s", type_text(totals[i].type, name, sizeof(name)));
		put_size(u, totals[i].len);
		text_str(u->t, " in ");
		text_u64(u->t, totals[i].groups);
		text_str(u->t, totals[i].groups == 1 ? " group" : " groups");
		put_used(u, totals[i].used, totals[i].len);
		text_str(u->t, ", raw ");
		put_size(u, totals[i].raw);
		if (totals[i].unknown)
			text_printf(u->t, ", %u with unknown use", totals[i].unknown);
		text_char(u->t, '\n');
	}
	for (size_t i = 0; u->groups && i < u->nr; i++) {
		const struct group *g = &u->all[i];

		text_printf(u->t, "  at %llu: %s, %u stripes, length ",
			    (unsigned long long)g->chunk.logical,
			    type_text(g->chunk.type, name, sizeof(name)), g->chunk.num_stripes);
		put_size(u, g->chunk.len);
		if (g->known)
			put_used(u, g->used, g->chunk.len);
		else
			text_str(u->t, ", use unknown");
		text_char(u->t, '\n');
	}
}

static void json_devices(struct usage *u)
{
	struct json *j = &u->json;
	struct eng_dev_info dev;

	json_name(j, "devices");
	json_open(j, '[');
	for (unsigned i = 0; eng_dev_info(u->d.fs, i, &dev); i++) {
		json_open(j, '{');
		json_put_u64(j, "devid", dev.devid);
		json_name(j, "device");
		if (dev.path)
			json_string(j, dev.path);
		else
			json_null(j);
		json_name(j, "uuid");
		json_uuid(j, dev.uuid);
		json_put_u64(j, "total_bytes", dev.total_bytes);
		json_put_u64(j, "bytes_used", dev.bytes_used);
		json_close(j, '}');
	}
	json_close(j, ']');
}

static void show_json(struct usage *u)
{
	struct json *j = &u->json;
	char name[64];

	json_begin(j, u->t);
	json_put_u64(j, "bytes_used", le64_get(ins_super(u->d.fs)->bytes_used));
	json_devices(u);
	json_name(j, "block_groups");
	json_open(j, '[');
	for (size_t i = 0; i < u->nr; i++) {
		const struct group *g = &u->all[i];

		json_open(j, '{');
		json_put_u64(j, "logical", g->chunk.logical);
		json_put_u64(j, "length", g->chunk.len);
		json_put_u64(j, "flags", g->chunk.type);
		json_put_string(j, "type", type_text(g->chunk.type, name, sizeof(name)));
		json_put_u64(j, "num_stripes", g->chunk.num_stripes);
		json_put_u64(j, "raw", g->raw);
		json_name(j, "used");
		if (g->known)
			json_u64(j, g->used);
		else
			json_null(j);
		json_close(j, '}');
	}
	json_close(j, ']');
	json_end(j);
}

int cmd_usage(int argc, char **argv)
{
	static const struct option options[] = {
		{ "raw", no_argument, NULL, 'b' },
		{ "groups", no_argument, NULL, 'g' },
		DUMP_COMMON_OPTIONS,
	};
	struct usage u = { 0 };
	int opt, code, end;

	while ((opt = getopt_long(argc, argv, "bg", options, NULL)) != -1) {
		if (opt == 'b') {
			u.raw_bytes = true;
		} else if (opt == 'g') {
			u.groups = true;
		} else {
			code = dump_common_option(&u.d, opt, help);
			if (code >= 0)
				return code;
		}
	}
	for (; optind < argc; optind++)
		if (!dump_add_device(&u.d, argv[optind]))
			return DUMP_USAGE;
	if (!u.d.nr_devices) {
		dump_error("usage: no device given");
		return DUMP_USAGE;
	}
	u.t = dump_out_begin();
	if (!dump_open(&u.d, true))
		return DUMP_FAILED;
	code = DUMP_FAILED;
	if (load_groups(&u)) {
		code = DUMP_OK;
		if (u.d.json)
			show_json(&u);
		else
			show_text(&u);
	}
	free(u.all);
	end = dump_out_end();
	return dump_close(&u.d, code == DUMP_OK ? end : code);
}
