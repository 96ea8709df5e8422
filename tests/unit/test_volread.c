// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Reading volumes of every profile, whole and with every combination of devices bad that the
 * profile bears, and some that it doesn't. The volumes are built by code of the test's own
 * (volbuild.c).
 */
#include "engine/util/fault.h"
#include "engine/volume/raid.h"
#include "tests/unit/plants.h"
#include "tests/unit/volopen.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DATA BTRFS_BLOCK_GROUP_DATA
#define LOGICAL (16ull << 20)

static const struct shape {
	uint64_t profile;
	unsigned devs;
	unsigned bears;
} shapes[] = {
	{ 0, 1, 0 },
	{ BTRFS_BLOCK_GROUP_RAID0, 1, 0 },
	{ BTRFS_BLOCK_GROUP_RAID0, 3, 0 },
	{ BTRFS_BLOCK_GROUP_RAID1, 2, 1 },
	{ BTRFS_BLOCK_GROUP_RAID1C3, 3, 2 },
	{ BTRFS_BLOCK_GROUP_RAID1C4, 4, 3 },
	{ BTRFS_BLOCK_GROUP_RAID10, 2, 1 },
	{ BTRFS_BLOCK_GROUP_RAID10, 4, 1 },
	{ BTRFS_BLOCK_GROUP_RAID10, 6, 1 },
	{ BTRFS_BLOCK_GROUP_RAID5, 2, 1 },
	{ BTRFS_BLOCK_GROUP_RAID5, 3, 1 },
	{ BTRFS_BLOCK_GROUP_RAID5, 5, 1 },
	{ BTRFS_BLOCK_GROUP_RAID6, 3, 2 },
	{ BTRFS_BLOCK_GROUP_RAID6, 4, 2 },
	{ BTRFS_BLOCK_GROUP_RAID6, 6, 2 },
};
#define NR_SHAPES (sizeof(shapes) / sizeof(shapes[0]))

static struct counters counters;
static const struct vol_opts degraded = { .degraded = true, .super_copy = -1 };
static uint8_t *buf; /* room for any chunk */

static uint32_t rnd_state = 1;
static uint32_t rnd(uint32_t below)
{
	rnd_state = rnd_state * 1664525 + 1013904223;
	return (rnd_state >> 8) % below;
}

static struct vb *make(const struct shape *s)
{
	struct vb *vb = vb_create(s->devs, 0xaa);

	for (unsigned i = 0; i < s->devs; i++)
		vb_write_super(vb, i, 0, NULL);
	vb_add_chunk(vb, DATA | s->profile, LOGICAL, s->devs < 6 ? s->devs + 2 : 7);
	return vb;
}

static struct vol *must_open(struct vb *vb, const struct vol_opts *opts)
{
	struct vol *v;

	assert_int_equal(open_volume(vb, opts, NULL, &counters, &v), 0);
	return v;
}

static bool right(uint64_t logical, const uint8_t *p, uint64_t len)
{
	return vb_verify(NULL, logical, p, (uint32_t)len);
}

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

static const enum vb_state bad_states[] = { VB_MISSING, VB_GARBAGE, VB_LYING, VB_FAILING };

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

