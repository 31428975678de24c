// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two spaces count; each has its own element, and both have element 3.
 */
#include <det.h>

static int counter[4];

static void count(void *arg)
{
	int *own = arg;

	(*own)++;
	counter[3]++;	/* a race */
}

int main(void)
{
	struct det_result result;
	int failed = 0;

	for (int i = 1; i <= 2; i++)
		det_fork(i, count, &counter[i]);
	for (int i = 1; i <= 2; i++) {
		if (det_join(i, DET_MERGE_GRANULE_4, &result) < 0) {
			printf("join of space %d:\n", i);
			det_report(&result, stdout);
			failed = 1;
		}
	}
	for (int i = 0; i < 4; i++)
		printf("counter[%d] = %d\n", i, counter[i]);
	return failed;
}
