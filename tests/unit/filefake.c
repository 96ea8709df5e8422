// SPDX-License-Identifier: GPL-2.0-or-later
/* A subvolume in memory: see filefake.h. */
#include "tests/unit/filefake.h"
#include "ondisk/csum.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* A frame's lock is that of many blocks in turn: an order among frames means nothing. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
	return "detect_deadlocks=0";
}

#define SUBVOL 300

static struct filefake *fake_of(struct chg *c)
{
	return (struct filefake *)((char *)c - offsetof(struct filefake, c));
}

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "filefake: %s\n", what);
	abort();
}

static int begin(struct chg *c, unsigned items, bool freeing)
{
	struct filefake *ff = fake_of(c);

	must(!c->t, "a handle within a handle");
	must(items > 0 && items <= 40, "a reservation out of all measure");
	if (ff->fail_begin && !--ff->fail_begin)
		return -ENOSPC;
	faketxn_begin(ff->f, &ff->h, BT_TWO_PASS);
	c->t = &ff->h.t;
	ff->begins++;
	return 0;
}

static int end(struct chg *c)
{
	struct filefake *ff = fake_of(c);

	must(c->t, "an end without a beginning");
	bt_trans_end(c->t);
	c->t = NULL;
	ff->ends++;
	return 0;
}

static bool should_end(struct chg *c)
{
	struct filefake *ff = fake_of(c);

	return ff->end_every && ++ff->asked % ff->end_every == 0;
}

static void op_abort(struct chg *c, int err, const char *file, int line)
{
	fake_of(c)->aborts++;
}

static int next_ino(struct chg *c, uint64_t *out_ino)
{
	*out_ino = fake_of(c)->next_ino++;
	return 0;
}

static void touch(struct chg *c)
{
	fake_of(c)->touches++;
}

static struct fake_data *data_find(struct filefake *ff, uint64_t logical, uint64_t ino,
				   uint64_t offset)
{
	for (unsigned i = 0; i < ff->data_nr; i++)
		if (ff->data[i].logical == logical && ff->data[i].ino == ino &&
		    ff->data[i].offset == offset)
			return &ff->data[i];
	return NULL;
}

static int drop_data(struct chg *c, uint64_t logical, uint64_t len, uint64_t ino, uint64_t offset)
{
	struct fake_data *d = data_find(fake_of(c), logical, ino, offset);

	must(d && d->len == len && d->count > 0, "a data reference that is not there was dropped");
	d->count--;
	return 0;
}

static const struct chg_ops ops = {
	.begin = begin,
	.end = end,
	.should_end = should_end,
	.abort = op_abort,
	.next_ino = next_ino,
	.touch = touch,
	.drop_data = drop_data,
};

void filefake_put(struct filefake *ff, const struct btrfs_key *key, const void *data, uint32_t size)
{
	must(!begin(&ff->c, 1, false), "begin");
	must(!item_insert(&ff->c, key, data, size), "an item could not be inserted");
	must(!end(&ff->c), "end");
}

void filefake_extent(struct filefake *ff, uint64_t ino, uint64_t off, uint64_t logical,
		     uint64_t disk_len, uint64_t ext_off, uint64_t len, uint8_t type)
{
	const struct btrfs_key key = { ino, BTRFS_EXTENT_DATA_KEY, off };
	struct fake_data *d = data_find(ff, logical, ino, off - ext_off);
	const struct btrfs_file_extent_item fi = {
		.generation = le64_make(ff->f->generation),
		.ram_bytes = le64_make(logical ? disk_len : len),
		.type = type,
		.disk_bytenr = le64_make(logical),
		.disk_num_bytes = le64_make(logical ? disk_len : 0),
		.offset = le64_make(ext_off),
		.num_bytes = le64_make(len),
	};

	filefake_put(ff, &key, &fi, sizeof(fi));
	if (!logical)
		return;
	if (!d) {
		for (d = ff->data; d < ff->data + ff->data_nr && d->count; d++)
			;
		if (d == ff->data + ff->data_nr)
			must(ff->data_nr++ < FILEFAKE_EXTENTS, "too many extents");
		*d = (struct fake_data){ logical, disk_len, ino, off - ext_off, 0, 0 };
	}
	d->count++;
}

