// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Decompression by zlib and zstd, and each thread's workspace. The framing of LZO is in compress_lzo.c.
 *
 * An extent on disk is padded to a sector, so what follows a stream's end is ignored; and a reader who
 * needs only the beginning gives a short output: a full output ends the work as well as the stream's end.
 *
 * Locks: none; a workspace belongs to one thread.
 */
#include "engine/file/compress_priv.h"
#include "engine/file/fread.h"
#include "engine/util/fault.h"

#include <pthread.h>
#include <stdlib.h>
#define ZLIB_CONST
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

/* Linux writes and accepts windows up to the longest extent: 128 KiB. */
#define ZSTD_WINDOW_LOG 17

struct workspace {
	z_stream zs;
	bool zs_ready;
	ZSTD_DCtx *zstd;
	uint8_t *buf[WORKSPACE_BUFS];
	size_t buf_size[WORKSPACE_BUFS];
};

static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static int key_err;

static void workspace_free(void *arg)
{
	struct workspace *ws = arg;

	if (ws->zs_ready)
		inflateEnd(&ws->zs);
	ZSTD_freeDCtx(ws->zstd);
	for (int i = 0; i < WORKSPACE_BUFS; i++)
		free(ws->buf[i]);
	free(ws);
}

static void key_create(void)
{
	key_err = pthread_key_create(&key, workspace_free);
}

struct workspace *workspace_get(void)
{
	struct workspace *ws;

	pthread_once(&key_once, key_create);
	if (key_err)
		return NULL;
	ws = pthread_getspecific(key);
	if (ws)
		return ws;
	ws = eng_zalloc(sizeof(*ws));
	if (ws && pthread_setspecific(key, ws)) {
		free(ws);
		ws = NULL;
	}
	return ws;
}

uint8_t *workspace_buf(struct workspace *ws, enum workspace_use use, size_t size)
{
	if (ws->buf_size[use] < size) {
		uint8_t *fresh = eng_memalign(BDEV_ALIGN, size);

		if (!fresh)
			return NULL;
		free(ws->buf[use]);
		ws->buf[use] = fresh;
		ws->buf_size[use] = size;
	}
	return ws->buf[use];
}

static voidpf zlib_alloc(voidpf opaque, uInt nr, uInt size)
{
	(void)opaque;
	return eng_calloc(nr, size);
}

static void zlib_free(voidpf opaque, voidpf p)
{
	(void)opaque;
	free(p);
}

static int zlib_ready(struct workspace *ws)
{
	if (ws->zs_ready)
		return inflateReset(&ws->zs) == Z_OK ? 0 : -EUCLEAN;
	ws->zs = (z_stream){ .zalloc = zlib_alloc, .zfree = zlib_free };
	if (inflateInit(&ws->zs) != Z_OK)
		return -ENOMEM;
	ws->zs_ready = true;
	return 0;
}

int64_t zlib_decode(struct workspace *ws, const void *in, size_t in_len, void *out, size_t out_len)
{
	int ret = zlib_ready(ws);

	if (ret)
		return ret;
	ws->zs.next_in = in;
	ws->zs.avail_in = (uInt)in_len;
	ws->zs.next_out = out;
	ws->zs.avail_out = (uInt)out_len;
	ret = inflate(&ws->zs, Z_FINISH);
	if (ret == Z_MEM_ERROR)
		return -ENOMEM;
	/* Z_BUF_ERROR: it could not finish, for want of room (fine) or of input (not). */
	if (ret == Z_STREAM_END || (ret == Z_BUF_ERROR && !ws->zs.avail_out))
		return (int64_t)(out_len - ws->zs.avail_out);
	return -EUCLEAN;
}

static int zstd_ready(struct workspace *ws)
{
	if (!ws->zstd) {
		if (fault_hit(FAULT_ALLOC))
			return -ENOMEM;
		ws->zstd = ZSTD_createDCtx();
		if (!ws->zstd)
			return -ENOMEM;
		ZSTD_DCtx_setParameter(ws->zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG);
	}
	ZSTD_DCtx_reset(ws->zstd, ZSTD_reset_session_only);
	return 0;
}

int64_t zstd_decode(struct workspace *ws, const void *in, size_t in_len, void *out, size_t out_len)
{
	ZSTD_inBuffer from = { in, in_len, 0 };
	ZSTD_outBuffer to = { out, out_len, 0 };
	int err = zstd_ready(ws);

	if (err)
		return err;
	while (to.pos < to.size) {
		size_t before_in = from.pos, before_out = to.pos;
		size_t ret = ZSTD_decompressStream(ws->zstd, &to, &from);

		if (ZSTD_isError(ret))
			return ZSTD_getErrorCode(ret) == ZSTD_error_memory_allocation ? -ENOMEM :
											-EUCLEAN;
		if (!ret)
			break;
		if (from.pos == before_in && to.pos == before_out)
			return -EUCLEAN;
	}
	return (int64_t)to.pos;
}

int64_t compress_decode(unsigned type, uint32_t sectorsize, bool is_inline, const void *in, size_t in_len,
			void *out, size_t out_len)
{
	struct workspace *ws = workspace_get();

	if (!ws)
		return -ENOMEM;
	switch (type) {
	case BTRFS_COMPRESS_ZLIB:
		return zlib_decode(ws, in, in_len, out, out_len);
	case BTRFS_COMPRESS_LZO:
		return lzo_decode(ws, sectorsize, is_inline, in, in_len, out, out_len);
	case BTRFS_COMPRESS_ZSTD:
		return zstd_decode(ws, in, in_len, out, out_len);
	default:
		return -EUCLEAN;
	}
}
