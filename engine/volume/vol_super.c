// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Finding the superblock of one device among its copies.
 *
 * The first valid copy wins, as in Linux: after a power cut between two superblock writes all readers
 * must see the same generation. A further copy counts only while those before it are bad, and what
 * disagrees is said.
 */
#include "engine/volume/vol_priv.h"

#include <string.h>

int super_read_copy(struct bdev *dev, int copy, bool ignore_csum, struct btrfs_super_block *out_sb,
		    struct btrfs_check_error *err)
{
	uint8_t buf[BTRFS_SUPER_INFO_SIZE] __attribute__((aligned(BDEV_ALIGN)));
	uint64_t off = btrfs_sb_offset(copy);
	int ret;

	memset(out_sb, 0, sizeof(*out_sb));
	if (bdev_bytes(dev) < off + sizeof(buf))
		return -ENXIO;
	if (bdev_read(dev, off, buf, sizeof(buf)))
		return -EIO;
	ret = btrfs_check_super((const struct btrfs_super_block *)buf, off, ignore_csum, err);
	if (!ret)
		memcpy(out_sb, buf, sizeof(buf));
	return ret;
}

static bool same_device(const struct btrfs_super_block *a, const struct btrfs_super_block *b)
{
	return !memcmp(a->fsid, b->fsid, sizeof(a->fsid)) &&
	       !memcmp(a->dev_item.uuid, b->dev_item.uuid, sizeof(a->dev_item.uuid));
}

/* Two copies of one commit differ in their place and checksum only. */
static bool same_contents(const struct btrfs_super_block *a, const struct btrfs_super_block *b)
{
	const size_t flags = offsetof(struct btrfs_super_block, flags);

	return !memcmp(a->fsid, b->fsid, sizeof(a->fsid)) &&
	       !memcmp((const uint8_t *)a + flags, (const uint8_t *)b + flags, sizeof(*a) - flags);
}

/* Says how a further valid copy differs from the one that is used. */
static void compare(const struct super_found *best, const struct btrfs_super_block *sb, int copy,
		    const char *name, struct msg *msg)
{
	uint64_t gen = le64_get(sb->generation), best_gen = le64_get(best->sb.generation);

	if (!same_device(&best->sb, sb)) {
		msg_warn(msg, "%s: superblock copy %d belongs to another filesystem; it is ignored",
			 name, copy);
		return;
	}
	if (gen != best_gen)
		msg_warn(msg,
			 "%s: superblock copy %d is of generation %llu, copy %d of %llu; copy %d is used",
			 name, copy, (unsigned long long)gen, best->copy,
			 (unsigned long long)best_gen, best->copy);
	else if (!same_contents(&best->sb, sb))
		msg_warn(msg, "%s: superblock copies %d and %d differ", name, best->copy, copy);
}

/* None is valid: says the worst that was seen. */
static int none_valid(struct bdev *dev, int worst, int worst_copy, const char *reason,
		      enum msg_level level, struct msg *msg)
{
	const char *name = bdev_name(dev);

	if (worst == -EUCLEAN)
		msg_say(msg, level, "%s: no valid superblock: copy %d: %s", name, worst_copy,
			reason);
	else if (worst == -EIO)
		msg_say(msg, level, "%s: the superblock cannot be read", name);
	else if (worst == -ENXIO)
		msg_say(msg, level, "%s: not btrfs: %llu bytes have no room for the superblock",
			name, (unsigned long long)bdev_bytes(dev));
	else
		msg_say(msg, level, "%s: not btrfs: no superblock found", name);
	return worst == -ENXIO ? -EINVAL : worst;
}

/* How much a failure tells: a bad superblock more than an unreadable one, that more than none. */
static int weight(int ret)
{
	return ret == -EUCLEAN ? 4 : ret == -EIO ? 3 : ret == -EINVAL ? 2 : ret == -ENXIO ? 1 : 0;
}

int super_read(struct bdev *dev, const struct vol_opts *opts, enum msg_level level, struct msg *msg,
	       struct super_found *out_found)
{
	struct btrfs_super_block sb;
	struct btrfs_check_error err[BTRFS_SUPER_MIRROR_MAX], *e;
	int ret[BTRFS_SUPER_MIRROR_MAX], worst = 0, worst_copy = 0;

	out_found->copy = -1;
	for (int i = 0; i < BTRFS_SUPER_MIRROR_MAX; i++) {
		ret[i] = 1; /* not looked at */
		if (opts->super_copy >= 0 && opts->super_copy != i)
			continue;
		e = &err[i];
		memset(e, 0, sizeof(*e));
		ret[i] = super_read_copy(dev, i, opts->ignore_csum, &sb, e);
		if (ret[i] == 0 && out_found->copy < 0) {
			out_found->sb = sb;
			out_found->copy = i;
		} else if (ret[i] == 0) {
			compare(out_found, &sb, i, bdev_name(dev), msg);
		} else if (weight(ret[i]) > weight(worst)) {
			worst = ret[i];
			worst_copy = i;
		}
	}
	if (out_found->copy < 0)
		return none_valid(dev, worst, worst_copy, err[worst_copy].reason, level, msg);
	for (int i = 0; i < BTRFS_SUPER_MIRROR_MAX; i++)
		if (ret[i] < 0 && ret[i] != -ENXIO)
			msg_warn(msg, "%s: superblock copy %d is bad (%s); copy %d is used",
				 bdev_name(dev), i, ret[i] == -EIO ? "unreadable" : err[i].reason,
				 out_found->copy);
	return 0;
}
