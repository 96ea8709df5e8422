/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Errors are 0 or a negative errno; objects come back through the last parameter, cleared on entry.
 * What happened, where and why goes to the message sink, never into new error codes.
 *
 * -EUCLEAN  metadata on disk is wrong (only through msg_corrupt)
 * -EIO      the device failed, or file data does not match its checksum on any copy
 */
#ifndef UBTRFS_ENGINE_UTIL_ERR_H
#define UBTRFS_ENGINE_UTIL_ERR_H

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#define MUST_CHECK __attribute__((warn_unused_result))

enum msg_level {
	MSG_ERR,
	MSG_WARN,
	MSG_INFO,
	MSG_DEBUG,
};

/*
 * A message sink, one per filesystem, shared by all its layers. The function may be called from any
 * thread, one call at a time. A flood of equal messages (same format string) is cut to a burst a
 * second and the number left out is said.
 */
struct msg;

/* `fn` NULL: messages are dropped. Return: 0, -ENOMEM. */
MUST_CHECK int msg_create(void (*fn)(void *arg, enum msg_level level, const char *text), void *arg,
			  struct msg **out_msg);
void msg_destroy(struct msg *m);
void msg_say(struct msg *m, enum msg_level level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
#define msg_err(m, ...) msg_say((m), MSG_ERR, __VA_ARGS__)
#define msg_warn(m, ...) msg_say((m), MSG_WARN, __VA_ARGS__)
#define msg_info(m, ...) msg_say((m), MSG_INFO, __VA_ARGS__)
#define msg_debug(m, ...) msg_say((m), MSG_DEBUG, __VA_ARGS__)

/* Says that metadata is corrupt, with the place in the source, and returns -EUCLEAN. */
#define msg_corrupt(m, ...) msg_corrupt_at((m), __FILE__, __LINE__, __VA_ARGS__)
int msg_corrupt_at(struct msg *m, const char *file, int line, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

#endif
