// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * fst-judge: compares our free-space tree with the one that the kernel, or mkfs.btrfs, wrote into
 * an image.
 *
 *   fst-judge [-x] SEED DEVICE...
 *
 * With -x the last extent is left out of the comparison, which must find that.
 * For each block group: what fst_load reads is what the extent tree leaves free; and a tree in
 * memory, brought to the same state in random order with detours, and into the same form, has the
 * same items byte for byte. The form itself must be one that the thresholds allow. Then all groups
 * are loaded as a mount for writing would, and their sums verified. Exit code 0: equal; 1: differs
 * (each difference a line); 2: could not.
 */
#include "engine/inspect.h"
#include "engine/space/block_group.h"
#include "tests/unit/faketree.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct extent {
	uint64_t start, len;
};

struct judge {
	struct eng_fs *fs;
	uint32_t sectorsize, nodesize;
	struct faketree theirs;
	struct fst_ops their_ops;
	struct extent *used;
	unsigned nr_used, room_used;
	struct bg_desc *groups;
	unsigned nr_groups;
	unsigned differences, bitmaps;
	/* while loading */
	unsigned next_used;
	uint64_t pos;
};

static void *grown(void *p, size_t size)
{
	p = realloc(p, size);
	if (!p)
		abort();
	return p;
}

static int take_fst(void *arg, const struct btrfs_key *key, const void *item, uint32_t len)
{
	struct judge *j = arg;

	return j->their_ops.insert(j->their_ops.arg, key, item, len);
}

static int take_extent(void *arg, const struct btrfs_key *key, const void *item, uint32_t len)
{
	struct judge *j = arg;

	if (key->type == BTRFS_BLOCK_GROUP_ITEM_KEY) {
		const struct btrfs_block_group_item *bg = item;

		j->groups = grown(j->groups, (j->nr_groups + 1) * sizeof(*j->groups));
		j->groups[j->nr_groups++] = (struct bg_desc){ .start = key->objectid,
							      .len = key->offset,
							      .flags = le64_get(bg->flags),
							      .used = le64_get(bg->used) };
	}
	if (key->type != BTRFS_EXTENT_ITEM_KEY && key->type != BTRFS_METADATA_ITEM_KEY)
		return 0;
	if (j->nr_used == j->room_used) {
		j->room_used = j->room_used ? 2 * j->room_used : 1024;
		j->used = grown(j->used, j->room_used * sizeof(*j->used));
	}
	j->used[j->nr_used].start = key->objectid;
	j->used[j->nr_used++].len = key->type == BTRFS_EXTENT_ITEM_KEY ? key->offset : j->nodesize;
	return 0;
}

static int collect(struct judge *j)
{
	static const uint64_t trees[] = { BTRFS_FREE_SPACE_TREE_OBJECTID,
					  BTRFS_EXTENT_TREE_OBJECTID,
					  BTRFS_BLOCK_GROUP_TREE_OBJECTID };
	struct btrfs_key from = { 0 };
	struct ins_root root;
	int err = 0;

	for (unsigned i = 0; !err && i < 3; i++) {
		err = ins_root(j->fs, trees[i], &root);
		if (err == -ENOENT && trees[i] == BTRFS_BLOCK_GROUP_TREE_OBJECTID)
			return 0;
		if (!err)
			err = ins_items(j->fs, &root, &from, i ? take_extent : take_fst, j);
	}
	return err;
}

/* A free range: used extents fill what lies before it. */
static int loaded(void *arg, uint64_t start, uint64_t len)
{
	struct judge *j = arg;

	while (j->next_used < j->nr_used && j->used[j->next_used].start == j->pos && j->pos < start)
		j->pos += j->used[j->next_used++].len;
	if (j->pos != start)
		return -ERANGE;
	j->pos = start + len;
	return 0;
}

static unsigned first_used(const struct judge *j, uint64_t start)
{
	unsigned i = 0;

	while (i < j->nr_used && j->used[i].start < start)
		i++;
	return i;
}

static int check_load(struct judge *j, const struct fst_group *g)
{
	int err;

	j->next_used = first_used(j, g->start);
	j->pos = g->start;
	err = fst_load(&j->their_ops, g, loaded, j);
	while (j->next_used < j->nr_used && j->used[j->next_used].start == j->pos)
		j->pos += j->used[j->next_used++].len;
	return err ? err : j->pos >= g->start + g->len ? 0 : -ERANGE;
}

/* Uses what is used, in random order, freeing some of it again on the way. */
static int replay(struct judge *j, const struct fst_ops *ops, const struct fst_group *g,
		  unsigned *seed)
{
	unsigned first = first_used(j, g->start), nr = first_used(j, g->start + g->len) - first;
	unsigned *order = grown(NULL, (nr + 1) * sizeof(*order));
	int err = fst_group_add(ops, g);

	for (unsigned i = 0; i < nr; i++) {
		unsigned k = (unsigned)rand_r(seed) % (i + 1);

		order[i] = order[k];
		order[k] = first + i;
	}
	for (unsigned i = 0; !err && i < nr; i++) {
		const struct extent *e = &j->used[order[i]];

		err = fst_use(ops, g, e->start, e->len);
		if (!err && rand_r(seed) % 4 == 0) {
			err = fst_free(ops, g, e->start, e->len);
			if (!err)
				err = fst_use(ops, g, e->start, e->len);
		}
	}
	free(order);
	return err;
}

static unsigned position(const struct faketree *t, uint64_t objectid)
{
	unsigned i = 0;

	while (i < t->nr && t->items[i].key.objectid < objectid)
		i++;
	return i;
}

