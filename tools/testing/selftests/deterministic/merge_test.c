// SPDX-License-Identifier: GPL-2.0-only
/*
 * MERGE: what the child changed since its snapshot goes to the caller, byte by
 * byte; what both changed is a conflict, and then nothing has changed.
 *
 * Most children here never run: what their parent writes into them with COPY
 * and ZERO counts as their change.
 */
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sys/ioctl.h>

#include "mem.h"

#define PAGES 8
#define LEN (PAGES * PAGE)
#define MAX_RANGES 64

FIXTURE(merge) {
	char *a;	/* the arena: LEN bytes, filled */
	char *orig;	/* what it held at the snapshot */
	struct det_range ranges[MAX_RANGES];
	struct det_status st;
};

/* The child has the arena at the same addresses, and a snapshot of it. */
FIXTURE_SETUP(merge)
{
	NEED_CALLS();
	self->a = map_rw(LEN);
	self->orig = map_rw(LEN);
	fill(self->a, LEN, 7);
	memcpy(self->orig, self->a, LEN);
	ASSERT_EQ(0, put_op(1, DET_SNAP,
			    op_copy(self->a, addr_of(self->a), LEN), NULL));
}

FIXTURE_TEARDOWN(merge)
{
}

/* The child changes @len bytes of the arena at @off. */
static void child_sets(char *arena, size_t off, const void *val, size_t len)
{
	if (poke(1, addr_of(arena) + off, val, len))
		abort();
}

/* Other values than those that are there. */
static void child_flips(char *arena, const char *orig, size_t off, size_t len)
{
	char buf[PAGE];
	size_t i;

	for (i = 0; i < len; i++)
		buf[i] = orig[off + i] ^ 0x55;
	child_sets(arena, off, buf, len);
}

static void caller_flips(char *arena, size_t off, size_t len)
{
	while (len--)
		arena[off++] ^= 0x33;
}

/* A MERGE of some operations, with room for the conflicts' ranges. */
static long merge_ops(struct det_range *ranges, unsigned int nr_ranges,
		      const struct det_op *ops, unsigned int nr,
		      struct det_status *st)
{
	struct det_args a = args_of(0, ops, nr, st);

	memset(st, 0xee, sizeof(*st));
	a.ranges = addr_of(ranges);
	a.nr_ranges = nr_ranges;
	return dget(1, &a);
}

static long merge_arena(char *arena, __u32 flags, struct det_range *ranges,
			struct det_status *st)
{
	struct det_op op = op_merge(arena, LEN, flags);

	return merge_ops(ranges, MAX_RANGES, &op, 1, st);
}

/* --- Bytes --- */

TEST_F(merge, nothing_changed)
{
	ASSERT_EQ(0, merge_arena(self->a, 0, self->ranges, &self->st));
	EXPECT_EQ(1, self->st.nr_done);
	EXPECT_EQ(DET_NO_OP, self->st.op);
	EXPECT_EQ(0, self->st.nr_conflicts);
	EXPECT_EQ(0, self->st.nr_ranges);
	EXPECT_EQ(0, memcmp(self->a, self->orig, LEN));
}

/* Bytes of both sides side by side, at the ends of pages and of the range. */
TEST_F(merge, both_sides)
{
	static const size_t theirs[] = { 0, 2, PAGE - 1, PAGE + 1, LEN - 2 };
	static const size_t ours[] = { 1, 3, PAGE - 2, PAGE, LEN - 1 };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(theirs); i++) {
		child_flips(self->a, self->orig, theirs[i], 1);
		caller_flips(self->a, ours[i], 1);
	}
	ASSERT_EQ(0, merge_arena(self->a, 0, self->ranges, &self->st));
	EXPECT_EQ(0, self->st.nr_conflicts);
	for (i = 0; i < ARRAY_SIZE(theirs); i++) {
		self->orig[theirs[i]] ^= 0x55;
		self->orig[ours[i]] ^= 0x33;
	}
	EXPECT_EQ(0, memcmp(self->a, self->orig, LEN));
}

/* Only the range is merged, and only changes in the range can conflict. */
TEST_F(merge, only_the_range)
{
	struct det_op op = op_merge(self->a + 100, 2 * PAGE, 0);

	child_flips(self->a, self->orig, 99, 2);
	child_flips(self->a, self->orig, 100 + 2 * PAGE - 1, 2);
	caller_flips(self->a, 99, 1);
	caller_flips(self->a, 100 + 2 * PAGE, 1);
	memcpy(self->orig, self->a, LEN);
	ASSERT_EQ(0, merge_ops(self->ranges, 8, &op, 1, &self->st));
	self->orig[100] ^= 0x55;
	self->orig[100 + 2 * PAGE - 1] ^= 0x55;
	EXPECT_EQ(0, memcmp(self->a, self->orig, LEN));
	EXPECT_EQ(0, self->st.nr_conflicts);
}

TEST_F(merge, length_zero)
{
	struct det_op op = op_merge(self->a + 5, 0, 0);

	child_flips(self->a, self->orig, 5, 1);
	caller_flips(self->a, 5, 1);
	EXPECT_EQ(0, merge_ops(self->ranges, 8, &op, 1, &self->st));
	EXPECT_EQ(0, self->st.nr_conflicts);
}

/* A changed byte written back is no change, on either side. */
TEST_F(merge, written_back)
{
	child_flips(self->a, self->orig, 10, 1);
	child_sets(self->a, 10, self->orig + 10, 1);
	caller_flips(self->a, 10, 1);
	ASSERT_EQ(0, merge_arena(self->a, 0, self->ranges, &self->st));
	EXPECT_EQ(self->orig[10] ^ 0x33, self->a[10]);
	caller_flips(self->a, 10, 1);
	child_flips(self->a, self->orig, 10, 1);
	ASSERT_EQ(0, merge_arena(self->a, 0, self->ranges, &self->st));
	EXPECT_EQ((char)(self->orig[10] ^ 0x55), self->a[10]);
}

/* What a child that runs writes itself. */
static long writes_there(void *arg)
{
	char *a = arg;
	int i;

	for (i = 0; i < PAGES; i++)
		a[i * PAGE + i] = ~a[i * PAGE + i];
	return 0;
}

