// SPDX-License-Identifier: GPL-2.0-or-later
/* The superblock: its fields, the chunks that it carries, and the roots of before. */
#include "ondisk/print_priv.h"

#include "ondisk/csum.h"

#include <string.h>

/* Bits that btrfs-progs 6.14 names, in its order; others it calls unknown (VERITY too), and so it
 * is here. */
static const uint8_t super_flag_bits[] = { 0, 1, 35, 36, 32, 33, 34, 38, 39, 40 };
static const uint8_t compat_ro_bits[] = { 0, 1, 3 };
static const uint8_t incompat_bits[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16 };

/* "\t\t\t( A |\n\t\t\t  B )": the named bits in order, then what is left as a number. */
static void print_flags(struct text *t, uint64_t flags, const char *(*name)(unsigned bit),
			const uint8_t *bits, size_t nr)
{
	bool first = true;

	if (!flags)
		return;
	LIT(t, "\t\t\t( ");
	for (size_t i = 0; i < nr; i++) {
		if (!(flags & 1ULL << bits[i]))
			continue;
		flags &= ~(1ULL << bits[i]);
		if (!first)
			LIT(t, "|\n\t\t\t  ");
		text_str(t, name(bits[i]));
		text_char(t, ' ');
		first = false;
	}
	if (flags) {
		if (!first)
			LIT(t, "|\n\t\t\t  ");
		LIT(t, "unknown flag: 0x");
		text_hex(t, flags, 0);
		text_char(t, ' ');
	}
	LIT(t, ")\n");
}

static void print_printable(struct text *t, const void *bytes, size_t len)
{
	const uint8_t *s = bytes;

	for (size_t i = 0; i < len; i++)
		text_char(t, s[i] >= ' ' && s[i] < 127 ? (char)s[i] : '.');
}

static void print_csum(struct text *t, const struct btrfs_super_block *sb)
{
	unsigned type = le16_get(sb->csum_type), size = btrfs_csum_size(type);
	uint8_t sum[BTRFS_CSUM_SIZE];

	LIT_U64(t, "csum_type\t\t", type);
	LIT(t, " (");
	text_str(t, size ? btrfs_csum_name(type) : "INVALID");
	if (type == BTRFS_CSUM_TYPE_BLAKE2) /* its name with the variant */
		text_char(t, 'b');
	LIT_U64(t, ")\ncsum_size\t\t", size ? size : BTRFS_CSUM_SIZE);
	LIT(t, "\ncsum\t\t\t0x");
	text_hexbytes(t, sb->csum, size ? size : BTRFS_CSUM_SIZE);
	if (!size) {
		LIT(t, " [UNKNOWN CSUM TYPE OR SIZE]\n");
		return;
	}
	btrfs_csum(type, (const uint8_t *)sb + BTRFS_CSUM_SIZE,
		   BTRFS_SUPER_INFO_SIZE - BTRFS_CSUM_SIZE, sum);
	text_str(t, memcmp(sum, sb->csum, size) ? " [DON'T MATCH]\n" : " [match]\n");
}

