// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * See pages.h. A leaf has the pages of a megabyte; leaves and pages are counted by who points to
 * them, and changed only by whoever is alone with them.
 */
#include "tests/lib/pages.h"

#include "tests/lib/blk.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define LEAF_PAGES 256
#define LEAF_BYTES ((uint64_t)LEAF_PAGES * PAGE_BYTES)

struct page {
	_Atomic unsigned refs;
	uint8_t data[PAGE_BYTES];
};

struct leaf {
	_Atomic unsigned refs;
	struct page *pages[LEAF_PAGES];
};

static void page_put(struct page *pg)
{
	if (pg && atomic_fetch_sub(&pg->refs, 1) == 1)
		free(pg);
}

static struct page *page_get(struct page *pg)
{
	if (pg)
		atomic_fetch_add(&pg->refs, 1);
	return pg;
}

static void leaf_put(struct leaf *l)
{
	if (!l || atomic_fetch_sub(&l->refs, 1) != 1)
		return;
	for (unsigned i = 0; i < LEAF_PAGES; i++)
		page_put(l->pages[i]);
	free(l);
}

void pages_init(struct pages *p, uint64_t bytes)
{
	p->bytes = bytes;
	p->nr = (size_t)((bytes + LEAF_BYTES - 1) / LEAF_BYTES);
	p->leaves = blk_must(calloc(p->nr ? p->nr : 1, sizeof(*p->leaves)));
}

void pages_free(struct pages *p)
{
	for (size_t i = 0; i < p->nr; i++)
		leaf_put(p->leaves[i]);
	free(p->leaves);
	*p = (struct pages){ 0 };
}

void pages_copy(const struct pages *from, struct pages *out_to)
{
	pages_init(out_to, from->bytes);
	for (size_t i = 0; i < from->nr; i++) {
		out_to->leaves[i] = from->leaves[i];
		if (from->leaves[i])
			atomic_fetch_add(&from->leaves[i]->refs, 1);
	}
}

static struct page *page_at(const struct pages *p, uint64_t off)
{
	const struct leaf *l = p->leaves[off / LEAF_BYTES];

	return l ? l->pages[off % LEAF_BYTES / PAGE_BYTES] : NULL;
}

/* Where the pointer to a page is, in a leaf that is this table's own. */
static struct page **page_slot(struct pages *p, uint64_t off)
{
	struct leaf **slot = &p->leaves[off / LEAF_BYTES], *old = *slot;

	if (!old || atomic_load(&old->refs) > 1) {
		struct leaf *l = blk_must(calloc(1, sizeof(*l)));

		atomic_store(&l->refs, 1);
		for (unsigned i = 0; old && i < LEAF_PAGES; i++)
			l->pages[i] = page_get(old->pages[i]);
		leaf_put(old);
		*slot = l;
	}
	return &(*slot)->pages[off % LEAF_BYTES / PAGE_BYTES];
}

static uint32_t in_page(uint64_t off, uint64_t len)
{
	uint64_t left = PAGE_BYTES - off % PAGE_BYTES;

	return (uint32_t)(len < left ? len : left);
}

void pages_read(const struct pages *p, uint64_t off, void *buf, uint32_t len)
{
	uint8_t *to = buf;

	while (len) {
		const struct page *pg = page_at(p, off);
		uint32_t n = in_page(off, len);

		if (pg)
			memcpy(to, pg->data + off % PAGE_BYTES, n);
		else
			memset(to, 0, n);
		off += n;
		to += n;
		len -= n;
	}
}

static uint8_t *page_own(struct pages *p, uint64_t off)
{
	struct page **slot = page_slot(p, off), *old = *slot;

	if (!old || atomic_load(&old->refs) > 1) {
		struct page *pg = blk_must(malloc(sizeof(*pg)));

		atomic_init(&pg->refs, 1);
		if (old)
			memcpy(pg->data, old->data, PAGE_BYTES);
		else
			memset(pg->data, 0, PAGE_BYTES);
		page_put(old);
		*slot = pg;
	}
	return (*slot)->data;
}

void pages_write(struct pages *p, uint64_t off, const void *buf, uint32_t len)
{
	const uint8_t *from = buf;

	while (len) {
		uint32_t n = in_page(off, len);

		memcpy(page_own(p, off) + off % PAGE_BYTES, from, n);
		off += n;
		from += n;
		len -= n;
	}
}

void pages_zero(struct pages *p, uint64_t off, uint64_t len)
{
	while (len) {
		uint32_t n = in_page(off, len);

		if (n == PAGE_BYTES) {
			struct page **slot = page_at(p, off) ? page_slot(p, off) : NULL;

			if (slot) {
				page_put(*slot);
				*slot = NULL;
			}
		} else if (page_at(p, off)) {
			memset(page_own(p, off) + off % PAGE_BYTES, 0, n);
		}
		off += n;
		len -= n;
	}
}

void pages_share(const struct pages *from, struct pages *to, uint64_t off, uint32_t len)
{
	for (; len; off += PAGE_BYTES, len -= PAGE_BYTES) {
		struct page *pg = page_get(page_at(from, off)), **slot = page_slot(to, off);

		page_put(*slot);
		*slot = pg;
	}
}

uint64_t pages_next(const struct pages *p, uint64_t off)
{
	for (off -= off % PAGE_BYTES; off < p->bytes; off += PAGE_BYTES) {
		if (!p->leaves[off / LEAF_BYTES])
			off += LEAF_BYTES - off % LEAF_BYTES - PAGE_BYTES;
		else if (page_at(p, off))
			return off;
	}
	return UINT64_MAX;
}
