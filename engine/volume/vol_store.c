// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Storing the superblock: the commit point.
 *
 *   look (is the present superblock ours?) -> build and check every copy -> flush all devices
 *     -> write every copy on every device -> flush all devices -> judge by the profiles
 *
 * What can fail without harm comes first: until the first copy is written the filesystem is what it
 * was. From then on either generation may be found, until the last flush has answered.
 *
 * Invariant: a device's `generation` is that of the newest superblock that is known to be on it;
 * where a store failed half-way `tried` is the generation that may be there as well.
 *
 * Locks: none; one store at a time, which is the caller's (the commit's) to see to.
 */
#include "engine/volume/vol_priv.h"

#include "engine/util/fault.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* One copy on one device, on its way. */
struct image {
	struct btrfs_super_block sb; /* first, as that is aligned */
} __attribute__((aligned(BDEV_ALIGN)));

struct store {
	struct vol *v;
	struct image *images;
	struct bdev_xfer *xfers; /* of the copies; user: the device */
	unsigned nr;
};

static int is_another(struct vol *v, const struct vol_dev *dev, const char *what)
{
	char name[VOL_DEV_TEXT];

	msg_err(v->msg, "%s: %s: another program writes to it; nothing more is written",
		vol_dev_text(dev, name, sizeof(name)), what);
	return -ESTALE;
}

static bool expected_generation(const struct vol_dev *dev, uint64_t generation)
{
	return generation == dev->generation || (dev->tried && generation == dev->tried);
}

/*
 * Has anybody else written a superblock since we did? The first valid copy tells, as it does at
 * opening: after a power cut in the middle of a store further copies may be newer, and that is no
 * other writer. An unreadable one is for the write to find.
 */
static int look(struct vol *v, const struct vol_dev *dev)
{
	struct btrfs_check_error err;
	struct btrfs_super_block sb;
	uint64_t found = 0;
	bool unreadable = false;
	char what[100];

	for (int copy = 0; copy < BTRFS_SUPER_MIRROR_MAX && !found; copy++) {
		int ret = super_read_copy(dev->bdev, copy, v->opts.ignore_csum, &sb, &err);
		bool ours = !ret && !memcmp(sb.fsid, v->super.fsid, sizeof(sb.fsid)) &&
			    !memcmp(sb.dev_item.uuid, dev->uuid, sizeof(dev->uuid));

		unreadable = unreadable || ret == -EIO;
		if (!ret && !ours && copy == 0)
			return is_another(v, dev, "it holds another filesystem");
		if (ours)
			found = le64_get(sb.generation);
	}
	if (!found)
		return unreadable ? 0 : is_another(v, dev, "its superblock is gone");
	if (expected_generation(dev, found))
		return 0;
	snprintf(what, sizeof(what), "its superblock is of generation %llu, ours was of %llu",
		 (unsigned long long)found, (unsigned long long)dev->generation);
	return is_another(v, dev, what);
}

/* The superblock as one copy on one device has it. */
static int make_image(struct vol *v, const struct vol_dev *dev, int copy,
		      const struct btrfs_super_block *sb, struct btrfs_super_block *out_image)
{
	struct btrfs_check_error err = { 0 };
	uint64_t off = btrfs_sb_offset(copy);
	char name[VOL_DEV_TEXT];

	*out_image = *sb;
	out_image->bytenr = le64_make(off);
	out_image->dev_item = dev->item;
	btrfs_csum(le16_get(sb->csum_type), (uint8_t *)out_image + BTRFS_CSUM_SIZE,
		   sizeof(*out_image) - BTRFS_CSUM_SIZE, out_image->csum);
	if (!btrfs_check_super(out_image, off, false, &err))
		return 0;
	return msg_corrupt(v->msg, "%s: the superblock that was to be written: %s",
			   vol_dev_text(dev, name, sizeof(name)), err.reason);
}

