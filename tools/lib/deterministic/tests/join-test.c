// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Members one at a time: what a join merges and what it leaves alone, errors, nesting,
 * and the words of the reports.
 */
#include <pthread.h>
#include <sys/mman.h>

#include "check.h"

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

static void *write_memory(void *arg)
{
	const struct memory *memory = arg;

	number = 1;
	memory->heap[3] = 2;
	memory->mapped[1000] = 3;
	*memory->local = 4;
	thread_local_number = 5;
	errno = 6;
	return memory->heap;
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
	void *value = NULL;
	det_t t;

	errno = 0;
	CHECK(det_create(&t, write_memory, &memory) == 0);
	memory.mapped[1001] = 6;
	CHECK(number == 0 && memory.heap[3] == 0 && memory.mapped[1000] == 0);
	CHECK(det_join(t, &value) == 0);
	CHECK(value == memory.heap);
	CHECK(number == 1 && memory.heap[3] == 2 && memory.mapped[1000] == 3);
	CHECK(memory.mapped[1001] == 6);
	CHECK(local == 4);
	CHECK(thread_local_number == 0 && errno == 0);
	CHECK(det_join(t, NULL) == ESRCH);
	munmap(memory.mapped, 1 << 20);
	free(memory.heap);
}

static void *count_thread_local(void *arg)
{
	return thread_local_number++ == 0 ? arg : NULL;
}

/* A member's begins anew, whatever its creator has made of its own. */
static bool begins_anew(void)
{
	void *value = NULL;
	det_t t;

	thread_local_number = 9;
	return det_create(&t, count_thread_local, &number) == 0 &&
	       det_join(t, &value) == 0 && value == &number && thread_local_number == 9;
}

static void *in_thread(void *arg)
{
	return begins_anew() && begins_anew() ? arg : NULL;
}

/*
 * In the master's threads in turn, and when there is but one again. In a static program
 * it does not begin anew.
 */
static void test_thread_local(void)
{
	void *value = NULL;
	pthread_t thread;

	for (int i = 0; i < 3 && !is_static(); i++) {
		CHECK(begins_anew() && begins_anew());
		CHECK(pthread_create(&thread, NULL, in_thread, &number) == 0);
		CHECK(pthread_join(thread, &value) == 0 && value == &number);
	}
	thread_local_number = 0;
}

static void *stop_by_itself(void *arg)
{
	arg = malloc(1000);
	printf("printed when it is discarded\n");
	dret(1);
	return arg;
}

/* A stop that is not the library's, with a value that it uses itself. */
static void test_own_stop(void)
{
	struct det_result result;
	det_t t;

	CHECK(det_create(&t, stop_by_itself, NULL) == 0);
	CHECK(det_join_with(t, 0, &result) == DET_ESTOPPED);
	CHECK(det_discard(t) == 0);
}

/* Mapped by the creator after the library has looked at memory for the first time. */
static void test_new_memory(void)
{
	struct memory memory = { .local = &(volatile int){ 0 } };
	det_t t;

	memory.mapped = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memory.heap = memory.mapped;
	CHECK(det_create(&t, write_memory, &memory) == 0 && det_join(t, NULL) == 0);
	CHECK(memory.mapped[3] == 2 && memory.mapped[1000] == 3);
	munmap(memory.mapped, 1 << 20);
}

static void *copy_other(void *arg)
{
	number = other;
	return arg;
}

static void *copy_number(void *arg)
{
	other = number;
	return arg;
}

static void test_swap(void)
{
	det_t a, b;

	number = 1;
	other = 2;
	CHECK(det_create(&a, copy_other, NULL) == 0);
	CHECK(det_create(&b, copy_number, NULL) == 0);
	CHECK(det_join(b, NULL) == 0 && det_join(a, NULL) == 0);
	CHECK(number == 2 && other == 1);
}

struct share {
	int *element;
	int nr;
};

