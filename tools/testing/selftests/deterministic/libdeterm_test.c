// SPDX-License-Identifier: GPL-2.0-only
/*
 * What libdeterm, the user library of the port to Linux 3.0, tests with its
 * programs: zero, copy, fastsnap, merge, merge2, fastfork, six4, sync_test and
 * regress.
 */
#include "mem.h"

FIXTURE(lib) {
	struct det_status st;
};

FIXTURE_SETUP(lib)
{
	NEED_CALLS();
}

FIXTURE_TEARDOWN(lib)
{
}

static unsigned long count_of(const char *name, unsigned long dflt)
{
	const char *s = getenv(name);

	return s ? strtoul(s, NULL, 0) : dflt;
}

/* --- zero --- */

#define MEGA 0x100000UL
#define THERE 0x400000000UL

static long sums_up(void *arg)
{
	struct { __u64 at, len; } *r = arg;
	long sum = 0;
	__u64 i;

	for (i = 0; i < r->len; i++)
		sum += *(unsigned char *)(r->at + i);
	return sum;
}

/* Ranges that begin and end in pages: nothing but they are zeros. */
TEST_F(lib, zero_unaligned)
{
	struct { __u64 at, len; } r = { .len = 4 * PAGE };
	char *p = map_rw(4 * PAGE);

	memset(p, 1, 4 * PAGE);
	r.at = addr_of(p);
	ASSERT_EQ(1, spawn(1, 0, sums_up, &r, NULL));
	ASSERT_EQ(0, put_op(1, 0, op_zero(addr_of(p) + 2 * PAGE - 8, PAGE + 16,
					  PROT_RW), NULL));
	ASSERT_EQ(0, run_child(1, &self->st));
	EXPECT_RET(3 * PAGE - 16, &self->st);
	memset(p + 2 * PAGE - 8, 0, PAGE + 16);
	EXPECT_TRUE(child_has(1, addr_of(p), p, 4 * PAGE));
	EXPECT_EQ(0, kill_child(1));
}

/* Megabytes by turns read-only and writable, each a call of its own. */
TEST_F(lib, zero_alternating)
{
	unsigned int i, n = count_of("DET_TEST_MEGABYTES", 32);

	ASSERT_EQ(0, probe_into(1));
	for (i = 0; i < n; i++)
		ASSERT_EQ(0, put_op(1, 0, op_zero(THERE + i * MEGA, MEGA,
						  i % 2 ? PROT_RW : PROT_READ),
				    NULL));
	for (i = 0; i < n; i++) {
		EXPECT_EQ(0, child_read(1, THERE + i * MEGA));
		EXPECT_EQ(i % 2 ? 0 : PROBE_FAULT,
			  child_write(1, THERE + (i + 1) * MEGA - 1, 1));
	}
}

static long reads_own_stack(void *arg)
{
	__u64 val = 0x1122334455667788ULL;

	dret(addr_of(&val));
	return val == 0;
}

/* Eight bytes on the child's stack, while it rests. */
TEST_F(lib, zero_stack_variable)
{
	ASSERT_EQ(1, spawn(1, DET_START | DET_WAIT, reads_own_stack, NULL,
			   &self->st));
	ASSERT_EQ(DET_RET, self->st.reason);
	ASSERT_EQ(0, put_op(1, 0, op_zero(self->st.value, 8, PROT_RW), NULL));
	ASSERT_EQ(0, run_child(1, &self->st));
	EXPECT_RET(1, &self->st);
}

/* --- copy --- */

static long turns_bytes(void *arg)
{
	struct { char *p; size_t len; } *r = arg;
	size_t i;

	for (i = 0; i < r->len; i++) {
		if (r->p[i] != (char)0xab)
			return i + 1;
		r->p[i] = 0x12;
	}
	return 0;
}

/* Longer and longer, there with one value and back with another. */
TEST_F(lib, copy_there_and_back)
{
	char *p = map_rw(MEGA);
	struct { char *p; size_t len; } r = { .p = p + 77 };
	unsigned int i;

	for (i = 1; i <= 5; i++) {
		r.len = i * 150000;
		memset(p, 0x55, MEGA);
		ASSERT_EQ(1, spawn(1, 0, turns_bytes, &r, NULL));
		memset(p + 77, 0xab, r.len);
		ASSERT_EQ(0, put_op(1, DET_START | DET_WAIT,
				    op_copy(p + 77, addr_of(p) + 77, r.len),
				    &self->st));
		EXPECT_RET(0, &self->st);
		ASSERT_EQ(0, get_op(1, 0, op_copy(p + 77, addr_of(p) + 77,
						  r.len), NULL));
		EXPECT_TRUE(all_bytes(p, 0x55, 77));
		EXPECT_TRUE(all_bytes(p + 77, 0x12, r.len));
		EXPECT_TRUE(all_bytes(p + 77 + r.len, 0x55,
				      MEGA - 77 - r.len));
		ASSERT_EQ(0, kill_child(1));
	}
}