static int build(struct store *st, const struct btrfs_super_block *sb)
{
	struct vol *v = st->v;
	unsigned max = v->nr_devs * BTRFS_SUPER_MIRROR_MAX;

	st->images = eng_memalign(BDEV_ALIGN, max * sizeof(*st->images));
	st->xfers = eng_calloc(max, sizeof(*st->xfers));
	if (!st->images || !st->xfers)
		return -ENOMEM;
	for (unsigned i = 0; i < v->nr_devs; i++) {
		struct vol_dev *dev = v->devs[i];

		for (int copy = 0; copy < BTRFS_SUPER_MIRROR_MAX; copy++) {
			uint64_t off = btrfs_sb_offset(copy);
			int ret;

			/* No further than the filesystem reaches on the device. */
			if (!vol_dev_is_written(dev) ||
			    off + BTRFS_SUPER_INFO_SIZE > dev->total_bytes ||
			    off + BTRFS_SUPER_INFO_SIZE > bdev_bytes(dev->bdev))
				continue;
			ret = make_image(v, dev, copy, sb, &st->images[st->nr].sb);
			if (ret)
				return ret;
			st->xfers[st->nr] = (struct bdev_xfer){
				.dev = dev->bdev,
				.off = off,
				.buf = &st->images[st->nr],
				.len = BTRFS_SUPER_INFO_SIZE,
				.op = BDEV_WRITE,
				.user = dev,
			};
			st->nr++;
		}
	}
	return st->nr ? 0 : -EROFS;
}

static void write_copies(struct store *st, uint64_t generation)
{
	struct bdev_batch b;

	bdev_batch_begin(&b);
	for (unsigned i = 0; i < st->nr; i++) {
		((struct vol_dev *)st->xfers[i].user)->tried = generation;
		if (st->xfers[i].off != btrfs_sb_offset(1) || !PLANTED("vol_super_forget_copy"))
			bdev_batch_add(&b, &st->xfers[i]);
	}
	(void)bdev_batch_wait(&b);
	for (unsigned i = 0; i < st->nr; i++) {
		const struct bdev_xfer *x = &st->xfers[i];
		struct vol_dev *dev = x->user;

		if (!x->res)
			continue;
		atomic_fetch_add(&dev->write_errors, 1);
		/* The further copies are for rescue; it is the first that counts. */
		if (x->off == btrfs_sb_offset(0)) {
			atomic_store(&dev->missed, true);
			vol_dev_failed(st->v, dev, "write of the superblock");
		}
	}
}

/* Every device that has it all begins anew. */
static int stored(struct store *st)
{
	struct vol *v = st->v;
	bool any = false;

	for (unsigned i = 0; i < st->nr; i++) {
		struct vol_dev *dev = st->xfers[i].user;

		if (st->xfers[i].off != btrfs_sb_offset(0) || atomic_load(&dev->missed) ||
		    atomic_load(&dev->missed_before))
			continue;
		any = true;
		dev->generation = dev->tried;
		dev->tried = 0;
		if (dev == v->super_dev) {
			v->super = st->images[i].sb;
			v->super_copy = 0;
		}
	}
	/* What was missed since the switch is the next superblock's as well. */
	for (unsigned i = 0; i < v->nr_devs; i++) {
		if (!v->switched)
			atomic_store(&v->devs[i]->missed, false);
		atomic_store(&v->devs[i]->missed_before, false);
	}
	v->switched = false;
	return any ? 0 : -EIO;
}

static int store(struct store *st, const struct btrfs_super_block *sb)
{
	struct vol *v = st->v;
	int ret = 0;

	for (unsigned i = 0; i < v->nr_devs && !ret; i++)
		if (vol_dev_is_written(v->devs[i]))
			ret = look(v, v->devs[i]);
	if (!ret)
		ret = build(st, sb);
	if (!ret && !PLANTED("vol_super_no_flush"))
		ret = vol_flush(v);
	if (ret)
		return ret;
	write_copies(st, le64_get(sb->generation));
	/* The judgement counts the devices that missed the superblock, too. */
	ret = vol_flush(v);
	if (!ret)
		ret = stored(st);
	return ret;
}

int vol_super_store(struct vol *v, const struct btrfs_super_block *sb)
{
	struct store st = { .v = v };
	int ret;

	assert(le64_get(sb->generation) >= le64_get(v->super.generation));
	ret = store(&st, sb);
	if (!ret)
		vol_count(v, vol_supers_stored, 1);
	free(st.images);
	free(st.xfers);
	return ret;
}
