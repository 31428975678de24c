// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages that a MERGE takes whole: where the caller's page still is the
 * snapshot's, the child's page is mapped into the caller copy-on-write. That
 * must not show in any byte, on either side, then or later. What others, threads and
 * the machine do with the page is in taken_test.c.
 */
#include "take.h"

/* --- Pages that are taken --- */

TEST_F(take, one_page)
{
	__u64 beside = frame(getpid(), a + 3 * PAGE);

	child_sets(2 * PAGE + 5, 1);
	EXPECT_FALSE(is_one(2));
	EXPECT_EQ(0, merge());
	EXPECT_EQ(DET_NO_OP, st.op);
	EXPECT_EQ(1, st.nr_done);
	EXPECT_EQ(0, st.nr_conflicts);
	EXPECT_TRUE(is_one(2));
	EXPECT_EQ(2, mapped(a + 2 * PAGE));
	EXPECT_EQ(beside, frame(getpid(), a + 3 * PAGE));
	EXPECT_TRUE(is_right());
	/* Reading changes nothing. */
	EXPECT_TRUE(is_one(2));
}

TEST_F(take, all_bytes)
{
	size_t i;

	child_flips(0, LEN);
	EXPECT_EQ(0, merge());
	for (i = 0; i < PAGES; i++)
		EXPECT_TRUE(is_one(i));
	EXPECT_TRUE(is_right());
}

/* What one of them writes then the other one does not see. */
TEST_F(take, apart_afterwards)
{
	char old = snap[9];

	child_strides(5, 3, 1);
	ASSERT_EQ(0, merge());
	caller_sets(5, 2);
	caller_sets(9, ~old);
	EXPECT_EQ((unsigned char)old, child_read(CHILD, addr_of(a) + 9));
	EXPECT_EQ(1, child_read(CHILD, addr_of(a) + 5));
	EXPECT_FALSE(is_one(0));
	child_sets(PAGE + 5, 3);
	EXPECT_EQ(1, a[PAGE + 5]);
	EXPECT_FALSE(is_one(1));
	EXPECT_TRUE(is_one(2));
	EXPECT_TRUE(is_right());
	/* Each of the pages is one's own now. */
	child_sets(5, 4);
	caller_sets(PAGE + 5, 5);
	EXPECT_TRUE(is_right());
}

/* The call that takes the page starts the child as well. */
TEST_F(take, started_by_the_same_call)
{
	struct user_regs_struct regs;
	struct det_op op = op_merge(a, LEN, 0);
	unsigned int i, k;

	for (i = 0; i < 20; i++) {
		renew();
		child_strides(i, PAGES, 100 + i);
		model_merge(0, LEN, 0);
		regs = stride_regs(a + i, PAGES / 2, 200 + i);
		ASSERT_EQ(0, put_regs(CHILD, &regs, 0, NULL));
		ASSERT_EQ(0, get_op(CHILD, DET_START | DET_WAIT, op, &st));
		ASSERT_RET(0, &st);
		for (k = 0; k < PAGES / 2; k++)
			theirs[k * PAGE + i] = 200 + i;
		EXPECT_FALSE(is_one(0));
		EXPECT_TRUE(is_one(PAGES - 1));
		ASSERT_TRUE(is_right());
	}
}

/* Four pages each round, from others that the round before has taken. */
static bool one_round(unsigned int i)
{
	size_t first = i % 5, at = i * 7 % PAGE, own = i % PAGES;
	size_t k;

	renew();
	child_strides(first * PAGE + at, 4, i);
	if (i % 3 == 0)
		caller_sets(own * PAGE + (at + 1) % PAGE, i);
	if (merge() || conflicts || !caller_is_right())
		return false;
	for (k = first; i % 50 == 0 && k < first + 4; k++)
		if (is_one(k) == (i % 3 == 0 && k == own))
			return false;
	return i % 50 || is_right();
}

#define KPF_ANON 0x1000

/* Pages of memory that somebody has a reference to and nobody maps. */
static long orphans(void)
{
	int flags = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
	int counts = open("/proc/kpagecount", O_RDONLY | O_CLOEXEC);
	static __u64 flag[4096], nr[4096];
	long n = 0, len, i;

	while ((len = read(flags, flag, sizeof(flag))) > 0 &&
	       read(counts, nr, len) == len)
		for (i = 0; i < len / 8; i++)
			n += flag[i] & KPF_ANON && !nr[i];
	close(flags);
	close(counts);
	return n;
}

/* Nothing is left over. */
TEST_F(take, rounds)
{
	long rss = 0, its = 0, left = 0;
	unsigned int i;

	for (i = 0; i < 1050; i++) {
		if (i == 50) {
			rss = pid_kb(getpid(), "RssAnon");
			its = pid_kb(pid, "RssAnon");
			left = orphans();
		}
		ASSERT_TRUE(one_round(i)) TH_LOG("round %u", i);
	}
	rss -= pid_kb(getpid(), "RssAnon");
	its -= pid_kb(pid, "RssAnon");
	EXPECT_GT(2048, rss < 0 ? -rss : rss);
	EXPECT_GT(2048, its < 0 ? -its : its);
	EXPECT_GT(100, orphans() - left);
}

/* A new page for the caller counts as one. */
TEST_F(take, counted)
{
	char *p = map_fixed(OTHER_AT, HUGE);
	long rss;

	p[HUGE - 1] = 1;
	ASSERT_EQ(0, put_op(CHILD, DET_SNAP, op_copy(p, OTHER_AT, HUGE),
			    NULL));
	ASSERT_TRUE(child_strides_at(p, 100, 1));
	rss = pid_kb(getpid(), "RssAnon");
	ASSERT_EQ(0, get_op(CHILD, 0, op_merge(p, HUGE, 0), NULL));
	EXPECT_TRUE(same_frame(pid, p + 99 * PAGE));
	EXPECT_EQ(rss + 400, pid_kb(getpid(), "RssAnon"));
	ASSERT_EQ(0, munmap(p, HUGE));
	EXPECT_EQ(rss - 4, pid_kb(getpid(), "RssAnon"));
}

