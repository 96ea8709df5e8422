// SPDX-License-Identifier: GPL-2.0-or-later
/* Which superblock counts, which devices belong together, the chunk map, and what is refused. */
#include "engine/volume/vol_priv.h"
#include "tests/unit/volopen.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define RAID1 BTRFS_BLOCK_GROUP_RAID1
#define META BTRFS_BLOCK_GROUP_METADATA
#define DATA BTRFS_BLOCK_GROUP_DATA
#define LOGICAL (16ull << 20)

static struct counters counters;
static const struct vol_opts plain = { .super_copy = -1 };
static const struct vol_opts degraded = { .super_copy = -1, .degraded = true };
static const struct vol_opts partial = { .super_copy = -1, .partial = true };

static struct msg *msg;
static char errors[2000], warnings[4000];

static void keep_msg(void *arg, enum msg_level level, const char *text)
{
	char *to = level == MSG_ERR ? errors : warnings;
	size_t size = level == MSG_ERR ? sizeof(errors) : sizeof(warnings), used = strlen(to);

	if (level <= MSG_WARN)
		snprintf(to + used, size - used, "%s\n", text);
}

static void forget_messages(void)
{
	errors[0] = warnings[0] = 0;
}

static unsigned lines(const char *s)
{
	unsigned n = 0;

	for (; *s; s++)
		n += *s == '\n';
	return n;
}

static struct vb *make(unsigned nr_devs, uint64_t type)
{
	struct vb *vb = vb_create(nr_devs, 0xaa);

	forget_messages();
	for (unsigned i = 0; i < nr_devs; i++)
		vb_write_super(vb, i, 0, NULL);
	vb_add_chunk(vb, type, LOGICAL, 2);
	return vb;
}

static int try_open(struct vb *vb, const struct vol_opts *opts)
{
	struct vol *v;
	int ret = open_volume(vb, opts, msg, &counters, &v);

	vol_close(v);
	return ret;
}

/* Grows a device so that it has room for its second superblock copy. */
static void grow_for_mirror(struct vb *vb, unsigned dev)
{
	struct vb_dev *d = &vb->devs[dev];

	d->bytes = btrfs_sb_offset(1) + 65536;
	d->mem = realloc(d->mem, d->bytes);
	assert_non_null(d->mem);
	memset(d->mem + VB_DEV_BYTES, 0, d->bytes - VB_DEV_BYTES);
	vb_write_super(vb, dev, 0, NULL);
}

static void test_not_btrfs(void **state)
{
	struct vb *vb = vb_create(1, 1);
	struct btrfs_super_block sb;

	forget_messages();
	assert_int_equal(try_open(vb, &plain), -EINVAL);
	assert_int_equal(lines(errors), 1);
	assert_non_null(strstr(errors, "memory0: not btrfs"));
	/* No room for a superblock. */
	vb->devs[0].bytes = 68000;
	assert_int_equal(try_open(vb, &plain), -EINVAL);
	vb->devs[0].bytes = VB_DEV_BYTES;
	/* A bad checksum, which can be told not to matter. */
	forget_messages();
	vb_write_super(vb, 0, 0, NULL);
	vb->devs[0].mem[65536 + 1000] ^= 1;
	assert_int_equal(try_open(vb, &plain), -EUCLEAN);
	assert_int_equal(lines(errors), 1);
	assert_non_null(strstr(errors, "checksum"));
	struct vol_opts lax = { .super_copy = -1, .ignore_csum = true };
	assert_int_equal(try_open(vb, &lax), 0);
	/* Sealed, but senseless. */
	vb_make_super(vb, 0, &sb);
	sb.nodesize = le32_make(12345);
	vb_write_super(vb, 0, 0, &sb);
	assert_int_equal(try_open(vb, &plain), -EUCLEAN);
	/* Unreadable. */
	vb_spoil(vb, 0, VB_PATCHY);
	vb->devs[0].bad[16] = 1;
	assert_int_equal(try_open(vb, &plain), -EIO);
	assert_int_equal(vol_open(NULL, 0, &plain, BDEV_EXCLUSIVE, BDEV_IO_AUTO, msg, &counters,
				  &(struct vol *){ NULL }),
			 -EINVAL);
	vb_destroy(vb);
}

