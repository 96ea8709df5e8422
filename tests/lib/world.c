// SPDX-License-Identifier: GPL-2.0-or-later
/* See world.h. */
#include "tests/lib/world.h"

#include "ondisk/format.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Subvolumes of the images that tests/lib/write_image.py makes; those that are not there have no
 * script. */
static const char *const dirs[WORLD_DIRS] = { "", "volume", "snap" };

static void hear(void *arg, enum eng_msg_level level, const char *text)
{
	struct world *w = arg;

	if (level == ENG_MSG_ERR)
		w->errors++;
	if (level <= ENG_MSG_WARN && !w->said[0])
		snprintf(w->said, sizeof(w->said), "%s", text);
}

struct eng_open_opts world_opts(struct world *w, bool writable, uint64_t cache)
{
	return (struct eng_open_opts){
		.share = writable ? ENG_SHARE_EXCLUSIVE : ENG_SHARE_LOOK,
		.writable = writable,
		.metadata_cache = cache,
		.readahead = 1 << 20,
		.threads = 1,
		.no_uring = true,
		.message = hear,
		.message_arg = w,
	};
}

struct simdisk *world_disk(const char *image)
{
	struct simdisk *d;
	struct stat st;
	uint64_t bytes;

	if (stat(image, &st)) {
		perror(image);
		exit(2);
	}
	bytes = (uint64_t)st.st_size;
	d = simdisk_create(1, &bytes);
	if (simdisk_load(d, 0, image)) {
		fprintf(stderr, "%s: cannot be loaded\n", image);
		exit(2);
	}
	return d;
}

int world_open(struct world *w, const struct blk *disk, bool writable, uint64_t cache)
{
	struct eng_open_opts opts = world_opts(w, writable, cache);
	struct lab_disk lab = blk_lab(disk);

	if (!writable) {
		lab.write = NULL;
		lab.flush = NULL;
		lab.discard = NULL;
	}
	w->said[0] = '\0';
	w->errors = 0;
	return lab_open_disks(&lab, 1, &opts, &w->fs);
}

/* -ENOENT: not there. */
static int find(struct eng_fs *fs, unsigned i, struct eng_ino *out_dir)
{
	uint64_t subvol;
	int err = eng_subvol_by_path(fs, dirs[i], &subvol);

	if (err == -ENOTDIR || err == -EINVAL)
		err = -ENOENT;
	return err ? err : eng_subvol_root(fs, subvol, out_dir);
}

int world_load(struct world *w, uint64_t seed)
{
	w->rng = sim_seed(seed, 2);
	w->nr = 0;
	for (unsigned i = 0; i < WORLD_DIRS; i++) {
		struct eng_ino dir;
		int err = find(w->fs, i, &dir);

		if (err == -ENOENT)
			continue;
		if (!err)
			err = wander_create(w->fs, dir, sim_seed(seed, i), &w->wanders[w->nr]);
		if (err)
			return err;
		w->nr++;
	}
	return 0;
}

void world_close(struct world *w)
{
	eng_close(w->fs);
	w->fs = NULL;
	for (unsigned i = 0; i < w->nr; i++)
		wander_destroy(w->wanders[i]);
	w->nr = 0;
	w->last = NULL;
}

int world_step(struct world *w)
{
	w->last = w->wanders[sim_below(&w->rng, w->nr)];
	return wander_step(w->last, w->fs);
}

struct world_state world_state(const struct world *w)
{
	struct world_state st = { 0 };

	for (unsigned i = 0; i < w->nr; i++)
		st.hash[i] = shadow_hash(w->wanders[i]->s);
	return st;
}

bool world_same(const struct world_state *a, const struct world_state *b)
{
	return !memcmp(a->hash, b->hash, sizeof(a->hash));
}

int world_look(struct eng_fs *fs, struct shadow *out_s[WORLD_DIRS], struct world_state *out_st)
{
	unsigned nr = 0;
	int err = 0;

	*out_st = (struct world_state){ 0 };
	memset(out_s, 0, WORLD_DIRS * sizeof(*out_s));
	for (unsigned i = 0; !err && i < WORLD_DIRS; i++) {
		struct eng_ino dir;

		err = find(fs, i, &dir);
		if (err == -ENOENT) {
			err = 0;
			continue;
		}
		if (!err)
			err = shadow_load(fs, dir, &out_s[nr]);
		if (!err) {
			out_st->hash[nr] = shadow_hash(out_s[nr]);
			nr++;
		}
	}
	return err;
}

void world_free(struct shadow *s[WORLD_DIRS])
{
	for (unsigned i = 0; i < WORLD_DIRS; i++) {
		shadow_free(s[i]);
		s[i] = NULL;
	}
}

void world_tell(const struct world *w, struct shadow *got[WORLD_DIRS])
{
	for (unsigned i = 0; i < w->nr; i++)
		if (got[i] && shadow_diff(w->wanders[i]->s, got[i], 10, stdout))
			printf("  … in subvolume %llu\n",
			       (unsigned long long)w->wanders[i]->s->top->id.subvol);
}

uint64_t world_generation(const struct blk *disk)
{
	struct btrfs_super_block sb;

	if (blk_read(disk, btrfs_sb_offset(0), &sb, sizeof(sb)))
		return 0;
	return le64_get(sb.generation);
}
