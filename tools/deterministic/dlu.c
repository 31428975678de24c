// SPDX-License-Identifier: GPL-2.0-only
/*
 * LU decomposition with partial pivoting, in place: A becomes L (below the
 * diagonal, with ones on it) and U, rows being exchanged on the way.
 *
 * For one block of columns after the other, the columns of the block are
 * decomposed, then the rows of the block to the right of it; what is left below
 * and to the right is the most work, and each worker does its share of the rows.
 * The sequential program (--mode=serial, and --check) goes column by column.
 * Both subtract from an element in the same order: the results are equal bit by
 * bit.
 */
#include <math.h>
#include <stdlib.h>

#include "common.h"
#include "matrix.h"

struct lu {
	double *a;
	size_t n;
	unsigned int workers;
	size_t first, last;	/* columns of the block */
};

static void exchange_rows(const struct lu *lu, size_t i, size_t j)
{
	for (size_t k = 0; i != j && k < lu->n; k++) {
		double x = lu->a[i * lu->n + k];

		lu->a[i * lu->n + k] = lu->a[j * lu->n + k];
		lu->a[j * lu->n + k] = x;
	}
}

/* Row i -= a[i][k] * row k, in columns [from, to). */
static void subtract_row(const struct lu *lu, size_t i, size_t k, size_t from,
			 size_t to)
{
	const double *row = lu->a + k * lu->n;
	double *a = lu->a + i * lu->n;
	double factor = a[k];

	for (size_t j = from; j < to; j++)
		a[j] -= factor * row[j];
}

/* Decomposes columns [first, last), of which those before are done. */
static void decompose_columns(const struct lu *lu, size_t first, size_t last)
{
	size_t n = lu->n;

	for (size_t k = first; k < last; k++) {
		size_t pivot = k;

		for (size_t i = k + 1; i < n; i++)
			if (fabs(lu->a[i * n + k]) > fabs(lu->a[pivot * n + k]))
				pivot = i;
		exchange_rows(lu, k, pivot);
		if (lu->a[k * n + k] == 0)
			continue;
		for (size_t i = k + 1; i < n; i++) {
			lu->a[i * n + k] /= lu->a[k * n + k];
			subtract_row(lu, i, k, k + 1, last);
		}
	}
}

static void subtract_rows(unsigned int w, void *arg)
{
	const struct lu *lu = arg;
	size_t rows = lu->n - lu->last;
	size_t end = lu->last + share(rows, lu->workers, w + 1);

	for (size_t i = lu->last + share(rows, lu->workers, w); i < end; i++)
		for (size_t k = lu->first; k < lu->last; k++)
			subtract_row(lu, i, k, lu->last, lu->n);
}

static void decompose(struct lu *lu, enum run_mode mode, size_t block)
{
	for (; lu->first < lu->n; lu->first = lu->last) {
		lu->last = lu->n - lu->first < block ? lu->n : lu->first + block;
		decompose_columns(lu, lu->first, lu->last);
		for (size_t i = lu->first + 1; i < lu->last; i++)
			for (size_t k = lu->first; k < i; k++)
				subtract_row(lu, i, k, lu->last, lu->n);
		if (lu->last < lu->n)
			run_workers(mode, lu->workers, subtract_rows, lu, 0,
				    NULL);
	}
}

static const char *option_size = "256";
static const char *option_block = "64";
static const char *option_check;

static const struct option_spec options[] = {
	{ "size", "N", "rows and columns (default 256)", &option_size },
	{ "block", "N", "columns between two joins (default 64)",
	  &option_block },
	{ "check", NULL, "compare with the sequential program's result",
	  &option_check },
	{ NULL, NULL, NULL, NULL }
};

static const struct program program = {
	"dlu", "",
	"Decomposes a matrix of the same numbers in every run into L and U, and prints\n"
	"a checksum of the two. The status is 1 if --check finds them wrong.",
	options, HAS_WORKERS | HAS_ROUNDS
};

int main(int argc, char **argv)
{
	int i = parse_options(&program, argc, argv);
	enum run_mode mode = chosen_mode();
	struct lu lu = { .workers = chosen_workers() }, right;
	size_t block;

	if (i < argc)
		die("no argument is needed: %s", argv[i]);
	lu.n = parse_number("--size", option_size, 1, 8192);
	block = parse_number("--block", option_block, 1, 8192);
	lu.a = allocate_shared(lu.n * lu.n, sizeof(*lu.a));
	do {
		fill_matrix(lu.a, lu.n, 1);
		lu.first = 0;
		start_work();
		if (mode == MODE_SERIAL)
			decompose_columns(&lu, 0, lu.n);
		else
			decompose(&lu, mode, block);
	} while (end_work());
	printf("L and U of %zux%zu: checksum %016llx\n", lu.n, lu.n,
	       (unsigned long long)checksum(lu.a, lu.n));
	if (!option_check)
		return STATUS_OK;
	right = (struct lu){ .a = make_matrix(lu.n, 1), .n = lu.n };
	decompose_columns(&right, 0, right.n);
	if (memcmp(lu.a, right.a, lu.n * lu.n * sizeof(*lu.a)) != 0) {
		printf("wrong: the sequential program has another result\n");
		return STATUS_NO;
	}
	return STATUS_OK;
}
