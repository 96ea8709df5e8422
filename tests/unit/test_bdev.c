// SPDX-License-Identifier: GPL-2.0-or-later
/* Devices: both ways of reading give the file's bytes, and who may share a file. */
#include "engine/io/bdev.h"
#include "engine/util/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/io_uring.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define FILE_BYTES (3u * 1048576 + 4096 + 700) /* ends off every alignment */

static struct msg *msg;
static struct counters counters;
static char last_msg[1024];
static char path[64];
static uint8_t *contents;

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
	uint32_t seed = 1;
	int fd;

	if (msg_create(keep_msg, NULL, &msg))
		return -1;
	contents = malloc(FILE_BYTES);
	for (unsigned i = 0; i < FILE_BYTES; i++)
		contents[i] = (uint8_t)rnd(&seed);
	snprintf(path, sizeof(path), "/var/tmp/ubtrfs-test-bdev-XXXXXX");
	fd = mkstemp(path);
	if (fd < 0 || write(fd, contents, FILE_BYTES) != FILE_BYTES)
		return -1;
	close(fd);
	return 0;
}

static int teardown(void **state)
{
	unlink(path);
	free(contents);
	bdev_rings_destroy();
	msg_destroy(msg);
	return 0;
}

static void skip_as(const char *why)
{
	print_message("skipped: %s\n", why);
	skip();
}

static bool have_uring(void)
{
	struct bdev *dev;
	int ret = bdev_open(path, 0, BDEV_SHARED, BDEV_IO_URING, msg, &counters, &dev);

	if (!ret)
		bdev_close(dev);
	return !ret;
}

static void check_bytes(const struct bdev_xfer *x, uint64_t base)
{
	assert_int_equal(x->res, 0);
	assert_memory_equal(x->buf, contents + base + x->off, x->len);
}

#define NR 200
/* Batches of random transfers, aligned and not, small and larger than a piece, reaped or waited
 * for. */
static void random_batches(struct bdev **devs, const uint64_t *bases, unsigned nr_devs,
			   uint32_t seed, unsigned rounds)
{
	struct bdev_xfer *x = calloc(NR, sizeof(*x));
	bool seen[NR];

	while (rounds--) {
		unsigned nr = 1 + rnd(&seed) % NR, got = 0;
		bool waits = rnd(&seed) & 1;
		struct bdev_batch b;

		bdev_batch_begin(&b);
		memset(seen, 0, sizeof(seen));
		for (unsigned i = 0; i < nr; i++) {
			unsigned d = rnd(&seed) % nr_devs;
			uint64_t bytes = bdev_bytes(devs[d]);
			uint32_t max = i == 0 ? (uint32_t)bytes : 40000;

			x[i].dev = devs[d];
			x[i].off = rnd(&seed) % bytes;
			x[i].len = rnd(&seed) % max;
			if (rnd(&seed) & 1) {
				x[i].off &= ~4095ull;
				x[i].len &= ~4095u;
			}
			if (x[i].len > bytes - x[i].off)
				x[i].len = (uint32_t)(bytes - x[i].off);
			x[i].buf = NULL;
			assert_int_equal(posix_memalign(&x[i].buf, 4096, x[i].len + 16), 0);
			memset(x[i].buf, 0x5a, x[i].len + 16);
			x[i].user = (void *)(uintptr_t)(d * NR + i);
			bdev_batch_add(&b, &x[i]);
			if (rnd(&seed) % 50 == 0)
				bdev_batch_submit(&b);
		}
		if (waits) {
			assert_int_equal(bdev_batch_wait(&b), 0);
		} else {
			for (struct bdev_xfer *y; (y = bdev_batch_reap(&b)); got++) {
				unsigned i = (unsigned)(y - x);

				assert_in_range(i, 0, nr - 1);
				assert_false(seen[i]);
				seen[i] = true;
			}
			assert_int_equal(got, nr);
		}
		assert_null(b.ring);
		for (unsigned i = 0; i < nr; i++) {
			check_bytes(&x[i], bases[(uintptr_t)x[i].user / NR]);
			assert_int_equal(((uint8_t *)x[i].buf)[x[i].len], 0x5a);
			free(x[i].buf);
		}
	}
	free(x);
}

