// SPDX-License-Identifier: GPL-2.0-or-later
/* TREE_SEARCH and INO_LOOKUP, with the answers that programs know from the kernel's btrfs. */
#include "fuse/ops_priv.h"

#include <errno.h>
#include <linux/btrfs.h>
#include <string.h>

#define FIRST_FREE_OBJECTID 256

struct search {
	struct btrfs_ioctl_search_args *args;
	uint32_t wanted, found;
	size_t used; /* of args->buf */
};

#define ENOUGH 1

/* An item that alone is too large is told of by a header with no length, as programs of version 1
 * expect. */
static int search_item(void *arg, uint64_t transid, uint64_t objectid, uint8_t type,
		       uint64_t offset, const void *item, uint32_t len)
{
	struct search *s = arg;
	struct btrfs_ioctl_search_header h = {
		.transid = transid,
		.objectid = objectid,
		.offset = offset,
		.type = type,
		.len = len,
	};
	size_t room = sizeof(s->args->buf) - s->used;

	if (sizeof(h) + len > room) {
		if (s->found)
			return ENOUGH;
		h.len = 0;
	}
	memcpy(s->args->buf + s->used, &h, sizeof(h));
	s->used += sizeof(h);
	memcpy(s->args->buf + s->used, item, h.len);
	s->used += h.len;
	s->found++;
	return s->found == s->wanted || h.len != len ? ENOUGH : 0;
}

int ioctl_tree_search(struct server *srv, struct eng_ino id, struct btrfs_ioctl_search_args *args)
{
	struct btrfs_ioctl_search_key *k = &args->key;
	struct search s = { .args = args, .wanted = k->nr_items };
	struct eng_search range = {
		.tree_id = k->tree_id ? k->tree_id : id.subvol,
		.min_objectid = k->min_objectid,
		.max_objectid = k->max_objectid,
		.min_offset = k->min_offset,
		.max_offset = k->max_offset,
		.min_transid = k->min_transid,
		.max_transid = k->max_transid,
		.min_type = (uint8_t)(k->min_type > 255 ? 255 : k->min_type),
		.max_type = (uint8_t)(k->max_type > 255 ? 255 : k->max_type),
	};
	int ret;

	memset(args->buf, 0, sizeof(args->buf));
	k->nr_items = 0;
	if (!s.wanted)
		return 0;
	ret = eng_tree_search(srv->fs, &range, search_item, &s);
	k->nr_items = s.found;
	return ret < 0 ? ret : 0;
}

int ioctl_ino_lookup(struct server *srv, struct eng_ino id, bool privileged,
		     struct btrfs_ioctl_ino_lookup_args *args)
{
	bool own_tree = !args->treeid;
	struct eng_ino from;

	if (own_tree)
		args->treeid = id.subvol;
	memset(args->name, 0, sizeof(args->name));
	/* Which subvolume a file is of, anybody may know. */
	if (args->objectid == FIRST_FREE_OBJECTID && (own_tree || privileged))
		return 0;
	if (!privileged)
		return -EPERM;
	from = (struct eng_ino){ args->treeid, args->objectid };
	return eng_ino_path(srv->fs, from, args->name, sizeof(args->name));
}
