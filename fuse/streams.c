// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The table of open files.
 *
 * Invariants:
 * 1. A slot with users is not taken for another file. There are more slots than threads, so one is
 * free.
 * 2. A file that is read whole by one request never enters the table: most files are small and read
 * once.
 * 3. An inode has at most one slot.
 * Lock: `lock` guards the slots; not held over any call of the engine, which may block.
 */
#include "fuse/streams.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#define SLOTS 128

struct slot {
	struct eng_ino id;
	struct eng_file *file; /* NULL: free */
	unsigned users;
	uint64_t used; /* time of the last use, in uses */
};

struct streams {
	struct eng_fs *fs;
	pthread_mutex_t lock;
	uint64_t uses;
	struct slot slots[SLOTS];
};

int streams_create(struct eng_fs *fs, struct streams **out_streams)
{
	struct streams *st = calloc(1, sizeof(*st));

	*out_streams = st;
	if (!st)
		return -ENOMEM;
	st->fs = fs;
	pthread_mutex_init(&st->lock, NULL);
	return 0;
}

void streams_destroy(struct streams *st)
{
	if (!st)
		return;
	for (unsigned i = 0; i < SLOTS; i++)
		eng_file_close(st->slots[i].file);
	pthread_mutex_destroy(&st->lock);
	free(st);
}

static struct slot *find_locked(struct streams *st, struct eng_ino id)
{
	for (unsigned i = 0; i < SLOTS; i++) {
		struct slot *s = &st->slots[i];

		if (s->file && s->id.ino == id.ino && s->id.subvol == id.subvol)
			return s;
	}
	return NULL;
}

static struct slot *idlest_locked(struct streams *st)
{
	struct slot *best = NULL;

	for (unsigned i = 0; i < SLOTS; i++) {
		struct slot *s = &st->slots[i];

		if (!s->file)
			return s;
		if (!s->users && (!best || s->used < best->used))
			best = s;
	}
	return best;
}

static void use_locked(struct streams *st, struct slot *s)
{
	s->users++;
	s->used = ++st->uses;
}

static struct slot *take(struct streams *st, struct eng_ino id)
{
	struct slot *s;

	pthread_mutex_lock(&st->lock);
	s = find_locked(st, id);
	if (s)
		use_locked(st, s);
	pthread_mutex_unlock(&st->lock);
	return s;
}

/* Puts the file into a slot, or closes it if another thread was first. */
static struct slot *insert(struct streams *st, struct eng_ino id, struct eng_file *file)
{
	struct eng_file *old = file;
	struct slot *s;

	pthread_mutex_lock(&st->lock);
	s = find_locked(st, id);
	if (!s) {
		s = idlest_locked(st);
		assert(s);
		old = s->file;
		s->id = id;
		s->file = file;
	}
	use_locked(st, s);
	pthread_mutex_unlock(&st->lock);
	eng_file_close(old);
	return s;
}

/* A file that was read to its end will hardly be read on: its slot and buffers go to others. */
static void release(struct streams *st, struct slot *s, bool ended)
{
	struct eng_file *old = NULL;

	pthread_mutex_lock(&st->lock);
	if (!--s->users && ended) {
		old = s->file;
		s->file = NULL;
	}
	pthread_mutex_unlock(&st->lock);
	eng_file_close(old);
}

/*
 * Less than was asked means to the kernel that the file ends there, and it would cut its size. Where a bad
 * sector is the reason the request fails as a whole; the kernel then asks for its pages one by one.
 */
static ssize_t whole_or_error(const struct eng_file *file, uint64_t off, size_t len, ssize_t got)
{
	uint64_t size = eng_file_attr(file)->size;

	if (got < 0 || (size_t)got == len || off + (size_t)got >= size)
		return got;
	return -EIO;
}

ssize_t streams_read(struct streams *st, struct eng_ino id, uint64_t off, void *buf, size_t len)
{
	struct slot *s = take(st, id);
	struct eng_file *file;
	ssize_t got;
	int err;

	if (!s) {
		err = eng_file_open(st->fs, id, &file);
		if (err)
			return err;
		if (!off && eng_file_attr(file)->size <= len) {
			got = whole_or_error(file, off, len, eng_file_read(file, off, buf, len));
			eng_file_close(file);
			return got;
		}
		s = insert(st, id, file);
	}
	got = whole_or_error(s->file, off, len, eng_file_read(s->file, off, buf, len));
	release(st, s, got >= 0 && off + (size_t)got >= eng_file_attr(s->file)->size);
	return got;
}
