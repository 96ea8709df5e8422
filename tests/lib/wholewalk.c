// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The walk over files, as a user of the engine would go: from the top of each subvolume down,
 * asking for each entry all that can be asked.
 *
 * 1. The order depends on the image only, so equal images give equal digests.
 * 2. Structures are hashed field by field: padding holds anything.
 * 3. Answers that failed are counted and are not in the digest.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "tests/lib/wholewalk_priv.h"

const struct wholewalk_limits wholewalk_default = {
	.depth = 24,
	.entries = 4000,
	.file_bytes = 4 << 20,
	.bytes = 64 << 20,
	.items = 100000,
	.blocks = 4000,
};

static void add_time(struct walk *w, struct timespec t)
{
	walk_add64(w, (uint64_t)t.tv_sec);
	walk_add64(w, (uint64_t)t.tv_nsec);
}

static void add_attr(struct walk *w, const struct eng_attr *a)
{
	const uint64_t v[] = { a->id.subvol, a->id.ino,	  a->size,   a->bytes, a->generation,
			       a->flags,     a->ro_flags, a->mode,   a->uid,   a->gid,
			       a->nlink,     a->rdev,	  a->stub_key };

	walk_add(w, v, sizeof(v));
	add_time(w, a->atime);
	add_time(w, a->mtime);
	add_time(w, a->ctime);
	add_time(w, a->otime);
}

static void walk_xattrs(struct walk *w, struct eng_ino id)
{
	ssize_t len = eng_listxattr(w->fs, id, NULL, 0), got;
	char *list;

	if (walk_failed(w, len) || !len)
		return;
	if (len > 1 << 20) {
		w->out->cut = true;
		return;
	}
	list = malloc((size_t)len);
	got = list ? eng_listxattr(w->fs, id, list, (size_t)len) : -ENOMEM;
	for (char *name = list; got > 0 && name < list + got; name += strlen(name) + 1) {
		ssize_t size = eng_getxattr(w->fs, id, name, w->io, WALK_IO), again;

		walk_add(w, name, strlen(name) + 1);
		if (walk_failed(w, size))
			continue;
		walk_add(w, w->io, (size_t)size);
		again = eng_getxattr(w->fs, id, name, NULL, 0);
		if (again != size)
			walk_failed(w, again < 0 ? again : -EPROTO);
	}
	walk_failed(w, got);
	free(list);
}

static void walk_inode(struct walk *w, const struct eng_attr *attr)
{
	struct eng_attr again;
	struct eng_ino parent;
	char path[5000];
	ssize_t len;
	int err;

	if (!walk_failed(w, eng_getattr(w->fs, attr->id, &again)))
		add_attr(w, &again);
	walk_xattrs(w, attr->id);
	err = eng_ino_path(w->fs, attr->id, path, sizeof(path));
	if (!walk_failed(w, err))
		walk_add(w, path, strlen(path));
	if (S_ISDIR(attr->mode) && !walk_failed(w, eng_parent(w->fs, attr->id, &parent))) {
		walk_add64(w, parent.subvol);
		walk_add64(w, parent.ino);
	}
	if (S_ISLNK(attr->mode)) {
		len = eng_readlink(w->fs, attr->id, path, sizeof(path));
		if (!walk_failed(w, len))
			walk_add(w, path, (size_t)len);
	}
	if (S_ISREG(attr->mode))
		walk_data(w, attr);
}

struct entry {
	struct entry *next;
	struct eng_dirent ent;
	char name[];
};

struct listing {
	struct walk *w;
	struct entry *first, **end;
	bool full;
};

static int take_entry(void *arg, const struct eng_dirent *ent)
{
	struct listing *l = arg;
	struct entry *e;

	l->full = !walk_take(l->w, &l->w->left.entries, 1);
	if (l->full)
		return 1;
	e = malloc(sizeof(*e) + ent->len + 1);
	if (!e)
		return -ENOMEM;
	l->w->out->entries++;
	e->next = NULL;
	e->ent = *ent;
	memcpy(e->name, ent->name, ent->len);
	e->name[ent->len] = '\0';
	e->ent.name = e->name;
	*l->end = e;
	l->end = &e->next;
	return 0;
}

