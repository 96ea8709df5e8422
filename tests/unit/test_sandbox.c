// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The sandbox refuses what it should, also to threads that were there before, and leaves what the
 * server needs. Each case runs in a child, which enters the sandbox as the server does.
 */
#include "fuse/sandbox.h"
#include "fuse/sanitized.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum {
	NO_SECCOMP = 77,
	LET_THROUGH = 1,
	OTHER_ERRNO = 2,
	FINE = 0,
};

static int refused(long ret)
{
	return ret >= 0 ? LET_THROUGH : errno == EPERM ? FINE : OTHER_ERRNO;
}

static int try_socket(void)
{
	return refused(socket(AF_UNIX, SOCK_STREAM, 0));
}

static int try_tcp(void)
{
	return refused(socket(AF_INET, SOCK_STREAM, 0));
}

static int try_exec(void)
{
	return refused(execl("/bin/true", "true", NULL));
}

static int try_uring(void)
{
	char params[256] = { 0 };

	return refused(syscall(SYS_io_uring_setup, 4, params));
}

static int try_kill(void)
{
#ifdef SANITIZED
	return FINE;
#else
	return refused(kill(getppid(), 0));
#endif
}

static int try_mount(void)
{
	return refused(syscall(SYS_mount, "none", "/", "tmpfs", 0, NULL));
}

static int try_ioctl(void)
{
	return refused(syscall(SYS_ioctl, -1, 0x5401, NULL));
}

static int try_mkdir(void)
{
	return refused(syscall(SYS_mkdir, "/nowhere/at/all", 0700));
}

static int try_unlink(void)
{
	return refused(syscall(SYS_unlink, "/nowhere/at/all"));
}

#ifndef SANITIZED
static int try_open(void)
{
	return refused(open("/", O_RDONLY | O_DIRECTORY));
}

static int try_create(void)
{
	return refused(open("/dev/null", O_WRONLY | O_CREAT, 0600));
}

static int try_stat(void)
{
	struct stat st;

	return refused(stat("/", &st));
}

static int try_fork(void)
{
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	return refused(pid);
}

static int try_executable_memory(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p != MAP_FAILED)
		return LET_THROUGH;
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return p == MAP_FAILED ? OTHER_ERRNO : refused(mprotect(p, 4096, PROT_READ | PROT_EXEC));
}

static int try_ptrace(void)
{
	return refused(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
}
#endif

/* What is left: memory, locks, time, and what is open. */
static int work(void)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	char buf[16];
	void *p = malloc(8 << 20);
	struct timespec ts = { .tv_nsec = 1000 };

	if (!p)
		return LET_THROUGH;
	memset(p, 1, 8 << 20);
	free(p);
	pthread_mutex_lock(&lock);
	pthread_mutex_unlock(&lock);
	nanosleep(&ts, NULL);
	if (read(0, buf, sizeof(buf)) < 0)
		return OTHER_ERRNO;
#ifndef SANITIZED
	if (prctl(PR_GET_NO_NEW_PRIVS) >= 0)
		return LET_THROUGH;
#endif
	return FINE;
}

struct other {
	int (*what)(void);
	int go[2], result;
};

/* A thread from before the sandbox. */
static void *other_thread(void *arg)
{
	struct other *o = arg;
	char c;

	if (read(o->go[0], &c, 1) != 1)
		o->result = OTHER_ERRNO;
	else
		o->result = o->what();
	return NULL;
}

static int in_sandbox(int (*what)(void), bool by_other_thread)
{
	struct other o = { .what = what };
	pthread_t thread;
	int null = open("/dev/null", O_RDONLY);

	if (null < 0 || dup2(null, 0) < 0 || pipe(o.go) ||
	    pthread_create(&thread, NULL, other_thread, &o))
		return OTHER_ERRNO;
	sandbox_drop_rights();
	if (sandbox_filter_calls())
		return NO_SECCOMP;
	if (!by_other_thread)
		return what();
	if (write(o.go[1], "", 1) != 1 || pthread_join(thread, NULL))
		return OTHER_ERRNO;
	return o.result;
}

static const struct {
	const char *name;
	int (*what)(void);
} cases[] = {
	{ "socket", try_socket },
	{ "tcp", try_tcp },
	{ "exec", try_exec },
	{ "io_uring_setup", try_uring },
	{ "kill", try_kill },
	{ "mount", try_mount },
	{ "ioctl", try_ioctl },
	{ "mkdir", try_mkdir },
	{ "unlink", try_unlink },
#ifndef SANITIZED
	{ "open", try_open },
	{ "create", try_create },
	{ "stat", try_stat },
	{ "fork", try_fork },
	{ "executable memory", try_executable_memory },
	{ "ptrace", try_ptrace },
#endif
	{ "work", work },
};

static void test_cases(void **state)
{
	for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
		int status;
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (!pid)
			_exit(in_sandbox(cases[i / 2].what, i % 2));
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (WIFEXITED(status) && WEXITSTATUS(status) == NO_SECCOMP)
			skip();
		if (!WIFEXITED(status) || WEXITSTATUS(status))
			fail_msg("%s, %s: status %#x", cases[i / 2].name,
				 i % 2 ? "older thread" : "main thread", (unsigned)status);
	}
}

/* The cases can fail: without the sandbox some of the calls go through. */
static void test_net(void **state)
{
	assert_int_equal(try_socket(), LET_THROUGH);
	assert_int_equal(try_ioctl(), OTHER_ERRNO);
	assert_int_equal(try_mkdir(), OTHER_ERRNO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_net),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
