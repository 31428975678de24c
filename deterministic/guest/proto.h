/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What attach (on the host) and init (in the guest) say to each other.
 *
 * One virtio port carries frames both ways, so that what a command wrote and
 * how it ended arrive in that order.  Standard input is sent ahead by at most
 * FRAME_WINDOW bytes that the command has not read.  That is less than a pipe
 * holds, so the host never blocks in writing while the guest does too.
 */
#ifndef GUEST_PROTO_H
#define GUEST_PROTO_H

#include <errno.h>
#include <stddef.h>
#include <stdnoreturn.h>
#include <unistd.h>

#include <linux/types.h>

#define FRAME_WINDOW	32768
#define FRAME_MAX	0x100000

enum frame_type {
	/* host to guest: what to run, then FRAME_GO */
	FRAME_ARG	= 'a',	/* one argument */
	FRAME_ENV	= 'e',	/* one NAME=value */
	FRAME_CWD	= 'c',	/* current folder of the command */
	FRAME_ROOT	= 'r',	/* the host's root is the command's */
	FRAME_DIR	= 'w',	/* a folder of the host's that is writable */
	FRAME_TTY	= 't',	/* a terminal: struct frame_tty */
	FRAME_LEAKS	= 'l',	/* look for memory leaks at the end */
	FRAME_GO	= 'g',	/* start it */
	/* host to guest: while it runs */
	FRAME_IN	= 'i',	/* standard input; empty: its end */
	FRAME_SIZE	= 'z',	/* new size of the terminal: struct frame_tty */
	FRAME_CLOSED	= 'x',	/* nobody reads output 1 or 2: __u32 */
	/* guest to host */
	FRAME_HELLO	= 'h',	/* the guest is up */
	FRAME_OUT	= 'o',	/* standard output */
	FRAME_ERR	= 'm',	/* standard error */
	FRAME_TAKEN	= 'k',	/* bytes of input that the command took: __u32 */
	FRAME_FAIL	= 'f',	/* init cannot go on: a message */
	FRAME_EXIT	= 'q',	/* the status, and the end: __u32 */
};

struct frame {
	__u32 type;
	__u32 len;
};

struct frame_tty {
	__u32 rows;
	__u32 cols;
	__u32 with_err;	/* standard error is the terminal too */
};

static inline int read_all(int fd, void *buf, size_t len)
{
	char *at = buf;

	while (len) {
		ssize_t n = read(fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		at += n;
		len -= n;
	}
	return 0;
}

static inline int write_all(int fd, const void *buf, size_t len)
{
	const char *at = buf;

	while (len) {
		ssize_t n = write(fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		at += n;
		len -= n;
	}
	return 0;
}

static inline int send_frame(int fd, enum frame_type type, const void *data,
			     size_t len)
{
	struct frame head = { .type = type, .len = len };

	if (write_all(fd, &head, sizeof(head)))
		return -1;
	return write_all(fd, data, len);
}

#endif /* GUEST_PROTO_H */
