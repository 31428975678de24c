// SPDX-License-Identifier: GPL-2.0-only
/*
 * One command in the guest: what the host asks for, the command's process with
 * its pipes or its terminal, and the copying between those and the port.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include "init.h"

static char *frame_read(int port, struct frame *head)
{
	char *data;

	if (read_all(port, head, sizeof(*head)) || head->len > FRAME_MAX)
		fail("the host has gone");
	data = malloc(head->len + 1);
	if (!data || read_all(port, data, head->len))
		fail("the host has gone, or there is no memory");
	data[head->len] = '\0';
	return data;
}

static void string_add(char ***list, size_t *count, char *text)
{
	char **new = realloc(*list, (*count + 2) * sizeof(**list));

	if (!new)
		fail("no memory");
	new[(*count)++] = text;
	new[*count] = NULL;
	*list = new;
}

static void size_set(struct session *s, const char *data, size_t len)
{
	struct winsize size;

	if (len != sizeof(s->size))
		return;
	memcpy(&s->size, data, len);
	size = (struct winsize){ .ws_row = s->size.rows,
				 .ws_col = s->size.cols };
	if (s->tty && s->out[0] >= 0)
		ioctl(s->out[0], TIOCSWINSZ, &size);
}

/* Everything up to FRAME_GO.  The strings are kept until the end. */
void session_read(struct session *s)
{
	struct frame head;

	do {
		char *data = frame_read(s->port, &head);

		switch (head.type) {
		case FRAME_ARG:
			string_add(&s->argv, &s->argc, data);
			break;
		case FRAME_ENV:
			string_add(&s->envp, &s->envc, data);
			break;
		case FRAME_CWD:
			s->cwd = data;
			break;
		case FRAME_DIR:
			s->dir = data;
			break;
		case FRAME_ROOT:
			s->root = true;
			break;
		case FRAME_LEAKS:
			s->leaks = true;
			break;
		case FRAME_TTY:
			s->tty = true;
			size_set(s, data, head.len);
			break;
		}
	} while (head.type != FRAME_GO);
	if (!s->argc || !s->envc)
		fail("no command, or no environment");
}

/* In the child: fds are what it shall have as 0, 1 and 2. */
static noreturn
void command_exec(const struct session *s, const int fds[3])
{
	sigset_t none;
	int err;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	setsid();
	for (int i = 0; i < 3; i++)
		dup2(fds[i], i);
	if (s->tty)
		ioctl(0, TIOCSCTTY, 0);
	if (s->cwd && chdir(s->cwd)) {
		dprintf(2, "guest: %s: %s\n", s->cwd, strerror(errno));
		_exit(126);
	}
	environ = s->envp;
	execvp(s->argv[0], s->argv);
	err = errno;
	dprintf(2, "guest: %s: %s\n", s->argv[0], strerror(err));
	_exit(err == ENOENT ? 127 : 126);
}

static void pipe_make(int *near, int *far, int near_end)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC))
		fail("no pipe: %s", strerror(errno));
	*near = fds[near_end];
	*far = fds[!near_end];
}

/* With a terminal the pty's master is the command's input and output 1. */
static void streams_make(struct session *s, int fds[3])
{
	int err_far = -1, slave;

	if (!s->tty || !s->size.with_err)
		pipe_make(&s->out[1], &err_far, 0);
	if (s->tty) {
		struct winsize size = { .ws_row = s->size.rows,
					.ws_col = s->size.cols };

		if (openpty(&s->out[0], &slave, NULL, NULL, &size))
			fail("no terminal: %s", strerror(errno));
		fcntl(s->out[0], F_SETFD, FD_CLOEXEC);
		fcntl(slave, F_SETFD, FD_CLOEXEC);
		s->in = fcntl(s->out[0], F_DUPFD_CLOEXEC, 3);
		fds[0] = slave;
		fds[1] = slave;
		fds[2] = s->size.with_err ? slave : err_far;
	} else {
		pipe_make(&s->in, &fds[0], 1);
		pipe_make(&s->out[0], &fds[1], 0);
		fds[2] = err_far;
	}
	fcntl(s->in, F_SETFL, O_NONBLOCK);
	fcntl(s->out[0], F_SETFL, O_NONBLOCK);
	if (s->out[1] >= 0)
		fcntl(s->out[1], F_SETFL, O_NONBLOCK);
}

