// SPDX-License-Identifier: GPL-2.0-or-later
/* Open files: reading and seeking. */
#include "engine/api/api_priv.h"

#include "engine/util/fault.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int eng_file_open(struct eng_fs *efs, struct eng_ino id, struct eng_file **out_file)
{
	const struct root *root;
	struct ino_attr attr;
	struct eng_file *f;
	int err = root_get(&efs->fs, id.subvol, &root);

	*out_file = NULL;
	if (!err)
		err = ino_load(&efs->fs, root, id.ino, &attr);
	if (err)
		return err;
	if (!S_ISREG(attr.mode))
		return S_ISDIR(attr.mode) ? -EISDIR : -EINVAL;
	f = eng_zalloc(sizeof(*f));
	if (!f)
		return -ENOMEM;
	f->efs = efs;
	api_attr_from_ino(&efs->fs, id.subvol, &attr, &f->attr);
	err = fread_open(&efs->fs, root, id.ino, &attr, &f->stream);
	if (err) {
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
	fread_close(f->stream);
	free(f);
}

ssize_t eng_file_read(struct eng_file *f, uint64_t off, void *buf, size_t len)
{
	ssize_t got = fread_read(f->stream, off, buf, len);

	if (got > 0)
		counter_add(&f->efs->fs.counters, file_read_bytes, (uint64_t)got);
	return got;
}

const struct eng_attr *eng_file_attr(const struct eng_file *f)
{
	return &f->attr;
}

int64_t eng_seek(struct eng_fs *efs, struct eng_ino id, uint64_t off, int whence)
{
	const struct root *root;
	struct ino_attr attr;
	int err;

	if (whence != SEEK_DATA && whence != SEEK_HOLE)
		return -EINVAL;
	err = root_get(&efs->fs, id.subvol, &root);
	if (!err)
		err = ino_load(&efs->fs, root, id.ino, &attr);
	if (err)
		return err;
	if (off >= attr.size)
		return -ENXIO;
	return fext_seek(&efs->fs, root, &attr, off, whence == SEEK_HOLE);
}