/* --- Pages that are merged byte by byte --- */

TEST_F(take, other_byte)
{
	child_sets(5, 1);
	child_sets(PAGE + 5, 1);
	caller_sets(6, 2);
	EXPECT_EQ(0, merge());
	EXPECT_FALSE(is_one(0));
	EXPECT_TRUE(is_one(1));
	EXPECT_TRUE(is_right());
}

/* The caller's page is a copy, even if its bytes are the snapshot's again. */
TEST_F(take, written_back)
{
	char old = a[6];

	child_sets(5, 1);
	caller_sets(6, ~old);
	caller_sets(6, old);
	EXPECT_EQ(0, merge());
	EXPECT_TRUE(is_right());
	child_sets(5, snap[5]);
	caller_sets(5, snap[5]);
	EXPECT_EQ(0, merge());
	EXPECT_TRUE(is_right());
}

/* Not a byte, not a page: all or nothing. */
TEST_F(take, conflict)
{
	__u64 before[2 * PAGES], after[2 * PAGES];

	child_flips(0, 2 * PAGE);
	child_flips(3 * PAGE, PAGE);
	child_sets(5 * PAGE + 1, 1);
	caller_sets(3 * PAGE + 77, 1);
	all_frames(before);
	EXPECT_EQ(-DET_ECONFLICT, merge());
	EXPECT_EQ(addr_of(a + 3 * PAGE + 77), st.addr);
	EXPECT_EQ(1, st.nr_conflicts);
	all_frames(after);
	EXPECT_EQ(0, memcmp(before, after, sizeof(before)));
	EXPECT_TRUE(is_right());

	caller_sets(3 * PAGE + 77, snap[3 * PAGE + 77]);
	EXPECT_EQ(0, merge());
	EXPECT_TRUE(is_one(0));
	EXPECT_TRUE(is_one(1));
	EXPECT_FALSE(is_one(3));
	EXPECT_TRUE(is_one(5));
	EXPECT_TRUE(is_right());
}

/* The conflict is in the last of several operations. */
TEST_F(take, conflict_of_another_operation)
{
	struct det_op ops[] = {
		op_merge(a, PAGE, DET_MERGE_TAKE),
		op_merge(a + PAGE, PAGE, DET_MERGE_KEEP),
		op_merge(a + 2 * PAGE, PAGE, 0),
	};
	__u64 before[2 * PAGES], after[2 * PAGES];

	child_strides(5, 3, 1);
	caller_sets(2 * PAGE + 5, 2);
	all_frames(before);
	EXPECT_EQ(-DET_ECONFLICT, merge_ops(ops, ARRAY_SIZE(ops)));
	EXPECT_EQ(2, st.op);
	all_frames(after);
	EXPECT_EQ(0, memcmp(before, after, sizeof(before)));
	EXPECT_TRUE(is_right());
	EXPECT_EQ(0, merge_ops(ops, 2));
	EXPECT_TRUE(is_one(0));
	EXPECT_TRUE(is_one(1));
	model_merge(0, 2 * PAGE, 0);
	EXPECT_TRUE(is_right());
}

#define MANY 1100

/* How many pages of many are one. */
static size_t ones(const char *p)
{
	size_t i, n = 0;

	for (i = 0; i < MANY; i++)
		n += same_frame(pid, p + i * PAGE);
	return n;
}

/* The same with more pages than one look takes. */
TEST_F(take, conflict_after_many)
{
	char *p = map_fixed(OTHER_AT, MANY * PAGE), *last = p + MANY * PAGE - 1;
	struct det_op op = op_merge(p, MANY * PAGE, 0);
	size_t i;

	memset(p, 1, MANY * PAGE);
	ASSERT_EQ(0, put_op(CHILD, DET_SNAP,
			    op_copy(p, OTHER_AT, MANY * PAGE), NULL));
	ASSERT_TRUE(child_strides_at(p + PAGE - 1, MANY, 2));
	*last = 3;
	EXPECT_EQ(-DET_ECONFLICT, merge_ops(&op, 1));
	EXPECT_EQ(addr_of(last), st.addr);
	EXPECT_EQ(0, ones(p));
	EXPECT_TRUE(all_bytes(p, 1, MANY * PAGE - 1));
	*last = 1;
	EXPECT_EQ(0, merge_ops(&op, 1));
	EXPECT_EQ(MANY - 1, ones(p));
	for (i = 0; i < MANY; i++) {
		EXPECT_EQ(2, p[i * PAGE + PAGE - 1]);
		EXPECT_TRUE(all_bytes(p + i * PAGE, 1, PAGE - 1));
	}
}

/* The snapshot stays as it is: what was taken has changed on both sides. */
TEST_F(take, twice)
{
	child_flips(5, 3);
	EXPECT_EQ(0, merge());
	EXPECT_TRUE(is_one(0));
	EXPECT_EQ(-DET_ECONFLICT, merge());
	EXPECT_EQ(3, st.nr_conflicts);
	EXPECT_EQ(addr_of(a + 5), st.addr);
	ASSERT_EQ(1, st.nr_ranges);
	EXPECT_EQ(addr_of(a + 5), ranges[0].addr);
	EXPECT_EQ(3, ranges[0].len);
	EXPECT_TRUE(is_right());
	/* Nor may what the child wrote since go to the caller. */
	child_sets(6, 9);
	EXPECT_EQ(-DET_ECONFLICT, merge());
	EXPECT_TRUE(is_right());
	EXPECT_EQ(0, merge_part(0, LEN, DET_MERGE_TAKE));
	EXPECT_TRUE(is_right());
	ASSERT_EQ(0, put_flags(CHILD, DET_SNAP, NULL));
	memcpy(snap, theirs, LEN);
	EXPECT_EQ(0, merge());
	EXPECT_TRUE(is_right());
}

