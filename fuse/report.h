/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the server tells the supervisor, over a SOCK_SEQPACKET pair: one message a packet. The
 * server is what a hostile image may have taken over, so nothing in a packet is believed beyond its
 * face.
 */
#ifndef UBTRFS_FUSE_REPORT_H
#define UBTRFS_FUSE_REPORT_H

#include <stdint.h>

enum report_kind {
	REPORT_SAY,	/* value: enum eng_msg_level */
	REPORT_MOUNTED, /* before anything is served */
	REPORT_READY,	/* the mount is usable */
	REPORT_FAILED,	/* value: enum mount_exit; the text is the reason */
};

#define REPORT_TEXT 1500

struct report {
	uint32_t kind;
	uint32_t value;
	char text[REPORT_TEXT];
};

/* Any thread. If the supervisor is gone or does not read, the message is lost. */
void report_send(int fd, enum report_kind kind, uint32_t value, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/*
 * Return: 1 and *out_rep, its text ended and with no control characters; 0: nothing to read for
 * now; -1: the server's end is closed.
 */
int report_receive(int fd, struct report *out_rep);

#endif
