/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the library's tests share: checks that are counted, and programs that are to
 * end in a certain way with certain words.
 */
#ifndef CHECK_H
#define CHECK_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/wait.h>
#include <unistd.h>

#include "det.h"

static unsigned int passed, failed;

static inline void check(bool ok, const char *what, int line)
{
	if (ok) {
		passed++;
		return;
	}
	failed++;
	printf("FAILED: line %d: %s\n", line, what);
}

#define CHECK(condition)	check(condition, #condition, __LINE__)

/* What a program writes to both streams, and its exit status. */
struct outcome {
	int status;
	char text[65536];
};

static inline void run_program(void (*program)(void), struct outcome *outcome)
{
	size_t len = 0;
	ssize_t n;
	int fd[2], status;
	pid_t pid;

	fflush(stdout);
	pid = pipe(fd) < 0 ? -1 : fork();
	if (pid < 0) {
		perror("pipe, fork");
		exit(1);
	}
	if (pid == 0) {
		dup2(fd[1], 1);
		dup2(fd[1], 2);
		close(fd[0]);
		program();
		exit(0);
	}
	close(fd[1]);
	while ((n = read(fd[0], outcome->text + len,
			 sizeof(outcome->text) - 1 - len)) > 0)
		len += n;
	outcome->text[len] = '\0';
	close(fd[0]);
	waitpid(pid, &status, 0);
	outcome->status = WIFEXITED(status) ? WEXITSTATUS(status) :
			  128 + WTERMSIG(status);
}

/* Does the program end with this status, and are these words in what it says? */
static inline bool ends(void (*program)(void), int status, const char *words)
{
	static struct outcome outcome;
	bool right;

	run_program(program, &outcome);
	right = outcome.status == status && strstr(outcome.text, words);
	if (!right)
		printf("status %d, it says:\n%s", outcome.status, outcome.text);
	return right;
}

/* The last line, and main()'s result. */
static inline int verdict(void)
{
	printf("%u passed, %u failed, 0 skipped\n", passed, failed);
	return failed != 0;
}

/* As well, and these words are all that it says. */
static inline bool says_only(void (*program)(void), int status, const char *words)
{
	static struct outcome outcome;
	bool right;

	run_program(program, &outcome);
	right = outcome.status == status && !strcmp(outcome.text, words);
	if (!right)
		printf("status %d, it says:\n%s", outcome.status, outcome.text);
	return right;
}

static inline bool is_static(void)
{
	return !getauxval(AT_BASE);
}

static inline bool no_spaces(void)
{
	if (det_version() >= 0)
		return false;
	puts("0 passed, 0 failed, 1 skipped");
	return true;
}

#endif /* CHECK_H */
