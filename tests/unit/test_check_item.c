// SPDX-License-Identifier: GPL-2.0-or-later
/* Items of files and subvolumes: a good one passes, and each rule, broken alone, is named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "tests/unit/checkbuild.h"

static struct btrfs_inode_item *add_inode(struct cb *b, uint64_t ino, uint32_t mode)
{
	struct btrfs_inode_item *ii = cb_add(b, ino, BTRFS_INODE_ITEM_KEY, 0, NULL, sizeof(*ii));

	ii->generation = ii->transid = le64_make(CB_GENERATION);
	ii->mode = le32_make(mode);
	ii->nlink = le32_make(1);
	return ii;
}

static void inode_items(void **state)
{
	static const uint32_t kinds[] = { S_IFREG, S_IFDIR, S_IFLNK, S_IFCHR,
					  S_IFBLK, S_IFIFO, S_IFSOCK };
	struct cb b;
	struct btrfs_inode_item *ii;

	cb_init(&b, 4096, 0, BTRFS_FS_TREE_OBJECTID);
	ii = add_inode(&b, 256, S_IFDIR | 0755);
	cb_good(&b);
	CB_BROKEN(&b, cb_item(&b, 0)->key.objectid, 255, 0, "inode number is 255");
	CB_BROKEN(&b, cb_item(&b, 0)->key.objectid, BTRFS_ORPHAN_OBJECTID, 0, "inode number is");
	CB_LEGAL(&b, cb_item(&b, 0)->key.objectid, BTRFS_FREE_INO_OBJECTID);
	CB_LEGAL(&b, cb_item(&b, 0)->key.objectid, BTRFS_ROOT_TREE_DIR_OBJECTID);
	CB_LEGAL(&b, cb_item(&b, 0)->key.objectid, BTRFS_LAST_FREE_OBJECTID);
	CB_BROKEN(&b, cb_item(&b, 0)->key.offset, 1, 0, "offset of an inode's key is 1");
	CB_BROKEN(&b, ii->generation, CB_GENERATION + 2, 0, "inode generation 22 is newer");
	CB_BROKEN(&b, ii->transid, CB_GENERATION + 2, 0, "inode transid 22 is newer");
	CB_LEGAL(&b, ii->transid, CB_GENERATION + 1);
	CB_BROKEN(&b, ii->nlink, 2, 0, "directory with 2 links");
	CB_BROKEN(&b, ii->mode, S_IFREG | 0200000, 0, "expected no bits beyond");
	CB_BROKEN(&b, ii->mode, 0755, 0, "expected one of the seven");
	CB_BROKEN(&b, ii->mode, S_IFBLK | S_IFIFO, 0, "expected one of the seven");
	for (unsigned i = 0; i < 7; i++)
		CB_LEGAL(&b, ii->mode, kinds[i] | 07777);
	CB_BROKEN(&b, ii->flags, 1U << 12, 0, "inode flags are 0x1000");
	CB_LEGAL(&b, ii->flags, BTRFS_INODE_ROOT_ITEM_INIT | BTRFS_INODE_COMPRESS);
	CB_LEGAL(&b, ii->flags, 1ULL << 60);
	b.geo.writable = true;
	CB_BROKEN(&b, ii->flags, 1ULL << 60, 0, "inode read-only flags are 0x10000000");
	CB_LEGAL(&b, ii->flags, 1ULL << 32);
	cb_free(&b);

	cb_init(&b, 4096, 0, BTRFS_FS_TREE_OBJECTID);
	cb_add(&b, 256, BTRFS_INODE_ITEM_KEY, 0, NULL, 161);
	cb_bad(&b, 0, "item size is 161, expected 160");
	cb_free(&b);
}

static void inode_refs(void **state)
{
	struct cb b;
	uint8_t *p;
	struct btrfs_inode_ref *ref[2];

	cb_init(&b, 4096, 0, BTRFS_FS_TREE_OBJECTID);
	add_inode(&b, 257, S_IFREG | 0644);
	p = cb_add(&b, 257, BTRFS_INODE_REF_KEY, 256, NULL, 13 + 14);
	ref[0] = (void *)p;
	ref[1] = (void *)(p + 13);
	ref[0]->name_len = le16_make(3);
	ref[1]->name_len = le16_make(4);
	memcpy(p + 10, "abc", 3);
	memcpy(p + 23, "defg", 4);
	cb_good(&b);
	CB_BROKEN(&b, ref[0]->name_len, 0, 1, "name length is 0");
	CB_BROKEN(&b, ref[0]->name_len, 256, 1, "passes its end");
	CB_BROKEN(&b, ref[1]->name_len, 5, 1, "name of 5 bytes at 23 of the item passes its end");
	CB_BROKEN(&b, ref[1]->name_len, 3, 1, "inode ref at 26 of the item passes its end at 27");
	CB_BROKEN(&b, p[11], '/', 1, "name with a slash");
	CB_BROKEN(&b, p[23], 0, 1, "name with a zero byte");
	CB_BROKEN(&b, cb_item(&b, 1)->key.objectid, 258, 1, "item before it is of inode 257");
	CB_LEGAL(&b, cb_header(&b)->owner, BTRFS_TREE_LOG_OBJECTID);
	cb_free(&b);

	cb_init(&b, 4096, 0, BTRFS_FS_TREE_OBJECTID);
	cb_add(&b, 257, BTRFS_INODE_REF_KEY, 256, NULL, 10);
	cb_bad(&b, 0, "item size is 10, expected at least 11");
	cb_free(&b);
}

static void inode_extrefs(void **state)
{
	struct cb b;
	uint8_t *p;
	struct btrfs_inode_extref *ref;

	cb_init(&b, 4096, 0, BTRFS_FS_TREE_OBJECTID);
	add_inode(&b, 257, S_IFREG | 0644);
	p = cb_add(&b, 257, BTRFS_INODE_EXTREF_KEY, 12345, NULL, 18 + 300);
	ref = (void *)p;
	memset(p + 18, 'x', 300);
	ref->name_len = le16_make(255);
	memset(p + 18 + 255, 0, 18);
	ref = (void *)(p + 18 + 255);
	ref->name_len = le16_make(27);
	cb_good(&b);
	CB_BROKEN(&b, ref->name_len, 28, 1, "name of 28 bytes at 291 of the item");
	CB_BROKEN(&b, ref->name_len, 26, 1, "inode extref at 317 of the item");
	CB_BROKEN(&b, ((struct btrfs_inode_extref *)p)->name_len, 256, 1,
		  "name length is 256, expected 1 to 255");
	CB_BROKEN(&b, cb_item(&b, 1)->key.objectid, 258, 1, "item before it is of inode 257");
	cb_free(&b);
}

static struct btrfs_dir_item *add_entry(struct cb *b, uint8_t type, const char *name,
					uint32_t data_len)
{
	uint32_t len = (uint32_t)strlen(name);
	struct btrfs_dir_item *di =
		cb_add(b, 256, type, type == BTRFS_DIR_INDEX_KEY ? 2 : btrfs_name_hash(name, len),
		       NULL, (uint32_t)sizeof(*di) + len + data_len);

	di->name_len = le16_make((uint16_t)len);
	di->data_len = le16_make((uint16_t)data_len);
	memcpy(di + 1, name, len);
	if (type == BTRFS_XATTR_ITEM_KEY) {
		di->type = BTRFS_FT_XATTR;
	} else {
		di->type = BTRFS_FT_REG_FILE;
		di->location.objectid = le64_make(257);
		di->location.type = BTRFS_INODE_ITEM_KEY;
	}
	return di;
}

static void dir_items(void **state)
{
	struct cb b;
	struct btrfs_dir_item *di;

	cb_init(&b, 4096, 0, BTRFS_FS_TREE_OBJECTID);
	add_inode(&b, 256, S_IFDIR | 0755);
	di = add_entry(&b, BTRFS_DIR_ITEM_KEY, "hello", 0);
	add_entry(&b, BTRFS_DIR_INDEX_KEY, "hello", 0);
	cb_good(&b);
	CB_BROKEN(&b, di->name_len, 6, 1, "name and data of 6 bytes pass the item's end by 1");
	CB_BROKEN(&b, di->name_len, 65535, 1, "name and data of 65535 bytes, expected at most");
	CB_BROKEN(&b, di->name_len, 0, 1, "name length is 0");
	CB_BROKEN(&b, di->name_len, 4, 1, "hash of the name is");
	CB_BROKEN(&b, di->data_len, 1, 1, "entry with 1 bytes of data");
	CB_BROKEN(&b, di->type, BTRFS_FT_MAX, 1, "entry type is 9");
	CB_BROKEN(&b, di->type, BTRFS_FT_XATTR, 1, "entry type is 8, expected anything but XATTR");
	CB_LEGAL(&b, di->type, BTRFS_FT_REG_FILE | BTRFS_FT_ENCRYPTED);
	CB_BROKEN(&b, di->location.objectid, 3, 1, "inode number is 3");
	CB_BROKEN(&b, di->location.offset, 3, 1, "offset of an inode's key is 3");
	CB_BROKEN(&b, di->location.type, BTRFS_DIR_ITEM_KEY, 1, "location has key type 84");
	CB_LEGAL(&b, di->location.type, BTRFS_ROOT_ITEM_KEY);
	di->location.type = BTRFS_ROOT_ITEM_KEY;
	CB_BROKEN(&b, di->location.objectid, 0, 1, "root id is 0");
	CB_BROKEN(&b, di->location.objectid, 7, 1, "location is root 7, expected a subvolume");
	CB_BROKEN(&b, di->location.objectid, BTRFS_TREE_RELOC_OBJECTID, 1, "expected a subvolume");
	CB_BROKEN(&b, cb_item(&b, 1)->key.offset, 77, 1, "expected the key's 77");
	b.geo.super_flags = BTRFS_SUPER_FLAG_METADUMP_V2; /* sanitized names keep the old hashes */
	CB_LEGAL(&b, cb_item(&b, 1)->key.offset, 77);
	b.geo.super_flags = 0;
	CB_BROKEN(&b, ((uint8_t *)(di + 1))[0], '/', 1, "name with a slash");
	cb_free(&b);

	cb_init(&b, 4096, 0, BTRFS_FS_TREE_OBJECTID);
	add_inode(&b, 256, S_IFDIR | 0755);
	cb_add(&b, 257, BTRFS_DIR_INDEX_KEY, 2, NULL, 35);
	cb_bad(&b, 1, "item before it is of inode 256");
	cb_free(&b);
}

