// SPDX-License-Identifier: GPL-2.0-only
/*
 * Spaces that have spaces: depth, numbers, errors that a space is shown, a
 * parent that rests while its children run, and joins over two levels.
 */
#include "common.h"

#define CHILD 1

BLOB(code_spin, "1: jmp 1b\n");
BLOB(code_write, "mov $1, %eax\nsyscall\nmov %rax, %rdi\n" ASM_DRET);
#define LONG_ASM \
	"mov $20000000, %ecx\n1: dec %ecx\njnz 1b\nmov $5, %edi\n" ASM_DRET

BLOB(code_long, LONG_ASM);

/* Goes down as far as it gets; answers the depth and the error there. */
static long go_down(void *arg)
{
	long depth = (long)arg, ret;
	struct det_status st;

	ret = spawn(CHILD, DET_START | DET_WAIT, go_down, (void *)(depth + 1),
		    &st);
	if (ret < 0)
		return depth << 16 | -ret;
	return st.reason == DET_RET ? (long)st.value : -1;
}

TEST(depth)
{
	struct det_status st;

	NEED_CALLS();
	ASSERT_EQ(1, spawn(CHILD, DET_START | DET_WAIT, go_down, (void *)1L,
			   &st));
	EXPECT_RET((long)DET_MAX_DEPTH << 16 | ELOOP, &st);
	/* Above the deepest all is well, and the tree goes as one. */
	EXPECT_EQ(0, kill_child(CHILD));
}

/* A tree of 1 + 3 + 9 spaces; every one counts itself and what is below. */
static long count_below(void *arg)
{
	long levels = (long)arg, sum = 1, i;
	struct det_status st;

	for (i = 0; levels && i < 3; i++)
		if (spawn(i, DET_START, count_below, (void *)(levels - 1),
			  NULL) != 1)
			return -1;
	for (i = 0; levels && i < 3; i++) {
		if (get_stop(i, &st) || st.reason != DET_RET)
			return -2;
		sum += st.value;
	}
	return sum;
}

TEST(tree)
{
	struct det_status st;

	NEED_CALLS();
	ASSERT_EQ(1, spawn(CHILD, DET_START | DET_WAIT, count_below,
			   (void *)2L, &st));
	EXPECT_RET(13, &st);
}

/* The same number names another child in each space. */
static long own_number(void *arg)
{
	struct det_status st;

	if (get_stop(CHILD, &st) != -ESRCH)
		return 1;
	if (MAKE(CHILD, code_write))
		return 2;
	if (run_child(CHILD, &st) || st.reason != DET_SYSCALL || st.nr != 1)
		return 3;
	return 0;
}

TEST(numbers_are_private)
{
	struct det_status st;

	NEED_CALLS();
	ASSERT_EQ(1, spawn(CHILD, DET_START | DET_WAIT, own_number, NULL,
			   &st));
	EXPECT_RET(0, &st);
	ASSERT_EQ(1, spawn(2, DET_START | DET_WAIT, own_number, NULL, &st));
	EXPECT_RET(0, &st);
}

/* A space's mistakes are told to it, as to a master. */
static long mistakes(void *arg)
{
	struct det_op op = op_zero(BLOB_DATA, PAGE, PROT_RW);
	char c;

	if (dput_raw(0, NULL, 0) != DET_VERSION)
		return 1;
	if (get_flags(CHILD, 0, NULL) != -ESRCH)
		return 2;
	if (put_flags(CHILD, 1ULL << 60, NULL) != -EINVAL)
		return 3;
	if (dput_raw(CHILD, (void *)8, sizeof(struct det_args)) != -EFAULT)
		return 4;
	if (put_ops(CHILD, 0, &op, DET_MAX_OPS + 1, NULL) != -E2BIG)
		return 5;
	if (put_op(CHILD, 0, op, NULL))
		return 6;
	if (poke(CHILD, BLOB_CODE, "x", 1) != -EFAULT)
		return 7;
	if (peek(CHILD, BLOB_CODE, &c, 1) != -EFAULT)
		return 8;
	if (get_op(CHILD, 0, op_merge(&c, 1, 0), NULL) != -EINVAL &&
	    get_op(CHILD, 0, op_merge(&c, 1, 0), NULL) != -ENODATA)
		return 9;
	if (kill_child(7) != -ESRCH)
		return 10;
	return 0;
}

TEST(errors_shown_to_a_space)
{
	struct det_status st;

	NEED_CALLS();
	ASSERT_EQ(1, spawn(CHILD, DET_START | DET_WAIT, mistakes, NULL, &st));
	EXPECT_RET(0, &st);
}

/*
 * Whether a child that was started has stopped by the time the call returns
 * is a matter of luck: the status says RUNNING always.
 */
static long start_often(void *arg)
{
	struct det_status st;
	long i;

	if (MAKE(CHILD, code_write))
		return -1;
	for (i = 0; i < 300; i++) {
		struct user_regs_struct regs = blob_regs();

		if (put_regs(CHILD, &regs, DET_START, &st) ||
		    st.reason != DET_RUNNING)
			return -2 - i;
		if (get_stop(CHILD, &st) || st.reason != DET_SYSCALL)
			return -1000 - i;
		if (get_flags(CHILD, DET_START, &st) ||
		    st.reason != DET_RUNNING)
			return -2000 - i;
	}
	return 0;
}

TEST(started_says_running)
{
	struct det_status st;

	NEED_CALLS();
	EXPECT_EQ(0, start_often(NULL));
	EXPECT_EQ(0, kill_child(CHILD));
	ASSERT_EQ(1, spawn(CHILD, DET_START | DET_WAIT, start_often, NULL,
			   &st));
	EXPECT_RET(0, &st);
}

