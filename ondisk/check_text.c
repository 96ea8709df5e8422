// SPDX-License-Identifier: GPL-2.0-or-later
/* A failed check as a line for people. */
#include "ondisk/check.h"
#include "ondisk/print.h"

void btrfs_check_error_to_text(struct text *t, uint64_t logical,
			       const struct btrfs_check_error *err)
{
	text_str(t, err->slot < 0 ? "block " : err->level > 0 ? "node " : "leaf ");
	text_u64(t, logical);
	if (err->slot >= 0) {
		text_str(t, " slot ");
		text_u64(t, (uint64_t)err->slot);
		text_str(t, " key ");
		btrfs_key_to_text(t, &err->key);
	}
	text_str(t, ": ");
	text_str(t, err->reason);
}
