// SPDX-License-Identifier: GPL-2.0-only
/*
 * Calls at random, by one thread and by several, with signals from outside:
 * nothing is asserted of a single call but that its error is one of the
 * contract's. What counts is the kernel's log, that the test ends, that every
 * child is gone in the end, and that one thread alone gets the same answers
 * each time.
 *
 * The operations work on an arena; the test's own memory is left alone.
 * DET_TEST_STEPS in the environment: more calls.
 */
#include <pthread.h>

#include "common.h"

#define CHILDREN 4
#define ARENA 0x7000000000UL
#define ARENA_PAGES 48
#define THREADS 4

/* Changes the arena a little, returns; a page that is not there: a FAULT. */
#define WALK_ASM \
	"1: movabs $0x7000000000, %rax\n" \
	"add %rbx, %rax\n" \
	"incl (%rax)\n" \
	"add $4099, %rbx\n" \
	"and $0x1ffff, %rbx\n" \
	"mov %rbx, %rdi\n" ASM_DRET \
	"jmp 1b\n"

BLOB(code_walk, WALK_ASM);

struct answer {
	struct det_status st;
	long ret;
};

struct random {
	pthread_t thread;
	__u64 state;
	long strange;		/* an error that the contract does not know */
	struct answer *answers;	/* of one thread alone: one for each call */
};

static int calls(void)
{
	const char *steps = getenv("DET_TEST_STEPS");

	return steps ? atoi(steps) : 600;
}

static __u32 next(struct random *r)
{
	r->state = r->state * 6364136223846793005ULL + 1442695040888963407ULL;
	return r->state >> 33;
}

static __u64 some_address(struct random *r)
{
	__u64 addr = ARENA + next(r) % ARENA_PAGES * PAGE;

	return next(r) % 3 ? addr : addr + next(r) % PAGE;
}

static __u64 some_length(struct random *r, __u64 a, __u64 b)
{
	__u64 end = ARENA + ARENA_PAGES * PAGE;
	__u64 room = end - (a > b ? a : b);
	__u64 len = next(r) % 8 * PAGE;

	if (next(r) % 3 == 0)
		len = next(r) % (4 * PAGE);
	return len < room ? len : room;
}

static struct det_op some_op(struct random *r, bool put)
{
	static const __u32 prots[] = { PROT_RW, PROT_RW, PROT_RW, PROT_READ,
				       PROT_NONE };
	struct det_op op = { .op = 1 + next(r) % (put ? 3 : 4) };

	op.caller = some_address(r);
	op.child = next(r) % 2 ? op.caller : some_address(r);
	if (op.op == DET_MERGE)
		op.child = (op.child & ~(PAGE - 1)) | (op.caller & (PAGE - 1));
	if (op.op == DET_PERM) {
		op.caller &= ~(PAGE - 1);
		op.child &= ~(PAGE - 1);
	}
	op.len = some_length(r, op.caller, op.child);
	if (op.op == DET_ZERO || op.op == DET_PERM)
		op.prot = prots[next(r) % ARRAY_SIZE(prots)];
	if (op.op == DET_COPY && !put && next(r) % 4 == 0)
		op.flags = DET_COPY_IMAGE;
	if (op.op == DET_MERGE)
		op.flags = next(r) % 4 << 8 | (next(r) % 3 << 4);
	return op;
}

static bool known(long ret)
{
	switch (-ret) {
	case 0: case EINVAL: case EFAULT: case ESRCH: case EAGAIN:
	case ENODATA: case DET_ECONFLICT: case EOWNERDEAD: case EACCES:
		return true;
	}
	return false;
}

static long make_walker(__u64 child)
{
	struct det_op op = op_zero(ARENA, ARENA_PAGES * PAGE, PROT_RW);

	return MAKE(child, code_walk) ?:
	       put_op(child, DET_SNAP, op, NULL);
}

