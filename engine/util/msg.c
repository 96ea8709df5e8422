// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The message sink.
 *
 * A damaged device says the same thing a million times; whoever reads the log needs the first few and
 * the number of the others. Messages are alike if their format string is the same object.
 *
 * Invariants:
 * 1. Of one format string at most BURST texts go out in WINDOW_NS; what is left out is counted, and
 *    the count goes out with the next message after the window, or when the sink is destroyed.
 * 2. The callback runs under `lock`, so one call at a time; it must not send messages itself.
 */
#include "engine/util/err.h"
#include "engine/util/fault.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BURST 10
#define WINDOW_NS 1000000000ll
#define SITES 64
#define TEXT_MAX 1024

struct site {
	const char *fmt; /* NULL: unused */
	enum msg_level level;
	int64_t start_ns;
	unsigned sent;
	unsigned long left_out;
};

struct msg {
	void (*fn)(void *arg, enum msg_level level, const char *text);
	void *arg;
	pthread_mutex_t lock;
	struct site sites[SITES];
};

int msg_create(void (*fn)(void *arg, enum msg_level level, const char *text), void *arg,
	       struct msg **out_msg)
{
	struct msg *m;

	*out_msg = NULL;
	m = eng_zalloc(sizeof(*m));
	if (!m)
		return -ENOMEM;
	m->fn = fn;
	m->arg = arg;
	pthread_mutex_init(&m->lock, NULL);
	*out_msg = m;
	return 0;
}

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ll + ts.tv_nsec;
}

static void say_left_out_locked(struct msg *m, struct site *s)
{
	char text[256];

	if (s->fmt && s->left_out) {
		snprintf(text, sizeof(text), "%lu more messages like \"%.120s\" left out",
			 s->left_out, s->fmt);
		m->fn(m->arg, s->level, text);
		s->left_out = 0;
	}
}

/* The entry of this format string, with its window open; the oldest one gives way for a new one. */
static struct site *find_site_locked(struct msg *m, enum msg_level level, const char *fmt)
{
	int64_t now = now_ns();
	struct site *mine = NULL, *oldest = &m->sites[0];

	for (int i = 0; i < SITES; i++) {
		struct site *s = &m->sites[i];

		if (s->fmt && now - s->start_ns >= WINDOW_NS) {
			say_left_out_locked(m, s);
			s->sent = 0;
			if (s->fmt == fmt)
				s->start_ns = now;
		}
		if (s->fmt == fmt)
			mine = s;
		if (s->start_ns < oldest->start_ns)
			oldest = s;
	}
	if (!mine) {
		mine = oldest;
		say_left_out_locked(m, mine);
		*mine = (struct site){ .fmt = fmt, .level = level, .start_ns = now };
	}
	return mine;
}

/* True if a message of this format may go out now; else it is counted. */
static bool admit_locked(struct msg *m, enum msg_level level, const char *fmt)
{
	struct site *s = find_site_locked(m, level, fmt);

	if (s->sent >= BURST) {
		s->left_out++;
		return false;
	}
	s->sent++;
	return true;
}

void msg_destroy(struct msg *m)
{
	if (!m)
		return;
	if (m->fn)
		for (int i = 0; i < SITES; i++)
			say_left_out_locked(m, &m->sites[i]);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

void msg_say(struct msg *m, enum msg_level level, const char *fmt, ...)
{
	char text[TEXT_MAX];
	va_list ap;

	if (!m || !m->fn)
		return;
	pthread_mutex_lock(&m->lock);
	if (admit_locked(m, level, fmt)) {
		va_start(ap, fmt);
		vsnprintf(text, sizeof(text), fmt, ap);
		va_end(ap);
		m->fn(m->arg, level, text);
	}
	pthread_mutex_unlock(&m->lock);
}

int msg_corrupt_at(struct msg *m, const char *file, int line, const char *fmt, ...)
{
	char text[TEXT_MAX];
	va_list ap;
	int n;

	if (!m || !m->fn)
		return -EUCLEAN;
	pthread_mutex_lock(&m->lock);
	if (admit_locked(m, MSG_ERR, fmt)) {
		n = snprintf(text, sizeof(text), "corrupt metadata: ");
		va_start(ap, fmt);
		n += vsnprintf(text + n, sizeof(text) - n, fmt, ap);
		va_end(ap);
		if (n < (int)sizeof(text))
			snprintf(text + n, sizeof(text) - n, " (%s:%d)", file, line);
		m->fn(m->arg, MSG_ERR, text);
	}
	pthread_mutex_unlock(&m->lock);
	return -EUCLEAN;
}
