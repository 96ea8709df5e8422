// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Names to inodes, and what inodes look like.
 *
 * The mount keeps nothing for a node (but see nodeid.c), so forgetting does nothing. What the
 * kernel is told it may keep for a year, names that do not exist as well: no request is cheaper
 * than the one that is not sent.
 */
#include "fuse/ops_priv.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define BUF_ALIGN 4096

static _Thread_local struct {
	void *data;
	size_t size;
} buf;

void *thread_buf(size_t size)
{
	if (size > buf.size) {
		thread_buf_free();
		size = (size + BUF_ALIGN - 1) & ~(size_t)(BUF_ALIGN - 1);
		if (posix_memalign(&buf.data, BUF_ALIGN, size))
			buf.data = NULL;
		buf.size = buf.data ? size : 0;
	}
	return buf.data;
}

void thread_buf_free(void)
{
	free(buf.data);
	buf.data = NULL;
	buf.size = 0;
}

struct server *op_server(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

/* With umask= a person wants to get at the files: rw, and x where there is one, less the mask. */
static mode_t shown_mode(const struct server *srv, mode_t mode)
{
	const struct options *o = srv->opts;
	mode_t perm = mode & 07777;

	if (o->have_uid || o->have_gid || o->have_umask)
		perm &= S_ISDIR(mode) ? 01777 : 0777;
	if (o->have_umask && !S_ISLNK(mode))
		perm = (0666 | (S_ISDIR(mode) || (mode & 0111) ? 0111 : 0)) & ~o->umask;
	return (mode & S_IFMT) | perm;
}

void attr_show(const struct server *srv, const struct eng_attr *attr, uint64_t number,
	       struct stat *out_st)
{
	const struct options *o = srv->opts;

	*out_st = (struct stat){
		.st_ino = number,
		.st_mode = shown_mode(srv, attr->mode),
		.st_nlink = attr->nlink,
		.st_uid = o->have_uid ? o->uid : attr->uid,
		.st_gid = o->have_gid ? o->gid : attr->gid,
		.st_rdev = attr->rdev,
		.st_size = (off_t)attr->size,
		.st_blksize = srv->block_size,
		.st_blocks = (blkcnt_t)((attr->bytes + 511) / 512),
		.st_atim = attr->atime,
		.st_mtim = attr->mtime,
		.st_ctim = attr->ctime,
	};
}

int node_attr(const struct server *srv, fuse_ino_t node, struct eng_attr *out_attr)
{
	const struct eng_attr *stub;
	struct eng_ino id;
	int err = nodeid_resolve(srv->ids, node, &id, &stub);

	if (err)
		return err;
	if (stub) {
		*out_attr = *stub;
		return 0;
	}
	return eng_getattr(srv->fs, id, out_attr);
}

int node_inode(const struct server *srv, fuse_ino_t node, int stub_errno, struct eng_ino *out_id)
{
	const struct eng_attr *stub;
	int err = nodeid_resolve(srv->ids, node, out_id, &stub);

	return err ? err : stub ? stub_errno : 0;
}

int entry_fill(const struct server *srv, const struct eng_attr *attr,
	       struct fuse_entry_param *out_entry)
{
	uint64_t number, nodeid;
	int err = nodeid_add(srv->ids, attr, &number, &nodeid);

	if (err)
		return err;
	*out_entry = (struct fuse_entry_param){
		.ino = nodeid,
		.generation = attr->generation,
		.attr_timeout = CACHE_SEC,
		.entry_timeout = CACHE_SEC,
	};
	attr_show(srv, attr, number, &out_entry->attr);
	return 0;
}

/* "." and ".." are asked for by number: a file handle of an NFS client, long after the kernel
 * forgot it. */
static int lookup(const struct server *srv, fuse_ino_t parent, const char *name,
		  struct eng_attr *out_attr)
{
	const struct eng_attr *stub;
	struct eng_ino dir;
	bool dots = !strcmp(name, ".") || !strcmp(name, "..");
	int err = nodeid_resolve(srv->ids, parent, &dir, &stub);

	if (err)
		return err;
	if (stub) {
		*out_attr = *stub;
		return dots ? name[1] ? -ESTALE : 0 : -ENOENT;
	}
	err = eng_lookup(srv->fs, dir, name, strlen(name), out_attr);
	return err == -ENOENT && dots ? -ESTALE : err;
}

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	const struct server *srv = op_server(req);
	struct fuse_entry_param entry;
	struct eng_attr attr;
	int err = lookup(srv, parent, name, &attr);

	if (!err)
		err = entry_fill(srv, &attr, &entry);
	if (err == -ENOENT) {
		entry = (struct fuse_entry_param){ .entry_timeout = CACHE_SEC };
		err = 0;
	}
	if (err)
		fuse_reply_err(req, -err);
	else
		fuse_reply_entry(req, &entry);
}

void op_forget(fuse_req_t req, fuse_ino_t node, uint64_t nlookup)
{
	fuse_reply_none(req);
}

void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	fuse_reply_none(req);
}

void op_getattr(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	const struct server *srv = op_server(req);
	uint64_t number, nodeid;
	struct eng_attr attr;
	struct stat st;
	int err = node_attr(srv, node, &attr);

	if (!err)
		err = nodeid_add(srv->ids, &attr, &number, &nodeid);
	if (err) {
		fuse_reply_err(req, -err);
		return;
	}
	attr_show(srv, &attr, number, &st);
	fuse_reply_attr(req, &st, CACHE_SEC);
}

void op_readlink(fuse_req_t req, fuse_ino_t node)
{
	const struct server *srv = op_server(req);
	char target[PATH_MAX + 1];
	struct eng_ino id;
	ssize_t len = node_inode(srv, node, -EINVAL, &id);

	if (!len)
		len = eng_readlink(srv->fs, id, target, sizeof(target) - 1);
	if (len < 0) {
		fuse_reply_err(req, (int)-len);
		return;
	}
	target[len] = '\0';
	fuse_reply_readlink(req, target);
}

void op_statfs(fuse_req_t req, fuse_ino_t node)
{
	const struct server *srv = op_server(req);
	struct eng_statfs fs;
	struct statvfs st = { 0 };
	int err = eng_statfs(srv->fs, &fs);

	if (err) {
		fuse_reply_err(req, -err);
		return;
	}
	st.f_bsize = st.f_frsize = fs.block_size;
	st.f_blocks = fs.total_bytes / fs.block_size;
	st.f_bfree = fs.free_bytes / fs.block_size;
	st.f_bavail = fs.avail_bytes / fs.block_size;
	st.f_namemax = fs.name_max;
	fuse_reply_statfs(req, &st);
}