/* --- Ranges --- */

/* What is in the page and not in the range stays the caller's. */
TEST_F(take, part_of_a_page)
{
	static const struct { size_t from, len; } t[] = {
		{ 0, PAGE - 1 }, { 1, PAGE - 1 }, { 1, PAGE - 2 }, { 0, 1 },
		{ 100, 200 }, { PAGE - 1, 1 }, { 8, PAGE - 8 },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(t); i++) {
		renew();
		child_flips(PAGE, PAGE);
		EXPECT_EQ(0, merge_part(PAGE + t[i].from, t[i].len, 0));
		EXPECT_FALSE(is_one(1));
		EXPECT_TRUE(is_right()) TH_LOG("range %u", i);
	}
}

TEST_F(take, ends_of_the_range)
{
	child_flips(0, LEN);
	EXPECT_EQ(0, merge_part(100, 3 * PAGE, 0));
	EXPECT_FALSE(is_one(0));
	EXPECT_TRUE(is_one(1));
	EXPECT_TRUE(is_one(2));
	EXPECT_FALSE(is_one(3));
	EXPECT_FALSE(is_one(4));
	EXPECT_TRUE(is_right());
}

TEST_F(take, other_address)
{
	char *b = map_fixed(OTHER_AT, LEN);
	struct det_op op = op_merge_at(b, addr_of(a), LEN, 0);

	memcpy(b, a, LEN);
	child_flips(PAGE, 2 * PAGE);
	EXPECT_EQ(0, merge_ops(&op, 1));
	EXPECT_EQ(0, memcmp(b, theirs, LEN));
	EXPECT_NE(frame(pid, a + PAGE), frame(getpid(), b + PAGE));
	EXPECT_TRUE(is_right());
	b[PAGE] ^= 1;
	child_sets(PAGE + 1, 1);
	EXPECT_TRUE(is_right());
	EXPECT_EQ(0, merge());
	EXPECT_TRUE(is_one(1));
	EXPECT_TRUE(is_right());
}

TEST_F(take, two_ops_one_page)
{
	struct det_op ops[] = {
		op_merge(a + PAGE, 2000, 0),
		op_merge(a + PAGE + 2000, PAGE - 2000, DET_MERGE_GRANULE_8),
	};

	child_flips(PAGE, PAGE);
	EXPECT_EQ(0, merge_ops(ops, 2));
	model_merge(PAGE, PAGE, 0);
	EXPECT_TRUE(is_right());
	/* The same with a part in between that is nobody's. */
	renew();
	child_flips(PAGE, PAGE);
	ops[0].len = 1999;
	EXPECT_EQ(0, merge_ops(ops, 2));
	model_merge(PAGE, 1999, 0);
	model_merge(PAGE + 2000, PAGE - 2000, 0);
	EXPECT_TRUE(is_right());
}

TEST_F(take, overlapping)
{
	struct det_op ops[] = {
		op_merge(a + PAGE, PAGE, 0),
		op_merge(a + 2 * PAGE - 1, PAGE, 0),
	};

	child_flips(PAGE, 2 * PAGE);
	EXPECT_EQ(-EINVAL, merge_ops(ops, 2));
	EXPECT_FALSE(is_one(1));
	EXPECT_FALSE(is_one(2));
	EXPECT_TRUE(is_right());
}

/* One page of the child's is taken, and is merged elsewhere in the same call. */
TEST_F(take, to_two_places)
{
	char *b = map_fixed(OTHER_AT, LEN);
	struct det_op ops[] = {
		op_merge(a, LEN, 0), op_merge_at(b, addr_of(a), LEN, 0),
		op_merge(a, LEN, 0),
	};
	unsigned int i;

	for (i = 0; i < 2; i++) {
		memcpy(b, a, LEN);
		renew();
		child_flips(PAGE, PAGE);
		EXPECT_EQ(0, merge_ops(ops + i, 2));
		model_merge(0, LEN, 0);
		EXPECT_TRUE(is_one(1));
		EXPECT_TRUE(is_right());
		EXPECT_EQ(0, memcmp(b, theirs, LEN));
	}
}

/* Operations of the same call after it and before it. */
TEST_F(take, among_others)
{
	struct det_op ops[] = {
		op_zero(addr_of(a), PAGE, PROT_RW),
		op_merge(a, 4 * PAGE, DET_MERGE_KEEP),
		op_zero(addr_of(a) + PAGE, PAGE, PROT_RW),
		op_copy(a + 2 * PAGE, addr_of(a), PAGE),
	};

	child_strides(5, 4, 1);
	EXPECT_EQ(0, merge_ops(ops, ARRAY_SIZE(ops)));
	memset(mine, 0, PAGE);
	model_merge(0, 4 * PAGE, DET_MERGE_KEEP);
	memset(mine + PAGE, 0, PAGE);
	memcpy(mine + 2 * PAGE, theirs, PAGE);
	EXPECT_TRUE(is_one(3));
	EXPECT_TRUE(is_right());
}

/* --- Granules and policies --- */

