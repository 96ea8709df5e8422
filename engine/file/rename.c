// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Renaming: all in one transaction, whatever it takes: the entry replaced, the entry moved (or two,
 * exchanged), the whiteout left behind. Moved entries get a new index, as in Linux.
 */
#include "engine/file/change_priv.h"
#include "engine/util/fault.h"

#include <linux/fs.h>
#include <string.h>
#include <sys/stat.h>

/* What there is to do, once everything was looked up. */
struct plan {
	const struct rename *r;
	struct entry from, to; /* as they are; to.ino 0: not there */
	struct entry moved;    /* what is at `from` under its new name */
	struct entry back;     /* EXCHANGE: what is at `to` under its new name */
	struct newborn white;
	struct ino_new white_new;
	struct entry white_entry;
};

static int plan_target(struct chg *c, struct plan *p)
{
	bool exchange = p->r->flags & RENAME_EXCHANGE;
	int err = entry_load(c, &p->to);

	if (err == -ENOENT) {
		p->to.ino = 0;
		if (exchange)
			return err;
		return entry_check_new(c, &p->to);
	}
	if (err)
		return err;
	if (p->r->flags & RENAME_NOREPLACE)
		return -EEXIST;
	if (exchange || p->to.ino == p->from.ino)
		return 0;
	return victim_check(c, &p->to, p->from.type == BTRFS_FT_DIR);
}

/* The new names: indexes beyond those that are there, and back references. */
static int plan_names(struct chg *c, struct plan *p)
{
	bool same_dir = p->from.dir == p->to.dir;
	uint64_t to_next, from_next;
	int err = dir_next_index(c, p->to.dir, &to_next);

	if (!err)
		err = dir_next_index(c, p->from.dir, &from_next);
	if (err)
		return err;
	p->moved = p->to;
	p->moved.ino = p->from.ino;
	p->moved.type = p->from.type;
	p->moved.index = to_next;
	err = entry_check_ref(c, &p->moved);
	if (err || !(p->r->flags & (RENAME_EXCHANGE | RENAME_WHITEOUT)))
		return err;
	p->back = p->from;
	p->back.ino = p->to.ino;
	p->back.type = p->to.type;
	p->back.index = same_dir ? to_next + 1 : from_next;
	p->white_entry = p->back;
	p->white_entry.ext = false;
	return p->r->flags & RENAME_EXCHANGE ? entry_check_ref(c, &p->back) : 0;
}

static int plan_whiteout(struct chg *c, struct plan *p, const struct ino_attr *dir)
{
	if (!(p->r->flags & RENAME_WHITEOUT))
		return 0;
	p->white_new = (struct ino_new){ .mode = S_IFCHR, .now = p->r->now };
	return newborn_prepare(c, &p->white, dir, &p->white_new);
}

/* 0; 1: nothing to do. */
static int prepare(struct chg *c, struct plan *p)
{
	struct ino_attr from_dir, to_dir;
	int err = inode_load_dir(c, p->from.dir, &from_dir);

	if (!err)
		err = inode_load_dir(c, p->to.dir, &to_dir);
	if (!err)
		err = entry_load(c, &p->from);
	if (!err)
		err = plan_target(c, p);
	if (err)
		return err;
	if (p->to.ino == p->from.ino)
		return 1;
	err = plan_names(c, p);
	return err ? err : plan_whiteout(c, p, &from_dir);
}

/* What is replaced goes: 5 searches. Its name comes back, so the directory's size is not seen to
 * here. */
static int publish_replace(struct chg *c, struct plan *p, uint32_t *out_left)
{
	if (!p->to.ino)
		return 0;
	return victim_remove(c, &p->to, &p->r->now, out_left);
}

static int move(struct chg *c, const struct entry *to, const struct timespec *now)
{
	int err = entry_add_ref(c, to);

	if (!err)
		err = entry_add_dir(c, to);
	if (!err && !PLANTED("rename_forgets_ctime"))
		err = inode_edit_ctime(c, to->ino, now);
	return err;
}

static int publish_dirs(struct chg *c, const struct plan *p)
{
	int64_t from = -(int64_t)p->from.len, to = p->to.ino ? 0 : (int64_t)p->to.len;
	const struct timespec *now = &p->r->now;
	int err;

	if (p->r->flags & RENAME_EXCHANGE)
		from = to = 0;
	if (p->r->flags & RENAME_WHITEOUT)
		from = 0;
	if (p->from.dir == p->to.dir)
		return inode_edit_dir(c, p->from.dir, from + to, now);
	err = inode_edit_dir(c, p->from.dir, from, now);
	return err ? err : inode_edit_dir(c, p->to.dir, to, now);
}

static int publish(struct chg *c, struct plan *p, uint32_t *out_left)
{
	bool exchange = p->r->flags & RENAME_EXCHANGE;
	int err;

	if (exchange) {
		err = entry_remove_dir(c, &p->to);
		if (!err)
			err = entry_remove_ref(c, &p->to);
	} else {
		err = publish_replace(c, p, out_left);
	}
	if (!err)
		err = entry_remove_dir(c, &p->from);
	if (!err)
		err = entry_remove_ref(c, &p->from);
	if (!err)
		err = move(c, &p->moved, &p->r->now);
	if (!err && exchange)
		err = move(c, &p->back, &p->r->now);
	if (!err && p->r->flags & RENAME_WHITEOUT) {
		err = newborn_insert(c, &p->white, &p->white_entry);
		if (!err)
			err = entry_add_dir(c, &p->white_entry);
	}
	return err ? err : publish_dirs(c, p);
}

static unsigned items(const struct plan *p)
{
	/* Away 3 and back 4 for each entry that moves, the two directories; a victim 5. */
	unsigned nr = 7 + (p->from.dir == p->to.dir ? 1 : 2);

	if (p->r->flags & RENAME_EXCHANGE)
		return nr + 7;
	if (p->r->flags & RENAME_WHITEOUT)
		nr += newborn_items(&p->white) + 2;
	return nr + (p->to.ino ? 5 : 0);
}

int chg_rename(struct chg *c, const struct rename *r, uint64_t *out_ino, uint32_t *out_left)
{
	struct plan p = { .r = r, .from = r->from, .to = r->to };
	uint32_t left = 0;
	int ret;

	*out_ino = 0;
	*out_left = 0;
	if (r->flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT) ||
	    (r->flags & RENAME_EXCHANGE && r->flags & (RENAME_NOREPLACE | RENAME_WHITEOUT)))
		return -EINVAL;
	ret = prepare(c, &p);
	if (ret)
		return ret < 0 ? ret : 0;
	ret = chg_begin(c, items(&p), false);
	if (ret)
		return ret;
	ret = publish(c, &p, &left);
	ret = chg_done(c, ret);
	if (!ret && !(r->flags & RENAME_EXCHANGE) && p.to.ino) {
		*out_ino = p.to.ino;
		*out_left = left;
	}
	return ret;
}
