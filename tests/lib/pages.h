/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The contents of a disk in pages of 4096 bytes that copies of it share until they are written. A copy
 * costs one table of a pointer for each megabyte; a page that was never written reads as zeros and costs
 * nothing. One table belongs to one thread at a time; tables that share pages may be in several.
 */
#ifndef UBTRFS_TESTS_LIB_PAGES_H
#define UBTRFS_TESTS_LIB_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_BYTES 4096u

struct page;
struct leaf;

struct pages {
	struct leaf **leaves;
	size_t nr;
	uint64_t bytes;
};

/* Failures to allocate abort. */
void pages_init(struct pages *p, uint64_t bytes);
void pages_free(struct pages *p);
void pages_copy(const struct pages *from, struct pages *out_to);
void pages_read(const struct pages *p, uint64_t off, void *buf, uint32_t len);
void pages_write(struct pages *p, uint64_t off, const void *buf, uint32_t len);
void pages_zero(struct pages *p, uint64_t off, uint64_t len);
/* Makes the range of `to`, in whole pages, the same pages as in `from`. */
void pages_share(const struct pages *from, struct pages *to, uint64_t off, uint32_t len);
/* The start of the first page at or after `off` that was ever written, or UINT64_MAX. */
uint64_t pages_next(const struct pages *p, uint64_t off);

#endif
