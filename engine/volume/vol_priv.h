/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inside volume/: what a volume is made of, and the seams between its files. */
#ifndef UBTRFS_ENGINE_VOLUME_VOL_PRIV_H
#define UBTRFS_ENGINE_VOLUME_VOL_PRIV_H

#include "engine/util/fault.h"
#include "engine/volume/raid.h"
#include "engine/volume/vol.h"

#include <pthread.h>
#include <stdatomic.h>

/* Far above what can be made; a hostile chunk tree may name anything. */
#define VOL_MAX_DEVICES 4096
/* Seeds that are looked for, each among all block devices: a chain of them is seldom longer than one. */
#define VOL_MAX_SEED_SCANS 8

/*
 * A device that is there, or that only a chunk or a device item names (missing: bdev is NULL). It
 * is known by its number and its uuid together: a replaced device's number is used again.
 */
struct vol_dev {
	uint64_t devid;
	uint8_t uuid[16];
	uint8_t fsid[16]; /* by its device item, or until that is known by its superblock */
	struct bdev *bdev;
	uint64_t generation; /* of its superblock */
	uint64_t total_bytes;
	uint64_t bytes_used;
	bool listed; /* has a device item in the chunk tree */
	bool seed;
	_Atomic bool stale; /* its superblock is older than the volume's, or a write failed */
	/* What superblocks say of it: the last that was read or registered. */
	struct btrfs_dev_item item;
	uint64_t tried;	     /* generation of a superblock that may or may not be on it; 0: none */
	_Atomic bool missed;	    /* something of this transaction, see vol_write.c */
	_Atomic bool missed_before; /* of the one whose superblock is to come, since vol_switch */
	_Atomic uint64_t write_errors, flush_errors;
};

struct vol_stripe {
	struct vol_dev *dev;
	uint64_t physical;
};

struct vol_chunk {
	uint64_t logical;
	uint64_t len;
	uint64_t type;
	const struct raid_profile *profile;
	unsigned num_stripes;
	unsigned sub_stripes;
	unsigned data_stripes; /* 0: nothing can be read (a remapped chunk has no stripes) */
	uint32_t stripe_len;
	struct vol_chunk *gone; /* on the graveyard: the next one */
	struct vol_stripe stripes[];
};

/* Chunks, ascending by logical and without overlap. See vol_chunk.c for how it changes. */
struct chunk_map {
	struct chunk_map *older; /* replaced by this one; readers may still look at it */
	unsigned max;
	_Atomic unsigned nr;
	struct vol_chunk *chunks[];
};

struct vol {
	struct vol_opts opts;
	enum bdev_share share; /* for devices that are found later */
	enum bdev_io_mode mode;
	struct msg *msg;
	struct counters *counters;
	struct btrfs_super_block super;
	bool switched; /* vol_switch was called since the last store */
	struct btrfs_geometry geo;
	struct vol_dev *super_dev; /* where `super` was read, */
	int super_copy;		   /* and which copy it is */
	struct vol_dev **devs;	   /* ascending by devid, uuid */
	unsigned nr_devs, max_devs;
	unsigned seed_scans;
	struct chunk_map *_Atomic map; /* NULL: no chunks yet */
	bool shared;		       /* vol_finish was called: any thread may be looking */
	pthread_mutex_t change_lock;   /* one change of the map at a time; devices' items */
	struct vol_chunk *graveyard;   /* removed chunks. change_lock */
};

#define vol_count(v, name, n)                                                                      \
	do {                                                                                       \
		if ((v)->counters)                                                                 \
			counter_add((v)->counters, name, (n));                                     \
	} while (0)

/* vol_super.c: the first valid superblock of one device. */
struct super_found {
	struct btrfs_super_block sb;
	int copy;
};
/*
 * Return: 0; -EINVAL (no btrfs magic anywhere), -EUCLEAN (none valid), -EIO, each said at `level`.
 */
int super_read(struct bdev *dev, const struct vol_opts *opts, enum msg_level level, struct msg *msg,
	       struct super_found *out_found);
/* Reads and checks one copy. Return: as above, silently; -ENXIO if the device ends before it. */
int super_read_copy(struct bdev *dev, int copy, bool ignore_csum, struct btrfs_super_block *out_sb,
		    struct btrfs_check_error *err);

/* vol_dev.c */
/* The device with this number and uuid, or NULL. */
struct vol_dev *vol_dev_find(const struct vol *v, uint64_t devid, const uint8_t uuid[16]);
/* The same, added as missing if it is not known. 0, -ENOMEM, -EUCLEAN (too many). */
int vol_dev_want(struct vol *v, uint64_t devid, const uint8_t uuid[16], struct vol_dev **out_dev);
/*
 * Takes a device whose superblock was found; `seed`: it is of another filesystem. Of two that claim
 * to be the same device the newer one stays and the other is closed. The volume's superblock
 * becomes this one's if that is newer. Return: 0, -ENOMEM, -EUCLEAN, and -EINVAL if it is
 * truncated; on failure `dev` is still the caller's.
 */
int vol_dev_attach(struct vol *v, struct bdev *dev, const struct super_found *found, bool seed);
/* Refuses a device that is shorter than the filesystem believes, or warns if the options allow it.
 */
int vol_dev_check_length(struct vol *v, const struct bdev *dev, uint64_t devid,
			 uint64_t total_bytes);
/* "devid 2 (/dev/sdb)" or "devid 2 (uuid, missing)" */
const char *vol_dev_text(const struct vol_dev *dev, char *buf, size_t size);
#define VOL_DEV_TEXT 320

