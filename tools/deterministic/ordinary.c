// SPDX-License-Identifier: GPL-2.0-only
/*
 * What ordinary tasks pay for what Linux does for them: a line an operation,
 * "name nanoseconds", of the third of three rounds. Where the guest's clock
 * counts instructions (boot --accel icount) these are instructions, the same to
 * the last digit in each run.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096UL
#define ROUNDS 3

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

static void fork_exit_wait(unsigned long n)
{
	while (n--) {
		pid_t pid = fork();

		if (!pid)
			_exit(0);
		waitpid(pid, NULL, 0);
	}
}

static const struct {
	const char *name;
	void (*run)(unsigned long n);
	unsigned long n;
} cost[] = {
	{ "null_call", null_call, 100000 },
	{ "pipe_round_trip", ping_pong, 5000 },
	{ "page_fault", fault, 4096 },
	{ "fork_exit_wait", fork_exit_wait, 200 },
};

int main(void)
{
	double began = 0;

	for (unsigned int i = 0; i < sizeof(cost) / sizeof(*cost); i++) {
		for (int round = 0; round < ROUNDS; round++) {
			began = now();
			cost[i].run(cost[i].n);
		}
		printf("%s %.1f\n", cost[i].name, (now() - began) / cost[i].n);
	}
	return 0;
}
