// SPDX-License-Identifier: GPL-2.0-only
/*
 * Many operations in one call: a whole fork, a whole join, their order, and
 * what an error in the midst of them leaves behind: the operations before it
 * are done, those after it are not, and neither side is harmed.
 */
#include "mem.h"

#define PAGES 8
#define LEN (PAGES * PAGE)

/* Two places that nothing is mapped at, on either side. */
#define HOLE 0x600000000UL
#define OTHER 0x700000000UL

/* What a child computes with, one step a start. */
struct work {
	__u64 x;
	char marks[64];
};

static __u64 next_x(__u64 x)
{
	return x * 6364136223846793005ULL + 1442695040888963407ULL;
}

static long computes(void *arg)
{
	struct work *w = arg;

	for (;;) {
		w->x = next_x(w->x);
		dret(w->x);
	}
	return 0;
}

FIXTURE(batch) {
	char *a;		/* LEN bytes, filled */
	char *orig;
	struct work *work;	/* a page; the child has it at the same place */
	__u64 x;		/* what the child has come to */
	struct det_status st;
};

FIXTURE_SETUP(batch)
{
	NEED_CALLS();
	self->a = map_rw(LEN);
	self->orig = map_rw(LEN);
	self->work = (void *)map_rw(PAGE);
	fill(self->a, LEN, 5);
	memcpy(self->orig, self->a, LEN);
	self->x = 1;
	self->work->x = 1;
	ASSERT_EQ(1, spawn(1, DET_START | DET_WAIT, computes, self->work,
			   &self->st));
	self->x = next_x(self->x);
	ASSERT_RET(self->x, &self->st);
}

FIXTURE_TEARDOWN(batch)
{
}

/* --- Errors --- */

/* What there is of the child, to see that nothing became of it. */
struct state {
	struct user_regs_struct regs;
	char bytes[LEN];
	struct work work;
};

static void look(struct state *s, const char *a, const struct work *w)
{
	memset(s, 0, sizeof(*s));
	if (get_regs(1, &s->regs) || peek(1, addr_of(a), s->bytes, LEN) ||
	    peek(1, addr_of(w), &s->work, sizeof(s->work)))
		abort();
}

/* One more step of the child comes to the right result. */
static bool goes_on(__u64 *x, struct det_status *st)
{
	*x = next_x(*x);
	return !run_child(1, st) && is_ret(st, *x);
}

struct wrong {
	const char *what;
	bool get;	/* dget, else dput */
	bool early;	/* found before anything is done */
	int err;
	__u64 addr;	/* 0: not told */
	struct det_op op;
};

/* Addresses from 1 to PAGE are offsets in the arena. */
static const struct wrong wrongs[] = {
	{ "no such operation", 0, 1, EINVAL, 0, { 0, 0, 0, 0, HOLE, HOLE, PAGE } },
	{ "no such operation", 1, 1, EINVAL, 0, { 5, 0, 0, 0, HOLE, HOLE, PAGE } },
	{ "no such operation", 0, 1, EINVAL, 0, { ~0U, 0, 0, 0, HOLE, HOLE, PAGE } },
	{ "MERGE by dput", 0, 1, EINVAL, 0, { DET_MERGE, 0, 0, 0, HOLE, HOLE, PAGE } },
	{ "beyond the end", 0, 1, EINVAL, 0,
	  { DET_COPY, 0, 0, 0, USER_END, USER_END, PAGE } },
	{ "beyond the end", 1, 1, EINVAL, 0,
	  { DET_ZERO, 0, 0, 0, USER_END, USER_END, PAGE } },
	{ "wraps", 0, 1, EINVAL, 0, { DET_ZERO, 0, 0, 0, HOLE, HOLE, -1 } },
	{ "PERM in a page", 0, 1, EINVAL, 0, { DET_PERM, 0, 0, 0, HOLE + 1, HOLE + 1, 1 } },
	{ "PERM in a page", 1, 1, EINVAL, 0, { DET_PERM, 0, 0, 0, HOLE + 1, HOLE + 1, 1 } },
	{ "whole by a master", 1, 1, EPERM, 0,
	  { .op = DET_COPY, .flags = DET_COPY_WHOLE } },
	{ "PERM of nothing", 0, 0, EFAULT, HOLE,
	  { DET_PERM, 0, 0, 0, HOLE, HOLE, PAGE } },
	{ "PERM of nothing", 1, 0, EFAULT, HOLE,
	  { DET_PERM, 0, 0, 0, HOLE, HOLE, PAGE } },
	{ "zeros to nowhere", 0, 0, EFAULT, HOLE + 1,
	  { DET_ZERO, 0, 0, 0, HOLE + 1, HOLE + 1, 8 } },
	{ "zeros to nowhere", 1, 0, EFAULT, HOLE + 1,
	  { DET_ZERO, 0, 0, 0, HOLE + 1, HOLE + 1, 8 } },
	{ "bytes to nowhere", 0, 0, EFAULT, HOLE + 8,
	  { .op = DET_COPY, .caller = 1, .child = HOLE + 8, .len = 9 } },
	{ "bytes to nowhere", 1, 0, EFAULT, HOLE + 8,
	  { .op = DET_COPY, .caller = HOLE + 8, .child = 1, .len = 9 } },
	{ "bytes from nowhere", 0, 0, EFAULT, 0,
	  { .op = DET_COPY, .caller = HOLE + 8, .child = 1, .len = 9 } },
	{ "bytes from nowhere", 1, 0, EFAULT, 0,
	  { .op = DET_COPY, .caller = 1, .child = HOLE + 8, .len = 9 } },
	{ "no snapshot", 1, 0, ENODATA, 0, { DET_MERGE, 0, 0, 0, HOLE, HOLE, PAGE } },
	{ "no snapshot", 1, 0, ENODATA, 0,
	  { .op = DET_COPY, .flags = DET_COPY_IMAGE, .caller = HOLE,
	    .child = HOLE, .len = PAGE } },
};

