// SPDX-License-Identifier: GPL-2.0-or-later
/* Printers of devices and chunks, and of the items that have a name instead of a place. */
#include "ondisk/print_priv.h"

#include <string.h>

void print_chunk(struct btrfs_print *p, const struct print_item *it)
{
	const struct btrfs_chunk *chunk = (const void *)it->data;
	struct text *t = p->out;
	unsigned nr;

	if (it->len < offsetof(struct btrfs_chunk, stripe)) {
		LIT(t, "\t\tchunk item invalid\n");
		return;
	}
	nr = le16_get(chunk->num_stripes);
	if (!nr) {
		LIT(t, "invalid num_stripes: 0\n");
		return;
	}
	if (btrfs_chunk_item_size(nr) > it->len) {
		LIT(t, "\t\tchunk item invalid\n");
		return;
	}
	LIT_U64(t, "\t\tlength ", le64_get(chunk->length));
	LIT_U64(t, " owner ", le64_get(chunk->owner));
	LIT_U64(t, " stripe_len ", le64_get(chunk->stripe_len));
	LIT(t, " type ");
	btrfs_bg_flags_to_text(t, le64_get(chunk->type));
	LIT_U64(t, "\n\t\tio_align ", le32_get(chunk->io_align));
	LIT_U64(t, " io_width ", le32_get(chunk->io_width));
	LIT_U64(t, " sector_size ", le32_get(chunk->sector_size));
	LIT_U64(t, "\n\t\tnum_stripes ", nr);
	LIT_U64(t, " sub_stripes ", le16_get(chunk->sub_stripes));
	text_char(t, '\n');
	for (unsigned i = 0; i < nr; i++) {
		const struct btrfs_stripe *s = btrfs_chunk_stripe(chunk, i);

		LIT_U64(t, "\t\t\tstripe ", i);
		LIT_U64(t, " devid ", le64_get(s->devid));
		LIT_U64(t, " offset ", le64_get(s->offset));
		LIT(t, "\n\t\t\tdev_uuid ");
		text_uuid(t, s->dev_uuid);
		text_char(t, '\n');
	}
}

void print_dev_item(struct btrfs_print *p, const struct print_item *it)
{
	struct btrfs_dev_item pad;
	const struct btrfs_dev_item *d = print_whole(p, it, sizeof(pad), &pad);
	struct text *t = p->out;

	LIT_U64(t, "\t\tdevid ", le64_get(d->devid));
	LIT_U64(t, " total_bytes ", le64_get(d->total_bytes));
	LIT_U64(t, " bytes_used ", le64_get(d->bytes_used));
	LIT_U64(t, "\n\t\tio_align ", le32_get(d->io_align));
	LIT_U64(t, " io_width ", le32_get(d->io_width));
	LIT_U64(t, " sector_size ", le32_get(d->sector_size));
	LIT_U64(t, " type ", le64_get(d->type));
	LIT_U64(t, "\n\t\tgeneration ", le64_get(d->generation));
	LIT_U64(t, " start_offset ", le64_get(d->start_offset));
	LIT_U64(t, " dev_group ", le32_get(d->dev_group));
	LIT_U64(t, "\n\t\tseek_speed ", d->seek_speed);
	LIT_U64(t, " bandwidth ", d->bandwidth);
	LIT(t, "\n\t\tuuid ");
	text_uuid(t, d->uuid);
	LIT(t, "\n\t\tfsid ");
	text_uuid(t, d->fsid);
	text_char(t, '\n');
}

void print_dev_extent(struct btrfs_print *p, const struct print_item *it)
{
	struct btrfs_dev_extent pad;
	const struct btrfs_dev_extent *de = print_whole(p, it, sizeof(pad), &pad);
	struct text *t = p->out;

	LIT_U64(t, "\t\tdev extent chunk_tree ", le64_get(de->chunk_tree));
	LIT_U64(t, "\n\t\tchunk_objectid ", le64_get(de->chunk_objectid));
	LIT_U64(t, " chunk_offset ", le64_get(de->chunk_offset));
	LIT_U64(t, " length ", le64_get(de->length));
	LIT(t, "\n\t\tchunk_tree_uuid ");
	text_uuid(t, de->chunk_tree_uuid);
	text_char(t, '\n');
}

