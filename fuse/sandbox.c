// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The sandbox: no new privileges, no capabilities, no paths (landlock), few system calls (seccomp).
 *
 * What is left: reading and writing open descriptors, memory that is not executable, locks, time,
 * io_uring_enter on the rings that exist. io_uring could open files behind seccomp's back: the
 * engine's rings are restricted to reading when they are made, and making one is forbidden here.
 *
 * A refused call fails with EPERM instead of killing: libraries try things (malloc looks at /proc)
 * and go on. Sanitizers look at more than a program does, so their builds keep more.
 */
#include "fuse/sandbox.h"

#include "fuse/sanitized.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static const int allowed[] = {
	SCMP_SYS(read),
	SCMP_SYS(readv),
	SCMP_SYS(pread64),
	SCMP_SYS(preadv),
	SCMP_SYS(preadv2),
	SCMP_SYS(write),
	SCMP_SYS(writev),
	SCMP_SYS(close),
	SCMP_SYS(lseek),
	SCMP_SYS(fstat),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(io_uring_enter),
	SCMP_SYS(brk),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(madvise),
	SCMP_SYS(futex),
	SCMP_SYS(sched_yield),
	SCMP_SYS(sched_getaffinity),
	SCMP_SYS(membarrier),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_getres),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(nanosleep),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(time),
	SCMP_SYS(getcpu),
	SCMP_SYS(getrandom),
	SCMP_SYS(getpid),
	SCMP_SYS(gettid),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(rt_sigtimedwait),
	SCMP_SYS(sigaltstack),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	/* A thread that was made just before begins with these. */
	SCMP_SYS(rseq),
	SCMP_SYS(set_robust_list),
#ifdef SANITIZED
	SCMP_SYS(mmap),
	SCMP_SYS(mprotect),
	SCMP_SYS(open),
	SCMP_SYS(openat),
	SCMP_SYS(readlink),
	SCMP_SYS(readlinkat),
	SCMP_SYS(stat),
	SCMP_SYS(newfstatat),
	SCMP_SYS(access),
	SCMP_SYS(getdents64),
	SCMP_SYS(getdents),
	SCMP_SYS(clone),
	SCMP_SYS(clone3),
	SCMP_SYS(wait4),
	SCMP_SYS(ptrace),
	SCMP_SYS(prctl),
	SCMP_SYS(arch_prctl),
	SCMP_SYS(pipe),
	SCMP_SYS(pipe2),
	SCMP_SYS(dup2),
	SCMP_SYS(prlimit64),
	SCMP_SYS(getrlimit),
	SCMP_SYS(kill),
	SCMP_SYS(getppid),
	SCMP_SYS(uname),
	SCMP_SYS(process_vm_readv),
	SCMP_SYS(waitid),
#endif
};

/* Executable memory, and signals to others, are told apart by arguments. */
static int add_conditional(scmp_filter_ctx ctx)
{
	const struct scmp_arg_cmp not_exec = SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
	const struct scmp_arg_cmp ourselves = SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid());
	int err = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, ourselves);

#ifndef SANITIZED
	if (!err)
		err = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, not_exec);
	if (!err)
		err = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, not_exec);
#else
	(void)not_exec;
#endif
	return err;
}

int sandbox_filter_calls(void)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int err = ctx ? 0 : -ENOMEM;

	/* All threads: the engine's were there before. */
	if (!err)
		err = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
	for (unsigned i = 0; !err && i < sizeof(allowed) / sizeof(allowed[0]); i++) {
		err = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, allowed[i], 0);
		/* Not every machine has every call. */
		if (err == -EDOM)
			err = 0;
	}
	if (!err)
		err = add_conditional(ctx);
	if (!err)
		err = seccomp_load(ctx);
	seccomp_release(ctx);
	return err;
}

#ifndef SANITIZED

/* As of ABI 6; the system's header may be older. */
struct ruleset_attr {
	uint64_t fs, net, scoped;
};

/* A ruleset without rules: nothing that it handles is left. */
static int enter_landlock(void)
{
	const unsigned tsync = 1u << 3; /* all threads, since ABI 8 */
	struct ruleset_attr attr = { .fs = (1ull << 13) - 1 };
	size_t size = sizeof(attr.fs);
	int abi =
		(int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	int fd, err = 0;

	if (abi < 1)
		return errno == ENOSYS ? -EOPNOTSUPP : -errno;
	if (abi >= 2)
		attr.fs |= 1ull << 13; /* link or rename between directories */
	if (abi >= 3)
		attr.fs |= 1ull << 14; /* truncate */
	if (abi >= 5)
		attr.fs |= 1ull << 15; /* ioctl of devices */
	if (abi >= 4) {
		attr.net = 3; /* bind, connect */
		size = 2 * sizeof(uint64_t);
	}
	if (abi >= 6) {
		attr.scoped = 1; /* abstract unix sockets */
		size = sizeof(attr);
	}
	fd = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
	if (fd < 0)
		return -errno;
	if ((abi < 8 || syscall(SYS_landlock_restrict_self, fd, tsync)) &&
	    syscall(SYS_landlock_restrict_self, fd, 0))
		err = -errno;
	close(fd);
	return err;
}

#else

static int enter_landlock(void)
{
	return -EOPNOTSUPP;
}

#endif

/* Of the calling thread; what seccomp leaves needs none. */
static void drop_capabilities(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { 0 };

	(void)!syscall(SYS_capset, &head, none);
}

int sandbox_drop_rights(void)
{
	int err = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ? -errno : enter_landlock();

	drop_capabilities();
	return err;
}
