// SPDX-License-Identifier: GPL-2.0-or-later
/* Decompressing extents: what the kernel wrote, what libraries write, and what nobody should. */
#include "engine/file/fread.h"
#include "engine/util/fault.h"
#include "tests/unit/kernel_streams.h"
#include "tests/unit/packers.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>
#include <cmocka.h>

#define MAX_EXTENT (128u << 10)

static const unsigned types[] = { BTRFS_COMPRESS_ZLIB, BTRFS_COMPRESS_LZO, BTRFS_COMPRESS_ZSTD };

static uint8_t *copy(const void *p, size_t len)
{
	/* Of just this size, so that a sanitizer sees the byte behind it. */
	uint8_t *c = malloc(len ? len : 1);

	memcpy(c, p, len);
	return c;
}

static size_t unhex(const char *hex, uint8_t *out)
{
	size_t len = strlen(hex) / 2;

	for (size_t i = 0; i < len; i++) {
		unsigned byte;

		assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
		out[i] = (uint8_t)byte;
	}
	return len;
}

static void kernel_data(char *out, size_t len)
{
	char line[32];
	size_t done = 0;

	for (unsigned i = 0; done < len; i++) {
		size_t n = (size_t)snprintf(line, sizeof(line), "%u bottles\n", i * i % 97);

		if (n > len - done)
			n = len - done;
		memcpy(out + done, line, n);
		done += n;
	}
}

static void test_kernel(void **state)
{
	static const char *const streams[3][2] = {
		{ kernel_zlib_inline, kernel_zlib_reg },
		{ kernel_lzo_inline, kernel_lzo_reg },
		{ kernel_zstd_inline, kernel_zstd_reg },
	};
	char lines[6000], want[3 * 4096] = "";
	uint8_t in[8192], out[3 * 4096];

	(void)state;
	kernel_data(lines, sizeof(lines));
	memcpy(want, lines, 5000);
	memcpy(want + 9000, lines + 5000, 1000);
	for (int i = 0; i < 3; i++) {
		size_t len = unhex(streams[i][0], in);
		int64_t got = compress_decode(types[i], 4096, true, in, len, out, 1800);

		assert_int_equal(got, 1800);
		assert_memory_equal(out, lines, 1800);
		memset(in, 0, sizeof(in));
		unhex(streams[i][1], in);
		memset(out, 0xee, sizeof(out));
		got = compress_decode(types[i], 4096, false, in, 4096, out, sizeof(out));
		assert_true(got >= 10000 && got <= (int64_t)sizeof(out));
		assert_memory_equal(out, want, (size_t)got);
		/* Only the beginning is wanted. */
		got = compress_decode(types[i], 4096, false, in, 4096, out, 4500);
		assert_int_equal(got, 4500);
		assert_memory_equal(out, want, 4500);
	}
}

static void test_round_trip(void **state)
{
	static const size_t lens[] = { 1, 2, 100, 4095, 4096, 4097, 8192, 40000, 65536, 131071, MAX_EXTENT };
	uint8_t *data = malloc(MAX_EXTENT), *packed = malloc(2 * MAX_EXTENT);
	unsigned seed = 1;

	(void)state;
	for (unsigned t = 0; t < 3; t++) {
		for (unsigned l = 0; l < sizeof(lens) / sizeof(lens[0]); l++) {
			for (uint32_t sector = 4096; sector <= 65536; sector *= 4) {
				size_t len = lens[l], room = len + 1000, in_len;
				bool is_inline = len < 4096;
				uint8_t *in, *out = malloc(room);

				pack_sample(&seed, (unsigned)rand_r(&seed) % 90, data, len);
				in_len = pack(types[t], sector, is_inline, data, len, packed,
					      2 * MAX_EXTENT);
				assert_true(in_len);
				in = copy(packed, in_len);
				assert_int_equal(compress_decode(types[t], sector, is_inline, in, in_len,
								 out, room),
						 len);
				assert_memory_equal(out, data, len);
				/* Cut short at any length. */
				for (int i = 0; i < 4; i++) {
					size_t want = 1 + (size_t)rand_r(&seed) % len;
					uint8_t *part = malloc(want);

					assert_int_equal(compress_decode(types[t], sector, is_inline, in,
									 in_len, part, want),
							 want);
					assert_memory_equal(part, data, want);
					free(part);
				}
				free(in);
				free(out);
			}
		}
	}
	free(data);
	free(packed);
}

