// SPDX-License-Identifier: GPL-2.0-only
/*
 * What comes into a space through its master, and is not the program's input:
 * where things lie, what the kernel put into the master's memory, the environment.
 * The program executes itself as a master, twice, with something else about it,
 * and a copy of each says what it sees. What the kernel leaves out or undoes is
 * the same; what the guide calls an input differs, or the row would say nothing.
 */
#include <sched.h>
#include <sys/auxv.h>
#include <sys/personality.h>
#include <sys/rseq.h>

#include "mem.h"

#define CHILD 1
#define MASTER "--master"

/* All that a space could tell about its master. */
struct seen {
	__u64 stack;		/* where the stack is */
	__u64 heap;		/* where the break is */
	__u64 mapping;		/* where the kernel puts memory */
	__u64 random;		/* the bytes that AT_RANDOM points to */
	__u64 canary;		/* of the compiler's stack protector */
	__u64 environment;	/* a hash of it */
	__u64 below;		/* a hash of what lies below the stack pointer */
	__u64 vdso;		/* the address in the auxiliary vector */
	__u64 cpu;		/* in the area of rseq */
	__u64 tid;		/* the word that set_tid_address() names */
};

static volatile int tid_word;

static __u64 hash(__u64 h, const void *mem, size_t len)
{
	const unsigned char *p = mem;

	while (len--)
		h = (h ^ *p++) * 0x100000001b3ULL;
	return h;
}

static __u64 hash_environment(void)
{
	__u64 h = 1;
	char **e;

	for (e = environ; *e; e++)
		h = hash(h, *e, strlen(*e) + 1);
	return h;
}

static __u64 read_canary(void)
{
	__u64 canary;

	asm("mov %%fs:0x28, %0" : "=r"(canary));
	return canary;
}

/* In the space: no call. What the space reads is its copy. */
static long look(void *arg)
{
	const struct rseq_words { __u32 start, cpu; } *rs =
		(void *)((char *)__builtin_thread_pointer() + __rseq_offset);
	struct seen *s = arg;
	char *sp = __builtin_frame_address(0);

	s->stack = addr_of(sp);
	s->below = hash(1, sp - 8192, 4096);
	memcpy(&s->random, (void *)getauxval(AT_RANDOM), sizeof(s->random));
	s->canary = read_canary();
	s->environment = hash_environment();
	s->vdso = getauxval(AT_SYSINFO_EHDR);
	s->cpu = __rseq_size ? rs->cpu : 0;
	s->tid = tid_word;
	return 0;
}

/* A master: what its child has seen goes to @fd. */
static int be_master(int fd)
{
	struct seen *s = (void *)map_rw(PAGE);
	struct det_status st;
	struct det_op op;

	s->heap = addr_of(sbrk(0));
	s->mapping = addr_of(map_rw(PAGE));
	tid_word = gettid_();
	syscall(__NR_set_tid_address, (void *)&tid_word);
	if (spawn(CHILD, DET_SNAP | DET_START | DET_WAIT, look, s, &st) != 1)
		return 1;
	op = op_merge(s, PAGE, 0);
	if (!is_ret(&st, 0) || get_op(CHILD, 0, op, NULL))
		return 1;
	return write(fd, s, sizeof(*s)) != sizeof(*s);
}

/* How a master is started. */
struct start {
	bool fixed;	/* without randomisation */
	int cpu;	/* where */
	const char *pad; /* in the environment */
};