static void rows_of_dir_items(void **state)
{
	uint8_t row[2 * 33];
	struct btrfs_dir_item *di = (void *)row;
	struct cb b;

	/* the same name twice, so that one hash is right for both */
	memset(row, 0, sizeof(row));
	di->type = BTRFS_FT_DIR;
	di->name_len = le16_make(3);
	di->location.objectid = le64_make(300);
	di->location.type = BTRFS_INODE_ITEM_KEY;
	memcpy(di + 1, "abc", 3);
	memcpy(row + 33, row, 33);
	cb_init(&b, 4096, 0, BTRFS_FS_TREE_OBJECTID);
	cb_add(&b, 256, BTRFS_DIR_ITEM_KEY, btrfs_name_hash("abc", 3), row, 66);
	cb_good(&b);
	cb_item(&b, 0)->key.type = BTRFS_DIR_INDEX_KEY;
	cb_bad(&b, 0, "item size is 66, expected 33 for its one entry");
	cb_free(&b);

	cb_init(&b, 4096, 0, BTRFS_FS_TREE_OBJECTID);
	cb_add(&b, 256, BTRFS_DIR_ITEM_KEY, btrfs_name_hash("abc", 3), row, 62);
	cb_bad(&b, 0, "entry at 33 of the item passes its end at 62");
	cb_free(&b);
	cb_init(&b, 4096, 0, BTRFS_FS_TREE_OBJECTID);
	cb_add(&b, 256, BTRFS_DIR_ITEM_KEY, 1, NULL, 0);
	cb_bad(&b, 0, "item size is 0, expected at least 31");
	cb_free(&b);
}

