// SPDX-License-Identifier: GPL-2.0-or-later
/* Reading a shadow (shadow.h) from a filesystem, by the public functions alone. */
#include "tests/lib/blk.h"
#include "tests/lib/shadow.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

/* Contents up to here are kept; of more, a digest. */
#define DATA_MAX 4096
#define READ_MAX (4u << 20)
/* Directories in each other; more is a circle. */
#define DEPTH_MAX 200

struct loading {
	struct eng_fs *fs;
	struct shadow *s;
	struct shadow_node **links; /* those with several names */
	unsigned nr_links;
	unsigned depth;
};

struct listing {
	char **names;
	unsigned nr;
};

static int note_name(void *arg, const struct eng_dirent *ent)
{
	struct listing *l = arg;

	if (ent->name[0] == '.' && (ent->len == 1 || (ent->len == 2 && ent->name[1] == '.')))
		return 0;
	if (!(l->nr & (l->nr + 1)))
		l->names = blk_must(realloc(l->names, (l->nr + 1) * 2 * sizeof(*l->names)));
	l->names[l->nr++] = blk_must(strndup(ent->name, ent->len));
	return 0;
}

static int load_xattrs(struct loading *l, struct shadow_node *n)
{
	ssize_t len = eng_listxattr(l->fs, n->id, NULL, 0), got;
	char *list;

	if (len <= 0)
		return (int)len;
	list = blk_must(malloc((size_t)len));
	got = eng_listxattr(l->fs, n->id, list, (size_t)len);
	for (char *name = list; got > 0 && name < list + len; name += strlen(name) + 1) {
		uint8_t value[65536];
		ssize_t size = eng_getxattr(l->fs, n->id, name, value, sizeof(value));

		if (size < 0)
			got = size;
		else
			shadow_set_xattr(n, name, value, (size_t)size);
	}
	free(list);
	return got < 0 ? (int)got : 0;
}

static int load_data(struct loading *l, struct shadow_node *n)
{
	uint64_t len = n->size < READ_MAX ? n->size : READ_MAX;
	uint8_t *buf = blk_must(malloc(len + 1));
	struct eng_file *f;
	ssize_t got;
	int err = eng_file_open(l->fs, n->id, &f);

	if (err)
		goto out;
	got = eng_file_read(f, 0, buf, len);
	eng_file_close(f);
	if (got != (ssize_t)len)
		err = got < 0 ? (int)got : -EIO;
	else
		n->digest = XXH64(buf, len, 0);
	if (!err && n->size <= DATA_MAX) {
		n->data = buf;
		buf = NULL;
	}
out:
	free(buf);
	return err;
}

static int load_target(struct loading *l, struct shadow_node *n)
{
	char buf[4096];
	ssize_t len = eng_readlink(l->fs, n->id, buf, sizeof(buf));

	if (len < 0)
		return (int)len;
	n->target = blk_must(strndup(buf, (size_t)len));
	return 0;
}

static int load_dir(struct loading *l, struct shadow_node *dir);

static int load_node(struct loading *l, const struct eng_attr *a, struct shadow_node *n)
{
	int err;

	n->id = a->id;
	n->mode = a->mode;
	n->uid = a->uid;
	n->gid = a->gid;
	n->nlink = a->nlink;
	n->rdev = a->rdev;
	if (n->foreign)
		return 0;
	if (!S_ISDIR(a->mode))
		n->size = a->size;
	err = load_xattrs(l, n);
	if (!err && S_ISREG(a->mode))
		err = load_data(l, n);
	if (!err && S_ISLNK(a->mode))
		err = load_target(l, n);
	if (!err && S_ISDIR(a->mode))
		err = load_dir(l, n);
	return err;
}

static struct shadow_node *known(const struct loading *l, const struct eng_attr *a)
{
	for (unsigned i = 0; a->nlink > 1 && i < l->nr_links; i++)
		if (l->links[i]->id.ino == a->id.ino)
			return l->links[i];
	return NULL;
}

static int load_entry(struct loading *l, struct shadow_node *dir, const char *name)
{
	struct shadow_node *n;
	struct eng_attr a;
	int err = eng_lookup(l->fs, dir->id, name, strlen(name), &a);

	if (err)
		return err;
	if (shadow_find(dir, name))
		return -EUCLEAN; /* listed twice */
	n = S_ISDIR(a.mode) ? NULL : known(l, &a);
	if (n) {
		shadow_add(dir, name, n);
		return 0;
	}
	n = shadow_new(l->s, a.mode);
	n->foreign = a.id.subvol != dir->id.subvol || a.stub_key;
	shadow_add(dir, name, n);
	if (a.nlink > 1 && !S_ISDIR(a.mode)) {
		l->links = blk_must(
			realloc(l->links, (l->nr_links + 1) * sizeof(struct shadow_node *)));
		l->links[l->nr_links++] = n;
	}
	return load_node(l, &a, n);
}

static int load_dir(struct loading *l, struct shadow_node *dir)
{
	struct listing list = { 0 };
	int err;

	if (l->depth++ == DEPTH_MAX)
		return -ELOOP;
	err = eng_readdir(l->fs, dir->id, 0, note_name, &list);

	for (unsigned i = 0; i < list.nr; i++) {
		if (!err)
			err = load_entry(l, dir, list.names[i]);
		free(list.names[i]);
	}
	free(list.names);
	l->depth--;
	return err;
}

int shadow_load(struct eng_fs *fs, struct eng_ino dir, struct shadow **out_s)
{
	struct loading l = { .fs = fs, .s = blk_must(calloc(1, sizeof(struct shadow))) };
	struct eng_attr a;
	int err = eng_getattr(fs, dir, &a);

	*out_s = NULL;
	l.s->top = shadow_new(l.s, S_IFDIR);
	l.s->top->names = 1;
	if (!err)
		err = load_node(&l, &a, l.s->top);
	free(l.links);
	if (err) {
		shadow_free(l.s);
		return err;
	}
	*out_s = l.s;
	return 0;
}
