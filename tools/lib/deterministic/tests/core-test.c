// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What is left of a member that has failed: the backtrace of the report. Each program is
 * executed anew.
 */

#include "check.h"

static int number = 1;

/* A debugger shows these; none of them is compiled away. */
#define CALLED	__attribute__((noinline, noclone))

enum { INNER = __LINE__ + 4, MIDDLE = __LINE__ + 11, OUTER = __LINE__ + 18 };

static CALLED void inner(volatile int *p)
{
	*p = 1;
	number++;
}

/* What comes after the call keeps it from being a jump. */
static CALLED void middle(volatile int *p)
{
	inner(p);
	number++;
}

static CALLED void *outer(void *p)
{
	number = 77;
	middle(p);
	number++;
	return p;
}

static void faulting(void)
{
	det_t t;

	det_create(&t, outer, (void *)8);
	det_join(t, NULL);
}

static void *faulting_member(void *arg)
{
	faulting();
	return arg;
}

static void faulting_below(void)
{
	det_t t;

	det_create(&t, faulting_member, NULL);
	det_join(t, NULL);
}

static CALLED int dig(volatile int *p)
{
	volatile int hole[4096];

	hole[0] = *p;
	return *p == -1 ? 0 : dig(hole) + hole[0];
}

static void *dig_deep(void *arg)
{
	number = dig(&number);
	return arg;
}

static void overflowing(void)
{
	det_t t;

	det_create(&t, dig_deep, NULL);
	det_join(t, NULL);
}

static void *call_nobody(void *nobody)
{
	((void (*)(void))nobody)();
	number++;
	return NULL;
}

static void calling_nobody(void)
{
	det_t t;

	det_create(&t, call_nobody, NULL);
	det_join(t, NULL);
}

/* A team's number 1, after a barrier. */
static void member(void *arg)
{
	det_barrier();
	if (det_id() == 1)
		outer(arg);
	number++;
}

static void faulting_team(void)
{
	det_parallel(2, member, (void *)8);
}

static const struct {
	const char *name;
	void (*run)(void);
} program[] = {
	{ "faulting", faulting },
	{ "below", faulting_below },
	{ "overflowing", overflowing },
	{ "nobody", calling_nobody },
	{ "team", faulting_team },
	{ NULL, NULL },
};

static void run_named(const char *name)
{
	for (int i = 0; program[i].name; i++)
		if (strcmp(program[i].name, name) == 0)
			program[i].run();
}

static void execute(const char *name)
{
	execl("/proc/self/exe", "core-test", name, (char *)NULL);
}

#define EXECUTE(function, name)	\
	static void function(void) { execute(name); }

EXECUTE(execute_faulting, "faulting")
EXECUTE(execute_below, "below")
EXECUTE(execute_overflowing, "overflowing")
EXECUTE(execute_nobody, "nobody")
EXECUTE(execute_team, "team")

static struct outcome outcome;

static bool says(const char *words)
{
	return strstr(outcome.text, words);
}

/* Says all of it where a check has failed. */
static void run_checked(void (*program)(void), int status)
{
	static unsigned int before;

	if (failed > before)
		printf("it says:\n%s", outcome.text);
	before = failed;
	run_program(program, &outcome);
	CHECK(outcome.status == status);
}

static bool has_libdw(void)
{
	return !is_static() && !access("/usr/lib/x86_64-linux-gnu/libdw.so.1", R_OK);
}

static void test_backtrace(void)
{
	char calls[256];

	run_checked(execute_faulting, 66);
	if (!has_libdw()) {
		CHECK(says("  in inner()+"));
		CHECK(says("  for a backtrace: "));
		return;
	}
	snprintf(calls, sizeof(calls),
		 "  in inner() at core-test.c:%d\n"
		 "  called from middle() at core-test.c:%d\n"
		 "  called from outer() at core-test.c:%d\n", INNER, MIDDLE, OUTER);
	CHECK(says(calls) && says(": outer(), created in "));
	run_checked(execute_below, 66);
	CHECK(says(calls) && !says("begin()") && says("member 0: outer(), created in "));
	run_checked(execute_team, 66);
	CHECK(says(calls) && says("  called from member() at core-test.c:"));
	CHECK(!says("team.c") && !says("child.c"));
	run_checked(execute_overflowing, 66);
	CHECK(says("  in dig() at core-test.c:"));
	CHECK(says("  called from dig() at core-test.c:"));
	CHECK(says("  called from more functions than are shown here\n"));
	run_checked(execute_nobody, 66);
	CHECK(says("  in an unknown function\n"
		   "  called from call_nobody() at core-test.c:"));
}

int main(int argc, char **argv)
{
	if (argc > 1) {
		run_named(argv[1]);
		return 0;
	}
	if (no_spaces())
		return 0;
	test_backtrace();
	if (failed)
		printf("it says:\n%s", outcome.text);
	return verdict();
}