static void check_granule(struct __test_metadata *_metadata, __u32 flags)
{
	renew();
	child_sets(5, ~a[5]);
	child_sets(PAGE + 5, ~a[PAGE + 5]);
	child_sets(2 * PAGE + 5, ~a[2 * PAGE + 5]);
	caller_sets(PAGE + 5, a[PAGE + 5] ^ 1);
	caller_sets(2 * PAGE + 4, a[2 * PAGE + 4] ^ 1);
	EXPECT_EQ(0, merge_part(0, LEN, flags));
	EXPECT_EQ(conflicts, st.nr_conflicts);
	EXPECT_TRUE(is_one(0));
	EXPECT_TRUE(is_right());
}

TEST_F(take, granules)
{
	__u32 g;

	for (g = 0; g <= DET_MERGE_GRANULE_8; g += DET_MERGE_GRANULE_2) {
		renew();
		child_sets(5, ~a[5]);
		EXPECT_EQ(0, merge_part(0, LEN, g));
		EXPECT_EQ(0, st.nr_conflicts);
		EXPECT_TRUE(is_one(0));
		EXPECT_TRUE(is_right());
		check_granule(_metadata, g | DET_MERGE_KEEP);
		check_granule(_metadata, g | DET_MERGE_TAKE);
	}
}

/* --- What the caller has there --- */

static void check_locked(struct __test_metadata *_metadata)
{
	long locked = pid_kb(getpid(), "VmLck");

	child_strides(5, 2, 1);
	EXPECT_EQ(0, merge());
	EXPECT_FALSE(is_one(0));
	EXPECT_NE(0, frame(getpid(), a));
	EXPECT_EQ(LEN / 1024, locked);
	EXPECT_EQ(locked, pid_kb(getpid(), "VmLck"));
	EXPECT_TRUE(is_right());
	ASSERT_EQ(0, munlock(a, LEN));
	renew();
	child_strides(5, 2, 2);
	EXPECT_EQ(0, merge());
	EXPECT_TRUE(is_one(0));
	EXPECT_TRUE(is_right());
}

/* Locked before the COPY and after it. */
TEST_F(take, mlocked)
{
	ASSERT_EQ(0, mlock(a, LEN));
	check_locked(_metadata);
	ASSERT_EQ(0, mlock(a, LEN));
	renew();
	check_locked(_metadata);
}

TEST_F(take, read_only)
{
	__u64 before[2 * PAGES], after[2 * PAGES];
	int prot[] = { PROT_READ, PROT_NONE, PROT_READ | PROT_EXEC };
	unsigned int i;

	child_strides(5, PAGES, 1);
	for (i = 0; i < ARRAY_SIZE(prot); i++) {
		all_frames(before);
		ASSERT_EQ(0, mprotect(a + 6 * PAGE, PAGE, prot[i]));
		EXPECT_EQ(-EFAULT, get_op(CHILD, 0, op_merge(a, LEN, 0), &st));
		EXPECT_EQ(addr_of(a) + 6 * PAGE, st.addr & -PAGE);
		ASSERT_EQ(0, mprotect(a + 6 * PAGE, PAGE, PROT_RW));
		all_frames(after);
		EXPECT_EQ(0, memcmp(before, after, sizeof(before)));
		EXPECT_TRUE(is_right());
	}
	EXPECT_EQ(0, merge());
	EXPECT_TRUE(is_one(0));
	EXPECT_TRUE(is_right());
}

/* A hole is found before anything is taken, too. */
TEST_F(take, unmapped)
{
	child_strides(5, PAGES, 1);
	ASSERT_EQ(0, munmap(a + 7 * PAGE, PAGE));
	EXPECT_EQ(-EFAULT, get_op(CHILD, 0, op_merge(a, LEN, 0), &st));
	EXPECT_EQ(addr_of(a) + 7 * PAGE, st.addr & -PAGE);
	EXPECT_FALSE(is_one(0));
	EXPECT_EQ(0, memcmp(a, mine, 7 * PAGE));
}

/* What it has said about the memory since the COPY. */
TEST_F(take, advice)
{
	static const struct { int give, revoke; } t[] = {
		{ MADV_DONTFORK, MADV_DOFORK },
		{ MADV_WIPEONFORK, MADV_KEEPONFORK },
		{ MADV_MERGEABLE, MADV_UNMERGEABLE },
		{ MADV_HUGEPAGE, MADV_NOHUGEPAGE },
		{ MADV_SEQUENTIAL, MADV_NORMAL },
		{ MADV_DONTDUMP, MADV_DODUMP },
		{ MADV_COLD, MADV_NORMAL },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(t); i++) {
		renew();
		if (madvise(a, LEN, t[i].give))
			continue;
		child_strides(5, 4, 10 + i);
		EXPECT_EQ(0, merge()) TH_LOG("advice %u", i);
		EXPECT_TRUE(is_right()) TH_LOG("advice %u", i);
		ASSERT_EQ(0, madvise(a, LEN, t[i].revoke));
		child_sets(5, 20 + i);
		caller_sets(PAGE + 5, 30 + i);
		EXPECT_TRUE(is_right());
	}
}

/* Other mappings than the child's, of the same pages. */
TEST_F(take, split_mappings)
{
	ASSERT_EQ(0, mprotect(a + 3 * PAGE, PAGE, PROT_READ));
	child_strides(5, 3, 1);
	child_strides(4 * PAGE + 5, 4, 1);
	EXPECT_EQ(0, merge());
	EXPECT_TRUE(is_right());
	caller_sets(5, 2);
	caller_sets(7 * PAGE + 5, 2);
	child_strides(PAGE + 5, 2, 3);
	child_strides(4 * PAGE + 5, 3, 3);
	EXPECT_TRUE(is_right());
	ASSERT_EQ(0, mprotect(a + 3 * PAGE, PAGE, PROT_RW));
	renew();
	child_strides(6, PAGES, 4);
	EXPECT_EQ(0, merge());
	EXPECT_TRUE(is_right());
}

