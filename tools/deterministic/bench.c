// SPDX-License-Identifier: GPL-2.0-only
/*
 * What operations on spaces cost, and what a program would do instead: "det-bench
 * NAME" measures one, in a process that has done nothing else, and prints "name
 * nanoseconds text"; --list prints the names. Where the guest's clock counts
 * instructions (boot --accel icount) these are instructions, of user and kernel;
 * with --profile the host can log which. What is called memory is in KiB.
 *
 * Each operation is timed alone, after some that are not; the median counts, so
 * that a timer's interrupt in between does not.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <det.h>

#include "common.h"

#define PAGE		4096UL
#define MIB		(1UL << 20)
#define HUGE		(2 * MIB)
#define WARM_UP		3
#define MAX_ROUNDS	101
#define LOGGED_ROUNDS	9
#define TEAM		4
#define BARRIERS	16

/* Not one of the library's: those are larger. */
#define CHILD		7

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static const char *option_list, *option_profile;

/*
 * In a log of all that is executed these show where a series of rounds begins, and
 * each of its rounds. They are called when the clock is not looked at.
 */
#define MARK(name)				\
static __attribute__((noipa)) void name(void)	\
{						\
	asm volatile("");			\
}

MARK(series_begins)
MARK(round_begins)
MARK(round_ends)

/* Once, when the setup is over: the host needs a moment to switch its log on. */
static void await_log(void)
{
	static bool is_on;

	if (!option_profile || is_on)
		return;
	printf("profile %p %p %p\n", (void *)series_begins, (void *)round_begins,
	       (void *)round_ends);
	fflush(stdout);
	is_on = getchar() != EOF;
	if (!is_on)
		die("--profile waits for a line on its standard input, and that has ended");
}

static double median_of(void (*operation)(void), int rounds)
{
	double took[MAX_ROUNDS], began;

	await_log();
	series_begins();
	for (int i = -WARM_UP; i < rounds; i++) {
		if (i >= 0)
			round_begins();
		began = now();
		operation();
		if (i < 0)
			continue;
		took[i] = now() - began;
		round_ends();
	}
	qsort(took, rounds, sizeof(*took), by_value);
	return took[rounds / 2];
}

static void nothing(void)
{
}

/* A log takes long, and the middle of a few is as good. */
static int rounds_of(int rounds)
{
	return option_profile && rounds > LOGGED_ROUNDS ? LOGGED_ROUNDS : rounds;
}

/* Without what it costs to look at the clock. */
static double cost_of(void (*operation)(void), int rounds)
{
	rounds = rounds_of(rounds);
	return median_of(operation, rounds) - median_of(nothing, rounds);
}

/* What each of @n further things costs. */
static double cost_of_each(double one, double more, int n)
{
	if (option_profile)
		printf("profile each of %d\n", n);
	return (more - one) / n;
}

/* The memory that a space changes; nothing else is copied again, or merged. */
static char *arena;
static size_t arena_size;

/* What a space changes of it in a round. */
static size_t pages = 1;
static bool whole_pages;

