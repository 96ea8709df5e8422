// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Reading files: random layouts against a model of their bytes, through both ways of reading; bad copies,
 * bad sectors, missing checksums, bad streams; read-ahead by many threads; each failing allocation.
 */
#include "engine/util/fault.h"
#include "tests/unit/flatfs.h"
#include "tests/unit/packers.h"
#include "tests/unit/plants.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#define TOP BTRFS_FIRST_FREE_OBJECTID
#define INO 300
#define REG BTRFS_FILE_EXTENT_REG
#define PRE BTRFS_FILE_EXTENT_PREALLOC
#define MAX_EXTENT (128u << 10)
#define GUARD 0xa5

/* A file and what it must read as. */
struct model {
	struct flatfs *f;
	const struct root *root;
	struct ino_attr attr;
	uint8_t *bytes;
	uint64_t size, pos;       /* pos: built so far, whole sectors */
	uint32_t sector;
	unsigned seed, flags;
};

static void model_begin(struct model *m, unsigned seed, uint32_t sector, unsigned csum_type, uint64_t size)
{
	*m = (struct model){ .size = size, .sector = sector, .seed = seed, .flags = FLAT_CSUM };
	m->f = flatfs_create(sector > 16384 ? sector : 16384, sector, csum_type);
	m->f->max_items = sector > 16384 ? 0 : 6;
	m->bytes = calloc(1, size + 2 * MAX_EXTENT + sector);
	flat_inode(m->f, TOP, S_IFDIR | 0755, 0, 0);
}

static void model_end(struct model *m, uint64_t inode_flags, unsigned workers, uint64_t readahead)
{
	flat_inode(m->f, INO, S_IFREG | 0644, m->size, inode_flags);
	m->root = flat_open(m->f, workers, readahead);
	assert_int_equal(ino_load(&m->f->fs, m->root, INO, &m->attr), 0);
}

static void model_destroy(struct model *m)
{
	flatfs_destroy(m->f);
	free(m->bytes);
}

static unsigned rnd(struct model *m, unsigned n)
{
	return (unsigned)rand_r(&m->seed) % n;
}

static void add_plain(struct model *m, unsigned sectors)
{
	uint64_t len = (uint64_t)sectors * m->sector, skip = rnd(m, 3) * m->sector;
	uint8_t *data = malloc(len + skip + m->sector);
	uint64_t disk;

	pack_sample(&m->seed, 100, data, len + skip + m->sector);
	disk = flat_data(m->f, data, len + skip + m->sector, m->flags);
	flat_extent(m->f, INO, m->pos, REG, 0, disk, len + skip + m->sector, skip, len,
		    len + skip + m->sector);
	memcpy(m->bytes + m->pos, data + skip, len);
	m->pos += len;
	free(data);
}

/* `short_by`: bytes that the stream ends before the extent does. Returns the extent's address. */
static uint64_t add_compressed(struct model *m, unsigned type, uint32_t ram, uint32_t skip, uint32_t len,
			       uint32_t short_by)
{
	uint8_t *data = calloc(1, ram), *packed = calloc(1, 2 * MAX_EXTENT);
	size_t got;
	uint64_t disk, disk_len;

	pack_sample(&m->seed, 30, data, ram - short_by);
	got = pack(type, m->sector, false, data, ram - short_by, packed, 2 * MAX_EXTENT);
	disk_len = (got + m->sector - 1) / m->sector * m->sector;
	disk = flat_data(m->f, packed, disk_len, m->flags);
	flat_extent(m->f, INO, m->pos, REG, type, disk, disk_len, skip, len, ram);
	memcpy(m->bytes + m->pos, data + skip, len);
	m->pos += len;
	free(data);
	free(packed);
	return disk;
}

