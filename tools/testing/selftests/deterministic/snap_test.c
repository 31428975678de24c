// SPDX-License-Identifier: GPL-2.0-only
/*
 * SNAP: an image of the child's own memory at that point of the call. It stays
 * as it is until the next SNAP or KILL, whatever becomes of either side.
 */
#include "mem.h"

#define PAGES 4
#define LEN (PAGES * PAGE)

FIXTURE(snap) {
	char *a;	/* LEN bytes, filled; the child has them too */
	char *orig;
};

FIXTURE_SETUP(snap)
{
	NEED_CALLS();
	self->a = map_rw(LEN);
	self->orig = map_rw(LEN);
	fill(self->a, LEN, 3);
	memcpy(self->orig, self->a, LEN);
	ASSERT_EQ(0, put_op(1, 0, op_copy(self->a, addr_of(self->a), LEN),
			    NULL));
}

FIXTURE_TEARDOWN(snap)
{
}

static long merge(char *a)
{
	return get_op(1, 0, op_merge(a, LEN, 0), NULL);
}

static void child_sets(char *at, char val)
{
	if (poke(1, addr_of(at), &val, 1))
		abort();
}

TEST_F(snap, none)
{
	struct det_op ops[] = {
		op_copy(self->a + 1, addr_of(self->a), 1),
		op_merge(self->a, LEN, 0),
		op_copy(self->a, addr_of(self->a), LEN),
	};
	struct det_status st;
	long ret;

	self->a[2] = ~self->a[2];
	ret = get_ops(1, 0, ops, 3, &st);
	EXPECT_OP_ERR(ENODATA, 1, ret, &st);
	ops[1] = op_image(self->a, addr_of(self->a), LEN);
	ret = get_ops(1, 0, ops, 3, &st);
	EXPECT_OP_ERR(ENODATA, 1, ret, &st);
	EXPECT_EQ((char)~self->orig[2], self->a[2]);
	EXPECT_TRUE(child_has(1, addr_of(self->a), self->orig, LEN));
	/* It is of the child, not of the caller: another one changes nothing. */
	ASSERT_EQ(0, put_flags(2, DET_SNAP, NULL));
	EXPECT_EQ(-ENODATA, merge(self->a));
}

/* The child's own memory, though it differs from the caller's. */
TEST_F(snap, of_the_childs_own)
{
	char *back = map_rw(LEN);

	child_sets(self->a + 10, ~self->orig[10]);
	self->a[11] ^= 1;
	ASSERT_EQ(0, put_flags(1, DET_SNAP, NULL));
	child_sets(self->a + 12, ~self->orig[12]);
	ASSERT_EQ(0, get_op(1, 0, op_image(back, addr_of(self->a), LEN), NULL));
	EXPECT_EQ((char)~self->orig[10], back[10]);
	EXPECT_EQ(self->orig[11], back[11]);
	EXPECT_EQ(self->orig[12], back[12]);
	EXPECT_EQ(0, merge(self->a));
	EXPECT_EQ(self->orig[10], self->a[10]);
	EXPECT_EQ(self->orig[11] ^ 1, self->a[11]);
	EXPECT_EQ((char)~self->orig[12], self->a[12]);
}

/* After the operations of its call. */
TEST_F(snap, after_the_operations)
{
	struct det_op op = op_copy("x", addr_of(self->a), 1);

	ASSERT_EQ(0, put_ops(1, DET_SNAP, &op, 1, NULL));
	EXPECT_EQ(0, merge(self->a));
	EXPECT_EQ(0, memcmp(self->a, self->orig, LEN));
}

TEST_F(snap, again)
{
	ASSERT_EQ(0, put_flags(1, DET_SNAP, NULL));
	child_sets(self->a, ~self->orig[0]);
	ASSERT_EQ(0, put_flags(1, DET_SNAP, NULL));
	child_sets(self->a + PAGE, ~self->orig[PAGE]);
	EXPECT_EQ(0, merge(self->a));
	EXPECT_EQ(self->orig[0], self->a[0]);
	EXPECT_EQ((char)~self->orig[PAGE], self->a[PAGE]);
}

