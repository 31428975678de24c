// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What members print: all of it, once, at the join, in the order of the joins.
 */
#include <stdio.h>

#include "check.h"

static void *hello(void *who)
{
	printf("hello from %s\n", (const char *)who);
	fprintf(stderr, "and its errors\n");
	return NULL;
}

static void two(void)
{
	det_t a, b;

	printf("first, ");		/* pending when they are made */
	det_create(&a, hello, "a");
	det_create(&b, hello, "b");
	printf("then\n");
	det_join(b, NULL);
	det_join(a, NULL);
	printf("last\n");
}

static void only_stdout(void)
{
	freopen("/dev/null", "w", stderr);
	two();
}

static void only_stderr(void)
{
	freopen("/dev/null", "w", stdout);
	two();
}

static void *nested(void *arg)
{
	det_t t;

	printf("one ");
	det_create(&t, hello, "below");
	printf("two ");
	det_join(t, NULL);
	printf("three\n");
	return arg;
}

static void nest(void)
{
	det_t t;

	freopen("/dev/null", "w", stderr);
	det_create(&t, nested, NULL);
	det_join(t, NULL);
}

static void *fault(void *arg)
{
	printf("before the fault\n");
	*(volatile int *)arg = 1;
	return NULL;
}

static void faulting(void)
{
	det_t t;

	det_create(&t, fault, (void *)8);
	det_join(t, NULL);
}

static void discarding(void)
{
	det_t t;

	det_create(&t, fault, (void *)8);
	det_discard(t);
	printf("and after it\n");
}

static void *complain(void *arg)
{
	errno = ENOENT;
	perror("what");
	return arg;
}

static void complaining(void)
{
	det_t t;

	det_create(&t, complain, NULL);
	det_join(t, NULL);
}

static void *print_much(void *arg)
{
	for (long i = 0; i < (long)arg / 16; i++)
		printf("line %9ld.\n", i);
	return NULL;
}

static size_t much;

static void printing_much(void)
{
	det_t t[4];

	for (int i = 0; i < 4; i++)
		det_create(&t[i], print_much, (void *)much);
	for (int i = 0; i < 4; i++)
		det_join(t[i], NULL);
}

/* Only how much comes is looked at. */
static size_t count_output(void (*program)(void))
{
	char buf[65536];
	size_t len = 0;
	ssize_t n;
	int fd[2];

	fflush(stdout);
	if (pipe(fd) < 0)
		return 0;
	if (fork() == 0) {
		dup2(fd[1], 1);
		close(fd[0]);
		program();
		exit(0);
	}
	close(fd[1]);
	while ((n = read(fd[0], buf, sizeof(buf))) > 0)
		len += n;
	close(fd[0]);
	wait(NULL);
	return len;
}

static void team_member(void *arg)
{
	(void)arg;
	printf("%u", det_id());
	det_barrier();
	printf("%c", 'a' + (char)det_id());
}

static void team(void)
{
	det_parallel(4, team_member, NULL);
	printf("\n");
}

int main(int argc, char **argv)
{
	much = argc > 1 ? atol(argv[1]) : 160000;
	if (no_spaces())
		return 0;
	CHECK(says_only(only_stdout, 0, "first, then\nhello from b\nhello from a\nlast\n"));
	CHECK(says_only(only_stderr, 0, "and its errors\nand its errors\n"));
	CHECK(says_only(nest, 0, "one two hello from below\nthree\n"));
	CHECK(ends(faulting, 66, "before the fault\n"));
	CHECK(says_only(discarding, 0, "before the fault\nand after it\n"));
	CHECK(says_only(complaining, 0, "what: No such file or directory\n"));
	CHECK(says_only(team, 0, "0a1b2c3d\n"));
	CHECK(count_output(printing_much) == 4 * (much / 16 * 16));
	return verdict();
}