static void name_or_number(struct text *t, const char *const *names, unsigned nr, uint64_t v)
{
	if (v < nr) {
		text_str(t, names[v]);
		return;
	}
	LIT_U64(t, "unknown(", v);
	text_char(t, ')');
}

void print_dev_replace(struct btrfs_print *p, const struct print_item *it)
{
	static const char *const modes[] = { "ALWAYS", "AVOID" };
	static const char *const states[] = { "NEVER_STARTED", "STARTED", "FINISHED", "CANCELED",
					      "SUSPENDED" };
	struct btrfs_dev_replace_item pad;
	const struct btrfs_dev_replace_item *r = print_whole(p, it, sizeof(pad), &pad);
	struct text *t = p->out;

	LIT(t, "\t\tsrc devid ");
	text_i64(t, (int64_t)le64_get(r->src_devid));
	LIT_U64(t, " cursor left ", le64_get(r->cursor_left));
	LIT_U64(t, " cursor right ", le64_get(r->cursor_right));
	LIT(t, " mode ");
	name_or_number(t, modes, 2, le64_get(r->cont_reading_from_srcdev_mode));
	LIT(t, "\n\t\tstate ");
	name_or_number(t, states, 5, le64_get(r->replace_state));
	LIT_U64(t, " write errors ", le64_get(r->num_write_errors));
	LIT_U64(t, " uncorrectable read errors ", le64_get(r->num_uncorrectable_read_errors));
	text_char(t, '\n');
	print_time_sec(p, "\t\tstart time ", le64_get(r->time_started));
	/* btrfs-progs shows the start again. */
	print_time_sec(p, "\t\tstop time ", le64_get(r->time_started));
}

void print_raid_stripe(struct btrfs_print *p, const struct print_item *it)
{
	for (unsigned i = 0; i < it->len / sizeof(struct btrfs_raid_stride); i++) {
		const struct btrfs_raid_stride *s =
			(const void *)(it->data + i * sizeof(struct btrfs_raid_stride));

		LIT_U64(p->out, "\t\t\tstripe ", i);
		LIT_U64(p->out, " devid ", le64_get(s->devid));
		LIT_U64(p->out, " physical ", le64_get(s->physical));
		text_char(p->out, '\n');
	}
}

static void print_dev_stats(struct btrfs_print *p, const struct print_item *it)
{
	struct btrfs_dev_stats_item pad;
	const struct btrfs_dev_stats_item *s = print_whole(p, it, sizeof(pad), &pad);
	struct text *t = p->out;

	LIT(t, "\t\tdevice stats\n");
	LIT_U64(t, "\t\twrite_errs ", le64_get(s->values[0]));
	LIT_U64(t, " read_errs ", le64_get(s->values[1]));
	LIT_U64(t, " flush_errs ", le64_get(s->values[2]));
	LIT_U64(t, " corruption_errs ", le64_get(s->values[3]));
	LIT_U64(t, " generation ", le64_get(s->values[4]));
	text_char(t, '\n');
	if (it->len <= sizeof(*s))
		return;
	LIT_U64(t, "\t\tunknown stats item bytes ", it->len - (uint32_t)sizeof(*s));
	for (unsigned i = BTRFS_DEV_STATS_NR; (i + 1) * sizeof(le64) <= it->len; i++) {
		LIT_U64(t, "\t\tunknown item ", i);
		LIT_U64(t, " offset ", i * sizeof(le64));
		LIT_U64(t, " value ", le64_get(((const le64 *)it->data)[i]));
		text_char(t, '\n');
	}
}