static void xattrs(void **state)
{
	struct cb b;
	struct btrfs_dir_item *di;

	cb_init(&b, 4096, 0, BTRFS_FS_TREE_OBJECTID);
	add_inode(&b, 256, S_IFDIR | 0755);
	di = add_entry(&b, BTRFS_XATTR_ITEM_KEY, "user.a/b", 100);
	cb_good(&b);
	CB_BROKEN(&b, di->type, BTRFS_FT_REG_FILE, 1, "entry type is 1, expected");
	CB_BROKEN(&b, di->location.objectid, 256, 1, "location of an attribute is (256 0 0)");
	CB_BROKEN(&b, di->location.type, 1, 1, "location of an attribute is (0 1 0)");
	CB_BROKEN(&b, di->name_len, 0, 1, "attribute name length is 0");
	CB_BROKEN(&b, ((char *)(di + 1))[3], 0, 1, "attribute name with a zero byte");
	CB_BROKEN(&b, di->data_len, 101, 1, "pass the item's end by 1");
	CB_BROKEN(&b, cb_item(&b, 1)->key.offset, 77, 1, "expected the key's 77");
	cb_free(&b);
}

static struct btrfs_file_extent_item *add_extent(struct cb *b, uint64_t off, uint64_t bytenr,
						 uint64_t len)
{
	struct btrfs_file_extent_item *fi =
		cb_add(b, 257, BTRFS_EXTENT_DATA_KEY, off, NULL, sizeof(*fi));

	fi->type = BTRFS_FILE_EXTENT_REG;
	fi->disk_bytenr = le64_make(bytenr);
	fi->disk_num_bytes = fi->ram_bytes = fi->num_bytes = le64_make(len);
	return fi;
}