static void exec_master(const struct start *how, int fd)
{
	char *argv[4] = { "input_test", MASTER, NULL, NULL };
	char *env[2] = { NULL, NULL };
	char number[16], pad[64];
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(how->cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
	personality(how->fixed ? ADDR_NO_RANDOMIZE : 0);
	snprintf(number, sizeof(number), "%d", fd);
	snprintf(pad, sizeof(pad), "PAD=%s", how->pad);
	argv[2] = number;
	env[0] = pad;
	execve("/proc/self/exe", argv, env);
	_exit(1);
}

static bool see(const struct start *how, struct seen *s)
{
	int fd[2], status;
	bool ok;
	pid_t pid;

	memset(s, 0, sizeof(*s));
	if (pipe(fd))
		return false;
	pid = fork();
	if (!pid)
		exec_master(how, fd[1]);
	close(fd[1]);
	ok = read(fd[0], s, sizeof(*s)) == sizeof(*s);
	close(fd[0]);
	return waitpid(pid, &status, 0) == pid && !status && ok;
}

static int last_cpu(void)
{
	return sysconf(_SC_NPROCESSORS_ONLN) - 1;
}

FIXTURE(input) {
	struct seen a, b;
};

FIXTURE_SETUP(input)
{
	NEED_CALLS();
}

FIXTURE_TEARDOWN(input)
{
}

/* Whatever is done: these never differ, and hold nothing. */
TEST_F(input, undone)
{
	const struct start one = { .pad = "a" };
	const struct start other = { .pad = "bbbbbbbb", .cpu = last_cpu() };

	ASSERT_TRUE(see(&one, &self->a));
	ASSERT_TRUE(see(&other, &self->b));
	EXPECT_EQ(0, self->a.tid);
	EXPECT_EQ(0, self->b.tid);
	if (!__rseq_size)
		SKIP(return, "libc registers no rseq area");
	EXPECT_EQ((__u32)RSEQ_CPU_ID_UNINITIALIZED, self->a.cpu);
	EXPECT_EQ((__u32)RSEQ_CPU_ID_UNINITIALIZED, self->b.cpu);
}

/* Randomisation of the master's addresses is its children's input. */
TEST_F(input, addresses)
{
	const struct start random = { .pad = "a" };
	const struct start fixed = { .pad = "a", .fixed = true };

	ASSERT_TRUE(see(&random, &self->a));
	ASSERT_TRUE(see(&random, &self->b));
	EXPECT_NE(self->a.stack, self->b.stack);
	EXPECT_NE(self->a.heap, self->b.heap);
	EXPECT_NE(self->a.mapping, self->b.mapping);
	EXPECT_NE(self->a.vdso, self->b.vdso);
	ASSERT_TRUE(see(&fixed, &self->a));
	ASSERT_TRUE(see(&fixed, &self->b));
	EXPECT_EQ(self->a.stack, self->b.stack);
	EXPECT_EQ(self->a.heap, self->b.heap);
	EXPECT_EQ(self->a.mapping, self->b.mapping);
	EXPECT_EQ(self->a.vdso, self->b.vdso);
}

/* So are the bytes of AT_RANDOM, and the canary that libc makes of them. */
TEST_F(input, random_bytes)
{
	const struct start fixed = { .pad = "a", .fixed = true };

	ASSERT_TRUE(see(&fixed, &self->a));
	ASSERT_TRUE(see(&fixed, &self->b));
	EXPECT_NE(self->a.random, self->b.random);
	EXPECT_NE(self->a.canary, self->b.canary);
}

/* And the environment, which also moves the stack. */
TEST_F(input, environment)
{
	const struct start one = { .pad = "a", .fixed = true };
	const struct start other = { .fixed = true,
		.pad = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb" };

	ASSERT_TRUE(see(&one, &self->a));
	ASSERT_TRUE(see(&other, &self->b));
	EXPECT_NE(self->a.environment, self->b.environment);
	EXPECT_NE(self->a.stack, self->b.stack);
}

/* And what calls have left below the stack pointer, as AT_RANDOM shows there. */
TEST_F(input, below_the_stack_pointer)
{
	const struct start random = { .pad = "a" };

	ASSERT_TRUE(see(&random, &self->a));
	ASSERT_TRUE(see(&random, &self->b));
	EXPECT_NE(self->a.below, self->b.below);
}

/* Before the harness: this is a master that a test has started. */
static void __attribute__((constructor)) begin(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], MASTER))
		_exit(be_master(atoi(argv[2])));
}

TEST_HARNESS_MAIN