/* A space may supervise another one's system calls. */
static long serve(void *arg)
{
	struct user_regs_struct regs;
	struct det_status st;

	if (MAKE(CHILD, code_write) ||
	    run_child(CHILD, &st) || st.reason != DET_SYSCALL)
		return -1;
	if (get_regs(CHILD, &regs))
		return -2;
	regs.rax = 1000 + st.nr;
	if (put_regs(CHILD, &regs, DET_START | DET_WAIT, &st) ||
	    st.reason != DET_RET)
		return -3;
	return st.value;
}

TEST(space_serves_a_call)
{
	struct det_status st;

	NEED_CALLS();
	ASSERT_EQ(1, spawn(CHILD, DET_START | DET_WAIT, serve, NULL, &st));
	EXPECT_RET(1001, &st);
}

/* The child works on while its parent rests; then the parent collects. */
static long start_and_rest(void *arg)
{
	struct det_status st;

	if (MAKE(CHILD, code_long) ||
	    put_flags(CHILD, DET_START, NULL))
		return -1;
	dret(1);
	if (get_stop(CHILD, &st) || st.reason != DET_RET)
		return -2;
	return st.value;
}

TEST(descendants_run_while_the_parent_rests)
{
	struct det_status st;

	NEED_CALLS();
	ASSERT_EQ(1, spawn(CHILD, DET_START | DET_WAIT, start_and_rest, NULL,
			   &st));
	ASSERT_RET(1, &st);
	ASSERT_EQ(0, run_child(CHILD, &st));
	EXPECT_RET(5, &st);
}

/* Its memory is nevertheless its own: it can be changed meanwhile. */
static volatile long shared_name;

static long spin_and_rest(void *arg)
{
	if (MAKE(CHILD, code_spin) ||
	    put_flags(CHILD, DET_START, NULL))
		return -1;
	dret(shared_name);
	return shared_name;
}

TEST(a_resting_space_can_be_repaired)
{
	struct det_status st;
	long value = 22;

	NEED_CALLS();
	shared_name = 11;
	ASSERT_EQ(1, spawn(CHILD, DET_START | DET_WAIT, spin_and_rest, NULL,
			   &st));
	ASSERT_RET(11, &st);
	ASSERT_EQ(0, poke(CHILD, (uintptr_t)&shared_name, &value,
			  sizeof(value)));
	ASSERT_EQ(0, run_child(CHILD, &st));
	EXPECT_RET(22, &st);
	/* And goes with its child that spins. */
	EXPECT_EQ(0, kill_child(CHILD));
}

/* --- Joins over two levels --- */

#define WORKERS 4

static struct {
	long done[WORKERS][WORKERS];
	char space[PAGE];
} work __attribute__((__aligned__(4096)));

static long work_one(void *arg)
{
	long *slot = arg;

	*slot = 1 + (slot - &work.done[0][0]);
	return 0;
}

/* Four children of this space, each with its slot; all merged. */
static long work_row(void *arg)
{
	long *row = arg;
	struct det_op merge = op_merge(&work, sizeof(work), 0);
	struct det_status st;
	long i;

	for (i = 0; i < WORKERS; i++)
		if (spawn(i, DET_SNAP | DET_START, work_one, &row[i], NULL) !=
		    1)
			return -1;
	for (i = 0; i < WORKERS; i++)
		if (get_ops(i, 0, &merge, 1, &st) || st.reason != DET_RET)
			return -2;
	return 0;
}

TEST(join_over_two_levels)
{
	struct det_op merge = op_merge(&work, sizeof(work), 0);
	struct det_status st;
	long i;

	NEED_CALLS();
	memset(&work, 0, sizeof(work));
	for (i = 0; i < WORKERS; i++)
		ASSERT_EQ(1, spawn(i, DET_SNAP | DET_START, work_row,
				   work.done[i], NULL));
	for (i = 0; i < WORKERS; i++) {
		ASSERT_EQ(0, get_ops(i, 0, &merge, 1, &st));
		EXPECT_RET(0, &st);
	}
	for (i = 0; i < WORKERS * WORKERS; i++)
		EXPECT_EQ(i + 1, work.done[i / WORKERS][i % WORKERS]);
}

/* --- As many children as there may be --- */

static void write_number(const char *path, const char *number)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, number, strlen(number)) < 0)
		fprintf(stderr, "# cannot write %s\n", path);
	if (fd >= 0)
		close(fd);
}

/* 65,536 processes: some gigabytes and minutes. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 3600

TEST(children)
{
	long i, ret = 0;

	NEED_CALLS();
	if (!getenv("DET_SLOW"))
		SKIP(return, "takes 3 GiB and root's limits: DET_SLOW=1");
	write_number("/proc/sys/kernel/pid_max", "200000");
	write_number("/proc/sys/kernel/threads-max", "200000");
	for (i = 0; i < DET_MAX_CHILDREN; i++) {
		ret = put_flags(i, 0, NULL);
		if (ret == -EAGAIN)
			SKIP(return, "a limit of processes is too low");
		ASSERT_EQ(0, ret);
	}
	EXPECT_EQ(-ENOSPC, put_flags(DET_MAX_CHILDREN, 0, NULL));
	EXPECT_EQ(-ESRCH, get_flags(DET_MAX_CHILDREN, 0, NULL));
	EXPECT_EQ(0, kill_child(0));
	EXPECT_EQ(0, put_flags(DET_MAX_CHILDREN, 0, NULL));
}

TEST_HARNESS_MAIN
