/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Of a writable filesystem: locks on inodes, references to inodes, and subvolumes that are ready
 * for changes.
 *
 * An inode's lock is held for writing over a change of it, of its names (the directory's lock too),
 * or of its contents, and for reading over what looks at several of its items at once.
 *
 * Locks: rename lock → subvolume → inodes, ascending by (subvolume, number) → what txn/ and below
 * have. The short locks of the tables in here are taken last and alone.
 */
#ifndef UBTRFS_ENGINE_API_ILOCK_PRIV_H
#define UBTRFS_ENGINE_API_ILOCK_PRIV_H

#include "engine/engine.h"
#include "engine/txn/fs.h"

#include <pthread.h>
#include <sys/queue.h>

struct ilock_table;
struct iref_table;

/* An inode somebody locks or has open; exists as long as that. */
struct ilock {
	struct eng_ino id;
	pthread_rwlock_t lock;
	LIST_HEAD(, eng_file) files; /* open ones; changed under the write lock */
	struct ilock *next;	     /* the table's */
	unsigned users;
};

MUST_CHECK int ilock_table_create(struct ilock_table **out_table);
/* No lock is held, no file open. NULL is fine. */
void ilock_table_destroy(struct ilock_table *t);
/* The inode's lock, not taken, to be put. NULL: no memory. */
struct ilock *ilock_get(struct ilock_table *t, struct eng_ino id);
void ilock_put(struct ilock_table *t, struct ilock *l);

/* Inodes locked together for writing. */
#define ILOCK_MAX 4
struct ilock_set {
	struct ilock_table *table;
	unsigned nr;
	struct ilock *locks[ILOCK_MAX]; /* ascending */
};
/* Takes them in their order; the same twice is once. 0; -ENOMEM, nothing held. */
MUST_CHECK int ilock_set_take(struct ilock_set *set, struct ilock_table *t,
			      const struct eng_ino *ids, unsigned nr);
/* One more: waits only where the order allows it. 0, also if it is held; -EAGAIN; -ENOMEM. */
MUST_CHECK int ilock_set_add(struct ilock_set *set, struct eng_ino id);
void ilock_set_release(struct ilock_set *set);
/* Gives one of them up, if it is held. */
void ilock_set_drop(struct ilock_set *set, struct eng_ino id);
/* The lock of this inode in a set that holds it. */
struct ilock *ilock_set_find(const struct ilock_set *set, struct eng_ino id);

/* ---- references: inodes that outlive their last name ---- */

MUST_CHECK int iref_table_create(struct iref_table **out_table);
void iref_table_destroy(struct iref_table *t);
/* One more reference. False: there is none yet, and `first` is not set, or (*out_err) there is no
 * memory for it. */
bool iref_add(struct iref_table *t, struct eng_ino id, bool first, int *out_err);
/* `nr` fewer. True: that was the last one, and the inode had been told to be an orphan. */
bool iref_sub(struct iref_table *t, struct eng_ino id, uint64_t nr);
/* The inode has lost its last name (or, !orphan, got one again). False: nobody refers to it. */
bool iref_set_orphan(struct iref_table *t, struct eng_ino id, bool orphan);
/* Takes any orphan out, with all its references. False: there is none. */
bool iref_take_orphan(struct iref_table *t, struct eng_ino *out_id);
uint64_t iref_nr(struct iref_table *t);

#endif
