// SPDX-License-Identifier: GPL-2.0-only
/*
 * fuzz: random sequences of dput and dget on the kernel and on a model of it,
 * compared. See README.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "exec.h"
#include "try.h"

#define BATCH 16		/* sequences of one master */
#define PERIOD 64		/* batches between two counts of what is left */

static u64 seed = 1;
static unsigned long wanted = 1000, seconds, length = 10;
static bool verbose;
static const char *replay;

static u64 total_steps;
static unsigned long total, different;

static u64 now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec;
}

static const char *verdict_name(enum verdict v)
{
	static const char * const name[] = {
		"same", "different", "the master died", "hung",
		"the kernel complains", "left behind",
	};

	return name[v];
}

static void print_found(const struct sequence *q, const struct trial *t)
{
	printf("# %s, step %u: %s\n", verdict_name(t->verdict), t->step + 1,
	       t->why);
	print_sequence(stdout, q);
	fflush(stdout);
}

/* A sequence that failed in a batch: alone, and then shorter. */
static void found(const struct sequence *batch, u32 nr, struct trial *t)
{
	struct sequence q = batch[t->sequence];
	enum verdict kind = t->verdict;
	u32 i;

	different++;
	for (i = 0; i < nr; i++) {
		struct trial alone;
		u32 which = (t->sequence + i) % nr;

		try_again(&batch[which], kind, &alone);
		if (alone.verdict != kind)
			continue;
		q = batch[which];
		*t = alone;
		printf("# found with seed %" PRIu64 ", %u steps: %s\n", q.seed,
		       q.nr, t->why);
		fflush(stdout);
		if (kind != V_HUNG)
			shrink(&q, kind, t);
		print_found(&q, t);
		return;
	}
	printf("# not found again alone; seeds %" PRIu64 " to %" PRIu64 "\n",
	       batch[0].seed, batch[nr - 1].seed);
	print_found(&q, t);
}

static u32 draw_batch(struct sequence *q)
{
	u32 i;

	for (i = 0; i < BATCH && total + i < wanted; i++)
		draw_sequence(&q[i], seed + total + i, length);
	return i;
}

static bool run_batch(struct sequence *q, u32 nr)
{
	struct trial t;

	try_sequences(q, nr, 1, &t);
	total += nr;
	total_steps += t.steps;
	if (t.verdict == V_SAME)
		return true;
	found(q, nr, &t);
	return false;
}

/* Something has grown since: which of these sequences does it? */
static bool hunt(u64 first, u32 nr)
{
	static struct sequence q[BATCH];
	struct counts before, after;
	struct trial t;
	u32 i, n;
	long by;

	for (; nr; nr -= n, first += n) {
		n = nr < BATCH ? nr : BATCH;
		for (i = 0; i < n; i++)
			draw_sequence(&q[i], first + i, length);
		try_sequences(q, n, 2, &t);
		watch_count(&before);
		try_sequences(q, n, 40, &t);
		watch_count(&after);
		if (!watch_grown(&before, &after, 40, &by))
			continue;
		t.verdict = V_LEFT;
		t.sequence = 0;
		found(q, n, &t);
		return true;
	}
	return false;
}

/* What is left after a period: more than a little of it is looked into. */
static bool count_left(struct counts *before, u64 first)
{
	struct counts after;
	const char *what;
	u32 nr = seed + total - first;
	bool ok = true;
	long by;

	watch_count(&after);
	what = watch_grown(before, &after, 0, &by);
	if (verbose) {
		printf("# %lu sequences\n", total);
		watch_print(stdout, before, &after);
	}
	if (what) {
		printf("# %s: %+ld after %u sequences\n", what, by, nr);
		fflush(stdout);
		ok = !hunt(first, nr);
		if (ok)
			puts("# none of them does it each time");
		watch_count(&after);
	}
	*before = after;
	return ok;
}

static void run_all(void)
{
	static struct sequence q[BATCH];
	struct counts before;
	u64 end = now() + seconds, first = seed;
	bool ok = true;
	u32 batches = 0;

	if (seconds)
		wanted = -1UL;
	while (ok && total < wanted && (!seconds || now() < end)) {
		ok = run_batch(q, draw_batch(q));
		if (!ok)
			break;
		/* The first batches fill the kernel's caches. */
		if (++batches == 4) {
			watch_count(&before);
			first = seed + total;
		} else if (batches > 4 && batches % PERIOD == 0) {
			ok = count_left(&before, first);
			first = seed + total;
		}
	}
	if (ok && batches > 8 && first != seed + total)
		count_left(&before, first);
}

static void run_file(void)
{
	FILE *f = strcmp(replay, "-") ? fopen(replay, "re") : stdin;
	static struct sequence q;
	struct trial t;

	if (!f || !read_sequence(f, &q)) {
		fprintf(stderr, "fuzz: cannot read %s\n", replay);
		exit(2);
	}
	seed = q.seed;
	try_again(&q, V_DIFFERENT, &t);
	if (t.verdict == V_SAME)
		try_again(&q, V_LEFT, &t);
	total = 1;
	total_steps = t.steps;
	different = t.verdict != V_SAME;
	if (different)
		print_found(&q, &t);
}

static void usage(void)
{
	fputs("usage: fuzz [-s SEED] [-n SEQUENCES | -t SECONDS] [-l STEPS] [-v]\n"
	      "       fuzz -r FILE      run a written sequence (-: from stdin)\n"
	      "       -b N              break the model in one of several ways\n"
	      "       -p                print the sequences, run nothing\n",
	      stderr);
	exit(2);
}

static bool print_only;

static void options(int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "s:n:t:l:r:b:vp")) != -1) {
		switch (c) {
		case 's':
			seed = strtoull(optarg, NULL, 0);
			break;
		case 'n':
			wanted = strtoul(optarg, NULL, 0);
			break;
		case 't':
			seconds = strtoul(optarg, NULL, 0);
			break;
		case 'l':
			length = strtoul(optarg, NULL, 0);
			break;
		case 'r':
			replay = optarg;
			break;
		case 'b':
			fault = atoi(optarg);
			break;
		case 'v':
			verbose = true;
			break;
		case 'p':
			print_only = true;
			break;
		default:
			usage();
		}
	}
	if (optind < argc || !length || length > MAX_STEPS || fault >= NR_FAULTS)
		usage();
}

static void print_all(void)
{
	static struct sequence q;
	unsigned long i;

	for (i = 0; i < wanted; i++) {
		draw_sequence(&q, seed + i, length);
		print_sequence(stdout, &q);
	}
}

#define NO_CALL (-38L)

int main(int argc, char **argv)
{
	options(argc, argv);
	if (print_only) {
		print_all();
		return 0;
	}
	if (raw_call(true, 0, NULL, 0) == NO_CALL) {
		puts("fuzz: this kernel has no dput");
		return 4;
	}
	watch_init();
	if (!try_init()) {
		fputs("fuzz: cannot prepare\n", stderr);
		return 2;
	}
	if (replay)
		run_file();
	else
		run_all();
	printf("fuzz: %lu sequences, %" PRIu64 " operations, %lu different, seed %" PRIu64 "\n",
	       total, total_steps, different, seed);
	return different ? 1 : 0;
}
