// SPDX-License-Identifier: GPL-2.0-or-later
/* The simulated disk does what it says: what is durable stays, what isn't may go; and the recorder. */
#include "ondisk/format.h"
#include "tests/lib/recorder.h"
#include "tests/lib/simdisk.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define MIB (1ull << 20)
static const uint64_t sizes[2] = { 8 * MIB, 3 * MIB + 512 };

static uint8_t byte_at(struct simdisk *d, unsigned i, uint64_t off)
{
	uint8_t b;

	assert_int_equal(blk_read(simdisk_blk(d, i), off, &b, 1), 0);
	return b;
}

static void put(struct simdisk *d, unsigned i, uint64_t off, uint8_t value, uint32_t len)
{
	uint8_t buf[16384];

	memset(buf, value, len);
	assert_int_equal(blk_write(simdisk_blk(d, i), off, buf, len), 0);
}

/* Against plain memory, through forks that must not see each other. */
static void test_contents(void **state)
{
	struct simdisk *d = simdisk_create(2, sizes), *f;
	uint8_t *model = calloc(1, sizes[0]), *before = malloc(sizes[0]), *now = malloc(sizes[0]);
	uint8_t buf[16384];
	uint64_t rng = 5;

	for (unsigned round = 0; round < 8; round++) {
		memcpy(before, model, sizes[0]);
		f = simdisk_fork(d);
		for (unsigned i = 0; i < 60; i++) {
			uint32_t len = 1 + (uint32_t)sim_below(&rng, sizeof(buf));
			uint64_t off = sim_below(&rng, sizes[0] - len);

			if (i % 7 == 3) {
				assert_int_equal(blk_discard(simdisk_blk(d, 0), off, len), 0);
				memset(model + off, 0, len);
			} else {
				memset(buf, (int)(i + round), len);
				memcpy(model + off, buf, len);
				assert_int_equal(blk_write(simdisk_blk(d, 0), off, buf, len), 0);
			}
			if (i % 20 == 9)
				assert_int_equal(blk_flush(simdisk_blk(d, 0)), 0);
		}
		assert_int_equal(blk_read(simdisk_blk(f, 0), 0, now, (uint32_t)sizes[0]), 0);
		assert_memory_equal(now, before, sizes[0]);
		simdisk_destroy(f);
	}
	assert_int_equal(blk_read(simdisk_blk(d, 0), 0, now, (uint32_t)sizes[0]), 0);
	assert_memory_equal(now, model, sizes[0]);
	assert_int_equal(simdisk_now(d), 8 * 60);
	/* All is flushed: a crash takes nothing. */
	assert_int_equal(blk_flush(simdisk_blk(d, 0)), 0);
	f = simdisk_crash(d, 1, 0);
	assert_int_equal(blk_read(simdisk_blk(f, 0), 0, now, (uint32_t)sizes[0]), 0);
	assert_memory_equal(now, model, sizes[0]);
	simdisk_destroy(f);
	simdisk_destroy(d);
	free(model);
	free(before);
	free(now);
}

/*
 * Two writes to one place, one elsewhere, one on the other disk, one to a superblock's place: over many
 * seeds every outcome that may be is seen, and none that may not.
 */
static void test_crash_states(void **state)
{
	struct simdisk *d = simdisk_create(2, sizes);
	unsigned seen_a[4] = { 0 }, seen_other[2] = { 0 }, torn = 0, torn_super = 0, lone = 0;
	uint8_t sb[4096];
	char id[80];

	put(d, 0, 1 * MIB, 1, 4096);
	put(d, 0, 3 * MIB, 1, 4096);
	assert_int_equal(blk_flush(simdisk_blk(d, 0)), 0);
	put(d, 0, 1 * MIB, 2, 4096);
	put(d, 0, 1 * MIB, 3, 4096);
	put(d, 0, 2 * MIB + 100, 9, 8192);
	put(d, 1, 1 * MIB, 2, 4096);
	memset(sb, 8, sizeof(sb));
	assert_int_equal(blk_write(simdisk_blk(d, 0), btrfs_sb_offset(0), sb, 4096), 0);
	for (uint64_t seed = 0; seed < 500; seed++) {
		struct simdisk *c = simdisk_crash(d, seed, seed & 1 ? SIMDISK_TORN_SUPERS : 0);
		uint8_t a = byte_at(c, 0, 1 * MIB), first = byte_at(c, 0, 2 * MIB + 100);
		uint8_t last = byte_at(c, 0, 2 * MIB + 8291);
		uint8_t s0 = byte_at(c, 0, 65536), s1 = byte_at(c, 0, 65536 + 512);
		bool sb_torn = s0 != s1 || s0 != byte_at(c, 0, 65536 + 3584);

		assert_in_range(a, 1, 3);
		seen_a[a]++;
		assert_int_equal(byte_at(c, 0, 3 * MIB), 1);
		seen_other[byte_at(c, 1, 1 * MIB) == 2]++;
		torn += first != last;
		torn_super += sb_torn;
		assert_true(!sb_torn || (seed & 1));
		lone += s0 == 8 && a == 1 && !first && !last;
		/* The same again. */
		struct simdisk *again = simdisk_crash(d, seed, seed & 1 ? SIMDISK_TORN_SUPERS : 0);

		assert_int_equal(byte_at(again, 0, 1 * MIB), a);
		snprintf(id, sizeof(id), "crash at write 7, seed %u", (unsigned)seed);
		assert_string_equal(simdisk_id(again), id);
		simdisk_destroy(again);
		simdisk_destroy(c);
	}
	assert_true(seen_a[1] > 20 && seen_a[2] > 20 && seen_a[3] > 20);
	assert_true(seen_other[0] > 50 && seen_other[1] > 50);
	assert_true(torn > 3);
	assert_true(torn_super > 2);
	assert_true(lone > 10);
	simdisk_destroy(d);
}

