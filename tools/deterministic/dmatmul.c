// SPDX-License-Identifier: GPL-2.0-only
/*
 * Multiplies two matrices: each worker computes its share of the rows of the
 * product. The sequential program (--mode=serial, and --check) is the textbook's
 * three loops; both add in the same order, so the products are equal bit by bit.
 */
#include <stdlib.h>

#include "common.h"
#include "matrix.h"

struct product {
	const double *a, *b;
	double *c;
	size_t n;
	unsigned int workers;
};

static void multiply_rows(unsigned int w, void *arg)
{
	const struct product *p = arg;
	size_t n = p->n, last = share(n, p->workers, w + 1);

	for (size_t i = share(n, p->workers, w); i < last; i++) {
		for (size_t j = 0; j < n; j++)
			p->c[i * n + j] = 0;
		for (size_t k = 0; k < n; k++)
			for (size_t j = 0; j < n; j++)
				p->c[i * n + j] += p->a[i * n + k] *
						   p->b[k * n + j];
	}
}

static void multiply_sequentially(const struct product *p, double *c)
{
	for (size_t i = 0; i < p->n; i++) {
		for (size_t j = 0; j < p->n; j++) {
			double sum = 0;

			for (size_t k = 0; k < p->n; k++)
				sum += p->a[i * p->n + k] * p->b[k * p->n + j];
			c[i * p->n + j] = sum;
		}
	}
}

static const char *option_size = "192";
static const char *option_check;

static const struct option_spec options[] = {
	{ "size", "N", "rows and columns (default 192)", &option_size },
	{ "check", NULL, "compare with the sequential program's product",
	  &option_check },
	{ NULL, NULL, NULL, NULL }
};

static const struct program program = {
	"dmatmul", "",
	"Multiplies two matrices of the same numbers in every run, and prints a\n"
	"checksum of the product. The status is 1 if --check finds it wrong.",
	options, HAS_WORKERS | HAS_ROUNDS
};

int main(int argc, char **argv)
{
	int i = parse_options(&program, argc, argv);
	enum run_mode mode = chosen_mode();
	struct product p = { .workers = chosen_workers() };
	double *right;

	if (i < argc)
		die("no argument is needed: %s", argv[i]);
	p.n = parse_number("--size", option_size, 1, 8192);
	p.a = make_matrix(p.n, 1);
	p.b = make_matrix(p.n, 2);
	p.c = allocate_shared(p.n * p.n, sizeof(*p.c));

	do {
		start_work();
		if (mode == MODE_SERIAL)
			multiply_sequentially(&p, p.c);
		else
			run_workers(mode, p.workers, multiply_rows, &p, 0, NULL);
	} while (end_work());
	printf("product of %zux%zu: checksum %016llx\n", p.n, p.n,
	       (unsigned long long)checksum(p.c, p.n));
	if (!option_check)
		return STATUS_OK;
	right = allocate(p.n * p.n, sizeof(*right));
	multiply_sequentially(&p, right);
	if (memcmp(p.c, right, p.n * p.n * sizeof(*right)) != 0) {
		printf("wrong: the sequential program has another product\n");
		return STATUS_NO;
	}
	return STATUS_OK;
}
