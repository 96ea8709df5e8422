// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * See wander.h. Each kind of step is a function that picks its operands from the shadow, writes
 * down in words what it does, calls the engine, and changes the shadow on success.
 *
 * Invariant: a step that the engine refuses changes neither.
 */
#include "tests/lib/blk.h"
#include "tests/lib/wander.h"
#include "tests/lib/simdisk.h"

#include <errno.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#define NAME_BYTES 256

/* Two pairs that have the same hash, as names and as attributes. */
static const char *const colliding[] = { "user.88bzilh", "user.2ofmlwb", "user.mxpv28v",
					 "user.ve0dggj" };

static uint64_t below(struct wander *s, uint64_t n)
{
	return sim_below(&s->rng, n);
}

static bool chance(struct wander *s, unsigned pct)
{
	return below(s, 100) < pct;
}

/* ---- picking ---- */

struct picking {
	struct wander *s;
	bool (*fits)(const struct shadow_node *n);
	uint64_t met;
	struct shadow_node *dir;
	struct shadow_entry *entry;
};

/* Each entry that fits has the same chance. */
static void pick_below(struct picking *p, struct shadow_node *dir)
{
	for (unsigned i = 0; i < dir->nr_entries; i++) {
		struct shadow_entry *e = &dir->entries[i];

		if (!e->node->foreign && p->fits(e->node) && !below(p->s, ++p->met)) {
			p->dir = dir;
			p->entry = e;
		}
		if (S_ISDIR(e->node->mode))
			pick_below(p, e->node);
	}
}

static bool pick(struct wander *s, bool (*fits)(const struct shadow_node *n), struct picking *p)
{
	*p = (struct picking){ .s = s, .fits = fits };
	pick_below(p, s->s->top);
	return p->entry;
}

static bool any(const struct shadow_node *n)
{
	return true;
}

static bool is_dir(const struct shadow_node *n)
{
	return S_ISDIR(n->mode);
}

static bool is_empty_dir(const struct shadow_node *n)
{
	return S_ISDIR(n->mode) && !n->nr_entries;
}

static bool is_full_dir(const struct shadow_node *n)
{
	return S_ISDIR(n->mode) && n->nr_entries;
}

static bool not_dir(const struct shadow_node *n)
{
	return !S_ISDIR(n->mode);
}

static bool is_file(const struct shadow_node *n)
{
	return S_ISREG(n->mode);
}

static bool is_inline(const struct shadow_node *n)
{
	return S_ISREG(n->mode) && n->data;
}

static bool takes_xattrs(const struct shadow_node *n)
{
	return S_ISREG(n->mode) || S_ISDIR(n->mode);
}

static bool has_xattrs(const struct shadow_node *n)
{
	return takes_xattrs(n) && n->nr_xattrs;
}

static struct shadow_node *pick_dir(struct wander *s)
{
	struct picking p;

	if (chance(s, 25) || !pick(s, is_dir, &p))
		return s->s->top;
	return p.entry->node;
}

/* A name that is not in `dir`. */
static void new_name(struct wander *s, const struct shadow_node *dir, char *name)
{
	if (chance(s, 5)) {
		strcpy(name, colliding[below(s, 4)]);
		if (!shadow_find(dir, name))
			return;
	}
	do {
		int len = snprintf(name, NAME_BYTES, "%c%llu", (int)('a' + below(s, 26)),
				   (unsigned long long)s->next_name++);

		if (chance(s, 15))
			while (len < 255 && !chance(s, 1))
				name[len++] = 'n';
		name[len] = '\0';
	} while (shadow_find(dir, name));
}

static void fill(struct wander *s, uint8_t *buf, size_t len)
{
	for (size_t i = 0; i < len; i++)
		buf[i] = (uint8_t)(sim_random(&s->rng) >> 33);
}

__attribute__((format(printf, 3, 4))) static void told(struct wander *s, int want, const char *fmt,
						       ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(s->text, sizeof(s->text), fmt, ap);
	va_end(ap);
	s->want = want;
}

/* ---- the steps; each returns false if there was nothing to do it to ---- */