static void batches(enum bdev_io_mode mode)
{
	uint64_t bases[] = {0, 512 * 1024, 1000, 0};
	struct bdev *devs[4];

	for (int i = 0; i < 3; i++)
		assert_int_equal(
			bdev_open(path, bases[i], BDEV_SHARED, mode, msg, &counters, &devs[i]), 0);
	assert_int_equal(bdev_open_memory("memory", contents, FILE_BYTES, msg, &counters, &devs[3]),
			 0);
	assert_int_equal(bdev_bytes(devs[1]), FILE_BYTES - 512 * 1024);
	assert_int_equal(bdev_uses_uring(devs[0]), mode == BDEV_IO_URING);
	assert_false(bdev_uses_uring(devs[3]));
	random_batches(devs, bases, 4, 7, 40);
	for (int i = 0; i < 4; i++)
		bdev_close(devs[i]);
}

static void test_batches_uring(void **state)
{
	if (!have_uring())
		skip_as("io_uring is forbidden here");
	batches(BDEV_IO_URING);
}

static void test_batches_pread(void **state)
{
	batches(BDEV_IO_PREAD);
}

static void test_bounds(void **state)
{
	uint8_t buf[4096];
	struct bdev *dev;
	struct bdev_batch b;
	struct bdev_xfer x[3] = {0};

	assert_int_equal(
		bdev_open(path, FILE_BYTES + 1, BDEV_SHARED, BDEV_IO_AUTO, msg, &counters, &dev),
		-EINVAL);
	assert_null(dev);
	assert_int_equal(bdev_open("/dev/null", 0, BDEV_SHARED, BDEV_IO_AUTO, msg, &counters, &dev),
			 -EINVAL);
	assert_int_equal(
		bdev_open("/nonexistent", 0, BDEV_SHARED, BDEV_IO_AUTO, msg, &counters, &dev),
		-ENOENT);
	assert_int_equal(bdev_open(path, 0, BDEV_SHARED, BDEV_IO_AUTO, msg, &counters, &dev), 0);
	assert_int_equal(bdev_read(dev, FILE_BYTES - 10, buf, 11), -EIO);
	assert_non_null(strstr(last_msg, "past the end"));
	assert_int_equal(bdev_read(dev, UINT64_MAX - 5, buf, 4096), -EIO);
	assert_int_equal(bdev_read(dev, FILE_BYTES - 10, buf, 10), 0);
	assert_memory_equal(buf, contents + FILE_BYTES - 10, 10);
	assert_int_equal(bdev_read(dev, FILE_BYTES, buf, 0), 0);

	/* A bad one among good ones. */
	bdev_batch_begin(&b);
	for (int i = 0; i < 3; i++) {
		x[i] = (struct bdev_xfer){.dev = dev, .buf = buf, .len = 1000};
		x[i].off = i == 1 ? FILE_BYTES - 999 : 0;
		bdev_batch_add(&b, &x[i]);
	}
	assert_int_equal(bdev_batch_wait(&b), -EIO);
	assert_int_equal(x[0].res, 0);
	assert_int_equal(x[1].res, -EIO);
	assert_int_equal(x[2].res, 0);
	bdev_close(dev);
}

/* The file shrinks under us: an error, not zeros and not a hang. */
static void test_shrunk(void **state)
{
	enum bdev_io_mode modes[] = {BDEV_IO_PREAD, BDEV_IO_AUTO};
	char name[64] = "/var/tmp/ubtrfs-test-bdev-XXXXXX";
	int fd = mkstemp(name);
	uint8_t *buf = NULL;

	assert_true(fd >= 0);
	assert_int_equal(posix_memalign((void **)&buf, 4096, 1 << 20), 0);
	for (int i = 0; i < 2; i++) {
		struct bdev *dev;
		struct bdev_batch b;
		struct bdev_xfer x[2];

		assert_int_equal(ftruncate(fd, 1 << 20), 0);
		assert_int_equal(bdev_open(name, 0, BDEV_SHARED, modes[i], msg, &counters, &dev),
				 0);
		assert_int_equal(ftruncate(fd, 300 * 1024), 0);
		x[0] = (struct bdev_xfer){.dev = dev, .buf = buf, .len = 1 << 19};
		x[1] = (struct bdev_xfer){
			.dev = dev, .off = 1 << 19, .buf = buf + (1 << 19), .len = 1 << 19};
		bdev_batch_begin(&b);
		bdev_batch_add(&b, &x[0]);
		bdev_batch_add(&b, &x[1]);
		assert_int_equal(bdev_batch_wait(&b), -EIO);
		assert_int_equal(x[0].res, -EIO);
		assert_int_equal(x[1].res, -EIO);
		bdev_close(dev);
	}
	free(buf);
	close(fd);
	unlink(name);
}

