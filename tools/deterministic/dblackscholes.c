// SPDX-License-Identifier: GPL-2.0-only
/*
 * Prices options by the formula of Black and Scholes, each at several rates of
 * interest, and takes the mean. Each worker prices its share of the options,
 * alone and in the same order as the sequential program: the prices are equal
 * bit by bit.
 *
 * exp() and log() are written out here. The C library chooses them by the CPU
 * that it finds, with and without fused operations: the last bit would depend
 * on the machine.
 */
#include <math.h>

#include "common.h"

struct option {
	double spot, strike, volatility, years;
	double is_put;			/* 1, or 0 for a call */
};

struct market {
	const struct option *option;
	double *price;
	size_t nr;
	size_t rates;
	unsigned int workers;
};

#define LN_2	0.69314718055994530942

/* 2 to the power of @n, for the exponents of normal numbers. */
static double power_of_2(int n)
{
	union {
		uint64_t bits;
		double value;
	} x = { .bits = (uint64_t)(n + 1023) << 52 };

	return x.value;
}

/* x = n * ln 2 + rest, and for the small rest the series. */
static double exponential(double x)
{
	int n = x / LN_2 + (x < 0 ? -0.5 : 0.5);
	double rest = x - n * LN_2, sum = 1;

	if (n < -1000)
		return 0;
	for (int i = 13; i > 0; i--)
		sum = 1 + sum * rest / i;
	return sum * power_of_2(n);
}

/* x = 2^n * m, and for m near 1 the series of the area tangent. */
static double logarithm(double x)
{
	double s, square, sum = 0;
	int n = 0;

	for (; x > 1.5; n++)
		x /= 2;
	for (; x < 0.75; n--)
		x *= 2;
	s = (x - 1) / (x + 1);
	square = s * s;
	for (int i = 23; i > 0; i -= 2)
		sum = sum * square + 1.0 / i;
	return 2 * s * sum + n * LN_2;
}

/*
 * The normal distribution, as in Abramowitz and Stegun, 26.2.17; the error is
 * below 7.5e-8.
 */
static double normal(double x)
{
	static const double factor[] = {
		1.330274429, -1.821255978, 1.781477937, -0.356563782, 0.319381530
	};
	double k = 1 / (1 + 0.2316419 * fabs(x)), sum = 0, tail;

	for (int i = 0; i < 5; i++)
		sum = (sum + factor[i]) * k;
	tail = 0.39894228040143267794 * exponential(-x * x / 2) * sum;
	return x < 0 ? tail : 1 - tail;
}

static double price(const struct option *o, double rate)
{
	double deviation = o->volatility * sqrt(o->years);
	double growth = rate + o->volatility * o->volatility / 2;
	double d1 = (logarithm(o->spot / o->strike) + growth * o->years) /
		    deviation;
	double now = o->strike * exponential(-rate * o->years);
	double call = o->spot * normal(d1) - now * normal(d1 - deviation);

	return o->is_put ? call - o->spot + now : call;
}

static void price_options(const struct market *m, double *to, size_t first,
			  size_t last)
{
	for (size_t i = first; i < last; i++) {
		double sum = 0;

		for (size_t r = 1; r <= m->rates; r++)
			sum += price(&m->option[i], 0.1 * r / m->rates);
		to[i] = sum / m->rates;
	}
}

static void price_share(unsigned int w, void *arg)
{
	const struct market *m = arg;

	price_options(m, m->price, share(m->nr, m->workers, w),
		      share(m->nr, m->workers, w + 1));
}

static const struct option *make_options(size_t nr, uint64_t seed)
{
	struct option *o = allocate(nr, sizeof(*o));

	for (size_t i = 0; i < nr; i++) {
		o[i].spot = 20 + 80 * random_unit(&seed);
		o[i].strike = o[i].spot * (0.7 + 0.6 * random_unit(&seed));
		o[i].volatility = 0.05 + 0.6 * random_unit(&seed);
		o[i].years = 0.1 + 2 * random_unit(&seed);
		o[i].is_put = random_below(&seed, 2);
	}
	return o;
}

static const struct program program = {
	"dblackscholes", "",
	"Prices options by the formula of Black and Scholes, and prints a checksum of the\n"
	"prices. The status is 1 if --check finds them wrong.",
	NULL, HAS_WORKERS | HAS_INPUT
};

int main(int argc, char **argv)
{
	enum run_mode mode = begin(&program, argc, argv);
	struct market m = { .workers = chosen_workers() };
	double *right, sum = 0;
	size_t size;

	m.nr = by_size(4000, 100000, 500000);
	m.rates = by_size(4, 5, 20);
	size = m.nr * sizeof(*m.price);
	m.option = make_options(m.nr, chosen_seed());
	m.price = allocate_shared(m.nr, sizeof(*m.price));

	start_work();
	if (mode == MODE_SERIAL)
		price_options(&m, m.price, 0, m.nr);
	else
		run_workers(mode, m.workers, price_share, &m, 0, NULL);
	end_work();
	for (size_t i = 0; i < m.nr; i++)
		sum += m.price[i];
	printf("prices of %zu options, mean %.6f: checksum %016llx\n", m.nr,
	       sum / m.nr,
	       (unsigned long long)checksum_of(CHECKSUM_START, m.price, size));
	if (!must_check())
		return STATUS_OK;
	right = allocate(m.nr, sizeof(*right));
	price_options(&m, right, 0, m.nr);
	return compare(m.price, right, size);
}
