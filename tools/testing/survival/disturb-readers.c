// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who looks at processes: procps's ps, forked and executed without pause, and
 * a reader of all that /proc tells of the memory of the spaces.
 *
 * A read that has to wait for the space's mmap lock has met an operation of its
 * parent. The tracepoint det_contended says so, in an instance of tracefs of
 * our own.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "disturb.h"

#define INSTANCE "/sys/kernel/tracing/instances/survival"
#define CONTENDED INSTANCE "/events/deterministic/det_contended/enable"
#define MOST_SPACES 1024
#define MANY_READS 1000		/* among which one has met an operation */
#define PAGEMAP_STEP (64UL << 10)	/* bytes of it in one read */

static char buffer[256 << 10];

/* --- ps --- */

static char ps_path[PATH_MAX];

/* Runs it, reads all it says, and keeps the beginning. -1: it has failed. */
static long run_ps(char *const argv[], char *start, size_t size)
{
	long bytes = 0, n;
	int fds[2], status;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC))
		return -1;
	pid = fork();
	if (!pid) {
		dup2(fds[1], STDOUT_FILENO);
		execv(ps_path, argv);
		_exit(127);
	}
	close(fds[1]);
	while (pid > 0 && (n = read(fds[0], buffer, sizeof(buffer))) > 0) {
		if (!bytes && start)
			snprintf(start, size, "%.*s", (int)n, buffer);
		bytes += n;
	}
	close(fds[0]);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	return status ? -1 : bytes;
}

static int ps_begin(void)
{
	static const char * const paths[] = { "/usr/bin/ps", "/bin/ps" };
	char *const argv[] = { "ps", "--version", NULL };
	char version[64] = "";
	size_t i;

	for (i = 0; i < 2; i++) {
		if (!realpath(paths[i], ps_path) || strstr(ps_path, "busybox"))
			continue;
		if (run_ps(argv, version, sizeof(version)) > 0 &&
		    strstr(version, "procps"))
			return 0;
	}
	fprintf(stderr, "ps: procps's is not on this machine\n");
	return 4;
}

static unsigned long ps_once(pid_t load, unsigned long long *random)
{
	char *const argv[] = { "ps", "-ef", NULL };
	long bytes;

	(void)load;
	(void)random;
	bytes = run_ps(argv, NULL, 0);
	if (bytes > 100)
		return 1;
	fprintf(stderr, "ps: ended with an error, after %ld bytes\n", bytes);
	exit(1);
}

/* --- /proc/PID --- */

static const char * const files[] = {
	"environ", "maps", "smaps", "numa_maps", "auxv", "stack", "status",
	"cmdline", "smaps_rollup", "stat", "statm", "wchan", "syscall",
};

static unsigned long *whole_reads;	/* files, read to the end */

/* What may be said of a process that ends. */
static bool may_fail(int err)
{
	return err == ESRCH || err == EACCES || err == EIO || err == ENOENT;
}

static void cannot(const char *path, const char *what)
{
	fprintf(stderr, "proc: %s: %s: %s\n", path, what, strerror(errno));
	exit(1);
}

static int open_file(pid_t pid, const char *file)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && !may_fail(errno))
		cannot(path, "open");
	return fd;
}

static unsigned long read_file(pid_t pid, const char *file)
{
	int fd = open_file(pid, file);
	ssize_t n;

	if (fd < 0)
		return 0;
	while ((n = read(fd, buffer, sizeof(buffer))) > 0)
		;
	if (n < 0 && !may_fail(errno))
		cannot(file, "read");
	close(fd);
	return !n;
}

static void read_range(int fd, unsigned long start, unsigned long end)
{
	off_t at = start / 4096 * 8, stop = end / 4096 * 8;
	ssize_t n = 1;

	while (at < stop && n > 0) {
		size_t len = stop - at < (off_t)PAGEMAP_STEP ?
			     (size_t)(stop - at) : PAGEMAP_STEP;

		if (lseek(fd, at, SEEK_SET) != at)
			cannot("pagemap", "lseek");
		n = read(fd, buffer, len);
		if (n < 0 && !may_fail(errno))
			cannot("pagemap", "read");
		at += n;
	}
}

/* Of each mapping, as maps has them. */
static unsigned long read_pagemap(pid_t pid)
{
	unsigned long start, end;
	char path[64], line[512];
	int fd = open_file(pid, "pagemap");
	FILE *maps;

	if (fd < 0)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	maps = fopen(path, "re");
	while (maps && fgets(line, sizeof(line), maps))
		if (sscanf(line, "%lx-%lx", &start, &end) == 2)
			read_range(fd, start, end);
	if (maps)
		fclose(maps);
	close(fd);
	return !!maps;
}

/* The events in an instance's buffers, and those that had to make room. */
static unsigned long contended(void)
{
	static const char * const keys[] = { "entries:", "overrun:" };
	unsigned long sum = 0;
	char path[128];
	long cpu, n;
	size_t i;

	for (cpu = 0; cpu < sysconf(_SC_NPROCESSORS_CONF); cpu++)
		for (i = 0; i < 2; i++) {
			snprintf(path, sizeof(path),
				 INSTANCE "/per_cpu/cpu%ld/stats", cpu);
			n = get_number(path, keys[i]);
			sum += n > 0 ? n : 0;
		}
	return sum;
}

static int proc_begin(void)
{
	whole_reads = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (whole_reads == MAP_FAILED)
		return 4;
	mkdir(INSTANCE, 0755);
	put_file(INSTANCE "/buffer_size_kb", "64");
	if (!put_file(CONTENDED, "1"))
		fprintf(stderr, "proc: no tracepoint det_contended, so no count of waits\n");
	return 0;
}

static unsigned long proc_once(pid_t load, unsigned long long *random)
{
	static pid_t pids[MOST_SPACES];
	int n = spaces_below(load, pids, MOST_SPACES), i;
	unsigned long reads = 0;
	size_t f;

	(void)random;
	for (i = 0; i < n; i++) {
		for (f = 0; f < sizeof(files) / sizeof(*files); f++)
			reads += read_file(pids[i], files[f]);
		reads += read_pagemap(pids[i]);
	}
	__atomic_add_fetch(whole_reads, reads, __ATOMIC_RELAXED);
	return reads;
}

/* One read in 50 to 200 has to wait, so a few hundred may well do without. */
static unsigned long proc_done(void)
{
	if (access(CONTENDED, F_OK))
		return *whole_reads;
	printf("# proc: %lu files read to the end; operations that held somebody up: %lu\n",
	       *whole_reads, contended());
	return *whole_reads < MANY_READS ? *whole_reads : contended();
}

static void proc_end(void)
{
	put_file(CONTENDED, "0");
	rmdir(INSTANCE);
}

const struct disturbance disturb_readers[] = {
	{
		.name = "ps",
		.what = "procps's ps -ef, forked without pause",
		.begin = ps_begin,
		.once = ps_once,
	}, {
		.name = "proc",
		.what = "environ, maps, smaps, pagemap and such of the spaces, without pause",
		.begin = proc_begin,
		.once = proc_once,
		.done = proc_done,
		.end = proc_end,
	},
	{}
};
