/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of the model share; see model.h. */
#ifndef UBTRFS_TESTS_LIB_MODEL_PRIV_H
#define UBTRFS_TESTS_LIB_MODEL_PRIV_H

#include "tests/lib/model.h"

/* What an operation is to answer. */
struct want {
	const struct model_inode *attr; /* NULL: no attributes */
	const void *data;
	size_t len;
	bool zeros;	  /* up to `len` the data is data_len bytes, then zeros */
	struct res *text; /* where data is put together */
};

struct model_inode *model_new_inode(struct model *m, uint32_t mode);
/* Frees it when nothing refers to it any more. */
void model_release(struct model *m, struct model_inode *i);
/* Frees it, whatever refers to it. */
void model_free_inode(struct model *m, struct model_inode *i);
/* `path` ends in the name's token. */
void model_add_name(struct model *m, struct model_inode *dir, const char *path, const char *name,
		    uint32_t len, struct model_inode *i);
void model_remove_name(struct model *m, struct model_inode *dir, struct model_name *n);
struct model_xattr *model_find_xattr(const struct model_inode *i, const char *name);
void model_set_xattr(struct model_inode *i, const char *name, const void *value, uint32_t len);
void model_remove_xattr(struct model_inode *i, struct model_xattr *x);
bool model_dead(const struct model_inode *dir);

/* Lookups, as Linux does them. 0 or -errno. */
int model_lookup(struct model *m, const char *path, struct model_inode **out_inode);
/* Up to the last component, of which there must be one; `name` has OP_NAME_ROOM bytes. */
int model_parent(struct model *m, const char *path, struct model_inode **out_dir, char *name,
		 uint32_t *out_len);
int model_child(struct model_inode *dir, const char *name, uint32_t len,
		struct model_inode **out_inode);

/* Operations, in a table by kind. `hint`: the errno that was answered. */
typedef int model_op(struct model *m, const struct op *op, int hint, const struct op_time *began,
		     struct want *want);
model_op model_op_new, model_op_link, model_op_unlink, model_op_rmdir, model_op_rename;
model_op model_op_chmod, model_op_chown, model_op_utimes, model_op_chattr, model_op_setxattr,
	model_op_rmxattr, model_op_setprop, model_op_rmprop, model_op_write, model_op_truncate;
model_op model_op_sync, model_op_stat, model_op_readdir, model_op_read, model_op_readlink,
	model_op_getxattr, model_op_listxattr, model_op_hold, model_op_drop,
	model_op_reopen;

static inline void model_since(struct model_time *t, const struct op_time *began)
{
	*t = (struct model_time){ TIME_SINCE, *began };
}

#endif
