/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the whole walk share. */
#ifndef UBTRFS_TESTS_LIB_WHOLEWALK_PRIV_H
#define UBTRFS_TESTS_LIB_WHOLEWALK_PRIV_H

#include <xxhash.h>
#include "engine/inspect.h"
#include "tests/lib/wholewalk.h"

#define WALK_IO 65536
#define WALK_SUBVOLS 256

struct walk {
	struct eng_fs *fs;
	struct wholewalk_limits left; /* counts down */
	struct wholewalk *out;
	XXH64_state_t *hash; /* of the half that is walked */
	uint64_t subvols[WALK_SUBVOLS];
	bool entered[WALK_SUBVOLS];
	unsigned subvol_nr;
	uint8_t io[WALK_IO];
};

void walk_files(struct walk *w);
void walk_raw(struct walk *w);
/* One regular file's data, by all ways to it. */
void walk_data(struct walk *w, const struct eng_attr *attr);

static inline void walk_add(struct walk *w, const void *p, size_t len)
{
	XXH64_update(w->hash, p, len);
}

static inline void walk_add64(struct walk *w, uint64_t v)
{
	walk_add(w, &v, sizeof(v));
}

/* Notes a failed call; true if it failed. */
static inline bool walk_failed(struct walk *w, int64_t ret)
{
	if (ret >= 0)
		return false;
	w->out->errors++;
	w->out->by_errno[-ret < WHOLEWALK_ERRNOS ? -ret : 0]++;
	return true;
}

/* Takes from what is left of a limit; false: none is left. */
static inline bool walk_take(struct walk *w, uint64_t *left, uint64_t n)
{
	if (*left < n) {
		w->out->cut = true;
		return false;
	}
	*left -= n;
	return true;
}

#endif