static uint64_t generation_of(struct vb *vb, const struct vol_opts *opts)
{
	struct vol *v;
	uint64_t gen;

	forget_messages();
	assert_int_equal(open_volume(vb, opts, msg, &counters, &v), 0);
	gen = le64_get(vol_super(v)->generation);
	vol_close(v);
	return gen;
}

static void test_mirrors(void **state)
{
	struct vb *vb = make(1, DATA);
	struct vol_opts second = { .super_copy = 1 };
	struct btrfs_super_block sb;

	grow_for_mirror(vb, 0);
	/* No mirror: used all the same, and said. */
	assert_int_equal(generation_of(vb, &plain), VB_GENERATION);
	assert_non_null(strstr(warnings, "copy 1 is bad"));
	vb_write_super(vb, 0, 1, NULL);
	assert_int_equal(generation_of(vb, &plain), VB_GENERATION);
	assert_string_equal(warnings, "");

	/* The first one wins, as in Linux, and the difference is said. */
	vb_make_super(vb, 0, &sb);
	sb.generation = le64_make(VB_GENERATION + 1);
	vb_write_super(vb, 0, 1, &sb);
	assert_int_equal(generation_of(vb, &plain), VB_GENERATION);
	assert_non_null(strstr(warnings, "generation"));
	sb.generation = le64_make(VB_GENERATION - 1);
	vb_write_super(vb, 0, 1, &sb);
	assert_int_equal(generation_of(vb, &plain), VB_GENERATION);
	assert_non_null(strstr(warnings, "generation"));
	assert_int_equal(generation_of(vb, &second), VB_GENERATION - 1);

	/* The same generation, but not the same. */
	vb_make_super(vb, 0, &sb);
	sb.bytes_used = le64_make(7 << 20);
	vb_write_super(vb, 0, 1, &sb);
	assert_int_equal(generation_of(vb, &plain), VB_GENERATION);
	assert_non_null(strstr(warnings, "differ"));

	/* What an older filesystem left there must not win. */
	memset(sb.fsid, 0x11, 16);
	memset(sb.dev_item.fsid, 0x11, 16);
	sb.generation = le64_make(VB_GENERATION + 100);
	vb_write_super(vb, 0, 1, &sb);
	assert_int_equal(generation_of(vb, &plain), VB_GENERATION);
	assert_non_null(strstr(warnings, "another filesystem"));

	/* The first one gone. */
	vb_write_super(vb, 0, 1, NULL);
	memset(vb->devs[0].mem + 65536, 0, 4096);
	assert_int_equal(generation_of(vb, &plain), VB_GENERATION);
	assert_non_null(strstr(warnings, "copy 0 is bad"));
	vb_destroy(vb);
}

static void test_missing(void **state)
{
	struct vb *vb = make(2, META | RAID1);

	vb->devs[1].state = VB_MISSING;
	assert_int_equal(try_open(vb, &plain), -ENXIO);
	assert_non_null(strstr(errors, "devid 4 ("));
	assert_non_null(strstr(errors, "1 of 2 devices missing"));
	forget_messages();
	assert_int_equal(try_open(vb, &degraded), 0);
	assert_string_equal(errors, "");
	assert_non_null(strstr(warnings, "devid 4 ("));
	/* Given, but without a superblock: as good as missing. */
	vb->devs[1].state = VB_FINE;
	memset(vb->devs[1].mem + 65536, 0, 4096);
	assert_int_equal(try_open(vb, &plain), -EINVAL);
	assert_int_equal(try_open(vb, &degraded), 0);
	assert_int_equal(try_open(vb, &partial), 0);
	vb_destroy(vb);
}

