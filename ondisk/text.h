/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A text sink: printers append to a buffer owned by the caller, which is handed to `flush` when it
 * is full. Without a flush function the text is cut at the buffer's end and stays a valid string,
 * so that an error message can always be made.
 *
 * The appenders are hand-made, not printf: a dump of a large tree is bound by formatting.
 */
#ifndef UBTRFS_ONDISK_TEXT_H
#define UBTRFS_ONDISK_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text {
	char *buf;
	size_t size; /* of buf; one byte of it is kept for the terminating NUL */
	size_t len;
	/* Takes `len` bytes; 0 or -errno. The first error is kept in `err`, and what follows is dropped. */
	int (*flush)(void *arg, const char *buf, size_t len);
	void *arg;
	int err;
};

/* A sink over an array that cuts: struct text t = TEXT_FIXED(array); */
#define TEXT_FIXED(array) { .buf = (array), .size = sizeof(array) }

void text_char(struct text *t, char c);
void text_str(struct text *t, const char *s);
void text_mem(struct text *t, const void *s, size_t len);
void text_u64(struct text *t, uint64_t v);
void text_i64(struct text *t, int64_t v);
/* Lower-case hexadecimal without 0x; `width` > 0 pads with zeros on the left. */
void text_hex(struct text *t, uint64_t v, unsigned width);
/* `len` bytes as hexadecimal digits. */
void text_hexbytes(struct text *t, const void *p, size_t len);
/* 16 bytes as xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx. */
void text_uuid(struct text *t, const uint8_t uuid[16]);
/* The slow way, for what the others do not cover. */
void text_printf(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void text_vprintf(struct text *t, const char *fmt, va_list ap);
/* NUL-terminates and returns the text; only for sinks without a flush function. */
const char *text_done(struct text *t);
/* Hands over what is buffered; 0 or the sink's first error. */
int text_flush(struct text *t);

/*
 * The other way round: a whole number as people write it, 0x and 0 before it as in C; with `units` one of K M G T P E
 * may follow, powers of 1024. False: it is none, or more than 64 bits; *out is 0 then.
 */
bool text_parse_number(const char *s, bool units, uint64_t *out);

#endif