static int check_items(struct judge *j, const struct fst_group *g, unsigned *seed)
{
	unsigned first = position(&j->theirs, g->start);
	struct faketree ours = { 0 },
			theirs = { .items = &j->theirs.items[first],
				   .nr = position(&j->theirs, g->start + g->len) - first };
	struct btrfs_free_space_info info, mine;
	struct fst_ops ops = faketree_ops(&ours);
	uint32_t low, high, nr;
	bool bitmaps;
	int err = replay(j, &ops, g, seed);

	if (err) {
		faketree_clear(&ours);
		return err;
	}
	memcpy(&info, theirs.items[0].data, sizeof(info));
	memcpy(&mine, ours.items[0].data, sizeof(mine));
	fst_thresholds(g, &low, &high);
	nr = le32_get(info.extent_count);
	bitmaps = le32_get(info.flags) & BTRFS_FREE_SPACE_USING_BITMAPS;
	j->bitmaps += bitmaps;
	if (bitmaps ? nr < low : nr > high)
		err = -EDOM;
	if (!err && le32_get(info.flags) != le32_get(mine.flags))
		err = bitmaps ? fst_to_bitmaps(&ops, g) : fst_to_extents(&ops, g);
	if (!err && !faketree_equal(&ours, &theirs))
		err = -ERANGE;
	faketree_clear(&ours);
	return err;
}

/* ---- as a mount for writing would load them ---- */

struct loader {
	struct judge *j;
	int (*add)(void *add_arg, uint64_t start, uint64_t len);
	void *add_arg;
};

static int pass_on(void *arg, uint64_t start, uint64_t len)
{
	struct loader *l = arg;

	return l->add(l->add_arg, start, len);
}

static int load(void *arg, const struct bg_desc *desc,
		int (*add)(void *add_arg, uint64_t start, uint64_t len), void *add_arg)
{
	struct judge *j = arg;
	struct loader l = { j, add, add_arg };
	struct fst_group g = { desc->start, desc->len, j->sectorsize };

	return fst_load(&j->their_ops, &g, pass_on, &l);
}

static const char *load_all(struct judge *j)
{
	struct counters counters = { 0 };
	struct space_opts opts = { .nodesize = j->nodesize,
				   .sectorsize = j->sectorsize,
				   .counters = &counters };
	static const uint64_t types[] = { BTRFS_BLOCK_GROUP_SYSTEM, BTRFS_BLOCK_GROUP_METADATA,
					  BTRFS_BLOCK_GROUP_DATA };
	struct space_info *si;
	struct rsv_set rsv;
	struct bg_index *idx;
	struct space *sp;
	const char *wrong;
	uint64_t mixed = 0;

	for (unsigned i = 0; i < j->nr_groups; i++)
		if ((j->groups[i].flags & BTRFS_BLOCK_GROUP_DATA) &&
		    (j->groups[i].flags & BTRFS_BLOCK_GROUP_METADATA))
			mixed = BTRFS_BLOCK_GROUP_DATA;
	if (space_create(&opts, &sp))
		return "no memory";
	for (unsigned i = 0; i < (mixed ? 2 : 3); i++)
		if (space_info_create(sp, types[i] | (i ? mixed : 0), &si))
			return "no memory";
	rsv_set_init(&rsv, sp, true);
	if (bg_index_create(sp, &rsv, &idx))
		return "no memory";
	for (unsigned i = 0; i < j->nr_groups; i++)
		if (bg_add(idx, &j->groups[i], load, j))
			return "a block group cannot be loaded";
	wrong = bg_verify(idx);
	bg_index_destroy(idx);
	rsv_set_fini(&rsv);
	space_destroy(sp);
	return wrong;
}

static void judge(struct judge *j, unsigned seed)
{
	const char *wrong;

	for (unsigned i = 0; i < j->nr_groups; i++) {
		struct fst_group g = { j->groups[i].start, j->groups[i].len, j->sectorsize };
		int loading = check_load(j, &g), items = check_items(j, &g, &seed);

		if (loading)
			printf("block group %" PRIu64 ": loading: %d\n", g.start, loading);
		if (items)
			printf("block group %" PRIu64 ": items: %d\n", g.start, items);
		j->differences += loading || items;
	}
	wrong = load_all(j);
	if (wrong)
		printf("all block groups: %s\n", wrong);
	j->differences += wrong != NULL;
	printf("%u block groups, %u with bitmaps, %u extents, %u items, %u differences\n",
	       j->nr_groups, j->bitmaps, j->nr_used, j->theirs.nr, j->differences);
}

int main(int argc, char **argv)
{
	struct eng_open_opts opts = { .share = ENG_SHARE_LOOK };
	struct judge j = { 0 };
	bool spoil = false;
	int err;

	if (argc > 1 && !strcmp(argv[1], "-x")) {
		spoil = true;
		argv++;
		argc--;
	}
	if (argc < 3)
		return 2;
	opts.devices = (const char *const *)&argv[2];
	opts.nr_devices = (unsigned)argc - 2;
	err = eng_open(&opts, &j.fs);
	if (err)
		return 2;
	j.sectorsize = ins_geometry(j.fs)->sectorsize;
	j.nodesize = ins_geometry(j.fs)->nodesize;
	j.their_ops = faketree_ops(&j.theirs);
	err = collect(&j);
	if (spoil && j.nr_used)
		j.nr_used--;
	if (!err)
		judge(&j, (unsigned)strtoul(argv[1], NULL, 10));
	eng_close(j.fs);
	faketree_clear(&j.theirs);
	free(j.used);
	free(j.groups);
	return err ? 2 : j.differences ? 1 : 0;
}
