// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ubtrfs-age: subvolumes and snapshots, and the storms: hundreds of links, names or xattrs in one
 * go, which fill items and leaves to their limits.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>
#include "tests/lib/age_priv.h"

#define FIRST_INODE 256 /* of every subvolume: its root directory */

static int open_dir(struct age *a, const struct age_node *n)
{
	char buf[AGE_PATH_MAX];
	const char *path = age_path(n, buf);
	const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return age_ok(a, fd, path, 0, 0) ? fd : -1;
}

/* A random subvolume, the top one included; read-only ones only if asked for. */
static struct age_node *pick_subvol(struct age *a, bool readonly_too)
{
	for (int tries = 0; tries < 200; tries++) {
		struct age_node *n = a->kinds[AGE_DIR].v[age_rnd(a, a->kinds[AGE_DIR].nr)];

		if ((n->subvol || n == a->root) && (readonly_too || age_writable(n)))
			return n;
	}
	return a->root;
}

static struct age_node *add_subvol(struct age *a, struct age_node *dir, const char *name)
{
	struct age_node *n = age_add(a, dir, AGE_DIR, name);

	n->subvol = true;
	a->subvols++;
	return n;
}

static void op_subvol_create(struct age *a)
{
	struct btrfs_ioctl_vol_args args = { 0 };
	struct age_node *dir = age_pick(a, AGE_DIR);
	char name[256];
	int fd;

	if (!dir || a->subvols >= AGE_SUBVOLS_MAX)
		return;
	fd = open_dir(a, dir);
	if (fd < 0)
		return;
	strcpy(args.name, age_name(a, name));
	if (age_ok(a, ioctl(fd, BTRFS_IOC_SUBVOL_CREATE, &args), name, 0, 0))
		add_subvol(a, dir, name);
	close(fd);
}

static void take_snapshot(struct age *a, struct age_node *src, struct age_node *dir)
{
	struct btrfs_ioctl_vol_args_v2 args = { 0 };
	const bool readonly = age_rnd(a, 2);
	int from = open_dir(a, src), to = from < 0 ? -1 : open_dir(a, dir);
	struct age_node *n;
	char name[256];

	if (to < 0)
		goto out;
	args.fd = from;
	args.flags = readonly ? BTRFS_SUBVOL_RDONLY : 0;
	strcpy(args.name, age_name(a, name));
	if (!age_ok(a, ioctl(to, BTRFS_IOC_SNAP_CREATE_V2, &args), name, 0, 0))
		goto out;
	n = add_subvol(a, dir, name);
	age_clone_children(a, src, n);
	n->readonly = readonly;
out:
	if (to >= 0)
		close(to);
	if (from >= 0)
		close(from);
}

static void op_snapshot(struct age *a)
{
	struct age_node *src = pick_subvol(a, true), *dir = age_pick(a, AGE_DIR);

	if (dir && a->subvols < AGE_SUBVOLS_MAX && age_fits(src, dir))
		take_snapshot(a, src, dir);
}

/* A file that is open but has no name any more stays behind in a snapshot as an orphan. */
static void op_orphan(struct age *a)
{
	struct age_node *src = pick_subvol(a, false);
	char path[AGE_PATH_MAX], buf[AGE_PATH_MAX];
	int fd;

	if (a->subvols >= AGE_SUBVOLS_MAX || !age_fits(src, a->root->child))
		return;
	snprintf(path, sizeof(path), "%s/orphan", age_path(src, buf));
	fd = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
	if (!age_ok(a, fd, path, 0, 0))
		return;
	age_fill(a, 100000);
	age_ok(a, pwrite(fd, a->buf, 100000, 0), path, 0, 0);
	age_ok(a, unlink(path), path, 0, 0);
	take_snapshot(a, src, a->root);
	close(fd);
}

static void op_subvol_delete(struct age *a)
{
	struct btrfs_ioctl_vol_args args = { 0 };
	struct age_node *n = pick_subvol(a, true);
	int fd;

	if (n == a->root || !age_writable(n->parent))
		return;
	fd = open_dir(a, n->parent);
	if (fd < 0)
		return;
	strcpy(args.name, n->name);
	/* With another subvolume inside it stays; so does the default one. */
	if (age_ok(a, ioctl(fd, BTRFS_IOC_SNAP_DESTROY, &args), n->name, ENOTEMPTY, EPERM))
		age_remove(a, n);
	close(fd);
}

