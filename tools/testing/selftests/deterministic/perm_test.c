// SPDX-License-Identifier: GPL-2.0-only
/*
 * PERM: mprotect's rules, in the child (dput) or in the caller (dget). What
 * memory holds survives while all access to it is revoked.
 */
#include <sys/prctl.h>

#include "mem.h"

#define PAGES 6
#define LEN (PAGES * PAGE)

/* Where the child's memory is. */
#define THERE 0x300000000UL

#ifndef __NR_mseal
#define __NR_mseal 462
#endif

FIXTURE(perm) {
	char *a;	/* LEN bytes, filled */
};

FIXTURE_SETUP(perm)
{
	NEED_CALLS();
	self->a = map_rw(LEN);
	fill(self->a, LEN, 3);
	ASSERT_EQ(0, probe_into(1));
	ASSERT_EQ(0, put_op(1, 0, op_copy(self->a, THERE, LEN), NULL));
}

FIXTURE_TEARDOWN(perm)
{
}

TEST_F(perm, read_only)
{
	ASSERT_EQ(0, put_op(1, 0, op_perm(THERE + PAGE, PAGE, PROT_READ),
			    NULL));
	EXPECT_EQ((unsigned char)self->a[PAGE], child_read(1, THERE + PAGE));
	EXPECT_EQ(PROBE_FAULT, child_write(1, THERE + PAGE, 1));
	EXPECT_EQ(0, child_write(1, THERE, 1));
	EXPECT_EQ(0, child_write(1, THERE + 2 * PAGE, 1));
}

TEST_F(perm, revoked_and_granted)
{
	ASSERT_EQ(0, put_op(1, 0, op_perm(THERE, LEN, 0), NULL));
	EXPECT_EQ(PROBE_FAULT, child_read(1, THERE));
	EXPECT_EQ(PROBE_FAULT, child_write(1, THERE + LEN - 1, 1));
	ASSERT_EQ(0, put_op(1, 0, op_perm(THERE, LEN, PROT_RW), NULL));
	EXPECT_TRUE(child_has(1, THERE, self->a, LEN));
	EXPECT_EQ((unsigned char)self->a[5], child_read(1, THERE + 5));
	EXPECT_EQ(0, child_write(1, THERE, 1));
}

/* Again with the memory's only copy: the parent has another one meanwhile. */
TEST_F(perm, revoked_own_contents)
{
	EXPECT_EQ(0, child_write(1, THERE + PAGE, 0x77));
	ASSERT_EQ(0, put_op(1, 0, op_perm(THERE + PAGE, PAGE, 0), NULL));
	memset(self->a, 0, LEN);
	EXPECT_EQ(PROBE_FAULT, child_read(1, THERE + PAGE));
	ASSERT_EQ(0, put_op(1, 0, op_perm(THERE + PAGE, PAGE, PROT_READ),
			    NULL));
	EXPECT_EQ(0x77, child_read(1, THERE + PAGE));
}

TEST_F(perm, execute)
{
	static const char ret_42[] = "\xb8\x2a\0\0\0\xc3"; /* mov $42,%eax; ret */

	ASSERT_EQ(0, poke(1, THERE, ret_42, sizeof(ret_42)));
	EXPECT_EQ(PROBE_FAULT, child_call(1, THERE));
	ASSERT_EQ(0, put_op(1, 0, op_perm(THERE, PAGE, PROT_READ | PROT_EXEC),
			    NULL));
	EXPECT_EQ(42, child_call(1, THERE));
	EXPECT_EQ(PROBE_FAULT, child_write(1, THERE, 1));
	ASSERT_EQ(0, put_op(1, 0, op_perm(THERE, PAGE, PROT_READ), NULL));
	EXPECT_EQ(PROBE_FAULT, child_call(1, THERE));
}

/* Lengths are rounded up, addresses are not. */
TEST_F(perm, alignment)
{
	struct det_status st;

	ASSERT_EQ(0, put_op(1, 0, op_perm(THERE, PAGE + 1, PROT_READ), NULL));
	EXPECT_EQ(PROBE_FAULT, child_write(1, THERE + 2 * PAGE - 1, 1));
	EXPECT_EQ(0, child_write(1, THERE + 2 * PAGE, 1));
	EXPECT_EQ(-EINVAL, put_op(1, 0, op_perm(THERE + 8, PAGE, PROT_RW),
				  &st));
	EXPECT_EQ(0, st.op);
	EXPECT_EQ(PROBE_FAULT, child_write(1, THERE, 1));
	EXPECT_EQ(0, put_op(1, 0, op_perm(THERE, 0, PROT_RW), NULL));
	EXPECT_EQ(PROBE_FAULT, child_write(1, THERE, 1));
}

