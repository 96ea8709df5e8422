// SPDX-License-Identifier: GPL-2.0-or-later
/* Hooks of the sanitizer's allocator, which are weak: absent in ordinary builds. Thread-safe. */
#include "tests/lib/memwatch.h"

#include <stdatomic.h>
#include <stddef.h>

int __sanitizer_install_malloc_and_free_hooks(void (*malloc_hook)(const volatile void *, size_t),
					      void (*free_hook)(const volatile void *))
	__attribute__((weak));
size_t __sanitizer_get_allocated_size(const volatile void *p) __attribute__((weak));

static _Atomic int64_t live, peak;
static bool exact;

static void on_malloc(const volatile void *p, size_t size)
{
	int64_t now = atomic_fetch_add(&live, (int64_t)size) + (int64_t)size;

	/* A race may lose a peak of another thread by a moment; limits are not that fine. */
	if (now > atomic_load(&peak))
		atomic_store(&peak, now);
}

static void on_free(const volatile void *p)
{
	if (p)
		atomic_fetch_sub(&live, (int64_t)__sanitizer_get_allocated_size(p));
}

bool memwatch_start(void)
{
	exact = __sanitizer_install_malloc_and_free_hooks && __sanitizer_get_allocated_size &&
		__sanitizer_install_malloc_and_free_hooks(on_malloc, on_free);
	return exact;
}

int64_t memwatch_live(void)
{
	return exact ? atomic_load(&live) : 0;
}

int64_t memwatch_peak(void)
{
	int64_t p = atomic_load(&peak);

	atomic_store(&peak, atomic_load(&live));
	return exact ? p : 0;
}
