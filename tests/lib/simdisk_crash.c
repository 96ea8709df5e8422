// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Forks, crash states, tracking, and image files of simulated disks.
 *
 * A crash state picks one of several ways to lose writes, because each finds other mistakes: evenly
 * random ones seldom lose just one write, or keep just the superblocks.
 */
#include "tests/lib/simdisk_priv.h"

#include "ondisk/format.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How many times as often as others the moments of superblock writes are kept. */
#define SUPER_WEIGHT 10

struct simdisk *simdisk_shape(const struct simdisk *d)
{
	uint64_t bytes[SIMDISK_MAX];
	struct simdisk *f;

	for (unsigned i = 0; i < d->nr; i++)
		bytes[i] = d->members[i].blk.bytes;
	f = simdisk_create(d->nr, bytes);
	f->time = d->time;
	return f;
}

static void copy_pages(const struct pages *from, struct pages *to)
{
	pages_free(to);
	pages_copy(from, to);
}

struct simdisk *simdisk_fork_locked(struct simdisk *d)
{
	struct simdisk *f = simdisk_shape(d);

	for (unsigned i = 0; i < d->nr; i++) {
		copy_pages(&d->members[i].now, &f->members[i].now);
		copy_pages(&d->members[i].durable, &f->members[i].durable);
	}
	f->nr_pending = f->max_pending = d->nr_pending;
	f->pending = blk_must(calloc(d->nr_pending + 1, sizeof(*f->pending)));
	for (unsigned i = 0; i < d->nr_pending; i++) {
		f->pending[i] = d->pending[i];
		atomic_fetch_add(&f->pending[i].w->refs, 1);
	}
	snprintf(f->id, sizeof(f->id), "write %llu", (unsigned long long)d->time);
	return f;
}

struct simdisk *simdisk_fork(struct simdisk *d)
{
	struct simdisk *f;

	pthread_mutex_lock(&d->lock);
	f = simdisk_fork_locked(d);
	pthread_mutex_unlock(&d->lock);
	return f;
}

const char *simdisk_id(const struct simdisk *d)
{
	return d->id;
}

/* ---- crash states ---- */

static bool is_super(const struct pend *w)
{
	for (int i = 0; i < BTRFS_SUPER_MIRROR_MAX; i++)
		if (!w->discard && w->off == btrfs_sb_offset(i) && w->len == BTRFS_SUPER_INFO_SIZE)
			return true;
	return false;
}

enum way {
	WAY_PREFIX,   /* the first so many, and no more */
	WAY_HALF,     /* each by the toss of a coin */
	WAY_LOSE_ONE, /* all but one */
	WAY_KEEP_ONE, /* one */
	WAY_SHUFFLED, /* half of them, in any order, torn */
	WAY_SUPERS,   /* all superblocks, few others */
	WAY_NR,
};

static bool kept(enum way way, const struct pend *w, unsigned i, unsigned chosen, uint64_t *rng)
{
	uint64_t chance = sim_random(rng) >> 20;

	switch (way) {
	case WAY_PREFIX:
		return i < chosen;
	case WAY_LOSE_ONE:
		return i != chosen;
	case WAY_KEEP_ONE:
		return i == chosen;
	case WAY_SUPERS:
		return is_super(w) || chance % 4 == 0;
	default:
		return chance & 1;
	}
}

static void apply_part(struct simdisk *d, const struct pend *w, uint64_t from, uint64_t len)
{
	struct pages *p = &d->members[w->disk].durable;

	if (w->discard)
		pages_zero(p, w->off + from, len);
	else
		pages_write(p, w->off + from, w->data + from, (uint32_t)len);
}

static void apply(struct simdisk *d, const struct pend *w, bool torn, uint64_t *rng)
{
	/* Torn at the sectors of the disk, wherever the write begins. */
	for (uint64_t pos = 0, n; pos < w->len; pos += n) {
		n = torn ? SECTOR - (w->off + pos) % SECTOR : w->len;
		if (n > w->len - pos)
			n = w->len - pos;
		if (!torn || (sim_random(rng) >> 30 & 1))
			apply_part(d, w, pos, n);
	}
}

static void shuffle(const struct pend **list, unsigned nr, uint64_t *rng)
{
	for (unsigned i = nr; i > 1; i--) {
		unsigned k = (unsigned)sim_below(rng, i);
		const struct pend *w = list[k];

		list[k] = list[i - 1];
		list[i - 1] = w;
	}
}

struct simdisk *simdisk_crash(struct simdisk *d, uint64_t seed, unsigned flags)
{
	uint64_t rng = sim_seed(seed, simdisk_now(d));
	struct simdisk *f = simdisk_fork(d);
	enum way way = sim_below(&rng, WAY_NR);
	unsigned nr = 0, chosen = (unsigned)sim_below(&rng, f->nr_pending + 1);
	const struct pend **list = blk_must(calloc(f->nr_pending + 1, sizeof(*list)));

