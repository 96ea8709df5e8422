// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Structures of the format as JSON, by the tables of ondisk/fields: a field is called what it is
 * called in ondisk/format_struct.h. Bytes that have no meaning (reserved, padding) are left out
 * while they are zero.
 */
#include "tools/dump/json.h"

#include "ondisk/fields.h"
#include "ondisk/print.h"

#include <string.h>

void json_key(struct json *j, const struct btrfs_key *key)
{
	const char *name = btrfs_key_type_name(key->type);

	json_open(j, '{');
	json_put_u64(j, "objectid", key->objectid);
	json_put_u64(j, "type", key->type);
	if (name)
		json_put_string(j, "type_name", name);
	json_put_u64(j, "offset", key->offset);
	json_close(j, '}');
}

static bool is_filler(const struct btrfs_field *f, const uint8_t *p, uint32_t len)
{
	const char *name = f->name;

	if (strncmp(name, "reserved", 8) && strncmp(name, "padding", 7) &&
	    strncmp(name, "unused", 6) && strncmp(name, "__unused", 8))
		return false;
	for (uint32_t i = 0; i < len; i++)
		if (p[i])
			return false;
	return true;
}

static uint64_t get_uint(const uint8_t *p, unsigned size)
{
	uint64_t v = 0;

	while (size--)
		v = v << 8 | p[size];
	return v;
}

static void put_fields(struct json *j, const struct btrfs_struct_desc *desc, const uint8_t *p,
		       uint32_t len);

/* One element of a field, `size` bytes at p. */
static void put_element(struct json *j, const struct btrfs_field *f, const uint8_t *p,
			uint32_t size)
{
	const struct btrfs_timespec *ts = (const void *)p;
	struct btrfs_key key;

	switch (f->kind) {
	case BTRFS_FIELD_UINT:
		json_u64(j, get_uint(p, size));
		break;
	case BTRFS_FIELD_KEY:
		key = btrfs_disk_key_get((const void *)p);
		json_key(j, &key);
		break;
	case BTRFS_FIELD_TIME:
		json_open(j, '{');
		json_name(j, "sec");
		json_i64(j, (int64_t)le64_get(ts->sec));
		json_put_u64(j, "nsec", le32_get(ts->nsec));
		json_close(j, '}');
		break;
	case BTRFS_FIELD_UUID:
		json_uuid(j, p);
		break;
	case BTRFS_FIELD_TEXT:
		if (j->hide_names)
			json_string(j, "HIDDEN");
		else
			json_bytes(j, p, f->size ? strnlen((const char *)p, size) : size);
		break;
	case BTRFS_FIELD_STRUCT:
		json_open(j, '{');
		put_fields(j, f->sub, p, size);
		json_close(j, '}');
		break;
	default:
		json_hex(j, p, size);
	}
}

/* The members of a structure of which `len` bytes are there. */
static void put_fields(struct json *j, const struct btrfs_struct_desc *desc, const uint8_t *p,
		       uint32_t len)
{
	for (uint32_t i = 0; i < desc->nr; i++) {
		const struct btrfs_field *f = &desc->fields[i];
		uint32_t size = f->size, count = f->count;

		if (f->offset > len)
			return;
		if (!size) {
			size = len - f->offset;
			count = 1;
		}
		if ((uint64_t)f->offset + (uint64_t)size * count > len)
			return;
		if (is_filler(f, p + f->offset, size * count))
			continue;
		json_name(j, f->name);
		if (count > 1)
			json_open(j, '[');
		for (uint32_t k = 0; k < count; k++)
			put_element(j, f, p + f->offset + k * size, size);
		if (count > 1)
			json_close(j, ']');
	}
}

struct item_json {
	struct json *j;
	bool open;
	bool hide; /* the variable parts of this item are names or values */
};

/* A structure opens an object; what varies (a name, data) becomes a member of the one before it. */
static int put_struct(void *arg, const struct btrfs_struct_desc *desc, const void *p, uint32_t len)
{
	struct item_json *ij = arg;
	struct json *j = ij->j;

	if (desc->size || !ij->open) {
		if (ij->open)
			json_close(j, '}');
		json_open(j, '{');
		ij->open = true;
	}
	if (desc->size) {
		json_put_string(j, "struct", desc->name);
		put_fields(j, desc, p, len);
		return 0;
	}
	json_name(j, desc->name);
	if (ij->hide)
		json_string(j, "HIDDEN");
	else if (desc->nr && desc->fields[0].kind == BTRFS_FIELD_TEXT)
		json_bytes(j, p, len);
	else
		json_hex(j, p, len);
	return 0;
}