static void test_tracking(void **state)
{
	struct simdisk *d = simdisk_create(1, sizes);
	unsigned late = 0;

	simdisk_track(d, 10, 210, 20, 1);
	for (unsigned i = 0; i < 300; i++) {
		put(d, 0, 4096ull * i, (uint8_t)(i + 1), 512);
		if (i % 10 == 0)
			assert_int_equal(blk_flush(simdisk_blk(d, 0)), 0);
	}
	assert_int_equal(simdisk_tracked(d), 20);
	for (unsigned i = 0; i < 20; i++) {
		struct simdisk *f = simdisk_state(d, i);
		uint64_t now = simdisk_now(f);

		assert_in_range(now, 10, 209);
		late += now >= 110;
		assert_int_equal(byte_at(f, 0, 4096 * (now - 1)), (uint8_t)now);
		assert_int_equal(byte_at(f, 0, 4096 * now), 0);
	}
	assert_in_range(late, 4, 16);
	/* One moment alone, to see a crash again. */
	simdisk_track(d, 305, 306, 1, 1);
	for (unsigned i = 0; i < 10; i++)
		put(d, 0, 0, 1, 512);
	assert_int_equal(simdisk_tracked(d), 1);
	assert_int_equal(simdisk_now(simdisk_state(d, 0)), 305);
	simdisk_destroy(d);
}

static void test_faults(void **state)
{
	struct simdisk *d = simdisk_create(2, sizes);
	uint8_t buf[4096];
	unsigned lost = 0;

	memset(buf, 5, sizeof(buf));
	simdisk_fail(d, SIMDISK_WRITE, 2);
	assert_int_equal(blk_write(simdisk_blk(d, 0), 0, buf, 4096), 0);
	assert_int_equal(blk_write(simdisk_blk(d, 0), 8192, buf, 4096), -EIO);
	assert_int_equal(byte_at(d, 0, 8192), 5);
	assert_int_equal(byte_at(d, 0, 8192 + 2048), 0);
	assert_int_equal(blk_write(simdisk_blk(d, 0), 8192, buf, 4096), 0);
	assert_int_equal(simdisk_count(d, SIMDISK_WRITE), 3);
	simdisk_fail(d, SIMDISK_READ, 1);
	assert_int_equal(blk_read(simdisk_blk(d, 0), 0, buf, 512), -EIO);
	simdisk_bad(d, 1, 8192, 4096, true, false);
	simdisk_bad(d, 1, 65536, 512, false, true);
	assert_int_equal(blk_read(simdisk_blk(d, 1), 4096, buf, 4096), 0);
	assert_int_equal(blk_read(simdisk_blk(d, 1), 8192 + 4095, buf, 1), -EIO);
	assert_int_equal(blk_write(simdisk_blk(d, 1), 8192, buf, 4096), 0);
	assert_int_equal(blk_write(simdisk_blk(d, 1), 65536 - 4096 + 512, buf, 4096), -EIO);

	/* What a failed flush may have lost no later one brings back; what came after it is safe. */
	put(d, 0, 2 * MIB, 6, 4096);
	simdisk_fail(d, SIMDISK_FLUSH, 1);
	assert_int_equal(blk_flush(simdisk_blk(d, 0)), -EIO);
	put(d, 0, 3 * MIB, 6, 4096);
	assert_int_equal(blk_flush(simdisk_blk(d, 0)), 0);
	for (uint64_t seed = 0; seed < 40; seed++) {
		struct simdisk *c = simdisk_crash(d, seed, 0);

		lost += byte_at(c, 0, 2 * MIB) != 6;
		assert_int_equal(byte_at(c, 0, 3 * MIB), 6);
		simdisk_destroy(c);
	}
	assert_in_range(lost, 5, 35);
	simdisk_vanish(d, 0);
	assert_int_equal(blk_read(simdisk_blk(d, 0), 0, buf, 512), -ENODEV);
	assert_int_equal(blk_write(simdisk_blk(d, 0), 0, buf, 512), -ENODEV);
	assert_int_equal(blk_flush(simdisk_blk(d, 0)), -ENODEV);
	assert_int_equal(blk_read(simdisk_blk(d, 1), 0, buf, 512), 0);
	simdisk_destroy(d);
}

