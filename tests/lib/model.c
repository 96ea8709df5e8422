// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The reference model: inodes, names, attributes, and the way along a path. See model.h.
 *
 * Invariants:
 * 1. An inode is there while it has a name, is held, or is one of the two tops; `nlink` counts a
 * file's names, and is 1 of a directory that is not removed.
 * 2. Names stand in the order in which they were added, which is the order of btrfs' directory
 * indexes.
 */
#include "tests/lib/model_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "ondisk/csum.h"
#include "tests/lib/blk.h"

struct model_inode *model_new_inode(struct model *m, uint32_t mode)
{
	struct model_inode *i = blk_must(calloc(1, sizeof(*i)));

	i->mode = mode;
	i->nlink = 1;
	i->next = m->all;
	i->link = &m->all;
	if (m->all)
		m->all->link = &i->next;
	m->all = i;
	m->inodes++;
	return i;
}

void model_free_inode(struct model *m, struct model_inode *i)
{
	*i->link = i->next;
	if (i->next)
		i->next->link = i->link;
	m->inodes--;
	for (uint32_t k = 0; k < i->names_nr; k++) {
		free(i->names[k].name);
		free(i->names[k].token);
	}
	for (uint32_t k = 0; k < i->xattrs_nr; k++) {
		free(i->xattrs[k].name);
		free(i->xattrs[k].value);
	}
	free(i->names);
	free(i->xattrs);
	free(i->data);
	free(i);
}

void model_release(struct model *m, struct model_inode *i)
{
	if (!i->nlink && !i->holds)
		model_free_inode(m, i);
}

struct model *model_create(const struct model_limits *limits)
{
	struct model *m = blk_must(calloc(1, sizeof(*m)));

	m->limits = *limits;
	m->root = model_new_inode(m, S_IFDIR | 0755);
	m->shared = model_new_inode(m, S_IFDIR | 0755);
	m->shared->shared = true;
	return m;
}

void model_destroy(struct model *m)
{
	if (!m)
		return;
	while (m->all)
		model_free_inode(m, m->all);
	free(m);
}

static struct model_inode *copy_inode(struct model *to, const struct model_inode *i)
{
	struct model_inode *c = model_new_inode(to, i->mode), fresh = *c;

	*c = *i;
	c->next = fresh.next;
	c->link = fresh.link;
	c->names = NULL;
	c->xattrs = NULL;
	c->names_nr = c->names_room = c->xattrs_nr = c->xattrs_room = c->holds = 0;
	c->copy = NULL;
	if (i->data) {
		c->data = blk_must(malloc(i->data_len + 1));
		memcpy(c->data, i->data, i->data_len);
	}
	for (uint32_t k = 0; k < i->xattrs_nr; k++)
		model_set_xattr(c, i->xattrs[k].name, i->xattrs[k].value, i->xattrs[k].len);
	return c;
}

struct model *model_copy(const struct model *m)
{
	struct model *to = blk_must(calloc(1, sizeof(*to)));

	to->limits = m->limits;
	for (struct model_inode *i = m->all; i; i = i->next)
		if (i->nlink)
			i->copy = copy_inode(to, i);
	for (const struct model_inode *i = m->all; i; i = i->next) {
		for (uint32_t k = 0; i->nlink && k < i->names_nr; k++)
			model_add_name(to, i->copy, i->names[k].token, i->names[k].name,
				       i->names[k].len, i->names[k].inode->copy);
		if (i->nlink && i->parent)
			i->copy->parent = i->parent->copy;
	}
	/* What model_add_name made of them. */
	for (const struct model_inode *i = m->all; i; i = i->next)
		if (i->nlink)
			i->copy->size = i->size;
	to->root = m->root->copy;
	to->shared = m->shared->copy;
	return to;
}

/* ---- names ---- */

struct model_name *model_find(const struct model_inode *dir, const char *name, uint32_t len)
{
	const uint32_t hash = (uint32_t)btrfs_name_hash(name, len);

	for (uint32_t k = 0; k < dir->names_nr; k++) {
		struct model_name *n = &dir->names[k];

		if (n->hash == hash && n->len == len && !memcmp(n->name, name, len))
			return n;
	}
	return NULL;
}

void model_add_name(struct model *m, struct model_inode *dir, const char *path, const char *name,
		    uint32_t len, struct model_inode *i)
{
	const char *slash = strrchr(path, '/');

	if (dir->names_nr == dir->names_room) {
		dir->names_room = dir->names_room ? dir->names_room * 2 : 8;
		dir->names = blk_must(realloc(dir->names, dir->names_room * sizeof(*dir->names)));
	}
	dir->names[dir->names_nr++] = (struct model_name){
		.name = blk_must(strndup(name, len)),
		.token = blk_must(strdup(slash ? slash + 1 : path)),
		.len = len,
		.hash = (uint32_t)btrfs_name_hash(name, len),
		.inode = i,
	};
	dir->size += 2ull * len;
	m->names++;
	if (S_ISDIR(i->mode))
		i->parent = dir;
}

