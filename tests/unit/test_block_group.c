// SPDX-License-Identifier: GPL-2.0-or-later
/* Block groups, allocator and pinned extents, against an array of sectors. */
#include "engine/space/block_group.h"
#include "engine/util/fault.h"
#include "tests/unit/volopen.h"
#include "tests/unit/plants.h"

#include <assert.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define MIB (1ULL << 20)
#define NODE 16384u
#define SECTOR 4096u

struct fixture {
	struct counters counters;
	struct space *sp;
	struct space_info *data, *meta, *sys;
	struct rsv_set rsv;
	struct bg_index *idx;
};

static void add_group(struct fixture *f, uint64_t start, uint64_t len, uint64_t type)
{
	struct bg_desc desc = { .start = start, .len = len, .flags = type };

	assert_int_equal(bg_add(f->idx, &desc, NULL, NULL), 0);
}

static void setup(struct fixture *f)
{
	struct space_opts opts = { .nodesize = NODE,
				   .sectorsize = SECTOR,
				   .counters = &f->counters };

	memset(f, 0, sizeof(*f));
	assert_int_equal(space_create(&opts, &f->sp), 0);
	assert_int_equal(space_info_create(f->sp, BTRFS_BLOCK_GROUP_DATA, &f->data), 0);
	assert_int_equal(space_info_create(f->sp, BTRFS_BLOCK_GROUP_METADATA, &f->meta), 0);
	assert_int_equal(space_info_create(f->sp, BTRFS_BLOCK_GROUP_SYSTEM, &f->sys), 0);
	rsv_set_init(&f->rsv, f->sp, true);
	assert_int_equal(bg_index_create(f->sp, &f->rsv, &f->idx), 0);
}

static void verify(struct fixture *f)
{
	const char *wrong = bg_verify(f->idx);

	if (!wrong)
		wrong = space_info_verify(f->data);
	if (!wrong)
		wrong = space_info_verify(f->meta);
	if (wrong)
		print_error("%s\n", wrong);
	assert_null(wrong);
}

static void teardown(struct fixture *f)
{
	verify(f);
	bg_index_destroy(f->idx);
	rsv_set_fini(&f->rsv);
	space_destroy(f->sp);
}

static int alloc(struct fixture *f, uint64_t type, uint64_t bytes, uint64_t min,
		 uint64_t *out_start, uint64_t *out_bytes)
{
	struct bg_request req = { .type = type, .bytes = bytes, .min_bytes = min };
	struct space_info *si = space_info_find(f->sp, type);
	int err = space_reserve(si, bytes, SPACE_NO_FLUSH, NULL);

	if (err)
		return err;
	err = bg_alloc(f->idx, &req, out_start, out_bytes);
	if (*out_bytes < bytes)
		space_release(si, bytes - *out_bytes);
	return err;
}

static void test_life(void **state)
{
	struct block_group *bg;
	struct fixture f;
	uint64_t start, bytes, used;

	setup(&f);
	add_group(&f, 16 * MIB, 8 * MIB, BTRFS_BLOCK_GROUP_METADATA);
	assert_null(bg_get(f.idx, 16 * MIB - 1));
	assert_null(bg_get(f.idx, 24 * MIB));
	assert_int_equal(alloc(&f, BTRFS_BLOCK_GROUP_METADATA, NODE, NODE, &start, &bytes), 0);
	assert_int_equal(start, 16 * MIB);
	assert_int_equal(alloc(&f, BTRFS_BLOCK_GROUP_METADATA, NODE, NODE, &start, &bytes), 0);
	assert_int_equal(start, 16 * MIB + NODE);
	assert_null(bg_next_dirty(f.idx, &used));
	bg_extent_inserted(f.idx, start, NODE);
	bg_extent_unreserve(f.idx, 16 * MIB, NODE);
	verify(&f);
	bg = bg_next_dirty(f.idx, &used);
	assert_non_null(bg);
	assert_int_equal(used, NODE);
	assert_null(bg_next_dirty(f.idx, &used));
	/* Freed: not to be had before two steps. */
	assert_int_equal(bg_extent_pin(f.idx, start, NODE, true), 0);
	assert_true(bg_is_pinned(f.idx, start, NODE));
	bg_pinned_release(f.idx);
	assert_true(bg_is_pinned(f.idx, start, NODE));
	bg_pinned_switch(f.idx);
	assert_true(bg_is_pinned(f.idx, start, NODE));
	verify(&f);
	bg_pinned_release(f.idx);
	assert_false(bg_is_pinned(f.idx, start, NODE));
	assert_int_equal(free_space_bytes(bg->free), 8 * MIB);
	/* Inserted and dropped again: the item is as it was said to be, no write is needed. */
	bg_put(bg);
	bg = bg_next_dirty(f.idx, &used);
	assert_int_equal(used, 0);
	bg_put(bg);
	assert_int_equal(alloc(&f, BTRFS_BLOCK_GROUP_METADATA, NODE, NODE, &start, &bytes), 0);
	bg_extent_inserted(f.idx, start, NODE);
	assert_int_equal(bg_extent_pin(f.idx, start, NODE, true), 0);
	assert_null(bg_next_dirty(f.idx, &used));
	teardown(&f);
}