/* Pages of alternating permission are as many mappings, and stay so. */
TEST_F(lib, copy_alternating)
{
	unsigned int i, n = count_of("DET_TEST_MAPPINGS", 200);
	char *p = map_rw(n * PAGE), *back = map_rw(n * PAGE);
	int there;
	pid_t pid;

	fill(p, n * PAGE, 1);
	for (i = 0; i < n; i += 2)
		ASSERT_EQ(0, mprotect(p + i * PAGE, PAGE, PROT_READ));
	ASSERT_EQ(0, put_op(1, 0, op_copy(p, addr_of(p), n * PAGE), NULL));
	pid = space_pid(getpid(), 1);
	there = count_maps(pid);
	EXPECT_LE(n, there);
	for (i = 0; i < 5; i++) {
		ASSERT_EQ(0, get_op(1, 0, op_copy(back, addr_of(p), n * PAGE),
				    NULL));
		ASSERT_EQ(0, put_op(1, 0, op_copy(back, addr_of(p), n * PAGE),
				    NULL));
	}
	EXPECT_EQ(there, count_maps(pid));
	EXPECT_EQ(0, memcmp(p, back, n * PAGE));
	EXPECT_STREQ("r--p", perm_at(getpid(), addr_of(back)));
	EXPECT_STREQ("rw-p", perm_at(getpid(), addr_of(back) + PAGE));
}

/* --- fastsnap --- */

struct stripes {
	char *p;
	size_t len, first;
};

static long sets_every_second(void *arg)
{
	struct stripes *s = arg;
	size_t i;

	for (i = s->first; i < s->len; i += 2)
		s->p[i] = 0xff;
	return 0;
}

/* Every even byte by one child, every odd one by the other. */
TEST_F(lib, snap_interleaved)
{
	size_t len = count_of("DET_TEST_STRIPES", MEGA);
	struct stripes even = { map_rw(len), len, 0 };
	struct stripes odd = { even.p, len, 1 };

	ASSERT_EQ(1, spawn(1, DET_SNAP | DET_START, sets_every_second, &even,
			   NULL));
	ASSERT_EQ(1, spawn(2, DET_SNAP | DET_START, sets_every_second, &odd,
			   NULL));
	ASSERT_EQ(0, get_op(2, 0, op_merge(even.p, len, 0), NULL));
	ASSERT_EQ(0, get_op(1, 0, op_merge(even.p, len, 0), NULL));
	EXPECT_TRUE(all_bytes(even.p, 0xff, len));
}

/* The same, but the second one also writes the first one's first byte. */
static long sets_one_more(void *arg)
{
	struct stripes *s = arg;

	s->p[0] = 1;
	return sets_every_second(arg);
}

TEST_F(lib, snap_interleaved_conflict)
{
	size_t len = 16 * PAGE;
	struct stripes even = { map_rw(len), len, 0 };
	struct stripes odd = { even.p, len, 1 };

	ASSERT_EQ(1, spawn(1, DET_SNAP | DET_START, sets_every_second, &even,
			   NULL));
	ASSERT_EQ(1, spawn(2, DET_SNAP | DET_START, sets_one_more, &odd, NULL));
	ASSERT_EQ(0, get_op(1, 0, op_merge(even.p, len, 0), NULL));
	EXPECT_EQ(-DET_ECONFLICT, get_op(2, 0, op_merge(even.p, len, 0),
					 &self->st));
	EXPECT_EQ(addr_of(even.p), self->st.addr);
	EXPECT_EQ(1, self->st.nr_conflicts);
	EXPECT_EQ(0, even.p[1]);
	/* The child is not lost: what does not conflict can still be had. */
	EXPECT_EQ(0, get_op(2, 0, op_merge(even.p + 1, len - 1, 0), NULL));
	EXPECT_TRUE(all_bytes(even.p, 0xff, len));
}

static long bumps(void *arg)
{
	char *p = arg;

	for (;;) {
		p[0]++;
		dret(p[0]);
		dret(p[0]);	/* a stop at which nothing has changed */
	}
	return 0;
}

