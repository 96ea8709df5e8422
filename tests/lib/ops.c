// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Operations as text: names that stand for longer ones, scripts, results. See ops.h.
 *
 * Each kind has a form, a letter a field: p path, t second path, s name, f flags of the kind, o
 * octal number, d decimal number. Printing and reading follow the same form.
 */
#include "tests/lib/ops.h"

#include <ctype.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "tests/lib/blk.h"

static const struct {
	const char *name, *form;
} kinds[OP_KINDS] = {
	[OP_CREATE] = { "create", "po" },
	[OP_MKDIR] = { "mkdir", "po" },
	[OP_MKNOD] = { "mknod", "podd" },
	[OP_SYMLINK] = { "symlink", "ps" },
	[OP_LINK] = { "link", "pt" },
	[OP_UNLINK] = { "unlink", "p" },
	[OP_RMDIR] = { "rmdir", "p" },
	[OP_RENAME] = { "rename", "ptr" },
	[OP_CHMOD] = { "chmod", "po" },
	[OP_CHOWN] = { "chown", "pdd" },
	[OP_UTIMES] = { "utimes", "pdddd" },
	[OP_CHATTR] = { "chattr", "ph" },
	[OP_SETXATTR] = { "setxattr", "psddx" },
	[OP_RMXATTR] = { "rmxattr", "ps" },
	[OP_SETPROP] = { "setprop", "ps" },
	[OP_RMPROP] = { "rmprop", "p" },
	[OP_WRITE] = { "write", "pddd" },
	[OP_TRUNCATE] = { "truncate", "pd" },
	[OP_SYNC] = { "sync", "" },
	[OP_STAT] = { "stat", "p" },
	[OP_READDIR] = { "readdir", "p" },
	[OP_READ] = { "read", "p" },
	[OP_READLINK] = { "readlink", "p" },
	[OP_GETXATTR] = { "getxattr", "ps" },
	[OP_LISTXATTR] = { "listxattr", "p" },
	[OP_HOLD] = { "hold", "dp" },
	[OP_DROP] = { "drop", "d" },
	[OP_REOPEN] = { "reopen", "" },
};

const char *op_kind_name(enum op_kind kind)
{
	return kinds[kind].name;
}

/* ---- scripts ---- */

void op_free(struct op *op)
{
	free(op->path);
	free(op->to);
	free(op->name);
	memset(op, 0, sizeof(*op));
}

static char *copy(const char *s)
{
	return s ? blk_must(strdup(s)) : NULL;
}

struct op op_copy(const struct op *op)
{
	struct op c = *op;

	c.path = copy(op->path);
	c.to = copy(op->to);
	c.name = copy(op->name);
	return c;
}

void script_add(struct script *s, const struct op *op)
{
	if (s->nr == s->room) {
		s->room = s->room ? s->room * 2 : 64;
		s->v = blk_must(realloc(s->v, s->room * sizeof(*s->v)));
	}
	s->v[s->nr++] = *op;
}

void script_copy(struct script *to, const struct script *from)
{
	*to = (struct script){ 0 };
	for (size_t i = 0; i < from->nr; i++) {
		struct op op = op_copy(&from->v[i]);

		script_add(to, &op);
	}
}

void script_free(struct script *s)
{
	for (size_t i = 0; i < s->nr; i++)
		op_free(&s->v[i]);
	free(s->v);
	*s = (struct script){ 0 };
}

static void print_flags(FILE *out, char form, unsigned flags)
{
	static const char rename_letters[] = "nxw", xattr_letters[] = "cr";
	const char *letters = form == 'r' ? rename_letters : xattr_letters;

	putc(' ', out);
	if (!flags)
		putc('-', out);
	for (unsigned i = 0; letters[i]; i++)
		if (flags & (1u << i))
			putc(letters[i], out);
}