static __u64 in_arena(__u64 addr, const char *a)
{
	return addr && addr < PAGE ? addr_of(a) + addr : addr;
}

/* The wrong operation between two right ones that leave their marks. */
static bool check_wrong(const struct wrong *w, char *a, struct work *work,
			struct det_status *st)
{
	static char mark[4] = "mark";
	struct det_op ops[3];
	long ret;

	memset(st, 0xee, sizeof(*st));
	ops[1] = w->op;
	ops[1].caller = in_arena(w->op.caller, a);
	ops[1].child = in_arena(w->op.child, a);
	if (w->get) {
		ops[0] = op_copy(work->marks + 8, addr_of(work->marks), 4);
		ops[2] = op_copy(work->marks + 16, addr_of(work->marks), 4);
		ret = get_ops(1, DET_START | DET_WAIT, ops, 3, st);
	} else {
		ops[0] = op_copy(mark, addr_of(work->marks) + 8, 4);
		ops[2] = op_copy(mark, addr_of(work->marks) + 16, 4);
		ret = put_ops(1, DET_START | DET_WAIT, ops, 3, st);
	}
	if (ret == -w->err && st->op == 1 && st->nr_done == !w->early &&
	    (!w->addr || st->addr == w->addr))
		return true;
	fprintf(stderr, "# %s (%s): %ld\n", w->what, w->get ? "dget" : "dput",
		ret);
	print_status(st);
	return false;
}

/* Every error of an operation: told, placed, and harmless. */
TEST_F(batch, errors)
{
	struct state *before = (void *)map_rw(sizeof(*before));
	struct state *after = (void *)map_rw(sizeof(*after));
	struct work *w = self->work;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(wrongs); i++) {
		const struct wrong *wrong = &wrongs[i];
		const char *here = wrong->get ? w->marks : after->work.marks;

		memset(w, 0, sizeof(*w));
		ASSERT_EQ(0, poke(1, addr_of(w->marks), "mark", 4));
		ASSERT_EQ(0, poke(1, addr_of(w->marks) + 4, w->marks + 4, 60));
		look(before, self->a, w);
		EXPECT_TRUE(check_wrong(wrong, self->a, w, &self->st));
		if (!wrong->early)
			EXPECT_RET(self->x, &self->st);
		look(after, self->a, w);
		/* What came before it is done, what comes after it is not. */
		EXPECT_EQ(0, memcmp(here + 8, wrong->early ? "\0\0\0" : "mark",
				    4)) TH_LOG("%s", wrong->what);
		EXPECT_EQ(0, memcmp(here + 16, "\0\0\0", 4));
		/* Both are otherwise as they were, and the child not started. */
		memset(after->work.marks + 8, 0, 4);
		EXPECT_EQ(0, memcmp(before, after, sizeof(*before)))
			TH_LOG("%s", wrong->what);
		EXPECT_EQ(0, memcmp(self->a, self->orig, LEN));
		ASSERT_TRUE(goes_on(&self->x, &self->st))
			TH_LOG("%s", wrong->what);
	}
}

