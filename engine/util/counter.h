/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Event counters: relaxed atomics, one table a filesystem, read through lab.h. */
#ifndef UBTRFS_ENGINE_UTIL_COUNTER_H
#define UBTRFS_ENGINE_UTIL_COUNTER_H

#include <stdatomic.h>
#include <stdint.h>

#define COUNTERS(X)                                                                              \
	X(io_read_ops, "transfers read from devices")                                            \
	X(io_read_bytes, "bytes read from devices")                                              \
	X(io_errors, "transfers that a device failed")                                           \
	X(vol_bad_copies, "copies that failed their check")                                      \
	X(vol_rebuilds, "units rebuilt from parity")                                             \
	X(vol_unreadable, "units that no copy could give")                                       \
	X(cache_hits, "metadata blocks found in the cache")                                      \
	X(cache_reads, "metadata blocks read and checked")                                       \
	X(cache_evictions, "metadata blocks dropped for room")                                   \
	X(cache_waits, "waits for a free frame")                                                 \
	X(bt_searches, "tree searches")                                                          \
	X(file_read_bytes, "file bytes delivered")                                               \
	X(file_readahead_bytes, "file bytes read ahead")                                         \
	X(file_readahead_wasted, "bytes read ahead and dropped unread")                          \
	X(file_csum_errors, "data sectors with a bad checksum on every copy")                    \
	X(file_decompressed_bytes, "bytes that decompression gave")

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