void filefake_grow(struct filefake *ff, uint64_t ino, uint64_t size, uint64_t nbytes)
{
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	struct btrfs_inode_item *item;

	must(!begin(&ff->c, 1, false), "begin");
	must(!inode_edit(&ff->c, ino, &path, &item), "no such inode");
	item->size = le64_make(le64_get(item->size) + size);
	item->nbytes = le64_make(le64_get(item->nbytes) + nbytes);
	bt_path_release(&path);
	must(!end(&ff->c), "end");
}

static void make_top(struct filefake *ff)
{
	const struct btrfs_key key = { 256, BTRFS_INODE_ITEM_KEY, 0 },
			       ref_key = { 256, BTRFS_INODE_REF_KEY, 256 };
	const struct btrfs_inode_item item = {
		.generation = le64_make(ff->f->generation),
		.nlink = le32_make(1),
		.mode = le32_make(S_IFDIR | 0755),
	};
	struct {
		struct btrfs_inode_ref ref;
		char name[2];
	} __attribute__((packed)) ref = { { le64_make(0), le16_make(2) }, { '.', '.' } };

	filefake_put(ff, &key, &item, sizeof(item));
	filefake_put(ff, &ref_key, &ref, sizeof(ref));
}

struct filefake *filefake_create(uint32_t nodesize, uint64_t features)
{
	struct filefake *ff = calloc(1, sizeof(*ff));
	struct bt_root like = { .id = SUBVOL }, root;

	must(ff, "memory");
	ff->f = faketxn_create(nodesize, 8000, 300, 1);
	like.cache = ff->f->c;
	faketxn_begin(ff->f, &ff->h, BT_TWO_PASS);
	must(!bt_create(&ff->h.t, &like, &root), "no tree");
	bt_trans_end(&ff->h.t);
	bt_tree_init(&ff->tree, &root);
	ff->tree.shareable = true;
	ff->root.bt = ff->tree.root;
	ff->root.root_dirid = 256;
	ff->fs.msg = ff->f->v->msg;
	ff->fs.cache = ff->f->c;
	ff->fs.nodesize = nodesize;
	ff->fs.sectorsize = 4096;
	ff->fs.super.incompat_flags = le64_make(features);
	ff->next_ino = 257;
	ff->c = (struct chg){ .fs = &ff->fs, .root = &ff->root, .tree = &ff->tree, .ops = &ops };
	make_top(ff);
	return ff;
}

void filefake_destroy(struct filefake *ff)
{
	bt_tree_destroy(&ff->tree);
	faketxn_destroy(ff->f);
	free(ff);
}

/* ---- names of one hash ---- */

bool forge_name(char *name, size_t len, unsigned n, uint32_t want)
{
	uint32_t rows[32], vals[32], zero, diff, tail = 0;

	memset(name, 'a' + n % 26, len);
	snprintf(name, 16, "forged%u", n);
	name[strlen(name)] = '_';
	memset(name + len - 4, 0, 4);
	zero = (uint32_t)btrfs_name_hash(name, len);
	for (int i = 0; i < 32; i++) {
		name[len - 4 + i / 8] = (char)(1 << i % 8);
		rows[i] = (uint32_t)btrfs_name_hash(name, len) ^ zero;
		vals[i] = 1u << i;
		name[len - 4 + i / 8] = 0;
	}
	diff = want ^ zero;
	for (int bit = 31, r = 0; bit >= 0; bit--) {
		int p = r;

		while (p < 32 && !(rows[p] >> bit & 1))
			p++;
		if (p == 32)
			continue;
		for (int k = 0; k < 2; k++) {
			uint32_t *a = k ? vals : rows, t = a[p];

			a[p] = a[r];
			a[r] = t;
		}
		for (int i = r + 1; i < 32; i++) {
			if (rows[i] >> bit & 1) {
				rows[i] ^= rows[r];
				vals[i] ^= vals[r];
			}
		}
		if (diff >> bit & 1) {
			diff ^= rows[r];
			tail ^= vals[r];
		}
		r++;
	}
	memcpy(name + len - 4, &tail, 4);
	name[len] = '\0';
	return !diff && !memchr(name, 0, len) && !memchr(name, '/', len) &&
	       (uint32_t)btrfs_name_hash(name, len) == want;
}

