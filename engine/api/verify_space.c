// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Part of lab_verify: extents lie in block groups and add up to what these say; the free-space tree
 * is what they leave; each chunk has its block group and its extents on devices, which add up to
 * what the devices say.
 */
#include "engine/api/verify_priv.h"

#include "engine/space/fst.h"
#include "engine/space/range_set.h"

#include <string.h>

/* ---- extents in groups ---- */

static int sum_groups(struct verify *v)
{
	size_t g = 0;
	uint64_t total = 0;

	for (size_t i = 0; i < v->nr_extents; i++) {
		const struct vf_extent *e = &v->extents[i];

		while (g < v->nr_groups && e->start >= v->groups[g].start + v->groups[g].len)
			g++;
		if (g == v->nr_groups || e->start < v->groups[g].start ||
		    e->start + e->len > v->groups[g].start + v->groups[g].len)
			return vf_wrong(v, "the extent at %llu is in no block group",
					(unsigned long long)e->start);
		if (i && e->start < e[-1].start + e[-1].len)
			return vf_wrong(v, "the extents at %llu and %llu overlap",
					(unsigned long long)e[-1].start,
					(unsigned long long)e->start);
		v->groups[g].sum += e->len;
		total += e->len;
	}
	for (g = 0; g < v->nr_groups; g++)
		if (v->groups[g].sum != v->groups[g].used)
			return vf_wrong(v,
					"block group %llu has %llu bytes of extents, and says %llu",
					(unsigned long long)v->groups[g].start,
					(unsigned long long)v->groups[g].sum,
					(unsigned long long)v->groups[g].used);
	if (total != le64_get(v->sb.bytes_used))
		return vf_wrong(v, "there are %llu bytes of extents, and the superblock says %llu",
				(unsigned long long)total,
				(unsigned long long)le64_get(v->sb.bytes_used));
	return 0;
}

/* ---- free space ---- */

/* Goes along what a group's extents leave (superblocks' places too), as the free-space tree names
 * it. */
struct gaps {
	struct verify *v;
	const struct vf_group *group;
	struct range_set used;
	uint64_t at; /* checked so far */
};

static int find_le(void *arg, const struct btrfs_key *key, struct btrfs_key *out_key, void *buf,
		   uint32_t *out_size)
{
	struct verify *v = arg;
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	int ret = bt_search_le(&v->fst_root, key, &path);

	if (ret)
		return ret;
	*out_key = bt_key(&path);
	*out_size = bt_item_size(&path);
	if (*out_size > 256)
		return vf_wrong(v, "a free-space item of %u bytes", *out_size);
	memcpy(buf, bt_item(&path), *out_size);
	return 0;
}

/* Moves over what is used and begins where we stand; returns where the free range there would end.
 */
static uint64_t skip_used(struct gaps *g)
{
	uint64_t group_end = g->group->start + g->group->len, start, end;

	while (range_set_next(&g->used, g->at, &start, &end)) {
		if (start > g->at)
			return start < group_end ? start : group_end;
		g->at = end;
	}
	return group_end;
}

static int match_gap(void *arg, uint64_t start, uint64_t len)
{
	struct gaps *g = arg;

	uint64_t end = skip_used(g);

	if (start != g->at || start + len != end)
		return vf_wrong(
			g->v,
			"the free-space tree has %llu to %llu free, and the extents leave %llu to %llu",
			(unsigned long long)start, (unsigned long long)(start + len),
			(unsigned long long)g->at, (unsigned long long)end);
	g->at = start + len;
	return 0;
}

static int match_group(struct gaps *g, size_t *next)
{
	const struct fst_ops ops = { .arg = g->v, .find_le = find_le };
	const struct fst_group group = { g->group->start, g->group->len, g->v->fs->sectorsize };
	uint64_t end = group.start + group.len;
	int err = 0;

	for (; !err && *next < g->v->nr_extents && g->v->extents[*next].start < end; (*next)++)
		err = range_set_add(&g->used, g->v->extents[*next].start, g->v->extents[*next].len,
				    NULL);
	g->at = group.start;
	if (!err)
		err = fst_load(&ops, &group, match_gap, g);
	if (err)
		return err;
	skip_used(g);
	if (g->at < end)
		return vf_wrong(g->v, "the free-space tree leaves out what is free at %llu",
				(unsigned long long)g->at);
	return 0;
}

