// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Open files: reading and seeking.
 *
 * Of a filesystem that may change, a reader holds the inode's lock while it reads: what it found in
 * the trees is not freed meanwhile. Whoever changes contents drops the streams first, with what
 * they have read ahead; the next reader begins a new one, with the file as it then is.
 *
 * Locks: inode → stream_lock, under which a stream is made.
 */
#include "engine/api/api_priv.h"

#include "engine/util/fault.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int load_file(struct eng_fs *efs, struct eng_ino id, const struct root **out_root,
		     struct ino_attr *out_attr)
{
	int err = root_get(&efs->fs, id.subvol, out_root);

	if (!err)
		err = ino_load(&efs->fs, *out_root, id.ino, out_attr);
	if (err || S_ISREG(out_attr->mode))
		return err;
	return S_ISDIR(out_attr->mode) ? -EISDIR : -EINVAL;
}

/* With a reference, so that it can be read when it has no name any more; without a stream yet. */
static int attach(struct eng_file *f, struct eng_ino id)
{
	struct eng_fs *efs = f->efs;
	const struct root *root;
	struct ino_attr attr;
	int err = eng_ref(efs, id);

	if (err)
		return err;
	f->lock = ilock_get(api_locks(efs), id);
	if (!f->lock) {
		eng_unref(efs, id, 1);
		return -ENOMEM;
	}
	pthread_mutex_init(&f->stream_lock, NULL);
	pthread_rwlock_wrlock(&f->lock->lock);
	err = load_file(efs, id, &root, &attr);
	api_attr_from_ino(&efs->fs, id.subvol, &attr, &f->attr);
	LIST_INSERT_HEAD(&f->lock->files, f, of_inode);
	pthread_rwlock_unlock(&f->lock->lock);
	return err;
}

static void detach(struct eng_file *f)
{
	struct eng_ino id = f->lock->id;

	pthread_rwlock_wrlock(&f->lock->lock);
	LIST_REMOVE(f, of_inode);
	fread_close(f->stream);
	pthread_rwlock_unlock(&f->lock->lock);
	pthread_mutex_destroy(&f->stream_lock);
	ilock_put(api_locks(f->efs), f->lock);
	eng_unref(f->efs, id, 1);
}

int eng_file_open(struct eng_fs *efs, struct eng_ino id, struct eng_file **out_file)
{
	const struct root *root;
	struct ino_attr attr;
	struct eng_file *f;
	int err = load_file(efs, id, &root, &attr);

	*out_file = NULL;
	if (err)
		return err;
	f = eng_zalloc(sizeof(*f));
	if (!f)
		return -ENOMEM;
	f->efs = efs;
	api_attr_from_ino(&efs->fs, id.subvol, &attr, &f->attr);
	if (efs->rw)
		err = attach(f, id);
	else
		err = fread_open(&efs->fs, root, id.ino, &attr, &f->stream);
	if (err) {
		if (f->lock)
			detach(f);
		if (!PLANTED("file_open_leak"))
			free(f);
		return err;
	}
	*out_file = f;
	return 0;
}

void eng_file_close(struct eng_file *f)
{
	if (!f)
		return;
	if (f->lock)
		detach(f);
	else
		fread_close(f->stream);
	free(f);
}

void api_drop_streams(struct ilock *l)
{
	struct eng_file *f;

	if (PLANTED("api_stale_stream"))
		return;
	LIST_FOREACH(f, &l->files, of_inode)
	{
		fread_close(f->stream);
		f->stream = NULL;
	}
}

/* Under the inode's lock, which may be held by several readers. */
static int make_stream(struct eng_file *f)
{
	const struct root *root;
	struct ino_attr attr;
	int err = 0;

	pthread_mutex_lock(&f->stream_lock);
	if (!f->stream) {
		err = load_file(f->efs, f->lock->id, &root, &attr);
		if (!err)
			err = fread_open(&f->efs->fs, root, attr.ino, &attr, &f->stream);
	}
	pthread_mutex_unlock(&f->stream_lock);
	return err;
}

static ssize_t read_locked(struct eng_file *f, uint64_t off, void *buf, size_t len)
{
	ssize_t got;

	pthread_rwlock_rdlock(&f->lock->lock);
	got = make_stream(f);
	if (!got)
		got = fread_read(f->stream, off, buf, len);
	pthread_rwlock_unlock(&f->lock->lock);
	return got;
}

ssize_t eng_file_read(struct eng_file *f, uint64_t off, void *buf, size_t len)
{
	ssize_t got =
		f->lock ? read_locked(f, off, buf, len) : fread_read(f->stream, off, buf, len);

	if (got > 0)
		counter_add(&f->efs->fs.counters, file_read_bytes, (uint64_t)got);
	return got;
}

const struct eng_attr *eng_file_attr(const struct eng_file *f)
{
	return &f->attr;
}

static int64_t seek(struct eng_fs *efs, struct eng_ino id, uint64_t off, int whence)
{
	const struct root *root;
	struct ino_attr attr;
	int err = root_get(&efs->fs, id.subvol, &root);

	if (!err)
		err = ino_load(&efs->fs, root, id.ino, &attr);
	if (err)
		return err;
	if (off >= attr.size)
		return -ENXIO;
	return fext_seek(&efs->fs, root, &attr, off, whence == SEEK_HOLE);
}

int64_t eng_seek(struct eng_fs *efs, struct eng_ino id, uint64_t off, int whence)
{
	struct ilock *l = NULL;
	int64_t ret;

	if (whence != SEEK_DATA && whence != SEEK_HOLE)
		return -EINVAL;
	if (efs->rw) {
		l = ilock_get(api_locks(efs), id);
		if (!l)
			return -ENOMEM;
		pthread_rwlock_rdlock(&l->lock);
	}
	ret = seek(efs, id, off, whence);
	if (l) {
		pthread_rwlock_unlock(&l->lock);
		ilock_put(api_locks(efs), l);
	}
	return ret;
}