/* More missing than a profile bears: metadata is refused, data is a warning. */
static void test_too_many_missing(void **state)
{
	struct vb *vb = make(2, META | BTRFS_BLOCK_GROUP_RAID0);

	vb->devs[1].state = VB_MISSING;
	assert_int_equal(try_open(vb, &degraded), -ENXIO);
	assert_non_null(strstr(errors, "chunk 16777216 (RAID0"));
	assert_int_equal(try_open(vb, &partial), 0);
	vb_destroy(vb);

	vb = make(2, DATA | BTRFS_BLOCK_GROUP_RAID0);
	vb->devs[1].state = VB_MISSING;
	assert_int_equal(try_open(vb, &degraded), 0);
	assert_non_null(strstr(warnings, "1 of 1 chunks"));
	vb_destroy(vb);

	/* raid10 bears the halves of different pairs, though only one device is promised. */
	vb = make(4, META | BTRFS_BLOCK_GROUP_RAID10);
	vb->devs[0].state = vb->devs[3].state = VB_MISSING;
	assert_int_equal(try_open(vb, &degraded), 0);
	vb->devs[3].state = VB_FINE;
	vb->devs[1].state = VB_MISSING;
	assert_int_equal(try_open(vb, &degraded), -ENXIO);
	vb_destroy(vb);

	vb = make(4, META | BTRFS_BLOCK_GROUP_RAID6);
	vb->devs[0].state = vb->devs[3].state = VB_MISSING;
	assert_int_equal(try_open(vb, &degraded), 0);
	vb->devs[1].state = VB_MISSING;
	assert_int_equal(try_open(vb, &degraded), -ENXIO);
	vb_destroy(vb);
}

static void test_truncated(void **state)
{
	struct vb *vb = make(1, DATA);

	vb->devs[0].bytes -= 4096; /* the superblock on it says more */
	assert_int_equal(try_open(vb, &plain), -EINVAL);
	assert_int_equal(lines(errors), 1);
	assert_non_null(strstr(errors, "truncated"));
	assert_int_equal(try_open(vb, &degraded), 0);
	assert_non_null(strstr(warnings, "truncated"));
	vb_destroy(vb);
}

/* Opens devices of two volumes together. */
static int open_both(struct vb *a, struct vb *b, const struct vol_opts *opts, struct vol **out_vol)
{
	struct bdev *devs[2] = { vb_bdev(a, 0, msg, &counters), vb_bdev(b, 0, msg, &counters) };

	forget_messages();
	return vol_open(devs, 2, opts, BDEV_EXCLUSIVE, BDEV_IO_AUTO, msg, &counters, out_vol);
}

static void test_strangers(void **state)
{
	struct vb *a = make(1, DATA), *b = vb_create(1, 0xbb);
	struct vol *v;

	vb_write_super(b, 0, 0, NULL);
	assert_int_equal(open_both(a, b, &plain, &v), -EINVAL);
	assert_null(v);
	assert_int_equal(lines(errors), 1);
	assert_non_null(strstr(errors, "different filesystems"));
	vb_destroy(a);
	vb_destroy(b);
}

/* The same device twice: a copy, or one that was set aside and is older. */
static void test_duplicates(void **state)
{
	struct vb *a = make(1, DATA), *b = make(1, DATA);
	struct vol_device_info info;
	struct vol *v;

	for (int newer = 0; newer < 2; newer++) {
		b->devs[0].generation = VB_GENERATION + (unsigned)newer;
		vb_write_super(b, 0, 0, NULL);
		vb_spoil(newer ? a : b, 0, VB_GARBAGE);
		assert_int_equal(open_both(a, b, &plain, &v), 0);
		assert_non_null(strstr(warnings, "both devid 1"));
		assert_int_equal(feed(a, v), 0);
		assert_int_equal(le64_get(vol_super(v)->generation),
				 VB_GENERATION + (unsigned)newer);
		assert_true(vol_device_get(v, 0, &info));
		assert_false(vol_device_get(v, 1, &info));
		vol_close(v);
		vb_destroy(b);
		b = make(1, DATA);
	}
	vb_destroy(a);
	vb_destroy(b);
}

/* Another device with the number of one of ours, e.g. one that was replaced. */
static void test_replaced(void **state)
{
	struct vb *a = make(1, DATA), *b = make(1, DATA);
	struct vol_device_info info;
	struct vol *v;

	b->devs[0].uuid[5] ^= 1;
	vb_write_super(b, 0, 0, NULL);
	assert_int_equal(open_both(a, b, &plain, &v), 0);
	assert_int_equal(feed(a, v), 0);
	assert_non_null(strstr(warnings, "memory0) is not a device of this filesystem"));
	assert_true(vol_device_get(v, 1, &info));
	vol_close(v);
	vb_destroy(a);
	vb_destroy(b);
}

