// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Reclaim rows of transactions: running delayed references, allocating chunks, committing.
 *
 * They reserve nothing. References attach to the running transaction; a chunk may have to start
 * one, since a filesystem on which nothing happened yet may lack one; a commit starts none, as
 * there would be nothing to gain.
 *
 * Locks: none held. Run by the flusher, or by a thread that waits for space: with a handle only
 * chunks are allocated.
 */
#include "engine/txn/txn_priv.h"

static int run_refs(struct txn_mgr *mgr, unsigned nr)
{
	struct txn_handle *h;
	int err = txn_attach(mgr->fs, &h), end;

	if (err)
		return err == -ENOENT ? 0 : err;
	err = dref_run(&h->st, nr, false);
	end = txn_end(h);
	return err ? err : end;
}

static int row_refs_nr(void *arg, const struct space_row_ctx *ctx)
{
	struct txn_mgr *mgr = arg;
	uint64_t unit = rsv_ref_bytes(mgr->fs->nodesize, mgr->rsv.fst, 1);
	uint64_t nr = ctx->want / unit + 1;

	return run_refs(mgr, nr < 65536 ? (unsigned)nr : 65536);
}

static int row_refs(void *arg, const struct space_row_ctx *ctx)
{
	return run_refs(arg, 0);
}

static int alloc_chunk(struct txn_mgr *mgr, const struct space_row_ctx *ctx, bool force)
{
	struct txn_handle *h;
	int err, end;

	/* What reservations are given as the handle is its rsv_handle. */
	if (ctx->handle) {
		h = (struct txn_handle *)((char *)ctx->handle -
					  offsetof(struct txn_handle, st.rsv));
		return chunk_alloc_if_needed(&h->st, ctx->si, force);
	}
	err = txn_join(mgr->fs, &h);
	if (err)
		return err;
	err = chunk_alloc_if_needed(&h->st, ctx->si, force);
	end = txn_end(h);
	return err ? err : end;
}

static int row_chunk(void *arg, const struct space_row_ctx *ctx)
{
	return alloc_chunk(arg, ctx, false);
}

static int row_chunk_force(void *arg, const struct space_row_ctx *ctx)
{
	return alloc_chunk(arg, ctx, true);
}

/* Committing frees what is pinned, and what references that have not run will drop. */
static int row_commit(void *arg, const struct space_row_ctx *ctx)
{
	struct txn_mgr *mgr = arg;
	struct space_info *si = ctx->si;
	bool helps;

	pthread_mutex_lock(&si->lock);
	helps = si->pinned;
	pthread_mutex_unlock(&si->lock);
	pthread_mutex_lock(&mgr->lock);
	helps = helps || mgr->committing || (mgr->running && dref_nr(mgr->running->drefs));
	pthread_mutex_unlock(&mgr->lock);
	return helps ? txn_sync(mgr->fs) : 0;
}

void rows_register(struct txn_mgr *mgr)
{
	static const struct {
		enum space_row_id id;
		struct space_row row;
	} rows[] = {
		{ SPACE_ROW_DELAYED_REFS_NR,
		  { .name = "delayed_refs_nr", .needs_txn = true, .fn = row_refs_nr } },
		{ SPACE_ROW_DELAYED_REFS,
		  { .name = "delayed_refs", .needs_txn = true, .fn = row_refs } },
		{ SPACE_ROW_ALLOC_CHUNK,
		  { .name = "alloc_chunk",
		    .needs_txn = true,
		    .in_handle = true,
		    .fn = row_chunk } },
		{ SPACE_ROW_ALLOC_CHUNK_FORCE,
		  { .name = "alloc_chunk_force",
		    .needs_txn = true,
		    .in_handle = true,
		    .fn = row_chunk_force } },
		{ SPACE_ROW_COMMIT, { .name = "commit", .needs_txn = true, .fn = row_commit } },
	};

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct space_row row = rows[i].row;

		row.arg = mgr;
		space_row_register(mgr->space.sp, rows[i].id, &row);
	}
}