void model_remove_name(struct model *m, struct model_inode *dir, struct model_name *n)
{
	const size_t at = (size_t)(n - dir->names);

	dir->size -= 2ull * n->len;
	m->names--;
	free(n->name);
	free(n->token);
	dir->names_nr--;
	memmove(n, n + 1, (dir->names_nr - at) * sizeof(*n));
}

unsigned model_height(const struct model_inode *dir)
{
	unsigned most = 0;

	for (uint32_t k = 0; k < dir->names_nr; k++) {
		const struct model_inode *i = dir->names[k].inode;
		const unsigned h = S_ISDIR(i->mode) ? 1 + model_height(i) : 0;

		if (h > most)
			most = h;
	}
	return most;
}

/* ---- attributes ---- */

struct model_xattr *model_find_xattr(const struct model_inode *i, const char *name)
{
	for (uint32_t k = 0; k < i->xattrs_nr; k++)
		if (!strcmp(i->xattrs[k].name, name))
			return &i->xattrs[k];
	return NULL;
}

void model_set_xattr(struct model_inode *i, const char *name, const void *value, uint32_t len)
{
	struct model_xattr *x = model_find_xattr(i, name);

	if (!x) {
		if (i->xattrs_nr == i->xattrs_room) {
			i->xattrs_room = i->xattrs_room ? i->xattrs_room * 2 : 4;
			i->xattrs = blk_must(realloc(i->xattrs, i->xattrs_room * sizeof(*x)));
		}
		x = &i->xattrs[i->xattrs_nr++];
		*x = (struct model_xattr){
			.name = blk_must(strdup(name)),
			.hash = (uint32_t)btrfs_name_hash(name, strlen(name)),
		};
	}
	free(x->value);
	x->value = blk_must(malloc(len + 1));
	memcpy(x->value, value, len);
	x->len = len;
}

void model_remove_xattr(struct model_inode *i, struct model_xattr *x)
{
	free(x->name);
	free(x->value);
	*x = i->xattrs[--i->xattrs_nr];
}

/* ---- paths ---- */

bool model_dead(const struct model_inode *dir)
{
	return !dir->nlink;
}

int model_child(struct model_inode *dir, const char *name, uint32_t len,
		struct model_inode **out_inode)
{
	struct model_name *n;

	*out_inode = NULL;
	if (model_dead(dir))
		return -ENOENT;
	if (len > 255)
		return -ENAMETOOLONG;
	n = model_find(dir, name, len);
	if (!n)
		return -ENOENT;
	*out_inode = n->inode;
	return 0;
}

static int start(struct model *m, const char *path, struct model_inode **out_inode,
		 const char **out_rest)
{
	unsigned slot;
	char where;

	if (!op_start(path, &where, &slot, out_rest))
		return -EINVAL;
	*out_inode = where == '@' ? m->slots[slot] : where == '$' ? m->shared : m->root;
	return *out_inode ? 0 : OP_ERR_SLOT;
}

/* One component on the way: what it starts from must be a directory. */
static int step(struct model_inode *from, const char *name, uint32_t len,
		struct model_inode **out_inode)
{
	*out_inode = NULL;
	if (S_ISLNK(from->mode))
		return -ELOOP;
	if (!S_ISDIR(from->mode))
		return -ENOTDIR;
	return model_child(from, name, len, out_inode);
}

int model_lookup(struct model *m, const char *path, struct model_inode **out_inode)
{
	char name[OP_NAME_ROOM];
	struct model_inode *i;
	int err = start(m, path, &i, &path);
	size_t len;

	*out_inode = NULL;
	while (!err && (len = op_component(&path, name)))
		err = step(i, name, (uint32_t)len, &i);
	*out_inode = err ? NULL : i;
	return err;
}

int model_parent(struct model *m, const char *path, struct model_inode **out_dir, char *name,
		 uint32_t *out_len)
{
	struct model_inode *i;
	int err = start(m, path, &i, &path);
	size_t len;

	*out_dir = NULL;
	*out_len = 0;
	if (err)
		return err;
	len = op_component(&path, name);
	if (!len)
		return -EINVAL;
	while (*path) {
		err = step(i, name, (uint32_t)len, &i);
		if (err)
			return err;
		len = op_component(&path, name);
	}
	if (S_ISLNK(i->mode))
		return -ELOOP;
	if (!S_ISDIR(i->mode))
		return -ENOTDIR;
	*out_dir = i;
	*out_len = (uint32_t)len;
	return 0;
}