/* A filesystem on device b that grew out of the seed a and still has chunks on it. */
static void test_seed(void **state)
{
	struct vb *a = make(1, DATA), *b = vb_create(1, 0xbb);
	struct btrfs_super_block sb;
	struct btrfs_dev_item item;
	struct vol_device_info info;
	uint8_t buf[8192], item_buf[512];

	b->devs[0].devid = 2;
	vb_make_super(a, 0, &sb);
	sb.flags = le64_make(BTRFS_HEADER_FLAG_WRITTEN | BTRFS_SUPER_FLAG_SEEDING);
	sb.generation = le64_make(VB_GENERATION + 10);
	vb_write_super(a, 0, 0, &sb);
	vb_make_super(b, 0, &sb);
	sb.num_devices = le64_make(2);
	vb_write_super(b, 0, 0, &sb);
	vb_add_chunk(b, DATA, LOGICAL * 2, 2);

	for (int with_seed = 0; with_seed < 2; with_seed++) {
		struct bdev *devs[2] = { vb_bdev(b, 0, msg, &counters) };
		struct vol *v;
		int ret;

		forget_messages();
		if (with_seed) {
			devs[1] = devs[0];
			devs[0] = vb_bdev(a, 0, msg, &counters);
		}
		assert_int_equal(vol_open(devs, 1 + (unsigned)with_seed, &plain, BDEV_EXCLUSIVE,
					  BDEV_IO_AUTO, msg, &counters, &v),
				 0);
		assert_memory_equal(vol_super(v)->fsid, b->fsid, 16);
		assert_int_equal(le64_get(vol_super(v)->generation), VB_GENERATION);
		assert_int_equal(vol_chunk_add(v, LOGICAL, vb_chunk_item(a, 0, item_buf)), 0);
		assert_int_equal(vol_chunk_add(v, LOGICAL * 2, vb_chunk_item(b, 0, item_buf)), 0);
		vb_make_dev_item(a, 0, &item);
		assert_int_equal(vol_device_add(v, &item), 0);
		vb_make_dev_item(b, 0, &item);
		assert_int_equal(vol_device_add(v, &item), 0);
		ret = vol_finish(v);
		assert_int_equal(ret, with_seed ? 0 : -ENXIO);
		assert_true(vol_device_get(v, 0, &info));
		assert_true(info.seed && info.devid == 1 && info.missing == !with_seed);
		assert_true(vol_device_get(v, 1, &info));
		assert_true(!info.seed && info.devid == 2 && !info.missing);
		if (with_seed) {
			assert_int_equal(
				vol_read(v, LOGICAL, buf, 8192, 4096, vb_verify, NULL, NULL), 0);
			assert_int_equal(
				vol_read(v, LOGICAL * 2, buf, 8192, 4096, vb_verify, NULL, NULL),
				0);
			assert_string_equal(warnings, "");
		}
		vol_close(v);
	}
	/* The seed by itself is a filesystem, too. */
	forget_messages();
	assert_int_equal(try_open(a, &plain), 0);
	vb_destroy(a);
	vb_destroy(b);
}

static void test_metadata_uuid(void **state)
{
	struct vb *vb = make(1, DATA);
	struct btrfs_super_block sb;
	struct vol_device_info info;
	struct vol *v;

	/* Block headers and device items keep the old id; the superblock's fsid is new. */
	vb_make_super(vb, 0, &sb);
	sb.incompat_flags = le64_make(BTRFS_FEATURE_INCOMPAT_METADATA_UUID);
	memcpy(sb.metadata_uuid, sb.fsid, 16);
	memset(sb.fsid, 0xcc, 16);
	vb_write_super(vb, 0, 0, &sb);
	assert_int_equal(open_volume(vb, &plain, msg, &counters, &v), 0);
	assert_int_equal(vol_geometry(v)->fsid[3], 0xaa);
	assert_true(vol_device_get(v, 0, &info));
	assert_false(info.seed);
	assert_string_equal(warnings, "");
	vol_close(v);
	vb_destroy(vb);
}

