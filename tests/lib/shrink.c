// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Shrinking of scripts that fail: operations are left out, many at a time, then few; then whatever
 * lies in a directory is moved to the top everywhere in the script, and new names give way to those
 * that they were made from, after which more can be left out. See ops.h.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/lib/blk.h"
#include "tests/lib/ops.h"

struct shrink {
	struct script *s;
	bool (*fails)(void *arg, const struct script *s);
	void *arg;
	unsigned tries;
};

static bool still_fails(struct shrink *k, const struct script *s)
{
	if (!k->tries)
		return false;
	k->tries--;
	return k->fails(k->arg, s);
}

/* s without [from, from + len), as a view: strings are shared. */
static void without(struct script *to, const struct script *s, size_t from, size_t len)
{
	to->nr = 0;
	for (size_t i = 0; i < s->nr; i++)
		if (i < from || i >= from + len)
			script_add(to, &s->v[i]);
}

static void drop(struct script *s, size_t from, size_t len)
{
	for (size_t i = from; i < from + len; i++)
		op_free(&s->v[i]);
	memmove(&s->v[from], &s->v[from + len], (s->nr - from - len) * sizeof(*s->v));
	s->nr -= len;
}

/* From the end, so that what was made for what is gone goes in one sweep. */
static bool leave_out(struct shrink *k, size_t chunk)
{
	struct script less = { 0 };
	bool shorter = false;

	for (size_t end = k->s->nr; end && k->tries;) {
		const size_t len = chunk < end ? chunk : end, from = end - len;

		without(&less, k->s, from, len);
		if (still_fails(k, &less)) {
			drop(k->s, from, len);
			shorter = true;
		}
		end = from;
	}
	free(less.v);
	return shorter;
}

/* What is below `dir` moves to the top. */
static void lift_path(char *path, const char *dir, size_t len)
{
	if (path && !strncmp(path, dir, len) && path[len] == '/' && path[len + 1])
		memmove(path, path + len + 1, strlen(path + len + 1) + 1);
}

static bool try_lift(struct shrink *k, const char *dir, size_t len)
{
	struct script other;

	script_copy(&other, k->s);
	for (size_t i = 0; i < other.nr; i++) {
		lift_path(other.v[i].path, dir, len);
		lift_path(other.v[i].to, dir, len);
	}
	if (still_fails(k, &other)) {
		script_free(k->s);
		*k->s = other;
		return true;
	}
	script_free(&other);
	return false;
}

static bool lift(struct shrink *k)
{
	bool any = false;

	for (size_t i = 0; i < k->s->nr; i++) {
		for (unsigned which = 0; which < 2; which++) {
			const struct op *op = &k->s->v[i];
			const char *path = which ? op->to : op->path;
			const char *slash = path ? strrchr(path, '/') : NULL;
			char *dir = slash ? blk_must(strndup(path, (size_t)(slash - path))) : NULL;

			if (dir && try_lift(k, dir, strlen(dir)))
				any = true;
			free(dir);
		}
	}
	return any;
}

/* A path at or below `from` goes to `to`; the new path is the script's. */
static void redirect_path(char **path, const char *from, const char *to)
{
	const size_t len = strlen(from);
	char *other;

	if (!*path || strncmp(*path, from, len) || ((*path)[len] && (*path)[len] != '/'))
		return;
	other = blk_must(malloc(strlen(to) + strlen(*path + len) + 1));
	strcpy(other, to);
	strcat(other, *path + len);
	free(*path);
	*path = other;
}

/* Leaves out a rename or link, and goes on with the old name instead of the new one. */
static bool redirect(struct shrink *k)
{
	bool any = false;

	for (size_t i = k->s->nr; i-- > 0;) {
		const struct op *op = &k->s->v[i];
		struct script other;

		if (op->kind != OP_RENAME && op->kind != OP_LINK)
			continue;
		script_copy(&other, k->s);
		for (size_t j = i + 1; j < other.nr; j++) {
			redirect_path(&other.v[j].path, op->to, op->path);
			redirect_path(&other.v[j].to, op->to, op->path);
		}
		drop(&other, i, 1);
		if (still_fails(k, &other)) {
			script_free(k->s);
			*k->s = other;
			any = true;
		} else {
			script_free(&other);
		}
	}
	return any;
}

void script_shrink(struct script *s, bool (*fails)(void *arg, const struct script *s), void *arg,
		   unsigned tries)
{
	struct shrink k = { s, fails, arg, tries };

	for (size_t chunk = s->nr / 2; chunk > 1 && k.tries; chunk /= 2)
		leave_out(&k, chunk);
	while (k.tries) {
		while (leave_out(&k, 1) && k.tries)
			;
		if (!lift(&k) && !redirect(&k))
			break;
	}
}