/* What items of a damaged filesystem say is in use, and cannot be. */
static void test_refused(void **state)
{
	struct range_set supers;
	struct bg_desc desc = { .start = 32 * MIB,
				.len = 8 * MIB,
				.flags = BTRFS_BLOCK_GROUP_METADATA,
				.supers = &supers };
	struct block_group *bg;
	struct fixture f;
	uint64_t start, bytes;

	setup(&f);
	range_set_init(&supers);
	assert_int_equal(range_set_add(&supers, 33 * MIB, 65536, NULL), 0);
	assert_int_equal(bg_add(f.idx, &desc, NULL, NULL), 0);
	range_set_clear(&supers);
	assert_int_equal(alloc(&f, BTRFS_BLOCK_GROUP_METADATA, NODE, NODE, &start, &bytes), 0);
	assert_int_equal(bg_extent_check(f.idx, start, NODE, &bg), 0);
	bg_put(bg);
	/* In no group, over its end, longer than there are addresses, of half a sector, over a
	 * superblock, free. */
	assert_int_equal(bg_extent_check(f.idx, 31 * MIB, NODE, &bg), -EUCLEAN);
	assert_int_equal(bg_extent_check(f.idx, 40 * MIB - SECTOR, 2 * SECTOR, &bg), -EUCLEAN);
	assert_int_equal(bg_extent_check(f.idx, start, UINT64_MAX - SECTOR + 1, &bg), -EUCLEAN);
	assert_int_equal(bg_extent_check(f.idx, start, NODE - 512, &bg), -EUCLEAN);
	assert_int_equal(bg_extent_check(f.idx, 33 * MIB, NODE, &bg), -EUCLEAN);
	assert_int_equal(bg_extent_check(f.idx, start + NODE, NODE, &bg), -EUCLEAN);
	assert_int_equal(bg_extent_pin(f.idx, start + NODE, NODE, true), -EUCLEAN);
	/* More than the group has in use; then twice. */
	assert_int_equal(bg_extent_pin(f.idx, start, NODE, true), -EUCLEAN);
	verify(&f);
	bg_extent_inserted(f.idx, start, NODE);
	assert_int_equal(bg_extent_pin(f.idx, start, NODE, true), 0);
	assert_int_equal(bg_extent_pin(f.idx, start, NODE, true), -EUCLEAN);
	verify(&f);
	teardown(&f);
}

static void test_readonly_and_remove(void **state)
{
	struct block_group *bg;
	struct fixture f;
	uint64_t start, bytes;

	setup(&f);
	add_group(&f, 0, 8 * MIB, BTRFS_BLOCK_GROUP_DATA);
	bg = bg_get(f.idx, 5);
	assert_int_equal(bg_remove(f.idx, 0), -EBUSY);
	assert_int_equal(bg_remove(f.idx, 4096), -ENOENT);
	assert_int_equal(alloc(&f, BTRFS_BLOCK_GROUP_DATA, MIB, MIB, &start, &bytes), 0);
	assert_int_equal(alloc(&f, BTRFS_BLOCK_GROUP_DATA, MIB, MIB, &start, &bytes), 0);
	bg_extent_inserted(f.idx, MIB, MIB);
	assert_int_equal(space_reserve(f.data, MIB, SPACE_NO_FLUSH, NULL), 0);
	/* A promise is open, and there is no other group to keep it. */
	assert_int_equal(bg_set_readonly(bg, false), -ENOSPC);
	assert_int_equal(bg_set_readonly(bg, true), 0);
	assert_int_equal(f.data->readonly, 6 * MIB);
	verify(&f);
	space_release(f.data, MIB);
	assert_int_equal(alloc(&f, BTRFS_BLOCK_GROUP_DATA, MIB, MIB, &start, &bytes), -ENOSPC);
	bg_extent_unreserve(f.idx, 0, MIB);
	verify(&f);
	assert_int_equal(bg_extent_pin(f.idx, MIB, MIB, true), 0);
	assert_int_equal(bg_remove(f.idx, 0), -EBUSY);
	bg_pinned_switch(f.idx);
	bg_pinned_release(f.idx);
	verify(&f);
	bg_set_writable(bg);
	assert_int_equal(f.data->readonly, 0);
	verify(&f);
	assert_int_equal(bg_set_readonly(bg, false), 0);
	assert_int_equal(bg_remove(f.idx, 0), 0);
	assert_int_equal(f.data->total, 0);
	assert_null(bg_get(f.idx, 5));
	bg_put(bg);
	teardown(&f);
}

