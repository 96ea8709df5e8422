// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Reading volumes of every profile, whole and with every combination of devices bad that the
 * profile bears, and some that it doesn't. The volumes are built by code of the test's own
 * (volbuild.c).
 */
#include "engine/util/fault.h"
#include "engine/volume/raid.h"
#include "tests/unit/plants.h"
#include "tests/unit/volshapes.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Everything must be readable, in one go and in random pieces. */
static void expect_all(struct vol *v, const struct vb_chunk *c, uint32_t unit)
{
	struct vol_read_result res;
	struct vol_io ios[6];
	uint32_t pos = 0;

	memset(buf, 0, c->len);
	assert_int_equal(
		vol_read(v, c->logical, buf, (uint32_t)c->len, unit, vb_verify, NULL, &res), 0);
	assert_true(right(c->logical, buf, c->len));
	memset(buf, 0, c->len);
	for (unsigned i = 0; i < 6; i++) {
		uint32_t off = rnd((uint32_t)c->len / unit) * unit;
		uint32_t len = (1 + rnd(3)) * unit;

		if (len > c->len - off)
			len = (uint32_t)c->len - off;
		ios[i] = (struct vol_io){ .logical = c->logical + off,
					  .buf = buf + pos,
					  .len = len,
					  .unit = unit,
					  .verify = vb_verify };
		pos += len;
	}
	assert_int_equal(vol_read_many(v, ios, 6), 0);
	for (unsigned i = 0; i < 6; i++)
		assert_true(right(ios[i].logical, ios[i].buf, ios[i].len));
}

static const uint32_t units[] = { 4096, 16384, 65536 };

static void test_whole(void **state)
{
	struct vol_opts opts = { .super_copy = -1 };

	for (unsigned i = 0; i < NR_SHAPES; i++) {
		struct vb *vb = make(&shapes[i]);

		for (opts.prefer_copy = 0; opts.prefer_copy < 5; opts.prefer_copy++) {
			struct vol *v = must_open(vb, &opts);

			for (unsigned u = 0; u < 3; u++)
				expect_all(v, &vb->chunks[0], units[u]);
			/* Odd places and lengths, unchecked. */
			assert_int_equal(
				vol_read(v, LOGICAL + 65000, buf, 777, 777, NULL, NULL, NULL), 0);
			assert_true(right(LOGICAL + 65000, buf, 777));
			vol_close(v);
		}
		vb_destroy(vb);
	}
}

/* Both copies of DUP are on one device: overwrite one, then the other. */
static void test_dup(void **state)
{
	for (unsigned bad = 0; bad < 2; bad++) {
		struct vb *vb = vb_create(1, 0xaa);
		struct vb_chunk *c = &vb->chunks[0];
		struct vol *v;

		vb_write_super(vb, 0, 0, NULL);
		vb_add_chunk(vb, DATA | BTRFS_BLOCK_GROUP_DUP, LOGICAL, 3);
		v = must_open(vb, &degraded);
		assert_int_equal(vol_copies(v, LOGICAL), 2);
		expect_all(v, c, 4096);
		memset(vb->devs[0].mem + c->physical[bad], 0x77, c->len);
		expect_all(v, c, 16384);
		assert_int_equal(vol_read_copy(v, LOGICAL, buf, 65536, (int)bad + 1), 0);
		assert_int_equal(buf[9], 0x77);
		assert_int_equal(vol_read_copy(v, LOGICAL, buf, 65536, 2 - (int)bad), 0);
		assert_true(right(LOGICAL, buf, 65536));
		assert_int_equal(vol_read_copy(v, LOGICAL, buf, 65536, 3), -EINVAL);
		memset(vb->devs[0].mem + c->physical[!bad], 0x78, c->len);
		assert_int_equal(vol_read(v, LOGICAL, buf, 4096, 4096, vb_verify, NULL, NULL),
				 -EUCLEAN);
		vol_close(v);
		vb_destroy(vb);
	}
}

/* Puts devices `which` into the states that the digits of `code` name, reads, and puts all back. */
static void read_damaged(struct vb *vb, uint8_t **saved, const unsigned *which, unsigned nr,
			 unsigned code)
{
	struct vol_opts opts = degraded;
	struct vol *v;

	for (unsigned k = 0, digits = code; k < nr; k++, digits /= 4)
		vb_spoil(vb, which[k], bad_states[digits % 4]);
	opts.prefer_copy = (int)(code % 3);
	v = must_open(vb, &opts);
	expect_all(v, &vb->chunks[0], units[rnd(3)]);
	vol_close(v);
	for (unsigned k = 0; k < nr; k++) {
		vb->devs[which[k]].state = VB_FINE;
		memcpy(vb->devs[which[k]].mem, saved[which[k]], VB_DEV_BYTES);
	}
}

