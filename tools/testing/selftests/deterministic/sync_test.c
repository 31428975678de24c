// SPDX-License-Identifier: GPL-2.0-only
/*
 * Changes that the calls bring, and the spaces themselves, where all page tables
 * are in sync: none may be overlooked by COPY, SNAP and MERGE, as in touch_test.c.
 */
#include "touch.h"

/* --- What the calls do --- */

TEST_F(touch, two_children)
{
	int i;

	in_sync(SECOND);
	for (i = 0; i < ROUNDS; i++) {
		change(USED);
		EXPECT_TRUE(brought());
		EXPECT_EQ(0, copy(SECOND));
		EXPECT_TRUE(same(SECOND));
		in_sync(SECOND);
	}
	ASSERT_EQ(0, kill_child(SECOND));
	change(USED);
	EXPECT_TRUE(brought());
	in_sync(SECOND);
	EXPECT_TRUE(same(SECOND));
}

/* Several COPYs to the one before the other gets any. */
TEST_F(touch, second_child_is_late)
{
	int i;

	in_sync(SECOND);
	for (i = 0; i < ROUNDS; i++) {
		change(AT(1, i));
		in_sync(CHILD);
		change(AT(2, i));
		in_sync(CHILD);
		EXPECT_EQ(0, copy(SECOND));
		EXPECT_TRUE(same(SECOND));
		in_sync(SECOND);
	}
}

/* What the one child has changed comes to the other by way of the caller. */
TEST_F(touch, merge_then_second_child)
{
	char *const p[] = { USED, UNUSED, AT(NEW, 5), AT(0, 0) };
	unsigned int i;

	in_sync(SECOND);
	for (i = 0; i < 2 * ARRAY_SIZE(p); i++) {
		ASSERT_EQ(0, child_write(CHILD, addr_of(p[i / 2]), i + 1));
		ASSERT_EQ(0, merge(CHILD));
		EXPECT_EQ(i + 1, word_at(p[i / 2]) & 0xff);
		EXPECT_EQ(0, copy(SECOND));
		EXPECT_TRUE(same(SECOND));
		EXPECT_TRUE(brought());
		in_sync(SECOND);
	}
}

/* The caller's own page is written byte by byte; the other is taken whole. */
TEST_F(touch, merge_beside_changes)
{
	int i;

	for (i = 0; i < ROUNDS; i++) {
		USED[100]++;
		ASSERT_EQ(0, child_write(CHILD, addr_of(USED), i));
		ASSERT_EQ(0, child_write(CHILD, addr_of(AT(2, 7)), i));
		ASSERT_EQ(0, merge(CHILD));
		EXPECT_EQ(i, word_at(USED) & 0xff);
		EXPECT_EQ(i, word_at(AT(2, 7)) & 0xff);
		EXPECT_TRUE(brought());
	}
}

/* dget's COPY into the caller: whole pages, and bytes. */
TEST_F(touch, copy_into_the_caller)
{
	int i;

	in_sync(SECOND);
	for (i = 0; i < ROUNDS; i++) {
		__u64 word = next_word();

		ASSERT_EQ(0, poke(SECOND, addr_of(USED), &word, 8));
		ASSERT_EQ(0, peek(SECOND, addr_of(USED), USED, i & 1 ? 100 : PAGE));
		EXPECT_EQ(word, word_at(USED));
		EXPECT_TRUE(brought());
		in_sync(SECOND);
	}
}

static long self_op(struct det_op op)
{
	return put_op(DET_SELF, 0, op, NULL);
}

TEST_F(touch, self)
{
	char *from = map_rw(PAGE);
	__u64 at = addr_of(USED);
	int i;

	for (i = 0; i < ROUNDS; i++) {
		ASSERT_EQ(0, self_op(op_zero(at, PAGE, PROT_RW)));
		EXPECT_TRUE(brought());
		ASSERT_EQ(0, self_op(op_zero(at, 100, PROT_RW)));
		EXPECT_TRUE(brought());
		change(from);
		ASSERT_EQ(0, self_op(op_copy(from, at, PAGE)));
		EXPECT_TRUE(brought());
		change(from);
		ASSERT_EQ(0, self_op(op_copy(from, at, 8)));
		EXPECT_TRUE(brought());
		ASSERT_EQ(0, self_op(op_perm(at, PAGE, PROT_READ)));
		ASSERT_EQ(0, self_op(op_perm(at, PAGE, PROT_RW)));
		change(USED);
		EXPECT_TRUE(brought());
	}
}

