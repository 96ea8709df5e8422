// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Names of numbers: object ids, key types, flags, times, and bytes that are not to be printed raw.
 */
#include "ondisk/print_priv.h"

#include <string.h>
#include <time.h>

static const char *const key_types[256] = {
	[BTRFS_INODE_ITEM_KEY] = "INODE_ITEM",
	[BTRFS_INODE_REF_KEY] = "INODE_REF",
	[BTRFS_INODE_EXTREF_KEY] = "INODE_EXTREF",
	[BTRFS_XATTR_ITEM_KEY] = "XATTR_ITEM",
	[BTRFS_VERITY_DESC_ITEM_KEY] = "VERITY_DESC_ITEM",
	[BTRFS_VERITY_MERKLE_ITEM_KEY] = "VERITY_MERKLE_ITEM",
	[BTRFS_ORPHAN_ITEM_KEY] = "ORPHAN_ITEM",
	[BTRFS_DIR_LOG_ITEM_KEY] = "DIR_LOG_ITEM",
	[BTRFS_DIR_LOG_INDEX_KEY] = "DIR_LOG_INDEX",
	[BTRFS_DIR_ITEM_KEY] = "DIR_ITEM",
	[BTRFS_DIR_INDEX_KEY] = "DIR_INDEX",
	[BTRFS_EXTENT_DATA_KEY] = "EXTENT_DATA",
	[120] = "CSUM_ITEM",
	[BTRFS_EXTENT_CSUM_KEY] = "EXTENT_CSUM",
	[BTRFS_ROOT_ITEM_KEY] = "ROOT_ITEM",
	[BTRFS_ROOT_BACKREF_KEY] = "ROOT_BACKREF",
	[BTRFS_ROOT_REF_KEY] = "ROOT_REF",
	[BTRFS_EXTENT_ITEM_KEY] = "EXTENT_ITEM",
	[BTRFS_METADATA_ITEM_KEY] = "METADATA_ITEM",
	[BTRFS_EXTENT_OWNER_REF_KEY] = "EXTENT_OWNER_REF",
	[BTRFS_TREE_BLOCK_REF_KEY] = "TREE_BLOCK_REF",
	[BTRFS_EXTENT_DATA_REF_KEY] = "EXTENT_DATA_REF",
	[BTRFS_EXTENT_REF_V0_KEY] = "EXTENT_REF_V0",
	[BTRFS_SHARED_BLOCK_REF_KEY] = "SHARED_BLOCK_REF",
	[BTRFS_SHARED_DATA_REF_KEY] = "SHARED_DATA_REF",
	[BTRFS_BLOCK_GROUP_ITEM_KEY] = "BLOCK_GROUP_ITEM",
	[BTRFS_FREE_SPACE_INFO_KEY] = "FREE_SPACE_INFO",
	[BTRFS_FREE_SPACE_EXTENT_KEY] = "FREE_SPACE_EXTENT",
	[BTRFS_FREE_SPACE_BITMAP_KEY] = "FREE_SPACE_BITMAP",
	[BTRFS_DEV_EXTENT_KEY] = "DEV_EXTENT",
	[BTRFS_DEV_ITEM_KEY] = "DEV_ITEM",
	[BTRFS_CHUNK_ITEM_KEY] = "CHUNK_ITEM",
	[BTRFS_RAID_STRIPE_KEY] = "RAID_STRIPE",
	[BTRFS_QGROUP_STATUS_KEY] = "QGROUP_STATUS",
	[BTRFS_QGROUP_INFO_KEY] = "QGROUP_INFO",
	[BTRFS_QGROUP_LIMIT_KEY] = "QGROUP_LIMIT",
	[BTRFS_QGROUP_RELATION_KEY] = "QGROUP_RELATION",
	[BTRFS_TEMPORARY_ITEM_KEY] = "TEMPORARY_ITEM",
	[BTRFS_PERSISTENT_ITEM_KEY] = "PERSISTENT_ITEM",
	[BTRFS_DEV_REPLACE_KEY] = "DEV_REPLACE",
	[BTRFS_UUID_KEY_SUBVOL] = "UUID_KEY_SUBVOL",
	[BTRFS_UUID_KEY_RECEIVED_SUBVOL] = "UUID_KEY_RECEIVED_SUBVOL",
	[BTRFS_STRING_ITEM_KEY] = "STRING_ITEM",
};