TEST_F(merge, a_running_child)
{
	int i;

	ASSERT_EQ(1, spawn(1, DET_SNAP | DET_START, writes_there, self->a,
			   NULL));
	ASSERT_EQ(0, merge_arena(self->a, 0, self->ranges, &self->st));
	EXPECT_RET(0, &self->st);
	for (i = 0; i < PAGES; i++)
		self->orig[i * PAGE + i] ^= 0xff;
	EXPECT_EQ(0, memcmp(self->a, self->orig, LEN));
}

/* --- Conflicts --- */

TEST_F(merge, conflict)
{
	char before[8];

	child_flips(self->a, self->orig, PAGE + 100, 4);
	child_flips(self->a, self->orig, 3, 1);
	child_flips(self->a, self->orig, 3 * PAGE - 1, 2);
	caller_flips(self->a, PAGE + 102, 4);
	caller_flips(self->a, 3 * PAGE - 1, 2);
	memcpy(before, self->a + PAGE + 100, 8);

	EXPECT_EQ(-DET_ECONFLICT,
		  merge_arena(self->a, 0, self->ranges, &self->st));
	EXPECT_EQ(0, self->st.op);
	EXPECT_EQ(0, self->st.nr_done);
	EXPECT_EQ(addr_of(self->a + PAGE + 102), self->st.addr);
	EXPECT_EQ(4, self->st.nr_conflicts);
	ASSERT_EQ(2, self->st.nr_ranges);
	EXPECT_EQ(addr_of(self->a + PAGE + 102), self->ranges[0].addr);
	EXPECT_EQ(2, self->ranges[0].len);
	EXPECT_EQ(addr_of(self->a + 3 * PAGE - 1), self->ranges[1].addr);
	EXPECT_EQ(2, self->ranges[1].len);
	/* Nothing was written, not even what did not conflict. */
	EXPECT_EQ(self->orig[3], self->a[3]);
	EXPECT_EQ(0, memcmp(before, self->a + PAGE + 100, 8));
	/* The child is as it was: the same merge without the caller's change. */
	memcpy(self->a, self->orig, LEN);
	ASSERT_EQ(0, merge_arena(self->a, 0, self->ranges, &self->st));
	EXPECT_EQ((char)(self->orig[3] ^ 0x55), self->a[3]);
}

/* Both wrote the same value: the program raced all the same. */
TEST_F(merge, same_value_conflicts)
{
	child_flips(self->a, self->orig, 77, 1);
	self->a[77] ^= 0x55;
	EXPECT_EQ(-DET_ECONFLICT,
		  merge_arena(self->a, 0, self->ranges, &self->st));
	EXPECT_EQ(1, self->st.nr_conflicts);
	EXPECT_EQ(addr_of(self->a + 77), self->st.addr);
}

TEST_F(merge, keep)
{
	child_flips(self->a, self->orig, 50, 4);
	caller_flips(self->a, 52, 4);
	ASSERT_EQ(0, merge_arena(self->a, DET_MERGE_KEEP, self->ranges,
				 &self->st));
	EXPECT_EQ(DET_NO_OP, self->st.op);
	EXPECT_EQ(1, self->st.nr_done);
	EXPECT_EQ(2, self->st.nr_conflicts);
	ASSERT_EQ(1, self->st.nr_ranges);
	EXPECT_EQ(addr_of(self->a + 52), self->ranges[0].addr);
	EXPECT_EQ(2, self->ranges[0].len);
	EXPECT_EQ((char)(self->orig[50] ^ 0x55), self->a[50]);
	EXPECT_EQ((char)(self->orig[51] ^ 0x55), self->a[51]);
	EXPECT_EQ((char)(self->orig[52] ^ 0x33), self->a[52]);
	EXPECT_EQ((char)(self->orig[53] ^ 0x33), self->a[53]);
	EXPECT_EQ((char)(self->orig[55] ^ 0x33), self->a[55]);
}

TEST_F(merge, take)
{
	child_flips(self->a, self->orig, 50, 4);
	caller_flips(self->a, 52, 4);
	ASSERT_EQ(0, merge_arena(self->a, DET_MERGE_TAKE, self->ranges,
				 &self->st));
	EXPECT_EQ(2, self->st.nr_conflicts);
	ASSERT_EQ(1, self->st.nr_ranges);
	EXPECT_EQ((char)(self->orig[51] ^ 0x55), self->a[51]);
	EXPECT_EQ((char)(self->orig[52] ^ 0x55), self->a[52]);
	EXPECT_EQ((char)(self->orig[53] ^ 0x55), self->a[53]);
	EXPECT_EQ((char)(self->orig[54] ^ 0x33), self->a[54]);
}

/* More conflicts than there is room for: the first ones, all are counted. */
TEST_F(merge, ranges_do_not_fit)
{
	struct det_op op = op_merge(self->a, LEN, 0);
	struct det_range r[3] = { [2] = { 1, 2 } };
	int i;

	for (i = 0; i < 5; i++) {
		child_flips(self->a, self->orig, i * 900, 3);
		caller_flips(self->a, i * 900, 3);
	}
	EXPECT_EQ(-DET_ECONFLICT, merge_ops(r, 2, &op, 1, &self->st));
	EXPECT_EQ(15, self->st.nr_conflicts);
	EXPECT_EQ(2, self->st.nr_ranges);
	EXPECT_EQ(addr_of(self->a), r[0].addr);
	EXPECT_EQ(addr_of(self->a + 900), r[1].addr);
	EXPECT_EQ(3, r[1].len);
	EXPECT_EQ(1, r[2].addr);
	EXPECT_EQ(2, r[2].len);
	EXPECT_EQ(-DET_ECONFLICT, merge_ops(NULL, 0, &op, 1, &self->st));
	EXPECT_EQ(15, self->st.nr_conflicts);
	EXPECT_EQ(0, self->st.nr_ranges);
}

/* One long conflict over pages is one range. */
TEST_F(merge, long_range)
{
	int i;

	for (i = 0; i < 4; i++)
		child_flips(self->a, self->orig, 50 + i * PAGE, PAGE);
	caller_flips(self->a, 0, LEN);
	EXPECT_EQ(-DET_ECONFLICT,
		  merge_arena(self->a, 0, self->ranges, &self->st));
	EXPECT_EQ(4 * PAGE, self->st.nr_conflicts);
	EXPECT_EQ(1, self->st.nr_ranges);
	EXPECT_EQ(addr_of(self->a + 50), self->ranges[0].addr);
	EXPECT_EQ(4 * PAGE, self->ranges[0].len);
}

