// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Extended attributes. The kernel keeps the values of trusted.* from everybody but root, and leaves
 * it to us to keep their names. ACLs are served only where the kernel honours them: under uid=,
 * gid=, umask= or noacl the permissions shown are not those that an ACL would complete.
 */
#include "fuse/ops_priv.h"

#include <errno.h>
#include <linux/limits.h>
#include <stdlib.h>
#include <string.h>

static bool is_acl(const char *name)
{
	return !strcmp(name, "system.posix_acl_access") ||
	       !strcmp(name, "system.posix_acl_default");
}

/* The answer to a request for a value or a list: its length, or its bytes. */
static void reply(fuse_req_t req, ssize_t len, const char *data, size_t size)
{
	if (len < 0)
		fuse_reply_err(req, (int)-len);
	else if (!size)
		fuse_reply_xattr(req, (size_t)len);
	else if ((size_t)len > size)
		fuse_reply_err(req, ERANGE);
	else
		fuse_reply_buf(req, data, (size_t)len);
}

void op_getxattr(fuse_req_t req, fuse_ino_t node, const char *name, size_t size)
{
	const struct server *srv = op_server(req);
	char *data = size ? thread_buf(size) : NULL;
	struct eng_ino id;
	ssize_t len = node_inode(srv, node, -ENODATA, &id);

	if (!srv->acl && is_acl(name))
		len = -EOPNOTSUPP;
	else if (!len)
		len = size && !data ? -ENOMEM : eng_getxattr(srv->fs, id, name, data, size);
	reply(req, len, data, size);
}

/* Takes out the names that this caller does not see. Returns the length of what is left. */
static size_t filter(const struct server *srv, char *list, size_t len, bool privileged)
{
	size_t from = 0, to = 0;

	while (from < len) {
		size_t name_len = strnlen(list + from, len - from - 1) + 1;
		const char *name = list + from;

		if ((srv->acl || !is_acl(name)) && (privileged || strncmp(name, "trusted.", 8))) {
			memmove(list + to, name, name_len);
			to += name_len;
		}
		from += name_len;
	}
	return to;
}

void op_listxattr(fuse_req_t req, fuse_ino_t node, size_t size)
{
	const struct server *srv = op_server(req);
	struct eng_ino id;
	char *list = NULL;
	ssize_t len = node_inode(srv, node, 0, &id);

	if (!len && !(id.ino == ENG_STUB_INO))
		len = eng_listxattr(srv->fs, id, NULL, 0);
	/* More than the kernel takes; and an image does not decide how much memory we take. */
	if (len > XATTR_LIST_MAX)
		len = -E2BIG;
	if (len > 0) {
		list = thread_buf((size_t)len);
		len = list ? eng_listxattr(srv->fs, id, list, (size_t)len) : -ENOMEM;
	}
	if (len > 0)
		len = (ssize_t)filter(srv, list, (size_t)len, !fuse_req_ctx(req)->uid);
	reply(req, len, list, size);
}