const char *btrfs_key_type_name(uint8_t type)
{
	return key_types[type];
}

static const char *objectid_name(uint64_t objectid, uint8_t type)
{
	switch (objectid) {
	case BTRFS_ROOT_TREE_OBJECTID: /* the same number is DEV_ITEMS */
		return type == BTRFS_DEV_ITEM_KEY ? "DEV_ITEMS" : "ROOT_TREE";
	case BTRFS_EXTENT_TREE_OBJECTID:
		return "EXTENT_TREE";
	case BTRFS_CHUNK_TREE_OBJECTID:
		return "CHUNK_TREE";
	case BTRFS_DEV_TREE_OBJECTID:
		return "DEV_TREE";
	case BTRFS_FS_TREE_OBJECTID:
		return "FS_TREE";
	case BTRFS_ROOT_TREE_DIR_OBJECTID:
		return "ROOT_TREE_DIR";
	case BTRFS_CSUM_TREE_OBJECTID:
		return "CSUM_TREE";
	case BTRFS_QUOTA_TREE_OBJECTID:
		return "QUOTA_TREE";
	case BTRFS_UUID_TREE_OBJECTID:
		return "UUID_TREE";
	case BTRFS_FREE_SPACE_TREE_OBJECTID:
		return "FREE_SPACE_TREE";
	case BTRFS_BLOCK_GROUP_TREE_OBJECTID:
		return "BLOCK_GROUP_TREE";
	case BTRFS_RAID_STRIPE_TREE_OBJECTID:
		return "RAID_STRIPE_TREE";
	case BTRFS_BALANCE_OBJECTID:
		return "BALANCE";
	case BTRFS_ORPHAN_OBJECTID:
		return "ORPHAN";
	case BTRFS_TREE_LOG_OBJECTID:
		return "TREE_LOG";
	case BTRFS_TREE_LOG_FIXUP_OBJECTID:
		return "LOG_FIXUP";
	case BTRFS_TREE_RELOC_OBJECTID:
		return "TREE_RELOC";
	case BTRFS_DATA_RELOC_TREE_OBJECTID:
		return "DATA_RELOC_TREE";
	case BTRFS_EXTENT_CSUM_OBJECTID:
		return "EXTENT_CSUM";
	case BTRFS_FREE_SPACE_OBJECTID:
		return "FREE_SPACE";
	case BTRFS_FREE_INO_OBJECTID:
		return "FREE_INO";
	case BTRFS_CSUM_CHANGE_OBJECTID:
		return "CSUM_CHANGE";
	case BTRFS_MULTIPLE_OBJECTIDS:
		return "MULTIPLE";
	case UINT64_MAX:
		return "-1";
	case BTRFS_FIRST_CHUNK_TREE_OBJECTID:
		return type == BTRFS_CHUNK_ITEM_KEY ? "FIRST_CHUNK_TREE" : NULL;
	default:
		return NULL;
	}
}

static void qgroupid_to_text(struct text *t, uint64_t id)
{
	text_u64(t, btrfs_qgroup_level(id));
	text_char(t, '/');
	text_u64(t, btrfs_qgroup_subvolid(id));
}

