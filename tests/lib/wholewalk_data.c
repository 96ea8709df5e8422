// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The data of files in the whole walk: by what SEEK_DATA and SEEK_HOLE say, so that a sparse file
 * of 8 EiB costs no more than its data; and what a file's extents are.
 */
#include <errno.h>
#include <unistd.h>
#include "tests/lib/wholewalk_priv.h"

#define MAX_PIECES 256
#define MAX_BAD 16
#define BAD_SKIP 4096

/* One range of data; what cannot be read is passed over a sector at a time. */
static void walk_range(struct walk *w, struct eng_file *f, uint64_t off, uint64_t end,
		       uint64_t *left)
{
	unsigned bad = 0;

	if (end - off > *left) {
		w->out->cut = true;
		end = off + *left;
	}
	*left -= end - off;
	while (off < end && bad < MAX_BAD) {
		size_t want = end - off < WALK_IO ? (size_t)(end - off) : WALK_IO;
		ssize_t got;

		if (!walk_take(w, &w->left.bytes, want))
			return;
		got = eng_file_read(f, off, w->io, want);
		if (walk_failed(w, got)) {
			bad++;
			off = (off / BAD_SKIP + 1) * BAD_SKIP;
			continue;
		}
		if (!got || (size_t)got > want) {
			walk_failed(w, -EPROTO);
			return;
		}
		walk_add64(w, off);
		walk_add(w, w->io, (size_t)got);
		w->out->bytes += (uint64_t)got;
		off += (uint64_t)got;
	}
}

/* A read of a few bytes, of a hole or across the end. */
static void walk_probe(struct walk *w, struct eng_file *f, uint64_t off)
{
	ssize_t got = eng_file_read(f, off, w->io, 100);

	if (walk_failed(w, got))
		return;
	walk_add64(w, (uint64_t)got);
	walk_add(w, w->io, (size_t)got);
}

static void walk_pieces(struct walk *w, struct eng_file *f, const struct eng_attr *attr)
{
	uint64_t left = w->left.file_bytes, pos = 0;

	for (int n = 0; pos < attr->size; n++) {
		int64_t data, hole;

		if (n == MAX_PIECES) {
			w->out->cut = true;
			return;
		}
		data = eng_seek(w->fs, attr->id, pos, SEEK_DATA);
		if (data == -ENXIO)
			return;
		if (walk_failed(w, data))
			return;
		hole = eng_seek(w->fs, attr->id, (uint64_t)data, SEEK_HOLE);
		if (walk_failed(w, hole))
			return;
		if ((uint64_t)data < pos || hole <= data) {
			walk_failed(w, -EPROTO);
			return;
		}
		walk_add64(w, (uint64_t)data);
		walk_add64(w, (uint64_t)hole);
		walk_range(w, f, (uint64_t)data, (uint64_t)hole, &left);
		walk_probe(w, f, (uint64_t)hole);
		pos = (uint64_t)hole;
	}
}

void walk_data(struct walk *w, const struct eng_attr *attr)
{
	struct eng_file *f;

	if (walk_failed(w, eng_file_open(w->fs, attr->id, &f)))
		return;
	walk_add64(w, eng_file_attr(f)->size);
	walk_pieces(w, f, attr);
	walk_probe(w, f, attr->size > 50 ? attr->size - 50 : 0);
	walk_probe(w, f, INT64_MAX - 50);
	eng_file_close(f);
}
