// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A volume's beginning and end: which superblock counts, which devices belong together, and whether
 * enough of them are there.
 *
 *   vol_open -> (vol_chunk_add, vol_device_add)* -> vol_finish -> reading from any thread ->
 * vol_close
 *
 * Reading works from the first chunk on, in one thread: the chunk tree is read that way.
 */
#include "engine/volume/vol_priv.h"

#include "engine/util/fault.h"
#include "ondisk/text.h"

#include <stdlib.h>
#include <string.h>

/* A device on its way in. */
struct candidate {
	struct bdev *dev; /* NULL: taken, or left out */
	struct super_found found;
};

static bool is_seeding(const struct btrfs_super_block *sb)
{
	return le64_get(sb->flags) & BTRFS_SUPER_FLAG_SEEDING;
}

/*
 * The filesystem that is meant: the one that isn't a seed; among seeds only, the newest, which may
 * have grown out of the others.
 */
static const struct candidate *choose_main(const struct candidate *c, unsigned nr)
{
	const struct candidate *best = NULL;

	for (unsigned i = 0; i < nr; i++) {
		if (!c[i].dev)
			continue;
		if (!is_seeding(&c[i].found.sb))
			return &c[i];
		if (!best ||
		    le64_get(c[i].found.sb.generation) > le64_get(best->found.sb.generation))
			best = &c[i];
	}
	return best;
}

/* Reads everybody's superblock. A bad device is left out if the options bear a missing one. */
static int read_supers(struct vol *v, struct candidate *c, unsigned nr)
{
	bool lenient = (v->opts.degraded || v->opts.partial) && nr > 1;
	unsigned good = 0;
	int ret, first = 0;

	for (unsigned i = 0; i < nr; i++) {
		ret = super_read(c[i].dev, &v->opts, lenient ? MSG_WARN : MSG_ERR, v->msg,
				 &c[i].found);
		if (!ret) {
			good++;
			continue;
		}
		if (!first)
			first = ret;
		if (!lenient)
			return ret;
		bdev_close(c[i].dev);
		c[i].dev = NULL;
	}
	if (good)
		return 0;
	msg_err(v->msg, "none of the %u devices has a valid superblock", nr);
	return first;
}

static int attach_all(struct vol *v, struct candidate *c, unsigned nr)
{
	const struct candidate *chosen = choose_main(c, nr);
	uint8_t fsid[16];
	const char *name = bdev_name(chosen->dev);
	int ret;

	memcpy(fsid, chosen->found.sb.fsid, 16);
	for (unsigned i = 0; i < nr; i++) {
		bool other = c[i].dev && memcmp(c[i].found.sb.fsid, fsid, 16) != 0;

		if (other && !is_seeding(&c[i].found.sb)) {
			msg_err(v->msg, "%s and %s belong to different filesystems", name,
				bdev_name(c[i].dev));
			return -EINVAL;
		}
	}
	/* Ours first: the geometry comes from them. */
	for (int seed = 0; seed < 2; seed++) {
		for (unsigned i = 0; i < nr; i++) {
			if (!c[i].dev || (memcmp(c[i].found.sb.fsid, fsid, 16) != 0) != seed)
				continue;
			ret = vol_dev_attach(v, c[i].dev, &c[i].found, seed);
			if (ret)
				return ret;
			c[i].dev = NULL;
		}
	}
	return 0;
}

static unsigned present(const struct vol *v)
{
	unsigned nr = 0;

	for (unsigned i = 0; i < v->nr_devs; i++)
		nr += v->devs[i]->bdev != NULL;
	return nr;
}

/* Devices whose superblock is older have missed writes: they are read only when others can't. */
static void mark_stale(struct vol *v)
{
	uint64_t newest = le64_get(v->super.generation);
	char name[VOL_DEV_TEXT];

	for (unsigned i = 0; i < v->nr_devs; i++) {
		struct vol_dev *dev = v->devs[i];

		if (!dev->bdev || dev->seed || dev->generation >= newest)
			continue;
		dev->stale = true;
		msg_warn(v->msg,
			 "%s is at generation %llu, the filesystem at %llu: it missed writes",
			 vol_dev_text(dev, name, sizeof(name)), (unsigned long long)dev->generation,
			 (unsigned long long)newest);
	}
}

static int open_candidates(struct vol *v, struct candidate *c, unsigned nr)
{
	int ret;

	if (!nr) {
		msg_err(v->msg, "no device given");
		return -EINVAL;
	}
	ret = read_supers(v, c, nr);
	if (!ret)
		ret = attach_all(v, c, nr);
	if (!ret && v->opts.scan && present(v) < le64_get(v->super.num_devices))
		ret = vol_scan(v, v->super.fsid, false);
	if (!ret)
		mark_stale(v);
	return ret;
}

int vol_open(struct bdev **devs, unsigned nr, const struct vol_opts *opts, enum bdev_share share,
	     enum bdev_io_mode mode, struct msg *msg, struct counters *counters,
	     struct vol **out_vol)
{
	struct vol *v = eng_zalloc(sizeof(*v));
	struct candidate *c = eng_calloc(nr ? nr : 1, sizeof(*c));
	int ret = -ENOMEM;

