// SPDX-License-Identifier: GPL-2.0-or-later
/* Printers of what file trees and the root tree hold. */
#include "ondisk/print_priv.h"

#include <string.h>

static void text_octal(struct text *t, uint32_t v)
{
	char digits[11];
	unsigned n = 0;

	do {
		digits[sizeof(digits) - ++n] = (char)('0' + (v & 7));
		v >>= 3;
	} while (v);
	text_mem(t, digits + sizeof(digits) - n, n);
}

void print_inode_item(struct btrfs_print *p, const struct print_item *it)
{
	struct btrfs_inode_item pad;
	const struct btrfs_inode_item *ii = print_whole(p, it, sizeof(pad), &pad);
	struct text *t = p->out;

	LIT_U64(t, "\t\tgeneration ", le64_get(ii->generation));
	LIT_U64(t, " transid ", le64_get(ii->transid));
	LIT_U64(t, " size ", le64_get(ii->size));
	LIT_U64(t, " nbytes ", le64_get(ii->nbytes));
	LIT_U64(t, "\n\t\tblock group ", le64_get(ii->block_group));
	LIT(t, " mode ");
	text_octal(t, le32_get(ii->mode));
	LIT_U64(t, " links ", le32_get(ii->nlink));
	LIT_U64(t, " uid ", le32_get(ii->uid));
	LIT_U64(t, " gid ", le32_get(ii->gid));
	LIT_U64(t, " rdev ", le64_get(ii->rdev));
	LIT_U64(t, "\n\t\tsequence ", le64_get(ii->sequence));
	LIT(t, " flags 0x");
	text_hex(t, le64_get(ii->flags), 0);
	text_char(t, '(');
	btrfs_inode_flags_to_text(t, le64_get(ii->flags));
	LIT(t, ")\n");
	print_time(p, "\t\tatime ", &ii->atime);
	print_time(p, "\t\tctime ", &ii->ctime);
	print_time(p, "\t\tmtime ", &ii->mtime);
	print_time(p, "\t\totime ", &ii->otime);
}

/* `len` bytes of the item at `at`, or as many as it has; names end at 255 bytes. */
static void print_name(struct btrfs_print *p, const struct print_item *it, uint32_t at,
		       uint32_t len)
{
	uint32_t left = at < it->len ? it->len - at : 0;

	if (len > BTRFS_NAME_LEN)
		len = BTRFS_NAME_LEN;
	if (len > left) {
		print_problem(p, "leaf %llu slot %u: a name of %u bytes, %u are left in the item",
			      (unsigned long long)it->leaf, it->slot, len, left);
		len = left;
	}
	if (p->hide_names)
		LIT(p->out, "HIDDEN");
	else
		btrfs_name_to_text(p->out, it->data + at, len);
	text_char(p->out, '\n');
}

static bool room(struct btrfs_print *p, const struct print_item *it, uint32_t at, uint32_t need)
{
	if (it->len - at >= need)
		return true;
	print_problem(p, "leaf %llu slot %u: %u bytes at the item's end",
		      (unsigned long long)it->leaf, it->slot, it->len - at);
	return false;
}

void print_inode_ref(struct btrfs_print *p, const struct print_item *it)
{
	for (uint32_t at = 0; at < it->len;) {
		const struct btrfs_inode_ref *ref = (const void *)(it->data + at);

		if (!room(p, it, at, sizeof(*ref)))
			return;
		at += sizeof(*ref);
		LIT_U64(p->out, "\t\tindex ", le64_get(ref->index));
		LIT_U64(p->out, " namelen ", le16_get(ref->name_len));
		LIT(p->out, " name: ");
		print_name(p, it, at, le16_get(ref->name_len));
		at += le16_get(ref->name_len);
	}
}

void print_inode_extref(struct btrfs_print *p, const struct print_item *it)
{
	for (uint32_t at = 0; at < it->len;) {
		const struct btrfs_inode_extref *ref = (const void *)(it->data + at);

		if (!room(p, it, at, sizeof(*ref)))
			return;
		at += sizeof(*ref);
		LIT_U64(p->out, "\t\tindex ", le64_get(ref->index));
		LIT_U64(p->out, " parent ", le64_get(ref->parent_objectid));
		LIT_U64(p->out, " namelen ", le16_get(ref->name_len));
		LIT(p->out, " name: ");
		print_name(p, it, at, le16_get(ref->name_len));
		at += le16_get(ref->name_len);
	}
}

