// SPDX-License-Identifier: GPL-2.0-or-later
/* The command line of ubtrfs: what is understood, and that what is not is refused by name. */
#include "engine/engine.h"
#include "fuse/opts.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char said[1000];

/* Parses with stderr caught in `said`. Arguments end with NULL. */
static int parse(struct options *opts, ...)
{
	char *argv[16] = { (char *)"ubtrfs" };
	int argc = 1, ret, saved = dup(2);
	FILE *f = tmpfile();
	va_list ap;

	va_start(ap, opts);
	while ((argv[argc] = va_arg(ap, char *)))
		argc++;
	va_end(ap);
	fflush(stderr);
	dup2(fileno(f), 2);
	ret = options_parse(argc, argv, opts);
	fflush(stderr);
	dup2(saved, 2);
	close(saved);
	rewind(f);
	said[fread(said, 1, sizeof(said) - 1, f)] = '\0';
	fclose(f);
	return ret;
}

static void check_list(const char *list, struct options *opts)
{
	assert_int_equal(parse(opts, "-o", list, "dev", "dir", NULL), 0);
	assert_string_equal(said, "");
}

static void test_places(void **state)
{
	struct options o;

	assert_int_equal(parse(&o, "a", "b", "-o", "device=c,device=d", "dir", "-f", NULL), 0);
	assert_int_equal(o.nr_devices, 4);
	assert_string_equal(o.devices[0], "a");
	assert_string_equal(o.devices[1], "b");
	assert_string_equal(o.devices[2], "c");
	assert_string_equal(o.devices[3], "d");
	assert_string_equal(o.dir, "dir");
	assert_true(o.foreground);
	assert_int_equal(o.threads, 10);
	options_free(&o);
}

static void test_values(void **state)
{
	struct options o;

	check_list("subvol=/a/b,subvolid=300,degraded,offset=1M,metadata_cache=2g,threads=3,uid=12,"
		   "gid=0x10,umask=027,io=pread,sandbox=no,max_read=8192,allow_root,noacl",
		   &o);
	assert_string_equal(o.subvol, "/a/b");
	assert_true(o.have_subvolid && o.subvolid == 300);
	assert_true(o.degraded && o.pread && o.no_sandbox && o.allow_root && o.no_acl);
	assert_true(!o.allow_other && !o.rw_asked && !o.foreground);
	assert_int_equal(o.offset, 1 << 20);
	assert_int_equal(o.metadata_cache, 2ull << 30);
	assert_int_equal(o.threads, 3);
	assert_true(o.have_uid && o.have_gid && o.have_umask);
	assert_int_equal(o.uid, 12);
	assert_int_equal(o.gid, 16);
	assert_int_equal(o.umask, 027);
	assert_int_equal(o.max_read, 8192);
	options_free(&o);

	check_list("uid=root,rw", &o);
	assert_true(o.have_uid && o.uid == 0 && o.rw_asked);
	options_free(&o);
}