	*out_vol = NULL;
	if (v)
		vol_chunks_init(v);
	if (!v || !c) {
		for (unsigned i = 0; i < nr; i++)
			bdev_close(devs[i]);
		goto fail;
	}
	v->opts = *opts;
	v->share = share;
	v->mode = mode;
	v->msg = msg;
	v->counters = counters;
	for (unsigned i = 0; i < nr; i++)
		c[i].dev = devs[i];
	ret = open_candidates(v, c, nr);
	for (unsigned i = 0; i < nr; i++)
		bdev_close(c[i].dev);
	if (ret)
		goto fail;
	free(c);
	*out_vol = v;
	return 0;
fail:
	free(c);
	vol_close(v);
	return ret;
}

void vol_close(struct vol *v)
{
	if (!v)
		return;
	for (unsigned i = 0; i < v->nr_devs; i++) {
		bdev_close(v->devs[i]->bdev);
		free(v->devs[i]);
	}
	vol_chunks_fini(v);
	free(v->devs);
	free(v);
}

const struct btrfs_super_block *vol_super(const struct vol *v)
{
	return &v->super;
}

const struct btrfs_geometry *vol_geometry(const struct vol *v)
{
	return &v->geo;
}

struct msg *vol_msg(const struct vol *v)
{
	return v->msg;
}

struct counters *vol_counters(const struct vol *v)
{
	return v->counters;
}

/* Counts the listed devices and names the missing ones; devices that nobody lists are said, too. */
static int judge_devices(struct vol *v, unsigned *out_listed)
{
	bool allowed = v->opts.degraded || v->opts.partial;
	char name[VOL_DEV_TEXT];
	unsigned missing = 0;

	*out_listed = 0;
	for (unsigned i = 0; i < v->nr_devs; i++) {
		const struct vol_dev *dev = v->devs[i];

		*out_listed += dev->listed;
		if (!dev->bdev) {
			missing++;
			msg_say(v->msg, allowed ? MSG_WARN : MSG_ERR, "%s",
				vol_dev_text(dev, name, sizeof(name)));
		} else if (!dev->listed) {
			msg_warn(v->msg, "%s is not a device of this filesystem, or no longer",
				 vol_dev_text(dev, name, sizeof(name)));
		}
	}
	if (missing && !allowed) {
		msg_err(v->msg, "%u of %u devices missing: give them, or mount with degraded",
			missing, *out_listed);
		return -ENXIO;
	}
	return 0;
}

static bool is_missing(const struct vol_dev *dev)
{
	return !dev->bdev;
}

bool vol_chunk_bears(const struct vol_chunk *c, bool (*lost)(const struct vol_dev *dev))
{
	unsigned group =
		c->profile->parity || !c->profile->striped ? c->num_stripes : c->profile->copies;
	unsigned bears = c->profile->parity ? c->profile->parity : c->profile->copies - 1;

	/* Stripes stand for each other within a group: all of a mirror or row, or a raid10 pair. */
	for (unsigned i = 0; i + group <= c->num_stripes && group; i += group) {
		unsigned nr = 0;

		for (unsigned k = 0; k < group; k++)
			nr += lost(c->stripes[i + k].dev);
		if (nr > bears)
			return false;
	}
	return true;
}

static int judge_chunks(struct vol *v)
{
	unsigned lost_data = 0, nr;
	struct vol_chunk *const *chunks = vol_chunks(v, &nr);

	for (unsigned i = 0; i < nr; i++) {
		const struct vol_chunk *c = chunks[i];
		bool data = !(c->type & (BTRFS_BLOCK_GROUP_SYSTEM | BTRFS_BLOCK_GROUP_METADATA));

		if (vol_chunk_bears(c, is_missing))
			continue;
		if (data || v->opts.partial) {
			lost_data++;
			continue;
		}
		msg_err(v->msg,
			"too many devices missing: metadata chunk %llu (%s, bears %u) is lost",
			(unsigned long long)c->logical, c->profile->name, c->profile->tolerated);
		return -ENXIO;
	}
	if (lost_data)
		msg_warn(v->msg,
			 "too many devices missing for %u of %u chunks: what they hold cannot be "
			 "read",
			 lost_data, nr);
	return 0;
}

int vol_finish(struct vol *v)
{
	uint64_t expected = le64_get(v->super.num_devices);
	unsigned listed;
	int ret = judge_devices(v, &listed);

	if (ret)
		return ret;
	if (!listed && !v->opts.partial)
		return msg_corrupt(v->msg, "chunk tree: no device items");
	if (listed != expected)
		msg_warn(v->msg, "the superblock counts %llu devices, the chunk tree lists %u",
			 (unsigned long long)expected, listed);
	ret = judge_chunks(v);
	v->shared = !ret;
	return ret;
}

int vol_super_changed(struct vol *v, uint64_t *out_generation)
{
	struct btrfs_super_block sb;
	struct btrfs_check_error err;
	int ret =
		super_read_copy(v->super_dev->bdev, v->super_copy, v->opts.ignore_csum, &sb, &err);

	*out_generation = 0;
	if (ret == -EIO || ret == -ENXIO)
		return -EIO;
	if (ret || memcmp(sb.fsid, v->super.fsid, sizeof(sb.fsid)))
		return 1;
	*out_generation = le64_get(sb.generation);
	return *out_generation != le64_get(v->super.generation);
}
