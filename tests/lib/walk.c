// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ubtrfs-walk: a canonical listing of a directory tree, so that two mounts of one image can be
 * compared with diff. One line an entry, names sorted bytewise, nothing in it that may differ
 * between two true views: no inode numbers, no device numbers, no order of readdir.
 *
 * Invariants:
 * 1. The line of an entry is complete or says what failed: an unreadable file is a difference.
 * 2. Nothing is written to the tree, not even access times where the kernel lets us.
 * 3. Memory grows with the inodes and the widest directories, never with the data.
 *
 * The working directory is the directory being listed (llistxattr has no *at form), so names stay
 * short however deep the tree is. One thread.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <gcrypt.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include "tests/lib/walk_priv.h"

#define STUB_INODE                                                                                 \
	2 /* BTRFS_EMPTY_SUBVOL_DIR_OBJECTID; low 40 bits, as our mount packs numbers              \
	   */

struct inode_slot {
	uint64_t dev, ino;
	char *path; /* where it was first met; NULL marks a free slot */
};

struct inode_table {
	struct inode_slot *slots;
	size_t used, mask;
};

struct name {
	char *s;
	unsigned char dtype;
};

static void *must(void *p)
{
	if (!p) {
		fprintf(stderr, "ubtrfs-walk: out of memory\n");
		exit(2);
	}
	return p;
}

static struct inode_slot *inode_slot_of(struct inode_table *t, uint64_t dev, uint64_t ino)
{
	size_t i = ((ino ^ (dev << 40)) * 0x9e3779b97f4a7c15ull) >> 20;

	for (;; i++) {
		struct inode_slot *s = &t->slots[i & t->mask];

		if (!s->path || (s->dev == dev && s->ino == ino))
			return s;
	}
}

static void inode_table_grow(struct inode_table *t)
{
	struct inode_table n = { .mask = t->slots ? t->mask * 2 + 1 : 4095, .used = t->used };

	n.slots = must(calloc(n.mask + 1, sizeof(*n.slots)));
	for (size_t i = 0; t->slots && i <= t->mask; i++)
		if (t->slots[i].path)
			*inode_slot_of(&n, t->slots[i].dev, t->slots[i].ino) = t->slots[i];
	free(t->slots);
	*t = n;
}

/* Returns the path under which this inode was met before, or NULL and remembers it. */
static const char *inode_seen(struct inode_table *t, const struct stat *st, const char *path)
{
	struct inode_slot *s;

	if (!t->slots || t->used * 2 > t->mask)
		inode_table_grow(t);
	s = inode_slot_of(t, st->st_dev, st->st_ino);
	if (s->path)
		return s->path;
	*s = (struct inode_slot){ st->st_dev, st->st_ino, must(strdup(path)) };
	t->used++;
	return NULL;
}

static void inode_table_free(struct inode_table *t)
{
	for (size_t i = 0; t->slots && i <= t->mask; i++)
		free(t->slots[i].path);
	free(t->slots);
}

void walk_put_escaped(FILE *out, const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = s[i];

		if (c > 0x20 && c < 0x7f && c != '\\')
			putc(c, out);
		else
			fprintf(out, "\\x%02x", c);
	}
}

void walk_put_bytes(struct walk *w, const unsigned char *data, size_t len)
{
	unsigned char digest[32];
	const size_t shown = len <= 64 ? len : sizeof(digest);

	if (len > 64) {
		gcry_md_hash_buffer(GCRY_MD_SHA256, digest, data, len);
		fprintf(w->out, "%zu:sha256:", len);
		data = digest;
	}
	for (size_t i = 0; i < shown; i++)
		fprintf(w->out, "%02x", data[i]);
}

void walk_problem(struct walk *w, const char *path, const char *what, int err)
{
	w->problems++;
	fprintf(w->out, " %s!%s", what, err ? strerrorname_np(err) : "");
	fprintf(stderr, "ubtrfs-walk: %s: %s%s%s\n", path, what, err ? ": " : "",
		err ? strerror(err) : "");
}