/* The next choice of nr out of n, ascending; false after the last. */
static bool next_choice(unsigned *which, unsigned nr, unsigned n)
{
	for (unsigned k = nr; k-- > 0;) {
		if (which[k] < n - nr + k) {
			which[k]++;
			for (unsigned i = k + 1; i < nr; i++)
				which[i] = which[i - 1] + 1;
			return true;
		}
	}
	return false;
}

static void test_tolerated(void **state)
{
	unsigned cases = 0;

	for (unsigned i = 0; i < NR_SHAPES; i++) {
		const struct shape *s = &shapes[i];
		uint8_t *saved[VB_MAX_DEVS];
		struct vb *vb;

		if (!s->bears)
			continue;
		vb = make(s);
		for (unsigned d = 0; d < s->devs; d++) {
			saved[d] = malloc(VB_DEV_BYTES);
			memcpy(saved[d], vb->devs[d].mem, VB_DEV_BYTES);
		}
		for (unsigned nr = 1, codes = 4; nr <= s->bears; nr++, codes *= 4) {
			unsigned which[3] = { 0, 1, 2 };

			do {
				for (unsigned code = 0; code < codes; code++, cases++)
					read_damaged(vb, saved, which, nr, code);
			} while (next_choice(which, nr, s->devs));
		}
		for (unsigned d = 0; d < s->devs; d++)
			free(saved[d]);
		vb_destroy(vb);
	}
	print_message("%u combinations of bad devices\n", cases);
}

static int expected_error(enum vb_state s)
{
	return s == VB_MISSING ? -ENXIO : s == VB_FAILING ? -EIO : -EUCLEAN;
}

/* A read that was only a guess is not counted as something lost. */
static void hinted(struct vol *v, uint64_t logical, int expected)
{
	struct vol_io io = {
		.logical = logical, .buf = buf, .len = 16384, .unit = 16384, .verify = vb_verify, .hint = true,
	};
	uint64_t unreadable = counter_get(&counters, vol_unreadable);

	assert_int_equal(vol_read_many(v, &io, 1), expected);
	assert_int_equal(counter_get(&counters, vol_unreadable), unreadable);
}

/* One device more than the profile bears: errors of the right kind, and never wrong bytes. */
static void beyond(const struct shape *s, enum vb_state bad)
{
	struct vb *vb = make(s);
	struct vb_chunk *c = &vb->chunks[0];
	struct vol_read_result res;
	uint64_t first_bad = 0;
	unsigned lost = 0;
	struct vol *v;
	int ret;

	for (unsigned d = 0; d <= s->bears; d++)
		vb_spoil(vb, d, bad);
	if (bad == VB_MISSING && s->bears + 1 == s->devs) {
		vb_destroy(vb); /* nothing left to open */
		return;
	}
	v = must_open(vb, &degraded);
	memset(&counters, 0, sizeof(counters));
	for (uint64_t off = 0; off < c->len; off += 16384) {
		ret = vol_read(v, c->logical + off, buf, 16384, 16384, vb_verify, NULL, &res);
		if (!ret) {
			assert_true(right(c->logical + off, buf, 16384));
			continue;
		}
		assert_int_equal(ret, expected_error(bad));
		assert_int_equal(res.bad_logical, c->logical + off);
		if (!lost++)
			first_bad = c->logical + off;
	}
	assert_true(lost > 0);
	assert_int_equal(counter_get(&counters, vol_unreadable), lost);
	/* In one go: the same units are lost, the others are right. */
	memset(buf, 0, c->len);
	ret = vol_read(v, c->logical, buf, (uint32_t)c->len, 16384, vb_verify, NULL, &res);
	assert_int_equal(ret, expected_error(bad));
	assert_int_equal(res.bad_logical, first_bad);
	for (uint64_t off = 0; off < c->len; off += 16384)
		lost -= !right(c->logical + off, buf + off, 16384);
	assert_int_equal(lost, 0);
	hinted(v, first_bad, expected_error(bad));
	vol_close(v);
	vb_destroy(vb);
}

static void test_beyond(void **state)
{
	for (unsigned i = 0; i < NR_SHAPES; i++)
		for (unsigned k = 0; k < 4; k++)
			beyond(&shapes[i], bad_states[k]);
}

/* Damages one 4096-byte sector of a stripe, by lying or by an I/O error. */
static void hurt(struct vb *vb, const struct vb_chunk *c, unsigned stripe, uint64_t dev_off)
{
	struct vb_dev *d = &vb->devs[c->dev[stripe]];
	uint64_t physical = c->physical[stripe] + dev_off;

	if (rnd(2))
		d->mem[physical + rnd(4096)] ^= (uint8_t)(1 + rnd(255));
	else
		d->bad[physical / 4096] = 1;
}

