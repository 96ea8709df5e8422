// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Reading a range of a file: extents are cut into pieces, the pieces of a batch are read together,
 * verified, and decompressed or copied to where they are wanted.
 *
 * Words: a *piece* is a run of wanted bytes from one extent. An *io* is a run of device bytes for one or
 * several pieces that follow each other on disk and in memory. *Aside*: read into the thread's workspace,
 * as it is compressed, or not whole sectors of the caller's buffer.
 *
 * Invariants of a batch:
 * 1. Pieces ascend in the file, and their ios ascend with them; bytes of the range without a piece
 *    (holes, inline data, extents kept by the stream) are already in place.
 * 2. Its ios together are at most BATCH_BYTES, so that the checksums fit in `sums`.
 *
 * Failure: everything before the first bad byte is delivered; what lies behind it is not looked at.
 */
#include "engine/file/compress_priv.h"
#include "engine/file/fread_priv.h"
#include "engine/util/fault.h"

#include <stdlib.h>
#include <string.h>

#define BATCH_PIECES 48
#define BATCH_BYTES (1u << 20)
#define MIN_SECTOR 4096

struct piece {
	uint64_t off;             /* in the file */
	uint8_t *dst;
	uint32_t len;
	uint32_t skip;            /* bytes before the wanted ones: of the source, or of what it decompresses to */
	uint64_t logical;
	uint32_t src_len;         /* bytes on disk */
	uint32_t aside_off;       /* where its source is in the workspace, if aside */
	bool aside;
	uint8_t io;
	struct fext ext;          /* of compressed ones */
};

struct batch {
	const struct fread_src *src;
	struct fread_stream *stream;
	struct workspace *ws;
	struct fext_iter it;
	struct fext ext;          /* the current one; len 0: none yet */
	uint64_t start;           /* the range's first byte, which goes to buf[0] */
	uint64_t pos, end;        /* not yet in a batch */
	uint8_t *buf;
	size_t room;
	unsigned piece_nr, io_nr;
	uint32_t bytes, aside_bytes;
	struct piece pieces[BATCH_PIECES];
	struct vol_io ios[BATCH_PIECES];
	struct dcsum_run runs[BATCH_PIECES];
	uint8_t sums[BATCH_BYTES / MIN_SECTOR * BTRFS_CSUM_SIZE];
};

