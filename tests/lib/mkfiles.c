// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ubtrfs-mkfiles DIR DIRS FILES [BYTES]: makes DIRS directories of FILES files each, all of them
 * written (BYTES long, 0 if not given), as fast as the filesystem goes.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int make_file(int dir, unsigned long n, const char *data, size_t len)
{
	char name[40];
	int fd, ret = 0;

	snprintf(name, sizeof(name), "file-%07lu", n);
	if (!len)
		return mknodat(dir, name, S_IFREG | 0644, 0);
	fd = openat(dir, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
	if (fd < 0)
		return -1;
	if (write(fd, data, len) != (ssize_t)len)
		ret = -1;
	close(fd);
	return ret;
}

int main(int argc, char **argv)
{
	const unsigned long dirs = argc > 2 ? strtoul(argv[2], NULL, 0) : 0;
	const unsigned long files = argc > 3 ? strtoul(argv[3], NULL, 0) : 0;
	const size_t len = argc > 4 ? strtoul(argv[4], NULL, 0) : 0;
	char *data = malloc(len + 1), name[40];

	if (argc < 4 || !data || chdir(argv[1])) {
		fprintf(stderr, "usage: ubtrfs-mkfiles DIR DIRS FILES [BYTES]\n");
		return 2;
	}
	for (size_t i = 0; i < len; i++)
		data[i] = 'a' + i * 7 % 26;
	for (unsigned long d = 0; d < dirs; d++) {
		int dir;

		snprintf(name, sizeof(name), "dir-%05lu", d);
		if (mkdir(name, 0755) || (dir = open(name, O_RDONLY | O_DIRECTORY)) < 0)
			goto failed;
		for (unsigned long f = 0; f < files; f++)
			if (make_file(dir, d * files + f, data, len))
				goto failed;
		close(dir);
	}
	free(data);
	return 0;
failed:
	perror(name);
	free(data);
	return 1;
}
