// SPDX-License-Identifier: GPL-2.0-only
/*
 * What Determinator, where these calls come from, checks of its own: children
 * that trap, joins that merge, memory that is granted and revoked, calls with
 * bad pointers; barriers; and an update that its released merge loses.
 */
#include "mem.h"

/* What is shared between parent and children, and nothing else is merged. */
#define SORT_N 256
#define DIM 8
#define THREADS 4
#define ROUNDS 6

static struct shared {
	__u32 x, y;
	int sort[SORT_N];
	int a[DIM][DIM], b[DIM][DIM], r[DIM][DIM];
	__u64 row[THREADS];
} shared;

FIXTURE(det) {
	struct det_status st;
};

FIXTURE_SETUP(det)
{
	NEED_CALLS();
}

FIXTURE_TEARDOWN(det)
{
}

static long thread_fork(__u64 child, space_fn fn, void *arg)
{
	return spawn(child, DET_SNAP | DET_START, fn, arg, NULL);
}

/* Joins a thread that ended: its changes of what is shared are merged. */
static long thread_join(__u64 child, struct det_status *st)
{
	return get_op(child, 0, op_merge(&shared, sizeof(shared), 0), st);
}

/* --- Children that trap --- */

static long returns(void *arg)
{
	return 0x30;
}

static long divides(void *arg)
{
	asm volatile("xor %%ecx, %%ecx\n mov $1, %%eax\n cltd\n idiv %%ecx"
		     : : : "eax", "ecx", "edx");
	return 0;
}

static long breaks(void *arg)
{
	asm volatile("int3");
	return 0;
}

static long overflows(void *arg)
{
	asm volatile("int $4");
	return 0;
}

static long is_illegal(void *arg)
{
	asm volatile("ud2");
	return 0;
}

static long protects(void *arg)
{
	asm volatile("int $0x30");
	return 0;
}

static long reads_at(void *arg)
{
	int val;

	asm volatile("movl (%1), %0" : "=r"(val) : "r"(arg));
	return val;
}

struct trap {
	space_fn fn;
	void *arg;
	int sig, trap;	/* 0: it returns */
};

static const struct trap traps[] = {
	{ returns, NULL, 0, 0 },
	{ divides, NULL, SIGFPE, 0 },
	{ breaks, NULL, SIGTRAP, 3 },
	{ overflows, NULL, SIGSEGV, 4 },
	{ is_illegal, NULL, SIGILL, 6 },
	{ protects, NULL, SIGSEGV, 13 },
};

static bool trapped(const struct trap *t, const struct det_status *st)
{
	return t->sig ? is_fault(st, t->sig, t->trap) : is_ret(st, 0x30);
}

TEST_F(det, traps_one_by_one)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(traps); i++) {
		ASSERT_EQ(1, spawn(i, DET_START, traps[i].fn, NULL, NULL));
		ASSERT_EQ(0, get_stop(i, &self->st));
		EXPECT_TRUE(trapped(&traps[i], &self->st));
	}
}

/* All at once, each on the stack that was the parent's. */
TEST_F(det, traps_together)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(traps); i++)
		ASSERT_EQ(1, spawn(i, DET_START, traps[i].fn, NULL, NULL));
	for (i = 0; i < ARRAY_SIZE(traps); i++) {
		ASSERT_EQ(0, get_stop(i, &self->st));
		EXPECT_TRUE(trapped(&traps[i], &self->st));
	}
	for (i = 0; i < ARRAY_SIZE(traps); i++)
		EXPECT_EQ(0, kill_child(i));
}

/* At zero, just beyond what programs have, and at the top of the kernel. */
TEST_F(det, reads_elsewhere)
{
	static const __u64 at[] = { 0, USER_END, -4ULL };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(at); i++) {
		ASSERT_EQ(1, spawn(0, DET_START | DET_WAIT, reads_at,
				   (void *)at[i], &self->st));
		EXPECT_FAULT(SIGSEGV, 14, &self->st);
		EXPECT_EQ(at[i], self->st.addr);
		EXPECT_EQ(PF_USER, self->st.error);
		ASSERT_EQ(0, kill_child(0));
	}
}

/* --- Joins that merge --- */

static long writes_x(void *arg)
{
	shared.x = 0xdeadbeef;
	return 0;
}

static long writes_y(void *arg)
{
	shared.y = 0xabadcafe;
	return 0;
}

static long x_gets_y(void *arg)
{
	shared.x = shared.y;
	return 0;
}

static long y_gets_x(void *arg)
{
	shared.y = shared.x;
	return 0;
}

