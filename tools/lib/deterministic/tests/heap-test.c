// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The heap: alone, and with members that allocate, hand over and free. The first part
 * runs on any kernel.
 */
#include <malloc.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "check.h"
#include "layout.h"

#define BLOCKS 2000

static uint64_t random_state = 1;

static uint64_t next_random(void)
{
	random_state = random_state * 6364136223846793005 + 1442695040888963407;
	return random_state >> 33;
}

static size_t in_use(void)
{
	return mallinfo2().uordblks;
}

static bool all_are(const unsigned char *p, int value, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (p[i] != value)
			return false;
	return true;
}

/* Sizes from 0 bytes to 1 MiB, most of them small. */
static size_t some_size(void)
{
	return next_random() % (1UL << next_random() % 21);
}

/* Blocks keep what is written to them, whatever is done to others. */
static void test_random(void)
{
	static unsigned char *block[BLOCKS];
	static size_t size[BLOCKS];
	size_t before = in_use();
	bool right = true;

	for (int i = 0; i < 30000; i++) {
		size_t n = next_random() % BLOCKS, new = some_size();

		if (block[n] && next_random() % 3 == 0) {
			size_t least = size[n] < new ? size[n] : new;

			block[n] = realloc(block[n], new + 1);
			right = right && all_are(block[n], n & 0xff, least);
		} else {
			right = right &&
				(!block[n] || all_are(block[n], n & 0xff, size[n]));
			free(block[n]);
			block[n] = next_random() % 2 ? malloc(new + 1) : calloc(1, new + 1);
		}
		right = right && block[n] && (uintptr_t)block[n] % 16 == 0 &&
			malloc_usable_size(block[n]) > new;
		size[n] = new;
		memset(block[n], n & 0xff, new);
	}
	CHECK(right);
	for (int i = 0; i < BLOCKS; i++) {
		right = right && (!block[i] || all_are(block[i], i & 0xff, size[i]));
		free(block[i]);
	}
	CHECK(right);
	CHECK(in_use() == before);
}

static void test_zeros(void)
{
	bool right = true;

	for (int i = 0; i < 2000; i++) {
		size_t size = some_size();
		unsigned char *p = calloc(1, size);

		right = right && all_are(p, 0, size);
		memset(p, 255, size);
		free(p);
	}
	CHECK(right);
	CHECK(!calloc(SIZE_MAX / 2, 3) && errno == ENOMEM);
	CHECK(!malloc(SIZE_MAX - 100) && errno == ENOMEM);
}

static void test_alignment(void)
{
	bool right = true;
	void *p = NULL;

	for (size_t align = 8; align <= 1 << 20; align *= 2) {
		for (size_t size = 1; size < 200000; size = size * 3 + 1) {
			right = right && posix_memalign(&p, align, size) == 0 &&
				(uintptr_t)p % align == 0 && malloc_usable_size(p) >= size;
			memset(p, 1, size);
			free(p);
		}
	}
	CHECK(right);
	CHECK(posix_memalign(&p, 24, 1) == EINVAL);
	p = aligned_alloc(4096, 4096);
	CHECK((uintptr_t)p % 4096 == 0);
	free(p);
}

static void free_twice(void)
{
	char *p = malloc(10), *volatile q = p;

	free(p);
	free(q);
}

static void free_middle(void)
{
	char *volatile p = malloc(100);

	free(p + 16);
}

static void free_other(void)
{
	static char c[100];
	char *volatile p = c;

	free(p);
}

static void test_mistakes(void)
{
	CHECK(ends(free_twice, 66, "free() of a block that is free already"));
	CHECK(ends(free_middle, 66, "free() of what malloc() has not given"));
	CHECK(ends(free_other, 66, "free() of what malloc() has not given"));
}

/* A list that grows at its creator's, its members' and their members' hands. */
struct node {
	struct node *next;
	long value;
};

static struct node *list[4];

static void *make_list(void *arg)
{
	for (long i = 0; i < 1000; i++) {
		struct node *node = malloc(sizeof(*node));

		node->value = i;
		node->next = list[(long)arg];
		list[(long)arg] = node;
		free(malloc(i * 37 % 5000));
	}
	return strdup("done");
}

static void *free_list(void *arg)
{
	while (list[(long)arg]) {
		struct node *node = list[(long)arg];

		list[(long)arg] = node->next;
		free(node);
	}
	return NULL;
}

