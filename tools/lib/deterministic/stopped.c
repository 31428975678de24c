// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The space of a member that has failed, as the master sees it. Its parent alone has it
 * by dget(), and that may be a space which has stopped as well. But a space is a process,
 * whose memory can be read in /proc by whoever may read another's.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

static DET_PRIVATE struct {
	pid_t pid;			/* 0: not found */
	int mem;
	bool near;			/* a child of the master's */
} stopped;

/* A number of a file of /proc; 0 if it is not there. */
static uint64_t field(const char *text, const char *name)
{
	const char *s = strstr(text, name);

	return s ? strtoull(s + strlen(name), NULL, 10) : 0;
}

/* Is this the space to which @parent has given @number? */
static bool is_space(const char *pid, pid_t parent, uint64_t number)
{
	char path[64], text[4096];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%.20s/status", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		close(fd);
	if (n < 0)
		return false;
	text[n] = '\0';
	return field(text, "\nDetParent:\t") == (uint64_t)parent &&
	       field(text, "\nDetChild:\t") == number;
}

static pid_t find_space(pid_t parent, uint64_t number)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	pid_t pid = 0;

	while (proc && !pid && (entry = readdir(proc)))
		if (entry->d_name[0] > '0' && entry->d_name[0] <= '9' &&
		    is_space(entry->d_name, parent, number))
			pid = strtol(entry->d_name, NULL, 10);
	if (proc)
		closedir(proc);
	return pid;
}

void det_stopped_open(const struct det_failure *failure)
{
	pid_t pid = getpid();

	if (stopped.pid)
		return;
	stopped.near = failure->depth == 1;
	for (unsigned int i = failure->depth; i-- > 0 && pid;)
		pid = find_space(pid, failure->path[i]);
	stopped.pid = failure->depth ? pid : 0;
	stopped.mem = det_stopped_file("mem");
}

int det_stopped_file(const char *name)
{
	char path[64];

	if (!stopped.pid) {
		errno = ESRCH;
		return -1;
	}
	snprintf(path, sizeof(path), "/proc/%d/%s", stopped.pid, name);
	return open(path, O_RDONLY | O_CLOEXEC);
}

int det_stopped_read(void *to, uintptr_t from, size_t len)
{
	ssize_t n;

	if (stopped.mem < 0)
		return stopped.near ? det_read_child(to, from, len) : EIO;
	n = pread(stopped.mem, to, len, from);
	if (n < 0)
		return errno;
	return (size_t)n == len ? 0 : EFAULT;
}