static void file_extents(void **state)
{
	struct cb b;
	struct btrfs_file_extent_item *fi, *next;

	cb_init(&b, 4096, 0, BTRFS_FS_TREE_OBJECTID);
	add_inode(&b, 257, S_IFREG | 0644);
	fi = add_extent(&b, 8192, 13631488, 65536);
	next = add_extent(&b, 73728, 0, 4096); /* a hole */
	cb_good(&b);
	CB_BROKEN(&b, cb_item(&b, 1)->key.offset, 8193, 1, "file offset 8193 is not a multiple");
	CB_BROKEN(&b, cb_item(&b, 1)->key.objectid, 258, 1, "item before it is of inode 257");
	CB_BROKEN(&b, fi->type, 3, 1, "extent type is 3");
	CB_LEGAL(&b, fi->type, BTRFS_FILE_EXTENT_PREALLOC);
	CB_BROKEN(&b, fi->compression, 4, 1, "compression is 4");
	CB_BROKEN(&b, fi->encryption, 1, 1, "encryption is 1");
	CB_BROKEN(&b, fi->ram_bytes, 1, 1, "ram_bytes 1 is not a multiple");
	CB_BROKEN(&b, fi->disk_bytenr, 13631489, 1, "disk_bytenr 13631489 is not");
	CB_BROKEN(&b, fi->disk_num_bytes, 512, 1, "disk_num_bytes 512 is not");
	CB_BROKEN(&b, fi->offset, 512, 1, "offset 512 is not");
	CB_BROKEN(&b, fi->num_bytes, 512, 1, "num_bytes 512 is not");
	CB_BROKEN(&b, fi->num_bytes, -8192ULL, 1, "file extent from 8192 with length");
	CB_BROKEN(&b, fi->disk_bytenr, -4096ULL, 1, "extent from 18446744073709547520");
	CB_BROKEN(&b, fi->num_bytes, 69632, 1, "offset 0 with num_bytes 69632 passes");
	CB_BROKEN(&b, fi->offset, 4096, 1, "offset 4096 with num_bytes 65536 passes");
	CB_BROKEN(&b, fi->offset, -4096ULL, 1, "passes the extent's 65536");
	CB_LEGAL(&b, fi->ram_bytes, 4096); /* not relied upon without compression */
	CB_BROKEN(&b, cb_item(&b, 2)->key.offset, 69632, 2,
		  "extent before it ends at 73728, expected at most 69632");
	CB_LEGAL(&b, next->offset, 4096);
	cb_free(&b);

	cb_init(&b, 4096, 0, BTRFS_FS_TREE_OBJECTID);
	cb_add(&b, 257, BTRFS_EXTENT_DATA_KEY, 0, NULL, 20);
	cb_bad(&b, 0, "item size is 20, expected at least 21");
	cb_free(&b);
}