void btrfs_objectid_to_text(struct text *t, uint64_t objectid, uint8_t type)
{
	const char *name;

	switch (type) {
	case BTRFS_PERSISTENT_ITEM_KEY:
		if (objectid == BTRFS_DEV_STATS_OBJECTID)
			LIT(t, "DEV_STATS");
		else
			text_u64(t, objectid);
		return;
	case BTRFS_DEV_EXTENT_KEY: /* a device id */
		text_u64(t, objectid);
		return;
	case BTRFS_QGROUP_RELATION_KEY:
		qgroupid_to_text(t, objectid);
		return;
	case BTRFS_UUID_KEY_SUBVOL:
	case BTRFS_UUID_KEY_RECEIVED_SUBVOL:
		LIT(t, "0x");
		text_hex(t, objectid, 16);
		return;
	}
	/* Most are inode numbers and addresses. */
	if (objectid > BTRFS_FIRST_FREE_OBJECTID && objectid < BTRFS_LAST_FREE_OBJECTID) {
		text_u64(t, objectid);
		return;
	}
	name = objectid_name(objectid, type);
	if (name)
		text_str(t, name);
	else
		text_u64(t, objectid);
}

static void key_offset_to_text(struct text *t, const struct btrfs_key *key)
{
	switch (key->type) {
	case BTRFS_QGROUP_RELATION_KEY:
	case BTRFS_QGROUP_INFO_KEY:
	case BTRFS_QGROUP_LIMIT_KEY:
		qgroupid_to_text(t, key->offset);
		return;
	case BTRFS_UUID_KEY_SUBVOL:
	case BTRFS_UUID_KEY_RECEIVED_SUBVOL:
		LIT(t, "0x");
		text_hex(t, key->offset, 16);
		return;
	case BTRFS_ROOT_ITEM_KEY: /* the source's id for a reloc tree, else a generation */
		if (key->objectid == BTRFS_TREE_RELOC_OBJECTID)
			btrfs_objectid_to_text(t, key->offset, key->type);
		else
			text_u64(t, key->offset);
		return;
	default:
		if (key->offset == UINT64_MAX)
			LIT(t, "-1");
		else
			text_u64(t, key->offset);
	}
}

void btrfs_key_to_text(struct text *t, const struct btrfs_key *key)
{
	text_char(t, '(');
	btrfs_objectid_to_text(t, key->objectid, key->type);
	text_char(t, ' ');
	if (key_types[key->type])
		text_str(t, key_types[key->type]);
	else if (key->type == 0 && key->objectid == BTRFS_FREE_SPACE_OBJECTID)
		LIT(t, "UNTYPED");
	else
		LIT_U64(t, "UNKNOWN.", key->type);
	text_char(t, ' ');
	key_offset_to_text(t, key);
	text_char(t, ')');
}

void print_key(struct text *t, const struct btrfs_key *key)
{
	LIT(t, "key ");
	btrfs_key_to_text(t, key);
}

static const char *const incompat_names[64] = {
	"MIXED_BACKREF",   "DEFAULT_SUBVOL", "MIXED_GROUPS",	 "COMPRESS_LZO",
	"COMPRESS_ZSTD",   "BIG_METADATA",   "EXTENDED_IREF",	 "RAID56",
	"SKINNY_METADATA", "NO_HOLES",	     "METADATA_UUID",	 "RAID1C34",
	"ZONED",	   "EXTENT_TREE_V2", "RAID_STRIPE_TREE", NULL,
	"SIMPLE_QUOTA",	   "REMAP_TREE",
};
static const char *const compat_ro_names[64] = {
	"FREE_SPACE_TREE",
	"FREE_SPACE_TREE_VALID",
	"VERITY",
	"BLOCK_GROUP_TREE",
};
static const char *const super_flag_names[64] = {
	[0] = "WRITTEN",
	[1] = "RELOC",
	[2] = "ERROR",
	[32] = "SEEDING",
	[33] = "METADUMP",
	[34] = "METADUMP_V2",
	[35] = "CHANGING_FSID",
	[36] = "CHANGING_FSID_V2",
	[38] = "CHANGING_BG_TREE",
	[39] = "CHANGING_DATA_CSUM",
	[40] = "CHANGING_META_CSUM",
};

