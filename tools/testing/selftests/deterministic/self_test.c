// SPDX-License-Identifier: GPL-2.0-only
/*
 * DET_SELF: operations on the caller alone. With them a space has its mmap,
 * munmap and mprotect; no child is looked for, none is waited for.
 */
#include <sys/resource.h>

#include "mem.h"

/* Where the spaces of these tests map things. */
#define THERE 0x300000000UL

FIXTURE(self) {
	char *a;	/* 4 pages, filled */
	struct det_status st;
};

FIXTURE_SETUP(self)
{
	NEED_CALLS();
	self->a = map_rw(4 * PAGE);
	fill(self->a, 4 * PAGE, 3);
}

FIXTURE_TEARDOWN(self)
{
}

/* In a space: bytes by hand, nothing that libc might do otherwise. */
static char load(__u64 at)
{
	char val;

	asm volatile("movb (%1), %0" : "=q"(val) : "r"(at) : "memory");
	return val;
}

static void store(__u64 at, char val)
{
	asm volatile("movb %1, (%0)" : : "r"(at), "q"(val) : "memory");
}

static long self_put(struct det_op op)
{
	return put_op(DET_SELF, 0, op, NULL);
}

static long self_get(struct det_op op)
{
	return get_op(DET_SELF, 0, op, NULL);
}

/* Each returns 0, or the number of the step that went wrong. */
static long maps_memory(void *arg)
{
	if (self_put(op_zero(THERE, 2 * PAGE, PROT_RW)))
		return 1;
	if (load(THERE) || load(THERE + 2 * PAGE - 1))
		return 2;
	store(THERE + PAGE, 5);
	if (self_get(op_zero(THERE + 8 * PAGE, PAGE, PROT_RW)))
		return 3;
	store(THERE + 8 * PAGE, 6);
	if (self_put(op_perm(THERE + PAGE, PAGE, PROT_READ)))
		return 4;
	if (load(THERE + PAGE) != 5)
		return 5;
	if (self_get(op_perm(THERE + PAGE, PAGE, PROT_RW)))
		return 6;
	store(THERE + PAGE, 7);
	if (self_put(op_zero(THERE + PAGE, PAGE, PROT_RW)))
		return 7;
	if (load(THERE + PAGE))
		return 8;
	return 0;
}

TEST_F(self, maps_memory)
{
	ASSERT_EQ(1, spawn(1, DET_START | DET_WAIT, maps_memory, NULL,
			   &self->st));
	EXPECT_RET(0, &self->st);
}

static long write_protects(void *arg)
{
	self_put(op_zero(THERE, PAGE, PROT_RW));
	store(THERE, 1);
	self_put(op_perm(THERE, PAGE, PROT_READ));
	store(THERE + 9, 1);
	return 1;
}

static long unmaps(void *arg)
{
	self_put(op_zero(THERE, 2 * PAGE, PROT_RW));
	store(THERE, 1);
	self_get(op_zero(THERE, PAGE, 0));
	load(THERE + PAGE);
	return load(THERE + 9);
}

static long revokes(void *arg)
{
	self_put(op_perm(addr_of(arg), PAGE, 0));
	return load(addr_of(arg) + 9);
}

TEST_F(self, faults)
{
	ASSERT_EQ(1, spawn(1, DET_START | DET_WAIT, write_protects, NULL,
			   &self->st));
	EXPECT_FAULT(SIGSEGV, 14, &self->st);
	EXPECT_EQ(THERE + 9, self->st.addr);
	EXPECT_EQ(PF_USER | PF_WRITE, self->st.error);
	ASSERT_EQ(1, spawn(2, DET_START | DET_WAIT, unmaps, NULL, &self->st));
	EXPECT_FAULT(SIGSEGV, 14, &self->st);
	EXPECT_EQ(THERE + 9, self->st.addr);
	EXPECT_EQ(PF_USER, self->st.error);
	ASSERT_EQ(1, spawn(3, DET_START | DET_WAIT, revokes, self->a,
			   &self->st));
	EXPECT_FAULT(SIGSEGV, 14, &self->st);
	/* The parent gives the access back, and the space goes on. */
	ASSERT_EQ(0, put_op(3, DET_START | DET_WAIT,
			    op_perm(addr_of(self->a), PAGE, PROT_READ),
			    &self->st));
	EXPECT_RET((__u64)(long)self->a[9], &self->st);
}

static bool same(const char *p, const char *q, size_t len)
{
	while (len && *p == *q) {
		p++;
		q++;
		len--;
	}
	return !len;
}

