// SPDX-License-Identifier: GPL-2.0-or-later
/* A tree as a sorted array: see faketree.h. */
#include "tests/unit/faketree.h"

#include <stdlib.h>
#include <string.h>

void faketree_clear(struct faketree *t)
{
	free(t->items);
	*t = (struct faketree){ 0 };
}

/* Items with keys <= key. */
static unsigned upto(const struct faketree *t, const struct btrfs_key *key)
{
	unsigned lo = 0, hi = t->nr;

	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;

		if (btrfs_key_cmp(&t->items[mid].key, key) <= 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool fails(struct faketree *t)
{
	return ++t->changes == t->fail_at;
}

static int find_le(void *arg, const struct btrfs_key *key, struct btrfs_key *out_key, void *buf,
		   uint32_t *out_size)
{
	struct faketree *t = arg;
	unsigned n = upto(t, key);

	if (!n)
		return 1;
	*out_key = t->items[n - 1].key;
	*out_size = t->items[n - 1].size;
	memcpy(buf, t->items[n - 1].data, t->items[n - 1].size);
	return 0;
}

static int insert(void *arg, const struct btrfs_key *key, const void *data, uint32_t size)
{
	struct faketree *t = arg;
	unsigned n = upto(t, key);

	if (fails(t))
		return -EIO;
	if (size > FAKETREE_DATA || (n && !btrfs_key_cmp(&t->items[n - 1].key, key)))
		return -EEXIST;
	if (t->nr == t->room) {
		t->room = t->room ? 2 * t->room : 64;
		t->items = realloc(t->items, t->room * sizeof(*t->items));
		if (!t->items)
			abort();
	}
	memmove(&t->items[n + 1], &t->items[n], (t->nr - n) * sizeof(*t->items));
	memset(&t->items[n], 0, sizeof(t->items[n]));
	t->items[n].key = *key;
	t->items[n].size = size;
	if (size)
		memcpy(t->items[n].data, data, size);
	t->nr++;
	return 0;
}

static int update(void *arg, const struct btrfs_key *key, const void *data, uint32_t size)
{
	struct faketree *t = arg;
	unsigned n = upto(t, key);

	if (fails(t))
		return -EIO;
	if (!n || btrfs_key_cmp(&t->items[n - 1].key, key) || t->items[n - 1].size != size)
		return -ENOENT;
	memcpy(t->items[n - 1].data, data, size);
	return 0;
}

static int remove_item(void *arg, const struct btrfs_key *key)
{
	struct faketree *t = arg;
	unsigned n = upto(t, key);

	if (fails(t))
		return -EIO;
	if (!n || btrfs_key_cmp(&t->items[n - 1].key, key))
		return -ENOENT;
	memmove(&t->items[n - 1], &t->items[n], (t->nr - n) * sizeof(*t->items));
	t->nr--;
	return 0;
}

struct fst_ops faketree_ops(struct faketree *t)
{
	return (struct fst_ops){ t, find_le, insert, update, remove_item };
}

bool faketree_equal(const struct faketree *a, const struct faketree *b)
{
	if (a->nr != b->nr)
		return false;
	for (unsigned i = 0; i < a->nr; i++)
		if (btrfs_key_cmp(&a->items[i].key, &b->items[i].key) ||
		    a->items[i].size != b->items[i].size ||
		    memcmp(a->items[i].data, b->items[i].data, a->items[i].size))
			return false;
	return true;
}
