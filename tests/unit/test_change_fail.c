// SPDX-License-Identifier: GPL-2.0-or-later
/* Trees that change while allocations, updates of references, reads and writes fail. */
#include "engine/util/fault.h"
#include "tests/unit/changelab.h"

#include <setjmp.h>
#include <stdio.h>

#include <cmocka.h>

/*
 * A script of edits in which the nth allocation fails, or the nth update of references, or the nth
 * read. Until an abort, a failed edit has changed nothing and the rest goes on.
 */
enum what_fails {
	FAIL_ALLOC,
	FAIL_REFS,
	FAIL_READ_BLOCK,
	FAIL_WRITE_BLOCK,
	FAIL_NR,
};

static bool run_failing(enum what_fails what, unsigned nth, enum bt_search_mode mode, bool *out_hit)
{
	uint64_t s = 99;
	struct fake_handle h;
	struct lab l;
	bool ok = true;
	int err;

	*out_hit = false;
	lab_init(&l, 4096, 1200, what == FAIL_READ_BLOCK ? 0 : 200, 1, 500, mode);
	faketxn_begin(l.f, &h, mode);
	l.max_item = 900;
	for (unsigned n = 0; ok && n < 350; n++)
		ok = edit_insert(&l, &h, 0, rnd(&s) % 500, &s);
	check(ok && snapshot(&l, &h, 0));
	faketxn_end(&h);
	check(commit(&l));
	faketxn_begin(l.f, &h, mode);
	l.spare_failures = true;
	if (what == FAIL_ALLOC)
		l.f->fail_alloc = nth;
	else if (what == FAIL_REFS)
		l.f->fail_refs = nth;
	else if (what == FAIL_READ_BLOCK)
		fault_arm(FAULT_READ, nth);
	for (unsigned n = 0; ok && n < 100 && !l.f->aborted; n++)
		ok = edit(&l, &h, rnd(&s) % 2, rnd(&s) % 500, n > 50, &s);
	fault_arm(FAULT_READ, 0);
	l.f->fail_alloc = l.f->fail_refs = 0;
	l.spare_failures = false;
	faketxn_end(&h);
	if (what == FAIL_WRITE_BLOCK)
		l.f->fail_write = nth;
	/* Merging may meet a failure that the edit survives. */
	*out_hit = l.failed || l.f->aborted;
	if (!l.f->aborted) {
		ok = ok && all_right(&l);
		err = ok ? faketxn_commit(l.f) : 0;
		if (err) {
			check(what == FAIL_WRITE_BLOCK && err == -EIO);
			*out_hit = true;
			check(commit(&l));
		}
		ok = ok && all_right(&l);
	}
	if (!ok)
		fprintf(stderr, "failure %d at %u, mode %d\n", what, nth, mode);
	if (ok)
		lab_end(&l);
	return ok;
}

static void test_failures(void **state)
{
	for (int what = 0; what < FAIL_NR; what++)
		for (int mode = BT_TWO_PASS; mode <= BT_LINUX; mode++) {
			unsigned hits = 0;
			bool hit;

			for (unsigned nth = 1; nth < 60; nth += nth < 12 ? 1 : 5) {
				assert_true(run_failing(what, nth, mode, &hit));
				hits += hit;
			}
			/* A read that fails once is tried again. */
			assert_true(hits > 0 || what == FAIL_READ_BLOCK);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_failures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