/* Adds 1 to each element, in a tree; what each is to do is in its creator's frame. */
static void *add_in_tree(void *arg)
{
	const struct share *share = arg;
	int half = share->nr / 2;
	struct share left = { share->element, half };
	struct share right = { share->element + half, half };
	det_t a, b;

	if (share->nr == 1) {
		(*share->element)++;
		return NULL;
	}
	if (det_create(&a, add_in_tree, &left) || det_create(&b, add_in_tree, &right) ||
	    det_join(a, NULL) || det_join(b, NULL))
		*share->element = -1000;
	return NULL;
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

/* A member of a member writes to the master's frame, and to the one in between. */
static void *write_down(void *arg)
{
	**(int **)arg = 7;
	*(int **)arg = NULL;
	return NULL;
}

static void *write_local(void *arg)
{
	int *pointer = arg;
	det_t t;

	if (det_create(&t, write_down, &pointer) || det_join(t, NULL))
		return NULL;
	return pointer ? NULL : arg;
}

static void test_locals(void)
{
	int local = 0;
	void *value = NULL;
	det_t t;

	CHECK(det_create(&t, write_local, &local) == 0 && det_join(t, &value) == 0);
	CHECK(value == &local && local == 7);
}

static void *write_matrix(void *arg)
{
	matrix[1][2] = 7;
	matrix[2][0] = 1;
	return arg;
}

static det_t create_conflict(void)
{
	det_t t = 0;

	memset(matrix, 0, sizeof(matrix));
	CHECK(det_create(&t, write_matrix, NULL) == 0);
	matrix[1][2] = 8;
	return t;
}

static void test_conflict(void)
{
	struct det_result result;
	det_t t = create_conflict();

	CHECK(det_join_with(t, DET_MERGE_GRANULE_4, &result) == DET_ECONFLICT);
	CHECK(result.error == DET_ECONFLICT);
	CHECK(result.status.nr_conflicts == 4);
	CHECK(result.status.addr == (uintptr_t)&matrix[1][2]);
	CHECK(matrix[1][2] == 8 && matrix[2][0] == 0);
	CHECK(says(&result, "conflict: matrix[1][2] (int, 4 bytes)\n"));

	/* The member is still there; the same join fails in the same way. */
	CHECK(det_join_with(t, 0, &result) == DET_ECONFLICT);
	CHECK(det_discard(t) == 0);
	CHECK(det_discard(t) == ESRCH);

	t = create_conflict();
	CHECK(det_join_with(t, DET_MERGE_KEEP, &result) == 0);
	CHECK(matrix[1][2] == 8 && matrix[2][0] == 1);
	CHECK(result.status.nr_conflicts == 1);

	t = create_conflict();
	CHECK(det_join_with(t, DET_MERGE_TAKE, &result) == 0);
	CHECK(matrix[1][2] == 7 && matrix[2][0] == 1);
}

static void test_policy(void)
{
	det_t t;

	CHECK(det_on_conflict(DET_FAIL, 3) == EINVAL);
	CHECK(det_on_conflict(DET_FAIL, 1) == 0);
	t = create_conflict();
	CHECK(det_join(t, NULL) == DET_ECONFLICT && matrix[2][0] == 0);
	CHECK(det_discard(t) == 0);
	CHECK(det_on_conflict(DET_KEEP, 1) == 0);
	t = create_conflict();
	CHECK(det_join(t, NULL) == 0 && matrix[1][2] == 8 && matrix[2][0] == 1);
	CHECK(det_on_conflict(DET_TAKE, 8) == 0);
	t = create_conflict();
	CHECK(det_join(t, NULL) == 0 && matrix[1][2] == 7);
	CHECK(det_on_conflict(DET_REPORT, 1) == 0);
}

static void *write_names(void *arg)
{
	char *heap = arg;

	number = 0x01010101;
	pair[3].value = 1;
	letters[2] = 'a';
	letters[3] = 'a';
	heap[50] = 1;
	return NULL;
}

static void test_names(void)
{
	char *heap = calloc(100, 1);
	struct det_result result;
	char *text;
	det_t t;

	number = 0;
	CHECK(det_create(&t, write_names, heap) == 0);
	number = 0x02000002;	/* of four bytes the outer two differ */
	pair[3].value = 2;
	letters[2] = 'b';
	letters[3] = 'b';
	heap[50] = 2;
	CHECK(det_join_with(t, 0, &result) == DET_ECONFLICT);
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
	det_discard(t);
}

static void *write_nowhere(void *arg)
{
	*(volatile int *)arg = 1;
	return NULL;
}

static void *call_kernel(void *arg)
{
	getppid();
	return arg;
}

static void test_stops(void)
{
	struct det_result result;
	det_t t;

	CHECK(det_create(&t, write_nowhere, (void *)8) == 0);
	CHECK(det_join_with(t, 0, &result) == DET_ESTOPPED);
	CHECK(says(&result, "Segmentation fault, trap 14, at address 0x8\n"));
	CHECK(det_discard(t) == 0);
	CHECK(det_create(&t, call_kernel, NULL) == 0);
	CHECK(det_join_with(t, 0, &result) == DET_ESTOPPED);
	CHECK(says(&result, "made system call 110 (getppid)\n"));
	CHECK(det_discard(t) == 0);
}

static void *add_one(void *arg)
{
	number++;
	return arg;
}

static void test_many(void)
{
	det_t t;

	number = 0;
	for (int i = 0; i < 200; i++)
		if (det_create(&t, add_one, NULL) || det_join(t, NULL))
			break;
	CHECK(number == 200);
}

static void *exit_early(void *arg)
{
	number = 5;
	det_exit(arg);
	number = 6;
	return NULL;
}

/* It leaves one that nobody joins. */
static void *forget(void *arg)
{
	det_t t;

	return det_create(&t, add_one, NULL) ? NULL : arg;
}

static void test_ends(void)
{
	void *value = NULL;
	det_t t;

	CHECK(det_create(&t, exit_early, &number) == 0);
	CHECK(det_join(t, &value) == 0 && value == &number && number == 5);
	CHECK(det_create(&t, forget, &number) == 0);
	CHECK(det_join(t, &value) == 0 && value == &number && number == 5);
	CHECK(det_join(0, NULL) == ESRCH && det_join(77, NULL) == ESRCH);
}

/* Programs that end with a report. */

static void conflicting(void)
{
	det_join(create_conflict(), NULL);
}

static void *conflicting_member(void *arg)
{
	conflicting();
	return arg;
}

static void conflicting_below(void)
{
	det_t t;

	det_create(&t, conflicting_member, NULL);
	det_join(t, NULL);
}

static void faulting(void)
{
	det_t t;

	det_create(&t, write_nowhere, (void *)8);
	det_join(t, NULL);
}

static void calling(void)
{
	det_t t;

	det_create(&t, call_kernel, NULL);
	det_join(t, NULL);
}

static void forbidden(void)
{
	FILE *f = fopen("/proc/sys/kernel/deterministic", "w");

	if (f && fputs("0", f) >= 0)
		fclose(f);
	CHECK(det_available() == EPERM);
	calling();
}

/* Needs root, and gives it back. */
static void test_refusal(void)
{
	FILE *f;

	CHECK(det_available() == 0);
	if (geteuid() != 0)
		return;
	CHECK(ends(forbidden, 66, "libdet: kernel.deterministic=0 forbids spaces"));
	f = fopen("/proc/sys/kernel/deterministic", "w");
	if (f && fputs("1", f) >= 0)
		fclose(f);
}

/* The new process does not have them, and can have its own. */
static void forking(void)
{
	det_t t, own;
	int status;

	number = 0;
	det_create(&t, add_one, NULL);
	if (fork() == 0) {
		if (det_join(t, NULL) != ESRCH || det_create(&own, add_one, NULL) ||
		    det_join(own, NULL) || number != 1)
			_exit(1);
		_exit(0);
	}
	wait(&status);
	det_join(t, NULL);
	printf("fork %d, number %d\n", status, number);
}

static void test_reports(void)
{
	CHECK(ends(forking, 0, "fork 0, number 1\n"));
	CHECK(ends(conflicting, 66, " ended\n"
		   "conflict: matrix[1][2] (int, 4 bytes)\n"
		   "  before 0; here 0x8; the member wrote 0x7\n"
		   "  member "));
	CHECK(ends(conflicting, 66, ": write_matrix(), created in create_conflict()"));
	CHECK(ends(conflicting, 66,
		   "SUMMARY: libdet: conflict matrix[1][2] (int, 4 bytes) in write_matrix\n"));
	CHECK(ends(conflicting_below, 66, "conflict: matrix[1][2] (int, 4 bytes)\n"));
	CHECK(ends(faulting, 66, "Segmentation fault, trap 14, at address 0x8\n"));
	/* With file and line where there is something that knows them. */
	if (!is_static() && !access("/usr/lib/x86_64-linux-gnu/libdw.so.1", R_OK))
		CHECK(ends(conflicting, 66,
			   "write_matrix(), created in create_conflict() at join-test.c:"));
	CHECK(ends(faulting, 66, "  in write_nowhere()"));
	CHECK(ends(calling, 66, "made system call 110 (getppid)\n"));
	if (!is_static())
		CHECK(ends(calling, 66, "  called from call_kernel()"));
}

int main(void)
{
	if (no_spaces())
		return 0;
	test_what_is_merged();
	test_new_memory();
	test_own_stop();
	test_thread_local();
	test_swap();
	test_nested();
	test_locals();
	test_conflict();
	test_policy();
	test_names();
	test_stops();
	test_many();
	test_ends();
	test_reports();
	test_refusal();
	return verdict();
}
