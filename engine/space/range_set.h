/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A set of bytes as disjoint, not adjoining half-open ranges. No lock of its own. */
#ifndef UBTRFS_ENGINE_SPACE_RANGE_SET_H
#define UBTRFS_ENGINE_SPACE_RANGE_SET_H

#include "engine/util/err.h"

#include <sys/tree.h>

struct range {
	RB_ENTRY(range) node;
	uint64_t start, end;
};

struct range_set {
	RB_HEAD(range_tree, range) tree;
	uint64_t nr;              /* ranges */
	uint64_t bytes;
};

void range_set_init(struct range_set *set);
void range_set_clear(struct range_set *set);
/* Return: 0, -ENOMEM (nothing changed). Bytes already in are fine; *out_new (may be NULL): how many were not. */
MUST_CHECK int range_set_add(struct range_set *set, uint64_t start, uint64_t len, uint64_t *out_new);
/* Return: 0, -ENOMEM (nothing changed; only when a range is cut in two). Bytes that are not in are fine. */
MUST_CHECK int range_set_remove(struct range_set *set, uint64_t start, uint64_t len);
/* True if all of it is in. */
bool range_set_has(const struct range_set *set, uint64_t start, uint64_t len);
/* The first range that ends above `pos`, cut to begin at or above it. False: none. */
bool range_set_next(const struct range_set *set, uint64_t pos, uint64_t *out_start, uint64_t *out_end);

#endif