static void add_random_compressed(struct model *m)
{
	unsigned max = MAX_EXTENT / m->sector, ram = 2 + rnd(m, max - 1);
	unsigned skip = rnd(m, 2) ? 0 : rnd(m, ram), len = 1 + rnd(m, ram - skip);
	unsigned type = BTRFS_COMPRESS_ZLIB + rnd(m, 3);

	add_compressed(m, type, ram * m->sector, skip * m->sector, len * m->sector,
		       rnd(m, 3) ? 0 : rnd(m, m->sector * 2 - 1));
}

static void add_inline(struct model *m)
{
	unsigned len = 1 + rnd(m, 2000);
	uint8_t data[2000], packed[6000];
	size_t got;

	pack_sample(&m->seed, 10, data, len);
	got = pack(BTRFS_COMPRESS_ZLIB + rnd(m, 3), m->sector, true, data, len, packed, sizeof(packed));
	if (rnd(m, 2) || !got)
		flat_inline(m->f, INO, 0, len, data, len);
	else
		flat_inline(m->f, INO, packed[0] == 0x28 ? BTRFS_COMPRESS_ZSTD :
				       packed[0] == 0x78 ? BTRFS_COMPRESS_ZLIB :
							   BTRFS_COMPRESS_LZO,
			    len, packed, got);
	memcpy(m->bytes, data, len);
	m->pos = m->sector;
}

static void add_random(struct model *m)
{
	unsigned sectors = 1 + rnd(m, 12);

	switch (rnd(m, 7)) {
	case 0: /* no item at all */
		m->pos += sectors * m->sector;
		break;
	case 1:
		flat_extent(m->f, INO, m->pos, REG, 0, 0, 0, 0, sectors * m->sector,
			    sectors * m->sector);
		m->pos += sectors * m->sector;
		break;
	case 2:
		flat_extent(m->f, INO, m->pos, PRE, 0, 16 << 20, sectors * m->sector, 0,
			    sectors * m->sector, sectors * m->sector);
		m->pos += sectors * m->sector;
		break;
	case 3:
	case 4:
		add_plain(m, sectors);
		break;
	default:
		add_random_compressed(m);
		break;
	}
}

static void random_model(struct model *m, unsigned seed, uint32_t sector, unsigned csum_type,
			 unsigned workers, uint64_t readahead)
{
	model_begin(m, seed, sector, csum_type, 0);
	m->size = (600 << 10) + rnd(m, 1500 << 10);
	free(m->bytes);
	m->bytes = calloc(1, m->size + 2 * MAX_EXTENT + 16 * sector);
	if (rnd(m, 2))
		add_inline(m);
	while (m->pos < m->size)
		add_random(m);
	model_end(m, 0, workers, readahead);
}

/* Reads and compares; 0, or 1 if something is wrong. `s` NULL: without a stream. */
static int read_check(struct model *m, struct fread_stream *s, uint64_t off, uint8_t *buf, size_t len)
{
	uint64_t left = off < m->size ? m->size - off : 0;
	int64_t want = (int64_t)(len < left ? len : left), got;

	buf[len] = GUARD;
	got = s ? fread_read(s, off, buf, len) :
		  fread_at(&m->f->fs, m->root, INO, &m->attr, off, buf, len);
	return got != want || buf[len] != GUARD || (want && memcmp(buf, m->bytes + off, (size_t)want));
}

static int random_reads(struct model *m, struct fread_stream *s, unsigned nr)
{
	const size_t room = 400 << 10;
	uint8_t *buf = aligned_alloc(4096, room + 8192);
	int bad = 0;

	for (unsigned i = 0; i < nr && !bad; i++) {
		size_t len = 1 + rnd(m, rnd(m, 2) ? 9000 : (unsigned)room);
		uint64_t off = rnd(m, (unsigned)m->size + 5000);
		unsigned shift = rnd(m, 2) ? 0 : rnd(m, 100);

		if (rnd(m, 2))
			off &= ~4095ull;
		if (rnd(m, 2))
			len = (len + 4095) & ~4095ull;
		bad = read_check(m, s, off, buf + shift, len);
		if (bad)
			fprintf(stderr, "read of %zu at %llu is wrong\n", len, (unsigned long long)off);
	}
	free(buf);
	return bad;
}

