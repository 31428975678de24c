// SPDX-License-Identifier: GPL-2.0-only
/*
 * Threads that race for every word of a small array, and make numbers of what
 * they read: whatever their order was, the numbers tell. After the idea of racey
 * (Mark Hill). With pthreads the result may differ from run to run; in spaces,
 * which are joined in order and the later one's bytes win, it does not.
 *
 *	racey spaces|pthreads
 */
#include <det.h>
#include <pthread.h>
#include <string.h>

#define WORKERS 4
#define ROUNDS 6
#define TURNS 20000
#define WORDS 64

static unsigned int word[WORDS], own[WORKERS];

static unsigned int blend(unsigned int a, unsigned int b)
{
	return (a ^ b << 5 ^ b >> 27) * 2654435761u + 12345;
}

static void *work(void *arg)
{
	unsigned int *mine = arg, x = *mine;

	for (int i = 0; i < TURNS; i++) {
		x = blend(x, ((volatile unsigned int *)word)[x % WORDS]);
		((volatile unsigned int *)word)[x / WORDS % WORDS] = x;
	}
	*mine = x;
	return NULL;
}

static int in_spaces(void)
{
	det_t space[WORKERS];

	for (int i = 0; i < WORKERS; i++)
		if (det_create(&space[i], work, &own[i]))
			return -1;
	for (int i = 0; i < WORKERS; i++)
		if (det_join_with(space[i], DET_MERGE_TAKE, NULL))
			return -1;
	return 0;
}

static void *thread(void *arg)
{
	work(arg);
	return NULL;
}

static int in_threads(void)
{
	pthread_t t[WORKERS];

	for (int i = 0; i < WORKERS; i++)
		if (pthread_create(&t[i], NULL, thread, &own[i]))
			return -1;
	for (int i = 0; i < WORKERS; i++)
		pthread_join(t[i], NULL);
	return 0;
}

int main(int argc, char **argv)
{
	int (*round)(void) = NULL;
	unsigned int sum = 0;

	if (argc == 2 && !strcmp(argv[1], "spaces"))
		round = in_spaces;
	else if (argc == 2 && !strcmp(argv[1], "pthreads"))
		round = in_threads;
	if (!round) {
		fprintf(stderr, "usage: racey spaces|pthreads\n");
		return 2;
	}
	for (int i = 0; i < WORKERS; i++)
		own[i] = i + 1;
	for (int i = 0; i < ROUNDS; i++) {
		if (round()) {
			perror("racey");
			return 1;
		}
		for (int w = 0; w < WORDS; w++)
			sum = blend(sum, word[w]);
		for (int w = 0; w < WORKERS; w++)
			sum = blend(sum, own[w]);
		printf("round %d: %08x\n", i, sum);
	}
	return 0;
}