/* One entry of the array at `at`; the bytes it took, or 0 if the array cannot be read further. */
static uint32_t print_sys_chunk(struct btrfs_print *p, const struct btrfs_super_block *sb,
				uint32_t at, uint32_t size, unsigned nr)
{
	struct print_item it = { .slot = nr, .leaf = le64_get(sb->bytenr) };
	const struct btrfs_chunk *chunk;
	struct text *t = p->out;
	uint32_t left = size - at, need = sizeof(struct btrfs_disk_key);

	if (left < need)
		goto out_short;
	it.key = btrfs_disk_key_get((const void *)(sb->sys_chunk_array + at));
	LIT_U64(t, "\titem ", nr);
	text_char(t, ' ');
	print_key(t, &it.key);
	text_char(t, '\n');
	if (it.key.type != BTRFS_CHUNK_ITEM_KEY) {
		print_problem(p, "sys_array: item type %u at offset %u", it.key.type, at + need);
		return 0;
	}
	at += need;
	left -= need;
	need = btrfs_chunk_item_size(1);
	if (left < need)
		goto out_short;
	chunk = (const void *)(sb->sys_chunk_array + at);
	if (!le16_get(chunk->num_stripes)) {
		print_problem(p, "sys_array: a chunk without stripes at offset %u", at);
		return 0;
	}
	need = btrfs_chunk_item_size(le16_get(chunk->num_stripes));
	if (left < need)
		goto out_short;
	it.data = (const void *)chunk;
	it.len = need;
	print_chunk(p, &it);
	return need + (uint32_t)sizeof(struct btrfs_disk_key);

out_short:
	print_problem(p, "sys_array: %u bytes left at offset %u, %u wanted", left, at, need);
	return 0;
}

static void print_sys_array(struct btrfs_print *p, const struct btrfs_super_block *sb)
{
	uint32_t size = le32_get(sb->sys_chunk_array_size);
	uint32_t at = 0, step;

	LIT_U64(p->out, "sys_chunk_array[", BTRFS_SYSTEM_CHUNK_ARRAY_SIZE);
	LIT(p->out, "]:\n");
	if (size > BTRFS_SYSTEM_CHUNK_ARRAY_SIZE) {
		print_problem(p, "sys_array_size %u is more than %u", size,
			      BTRFS_SYSTEM_CHUNK_ARRAY_SIZE);
		return;
	}
	for (unsigned nr = 0; at < size; nr++, at += step) {
		step = print_sys_chunk(p, sb, at, size, nr);
		if (!step)
			return;
	}
}

static void print_backup_root(struct text *t, const char *lead, le64 bytenr, le64 gen,
			      uint8_t level)
{
	text_str(t, lead);
	text_u64(t, le64_get(bytenr));
	LIT_U64(t, "\tgen: ", le64_get(gen));
	LIT_U64(t, "\tlevel: ", level);
	text_char(t, '\n');
}

static void print_backup(struct text *t, const struct btrfs_root_backup *b, unsigned nr, bool v2)
{
	LIT_U64(t, "\tbackup ", nr);
	LIT(t, ":\n");
	print_backup_root(t, "\t\tbackup_tree_root:\t", b->tree_root, b->tree_root_gen,
			  b->tree_root_level);
	print_backup_root(t, "\t\tbackup_chunk_root:\t", b->chunk_root, b->chunk_root_gen,
			  b->chunk_root_level);
	print_backup_root(t, v2 ? "\t\tbackup_block_group_root:\t" : "\t\tbackup_extent_root:\t",
			  b->extent_root, b->extent_root_gen, b->extent_root_level);
	print_backup_root(t, "\t\tbackup_fs_root:\t\t", b->fs_root, b->fs_root_gen,
			  b->fs_root_level);
	print_backup_root(t, "\t\tbackup_dev_root:\t", b->dev_root, b->dev_root_gen,
			  b->dev_root_level);
	print_backup_root(t, "\t\tcsum_root:\t", b->csum_root, b->csum_root_gen,
			  b->csum_root_level);
	LIT_U64(t, "\t\tbackup_total_bytes:\t", le64_get(b->total_bytes));
	LIT_U64(t, "\n\t\tbackup_bytes_used:\t", le64_get(b->bytes_used));
	LIT_U64(t, "\n\t\tbackup_num_devices:\t", le64_get(b->num_devices));
	LIT(t, "\n\n");
}