static void make_arena(size_t size, bool huge)
{
	char *p = mmap(NULL, size + HUGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		die("no memory for %zu MiB", size / MIB);
	arena = (char *)(((uintptr_t)p + HUGE - 1) & -HUGE);
	arena_size = size;
	madvise(arena, size, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	for (size_t i = 0; i < size; i += PAGE)
		arena[i] = 1;
}

static struct det_args args_of(uint64_t flags, const struct det_op *op,
			       struct det_status *status)
{
	return (struct det_args){
		.flags = flags, .notify_fd = -1,
		.ops = (uintptr_t)op, .nr_ops = !!op, .op_size = sizeof(*op),
		.status = (uintptr_t)status,
		.status_size = status ? sizeof(*status) : 0,
	};
}

static long put(uint64_t child, uint64_t flags, const struct det_op *op,
		struct det_status *status)
{
	struct det_args args = args_of(flags, op, status);
	long ret = dput(child, &args, sizeof(args));

	if (ret < 0)
		die("dput: %m");
	return ret;
}

static void get(uint64_t child, const struct det_op *op, struct det_status *status)
{
	struct det_args args = args_of(0, op, status);

	if (dget(child, &args, sizeof(args)) < 0)
		die("dget: %m");
}

static struct det_op on_arena(unsigned int op)
{
	return (struct det_op){
		.op = op, .caller = (uintptr_t)arena, .child = (uintptr_t)arena,
		.len = arena_size,
	};
}

/* Each page gets another content than it had, in all bytes or in eight. */
static inline __attribute__((always_inline)) void change_pages(void)
{
	for (size_t i = 1; i <= pages; i++) {
		char *page = arena + i * PAGE;

		if (whole_pages)
			memset(page, *page + 1, PAGE);
		else
			++*(volatile uint64_t *)page;
	}
}

static void stop_only(void)
{
}

/* A space that does @each, stops, and does it again when it is started again. */
static void make_space(uint64_t child, uint64_t flags, void (*each)(void))
{
	struct det_op whole = { .op = DET_COPY, .flags = DET_COPY_WHOLE };

	if (put(child, DET_FORK | flags, &whole, NULL) != 0)
		return;
	for (;;) {
		each();
		dret(0);
	}
}

/* The same for change_pages(): it writes nothing else, not to its stack either. */
static void make_changing_space(void)
{
	struct det_op whole = { .op = DET_COPY, .flags = DET_COPY_WHOLE };

	if (put(CHILD, DET_FORK | DET_START, &whole, NULL) != 0)
		return;
	for (;;) {
		long number = __NR_dret;

		change_pages();
		asm volatile("syscall" : "+a" (number) : "D" (0L)
			     : "rcx", "r11", "memory");
	}
}

static void expect_stop(uint32_t reason)
{
	struct det_status status;

	get(CHILD, NULL, &status);
	if (status.reason != reason)
		die("the space stopped for reason %u", status.reason);
}

static void look(void)
{
	get(CHILD, NULL, NULL);
}

static double null_dget(size_t unused)
{
	(void)unused;
	make_space(CHILD, DET_START, stop_only);
	expect_stop(DET_RET);
	return cost_of(look, MAX_ROUNDS);
}

static void start_and_wait(void)
{
	struct det_status status;

	put(CHILD, DET_START | DET_WAIT, NULL, &status);
	if (status.reason != DET_RET)
		die("the space stopped for reason %u", status.reason);
}

static double round_trip(size_t unused)
{
	(void)unused;
	make_space(CHILD, DET_START, stop_only);
	expect_stop(DET_RET);
	return cost_of(start_and_wait, MAX_ROUNDS);
}

static void get_registers(struct user_regs_struct *regs, struct det_status *status)
{
	struct det_args args = args_of(DET_REGS, NULL, status);

	args.regs = (uintptr_t)regs;
	args.regs_size = sizeof(*regs);
	if (dget(CHILD, &args, sizeof(args)) < 0)
		die("dget: %m");
}

static void start_and_get(void)
{
	struct user_regs_struct regs;
	struct det_status status;

	put(CHILD, DET_START, NULL, NULL);
	get_registers(&regs, &status);
}

static double round_trip_registers(size_t unused)
{
	(void)unused;
	make_space(CHILD, DET_START, stop_only);
	expect_stop(DET_RET);
	return cost_of(start_and_get, MAX_ROUNDS);
}

static void call_out(void)
{
	for (;;)
		syscall(SYS_getppid);
}

static void supervise(void)
{
	struct user_regs_struct regs;
	struct det_status status;
	struct det_args args;

	get_registers(&regs, &status);
	regs.rax = 1;
	args = args_of(DET_REGS | DET_START, NULL, NULL);
	args.regs = (uintptr_t)&regs;
	args.regs_size = sizeof(regs);
	if (status.reason != DET_SYSCALL || dput(CHILD, &args, sizeof(args)) < 0)
		die("the supervised space stopped for reason %u", status.reason);
}

static double supervised_call(size_t unused)
{
	(void)unused;
	make_space(CHILD, DET_START, call_out);
	expect_stop(DET_SYSCALL);
	return cost_of(supervise, MAX_ROUNDS);
}

/* What a member of a team does between two barriers, with a space that is kept. */
static void kept_round(void)
{
	struct det_op copy = on_arena(DET_COPY), merge = on_arena(DET_MERGE);

	put(CHILD, DET_SNAP | DET_START, &copy, NULL);
	get(CHILD, &merge, NULL);
}

static double kept_rounds(int rounds)
{
	double cost = cost_of(kept_round, rounds);
	uint64_t word;

	rounds = rounds_of(rounds);
	/* The space does its first round when it is made: it is not merged. */
	memcpy(&word, arena + pages * PAGE, sizeof(word));
	if ((word & 0xff) != (rounds + WARM_UP + 1UL))
		die("%d rounds, but the last page says %#lx", rounds, word);
	put(CHILD, DET_KILL, NULL, NULL);
	return cost;
}

static void begin_rounds(size_t nr, bool whole)
{
	pages = nr;
	whole_pages = whole;
	make_changing_space();
	expect_stop(DET_RET);
}

static double kept(size_t mib)
{
	make_arena(mib * MIB, false);
	begin_rounds(1, false);
	return kept_rounds(mib < 64 ? 31 : 9);
}

#define FURTHER	64

static double further_page(bool whole)
{
	double one, more;

	make_arena(MIB, false);
	begin_rounds(1, whole);
	one = kept_rounds(31);
	begin_rounds(1 + FURTHER, whole);
	more = kept_rounds(31);
	return cost_of_each(one, more, FURTHER);
}

static double further_page_word(size_t unused)
{
	(void)unused;
	return further_page(false);
}

static double further_page_bytes(size_t unused)
{
	(void)unused;
	return further_page(true);
}

static void add_one(void)
{
	++*(volatile uint64_t *)(arena + PAGE);
}

/* One page changed, joined, killed. */
static void create_once(void)
{
	struct det_op merge = on_arena(DET_MERGE);

	make_space(CHILD, DET_SNAP | DET_START, add_one);
	get(CHILD, &merge, NULL);
	put(CHILD, DET_KILL, NULL, NULL);
}

static double create_with(size_t mib, bool huge)
{
	make_arena(mib * MIB, huge);
	return cost_of(create_once, mib < 64 ? 31 : 9);
}

static double create(size_t mib)
{
	return create_with(mib, false);
}

static double create_huge(size_t mib)
{
	return create_with(mib, true);
}

static void fork_once(void)
{
	pid_t pid = fork();

	if (pid < 0)
		die("fork: %m");
	if (pid == 0)
		_exit(0);
	waitpid(pid, NULL, 0);
}

static double fork_with(size_t mib)
{
	make_arena(mib * MIB, false);
	return cost_of(fork_once, mib < 64 ? 31 : 9);
}

static double fork_huge(size_t mib)
{
	make_arena(mib * MIB, true);
	return cost_of(fork_once, mib < 64 ? 31 : 9);
}

static uint64_t next_child;

static void create_another(void)
{
	struct det_op merge = on_arena(DET_MERGE);

	make_space(next_child, DET_SNAP | DET_START, add_one);
	get(next_child++, &merge, NULL);
}

/* The @nth of those that there are, as the median of it and its neighbours. */
static double nth_child(size_t nth)
{
	make_arena(MIB, false);
	while (next_child + 8 < nth)
		create_another();
	return cost_of(create_another, 9);
}

/* In KiB: what the kernel has for itself that a process can make it need. */
static double kernel_memory(void)
{
	static const char * const kinds[] = { "Slab", "KernelStack", "PageTables", "Percpu" };
	FILE *file = fopen("/proc/meminfo", "r");
	char line[120], name[40];
	double sum = 0, kib;

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%39[^:]: %lf", name, &kib) != 2)
			continue;
		for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
			if (strcmp(name, kinds[i]) == 0)
				sum += kib;
	}
	if (!file || sum == 0)
		die("/proc/meminfo cannot be read");
	fclose(file);
	return sum;
}

#define SPACES	16

/* Of one of sixteen, each with its snapshot and a page that it has changed. */
static double memory_of_space(size_t mib)
{
	double before;

	make_arena(mib * MIB, false);
	before = kernel_memory();
	for (int i = 0; i < SPACES; i++) {
		make_space(CHILD + i, DET_SNAP | DET_START, add_one);
		get(CHILD + i, NULL, NULL);
	}
	return (kernel_memory() - before) / SPACES;
}

static long counter;

static void *increment(void *arg)
{
	++*(volatile long *)arg;
	return NULL;
}

static void det_once(void)
{
	det_t member;

	if (det_create(&member, increment, &counter) || det_join(member, NULL))
		die("det_create and det_join");
}

static double create_join(size_t unused)
{
	(void)unused;
	return cost_of(det_once, 31);
}

static void thread_once(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, increment, &counter) ||
	    pthread_join(thread, NULL))
		die("pthread_create and pthread_join");
}

