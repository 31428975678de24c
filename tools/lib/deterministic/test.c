// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Tests the library on a kernel with spaces: what a join merges and what it
 * leaves alone, errors, and the words of the reports.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "det.h"

struct pair {
	char name[4];
	int value;
};

static int number, other;
static int matrix[3][4];
/* Not static: nobody reads them, and the compiler could leave them out. */
struct pair pair[5];
char letters[8];
static __thread int thread_local_number;

static unsigned int passed, failed;

static void check(bool ok, const char *what)
{
	if (ok)
		passed++;
	else
		failed++;
	if (!ok)
		printf("FAILED: %s\n", what);
}

#define CHECK(condition)	check(condition, #condition)

/* What det_report() says; the caller frees it. */
static char *words(const struct det_result *result)
{
	char *text = NULL;
	size_t size;
	FILE *to = open_memstream(&text, &size);

	det_report(result, to);
	fclose(to);
	return text;
}

static int count_lines(const char *text)
{
	int lines = 0;

	for (; *text; text++)
		lines += *text == '\n';
	return lines;
}

static bool says(const struct det_result *result, const char *want)
{
	char *text = words(result);
	bool same = strcmp(text, want) == 0;

	if (!same)
		printf("it says:\n%snot:\n%s", text, want);
	free(text);
	return same;
}

struct memory {
	int *heap, *mapped;
	volatile int *local;
};

static void write_memory(void *arg)
{
	const struct memory *memory = arg;

	number = 1;
	memory->heap[3] = 2;
	memory->mapped[1000] = 3;
	*memory->local = 4;
	thread_local_number = 5;
}

static void test_what_is_merged(void)
{
	volatile int local = 0;
	struct memory memory = {
		.heap = calloc(10, sizeof(int)),
		.mapped = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
		.local = &local,
	};

	CHECK(det_fork(1, write_memory, &memory) == 0);
	memory.mapped[1001] = 6;
	CHECK(number == 0 && memory.heap[3] == 0 && memory.mapped[1000] == 0);
	CHECK(det_join(1, 0, NULL) == 0);
	CHECK(number == 1 && memory.heap[3] == 2 && memory.mapped[1000] == 3);
	CHECK(memory.mapped[1001] == 6);
	CHECK(local == 0);
	CHECK(thread_local_number == 0);
	CHECK(det_join(1, 0, NULL) == -1 && errno == ESRCH);
	munmap(memory.mapped, 1 << 20);
	free(memory.heap);
}

static void copy_other(void *arg)
{
	(void)arg;
	number = other;
}

static void copy_number(void *arg)
{
	(void)arg;
	other = number;
}

static void test_swap(void)
{
	number = 1;
	other = 2;
	CHECK(det_fork(1, copy_other, NULL) == 0);
	CHECK(det_fork(2, copy_number, NULL) == 0);
	CHECK(det_join(1, 0, NULL) == 0 && det_join(2, 0, NULL) == 0);
	CHECK(number == 2 && other == 1);
}

struct share {
	int *element;
	int nr;
};

/* Adds 1 to each element, in a tree of spaces. */
static void add_in_tree(void *arg)
{
	const struct share *share = arg;
	int half = share->nr / 2;
	struct share left = { share->element, half };
	struct share right = { share->element + half, half };

	if (share->nr == 1) {
		(*share->element)++;
		return;
	}
	if (det_fork(0, add_in_tree, &left) < 0 ||
	    det_fork(1, add_in_tree, &right) < 0 ||
	    det_join(0, 0, NULL) < 0 || det_join(1, 0, NULL) < 0)
		*share->element = -1000;
}

static void test_nested(void)
{
	static int element[8];
	struct share all = { element, 8 };
	bool right = true;

	add_in_tree(&all);
	for (int i = 0; i < 8; i++)
		right = right && element[i] == 1;
	CHECK(right);
}

static void write_matrix(void *arg)
{
	(void)arg;
	matrix[1][2] = 7;
	matrix[2][0] = 1;
}

static void fork_conflict(void)
{
	memset(matrix, 0, sizeof(matrix));
	CHECK(det_fork(1, write_matrix, NULL) == 0);
	matrix[1][2] = 8;
}

