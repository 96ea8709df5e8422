// SPDX-License-Identifier: GPL-2.0-or-later
/* Reading files. Opening sends no message where the kernel can do without. */
#include "fuse/ops_priv.h"

#include <errno.h>

void op_open(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	if (op_server(req)->no_open) {
		fuse_reply_err(req, ENOSYS);
		return;
	}
	fi->keep_cache = 1;
	fuse_reply_open(req, fi);
}

void op_read(fuse_req_t req, fuse_ino_t node, size_t size, off_t off, struct fuse_file_info *fi)
{
	const struct server *srv = op_server(req);
	char *data = thread_buf(size);
	struct eng_ino id;
	ssize_t got = node_inode(srv, node, -EISDIR, &id);

	if (!got)
		got = data ? streams_read(srv->streams, id, (uint64_t)off, data, size) : -ENOMEM;
	if (got < 0)
		fuse_reply_err(req, (int)-got);
	else
		fuse_reply_buf(req, data, (size_t)got);
}

void op_lseek(fuse_req_t req, fuse_ino_t node, off_t off, int whence, struct fuse_file_info *fi)
{
	const struct server *srv = op_server(req);
	struct eng_ino id;
	int64_t pos = node_inode(srv, node, -EINVAL, &id);

	if (!pos)
		pos = off < 0 ? -ENXIO : eng_seek(srv->fs, id, (uint64_t)off, whence);
	if (pos < 0)
		fuse_reply_err(req, (int)-pos);
	else
		fuse_reply_lseek(req, pos);
}
