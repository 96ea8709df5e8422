// SPDX-License-Identifier: GPL-2.0-or-later
/* Writing to devices: both ways put the same bytes there, and a writer is alone. */
#include "engine/io/bdev.h"
#include "engine/util/fault.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define FILE_BYTES (4u << 20)
#define NR 24

static struct msg *msg;
static struct counters counters;
static char last_msg[1024];
static char path[64];

static void keep_msg(void *arg, enum msg_level level, const char *text)
{
	snprintf(last_msg, sizeof(last_msg), "%s", text);
}

static uint32_t rnd(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

static int setup(void **state)
{
	int fd;

	if (msg_create(keep_msg, NULL, &msg))
		return -1;
	snprintf(path, sizeof(path), "/var/tmp/ubtrfs-test-bdevw-XXXXXX");
	fd = mkstemp(path);
	if (fd < 0 || ftruncate(fd, FILE_BYTES))
		return -1;
	close(fd);
	return 0;
}

static int teardown(void **state)
{
	unlink(path);
	bdev_rings_destroy();
	msg_destroy(msg);
	return 0;
}

static struct bdev *open_rw(enum bdev_io_mode mode, uint64_t offset)
{
	struct bdev *dev;

	assert_int_equal(bdev_open(path, offset, BDEV_WRITABLE, mode, msg, &counters, &dev), 0);
	assert_true(bdev_writable(dev));
	return dev;
}

static void *aligned(size_t size)
{
	void *p;

	if (posix_memalign(&p, BDEV_ALIGN, size))
		abort();
	return p;
}

/* Disjoint ranges, one from each 1/NR of the file, some aligned, some longer than one piece. */
static void one_batch(struct bdev *dev, uint8_t *model, uint8_t *bufs, uint64_t base, uint32_t *seed)
{
	const uint32_t share = (FILE_BYTES - (uint32_t)base) / NR;
	struct bdev_xfer x[NR + 1] = { 0 };
	struct bdev_batch b;

	bdev_batch_begin(&b);
	for (unsigned i = 0; i < NR; i++) {
		uint32_t off = rnd(seed) % (share / 2), len = 1 + rnd(seed) % (share / 2 - 1);

		if (rnd(seed) & 1) {
			off = 0;
			len &= ~4095u;
			x[i].off = ((uint64_t)i * share + 4095) & ~4095ull;
		} else {
			x[i].off = (uint64_t)i * share + off;
		}
		x[i].dev = dev;
		x[i].op = BDEV_WRITE;
		x[i].len = len;
		x[i].buf = bufs + (size_t)i * FILE_BYTES / NR / 4096 * 4096;
		for (uint32_t k = 0; k < len; k++)
			((uint8_t *)x[i].buf)[k] = (uint8_t)rnd(seed);
		memcpy(model + base + x[i].off, x[i].buf, len);
		bdev_batch_add(&b, &x[i]);
	}
	x[NR] = (struct bdev_xfer){ .dev = dev, .op = BDEV_FLUSH };
	bdev_batch_add(&b, &x[NR]);
	assert_int_equal(bdev_batch_wait(&b), 0);
}

static void random_writes(enum bdev_io_mode mode, uint64_t base)
{
	uint8_t *model = aligned(FILE_BYTES), *bufs = aligned(FILE_BYTES), *now = aligned(FILE_BYTES);
	struct bdev *dev = open_rw(mode, base);
	uint64_t flushes = counter_get(&counters, io_flushes);
	uint32_t seed = 7;

	int fd = open(path, O_RDONLY);

	assert_int_equal(pread(fd, model, FILE_BYTES, 0), FILE_BYTES);
	for (unsigned i = 0; i < 6; i++)
		one_batch(dev, model, bufs, base, &seed);
	assert_int_equal(counter_get(&counters, io_flushes), flushes + 6);
	/* One piece after the other, in one transfer. */
	memset(bufs, 0x5a, 3u << 20);
	memset(model + base + 4096, 0x5a, 3u << 20);
	struct bdev_xfer big = { .dev = dev, .off = 4096, .buf = bufs, .len = 3u << 20, .op = BDEV_WRITE };
	struct bdev_batch b;

	bdev_batch_begin(&b);
	bdev_batch_add(&b, &big);
	assert_int_equal(bdev_batch_wait(&b), 0);
	assert_int_equal(bdev_read(dev, 0, now, FILE_BYTES - (uint32_t)base), 0);
	assert_memory_equal(now, model + base, FILE_BYTES - base);
	assert_int_equal(bdev_flush(dev), 0);
	assert_int_equal(pread(fd, now, FILE_BYTES, 0), FILE_BYTES);
	assert_memory_equal(now, model, FILE_BYTES);
	close(fd);
	bdev_close(dev);
	free(model);
	free(bufs);
	free(now);
}

static void test_random(void **state)
{
	random_writes(BDEV_IO_AUTO, 0);
	random_writes(BDEV_IO_AUTO, 12345);
	random_writes(BDEV_IO_PREAD, 0);
	random_writes(BDEV_IO_PREAD, 12345);
}

static void test_refused(void **state)
{
	uint8_t buf[512] = { 0 };
	struct bdev *dev;

	assert_int_equal(bdev_open(path, 0, BDEV_EXCLUSIVE, BDEV_IO_AUTO, msg, &counters, &dev), 0);
	assert_false(bdev_writable(dev));
	assert_int_equal(bdev_write(dev, 0, buf, 512), -EROFS);
	assert_int_equal(bdev_flush(dev), -EROFS);
	assert_int_equal(bdev_discard(dev, 0, 4096), -EROFS);
	bdev_close(dev);
	dev = open_rw(BDEV_IO_AUTO, 0);
	assert_int_equal(bdev_write(dev, FILE_BYTES - 256, buf, 512), -EIO);
	assert_non_null(strstr(last_msg, "past the end"));
	assert_non_null(strstr(last_msg, "write"));
	assert_int_equal(bdev_discard(dev, FILE_BYTES - 4096, 8192), -EIO);
	bdev_close(dev);
	assert_int_equal(bdev_open_memory("memory", buf, 512, msg, &counters, &dev), 0);
	assert_int_equal(bdev_write(dev, 0, buf, 512), -EROFS);
	bdev_close(dev);
}

static void test_faults(void **state)
{
	struct bdev *dev = open_rw(BDEV_IO_AUTO, 0);
	struct bdev_xfer x[4] = { 0 };
	struct bdev_batch b;
	uint8_t *buf = aligned(4096);
	uint64_t errors = counter_get(&counters, io_errors);

	memset(buf, 1, 4096);
	fault_arm(FAULT_WRITE, 2);
	bdev_batch_begin(&b);
	for (unsigned i = 0; i < 4; i++) {
		x[i] = (struct bdev_xfer){ dev, 4096 * i, buf, 4096, BDEV_WRITE };
		bdev_batch_add(&b, &x[i]);
	}
	assert_int_equal(bdev_batch_wait(&b), -EIO);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(x[i].res, i == 1 ? -EIO : 0);
	assert_int_equal(fault_count(FAULT_WRITE), 4);
	fault_arm(FAULT_WRITE, 0);
	fault_arm(FAULT_FLUSH, 1);
	assert_int_equal(bdev_flush(dev), -EIO);
	assert_non_null(strstr(last_msg, "flush"));
	assert_int_equal(bdev_flush(dev), 0);
	fault_arm(FAULT_FLUSH, 0);
	assert_int_equal(counter_get(&counters, io_errors), errors + 2);
	bdev_close(dev);
	free(buf);
}

/* The file can't grow past a limit that lies inside the write: an error, though part of it went. */
static void short_write(enum bdev_io_mode mode)
{
	const struct rlimit limit = { 1u << 20, RLIM_INFINITY };
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (!pid) {
		uint8_t *buf = aligned(2u << 20);
		struct bdev *dev;
		struct bdev_batch b;
		struct bdev_xfer x;

		memset(buf, 9, 2u << 20);
		signal(SIGXFSZ, SIG_IGN);
		if (bdev_open(path, 0, BDEV_WRITABLE, mode, msg, &counters, &dev) ||
		    setrlimit(RLIMIT_FSIZE, &limit))
			_exit(2);
		x = (struct bdev_xfer){ dev, 4096, buf, 2u << 20, BDEV_WRITE };
		bdev_batch_begin(&b);
		bdev_batch_add(&b, &x);
		int ret = bdev_batch_wait(&b);

		bdev_close(dev);
		bdev_rings_destroy();
		free(buf);
		_exit(ret == -EFBIG ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void test_short(void **state)
{
	short_write(BDEV_IO_AUTO);
	short_write(BDEV_IO_PREAD);
}

static void test_alone(void **state)
{
	struct bdev *dev = open_rw(BDEV_IO_AUTO, 0), *second;

	assert_int_equal(bdev_open(path, 0, BDEV_WRITABLE, BDEV_IO_AUTO, msg, &counters, &second),
			 -EBUSY);
	assert_int_equal(bdev_open(path, 0, BDEV_EXCLUSIVE, BDEV_IO_AUTO, msg, &counters, &second),
			 -EBUSY);
	assert_non_null(strstr(last_msg, "for writing"));
	assert_int_equal(bdev_open(path, 0, BDEV_SHARED, BDEV_IO_AUTO, msg, &counters, &second), 0);
	bdev_close(second);
	bdev_close(dev);
	/* And it doesn't join a reader. */
	assert_int_equal(bdev_open(path, 0, BDEV_EXCLUSIVE, BDEV_IO_AUTO, msg, &counters, &dev), 0);
	assert_int_equal(bdev_open(path, 0, BDEV_WRITABLE, BDEV_IO_AUTO, msg, &counters, &second),
			 -EBUSY);
	assert_null(second);
	bdev_close(dev);
	bdev_close(open_rw(BDEV_IO_AUTO, 0));
}

static void test_discard(void **state)
{
	struct bdev *dev = open_rw(BDEV_IO_AUTO, 0);
	uint8_t *buf = aligned(1 << 20);
	struct stat before, after;
	int ret;

	memset(buf, 3, 1 << 20);
	assert_int_equal(bdev_write(dev, 1 << 20, buf, 1 << 20), 0);
	assert_int_equal(bdev_flush(dev), 0);
	assert_int_equal(stat(path, &before), 0);
	ret = bdev_discard(dev, 1 << 20, 1 << 20);
	if (ret == -EOPNOTSUPP) {
		bdev_close(dev);
		free(buf);
		print_message("skipped: no holes in this filesystem\n");
		skip();
	}
	assert_int_equal(ret, 0);
	assert_int_equal(bdev_read(dev, 1 << 20, buf, 1 << 20), 0);
	for (unsigned i = 0; i < 1 << 20; i++)
		assert_int_equal(buf[i], 0);
	assert_int_equal(stat(path, &after), 0);
	assert_true(after.st_blocks < before.st_blocks);
	assert_int_equal(after.st_size, FILE_BYTES);
	bdev_close(dev);
	free(buf);
}

/* A writer bears no loop device on its image, not even one that only reads. */
static void test_loop(void **state)
{
	char cmd[200], name[64] = "";
	struct bdev *dev, *second;
	FILE *p;
	int image, ret = -1, twice = 0;
	uint8_t *buf = aligned(4096);

	snprintf(cmd, sizeof(cmd), "losetup -r -f --show %s 2>/dev/null", path);
	p = geteuid() == 0 ? popen(cmd, "re") : NULL;
	if (!p || !fgets(name, sizeof(name), p)) {
		if (p)
			pclose(p);
		free(buf);
		print_message("skipped: no loop device to be had, which takes root\n");
		skip();
	}
	pclose(p);
	name[strcspn(name, "\n")] = 0;
	image = bdev_open(path, 0, BDEV_WRITABLE, BDEV_IO_AUTO, msg, &counters, &dev);
	if (!image)
		bdev_close(dev);
	snprintf(cmd, sizeof(cmd), "losetup -d %s", name);
	(void)!system(cmd);
	assert_int_equal(image, -EBUSY);
	assert_non_null(strstr(last_msg, name));

	/* The block device itself, through its own ways of flushing and discarding. */
	snprintf(cmd, sizeof(cmd), "losetup -f --show %s", path);
	p = popen(cmd, "re");
	if (!p || !fgets(name, sizeof(name), p))
		fail();
	pclose(p);
	name[strcspn(name, "\n")] = 0;
	memset(buf, 0xe1, 4096);
	if (!bdev_open(name, 0, BDEV_WRITABLE, BDEV_IO_AUTO, msg, &counters, &dev)) {
		twice = bdev_open(name, 0, BDEV_WRITABLE, BDEV_IO_AUTO, msg, &counters, &second);
		ret = bdev_write(dev, 8192, buf, 4096);
		if (!ret)
			ret = bdev_flush(dev);
		if (!ret)
			ret = bdev_discard(dev, 1 << 20, 1 << 20) == -EIO;
		bdev_close(dev);
	}
	snprintf(cmd, sizeof(cmd), "losetup -d %s", name);
	(void)!system(cmd);
	assert_int_equal(ret, 0);
	assert_int_equal(twice, -EBUSY);
	int fd = open(path, O_RDONLY);

	assert_int_equal(pread(fd, buf, 4096, 8192), 4096);
	for (unsigned i = 0; i < 4096; i++)
		assert_int_equal(buf[i], 0xe1);
	close(fd);
	free(buf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),  cmocka_unit_test(test_refused),
		cmocka_unit_test(test_faults),  cmocka_unit_test(test_short),
		cmocka_unit_test(test_alone),   cmocka_unit_test(test_discard),
		cmocka_unit_test(test_loop),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
