// SPDX-License-Identifier: GPL-2.0-or-later
/* Subvolumes, inodes, names, attributes and symlinks, over a flat filesystem in memory. */
#include "tests/unit/flatfs.h"

#include "engine/util/fault.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <cmocka.h>

#define TOP BTRFS_FIRST_FREE_OBJECTID

static struct flatfs *make(void)
{
	struct flatfs *f = flatfs_create(4096, 4096, BTRFS_CSUM_TYPE_CRC32);

	f->max_items = 5;
	flat_inode(f, TOP, S_IFDIR | 0755, 0, 0);
	return f;
}

/* ---- roots ---- */

static void add_root(struct flatfs *f, uint64_t id, uint64_t offset, uint32_t refs, size_t size)
{
	struct btrfs_root_item item = {
		.generation = le64_make(50),
		.generation_v2 = le64_make(50),
		.root_dirid = le64_make(TOP),
		.bytenr = le64_make(1 << 20),
		.refs = le32_make(refs),
		.flags = le64_make(BTRFS_ROOT_SUBVOL_RDONLY),
		.ctransid = le64_make(id),
	};

	if (id == 301)
		item.generation_v2 = le64_make(49);
	flat_add(&f->root_items, id, BTRFS_ROOT_ITEM_KEY, offset, &item, size);
}

static void add_root_ref(struct flatfs *f, uint64_t parent, uint64_t child, const char *name)
{
	uint8_t buf[300];
	struct btrfs_root_ref ref = {
		.dirid = le64_make(TOP + child),
		.sequence = le64_make(2),
		.name_len = le16_make((uint16_t)strlen(name)),
	};

	memcpy(buf, &ref, sizeof(ref));
	memcpy(buf + sizeof(ref), name, strlen(name));
	flat_add(&f->root_items, parent, BTRFS_ROOT_REF_KEY, child, buf, sizeof(ref) + strlen(name));
	flat_add(&f->root_items, child, BTRFS_ROOT_BACKREF_KEY, parent, buf, sizeof(ref) + strlen(name));
}

static void test_roots(void **state)
{
	struct flatfs *f = make();
	const struct root *root, *again;
	struct root loaded;

	(void)state;
	add_root(f, 300, 0, 1, sizeof(struct btrfs_root_item));
	add_root(f, 301, 0, 1, sizeof(struct btrfs_root_item));
	add_root(f, 302, 0, 1, BTRFS_LEGACY_ROOT_ITEM_SIZE);
	add_root(f, 303, 0, 0, sizeof(struct btrfs_root_item));
	add_root(f, 304, 77, 1, sizeof(struct btrfs_root_item)); /* a snapshot */
	for (uint64_t id = 1000; id < 1500; id++)
		add_root(f, id, 0, 1, sizeof(struct btrfs_root_item));
	add_root_ref(f, 5, 300, "a name");
	flat_open(f, 0, 0);

	assert_int_equal(root_get(&f->fs, 300, &root), 0);
	assert_int_equal(root->bt.id, 300);
	assert_int_equal(root->bt.bytenr, 1 << 20);
	assert_int_equal(root->bt.generation, 50);
	assert_true(root->bt.any_owner);
	assert_int_equal(root->flags, BTRFS_ROOT_SUBVOL_RDONLY);
	assert_int_equal(le64_get(root->item.ctransid), 300);
	assert_int_equal(root_get(&f->fs, 300, &again), 0);
	assert_ptr_equal(root, again);
	/* Newer fields count only if the same kernel wrote both generations. */
	assert_int_equal(root_get(&f->fs, 301, &root), 0);
	assert_int_equal(le64_get(root->item.ctransid), 0);
	assert_int_equal(root_get(&f->fs, 302, &root), 0);
	assert_int_equal(le64_get(root->item.ctransid), 0);
	assert_int_equal(root_get(&f->fs, 303, &root), -ENOENT);
	assert_null(root);
	assert_int_equal(root_get(&f->fs, 304, &root), 0);
	assert_int_equal(root_get(&f->fs, 305, &root), -ENOENT);
	/* Global trees are no subvolumes, yet can be loaded. */
	assert_int_equal(root_get(&f->fs, BTRFS_CSUM_TREE_OBJECTID, &root), -ENOENT);
	assert_int_equal(root_load(&f->fs, 303, &loaded), 0);
	assert_int_equal(root_load(&f->fs, 4, &loaded), -ENOENT);

	assert_int_equal(root_get(&f->fs, 1000, &root), 0);
	for (uint64_t id = 1000; id < 1500; id++) {
		assert_int_equal(root_get(&f->fs, id, &again), 0);
		assert_int_equal(again->bt.id, id);
	}
	assert_int_equal(root_get(&f->fs, 1000, &again), 0);
	assert_ptr_equal(root, again);
	flatfs_destroy(f);
}

