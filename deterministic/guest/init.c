// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's first process: it makes the file systems, runs the one command
 * that the host sends through the virtio port, tells how it ended, and powers
 * the machine off.  Without a port (somebody boots the initramfs by hand) it
 * runs a shell on the console.
 */
#include <fcntl.h>
#include <glob.h>
#include <net/if.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "init.h"

static struct session session = {
	.port = -1, .in = -1, .out = { -1, -1 },
};

static void pause_ms(long ms)
{
	struct timespec t = { .tv_sec = ms / 1000,
			      .tv_nsec = ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
}

/* With reboot=t on the command line this is a triple fault, which ends QEMU. */
static noreturn void power_off(void)
{
	sync();
	reboot(RB_AUTOBOOT);
	for (;;)
		pause();
}

void fail(const char *fmt, ...)
{
	char text[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	fprintf(stderr, "init: %s\n", text);
	if (session.port >= 0)
		send_frame(session.port, FRAME_FAIL, text, strlen(text));
	power_off();
}

/* A line into the kernel's log, where the check after the run finds it. */
static void log_line(const char *text)
{
	int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	write_all(fd, text, strlen(text));
	close(fd);
}

static void loopback_up(void)
{
	struct ifreq req = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return;
	ioctl(fd, SIOCSIFFLAGS, &req);
	close(fd);
}

/* The driver makes the port some time after it has seen the device. */
static int open_port(void)
{
	int fd = -1;

	for (int tries = 0; fd < 0 && tries < 3000; tries++) {
		glob_t found = {};

		if (!glob("/dev/vport*p1", 0, NULL, &found))
			fd = open(found.gl_pathv[0], O_RDWR | O_CLOEXEC);
		globfree(&found);
		if (fd < 0)
			pause_ms(1);
	}
	return fd;
}

static void shell_on_console(void)
{
	pid_t pid = fork();

	if (!pid) {
		setsid();
		ioctl(0, TIOCSCTTY, 1);
		execl("/bin/busybox", "sh", "-i", NULL);
		_exit(127);
	}
	while (pid > 0 && wait(NULL) != pid)
		;
}

/*
 * Everything that still runs is killed, so that the end of each process is in
 * the log before it is checked.
 */
static void end_processes(void)
{
	kill(-1, SIGKILL);
	for (int ms = 0; ms < 10000; ms++) {
		pid_t pid = waitpid(-1, NULL, WNOHANG);

		if (pid < 0)
			return;
		if (!pid)
			pause_ms(1);
	}
	log_line("<3>BUG: init: a killed process has not ended in 10 seconds");
}

/* kmemleak trusts only objects older than 5 seconds, and only a second look. */
static void look_for_leaks(void)
{
	int fd = open("/sys/kernel/debug/kmemleak", O_RDWR | O_CLOEXEC);
	char text[2048];
	ssize_t n;
	bool ok;

	if (fd < 0) {
		log_line("<3>BUG: init: no kmemleak in this kernel");
		return;
	}
	pause_ms(6000);
	ok = write(fd, "scan", 4) == 4;
	pause_ms(500);
	ok = write(fd, "scan", 4) == 4 && ok;
	log_line(ok ? "<6>init: looked for leaks" :
		      "<3>BUG: init: kmemleak did not look for leaks");
	while ((n = read(fd, text, sizeof(text) - 1)) > 0) {
		text[n] = '\0';
		for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
			log_line(line);
	}
	close(fd);
}

int main(void)
{
	__u32 status;

	umask(022);
	mount_basics();
	loopback_up();
	sethostname("guest", 5);
	session.port = open_port();
	if (session.port < 0) {
		shell_on_console();
		power_off();
	}
	send_frame(session.port, FRAME_HELLO, NULL, 0);
	session_read(&session);
	mount_host(&session);
	session_run(&session);
	end_processes();
	unmount_dir(&session);
	if (session.leaks)
		look_for_leaks();
	status = session.status;
	send_frame(session.port, FRAME_EXIT, &status, sizeof(status));
	power_off();
}