/* Merging a changed range twice conflicts, until there is a new snapshot. */
TEST_F(merge, twice)
{
	child_flips(self->a, self->orig, 5, 3);
	ASSERT_EQ(0, merge_arena(self->a, 0, self->ranges, &self->st));
	EXPECT_EQ(-DET_ECONFLICT,
		  merge_arena(self->a, 0, self->ranges, &self->st));
	EXPECT_EQ(3, self->st.nr_conflicts);
	ASSERT_EQ(0, put_flags(1, DET_SNAP, NULL));
	EXPECT_EQ(0, merge_arena(self->a, 0, self->ranges, &self->st));
}

/* --- Granules --- */

/*
 * The words that a granule of 1 mixes: two writes to different bytes of an
 * int, 1 and 256, give 257. With granules of an int it is a conflict.
 */
TEST_F(merge, words_mix)
{
	const int one = 1, other = 256;
	int *word = (int *)(self->a + PAGE + 8);

	*word = 0;
	ASSERT_EQ(0, put_op(1, DET_SNAP,
			    op_copy(self->a, addr_of(self->a), LEN), NULL));
	child_sets(self->a, PAGE + 8, &one, sizeof(one));
	*word = other;
	EXPECT_EQ(-DET_ECONFLICT,
		  merge_arena(self->a, DET_MERGE_GRANULE_4, self->ranges,
			      &self->st));
	EXPECT_EQ(256, *word);
	EXPECT_EQ(4, self->st.nr_conflicts);
	EXPECT_EQ(addr_of(word), self->st.addr);
	ASSERT_EQ(1, self->st.nr_ranges);
	EXPECT_EQ(addr_of(word), self->ranges[0].addr);
	EXPECT_EQ(4, self->ranges[0].len);
	ASSERT_EQ(0, merge_arena(self->a, DET_MERGE_GRANULE_1, self->ranges,
				 &self->st));
	EXPECT_EQ(257, *word);
}

/* Bytes i and j of 16 changed: they conflict if they share a granule. */
TEST_F(merge, granules)
{
	static const __u32 flags[] = {
		DET_MERGE_GRANULE_1, DET_MERGE_GRANULE_2,
		DET_MERGE_GRANULE_4, DET_MERGE_GRANULE_8,
	};
	unsigned int log, i, j, g;

	for (i = 0; i < 16; i++) {
		memcpy(self->a, self->orig, LEN);
		ASSERT_EQ(0, poke(1, addr_of(self->a), self->orig, LEN));
		child_flips(self->a, self->orig, PAGE + i, 1);
		for (j = 0; j < 16; j++) {
			for (log = 0; log < 4; log++) {
				g = 1 << log;
				memcpy(self->a, self->orig, LEN);
				caller_flips(self->a, PAGE + j, 1);
				EXPECT_EQ(i / g == j / g ? -DET_ECONFLICT : 0,
					  merge_arena(self->a, flags[log],
						      self->ranges,
						      &self->st));
				EXPECT_EQ(i / g == j / g ? g : 0,
					  self->st.nr_conflicts);
			}
		}
	}
}

/* TAKE and KEEP decide over whole granules. */
TEST_F(merge, granule_policies)
{
	size_t at = PAGE + 16;

	child_flips(self->a, self->orig, at + 1, 1);
	caller_flips(self->a, at + 2, 1);
	ASSERT_EQ(0, merge_arena(self->a, DET_MERGE_KEEP | DET_MERGE_GRANULE_8,
				 self->ranges, &self->st));
	EXPECT_EQ(8, self->st.nr_conflicts);
	EXPECT_EQ(self->orig[at + 1], self->a[at + 1]);
	EXPECT_EQ((char)(self->orig[at + 2] ^ 0x33), self->a[at + 2]);
	ASSERT_EQ(0, merge_arena(self->a, DET_MERGE_TAKE | DET_MERGE_GRANULE_2,
				 self->ranges, &self->st));
	EXPECT_EQ(0, self->st.nr_conflicts);
	EXPECT_EQ((char)(self->orig[at + 1] ^ 0x55), self->a[at + 1]);
	EXPECT_EQ((char)(self->orig[at + 2] ^ 0x33), self->a[at + 2]);
	self->a[at + 1] = self->orig[at + 1];
	ASSERT_EQ(0, merge_arena(self->a, DET_MERGE_TAKE | DET_MERGE_GRANULE_8,
				 self->ranges, &self->st));
	EXPECT_EQ(8, self->st.nr_conflicts);
	EXPECT_EQ((char)(self->orig[at + 1] ^ 0x55), self->a[at + 1]);
	EXPECT_EQ(self->orig[at + 2], self->a[at + 2]);
}

/* --- Against a model: plain arrays of bytes --- */

#define M_PAGES 3
#define M_LEN (M_PAGES * PAGE)

struct model {
	unsigned char snap[M_LEN], child[M_LEN], caller[M_LEN], want[M_LEN];
	__u64 conflicts, first;
	unsigned int nr_ranges;
	struct det_range ranges[MAX_RANGES];
};

/* The granule at @g, as far as it is in the range: what becomes of it. */
static void model_granule(struct model *m, size_t g, size_t end, __u32 policy)
{
	bool theirs = false, ours = false;
	struct det_range *last;
	size_t i;

	for (i = g; i < end; i++) {
		theirs |= m->child[i] != m->snap[i];
		ours |= m->caller[i] != m->snap[i];
	}
	for (i = g; i < end; i++) {
		if (theirs && ours ? policy == DET_MERGE_TAKE :
				     m->child[i] != m->snap[i])
			m->want[i] = m->child[i];
	}
	if (!theirs || !ours)
		return;
	if (!m->conflicts)
		m->first = g;
	m->conflicts += end - g;
	last = m->nr_ranges ? &m->ranges[m->nr_ranges - 1] : NULL;
	if (last && last->addr + last->len == g)
		last->len += end - g;
	else if (m->nr_ranges < MAX_RANGES)
		m->ranges[m->nr_ranges++] = (struct det_range){ g, end - g };
	else
		abort();
}