TEST_F(det, merge_two_words)
{
	ASSERT_EQ(1, thread_fork(0, writes_x, NULL));
	ASSERT_EQ(1, thread_fork(1, writes_y, NULL));
	EXPECT_EQ(0, shared.x);
	EXPECT_EQ(0, shared.y);
	ASSERT_EQ(0, thread_join(0, NULL));
	ASSERT_EQ(0, thread_join(1, NULL));
	EXPECT_EQ(0xdeadbeef, shared.x);
	EXPECT_EQ(0xabadcafe, shared.y);
}

/* x = y beside y = x: they change places, in every run. */
TEST_F(det, merge_swap)
{
	int i;

	shared.x = 1;
	shared.y = 2;
	for (i = 0; i < 5; i++) {
		ASSERT_EQ(1, thread_fork(0, x_gets_y, NULL));
		ASSERT_EQ(1, thread_fork(1, y_gets_x, NULL));
		ASSERT_EQ(0, thread_join(1, NULL));
		ASSERT_EQ(0, thread_join(0, NULL));
		EXPECT_EQ(i % 2 ? 1 : 2, shared.x);
		EXPECT_EQ(i % 2 ? 2 : 1, shared.y);
		ASSERT_EQ(0, kill_child(0));
		ASSERT_EQ(0, kill_child(1));
	}
}

struct part {
	int lo, hi;	/* shared.sort[lo..hi] */
};

static int partition(int lo, int hi)
{
	int pivot = shared.sort[(lo + hi) / 2], tmp;

	while (lo <= hi) {
		while (shared.sort[lo] < pivot)
			lo++;
		while (shared.sort[hi] > pivot)
			hi--;
		if (lo > hi)
			break;
		tmp = shared.sort[lo];
		shared.sort[lo++] = shared.sort[hi];
		shared.sort[hi--] = tmp;
	}
	return lo;
}

/* Each half in a child, as deep as halves of more than 32 go. */
static long quicksort(void *arg)
{
	struct part *p = arg, left, right;
	int mid;

	if (p->lo >= p->hi)
		return 0;
	mid = partition(p->lo, p->hi);
	left = (struct part){ p->lo, mid - 1 };
	right = (struct part){ mid, p->hi };
	if (p->hi - p->lo < 32)
		return quicksort(&left) | quicksort(&right);
	if (thread_fork(0, quicksort, &left) != 1 ||
	    thread_fork(1, quicksort, &right) != 1)
		return 1;
	if (thread_join(0, NULL) || thread_join(1, NULL))
		return 2;
	return kill_child(0) | kill_child(1);
}

static int compare(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	return (x > y) - (x < y);
}

TEST_F(det, merge_quicksort)
{
	struct part all = { 0, SORT_N - 1 };
	int want[SORT_N];

	fill(shared.sort, sizeof(shared.sort), 1);
	memcpy(want, shared.sort, sizeof(want));
	qsort(want, SORT_N, sizeof(want[0]), compare);
	ASSERT_EQ(0, quicksort(&all));
	EXPECT_EQ(0, memcmp(want, shared.sort, sizeof(want)));
}

/* One element of the product. */
static long multiplies(void *arg)
{
	int i = (long)arg / DIM, j = (long)arg % DIM, k;

	shared.r[i][j] = 0;
	for (k = 0; k < DIM; k++)
		shared.r[i][j] += shared.a[i][k] * shared.b[k][j];
	return shared.r[i][j];
}

TEST_F(det, merge_matrix)
{
	int want[DIM][DIM];
	long i;

	fill(shared.a, sizeof(shared.a), 2);
	fill(shared.b, sizeof(shared.b), 3);
	for (i = 0; i < DIM * DIM; i++)
		multiplies((void *)i);
	memcpy(want, shared.r, sizeof(want));
	memset(shared.r, 0, sizeof(shared.r));
	for (i = 0; i < DIM * DIM; i++)
		ASSERT_EQ(1, thread_fork(i, multiplies, (void *)i));
	for (i = 0; i < DIM * DIM; i++) {
		ASSERT_EQ(0, thread_join(i, &self->st));
		EXPECT_EQ(DET_RET, self->st.reason);
		EXPECT_EQ(want[i / DIM][i % DIM], (int)self->st.value);
	}
	EXPECT_EQ(0, memcmp(want, shared.r, sizeof(want)));
}

/* --- Memory --- */

#define THERE 0x400000000UL

static long reads_byte(void *arg)
{
	return *(char *)arg;
}

static long writes_byte(void *arg)
{
	*(char *)arg = 1;
	return 0;
}

static bool child_faults(space_fn fn, __u64 addr)
{
	struct det_status st;

	if (spawn(1, DET_START | DET_WAIT, fn, (void *)addr, &st) != 1)
		return false;
	kill_child(1);
	return st.reason == DET_FAULT && st.trap == 14 && st.addr == addr;
}