/* Sector by sector other stripes are bad, as many as the profile bears: all can still be had. */
static void test_patchy(void **state)
{
	for (unsigned i = 0; i < NR_SHAPES; i++) {
		const struct shape *s = &shapes[i];
		unsigned group = s->profile == BTRFS_BLOCK_GROUP_RAID10 ? 2 : s->devs;
		struct vb *vb = make(s);
		struct vb_chunk *c = &vb->chunks[0];
		struct vol *v;

		for (unsigned d = 0; d < s->devs; d++)
			vb_spoil(vb, d, VB_PATCHY);
		for (uint64_t off = 0; off < (s->devs < 6 ? s->devs + 2 : 7) * VB_STRIPE;
		     off += 4096) {
			for (unsigned g = 0; g < s->devs; g += group) {
				unsigned first = rnd(group);

				for (unsigned k = 0; k < rnd(s->bears + 1); k++)
					hurt(vb, c, g + (first + k) % group, off);
			}
		}
		for (int prefer = 0; prefer < 3; prefer++) {
			struct vol_opts opts = { .super_copy = -1, .prefer_copy = prefer };

			v = must_open(vb, &opts);
			expect_all(v, c, 4096);
			vol_close(v);
		}
		vb_destroy(vb);
	}
}

/* One bad sector of an unprotected device loses one unit, not the whole transfer. */
static void test_one_sector(void **state)
{
	struct vb *vb = make(&shapes[0]);
	struct vb_chunk *c = &vb->chunks[0];
	struct vol_read_result res;
	struct vol *v = must_open(vb, &degraded);

	vb_spoil(vb, 0, VB_PATCHY);
	vb->devs[0].bad[(c->physical[0] + 40960) / 4096] = 1;
	assert_int_equal(vol_read(v, LOGICAL, buf, (uint32_t)c->len, 4096, vb_verify, NULL, &res),
			 -EIO);
	assert_int_equal(res.bad_logical, LOGICAL + 40960);
	assert_true(right(LOGICAL, buf, 40960));
	assert_true(right(LOGICAL + 45056, buf + 45056, c->len - 45056));
	assert_int_equal(vol_read(v, LOGICAL, buf, 65536, 65536, NULL, NULL, &res), -EIO);
	vol_close(v);
	vb_destroy(vb);
}

/* A device that missed writes has good-looking old data: without a verify it must not be asked. */
static void test_stale(void **state)
{
	for (unsigned i = 0; i < NR_SHAPES; i++) {
		const struct shape *s = &shapes[i];

		for (unsigned d = 0; s->bears && d < s->devs; d++) {
			struct vb *vb = make(s);
			struct vb_chunk *c = &vb->chunks[0];
			struct vol *v;

			vb->devs[d].generation--;
			vb_write_super(vb, d, 0, NULL);
			vb_spoil(vb, d, VB_GARBAGE);
			v = must_open(vb, &degraded);
			assert_int_equal(
				vol_read(v, LOGICAL, buf, (uint32_t)c->len, 4096, NULL, NULL, NULL),
				0);
			assert_true(right(LOGICAL, buf, c->len));
			vol_close(v);
			vb_destroy(vb);
		}
	}
}

struct mapped {
	struct vb *vb;
	uint64_t next;
	int copy;
	uint64_t bytes;
};

static int check_place(void *arg, const struct vol_place *p)
{
	struct mapped *m = arg;
	unsigned d = 0;

	if (p->copy != m->copy) {
		assert_int_equal(p->copy, m->copy + 1);
		m->copy = p->copy;
		m->next = LOGICAL + 4096;
	}
	assert_int_equal(p->logical, m->next);
	while (m->vb->devs[d].devid != p->devid)
		d++;
	assert_int_equal(p->missing, m->vb->devs[d].state == VB_MISSING);
	assert_true(right(p->logical, m->vb->devs[d].mem + p->physical, p->len));
	m->next += p->len;
	m->bytes += p->len;
	return p->len == 1 ? 42 : 0;
}

static void test_map(void **state)
{
	for (unsigned i = 0; i < NR_SHAPES; i++) {
		struct vb *vb = make(&shapes[i]);
		struct vb_chunk *c = &vb->chunks[0];
		struct mapped m = { .vb = vb };
		struct vol *v;

		if (shapes[i].bears)
			vb->devs[0].state = VB_MISSING;
		v = must_open(vb, &degraded);
		assert_int_equal(vol_map(v, LOGICAL + 4096, c->len - 4096, check_place, &m), 0);
		assert_int_equal(m.copy, vol_copies(v, LOGICAL));
		assert_int_equal(m.bytes, (c->len - 4096) * (unsigned)m.copy);
		assert_int_equal(m.copy, raid_profile(c->type)->copies);
		m = (struct mapped){ .vb = vb };
		assert_int_equal(vol_map(v, LOGICAL + 4096, 1, check_place, &m), 42);
		assert_int_equal(vol_map(v, LOGICAL + c->len, 1, check_place, &m), -ENXIO);
		assert_int_equal(vol_copies(v, LOGICAL + c->len), -ENXIO);
		vol_close(v);
		vb_destroy(vb);
	}
}

