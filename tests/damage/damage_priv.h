/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the damage sweep share. */
#ifndef UBTRFS_TESTS_DAMAGE_PRIV_H
#define UBTRFS_TESTS_DAMAGE_PRIV_H

#include "tests/lib/imgfield.h"

/*
 * Why a wrong value of this field may be shown without a word: nobody who reads could doubt it.
 * NULL: it must not.
 */
const char *silent_reason(const struct instance *in);

#endif