static int sequential_reads(struct model *m, struct fread_stream *s, size_t step)
{
	uint8_t *buf = aligned_alloc(4096, (step + 8191) & ~4095ull);
	int bad = 0;

	for (uint64_t off = 0; off < m->size && !bad; off += step)
		bad = read_check(m, s, off, buf, step);
	bad |= read_check(m, s, m->size, buf, step);
	free(buf);
	return bad;
}

static void test_random(void **state)
{
	static const uint32_t sectors[] = { 4096, 4096, 4096, 16384, 4096, 65536 };

	(void)state;
	for (unsigned seed = 1; seed <= 18; seed++) {
		struct fread_stream *s;
		struct model m;

		random_model(&m, seed, sectors[seed % 6], seed % 4, seed % 3, 4 << 20);
		assert_int_equal(random_reads(&m, NULL, 40), 0);
		assert_int_equal(fread_open(&m.f->fs, m.root, INO, &m.attr, &s), 0);
		assert_int_equal(random_reads(&m, s, 40), 0);
		assert_int_equal(sequential_reads(&m, s, 1 + rnd(&m, 200000)), 0);
		assert_int_equal(sequential_reads(&m, s, 131072), 0);
		fread_close(s);
		if (m.f->v.errors)
			fail_msg("said: %s", m.f->v.last);
		model_destroy(&m);
	}
}

/* ---- read-ahead ---- */

struct reader {
	struct model *m;
	struct fread_stream *s;
	_Atomic uint64_t *next;
	size_t step;
	int bad;
};

static void *reader_run(void *arg)
{
	struct reader *r = arg;
	uint8_t *buf = aligned_alloc(4096, (r->step + 8191) & ~4095ull);

	for (;;) {
		uint64_t off = atomic_fetch_add(r->next, r->step);

		if (off >= r->m->size || r->bad)
			break;
		r->bad = read_check(r->m, r->s, off, buf, r->step);
		assert_true(readahead_used(r->m->f->fs.readahead) <= 8 << 20);
	}
	free(buf);
	return NULL;
}

static void big_model(struct model *m, bool compressed, unsigned workers, uint64_t readahead)
{
	model_begin(m, 3, 4096, BTRFS_CSUM_TYPE_CRC32, 12 << 20);
	m->f->max_items = 0;
	while (m->pos < m->size) {
		if (compressed)
			add_compressed(m, BTRFS_COMPRESS_ZSTD, MAX_EXTENT, 0, MAX_EXTENT, 0);
		else
			add_plain(m, 60);
		if (m->pos > m->size)
			m->size = m->pos;
	}
	model_end(m, 0, workers, readahead);
}

static void test_readahead(void **state)
{
	(void)state;
	for (int compressed = 0; compressed < 2; compressed++) {
		struct fread_stream *s;
		struct reader r[4];
		pthread_t t[4];
		_Atomic uint64_t next = 0;
		struct model m;
		const struct counters *c;

		big_model(&m, compressed, 2, 8 << 20);
		c = &m.f->v.counters;
		m.f->v.delay_us = 200;
		c = &m.f->fs.counters;
		assert_int_equal(fread_open(&m.f->fs, m.root, INO, &m.attr, &s), 0);
		for (int i = 0; i < 4; i++) {
			r[i] = (struct reader){ &m, s, &next, 128 << 10, 0 };
			assert_int_equal(pthread_create(&t[i], NULL, reader_run, &r[i]), 0);
		}
		for (int i = 0; i < 4; i++) {
			pthread_join(t[i], NULL);
			assert_int_equal(r[i].bad, 0);
		}
		assert_true(counter_get(c, file_readahead_bytes) > m.size / 2);
		/* Each byte is decompressed about once, whoever did it. */
		if (compressed)
			assert_true(counter_get(c, file_decompressed_bytes) < m.size / 2 * 3);
		fread_close(s);
		/* Only spares are left, for whoever comes next. */
		assert_true(readahead_used(m.f->fs.readahead) <= 8 << 20);
		model_destroy(&m);
	}
}