void op_print(FILE *out, const struct op *op)
{
	unsigned n = 0;

	fputs(kinds[op->kind].name, out);
	for (const char *f = kinds[op->kind].form; *f; f++) {
		switch (*f) {
		case 'p':
			fprintf(out, " %s", op->path);
			break;
		case 't':
			fprintf(out, " %s", op->to);
			break;
		case 's':
			fprintf(out, " %s", op->name);
			break;
		case 'o':
			fprintf(out, " %07llo", (unsigned long long)op->n[n++]);
			break;
		case 'd':
			fprintf(out, " %lld", (long long)op->n[n++]);
			break;
		case 'h':
			fprintf(out, " %x", op->flags);
			break;
		default:
			print_flags(out, *f, op->flags);
		}
	}
	putc('\n', out);
}

void script_print(FILE *out, const struct script *s)
{
	for (size_t i = 0; i < s->nr; i++)
		op_print(out, &s->v[i]);
}

static bool parse_flags(char form, const char *word, unsigned *out_flags)
{
	const char *letters = form == 'r' ? "nxw" : "cr";

	*out_flags = 0;
	for (; strcmp(word, "-") && *word; word++) {
		const char *at = strchr(letters, *word);

		if (!at)
			return false;
		*out_flags |= 1u << (at - letters);
	}
	return true;
}

static bool parse_field(struct op *op, char form, const char *word, unsigned *n)
{
	char *end = NULL;

	switch (form) {
	case 'p':
		op->path = copy(word);
		return true;
	case 't':
		op->to = copy(word);
		return true;
	case 's':
		op->name = copy(word);
		return true;
	case 'o':
		op->n[(*n)++] = strtoll(word, &end, 8);
		return !*end;
	case 'd':
		op->n[(*n)++] = strtoll(word, &end, 10);
		return !*end;
	case 'h':
		op->flags = (unsigned)strtoul(word, &end, 16);
		return !*end;
	default:
		return parse_flags(form, word, &op->flags);
	}
}

bool op_parse(const char *line, struct op *out_op)
{
	char *text = copy(line), *save = NULL, *word = strtok_r(text, " \t\r\n", &save);
	bool ok = true;
	unsigned n = 0;

	*out_op = (struct op){ .kind = OP_KINDS };
	if (word && *word != '#') {
		enum op_kind kind = 0;

		while (kind < OP_KINDS && strcmp(kinds[kind].name, word))
			kind++;
		ok = kind < OP_KINDS;
		for (const char *f = ok ? kinds[kind].form : ""; *f && ok; f++) {
			word = strtok_r(NULL, " \t\r\n", &save);
			ok = word && parse_field(out_op, *f, word, &n);
		}
		out_op->kind = kind;
	}
	free(text);
	if (!ok)
		op_free(out_op);
	return ok;
}

unsigned script_parse(FILE *in, struct script *out_script)
{
	char *line = NULL;
	size_t room = 0;
	unsigned number = 0, bad = 0;

	*out_script = (struct script){ 0 };
	while (!bad && getline(&line, &room, in) >= 0) {
		struct op op;

		number++;
		if (!op_parse(line, &op))
			bad = number;
		else if (op.kind < OP_KINDS)
			script_add(out_script, &op);
	}
	free(line);
	return bad;
}

/* ---- names ---- */

/*
 * Differences of eight bytes, five bits each, that leave the CRC-32C of a name as it is: multiples
 * of its polynomial. They and their sums give 256 names. Found by elimination; the unit test checks
 * them.
 */
static const uint64_t same_hash[8] = {
	0x011815081b0d18,  0xa030c01070303,   0x140618020e0606,	 0x106101c18041d05,
	0x20216151d1f130f, 0x4060802031a0e04, 0x800020112071d17, 0x100010000d1c0804,
};

static size_t pad_to(char *out, size_t at, unsigned long len)
{
	for (; at < len && at < OP_NAME_ROOM - 1; at++)
		out[at] = (char)('a' + at % 26);
	out[at] = 0;
	return at;
}