void age_set_default_subvol(struct age *a)
{
	struct btrfs_ioctl_ino_lookup_args lookup = { .objectid = FIRST_INODE };
	struct age_node *n = NULL;
	uint64_t id;
	int fd;

	/* The one with the most in it, so that a mount of it is worth comparing. */
	for (unsigned i = 0; i < a->kinds[AGE_DIR].nr; i++) {
		struct age_node *d = a->kinds[AGE_DIR].v[i];

		if (d->subvol && (!n || d->children > n->children))
			n = d;
	}
	fd = n ? open_dir(a, n) : -1;
	if (fd < 0)
		return;
	if (age_ok(a, ioctl(fd, BTRFS_IOC_INO_LOOKUP, &lookup), n->name, 0, 0)) {
		id = lookup.treeid;
		age_ok(a, ioctl(fd, BTRFS_IOC_DEFAULT_SUBVOL, &id), n->name, 0, 0);
	}
	close(fd);
}

/* One storm in so many operations, and the first ones early. */
static bool storm_due(struct age *a)
{
	if (a->storms > a->op / 100)
		return false;
	a->storms++;
	return true;
}

/*
 * More names of one inode in one directory than an item holds, so that the rest become extended
 * references; two of them with one hash, which share an item.
 */
static void op_link_storm(struct age *a)
{
	struct age_node *dir, *n;
	char name[256], two[256], from[AGE_PATH_MAX], to[AGE_PATH_MAX];
	const char *path;

	if (!storm_due(a))
		return;
	n = age_create_file(a);
	if (!n)
		return;
	dir = n->parent;
	path = age_path(n, from);
	for (unsigned i = 0; i < 322; i++) {
		int len = snprintf(name, sizeof(name), "link-%lu-", a->serial++);

		memset(name + len, 'l', 250 - len);
		name[210 + i % 40] = 0;
		if (i == 320)
			age_colliding_names(a, "link", name, two);
		else if (i == 321)
			strcpy(name, two);
		if (!age_ok(a, link(path, age_child_path(dir, name, to)), path, EMLINK, 0))
			return;
		age_add(a, dir, AGE_FILE, name)->nocow = n->nocow;
	}
}

/* A directory of several leaves, with a few pairs of names that share an item. */
static void op_name_storm(struct age *a)
{
	struct age_node *dir = age_pick(a, AGE_DIR);
	char names[2][256], buf[AGE_PATH_MAX];

	if (!dir || !storm_due(a))
		return;
	for (unsigned i = 0; i < 150; i++) {
		age_colliding_names(a, "n", names[0], names[1]);
		for (int k = 0; k < 2; k++) {
			const char *path = age_child_path(dir, names[k], buf);
			const int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);

			if (!age_ok(a, fd, path, 0, 0))
				return;
			age_add(a, dir, AGE_FILE, names[k])->nocow = dir->nocow;
			close(fd);
			/* Every eighth pair loses one again. */
			if (k && i % 8 == 7) {
				age_ok(a, unlink(path), path, 0, 0);
				age_remove(a, dir->child);
			}
		}
	}
}

/* More xattrs than a leaf holds, in pairs that share an item. */
static void op_xattr_storm(struct age *a)
{
	struct age_node *n = age_pick(a, age_rnd(a, 3) ? AGE_FILE : AGE_DIR);
	char names[2][256], buf[AGE_PATH_MAX];
	const char *path;

	if (!n || !storm_due(a))
		return;
	path = age_path(n, buf);
	for (unsigned i = 0; i < 50; i++) {
		age_colliding_names(a, "user.x", names[0], names[1]);
		for (int k = 0; k < 2; k++) {
			const size_t len = age_rnd(a, 1500);

			age_fill(a, len);
			age_ok(a, setxattr(path, names[k], a->buf, len, 0), path, E2BIG, EOVERFLOW);
		}
		if (i % 8 == 7)
			age_ok(a, removexattr(path, names[i & 1]), path, ENODATA, 0);
	}
}

const struct age_op age_storm_ops[] = {
	{ "link-storm", 3, AGE_STORM, op_link_storm },
	{ "name-storm", 3, AGE_STORM, op_name_storm },
	{ "xattr-storm", 4, AGE_STORM | AGE_XATTR, op_xattr_storm },
	{ 0 },
};

const struct age_op age_subvol_ops[] = {
	{ "subvol-create", 10, AGE_SUBVOL, op_subvol_create },
	{ "snapshot", 12, AGE_SUBVOL, op_snapshot },
	{ "orphan", 3, AGE_SUBVOL, op_orphan },
	{ "subvol-delete", 7, AGE_SUBVOL, op_subvol_delete },
	{ 0 },
};