/* Two that read one file in order at different places, and one that reads here and there. */
static void test_runs(void **state)
{
	const size_t step = 128 << 10;
	uint8_t *buf = aligned_alloc(4096, step + 4096);
	const struct counters *c;
	struct fread_stream *s;
	struct model m;
	uint64_t half;

	(void)state;
	big_model(&m, false, 2, 16 << 20);
	c = &m.f->fs.counters;
	half = m.size / 2 & ~(uint64_t)(step - 1);
	assert_int_equal(fread_open(&m.f->fs, m.root, INO, &m.attr, &s), 0);
	for (uint64_t off = 0; off < half; off += step) {
		assert_int_equal(read_check(&m, s, off, buf, step), 0);
		assert_int_equal(read_check(&m, s, half + off, buf, step), 0);
		for (int i = 0; i < 5; i++)
			assert_int_equal(read_check(&m, s, rnd(&m, (unsigned)m.size - 4096), buf, 4096), 0);
	}
	assert_true(counter_get(c, file_readahead_bytes) > m.size / 3 * 2);
	assert_true(counter_get(c, file_readahead_bytes) < m.size / 3 * 4);
	fread_close(s);
	free(buf);
	model_destroy(&m);
}

/* Small reads in order: a compressed extent is decompressed once, not once a read. */
static void test_small_sequential(void **state)
{
	struct fread_stream *s;
	struct model m;

	(void)state;
	big_model(&m, true, 0, 4 << 20);
	assert_int_equal(fread_open(&m.f->fs, m.root, INO, &m.attr, &s), 0);
	assert_int_equal(sequential_reads(&m, s, 4096), 0);
	assert_true(counter_get(&m.f->fs.counters, file_decompressed_bytes) <= m.size);
	fread_close(s);
	assert_int_equal(readahead_used(m.f->fs.readahead), 0);
	model_destroy(&m);
}

/* Small reads at random places: nothing is read that was not asked for. */
static void test_random_small(void **state)
{
	struct fread_stream *s;
	struct model m;
	uint8_t *buf = aligned_alloc(4096, 8192);

	(void)state;
	big_model(&m, false, 2, 4 << 20);
	assert_int_equal(fread_open(&m.f->fs, m.root, INO, &m.attr, &s), 0);
	for (unsigned i = 0; i < 500; i++)
		assert_int_equal(read_check(&m, s, (uint64_t)rnd(&m, (unsigned)(m.size / 4096)) * 4096, buf,
					    4096),
				 0);
	assert_true(m.f->v.reads <= 500);
	assert_int_equal(counter_get(&m.f->fs.counters, file_readahead_bytes), 0);
	fread_close(s);
	free(buf);
	model_destroy(&m);
}

/* A stream that jumps about, closed while chunks are under way; and more streams than the budget bears. */
static int budget_check(void)
{
	const uint64_t cap = 3 << 20;
	struct fread_stream *s[6];
	struct model m;
	uint8_t *buf = aligned_alloc(4096, (256 << 10) + 4096);
	int bad = 0;

	big_model(&m, false, 2, cap);
	m.f->v.delay_us = 300;
	for (int i = 0; i < 6; i++)
		bad |= fread_open(&m.f->fs, m.root, INO, &m.attr, &s[i]) != 0;
	for (uint64_t off = 0; off + (256 << 10) < m.size && !bad; off += 256 << 10) {
		for (int i = 0; i < 6; i++) {
			uint64_t at = i == 5 ? rnd(&m, (unsigned)m.size) : off;

			bad |= read_check(&m, s[i], at, buf, 256 << 10);
			bad |= readahead_used(m.f->fs.readahead) > cap;
		}
	}
	for (int i = 0; i < 6; i++)
		fread_close(s[i]);
	bad |= readahead_used(m.f->fs.readahead) > cap;
	model_destroy(&m);
	free(buf);
	return bad;
}

