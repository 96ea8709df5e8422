/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A volume: the devices of one filesystem, their superblocks, and the map from logical addresses to
 * places on devices.
 *
 * Words: a *copy* is one complete set of the bytes at a logical address (mirror); on raid5/6 there is one
 * copy and parity to rebuild it. A *unit* is what one check covers: a sector of data, a node of metadata.
 *
 * Life: vol_open reads superblocks and collects devices; the opener then feeds the map, first from the
 * super's system array, then from the chunk tree (vol_chunk_add), registers what the chunk tree says of
 * devices (vol_device_add), and calls vol_finish, which refuses a volume that misses too much.
 * After vol_finish the volume may be used from any thread, and the map changes only by vol_chunk_add (of
 * devices that are known by then) and vol_chunk_remove, each in one step for whoever looks. It can be written if its devices were opened BDEV_WRITABLE.
 */
#ifndef UBTRFS_ENGINE_VOLUME_VOL_H
#define UBTRFS_ENGINE_VOLUME_VOL_H

#include "engine/io/bdev.h"
#include "ondisk/check.h"
#include "ondisk/format.h"

struct vol;

struct vol_opts {
	bool degraded;            /* allow missing, truncated and blank devices as far as profiles bear */
	bool scan;                /* look for further devices of the same fsid among block devices */
	bool ignore_csum;         /* rescue=ignoremetacsums: superblock checksums are not checked */
	bool partial;             /* for inspection: go on with whatever there is */
	/* For tests. 0: spread over the copies; n: copy n first (1-based); n > 1: raid5/6 by parity first */
	int prefer_copy;
	int super_copy;           /* -1: the first valid copy; n: only superblock copy n (inspection) */
};

/*
 * Takes `nr` open devices (given by the caller, in any order), reads all their superblock copies, finds
 * the others if `scan`. Of a device given twice the newer one is used. A device whose superblock is older
 * than the others' missed writes: it is read only when nothing else can serve.
 * Ownership: the devices are the volume's from here on, also on failure.
 * Return: 0; -EINVAL (not btrfs, truncated, devices of different filesystems); -EUCLEAN (no valid
 * superblock); -EIO; -ENOMEM. One MSG_ERR line on failure, MSG_WARN for copies that disagree.
 */
MUST_CHECK int vol_open(struct bdev **devs, unsigned nr, const struct vol_opts *opts,
			enum bdev_share share, enum bdev_io_mode mode, struct msg *msg,
			struct counters *counters, struct vol **out_vol);
void vol_close(struct vol *v);

/* The superblock that was chosen: of each device its first valid copy, of these the newest; then the last one
 * that was stored. */
const struct btrfs_super_block *vol_super(const struct vol *v);
const struct btrfs_geometry *vol_geometry(const struct vol *v);
struct msg *vol_msg(const struct vol *v);
struct counters *vol_counters(const struct vol *v);

/*
 * Adds one chunk; the item passed btrfs_check_chunk. The same chunk twice (system array and chunk tree) is
 * fine when equal. Return: 0, -EUCLEAN (overlap, unequal repeat), -ENOMEM.
 */
MUST_CHECK int vol_chunk_add(struct vol *v, uint64_t logical, const struct btrfs_chunk *chunk);
/*
 * Takes a chunk out. Transfers that were mapped before may still go on: nobody uses its addresses any more.
 * Return: 0; -ENOENT; -ENOMEM.
 */
MUST_CHECK int vol_chunk_remove(struct vol *v, uint64_t logical);
/*
 * Registers a device that the chunk tree lists; unknown ones become missing. An item whose fsid is not ours
 * names a device of a seed filesystem, which is looked for if `scan` (a few of them: a hostile
 * tree may name thousands).
 * Return: 0; -EUCLEAN (listed twice, or too many); -EINVAL (truncated: shorter than the item says, and
 * neither `degraded` nor `partial`); -ENOMEM.
 */
MUST_CHECK int vol_device_add(struct vol *v, const struct btrfs_dev_item *item);
/*
 * Judges every chunk against the devices that are there. A lost data chunk is a warning, as in Linux's
 * read-only mounts: what is left can be had. So is a num_devices that the chunk tree does not bear out.
 * Return: 0; -ENXIO (devices missing and neither `degraded` nor `partial`, or more than the profile of a
 * metadata or system chunk bears, unless `partial`; the message names devids and chunks); -EUCLEAN (no
 * device items, unless `partial`).
 */