static long rests(void *arg)
{
	return 0;
}

TEST_F(touch, whole)
{
	struct det_op op = op_whole();
	int i, k;

	ASSERT_EQ(1, spawn(SECOND, 0, rests, NULL, NULL));
	for (i = 0; i < ROUNDS; i++) {
		for (k = 0; k < 4; k++)
			ASSERT_EQ(0, put_op(SECOND, 0, op, NULL));
		change(USED);
		change(UNUSED);
		ASSERT_EQ(0, put_op(SECOND, 0, op, NULL));
		EXPECT_TRUE(same(SECOND));
		ASSERT_EQ(0, put_op(SECOND, 0, op, NULL));
		EXPECT_TRUE(same(SECOND));
	}
}

/* --- Changes in the child --- */

/* What is done to the child each time; page USED of the child is another one then. */
typedef bool (*child_fn)(void);

static void check_child(struct __test_metadata *_metadata, child_fn fn)
{
	int i;

	for (i = 0; i < ROUNDS; i++) {
		ASSERT_TRUE(fn());
		EXPECT_TRUE(child_differs(USED));
		EXPECT_TRUE(restored());
		ASSERT_TRUE(fn());
		EXPECT_TRUE(merged());
	}
}

static bool child_runs(void)
{
	return !child_write(CHILD, addr_of(USED), ~word_at(USED) & 0xff);
}

TEST_F(touch, child_writes)
{
	check_child(_metadata, child_runs);
}

static bool child_runs_new(void)
{
	return child_runs() && !child_write(CHILD, addr_of(UNUSED), 1) &&
	       !child_write(CHILD, addr_of(AT(NEW, 3)), 2);
}

TEST_F(touch, child_writes_new)
{
	check_child(_metadata, child_runs_new);
}

static bool poked(void)
{
	__u64 word = next_word();

	return !poke(CHILD, addr_of(USED), &word, 8);
}

TEST_F(touch, child_poked)
{
	check_child(_metadata, poked);
}

static bool zeroed(void)
{
	return !put_op(CHILD, 0, op_zero(addr_of(USED), PAGE, PROT_RW), NULL);
}

TEST_F(touch, child_zeroed)
{
	check_child(_metadata, zeroed);
}

static bool table_zeroed(void)
{
	return !put_op(CHILD, 0, op_zero(addr_of(AT(1, 0)), HUGE, PROT_RW), NULL);
}

TEST_F(touch, child_table_zeroed)
{
	check_child(_metadata, table_zeroed);
}

static bool zeroed_and_written(void)
{
	return zeroed() && child_runs();
}

TEST_F(touch, child_zeroed_and_writes)
{
	check_child(_metadata, zeroed_and_written);
}

static bool bytes_zeroed(void)
{
	return !put_op(CHILD, 0, op_zero(addr_of(USED), 100, PROT_RW), NULL);
}

TEST_F(touch, child_bytes_zeroed)
{
	check_child(_metadata, bytes_zeroed);
}

static bool perm(int prot)
{
	return !put_op(CHILD, 0, op_perm(addr_of(USED), PAGE, prot), NULL);
}

static bool perm_changed(void)
{
	return perm(0) && perm(PROT_RW) && child_runs();
}

TEST_F(touch, child_perm_and_writes)
{
	check_child(_metadata, perm_changed);
}

/* A page and two tables from elsewhere. */
static bool replaced(void)
{
	struct det_op ops[] = {
		op_copy(make_some(ELSE_AT, 2 * HUGE), addr_of(AT(2, 0)), 2 * HUGE),
		op_copy((char *)ELSE_AT, addr_of(USED), PAGE),
	};

	return !put_ops(CHILD, 0, ops, 2, NULL);
}

TEST_F(touch, child_replaced)
{
	check_child(_metadata, replaced);
}

static bool whole_again(void)
{
	return !put_op(CHILD, 0, op_whole(), NULL) && !probe_into(CHILD) &&
	       child_runs();
}

TEST_F(touch, child_whole)
{
	check_child(_metadata, whole_again);
}

/* Only its permission, or a hole: COPY puts that right. */
TEST_F(touch, child_loses_memory)
{
	__u64 at = addr_of(USED);
	int i;

	for (i = 0; i < 2 * ROUNDS; i++) {
		ASSERT_EQ(0, put_op(CHILD, 0, i & 1 ? op_perm(at, PAGE, PROT_READ) :
						      op_zero(at, PAGE, 0), NULL));
		EXPECT_EQ(PROBE_FAULT, child_write(CHILD, at, 1));
		ASSERT_EQ(0, copy(CHILD));
		EXPECT_TRUE(same(CHILD));
		EXPECT_EQ(0, child_write(CHILD, at, 1));
		EXPECT_TRUE(restored());
	}
}

