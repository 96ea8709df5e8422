// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * change.h's functions: the operations of the other files, over real transactions.
 *
 * The operations see transactions through struct chg_ops only, so that tests can drive them over
 * one in memory.
 */
#include "engine/file/change_priv.h"

#include "engine/space/dref.h"

static int begin(struct chg *c, unsigned items, bool freeing)
{
	int err = txn_begin_flush(c->fs, items, freeing ? SPACE_FLUSH_ALL_STEAL : SPACE_FLUSH_ALL,
				  &c->h);

	if (!err)
		c->t = &c->h->st.bt;
	return err;
}

static int end(struct chg *c)
{
	struct txn_handle *h = c->h;

	c->h = NULL;
	c->t = NULL;
	return txn_end(h);
}

static bool should_end(struct chg *c)
{
	return txn_should_end(c->h);
}

static void chg_abort(struct chg *c, int err, const char *file, int line)
{
	txn_abort_at(c->h, err, file, line);
}

static int next_ino(struct chg *c, uint64_t *out_ino)
{
	return root_next_ino(c->fs, c->root, out_ino);
}

static void touch(struct chg *c)
{
	root_touch(c->h, c->root);
}

static int drop_data(struct chg *c, uint64_t logical, uint64_t len, uint64_t ino, uint64_t offset)
{
	/* Its leaf was copied for this tree, whose reference it is then: never a shared one. */
	const struct dref ref = { .root = c->root->bt.id, .ino = ino, .offset = offset };

	return dref_data(&c->h->st, logical, len, &ref, -1, false);
}

static const struct chg_ops ops = {
	.begin = begin,
	.end = end,
	.should_end = should_end,
	.abort = chg_abort,
	.next_ino = next_ino,
	.touch = touch,
	.drop_data = drop_data,
};

static struct chg chg_make(struct fs *fs, const struct root *root)
{
	return (struct chg){ .fs = fs, .root = root, .tree = root_tree(root), .ops = &ops };
}

int file_create(struct fs *fs, const struct root *root, uint64_t dir, const char *name, size_t len,
		const struct ino_new *what, struct ino_attr *out_attr)
{
	struct chg c = chg_make(fs, root);

	return chg_create(&c, dir, name, len, what, out_attr);
}

int file_create_tmp(struct fs *fs, const struct root *root, uint64_t dir,
		    const struct ino_new *what, struct ino_attr *out_attr)
{
	struct chg c = chg_make(fs, root);

	return chg_create(&c, dir, NULL, 0, what, out_attr);
}

int file_link(struct fs *fs, const struct root *root, uint64_t ino, uint64_t dir, const char *name,
	      size_t len, const struct timespec *now, struct ino_attr *out_attr)
{
	struct chg c = chg_make(fs, root);

	return chg_link(&c, ino, dir, name, len, now, out_attr);
}

int file_unlink(struct fs *fs, const struct root *root, uint64_t dir, const char *name, size_t len,
		bool rmdir, const struct timespec *now, uint64_t *out_ino, uint32_t *out_left)
{
	struct chg c = chg_make(fs, root);

	return chg_unlink(&c, dir, name, len, rmdir, now, out_ino, out_left);
}

int file_rename(struct fs *fs, const struct root *root, uint64_t from_dir, const char *from,
		size_t from_len, uint64_t to_dir, const char *to, size_t to_len, unsigned flags,
		const struct timespec *now, uint64_t *out_ino, uint32_t *out_left)
{
	const struct rename r = {
		.from = { .dir = from_dir, .name = from, .len = from_len },
		.to = { .dir = to_dir, .name = to, .len = to_len },
		.flags = flags,
		.now = *now,
	};
	struct chg c = chg_make(fs, root);

	return chg_rename(&c, &r, out_ino, out_left);
}

int file_setattr(struct fs *fs, const struct root *root, uint64_t ino, unsigned set,
		 const struct ino_attr *attr, struct ino_attr *out_attr)
{
	struct chg c = chg_make(fs, root);

	return chg_setattr(&c, ino, set, attr, out_attr);
}

int file_truncate(struct fs *fs, const struct root *root, uint64_t ino, uint64_t size,
		  const struct timespec *now, struct ino_attr *out_attr)
{
	struct chg c = chg_make(fs, root);

	return chg_truncate(&c, ino, size, now, out_attr);
}

int file_write_inline(struct fs *fs, const struct root *root, uint64_t ino, uint64_t off,
		      const void *buf, size_t len, const struct timespec *now,
		      struct ino_attr *out_attr)
{
	struct chg c = chg_make(fs, root);

	return chg_write_inline(&c, ino, off, buf, len, now, out_attr);
}

int file_setxattr(struct fs *fs, const struct root *root, uint64_t ino, const char *name,
		  size_t len, const void *value, size_t size, int flags, const struct timespec *now)
{
	const struct ino_xattr x = { name, len, value ? value : "", size };
	struct chg c = chg_make(fs, root);

	return chg_setxattr(&c, ino, &x, flags, now);
}

int file_removexattr(struct fs *fs, const struct root *root, uint64_t ino, const char *name,
		     size_t len, const struct timespec *now)
{
	const struct ino_xattr x = { name, len, NULL, 0 };
	struct chg c = chg_make(fs, root);

	return chg_setxattr(&c, ino, &x, 0, now);
}

int file_evict(struct fs *fs, const struct root *root, uint64_t ino)
{
	struct chg c = chg_make(fs, root);

	return chg_evict(&c, ino);
}

int file_orphans(struct fs *fs, const struct root *root)
{
	struct chg c = chg_make(fs, root);

	return chg_orphans(&c);
}
