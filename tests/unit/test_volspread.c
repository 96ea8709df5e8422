// SPDX-License-Identifier: GPL-2.0-or-later
/* Reading units that lie in two stripes or chunks, with devices bad. */
#include "tests/unit/volshapes.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spread),
		cmocka_unit_test(test_spread_mixed),
		cmocka_unit_test(test_spread_many_stripes),
	};

	return cmocka_run_group_tests(tests, shapes_setup, shapes_teardown);
}
