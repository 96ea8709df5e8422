/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Counts the heap of this process exactly, if it is built with AddressSanitizer, and not at all
 * without: what the C library knows is too coarse. A leak of one case is found at its end, without
 * a scan.
 */
#ifndef UBTRFS_TESTS_LIB_MEMWATCH_H
#define UBTRFS_TESTS_LIB_MEMWATCH_H

#include <stdbool.h>
#include <stdint.h>

/* Once, at the start. False: everything will be 0. */
bool memwatch_start(void);
/* Bytes that are allocated now. */
int64_t memwatch_live(void);
/* The most since the last call. */
int64_t memwatch_peak(void);

#endif
