// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * See changeall.h. What calls answer is only counted: on a damaged image each may fail as it likes.
 */
#include "tests/lib/changeall.h"

#include "engine/lab.h"
#include "ondisk/format.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define ENTRIES 48 /* of a subvolume */
#define DIRS 4	   /* that entries are taken from */
#define SUBVOLS 4

struct entry {
	struct eng_ino dir, id;
	char name[256];
	size_t len;
	uint8_t type;
};

struct script {
	struct eng_fs *fs;
	struct changeall *seen;
	uint64_t seed;
	struct eng_ino top;
	struct entry v[ENTRIES];
	unsigned nr, dirs;
	struct eng_ino dir; /* that is being read */
};

static int note(struct script *s, int err)
{
	s->seen->calls++;
	s->seen->by_errno[err < 0 && err > -CHANGEALL_ERRNOS ? -err : 0]++;
	return err;
}

static int take(void *arg, const struct eng_dirent *ent)
{
	struct script *s = arg;
	struct entry *e = &s->v[s->nr];

	if (s->nr == ENTRIES)
		return 1;
	if (ent->len > 255 || (ent->len <= 2 && !memcmp(ent->name, "..", ent->len)))
		return 0;
	*e = (struct entry){ .dir = s->dir, .id = ent->id, .len = ent->len, .type = ent->type };
	memcpy(e->name, ent->name, ent->len);
	s->nr++;
	return 0;
}

static void list(struct script *s)
{
	s->nr = 0;
	s->dir = s->top;
	note(s, eng_readdir(s->fs, s->dir, 0, take, s));
	for (unsigned i = 0, dirs = 0; i < s->nr && dirs < DIRS; i++) {
		if (s->v[i].type != DT_DIR || s->v[i].id.subvol != s->top.subvol)
			continue;
		s->dir = s->v[i].id;
		note(s, eng_readdir(s->fs, s->dir, 0, take, s));
		dirs++;
	}
}

static int create(struct script *s, const char *name, uint32_t mode, struct eng_attr *out)
{
	const struct eng_new what = { .mode = mode, .target = "dir/hard", .target_len = 8 };

	return note(s, eng_create(s->fs, s->top, name, strlen(name), &what, out));
}

static void make_new(struct script *s)
{
	static const char text[] = "some words that stay inline";
	char name[64], value[300];
	struct eng_attr at;

	memset(value, 'v', sizeof(value));
	for (unsigned i = 0; i < 6; i++) {
		snprintf(name, sizeof(name), "new-%u", i);
		if (create(s, name, S_IFREG | 0644, &at))
			continue;
		note(s, (int)eng_write(s->fs, at.id, 0, text, sizeof(text)));
		note(s, eng_setxattr(s->fs, at.id, "user.new", value, 40 * i + 1, 0));
	}
	create(s, "new-link", S_IFLNK | 0777, &at);
	create(s, "new-fifo", S_IFIFO | 0600, &at);
	if (!create(s, "new-dir", S_IFDIR | 0755, &at)) {
		note(s, eng_rename(s->fs, s->top, "new-2", 5, at.id, "below", 5, 0));
		note(s,
		     eng_rename(s->fs, s->top, "new-dir", 7, s->top, "new-1", 5, RENAME_EXCHANGE));
	}
}

static void cut(struct script *s, const struct entry *e, uint64_t size)
{
	const struct eng_attr at = { .size = size };
	struct eng_attr got;

	note(s, eng_setattr(s->fs, e->id, ENG_SET_SIZE, &at, &got));
}

/* One of the ways to change what is there. */
static void change(struct script *s, const struct entry *e, unsigned how)
{
	const struct eng_attr mode = { .mode = 0750 };
	struct eng_attr got;
	char name[300];
	int len = snprintf(name, sizeof(name), "%.40s-%u", e->name, how);

	switch (how) {
	case 0:
		note(s, eng_link(s->fs, e->id, s->top, name, (size_t)len, &got));
		break;
	case 1:
		note(s, eng_rename(s->fs, e->dir, e->name, e->len, s->top, name, (size_t)len, 0));
		break;
	case 2:
		cut(s, e, 5);
		break;
	case 3:
		cut(s, e, 0);
		break;
	case 4:
		note(s, eng_setxattr(s->fs, e->id, "user.one", name, (size_t)len, 0));
		note(s, eng_removexattr(s->fs, e->id, "user.two"));
		break;
	case 5:
		note(s, eng_setattr(s->fs, e->id, ENG_SET_MODE, &mode, &got));
		break;
	case 6:
		note(s, eng_rename(s->fs, s->top, "new-3", 5, e->dir, e->name, e->len, 0));
		break;
	case 7:
		cut(s, e, 4096);
		cut(s, e, 1 << 20);
		break;
	default:
		if (e->type == DT_DIR)
			note(s, eng_rmdir(s->fs, e->dir, e->name, e->len));
		else
			note(s, eng_unlink(s->fs, e->dir, e->name, e->len));
	}
}

static void remove_all(struct script *s)
{
	list(s);
	for (unsigned i = s->nr; i-- > 0;)
		change(s, &s->v[i], UINT32_MAX);
}

static void change_subvol(struct script *s, uint64_t subvol)
{
	uint64_t x = s->seed;

	if (note(s, eng_subvol_root(s->fs, subvol, &s->top)))
		return;
	list(s);
	make_new(s);
	for (unsigned i = 0; i < s->nr; i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		change(s, &s->v[i], (unsigned)(x >> 33) % 12);
	}
	/* A file that goes while it is open goes when it is closed. */
	if (s->nr && !note(s, eng_ref(s->fs, s->v[0].id))) {
		change(s, &s->v[0], UINT32_MAX);
		note(s, eng_sync(s->fs));
		eng_unref(s->fs, s->v[0].id, 1);
	}
	note(s, lab_writeback(s->fs, 8));
}

void changeall(struct eng_fs *fs, uint64_t seed, struct changeall *out_seen)
{
	static const char *const subvols[SUBVOLS] = { "", "volume", "sub", "snap" };
	static struct script s;

	*out_seen = (struct changeall){ 0 };
	s = (struct script){ .fs = fs, .seen = out_seen, .seed = seed };
	for (unsigned i = 0; i < SUBVOLS; i++) {
		uint64_t id;

		/* Subvolumes first: once the top is changed their names may be gone. */
		if (!note(&s, eng_subvol_by_path(fs, subvols[SUBVOLS - 1 - i], &id)))
			change_subvol(&s, id);
		note(&s, eng_sync(fs));
	}
	remove_all(&s);
	note(&s, eng_sync(fs));
	note(&s, lab_verify(fs));
}