static bool do_create(struct wander *s, struct eng_fs *fs)
{
	static const uint32_t kinds[] = { S_IFREG, S_IFREG, S_IFREG, S_IFREG, S_IFREG,
					  S_IFDIR, S_IFDIR, S_IFLNK, S_IFIFO, S_IFCHR };
	struct shadow_node *dir = pick_dir(s), *n;
	char name[NAME_BYTES], target[300];
	struct eng_new what = { .mode = kinds[below(s, 10)] | (0600 + (uint32_t)below(s, 0177)) };
	struct eng_attr a;

	new_name(s, dir, name);
	what.uid = (uint32_t)below(s, 3);
	what.gid = (uint32_t)below(s, 3);
	if (S_ISCHR(what.mode))
		what.rdev = makedev(10, 1 + (unsigned)below(s, 200));
	if (S_ISLNK(what.mode)) {
		what.mode = S_IFLNK | 0777;
		what.target_len = 1 + below(s, sizeof(target) - 2);
		memset(target, 't', what.target_len);
		target[what.target_len] = '\0';
		what.target = target;
	}
	told(s, 0, "create %o %s in %llu", what.mode, name, (unsigned long long)dir->id.ino);
	s->got = eng_create(fs, dir->id, name, strlen(name), &what, &a);
	if (s->got)
		return true;
	n = shadow_new(s->s, what.mode);
	n->id = a.id;
	n->uid = what.uid;
	n->gid = what.gid;
	n->rdev = what.rdev;
	if (S_ISREG(n->mode))
		shadow_truncate(n, 0);
	if (S_ISLNK(n->mode)) {
		n->target = blk_must(strdup(target));
		n->size = what.target_len;
	}
	shadow_add(dir, name, n);
	return true;
}

static bool do_link(struct wander *s, struct eng_fs *fs)
{
	struct shadow_node *dir = pick_dir(s);
	char name[NAME_BYTES];
	struct eng_attr a;
	struct picking p;

	if (!pick(s, not_dir, &p))
		return false;
	new_name(s, dir, name);
	told(s, 0, "link %llu (%s) as %s in %llu", (unsigned long long)p.entry->node->id.ino,
	     p.entry->name, name, (unsigned long long)dir->id.ino);
	s->got = eng_link(fs, p.entry->node->id, dir->id, name, strlen(name), &a);
	if (!s->got) {
		struct shadow_node *n = p.entry->node;

		n->nlink++;
		shadow_add(dir, name, n);
	}
	return true;
}

static bool do_unlink(struct wander *s, struct eng_fs *fs)
{
	struct picking p;

	if (chance(s, 3)) {
		told(s, -ENOENT, "unlink a name that is not there");
		s->got = eng_unlink(fs, s->s->top->id, "not there", 9);
		return true;
	}
	if (!pick(s, not_dir, &p))
		return false;
	told(s, 0, "unlink %s in %llu", p.entry->name, (unsigned long long)p.dir->id.ino);
	s->got = eng_unlink(fs, p.dir->id, p.entry->name, strlen(p.entry->name));
	if (!s->got)
		shadow_remove(s->s, p.dir, p.entry->name);
	return true;
}

static bool do_rmdir(struct wander *s, struct eng_fs *fs)
{
	bool full = chance(s, 10);
	struct picking p;

	if (!pick(s, full ? is_full_dir : is_empty_dir, &p))
		return false;
	told(s, full ? -ENOTEMPTY : 0, "rmdir %s in %llu", p.entry->name,
	     (unsigned long long)p.dir->id.ino);
	s->got = eng_rmdir(fs, p.dir->id, p.entry->name, strlen(p.entry->name));
	if (!s->got)
		shadow_remove(s->s, p.dir, p.entry->name);
	return true;
}

static bool is_below(const struct shadow_node *n, const struct shadow_node *dir)
{
	for (; n; n = n->parent)
		if (n == dir)
			return true;
	return false;
}