/* Children of two make lists; other children, or it, free them. */
static void hand_over(void)
{
	bool right = true;
	det_t t[4];
	void *text;

	for (long i = 0; i < 4; i++)
		right = right && det_create(&t[i], make_list, (void *)i) == 0;
	for (long i = 0; i < 4; i++) {
		right = right && det_join(t[i], &text) == 0 && !strcmp(text, "done");
		free(text);
	}
	for (long i = 0; i < 4; i++) {
		long n = 0;

		for (struct node *node = list[i]; node; node = node->next)
			right = right && node->value == 999 - n++;
		right = right && n == 1000;
	}
	free_list((void *)0);
	for (long i = 1; i < 4; i++)
		right = right && det_create(&t[i], free_list, (void *)i) == 0;
	for (long i = 1; i < 4; i++)
		right = right && det_join(t[i], NULL) == 0;
	CHECK(right);
}

static void test_hand_over(int rounds)
{
	size_t before = 0, spans = 0;

	for (int i = 0; i < rounds; i++) {
		hand_over();
		if (i == 2) {
			before = in_use();
			spans = mallinfo2().arena;
		}
	}
	CHECK(in_use() == before);
	CHECK(mallinfo2().arena == spans);
}

/* A process that is forked before main() has the heap as well. */
static int forked_early = -1;

__attribute__((constructor))
static void fork_early(void)
{
	pid_t pid;

	free(malloc(1000));
	pid = fork();
	if (pid == 0) {
		free(malloc(100000));
		_exit(malloc(10) ? 0 : 1);
	}
	waitpid(pid, &forked_early, 0);
}

static void *all_of_them[64];

/* Of four members two allocate, one frees what its creator has, one does nothing. */
static void some_allocate(void *arg)
{
	unsigned int id = det_id();

	for (int i = 0; i < 64 && id % 2; i++)
		free(malloc(100 * i));
	if (id == 1)
		all_of_them[63] = malloc(1000);
	for (int i = 0; i < 63 && id == 2; i++)
		free(all_of_them[i]);
	(void)arg;
}

static void test_some_allocate(void)
{
	size_t before = 0, spans = 0;

	for (int i = 0; i < 20; i++) {
		for (int j = 0; j < 63; j++)
			all_of_them[j] = malloc(50 * j);
		CHECK(det_parallel(4, some_allocate, NULL) == 0);
		memset(all_of_them[63], 1, 1000);
		free(all_of_them[63]);
		if (i == 2) {
			before = in_use();
			spans = mallinfo2().arena;
		}
	}
	CHECK(in_use() == before && mallinfo2().arena == spans);
}

static void *mine;

static void *free_it(void *arg)
{
	free(mine);
	return arg;
}

/* Two siblings free the same block: the second one's join tells. */
static void both_free(void)
{
	det_t a, b;

	mine = malloc(10);
	det_create(&a, free_it, NULL);
	det_create(&b, free_it, NULL);
	det_join(a, NULL);
	det_join(b, NULL);
}

/* At a barrier blocks change hands between members that go on. */
static void *handed[4];

static void pass_on(void *arg)
{
	unsigned int id = det_id(), next = (id + 1) % 4;
	int *right = arg;

	for (int i = 0; i < 5; i++) {
		handed[id] = calloc(1, 1000);
		((char *)handed[id])[0] = id + 1;
		det_barrier();
		right[id] += ((char *)handed[next])[0] == (char)(next + 1);
		free(handed[next]);
		free(malloc(100));
		det_barrier();
	}
}

/* One frees what is of a member that is joined after it; the others keep theirs. */
static void pass_up(void *arg)
{
	(void)arg;
	handed[det_id()] = malloc(1000);
	det_barrier();
	if (det_id() == 0)
		free(handed[1]);
}

/* A creator with many blocks of the size that its members hand over. */
static void test_barrier(void)
{
	static char *block[3000];
	size_t before = in_use();
	int right[4] = { 0 };
	bool kept = true;

	for (int i = 0; i < 3000; i++)
		block[i] = memset(malloc(1000), i & 0xff, 1000);
	for (int i = 0; i < 3000; i += 2)
		free(block[i]);
	for (int round = 0; round < 3; round++)
		CHECK(det_parallel(4, pass_on, right) == 0);
	for (int i = 0; i < 4; i++)
		CHECK(right[i] == 15);
	CHECK(det_parallel(4, pass_up, NULL) == 0);
	for (int i = 0; i < 3000; i += 2)
		block[i] = memset(malloc(1000), i & 0xff, 1000);
	for (int i = 0; i < 3000; i++) {
		kept = kept && all_are((unsigned char *)block[i], i & 0xff, 1000);
		free(block[i]);
	}
	for (int i = 0; i < 4; i++)
		if (i != 1)
			free(handed[i]);
	CHECK(kept);
	CHECK(in_use() == before);
}

