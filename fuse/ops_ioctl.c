// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The ioctls that make sense on a read-only btrfs and that FUSE carries: those of a fixed size,
 * which is in the command's number. One table; the kernel has checked the sizes against the number.
 *
 * What shows names that permissions may hide is for root and for who mounted.
 */
#include "fuse/ops_priv.h"

#include "fuse/ioctl.h"
#include "ondisk/format.h"

#include <errno.h>
#include <linux/btrfs.h>
#include <linux/fs.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

/* Newer headers name it; the kernel's number for DEV_INFO's fsid is its place in the unused bytes.
 */
#define SUBVOL_ROOT_INO 256
#define DEV_INFO_FSID_OFFSET offsetof(struct btrfs_ioctl_dev_info_args, unused)

struct call {
	struct server *srv;
	struct eng_ino id;
	const struct eng_attr *attr;
	bool privileged; /* root, or who mounted */
	void *data;	 /* in and out, of the command's size */
};

/*
 * The property outweighs the flags on disk, as when Linux loads an inode: a subvolume that inherits
 * it at its creation gets the xattr alone. A value that Linux does not know changes nothing.
 */
static uint64_t with_compression_property(struct call *c, uint64_t flags)
{
	const uint64_t both = BTRFS_INODE_COMPRESS | BTRFS_INODE_NOCOMPRESS;
	char v[16] = "";
	ssize_t len = eng_getxattr(c->srv->fs, c->id, "btrfs.compression", v, sizeof(v) - 1);

	if (len < 0)
		return flags;
	if (!len)
		return flags & ~both;
	if (!strncmp(v, "no", 2))
		return (flags & ~both) | BTRFS_INODE_NOCOMPRESS;
	if (!strncmp(v, "lzo", 3) || !strncmp(v, "zlib", 4) || !strncmp(v, "zstd", 4))
		return (flags & ~both) | BTRFS_INODE_COMPRESS;
	return flags;
}

static int do_getflags(struct call *c)
{
	static const struct {
		uint64_t inode;
		unsigned fs;
	} map[] = {
		{ BTRFS_INODE_SYNC, FS_SYNC_FL },	{ BTRFS_INODE_IMMUTABLE, FS_IMMUTABLE_FL },
		{ BTRFS_INODE_APPEND, FS_APPEND_FL },	{ BTRFS_INODE_NODUMP, FS_NODUMP_FL },
		{ BTRFS_INODE_NOATIME, FS_NOATIME_FL }, { BTRFS_INODE_DIRSYNC, FS_DIRSYNC_FL },
		{ BTRFS_INODE_NODATACOW, FS_NOCOW_FL },
	};
	const uint64_t inode = with_compression_property(c, c->attr->flags);
	unsigned flags = 0;

	for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++)
		if (inode & map[i].inode)
			flags |= map[i].fs;
	if (inode & BTRFS_INODE_NOCOMPRESS)
		flags |= FS_NOCOMP_FL;
	else if (inode & BTRFS_INODE_COMPRESS)
		flags |= FS_COMPR_FL;
	if (c->attr->ro_flags & BTRFS_INODE_RO_VERITY)
		flags |= FS_VERITY_FL;
	memcpy(c->data, &flags, sizeof(flags));
	return 0;
}

static int do_fsgetxattr(struct call *c)
{
	static const struct {
		uint64_t inode;
		unsigned xflag;
	} map[] = {
		{ BTRFS_INODE_SYNC, FS_XFLAG_SYNC },
		{ BTRFS_INODE_IMMUTABLE, FS_XFLAG_IMMUTABLE },
		{ BTRFS_INODE_APPEND, FS_XFLAG_APPEND },
		{ BTRFS_INODE_NODUMP, FS_XFLAG_NODUMP },
		{ BTRFS_INODE_NOATIME, FS_XFLAG_NOATIME },
	};
	struct fsxattr fsx = { 0 };

	for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++)
		if (c->attr->flags & map[i].inode)
			fsx.fsx_xflags |= map[i].xflag;
	memcpy(c->data, &fsx, sizeof(fsx));
	return 0;
}

static int do_getversion(struct call *c)
{
	int version = (int)c->attr->generation;

	memcpy(c->data, &version, sizeof(version));
	return 0;
}

static int do_getlabel(struct call *c)
{
	struct eng_fs_info info;

	eng_fs_info(c->srv->fs, &info);
	memset(c->data, 0, FSLABEL_MAX);
	memcpy(c->data, info.label, strnlen(info.label, FSLABEL_MAX - 1));
	return 0;
}