static void walk_dir(struct walk *w, struct eng_ino dir, uint64_t depth);

static bool is_dots(const struct eng_dirent *ent)
{
	return ent->name[0] == '.' && (ent->len == 1 || (ent->len == 2 && ent->name[1] == '.'));
}

/* A subvolume is entered once, by whichever entry leads there first. */
static bool first_entry(struct walk *w, struct eng_ino id)
{
	struct eng_ino top;

	if (eng_subvol_root(w->fs, id.subvol, &top) || top.ino != id.ino)
		return true;
	for (unsigned i = 0; i < w->subvol_nr; i++) {
		if (w->subvols[i] != id.subvol)
			continue;
		if (w->entered[i])
			return false;
		w->entered[i] = true;
	}
	return true;
}

static void walk_entry(struct walk *w, struct eng_ino dir, const struct eng_dirent *ent,
		       uint64_t depth)
{
	const uint64_t v[] = { ent->len,     ent->id.subvol, ent->id.ino,
			       ent->stub_key, ent->type,	     ent->next };
	struct eng_attr attr;

	walk_add(w, v, sizeof(v));
	walk_add(w, ent->name, ent->len);
	if (is_dots(ent) && dir.ino == ENG_STUB_INO)
		return;
	if (walk_failed(w, eng_lookup(w->fs, dir, ent->name, ent->len, &attr)))
		return;
	add_attr(w, &attr);
	if (is_dots(ent))
		return;
	if (!attr.stub_key)
		walk_inode(w, &attr);
	if (S_ISDIR(attr.mode) && first_entry(w, attr.id))
		walk_dir(w, attr.id, depth + 1);
}

static void walk_dir(struct walk *w, struct eng_ino dir, uint64_t depth)
{
	struct listing l = { .w = w, .end = &l.first };
	struct eng_attr attr;
	int ret;

	if (depth > w->left.depth) {
		w->out->cut = true;
		return;
	}
	ret = eng_readdir(w->fs, dir, 0, take_entry, &l);
	if (!l.full)
		walk_failed(w, ret);
	while (l.first) {
		struct entry *e = l.first;

		walk_entry(w, dir, &e->ent, depth);
		l.first = e->next;
		free(e);
	}
	ret = eng_lookup(w->fs, dir, "a name that is not there", 24, &attr);
	if (ret != -ENOENT)
		walk_failed(w, ret < 0 ? ret : -EPROTO);
}

static int note_subvol(void *arg, uint64_t transid, uint64_t objectid, uint8_t type,
		       uint64_t offset, const void *item, uint32_t len)
{
	const struct btrfs_root_item *ri = item;
	struct walk *w = arg;

	if (type != BTRFS_ROOT_ITEM_KEY || !btrfs_is_fstree(objectid))
		return 0;
	/* A deleted one, not yet cleaned away. */
	if (!le32_get(ri->refs))
		return 0;
	if (w->subvol_nr == WALK_SUBVOLS) {
		w->out->cut = true;
		return 1;
	}
	w->entered[w->subvol_nr] = false;
	w->subvols[w->subvol_nr++] = objectid;
	return 0;
}