static void compressed_extents(void **state)
{
	struct cb b;
	struct btrfs_file_extent_item *fi;

	cb_init(&b, 4096, 0, BTRFS_FS_TREE_OBJECTID);
	fi = add_extent(&b, 0, 13631488, 131072);
	fi->compression = BTRFS_COMPRESS_ZSTD;
	fi->disk_num_bytes = le64_make(4096);
	cb_good(&b);
	CB_BROKEN(&b, fi->ram_bytes, 135168, 0, "compressed extent with ram_bytes 135168");
	CB_BROKEN(&b, fi->ram_bytes, 65536, 0, "passes the extent's 65536");
	CB_BROKEN(&b, fi->disk_num_bytes, 135168, 0, "with disk_num_bytes 135168");
	cb_free(&b);
}

static void inline_extents(void **state)
{
	struct cb b;
	struct btrfs_file_extent_item *fi, *next;

	cb_init(&b, 16384, 0, BTRFS_FS_TREE_OBJECTID);
	fi = cb_add(&b, 257, BTRFS_EXTENT_DATA_KEY, 0, NULL, 21 + 100);
	fi->ram_bytes = le64_make(100);
	next = add_extent(&b, 4096, 13631488, 4096);
	cb_good(&b);
	CB_BROKEN(&b, fi->ram_bytes, 101, 0, "inline extent with ram_bytes 101, expected 100");
	CB_BROKEN(&b, cb_item(&b, 0)->key.offset, 4096, 0, "inline extent at offset 4096");
	fi->compression = BTRFS_COMPRESS_LZO;
	fi->ram_bytes = le64_make(4096);
	cb_good(&b);
	CB_BROKEN(&b, fi->ram_bytes, 4097, 1, "extent before it ends at 8192");
	CB_BROKEN(&b, fi->ram_bytes, 1ULL << 40, 0, "compressed extent with ram_bytes");
	(void)next;
	cb_free(&b);

	/* empty inline extents exist: truncated to nothing and kept */
	cb_init(&b, 4096, 0, BTRFS_FS_TREE_OBJECTID);
	cb_add(&b, 257, BTRFS_EXTENT_DATA_KEY, 0, NULL, 21);
	cb_good(&b);
	cb_free(&b);
}

static void larger_sectors(void **state)
{
	struct cb b;
	struct btrfs_file_extent_item *fi;

	cb_init(&b, 65536, 0, BTRFS_FS_TREE_OBJECTID);
	b.geo.sectorsize = 65536;
	fi = add_extent(&b, 65536, 13631488, 65536);
	cb_good(&b);
	CB_BROKEN(&b, fi->disk_bytenr, 13635584, 0, "not a multiple of the sector size 65536");
	CB_BROKEN(&b, cb_item(&b, 0)->key.offset, 4096, 0, "file offset 4096 is not a multiple");
	cb_free(&b);
}

static void csum_items(void **state)
{
	struct cb b;

	cb_init(&b, 4096, 0, BTRFS_CSUM_TREE_OBJECTID);
	cb_add(&b, BTRFS_EXTENT_CSUM_OBJECTID, BTRFS_EXTENT_CSUM_KEY, 1 << 20, NULL, 40);
	cb_add(&b, BTRFS_EXTENT_CSUM_OBJECTID, BTRFS_EXTENT_CSUM_KEY, (1 << 20) + 40960, NULL, 4);
	cb_good(&b);
	CB_BROKEN(&b, cb_item(&b, 1)->key.offset, (1 << 20) + 36864, 1,
		  "checksums before it end at 1089536");
	CB_BROKEN(&b, cb_item(&b, 0)->key.offset, (1 << 20) - 1, 0, "start 1048575 is not");
	CB_BROKEN(&b, cb_item(&b, 0)->key.objectid, 5, 0, "objectid is 5");
	b.geo.csum_type = BTRFS_CSUM_TYPE_SHA256;
	b.geo.csum_size = 32;
	cb_bad(&b, 0, "item size is 40, expected a row of 32 byte checksums");
	cb_free(&b);

	cb_init(&b, 4096, 0, BTRFS_CSUM_TREE_OBJECTID);
	cb_add(&b, BTRFS_EXTENT_CSUM_OBJECTID, BTRFS_EXTENT_CSUM_KEY, -4096ULL, NULL, 8);
	cb_bad(&b, 0, "passes 2^64");
	cb_free(&b);
}

