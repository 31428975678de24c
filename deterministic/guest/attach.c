// SPDX-License-Identifier: GPL-2.0-only
/*
 * The host's end of the guest: starts QEMU, sends the command to run, copies
 * standard input, output and error, and ends as the command did.
 *
 *	attach OPTIONS -- QEMU ARGS... -- CMD ARGS...
 *
 * The command gets attach's environment.  With a terminal as standard input
 * and output, the command gets a terminal too; Ctrl-] then ends the guest.
 * What became of the guest is one line in the file that -v names: "exit",
 * "failed MESSAGE", "died", "late boot", "late command" or "signal N".
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>

#include "proto.h"

#define STATUS_GUEST	125	/* the guest failed, not the command */
#define STATUS_LATE	124	/* as timeout(1) */
#define ESCAPE		0x1d	/* Ctrl-] */

struct attach {
	/* options */
	char *verdict;
	char *qemu_log;
	char *cwd;
	char *dir;
	bool root;
	bool leaks;
	double boot_limit;
	double limit;
	char **qemu;
	char **cmd;
	/* state */
	pid_t pid;
	int to;			/* QEMU's standard input */
	int from;		/* QEMU's standard output */
	int sigfd;
	bool tty;
	bool raw;
	bool up;
	bool input_ends;
	bool closed[3];
	size_t credit;
	double started;
	struct termios saved;
};

static struct attach at;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void terminal_restore(void)
{
	if (at.raw)
		tcsetattr(0, TCSADRAIN, &at.saved);
	at.raw = false;
}

static void terminal_raw(void)
{
	struct termios raw;

	if (tcgetattr(0, &at.saved))
		return;
	raw = at.saved;
	cfmakeraw(&raw);
	at.raw = true;
	tcsetattr(0, TCSADRAIN, &raw);
}

static noreturn
void finish(int status, const char *verdict, const char *detail)
{
	FILE *file;

	terminal_restore();
	kill(at.pid, SIGKILL);
	waitpid(at.pid, NULL, 0);
	file = at.verdict ? fopen(at.verdict, "w") : NULL;
	if (file) {
		fprintf(file, "%s%s\n", verdict, detail);
		fclose(file);
	}
	exit(status);
}

static noreturn void die(const char *what)
{
	fprintf(stderr, "attach: %s: %s\n", what, strerror(errno));
	exit(STATUS_GUEST);
}

static void send(enum frame_type type, const void *data, size_t len)
{
	if (send_frame(at.to, type, data, len))
		finish(STATUS_GUEST, "died", "");
}

static void send_size(enum frame_type type)
{
	struct winsize size = {};
	struct frame_tty frame;

	ioctl(1, TIOCGWINSZ, &size);
	frame = (struct frame_tty){ .rows = size.ws_row, .cols = size.ws_col,
				    .with_err = isatty(2) };
	send(type, &frame, sizeof(frame));
}

static void signal_event(void)
{
	struct signalfd_siginfo info;
	char number[16];

	if (read(at.sigfd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGWINCH) {
		if (at.up && at.tty)
			send_size(FRAME_SIZE);
		return;
	}
	snprintf(number, sizeof(number), " %u", info.ssi_signo);
	finish(128 + info.ssi_signo, "signal", number);
}

/*
 * Until the limit that is running, that of the boot or that of the command, in
 * milliseconds for poll().
 */
static int time_left(void)
{
	double limit = at.up ? at.limit : at.boot_limit, left;

	if (!limit)
		return -1;
	left = at.started + limit - now();
	if (left <= 0)
		finish(STATUS_LATE, "late ", at.up ? "command" : "boot");
	return left * 1000 + 1;
}

/*
 * In small pieces and after a look, so that a reader who is slow delays
 * neither a signal nor a limit.
 */
static void output(int fd, const char *data, size_t len)
{
	while (len && !at.closed[fd]) {
		struct pollfd fds[] = {
			{ fd, POLLOUT }, { at.sigfd, POLLIN },
		};
		__u32 which = fd;
		ssize_t n = 0;

		if (poll(fds, 2, time_left()) < 0)
			continue;
		if (fds[1].revents)
			signal_event();
		if (fds[0].revents)
			n = write(fd, data, len < 4096 ? len : 4096);
		if (n < 0 && errno != EAGAIN && errno != EINTR) {
			at.closed[fd] = true;
			send(FRAME_CLOSED, &which, sizeof(which));
		}
		if (n > 0) {
			data += n;
			len -= n;
		}
	}
}

static void send_strings(enum frame_type type, char **list)
{
	for (; *list; list++)
		send(type, *list, strlen(*list));
}

static void send_request(void)
{
	send_strings(FRAME_ARG, at.cmd);
	send_strings(FRAME_ENV, environ);
	if (at.cwd)
		send(FRAME_CWD, at.cwd, strlen(at.cwd));
	if (at.dir)
		send(FRAME_DIR, at.dir, strlen(at.dir));
	if (at.root)
		send(FRAME_ROOT, NULL, 0);
	if (at.leaks)
		send(FRAME_LEAKS, NULL, 0);
	if (at.tty)
		send_size(FRAME_TTY);
	send(FRAME_GO, NULL, 0);
	at.up = true;
	at.started = now();
	at.credit = FRAME_WINDOW;
	if (at.tty)
		terminal_raw();
}

/* The status has come; the guest ends by itself, or is ended. */
static noreturn void wait_for_end(__u32 status)
{
	struct pollfd fd = { at.from, POLLIN };
	double end = now() + 5;
	char rest[512];

	while (now() < end && poll(&fd, 1, 1000) >= 0) {
		if (fd.revents && read(at.from, rest, sizeof(rest)) <= 0)
			break;
	}
	finish(status, "exit", "");
}

static void frame_event(const struct frame *head, char *data)
{
	__u32 number = 0;

	if (head->len == sizeof(number))
		memcpy(&number, data, sizeof(number));
	switch (head->type) {
	case FRAME_HELLO:
		send_request();
		break;
	case FRAME_OUT:
		output(1, data, head->len);
		break;
	case FRAME_ERR:
		output(2, data, head->len);
		break;
	case FRAME_TAKEN:
		at.credit += number;
		break;
	case FRAME_FAIL:
		data[head->len] = '\0';
		finish(STATUS_GUEST, "failed ", data);
	case FRAME_EXIT:
		wait_for_end(number);
	}
}

/* A guest that hangs within a frame must not make us hang. */
static void guest_event(void)
{
	static char data[sizeof(struct frame) + FRAME_MAX + 1];
	static size_t have;
	struct frame head;
	ssize_t n = read(at.from, data + have, sizeof(data) - 1 - have);

	if (n <= 0)
		finish(STATUS_GUEST, "died", "");
	have += n;
	while (have >= sizeof(head)) {
		memcpy(&head, data, sizeof(head));
		if (head.len > FRAME_MAX)
			finish(STATUS_GUEST, "died", "");
		if (have < sizeof(head) + head.len)
			return;
		frame_event(&head, data + sizeof(head));
		have -= sizeof(head) + head.len;
		memmove(data, data + sizeof(head) + head.len, have);
	}
}

static void input_event(void)
{
	char data[FRAME_WINDOW];
	ssize_t n = read(0, data, at.credit);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0)
		n = 0;
	if (at.tty && memchr(data, ESCAPE, n))
		finish(128 + SIGINT, "signal", " 2");
	at.credit -= n;
	at.input_ends = !n;
	send(FRAME_IN, data, n);
}