/* The two errors that need a snapshot. */
TEST_F(batch, merge_errors)
{
	struct det_op ops[] = {
		op_copy(self->work->marks, addr_of(self->a), 4),
		op_merge(self->a, LEN, 0),
		op_copy(self->work->marks + 8, addr_of(self->a), 4),
	};
	long ret;

	ASSERT_EQ(0, put_op(1, DET_SNAP, op_copy(self->a, addr_of(self->a),
						 LEN), NULL));
	ASSERT_EQ(0, poke(1, addr_of(self->a) + PAGE, "new bytes", 9));
	self->a[PAGE + 3] ^= 1;
	ret = get_ops(1, DET_START | DET_WAIT, ops, 3, &self->st);
	EXPECT_OP_ERR_AT(DET_ECONFLICT, 1, self->a + PAGE + 3, ret, &self->st);
	EXPECT_EQ(1, self->st.nr_conflicts);
	EXPECT_EQ(0, memcmp(self->work->marks, self->orig, 4));
	EXPECT_TRUE(all_bytes(self->work->marks + 8, 0, 4));
	EXPECT_TRUE(goes_on(&self->x, &self->st));
	ASSERT_EQ(0, mprotect(self->a + PAGE, PAGE, PROT_READ));
	ret = get_ops(1, DET_START | DET_WAIT, ops, 3, &self->st);
	EXPECT_OP_ERR(EFAULT, 1, ret, &self->st);
	EXPECT_TRUE(all_bytes(self->work->marks + 8, 0, 4));
	EXPECT_TRUE(goes_on(&self->x, &self->st));
	ASSERT_EQ(0, mprotect(self->a + PAGE, PAGE, PROT_RW));
	self->a[PAGE + 3] ^= 1;
	EXPECT_EQ(0, memcmp(self->a, self->orig, LEN));
	/* Mended, the same call does all of it and goes on. */
	EXPECT_EQ(0, get_ops(1, DET_START | DET_WAIT, ops, 3, &self->st));
	EXPECT_EQ(3, self->st.nr_done);
	EXPECT_EQ(DET_NO_OP, self->st.op);
	EXPECT_EQ(0, memcmp(self->a + PAGE, "new bytes", 9));
	self->x = next_x(self->x);
	EXPECT_RET(self->x, &self->st);
}

/* The first error of several is the one. */
TEST_F(batch, first_error)
{
	struct det_op ops[] = {
		op_zero(OTHER, PAGE, PROT_RW),
		op_perm(OTHER, PAGE, PROT_READ),
		op_copy(self->a, OTHER + 1, 8),
		op_perm(HOLE, PAGE, PROT_READ),
	};
	long ret;

	ret = put_ops(1, 0, ops, ARRAY_SIZE(ops), &self->st);
	EXPECT_OP_ERR_AT(EFAULT, 2, OTHER + 1, ret, &self->st);
	/* What needs no child is looked at before everything else. */
	ops[3].op = 77;
	EXPECT_EQ(-EINVAL, put_ops(1, 0, ops, ARRAY_SIZE(ops), &self->st));
	EXPECT_EQ(3, self->st.op);
	EXPECT_EQ(0, self->st.nr_done);
	EXPECT_TRUE(goes_on(&self->x, &self->st));
}

/* A child that the failed call made is there, NEW. */
TEST_F(batch, failed_making)
{
	struct det_op ops[] = {
		op_zero(OTHER, PAGE, PROT_RW),
		op_perm(HOLE, PAGE, PROT_READ),
	};
	char c;
	long ret;

	ret = put_ops(2, DET_START, ops, 2, &self->st);
	EXPECT_OP_ERR_AT(EFAULT, 1, HOLE, ret, &self->st);
	EXPECT_EQ(DET_NEW, self->st.reason);
	EXPECT_EQ(0, get_stop(2, &self->st));
	EXPECT_EQ(DET_NEW, self->st.reason);
	EXPECT_EQ(0, peek(2, OTHER, &c, 1));
}

/* --- Order --- */