static void root_items(void **state)
{
	struct cb b;
	struct btrfs_root_item *ri;

	for (int legacy = 0; legacy < 2; legacy++) {
		cb_init(&b, 4096, 0, BTRFS_ROOT_TREE_OBJECTID);
		ri = cb_add(&b, 257, BTRFS_ROOT_ITEM_KEY, 0, NULL, legacy ? 239 : 439);
		ri->generation = le64_make(CB_GENERATION);
		ri->bytenr = le64_make(30408704);
		cb_good(&b);
		CB_BROKEN(&b, ri->generation, CB_GENERATION + 2, 0, "root generation 22");
		CB_BROKEN(&b, ri->last_snapshot, CB_GENERATION + 2, 0, "root last_snapshot 22");
		CB_BROKEN(&b, ri->bytenr, 30408705, 0, "root bytenr 30408705 is not");
		CB_BROKEN(&b, ri->level, 8, 0, "root level is 8");
		CB_BROKEN(&b, ri->drop_level, 8, 0, "root drop_level is 8");
		CB_BROKEN(&b, ri->flags, 2, 0, "root flags are 0x2");
		CB_LEGAL(&b, ri->flags, BTRFS_ROOT_SUBVOL_DEAD | BTRFS_ROOT_SUBVOL_RDONLY);
		CB_BROKEN(&b, cb_item(&b, 0)->key.objectid, 0, 0, "root id is 0");
		CB_LEGAL(&b, cb_item(&b, 0)->key.objectid, BTRFS_TREE_LOG_OBJECTID);
		CB_BROKEN(&b, cb_item(&b, 0)->key.objectid, BTRFS_TREE_RELOC_OBJECTID, 0,
			  "relocation tree of root 0");
		cb_item(&b, 0)->key.offset = le64_make(257);
		CB_LEGAL(&b, cb_item(&b, 0)->key.objectid, BTRFS_TREE_RELOC_OBJECTID);
		if (!legacy)
			CB_BROKEN(&b, ri->generation_v2, CB_GENERATION + 2, 0,
				  "root generation_v2 22");
		cb_free(&b);
	}
	cb_init(&b, 4096, 0, BTRFS_ROOT_TREE_OBJECTID);
	cb_add(&b, 257, BTRFS_ROOT_ITEM_KEY, 0, NULL, 240);
	cb_bad(&b, 0, "item size is 240, expected 439 or 239");
	cb_free(&b);
}

static void root_refs(void **state)
{
	static const uint8_t types[] = { BTRFS_ROOT_REF_KEY, BTRFS_ROOT_BACKREF_KEY };
	struct cb b;
	struct btrfs_root_ref *ref;

	for (int i = 0; i < 2; i++) {
		cb_init(&b, 4096, 0, BTRFS_ROOT_TREE_OBJECTID);
		ref = cb_add(&b, 5, types[i], 257, NULL, 18 + 4);
		ref->name_len = le16_make(4);
		memcpy(ref + 1, "subv", 4);
		cb_good(&b);
		CB_BROKEN(&b, ref->name_len, 5, 0, "item size is 22, expected 23");
		CB_BROKEN(&b, ref->name_len, 3, 0, "item size is 22, expected 21");
		CB_BROKEN(&b, ((char *)(ref + 1))[1], '/', 0, "name with a slash");
		cb_free(&b);
		cb_init(&b, 4096, 0, BTRFS_ROOT_TREE_OBJECTID);
		cb_add(&b, 5, types[i], 257, NULL, 18);
		cb_bad(&b, 0, "item size is 18, expected at least 19");
		cb_free(&b);
	}
}

