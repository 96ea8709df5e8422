// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The reading that tests/bench times: one process that prints how long its loop took, so that neither
 * start-up nor a shell counts.
 *
 * benchio seq FILE                  reads the file from start to end in 1 MiB requests
 * benchio rand FILE THREADS COUNT   COUNT reads of 4 KiB at random blocks, split over the threads
 * benchio walk DIR                  names and attributes of everything below DIR
 * benchio files DIR                 the contents of every file below DIR
 *
 * Prints "SECONDS AMOUNT": amount is bytes for seq and files, reads for rand, entries for walk.
 */
#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BLOCK 4096
#define REQUEST (1 << 20)
#define MAX_THREADS 64

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static int open_or_die(int dir, const char *name, int flags)
{
	int fd = openat(dir, name, flags | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		err(1, "%s", name);
	return fd;
}

static uint64_t read_all(int fd, const char *name, void *buf)
{
	uint64_t total = 0;
	ssize_t got;

	while ((got = read(fd, buf, REQUEST)) > 0)
		total += (uint64_t)got;
	if (got < 0)
		err(1, "%s", name);
	return total;
}

static uint64_t do_seq(const char *path)
{
	void *buf = aligned_alloc(BLOCK, REQUEST);
	int fd = open_or_die(AT_FDCWD, path, O_RDONLY);
	uint64_t total = read_all(fd, path, buf);

	close(fd);
	free(buf);
	return total;
}

struct reader {
	pthread_t thread;
	int fd;
	uint64_t blocks, count, seed;
};

/* splitmix64: the same reads in every run. */
static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += 0x9E3779B97F4A7C15ull;

	z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ull;
	z = (z ^ z >> 27) * 0x94D049BB133111EBull;
	return z ^ z >> 31;
}

static void *read_random(void *arg)
{
	struct reader *r = arg;
	char buf[BLOCK];

	for (uint64_t i = 0; i < r->count; i++) {
		off_t at = (off_t)(next_random(&r->seed) % r->blocks * BLOCK);

		if (pread(r->fd, buf, BLOCK, at) != BLOCK)
			err(1, "random read");
	}
	return NULL;
}

static uint64_t do_rand(const char *path, unsigned threads, uint64_t count)
{
	struct reader r[MAX_THREADS];
	struct stat st;
	int fd = open_or_die(AT_FDCWD, path, O_RDONLY);

	if (fstat(fd, &st) || st.st_size < BLOCK)
		errx(1, "%s: too small", path);
	/* Without this both sides would read ahead of reads that nobody makes. */
	posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
	for (unsigned i = 0; i < threads; i++) {
		r[i] = (struct reader){ .fd = fd,
					.blocks = (uint64_t)st.st_size / BLOCK,
					.count = count / threads,
					.seed = i + 1 };
		if (pthread_create(&r[i].thread, NULL, read_random, &r[i]))
			errx(1, "no thread");
	}
	for (unsigned i = 0; i < threads; i++)
		pthread_join(r[i].thread, NULL);
	close(fd);
	return count / threads * threads;
}

/* Entries below the directory, or with `buf` the bytes of its files. Takes the descriptor. */
static uint64_t walk(int fd, void *buf)
{
	DIR *dir = fdopendir(fd);
	struct dirent *ent;
	uint64_t total = 0;
	struct stat st;

	if (!dir)
		err(1, "directory");
	while ((ent = readdir(dir))) {
		if (!strcmp(ent->d_name, ".") || !strcmp(ent->d_name, ".."))
			continue;
		if (fstatat(fd, ent->d_name, &st, AT_SYMLINK_NOFOLLOW))
			err(1, "%s", ent->d_name);
		total += !buf;
		if (S_ISDIR(st.st_mode)) {
			total += walk(open_or_die(fd, ent->d_name, O_RDONLY | O_DIRECTORY), buf);
		} else if (buf && S_ISREG(st.st_mode)) {
			int file = open_or_die(fd, ent->d_name, O_RDONLY);

			total += read_all(file, ent->d_name, buf);
			close(file);
		}
	}
	closedir(dir);
	return total;
}

int main(int argc, char **argv)
{
	double start = now();
	uint64_t amount;
	void *buf = NULL;
	int threads = argc == 5 ? atoi(argv[3]) : 0;

	if (argc == 3 && !strcmp(argv[1], "seq"))
		amount = do_seq(argv[2]);
	else if (argc == 5 && !strcmp(argv[1], "rand") && threads > 0 && threads <= MAX_THREADS)
		amount = do_rand(argv[2], (unsigned)threads, strtoull(argv[4], NULL, 10));
	else if (argc == 3 && !strcmp(argv[1], "walk"))
		amount = walk(open_or_die(AT_FDCWD, argv[2], O_RDONLY | O_DIRECTORY), NULL);
	else if (argc == 3 && !strcmp(argv[1], "files") && (buf = malloc(REQUEST)))
		amount = walk(open_or_die(AT_FDCWD, argv[2], O_RDONLY | O_DIRECTORY), buf);
	else
		errx(2, "usage: benchio seq FILE | rand FILE THREADS COUNT | walk DIR | files DIR");
	printf("%.6f %llu\n", now() - start, (unsigned long long)amount);
	free(buf);
	return 0;
}