/* Pages that it gave back: zeros now, which are its change. */
TEST_F(take, given_back)
{
	child_sets(PAGE + 5, ~a[PAGE + 5]);
	ASSERT_EQ(0, madvise(a + PAGE, PAGE, MADV_DONTNEED));
	memset(mine + PAGE, 0, PAGE);
	EXPECT_EQ(-DET_ECONFLICT, merge());
	EXPECT_EQ(addr_of(a + PAGE + 5), st.addr);
	EXPECT_EQ(1, st.nr_conflicts);
	EXPECT_TRUE(is_right());
	ASSERT_EQ(0, madvise(a + PAGE, PAGE, MADV_DONTNEED));
	EXPECT_EQ(0, merge_part(0, LEN, DET_MERGE_KEEP));
	EXPECT_TRUE(is_right());
	ASSERT_EQ(0, madvise(a + PAGE, PAGE, MADV_DONTNEED));
	EXPECT_EQ(0, merge_part(0, LEN, DET_MERGE_TAKE));
	EXPECT_TRUE(is_right());
}

/* A new mapping with the same bytes. */
TEST_F(take, mapped_anew)
{
	child_sets(5, 1);
	ASSERT_EQ(0, munmap(a, LEN));
	ASSERT_EQ(a, map_fixed(ARENA_AT, LEN));
	memcpy(a, mine, LEN);
	EXPECT_EQ(0, merge());
	EXPECT_FALSE(is_one(0));
	EXPECT_TRUE(is_right());
	renew();
	child_sets(6, 2);
	EXPECT_EQ(0, merge());
	EXPECT_TRUE(is_one(0));
	EXPECT_TRUE(is_right());
}

/* Memory that was mapped elsewhere when it was first used. */
TEST_F(take, moved)
{
	char *p = mremap(a, LEN, LEN, MREMAP_MAYMOVE | MREMAP_FIXED,
			 (void *)OTHER_AT);

	ASSERT_EQ((void *)OTHER_AT, p);
	use(p);
	child_strides(5, 4, 1);
	EXPECT_EQ(0, merge());
	EXPECT_TRUE(is_one(0));
	EXPECT_TRUE(is_right());
	caller_sets(5, 2);
	child_sets(PAGE + 5, 3);
	EXPECT_TRUE(is_right());
}

/* The caller exchanges two pages after the COPY. */
TEST_F(take, exchanged)
{
	char *p = map_rw(PAGE), *q = a + PAGE;
	int flags = MREMAP_MAYMOVE | MREMAP_FIXED;

	child_strides(5, 4, 1);
	ASSERT_EQ(p, mremap(a, PAGE, PAGE, flags, p));
	ASSERT_EQ(a, mremap(q, PAGE, PAGE, flags, a));
	ASSERT_EQ(q, mremap(p, PAGE, PAGE, flags, q));
	memcpy(mine, a, LEN);
	EXPECT_EQ(0, merge_part(0, LEN, DET_MERGE_KEEP));
	EXPECT_EQ(conflicts, st.nr_conflicts);
	EXPECT_NE(0, conflicts);
	EXPECT_TRUE(is_right());
	renew();
	child_strides(6, 4, 2);
	EXPECT_EQ(0, merge());
	EXPECT_TRUE(is_right());
}

/* --- A file's pages --- */

static int file_of(const char *bytes)
{
	int fd = memfd_create("take_test", MFD_CLOEXEC);

	if (fd < 0 || write(fd, bytes, LEN) != LEN)
		abort();
	return fd;
}

static bool file_has(int fd, const char *bytes)
{
	static char buf[LEN];

	return pread(fd, buf, LEN, 0) == LEN && !memcmp(buf, bytes, LEN);
}

static char *map_private(int fd)
{
	return map_at((void *)OTHER_AT, LEN, PROT_RW,
		      MAP_PRIVATE | MAP_FIXED_NOREPLACE, fd);
}

TEST_F(take, private_file)
{
	char *orig = memcpy(map_rw(LEN), a, LEN);
	int fd = file_of(orig);
	char *p = map_private(fd);

	p[PAGE + 9] = 9;
	use(p);
	child_strides(5, 4, 1);
	caller_sets(3 * PAGE + 6, 2);
	EXPECT_EQ(0, merge());
	EXPECT_TRUE(is_one(0));
	EXPECT_TRUE(is_one(1));
	EXPECT_FALSE(is_one(3));
	EXPECT_TRUE(is_right());
	EXPECT_TRUE(file_has(fd, orig));
	child_sets(5, 3);
	caller_sets(PAGE + 5, 4);
	EXPECT_TRUE(is_right());
	renew();
	child_strides(7, PAGES, 5);
	EXPECT_EQ(0, merge());
	EXPECT_TRUE(is_one(PAGES - 1));
	EXPECT_TRUE(is_right());
	EXPECT_TRUE(file_has(fd, orig));
}

/* The file's bytes are back, and in page 1 they are the caller's change. */
TEST_F(take, private_file_given_back)
{
	char *orig = memcpy(map_rw(LEN), a, LEN);
	char *p = map_private(file_of(orig));

	p[PAGE + 9] = ~orig[PAGE + 9];
	use(p);
	child_strides(5, 4, 1);
	ASSERT_EQ(0, madvise(p, 2 * PAGE, MADV_DONTNEED));
	memcpy(mine, orig, 2 * PAGE);
	EXPECT_EQ(0, merge());
	EXPECT_FALSE(is_one(0));
	EXPECT_TRUE(is_one(2));
	EXPECT_EQ(orig[PAGE + 9], a[PAGE + 9]);
	EXPECT_TRUE(is_right());
}

static char data[LEN + PAGE] = "some data";
static char bss[LEN + PAGE];

static char *aligned(char *p)
{
	return (char *)((addr_of(p) + PAGE - 1) & -PAGE);
}