static void command_start(struct session *s)
{
	int fds[3];

	streams_make(s, fds);
	s->child = fork();
	if (s->child < 0)
		fail("no process: %s", strerror(errno));
	if (!s->child)
		command_exec(s, fds);
	close(fds[0]);
	if (fds[1] != fds[0])
		close(fds[1]);
	if (fds[2] != fds[0])
		close(fds[2]);
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* Input that the command will never read counts as taken. */
static void input_taken(struct session *s, size_t len)
{
	__u32 taken = len;

	if (!len)
		return;
	s->off += len;
	s->len -= len;
	if (send_frame(s->port, FRAME_TAKEN, &taken, sizeof(taken)))
		fail("the host has gone");
}

static void input_pass(struct session *s)
{
	ssize_t n = 0;

	if (s->in >= 0 && s->len) {
		n = write(s->in, s->input + s->off, s->len);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			close_fd(&s->in);
	}
	if (s->in < 0)
		n = s->len;
	if (n > 0)
		input_taken(s, n);
	if (s->input_ends && !s->len)
		close_fd(&s->in);
}

static void input_add(struct session *s, const char *data, size_t len)
{
	memmove(s->input, s->input + s->off, s->len);
	s->off = 0;
	if (len > sizeof(s->input) - s->len)
		fail("the host sends more than it may");
	memcpy(s->input + s->len, data, len);
	s->len += len;
	if (!len)
		s->input_ends = true;
	input_pass(s);
}

static void port_event(struct session *s)
{
	struct frame head;
	char *data = frame_read(s->port, &head);
	__u32 which;

	switch (head.type) {
	case FRAME_IN:
		input_add(s, data, head.len);
		break;
	case FRAME_SIZE:
		size_set(s, data, head.len);
		break;
	case FRAME_CLOSED:
		memcpy(&which, data, sizeof(which));
		if (head.len == sizeof(which) && which - 1 < 2)
			close_fd(&s->out[which - 1]);
		break;
	}
	free(data);
}

/* False when there is nothing to read now. */
static bool output_pass(struct session *s, int which)
{
	static char data[32768];
	ssize_t n;

	if (s->out[which] < 0)
		return false;
	n = read(s->out[which], data, sizeof(data));
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) {
		/* a pty says EIO when nobody has it open any more */
		close_fd(&s->out[which]);
		return false;
	}
	if (send_frame(s->port, which ? FRAME_ERR : FRAME_OUT, data, n))
		fail("the host has gone");
	return true;
}

static void reap(struct session *s, int sigfd)
{
	struct signalfd_siginfo info;
	int status;
	pid_t pid;

	if (read(sigfd, &info, sizeof(info)) < 0)
		return;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != s->child)
			continue;
		s->exited = true;
		s->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) :
						  WEXITSTATUS(status);
	}
}

/* Until the command ends; what it left in its pipes is passed on too. */
void session_run(struct session *s)
{
	sigset_t set;
	int sigfd;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	sigfd = signalfd(-1, &set, SFD_CLOEXEC);
	command_start(s);
	while (!s->exited) {
		struct pollfd fds[] = {
			{ s->port, POLLIN },
			{ s->len ? s->in : -1, POLLOUT },
			{ s->out[0], POLLIN },
			{ s->out[1], POLLIN },
			{ sigfd, POLLIN },
		};

		if (poll(fds, 5, -1) < 0)
			continue;
		if (fds[4].revents)
			reap(s, sigfd);
		if (fds[0].revents)
			port_event(s);
		if (fds[1].revents)
			input_pass(s);
		if (fds[2].revents)
			output_pass(s, 0);
		if (fds[3].revents)
			output_pass(s, 1);
	}
	while (output_pass(s, 0) || output_pass(s, 1))
		;
}