const char *btrfs_incompat_name(unsigned bit)
{
	return bit < 64 ? incompat_names[bit] : NULL;
}

const char *btrfs_compat_ro_name(unsigned bit)
{
	return bit < 64 ? compat_ro_names[bit] : NULL;
}

const char *btrfs_super_flag_name(unsigned bit)
{
	return bit < 64 ? super_flag_names[bit] : NULL;
}

void btrfs_bg_flags_to_text(struct text *t, uint64_t flags)
{
	/* Of several profiles (never legal) the first in this order. */
	static const struct {
		uint64_t bit;
		const char *name;
	} profiles[] = {
		{ BTRFS_BLOCK_GROUP_RAID10, "|RAID10" },
		{ BTRFS_BLOCK_GROUP_RAID1, "|RAID1" },
		{ BTRFS_BLOCK_GROUP_RAID1C3, "|RAID1C3" },
		{ BTRFS_BLOCK_GROUP_RAID1C4, "|RAID1C4" },
		{ BTRFS_BLOCK_GROUP_DUP, "|DUP" },
		{ BTRFS_BLOCK_GROUP_RAID0, "|RAID0" },
		{ BTRFS_BLOCK_GROUP_RAID5, "|RAID5" },
		{ BTRFS_BLOCK_GROUP_RAID6, "|RAID6" },
	};
	bool data = flags & BTRFS_BLOCK_GROUP_DATA;

	if (data)
		LIT(t, "DATA");
	if (flags & BTRFS_BLOCK_GROUP_METADATA)
		text_str(t, data ? "|METADATA" : "METADATA");
	/* With METADATA alone, which is never legal, there is no bar. */
	if (flags & BTRFS_BLOCK_GROUP_SYSTEM)
		text_str(t, data ? "|SYSTEM" : "SYSTEM");
	for (size_t i = 0; i < sizeof(profiles) / sizeof(*profiles); i++) {
		if (flags & profiles[i].bit) {
			text_str(t, profiles[i].name);
			return;
		}
	}
	LIT(t, "|single");
}

void btrfs_inode_flags_to_text(struct text *t, uint64_t flags)
{
	static const char *const names[] = { "NODATASUM", "NODATACOW", "READONLY",  "NOCOMPRESS",
					     "PREALLOC",  "SYNC",      "IMMUTABLE", "APPEND",
					     "NODUMP",	  "NOATIME",   "DIRSYNC",   "COMPRESS" };
	uint64_t unknown = flags & ~(uint64_t)BTRFS_INODE_FLAG_MASK;
	bool some = false;

	if (!flags) {
		LIT(t, "none");
		return;
	}
	for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (!(flags & 1ULL << i))
			continue;
		if (some)
			text_char(t, '|');
		text_str(t, names[i]);
		some = true;
	}
	if (flags & BTRFS_INODE_ROOT_ITEM_INIT) {
		text_str(t, some ? "|ROOT_ITEM_INIT" : "ROOT_ITEM_INIT");
		some = true;
	}
	if (unknown) {
		text_str(t, some ? "|UNKNOWN: 0x" : "UNKNOWN: 0x");
		text_hex(t, unknown, 0);
	}
}

const char *btrfs_compression_name(unsigned type)
{
	static const char *const names[] = { "none", "zlib", "lzo", "zstd" };

	return type < BTRFS_NR_COMPRESS_TYPES ? names[type] : NULL;
}

