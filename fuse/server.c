// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The server.
 *
 * States: open (the filesystem, in the foreground of the person who waits) → mounted → initialised
 * (the kernel's first request is answered, by this thread) → sandboxed → serving (threads) → ended,
 * by unmount or SIGTERM.
 *
 * 1. Until it is ready the server has said why not in exactly one REPORT_FAILED.
 * 2. Threads are made once: no engine progress depends on one, and the sandbox need not allow
 * making any.
 * 3. It never unmounts: in its sandbox it can't. The supervisor does.
 *
 * Signals: all are blocked; the main thread waits for SIGTERM (end now) and SIGUSR2 (a thread has
 * ended). SIGUSR1 only interrupts a serving thread's read of the kernel.
 */
#include "fuse/server.h"

#include "fuse/ops_priv.h"
#include "fuse/report.h"
#include "fuse/sandbox.h"
#include "fuse/sanitized.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#define READ_AHEAD_KB 2048
#define MAX_BACKGROUND 64
/* How long a thread may need to finish its request when the server is to end. */
#define END_TRIES 100
#define END_TRY_NS 20000000

const struct fuse_lowlevel_ops server_ops = {
	.init = op_init,
	.lookup = op_lookup,
	.forget = op_forget,
	.forget_multi = op_forget_multi,
	.getattr = op_getattr,
	.readlink = op_readlink,
	.statfs = op_statfs,
	.open = op_open,
	.read = op_read,
	.lseek = op_lseek,
	.opendir = op_opendir,
	.readdir = op_readdir,
	.readdirplus = op_readdirplus,
	.getxattr = op_getxattr,
	.listxattr = op_listxattr,
	.ioctl = op_ioctl,
};

static void on_message(void *arg, enum eng_msg_level level, const char *text)
{
	const struct server *srv = arg;

	/* A failed open has said one line of errors: the report of the failure carries it. */
	if (level == ENG_MSG_ERR && !srv->fs)
		report_send(srv->report_fd, REPORT_FAILED, EXIT_NO_MOUNT, "%s", text);
	else if (level < ENG_MSG_DEBUG || srv->opts->debug)
		report_send(srv->report_fd, REPORT_SAY, level, "%s", text);
}

static int fail(const struct server *srv, enum mount_exit code, const char *what, int err)
{
	if (err)
		report_send(srv->report_fd, REPORT_FAILED, code, "%s: %s", what, strerror(-err));
	else
		report_send(srv->report_fd, REPORT_FAILED, code, "%s", what);
	return (int)code;
}

/* ---- opening ---- */

static int choose_root(struct server *srv)
{
	const struct options *o = srv->opts;
	uint64_t subvol = o->have_subvolid ? o->subvolid : eng_default_subvol(srv->fs);
	char what[256];
	int err;

	if (o->have_subvolid && !o->subvolid)
		subvol = 5; /* as the kernel's btrfs takes it */
	if (o->subvol) {
		uint64_t by_path;

		err = eng_subvol_by_path(srv->fs, o->subvol, &by_path);
		if (err) {
			snprintf(what, sizeof(what), "subvol=%.200s", o->subvol);
			if (err == -EINVAL)
				return fail(srv, EXIT_NO_MOUNT, strcat(what, ": not a subvolume"),
					    0);
			return fail(srv, EXIT_NO_MOUNT, what, err);
		}
		if (o->have_subvolid && by_path != subvol) {
			snprintf(what, sizeof(what),
				 "subvol=%.200s has the id %llu, not subvolid=%llu", o->subvol,
				 (unsigned long long)by_path, (unsigned long long)subvol);
			return fail(srv, EXIT_NO_MOUNT, what, 0);
		}
		subvol = by_path;
	}
	err = eng_subvol_root(srv->fs, subvol, &srv->root);
	if (!err)
		return 0;
	snprintf(what, sizeof(what), "subvolume %llu", (unsigned long long)subvol);
	return fail(srv, EXIT_NO_MOUNT, what, err);
}

static int open_all(struct server *srv)
{
	const struct options *o = srv->opts;
	const struct eng_open_opts eng_opts = {
		.devices = (const char *const *)o->devices,
		.nr_devices = o->nr_devices,
		.offset = o->offset,
		.share = ENG_SHARE_EXCLUSIVE,
		.scan = true,
		.degraded = o->degraded,
		.rescue = o->rescue,
		.metadata_cache = o->metadata_cache,
		.readahead = o->readahead,
		.threads = o->threads + 2,
		.workers = -1,
		.no_uring = o->pread,
		.message = on_message,
		.message_arg = srv,
	};
	struct eng_fs_info info;
	int code;

	if (eng_open(&eng_opts, &srv->fs))
		return EXIT_NO_MOUNT; /* said by on_message */
	code = choose_root(srv);
	if (code)
		return code;
	eng_fs_info(srv->fs, &info);
	srv->block_size = info.sectorsize;
	if (nodeids_create(srv->root, &srv->ids) || streams_create(srv->fs, &srv->streams))
		return fail(srv, EXIT_SYSTEM, "cannot start", -ENOMEM);
	return 0;
}

/* ---- mounting ---- */

static int session_args(const struct options *o, struct fuse_args *out_args)
{
	char *list = NULL;
	char *dev = realpath(o->devices[0], NULL);
	int err = options_append(&list, "ro,default_permissions,subtype", "ubtrfs");

	if (!err)
		err = options_append(&list, "fsname", dev ? dev : o->devices[0]);
	free(dev);
	/* Whoever may mount a btrfs expects others to see it. */
	if (!err && !o->allow_root && (o->allow_other || (!geteuid() && !o->private)))
		err = options_append(&list, "allow_other", NULL);
	if (!err && o->allow_root)
		err = options_append(&list, "allow_root", NULL);
	if (!err && o->max_read) {
		char text[16];

		snprintf(text, sizeof(text), "%u", o->max_read);
		err = options_append(&list, "max_read", text);
	}
	if (err || fuse_opt_add_arg(out_args, "ubtrfs") || fuse_opt_add_arg(out_args, "-o") ||
	    fuse_opt_add_arg(out_args, list + 1) ||
	    (o->kernel_opts && (fuse_opt_add_arg(out_args, "-o") ||
				fuse_opt_add_arg(out_args, o->kernel_opts + 1))) ||
	    (o->debug && fuse_opt_add_arg(out_args, "-d")))
		err = -ENOMEM;
	free(list);
	return err;
}

/* The first line of what libfuse and fusermount3 said, without their names. */
static void first_line(int fd, char *out, size_t size)
{
	ssize_t n = pread(fd, out, size - 1, 0);
	char *colon;

	out[n > 0 ? n : 0] = '\0';
	out[strcspn(out, "\n")] = '\0';
	colon = strstr(out, ": ");
	if (colon && (!strncmp(out, "fuse", 4)))
		memmove(out, colon + 2, strlen(colon + 2) + 1);
	if (!out[0])
		snprintf(out, size, "unknown reason");
}

/* libfuse and fusermount3 speak on stderr, in their own words and several lines: caught, for one
 * line of ours. */
static int mount_session(struct server *srv)
{
	int said = memfd_create("ubtrfs", MFD_CLOEXEC), saved = fcntl(2, F_DUPFD_CLOEXEC, 3), err;
	char why[512], what[1024];

	if (said < 0 || saved < 0)
		return fail(srv, EXIT_SYSTEM, "cannot mount", -errno);
	dup2(said, 2);
	leaks_allowed(); /* what libfuse frees by unmounting, which is not for us to do */
	err = fuse_session_mount(srv->se, srv->opts->dir);
	leaks_forbidden();
	dup2(saved, 2);
	close(saved);
	if (err) {
		first_line(said, why, sizeof(why));
		snprintf(what, sizeof(what), "cannot mount on %.400s: %s", srv->opts->dir, why);
		fail(srv, EXIT_NO_MOUNT, what, 0);
	}
	close(said);
	return err ? EXIT_NO_MOUNT : 0;
}

/* The kernel reads ahead 128 KiB of a FUSE file by default. For root only; without it all works,
 * slower. */
static void raise_read_ahead(const struct options *o)
{
	char path[64];
	struct statx sx;
	int fd;

	/* Asked for nothing but the device number, which needs no answer from us. */
	if (statx(AT_FDCWD, o->dir, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, 0, &sx))
		return;
	snprintf(path, sizeof(path), "/sys/class/bdi/%u:%u/read_ahead_kb", sx.stx_dev_major,
		 sx.stx_dev_minor);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	(void)!dprintf(fd, "%d", READ_AHEAD_KB);
	close(fd);
}

void op_init(void *userdata, struct fuse_conn_info *conn)
{
	const unsigned want = FUSE_CAP_ASYNC_READ | FUSE_CAP_EXPORT_SUPPORT | FUSE_CAP_IOCTL_DIR |
			      FUSE_CAP_READDIRPLUS | FUSE_CAP_ASYNC_DIO | FUSE_CAP_PARALLEL_DIROPS |
			      FUSE_CAP_CACHE_SYMLINKS | FUSE_CAP_NO_OPEN_SUPPORT |
			      FUSE_CAP_NO_OPENDIR_SUPPORT | FUSE_CAP_EXPLICIT_INVAL_DATA;
	struct server *srv = userdata;
	const struct options *o = srv->opts;

	conn->want = conn->capable & want;
	srv->no_open = conn->capable & FUSE_CAP_NO_OPEN_SUPPORT;
	srv->no_opendir = conn->capable & FUSE_CAP_NO_OPENDIR_SUPPORT;
	srv->acl = conn->capable & FUSE_CAP_POSIX_ACL && !o->no_acl && !o->have_uid &&
		   !o->have_gid && !o->have_umask;
	if (srv->acl)
		conn->want |= FUSE_CAP_POSIX_ACL;
	conn->max_background = MAX_BACKGROUND;
	conn->congestion_threshold = MAX_BACKGROUND * 3 / 4;
	conn->max_read = o->max_read;
	conn->time_gran = 1;
	srv->inited = true;
}

static int answer_init(struct server *srv)
{
	struct fuse_buf buf = { 0 };

	while (!srv->inited && !fuse_session_exited(srv->se)) {
		int n = fuse_session_receive_buf(srv->se, &buf);

		if (n > 0)
			fuse_session_process_buf(srv->se, &buf);
		else if (n != -EINTR)
			break;
	}
	free(buf.mem);
	return srv->inited ? 0 : fail(srv, EXIT_NO_MOUNT, "the kernel did not start the mount", 0);
}

/* ---- serving ---- */

static pthread_t main_thread;

/* Threads begin to serve when the sandbox is closed. */
static pthread_mutex_t gate_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t gate_opened = PTHREAD_COND_INITIALIZER;
static bool gate_open;

static void wait_gate(void)
{
	pthread_mutex_lock(&gate_lock);
	while (!gate_open)
		pthread_cond_wait(&gate_opened, &gate_lock);
	pthread_mutex_unlock(&gate_lock);
}

static void open_gate(void)
{
	pthread_mutex_lock(&gate_lock);
	gate_open = true;
	pthread_cond_broadcast(&gate_opened);
	pthread_mutex_unlock(&gate_lock);
}

static void *serve(void *arg)
{
	struct server *srv = arg;
	struct fuse_buf buf = { 0 };
	sigset_t wake;

	sigemptyset(&wake);
	sigaddset(&wake, SIGUSR1);
	pthread_sigmask(SIG_UNBLOCK, &wake, NULL);
	wait_gate();
	while (!fuse_session_exited(srv->se)) {
		int n = fuse_session_receive_buf(srv->se, &buf);

		if (n > 0)
			fuse_session_process_buf(srv->se, &buf);
		else if (n != -EINTR)
			break; /* 0: unmounted */
	}
	fuse_session_exit(srv->se);
	free(buf.mem);
	thread_buf_free();
	pthread_kill(main_thread, SIGUSR2);
	return NULL;
}

/* A thread that waits for the kernel is woken; one that waits for a dead disk is not waited for. */
static bool end_thread(pthread_t thread)
{
	for (int i = 0; i < END_TRIES; i++) {
		struct timespec until;

		pthread_kill(thread, SIGUSR1);
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += END_TRY_NS;
		if (until.tv_nsec >= 1000000000) {
			until.tv_nsec -= 1000000000;
			until.tv_sec++;
		}
		if (!pthread_timedjoin_np(thread, NULL, &until))
			return true;
	}
	return false;
}

/* Warns of what could not be had; a kernel without landlock is nothing unusual. */
static void say_sandbox(const struct server *srv, const char *what, int err)
{
	if (err && (err != -EOPNOTSUPP || srv->opts->debug))
		report_send(srv->report_fd, REPORT_SAY, ENG_MSG_WARN, "running without %s: %s",
			    what, strerror(-err));
}

/* From here on stderr is the person's shell no more; with -f the supervisor speaks for us. */
static void detach(const struct options *o)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	(void)!chdir("/");
	if (null < 0)
		return;
	dup2(null, 0);
	dup2(null, 1);
	if (!o->debug)
		dup2(null, 2);
	if (null > 2)
		close(null);
}