/* What lies before a hole has its new permission, what follows has not. */
TEST_F(perm, hole)
{
	struct det_status st;
	long ret;

	ASSERT_EQ(0, put_op(1, 0, op_zero(THERE + 2 * PAGE, PAGE, 0), NULL));
	ret = put_op(1, 0, op_perm(THERE, LEN, PROT_READ), &st);
	EXPECT_OP_ERR_AT(EFAULT, 0, THERE + 2 * PAGE, ret, &st);
	EXPECT_EQ(PROBE_FAULT, child_write(1, THERE + PAGE, 1));
	EXPECT_EQ(0, child_write(1, THERE + 3 * PAGE, 1));
	ret = put_op(1, 0, op_perm(THERE + 2 * PAGE, PAGE, PROT_READ), &st);
	EXPECT_OP_ERR_AT(EFAULT, 0, THERE + 2 * PAGE, ret, &st);
	ret = put_op(1, 0, op_perm(THERE + LEN - PAGE, 2 * PAGE, PROT_READ),
		     &st);
	EXPECT_OP_ERR_AT(EFAULT, 0, THERE + LEN, ret, &st);
}

/* In the caller, as its own mprotect. */
TEST_F(perm, in_the_caller)
{
	struct det_status st;
	pid_t me = getpid();
	char *want = map_rw(LEN);
	long ret;

	memcpy(want, self->a, LEN);
	ASSERT_EQ(0, get_op(1, 0, op_perm(addr_of(self->a), PAGE, PROT_READ),
			    NULL));
	EXPECT_STREQ("r--p", perm_at(me, addr_of(self->a)));
	ASSERT_EQ(0, get_op(1, 0, op_perm(addr_of(self->a), 2 * PAGE, 0),
			    NULL));
	EXPECT_STREQ("---p", perm_at(me, addr_of(self->a) + PAGE));
	ASSERT_EQ(0, get_op(1, 0, op_perm(addr_of(self->a), 2 * PAGE, PROT_RW),
			    NULL));
	EXPECT_EQ(0, memcmp(want, self->a, LEN));
	self->a[0] = 1;
	EXPECT_EQ(0, child_write(1, THERE, 1));
	ASSERT_EQ(0, munmap(self->a + PAGE, PAGE));
	ret = get_op(1, 0, op_perm(addr_of(self->a), LEN, PROT_READ), &st);
	EXPECT_OP_ERR_AT(EFAULT, 0, self->a + PAGE, ret, &st);
}

/* What mprotect may not do to the caller's memory, PERM may not either. */
TEST_F(perm, read_only_file)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct det_status st;
	char *f;
	long ret;

	ASSERT_LE(0, fd);
	f = map_at(NULL, PAGE, PROT_READ, MAP_SHARED, fd);
	ASSERT_EQ(-1, mprotect(f, PAGE, PROT_RW));
	ASSERT_EQ(EACCES, errno);
	ret = get_op(1, 0, op_perm(addr_of(f), PAGE, PROT_RW), &st);
	EXPECT_OP_ERR_AT(EACCES, 0, f, ret, &st);
	EXPECT_STREQ("r--s", perm_at(getpid(), addr_of(f)));
}

TEST_F(perm, sealed_memory)
{
	char *before = map_rw(LEN);
	struct det_status st;
	long ret;

	memcpy(before, self->a, LEN);
	if (syscall(__NR_mseal, self->a, LEN, 0))
		SKIP(return, "no mseal");
	ret = get_op(1, 0, op_perm(addr_of(self->a), PAGE, PROT_READ), &st);
	EXPECT_OP_ERR_AT(EPERM, 0, self->a, ret, &st);
	ret = get_op(1, 0, op_zero(addr_of(self->a), PAGE, PROT_RW), &st);
	EXPECT_OP_ERR_AT(EPERM, 0, self->a, ret, &st);
	ASSERT_EQ(0, put_op(1, 0, op_zero(THERE, PAGE, PROT_RW), NULL));
	ret = get_op(1, 0, op_copy(self->a, THERE, PAGE), &st);
	EXPECT_OP_ERR_AT(EPERM, 0, self->a, ret, &st);
	EXPECT_STREQ("rw-p", perm_at(getpid(), addr_of(self->a)));
	EXPECT_EQ(0, memcmp(before, self->a, LEN));
}

