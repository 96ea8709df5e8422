// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ubtrfs-dump extract: files and folders out of a filesystem without mounting it, going on past
 * damage.
 *
 * The image may be hostile. Everything is made with *at() calls below the target's descriptor,
 * never through a symbolic link, never over something that is there; names that are not one path
 * component are refused; a directory is extracted once, whatever number of names it has.
 */
#include "tools/dump/extract.h"
#include "tools/dump/path.h"

#include "ondisk/print.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static const char help[] =
	"usage: ubtrfs-dump extract [OPTIONS] DEV... PATH DIR\n\n"
	"What is in the folder PATH, or the file PATH, is put into DIR, which is made if need be.\n"
	"Times, modes, extended attributes and, for root, owners are kept. Damage is passed over\n"
	"and told at the end; the exit code is 3 then.\n\n" PATH_HELP;

/* ---- what was lost ---- */

static void lost_line(struct extract *x, const char *what)
{
	char line[8192];
	struct text t = TEXT_FIXED(line);

	x->count.lost++;
	x->d.damaged = true;
	if (x->d.json) {
		json_open(&x->json, '{');
		json_name(&x->json, "path");
		json_bytes(&x->json, x->path, x->path_len);
		json_put_string(&x->json, "reason", what);
		json_close(&x->json, '}');
		return;
	}
	btrfs_name_to_text(&t, x->path_len ? x->path : "/", x->path_len ? x->path_len : 1);
	dump_error("lost: %s: %s", text_done(&t), what);
}

void extract_lost(struct extract *x, const char *fmt, ...)
{
	char what[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	lost_line(x, what);
}

void extract_lost_bytes(struct extract *x, uint64_t from, uint64_t to, int err)
{
	char what[256];

	snprintf(what, sizeof(what), "bytes %llu to %llu: %s", (unsigned long long)from,
		 (unsigned long long)to - 1,
		 err == EIO ? "cannot be read, or match their checksum on no copy" : strerror(err));
	x->count.lost_bytes += to - from;
	lost_line(x, what);
}

/* ---- paths ---- */

size_t extract_path_add(struct extract *x, const char *name, size_t len)
{
	size_t before = x->path_len, need = before + len + 2;
	char *more;

	if (need > x->path_room) {
		more = realloc(x->path, need * 2);
		if (!more)
			return SIZE_MAX;
		x->path = more;
		x->path_room = need * 2;
	}
	if (before)
		x->path[x->path_len++] = '/';
	memcpy(x->path + x->path_len, name, len);
	x->path_len += len;
	x->path[x->path_len] = '\0';
	return before;
}

void extract_path_cut(struct extract *x, size_t len)
{
	x->path_len = len;
	x->path[len] = '\0';
}

/* ---- inodes seen ---- */

static size_t ino_hash(struct eng_ino id)
{
	uint64_t h = (id.subvol ^ id.ino * 0x9e3779b97f4a7c15ULL) * 0xff51afd7ed558ccdULL;

	return (size_t)(h ^ h >> 32);
}

static struct ino_slot *ino_find(struct ino_slot *slots, size_t room, struct eng_ino id)
{
	size_t i = ino_hash(id) & (room - 1);

	while (slots[i].taken && (slots[i].id.ino != id.ino || slots[i].id.subvol != id.subvol))
		i = (i + 1) & (room - 1);
	return &slots[i];
}

struct ino_slot *ino_map_add(struct ino_map *m, struct eng_ino id, bool *out_new)
{
	struct ino_slot *s;

	if (m->nr * 2 >= m->room) {
		size_t room = m->room ? m->room * 2 : 1024;
		struct ino_slot *more = calloc(room, sizeof(*more));

		if (!more)
			return NULL;
		for (size_t i = 0; i < m->room; i++)
			if (m->slots[i].taken)
				*ino_find(more, room, m->slots[i].id) = m->slots[i];
		free(m->slots);
		m->slots = more;
		m->room = room;
	}
	s = ino_find(m->slots, m->room, id);
	*out_new = !s->taken;
	m->nr += !s->taken;
	s->taken = true;
	s->id = id;
	return s;
}

void ino_map_destroy(struct ino_map *m)
{
	for (size_t i = 0; i < m->room; i++)
		free(m->slots[i].value);
	free(m->slots);
}

/* ---- the command ---- */

static int open_target(const char *dir)
{
	int fd;

	if (mkdir(dir, 0777) && errno != EEXIST) {
		dump_error("%s: %s", dir, strerror(errno));
		return -1;
	}
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		dump_error("%s: %s", dir, strerror(errno));
	return fd;
}

/* One descriptor is open for each level of folders. */
static void raise_file_limit(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim))
		return;
	lim.rlim_cur = lim.rlim_max;
	setrlimit(RLIMIT_NOFILE, &lim);
}