/* The program's own. */
TEST_F(take, program_data)
{
	use(aligned(data));
	child_strides(5, 4, 1);
	EXPECT_EQ(0, merge());
	EXPECT_TRUE(is_one(0));
	EXPECT_TRUE(is_right());
	child_sets(6, 2);
	caller_sets(PAGE + 6, 3);
	EXPECT_TRUE(is_right());
	use(aligned(bss));
	child_strides(5, 4, 1);
	EXPECT_EQ(0, merge());
	EXPECT_TRUE(is_right());
	child_sets(6, 2);
	caller_sets(PAGE + 6, 3);
	EXPECT_TRUE(is_right());
}

/* Shared memory is never replaced: another mapping of it sees the bytes. */
TEST_F(take, shared_memory)
{
	int fd = file_of(a);
	char *p = map_at((void *)OTHER_AT, LEN, PROT_RW, MAP_SHARED, fd);

	ASSERT_EQ(p, (void *)OTHER_AT);
	ASSERT_EQ(0, put_op(CHILD, 0, op_zero(OTHER_AT, LEN, PROT_RW), NULL));
	use(p);
	child_strides(5, 4, 1);
	EXPECT_EQ(0, merge());
	EXPECT_FALSE(is_one(0));
	EXPECT_TRUE(is_right());
	EXPECT_TRUE(file_has(fd, mine));
}

/* Uses some more stack for a moment. */
static void grow_stack(size_t len)
{
	char frame[len];

	memset(frame, 1, len);
	asm volatile("" : : "r"(frame) : "memory");
}

TEST_F(take, stack)
{
	char buf[LEN + PAGE];
	char *p = aligned(buf);

	fill_high(p, LEN, 3);
	use(p);
	child_strides(5, 4, 1);
	grow_stack(2 << 20);
	EXPECT_EQ(0, merge());
	EXPECT_TRUE(is_right());
	child_sets(5, 2);
	caller_sets(PAGE + 5, 3);
	EXPECT_TRUE(is_right());
	grow_stack(4 << 20);
	renew();
	child_strides(6, PAGES, 4);
	EXPECT_EQ(0, merge());
	EXPECT_TRUE(is_right());
}

/* --- Where caller and snapshot have nothing yet --- */

static void check_fresh(struct __test_metadata *_metadata, bool one)
{
	child_sets(2 * PAGE + 9, 7);
	EXPECT_EQ(0, merge());
	if (one)
		EXPECT_TRUE(is_one(2));
	EXPECT_EQ(0, entry_of(getpid(), a + 4 * PAGE) & PM_PRESENT);
	EXPECT_TRUE(is_right());
	child_sets(2 * PAGE + 9, 8);
	EXPECT_TRUE(is_right());
	caller_sets(2 * PAGE + 10, 9);
	EXPECT_TRUE(is_right());
	EXPECT_EQ(-DET_ECONFLICT, merge());
	EXPECT_EQ(1, st.nr_conflicts);
}

TEST_F(take, fresh_beside_a_page)
{
	use_zeros(map_fixed(OTHER_AT, LEN), true);
	check_fresh(_metadata, true);
}

TEST_F(take, fresh)
{
	use_zeros(map_fixed(OTHER_AT, LEN), false);
	check_fresh(_metadata, false);
}

/* The caller has used the mapping after the COPY only. */
TEST_F(take, fresh_and_touched_later)
{
	use_zeros(map_fixed(OTHER_AT, LEN), false);
	caller_sets(7 * PAGE, 1);
	check_fresh(_metadata, false);
}

/* The child's page is where the caller has no page table. */
TEST_F(take, fresh_page_table)
{
	char *p = map_fixed(OTHER_AT, 2 * HUGE);

	p[0] = 1;
	use_zeros(p + HUGE, false);
	check_fresh(_metadata, false);
	p = map_fixed(THIRD_AT, 2 * HUGE) + HUGE - 2 * PAGE;
	use_zeros(p, false);
	caller_sets(0, 1);
	renew();
	check_fresh(_metadata, false);
}

/* The caller has read the page, before the COPY or after it. */
TEST_F(take, only_read)
{
	use_zeros(map_fixed(OTHER_AT, LEN), true);
	EXPECT_EQ(0, byte_at(a + 2 * PAGE));
	check_fresh(_metadata, true);
	use_zeros(map_fixed(THIRD_AT, LEN), true);
	EXPECT_EQ(0, byte_at(a + 2 * PAGE));
	renew();
	check_fresh(_metadata, true);
}

/* Zeros that the caller has read are a change if the snapshot has bytes. */
TEST_F(take, zeros_instead)
{
	ASSERT_EQ(0, madvise(a + PAGE, PAGE, MADV_DONTNEED));
	EXPECT_EQ(0, byte_at(a + PAGE));
	memset(mine + PAGE, 0, PAGE);
	child_sets(PAGE + 5, ~snap[PAGE + 5]);
	EXPECT_EQ(-DET_ECONFLICT, merge());
	EXPECT_TRUE(is_right());
}

/* New memory of the child's, over its old one and over nothing. */
TEST_F(take, zeroed_in_the_child)
{
	char *p = map_fixed(OTHER_AT, LEN);

	ASSERT_EQ(0, put_op(CHILD, 0, op_zero(addr_of(a) + PAGE, PAGE,
					      PROT_RW), NULL));
	memset(theirs + PAGE, 0, PAGE);
	child_strides(5, 3, 1);
	EXPECT_EQ(0, merge());
	EXPECT_TRUE(is_one(0));
	EXPECT_TRUE(is_right());
	child_strides(5, 3, 2);
	caller_sets(PAGE + 6, 3);
	EXPECT_TRUE(is_right());

	p[7 * PAGE] = 1;
	ASSERT_EQ(0, put_op(CHILD, 0, op_zero(OTHER_AT, LEN, PROT_RW), NULL));
	ASSERT_TRUE(child_strides_at(p, 2, 4));
	ASSERT_EQ(0, get_op(CHILD, 0, op_merge(p, LEN, 0), NULL));
	EXPECT_EQ(4, p[0]);
	EXPECT_EQ(4, p[PAGE]);
	EXPECT_TRUE(all_bytes(p + 1, 0, PAGE - 1));
	ASSERT_TRUE(child_strides_at(p, 2, 5));
	EXPECT_EQ(4, p[0]);
}