static void test_conflict(void)
{
	struct det_result result;

	fork_conflict();
	CHECK(det_join(1, DET_MERGE_GRANULE_4, &result) == -1);
	CHECK(errno == DET_ECONFLICT && result.error == DET_ECONFLICT);
	CHECK(result.status.nr_conflicts == 4);
	CHECK(result.status.addr == (uintptr_t)&matrix[1][2]);
	CHECK(matrix[1][2] == 8 && matrix[2][0] == 0);
	CHECK(says(&result, "conflict: matrix[1][2] (int, 4 bytes)\n"));

	/* The child is still there; the same join fails in the same way. */
	CHECK(det_join(1, 0, &result) == -1 && errno == DET_ECONFLICT);
	CHECK(det_discard(1) == 0);
	CHECK(det_discard(1) == -1 && errno == ESRCH);

	fork_conflict();
	CHECK(det_join(1, DET_MERGE_KEEP, &result) == 0);
	CHECK(matrix[1][2] == 8 && matrix[2][0] == 1);
	CHECK(result.status.nr_conflicts == 1);

	fork_conflict();
	CHECK(det_join(1, DET_MERGE_TAKE, &result) == 0);
	CHECK(matrix[1][2] == 7 && matrix[2][0] == 1);
}

static void write_names(void *arg)
{
	char *heap = arg;

	number = 0x01010101;
	pair[3].value = 1;
	letters[2] = 'a';
	letters[3] = 'a';
	heap[50] = 1;
}

static void test_names(void)
{
	char *heap = calloc(100, 1);
	struct det_result result;
	char *text;

	number = 0;
	CHECK(det_fork(1, write_names, heap) == 0);
	number = 0x02000002;	/* of four bytes the outer two differ */
	pair[3].value = 2;
	letters[2] = 'b';
	letters[3] = 'b';
	heap[50] = 2;
	CHECK(det_join(1, 0, &result) == -1);
	text = words(&result);
	CHECK(strstr(text, "conflict: number (int, 4 bytes)\n"));
	CHECK(strstr(text, "conflict: pair[3] (struct pair, 8 bytes)\n"));
	CHECK(strstr(text, "conflict: letters[2] (char, 1 byte)\n"));
	CHECK(strstr(text, "conflict: letters[3] (char, 1 byte)\n"));
	CHECK(strstr(text, "conflict: heap+"));
	CHECK(count_lines(text) == 5);
	if (failed)
		fputs(text, stdout);
	free(text);
	free(heap);
	det_discard(1);
}

static void write_nowhere(void *arg)
{
	*(volatile int *)arg = 1;
}

static void call_kernel(void *arg)
{
	(void)arg;
	getppid();
}

static void test_stops(void)
{
	struct det_result result;

	CHECK(det_fork(1, write_nowhere, (void *)8) == 0);
	CHECK(det_join(1, 0, &result) == -1 && errno == DET_ESTOPPED);
	CHECK(says(&result,
		   "space 1: Segmentation fault, trap 14, at address 0x8\n"));
	/* In place of what was there. */
	CHECK(det_fork(1, call_kernel, NULL) == 0);
	CHECK(det_join(1, 0, &result) == -1 && errno == DET_ESTOPPED);
	CHECK(says(&result, "space 1: made system call 110\n"));
	CHECK(det_discard(1) == 0);
}

static void add_one(void *arg)
{
	(void)arg;
	number++;
}

static void test_many(void)
{
	number = 0;
	for (int i = 0; i < 200; i++)
		if (det_fork(i % 3, add_one, NULL) < 0 ||
		    det_join(i % 3, 0, NULL) < 0)
			break;
	CHECK(number == 200);
}

int main(void)
{
	if (det_version() < 0) {
		puts("0 passed, 0 failed, 1 skipped");
		return 0;
	}
	test_what_is_merged();
	test_swap();
	test_nested();
	test_conflict();
	test_names();
	test_stops();
	test_many();
	printf("%u passed, %u failed, 0 skipped\n", passed, failed);
	return failed != 0;
}
