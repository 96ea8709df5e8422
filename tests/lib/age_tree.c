// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ubtrfs-age: the names it made, as a tree, with a vector a kind to pick from at random.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tests/lib/age_priv.h"

/* Names have up to 255 bytes, a path PATH_MAX. */
#define DEPTH_MAX 9

static void *must(void *p)
{
	if (!p) {
		fprintf(stderr, "ubtrfs-age: out of memory\n");
		exit(2);
	}
	return p;
}

static void attach(struct age_node *n, struct age_node *parent)
{
	n->parent = parent;
	if (!parent)
		return;
	n->next = parent->child;
	if (n->next)
		n->next->link = &n->next;
	parent->child = n;
	n->link = &parent->child;
	parent->children++;
}

static void detach(struct age_node *n)
{
	if (!n->parent)
		return;
	*n->link = n->next;
	if (n->next)
		n->next->link = n->link;
	n->parent->children--;
}

struct age_node *age_add(struct age *a, struct age_node *parent, enum age_kind kind,
			 const char *name)
{
	struct age_vec *vec = &a->kinds[kind];
	struct age_node *n = must(calloc(1, sizeof(*n)));

	if (vec->nr == vec->room) {
		vec->room = vec->room ? vec->room * 2 : 64;
		vec->v = must(realloc(vec->v, vec->room * sizeof(*vec->v)));
	}
	n->kind = kind;
	n->name = must(strdup(name));
	n->slot = vec->nr;
	vec->v[vec->nr++] = n;
	attach(n, parent);
	return n;
}

void age_remove(struct age *a, struct age_node *n)
{
	struct age_vec *vec = &a->kinds[n->kind];

	while (n->child)
		age_remove(a, n->child);
	detach(n);
	vec->v[n->slot] = vec->v[--vec->nr];
	vec->v[n->slot]->slot = n->slot;
	if (n->subvol)
		a->subvols--;
	free(n->name);
	free(n);
}

void age_move(struct age_node *n, struct age_node *parent, const char *name)
{
	char *copy = must(strdup(name));

	detach(n);
	free(n->name);
	n->name = copy;
	attach(n, parent);
}

/* As a snapshot does: a subvolume inside is left as an empty directory, which nobody works on. */
void age_clone_children(struct age *a, const struct age_node *from, struct age_node *to)
{
	for (const struct age_node *c = from->child; c; c = c->next) {
		struct age_node *n;

		if (c == to || c->subvol)
			continue;
		n = age_add(a, to, c->kind, c->name);
		n->frozen = c->frozen;
		n->nocow = c->nocow;
		n->huge = c->huge;
		age_clone_children(a, c, n);
	}
}

const char *age_path(const struct age_node *n, char *buf)
{
	char *at = buf + AGE_PATH_MAX - 1;

	*at = 0;
	for (; n->parent; n = n->parent) {
		const size_t len = strlen(n->name);

		at -= len;
		memcpy(at, n->name, len);
		*--at = '/';
	}
	*--at = '.';
	return at;
}

const char *age_child_path(const struct age_node *dir, const char *name, char *buf)
{
	const char *path = age_path(dir, buf);
	const size_t len = strlen(path), more = strlen(name) + 1;
	char *longer = buf + AGE_PATH_MAX - 1 - more - len;

	memmove(longer, path, len);
	longer[len] = '/';
	memcpy(longer + len + 1, name, more);
	return longer;
}

bool age_inside(const struct age_node *n, const struct age_node *dir)
{
	for (; n; n = n->parent)
		if (n == dir)
			return true;
	return false;
}

bool age_writable(const struct age_node *n)
{
	if (n->frozen)
		return false;
	for (; n; n = n->parent)
		if (n->readonly)
			return false;
	return true;
}

static unsigned depth(const struct age_node *n)
{
	unsigned d = 0;

	for (; n->parent; n = n->parent)
		d++;
	return d;
}

static unsigned height(const struct age_node *n)
{
	unsigned most = 0;

	for (const struct age_node *c = n->child; c; c = c->next) {
		const unsigned h = 1 + height(c);

		most = h > most ? h : most;
	}
	return most;
}

bool age_fits(const struct age_node *n, const struct age_node *dir)
{
	return depth(dir) + 1 + height(n) <= DEPTH_MAX;
}

struct age_node *age_pick(struct age *a, enum age_kind kind)
{
	const struct age_vec *vec = &a->kinds[kind];

	for (int tries = 0; vec->nr && tries < 16; tries++) {
		struct age_node *n = vec->v[age_rnd(a, vec->nr)];

		if (!age_writable(n) || n->huge)
			continue;
		if (kind == AGE_DIR && depth(n) + 1 > DEPTH_MAX)
			continue;
		return n;
	}
	return NULL;
}

const char *age_name(struct age *a, char *buf)
{
	static const char *const odd[] = {
		"\xc3\xa4\xc3\xb6\xe2\x82\xac\xf0\x9f\x8c\xb3", /* UTF-8 up to four bytes */
		"new\nline",
		"back\\slash \"quoted\"",
		" blank ",
		"\xff\xfe raw",
		"-dash",
		"tab\t",
		"%s%n",
		"...",
		"\x01\x7f",
	};
	const unsigned long serial = a->serial++;
	int len;

	switch (age_rnd(a, 8)) {
	case 0:
		snprintf(buf, 256, "%s-%lu", odd[age_rnd(a, sizeof(odd) / sizeof(*odd))], serial);
		break;
	case 1: /* long, often as long as may be */
		len = snprintf(buf, 256, "%lu-", serial);
		memset(buf + len, 'x', 255 - len);
		buf[age_rnd(a, 3) ? 255 : 120] = 0;
		break;
	case 2:
		snprintf(buf, 256, "%lx", serial);
		break;
	default:
		snprintf(buf, 256, "name.%lu", serial);
	}
	return buf;
}

/* The raw register of CRC-32C after `s`, from the value that btrfs starts its name hashes with. */
static uint32_t name_crc(const char *s)
{
	uint32_t crc = ~(uint32_t)1;

	for (; *s; s++) {
		crc ^= (unsigned char)*s;
		for (int bit = 0; bit < 8; bit++)
			crc = (crc >> 1) ^ (crc & 1 ? 0x82f63b78u : 0);
	}
	return crc;
}

static bool nameable(uint32_t bytes)
{
	for (int i = 0; i < 4; i++)
		if (!(bytes >> (8 * i) & 0xff) || (bytes >> (8 * i) & 0xff) == '/')
			return false;
	return true;
}

/*
 * Four more bytes enter the register only as register ^ bytes, so bytes that differ as the two
 * registers do bring both to the same hash, whatever follows.
 */
void age_colliding_names(struct age *a, const char *prefix, char *one, char *two)
{
	const unsigned long serial = a->serial++;
	const int len = snprintf(one, 250, "%sA%lu-", prefix, serial);
	uint32_t x, y;

	snprintf(two, 250, "%sB%lu-", prefix, serial);
	do {
		x = age_rnd(a, UINT32_MAX);
		y = x ^ name_crc(one) ^ name_crc(two);
	} while (!nameable(x) || !nameable(y));
	for (int i = 0; i < 4; i++) {
		one[len + i] = x >> (8 * i);
		two[len + i] = y >> (8 * i);
	}
	one[len + 4] = two[len + 4] = 0;
}
