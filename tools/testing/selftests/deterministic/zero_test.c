// SPDX-License-Identifier: GPL-2.0-only
/*
 * ZERO: fresh zeroed memory with a permission, or none mapped any more, in the
 * child (dput) or in the caller (dget).
 */
#include <sys/prctl.h>

#include "mem.h"

#define PAGES 6
#define LEN (PAGES * PAGE)

/* Where the child's memory is. */
#define THERE 0x300000000UL

FIXTURE(zero) {
	char *a;	/* LEN bytes, filled */
};

FIXTURE_SETUP(zero)
{
	NEED_CALLS();
	self->a = map_rw(LEN);
	fill(self->a, LEN, 3);
	ASSERT_EQ(0, probe_into(1));
	ASSERT_EQ(0, put_op(1, 0, op_copy(self->a, THERE, LEN), NULL));
}

FIXTURE_TEARDOWN(zero)
{
}

TEST_F(zero, new_memory)
{
	const __u64 at = 0x400000000UL;

	EXPECT_EQ(PROBE_FAULT, child_read(1, at));
	ASSERT_EQ(0, put_op(1, 0, op_zero(at, LEN, PROT_RW), NULL));
	EXPECT_EQ(0, child_read(1, at));
	EXPECT_EQ(0, child_read(1, at + LEN - 1));
	EXPECT_EQ(0, child_write(1, at + PAGE, 3));
	EXPECT_EQ(3, child_read(1, at + PAGE));
	EXPECT_EQ(PROBE_FAULT, child_read(1, at - 1));
	EXPECT_EQ(PROBE_FAULT, child_read(1, at + LEN));
}

TEST_F(zero, replaces_what_was_there)
{
	ASSERT_EQ(0, put_op(1, 0, op_zero(THERE + PAGE, 2 * PAGE, PROT_RW),
			    NULL));
	memset(self->a + PAGE, 0, 2 * PAGE);
	EXPECT_TRUE(child_has(1, THERE, self->a, LEN));
	EXPECT_EQ(0, child_write(1, THERE + PAGE, 1));
}

TEST_F(zero, permissions)
{
	ASSERT_EQ(0, put_op(1, 0, op_zero(THERE, PAGE, PROT_READ), NULL));
	ASSERT_EQ(0, put_op(1, 0, op_zero(THERE + PAGE, PAGE,
					  PROT_READ | PROT_EXEC), NULL));
	EXPECT_EQ(0, child_read(1, THERE));
	EXPECT_EQ(PROBE_FAULT, child_write(1, THERE, 1));
	EXPECT_EQ(PROBE_FAULT, child_call(1, THERE));
	EXPECT_EQ(0, child_read(1, THERE + PAGE));
	EXPECT_EQ(PROBE_FAULT, child_write(1, THERE + PAGE, 1));
	/* It can be given more later. */
	ASSERT_EQ(0, put_op(1, 0, op_perm(THERE, PAGE, PROT_RW), NULL));
	EXPECT_EQ(0, child_write(1, THERE, 1));
}

TEST_F(zero, unmaps)
{
	ASSERT_EQ(0, put_op(1, 0, op_zero(THERE + PAGE, 2 * PAGE, 0), NULL));
	EXPECT_EQ((unsigned char)self->a[0], child_read(1, THERE));
	EXPECT_EQ(PROBE_FAULT, child_read(1, THERE + PAGE));
	EXPECT_EQ(PROBE_FAULT, child_read(1, THERE + 3 * PAGE - 1));
	EXPECT_EQ((unsigned char)self->a[3 * PAGE],
		  child_read(1, THERE + 3 * PAGE));
	/* Nothing mapped is fine, too; and what comes back is zeros. */
	ASSERT_EQ(0, put_op(1, 0, op_zero(THERE + PAGE, 2 * PAGE, 0), NULL));
	ASSERT_EQ(0, put_op(1, 0, op_zero(THERE + PAGE, PAGE, PROT_READ),
			    NULL));
	EXPECT_EQ(0, child_read(1, THERE + PAGE));
}

/* Partial pages at the ends are written with zeros, no more. */
TEST_F(zero, partial_pages)
{
	ASSERT_EQ(0, put_op(1, 0, op_zero(THERE + 100, 2 * PAGE, PROT_RW),
			    NULL));
	memset(self->a + 100, 0, 2 * PAGE);
	EXPECT_TRUE(child_has(1, THERE, self->a, LEN));
	ASSERT_EQ(0, put_op(1, 0, op_zero(THERE + 4 * PAGE + 8, 16, PROT_RW),
			    NULL));
	memset(self->a + 4 * PAGE + 8, 0, 16);
	EXPECT_TRUE(child_has(1, THERE, self->a, LEN));
	/* Across a page's end, with no whole page in it. */
	ASSERT_EQ(0, put_op(1, 0, op_zero(THERE + 4 * PAGE - 8, 16, PROT_READ),
			    NULL));
	memset(self->a + 4 * PAGE - 8, 0, 16);
	EXPECT_TRUE(child_has(1, THERE, self->a, LEN));
	EXPECT_EQ(0, child_write(1, THERE + 4 * PAGE, 1));
}

