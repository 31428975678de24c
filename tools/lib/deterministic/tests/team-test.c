// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Teams: loops, barriers, collectives, teams in teams, and members that do not do what
 * the others do.
 */
#include <signal.h>

#include "check.h"

#define N 1000

static long square[N];
static int seen[64];

static void square_one(long i, void *arg)
{
	square[i] = i * i + *(long *)arg;
}

static void fill(long from, long to, void *arg)
{
	for (long i = from; i < to; i++)
		square[i] = (long)arg;
}

static void test_loops(void)
{
	long one = 1, wrong = 0;

	for (unsigned int n = 1; n <= 7; n += 3) {
		memset(square, 0, sizeof(square));
		CHECK(det_for(n, 0, N, square_one, &one) == 0);
		for (long i = 0; i < N; i++)
			wrong += square[i] != i * i + 1;
	}
	CHECK(det_for_range(3, 10, 20, fill, (void *)5) == 0);
	for (long i = 0; i < N; i++)
		wrong += square[i] != (i >= 10 && i < 20 ? 5 : i * i + 1);
	CHECK(wrong == 0);
	CHECK(det_for(4, 5, 5, square_one, &one) == 0);
	CHECK(det_for(4, 5, -5, square_one, &one) == 0);
	CHECK(det_for(0, 0, 1, square_one, &one) == EINVAL);
}

static void note_self(void *arg)
{
	seen[det_id()] = det_size() + (long)arg;
}

static void test_numbers(void)
{
	bool right = true;

	CHECK(det_id() == 0 && det_size() == 1);
	CHECK(det_parallel(64, note_self, (void *)100) == 0);
	for (int i = 0; i < 64; i++)
		right = right && seen[i] == 164;
	CHECK(right);
	det_barrier();			/* of a team of one */
	CHECK(det_sum(2.5) == 2.5);
}

/* Each takes over what its neighbour has, ten times. */
static void rotate(void *arg)
{
	int *ring = arg;
	unsigned int next = (det_id() + 1) % det_size();

	for (int i = 0; i < 10; i++) {
		int value = ring[next];

		det_barrier();
		ring[det_id()] = value;
		det_barrier();
	}
}

static void test_barrier(void)
{
	int ring[8];			/* of our frame */
	bool right = true;

	for (int i = 0; i < 8; i++)
		ring[i] = i;
	CHECK(det_parallel(8, rotate, ring) == 0);
	for (int i = 0; i < 8; i++)
		right = right && ring[i] == (i + 10) % 8;
	CHECK(right);
}

struct pair {
	double value;
	long index;
};

static void larger(void *into, const void *from)
{
	struct pair *a = into;
	const struct pair *b = from;

	if (b->value > a->value)
		*a = *b;
}

static void add(void *into, const void *from)
{
	*(long *)into += *(const long *)from;
}

static struct {
	double sum, min, max;
	long sum_int, min_int, max_int, scan, bcast;
	struct pair best;
	int error;
} got[5];

static void all_collectives(void *arg)
{
	unsigned int id = det_id();
	double x = 1.0 / (id + 3);

	(void)arg;
	got[id].sum = det_sum(x);
	got[id].min = det_min(x);
	got[id].max = det_max(x);
	got[id].sum_int = det_sum_int(id);
	got[id].min_int = det_min_int(-(long)id);
	got[id].max_int = det_max_int(id);
	got[id].best = (struct pair){ id == 3 ? 9 : id, id };
	det_reduce(&got[id].best, sizeof(got[id].best), larger);
	got[id].scan = id + 1;
	det_scan(&got[id].scan, sizeof(long), add);
	got[id].bcast = id * 10;
	det_bcast(&got[id].bcast, sizeof(long), 2);
	got[id].error = det_reduce(NULL, 5000, add);
}

static void test_collectives(void)
{
	double sum = 1.0 / 3;
	bool right = true;

	for (int i = 1; i < 5; i++)
		sum += 1.0 / (i + 3);
	CHECK(det_parallel(5, all_collectives, NULL) == 0);
	for (int i = 0; i < 5; i++) {
		right = right && got[i].sum == sum && got[i].min == 1.0 / 7 &&
			got[i].max == 1.0 / 3 && got[i].sum_int == 10 &&
			got[i].min_int == -4 && got[i].max_int == 4 &&
			got[i].best.index == 3 && got[i].bcast == 20 &&
			got[i].scan == (i + 1) * (i + 2) / 2 && got[i].error == EINVAL;
	}
	CHECK(right);
}

static int cube[4][4][4];

static void third(long i, void *arg)
{
	int *row = arg;

	row[i] += 1;
}

