/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The two lists that format_pairs.py writes, each ended by a NULL name. */
#ifndef UBTRFS_TESTS_UNIT_FORMAT_PAIRS_H
#define UBTRFS_TESTS_UNIT_FORMAT_PAIRS_H

struct format_pair {
	const char *name;
	unsigned long long value;
};

extern const struct format_pair pairs_ours[];
extern const struct format_pair pairs_linux[];

#endif