/* Units that begin in one stripe or chunk and end in the next, with devices bad. */
static void test_spread(void **state)
{
	for (unsigned i = 0; i < NR_SHAPES; i++) {
		const struct shape *s = &shapes[i];

		for (unsigned bad = 0; bad <= (s->bears ? s->devs : 0); bad++) {
			struct vb *vb = make(s);
			struct vb_chunk *c = &vb->chunks[0];
			uint64_t second = c->logical + c->len;
			struct vol *v;

			vb_add_chunk(vb, DATA | s->profile, second, 3);
			if (bad)
				vb_spoil(vb, bad - 1, bad_states[(bad + i) % 4]);
			v = must_open(vb, &degraded);
			assert_int_equal(vol_read(v, LOGICAL + 61440, buf, 7 * 16384, 16384,
						  vb_verify, NULL, NULL),
					 0);
			assert_true(right(LOGICAL + 61440, buf, 7 * 16384));
			assert_int_equal(vol_read(v, second - 4096, buf, 2 * 65536, 65536,
						  vb_verify, NULL, NULL),
					 0);
			assert_true(right(second - 4096, buf, 2 * 65536));
			/* What nothing maps. */
			assert_int_equal(
				vol_read(v, LOGICAL - 4096, buf, 8192, 4096, vb_verify, NULL, NULL),
				-ENXIO);
			assert_int_equal(vol_read(v, second + vb->chunks[1].len - 4096, buf, 8192,
						  8192, vb_verify, NULL, NULL),
					 -ENXIO);
			vol_close(v);
			vb_destroy(vb);
		}
	}
}

/* A spread unit whose halves are bad on different copies; and one that is lost. */
static void test_spread_mixed(void **state)
{
	const struct shape s = { BTRFS_BLOCK_GROUP_RAID10, 4, 1 };
	struct vb *vb = make(&s);
	struct vb_chunk *c = &vb->chunks[0];
	struct vol *v = must_open(vb, &degraded);

	/* Ends of the first column's stripe, beginning of the second's. */
	vb->devs[0].mem[c->physical[0] + 65535] ^= 1;
	vb->devs[3].mem[c->physical[3]] ^= 1;
	assert_int_equal(vol_read(v, LOGICAL + 57344, buf, 16384, 16384, vb_verify, NULL, NULL), 0);
	assert_true(right(LOGICAL + 57344, buf, 16384));
	vb->devs[2].mem[c->physical[2]] ^= 1;
	assert_int_equal(vol_read(v, LOGICAL + 57344, buf, 16384, 16384, vb_verify, NULL, NULL),
			 -EUCLEAN);
	vol_close(v);
	vb_destroy(vb);
}

/* A device that missed writes has good-looking old data: without a verify it must not be asked. */
static bool never(void *arg, uint64_t logical, const void *p, uint32_t unit)
{
	(void)arg;
	(void)logical;
	(void)p;
	(void)unit;
	return false;
}

/* Hundreds of stripes make hundreds of guesses: what they are made from is read once. */
static void test_spread_many_stripes(void **state)
{
	enum { STRIPES = 300 };
	struct vb *vb = vb_create(1, 0xaa);
	size_t size = sizeof(struct btrfs_chunk) + STRIPES * sizeof(struct btrfs_stripe);
	struct btrfs_chunk *item = calloc(1, size);
	struct vol_read_result res;
	uint64_t before, bytes;
	struct vol *v;

	(void)state;
	vb_write_super(vb, 0, 0, NULL);
	v = must_open(vb, &degraded);
	assert_non_null(item);
	item->length = le64_make((STRIPES - 2) * (uint64_t)VB_STRIPE);
	item->stripe_len = le64_make(VB_STRIPE);
	item->type = le64_make(DATA | BTRFS_BLOCK_GROUP_RAID6);
	item->num_stripes = le16_make(STRIPES);
	item->sub_stripes = le16_make(1);
	for (unsigned i = 0; i < STRIPES; i++) {
		struct btrfs_stripe *s = &(&item->stripe)[i];

		s->devid = le64_make(vb->devs[0].devid);
		s->offset = le64_make((1 << 20) + 4096 * i % 65536);
		memcpy(s->dev_uuid, vb->devs[0].uuid, 16);
	}
	assert_int_equal(vol_chunk_add(v, 2 * LOGICAL, item), 0);
	before = counter_get(&counters, io_read_bytes);
	assert_int_equal(vol_read(v, 2 * LOGICAL + 4096, buf, 65536, 65536, never, NULL, &res),
			 -EUCLEAN);
	bytes = counter_get(&counters, io_read_bytes) - before;
	/* Each row twice over, and the unit's own bytes at each try. */
	assert_in_range(bytes, 1, 2ull * STRIPES * 65536 + 1024 * 65536);
	free(item);
	vol_close(v);
	vb_destroy(vb);
}

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

