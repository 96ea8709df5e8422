// SPDX-License-Identifier: GPL-2.0-or-later
/* Root items and the references between subvolumes. */
#include "ondisk/check_priv.h"

int check_root_key(const struct check *c, const struct btrfs_key *key, bool is_root_item)
{
	if (key->objectid == 0)
		return check_fail(c, "root id is 0");
	/* Entries point to subvolumes only; the root tree's own entry points to the top one. */
	if (!is_root_item && !btrfs_is_fstree(key->objectid))
		return check_fail(c, "location is root %" PRIu64 ", expected a subvolume",
				  key->objectid);
	/* Other trees than subvolumes are relocated in place. */
	if (is_root_item && key->objectid == BTRFS_TREE_RELOC_OBJECTID &&
	    !btrfs_is_fstree(key->offset))
		return check_fail(c, "relocation tree of root %" PRIu64 ", expected a subvolume",
				  key->offset);
	return 0;
}

int check_root_item(struct check *c, const void *item, uint32_t len)
{
	const struct btrfs_root_item *ri = item;
	const uint64_t known = BTRFS_ROOT_SUBVOL_RDONLY | BTRFS_ROOT_SUBVOL_DEAD;
	int ret = check_root_key(c, &c->key, true);

	if (ret)
		return ret;
	if (len != sizeof(*ri) && len != BTRFS_LEGACY_ROOT_ITEM_SIZE)
		return check_fail(c, "item size is %u, expected %zu or %zu", len, sizeof(*ri),
				  BTRFS_LEGACY_ROOT_ITEM_SIZE);
	ret = check_generation(c, "root generation", le64_get(ri->generation));
	if (ret == 0 && len == sizeof(*ri))
		ret = check_generation(c, "root generation_v2", le64_get(ri->generation_v2));
	if (ret == 0)
		ret = check_generation(c, "root last_snapshot", le64_get(ri->last_snapshot));
	if (ret == 0)
		ret = check_align(c, "root bytenr", le64_get(ri->bytenr));
	if (ret)
		return ret;
	if (ri->level >= BTRFS_MAX_LEVEL)
		return check_fail(c, "root level is %u, expected 0 to %u", ri->level,
				  BTRFS_MAX_LEVEL - 1);
	if (ri->drop_level >= BTRFS_MAX_LEVEL)
		return check_fail(c, "root drop_level is %u, expected 0 to %u", ri->drop_level,
				  BTRFS_MAX_LEVEL - 1);
	if (le64_get(ri->flags) & ~known)
		return check_fail(c,
				  "root flags are 0x%" PRIx64 ", expected only bits of 0x%" PRIx64,
				  le64_get(ri->flags), known);
	return 0;
}

int check_root_ref(struct check *c, const void *item, uint32_t len)
{
	const struct btrfs_root_ref *ref = item;
	int ret = check_size_min(c, len, sizeof(*ref) + 1);

	if (ret == 0)
		ret = check_size(c, len, (uint32_t)sizeof(*ref) + le16_get(ref->name_len));
	if (ret == 0)
		ret = check_name(c, ref + 1, le16_get(ref->name_len));
	return ret;
}