/* The start of "long" or "hash" in a name, or NULL. */
static const char *special(const char *token)
{
	for (const char *s = token; s; s = strchr(s, '.') ? strchr(s, '.') + 1 : NULL)
		if ((!strncmp(s, "long", 4) || !strncmp(s, "hash", 4)) &&
		    isdigit((unsigned char)s[4]))
			return s;
	return NULL;
}

size_t op_expand(const char *token, size_t len, char *out)
{
	unsigned long id, number, total = 0;
	char text[512];
	const char *s;
	uint64_t bits = 0x4040404040404040;
	size_t at;
	char *end;

	if (len >= sizeof(text))
		len = sizeof(text) - 1;
	memcpy(text, token, len);
	text[len] = 0;
	s = special(text);
	if (!s) {
		memcpy(out, text, len + 1);
		return len;
	}
	id = strtoul(s + 4, &end, 10);
	number = *end == '.' ? strtoul(end + 1, &end, 10) : 0;
	if (*end == '.')
		total = strtoul(end + 1, NULL, 10);
	at = (size_t)(s - text);
	memcpy(out, text, at);
	at += (size_t)sprintf(out + at, "%c%lu-", *s, id);
	if (*s == 'l')
		return pad_to(out, at, number);
	for (unsigned i = 0; i < 8; i++)
		if (number >> i & 1)
			bits ^= same_hash[i];
	for (unsigned i = 0; i < 8; i++)
		out[at++] = (char)(bits >> (8 * i));
	return pad_to(out, at, total);
}

size_t op_component(const char **path, char *out)
{
	size_t len;

	while (**path == '/')
		++*path;
	len = strcspn(*path, "/");
	if (!len)
		return 0;
	*path += len;
	return op_expand(*path - len, len, out);
}

bool op_start(const char *path, char *out_where, unsigned *out_slot, const char **out_rest)
{
	*out_where = '.';
	*out_slot = 0;
	*out_rest = path;
	if (path[0] == '@' && path[1] >= '0' && path[1] < '0' + OP_SLOTS) {
		*out_slot = (unsigned)(path[1] - '0');
		*out_rest = path + 2;
	} else if (path[0] == '$' || !strcmp(path, ".")) {
		*out_rest = path + 1;
	} else {
		return path[0] && path[0] != '/';
	}
	*out_where = path[0];
	return !**out_rest || **out_rest == '/';
}

void op_pattern(uint32_t seed, void *buf, size_t len)
{
	uint64_t x = seed * 0x9e3779b97f4a7c15ull + 1;
	uint8_t *p = buf;

	for (size_t i = 0; i < len; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		p[i] = (uint8_t)(x >> 24);
	}
}

/* ---- results ---- */

void res_reset(struct res *r)
{
	r->err = 0;
	r->has_attr = false;
	r->len = 0;
	memset(&r->attr, 0, sizeof(r->attr));
}

void res_free(struct res *r)
{
	free(r->data);
	*r = (struct res){ 0 };
}

void res_put(struct res *r, const void *data, size_t len)
{
	if (r->len + len > r->room) {
		r->room = (r->len + len) * 2;
		r->data = blk_must(realloc(r->data, r->room));
	}
	if (len)
		memcpy(r->data + r->len, data, len);
	r->len += len;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void res_sort(struct res *r)
{
	char *text = blk_must(malloc(r->len + 1)), **v;
	size_t nr = 0;

	if (r->len)
		memcpy(text, r->data, r->len);
	v = blk_must(calloc(r->len + 1, sizeof(*v)));
	for (size_t at = 0; at < r->len; at += strlen(text + at) + 1)
		v[nr++] = text + at;
	qsort(v, nr, sizeof(*v), by_text);
	r->len = 0;
	for (size_t i = 0; i < nr; i++)
		res_put(r, v[i], strlen(v[i]) + 1);
	free(v);
	free(text);
}
