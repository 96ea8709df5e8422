// SPDX-License-Identifier: GPL-2.0-or-later
/* Extracting directories and what is in them. */
#include "tools/dump/extract.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* Deeper than any path that the kernel takes; each level is a frame and a descriptor. */
#define DEPTH_MAX 2048
#define BATCH 256

/* ---- entries that are not directories ---- */

/* A second name for a file that is there: the first is found again without following any link. */
static int link_again(struct extract *x, const char *first, int dirfd, const char *name)
{
	struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };
	const char *slash = strrchr(first, '/');
	char *parent;
	int fd = x->top, err = 0;

	if (slash) {
		parent = strndup(first, (size_t)(slash - first));
		if (!parent)
			return -ENOMEM;
		fd = (int)syscall(SYS_openat2, x->top, parent, &how, sizeof(how));
		free(parent);
		if (fd < 0)
			return -errno;
	}
	if (linkat(fd, slash ? slash + 1 : first, dirfd, name, 0))
		err = -errno;
	if (fd != x->top)
		close(fd);
	return err;
}

/* True if this was another name of a file that was extracted before. */
static bool extract_link(struct extract *x, int dirfd, const char *name,
			 const struct eng_attr *attr)
{
	struct ino_slot *s;
	bool fresh;
	int err;

	if (attr->nlink < 2)
		return false;
	s = ino_map_add(&x->links, attr->id, &fresh);
	if (!s)
		return false;
	if (fresh || !s->value) {
		s->value = strdup(x->path);
		return false;
	}
	err = link_again(x, s->value, dirfd, name);
	if (!err)
		return true;
	/* Its first name could not be made; a copy is better than nothing. */
	return false;
}

static void extract_regular(struct extract *x, int dirfd, const char *name,
			    const struct eng_attr *attr)
{
	int fd = openat(dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0) {
		extract_lost(x, "cannot be made: %s", strerror(errno));
		return;
	}
	extract_data(x, fd, attr);
	extract_meta(x, fd, attr);
	if (close(fd))
		extract_lost(x, "%s", strerror(errno));
	x->count.files++;
}

static void extract_symlink(struct extract *x, int dirfd, const char *name,
			    const struct eng_attr *attr)
{
	char target[PATH_MAX];
	ssize_t len = eng_readlink(x->d.fs, attr->id, target, sizeof(target) - 1);

	if (len < 0) {
		extract_lost(x, "its target cannot be read: %s", strerror((int)-len));
		return;
	}
	target[len] = '\0';
	if (symlinkat(target, dirfd, name)) {
		extract_lost(x, "cannot be made: %s", strerror(errno));
		return;
	}
	extract_meta_at(x, dirfd, name, attr);
	x->count.others++;
}

static void extract_special(struct extract *x, int dirfd, const char *name,
			    const struct eng_attr *attr)
{
	if (!x->root && (S_ISCHR(attr->mode) || S_ISBLK(attr->mode))) {
		extract_lost(x, "only root can make a device file (%u, %u)", major(attr->rdev),
			     minor(attr->rdev));
		return;
	}
	if (mknodat(dirfd, name, (attr->mode & S_IFMT) | 0600, attr->rdev)) {
		extract_lost(x, "cannot be made: %s", strerror(errno));
		return;
	}
	extract_meta_at(x, dirfd, name, attr);
	x->count.others++;
}

/* ---- directories ---- */

static void extract_subdir(struct extract *x, int dirfd, const char *name,
			   const struct eng_attr *attr)
{
	bool fresh;
	int fd;

	if (!attr->stub_key) {
		if (!ino_map_add(&x->dirs, attr->id, &fresh)) {
			extract_lost(x, "out of memory");
			return;
		}
		if (!fresh) {
			extract_lost(x, "a directory that has another name already");
			return;
		}
	}
	if (mkdirat(dirfd, name, 0700) && errno != EEXIST) {
		extract_lost(x, "cannot be made: %s", strerror(errno));
		return;
	}
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0) {
		extract_lost(x, "cannot be opened: %s", strerror(errno));
		return;
	}
	if (x->depth >= DEPTH_MAX) {
		extract_lost(x, "folders nest too deep");
	} else {
		x->depth++;
		extract_dir(x, fd, attr);
		x->depth--;
	}
	close(fd);
}