static void extract_all(struct extract *x, const struct eng_attr *attr, const char *path)
{
	const char *slash, *name;
	size_t len = strlen(path);
	char *copy;
	bool fresh;

	if (S_ISDIR(attr->mode)) {
		if (ino_map_add(&x->dirs, attr->id, &fresh))
			extract_dir(x, x->top, attr);
		return;
	}
	while (len && path[len - 1] == '/')
		len--;
	copy = strndup(path, len);
	if (!copy || extract_path_add(x, "", 0) == SIZE_MAX) {
		free(copy);
		dump_error("out of memory");
		x->d.damaged = true;
		return;
	}
	slash = strrchr(copy, '/');
	name = slash ? slash + 1 : copy;
	if (extract_path_add(x, name, strlen(name)) != SIZE_MAX)
		extract_entry(x, x->top, name, attr);
	free(copy);
}

static void summary(struct extract *x)
{
	if (x->d.json) {
		json_close(&x->json, ']');
		json_put_u64(&x->json, "files", x->count.files);
		json_put_u64(&x->json, "directories", x->count.dirs);
		json_put_u64(&x->json, "others", x->count.others);
		json_put_u64(&x->json, "bytes", x->count.bytes);
		json_put_u64(&x->json, "lost_bytes", x->count.lost_bytes);
		json_end(&x->json);
		return;
	}
	dump_progress_end();
	fprintf(stderr, "ubtrfs-dump: %llu files, %llu folders, %llu others, %llu bytes extracted",
		(unsigned long long)x->count.files, (unsigned long long)x->count.dirs,
		(unsigned long long)x->count.others, (unsigned long long)x->count.bytes);
	if (x->count.lost)
		fprintf(stderr, "; %llu losses, told above, with %llu bytes",
			(unsigned long long)x->count.lost, (unsigned long long)x->count.lost_bytes);
	fputc('\n', stderr);
}

int cmd_extract(int argc, char **argv)
{
	struct extract x = { .top = -1, .root = geteuid() == 0 };
	struct path_opts p = { 0 };
	struct eng_attr attr;
	int code, end;

	code = path_command_line(&x.d, &p, argc, argv, help, 2, "extract: give a device, a path and a directory");
	if (code >= 0)
		return code;
	x.t = dump_out_begin();
	x.buf = malloc(EXTRACT_BUF);
	x.d.quiet = true; /* each loss is told with its file */
	if (!x.buf || !dump_open(&x.d, false)) {
		free(x.buf);
		return DUMP_FAILED;
	}
	raise_file_limit();
	if (!x.d.json)
		dump_progress_alone();
	umask(077);
	code = DUMP_FAILED;
	if (path_find(&x.d, &p, argv[optind], &attr)) {
		x.top = open_target(argv[optind + 1]);
		if (x.top >= 0) {
			code = DUMP_OK;
			if (x.d.json) {
				json_begin(&x.json, x.t);
				json_name(&x.json, "lost");
				json_open(&x.json, '[');
			}
			extract_all(&x, &attr, argv[optind]);
			summary(&x);
			close(x.top);
		}
	}
	end = dump_out_end();
	ino_map_destroy(&x.links);
	ino_map_destroy(&x.dirs);
	free(x.path);
	free(x.buf);
	return dump_close(&x.d, code == DUMP_OK ? end : code);
}