static void loop(void)
{
	for (;;) {
		bool input = at.up && !at.input_ends && at.credit;
		struct pollfd fds[] = {
			{ at.from, POLLIN }, { at.sigfd, POLLIN },
			{ input ? 0 : -1, POLLIN },
		};

		if (poll(fds, 3, time_left()) < 0)
			continue;
		if (fds[1].revents)
			signal_event();
		if (fds[0].revents)
			guest_event();
		if (fds[2].revents)
			input_event();
	}
}

/* QEMU is in a group of its own: Ctrl-C is for us, and we end it. */
static noreturn
void qemu_exec(int in, int out, pid_t parent)
{
	sigset_t none;
	int log = open(at.qemu_log ?: "/dev/null",
		       O_WRONLY | O_CREAT | O_TRUNC, 0666);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	setpgid(0, 0);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	dup2(in, 0);
	dup2(out, 1);
	dup2(log, 2);
	execv(at.qemu[0], at.qemu);
	fprintf(stderr, "%s: %s\n", at.qemu[0], strerror(errno));
	_exit(127);
}

static void qemu_start(void)
{
	int in[2], out[2];
	pid_t parent = getpid();

	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
		die("pipe");
	at.pid = fork();
	if (at.pid < 0)
		die("fork");
	if (!at.pid)
		qemu_exec(in[0], out[1], parent);
	close(in[0]);
	close(out[1]);
	at.to = in[1];
	at.from = out[0];
	at.started = now();
}

static void signals_prepare(void)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGQUIT);
	sigaddset(&set, SIGWINCH);
	sigprocmask(SIG_BLOCK, &set, NULL);
	at.sigfd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (at.sigfd < 0)
		die("signalfd");
}

static char **list_end(char **list)
{
	while (*list && strcmp(*list, "--"))
		list++;
	return list;
}

static void arguments_read(int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "+v:q:C:w:rlb:t:")) != -1) {
		switch (c) {
		case 'v':
			at.verdict = optarg;
			break;
		case 'q':
			at.qemu_log = optarg;
			break;
		case 'C':
			at.cwd = optarg;
			break;
		case 'w':
			at.dir = optarg;
			break;
		case 'r':
			at.root = true;
			break;
		case 'l':
			at.leaks = true;
			break;
		case 'b':
			at.boot_limit = atof(optarg);
			break;
		case 't':
			at.limit = atof(optarg);
			break;
		default:
			exit(STATUS_GUEST);
		}
	}
	at.qemu = argv + optind;
	at.cmd = list_end(at.qemu);
	if (at.cmd == at.qemu || !at.cmd[0] || !at.cmd[1]) {
		fprintf(stderr, "attach: OPTIONS -- QEMU ARGS... -- CMD ARGS...\n");
		exit(STATUS_GUEST);
	}
	*at.cmd++ = NULL;
}

/* A terminal that belongs to another job must be neither read nor changed. */
static void streams_look(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (fd >= 0 && fd < 3 && !fcntl(fd, F_SETFD, 0));
	close(fd);
	if (!isatty(0))
		return;
	if (tcgetpgrp(0) != getpgrp())
		at.input_ends = true;
	else
		at.tty = isatty(1);
}

int main(int argc, char **argv)
{
	/* who started us shall not leave us behind */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	streams_look();
	arguments_read(argc, argv);
	signals_prepare();
	qemu_start();
	loop();
}
