// SPDX-License-Identifier: GPL-2.0-or-later
/* The shadow of a tree that sweeps compare with: that no difference a user could see goes unseen.
 */
#include "tests/lib/blk.h"
#include "tests/lib/shadow.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>

static struct shadow_node *add(struct shadow *s, struct shadow_node *dir, const char *name,
			       uint32_t mode)
{
	struct shadow_node *n = shadow_new(s, mode);

	shadow_add(dir, name, n);
	return n;
}

/* Two directories, two files that differ in what they hold, two names of one file, a symlink. */
static struct shadow *make(void)
{
	struct shadow *s = blk_must(calloc(1, sizeof(*s)));
	struct shadow_node *dir, *n;

	s->top = shadow_new(s, S_IFDIR | 0755);
	s->top->names = 1;
	dir = add(s, s->top, "dir", S_IFDIR | 0700);
	add(s, dir, "inner", S_IFDIR | 0700);
	shadow_write(add(s, dir, "one", S_IFREG | 0644), 3, "abc", 3);
	shadow_write(add(s, dir, "two", S_IFREG | 0644), 0, "abcabc", 6);
	n = add(s, s->top, "hard", S_IFREG | 0600);
	shadow_truncate(n, 100);
	n->nlink = 2;
	shadow_add(dir, "hard", n);
	shadow_set_xattr(n, "user.x", "value", 5);
	shadow_set_xattr(n, "user.a", "", 0);
	n = add(s, s->top, "link", S_IFLNK | 0777);
	n->target = blk_must(strdup("dir/one"));
	n->size = 7;
	return s;
}

static struct shadow_node *at(struct shadow *s, const char *dir, const char *name)
{
	struct shadow_node *d = dir ? shadow_find(s->top, dir)->node : s->top;

	return shadow_find(d, name)->node;
}

static void change_mode(struct shadow *s)
{
	at(s, "dir", "one")->mode ^= 1;
}

static void change_owner(struct shadow *s)
{
	at(s, NULL, "dir")->gid = 4;
}

static void change_byte(struct shadow *s)
{
	shadow_write(at(s, "dir", "two"), 2, "x", 1);
}

static void change_size(struct shadow *s)
{
	shadow_truncate(at(s, NULL, "hard"), 101);
}

static void change_value(struct shadow *s)
{
	shadow_set_xattr(at(s, NULL, "hard"), "user.x", "Value", 5);
}

static void less_xattrs(struct shadow *s)
{
	assert_true(shadow_del_xattr(at(s, "dir", "hard"), "user.a"));
	assert_false(shadow_del_xattr(at(s, "dir", "hard"), "user.a"));
}

static void change_target(struct shadow *s)
{
	at(s, NULL, "link")->target[0] = 'D';
}

static void rename_file(struct shadow *s)
{
	struct shadow_node *dir = at(s, NULL, "dir");

	shadow_add(dir, "once", shadow_take(dir, "one"));
}

static void move_dir(struct shadow *s)
{
	shadow_add(s->top, "inner", shadow_take(at(s, NULL, "dir"), "inner"));
}

static void remove_name(struct shadow *s)
{
	shadow_remove(s, s->top, "hard");
}

static void remove_dir(struct shadow *s)
{
	shadow_remove(s, at(s, NULL, "dir"), "inner");
}

/* Names, sizes and link counts stay; what they lead to does not. */
static void unlike_links(struct shadow *s)
{
	struct shadow_node *dir = at(s, NULL, "dir"), *n = shadow_new(s, S_IFREG | 0600);

	shadow_truncate(n, 100);
	shadow_set_xattr(n, "user.x", "value", 5);
	shadow_set_xattr(n, "user.a", "", 0);
	shadow_take(dir, "hard");
	shadow_add(dir, "hard", n);
	n->nlink = 2;
}

static void (*const changes[])(struct shadow *s) = {
	change_mode,   change_owner, change_byte, change_size, change_value, less_xattrs,
	change_target, rename_file,  move_dir,	  remove_name, remove_dir,   unlike_links,
};

static void test_differences(void **state)
{
	struct shadow *a = make();
	FILE *nowhere = fopen("/dev/null", "w");

	assert_non_null(nowhere);
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		struct shadow *b = shadow_copy(a);

		assert_true(shadow_hash(a) == shadow_hash(b));
		assert_int_equal(shadow_diff(a, b, 5, nowhere), 0);
		changes[i](b);
		if (shadow_hash(a) == shadow_hash(b))
			fail_msg("change %zu is not seen", i);
		/* In words links are not told apart; that their numbers differ is enough. */
		if (changes[i] != unlike_links)
			assert_int_not_equal(shadow_diff(a, b, 5, nowhere), 0);
		shadow_free(b);
	}
	fclose(nowhere);
	shadow_free(a);
}

/* A number is the tree's, not its history's. */
static void test_back_again(void **state)
{
	struct shadow *a = make();
	uint64_t before = shadow_hash(a);
	struct shadow_node *dir = at(a, NULL, "dir");
	unsigned nodes = a->nr_nodes;

	for (char name[] = "a"; name[0] <= 'z'; name[0]++)
		add(a, dir, name, S_IFREG | 0644);
	assert_true(shadow_hash(a) != before);
	for (char name[] = "z"; name[0] >= 'a'; name[0]--)
		shadow_remove(a, dir, name);
	assert_true(shadow_hash(a) == before);
	assert_true(shadow_hash(a) == before);
	assert_int_equal(a->nr_nodes, nodes);
	assert_null(shadow_find(dir, "q"));
	shadow_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_differences),
		cmocka_unit_test(test_back_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
