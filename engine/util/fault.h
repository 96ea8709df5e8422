/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fault points: places where a test makes an allocation or an I/O fail, by count, so that every error
 * path is walked. And planted faults: named wrong behaviours, compiled in only with -Dplant=true,
 * which prove that a test net catches what it is there for.
 */
#ifndef UBTRFS_ENGINE_UTIL_FAULT_H
#define UBTRFS_ENGINE_UTIL_FAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fault_kind {
	FAULT_ALLOC,
	FAULT_READ,
	FAULT_WRITE,
	FAULT_FLUSH,
	FAULT_NR,
};

/* From now on the nth (1-based) passage of this kind in this process fails, once; 0 disarms. Not reentrant. */
void fault_arm(enum fault_kind kind, uint64_t nth);
/* The same for `nr` passages from the nth on; UINT64_MAX: all of them. */
void fault_arm_run(enum fault_kind kind, uint64_t nth, uint64_t nr);
/* Passages since the last fault_arm. */
uint64_t fault_count(enum fault_kind kind);
/* True if this passage is to fail. */
bool fault_hit(enum fault_kind kind);

/* malloc family through FAULT_ALLOC; the engine's only allocators. Free with free(). */
void *eng_alloc(size_t size) __attribute__((malloc, alloc_size(1)));
void *eng_zalloc(size_t size) __attribute__((malloc, alloc_size(1)));
void *eng_calloc(size_t nr, size_t size) __attribute__((malloc, alloc_size(1, 2)));
void *eng_realloc(void *p, size_t size) __attribute__((alloc_size(2)));
void *eng_memalign(size_t align, size_t size) __attribute__((malloc, alloc_size(2)));
char *eng_strdup(const char *s);

#ifdef UBTRFS_PLANT
/* True if the environment's UBTRFS_PLANT names this fault. */
bool plant_active(const char *name);
#define PLANTED(name) plant_active(name)
#else
#define PLANTED(name) false
#endif

#endif