static void test_fault_and_counters(void **state)
{
	struct bdev *dev;
	struct bdev_batch b;
	struct bdev_xfer x[5];
	uint8_t buf[5][512];
	unsigned failed = 0;

	assert_int_equal(bdev_open(path, 0, BDEV_SHARED, BDEV_IO_AUTO, msg, &counters, &dev), 0);
	memset(&counters, 0, sizeof(counters));
	fault_arm(FAULT_READ, 3);
	bdev_batch_begin(&b);
	for (unsigned i = 0; i < 5; i++) {
		x[i] = (struct bdev_xfer){.dev = dev, .off = i * 512, .buf = buf[i], .len = 512};
		bdev_batch_add(&b, &x[i]);
	}
	assert_int_equal(bdev_batch_wait(&b), -EIO);
	for (unsigned i = 0; i < 5; i++)
		failed += x[i].res == -EIO;
	assert_int_equal(failed, 1);
	assert_int_equal(fault_count(FAULT_READ), 5);
	assert_int_equal(counter_get(&counters, io_read_ops), 5);
	assert_int_equal(counter_get(&counters, io_errors), 1);
	assert_int_equal(counter_get(&counters, io_read_bytes), 4 * 512);
	fault_arm(FAULT_READ, 1);
	assert_int_equal(bdev_read(dev, 0, buf[0], 512), -EIO);
	assert_int_equal(bdev_read(dev, 0, buf[0], 512), 0);
	fault_arm(FAULT_READ, 0);
	bdev_close(dev);
}

/* Every allocation of opening fails once; nothing leaks, nothing stays locked. */
static void test_alloc_faults(void **state)
{
	struct bdev *dev;
	uint64_t n = 1;
	int ret;

	bdev_rings_destroy();
	do {
		fault_arm(FAULT_ALLOC, n++);
		ret = bdev_open(path, 0, BDEV_EXCLUSIVE, BDEV_IO_AUTO, msg, &counters, &dev);
		if (ret)
			assert_int_equal(ret, -ENOMEM);
		else
			bdev_close(dev);
	} while (n < 6);
	fault_arm(FAULT_ALLOC, 0);
	assert_int_equal(ret, 0);
}

struct failing {
	uint64_t bad;
	unsigned closed;
};

static int failing_read(void *priv, uint64_t off, void *buf, uint32_t len)
{
	struct failing *f = priv;

	if (off <= f->bad && f->bad < off + len)
		return -ENXIO;
	memcpy(buf, contents + off, len);
	return 0;
}

static void failing_close(void *priv)
{
	((struct failing *)priv)->closed++;
}

static void test_ops(void **state)
{
	static const struct bdev_ops ops = {failing_read, failing_close};
	struct failing f = {.bad = 5000};
	struct bdev *dev;
	uint8_t buf[4096];

	assert_int_equal(bdev_open_ops("sim", 8192, &ops, &f, msg, &counters, &dev), 0);
	assert_string_equal(bdev_name(dev), "sim");
	assert_int_equal(bdev_read(dev, 0, buf, 4096), 0);
	assert_memory_equal(buf, contents, 4096);
	assert_int_equal(bdev_read(dev, 4096, buf, 4096), -ENXIO);
	assert_int_equal(bdev_read(dev, 8192, buf, 1), -EIO);
	bdev_close(dev);
	assert_int_equal(f.closed, 1);
}

struct worker {
	pthread_t thread;
	struct bdev **devs;
	const uint64_t *bases;
	uint32_t seed;
};

static void *work(void *arg)
{
	struct worker *w = arg;

	random_batches(w->devs, w->bases, 2, w->seed, 6);
	return NULL;
}

/* More batches at once than one ring serves, on shared devices; also what TSan looks at. */
static void test_threads(void **state)
{
	uint64_t bases[] = {0, 0};
	struct bdev *devs[2];
	struct worker w[8];

	assert_int_equal(bdev_open(path, 0, BDEV_SHARED, BDEV_IO_AUTO, msg, &counters, &devs[0]),
			 0);
	assert_int_equal(bdev_open_memory("memory", contents, FILE_BYTES, msg, &counters, &devs[1]),
			 0);
	for (unsigned i = 0; i < 8; i++) {
		w[i] = (struct worker){.devs = devs, .bases = bases, .seed = i};
		assert_int_equal(pthread_create(&w[i].thread, NULL, work, &w[i]), 0);
	}
	for (unsigned i = 0; i < 8; i++)
		pthread_join(w[i].thread, NULL);
	bdev_close(devs[0]);
	bdev_close(devs[1]);
}