MUST_CHECK int vol_finish(struct vol *v);

/* True if this unit is good. Called with the bytes of exactly one unit. */
typedef bool (*vol_verify_fn)(void *arg, uint64_t logical, const void *buf, uint32_t unit);

struct vol_read_result {
	uint64_t bad_logical;     /* first unit that no copy could give */
	unsigned repaired;        /* units that only another copy or parity could give */
};

/*
 * Reads [logical, logical + len), a multiple of `unit`, into buf (BDEV_ALIGN-aligned for speed). Every unit
 * is verified (verify NULL: any bytes will do); on a bad or unreadable unit the other copies are tried, then
 * the rebuild from parity. Thread-safe, blocks, takes no lock while reading.
 * Return: 0; -EIO (a unit is unreadable on every copy: device errors); -EUCLEAN (read, but no copy passes
 * verify); -ENXIO (no chunk maps it, or all its devices are missing); -ENOMEM. *res may be NULL.
 * With -EIO/-EUCLEAN the other units of the buffer are still the best that could be had.
 */
MUST_CHECK int vol_read(struct vol *v, uint64_t logical, void *buf, uint32_t len, uint32_t unit,
			vol_verify_fn verify, void *arg, struct vol_read_result *res);

/* One contiguous read of several at once: what vol_read does, for a list, in one batch of transfers. */
struct vol_io {
	uint64_t logical;
	void *buf;
	uint32_t len;
	uint32_t unit;
	vol_verify_fn verify;
	void *arg;
	bool hint;                /* what cannot be had is not said, nor counted as lost: who needs it asks again */
	int res;                  /* out: as vol_read's return */
	struct vol_read_result result; /* out */
};
/* Return: 0, or the first `res` that is not. */
MUST_CHECK int vol_read_many(struct vol *v, struct vol_io *ios, unsigned nr);

/* One write of several at once. The bytes go to every copy. */
struct vol_wio {
	uint64_t logical;
	const void *buf;          /* BDEV_ALIGN-aligned for speed */
	uint32_t len;
	/*
	 * Out: 0 if each part was written to one copy at least and no more copies failed than the profile
	 * bears (none for single, dup and raid0); -EIO; -ENXIO (no chunk maps it); -EROFS (a device is
	 * read-only or a seed); -EOPNOTSUPP (raid5/6, for now). With all but -EIO nothing was written;
	 * with -EIO any part of any copy may have been.
	 */
	int res;
	unsigned failed;          /* out: parts of copies that were not written, missing devices included */
};
/*
 * Writes them all, in any order. A device that failed a write is stale for the rest of the mount; if the
 * request succeeded all the same, the next flush judges whether the filesystem bears it.
 * Thread-safe, blocks, allocates nothing, takes no lock. Ranges that overlap, in one call or two at the
 * same time, end as a mixture.
 * Durability: none before vol_flush.
 * Return: 0, or the first `res` that is not.
 */
MUST_CHECK int vol_write_many(struct vol *v, struct vol_wio *ios, unsigned nr);
MUST_CHECK int vol_write(struct vol *v, uint64_t logical, const void *buf, uint32_t len);

/*
 * Makes durable what was written by calls that had returned before: all devices at once. Thread-safe.
 * Return: 0; -EIO: devices failed the flush, or since the last vol_super_store a write that was reported as
 * done, and together they (and missing ones) are more than some chunk bears. Then what was written since
 * that store may be lost, and a later 0 would not say that it isn't: the transaction must be aborted.
 */
MUST_CHECK int vol_flush(struct vol *v);

/*
 * What is written from here on may be of the transaction after the one whose superblock is stored next: what a
 * device misses counts for that superblock and the one after it. Nothing is being written. Once between two stores
 * or not at all; without it all that was written before a store is of that store.
 */