static char type_char(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return 'f';
	case S_IFDIR:
		return 'd';
	case S_IFLNK:
		return 'l';
	case S_IFCHR:
		return 'c';
	case S_IFBLK:
		return 'b';
	case S_IFIFO:
		return 'p';
	case S_IFSOCK:
		return 's';
	}
	return '?';
}

static void put_time(struct walk *w, const char *key, const struct timespec *t)
{
	fprintf(w->out, " %s=%lld.%09ld", key, (long long)t->tv_sec, t->tv_nsec);
}

/*
 * What a snapshot shows of a subvolume inside its source: an empty directory that is not on disk.
 * Its times are those of the lookup, and Linux has no inode flags for it.
 */
static bool is_stub(const struct stat *st)
{
	return S_ISDIR(st->st_mode) && (st->st_ino == STUB_INODE || st->st_ino >> 63);
}

static void put_stat(struct walk *w, const struct stat *st)
{
	const bool dir = S_ISDIR(st->st_mode);
	const unsigned f = w->fields;

	if (is_stub(st))
		fprintf(w->out, " stub");

	if (f & WALK_MODE)
		fprintf(w->out, " mode=%04o", st->st_mode & 07777);
	if (f & WALK_OWNER)
		fprintf(w->out, " uid=%u gid=%u", st->st_uid, st->st_gid);
	if (f & (dir ? WALK_DIRSIZE : WALK_SIZE))
		fprintf(w->out, " size=%lld", (long long)st->st_size);
	if (f & WALK_NLINK)
		fprintf(w->out, " nlink=%lu", (unsigned long)st->st_nlink);
	if (f & WALK_RDEV && (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode)))
		fprintf(w->out, " rdev=%u:%u", major(st->st_rdev), minor(st->st_rdev));
	if (is_stub(st) || (dir && !(f & WALK_DIRTIME)))
		return;
	if (f & WALK_MTIME)
		put_time(w, "mtime", &st->st_mtim);
	if (f & WALK_CTIME)
		put_time(w, "ctime", &st->st_ctim);
	if (f & WALK_ATIME)
		put_time(w, "atime", &st->st_atim);
}

static void put_symlink(struct walk *w, const char *path, const char *name, const struct stat *st)
{
	char target[8192];
	ssize_t n = readlink(name, target, sizeof(target));

	if (n < 0) {
		walk_problem(w, path, "readlink", errno);
		return;
	}
	fprintf(w->out, " target=");
	walk_put_escaped(w->out, target, n);
	if (st->st_size != n)
		walk_problem(w, path, "symlink-size", 0);
}

static void put_links(struct walk *w, const char *path, const struct stat *st)
{
	const char *first;

	if (st->st_nlink < 2 && !w->unique)
		return;
	first = inode_seen(w->inodes, st, path);
	if (!first)
		return;
	if (S_ISDIR(st->st_mode) || st->st_nlink < 2) {
		if (w->unique) {
			walk_problem(w, path, "inode-twice", 0);
			fprintf(stderr, "ubtrfs-walk:   first met at %s\n", first);
		}
		return;
	}
	fprintf(w->out, " link=");
	walk_put_escaped(w->out, first, strlen(first));
}

/* O_NOATIME is for owners and root; somebody else reads without it. */
static int open_quiet(const char *name, int flags)
{
	int fd = open(name, flags | O_NOFOLLOW | O_CLOEXEC | O_NOATIME);

	if (fd < 0 && errno == EPERM)
		fd = open(name, flags | O_NOFOLLOW | O_CLOEXEC);
	return fd;
}