static void model_merge(struct model *m, size_t start, size_t end,
			unsigned int granule, __u32 policy)
{
	size_t g, next;

	m->conflicts = 0;
	m->nr_ranges = 0;
	memcpy(m->want, m->caller, M_LEN);
	for (g = start; g < end; g = next) {
		next = (g / granule + 1) * granule;
		if (next > end)
			next = end;
		model_granule(m, g, next, policy);
	}
	if (m->conflicts && !policy)
		memcpy(m->want, m->caller, M_LEN);
}

/* The kernel's merge of the model's bytes, which lie at @arena. */
static bool model_agrees(struct model *m, char *arena, size_t start, size_t end,
			 unsigned int log, __u32 policy)
{
	struct det_op op = op_merge(arena + start, end - start,
				    policy | log << 8);
	struct det_range ranges[MAX_RANGES];
	struct det_status st;
	unsigned int i;
	long ret;

	model_merge(m, start, end, 1U << log, policy);
	memcpy(arena, m->caller, M_LEN);
	ret = merge_ops(ranges, MAX_RANGES, &op, 1, &st);
	if (ret != (m->conflicts && !policy ? -DET_ECONFLICT : 0) ||
	    st.nr_conflicts != m->conflicts || st.nr_ranges != m->nr_ranges ||
	    memcmp(arena, m->want, M_LEN))
		goto differs;
	if (ret && st.addr != addr_of(arena) + m->first)
		goto differs;
	for (i = 0; i < m->nr_ranges; i++)
		if (ranges[i].addr != addr_of(arena) + m->ranges[i].addr ||
		    ranges[i].len != m->ranges[i].len)
			goto differs;
	return true;

differs:
	fprintf(stderr, "# [%zu, %zu) granule %u policy %#x: %ld,", start, end,
		1U << log, policy, ret);
	fprintf(stderr, " %llu/%llu conflicts, %u/%u ranges\n",
		(unsigned long long)st.nr_conflicts,
		(unsigned long long)m->conflicts, st.nr_ranges, m->nr_ranges);
	return false;
}

/* The child gets the model's child bytes, and a snapshot of the model's. */
static void model_to_child(struct model *m, char *arena)
{
	memcpy(arena, m->snap, M_LEN);
	if (put_op(1, DET_SNAP, op_copy(arena, addr_of(arena), M_LEN), NULL) ||
	    poke(1, addr_of(arena), m->child, M_LEN))
		abort();
}

/* A few changes on either side, near @at more often than elsewhere. */
static void model_random(struct model *m, __u64 *rnd, size_t at)
{
	unsigned int n = next_random(rnd) % 24;
	size_t i, len;
	unsigned char *side;

	fill(m->snap, M_LEN, *rnd);
	memcpy(m->child, m->snap, M_LEN);
	memcpy(m->caller, m->snap, M_LEN);
	while (n--) {
		__u64 r = next_random(rnd);

		side = r & 1 ? m->child : m->caller;
		i = r & 6 ? at + (r >> 8) % 120 : (r >> 8) % M_LEN;
		len = r & 0x70 ? 1 + (r >> 40) % 3 : (r >> 40) % 600;
		for (; len && i < M_LEN; len--, i++)
			side[i] ^= 1 + (r >> 56) % 255;
	}
}

/* All starts and ends around a page's end, on one set of random changes. */
TEST_F(merge, model_all_alignments)
{
	struct model *m = (void *)map_rw(sizeof(*m));
	char *arena = map_rw(M_LEN);
	__u64 rnd = 12345;
	size_t start, end;

	model_random(m, &rnd, PAGE - 20);
	for (start = PAGE - 20; start < PAGE + 20; start++)
		m->child[start] ^= next_random(&rnd) & 1;
	model_to_child(m, arena);
	for (start = PAGE - 17; start <= PAGE + 9; start++)
		for (end = start; end <= PAGE + 17; end++)
			ASSERT_TRUE(model_agrees(m, arena, start, end, 0,
						 start & 1 ? DET_MERGE_KEEP :
						 DET_MERGE_TAKE));
	for (start = 0; start <= PAGE + 9; start += 511)
		for (end = M_LEN; end >= 2 * PAGE; end -= 511)
			ASSERT_TRUE(model_agrees(m, arena, start, end, 0, 0));
}

static const __u32 policies[] = { 0, DET_MERGE_KEEP, DET_MERGE_TAKE };

/* Random changes, ranges, granules and policies. */
TEST_F(merge, model_random)
{
	struct model *m = (void *)map_rw(sizeof(*m));
	char *arena = map_rw(M_LEN);
	const char *s = getenv("DET_TEST_MERGES");
	unsigned long i, n = s ? strtoul(s, NULL, 0) : 200;
	__u64 rnd = 4711;

	for (i = 0; i < n; i++) {
		size_t at = next_random(&rnd) % (M_LEN - 128), start, end;
		unsigned int log = i % 4;

		model_random(m, &rnd, at);
		model_to_child(m, arena);
		start = next_random(&rnd) % 2 ? at + next_random(&rnd) % 32 :
						next_random(&rnd) % (at + 1);
		end = start + next_random(&rnd) % (M_LEN - start + 1);
		ASSERT_TRUE(model_agrees(m, arena, start, end, log,
					 policies[i / 4 % 3]))
			TH_LOG("round %lu", i);
	}
}

/* --- All MERGEs of a call are one transaction --- */

