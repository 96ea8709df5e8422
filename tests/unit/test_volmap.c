// SPDX-License-Identifier: GPL-2.0-or-later
/* The chunk map while chunks come and go: whoever looks meanwhile sees it whole. */
#include "engine/util/fault.h"
#include "tests/unit/plants.h"
#include "tests/unit/volopen.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <string.h>

#include <cmocka.h>

#define MIB (1ULL << 20)
#define LOW (16 * MIB)
#define SLOTS 64
#define SLOT(i) (64 * MIB + (i)*2 * MIB)
#define HIGH SLOT(SLOTS / 2) /* between the slots: there from beginning to end */
#define READERS 3

static const struct vol_opts plain = { .super_copy = -1 };

static int slot_change(struct vb *vb, struct vol *v, unsigned i, bool add)
{
	struct btrfs_chunk item;
	uint8_t buf[512];

	if (!add)
		return vol_chunk_remove(v, SLOT(i));
	memcpy(&item, vb_chunk_item(vb, 0, buf), sizeof(item));
	item.length = le64_make(MIB);
	item.stripe.offset = le64_make((i + 1) * MIB);
	return vol_chunk_add(v, SLOT(i), &item);
}

static struct vb *make(struct vol **out_vol)
{
	static struct counters counters;
	struct vb *vb = vb_create(1, 0xaa);

	vb_add_chunk(vb, BTRFS_BLOCK_GROUP_DATA, LOW, 2);
	vb_write_super(vb, 0, 0, NULL);
	if (open_volume(vb, &plain, NULL, &counters, out_vol))
		abort();
	return vb;
}

static void test_changes(void **state)
{
	struct vol_stripe_info stripe;
	struct vol_chunk_info c;
	struct btrfs_chunk item;
	uint8_t buf[512];
	struct vol *v;
	struct vb *vb = make(&v);

	assert_int_equal(slot_change(vb, v, 1, true), 0);
	assert_int_equal(slot_change(vb, v, 0, true), 0);
	assert_int_equal(slot_change(vb, v, 2, true), 0);
	/* The same once more is fine, another in its place is not. */
	assert_int_equal(slot_change(vb, v, 1, true), 0);
	memcpy(&item, vb_chunk_item(vb, 0, buf), sizeof(item));
	assert_int_equal(vol_chunk_add(v, SLOT(1) + 4096, &item), -EUCLEAN);
	/* Devices are those that there were when the volume was opened. */
	item.stripe.devid = le64_make(77);
	assert_int_equal(vol_chunk_add(v, SLOT(5), &item), -EUCLEAN);
	assert_true(vol_chunk_get(v, 3, &c));
	assert_int_equal(c.logical, SLOT(2));
	assert_false(vol_chunk_get(v, 4, &c));
	assert_true(vol_chunk_next(v, SLOT(0) + MIB, &c));
	assert_int_equal(c.logical, SLOT(1));
	assert_true(vol_chunk_stripe(v, SLOT(1) + 5, 0, &stripe));
	assert_int_equal(stripe.physical, 2 * MIB);
	assert_int_equal(stripe.len, MIB);
	assert_false(vol_chunk_stripe(v, SLOT(1), 1, &stripe));
	assert_int_equal(slot_change(vb, v, 1, false), 0);
	assert_int_equal(slot_change(vb, v, 1, false), -ENOENT);
	assert_int_equal(vol_chunk_remove(v, SLOT(2) + 1), -ENOENT);
	assert_false(vol_chunk_find(v, SLOT(1), &c));
	assert_int_equal(vol_copies(v, SLOT(1)), -ENXIO);
	assert_true(vol_chunk_next(v, SLOT(0) + MIB, &c));
	assert_int_equal(c.logical, SLOT(2));
	vol_close(v);
	vb_destroy(vb);
}