static int match_free_space(struct verify *v)
{
	const uint64_t valid = BTRFS_FEATURE_COMPAT_RO_FREE_SPACE_TREE |
			       BTRFS_FEATURE_COMPAT_RO_FREE_SPACE_TREE_VALID;
	struct gaps g = { .v = v };
	size_t next = 0;
	int err = 0;

	if ((le64_get(v->sb.compat_ro_flags) & valid) != valid)
		return 0;
	if (!v->fst_root.bytenr)
		return vf_wrong(v, "there is no free-space tree");
	range_set_init(&g.used);
	for (size_t i = 0; !err && i < v->nr_groups; i++) {
		g.group = &v->groups[i];
		err = match_group(&g, &next);
		range_set_clear(&g.used);
	}
	return err;
}

/* ---- chunks and devices ---- */

static struct vf_device *device(struct verify *v, uint64_t id)
{
	for (unsigned i = 0; i < v->nr_devs; i++)
		if (v->devs[i].id == id)
			return &v->devs[i];
	if (v->nr_devs == VF_DEVICES)
		return NULL;
	v->devs[v->nr_devs] = (struct vf_device){ .id = id };
	return &v->devs[v->nr_devs++];
}

static int note_dev_extent(struct verify *v, const struct bt_path *path)
{
	struct btrfs_key key = bt_key(path);
	const struct btrfs_dev_extent *de = bt_item(path);
	struct vf_device *dev;

	if (key.type != BTRFS_DEV_EXTENT_KEY)
		return 0;
	dev = device(v, key.objectid);
	if (!dev)
		return vf_wrong(v, "more devices than are looked at");
	dev->bytes += le64_get(de->length);
	v->nr_dev_extents++;
	return 0;
}

/* The stripe has its extent on the device. */
static int match_stripe(struct verify *v, uint64_t chunk, const struct btrfs_stripe *stripe)
{
	const struct btrfs_key key = { le64_get(stripe->devid), BTRFS_DEV_EXTENT_KEY,
				       le64_get(stripe->offset) };
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	const struct btrfs_dev_extent *de;
	int ret = bt_search(&v->dev_root, &key, &path);

	if (ret < 0)
		return ret;
	de = ret ? NULL : bt_item(&path);
	if (!de || le64_get(de->chunk_offset) != chunk)
		return vf_wrong(v, "chunk %llu has no extent on device %llu at %llu",
				(unsigned long long)chunk, (unsigned long long)key.objectid,
				(unsigned long long)key.offset);
	v->nr_stripes++;
	return 0;
}

static int match_chunk(struct verify *v, const struct btrfs_key *key,
		       const struct btrfs_chunk *chunk)
{
	unsigned nr = le16_get(chunk->num_stripes);
	size_t g = v->nr_chunks++;
	int err = 0;

	/* Both ascend. */
	if (g >= v->nr_groups || v->groups[g].start != key->offset ||
	    v->groups[g].len != le64_get(chunk->length) ||
	    v->groups[g].flags != le64_get(chunk->type))
		return vf_wrong(v, "chunk %llu has no block group of its kind",
				(unsigned long long)key->offset);
	for (unsigned i = 0; i < nr && !err; i++)
		err = match_stripe(v, key->offset, &chunk->stripe + i);
	return err;
}

static int match_device(struct verify *v, const struct btrfs_key *key,
			const struct btrfs_dev_item *di)
{
	const struct vf_device *dev = device(v, key->offset);

	if (!dev || dev->bytes != le64_get(di->bytes_used))
		return vf_wrong(v, "device %llu has %llu bytes of extents, and says %llu",
				(unsigned long long)key->offset,
				(unsigned long long)(dev ? dev->bytes : 0),
				(unsigned long long)le64_get(di->bytes_used));
	return 0;
}

static int look_at_chunk_item(struct verify *v, const struct bt_path *path)
{
	struct btrfs_key key = bt_key(path);

	if (key.type == BTRFS_CHUNK_ITEM_KEY)
		return match_chunk(v, &key, bt_item(path));
	if (key.type == BTRFS_DEV_ITEM_KEY)
		return match_device(v, &key, bt_item(path));
	return 0;
}

int vf_space(struct verify *v)
{
	int err = sum_groups(v);

	if (!err)
		err = match_free_space(v);
	if (!err)
		err = vf_items(v, &v->dev_root, note_dev_extent);
	if (!err)
		err = vf_items(v, &v->chunk_root, look_at_chunk_item);
	if (!err && v->nr_chunks != v->nr_groups)
		err = vf_wrong(v, "%zu chunks and %zu block groups", v->nr_chunks, v->nr_groups);
	if (!err && v->nr_stripes != v->nr_dev_extents)
		err = vf_wrong(v, "%zu stripes of chunks and %zu device extents", v->nr_stripes,
			       v->nr_dev_extents);
	return err;
}
