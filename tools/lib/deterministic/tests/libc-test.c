// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The C library in members: two that do all of this at the same time do not conflict,
 * and each has the right results.
 */
#include <ctype.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <time.h>

#include "check.h"

static __thread int own;
static __thread char own_array[1000];

struct outcome_of {
	char tokens[64];
	int random[3];
	char number[64];
	int sorted;
	int error;
	double root;
	long parsed;
	int own;
};

static struct outcome_of result[2];

static int compare(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

static bool sort_much(size_t n)
{
	int *p = malloc(n * sizeof(*p));
	bool right = true;

	for (size_t i = 0; i < n; i++)
		p[i] = i * 7919 % n;
	qsort(p, n, sizeof(*p), compare);
	for (size_t i = 1; i < n; i++)
		right = right && p[i - 1] <= p[i];
	free(p);
	return right;
}

static void use_libc(void *arg)
{
	struct outcome_of *r = (struct outcome_of *)arg + det_id();
	char text[] = "one two three", *s;

	for (s = strtok(text, " "); s; s = strtok(NULL, " "))
		strcat(r->tokens, s);
	srand(5);
	for (int i = 0; i < 3; i++)
		r->random[i] = rand();
	snprintf(r->number, sizeof(r->number), "%.3f %s", 3.14159, "x");
	r->sorted = sort_much(100) && sort_much(50000);
	printf("member %u says %d\n", det_id(), r->sorted);
	errno = ERANGE;
	perror("an error");
	r->error = errno;
	r->root = sqrt(2.0 + det_id()) + sin(1.0) + pow(2.0, 0.5);
	r->parsed = strtol("12345", NULL, 10) + (isalpha('a') != 0);
	own += 5;
	own_array[999] = 1;
	r->own = own;
	setlocale(LC_ALL, "C");
	s = strdup("a block");
	free(s);
}

static void both(void)
{
	int first;

	srand(5);
	first = rand();
	det_parallel(2, use_libc, result);
	for (int i = 0; i < 2; i++) {
		if (result[i].random[0] != first || result[i].root <= 2.25 + 0.4 * i)
			printf("wrong\n");
		printf("%s %s %d %d %ld %d\n", result[i].tokens, result[i].number,
		       result[i].sorted, result[i].error == ERANGE,
		       result[i].parsed, result[i].own);
	}
}

/*
 * Memory that the C library keeps for itself: its creator's stays, whatever a member does.
 * The environment is the program's.
 */
static void *keep(void *arg)
{
	setenv("DET_TEST", "a longer value of the member's own", 1);
	setlocale(LC_ALL, "C");
	return strerror(7777) ? arg : NULL;
}

static void keeping(void)
{
	det_t t;

	setenv("DET_TEST", "the creator's", 1);
	setlocale(LC_ALL, "C.UTF-8");
	strerror(9999);
	det_create(&t, keep, NULL);
	det_join(t, NULL);
	strerror(8888);
	setlocale(LC_ALL, "C.UTF-8");
	setenv("DET_TEST_2", "x", 1);
	printf("it is %s\n", getenv("DET_TEST"));
}

static void *tell_time(void *arg)
{
	*(time_t *)arg = time(NULL);
	return NULL;
}

static void timing(void)
{
	time_t now;
	det_t t;

	det_create(&t, tell_time, &now);
	det_join(t, NULL);
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void *use_lock(void *arg)
{
	pthread_mutex_lock(&mutex);
	pthread_mutex_unlock(&mutex);
	return arg;
}

static void locking(void)
{
	det_t t;

	use_lock(NULL);			/* in the master it is a lock */
	det_create(&t, use_lock, NULL);
	det_join(t, NULL);
}

static void *make_thread(void *arg)
{
	pthread_t t;

	pthread_create(&t, NULL, use_lock, NULL);
	return arg;
}

static void threading(void)
{
	pthread_t p;
	det_t t;

	pthread_create(&p, NULL, use_lock, NULL);
	pthread_join(p, NULL);
	det_create(&t, make_thread, NULL);
	det_join(t, NULL);
}

int main(void)
{
	if (no_spaces())
		return 0;
	own = 1;
	CHECK(ends(both, 0, "member 0 says 1\n"));
	CHECK(ends(both, 0, "member 1 says 1\n"));
	CHECK(ends(both, 0, "an error: Numerical result out of range\n"));
	/* Thread-local data begins anew, but in a static program. */
	if (is_static())
		CHECK(ends(both, 0, "onetwothree 3.142 x 1 1 12346 6\n"
			   "onetwothree 3.142 x 1 1 12346 6\n"));
	else
		CHECK(ends(both, 0, "onetwothree 3.142 x 1 1 12346 5\n"
			   "onetwothree 3.142 x 1 1 12346 5\n"));
	CHECK(own == 1);
	CHECK(ends(timing, 66, "member 0 was stopped\n"));
	if (getauxval(AT_SYSINFO_EHDR))
		CHECK(ends(timing, 66, is_static() ?
			   "called time(), which a member does not have\n"
			   "  called from time()" :
			   "called time(), which a member does not have\n"
			   "  called from tell_time()"));
	if (!is_static())
		CHECK(ends(keeping, 0, "it is a longer value of the member's own\n"));
	/* Of a static program the C library's own use of locks cannot be told. */
	if (is_static())
		return verdict();
	CHECK(ends(locking, 66, "WARNING: libdet: pthread_mutex_lock() in a member\n"
		   "  in use_lock()"));
	CHECK(ends(threading, 66, "WARNING: libdet: pthread_create() in a member\n"
		   "  in make_thread()"));
	return verdict();
}