/* A thread with more open batches than the pool has rings goes on with pread. */
static void test_pool_exhausted(void **state)
{
	enum { BATCHES = 40 };
	static struct bdev_batch b[BATCHES];
	static struct bdev_xfer x[BATCHES][2];
	static uint8_t buf[BATCHES][2][512];
	struct bdev *dev;

	assert_int_equal(bdev_open(path, 0, BDEV_SHARED, BDEV_IO_AUTO, msg, &counters, &dev), 0);
	for (unsigned i = 0; i < BATCHES; i++) {
		bdev_batch_begin(&b[i]);
		for (unsigned k = 0; k < 2; k++) {
			x[i][k] = (struct bdev_xfer){
				.dev = dev, .off = 1000 * i + k, .buf = buf[i][k], .len = 512};
			bdev_batch_add(&b[i], &x[i][k]);
		}
		bdev_batch_submit(&b[i]);
	}
	for (unsigned i = 0; i < BATCHES; i++) {
		assert_int_equal(bdev_batch_wait(&b[i]), 0);
		check_bytes(&x[i][0], 0);
		check_bytes(&x[i][1], 0);
	}
	bdev_close(dev);
}

static void forbid(int nr)
{
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {.len = 4, .filter = f};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, 2, &prog))
		_exit(77);
}

/* In a child: 0 if the file reads right with io_uring forbidden before or after it is opened. */
static int read_forbidden(bool late)
{
	struct bdev_xfer x[100];
	struct bdev_batch b;
	struct bdev *dev;
	static uint8_t buf[100][300];

	if (!late) {
		bdev_rings_destroy();
		forbid(SYS_io_uring_setup);
		if (bdev_open(path, 0, BDEV_SHARED, BDEV_IO_URING, msg, &counters, &dev) != -EPERM)
			return 1;
	}
	if (bdev_open(path, 0, BDEV_SHARED, BDEV_IO_AUTO, msg, &counters, &dev))
		return 2;
	if (!late && bdev_uses_uring(dev))
		return 3;
	if (late)
		forbid(SYS_io_uring_enter);
	for (int round = 0; round < 2; round++) {
		bdev_batch_begin(&b);
		for (unsigned i = 0; i < 100; i++) {
			x[i] = (struct bdev_xfer){
				.dev = dev, .off = 300 * i, .buf = buf[i], .len = 300};
			bdev_batch_add(&b, &x[i]);
		}
		if (bdev_batch_wait(&b))
			return 4;
		if (memcmp(buf, contents, sizeof(buf)))
			return 5;
		memset(buf, 0, sizeof(buf));
	}
	bdev_close(dev);
	return 0;
}

/* True if the ring takes no registrations: it was restricted. -1: no ring among the open files. */
static int ring_is_restricted(void)
{
	char link[64], target[64];
	struct io_uring_probe probe = {0};

	for (int fd = 3; fd < 64; fd++) {
		ssize_t n;

		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		n = readlink(link, target, sizeof(target) - 1);
		if (n < 0)
			continue;
		target[n] = '\0';
		if (strstr(target, "io_uring"))
			return syscall(SYS_io_uring_register, fd, IORING_REGISTER_PROBE, &probe, 0) &&
			       errno == EACCES;
	}
	return -1;
}

/* In a child: 0 if reserved rings outlive the ban on making some, and further batches read without. */
static int read_reserved(void)
{
	enum { RINGS = 3 };
	struct bdev_xfer x[RINGS + 1];
	struct bdev_batch b[RINGS + 1];
	struct bdev *dev;
	static uint8_t buf[RINGS + 1][300];

	bdev_rings_destroy();
	if (bdev_open(path, 0, BDEV_SHARED, BDEV_IO_URING, msg, &counters, &dev))
		return 77;
	bdev_rings_reserve(RINGS);
	if (ring_is_restricted() != 1)
		return 1;
	forbid(SYS_io_uring_setup);
	for (int round = 0; round < 2; round++) {
		for (unsigned i = 0; i <= RINGS; i++) {
			x[i] = (struct bdev_xfer){
				.dev = dev, .off = 300 * i, .buf = buf[i], .len = 300};
			bdev_batch_begin(&b[i]);
			bdev_batch_add(&b[i], &x[i]);
			bdev_batch_submit(&b[i]);
			if ((b[i].ring != NULL) != (i < RINGS))
				return 2;
		}
		for (unsigned i = 0; i <= RINGS; i++)
			if (bdev_batch_wait(&b[i]) || memcmp(buf[i], contents + 300 * i, 300))
				return 3;
	}
	bdev_close(dev);
	return 0;
}