static void test_budget(void **state)
{
	(void)state;
	assert_int_equal(budget_check(), 0);
}

/* ---- bad data ---- */

static void flip(struct model *m, uint64_t logical, int copy)
{
	m->f->v.copy[copy][logical] ^= 1;
}

/* Four plain sectors, of which the nth is bad on the given copies; what reading gives. */
static int64_t read_bad(unsigned nth, bool both, uint64_t inode_flags, unsigned rescue, unsigned data_flags,
			uint64_t off, uint8_t *buf, size_t len, char *said)
{
	struct model m;
	uint8_t data[4 * 4096];
	uint64_t disk;
	int64_t got;

	model_begin(&m, 1, 4096, BTRFS_CSUM_TYPE_XXHASH, sizeof(data));
	memset(data, 'd', sizeof(data));
	disk = flat_data(m.f, data, sizeof(data), data_flags);
	flat_extent(m.f, INO, 0, REG, 0, disk, sizeof(data), 0, sizeof(data), sizeof(data));
	flip(&m, disk + nth * 4096 + 77, 0);
	if (both)
		flip(&m, disk + nth * 4096 + 78, 1);
	model_end(&m, inode_flags, 0, 0);
	m.f->fs.rescue = rescue;
	got = fread_at(&m.f->fs, m.root, INO, &m.attr, off, buf, len);
	strcpy(said, m.f->v.last);
	if (got > 0 && !rescue && !inode_flags && memcmp(buf, data, (size_t)got))
		got = -999;
	model_destroy(&m);
	return got;
}

static int bad_last_sector(void)
{
	uint8_t buf[4 * 4096];
	char said[1024];

	/* The last sector of a run, which a comparison of one too few would let through. */
	return read_bad(3, true, 0, 0, FLAT_CSUM, 0, buf, sizeof(buf), said) != 3 * 4096;
}

static void test_bad_sectors(void **state)
{
	const size_t all = 4 * 4096;
	uint8_t *buf = aligned_alloc(4096, all);
	char said[1024];

	(void)state;
	for (unsigned nth = 0; nth < 4; nth++) {
		/* The other copy serves. */
		assert_int_equal(read_bad(nth, false, 0, 0, FLAT_CSUM, 0, buf, all, said), all);
		assert_string_equal(said, "");
		/* None does: what is before the sector is delivered. */
		assert_int_equal(read_bad(nth, true, 0, 0, FLAT_CSUM, 0, buf, all, said),
				 nth ? (int64_t)nth * 4096 : -EIO);
		assert_non_null(strstr(said, "data checksum mismatch: subvolume 5 inode 300 offset"));
		assert_non_null(strstr(said, "copies tried: 2"));
		/* Odd bounds, aside. */
		assert_int_equal(read_bad(nth, true, 0, 0, FLAT_CSUM, 100, buf, 4096 * 3 + 500, said),
				 nth ? (int64_t)nth * 4096 - 100 : -EIO);
		/* Not asked for, not noticed. */
		if (nth)
			assert_int_equal(read_bad(nth, true, 0, 0, FLAT_CSUM, 0, buf, nth * 4096u, said),
					 nth * 4096u);
		assert_int_equal(read_bad(nth, true, 0, FS_RESCUE_IGNOREDATACSUMS, FLAT_CSUM, 0, buf, all,
					  said),
				 all);
		assert_int_equal(read_bad(nth, true, BTRFS_INODE_NODATASUM, 0, 0, 0, buf, all, said), all);
	}
	/* No checksums at all: as Linux, an error, unless the file is without. */
	assert_int_equal(read_bad(0, false, 0, 0, 0, 0, buf, all, said), -EIO);
	assert_int_equal(bad_last_sector(), 0);
	free(buf);
}

