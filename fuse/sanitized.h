/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether this is a build with a sanitizer, which needs more system calls than a program does. */
#ifndef UBTRFS_FUSE_SANITIZED_H
#define UBTRFS_FUSE_SANITIZED_H

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED_ADDRESS 1
#endif
#if defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED_ADDRESS 1
#endif
#if __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif

#ifdef SANITIZED_ADDRESS
#define SANITIZED 1
#include <sanitizer/lsan_interface.h>
#endif

/* Around a call into a library whose memory is its own affair. */
static inline void leaks_allowed(void)
{
#ifdef SANITIZED_ADDRESS
	__lsan_disable();
#endif
}

static inline void leaks_forbidden(void)
{
#ifdef SANITIZED_ADDRESS
	__lsan_enable();
#endif
}

#endif