/* Each read and each allocation fails once: the same answer, or an honest error. */
static void test_faults(void **state)
{
	for (unsigned i = 0; i < NR_SHAPES; i++) {
		const struct shape *s = &shapes[i];
		struct vb *vb = make(s);
		struct vol *v = must_open(vb, &degraded);
		uint32_t len = vb->chunks[0].len < 262144 ? (uint32_t)vb->chunks[0].len : 262144;
		uint64_t n, passed;
		int ret;

		n = 0;
		do {
			fault_arm(FAULT_READ, ++n);
			memset(buf, 0, len);
			ret = vol_read(v, LOGICAL, buf, len, 4096, vb_verify, NULL, NULL);
			passed = fault_count(FAULT_READ);
			fault_arm(FAULT_READ, 0);
			assert_int_equal(ret, 0); /* even without redundancy: it is tried again */
			assert_true(right(LOGICAL, buf, len));
		} while (passed >= n);
		vol_close(v);

		if (s->bears)
			vb_spoil(vb, 0, VB_GARBAGE);
		n = 0;
		do {
			fault_arm(FAULT_ALLOC, ++n);
			ret = open_volume(vb, &degraded, NULL, &counters, &v);
			if (!ret)
				ret = vol_read(v, LOGICAL, buf, (uint32_t)vb->chunks[0].len, 4096,
					       vb_verify, NULL, NULL);
			passed = fault_count(FAULT_ALLOC);
			fault_arm(FAULT_ALLOC, 0);
			if (v)
				vol_close(v);
			assert_int_equal(ret, passed >= n ? -ENOMEM : 0);
		} while (passed >= n);
		vb_destroy(vb);
	}
}

static void *read_loop(void *arg)
{
	struct vol *v = arg;
	uint8_t *mine = malloc(65536);

	for (unsigned i = 0; i < 60; i++) {
		uint64_t logical = LOGICAL + (i * 7 % 20) * 16384;

		if (vol_read(v, logical, mine, 65536, 4096, vb_verify, NULL, NULL) ||
		    !right(logical, mine, 65536))
			abort();
	}
	free(mine);
	return NULL;
}

static void test_threads(void **state)
{
	const struct shape s = { BTRFS_BLOCK_GROUP_RAID6, 4, 2 };
	struct vb *vb = make(&s);
	pthread_t t[4];
	struct vol *v;

	vb_spoil(vb, 1, VB_MISSING);
	vb_spoil(vb, 3, VB_LYING);
	v = must_open(vb, &degraded);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, read_loop, v), 0);
	for (unsigned i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	vol_close(v);
	vb_destroy(vb);
}

#ifdef UBTRFS_PLANT
/* Every shape that bears a device, with one that lies: how many are not read right? */
static int wrong_shapes(void)
{
	int wrong = 0;

	for (unsigned i = 0; i < NR_SHAPES; i++) {
		struct vb *vb = make(&shapes[i]);
		const struct vb_chunk *c = &vb->chunks[0];
		struct vol *v;

		if (shapes[i].bears)
			vb_spoil(vb, 1, VB_LYING);
		if (open_volume(vb, &degraded, NULL, &counters, &v))
			return -1;
		memset(buf, 0, c->len);
		wrong += vol_read(v, c->logical, buf, (uint32_t)c->len, 4096, vb_verify, NULL,
				  NULL) ||
			 !right(c->logical, buf, c->len);
		vol_close(v);
		vb_destroy(vb);
	}
	return wrong;
}

static void test_plants(void **state)
{
	assert_false(caught("none", wrong_shapes));
	assert_true(caught("vol_believe_first", wrong_shapes));
	assert_true(caught("raid_no_rotation", wrong_shapes));
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),	  cmocka_unit_test(test_dup),
		cmocka_unit_test(test_tolerated), cmocka_unit_test(test_beyond),
		cmocka_unit_test(test_patchy),	  cmocka_unit_test(test_one_sector),
#ifdef UBTRFS_PLANT
		cmocka_unit_test(test_plants),
#endif
		cmocka_unit_test(test_stale),	  cmocka_unit_test(test_map),
		cmocka_unit_test(test_faults),	  cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, shapes_setup, shapes_teardown);
}
