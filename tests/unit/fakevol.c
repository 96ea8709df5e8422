// SPDX-License-Identifier: GPL-2.0-or-later
/* The fake volume: see fakevol.h. The functions of vol.h that the cache and the trees use. */
#include "tests/unit/fakevol.h"
#include "engine/util/fault.h"
#include "ondisk/csum.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BASE (1ull << 30)

static void hear(void *arg, enum msg_level level, const char *text)
{
	struct fake_heard *h = arg;

	if (level == MSG_ERR)
		h->errors++;
	if (level == MSG_WARN)
		h->warnings++;
	snprintf(h->last, sizeof(h->last), "%s", text);
	if (getenv("UBTRFS_TEST_VERBOSE"))
		fprintf(stderr, "%s\n", text);
}

static void *must(void *p)
{
	if (!p)
		abort();
	return p;
}

struct vol *fakevol_create(uint32_t nodesize)
{
	struct vol *v = must(calloc(1, sizeof(*v)));

	v->geo = (struct btrfs_geometry){
		.nodesize = nodesize,
		.sectorsize = 4096,
		.csum_type = BTRFS_CSUM_TYPE_CRC32,
		.csum_size = 4,
		.incompat = BTRFS_FEATURE_INCOMPAT_MIXED_BACKREF,
		.generation = FAKE_GENERATION,
		.total_bytes = 1ull << 40,
		.fsid = "fake filesystem",
	};
	if (msg_create(hear, &v->heard, &v->msg))
		abort();
	return v;
}

void fakevol_destroy(struct vol *v)
{
	for (unsigned i = 0; i < v->nr; i++)
		for (int c = 0; c < FAKE_COPIES; c++)
			free(v->blocks[i][c]);
	free(v->blocks);
	msg_destroy(v->msg);
	free(v);
}

uint64_t fakevol_alloc(struct vol *v)
{
	if (!(v->nr & (v->nr - 1)))
		v->blocks = must(realloc(v->blocks, (2 * v->nr + 1) * sizeof(*v->blocks)));
	for (int c = 0; c < FAKE_COPIES; c++)
		v->blocks[v->nr][c] = must(calloc(1, v->geo.nodesize));
	return BASE + (uint64_t)v->nr++ * v->geo.nodesize;
}

void *fakevol_block(struct vol *v, uint64_t logical, int copy)
{
	assert(logical >= BASE && (logical - BASE) / v->geo.nodesize < v->nr);
	return v->blocks[(logical - BASE) / v->geo.nodesize][copy];
}

void fakevol_seal(struct vol *v, uint64_t logical)
{
	struct btrfs_header *h = fakevol_block(v, logical, 0);

	btrfs_csum(v->geo.csum_type, (uint8_t *)h + BTRFS_CSUM_SIZE,
		   v->geo.nodesize - BTRFS_CSUM_SIZE, h->csum);
	memcpy(fakevol_block(v, logical, 1), h, v->geo.nodesize);
}

void *fakevol_format(struct vol *v, uint64_t logical, int level, uint64_t owner)
{
	struct btrfs_header *h = fakevol_block(v, logical, 0);

	memset(h, 0, sizeof(*h));
	memcpy(h->fsid, v->geo.fsid, sizeof(h->fsid));
	h->bytenr = le64_make(logical);
	h->flags = le64_make(BTRFS_HEADER_FLAG_WRITTEN | (uint64_t)BTRFS_MIXED_BACKREF_REV
								 << BTRFS_BACKREF_REV_SHIFT);
	h->generation = le64_make(FAKE_GENERATION - 1);
	h->owner = le64_make(owner);
	h->level = level;
	return h;
}

/* ---- vol.h ---- */

const struct btrfs_geometry *vol_geometry(const struct vol *v)
{
	return &v->geo;
}

struct msg *vol_msg(const struct vol *v)
{
	return v->msg;
}

struct counters *vol_counters(const struct vol *v)
{
	return (struct counters *)&v->counters;
}

static int read_one(struct vol *v, uint64_t logical, void *buf, uint32_t len, vol_verify_fn verify,
		    void *arg)
{
	uint64_t index = (logical - BASE) / v->geo.nodesize;

	v->reads++;
	if (logical < BASE || index >= v->nr)
		return -ENXIO;
	assert(len == v->geo.nodesize);
	if (fault_hit(FAULT_READ) || v->dead == logical)
		return -EIO;
	for (int c = 0; c < FAKE_COPIES; c++) {
		memcpy(buf, v->blocks[index][c], len);
		if (!verify || verify(arg, logical, buf, len))
			return 0;
	}
	return -EUCLEAN;
}

int vol_read(struct vol *v, uint64_t logical, void *buf, uint32_t len, uint32_t unit,
	     vol_verify_fn verify, void *arg, struct vol_read_result *res)
{
	if (v->delay_us)
		usleep(v->delay_us);
	return read_one(v, logical, buf, len, verify, arg);
}

int vol_read_many(struct vol *v, struct vol_io *ios, unsigned nr)
{
	int err = 0;

	v->batches++;
	if (v->delay_us)
		usleep(v->delay_us);
	for (unsigned i = 0; i < nr; i++) {
		ios[i].res = read_one(v, ios[i].logical, ios[i].buf, ios[i].len, ios[i].verify,
				      ios[i].arg);
		if (!err)
			err = ios[i].res;
	}
	return err;
}