static void one_call(struct random *r, struct answer *answer)
{
	static const __u64 flags[] = { 0, DET_START, DET_START | DET_WAIT };
	struct det_op ops[4] = {};
	__u64 child = next(r) % CHILDREN, f = flags[next(r) % 3];
	bool put = next(r) % 2;
	struct det_status st = {};
	int i, nr = next(r) % 5;
	long ret;

	if (next(r) % 40 == 0) {
		ret = kill_child(child);
	} else if (next(r) % 20 == 0) {
		ret = make_walker(child);
	} else {
		for (i = 0; i < nr; i++)
			ops[i] = some_op(r, put);
		if (put && next(r) % 4 == 0)
			f |= DET_SNAP;
		if (!answer && next(r) % 4 == 0)
			f = DET_NOWAIT;
		ret = put ? put_ops(child, f, ops, nr, &st) :
			    get_ops(child, f, ops, nr, &st);
	}
	if (!known(ret)) {
		r->strange++;
		fprintf(stderr, "# error %ld\n", ret);
		print_status(&st);
	}
	if (answer)
		*answer = (struct answer){ st, ret };
}

static void *many_calls(void *arg)
{
	struct random *r = arg;
	int i, n = calls();

	for (i = 0; i < n; i++)
		one_call(r, r->answers ? r->answers + i : NULL);
	return NULL;
}

static void map_arena(void)
{
	mmap((void *)ARENA, ARENA_PAGES * PAGE, PROT_RW,
	     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

static void kill_all(void)
{
	int i;

	for (i = 0; i < CHILDREN; i++)
		kill_child(i);
}

static void alone(struct __test_metadata *_metadata, __u64 seed,
		  struct answer *answers)
{
	struct random r = { .state = seed, .answers = answers };
	int i;

	map_arena();
	for (i = 0; i < CHILDREN; i++)
		EXPECT_EQ(0, make_walker(i));
	many_calls(&r);
	EXPECT_EQ(0, r.strange);
	kill_all();
}

/* The same calls, the same answers. */
TEST(one_thread)
{
	int i, n = calls();
	struct answer *first = calloc(n, sizeof(*first));
	struct answer *second = calloc(n, sizeof(*second));
	__u64 seed;

	NEED_CALLS();
	for (seed = 1; seed <= 3; seed++) {
		alone(_metadata, seed, first);
		alone(_metadata, seed, second);
		for (i = 0; i < n; i++) {
			ASSERT_EQ(first[i].ret, second[i].ret);
			ASSERT_EQ(0, memcmp(&first[i], &second[i],
					    sizeof(first[i]))) {
				TH_LOG("call %d", i);
				print_status(&first[i].st);
				print_status(&second[i].st);
			}
		}
	}
}

static void several(struct __test_metadata *_metadata)
{
	struct random r[THREADS] = {};
	pid_t pid = getpid();
	int i;

	map_arena();
	for (i = 0; i < CHILDREN; i++)
		EXPECT_EQ(0, make_walker(i));
	for (i = 0; i < THREADS; i++) {
		r[i].state = 1000 + i;
		ASSERT_EQ(0, pthread_create(&r[i].thread, NULL, many_calls,
					    &r[i]));
	}
	for (i = 0; i < THREADS; i++) {
		pthread_join(r[i].thread, NULL);
		EXPECT_EQ(0, r[i].strange);
	}
	kill_all();
	for (i = 0; i < CHILDREN; i++) {
		EXPECT_EQ(-ESRCH, get_stop(i, NULL));
		EXPECT_EQ(0, space_pid(pid, i));
	}
}

TEST(several_threads)
{
	NEED_CALLS();
	several(_metadata);
}

/* A neighbour stops, continues and kills what spaces there are. */
static void disturb(pid_t master)
{
	static const int sigs[] = { SIGSTOP, SIGCONT, SIGSEGV, SIGTERM,
				    SIGSTOP, SIGCONT, SIGKILL };
	pid_t pid;
	int i;

	for (i = 0; getppid() == master; i++) {
		pid = space_pid(master, i % CHILDREN);
		if (!pid)
			continue;
		kill(pid, sigs[i % ARRAY_SIZE(sigs)]);
		kill(pid, SIGCONT);
	}
	_exit(0);
}

TEST(several_threads_disturbed)
{
	pid_t pid, master = getpid();

	NEED_CALLS();
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		disturb(master);
	several(_metadata);
	kill(pid, SIGKILL);
	EXPECT_EQ(pid, waitpid(pid, NULL, 0));
}

TEST_HARNESS_MAIN
