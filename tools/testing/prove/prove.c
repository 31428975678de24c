// SPDX-License-Identifier: GPL-2.0-only
/*
 * Runs the same programs again and again, each time with something else about
 * them that must not matter: the environment, the working directory, the pid,
 * address space randomisation, the CPUs they may use and that they are moved
 * between, what else runs, huge pages. What they print must be what they printed
 * the first time; a folder keeps that from boot to boot.
 *
 *	prove -d FOLDER [-n runs] [-s seed]
 *
 * One program races with pthreads: its results are kept, too, and may differ; if
 * they never do, nothing was disturbed enough to say something.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST_OUTPUT (4 << 20)
#define MOST_HOGS 3

struct target {
	const char *name;
	const char *argv[8];	/* "@" is the folder, "@x" a file there */
	bool races;		/* and may differ */
};

static const struct target target[] = {
	{ .name = "stops", .argv = { "stops", "-f", "@stops.state" } },
	{ .name = "racey", .argv = { "racey", "spaces" } },
	{ .name = "drace", .argv = { "drace", "--mode=spaces", "--times=20000" } },
	{ .name = "dsort", .argv = { "dsort", "--mode=spaces", "--workers=3", "@input" } },
	{ .name = "dmatmul", .argv = { "dmatmul", "--mode=spaces", "--size=64" } },
	{ .name = "dlu", .argv = { "dlu", "--mode=spaces", "--size=64" } },
	{ .name = "dmd5", .argv = { "dmd5", "--mode=spaces", "900150983cd24fb0d6963f7d28e17f72",
		    "3" } },
	{ .name = "pthreads", .argv = { "racey", "pthreads" }, .races = true },
};

#define NR_TARGETS (sizeof(target) / sizeof(*target))

static const char *folder;
static char programs[2][PATH_MAX];	/* where they are */
static unsigned long seed = 1;
static unsigned int cpus;

static unsigned long draw(unsigned long below)
{
	seed = seed * 6364136223846793005UL + 1442695040888963407UL;
	return (seed >> 33) % below;
}

static void die(const char *what)
{
	printf("prove: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* --- What must not matter --- */

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	if (f) {
		fputs(text, f);
		fclose(f);
	}
}

static void some_cpus(cpu_set_t *set)
{
	CPU_ZERO(set);
	for (unsigned int i = 0; i < cpus; i++)
		if (draw(2))
			CPU_SET(i, set);
	if (!CPU_COUNT(set))
		CPU_SET(draw(cpus), set);
}

static pid_t helper(void)
{
	pid_t pid = fork();

	if (!pid)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

static pid_t hog(void)
{
	pid_t pid = helper();

	for (volatile unsigned long n = 0; !pid; n++)
		;
	return pid;
}

/* All of the program's tasks, spaces too: named as it is. */
static void move_all(const char *name)
{
	DIR *proc = opendir("/proc");
	size_t len = strnlen(name, 7);
	char path[300], comm[32];
	struct dirent *e;
	cpu_set_t set;

	while (proc && (e = readdir(proc))) {
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%s/comm", e->d_name);
		f = atoi(e->d_name) ? fopen(path, "re") : NULL;
		if (!f)
			continue;
		if (fgets(comm, sizeof(comm), f) && !strncmp(comm, name, len)) {
			some_cpus(&set);
			sched_setaffinity(atoi(e->d_name), sizeof(set), &set);
		}
		fclose(f);
	}
	if (proc)
		closedir(proc);
}

static pid_t mover(const char *name)
{
	pid_t pid = helper();

	while (!pid) {
		move_all(name);
		usleep(draw(20000));
	}
	return pid;
}

/* The next pids are others. */
static void burn_pids(void)
{
	for (unsigned long i = draw(30); i; i--) {
		pid_t pid = fork();

		if (!pid)
			_exit(0);
		waitpid(pid, NULL, 0);
	}
}

/* The machine's settings: a guest's, which forgets them. */
static void disturb_machine(void)
{
	static const char * const thp[] = { "always", "madvise", "never" };

	write_file("/sys/kernel/mm/transparent_hugepage/enabled", thp[draw(3)]);
	write_file("/proc/sys/kernel/randomize_va_space", draw(2) ? "2" : "0");
	if (!draw(8))
		write_file("/proc/sys/vm/compact_memory", "1");
}

/* In the process that becomes the program. */
static void disturb_self(void)
{
	static const char * const cwd[] = { "/", "/tmp", "/proc", "/sys" };
	static char pad[8192];
	cpu_set_t set;

	memset(pad, 'x', draw(sizeof(pad) - 1));
	setenv("PAD", pad, 1);
	if (draw(2))
		personality(ADDR_NO_RANDOMIZE);
	/* The library would take it away from every run. */
	setenv("DET_OPTIONS", "reexec=0", 1);
	some_cpus(&set);
	sched_setaffinity(0, sizeof(set), &set);
	nice(draw(10));
	if (chdir(cwd[draw(4)]))
		_exit(126);
}

/* --- A run --- */

static void become(const struct target *t, int out)
{
	static char path[PATH_MAX], arg[8][PATH_MAX];
	char *argv[9] = { 0 };

	for (int i = 0; t->argv[i]; i++) {
		if (t->argv[i][0] == '@')
			snprintf(arg[i], sizeof(arg[i]), "%s/%s", folder,
				 t->argv[i] + 1);
		else
			snprintf(arg[i], sizeof(arg[i]), "%s", t->argv[i]);
		argv[i] = arg[i];
	}
	dup2(out, 1);
	dup2(out, 2);
	disturb_self();
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%.3000s/%s", programs[i],
			 t->argv[0]);
		execv(path, argv);
	}
	_exit(127);
}

