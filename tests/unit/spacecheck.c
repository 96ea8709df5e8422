// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What trees refer to, by walking them, against what the extent tree says, by parsing its items
 * here; and against space, sums and backref_walk.
 */
#include "ondisk/csum.h"
#include "tests/unit/spacerig.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define check(cond)                                                                                \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "%s:%d: %s\n", __func__, __LINE__, #cond);                 \
			return false;                                                              \
		}                                                                                  \
	} while (0)

/* A reference, counted; or, of the walk, a use: by whom, where, from which block. */
struct row {
	uint64_t logical, f[5];
	uint64_t count;
};

struct rows {
	struct row *v;
	unsigned nr, room;
};

static void add_row(struct rows *rows, const struct row *row)
{
	if (rows->nr == rows->room) {
		rows->room = rows->room ? 2 * rows->room : 256;
		rows->v = realloc(rows->v, rows->room * sizeof(*rows->v));
		if (!rows->v)
			abort();
	}
	rows->v[rows->nr++] = *row;
}

static int row_cmp(const void *pa, const void *pb)
{
	const struct row *a = pa, *b = pb;

	if (a->logical != b->logical)
		return a->logical < b->logical ? -1 : 1;
	for (unsigned i = 0; i < 5; i++)
		if (a->f[i] != b->f[i])
			return a->f[i] < b->f[i] ? -1 : 1;
	return 0;
}

/* Sorts, and adds up equal rows. */
static void settle(struct rows *rows)
{
	unsigned n = 0;

	if (rows->nr)
		qsort(rows->v, rows->nr, sizeof(*rows->v), row_cmp);
	for (unsigned i = 0; i < rows->nr; i++) {
		if (n && !row_cmp(&rows->v[n - 1], &rows->v[i]))
			rows->v[n - 1].count += rows->v[i].count;
		else
			rows->v[n++] = rows->v[i];
	}
	rows->nr = n;
}

static void say(const char *who, const struct row *r)
{
	fprintf(stderr,
		"%s: %" PRIu64 " (%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64
		") times %" PRIu64 "\n",
		who, r->logical, r->f[0], r->f[1], r->f[2], r->f[3], r->f[4], r->count);
}

static bool same(struct rows *have, struct rows *want)
{
	settle(have);
	settle(want);
	for (unsigned i = 0; i < have->nr || i < want->nr; i++) {
		const struct row *h = i < have->nr ? &have->v[i] : NULL;
		const struct row *w = i < want->nr ? &want->v[i] : NULL;

		if (h && w && !row_cmp(h, w) && h->count == w->count)
			continue;
		if (h)
			say("found", h);
		if (w)
			say("expected", w);
		return false;
	}
	return true;
}

/* ---- the walk ---- */

struct walker {
	struct rig *r;
	uint8_t *seen; /* NULL: every path, for uses; else each block once, for references */
	struct rows *rows;
	uint64_t tree;
};

static void ref_row(struct walker *w, uint64_t logical, uint8_t type, const struct row *name)
{
	struct row row = { .logical = logical, .f = { type }, .count = 1 };

	memcpy(&row.f[1], name->f, 4 * sizeof(uint64_t));
	add_row(w->rows, &row);
}

/* A leaf's file extents. */
static void leaf_rows(struct walker *w, const void *leaf, bool full)
{
	uint64_t at = btrfs_header_bytenr(leaf), owner = btrfs_header_owner(leaf);

	for (unsigned i = 0; i < btrfs_header_nritems(leaf); i++) {
		struct btrfs_key key = btrfs_item_key(leaf, i);
		const struct btrfs_file_extent_item *fi = btrfs_item_ptr(leaf, i);
		struct row keyed = { .f = { owner, key.objectid,
					    key.offset - le64_get(fi->offset) } };
		struct row shared = { .f = { at } };
		struct row use = { .f = { w->tree, key.objectid, key.offset, (uint64_t)-1, at },
				   .count = 1 };

		if (key.type != BTRFS_EXTENT_DATA_KEY || !le64_get(fi->disk_bytenr))
			continue;
		use.logical = le64_get(fi->disk_bytenr);
		if (!w->seen)
			add_row(w->rows, &use);
		else if (full)
			ref_row(w, use.logical, BTRFS_SHARED_DATA_REF_KEY, &shared);
		else
			ref_row(w, use.logical, BTRFS_EXTENT_DATA_REF_KEY, &keyed);
	}
}

