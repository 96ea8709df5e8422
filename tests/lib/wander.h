/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A seeded script of changes below one directory: each step is done by the engine, and by a shadow
 * (shadow.h) if the engine says that it was done. The same seed over the same contents gives the
 * same steps as long as the engine answers alike.
 *
 * Scripts of different directories may run in different threads on one filesystem; one thread a
 * script.
 */
#ifndef UBTRFS_TESTS_LIB_WANDER_H
#define UBTRFS_TESTS_LIB_WANDER_H

#include "tests/lib/shadow.h"

struct wander {
	struct shadow *s;
	uint64_t rng;
	uint64_t steps;
	uint64_t refused; /* steps that the engine refused for want of room or for what it cannot do
			     yet */
	uint64_t next_name;
	unsigned max_nodes; /* about so many inodes, then it shrinks */
	unsigned max_inline;
	bool shrinking;
	/* Of the last step. */
	char text[700];
	int want, got;
};

/* Takes in what is below `dir`. 0 or -errno. */
int wander_create(struct eng_fs *fs, struct eng_ino dir, uint64_t seed, struct wander **out_s);
void wander_destroy(struct wander *s);
/* One step; returns what the engine answered. `text` says what it was. */
int wander_step(struct wander *s, struct eng_fs *fs);
/*
 * Whether the last answer was the right one: what the shadow foresaw, or a refusal for want of room
 * or of something that cannot be done yet, where it foresaw success.
 */
bool wander_right(const struct wander *s);

#endif
