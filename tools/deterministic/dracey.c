// SPDX-License-Identifier: GPL-2.0-only
/*
 * All workers read and write the same few words, and what each writes depends
 * on all that it has read: the last bits tell of every difference in the order.
 * After the idea of racey (Mark Hill and Min Xu). It has no right result.
 *
 * With threads, and with processes that share memory, it differs from run to
 * run. In spaces it does not: each sees the words as they were at its fork, and
 * of what two have changed, the bytes of the one that is joined later stand
 * (DET_MERGE_TAKE). The sequential program does the same with copies, so it
 * foretells the result that spaces must have.
 */
#include <string.h>

#include <det.h>

#include "common.h"

#define WORDS	64

struct own {
	uint32_t state;
} OWN_PAGES;

struct race {
	uint32_t *word;
	struct own *own;		/* of each worker */
	size_t turns, rounds;
	unsigned int workers;
};

static uint32_t mix(uint32_t a, uint32_t b)
{
	return (a ^ (b << 7 | b >> 25)) * 0x9e3779b1u + 1;
}

/* Volatile: each turn is one read and one write of memory. */
static void update(volatile uint32_t *word, struct own *own, size_t turns)
{
	uint32_t x = own->state;

	for (size_t i = 0; i < turns; i++) {
		x = mix(x, word[x >> 16 & (WORDS - 1)]);
		word[x >> 24 & (WORDS - 1)] = x;
	}
	own->state = x;
}

static void update_words(unsigned int w, void *arg)
{
	const struct race *r = arg;

	update(r->word, &r->own[w], r->turns);
}

/* What a worker has changed in its copy of @before goes into the result. */
static void merge_bytes(uint32_t *word, const uint32_t *copy,
			const uint32_t *before)
{
	unsigned char *to = (unsigned char *)word;
	const unsigned char *from = (const unsigned char *)copy;
	const unsigned char *old = (const unsigned char *)before;

	for (size_t i = 0; i < WORDS * sizeof(*word); i++)
		if (from[i] != old[i])
			to[i] = from[i];
}

static void race_with_copies(const struct race *r)
{
	uint32_t before[WORDS], copy[WORDS];

	for (size_t i = 0; i < r->rounds; i++) {
		memcpy(before, r->word, sizeof(before));
		for (unsigned int w = 0; w < r->workers; w++) {
			memcpy(copy, before, sizeof(copy));
			update(copy, &r->own[w], r->turns);
			merge_bytes(r->word, copy, before);
		}
	}
}

static void set_up(struct race *r, uint64_t seed)
{
	r->word = allocate_shared(WORDS, sizeof(*r->word));
	r->own = allocate_shared(r->workers, sizeof(*r->own));
	for (int i = 0; i < WORDS; i++)
		r->word[i] = next_random(&seed);
	for (unsigned int w = 0; w < r->workers; w++)
		r->own[w].state = next_random(&seed);
}

/* The words, then what each worker remembers. */
static uint64_t result_of(const struct race *r)
{
	uint64_t sum = CHECKSUM_START;

	sum = checksum_of(sum, r->word, WORDS * sizeof(*r->word));
	for (unsigned int w = 0; w < r->workers; w++)
		sum = checksum_of(sum, &r->own[w].state, sizeof(uint32_t));
	return sum;
}

static const struct program program = {
	"dracey", "",
	"Workers race for a few words, and what comes of it is printed as a checksum: in\n"
	"spaces one and the same, with pthreads and processes seldom the same. The status is\n"
	"1 if --check finds it to be another one than spaces must have.",
	NULL, HAS_WORKERS | HAS_INPUT
};

int main(int argc, char **argv)
{
	enum run_mode mode = begin(&program, argc, argv);
	struct race r = { .workers = chosen_workers() }, right;
	uint64_t result, foretold;

	r.turns = by_size(50000, 1000000, 16000000);
	r.rounds = by_size(5, 5, 8);
	right = r;
	set_up(&r, chosen_seed());

	start_work();
	if (mode == MODE_SERIAL)
		race_with_copies(&r);
	for (size_t i = 0; i < r.rounds && mode != MODE_SERIAL; i++)
		run_workers(mode, r.workers, update_words, &r, DET_MERGE_TAKE,
			    NULL);
	end_work();
	result = result_of(&r);
	printf("%zu updates of %u workers: %016llx\n",
	       r.rounds * r.turns * r.workers, r.workers,
	       (unsigned long long)result);
	if (!must_check())
		return STATUS_OK;
	set_up(&right, chosen_seed());
	race_with_copies(&right);
	foretold = result_of(&right);
	return compare(&result, &foretold, sizeof(result));
}