static void test_root_refs(void **state)
{
	struct flatfs *f = make();
	uint64_t parent, dir;
	char name[256], long_name[256];

	(void)state;
	memset(long_name, 'n', 255);
	long_name[255] = '\0';
	add_root_ref(f, 5, 300, "a name");
	add_root_ref(f, 300, 310, long_name);
	flat_open(f, 0, 0);
	assert_int_equal(root_backref(&f->fs, 300, &parent, &dir, name), 0);
	assert_int_equal(parent, 5);
	assert_int_equal(dir, TOP + 300);
	assert_string_equal(name, "a name");
	assert_int_equal(root_backref(&f->fs, 310, &parent, &dir, name), 0);
	assert_int_equal(parent, 300);
	assert_string_equal(name, long_name);
	assert_int_equal(root_backref(&f->fs, 5, &parent, &dir, name), -ENOENT);
	assert_string_equal(name, "");
	assert_int_equal(root_is_at(&f->fs, 5, 300, TOP + 300, "a name", 6), 1);
	assert_int_equal(root_is_at(&f->fs, 5, 310, TOP + 310, long_name, 255), 0);
	assert_int_equal(root_is_at(&f->fs, 300, 310, TOP + 310, long_name, 255), 1);
	/* Stubs in a snapshot that the subvolume was moved into under another name. */
	assert_int_equal(root_is_at(&f->fs, 5, 300, TOP + 300, "a nama", 6), 0);
	assert_int_equal(root_is_at(&f->fs, 5, 300, TOP + 300, "a name2", 7), 0);
	assert_int_equal(root_is_at(&f->fs, 5, 300, TOP + 301, "a name", 6), 0);
	flatfs_destroy(f);
}

/* ---- inodes ---- */

static void test_inode(void **state)
{
	struct flatfs *f = make();
	const struct root *root;
	struct ino_attr attr;

	(void)state;
	flat_inode(f, 300, S_IFCHR | 0640, 10000,
		   BTRFS_INODE_NODATASUM | (uint64_t)BTRFS_INODE_RO_VERITY << BTRFS_INODE_RO_SHIFT);
	flat_inode(f, 301, S_IFREG | 0640, 1ull << 63, 0);
	flat_inode(f, 302, S_IFREG | 0640, INT64_MAX, 0);
	root = flat_open(f, 0, 0);
	assert_int_equal(ino_load(&f->fs, root, 300, &attr), 0);
	assert_int_equal(attr.ino, 300);
	assert_int_equal(attr.size, 10000);
	assert_int_equal(attr.nbytes, 5000);
	assert_int_equal(attr.generation, 7);
	assert_int_equal(attr.transid, 9);
	assert_int_equal(attr.mode, S_IFCHR | 0640);
	assert_int_equal(attr.uid, 1000);
	assert_int_equal(attr.gid, 1001);
	assert_int_equal(attr.nlink, 1);
	assert_int_equal(attr.flags, BTRFS_INODE_NODATASUM);
	assert_int_equal(attr.ro_flags, BTRFS_INODE_RO_VERITY);
	assert_int_equal(attr.rdev, makedev(8, 300));
	assert_int_equal(attr.atime.tv_sec, 11);
	assert_int_equal(attr.atime.tv_nsec, 12);
	assert_int_equal(attr.ctime.tv_sec, -21);
	assert_int_equal(attr.mtime.tv_nsec, 999999999);
	assert_int_equal(attr.otime.tv_sec, 41);
	assert_int_equal(ino_load(&f->fs, root, 302, &attr), 0);
	assert_int_equal(f->v.errors, 0);
	assert_int_equal(ino_load(&f->fs, root, 301, &attr), -EUCLEAN);
	assert_non_null(strstr(f->v.last, "inode 301: size 9223372036854775808"));
	assert_int_equal(ino_load(&f->fs, root, 303, &attr), -ENOENT);
	flatfs_destroy(f);
}

struct heard_ref {
	unsigned nr;
	uint64_t parents;
	char names[2000];
};

static int hear_ref(void *arg, uint64_t parent, const char *name, size_t len)
{
	struct heard_ref *h = arg;

	h->nr++;
	h->parents += parent;
	strncat(h->names, name, len);
	strcat(h->names, ",");
	return h->nr == 100;
}

