// SPDX-License-Identifier: GPL-2.0-only
/*
 * What memory operations must count: promised memory (overcommit), address
 * space, locked and resident pages; and that nothing of it is left over.
 */
#include "mem.h"

/* Where the children of these tests have memory. */
#define THERE 0x300000000UL

/* Large, and hardly touched: what is lost of it shows in the counters. */
#define LARGE (64UL << 20)
#define LARGE_KB ((long)(LARGE >> 10))

static long meminfo_kb(const char *key)
{
	char val[64] = "";

	proc_line("/proc/meminfo", key, val, sizeof(val));
	return atol(val);
}

static long pid_kb(pid_t pid, const char *key)
{
	char val[64] = "";

	pid_line(pid, key, val, sizeof(val));
	return atol(val);
}

FIXTURE(account) {
	long committed;		/* kB at the beginning */
	pid_t pid;		/* child 1's */
};

FIXTURE_SETUP(account)
{
	NEED_CALLS();
	ASSERT_EQ(0, probe_into(1));
	self->pid = space_pid(getpid(), 1);
	ASSERT_NE(0, self->pid);
	self->committed = meminfo_kb("Committed_AS");
}

FIXTURE_TEARDOWN(account)
{
}

/* Others promise memory, too, but not that much. */
static bool is_near(long kb, long want)
{
	return kb > want - LARGE_KB / 2 && kb < want + LARGE_KB / 2;
}

static bool promised(long want)
{
	long kb = meminfo_kb("Committed_AS");

	if (is_near(kb, want))
		return true;
	fprintf(stderr, "# %ld kB in all, should be some %ld\n", kb, want);
	return false;
}

/* What a child had goes a moment after the child. */
static bool promised_soon(long want)
{
	return EVENTUALLY(is_near(meminfo_kb("Committed_AS"), want)) ||
	       promised(want);
}

/* --- Memory that is promised --- */

TEST_F(account, promised_to_a_child)
{
	char *p = map_rw(LARGE);
	long mine = self->committed + LARGE_KB;

	EXPECT_TRUE(promised(mine));
	ASSERT_EQ(0, put_op(1, 0, op_copy(p, THERE, LARGE), NULL));
	EXPECT_TRUE(promised(mine + LARGE_KB));
	ASSERT_EQ(0, put_op(1, 0, op_zero(THERE + LARGE, LARGE, PROT_RW),
			    NULL));
	EXPECT_TRUE(promised(mine + 2 * LARGE_KB));
	/* What cannot be written, and what is asked not to be, is no promise. */
	ASSERT_EQ(0, put_op(1, 0, op_zero(THERE + 2 * LARGE, LARGE, PROT_READ),
			    NULL));
	ASSERT_EQ(0, put_op(1, 0, op_zero_at(THERE + 3 * LARGE, LARGE, PROT_RW,
					     DET_ZERO_NORESERVE), NULL));
	EXPECT_TRUE(promised(mine + 2 * LARGE_KB));
	ASSERT_EQ(0, put_op(1, 0, op_perm(THERE + 2 * LARGE, LARGE, PROT_RW),
			    NULL));
	EXPECT_TRUE(promised(mine + 3 * LARGE_KB));
	ASSERT_EQ(0, put_op(1, 0, op_zero(THERE, 2 * LARGE, 0), NULL));
	EXPECT_TRUE(promised(mine + LARGE_KB));
	ASSERT_EQ(0, kill_child(1));
	EXPECT_TRUE(promised_soon(mine));
}

/* A snapshot may have to keep all that the child changes. */
TEST_F(account, promised_to_a_snapshot)
{
	ASSERT_EQ(0, put_op(1, 0, op_zero(THERE, LARGE, PROT_RW), NULL));
	ASSERT_EQ(0, put_flags(1, DET_SNAP, NULL));
	EXPECT_TRUE(promised(self->committed + 2 * LARGE_KB));
	ASSERT_EQ(0, put_flags(1, DET_SNAP, NULL));
	EXPECT_TRUE(promised(self->committed + 2 * LARGE_KB));
	ASSERT_EQ(0, kill_child(1));
	EXPECT_TRUE(promised_soon(self->committed));
}

/* Each way to get memory and to lose it, again and again. */
TEST_F(account, nothing_left_over)
{
	char *p = map_rw(LARGE), *back = map_rw(LARGE);
	long mine = meminfo_kb("Committed_AS"), size = 0, its = 0;
	int i;

	for (i = 0; i < 40; i++) {
		if (i == 1) {
			size = pid_kb(getpid(), "VmSize");
			its = pid_kb(self->pid, "VmSize");
		}
		p[i * PAGE] = 1;
		ASSERT_EQ(0, put_op(1, DET_SNAP, op_copy(p, THERE, LARGE),
				    NULL));
		ASSERT_EQ(0, put_op(1, 0, op_zero(THERE + LARGE / 4, LARGE / 4,
						  PROT_READ), NULL));
		ASSERT_EQ(0, put_op(1, 0, op_perm(THERE, LARGE / 2, PROT_RW),
				    NULL));
		ASSERT_EQ(0, put_op(1, 0, op_zero(THERE + LARGE / 2, LARGE / 4,
						  0), NULL));
		ASSERT_EQ(0, get_op(1, 0, op_copy(back, THERE, LARGE), NULL));
		ASSERT_EQ(0, get_op(1, 0, op_image(back, THERE, LARGE), NULL));
		ASSERT_EQ(0, get_op(1, 0, op_merge_at(back, THERE, LARGE,
						      DET_MERGE_TAKE), NULL));
		ASSERT_EQ(0, put_op(2, DET_SNAP, op_whole(), NULL));
		ASSERT_EQ(0, kill_child(2));
	}
	EXPECT_EQ(size, pid_kb(getpid(), "VmSize"));
	EXPECT_EQ(its, pid_kb(self->pid, "VmSize"));
	ASSERT_EQ(0, kill_child(1));
	EXPECT_TRUE(promised_soon(mine));
}