static void dir_type_to_text(struct text *t, uint8_t type)
{
	static const char *const names[] = { NULL,   "FILE", "DIR",	"CHRDEV", "BLKDEV",
					     "FIFO", "SOCK", "SYMLINK", "XATTR" };

	type &= (uint8_t)~BTRFS_FT_ENCRYPTED;
	if (type < sizeof(names) / sizeof(*names) && names[type])
		text_str(t, names[type]);
	else
		LIT_U64(t, "DIR_ITEM.", type);
}

void print_dir_item(struct btrfs_print *p, const struct print_item *it)
{
	struct text *t = p->out;

	for (uint32_t at = 0; at < it->len;) {
		const struct btrfs_dir_item *di = (const void *)(it->data + at);
		struct btrfs_key location;
		uint32_t name_len, data_len;

		if (!room(p, it, at, sizeof(*di)))
			return;
		location = btrfs_disk_key_get(&di->location);
		name_len = le16_get(di->name_len);
		data_len = le16_get(di->data_len);
		at += sizeof(*di);
		LIT(t, "\t\tlocation ");
		print_key(t, &location);
		LIT(t, " type ");
		dir_type_to_text(t, di->type);
		if (!room(p, it, at, name_len)) {
			text_char(t, '\n');
			return;
		}
		LIT_U64(t, "\n\t\ttransid ", le64_get(di->transid));
		LIT_U64(t, " data_len ", data_len);
		LIT_U64(t, " name_len ", name_len);
		LIT(t, "\n\t\tname: ");
		print_name(p, it, at, name_len);
		at += name_len;
		if (data_len) {
			LIT(t, "\t\tdata ");
			print_name(p, it, at, data_len);
			at += data_len;
		}
	}
}

void print_dir_log(struct btrfs_print *p, const struct print_item *it)
{
	struct btrfs_dir_log_item pad;
	const struct btrfs_dir_log_item *log = print_whole(p, it, sizeof(pad), &pad);

	LIT_U64(p->out, "\t\tdir log end ", le64_get(log->end));
	text_char(p->out, '\n');
}

static void compression_to_text(struct text *t, unsigned type)
{
	const char *name = btrfs_compression_name(type);

	text_u64(t, type);
	LIT(t, " (");
	if (name)
		text_str(t, name);
	else
		LIT_U64(t, "UNKNOWN.", type);
	LIT(t, ")\n");
}

void print_file_extent(struct btrfs_print *p, const struct print_item *it)
{
	static const char *const types[] = { " (inline)\n", " (regular)\n", " (prealloc)\n" };
	struct btrfs_file_extent_item pad;
	const struct btrfs_file_extent_item *fi;
	struct text *t = p->out;
	bool prealloc;

	/* An inline extent's item may well end before disk_bytenr, its data's first byte. */
	if (it->len > offsetof(struct btrfs_file_extent_item, type) &&
	    ((const struct btrfs_file_extent_item *)it->data)->type == BTRFS_FILE_EXTENT_INLINE)
		fi = (const void *)it->data;
	else
		fi = print_whole(p, it, sizeof(pad), &pad);
	LIT_U64(t, "\t\tgeneration ", le64_get(fi->generation));
	LIT_U64(t, " type ", fi->type);
	text_str(t, fi->type < BTRFS_NR_FILE_EXTENT_TYPES ? types[fi->type] : " (unknown)\n");
	if (fi->type == BTRFS_FILE_EXTENT_INLINE) {
		LIT_U64(t, "\t\tinline extent data size ",
			(uint32_t)(it->len - BTRFS_FILE_EXTENT_INLINE_DATA_START));
		LIT_U64(t, " ram_bytes ", le64_get(fi->ram_bytes));
		LIT(t, " compression ");
		compression_to_text(t, fi->compression);
		return;
	}
	prealloc = fi->type == BTRFS_FILE_EXTENT_PREALLOC;
	text_str(t, prealloc ? "\t\tprealloc data disk byte " : "\t\textent data disk byte ");
	text_u64(t, le64_get(fi->disk_bytenr));
	LIT_U64(t, " nr ", le64_get(fi->disk_num_bytes));
	text_str(t, prealloc ? "\n\t\tprealloc data offset " : "\n\t\textent data offset ");
	text_u64(t, le64_get(fi->offset));
	LIT_U64(t, " nr ", le64_get(fi->num_bytes));
	if (!prealloc) {
		LIT_U64(t, " ram ", le64_get(fi->ram_bytes));
		LIT(t, "\n\t\textent compression ");
		compression_to_text(t, fi->compression);
		return;
	}
	text_char(t, '\n');
}