void btrfs_name_to_text(struct text *t, const void *name, size_t len)
{
	/* A backslash and this letter; 0: by value. */
	static const char letters[256] = {
		['\a'] = 'a', ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\v'] = 'v',
		['\f'] = 'f', ['\r'] = 'r', [27] = 'e',	  [' '] = ' ',	['\\'] = '\\',
	};
	const uint8_t *s = name;
	size_t plain = 0;

	for (size_t i = 0; i < len; i++) {
		uint8_t c = s[i];
		char esc[4] = { '\\', letters[c], 0, 0 };
		size_t n = 2;

		if (c > ' ' && c < 127 && c != '\\')
			continue;
		text_mem(t, s + plain, i - plain);
		plain = i + 1;
		if (!esc[1]) {
			esc[1] = (char)('0' + (c >> 6));
			esc[2] = (char)('0' + (c >> 3 & 7));
			esc[3] = (char)('0' + (c & 7));
			n = 4;
		}
		text_mem(t, esc, n);
	}
	text_mem(t, s + plain, len - plain);
}

/*
 * Local time's distance from UTC at `sec`. Asking libc costs more than all the rest of an inode's
 * line, and the distance changes only at the borders of quarter hours (in this century and the
 * last).
 */
static int32_t zone_offset(struct btrfs_print *p, int64_t sec)
{
	int64_t quarter = sec / 900;

	if (quarter != p->zone_quarter) {
		time_t when = (time_t)sec;
		struct tm tm;

		p->zone_quarter = quarter;
		p->zone_offset = localtime_r(&when, &tm) ? (int32_t)tm.tm_gmtoff : 0;
	}
	return p->zone_offset;
}

static void two_digits(char *at, unsigned v)
{
	at[0] = (char)('0' + v / 10);
	at[1] = (char)('0' + v % 10);
}

/* Days since 1970 as a date, by the usual 400-year eras that begin in March. */
static void date_to_digits(char out[10], uint64_t days)
{
	uint64_t z = days + 719468;
	unsigned era_day = (unsigned)(z % 146097);
	unsigned year = (era_day - era_day / 1460 + era_day / 36524 - era_day / 146096) / 365;
	unsigned year_day = era_day - (365 * year + year / 4 - year / 100);
	unsigned month = (5 * year_day + 2) / 153;
	unsigned y = (unsigned)(z / 146097) * 400 + year + (month >= 10);

	two_digits(out, y / 100);
	two_digits(out + 2, y % 100);
	out[4] = out[7] = '-';
	two_digits(out + 5, month < 10 ? month + 3 : month - 9);
	two_digits(out + 8, year_day - (153 * month + 2) / 5 + 1);
}

static void local_time_to_text(struct btrfs_print *p, uint64_t seconds)
{
	int64_t sec = (int64_t)seconds;
	uint64_t local;
	char out[64];

	/* From 1970 on (a day kept for the zone) to the last four-digit year; the rest is libc's.
	 */
	if (sec < 86400 || sec > 253370764800) {
		time_t when = (time_t)sec;
		struct tm tm;

		if (localtime_r(&when, &tm) && strftime(out, sizeof(out), "%Y-%m-%d %H:%M:%S", &tm))
			text_str(p->out, out);
		return;
	}
	local = (uint64_t)(sec + zone_offset(p, sec));
	date_to_digits(out, local / 86400);
	out[10] = ' ';
	two_digits(out + 11, (unsigned)(local / 3600 % 24));
	out[13] = out[16] = ':';
	two_digits(out + 14, (unsigned)(local / 60 % 60));
	two_digits(out + 17, (unsigned)(local % 60));
	text_mem(p->out, out, 19);
}

void print_time(struct btrfs_print *p, const char *lead, const struct btrfs_timespec *ts)
{
	text_str(p->out, lead);
	text_u64(p->out, le64_get(ts->sec));
	text_char(p->out, '.');
	text_u64(p->out, le32_get(ts->nsec));
	LIT(p->out, " (");
	local_time_to_text(p, le64_get(ts->sec));
	LIT(p->out, ")\n");
}

void print_time_sec(struct btrfs_print *p, const char *lead, uint64_t sec)
{
	text_str(p->out, lead);
	text_u64(p->out, sec);
	LIT(p->out, " (");
	local_time_to_text(p, sec);
	LIT(p->out, ")\n");
}