static void test_unreadable(void **state)
{
	struct model m;
	uint8_t data[4 * 4096], *buf = aligned_alloc(4096, 1 << 20);
	uint64_t disk;

	(void)state;
	model_begin(&m, 1, 4096, BTRFS_CSUM_TYPE_SHA256, 5 * 4096);
	memset(data, 'd', sizeof(data));
	disk = flat_data(m.f, data, sizeof(data), FLAT_CSUM);
	flat_extent(m.f, INO, 0, REG, 0, disk, sizeof(data), 0, sizeof(data), sizeof(data));
	/* An address that no chunk maps. */
	flat_extent(m.f, INO, sizeof(data), REG, 0, 1ull << 50, 4096, 0, 4096, 4096);
	model_end(&m, BTRFS_INODE_NODATASUM, 0, 0);
	assert_int_equal(fread_at(&m.f->fs, m.root, INO, &m.attr, 0, buf, 1 << 20), 4 * 4096);
	assert_int_equal(fread_at(&m.f->fs, m.root, INO, &m.attr, 4 * 4096, buf, 100), -EIO);
	assert_non_null(strstr(m.f->v.last, "no device for data"));
	m.f->v.dead = disk + 2 * 4096;
	assert_int_equal(fread_at(&m.f->fs, m.root, INO, &m.attr, 0, buf, 1 << 20), 2 * 4096);
	assert_non_null(strstr(m.f->v.last, "data unreadable"));
	/* A stripe of a raid0 whose device is missing: what lies before it is there. */
	m.f->v.dead = 0;
	m.f->v.gone = disk + 3 * 4096;
	assert_int_equal(fread_at(&m.f->fs, m.root, INO, &m.attr, 0, buf, 1 << 20), 3 * 4096);
	assert_non_null(strstr(m.f->v.last, "no device for data"));
	assert_int_equal(fread_at(&m.f->fs, m.root, INO, &m.attr, 3 * 4096, buf, 100), -EIO);
	model_destroy(&m);
	free(buf);
}

static void test_bad_stream(void **state)
{
	uint8_t *buf = aligned_alloc(4096, 1 << 20);

	(void)state;
	for (unsigned type = BTRFS_COMPRESS_ZLIB; type <= BTRFS_COMPRESS_ZSTD; type++) {
		struct fread_stream *s;
		struct model m;
		uint64_t disk;

		model_begin(&m, type, 4096, BTRFS_CSUM_TYPE_CRC32, 3 * 65536);
		m.flags = 0;
		add_compressed(&m, type, 65536, 0, 65536, 0);
		disk = add_compressed(&m, type, 65536, 0, 65536, 0);
		add_compressed(&m, type, 65536, 0, 65536, 0);
		memset(m.f->v.copy[0] + disk, 0xff, 4096);
		model_end(&m, BTRFS_INODE_NODATASUM, 2, 4 << 20);
		assert_int_equal(fread_at(&m.f->fs, m.root, INO, &m.attr, 0, buf, 1 << 20), 65536);
		assert_int_equal(fread_at(&m.f->fs, m.root, INO, &m.attr, 65536, buf, 1 << 20), -EIO);
		assert_non_null(strstr(m.f->v.last, "cannot decompress"));
		assert_int_equal(fread_open(&m.f->fs, m.root, INO, &m.attr, &s), 0);
		assert_int_equal(fread_read(s, 0, buf, 65536), 65536);
		assert_int_equal(fread_read(s, 65536, buf, 65536), -EIO);
		assert_int_equal(fread_read(s, 65536 + 4096, buf, 4096), -EIO);
		assert_int_equal(fread_read(s, 131072, buf, 65536), 65536);
		assert_memory_equal(buf, m.bytes + 131072, 65536);
		fread_close(s);
		model_destroy(&m);
	}
	free(buf);
}