TEST_F(merge, transaction)
{
	struct det_op ops[] = {
		op_merge(self->a, PAGE, 0),
		op_merge(self->a + PAGE, PAGE, DET_MERGE_KEEP),
		op_merge(self->a + 2 * PAGE, PAGE, 0),
		op_merge(self->a + 3 * PAGE, PAGE, 0),
	};
	int i;

	for (i = 0; i < 4; i++)
		child_flips(self->a, self->orig, i * PAGE, 10);
	for (i = 1; i < 4; i++)
		caller_flips(self->a, i * PAGE + 8, 10);
	memcpy(self->orig, self->a, LEN);
	EXPECT_EQ(-DET_ECONFLICT,
		  merge_ops(self->ranges, MAX_RANGES, ops, ARRAY_SIZE(ops),
			    &self->st));
	EXPECT_EQ(2, self->st.op);
	EXPECT_EQ(0, self->st.nr_done);
	EXPECT_EQ(addr_of(self->a + 2 * PAGE + 8), self->st.addr);
	EXPECT_EQ(6, self->st.nr_conflicts);
	ASSERT_EQ(3, self->st.nr_ranges);
	EXPECT_EQ(addr_of(self->a + PAGE + 8), self->ranges[0].addr);
	EXPECT_EQ(addr_of(self->a + 2 * PAGE + 8), self->ranges[1].addr);
	EXPECT_EQ(addr_of(self->a + 3 * PAGE + 8), self->ranges[2].addr);
	EXPECT_EQ(0, memcmp(self->a, self->orig, LEN));

	/* Without the two that report, the other two are merged. */
	EXPECT_EQ(0, merge_ops(self->ranges, MAX_RANGES, ops, 2, &self->st));
	EXPECT_EQ(2, self->st.nr_done);
	EXPECT_NE(self->orig[0], self->a[0]);
	EXPECT_NE(self->orig[PAGE], self->a[PAGE]);
	EXPECT_EQ(self->orig[PAGE + 8], self->a[PAGE + 8]);
}

/* They happen where the first one stands, between the other operations. */
TEST_F(merge, transaction_among_others)
{
	char *x = map_rw(PAGE);
	struct det_op ops[] = {
		op_copy(x, addr_of(self->a), 8),
		op_merge(self->a, PAGE, 0),
		op_copy(x + 8, addr_of(self->a), 8),
		op_merge(self->a + PAGE, PAGE, 0),
	};

	child_flips(self->a, self->orig, 0, 8);
	child_flips(self->a, self->orig, PAGE, 8);
	caller_flips(self->a, PAGE + 4, 8);
	EXPECT_EQ(-DET_ECONFLICT,
		  merge_ops(self->ranges, MAX_RANGES, ops, ARRAY_SIZE(ops),
			    &self->st));
	EXPECT_EQ(3, self->st.op);
	EXPECT_EQ(1, self->st.nr_done);
	EXPECT_EQ((char)(self->orig[0] ^ 0x55), x[0]);
	EXPECT_TRUE(all_bytes(x + 8, 0, 8));
	EXPECT_EQ(self->orig[0], self->a[0]);
}

/* What one of them has written would be the other's conflict. */
TEST_F(merge, overlapping)
{
	struct det_op ops[] = {
		op_merge(self->a + 8, 1, 0),
		op_merge(self->a + 8, 8, DET_MERGE_GRANULE_8),
		op_merge(self->a + 12, 0, 0),
	};

	child_flips(self->a, self->orig, 8, 2);
	EXPECT_EQ(-EINVAL, merge_ops(self->ranges, MAX_RANGES, ops, 2,
				     &self->st));
	EXPECT_EQ(1, self->st.op);
	EXPECT_EQ(0, memcmp(self->a, self->orig, LEN));
	/* Side by side, and of no length, is not overlapping. */
	ops[1] = op_merge(self->a + 9, 7, DET_MERGE_GRANULE_8);
	EXPECT_EQ(0, merge_ops(self->ranges, MAX_RANGES, ops, 3, &self->st));
	EXPECT_EQ((char)(self->orig[8] ^ 0x55), self->a[8]);
	EXPECT_EQ((char)(self->orig[9] ^ 0x55), self->a[9]);
}

/* --- Memory that is not there, or not writable --- */

static void check_no_write(struct __test_metadata *_metadata, char *a,
			   const char *orig, struct det_status *st)
{
	struct det_range r[4];
	struct det_op ops[] = {
		op_merge(a, PAGE, 0),
		op_merge(a + PAGE, 3 * PAGE, 0),
	};

	EXPECT_EQ(-EFAULT, merge_ops(r, 4, ops, 2, st));
	EXPECT_EQ(1, st->op);
	EXPECT_EQ(0, st->nr_done);
	EXPECT_EQ(addr_of(a + 2 * PAGE), st->addr & -PAGE);
	EXPECT_EQ(0, st->nr_ranges);
	EXPECT_EQ(0, memcmp(a, orig, 2 * PAGE));
}

/* A changed byte has nowhere to go: EFAULT, and nothing was written. */
TEST_F(merge, not_writable)
{
	child_flips(self->a, self->orig, 0, 1);
	child_flips(self->a, self->orig, PAGE, 1);
	child_flips(self->a, self->orig, 2 * PAGE + 5, 1);
	ASSERT_EQ(0, mprotect(self->a + 2 * PAGE, PAGE, PROT_READ));
	check_no_write(_metadata, self->a, self->orig, &self->st);
	ASSERT_EQ(0, mprotect(self->a + 2 * PAGE, PAGE, PROT_NONE));
	check_no_write(_metadata, self->a, self->orig, &self->st);
	ASSERT_EQ(0, munmap(self->a + 2 * PAGE, PAGE));
	check_no_write(_metadata, self->a, self->orig, &self->st);
	EXPECT_TRUE(child_has(1, addr_of(self->a) + 3 * PAGE,
			      self->orig + 3 * PAGE, PAGE));
}

/* Where the child changed nothing the caller needs nothing. */
TEST_F(merge, not_writable_not_changed)
{
	child_flips(self->a, self->orig, 5, 1);
	child_flips(self->a, self->orig, 4 * PAGE + 5, 1);
	ASSERT_EQ(0, mprotect(self->a + PAGE, PAGE, PROT_READ));
	ASSERT_EQ(0, mprotect(self->a + 2 * PAGE, PAGE, PROT_NONE));
	ASSERT_EQ(0, munmap(self->a + 3 * PAGE, PAGE));
	EXPECT_EQ(0, merge_arena(self->a, 0, self->ranges, &self->st));
	EXPECT_EQ((char)(self->orig[5] ^ 0x55), self->a[5]);
	EXPECT_EQ((char)(self->orig[4 * PAGE + 5] ^ 0x55),
		  self->a[4 * PAGE + 5]);
	EXPECT_STREQ("r--p", perm_at(getpid(), addr_of(self->a + PAGE)));
	EXPECT_STREQ("", perm_at(getpid(), addr_of(self->a + 3 * PAGE)));
}

