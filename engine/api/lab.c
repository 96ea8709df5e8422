// SPDX-License-Identifier: GPL-2.0-or-later
/* For tests and experiments. */
#include "engine/api/api_priv.h"

#include "engine/lab.h"
#include "engine/util/fault.h"

#include <stdlib.h>

void lab_set_opts(const struct lab_opts *opts)
{
	static const enum eb_policy policies[] = {
		[LAB_POLICY_HOLD] = EB_POLICY_HOLD,
		[LAB_POLICY_NONE] = EB_POLICY_NONE,
		[LAB_POLICY_INHIBIT_HANDLE] = EB_POLICY_INHIBIT_HANDLE,
	};

	api_lab = (struct api_lab){ 0 };
	if (!opts)
		return;
	api_lab = (struct api_lab){
		.search_linux = opts->search_linux,
		.one_pool = opts->one_pool,
		.no_threads = opts->no_threads,
		.assert_overruns = opts->assert_overruns,
		.policy = policies[opts->policy],
		.restart_every = opts->restart_every,
		.restart_times = opts->restart_times,
		.restart_writes = opts->restart_writes,
	};
}

void lab_crash(struct eng_fs *efs)
{
	api_rw_close(efs, false);
	eng_close(efs);
}

/* Opens device `i` of what `arg` is. */
typedef int (*open_fn)(struct eng_fs *efs, const void *arg, unsigned i, struct bdev **out_dev);

static int open_with(open_fn fn, const void *arg, unsigned nr, const struct eng_open_opts *opts,
		     struct eng_fs **out_fs)
{
	struct eng_fs *efs;
	struct bdev **devs;
	unsigned i;
	int err = api_create(opts, &efs);

	*out_fs = NULL;
	if (err)
		return err;
	devs = eng_calloc(nr, sizeof(*devs));
	err = devs ? api_check_opts(efs->fs.msg, opts) : -ENOMEM;
	for (i = 0; !err && i < nr; i++) {
		err = fn(efs, arg, i, &devs[i]);
		if (err)
			break;
	}
	if (err) {
		while (devs && i-- > 0)
			bdev_close(devs[i]);
	} else {
		err = api_open_devices(devs, nr, opts, efs);
	}
	free(devs);
	return api_opened(efs, err, out_fs);
}

static int open_image(struct eng_fs *efs, const void *arg, unsigned i, struct bdev **out_dev)
{
	const struct lab_image *image = &((const struct lab_image *)arg)[i];

	return bdev_open_memory(image->name, image->data, image->bytes, efs->fs.msg,
				&efs->fs.counters, out_dev);
}

int lab_open_images(const struct lab_image *images, unsigned nr, const struct eng_open_opts *opts,
		    struct eng_fs **out_fs)
{
	return open_with(open_image, images, nr, opts, out_fs);
}

/* The table of functions has to live as long as the device: the device's close ends it. */
struct disk {
	struct bdev_ops ops;
	struct lab_disk lab;
};

static int disk_read(void *priv, uint64_t off, void *buf, uint32_t len)
{
	const struct lab_disk *lab = &((struct disk *)priv)->lab;

	return lab->read(lab->priv, off, buf, len);
}

static int disk_write(void *priv, uint64_t off, const void *buf, uint32_t len)
{
	const struct lab_disk *lab = &((struct disk *)priv)->lab;

	return lab->write(lab->priv, off, buf, len);
}

static int disk_flush(void *priv)
{
	const struct lab_disk *lab = &((struct disk *)priv)->lab;

	return lab->flush(lab->priv);
}

static int disk_discard(void *priv, uint64_t off, uint64_t len)
{
	const struct lab_disk *lab = &((struct disk *)priv)->lab;

	return lab->discard(lab->priv, off, len);
}

static int open_disk(struct eng_fs *efs, const void *arg, unsigned i, struct bdev **out_dev)
{
	const struct lab_disk *lab = &((const struct lab_disk *)arg)[i];
	struct disk *d = eng_zalloc(sizeof(*d));
	int err;

	*out_dev = NULL;
	if (!d)
		return -ENOMEM;
	d->lab = *lab;
	d->ops = (struct bdev_ops){
		.read = disk_read,
		.close = free,
		.write = lab->write ? disk_write : NULL,
		.flush = lab->flush ? disk_flush : NULL,
		.discard = lab->discard ? disk_discard : NULL,
	};
	err = bdev_open_ops(lab->name, lab->bytes, &d->ops, d, efs->fs.msg, &efs->fs.counters, out_dev);
	if (err)
		free(d);
	return err;
}

int lab_open_disks(const struct lab_disk *disks, unsigned nr, const struct eng_open_opts *opts,
		   struct eng_fs **out_fs)
{
	return open_with(open_disk, disks, nr, opts, out_fs);
}

void lab_counters(struct eng_fs *efs,
		  void (*fn)(void *arg, const char *name, const char *text, uint64_t value), void *arg)
{
#define X(name, text) fn(arg, #name, text, counter_get(&efs->fs.counters, name));
	COUNTERS(X)
#undef X
}

static enum fault_kind fault_kind_of(enum lab_fault kind)
{
	switch (kind) {
	case LAB_FAULT_READ:
		return FAULT_READ;
	case LAB_FAULT_WRITE:
		return FAULT_WRITE;
	case LAB_FAULT_FLUSH:
		return FAULT_FLUSH;
	default:
		return FAULT_ALLOC;
	}
}

void lab_fault_arm(enum lab_fault kind, uint64_t nth)
{
	fault_arm(fault_kind_of(kind), nth);
}

void lab_fault_arm_run(enum lab_fault kind, uint64_t nth, uint64_t nr)
{
	fault_arm_run(fault_kind_of(kind), nth, nr);
}

uint64_t lab_fault_count(enum lab_fault kind)
{
	return fault_count(fault_kind_of(kind));
}