struct given {
	uint64_t start, len;
};

static int give(void *arg, const struct bg_desc *desc,
		int (*add)(void *add_arg, uint64_t start, uint64_t len), void *add_arg)
{
	int err = 0;

	for (const struct given *g = arg; !err && g->len; g++)
		err = add(add_arg, g->start, g->len);
	return err;
}

static void test_load(void **state)
{
	struct given fine[] = { { 0, MIB }, { 2 * MIB, MIB }, { 0, 0 } };
	struct given lap[] = { { 0, MIB }, { MIB - SECTOR, MIB + SECTOR }, { 0, 0 } };
	struct given odd[] = { { 100, MIB }, { 2 * MIB, MIB - 100 }, { 0, 0 } };
	struct given out[] = { { 7 * MIB, 2 * MIB }, { 0, 0 } };
	struct bg_desc desc = {
		.start = 0, .len = 8 * MIB, .flags = BTRFS_BLOCK_GROUP_DATA, .used = 6 * MIB
	};
	struct range_set supers;
	struct block_group *bg;
	struct fixture f;

	setup(&f);
	range_set_init(&supers);
	assert_int_equal(range_set_add(&supers, 65536, 65536, NULL), 0);
	assert_int_equal(range_set_add(&supers, 100 * MIB, 65536, NULL), 0);
	assert_int_equal(bg_add(f.idx, &desc, give, lap), -EUCLEAN);
	assert_int_equal(bg_add(f.idx, &desc, give, odd), -EUCLEAN);
	assert_int_equal(bg_add(f.idx, &desc, give, out), -EUCLEAN);
	desc.used = 5 * MIB;
	assert_int_equal(bg_add(f.idx, &desc, give, fine), -EUCLEAN);
	desc.used = 6 * MIB;
	for (unsigned n = 1; n <= 3; n++) {
		fault_arm(FAULT_ALLOC, n);
		assert_int_equal(bg_add(f.idx, &desc, give, fine), -ENOMEM);
	}
	fault_arm(FAULT_ALLOC, 0);
	desc.flags = BTRFS_BLOCK_GROUP_DATA | BTRFS_BLOCK_GROUP_METADATA;
	assert_int_equal(bg_add(f.idx, &desc, give, fine), -EINVAL);
	desc.flags = BTRFS_BLOCK_GROUP_DATA;
	/* The tree counts a superblock copy as free; nobody may have it. A copy elsewhere does not
	 * matter. */
	desc.used = 6 * MIB - 65536;
	fine[1].len += 65536;
	desc.supers = &supers;
	assert_int_equal(bg_add(f.idx, &desc, give, fine), 0);
	assert_int_equal(bg_add(f.idx, &desc, give, fine), -EEXIST);
	bg = bg_get(f.idx, 0);
	assert_int_equal(bg->super, 65536);
	assert_int_equal(f.data->readonly, 65536);
	assert_false(free_space_has(bg->free, 65536 + SECTOR, SECTOR));
	assert_true(free_space_has(bg->free, 131072, MIB - 131072));
	bg_put(bg);
	range_set_clear(&supers);
	teardown(&f);
}

