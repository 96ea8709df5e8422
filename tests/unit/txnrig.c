// SPDX-License-Identifier: GPL-2.0-or-later
/* A filesystem in transactions, on a simulated disk: see txnrig.h. */
#include "tests/unit/txnrig.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define VALUE_MAX 1500

/* The detector of lock inversions takes a frame's lock for one lock, whatever block the frame holds. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
	return "detect_deadlocks=0";
}

static char dir[] = "/tmp/ubtrfs-txn-XXXXXX";

/* ---- images ---- */

const struct kind rig_kinds[RIG_KINDS] = {
	{ "dup", "-m dup -d single -n 16k", 128 << 20 },
	{ "node4", "-m single -d single -n 4k", 128 << 20 },
	{ "bgt", "-m dup -O block-group-tree,free-space-tree -n 4k", 128 << 20 },
	{ "mixed", "-M -n 4k -s 4k", 64 << 20 },
	{ "v1", "-m single -O ^free-space-tree", 128 << 20 },
	{ "tiny", "-M -n 4k -s 4k", 16 << 20 },
	{ "fat", "-m dup -O ^skinny-metadata -n 4k", 128 << 20 },
};

static void image_path(char buf[200], const char *name)
{
	snprintf(buf, 200, "%s/%s.img", dir, name);
}

static void run(const char *fmt, ...)
{
	char cmd[600];
	va_list ap;
	int ret;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	ret = system(cmd);
	if (ret) {
		fprintf(stderr, "%s: %d\n", cmd, ret);
		abort();
	}
}

int rig_setup(void **state)
{
	if (!mkdtemp(dir))
		return -1;
	for (unsigned i = 0; i < RIG_KINDS; i++) {
		char path[200];

		image_path(path, rig_kinds[i].name);
		run("truncate -s %" PRIu64 " %s && mkfs.btrfs -q -f %s %s", rig_kinds[i].bytes, path,
		    rig_kinds[i].mkfs, path);
	}
	return 0;
}

int rig_teardown(void **state)
{
	run("rm -r %s", dir);
	return 0;
}

/* ---- a filesystem on a simulated disk ---- */

static void say(void *arg, enum eng_msg_level level, const char *text)
{
	struct rig *r = arg;

	if (level == ENG_MSG_ERR && !r->said[0])
		snprintf(r->said, sizeof(r->said), "%s", text);
	if (level <= ENG_MSG_WARN && !r->quiet)
		fprintf(stderr, "%s\n", text);
}

int rig_open(struct rig *r, const struct txn_opts *topts)
{
	struct lab_disk disk = blk_lab(ordercheck_blk(r->oc, 0));
	const struct eng_open_opts opts = {
		.share = ENG_SHARE_LOOK,
		.metadata_cache = 8 << 20,
		.readahead = 1 << 20,
		.threads = 10,
		.workers = 0,
		.no_uring = true,
		.message = say,
		.message_arg = r,
	};
	int err = lab_open_disks(&disk, 1, &opts, &r->efs);

	if (err)
		return err;
	/* The handle begins with it. */
	r->fs = (struct fs *)r->efs;
	if (topts)
		err = txn_open(r->fs, topts);
	if (err) {
		eng_close(r->efs);
		r->efs = NULL;
	}
	return err;
}

const struct txn_opts rig_steps = { .threads = 2, .no_threads = true, .assert_overruns = true };
const struct txn_opts rig_threads = { .threads = 9, .commit_sec = 1, .assert_overruns = true };

int rig_close(struct rig *r)
{
	int err = r->fs ? txn_close(r->fs) : 0;

	eng_close(r->efs);
	r->efs = NULL;
	r->fs = NULL;
	return err;
}

struct rig *rig_create(const char *name)
{
	struct rig *r = calloc(1, sizeof(*r));
	char path[200];

