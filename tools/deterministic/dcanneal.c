// SPDX-License-Identifier: GPL-2.0-only
/*
 * Places the elements of a circuit so that the wires between them are short, by
 * exchanging two at a time, as long as that is no worse than a limit which falls
 * from round to round (threshold accepting, a kin of simulated annealing).
 *
 * The circuit has 256 parts without a wire between two of them, and each worker
 * has its share of the parts. But neighbours in memory belong to different
 * parts: each page of the array holds four elements of each. So every worker
 * writes to every page, a few bytes here and there. For threads that is nothing
 * special; in spaces it is the worst case, as in each round each page is copied
 * for each worker and merged byte by byte.
 */
#include <stdlib.h>

#include "common.h"

#define PARTS	256
#define WIRES	3		/* of an element, to others of its part */

struct circuit {
	uint32_t *place;		/* of each element */
	uint32_t (*other_end)[WIRES];	/* of each wire of each element */
	uint32_t nr;			/* elements, a multiple of 2 * PARTS */
	uint32_t width;			/* places side by side */
	uint32_t exchanges;		/* of a part, in a round */
	uint64_t limit;
	uint64_t seed;			/* of this round */
	unsigned int workers;
};

static uint64_t distance(const struct circuit *c, uint32_t a, uint32_t b)
{
	int64_t across = (int64_t)(a % c->width) - b % c->width;
	int64_t down = (int64_t)(a / c->width) - b / c->width;

	return llabs(across) + llabs(down);
}

static uint64_t length_at(const struct circuit *c, uint32_t element)
{
	uint64_t sum = 0;

	for (int i = 0; i < WIRES; i++)
		sum += distance(c, c->place[element],
				c->place[c->other_end[element][i]]);
	return sum;
}

static void exchange(const struct circuit *c, uint32_t a, uint32_t b)
{
	uint32_t place = c->place[a];

	c->place[a] = c->place[b];
	c->place[b] = place;
}

static void exchange_in_part(const struct circuit *c, uint32_t part)
{
	uint64_t state = c->seed + part;

	for (uint32_t i = 0; i < c->exchanges; i++) {
		uint32_t a = part + PARTS * random_below(&state, c->nr / PARTS);
		uint32_t b = part + PARTS * random_below(&state, c->nr / PARTS);
		uint64_t before = length_at(c, a) + length_at(c, b);

		exchange(c, a, b);
		if (length_at(c, a) + length_at(c, b) > before + c->limit)
			exchange(c, a, b);
	}
}

static void exchange_in_share(unsigned int w, void *arg)
{
	const struct circuit *c = arg;
	uint32_t last = share(PARTS, c->workers, w + 1);

	for (uint32_t part = share(PARTS, c->workers, w); part < last; part++)
		exchange_in_part(c, part);
}

static unsigned long long length_of_wires(const struct circuit *c)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < c->nr; i++)
		sum += length_at(c, i);
	return sum / 2;		/* each has two ends */
}

static void anneal(struct circuit *c, enum run_mode mode)
{
	uint64_t seed = chosen_seed();
	unsigned int rounds = by_size(6, 16, 64);

	for (unsigned int i = 1; i <= rounds; i++) {
		c->limit = c->width / 2 * (rounds - i) / rounds;
		c->seed = next_random(&seed);
		if (mode == MODE_SERIAL)
			for (uint32_t part = 0; part < PARTS; part++)
				exchange_in_part(c, part);
		else
			run_workers(mode, c->workers, exchange_in_share, c, 0,
				    NULL);
	}
}

/* All elements of a part get a wire number @wire, two and two at random. */
static void wire_part(struct circuit *c, uint32_t part, int wire,
		      uint32_t *order, uint64_t *state)
{
	uint32_t nr = c->nr / PARTS;

	for (uint32_t i = 0; i < nr; i++)
		order[i] = part + PARTS * i;
	for (uint32_t i = nr - 1; i > 0; i--) {
		uint32_t j = random_below(state, i + 1), element = order[i];

		order[i] = order[j];
		order[j] = element;
	}
	for (uint32_t i = 0; i < nr; i += 2) {
		c->other_end[order[i]][wire] = order[i + 1];
		c->other_end[order[i + 1]][wire] = order[i];
	}
}

static void make_wires(struct circuit *c)
{
	uint32_t *order = allocate(c->nr / PARTS, sizeof(*order));
	uint64_t state = chosen_seed();

	c->other_end = allocate(c->nr, sizeof(*c->other_end));
	for (uint32_t part = 0; part < PARTS; part++)
		for (int wire = 0; wire < WIRES; wire++)
			wire_part(c, part, wire, order, &state);
	free(order);
}

static void place_elements(struct circuit *c)
{
	c->place = allocate_shared(c->nr, sizeof(*c->place));
	for (uint32_t i = 0; i < c->nr; i++)
		c->place[i] = i;
}

static const struct program program = {
	"dcanneal", "",
	"Places the elements of a circuit so that the wires between them are short, and\n"
	"prints their length before and after, and a checksum of the places. The status is\n"
	"1 if --check finds them wrong.", NULL, HAS_WORKERS | HAS_INPUT
};

int main(int argc, char **argv)
{
	enum run_mode mode = begin(&program, argc, argv);
	struct circuit c = { .workers = chosen_workers() }, right;
	unsigned long long before;
	size_t size;

	c.nr = by_size(1 << 16, 1 << 19, 1 << 22);
	c.width = by_size(255, 725, 2047);
	c.exchanges = by_size(32, 128, 512);
	size = c.nr * sizeof(*c.place);
	make_wires(&c);
	right = c;
	place_elements(&c);

	before = length_of_wires(&c);
	start_work();
	anneal(&c, mode);
	end_work();
	printf("%u elements, length of the wires %llu, then %llu: checksum %016llx\n",
	       c.nr, before, length_of_wires(&c),
	       (unsigned long long)checksum_of(CHECKSUM_START, c.place, size));
	if (!must_check())
		return STATUS_OK;
	place_elements(&right);
	anneal(&right, MODE_SERIAL);
	return compare(c.place, right.place, size);
}