/* Where a chunk lies over a superblock copy, by each stripe; and nowhere else. */
static void test_supers(void **state)
{
	static const struct vol_opts opts = { 0 };
	struct vb *vb = vb_create(2, 7);
	struct counters counters = { 0 };
	struct range_set set;
	struct vol *vol;

	range_set_init(&set);
	vb_write_super(vb, 0, 0, NULL);
	vb_write_super(vb, 1, 0, NULL);
	vb_add_chunk(vb, BTRFS_BLOCK_GROUP_DATA | BTRFS_BLOCK_GROUP_RAID1, 64 * MIB, 4);
	vb_add_chunk(vb, BTRFS_BLOCK_GROUP_DATA | BTRFS_BLOCK_GROUP_RAID0, 128 * MIB, 2);
	vb->chunks[0].physical[1] = 32768;
	vb->chunks[1].physical[0] = 65536 - VB_STRIPE;
	assert_int_equal(open_volume(vb, &opts, NULL, &counters, &vol), 0);
	assert_int_equal(bg_super_ranges(vol, 64 * MIB, 4 * VB_STRIPE, &set), 0);
	assert_int_equal(set.nr, 1);
	assert_int_equal(set.bytes, 65536);
	assert_true(range_set_has(&set, 64 * MIB + 32768, 65536));
	/* Striped: the second row on the first device. */
	assert_int_equal(bg_super_ranges(vol, 128 * MIB, 4 * VB_STRIPE, &set), 0);
	assert_int_equal(set.bytes, 2 * 65536);
	assert_true(range_set_has(&set, 128 * MIB + 2 * VB_STRIPE, 65536));
	assert_int_equal(bg_super_ranges(vol, 256 * MIB, VB_STRIPE, &set), -ENXIO);
	range_set_clear(&set);
	vol_close(vol);
	vb_destroy(vb);
}

static int chunk(void *arg, uint64_t type)
{
	struct fixture *f = arg;

	if (f->data->total > 8 * MIB)
		return -ENOSPC;
	add_group(f, 64 * MIB, 8 * MIB, type);
	return 0;
}

static void test_halving_and_chunks(void **state)
{
	struct fixture f;
	struct bg_request req = {
		.type = BTRFS_BLOCK_GROUP_DATA, .min_bytes = SECTOR, .alloc_chunk = chunk, .arg = &f
	};
	uint64_t start, bytes;

	setup(&f);
	add_group(&f, 0, 8 * MIB, BTRFS_BLOCK_GROUP_DATA);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(alloc(&f, BTRFS_BLOCK_GROUP_DATA, MIB, MIB, &start, &bytes), 0);
	for (unsigned i = 0; i < 8; i += 2)
		bg_extent_unreserve(f.idx, i * MIB, MIB);
	/* No 3 MiB in one piece: a chunk, then the next request gets less. */
	assert_int_equal(space_reserve(f.data, 3 * MIB, SPACE_NO_FLUSH, NULL), 0);
	req.bytes = 3 * MIB;
	assert_int_equal(bg_alloc(f.idx, &req, &start, &bytes), 0);
	assert_int_equal(start, 64 * MIB);
	assert_int_equal(bytes, 3 * MIB);
	assert_int_equal(space_reserve(f.data, 6 * MIB, SPACE_NO_FLUSH, NULL), 0);
	req.bytes = 6 * MIB;
	assert_int_equal(bg_alloc(f.idx, &req, &start, &bytes), 0);
	assert_int_equal(bytes, 3 * MIB);
	assert_int_equal(counter_get(&f.counters, bg_alloc_chunks), 2);
	/* The hint is followed, and gone round. */
	req.bytes = MIB / 2;
	req.hint = 4 * MIB + SECTOR;
	assert_int_equal(bg_alloc(f.idx, &req, &start, &bytes), 0);
	assert_int_equal(start, 4 * MIB + SECTOR);
	req.hint = 71 * MIB;
	assert_int_equal(bg_alloc(f.idx, &req, &start, &bytes), 0);
	assert_int_equal(start, 71 * MIB);
	assert_int_equal(bg_alloc(f.idx, &req, &start, &bytes), 0);
	assert_int_equal(start, 71 * MIB + MIB / 2);
	assert_int_equal(bg_alloc(f.idx, &req, &start, &bytes), 0);
	assert_int_equal(start, 0);
	space_release(f.data, MIB);
	teardown(&f);
}

/* ---- by chance, against an array ---- */

enum { FREE, RESERVED, USED, PINNED, COMMITTING };

#define GROUPS 3u
#define GROUP_SECTORS 4096u
#define SECTORS (GROUPS * GROUP_SECTORS)
#define BASE (1024 * MIB)

struct model {
	struct fixture f;
	uint8_t state[SECTORS];
	struct given ext[SECTORS];
	uint8_t ext_state[SECTORS];
	unsigned nr;
	unsigned seed;
};