static void add_ref(struct flatfs *f, uint64_t ino, uint64_t parent, const char *name)
{
	uint8_t buf[300];
	struct btrfs_inode_ref ref = { le64_make(3), le16_make((uint16_t)strlen(name)) };

	memcpy(buf, &ref, sizeof(ref));
	memcpy(buf + sizeof(ref), name, strlen(name));
	flat_append(&f->file_items, ino, BTRFS_INODE_REF_KEY, parent, buf, sizeof(ref) + strlen(name));
}

static void add_extref(struct flatfs *f, uint64_t ino, uint64_t parent, const char *name)
{
	uint8_t buf[300];
	struct btrfs_inode_extref ref = { le64_make(parent), le64_make(3),
					  le16_make((uint16_t)strlen(name)) };

	memcpy(buf, &ref, sizeof(ref));
	memcpy(buf + sizeof(ref), name, strlen(name));
	flat_append(&f->file_items, ino, BTRFS_INODE_EXTREF_KEY,
		    btrfs_extref_hash(parent, name, strlen(name)), buf, sizeof(ref) + strlen(name));
}

static void test_refs(void **state)
{
	struct flatfs *f = make();
	const struct root *root;
	struct heard_ref h = { 0 };
	uint64_t parent;
	char name[256], many[16];

	(void)state;
	flat_inode(f, 300, S_IFREG | 0600, 0, 0);
	add_ref(f, 300, TOP, "one");
	add_ref(f, 300, TOP, "two");
	add_ref(f, 300, TOP + 1, "three");
	add_extref(f, 300, TOP + 2, "four");
	flat_inode(f, 301, S_IFREG | 0600, 0, 0);
	for (int i = 0; i < 150; i++) {
		snprintf(many, sizeof(many), "x%d", i);
		add_extref(f, 301, 1000, many);
	}
	flat_inode(f, 302, S_IFREG | 0600, 0, 0);
	root = flat_open(f, 0, 0);
	assert_int_equal(ino_refs(&f->fs, root, 300, hear_ref, &h), 0);
	assert_int_equal(h.nr, 4);
	assert_string_equal(h.names, "one,two,three,four,");
	assert_int_equal(h.parents, 4 * TOP + 3);
	assert_int_equal(ino_parent(&f->fs, root, 300, &parent, name), 0);
	assert_int_equal(parent, TOP);
	assert_string_equal(name, "one");
	memset(&h, 0, sizeof(h));
	assert_int_equal(ino_refs(&f->fs, root, 301, hear_ref, &h), 1);
	assert_int_equal(h.nr, 100);
	assert_int_equal(ino_parent(&f->fs, root, 301, &parent, name), 0);
	assert_int_equal(parent, 1000);
	assert_int_equal(ino_parent(&f->fs, root, 302, &parent, name), -ENOENT);
	assert_int_equal(ino_parent(&f->fs, root, 999, &parent, name), -ENOENT);
	flatfs_destroy(f);
}

/* ---- directories ---- */

struct heard_dir {
	unsigned nr, stop;
	uint64_t last, sum;
};

static int hear_entry(void *arg, uint64_t index, const char *name, size_t len,
		      const struct dir_target *target)
{
	struct heard_dir *h = arg;
	char want[32];

	assert_true(!h->nr || index > h->last);
	snprintf(want, sizeof(want), "entry%llu", (unsigned long long)index);
	assert_int_equal(len, strlen(want));
	assert_memory_equal(name, want, len);
	assert_int_equal(target->id, 1000 + index);
	assert_int_equal(target->is_subvol, index % 7 == 0);
	h->last = index;
	h->sum += index;
	return ++h->nr == h->stop ? 42 : 0;
}