static void walk_subvol(struct walk *w, uint64_t id)
{
	struct eng_subvol_info i;
	struct eng_attr attr;
	struct eng_ino top;
	char path[5000];

	walk_add64(w, id);
	if (!walk_failed(w, eng_subvol_info(w->fs, id, &i))) {
		const uint64_t v[] = { i.id,	   i.parent_id, i.dirid,    i.generation, i.flags,
				       i.ctransid, i.otransid,	i.stransid, i.rtransid };

		walk_add(w, v, sizeof(v));
		walk_add(w, i.name, strlen(i.name));
		walk_add(w, i.uuid, 16);
		walk_add(w, i.parent_uuid, 16);
		walk_add(w, i.received_uuid, 16);
		add_time(w, i.ctime);
		add_time(w, i.otime);
		add_time(w, i.stime);
		add_time(w, i.rtime);
	}
	if (!walk_failed(w, eng_subvol_path(w->fs, id, path, sizeof(path)))) {
		uint64_t back;

		walk_add(w, path, strlen(path));
		if (!walk_failed(w, eng_subvol_by_path(w->fs, path, &back)))
			walk_add64(w, back);
	}
	if (walk_failed(w, eng_subvol_root(w->fs, id, &top)))
		return;
	walk_add64(w, top.ino);
	if (!first_entry(w, top))
		return;
	if (walk_failed(w, eng_getattr(w->fs, top, &attr)))
		return;
	add_attr(w, &attr);
	walk_xattrs(w, top);
	if (S_ISDIR(attr.mode))
		walk_dir(w, top, 0);
}

static void walk_space(struct walk *w)
{
	struct eng_dev_info dev;
	struct eng_fs_info info;
	struct eng_statfs st;

	if (!walk_failed(w, eng_statfs(w->fs, &st))) {
		walk_add64(w, st.total_bytes);
		walk_add64(w, st.free_bytes);
		walk_add64(w, st.avail_bytes);
		walk_add64(w, st.block_size);
	}
	eng_fs_info(w->fs, &info);
	walk_add(w, info.fsid, sizeof(info.fsid));
	walk_add(w, info.metadata_uuid, sizeof(info.metadata_uuid));
	walk_add(w, info.label, sizeof(info.label));
	{
		const uint64_t v[] = { info.generation, info.num_devices, info.max_devid,
				       info.nodesize,	info.sectorsize,  info.csum_type,
				       info.compat,	info.compat_ro,	  info.incompat,
				       info.log_tree,	info.degraded };

		walk_add(w, v, sizeof(v));
	}
	for (unsigned i = 0; eng_dev_info(w->fs, i, &dev); i++) {
		walk_add64(w, dev.devid);
		walk_add(w, dev.uuid, 16);
		walk_add(w, dev.fsid, 16);
		walk_add64(w, dev.total_bytes);
		walk_add64(w, dev.bytes_used);
	}
}

void walk_files(struct walk *w)
{
	const struct eng_search all = { .tree_id = BTRFS_ROOT_TREE_OBJECTID,
					.max_objectid = UINT64_MAX,
					.max_offset = UINT64_MAX,
					.max_transid = UINT64_MAX,
					.max_type = UINT8_MAX };

	walk_space(w);
	walk_add64(w, eng_default_subvol(w->fs));
	walk_failed(w, eng_tree_search(w->fs, &all, note_subvol, w));
	for (unsigned i = 0; i < w->subvol_nr; i++)
		walk_subvol(w, w->subvols[i]);
}

void wholewalk(struct eng_fs *fs, const struct wholewalk_limits *limits, struct wholewalk *out)
{
	struct walk *w = malloc(sizeof(*w));

	*out = (struct wholewalk){ 0 };
	if (!w || !(w->hash = XXH64_createState())) {
		fprintf(stderr, "wholewalk: out of memory\n");
		abort();
	}
	w->fs = fs;
	w->left = *limits;
	w->out = out;
	w->subvol_nr = 0;
	if (!limits->no_files) {
		XXH64_reset(w->hash, 0);
		walk_files(w);
		out->files = XXH64_digest(w->hash);
	}
	if (!limits->no_raw) {
		XXH64_reset(w->hash, 0);
		walk_raw(w);
		out->raw = XXH64_digest(w->hash);
	}
	XXH64_freeState(w->hash);
	free(w);
}

void wholewalk_errors_to_text(const struct wholewalk *seen, char *buf, size_t size)
{
	size_t len = 0;

	buf[0] = '\0';
	for (int e = 0; e < WHOLEWALK_ERRNOS && len < size; e++)
		if (seen->by_errno[e])
			len += (size_t)snprintf(buf + len, size - len, "%s%u %s", len ? ", " : "",
						seen->by_errno[e], strerrorname_np(e));
}
