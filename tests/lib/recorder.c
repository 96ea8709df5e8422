// SPDX-License-Identifier: GPL-2.0-or-later
/* See recorder.h. The lock orders entries as the disks were done with them. */
#include "tests/lib/recorder.h"

#include "ondisk/endian.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DISKS 64
static const char magic[8] = "UBTRREC1";

struct entry {
	le32 type;
	le32 disk;
	le32 result;
	le64 off;
	le64 len;
} __attribute__((packed));

struct tap {
	struct recorder *r;
	unsigned index;
	struct blk lower;
	struct blk blk;
};

struct recorder {
	pthread_mutex_t lock;
	FILE *f;
	int err;
	uint64_t count;
	unsigned nr;
	struct tap taps[MAX_DISKS];
};

static void record(struct tap *t, enum record_type type, int res, uint64_t off, uint64_t len,
		   const void *data)
{
	struct recorder *r = t->r;
	struct entry e = { le32_make(type), le32_make(t->index), le32_make((uint32_t)-res),
			   le64_make(off), le64_make(len) };

	if (r->err)
		return;
	if (fwrite(&e, sizeof(e), 1, r->f) != 1 || (data && fwrite(data, len, 1, r->f) != 1) ||
	    fflush(r->f))
		r->err = -EIO;
	else
		r->count++;
}

static int tap_read(void *priv, uint64_t off, void *buf, uint32_t len)
{
	return blk_read(&((struct tap *)priv)->lower, off, buf, len);
}

static int tap_write(void *priv, uint64_t off, const void *buf, uint32_t len)
{
	struct tap *t = priv;
	int ret;

	pthread_mutex_lock(&t->r->lock);
	ret = blk_write(&t->lower, off, buf, len);
	record(t, RECORD_WRITE, ret, off, len, buf);
	pthread_mutex_unlock(&t->r->lock);
	return ret;
}

static int tap_flush(void *priv)
{
	struct tap *t = priv;
	int ret;

	pthread_mutex_lock(&t->r->lock);
	ret = blk_flush(&t->lower);
	record(t, RECORD_FLUSH, ret, 0, 0, NULL);
	pthread_mutex_unlock(&t->r->lock);
	return ret;
}

static int tap_discard(void *priv, uint64_t off, uint64_t len)
{
	struct tap *t = priv;
	int ret;

	pthread_mutex_lock(&t->r->lock);
	ret = blk_discard(&t->lower, off, len);
	record(t, RECORD_DISCARD, ret, off, len, NULL);
	pthread_mutex_unlock(&t->r->lock);
	return ret;
}

int recorder_create(const char *path, unsigned nr, const struct blk *lower, struct recorder **out_rec)
{
	static const struct bdev_ops ops = {
		.read = tap_read,
		.write = tap_write,
		.flush = tap_flush,
		.discard = tap_discard,
	};
	struct recorder *r = blk_must(calloc(1, sizeof(*r)));
	le32 count = le32_make(nr);

	*out_rec = NULL;
	pthread_mutex_init(&r->lock, NULL);
	r->nr = nr;
	r->f = nr <= MAX_DISKS ? fopen(path, "wbe") : NULL;
	if (!r->f) {
		free(r);
		return nr <= MAX_DISKS ? -errno : -EINVAL;
	}
	fwrite(magic, sizeof(magic), 1, r->f);
	fwrite(&count, sizeof(count), 1, r->f);
	for (unsigned i = 0; i < nr; i++) {
		le64 bytes = le64_make(lower[i].bytes);

		fwrite(&bytes, sizeof(bytes), 1, r->f);
		r->taps[i] = (struct tap){ r, i, lower[i], lower[i] };
		r->taps[i].blk.ops = &ops;
		r->taps[i].blk.priv = &r->taps[i];
	}
	if (fflush(r->f))
		r->err = -EIO;
	*out_rec = r;
	return 0;
}

const struct blk *recorder_blk(struct recorder *r, unsigned i)
{
	return &r->taps[i].blk;
}

uint64_t recorder_count(struct recorder *r)
{
	uint64_t count;

	pthread_mutex_lock(&r->lock);
	count = r->count;
	pthread_mutex_unlock(&r->lock);
	return count;
}

int recorder_close(struct recorder *r)
{
	int ret = r->err;

	if (fclose(r->f) && !ret)
		ret = -EIO;
	pthread_mutex_destroy(&r->lock);
	free(r);
	return ret;
}

/* ---- replay ---- */

static bool read_head(FILE *f, unsigned nr, const struct blk *to)
{
	char found[8];
	le32 count;
	le64 bytes;

	if (fread(found, 8, 1, f) != 1 || memcmp(found, magic, 8) != 0 ||
	    fread(&count, sizeof(count), 1, f) != 1 || le32_get(count) != nr)
		return false;
	for (unsigned i = 0; i < nr; i++)
		if (fread(&bytes, sizeof(bytes), 1, f) != 1 || to[i].bytes < le64_get(bytes))
			return false;
	return true;
}

/* 1: the record ends here. */
static int replay_one(FILE *f, unsigned nr, const struct blk *to)
{
	struct entry e;
	uint64_t off, len;
	const struct blk *b;
	void *data = NULL;
	int ret;

	if (fread(&e, sizeof(e), 1, f) != 1)
		return 1;
	off = le64_get(e.off);
	len = le64_get(e.len);
	if (le32_get(e.disk) >= nr)
		return -EINVAL;
	b = &to[le32_get(e.disk)];
	if (off > b->bytes || len > b->bytes - off)
		return -EINVAL;
	if (le32_get(e.type) == RECORD_WRITE) {
		data = blk_must(malloc(len + 1));
		if (len && fread(data, len, 1, f) != 1) {
			free(data);
			return 1;
		}
	}
	if (le32_get(e.result))
		ret = 0;
	else if (le32_get(e.type) == RECORD_WRITE)
		ret = blk_write(b, off, data, (uint32_t)len);
	else if (le32_get(e.type) == RECORD_FLUSH)
		ret = blk_flush(b);
	else
		ret = le32_get(e.type) == RECORD_DISCARD ? blk_discard(b, off, len) : -EINVAL;
	free(data);
	return ret;
}

int recorder_replay(const char *path, uint64_t max, unsigned nr, const struct blk *to, uint64_t *out_done)
{
	FILE *f = fopen(path, "rbe");
	int ret = 0;

	*out_done = 0;
	if (!f)
		return -errno;
	if (!read_head(f, nr, to))
		ret = -EINVAL;
	while (!ret && *out_done < max) {
		ret = replay_one(f, nr, to);
		if (!ret)
			++*out_done;
	}
	fclose(f);
	return ret < 0 ? ret : 0;
}