TEST_F(zero, partial_pages_need_memory)
{
	struct det_status st;
	long ret;

	ASSERT_EQ(0, put_op(1, 0, op_zero(THERE, PAGE, 0), NULL));
	ret = put_op(1, 0, op_zero(THERE + 8, 8, PROT_RW), &st);
	EXPECT_OP_ERR_AT(EFAULT, 0, THERE + 8, ret, &st);
	ASSERT_EQ(0, put_op(1, 0, op_perm(THERE + PAGE, PAGE, PROT_READ),
			    NULL));
	ret = put_op(1, 0, op_zero(THERE + PAGE + 8, 8, PROT_RW), &st);
	EXPECT_OP_ERR_AT(EFAULT, 0, THERE + PAGE + 8, ret, &st);
	EXPECT_EQ((unsigned char)self->a[PAGE + 8],
		  child_read(1, THERE + PAGE + 8));
}

TEST_F(zero, length_zero)
{
	EXPECT_EQ(0, put_op(1, 0, op_zero(THERE, 0, 0), NULL));
	EXPECT_EQ(0, put_op(1, 0, op_zero(THERE + 7, 0, PROT_RW), NULL));
	EXPECT_TRUE(child_has(1, THERE, self->a, LEN));
}

/* In the caller: a mmap and a munmap of its own. */
TEST_F(zero, in_the_caller)
{
	char *want = map_rw(LEN);
	pid_t me = getpid();

	memcpy(want, self->a, LEN);
	ASSERT_EQ(0, get_op(1, 0, op_zero(addr_of(self->a) + PAGE, PAGE,
					  PROT_RW), NULL));
	memset(want + PAGE, 0, PAGE);
	ASSERT_EQ(0, get_op(1, 0, op_zero(addr_of(self->a) + 4 * PAGE + 10, 20,
					  PROT_RW), NULL));
	memset(want + 4 * PAGE + 10, 0, 20);
	EXPECT_EQ(0, memcmp(want, self->a, LEN));
	ASSERT_EQ(0, get_op(1, 0, op_zero(addr_of(self->a), PAGE, PROT_READ),
			    NULL));
	EXPECT_STREQ("r--p", perm_at(me, addr_of(self->a)));
	EXPECT_EQ(0, self->a[0]);
	ASSERT_EQ(0, get_op(1, 0, op_zero(addr_of(self->a), PAGE, 0), NULL));
	EXPECT_STREQ("", perm_at(me, addr_of(self->a)));
	ASSERT_EQ(0, get_op(1, 0, op_zero(addr_of(self->a), PAGE, PROT_RW),
			    NULL));
	self->a[0] = 1;
	/* The child is not meant. */
	EXPECT_NE(PROBE_FAULT, child_read(1, THERE));
}

/* Of the caller's shared file only the mapping is replaced, not the bytes. */
TEST_F(zero, callers_file)
{
	int fd = memfd_create("zero_test", MFD_CLOEXEC);
	char *f, c;

	ASSERT_EQ(PAGE, write(fd, self->a, PAGE));
	f = map_at(NULL, PAGE, PROT_RW, MAP_SHARED, fd);
	ASSERT_EQ(0, get_op(1, 0, op_zero(addr_of(f), PAGE, PROT_RW), NULL));
	EXPECT_TRUE(all_bytes(f, 0, PAGE));
	f[0] = 1;
	ASSERT_EQ(1, pread(fd, &c, 1, 0));
	EXPECT_EQ(self->a[0], c);
}

/* A terabyte that is not reserved, and emptying all there is. */
TEST_F(zero, vast)
{
	const __u64 at = 0x100000000000ULL, tera = 1ULL << 40;

	ASSERT_EQ(0, put_op(1, 0, op_zero_at(at, tera, PROT_RW,
					     DET_ZERO_NORESERVE), NULL));
	EXPECT_EQ(0, child_read(1, at + tera - 1));
	EXPECT_EQ(0, child_write(1, at + tera / 2, 5));
	EXPECT_EQ(5, child_read(1, at + tera / 2));
	ASSERT_EQ(0, put_op(1, 0, op_zero(PAGE, USER_END - PAGE, 0), NULL));
	ASSERT_EQ(0, probe_into(1));
	EXPECT_EQ(PROBE_FAULT, child_read(1, at));
	EXPECT_EQ(PROBE_FAULT, child_read(1, THERE));
}

/* Up to the very end of what a program may have. */
TEST_F(zero, top_of_memory)
{
	ASSERT_EQ(0, put_op(1, 0, op_zero(USER_END - PAGE, PAGE, PROT_RW),
			    NULL));
	EXPECT_EQ(0, child_write(1, USER_END - 1, 9));
	EXPECT_EQ(9, child_read(1, USER_END - 1));
}