static void test_dir(void **state)
{
	enum { NR = 3000 };
	struct flatfs *f = make();
	const struct root *root;
	struct dir_target t;
	struct heard_dir h = { 0 };
	char name[32];

	(void)state;
	f->max_items = 0;
	flat_inode(f, 300, S_IFDIR | 0755, 0, 0);
	for (uint64_t i = 2; i < NR + 2; i++) {
		struct btrfs_key to = { 1000 + i, i % 7 ? BTRFS_INODE_ITEM_KEY : BTRFS_ROOT_ITEM_KEY,
					i % 7 ? 0 : UINT64_MAX };

		snprintf(name, sizeof(name), "entry%llu", (unsigned long long)i);
		flat_entry(f, 300, i, name, strlen(name), &to,
			   i % 7 ? BTRFS_FT_REG_FILE | (i % 5 ? 0 : BTRFS_FT_ENCRYPTED) : BTRFS_FT_DIR);
	}
	flat_inode(f, 301, S_IFDIR | 0755, 0, 0);
	root = flat_open(f, 0, 0);
	for (uint64_t i = 2; i < NR + 2; i++) {
		snprintf(name, sizeof(name), "entry%llu", (unsigned long long)i);
		assert_int_equal(dir_lookup(&f->fs, root, 300, name, strlen(name), &t), 0);
		assert_int_equal(t.id, 1000 + i);
		assert_int_equal(t.is_subvol, i % 7 == 0);
		assert_int_equal(t.type, i % 7 ? BTRFS_FT_REG_FILE : BTRFS_FT_DIR);
	}
	assert_int_equal(dir_lookup(&f->fs, root, 300, "entry1", 6, &t), -ENOENT);
	assert_int_equal(dir_lookup(&f->fs, root, 301, "entry2", 6, &t), -ENOENT);
	assert_int_equal(dir_iterate(&f->fs, root, 300, 0, hear_entry, &h), 0);
	assert_int_equal(h.nr, NR);
	assert_int_equal(h.sum, (NR + 3) * NR / 2);
	memset(&h, 0, sizeof(h));
	assert_int_equal(dir_iterate(&f->fs, root, 300, NR, hear_entry, &h), 0);
	assert_int_equal(h.nr, 2);
	memset(&h, 0, sizeof(h));
	h.stop = 10;
	assert_int_equal(dir_iterate(&f->fs, root, 300, 100, hear_entry, &h), 42);
	assert_int_equal(h.last, 109);
	memset(&h, 0, sizeof(h));
	assert_int_equal(dir_iterate(&f->fs, root, 301, 0, hear_entry, &h), 0);
	assert_int_equal(h.nr, 0);
	assert_int_equal(f->v.errors, 0);
	flatfs_destroy(f);
}

static void test_dir_collision(void **state)
{
	struct flatfs *f = make();
	const struct btrfs_key to_a = { 1001, BTRFS_INODE_ITEM_KEY, 0 },
			       to_b = { 1002, BTRFS_INODE_ITEM_KEY, 0 };
	const struct root *root;
	struct dir_target t;
	char a[17], b[17], value[8];

	(void)state;
	flat_colliding_names(a, b);
	assert_string_not_equal(a, b);
	flat_entry(f, TOP, 2, a, 16, &to_a, BTRFS_FT_REG_FILE);
	flat_entry(f, TOP, 3, b, 16, &to_b, BTRFS_FT_REG_FILE);
	flat_xattr(f, TOP, a, "A", 1);
	flat_xattr(f, TOP, b, "BB", 2);
	root = flat_open(f, 0, 0);
	assert_int_equal(dir_lookup(&f->fs, root, TOP, a, 16, &t), 0);
	assert_int_equal(t.id, 1001);
	assert_int_equal(dir_lookup(&f->fs, root, TOP, b, 16, &t), 0);
	assert_int_equal(t.id, 1002);
	assert_int_equal(xattr_get(&f->fs, root, TOP, a, 16, value, sizeof(value)), 1);
	assert_int_equal(value[0], 'A');
	assert_int_equal(xattr_get(&f->fs, root, TOP, b, 16, value, sizeof(value)), 2);
	assert_memory_equal(value, "BB", 2);
	flatfs_destroy(f);
}

/* An entry that points to nothing passes the checks, and must not become a file. */
static void test_dir_bad_target(void **state)
{
	struct flatfs *f = make();
	const struct btrfs_key to = { 1001, 0, 0 };
	const struct root *root;
	struct dir_target t;
	struct heard_dir h = { 0 };

	(void)state;
	flat_entry(f, TOP, 2, "odd", 3, &to, BTRFS_FT_REG_FILE);
	root = flat_open(f, 0, 0);
	assert_int_equal(dir_lookup(&f->fs, root, TOP, "odd", 3, &t), -EUCLEAN);
	assert_int_equal(dir_iterate(&f->fs, root, TOP, 0, hear_entry, &h), -EUCLEAN);
	flatfs_destroy(f);
}

/* ---- attributes ---- */

static int hear_xattr(void *arg, const char *name, size_t name_len, const void *value, size_t value_len)
{
	char *all = arg;

	strncat(all, name, name_len);
	strcat(all, "=");
	strncat(all, value, value_len);
	strcat(all, ";");
	return 0;
}