static int paint(struct model *m, const struct given *e, uint8_t from, uint8_t to)
{
	for (uint64_t i = (e->start - BASE) / SECTOR, n = e->len / SECTOR; n; n--, i++) {
		if (m->state[i] != from)
			return 1;
		m->state[i] = to;
	}
	return 0;
}

static void forget(struct model *m, unsigned i)
{
	m->ext[i] = m->ext[--m->nr];
	m->ext_state[i] = m->ext_state[m->nr];
}

/* One thing happens. 0: as it should. */
static int step(struct model *m)
{
	unsigned what = (unsigned)rand_r(&m->seed) % 100, i;
	struct given e;
	int wrong = 0;

	if (what < 45 || !m->nr) {
		uint64_t want = (1 + (uint64_t)rand_r(&m->seed) % 64) * SECTOR;

		if (alloc(&m->f, BTRFS_BLOCK_GROUP_METADATA, want, SECTOR, &e.start, &e.len))
			return 0;
		m->ext[m->nr] = e;
		m->ext_state[m->nr++] = RESERVED;
		return paint(m, &e, FREE, RESERVED);
	}
	if (what >= 97) {
		for (i = 0; i < SECTORS; i++)
			if (m->state[i] == PINNED)
				m->state[i] = COMMITTING;
		bg_pinned_switch(m->f.idx);
		/* The next transaction goes on while this one is written. */
		for (i = 0; i < 20 && !wrong; i++) {
			unsigned n = m->nr ? (unsigned)rand_r(&m->seed) % m->nr : 0;

			if (!m->nr || m->ext_state[n] != USED)
				continue;
			wrong = bg_extent_pin(m->f.idx, m->ext[n].start, m->ext[n].len, true) ||
				paint(m, &m->ext[n], USED, PINNED);
			forget(m, n);
		}
		bg_pinned_release(m->f.idx);
		for (i = 0; i < SECTORS; i++)
			if (m->state[i] == COMMITTING)
				m->state[i] = FREE;
		return wrong;
	}
	i = (unsigned)rand_r(&m->seed) % m->nr;
	e = m->ext[i];
	if (m->ext_state[i] == USED) {
		forget(m, i);
		return bg_extent_pin(m->f.idx, e.start, e.len, true) || paint(m, &e, USED, PINNED);
	}
	if (what < 80) {
		bg_extent_inserted(m->f.idx, e.start, e.len);
		m->ext_state[i] = USED;
		return paint(m, &e, RESERVED, USED);
	}
	forget(m, i);
	if (what < 90)
		return bg_extent_pin(m->f.idx, e.start, e.len, false) ||
		       paint(m, &e, RESERVED, PINNED);
	bg_extent_unreserve(m->f.idx, e.start, e.len);
	return paint(m, &e, RESERVED, FREE);
}

/* Every counter and every sector as the array has it. */
static int disagree(struct model *m)
{
	uint64_t sum[5] = { 0 };

	for (unsigned i = 0; i < SECTORS; i++) {
		struct block_group *bg;

		sum[m->state[i]] += SECTOR;
		if (i % 7)
			continue;
		bg = bg_get(m->f.idx, BASE + (uint64_t)i * SECTOR);
		if (free_space_has(bg->free, BASE + (uint64_t)i * SECTOR, SECTOR) !=
		    (m->state[i] == FREE))
			return 1;
		bg_put(bg);
	}
	return sum[RESERVED] != m->f.meta->reserved || sum[USED] != m->f.meta->used ||
	       sum[PINNED] != m->f.meta->pinned;
}

static int random_life(void)
{
	struct model *m = calloc(1, sizeof(*m));
	int wrong = 0;

	assert_non_null(m);
	m->seed = 7;
	setup(&m->f);
	for (unsigned g = 0; g < GROUPS; g++)
		add_group(&m->f, BASE + (uint64_t)g * GROUP_SECTORS * SECTOR,
			  (uint64_t)GROUP_SECTORS * SECTOR, BTRFS_BLOCK_GROUP_METADATA);
	for (unsigned i = 0; i < 20000 && !wrong; i++) {
		wrong = step(m);
		if (!wrong && i % 100 == 0)
			wrong = disagree(m) || bg_verify(m->f.idx) || space_info_verify(m->f.meta);
	}
	if (!wrong)
		teardown(&m->f);
	free(m);
	return wrong;
}

static void test_random(void **state)
{
	assert_int_equal(random_life(), 0);
}

/* ---- threads: nobody gets what another has ---- */

#define THREADS 6

