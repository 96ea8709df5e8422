// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Which feature bits a reader of this engine understands, and what rescue options are called.
 *
 * Unknown incompat bits refuse the filesystem, by name where there is one. Unknown compat_ro bits do not
 * matter to a reader, by their definition.
 */
#include "engine/api/api_priv.h"

#include <string.h>

struct feature {
	uint64_t bit;
	const char *name;
	bool readable;
};

static const struct feature incompat[] = {
	{ BTRFS_FEATURE_INCOMPAT_MIXED_BACKREF, "mixed-backref", true },
	{ BTRFS_FEATURE_INCOMPAT_DEFAULT_SUBVOL, "default-subvol", true },
	{ BTRFS_FEATURE_INCOMPAT_MIXED_GROUPS, "mixed-bg", true },
	{ BTRFS_FEATURE_INCOMPAT_COMPRESS_LZO, "compress-lzo", true },
	{ BTRFS_FEATURE_INCOMPAT_COMPRESS_ZSTD, "compress-zstd", true },
	{ BTRFS_FEATURE_INCOMPAT_BIG_METADATA, "big-metadata", true },
	{ BTRFS_FEATURE_INCOMPAT_EXTENDED_IREF, "extref", true },
	{ BTRFS_FEATURE_INCOMPAT_RAID56, "raid56", true },
	{ BTRFS_FEATURE_INCOMPAT_SKINNY_METADATA, "skinny-metadata", true },
	{ BTRFS_FEATURE_INCOMPAT_NO_HOLES, "no-holes", true },
	{ BTRFS_FEATURE_INCOMPAT_METADATA_UUID, "metadata-uuid", true },
	{ BTRFS_FEATURE_INCOMPAT_RAID1C34, "raid1c34", true },
	{ BTRFS_FEATURE_INCOMPAT_SIMPLE_QUOTA, "simple-quota", true },
	{ BTRFS_FEATURE_INCOMPAT_ZONED, "zoned", false },
	{ BTRFS_FEATURE_INCOMPAT_EXTENT_TREE_V2, "extent-tree-v2", false },
	{ BTRFS_FEATURE_INCOMPAT_RAID_STRIPE_TREE, "raid-stripe-tree", false },
	{ BTRFS_FEATURE_INCOMPAT_REMAP_TREE, "remap-tree", false },
};

static const struct feature super_flags[] = {
	{ BTRFS_SUPER_FLAG_METADUMP, "metadump", false },
	{ BTRFS_SUPER_FLAG_METADUMP_V2, "metadump-v2", false },
	{ BTRFS_SUPER_FLAG_CHANGING_FSID, "changing-fsid", false },
	{ BTRFS_SUPER_FLAG_CHANGING_FSID_V2, "changing-fsid-v2", false },
	{ BTRFS_SUPER_FLAG_CHANGING_BG_TREE, "changing-bg-tree", false },
	{ BTRFS_SUPER_FLAG_CHANGING_DATA_CSUM, "changing-data-csum", false },
	{ BTRFS_SUPER_FLAG_CHANGING_META_CSUM, "changing-meta-csum", false },
	{ BTRFS_SUPER_FLAG_ERROR, "error", true },
	{ BTRFS_SUPER_FLAG_SEEDING, "seeding", true },
	{ BTRFS_HEADER_FLAG_WRITTEN, "written", true },
	{ BTRFS_HEADER_FLAG_RELOC, "reloc", true },
};

bool eng_rescue_word(const char *word, size_t len, unsigned *out_bits)
{
	static const struct {
		const char *name;
		unsigned bits;
	} words[] = {
		{ "usebackuproot", ENG_RESCUE_USEBACKUPROOT },
		{ "nologreplay", 0 }, /* a log is never replayed here */
		{ "ignorebadroots", ENG_RESCUE_IGNOREBADROOTS },
		{ "ibadroots", ENG_RESCUE_IGNOREBADROOTS },
		{ "ignoredatacsums", ENG_RESCUE_IGNOREDATACSUMS },
		{ "idatacsums", ENG_RESCUE_IGNOREDATACSUMS },
		{ "ignoremetacsums", ENG_RESCUE_IGNOREMETACSUMS },
		{ "imetacsums", ENG_RESCUE_IGNOREMETACSUMS },
		{ "ignoresuperflags", ENG_RESCUE_IGNORESUPERFLAGS },
		{ "isuperflags", ENG_RESCUE_IGNORESUPERFLAGS },
		{ "all", ENG_RESCUE_ALL },
	};

	*out_bits = 0;
	for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strlen(words[i].name) != len || memcmp(words[i].name, word, len) != 0)
			continue;
		*out_bits = words[i].bits;
		return true;
	}
	return false;
}

/* The names of the bits that cannot be read, then the rest as one number. Returns those bits. */
static uint64_t unreadable(uint64_t bits, const struct feature *table, unsigned nr, struct text *t)
{
	uint64_t bad = bits;
	uint64_t nameless = bits;

	for (unsigned i = 0; i < nr; i++) {
		if (!(bits & table[i].bit))
			continue;
		nameless &= ~table[i].bit;
		if (table[i].readable) {
			bad &= ~table[i].bit;
			continue;
		}
		text_char(t, ' ');
		text_str(t, table[i].name);
	}
	if (nameless) {
		text_str(t, " unknown(0x");
		text_hex(t, nameless, 0);
		text_char(t, ')');
	}
	return bad;
}

int api_check_features(struct msg *msg, const struct btrfs_super_block *sb, unsigned rescue)
{
	char names[400];
	struct text t = TEXT_FIXED(names);
	uint64_t flags = le64_get(sb->flags);

	if (unreadable(le64_get(sb->incompat_flags), incompat, sizeof(incompat) / sizeof(incompat[0]), &t)) {
		msg_err(msg, "the filesystem uses incompatible features that this version cannot read:%s",
			text_done(&t));
		return -EOPNOTSUPP;
	}
	t = (struct text)TEXT_FIXED(names);
	if (unreadable(flags, super_flags, sizeof(super_flags) / sizeof(super_flags[0]), &t)) {
		if (!(rescue & ENG_RESCUE_IGNORESUPERFLAGS)) {
			msg_err(msg, "the superblock has flags that forbid a mount:%s "
				"(rescue=ignoresuperflags goes on)", text_done(&t));
			return -EOPNOTSUPP;
		}
		msg_warn(msg, "ignoring superblock flags:%s", text_done(&t));
	}
	if (flags & BTRFS_SUPER_FLAG_ERROR)
		msg_warn(msg, "the superblock says that an error was met earlier");
	return 0;
}
