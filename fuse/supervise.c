// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The supervisor.
 *
 *   STARTING --REPORT_READY--> SERVING --SIGTERM, SIGINT--> ENDING
 * and from each the server's death ends it all: what is still mounted then is unmounted.
 *
 * Messages go to stderr while a person waits, and with -f always; to syslog once the mount stands.
 * It trusts the server with nothing but text.
 */
#include "fuse/supervise.h"

#include "engine/engine.h"
#include "fuse/report.h"
#include "fuse/server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

enum state {
	STARTING,
	SERVING,
	ENDING,
};

struct supervisor {
	const struct options *opts;
	enum state state;
	int ready_fd;
	int report_fd, signal_fd;
	pid_t server;
	bool mounted; /* as the server says */
	bool have_dev;
	unsigned dev_major, dev_minor; /* the mount's, by which it is known again */
	int failure;		       /* exit code of a start that failed, whose reason was said */
	bool interrupted;
};

/* ---- saying ---- */

/* "ubtrfs: DEV: text"; what the engine says of the device itself begins with its name already. */
static void say(const struct supervisor *sv, enum eng_msg_level level, const char *text)
{
	static const int priority[] = { LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG };
	const char *dev = sv->opts->devices[0];
	size_t len = strlen(dev);
	bool named = !strncmp(text, dev, len) && text[len] == ':';

	if (sv->state == STARTING || sv->opts->foreground)
		fprintf(stderr, "ubtrfs: %s%s%s\n", named ? "" : dev, named ? "" : ": ", text);
	if (sv->state != STARTING)
		syslog(priority[level < ENG_MSG_DEBUG ? level : ENG_MSG_DEBUG], "%s%s%s",
		       named ? "" : dev, named ? "" : ": ", text);
}

static void tell_ready(struct supervisor *sv, int code)
{
	unsigned char byte = (unsigned char)code;

	if (sv->ready_fd < 0)
		return;
	(void)!write(sv->ready_fd, &byte, 1);
	close(sv->ready_fd);
	sv->ready_fd = -1;
}

/* ---- unmounting ---- */

/* Asks only for the device number: that needs no answer from the server, dead or alive. */
static bool device_of(const char *dir, unsigned *out_major, unsigned *out_minor)
{
	struct statx sx;

	if (statx(AT_FDCWD, dir, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, 0, &sx))
		return false;
	*out_major = sx.stx_dev_major;
	*out_minor = sx.stx_dev_minor;
	return true;
}

/* Our mount is the top one at its directory; if not even that can be asked, it may be. */
static bool still_mounted(const struct supervisor *sv)
{
	unsigned major, minor;

	if (!sv->mounted)
		return false;
	if (!sv->have_dev || !device_of(sv->opts->dir, &major, &minor))
		return true;
	return major == sv->dev_major && minor == sv->dev_minor;
}

/* What may be unmounted without root is for fusermount3 to decide. */
static void run_fusermount(const char *dir, bool lazy)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		sigset_t none;

		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		execlp("fusermount3", "fusermount3", lazy ? "-uzq" : "-uq", "--", dir, NULL);
		_exit(127);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
}

/* True if nothing of ours is mounted there any more. */
static bool unmount(const struct supervisor *sv, bool lazy)
{
	const char *dir = sv->opts->dir;

	if (!still_mounted(sv))
		return true;
	if (umount2(dir, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) && errno == EPERM)
		run_fusermount(dir, lazy);
	return !still_mounted(sv);
}

/* ---- events ---- */

static void on_ready(struct supervisor *sv)
{
	if (sv->opts->rw_asked)
		say(sv, ENG_MSG_INFO, "mounted read-only: this version does not write");
	sv->state = SERVING;
	openlog("ubtrfs", LOG_PID, LOG_DAEMON);
	if (!sv->opts->foreground) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);

		for (int fd = 0; fd < 3 && null >= 0; fd++)
			dup2(null, fd);
		if (null > 2)
			close(null);
	}
	tell_ready(sv, EXIT_DONE);
}

static void on_report(struct supervisor *sv, const struct report *rep)
{
	switch (rep->kind) {
	case REPORT_SAY:
		say(sv, rep->value, rep->text);
		break;
	case REPORT_MOUNTED:
		sv->mounted = true;
		sv->have_dev = device_of(sv->opts->dir, &sv->dev_major, &sv->dev_minor);
		break;
	case REPORT_READY:
		if (sv->state == STARTING)
			on_ready(sv);
		break;
	case REPORT_FAILED:
		if (sv->failure)
			break;
		say(sv, ENG_MSG_ERR, rep->text);
		sv->failure = rep->value && rep->value < 256 ? (int)rep->value : EXIT_NO_MOUNT;
		break;
	}
}