/* The caller's own memory: granted, revoked, granted, emptied. */
TEST_F(det, memory_of_its_own)
{
	char *p = (char *)THERE;

	ASSERT_EQ(0, get_op(DET_SELF, 0, op_zero(THERE, PAGE, PROT_READ),
			    NULL));
	EXPECT_EQ(0, *p);
	EXPECT_TRUE(child_faults(writes_byte, THERE));
	ASSERT_EQ(0, get_op(DET_SELF, 0, op_perm(THERE, PAGE, PROT_RW), NULL));
	memcpy(p, "easter egg", 11);
	ASSERT_EQ(0, get_op(DET_SELF, 0, op_perm(THERE, PAGE, 0), NULL));
	EXPECT_TRUE(child_faults(reads_byte, THERE));
	ASSERT_EQ(0, get_op(DET_SELF, 0, op_perm(THERE, PAGE, PROT_READ),
			    NULL));
	EXPECT_STREQ("easter egg", p);
	EXPECT_TRUE(child_faults(writes_byte, THERE));
	ASSERT_EQ(0, get_op(DET_SELF, 0, op_zero(THERE, PAGE, 0), NULL));
	EXPECT_TRUE(child_faults(reads_byte, THERE));
	ASSERT_EQ(0, get_op(DET_SELF, 0, op_zero(THERE, PAGE, PROT_READ),
			    NULL));
	EXPECT_EQ(0, *p);
}

/* The child's text is the caller's; out of it, emptied, and put back. */
TEST_F(det, text_there_and_back)
{
	__u64 text = addr_of(multiplies) & -PAGE;
	char *copy = map_rw(PAGE);

	ASSERT_EQ(1, spawn(0, DET_START | DET_WAIT, multiplies, NULL,
			   &self->st));
	ASSERT_EQ(0, get_op(0, 0, op_copy(copy, text, PAGE), NULL));
	EXPECT_STREQ("r-xp", perm_at(getpid(), addr_of(copy)));
	EXPECT_EQ(0, memcmp(copy, (char *)text, PAGE));
	ASSERT_EQ(0, put_op(0, 0, op_zero(text, PAGE, PROT_RW), NULL));
	ASSERT_EQ(0, get_op(0, 0, op_copy(copy, text, PAGE), NULL));
	EXPECT_STREQ("rw-p", perm_at(getpid(), addr_of(copy)));
	EXPECT_TRUE(all_bytes(copy, 0, PAGE));
	ASSERT_EQ(0, put_op(0, 0, op_copy((char *)text, text, PAGE), NULL));
	ASSERT_EQ(0, get_op(0, 0, op_copy(copy, text, PAGE), NULL));
	EXPECT_EQ(0, memcmp(copy, (char *)text, PAGE));
	EXPECT_EQ(0, run_child(0, &self->st));
	EXPECT_RET(shared.r[0][0], &self->st);
}

/* A page without any permission survives two copies. */
TEST_F(det, easter_egg)
{
	char *egg = map_rw(PAGE), *back = map_rw(PAGE);

	memcpy(egg, "easter egg", 11);
	ASSERT_EQ(0, mprotect(egg, PAGE, PROT_NONE));
	ASSERT_EQ(0, put_op(0, 0, op_copy(egg, THERE, PAGE), NULL));
	ASSERT_EQ(0, get_op(0, 0, op_copy(back, THERE, PAGE), NULL));
	EXPECT_TRUE(child_faults(reads_byte, addr_of(back)));
	ASSERT_EQ(0, mprotect(back, PAGE, PROT_READ));
	EXPECT_STREQ("easter egg", back);
}

/* --- Bad pointers --- */

#define BAD 0x500000000UL

static const __u64 bad[] = { BAD, USER_END, 1ULL << 63, -PAGE, -1ULL };

/* Arguments, operations, registers at a bad address: EFAULT, no more. */
static long uses_bad_pointers(void *arg)
{
	struct det_args a;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		if (dput(3, (void *)bad[i]) != -EFAULT ||
		    dget(3, (void *)bad[i]) != -EFAULT)
			return 10 + i;
		a = args_of(0, (void *)bad[i], 1, NULL);
		if (dput(3, &a) != -EFAULT || dget(3, &a) != -EFAULT)
			return 20 + i;
		a = args_of(0, NULL, 0, NULL);
		args_regs(&a, (void *)bad[i]);
		if (dput(3, &a) != -EFAULT)
			return 30 + i;
	}
	return 0;
}

static long writes_text(void *arg)
{
	*(char *)addr_of(multiplies) = 0;
	return 0;
}