static void test_chunk_map(void **state)
{
	struct vb *vb = make(2, DATA | RAID1);
	struct btrfs_chunk *c;
	struct vol_chunk_info info;
	uint8_t buf[512];
	struct vol *v;

	assert_int_equal(open_volume(vb, &plain, msg, &counters, &v), 0);
	c = (struct btrfs_chunk *)buf;
	vb_chunk_item(vb, 0, buf);
	assert_int_equal(vol_chunk_add(v, LOGICAL, c), 0); /* again */
	assert_false(vol_chunk_get(v, 1, &info));
	/* Around it. */
	assert_int_equal(vol_chunk_add(v, LOGICAL - le64_get(c->length), c), 0);
	assert_int_equal(vol_chunk_add(v, LOGICAL + le64_get(c->length), c), 0);
	for (unsigned i = 0; i < 3; i++) {
		assert_true(vol_chunk_get(v, i, &info));
		assert_int_equal(info.logical, LOGICAL + (i - 1ull) * le64_get(c->length));
	}
	assert_true(vol_chunk_find(v, LOGICAL + 5, &info));
	assert_int_equal(info.logical, LOGICAL);
	assert_int_equal(info.type, DATA | RAID1);
	assert_int_equal(info.num_stripes, 2);
	assert_false(vol_chunk_find(v, 0, &info));
	/* Up to the very end of the address space, but not past it. */
	assert_int_equal(vol_chunk_add(v, 0 - le64_get(c->length), c), 0);
	assert_true(vol_chunk_find(v, UINT64_MAX, &info));
	assert_int_equal(vol_chunk_add(v, 4096 - le64_get(c->length), c), -EUCLEAN);

	/* What must be refused. */
	assert_int_equal(vol_chunk_add(v, LOGICAL + 4096, c), -EUCLEAN);
	assert_int_equal(vol_chunk_add(v, LOGICAL - 4096, c), -EUCLEAN);
	c->stripe.offset = le64_make(123);
	assert_int_equal(vol_chunk_add(v, LOGICAL, c), -EUCLEAN);
	assert_non_null(strstr(errors, "is not the same as"));
	c->type = le64_make(DATA | RAID1 | BTRFS_BLOCK_GROUP_RAID0);
	assert_int_equal(vol_chunk_add(v, 0, c), -EUCLEAN);
	c->type = le64_make(DATA | BTRFS_BLOCK_GROUP_RAID1C3);
	assert_int_equal(vol_chunk_add(v, 0, c), -EUCLEAN);
	c->type = le64_make(DATA | BTRFS_BLOCK_GROUP_RAID10);
	c->sub_stripes = le16_make(0);
	assert_int_equal(vol_chunk_add(v, 0, c), -EUCLEAN);
	c->type = le64_make(DATA | BTRFS_BLOCK_GROUP_RAID6);
	assert_int_equal(vol_chunk_add(v, 0, c), -EUCLEAN);
	vb_chunk_item(vb, 0, buf);
	c->length = le64_make(0);
	assert_int_equal(vol_chunk_add(v, 0, c), -EUCLEAN);
	/* A chunk without stripes maps nothing. */
	vb_chunk_item(vb, 0, buf);
	c->num_stripes = le16_make(0);
	assert_int_equal(vol_chunk_add(v, 0, c), 0);
	assert_int_equal(vol_copies(v, 0), -ENXIO);
	assert_int_equal(vol_read(v, 0, buf, 512, 512, NULL, NULL, NULL), -ENXIO);
	vol_close(v);
	vb_destroy(vb);
}

static void test_device_items(void **state)
{
	struct vb *vb = make(2, DATA | RAID1);
	struct btrfs_dev_item item;
	struct vol *v;

	assert_int_equal(open_devices(vb, &plain, msg, &counters, &v), 0);
	assert_int_equal(vol_finish(v), -EUCLEAN); /* no items at all */
	vb_make_dev_item(vb, 0, &item);
	assert_int_equal(vol_device_add(v, &item), 0);
	forget_messages();
	assert_int_equal(vol_finish(v), 0);
	assert_non_null(strstr(warnings, "counts 2 devices, the chunk tree lists 1"));
	assert_int_equal(vol_device_add(v, &item), -EUCLEAN); /* twice */
	item.uuid[0] ^= 1;
	assert_int_equal(vol_device_add(v, &item), -EUCLEAN); /* the number twice */
	vol_close(v);
	vb_destroy(vb);

	/* A hostile chunk tree names devices without end. */
	vb = make(1, DATA);
	assert_int_equal(open_devices(vb, &plain, msg, &counters, &v), 0);
	vb_make_dev_item(vb, 0, &item);
	for (unsigned i = 1; i < VOL_MAX_DEVICES; i++) {
		item.devid = le64_make(1 + i * 7919 % 5000);
		item.uuid[1] = (uint8_t)i;
		item.uuid[2] = (uint8_t)(i >> 8);
		assert_int_equal(vol_device_add(v, &item), 0);
	}
	item.devid = le64_make(9999);
	assert_int_equal(vol_device_add(v, &item), -EUCLEAN);
	vol_close(v);
	vb_destroy(vb);

	/* And seeds, for each of which all block devices would be opened. */
	struct vol_opts scanning = plain;

	scanning.scan = true;
	vb = make(1, DATA);
	assert_int_equal(open_devices(vb, &scanning, msg, &counters, &v), 0);
	vb_make_dev_item(vb, 0, &item);
	for (unsigned i = 1; i < 4 * VOL_MAX_SEED_SCANS; i++) {
		item.devid = le64_make(100 + i);
		item.fsid[0] = (uint8_t)i;
		assert_int_equal(vol_device_add(v, &item), 0);
	}
	assert_int_equal(v->seed_scans, VOL_MAX_SEED_SCANS);
	vol_close(v);
	vb_destroy(vb);
}