/* ---- the arithmetic ---- */

static uint8_t slow_mul(uint8_t a, uint8_t b)
{
	unsigned r = 0, x = a;

	for (; b; b >>= 1, x <<= 1) {
		if (x & 0x100)
			x ^= 0x11d;
		if (b & 1)
			r ^= x;
	}
	return (uint8_t)r;
}

static void test_field(void **state)
{
	uint8_t src[300], dst[300], want[300];

	for (unsigned a = 0; a < 256; a++)
		for (unsigned b = 0; b < 256; b++)
			assert_int_equal(raid_gf_mul((uint8_t)a, (uint8_t)b),
					 slow_mul((uint8_t)a, (uint8_t)b));
	for (unsigned a = 1; a < 256; a++)
		assert_int_equal(slow_mul((uint8_t)a, raid_gf_inv((uint8_t)a)), 1);
	assert_int_equal(raid_gf_exp(0), 1);
	for (unsigned i = 0; i < 600; i++)
		assert_int_equal(raid_gf_exp(i + 1), slow_mul(raid_gf_exp(i), 2));
	for (uint32_t len = 0; len < 300; len++) {
		uint8_t coef = (uint8_t)rnd(256);

		for (unsigned i = 0; i < 300; i++) {
			src[i] = (uint8_t)rnd(256);
			dst[i] = want[i] = (uint8_t)rnd(256);
			if (i < len)
				want[i] ^= slow_mul(coef, src[i]);
		}
		raid_gf_add(dst, src, coef, len);
		assert_memory_equal(dst, want, 300);
	}
}

static void test_profiles(void **state)
{
	assert_string_equal(raid_profile(DATA)->name, "single");
	assert_string_equal(raid_profile(DATA | BTRFS_BLOCK_GROUP_RAID1C3)->name, "RAID1C3");
	assert_null(raid_profile(BTRFS_BLOCK_GROUP_RAID1 | BTRFS_BLOCK_GROUP_DUP));
	for (unsigned i = 0; i < NR_SHAPES; i++)
		assert_int_equal(raid_profile(shapes[i].profile)->tolerated, shapes[i].bears);
	assert_int_equal(raid_data_stripes(raid_profile(BTRFS_BLOCK_GROUP_RAID10), 6, 2), 3);
	assert_int_equal(raid_data_stripes(raid_profile(BTRFS_BLOCK_GROUP_RAID6), 6, 1), 4);
	assert_int_equal(raid_data_stripes(raid_profile(BTRFS_BLOCK_GROUP_RAID1C4), 4, 1), 1);
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
		wrong += vol_read(v, c->logical, buf, (uint32_t)c->len, 4096, vb_verify, NULL, NULL) ||
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

static int setup(void **state)
{
	buf = NULL;
	return posix_memalign((void **)&buf, BDEV_ALIGN, 4u << 20);
}

static int teardown(void **state)
{
	free(buf);
	bdev_rings_destroy();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_field),	  cmocka_unit_test(test_profiles),
		cmocka_unit_test(test_whole),	  cmocka_unit_test(test_dup),
		cmocka_unit_test(test_tolerated), cmocka_unit_test(test_beyond),
		cmocka_unit_test(test_patchy),	  cmocka_unit_test(test_one_sector),
		cmocka_unit_test(test_spread),	  cmocka_unit_test(test_spread_mixed),
		cmocka_unit_test(test_spread_many_stripes),
#ifdef UBTRFS_PLANT
		cmocka_unit_test(test_plants),
#endif
		cmocka_unit_test(test_stale),	  cmocka_unit_test(test_map),
		cmocka_unit_test(test_faults),	  cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