static int start_threads(struct server *srv, pthread_t *threads, unsigned *out_nr)
{
	int err = 0;

	main_thread = pthread_self();
	for (*out_nr = 0; *out_nr < srv->opts->threads && !err; *out_nr += !err)
		err = pthread_create(&threads[*out_nr], NULL, serve, srv);
	/* Fewer will do. */
	return *out_nr ? 0 : -err;
}

/* The filter forbids making threads, so they come before it, and wait until it is on. */
static int serve_until_end(struct server *srv)
{
	pthread_t threads[64];
	unsigned nr;
	sigset_t waited;
	bool all_ended = true;
	int sig, err;

	assert(srv->opts->threads <= sizeof(threads) / sizeof(threads[0]));
	detach(srv->opts);
	fcntl(srv->report_fd, F_SETFL, O_NONBLOCK); /* a supervisor that hangs hangs nobody else */
	if (!srv->opts->no_sandbox)
		say_sandbox(srv, "landlock", sandbox_drop_rights());
	err = start_threads(srv, threads, &nr);
	if (err)
		return fail(srv, EXIT_SYSTEM, "cannot make threads", err);
	if (!srv->opts->no_sandbox) {
		err = sandbox_filter_calls();
		srv->sandboxed = !err;
		say_sandbox(srv, "a seccomp filter", err);
	}
	open_gate();
	report_send(srv->report_fd, REPORT_READY, 0, "%s", "");

	sigemptyset(&waited);
	sigaddset(&waited, SIGTERM);
	sigaddset(&waited, SIGUSR2);
	do
		sig = sigwaitinfo(&waited, NULL);
	while (sig < 0 && errno == EINTR);
	fuse_session_exit(srv->se);
	for (unsigned i = 0; i < nr; i++)
		all_ended &= end_thread(threads[i]);
	if (!all_ended)
		_exit(EXIT_DONE); /* nothing of ours to save: this is a reader */
	return EXIT_DONE;
}

