// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Changing inodes, names, attributes and inline data, over a transaction in memory: random
 * operations against a model, with a checker of the items themselves.
 *
 * A failing run prints its seed; UBTRFS_SEED=n runs that one.
 */
#include "engine/util/fault.h"
#include "ondisk/csum.h"
#include "tests/unit/filefake.h"
#include "tests/unit/plants.h"

#include <linux/fs.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <cmocka.h>

#define EXTREF BTRFS_FEATURE_INCOMPAT_EXTENDED_IREF
#define NO_HOLES BTRFS_FEATURE_INCOMPAT_NO_HOLES
#define TOP 256
#define INODES 300
#define NAMES 600
#define XATTRS 3
#define FAMILY 20

#define check(cond)                                                                                \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "%s:%d: %s\n", __func__, __LINE__, #cond);                 \
			return false;                                                              \
		}                                                                                  \
	} while (0)

struct mino {
	uint64_t ino; /* 0: free */
	uint32_t mode, uid, nlink;
	uint32_t size;
	uint8_t data[2048];
	int xattr[XATTRS]; /* size of the value; -1: not there */
	bool inlined;	   /* has an inline extent */
};

struct mname {
	struct mino *dir, *who; /* who NULL: free */
	char name[256];
	size_t len;
};

struct model {
	struct filefake *ff;
	uint64_t rand;
	struct mino inodes[INODES];
	struct mname names[NAMES];
	char family[FAMILY][256]; /* long names of one hash */
	unsigned done, refused;
};

static uint64_t rnd(uint64_t *s)
{
	uint64_t x = *s += 0x9E3779B97F4A7C15ull;

	x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9ull;
	x = (x ^ x >> 27) * 0x94D049BB133111EBull;
	return x ^ x >> 31;
}

static struct timespec stamp(struct model *m)
{
	return (struct timespec){ .tv_sec = 1700000000 + (time_t)m->done, .tv_nsec = 5 };
}

/* ---- the model ---- */

static struct mino *new_mino(struct model *m)
{
	for (unsigned i = 1; i < INODES; i++)
		if (!m->inodes[i].ino)
			return &m->inodes[i];
	return NULL;
}

static struct mname *find_name(struct model *m, const struct mino *dir, const char *name,
			       size_t len)
{
	for (unsigned i = 0; i < NAMES; i++)
		if (m->names[i].who && m->names[i].dir == dir && m->names[i].len == len &&
		    !memcmp(m->names[i].name, name, len))
			return &m->names[i];
	return NULL;
}

static struct mname *new_name(struct model *m)
{
	for (unsigned i = 0; i < NAMES; i++)
		if (!m->names[i].who)
			return &m->names[i];
	return NULL;
}

static struct mino *pick_ino(struct model *m, bool dir)
{
	for (unsigned n = 0; n < 50; n++) {
		struct mino *i = &m->inodes[rnd(&m->rand) % INODES];

		if (i->ino && i->nlink && S_ISDIR(i->mode) == dir)
			return i;
	}
	return dir ? &m->inodes[0] : NULL;
}

/* Mostly one that is there, if `there`. */
static void pick_name(struct model *m, struct mname *out, bool there)
{
	unsigned kind = rnd(&m->rand) % 8;

	memset(out, 0, sizeof(*out));
	for (unsigned n = 0; there && kind && n < 50; n++) {
		const struct mname *have = &m->names[rnd(&m->rand) % NAMES];

		if (have->who) {
			*out = *have;
			return;
		}
	}
	out->dir = pick_ino(m, true);
	if (kind == 1) {
		memcpy(out->name, m->family[rnd(&m->rand) % FAMILY], 256);
	} else {
		int n = snprintf(out->name, sizeof(out->name), "n%u",
				 (unsigned)(rnd(&m->rand) % 200));

		if (kind == 2)
			memset(out->name + n, 'x', 200);
	}
	out->len = strlen(out->name);
}

/* Names of one hash in a directory: what their item holds with this one. */
static bool hash_full(struct model *m, const struct mname *want)
{
	uint64_t hash = btrfs_name_hash(want->name, want->len), bytes = 30 + want->len;

	for (unsigned i = 0; i < NAMES; i++)
		if (m->names[i].who && m->names[i].dir == want->dir &&
		    btrfs_name_hash(m->names[i].name, m->names[i].len) == hash)
			bytes += 30 + m->names[i].len;
	return bytes > item_max(&m->ff->c);
}