/* vol_scan.c: attaches block devices of this filesystem that are not there yet. 0, -ENOMEM. */
int vol_scan(struct vol *v, const uint8_t fsid[16], bool seed);
/* The same for given paths. */
int vol_scan_path(struct vol *v, const char *path, const uint8_t fsid[16], bool seed);

/* vol_chunk.c: the chunk that holds `logical`, or NULL. */
const struct vol_chunk *vol_chunk_at(const struct vol *v, uint64_t logical);
/* The map as it is now, `*out_nr` chunks of it; lives until vol_close. */
struct vol_chunk *const *vol_chunks(const struct vol *v, unsigned *out_nr);
void vol_chunks_init(struct vol *v);
void vol_chunks_fini(struct vol *v);

/* A run of logical bytes that is contiguous on every copy. */
struct vol_span {
	const struct vol_chunk *chunk;
	struct raid_place at;
	uint64_t logical;
	uint64_t len;
};
/* The span that starts at `logical`, at most `max` bytes of it. 0, or -ENXIO if nothing maps it. */
int vol_span_at(const struct vol *v, uint64_t logical, uint64_t max, struct vol_span *out_span);
/* A part of a span. */
static inline struct vol_span vol_span_part(const struct vol_span *s, uint64_t off, uint64_t len)
{
	struct vol_span part = *s;

	part.logical += off;
	part.at.dev_off += off;
	part.at.left -= off;
	part.len = len;
	return part;
}
/* The stripe that has copy `copy` (from 0) of a span. */
static inline const struct vol_stripe *vol_span_stripe(const struct vol_span *s, unsigned copy)
{
	return &s->chunk->stripes[s->at.first + copy];
}

/*
 * vol_parity.c: one row of a raid5/6 chunk while its data column `at.column` is being rebuilt. What
 * is rebuilt comes from the sums of the other columns with P and Q, one solution for each guess of
 * what else is wrong.
 */
struct parity_row {
	const struct vol_span *span;
	uint8_t *sp;   /* P and the other columns, summed */
	uint8_t *sq;   /* Q and the other columns, each times 2^i */
	uint8_t *bufs; /* for reading; the sums lie behind them */
	uint32_t len;
	unsigned lost_columns; /* other data columns that could not be read */
	unsigned lost_column;  /* one of them */
	bool have_p, have_q;
	bool q_read; /* tried to */
	int err;     /* why something could not be read: -EIO rather than -ENXIO */
};
/* Reads the row for [0, len) of the span. 0, -ENOMEM. What can't be read is noted in *row. */
int parity_row_begin(struct parity_row *row, const struct vol_span *span);
void parity_row_end(struct parity_row *row);
/* Number of guesses for this chunk. */
unsigned parity_guesses(const struct vol_chunk *c);
/*
 * Writes what bytes [off, off + len) of the target are if guess `n` is right. False if it can't be:
 * it needs something that could not be read. Reads Q when it is first needed.
 */
bool parity_row_solve(struct parity_row *row, unsigned n, uint32_t off, uint8_t *buf, uint32_t len);

/* vol_repair.c: units that the first reading did not give. */
struct vol_judge {
	struct vol *v;
	uint32_t unit;
	vol_verify_fn verify; /* may be NULL */
	void *arg;
	bool hint; /* as in struct vol_io */
};
static inline bool vol_unit_is_good(const struct vol_judge *j, uint64_t logical, const void *buf)
{
	return !j->verify || PLANTED("vol_believe_first") ||
	       j->verify(j->arg, logical, buf, j->unit);
}

/* Units that are repaired together, at most. */
#define VOL_RUN_MAX 64
/* Of a run: the first unit that no way gave, and why. */
struct vol_repair_result {
	unsigned good;
	unsigned first_bad; /* index; meaningful if ret is not 0 */
	int ret;	    /* 0, or -EUCLEAN, -EIO, -ENXIO of first_bad; or -ENOMEM */
};
/*
 * Gets `nr` units at the start of the span, which holds them whole, in every other way than the
 * first reading. `first`: the copy (from 0) that was read; first_res: 0 if it was read and failed
 * the verify, VOL_NOT_READ if it was passed over on purpose, else its error.
 */
#define VOL_NOT_READ (-ESTALE)
void vol_repair_run(const struct vol_judge *j, const struct vol_span *span, uint8_t *buf,
		    unsigned nr, unsigned first, int first_res, struct vol_repair_result *out);
/* One unit that lies in several spans. `was_read`: it was, and failed the verify. 0 or its error.
 */
int vol_repair_spread(const struct vol_judge *j, uint64_t logical, uint8_t *buf, bool was_read);

/* vol_open.c: whether every byte of the chunk can be had without the lost devices. */
bool vol_chunk_bears(const struct vol_chunk *c, bool (*lost)(const struct vol_dev *dev));

/* vol_write.c */
/* A device of ours that writing goes to. */
static inline bool vol_dev_is_written(const struct vol_dev *dev)
{
	return dev->bdev && !dev->seed && bdev_writable(dev->bdev);
}
/* Marks it stale, and says it the first time. */
void vol_dev_failed(struct vol *v, struct vol_dev *dev, const char *what);
/* 0, or -EIO if the devices that missed something, and the missing ones, are more than a chunk bears. */
int vol_bears_missed(const struct vol *v);

/* vol_read.c: one copy of a span (0-based), into buf; -ENXIO if its device is missing. */
int vol_span_read(const struct vol_span *span, unsigned copy, uint8_t *buf);

#endif