/* `from` is the block that refers to it (0: none), `name` how: type and what comes with it. */
static bool walk(struct walker *w, const struct btrfs_block_expect *e, uint64_t from, uint8_t type,
		 uint64_t name)
{
	struct row use = { e->logical, { w->tree, 0, 0, (uint64_t)e->level, from }, 1 };
	uint64_t index = (e->logical - RIG_META) / w->r->fs.nodesize, down;
	struct row ref = { .f = { name } };
	struct extent_info info;
	struct eb *eb;
	bool ok = true, full;

	if (w->seen)
		ref_row(w, e->logical, type, &ref);
	else
		add_row(w->rows, &use);
	if (w->seen && w->seen[index]++)
		return true;
	check(!extent_lookup(&w->r->fs, e->logical, e->level, &info));
	check(!eb_get(w->r->c, e, &eb));
	full = info.flags & BTRFS_BLOCK_FLAG_FULL_BACKREF;
	down = full ? e->logical : btrfs_header_owner(eb_data(eb));
	for (unsigned i = 0; ok && e->level && i < btrfs_header_nritems(eb_data(eb)); i++) {
		struct btrfs_block_expect child = {
			.logical = btrfs_node_blockptr(eb_data(eb), i),
			.generation = btrfs_node_generation(eb_data(eb), i),
			.level = e->level - 1,
		};

		ok = walk(w, &child, e->logical,
			  full ? BTRFS_SHARED_BLOCK_REF_KEY : BTRFS_TREE_BLOCK_REF_KEY, down);
	}
	if (!e->level && btrfs_is_fstree(w->tree))
		leaf_rows(w, eb_data(eb), full);
	eb_put(eb);
	return ok;
}

static bool walk_tree(struct walker *w, struct bt_tree *tree)
{
	struct bt_root root = bt_tree_root(tree);
	struct btrfs_block_expect e = { .logical = root.bytenr,
					.generation = root.generation,
					.level = root.level };

	w->tree = root.id;
	return walk(w, &e, 0, BTRFS_TREE_BLOCK_REF_KEY, root.id);
}

static bool walk_all(struct rig *r, bool refs, struct rows *rows)
{
	struct walker w = { .r = r, .rows = rows };
	bool ok;

	if (refs)
		w.seen = calloc(1, r->v->nr);
	ok = walk_tree(&w, &r->root) && walk_tree(&w, &r->extent) && walk_tree(&w, &r->csum);
	for (unsigned i = 0; ok && i < r->trees_nr; i++)
		ok = walk_tree(&w, r->trees[i]);
	free(w.seen);
	return ok;
}

/* ---- the extent tree, parsed ---- */

struct sums {
	uint64_t extents, data, meta, keyed;
	uint64_t refs; /* of the extent at `logical` that are still to come */
	uint64_t logical;
};

/* One reference: `p` is behind the type, as inline; returns its bytes. */
static uint32_t inline_row(struct rows *rows, uint64_t logical, const uint8_t *p,
			   uint64_t *out_count)
{
	const struct btrfs_extent_data_ref *d = (const void *)(p + 1);
	struct row row = { .logical = logical, .f = { *p }, .count = 1 };
	le64 offset;
	le32 count;

	memcpy(&offset, p + 1, sizeof(offset));
	row.f[1] = le64_get(offset);
	switch (*p) {
	case BTRFS_EXTENT_DATA_REF_KEY:
		row.f[1] = le64_get(d->root);
		row.f[2] = le64_get(d->objectid);
		row.f[3] = le64_get(d->offset);
		row.count = le32_get(d->count);
		break;
	case BTRFS_SHARED_DATA_REF_KEY:
		memcpy(&count, p + 9, sizeof(count));
		row.count = le32_get(count);
	}
	add_row(rows, &row);
	*out_count = row.count;
	return btrfs_extent_inline_ref_size(*p);
}

static bool take_extent(struct rig *r, const struct bt_path *path, struct rows *rows,
			struct sums *s)
{
	const struct btrfs_extent_item *ei = bt_item(path);
	struct btrfs_key key = bt_key(path);
	bool data = le64_get(ei->flags) & BTRFS_EXTENT_FLAG_DATA;
	uint64_t len = key.type == BTRFS_EXTENT_ITEM_KEY ? key.offset : r->fs.nodesize, count;
	uint32_t off = sizeof(*ei);

	check(!s->refs);
	if (!data && key.type == BTRFS_EXTENT_ITEM_KEY)
		off += (uint32_t)sizeof(struct btrfs_tree_block_info);
	check(data || r->fs.skinny == (key.type == BTRFS_METADATA_ITEM_KEY));
	s->logical = key.objectid;
	s->refs = le64_get(ei->refs);
	s->extents++;
	*(data ? &s->data : &s->meta) += len;
	check(range_set_has(&r->in_use, key.objectid, len));
	while (off < bt_item_size(path)) {
		off += inline_row(rows, key.objectid, (const uint8_t *)ei + off, &count);
		check(s->refs >= count);
		s->refs -= count;
	}
	return true;
}

static bool take_keyed(const struct bt_path *path, struct rows *rows, struct sums *s)
{
	const struct btrfs_extent_data_ref *d = bt_item(path);
	const struct btrfs_shared_data_ref *sh = bt_item(path);
	struct btrfs_key key = bt_key(path);
	struct row row = { .logical = key.objectid, .f = { key.type, key.offset }, .count = 1 };

	if (key.type == BTRFS_EXTENT_DATA_REF_KEY) {
		row.f[1] = le64_get(d->root);
		row.f[2] = le64_get(d->objectid);
		row.f[3] = le64_get(d->offset);
		row.count = le32_get(d->count);
		check(key.offset - btrfs_extent_data_ref_hash(row.f[1], row.f[2], row.f[3]) < 8);
	} else if (key.type == BTRFS_SHARED_DATA_REF_KEY) {
		row.count = le32_get(sh->count);
	}
	add_row(rows, &row);
	s->keyed++;
	check(key.objectid == s->logical && s->refs >= row.count);
	s->refs -= row.count;
	return true;
}