static bool below(struct model *m, const struct mino *dir, const struct mino *top)
{
	while (dir != top && dir != &m->inodes[0]) {
		const struct mname *up = NULL;

		for (unsigned i = 0; i < NAMES && !up; i++)
			if (m->names[i].who == dir)
				up = &m->names[i];
		if (!up)
			return false;
		dir = up->dir;
	}
	return dir == top;
}

static bool has_entries(struct model *m, const struct mino *dir)
{
	for (unsigned i = 0; i < NAMES; i++)
		if (m->names[i].who && m->names[i].dir == dir)
			return true;
	return false;
}

/* ---- one operation each ---- */

static bool evict(struct model *m, struct mino *i)
{
	check(!chg_evict(&m->ff->c, i->ino));
	*i = (struct mino){ 0 };
	return true;
}

static bool lost_link(struct model *m, struct mino *i, uint64_t ino, uint32_t left)
{
	check(ino == i->ino && left == i->nlink - 1);
	i->nlink--;
	/* Some stay, as if somebody had them open. */
	return i->nlink || rnd(&m->rand) % 3 == 0 || evict(m, i);
}

static bool op_create(struct model *m)
{
	static const uint32_t types[] = { S_IFREG, S_IFREG, S_IFDIR, S_IFLNK, S_IFIFO, S_IFCHR };
	struct ino_new what = {
		.mode = types[rnd(&m->rand) % 6] | 0640, .uid = 3, .gid = 4, .now = stamp(m)
	};
	bool tmp = S_ISREG(what.mode) && rnd(&m->rand) % 8 == 0;
	struct mino *i = new_mino(m);
	struct mname want, *n = new_name(m);
	struct ino_attr attr;
	int err;

	pick_name(m, &want, rnd(&m->rand) % 8 == 0);
	if (!i || !n)
		return true;
	if (S_ISLNK(what.mode)) {
		what.target = m->family[0];
		what.target_len = 1 + rnd(&m->rand) % 250;
	}
	if (tmp)
		want.name[0] = '\0';
	err = chg_create(&m->ff->c, want.dir->ino, tmp ? NULL : want.name, want.len, &what, &attr);
	if (!tmp && find_name(m, want.dir, want.name, want.len))
		check(err == -EEXIST);
	else if (!tmp && hash_full(m, &want))
		check(err == -EOVERFLOW);
	else
		check(!err);
	m->refused += !!err;
	if (err)
		return true;
	*i = (struct mino){ .ino = attr.ino, .mode = attr.mode, .uid = 3, .nlink = !tmp };
	check(attr.mode == what.mode && attr.nlink == i->nlink && attr.gid == 4);
	if (S_ISLNK(what.mode)) {
		i->size = (uint32_t)what.target_len;
		memcpy(i->data, what.target, i->size);
	}
	for (unsigned x = 0; x < XATTRS; x++)
		i->xattr[x] = -1;
	want.who = i;
	if (!tmp)
		*n = want;
	return true;
}

static bool op_link(struct model *m)
{
	struct mino *i =
		rnd(&m->rand) % 8 ? pick_ino(m, false) : &m->inodes[rnd(&m->rand) % INODES];
	struct timespec now = stamp(m);
	struct mname want, *n = new_name(m);
	struct ino_attr attr;
	int err;

	pick_name(m, &want, rnd(&m->rand) % 8 == 0);
	if (!i || !i->ino || S_ISDIR(i->mode) || !n)
		return true;
	err = chg_link(&m->ff->c, i->ino, want.dir->ino, want.name, want.len, &now, &attr);
	m->refused += !!err;
	if (find_name(m, want.dir, want.name, want.len))
		check(err == -EEXIST);
	else if (hash_full(m, &want))
		check(err == -EOVERFLOW);
	else
		check(!err || err == -EMLINK);
	if (err)
		return true;
	i->nlink++;
	check(attr.nlink == i->nlink && attr.ctime.tv_sec == now.tv_sec);
	want.who = i;
	*n = want;
	return true;
}

static bool op_unlink(struct model *m)
{
	bool rmdir = rnd(&m->rand) % 2;
	struct timespec now = stamp(m);
	struct mname want, *n;
	uint32_t left;
	uint64_t ino;
	int err;

	pick_name(m, &want, true);
	n = find_name(m, want.dir, want.name, want.len);
	err = chg_unlink(&m->ff->c, want.dir->ino, want.name, want.len, rmdir, &now, &ino, &left);
	m->refused += !!err;
	if (!n) {
		check(err == -ENOENT);
	} else if (S_ISDIR(n->who->mode) != rmdir) {
		check(err == (rmdir ? -ENOTDIR : -EISDIR));
	} else if (rmdir && has_entries(m, n->who)) {
		check(err == -ENOTEMPTY);
	} else {
		check(!err);
		check(lost_link(m, n->who, ino, left));
		n->who = NULL;
	}
	return true;
}

