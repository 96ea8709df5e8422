// SPDX-License-Identifier: GPL-2.0-or-later
/* A JSON writer: nothing is kept but whether a comma is due, so that a document may be of any size.
 */
#include "tools/dump/json.h"

#include <string.h>

static void before_value(struct json *j)
{
	if (j->comma)
		text_char(j->t, ',');
	j->comma = true;
}

void json_open(struct json *j, char bracket)
{
	before_value(j);
	text_char(j->t, bracket);
	j->comma = false;
}

void json_close(struct json *j, char bracket)
{
	text_char(j->t, bracket);
	j->comma = true;
}

void json_name(struct json *j, const char *name)
{
	before_value(j);
	text_char(j->t, '"');
	text_str(j->t, name);
	text_mem(j->t, "\":", 2);
	j->comma = false;
}

void json_u64(struct json *j, uint64_t v)
{
	before_value(j);
	text_u64(j->t, v);
}

void json_i64(struct json *j, int64_t v)
{
	before_value(j);
	text_i64(j->t, v);
}

void json_bool(struct json *j, bool v)
{
	before_value(j);
	text_str(j->t, v ? "true" : "false");
}

void json_null(struct json *j)
{
	before_value(j);
	text_str(j->t, "null");
}

/* Length of the UTF-8 sequence at s, 0 if it is none (overlong, surrogate, past U+10FFFF, or a
 * NUL). */
static size_t utf8_len(const uint8_t *s, size_t left)
{
	uint32_t c = s[0], min;
	size_t n;

	if (c < 0x80)
		return c != 0;
	n = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
	min = n == 4 ? 0x10000 : n == 3 ? 0x800 : 0x80;
	if (c < 0xc2 || c > 0xf4 || n > left)
		return 0;
	c &= 0x7fU >> n;
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	return c >= min && c <= 0x10ffff && (c < 0xd800 || c > 0xdfff) ? n : 0;
}

static void quoted(struct text *t, const uint8_t *s, size_t len)
{
	size_t plain = 0;

	text_char(t, '"');
	for (size_t i = 0; i < len; i++) {
		if (s[i] >= ' ' && s[i] != '"' && s[i] != '\\' && s[i] != 127)
			continue;
		text_mem(t, s + plain, i - plain);
		plain = i + 1;
		if (s[i] == '"' || s[i] == '\\') {
			text_char(t, '\\');
			text_char(t, (char)s[i]);
		} else {
			text_mem(t, "\\u", 2);
			text_hex(t, s[i], 4);
		}
	}
	text_mem(t, s + plain, len - plain);
	text_char(t, '"');
}

void json_bytes(struct json *j, const void *p, size_t len)
{
	const uint8_t *s = p;
	size_t n;

	for (size_t i = 0; i < len; i += n) {
		n = utf8_len(s + i, len - i);
		if (n)
			continue;
		json_open(j, '{');
		json_name(j, "hex");
		json_hex(j, p, len);
		json_close(j, '}');
		return;
	}
	before_value(j);
	quoted(j->t, s, len);
}

void json_string(struct json *j, const char *s)
{
	json_bytes(j, s, strlen(s));
}

void json_hex(struct json *j, const void *p, size_t len)
{
	before_value(j);
	text_char(j->t, '"');
	text_hexbytes(j->t, p, len);
	text_char(j->t, '"');
}

void json_uuid(struct json *j, const uint8_t uuid[16])
{
	before_value(j);
	text_char(j->t, '"');
	text_uuid(j->t, uuid);
	text_char(j->t, '"');
}

void json_put_u64(struct json *j, const char *name, uint64_t v)
{
	json_name(j, name);
	json_u64(j, v);
}

void json_put_string(struct json *j, const char *name, const char *s)
{
	json_name(j, name);
	json_string(j, s);
}

void json_put_bool(struct json *j, const char *name, bool v)
{
	json_name(j, name);
	json_bool(j, v);
}

void json_begin(struct json *j, struct text *t)
{
	*j = (struct json){ .t = t };
	json_open(j, '{');
	json_put_u64(j, "schema", 1);
	json_put_string(j, "by", "ubtrfs-dump " UBTRFS_VERSION);
}

void json_end(struct json *j)
{
	json_close(j, '}');
	text_char(j->t, '\n');
}