static void print_dev_fields(struct text *t, const struct btrfs_super_block *sb, bool metadata_uuid)
{
	const struct btrfs_dev_item *d = &sb->dev_item;
	const uint8_t *fsid = metadata_uuid ? sb->metadata_uuid : sb->fsid;

	LIT(t, "dev_item.uuid\t\t");
	text_uuid(t, d->uuid);
	LIT(t, "\ndev_item.fsid\t\t");
	text_uuid(t, d->fsid);
	text_str(t, memcmp(d->fsid, fsid, BTRFS_FSID_SIZE) ? " [DON'T MATCH]" : " [match]");
	LIT_U64(t, "\ndev_item.type\t\t", le64_get(d->type));
	LIT_U64(t, "\ndev_item.total_bytes\t", le64_get(d->total_bytes));
	LIT_U64(t, "\ndev_item.bytes_used\t", le64_get(d->bytes_used));
	LIT_U64(t, "\ndev_item.io_align\t", le32_get(d->io_align));
	LIT_U64(t, "\ndev_item.io_width\t", le32_get(d->io_width));
	LIT_U64(t, "\ndev_item.sector_size\t", le32_get(d->sector_size));
	LIT_U64(t, "\ndev_item.devid\t\t", le64_get(d->devid));
	LIT_U64(t, "\ndev_item.dev_group\t", le32_get(d->dev_group));
	LIT_U64(t, "\ndev_item.seek_speed\t", d->seek_speed);
	LIT_U64(t, "\ndev_item.bandwidth\t", d->bandwidth);
	LIT_U64(t, "\ndev_item.generation\t", le64_get(d->generation));
	text_char(t, '\n');
}

static void print_identity(struct text *t, const struct btrfs_super_block *sb)
{
	print_csum(t, sb);
	LIT_U64(t, "bytenr\t\t\t", le64_get(sb->bytenr));
	LIT(t, "\nflags\t\t\t0x");
	text_hex(t, le64_get(sb->flags), 0);
	text_char(t, '\n');
	print_flags(t, le64_get(sb->flags), btrfs_super_flag_name, super_flag_bits,
		    sizeof(super_flag_bits));
	LIT(t, "magic\t\t\t");
	print_printable(t, &sb->magic, sizeof(sb->magic));
	text_str(t, le64_get(sb->magic) == BTRFS_MAGIC ? " [match]\n" : " [DON'T MATCH]\n");
	LIT(t, "fsid\t\t\t");
	text_uuid(t, sb->fsid);
	LIT(t, "\nmetadata_uuid\t\t");
	text_uuid(t, sb->metadata_uuid);
	LIT(t, "\nlabel\t\t\t");
	print_printable(t, sb->label, strnlen(sb->label, sizeof(sb->label)));
	text_char(t, '\n');
}