static void test_reserved(void **state)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(read_reserved());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip_as("no io_uring or no seccomp filters here");
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void in_child(bool late)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(read_forbidden(late));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip_as("no seccomp filters here");
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_uring_forbidden(void **state)
{
	in_child(false);
}

static void test_uring_forbidden_late(void **state)
{
	if (!have_uring())
		skip_as("io_uring is forbidden here");
	in_child(true);
}

static void test_share_flock(void **state)
{
	struct bdev *a, *b;
	int fd = open(path, O_RDWR);

	assert_true(fd >= 0);
	assert_int_equal(bdev_open(path, 0, BDEV_EXCLUSIVE, BDEV_IO_AUTO, msg, &counters, &a), 0);
	assert_int_equal(bdev_open(path, 0, BDEV_EXCLUSIVE, BDEV_IO_AUTO, msg, &counters, &b), 0);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), -1);
	bdev_close(a);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), -1);
	bdev_close(b);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	assert_int_equal(bdev_open(path, 0, BDEV_EXCLUSIVE, BDEV_IO_AUTO, msg, &counters, &a),
			 -EBUSY);
	assert_null(a);
	assert_non_null(strstr(last_msg, path));
	assert_non_null(strstr(last_msg, "process"));
	assert_int_equal(bdev_open(path, 0, BDEV_SHARED, BDEV_IO_AUTO, msg, &counters, &a), 0);
	bdev_close(a);
	close(fd);
	assert_int_equal(bdev_open(path, 0, BDEV_EXCLUSIVE, BDEV_IO_AUTO, msg, &counters, &a), 0);
	bdev_close(a);
}

/* Attaches the test's file and gives the device's name, or false. */
static bool losetup(const char *args, char *name, size_t size)
{
	char cmd[200];
	FILE *p;
	bool ok;

	snprintf(cmd, sizeof(cmd), "losetup -f --show %s %s 2>/dev/null", args, path);
	p = popen(cmd, "re");
	ok = p && fgets(name, (int)size, p);
	if (p)
		pclose(p);
	if (ok)
		name[strcspn(name, "\n")] = 0;
	return ok;
}

static void lodetach(const char *name)
{
	char cmd[200];

	snprintf(cmd, sizeof(cmd), "losetup -d %s", name);
	assert_int_equal(system(cmd), 0);
}

static void test_share_loop(void **state)
{
	uint8_t buf[4096] __attribute__((aligned(4096)));
	struct bdev *a, *b;
	char name[64];
	int ret;

	if (geteuid() != 0 || !losetup("", name, sizeof(name)))
		skip_as("no loop device to be had, which takes root");
	ret = bdev_open(path, 0, BDEV_EXCLUSIVE, BDEV_IO_AUTO, msg, &counters, &a);
	if (!ret)
		bdev_close(a);
	/* The block device itself: once. */
	if (bdev_open(name, 0, BDEV_EXCLUSIVE, BDEV_IO_AUTO, msg, &counters, &a)) {
		lodetach(name);
		fail();
	}
	int second = bdev_open(name, 0, BDEV_EXCLUSIVE, BDEV_IO_AUTO, msg, &counters, &b);
	int shared = bdev_open(name, 0, BDEV_SHARED, BDEV_IO_AUTO, msg, &counters, &b);

	if (!shared) {
		shared = bdev_read(b, 8192, buf, 4096);
		bdev_close(b);
	}
	uint64_t bytes = bdev_bytes(a);

	bdev_close(a);
	lodetach(name);
	assert_int_equal(ret, -EBUSY);
	assert_int_equal(second, -EBUSY);
	assert_int_equal(shared, 0);
	assert_memory_equal(buf, contents + 8192, 4096);
	assert_int_equal(bytes, FILE_BYTES / 512 * 512);

	/* One that can't write is a reader like us. */
	if (!losetup("-r", name, sizeof(name)))
		skip_as("no second loop device to be had");
	ret = bdev_open(path, 0, BDEV_EXCLUSIVE, BDEV_IO_AUTO, msg, &counters, &a);
	if (!ret)
		bdev_close(a);
	lodetach(name);
	assert_int_equal(ret, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_batches_uring),
		cmocka_unit_test(test_batches_pread),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_shrunk),
		cmocka_unit_test(test_fault_and_counters),
		cmocka_unit_test(test_alloc_faults),
		cmocka_unit_test(test_ops),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_pool_exhausted),
		cmocka_unit_test(test_uring_forbidden),
		cmocka_unit_test(test_uring_forbidden_late),
		cmocka_unit_test(test_reserved),
		cmocka_unit_test(test_share_flock),
		cmocka_unit_test(test_share_loop),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