/* Cut, flipped and random bytes: any result within bounds, no crash. Cut ones must be noticed. */
static void test_hostile(void **state)
{
	const size_t len = 30000;
	uint8_t *data = malloc(len), *packed = malloc(2 * len), *out = malloc(len);
	unsigned seed = 7, refused = 0;

	(void)state;
	pack_sample(&seed, 40, data, len);
	for (unsigned t = 0; t < 3; t++) {
		size_t in_len = pack(types[t], 4096, false, data, len, packed, 2 * len);

		for (size_t cut = 0; cut < in_len - 16; cut += 1 + cut / 40) {
			uint8_t *in = copy(packed, cut);

			assert_int_equal(compress_decode(types[t], 4096, false, in, cut, out, len),
					 -EUCLEAN);
			free(in);
		}
		for (int i = 0; i < 1500; i++) {
			uint8_t *in = copy(packed, in_len);
			size_t where = i < 200 ? (size_t)i % 64 : (size_t)rand_r(&seed) % in_len;
			int64_t got;

			in[where] ^= (uint8_t)(1 + rand_r(&seed) % 255);
			if (i & 1)
				in[(size_t)rand_r(&seed) % in_len] ^= 0x80;
			got = compress_decode(types[t], 4096, i & 2, in, in_len, out, len);
			assert_true(got == -EUCLEAN || (got >= 0 && got <= (int64_t)len));
			refused += got < 0;
			free(in);
		}
		for (int i = 0; i < 500; i++) {
			size_t n = (size_t)rand_r(&seed) % 300;
			uint8_t *in = malloc(n + 1);

			for (size_t k = 0; k < n; k++)
				in[k] = (uint8_t)rand_r(&seed);
			/* Lengths that could be true get further. */
			if (n > 8) {
				*(le32 *)in = le32_make((uint32_t)n);
				*(le32 *)(in + 4) = le32_make((uint32_t)n - 8);
			}
			assert_true(compress_decode(types[t], 4096, i & 1, in, n, out, len) <= (int64_t)len);
			free(in);
		}
	}
	assert_true(refused > 1000);
	assert_int_equal(compress_decode(9, 4096, false, data, 100, out, len), -EUCLEAN);
	free(data);
	free(packed);
	free(out);
}

/* A window longer than the longest extent is refused before memory for it is asked. */
static void test_zstd_window(void **state)
{
	const size_t len = 3 << 20;
	uint8_t *data = calloc(1, len), *packed = malloc(len), *out = malloc(MAX_EXTENT);
	ZSTD_CCtx *ctx = ZSTD_createCCtx();
	unsigned seed = 5;
	size_t got;

	(void)state;
	pack_sample(&seed, 50, data, len);
	ZSTD_CCtx_setParameter(ctx, ZSTD_c_windowLog, 20);
	got = ZSTD_compress2(ctx, packed, len, data, len);
	assert_false(ZSTD_isError(got));
	assert_int_equal(compress_decode(BTRFS_COMPRESS_ZSTD, 4096, false, packed, got, out, MAX_EXTENT),
			 -EUCLEAN);
	ZSTD_freeCCtx(ctx);
	free(data);
	free(packed);
	free(out);
}

/* A new thread has no workspace yet: each allocation in turn fails. */
static void *decode_all(void *arg)
{
	uint8_t in[8192] = { 0 }, out[3 * 4096];
	int64_t *first = arg;

	for (int i = 0; i < 3 && *first >= 0; i++) {
		static const char *const streams[] = { kernel_zlib_reg, kernel_lzo_reg, kernel_zstd_reg };
		size_t len = unhex(streams[i], in);

		*first = compress_decode(types[i], 4096, false, in, len < 4096 ? 4096 : len, out, 4500);
	}
	return NULL;
}

static void test_no_memory(void **state)
{
	unsigned failed = 0;

	(void)state;
	for (uint64_t nth = 1;; nth++) {
		int64_t result = 0;
		uint64_t passed;
		pthread_t t;

		fault_arm(FAULT_ALLOC, nth);
		assert_int_equal(pthread_create(&t, NULL, decode_all, &result), 0);
		pthread_join(t, NULL);
		passed = fault_count(FAULT_ALLOC);
		fault_arm(FAULT_ALLOC, 0);
		if (passed < nth) {
			assert_int_equal(result, 4500);
			break;
		}
		assert_int_equal(result, -ENOMEM);
		failed++;
	}
	assert_true(failed >= 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kernel),	    cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_hostile),	    cmocka_unit_test(test_zstd_window),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