/* Without memory nothing changes. */
static void test_no_memory(void **state)
{
	struct vol_chunk_info c;
	struct vol *v;
	struct vb *vb = make(&v);

	for (unsigned i = 1; i < 20; i++)
		assert_int_equal(slot_change(vb, v, i, true), 0);
	for (unsigned n = 1; n < 3; n++) {
		fault_arm(FAULT_ALLOC, n);
		assert_int_equal(slot_change(vb, v, 0, true), -ENOMEM);
		fault_arm(FAULT_ALLOC, 0);
		assert_false(vol_chunk_find(v, SLOT(0), &c));
	}
	fault_arm(FAULT_ALLOC, 1);
	assert_int_equal(slot_change(vb, v, 5, false), -ENOMEM);
	fault_arm(FAULT_ALLOC, 0);
	assert_true(vol_chunk_find(v, SLOT(5), &c));
	vol_close(v);
	vb_destroy(vb);
}

/* ---- threads ---- */

struct shared {
	struct vol *v;
	_Atomic bool stop;
	_Atomic unsigned wrong;
};

/* Ascending, without overlap, and with those that never go. */
static bool walk_right(const struct vol *v)
{
	struct vol_chunk_info c = { 0 };
	uint64_t end = 0;
	unsigned fixed = 0;

	while (vol_chunk_next(v, end, &c)) {
		if (c.logical < end)
			return false;
		fixed += c.logical == LOW || c.logical == HIGH;
		end = c.logical + c.len;
	}
	return fixed == 2;
}

static void *look(void *arg)
{
	static _Atomic unsigned seed;
	struct shared *s = arg;
	uint64_t rnd = 12345 + atomic_fetch_add(&seed, 1);
	uint8_t buf[4096];

	while (!atomic_load(&s->stop)) {
		struct vol_chunk_info c;
		unsigned i;

		rnd = rnd * 6364136223846793005ULL + 1442695040888963407ULL;
		i = (unsigned)(rnd >> 33) % SLOTS;
		if (vol_chunk_find(s->v, SLOT(i) + 4096, &c) &&
		    (c.logical != SLOT(i) || c.len != MIB || c.num_stripes != 1))
			atomic_fetch_add(&s->wrong, 1);
		if (!walk_right(s->v) || !vol_chunk_find(s->v, HIGH, &c) ||
		    vol_read(s->v, LOW + 4096 * (i % 16), buf, 4096, 4096, vb_verify, NULL, NULL))
			atomic_fetch_add(&s->wrong, 1);
	}
	return NULL;
}

static unsigned run_threads(unsigned changes)
{
	struct shared s = { 0 };
	pthread_t threads[READERS];
	bool there[SLOTS] = { 0 };
	struct vb *vb = make(&s.v);
	uint64_t rnd = 99;

	if (slot_change(vb, s.v, SLOTS / 2, true))
		abort();
	for (unsigned i = 0; i < READERS; i++)
		if (pthread_create(&threads[i], NULL, look, &s))
			abort();
	for (unsigned n = 0; n < changes; n++) {
		unsigned i;

		rnd = rnd * 6364136223846793005ULL + 1442695040888963407ULL;
		i = (unsigned)(rnd >> 33) % SLOTS;
		if (i == SLOTS / 2)
			continue;
		if (slot_change(vb, s.v, i, !there[i]))
			atomic_fetch_add(&s.wrong, 1);
		there[i] = !there[i];
	}
	atomic_store(&s.stop, true);
	for (unsigned i = 0; i < READERS; i++)
		pthread_join(threads[i], NULL);
	for (unsigned i = 0; i < SLOTS; i++) {
		struct vol_chunk_info c;

		if (i != SLOTS / 2 && vol_chunk_find(s.v, SLOT(i), &c) != there[i])
			atomic_fetch_add(&s.wrong, 1);
	}
	vol_close(s.v);
	vb_destroy(vb);
	return atomic_load(&s.wrong);
}

static void test_threads(void **state)
{
	assert_int_equal(run_threads(20000), 0);
}

#ifdef UBTRFS_PLANT
static int checker(void)
{
	return run_threads(50000) != 0;
}

static void test_plants(void **state)
{
	assert_false(caught("none", checker));
	assert_true(caught("vol_map_spoils_older", checker));
}
#endif

static int teardown(void **state)
{
	bdev_rings_destroy();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_threads),
#ifdef UBTRFS_PLANT
		cmocka_unit_test(test_plants),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, teardown);
}