/* --- What the child may do with it --- */

/* The caller's permission is its own. */
TEST_F(take, perm)
{
	static const __u32 prot[] = {
		PROT_READ, PROT_NONE, PROT_READ | PROT_EXEC, PROT_RWX,
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(prot); i++) {
		renew();
		child_strides(5, 4, 10 + i);
		ASSERT_EQ(0, put_op(CHILD, 0, op_perm(addr_of(a), LEN,
						      prot[i]), NULL));
		EXPECT_EQ(0, merge());
		EXPECT_STREQ("rw-p", perm_at(getpid(), addr_of(a)));
		EXPECT_TRUE(is_right());
		caller_sets(5, 20 + i);
		EXPECT_TRUE(is_right());
		ASSERT_EQ(0, put_op(CHILD, 0, op_perm(addr_of(a), LEN,
						      PROT_RW), NULL));
		child_sets(PAGE + 5, 30 + i);
		EXPECT_TRUE(is_right());
	}
}

/* Given back to the child after the page was taken: no way to the caller. */
TEST_F(take, perm_afterwards)
{
	child_strides(5, 2, 1);
	ASSERT_EQ(0, put_op(CHILD, 0, op_perm(addr_of(a), LEN, PROT_READ),
			    NULL));
	ASSERT_EQ(0, put_op(CHILD, 0, op_perm(addr_of(a), LEN, PROT_RW),
			    NULL));
	EXPECT_EQ(0, merge());
	ASSERT_EQ(0, put_op(CHILD, 0, op_perm(addr_of(a), LEN, PROT_READ),
			    NULL));
	EXPECT_EQ(PROBE_FAULT, child_write(CHILD, addr_of(a) + 5, 2));
	ASSERT_EQ(0, put_op(CHILD, 0, op_perm(addr_of(a), LEN, PROT_RW),
			    NULL));
	child_strides(5, 2, 3);
	EXPECT_TRUE(is_right());
}

/* What the child got from elsewhere is no page of the caller's. */
TEST_F(take, copied_from_elsewhere)
{
	char *b = map_fixed(OTHER_AT, LEN);

	fill_high(b, LEN, 11);
	ASSERT_EQ(0, put_op(CHILD, 0, op_copy(b, addr_of(a), 2 * PAGE),
			    NULL));
	memcpy(theirs, b, 2 * PAGE);
	child_strides(PAGE + 5, 2, 1);
	EXPECT_EQ(0, merge());
	EXPECT_TRUE(is_right());
	child_strides(6, 3, 2);
	EXPECT_TRUE(is_right());
	b[7] ^= 1;
	EXPECT_TRUE(is_right());
}

/* A COPY after the SNAP: what it brought is merged, taken or not. */
TEST_F(take, copied_since)
{
	caller_sets(PAGE + 5, 1);
	caller_sets(2 * PAGE + 5, 1);
	ASSERT_EQ(0, put_op(CHILD, 0, op_copy(a, addr_of(a), LEN), NULL));
	memcpy(theirs, mine, LEN);
	child_sets(PAGE + 6, 2);
	child_sets(5, 2);
	EXPECT_EQ(-DET_ECONFLICT, merge());
	EXPECT_EQ(conflicts, st.nr_conflicts);
	EXPECT_FALSE(is_one(0));
	EXPECT_EQ(0, merge_part(0, LEN, DET_MERGE_TAKE));
	EXPECT_TRUE(is_one(0));
	EXPECT_TRUE(is_right());
}

/* --- Spaces that take --- */

/* Its child writes to page 1, itself to page 2. */
static long takes_from_its_child(void *arg)
{
	char *p = arg;

	if (fork_space(CHILD, DET_SNAP | DET_START, NULL) == 0) {
		p[PAGE + 1]++;
		for (;;)
			dret(0);
	}
	p[2 * PAGE + 2]++;
	return get_op(CHILD, 0, op_merge(p, LEN, 0), NULL);
}

TEST_F(take, nested)
{
	struct det_op copy = op_copy(a, addr_of(a), LEN);
	pid_t space;
	int i;

	ASSERT_EQ(1, spawn(2, DET_SNAP, takes_from_its_child, a, NULL));
	space = space_pid(getpid(), 2);
	for (i = 0; i < 50; i++) {
		ASSERT_EQ(0, put_op(2, DET_SNAP | DET_START | DET_WAIT, copy,
				    &st));
		ASSERT_RET(0, &st);
		pid = space_pid(space, CHILD);
		EXPECT_EQ(frame(space, a + PAGE), frame(pid, a + PAGE));
		ASSERT_EQ(0, get_op(2, 0, op_merge(a, LEN, 0), NULL));
		EXPECT_EQ(frame(space, a + 2 * PAGE),
			  frame(getpid(), a + 2 * PAGE));
		mine[PAGE + 1]++;
		mine[2 * PAGE + 2]++;
		ASSERT_TRUE(caller_is_right());
		caller_sets(PAGE + 9, i);
		caller_sets(2 * PAGE + 9, i);
	}
	ASSERT_EQ(0, kill_child(2));
	EXPECT_TRUE(caller_is_right());
}