static void *churn(void *arg)
{
	char *keep[64] = { NULL };

	for (long i = 0; i < (long)arg; i++) {
		free(keep[i % 64]);
		keep[i % 64] = malloc(i % 1000);
		keep[i % 64][0] = 1;
	}
	for (int i = 0; i < 64; i++)
		free(keep[i]);
	return NULL;
}

/* Blocks by the million, and no stop for them. */
static void test_churn(long blocks)
{
	size_t before = in_use();
	bool right = true;
	det_t t[4];

	for (int i = 0; i < 4; i++)
		right = right && det_create(&t[i], churn, (void *)blocks) == 0;
	for (int i = 0; i < 4; i++)
		right = right && det_join(t[i], NULL) == 0;
	CHECK(right);
	CHECK(in_use() == before);
}

static void *discarded(void *arg)
{
	memset(malloc(100000), 1, 100000);
	return arg;
}

static void test_discard(void)
{
	size_t before = in_use();
	det_t t;

	for (int i = 0; i < 50; i++)
		CHECK(det_create(&t, discarded, NULL) == 0 && det_discard(t) == 0);
	CHECK(in_use() == before);
}

/* Depth costs a part of the arena each. */
static void *deeper(void *arg)
{
	long depth = (long)arg;
	char *p = malloc(1000);
	void *value = NULL;
	det_t t;

	if (!p)
		return (void *)-1;
	if (depth == 0)
		return (void *)1;
	if (det_create(&t, deeper, (void *)(depth - 1)) || det_join(t, &value))
		return (void *)-2;
	return value;
}

/* KSM reads all of a mapping, page by page: not all of the heap there may be. */

#ifndef PR_SET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE	67
#endif

static bool is_mergeable(const void *p)
{
	FILE *smaps = fopen("/proc/self/smaps", "re");
	unsigned long start, end, address = (unsigned long)p;
	bool here = false, mergeable = false;
	char line[512];

	while (smaps && fgets(line, sizeof(line), smaps)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			here = start <= address && address < end;
		else if (here && strncmp(line, "VmFlags:", 8) == 0)
			mergeable = strstr(line, " mg");
	}
	if (smaps)
		fclose(smaps);
	return mergeable;
}

/* What a program finds that was executed with all of its memory mergeable. */
static int look_at_itself(void)
{
	void *block = malloc(100), *other;
	bool right;

	other = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	right = is_mergeable(other) && !is_mergeable(block) &&
		!is_mergeable((void *)det_block(0, DET_DATA_AT));

	free(block);
	return right ? 0 : 1;
}

static void test_ksm(void)
{
	pid_t pid = fork();
	int status = 0;

	if (pid == 0) {
		if (prctl(PR_SET_MEMORY_MERGE, 1, 0, 0, 0)) {
			puts("# this kernel has no KSM");
			fflush(stdout);
			_exit(0);
		}
		execl("/proc/self/exe", "heap-test", "--mergeable", NULL);
		_exit(1);
	}
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
}

/* The heap becomes smaller, and what the library has reserved for itself. */
static void test_limit(void)
{
	const rlim_t size = 2500UL << 20;
	pid_t pid = fork();
	int status = 0;

	if (pid == 0) {
		setrlimit(RLIMIT_AS, &(struct rlimit){ size, size });
		execl("/proc/self/exe", "heap-test", "--limited", NULL);
		_exit(1);
	}
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
}

int main(int argc, char **argv)
{
	long rounds = argc > 1 ? atol(argv[1]) : 20;
	long blocks = argc > 2 ? atol(argv[2]) : 20000;
	void *value = NULL;

	if (argc > 1 && strcmp(argv[1], "--mergeable") == 0)
		return look_at_itself();
	if (argc > 1 && strcmp(argv[1], "--limited") == 0)
		return malloc(1000) ? 0 : 1;
	test_random();
	test_zeros();
	test_alignment();
	test_mistakes();
	test_limit();
	if (det_version() < 0)
		return verdict();
	test_ksm();
	test_hand_over(rounds);
	test_some_allocate();
	CHECK(forked_early == 0);
	CHECK(ends(both_free, 66, "free() of a block that is free already"));
	test_barrier();
	test_churn(blocks);
	test_discard();
	value = deeper((void *)12);
	CHECK(value == (void *)1);
	return verdict();
}