void forge_names(char (*family)[256], unsigned nr, size_t len)
{
	unsigned n = 0;

	for (unsigned i = 0; i < nr; n++)
		if (forge_name(family[i], len, n, 0x12345678))
			i++;
}

/* ---- the checker ---- */

#define INODES 4096

struct seen {
	uint64_t ino;
	bool item, orphan;
	struct btrfs_inode_item ii;
	uint64_t names, name_bytes; /* of its own, and of its entries */
	uint64_t nbytes, end;
};

struct walk {
	struct filefake *ff;
	struct seen *seen;
	unsigned nr;
	uint64_t entries, indexes, refs;
	bool ok;
};

#define wrong(w, ...)                                                                              \
	do {                                                                                       \
		fprintf(stderr, __VA_ARGS__);                                                      \
		fputc('\n', stderr);                                                               \
		(w)->ok = false;                                                                   \
	} while (0)

static struct seen *seen(struct walk *w, uint64_t ino)
{
	for (unsigned i = w->nr; i-- > 0;)
		if (w->seen[i].ino == ino)
			return &w->seen[i];
	must(w->nr < INODES, "too many inodes");
	w->seen[w->nr] = (struct seen){ .ino = ino };
	return &w->seen[w->nr++];
}

/* What an index says must be said by the entry and by the inode. */
static void walk_index(struct walk *w, const struct btrfs_key *key, const struct btrfs_dir_item *di)
{
	struct entry e = { .dir = key->objectid,
			   .name = (const char *)(di + 1),
			   .len = le16_get(di->name_len) };
	int err = entry_load(&w->ff->c, &e);

	w->indexes++;
	seen(w, key->objectid)->name_bytes += 2 * e.len;
	if (err || e.index != key->offset || e.ino != le64_get(di->location.objectid) ||
	    e.type != di->type)
		wrong(w, "directory %llu: index %llu %.*s: %d, inode %llu at %llu",
		      (unsigned long long)key->objectid, (unsigned long long)key->offset,
		      (int)e.len, e.name, err, (unsigned long long)e.ino,
		      (unsigned long long)e.index);
}

static void walk_entries(struct walk *w, const char *p, uint32_t size)
{
	const char *end = p + size;

	for (; p < end; w->entries++) {
		const struct btrfs_dir_item *di = (const void *)p;

		p += sizeof(*di) + le16_get(di->name_len) + le16_get(di->data_len);
	}
}

static void walk_extent(struct walk *w, const struct btrfs_key *key,
			const struct btrfs_file_extent_item *fi)
{
	bool explicit =
		!(le64_get(w->ff->fs.super.incompat_flags) & BTRFS_FEATURE_INCOMPAT_NO_HOLES);
	struct seen *s = seen(w, key->objectid);
	uint64_t logical = le64_get(fi->disk_bytenr);

	if (key->offset < s->end || (explicit && key->offset != s->end))
		wrong(w, "inode %llu: extent at %llu, one before ends at %llu",
		      (unsigned long long)key->objectid, (unsigned long long)key->offset,
		      (unsigned long long)s->end);
	if (fi->type == BTRFS_FILE_EXTENT_INLINE) {
		s->nbytes += le64_get(fi->ram_bytes);
		s->end = (le64_get(fi->ram_bytes) + 4095) & ~4095ull;
		return;
	}
	s->end = key->offset + le64_get(fi->num_bytes);
	if (logical) {
		struct fake_data *d = data_find(w->ff, logical, key->objectid,
						key->offset - le64_get(fi->offset));

		s->nbytes += le64_get(fi->num_bytes);
		if (!d)
			wrong(w, "an extent at %llu without a reference",
			      (unsigned long long)logical);
		else
			d->used++;
	}
}