/* --- Address space --- */

TEST_F(account, size)
{
	long before = pid_kb(self->pid, "VmSize");

	ASSERT_EQ(0, put_op(1, 0, op_zero(THERE, LARGE, PROT_RW), NULL));
	EXPECT_EQ(before + LARGE_KB, pid_kb(self->pid, "VmSize"));
	ASSERT_EQ(0, put_op(1, 0, op_zero(THERE + LARGE / 2, LARGE, PROT_READ),
			    NULL));
	EXPECT_EQ(before + LARGE_KB * 3 / 2, pid_kb(self->pid, "VmSize"));
	ASSERT_EQ(0, put_op(1, 0, op_zero(THERE, 2 * LARGE, 0), NULL));
	EXPECT_EQ(before, pid_kb(self->pid, "VmSize"));
}

/* --- Resident pages --- */

TEST_F(account, resident)
{
	long before = pid_kb(self->pid, "RssAnon");
	char *p = map_rw(8 * PAGE);

	memset(p, 1, 6 * PAGE);
	ASSERT_EQ(0, put_op(1, 0, op_copy(p, THERE, 8 * PAGE), NULL));
	EXPECT_EQ(before + 24, pid_kb(self->pid, "RssAnon"));
	EXPECT_EQ(0, child_write(1, THERE, 1));
	before = pid_kb(self->pid, "RssAnon") - 24;
	EXPECT_EQ(0, child_write(1, THERE + 7 * PAGE, 1));
	EXPECT_EQ(before + 28, pid_kb(self->pid, "RssAnon"));
	ASSERT_EQ(0, put_op(1, 0, op_zero(THERE, 2 * PAGE, PROT_RW), NULL));
	ASSERT_EQ(0, put_op(1, 0, op_perm(THERE, 8 * PAGE, 0), NULL));
	EXPECT_EQ(before + 20, pid_kb(self->pid, "RssAnon"));
	ASSERT_EQ(0, put_op(1, 0, op_zero(THERE, 8 * PAGE, 0), NULL));
	EXPECT_EQ(before, pid_kb(self->pid, "RssAnon"));
}

/* --- Locked memory --- */

/* A lock is the caller's own; what dget maps over it is not locked. */
TEST_F(account, locked)
{
	char *p = map_rw(8 * PAGE);
	long before = pid_kb(getpid(), "VmLck");

	ASSERT_EQ(0, mlock(p, 8 * PAGE));
	EXPECT_EQ(before + 32, pid_kb(getpid(), "VmLck"));
	ASSERT_EQ(0, put_op(1, 0, op_copy(p, THERE, 8 * PAGE), NULL));
	EXPECT_EQ(0, pid_kb(self->pid, "VmLck"));
	ASSERT_EQ(0, put_op(2, 0, op_whole(), NULL));
	EXPECT_EQ(0, pid_kb(space_pid(getpid(), 2), "VmLck"));
	ASSERT_EQ(0, get_op(1, 0, op_copy(p, THERE, 2 * PAGE), NULL));
	EXPECT_EQ(before + 24, pid_kb(getpid(), "VmLck"));
	ASSERT_EQ(0, get_op(1, 0, op_zero(addr_of(p) + 4 * PAGE, 2 * PAGE, 0),
			    NULL));
	EXPECT_EQ(before + 16, pid_kb(getpid(), "VmLck"));
	ASSERT_EQ(0, munmap(p, 8 * PAGE));
	EXPECT_EQ(before, pid_kb(getpid(), "VmLck"));
}

/* --- What the kernel keeps of it --- */

/* Objects in use of a cache, or -1; roughly, as slabs are counted. */
static long objects(const char *cache)
{
	FILE *f = fopen("/proc/slabinfo", "re");
	char line[512], name[64];
	long n = -1, active;

	while (f && n < 0 && fgets(line, sizeof(line), f))
		if (sscanf(line, "%63s %ld", name, &active) == 2 &&
		    !strcmp(name, cache))
			n = active;
	if (f)
		fclose(f);
	return n;
}

/* COPYs there and back make no chains of mappings. */
TEST_F(account, kernel_objects)
{
	static const char * const caches[] = {
		"vm_area_struct", "anon_vma", "anon_vma_chain", "maple_node",
	};
	long before[ARRAY_SIZE(caches)], now;
	char *p = map_rw(8 * PAGE);
	unsigned int i, at;

	if (objects("anon_vma") < 0)
		SKIP(return, "no /proc/slabinfo");
	for (i = 0; i < 2010; i++) {
		at = i % 8 * PAGE;
		p[at] = i;
		ASSERT_EQ(0, put_op(1, 0, op_copy(p + at, THERE + at, PAGE),
				    NULL));
		ASSERT_EQ(0, get_op(1, 0, op_copy(p + at, THERE + at, PAGE),
				    NULL));
		for (at = 0; i == 10 && at < ARRAY_SIZE(caches); at++)
			before[at] = objects(caches[at]);
	}
	for (i = 0; i < ARRAY_SIZE(caches); i++) {
		now = objects(caches[i]);
		EXPECT_GT(before[i] + 1000, now) TH_LOG("%s", caches[i]);
	}
}

TEST_HARNESS_MAIN