TEST_F(batch, order)
{
	struct det_op ops[] = {
		op_copy(self->a, OTHER, 2 * PAGE),
		op_zero(OTHER, PAGE, PROT_RW),
		op_copy(self->a + 16, OTHER + 32, 8),
		op_zero(OTHER + 32, 4, PROT_RW),
		op_perm(OTHER, 2 * PAGE, 0),
		op_perm(OTHER, PAGE, PROT_RW),
		op_copy(self->a + 1, OTHER + 2, 3),
	};
	char want[2 * PAGE] = {};

	memcpy(want + PAGE, self->a + PAGE, PAGE);
	memcpy(want + 36, self->a + 20, 4);
	memcpy(want + 2, self->a + 1, 3);
	ASSERT_EQ(0, put_ops(1, 0, ops, ARRAY_SIZE(ops), &self->st));
	EXPECT_EQ(ARRAY_SIZE(ops), self->st.nr_done);
	ASSERT_EQ(0, probe_into(1));
	EXPECT_EQ(PROBE_FAULT, child_read(1, OTHER + PAGE));
	ASSERT_EQ(0, put_op(1, 0, op_perm(OTHER, 2 * PAGE, PROT_RW), NULL));
	EXPECT_TRUE(child_has(1, OTHER, want, 2 * PAGE));
}

/* As many as may be, and one more. */
TEST_F(batch, as_many_as_may_be)
{
	static struct det_op ops[DET_MAX_OPS + 1];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(ops); i++)
		ops[i] = op_copy(self->a + i, addr_of(self->a) + LEN - 1 - i,
				 1);
	EXPECT_EQ(-E2BIG, put_ops(1, 0, ops, DET_MAX_OPS + 1, &self->st));
	EXPECT_EQ(0, self->st.nr_done);
	EXPECT_TRUE(child_has(1, addr_of(self->a), self->orig, LEN));
	ASSERT_EQ(0, put_ops(1, 0, ops, DET_MAX_OPS, &self->st));
	EXPECT_EQ(DET_MAX_OPS, self->st.nr_done);
	for (i = 0; i < DET_MAX_OPS; i++)
		self->orig[LEN - 1 - i] = self->a[i];
	EXPECT_TRUE(child_has(1, addr_of(self->a), self->orig, LEN));
	EXPECT_TRUE(goes_on(&self->x, &self->st));
}

/* --- A whole fork and a whole join --- */

extern const char _end[];

/* The ranges of a static program that runs: image, heap with TLS, stack. */
static int program_ranges(struct det_op *ops)
{
	__u64 start = 0, end, image = addr_of(__executable_start) & -PAGE;
	int n = 0;

	end = (addr_of(_end) + PAGE - 1) & -PAGE;
	ops[n++] = op_copy((void *)image, image, end - image);
	if (find_map(getpid(), "[heap]", &start, &end))
		ops[n++] = op_copy((void *)start, start, end - start);
	if (find_map(getpid(), "[stack]", &start, &end))
		ops[n++] = op_copy((void *)start, start, end - start);
	return n;
}

/*
 * All that a fork is, named range by range: the program, new memory, access
 * taken away, an image, and off it goes; then the join, all in one call too.
 */
TEST_F(batch, fork_and_join)
{
	struct user_regs_struct regs = {};
	struct det_op ops[16];
	struct det_args args;
	char *back = map_rw(PAGE);
	int n = program_ranges(ops);
	long ret;

	ops[n++] = op_copy(self->a, addr_of(self->a), LEN);
	ops[n++] = op_zero(OTHER, 2 * PAGE, PROT_RW);
	ops[n++] = op_perm(OTHER + PAGE, PAGE, PROT_READ);
	ret = put_ops(2, DET_FORK | DET_SNAP | DET_START, ops, n, NULL);
	if (ret == 0) {
		self->a[0] = 1;
		self->a[3 * PAGE] = 2;
		*(char *)OTHER = 3;
		for (;;)
			dret(((char *)OTHER)[PAGE] + 40);
	}
	ASSERT_EQ(1, ret);
	ops[0] = op_merge(self->a, PAGE, 0);
	ops[1] = op_merge(self->a + 3 * PAGE, PAGE, DET_MERGE_GRANULE_4);
	ops[2] = op_copy(back, OTHER, PAGE);
	ops[3] = op_image(self->a + 4 * PAGE, addr_of(self->a), PAGE);
	args = args_of(0, ops, 4, &self->st);
	args_regs(&args, &regs);
	ASSERT_EQ(0, dget(2, &args));
	EXPECT_RET(40, &self->st);
	EXPECT_EQ(4, self->st.nr_done);
	EXPECT_EQ(40, regs.rdi);
	EXPECT_EQ(0, regs.rax);
	EXPECT_EQ(3, back[0]);
	EXPECT_EQ(0, memcmp(self->a + 4 * PAGE, self->orig, PAGE));
	self->orig[0] = 1;
	self->orig[3 * PAGE] = 2;
	EXPECT_EQ(0, memcmp(self->a, self->orig, 4 * PAGE));
}

TEST_HARNESS_MAIN