static void walk_item(struct walk *w, const struct bt_path *path)
{
	struct btrfs_key key = bt_key(path);

	switch (key.type) {
	case BTRFS_INODE_ITEM_KEY:
		seen(w, key.objectid)->item = true;
		memcpy(&seen(w, key.objectid)->ii, bt_item(path), sizeof(struct btrfs_inode_item));
		break;
	case BTRFS_ORPHAN_ITEM_KEY:
		seen(w, key.offset)->orphan = true;
		break;
	case BTRFS_DIR_ITEM_KEY:
		walk_entries(w, bt_item(path), bt_item_size(path));
		break;
	case BTRFS_DIR_INDEX_KEY:
		walk_index(w, &key, bt_item(path));
		break;
	case BTRFS_EXTENT_DATA_KEY:
		walk_extent(w, &key, bt_item(path));
		break;
	}
}

static int count_ref(void *arg, uint64_t parent, const char *name, size_t len)
{
	++*(uint64_t *)arg;
	return 0;
}

static void check_inode(struct walk *w, const struct seen *s)
{
	uint64_t refs = 0, size = le64_get(s->ii.size), last = (size + 4095) & ~4095ull;
	uint32_t mode = le32_get(s->ii.mode), nlink = le32_get(s->ii.nlink);
	bool explicit =
		!(le64_get(w->ff->fs.super.incompat_flags) & BTRFS_FEATURE_INCOMPAT_NO_HOLES);

	if (!s->item) {
		wrong(w, "inode %llu has items, but no inode item", (unsigned long long)s->ino);
		return;
	}
	must(!ino_refs(&w->ff->fs, &w->ff->root, s->ino, count_ref, &refs), "references");
	w->refs += refs;
	if (refs != nlink || s->orphan != !nlink)
		wrong(w, "inode %llu: %u links, %llu back references, orphan %d",
		      (unsigned long long)s->ino, nlink, (unsigned long long)refs, s->orphan);
	if (S_ISDIR(mode) ? size != s->name_bytes : s->name_bytes)
		wrong(w, "directory %llu: size %llu, %llu of names", (unsigned long long)s->ino,
		      (unsigned long long)size, (unsigned long long)s->name_bytes);
	if (le64_get(s->ii.nbytes) != s->nbytes)
		wrong(w, "inode %llu: nbytes %llu, %llu in extents", (unsigned long long)s->ino,
		      (unsigned long long)le64_get(s->ii.nbytes), (unsigned long long)s->nbytes);
	if (S_ISREG(mode) && nlink && explicit && s->end < last)
		wrong(w, "inode %llu: size %llu, extents and holes to %llu",
		      (unsigned long long)s->ino, (unsigned long long)size,
		      (unsigned long long)s->end);
}

static void check_data(struct walk *w)
{
	struct filefake *ff = w->ff;

	for (unsigned i = 0; i < ff->data_nr; i++) {
		struct fake_data *d = &ff->data[i];
		if (d->count != d->used)
			wrong(w, "extent %llu: %d references, %d uses",
			      (unsigned long long)d->logical, d->count, d->used);
		d->used = 0;
	}
}

bool filefake_check(struct filefake *ff)
{
	struct walk w = { .ff = ff, .seen = calloc(INODES, sizeof(struct seen)), .ok = true };
	struct bt_path path BT_PATH_CLEANUP = BT_PATH_INIT;
	const struct btrfs_key first = { 0 };
	int ret;

	must(w.seen, "memory");
	for (ret = bt_search_ge(&ff->tree.root, &first, &path); !ret; ret = bt_next(&path))
		walk_item(&w, &path);
	bt_path_release(&path);
	if (ret < 0)
		wrong(&w, "the walk ended with %d", ret);
	for (unsigned i = 0; i < w.nr; i++)
		check_inode(&w, &w.seen[i]);
	check_data(&w);
	/* The top has a back reference and no entry. */
	if (w.entries != w.indexes || w.entries + 1 != w.refs)
		wrong(&w, "%llu entries, %llu indexes, %llu back references",
		      (unsigned long long)w.entries, (unsigned long long)w.indexes,
		      (unsigned long long)w.refs);
	if (ff->begins != ff->ends)
		wrong(&w, "%u handles begun, %u ended", ff->begins, ff->ends);
	free(w.seen);
	return w.ok;
}
