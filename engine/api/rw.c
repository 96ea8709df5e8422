// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A filesystem that is open for changes: what api/ keeps for it, and what comes before each change.
 *
 * A subvolume's orphans, left by a crash, are removed before its first change: until then none that
 * was made since the opening can be among them.
 */
#include "engine/api/api_priv.h"

#include "engine/file/change.h"
#include "engine/util/fault.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* A subvolume that somebody wanted to change. Never moves, never goes. */
struct api_subvol {
	uint64_t id;
	struct api_subvol *next;
	pthread_mutex_t lock; /* held over the removal of orphans */
	_Atomic bool ready;
};

struct api_lab api_lab;

struct timespec api_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now;
}

/* ---- opening and closing ---- */

static void rw_free(struct api_rw *rw)
{
	for (unsigned i = 0; i < API_SUBVOL_BUCKETS; i++) {
		struct api_subvol *next, *sv = atomic_load(&rw->subvols[i]);

		for (; sv; sv = next) {
			next = sv->next;
			pthread_mutex_destroy(&sv->lock);
			free(sv);
		}
	}
	ilock_table_destroy(rw->locks);
	iref_table_destroy(rw->refs);
	pthread_mutex_destroy(&rw->rename_lock);
	pthread_mutex_destroy(&rw->subvol_lock);
	free(rw);
}

static int open_txn(struct eng_fs *efs)
{
	const struct eng_open_opts *opts = &efs->opts;
	const struct txn_opts topts = {
		.commit_sec = opts->commit_sec,
		.threads = opts->threads ? opts->threads : API_DEFAULT_THREADS,
		.one_pool = api_lab.one_pool,
		.search = api_lab.search_linux ? BT_LINUX : BT_TWO_PASS,
		.policy = api_lab.policy,
		.assert_overruns = api_lab.assert_overruns,
		.no_threads = api_lab.no_threads,
		.restart_every = api_lab.restart_every,
		.restart_times = api_lab.restart_times,
		.restart_writes = api_lab.restart_writes,
	};

	return txn_open(&efs->fs, &topts);
}

int api_rw_open(struct eng_fs *efs)
{
	struct api_rw *rw = eng_zalloc(sizeof(*rw));
	int err;

	if (!rw)
		return -ENOMEM;
	pthread_mutex_init(&rw->rename_lock, NULL);
	pthread_mutex_init(&rw->subvol_lock, NULL);
	err = ilock_table_create(&rw->locks);
	if (!err)
		err = iref_table_create(&rw->refs);
	if (!err)
		err = open_txn(efs);
	if (err)
		rw_free(rw);
	else
		efs->rw = rw;
	return err;
}

static void evict(struct eng_fs *efs, const struct root *root, uint64_t ino)
{
	int err = file_evict(&efs->fs, root, ino);

	/* It stays an orphan, for the next one who opens the filesystem. */
	if (err && !txn_error(&efs->fs))
		msg_warn(efs->fs.msg, "subvolume %llu inode %llu: cannot remove it yet (%s)",
			 (unsigned long long)root->bt.id, (unsigned long long)ino, strerror(-err));
}

void api_rw_close(struct eng_fs *efs, bool commit)
{
	struct api_rw *rw = efs->rw;
	const struct root *root;
	struct eng_ino id;

	if (!rw)
		return;
	while (commit && iref_take_orphan(rw->refs, &id))
		if (!txn_error(&efs->fs) && !root_get(&efs->fs, id.subvol, &root))
			evict(efs, root, id.ino);
	/* A failure was said where it happened. */
	if (commit)
		(void)txn_close(&efs->fs);
	else
		txn_crash(&efs->fs);
	efs->rw = NULL;
	rw_free(rw);
}

/* ---- before a change ---- */

static struct api_subvol *subvol_find(struct api_subvol *sv, uint64_t id)
{
	while (sv && sv->id != id)
		sv = sv->next;
	return sv;
}

static struct api_subvol *subvol_get(struct api_rw *rw, uint64_t id)
{
	struct api_subvol *_Atomic *bucket = &rw->subvols[id % API_SUBVOL_BUCKETS];
	struct api_subvol *sv = subvol_find(atomic_load(bucket), id);

	if (sv)
		return sv;
	pthread_mutex_lock(&rw->subvol_lock);
	sv = subvol_find(atomic_load(bucket), id);
	if (!sv) {
		sv = eng_zalloc(sizeof(*sv));
		if (sv) {
			sv->id = id;
			sv->next = atomic_load(bucket);
			pthread_mutex_init(&sv->lock, NULL);
			atomic_store(bucket, sv);
		}
	}
	pthread_mutex_unlock(&rw->subvol_lock);
	return sv;
}

