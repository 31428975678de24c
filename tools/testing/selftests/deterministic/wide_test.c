// SPDX-License-Identifier: GPL-2.0-only
/*
 * An area of terabytes of which little is used, in several tables of 512 GiB and at
 * their borders: COPY, SNAP, MERGE and ZERO pass over what is empty, and over nothing
 * else.
 */
#include "touch.h"

#define TIB (1024 * GIB)

/* Neither begins nor ends where a table of 512 GiB does. */
#define WIDE_AT (0x200000000000UL + 3 * GIB)
#define WIDE_LEN (3 * TIB + 5 * GIB)

/* What one GiB is in page tables, and where in the area each 512 GiB begin. */
#define NR_GIB 512
#define BORDER(n) ((512 * (n) - 3) * NR_GIB)

static const unsigned int wide_tables[] = {
	0, NR_GIB, 2 * NR_GIB + 511,
	BORDER(1) - 1, BORDER(1), BORDER(1) + 1, BORDER(1) + 5 * NR_GIB,
	BORDER(2), BORDER(2) + 511 * NR_GIB,
	/* The third has nothing. */
	BORDER(4) - 1, BORDER(4) + 6 * NR_GIB + 7,
	BORDER(5) + 300 * NR_GIB,
	BORDER(6) + 8 * NR_GIB - 1,
};

/* Where nothing is at first. */
static const unsigned int empty_tables[] = {
	2 * NR_GIB, BORDER(1) + 6 * NR_GIB, BORDER(2) + 510 * NR_GIB,
	BORDER(3), BORDER(3) + 77 * NR_GIB, BORDER(4) + 511 * NR_GIB,
	BORDER(6) - 1, BORDER(6), BORDER(6) + 7 * NR_GIB,
};

FIXTURE(wide) {
};

FIXTURE_SETUP(wide)
{
	NEED_CALLS();
	if (probe_into(CHILD))
		abort();
	use(map_there(WIDE_AT, WIDE_LEN), WIDE_LEN, wide_tables,
	    ARRAY_SIZE(wide_tables));
}

FIXTURE_TEARDOWN(wide)
{
}

TEST_F(wide, nothing)
{
	EXPECT_TRUE(kept());
}

/* A page of each table in turn, and one that was not there. */
TEST_F(wide, write)
{
	unsigned int i;

	for (i = 0; i < nr_tables; i++) {
		change(AT(wide_tables[i], 7));
		EXPECT_TRUE(brought());
		change(AT(wide_tables[i], 9));
		EXPECT_TRUE(brought());
	}
}

TEST_F(wide, write_all)
{
	change_used();
	EXPECT_TRUE(brought());
}

TEST_F(wide, restored)
{
	unsigned int i;

	for (i = 0; i < nr_tables; i++) {
		ASSERT_EQ(0, child_write(CHILD, addr_of(AT(wide_tables[i], 7)), 1));
		EXPECT_TRUE(restored());
	}
}

TEST_F(wide, merged)
{
	unsigned int i;

	for (i = 0; i < nr_tables; i++) {
		ASSERT_EQ(0, child_write(CHILD, addr_of(AT(wide_tables[i], 8)), 1));
		EXPECT_TRUE(merged());
	}
}

TEST_F(wide, merged_at_once)
{
	unsigned int i;

	for (i = 0; i < nr_tables; i++)
		ASSERT_EQ(0, child_write(CHILD, addr_of(AT(wide_tables[i], 7)), 1));
	EXPECT_TRUE(merged());
}

/* Where there was no table: the caller's, then the child's. */
TEST_F(wide, new_tables)
{
	unsigned int i;
	__u64 word;

	for (i = 0; i < ARRAY_SIZE(empty_tables); i++) {
		change(AT(empty_tables[i], i));
		ASSERT_EQ(0, copy(CHILD));
		EXPECT_TRUE(is_equal(CHILD, AT(empty_tables[i], 0), 0));
	}
	for (i = 0; i < ARRAY_SIZE(empty_tables); i++)
		EXPECT_TRUE(is_equal(CHILD, AT(empty_tables[i], 0), 0));
	EXPECT_TRUE(kept());

	for (i = 0; i < ARRAY_SIZE(empty_tables); i++)
		ASSERT_EQ(0, child_write(CHILD, addr_of(AT(empty_tables[i] + 1, i)),
					 i + 1));
	ASSERT_EQ(0, merge(CHILD));
	for (i = 0; i < ARRAY_SIZE(empty_tables); i++) {
		word = word_at(AT(empty_tables[i] + 1, i));
		EXPECT_EQ(i + 1, word);
	}
	EXPECT_TRUE(kept());
}

/* All of it is unmapped in one place or the other. */
TEST_F(wide, zeros)
{
	unsigned int i;

	ASSERT_EQ(0, put_op(CHILD, 0, op_zero_at(addr_of(a), len, PROT_RW,
						 DET_ZERO_NORESERVE), NULL));
	for (i = 0; i < nr_tables; i++)
		EXPECT_EQ(0, child_read(CHILD, addr_of(AT(wide_tables[i], 7))));
	EXPECT_TRUE(restored());

	ASSERT_EQ(0, madvise(a, len, MADV_DONTNEED));
	ASSERT_EQ(0, copy(CHILD));
	for (i = 0; i < nr_tables; i++)
		EXPECT_EQ(0, child_read(CHILD, addr_of(AT(wide_tables[i], 7))));
	EXPECT_EQ(0, sum_all());
	EXPECT_TRUE(same(CHILD));
}

TEST_HARNESS_MAIN
