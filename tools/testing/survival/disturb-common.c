// SPDX-License-Identifier: GPL-2.0-only
/*
 * What disturbances share: random numbers, small files, who is whose child, and
 * cgroups.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disturb.h"

#define CGROUP "/sys/fs/cgroup"
#define MOST_TASKS 4096

unsigned int any(unsigned long long *random, unsigned int n)
{
	unsigned long long x = *random;

	if (!x)
		x = 0x9e3779b97f4a7c15ULL;
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	*random = x;
	return n ? ((x * 0x2545f4914f6cdd1dULL) >> 32) % n : 0;
}

bool put_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), err;
	ssize_t len = strlen(text), n;

	if (fd < 0)
		return false;
	n = write(fd, text, len);
	err = errno;
	close(fd);
	errno = err;
	return n == len;
}

long get_number(const char *path, const char *key)
{
	size_t len = key ? strlen(key) : 0;
	FILE *f = fopen(path, "re");
	long number = -1;
	char line[512];

	while (f && fgets(line, sizeof(line), f)) {
		const char *at = line;

		if (key && (strncmp(line, key, len) ||
			    isalnum((unsigned char)line[len]) ||
			    line[len] == '_'))
			continue;
		at += len + strcspn(line + len, "0123456789-");
		if (!*at)
			continue;
		number = atol(at);
		break;
	}
	if (f)
		fclose(f);
	return number;
}

/* --- Who is whose child --- */

struct kinship {
	pid_t pid;
	pid_t parent;
};

/* The parent's pid, as /proc/PID/stat has it; 0: no such process. */
static pid_t parent_of(const char *pid)
{
	char path[288], buf[512];
	const char *at;
	pid_t parent = 0;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%s/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, buf, sizeof(buf) - 1);
	close(fd);
	if (n <= 0)
		return 0;
	buf[n] = 0;
	at = strrchr(buf, ')');
	if (!at || sscanf(at + 1, " %*c %d", &parent) != 1)
		return 0;
	return parent;
}

static int all_kin(struct kinship *kin, int max)
{
	DIR *proc = opendir("/proc");
	struct dirent *e;
	int n = 0;

	while (proc && n < max && (e = readdir(proc))) {
		if (!isdigit((unsigned char)e->d_name[0]))
			continue;
		kin[n].parent = parent_of(e->d_name);
		kin[n].pid = atoi(e->d_name);
		n += !!kin[n].parent;
	}
	if (proc)
		closedir(proc);
	return n;
}

int children_of(pid_t pid, pid_t *pids, int max)
{
	static struct kinship kin[MOST_TASKS];
	int n = all_kin(kin, MOST_TASKS), i, found = 0;

	for (i = 0; i < n && found < max; i++)
		if (kin[i].parent == pid)
			pids[found++] = kin[i].pid;
	return found;
}

static bool is_space(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	return get_number(path, "DetParent") >= 0;
}

/* The pids of all that descend from @pid, which is the first. */
static int kin_below(pid_t pid, pid_t *below, int max)
{
	static struct kinship kin[MOST_TASKS];
	int n = all_kin(kin, MOST_TASKS), i, at, found = 1;

	below[0] = pid;
	for (at = 0; at < found; at++)
		for (i = 0; i < n && found < max; i++)
			if (kin[i].parent == below[at])
				below[found++] = kin[i].pid;
	return found;
}

int spaces_below(pid_t pid, pid_t *pids, int max)
{
	static pid_t below[MOST_TASKS];
	int n = kin_below(pid, below, MOST_TASKS), i, found = 0;

	for (i = 1; i < n && found < max; i++)
		if (is_space(below[i]))
			pids[found++] = below[i];
	return found;
}

/* --- Cgroups --- */

const char *make_cgroup(const char *name)
{
	static const char * const controllers[] = {
		"+memory", "+cpu", "+cpuset", "+pids",
	};
	static char path[256];
	size_t i;

	for (i = 0; i < sizeof(controllers) / sizeof(*controllers); i++)
		put_file(CGROUP "/cgroup.subtree_control", controllers[i]);
	snprintf(path, sizeof(path), CGROUP "/%s", name);
	if (mkdir(path, 0755) && errno != EEXIST) {
		perror(path);
		return NULL;
	}
	return path;
}
