// SPDX-License-Identifier: GPL-2.0-or-later
/* For tests and experiments. */
#include "engine/api/api_priv.h"

#include "engine/lab.h"
#include "engine/util/fault.h"

#include <stdlib.h>

int lab_open_images(const struct lab_image *images, unsigned nr, const struct eng_open_opts *opts,
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
	err = devs ? 0 : -ENOMEM;
	for (i = 0; !err && i < nr; i++) {
		err = bdev_open_memory(images[i].name, images[i].data, images[i].bytes, efs->fs.msg,
				       &efs->fs.counters, &devs[i]);
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
