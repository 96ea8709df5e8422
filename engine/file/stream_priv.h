/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Streams and their buffers: between stream.c, which decides what to read, and stream_buf.c, which keeps it.
 *
 * Words: a *buffer* holds bytes of one stream: a *chunk* is a stretch of the file read ahead, a *kept
 * extent* is a whole decompressed one of which only a part was wanted. A *run* is a reading forward, as
 * seen through several threads whose requests overtake each other by a little.
 *
 * Invariants:
 * 1. A buffer with references is not freed. One that is `dead` is on no list and goes with its last one.
 * 2. A buffer is on the lru ⇔ it is READY and not dead. Only what is on the lru without references is
 *    taken from its stream for another, and only after a while.
 * 3. readahead.used counts the bytes of all buffers and of the spares; it never passes the cap.
 * 4. Chunks of a stream do not overlap and ascend in its list.
 *
 * Locks: readahead.lock alone guards all streams' lists; never held over a read, a copy or a pool call.
 */
#ifndef UBTRFS_ENGINE_FILE_STREAM_PRIV_H
#define UBTRFS_ENGINE_FILE_STREAM_PRIV_H

#include "engine/file/fread_priv.h"

#include <bsd/sys/queue.h>
#include <pthread.h>
#include <time.h>

#define CHUNK_BYTES (512u << 10)
/* Positions of one file that are read forward at the same time: by several processes, say. */
#define STREAM_RUNS 4

enum buf_state {
	QUEUED,
	READING,
	READY,
};

struct stream_run;

struct stream_buf {
	struct pool_job job;
	struct fread_stream *s;
	TAILQ_ENTRY(stream_buf) of_stream, of_lru;
	enum buf_state state;
	bool is_chunk, dead;
	unsigned refs;
	struct stream_run *run;   /* chunk: the one it was read for */
	uint64_t off;             /* chunk: in the file */
	uint32_t len;             /* bytes wanted of the file */
	uint32_t got;             /* bytes there */
	uint32_t given;           /* bytes that readers took */
	struct fext ext;          /* kept extent */
	time_t used_sec;
	uint32_t size;            /* of data */
	uint8_t *data;
};

TAILQ_HEAD(buf_list, stream_buf);

struct spare {
	struct spare *next;
};

struct readahead {
	pthread_mutex_t lock;
	pthread_cond_t ready;     /* some chunk became READY, or a job ended */
	uint64_t cap, used;
	struct buf_list lru;
	struct spare *spares;     /* chunk-sized memory, to not have the kernel clear it each time */
};

struct stream_run {
	uint64_t end;             /* where its furthest request ended */
	uint64_t bytes;           /* read one behind the other */
	uint64_t ahead_end;       /* where the next chunk starts */
	uint32_t window;          /* bytes to be ahead of `end`; 0: not reading ahead */
	uint64_t used;            /* the stream's count of requests at the last one; 0: never */
};

struct fread_stream {
	struct fread_src src;
	struct readahead *ra;
	struct buf_list chunks, kept;
	unsigned kept_nr;
	unsigned jobs;            /* submitted or to be, and not yet ended */
	uint64_t requests;
	struct stream_run runs[STREAM_RUNS];
};

/* A buffer with one reference, on no list. NULL: no budget or no memory. */
struct stream_buf *buf_new_locked(struct fread_stream *s, uint32_t size);
/* Takes a reference on a buffer that is found again. */
void buf_use_locked(struct stream_buf *b);
void buf_unref_locked(struct stream_buf *b);
void buf_ready_locked(struct stream_buf *b);
/* Takes it off all lists: nobody finds it any more. */
void buf_kill_locked(struct stream_buf *b);

#endif