/* A new image of a child that has run; a merge after an idle stop. */
TEST_F(lib, snap_again)
{
	char *p = map_rw(PAGE);

	ASSERT_EQ(1, spawn(1, DET_SNAP | DET_START, bumps, p, NULL));
	ASSERT_EQ(0, get_op(1, 0, op_merge(p, PAGE, 0), &self->st));
	EXPECT_RET(1, &self->st);
	EXPECT_EQ(1, p[0]);
	ASSERT_EQ(0, put_flags(1, DET_SNAP | DET_START | DET_WAIT, &self->st));
	EXPECT_RET(1, &self->st);
	ASSERT_EQ(0, get_op(1, 0, op_merge(p, PAGE, 0), NULL));
	EXPECT_EQ(1, p[0]);
	/* Started while it rests, waited for by the call that takes the image. */
	ASSERT_EQ(0, put_flags(1, DET_START, NULL));
	ASSERT_EQ(0, put_flags(1, DET_SNAP, &self->st));
	EXPECT_RET(2, &self->st);
	ASSERT_EQ(0, get_op(1, 0, op_merge(p, PAGE, 0), NULL));
	EXPECT_EQ(1, p[0]);
}

/* --- merge, merge2 --- */

/* Byte c of each group of children by child c, over many pages. */
struct group {
	char *p;
	size_t len;
	int first, step;
};

static long sets_its_own(void *arg)
{
	struct group *g = arg;
	size_t i;

	for (i = g->first; i < g->len; i += g->step)
		g->p[i] = g->first + 1;
	return 0;
}

TEST_F(lib, merge_interleaved)
{
	size_t len = count_of("DET_TEST_PAGES", 60) * PAGE, i;
	struct group g = { map_rw(len), len, 0, 5 };

	for (g.first = 0; g.first < g.step; g.first++)
		ASSERT_EQ(1, spawn(g.first, DET_SNAP | DET_START, sets_its_own,
				   &g, NULL));
	for (i = 0; i < g.step; i++)
		ASSERT_EQ(0, get_op(i, 0, op_merge(g.p, len, 0), NULL));
	for (i = 0; i < len; i++)
		if (g.p[i] != (char)(i % g.step + 1))
			break;
	EXPECT_EQ(len, i);
	/* Each has been merged: a second time must fail. */
	for (i = 0; i < g.step; i++)
		EXPECT_EQ(-DET_ECONFLICT, get_op(i, 0, op_merge(g.p, len, 0),
						 NULL));
}

#define DIM 8

struct matrices {
	int a[DIM][DIM], b[DIM][DIM], r[DIM][DIM];
};

static struct matrices *mats;

static long multiplies_row(void *arg)
{
	long i = (long)arg, j, k;

	for (j = 0; j < DIM; j++) {
		mats->r[i][j] = 0;
		for (k = 0; k < DIM; k++)
			mats->r[i][j] += mats->a[i][k] * mats->b[k][j];
	}
	return 0;
}

/* Over and over, in children whose numbers are free again. */
TEST_F(lib, merge_over_and_over)
{
	unsigned long round, n = count_of("DET_TEST_ROUNDS", 4);
	struct matrices want;
	long i;

	mats = (void *)map_rw(2 * PAGE);
	for (round = 0; round < n; round++) {
		fill(mats, sizeof(*mats), round);
		for (i = 0; i < DIM; i++)
			multiplies_row((void *)i);
		want = *mats;
		memset(mats->r, 0, sizeof(mats->r));
		for (i = 0; i < DIM; i++)
			ASSERT_EQ(1, spawn(i, DET_SNAP | DET_START,
					   multiplies_row, (void *)i, NULL));
		for (i = 0; i < DIM; i++) {
			ASSERT_EQ(0, get_op(i, 0, op_merge(mats, sizeof(*mats),
							   0), NULL));
			ASSERT_EQ(0, kill_child(i));
		}
		ASSERT_EQ(0, memcmp(&want, mats, sizeof(want)));
	}
}

/* --- fastfork --- */

static long touches(void *arg)
{
	char *p = arg;
	int i;

	for (i = 0; i < 64; i++)
		p[i * PAGE] = 1;
	return 0;
}

static long available_kb(void)
{
	char val[64] = "";

	proc_line("/proc/meminfo", "MemAvailable", val, sizeof(val));
	return atol(val);
}