void btrfs_print_super(struct btrfs_print *p, const struct btrfs_super_block *sb, bool full)
{
	struct text *t = p->out;
	uint64_t incompat = le64_get(sb->incompat_flags);
	bool metadata_uuid = incompat & BTRFS_FEATURE_INCOMPAT_METADATA_UUID;

	print_identity(t, sb);
	LIT_U64(t, "generation\t\t", le64_get(sb->generation));
	LIT_U64(t, "\nroot\t\t\t", le64_get(sb->root));
	LIT_U64(t, "\nsys_array_size\t\t", le32_get(sb->sys_chunk_array_size));
	LIT_U64(t, "\nchunk_root_generation\t", le64_get(sb->chunk_root_generation));
	LIT_U64(t, "\nroot_level\t\t", sb->root_level);
	LIT_U64(t, "\nchunk_root\t\t", le64_get(sb->chunk_root));
	LIT_U64(t, "\nchunk_root_level\t", sb->chunk_root_level);
	LIT_U64(t, "\nlog_root\t\t", le64_get(sb->log_root));
	LIT_U64(t, "\nlog_root_transid (deprecated)\t", le64_get(sb->__unused_log_root_transid));
	LIT_U64(t, "\nlog_root_level\t\t", sb->log_root_level);
	LIT_U64(t, "\ntotal_bytes\t\t", le64_get(sb->total_bytes));
	LIT_U64(t, "\nbytes_used\t\t", le64_get(sb->bytes_used));
	LIT_U64(t, "\nsectorsize\t\t", le32_get(sb->sectorsize));
	LIT_U64(t, "\nnodesize\t\t", le32_get(sb->nodesize));
	LIT_U64(t, "\nleafsize (deprecated)\t", le32_get(sb->__unused_leafsize));
	LIT_U64(t, "\nstripesize\t\t", le32_get(sb->stripesize));
	LIT_U64(t, "\nroot_dir\t\t", le64_get(sb->root_dir_objectid));
	LIT_U64(t, "\nnum_devices\t\t", le64_get(sb->num_devices));
	LIT(t, "\ncompat_flags\t\t0x");
	text_hex(t, le64_get(sb->compat_flags), 0);
	LIT(t, "\ncompat_ro_flags\t\t0x");
	text_hex(t, le64_get(sb->compat_ro_flags), 0);
	text_char(t, '\n');
	print_flags(t, le64_get(sb->compat_ro_flags), btrfs_compat_ro_name, compat_ro_bits,
		    sizeof(compat_ro_bits));
	LIT(t, "incompat_flags\t\t0x");
	text_hex(t, incompat, 0);
	text_char(t, '\n');
	print_flags(t, incompat, btrfs_incompat_name, incompat_bits, sizeof(incompat_bits));
	LIT_U64(t, "cache_generation\t", le64_get(sb->cache_generation));
	LIT_U64(t, "\nuuid_tree_generation\t", le64_get(sb->uuid_tree_generation));
	text_char(t, '\n');
	print_dev_fields(t, sb, metadata_uuid);
	if (!full)
		return;
	print_sys_array(p, sb);
	LIT_U64(t, "backup_roots[", BTRFS_NUM_BACKUP_ROOTS);
	LIT(t, "]:\n");
	for (unsigned i = 0; i < BTRFS_NUM_BACKUP_ROOTS; i++) {
		const struct btrfs_root_backup *b = &sb->super_roots[i];

		if (le64_get(b->tree_root) || le64_get(b->tree_root_gen))
			print_backup(t, b, i, incompat & BTRFS_FEATURE_INCOMPAT_EXTENT_TREE_V2);
	}
}

static void print_old_root(struct text *t, const char *lead, le64 gen, le64 bytenr)
{
	text_str(t, lead);
	text_u64(t, le64_get(gen));
	LIT_U64(t, " block ", le64_get(bytenr));
	text_char(t, '\n');
}

void btrfs_print_backups(struct btrfs_print *p, const struct btrfs_super_block *sb)
{
	bool v2 = le64_get(sb->incompat_flags) & BTRFS_FEATURE_INCOMPAT_EXTENT_TREE_V2;
	struct text *t = p->out;

	for (unsigned i = 0; i < BTRFS_NUM_BACKUP_ROOTS; i++) {
		const struct btrfs_root_backup *b = &sb->super_roots[i];

		LIT_U64(t, "btrfs root backup slot ", i);
		text_char(t, '\n');
		print_old_root(t, "\ttree root gen ", b->tree_root_gen, b->tree_root);
		print_old_root(t, v2 ? "\t\tblock group root gen " : "\t\textent root gen ",
			       b->extent_root_gen, b->extent_root);
		print_old_root(t, "\t\tchunk root gen ", b->chunk_root_gen, b->chunk_root);
		print_old_root(t, "\t\tdevice root gen ", b->dev_root_gen, b->dev_root);
		print_old_root(t, "\t\tcsum root gen ", b->csum_root_gen, b->csum_root);
		print_old_root(t, "\t\tfs root gen ", b->fs_root_gen, b->fs_root);
		LIT_U64(t, "\t\t", le64_get(b->bytes_used));
		LIT_U64(t, " used ", le64_get(b->total_bytes));
		LIT_U64(t, " total ", le64_get(b->num_devices));
		LIT(t, " devices\n");
	}
}
