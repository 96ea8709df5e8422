/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two writers: finding out whether somebody else may write what is being opened, and who it is.
 *
 * Everything here works without privilege. The answer holds for the moment of opening only: a loop
 * device can be put on an image later.
 */
#include "engine/io/bdev_priv.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* The first line of a small file, without its newline. False if there is none. */
static bool read_line(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, buf, size - 1);
	close(fd);
	if (n <= 0)
		return false;
	buf[n] = 0;
	buf[strcspn(buf, "\n")] = 0;
	return true;
}

/* Whether this loop device is on that file, and may write it unless `any`. */
static bool loop_is_on(const char *loop, const struct stat *st, bool any)
{
	char path[300], backing[4096 + 16];
	struct stat target;

	snprintf(path, sizeof(path), "/sys/block/%s/loop/backing_file", loop);
	if (!read_line(path, backing, sizeof(backing)))
		return false;
	if (stat(backing, &target) < 0 || target.st_dev != st->st_dev ||
	    target.st_ino != st->st_ino)
		return false;
	if (any)
		return true;
	snprintf(path, sizeof(path), "/sys/block/%s/ro", loop);
	return !read_line(path, backing, sizeof(backing)) || strcmp(backing, "1") != 0;
}

/* Finds a loop device on the file; one that only reads it counts if `any`. */
static bool find_loop(const struct stat *st, bool any, char *name, size_t size)
{
	DIR *dir = opendir("/sys/block");
	struct dirent *de;
	bool found = false;

	if (!dir)
		return false;
	while (!found && (de = readdir(dir))) {
		if (strncmp(de->d_name, "loop", 4) == 0 && loop_is_on(de->d_name, st, any)) {
			snprintf(name, size, "/dev/%s", de->d_name);
			found = true;
		}
	}
	closedir(dir);
	return found;
}

/* "process 123 (name)", from the kernel's table of locks; false if it doesn't say. */
static bool find_lock_holder(const struct stat *st, char *text, size_t size)
{
	FILE *f = fopen("/proc/locks", "re");
	char line[256], path[64], comm[64];
	bool found = false;

	if (!f)
		return false;
	while (!found && fgets(line, sizeof(line), f)) {
		unsigned major_nr, minor_nr;
		unsigned long long ino;
		long pid;

		if (sscanf(line, "%*d: FLOCK %*s %*s %ld %x:%x:%llu", &pid, &major_nr, &minor_nr,
			   &ino) != 4)
			continue;
		if (makedev(major_nr, minor_nr) != st->st_dev || ino != st->st_ino || pid <= 0)
			continue;
		snprintf(path, sizeof(path), "/proc/%ld/comm", pid);
		if (read_line(path, comm, sizeof(comm)))
			snprintf(text, size, "process %ld (%s)", pid, comm);
		else
			snprintf(text, size, "process %ld", pid);
		found = true;
	}
	fclose(f);
	return found;
}

int bdev_share_file(int fd, const char *path, const struct stat *st, bool writer, struct msg *msg)
{
	char who[300];
	int ret;

	while (flock(fd, (writer ? LOCK_EX : LOCK_SH) | LOCK_NB) < 0) {
		ret = -errno;
		if (ret == -EINTR)
			continue;
		if (ret != -EWOULDBLOCK) {
			/* Some network filesystems have no locks; refusing would help nobody. */
			msg_warn(msg, "%s: cannot be locked (%s): make sure that nobody writes it",
				 path, strerror(-ret));
			break;
		}
		if (!find_lock_holder(st, who, sizeof(who)))
			snprintf(who, sizeof(who), "another process");
		msg_err(msg, "%s is in use: %s has locked it%s", path, who,
			writer ? "" : " for writing");
		return -EBUSY;
	}
	if (find_loop(st, writer, who, sizeof(who))) {
		msg_err(msg, "%s is in use: it is attached to the loop device %s", path, who);
		return -EBUSY;
	}
	return 0;
}

/* The first name in a directory, e.g. of what is stacked on a device. */
static bool first_entry(const char *path, char *name, size_t size)
{
	DIR *dir = opendir(path);
	struct dirent *de;
	bool found = false;

	if (!dir)
		return false;
	while (!found && (de = readdir(dir))) {
		if (de->d_name[0] != '.') {
			snprintf(name, size, "%s", de->d_name);
			found = true;
		}
	}
	closedir(dir);
	return found;
}

/*
 * Where the device is mounted, or that it swaps. A btrfs has a device number of its own in the
 * table of mounts, so the source's name is what is compared, by the device it leads to.
 */
static bool find_in_table(const char *table, const struct stat *st, bool mounts, char *text,
			  size_t size)
{
	FILE *f = fopen(table, "re");
	char line[4096], source[2048], dir[1024];
	struct stat target;
	bool found = false;

	if (!f)
		return false;
	while (!found && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%2047s %1023s", source, dir) != 2 || source[0] != '/')
			continue;
		if (stat(source, &target) < 0 || !S_ISBLK(target.st_mode) ||
		    target.st_rdev != st->st_rdev)
			continue;
		if (mounts)
			snprintf(text, size, "it is mounted on %s", dir);
		else
			snprintf(text, size, "the system swaps to it");
		found = true;
	}
	fclose(f);
	return found;
}

void bdev_share_say_busy(const char *path, struct msg *msg)
{
	char holders[80], name[256], text[1200] = "another program has claimed it";
	struct stat st;

	if (stat(path, &st) == 0) {
		snprintf(holders, sizeof(holders), "/sys/dev/block/%u:%u/holders",
			 major(st.st_rdev), minor(st.st_rdev));
		if (first_entry(holders, name, sizeof(name)))
			snprintf(text, sizeof(text), "the device %s is built on it", name);
		else if (!find_in_table("/proc/self/mounts", &st, true, text, sizeof(text)))
			(void)find_in_table("/proc/swaps", &st, false, text, sizeof(text));
	}
	msg_err(msg, "%s is in use: %s", path, text);
}