	for (unsigned i = 0; i < f->nr_pending; i++)
		if (kept(way, f->pending[i].w, i, chosen, &rng))
			list[nr++] = f->pending[i].w;
	if (way == WAY_SHUFFLED)
		shuffle(list, nr, &rng);
	for (unsigned i = 0; i < nr; i++) {
		bool may_tear = !is_super(list[i]) || (flags & SIMDISK_TORN_SUPERS);

		apply(f, list[i], way == WAY_SHUFFLED && may_tear && sim_below(&rng, 2) == 0, &rng);
	}
	free(list);
	for (unsigned i = 0; i < f->nr_pending; i++)
		simdisk_pend_put(f->pending[i].w);
	f->nr_pending = 0;
	for (unsigned i = 0; i < f->nr; i++)
		copy_pages(&f->members[i].durable, &f->members[i].now);
	snprintf(f->id, sizeof(f->id), "crash at write %llu, seed %llu",
		 (unsigned long long)f->time, (unsigned long long)seed);
	return f;
}

/* ---- tracking ---- */

void simdisk_track(struct simdisk *d, uint64_t from, uint64_t to, unsigned max, uint64_t seed)
{
	struct simdisk **old;
	unsigned nr_old;

	pthread_mutex_lock(&d->lock);
	old = d->states;
	nr_old = d->nr_states;
	d->states = max ? blk_must(calloc(max, sizeof(struct simdisk *))) : NULL;
	d->nr_states = 0;
	d->track_max = max;
	d->track_from = from;
	d->track_to = to;
	d->track_seen = 0;
	d->track_rng = sim_seed(seed, 0);
	pthread_mutex_unlock(&d->lock);
	for (unsigned i = 0; i < nr_old; i++)
		simdisk_destroy(old[i]);
	free(old);
}

/* Each moment so far has the same chance to be in the sample, once for each time it is offered. */
static void offer(struct simdisk *d)
{
	uint64_t slot = d->track_seen++;

	if (slot >= d->track_max)
		slot = sim_below(&d->track_rng, d->track_seen);
	if (slot >= d->track_max)
		return;
	if (slot < d->nr_states)
		simdisk_destroy(d->states[slot]);
	else
		d->nr_states++;
	d->states[slot] = simdisk_fork_locked(d);
}

void simdisk_track_locked(struct simdisk *d)
{
	unsigned times = 1;

	if (!d->track_max || d->time < d->track_from || d->time >= d->track_to)
		return;
	/* Few of many writes; and what commits do is decided at them. */
	if (d->nr_pending && is_super(d->pending[d->nr_pending - 1].w))
		times = SUPER_WEIGHT;
	while (times--)
		offer(d);
}

unsigned simdisk_tracked(const struct simdisk *d)
{
	return d->nr_states;
}

struct simdisk *simdisk_state(struct simdisk *d, unsigned index)
{
	return d->states[index];
}

/* ---- image files ---- */

#define CHUNK (64u << 10)

int simdisk_load(struct simdisk *d, unsigned i, const char *path)
{
	struct member *m = &d->members[i];
	int fd = open(path, O_RDONLY | O_CLOEXEC), ret = 0;
	uint8_t *buf = blk_must(malloc(CHUNK));
	off_t pos = 0, end = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);

	if (end < 0)
		ret = -errno;
	else if ((uint64_t)end > m->blk.bytes)
		ret = -EFBIG;
	while (!ret && (pos = lseek(fd, pos, SEEK_DATA)) >= 0) {
		ssize_t n = pread(fd, buf, CHUNK, pos);

		if (n <= 0) {
			ret = n ? -errno : 0;
			break;
		}
		pages_write(&m->now, (uint64_t)pos, buf, (uint32_t)n);
		pos += n;
	}
	copy_pages(&m->now, &m->durable);
	free(buf);
	if (fd >= 0)
		close(fd);
	return ret;
}

int simdisk_export(struct simdisk *d, unsigned i, const char *path)
{
	struct member *m = &d->members[i];
	uint8_t buf[PAGE_BYTES];
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), ret = 0;

	if (fd < 0 || ftruncate(fd, (off_t)m->blk.bytes))
		ret = -errno;
	pthread_mutex_lock(&d->lock);
	for (uint64_t off = 0; !ret && (off = pages_next(&m->now, off)) != UINT64_MAX;
	     off += PAGE_BYTES) {
		uint64_t left = m->blk.bytes - off;
		size_t n = left < PAGE_BYTES ? (size_t)left : PAGE_BYTES;

		pages_read(&m->now, off, buf, (uint32_t)n);
		if (pwrite(fd, buf, n, (off_t)off) != (ssize_t)n)
			ret = -EIO;
	}
	pthread_mutex_unlock(&d->lock);
	if (fd >= 0 && close(fd) && !ret)
		ret = -errno;
	return ret;
}