static int make_ready(struct eng_fs *efs, const struct root *root)
{
	struct api_subvol *sv = subvol_get(efs->rw, root->bt.id);
	int err = 0;

	if (!sv)
		return -ENOMEM;
	if (atomic_load(&sv->ready))
		return 0;
	pthread_mutex_lock(&sv->lock);
	if (!atomic_load(&sv->ready)) {
		err = file_orphans(&efs->fs, root);
		/*
		 * A full filesystem must be one where something can be deleted. The rest waits for the next
		 * opening: from the first change on there may be younger ones, which somebody has open.
		 */
		if (err == -ENOSPC)
			err = 0;
		if (!err)
			atomic_store(&sv->ready, true);
	}
	pthread_mutex_unlock(&sv->lock);
	/* From now on there may be orphans that are open. */
	assert(err || atomic_load(&sv->ready));
	return err;
}

int api_may_change(struct eng_fs *efs, struct eng_ino id, const struct root **out_root)
{
	int err;

	*out_root = NULL;
	if (!efs->rw || txn_error(&efs->fs))
		return -EROFS;
	err = root_get(&efs->fs, id.subvol, out_root);
	if (err)
		return err;
	if ((*out_root)->flags & BTRFS_ROOT_SUBVOL_RDONLY)
		return -EROFS;
	if (id.ino == ENG_STUB_INO)
		return -EPERM;
	return make_ready(efs, *out_root);
}

int api_check_name(const char *name, size_t len)
{
	if (len > BTRFS_NAME_LEN)
		return -ENAMETOOLONG;
	if (!len || memchr(name, '/', len) || memchr(name, '\0', len))
		return -EINVAL;
	if (name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')))
		return -EINVAL;
	return 0;
}

int api_check_dir(struct eng_fs *efs, const struct root *root, uint64_t dir, bool removing,
		  struct ino_attr *out_attr)
{
	int err = ino_load(&efs->fs, root, dir, out_attr);

	if (err)
		return err;
	if (!S_ISDIR(out_attr->mode))
		return -ENOTDIR;
	if (!out_attr->nlink)
		return -ENOENT;
	if (out_attr->flags & (BTRFS_INODE_IMMUTABLE | (removing ? BTRFS_INODE_APPEND : 0)))
		return -EPERM;
	return 0;
}

/* ---- references ---- */

void api_left(struct eng_fs *efs, const struct root *root, uint64_t ino)
{
	const struct eng_ino id = { root->bt.id, ino };

	if (!iref_set_orphan(efs->rw->refs, id, true) || PLANTED("api_evict_referenced"))
		evict(efs, root, ino);
}

/* The first reference: under the inode's lock, so that it is there, and is not about to go. */
static int first_ref(struct eng_fs *efs, const struct root *root, struct eng_ino id)
{
	struct ilock *l = ilock_get(efs->rw->locks, id);
	struct ino_attr attr;
	int err, no_memory;

	if (!l)
		return -ENOMEM;
	pthread_rwlock_rdlock(&l->lock);
	err = ino_load(&efs->fs, root, id.ino, &attr);
	if (!err && !iref_add(efs->rw->refs, id, attr.nlink != 0, &no_memory))
		err = no_memory ? no_memory : -ENOENT;
	pthread_rwlock_unlock(&l->lock);
	ilock_put(efs->rw->locks, l);
	return err;
}

int eng_ref(struct eng_fs *efs, struct eng_ino id)
{
	const struct root *root;
	struct ino_attr attr;
	int err;

	if (efs->rw && iref_add(efs->rw->refs, id, false, &err))
		return 0;
	err = root_get(&efs->fs, id.subvol, &root);
	if (err)
		return err;
	return efs->rw ? first_ref(efs, root, id) : ino_load(&efs->fs, root, id.ino, &attr);
}

void eng_unref(struct eng_fs *efs, struct eng_ino id, uint64_t nr)
{
	const struct root *root;
	struct ilock_set set;

	if (!efs->rw || !nr || !iref_sub(efs->rw->refs, id, nr))
		return;
	if (txn_error(&efs->fs) || root_get(&efs->fs, id.subvol, &root))
		return;
	/* Without memory it stays an orphan, for the next one who opens the filesystem. */
	if (ilock_set_take(&set, efs->rw->locks, &id, 1))
		return;
	evict(efs, root, id.ino);
	ilock_set_release(&set);
}

int eng_sync(struct eng_fs *efs)
{
	return efs->rw ? txn_sync(&efs->fs) : 0;
}