static void print_root_v2(struct btrfs_print *p, const struct btrfs_root_item *ri)
{
	struct text *t = p->out;

	LIT(t, "\t\tuuid ");
	text_uuid(t, ri->uuid);
	LIT(t, "\n\t\tparent_uuid ");
	text_uuid(t, ri->parent_uuid);
	LIT(t, "\n\t\treceived_uuid ");
	text_uuid(t, ri->received_uuid);
	LIT_U64(t, "\n\t\tctransid ", le64_get(ri->ctransid));
	LIT_U64(t, " otransid ", le64_get(ri->otransid));
	LIT_U64(t, " stransid ", le64_get(ri->stransid));
	LIT_U64(t, " rtransid ", le64_get(ri->rtransid));
	text_char(t, '\n');
	print_time(p, "\t\tctime ", &ri->ctime);
	print_time(p, "\t\totime ", &ri->otime);
	print_time(p, "\t\tstime ", &ri->stime);
	print_time(p, "\t\trtime ", &ri->rtime);
}

void print_root_item(struct btrfs_print *p, const struct print_item *it)
{
	struct btrfs_root_item pad;
	const struct btrfs_root_item *ri = (const void *)it->data;
	struct text *t = p->out;
	struct btrfs_key drop;

	if (it->len == BTRFS_LEGACY_ROOT_ITEM_SIZE) { /* legal, and what it lacks is zero */
		memset(&pad, 0, sizeof(pad));
		memcpy(&pad, it->data, it->len);
		ri = &pad;
	} else {
		ri = print_whole(p, it, sizeof(pad), &pad);
	}
	LIT_U64(t, "\t\tgeneration ", le64_get(ri->generation));
	LIT_U64(t, " root_dirid ", le64_get(ri->root_dirid));
	LIT_U64(t, " bytenr ", le64_get(ri->bytenr));
	LIT_U64(t, " byte_limit ", le64_get(ri->byte_limit));
	LIT_U64(t, " bytes_used ", le64_get(ri->bytes_used));
	LIT_U64(t, "\n\t\tlast_snapshot ", le64_get(ri->last_snapshot));
	LIT(t, " flags 0x");
	text_hex(t, le64_get(ri->flags), 0);
	text_str(t, le64_get(ri->flags) & BTRFS_ROOT_SUBVOL_RDONLY ? "(RDONLY)" : "(none)");
	LIT_U64(t, " refs ", le32_get(ri->refs));
	drop = btrfs_disk_key_get(&ri->drop_progress);
	LIT(t, "\n\t\tdrop_progress ");
	print_key(t, &drop);
	LIT_U64(t, " drop_level ", ri->drop_level);
	LIT_U64(t, "\n\t\tlevel ", ri->level);
	LIT_U64(t, " generation_v2 ", le64_get(ri->generation_v2));
	text_char(t, '\n');
	if (le64_get(ri->generation) == le64_get(ri->generation_v2))
		print_root_v2(p, ri);
}

void print_root_ref(struct btrfs_print *p, const struct print_item *it)
{
	struct btrfs_root_ref pad;
	const struct btrfs_root_ref *ref = print_whole(p, it, sizeof(pad), &pad);
	uint32_t len = le16_get(ref->name_len);
	struct text *t = p->out;

	text_str(t, it->key.type == BTRFS_ROOT_REF_KEY ? "\t\troot ref key dirid "
						       : "\t\troot backref key dirid ");
	text_u64(t, le64_get(ref->dirid));
	LIT_U64(t, " sequence ", le64_get(ref->sequence));
	LIT(t, " name ");
	if (it->len < sizeof(*ref) || len > it->len - sizeof(*ref))
		len = it->len < sizeof(*ref) ? 0 : it->len - (uint32_t)sizeof(*ref);
	/* Raw, up to a NUL: these are not hidden and not escaped by the tool we follow. */
	text_mem(t, it->data + sizeof(*ref), strnlen((const char *)it->data + sizeof(*ref), len));
	text_char(t, '\n');
}