static double thread(size_t unused)
{
	(void)unused;
	return cost_of(thread_once, 31);
}

static int barriers;

static void member(void *unused)
{
	(void)unused;
	for (int i = 0; i < barriers; i++)
		det_barrier();
}

static void team_once(void)
{
	if (det_parallel(TEAM, member, NULL))
		die("det_parallel");
}

static pthread_barrier_t barrier;

static void *thread_member(void *unused)
{
	for (int i = 0; i < barriers; i++)
		pthread_barrier_wait(&barrier);
	return unused;
}

static void threads_once(void)
{
	pthread_t thread[TEAM];

	for (int i = 0; i < TEAM; i++)
		if (pthread_create(&thread[i], NULL, thread_member, NULL))
			die("pthread_create");
	for (int i = 0; i < TEAM; i++)
		pthread_join(thread[i], NULL);
}

static double of_barrier(void (*team)(void))
{
	double one, more;

	pthread_barrier_init(&barrier, NULL, TEAM);
	barriers = 1;
	one = cost_of(team, 15);
	barriers = 1 + BARRIERS;
	more = cost_of(team, 15);
	return cost_of_each(one, more, BARRIERS);
}

static double team(size_t unused)
{
	(void)unused;
	return cost_of(team_once, 31);
}

static double thread_team(size_t unused)
{
	(void)unused;
	return cost_of(threads_once, 31);
}

