/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the operations share, and their prototypes. Each answers its request exactly once. */
#ifndef UBTRFS_FUSE_OPS_PRIV_H
#define UBTRFS_FUSE_OPS_PRIV_H

#include "fuse/server.h"

/* ops_attr.c */
struct server *op_server(fuse_req_t req);
/* Attributes as shown, with the number as st_ino. */
void attr_show(const struct server *srv, const struct eng_attr *attr, uint64_t number,
	       struct stat *out_st);
/* Attributes of a node. -ESTALE and errnos of eng_getattr. */
int node_attr(const struct server *srv, fuse_ino_t node, struct eng_attr *out_attr);
/* The inode of a node that is not a stub; of a stub `stub_errno`. */
int node_inode(const struct server *srv, fuse_ino_t node, int stub_errno, struct eng_ino *out_id);
/* An entry with everything that the kernel may keep. -ENOMEM. */
int entry_fill(const struct server *srv, const struct eng_attr *attr,
	       struct fuse_entry_param *out_entry);
/*
 * This thread's buffer of at least `size` bytes, aligned for direct I/O; valid until the next call.
 * NULL: no memory. thread_buf_free at the thread's end.
 */
void *thread_buf(size_t size);
void thread_buf_free(void);

void op_init(void *userdata, struct fuse_conn_info *conn);
void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_forget(fuse_req_t req, fuse_ino_t node, uint64_t nlookup);
void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets);
void op_getattr(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi);
void op_readlink(fuse_req_t req, fuse_ino_t node);
void op_statfs(fuse_req_t req, fuse_ino_t node);
/* ops_dir.c */
void op_opendir(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi);
void op_readdir(fuse_req_t req, fuse_ino_t node, size_t size, off_t off, struct fuse_file_info *fi);
void op_readdirplus(fuse_req_t req, fuse_ino_t node, size_t size, off_t off,
		    struct fuse_file_info *fi);
/* ops_file.c */
void op_open(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi);
void op_read(fuse_req_t req, fuse_ino_t node, size_t size, off_t off, struct fuse_file_info *fi);
void op_lseek(fuse_req_t req, fuse_ino_t node, off_t off, int whence, struct fuse_file_info *fi);
/* ops_xattr.c */
void op_getxattr(fuse_req_t req, fuse_ino_t node, const char *name, size_t size);
void op_listxattr(fuse_req_t req, fuse_ino_t node, size_t size);
/* ops_ioctl.c */
void op_ioctl(fuse_req_t req, fuse_ino_t node, unsigned cmd, void *arg, struct fuse_file_info *fi,
	      unsigned flags, const void *in, size_t in_size, size_t out_size);
/*
 * ops_search.c: TREE_SEARCH and INO_LOOKUP for an inode's subvolume; `args` are the ioctl's, in and
 * out. Errnos as of the kernel's ioctls.
 */
struct btrfs_ioctl_search_args;
struct btrfs_ioctl_ino_lookup_args;
int ioctl_tree_search(struct server *srv, struct eng_ino id, struct btrfs_ioctl_search_args *args);
int ioctl_ino_lookup(struct server *srv, struct eng_ino id, bool privileged,
		     struct btrfs_ioctl_ino_lookup_args *args);

#endif