/* What it prints, and its status as a last line. */
static size_t run(const struct target *t, char *text)
{
	pid_t others[MOST_HOGS + 1];
	unsigned int nr = 0, hogs = draw(MOST_HOGS + 1);
	int out[2], status;
	size_t len = 0;
	ssize_t n;
	pid_t pid;

	disturb_machine();
	burn_pids();
	while (nr < hogs)
		others[nr++] = hog();
	if (draw(2))
		others[nr++] = mover(t->argv[0]);
	if (pipe(out))
		die("pipe");
	fflush(stdout);
	pid = fork();
	if (!pid)
		become(t, out[1]);
	close(out[1]);
	while ((n = read(out[0], text + len, MOST_OUTPUT - len - 32)) > 0)
		len += n;
	close(out[0]);
	if (waitpid(pid, &status, 0) != pid)
		die("waitpid");
	len += sprintf(text + len, "status %#x\n", status);
	while (nr) {
		kill(others[--nr], SIGKILL);
		waitpid(others[nr], NULL, 0);
	}
	return len;
}

/* --- What was printed the first time --- */

static void say_first_line(const char *a, const char *b)
{
	const char *line = a;

	for (; *a && *a == *b; a++, b++)
		if (*a == '\n')
			line = a + 1;
	printf("#   at: %.*s\n", (int)strcspn(line, "\n"), line);
}

static bool same_as_before(const struct target *t, const char *text, size_t len)
{
	static char was[MOST_OUTPUT];
	char path[PATH_MAX];
	FILE *f;
	size_t n;

	snprintf(path, sizeof(path), "%s/%s.first", folder, t->name);
	f = fopen(path, "r+e");
	if (!f) {
		f = fopen(path, "we");
		if (!f || fwrite(text, 1, len, f) != len || fclose(f))
			die(path);
		return true;
	}
	n = fread(was, 1, sizeof(was) - 1, f);
	was[n] = 0;
	fclose(f);
	if (n == len && !memcmp(was, text, len))
		return true;
	printf("# %s differs from its first run\n", t->name);
	say_first_line(text, was);
	return false;
}

/* One line a run: its last words. */
static void keep(const struct target *t, const char *text)
{
	char path[PATH_MAX];
	const char *line = text, *p;
	FILE *f;

	for (p = text; (p = strchr(p, '\n')) && strncmp(p + 1, "status", 6); p++)
		line = p + 1;
	snprintf(path, sizeof(path), "%s/%s.all", folder, t->name);
	f = fopen(path, "ae");
	if (!f)
		die(path);
	fprintf(f, "%.*s\n", (int)strcspn(line, "\n"), line);
	fclose(f);
}

static void find_programs(void)
{
	ssize_t n = readlink("/proc/self/exe", programs[0], PATH_MAX - 32);

	programs[0][n > 0 ? n : 0] = 0;
	dirname(programs[0]);
	snprintf(programs[1], sizeof(programs[1]), "%.3000s/../bin", programs[0]);
}

int main(int argc, char **argv)
{
	unsigned long runs = NR_TARGETS, failed = 0, i;
	static char text[MOST_OUTPUT];
	int opt;

	while ((opt = getopt(argc, argv, "d:n:s:")) != -1) {
		switch (opt) {
		case 'd':
			folder = optarg;
			break;
		case 'n':
			runs = strtoul(optarg, NULL, 0);
			break;
		case 's':
			seed = strtoul(optarg, NULL, 0);
			break;
		default:
			folder = NULL;
			optind = argc;
			break;
		}
	}
	if (!folder || optind != argc) {
		fprintf(stderr, "usage: prove -d FOLDER [-n runs] [-s seed]\n");
		return 2;
	}
	cpus = sysconf(_SC_NPROCESSORS_ONLN);
	find_programs();
	for (i = 0; i < runs; i++) {
		const struct target *t = &target[i % NR_TARGETS];
		size_t len = run(t, text);

		text[len] = 0;
		if (t->races)
			keep(t, text);
		else if (!same_as_before(t, text, len))
			failed++;
		fflush(stdout);
	}
	printf("prove: %lu runs of %zu programs, %lu differ\n", runs,
	       NR_TARGETS, failed);
	return failed ? 1 : 0;
}
