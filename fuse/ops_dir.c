// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Reading directories. The kernel keeps what it reads (opendir sends no message and allows it), and
 * takes the attributes along with the names, so that walking a tree with stat costs one request for
 * many files.
 */
#include "fuse/ops_priv.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

struct listing {
	fuse_req_t req;
	const struct server *srv;
	uint64_t dir_number;
	bool plus;
	char *buf;
	size_t size, used;
	char name[256]; /* the entry's, with a NUL behind it */
};

#define FULL 1

static size_t add_plain(struct listing *l, const struct eng_dirent *ent, uint64_t number)
{
	struct stat st = { .st_ino = number, .st_mode = DTTOIF(ent->type) };

	return fuse_add_direntry(l->req, l->buf + l->used, l->size - l->used, l->name, &st,
				 (off_t)ent->next);
}

/* Without attributes (node id 0) the kernel asks when it needs them, and hears what was wrong. */
static size_t add_plus(struct listing *l, const struct eng_dirent *ent, uint64_t number, bool dots)
{
	struct fuse_entry_param entry = { .attr = { .st_ino = number,
						    .st_mode = DTTOIF(ent->type) } };
	struct fuse_entry_param full;
	struct eng_attr attr;
	int err = dots || ent->stub_key ? -ENOENT : eng_getattr(l->srv->fs, ent->id, &attr);

	/* An inode of another type than the entry says is for lookup to complain of. */
	if (!err && IFTODT(attr.mode) == ent->type && !entry_fill(l->srv, &attr, &full))
		entry = full;
	return fuse_add_direntry_plus(l->req, l->buf + l->used, l->size - l->used, l->name, &entry,
				      (off_t)ent->next);
}

static int add_entry(void *arg, const struct eng_dirent *ent)
{
	struct listing *l = arg;
	bool dots = ent->len <= 2 && ent->name[0] == '.' && ent->name[ent->len - 1] == '.';
	bool stub_itself = dots && ent->id.ino == ENG_STUB_INO && !ent->stub_key;
	uint64_t number =
		stub_itself ? l->dir_number : nodeid_number(l->srv->ids, ent->id, ent->stub_key);
	size_t need;

	if (ent->len >= sizeof(l->name))
		return -EUCLEAN;
	memcpy(l->name, ent->name, ent->len);
	l->name[ent->len] = '\0';
	/* Not read in vain: the attributes of an entry that will not fit. */
	if (l->plus &&
	    fuse_add_direntry_plus(l->req, NULL, 0, l->name, NULL, 0) > l->size - l->used)
		return FULL;
	need = l->plus ? add_plus(l, ent, number, dots) : add_plain(l, ent, number);
	if (need > l->size - l->used)
		return FULL;
	l->used += need;
	return 0;
}

static void list(fuse_req_t req, fuse_ino_t node, size_t size, off_t off, bool plus)
{
	const struct server *srv = op_server(req);
	struct listing l = {
		.req = req, .srv = srv, .dir_number = node, .plus = plus, .size = size
	};
	const struct eng_attr *stub;
	struct eng_ino dir;
	int ret = nodeid_resolve(srv->ids, node, &dir, &stub);

	l.buf = thread_buf(size);
	if (!ret && !l.buf)
		ret = -ENOMEM;
	if (!ret)
		ret = eng_readdir(srv->fs, dir, (uint64_t)off, add_entry, &l);
	/* What was read before an error counts; the next request meets the error again. */
	if (ret < 0 && !l.used)
		fuse_reply_err(req, -ret);
	else
		fuse_reply_buf(req, l.buf, l.used);
}

void op_opendir(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	if (op_server(req)->no_opendir) {
		fuse_reply_err(req, ENOSYS);
		return;
	}
	fi->keep_cache = 1;
	fi->cache_readdir = 1;
	fuse_reply_open(req, fi);
}

void op_readdir(fuse_req_t req, fuse_ino_t node, size_t size, off_t off, struct fuse_file_info *fi)
{
	list(req, node, size, off, false);
}

void op_readdirplus(fuse_req_t req, fuse_ino_t node, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	list(req, node, size, off, true);
}
