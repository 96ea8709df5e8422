// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The text sink behind every printer and every message.
 *
 * Invariants: len < size whenever size > 0, so that a NUL always fits; after an error nothing more is
 * handed to flush. Numbers are made in a small array on the stack and appended in one piece.
 *
 * Locks: none; a sink belongs to one thread.
 */
#include "ondisk/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char digit_pairs[200] = "00010203040506070809101112131415161718192021222324"
				     "25262728293031323334353637383940414243444546474849"
				     "50515253545556575859606162636465666768697071727374"
				     "75767778798081828384858687888990919293949596979899";
static const char hex_digits[16] = "0123456789abcdef";

static size_t text_room(const struct text *t)
{
	return t->size > t->len ? t->size - t->len - 1 : 0;
}

int text_flush(struct text *t)
{
	if (!t->flush || !t->len)
		return t->err;
	if (!t->err)
		t->err = t->flush(t->arg, t->buf, t->len);
	t->len = 0;
	return t->err;
}

/* What does not fit: flushed piece by piece, or cut. */
static void text_mem_slow(struct text *t, const char *s, size_t len)
{
	for (;;) {
		size_t n = text_room(t);

		if (n > len)
			n = len;
		if (n) {
			memcpy(t->buf + t->len, s, n);
			t->len += n;
			s += n;
			len -= n;
		}
		if (!len || !t->flush || t->size < 2)
			return;
		text_flush(t);
	}
}

void text_mem(struct text *t, const void *s, size_t len)
{
	if (len > text_room(t)) {
		text_mem_slow(t, s, len);
		return;
	}
	memcpy(t->buf + t->len, s, len);
	t->len += len;
}

void text_char(struct text *t, char c)
{
	text_mem(t, &c, 1);
}

void text_str(struct text *t, const char *s)
{
	text_mem(t, s, strlen(s));
}

void text_u64(struct text *t, uint64_t v)
{
	char digits[20];
	char *p = digits + sizeof(digits);

	while (v >= 100) {
		unsigned pair = (unsigned)(v % 100) * 2;

		v /= 100;
		*--p = digit_pairs[pair + 1];
		*--p = digit_pairs[pair];
	}
	if (v >= 10) {
		*--p = digit_pairs[v * 2 + 1];
		*--p = digit_pairs[v * 2];
	} else {
		*--p = (char)('0' + v);
	}
	text_mem(t, p, (size_t)(digits + sizeof(digits) - p));
}

void text_i64(struct text *t, int64_t v)
{
	if (v < 0) {
		text_char(t, '-');
		text_u64(t, -(uint64_t)v);
		return;
	}
	text_u64(t, (uint64_t)v);
}

void text_hex(struct text *t, uint64_t v, unsigned width)
{
	char digits[16];
	unsigned n = 0;

	if (width > sizeof(digits))
		width = sizeof(digits);
	do {
		digits[sizeof(digits) - ++n] = hex_digits[v & 15];
		v >>= 4;
	} while (v || n < width);
	text_mem(t, digits + sizeof(digits) - n, n);
}

void text_hexbytes(struct text *t, const void *p, size_t len)
{
	const uint8_t *bytes = p;
	char chunk[64];

	while (len) {
		size_t n = len < sizeof(chunk) / 2 ? len : sizeof(chunk) / 2;

		for (size_t i = 0; i < n; i++) {
			chunk[2 * i] = hex_digits[bytes[i] >> 4];
			chunk[2 * i + 1] = hex_digits[bytes[i] & 15];
		}
		text_mem(t, chunk, 2 * n);
		bytes += n;
		len -= n;
	}
}

void text_uuid(struct text *t, const uint8_t uuid[16])
{
	char out[36];
	char *p = out;

	for (unsigned i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*p++ = '-';
		*p++ = hex_digits[uuid[i] >> 4];
		*p++ = hex_digits[uuid[i] & 15];
	}
	text_mem(t, out, sizeof(out));
}

void text_vprintf(struct text *t, const char *fmt, va_list ap)
{
	char piece[512];
	int n = vsnprintf(piece, sizeof(piece), fmt, ap);

	if (n < 0)
		return;
	/* Nothing that is printed this way is long; names and data go through text_mem. */
	text_mem(t, piece, (size_t)n < sizeof(piece) ? (size_t)n : sizeof(piece) - 1);
}

void text_printf(struct text *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	text_vprintf(t, fmt, ap);
	va_end(ap);
}

const char *text_done(struct text *t)
{
	if (!t->size)
		return "";
	t->buf[t->len < t->size ? t->len : t->size - 1] = '\0';
	return t->buf;
}

bool text_parse_number(const char *s, bool units, uint64_t *out)
{
	static const char letters[] = "KMGTPE";
	unsigned long long v;
	unsigned shift = 0;
	char *end;

	*out = 0;
	errno = 0;
	v = strtoull(s, &end, 0);
	if (errno || end == s || strchr(s, '-'))
		return false;
	if (units && *end > ' ' && !end[1]) {
		const char *letter = strchr(letters, *end & ~0x20);

		if (letter) {
			shift = 10 * (unsigned)(letter - letters + 1);
			end++;
		}
	}
	if (*end || (shift && v >> (64 - shift)))
		return false;
	*out = (uint64_t)v << shift;
	return true;
}