/* It does not move, whatever happens to the child's and the caller's memory. */
TEST_F(snap, immutable)
{
	char *back = map_rw(LEN);

	ASSERT_EQ(0, put_flags(1, DET_SNAP, NULL));
	child_sets(self->a, 1);
	ASSERT_EQ(0, put_op(1, 0, op_zero(addr_of(self->a) + PAGE, PAGE, 0),
			    NULL));
	ASSERT_EQ(0, put_op(1, 0, op_zero(addr_of(self->a) + 2 * PAGE, PAGE,
					  PROT_RW), NULL));
	ASSERT_EQ(0, put_op(1, 0, op_perm(addr_of(self->a) + 3 * PAGE, PAGE, 0),
			    NULL));
	memset(self->a, 9, LEN);
	ASSERT_EQ(0, get_op(1, 0, op_image(back, addr_of(self->a), LEN), NULL));
	EXPECT_STREQ("rw-p", perm_at(getpid(), addr_of(back) + 3 * PAGE));
	EXPECT_EQ(0, memcmp(back, self->orig, LEN));
	/* What was taken out of it is the caller's alone. */
	memset(back, 0, LEN);
	ASSERT_EQ(0, get_op(1, 0, op_image(back, addr_of(self->a), LEN), NULL));
	EXPECT_EQ(0, memcmp(back, self->orig, LEN));
}

/* A whole copy into the child is a change like others, the image stays. */
TEST_F(snap, survives_a_whole_copy)
{
	ASSERT_EQ(0, put_flags(1, DET_SNAP, NULL));
	self->a[1] ^= 1;
	ASSERT_EQ(0, put_op(1, 0, op_whole(), NULL));
	self->a[1] ^= 1;
	EXPECT_EQ(0, merge(self->a));
	EXPECT_EQ(self->orig[1] ^ 1, self->a[1]);
}

TEST_F(snap, ends_with_the_child)
{
	ASSERT_EQ(0, put_flags(1, DET_SNAP, NULL));
	ASSERT_EQ(0, kill_child(1));
	ASSERT_EQ(0, put_op(1, 0, op_copy(self->a, addr_of(self->a), LEN),
			    NULL));
	EXPECT_EQ(-ENODATA, merge(self->a));
}

/* An empty child has an empty image: all it gets later is new. */
TEST_F(snap, of_nothing)
{
	char *p = map_rw(PAGE);

	ASSERT_EQ(0, put_flags(2, DET_SNAP, NULL));
	ASSERT_EQ(0, put_op(2, 0, op_zero(addr_of(p), PAGE, PROT_RW), NULL));
	ASSERT_EQ(0, poke(2, addr_of(p) + 3, "abc", 3));
	EXPECT_EQ(0, get_op(2, 0, op_merge(p, PAGE, 0), NULL));
	EXPECT_EQ(0, memcmp(p, "\0\0\0abc", 7));
}

static long counts(void *arg)
{
	char *a = arg;

	for (;;) {
		a[0]++;
		dret(a[0]);
	}
	return 0;
}

/* Between the stops of a child that goes on: each merge brings one change. */
TEST_F(snap, between_stops)
{
	struct det_status st;
	int i;

	self->a[0] = 0;
	ASSERT_EQ(1, spawn(3, 0, counts, self->a, NULL));
	for (i = 1; i <= 5; i++) {
		ASSERT_EQ(0, put_flags(3, DET_SNAP | DET_START | DET_WAIT,
				       &st));
		ASSERT_RET(i, &st);
		EXPECT_EQ(i - 1, self->a[0]);
		ASSERT_EQ(0, get_op(3, 0, op_merge(self->a, LEN, 0), NULL));
		EXPECT_EQ(i, self->a[0]);
	}
	EXPECT_EQ(0, memcmp(self->a + 1, self->orig + 1, LEN - 1));
}

/* Each child has its own. */
TEST_F(snap, of_each_child)
{
	ASSERT_EQ(0, put_op(2, DET_SNAP,
			    op_copy(self->a, addr_of(self->a), LEN), NULL));
	child_sets(self->a, ~self->orig[0]);
	ASSERT_EQ(0, put_flags(1, DET_SNAP, NULL));
	child_sets(self->a + 1, ~self->orig[1]);
	ASSERT_EQ(0, poke(2, addr_of(self->a + 2), "?", 1));
	EXPECT_EQ(0, get_op(2, 0, op_merge(self->a, LEN, 0), NULL));
	EXPECT_EQ(0, merge(self->a));
	EXPECT_EQ(self->orig[0], self->a[0]);
	EXPECT_EQ((char)~self->orig[1], self->a[1]);
	EXPECT_EQ('?', self->a[2]);
}

TEST_F(snap, is_not_for_dget)
{
	struct det_status st;

	EXPECT_EQ(-EINVAL, get_flags(1, DET_SNAP, &st));
	EXPECT_EQ(-ENODATA, merge(self->a));
}

/* Not taken when an operation of the call fails. */
TEST_F(snap, not_after_an_error)
{
	struct det_status st;
	long ret;

	ret = put_op(1, DET_SNAP, op_perm(0x700000000UL, PAGE, PROT_READ), &st);
	EXPECT_OP_ERR_AT(EFAULT, 0, 0x700000000UL, ret, &st);
	EXPECT_EQ(-ENODATA, merge(self->a));
}

TEST_HARNESS_MAIN