static void second(long i, void *arg)
{
	int (*plane)[4] = arg;

	det_for(4, 0, 4, third, plane[i]);
}

static void first(long i, void *arg)
{
	(void)arg;
	det_for(4, 0, 4, second, cube[i]);
}

/* In each of three teams of three, a ring; its array is in the frame of a member. */
static void ring_in_member(void *arg)
{
	int *result = arg, ring[3] = { 0, 1, 2 };

	det_parallel(3, rotate, ring);
	det_barrier();
	result[det_id()] = ring[0] + 3 * ring[1] + 9 * ring[2];
}

static void test_nested(void)
{
	int result[3] = { 0 };
	bool right = true;

	CHECK(det_for(4, 0, 4, first, NULL) == 0);
	for (int i = 0; i < 64; i++)
		right = right && (&cube[0][0][0])[i] == 1;
	CHECK(right);
	CHECK(det_parallel(3, ring_in_member, result) == 0);
	for (int i = 0; i < 3; i++)
		CHECK(result[i] == 1 + 3 * 2 + 9 * 0);
}

/* The second keeps going for a while; somebody types Ctrl-\ meanwhile. */
static void dawdle(void *arg)
{
	if (det_id() == 0)
		det_barrier();
	for (volatile unsigned long i = 0; i < 800000000; i++)
		;
	if (det_id() == 1)
		det_barrier();
	*(int *)arg = 1;
}

static void standing(void)
{
	int done = 0;
	pid_t parent = getpid();

	if (fork() == 0) {
		usleep(800000);
		kill(parent, SIGQUIT);
		_exit(0);
	}
	det_on_conflict(DET_TAKE, 1);
	det_parallel(2, dawdle, &done);
	printf("done %d\n", done);
}

static int counter;

static void race(void *arg)
{
	(void)arg;
	counter += det_id() + 1;
	det_barrier();
}

static void racing(void)
{
	det_parallel(3, race, NULL);
}

static void leave(void *arg)
{
	(void)arg;
	if (det_id() != 1)
		det_barrier();
	counter = 0;
}

static void leaving(void)
{
	det_parallel(3, leave, NULL);
}

static void ends_early(void *arg)
{
	int *done = arg;

	det_barrier();
	done[det_id()] = 1;
	if (det_id() == 0)
		det_exit(NULL);
	done[det_id()] = 2;
}

static void fault(void *arg)
{
	det_barrier();
	if (det_id() == 2)
		*(volatile int *)arg = 1;
	det_barrier();
}

static void faulting(void)
{
	det_parallel(4, fault, (void *)16);
}

static void differ(void *arg)
{
	(void)arg;
	if (det_id())
		det_sum(1);
	else
		det_max(1);
}

static void differing(void)
{
	det_parallel(2, differ, NULL);
}

static void test_failures(void)
{
	static struct outcome outcome;
	int done[2] = { 0 };

	CHECK(ends(racing, 66,
		   "WARNING: libdet: conflict when member 1 of 3 reached a barrier\n"
		   "conflict: counter (int, 4 bytes)\n"
		   "  before 0; here 0x1; the member wrote 0x2\n"));
	CHECK(ends(leaving, 66, "member 0 of 3 is at the barrier in leave()"));
	CHECK(ends(leaving, 66, ", member 1 of 3 has ended\n"));
	CHECK(ends(faulting, 66, "member 2 of 4 was stopped\n"
		   "  Segmentation fault, trap 14, at address 0x10\n"));
	run_program(standing, &outcome);
	CHECK(outcome.status == 0 && strstr(outcome.text, "done 1\n"));
	CHECK(strstr(outcome.text, "libdet: 2 members\n  member 0 of 2: dawdle(), created"));
	CHECK(strstr(outcome.text, ": is at the barrier in dawdle()"));
	CHECK(strstr(outcome.text, ": runs\n"));
	CHECK(ends(differing, 66, "different collectives"));
	CHECK(det_parallel(2, ends_early, done) == 0);
	CHECK(done[0] == 1 && done[1] == 2);
	CHECK(det_on_conflict(DET_TAKE, 1) == 0);
	counter = 0;
	CHECK(det_parallel(3, race, NULL) == 0 && counter == 3);
	det_on_conflict(DET_REPORT, 1);
}

/* What holds for threads as well, and one after another. */
int main(void)
{
	const char *options = getenv("DET_OPTIONS");
	bool plain = options && strstr(options, "backend=");

	if (!plain && no_spaces())
		return 0;
	test_loops();
	test_numbers();
	test_barrier();
	test_collectives();
	test_nested();
	if (!plain)
		test_failures();
	return verdict();
}