/* Made and killed without end: each would leave 256 KiB if it left any. */
TEST_F_TIMEOUT(lib, fork_without_end, 900)
{
	unsigned long i, n = count_of("DET_TEST_FORKS", 100);
	char *p = map_rw(64 * PAGE);
	int maps = 0;
	long kb = 0;

	for (i = 0; i < n; i++) {
		if (i == 10) {
			kb = available_kb();
			maps = count_maps(getpid());
		}
		ASSERT_EQ(1, spawn(1, DET_SNAP | DET_START | DET_WAIT, touches,
				   p, &self->st));
		ASSERT_EQ(DET_RET, self->st.reason);
		ASSERT_EQ(0, kill_child(1));
	}
	EXPECT_EQ(maps, count_maps(getpid()));
	EXPECT_EQ(0, space_pid(getpid(), 1));
	/* Half of what a leak would come to; others use memory, too. */
	EXPECT_LT(kb - available_kb(), (long)n * 128);
}

/* --- six4: nesting --- */

static char *passed;

/* Each has a child but the last one, which leaves a number for all. */
static long nests(void *arg)
{
	long depth = (long)arg, ret;
	struct det_status st;

	if (!depth) {
		passed[0] = 1;
		return 1;
	}
	ret = spawn(1, DET_SNAP | DET_START, nests, (void *)(depth - 1), NULL);
	if (ret != 1)
		return ret;
	ret = get_op(1, 0, op_merge(passed, PAGE, 0), &st);
	if (ret || st.reason != DET_RET)
		return -1000;
	passed[depth] = depth + 1;
	return st.value + 1;
}

TEST_F(lib, nest_six_deep)
{
	int i;

	passed = map_rw(PAGE);
	EXPECT_EQ(7, nests((void *)6L));
	for (i = 0; i < 7; i++)
		EXPECT_EQ(i + 1, passed[i]);
}

static long nests_for_ever(void *arg)
{
	long depth = (long)arg;
	struct det_status st;

	if (!depth)
		for (;;)
			asm volatile("pause");
	if (spawn(1, DET_START | DET_WAIT, nests_for_ever, (void *)(depth - 1),
		  &st) != 1)
		return -1;
	return st.reason;
}

/* The innermost runs for ever; with the outermost all of them are gone. */
TEST_F(lib, nest_and_kill)
{
	pid_t pid[6], parent = getpid();
	int i;

	ASSERT_EQ(1, spawn(1, DET_START, nests_for_ever, (void *)5L, NULL));
	for (i = 0; i < 6; i++) {
		ASSERT_TRUE(EVENTUALLY((pid[i] = space_pid(parent, 1))));
		parent = pid[i];
	}
	ASSERT_EQ(0, kill_child(1));
	for (i = 0; i < 6; i++)
		EXPECT_FALSE(pid_exists(pid[i]));
}

/* --- sync_test, regress --- */

static long stops_often(void *arg)
{
	long i;

	for (i = 0; i < 200; i++)
		dret(i);
	return -1;
}

TEST_F(lib, start_again_and_again)
{
	long i;

	ASSERT_EQ(1, spawn(1, 0, stops_often, NULL, NULL));
	for (i = 0; i < 200; i++) {
		ASSERT_EQ(0, run_child(1, &self->st));
		ASSERT_RET(i, &self->st);
	}
	ASSERT_EQ(0, run_child(1, &self->st));
	EXPECT_RET(-1, &self->st);
}

static long writes_out(void *arg)
{
	return raw_syscall(__NR_write, 1, (long)arg, 5);
}

static long moves_brk(void *arg)
{
	return raw_syscall(__NR_brk, 0, 0, 0);
}

/* The port let write pass. Here no call but the three is executed. */
TEST_F(lib, other_calls_stop)
{
	int fds[2];
	char c;

	ASSERT_EQ(0, pipe2(fds, O_NONBLOCK));
	ASSERT_EQ(1, dup2(fds[1], 1));
	ASSERT_EQ(1, spawn(1, DET_START | DET_WAIT, writes_out, "hello",
			   &self->st));
	EXPECT_EQ(DET_SYSCALL, self->st.reason);
	EXPECT_EQ(__NR_write, self->st.nr);
	EXPECT_EQ(1, self->st.arg[0]);
	EXPECT_EQ(5, self->st.arg[2]);
	EXPECT_EQ(-1, read(fds[0], &c, 1));
	ASSERT_EQ(1, spawn(2, DET_START | DET_WAIT, moves_brk, NULL,
			   &self->st));
	EXPECT_EQ(DET_SYSCALL, self->st.reason);
	EXPECT_EQ(__NR_brk, self->st.nr);
	/* Started as it is, the call has failed. */
	ASSERT_EQ(0, run_child(2, &self->st));
	EXPECT_RET(NO_CALL, &self->st);
}

TEST_HARNESS_MAIN
