// SPDX-License-Identifier: GPL-2.0-or-later
/* See imgdisk.h. Writes are of whole pages: nodes, superblocks, sectors. */
#include "tests/lib/imgdisk.h"

#include "engine/lab.h"

#include <errno.h>
#include <string.h>

#define CACHE (8u << 20)

void imgdisk_init(struct imgdisk *d, const struct testimg *img)
{
	d->img = img;
	pages_init(&d->written, img->bytes);
}

void imgdisk_free(struct imgdisk *d)
{
	pages_free(&d->written);
}

static bool outside(const struct imgdisk *d, uint64_t off, uint64_t len)
{
	return off > d->img->bytes || len > d->img->bytes - off;
}

static int disk_read(void *priv, uint64_t off, void *buf, uint32_t len)
{
	struct imgdisk *d = priv;
	uint64_t page, end = off + len;

	if (outside(d, off, len))
		return -EIO;
	memcpy(buf, d->img->data + off, len);
	for (page = pages_next(&d->written, off / PAGE_BYTES * PAGE_BYTES); page < end;
	     page = pages_next(&d->written, page + PAGE_BYTES)) {
		uint64_t from = page > off ? page : off;
		uint64_t to = page + PAGE_BYTES < end ? page + PAGE_BYTES : end;

		pages_read(&d->written, from, (uint8_t *)buf + (from - off), (uint32_t)(to - from));
	}
	return 0;
}

static int disk_write(void *priv, uint64_t off, const void *buf, uint32_t len)
{
	struct imgdisk *d = priv;

	if (outside(d, off, len) || off % PAGE_BYTES || len % PAGE_BYTES)
		return -EIO;
	pages_write(&d->written, off, buf, len);
	return 0;
}

static int disk_flush(void *priv)
{
	(void)priv;
	return 0;
}

static int disk_discard(void *priv, uint64_t off, uint64_t len)
{
	struct imgdisk *d = priv;

	return outside(d, off, len) ? -EIO : 0;
}

int imgdisk_open(struct imgdisk *d, const struct eng_open_opts *opts, struct eng_fs **out_fs)
{
	const struct lab_disk disk = { .name = "image",
				       .bytes = d->img->bytes,
				       .priv = d,
				       .read = disk_read,
				       .write = disk_write,
				       .flush = disk_flush,
				       .discard = disk_discard };
	struct eng_open_opts o = *opts;
	int err;

	o.writable = true;
	o.share = ENG_SHARE_EXCLUSIVE;
	o.metadata_cache = CACHE;
	lab_set_opts(&(struct lab_opts){ .no_threads = true });
	err = lab_open_disks(&disk, 1, &o, out_fs);
	lab_set_opts(NULL);
	return err;
}