/* Caller and child, the same page and others. */
TEST_F(touch, both_write)
{
	int i;

	for (i = 0; i < ROUNDS; i++) {
		ASSERT_TRUE(child_runs());
		ASSERT_EQ(0, child_write(CHILD, addr_of(AT(2, 7)), 1));
		change(USED);
		change(AT(3, 7));
		EXPECT_TRUE(brought());
	}
}

/* A SNAP that is late: all that came since the last one is in it. */
TEST_F(touch, snap_after_copies)
{
	int i;

	for (i = 0; i < ROUNDS; i++) {
		change(USED);
		in_sync(CHILD);
		change(UNUSED);
		in_sync(CHILD);
		ASSERT_EQ(0, snap(CHILD));
		EXPECT_TRUE(image_same(CHILD));
		EXPECT_EQ(0, merge(CHILD));
		EXPECT_TRUE(same(CHILD));
		snap_in_sync(CHILD);
		EXPECT_TRUE(image_same(CHILD));
	}
}

/* A COPY brings the child a page table that neither it nor its snapshot has had. */
TEST_F(touch, snap_after_a_new_table)
{
	change(AT(NEW, 5));
	ASSERT_EQ(0, copy(CHILD));
	ASSERT_EQ(0, snap(CHILD));
	EXPECT_TRUE(image_same(CHILD));
}

/* --- Spaces as parents --- */

/* Copies what it has to its own child, each time it runs. */
static long copies_on(void *arg)
{
	bool ok = !copy(CHILD) && same(CHILD) && !copy(CHILD) && same(CHILD);

	in_sync(CHILD);
	return !ok;
}

static bool nested_runs(void)
{
	struct det_status st;

	return !run_child(SECOND, &st) && is_ret(&st, 0) && same(SECOND);
}

TEST_F(touch, nested_copy)
{
	int i;

	ASSERT_EQ(1, spawn(SECOND, 0, copies_on, NULL, NULL));
	EXPECT_TRUE(nested_runs());
	for (i = 0; i < ROUNDS; i++) {
		in_sync(SECOND);
		EXPECT_TRUE(nested_runs());
		change(USED);
		change(UNUSED + i * PAGE);
		ASSERT_EQ(0, copy(SECOND));
		EXPECT_TRUE(nested_runs());
		change(USED);
		ASSERT_EQ(0, poke(SECOND, addr_of(USED), USED, 8));
		EXPECT_TRUE(nested_runs());
		ASSERT_EQ(0, madvise(AT(1, 0), HUGE, MADV_DONTNEED));
		ASSERT_EQ(0, put_op(SECOND, 0, op_zero(addr_of(AT(1, 0)), HUGE, PROT_RW),
				    NULL));
		EXPECT_TRUE(nested_runs());
		change_used();
		ASSERT_EQ(0, copy(SECOND));
		EXPECT_TRUE(nested_runs());
	}
}

/* Its child writes, and it merges that; its own memory it leaves alone. */
static long merges_on(void *arg)
{
	long ret = fork_space(CHILD, DET_SNAP | DET_START | DET_WAIT, NULL);

	if (!ret) {
		__atomic_add_fetch((__u64 *)USED, 1, __ATOMIC_RELAXED);
		__atomic_add_fetch((__u64 *)UNUSED, 1, __ATOMIC_RELAXED);
		for (;;)
			dret(0);
	}
	return ret == 1 ? merge(CHILD) : ret;
}

TEST_F(touch, nested_merge)
{
	struct det_status st;
	int i;

	ASSERT_EQ(1, spawn(SECOND, 0, merges_on, NULL, NULL));
	for (i = 0; i < ROUNDS; i++) {
		in_sync(SECOND);
		snap_in_sync(SECOND);
		ASSERT_EQ(0, run_child(SECOND, &st));
		ASSERT_RET(0, &st);
		sum = word_at(USED);
		ASSERT_EQ(0, merge(SECOND));
		EXPECT_EQ(sum + 1, word_at(USED));
		EXPECT_EQ(i + 1, word_at(UNUSED));
		EXPECT_TRUE(same(SECOND));
		EXPECT_TRUE(copied());
		in_sync(CHILD);
	}
}

TEST_HARNESS_MAIN