static bool parse_extents(struct rig *r, struct rows *rows, struct sums *s)
{
	struct bt_root root = bt_tree_root(&r->extent);
	BT_PATH_CLEANUP struct bt_path path = BT_PATH_INIT;
	struct btrfs_key key = { 0 };
	bool ok = true;
	int err = bt_search_ge(&root, &key, &path);

	for (; !err && ok; err = bt_next(&path)) {
		key = bt_key(&path);
		if (key.type == BTRFS_EXTENT_ITEM_KEY || key.type == BTRFS_METADATA_ITEM_KEY)
			ok = take_extent(r, &path, rows, s);
		else
			ok = take_keyed(&path, rows, s);
	}
	check(ok && err >= 0 && !s->refs);
	return true;
}

/* ---- sums ---- */

static bool check_sums(struct rig *r)
{
	uint8_t *want = calloc(1, r->data_bytes / RIG_SECTOR);
	struct bt_root root = bt_tree_root(&r->csum);
	struct btrfs_key key = { 0 };
	BT_PATH_CLEANUP struct bt_path path = BT_PATH_INIT;
	uint64_t sector, bad = 0;
	int err;

	if (!want)
		abort();
	for (sector = 0; sector < r->data_bytes / RIG_SECTOR; sector++)
		want[sector] =
			r->summed[sector] &&
			range_set_has(&r->in_use, RIG_DATA + sector * RIG_SECTOR, RIG_SECTOR);
	for (err = bt_search_ge(&root, &key, &path); !err; err = bt_next(&path)) {
		const le32 *sum = bt_item(&path);

		for (unsigned i = 0; i < bt_item_size(&path) / 4; i++) {
			sector = bt_key(&path).offset / RIG_SECTOR + i;
			bad += le32_get(sum[i]) != (uint32_t)sector;
			bad += !want[sector - RIG_DATA / RIG_SECTOR];
			want[sector - RIG_DATA / RIG_SECTOR] = 0;
		}
	}
	for (sector = 0; sector < r->data_bytes / RIG_SECTOR; sector++)
		bad += want[sector];
	free(want);
	check(err == 1 && !bad);
	return true;
}

static bool check_space(struct rig *r, const struct sums *s)
{
	check(!bg_verify(r->bgs));
	check(!space_info_verify(r->meta) && !space_info_verify(r->data));
	check(r->meta->used == s->meta && r->data->used == s->data);
	check(!r->meta->reserved && !r->data->reserved && !r->data->may_use);
	check(r->fs.bytes_used == s->meta + s->data);
	check(r->in_use.bytes == s->meta + s->data);
	check(!r->rsv.delayed_refs.size);
	check(!dref_nr(r->drefs));
	return true;
}

bool rig_verify(struct rig *r)
{
	struct rows have = { 0 }, want = { 0 };
	struct sums s = { 0 };
	bool ok;

	ok = walk_all(r, true, &want) && parse_extents(r, &have, &s) && same(&have, &want);
	ok = ok && check_space(r, &s) && check_sums(r);
	r->met_keyed += s.keyed;
	for (unsigned i = 0; i < have.nr; i++) {
		r->met_shared_blocks += have.v[i].f[0] == BTRFS_SHARED_BLOCK_REF_KEY;
		r->met_shared_data += have.v[i].f[0] == BTRFS_SHARED_DATA_REF_KEY;
	}
	free(have.v);
	free(want.v);
	return ok;
}

/* ---- back references ---- */

struct taker {
	struct rows rows;
	uint64_t logical;
};

static int take_backref(void *arg, const struct backref *ref)
{
	struct taker *t = arg;
	struct row row = { t->logical,
			   { ref->root, ref->ino, ref->offset, (uint64_t)(int64_t)ref->level,
			     ref->parent },
			   1 };

	add_row(&t->rows, &row);
	return 0;
}

bool rig_verify_backrefs(struct rig *r)
{
	struct rows want = { 0 };
	struct taker t = { 0 };
	uint64_t last = 0;
	bool ok = walk_all(r, false, &want);
	int err = 0;

	settle(&want);
	for (unsigned i = 0; ok && !err && i < want.nr; i++) {
		t.logical = want.v[i].logical;
		if (t.logical != last)
			err = backref_walk(&r->fs, t.logical, take_backref, &t);
		last = t.logical;
	}
	if (err)
		fprintf(stderr, "back references: %d %s\n", err, r->v->heard.last);
	ok = ok && !err && same(&t.rows, &want);
	free(want.v);
	free(t.rows.v);
	return ok;
}
