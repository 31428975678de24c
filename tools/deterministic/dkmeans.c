// SPDX-License-Identifier: GPL-2.0-only
/*
 * Finds clusters of points: each point belongs to the nearest of the centres,
 * and a centre moves to the mean of its points, until no point changes to
 * another centre.
 *
 * Each worker has its share of the points, and in each round sums of its own for
 * the centres. Coordinates are whole numbers, so the sums are the same in
 * whatever order they are added.
 */
#include "common.h"

#define AXES	4
#define CENTRES	32

struct point {
	int32_t x[AXES];
};

struct sums {
	int64_t x[CENTRES][AXES];
	int64_t points[CENTRES];
	uint64_t changed;
} OWN_PAGES;

struct kmeans {
	const struct point *point;
	size_t nr;
	uint32_t *centre_of;		/* of each point */
	struct point centre[CENTRES];
	struct sums *sums;		/* of each worker */
	unsigned int workers;
	size_t rounds, max_rounds;
};

static uint64_t distance(const struct point *a, const struct point *b)
{
	uint64_t sum = 0;

	for (int i = 0; i < AXES; i++) {
		int64_t d = (int64_t)a->x[i] - b->x[i];

		sum += d * d;
	}
	return sum;
}

static uint32_t nearest(const struct kmeans *k, const struct point *point)
{
	uint64_t least = UINT64_MAX;
	uint32_t best = 0;

	for (uint32_t c = 0; c < CENTRES; c++) {
		uint64_t d = distance(point, &k->centre[c]);

		if (d < least) {
			least = d;
			best = c;
		}
	}
	return best;
}

static void assign_points(const struct kmeans *k, struct sums *sums,
			  size_t first, size_t last)
{
	*sums = (struct sums){ .changed = 0 };
	for (size_t i = first; i < last; i++) {
		uint32_t c = nearest(k, &k->point[i]);

		sums->changed += c != k->centre_of[i];
		k->centre_of[i] = c;
		sums->points[c]++;
		for (int j = 0; j < AXES; j++)
			sums->x[c][j] += k->point[i].x[j];
	}
}

static void assign_share(unsigned int w, void *arg)
{
	const struct kmeans *k = arg;

	assign_points(k, &k->sums[w], share(k->nr, k->workers, w),
		      share(k->nr, k->workers, w + 1));
}

/* The sum of all is in the sums of worker 0. */
static void add_sums(const struct kmeans *k)
{
	struct sums *sum = &k->sums[0];

	for (unsigned int w = 1; w < k->workers; w++) {
		sum->changed += k->sums[w].changed;
		for (int c = 0; c < CENTRES; c++) {
			sum->points[c] += k->sums[w].points[c];
			for (int j = 0; j < AXES; j++)
				sum->x[c][j] += k->sums[w].x[c][j];
		}
	}
}

/* A centre without points stays where it is. */
static void move_centres(struct kmeans *k)
{
	const struct sums *sum = &k->sums[0];

	for (int c = 0; c < CENTRES; c++)
		for (int j = 0; j < AXES && sum->points[c]; j++)
			k->centre[c].x[j] = sum->x[c][j] / sum->points[c];
}

static void find_clusters(struct kmeans *k, enum run_mode mode)
{
	do {
		if (mode == MODE_SERIAL) {
			assign_points(k, &k->sums[0], 0, k->nr);
		} else {
			run_workers(mode, k->workers, assign_share, k, 0, NULL);
			add_sums(k);
		}
		move_centres(k);
		k->rounds++;
	} while (k->sums[0].changed && k->rounds < k->max_rounds);
}

/* Around as many places as there are centres; the first are the centres. */
static struct point *make_points(size_t nr, uint64_t seed)
{
	struct point *point = allocate(nr, sizeof(*point));

	for (size_t i = 0; i < nr; i++) {
		for (int j = 0; j < AXES; j++) {
			if (i < CENTRES)
				point[i].x[j] = random_below(&seed, 1000000);
			else
				point[i].x[j] = point[i % CENTRES].x[j] +
					random_below(&seed, 400000) - 200000;
		}
	}
	return point;
}

static void set_up(struct kmeans *k, const struct point *point, size_t nr)
{
	k->point = point;
	k->nr = nr;
	k->max_rounds = by_size(10, 20, 50);
	k->centre_of = allocate_shared(k->nr, sizeof(*k->centre_of));
	k->sums = allocate_shared(k->workers, sizeof(*k->sums));
	/* All begin too far to the left, so that there is something to find. */
	for (int c = 0; c < CENTRES; c++) {
		k->centre[c] = point[c];
		k->centre[c].x[0] /= 4;
	}
}

static const struct program program = {
	"dkmeans", "",
	"Finds clusters of points, and prints a checksum of the centres and of which point\n"
	"belongs to which. The status is 1 if --check finds them wrong.",
	NULL, HAS_WORKERS | HAS_INPUT
};

int main(int argc, char **argv)
{
	enum run_mode mode = begin(&program, argc, argv);
	struct kmeans k = { .workers = chosen_workers() };
	struct kmeans right = { .workers = 1 };
	size_t size, nr = by_size(3000, 50000, 400000);
	uint64_t sum;

	set_up(&k, make_points(nr, chosen_seed()), nr);
	size = nr * sizeof(*k.centre_of);
	start_work();
	find_clusters(&k, mode);
	end_work();
	sum = checksum_of(CHECKSUM_START, k.centre, sizeof(k.centre));
	printf("clusters of %zu points, %zu rounds: checksum %016llx\n", nr, k.rounds,
	       (unsigned long long)checksum_of(sum, k.centre_of, size));
	if (!must_check())
		return STATUS_OK;
	set_up(&right, k.point, nr);
	find_clusters(&right, MODE_SERIAL);
	if (compare(k.centre, right.centre, sizeof(k.centre)) != STATUS_OK)
		return STATUS_NO;
	return compare(k.centre_of, right.centre_of, size);
}