/* What the child has not mapped is unchanged. */
TEST_F(merge, unmapped_by_the_child)
{
	child_flips(self->a, self->orig, 0, PAGE);
	ASSERT_EQ(0, put_op(1, 0, op_zero(addr_of(self->a), PAGE, 0), NULL));
	caller_flips(self->a, 7, 1);
	EXPECT_EQ(0, merge_arena(self->a, 0, self->ranges, &self->st));
	self->orig[7] ^= 0x33;
	EXPECT_EQ(0, memcmp(self->a, self->orig, LEN));
}

/* What the child has zeroed are zeros that it wrote. */
TEST_F(merge, zeroed_by_the_child)
{
	ASSERT_EQ(0, put_op(1, 0, op_zero(addr_of(self->a + PAGE), PAGE,
					  PROT_RW), NULL));
	EXPECT_EQ(0, merge_arena(self->a, 0, self->ranges, &self->st));
	EXPECT_TRUE(all_bytes(self->a + PAGE, 0, PAGE));
	EXPECT_EQ(0, memcmp(self->a, self->orig, PAGE));
	EXPECT_EQ(0, memcmp(self->a + 2 * PAGE, self->orig + 2 * PAGE,
			    LEN - 2 * PAGE));
}

TEST_F(merge, zeroed_conflicts)
{
	self->orig[PAGE + 9] = 1;
	self->a[PAGE + 9] = 1;
	ASSERT_EQ(0, put_op(1, DET_SNAP,
			    op_copy(self->a, addr_of(self->a), LEN), NULL));
	ASSERT_EQ(0, put_op(1, 0, op_zero(addr_of(self->a + PAGE), PAGE,
					  PROT_RW), NULL));
	self->a[PAGE + 9] = 2;
	EXPECT_EQ(-DET_ECONFLICT,
		  merge_arena(self->a, 0, self->ranges, &self->st));
	EXPECT_EQ(addr_of(self->a + PAGE + 9), self->st.addr);
	EXPECT_EQ(1, self->st.nr_conflicts);
}

/* What the snapshot did not have reads as zeros there. */
TEST_F(merge, new_memory_of_the_child)
{
	char *p = map_rw(2 * PAGE);
	struct det_op op = op_merge(p, 2 * PAGE, 0);

	ASSERT_EQ(0, put_op(1, 0, op_zero(addr_of(p), 2 * PAGE, PROT_RW),
			    NULL));
	ASSERT_EQ(0, poke(1, addr_of(p) + 5, "hello", 5));
	ASSERT_EQ(0, merge_ops(self->ranges, 4, &op, 1, &self->st));
	EXPECT_EQ(0, memcmp(p + 5, "hello", 5));
	EXPECT_TRUE(all_bytes(p + 10, 0, 2 * PAGE - 10));
	/* Now the caller's bytes are not zeros any more: both changed them. */
	EXPECT_EQ(-DET_ECONFLICT,
		  merge_ops(self->ranges, 4, &op, 1, &self->st));
	EXPECT_EQ(addr_of(p + 5), self->st.addr);
	EXPECT_EQ(5, self->st.nr_conflicts);
}

/* New memory that nobody touched does not disturb the caller's bytes. */
TEST_F(merge, new_untouched_memory)
{
	char *p = map_rw(PAGE);
	struct det_op op = op_merge(p, PAGE, 0);

	memset(p, 3, PAGE);
	ASSERT_EQ(0, put_op(1, 0, op_zero(addr_of(p), PAGE, PROT_RW), NULL));
	ASSERT_EQ(0, merge_ops(self->ranges, 4, &op, 1, &self->st));
	EXPECT_TRUE(all_bytes(p, 3, PAGE));
	ASSERT_EQ(0, poke(1, addr_of(p), "\0", 1));
	ASSERT_EQ(0, merge_ops(self->ranges, 4, &op, 1, &self->st));
	EXPECT_TRUE(all_bytes(p, 3, PAGE));
}

TEST_F(merge, revoked_access_hides_nothing)
{
	child_flips(self->a, self->orig, 3, 1);
	ASSERT_EQ(0, put_op(1, 0, op_perm(addr_of(self->a), LEN, 0), NULL));
	EXPECT_EQ(0, merge_arena(self->a, 0, self->ranges, &self->st));
	EXPECT_EQ((char)(self->orig[3] ^ 0x55), self->a[3]);
	self->a[3] = self->orig[3];
	EXPECT_EQ(0, memcmp(self->a, self->orig, LEN));
}

TEST_F(merge, revoked_before_the_snapshot)
{
	ASSERT_EQ(0, put_op(1, DET_SNAP, op_perm(addr_of(self->a), LEN, 0),
			    NULL));
	ASSERT_EQ(0, put_op(1, 0, op_perm(addr_of(self->a), LEN, PROT_RW),
			    NULL));
	child_flips(self->a, self->orig, 3, 1);
	ASSERT_EQ(0, put_op(1, 0, op_perm(addr_of(self->a), LEN, 0), NULL));
	EXPECT_EQ(0, merge_arena(self->a, 0, self->ranges, &self->st));
	EXPECT_EQ((char)(self->orig[3] ^ 0x55), self->a[3]);
}

/* Into shared memory of the caller's: that is the master's affair. */
TEST_F(merge, into_shared_memory)
{
	char *s = map_at(NULL, LEN, PROT_RW, MAP_SHARED | MAP_ANONYMOUS, -1);
	struct det_op op = op_merge_at(s, addr_of(self->a), LEN, 0);

	memcpy(s, self->orig, LEN);
	child_flips(self->a, self->orig, 9, 1);
	ASSERT_EQ(0, merge_ops(self->ranges, 4, &op, 1, &self->st));
	self->orig[9] ^= 0x55;
	EXPECT_EQ(0, memcmp(s, self->orig, LEN));
}

/* --- Differing addresses --- */

