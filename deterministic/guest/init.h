/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The parts of the guest's init: init.c starts and ends the guest, mounts.c
 * makes its file systems, session.c runs the one command.
 */
#ifndef GUEST_INIT_H
#define GUEST_INIT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "proto.h"

struct session {
	int port;
	/* the request */
	char **argv;
	char **envp;
	size_t argc;
	size_t envc;
	char *cwd;
	char *dir;
	bool root;
	bool tty;
	bool leaks;
	struct frame_tty size;
	/* the command; -1 is a closed end */
	pid_t child;
	int in;
	int out[2];
	bool exited;
	int status;
	/* input that the command has not taken yet */
	char input[FRAME_WINDOW];
	size_t off;
	size_t len;
	bool input_ends;
};

/* init.c */
noreturn void fail(const char *fmt, ...);

/* mounts.c */
void mount_basics(void);
void mount_host(const struct session *s);
void unmount_dir(const struct session *s);

/* session.c */
void session_read(struct session *s);
void session_run(struct session *s);

#endif /* GUEST_INIT_H */
