// SPDX-License-Identifier: GPL-2.0-or-later
/* Data checksums: runs of sectors in items of the checksum tree, keyed by the first sector's address. */
#include "engine/file/file_priv.h"
#include "engine/util/fault.h"

#include <string.h>

/* Copies what the item under the path has of [*pos, end); *pos moves behind it. */
static void take_item(struct fs *fs, const struct bt_path *path, uint64_t start, uint64_t end, uint64_t *pos,
		      uint8_t *sums)
{
	uint64_t first = bt_key(path).offset;
	uint64_t last = first + (uint64_t)(bt_item_size(path) / fs->csum_size) * fs->sectorsize;
	uint64_t from = first > *pos ? first : *pos;
	uint64_t to = last < end ? last : end;

	if (from >= to)
		return;
	memcpy(sums + (from - start) / fs->sectorsize * fs->csum_size,
	       (const uint8_t *)bt_item(path) + (from - first) / fs->sectorsize * fs->csum_size,
	       (to - from) / fs->sectorsize * fs->csum_size);
	*pos = to;
}

int dcsum_load(struct fs *fs, uint64_t logical, uint64_t len, uint8_t *sums, uint64_t *out_missing)
{
	const struct btrfs_key key = { BTRFS_EXTENT_CSUM_OBJECTID, BTRFS_EXTENT_CSUM_KEY, logical };
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	uint64_t pos = logical, end = logical + len, have = 0;
	bool first = true;
	int ret;

	*out_missing = 0;
	memset(sums, 0, len / fs->sectorsize * fs->csum_size);
	ret = bt_search_le(&fs->csum_root, &key, &path);
	if (ret > 0)
		ret = bt_search_ge(&fs->csum_root, &key, &path);
	while (ret == 0) {
		struct btrfs_key at = bt_key(&path);
		uint64_t before = pos;
		bool ours = at.objectid == BTRFS_EXTENT_CSUM_OBJECTID && at.type == BTRFS_EXTENT_CSUM_KEY;

		/* The item at or below the address may be one that sorts before all checksums. */
		if (!first && (!ours || at.offset >= end))
			break;
		if (ours) {
			take_item(fs, &path, logical, end, &pos, sums);
			have += pos > before ? pos - (at.offset > before ? at.offset : before) : 0;
		}
		if (pos >= end)
			break;
		first = false;
		ret = bt_next(&path);
	}
	*out_missing = len - have;
	return ret < 0 ? ret : 0;
}

bool dcsum_verify(void *arg, uint64_t logical, const void *buf, uint32_t unit)
{
	const struct dcsum_run *run = arg;
	uint8_t sum[BTRFS_CSUM_SIZE];
	uint64_t nr = (logical - run->logical) / unit;

	if (PLANTED("dcsum_skip_last") && logical + unit == run->end)
		return true;
	btrfs_csum(run->fs->csum_type, buf, unit, sum);
	return !memcmp(sum, run->sums + nr * run->fs->csum_size, run->fs->csum_size);
}
