// SPDX-License-Identifier: GPL-2.0-or-later
/* The text sink: numbers at their edges, cutting, flushing in pieces, errors that stick. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ondisk/text.h"

static const uint64_t numbers[] = {
	0, 1, 9, 10, 11, 99, 100, 101, 999, 1000, 12345, 4294967295ULL, 4294967296ULL,
	9999999999999999999ULL, 10000000000000000000ULL, INT64_MAX, 1ULL << 63, UINT64_MAX,
};

static void test_numbers(void **state)
{
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
		char got[64], want[64];
		struct text t = TEXT_FIXED(got);

		text_u64(&t, numbers[i]);
		snprintf(want, sizeof(want), "%" PRIu64, numbers[i]);
		assert_string_equal(text_done(&t), want);
		t.len = 0;
		text_i64(&t, (int64_t)numbers[i]);
		snprintf(want, sizeof(want), "%" PRId64, (int64_t)numbers[i]);
		assert_string_equal(text_done(&t), want);
		for (int width = 0; width <= 16; width += 4) {
			t.len = 0;
			text_hex(&t, numbers[i], (unsigned)width);
			snprintf(want, sizeof(want), "%0*" PRIx64, width, numbers[i]);
			assert_string_equal(text_done(&t), want);
		}
	}
}

static void test_bytes(void **state)
{
	uint8_t bytes[100];
	char got[256], want[256];
	struct text t = TEXT_FIXED(got);

	for (unsigned i = 0; i < sizeof(bytes); i++) {
		bytes[i] = (uint8_t)(i * 37 + 5);
		snprintf(want + 2 * i, 3, "%02x", bytes[i]);
	}
	text_hexbytes(&t, bytes, sizeof(bytes));
	assert_string_equal(text_done(&t), want);
	t.len = 0;
	text_uuid(&t, (const uint8_t *)"\x01\x23\x45\x67\x89\xab\xcd\xef"
				       "\xfe\xdc\xba\x98\x76\x54\x32\x10");
	assert_string_equal(text_done(&t), "01234567-89ab-cdef-fedc-ba9876543210");
}

static void test_cut(void **state)
{
	char got[8];
	struct text t = TEXT_FIXED(got);
	struct text none = { 0 };

	text_str(&t, "abc");
	text_u64(&t, 1234567890);
	text_char(&t, 'x');
	text_printf(&t, "%d", 5);
	assert_string_equal(text_done(&t), "abc1234");
	text_str(&none, "lost");
	assert_string_equal(text_done(&none), "");
}

struct pieces {
	char all[4096];
	size_t len;
	unsigned calls, fail_at;
};

static int take(void *arg, const char *buf, size_t len)
{
	struct pieces *p = arg;

	if (++p->calls == p->fail_at)
		return -ENOSPC;
	assert_true(p->len + len <= sizeof(p->all));
	memcpy(p->all + p->len, buf, len);
	p->len += len;
	return 0;
}

static void write_sample(struct text *t, unsigned rounds)
{
	for (unsigned i = 0; i < rounds; i++) {
		text_str(t, "item ");
		text_u64(t, i);
		text_mem(t, " a name that is longer than the buffer\n", 39);
	}
}

static void test_flush(void **state)
{
	char whole[4096];
	struct text want = TEXT_FIXED(whole);

	write_sample(&want, 40);
	for (size_t size = 2; size < 50; size += 7) {
		char buf[64];
		struct pieces p = { .len = 0 };
		struct text t = { .buf = buf, .size = size, .flush = take, .arg = &p };

		write_sample(&t, 40);
		assert_int_equal(text_flush(&t), 0);
		assert_int_equal(p.len, want.len);
		assert_memory_equal(p.all, whole, want.len);
	}
}

static void test_error_sticks(void **state)
{
	char buf[16];
	struct pieces p = { .fail_at = 2 };
	struct text t = { .buf = buf, .size = sizeof(buf), .flush = take, .arg = &p };

	write_sample(&t, 10);
	assert_int_equal(text_flush(&t), -ENOSPC);
	assert_int_equal(p.calls, 2);
	assert_int_equal(p.len, sizeof(buf) - 1);
}

static void test_parse_number(void **state)
{
	static const struct {
		const char *s;
		bool units, good;
		uint64_t v;
	} cases[] = {
		{ "0", false, true, 0 },
		{ "18446744073709551615", false, true, UINT64_MAX },
		{ "18446744073709551616", false, false, 0 },
		{ "0x10", false, true, 16 },
		{ "010", false, true, 8 },
		{ "4k", true, true, 4096 },
		{ "4K", false, false, 0 },
		{ "2T", true, true, 2ull << 40 },
		{ "15E", true, true, 15ull << 60 },
		{ "16E", true, false, 0 },
		{ "1KB", true, false, 0 },
		{ "K", true, false, 0 },
		{ "", true, false, 0 },
		{ "-1", true, false, 0 },
		{ " -1", true, false, 0 },
		{ "1 ", true, false, 0 },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t v = 77;

		if (text_parse_number(cases[i].s, cases[i].units, &v) != cases[i].good ||
		    v != cases[i].v)
			fail_msg("'%s' gives %llu", cases[i].s, (unsigned long long)v);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse_number),
		cmocka_unit_test(test_numbers), cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_cut),	cmocka_unit_test(test_flush),
		cmocka_unit_test(test_error_sticks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
