// SPDX-License-Identifier: GPL-2.0-only
/*
 * Prints the frequency of the host's time stamp counter in kHz.
 *
 * Under TCG the guest's counter is the host's.  The guest would measure it
 * against an emulated timer, which fails when the host is busy, and then does
 * not come up.  It is told instead (tsc_early_khz=).
 */
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>

struct sample {
	double ns;
	double ticks;
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_RAW, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

/* Of several readings the one that took least: nothing came between. */
static struct sample sample_take(void)
{
	struct sample best = {};
	double least = 1e18;

	for (int i = 0; i < 30; i++) {
		double before = now();
		unsigned long long ticks = __rdtsc();
		double after = now();

		if (after - before < least) {
			least = after - before;
			best.ns = (before + after) / 2;
			best.ticks = ticks;
		}
	}
	return best;
}

int main(void)
{
	struct timespec pause = { .tv_nsec = 20000000 };
	struct sample a, b;

	a = sample_take();
	nanosleep(&pause, NULL);
	b = sample_take();
	printf("%.0f\n", (b.ticks - a.ticks) / (b.ns - a.ns) * 1e6);
	return 0;
}