static double det_barriers(size_t unused)
{
	(void)unused;
	return of_barrier(team_once);
}

static double thread_barriers(size_t unused)
{
	(void)unused;
	return of_barrier(threads_once);
}

/* What is compared with threads comes after them. */
static const struct {
	const char *name;
	double (*measure)(size_t arg);
	size_t arg;
	const char *text;
} figure[] = {
	{ "null_dget", null_dget, 0, "dget of a stopped space, for nothing" },
	{ "round_trip", round_trip, 0, "dput with START and WAIT, dret" },
	{ "round_trip_registers", round_trip_registers, 0,
	  "dput with START, dret, dget with REGS" },
	{ "supervised_call", supervised_call, 0,
	  "a space's system call, answered by its parent" },
	{ "round_1m", kept, 1, "a kept space's round, 1 MiB, 1 page changed" },
	{ "round_16m", kept, 16, "the same, 16 MiB" },
	{ "round_256m", kept, 256, "the same, 256 MiB" },
	{ "round_1g", kept, 1024, "the same, 1 GiB" },
	{ "page_word", further_page_word, 0, "each further page, one word" },
	{ "page_bytes", further_page_bytes, 0, "each further page, all bytes" },
	{ "fork_1m", fork_with, 1, "fork, exit, wait, 1 MiB touched" },
	{ "create_1m", create, 1, "a space made, merged, killed, 1 MiB" },
	{ "fork_16m", fork_with, 16, "fork, exit, wait, 16 MiB touched" },
	{ "create_16m", create, 16, "a space made, merged, killed, 16 MiB" },
	{ "fork_256m", fork_with, 256, "fork, exit, wait, 256 MiB touched" },
	{ "create_256m", create, 256, "a space made, merged, killed, 256 MiB" },
	{ "fork_256m_huge", fork_huge, 256, "fork, 256 MiB in 2 MiB pages" },
	{ "create_256m_huge", create_huge, 256, "a space, 256 MiB in 2 MiB pages" },
	{ "child_10", nth_child, 10, "the 10th space of those that there are" },
	{ "child_1000", nth_child, 1000, "the 1,000th" },
	{ "memory_1m", memory_of_space, 1, "kernel's memory of a space, 1 MiB, 1 page changed" },
	{ "memory_1g", memory_of_space, 1024, "the same, 1 GiB" },
	{ "thread", thread, 0, "pthread_create, x++, pthread_join" },
	{ "create_join", create_join, 0, "det_create, x++, det_join" },
	{ "thread_team_4", thread_team, 0, "four threads that do nothing" },
	{ "team_4", team, 0, "det_parallel of four that do nothing" },
	{ "thread_barrier_4", thread_barriers, 0, "pthread_barrier_wait of four" },
	{ "barrier_4", det_barriers, 0, "det_barrier of four" },
};

#define NR_FIGURES (sizeof(figure) / sizeof(*figure))

static const struct option_spec options[] = {
	{ "list", NULL, "print the names", &option_list },
	{ "profile", NULL, "wait for a line when the setup is over (make bench PROFILE=)",
	  &option_profile },
	{ NULL, NULL, NULL, NULL }
};

static const struct program program = {
	"det-bench", "NAME",
	"Measures one operation, in nanoseconds, or instructions where the clock counts\n"
	"these, or the memory that it needs, in KiB.", options, 0
};

int main(int argc, char **argv)
{
	int i = parse_options(&program, argc, argv);

	if (!option_list && argc - i != 1)
		die("one name is needed (see det-bench --list)");
	for (size_t f = 0; f < NR_FIGURES; f++) {
		if (option_list) {
			puts(figure[f].name);
		} else if (strcmp(figure[f].name, argv[i]) == 0) {
			printf("%s %.1f %s\n", figure[f].name,
			       figure[f].measure(figure[f].arg), figure[f].text);
			return STATUS_OK;
		}
	}
	if (!option_list)
		die("there is no figure %s", argv[i]);
	return STATUS_OK;
}
