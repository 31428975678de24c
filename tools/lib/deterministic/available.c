// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Whether there can be spaces, and if not, what is in the way: the kernel, its switch,
 * or a filter.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

/* Not one of the library's own. */
#define NOBODY	(DET_FIRST_CHILD - 1)

/* What a small file holds, as a string; empty if it cannot be read. */
static void read_all(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, buf, size - 1);

	if (fd >= 0)
		close(fd);
	buf[n < 0 ? 0 : n] = '\0';
}

int det_available(void)
{
	struct det_args args = { .flags = DET_KILL };

	if (det_options.backend != DET_SPACES || det_state.level)
		return 0;
	if (det_version() < 0)
		return errno;
	/* A kill of a child that is not there is refused as any call would be. */
	if (dput(NOBODY, &args, sizeof(args)) < 0 && errno != ESRCH)
		return errno;
	return 0;
}

static void explain(int error, FILE *to)
{
	char text[4096], *s;

	if (error == ENOSYS) {
		fprintf(to, "libdet: this kernel has no spaces; %s does without\n",
			"DET_OPTIONS=backend=threads");
		return;
	}
	read_all("/proc/sys/kernel/deterministic", text, sizeof(text));
	if (text[0] == '0' || (text[0] == '2' && geteuid() != 0)) {
		fprintf(to, "libdet: kernel.deterministic=%c forbids spaces to this user\n",
			text[0]);
		return;
	}
	read_all("/proc/self/status", text, sizeof(text));
	s = strstr(text, "\nSeccomp:\t");
	if (s && s[10] != '0')
		fputs("libdet: a seccomp filter forbids spaces\n", to);
	else
		fprintf(to, "libdet: spaces are refused: %s\n", strerror(error));
}

/* No program goes on by mistake without what it has asked for. */
int det_refused(int error)
{
	if ((error == ENOSYS || error == EPERM) && det_state.policy != DET_FAIL &&
	    det_state.level == 0) {
		FILE *log = det_open_log();

		fflush(stdout);
		explain(error, log);
		fflush(log);
		_exit(det_options.exit_status);
	}
	return error;
}