/* One item of a size that is wrong for its type, and of the one that is right. */
static void sizes(void **state)
{
	static const struct {
		uint64_t objectid;
		uint8_t type;
		uint64_t offset;
		uint32_t good, bad;
	} cases[] = {
		{ 257, BTRFS_VERITY_DESC_ITEM_KEY, 0, 25, 26 },
		{ 257, BTRFS_VERITY_DESC_ITEM_KEY, 1, 256, UINT32_MAX },
		{ 257, BTRFS_VERITY_MERKLE_ITEM_KEY, 0, 2048, UINT32_MAX },
		{ BTRFS_ORPHAN_OBJECTID, BTRFS_ORPHAN_ITEM_KEY, 300, 0, 1 },
		{ 257, BTRFS_DIR_LOG_INDEX_KEY, 2, 8, 7 },
		{ 257, BTRFS_DIR_LOG_ITEM_KEY, 2, 8, 7 },
		{ BTRFS_FREE_SPACE_OBJECTID, 0, 1 << 20, 41, 40 },
		{ 300, 0, 1 << 20, 3, UINT32_MAX },
		{ 0, BTRFS_QGROUP_STATUS_KEY, 0, 32, 31 },
		{ 0, BTRFS_QGROUP_INFO_KEY, 257, 40, 39 },
		{ 0, BTRFS_QGROUP_LIMIT_KEY, 257, 40, 32 },
		{ 257, BTRFS_QGROUP_RELATION_KEY, 300, 0, UINT32_MAX },
		{ BTRFS_BALANCE_OBJECTID, BTRFS_TEMPORARY_ITEM_KEY, 0, 448, 447 },
		{ 12, BTRFS_TEMPORARY_ITEM_KEY, 0, 1, UINT32_MAX },
		{ 0, BTRFS_PERSISTENT_ITEM_KEY, 1, 40, 41 },
		{ 0, BTRFS_PERSISTENT_ITEM_KEY, 1, 48, 0 },
		{ 0, BTRFS_DEV_REPLACE_KEY, 0, 72, 71 },
		{ 77, BTRFS_UUID_KEY_SUBVOL, 99, 16, 12 },
		{ 77, BTRFS_UUID_KEY_RECEIVED_SUBVOL, 99, 8, 0 },
		{ 77, 7, 99, 3, UINT32_MAX }, /* a type that nobody knows */
	};
	struct cb b;

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cb_init(&b, 4096, 0, BTRFS_ROOT_TREE_OBJECTID);
		cb_add(&b, cases[i].objectid, cases[i].type, cases[i].offset, NULL, cases[i].good);
		cb_good(&b);
		cb_free(&b);
		if (cases[i].bad == UINT32_MAX)
			continue;
		cb_init(&b, 4096, 0, BTRFS_ROOT_TREE_OBJECTID);
		cb_add(&b, cases[i].objectid, cases[i].type, cases[i].offset, NULL, cases[i].bad);
		cb_bad(&b, 0, "item size is ");
		cb_free(&b);
	}
}

static void simple_quotas(void **state)
{
	struct cb b;
	struct btrfs_qgroup_status_item *qs;

	cb_init(&b, 4096, 0, BTRFS_QUOTA_TREE_OBJECTID);
	qs = cb_add(&b, 0, BTRFS_QGROUP_STATUS_KEY, 0, NULL, 32);
	CB_BROKEN(&b, qs->flags, BTRFS_QGROUP_STATUS_FLAG_SIMPLE_MODE, 0,
		  "item size is 32, expected at least 40");
	cb_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(inode_items),	     cmocka_unit_test(inode_refs),
		cmocka_unit_test(inode_extrefs),     cmocka_unit_test(dir_items),
		cmocka_unit_test(rows_of_dir_items), cmocka_unit_test(xattrs),
		cmocka_unit_test(file_extents),	     cmocka_unit_test(compressed_extents),
		cmocka_unit_test(inline_extents),    cmocka_unit_test(larger_sectors),
		cmocka_unit_test(csum_items),	     cmocka_unit_test(root_items),
		cmocka_unit_test(root_refs),	     cmocka_unit_test(sizes),
		cmocka_unit_test(simple_quotas),
	};

	return cmocka_run_group_tests_name("check_item", tests, NULL, NULL);
}