static void test_super_changed(void **state)
{
	struct vb *vb = make(1, DATA);
	uint64_t gen;
	struct vol *v;

	assert_int_equal(open_volume(vb, &plain, msg, &counters, &v), 0);
	assert_int_equal(vol_super_changed(v, &gen), 0);
	assert_int_equal(gen, VB_GENERATION);
	vb->devs[0].generation++;
	vb_write_super(vb, 0, 0, NULL);
	assert_int_equal(vol_super_changed(v, &gen), 1);
	assert_int_equal(gen, VB_GENERATION + 1);
	memset(vb->devs[0].mem + 65536, 0, 4096);
	assert_int_equal(vol_super_changed(v, &gen), 1);
	vb_spoil(vb, 0, VB_PATCHY);
	vb->devs[0].bad[16] = 1;
	assert_int_equal(vol_super_changed(v, &gen), -EIO);
	vol_close(v);
	vb_destroy(vb);
}

/* A device that is found by its fsid is looked at before it is taken. */
static void test_scan(void **state)
{
	char path[] = "/var/tmp/ubtrfs-test-volopen-XXXXXX";
	struct vb *vb = make(2, META | RAID1);
	int fd = mkstemp(path);
	struct vol *v;

	assert_true(fd >= 0);
	vb->devs[1].state = VB_MISSING;
	assert_int_equal(write(fd, vb->devs[1].mem, VB_DEV_BYTES), VB_DEV_BYTES);
	assert_int_equal(open_devices(vb, &plain, msg, &counters, &v), 0);
	/* Not there, not btrfs, of another filesystem: passed over in silence. */
	assert_int_equal(vol_scan_path(v, "/nonexistent", vb->fsid, false), 0);
	assert_int_equal(vol_scan_path(v, "/proc/self/exe", vb->fsid, false), 0);
	assert_int_equal(vol_scan_path(v, path, vb->devs[0].uuid, false), 0);
	assert_int_equal(vol_scan(v, vb->fsid, false), 0);
	assert_string_equal(warnings, "");
	assert_string_equal(errors, "");
	assert_int_equal(vol_scan_path(v, path, vb->fsid, false), 0);
	assert_int_equal(vol_scan_path(v, path, vb->fsid, false), 0); /* once is enough */
	assert_int_equal(feed(vb, v), 0);
	assert_string_equal(warnings, "");
	vol_close(v);
	close(fd);
	unlink(path);
	vb_destroy(vb);
}

static int setup(void **state)
{
	return msg_create(keep_msg, NULL, &msg);
}

static int teardown(void **state)
{
	msg_destroy(msg);
	bdev_rings_destroy();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_not_btrfs),     cmocka_unit_test(test_mirrors),
		cmocka_unit_test(test_missing),	      cmocka_unit_test(test_too_many_missing),
		cmocka_unit_test(test_truncated),     cmocka_unit_test(test_strangers),
		cmocka_unit_test(test_duplicates),    cmocka_unit_test(test_replaced),
		cmocka_unit_test(test_seed),	      cmocka_unit_test(test_metadata_uuid),
		cmocka_unit_test(test_chunk_map),     cmocka_unit_test(test_device_items),
		cmocka_unit_test(test_super_changed), cmocka_unit_test(test_scan),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