static int do_fs_info(struct call *c)
{
	struct btrfs_ioctl_fs_info_args *args = c->data;
	uint64_t wanted = args->flags;
	struct eng_fs_info info;

	eng_fs_info(c->srv->fs, &info);
	*args = (struct btrfs_ioctl_fs_info_args){
		.max_id = info.max_devid,
		.num_devices = info.num_devices,
		.nodesize = info.nodesize,
		.sectorsize = info.sectorsize,
		.clone_alignment = info.sectorsize,
	};
	memcpy(args->fsid, info.fsid, sizeof(args->fsid));
	if (wanted & BTRFS_FS_INFO_FLAG_CSUM_INFO) {
		args->csum_type = info.csum_type;
		args->csum_size = info.csum_size;
		args->flags |= BTRFS_FS_INFO_FLAG_CSUM_INFO;
	}
	if (wanted & BTRFS_FS_INFO_FLAG_GENERATION) {
		args->generation = info.generation;
		args->flags |= BTRFS_FS_INFO_FLAG_GENERATION;
	}
	if (wanted & BTRFS_FS_INFO_FLAG_METADATA_UUID) {
		memcpy(args->metadata_uuid, info.metadata_uuid, sizeof(args->metadata_uuid));
		args->flags |= BTRFS_FS_INFO_FLAG_METADATA_UUID;
	}
	return 0;
}

/* By uuid if one is given, else by devid. */
static int do_dev_info(struct call *c)
{
	static const uint8_t no_uuid[16];
	struct btrfs_ioctl_dev_info_args *args = c->data;
	bool by_uuid = memcmp(args->uuid, no_uuid, sizeof(no_uuid)) != 0;
	struct eng_dev_info dev;

	for (unsigned i = 0; eng_dev_info(c->srv->fs, i, &dev); i++) {
		if (by_uuid ? memcmp(dev.uuid, args->uuid, sizeof(dev.uuid)) != 0
			    : dev.devid != args->devid)
			continue;
		memset(args, 0, sizeof(*args));
		args->devid = dev.devid;
		args->bytes_used = dev.bytes_used;
		args->total_bytes = dev.total_bytes;
		memcpy(args->uuid, dev.uuid, sizeof(args->uuid));
		memcpy((char *)args + DEV_INFO_FSID_OFFSET, dev.fsid, sizeof(dev.fsid));
		if (dev.path)
			memcpy(args->path, dev.path, strnlen(dev.path, sizeof(args->path) - 1));
		return 0;
	}
	return -ENODEV;
}

/* Field by field: a struct that is assigned carries padding, in which something of ours could leave. */
static void put_time(struct btrfs_ioctl_timespec *to, struct timespec ts)
{
	to->sec = (uint64_t)ts.tv_sec;
	to->nsec = (uint32_t)ts.tv_nsec;
}

static int do_subvol_info(struct call *c)
{
	struct btrfs_ioctl_get_subvol_info_args *args = c->data;
	struct eng_subvol_info info;
	int err = eng_subvol_info(c->srv->fs, c->id.subvol, &info);

	if (err)
		return err;
	memset(args, 0, sizeof(*args));
	args->treeid = info.id;
	args->parent_id = info.parent_id;
	args->dirid = info.dirid;
	args->generation = info.generation;
	args->flags = info.flags;
	args->ctransid = info.ctransid;
	args->otransid = info.otransid;
	args->stransid = info.stransid;
	args->rtransid = info.rtransid;
	put_time(&args->ctime, info.ctime);
	put_time(&args->otime, info.otime);
	put_time(&args->stime, info.stime);
	put_time(&args->rtime, info.rtime);
	memcpy(args->name, info.name, strnlen(info.name, sizeof(args->name) - 1));
	memcpy(args->uuid, info.uuid, sizeof(args->uuid));
	memcpy(args->parent_uuid, info.parent_uuid, sizeof(args->parent_uuid));
	memcpy(args->received_uuid, info.received_uuid, sizeof(args->received_uuid));
	return 0;
}

static int do_subvol_flags(struct call *c)
{
	struct eng_subvol_info info;
	uint64_t flags;
	int err = c->id.ino == SUBVOL_ROOT_INO ? 0 : -EINVAL;

	if (!err)
		err = eng_subvol_info(c->srv->fs, c->id.subvol, &info);
	if (err)
		return err;
	/* The ioctl has its own numbers. */
	flags = info.flags & BTRFS_ROOT_SUBVOL_RDONLY ? BTRFS_SUBVOL_RDONLY : 0;
	memcpy(c->data, &flags, sizeof(flags));
	return 0;
}