void print_persistent(struct btrfs_print *p, const struct print_item *it)
{
	struct text *t = p->out;

	LIT(t, "\t\tpersistent item objectid ");
	btrfs_objectid_to_text(t, it->key.objectid, BTRFS_PERSISTENT_ITEM_KEY);
	LIT_U64(t, " offset ", it->key.offset);
	text_char(t, '\n');
	if (it->key.objectid == BTRFS_DEV_STATS_OBJECTID) {
		print_dev_stats(p, it);
		return;
	}
	LIT_U64(t, "\t\tunknown persistent item objectid ", it->key.objectid);
	text_char(t, '\n');
}

static void print_balance_args(struct text *t, const char *lead,
			       const struct btrfs_disk_balance_args *a)
{
	text_str(t, lead);
	LIT_U64(t, "\t\tprofiles ", le64_get(a->profiles));
	LIT_U64(t, " devid ", le64_get(a->devid));
	LIT_U64(t, " target ", le64_get(a->target));
	LIT_U64(t, " flags ", le64_get(a->flags));
	LIT_U64(t, "\n\t\tusage_min ", le32_get(a->usage_min));
	LIT_U64(t, " usage_max ", le32_get(a->usage_max));
	LIT_U64(t, " pstart ", le64_get(a->pstart));
	LIT_U64(t, " pend ", le64_get(a->pend));
	LIT_U64(t, "\n\t\tvstart ", le64_get(a->vstart));
	LIT_U64(t, " vend ", le64_get(a->vend));
	LIT_U64(t, " limit_min ", le32_get(a->limit_min));
	LIT_U64(t, " limit_max ", le32_get(a->limit_max));
	LIT_U64(t, "\n\t\tstripes_min ", le32_get(a->stripes_min));
	LIT_U64(t, " stripes_max ", le32_get(a->stripes_max));
	text_char(t, '\n');
}

void print_temporary(struct btrfs_print *p, const struct print_item *it)
{
	struct btrfs_balance_item pad;
	const struct btrfs_balance_item *b;
	struct text *t = p->out;

	LIT(t, "\t\ttemporary item objectid ");
	btrfs_objectid_to_text(t, it->key.objectid, BTRFS_TEMPORARY_ITEM_KEY);
	LIT_U64(t, " offset ", it->key.offset);
	text_char(t, '\n');
	if (it->key.objectid == BTRFS_CSUM_CHANGE_OBJECTID) {
		const char *name = it->key.offset <= UINT16_MAX
					   ? btrfs_csum_name((unsigned)it->key.offset)
					   : NULL;

		if (name) {
			LIT(t, "\t\ttarget csum type ");
			text_str(t, name);
			LIT_U64(t, " (", it->key.offset);
			LIT(t, ")\n");
		} else {
			LIT_U64(t, "\t\tunknown csum type ", it->key.offset);
			text_char(t, '\n');
		}
		return;
	}
	if (it->key.objectid != BTRFS_BALANCE_OBJECTID) {
		LIT_U64(t, "\t\tunknown temporary item objectid ", it->key.objectid);
		text_char(t, '\n');
		return;
	}
	b = print_whole(p, it, sizeof(pad), &pad);
	LIT_U64(t, "\t\tbalance status flags ", le64_get(b->flags));
	text_char(t, '\n');
	print_balance_args(t, "\t\tDATA\n", &b->data);
	print_balance_args(t, "\t\tMETADATA\n", &b->meta);
	print_balance_args(t, "\t\tSYSTEM\n", &b->sys);
}

void print_uuid_item(struct btrfs_print *p, const struct print_item *it)
{
	if (it->len % sizeof(le64)) {
		LIT_U64(p->out, "btrfs: uuid item with illegal size ", it->len);
		LIT(p->out, "!\n");
		return;
	}
	for (unsigned i = 0; i < it->len / sizeof(le64); i++) {
		LIT_U64(p->out, "\t\tsubvol_id ", le64_get(((const le64 *)it->data)[i]));
		text_char(p->out, '\n');
	}
}

void print_string_item(struct btrfs_print *p, const struct print_item *it)
{
	LIT(p->out, "\t\titem data ");
	text_mem(p->out, it->data, strnlen((const char *)it->data, it->len));
	text_char(p->out, '\n');
}
