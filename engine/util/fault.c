// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Fault points and the engine's allocators.
 *
 * Invariant: a passage takes its number with one atomic add, so exactly one of any number of racing
 * threads is the nth. No locks.
 */
#include "engine/util/fault.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static _Atomic uint64_t armed[FAULT_NR]; /* the first to fail; 0: none */
static _Atomic uint64_t runs[FAULT_NR];	 /* how many fail */
static _Atomic uint64_t passed[FAULT_NR];

void fault_arm_run(enum fault_kind kind, uint64_t nth, uint64_t nr)
{
	assert(kind < FAULT_NR);
	atomic_store(&armed[kind], 0);
	atomic_store(&passed[kind], 0);
	atomic_store(&runs[kind], nr);
	atomic_store(&armed[kind], nth);
}

void fault_arm(enum fault_kind kind, uint64_t nth)
{
	fault_arm_run(kind, nth, 1);
}

uint64_t fault_count(enum fault_kind kind)
{
	assert(kind < FAULT_NR);
	return atomic_load(&passed[kind]);
}

bool fault_hit(enum fault_kind kind)
{
	uint64_t n = atomic_fetch_add_explicit(&passed[kind], 1, memory_order_relaxed) + 1;

	uint64_t first = atomic_load_explicit(&armed[kind], memory_order_relaxed);

	return first && n >= first &&
	       n - first < atomic_load_explicit(&runs[kind], memory_order_relaxed);
}

void *eng_alloc(size_t size)
{
	return fault_hit(FAULT_ALLOC) ? NULL : malloc(size);
}

void *eng_zalloc(size_t size)
{
	return fault_hit(FAULT_ALLOC) ? NULL : calloc(1, size);
}

void *eng_calloc(size_t nr, size_t size)
{
	return fault_hit(FAULT_ALLOC) ? NULL : calloc(nr, size);
}

void *eng_realloc(void *p, size_t size)
{
	return fault_hit(FAULT_ALLOC) ? NULL : realloc(p, size);
}

void *eng_memalign(size_t align, size_t size)
{
	void *p;

	/* posix_memalign, as aligned_alloc wants the size to be a multiple. */
	if (fault_hit(FAULT_ALLOC) || posix_memalign(&p, align, size))
		return NULL;
	return p;
}

char *eng_strdup(const char *s)
{
	return fault_hit(FAULT_ALLOC) ? NULL : strdup(s);
}

#ifdef UBTRFS_PLANT
bool plant_active(const char *name)
{
	const char *p = getenv("UBTRFS_PLANT");
	size_t len = strlen(name);

	/* A list separated by commas. */
	while (p && *p) {
		size_t n = strcspn(p, ",");

		if (n == len && !memcmp(p, name, len))
			return true;
		p += n + (p[n] == ',');
	}
	return false;
}
#endif