TEST_F(merge, other_address)
{
	char *there = map_rw(LEN);
	struct det_op op = op_merge_at(there + 10, addr_of(self->a) + PAGE + 10,
				       2 * PAGE, 0);

	memcpy(there, self->orig + PAGE, LEN - PAGE);
	child_flips(self->a, self->orig, PAGE + 9, 2);
	child_flips(self->a, self->orig, 3 * PAGE, 1);
	caller_flips(self->a, PAGE + 10, 1);	/* no matter to this merge */
	ASSERT_EQ(0, merge_ops(self->ranges, 4, &op, 1, &self->st));
	EXPECT_EQ(self->orig[PAGE + 9], there[9]);
	EXPECT_EQ((char)(self->orig[PAGE + 10] ^ 0x55), there[10]);
	EXPECT_EQ((char)(self->orig[3 * PAGE] ^ 0x55), there[2 * PAGE]);
	EXPECT_EQ(-DET_ECONFLICT,
		  merge_ops(self->ranges, 4, &op, 1, &self->st));
	EXPECT_EQ(addr_of(there + 10), self->st.addr);
	EXPECT_EQ(addr_of(there + 10), self->ranges[0].addr);
	EXPECT_EQ(addr_of(there + 2 * PAGE), self->ranges[1].addr);
}

TEST_F(merge, mistakes)
{
	const __u64 a = addr_of(self->a);
	const struct {
		int err;
		__u32 flags, prot, pad;
		__u64 caller, child, len;
	} t[] = {
		{ EINVAL, 0, 0, 0, a + 1, a, PAGE },
		{ EINVAL, 0, 0, 0, a, a + 8, PAGE },
		{ EINVAL, 0, PROT_READ, 0, a, a, PAGE },
		{ EINVAL, 0, 0, 1, a, a, PAGE },
		{ EINVAL, DET_MERGE_KEEP | DET_MERGE_TAKE, 0, 0, a, a, PAGE },
		{ EINVAL, DET_COPY_WHOLE, 0, 0, a, a, PAGE },
		{ EINVAL, DET_COPY_IMAGE, 0, 0, a, a, PAGE },
		{ EINVAL, DET_ZERO_NORESERVE, 0, 0, a, a, PAGE },
		{ EINVAL, 1U << 10, 0, 0, a, a, PAGE },
		{ EINVAL, 1U << 31, 0, 0, a, a, PAGE },
		{ EINVAL, 0, 0, 0, a, a, -PAGE },
		{ EINVAL, 0, 0, 0, -PAGE, a, 2 * PAGE },
		{ EINVAL, 0, 0, 0, a, -PAGE, 2 * PAGE },
		{ EINVAL, 0, 0, 0, USER_END - PAGE, a, 2 * PAGE },
		{ EINVAL, 0, 0, 0, a, USER_END - PAGE, 2 * PAGE },
	};
	struct det_op ops[3];
	unsigned int i;

	child_flips(self->a, self->orig, 0, 1);
	for (i = 0; i < ARRAY_SIZE(t); i++) {
		ops[0] = op_merge(self->a, 0, 0);
		ops[1] = (struct det_op){
			.op = DET_MERGE, .flags = t[i].flags, .prot = t[i].prot,
			.__pad = t[i].pad, .caller = t[i].caller,
			.child = t[i].child, .len = t[i].len,
		};
		ops[2] = op_merge(self->a, PAGE, 0);
		EXPECT_EQ(-t[i].err, merge_ops(self->ranges, 4, ops, 3,
					       &self->st))
			TH_LOG("mistake %u", i);
		EXPECT_EQ(1, self->st.op) TH_LOG("mistake %u", i);
	}
	EXPECT_EQ(-EINVAL, put_op(1, 0, op_merge(self->a, PAGE, 0),
				  &self->st));
	EXPECT_EQ(0, memcmp(self->a, self->orig, LEN));
}

/* --- Pages in all their forms --- */

/* Huge pages on both sides; the child writes a few bytes, or all of one. */
TEST_F(merge, huge_pages)
{
	char *h = map_huge(2 * HUGE), *want = map_huge(2 * HUGE);
	struct det_op op = op_merge(h, 2 * HUGE, 0);
	size_t i;

	fill(h, 2 * HUGE, 5);
	memcpy(want, h, 2 * HUGE);
	ASSERT_EQ(0, put_op(1, DET_SNAP, op_copy(h, addr_of(h), 2 * HUGE),
			    NULL));
	for (i = 17; i < HUGE; i += 51 * PAGE + 13) {
		want[i] ^= 0x55;
		child_sets(h, i, want + i, 1);
		h[i + 1] ^= 0x33;
		want[i + 1] ^= 0x33;
	}
	memset(want + HUGE, 0xaa, HUGE);
	ASSERT_EQ(0, poke(1, addr_of(h) + HUGE, want + HUGE, HUGE - 1));
	want[2 * HUGE - 1] = h[2 * HUGE - 1];
	ASSERT_EQ(0, merge_ops(self->ranges, 4, &op, 1, &self->st));
	EXPECT_EQ(0, memcmp(h, want, 2 * HUGE));
}

/* Pages that were swapped out, before the COPY and after it, on all sides. */
TEST_F(merge, swapped_pages)
{
	char *a, *orig = map_rw(LEN);
	struct det_op op;
	pid_t pid;

	if (!enter_cgroup())
		SKIP(return, "no swap space or no cgroup");
	a = map_rw(LEN);
	op = op_merge(a, LEN, 0);
	fill(a, LEN, 9);
	memcpy(orig, a, LEN);
	swap_out();
	EXPECT_TRUE(is_swapped(getpid()));
	ASSERT_EQ(0, put_op(2, DET_SNAP, op_copy(a, addr_of(a), LEN), NULL));
	pid = space_pid(getpid(), 2);
	swap_out();
	ASSERT_EQ(0, poke(2, addr_of(a) + 2 * PAGE, "xyz", 3));
	swap_out();
	EXPECT_TRUE(is_swapped(pid));
	ASSERT_EQ(0, get_op(2, 0, op, NULL));
	EXPECT_EQ(0, memcmp(a + 2 * PAGE, "xyz", 3));
	swap_out();
	EXPECT_TRUE(child_has(2, addr_of(a), a, LEN));
	swap_out();
	EXPECT_EQ(-DET_ECONFLICT, get_op(2, 0, op, &self->st));
	EXPECT_EQ(3, self->st.nr_conflicts);
	memcpy(a + 2 * PAGE, orig + 2 * PAGE, 3);
	EXPECT_EQ(0, memcmp(a, orig, LEN));
	EXPECT_EQ(0, kill_child(2));
	leave_cgroup();
}

