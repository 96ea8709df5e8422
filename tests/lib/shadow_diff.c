// SPDX-License-Identifier: GPL-2.0-or-later
/* Comparing shadows (shadow.h): by a number, and in words. */
#include "tests/lib/shadow.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

/* Mixes bytes into a running number. */
static uint64_t mix(uint64_t h, const void *p, size_t len)
{
	return XXH64(p, len, h);
}

static uint64_t mix64(uint64_t h, uint64_t v)
{
	return mix(h, &v, sizeof(v));
}

static uint64_t own_hash(const struct shadow_node *n)
{
	uint64_t h = mix64(0, n->mode);

	if (n->foreign)
		return h;
	h = mix64(mix64(h, n->uid), n->gid);
	if (!S_ISDIR(n->mode))
		h = mix64(mix64(mix64(h, n->nlink), n->size), n->rdev);
	if (S_ISREG(n->mode))
		h = mix64(h, n->data ? XXH64(n->data, n->size, 0) : n->digest);
	if (n->target)
		h = mix(h, n->target, strlen(n->target));
	for (unsigned i = 0; i < n->nr_xattrs; i++) {
		h = mix(h, n->xattrs[i].name, strlen(n->xattrs[i].name));
		h = mix64(mix(h, n->xattrs[i].value, n->xattrs[i].size), n->xattrs[i].size);
	}
	return h;
}

/* A node that was met before counts by when it was. */
static uint64_t tree_hash(struct shadow *s, struct shadow_node *n, uint64_t h)
{
	if (n->names > 1) {
		if (n->seen > s->walk >> 32 << 32)
			return mix64(h, n->seen & UINT32_MAX);
		n->seen = ++s->walk;
	}
	h = mix64(h, own_hash(n));
	for (unsigned i = 0; i < n->nr_entries; i++) {
		h = mix(h, n->entries[i].name, strlen(n->entries[i].name) + 1);
		h = tree_hash(s, n->entries[i].node, h);
	}
	return mix64(h, n->nr_entries);
}

uint64_t shadow_hash(struct shadow *s)
{
	/* The upper half numbers the walks, the lower the nodes with several names. */
	s->walk = ((s->walk >> 32) + 1) << 32;
	return tree_hash(s, s->top, 0);
}

struct differ {
	unsigned nr, max;
	FILE *to;
	char path[8192];
};

static void tell(struct differ *d, const char *what, uint64_t want, uint64_t got)
{
	if (d->nr++ < d->max)
		fprintf(d->to, "  %s: %s: expected %llu (%#llo), found %llu (%#llo)\n", d->path,
			what, (unsigned long long)want, (unsigned long long)want,
			(unsigned long long)got, (unsigned long long)got);
}

static void diff_number(struct differ *d, const char *what, uint64_t want, uint64_t got)
{
	if (want != got)
		tell(d, what, want, got);
}

static void diff_nodes(struct differ *d, struct shadow_node *a, struct shadow_node *b)
{
	diff_number(d, "mode", a->mode, b->mode);
	if (a->mode != b->mode || a->foreign)
		return;
	diff_number(d, "uid", a->uid, b->uid);
	diff_number(d, "gid", a->gid, b->gid);
	if (!S_ISDIR(a->mode)) {
		diff_number(d, "links", a->nlink, b->nlink);
		diff_number(d, "size", a->size, b->size);
		diff_number(d, "rdev", a->rdev, b->rdev);
	}
	diff_number(d, "extended attributes", a->nr_xattrs, b->nr_xattrs);
	if (own_hash(a) != own_hash(b))
		tell(d, "contents or attributes (digest)", own_hash(a), own_hash(b));
}

static void diff_dirs(struct differ *d, struct shadow_node *a, struct shadow_node *b)
{
	size_t len = strlen(d->path);
	unsigned i = 0, k = 0;

	while (i < a->nr_entries || k < b->nr_entries) {
		struct shadow_entry *ea = i < a->nr_entries ? &a->entries[i] : NULL;
		struct shadow_entry *eb = k < b->nr_entries ? &b->entries[k] : NULL;
		int c = !ea ? 1 : !eb ? -1 : strcmp(ea->name, eb->name);

		snprintf(d->path + len, sizeof(d->path) - len, "/%s", c <= 0 ? ea->name : eb->name);
		if (c) {
			tell(d, "there", c<0, c> 0);
		} else {
			diff_nodes(d, ea->node, eb->node);
			if (S_ISDIR(ea->node->mode) && S_ISDIR(eb->node->mode))
				diff_dirs(d, ea->node, eb->node);
		}
		i += c <= 0;
		k += c >= 0;
		d->path[len] = '\0';
	}
}

unsigned shadow_diff(struct shadow *want, struct shadow *got, unsigned max, FILE *to)
{
	struct differ *d = calloc(1, sizeof(*d));
	unsigned nr;

	if (!d)
		abort();
	d->max = max;
	d->to = to;
	diff_nodes(d, want->top, got->top);
	diff_dirs(d, want->top, got->top);
	nr = d->nr;
	free(d);
	return nr;
}