/* A stream that ends early leaves zeros, not what was in the buffer. */
static int short_stream(void)
{
	struct model m;
	uint8_t *buf = aligned_alloc(4096, 65536 + 4096);
	int bad = 0;

	model_begin(&m, 1, 4096, BTRFS_CSUM_TYPE_CRC32, 65536);
	add_compressed(&m, BTRFS_COMPRESS_ZSTD, 65536, 0, 65536, 5000);
	model_end(&m, 0, 0, 0);
	memset(buf, 0xee, 65536);
	bad = read_check(&m, NULL, 0, buf, 65536);
	model_destroy(&m);
	free(buf);
	return bad;
}

static void test_short_stream(void **state)
{
	(void)state;
	assert_int_equal(short_stream(), 0);
}

/* ---- failing allocations and reads ---- */

/* All readings of one small file; the bytes delivered must be right whatever fails. */
static void *read_all(void *arg)
{
	struct model *m = arg;
	struct fread_stream *s;
	uint8_t *buf = aligned_alloc(4096, 65536 + 4096);
	int64_t got;

	got = fread_at(&m->f->fs, m->root, INO, &m->attr, 5, buf, 65536);
	assert_true(got == 65536 || (got < 0 && got != -EUCLEAN) ||
		    (got > 0 && !memcmp(buf, m->bytes + 5, (size_t)got)));
	if (!fread_open(&m->f->fs, m->root, INO, &m->attr, &s)) {
		for (uint64_t off = 0; off < m->size; off += 32768) {
			got = fread_read(s, off, buf, 32768);
			assert_true(got == -ENOMEM || got == -EIO ||
				    (got > 0 && !memcmp(buf, m->bytes + off, (size_t)got)));
		}
		fread_close(s);
	}
	free(buf);
	return NULL;
}

static void sweep(enum fault_kind kind, unsigned workers)
{
	unsigned nth;

	for (nth = 1; nth < 4000; nth++) {
		struct model m;
		pthread_t t;
		uint64_t passed;

		model_begin(&m, 9, 4096, BTRFS_CSUM_TYPE_CRC32, 200000);
		add_inline(&m);
		add_plain(&m, 3);
		add_compressed(&m, BTRFS_COMPRESS_ZLIB, 65536, 4096, 40960, 0);
		add_compressed(&m, BTRFS_COMPRESS_LZO, 65536, 0, 65536, 100);
		add_compressed(&m, BTRFS_COMPRESS_ZSTD, 65536, 0, 65536, 0);
		m.pos += 4096;
		add_plain(&m, 8);
		model_end(&m, 0, workers, 4 << 20);
		fault_arm(kind, nth);
		/* A thread of its own, whose workspace is new. */
		assert_int_equal(pthread_create(&t, NULL, read_all, &m), 0);
		pthread_join(t, NULL);
		passed = fault_count(kind);
		fault_arm(kind, 0);
		model_destroy(&m);
		if (passed < nth)
			break;
	}
	assert_true(nth > 8 && nth < 4000);
}

static void test_faults(void **state)
{
	(void)state;
	sweep(FAULT_ALLOC, 0);
	sweep(FAULT_ALLOC, 1);
	sweep(FAULT_READ, 0);
	sweep(FAULT_READ, 1);
}

#ifdef UBTRFS_PLANT
static void test_plants(void **state)
{
	(void)state;
	assert_false(caught("none", bad_last_sector));
	assert_true(caught("dcsum_skip_last", bad_last_sector));
	assert_false(caught("none", short_stream));
	assert_true(caught("decode_no_fill", short_stream));
	assert_false(caught("none", budget_check));
	assert_true(caught("readahead_no_cap", budget_check));
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_readahead),
		cmocka_unit_test(test_runs),
		cmocka_unit_test(test_small_sequential),
		cmocka_unit_test(test_random_small),
		cmocka_unit_test(test_budget),
		cmocka_unit_test(test_bad_sectors),
		cmocka_unit_test(test_unreadable),
		cmocka_unit_test(test_bad_stream),
		cmocka_unit_test(test_short_stream),
		cmocka_unit_test(test_faults),
#ifdef UBTRFS_PLANT
		cmocka_unit_test(test_plants),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
