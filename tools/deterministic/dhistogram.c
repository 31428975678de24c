// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counts how often each level of red, green and blue is in a picture, for
 * several exposures of it: each is a curve that says which level a level
 * becomes.
 *
 * Each worker has counts of its own, for its share of the picture; their sum is
 * the result, and as these are whole numbers their order does not matter.
 */
#include "common.h"

#define COLOURS	3
#define LEVELS	256

/* A multiple of a page for an even number of exposures: nothing is shared. */
struct counts {
	uint64_t of[COLOURS][LEVELS];
};

struct picture {
	unsigned char (*pixel)[COLOURS];
	size_t nr;
	unsigned char (*curve)[LEVELS];
	size_t exposures;
	struct counts *counts;		/* of each worker, of each exposure */
	unsigned int workers;
};

static void count_pixels(const struct picture *p, struct counts *counts,
			 size_t first, size_t last)
{
	for (size_t e = 0; e < p->exposures; e++) {
		const unsigned char *curve = p->curve[e];

		for (size_t i = first; i < last; i++)
			for (int c = 0; c < COLOURS; c++)
				counts[e].of[c][curve[p->pixel[i][c]]]++;
	}
}

static void count_share(unsigned int w, void *arg)
{
	const struct picture *p = arg;

	count_pixels(p, p->counts + w * p->exposures,
		     share(p->nr, p->workers, w), share(p->nr, p->workers, w + 1));
}

/* The sum is in the counts of worker 0. */
static void add_counts(const struct picture *p)
{
	size_t nr = p->exposures * COLOURS * LEVELS;
	uint64_t *sum = p->counts[0].of[0];

	for (unsigned int w = 1; w < p->workers; w++)
		for (size_t i = 0; i < nr; i++)
			sum[i] += sum[w * nr + i];
}

/* Dark in one corner and light in the other, with noise. */
static void make_pixels(struct picture *p, uint64_t seed)
{
	p->pixel = allocate(p->nr, sizeof(*p->pixel));
	for (size_t i = 0; i < p->nr; i++) {
		uint64_t noise = next_random(&seed);

		for (int c = 0; c < COLOURS; c++, noise >>= 8)
			p->pixel[i][c] = (noise % LEVELS + 3 * LEVELS * i / p->nr) / 4;
	}
}

/* Exposure 0 is the picture as it is, the others are ever lighter. */
static void make_curves(struct picture *p)
{
	p->curve = allocate(p->exposures, sizeof(*p->curve));
	for (size_t e = 0; e < p->exposures; e++) {
		for (size_t level = 0; level < LEVELS; level++) {
			size_t lighter = level * (p->exposures + e) / p->exposures;

			p->curve[e][level] = lighter < LEVELS ? lighter : LEVELS - 1;
		}
	}
}

static const struct program program = {
	"dhistogram", "",
	"Counts the levels of the colours in several exposures of a picture, and prints a\n"
	"checksum of the counts. The status is 1 if --check finds them wrong.",
	NULL, HAS_WORKERS | HAS_INPUT
};

int main(int argc, char **argv)
{
	enum run_mode mode = begin(&program, argc, argv);
	struct picture p = { .workers = chosen_workers() };
	struct counts *right;
	size_t size;

	p.nr = by_size(200000, 2000000, 16000000);
	p.exposures = by_size(8, 16, 64);
	size = p.exposures * sizeof(*p.counts);
	make_pixels(&p, chosen_seed());
	make_curves(&p);
	p.counts = allocate_shared(p.workers, size);

	start_work();
	if (mode == MODE_SERIAL) {
		count_pixels(&p, p.counts, 0, p.nr);
	} else {
		run_workers(mode, p.workers, count_share, &p, 0, NULL);
		add_counts(&p);
	}
	end_work();
	printf("histograms of %zu pixels, %zu exposures: checksum %016llx\n", p.nr,
	       p.exposures,
	       (unsigned long long)checksum_of(CHECKSUM_START, p.counts, size));
	if (!must_check())
		return STATUS_OK;
	right = allocate(1, size);
	count_pixels(&p, right, 0, p.nr);
	return compare(p.counts, right, size);
}