/* What a space takes from its child is its change; else it writes nothing. */
static long takes_a_byte(void *arg)
{
	char *p = arg;

	if (fork_space(CHILD, DET_SNAP | DET_START, NULL) == 0) {
		p[5]++;
		for (;;)
			dret(0);
	}
	return get_op(CHILD, 0, op_merge(p, LEN, 0), NULL);
}

TEST_F(take, nested_only_taken)
{
	int i;

	ASSERT_EQ(1, spawn(2, 0, takes_a_byte, a, NULL));
	for (i = 0; i < 20; i++) {
		ASSERT_EQ(0, put_flags(2, DET_SNAP, NULL));
		ASSERT_EQ(0, get_op(2, 0, op_merge(a, LEN, 0), NULL));
		ASSERT_TRUE(caller_is_right());
		ASSERT_EQ(0, put_flags(2, DET_SNAP | DET_START | DET_WAIT,
				       &st));
		ASSERT_RET(0, &st);
		ASSERT_EQ(0, get_op(2, 0, op_merge(a, LEN, 0), NULL));
		mine[5]++;
		ASSERT_TRUE(caller_is_right());
	}
}

TEST_F(take, nested_conflict)
{
	caller_sets(5, 1);
	ASSERT_EQ(1, spawn(2, DET_SNAP | DET_START | DET_WAIT, takes_a_byte, a,
			   &st));
	ASSERT_RET(0, &st);
	caller_sets(5, 2);
	EXPECT_EQ(-DET_ECONFLICT, get_op(2, 0, op_merge(a, LEN, 0), &st));
	EXPECT_EQ(1, st.nr_conflicts);
	EXPECT_EQ(addr_of(a) + 5, st.addr);
	EXPECT_TRUE(caller_is_right());
	/* Its next snapshot has the page; then there is nothing to merge. */
	ASSERT_EQ(0, put_flags(2, DET_SNAP, NULL));
	EXPECT_EQ(0, get_op(2, 0, op_merge(a, LEN, 0), &st));
	EXPECT_TRUE(caller_is_right());
}

/* --- Against the model, at random --- */

/* A few bytes, or whole pages. */
static size_t random_len(__u64 *rnd, size_t off)
{
	size_t len = next_random(rnd) % 4 ? 1 + next_random(rnd) % 20 :
					    next_random(rnd) % (2 * PAGE);

	return len < LEN - off ? len : LEN - off;
}

static void random_caller(__u64 *rnd)
{
	size_t off = next_random(rnd) % LEN, len = random_len(rnd, off);
	size_t page = off & -PAGE;

	switch (next_random(rnd) % 16) {
	case 0:
	case 1:
		if (madvise(a + page, PAGE, MADV_DONTNEED))
			abort();
		memset(mine + page, 0, PAGE);
		break;
	case 2:
		if (peek(CHILD, addr_of(a) + page, a + page, PAGE))
			abort();
		memcpy(mine + page, theirs + page, PAGE);
		break;
	default:
		for (; len--; off++)
			caller_sets(off, a[off] + 1);
	}
}

static void random_child(__u64 *rnd)
{
	size_t off = next_random(rnd) % LEN, first = next_random(rnd) % PAGES;

	switch (next_random(rnd) % 4) {
	case 0:
		child_strides(first * PAGE + off % PAGE, PAGES - first, off);
		break;
	case 1:
		child_sets(off, off);
		break;
	default:
		child_flips(off, random_len(rnd, off));
	}
}

/* Some pages are copied, or there is another snapshot, or another child. */
static void random_renewal(__u64 *rnd)
{
	size_t off = next_random(rnd) % PAGES * PAGE;
	size_t len = next_random(rnd) % (LEN - off + 1) & -PAGE;
	unsigned int what = next_random(rnd) % 8;

	if (what == 0) {
		if (kill_child(CHILD))
			abort();
		make_child();
	}
	if (what < 4) {
		renew();
		return;
	}
	if (put_op(CHILD, what & 1 ? DET_SNAP : 0,
		   op_copy(a + off, addr_of(a) + off, len), NULL))
		abort();
	memcpy(theirs + off, mine + off, len);
	if (what & 1)
		memcpy(snap, theirs, LEN);
}

static bool random_merge(__u64 *rnd)
{
	static const __u32 policies[] = {
		0, 0, DET_MERGE_KEEP, DET_MERGE_TAKE,
	};
	__u32 flags = policies[next_random(rnd) % 4];
	bool reports = !flags;
	size_t off = 0, len = LEN;
	long ret;

	flags |= next_random(rnd) % 4 << 8;
	if (next_random(rnd) % 3 == 0) {
		off = next_random(rnd) % LEN;
		len = next_random(rnd) % (LEN - off + 1);
	}
	ret = merge_part(off, len, flags);
	if (ret == (conflicts && reports ? -DET_ECONFLICT : 0) &&
	    st.nr_conflicts == conflicts)
		return is_right();
	fprintf(stderr, "# [%zu, %zu) flags %#x: %ld, %lu conflicts\n", off,
		off + len, flags, ret, conflicts);
	print_status(&st);
	return false;
}

TEST_F(take, model)
{
	const char *s = getenv("DET_TEST_TAKES");
	unsigned long i, k, n = s ? strtoul(s, NULL, 0) : 1000;
	__u64 rnd = 4711;

	for (i = 0; i < n; i++) {
		if (next_random(&rnd) % 3)
			random_renewal(&rnd);
		for (k = next_random(&rnd) % 3; k; k--)
			random_child(&rnd);
		for (k = next_random(&rnd) % 3; k; k--)
			random_caller(&rnd);
		ASSERT_TRUE(random_merge(&rnd)) TH_LOG("round %lu", i);
	}
}

TEST_HARNESS_MAIN