void fread_src_init(struct fread_src *src, struct fs *fs, const struct root *root, uint64_t ino,
		    const struct ino_attr *attr)
{
	*src = (struct fread_src){
		.fs = fs,
		.root = root,
		.ino = ino,
		.size = attr->size,
		.verify = fs->csum_root.bytenr && !(attr->flags & BTRFS_INODE_NODATASUM) &&
			  !(fs->rescue & FS_RESCUE_IGNOREDATACSUMS),
	};
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* ---- planning ---- */

/* Adds the piece's source to the last io if it follows it on disk and in memory, else as a new one. */
static void io_add(struct batch *b, struct piece *p)
{
	struct vol_io *io = b->io_nr ? &b->ios[b->io_nr - 1] : NULL;
	const struct piece *last = io ? &b->pieces[b->piece_nr - 1] : NULL;

	/* What is read aside is contiguous anyway. */
	if (io && io->logical + io->len == p->logical && last->aside == p->aside &&
	    (p->aside || last->dst + last->src_len == p->dst)) {
		io->len += p->src_len;
	} else {
		io = &b->ios[b->io_nr++];
		io->logical = p->logical;
		io->len = p->src_len;
		io->buf = p->dst;
	}
	if (p->aside) {
		p->aside_off = b->aside_bytes;
		b->aside_bytes += p->src_len;
	}
	p->io = (uint8_t)(b->io_nr - 1);
	b->bytes += p->src_len;
	b->piece_nr++;
}

static bool batch_full(const struct batch *b, uint64_t more)
{
	return b->piece_nr == BATCH_PIECES || b->bytes + more > BATCH_BYTES;
}

/* Takes [b->pos, to) or less of it; false: the batch is full. */
static bool plan_plain(struct batch *b, uint64_t to)
{
	uint64_t mask = b->src->fs->sectorsize - 1;
	uint64_t lo = b->pos & ~mask, hi = (to + mask) & ~mask;
	uint8_t *dst = b->buf + (b->pos - b->start);
	struct piece *p = &b->pieces[b->piece_nr];

	if (batch_full(b, mask + 1))
		return false;
	hi = min_u64(hi, lo + ((BATCH_BYTES - b->bytes) & ~mask));
	p->aside = lo < b->pos || (uintptr_t)dst % BDEV_ALIGN;
	if (!p->aside && hi - b->start > b->room) {
		/* The last sector does not fit: the whole ones before it do. */
		hi -= mask + 1;
		if (hi == lo) {
			hi = lo + mask + 1;
			p->aside = true;
		}
	}
	p->off = b->pos;
	p->dst = dst;
	p->len = (uint32_t)(min_u64(to, hi) - b->pos);
	p->skip = (uint32_t)(b->pos - lo);
	p->logical = b->ext.disk_logical + b->ext.ram_off + (lo - b->ext.off);
	p->src_len = (uint32_t)(hi - lo);
	p->ext.compression = BTRFS_COMPRESS_NONE;
	io_add(b, p);
	b->pos += p->len;
	return true;
}

static bool plan_compressed(struct batch *b, uint64_t to)
{
	uint8_t *dst = b->buf + (b->pos - b->start);
	uint32_t skip = (uint32_t)(b->ext.ram_off + (b->pos - b->ext.off));
	uint32_t len = (uint32_t)(to - b->pos);
	struct stream_buf *kept = b->stream ? stream_ext_get(b->stream, &b->ext) : NULL;
	struct piece *p = &b->pieces[b->piece_nr];

	if (kept) {
		memcpy(dst, stream_buf_data(kept) + skip, len);
		stream_ext_put(kept, true);
		b->pos = to;
		return true;
	}
	if (batch_full(b, b->ext.disk_len))
		return false;
	*p = (struct piece){
		.off = b->pos,
		.dst = dst,
		.len = len,
		.skip = skip,
		.logical = b->ext.disk_logical,
		.src_len = (uint32_t)b->ext.disk_len,
		.aside = true,
		.ext = b->ext,
	};
	io_add(b, p);
	b->pos = to;
	return true;
}

static int bad_stream(const struct batch *b, const struct fext *ext)
{
	msg_err(b->src->fs->msg,
		"cannot decompress: subvolume %llu inode %llu offset %llu, %s extent of %llu bytes at "
		"logical %llu",
		(unsigned long long)b->src->root->bt.id, (unsigned long long)b->src->ino,
		(unsigned long long)ext->off,
		ext->compression == BTRFS_COMPRESS_ZLIB ? "zlib" :
		ext->compression == BTRFS_COMPRESS_LZO	? "lzo" :
		ext->compression == BTRFS_COMPRESS_ZSTD ? "zstd" :
							  "unknown",
		(unsigned long long)(ext->type == FEXT_INLINE ? ext->inline_len : ext->disk_len),
		(unsigned long long)ext->disk_logical);
	return -EIO;
}

/* Decompresses to exactly `len` bytes: what the stream does not fill is zeros. 0 or -errno. */
static int decode(const struct batch *b, const struct fext *ext, const void *in, size_t in_len, uint8_t *out,
		  size_t len)
{
	int64_t got = compress_decode(ext->compression, b->src->fs->sectorsize, ext->type == FEXT_INLINE,
				      in, in_len, out, len);

	if (got < 0)
		return got == -EUCLEAN ? bad_stream(b, ext) : (int)got;
	if (!PLANTED("decode_no_fill"))
		memset(out + got, 0, len - (size_t)got);
	counter_add(&b->src->fs->counters, file_decompressed_bytes, (uint64_t)got);
	return 0;
}

/* Inline data is here already: no piece. */
static int take_inline(struct batch *b, uint64_t to)
{
	uint8_t *dst = b->buf + (b->pos - b->start);
	size_t skip = (size_t)(b->pos - b->ext.off), len = (size_t)(to - b->pos), have;
	const uint8_t *data = b->ext.inline_data;
	size_t data_len = b->ext.inline_len;

	if (b->ext.compression) {
		uint8_t *out = workspace_buf(b->ws, WORKSPACE_OUT, b->ext.ram_bytes);
		int err = out ? decode(b, &b->ext, data, data_len, out, b->ext.ram_bytes) : -ENOMEM;

		if (err)
			return err;
		data = out;
		data_len = b->ext.ram_bytes;
	}
	have = data_len > skip ? data_len - skip : 0;
	if (have > len)
		have = len;
	memcpy(dst, data + skip, have);
	memset(dst + have, 0, len - have);
	b->pos = to;
	return 0;
}

static int next_extent(struct batch *b)
{
	int ret = 0;

	while (!ret && b->pos >= b->ext.off + b->ext.len)
		ret = fext_next(&b->it, &b->ext);
	/* The sequence covers the file's size and the range lies within it. */
	return ret > 0 ? -EUCLEAN : ret;
}

/* Fills the batch. On an error the pieces before it stand. */
static int plan(struct batch *b)
{
	bool more = true;
	int err = 0;

	b->piece_nr = b->io_nr = 0;
	b->bytes = b->aside_bytes = 0;
	while (!err && more && b->pos < b->end) {
		uint64_t to;

		err = next_extent(b);
		if (err)
			break;
		to = min_u64(b->end, b->ext.off + b->ext.len);
		switch (b->ext.type) {
		case FEXT_HOLE:
		case FEXT_PREALLOC:
			memset(b->buf + (b->pos - b->start), 0, to - b->pos);
			b->pos = to;
			break;
		case FEXT_INLINE:
			err = take_inline(b, to);
			break;
		case FEXT_REG:
			more = b->ext.compression ? plan_compressed(b, to) : plan_plain(b, to);
			break;
		}
	}
	return err;
}

/* ---- reading ---- */

/* Drops the ios from `io` on, and the pieces that depend on them. */
static void cut_ios(struct batch *b, unsigned io)
{
	b->io_nr = io;
	while (b->piece_nr && b->pieces[b->piece_nr - 1].io >= io)
		b->pos = b->pieces[--b->piece_nr].off;
}

static int prepare_ios(struct batch *b)
{
	struct fs *fs = b->src->fs;
	uint8_t *aside = NULL, *sums = b->sums;
	unsigned last = UINT32_MAX;

	if (b->aside_bytes) {
		aside = workspace_buf(b->ws, WORKSPACE_IO, b->aside_bytes);
		if (!aside) {
			cut_ios(b, 0);
			return -ENOMEM;
		}
	}
	for (unsigned i = 0; i < b->piece_nr; i++) {
		const struct piece *p = &b->pieces[i];

		if (p->aside && p->io != last)
			b->ios[p->io].buf = aside + p->aside_off;
		last = p->io;
	}
	for (unsigned i = 0; i < b->io_nr; i++) {
		struct vol_io *io = &b->ios[i];
		uint64_t missing;
		int err;

		io->unit = fs->sectorsize;
		io->verify = NULL;
		if (!b->src->verify)
			continue;
		err = dcsum_load(fs, io->logical, io->len, sums, &missing);
		if (err) {
			cut_ios(b, i);
			return err;
		}
		if (missing)
			msg_warn(fs->msg,
				 "subvolume %llu inode %llu: %llu bytes at logical %llu have no checksum",
				 (unsigned long long)b->src->root->bt.id,
				 (unsigned long long)b->src->ino, (unsigned long long)missing,
				 (unsigned long long)io->logical);
		b->runs[i] = (struct dcsum_run){ fs, io->logical, io->logical + io->len, sums };
		io->verify = dcsum_verify;
		io->arg = &b->runs[i];
		sums += io->len / fs->sectorsize * fs->csum_size;
	}
	return 0;
}

static void read_ios(struct batch *b)
{
	struct vol *v = b->src->fs->vol;
	struct vol_io *io = b->ios;

	/* Each io has its own result. */
	if (b->io_nr == 1)
		io->res = vol_read(v, io->logical, io->buf, io->len, io->unit, io->verify, io->arg,
				   &io->result);
	else if (b->io_nr)
		(void)!vol_read_many(v, b->ios, b->io_nr);
}

/* An io failed within the piece, at file offset `off`: says so, and returns what the reader gets. */
static int io_failed(const struct batch *b, const struct vol_io *io, uint64_t off, uint64_t logical)
{
	struct fs *fs = b->src->fs;

	if (io->res == -ENOMEM)
		return -ENOMEM;
	if (io->res == -EUCLEAN)
		counter_inc(&fs->counters, file_csum_errors);
	msg_err(fs->msg,
		"%s: subvolume %llu inode %llu offset %llu logical %llu, copies tried: %d",
		io->res == -EUCLEAN ? "data checksum mismatch" :
		io->res == -ENXIO   ? "no device for data" :
				      "data unreadable",
		(unsigned long long)b->src->root->bt.id, (unsigned long long)b->src->ino,
		(unsigned long long)off, (unsigned long long)logical, vol_copies(fs->vol, logical));
	return -EIO;
}

/* ---- delivering ---- */

static int deliver_compressed(struct batch *b, const struct piece *p, const uint8_t *src)
{
	const struct fext *ext = &p->ext;
	bool whole = p->len == ext->ram_bytes;
	struct stream_buf *kept;
	uint8_t *out;
	int err;

	/* Straight into place if nothing before it is unwanted; and what follows it will hardly be wanted. */
	if (!p->skip && (whole || !b->stream))
		return decode(b, ext, src, p->src_len, p->dst, p->len);
	kept = b->stream ? stream_ext_new(b->stream, ext) : NULL;
	out = kept ? stream_buf_data(kept) : workspace_buf(b->ws, WORKSPACE_OUT, p->skip + p->len);
	if (!out)
		return -ENOMEM;
	err = decode(b, ext, src, p->src_len, out, kept ? ext->ram_bytes : p->skip + p->len);
	if (!err)
		memcpy(p->dst, out + p->skip, p->len);
	if (kept)
		stream_ext_put(kept, !err);
	return err;
}

/* Puts the piece in place, or as much of it as is good: then *out_bad is the file offset of the rest. */
static int deliver(struct batch *b, const struct piece *p, uint64_t *out_bad)
{
	const struct vol_io *io = &b->ios[p->io];
	const uint8_t *src = (const uint8_t *)io->buf + (p->logical - io->logical);
	uint32_t good = p->len;
	int err = 0;

	if (io->res) {
		/* 0, before everything, if nothing was read at all. */
		uint64_t bad = io->result.bad_logical;
		uint64_t first = p->logical + (p->ext.compression ? 0 : p->skip);

		if (bad < p->logical + p->src_len) {
			good = bad > first && !p->ext.compression ? (uint32_t)(bad - first) : 0;
			err = io_failed(b, io, p->off + good, bad > p->logical ? bad : p->logical);
		}
	}
	*out_bad = p->off + good;
	if (p->ext.compression)
		return err ? err : deliver_compressed(b, p, src);
	if (p->aside)
		memcpy(p->dst, src + p->skip, good);
	return err;
}

/* Reads what was planned. On an error b->pos is the first byte that is not delivered. */
static int run(struct batch *b)
{
	int err = prepare_ios(b);

	read_ios(b);
	for (unsigned i = 0; i < b->piece_nr; i++) {
		const struct piece *p = &b->pieces[i];
		uint64_t bad;
		int piece_err = deliver(b, p, &bad);

		if (piece_err) {
			b->pos = p->ext.compression ? p->off : bad;
			return piece_err;
		}
	}
	return err;
}

int64_t fread_range(const struct fread_src *src, struct fread_stream *s, uint64_t off, uint8_t *buf,
		    size_t len, size_t room)
{
	struct batch b; /* large: only what is used is set */
	int err;

	b.src = src;
	b.stream = s;
	b.ws = workspace_get();
	if (!b.ws)
		return -ENOMEM;
	b.ext = (struct fext){ 0 };
	b.start = b.pos = off;
	b.end = off + len;
	b.buf = buf;
	b.room = room;
	err = fext_begin(&b.it, src->fs, src->root, src->ino, off, src->size);
	while (!err && b.pos < b.end) {
		int later = plan(&b);

		err = run(&b);
		if (!err)
			err = later;
	}
	fext_end(&b.it);
	return b.pos > off ? (int64_t)(b.pos - off) : err;
}

int64_t fread_at(struct fs *fs, const struct root *root, uint64_t ino, const struct ino_attr *attr,
		 uint64_t off, void *buf, size_t len)
{
	struct fread_src src;

	if (off >= attr->size || !len)
		return 0;
	fread_src_init(&src, fs, root, ino, attr);
	return fread_range(&src, NULL, off, buf, min_u64(len, attr->size - off), len);
}