/* A name that is not there yet, or one of a victim that may be replaced. */
static bool do_rename(struct wander *s, struct eng_fs *fs)
{
	struct shadow_node *dir = pick_dir(s), *n;
	bool replace = chance(s, 25), noreplace = chance(s, 15);
	char from[NAME_BYTES], to[NAME_BYTES];
	struct picking p, over;

	if (!pick(s, any, &p))
		return false;
	n = p.entry->node;
	new_name(s, dir, to);
	if (replace && pick(s, S_ISDIR(n->mode) ? is_empty_dir : not_dir, &over) &&
	    over.entry->node != n) {
		dir = over.dir;
		strcpy(to, over.entry->name);
	}
	if (S_ISDIR(n->mode) && is_below(dir, n))
		return false;
	strcpy(from, p.entry->name);
	told(s, noreplace && shadow_find(dir, to) ? -EEXIST : 0,
	     "rename %s in %llu to %s in %llu%s", from, (unsigned long long)p.dir->id.ino, to,
	     (unsigned long long)dir->id.ino, noreplace ? " unless there" : "");
	s->got = eng_rename(fs, p.dir->id, from, strlen(from), dir->id, to, strlen(to),
			    noreplace ? RENAME_NOREPLACE : 0);
	if (s->got)
		return true;
	if (shadow_find(dir, to))
		shadow_remove(s->s, dir, to);
	shadow_add(dir, to, shadow_take(p.dir, from));
	return true;
}

static bool do_exchange(struct wander *s, struct eng_fs *fs)
{
	struct shadow_node *a, *b;
	char from[NAME_BYTES], to[NAME_BYTES];
	struct picking p, q;

	if (!pick(s, any, &p) || !pick(s, any, &q))
		return false;
	a = p.entry->node;
	b = q.entry->node;
	if (a == b || (S_ISDIR(a->mode) && is_below(q.dir, a)) ||
	    (S_ISDIR(b->mode) && is_below(p.dir, b)))
		return false;
	strcpy(from, p.entry->name);
	strcpy(to, q.entry->name);
	told(s, 0, "exchange %s in %llu and %s in %llu", from, (unsigned long long)p.dir->id.ino,
	     to, (unsigned long long)q.dir->id.ino);
	s->got = eng_rename(fs, p.dir->id, from, strlen(from), q.dir->id, to, strlen(to),
			    RENAME_EXCHANGE);
	if (s->got)
		return true;
	shadow_take(p.dir, from);
	shadow_take(q.dir, to);
	shadow_add(p.dir, from, b);
	shadow_add(q.dir, to, a);
	return true;
}

static bool do_write(struct wander *s, struct eng_fs *fs)
{
	uint8_t buf[2048];
	struct picking p;
	uint64_t off;
	size_t len;
	ssize_t got;

	if (!pick(s, is_inline, &p))
		return false;
	off = chance(s, 60) ? 0 : below(s, s->max_inline - 1);
	len = 1 + below(s, s->max_inline - off);
	fill(s, buf, len);
	told(s, 0, "write %zu bytes at %llu of %s (%llu)", len, (unsigned long long)off,
	     p.entry->name, (unsigned long long)p.entry->node->id.ino);
	got = eng_write(fs, p.entry->node->id, off, buf, len);
	s->got = got < 0 ? (int)got : got == (ssize_t)len ? 0 : -EPROTO;
	if (!s->got)
		shadow_write(p.entry->node, off, buf, len);
	return true;
}

static bool do_truncate(struct wander *s, struct eng_fs *fs)
{
	struct eng_attr a = { 0 }, got;
	struct picking p;

	if (!pick(s, is_file, &p))
		return false;
	a.size = p.entry->node->data && chance(s, 70) ? below(s, s->max_inline) : 0;
	told(s, 0, "truncate %s (%llu) to %llu", p.entry->name,
	     (unsigned long long)p.entry->node->id.ino, (unsigned long long)a.size);
	s->got = eng_setattr(fs, p.entry->node->id, ENG_SET_SIZE, &a, &got);
	if (!s->got)
		shadow_truncate(p.entry->node, a.size);
	return true;
}

static bool do_setattr(struct wander *s, struct eng_fs *fs)
{
	struct eng_attr a = { .mode = (uint32_t)below(s, 01000), .uid = (uint32_t)below(s, 5) },
			got;
	unsigned set = 1 + (unsigned)below(s, 3);
	struct shadow_node *n;
	struct picking p;

	if (!pick(s, takes_xattrs, &p))
		return false;
	n = p.entry->node;
	a.mode |= n->mode & S_IFMT;
	told(s, 0, "set%s%s of %s (%llu)", set & ENG_SET_MODE ? " mode" : "",
	     set & ENG_SET_UID ? " owner" : "", p.entry->name, (unsigned long long)n->id.ino);
	s->got = eng_setattr(fs, n->id, set, &a, &got);
	if (s->got)
		return true;
	if (set & ENG_SET_MODE)
		n->mode = a.mode;
	if (set & ENG_SET_UID)
		n->uid = a.uid;
	return true;
}