TEST_F(det, bad_pointers)
{
	EXPECT_EQ(0, uses_bad_pointers(NULL));
	ASSERT_EQ(1, spawn(0, DET_START | DET_WAIT, uses_bad_pointers, NULL,
			   &self->st));
	EXPECT_RET(0, &self->st);
	EXPECT_TRUE(child_faults(writes_text, addr_of(multiplies)));
}

/* --- The lost update --- */

/*
 * The child writes one page, the parent another one within the same two
 * megabytes. Determinator takes over the child's table of pages whole where
 * it thinks its own is unchanged, and loses what the parent wrote.
 */
static long writes_one(void *arg)
{
	((char *)arg)[PAGE] = 'c';
	return 0;
}

TEST_F(det, lost_update)
{
	char *p = map_huge(HUGE);
	unsigned int off;

	madvise(p, HUGE, MADV_NOHUGEPAGE);
	for (off = 0; off < HUGE; off += PAGE)
		p[off] = 1;
	ASSERT_EQ(1, spawn(0, DET_SNAP | DET_START, writes_one, p, NULL));
	p[5 * PAGE] = 'p';
	p[HUGE - 1] = 'q';
	ASSERT_EQ(0, get_op(0, 0, op_merge(p, HUGE, 0), NULL));
	EXPECT_EQ('c', p[PAGE]);
	EXPECT_EQ('p', p[5 * PAGE]);
	EXPECT_EQ('q', p[HUGE - 1]);
	EXPECT_EQ(1, p[6 * PAGE]);
}

/* The same where the range is a part of the table, or the parent had none. */
TEST_F(det, lost_update_part)
{
	char *p = map_huge(HUGE);

	ASSERT_EQ(1, spawn(0, DET_SNAP | DET_START, writes_one, p, NULL));
	ASSERT_EQ(0, get_stop(0, NULL));
	ASSERT_EQ(0, poke(0, addr_of(p) + 8 * PAGE, "out", 3));
	ASSERT_EQ(0, get_op(0, 0, op_merge(p, 2 * PAGE, 0), NULL));
	EXPECT_EQ('c', p[PAGE]);
	EXPECT_EQ(0, p[8 * PAGE]);
	p[9 * PAGE] = 'p';
	ASSERT_EQ(0, get_op(0, 0, op_merge(p + 2 * PAGE, HUGE - 2 * PAGE, 0),
			    NULL));
	EXPECT_EQ('o', p[8 * PAGE]);
	EXPECT_EQ('p', p[9 * PAGE]);
}

/* --- Barriers --- */

/* Between two barriers: its own row from everybody's of the round before. */
static void next_row(int me, int round)
{
	__u64 sum = round;
	int i;

	for (i = 0; i < THREADS; i++)
		sum = sum * 31 + shared.row[i];
	shared.row[me] = sum + me;
}

static long works(void *arg)
{
	int me = (long)arg, round;

	for (round = 0; round < ROUNDS; round++) {
		next_row(me, round);
		if (round < ROUNDS - 1)
			dret(100 + round);	/* the barrier */
	}
	return 0;
}

static void expect_rows(__u64 *want)
{
	struct shared before = shared;
	int i, round;

	memset(shared.row, 0, sizeof(shared.row));
	for (round = 0; round < ROUNDS; round++) {
		__u64 row[THREADS], last[THREADS];

		memcpy(last, shared.row, sizeof(last));
		for (i = 0; i < THREADS; i++) {
			next_row(i, round);
			row[i] = shared.row[i];
			memcpy(shared.row, last, sizeof(last));
		}
		memcpy(shared.row, row, sizeof(row));
	}
	memcpy(want, shared.row, sizeof(shared.row));
	shared = before;
}

/* The parent merges all that wait, gives them the sum of it, and a start. */
TEST_F(det, barriers)
{
	struct det_op op = op_copy(&shared, addr_of(&shared), sizeof(shared));
	__u64 want[THREADS];
	long i, round;

	expect_rows(want);
	for (i = 0; i < THREADS; i++)
		ASSERT_EQ(1, thread_fork(i, works, (void *)i));
	for (round = 0; round < ROUNDS; round++) {
		for (i = 0; i < THREADS; i++) {
			ASSERT_EQ(0, thread_join(i, &self->st));
			ASSERT_RET(round < ROUNDS - 1 ? 100 + round : 0,
				   &self->st);
		}
		for (i = 0; round < ROUNDS - 1 && i < THREADS; i++)
			ASSERT_EQ(0, put_op(i, DET_SNAP | DET_START, op, NULL));
	}
	EXPECT_EQ(0, memcmp(want, shared.row, sizeof(want)));
}

TEST_HARNESS_MAIN