static void test_files(void **state)
{
	struct simdisk *d = simdisk_create(2, sizes), *back = simdisk_create(2, sizes);
	uint8_t *a = malloc(sizes[1]), *b = malloc(sizes[1]);
	char path[] = "/var/tmp/ubtrfs-test-simdisk-XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	close(fd);
	put(d, 1, 1 * MIB + 5, 77, 16384);
	put(d, 1, sizes[1] - 512, 78, 512);
	assert_int_equal(simdisk_export(d, 1, path), 0);
	assert_int_equal(simdisk_load(back, 1, path), 0);
	assert_int_equal(blk_read(simdisk_blk(d, 1), 0, a, (uint32_t)sizes[1]), 0);
	assert_int_equal(blk_read(simdisk_blk(back, 1), 0, b, (uint32_t)sizes[1]), 0);
	assert_memory_equal(a, b, sizes[1]);
	/* The file as a disk. */
	struct blk file = blk_file_open(path);

	assert_int_equal(file.bytes, sizes[1]);
	assert_int_equal(blk_read(&file, 0, b, (uint32_t)sizes[1]), 0);
	assert_memory_equal(a, b, sizes[1]);
	blk_file_close(&file);
	assert_int_equal(simdisk_export(d, 0, path), 0);
	assert_int_equal(simdisk_load(back, 1, path), -EFBIG);
	unlink(path);
	simdisk_destroy(d);
	simdisk_destroy(back);
	free(a);
	free(b);
}

/* The record of a run, replayed up to any entry, gives the disks as they were then. */
static void test_recorder(void **state)
{
	char path[] = "/var/tmp/ubtrfs-test-record-XXXXXX";
	struct simdisk *d = simdisk_create(2, sizes), *moments[3], *back;
	struct blk lower[2] = { *simdisk_blk(d, 0), *simdisk_blk(d, 1) }, to[2];
	uint8_t *a = malloc(sizes[0]), *b = malloc(sizes[0]), buf[8192];
	uint64_t rng = 9, at[3], done;
	struct recorder *r;
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(recorder_create(path, 2, lower, &r), 0);
	for (unsigned i = 0; i < 90; i++) {
		const struct blk *blk = recorder_blk(r, i & 1);
		uint32_t len = 1 + (uint32_t)sim_below(&rng, sizeof(buf));
		uint64_t off = sim_below(&rng, blk->bytes - len);

		memset(buf, (int)i + 1, len);
		if (i == 50)
			simdisk_fail(d, SIMDISK_WRITE, 1);
		if (i % 9 == 4)
			assert_int_equal(blk_flush(blk), 0);
		else if (i % 9 == 6)
			assert_int_equal(blk_discard(blk, off, len), 0);
		else
			assert_int_equal(blk_write(blk, off, buf, len), i == 50 ? -EIO : 0);
		if (i % 24 == 23 && i < 72) {
			moments[i / 24] = simdisk_fork(d);
			at[i / 24] = recorder_count(r);
		}
	}
	assert_int_equal(recorder_close(r), 0);
	/* The third moment is after the failed write, half of which the disk took. */
	for (unsigned i = 0; i < 2; i++) {
		back = simdisk_create(2, sizes);
		to[0] = *simdisk_blk(back, 0);
		to[1] = *simdisk_blk(back, 1);
		assert_int_equal(recorder_replay(path, at[i], 2, to, &done), 0);
		assert_int_equal(done, at[i]);
		for (unsigned k = 0; k < 2; k++) {
			assert_int_equal(blk_read(&to[k], 0, a, (uint32_t)sizes[k]), 0);
			assert_int_equal(blk_read(simdisk_blk(moments[i], k), 0, b,
						  (uint32_t)sizes[k]), 0);
			assert_memory_equal(a, b, sizes[k]);
		}
		simdisk_destroy(back);
	}
	/* Cut off in the middle of an entry; and what is no record. */
	back = simdisk_create(2, sizes);
	to[0] = *simdisk_blk(back, 0);
	to[1] = *simdisk_blk(back, 1);
	assert_int_equal(truncate(path, 3000), 0);
	assert_int_equal(recorder_replay(path, UINT64_MAX, 2, to, &done), 0);
	assert_true(done < 5);
	assert_int_equal(recorder_replay(path, UINT64_MAX, 1, to, &done), -EINVAL);
	assert_int_equal(truncate(path, 5), 0);
	assert_int_equal(recorder_replay(path, UINT64_MAX, 2, to, &done), -EINVAL);
	unlink(path);
	for (unsigned i = 0; i < 3; i++)
		simdisk_destroy(moments[i]);
	simdisk_destroy(back);
	simdisk_destroy(d);
	free(a);
	free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_contents), cmocka_unit_test(test_crash_states),
		cmocka_unit_test(test_tracking), cmocka_unit_test(test_faults),
		cmocka_unit_test(test_files),    cmocka_unit_test(test_recorder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