struct worker {
	struct fixture *f;
	_Atomic uint8_t *owner;
	unsigned seed, got, wrong;
	_Atomic bool done;
	pthread_t thread;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	struct given have[32];
	unsigned nr = 0;

	for (unsigned i = 0; i < 3000; i++) {
		struct given e;

		if (nr < 32 && rand_r(&w->seed) % 2) {
			uint64_t want = (1 + (uint64_t)rand_r(&w->seed) % 32) * SECTOR;

			if (alloc(w->f, BTRFS_BLOCK_GROUP_METADATA, want, SECTOR, &e.start,
				  &e.len)) {
				/* All pinned: a commit is due. */
				usleep(50);
				continue;
			}
			w->got++;
			for (uint64_t s = 0; s < e.len / SECTOR; s++)
				w->wrong += atomic_exchange(
					&w->owner[(e.start - BASE) / SECTOR + s], 1);
			have[nr++] = e;
		} else if (nr) {
			unsigned n = (unsigned)rand_r(&w->seed) % nr;

			e = have[n];
			have[n] = have[--nr];
			for (uint64_t s = 0; s < e.len / SECTOR; s++)
				atomic_store(&w->owner[(e.start - BASE) / SECTOR + s], 0);
			if (rand_r(&w->seed) % 2) {
				bg_extent_unreserve(w->f->idx, e.start, e.len);
			} else {
				bg_extent_inserted(w->f->idx, e.start, e.len);
				if (bg_extent_pin(w->f->idx, e.start, e.len, true))
					w->wrong++;
			}
		}
	}
	while (nr--) {
		for (uint64_t s = 0; s < have[nr].len / SECTOR; s++)
			atomic_store(&w->owner[(have[nr].start - BASE) / SECTOR + s], 0);
		bg_extent_unreserve(w->f->idx, have[nr].start, have[nr].len);
	}
	atomic_store(&w->done, true);
	return NULL;
}

static void test_threads(void **state)
{
	_Atomic uint8_t *owner = calloc(SECTORS, 1);
	struct worker w[THREADS];
	struct block_group *bg;
	struct fixture f;
	unsigned got = 0;

	assert_non_null(owner);
	setup(&f);
	for (unsigned g = 0; g < GROUPS; g++)
		add_group(&f, BASE + (uint64_t)g * GROUP_SECTORS * SECTOR,
			  (uint64_t)GROUP_SECTORS * SECTOR, BTRFS_BLOCK_GROUP_METADATA);
	for (unsigned i = 0; i < THREADS; i++) {
		w[i] = (struct worker){ .f = &f, .owner = owner, .seed = i };
		assert_int_equal(pthread_create(&w[i].thread, NULL, work, &w[i]), 0);
	}
	/* Meanwhile there are commits, and a group is read-only now and then. */
	bg = bg_get(f.idx, BASE);
	for (unsigned i = 0; i < THREADS;) {
		bool ro = !bg_set_readonly(bg, false);

		bg_pinned_switch(f.idx);
		usleep(100);
		if (ro)
			bg_set_writable(bg);
		bg_pinned_release(f.idx);
		if (atomic_load(&w[i].done))
			i++;
	}
	bg_put(bg);
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(w[i].thread, NULL);
		assert_int_equal(w[i].wrong, 0);
		got += w[i].got;
	}
	assert_true(got > 1000);
	bg_pinned_switch(f.idx);
	bg_pinned_release(f.idx);
	bg_pinned_switch(f.idx);
	bg_pinned_release(f.idx);
	assert_int_equal(space_used_locked(f.meta, true), 0);
	teardown(&f);
	free(owner);
}

static void test_text(void **state)
{
	struct fixture f;
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	setup(&f);
	add_group(&f, MIB, 8 * MIB, BTRFS_BLOCK_GROUP_DATA);
	bg_to_text(f.idx, out);
	fclose(out);
	assert_non_null(strstr(
		text, "1048576+8388608 DATA: used 0 reserved 0 pinned 0 super 0, free 8388608"));
	free(text);
	teardown(&f);
}

#ifdef UBTRFS_PLANT
static void test_plants(void **state)
{
	static const struct plant plants[] = {
		{ "bg_unpin_running", random_life },
	};

	check_plants(plants, sizeof(plants) / sizeof(*plants));
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_life),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_readonly_and_remove),
		cmocka_unit_test(test_load),
		cmocka_unit_test(test_halving_and_chunks),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_supers),
#ifdef UBTRFS_PLANT
		cmocka_unit_test(test_plants),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
