// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A library that plugin-test loads. The first has a number that all share, the second one
 * that each thread has of its own.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#if PLUGIN == 1
static long number;
#else
static __thread long number;
#endif

long *plugin_number(void)
{
	return &number;
}

/* At the end of the program, behind libdet's own destructors. */
__attribute__((destructor))
static void fork_late(void)
{
	pid_t pid;
	int status = -1;

	if (!getenv("PLUGIN_FORKS"))
		return;
	free(malloc(1000));
	pid = fork();
	if (pid == 0) {
		free(malloc(100000));
		_exit(malloc(10) ? 0 : 1);
	}
	waitpid(pid, &status, 0);
	printf("forked late: %d\n", status);
	fflush(stdout);
}