static void nothing(int sig)
{
}

static void prepare_signals(void)
{
	static const int ours[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP };
	struct sigaction act = { .sa_handler = nothing };
	sigset_t all;

	sigfillset(&all);
	for (unsigned i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		sigdelset(&all, ours[i]);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	/* Without SA_RESTART: the read that it meets returns. */
	sigaction(SIGUSR1, &act, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static int mount_and_serve(struct server *srv)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	int code = open_all(srv);

	if (code)
		return code;
	if (session_args(srv->opts, &args))
		code = fail(srv, EXIT_SYSTEM, "cannot start", -ENOMEM);
	if (!code) {
		srv->se = fuse_session_new(&args, &server_ops, sizeof(server_ops), srv);
		if (!srv->se)
			code = fail(srv, EXIT_WRONG_USE, "FUSE does not take the mount options", 0);
	}
	fuse_opt_free_args(&args);
	if (!code)
		code = mount_session(srv);
	if (code)
		return code;
	report_send(srv->report_fd, REPORT_MOUNTED, 0, "%s", "");
	code = answer_init(srv);
	if (code)
		return code;
	raise_read_ahead(srv->opts);
	return serve_until_end(srv);
}

int server_run(const struct options *opts, int report_fd)
{
	struct server srv = {
		.opts = opts,
		.report_fd = report_fd,
		.owner = getuid(),
		.supervisor_pid = (uint32_t)getppid(),
	};
	int code;

	prepare_signals();
	(void)!prctl(PR_SET_NAME, "ubtrfs-server");
	code = mount_and_serve(&srv);
	streams_destroy(srv.streams);
	eng_close(srv.fs);
	nodeids_destroy(srv.ids);
	/* After the reports: it closes the connection, and a failed mount would be unmounted by
	 * libfuse. */
	if (srv.se)
		fuse_session_destroy(srv.se);
	return code;
}
