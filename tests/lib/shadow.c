// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * See shadow.h. The tree and its changes; reading it from a filesystem is in shadow_load.c,
 * comparing in shadow_diff.c.
 *
 * Invariants: entries and xattrs are sorted; a node's `names` counts the entries that lead to it.
 */
#include "tests/lib/blk.h"
#include "tests/lib/shadow.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct shadow_node *shadow_new(struct shadow *s, uint32_t mode)
{
	struct shadow_node *n = blk_must(calloc(1, sizeof(*n)));

	n->mode = mode;
	n->nlink = 1;
	s->nr_nodes++;
	return n;
}

static void node_free(struct shadow *s, struct shadow_node *n)
{
	for (unsigned i = 0; i < n->nr_xattrs; i++) {
		free(n->xattrs[i].name);
		free(n->xattrs[i].value);
	}
	free(n->xattrs);
	for (unsigned i = 0; i < n->nr_entries; i++) {
		struct shadow_entry *e = &n->entries[i];

		free(e->name);
		if (!--e->node->names)
			node_free(s, e->node);
	}
	free(n->entries);
	free(n->data);
	free(n->target);
	free(n);
	s->nr_nodes--;
}

void shadow_free(struct shadow *s)
{
	if (!s)
		return;
	if (s->top)
		node_free(s, s->top);
	free(s);
}

/* Where the name is, or belongs. */
static unsigned place(const struct shadow_node *dir, const char *name, bool *out_there)
{
	unsigned from = 0, to = dir->nr_entries;

	*out_there = false;
	while (from < to) {
		unsigned mid = from + (to - from) / 2;
		int c = strcmp(dir->entries[mid].name, name);

		if (!c) {
			*out_there = true;
			return mid;
		}
		if (c < 0)
			from = mid + 1;
		else
			to = mid;
	}
	return from;
}

struct shadow_entry *shadow_find(const struct shadow_node *dir, const char *name)
{
	bool there;
	unsigned at = place(dir, name, &there);

	return there ? &dir->entries[at] : NULL;
}

void shadow_add(struct shadow_node *dir, const char *name, struct shadow_node *node)
{
	bool there;
	unsigned at = place(dir, name, &there);

	if (there)
		abort();
	if (dir->nr_entries == dir->max_entries) {
		dir->max_entries = dir->max_entries ? 2 * dir->max_entries : 8;
		dir->entries =
			blk_must(realloc(dir->entries, dir->max_entries * sizeof(*dir->entries)));
	}
	memmove(&dir->entries[at + 1], &dir->entries[at],
		(dir->nr_entries - at) * sizeof(*dir->entries));
	dir->entries[at] = (struct shadow_entry){ blk_must(strdup(name)), node };
	dir->nr_entries++;
	node->names++;
	if (S_ISDIR(node->mode))
		node->parent = dir;
}

struct shadow_node *shadow_take(struct shadow_node *dir, const char *name)
{
	bool there;
	unsigned at = place(dir, name, &there);
	struct shadow_node *n;

	if (!there)
		abort();
	n = dir->entries[at].node;
	free(dir->entries[at].name);
	dir->nr_entries--;
	memmove(&dir->entries[at], &dir->entries[at + 1],
		(dir->nr_entries - at) * sizeof(*dir->entries));
	n->names--;
	return n;
}

void shadow_remove(struct shadow *s, struct shadow_node *dir, const char *name)
{
	struct shadow_node *n = shadow_take(dir, name);

	if (!S_ISDIR(n->mode))
		n->nlink--;
	if (!n->names)
		node_free(s, n);
}

bool shadow_del_xattr(struct shadow_node *n, const char *name)
{
	for (unsigned i = 0; i < n->nr_xattrs; i++) {
		if (strcmp(n->xattrs[i].name, name))
			continue;
		free(n->xattrs[i].name);
		free(n->xattrs[i].value);
		n->nr_xattrs--;
		memmove(&n->xattrs[i], &n->xattrs[i + 1], (n->nr_xattrs - i) * sizeof(*n->xattrs));
		return true;
	}
	return false;
}

void shadow_set_xattr(struct shadow_node *n, const char *name, const void *value, size_t size)
{
	struct shadow_xattr x = { blk_must(strdup(name)), blk_must(malloc(size + 1)), size };
	unsigned at = 0;

	memcpy(x.value, value, size);
	shadow_del_xattr(n, name);
	n->xattrs = blk_must(realloc(n->xattrs, (n->nr_xattrs + 1) * sizeof(*n->xattrs)));
	while (at < n->nr_xattrs && strcmp(n->xattrs[at].name, name) < 0)
		at++;
	memmove(&n->xattrs[at + 1], &n->xattrs[at], (n->nr_xattrs - at) * sizeof(*n->xattrs));
	n->xattrs[at] = x;
	n->nr_xattrs++;
}

void shadow_truncate(struct shadow_node *n, uint64_t size)
{
	uint64_t kept = n->data && n->size < size ? n->size : size;

	if (!n->data && size && n->size)
		abort(); /* what a digest stands for cannot be cut */
	n->data = blk_must(realloc(n->data, size + 1));
	if (n->size < size)
		memset(n->data + kept, 0, size - kept);
	n->size = size;
}

void shadow_write(struct shadow_node *n, uint64_t off, const void *buf, size_t len)
{
	if (n->size < off + len)
		shadow_truncate(n, off + len);
	memcpy(n->data + off, buf, len);
}

/* ---- copying: hard links are told by the copies that were made ---- */

struct copying {
	struct shadow *to;
	struct {
		const struct shadow_node *from;
		struct shadow_node *to;
	} * links;
	unsigned nr_links;
};

static struct shadow_node *copy_node(struct copying *c, const struct shadow_node *from)
{
	struct shadow_node *n;

	for (unsigned i = 0; from->names > 1 && i < c->nr_links; i++)
		if (c->links[i].from == from)
			return c->links[i].to;
	n = shadow_new(c->to, from->mode);
	n->id = from->id;
	n->uid = from->uid;
	n->gid = from->gid;
	n->nlink = from->nlink;
	n->rdev = from->rdev;
	n->size = from->size;
	n->digest = from->digest;
	n->foreign = from->foreign;
	if (from->data) {
		n->data = blk_must(malloc(from->size + 1));
		memcpy(n->data, from->data, from->size);
	}
	if (from->target)
		n->target = blk_must(strdup(from->target));
	for (unsigned i = 0; i < from->nr_xattrs; i++)
		shadow_set_xattr(n, from->xattrs[i].name, from->xattrs[i].value,
				 from->xattrs[i].size);
	if (from->names > 1) {
		c->links = blk_must(realloc(c->links, (c->nr_links + 1) * sizeof(*c->links)));
		c->links[c->nr_links].from = from;
		c->links[c->nr_links++].to = n;
	}
	for (unsigned i = 0; i < from->nr_entries; i++)
		shadow_add(n, from->entries[i].name, copy_node(c, from->entries[i].node));
	return n;
}

struct shadow *shadow_copy(const struct shadow *s)
{
	struct copying c = { .to = blk_must(calloc(1, sizeof(struct shadow))) };

	c.to->top = copy_node(&c, s->top);
	free(c.links);
	return c.to;
}