/* False: the server has closed its end. */
static bool drain_reports(struct supervisor *sv)
{
	struct report rep;
	int ret;

	while ((ret = report_receive(sv->report_fd, &rep)) > 0)
		on_report(sv, &rep);
	return ret == 0;
}

static void on_signal(struct supervisor *sv, int sig)
{
	if (sig == SIGCHLD)
		return;
	if (sv->state == STARTING) {
		sv->interrupted = true;
		kill(sv->server, SIGKILL);
		return;
	}
	sv->state = ENDING;
	if (unmount(sv, false))
		return; /* the kernel tells the server, or another mount of it lives on */
	say(sv, ENG_MSG_WARN, "unmounted although it is in use");
	unmount(sv, true);
	kill(sv->server, SIGTERM);
}

static bool server_ended(struct supervisor *sv, int *out_status)
{
	pid_t pid;

	do
		pid = waitpid(sv->server, out_status, WNOHANG);
	while (pid < 0 && errno == EINTR);
	return pid == sv->server;
}

static int watch(struct supervisor *sv)
{
	struct pollfd fds[] = {
		{ .fd = sv->signal_fd, .events = POLLIN },
		{ .fd = sv->report_fd, .events = POLLIN },
	};
	int status;

	while (!server_ended(sv, &status)) {
		struct signalfd_siginfo info;

		if (poll(fds, 2, -1) < 0)
			continue;
		if (fds[1].revents && !drain_reports(sv))
			fds[1].fd = -1;
		if (fds[0].revents && read(sv->signal_fd, &info, sizeof(info)) == sizeof(info))
			on_signal(sv, (int)info.ssi_signo);
	}
	drain_reports(sv);
	return status;
}

/* The server is gone: what it leaves, and what that means. */
static int conclude(struct supervisor *sv, int status)
{
	bool died = WIFSIGNALED(status);
	char text[100];

	if (sv->state == STARTING && !sv->failure) {
		sv->failure = sv->interrupted ? EXIT_USER : EXIT_BUG;
		if (!sv->interrupted) {
			snprintf(text, sizeof(text), "the server ended while mounting (%s %d)",
				 died ? "signal" : "exit code",
				 died ? WTERMSIG(status) : WEXITSTATUS(status));
			say(sv, ENG_MSG_ERR, text);
		}
	} else if (sv->state != STARTING && died) {
		snprintf(text, sizeof(text), "the server died (signal %d): unmounting",
			 WTERMSIG(status));
		say(sv, ENG_MSG_ERR, text);
	}
	unmount(sv, true);
	if (sv->state != STARTING)
		return died ? EXIT_BUG : WEXITSTATUS(status);
	tell_ready(sv, sv->failure);
	return sv->failure;
}

static int start(struct supervisor *sv, int *out_server_fd)
{
	sigset_t mask;
	int fds[2];

	sigemptyset(&mask);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGCHLD);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	signal(SIGPIPE, SIG_IGN);
	sv->signal_fd = signalfd(-1, &mask, SFD_CLOEXEC);
	if (sv->signal_fd < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds))
		return -errno;
	sv->report_fd = fds[0];
	*out_server_fd = fds[1];
	fcntl(sv->report_fd, F_SETFL, O_NONBLOCK);
	return 0;
}

int supervise(const struct options *opts, int ready_fd)
{
	struct supervisor sv = { .opts = opts, .ready_fd = ready_fd, .signal_fd = -1 };
	int server_fd = -1, err = start(&sv, &server_fd);

	if (!err) {
		sv.server = fork();
		err = sv.server < 0 ? -errno : 0;
	}
	if (err) {
		say(&sv, ENG_MSG_ERR, strerror(-err));
		tell_ready(&sv, EXIT_SYSTEM);
		return EXIT_SYSTEM;
	}
	if (!sv.server) {
		close(sv.report_fd);
		close(sv.signal_fd);
		if (ready_fd >= 0)
			close(ready_fd);
		exit(server_run(opts, server_fd));
	}
	close(server_fd);
	(void)!chdir("/");
	return conclude(&sv, watch(&sv));
}