	r->kind = rig_kinds;
	while (strcmp(r->kind->name, name))
		r->kind++;
	image_path(path, name);
	r->disk = simdisk_create(1, &r->kind->bytes);
	assert_int_equal(simdisk_load(r->disk, 0, path), 0);
	r->oc = ordercheck_create(1, simdisk_blk(r->disk, 0));
	return r;
}

void rig_free(struct rig *r)
{
	ordercheck_destroy(r->oc);
	simdisk_destroy(r->disk);
	free(r);
}

int rig_check_disk(struct simdisk *d)
{
	char cmd[900], path[200];

	snprintf(path, sizeof(path), "%s/judged-%d.img", dir, (int)getpid());
	if (simdisk_export(d, 0, path))
		abort();
	snprintf(cmd, sizeof(cmd),
		 "btrfs check --check-data-csum %s >%s.log 2>&1 || { cat %s.log >&2; false; }",
		 path, path, path);
	return system(cmd);
}

/* ---- attributes ---- */

static uint32_t make_item(uint8_t *buf, struct btrfs_key *key, uint64_t n, uint32_t size)
{
	struct btrfs_dir_item *item = (void *)buf;
	char name[40];
	int len = snprintf(name, sizeof(name), "user.%" PRIu64, n);

	memset(buf, 0, sizeof(*item));
	item->data_len = le16_make((uint16_t)size);
	item->name_len = le16_make((uint16_t)len);
	item->type = BTRFS_FT_XATTR;
	memcpy(item + 1, name, (size_t)len);
	for (uint32_t i = 0; i < size; i++)
		buf[sizeof(*item) + (uint32_t)len + i] = (uint8_t)(n * 7 + i);
	*key = (struct btrfs_key){ BTRFS_FIRST_FREE_OBJECTID, BTRFS_XATTR_ITEM_KEY,
				   btrfs_name_hash(name, (size_t)len) };
	return (uint32_t)(sizeof(*item) + (uint32_t)len + size);
}

const struct root *rig_top(struct fs *fs)
{
	const struct root *root;

	return root_get(fs, BTRFS_FS_TREE_OBJECTID, &root) ? NULL : root;
}

static uint32_t size_of(uint64_t n)
{
	return (uint32_t)(n * 131 % VALUE_MAX);
}

int attr_add(struct fs *fs, uint64_t n)
{
	uint8_t buf[VALUE_MAX + 100];
	struct txn_handle *h;
	struct btrfs_key key;
	uint32_t size = make_item(buf, &key, n, size_of(n));
	int err = txn_begin(fs, 1, &h), end;

	if (err)
		return err;
	err = bt_insert(&h->st.bt, root_tree(rig_top(fs)), &key, buf, size);
	if (!err)
		root_touch(h, rig_top(fs));
	end = txn_end(h);
	return err ? err : end;
}

int attr_drop(struct fs *fs, uint64_t n)
{
	uint8_t buf[VALUE_MAX + 100];
	struct txn_handle *h;
	struct btrfs_key key;
	int err, end;

	make_item(buf, &key, n, size_of(n));
	err = txn_begin_flush(fs, 1, SPACE_FLUSH_ALL_STEAL, &h);
	if (err)
		return err;
	err = bt_delete(&h->st.bt, root_tree(rig_top(fs)), &key);
	end = txn_end(h);
	return err ? err : end;
}

int attr_has(struct eng_fs *efs, uint64_t n)
{
	struct eng_ino ino = { BTRFS_FS_TREE_OBJECTID, BTRFS_FIRST_FREE_OBJECTID };
	uint8_t buf[VALUE_MAX + 100], value[VALUE_MAX + 1];
	struct btrfs_key key;
	char name[40];
	ssize_t len;

	make_item(buf, &key, n, size_of(n));
	snprintf(name, sizeof(name), "user.%" PRIu64, n);
	len = eng_getxattr(efs, ino, name, value, sizeof(value));
	if (len == -ENODATA)
		return 0;
	if (len != size_of(n) ||
	    memcmp(value, buf + sizeof(struct btrfs_dir_item) + strlen(name), (size_t)len))
		return -1;
	return 1;
}