static int expect_rename(struct model *m, const struct mname *from, const struct mname *want,
			 const struct mname *to, unsigned flags)
{
	if (!from)
		return -ENOENT;
	if (to && flags & RENAME_NOREPLACE)
		return -EEXIST;
	if (!to && flags & RENAME_EXCHANGE)
		return -ENOENT;
	if (!to)
		return hash_full(m, want) ? -EOVERFLOW : 0;
	if (flags & RENAME_EXCHANGE || to->who == from->who)
		return 0;
	if (S_ISDIR(from->who->mode) != S_ISDIR(to->who->mode))
		return S_ISDIR(to->who->mode) ? -EISDIR : -ENOTDIR;
	return S_ISDIR(to->who->mode) && has_entries(m, to->who) ? -ENOTEMPTY : 0;
}

static bool whiteout(struct model *m, const struct mname *at)
{
	struct mname *n = new_name(m);
	struct mino *i = new_mino(m);
	struct dir_target to;
	struct ino_attr attr;

	check(n && i);
	check(!dir_lookup(&m->ff->fs, &m->ff->root, at->dir->ino, at->name, at->len, &to));
	check(!ino_load(&m->ff->fs, &m->ff->root, to.id, &attr));
	check(attr.mode == S_IFCHR && !attr.rdev && to.type == BTRFS_FT_CHRDEV);
	*i = (struct mino){ .ino = to.id, .mode = S_IFCHR, .nlink = 1, .xattr = { -1, -1, -1 } };
	*n = *at;
	n->who = i;
	return true;
}

static bool renamed(struct model *m, struct mname *from, struct mname *to, const struct mname *want,
		    unsigned flags, uint64_t ino, uint32_t left)
{
	struct mname was = *from;
	struct mino *victim = to ? to->who : NULL;

	if (victim == from->who)
		return true;
	if (flags & RENAME_EXCHANGE) {
		to->who = from->who;
		from->who = victim;
		return true;
	}
	if (to)
		to->who = NULL;
	*from = *want;
	from->who = was.who;
	if (flags & RENAME_WHITEOUT)
		check(whiteout(m, &was));
	if (victim)
		return lost_link(m, victim, ino, left);
	check(!ino);
	return true;
}

static bool op_rename(struct model *m)
{
	static const unsigned kinds[] = {
		0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT
	};
	struct rename r = { .flags = kinds[rnd(&m->rand) % 6], .now = stamp(m) };
	struct mname from_want, want, *from, *to;
	uint32_t left;
	uint64_t ino;
	int err, expect;

	pick_name(m, &from_want, true);
	pick_name(m, &want, rnd(&m->rand) % 2);
	from = find_name(m, from_want.dir, from_want.name, from_want.len);
	to = find_name(m, want.dir, want.name, want.len);
	if (!new_mino(m) || !new_name(m))
		return true;
	/* Loops are the caller's to refuse. */
	if (from && (below(m, want.dir, from->who) ||
		     (to && r.flags & RENAME_EXCHANGE && below(m, from->dir, to->who))))
		return true;
	r.from = (struct entry){ .dir = from_want.dir->ino,
				 .name = from_want.name,
				 .len = from_want.len };
	r.to = (struct entry){ .dir = want.dir->ino, .name = want.name, .len = want.len };
	expect = expect_rename(m, from, &want, to, r.flags);
	err = chg_rename(&m->ff->c, &r, &ino, &left);
	m->refused += !!err;
	if (err == -EMLINK && !expect)
		return true;
	if (err != expect)
		fprintf(stderr, "rename %x: %d, expected %d\n", r.flags, err, expect);
	check(err == expect);
	return err || renamed(m, from, to, &want, r.flags, ino, left);
}

static bool op_write(struct model *m)
{
	struct mino *i = pick_ino(m, false);
	uint32_t off = rnd(&m->rand) % 2048, len = rnd(&m->rand) % 400;
	struct timespec now = stamp(m);
	struct ino_attr attr;
	uint8_t buf[400] = { 0 };
	int err;

	if (!i || !S_ISREG(i->mode))
		return true;
	off = rnd(&m->rand) % 3 ? off % (i->size + 10) : off;
	for (uint32_t k = 0; k < len; k++)
		buf[k] = (uint8_t)rnd(&m->rand);
	err = chg_write_inline(&m->ff->c, i->ino, off, buf, len, &now, &attr);
	if (len && (off + len > 2048 || i->size > 2048)) {
		check(err == -EFBIG);
		return true;
	}
	check(!err);
	if (len) {
		memcpy(i->data + off, buf, len);
		i->size = off + len > i->size ? off + len : i->size;
		i->inlined = true;
		check(attr.nbytes == i->size && attr.mtime.tv_sec == now.tv_sec);
	}
	check(attr.size == i->size);
	return true;
}

