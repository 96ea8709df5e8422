/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Event counters: relaxed atomics, one table a filesystem, read through lab.h. */
#ifndef UBTRFS_ENGINE_UTIL_COUNTER_H
#define UBTRFS_ENGINE_UTIL_COUNTER_H

#include <stdatomic.h>
#include <stdint.h>

#define COUNTERS(X)                                                                              \
	X(io_read_ops, "transfers read from devices")                                            \
	X(io_read_bytes, "bytes read from devices")                                              \
	X(io_write_ops, "transfers written to devices")                                          \
	X(io_write_bytes, "bytes written to devices")                                            \
	X(io_flushes, "flushes of devices")                                                      \
	X(io_discard_bytes, "bytes discarded on devices")                                        \
	X(io_errors, "transfers that a device failed")                                           \
	X(vol_bad_copies, "copies that failed their check")                                      \
	X(vol_rebuilds, "units rebuilt from parity")                                             \
	X(vol_unreadable, "units that no copy could give")                                       \
	X(vol_unwritten_copies, "copies that could not be written")                              \
	X(vol_supers_stored, "superblocks stored on all devices")                                \
	X(cache_hits, "metadata blocks found in the cache")                                      \
	X(cache_reads, "metadata blocks read and checked")                                       \
	X(cache_evictions, "metadata blocks dropped for room")                                   \
	X(cache_waits, "waits for a free frame")                                                 \
	X(cache_spare_waits, "times that changing a tree waited for memory")                     \
	X(cache_written, "metadata blocks written")                                              \
	X(wb_passes, "looks through the dirty blocks in mid-transaction")                        \
	X(wb_written, "metadata blocks written in mid-transaction")                              \
	X(wb_held, "dirty blocks passed by in that: held for a handle")                          \
	X(wb_locked, "dirty blocks passed by in that: locked")                                   \
	X(wb_holds_ended, "held blocks written all the same: no frame could be had otherwise")   \
	X(wb_errors, "writes of metadata in mid-transaction that failed")                        \
	X(hold_blocks, "blocks held for a handle")                                               \
	X(hold_untracked, "blocks that a handle had no memory to note")                          \
	X(bt_searches, "tree searches")                                                          \
	X(bt_cows, "tree blocks copied to be changed")                                           \
	X(bt_recows, "tree blocks copied again in the transaction that had made them")           \
	X(bt_own_recows, "tree blocks copied again by the handle that had made them")            \
	X(bt_splits, "tree blocks split")                                                        \
	X(bt_merges, "tree blocks emptied or merged away")                                       \
	X(bt_restarts_read, "searches started over: a block had to be read")                     \
	X(bt_restarts_level, "searches started over: locks from further up were needed")         \
	X(bt_restarts_spares, "searches started over: the tree had grown, spares were short")    \
	X(bt_restarts_lab, "searches started over: the laboratory wanted it")                    \
	X(bt_restarts_root, "searches started over: the root moved meanwhile")                   \
	X(file_read_bytes, "file bytes delivered")                                               \
	X(file_readahead_bytes, "file bytes read ahead")                                         \
	X(file_readahead_wasted, "bytes read ahead and dropped unread")                          \
	X(file_csum_errors, "data sectors with a bad checksum on every copy")                    \
	X(file_decompressed_bytes, "bytes that decompression gave")                              \
	X(space_tickets, "reservations that had to wait")                                        \
	X(space_ticket_fails, "reservations that waited in vain")                                \
	X(space_steals, "tickets served out of the global reserve")                              \
	X(space_rows, "reclaim rows run")                                                        \
	X(rsv_overruns, "blocks taken beyond what was set aside")                                \
	X(rsv_fresh, "blocks that a dry reserve got by a new reservation")                       \
	X(rsv_global, "blocks taken from the global reserve in need")                            \
	X(rsv_emergency, "blocks got by looking past all promises")                              \
	X(bg_alloc_chunks, "chunk allocations as the allocator's last resort")                      \
	X(dref_changes, "changes of extents' references, before merging")                         \
	X(dref_runs, "extents whose delayed references were run")                              \
	X(txn_handles, "transaction handles begun")                                              \
	X(txn_chunk_fails, "chunk allocations ahead of need that found no room")                 \
	X(txn_commits, "transactions committed")                                                 \
	X(txn_rounds, "rounds until root and block-group items were settled in commits")         \
	X(txn_aborts, "transactions aborted")                                                    \
	X(txn_leaks, "closes that found space promised to nobody")

struct counters {
#define X(name, text) _Atomic uint64_t name;
	COUNTERS(X)
#undef X
};

#define counter_add(c, name, n) \
	atomic_fetch_add_explicit(&(c)->name, (n), memory_order_relaxed)
#define counter_inc(c, name) counter_add(c, name, 1)
#define counter_get(c, name) atomic_load_explicit(&(c)->name, memory_order_relaxed)

#endif
