/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The generator: random operations, of a seed, that mostly find what they need and often collide.
 * It looks at the model for what there is and keeps it from growing without end.
 */
#ifndef UBTRFS_TESTS_LIB_OPGEN_H
#define UBTRFS_TESTS_LIB_OPGEN_H

#include "tests/lib/model.h"

struct opgen_mix {
	const char *name;
	uint16_t weights[OP_KINDS];
};

struct opgen {
	const struct model *m;
	const struct opgen_mix *mix;
	uint64_t rng;		  /* not 0 */
	uint32_t names_max;	  /* from so many names on more is removed than made */
	uint32_t names_each;	  /* plain names that one directory chooses from */
	unsigned thread, threads; /* in the directory behind "$" each has its own names; threads 0:
				     no such directory */
	bool beyond_inline;	  /* writes that an engine must refuse, too */
	bool dir_props;	     /* Linux, having forgotten a directory, may not find its property to be
				inherited */
	uint32_t storm_left; /* of a row of links, names or attributes */
	char storm_path[OP_NAME_ROOM];
	enum op_kind storm_kind;
	uint32_t serial;
};

/* "default", "names", "renames", "attributes", "slots", or NULL. */
const struct opgen_mix *opgen_mix(const char *name);
/* The next operation; its strings are the caller's. */
struct op opgen_next(struct opgen *g);

#endif