/* Prints everything but the children. Returns the directory, open, if it is one, else -1. */
static int put_entry(struct walk *w, const char *path, const char *name, unsigned char dtype)
{
	const bool wants_fd = w->fields & (WALK_HOLES | WALK_HASH | WALK_FLAGS);
	struct stat st;
	int fd = -1;

	w->entries++;
	walk_put_escaped(w->out, path, strlen(path));
	if (lstat(name, &st)) {
		walk_problem(w, path, "stat", errno);
		putc('\n', w->out);
		return -1;
	}
	fprintf(w->out, " %c", type_char(st.st_mode));
	if (dtype != DT_UNKNOWN && dtype != IFTODT(st.st_mode))
		walk_problem(w, path, "d_type", 0);
	put_stat(w, &st);
	if (w->fields & WALK_LINKS)
		put_links(w, path, &st);
	if (S_ISLNK(st.st_mode))
		put_symlink(w, path, name, &st);
	if (w->fields & WALK_XATTR)
		walk_xattrs(w, path, name);
	if (S_ISDIR(st.st_mode) || (S_ISREG(st.st_mode) && wants_fd)) {
		fd = open_quiet(name, S_ISDIR(st.st_mode) ? O_RDONLY | O_DIRECTORY : O_RDONLY);
		if (fd < 0)
			walk_problem(w, path, "open", errno);
		else if (!is_stub(&st))
			walk_content(w, path, fd, &st);
	}
	putc('\n', w->out);
	if (fd >= 0 && !S_ISDIR(st.st_mode)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static int name_cmp(const void *a, const void *b)
{
	return strcmp(((const struct name *)a)->s, ((const struct name *)b)->s);
}

/* Takes `fd`. The names come back sorted. Return: 0 or an errno. */
static int read_names(int fd, struct name **out_names, size_t *out_nr)
{
	size_t nr = 0, room = 0;
	struct name *names = NULL;
	struct dirent *d;
	DIR *dir = fdopendir(fd);
	int err;

	*out_names = NULL;
	*out_nr = 0;
	if (!dir) {
		err = errno;
		close(fd);
		return err;
	}
	while (errno = 0, (d = readdir(dir))) {
		if (!strcmp(d->d_name, ".") || !strcmp(d->d_name, ".."))
			continue;
		if (nr == room) {
			room = room ? room * 2 : 64;
			names = must(realloc(names, room * sizeof(*names)));
		}
		names[nr++] = (struct name){ must(strdup(d->d_name)), d->d_type };
	}
	err = errno;
	closedir(dir);
	if (nr)
		qsort(names, nr, sizeof(*names), name_cmp);
	*out_names = names;
	*out_nr = nr;
	return err;
}

/* Lists what is below the directory `fd`, which it takes; `path` is extended and put back. */
static void walk_dir(struct walk *w, int fd, char *path, size_t len, size_t room)
{
	struct name *names;
	size_t nr;
	int err = fchdir(fd) ? errno : 0, here = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (err || here < 0) {
		walk_problem(w, path, "chdir", err ? err : errno);
		putc('\n', w->out);
		close(fd);
		return;
	}
	err = read_names(fd, &names, &nr);
	if (err) {
		walk_problem(w, path, "readdir", err);
		putc('\n', w->out);
	}
	for (size_t i = 0; i < nr; i++) {
		const size_t n = strlen(names[i].s);
		int child;

		if (len + n + 2 > room) {
			fprintf(stderr, "ubtrfs-walk: path too long below %s\n", path);
			exit(2);
		}
		if (i && !strcmp(names[i].s, names[i - 1].s)) {
			walk_problem(w, path, "name-twice", 0);
			putc('\n', w->out);
		}
		path[len] = '/';
		memcpy(path + len + 1, names[i].s, n + 1);
		child = put_entry(w, path, names[i].s, names[i].dtype);
		if (child >= 0) {
			walk_dir(w, child, path, len + 1 + n, room);
			if (fchdir(here)) {
				perror("ubtrfs-walk: chdir back");
				exit(2);
			}
		}
		path[len] = 0;
	}
	for (size_t i = 0; i < nr; i++)
		free(names[i].s);
	free(names);
	close(here);
}

static const struct {
	const char *name;
	unsigned bits;
} field_names[] = {
	{ "mode", WALK_MODE },
	{ "owner", WALK_OWNER },
	{ "size", WALK_SIZE },
	{ "dirsize", WALK_DIRSIZE },
	{ "nlink", WALK_NLINK },
	{ "rdev", WALK_RDEV },
	{ "mtime", WALK_MTIME },
	{ "ctime", WALK_CTIME },
	{ "links", WALK_LINKS },
	{ "xattr", WALK_XATTR },
	{ "holes", WALK_HOLES },
	{ "dirtime", WALK_DIRTIME },
	{ "times", WALK_MTIME | WALK_CTIME },
};

static void skip_fields(struct walk *w, char *list)
{
	for (char *s = strtok(list, ","); s; s = strtok(NULL, ",")) {
		size_t i = 0;

		while (i < sizeof(field_names) / sizeof(*field_names) &&
		       strcmp(s, field_names[i].name))
			i++;
		if (i == sizeof(field_names) / sizeof(*field_names)) {
			fprintf(stderr, "ubtrfs-walk: unknown field %s\n", s);
			exit(2);
		}
		w->fields &= ~field_names[i].bits;
	}
}

static void usage(FILE *to)
{
	fprintf(to, "usage: ubtrfs-walk [options] DIR\n"
		    "Lists a directory tree canonically, one line an entry, for comparison.\n"
		    "  --hash        read all files: SHA-256 of content, holes checked for zeros\n"
		    "  --flags       inode flags (FS_IOC_GETFLAGS)\n"
		    "  --atime       access times too\n"
		    "  --unique      inode numbers must be unique in the whole tree\n"
		    "  --skip LIST   leave out: mode owner size dirsize nlink rdev mtime ctime\n"
		    "                times dirtime links xattr holes\n"
		    "  --out FILE    write there instead of to stdout\n"
		    "Exit code: 0, 1 something could not be read or cannot be true, 2 usage.\n");
}

static void parse_options(struct walk *w, int argc, char **argv)
{
	static const struct option options[] = {
		{ "hash", no_argument, NULL, 'h' },	  { "flags", no_argument, NULL, 'f' },
		{ "atime", no_argument, NULL, 'a' },	  { "unique", no_argument, NULL, 'u' },
		{ "skip", required_argument, NULL, 's' }, { "out", required_argument, NULL, 'o' },
		{ "help", no_argument, NULL, 'H' },	  { NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'h':
			w->fields |= WALK_HASH;
			break;
		case 'f':
			w->fields |= WALK_FLAGS;
			break;
		case 'a':
			w->fields |= WALK_ATIME;
			break;
		case 'u':
			w->unique = true;
			break;
		case 's':
			skip_fields(w, optarg);
			break;
		case 'o':
			w->out = fopen(optarg, "we");
			if (!w->out) {
				perror(optarg);
				exit(2);
			}
			break;
		case 'H':
			usage(stdout);
			exit(0);
		default:
			usage(stderr);
			exit(2);
		}
	}
	if (optind + 1 != argc) {
		usage(stderr);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	static char path[1 << 20];
	struct inode_table inodes = { 0 };
	struct walk w = { .fields = WALK_HASH - 1, .out = stdout, .inodes = &inodes };
	struct rlimit nofile;
	int fd;

	w.fields &= ~(WALK_ATIME | WALK_FLAGS);
	w.fields |= WALK_DIRTIME;
	parse_options(&w, argc, argv);
	gcry_check_version(NULL);
	gcry_control(GCRYCTL_DISABLE_SECMEM, 0);
	gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
	/* Two descriptors stay open for each level of the tree. */
	if (!getrlimit(RLIMIT_NOFILE, &nofile)) {
		nofile.rlim_cur = nofile.rlim_max;
		setrlimit(RLIMIT_NOFILE, &nofile);
	}
	if (chdir(argv[optind])) {
		perror(argv[optind]);
		return 2;
	}
	w.buf = must(aligned_alloc(4096, WALK_BUF_SIZE));
	strcpy(path, ".");
	fd = put_entry(&w, path, ".", DT_UNKNOWN);
	if (fd >= 0)
		walk_dir(&w, fd, path, 1, sizeof(path));
	inode_table_free(&inodes);
	free(w.buf);
	if (fflush(w.out) || ferror(w.out)) {
		perror("ubtrfs-walk: writing");
		return 2;
	}
	if (w.problems)
		fprintf(stderr, "ubtrfs-walk: %llu problems in %llu entries\n",
			(unsigned long long)w.problems, (unsigned long long)w.entries);
	return w.problems != 0;
}