/* Who has given up gaining execution cannot gain it through a child. */
TEST_F(perm, no_execute_gain)
{
	struct det_status st;
	long ret;

	if (prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0))
		SKIP(return, "no MDWE");
	ASSERT_EQ(0, put_op(2, 0, op_zero(THERE, PAGE, PROT_RW), NULL));
	ret = put_op(2, 0, op_perm(THERE, PAGE, PROT_READ | PROT_EXEC), &st);
	EXPECT_OP_ERR_AT(EACCES, 0, THERE, ret, &st);
	ASSERT_EQ(0, put_op(2, 0, op_whole(), NULL));
	ret = put_op(2, 0, op_perm(addr_of(self->a), PAGE,
				   PROT_READ | PROT_EXEC), &st);
	EXPECT_OP_ERR_AT(EACCES, 0, self->a, ret, &st);
	ret = get_op(2, 0, op_perm(addr_of(self->a), PAGE,
				   PROT_READ | PROT_EXEC), &st);
	EXPECT_OP_ERR_AT(EACCES, 0, self->a, ret, &st);
	EXPECT_STREQ("rw-p", perm_at(getpid(), addr_of(self->a)));
}

/* Memory without access is copied with what it holds, twice. */
TEST_F(perm, revoked_contents_travel)
{
	char *back = map_rw(LEN);

	ASSERT_EQ(0, put_op(1, 0, op_perm(THERE, LEN, 0), NULL));
	ASSERT_EQ(0, get_op(1, 0, op_copy(back, THERE, LEN), NULL));
	ASSERT_EQ(0, probe_into(2));
	ASSERT_EQ(0, put_op(2, 0, op_copy(back, THERE, LEN), NULL));
	EXPECT_EQ(PROBE_FAULT, child_read(2, THERE));
	ASSERT_EQ(0, put_op(2, 0, op_perm(THERE, LEN, PROT_READ), NULL));
	EXPECT_TRUE(child_has(2, THERE, self->a, LEN));
}

TEST_F(perm, mistakes)
{
	const struct {
		int err;
		__u32 flags, prot, pad;
		__u64 addr, len;
	} t[] = {
		{ EINVAL, 0, 8, 0, THERE, PAGE },
		{ EINVAL, 0, PROT_GROWSDOWN, 0, THERE, PAGE },
		{ EINVAL, 0, PROT_READ, 1, THERE, PAGE },
		{ EINVAL, DET_COPY_WHOLE, PROT_READ, 0, THERE, PAGE },
		{ EINVAL, DET_ZERO_NORESERVE, PROT_READ, 0, THERE, PAGE },
		{ EINVAL, DET_MERGE_TAKE, PROT_READ, 0, THERE, PAGE },
		{ EINVAL, 1U << 31, PROT_READ, 0, THERE, PAGE },
		{ EINVAL, 0, PROT_READ, 0, THERE + 1, PAGE },
		{ EINVAL, 0, 0, 0, -PAGE, 2 * PAGE },
		{ EINVAL, 0, 0, 0, THERE, -PAGE },
		{ EINVAL, 0, PROT_READ, 0, USER_END, PAGE },
		{ EINVAL, 0, PROT_READ, 0, USER_END - PAGE, PAGE + 1 },
	};
	struct det_op ops[3];
	struct det_status st;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(t); i++) {
		ops[0] = op_perm(THERE, 0, 0);
		ops[1] = (struct det_op){
			.op = DET_PERM, .flags = t[i].flags, .prot = t[i].prot,
			.__pad = t[i].pad, .caller = t[i].addr,
			.child = t[i].addr, .len = t[i].len,
		};
		ops[2] = op_perm(THERE, PAGE, 0);
		EXPECT_EQ(-t[i].err, put_ops(1, 0, ops, 3, &st))
			TH_LOG("mistake %u", i);
		EXPECT_EQ(1, st.op) TH_LOG("mistake %u", i);
		ops[2] = op_perm(addr_of(self->a), PAGE, 0);
		EXPECT_EQ(-t[i].err, get_ops(1, 0, ops, 3, &st))
			TH_LOG("mistake %u", i);
		EXPECT_EQ(1, st.op) TH_LOG("mistake %u", i);
	}
	EXPECT_EQ(0, child_write(1, THERE, 1));
	EXPECT_STREQ("rw-p", perm_at(getpid(), addr_of(self->a)));
}

TEST_HARNESS_MAIN