void extract_entry(struct extract *x, int dirfd, const char *name, const struct eng_attr *attr)
{
	dump_progress("extracting", x->count.files + x->count.dirs + x->count.others, 0, "files");
	if (S_ISDIR(attr->mode)) {
		extract_subdir(x, dirfd, name, attr);
		return;
	}
	if (extract_link(x, dirfd, name, attr))
		return;
	switch (attr->mode & S_IFMT) {
	case S_IFREG:
		extract_regular(x, dirfd, name, attr);
		break;
	case S_IFLNK:
		extract_symlink(x, dirfd, name, attr);
		break;
	case S_IFIFO:
	case S_IFSOCK:
	case S_IFCHR:
	case S_IFBLK:
		extract_special(x, dirfd, name, attr);
		break;
	default:
		extract_lost(x, "a file of unknown kind, mode %o", attr->mode);
	}
}

/* A batch of names, so that no walk of the engine's is open while we descend. */
struct batch {
	unsigned nr;
	uint64_t next;
	struct {
		char name[BTRFS_NAME_LEN + 1];
		size_t len;
	} ents[BATCH];
};

static int collect(void *arg, const struct eng_dirent *ent)
{
	struct batch *b = arg;

	b->next = ent->next;
	if (ent->len && ent->len <= 2 && !memcmp(ent->name, "..", ent->len))
		return 0;
	b->ents[b->nr].len = ent->len <= BTRFS_NAME_LEN ? ent->len : BTRFS_NAME_LEN;
	memcpy(b->ents[b->nr].name, ent->name, b->ents[b->nr].len);
	b->ents[b->nr].name[b->ents[b->nr].len] = '\0';
	return ++b->nr == BATCH;
}

static int nothing(void *arg, const struct eng_dirent *ent)
{
	return 1;
}

/* Whether a directory can be read at a position. */
static bool readable_at(struct extract *x, struct eng_ino dir, uint64_t pos)
{
	return eng_readdir(x->d.fs, dir, pos, nothing, NULL) >= 0;
}

/*
 * The next position past a damaged part: by steps that double, then halving back to the damage's
 * end. Works because damage is a block, which holds all positions between two.
 */
static bool next_readable(struct extract *x, struct eng_ino dir, uint64_t *pos)
{
	uint64_t bad = *pos, good, step = 1;

	for (;;) {
		if (bad > INT64_MAX - step)
			return false;
		good = bad + step;
		if (readable_at(x, dir, good))
			break;
		bad = good;
		step *= 2;
	}
	while (good - bad > 1) {
		uint64_t mid = bad + (good - bad) / 2;

		if (readable_at(x, dir, mid))
			good = mid;
		else
			bad = mid;
	}
	*pos = good;
	return true;
}

static void extract_named(struct extract *x, int dirfd, struct eng_ino dir, const char *name,
			  size_t len)
{
	size_t before = extract_path_add(x, name, len);
	struct eng_attr attr;
	int err;

	if (before == SIZE_MAX) {
		extract_lost(x, "out of memory");
		return;
	}
	if (!len || memchr(name, '/', len) || memchr(name, '\0', len)) {
		extract_lost(x, "not a name that a file can have");
	} else {
		err = eng_lookup(x->d.fs, dir, name, len, &attr);
		if (err)
			extract_lost(x, "its inode cannot be read: %s", strerror(-err));
		else
			extract_entry(x, dirfd, name, &attr);
	}
	extract_path_cut(x, before);
}

static void extract_children(struct extract *x, int dirfd, struct eng_ino dir)
{
	struct batch *b = malloc(sizeof(*b));
	uint64_t pos = 0;
	int ret;

	if (!b) {
		extract_lost(x, "out of memory");
		return;
	}
	do {
		b->nr = 0;
		b->next = pos;
		ret = eng_readdir(x->d.fs, dir, pos, collect, b);
		for (unsigned i = 0; i < b->nr; i++)
			extract_named(x, dirfd, dir, b->ents[i].name, b->ents[i].len);
		pos = b->next;
		if (ret < 0) {
			extract_lost(x, "some of the names in this folder: %s", strerror(-ret));
			if (!next_readable(x, dir, &pos))
				break;
		}
	} while (ret);
	free(b);
}

void extract_dir(struct extract *x, int dirfd, const struct eng_attr *attr)
{
	if (!attr->stub_key)
		extract_children(x, dirfd, attr->id);
	extract_meta(x, dirfd, attr);
	x->count.dirs++;
}
