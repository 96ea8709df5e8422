// SPDX-License-Identifier: GPL-2.0-or-later
/* Trees in a fake volume: see fakevol.h. Built level by level from the leaves up. */
#include "tests/unit/fakevol.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static uint64_t mix(const struct btrfs_key *key)
{
	uint64_t x = key->objectid * 0x9E3779B97F4A7C15ull ^ key->offset * 0xC2B2AE3D27D4EB4Full ^
		     key->type;

	return x ^ x >> 29;
}

uint32_t tree_item_size(const struct btrfs_key *key)
{
	return mix(key) % 60;
}

void tree_item_fill(const struct btrfs_key *key, void *buf, uint32_t size)
{
	uint8_t *p = buf;

	for (uint32_t i = 0; i < size; i++)
		p[i] = (uint8_t)(mix(key) >> (i % 8 * 8)) + i;
}

bool tree_add_item(struct vol *v, void *leaf, const struct btrfs_key *key)
{
	struct btrfs_header *h = leaf;
	struct btrfs_item *item = ((struct btrfs_leaf *)leaf)->items;
	uint32_t nr = le32_get(h->nritems), size = tree_item_size(key);
	uint32_t end = nr ? le32_get(item[nr - 1].offset) : btrfs_leaf_data_size(v->geo.nodesize);

	if ((nr + 1) * sizeof(*item) + size > end)
		return false;
	item[nr].key = btrfs_disk_key_make(key);
	item[nr].offset = le32_make(end - size);
	item[nr].size = le32_make(size);
	tree_item_fill(key, (uint8_t *)leaf + sizeof(*h) + end - size, size);
	h->nritems = le32_make(nr + 1);
	return true;
}

bool tree_add_ptr(struct vol *v, void *node, uint64_t child)
{
	struct btrfs_header *h = node;
	struct btrfs_key_ptr *ptr = ((struct btrfs_node *)node)->ptrs;
	uint32_t nr = le32_get(h->nritems);
	const void *block = fakevol_block(v, child, 0);
	struct btrfs_key key = btrfs_block_key(block, 0);

	if (nr == btrfs_node_max_ptrs(v->geo.nodesize))
		return false;
	ptr[nr].key = btrfs_disk_key_make(&key);
	ptr[nr].blockptr = le64_make(child);
	ptr[nr].generation = le64_make(btrfs_header_generation(block));
	h->nritems = le32_make(nr + 1);
	return true;
}

static uint64_t new_block(struct vol *v, int level, const struct tree_opts *opts)
{
	uint64_t logical = fakevol_alloc(v);

	fakevol_format(v, logical, level, opts->owner ? opts->owner : BTRFS_FS_TREE_OBJECTID);
	return logical;
}

/* True if a block that holds `nr` of at most `max` is to be closed. */
static bool full(unsigned nr, unsigned max)
{
	return nr && ((max && nr >= max) || rand() % 400 == 0);
}

static unsigned build_leaves(struct vol *v, const struct btrfs_key *keys, unsigned nr,
			     const struct tree_opts *opts, uint64_t *blocks)
{
	unsigned n = 0;
	void *leaf = NULL;

	for (unsigned i = 0; i < nr || !n; i++) {
		if (!leaf || full(btrfs_header_nritems(leaf), opts->max_items) ||
		    !tree_add_item(v, leaf, &keys[i])) {
			blocks[n++] = new_block(v, 0, opts);
			leaf = fakevol_block(v, blocks[n - 1], 0);
			if (nr && !tree_add_item(v, leaf, &keys[i]))
				abort();
		}
	}
	return n;
}

static unsigned build_nodes(struct vol *v, int level, const struct tree_opts *opts,
			    uint64_t *blocks, unsigned nr)
{
	unsigned n = 0;
	void *node = NULL;
	uint64_t child, logical = 0;

	for (unsigned i = 0; i < nr; i++) {
		child = blocks[i];
		if (!node || full(btrfs_header_nritems(node), opts->max_ptrs) ||
		    !tree_add_ptr(v, node, child)) {
			logical = new_block(v, level, opts);
			node = fakevol_block(v, logical, 0);
			if (!tree_add_ptr(v, node, child))
				abort();
			blocks[n++] = logical;
		}
	}
	return n;
}

void tree_build(struct vol *v, const struct btrfs_key *keys, unsigned nr,
		const struct tree_opts *opts, struct bt_root *out_root)
{
	uint64_t *blocks = malloc((nr + 1) * sizeof(*blocks));
	unsigned first = v->nr, n;
	int level = 0;

	if (!blocks)
		abort();
	n = build_leaves(v, keys, nr, opts, blocks);
	while (n > 1 || (unsigned)level < opts->min_level)
		n = build_nodes(v, ++level, opts, blocks, n);
	assert(level < BT_MAX_LEVEL);
	*out_root = (struct bt_root){
		.id = opts->owner ? opts->owner : BTRFS_FS_TREE_OBJECTID,
		.bytenr = blocks[0],
		.generation = FAKE_GENERATION - 1,
		.level = level,
	};
	for (unsigned i = first; i < v->nr; i++)
		fakevol_seal(v, le64_get(((struct btrfs_header *)v->blocks[i][0])->bytenr));
	free(blocks);
}

static int cmp_keys(const void *a, const void *b)
{
	return btrfs_key_cmp(a, b);
}

struct btrfs_key *tree_random_keys(unsigned nr, unsigned seed)
{
	struct btrfs_key *keys = malloc((nr + 1) * sizeof(*keys));
	unsigned n = 0;

	if (!keys)
		abort();
	srand(seed);
	while (n < nr) {
		while (n < nr) {
			uint64_t wide = (uint64_t)rand() << 40 ^ (uint64_t)rand() << 20 ^ rand();

			keys[n++] = (struct btrfs_key){
				.objectid = 256 + (rand() % 8 ? wide % (nr / 8 + 1) : wide >> 10),
				.type = BTRFS_STRING_ITEM_KEY + rand() % 2,
				.offset = rand() % 3 ? wide % 1000 : wide,
			};
		}
		qsort(keys, nr, sizeof(*keys), cmp_keys);
		n = 1;
		for (unsigned i = 1; i < nr; i++)
			if (btrfs_key_cmp(&keys[i], &keys[n - 1]))
				keys[n++] = keys[i];
		n = nr ? n : 0;
	}
	return keys;
}