static void test_rescue(void **state)
{
	static const struct {
		const char *list;
		unsigned bits;
	} rows[] = {
		{ "rescue=usebackuproot", ENG_RESCUE_USEBACKUPROOT },
		{ "usebackuproot", ENG_RESCUE_USEBACKUPROOT },
		{ "rescue=ignorebadroots:ignoredatacsums",
		  ENG_RESCUE_IGNOREBADROOTS | ENG_RESCUE_IGNOREDATACSUMS },
		{ "rescue=ibadroots,rescue=imetacsums",
		  ENG_RESCUE_IGNOREBADROOTS | ENG_RESCUE_IGNOREMETACSUMS },
		{ "rescue=all", ENG_RESCUE_ALL },
		{ "rescue=nologreplay,norecovery,nologreplay", 0 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct options o;

		check_list(rows[i].list, &o);
		assert_int_equal(o.rescue, rows[i].bits);
		options_free(&o);
	}
}

/* What mount(8), fstab and the kernel's btrfs know changes nothing. */
static void test_accepted(void **state)
{
	struct options o;

	check_list(
		"defaults,noatime,compress=zstd:3,compress,space_cache=v2,ssd,discard=async,commit=30,"
		"x-systemd.automount,x-gvfs-show,_netdev,nofail,user=me,autodefrag,thread_pool=4,"
		"fsname=no,default_permissions,auto_unmount,,ro",
		&o);
	assert_null(o.kernel_opts);
	options_free(&o);
}

static void test_kernel(void **state)
{
	struct options o;

	check_list("nosuid,dev,context=a\\,b\\\\c", &o);
	assert_string_equal(o.kernel_opts, ",nosuid,dev,context=a\\,b\\\\c");
	options_free(&o);
}

static void test_escapes(void **state)
{
	struct options o;

	check_list("device=/a\\,b\\\\c\\d,subvol=x=y", &o);
	assert_int_equal(o.nr_devices, 2);
	assert_string_equal(o.devices[1], "/a,b\\c\\d");
	assert_string_equal(o.subvol, "x=y");
	options_free(&o);
}

static void test_refused(void **state)
{
	static const struct {
		const char *list, *line;
	} rows[] = {
		{ "ro,nix", "unknown mount option 'nix'" },
		{ "subvo=a", "unknown mount option 'subvo'" },
		{ "subvol", "mount option 'subvol' needs a value" },
		{ "device=", "mount option 'device' needs a value" },
		{ "degraded=1", "mount option 'degraded' takes no value" },
		{ "subvolid=x", "mount option 'subvolid': bad value 'x'" },
		{ "subvolid=-1", "mount option 'subvolid': bad value '-1'" },
		{ "offset=1Q", "mount option 'offset': bad value '1Q'" },
		{ "offset=99999999999T", "mount option 'offset': bad value '99999999999T'" },
		{ "metadata_cache=18446744073709551615",
		  "mount option 'metadata_cache': bad value '18446744073709551615'" },
		{ "threads=0", "mount option 'threads': bad value '0'" },
		{ "threads=65", "mount option 'threads': bad value '65'" },
		{ "umask=888", "mount option 'umask': bad value '888'" },
		{ "uid=no such user", "mount option 'uid': bad value 'no such user'" },
		{ "rescue=usebackuproot:nix",
		  "mount option 'rescue': bad value 'usebackuproot:nix'" },
		{ "io=magic", "mount option 'io': bad value 'magic'" },
		{ "remount", "cannot remount: unmount, then mount with the new options" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct options o;
		char line[200];

		assert_int_equal(parse(&o, "-o", rows[i].list, "dev", "dir", NULL), -EINVAL);
		snprintf(line, sizeof(line), "ubtrfs: %s\n", rows[i].line);
		assert_string_equal(said, line);
		options_free(&o);
	}
}

static void test_usage(void **state)
{
	struct options o;

	assert_int_equal(parse(&o, "dev", NULL), -EINVAL);
	assert_non_null(strstr(said, "--help"));
	options_free(&o);
	assert_int_equal(parse(&o, "-x", "dev", "dir", NULL), -EINVAL);
	assert_string_equal(said, "ubtrfs: unknown option -x (see --help)\n");
	options_free(&o);
	assert_int_equal(parse(&o, "--nix", NULL), -EINVAL);
	assert_string_equal(said, "ubtrfs: unknown option --nix (see --help)\n");
	options_free(&o);
	assert_int_equal(parse(&o, "dev", "dir", "-o", NULL), -EINVAL);
	assert_string_equal(said, "ubtrfs: -o needs a value (see --help)\n");
	options_free(&o);
	assert_int_equal(parse(&o, "--help", NULL), 0);
	assert_true(o.help);
	options_free(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_places),	cmocka_unit_test(test_values),
		cmocka_unit_test(test_rescue),	cmocka_unit_test(test_accepted),
		cmocka_unit_test(test_kernel),	cmocka_unit_test(test_escapes),
		cmocka_unit_test(test_refused), cmocka_unit_test(test_usage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
