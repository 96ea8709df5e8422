// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Renaming.
 *
 * That no directory comes to lie below itself is seen to here: directories change their parents
 * only under the rename lock, so that an ancestor's walk sees one state of the tree.
 */
#include "engine/api/api_priv.h"

#include "engine/file/change.h"
#include "engine/util/fault.h"

#include <linux/fs.h>
#include <string.h>
#include <sys/stat.h>

#define KNOWN_FLAGS ((unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT))

struct rename {
	struct api_name name[2]; /* from, to */
	unsigned flags;
	bool across; /* another directory */
	bool alone;  /* the rename lock is held */
};

static int check_flags(unsigned flags)
{
	if (flags & ~KNOWN_FLAGS)
		return -EINVAL;
	/* As renameat2(2) has it. */
	return flags & RENAME_EXCHANGE && flags & (RENAME_NOREPLACE | RENAME_WHITEOUT) ? -EINVAL
										       : 0;
}

/*
 * Is `ino` the directory `dir` or above it? 1, 0, -errno. A ring of parents, which only damage
 * makes, is met by a mark that moves on in ever longer steps.
 */
static int is_above(struct eng_fs *efs, const struct root *root, uint64_t ino, uint64_t dir)
{
	uint64_t mark = 0, steps = 0, limit = 2;
	char name[256];

	while (dir != root->root_dirid) {
		uint64_t parent;
		int err;

		if (dir == ino)
			return 1;
		if (dir == mark)
			return msg_corrupt(
				efs->fs.msg, "subvolume %llu directory %llu: is below itself",
				(unsigned long long)root->bt.id, (unsigned long long)dir);
		if (++steps == limit) {
			mark = dir;
			limit *= 2;
		}
		err = ino_parent(&efs->fs, root, dir, &parent, name);
		if (err)
			return err;
		dir = parent;
	}
	return dir == ino;
}

static bool is_dir(const struct api_name *n)
{
	return n->found && !n->target.is_subvol && n->target.type == BTRFS_FT_DIR;
}

/* Does a directory get another parent? */
static bool moves_dir(const struct rename *r)
{
	return r->across &&
	       (is_dir(&r->name[0]) || (r->flags & RENAME_EXCHANGE && is_dir(&r->name[1])));
}

static int check_loops(struct eng_fs *efs, const struct root *root, const struct rename *r)
{
	int ret = 0;

	if (!r->across || PLANTED("api_no_loop_check"))
		return 0;
	if (is_dir(&r->name[0]))
		ret = is_above(efs, root, r->name[0].target.id, r->name[1].dir.ino);
	if (!ret && r->flags & RENAME_EXCHANGE && is_dir(&r->name[1]))
		ret = is_above(efs, root, r->name[1].target.id, r->name[0].dir.ino);
	return ret > 0 ? -EINVAL : ret;
}

/* An inode that loses its name, or gets another. */
static int check_inode(struct eng_fs *efs, const struct root *root, const struct api_name *n)
{
	struct ino_attr attr;
	int err;

	if (!n->found)
		return 0;
	/* Moving what a subvolume's own items say of its place is not done here. */
	if (n->target.is_subvol)
		return -EPERM;
	err = ino_load(&efs->fs, root, n->target.id, &attr);
	if (err)
		return err;
	return attr.flags & (BTRFS_INODE_IMMUTABLE | BTRFS_INODE_APPEND) ? -EPERM : 0;
}

static int check(struct eng_fs *efs, const struct root *root, const struct rename *r)
{
	const struct api_name *from = &r->name[0], *to = &r->name[1];
	struct ino_attr attr;
	int err;

	if (!from->found || (r->flags & RENAME_EXCHANGE && !to->found))
		return -ENOENT;
	if (r->flags & RENAME_NOREPLACE && to->found)
		return -EEXIST;
	err = api_check_dir(efs, root, from->dir.ino, true, &attr);
	if (!err)
		err = api_check_dir(efs, root, to->dir.ino, to->found, &attr);
	if (!err)
		err = check_inode(efs, root, from);
	if (!err)
		err = check_inode(efs, root, to);
	return err ? err : check_loops(efs, root, r);
}

/* Everything but the rename lock. -EAGAIN: it has to be held. */
static int rename_once(struct eng_fs *efs, const struct root *root, struct rename *r)
{
	struct api_name *from = &r->name[0], *to = &r->name[1];
	const struct timespec now = api_now();
	struct ilock_set set;
	uint64_t ino = 0;
	uint32_t left = 0;
	int err = api_lock_names(efs, root, r->name, 2, &set);

	if (err)
		return err;
	if (moves_dir(r) && !r->alone)
		err = -EAGAIN;
	if (!err)
		err = check(efs, root, r);
	/* Two names of one inode: nothing is to be done, as POSIX has it. */
	if (!err && to->found && from->target.id == to->target.id && !(r->flags & RENAME_EXCHANGE))
		goto out;
	if (!err)
		err = file_rename(&efs->fs, root, from->dir.ino, from->name, from->len, to->dir.ino,
				  to->name, to->len, r->flags, &now, &ino, &left);
	if (!err && ino && !left) {
		ilock_set_drop(&set, from->dir);
		ilock_set_drop(&set, to->dir);
		api_left(efs, root, ino);
	}
out:
	ilock_set_release(&set);
	return err;
}

int eng_rename(struct eng_fs *efs, struct eng_ino from_dir, const char *from, size_t from_len,
	       struct eng_ino to_dir, const char *to, size_t to_len, unsigned flags)
{
	struct rename r = {
		.name = { { .dir = from_dir, .name = from, .len = from_len },
			  { .dir = to_dir, .name = to, .len = to_len } },
		.flags = flags,
		.across = from_dir.ino != to_dir.ino,
	};
	const struct root *root;
	int err = check_flags(flags);

	if (!err)
		err = api_check_name(from, from_len);
	if (!err)
		err = api_check_name(to, to_len);
	if (!err && from_dir.subvol != to_dir.subvol)
		err = efs->rw ? -EXDEV : -EROFS;
	if (!err && to_dir.ino == ENG_STUB_INO)
		err = -EPERM;
	if (!err)
		err = api_may_change(efs, from_dir, &root);
	if (err)
		return err;
	err = rename_once(efs, root, &r);
	if (err != -EAGAIN)
		return err;
	r.alone = true;
	pthread_mutex_lock(&efs->rw->rename_lock);
	err = rename_once(efs, root, &r);
	pthread_mutex_unlock(&efs->rw->rename_lock);
	return err;
}