/* dput: from op.caller to op.child. dget: the other way round. */
static long copies_within(void *arg)
{
	char *a = arg;
	struct det_op op = op_copy(a, THERE, 2 * PAGE);

	if (self_put(op) || !same(a, (char *)THERE, 2 * PAGE))
		return 1;
	store(THERE, ~a[0]);
	if (load(THERE) == a[0])
		return 2;
	if (self_get(op) || !same(a, (char *)THERE, 2 * PAGE))
		return 3;
	if (self_put(op_copy(a + 3, THERE + 5, 5000)) ||
	    !same(a + 3, (char *)THERE + 5, 5000))
		return 4;
	if (self_get(op_copy(a + 2 * PAGE, THERE + 5, 5000)) ||
	    !same(a + 2 * PAGE, (char *)THERE + 5, 5000))
		return 5;
	/* Side by side is not overlapping. */
	if (self_put(op_copy(a, addr_of(a) + PAGE, PAGE)) ||
	    !same(a, a + PAGE, PAGE))
		return 6;
	return 0;
}

TEST_F(self, copies_within)
{
	ASSERT_EQ(1, spawn(1, DET_START | DET_WAIT, copies_within, self->a,
			   &self->st));
	EXPECT_RET(0, &self->st);
}

/* A master has the same. */
TEST_F(self, of_a_master)
{
	pid_t me = getpid();

	EXPECT_EQ(0, maps_memory(NULL));
	EXPECT_STREQ("rw-p", perm_at(me, THERE));
	EXPECT_EQ(0, self_put(op_perm(THERE, PAGE, 0)));
	EXPECT_STREQ("---p", perm_at(me, THERE));
	EXPECT_EQ(0, self_put(op_zero(THERE, 9 * PAGE, 0)));
	EXPECT_STREQ("", perm_at(me, THERE));
	EXPECT_EQ(0, copies_within(self->a));
	EXPECT_EQ(0, put_flags(DET_SELF, 0, &self->st));
}

struct mistake {
	int err;
	bool get;
	__u64 flags;
	struct det_op op;
};

static struct mistake mistakes[] = {
	{ EINVAL, 0, DET_START, {} },
	{ EINVAL, 0, DET_WAIT, {} },
	{ EINVAL, 0, DET_SNAP, {} },
	{ EINVAL, 0, DET_KILL, {} },
	{ EINVAL, 0, DET_FORK, {} },
	{ EINVAL, 0, DET_REGS, {} },
	{ EINVAL, 0, DET_NOWAIT, {} },
	{ EINVAL, 1, DET_START, {} },
	{ EINVAL, 0, 0, { .op = DET_COPY, .flags = DET_COPY_WHOLE } },
	{ EINVAL, 1, 0, { .op = DET_COPY, .flags = DET_COPY_WHOLE } },
	{ EINVAL, 1, 0, { .op = DET_COPY, .flags = DET_COPY_IMAGE,
			  .caller = THERE, .child = THERE, .len = PAGE } },
	{ EINVAL, 0, 0, { .op = DET_MERGE, .caller = THERE, .child = THERE,
			  .len = PAGE } },
	{ EINVAL, 1, 0, { .op = DET_MERGE, .caller = THERE, .child = THERE,
			  .len = PAGE } },
	/* Overlapping. */
	{ EINVAL, 0, 0, { .op = DET_COPY, .caller = THERE,
			  .child = THERE + PAGE, .len = PAGE + 1 } },
	{ EINVAL, 0, 0, { .op = DET_COPY, .caller = THERE + 7,
			  .child = THERE, .len = 8 } },
	{ EINVAL, 1, 0, { .op = DET_COPY, .caller = THERE,
			  .child = THERE, .len = 1 } },
	/* Not there, or not writable. */
	{ EFAULT, 0, 0, { .op = DET_PERM, .child = THERE + 8 * PAGE,
			  .caller = THERE + 8 * PAGE, .len = PAGE } },
	{ EFAULT, 0, 0, { .op = DET_COPY, .caller = THERE,
			  .child = THERE + 8 * PAGE + 1, .len = 9 } },
	{ EFAULT, 1, 0, { .op = DET_COPY, .caller = THERE + 3 * PAGE + 1,
			  .child = THERE, .len = 9 } },
};