static int do_features(struct call *c)
{
	struct btrfs_ioctl_feature_flags *args = c->data;
	struct eng_fs_info info;

	eng_fs_info(c->srv->fs, &info);
	*args = (struct btrfs_ioctl_feature_flags){ info.compat, info.compat_ro, info.incompat };
	return 0;
}

static int do_tree_search(struct call *c)
{
	return c->privileged ? ioctl_tree_search(c->srv, c->id, c->data) : -EPERM;
}

static int do_ino_lookup(struct call *c)
{
	return ioctl_ino_lookup(c->srv, c->id, c->privileged, c->data);
}

static int do_info(struct call *c)
{
	struct ubtrfs_ioc_info info = {
		.magic = UBTRFS_INFO_MAGIC,
		.version = UBTRFS_INFO_VERSION,
		.server_pid = (uint32_t)getpid(),
		.supervisor_pid = c->srv->supervisor_pid,
		.sandboxed = c->srv->sandboxed,
		.subvol = c->srv->root.subvol,
		.kept_nodeids = nodeids_kept(c->srv->ids),
	};

	memcpy(c->data, &info, sizeof(info));
	return 0;
}

static const struct ioctl_row {
	unsigned cmd;
	size_t in, out; /* bytes that must be there */
	int (*fn)(struct call *c);
} table[] = {
	/* The kernel asks for flags itself, with an int whatever the number says. */
	{ FS_IOC_GETFLAGS, 0, sizeof(int), do_getflags },
	{ FS_IOC_FSGETXATTR, 0, sizeof(struct fsxattr), do_fsgetxattr },
	{ FS_IOC_GETVERSION, 0, sizeof(int), do_getversion },
	{ FS_IOC_GETFSLABEL, 0, FSLABEL_MAX, do_getlabel },
	{ BTRFS_IOC_FS_INFO, 0, sizeof(struct btrfs_ioctl_fs_info_args), do_fs_info },
	{ BTRFS_IOC_DEV_INFO, sizeof(struct btrfs_ioctl_dev_info_args),
	  sizeof(struct btrfs_ioctl_dev_info_args), do_dev_info },
	{ BTRFS_IOC_GET_SUBVOL_INFO, 0, sizeof(struct btrfs_ioctl_get_subvol_info_args),
	  do_subvol_info },
	{ BTRFS_IOC_SUBVOL_GETFLAGS, 0, sizeof(uint64_t), do_subvol_flags },
	{ BTRFS_IOC_GET_FEATURES, 0, sizeof(struct btrfs_ioctl_feature_flags), do_features },
	{ BTRFS_IOC_TREE_SEARCH, sizeof(struct btrfs_ioctl_search_args),
	  sizeof(struct btrfs_ioctl_search_args), do_tree_search },
	{ BTRFS_IOC_INO_LOOKUP, sizeof(struct btrfs_ioctl_ino_lookup_args),
	  sizeof(struct btrfs_ioctl_ino_lookup_args), do_ino_lookup },
	{ UBTRFS_IOC_INFO, 0, sizeof(struct ubtrfs_ioc_info), do_info },
};

void op_ioctl(fuse_req_t req, fuse_ino_t node, unsigned cmd, void *arg, struct fuse_file_info *fi,
	      unsigned flags, const void *in, size_t in_size, size_t out_size)
{
	struct server *srv = op_server(req);
	uid_t uid = fuse_req_ctx(req)->uid;
	struct call c = { .srv = srv, .privileged = !uid || uid == srv->owner };
	const struct ioctl_row *row = NULL;
	uint64_t data[4096 / sizeof(uint64_t)] = { 0 };
	struct eng_attr attr;
	int err;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]) && !row; i++)
		if (table[i].cmd == cmd)
			row = &table[i];
	if (!row) {
		fuse_reply_err(req, ENOTTY);
		return;
	}
	if (in_size < row->in || out_size < row->out || in_size > sizeof(data) ||
	    out_size > sizeof(data)) {
		fuse_reply_err(req, EINVAL);
		return;
	}
	err = node_attr(srv, node, &attr);
	c.id = attr.id;
	c.attr = &attr;
	c.data = data;
	if (in_size)
		memcpy(data, in, in_size);
	if (!err)
		err = row->fn(&c);
	if (err)
		fuse_reply_err(req, -err);
	else
		fuse_reply_ioctl(req, 0, data, row->out);
}
