// SPDX-License-Identifier: GPL-2.0-only
/*
 * Linear regression: the straight line that is nearest to many points, and how
 * sure that is. For this the line is also found for samples of the points,
 * each of as many points as there are, drawn at random (a bootstrap).
 *
 * A line needs five sums over its points. Each worker has sums of its own, for
 * its share of the points of each sample. They are whole numbers, so the order
 * in which they are added does not matter.
 */
#include "common.h"

struct point {
	int16_t x, y;
};

struct sums {
	int64_t x, y, xx, xy, yy;
};

/* As many as have their sums in one page. */
#define MAX_SAMPLES	102

struct own_sums {
	struct sums of[MAX_SAMPLES];
} OWN_PAGES;

struct regression {
	const struct point *point;
	size_t nr;
	size_t samples;			/* sample 0 is all points, once each */
	uint64_t seed;
	struct own_sums *sums;		/* of each worker */
	unsigned int workers;
};

/* Which point is number @i of sample @s, whoever asks. */
static size_t draw(const struct regression *r, size_t s, size_t i)
{
	uint64_t state = r->seed + s * r->nr + i;

	return s ? random_below(&state, r->nr) : i;
}

static struct sums add_points(const struct regression *r, size_t s,
			      size_t first, size_t last)
{
	struct sums sum = { .x = 0 };

	for (size_t i = first; i < last; i++) {
		struct point p = r->point[draw(r, s, i)];

		sum.x += p.x;
		sum.y += p.y;
		sum.xx += p.x * p.x;
		sum.xy += p.x * p.y;
		sum.yy += p.y * p.y;
	}
	return sum;
}

static void add_share(unsigned int w, void *arg)
{
	const struct regression *r = arg;
	size_t first = share(r->nr, r->workers, w);
	size_t last = share(r->nr, r->workers, w + 1);

	for (size_t s = 0; s < r->samples; s++)
		r->sums[w].of[s] = add_points(r, s, first, last);
}

static void add_sequentially(const struct regression *r, struct own_sums *sums)
{
	for (size_t s = 0; s < r->samples; s++)
		sums->of[s] = add_points(r, s, 0, r->nr);
}

/* The sum of all is in the sums of worker 0. */
static void add_sums(const struct regression *r)
{
	for (unsigned int w = 1; w < r->workers; w++) {
		for (size_t s = 0; s < r->samples; s++) {
			struct sums *sum = &r->sums[0].of[s];
			const struct sums *own = &r->sums[w].of[s];

			sum->x += own->x;
			sum->y += own->y;
			sum->xx += own->xx;
			sum->xy += own->xy;
			sum->yy += own->yy;
		}
	}
}

static double slope(const struct sums *sum, double n)
{
	return (n * sum->xy - (double)sum->x * sum->y) /
	       (n * sum->xx - (double)sum->x * sum->x);
}

static void print_line(const struct regression *r)
{
	const struct sums *sum = r->sums[0].of;
	double n = r->nr, k = slope(&sum[0], n), low = k, high = k;

	for (size_t s = 1; s < r->samples; s++) {
		double other = slope(&sum[s], n);

		low = other < low ? other : low;
		high = other > high ? other : high;
	}
	printf("line through %zu points: y = %.6f x + %.6f, slope %.6f to %.6f, checksum %016llx\n",
	       r->nr, k, (sum[0].y - k * sum[0].x) / n, low, high,
	       (unsigned long long)checksum_of(CHECKSUM_START, sum,
					       r->samples * sizeof(*sum)));
}

/* Around a line that the seed chooses. */
static const struct point *make_points(size_t nr, uint64_t seed)
{
	struct point *point = allocate(nr, sizeof(*point));
	int rise = random_below(&seed, 100);

	for (size_t i = 0; i < nr; i++) {
		point[i].x = random_below(&seed, 20000) - 10000;
		point[i].y = point[i].x * rise / 100 + 2000 +
			     random_below(&seed, 10000) - 5000;
	}
	return point;
}

static const struct program program = {
	"dlinreg", "",
	"Finds the straight line that is nearest to many points and to samples of them.\n"
	"Prints it, the least and the greatest slope of a sample's line, and a checksum of\n"
	"all sums. The status is 1 if --check finds them wrong.",
	NULL, HAS_WORKERS | HAS_INPUT
};

int main(int argc, char **argv)
{
	enum run_mode mode = begin(&program, argc, argv);
	struct regression r = { .workers = chosen_workers() };
	struct own_sums *right;

	r.seed = chosen_seed();
	r.nr = by_size(100000, 500000, 2000000);
	r.samples = by_size(10, 30, MAX_SAMPLES);
	r.point = make_points(r.nr, r.seed);
	r.sums = allocate_shared(r.workers, sizeof(*r.sums));

	start_work();
	if (mode == MODE_SERIAL) {
		add_sequentially(&r, &r.sums[0]);
	} else {
		run_workers(mode, r.workers, add_share, &r, 0, NULL);
		add_sums(&r);
	}
	end_work();
	print_line(&r);
	if (!must_check())
		return STATUS_OK;
	right = allocate_shared(1, sizeof(*right));
	add_sequentially(&r, right);
	return compare(&r.sums[0], right, sizeof(*right));
}
