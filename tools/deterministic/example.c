// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two spaces count; each has its own element, and both have element 3.
 */
#include <det.h>

static int counter[4];

static void *count(void *arg)
{
	int *own = arg;

	(*own)++;
	counter[3]++;	/* a race */
	return NULL;
}

int main(void)
{
	struct det_result result;
	det_t space[3];
	int failed = 0;

	for (int i = 1; i <= 2; i++)
		det_create(&space[i], count, &counter[i]);
	for (int i = 1; i <= 2; i++) {
		if (det_join_with(space[i], DET_MERGE_GRANULE_4, &result)) {
			printf("join of space %d:\n", i);
			det_report(&result, stdout);
			failed = 1;
		}
	}
	for (int i = 0; i < 4; i++)
		printf("counter[%d] = %d\n", i, counter[i]);
	return failed;
}
