/* SPDX-License-Identifier: GPL-2.0-or-later */
/* JSON, streamed; the schema is in ubtrfs-dump(8). */
#ifndef UBTRFS_TOOLS_DUMP_JSON_H
#define UBTRFS_TOOLS_DUMP_JSON_H

#include "engine/inspect.h"
#include "ondisk/text.h"

/* A writer: knows only whether a comma is due. */
struct json {
	struct text *t;
	bool comma;
	bool hide_names;
};

void json_open(struct json *j, char bracket);
void json_close(struct json *j, char bracket);
/* The name of the member whose value comes next. */
void json_name(struct json *j, const char *name);
void json_u64(struct json *j, uint64_t v);
void json_i64(struct json *j, int64_t v);
void json_bool(struct json *j, bool v);
void json_null(struct json *j);
/* Bytes: a string if they are UTF-8 without NUL, else {"hex": "…"}. */
void json_bytes(struct json *j, const void *p, size_t len);
void json_string(struct json *j, const char *s);
void json_hex(struct json *j, const void *p, size_t len);
void json_uuid(struct json *j, const uint8_t uuid[16]);
/* A name and its value at once. */
void json_put_u64(struct json *j, const char *name, uint64_t v);
void json_put_string(struct json *j, const char *name, const char *s);
void json_put_bool(struct json *j, const char *name, bool v);

/* The document's outer braces, with the version of the schema. */
void json_begin(struct json *j, struct text *t);
void json_end(struct json *j);

/* json_format.c: structures of the format, by ondisk/fields. */
void json_super(struct json *j, const char *path, uint64_t bytenr,
		const struct btrfs_super_block *sb, bool full);
void json_key(struct json *j, const struct btrfs_key *key);
void json_block(struct json *j, const void *block, uint64_t logical, uint32_t nodesize);

#endif