/* From now on; without the capability that would allow low addresses. */
static bool low_is_denied(void)
{
	char val[32] = "";
	FILE *f = fopen("/proc/sys/vm/mmap_min_addr", "re");
	bool set = f && fgets(val, sizeof(val), f) && atol(val) >= (long)PAGE;

	if (f)
		fclose(f);
	return set && (geteuid() ||
		       !syscall(__NR_setresuid, 65534, 65534, 65534));
}

TEST_F(zero, too_low)
{
	struct det_status st;
	long ret;

	if (!low_is_denied())
		SKIP(return, "low addresses are allowed here");
	ret = put_op(1, 0, op_zero(0, PAGE, PROT_RW), &st);
	EXPECT_OP_ERR_AT(EFAULT, 0, 0, ret, &st);
	ret = put_op(1, 0, op_copy(self->a, 0, PAGE), &st);
	EXPECT_OP_ERR_AT(EFAULT, 0, 0, ret, &st);
	EXPECT_EQ(PROBE_FAULT, child_read(1, 0));
	ret = get_op(1, 0, op_copy(NULL, THERE, PAGE), &st);
	EXPECT_OP_ERR_AT(EFAULT, 0, 0, ret, &st);
}

static long map_page_0(void *arg)
{
	return put_op(1, 0, op_zero(0, PAGE, PROT_RW), NULL);
}

/* vm.mmap_min_addr is the machine's: a space is not shown it. */
TEST_F(zero, too_low_in_a_space)
{
	struct det_status st;

	if (!low_is_denied())
		SKIP(return, "low addresses are allowed here");
	ASSERT_EQ(1, spawn(2, DET_START | DET_WAIT, map_page_0, NULL, &st));
	EXPECT_EQ(DET_KILLED, st.reason) print_status(&st);
	EXPECT_EQ(0, kill_child(2));
}

/* Writable and executable, where the caller has given that up. */
TEST_F(zero, write_and_execute_denied)
{
	struct det_status st;
	long ret;

	if (prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0))
		SKIP(return, "no MDWE");
	ASSERT_EQ(0, put_op(2, 0, op_zero(THERE, PAGE, PROT_RW), NULL));
	ret = put_op(2, 0, op_zero(THERE, PAGE, PROT_RWX), &st);
	EXPECT_OP_ERR_AT(EACCES, 0, THERE, ret, &st);
	ret = get_op(2, 0, op_zero(addr_of(self->a), PAGE, PROT_RWX), &st);
	EXPECT_OP_ERR_AT(EACCES, 0, self->a, ret, &st);
}

TEST_F(zero, mistakes)
{
	const struct {
		int err;
		__u32 flags, prot, pad;
		__u64 addr, len;
	} t[] = {
		{ EINVAL, 0, 8, 0, THERE, PAGE },
		{ EINVAL, 0, 1U << 31, 0, THERE, PAGE },
		{ EINVAL, 0, PROT_READ, 1, THERE, PAGE },
		{ EINVAL, DET_COPY_WHOLE, PROT_READ, 0, THERE, PAGE },
		{ EINVAL, DET_COPY_IMAGE, PROT_READ, 0, THERE, PAGE },
		{ EINVAL, DET_MERGE_TAKE, PROT_READ, 0, THERE, PAGE },
		{ EINVAL, DET_MERGE_GRANULE_2, PROT_READ, 0, THERE, PAGE },
		{ EINVAL, 1U << 31, PROT_READ, 0, THERE, PAGE },
		{ EINVAL, 0, 0, 0, -PAGE, 2 * PAGE },
		{ EINVAL, 0, 0, 0, THERE, -PAGE },
		{ EINVAL, 0, PROT_READ, 0, USER_END, PAGE },
		{ EINVAL, 0, PROT_READ, 0, USER_END - PAGE, PAGE + 1 },
		{ EINVAL, 0, 0, 0, 1ULL << 63, PAGE },
	};
	struct det_op ops[3];
	struct det_status st;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(t); i++) {
		ops[0] = op_zero(THERE, 0, 0);
		ops[1] = (struct det_op){
			.op = DET_ZERO, .flags = t[i].flags, .prot = t[i].prot,
			.__pad = t[i].pad, .caller = t[i].addr,
			.child = t[i].addr, .len = t[i].len,
		};
		ops[2] = op_zero(THERE, PAGE, 0);
		EXPECT_EQ(-t[i].err, put_ops(1, 0, ops, 3, &st))
			TH_LOG("mistake %u", i);
		EXPECT_EQ(1, st.op) TH_LOG("mistake %u", i);
		ops[2] = op_zero(addr_of(self->a), PAGE, 0);
		EXPECT_EQ(-t[i].err, get_ops(1, 0, ops, 3, &st))
			TH_LOG("mistake %u", i);
		EXPECT_EQ(1, st.op) TH_LOG("mistake %u", i);
	}
	EXPECT_TRUE(child_has(1, THERE, self->a, LEN));
}

TEST_HARNESS_MAIN