/* Somebody who has to be asked first: here a page that is not there yet. */
struct provider {
	int fd;		/* userfaultfd */
	char *page;
	long other;	/* what a call on another child gave meanwhile */
};

static void *provide(void *arg)
{
	struct provider *p = arg;
	struct uffdio_zeropage zero = {
		.range = { .start = addr_of(p->page), .len = PAGE },
	};
	struct uffd_msg msg;
	char c;

	if (read(p->fd, &msg, sizeof(msg)) != sizeof(msg))
		return NULL;
	/* The process is not locked up while the merge waits for us. */
	p->other = peek(2, addr_of(p->page), &c, 1);
	munmap(map_rw(PAGE), PAGE);
	ioctl(p->fd, UFFDIO_ZEROPAGE, &zero);
	return NULL;
}

/* A merge into a page that another thread has to bring first. */
TEST_F(merge, into_missing_page)
{
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct provider p = { .page = map_rw(PAGE), .other = 1 };
	struct det_op op = op_merge(p.page, PAGE, 0);
	struct uffdio_api api = { .api = UFFD_API };
	pthread_t thread;

	p.fd = syscall(__NR_userfaultfd, O_CLOEXEC);
	if (p.fd < 0 || ioctl(p.fd, UFFDIO_API, &api))
		SKIP(return, "no userfaultfd for the kernel's faults");
	ASSERT_EQ(0, put_flags(1, DET_SNAP, NULL));
	ASSERT_EQ(0, put_op(1, 0, op_copy(self->a, addr_of(p.page), PAGE),
			    NULL));
	ASSERT_EQ(0, put_op(2, 0, op_copy(self->a, addr_of(p.page), PAGE),
			    NULL));
	reg.range.start = addr_of(p.page);
	reg.range.len = PAGE;
	ASSERT_EQ(0, ioctl(p.fd, UFFDIO_REGISTER, &reg));
	ASSERT_EQ(0, pthread_create(&thread, NULL, provide, &p));
	EXPECT_EQ(0, merge_ops(self->ranges, 4, &op, 1, &self->st));
	pthread_join(thread, NULL);
	EXPECT_EQ(0, p.other);
	EXPECT_EQ(0, memcmp(p.page, self->orig, PAGE));
}

/* Pages that KSM may have joined: equal contents are not the same page. */
TEST_F(merge, equal_pages)
{
	memset(self->a, 1, LEN);
	madvise(self->a, LEN, MADV_MERGEABLE);
	ASSERT_EQ(0, put_op(1, DET_SNAP,
			    op_copy(self->a, addr_of(self->a), LEN), NULL));
	child_sets(self->a, 0, "\2", 1);
	child_sets(self->a, PAGE, "\2", 1);
	self->a[PAGE + 1] = 3;
	ASSERT_EQ(0, merge_arena(self->a, 0, self->ranges, &self->st));
	EXPECT_EQ(2, self->a[0]);
	EXPECT_EQ(2, self->a[PAGE]);
	EXPECT_EQ(3, self->a[PAGE + 1]);
	EXPECT_TRUE(all_bytes(self->a + 2 * PAGE, 1, LEN - 2 * PAGE));
}

/* An empty range of terabytes is no work. */
TEST_F(merge, vast_range)
{
	struct det_op op = op_merge((void *)PAGE, USER_END - PAGE, 0);

	child_flips(self->a, self->orig, 0, 1);
	EXPECT_EQ(0, merge_ops(self->ranges, 4, &op, 1, &self->st));
	EXPECT_EQ((char)(self->orig[0] ^ 0x55), self->a[0]);
}

/* --- Two children --- */

/* Their changes add up in the caller; who is merged first does not matter. */
TEST_F(merge, two_children)
{
	char *p = self->a;
	size_t i;

	ASSERT_EQ(0, put_op(2, DET_SNAP, op_copy(p, addr_of(p), LEN), NULL));
	for (i = 0; i < LEN; i += 64) {
		child_flips(p, self->orig, i, 1);
		self->orig[i + 1] ^= 0x11;
		ASSERT_EQ(0, poke(2, addr_of(p) + i + 1, self->orig + i + 1,
				  1));
	}
	EXPECT_EQ(0, get_op(2, 0, op_merge(p, LEN, 0), NULL));
	EXPECT_EQ(0, get_op(1, 0, op_merge(p, LEN, 0), NULL));
	for (i = 0; i < LEN; i += 64)
		self->orig[i] ^= 0x55;
	EXPECT_EQ(0, memcmp(p, self->orig, LEN));
}

TEST_F(merge, two_children_conflict)
{
	char *p = self->a, other[2] = { ~self->orig[8], ~self->orig[9] };

	ASSERT_EQ(0, put_op(2, DET_SNAP, op_copy(p, addr_of(p), LEN), NULL));
	child_flips(p, self->orig, 8, 1);
	ASSERT_EQ(0, poke(2, addr_of(p) + 8, other, 2));
	EXPECT_EQ(0, get_op(1, 0, op_merge(p, LEN, 0), NULL));
	EXPECT_EQ(-DET_ECONFLICT, get_op(2, 0, op_merge(p, LEN, 0),
					 &self->st));
	EXPECT_EQ(addr_of(p + 8), self->st.addr);
	EXPECT_EQ(1, self->st.nr_conflicts);
	EXPECT_EQ(self->orig[9], p[9]);
}

/* What MERGE writes into a space is a change of that space's for its parent. */
static long merges_a_child(void *arg)
{
	char *a = arg;

	if (fork_space(1, DET_SNAP | DET_START, NULL) == 0) {
		a[1] = ~a[1];
		for (;;)
			dret(0);
	}
	a[2] = ~a[2];
	return get_op(1, 0, op_merge(a, LEN, 0), NULL);
}

TEST_F(merge, through_a_space)
{
	ASSERT_EQ(1, spawn(1, DET_SNAP | DET_START, merges_a_child, self->a,
			   NULL));
	ASSERT_EQ(0, merge_arena(self->a, 0, self->ranges, &self->st));
	EXPECT_RET(0, &self->st);
	EXPECT_EQ((char)~self->orig[1], self->a[1]);
	EXPECT_EQ((char)~self->orig[2], self->a[2]);
	EXPECT_EQ(self->orig[3], self->a[3]);
}

TEST_HARNESS_MAIN
