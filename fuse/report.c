// SPDX-License-Identifier: GPL-2.0-or-later
/* Packets from the server to the supervisor: a struct report, cut behind its text. */
#include "fuse/report.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void report_send(int fd, enum report_kind kind, uint32_t value, const char *fmt, ...)
{
	struct report rep = { .kind = kind, .value = value };
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(rep.text, sizeof(rep.text), fmt, ap);
	va_end(ap);
	/* write, because it is among the few calls that the server keeps. */
	while (write(fd, &rep, offsetof(struct report, text) + strlen(rep.text)) < 0 &&
	       errno == EINTR)
		;
}

int report_receive(int fd, struct report *out_rep)
{
	ssize_t n;

	memset(out_rep, 0, sizeof(*out_rep));
	do
		n = read(fd, out_rep, sizeof(*out_rep) - 1);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? 0 : -1;
	if (n < (ssize_t)offsetof(struct report, text))
		return -1;
	for (char *p = out_rep->text; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = '?';
	return 1;
}