static bool op_truncate(struct model *m)
{
	struct mino *i = pick_ino(m, false);
	uint32_t size = rnd(&m->rand) % 3000;
	struct timespec now = stamp(m);
	struct ino_attr attr;
	int err;

	if (!i)
		return true;
	err = chg_truncate(&m->ff->c, i->ino, size, &now, &attr);
	if (!S_ISREG(i->mode)) {
		check(err == -EINVAL);
		return true;
	}
	if (i->inlined && size > i->size && size > 2048) {
		check(err == -EOPNOTSUPP);
		return true;
	}
	check(!err && attr.size == size);
	if (size < i->size && size < sizeof(i->data))
		memset(i->data + size, 0, sizeof(i->data) - size);
	i->size = size;
	i->inlined = i->inlined && size;
	return true;
}

static void xattr_name(unsigned x, char *name)
{
	/* Two of one hash, one by itself. */
	if (x == 2)
		strcpy(name, "user.c");
	else
		while (!forge_name(name, 12, x * 100 + 7, 0xabcdef01))
			abort();
}

static bool op_xattr(struct model *m)
{
	struct mino *i = pick_ino(m, rnd(&m->rand) % 2);
	unsigned x = rnd(&m->rand) % XATTRS, flags = rnd(&m->rand) % 3;
	struct timespec now = stamp(m);
	uint8_t value[4096];
	struct ino_xattr want = { .size = rnd(&m->rand) % (rnd(&m->rand) % 4 ? 200 : 4096) };
	char name[300];
	int err, room = (int)xattr_max(&m->ff->c);

	if (!i)
		return true;
	xattr_name(x, name);
	want.name = name;
	want.name_len = strlen(name);
	memset(value, 'A' + (int)x, sizeof(value));
	want.value = rnd(&m->rand) % 3 ? value : NULL;
	err = chg_setxattr(&m->ff->c, i->ino, &want, (int)flags, &now);
	if (x < 2 && i->xattr[!x] >= 0)
		room -= i->xattr[!x] + 12 + 30;
	if (want.value && want.name_len + want.size > xattr_max(&m->ff->c))
		check(err == -ENOSPC);
	else if (i->xattr[x] >= 0 && flags & XATTR_CREATE)
		check(err == -EEXIST);
	else if (i->xattr[x] < 0 && (!want.value || flags & XATTR_REPLACE))
		check(err == -ENODATA);
	else if (want.value && (int)(want.size + want.name_len) > room)
		check(err == -ENOSPC);
	else
		check(!err);
	if (!err)
		i->xattr[x] = want.value ? (int)want.size : -1;
	m->refused += !!err;
	return true;
}

static bool op_setattr(struct model *m)
{
	struct mino *i = pick_ino(m, rnd(&m->rand) % 2);
	struct ino_attr attr = { .mode = rnd(&m->rand) % 07777, .uid = (uint32_t)m->done }, out;
	unsigned set = rnd(&m->rand) % 4;

	if (!i)
		return true;
	check(!chg_setattr(&m->ff->c, i->ino, set, &attr, &out));
	if (set & INO_SET_MODE)
		i->mode = (i->mode & S_IFMT) | attr.mode;
	/* What creates below it would take that over. */
	if (set & INO_SET_MODE && attr.mode & S_ISGID) {
		attr.mode = i->mode &= ~(uint32_t)S_ISGID;
		check(!chg_setattr(&m->ff->c, i->ino, INO_SET_MODE, &attr, &out));
	}
	if (set & INO_SET_UID)
		i->uid = attr.uid;
	check(out.mode == i->mode);
	return true;
}

static bool op_evict(struct model *m)
{
	for (unsigned k = 0; k < INODES; k++)
		if (m->inodes[k].ino && !m->inodes[k].nlink)
			return evict(m, &m->inodes[k]);
	return true;
}

/* ---- comparing ---- */

