/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random edits of trees over a transaction in memory, against a model of what they are to hold. All functions that
 * return bool say where tree and model disagree, and return false.
 *
 * A failing run prints its seed; UBTRFS_SEED=n runs that one.
 */
#ifndef UBTRFS_TESTS_UNIT_CHANGELAB_H
#define UBTRFS_TESTS_UNIT_CHANGELAB_H

#include "tests/unit/faketxn.h"

#include <stdio.h>

#define TREE_ID 300 /* some subvolume: its leaves may be empty */

#define check(cond)                                                                                \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "%s:%d: %s\n", __func__, __LINE__, #cond);                 \
			return false;                                                              \
		}                                                                                  \
	} while (0)

/* What a tree is to hold: item i has this size and these bytes, or is not there (-1). */
struct model {
	unsigned nr;
	int32_t *size;
	uint8_t **data;
};

struct lab {
	struct faketxn *f;
	struct bt_tree *trees[4];
	struct model models[4];
	unsigned trees_nr;
	enum bt_search_mode mode;
	uint32_t max_item;
	bool spare_failures; /* an injected failure is fine, and changes nothing */
	unsigned failed;
};

uint64_t rnd(uint64_t *s);
void fill(uint64_t *s, uint8_t *p, uint32_t size);
/* UBTRFS_SEED, or 1. */
uint64_t first_seed(void);
struct btrfs_key key_of(unsigned i);
void model_set(struct model *m, unsigned i, int32_t size, const void *data);

/* One empty tree, whose model has `keys` items. */
void lab_init(struct lab *l, uint32_t nodesize, unsigned blocks, unsigned frames, unsigned threads, unsigned keys,
	      enum bt_search_mode mode);
void lab_end(struct lab *l);

/* One edit of item i of tree k each. */
bool edit_insert(struct lab *l, struct fake_handle *h, unsigned k, unsigned i, uint64_t *s);
bool edit_delete(struct lab *l, struct fake_handle *h, unsigned k, unsigned i, uint64_t *s);
bool edit_resize(struct lab *l, struct fake_handle *h, unsigned k, unsigned i, uint64_t *s);
bool edit_update(struct lab *l, struct fake_handle *h, unsigned k, unsigned i, uint64_t *s);
/* Any of them; deletes are likelier than inserts if `shrink`. */
bool edit(struct lab *l, struct fake_handle *h, unsigned k, unsigned i, bool shrink, uint64_t *s);

/* The tree holds items [from, to) of the model, and walks both ways over them. */
bool same_as_model(struct lab *l, unsigned k, unsigned from, unsigned to);
/* All trees are sound and as their models, and every reference is accounted for. */
bool all_right(struct lab *l);
/* As in a commit: both trees are forced to copy until the transaction ends. */
bool snapshot(struct lab *l, struct fake_handle *h, unsigned of);
bool commit(struct lab *l);
/* With UBTRFS_TEST_VERBOSE. */
void say_counters(struct lab *l);

#endif
