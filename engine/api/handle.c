// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The life of a handle, and what it says meanwhile.
 *
 * While a filesystem is being opened several layers may have something to say of one failure. A person
 * wants one line: what could not be done, and what was wrong. So errors are held back until the end.
 */
#include "engine/api/api_priv.h"

#include "engine/util/fault.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void forward(struct eng_fs *efs, enum eng_msg_level level, const char *text)
{
	if (efs->opts.message)
		efs->opts.message(efs->opts.message_arg, level, text);
}

/* Called by one thread at a time (engine/util/err.h). */
static void on_message(void *arg, enum msg_level level, const char *text)
{
	struct eng_fs *efs = arg;

	if (efs->opening && level == MSG_ERR) {
		snprintf(efs->cause[0] ? efs->outcome : efs->cause, sizeof(efs->cause), "%s", text);
		level = MSG_DEBUG;
	}
	forward(efs, (enum eng_msg_level)level, text);
}

int api_create(const struct eng_open_opts *opts, struct eng_fs **out_fs)
{
	struct eng_fs *efs = eng_zalloc(sizeof(*efs));
	int err;

	*out_fs = NULL;
	if (!efs)
		return -ENOMEM;
	efs->opts = *opts;
	efs->opts.devices = NULL;
	efs->partial = opts->partial;
	efs->opening = true;
	pthread_mutex_init(&efs->lock, NULL);
	err = msg_create(on_message, efs, &efs->fs.msg);
	if (err) {
		pthread_mutex_destroy(&efs->lock);
		free(efs);
		return err;
	}
	*out_fs = efs;
	return 0;
}

/* One line from what was held back. A success under a rescue option still tells what it went past. */
static void say_outcome(struct eng_fs *efs, int err)
{
	char line[sizeof(efs->cause) + sizeof(efs->outcome) + 4];

	if (err && !efs->cause[0])
		snprintf(efs->cause, sizeof(efs->cause), "%s", strerror(-err));
	if (efs->outcome[0])
		snprintf(line, sizeof(line), "%s: %s", efs->outcome, efs->cause);
	else
		snprintf(line, sizeof(line), "%s", efs->cause);
	if (line[0])
		forward(efs, err ? ENG_MSG_ERR : ENG_MSG_WARN, line);
}

int api_opened(struct eng_fs *efs, int err, struct eng_fs **out_fs)
{
	efs->opening = false;
	say_outcome(efs, err);
	if (err)
		eng_close(efs);
	else
		*out_fs = efs;
	return err;
}

void eng_close(struct eng_fs *efs)
{
	struct fs *fs;

	if (!efs)
		return;
	fs = &efs->fs;
	api_rw_close(efs, true);
	if (fs->pool)
		pool_destroy(fs->pool);
	readahead_destroy(fs->readahead);
	ins_ahead_destroy(efs->ahead);
	if (fs->roots)
		root_table_destroy(fs->roots);
	if (fs->cache)
		eb_cache_destroy(fs->cache);
	free(fs->seed_fsids);
	if (fs->vol)
		vol_close(fs->vol);
	msg_destroy(fs->msg);
	pthread_mutex_destroy(&efs->lock);
	free(efs);
}
