// SPDX-License-Identifier: GPL-2.0-or-later
/* The dump tool's JSON writer: commas, escapes, and which bytes are text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "tools/dump/json.h"

static char buf[4096];

static const char *bytes(const char *s, size_t len)
{
	static struct text t;
	struct json j = { .t = &t };

	t = (struct text)TEXT_FIXED(buf);
	json_bytes(&j, s, len);
	return text_done(&t);
}

static void test_strings(void **state)
{
	assert_string_equal(bytes("plain", 5), "\"plain\"");
	assert_string_equal(bytes("", 0), "\"\"");
	assert_string_equal(bytes("a\"b\\c\n\x7f", 7), "\"a\\\"b\\\\c\\u000a\\u007f\"");
	assert_string_equal(bytes("h\xc3\xa9 \xe6\x97\xa5 \xf0\x9f\x98\x80", 12),
			    "\"h\xc3\xa9 \xe6\x97\xa5 \xf0\x9f\x98\x80\"");
}

static void test_not_text(void **state)
{
	static const struct {
		const char *s;
		size_t len;
		const char *hex;
	} bad[] = {
		{ "\xff", 1, "{\"hex\":\"ff\"}" },
		{ "a\0b", 3, "{\"hex\":\"610062\"}" },
		{ "\xc3", 1, "{\"hex\":\"c3\"}" },		     /* cut off */
		{ "\xc0\xaf", 2, "{\"hex\":\"c0af\"}" },	     /* overlong */
		{ "\xe0\x80\xaf", 3, "{\"hex\":\"e080af\"}" },	     /* overlong */
		{ "\xed\xa0\x80", 3, "{\"hex\":\"eda080\"}" },	     /* surrogate */
		{ "\xf4\x90\x80\x80", 4, "{\"hex\":\"f4908080\"}" }, /* past the last one */
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_string_equal(bytes(bad[i].s, bad[i].len), bad[i].hex);
}

static void test_document(void **state)
{
	static const uint8_t uuid[16] = { 1, 2, 3 };
	struct text t = TEXT_FIXED(buf);
	struct json j = { .t = &t };

	json_open(&j, '{');
	json_put_u64(&j, "max", UINT64_MAX);
	json_name(&j, "min");
	json_i64(&j, INT64_MIN);
	json_name(&j, "list");
	json_open(&j, '[');
	json_open(&j, '{');
	json_close(&j, '}');
	json_null(&j);
	json_bool(&j, false);
	json_uuid(&j, uuid);
	json_hex(&j, uuid, 3);
	json_close(&j, ']');
	json_put_bool(&j, "last", true);
	json_close(&j, '}');
	assert_string_equal(text_done(&t),
			    "{\"max\":18446744073709551615,\"min\":-9223372036854775808,"
			    "\"list\":[{},null,false,"
			    "\"01020300-0000-0000-0000-000000000000\",\"010203\"],"
			    "\"last\":true}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_not_text),
		cmocka_unit_test(test_document),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
