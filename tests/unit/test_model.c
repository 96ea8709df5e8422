// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The nets of random operations, tried on themselves: names and scripts, the model against another
 * model, and a filesystem with a fault that must be caught and its script shrunk to a few lines.
 */
#include <linux/fs.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "ondisk/csum.h"
#include "tests/lib/opgen.h"
#include "tests/lib/simdisk.h"

static const struct model_limits limits = { .nodesize = 4096 };
static const char *const mixes[] = { "default", "names", "renames", "attributes", "slots" };

static void test_names(void **state)
{
	char name[OP_NAME_ROOM], first[OP_NAME_ROOM], token[64];
	uint64_t hash = 0;

	assert_int_equal(op_expand("n1/x", 2, name), 2);
	assert_string_equal(name, "n1");
	assert_int_equal(op_expand("long3.255", 9, name), 255);
	assert_int_equal(strlen(name), 255);
	assert_int_equal(op_expand("user.long3.17", 13, name), 17);
	assert_memory_equal(name, "user.l3-", 8);
	/* All 256 of a hash differ, and have it; with what comes before and after, too. */
	for (unsigned i = 0; i < 256; i++) {
		for (unsigned k = 0; k < 2; k++) {
			sprintf(token, k ? "hash7.%u" : "user.hash12.%u.90", i);
			op_expand(token, strlen(token), name);
			assert_null(strchr(name, '/'));
			if (!i)
				continue;
			sprintf(token, k ? "hash7.0" : "user.hash12.0.90");
			op_expand(token, strlen(token), first);
			hash = btrfs_name_hash(first, strlen(first));
			assert_string_not_equal(name, first);
			assert_int_equal(btrfs_name_hash(name, strlen(name)), hash);
		}
	}
}

static struct opgen generator(const struct model *m, const char *mix, uint64_t seed)
{
	return (struct opgen){
		.m = m,
		.mix = opgen_mix(mix),
		.rng = sim_seed(seed, 1),
		.names_max = 300,
		.names_each = 12,
		.dir_props = true,
		.threads = 8,
		.thread = 3,
	};
}

static char *printed(const struct script *s)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	script_print(out, s);
	fclose(out);
	return text;
}

/* Two models agree, and a script that is printed and read again is the same. */
static void test_model_against_itself(void **state)
{
	for (unsigned k = 0; k < sizeof(mixes) / sizeof(*mixes); k++) {
		struct model *m = model_create(&limits), *fs = model_create(&limits), *copy;
		struct backend *b = backend_model(fs);
		struct opgen g = generator(m, mixes[k], k);
		struct script s = { 0 }, again;
		struct res res = { 0 };
		char *text, *text2;
		FILE *in;

		for (unsigned i = 0; i < 5000; i++) {
			struct op op = opgen_next(&g);

			script_add(&s, &op);
			if (!model_apply(m, b, &op, &res)) {
				op_print(stderr, &op);
				fail_msg("%s: operation %u: %s", mixes[k], i, m->why);
			}
		}
		if (!model_verify(m, b))
			fail_msg("%s: %s", mixes[k], m->why);
		copy = model_copy(m);
		assert_true(model_verify(copy, b));
		model_destroy(copy);
		text = printed(&s);
		in = fmemopen(text, strlen(text), "r");
		assert_int_equal(script_parse(in, &again), 0);
		fclose(in);
		text2 = printed(&again);
		assert_string_equal(text, text2);
		free(text);
		free(text2);
		script_free(&s);
		script_free(&again);
		res_free(&res);
		b->destroy(b);
		model_destroy(m);
		model_destroy(fs);
	}
}

/* ---- a filesystem with a fault ---- */

struct broken {
	struct backend b;
	struct backend *inner;
	unsigned fault;
};

static void also(struct broken *f, enum op_kind kind, char *path, char *to, char *name)
{
	struct op op = { .kind = kind, .path = path, .to = to, .name = name };
	struct res res = { 0 };

	f->inner->apply(f->inner, &op, &res);
	res_free(&res);
}

static void broken_apply(struct backend *b, const struct op *op, struct res *out_res)
{
	struct broken *f = (struct broken *)b;

	f->inner->apply(f->inner, op, out_res);
	if (out_res->err)
		return;
	switch (f->fault) {
	case 0: /* a rename of a directory forgets an attribute */
		if (op->kind == OP_RENAME)
			also(f, OP_RMXATTR, op->to, NULL, (char *)"user.a1");
		break;
	case 1: /* a second link has another mode */
		if (op->kind == OP_LINK)
			also(f, OP_CHMOD, op->to, NULL, NULL);
		break;
	case 2: /* truncate forgets to say so */
		if (op->kind == OP_TRUNCATE && op->n[0] == 100)
			out_res->attr.size++;
		break;
	case 3: /* an exchange does it twice */
		if (op->kind == OP_RENAME && op->flags == RENAME_EXCHANGE)
			f->inner->apply(f->inner, op, out_res);
		break;
	default: /* unlink takes the second name of a file with it */
		if (op->kind == OP_UNLINK && !strchr(op->path, '/'))
			also(f, OP_UNLINK, (char *)"n2", NULL, NULL);
	}
}

/* A script on a new filesystem; true if the net sees that it is broken. */
static bool fails(void *arg, const struct script *s)
{
	struct model *m = model_create(&limits), *fs = model_create(&limits);
	struct broken f = { .b = { broken_apply },
			    .inner = backend_model(fs),
			    .fault = *(unsigned *)arg };
	const bool ok = model_run(m, &f.b, s) == s->nr && model_verify(m, &f.b);

	f.inner->destroy(f.inner);
	model_destroy(fs);
	model_destroy(m);
	return !ok;
}

static void test_faults_are_shrunk(void **state)
{
	for (unsigned fault = 0; fault < 5; fault++) {
		struct model *m = model_create(&limits);
		struct backend *b = backend_model(m);
		struct opgen g = generator(m, "default", 40 + fault);
		struct script s = { 0 };
		struct res res = { 0 };

		for (unsigned i = 0; i < 8000; i++) {
			struct op op = opgen_next(&g);

			b->apply(b, &op, &res);
			res_reset(&res);
			script_add(&s, &op);
		}
		assert_true(fails(&fault, &s));
		script_shrink(&s, fails, &fault, 4000);
		assert_true(fails(&fault, &s));
		if (s.nr > 5) {
			script_print(stderr, &s);
			fail_msg("fault %u: %zu operations left", fault, s.nr);
		}
		script_free(&s);
		res_free(&res);
		b->destroy(b);
		model_destroy(m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_model_against_itself),
		cmocka_unit_test(test_faults_are_shrunk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