static bool same_inode(struct model *m, const struct mino *i)
{
	struct filefake *ff = m->ff;
	char name[300], value[4096];
	struct ino_attr attr;
	uint8_t buf[2048];

	check(!ino_load(&ff->fs, &ff->root, i->ino, &attr));
	check(attr.mode == i->mode && attr.nlink == i->nlink && attr.uid == i->uid);
	check(S_ISDIR(i->mode) || attr.size == i->size);
	for (unsigned x = 0; x < XATTRS; x++) {
		int64_t len;

		xattr_name(x, name);
		len = xattr_get(&ff->fs, &ff->root, i->ino, name, strlen(name), value,
				sizeof(value));
		check(len == (i->xattr[x] < 0 ? -ENODATA : i->xattr[x]));
		check(len <= 0 || (value[0] == 'A' + (int)x && value[len - 1] == 'A' + (int)x));
	}
	if (!S_ISREG(i->mode) && !S_ISLNK(i->mode))
		return true;
	check(!inline_read(&ff->c, &attr, buf, 2048));
	check(!memcmp(buf, i->data, 2048));
	return true;
}

static int count(void *arg, uint64_t index, const char *name, size_t len,
		 const struct dir_target *target)
{
	++*(unsigned *)arg;
	return 0;
}

static bool same(struct model *m)
{
	unsigned names = 0, found = 0;

	for (unsigned k = 0; k < NAMES; k++) {
		const struct mname *n = &m->names[k];
		struct dir_target to;

		if (!n->who)
			continue;
		names++;
		check(!dir_lookup(&m->ff->fs, &m->ff->root, n->dir->ino, n->name, n->len, &to));
		check(to.id == n->who->ino && to.type == mode_to_ft(n->who->mode));
	}
	for (unsigned k = 0; k < INODES; k++) {
		if (!m->inodes[k].ino)
			continue;
		check(same_inode(m, &m->inodes[k]));
		check(!dir_iterate(&m->ff->fs, &m->ff->root, m->inodes[k].ino, 0, count, &found));
	}
	check(names == found);
	return filefake_check(m->ff);
}

static bool step(struct model *m)
{
	static bool (*const ops[])(struct model *) = {
		op_create, op_create,	op_create,  op_link,   op_link,	 op_unlink,
		op_unlink, op_rename,	op_rename,  op_rename, op_write, op_write,
		op_xattr,  op_truncate, op_setattr, op_evict,
	};

	m->done++;
	return ops[rnd(&m->rand) % 16](m);
}

static bool run(uint64_t seed, uint64_t features, unsigned steps)
{
	struct model *m = calloc(1, sizeof(*m));
	bool ok = true;

	m->ff = filefake_create(4096, features);
	m->rand = seed;
	m->ff->end_every = 2;
	m->inodes[0] = (struct mino){
		.ino = TOP, .mode = S_IFDIR | 0755, .nlink = 1, .xattr = { -1, -1, -1 }
	};
	forge_names(m->family, FAMILY, 245);
	for (unsigned i = 1; ok && i <= steps; i++) {
		ok = step(m);
		if (ok && i % 250 == 0)
			ok = same(m);
		if (ok && i % 500 == 0)
			ok = !faketxn_commit(m->ff->f);
	}
	for (unsigned k = 0; ok && k < INODES; k++)
		if (m->inodes[k].ino && !m->inodes[k].nlink)
			m->inodes[k].ino = 0;
	ok = ok && !chg_orphans(&m->ff->c) && same(m) && !m->ff->aborts && m->refused > steps / 20;
	if (!ok)
		fprintf(stderr, "seed %llu, features %llx, operation %u\n",
			(unsigned long long)seed, (unsigned long long)features, m->done);
	filefake_destroy(m->ff);
	free(m);
	return ok;
}

static void test_random(void **state)
{
	const char *seed = getenv("UBTRFS_SEED");

	for (uint64_t s = seed ? strtoull(seed, NULL, 0) : 1, end = seed ? s : 4; s <= end; s++) {
		assert_true(run(s, EXTREF | NO_HOLES, 4000));
		assert_true(run(s, EXTREF, 2000));
		assert_true(run(s, NO_HOLES, 2000));
	}
}

#ifdef UBTRFS_PLANT
static int checker(void)
{
	return !run(1, EXTREF | NO_HOLES, 1000);
}

static void test_plants(void **state)
{
	assert_false(caught("none", checker));
	assert_true(caught("dir_index_forget", checker));
	assert_true(caught("ref_keeps_name", checker));
	assert_true(caught("xattr_drops_neighbour", checker));
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
#ifdef UBTRFS_PLANT
		cmocka_unit_test(test_plants),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
