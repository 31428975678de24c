// SPDX-License-Identifier: GPL-2.0-only
/*
 * A program with a race, and nothing else in it that could differ from run to
 * run: each worker counts in an element of its own, and all count in
 * element 5 as well.
 *
 * Threads lose some of each other's counts there, more or less as they happen
 * to be scheduled. In spaces the first join gets its count, and those after it
 * are conflicts, named by the symbol table: the same report in every run.
 */
#include <det.h>

#include "common.h"

#define ELEMENTS	8
#define RACY		5

static volatile int counter[ELEMENTS];

static void count(unsigned int w, void *arg)
{
	int times = *(const int *)arg;

	for (int i = 0; i < times; i++) {
		counter[w]++;
		counter[RACY]++;
	}
}

static const char *option_times = "5000000";

static const struct option_spec options[] = {
	{ "times", "N", "how often each counts (default 5000000)",
	  &option_times },
	{ NULL, NULL, NULL, NULL }
};

static const struct program program = {
	"drace", "",
	"Workers (at most 5) count in the elements of an array, each in its own, and\n"
	"by mistake all in element 5. Prints what became of it.", options, HAS_WORKERS
};

int main(int argc, char **argv)
{
	int i = parse_options(&program, argc, argv);
	enum run_mode mode = chosen_mode();
	unsigned int workers = chosen_workers();
	int times = parse_number("--times", option_times, 0, 1 << 28);

	if (i < argc)
		die("no argument is needed: %s", argv[i]);
	if (workers > RACY)
		die("--workers must be at most %d", RACY);
	if (mode == MODE_PROCESSES)
		die("--mode=processes would give each worker counters of its own");
	start_work();
	run_workers(mode, workers, count, &times, DET_MERGE_GRANULE_4, stdout);
	end_work();
	for (i = 0; i < ELEMENTS; i++)
		printf("counter[%d] = %d\n", i, counter[i]);
	return STATUS_OK;
}