void vol_switch(struct vol *v);
/*
 * The commit point: writes the superblock to every copy on every device, with the device's own item, place
 * and checksum filled in; flushes all devices before and after. Everything `sb` refers to has been written
 * by calls that returned.
 * Context: one at a time; nothing else guards vol_super() and vol_device_update() against it.
 * Durability: 0: this generation is what will be found. A failure before the first copy is written leaves
 * the old one; the messages tell which it was, but a caller treats all alike: either may be found, nothing
 * may be freed or written any more.
 * Return: 0; -ESTALE (a superblock on a device is not the one that was read or stored last: another
 * writer; nothing was written); -EUCLEAN (sb fails btrfs_check_super; nothing was written); -EROFS;
 * -ENOMEM (nothing was written); -EIO (as vol_flush, or no device took the first copy).
 */
MUST_CHECK int vol_super_store(struct vol *v, const struct btrfs_super_block *sb);
/*
 * The device's item has changed (size, bytes used): superblocks carry it from the next store on.
 * -ENOENT: there is no such device. Not while a superblock is being stored: the caller's to see to.
 */
int vol_device_update(struct vol *v, const struct btrfs_dev_item *item);

/* Number of copies of what is at `logical`: 1 for single, raid0, raid5/6. -ENXIO if unmapped. */
int vol_copies(const struct vol *v, uint64_t logical);
/* Reads one given copy (1-based), unchecked, no retries: for looking at a copy as it is. */
MUST_CHECK int vol_read_copy(struct vol *v, uint64_t logical, void *buf, uint32_t len, int copy);

/* One physical piece of a logical range. */
struct vol_place {
	uint64_t logical;
	uint64_t len;
	int copy;                 /* 1-based */
	uint64_t devid;
	uint64_t physical;
	bool missing;
};
/* Calls fn for each piece of each copy of the range, ascending by copy then logical. 0, -ENXIO, or fn's non-zero. */
int vol_map(const struct vol *v, uint64_t logical, uint64_t len,
	    int (*fn)(void *arg, const struct vol_place *place), void *arg);

/* Chunks in ascending order; index past the end gives false. While chunks come and go, vol_chunk_next is steady. */
struct vol_chunk_info {
	uint64_t logical;
	uint64_t len;
	uint64_t type;            /* BTRFS_BLOCK_GROUP_* */
	unsigned num_stripes;
	unsigned sub_stripes;
	uint32_t stripe_len;
};
bool vol_chunk_get(const struct vol *v, unsigned index, struct vol_chunk_info *out_info);
/* The chunk that holds `logical`, or false. */
bool vol_chunk_find(const struct vol *v, uint64_t logical, struct vol_chunk_info *out_info);
/* The first chunk that ends above `logical`, or false. */
bool vol_chunk_next(const struct vol *v, uint64_t logical, struct vol_chunk_info *out_info);

/* What a chunk has on one device. */
struct vol_stripe_info {
	uint64_t devid;
	uint8_t uuid[16];
	uint64_t physical;
	uint64_t len;             /* of the device extent */
	bool writable;            /* the device is there, open for writing and not a seed */
};
/* Stripe `index` of the chunk that holds `logical`; false past the last. */
bool vol_chunk_stripe(const struct vol *v, uint64_t logical, unsigned index, struct vol_stripe_info *out_info);

struct vol_device_info {
	uint64_t devid;
	uint8_t uuid[16];
	uint8_t fsid[16];
	uint64_t total_bytes;     /* by its device item */
	uint64_t bytes_used;
	const char *name;         /* path, or NULL when missing; lives as long as the volume */
	bool missing;
	bool seed;
	bool writable;            /* there, open for writing, and not a seed */
	bool stale;               /* missed writes, before or in this mount: read only when nothing else serves */
	uint64_t write_errors, flush_errors; /* in this mount */
};
bool vol_device_get(const struct vol *v, unsigned index, struct vol_device_info *out_info);
/* Its item as superblocks carry it; index as vol_device_get's. */
bool vol_device_item(const struct vol *v, unsigned index, struct btrfs_dev_item *out_item);

/*
 * Re-reads that superblock: has somebody else written since vol_open?
 * Return: 0 same; 1 changed (*out_generation: the new one); -EIO.
 */
int vol_super_changed(struct vol *v, uint64_t *out_generation);

#endif
