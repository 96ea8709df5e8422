// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What every check needs: failing with a reason, sizes, alignment, names; and the geometry.
 *
 * Invariant: no check reads a byte outside the block (or item) that it was given, whatever the
 * bytes are. Every length is compared before what it covers is read.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ondisk/check_priv.h"

int check_fail(const struct check *c, const char *fmt, ...)
{
	struct btrfs_check_error *err = c->err;
	va_list ap;

	memset(err, 0, sizeof(*err));
	err->level = c->level;
	err->slot = c->slot;
	err->key = c->key;
	va_start(ap, fmt);
	vsnprintf(err->reason, sizeof(err->reason), fmt, ap);
	va_end(ap);
	return -EUCLEAN;
}

#ifdef UBTRFS_PLANT
bool check_planted(const char *name)
{
	const char *list = getenv("UBTRFS_PLANT");
	size_t len = strlen(name);

	while (list && *list) {
		if (strncmp(list, name, len) == 0 && (list[len] == 0 || list[len] == ','))
			return true;
		list = strchr(list, ',');
		if (list)
			list++;
	}
	return false;
}
#endif

int check_align(const struct check *c, const char *what, uint64_t v)
{
	if (check_aligned(c, v))
		return 0;
	return check_fail(c, "%s %" PRIu64 " is not a multiple of the sector size %u", what, v,
			  c->geo->sectorsize);
}

int check_range(const struct check *c, const char *what, uint64_t start, uint64_t len)
{
	if (start + len >= start)
		return 0;
	return check_fail(c, "%s from %" PRIu64 " with length %" PRIu64 " passes 2^64", what, start,
			  len);
}

int check_size(const struct check *c, uint32_t len, uint32_t want)
{
	if (len == want)
		return 0;
	return check_fail(c, "item size is %u, expected %u", len, want);
}

int check_size_min(const struct check *c, uint32_t len, uint32_t want)
{
	if (len >= want)
		return 0;
	return check_fail(c, "item size is %u, expected at least %u", len, want);
}

int check_generation(const struct check *c, const char *what, uint64_t gen)
{
	if (gen <= c->geo->generation || gen - c->geo->generation == 1)
		return 0;
	return check_fail(c, "%s %" PRIu64 " is newer than the superblock's %" PRIu64, what, gen,
			  c->geo->generation);
}

int check_name(const struct check *c, const void *name, uint32_t len)
{
	if (len == 0 || len > BTRFS_NAME_LEN)
		return check_fail(c, "name length is %u, expected 1 to %u", len, BTRFS_NAME_LEN);
	if (memchr(name, '/', len))
		return check_fail(c, "name with a slash");
	if (memchr(name, 0, len))
		return check_fail(c, "name with a zero byte");
	return 0;
}

void btrfs_geometry_from_super(const struct btrfs_super_block *sb, struct btrfs_geometry *out_geo)
{
	struct btrfs_geometry *geo = out_geo;

	memset(geo, 0, sizeof(*geo));
	geo->nodesize = le32_get(sb->nodesize);
	geo->sectorsize = le32_get(sb->sectorsize);
	geo->csum_type = le16_get(sb->csum_type);
	geo->csum_size = (uint16_t)btrfs_csum_size(geo->csum_type);
	geo->incompat = le64_get(sb->incompat_flags);
	geo->compat_ro = le64_get(sb->compat_ro_flags);
	geo->super_flags = le64_get(sb->flags);
	geo->generation = le64_get(sb->generation);
	geo->total_bytes = le64_get(sb->total_bytes);
	memcpy(geo->fsid,
	       geo->incompat & BTRFS_FEATURE_INCOMPAT_METADATA_UUID ? sb->metadata_uuid : sb->fsid,
	       sizeof(geo->fsid));
}