static void test_xattr(void **state)
{
	struct flatfs *f = make();
	const struct root *root;
	char all[500] = "", value[2000], big[1500];

	(void)state;
	memset(big, 'b', sizeof(big));
	flat_inode(f, 300, S_IFREG | 0600, 0, 0);
	flat_xattr(f, 300, "user.one", "1", 1);
	flat_xattr(f, 300, "user.empty", "", 0);
	flat_inode(f, 301, S_IFREG | 0600, 0, 0);
	flat_xattr(f, 301, "user.big", big, sizeof(big));
	flat_inode(f, 302, S_IFREG | 0600, 0, 0);
	root = flat_open(f, 0, 0);
	assert_int_equal(xattr_iterate(&f->fs, root, 300, hear_xattr, all), 0);
	assert_non_null(strstr(all, "user.one=1;"));
	assert_non_null(strstr(all, "user.empty=;"));
	assert_int_equal(strlen(all), 11 + 12);
	assert_int_equal(xattr_get(&f->fs, root, 300, "user.one", 8, NULL, 0), 1);
	assert_int_equal(xattr_get(&f->fs, root, 300, "user.empty", 10, value, 5), 0);
	assert_int_equal(xattr_get(&f->fs, root, 300, "user.two", 8, NULL, 0), -ENODATA);
	assert_int_equal(xattr_get(&f->fs, root, 302, "user.one", 8, NULL, 0), -ENODATA);
	assert_int_equal(xattr_get(&f->fs, root, 301, "user.big", 8, value, 1499), -ERANGE);
	assert_int_equal(xattr_get(&f->fs, root, 301, "user.big", 8, value, 1500), 1500);
	assert_memory_equal(value, big, 1500);
	flatfs_destroy(f);
}

/* ---- symlinks ---- */

static void test_symlink(void **state)
{
	struct flatfs *f = flatfs_create(16384, 4096, BTRFS_CSUM_TYPE_CRC32);
	const struct root *root;
	char buf[5000], longest[4095];
	uint64_t data;

	(void)state;
	memset(longest, 't', sizeof(longest));
	flat_inode(f, TOP, S_IFDIR | 0755, 0, 0);
	flat_inode(f, 300, S_IFLNK | 0777, 6, 0);
	flat_inline(f, 300, 0, 6, "target", 6);
	flat_inode(f, 301, S_IFLNK | 0777, sizeof(longest), 0);
	flat_inline(f, 301, 0, sizeof(longest), longest, sizeof(longest));
	flat_inode(f, 302, S_IFLNK | 0777, 7, 0); /* the NUL counted, as by old tools */
	flat_inline(f, 302, 0, 7, "target", 7);
	flat_inode(f, 303, S_IFLNK | 0777, 9, 0); /* longer than what is there */
	flat_inline(f, 303, 0, 6, "target", 6);
	flat_inode(f, 304, S_IFLNK | 0777, 6, 0); /* nothing there */
	flat_inode(f, 305, S_IFLNK | 0777, 1ull << 40, 0);
	flat_inline(f, 305, 0, 6, "target", 6);
	flat_inode(f, 306, S_IFLNK | 0777, 6, 0);
	data = flat_data(f, "target", 6, 0);
	flat_extent(f, 306, 0, BTRFS_FILE_EXTENT_REG, 0, data, 4096, 0, 4096, 4096);
	flat_inode(f, 307, S_IFLNK | 0777, 0, 0);
	root = flat_open(f, 0, 0);
	assert_int_equal(symlink_read(&f->fs, root, 300, buf, sizeof(buf)), 6);
	assert_memory_equal(buf, "target", 6);
	assert_int_equal(symlink_read(&f->fs, root, 300, buf, 6), 6);
	assert_int_equal(symlink_read(&f->fs, root, 300, buf, 5), -ERANGE);
	assert_int_equal(symlink_read(&f->fs, root, 301, buf, sizeof(buf)), 4095);
	assert_memory_equal(buf, longest, 4095);
	assert_int_equal(symlink_read(&f->fs, root, 302, buf, sizeof(buf)), 6);
	assert_int_equal(f->v.errors, 0);
	for (uint64_t ino = 303; ino <= 307; ino++)
		assert_int_equal(symlink_read(&f->fs, root, ino, buf, sizeof(buf)), -EUCLEAN);
	assert_int_equal(f->v.errors, 5);
	assert_int_equal(symlink_read(&f->fs, root, TOP, buf, sizeof(buf)), -EINVAL);
	assert_int_equal(symlink_read(&f->fs, root, 999, buf, sizeof(buf)), -ENOENT);
	flatfs_destroy(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_roots),	      cmocka_unit_test(test_root_refs),
		cmocka_unit_test(test_inode),	      cmocka_unit_test(test_refs),
		cmocka_unit_test(test_dir),	      cmocka_unit_test(test_dir_collision),
		cmocka_unit_test(test_dir_bad_target), cmocka_unit_test(test_xattr),
		cmocka_unit_test(test_symlink),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
