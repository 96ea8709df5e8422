// SPDX-License-Identifier: GPL-2.0-or-later
/* ubtrfs-dump extents: a file's extents, where every copy of them lies, and who shares them. */
#include "tools/dump/json.h"
#include "tools/dump/path.h"

#include "ondisk/print.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const char help[] =
	"usage: ubtrfs-dump extents [OPTIONS] DEV... PATH\n\n"
	"One line for each extent: the part of the file, its type and compression, the logical\n"
	"address, how often it is referred to; below it every copy with its device.\n\n" PATH_HELP;

struct extents {
	struct dump d;
	struct json json;
	struct text *t;
	unsigned nr;
};

static const char *type_name(int type)
{
	static const char *const names[] = { "hole", "inline", "regular", "prealloc" };

	return names[type];
}

static const char *device_path(struct eng_fs *fs, uint64_t devid)
{
	struct eng_dev_info info;

	for (unsigned i = 0; eng_dev_info(fs, i, &info); i++)
		if (info.devid == devid)
			return info.path;
	return NULL;
}

static int show_place(void *arg, const struct ins_place *p)
{
	struct extents *x = arg;
	const char *path = p->missing ? NULL : device_path(x->d.fs, p->devid);

	if (x->d.json) {
		json_open(&x->json, '{');
		json_put_u64(&x->json, "copy", (uint64_t)p->copy);
		json_put_u64(&x->json, "logical", p->logical);
		json_put_u64(&x->json, "length", p->len);
		json_put_u64(&x->json, "devid", p->devid);
		json_put_u64(&x->json, "physical", p->physical);
		json_name(&x->json, "device");
		if (path)
			json_string(&x->json, path);
		else
			json_null(&x->json);
		json_close(&x->json, '}');
		return 0;
	}
	text_printf(x->t, "    copy %d: logical %llu length %llu on devid %llu at %llu (", p->copy,
		    (unsigned long long)p->logical, (unsigned long long)p->len,
		    (unsigned long long)p->devid, (unsigned long long)p->physical);
	text_str(x->t, path ? path : "missing");
	text_str(x->t, ")\n");
	return 0;
}

/* What is read for this part of the file: all of a compressed extent, else the part itself. */
static void disk_range(const struct ins_extent *e, uint64_t *out_logical, uint64_t *out_len)
{
	bool whole = e->compression != BTRFS_COMPRESS_NONE;

	*out_logical = whole ? e->disk_logical : e->disk_logical + e->ram_off;
	*out_len = whole ? e->disk_len : e->len;
}

static void show_text(struct extents *x, const struct ins_extent *e)
{
	const char *comp = btrfs_compression_name(e->compression);

	text_printf(x->t, "offset %llu length %llu %s", (unsigned long long)e->off,
		    (unsigned long long)e->len, type_name(e->type));
	if (e->type != INS_HOLE)
		text_printf(x->t, " generation %llu", (unsigned long long)e->generation);
	if (e->compression)
		text_printf(x->t, " %s", comp ? comp : "unknown compression");
	if (e->disk_logical) {
		text_printf(x->t, " extent %llu length %llu", (unsigned long long)e->disk_logical,
			    (unsigned long long)e->disk_len);
		if (e->ram_off || e->len != e->ram_bytes)
			text_printf(x->t, " from %llu of %llu", (unsigned long long)e->ram_off,
				    (unsigned long long)e->ram_bytes);
		if (e->refs)
			text_printf(x->t, " refs %llu", (unsigned long long)e->refs);
		text_str(x->t, e->shared ? " shared\n" : "\n");
	} else {
		if (e->type == INS_INLINE)
			text_printf(x->t, " bytes %llu", (unsigned long long)e->ram_bytes);
		text_char(x->t, '\n');
	}
}

static void show_json(struct extents *x, const struct ins_extent *e)
{
	const char *comp = btrfs_compression_name(e->compression);
	struct json *j = &x->json;

	json_put_u64(j, "offset", e->off);
	json_put_u64(j, "length", e->len);
	json_put_string(j, "type", type_name(e->type));
	if (e->type == INS_HOLE)
		return;
	json_put_u64(j, "generation", e->generation);
	json_put_string(j, "compression", comp ? comp : "unknown");
	json_put_u64(j, "ram_bytes", e->ram_bytes);
	if (!e->disk_logical)
		return;
	json_put_u64(j, "ram_offset", e->ram_off);
	json_put_u64(j, "disk_logical", e->disk_logical);
	json_put_u64(j, "disk_length", e->disk_len);
	if (e->refs)
		json_put_u64(j, "refs", e->refs);
	json_put_bool(j, "shared", e->shared);
}

static int show_extent(void *arg, const struct ins_extent *e)
{
	struct extents *x = arg;
	uint64_t logical, len;
	int err = 0;

	x->nr++;
	if (x->d.json) {
		json_open(&x->json, '{');
		show_json(x, e);
	} else {
		show_text(x, e);
	}
	if (e->disk_logical) {
		if (x->d.json) {
			json_name(&x->json, "places");
			json_open(&x->json, '[');
		}
		disk_range(e, &logical, &len);
		err = ins_map(x->d.fs, logical, len, show_place, x);
		if (x->d.json)
			json_close(&x->json, ']');
	}
	if (x->d.json)
		json_close(&x->json, '}');
	if (!err)
		return 0;
	text_flush(x->t);
	dump_error("extent at %llu: %s", (unsigned long long)e->disk_logical,
		   err == -ENXIO ? "no chunk maps it" : strerror(-err));
	x->d.damaged = true;
	return 0;
}

static int show_file(struct extents *x, const struct eng_attr *attr, const char *path)
{
	int err;

	if (x->d.json) {
		json_begin(&x->json, x->t);
		json_put_string(&x->json, "path", path);
		json_put_u64(&x->json, "subvolume", attr->id.subvol);
		json_put_u64(&x->json, "inode", attr->id.ino);
		json_put_u64(&x->json, "size", attr->size);
		json_name(&x->json, "extents");
		json_open(&x->json, '[');
	} else {
		text_str(x->t, path);
		text_printf(x->t, ": subvolume %llu inode %llu size %llu\n",
			    (unsigned long long)attr->id.subvol, (unsigned long long)attr->id.ino,
			    (unsigned long long)attr->size);
	}
	err = ins_extents(x->d.fs, attr->id, show_extent, x);
	if (x->d.json) {
		json_close(&x->json, ']');
		json_end(&x->json);
	} else {
		text_printf(x->t, "%u extents\n", x->nr);
	}
	if (!err)
		return DUMP_OK;
	text_flush(x->t);
	dump_error("%s: %s", path, strerror(-err));
	return DUMP_FAILED;
}

int cmd_extents(int argc, char **argv)
{
	struct extents x = { 0 };
	struct path_opts p = { 0 };
	struct eng_attr attr;
	int code, end;

	code = path_command_line(&x.d, &p, argc, argv, help, 1, "extents: give a device and a path");
	if (code >= 0)
		return code;
	x.t = dump_out_begin();
	if (!dump_open(&x.d, false))
		return DUMP_FAILED;
	code = DUMP_FAILED;
	if (path_find(&x.d, &p, argv[optind], &attr)) {
		if (S_ISREG(attr.mode) || S_ISLNK(attr.mode))
			code = show_file(&x, &attr, argv[optind]);
		else
			dump_error("%s: neither a regular file nor a symbolic link", argv[optind]);
	}
	end = dump_out_end();
	return dump_close(&x.d, code == DUMP_OK ? end : code);
}