/* How many of them were answered as they should be. */
static long makes_mistakes(void *arg)
{
	struct det_op ops[2] = { op_zero(THERE, 0, 0) };
	struct det_status st;
	unsigned int i, n;
	long ret;

	self_put(op_zero(THERE, 4 * PAGE, PROT_RW));
	self_put(op_perm(THERE + 3 * PAGE, PAGE, PROT_READ));
	for (i = 0; i < ARRAY_SIZE(mistakes); i++) {
		ops[1] = mistakes[i].op;
		n = mistakes[i].op.op ? 2 : 0;
		st.op = 99;
		ret = mistakes[i].get ?
			get_ops(DET_SELF, mistakes[i].flags, ops, n, &st) :
			put_ops(DET_SELF, mistakes[i].flags, ops, n, &st);
		if (ret != -mistakes[i].err || (n && st.op != 1))
			break;
	}
	return i;
}

TEST_F(self, mistakes)
{
	/* A space may not say NOWAIT at all; either error will do. */
	EXPECT_EQ(ARRAY_SIZE(mistakes), makes_mistakes(NULL));
	mistakes[6].flags = DET_SNAP | DET_START;
	ASSERT_EQ(1, spawn(1, DET_START | DET_WAIT, makes_mistakes, NULL,
			   &self->st));
	EXPECT_RET(ARRAY_SIZE(mistakes), &self->st);
}

static long spins(void *arg)
{
	for (;;)
		asm volatile("pause");
	return 0;
}

/* A child that runs for ever is not waited for, neither is its number used. */
TEST_F(self, waits_for_no_child)
{
	ASSERT_EQ(1, spawn(DET_SELF - 1, DET_START, spins, NULL, NULL));
	ASSERT_EQ(1, spawn(0, DET_START, spins, NULL, NULL));
	EXPECT_EQ(0, maps_memory(NULL));
	EXPECT_EQ(0, kill_child(DET_SELF - 1));
	EXPECT_EQ(0, kill_child(0));
}

static long maps_too_much(void *arg)
{
	return self_put(op_zero(THERE, 1UL << 38, PROT_RW));
}

/* Memory that the machine has not is nothing for a space to see. */
TEST_F(self, out_of_memory)
{
	struct rlimit lim = { 1UL << 32, 1UL << 32 };

	ASSERT_EQ(0, self_put(op_zero(THERE + PAGE, PAGE, PROT_RW)));
	store(THERE + PAGE, 'x');
	ASSERT_EQ(0, setrlimit(RLIMIT_AS, &lim));
	EXPECT_EQ(-ENOMEM, maps_too_much(NULL));
	/* As after a mmap that failed, what was there is there. */
	EXPECT_STREQ("rw-p", perm_at(getpid(), THERE + PAGE));
	EXPECT_EQ('x', load(THERE + PAGE));
	ASSERT_EQ(1, spawn(1, DET_START | DET_WAIT, maps_too_much, NULL,
			   &self->st));
	EXPECT_EQ(DET_KILLED, self->st.reason) print_status(&self->st);
	EXPECT_EQ(0, kill_child(1));
}

/* dget's COPY, too, says so before it takes anything away. */
TEST_F(self, copy_out_of_memory)
{
	const __u64 len = 1UL << 28;
	struct rlimit lim = { len, len };

	ASSERT_EQ(0, put_op(1, 0, op_zero(THERE, len, PROT_RW), NULL));
	ASSERT_EQ(0, self_put(op_zero(THERE + PAGE, PAGE, PROT_RW)));
	store(THERE + PAGE, 'x');
	ASSERT_EQ(0, setrlimit(RLIMIT_AS, &lim));
	EXPECT_EQ(-ENOMEM, get_op(1, 0, op_copy((void *)THERE, THERE, len),
				  &self->st));
	EXPECT_EQ(0, self->st.op);
	EXPECT_STREQ("rw-p", perm_at(getpid(), THERE + PAGE));
	EXPECT_EQ('x', load(THERE + PAGE));
	EXPECT_EQ(0, get_op(1, 0, op_copy((void *)THERE, THERE, 4 * PAGE),
			    NULL));
	EXPECT_EQ(0, load(THERE + PAGE));
}

/* What a space maps for itself its parent sees, and merges. */
static long writes_new(void *arg)
{
	self_put(op_zero(THERE, PAGE, PROT_RW));
	store(THERE + 1, 'x');
	return 0;
}

TEST_F(self, parent_sees)
{
	ASSERT_EQ(1, spawn(1, DET_SNAP | DET_START | DET_WAIT, writes_new, NULL,
			   &self->st));
	ASSERT_EQ(0, self_put(op_zero(THERE, PAGE, PROT_RW)));
	ASSERT_EQ(0, get_op(1, 0, op_merge((void *)THERE, PAGE, 0), &self->st));
	EXPECT_EQ(0, load(THERE));
	EXPECT_EQ('x', load(THERE + 1));
}

TEST_HARNESS_MAIN
