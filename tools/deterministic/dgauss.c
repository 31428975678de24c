// SPDX-License-Identifier: GPL-2.0-only
/*
 * Solves linear equations by Gauss's elimination. In each step one variable is
 * eliminated from the equations below, of which each worker has its share; then
 * all are joined. The sequential program subtracts in the same order: the
 * solutions are equal bit by bit.
 *
 * --forget-join is the mistake that is easily made: in each step, nobody waits
 * for the last worker. With threads and processes it goes unnoticed as long as
 * the worker is fast enough, so the result is right on one day and wrong on
 * another. In spaces what is not joined has not happened: the result is wrong,
 * and the same in every run. The sequential program has nothing to forget.
 */
#include <math.h>

#include "common.h"

struct equations {
	double *a;			/* nr rows of nr + 1: the last is the right side */
	size_t nr;
	volatile size_t step;		/* a forgotten thread may see a later one */
	unsigned int workers;
};

static double *row(const struct equations *e, size_t i)
{
	return e->a + i * (e->nr + 1);
}

/* Eliminates variable @k from equations [first, last). */
static void eliminate(const struct equations *e, size_t k, size_t first,
		      size_t last)
{
	const double *pivot = row(e, k);

	for (size_t i = first; i < last; i++) {
		double *a = row(e, i), factor = a[k] / pivot[k];

		for (size_t j = k; j <= e->nr; j++)
			a[j] -= factor * pivot[j];
	}
}

static void eliminate_share(unsigned int w, void *arg)
{
	const struct equations *e = arg;
	size_t k = e->step, below = e->nr - 1 - k;

	eliminate(e, k, k + 1 + share(below, e->workers, w),
		  k + 1 + share(below, e->workers, w + 1));
}

static void eliminate_all(struct equations *e, enum run_mode mode, bool forget)
{
	for (e->step = 0; e->step < e->nr - 1; e->step++) {
		if (mode == MODE_SERIAL)
			eliminate(e, e->step, e->step + 1, e->nr);
		else if (forget)
			run_workers_but_forget(mode, e->workers, e->workers - 1,
					       eliminate_share, e);
		else
			run_workers(mode, e->workers, eliminate_share, e, 0,
				    NULL);
	}
}

/* From the last equation, which has one variable, to the first. */
static double *solve(const struct equations *e)
{
	double *x = allocate(e->nr, sizeof(*x));

	for (size_t i = e->nr; i-- > 0;) {
		const double *a = row(e, i);
		double sum = a[e->nr];

		for (size_t j = i + 1; j < e->nr; j++)
			sum -= a[j] * x[j];
		x[i] = sum / a[i];
	}
	return x;
}

/*
 * All variables are 1 in the solution. The diagonal outweighs the rest of its
 * row, so that no rows need to be exchanged.
 */
static void make_equations(struct equations *e)
{
	uint64_t seed = chosen_seed();

	e->nr = by_size(192, 768, 1664);
	e->a = allocate_shared(e->nr * (e->nr + 1), sizeof(*e->a));
	for (size_t i = 0; i < e->nr; i++) {
		double *a = row(e, i);

		for (size_t j = 0; j < e->nr; j++) {
			a[j] = 2 * random_unit(&seed) - 1 + (i == j ? e->nr : 0);
			a[e->nr] += a[j];
		}
	}
}

static double error(const double *x, size_t nr)
{
	double most = 0;

	for (size_t i = 0; i < nr; i++)
		most = fabs(x[i] - 1) > most ? fabs(x[i] - 1) : most;
	return most;
}

static const char *option_forget_join;

static const struct option_spec options[] = {
	{ "forget-join", NULL, "do not wait for the last worker of a step",
	  &option_forget_join },
	{ NULL, NULL, NULL, NULL }
};

static const struct program program = {
	"dgauss", "",
	"Solves linear equations, and prints how far the solution is from the true one, and\n"
	"a checksum of it. The status is 1 if --check finds it wrong.",
	options, HAS_WORKERS | HAS_INPUT
};

int main(int argc, char **argv)
{
	enum run_mode mode = begin(&program, argc, argv);
	/* A forgotten thread may still look at it when main() has returned. */
	static struct equations e;
	struct equations right;
	double *x, *right_x;
	size_t size;

	e.workers = chosen_workers();
	make_equations(&e);
	size = e.nr * sizeof(*x);
	start_work();
	eliminate_all(&e, mode, option_forget_join);
	x = solve(&e);
	end_work();
	printf("%zu equations: error %.1e, checksum %016llx\n", e.nr,
	       error(x, e.nr),
	       (unsigned long long)checksum_of(CHECKSUM_START, x, size));
	if (!must_check())
		return STATUS_OK;
	make_equations(&right);
	eliminate_all(&right, MODE_SERIAL, false);
	right_x = solve(&right);
	return compare(x, right_x, size);
}
