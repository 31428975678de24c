// SPDX-License-Identifier: GPL-2.0-only
/*
 * What ordinary tasks pay for what Linux does for them: a line an operation,
 * "name nanoseconds". Where the guest's clock counts instructions (boot --accel
 * icount) these are instructions, the same to the last digit in each run.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096UL
#define ROUNDS 3
#define SLEEPERS 128
#define EACH 40
#define WARM_UP 5

static int to_other[2], to_us[2];

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static void null_call(unsigned long n)
{
	while (n--)
		syscall(SYS_getppid);
}

/* The other process answers each byte: two switches. */
static void answer(void)
{
	char c;

	close(to_other[1]);
	while (read(to_other[0], &c, 1) == 1)
		if (write(to_us[1], &c, 1) != 1)
			break;
	_exit(0);
}

static void ping_pong(unsigned long n)
{
	pid_t pid;
	char c = 0;

	if (pipe(to_other) || pipe(to_us))
		die("pipe");
	pid = fork();
	if (!pid)
		answer();
	while (n--)
		if (write(to_other[1], &c, 1) != 1 || read(to_us[0], &c, 1) != 1)
			die("the other process");
	close(to_other[1]);
	close(to_other[0]);
	close(to_us[0]);
	close(to_us[1]);
	waitpid(pid, NULL, 0);
}

static void fault(unsigned long n)
{
	char *p = mmap(NULL, n * PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		die("mmap");
	for (unsigned long i = 0; i < n; i++)
		p[i * PAGE] = 1;
	munmap(p, n * PAGE);
}

/* The third round of so many. */
static double third(void (*run)(unsigned long n), unsigned long n)
{
	double began = 0;

	for (int round = 0; round < ROUNDS; round++) {
		began = now();
		run(n);
	}
	return (now() - began) / n;
}

static pid_t make_process(void)
{
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	return pid;
}

static void end_well(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid || status)
		die("the child");
}

static void fork_exit_wait(void)
{
	pid_t pid = make_process();

	if (!pid)
		_exit(0);
	end_well(pid);
}

static void fork_exec_wait(void)
{
	static char *const argv[] = { "det-ordinary", "--exit", NULL };
	pid_t pid = make_process();

	if (!pid) {
		execv("/proc/self/exe", argv);
		_exit(1);
	}
	end_well(pid);
}

/* It has memory of each CPU's of its own, where it may. */
static pid_t make_sleeper(void)
{
	pid_t pid = make_process();

	if (!pid) {
		unshare(CLONE_NEWIPC);
		raise(SIGSTOP);
		_exit(0);
	}
	waitpid(pid, NULL, WUNTRACED);
	return pid;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/*
 * The median of many, beside no sleeping process, then one, and so on: how full the
 * slabs are that a process's objects come from, and where each CPU's memory has holes,
 * is luck, the same in each run of one kernel, and weighs a percent.
 */
static double beside_sleepers(void (*operation)(void))
{
	static double took[SLEEPERS * EACH];
	pid_t sleeper[SLEEPERS];
	double *next = took, began;

	for (int s = 0; s < SLEEPERS; s++) {
		for (int i = -WARM_UP; i < EACH; i++) {
			began = now();
			operation();
			if (i >= 0)
				*next++ = now() - began;
		}
		sleeper[s] = make_sleeper();
	}
	for (int s = 0; s < SLEEPERS; s++) {
		kill(sleeper[s], SIGKILL);
		waitpid(sleeper[s], NULL, 0);
	}
	qsort(took, SLEEPERS * EACH, sizeof(*took), by_value);
	return took[SLEEPERS * EACH / 2];
}

int main(int argc, char **argv)
{
	/* What fork_exec_wait() executes. */
	if (argc > 1 && !strcmp(argv[1], "--exit"))
		_exit(0);
	printf("null_call %.1f\n", third(null_call, 100000));
	printf("pipe_round_trip %.1f\n", third(ping_pong, 5000));
	printf("page_fault %.1f\n", third(fault, 4096));
	printf("fork_exit_wait %.1f\n", beside_sleepers(fork_exit_wait));
	printf("fork_exec_wait %.1f\n", beside_sleepers(fork_exec_wait));
	return 0;
}