static bool do_setxattr(struct wander *s, struct eng_fs *fs)
{
	bool twin = chance(s, 40);
	char name[NAME_BYTES];
	uint8_t value[1800];
	struct picking p;
	size_t size;

	if (!pick(s, takes_xattrs, &p))
		return false;
	if (twin)
		strcpy(name, colliding[below(s, 4)]);
	else
		snprintf(name, sizeof(name), "user.x%llu", (unsigned long long)below(s, 6));
	size = below(s, twin || chance(s, 80) ? 150 : sizeof(value));
	fill(s, value, size);
	told(s, 0, "set %s, %zu bytes, of %s (%llu)", name, size, p.entry->name,
	     (unsigned long long)p.entry->node->id.ino);
	s->got = eng_setxattr(fs, p.entry->node->id, name, value, size, 0);
	if (!s->got)
		shadow_set_xattr(p.entry->node, name, value, size);
	return true;
}

static bool do_removexattr(struct wander *s, struct eng_fs *fs)
{
	struct shadow_node *n;
	char name[NAME_BYTES];
	struct picking p;

	if (!pick(s, has_xattrs, &p))
		return false;
	n = p.entry->node;
	snprintf(name, sizeof(name), "%s", n->xattrs[below(s, n->nr_xattrs)].name);
	told(s, 0, "remove %s of %s (%llu)", name, p.entry->name, (unsigned long long)n->id.ino);
	s->got = eng_removexattr(fs, n->id, name);
	if (!s->got)
		shadow_del_xattr(n, name);
	return true;
}

/* ---- the script ---- */

static const struct kind {
	bool (*fn)(struct wander *s, struct eng_fs *fs);
	unsigned growing, shrinking; /* how often */
} kinds[] = {
	{ do_create, 40, 8 },	{ do_link, 8, 2 },	  { do_unlink, 6, 40 },
	{ do_rmdir, 2, 12 },	{ do_rename, 12, 12 },	  { do_exchange, 4, 4 },
	{ do_write, 14, 4 },	{ do_truncate, 5, 5 },	  { do_setattr, 4, 4 },
	{ do_setxattr, 10, 2 }, { do_removexattr, 3, 7 },
};

static const struct kind *choose(struct wander *s)
{
	unsigned total = 0, at;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		total += s->shrinking ? kinds[i].shrinking : kinds[i].growing;
	at = (unsigned)below(s, total);
	for (size_t i = 0;; i++) {
		unsigned w = s->shrinking ? kinds[i].shrinking : kinds[i].growing;

		if (at < w)
			return &kinds[i];
		at -= w;
	}
}

int wander_step(struct wander *s, struct eng_fs *fs)
{
	s->text[0] = '\0';
	s->got = s->want = 0;
	if (s->s->nr_nodes > s->max_nodes)
		s->shrinking = true;
	else if (s->s->nr_nodes < s->max_nodes / 2)
		s->shrinking = false;
	while (!choose(s)->fn(s, fs))
		;
	s->steps++;
	if (s->got && s->got != s->want && wander_right(s))
		s->refused++;
	return s->got;
}

bool wander_right(const struct wander *s)
{
	if (s->got == s->want)
		return true;
	return !s->want && (s->got == -ENOSPC || s->got == -EFBIG || s->got == -EOPNOTSUPP);
}

int wander_create(struct eng_fs *fs, struct eng_ino dir, uint64_t seed, struct wander **out_s)
{
	struct wander *s = blk_must(calloc(1, sizeof(*s)));
	int err = shadow_load(fs, dir, &s->s);

	*out_s = NULL;
	if (err) {
		free(s);
		return err;
	}
	s->rng = sim_seed(seed, 1);
	s->max_nodes = 300;
	s->max_inline = 1500;
	*out_s = s;
	return 0;
}

void wander_destroy(struct wander *s)
{
	if (!s)
		return;
	shadow_free(s->s);
	free(s);
}