static bool holds_names(uint8_t type)
{
	switch (type) {
	case BTRFS_INODE_REF_KEY:
	case BTRFS_INODE_EXTREF_KEY:
	case BTRFS_DIR_ITEM_KEY:
	case BTRFS_DIR_INDEX_KEY:
	case BTRFS_XATTR_ITEM_KEY:
	case BTRFS_ROOT_REF_KEY:
	case BTRFS_ROOT_BACKREF_KEY:
		return true;
	default:
		return false;
	}
}

static void put_item(struct json *j, const void *leaf, unsigned slot, uint32_t limit)
{
	struct btrfs_key key = btrfs_item_key(leaf, slot);
	uint32_t off = btrfs_item_offset(leaf, slot), len = btrfs_item_size(leaf, slot);
	struct item_json ij = { j, false, j->hide_names && holds_names(key.type) };

	json_open(j, '{');
	json_name(j, "key");
	json_key(j, &key);
	json_put_u64(j, "offset", off);
	json_put_u64(j, "size", len);
	json_name(j, "data");
	if (off > limit || len > limit - off) {
		json_null(j); /* outside the leaf */
	} else {
		json_open(j, '[');
		btrfs_fields_walk_item(&key, btrfs_item_ptr(leaf, slot), len, put_struct, &ij);
		if (ij.open)
			json_close(j, '}');
		json_close(j, ']');
	}
	json_close(j, '}');
}

static void put_pointer(struct json *j, const void *node, unsigned slot)
{
	struct btrfs_key key = btrfs_node_key(node, slot);

	json_open(j, '{');
	json_name(j, "key");
	json_key(j, &key);
	json_put_u64(j, "blockptr", btrfs_node_blockptr(node, slot));
	json_put_u64(j, "generation", btrfs_node_generation(node, slot));
	json_close(j, '}');
}

void json_block(struct json *j, const void *block, uint64_t logical, uint32_t nodesize)
{
	uint32_t nr = btrfs_header_nritems(block), limit = btrfs_leaf_data_size(nodesize);
	bool node = btrfs_header_level(block) != 0;
	uint32_t max =
		node ? btrfs_node_max_ptrs(nodesize) : limit / (uint32_t)sizeof(struct btrfs_item);

	json_open(j, '{');
	json_put_u64(j, "block", logical);
	json_name(j, "header");
	json_open(j, '{');
	put_fields(j, &btrfs_desc_header, block, sizeof(struct btrfs_header));
	json_close(j, '}');
	json_name(j, node ? "pointers" : "items");
	json_open(j, '[');
	for (uint32_t i = 0; i < nr && i < max; i++) {
		if (node)
			put_pointer(j, block, i);
		else
			put_item(j, block, i, limit);
	}
	json_close(j, ']');
	json_close(j, '}');
	text_char(j->t, '\n');
}

/* The copies of what is in the array come after the superblock itself. */
static int put_sys_chunk(void *arg, const struct btrfs_struct_desc *desc, const void *p,
			 uint32_t len)
{
	if (desc == &btrfs_desc_super_block)
		return 0;
	return put_struct(arg, desc, p, len);
}

void json_super(struct json *j, const char *path, uint64_t bytenr,
		const struct btrfs_super_block *sb, bool full)
{
	struct item_json ij = { j, false, false };

	json_open(j, '{');
	json_put_string(j, "device", path);
	json_put_u64(j, "bytenr", bytenr);
	json_name(j, "super_block");
	json_open(j, '{');
	put_fields(j, &btrfs_desc_super_block, (const void *)sb, sizeof(*sb));
	json_close(j, '}');
	if (full) {
		json_name(j, "sys_chunks");
		json_open(j, '[');
		btrfs_fields_walk_super(sb, put_sys_chunk, &ij);
		if (ij.open)
			json_close(j, '}');
		json_close(j, ']');
	}
	json_close(j, '}');
	text_char(j->t, '\n');
}
