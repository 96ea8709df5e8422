/* SPDX-License-Identifier: GPL-2.0-or-later */
/* For tests and experiments: filesystems over other disks, counters, faults. Not for front ends' daily work. */
#ifndef UBTRFS_ENGINE_LAB_H
#define UBTRFS_ENGINE_LAB_H

#include "engine/engine.h"

/* Opens images that lie in memory, one a device; opts->devices is not looked at. The memory is the caller's until eng_close. */
struct lab_image {
	const char *name;
	const void *data;
	uint64_t bytes;
};
int lab_open_images(const struct lab_image *images, unsigned nr, const struct eng_open_opts *opts,
		    struct eng_fs **out_fs);

/* Opens disks that are made of functions, as struct bdev_ops has them: read or write all or fail; all functions may be called from any thread. The disks are the caller's until eng_close. */
struct lab_disk {
	const char *name;
	uint64_t bytes;
	void *priv;
	int (*read)(void *priv, uint64_t off, void *buf, uint32_t len);
	/* NULL: a disk that is only read. */
	int (*write)(void *priv, uint64_t off, const void *buf, uint32_t len);
	int (*flush)(void *priv);
	int (*discard)(void *priv, uint64_t off, uint64_t len);
};
int lab_open_disks(const struct lab_disk *disks, unsigned nr, const struct eng_open_opts *opts,
		   struct eng_fs **out_fs);

/* How a filesystem that lab_open_* opens writable is to behave. */
enum lab_policy {
	LAB_POLICY_HOLD,          /* the default: what a handle has copied is not written before it ends */
	LAB_POLICY_NONE,
	LAB_POLICY_INHIBIT_HANDLE,
};
struct lab_opts {
	bool search_linux;        /* copy on the way down, start over when something is missing */
	bool one_pool;            /* handles share one reserve */
	bool no_threads;          /* no commit, writeback, flusher thread: everything happens in the callers' */
	bool assert_overruns;
	enum lab_policy policy;
	/* With search_linux: every nth search starts over so many times, having copied its path; 0: none does. */
	unsigned restart_every, restart_times;
	bool restart_writes;      /* all dirty metadata that is not held is written each time, in between */
};
/* For the opens that follow; NULL: as eng_open has it. Not thread-safe. */
void lab_set_opts(const struct lab_opts *opts);
/* Writes up to `max` dirty metadata blocks now, as the writeback thread would. 0 or -errno. */
int lab_writeback(struct eng_fs *fs, unsigned max);
/* Reads all trees and holds them, block groups, free space and counters against each other. No call is under way. 0; -EUCLEAN, said. */
int lab_verify(struct eng_fs *fs);
/* Ends without a commit, as a crash would. */
void lab_crash(struct eng_fs *fs);

/* Every counter with its name and meaning. */
void lab_counters(struct eng_fs *fs, void (*fn)(void *arg, const char *name, const char *text, uint64_t value),
		  void *arg);

/* Fault points (engine/util/fault.h): the nth allocation, read, write or flush from now on fails once. */
enum lab_fault {
	LAB_FAULT_ALLOC,
	LAB_FAULT_READ,
	LAB_FAULT_WRITE,
	LAB_FAULT_FLUSH,
};
void lab_fault_arm(enum lab_fault kind, uint64_t nth);
/* The same for `nr` from the nth on; UINT64_MAX: all of them. */
void lab_fault_arm_run(enum lab_fault kind, uint64_t nth, uint64_t nr);
uint64_t lab_fault_count(enum lab_fault kind);

#endif
